//! Undo: a plan that takes back what was written. It is carried out like any other plan.

use crate::failure::CliError;
use crate::output::contract::{Lines, Outcomes, PlanDoc};
use crate::serve::extract::Body;
use crate::serve::problem::Problem;
use crate::serve::state::{Scope, Service};
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use trueup_domain::ids::{AdditionId, PlanId, TaskId};
use trueup_domain::planner::Credit;
use trueup_engine::ports::Store;
use trueup_engine::undo::{UndoRequest, Wish, plan_undo};
use utoipa::ToSchema;

/// What to take back: a plan, tasks or additions; one of the three.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UndoWish {
    /// Everything that this plan wrote.
    plan_id: Option<String>,
    /// Everything that was written for these tasks.
    #[schema(max_items = 1000)]
    tasks: Option<Vec<String>>,
    /// The last change of each of these additions; their tasks stay done.
    #[schema(max_items = 1000)]
    additions: Option<Vec<i64>>,
    /// The connection; the nearest one where it is missing.
    connection: Option<String>,
    /// Whether a line gives back what invoices billed since (as it does where this is missing); where none does, the amount
    /// is told, and somebody gives it back otherwise.
    credit: Option<bool>,
}

/// The most tasks or additions of one undo.
const MOST: usize = 1_000;

fn wish(body: &UndoWish) -> Result<Wish, Problem> {
    let some = |field: &str, count: usize| match count {
        0 => Err(Problem::field(field, "name at least one")),
        1..=MOST => Ok(()),
        _ => Err(Problem::field(field, format!("name at most {MOST}"))), // open set: numbers
    };
    match (&body.plan_id, &body.tasks, &body.additions) {
        (Some(plan), None, None) => Ok(Wish::Plan(PlanId::from(plan.clone()))),
        (None, Some(tasks), None) => {
            some("tasks", tasks.len())?;
            Ok(Wish::Tasks(tasks.iter().cloned().map(TaskId::from).collect()))
        }
        (None, None, Some(additions)) => {
            some("additions", additions.len())?;
            Ok(Wish::Additions(additions.iter().copied().map(AdditionId).collect()))
        }
        (None, None, None) | (Some(_), _, _) | (None, Some(_), Some(_)) => {
            Err(Problem::field("plan_id", "name a plan, tasks or additions, and one of the three alone"))
        }
    }
}

/// Plan to take back what was written
///
/// Restores what was there from the next invoice on. What invoices billed since is given back (where credits are on), or
/// charged, by a line that is billed once: the invoices stay as they were made. Nothing is written to ConnectWise: the
/// plan is carried out like any other, and its tasks are put aside then, until somebody takes them in again.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/undo", tag = "plans",
    params(("org" = String, Path, description = "The organization")), request_body = UndoWish,
    responses((status = 201, description = "The plan", body = PlanDoc)))]
pub async fn plan(
    State(service): State<Service>,
    scope: Scope,
    Body(body): Body<UndoWish>,
) -> Result<Response, Problem> {
    let wish = wish(&body)?;
    if let Wish::Plan(id) = &wish {
        let found = service.store.find_plan(&scope.org, id).await?;
        found.ok_or_else(|| Problem::none("plan", id.as_str()))?;
    }
    let app = scope.app(&service);
    let settings = app.settings().await.map_err(CliError::problem)?;
    let (connection, psa) = app.psa_to_write(body.connection.as_deref()).await.map_err(CliError::problem)?;
    let request = UndoRequest {
        org: app.org(),
        connection: &connection,
        actor: app.actor(),
        settings: &settings,
        wish: &wish,
        credit: if body.credit == Some(false) { Credit::LeaveOut } else { Credit::Propose },
    };
    let stored = plan_undo(app.store(), psa.as_ref(), &app.clock, &request).await?;
    let document = PlanDoc::new(&stored, app.org(), &Outcomes::new(), &[], Lines::Changes);
    let location = format!("/api/v1/organizations/{}/plans/{}", scope.org, stored.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(document)).into_response())
}
