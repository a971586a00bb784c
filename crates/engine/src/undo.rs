//! Undo: a plan that takes back what earlier plans wrote. It is kept like any other plan, and carried out by its id.

use crate::access::Account;
use crate::failure::Failure;
use crate::findings;
use crate::planning::checked;
use crate::ports::{Clock, Psa, Store};
use crate::records::{AuditEntry, OperationState, PlanState, StoredPlan, TaskFilter};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::finding::{Code, Finding, Severity, Subject};
use trueup_domain::ids::{AdditionId, AgreementId, ChangeId, OrganizationId, PlanId, TaskId};
use trueup_domain::mapping::Mappings;
use trueup_domain::plan::{AdditionLink, DraftPlan, TaskOutcome};
use trueup_domain::planner::{AdoptionAnswer, Carried, Completions, Credit, Extent, World, undo};
use trueup_domain::psa::Snapshot;
use trueup_domain::settings::Settings;
use trueup_domain::task::{Task, TaskState};

/// Why a task that was taken back is left out.
pub const REASON: &str = "its lines were taken back; take the task in again to bill it anew";

/// Of the history of one addition so much is looked at.
const HISTORY: u32 = 10_000;

/// What is to be taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Everything that a plan wrote.
    Plan(PlanId),
    /// Everything that was written for these tasks.
    Tasks(Vec<TaskId>),
    /// The last change of each of these additions; their tasks stay done.
    Additions(Vec<AdditionId>),
}

/// An undo to plan.
#[derive(Clone, Copy, Debug)]
pub struct UndoRequest<'a> {
    /// Whose.
    pub org: &'a OrganizationId,
    /// The connection that `psa` reaches.
    pub connection: &'a str,
    /// Who asks for it.
    pub actor: &'a str,
    /// Its settings.
    pub settings: &'a Settings,
    /// What.
    pub wish: &'a Wish,
    /// What becomes of what invoices billed and is to be given back.
    pub credit: Credit,
}

/// Makes and keeps a plan that takes back what was written. Nothing is written to ConnectWise.
///
/// # Errors
/// The store's or the PSA's, or [`Failure::Wrong`] where there is nothing to take back, or not yet.
pub async fn plan_undo(
    store: &dyn Store,
    psa: &dyn Psa,
    clock: &dyn Clock,
    request: &UndoRequest<'_>,
) -> Result<StoredPlan, Failure> {
    let account = Account { store, clock, org: request.org, connection: request.connection };
    account.told(plan_seen(store, psa, clock, request, account).await).await
}

async fn plan_seen(
    store: &dyn Store,
    psa: &dyn Psa,
    clock: &dyn Clock,
    request: &UndoRequest<'_>,
    account: Account<'_>,
) -> Result<StoredPlan, Failure> {
    account.sees_all(psa).await?;
    let links = store.list_links(request.org).await?;
    let (plans, extent) = match request.wish {
        Wish::Plan(id) => (vec![id.clone()], Extent::Everything),
        Wish::Tasks(ids) => {
            let tasks = done_tasks(store, request.org, ids).await?;
            (
                plans_of_tasks(store, request.org, &tasks, &links).await?,
                Extent::Tasks(ids.iter().cloned().collect()),
            )
        }
        Wish::Additions(ids) => {
            let plans = plans_of_additions(store, request.org, ids).await?;
            (plans, Extent::Additions(ids.iter().copied().collect()))
        }
    };
    let carried = carried(store, request, &plans).await?;
    let views: Vec<Carried<'_>> = carried
        .iter()
        .map(|(stored, done)| Carried { id: &stored.id, plan: stored.body.plan(), done })
        .collect();
    let snapshot = observe(psa, &views).await?;
    let (mappings, customers, products, subscriptions) =
        (Mappings::default(), BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let world = World {
        organization: request.org,
        today: clock.today(),
        settings: request.settings,
        snapshot: &snapshot,
        mappings: &mappings,
        links: &links,
        customers: &customers,
        products: &products,
        subscriptions: &subscriptions,
        completed: &Completions::new(),
        adoption: AdoptionAnswer::Propose,
    };
    let last = last_writers(store, request.org, &carried).await?;
    let mut draft = undo(&world, &views, &extent, &last, request.credit);
    draft.note_invoicers(&snapshot);
    let stored = checked(draft, &world, clock, request.connection, request.actor);
    store.save_plan(request.org, &stored).await?;
    keep_findings(store, clock, request.org, &stored).await?;
    Ok(stored)
}

/// The name under which the findings of an undo of a task are kept: no plan and no check of it settles them.
fn scope_of(task: &TaskId) -> String {
    format!("undo/{task}")
}

/// Records what keeps tasks from being taken back: it stays to be seen until they are, or until it is tried again.
async fn keep_findings(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    stored: &StoredPlan,
) -> Result<(), Failure> {
    let plan = stored.body.plan();
    let mut found = found_of_tasks(plan);
    // What it would write is said by the plan, as long as nobody has carried it out.
    found.values_mut().for_each(|of_task| of_task.retain(|finding| finding.severity == Severity::Error));
    let concerned = plan.changes.iter().map(|change| &change.task).chain(plan.outcomes.keys());
    for task in concerned {
        found.entry(task.clone()).or_default();
    }
    let ids: Vec<TaskId> = found.keys().cloned().collect();
    if ids.is_empty() {
        return Ok(());
    }
    // Of a task that was taken back nothing is left to be said.
    let ignored = [TaskState::Ignored].to_vec();
    let filter = TaskFilter { ids, states: ignored, ..TaskFilter::default() };
    for task in store.list_tasks(org, &filter).await? {
        found.remove(&task.id);
    }
    for (task, findings) in found {
        store.record_findings(org, &scope_of(&task), clock.now(), clock.today(), &findings).await?;
    }
    Ok(())
}

/// Closes what was found of tasks that are taken back: of their lines, and of undoing them. What the undo left for a person
/// to give back stays.
///
/// # Errors
/// The store's.
pub(crate) async fn settle_findings(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    plan: &DraftPlan,
    tasks: &BTreeSet<TaskId>,
) -> Result<(), Failure> {
    if tasks.is_empty() {
        return Ok(());
    }
    let scope = findings::Scope { looked_at: tasks, judged: None, general: "undo" };
    findings::record(store, clock, org, scope, &[]).await?;
    let mut left_out = found_of_tasks(plan);
    for task in tasks {
        let mut left_out = left_out.remove(task).unwrap_or_default();
        left_out.retain(|finding| finding.code == Code::Tu6005);
        store.record_findings(org, &scope_of(task), clock.now(), clock.today(), &left_out).await?;
    }
    Ok(())
}

/// What an undo says of tasks, told apart from what is said of the tasks themselves.
fn found_of_tasks(plan: &DraftPlan) -> BTreeMap<TaskId, Vec<Finding>> {
    let mut found: BTreeMap<TaskId, Vec<Finding>> = BTreeMap::new();
    for finding in &plan.findings {
        let Some(task) = &finding.subject.task else { continue };
        let detail = Some(match &finding.subject.detail {
            Some(detail) => format!("undo of {task}, {detail}"),
            None => format!("undo of {task}"),
        });
        let subject = Subject { task: None, detail, ..finding.subject.clone() };
        found.entry(task.clone()).or_default().push(Finding { subject, ..finding.clone() });
    }
    found
}

/// The tasks, each with something to take back.
async fn done_tasks(store: &dyn Store, org: &OrganizationId, ids: &[TaskId]) -> Result<Vec<Task>, Failure> {
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
struct Written {
    outcome: String,
    plan_id: Option<PlanId>,
    task_id: Option<TaskId>,
}

fn written(entry: &AuditEntry) -> Option<(PlanId, Option<TaskId>)> {
    let written: Written = serde_json::from_str(&entry.entry.detail).ok()?;
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

/// The plans that wrote for the tasks since each was last taken back, oldest first.
async fn plans_of_tasks(
    store: &dyn Store,
    org: &OrganizationId,
    tasks: &[Task],
    links: &[AdditionLink],
) -> Result<Vec<PlanId>, Failure> {
    let mut all: BTreeSet<(i64, PlanId)> = BTreeSet::new();
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
            } else if own {
                since.push((number, id));
            }
        }
        if since.is_empty() {
            return Err(Failure::wrong(
                format!("trueup wrote nothing for task {}, or took all of it back already", task.id),
                "`trueup audit list` shows what it wrote.",
            ));
        }
        all.extend(since);
    }
    let mut plans = Vec::new();
    for (_, plan) in all {
        if !plans.contains(&plan) {
            plans.push(plan);
        }
    }
    Ok(plans)
}

/// The plan that wrote last to each addition that the plans wrote to.
async fn last_writers(
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
async fn plans_of_additions(
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

type Done = BTreeMap<ChangeId, AdditionId>;

/// The plans with what became of their changes.
async fn carried(
    store: &dyn Store,
    request: &UndoRequest<'_>,
    plans: &[PlanId],
) -> Result<Vec<(StoredPlan, Done)>, Failure> {
    let mut carried = Vec::new();
    for id in plans {
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
    if carried.is_empty() {
        return Err(Failure::wrong(
            "trueup wrote nothing there, or took all of it back already",
            "`trueup audit list` shows what it wrote.",
        ));
    }
    Ok(carried)
}

/// Reads the agreements that the plans wrote to, whole, and those that invoice them.
async fn observe(psa: &dyn Psa, carried: &[Carried<'_>]) -> Result<Snapshot, Failure> {
    let changes = || {
        carried.iter().flat_map(|c| c.plan.changes.iter().filter(|change| c.done.contains_key(&change.id)))
    };
    let wanted: BTreeSet<AgreementId> = changes().map(|c| c.agreement).collect();
    let wanted: Vec<AgreementId> = wanted.into_iter().collect();
    let agreements = psa.list_agreements_by_id(&wanted).await?;
    let mut snapshot =
        Snapshot { agreements: agreements.into_iter().map(|a| (a.id, a)).collect(), ..Snapshot::default() };
    let parents: BTreeSet<AgreementId> = snapshot
        .agreements
        .values()
        .filter_map(|a| a.parent)
        .filter(|id| !snapshot.agreements.contains_key(id))
        .collect();
    if !parents.is_empty() {
        let parents: Vec<AgreementId> = parents.into_iter().collect();
        let found = psa.list_agreements_by_id(&parents).await?;
        snapshot.agreements.extend(found.into_iter().map(|a| (a.id, a)));
    }
    let there: Vec<AgreementId> =
        wanted.into_iter().filter(|id| snapshot.agreements.contains_key(id)).collect();
    snapshot.additions = psa.list_additions_of(&there).await?;
    let items: BTreeSet<_> = changes().map(|c| c.catalog_item).collect();
    let items: Vec<_> = items.into_iter().collect();
    snapshot.catalog = psa.list_catalog_items(Some(&items)).await?.into_iter().map(|i| (i.id, i)).collect();
    Ok(snapshot)
}
