//! Undo: a plan that takes back what earlier plans wrote. It is kept like any other plan, and carried out by its id.

mod history;
mod lone;

use crate::access::Account;
use crate::failure::Failure;
use crate::findings;
use crate::planning::{checked, completed_of};
use crate::ports::{Clock, Psa, Store};
use crate::records::{StoredPlan, TaskFilter};
use history::{Written, carried, done_tasks, last_writers, plans_of_additions, written_for};
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::balance::unbalanced;
use trueup_domain::feed::{Record, RecordKind};
use trueup_domain::finding::{Code, Finding, Severity, Subject};
use trueup_domain::ids::{AdditionId, AgreementId, OrganizationId, PlanId, SourceId, SubscriptionId, TaskId};
use trueup_domain::mapping::Mappings;
use trueup_domain::plan::{AdditionLink, Change, DraftPlan};
use trueup_domain::planner::{AdoptionAnswer, Carried, Credit, Extent, World, undo};
use trueup_domain::psa::Snapshot;
use trueup_domain::settings::Settings;
use trueup_domain::task::TaskState;

/// Why a task that was taken back is left out.
pub const REASON: &str = "its lines were taken back; take the task in again to bill it anew";

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
    let (written, extent) = match request.wish {
        Wish::Plan(id) => (Written::by(vec![id.clone()]), Extent::Everything),
        Wish::Tasks(ids) => {
            let tasks = done_tasks(store, request.org, ids).await?;
            let written = written_for(store, request.org, &tasks, &links).await?;
            (written, Extent::Tasks(ids.iter().cloned().collect()))
        }
        Wish::Additions(ids) => {
            let plans = plans_of_additions(store, request.org, ids).await?;
            (Written::by(plans), Extent::Additions(ids.iter().copied().collect()))
        }
    };
    let carried = carried(store, request, &written).await?;
    let settled: Vec<BTreeSet<TaskId>> =
        carried.iter().map(|(stored, _)| written.settled_in(&stored.id)).collect();
    let views: Vec<Carried<'_>> = carried
        .iter()
        .zip(&settled)
        .map(|((stored, done), settled)| Carried { id: &stored.id, plan: stored.body.plan(), done, settled })
        .collect();
    let silent: BTreeSet<(SourceId, SubscriptionId)> = written.without_a_line().collect();
    let is_of_one = |link: &&AdditionLink| {
        !link.deleted && silent.contains(&(link.source.clone(), link.subscription.clone()))
    };
    let beside: BTreeSet<AgreementId> = links.iter().filter(is_of_one).map(|link| link.agreement).collect();
    let snapshot = observe(psa, &views, beside).await?;
    let mut concerned = subscriptions_of(&views, &extent);
    concerned.extend(silent);
    let completed = completed_of(store, request.org, &concerned).await?;
    let (mappings, customers, products) = (Mappings::default(), BTreeMap::new(), BTreeMap::new());
    let mut subscriptions = BTreeMap::new();
    for (source, id) in concerned {
        let row = store.find_record(request.org, &source, RecordKind::Subscription, id.as_str()).await?;
        if let Some(Record::Subscription(subscription)) = row.map(|row| row.record) {
            subscriptions.insert((source, id), subscription);
        }
    }
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
        completed: &completed,
        adoption: AdoptionAnswer::Propose,
        unlinked: &BTreeSet::new(),
    };
    let last = last_writers(store, request.org, &carried).await?;
    let mut draft = undo(&world, &views, &extent, &last, request.credit);
    draft.note_invoicers(&snapshot);
    written.note(&mut draft);
    if matches!(request.wish, Wish::Additions(_)) {
        lone::tell(&mut draft, &links, clock.today());
    }
    draft.findings.extend(unbalanced(&draft, &world, &[], &completed));
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

/// The subscriptions of what is to be taken back.
fn subscriptions_of(carried: &[Carried<'_>], extent: &Extent) -> BTreeSet<(SourceId, SubscriptionId)> {
    let of_plan = |of: &Carried<'_>| -> Vec<(SourceId, SubscriptionId)> {
        let is_meant = |change: &Change| match extent {
            Extent::Everything => true,
            Extent::Tasks(tasks) => tasks.contains(&change.task),
            Extent::Additions(ids) => of.done.get(&change.id).is_some_and(|id| ids.contains(id)),
        };
        let meant = of.plan.changes.iter().map(AsRef::as_ref).filter(|change| is_meant(change));
        meant.map(|change| (change.source.clone(), change.subscription.clone())).collect()
    };
    carried.iter().flat_map(of_plan).collect()
}

/// Reads the agreements that the plans wrote to and those `beside`, whole, and those that invoice them.
async fn observe(
    psa: &dyn Psa,
    carried: &[Carried<'_>],
    beside: BTreeSet<AgreementId>,
) -> Result<Snapshot, Failure> {
    let changes = || {
        carried.iter().flat_map(|c| c.plan.changes.iter().filter(|change| c.done.contains_key(&change.id)))
    };
    let wanted: BTreeSet<AgreementId> = changes().map(|c| c.agreement).chain(beside).collect();
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
