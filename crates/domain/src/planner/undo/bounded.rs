//! Orders that came late and were billed up to what is taken back: it was the later state that stayed, and with it gone
//! nobody bills what they sold from there on.

use super::Effect;
use super::line::subject;
use crate::finding::{Code, Finding, Severity};
use crate::ids::{AdditionId, OrderId, TaskId};
use crate::period::{Period, next_day};
use crate::plan::{Action, AdditionLink, Change, Role};
use crate::planner::World;
use jiff::civil::Date;
use std::collections::{BTreeMap, BTreeSet};

/// What is taken back, as far as it tells which orders came after it.
pub(super) struct TakenBack<'a> {
    orders: BTreeSet<&'a OrderId>,
    /// The newest addition that each of its tasks made.
    newest: BTreeMap<&'a TaskId, AdditionId>,
}

impl<'a> TakenBack<'a> {
    pub(super) fn of(effects: &[Effect<'a>]) -> Self {
        let changes = effects.iter().flat_map(|effect| &effect.changes);
        let mut newest = BTreeMap::new();
        for effect in effects.iter().filter(|effect| effect.before.is_none()) {
            if let Some((_, change)) = effect.changes.first() {
                let made = newest.entry(&change.task).or_insert(effect.addition);
                *made = effect.addition.max(*made);
            }
        }
        Self { orders: changes.filter_map(|(_, change)| change.order.as_ref()).collect(), newest }
    }

    /// Why an effect is not to be taken back by itself: an order that was carried out after it was billed up to it alone.
    pub(super) fn bounds_others(&self, world: &World<'_>, effect: &Effect<'a>) -> Option<Box<Finding>> {
        let (_, change) = effect.changes.first().filter(|(_, change)| change.role == Role::Recurring)?;
        let newest = *self.newest.get(&change.task)?;
        let (since, begins) = days_of(change)?;
        let is_late = |link: &&AdditionLink| {
            link.source == change.source
                && link.subscription == change.subscription
                && link.product == change.product
                && link.role == Role::Prorate
                && !link.deleted
                && !link.is_settled()
                && link.addition > newest
                && link.order.as_ref().is_some_and(|order| !self.orders.contains(order))
                && days_billed(link)
                    .is_some_and(|days| days.start() < since && days.end() >= since && days.end() <= begins)
        };
        let late = world.links.iter().find(is_late)?;
        let by = late.order.as_ref()?;
        let days = days_billed(late)?;
        let message = format!(
            "Order {by} came after what is to be taken back, and bills {days} alone because of it: nobody would bill what \
             it sold from {} on.",
            days.end()
        );
        let fix = format!("Take order {by} back as well, and take it in again afterwards.");
        let finding =
            Finding::new(Code::Tu7006, subject(effect, change), message).severity(Severity::Error).fix(fix);
        Some(Box::new(finding))
    }
}

/// Since when the state counts that a change gave, and the first day that its line bills.
fn days_of(change: &Change) -> Option<(Date, Date)> {
    let held = change.true_period;
    match &change.action {
        Action::Create { wanted } => Some((held.map_or(wanted.effective, Period::start), wanted.effective)),
        Action::Update { .. } => held.map(|held| (held.start(), held.end())),
        Action::Cancel { wanted, .. } => wanted.cancelled.map(next_day).map(|day| (day, day)),
        Action::Delete { .. } | Action::Keep { .. } => None,
    }
}

fn days_billed(link: &AdditionLink) -> Option<Period> {
    let dated = || Period::new(link.written.effective, next_day(link.written.cancelled?)).ok();
    link.true_period.or_else(dated)
}
