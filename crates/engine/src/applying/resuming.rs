//! Going on with what earlier runs left.

use super::{OF_APPLY, apply, as_apply_error, settle, tasks_of};
use crate::apply::{ApplyError, ApplyOptions, ApplyReport, resolve_each};
use crate::findings;
use crate::ports::{Clock, Psa, Store};
use crate::records::{OperationState, StoredPlan, TaskFilter};
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::finding::{Code, Finding, Subject};
use trueup_domain::ids::{ChangeId, OrganizationId, PlanId};
use trueup_domain::plan::TaskOutcome;
use trueup_domain::task::TaskState;

/// A plan that an earlier run left unfinished, and what became of it now.
#[derive(Clone, Debug)]
pub struct Resumed {
    /// The plan.
    pub stored: StoredPlan,
    /// What became of it.
    pub report: ApplyReport,
    /// Changes that were settled before: they are no news.
    pub settled_before: BTreeSet<ChangeId>,
}

/// What became of the plans that earlier runs left unfinished.
#[derive(Clone, Debug, Default)]
pub struct WentOn {
    /// Those that were gone on with.
    pub resumed: Vec<Resumed>,
    /// What kept others from it, each of its plan alone.
    pub unread: Vec<Finding>,
}

/// Goes on with what earlier runs left: operations in doubt, and plans that were interrupted. A plan of which something
/// could not be read keeps neither the others waiting nor what is planned next.
///
/// # Errors
/// [`ApplyError`]; another worker at the same agreements is none.
pub async fn resume(
    store: &dyn Store,
    psa: &dyn Psa,
    clock: &dyn Clock,
    org: &OrganizationId,
    options: &ApplyOptions<'_>,
) -> Result<WentOn, ApplyError> {
    let mut settled: BTreeMap<PlanId, BTreeSet<ChangeId>> = BTreeMap::new();
    for id in unfinished_plans(store, org, options).await? {
        let operations = store.list_operations(org, &id).await?;
        let done = operations
            .into_iter()
            .filter(|o| matches!(o.state, OperationState::Done | OperationState::Refused))
            .map(|o| o.change)
            .collect();
        settled.insert(id, done);
    }
    // They were begun: whoever had to say yes did.
    let options = &ApplyOptions { policy: None, ..options.clone() };
    let mut went_on = WentOn::default();
    let mut failed = None;
    let mut reports = resolve_each(store, psa, clock, org, options).await?;
    for (id, settled_before) in settled {
        let Some(stored) = store.find_plan(org, &id).await? else { continue };
        let report = match reports.remove(&id) {
            Some(Ok(report)) => {
                settle(store, clock, org, &stored, &report).await?;
                Ok(report)
            }
            Some(Err(error)) => Err(error),
            // Interrupted before anything was sent: intents alone, which the same plan goes on with.
            None => apply(store, psa, clock, org, &stored, options).await,
        };
        match report {
            Ok(report) => went_on.resumed.push(Resumed { stored, report, settled_before }),
            Err(ApplyError::Busy(_)) => {}
            Err(error) => match of_something_unread(&error) {
                Some(why) => went_on.unread.push(unread(store, clock, org, &stored, &error, why).await?),
                None => failed = failed.or(Some(error)),
            },
        }
    }
    let general = format!("resume/{}", options.connection.as_deref().unwrap_or_default());
    let nothing = BTreeSet::new();
    let scope = findings::Scope { looked_at: &nothing, judged: Some(&OF_APPLY), general: &general };
    findings::record(store, clock, org, scope, &went_on.unread).await.map_err(as_apply_error)?;
    failed.map_or(Ok(went_on), Err)
}

/// What one plan could not be gone on with for, where it says nothing of the others: the words of ConnectWise's answer.
fn of_something_unread(error: &ApplyError) -> Option<Option<&str>> {
    match error {
        ApplyError::Unread(why) => Some(why.their_words.as_deref()),
        ApplyError::Psa(why) if why.code == Code::Tu1007 => Some(why.their_words.as_deref()),
        ApplyError::NotChecked
        | ApplyError::Busy(_)
        | ApplyError::Waits(_)
        | ApplyError::Psa(_)
        | ApplyError::Store(_) => None,
    }
}

/// Tells that a plan was not gone on with. Where the journal holds nothing of it, nothing of it was sent: its tasks are
/// planned anew.
async fn unread(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    stored: &StoredPlan,
    error: &ApplyError,
    their_words: Option<&str>,
) -> Result<Finding, ApplyError> {
    let code = error.code();
    if store.list_operations(org, &stored.id).await?.is_empty() {
        let mut tasks = tasks_of(store, org, stored.body.plan()).await?;
        tasks.retain(|task| task.state == TaskState::Applying);
        for task in &mut tasks {
            (task.state, task.reason) = (TaskState::Ready, Some(code.to_string()));
        }
        store.save_tasks(org, clock.now(), &tasks).await?;
    }
    let subject = Subject { detail: Some(stored.id.to_string()), ..Subject::default() };
    let message = format!("Plan {} was not gone on with: {error}. The next run tries again.", stored.id);
    let mut found = Finding::new(code, subject, message);
    found.their_words = their_words.map(str::to_owned);
    Ok(found)
}

/// Plans with an operation without outcome, and plans of tasks that were being applied when a run ended.
async fn unfinished_plans(
    store: &dyn Store,
    org: &OrganizationId,
    options: &ApplyOptions<'_>,
) -> Result<BTreeSet<PlanId>, ApplyError> {
    let mut plans: BTreeSet<PlanId> =
        store.list_unresolved_operations(org).await?.into_iter().map(|o| o.plan).collect();
    let filter =
        TaskFilter { states: vec![TaskState::Applying, TaskState::InDoubt], ..TaskFilter::default() };
    for task in store.list_tasks(org, &filter).await? {
        plans.extend(store.find_plan_of_task(org, &task.id).await?);
    }
    // An undo moves no task before it is done.
    for id in store.list_plans_under_way(org).await? {
        let Some(stored) = store.find_plan(org, &id).await? else { continue };
        let outcomes = &stored.body.plan().outcomes;
        if !outcomes.is_empty() && outcomes.values().all(|outcome| *outcome == TaskOutcome::Undone) {
            plans.insert(id);
        }
    }
    let Some(connection) = &options.connection else { return Ok(plans) };
    let mut of_connection = BTreeSet::new();
    for id in plans {
        if store.find_plan(org, &id).await?.is_some_and(|p| &p.connection == connection) {
            of_connection.insert(id);
        }
    }
    Ok(of_connection)
}
