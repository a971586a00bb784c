//! Orders that came late and were billed up to what is taken back, or not at all because of it: it was the later state that
//! stayed, and with it gone nobody bills what they sold from there on.

use super::Effect;
use super::line::subject;
use crate::feed::{Charge, Order, OrderKind};
use crate::finding::{Code, Finding, Severity};
use crate::ids::{AdditionId, OrderId, TaskId};
use crate::money::{Money, Quantity};
use crate::period::{Period, next_day};
use crate::plan::{Action, AdditionLink, Change, Role};
use crate::planner::World;
use crate::psa::AdditionState;
use crate::settings::PriceSource;
use crate::task::task_id_of_order;
use jiff::civil::Date;
use std::collections::{BTreeMap, BTreeSet};

/// What is taken back, as far as it tells which orders came after it.
pub(super) struct TakenBack<'a> {
    orders: BTreeSet<&'a OrderId>,
    /// The newest addition that each of its tasks made.
    newest: BTreeMap<&'a TaskId, AdditionId>,
    /// What the lines were before.
    before: BTreeMap<AdditionId, Option<&'a AdditionState>>,
    /// The tasks that are taken back, also those that wrote nothing.
    tasks: BTreeSet<TaskId>,
}

/// How many of a product a line or an order has, and at which price.
type Level = (Quantity, Option<Money>);

impl<'a> TakenBack<'a> {
    pub(super) fn of(effects: &[Effect<'a>], tasks: BTreeSet<TaskId>) -> Self {
        let changes = effects.iter().flat_map(|effect| &effect.changes);
        let mut newest = BTreeMap::new();
        for effect in effects.iter().filter(|effect| effect.before.is_none()) {
            if let Some((_, change)) = effect.changes.first() {
                let made = newest.entry(&change.task).or_insert(effect.addition);
                *made = effect.addition.max(*made);
            }
        }
        Self {
            orders: changes.filter_map(|(_, change)| change.order.as_ref()).collect(),
            newest,
            before: effects.iter().map(|effect| (effect.addition, effect.before)).collect(),
            tasks,
        }
    }

    /// Why an effect is not to be taken back by itself: an order that was carried out after it was billed up to it alone,
    /// or found nothing to write because of it.
    pub(super) fn bounds_others(&self, world: &World<'_>, effect: &Effect<'a>) -> Option<Box<Finding>> {
        let (_, change) = effect.changes.first().filter(|(_, change)| change.role == Role::Recurring)?;
        let (message, order) = self
            .billed_up_to(world, change)
            .or_else(|| self.begun_again(world, effect, change))
            .or_else(|| self.says_otherwise(world, change))?;
        let fix = format!("Take order {order} back as well, and take it in again afterwards.");
        let finding =
            Finding::new(Code::Tu7006, subject(effect, change), message).severity(Severity::Error).fix(fix);
        Some(Box::new(finding))
    }

    /// An order whose line ends where the change that is taken back begins.
    fn billed_up_to<'w>(&self, world: &World<'w>, change: &Change) -> Option<(String, &'w OrderId)> {
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
        Some((message, by))
    }

    /// An order whose line bills the product again since the end that is taken back: both would bill it.
    fn begun_again<'w>(
        &self,
        world: &World<'w>,
        effect: &Effect<'a>,
        change: &Change,
    ) -> Option<(String, &'w OrderId)> {
        let before = effect.before?;
        // The first day that the line does not bill, as it is.
        let ended = match effect.after {
            Some(after) => next_day(after.cancelled?),
            None => before.effective,
        };
        let goes_on = |day: Date| before.cancelled.is_none_or(|last| last >= day);
        let since = |link: &AdditionLink| link.true_period.map_or(link.written.effective, Period::start);
        let is_again = |link: &&AdditionLink| {
            link.source == change.source
                && link.subscription == change.subscription
                && link.product == change.product
                && link.role == Role::Recurring
                && !link.deleted
                && !link.is_settled()
                && link.addition > effect.addition
                // What was made by what is taken back goes with it; what that merely changed stays.
                && self.before.get(&link.addition) != Some(&None)
                && link.order.as_ref().is_some_and(|order| !self.orders.contains(order))
                && since(link) >= ended
                && goes_on(since(link))
        };
        let again = world.links.iter().find(is_again)?;
        let by = again.order.as_ref()?;
        let message = format!(
            "Order {by} bills the product again from {} on, since what is to be taken back ended it: both would bill it.",
            since(again)
        );
        Some((message, by))
    }

    /// The order that was completed last of those that stay, where it wrote nothing and says something else than what would
    /// be billed without what is taken back.
    fn says_otherwise<'w>(&self, world: &World<'w>, change: &Change) -> Option<(String, &'w OrderId)> {
        let is_of_it = |link: &&AdditionLink| {
            link.source == change.source && link.subscription == change.subscription && !link.is_settled()
        };
        let links: Vec<&AdditionLink> = world.links.iter().filter(is_of_it).collect();
        let stays = |order: &&Order| {
            !self.orders.contains(&order.id)
                && !self.tasks.contains(&task_id_of_order(&change.source, &order.id))
        };
        let orders = world.completed.of(&change.source, &change.subscription).iter().filter(stays);
        let spoken = orders.filter_map(|order| Some((order, said_of(order, change)?)));
        let turn = |order: &Order| {
            let known = world.completed.get(&(change.source.clone(), order.id.clone())).copied();
            (known.unwrap_or((order.completed_us, 0)), order.id.clone())
        };
        let (order, (quantity, price)) = spoken.max_by_key(|(order, _)| turn(order))?;
        // What came after a cancellation is billed up to it, and leaves no line that goes on without it (D135).
        let by_cancellation = || {
            let of_it = world.completed.of(&change.source, &change.subscription).iter();
            of_it.filter(|o| Some(&o.id) == change.order.as_ref()).any(|o| o.kind == OrderKind::Cancellation)
        };
        // What it wrote of another product says nothing of this one.
        let mut named = links.iter().filter(|link| link.names(&order.id) && link.product == change.product);
        if named.any(|link| link.role == Role::Recurring || !by_cancellation()) {
            return None;
        }
        let of_product = links.iter().filter(|link| {
            link.product == change.product && matches!(link.role, Role::Recurring | Role::Quantity)
        });
        let left = level_of(of_product.filter_map(|link| {
            let written = Some(&link.written).filter(|_| !link.deleted);
            self.before.get(&link.addition).copied().unwrap_or(written)
        }))?;
        let by_source = world.settings.price_source == PriceSource::Marketplace;
        let costs_alike = match (price, left.1) {
            (Some(said), Some(left)) => said == left || !by_source || quantity.is_zero(),
            (None, _) | (_, None) => true,
        };
        // A sale that took lines over left them as a person had made them.
        let took_over = || links.iter().any(|l| l.product == change.product && l.key.is_none());
        if (left.0 == quantity && costs_alike) || (order.kind == OrderKind::Sales && took_over()) {
            return None;
        }
        // Where they are as many, their prices tell them apart.
        let shown = |units: Quantity, price: Option<Money>| match price.filter(|_| quantity == left.0) {
            Some(price) => format!("{} at {}", units.shown(), price.shown(change.currency)),
            None => units.shown().to_string(),
        };
        let message = format!(
            "Order {} says {} of it and was carried out without a line that goes on, since there was nothing to write beside \
             what is to be taken back: without that, {} would be billed.",
            order.id,
            shown(quantity, price),
            shown(left.0, left.1)
        );
        Some((message, &order.id))
    }
}

/// What an order says of the product of a change, where it says something.
fn said_of(order: &Order, change: &Change) -> Option<Level> {
    let lines =
        || order.lines.iter().filter(|l| l.charge == Charge::Recurring && l.product == change.product);
    match order.kind {
        OrderKind::Cancellation => Some((Quantity::ZERO, None)),
        OrderKind::Sales | OrderKind::Renewal => {
            lines().next()?;
            let total = lines().try_fold(Quantity::ZERO, |sum, line| sum.plus(line.quantity)).ok()?;
            Some((total, lines().next().and_then(|line| line.unit_price)))
        }
        OrderKind::Change => {
            lines().next()?;
            let total = lines().try_fold(Quantity::ZERO, |sum, l| sum.plus(l.new_quantity?).ok())?;
            Some((total, lines().next().and_then(|line| line.unit_price)))
        }
        OrderKind::Billing | OrderKind::Transfer => None,
    }
}

/// What lines bill that go on longest, together; the price where they have one.
fn level_of<'s>(lines: impl Iterator<Item = &'s AdditionState>) -> Option<Level> {
    let lines: Vec<&AdditionState> = lines.collect();
    let until = |line: &AdditionState| line.cancelled.unwrap_or(Date::MAX);
    let Some(last) = lines.iter().map(|line| until(line)).max() else { return Some((Quantity::ZERO, None)) };
    let mut longest = lines.into_iter().filter(|line| until(line) == last).peekable();
    let price = longest.peek().map(|line| line.unit_price);
    let (mut total, mut same) = (Quantity::ZERO, true);
    for line in longest {
        total = total.plus(line.quantity).ok()?;
        same &= Some(line.unit_price) == price;
    }
    Some((total, price.filter(|_| same)))
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
