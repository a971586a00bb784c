//! How the worker carries out jobs: a validation, and the upload of one.

use super::worker::RunWish;
use crate::app::App;
use crate::commands::apply;
use crate::failure::CliError;
use crate::serve::api::{adoption, validation_of};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use trueup_domain::finding::{Code, Severity};
use trueup_domain::ids::{CustomerId, PlanId, SourceId, TaskId};
use trueup_domain::settings::Settings;
use trueup_engine::apply::Progress;
use trueup_engine::jobs::{self, GridRow, JobRequest, Whom};
use trueup_engine::observe::Trust;
use trueup_engine::planning::{Choice, PlanRequest};
use trueup_store::{Run, SqlStore};

/// What a job ended with: whether something needs a person, and the result of its run.
type JobEnd = (bool, Value);

fn damaged() -> CliError {
    CliError::usage("the job cannot be read back from the queue", "Validate anew.")
}

fn plan_request<'a>(
    app: &'a App,
    settings: &'a Settings,
    connection: &'a str,
    wish: &RunWish,
) -> Result<PlanRequest<'a>, CliError> {
    Ok(PlanRequest {
        org: app.org(),
        connection,
        actor: app.actor(),
        settings,
        adoption: adoption(wish.adopt.as_deref()).map_err(|_| damaged())?,
        choice: Choice::All,
        price_source: None,
        edits: Vec::new(),
        trust: Trust::Nothing,
    })
}

/// Validates.
///
/// # Errors
/// It could not be planned.
pub async fn validate(app: &App, wish: &RunWish) -> Result<JobEnd, CliError> {
    let settings = app.settings().await?;
    let (connection, psa) = app.psa_to_write(wish.connection.as_deref()).await?;
    let customers: BTreeSet<Whom> = wish.customers.iter().cloned().collect();
    let plan = plan_request(app, &settings, &connection, wish)?;
    let request = JobRequest { plan, overlays: &app.options.overlays, customers: &customers };
    let (validation, _) = jobs::validate(app.store(), psa.as_ref(), &app.clock, &request).await?;
    Ok((!validation.is_clean(), json!({ "validation": validation })))
}

/// The plan that an upload carries out, and the tasks it is about. Kept while it is under way: what was begun is gone on with
/// after a crash, and not validated against what it wrote itself.
#[derive(Serialize, Deserialize)]
struct Begun {
    plan: PlanId,
    tasks: Vec<TaskId>,
}

/// Uploads what a validation said, or again what an upload left undone.
///
/// # Errors
/// The validation does not hold any more, or the plan could not be carried out.
pub async fn upload(
    app: &App,
    store: &SqlStore,
    (run, wish): (&Run, &RunWish),
    owner: &str,
    tell: &(dyn Fn(Progress) + Send + Sync),
) -> Result<JobEnd, CliError> {
    let settings = app.settings().await?;
    let mark = format!("upload/{}", run.id);
    let known = app.store().load_mark(app.org(), &mark).await?;
    let known: Option<Begun> = known.and_then(|text| serde_json::from_str(&text).ok());
    let Some(Begun { plan, tasks }) = (match known {
        Some(begun) => Some(begun),
        None => begin(app, store, &settings, wish).await?,
    }) else {
        return Ok((false, json!({ "tasks": [], "rows": [] })));
    };
    app.store()
        .save_mark(app.org(), &mark, &json!(Begun { plan: plan.clone(), tasks: tasks.clone() }).to_string())
        .await?;
    let applied = apply::apply_one(app, &settings, &plan, owner, tell).await?;
    app.store().save_mark(app.org(), &mark, "").await?;
    let document = json!(applied.document);
    let rows = rows_of(&document);
    let result = json!({
        "plan_id": plan,
        "tasks": tasks,
        "held": applied.held,
        "summary": document.get("summary"),
        "rows": rows,
    });
    Ok((applied.needs_person, result))
}

/// What an upload is to carry out; nothing where nothing is left of the one that it does again.
async fn begin(
    app: &App,
    store: &SqlStore,
    settings: &Settings,
    wish: &RunWish,
) -> Result<Option<Begun>, CliError> {
    let id = wish.job.as_deref().ok_or_else(damaged)?;
    let before = store.find_run(app.org(), id).await?.ok_or_else(damaged)?;
    let (connection, psa) = app.psa_to_write(wish.connection.as_deref()).await?;
    let customers: BTreeSet<Whom> = wish.customers.iter().cloned().collect();
    let plan = plan_request(app, settings, &connection, wish)?;
    let (stored, tasks) = match validation_of(&before) {
        Some(validation) => {
            let request = JobRequest { plan, overlays: &app.options.overlays, customers: &customers };
            let hours = settings.validation_hours;
            let made = jobs::plan_upload(app.store(), psa.as_ref(), &app.clock, &request, &validation, hours);
            (Some(made.await?), validation.tasks)
        }
        None => {
            let tasks = tasks_of(&before);
            (jobs::plan_retry(app.store(), psa.as_ref(), &app.clock, &plan, &tasks).await?, tasks)
        }
    };
    Ok(stored.map(|stored| Begun { plan: stored.id, tasks }))
}

fn tasks_of(run: &Run) -> Vec<TaskId> {
    let result: Option<Value> = run.result.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let tasks = result.and_then(|result| serde_json::from_value(result.get("tasks")?.clone()).ok());
    tasks.unwrap_or_default()
}

/// The grid of an upload: what was not written, and what it found.
fn rows_of(document: &Value) -> Vec<GridRow> {
    let list = |name: &str| document.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let id = |value: &Value, name: &str| value.get(name).and_then(Value::as_i64);
    let mut rows = Vec::new();
    for change in list("changes") {
        let state = text(&change, "state").unwrap_or_default();
        if state == "applied" {
            continue;
        }
        let error = change.get("error").cloned().unwrap_or_default();
        let code = text(&error, "code").and_then(|name| Code::from_name(&name)).unwrap_or(Code::Tu7006);
        let (message, fix) = match text(&error, "message") {
            Some(message) => (message, code.row().fix.to_owned()),
            None => {
                (format!("This line is {state}."), "Solve what the other rows say, then retry.".to_owned())
            }
        };
        rows.push(GridRow {
            severity: if state == "failed" { Severity::Error } else { code.row().severity },
            code: code.to_string(),
            source: text(&change, "source").map(SourceId::from),
            customer: text(&change, "customer_id").map(CustomerId::from),
            company: id(&change, "company_id"),
            agreement: id(&change, "agreement_id"),
            product: text(&change, "product_id"),
            catalog_item: id(&change, "catalog_item_id"),
            subscription: text(&change, "subscription_id"),
            task: text(&change, "task_id").map(TaskId::from),
            order: text(&change, "order_id"),
            date: None,
            detail: Some(state),
            message,
            fix,
        });
    }
    for finding in list("findings") {
        let code = text(&finding, "code").and_then(|name| Code::from_name(&name));
        let grave = text(&finding, "severity").as_deref() == Some(Severity::Error.name());
        let Some(code) = code.filter(|code| grave || *code == Code::Tu7007) else { continue };
        rows.push(GridRow {
            severity: if grave { Severity::Error } else { Severity::Warning },
            code: code.to_string(),
            source: None,
            customer: None,
            company: None,
            agreement: None,
            product: None,
            catalog_item: None,
            subscription: None,
            task: text(&finding, "task_id").map(TaskId::from),
            order: None,
            date: None,
            detail: None,
            message: text(&finding, "message").unwrap_or_default(),
            fix: text(&finding, "fix").unwrap_or_default(),
        });
    }
    rows
}
