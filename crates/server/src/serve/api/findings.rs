//! Findings: what a person should know or do.

use super::tasks::words;
use crate::output::documents::StoredFindingDoc;
use crate::serve::extract::{Body, Find};
use crate::serve::page::{self, Page};
use crate::serve::problem::Problem;
use crate::serve::state::{Scope, Service};
use axum::Json;
use axum::extract::State;
use jiff::civil::Date;
use serde::Deserialize;
use trueup_domain::finding::{Code, Severity};
use trueup_domain::ids::TaskId;
use trueup_engine::findings::{self, Decision};
use trueup_engine::ports::Store;
use trueup_engine::records::{FindingFilter, FindingState, StoredFinding};
use utoipa::{IntoParams, ToSchema};

/// Which findings are listed.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FindingQuery {
    /// In one of these states, separated by commas: `open`, `muted`, `ignored`, `resolved`, `recurred`. Default: those
    /// that hold.
    state: Option<String>,
    /// With this exception code.
    #[param(example = "TU2003")]
    code: Option<String>,
    /// At least this grave: `info`, `warning`, `error`.
    severity: Option<String>,
    /// Of this task.
    task: Option<String>,
    /// Rows of a page.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// Where the page begins.
    cursor: Option<String>,
}

/// A decision about a finding.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FindingDecision {
    /// `mute`, `ignore` or `reopen`.
    #[schema(pattern = "^(mute|ignore|reopen)$")]
    decision: String,
    /// The day on which a muted finding speaks up again.
    #[schema(example = "2026-12-31")]
    until: Option<String>,
    /// Why; needed to ignore.
    #[schema(max_length = 500)]
    reason: Option<String>,
}

fn state_of(word: &str) -> Option<FindingState> {
    Some(match word {
        "open" => FindingState::Open,
        "muted" => FindingState::Muted,
        "ignored" => FindingState::Ignored,
        "resolved" => FindingState::Resolved,
        "recurred" => FindingState::Recurred,
        _ => return None, // open set: text
    })
}

fn severity_of(word: &str) -> Result<Severity, Problem> {
    [Severity::Info, Severity::Warning, Severity::Error]
        .into_iter()
        .find(|severity| severity.name() == word)
        .ok_or_else(|| Problem::field("severity", format!("`{word}` is none of info, warning, error")))
}

/// The findings of an organization, the gravest first
#[utoipa::path(get, path = "/api/v1/organizations/{org}/findings", tag = "findings",
    params(("org" = String, Path, description = "The organization"), FindingQuery),
    responses((status = 200, description = "A page", body = Page<StoredFindingDoc>)))]
pub async fn list(
    State(service): State<Service>,
    scope: Scope,
    Find(query): Find<FindingQuery>,
) -> Result<Json<Page<StoredFindingDoc>>, Problem> {
    let limit = page::limit(query.limit)?;
    let after = page::decode(query.cursor.as_deref())?;
    let code = query.code.map(|code| code.to_uppercase());
    if let Some(code) = code.as_deref().filter(|code| Code::from_name(code).is_none()) {
        return Err(Problem::field("code", format!("there is no exception code `{code}`")));
    }
    let states = match query.state.as_deref() {
        None => vec![FindingState::Open, FindingState::Recurred],
        given => words("state", given, state_of)?,
    };
    let severity = query.severity.as_deref().map(severity_of).transpose()?;
    let filter = FindingFilter { states, code, severity, task: query.task.map(TaskId::from) };
    let found = findings::list(service.store.as_ref(), &scope.org, &filter).await?;
    let mark = |finding: &StoredFinding| (String::new(), finding.id.clone());
    Ok(Json(Page::cut(found, limit, after.as_ref(), mark, |finding| StoredFindingDoc::from(&finding))?))
}

async fn find(service: &Service, scope: &Scope) -> Result<StoredFinding, Problem> {
    let id = scope.part("finding");
    let all = service.store.list_findings(&scope.org, &FindingFilter::default()).await?;
    all.into_iter().find(|finding| finding.id == id).ok_or_else(|| Problem::none("finding", id))
}

/// One finding
#[utoipa::path(get, path = "/api/v1/organizations/{org}/findings/{finding}", tag = "findings",
    params(("org" = String, Path, description = "The organization"), ("finding" = String, Path, description = "The finding")),
    responses((status = 200, description = "The finding", body = StoredFindingDoc)))]
pub async fn show(State(service): State<Service>, scope: Scope) -> Result<Json<StoredFindingDoc>, Problem> {
    Ok(Json(StoredFindingDoc::from(&find(&service, &scope).await?)))
}

/// Mute, ignore or reopen a finding
#[utoipa::path(post, path = "/api/v1/organizations/{org}/findings/{finding}/decide", tag = "findings",
    params(("org" = String, Path, description = "The organization"), ("finding" = String, Path, description = "The finding")),
    request_body = FindingDecision, responses((status = 200, description = "As it stands now", body = StoredFindingDoc)))]
pub async fn decide(
    State(service): State<Service>,
    scope: Scope,
    Body(body): Body<FindingDecision>,
) -> Result<Json<StoredFindingDoc>, Problem> {
    let reason = body.reason.unwrap_or_default().trim().to_owned();
    let decision = match body.decision.as_str() {
        "mute" => {
            let until = body.until.ok_or_else(|| Problem::field("until", "name the day"))?;
            let day: Date = until.parse().map_err(|_| Problem::field("until", "write YYYY-MM-DD"))?;
            Decision::Mute(day)
        }
        "ignore" if reason.is_empty() => return Err(Problem::field("reason", "say why")),
        "ignore" => Decision::Ignore(reason),
        "reopen" => Decision::Reopen,
        other => {
            return Err(Problem::field("decision", format!("`{other}` is none of mute, ignore, reopen")));
        }
    };
    let id = find(&service, &scope).await?.id;
    let app = scope.app(&service);
    findings::decide(app.store(), &app.clock, app.org(), app.actor(), &id, &decision).await?;
    show(State(service), scope).await
}
