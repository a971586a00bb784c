//! What the source corrected before it was carried out: a task is of the subscription, whose, of the kind and of the instant
//! that the newest version says. What was written of it already holds it to what it was.

use super::changed::subject_of;
use super::run::Run;
use super::{Former, Key};
use std::collections::BTreeMap;
use trueup_domain::feed::Order;
use trueup_domain::finding::{Code, Finding, Severity};
use trueup_domain::ids::{CustomerId, OrderId, SourceId, TaskId};
use trueup_domain::plan::AdditionLink;
use trueup_domain::task::{Task, TaskKind, TaskState};

impl<'a> Run<'a> {
    /// Brings the tasks that are still to be carried out to what their orders and subscriptions say by now. What a person chose
    /// for them stays.
    pub(super) fn take_corrections(&mut self) {
        let orders = self.orders_by_id();
        let mut open: Vec<&Task> = self.tasks.values().filter(|task| is_to_come(task)).collect();
        // Whose an order is may be told by the task before it.
        open.sort_by(|a, b| a.sequence().cmp(&b.sequence()));
        let open: Vec<TaskId> = open.into_iter().map(|task| task.id.clone()).collect();
        for id in open {
            let Some(task) = self.tasks.get(&id) else { continue };
            let now = match &task.order_id {
                Some(order) => match orders.get(&(&task.source, order)) {
                    Some(order) if order.is_completed() => self.as_ordered(task, order),
                    Some(_) | None => continue,
                },
                None => self.as_recorded(task),
            };
            if now == *task {
                continue;
            }
            if let Some(order) = task.order_id.as_ref().and_then(|order| orders.get(&(&task.source, order)))
                && self.is_begun(task)
            {
                self.all_findings.extend(held(task, order));
                self.report.findings.extend(held(task, order));
                continue;
            }
            self.tasks.insert(id, judged_anew(now));
        }
    }

    /// All orders, also those that are not completed.
    pub(super) fn orders_by_id(&self) -> BTreeMap<(&'a SourceId, &'a OrderId), &'a Order> {
        let picture = self.picture;
        let mut orders = BTreeMap::new();
        for (source, rows) in &picture.orders {
            orders.extend(rows.iter().map(|(_, order)| ((source, &order.id), order)));
        }
        orders
    }

    fn as_ordered(&self, task: &Task, order: &Order) -> Task {
        Task {
            kind: TaskKind::from(order.kind),
            customer: self.whose_now(task, order),
            subscription: order.subscription.clone(),
            completed_us: order.completed_us,
            turn: if order.completed_us == task.completed_us { task.turn } else { 0 },
            ..task.clone()
        }
    }

    fn as_recorded(&self, task: &Task) -> Task {
        let sold = self.picture.subscriptions.get(&key_of(task));
        let customer = sold.map_or(&task.customer, |sold| &sold.customer).clone();
        Task { customer, ..task.clone() }
    }

    /// Whose an open order is by now. Where a transfer came after it, and nothing tells who had it before, the task knows.
    fn whose_now(&self, task: &Task, order: &Order) -> CustomerId {
        let key: Key = (task.source.clone(), order.subscription.clone());
        let subscription = self.picture.subscriptions.get(&key);
        let moved = || {
            let moves = TaskKind::from(order.kind) != TaskKind::Billing;
            self.moved_before(&key, order).filter(|_| moves)
        };
        let said = order.customer.clone().or_else(moved);
        let said = said.or_else(|| match self.before_transfer(&key, order) {
            Former::Is(customer) => Some(customer),
            Former::Unknown => None,
            Former::NoTransfer => subscription.map(|sold| sold.customer.clone()),
        });
        said.unwrap_or_else(|| task.customer.clone())
    }

    /// Whether something of a task was written that was not taken back.
    fn is_begun(&self, task: &Task) -> bool {
        let Some(order) = &task.order_id else { return false };
        let links = self.picture.links.get(&key_of(task)).map_or(&[][..], Vec::as_slice);
        let made_again = |gone: &AdditionLink| links.iter().any(|link| link.again() == Some(gone.addition));
        links.iter().filter(|link| !link.is_settled()).any(|link| match link.deleted {
            // Its own line is gone by an undo alone.
            true => {
                link.removed_by() == Some(order) && link.order.as_ref() != Some(order) && !made_again(link)
            }
            false => link.names(order),
        })
    }
}

fn key_of(task: &Task) -> Key {
    (task.source.clone(), task.subscription.clone())
}

/// Whether a task may still be written; what is put aside may be taken in again.
fn is_to_come(task: &Task) -> bool {
    match task.state {
        TaskState::New
        | TaskState::NeedsMapping
        | TaskState::Ready
        | TaskState::Planned
        | TaskState::Failed
        | TaskState::Ignored
        | TaskState::Blocked => true,
        TaskState::Applying | TaskState::Done | TaskState::InDoubt => false,
    }
}

/// What was planned, or failed, was another task.
fn judged_anew(task: Task) -> Task {
    match task.state {
        TaskState::Planned | TaskState::Failed => Task { state: TaskState::Ready, reason: None, ..task },
        TaskState::New
        | TaskState::NeedsMapping
        | TaskState::Ready
        | TaskState::Applying
        | TaskState::Done
        | TaskState::InDoubt
        | TaskState::Ignored
        | TaskState::Blocked => task,
    }
}

/// Why nothing is written for a task: its order says by now that it is of another subscription or customer, of another kind or
/// instant. None where the order is what the task is.
pub(crate) fn held(task: &Task, order: &Order) -> Option<Finding> {
    let mut said = Vec::new();
    if order.subscription != task.subscription {
        said.push(format!("subscription {} instead of {}", order.subscription, task.subscription));
    }
    if let Some(customer) = order.customer.as_ref().filter(|customer| **customer != task.customer) {
        said.push(format!("customer {customer} instead of {}", task.customer));
    }
    let kind = TaskKind::from(order.kind);
    if kind != task.kind {
        said.push(format!("kind {} instead of {}", kind.name(), task.kind.name()));
    }
    if order.completed_us != task.completed_us {
        said.push(format!("completed {}", order.completed_at));
    }
    if said.is_empty() {
        return None;
    }
    let message = format!(
        "Order {} was corrected at the source before all of it was carried out: {}. Nothing is written for it.",
        order.shown(),
        said.join("; ")
    );
    let fix = format!(
        "`trueup check` takes the correction in. Where lines of it are written already, take them back first \
         (`trueup undo --task {0}`), check, and take it in again (`trueup task unignore {0}`).",
        task.id
    );
    Some(Finding::new(Code::Tu8006, subject_of(task), message).severity(Severity::Error).fix(fix))
}
