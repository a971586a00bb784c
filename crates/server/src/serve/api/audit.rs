//! The audit, and why an addition is what it is.

use crate::commands::audit::{EntryDoc, document_of};
use crate::output::documents::instant;
use crate::serve::extract::Find;
use crate::serve::page::{self, Page};
use crate::serve::problem::Problem;
use crate::serve::state::{Scope, Service};
use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use trueup_domain::ids::AdditionId;
use trueup_engine::explain::explain;
use trueup_engine::failure::Failure;
use trueup_engine::ports::{Clock, Store};
use trueup_engine::records::AuditEntry;
use trueup_store::AuditPage;
use utoipa::{IntoParams, ToSchema};

/// Which entries are listed.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// Of this addition.
    addition: Option<i64>,
    /// By this person or program, as the audit names it.
    actor: Option<String>,
    /// Of an action that begins so.
    #[param(example = "setting.")]
    action: Option<String>,
    /// About what begins so.
    #[param(example = "mapping/")]
    object: Option<String>,
    /// At this instant or later.
    #[param(example = "2026-04-01T00:00:00Z")]
    since: Option<String>,
    /// Before this instant.
    until: Option<String>,
    /// Text in what it is about, who did it, and the detail.
    search: Option<String>,
    /// Rows of a page.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// Where the page begins.
    cursor: Option<String>,
}

/// Whether the audit is what was written.
#[derive(Serialize, ToSchema)]
pub struct ChainDoc {
    /// Whether every entry fits the one before it.
    ok: bool,
    /// Entries.
    entries: i64,
    /// The hash of the last one: written down elsewhere, it shows later that nothing before it was changed.
    last_hash: Option<String>,
    /// The first entry that is missing or was changed.
    broken_at: Option<i64>,
    /// When this was looked at.
    checked_at: String,
}

fn millis(field: &str, text: Option<&str>) -> Result<Option<i64>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let at: Timestamp = text.parse().map_err(|_| {
        Problem::field(field, format!("`{text}` is no instant, such as 2026-04-01T00:00:00Z"))
    })?;
    Ok(Some(at.as_millisecond()))
}

/// Whether the audit is intact
///
/// Every entry carries a hash over itself and the one before; all of them are computed anew.
#[utoipa::path(get, path = "/api/v1/organizations/{org}/audit/chain", tag = "audit",
    params(("org" = String, Path, description = "The organization")),
    responses((status = 200, description = "As it is now", body = ChainDoc)))]
pub async fn chain(State(service): State<Service>, scope: Scope) -> Result<Json<ChainDoc>, Problem> {
    let head = service.store.audit_head(&scope.org).await?;
    let broken_at = service.store.verify_audit(&scope.org).await?;
    Ok(Json(ChainDoc {
        ok: broken_at.is_none(),
        entries: head.as_ref().map_or(0, |(number, _)| *number),
        last_hash: head.map(|(_, hash)| hash),
        broken_at,
        checked_at: instant(service.clock.now()),
    }))
}

/// The audit of an organization, the newest entries first
#[utoipa::path(get, path = "/api/v1/organizations/{org}/audit", tag = "audit",
    params(("org" = String, Path, description = "The organization"), AuditQuery),
    responses((status = 200, description = "A page", body = Page<EntryDoc>)))]
pub async fn list(
    State(service): State<Service>,
    scope: Scope,
    Find(query): Find<AuditQuery>,
) -> Result<Json<Page<EntryDoc>>, Problem> {
    let limit = page::limit(query.limit)?;
    let before = match page::decode(query.cursor.as_deref())? {
        Some((_, number)) => Some(number.parse().map_err(|_| page::foreign())?),
        None => None,
    };
    let wanted = AuditPage {
        addition: query.addition.map(AdditionId),
        actor: query.actor,
        action: query.action,
        object: query.object,
        at: (millis("since", query.since.as_deref())?, millis("until", query.until.as_deref())?),
        search: query.search,
        before,
        limit: limit + 1,
    };
    let rows = service.store.page_audit(&scope.org, &wanted).await?;
    let mark = |entry: &AuditEntry| (String::new(), entry.number.to_string());
    Ok(Json(Page::of(rows, limit, mark, |entry| EntryDoc::from(&entry))))
}

/// Every value of an addition, with formula, inputs and source record
#[utoipa::path(get, path = "/api/v1/organizations/{org}/additions/{addition}/explanation", tag = "audit",
    params(("org" = String, Path, description = "The organization"),
        ("addition" = i64, Path, description = "The addition's id in ConnectWise")),
    responses((status = 200, description = "The explanation", body = Object)))]
pub async fn explanation(State(service): State<Service>, scope: Scope) -> Result<Json<Value>, Problem> {
    let text = scope.part("addition");
    let none = || Problem::none("addition", text);
    let addition = AdditionId(text.parse().map_err(|_| none())?);
    match explain(service.store.as_ref(), &scope.org, addition).await {
        Ok(explanation) => Ok(Json(document_of(addition, &explanation))),
        Err(Failure::Wrong { .. }) => Err(none()),
        Err(failure) => Err(failure.into()),
    }
}
