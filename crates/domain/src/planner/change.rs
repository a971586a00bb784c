//! Change orders: more, fewer, another price, another plan. The line that is there ends where the paid period ends, the
//! new state begins there, and the part period in between is billed once.

use super::builder::{Builder, NewLine};
use super::context::Stop;
use super::late;
use super::lines::{
    self, Existing, PartPolicy, bill_once, billed_quantity, item_of, part_policy, write_once,
};
use super::part::{self, Expressed, Prices};
use super::picture::Line;
use super::sales::{commitment_last, once_item};
use super::text::text;
use crate::feed::{Charge, Order, OrderKind, OrderLine};
use crate::finding::{Code, Severity};
use crate::ids::ProductId;
use crate::money::{Exact, Money, Quantity};
use crate::period::{Period, next_day, previous_day};
use crate::plan::Role;
use crate::proration::Share;
use crate::psa::{AdditionState, Agreement, BillFlag, CatalogItem};
use crate::settings::{ChangeDay, LineMode, QuantityChange};
use jiff::civil::Date;
use std::collections::{BTreeMap, BTreeSet};

/// One product's change.
struct Item<'a, 'o> {
    line: &'o OrderLine,
    item: &'a CatalogItem,
    existing: Option<Line<'a>>,
    old_quantity: Quantity,
    new_quantity: Quantity,
    delta: Quantity,
    old: Prices,
    new: Prices,
    /// The day since which the new state holds.
    since: Date,
    /// Where a later order was carried out before: the day from which its state is billed.
    until: Option<Date>,
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
}

/// When the change takes effect, and in which period.
#[derive(Clone, Copy)]
struct Moment {
    effective: Date,
    period: Period,
}

/// Plans a change or renewal order.
pub fn plan(builder: &mut Builder<'_, '_>, order: &Order) -> Result<(), Stop> {
    let moment = moment_of(builder, order)?;
    let explicit: BTreeSet<&ProductId> = order
        .lines
        .iter()
        .filter(|l| matches!(l.charge, Charge::Prorate | Charge::Refund))
        .map(|l| &l.product)
        .collect();
    let mut items = Vec::new();
    for line in order.lines.iter().filter(|l| l.charge == Charge::Recurring) {
        if let Some(item) = resolve(builder, order, line, moment)? {
            items.push(item);
        }
    }
    let switched = switch_of(&items);
    for (index, item) in items.iter().enumerate() {
        let part_is_told = explicit.contains(&item.line.product) || switched.contains(&index);
        transition(builder, order, item, moment, part_is_told)?;
    }
    if !switched.is_empty() && moment.effective != moment.period.start() {
        plan_switch(builder, order, &items, &switched, &explicit, moment)?;
    }
    explicit_parts(builder, order, &explicit, moment)?;
    for line in &order.lines {
        match line.charge {
            Charge::Recurring | Charge::Prorate | Charge::Refund => {}
            Charge::Cancellation => super::cancellation::fee(builder, order, line, moment.effective)?,
            Charge::Setup | Charge::Overuse | Charge::Upgrade | Charge::OneTime | Charge::Discount => {
                let Some(item) = once_item(builder, line)? else { continue };
                let days =
                    line.period.or_else(|| moment.period.from_day(moment.effective)).unwrap_or(moment.period);
                bill_once(builder, line, item, moment.period, days)?;
            }
        }
    }
    builder.last_steps()
}

fn moment_of(builder: &Builder<'_, '_>, order: &Order) -> Result<Moment, Stop> {
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
    let effective = builder.not_before_go_live(said);
    Ok(Moment { effective, period: builder.period_of(order.period, effective)? })
}

/// Old and new state of one line, or nothing where it asks for nothing or is kept back.
fn resolve<'a, 'o>(
    builder: &mut Builder<'_, 'a>,
    order: &Order,
    line: &'o OrderLine,
    moment: Moment,
) -> Result<Option<Item<'a, 'o>>, Stop> {
    let Some(item) = item_of(builder, &line.product)? else { return Ok(None) };
    if lines::is_billed_afterwards(builder, line) {
        return Ok(None);
    }
    if let (Some(old), Some(new)) = (line.old_quantity, line.new_quantity)
        && order.kind == OrderKind::Change
        && new.minus(old)? != line.quantity
    {
        let message = format!(
            "Line {} changes by {}, but from {} to {} is another difference.",
            line.id,
            line.quantity.shown(),
            old.shown(),
            new.shown()
        );
        let finding = builder.about(Code::Tu5004, &line.product, message);
        builder.withhold(finding);
        return Ok(None);
    }
    let existing = match lines::line_of(builder, line, item, moment.effective) {
        Existing::Line(line) => Some(*line),
        Existing::Nothing => None,
        Existing::Undecided | Existing::Several => {
            let fewer = line.old_quantity.zip(line.new_quantity).is_some_and(|(old, new)| new < old);
            if fewer || line.quantity.is_negative() {
                builder.waits_for_less(&line.product);
            }
            return Ok(None);
        }
    };
    if late::was_ended(builder, order, line, existing.as_ref()) {
        return Ok(None);
    }
    let absolute = line.new_quantity.is_some() || order.kind == OrderKind::Renewal;
    let until =
        existing.as_ref().filter(|_| absolute).and_then(|l| late::later_state(builder, l, moment.effective));
    let existing =
        if until.is_some() { late::billing_on(builder, &line.product, moment.effective) } else { existing };
    let held = until.and_then(|_| late::state_on(builder, &line.product, moment.effective));
    let there = held.as_ref().or(existing.as_ref().map(|l| &*l.state)).cloned();
    let there_prices =
        there.as_ref().map(|s| Prices { price: s.unit_price, cost: s.unit_cost, cost_known: true });
    let there = there.map(|s| s.quantity);
    let (old_quantity, new_quantity) = match order.kind {
        OrderKind::Renewal => {
            let old = line.old_quantity.or(there).unwrap_or_default();
            (old, line.new_quantity.unwrap_or(line.quantity))
        }
        OrderKind::Sales
        | OrderKind::Change
        | OrderKind::Billing
        | OrderKind::Cancellation
        | OrderKind::Transfer => {
            let old = match (line.old_quantity, line.new_quantity) {
                (Some(old), _) => old,
                (None, Some(new)) => new.minus(line.quantity)?,
                (None, None) => there.unwrap_or_default(),
            };
            (old, line.new_quantity.map_or_else(|| old.plus(line.quantity), Ok)?)
        }
    };
    if new_quantity.is_negative() || old_quantity.is_negative() {
        let message = format!(
            "Line {} would change the quantity from {} to {}.",
            line.id,
            old_quantity.shown(),
            new_quantity.shown()
        );
        let finding = builder.about(Code::Tu5004, &line.product, message);
        builder.withhold(finding);
        return Ok(None);
    }
    let old_quantity = billed_quantity(builder, &line.product, old_quantity);
    let new_quantity = billed_quantity(builder, &line.product, new_quantity);
    tell_mismatch(builder, line, existing.as_ref(), old_quantity);
    let edits = builder.context.world.settings.quantity_change == QuantityChange::EditInPlace;
    let edited_since = existing.as_ref().is_some_and(|l| {
        l.state.is_open()
            && l.state.quantity != old_quantity
            && l.state.quantity != new_quantity
            && l.origin.as_ref().is_some_and(|o| o.order.is_some())
    });
    if edits && until.is_none() && line.old_quantity.is_some() && edited_since {
        // A line that is edited in place does not tell which order it shows: a late one would undo a later one.
        let message = format!(
            "Order {} starts from {} {}, and its line, which is edited in place, shows another order's quantity.",
            order.shown(),
            old_quantity.shown(),
            builder.context.product_name(&line.product)
        );
        let finding = builder
            .about(Code::Tu5001, &line.product, message)
            .severity(Severity::Error)
            .fix("Ignore the task where a later order is carried out already, and bill its days by hand.");
        builder.withhold(finding);
        return Ok(None);
    }
    let there = there_prices;
    let new = if new_quantity.is_zero() {
        // What goes needs no price of its own: the one it had counts.
        part::prices_of(builder.context, line, item, there).or(there)
    } else {
        lines::prices(builder, line, item, there)
    };
    let Some(new) = new else { return Ok(None) };
    let old = Prices {
        price: line.old_unit_price.or(there.map(|p| p.price)).unwrap_or(new.price),
        cost: line.old_unit_cost.or(there.map(|p| p.cost)).unwrap_or(new.cost),
        cost_known: true,
    };
    let delta = new_quantity.minus(old_quantity)?;
    // A line that ends with its commitment does not go on by itself: its renewal begins another.
    let goes_on = existing.as_ref().is_some_and(|l| l.state.is_open() || l.state.bills_on(moment.effective));
    if delta.is_zero() && old == (Prices { cost_known: true, ..new }) && goes_on {
        return Ok(None);
    }
    let included = existing.as_ref().filter(|l| !l.less_included.is_zero());
    if let Some(there) = included.filter(|l| !builder.is_named_by_mapping(l, &line.product)) {
        let message = format!(
            "{} of {} {} are included and not billed on its addition: a line that replaces it would bill them.",
            there.less_included.shown(),
            there.state.quantity.shown(),
            builder.context.product_name(&line.product)
        );
        let finding = builder
            .about(Code::Tu7002, &line.product, message)
            .fix("Map the addition (kind addition) to let the new line bill all of them, or end it and begin another by hand.");
        builder.withhold(finding);
        return Ok(None);
    }
    let since = moment.effective;
    Ok(Some(Item { line, item, existing, old_quantity, new_quantity, delta, old, new, since, until }))
}

fn tell_mismatch(builder: &mut Builder<'_, '_>, line: &OrderLine, existing: Option<&Line>, old: Quantity) {
    let name = builder.context.product_name(&line.product);
    match existing {
        Some(there)
            if there.state.quantity != old && line.old_quantity.is_some() && there.state.is_open() =>
        {
            let message = format!(
                "The order changes {name} from {}, the addition bills {}.",
                old.shown(),
                there.state.quantity.shown()
            );
            let finding = builder.about(Code::Tu5001, &line.product, message);
            builder.find(finding);
        }
        None if !old.is_zero() => {
            let message = format!(
                "The order changes {name} from {}, and no addition bills it: the days before the change are billed \
                 nowhere.",
                old.shown()
            );
            let finding = builder.about(Code::Tu8006, &line.product, message);
            builder.find(finding);
        }
        Some(_) | None => {}
    }
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
    moment: Moment,
) -> Result<(), Stop> {
    let parts: Vec<&Item<'_, '_>> =
        switched.iter().map(|i| &items[*i]).filter(|i| !explicit.contains(&i.line.product)).collect();
    let Some(new) = parts.iter().find(|i| i.old_quantity.is_zero()) else { return Ok(()) };
    let Some(days) = moment.period.from_day(moment.effective) else { return Ok(()) };
    let share = builder.share(moment.period, days)?;
    let currency = builder.context.currency;
    let mut net = Exact::ZERO;
    let mut net_cost = Exact::ZERO;
    let mut terms = Vec::new();
    for item in &parts {
        let (price, cost) = if let Some(amount) = item.line.amount {
            (amount.exact(), item.line.cost_amount.unwrap_or_default().exact())
        } else {
            let (price, cost) = item.difference()?;
            (price.times(share.exact()?)?, cost.times(share.exact()?)?)
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
    let (line_id, product, item) = (new.line.id.0.clone(), new.line.product.clone(), new.item);
    let reason =
        format!("Order {} switches the plan on {}: {days} is netted.", order.shown(), moment.effective);
    write_part(builder, &line_id, &product, item, money, reason, days)
}

/// Writes a prorated amount where the policy says, or says that it is left out.
fn write_part<'a>(
    builder: &mut Builder<'_, 'a>,
    line_id: &str,
    product: &ProductId,
    item: &'a CatalogItem,
    money: Expressed,
    reason: String,
    days: Period,
) -> Result<(), Stop> {
    if money.exact.is_zero() {
        return Ok(());
    }
    if money.exact.is_negative() && !builder.context.world.settings.credits.is_on() {
        builder.left_out(product, days, money.exact, "credits are off")?;
        return Ok(());
    }
    match part_policy(builder)? {
        PartPolicy::Connectwise => Ok(()),
        PartPolicy::LeftOut(why) => {
            builder.left_out(product, days, money.exact, why)?;
            Ok(())
        }
        PartPolicy::Line(home) => write_once(
            builder,
            home,
            line_id,
            product,
            item,
            Role::Prorate,
            credit_form(money),
            None,
            reason,
            days,
        ),
    }
}

/// A credit in one unit is written as a negative quantity with a positive price.
fn credit_form(money: Expressed) -> Expressed {
    if money.unit_price.is_negative() {
        Expressed {
            quantity: -money.quantity,
            unit_price: -money.unit_price,
            unit_cost: -money.unit_cost,
            ..money
        }
    } else {
        money
    }
}

/// The amount of a whole-or-part period for one item.
fn part_money(builder: &Builder<'_, '_>, item: &Item<'_, '_>, share: Share) -> Result<Expressed, Stop> {
    let settings = builder.context.world.settings;
    let currency = builder.context.currency;
    let same_price = item.old.price == item.new.price && item.old.cost == item.new.cost;
    if same_price || item.old_quantity.is_zero() {
        return Ok(part::prorated(settings, currency, item.new, item.delta, share)?);
    }
    if item.new_quantity.is_zero() {
        return Ok(part::prorated(settings, currency, item.old, item.delta, share)?);
    }
    if item.delta.is_zero() {
        let (quantity, high, low) = if item.new.price >= item.old.price {
            (item.new_quantity, item.new, item.old)
        } else {
            (-item.new_quantity, item.old, item.new)
        };
        let difference = Prices {
            price: high.price.minus(low.price)?,
            cost: high.cost.minus(low.cost)?,
            cost_known: true,
        };
        return Ok(part::prorated(settings, currency, difference, quantity, share)?);
    }
    let (price, cost) = item.difference()?;
    let factor = share.exact()?;
    let mut money = part::one_unit(settings, currency, price.times(factor)?, cost.times(factor)?)?;
    money.formula = format!(
        "({} x {} - {} x {}) x {} = {}",
        item.new_quantity.shown(),
        item.new.price.shown(currency),
        item.old_quantity.shown(),
        item.old.price.shown(currency),
        share,
        money.formula
    );
    Ok(money)
}

/// Ends the old line, begins the new one, and bills what lies between.
fn transition<'a>(
    builder: &mut Builder<'_, 'a>,
    order: &Order,
    item: &Item<'a, '_>,
    moment: Moment,
    part_is_told: bool,
) -> Result<(), Stop> {
    if let Some(until) = item.until {
        return late_transition(builder, order, item, moment, part_is_told, until);
    }
    let agreement = builder.context.agreement;
    let Moment { effective, period } = moment;
    let settings = builder.context.world.settings;
    let whole = effective == period.start();
    let invoiced = !agreement.prorates && builder.is_invoiced(agreement, period.start());
    let policy = if whole || part_is_told { None } else { Some(part_policy(builder)?) };
    if matches!(policy, Some(PartPolicy::Connectwise))
        && builder.is_invoiced(agreement, effective)
        && item.existing.is_some()
        && !settings.credits.is_on()
    {
        let message = format!(
            "{effective} is invoiced already on agreement {}, which prorates by itself: the old line cannot end there \
             any more, and the new one would be caught up on top of it.",
            agreement.id
        );
        let finding = builder
            .about(Code::Tu4002, &item.line.product, message)
            .fix("Undo the invoice, switch credits on, or name a separate agreement for proration.");
        builder.withhold(finding);
        return Ok(());
    }
    let in_modes = matches!(settings.line_mode, LineMode::Single | LineMode::Dual | LineMode::Commitment);
    if in_modes && !invoiced && matches!(policy, Some(PartPolicy::Line(_))) {
        return super::modes::transition(
            builder,
            order,
            &super::modes::Shift {
                line: item.line,
                item: item.item,
                existing: item.existing.clone(),
                old_value: (
                    item.old.price.exact().times(item.old_quantity.exact())?,
                    item.old.cost.exact().times(item.old_quantity.exact())?,
                ),
                new_quantity: item.new_quantity,
                new: item.new,
                effective,
                period,
            },
        );
    }
    let mut begin = match policy {
        Some(PartPolicy::Connectwise) => effective,
        Some(PartPolicy::Line(_) | PartPolicy::LeftOut(_)) | None if whole => period.start(),
        Some(PartPolicy::Line(_) | PartPolicy::LeftOut(_)) | None => period.end(),
    };
    let paid_to = if agreement.prorates { None } else { builder.last_invoiced_day(agreement).map(next_day) };
    let true_begin = begin;
    let gap = match builder.written(&item.line.id.0, Role::Recurring, true_begin) {
        // Written by an earlier run: what was invoiced since then is billed by it.
        Some(there) => {
            begin = there.state.effective;
            None
        }
        // A line of an earlier change that begins with the next invoice stands for the invoiced days as well.
        None => paid_to
            .and_then(|paid| Period::new(begin, paid).ok())
            .filter(|_| !item.new_quantity.is_zero() || item.existing.is_some()),
    };
    if let Some(gap) = gap {
        begin = gap.end();
    }
    create_or_edit(builder, order, item, (true_begin, begin), period)?;
    if let (Some(days), Some(_), false) = (period.from_day(effective), &policy, whole) {
        bill_part(builder, order, item, days, period)?;
    }
    if let Some(gap) = gap {
        bill_gap(builder, order, item, gap, period, whole)?;
        builder.tell_caught_up_by_shares(&item.line.product, agreement, gap);
    }
    end_old(builder, order, item, begin)
}

/// The days of the change's own period, once.
fn bill_part<'a>(
    builder: &mut Builder<'_, 'a>,
    order: &Order,
    item: &Item<'a, '_>,
    days: Period,
    period: Period,
) -> Result<(), Stop> {
    let days = item.line.amount.and(item.line.period).unwrap_or(days);
    let money = match item.line.amount {
        Some(amount) => named(builder, item, amount, days, period)?,
        None => {
            let share = builder.share(period, days)?;
            part_money(builder, item, share)?
        }
    };
    let reason = reason_of(builder, order, item, days);
    write_part(builder, &item.line.id.0, &item.line.product, item.item, money, reason, days)
}

/// A change that comes after a later one was carried out bills its days up to that one; no line begins and none ends.
fn late_transition<'a>(
    builder: &mut Builder<'_, 'a>,
    order: &Order,
    item: &Item<'a, '_>,
    moment: Moment,
    part_is_told: bool,
    until: Date,
) -> Result<(), Stop> {
    let Moment { effective, period } = moment;
    let product = &item.line.product;
    if !late::part_is_possible(builder, order, product)? {
        return Ok(());
    }
    late::tell(builder, order, product, effective, until);
    let whole = effective == period.start();
    let begin = if whole { effective } else { period.end() };
    if let (Some(days), false, false) = (Period::new(effective, begin.min(until)).ok(), whole, part_is_told) {
        bill_part(builder, order, item, days, period)?;
    }
    match Period::new(begin, until) {
        Ok(gap) => bill_gap(builder, order, item, gap, period, whole),
        Err(_) => Ok(()),
    }
}

/// Whole periods that were invoiced with the old state before this change could be written.
fn bill_gap<'a>(
    builder: &mut Builder<'_, 'a>,
    order: &Order,
    item: &Item<'a, '_>,
    gap: Period,
    period: Period,
    whole: bool,
) -> Result<(), Stop> {
    let units = builder.units_in(gap, period)?;
    let (num, den) = units.parts();
    let overflow = crate::money::MoneyError::Overflow;
    let share = Share {
        charged: i64::try_from(num).map_err(|_| overflow.clone())?,
        whole: i64::try_from(den).map_err(|_| overflow)?,
    };
    let named_whole = item.line.amount.filter(|_| whole && share.is_whole());
    let money = match named_whole {
        Some(amount) => named(builder, item, amount, gap, period)?,
        None => part_money(builder, item, share)?,
    };
    let reason = if item.until.is_some() {
        format!("Order {} came late: {gap} is billed once.", order.shown())
    } else {
        format!("{gap} was invoiced before order {} could be written.", order.shown())
    };
    let credits = builder.context.world.settings.credits.is_on();
    let money = if money.exact.is_negative() && !credits {
        take_back_unbilled(builder, order, item, money, gap)?
    } else {
        money
    };
    if money.exact.is_zero() {
        return Ok(());
    }
    if money.exact.is_negative() && !credits {
        builder.left_out(&item.line.product, gap, money.exact, "credits are off")?;
        return Ok(());
    }
    let home = builder.context.agreement;
    write_once(
        builder,
        home,
        &item.line.id.0,
        &item.line.product,
        item.item,
        Role::Prorate,
        credit_form(money),
        None,
        reason,
        gap,
    )
}

/// What an earlier change made of the same days and no invoice has billed yet gives way to a later decrease: taking a
/// line away that was never billed is no credit. What is left of both is billed instead.
fn take_back_unbilled(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    item: &Item<'_, '_>,
    money: Expressed,
    gap: Period,
) -> Result<Expressed, Stop> {
    let unbilled: Vec<Line> = builder
        .own_lines()
        .filter(|l| {
            let starts = l.origin.as_ref().and_then(|o| o.true_period).map(Period::start);
            l.is_for(&item.line.product, Role::Prorate)
                && !l.is_made_by(builder.context.order_id())
                && starts.is_some_and(|day| gap.contains(day))
                && l.origin.as_ref().is_some_and(|o| *o.written == *l.state)
                && !builder.is_billed(l)
        })
        .cloned()
        .collect();
    if unbilled.is_empty() {
        return Ok(money);
    }
    let (mut price, mut cost) = (money.exact, money.exact_cost);
    for line in &unbilled {
        let quantity = line.state.quantity.exact();
        price = price.plus(line.state.unit_price.exact().times(quantity)?)?;
        cost = cost.plus(line.state.unit_cost.exact().times(quantity)?)?;
        let reason =
            format!("Order {} changes what {gap} costs, which no invoice has billed yet.", order.shown());
        builder.delete_last(line, reason);
    }
    Ok(part::one_unit(builder.context.world.settings, builder.context.currency, price, cost)?)
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

fn reason_of(builder: &Builder<'_, '_>, order: &Order, item: &Item<'_, '_>, days: Period) -> String {
    let currency = builder.context.currency;
    let name = builder.context.product_name(&item.line.product);
    let (order, day) = (order.shown(), days.start());
    if item.delta.is_zero() {
        let (old, new) = (item.old.price.shown(currency), item.new.price.shown(currency));
        text(format_args!(
            "Order {order} changes the price of {name} from {old} to {new} on {day}: {days} is billed once."
        ))
    } else {
        let (old, new) = (item.old_quantity.shown(), item.new_quantity.shown());
        text(format_args!(
            "Order {order} changes {name} from {old} to {new} on {day}: {days} is billed once."
        ))
    }
}

/// The new open-ended line; or the old one edited, where that bills the right amount.
fn create_or_edit<'a>(
    builder: &mut Builder<'_, 'a>,
    order: &Order,
    item: &Item<'a, '_>,
    (true_begin, begin): (Date, Date),
    anchor: Period,
) -> Result<(), Stop> {
    if item.new_quantity.is_zero() {
        return Ok(());
    }
    let agreement: &'a Agreement = builder.context.agreement;
    let settings = builder.context.world.settings;
    let name = builder.context.product_name(&item.line.product);
    if let Some(there) = item.existing.as_ref().filter(|l| l.state.is_open() && l.agreement == agreement.id) {
        let edits = settings.quantity_change == QuantityChange::EditInPlace;
        let paid = builder.last_invoiced_day(agreement).is_some_and(|last| next_day(last) >= begin);
        let unbilled_from_begin = there.state.effective == begin && !builder.is_billed(there);
        if edits && (paid || unbilled_from_begin) && there.state.catalog_item == item.item.id {
            let wanted = AdditionState {
                quantity: item.new_quantity,
                unit_price: item.new.price,
                unit_cost: item.new.cost,
                ..(*there.state).clone()
            };
            let reason = format!(
                "Order {} changes {name} from {} to {}; the next invoice bills the new state whole.",
                order.shown(),
                item.old_quantity.shown(),
                item.new_quantity.shown()
            );
            return builder.update(there, wanted, reason);
        }
    }
    let mut line = new_line(
        builder,
        order,
        item.line,
        item.item,
        item.new_quantity,
        item.new,
        item.existing.as_ref(),
        begin,
    )?;
    line.key_day = Some(true_begin);
    line.since = Some(item.since);
    let last = commitment_last(builder, begin);
    builder.recurring(agreement, line, begin, last, anchor)
}

/// A recurring line of the new state, with the flags of the line it replaces.
#[expect(clippy::too_many_arguments, reason = "the parts of one line, each once")]
pub fn new_line<'a>(
    builder: &Builder<'_, 'a>,
    order: &Order,
    line: &OrderLine,
    item: &'a CatalogItem,
    quantity: Quantity,
    prices: Prices,
    replaces: Option<&Line>,
    begin: Date,
) -> Result<NewLine<'a>, Stop> {
    let settings = builder.context.world.settings;
    let name = builder.context.product_name(&line.product);
    Ok(NewLine {
        line_id: line.id.0.clone(),
        product: line.product.clone(),
        item,
        role: Role::Recurring,
        money: part::prorated(settings, builder.context.currency, prices, quantity, Share::WHOLE)?,
        description: builder.description(&line.product, line.description.as_deref()),
        bill: replaces.map_or(BillFlag::Billable, |l| l.state.bill),
        taxable: replaces.and_then(|l| l.state.taxable),
        key_day: None,
        since: None,
        reason: text(format_args!("Order {}: {} {name} from {begin} on.", order.shown(), quantity.shown())),
    })
}

fn end_old(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    item: &Item<'_, '_>,
    begin: Date,
) -> Result<(), Stop> {
    let Some(old) = &item.existing else { return Ok(()) };
    // Edited in place: it goes on.
    let Some(now) = builder.picture.now(old).cloned() else { return Ok(()) };
    if now.state != old.state {
        return Ok(());
    }
    let edited = builder.context.world.settings.quantity_change == QuantityChange::EditInPlace
        && now.state.quantity == item.new_quantity
        && now.state.unit_price == item.new.price;
    if edited {
        return Ok(());
    }
    let name = builder.context.product_name(&item.line.product);
    let last = previous_day(begin);
    let reason = text(format_args!(
        "Order {} replaces {} {name} from {begin} on: it ends on {last}, the last day paid for.",
        order.shown(),
        now.state.quantity.shown()
    ));
    builder.end_last(&now, last, reason);
    Ok(())
}

/// Parts that the source computed itself (`prorate` and `refund` lines), netted per product.
fn explicit_parts(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    products: &BTreeSet<&ProductId>,
    moment: Moment,
) -> Result<(), Stop> {
    let by_product: BTreeMap<&&ProductId, Vec<&OrderLine>> = products
        .iter()
        .map(|p| {
            let of: Vec<&OrderLine> = order
                .lines
                .iter()
                .filter(|l| &l.product == *p && matches!(l.charge, Charge::Prorate | Charge::Refund))
                .collect();
            (p, of)
        })
        .collect();
    for (product, parts) in by_product {
        let Some(item) = item_of(builder, product)? else { continue };
        if let [single] = parts.as_slice() {
            let days =
                single.period.or_else(|| moment.period.from_day(moment.effective)).unwrap_or(moment.period);
            bill_once(builder, single, item, moment.period, days)?;
            continue;
        }
        net_parts(builder, order, product, item, &parts, moment)?;
    }
    Ok(())
}

fn net_parts<'a>(
    builder: &mut Builder<'_, 'a>,
    order: &Order,
    product: &ProductId,
    item: &'a CatalogItem,
    parts: &[&OrderLine],
    moment: Moment,
) -> Result<(), Stop> {
    let currency = builder.context.currency;
    let settings = builder.context.world.settings;
    let mut net = Exact::ZERO;
    let mut net_cost = Exact::ZERO;
    let mut terms = Vec::new();
    for line in parts {
        let days = line.period.unwrap_or(moment.period);
        let share =
            moment.period.intersect(days).map_or(Ok(Share::WHOLE), |d| builder.share(moment.period, d))?;
        let prices = part::prices_of(builder.context, line, item, None);
        let plain = |unit: Money| -> Result<Exact, Stop> {
            Ok(unit.exact().times(line.quantity.exact())?.times(share.exact()?)?)
        };
        let mut amount = match (line.amount, prices) {
            (Some(amount), _) => amount.exact(),
            (None, Some(prices)) => plain(prices.price)?,
            (None, None) => {
                let message = format!("Line {} has neither an amount nor a price.", line.id);
                let finding = builder.about(Code::Tu6002, product, message);
                builder.withhold(finding);
                return Ok(());
            }
        };
        let mut cost = match (line.cost_amount, prices) {
            (Some(cost), _) => cost.exact(),
            (None, Some(prices)) => plain(prices.cost)?,
            (None, None) => Exact::ZERO,
        };
        if line.charge == Charge::Refund {
            if !amount.is_negative() {
                amount = Exact::ZERO.minus(amount)?;
            }
            if !cost.is_negative() {
                cost = Exact::ZERO.minus(cost)?;
            }
        }
        terms.push(part::short(amount).to_string());
        net = net.plus(amount)?;
        net_cost = net_cost.plus(cost)?;
    }
    let rounded = Money::new(net.round(currency.places(), settings.rounding_mode)?);
    let delta = order
        .lines
        .iter()
        .find(|l| l.charge == Charge::Recurring && &l.product == product)
        .map_or(Quantity::from(1), |l| l.quantity);
    let delta = if delta.is_zero() { Quantity::from(1) } else { delta };
    let mut money = part::named_amount(settings, currency, rounded, net_cost, delta)?;
    money.exact = net;
    money.formula = format!("{} = {}", terms.join(" + "), rounded.shown(currency)).replace("+ -", "- ");
    let line_id = parts.first().map_or_else(String::new, |l| l.id.0.clone());
    let days = moment.period.from_day(moment.effective).unwrap_or(moment.period);
    let reason = format!(
        "Order {} names {} parts of {days} for {}; they are netted.",
        order.shown(),
        parts.len(),
        builder.context.product_name(product)
    );
    if matches!(part_policy(builder)?, PartPolicy::Connectwise) {
        builder.left_out(product, days, net, "ConnectWise prorates on this agreement")?;
        return Ok(());
    }
    write_part(builder, &line_id, product, item, money, reason, days)
}

/// Tells that a mode could not be used.
pub fn fell_back(builder: &mut Builder<'_, '_>, product: &ProductId, why: &str) {
    let message =
        format!("The part period of {} is a line of its own: {why}.", builder.context.product_name(product));
    let finding = builder.about(Code::Tu4006, product, message).severity(Severity::Info);
    builder.find(finding);
}
