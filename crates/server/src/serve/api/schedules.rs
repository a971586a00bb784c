//! Schedules: what fires next, and pausing it. How often is a setting (`schedule.…`); a run at once is a run.

use crate::output::documents::instant;
use crate::serve::problem::Problem;
use crate::serve::scheduler;
use crate::serve::state::{Scope, Service};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::json;
use trueup_engine::ports::Clock;
use trueup_engine::schedule::ScheduleKind;
use trueup_store::Schedule;
use utoipa::ToSchema;

/// A schedule.
#[derive(Serialize, ToSchema)]
pub struct ScheduleDoc {
    /// `check`, `sync`, `pull`, `quantity` or `alerts`.
    #[schema(value_type = String)]
    kind: &'static str,
    /// The setting that says how often.
    #[schema(value_type = String)]
    setting: &'static str,
    /// When it fires next; nothing where it is off or paused.
    next_at: Option<String>,
    /// Whether it is paused.
    paused: bool,
    /// Who paused it.
    paused_by: Option<String>,
    /// Since when.
    paused_at: Option<String>,
    /// The instant for which it fired last.
    last_fire: Option<String>,
    /// The run of that.
    last_run: Option<String>,
    /// Since which fire one came late, or was left out because the run before had not ended; nothing where the last one
    /// was in time.
    missed_at: Option<String>,
    /// Whether this is a day on which nothing is written that nobody approved (`schedule.freeze`).
    frozen: bool,
}

/// Schedules.
#[derive(Serialize, ToSchema)]
pub struct SchedulesDoc {
    /// One of each kind.
    items: Vec<ScheduleDoc>,
}

fn document(kind: ScheduleKind, row: Option<&Schedule>, frozen: bool) -> ScheduleDoc {
    let paused = row.is_some_and(|row| row.paused_at.is_some());
    ScheduleDoc {
        kind: kind.name(),
        setting: kind.setting(),
        next_at: row.filter(|_| !paused).and_then(|row| row.next_at).map(instant),
        paused,
        paused_by: row.and_then(|row| row.paused_by.clone()),
        paused_at: row.and_then(|row| row.paused_at).map(instant),
        last_fire: row.and_then(|row| row.last_fire).map(instant),
        last_run: row.and_then(|row| row.last_run.clone()),
        missed_at: row.and_then(|row| row.missed_at).map(instant),
        frozen,
    }
}

async fn all(service: &Service, scope: &Scope) -> Result<Vec<ScheduleDoc>, Problem> {
    let table = scheduler::timetable(service, &scope.org).await.map_err(crate::failure::CliError::problem)?;
    let rows = service.store.list_schedules(&scope.org).await?;
    let frozen = table.is_frozen(service.clock.now());
    let of = |kind: ScheduleKind| rows.iter().find(|row| row.kind == kind.name());
    Ok(ScheduleKind::ALL.into_iter().map(|kind| document(kind, of(kind), frozen)).collect())
}

/// The schedules of an organization
///
/// How often each fires is a setting. An inherited schedule runs where the organization has a connection of its own.
#[utoipa::path(get, path = "/api/v1/organizations/{org}/schedules", tag = "schedules",
    params(("org" = String, Path, description = "The organization")),
    responses((status = 200, description = "One of each kind", body = SchedulesDoc)))]
pub async fn list(State(service): State<Service>, scope: Scope) -> Result<Json<SchedulesDoc>, Problem> {
    Ok(Json(SchedulesDoc { items: all(&service, &scope).await? }))
}

/// Pause a schedule
///
/// A run that it started already goes on.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/schedules/{schedule}/pause", tag = "schedules",
    params(("org" = String, Path, description = "The organization"),
        ("schedule" = String, Path, description = "`check`, `sync`, `pull`, `quantity` or `alerts`")),
    responses((status = 200, description = "As it is now", body = ScheduleDoc)))]
pub async fn pause(State(service): State<Service>, scope: Scope) -> Result<Json<ScheduleDoc>, Problem> {
    change(&service, &scope, true).await
}

/// Let a schedule go on
///
/// It fires at its next time; what it would have done meanwhile is not caught up.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/schedules/{schedule}/resume", tag = "schedules",
    params(("org" = String, Path, description = "The organization"),
        ("schedule" = String, Path, description = "`check`, `sync`, `pull`, `quantity` or `alerts`")),
    responses((status = 200, description = "As it is now", body = ScheduleDoc)))]
pub async fn resume(State(service): State<Service>, scope: Scope) -> Result<Json<ScheduleDoc>, Problem> {
    change(&service, &scope, false).await
}

async fn change(service: &Service, scope: &Scope, pause: bool) -> Result<Json<ScheduleDoc>, Problem> {
    let name = scope.part("schedule");
    let none = || Problem::none("schedule", name);
    let kind = ScheduleKind::from_name(name).ok_or_else(none)?;
    scheduler::refresh(service).await?;
    let now = service.clock.now();
    let rows = service.store.list_schedules(&scope.org).await?;
    let row = rows.iter().find(|row| row.kind == name && row.next_at.is_some()).ok_or_else(|| {
        Problem::conflict(
            format!("the schedule `{name}` is off in this organization"),
            "Set how often it fires with the setting first.",
        )
    })?;
    if row.paused_at.is_some() != pause {
        let table =
            scheduler::timetable(service, &scope.org).await.map_err(crate::failure::CliError::problem)?;
        let action = if pause { "schedule.pause" } else { "schedule.resume" };
        let actor = scope.app(service).actor().to_owned();
        let entry = service.entry(&actor, action, format!("schedule/{name}"), &json!({}));
        let paused = pause.then_some((now, actor.as_str()));
        let next = table.next_after(kind, now);
        service.store.pause_schedule((&scope.org, name), paused, next, &entry).await?;
    }
    all(service, scope).await?.into_iter().find(|doc| doc.kind == name).map(Json).ok_or_else(none)
}
