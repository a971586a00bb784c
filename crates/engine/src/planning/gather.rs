//! What the planner needs of the feed: the orders behind the tasks, and their subscriptions, customers and products.

use super::{Chosen, waits_for};
use crate::failure::Failure;
use crate::ports::Store;
use crate::reconcile;
use crate::records::TaskFilter;
use crate::tasks::assess::subject_of;
use crate::tasks::corrected;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::feed::{Customer, Order, Product, Record, RecordKind, Subscription};
use trueup_domain::finding::{Code, Finding};
use trueup_domain::ids::{CustomerId, OrganizationId, ProductId, SourceId, SubscriptionId, TaskId};
use trueup_domain::plan::AdditionLink;
use trueup_domain::planner::Completions;
use trueup_domain::settings::LineMode;
use trueup_domain::task::{Beside, Demand, Task, TaskKind, TaskState};

/// From this many records on, a kind is read whole instead of one by one.
const READ_WHOLE: usize = 64;

/// The records of one kind, as far as they are wanted.
async fn records(
    store: &dyn Store,
    org: &OrganizationId,
    kind: RecordKind,
    wanted: &BTreeSet<(SourceId, String)>,
) -> Result<BTreeMap<(SourceId, String), Record>, Failure> {
    let mut found = BTreeMap::new();
    if wanted.len() < READ_WHOLE {
        for (source, id) in wanted {
            if let Some(row) = store.find_record(org, source, kind, id).await? {
                found.insert((source.clone(), id.clone()), row.record);
            }
        }
        return Ok(found);
    }
    for row in store.list_records(org, None, kind).await? {
        let key = (row.source, row.record.id());
        if wanted.contains(&key) {
            found.insert(key, row.record);
        }
    }
    Ok(found)
}

/// Orders of the same subscriptions that were carried out and may have ended something of which no line tells: all
/// cancellations, and of the orders that were completed after one of them or of these tasks what sells, changes or moves.
/// Where one of these tasks tells a difference alone, changes the price of a line that was taken over, or is averaged over its
/// period, all of them. With them all orders of these subscriptions that were carried out, to count what is sold.
pub(super) async fn carried_out(
    store: &dyn Store,
    org: &OrganizationId,
    (tasks, demands, links): (&BTreeMap<TaskId, Task>, &BTreeMap<TaskId, Demand>, &[AdditionLink]),
    line_mode: LineMode,
) -> Result<(Vec<(Task, Order)>, Completions), Failure> {
    let key = |task: &Task| (task.source.clone(), task.subscription.clone());
    let mut first: BTreeMap<(SourceId, SubscriptionId), i64> = BTreeMap::new();
    let by_hand = links.iter().filter(|link| link.order.is_none() && link.key.is_none() && !link.deleted);
    let by_hand: BTreeSet<(&SourceId, &SubscriptionId)> =
        by_hand.map(|link| (&link.source, &link.subscription)).collect();
    for task in tasks.values() {
        // From how many a difference goes, and from which price a line by hand, is told by all orders before it; and what a
        // period costs by all of its own.
        let by_difference = demands.get(&task.id).is_some_and(Demand::tells_a_difference)
            || task.kind == TaskKind::Change && by_hand.contains(&(&task.source, &task.subscription));
        let averaged = line_mode == LineMode::Single && task.kind == TaskKind::Change;
        let from = if by_difference || averaged { i64::MIN } else { task.completed_us };
        let first = first.entry(key(task)).or_insert(from);
        *first = (*first).min(from);
    }
    let subscriptions: BTreeSet<&SubscriptionId> =
        first.keys().map(|(_, subscription)| subscription).collect();
    if subscriptions.is_empty() {
        return Ok(Default::default());
    }
    let filter = TaskFilter {
        states: vec![TaskState::Done],
        subscriptions: subscriptions.into_iter().cloned().collect(),
        ..TaskFilter::default()
    };
    let done = store.list_tasks(org, &filter).await?;
    // What came after a cancellation may have taken it back.
    for end in done.iter().filter(|task| task.kind == TaskKind::Cancellation) {
        if let Some(first) = first.get_mut(&key(end)) {
            *first = (*first).min(end.completed_us);
        }
    }
    let mut done = with_orders(store, org, done).await?;
    let mut all = Completions::new();
    for (task, order) in &done {
        all.carry_out(task.source.clone(), order.clone());
    }
    done.retain(|(task, _)| {
        let planned = first.get(&key(task));
        let after = planned.is_some_and(|first| task.completed_us >= *first);
        match task.kind {
            TaskKind::Cancellation => planned.is_some(),
            TaskKind::Sales | TaskKind::Renewal | TaskKind::Change | TaskKind::Transfer => after,
            TaskKind::Billing | TaskKind::Reconciliation => false,
        }
    });
    Ok((done, all))
}

/// All that is known of the orders of subscriptions that were carried out.
pub(crate) async fn completed_of(
    store: &dyn Store,
    org: &OrganizationId,
    of: &BTreeSet<(SourceId, SubscriptionId)>,
) -> Result<Completions, Failure> {
    let mut known = Completions::new();
    if of.is_empty() {
        return Ok(known);
    }
    let filter = TaskFilter {
        states: vec![TaskState::Done],
        subscriptions: of.iter().map(|(_, subscription)| subscription.clone()).collect(),
        ..TaskFilter::default()
    };
    let mut done = store.list_tasks(org, &filter).await?;
    done.retain(|task| of.contains(&(task.source.clone(), task.subscription.clone())));
    for (task, order) in with_orders(store, org, done).await? {
        known.insert((task.source.clone(), order.id.clone()), (task.completed_us, task.turn));
        known.carry_out(task.source, order);
    }
    Ok(known)
}

/// The tasks with the order of each, where it has one.
async fn with_orders(
    store: &dyn Store,
    org: &OrganizationId,
    tasks: Vec<Task>,
) -> Result<Vec<(Task, Order)>, Failure> {
    let wanted = tasks
        .iter()
        .filter_map(|task| task.order_id.as_ref().map(|order| (task.source.clone(), order.to_string())))
        .collect();
    let mut orders = records(store, org, RecordKind::Order, &wanted).await?;
    let with_order = |task: Task| {
        let key = (task.source.clone(), task.order_id.as_ref()?.to_string());
        match orders.remove(&key)? {
            Record::Order(order) => Some((task, order)),
            _ => None, // open set: kept as an order, and none
        }
    };
    Ok(tasks.into_iter().filter_map(with_order).collect())
}

/// What each task asks for. A task whose order is gone, not completed any more, or waiting for an operation gets no
/// demand; its state and a finding say why.
pub(super) async fn demands_of(
    store: &dyn Store,
    org: &OrganizationId,
    chosen: &mut Chosen,
) -> Result<(BTreeMap<TaskId, Demand>, Vec<Finding>), Failure> {
    let mut findings = Vec::new();
    for (id, behind) in std::mem::take(&mut chosen.waiting) {
        if let Some(task) = chosen.tasks.get_mut(&id) {
            findings.push(waits_for(task, &behind));
            task.state = TaskState::Blocked;
            task.reason = Some(behind.to_string());
            chosen.given.remove(&id);
        }
    }
    let blocked: BTreeSet<TaskId> = findings.iter().filter_map(|f| f.subject.task.clone()).collect();
    let wanted = chosen
        .tasks
        .values()
        .filter_map(|t| t.order_id.as_ref().map(|order| (t.source.clone(), order.to_string())))
        .collect();
    let orders = records(store, org, RecordKind::Order, &wanted).await?;
    let mut demands = BTreeMap::new();
    let mut moved = Vec::new();
    for task in chosen.tasks.values_mut().filter(|t| !blocked.contains(&t.id)) {
        if let Some(given) = chosen.given.get(&task.id) {
            demands.insert(task.id.clone(), given.clone());
            continue;
        }
        let Some(order_id) = &task.order_id else {
            let key = task.subscription.as_str();
            let row = store.find_record(org, &task.source, RecordKind::Subscription, key).await?;
            let beside = match row.map(|row| (row.record, row.received_at)) {
                Some((Record::Subscription(sold), at)) => {
                    reconcile::beside(store, org, &task.source, (&sold, at)).await?
                }
                Some(_) | None => Beside::default(),
            };
            let demand = Demand::Reconcile { period: None, confirm_invoiced: false, beside };
            demands.insert(task.id.clone(), demand);
            continue;
        };
        match orders.get(&(task.source.clone(), order_id.to_string())) {
            Some(Record::Order(order)) if order.is_completed() => {
                if let Some(finding) = corrected::held(task, order) {
                    findings.push(finding);
                    task.state = TaskState::Failed;
                    task.reason = Some(Code::Tu8006.to_string());
                    moved.push((task.clone(), order.subscription.clone()));
                    continue;
                }
                demands.insert(task.id.clone(), Demand::Order(Box::new(order.clone())));
            }
            Some(Record::Order(order)) => {
                task.reason = Some(format!("the order is {} at the source", order.status));
                task.state = TaskState::Ignored;
            }
            Some(_) | None => {
                let message = format!("Order {order_id} is not in the feed any more.");
                findings.push(Finding::new(Code::Tu8004, subject_of(task), message));
                task.state = TaskState::Failed;
                task.reason = Some(Code::Tu8004.to_string());
            }
        }
    }
    for (earlier, now) in moved {
        hold_behind(&earlier, &now, chosen, &mut demands);
    }
    Ok((demands, findings))
}

/// What comes later waits for an order that was corrected since: of the subscription that it was of, and of the one that it
/// is of now.
fn hold_behind(
    earlier: &Task,
    now: &SubscriptionId,
    chosen: &mut Chosen,
    demands: &mut BTreeMap<TaskId, Demand>,
) {
    for task in chosen.tasks.values_mut() {
        let is_of_one = task.source == earlier.source
            && (task.subscription == earlier.subscription || task.subscription == *now);
        let is_later = task.sequence() > earlier.sequence() && task.kind != TaskKind::Reconciliation;
        if is_of_one && is_later && demands.remove(&task.id).is_some() {
            task.state = TaskState::Blocked;
            task.reason = Some(earlier.id.to_string());
        }
    }
}

/// The feed's records that the planner may look at.
pub(super) struct Feed {
    /// Customers.
    pub customers: BTreeMap<(SourceId, CustomerId), Customer>,
    /// Products.
    pub products: BTreeMap<(SourceId, ProductId), Product>,
    /// Subscriptions.
    pub subscriptions: BTreeMap<(SourceId, SubscriptionId), Subscription>,
}

impl Feed {
    /// Reads what these tasks name.
    pub async fn read(
        store: &dyn Store,
        org: &OrganizationId,
        tasks: &BTreeMap<TaskId, Task>,
        demands: &BTreeMap<TaskId, Demand>,
    ) -> Result<Self, Failure> {
        let subscriptions = subscriptions_of(store, org, tasks).await?;
        let mut products: BTreeSet<(SourceId, String)> = BTreeSet::new();
        for task in tasks.values() {
            for order in demands.get(&task.id).into_iter().flat_map(Demand::orders) {
                products.extend(products_of_order(&task.source, order));
            }
        }
        for ((source, _), subscription) in &subscriptions {
            products.extend(products_of_subscription(source, subscription));
        }
        let mut found_products = BTreeMap::new();
        for ((source, _), record) in records(store, org, RecordKind::Product, &products).await? {
            if let Record::Product(product) = record {
                found_products.insert((source, product.id.clone()), product);
            }
        }
        let wanted = tasks.values().map(|t| (t.source.clone(), t.customer.to_string())).collect();
        let mut customers = BTreeMap::new();
        for ((source, _), record) in records(store, org, RecordKind::Customer, &wanted).await? {
            if let Record::Customer(customer) = record {
                customers.insert((source, customer.id.clone()), customer);
            }
        }
        Ok(Self { customers, products: found_products, subscriptions })
    }
}

/// Adds the other subscriptions of customers who are billed by hand as yet: whose line one by hand is can be told only
/// where it is known who else is sold the same. Needed on the first day alone, so that all are read for it.
pub(super) async fn add_neighbours(
    store: &dyn Store,
    org: &OrganizationId,
    (tasks, links): (&BTreeMap<TaskId, Task>, &[AdditionLink]),
    takes_over: bool,
    subscriptions: &mut BTreeMap<(SourceId, SubscriptionId), Subscription>,
) -> Result<(), Failure> {
    let ends = |kind: TaskKind| match kind {
        TaskKind::Change | TaskKind::Renewal | TaskKind::Cancellation => true,
        TaskKind::Sales => takes_over,
        TaskKind::Billing | TaskKind::Transfer | TaskKind::Reconciliation => false,
    };
    let mut open: BTreeMap<(&SourceId, &SubscriptionId), &CustomerId> = tasks
        .values()
        .filter(|task| ends(task.kind))
        .map(|task| ((&task.source, &task.subscription), &task.customer))
        .collect();
    for link in links.iter().filter(|link| !link.deleted && !link.is_settled()) {
        open.remove(&(&link.source, &link.subscription));
    }
    if open.is_empty() {
        return Ok(());
    }
    let customers: BTreeSet<(&SourceId, &CustomerId)> =
        open.into_iter().map(|((source, _), customer)| (source, customer)).collect();
    for row in store.list_records(org, None, RecordKind::Subscription).await? {
        if let Record::Subscription(sold) = row.record
            && customers.contains(&(&row.source, &sold.customer))
        {
            subscriptions.entry((row.source, sold.id.clone())).or_insert(sold);
        }
    }
    Ok(())
}

async fn subscriptions_of(
    store: &dyn Store,
    org: &OrganizationId,
    tasks: &BTreeMap<TaskId, Task>,
) -> Result<BTreeMap<(SourceId, SubscriptionId), Subscription>, Failure> {
    let wanted = tasks.values().map(|t| (t.source.clone(), t.subscription.to_string())).collect();
    let mut subscriptions = BTreeMap::new();
    for ((source, _), record) in records(store, org, RecordKind::Subscription, &wanted).await? {
        if let Record::Subscription(subscription) = record {
            subscriptions.insert((source, subscription.id.clone()), subscription);
        }
    }
    let parents: BTreeSet<(SourceId, String)> = subscriptions
        .iter()
        .filter_map(|((source, _), s)| s.parent.as_ref().map(|p| (source.clone(), p.to_string())))
        .filter(|key| !wanted.contains(key))
        .collect();
    for ((source, _), record) in records(store, org, RecordKind::Subscription, &parents).await? {
        if let Record::Subscription(subscription) = record {
            subscriptions.insert((source, subscription.id.clone()), subscription);
        }
    }
    Ok(subscriptions)
}

fn products_of_order(source: &SourceId, order: &Order) -> Vec<(SourceId, String)> {
    order.lines.iter().map(|l| (source.clone(), l.product.to_string())).collect()
}

fn products_of_subscription(source: &SourceId, subscription: &Subscription) -> Vec<(SourceId, String)> {
    let items = subscription.items.iter().map(|i| &i.product);
    let plan = subscription.plan.iter().map(|p| &p.product);
    items.chain(plan).map(|p| (source.clone(), p.to_string())).collect()
}
