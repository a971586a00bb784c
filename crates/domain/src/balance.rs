//! Whether a plan moves what is billed by what its orders move of what is sold.
//!
//! What is sold is counted from the orders alone, state by state and period by period; what is billed, from the lines that
//! a replay of the plan leaves. Neither asks the planner how it came to its lines: where both differ by more than rounding
//! and no finding of the plan tells that amount, somebody has to look (TU6006). Invoices that were made are the same
//! before and after a plan and need not be known.
//!
//! Where something else than orders says what is billed (prices of the catalog, lines by hand, trials, what a person set)
//! nothing is said.

mod book;
mod sold;

use crate::check::replay;
use crate::feed::Order;
use crate::finding::Finding;
use crate::ids::{SourceId, SubscriptionId};
use crate::mapping::{Mapping, MappingKind};
use crate::plan::{AdditionLink, Change, DraftPlan, TaskOutcome};
use crate::planner::{AdoptionAnswer, Completions, TaskInput, World};
use crate::settings::{LineMode, PriceSource, ProrationBy};
use crate::task::{Demand, Task};
use book::Book;
use std::collections::{BTreeMap, BTreeSet};

type Key<'a> = (&'a SourceId, &'a SubscriptionId);

/// What a plan makes of one subscription.
#[derive(Default)]
struct Of<'a> {
    /// The tasks that it carries out with their orders.
    planned: Vec<(&'a Task, &'a Order)>,
    /// It is set by something else than orders.
    by_other_means: bool,
}

/// The subscriptions of a plan whose lines come to something else than their orders, one finding each, with the amount by
/// which they come to more (or, below zero, to less) up to the end of the period after the last day that either names.
/// `carried_out` holds all orders of these subscriptions that were carried out before.
pub fn unbalanced(
    draft: &DraftPlan,
    world: &World<'_>,
    tasks: &[TaskInput<'_>],
    carried_out: &Completions,
) -> Vec<Finding> {
    let settings = world.settings;
    let by_orders = settings.price_source == PriceSource::Marketplace
        && settings.proration_by == ProrationBy::Trueup
        && settings.line_mode != LineMode::Commitment
        && settings.go_live.is_none()
        // A person answered what is to be written.
        && world.adoption != AdoptionAnswer::CreateBeside;
    let Some(after) = by_orders.then(|| replay(draft, world).ok()).flatten() else { return Vec::new() };
    let mut all: BTreeMap<Key<'_>, Of<'_>> = BTreeMap::new();
    for input in tasks {
        let of = all.entry((&input.task.source, &input.task.subscription)).or_default();
        let is_carried_out = matches!(
            draft.outcomes.get(&input.task.id),
            Some(TaskOutcome::Planned | TaskOutcome::NothingToDo)
        );
        match input.demand {
            Demand::Order(order) if is_carried_out => {
                of.by_other_means |= input.task.price_source.is_some();
                of.planned.push((input.task, order));
            }
            Demand::Order(_) => {}
            Demand::Reconcile { .. } => of.by_other_means = true,
        }
    }
    // What is taken back may have no line of its own.
    if !draft.undoes.is_empty() || tasks.is_empty() {
        for (source, subscription) in carried_out.subscriptions() {
            all.entry((source, subscription)).or_default();
        }
    }
    for change in draft.changes.iter().map(Box::as_ref).chain(&draft.left_out) {
        all.entry((&change.source, &change.subscription)).or_default().by_other_means |=
            change.amended.is_some();
    }
    for change in &draft.left_out {
        all.entry((&change.source, &change.subscription)).or_default().by_other_means = true;
    }
    for adoption in &draft.adoptions {
        all.entry((&adoption.source, &adoption.subscription)).or_default().by_other_means = true;
    }
    let exempt = Exempt::of(world);
    for (key, of) in &mut all {
        of.by_other_means |= exempt.holds(key.0, of, carried_out.of(key.0, key.1));
    }
    let mut links: BTreeMap<Key<'_>, Vec<&AdditionLink>> = BTreeMap::new();
    for link in world.links {
        let key = (&link.source, &link.subscription);
        if all.contains_key(&key) {
            links.entry(key).or_default().push(link);
        }
    }
    let mut changes: BTreeMap<Key<'_>, Vec<&Change>> = BTreeMap::new();
    for change in draft.changes.iter().filter(|change| change.writes()) {
        changes.entry((&change.source, &change.subscription)).or_default().push(change);
    }
    let mut found = Vec::new();
    for (key, of) in all.iter().filter(|(_, of)| !of.by_other_means) {
        let book = Book {
            world,
            draft,
            key: *key,
            of,
            links: links.get(key).map_or(&[], Vec::as_slice),
            changes: changes.get(key).map_or(&[], Vec::as_slice),
            known: carried_out.of(key.0, key.1),
        };
        found.extend(book.difference(&after).ok().flatten());
    }
    found
}

/// What somebody said is not billed, at all or up to a day.
struct Exempt<'a>(BTreeSet<(MappingKind, &'a SourceId, &'a str)>);

impl<'a> Exempt<'a> {
    fn of(world: &World<'a>) -> Self {
        let is_exempt =
            |mapping: &&Mapping| mapping.not_billed().is_some() || mapping.billed_from().is_some();
        let all = world.mappings.iter().filter(is_exempt);
        Self(all.map(|mapping| (mapping.kind, &mapping.source, mapping.source_id.as_str())).collect())
    }

    fn holds(&self, source: &SourceId, of: &Of<'_>, known: &[Order]) -> bool {
        let is_of = |kind: MappingKind, id: &str| self.0.contains(&(kind, source, id));
        let products =
            |order: &Order| order.lines.iter().any(|line| is_of(MappingKind::Product, line.product.as_str()));
        !self.0.is_empty()
            && (of
                .planned
                .iter()
                .any(|(task, order)| is_of(MappingKind::Customer, task.customer.as_str()) || products(order))
                || known.iter().any(products))
    }
}
