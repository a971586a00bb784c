//! Runs: long work, with its progress as server-sent events.

use super::plans::adoption;
use crate::output::documents::instant;
use crate::serve::extract::{Body, Find};
use crate::serve::page::{self, Page};
use crate::serve::problem::Problem;
use crate::serve::scheduler;
use crate::serve::state::{Scope, Service};
use crate::serve::worker::{RunKind, RunWish};
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::time::Duration;
use trueup_domain::ids::PlanId;
use trueup_engine::ports::{Clock, Store};
use trueup_store::{Run, RunState};
use utoipa::{IntoParams, ToSchema};

/// How often a stream looks for news.
const LOOK: Duration = Duration::from_millis(250);

/// Which runs are listed.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RunQuery {
    /// Rows of a page.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// Where the page begins.
    cursor: Option<String>,
}

/// A run to start.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRun {
    /// `check` turns new orders into tasks; `pull` reads ConnectWise; `apply` carries a plan out; `sync` plans and
    /// applies every ready task, and with `changed` checks and pulls what changed before; `quantity` counts and writes
    /// levels; `alerts` makes and closes tickets.
    #[schema(pattern = "^(check|pull|apply|sync|quantity|alerts)$")]
    kind: String,
    /// The plan of `apply`.
    plan_id: Option<String>,
    /// Lets a `sync` pass where a limit would hold it.
    approve: Option<bool>,
    /// What a `sync` does where an addition is there that trueup did not write: `propose`, `take_single` or
    /// `create_beside`.
    adopt: Option<String>,
    /// The connection of `pull` and `sync`; the nearest one where it is missing.
    connection: Option<String>,
    /// `pull` reads what changed since the last one, and a share of the rest; else everything. `sync` first checks
    /// new orders and reads what changed, as one of a schedule does; else it plans what is ready.
    changed: Option<bool>,
    /// `check` takes orders completed from this day on, whatever the first-run rule says.
    #[schema(example = "2026-03-01")]
    since: Option<String>,
}

/// A run.
#[derive(Serialize, ToSchema)]
pub struct RunDoc {
    /// Id.
    run_id: String,
    /// What it does.
    kind: String,
    /// `queued`, `running`, `done`, `needs_person` or `failed`.
    #[schema(value_type = String)]
    state: &'static str,
    /// Who asked for it.
    actor: String,
    /// When it was asked for.
    created_at: String,
    /// It waits at least until then: another worker wrote to one of its agreements.
    not_before: Option<String>,
    /// How often a worker began it.
    attempts: u32,
    /// Whether a schedule started it.
    scheduled: bool,
    /// When it began.
    started_at: Option<String>,
    /// When it ended.
    finished_at: Option<String>,
    /// Steps done.
    done: u64,
    /// Steps in all, as far as known.
    total: u64,
    /// What came out: the plan with its outcomes, the report of a check or pull, or a problem.
    #[schema(value_type = Option<Object>)]
    result: Option<Value>,
}

impl From<&Run> for RunDoc {
    fn from(run: &Run) -> Self {
        Self {
            run_id: run.id.clone(),
            kind: run.kind.clone(),
            state: run.state.name(),
            actor: run.actor.clone(),
            created_at: instant(run.created_at),
            not_before: Some(run.not_before).filter(|at| *at > 0 && !run.state.is_final()).map(instant),
            attempts: run.attempts,
            scheduled: run.actor == scheduler::ACTOR,
            started_at: run.started_at.map(instant),
            finished_at: run.finished_at.map(instant),
            done: run.done,
            total: run.total,
            result: run.result.as_deref().and_then(|text| serde_json::from_str(text).ok()),
        }
    }
}

/// The runs of an organization, the newest first
///
/// Without their results; one run shows its own.
#[utoipa::path(get, path = "/api/v1/organizations/{org}/runs", tag = "runs",
    params(("org" = String, Path, description = "The organization"), RunQuery),
    responses((status = 200, description = "A page", body = Page<RunDoc>)))]
pub async fn list(
    State(service): State<Service>,
    scope: Scope,
    Find(query): Find<RunQuery>,
) -> Result<Json<Page<RunDoc>>, Problem> {
    let limit = page::limit(query.limit)?;
    let before = page::decode(query.cursor.as_deref())?.map(|(_, id)| id);
    let rows = service.store.list_runs(&scope.org, before.as_deref(), limit + 1).await?;
    let mark = |run: &Run| (String::new(), run.id.clone());
    Ok(Json(Page::of(rows, limit, mark, |run| RunDoc { result: None, ..RunDoc::from(&run) })))
}

/// Start a run
#[utoipa::path(post, path = "/api/v1/organizations/{org}/runs", tag = "runs",
    params(("org" = String, Path, description = "The organization")), request_body = NewRun,
    responses((status = 202, description = "It waits for a worker", body = RunDoc)))]
pub async fn start(
    State(service): State<Service>,
    scope: Scope,
    Body(body): Body<NewRun>,
) -> Result<Response, Problem> {
    let kind = RunKind::from_name(&body.kind).ok_or_else(|| {
        Problem::field(
            "kind",
            format!("`{}` is none of check, pull, apply, sync, quantity, alerts", body.kind),
        )
    })?;
    adoption(body.adopt.as_deref())?;
    if let Some(since) = &body.since {
        since.parse::<Date>().map_err(|_| Problem::field("since", "write YYYY-MM-DD"))?;
    }
    match (kind, &body.plan_id) {
        (RunKind::Apply, None) => return Err(Problem::field("plan_id", "name the plan")),
        (RunKind::Apply, Some(id)) => {
            let found = service.store.find_plan(&scope.org, &PlanId::from(id.as_str())).await?;
            found.ok_or_else(|| Problem::none("plan", id))?;
        }
        (RunKind::Validate | RunKind::Upload, _) => {
            return Err(Problem::field("kind", "jobs are started under /jobs"));
        }
        (RunKind::Check | RunKind::Pull | RunKind::Sync | RunKind::Quantity | RunKind::Alerts, Some(_)) => {
            return Err(Problem::field("plan_id", "only `apply` carries a plan out"));
        }
        (RunKind::Check | RunKind::Pull | RunKind::Sync | RunKind::Quantity | RunKind::Alerts, None) => {}
    }
    let wish = RunWish {
        plan_id: body.plan_id,
        approve: body.approve.unwrap_or(false),
        adopt: body.adopt,
        connection: body.connection,
        changed: body.changed.unwrap_or(false),
        since: body.since,
        ..RunWish::default()
    };
    queue(&service, &scope, kind, wish).await
}

/// Puts a run into the queue, with its entry in the audit; `said` is added to that entry. `fired_for` names what may start one
/// run alone.
pub(super) async fn start_run(
    service: &Service,
    scope: &Scope,
    kind: RunKind,
    wish: &RunWish,
    fired_for: Option<String>,
    said: Value,
) -> Result<Run, Problem> {
    let request = json!(wish).to_string();
    let run = Run {
        fired_for,
        ..Run::queued(&scope.org, kind.name(), scope.actor(), request, service.clock.now())
    };
    let mut detail = said;
    if let Some(detail) = detail.as_object_mut() {
        detail.insert("kind".to_owned(), json!(run.kind));
    }
    let entry = service.entry(scope.app(service).actor(), "run.start", format!("run/{}", run.id), &detail);
    service.store.add_run(&run, &entry).await?;
    service.wake.notify_one();
    Ok(run)
}

/// Puts a run into the queue and answers with it.
pub(super) async fn queue(
    service: &Service,
    scope: &Scope,
    kind: RunKind,
    wish: RunWish,
) -> Result<Response, Problem> {
    let run = start_run(service, scope, kind, &wish, None, json!({ "request": wish })).await?;
    let location = format!("/api/v1/organizations/{}/runs/{}", scope.org, run.id);
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(RunDoc::from(&run))).into_response())
}

async fn find(service: &Service, scope: &Scope) -> Result<Run, Problem> {
    let id = scope.part("run");
    service.store.find_run(&scope.org, id).await?.ok_or_else(|| Problem::none("run", id))
}

/// One run
#[utoipa::path(get, path = "/api/v1/organizations/{org}/runs/{run}", tag = "runs",
    params(("org" = String, Path, description = "The organization"), ("run" = String, Path, description = "The run")),
    responses((status = 200, description = "The run", body = RunDoc)))]
pub async fn show(State(service): State<Service>, scope: Scope) -> Result<Json<RunDoc>, Problem> {
    Ok(Json(RunDoc::from(&find(&service, &scope).await?)))
}

/// An event of a run.
#[derive(ToSchema)]
#[allow(dead_code, reason = "for the document")]
pub struct RunEventDoc {
    /// `progress` or `end`.
    event: String,
    /// The run, as JSON.
    data: String,
}

/// The progress of a run, as server-sent events
///
/// `progress` whenever something moved, and `end` with the whole run, after which the stream ends.
#[utoipa::path(get, path = "/api/v1/organizations/{org}/runs/{run}/events", tag = "runs",
    params(("org" = String, Path, description = "The organization"), ("run" = String, Path, description = "The run")),
    responses((status = 200, description = "Each event's data is a run", content_type = "text/event-stream", body = RunEventDoc)))]
pub async fn events(
    State(service): State<Service>,
    scope: Scope,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    find(&service, &scope).await?;
    let stream = futures::stream::unfold(Told { service, scope, last: None, ended: false }, next_event);
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}

/// What a stream told last.
struct Told {
    service: Service,
    scope: Scope,
    last: Option<(RunState, u64, u64)>,
    ended: bool,
}

async fn next_event(mut told: Told) -> Option<(Result<Event, Infallible>, Told)> {
    if told.ended || told.service.is_stopping() {
        return None;
    }
    loop {
        // A store that fails for a moment is asked again: the reader has nothing better to do.
        if let Ok(run) = find(&told.service, &told.scope).await {
            let now = (run.state, run.done, run.total);
            if run.state.is_final() {
                told.ended = true;
                let event = Event::default().event("end").data(json!(RunDoc::from(&run)).to_string());
                return Some((Ok(event), told));
            }
            if told.last != Some(now) {
                told.last = Some(now);
                let event = Event::default().event("progress").data(json!(RunDoc::from(&run)).to_string());
                return Some((Ok(event), told));
            }
        }
        if told.service.is_stopping() {
            return None;
        }
        tokio::time::sleep(LOOK).await;
    }
}
