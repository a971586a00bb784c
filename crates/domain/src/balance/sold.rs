//! What orders sell, counted from nothing but themselves: each moves the value of a period, for what is left of its own
//! period and for the whole ones after it.

use super::book::Unsaid;
use crate::feed::{Charge, Order, OrderKind, OrderLine, Subscription};
use crate::ids::ProductId;
use crate::money::{Exact, Money, Quantity, RoundingMode};
use crate::period::{Period, next_day};
use crate::proration::{DayCount, share};
use crate::settings::{ChangeDay, Settings};
use jiff::civil::Date;
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet};

/// How an order is read where more than one way is right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    /// What is left of a cancelled period.
    rest: Rest,
    /// What a cancellation gives back: what was not billed needs no refund.
    refunds: bool,
}

/// What becomes of the period that a cancellation falls into.
#[derive(Clone, Copy, Debug)]
enum Rest {
    /// It is billed whole, less what the order gives back.
    Billed,
    /// It is billed up to the day.
    Cut,
    /// It was not billed yet, and is not any more.
    Dropped,
    /// The same, but for the parts that changes within it are billed by.
    Kept,
    /// The same, but for the parts that changes within it added.
    Added,
}

impl Reading {
    /// All ways, the usual one first.
    pub fn all() -> impl Iterator<Item = Self> {
        let ends = [Rest::Billed, Rest::Cut, Rest::Dropped, Rest::Kept, Rest::Added];
        ends.into_iter().flat_map(|rest| [true, false].map(|refunds| Self { rest, refunds }))
    }
}

/// How many at which price.
#[derive(Clone, Copy)]
struct State {
    quantity: Quantity,
    price: Money,
}

impl State {
    fn value(self) -> Result<Exact, Unsaid> {
        Ok(self.quantity.exact().times(self.price.exact())?)
    }
}

/// What orders come to.
pub(super) struct Count {
    /// Over all periods.
    pub sum: Exact,
    /// What each period is sold for from the last order on.
    pub standing: Exact,
}

/// What is needed to count.
pub(super) struct Sold<'a> {
    /// All periods, from the first order's to the horizon.
    pub periods: &'a [Period],
    pub settings: &'a Settings,
    pub subscription: Option<&'a Subscription>,
    pub reading: Reading,
    /// The first day that no invoice has billed.
    pub open: Date,
    /// The smallest amount of the currency.
    pub unit: Decimal,
}

/// What is sold of one period, as far as it recurs.
#[derive(Clone, Copy)]
struct OfPeriod {
    /// All of it.
    all: Exact,
    /// What changes within it added to what there was.
    parts: Exact,
    /// Of these the ones that are more than nothing.
    added: Exact,
}

/// What the orders so far leave.
#[derive(Default)]
struct Standing<'o> {
    states: BTreeMap<&'o ProductId, State>,
    /// The period of the last order, and what is sold of it.
    current: Option<(Period, OfPeriod)>,
    /// Nothing is sold any more.
    ended: bool,
}

impl Standing<'_> {
    fn value(&self) -> Result<Exact, Unsaid> {
        self.states.values().try_fold(Exact::ZERO, |sum, state| Ok(sum.plus(state.value()?)?))
    }
}

impl Sold<'_> {
    /// What the orders come to from the first period to the last. Each has to begin where the one before it ended: else
    /// one is missing.
    pub fn of(&self, orders: &[&Order]) -> Result<Count, Unsaid> {
        let mut orders = orders.to_vec();
        orders.sort_by_key(|order| (order.completed_us, order.effective));
        let in_turn = |pair: &[&Order]| {
            // Which of two of one instant is the later one is not for here to tell.
            pair[0].completed_us < pair[1].completed_us
                && pair[0].effective <= pair[1].effective
                && pair[0].period.start() <= pair[1].period.start()
        };
        if !orders.windows(2).all(in_turn) {
            return Err(Unsaid);
        }
        let mut standing = Standing::default();
        let mut sum = Exact::ZERO;
        for order in orders {
            sum = sum.plus(self.one(order, &mut standing)?)?;
        }
        Ok(Count { sum, standing: standing.value()? })
    }

    /// What one order adds, and what it leaves.
    fn one<'o>(&self, order: &'o Order, standing: &mut Standing<'o>) -> Result<Exact, Unsaid> {
        let own = order.period;
        let at = self.periods.iter().position(|period| *period == own).ok_or(Unsaid)?;
        let later = Exact::ratio(i128::try_from(self.periods.len() - at - 1).map_err(|_| Unsaid)?, 1)?;
        let mut sum = Exact::ZERO;
        for line in order.lines.iter().filter(|line| is_once(order.kind, line.charge)) {
            let refund = line.charge == Charge::Refund && order.kind == OrderKind::Cancellation;
            if refund && line.amount.is_none() {
                return Err(Unsaid);
            }
            if !refund || self.reading.refunds {
                sum = sum.plus(once(line)?)?;
            }
        }
        let mut of_period = match standing.current {
            Some((period, of_period)) if period == own => of_period,
            Some(_) | None => OfPeriod { all: standing.value()?, parts: Exact::ZERO, added: Exact::ZERO },
        };
        let mut part = Exact::ZERO;
        let recurring = || order.lines.iter().filter(|line| line.charge == Charge::Recurring);
        let parts = |charge| matches!(charge, Charge::Prorate | Charge::Refund);
        match order.kind {
            OrderKind::Billing => {}
            OrderKind::Transfer => {
                let as_it_was = |line: &OrderLine| {
                    standing.states.get(&line.product).is_some_and(|state| state.quantity == line.quantity)
                };
                if !order.lines.iter().all(|line| line.charge == Charge::Recurring && as_it_was(line)) {
                    return Err(Unsaid);
                }
            }
            OrderKind::Cancellation => {
                let charges_use = order
                    .lines
                    .iter()
                    .any(|line| matches!(line.charge, Charge::Recurring | Charge::Prorate | Charge::Overuse));
                if charges_use || standing.ended {
                    return Err(Unsaid);
                }
                let value = standing.value()?;
                let taken = match self.reading.rest {
                    // What invoices have billed is not dropped.
                    Rest::Dropped | Rest::Kept | Rest::Added if own.start() < self.open => Exact::ZERO,
                    Rest::Dropped => of_period.all,
                    Rest::Kept => of_period.all.minus(of_period.parts)?,
                    Rest::Added => of_period.all.minus(of_period.added)?,
                    _ if order.effective <= own.start() => value,
                    Rest::Billed => Exact::ZERO,
                    Rest::Cut => value.times(self.share(own, order.effective)?)?,
                };
                part = Exact::ZERO.minus(taken)?;
                sum = sum.minus(value.times(later)?)?;
                standing.states.clear();
                standing.ended = true;
            }
            OrderKind::Sales | OrderKind::Change | OrderKind::Renewal => {
                let products: BTreeSet<&ProductId> = recurring().map(|line| &line.product).collect();
                let begun = self.subscription.is_none_or(|sold| sold.start <= order.effective);
                let inside = order.kind != OrderKind::Change || own.contains(order.effective) && begun;
                let two_of_one = products.len() != recurring().count();
                if two_of_one || !inside || order.lines.iter().any(|line| parts(line.charge)) {
                    return Err(Unsaid);
                }
                let rest = self.share(own, self.first_day(order))?;
                for line in recurring() {
                    let (of_own, of_later) = self.moved(order, line, &mut standing.states, rest)?;
                    part = part.plus(of_own)?;
                    sum = sum.plus(of_later.times(later)?)?;
                }
                standing.ended = false;
            }
        }
        of_period.all = of_period.all.plus(part)?;
        // What a sale begins is there for changes to add to.
        if order.kind != OrderKind::Sales {
            of_period.parts = of_period.parts.plus(part)?;
            if !part.is_negative() {
                of_period.added = of_period.added.plus(part)?;
            }
        }
        standing.current = Some((own, of_period));
        Ok(sum.plus(part)?)
    }

    /// The day on which what an order sells begins.
    fn first_day(&self, order: &Order) -> Date {
        let start = self.subscription.map(|sold| sold.start).filter(|day| order.period.contains(*day));
        match (order.kind, order.effective_given, start) {
            (OrderKind::Sales, false, Some(start)) => start,
            (OrderKind::Change, _, _) if self.settings.change_day == ChangeDay::Old => {
                next_day(order.effective)
            }
            _ => order.effective.max(order.period.start()), // open set: pairs of kinds and days
        }
    }

    /// The share of a period from a day on.
    fn share(&self, period: Period, from: Date) -> Result<Exact, Unsaid> {
        if !matches!(self.settings.day_count, DayCount::Actual | DayCount::Actual30 | DayCount::Strict30360) {
            return Err(Unsaid);
        }
        match period.from_day(from.max(period.start())) {
            Some(days) if days == period => Ok(Exact::ONE),
            Some(days) => Ok(share(self.settings.day_count, period, days).map_err(|_| Unsaid)?.exact()?),
            None => Ok(Exact::ZERO),
        }
    }

    /// What a recurring line moves: its share of the own period, and each whole one after it.
    fn moved<'o>(
        &self,
        order: &Order,
        line: &'o OrderLine,
        states: &mut BTreeMap<&'o ProductId, State>,
        rest: Exact,
    ) -> Result<(Exact, Exact), Unsaid> {
        let price = line.unit_price.ok_or(Unsaid)?;
        let nothing = State { quantity: Quantity::ZERO, price };
        let before = states.get(&line.product).copied().unwrap_or(nothing);
        let (told, now) = if order.kind == OrderKind::Change {
            let quantity = match (line.new_quantity, line.old_quantity) {
                (Some(new), _) => new,
                (None, Some(old)) => old.plus(line.quantity)?,
                (None, None) => before.quantity.plus(line.quantity)?,
            };
            let told = State {
                quantity: line.old_quantity.unwrap_or(before.quantity),
                price: line.old_unit_price.unwrap_or(before.price),
            };
            (told, State { quantity, price })
        } else {
            (before, State { quantity: line.quantity, price })
        };
        let is_gap =
            told.quantity != before.quantity || told.price != before.price && !before.quantity.is_zero();
        // What takes away what is not known to be sold moves nothing.
        if !states.contains_key(&line.product) && now.quantity.is_zero() {
            return Ok((Exact::ZERO, Exact::ZERO));
        }
        // Of a line with days of its own the order's do not tell the share.
        if is_gap || line.period.is_some_and(|days| days != order.period) {
            return Err(Unsaid);
        }
        let part = now.value()?.minus(before.value()?)?.times(rest)?;
        // A source that names another amount counts otherwise.
        if let Some(amount) = line.amount {
            let apart = part.minus(amount.exact())?;
            let units = line.quantity.decimal().abs() + Decimal::ONE;
            if apart.round(9, RoundingMode::HalfUp)?.abs() > self.unit * units {
                return Err(Unsaid);
            }
        }
        states.insert(&line.product, now);
        Ok((part, now.value()?.minus(before.value()?)?))
    }
}

/// Whether a line is charged once, as it stands.
fn is_once(kind: OrderKind, charge: Charge) -> bool {
    match charge {
        Charge::Recurring | Charge::Prorate => matches!(kind, OrderKind::Billing),
        Charge::Refund => matches!(kind, OrderKind::Billing | OrderKind::Cancellation),
        Charge::Setup
        | Charge::Overuse
        | Charge::Upgrade
        | Charge::Cancellation
        | Charge::OneTime
        | Charge::Discount => true,
    }
}

/// What a line that is charged once comes to; reductions are below zero.
fn once(line: &OrderLine) -> Result<Exact, Unsaid> {
    let amount = match (line.amount, line.unit_price) {
        (Some(amount), _) => amount.exact(),
        (None, Some(price)) => line.quantity.exact().times(price.exact())?,
        (None, None) => return Err(Unsaid),
    };
    let reduces = matches!(line.charge, Charge::Refund | Charge::Discount);
    if reduces && !amount.is_negative() { Ok(Exact::ZERO.minus(amount)?) } else { Ok(amount) }
}
