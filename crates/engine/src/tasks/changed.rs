//! Orders that the source changed after they were brought into ConnectWise, or put aside.

use super::{Picture, assess};
use crate::failure::Failure;
use crate::ports::Store;
use trueup_domain::feed::{Order, OrderChange, OrderKind, Record, RecordKind};
use trueup_domain::finding::{Code, Finding, Severity, Subject};
use trueup_domain::ids::OrganizationId;
use trueup_domain::task::{Task, TaskState, task_id_of_order};

/// Orders that changed at the source after their task was done: what was billed may no longer be what was sold.
pub(super) async fn after_done(
    store: &dyn Store,
    org: &OrganizationId,
    picture: &Picture,
) -> Result<Vec<Finding>, Failure> {
    let mut found = Vec::new();
    // Collected first: a closure that lives across an await keeps the check from running on another thread.
    let rows: Vec<_> = picture
        .orders
        .iter()
        .flat_map(|(source, rows)| rows.iter().map(move |row| (source, row)))
        .filter(|(_, (row, _))| row.version > 1)
        .collect();
    for (source, (row, order)) in rows {
        let Some(task) = picture.tasks.get(&task_id_of_order(source, &order.id)) else { continue };
        if task.state == TaskState::Ignored && task.decided_by.is_some() {
            let key = (RecordKind::Order, order.id.as_str());
            let before = store.find_record_at(org, source, key, row.received_at - 1).await?;
            found.extend(completed_again(task, order, row.version, before.as_ref()));
        }
        if task.state != TaskState::Done {
            continue;
        }
        let plan = match store.find_plan_of_task(org, &task.id).await? {
            Some(id) => store.find_plan(org, &id).await?,
            None => None,
        };
        let Some(planned_at) = plan.map(|plan| plan.created_at).filter(|at| *at < row.received_at) else {
            continue;
        };
        // Sent to and fro, or with another version between: what counts is what it says now.
        let key = (RecordKind::Order, order.id.as_str());
        let planned = store.find_record_at(org, source, key, planned_at).await?;
        if planned.as_ref().is_none_or(|planned| !says_the_same(planned, order)) {
            let change = match &planned {
                Some(Record::Order(planned)) => OrderChange::between(planned, order),
                _ => OrderChange::default(), // open set: what is not kept any more cannot be compared
            };
            let what = match (planned.is_some(), change.said.is_empty()) {
                (true, false) => format!(": {}", change.text()),
                (true, true) => ", in nothing that decides what is billed".to_owned(),
                (false, _) => String::new(),
            };
            let sum = change.amount.map(|amount| {
                let more = if amount.is_negative() { "less" } else { "more" };
                let amount = amount.abs();
                format!(" Its lines are worth {} {} {more}.", amount.shown(order.currency), order.currency)
            });
            let message = format!(
                "Order {} was changed at the source (version {}) after it was brought into ConnectWise{what}.{}",
                order.shown(),
                row.version,
                sum.unwrap_or_default()
            );
            // A reconciliation goes by the record of the subscription, which may be older than the order.
            let fix = format!(
                "Compare the order with the additions (`trueup audit explain`). To bill what it says now, take it back \
                 (`trueup undo --task {0}`) and in again (`trueup task unignore {0}`).",
                task.id
            );
            let mut finding = Finding::new(Code::Tu8006, subject_of(task), message).fix(fix);
            if change.withdrawn {
                let fix = format!(
                    "Where it is not to be billed, take it back (`trueup undo --task {}`); else bring it in as completed.",
                    task.id
                );
                finding = finding.severity(Severity::Error).fix(fix);
            } else if planned.is_some() && change.said.is_empty() {
                finding =
                    finding.severity(Severity::Info).fix("Nothing, where the texts are right as they are.");
            }
            if let Some(amount) = change.amount {
                finding = finding.amount(amount, order.currency);
            }
            found.push(finding);
        }
    }
    Ok(found)
}

/// What tells these findings from those of plans about the same task.
pub(super) const DETAIL: &str = "the order at the source";

pub(super) fn subject_of(task: &Task) -> Subject {
    Subject { detail: Some(DETAIL.to_owned()), ..assess::subject_of(task) }
}

/// What a person put aside, as what the source had withdrawn, and the source completes again: it is sold, and the task stays
/// as the person left it.
fn completed_again(task: &Task, order: &Order, version: u32, before: Option<&Record>) -> Option<Finding> {
    let Some(Record::Order(before)) = before else { return None };
    let change = OrderChange::between(before, order);
    if !change.completed {
        return None;
    }
    let (so, wanted) = match order.kind {
        OrderKind::Cancellation => ("what it ends is billed on", "to end"),
        OrderKind::Transfer => ("the former customer is billed on", "to move"),
        OrderKind::Sales | OrderKind::Change | OrderKind::Renewal | OrderKind::Billing => {
            ("nothing of it is billed", "to be billed")
        }
    };
    let message = format!(
        "Order {} was put aside and is completed again at the source (version {version}): {so}.",
        order.shown()
    );
    let fix = format!("`trueup task unignore {}` takes it in again, where it is {wanted}.", task.id);
    let finding = Finding::new(Code::Tu8006, subject_of(task), message).severity(Severity::Error).fix(fix);
    Some(match change.amount {
        Some(amount) => finding.amount(amount, order.currency),
        None => finding,
    })
}

/// Whether a record is the order as it is: its instant counts, however it is written.
fn says_the_same(planned: &Record, order: &Order) -> bool {
    let Record::Order(planned) = planned else { return false };
    *planned == Order { completed_at: planned.completed_at.clone(), ..order.clone() }
}
