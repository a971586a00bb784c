//! Reconciliation: the present lines of a customer's subscriptions, made to exist without part periods.

use crate::failure::Failure;
use crate::ports::{Clock, Store};
use crate::records::TaskFilter;
use crate::tasks::reconciliation_task;
use trueup_domain::feed::{Record, RecordKind};
use trueup_domain::ids::{CustomerId, OrganizationId, SourceId, TaskId};
use trueup_domain::period::Period;
use trueup_domain::task::{Demand, Task, TaskState};

/// What is reconciled.
#[derive(Clone, Debug)]
pub struct Reconciliation<'a> {
    /// Of which source; none means every source that knows the customer.
    pub source: Option<&'a SourceId>,
    /// Whose subscriptions.
    pub customer: &'a CustomerId,
    /// The billing period asked for.
    pub period: Period,
    /// Whether lines may be proposed for periods that are invoiced.
    pub confirm_invoiced: bool,
}

/// The reconciliation tasks of a customer's running subscriptions, saved, with what they ask for.
///
/// # Errors
/// The store's, or [`Failure::Wrong`] where the customer has no running subscription in the feed.
pub async fn tasks_for(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    wanted: &Reconciliation<'_>,
) -> Result<Vec<(Task, Demand)>, Failure> {
    let demand = Demand::Reconcile { period: Some(wanted.period), confirm_invoiced: wanted.confirm_invoiced };
    let mut tasks = Vec::new();
    for row in store.list_records(org, wanted.source, RecordKind::Subscription).await? {
        let Record::Subscription(subscription) = &row.record else { continue };
        let ended = subscription.end.is_some_and(|end| end <= wanted.period.start());
        let fits = &subscription.customer == wanted.customer
            && subscription.status.bills()
            && subscription.start < wanted.period.end()
            && !ended;
        if fits {
            let mut task = reconciliation_task(&row.source, subscription);
            task.state = TaskState::Ready;
            tasks.push(task);
        }
    }
    if tasks.is_empty() {
        return Err(Failure::wrong(
            format!("customer {} has no running subscription in {}", wanted.customer, wanted.period),
            "Look at the customer's id and the period; `trueup feed import` takes in what is missing.",
        ));
    }
    keep_choices(store, org, &mut tasks).await?;
    store.save_tasks(org, clock.now(), &tasks).await?;
    Ok(tasks.into_iter().map(|task| (task, demand.clone())).collect())
}

/// A task that was there keeps the price source and the values that a person chose for it, and how often it was taken back.
async fn keep_choices(store: &dyn Store, org: &OrganizationId, tasks: &mut [Task]) -> Result<(), Failure> {
    let ids: Vec<TaskId> = tasks.iter().map(|t| t.id.clone()).collect();
    let known = store.list_tasks(org, &TaskFilter { ids, ..TaskFilter::default() }).await?;
    for task in tasks {
        if let Some(before) = known.iter().find(|t| t.id == task.id) {
            task.price_source = before.price_source;
            task.undone = before.undone;
            task.amendments = before.amendments.clone();
        }
    }
    Ok(())
}
