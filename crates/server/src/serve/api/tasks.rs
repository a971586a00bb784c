//! Tasks: orders on their way into ConnectWise, and what people decide about them.

use crate::output::documents::{StoredFindingDoc, TaskDoc};
use crate::serve::extract::{Body, Find};
use crate::serve::page::{self, Page};
use crate::serve::problem::Problem;
use crate::serve::state::{Scope, Service};
use axum::Json;
use axum::extract::State;
use jiff::Span;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use trueup_domain::feed::{Record, RecordKind};
use trueup_domain::ids::{SourceId, TaskId};
use trueup_domain::task::{Task, TaskKind, TaskState};
use trueup_engine::ports::{Clock, Store};
use trueup_engine::records::{FindingFilter, TaskFilter};
use trueup_engine::tasks::{self, Decision};
use trueup_store::{TaskOrder, TaskPage};
use utoipa::{IntoParams, ToSchema};

/// Tasks decided about at once.
const MOST: usize = 1_000;

/// Which tasks are listed.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TaskQuery {
    /// In one of these states, separated by commas.
    #[param(example = "ready,needs_mapping")]
    state: Option<String>,
    /// Of one of these kinds, separated by commas.
    #[param(example = "sales,change")]
    kind: Option<String>,
    /// Of this customer.
    customer: Option<String>,
    /// Of this subscription.
    subscription: Option<String>,
    /// Of this source.
    source: Option<String>,
    /// Of orders completed on this day (UTC) or later.
    #[param(example = "2026-04-01")]
    completed_after: Option<String>,
    /// Of orders completed before this day (UTC).
    completed_before: Option<String>,
    /// Of orders completed at least so many days ago; 0 is the organization's date.
    #[param(minimum = 0, maximum = 36500)]
    min_age: Option<u32>,
    /// Of orders completed at most so many days ago.
    #[param(minimum = 0, maximum = 36500)]
    max_age: Option<u32>,
    /// Text in the ids of task, order, customer or subscription, or in the name of the customer or of the company in
    /// ConnectWise that the customer is mapped to.
    search: Option<String>,
    /// `completed`, `moved`, `customer`, `subscription` or `state`; with `-` before it the greatest first. Default:
    /// `-completed`.
    sort: Option<String>,
    /// Rows of a page.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// Where the page begins.
    cursor: Option<String>,
}

/// A task with what belongs to it.
#[derive(Serialize, ToSchema)]
pub struct TaskDetailDoc {
    /// The task.
    task: TaskDoc,
    /// The plan that last answered it.
    plan_id: Option<String>,
    /// What was found about it.
    findings: Vec<StoredFindingDoc>,
    /// Its order: `version` and `record`.
    #[schema(value_type = Option<Object>)]
    order: Option<Value>,
}

/// A decision about tasks.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskDecision {
    /// The tasks.
    #[schema(min_items = 1, max_items = 1000)]
    ids: Vec<String>,
    /// `ignore`, `unignore` or `retry`.
    #[schema(pattern = "^(ignore|unignore|retry)$")]
    decision: String,
    /// Why; needed to ignore.
    #[schema(max_length = 500)]
    reason: Option<String>,
}

/// A task that the decision did not fit.
#[derive(Serialize, ToSchema)]
pub struct RefusedTask {
    /// The task.
    task_id: String,
    /// Why.
    detail: String,
}

/// What became of a decision.
#[derive(Serialize, ToSchema)]
pub struct DecidedDoc {
    /// Tasks as they stand now.
    tasks: Vec<TaskDoc>,
    /// Tasks that stay as they were.
    refused: Vec<RefusedTask>,
}

/// Words separated by commas.
///
/// # Errors
/// A word that means nothing.
pub fn words<T>(field: &str, text: Option<&str>, of: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, Problem> {
    let words = text.unwrap_or_default().split(',').map(str::trim).filter(|word| !word.is_empty());
    words.map(|word| of(word).ok_or_else(|| Problem::field(field, format!("`{word}` is unknown")))).collect()
}

fn order_of(sort: Option<&str>) -> Result<(TaskOrder, bool), Problem> {
    let Some(sort) = sort else { return Ok((TaskOrder::Completed, true)) };
    let (word, descending) = match sort.strip_prefix('-') {
        Some(word) => (word, true),
        None => (sort, false),
    };
    let order = match word {
        "completed" => TaskOrder::Completed,
        "moved" => TaskOrder::Saved,
        "customer" => TaskOrder::Customer,
        "subscription" => TaskOrder::Subscription,
        "state" => TaskOrder::State,
        other => return Err(Problem::field("sort", format!("tasks are not sorted by `{other}`"))),
    };
    Ok((order, descending))
}

/// When a day begins, in microseconds since 1970.
fn begin_of(field: &str, day: Option<&str>) -> Result<Option<i64>, Problem> {
    let Some(day) = day else { return Ok(None) };
    let wrong = || Problem::field(field, format!("`{day}` is no date, such as 2026-04-01"));
    let date: Date = day.parse().map_err(|_| wrong())?;
    let begin = date.to_zoned(TimeZone::UTC).map_err(|_| wrong())?;
    Ok(Some(begin.timestamp().as_microsecond()))
}

/// Days that an age may have.
const OLDEST: u32 = 36_500;

/// When the day so many days before `today`, and `later` days more, begins, in microseconds since 1970.
fn begin_of_age(field: &str, today: Date, age: Option<u32>, later: i64) -> Result<Option<i64>, Problem> {
    let Some(age) = age else { return Ok(None) };
    let wrong = || Problem::field(field, format!("name 0 to {OLDEST} days"));
    if age > OLDEST {
        return Err(wrong());
    }
    let day = today.checked_add(Span::new().days(later - i64::from(age))).map_err(|_| wrong())?;
    let begin = day.to_zoned(TimeZone::UTC).map_err(|_| wrong())?;
    Ok(Some(begin.timestamp().as_microsecond()))
}

/// The instants between which the orders were completed: from the first on, before the second.
fn completed(query: &TaskQuery, today: Date) -> Result<(Option<i64>, Option<i64>), Problem> {
    let after = begin_of("completed_after", query.completed_after.as_deref())?;
    let before = begin_of("completed_before", query.completed_before.as_deref())?;
    let young = begin_of_age("max_age", today, query.max_age, 0)?;
    // Whoever is as old as that to the day counts.
    let old = begin_of_age("min_age", today, query.min_age, 1)?;
    Ok((after.max(young), [before, old].into_iter().flatten().min()))
}

/// The tasks of an organization
#[utoipa::path(get, path = "/api/v1/organizations/{org}/tasks", tag = "tasks",
    params(("org" = String, Path, description = "The organization"), TaskQuery),
    responses((status = 200, description = "A page", body = Page<TaskDoc>)))]
pub async fn list(
    State(service): State<Service>,
    scope: Scope,
    Find(query): Find<TaskQuery>,
) -> Result<Json<Page<TaskDoc>>, Problem> {
    let limit = page::limit(query.limit)?;
    let (order, descending) = order_of(query.sort.as_deref())?;
    let completed = completed(&query, service.clock.today())?;
    let filter = TaskFilter {
        states: words("state", query.state.as_deref(), TaskState::from_name)?,
        ids: Vec::new(),
        customer: query.customer,
        subscription: query.subscription,
        source: query.source.map(SourceId::from),
        subscriptions: Vec::new(),
    };
    let wanted = TaskPage {
        filter,
        kinds: words("kind", query.kind.as_deref(), TaskKind::from_name)?,
        search: query.search,
        saved_since: None,
        completed,
        order,
        descending,
        after: page::decode(query.cursor.as_deref())?,
        limit: limit + 1,
    };
    let rows = service.store.page_tasks(&scope.org, &wanted).await?;
    let mark = |(task, value): &(Task, String)| (value.clone(), task.id.to_string());
    Ok(Json(Page::of(rows, limit, mark, |(task, _)| TaskDoc::from(&task))))
}

async fn find(service: &Service, scope: &Scope, id: &TaskId) -> Result<Task, Problem> {
    let filter = TaskFilter { ids: vec![id.clone()], ..TaskFilter::default() };
    let found = service.store.list_tasks(&scope.org, &filter).await?.into_iter().next();
    found.ok_or_else(|| Problem::none("task", id.as_str()))
}

/// One task, with its order, findings and plan
#[utoipa::path(get, path = "/api/v1/organizations/{org}/tasks/{task}", tag = "tasks",
    params(("org" = String, Path, description = "The organization"), ("task" = String, Path, description = "The task")),
    responses((status = 200, description = "The task", body = TaskDetailDoc)))]
pub async fn show(State(service): State<Service>, scope: Scope) -> Result<Json<TaskDetailDoc>, Problem> {
    let id = TaskId::from(scope.part("task"));
    let task = find(&service, &scope, &id).await?;
    let order = match &task.order_id {
        Some(order) => {
            service.store.find_record(&scope.org, &task.source, RecordKind::Order, order.as_str()).await?
        }
        None => None,
    };
    let plan = service.store.find_plan_of_task(&scope.org, &id).await?;
    let filter = FindingFilter { task: Some(id), ..FindingFilter::default() };
    let findings = service.store.list_findings(&scope.org, &filter).await?;
    let order = order.and_then(|row| match row.record {
        Record::Order(order) => Some(json!({ "version": row.version, "record": order })),
        _ => None, // open set: another kind has no order's fields
    });
    Ok(Json(TaskDetailDoc {
        task: TaskDoc::from(&task),
        plan_id: plan.map(|p| p.to_string()),
        findings: findings.iter().map(StoredFindingDoc::from).collect(),
        order,
    }))
}

/// Ignore, take back or retry tasks
///
/// Each task is decided on its own: those that the decision does not fit are named, and the others go on.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/tasks/decide", tag = "tasks",
    params(("org" = String, Path, description = "The organization")), request_body = TaskDecision,
    responses((status = 200, description = "What became of each", body = DecidedDoc)))]
pub async fn decide(
    State(service): State<Service>,
    scope: Scope,
    Body(body): Body<TaskDecision>,
) -> Result<Json<DecidedDoc>, Problem> {
    if body.ids.is_empty() || body.ids.len() > MOST {
        return Err(Problem::field("ids", format!("name 1 to {MOST} tasks")));
    }
    let reason = body.reason.unwrap_or_default().trim().to_owned();
    let decision = match body.decision.as_str() {
        "ignore" if reason.is_empty() => return Err(Problem::field("reason", "say why")),
        "ignore" => Decision::Ignore(reason),
        "unignore" => Decision::Unignore,
        "retry" => Decision::Retry,
        other => {
            return Err(Problem::field("decision", format!("`{other}` is none of ignore, unignore, retry")));
        }
    };
    let app = scope.app(&service);
    let mut document = DecidedDoc { tasks: Vec::new(), refused: Vec::new() };
    for id in body.ids {
        let id = TaskId::from(id);
        match find(&service, &scope, &id).await {
            Ok(_) => {}
            Err(problem) if problem.status == 404 => {
                document
                    .refused
                    .push(RefusedTask { task_id: id.to_string(), detail: problem.detail.clone() });
                continue;
            }
            Err(problem) => return Err(problem),
        }
        match tasks::decide(app.store(), &app.clock, app.org(), app.actor(), &id, &decision).await {
            Ok(task) => document.tasks.push(TaskDoc::from(&task)),
            Err(trueup_engine::failure::Failure::Wrong { message, .. }) => {
                document.refused.push(RefusedTask { task_id: id.to_string(), detail: message });
            }
            Err(failure) => return Err(failure.into()),
        }
    }
    Ok(Json(document))
}
