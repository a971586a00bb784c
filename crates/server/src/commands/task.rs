//! `trueup task`: orders on their way into ConnectWise, and what people decide about them.

use crate::app::App;
use crate::failure::{CliError, Exit};
use crate::output::documents::{
    ORDER_LINE_HEADER, STORED_FINDING_HEADER, StoredFindingDoc, TASK_HEADER, TaskDoc, order_line_rows,
    stored_finding_rows, task_rows,
};
use crate::output::note;
use clap::{Args, Subcommand};
use serde_json::json;
use trueup_domain::feed::{Record, RecordKind};
use trueup_domain::ids::{SourceId, TaskId};
use trueup_domain::task::{Task, TaskState};
use trueup_engine::failure::Failure;
use trueup_engine::findings;
use trueup_engine::records::{FindingFilter, TaskFilter};
use trueup_engine::tasks::{self, Decision};

/// Tasks.
#[derive(Debug, Subcommand)]
pub enum TaskCommand {
    /// Lists tasks
    List(ListArgs),
    /// Shows one task with its order, findings and plan
    Show {
        /// The task
        id: String,
    },
    /// Leaves tasks out
    Ignore {
        /// The tasks
        #[arg(required = true)]
        ids: Vec<String>,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Takes ignored tasks back in
    Unignore {
        /// The tasks
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Lets failed or blocked tasks be planned again
    Retry {
        /// The tasks
        #[arg(required = true)]
        ids: Vec<String>,
    },
}

/// Flags of `task list`.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// In this state: new, needs_mapping, blocked, ready, planned, applying, in_doubt, done, failed or ignored; may be
    /// repeated
    #[arg(long, value_name = "STATE")]
    state: Vec<String>,
    /// Of this customer
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
    /// Of this subscription
    #[arg(long, value_name = "ID")]
    subscription: Option<String>,
    /// Of this source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
}

/// Runs one of the commands.
pub async fn run(app: &App, command: TaskCommand) -> Result<Exit, CliError> {
    match command {
        TaskCommand::List(args) => list(app, args).await,
        TaskCommand::Show { id } => show(app, &TaskId::from(id)).await,
        TaskCommand::Ignore { ids, reason } => decide(app, ids, &Decision::Ignore(reason)).await,
        TaskCommand::Unignore { ids } => decide(app, ids, &Decision::Unignore).await,
        TaskCommand::Retry { ids } => decide(app, ids, &Decision::Retry).await,
    }
}

fn state_of(name: &str) -> Result<TaskState, CliError> {
    TaskState::from_name(name).ok_or_else(|| {
        let all: Vec<&str> = TaskState::ALL.iter().map(|s| s.name()).collect();
        CliError::usage(format!("`{name}` is no state of a task"), format!("Use one of {}.", all.join(", ")))
    })
}

async fn list(app: &App, args: ListArgs) -> Result<Exit, CliError> {
    let states = args.state.iter().map(|name| state_of(name)).collect::<Result<_, _>>()?;
    let filter = TaskFilter {
        states,
        customer: args.customer,
        subscription: args.subscription,
        source: args.source.map(SourceId::from),
        ids: Vec::new(),
        subscriptions: Vec::new(),
    };
    let found = app.store().list_tasks(app.org(), &filter).await?;
    print_tasks(app, &found);
    Ok(Exit::Done)
}

fn print_tasks(app: &App, found: &[Task]) {
    let documents: Vec<TaskDoc> = found.iter().map(TaskDoc::from).collect();
    app.out.show(&json!({ "tasks": documents }), |out| out.table(TASK_HEADER, task_rows(found)));
}

async fn show(app: &App, id: &TaskId) -> Result<Exit, CliError> {
    let task = tasks::get(app.store(), app.org(), id).await?;
    let order = match &task.order_id {
        Some(order) => {
            app.store().find_record(app.org(), &task.source, RecordKind::Order, order.as_str()).await?
        }
        None => None,
    };
    let plan = app.store().find_plan_of_task(app.org(), id).await?;
    let filter = FindingFilter { task: Some(id.clone()), ..FindingFilter::default() };
    let findings = findings::list(app.store(), app.org(), &filter).await?;
    let documents: Vec<StoredFindingDoc> = findings.iter().map(StoredFindingDoc::from).collect();
    let order = order.and_then(|row| match row.record {
        Record::Order(order) => Some((row.version, order)),
        _ => None, // open set: another kind has no order's fields
    });
    let kept = order.as_ref().map(|(version, order)| json!({ "version": version, "record": order }));
    let document = json!({
        "task": TaskDoc::from(&task), "plan_id": plan, "findings": &documents, "order": kept,
    });
    app.out.show(&document, |out| {
        out.table(TASK_HEADER, task_rows(std::slice::from_ref(&task)));
        if let Some((version, order)) = &order {
            out.line(&format!(
                "Order {}, completed {}, effective {}, period {}, version {version}:",
                order.shown(),
                order.completed_at,
                order.effective,
                order.period
            ));
            out.table(ORDER_LINE_HEADER, order_line_rows(order));
        }
        if let Some(plan) = &plan {
            out.line(&format!("Answered by plan {plan}."));
        }
        if !findings.is_empty() {
            out.table(STORED_FINDING_HEADER, stored_finding_rows(&documents));
        }
    });
    Ok(Exit::Done)
}

/// Each task is decided on its own: those that the decision does not fit are named, and the others go on.
async fn decide(app: &App, ids: Vec<String>, decision: &Decision) -> Result<Exit, CliError> {
    let (mut moved, mut refused) = (Vec::with_capacity(ids.len()), Vec::new());
    let alone = ids.len() == 1;
    for id in ids {
        let id = TaskId::from(id);
        match tasks::decide(app.store(), &app.clock, app.org(), app.actor(), &id, decision).await {
            Ok(task) => moved.push(task),
            Err(Failure::Wrong { message, fix }) if !alone => {
                note(&format!("trueup: {message}. {fix}"));
                refused.push(json!({ "task_id": id, "detail": message }));
            }
            Err(failure) => return Err(failure.into()),
        }
    }
    let documents: Vec<TaskDoc> = moved.iter().map(TaskDoc::from).collect();
    let mut document = json!({ "tasks": documents });
    if !refused.is_empty() {
        document["refused"] = json!(refused);
    }
    app.out.show(&document, |out| out.table(TASK_HEADER, task_rows(&moved)));
    Ok(Exit::needs_person_if(!refused.is_empty()))
}
