//! Validate, then upload: jobs over chosen customers, each with its states and its grid of errors.

use super::grid::{GridRowDoc, csv_of};
use super::plans::adoption;
use super::runs::start_run;
use crate::output::documents::instant;
use crate::serve::extract::{Body, Find};
use crate::serve::page::{self, Page};
use crate::serve::problem::Problem;
use crate::serve::state::source_of;
use crate::serve::state::{Scope, Service};
use crate::serve::worker::{RunKind, RunWish};
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::feed::RecordKind;
use trueup_domain::ids::{CustomerId, SourceId};
use trueup_domain::mapping::MappingKind;
use trueup_engine::jobs::{GridRow, Validation, Whom};
use trueup_engine::mappings::release::Selection;
use trueup_engine::ports::{Clock, Store};
use trueup_store::{CancelFrom, Run, RunState};
use utoipa::{IntoParams, ToSchema};

/// Customers of one job.
const MOST: usize = 10_000;

/// Which jobs are listed.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct JobQuery {
    /// Rows of a page.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// Where the page begins.
    cursor: Option<String>,
}

/// A customer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChosenCustomer {
    /// Id at the source.
    #[schema(min_length = 1, max_length = 500)]
    id: String,
    /// The source; `default` where it is missing.
    #[schema(max_length = 100)]
    source: Option<String>,
}

/// A validation to start.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewValidation {
    /// Whom; everybody where it is missing.
    #[schema(max_items = 10000)]
    customers: Option<Vec<ChosenCustomer>>,
    /// Instead: those of this validation in whose way nothing stood.
    clean_of: Option<String>,
    /// What to do where an addition is there that trueup did not write: `propose`, `take_single` or `create_beside`.
    adopt: Option<String>,
    /// The connection; the nearest one where it is missing.
    connection: Option<String>,
}

/// What would be written for one customer.
#[derive(Serialize, ToSchema)]
pub struct JobCustomerDoc {
    source: String,
    customer_id: String,
    /// Lines to write.
    lines: usize,
    /// What they add to the next invoices, by currency.
    amounts: BTreeMap<String, String>,
    /// Whether something stands in the way.
    failing: bool,
}

/// A job.
#[derive(Serialize, ToSchema)]
pub struct JobDoc {
    /// Id; it is a run as well, with its stream of progress.
    job_id: String,
    /// `validate` or `upload`; another kind only where a run that is no job was cancelled.
    kind: String,
    /// `queued`, `running`, `success` or `error`.
    #[schema(value_type = String)]
    state: &'static str,
    /// Who asked for it.
    actor: String,
    /// The validation of an upload, or the upload whose failed rows it does again.
    of: Option<String>,
    /// When it was asked for.
    created_at: String,
    /// When it began.
    started_at: Option<String>,
    /// When it ended.
    finished_at: Option<String>,
    /// Steps done.
    done: u64,
    /// Steps in all, as far as known.
    total: u64,
    /// The plan that shows what would be written, or was.
    plan_id: Option<String>,
    /// What may be done next: `upload` of a validation without errors, `retry` of an upload with some, or nothing.
    #[schema(value_type = Option<String>)]
    next: Option<&'static str>,
    /// By customer.
    customers: Vec<JobCustomerDoc>,
    /// The grid.
    rows: Vec<GridRowDoc>,
    /// Why it stopped, where it did: a problem.
    #[schema(value_type = Option<Object>)]
    problem: Option<Value>,
}

/// The states of a job are fewer than those of a run.
fn state_of(run: &Run) -> &'static str {
    match run.state {
        RunState::Queued => "queued",
        RunState::Running => "running",
        RunState::Done => "success",
        RunState::NeedsPerson | RunState::Failed => "error",
    }
}

fn result_of(run: &Run) -> Value {
    run.result.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// The validation that a run ended with.
pub fn validation_of(run: &Run) -> Option<Validation> {
    serde_json::from_value(result_of(run).get("validation")?.clone()).ok()
}

fn rows_of(run: &Run) -> Vec<GridRow> {
    let rows = result_of(run).get("rows").cloned().and_then(|rows| serde_json::from_value(rows).ok());
    validation_of(run).map(|v| v.rows).or(rows).unwrap_or_default()
}

impl JobDoc {
    fn new(run: &Run) -> Self {
        let (result, validation) = (result_of(run), validation_of(run));
        let wish: RunWish = serde_json::from_str(&run.request).unwrap_or_default();
        let is_upload = run.kind == RunKind::Upload.name();
        let next = match (run.state, is_upload) {
            (RunState::Done, false) => Some("upload"),
            (RunState::NeedsPerson, true) => Some("retry"),
            _ => None, // open set: pairs of two
        };
        let customers = validation.iter().flat_map(|v| &v.customers).map(|sum| JobCustomerDoc {
            source: sum.source.to_string(),
            customer_id: sum.customer.to_string(),
            lines: sum.lines,
            amounts: sum.amounts.iter().map(|(c, amount)| (c.clone(), amount.to_string())).collect(),
            failing: sum.failing,
        });
        let plan = result.get("plan_id").and_then(Value::as_str).map(str::to_owned);
        let is_over = run.state == RunState::Failed;
        Self {
            job_id: run.id.clone(),
            kind: run.kind.clone(),
            state: state_of(run),
            actor: run.actor.clone(),
            of: wish.job,
            created_at: instant(run.created_at),
            started_at: run.started_at.map(instant),
            finished_at: run.finished_at.map(instant),
            done: run.done,
            total: run.total,
            plan_id: validation.as_ref().map(|v| v.plan.to_string()).or(plan),
            next,
            customers: customers.collect(),
            rows: rows_of(run).iter().map(GridRowDoc::from).collect(),
            problem: is_over.then_some(result),
        }
    }
}

const KINDS: [RunKind; 2] = [RunKind::Validate, RunKind::Upload];

async fn find(service: &Service, scope: &Scope, id: &str) -> Result<Run, Problem> {
    let run = service.store.find_run(&scope.org, id).await?;
    run.filter(is_job).ok_or_else(|| Problem::none("job", id))
}

fn is_job(run: &Run) -> bool {
    KINDS.iter().any(|kind| kind.name() == run.kind)
}

/// The jobs of an organization, the newest first
///
/// Without customers and rows; one job shows its own.
#[utoipa::path(get, path = "/api/v1/organizations/{org}/jobs", tag = "jobs",
    params(("org" = String, Path, description = "The organization"), JobQuery),
    responses((status = 200, description = "A page", body = Page<JobDoc>)))]
pub async fn list(
    State(service): State<Service>,
    scope: Scope,
    Find(query): Find<JobQuery>,
) -> Result<Json<Page<JobDoc>>, Problem> {
    let limit = page::limit(query.limit)?;
    let before = page::decode(query.cursor.as_deref())?.map(|(_, id)| id);
    let kinds = KINDS.map(RunKind::name);
    let rows = service.store.list_runs_of(&scope.org, &kinds, before.as_deref(), limit + 1).await?;
    let mark = |run: &Run| (String::new(), run.id.clone());
    let short = |run: Run| JobDoc { customers: Vec::new(), rows: Vec::new(), ..JobDoc::new(&run) };
    Ok(Json(Page::of(rows, limit, mark, short)))
}

/// One job with its grid
#[utoipa::path(get, path = "/api/v1/organizations/{org}/jobs/{job}", tag = "jobs",
    params(("org" = String, Path, description = "The organization"), ("job" = String, Path, description = "The job")),
    responses((status = 200, description = "The job", body = JobDoc)))]
pub async fn show(State(service): State<Service>, scope: Scope) -> Result<Json<JobDoc>, Problem> {
    Ok(Json(JobDoc::new(&find(&service, &scope, scope.part("job")).await?)))
}

/// Start a validation
///
/// Takes in new orders, reads ConnectWise and says for each customer what would be written and what stands in its way.
/// Nothing is written to ConnectWise.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/jobs", tag = "jobs",
    params(("org" = String, Path, description = "The organization")), request_body = NewValidation,
    responses((status = 202, description = "It waits for a worker", body = JobDoc)))]
pub async fn validate(
    State(service): State<Service>,
    scope: Scope,
    Body(body): Body<NewValidation>,
) -> Result<Response, Problem> {
    adoption(body.adopt.as_deref())?;
    let (customers, of) = match (body.customers, body.clean_of) {
        (Some(_), Some(_)) => {
            return Err(Problem::field("clean_of", "name customers or a validation, not both"));
        }
        (Some(chosen), None) => (known(&service, &scope, chosen).await?, None),
        (None, Some(id)) => {
            let run = find(&service, &scope, &id).await?;
            let before = validation_of(&run).ok_or_else(|| Problem::none("validation", &id))?;
            let clean = before.customers.iter().filter(|sum| !sum.failing);
            let clean: BTreeSet<Whom> = clean.map(|s| (s.source.clone(), s.customer.clone())).collect();
            if clean.is_empty() {
                return Err(Problem::field(
                    "clean_of",
                    "something stands in the way of each of its customers",
                ));
            }
            (clean, Some(id))
        }
        (None, None) => (BTreeSet::new(), None),
    };
    let wish = RunWish {
        customers: customers.into_iter().collect(),
        job: of,
        adopt: body.adopt,
        connection: body.connection,
        ..RunWish::default()
    };
    start(&service, &scope, RunKind::Validate, &wish).await
}

async fn known(
    service: &Service,
    scope: &Scope,
    chosen: Vec<ChosenCustomer>,
) -> Result<BTreeSet<Whom>, Problem> {
    if chosen.is_empty() || chosen.len() > MOST {
        return Err(Problem::field("customers", format!("name 1 to {MOST}, or leave it out for everybody")));
    }
    let mut customers = BTreeSet::new();
    for one in chosen {
        let source: SourceId = source_of(one.source.as_deref())?;
        let there = service.store.find_record(&scope.org, &source, RecordKind::Customer, &one.id).await?;
        if there.is_none() {
            return Err(Problem::field(
                "customers",
                format!("there is no customer `{}` of {source}", one.id),
            ));
        }
        customers.insert((source, CustomerId::from(one.id)));
    }
    Ok(customers)
}

/// Upload a validation, or the failed rows of an upload
///
/// A validation without errors is uploaded where it still holds: where the same would be written now, and nothing stands
/// in its way. Of an upload with errors, what was not written is written again. What people have to approve waits for
/// them.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/jobs/{job}/upload", tag = "jobs",
    params(("org" = String, Path, description = "The organization"), ("job" = String, Path, description = "The job")),
    responses((status = 202, description = "It waits for a worker", body = JobDoc)))]
pub async fn upload(State(service): State<Service>, scope: Scope) -> Result<Response, Problem> {
    let run = find(&service, &scope, scope.part("job")).await?;
    let before: RunWish = serde_json::from_str(&run.request).map_err(|_| Problem::internal())?;
    if JobDoc::new(&run).next.is_none() {
        let what = format!(
            "the job {} is {}: {}",
            run.id,
            state_of(&run),
            "only a validation without errors is uploaded"
        );
        return Err(Problem::conflict(what, "Solve what its rows say, then validate again."));
    }
    let wish = RunWish { job: Some(run.id), approve: false, ..before };
    start(&service, &scope, RunKind::Upload, &wish).await
}

/// Cancel a job, or any run that waits
///
/// A job that waits or is under way ends as `error` with that reason; what it wrote stays. A run of another kind is
/// cancelled only while it waits for a worker.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/jobs/{job}/cancel", tag = "jobs",
    params(("org" = String, Path, description = "The organization"), ("job" = String, Path, description = "The job")),
    responses((status = 200, description = "As it stands now", body = JobDoc)))]
pub async fn cancel(State(service): State<Service>, scope: Scope) -> Result<Json<JobDoc>, Problem> {
    let id = scope.part("job");
    let run = service.store.find_run(&scope.org, id).await?.ok_or_else(|| Problem::none("job", id))?;
    let from = if is_job(&run) { CancelFrom::Anywhere } else { CancelFrom::Waiting };
    let actor = scope.app(&service).actor().to_owned();
    let problem =
        json!({ "title": "Cancelled", "detail": format!("{actor} cancelled it; what it wrote stays") });
    let entry = service.entry(&actor, "run.cancel", format!("run/{}", run.id), &json!({ "kind": run.kind }));
    let end = (service.clock.now(), problem.to_string());
    if !service.store.cancel_run(&run, from, (end.0, &end.1), &entry).await? {
        return Err(match from {
            CancelFrom::Anywhere => Problem::conflict("the job ended already", "Look at what it says."),
            CancelFrom::Waiting => Problem::conflict(
                format!("the run {id} does not wait any more"),
                "Look at what it says; only validations and uploads are cancelled under way.",
            ),
        });
    }
    let ended = service.store.find_run(&scope.org, id).await?;
    Ok(Json(JobDoc::new(&ended.ok_or_else(|| Problem::none("job", id))?)))
}

/// The grid of a job as CSV
#[utoipa::path(get, path = "/api/v1/organizations/{org}/jobs/{job}/grid", tag = "jobs",
    params(("org" = String, Path, description = "The organization"), ("job" = String, Path, description = "The job")),
    responses((status = 200, description = "CSV", content_type = "text/csv", body = String)))]
pub async fn grid(State(service): State<Service>, scope: Scope) -> Result<Response, Problem> {
    let run = find(&service, &scope, scope.part("job")).await?;
    let text = csv_of(&rows_of(&run)).map_err(|_| Problem::internal())?;
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"grid.csv\""),
    ];
    Ok((headers, text).into_response())
}

/// Refuses a release while a job of the customer waits or is under way: what it validates must stay what it is. Whose a
/// mapping of another kind is cannot always be told; such a one waits for every job.
///
/// # Errors
/// There is such a job.
pub async fn stand_off(service: &Service, scope: &Scope, selection: &Selection) -> Result<(), Problem> {
    let kinds = KINDS.map(RunKind::name);
    for run in service.store.list_open_runs(&scope.org).await? {
        if !kinds.contains(&run.kind.as_str()) {
            continue;
        }
        let wish: RunWish = serde_json::from_str(&run.request).unwrap_or_default();
        let is_other = selection.kind == MappingKind::Customer
            && !wish.customers.is_empty()
            && !wish
                .customers
                .contains(&(selection.source.clone(), CustomerId::from(selection.source_id.as_str())));
        if !is_other {
            return Err(Problem::conflict(
                format!("the job {} works with these mappings", run.id),
                "Wait until it has ended, or cancel it.",
            ));
        }
    }
    Ok(())
}

async fn start(service: &Service, scope: &Scope, kind: RunKind, wish: &RunWish) -> Result<Response, Problem> {
    let said = json!({ "customers": wish.customers.len(), "of": wish.job });
    let run = start_run(service, scope, kind, wish, None, said).await?;
    let location = format!("/api/v1/organizations/{}/jobs/{}", scope.org, run.id);
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(JobDoc::new(&run))).into_response())
}
