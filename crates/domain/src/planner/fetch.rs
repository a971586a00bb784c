//! Reading ahead. Tasks and links lie anywhere in memory, and a plan looks at each of them once: what the next groups are
//! about is read for all of them side by side, so that their planning does not wait for one after the other. Nothing of
//! it shows in a plan.

use super::TaskInput;
use super::index::Index;
use crate::feed::Order;
use crate::plan::{AdditionLink, Role};
use crate::task::{Demand, Task};
use std::hint::black_box;

/// So many groups ahead: what is read of them stays near until they are planned.
pub const GROUPS: usize = 32;

/// Reads what the tasks at some places are about.
pub fn read(index: &Index<'_>, tasks: &[TaskInput<'_>], places: &[usize]) {
    black_box(places.iter().map(|place| of_task(tasks[*place].task)).fold(0, usize::wrapping_add));
    let orders = places.iter().filter_map(|place| match tasks[*place].demand {
        Demand::Order(order) => Some((*place, &**order)),
        Demand::Reconcile { .. } => None,
    });
    black_box(orders.clone().map(|(_, order)| of_order(order)).fold(0, usize::wrapping_add));
    let links = orders.flat_map(|(place, order)| {
        let subscription = index.subscription_of(place);
        order.lines.iter().flat_map(move |line| index.links_for(subscription, &line.product, Role::Recurring))
    });
    black_box(links.map(of_link).fold(0, usize::wrapping_add));
}

fn of_task(task: &Task) -> usize {
    task.id.as_str().len() + task.customer.as_str().len() + task.amendments.len() + task.undone as usize
}

fn of_order(order: &Order) -> usize {
    let lines =
        order.lines.iter().map(|line| line.product.as_str().len() + usize::from(line.amount.is_some()));
    order.id.as_str().len() + order.status.len() + lines.sum::<usize>()
}

fn of_link(link: &AdditionLink) -> usize {
    let order = link.order.as_ref().map_or(0, |order| order.as_str().len());
    order + link.edits.len() + usize::from(link.written.is_open()) + usize::from(link.deleted)
}
