//! Change orders: more, fewer, another price, another plan. The line that is there ends where the paid period ends, the
//! new state begins there, and the part period in between is billed once.

mod ahead;
mod cycles;
mod hand_price;
mod left;
mod netting;
mod parts;
mod renewal;
mod resolve;
pub mod signed;
mod transition;

pub use netting::Half;
pub use parts::fell_back;
pub use transition::new_line;

use super::builder::Builder;
use super::context::Stop;
use super::late;
use super::lines::{self, PartPolicy, bill_once, cut_to};
use super::over;
use super::part::{self, Expressed, Prices};
use super::picture::Line;
use super::sales::once_item;
use crate::feed::{Charge, Order, OrderKind, OrderLine};
use crate::finding::{Code, Severity};
use crate::ids::ProductId;
use crate::money::{Exact, Money, Quantity};
use crate::period::{Period, next_day};
use crate::plan::Role;
use crate::proration::Share;
use crate::psa::{BillFlag, CatalogItem};
use crate::settings::{ChangeDay, PriceSource};
use jiff::civil::Date;
use parts::{explicit_parts, write_part};
use resolve::resolve;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use transition::transition;

/// One product's change.
#[derive(Clone)]
struct Item<'a, 'o> {
    line: Cow<'o, OrderLine>,
    item: &'a CatalogItem,
    existing: Option<Line<'a>>,
    /// Other lines that bill the old state: what several bill together, and what follows on the one of today.
    also: Vec<Line<'a>>,
    old_quantity: Quantity,
    new_quantity: Quantity,
    delta: Quantity,
    old: Prices,
    new: Prices,
    moment: Moment,
    /// Where a later order was carried out before: the day from which its state is billed.
    until: Option<Date>,
    /// Whether that day is the one from which an older order gave another state, which this order replaces there.
    ahead: bool,
}

impl Item<'_, '_> {
    /// What the new state costs more for a whole period.
    fn difference(&self) -> Result<(Exact, Exact), Stop> {
        let price = self.new.price.exact().times(self.new_quantity.exact())?;
        let cost = self.new.cost.exact().times(self.new_quantity.exact())?;
        let old_price = self.old.price.exact().times(self.old_quantity.exact())?;
        let old_cost = self.old.cost.exact().times(self.old_quantity.exact())?;
        Ok((price.minus(old_price)?, cost.minus(old_cost)?))
    }

    /// The same, where a change comes late: an amount that the order names is that of the days before one alone, if what was
    /// carried out from that day on was reckoned from the state before this change. A later order that names an amount itself
    /// has reckoned with this one, so that the two amounts are billed as they are.
    fn up_to(&self, builder: &Builder<'_, '_>, order: &Order, until: Date) -> Result<Self, Stop> {
        let period = self.moment.period;
        let days = self.line.period.or_else(|| period.from_day(self.moment.effective));
        let rest = days.and_then(|days| days.before_day(until));
        let (Some(days), Some(rest), true) = (days, rest, self.line.amount.is_some()) else {
            return Ok(self.clone());
        };
        let is_of_the_period = period.intersect(days) == Some(days);
        if rest == days
            || !is_of_the_period
            || order.kind == OrderKind::Renewal
            || self.is_reckoned_with(builder)
        {
            return Ok(self.clone());
        }
        let line = cut_to(builder, &self.line, period, (days, rest))?;
        Ok(Self { line: Cow::Owned(line), ..self.clone() })
    }

    /// Whether a later order that was carried out before names an amount itself, as this one does.
    fn is_reckoned_with(&self, builder: &Builder<'_, '_>) -> bool {
        let names = |line: &OrderLine| line.product == self.line.product && line.amount.is_some();
        self.line.amount.is_some() && over::younger(builder).any(|later| later.lines.iter().any(names))
    }
}

/// What a line of a change order asks for.
enum Asked<'a, 'o> {
    /// This change.
    For(Box<Item<'a, 'o>>),
    /// Nothing, or what is kept back.
    Nothing,
    /// What a person has carried out already.
    ByHand,
}

/// A change of which the order names the parts itself.
struct Told<'i, 'a, 'o> {
    item: &'i Item<'a, 'o>,
    /// Whether ConnectWise bills them, from the dates of the lines.
    by_dates: bool,
    /// The period of the old line, where that is billed by another cycle.
    old: Option<Period>,
}

/// When the change takes effect for a product, and in which period.
#[derive(Clone, Copy)]
struct Moment {
    /// The day that the order says: it tells which order is the later one.
    said: Date,
    /// The first day that is billed of it.
    effective: Date,
    period: Period,
}

impl Moment {
    /// The days of its period that the new state is billed for, where it begins within it.
    fn part(self) -> Option<Period> {
        self.period.from_day(self.effective).filter(|days| *days != self.period)
    }
}

/// Keeps a change back that lies before the only sale of what it changes by its instant, and after it by the civil day that it
/// counts from: the two were written with different offsets, and which came first cannot be told.
fn lies_before_its_sale(builder: &mut Builder<'_, '_>, order: &Order) -> Result<(), Stop> {
    // The instant has 19 characters; fractions of a second and the offset follow.
    let offset = |order: &Order| {
        let rest = order.completed_at.get(19..).unwrap_or_default();
        rest.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit()).to_owned()
    };
    let sells = |by: &Order, line: &OrderLine| {
        let same = |l: &OrderLine| l.charge == Charge::Recurring && l.product == line.product;
        by.lines.iter().any(same)
    };
    let from_some = |line: &&OrderLine| {
        line.charge == Charge::Recurring && line.old_quantity.is_some_and(|old| old > Quantity::ZERO)
    };
    for line in order.lines.iter().filter(from_some) {
        let is_sale = |by: &&Order| {
            by.kind == OrderKind::Sales
                && sells(by, line)
                && by.effective <= order.effective
                && offset(by) != offset(order)
        };
        let Some(sale) = over::younger(builder).find(is_sale).cloned() else { continue };
        let older = over::carried_out(builder).any(|by| late::is_older(builder, &by.id) && sells(by, line));
        let is_other = |one: &Line<'_>| !one.is_made_by(Some(&sale.id));
        if older || builder.own_lines_for(&line.product, Role::Recurring).any(is_other) {
            continue;
        }
        let message = format!(
            "Order {} changes {} and was completed {}, before its sale {} ({}), and counts from {}, which is no earlier day than \
             that of the sale: which of them came first cannot be told.",
            order.shown(),
            builder.context.product_name(&line.product),
            order.completed_at,
            sale.shown(),
            sale.completed_at,
            order.effective
        );
        let finding = builder.about(Code::Tu8004, &line.product, message).severity(Severity::Error).fix(
            "Let the source write both with the same offset, or correct the one that is wrong, and import it again; where the \
             change is not to be billed, ignore the task.",
        );
        builder.withhold(finding);
        return Err(builder.keep_all_back());
    }
    Ok(())
}

/// Plans a change or renewal order.
pub fn plan(builder: &mut Builder<'_, '_>, order: &Order) -> Result<(), Stop> {
    let said = day_of(builder, order)?;
    lies_before_its_sale(builder, order)?;
    let mut explicit: BTreeSet<&ProductId> = order
        .lines
        .iter()
        .filter(|l| matches!(l.charge, Charge::Prorate | Charge::Refund))
        .map(|l| &l.product)
        .collect();
    let mut lines = folded(builder, order);
    let mut settled: BTreeSet<ProductId> = signed::fill(builder, order, &mut lines, said)?;
    for line in &mut lines {
        if let Some(own) = ahead::overtaken(builder, order, line, said) {
            *line = Cow::Owned(own);
        }
    }
    let mut items = Vec::with_capacity(lines.len());
    let mut further = Vec::new();
    for line in &lines {
        let (said, goes) = match late::ahead(builder, &line.product, said) {
            // It is billed from a later day on, and so is what changes of it.
            Some(late::Ahead::Begins(day)) => (day, None),
            Some(late::Ahead::Goes(day)) => (said, Some(day)),
            None => (said, None),
        };
        let moment = moment_of(builder, order, said, &line.product)?;
        further.extend(goes.map(|day| (ahead::in_place_of(builder, line, said, day), day)));
        let kept_back = builder.kept_back();
        match resolve(builder, order, line, moment, goes)? {
            Asked::For(item) => items.push(*item),
            Asked::ByHand => settled.extend([line.product.clone()]),
            Asked::Nothing if builder.kept_back() > kept_back => {
                // The half that comes is billed beside the one that goes, and what lies between is of both.
                if is_half_of_a_switch(&lines, line) {
                    return Err(builder.keep_all_back());
                }
                settled.extend([line.product.clone()]);
            }
            Asked::Nothing => {}
        }
    }
    // Where ConnectWise bills the part from the dates, each line of a switch is dated by its day, and nothing is netted.
    let by_dates = matches!(lines::part_policy(builder), Ok(PartPolicy::Connectwise));
    let switch = switch_of(&items);
    // Where the new plan cannot begin, the old one goes on: what comes is looked at first.
    let goes = |index: &usize| switch.contains(index) && items[*index].new_quantity.is_zero();
    let mut order_of: Vec<usize> = (0..items.len()).collect();
    order_of.sort_by_key(goes);
    let switched = if by_dates { BTreeSet::new() } else { switch.clone() };
    let mut parts_of = Vec::with_capacity(items.len());
    let mut cannot_begin = false;
    let credits = builder.context.world.settings.credits.is_on();
    for index in order_of {
        let item = &items[index];
        if cannot_begin && goes(&index) {
            settled.extend([item.line.product.clone()]);
            continue;
        }
        let is_told_apart = explicit.contains(&item.line.product);
        let by_dates = by_dates && is_dated_by_day(builder, item);
        let part_is_told = is_told_apart && !by_dates || switched.contains(&index);
        parts_of.extend(is_told_apart.then(|| Told {
            item,
            by_dates,
            old: cycles::of_old(builder, item).map(|(_, own)| own),
        }));
        let kept_back = builder.kept_back();
        builder.nets = !credits && switched.contains(&index);
        transition(builder, order, item, part_is_told, is_told_apart)?;
        builder.nets = false;
        if builder.kept_back() > kept_back {
            if switch.contains(&index) && goes(&index) {
                return Err(builder.keep_all_back());
            }
            settled.extend([item.line.product.clone()]);
            cannot_begin |= switch.contains(&index) && !goes(&index);
        }
    }
    if order.kind == OrderKind::Renewal {
        renewal::tell_left_out(builder, order, said)?;
    }
    netting::settle(builder, order)?;
    if !cannot_begin {
        plan_switch(builder, order, &items, &switched, &explicit)?;
    }
    for (line, day) in &further {
        ahead::replace(builder, order, line, *day)?;
    }
    // What waits, or was carried out by hand, does so with its parts.
    explicit.retain(|product| !settled.contains(*product));
    explicit_parts(builder, order, &explicit, &parts_of, said)?;
    let own = builder.period_of(order.period, said)?;
    for line in &order.lines {
        match line.charge {
            Charge::Recurring | Charge::Prorate | Charge::Refund => {}
            Charge::Cancellation => super::cancellation::fee(builder, order, line, said)?,
            Charge::Setup | Charge::Overuse | Charge::Upgrade | Charge::OneTime | Charge::Discount => {
                let Some(item) = once_item(builder, line)? else { continue };
                let days = line.period.or_else(|| own.from_day(said)).unwrap_or(own);
                bill_once(builder, line, item, own, days)?;
            }
        }
    }
    builder.last_steps()
}

/// Whether a line of an order is one half of a plan switch, by what the order says.
fn is_half_of_a_switch(lines: &[Cow<'_, OrderLine>], line: &OrderLine) -> bool {
    let old = |l: &OrderLine| l.old_quantity.is_some_and(|old| old > Quantity::ZERO);
    let new = |l: &OrderLine| l.new_quantity.is_none_or(|new| new > Quantity::ZERO);
    let (goes, comes) = (|l: &OrderLine| old(l) && !new(l), |l: &OrderLine| !old(l) && new(l));
    goes(line) && lines.iter().any(|l| comes(l)) || comes(line) && lines.iter().any(|l| goes(l))
}

/// Whether a line can be dated by the day of the change, where ConnectWise reckons the part from that. Invoiced days
/// cannot: what the source names of them is written whole, and the new line begins with the next period.
fn is_dated_by_day(builder: &Builder<'_, '_>, item: &Item<'_, '_>) -> bool {
    let effective = item.moment.effective;
    !builder.is_invoiced(builder.context.agreement, effective)
        || builder.written(item.line.id.as_str(), Role::Recurring, effective).is_some()
}

/// The recurring lines of the order; those that carry one line of one product from quantity to quantity are one.
fn folded<'o>(builder: &Builder<'_, '_>, order: &'o Order) -> Vec<Cow<'o, OrderLine>> {
    let mut lines: Vec<Cow<'o, OrderLine>> = Vec::with_capacity(order.lines.len());
    for line in order.lines.iter().filter(|l| l.charge == Charge::Recurring) {
        let follows = |before: &Cow<'_, OrderLine>| {
            before.product == line.product
                && before.new_quantity.is_some()
                && before.new_quantity == line.old_quantity
        };
        let one_line = || {
            let own = builder.own_lines_for(&line.product, Role::Recurring);
            own.filter(|l| l.state.is_open()).count() <= 1
        };
        match lines.iter_mut().find(|before| follows(before)).filter(|_| one_line()) {
            Some(before) => {
                let both = |a: Option<Money>, b: Option<Money>| a.zip(b).and_then(|(a, b)| a.plus(b).ok());
                let (first, amount, cost) = (
                    before.clone(),
                    both(before.amount, line.amount),
                    both(before.cost_amount, line.cost_amount),
                );
                let quantity = first.quantity.plus(line.quantity).unwrap_or(line.quantity);
                *before = Cow::Owned(OrderLine {
                    id: first.id.clone(),
                    quantity,
                    old_quantity: first.old_quantity,
                    old_unit_price: first.old_unit_price,
                    old_unit_cost: first.old_unit_cost,
                    amount,
                    cost_amount: cost,
                    ..line.clone()
                });
            }
            None => lines.push(Cow::Borrowed(line)),
        }
    }
    if builder.context.price_source == PriceSource::Connectwise {
        for line in &mut lines {
            *line = Cow::Owned(without_old_prices(line));
        }
    }
    lines
}

/// Where prices come from ConnectWise, the old state costs what its line shows: what the source says of it, and its own
/// amounts, are in other prices.
fn without_old_prices(line: &OrderLine) -> OrderLine {
    OrderLine { old_unit_price: None, old_unit_cost: None, amount: None, cost_amount: None, ..line.clone() }
}

/// The day on which the order takes effect.
pub fn day_of(builder: &Builder<'_, '_>, order: &Order) -> Result<Date, Stop> {
    let said = match (order.kind, builder.context.world.settings.change_day) {
        // Marketplaces renew before the term ends: the renewal counts from the period it is for.
        (OrderKind::Renewal, _) => order.effective.max(order.period.start()),
        (_, ChangeDay::New) => order.effective,
        (_, ChangeDay::Old) => next_day(order.effective),
    };
    let latest = next_day(order.period.last_day());
    if said < order.period.start() || said > latest {
        let message = format!("The change takes effect on {said}, outside its own period {}.", order.period);
        return Err(builder.context.stop(Code::Tu4006, message));
    }
    Ok(said)
}

/// The same for one product, whose days may not all be billed.
fn moment_of(
    builder: &Builder<'_, '_>,
    order: &Order,
    said: Date,
    product: &ProductId,
) -> Result<Moment, Stop> {
    let effective = builder.not_before_billed(product, said);
    Ok(Moment { said, effective, period: builder.period_of(order.period, effective)? })
}

/// A plan switch is an old product that goes to 0 and a new one that starts from 0: their parts are netted.
fn switch_of(items: &[Item<'_, '_>]) -> BTreeSet<usize> {
    let gone = |i: &Item<'_, '_>| i.new_quantity.is_zero() && !i.old_quantity.is_zero();
    let come = |i: &Item<'_, '_>| i.old_quantity.is_zero() && !i.new_quantity.is_zero();
    if items.iter().any(gone) && items.iter().any(come) {
        items.iter().enumerate().filter(|(_, i)| gone(i) || come(i)).map(|(index, _)| index).collect()
    } else {
        BTreeSet::new()
    }
}

fn plan_switch<'a>(
    builder: &mut Builder<'_, 'a>,
    order: &Order,
    items: &[Item<'a, '_>],
    switched: &BTreeSet<usize>,
    explicit: &BTreeSet<&ProductId>,
) -> Result<(), Stop> {
    let mut by_period: BTreeMap<Period, Vec<(&Item<'a, '_>, Period)>> = BTreeMap::new();
    for item in switched.iter().map(|i| &items[*i]).filter(|i| !explicit.contains(&i.line.product)) {
        // What is billed by another cycle is given back by the periods of its own.
        if item.new_quantity.is_zero() && cycles::of_old(builder, item).is_some() {
            continue;
        }
        // What was set not to be billed gives nothing back.
        let unbilled = |l: &Line<'_>| l.state.bill != BillFlag::Billable;
        if item.new_quantity.is_zero() && item.existing.as_ref().is_some_and(unbilled) {
            let message = format!(
                "The line of {} is set not to be billed in ConnectWise: the switch gives nothing back of it.",
                builder.context.product_name(&item.line.product)
            );
            let finding =
                builder.about(Code::Tu8006, &item.line.product, message).severity(Severity::Warning);
            builder.find(finding.fix("Credit by hand what was billed of it before it was set so."));
            continue;
        }
        // What came late is billed up to the next later state of its own product.
        let own = item.moment.part().and_then(|days| match item.until {
            Some(until) => days.before_day(until),
            None => Some(days),
        });
        if let Some(days) = own {
            by_period.entry(item.moment.period).or_default().push((item, days));
        }
    }
    by_period.into_iter().try_for_each(|(period, parts)| net_switch(builder, order, period, &parts))
}

/// What the old and the new products of a switch cost more or less in one period, each for the days that are billed.
fn net_switch<'a>(
    builder: &mut Builder<'_, 'a>,
    order: &Order,
    period: Period,
    parts: &[(&Item<'a, '_>, Period)],
) -> Result<(), Stop> {
    let new = parts.iter().find(|(i, _)| i.old_quantity.is_zero()).or(parts.first());
    let Some((new, _)) = new else { return Ok(()) };
    let first = parts.iter().map(|(_, days)| days.start()).min().unwrap_or(period.start());
    let days = period.from_day(first).unwrap_or(period);
    let currency = builder.context.currency;
    let mut net = Exact::ZERO;
    let mut net_cost = Exact::ZERO;
    let mut terms = Vec::new();
    for (item, own) in parts {
        let item =
            &item.until.map_or_else(|| Ok((*item).clone()), |until| item.up_to(builder, order, until))?;
        let share = builder.share(period, *own)?;
        let (price, cost) = if let Some(amount) = item.line.amount {
            (amount.exact(), item.line.cost_amount.unwrap_or_default().exact())
        } else {
            let (price, cost) = item.difference()?;
            let credit = (price.times(share.exact()?)?, cost.times(share.exact()?)?);
            left::no_more_than(builder, &item.line.product, period, period, credit)?
        };
        net = net.plus(price)?;
        net_cost = net_cost.plus(cost)?;
        let (sign, unit, quantity) = if item.new_quantity.is_zero() {
            ("-", item.old.price, item.old_quantity)
        } else {
            ("+", item.new.price, item.new_quantity)
        };
        let count =
            if quantity == Quantity::from(1) { String::new() } else { format!("{} x ", quantity.shown()) };
        terms.push(format!("{sign} {count}{} x {}", unit.shown(currency), share));
    }
    terms.sort();
    let mut money = part::one_unit(builder.context.world.settings, currency, net, net_cost)?;
    money.formula = format!("{} = {}", terms.join(" ").trim_start_matches("+ "), money.formula);
    let (line_id, product, item) = (new.line.id.to_string(), new.line.product.clone(), new.item);
    let reason = format!("Order {} switches the plan on {first}: {days} is netted.", order.shown());
    write_part(builder, &line_id, &product, item, money, reason, days)
}

/// The source's own amount for the part.
fn named(
    builder: &Builder<'_, '_>,
    item: &Item<'_, '_>,
    amount: Money,
    days: Period,
    period: Period,
) -> Result<Expressed, Stop> {
    let cost = match item.line.cost_amount {
        Some(cost) => cost.exact(),
        None => {
            let share = period.intersect(days).map_or(Ok(Share::WHOLE), |d| builder.share(period, d))?;
            item.difference()?.1.times(share.exact()?)?
        }
    };
    let quantity = if item.delta.is_zero() { item.new_quantity } else { item.delta };
    let money =
        part::named_amount(builder.context.world.settings, builder.context.currency, amount, cost, quantity)?;
    Ok(money.cost_named_if(item.line.cost_amount.is_some()))
}
