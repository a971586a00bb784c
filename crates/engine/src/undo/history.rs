//! What was written for what is to be taken back, by the audit, the plans and their operations.

use super::{UndoRequest, Wish};
use crate::failure::Failure;
use crate::ports::Store;
use crate::records::{AuditEntry, OperationState, PlanState, StoredPlan};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::finding::{Code, Finding, Severity, Subject};
use trueup_domain::ids::{AdditionId, ChangeId, OrganizationId, PlanId, SourceId, SubscriptionId, TaskId};
use trueup_domain::plan::{AdditionLink, DraftPlan, TaskOutcome};
use trueup_domain::task::{Task, TaskState};

/// Of the history of one addition so much is looked at.
const HISTORY: u32 = 10_000;

/// The tasks, each with something to take back.
pub(super) async fn done_tasks(
    store: &dyn Store,
    org: &OrganizationId,
    ids: &[TaskId],
) -> Result<Vec<Task>, Failure> {
    let mut tasks = Vec::with_capacity(ids.len());
    for id in ids {
        let task = crate::tasks::get(store, org, id).await?;
        match task.state {
            TaskState::Applying | TaskState::InDoubt => {
                return Err(Failure::wrong(
                    format!("task {id} is {}: an operation of it has no outcome yet", task.state.name()),
                    "Run `trueup apply --all` first: it looks operations in doubt up.",
                ));
            }
            TaskState::New
            | TaskState::NeedsMapping
            | TaskState::Ready
            | TaskState::Planned
            | TaskState::Done
            | TaskState::Failed
            | TaskState::Ignored
            | TaskState::Blocked => tasks.push(task),
        }
    }
    Ok(tasks)
}

/// What the audit says of a write.
#[derive(Deserialize)]
struct WriteNote {
    outcome: String,
    plan_id: Option<PlanId>,
    task_id: Option<TaskId>,
}

fn written(entry: &AuditEntry) -> Option<(PlanId, Option<TaskId>)> {
    let written: WriteNote = serde_json::from_str(&entry.entry.detail).ok()?;
    (written.outcome == "done").then_some((written.plan_id?, written.task_id))
}

async fn history(
    store: &dyn Store,
    org: &OrganizationId,
    addition: AdditionId,
) -> Result<Vec<(i64, PlanId, Option<TaskId>)>, Failure> {
    let entries = store.list_audit(org, Some(addition), HISTORY).await?;
    let mut found: Vec<_> = entries
        .iter()
        .filter_map(|entry| written(entry).map(|(plan, task)| (entry.number, plan, task)))
        .collect();
    found.sort_by_key(|(number, _, _)| *number);
    Ok(found)
}

/// What was written for what is to be taken back.
#[derive(Default)]
pub(super) struct Written {
    /// The plans, oldest first.
    pub(super) plans: Vec<PlanId>,
    /// Tasks that are done and for which nothing had to be written, with the plan that found that.
    needless: Vec<(Task, PlanId)>,
    /// Tasks of which nothing is left to be taken back.
    gone: Vec<Task>,
    /// For each task that was named, the plans since it was last taken back.
    since: BTreeMap<TaskId, BTreeSet<PlanId>>,
}

impl Written {
    pub(super) fn by(plans: Vec<PlanId>) -> Self {
        Self { plans, ..Self::default() }
    }

    /// The subscriptions of what needed no line: what an order sold that came after it is told by their lines alone.
    pub(super) fn without_a_line(&self) -> impl Iterator<Item = (SourceId, SubscriptionId)> {
        self.needless.iter().map(|(task, _)| (task.source.clone(), task.subscription.clone()))
    }

    /// The named tasks of which nothing in a plan is to be taken back: it was, before.
    pub(super) fn settled_in(&self, plan: &PlanId) -> BTreeSet<TaskId> {
        let settled = self.since.iter().filter(|(_, plans)| !plans.contains(plan));
        settled.map(|(task, _)| task.clone()).collect()
    }

    /// Puts aside with the others what needed no line, and tells what there is nothing left of.
    pub(super) fn note(&self, draft: &mut DraftPlan) {
        for (task, plan) in &self.needless {
            let is_held = |finding: &Finding| {
                finding.severity == Severity::Error
                    && finding.subject.subscription.as_ref() == Some(&task.subscription)
            };
            if draft.findings.iter().any(is_held) {
                continue;
            }
            draft.outcomes.insert(task.id.clone(), TaskOutcome::Undone);
            if !draft.undoes.contains(plan) {
                draft.undoes.push(plan.clone());
            }
        }
        for task in &self.gone {
            let subject = Subject {
                task: Some(task.id.clone()),
                source: Some(task.source.clone()),
                customer: Some(task.customer.clone()),
                subscription: Some(task.subscription.clone()),
                ..Subject::default()
            };
            let finding = Finding::new(Code::Tu7006, subject, nothing_left(&task.id));
            draft.findings.push(finding.severity(Severity::Info).fix("Nothing: the others are taken back."));
        }
    }
}

fn nothing_left(task: &TaskId) -> String {
    format!("trueup wrote nothing for task {task}, or took all of it back already")
}

/// The plans that wrote for the tasks since each was last taken back, and those that wrote for other tasks of their
/// subscriptions since.
pub(super) async fn written_for(
    store: &dyn Store,
    org: &OrganizationId,
    tasks: &[Task],
    links: &[AdditionLink],
) -> Result<Written, Failure> {
    let mut all: BTreeSet<(i64, PlanId)> = BTreeSet::new();
    let mut written = Written::default();
    for task in tasks {
        // What a plan did for another task of the subscription is looked at as well: one that takes this task back may
        // name the other one for a line that both wrote to.
        let mut story: BTreeMap<PlanId, (i64, bool)> = BTreeMap::new();
        let own = links.iter().filter(|l| l.source == task.source && l.subscription == task.subscription);
        for link in own {
            for (number, plan, of) in history(store, org, link.addition).await? {
                let entry = story.entry(plan).or_insert((number, false));
                entry.1 |= of.is_some_and(|id| id == task.id);
            }
        }
        let mut in_order: Vec<(i64, PlanId, bool)> =
            story.into_iter().map(|(plan, (number, own))| (number, plan, own)).collect();
        in_order.sort();
        let mut since = Vec::new();
        for (number, id, own) in in_order {
            let Some(stored) = store.find_plan(org, &id).await? else { continue };
            let plan = stored.body.plan();
            // A plan that took all of it back settles what was before it; one that stopped half way is part of the story.
            if stored.state == PlanState::Applied && plan.outcomes.get(&task.id) == Some(&TaskOutcome::Undone)
            {
                since.clear();
            } else if own || !since.is_empty() {
                // What others wrote since may lie on it, or have been taken back.
                since.push((number, id));
            }
        }
        written.since.insert(task.id.clone(), since.iter().map(|(_, plan)| plan.clone()).collect());
        if !since.is_empty() {
            all.extend(since);
            continue;
        }
        let touched = links.iter().any(|link| link.source == task.source && is_touched_by(link, task));
        match store.find_plan_of_task(org, &task.id).await? {
            Some(plan) if task.state == TaskState::Done && !touched => {
                written.needless.push((task.clone(), plan));
            }
            Some(_) | None => written.gone.push(task.clone()),
        }
    }
    if let (true, true, [task, ..]) = (all.is_empty(), written.needless.is_empty(), &written.gone[..]) {
        return Err(Failure::wrong(nothing_left(&task.id), "`trueup audit list` shows what it wrote."));
    }
    for (_, plan) in all {
        if !written.plans.contains(&plan) {
            written.plans.push(plan);
        }
    }
    Ok(written)
}

fn is_touched_by(link: &AdditionLink, task: &Task) -> bool {
    task.order_id.as_ref().is_some_and(|order| link.names(order))
}

/// The plan that wrote last to each addition that the plans wrote to.
pub(super) async fn last_writers(
    store: &dyn Store,
    org: &OrganizationId,
    carried: &[(StoredPlan, Done)],
) -> Result<BTreeMap<AdditionId, PlanId>, Failure> {
    let additions: BTreeSet<AdditionId> =
        carried.iter().flat_map(|(_, done)| done.values().copied()).collect();
    let mut last = BTreeMap::new();
    for addition in additions {
        if let Some((_, plan, _)) = history(store, org, addition).await?.pop() {
            last.insert(addition, plan);
        }
    }
    Ok(last)
}

/// The last plan that wrote to each addition.
pub(super) async fn plans_of_additions(
    store: &dyn Store,
    org: &OrganizationId,
    additions: &[AdditionId],
) -> Result<Vec<PlanId>, Failure> {
    let mut last: BTreeSet<(i64, PlanId)> = BTreeSet::new();
    for addition in additions {
        let Some((number, plan, _)) = history(store, org, *addition).await?.pop() else {
            return Err(Failure::wrong(
                format!("trueup never wrote to addition {addition}"),
                "`trueup audit list` shows what it wrote.",
            ));
        };
        last.insert((number, plan));
    }
    let mut plans = Vec::new();
    for (_, plan) in last {
        if !plans.contains(&plan) {
            plans.push(plan);
        }
    }
    Ok(plans)
}

fn takes_back(plan: &DraftPlan) -> bool {
    !plan.undoes.is_empty()
}

pub(super) type Done = BTreeMap<ChangeId, AdditionId>;

/// The plans with what became of their changes.
pub(super) async fn carried(
    store: &dyn Store,
    request: &UndoRequest<'_>,
    written: &Written,
) -> Result<Vec<(StoredPlan, Done)>, Failure> {
    let mut carried = Vec::new();
    for id in &written.plans {
        let Some(stored) = store.find_plan(request.org, id).await? else {
            return Err(Failure::wrong(format!("there is no plan `{id}`"), "`trueup plan list` shows them."));
        };
        if stored.connection != request.connection {
            return Err(Failure::wrong(
                format!("plan {id} was carried out on connection `{}`", stored.connection),
                format!("Name it with `--connection {}`.", stored.connection),
            ));
        }
        if !matches!(request.wish, Wish::Tasks(_)) && takes_back(stored.body.plan()) {
            return Err(Failure::wrong(
                format!("plan {id} took something back itself"),
                "Take its tasks in again (`trueup task unignore`), and plan them anew.",
            ));
        }
        let mut done = Done::new();
        for row in store.list_operations(request.org, id).await? {
            match (row.state, row.addition) {
                (OperationState::Done, Some(addition)) => {
                    done.insert(row.change, addition);
                }
                (OperationState::Sending | OperationState::InDoubt, _) => {
                    return Err(Failure::wrong(
                        format!("an operation of plan {id} has no outcome yet"),
                        "Run `trueup apply --all` first: it looks operations in doubt up.",
                    ));
                }
                (OperationState::Done | OperationState::Intent | OperationState::Refused, _)
                | (OperationState::Skipped, _) => {}
            }
        }
        if !done.is_empty() {
            carried.push((stored, done));
        }
    }
    if carried.is_empty() && written.needless.is_empty() {
        return Err(Failure::wrong(
            "trueup wrote nothing there, or took all of it back already",
            "`trueup audit list` shows what it wrote.",
        ));
    }
    Ok(carried)
}
