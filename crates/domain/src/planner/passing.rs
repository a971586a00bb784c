//! A plan without the tasks that the checker would not let pass: one customer's fault keeps no other one waiting.

use super::run::blocked;
use super::{TaskInput, World, plan};
use crate::check::violations;
use crate::finding::{Finding, Severity};
use crate::ids::TaskId;
use crate::plan::{DraftPlan, TaskOutcome};
use crate::task::{Task, TaskKind};
use std::collections::BTreeMap;

/// How often what is left is planned anew. Each time at least one task goes; a plan with more faults than this is refused whole.
const ROUNDS: usize = 8;

/// Plans the tasks and leaves out each one of which the checker would refuse a line, with the later ones of its
/// subscription. What is left out has failed, with what the checker says, and no line of it is in the plan.
///
/// The plan comes whole, for the checker to refuse, where nothing would be left of it and where what is wrong belongs to
/// no task.
pub fn plan_what_passes(world: &World<'_>, tasks: &[TaskInput<'_>]) -> DraftPlan {
    let whole = plan(world, tasks);
    let mut left = tasks.to_vec();
    let mut out: Vec<LeftOut<'_>> = Vec::new();
    let mut wrong = violations(&whole, world);
    for _ in 0..ROUNDS {
        let Some(refused) = by_task(wrong) else { return whole };
        let rest = without(left, &refused, &mut out);
        if rest.is_empty() {
            return whole;
        }
        let mut draft = plan(world, &rest);
        wrong = violations(&draft, world);
        if wrong.is_empty() {
            tell(&mut draft, out);
            return draft;
        }
        left = rest;
    }
    whole
}

/// A task that is not in the plan.
enum LeftOut<'a> {
    /// The checker refused lines of it.
    Refused(&'a Task, Vec<Finding>),
    /// It comes after another one of its subscription that is left out.
    Behind(&'a Task, &'a Task),
}

/// What is wrong, by the task it belongs to; nothing where nothing is wrong or some of it belongs to none.
fn by_task(wrong: Vec<Finding>) -> Option<BTreeMap<TaskId, Vec<Finding>>> {
    let mut all: BTreeMap<TaskId, Vec<Finding>> = BTreeMap::new();
    for finding in wrong {
        all.entry(finding.subject.task.clone()?).or_default().push(finding);
    }
    Some(all).filter(|all| !all.is_empty())
}

/// The tasks that stay.
fn without<'a>(
    tasks: Vec<TaskInput<'a>>,
    refused: &BTreeMap<TaskId, Vec<Finding>>,
    out: &mut Vec<LeftOut<'a>>,
) -> Vec<TaskInput<'a>> {
    let named: Vec<&'a Task> =
        tasks.iter().map(|input| input.task).filter(|task| refused.contains_key(&task.id)).collect();
    let before = |task: &Task| named.iter().copied().find(|earlier| is_behind(task, earlier));
    let mut stay = Vec::new();
    for input in tasks {
        if let Some(found) = refused.get(&input.task.id) {
            out.push(LeftOut::Refused(input.task, found.clone()));
        } else if let Some(earlier) = before(input.task) {
            out.push(LeftOut::Behind(input.task, earlier));
        } else {
            stay.push(input);
        }
    }
    stay
}

/// Whether a task is of the same subscription as another one and comes after it.
fn is_behind(task: &Task, earlier: &Task) -> bool {
    task.kind != TaskKind::Reconciliation
        && (&task.source, &task.subscription) == (&earlier.source, &earlier.subscription)
        && task.sequence() > earlier.sequence()
}

fn tell(draft: &mut DraftPlan, out: Vec<LeftOut<'_>>) {
    for left in out {
        match left {
            LeftOut::Refused(task, found) => {
                draft.outcomes.insert(task.id.clone(), TaskOutcome::Failed);
                draft.findings.extend(found.into_iter().map(of_no_change));
            }
            LeftOut::Behind(task, earlier) => {
                draft.outcomes.insert(task.id.clone(), TaskOutcome::Blocked);
                draft.findings.push(blocked(task, earlier));
            }
        }
    }
}

/// What the checker said of a change, without the change's id: that one was of another plan, and the next night it is one more
/// again.
fn of_no_change(mut finding: Finding) -> Finding {
    if let Some(id) = finding.subject.detail.take() {
        let line = match &finding.subject.product {
            Some(product) => format!("The line of {product}"),
            None => "A line".to_owned(),
        };
        finding.message = finding.message.replace(&id, &line);
    }
    finding.message.push_str(" The order is left out of this plan; the others are in it.");
    finding.severity(Severity::Error)
}
