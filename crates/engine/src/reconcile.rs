//! Reconciliation: what a customer's subscriptions have in a period, made to exist without part periods.

use crate::failure::Failure;
use crate::ports::{Clock, Store};
use crate::records::{Millis, TaskFilter};
use crate::tasks::reconciliation_task;
use trueup_domain::feed::{OrderKind, Record, RecordKind, Subscription, SubscriptionStatus};
use trueup_domain::ids::{CustomerId, OrganizationId, SourceId, TaskId};
use trueup_domain::period::Period;
use trueup_domain::task::{Beside, Demand, Task, TaskState};

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

/// The reconciliation tasks of what a customer's subscriptions were in a period, saved, with what they ask for.
///
/// # Errors
/// The store's, or [`Failure::Wrong`] where the customer has no subscription in the feed that ran in the period.
pub async fn tasks_for(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    wanted: &Reconciliation<'_>,
) -> Result<Vec<(Task, Demand)>, Failure> {
    let mut tasks = Vec::new();
    let mut demands = Vec::new();
    for row in store.list_records(org, wanted.source, RecordKind::Subscription).await? {
        let Record::Subscription(subscription) = &row.record else { continue };
        if &subscription.customer != wanted.customer || subscription.start >= wanted.period.end() {
            continue;
        }
        let beside = beside(store, org, &row.source, (subscription, row.received_at)).await?;
        let ran = match beside.ended {
            Some(ended) => ended > wanted.period.start(),
            None => {
                subscription.status.bills() && subscription.end.is_none_or(|end| end > wanted.period.start())
            }
        };
        if ran {
            let mut task = reconciliation_task(&row.source, subscription);
            task.state = TaskState::Ready;
            tasks.push(task);
            demands.push(Demand::Reconcile {
                period: Some(wanted.period),
                confirm_invoiced: wanted.confirm_invoiced,
                beside,
            });
        }
    }
    if tasks.is_empty() {
        return Err(nothing_ran(store, org, wanted).await?);
    }
    keep_choices(store, org, &mut tasks).await?;
    store.save_tasks(org, clock.now(), &tasks).await?;
    Ok(tasks.into_iter().zip(demands).collect())
}

/// Why there is nothing to reconcile: a subscription that moved to another customer is reconciled for that one alone,
/// since its record no longer says what the former one had.
async fn nothing_ran(
    store: &dyn Store,
    org: &OrganizationId,
    wanted: &Reconciliation<'_>,
) -> Result<Failure, Failure> {
    let filter = TaskFilter {
        customer: Some(wanted.customer.to_string()),
        source: wanted.source.cloned(),
        ..TaskFilter::default()
    };
    for task in store.list_tasks(org, &filter).await? {
        let row = store
            .find_record(org, &task.source, RecordKind::Subscription, task.subscription.as_str())
            .await?;
        let Some(Record::Subscription(subscription)) = row.map(|row| row.record) else { continue };
        if &subscription.customer != wanted.customer {
            return Ok(Failure::wrong(
                format!(
                    "subscription {} of customer {} moved to customer {}",
                    subscription.id, wanted.customer, subscription.customer
                ),
                "What it had before is told by its orders: `trueup task list --customer ID` names them, and \
                 `trueup audit explain` the additions that were written for them.",
            ));
        }
    }
    Ok(Failure::wrong(
        format!("customer {} has no subscription that ran in {}", wanted.customer, wanted.period),
        "Look at the customer's id and the period; `trueup feed import` takes in what is missing.",
    ))
}

/// What trueup carries out of a subscription by its orders, and the day on which it ended; `received_at` is when its record
/// came in.
///
/// # Errors
/// The store's.
pub(crate) async fn beside(
    store: &dyn Store,
    org: &OrganizationId,
    source: &SourceId,
    (subscription, received_at): (&Subscription, Millis),
) -> Result<Beside, Failure> {
    let filter = TaskFilter {
        subscription: Some(subscription.id.to_string()),
        source: Some(source.clone()),
        ..TaskFilter::default()
    };
    let mut tasks = store.list_tasks(org, &filter).await?;
    tasks.sort_by(|a, b| a.sequence().cmp(&b.sequence()));
    let mut beside = Beside::default();
    let mut cancelled = None;
    for task in tasks {
        let Some(id) = &task.order_id else { continue };
        let Some(found) = store.find_record(org, source, RecordKind::Order, id.as_str()).await? else {
            continue;
        };
        let (Record::Order(order), ordered_at) = (found.record, found.received_at) else { continue };
        if !order.is_completed() {
            continue;
        }
        if order.kind == OrderKind::Cancellation {
            cancelled = cancelled.max(Some(order.effective));
        }
        match task.state {
            TaskState::Ignored => {}
            TaskState::Done => {
                beside.newer.extend((received_at <= ordered_at).then(|| order.id.clone()));
                beside.carried.push(order);
            }
            TaskState::New
            | TaskState::NeedsMapping
            | TaskState::Ready
            | TaskState::Planned
            | TaskState::Applying
            | TaskState::Failed
            | TaskState::InDoubt
            | TaskState::Blocked => beside.open.push(order),
        }
    }
    let over = matches!(subscription.status, SubscriptionStatus::Cancelled | SubscriptionStatus::Expired);
    beside.ended = subscription.cancelled_on.or(subscription.end).or(cancelled).filter(|_| over);
    Ok(beside)
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
