//! Carrying plans out, with everything around it: tasks before and after, findings, and runs over all tasks.

mod resuming;

pub use resuming::{Resumed, WentOn, resume};

use crate::access;
use crate::apply::{ApplyError, ApplyOptions, ApplyReport, ChangeReport, ChangeState, Summary, apply_plan};
use crate::approvals;
use crate::catalog;
use crate::failure::Failure;
use crate::findings;
use crate::footing;
use crate::observe::Trust;
use crate::planning::{Choice, HELD_ALREADY, OF_APPLY, PlanRequest, Planned, make_plan};
use crate::ports::{Clock, Psa, Store, StoreError};
use crate::records::{
    ApprovalState, OperationError, OperationRow, OperationState, PlanBody, PlanState, StoredPlan, TaskFilter,
};
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::approval::Whose;
use trueup_domain::finding::{Code, Finding, Subject};
use trueup_domain::ids::{AgreementId, ChangeId, OrganizationId, TaskId};
use trueup_domain::plan::{Action, Change, DraftPlan, TaskOutcome};
use trueup_domain::task::{Task, TaskKind, TaskState};

/// A run over all tasks plans anew at most so often, where ConnectWise changed underneath.
const ROUNDS: usize = 3;

/// Why a run over all tasks stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// While planning.
    #[error(transparent)]
    Planning(#[from] Failure),
    /// While applying.
    #[error(transparent)]
    Applying(#[from] ApplyError),
    /// The API member lacks rights that the run needs. Nothing was sent; its tasks failed.
    #[error("the API member lacks {}; nothing was written", .0.join("; "))]
    Rights(Vec<String>),
}

impl From<StoreError> for RunError {
    fn from(error: StoreError) -> Self {
        Self::Planning(error.into())
    }
}

/// What a run over all tasks did.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// Plans of earlier runs that were gone on with.
    pub resumed: Vec<Resumed>,
    /// Why others were not.
    pub unread: Vec<Finding>,
    /// Reports of plans that were out of date in part and planned anew, oldest first.
    pub earlier: Vec<(StoredPlan, ApplyReport)>,
    /// The last plan.
    pub planned: Planned,
    /// What became of it; none where it was held or refused.
    pub report: Option<ApplyReport>,
    /// Why it was held: over a limit, and nobody approved.
    pub held: Vec<Finding>,
}

/// Carries a stored plan out, and moves its tasks.
///
/// # Errors
/// [`ApplyError`]; nothing was sent that the journal does not know of.
pub async fn apply(
    store: &dyn Store,
    psa: &dyn Psa,
    clock: &dyn Clock,
    org: &OrganizationId,
    stored: &StoredPlan,
    options: &ApplyOptions<'_>,
) -> Result<ApplyReport, ApplyError> {
    let connection = &stored.connection;
    let account = access::Account { store, clock, org, connection };
    let done = apply_seen(store, psa, clock, org, stored, options).await;
    let refused = match &done {
        Err(ApplyError::Psa(error)) => Some(error),
        Ok(_) | Err(_) => None,
    };
    let noted = account.answered(refused).await;
    let report = done?;
    noted.map_err(as_apply_error)?;
    Ok(report)
}

async fn apply_seen(
    store: &dyn Store,
    psa: &dyn Psa,
    clock: &dyn Clock,
    org: &OrganizationId,
    stored: &StoredPlan,
    options: &ApplyOptions<'_>,
) -> Result<ApplyReport, ApplyError> {
    if !matches!(stored.body, PlanBody::Checked(_)) {
        return Err(ApplyError::NotChecked);
    }
    let draft = stored.body.plan();
    if let Some(policy) = options.policy.as_ref().filter(|_| stored.state == PlanState::Proposed)
        && let Some(finding) = approvals::gate(store, clock, org, stored, policy).await?
    {
        return Err(ApplyError::Waits(Box::new(finding)));
    }
    if let Some(report) = out_of_date_by_now(store, clock, org, stored, options).await? {
        store.set_plan_state(org, &stored.id, PlanState::Stale).await?;
        settle(store, clock, org, stored, &report).await?;
        answered(store, clock, org, stored, options, &report).await?;
        return Ok(report);
    }
    let account = access::Account { store, clock, org, connection: &stored.connection };
    account.sees_all(psa).await.map_err(as_apply_error)?;
    store.begin_plan(org, stored, clock.now()).await?;
    let before = tasks_of(store, org, draft).await?;
    let begun: Vec<Task> = before
        .iter()
        .filter(|t| t.state == TaskState::Planned)
        .map(|t| Task { state: TaskState::Applying, reason: None, ..t.clone() })
        .collect();
    store.save_tasks(org, clock.now(), &begun).await?;
    match apply_plan(store, psa, clock, org, stored, options).await {
        Ok(report) => {
            settle(store, clock, org, stored, &report).await?;
            answered(store, clock, org, stored, options, &report).await?;
            Ok(report)
        }
        Err(error) => {
            let nothing_was_written = match &error {
                ApplyError::NotChecked
                | ApplyError::Busy(_)
                | ApplyError::Unread(_)
                | ApplyError::Waits(_)
                | ApplyError::Psa(_) => true,
                ApplyError::Store(_) => false,
            };
            if nothing_was_written {
                let back: Vec<Task> = before.into_iter().filter(|t| t.state == TaskState::Planned).collect();
                store.save_tasks(org, clock.now(), &back).await?;
            }
            Err(error)
        }
    }
}

/// Closes what people were asked about the plan.
async fn answered(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    stored: &StoredPlan,
    options: &ApplyOptions<'_>,
    report: &ApplyReport,
) -> Result<(), StoreError> {
    let state = if report.stale { ApprovalState::Stale } else { ApprovalState::Applied };
    approvals::settle(store, clock, org, stored, options.policy.as_ref(), state).await
}

/// A plan that was not begun yet, and of which the source, a person or another plan changed what it stands on, is out of
/// date as a whole.
async fn out_of_date_by_now(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    stored: &StoredPlan,
    options: &ApplyOptions<'_>,
) -> Result<Option<ApplyReport>, ApplyError> {
    if stored.state != PlanState::Proposed {
        return Ok(None);
    }
    let Some(settings) = options.settings else { return Ok(written_meanwhile(store, org, stored).await?) };
    let moved = footing::moved(store, clock, org, stored, settings).await.map_err(as_apply_error)?;
    let draft = stored.body.plan();
    let written = draft.changes.iter().find(|change| change.writes()).map(|change| change.agreement);
    let first = written.or_else(|| draft.adoptions.first().map(|adoption| adoption.agreement));
    match moved.zip(first) {
        Some((why, agreement)) => {
            let message =
                format!("Plan {} is out of date: {why}. Nothing was written; plan again.", stored.id);
            Ok(Some(out_of_date(draft, &message, agreement)))
        }
        None => Ok(written_meanwhile(store, org, stored).await?),
    }
}

/// Whether another plan wrote a line of this one since: the journal takes a key once.
async fn written_meanwhile(
    store: &dyn Store,
    org: &OrganizationId,
    stored: &StoredPlan,
) -> Result<Option<ApplyReport>, StoreError> {
    let draft = stored.body.plan();
    for change in draft.changes.iter().filter(|c| matches!(c.action, Action::Create { .. })) {
        let Some(operation) = store.find_operation_by_key(org, &change.key).await? else { continue };
        let live = match operation.state {
            OperationState::Sending | OperationState::Done | OperationState::InDoubt => true,
            OperationState::Intent | OperationState::Refused | OperationState::Skipped => false,
        };
        if live && operation.plan != stored.id {
            let message = format!(
                "Plan {} is out of date: plan {} wrote one of its lines since ({}). Nothing was written.",
                stored.id, operation.plan, change.reason
            );
            return Ok(Some(out_of_date(draft, &message, change.agreement)));
        }
    }
    Ok(None)
}

fn out_of_date(draft: &DraftPlan, message: &str, agreement: AgreementId) -> ApplyReport {
    let code = Code::Tu7001;
    let error = OperationError { code: code.to_string(), message: message.to_owned(), their_words: None };
    let changes: Vec<ChangeReport> = draft
        .changes
        .iter()
        .filter(|c| c.writes())
        .map(|c| ChangeReport {
            change_id: c.id.clone(),
            state: ChangeState::Skipped,
            addition: None,
            error: Some(error.clone()),
            calls: 0,
        })
        .collect();
    let subject = Subject { agreement: Some(agreement), ..Subject::default() };
    ApplyReport {
        summary: Summary { skipped: changes.len(), ..Summary::default() },
        changes,
        findings: vec![Finding::new(code, subject, message)],
        stale: true,
    }
}

async fn tasks_of(
    store: &dyn Store,
    org: &OrganizationId,
    draft: &DraftPlan,
) -> Result<Vec<Task>, StoreError> {
    let ids: Vec<TaskId> = draft
        .outcomes
        .iter()
        .filter(|(_, outcome)| **outcome == TaskOutcome::Planned)
        .map(|(id, _)| id.clone())
        .collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    store.list_tasks(org, &TaskFilter { ids, ..TaskFilter::default() }).await
}

/// Moves the tasks of a plan to where its changes leave them, and records what apply found.
async fn settle(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    stored: &StoredPlan,
    report: &ApplyReport,
) -> Result<(), ApplyError> {
    let draft = stored.body.plan();
    let mut tasks = tasks_of(store, org, draft).await?;
    // What a person put aside in the meantime, or a later plan finished, stays as it is.
    tasks.retain(|t| !t.state.is_final());
    // Another worker went on with the plan since the report was made: where it leaves its tasks is for it to say.
    let theirs = overtaken(draft, report, &store.list_operations(org, &stored.id).await?);
    tasks.retain(|t| !theirs.contains(&t.id));
    for task in &mut tasks {
        (task.state, task.reason) = standing(draft, report, &task.id);
    }
    let undone = undone(store, org, stored, report).await?;
    let taken_back: BTreeSet<TaskId> = undone.iter().map(|task| task.id.clone()).collect();
    tasks.extend(undone);
    store.save_tasks(org, clock.now(), &tasks).await?;
    crate::undo::settle_findings(store, clock, org, draft, &taken_back).await.map_err(as_apply_error)?;
    let looked_at: BTreeSet<TaskId> = tasks.iter().map(|t| t.id.clone()).collect();
    let scope = findings::Scope { looked_at: &looked_at, judged: Some(&OF_APPLY), general: "apply" };
    findings::record(store, clock, org, scope, &report.findings).await.map_err(as_apply_error)?;
    findings::settle_written(store, clock, org, &tasks).await.map_err(as_apply_error)
}

/// The tasks with an operation that the journal knows another outcome of than the report.
fn overtaken<'d>(draft: &'d DraftPlan, report: &ApplyReport, rows: &[OperationRow]) -> BTreeSet<&'d TaskId> {
    let told: BTreeMap<&ChangeId, ChangeState> =
        report.changes.iter().map(|change| (&change.change_id, change.state)).collect();
    let moved = |row: &&OperationRow| {
        let Some(told) = told.get(&row.change) else { return false };
        match row.state {
            OperationState::Sending | OperationState::InDoubt => *told != ChangeState::InDoubt,
            OperationState::Done => *told != ChangeState::Applied,
            OperationState::Refused => *told != ChangeState::Failed,
            OperationState::Intent | OperationState::Skipped => false,
        }
    };
    let changes: BTreeSet<&ChangeId> = rows.iter().filter(moved).map(|row| &row.change).collect();
    draft.changes.iter().filter(|change| changes.contains(&change.id)).map(|change| &change.task).collect()
}

fn as_apply_error(failure: Failure) -> ApplyError {
    match failure {
        Failure::Store(error) => ApplyError::Store(error),
        Failure::Psa(error) => ApplyError::Psa(error),
        Failure::Setting(_) | Failure::Wrong { .. } => {
            ApplyError::Store(StoreError::Damaged(failure.to_string()))
        }
    }
}

/// The tasks of which everything is taken back: put aside, so that nothing writes them again before a person says so. A
/// line of several tasks stands under one of them, so that all that is written for their subscription has to be done.
async fn undone(
    store: &dyn Store,
    org: &OrganizationId,
    stored: &StoredPlan,
    report: &ApplyReport,
) -> Result<Vec<Task>, ApplyError> {
    let draft = stored.body.plan();
    let taken = draft.outcomes.iter().filter(|(_, outcome)| **outcome == TaskOutcome::Undone);
    let ids: Vec<TaskId> = taken.map(|(id, _)| id.clone()).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let done: BTreeSet<&ChangeId> =
        report.changes.iter().filter(|c| c.state == ChangeState::Applied).map(|c| &c.change_id).collect();
    let mut tasks = store.list_tasks(org, &TaskFilter { ids, ..TaskFilter::default() }).await?;
    tasks.retain(|task| {
        let of_it = |c: &&Change| c.source == task.source && c.subscription == task.subscription;
        // One that was put aside is settled: a run that goes on after a crash counts nothing twice.
        task.state != TaskState::Ignored
            && draft.changes.iter().map(AsRef::as_ref).filter(of_it).all(|c| done.contains(&c.id))
    });
    for task in &mut tasks {
        task.state = TaskState::Ignored;
        task.reason = Some(crate::undo::REASON.to_owned());
        // A person's word: no check takes the task in again by itself.
        task.decided_by = Some(stored.actor.clone());
        task.undone = task.undone.saturating_add(1);
    }
    Ok(tasks)
}

fn standing(draft: &DraftPlan, report: &ApplyReport, task: &TaskId) -> (TaskState, Option<String>) {
    let states: BTreeMap<&ChangeId, _> = report.changes.iter().map(|c| (&c.change_id, c)).collect();
    let of_task: Vec<_> = draft
        .changes
        .iter()
        .filter(|c| &c.task == task && c.writes())
        .filter_map(|c| states.get(&c.id).copied())
        .collect();
    let first = |state: ChangeState| of_task.iter().find(|c| c.state == state);
    if let Some(change) = first(ChangeState::InDoubt) {
        return (TaskState::InDoubt, change.error.as_ref().map(|e| e.code.clone()));
    }
    if let Some(change) = first(ChangeState::Failed) {
        return (TaskState::Failed, change.error.as_ref().map(|e| e.code.clone()));
    }
    if report.stale && of_task.iter().all(|c| c.state == ChangeState::Skipped) {
        return (TaskState::Ready, Some("TU7001".to_owned()));
    }
    if let Some(change) = first(ChangeState::Skipped) {
        return (TaskState::Ready, change.error.as_ref().map(|e| e.code.clone()));
    }
    // What was taken over alone was there.
    (TaskState::Done, of_task.is_empty().then(|| HELD_ALREADY.to_owned()))
}

/// Whether an unattended run may pass a brake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approval {
    /// A limit holds the run.
    Needed,
    /// A person approved whatever the plan says.
    Given,
}

/// Asks ConnectWise before a run which rights are missing, so that no run stops half way for one. A run that lacks
/// rights fails all its tasks with their list; they are tried again by the first run that has the rights. Where nothing
/// waits to be written nobody is asked.
///
/// # Errors
/// [`RunError::Rights`], or ConnectWise could not be asked.
pub async fn look_at_rights(
    store: &dyn Store,
    psa: &dyn Psa,
    clock: &dyn Clock,
    request: &PlanRequest<'_>,
) -> Result<(), RunError> {
    store.ensure_organization(request.org).await?;
    let filter = TaskFilter { states: WAITING.to_vec(), ..TaskFilter::default() };
    let chosen = crate::planning::choose(store, request).await?.tasks;
    let mut tasks = store.list_tasks(request.org, &filter).await?;
    // What this run leaves to persons or others it does not fail either.
    let under_way = |task: &Task| matches!(task.state, TaskState::Applying | TaskState::InDoubt);
    tasks.retain(|task| {
        task.kind != TaskKind::Reconciliation && (under_way(task) || chosen.contains_key(&task.id))
    });
    if tasks.is_empty() {
        return Ok(());
    }
    let creates = request.settings.create_missing_products.is_on();
    let account = access::Account { store, clock, org: request.org, connection: request.connection };
    let asked = access::lacking(psa, |right| creates || !right.is_for_new_items()).await;
    let lacking = account.told(asked.map_err(Failure::Psa)).await.map_err(as_apply_error)?;
    if lacking.is_empty() {
        account.rights(access::Rights::ToWrite, &lacking).await?;
        return Ok(());
    }
    // What waits for a mapping, for another task or for the outcome of an operation would not have been written yet.
    let ready = [TaskState::New, TaskState::Ready, TaskState::Planned, TaskState::Failed];
    tasks.retain(|task| ready.contains(&task.state));
    for task in &mut tasks {
        task.state = TaskState::Failed;
        task.reason = Some(format!("{}: {}", Code::Tu1004, lacking.join("; ")));
    }
    store.save_tasks(request.org, clock.now(), &tasks).await?;
    account.rights(access::Rights::ToWrite, &lacking).await?;
    Err(RunError::Rights(lacking))
}

/// States in which a run may have something to do for a task.
const WAITING: [TaskState; 8] = [
    TaskState::New,
    TaskState::NeedsMapping,
    TaskState::Blocked,
    TaskState::Ready,
    TaskState::Planned,
    TaskState::Failed,
    TaskState::Applying,
    TaskState::InDoubt,
];

/// Goes on with earlier runs, then plans and applies every task that is ready.
///
/// # Errors
/// [`RunError`]; nothing was sent that the journal does not know of.
pub async fn apply_all(
    store: &dyn Store,
    psa: &dyn Psa,
    clock: &dyn Clock,
    request: &PlanRequest<'_>,
    approval: Approval,
    options: &ApplyOptions<'_>,
) -> Result<RunReport, RunError> {
    let answered = &ApplyOptions { said: request.adoption, ..options.clone() };
    let WentOn { resumed, unread } = resume(store, psa, clock, request.org, answered).await?;
    let mut earlier = Vec::new();
    let mut may_create = request.settings.create_missing_products.is_on();
    let policy = &request.settings.approval;
    loop {
        // Once something did not fit, what was read before the run began is not built on again.
        let trust = if earlier.is_empty() { request.trust } else { Trust::Nothing };
        let request = &PlanRequest { trust, ..request.clone() };
        let planned = make_plan(store, psa, clock, request).await?;
        if std::mem::take(&mut may_create)
            && catalog::create_missing(store, psa, clock, request, &planned).await? > 0
        {
            continue;
        }
        let refused = !matches!(planned.stored.body, PlanBody::Checked(_));
        let mut held = if approval == Approval::Needed { planned.brakes.clone() } else { Vec::new() };
        if !held.is_empty()
            && approvals::is_approved(store, clock, request.org, &planned.stored, policy).await?
        {
            held.clear();
        }
        // Several limits may hold one run, and each is a finding of its own.
        for (number, brake) in held.iter_mut().enumerate() {
            brake.subject.detail = Some(format!("limit {}", number + 1));
        }
        let nothing = BTreeSet::new();
        let scope = findings::Scope { looked_at: &nothing, judged: None, general: "brakes" };
        findings::record(store, clock, request.org, scope, &held).await?;
        let mut current = BTreeSet::new();
        if !refused && !held.is_empty() {
            approvals::ask_for_brakes(store, clock, request.org, &planned.stored, &held, policy).await?;
            current.insert(approvals::id_of(&planned.stored));
        }
        if refused || !held.is_empty() {
            approvals::withdraw_others(store, clock, request.org, request.connection, &current).await?;
            return Ok(RunReport { resumed, unread, earlier, planned, report: None, held });
        }
        let Sorted { planned, held, current, goes } = sort_out(store, psa, clock, request, planned).await?;
        let mut report = None;
        if goes {
            let options = ApplyOptions { fresh_reads: Some(&planned.reads), ..options.clone() };
            let applied = apply(store, psa, clock, request.org, &planned.stored, &options).await?;
            // ConnectWise changed underneath: what was refused is planned anew on what it holds now.
            if applied.stale && earlier.len() + 1 < ROUNDS {
                earlier.push((planned.stored, applied));
                continue;
            }
            report = Some(applied);
        }
        approvals::withdraw_others(store, clock, request.org, request.connection, &current).await?;
        return Ok(RunReport { resumed, unread, earlier, planned, report, held });
    }
}

/// What of a run over all tasks goes by itself, and what waits for people.
struct Sorted {
    /// The plan of what goes; the whole one where nothing does.
    planned: Planned,
    /// What waits.
    held: Vec<Finding>,
    /// The questions about it.
    current: BTreeSet<String>,
    /// Whether anything goes.
    goes: bool,
}

/// Subscriptions that wait for people are put into plans of their own, so many in a run; the rest of them into one.
const MOST_APART: usize = 50;

/// Takes out of a plan what people have to approve first, so that the rest need not wait for them.
async fn sort_out(
    store: &dyn Store,
    psa: &dyn Psa,
    clock: &dyn Clock,
    request: &PlanRequest<'_>,
    planned: Planned,
) -> Result<Sorted, RunError> {
    let policy = &request.settings.approval;
    if let Some((id, finding)) =
        approvals::refused(store, clock, request.org, &planned.stored, policy).await?
    {
        return Ok(Sorted { planned, held: vec![finding], current: BTreeSet::from([id]), goes: false });
    }
    let waiting = approvals::waiting(store, clock, request.org, &planned.stored, policy).await?;
    if waiting.is_empty() {
        return Ok(Sorted { planned, held: Vec::new(), current: BTreeSet::new(), goes: true });
    }
    let (mut held, mut current) = (Vec::new(), BTreeSet::new());
    let all: Vec<&Whose> = waiting.keys().collect();
    let (apart, together) = all.split_at(all.len().min(MOST_APART));
    for group in apart.chunks(1).chain(Some(together).filter(|rest| !rest.is_empty())) {
        let group: BTreeSet<&Whose> = group.iter().copied().collect();
        if let Some((id, finding)) =
            approvals::still_asked(store, clock, request.org, &planned.stored, &group, policy).await?
        {
            current.insert(id);
            held.push(finding);
            continue;
        }
        let Some(own) = alone(store, psa, clock, request, &planned, &group).await? else { continue };
        if let Some(finding) = approvals::gate(store, clock, request.org, &own, policy).await? {
            current.insert(approvals::id_of(&own));
            held.push(finding);
        }
    }
    let waits: BTreeSet<&Whose> = waiting.keys().collect();
    let of_waiting = approvals::tasks_of(&planned.tasks, &waits);
    let goes = planned.tasks.iter().any(|t| t.state == TaskState::Planned && !of_waiting.contains(&t.id));
    if !goes {
        return Ok(Sorted { planned, held, current, goes });
    }
    let rest = planned.tasks.iter().map(|task| task.id.clone()).filter(|id| !of_waiting.contains(id));
    let choice = Choice::Among(rest.collect());
    let mut rest = make_plan(store, psa, clock, &PlanRequest { choice, ..request.clone() }).await?;
    rest.skipped.extend(planned.skipped);
    let goes = matches!(rest.stored.body, PlanBody::Checked(_));
    Ok(Sorted { planned: rest, held, current, goes })
}

/// A plan made anew for its own tasks, where the same comes out; else the plan itself, which is refused if it is out of
/// date.
///
/// # Errors
/// The store's or ConnectWise's.
pub async fn fresh(
    store: &dyn Store,
    psa: &dyn Psa,
    clock: &dyn Clock,
    request: &PlanRequest<'_>,
    stored: StoredPlan,
) -> Result<StoredPlan, RunError> {
    let plan = stored.body.plan();
    let tasks = tasks_of(store, request.org, plan).await?;
    let can = stored.state == PlanState::Proposed
        && plan.undoes.is_empty()
        && !tasks.is_empty()
        && tasks.iter().all(|task| task.kind != TaskKind::Reconciliation && task.state == TaskState::Planned);
    if !can {
        return Ok(stored);
    }
    let choice = Choice::Among(tasks.into_iter().map(|task| task.id).collect());
    let again = make_plan(store, psa, clock, &PlanRequest { choice, ..request.clone() }).await?.stored;
    let same = approvals::id_of(&again) == approvals::id_of(&stored);
    Ok(if same && matches!(again.body, PlanBody::Checked(_)) { again } else { stored })
}

/// The plan of what some subscriptions ask for, alone; none where their tasks are gone or it cannot be applied.
async fn alone(
    store: &dyn Store,
    psa: &dyn Psa,
    clock: &dyn Clock,
    request: &PlanRequest<'_>,
    planned: &Planned,
    of: &BTreeSet<&Whose>,
) -> Result<Option<StoredPlan>, RunError> {
    let choice = Choice::Among(approvals::tasks_of(&planned.tasks, of));
    let own = make_plan(store, psa, clock, &PlanRequest { choice, ..request.clone() }).await?.stored;
    Ok(matches!(own.body, PlanBody::Checked(_)).then_some(own))
}
