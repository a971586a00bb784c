//! Making a plan: gather the world, read ConnectWise afresh, plan, check, store. Nothing is written to ConnectWise.

mod dates;
mod edits;
mod gather;
mod journal;

use crate::access::Account;
use crate::apply::FreshReads;
use crate::brakes;
use crate::failure::Failure;
use crate::findings;
use crate::footing;
use crate::observe::recent::{self, Recent, Unread, Unreadable};
use crate::observe::{Trust, companies_of, observe_for};
use crate::ports::{Clock, Lease, Psa, Store};
use crate::records::{PlanBody, PlanState, StoredPlan, TaskFilter};
use crate::tasks::assess::{Facts, Standing, assess, subject_of};
pub(crate) use gather::completed_of;
use gather::{Feed, demands_of};
use journal::Journal;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::balance::unbalanced;
use trueup_domain::check::check;
use trueup_domain::finding::{CODES, Code, Finding, Severity, Subject};
use trueup_domain::ids::{AgreementId, OrganizationId, PlanId, SourceId, SubscriptionId, TaskId};
use trueup_domain::mapping::{Mapping, MappingKind, MappingOrigin, Mappings};
use trueup_domain::mapping_rules::Broken;
use trueup_domain::plan::{Action, AdditionLink, Change, DraftPlan, TaskOutcome};
use trueup_domain::planner::{
    AdoptionAnswer, Completions, TaskInput, World, agreements_of_interest, plan, plan_what_passes,
};
use trueup_domain::price_watch::prices_to_see;
use trueup_domain::psa::Snapshot;
use trueup_domain::settings::{LineMode, PriceSource, Settings};
use trueup_domain::task::{Demand, Task, TaskKind, TaskState, task_id_of_order};

pub use edits::LineEdit;

/// Which tasks are planned.
#[derive(Clone, Debug, PartialEq)]
pub enum Choice {
    /// Every task of an order that is not finished.
    All,
    /// Those among them that may be written without anybody's word: by the setting `schedule.customers` and the
    /// mappings of customers.
    ByItself,
    /// Of the unfinished tasks of orders those that are among these.
    Among(BTreeSet<TaskId>),
    /// These, and the earlier unfinished ones of their subscriptions.
    Tasks(Vec<TaskId>),
    /// These, with what they ask for.
    Given(Vec<(Task, Demand)>),
}

/// What a plan is asked for.
#[derive(Clone, Debug)]
pub struct PlanRequest<'a> {
    /// Whose.
    pub org: &'a OrganizationId,
    /// Name of the connection.
    pub connection: &'a str,
    /// Who asks.
    pub actor: &'a str,
    /// The settings that hold.
    pub settings: &'a Settings,
    /// The answer about adoption.
    pub adoption: AdoptionAnswer,
    /// Which tasks.
    pub choice: Choice,
    /// Price source of the chosen tasks alone, from now on.
    pub price_source: Option<PriceSource>,
    /// What is set of lines that these tasks propose, from now on.
    pub edits: Vec<LineEdit>,
    /// What a pull of the same run has just read and need not be read again.
    pub trust: Trust,
}

/// A plan that was made and stored.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The plan.
    pub stored: StoredPlan,
    /// Why an unattended run should hold: over a limit.
    pub brakes: Vec<Finding>,
    /// The tasks it looked at, as they stand now.
    pub tasks: Vec<Task>,
    /// Tasks that were named and need no plan, with the reason.
    pub skipped: Vec<(TaskId, String)>,
    /// What was read for it: apply need not read it again where it is young enough.
    pub reads: FreshReads,
}

/// Codes that apply raises: planning again says nothing about them.
pub const OF_APPLY: [Code; 4] = [Code::Tu7001, Code::Tu7003, Code::Tu7004, Code::Tu7005];

/// Makes and stores a plan, records its findings, and moves its tasks.
///
/// # Errors
/// The store's or the PSA's, or [`Failure::Wrong`] for a task that cannot be planned.
pub async fn make_plan(
    store: &dyn Store,
    psa: &dyn Psa,
    clock: &dyn Clock,
    request: &PlanRequest<'_>,
) -> Result<Planned, Failure> {
    store.ensure_organization(request.org).await?;
    let account = Account { store, clock, org: request.org, connection: request.connection };
    account.told(make_seen(store, psa, clock, request, account).await).await
}

async fn make_seen(
    store: &dyn Store,
    psa: &dyn Psa,
    clock: &dyn Clock,
    request: &PlanRequest<'_>,
    account: Account<'_>,
) -> Result<Planned, Failure> {
    account.sees_all(psa).await?;
    for _ in 0..TRIES {
        if let Some(planned) = try_plan(store, psa, clock, request).await? {
            return Ok(planned);
        }
    }
    Err(Failure::wrong(
        "another worker is at the same tasks, and they moved each time a plan was made for them",
        "Try again when it is done.",
    ))
}

/// A plan is made anew at most so often, where another worker moves its tasks meanwhile.
const TRIES: usize = 4;

/// Makes a plan; none where its tasks moved while ConnectWise was read: another worker may have written lines of them,
/// which are not ours to build on, nor may its outcomes be overwritten.
async fn try_plan(
    store: &dyn Store,
    psa: &dyn Psa,
    clock: &dyn Clock,
    request: &PlanRequest<'_>,
) -> Result<Option<Planned>, Failure> {
    let journal = Journal::now(store, request.org).await?;
    let mut chosen = choose(store, request).await?;
    let before: BTreeMap<TaskId, TaskState> = match request.choice {
        Choice::All | Choice::ByItself | Choice::Among(_) | Choice::Tasks(_) => states(chosen.tasks.values()),
        // These may stand in the store otherwise than they were handed over.
        Choice::Given(_) => states(&stored_tasks(store, request.org, chosen.tasks.keys()).await?),
    };
    for task in chosen.tasks.values_mut() {
        task.price_source = request.price_source.or(task.price_source);
    }
    edits::attach(&mut chosen.tasks, &request.edits, request.actor, clock.now());
    let (demands, mut extra) = demands_of(store, request.org, &mut chosen).await?;
    let mut feed = Feed::read(store, request.org, &chosen.tasks, &demands).await?;
    let mappings = Mappings::on(store.list_mappings(request.org).await?, clock.today());
    let place = (request.org, request.connection);
    let recent = Recent::before_links((psa, store, clock), place, request.trust).await?;
    let links = store.list_links(request.org).await?;
    let takes_over = request.adoption == AdoptionAnswer::TakeSingle;
    let of = (&chosen.tasks, links.as_slice());
    gather::add_neighbours(store, request.org, of, takes_over, &mut feed.subscriptions).await?;
    let broken = crate::mappings::broken(store, request.org, &mappings, request.settings.mapping).await?;
    let inputs = inputs(&mut chosen.tasks, &demands, &feed, (&mappings, &broken), &mut extra);
    let inputs: Vec<TaskInput<'_>> = inputs.iter().map(|(task, demand)| TaskInput { task, demand }).collect();
    let of = (&chosen.tasks, &demands);
    let (completed, carried_out) =
        completions(store, request.org, of, &links, request.settings.line_mode).await?;
    let (nothing, none) = (Snapshot::default(), BTreeSet::new());
    let world = World {
        organization: request.org,
        today: clock.today(),
        settings: request.settings,
        snapshot: &nothing,
        mappings: &mappings,
        links: &links,
        customers: &feed.customers,
        products: &feed.products,
        subscriptions: &feed.subscriptions,
        completed: &completed,
        adoption: request.adoption,
        unlinked: &none,
    };
    let (mut snapshot, read_at, not_understood) = observe_for(psa, &world, &inputs, &recent).await?;
    let unread = standing_on(&World { snapshot: &snapshot, ..world }, &inputs, &not_understood);
    let unreadable = not_understood.agreements;
    snapshot.agreements.retain(|id, _| !unreadable.contains_key(id));
    let inputs: Vec<TaskInput<'_>> =
        inputs.into_iter().filter(|input| !unread.contains_key(&input.task.id)).collect();
    extra.extend(leave_unread(&mut chosen.tasks, &unread, &unreadable));
    let unlinked = unlinked(store, request.org, &snapshot, &links).await?;
    let world = World { snapshot: &snapshot, unlinked: &unlinked, ..world };
    // Who sets a line sees at once what is wrong with it.
    let mut draft =
        if request.edits.is_empty() { plan_what_passes(&world, &inputs) } else { plan(&world, &inputs) };
    draft.findings.extend(unbalanced(&draft, &world, &inputs, &carried_out));
    edits::settle(&mut chosen.tasks, &request.edits, &draft)?;
    draft.today = Some(clock.today());
    draft.note_invoicers(&snapshot);
    let settings = request.settings;
    draft.stands_on =
        Some(footing::of(&draft, &chosen.tasks, &demands, &mappings, &feed.subscriptions, settings));
    draft.findings.extend(prices_to_see(&draft, request.settings));
    draft.findings.extend(dates::told(&snapshot, &links));
    draft.findings.append(&mut extra);
    let (mut held_up, was_pulled) = brakes::weigh(store, place, &draft, &snapshot, request.settings).await?;
    if !was_pulled {
        // Then what the run touches is all that is known, and it is held against itself.
        let fix = "Look at it and approve it. The connection was never read whole: after `trueup psa pull` a run is held \
                   against all that it holds, and not against the agreements alone that it touches.";
        held_up = held_up.into_iter().map(|finding| finding.fix(fix)).collect();
    }
    let stored = checked(draft, &world, clock, request.connection, request.actor);
    let turn = turn_to_keep(store, clock, request.org).await?;
    let planned = inputs.iter().map(|input| input.task);
    let overtaken = have_moved(store, request.org, &before).await?
        || journal.has_moved(store, request.org, planned).await?;
    let kept = if overtaken {
        Ok(false)
    } else {
        keep(store, clock, request, &stored, &mut chosen).await.map(|()| true)
    };
    // A turn that cannot be given back runs out by itself.
    let _ = store.release_lease(request.org, &turn).await;
    if !kept? {
        return Ok(None);
    }
    Ok(Some(Planned {
        stored,
        brakes: held_up,
        tasks: chosen.tasks.into_values().collect(),
        skipped: chosen.skipped,
        reads: recent::take(snapshot.additions, &read_at),
    }))
}

/// The tasks that stand on an agreement that could not be understood, or whose additions could not, with that agreement; and
/// those of the same subscriptions. Nothing is concluded from what is not known.
fn standing_on(
    world: &World<'_>,
    inputs: &[TaskInput<'_>],
    unread: &Unread,
) -> BTreeMap<TaskId, AgreementId> {
    let Unread { agreements: unreadable, companies } = unread;
    if unreadable.is_empty() {
        return BTreeMap::new();
    }
    let mut of_subscriptions: BTreeMap<(&SourceId, &SubscriptionId), AgreementId> = BTreeMap::new();
    for input in inputs {
        let wanted = agreements_of_interest(world, std::slice::from_ref(input));
        let of_company = || {
            let of_it = companies_of(world, std::slice::from_ref(input));
            of_it.iter().find_map(|company| companies.get(company)).copied()
        };
        if let Some(agreement) = wanted.into_iter().find(|id| unreadable.contains_key(id)).or_else(of_company)
        {
            of_subscriptions.insert((&input.task.source, &input.task.subscription), agreement);
        }
    }
    let on = |input: &TaskInput<'_>| {
        let agreement = of_subscriptions.get(&(&input.task.source, &input.task.subscription))?;
        Some((input.task.id.clone(), *agreement))
    };
    inputs.iter().filter_map(on).collect()
}

/// Leaves these tasks out of the plan, each with what ConnectWise answered: the next run tries again.
fn leave_unread(
    tasks: &mut BTreeMap<TaskId, Task>,
    unread: &BTreeMap<TaskId, AgreementId>,
    unreadable: &Unreadable,
) -> Vec<Finding> {
    let mut found = Vec::new();
    for (id, agreement) in unread {
        let (Some(task), Some(error)) = (tasks.get_mut(id), unreadable.get(agreement)) else { continue };
        let subject = Subject { agreement: Some(*agreement), ..subject_of(task) };
        let message = format!("{}; nothing of this order was planned.", error.message);
        found.push(Finding::new(error.code, subject, message));
        task.state = TaskState::Failed;
        task.reason = Some(error.code.to_string());
    }
    found
}

/// Keys of our own journal among those of the additions that no link told of when the links were read: an operation whose
/// outcome is not known wrote them, or another run meanwhile.
async fn unlinked(
    store: &dyn Store,
    org: &OrganizationId,
    snapshot: &Snapshot,
    links: &[AdditionLink],
) -> Result<BTreeSet<String>, Failure> {
    let known: BTreeSet<&str> =
        links.iter().filter_map(|link| link.key.as_ref()).map(|key| key.0.as_str()).collect();
    let markers = snapshot.additions.values().flatten().filter_map(|addition| addition.marker.as_deref());
    if markers.clone().all(|marker| known.contains(marker)) {
        return Ok(BTreeSet::new());
    }
    let under_way = store.list_unresolved_operations(org).await?.into_iter().map(|operation| operation.key);
    let linked = store.list_links(org).await?.into_iter().filter_map(|link| link.key).map(|key| key.0);
    let own: BTreeSet<String> = under_way.chain(linked).collect();
    Ok(own.into_iter().filter(|key| !known.contains(key.as_str())).collect())
}

/// A draft after its check, ready to be kept; each finding once, with those of the check.
pub(crate) fn checked(
    mut draft: DraftPlan,
    world: &World<'_>,
    clock: &dyn Clock,
    connection: &str,
    actor: &str,
) -> StoredPlan {
    findings::once_each(&mut draft.findings);
    let (state, body) = match check(draft, world) {
        Ok(checked) => (PlanState::Proposed, PlanBody::Checked(checked)),
        Err(refused) => {
            let (mut draft, found) = *refused;
            draft.findings.extend(found);
            findings::once_each(&mut draft.findings);
            (PlanState::Refused, PlanBody::Draft(draft))
        }
    };
    StoredPlan {
        id: PlanId::from(uuid::Uuid::now_v7().simple().to_string()),
        connection: connection.to_owned(),
        created_at: clock.now(),
        actor: actor.to_owned(),
        state,
        body,
    }
}

/// How long a planner that died keeps the others from keeping theirs.
const TURN_MS: i64 = 10_000;

/// One planner at a time keeps its plan: nobody else moves tasks to `planned` between the look that they stand where
/// they stood and their own move.
async fn turn_to_keep(store: &dyn Store, clock: &dyn Clock, org: &OrganizationId) -> Result<Lease, Failure> {
    let owner = uuid::Uuid::now_v7().simple().to_string();
    loop {
        let now = clock.now();
        if let Some(turn) = store.acquire_lease(org, "planning", &owner, now, TURN_MS).await? {
            return Ok(turn);
        }
        clock.sleep_until(now.saturating_add(100)).await;
    }
}

/// Whether tasks stand elsewhere than they did when they were chosen. Tasks that are in no store do not move.
async fn have_moved(
    store: &dyn Store,
    org: &OrganizationId,
    before: &BTreeMap<TaskId, TaskState>,
) -> Result<bool, Failure> {
    let now = stored_tasks(store, org, before.keys()).await?;
    Ok(now.iter().any(|task| before.get(&task.id).is_some_and(|state| *state != task.state)))
}

async fn stored_tasks(
    store: &dyn Store,
    org: &OrganizationId,
    ids: impl Iterator<Item = &TaskId>,
) -> Result<Vec<Task>, Failure> {
    let filter = TaskFilter { ids: ids.cloned().collect(), ..TaskFilter::default() };
    if filter.ids.is_empty() {
        return Ok(Vec::new());
    }
    Ok(store.list_tasks(org, &filter).await?)
}

/// When the orders were completed that are planned, and those that wrote or ended lines of the same subscriptions; and all
/// orders of these that were carried out.
async fn completions(
    store: &dyn Store,
    org: &OrganizationId,
    (tasks, demands): (&BTreeMap<TaskId, Task>, &BTreeMap<TaskId, Demand>),
    links: &[AdditionLink],
    line_mode: LineMode,
) -> Result<(Completions, Completions), Failure> {
    let looked_at: BTreeSet<(&SourceId, &SubscriptionId)> =
        tasks.values().map(|task| (&task.source, &task.subscription)).collect();
    let earlier: BTreeSet<TaskId> = links
        .iter()
        .filter(|link| looked_at.contains(&(&link.source, &link.subscription)))
        .flat_map(|link| {
            let edits = link.edits.iter().filter_map(|edit| edit.order.as_ref());
            let ends = link.ends.iter().filter_map(|end| end.order.as_ref());
            link.order.iter().chain(edits).chain(ends).map(|order| task_id_of_order(&link.source, order))
        })
        .filter(|id| !tasks.contains_key(id))
        .collect();
    let stored = stored_tasks(store, org, earlier.iter()).await?;
    let (over, all) = gather::carried_out(store, org, (tasks, demands, links), line_mode).await?;
    let mut known = Completions::new();
    for task in tasks.values().chain(&stored).chain(over.iter().map(|(task, _)| task)) {
        if let Some(order) = &task.order_id {
            known.insert((task.source.clone(), order.clone()), (task.completed_us, task.turn));
        }
    }
    for (task, order) in over {
        known.carry_out(task.source, order);
    }
    Ok((known, all))
}

fn states<'t>(tasks: impl IntoIterator<Item = &'t Task>) -> BTreeMap<TaskId, TaskState> {
    tasks.into_iter().map(|task| (task.id.clone(), task.state)).collect()
}

/// The tasks of a plan on their way through.
#[derive(Default)]
pub(crate) struct Chosen {
    /// By id.
    pub tasks: BTreeMap<TaskId, Task>,
    /// What they ask for, where the caller said so.
    pub given: BTreeMap<TaskId, Demand>,
    /// Named and left out.
    pub skipped: Vec<(TaskId, String)>,
    /// Of subscriptions with an operation under way: they wait for it.
    pub waiting: Vec<(TaskId, TaskId)>,
}

const OPEN: [TaskState; 6] = [
    TaskState::New,
    TaskState::NeedsMapping,
    TaskState::Ready,
    TaskState::Planned,
    TaskState::Failed,
    TaskState::Blocked,
];

pub(crate) async fn choose(store: &dyn Store, request: &PlanRequest<'_>) -> Result<Chosen, Failure> {
    let mut chosen = Chosen::default();
    match &request.choice {
        Choice::All => (chosen.tasks, chosen.skipped) = all_open(store, request.org).await?,
        Choice::ByItself => {
            let mappings = Mappings::new(store.list_mappings(request.org).await?);
            (chosen.tasks, _) = all_open(store, request.org).await?;
            leave_to_persons(&mappings, request.settings, &mut chosen);
        }
        Choice::Among(ids) => {
            (chosen.tasks, _) = all_open(store, request.org).await?;
            chosen.tasks.retain(|id, _| ids.contains(id));
        }
        Choice::Tasks(ids) => choose_by_id(store, request.org, ids, &mut chosen).await?,
        Choice::Given(given) => {
            chosen.tasks = by_id(given.iter().map(|(task, _)| task.clone()));
            chosen.given = given.iter().map(|(t, d)| (t.id.clone(), d.clone())).collect();
        }
    }
    hold_behind_operations(store, request.org, &mut chosen).await?;
    Ok(chosen)
}

/// The unfinished tasks of orders; and the reconciliations that are ready, with why they are none of them.
async fn all_open(
    store: &dyn Store,
    org: &OrganizationId,
) -> Result<(BTreeMap<TaskId, Task>, Vec<(TaskId, String)>), Failure> {
    let filter = TaskFilter { states: OPEN.to_vec(), ..TaskFilter::default() };
    let (apart, of_orders): (Vec<Task>, Vec<Task>) =
        store.list_tasks(org, &filter).await?.into_iter().partition(|t| t.kind == TaskKind::Reconciliation);
    let ready = apart.into_iter().filter(|task| task.state == TaskState::Ready);
    let left = ready.map(|task| (task.id, crate::tasks::BY_A_PERSON.to_owned())).collect();
    Ok((by_id(of_orders.into_iter()), left))
}

/// Leaves out the tasks of customers who are not synced by themselves, and with them every task of their subscriptions:
/// a transfer has tasks of two customers, and one cannot be planned without those before it.
fn leave_to_persons(mappings: &Mappings, settings: &Settings, chosen: &mut Chosen) {
    let may = |task: &Task| {
        let said = mappings.syncs_by_itself(&task.source, &task.customer);
        said.unwrap_or(!settings.chosen_customers)
    };
    let held: BTreeSet<(SourceId, SubscriptionId)> = chosen
        .tasks
        .values()
        .filter(|task| !may(task))
        .map(|task| (task.source.clone(), task.subscription.clone()))
        .collect();
    let is_held = |task: &Task| held.contains(&(task.source.clone(), task.subscription.clone()));
    let (left, tasks): (BTreeMap<TaskId, Task>, _) =
        std::mem::take(&mut chosen.tasks).into_iter().partition(|(_, task)| is_held(task));
    chosen.tasks = tasks;
    let reason = "its customer is not synced by itself (schedule.customers, auto_sync)";
    chosen.skipped.extend(left.into_keys().map(|id| (id, reason.to_owned())));
}

fn by_id(tasks: impl Iterator<Item = Task>) -> BTreeMap<TaskId, Task> {
    tasks.map(|t| (t.id.clone(), t)).collect()
}

async fn choose_by_id(
    store: &dyn Store,
    org: &OrganizationId,
    ids: &[TaskId],
    chosen: &mut Chosen,
) -> Result<(), Failure> {
    for id in ids {
        let task = crate::tasks::get(store, org, id).await?;
        match task.state {
            TaskState::Done => {
                chosen.skipped.push((id.clone(), "it is done already".into()));
                continue;
            }
            TaskState::Ignored => {
                let reason = task.reason.as_deref().unwrap_or("no reason is known");
                return Err(Failure::wrong(
                    format!("task {id} is ignored: {reason}"),
                    "Take it back in with `trueup task unignore`, where that is right.",
                ));
            }
            TaskState::Applying | TaskState::InDoubt => {
                return Err(Failure::wrong(
                    format!("task {id} is {}: an operation of it has no outcome yet", task.state.name()),
                    "Run `trueup apply --all`: it looks operations in doubt up once the settle time is over.",
                ));
            }
            TaskState::New
            | TaskState::NeedsMapping
            | TaskState::Ready
            | TaskState::Planned
            | TaskState::Failed
            | TaskState::Blocked => {}
        }
        if task.kind != TaskKind::Reconciliation {
            add_earlier(store, org, &task, chosen).await?;
        }
        chosen.tasks.insert(task.id.clone(), task);
    }
    Ok(())
}

/// Earlier unfinished tasks of the same subscription come first: one cannot be planned without them.
async fn add_earlier(
    store: &dyn Store,
    org: &OrganizationId,
    task: &Task,
    chosen: &mut Chosen,
) -> Result<(), Failure> {
    let filter = TaskFilter {
        states: OPEN.to_vec(),
        subscription: Some(task.subscription.to_string()),
        source: Some(task.source.clone()),
        ..TaskFilter::default()
    };
    let earlier = store.list_tasks(org, &filter).await?;
    chosen.tasks.extend(by_id(
        earlier.into_iter().filter(|t| t.kind != TaskKind::Reconciliation && t.sequence() < task.sequence()),
    ));
    Ok(())
}

/// A subscription with an operation under way is not planned on top of it.
async fn hold_behind_operations(
    store: &dyn Store,
    org: &OrganizationId,
    chosen: &mut Chosen,
) -> Result<(), Failure> {
    let filter =
        TaskFilter { states: vec![TaskState::Applying, TaskState::InDoubt], ..TaskFilter::default() };
    let mut busy: BTreeMap<(SourceId, SubscriptionId), TaskId> = BTreeMap::new();
    for task in store.list_tasks(org, &filter).await? {
        busy.entry((task.source, task.subscription)).or_insert(task.id);
    }
    let in_doubt = journal::in_doubt(store, org).await?;
    chosen.waiting = chosen
        .tasks
        .values()
        .filter_map(|t| {
            let of = (t.source.clone(), t.subscription.clone());
            // The task itself waits as well where the journal says so: another worker may have moved it on meanwhile.
            let behind = busy.get(&of).filter(|behind| *behind != &t.id).or_else(|| in_doubt.get(&of))?;
            Some((t.id.clone(), behind.clone()))
        })
        .collect();
    Ok(())
}

/// The tasks that the planner sees. What is not billed at all, and what waits, is settled here.
fn inputs(
    tasks: &mut BTreeMap<TaskId, Task>,
    demands: &BTreeMap<TaskId, Demand>,
    feed: &Feed,
    (mappings, broken): (&Mappings, &Broken),
    findings: &mut Vec<Finding>,
) -> Vec<(Task, Demand)> {
    let mut inputs = Vec::new();
    let mut order: Vec<TaskId> = tasks.keys().cloned().collect();
    order.sort_by(|a, b| tasks.get(a).map(Task::sequence).cmp(&tasks.get(b).map(Task::sequence)));
    // Subscriptions with a task that stands on mappings which break a rule: what comes later waits for it.
    let mut held: BTreeMap<(SourceId, SubscriptionId), TaskId> = BTreeMap::new();
    for id in order {
        let Some(task) = tasks.get_mut(&id) else { continue };
        let Some(demand) = demands.get(&task.id) else { continue };
        let order = match demand {
            Demand::Order(order) => Some(order.as_ref()),
            Demand::Reconcile { .. } => None,
        };
        let facts = Facts {
            mappings,
            subscription: feed.subscriptions.get(&(task.source.clone(), task.subscription.clone())),
            picture: None,
            broken,
        };
        let key = (task.source.clone(), task.subscription.clone());
        match assess(task, order, facts) {
            Standing::Ignored(reason, finding) => {
                if task.kind == TaskKind::Reconciliation && finding.is_empty() {
                    let message = format!("There is nothing to reconcile: {reason}.");
                    let finding = Finding::new(Code::Tu4004, subject_of(task), message);
                    findings.push(finding.severity(Severity::Info).fix("Nothing: it is for the record."));
                }
                task.state = TaskState::Ignored;
                task.reason = Some(reason);
                findings.extend(finding);
                continue;
            }
            Standing::NeedsMapping(found) if found.iter().any(|f| f.code == Code::Tu2007) => {
                task.state = TaskState::NeedsMapping;
                task.reason = Some(Code::Tu2007.to_string());
                findings.extend(found.into_iter().filter(|f| f.code == Code::Tu2007));
                held.entry(key).or_insert(id);
                continue;
            }
            // What else lacks the planner says, with what only ConnectWise can tell.
            Standing::NeedsMapping(_) | Standing::Ready => {}
        }
        if let Some(earlier) = held.get(&key).filter(|_| task.kind != TaskKind::Reconciliation) {
            task.state = TaskState::Blocked;
            task.reason = Some(earlier.to_string());
            continue;
        }
        inputs.push((task.clone(), demand.clone()));
    }
    inputs
}

/// Stores the plan and everything that follows from it.
async fn keep(
    store: &dyn Store,
    clock: &dyn Clock,
    request: &PlanRequest<'_>,
    stored: &StoredPlan,
    chosen: &mut Chosen,
) -> Result<(), Failure> {
    let draft = stored.body.plan();
    store.save_plan(request.org, stored).await?;
    let passed = matches!(stored.body, PlanBody::Checked(_));
    if passed {
        let remembered = remembered(draft);
        store.save_mappings(request.org, clock.now(), &remembered).await?;
    }
    for task in chosen.tasks.values_mut() {
        move_task(task, draft, passed);
    }
    let tasks: Vec<Task> = chosen.tasks.values().cloned().collect();
    store.save_tasks(request.org, clock.now(), &tasks).await?;
    let looked_at: BTreeSet<TaskId> = chosen.tasks.keys().cloned().collect();
    let judged: Vec<Code> = CODES.iter().map(|r| r.code).filter(|c| !OF_APPLY.contains(c)).collect();
    let scope = findings::Scope { looked_at: &looked_at, judged: Some(&judged), general: "plan" };
    let mut told = draft.findings.clone();
    told.retain(|finding| !dates::is_of_agreements(finding));
    findings::record(store, clock, request.org, scope, &told).await
}

fn remembered(draft: &DraftPlan) -> Vec<Mapping> {
    draft
        .remembered
        .iter()
        .map(|(source, subscription, agreement)| Mapping {
            kind: MappingKind::Agreement,
            source: source.clone(),
            source_id: subscription.to_string(),
            psa_id: Some(agreement.0),
            scope: String::new(),
            options: BTreeMap::new(),
            origin: MappingOrigin::Automatic,
        })
        .collect()
}

fn move_task(task: &mut Task, draft: &DraftPlan, passed: bool) {
    let Some(outcome) = draft.outcomes.get(&task.id) else { return };
    let codes = || {
        let codes: BTreeSet<String> = draft
            .findings
            .iter()
            .filter(|f| f.subject.task.as_ref() == Some(&task.id) && f.severity != Severity::Info)
            .map(|f| f.code.to_string())
            .collect();
        (!codes.is_empty()).then(|| codes.into_iter().collect::<Vec<_>>().join(", "))
    };
    let (state, reason) = match outcome {
        TaskOutcome::Planned if passed => (TaskState::Planned, None),
        TaskOutcome::Planned => (TaskState::Failed, Some("the checker refused the plan".to_owned())),
        TaskOutcome::NothingToDo => (TaskState::Done, Some(why_nothing(task, draft))),
        TaskOutcome::NeedsMapping => (TaskState::NeedsMapping, codes()),
        TaskOutcome::Waiting => (TaskState::Ready, codes()),
        TaskOutcome::Failed => (TaskState::Failed, codes()),
        TaskOutcome::Blocked => (TaskState::Blocked, codes()),
        TaskOutcome::Unsupported => (TaskState::Ignored, Some("TU4004: not supported".to_owned())),
        // Its task moves once it is carried out.
        TaskOutcome::Undone => return,
    };
    task.state = state;
    task.reason = reason;
}

/// Why a task is done of which nothing had to be written.
pub(crate) const HELD_ALREADY: &str = "ConnectWise holds it already";

/// Why a task is done without a write: what was found to be there, else what was said about it.
fn why_nothing(task: &Task, draft: &DraftPlan) -> String {
    let of_task = |change: &&Change| change.task == task.id;
    let is_kept = |change: &Change| matches!(change.action, Action::Keep { .. });
    let is_there = draft.changes.iter().map(AsRef::as_ref).filter(of_task).any(is_kept)
        || draft.adoptions.iter().any(|adoption| adoption.task == task.id);
    let said: BTreeSet<Code> = draft
        .findings
        .iter()
        .filter(|finding| finding.subject.task.as_ref() == Some(&task.id))
        .map(|finding| finding.code)
        .collect();
    if !is_there && !said.is_empty() {
        let said: Vec<String> = said.iter().map(|code| format!("{} ({code})", code.row().title)).collect();
        return format!("nothing to write: {}", said.join(", "));
    }
    // A reconciliation asks for levels, an order for changes.
    if is_there || task.kind == TaskKind::Reconciliation {
        return HELD_ALREADY.to_owned();
    }
    "it asks for no change".to_owned()
}

/// The finding of a task that waits for an operation of its subscription.
pub(crate) fn waits_for(task: &Task, behind: &TaskId) -> Finding {
    let message = format!(
        "This task waits: task {behind} of the same subscription has an operation without a clear outcome yet."
    );
    Finding::new(Code::Tu7006, subject_of(task), message)
        .fix("Run `trueup apply --all` once the settle time is over.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use trueup_domain::ids::CustomerId;

    fn task() -> Task {
        Task {
            id: TaskId::from("t-1"),
            source: SourceId::from("default"),
            kind: TaskKind::Sales,
            customer: CustomerId::from("c"),
            subscription: SubscriptionId::from("s"),
            order_id: None,
            completed_us: 0,
            turn: 0,
            state: TaskState::Ready,
            reason: None,
            decided_by: None,
            price_source: None,
            amendments: Vec::new(),
            undone: 0,
        }
    }

    fn reason_of(findings: Vec<Finding>) -> String {
        let mut task = task();
        let mut draft = DraftPlan { findings, ..DraftPlan::default() };
        draft.outcomes.insert(task.id.clone(), TaskOutcome::NothingToDo);
        move_task(&mut task, &draft, true);
        assert_eq!(task.state, TaskState::Done);
        task.reason.unwrap_or_default()
    }

    #[test]
    fn a_task_without_writes_claims_nothing_that_connectwise_does_not_hold() {
        assert_eq!(reason_of(Vec::new()), "it asks for no change");
        let of_task = Finding::new(Code::Tu5003, subject_of(&task()), "Nothing is sold.");
        let of_another = Finding::new(Code::Tu6004, Default::default(), "Of another task.");
        assert_eq!(reason_of(vec![of_task, of_another]), "nothing to write: Quantity is zero (TU5003)");
    }
}
