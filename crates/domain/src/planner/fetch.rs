//! Reading ahead. Tasks, links and what ConnectWise holds lie anywhere in memory, and a plan looks at each of them once: what the next groups are
//! about is read for all of them side by side, so that their planning does not wait for one after the other. Nothing of
//! it shows in a plan.

use super::index::Index;
use super::{TaskInput, World};
use crate::feed::Order;
use crate::mapping::{Mapping, Mappings};
use crate::plan::{AdditionLink, Role};
use crate::psa::{Agreement, Company, ObservedAddition};
use crate::task::{Demand, Task};
use std::hint::black_box;

/// So many groups ahead: what is read of them stays near until they are planned.
pub const GROUPS: usize = 32;

/// Reads what the tasks at some places are about.
pub fn read(world: &World<'_>, index: &Index<'_>, tasks: &[TaskInput<'_>], places: &[usize]) {
    black_box(places.iter().map(|place| of_task(tasks[*place].task)).fold(0, usize::wrapping_add));
    read_held(world, index, places);
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

/// Reads what ConnectWise holds of those whom the tasks are about: company, agreement and additions.
fn read_held(world: &World<'_>, index: &Index<'_>, places: &[usize]) {
    let snapshot = world.snapshot;
    let customers = places.iter().filter_map(|place| index.customer_of(*place));
    black_box(customers.clone().map(of_mapping).fold(0, usize::wrapping_add));
    let companies = customers.filter_map(Mappings::company_in).filter_map(|id| snapshot.companies.get(&id));
    black_box(companies.map(of_company).fold(0, usize::wrapping_add));
    // Nearly all of a subscription is on one agreement.
    let homes = places.iter().filter_map(|place| index.homes_of(index.subscription_of(*place)).next());
    let agreements = homes.clone().filter_map(|home| snapshot.agreements.get(&home));
    black_box(agreements.map(of_agreement).fold(0, usize::wrapping_add));
    let additions = homes.flat_map(|home| snapshot.additions_of(home));
    black_box(additions.map(|addition| of_addition(index, addition)).fold(0, usize::wrapping_add));
}

fn of_mapping(mapping: &Mapping) -> usize {
    mapping.options.len() + usize::from(mapping.psa_id.is_some())
}

fn of_company(company: &Company) -> usize {
    company.state as usize
}

fn of_agreement(agreement: &Agreement) -> usize {
    usize::from(agreement.prorates) + usize::from(agreement.next_invoice.is_some())
}

fn of_addition(index: &Index<'_>, addition: &ObservedAddition) -> usize {
    let is_known = index.register.link_of(addition.id).is_some_and(|known| known.subscription().is_some());
    usize::from(is_known) + usize::from(addition.marker.is_some()) + usize::from(addition.state.is_open())
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
