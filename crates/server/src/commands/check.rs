//! `trueup check`: new orders and subscriptions become tasks.

use crate::app::App;
use crate::failure::{CliError, Exit};
use crate::output::Output;
use crate::output::documents::{FINDING_HEADER, FindingDoc, TASK_HEADER, TaskDoc, finding_rows, task_rows};
use clap::Args;
use jiff::civil::Date;
use serde::Serialize;
use std::collections::BTreeMap;
use trueup_domain::ids::OrderId;
use trueup_engine::findings::Decided;
use trueup_engine::tasks::{self, CheckReport, NoTask};

/// Flags of `check`.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// Takes orders completed from this day on, whatever the first-run rule says (YYYY-MM-DD)
    #[arg(long, value_name = "DATE", value_parser = crate::cli::day)]
    pub since: Option<Date>,
}

/// An order that is completed after today.
#[derive(Serialize)]
struct LaterDoc {
    order_id: OrderId,
    completed_on: Date,
}

/// What a check did.
#[derive(Serialize)]
pub struct CheckDoc<'a> {
    created: Vec<TaskDoc>,
    moved: Vec<TaskDoc>,
    no_task: &'a [NoTask],
    not_completed: u64,
    later: u64,
    last_of_later: Option<LaterDoc>,
    left_out: u64,
    taken_from: Option<Date>,
    findings: Vec<FindingDoc>,
    tasks: BTreeMap<String, u64>,
}

/// Runs the command.
pub async fn run(app: &App, args: CheckArgs) -> Result<Exit, CliError> {
    let spinner = app.out.progress("Checking for changes");
    let overlays = &app.options.overlays;
    let report = tasks::check_under(app.store(), &app.clock, app.org(), args.since, overlays).await;
    spinner.finish_and_clear();
    let mut report = report?;
    // What somebody muted or put aside needs nobody any more.
    let decided = Decided::of(app.store(), app.org()).await?;
    report.findings.retain(|finding| !decided.has(finding));
    let document = document_of(&report, app.store().count_tasks(app.org()).await?);
    app.out.show(&document, |out| print(out, &report, &document));
    Ok(Exit::needs_person_if(decided.leaves_an_error(&report.findings)))
}

/// A report as a document, with the number of tasks in each state.
pub fn document_of(report: &CheckReport, tasks: BTreeMap<String, u64>) -> CheckDoc<'_> {
    CheckDoc {
        created: report.created.iter().map(TaskDoc::from).collect(),
        moved: report.moved.iter().map(TaskDoc::from).collect(),
        no_task: &report.no_task,
        not_completed: report.not_completed,
        later: report.later,
        last_of_later: report
            .last_of_later
            .as_ref()
            .map(|(order_id, day)| LaterDoc { order_id: order_id.clone(), completed_on: *day }),
        left_out: report.left_out,
        taken_from: report.taken_from,
        findings: report.findings.iter().map(FindingDoc::from).collect(),
        tasks,
    }
}

fn print(out: Output, report: &CheckReport, document: &CheckDoc<'_>) {
    out.line(&format!("{} new tasks, {} moved.", report.created.len(), report.moved.len()));
    if !report.created.is_empty() {
        out.table(TASK_HEADER, task_rows(&report.created));
    }
    for no_task in &report.no_task {
        out.line(&format!("Order {} needs no task: {}.", no_task.order_id, no_task.reason));
    }
    if report.not_completed > 0 {
        out.line(&format!("{} orders are not completed and were left alone.", report.not_completed));
    }
    if report.later > 0 {
        let last = report.last_of_later.as_ref();
        let last =
            last.map(|(order, day)| format!(", the last of them {order} for {day}")).unwrap_or_default();
        out.line(&format!("{} orders are completed after today and wait for their day{last}.", report.later));
    }
    if let Some(from) = report.taken_from {
        out.line(&format!(
            "{} orders were completed before {from} and become no tasks of their own, since this is the first run: \
             `trueup check --since DATE` takes them.",
            report.left_out
        ));
    }
    if !report.findings.is_empty() {
        out.table(FINDING_HEADER, finding_rows(&document.findings));
    }
}
