//! Every route of the API and what it asks of its caller. A route that has no row here answers nobody.

use super::rights::Right;
use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

/// What a route asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nobody has to be known.
    Public,
    /// Somebody has to be known; also one who still has to change the password.
    Known,
    /// A right in the organization that the path (or the query's `organization`) names, else in the caller's own.
    Scoped(Right),
    /// A right somewhere: the route looks itself at the organizations it shows or touches.
    Somewhere(Right),
}

/// How a route treats its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Reads or replaces: again is the same.
    Plain,
    /// Makes something: takes an `Idempotency-Key`.
    Makes,
    /// Takes a long body.
    Upload,
    /// Answers as long as there is something to tell.
    Stream,
}

/// One route.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The method.
    pub method: &'static str,
    /// The path, as the router knows it.
    pub path: &'static str,
    /// What it asks for.
    pub access: Access,
    /// How it treats its request.
    pub kind: Kind,
}

impl Rule {
    /// The longest a request may take.
    pub fn time_limit(&self) -> Option<Duration> {
        match self.kind {
            Kind::Plain => Some(Duration::from_secs(60)),
            Kind::Makes => Some(Duration::from_secs(240)),
            Kind::Upload => Some(Duration::from_secs(900)),
            Kind::Stream => None,
        }
    }
}

use Access::{Known, Public, Scoped, Somewhere};
use Kind::{Makes, Plain, Stream, Upload};
use Right as R;

macro_rules! org {
    ($rest:literal) => {
        concat!("/api/v1/organizations/{org}", $rest)
    };
}

/// The table.
pub const RULES: &[Rule] = &[
    rule("POST", "/api/v1/session", Public, Plain),
    rule("GET", "/api/v1/session", Known, Plain),
    rule("DELETE", "/api/v1/session", Known, Plain),
    rule("PUT", "/api/v1/session/password", Known, Plain),
    rule("GET", "/api/v1/session/ways", Public, Plain),
    rule("GET", "/api/v1/session/oidc", Public, Plain),
    rule("GET", "/api/v1/session/oidc/callback", Public, Plain),
    rule("GET", "/api/v1/organizations", Somewhere(R::OrganizationsRead), Plain),
    rule("POST", "/api/v1/organizations", Somewhere(R::OrganizationsWrite), Makes),
    rule("GET", org!(""), Scoped(R::OrganizationsRead), Plain),
    rule("PATCH", org!(""), Scoped(R::OrganizationsWrite), Plain),
    rule("GET", org!("/move"), Scoped(R::OrganizationsRead), Plain),
    rule("POST", org!("/move"), Scoped(R::OrganizationsWrite), Makes),
    rule("GET", org!("/settings"), Scoped(R::SettingsRead), Plain),
    rule("GET", org!("/settings/{key}/reach"), Scoped(R::SettingsRead), Plain),
    rule("PUT", org!("/settings/{key}"), Scoped(R::SettingsWrite), Plain),
    rule("DELETE", org!("/settings/{key}"), Scoped(R::SettingsWrite), Plain),
    rule("GET", org!("/connections"), Scoped(R::ConnectionsRead), Plain),
    rule("POST", org!("/connections"), Scoped(R::ConnectionsWrite), Makes),
    rule("DELETE", org!("/connections/{connection}"), Scoped(R::ConnectionsWrite), Plain),
    rule("POST", org!("/connections/{connection}/test"), Scoped(R::ConnectionsWrite), Makes),
    rule("POST", org!("/connections/{connection}/rotate"), Scoped(R::ConnectionsWrite), Makes),
    rule("POST", "/api/v1/feed", Scoped(R::FeedWrite), Upload),
    rule("GET", org!("/overview"), Scoped(R::TasksRead), Plain),
    rule("GET", org!("/figures"), Scoped(R::TasksRead), Plain),
    rule("GET", org!("/catalog"), Scoped(R::MappingsRead), Plain),
    rule("GET", org!("/companies/search"), Scoped(R::MappingsRead), Plain),
    rule("GET", org!("/agreements"), Scoped(R::MappingsRead), Plain),
    rule("GET", org!("/agreements/{agreement}"), Scoped(R::MappingsRead), Plain),
    rule("POST", org!("/names"), Scoped(R::RecordsRead), Plain),
    rule("GET", org!("/customers"), Scoped(R::RecordsRead), Plain),
    rule("GET", org!("/sources"), Scoped(R::RecordsRead), Plain),
    rule("GET", org!("/products"), Scoped(R::RecordsRead), Plain),
    rule("GET", org!("/tasks"), Scoped(R::TasksRead), Plain),
    rule("POST", org!("/tasks/decide"), Scoped(R::TasksWrite), Makes),
    rule("GET", org!("/tasks/{task}"), Scoped(R::TasksRead), Plain),
    rule("GET", org!("/plans"), Scoped(R::PlansRead), Plain),
    rule("POST", org!("/plans"), Scoped(R::PlansWrite), Makes),
    rule("GET", org!("/plans/{plan}"), Scoped(R::PlansRead), Plain),
    rule("POST", org!("/undo"), Scoped(R::PlansWrite), Makes),
    rule("GET", org!("/approvals"), Scoped(R::PlansRead), Plain),
    rule("GET", org!("/approvals/{approval}"), Scoped(R::PlansRead), Plain),
    rule("POST", org!("/approvals/{approval}/decide"), Scoped(R::ApprovalsWrite), Makes),
    rule("GET", org!("/runs"), Scoped(R::RunsRead), Plain),
    rule("POST", org!("/runs"), Scoped(R::RunsWrite), Makes),
    rule("GET", org!("/runs/{run}"), Scoped(R::RunsRead), Plain),
    rule("GET", org!("/runs/{run}/events"), Scoped(R::RunsRead), Stream),
    rule("GET", org!("/jobs"), Scoped(R::RunsRead), Plain),
    rule("POST", org!("/jobs"), Scoped(R::PlansWrite), Makes),
    rule("GET", org!("/jobs/{job}"), Scoped(R::RunsRead), Plain),
    rule("POST", org!("/jobs/{job}/upload"), Scoped(R::RunsWrite), Makes),
    rule("POST", org!("/jobs/{job}/cancel"), Scoped(R::RunsWrite), Makes),
    rule("GET", org!("/jobs/{job}/grid"), Scoped(R::RunsRead), Plain),
    rule("GET", org!("/schedules"), Scoped(R::RunsRead), Plain),
    rule("POST", org!("/schedules/{schedule}/pause"), Scoped(R::SettingsWrite), Plain),
    rule("POST", org!("/schedules/{schedule}/resume"), Scoped(R::SettingsWrite), Plain),
    rule("POST", org!("/connections/{connection}/callback"), Scoped(R::ConnectionsWrite), Makes),
    rule("DELETE", org!("/connections/{connection}/callback"), Scoped(R::ConnectionsWrite), Plain),
    rule("POST", "/api/v1/callbacks/{token}", Public, Plain),
    rule("GET", org!("/findings"), Scoped(R::FindingsRead), Plain),
    rule("GET", org!("/findings/{finding}"), Scoped(R::FindingsRead), Plain),
    rule("POST", org!("/findings/{finding}/decide"), Scoped(R::FindingsWrite), Makes),
    rule("GET", org!("/mappings"), Scoped(R::MappingsRead), Plain),
    rule("PUT", org!("/mappings"), Scoped(R::MappingsWrite), Plain),
    rule("DELETE", org!("/mappings"), Scoped(R::MappingsWrite), Plain),
    rule("POST", org!("/mappings/import"), Scoped(R::MappingsWrite), Upload),
    rule("GET", org!("/mappings/export"), Scoped(R::MappingsRead), Plain),
    rule("GET", org!("/mappings/suggestions"), Scoped(R::MappingsRead), Plain),
    rule("GET", org!("/mappings/choices"), Scoped(R::MappingsRead), Plain),
    rule("POST", org!("/mappings/suggestions/accept"), Scoped(R::MappingsWrite), Makes),
    rule("GET", org!("/mappings/release"), Scoped(R::MappingsRead), Plain),
    rule("POST", org!("/mappings/release"), Scoped(R::MappingsWrite), Makes),
    rule("GET", org!("/mappings/history"), Scoped(R::MappingsRead), Plain),
    rule("POST", org!("/mappings/create"), Scoped(R::ConnectwiseWrite), Makes),
    rule("GET", org!("/companies"), Scoped(R::MappingsRead), Plain),
    rule("POST", org!("/companies/import"), Scoped(R::MappingsWrite), Makes),
    rule("GET", org!("/audit"), Scoped(R::AuditRead), Plain),
    rule("GET", org!("/audit/chain"), Scoped(R::AuditRead), Plain),
    rule("GET", org!("/additions/{addition}/explanation"), Scoped(R::AuditRead), Plain),
    rule("GET", org!("/quantity"), Scoped(R::MappingsRead), Plain),
    rule("PUT", org!("/quantity/assignments"), Scoped(R::MappingsWrite), Plain),
    rule("DELETE", org!("/quantity/entries"), Scoped(R::MappingsWrite), Plain),
    rule("PUT", org!("/quantity/rules"), Scoped(R::MappingsWrite), Plain),
    rule("PUT", org!("/quantity/customers"), Scoped(R::MappingsWrite), Plain),
    rule("PUT", org!("/quantity/picks"), Scoped(R::MappingsWrite), Plain),
    rule("GET", org!("/quantity/lines"), Scoped(R::PlansRead), Plain),
    rule("POST", org!("/quantity/preview"), Scoped(R::PlansWrite), Makes),
    rule("POST", org!("/quantity/run"), Scoped(R::RunsWrite), Makes),
    rule("GET", org!("/alerts"), Scoped(R::FindingsRead), Plain),
    rule("GET", org!("/alerts/rules"), Scoped(R::SettingsRead), Plain),
    rule("PUT", org!("/alerts/rules"), Scoped(R::SettingsWrite), Plain),
    rule("DELETE", org!("/alerts/rules"), Scoped(R::SettingsWrite), Plain),
    rule("GET", org!("/alerts/places"), Scoped(R::SettingsRead), Plain),
    rule("POST", org!("/alerts/test"), Scoped(R::RunsWrite), Makes),
    rule("POST", org!("/alerts/run"), Scoped(R::RunsWrite), Makes),
    rule("GET", org!("/alerts/{alert}"), Scoped(R::FindingsRead), Plain),
    rule("GET", org!("/activity"), Scoped(R::FindingsRead), Plain),
    rule("GET", org!("/users"), Scoped(R::UsersRead), Plain),
    rule("POST", org!("/users"), Scoped(R::UsersWrite), Makes),
    rule("PATCH", org!("/users/{user}"), Scoped(R::UsersWrite), Plain),
    rule("POST", org!("/users/{user}/reset"), Scoped(R::UsersWrite), Makes),
    rule("GET", org!("/tokens"), Scoped(R::TokensRead), Plain),
    rule("POST", org!("/tokens"), Scoped(R::TokensWrite), Makes),
    rule("DELETE", org!("/tokens/{token}"), Scoped(R::TokensWrite), Plain),
    rule("GET", org!("/webhooks"), Scoped(R::WebhooksRead), Plain),
    rule("POST", org!("/webhooks"), Scoped(R::WebhooksWrite), Makes),
    rule("GET", org!("/webhooks/{webhook}"), Scoped(R::WebhooksRead), Plain),
    rule("PATCH", org!("/webhooks/{webhook}"), Scoped(R::WebhooksWrite), Plain),
    rule("DELETE", org!("/webhooks/{webhook}"), Scoped(R::WebhooksWrite), Plain),
    rule("POST", org!("/webhooks/{webhook}/rotate"), Scoped(R::WebhooksWrite), Makes),
    rule("POST", org!("/webhooks/{webhook}/test"), Scoped(R::WebhooksWrite), Makes),
    rule("GET", org!("/webhooks/{webhook}/deliveries"), Scoped(R::WebhooksRead), Plain),
    rule("GET", org!("/webhooks/{webhook}/deliveries/{delivery}"), Scoped(R::WebhooksRead), Plain),
    rule(
        "POST",
        org!("/webhooks/{webhook}/deliveries/{delivery}/redeliver"),
        Scoped(R::WebhooksWrite),
        Makes,
    ),
];

const fn rule(method: &'static str, path: &'static str, access: Access, kind: Kind) -> Rule {
    Rule { method, path, access, kind }
}

static BY_ROUTE: LazyLock<HashMap<(&'static str, &'static str), &'static Rule>> =
    LazyLock::new(|| RULES.iter().map(|rule| ((rule.method, rule.path), rule)).collect());

/// The rule of a route. A HEAD is a GET without its body.
pub fn find(method: &str, path: &str) -> Option<&'static Rule> {
    let method = if method == "HEAD" { "GET" } else { method };
    BY_ROUTE.get(&(method, path)).copied()
}

/// Whether any method of the path has a rule.
pub fn knows_path(path: &str) -> bool {
    RULES.iter().any(|rule| rule.path == path)
}
