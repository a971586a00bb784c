//! Plans: what would be written, and what became of it.

use crate::failure::CliError;
use crate::line_edits::LineEditDoc;
use crate::output::contract::{Lines, Outcome, Outcomes, PlanDoc, plan_state};
use crate::output::documents::instant;
use crate::serve::extract::{Body, Find};
use crate::serve::page::{self, Page};
use crate::serve::problem::Problem;
use crate::serve::state::{Scope, Service};
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use trueup_domain::ids::{CustomerId, PlanId, SourceId, TaskId};
use trueup_domain::period::Period;
use trueup_domain::planner::AdoptionAnswer;
use trueup_domain::settings::PriceSource;
use trueup_engine::observe::Trust;
use trueup_engine::planning::{Choice, LineEdit, PlanRequest, make_plan};
use trueup_engine::ports::Store;
use trueup_engine::reconcile::{Reconciliation, tasks_for};
use trueup_store::PlanRow;
use utoipa::{IntoParams, ToSchema};

/// Which plans are listed.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PlanQuery {
    /// Rows of a page.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// Where the page begins.
    cursor: Option<String>,
}

/// How a plan is shown.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PlanView {
    /// Lists also the lines that stay as they are.
    all_lines: Option<bool>,
}

/// A plan in a list.
#[derive(Serialize, ToSchema)]
pub struct PlanRowDoc {
    /// Id.
    plan_id: String,
    /// When it was made.
    created_at: String,
    /// By whom.
    actor: String,
    /// The connection.
    connection: String,
    /// `proposed`, `applying`, `applied`, `partial`, `stale` or `refused`.
    #[schema(value_type = String)]
    state: &'static str,
    /// Lines to create.
    create: usize,
    /// Lines to update.
    update: usize,
    /// Lines to end.
    cancel: usize,
    /// Lines to delete.
    delete: usize,
    /// Lines that stay.
    keep: usize,
}

impl From<PlanRow> for PlanRowDoc {
    fn from(row: PlanRow) -> Self {
        let totals = row.totals;
        Self {
            plan_id: row.id.to_string(),
            created_at: instant(row.created_at),
            actor: row.actor,
            connection: row.connection,
            state: plan_state(row.state),
            create: totals.create,
            update: totals.update,
            cancel: totals.cancel,
            delete: totals.delete,
            keep: totals.keep,
        }
    }
}

/// A billing period of a customer to reconcile.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReconcileWish {
    /// The customer.
    customer: String,
    /// First day.
    #[schema(example = "2026-03-01")]
    start: String,
    /// The first day that no longer counts.
    #[schema(example = "2026-04-01")]
    end: String,
    /// The source that knows the customer; every source where it is missing.
    source: Option<String>,
    /// Proposes lines also for periods that are invoiced already.
    confirm_invoiced: Option<bool>,
}

/// A plan to make: of all tasks that are not finished, unless some are named.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanWish {
    /// These tasks, and the earlier ones of their subscriptions.
    #[schema(max_items = 10000)]
    tasks: Option<Vec<String>>,
    /// A period to reconcile instead.
    reconcile: Option<ReconcileWish>,
    /// `marketplace` or `connectwise`, for these tasks alone.
    price_source: Option<String>,
    /// What to do where an addition is there that trueup did not write: `propose`, `take_single` or `create_beside`.
    adopt: Option<String>,
    /// What is set of the lines that these tasks propose: it stays with the task until it is taken back.
    #[serde(default)]
    #[schema(max_items = 1000)]
    edits: Vec<LineEditDoc>,
    /// The connection; the nearest one where it is missing.
    connection: Option<String>,
}

/// The edits that are meant.
fn edits(wishes: &[LineEditDoc]) -> Result<Vec<LineEdit>, Problem> {
    if wishes.len() > 1000 {
        return Err(Problem::field("edits", "at most 1000 at once"));
    }
    wishes
        .iter()
        .map(|wish| wish.parse().map_err(|wrong| Problem::field(&wrong.field, wrong.reason)))
        .collect()
}

/// What a word about adoption means.
///
/// # Errors
/// It means nothing.
pub fn adoption(word: Option<&str>) -> Result<AdoptionAnswer, Problem> {
    match word {
        None | Some("propose") => Ok(AdoptionAnswer::Propose),
        Some("take_single") => Ok(AdoptionAnswer::TakeSingle),
        Some("create_beside") => Ok(AdoptionAnswer::CreateBeside),
        Some(other) => {
            Err(Problem::field("adopt", format!("`{other}` is none of propose, take_single, create_beside")))
        }
    }
}

/// The plans of an organization, the newest first
#[utoipa::path(get, path = "/api/v1/organizations/{org}/plans", tag = "plans",
    params(("org" = String, Path, description = "The organization"), PlanQuery),
    responses((status = 200, description = "A page", body = Page<PlanRowDoc>)))]
pub async fn list(
    State(service): State<Service>,
    scope: Scope,
    Find(query): Find<PlanQuery>,
) -> Result<Json<Page<PlanRowDoc>>, Problem> {
    let limit = page::limit(query.limit)?;
    let after = page::decode(query.cursor.as_deref())?;
    let after = match after {
        None => None,
        Some((at, id)) => Some((at.parse::<i64>().map_err(|_| page::foreign())?, PlanId::from(id))),
    };
    let plans = service.store.page_plans(&scope.org, after.as_ref(), limit + 1).await?;
    let mark = |plan: &PlanRow| (plan.created_at.to_string(), plan.id.to_string());
    Ok(Json(Page::of(plans, limit, mark, PlanRowDoc::from)))
}

/// Make a plan
///
/// Reads the agreements concerned afresh, computes and stores a plan. Nothing is written to ConnectWise.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/plans", tag = "plans",
    params(("org" = String, Path, description = "The organization")), request_body = PlanWish,
    responses((status = 201, description = "The plan", body = PlanDoc)))]
pub async fn make(
    State(service): State<Service>,
    scope: Scope,
    Body(wish): Body<PlanWish>,
) -> Result<Response, Problem> {
    let app = scope.app(&service);
    let adoption = adoption(wish.adopt.as_deref())?;
    let price_source = match wish.price_source.as_deref() {
        None => None,
        Some("marketplace") => Some(PriceSource::Marketplace),
        Some("connectwise") => Some(PriceSource::Connectwise),
        Some(other) => {
            return Err(Problem::field(
                "price_source",
                format!("`{other}` is none of marketplace, connectwise"),
            ));
        }
    };
    let choice = choose(&service, &scope, wish.tasks, wish.reconcile).await?;
    let settings = app.settings().await.map_err(CliError::problem)?;
    let (connection, psa) = app.psa_to_write(wish.connection.as_deref()).await.map_err(CliError::problem)?;
    let request = PlanRequest {
        org: app.org(),
        connection: &connection,
        actor: app.actor(),
        settings: &settings,
        adoption,
        choice,
        price_source,
        edits: edits(&wish.edits)?,
        trust: Trust::Nothing,
    };
    let planned = make_plan(app.store(), psa.as_ref(), &app.clock, &request).await?;
    let document =
        PlanDoc::new(&planned.stored, app.org(), &Outcomes::new(), &planned.brakes, Lines::Changes);
    let location = format!("/api/v1/organizations/{}/plans/{}", scope.org, planned.stored.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(document)).into_response())
}

async fn choose(
    service: &Service,
    scope: &Scope,
    tasks: Option<Vec<String>>,
    reconcile: Option<ReconcileWish>,
) -> Result<Choice, Problem> {
    let wish = match (tasks, reconcile) {
        (Some(_), Some(_)) => return Err(Problem::field("reconcile", "name tasks or a period, not both")),
        (Some(ids), None) if ids.is_empty() => return Err(Problem::field("tasks", "name at least one")),
        (Some(ids), None) => return Ok(Choice::Tasks(ids.into_iter().map(TaskId::from).collect())),
        (None, None) => return Ok(Choice::All),
        (None, Some(wish)) => wish,
    };
    let day =
        |field: &str, text: &str| text.parse::<Date>().map_err(|_| Problem::field(field, "write YYYY-MM-DD"));
    let period = Period::new(day("reconcile.start", &wish.start)?, day("reconcile.end", &wish.end)?)
        .map_err(|error| Problem::field("reconcile.end", error.to_string()))?;
    let customer = CustomerId::from(wish.customer.as_str());
    let source = wish.source.map(SourceId::from);
    let wanted = Reconciliation {
        source: source.as_ref(),
        customer: &customer,
        period,
        confirm_invoiced: wish.confirm_invoiced.unwrap_or(false),
    };
    Ok(Choice::Given(tasks_for(service.store.as_ref(), &service.clock, &scope.org, &wanted).await?))
}

/// One plan, and what became of it
#[utoipa::path(get, path = "/api/v1/organizations/{org}/plans/{plan}", tag = "plans",
    params(("org" = String, Path, description = "The organization"), ("plan" = String, Path, description = "The plan"),
        PlanView),
    responses((status = 200, description = "The plan", body = PlanDoc)))]
pub async fn show(
    State(service): State<Service>,
    scope: Scope,
    Find(view): Find<PlanView>,
) -> Result<Json<PlanDoc>, Problem> {
    let id = PlanId::from(scope.part("plan"));
    let stored = service.store.find_plan(&scope.org, &id).await?;
    let stored = stored.ok_or_else(|| Problem::none("plan", id.as_str()))?;
    let outcomes: BTreeMap<_, _> = service
        .store
        .list_operations(&scope.org, &id)
        .await?
        .iter()
        .map(|row| (row.change.clone(), Outcome::from(row)))
        .collect();
    let lines = if view.all_lines.unwrap_or(false) { Lines::All } else { Lines::Changes };
    Ok(Json(PlanDoc::new(&stored, &scope.org, &outcomes, &[], lines)))
}
