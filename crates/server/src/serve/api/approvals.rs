//! Approvals: plans that wait for people, and their answers. The last approval that was missing starts the run.

use super::runs::start_run;
use crate::failure::CliError;
use crate::output::approvals::{ApprovalDoc, state_of};
use crate::serve::extract::{Body, Find};
use crate::serve::page::{self, Page};
use crate::serve::problem::Problem;
use crate::serve::state::{By, Caller, Scope, Service};
use crate::serve::worker::{RunKind, RunWish};
use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeSet;
use trueup_domain::approval::Policy;
use trueup_domain::ids::OrganizationId;
use trueup_engine::approvals::{self, Verdict, Voice};
use trueup_engine::ports::{Clock, Store};
use trueup_engine::records::{ApprovalRow, PlanState};
use utoipa::{IntoParams, ToSchema};

/// Which approvals are listed.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ApprovalQuery {
    /// Also those that are over.
    all: Option<bool>,
    /// Rows of a page.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// Where the page begins.
    cursor: Option<String>,
}

/// An answer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalDecision {
    /// `approve` or `refuse`.
    #[schema(pattern = "^(approve|refuse)$")]
    decision: String,
    /// Why; needed to refuse.
    #[schema(max_length = 500)]
    reason: Option<String>,
}

async fn policy(service: &Service, scope: &Scope) -> Result<Policy, Problem> {
    Ok(scope.app(service).settings().await.map_err(CliError::problem)?.approval)
}

async fn document(
    service: &Service,
    scope: &Scope,
    row: &ApprovalRow,
    policy: &Policy,
) -> Result<ApprovalDoc, Problem> {
    let plan = service.store.find_plan(&scope.org, &row.plan).await?.map(|plan| plan.state);
    Ok(ApprovalDoc::new(row, plan, policy, service.clock.now()))
}

/// What waits for people in an organization, the newest first
#[utoipa::path(get, path = "/api/v1/organizations/{org}/approvals", tag = "approvals",
    params(("org" = String, Path, description = "The organization"), ApprovalQuery),
    responses((status = 200, description = "A page", body = Page<ApprovalDoc>)))]
pub async fn list(
    State(service): State<Service>,
    scope: Scope,
    Find(query): Find<ApprovalQuery>,
) -> Result<Json<Page<ApprovalDoc>>, Problem> {
    let limit = page::limit(query.limit)?;
    let before = match page::decode(query.cursor.as_deref())? {
        Some((at, id)) => {
            let at = at.parse().map_err(|_| page::foreign())?;
            Some((at, id))
        }
        None => None,
    };
    let before = before.as_ref().map(|(at, id): &(i64, String)| (*at, id.as_str()));
    let open = !query.all.unwrap_or(false);
    let rows = service.store.list_approvals(&scope.org, open, before, limit + 1).await?;
    let policy = policy(&service, &scope).await?;
    let mut shown = Vec::new();
    for row in rows {
        let document = document(&service, &scope, &row, &policy).await?;
        shown.push((row, document));
    }
    let mark = |(row, _): &(ApprovalRow, ApprovalDoc)| (row.asked_at.to_string(), row.id.clone());
    Ok(Json(Page::of(shown, limit, mark, |(_, document)| document)))
}

async fn find(service: &Service, scope: &Scope) -> Result<ApprovalRow, Problem> {
    let id = scope.part("approval");
    service.store.find_approval(&scope.org, id).await?.ok_or_else(|| Problem::none("approval", id))
}

/// One approval
#[utoipa::path(get, path = "/api/v1/organizations/{org}/approvals/{approval}", tag = "approvals",
    params(("org" = String, Path, description = "The organization"),
        ("approval" = String, Path, description = "The approval")),
    responses((status = 200, description = "The approval", body = ApprovalDoc)))]
pub async fn show(State(service): State<Service>, scope: Scope) -> Result<Json<ApprovalDoc>, Problem> {
    let row = find(&service, &scope).await?;
    let policy = policy(&service, &scope).await?;
    Ok(Json(document(&service, &scope, &row, &policy).await?))
}

/// Approve or refuse
///
/// It holds for exactly what the plan would write. The last approval that was missing starts the run that carries the
/// plan out; `run_id` names it. A token answers for the person who made it.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/approvals/{approval}/decide", tag = "approvals",
    params(("org" = String, Path, description = "The organization"),
        ("approval" = String, Path, description = "The approval")),
    request_body = ApprovalDecision, responses((status = 200, description = "As it stands now", body = ApprovalDoc)))]
pub async fn decide(
    State(service): State<Service>,
    scope: Scope,
    Body(body): Body<ApprovalDecision>,
) -> Result<Json<ApprovalDoc>, Problem> {
    let reason = body.reason.as_deref().map(str::trim).filter(|text| !text.is_empty());
    let verdict = match (body.decision.as_str(), reason) {
        ("approve", reason) => Verdict::Approve(reason),
        ("refuse", Some(reason)) => Verdict::Refuse(reason),
        ("refuse", None) => return Err(Problem::field("reason", "say why")),
        (other, _) => {
            return Err(Problem::field("decision", format!("`{other}` is none of approve, refuse")));
        }
    };
    let row = find(&service, &scope).await?;
    let app = scope.app(&service);
    let policy = policy(&service, &scope).await?;
    let person = person_of(&scope.caller);
    let is_maker = names_of(&service, &scope, person).await?.contains(base(&row.maker));
    let voice = Voice { person, actor: app.actor() };
    let row =
        approvals::decide(app.store(), &app.clock, app.org(), (voice, is_maker), &row.id, verdict, &policy)
            .await?;
    let mut shown = document(&service, &scope, &row, &policy).await?;
    let plan = service.store.find_plan(&scope.org, &row.plan).await?;
    let can_go = plan.is_some_and(|plan| plan.state == PlanState::Proposed);
    if can_go && state_of(&row, &policy, service.clock.now()) == "approved" {
        shown.run_id = Some(start(&service, &scope, &row).await?);
    }
    Ok(Json(shown))
}

/// Puts the run into the queue that carries an approved plan out.
async fn start(service: &Service, scope: &Scope, row: &ApprovalRow) -> Result<String, Problem> {
    let approval = Some(row.id.clone());
    let wish = RunWish { plan_id: Some(row.plan.to_string()), approval, ..RunWish::default() };
    // Of two last approvals at once it is one.
    let once = format!("approval:{}:{}:{}", row.id, row.plan, row.words.len());
    let said = json!({ "approval": row.id, "request": wish });
    let run = start_run(service, scope, RunKind::Apply, &wish, Some(once), said).await?;
    Ok(run.id)
}

/// Who answers: a token answers for the person who made it.
fn person_of(caller: &Caller) -> &str {
    match &caller.by {
        By::Session(known) => &known.1.id,
        By::Token { maker } => maker,
    }
}

/// The name without the day that was set from outside.
fn base(actor: &str) -> &str {
    actor.split_once(", as if it were ").map_or(actor, |(name, _)| name)
}

/// The names under which a person made plans: the own one, and those of tokens.
async fn names_of(service: &Service, scope: &Scope, person: &str) -> Result<BTreeSet<String>, Problem> {
    let mut names = BTreeSet::from([scope.actor().to_owned()]);
    names.extend(service.store.find_person(person).await?.map(|found| found.email));
    let lineage: Vec<OrganizationId> = service.store.find_lineage(&scope.org).await?.unwrap_or_default();
    for org in &lineage {
        for token in service.store.list_tokens(org).await? {
            if token.created_by == person {
                names.insert(format!("token {} ({})", token.name, token.prefix));
            }
        }
    }
    Ok(names)
}
