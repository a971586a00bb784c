//! The part period of a change: what the days from the change on cost more or less.

use super::left;
use super::netting::Half;
use super::transition::{reason_of, whole_difference};
use super::{Item, Moment, Told, moment_of, named};
use crate::feed::{Charge, Order, OrderLine};
use crate::finding::{Code, Severity};
use crate::ids::ProductId;
use crate::money::{Exact, Money, Quantity};
use crate::period::Period;
use crate::plan::Role;
use crate::planner::builder::Builder;
use crate::planner::context::Stop;
use crate::planner::left_out;
use crate::planner::lines::{PartPolicy, bill_once, item_of, part_policy, share_of, write_once};
use crate::planner::part::{self, Expressed, Prices};
use crate::planner::picture::Line;
use crate::proration::Share;
use crate::psa::{BillFlag, CatalogItem};
use jiff::civil::Date;
use std::collections::{BTreeMap, BTreeSet};

/// Writes a prorated amount where the policy says, or says that it is left out.
pub(super) fn write_part<'a>(
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
    let policy = part_policy(builder);
    if let Ok(PartPolicy::Connectwise) = policy {
        // It takes off and adds by the dates of the lines, whatever `credits` says.
        return Ok(());
    }
    if money.exact.is_negative() && !builder.context.world.settings.credits.is_on() {
        builder.left_out(product, days, money.exact, left_out::CREDITS_OFF)?;
        return Ok(());
    }
    match policy? {
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
pub(super) fn credit_form(money: Expressed) -> Expressed {
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
pub(super) fn part_money(
    builder: &Builder<'_, '_>,
    item: &Item<'_, '_>,
    share: Share,
) -> Result<Expressed, Stop> {
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

/// The days of the change's own period, once.
pub(super) fn bill_part<'a>(
    builder: &mut Builder<'_, 'a>,
    order: &Order,
    item: &Item<'a, '_>,
    days: Period,
    period: Period,
) -> Result<(), Stop> {
    let days = item.line.amount.and(item.line.period).unwrap_or(days);
    let told = if days == period { whole_difference(order, item, period)? } else { item.line.amount };
    let money = match told {
        Some(amount) => named(builder, item, amount, days, period)?,
        None => {
            let share = builder.share(period, days)?;
            left::capped(builder, &item.line.product, period, period, part_money(builder, item, share)?)?
        }
    };
    let reason = reason_of(builder, order, item, days);
    write_part(builder, item.line.id.as_str(), &item.line.product, item.item, money, reason, days)
}

/// Whole periods that were invoiced with the old state before this change could be written.
pub(super) fn bill_gap<'a>(
    builder: &mut Builder<'_, 'a>,
    order: &Order,
    item: &Item<'a, '_>,
    gap: Period,
    period: Period,
    whole: bool,
) -> Result<(), Stop> {
    let units = builder.units_in(gap, period)?;
    let share = Share::of(units)?;
    let named_whole = if whole && share.is_whole() && gap.start() == period.start() {
        whole_difference(order, item, gap)?
    } else {
        None
    };
    let of_these = item.line.amount.filter(|_| whole && item.line.period == Some(gap) && gap != period);
    let money = match named_whole.or(of_these) {
        Some(amount) => named(builder, item, amount, gap, period)?,
        None => left::capped(builder, &item.line.product, gap, period, part_money(builder, item, share)?)?,
    };
    let reason = if item.until.is_some() {
        format!("Order {} came late: {gap} is billed once.", order.shown())
    } else {
        format!("{gap} was invoiced before order {} could be written.", order.shown())
    };
    // What no invoice has billed yet is put right on the one that will: nothing is given back by that.
    let is_paid = builder.paid_up_to(builder.context.agreement).is_some_and(|paid| paid > gap.start());
    let credits = builder.context.world.settings.credits.is_on();
    let written = builder.written(item.line.id.as_str(), Role::Prorate, gap.start());
    let may_give_back = credits || !is_paid || written.is_some_and(|line| !is_charge(line));
    let is_billed = builder.flags_of(&item.line.product).0 == BillFlag::Billable;
    if money.exact.is_negative() && !is_billed && !credits {
        // It was never billed.
        return Ok(());
    }
    let money = if money.exact.is_negative() && !may_give_back {
        if finish_taking_back(builder, order, item, gap)? {
            return Ok(());
        }
        take_back_unbilled(builder, order, item, money, gap)?
    } else {
        money
    };
    if money.exact.is_zero() {
        return Ok(());
    }
    if builder.nets && is_billed {
        let (line_id, product) = (item.line.id.to_string(), item.line.product.clone());
        let may_give_back = !is_paid;
        let half = Half { line_id, product, item: item.item, money, days: gap, may_give_back, reason };
        builder.halves.push(half);
        return Ok(());
    }
    if money.exact.is_negative() && !may_give_back {
        builder.left_out(&item.line.product, gap, money.exact, left_out::CREDITS_OFF)?;
        return Ok(());
    }
    let home = builder.context.agreement;
    write_once(
        builder,
        home,
        item.line.id.as_str(),
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
pub(super) fn take_back_unbilled(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    item: &Item<'_, '_>,
    money: Expressed,
    gap: Period,
) -> Result<Expressed, Stop> {
    let mut unbilled = earlier_parts_of(builder, item, gap);
    unbilled.retain(|line| !builder.is_billed(line));
    if unbilled.is_empty() {
        return Ok(money);
    }
    let (mut price, mut cost) = (money.exact, money.exact_cost);
    for line in &unbilled {
        let quantity = line.state.quantity.exact();
        price = price.plus(line.state.unit_price.exact().times(quantity)?)?;
        cost = cost.plus(line.state.unit_cost.exact().times(quantity)?)?;
        builder.delete_last(line, taken_back(order, gap));
    }
    Ok(part::one_unit(builder.context.world.settings, builder.context.currency, price, cost)?)
}

/// What earlier changes wrote of the same days, as it was written.
fn earlier_parts_of<'a>(builder: &Builder<'_, 'a>, item: &Item<'_, '_>, gap: Period) -> Vec<Line<'a>> {
    builder
        .own_lines()
        .filter(|l| {
            let starts = l.origin.as_ref().and_then(|o| o.true_period()).map(Period::start);
            l.is_for(&item.line.product, Role::Prorate)
                && !l.is_made_by(builder.context.order_id())
                && starts.is_some_and(|day| gap.contains(day))
                && l.origin.as_ref().is_some_and(|o| *o.written() == *l.state)
        })
        .cloned()
        .collect()
}

fn taken_back(order: &Order, gap: Period) -> String {
    format!("Order {} changes what {gap} costs, which no invoice has billed yet.", order.shown())
}

fn is_charge(line: &Line<'_>) -> bool {
    !line.state.quantity.is_negative() && !line.state.unit_price.is_negative()
}

/// The days of a gap as they are billed: those that an earlier run of this order wrote a line for (of a switch: for any of its
/// products) as that line has them, and of the others those apart that the source names an amount for (`named`), and those that
/// no invoice has billed, where only those may be billed less than before. An invoice in between moves no line's days.
pub(super) fn pieces(
    builder: &Builder<'_, '_>,
    item: &Item<'_, '_>,
    gap: Period,
    named: Option<Period>,
) -> Vec<Period> {
    let split = |days: Period| {
        let named = named.filter(|named| named.start() == days.start());
        let apart = match named.and_then(|named| Some((named, days.from_day(named.end())?))) {
            Some((named, rest)) => vec![named, rest],
            None => vec![days],
        };
        apart.into_iter().flat_map(|days| with_unpaid_apart(builder, days)).collect::<Vec<_>>()
    };
    let mut written: Vec<Period> = builder
        .own_lines()
        .filter(|line| {
            let is_part = line.origin.as_ref().is_some_and(|origin| origin.role() == Role::Prorate);
            is_part
                && line.is_made_by(builder.context.order_id())
                && (builder.nets || line.is_for(&item.line.product, Role::Prorate))
        })
        .filter_map(Line::days)
        .filter(|days| days.start() >= gap.start() && days.end() <= gap.end())
        .collect();
    written.sort();
    let mut pieces = Vec::new();
    let mut rest = Some(gap);
    for own in written {
        let Some(left) = rest.filter(|left| left.contains(own.start())) else { continue };
        pieces.extend(left.before_day(own.start()).into_iter().flat_map(&split));
        pieces.push(own);
        rest = left.from_day(own.end());
    }
    pieces.extend(rest.into_iter().flat_map(&split));
    pieces
}

fn with_unpaid_apart(builder: &Builder<'_, '_>, days: Period) -> Vec<Period> {
    let agreement = builder.context.agreement;
    let is_split = !builder.context.world.settings.credits.is_on() && !agreement.prorates;
    let paid = builder.paid_up_to(agreement).filter(|_| is_split);
    match paid.and_then(|paid| Some((days.before_day(paid)?, days.from_day(paid)?))) {
        Some((paid, unpaid)) if unpaid.start() > paid.start() => vec![paid, unpaid],
        Some(_) | None => vec![days],
    }
}

/// Whether an earlier run of this order wrote what is left of both: then the lines that it stands for go, and what
/// invoices have billed of them since is told.
fn finish_taking_back(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    item: &Item<'_, '_>,
    gap: Period,
) -> Result<bool, Stop> {
    let rest = builder.written(item.line.id.as_str(), Role::Prorate, gap.start());
    let Some(rest) = rest.filter(|line| is_charge(line)) else { return Ok(false) };
    let open_then = rest.origin.as_ref().and_then(|o| o.next_invoice_at_write());
    let mut billed = Exact::ZERO;
    for line in earlier_parts_of(builder, item, gap) {
        if !builder.is_billed(&line) {
            builder.delete_last(&line, taken_back(order, gap));
        } else if open_then.is_some_and(|then| line.state.effective >= then) {
            billed = billed.minus(line.state.unit_price.exact().times(line.state.quantity.exact())?)?;
        }
    }
    let why = "invoices billed it beside what takes its place, and credits are off";
    builder.left_out(&item.line.product, gap, billed, why)?;
    Ok(true)
}

/// Parts that the source computed itself (`prorate` and `refund` lines), netted per product.
pub(super) fn explicit_parts(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    products: &BTreeSet<&ProductId>,
    told: &[Told<'_, '_, '_>],
    said: Date,
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
        if parts.is_empty() {
            // All of them lie in days that are not billed.
            continue;
        }
        let moment = moment_of(builder, order, said, product)?;
        let told = told.iter().find(|told| told.item.line.product == **product);
        let parts: Vec<Part<'_>> = parts.into_iter().map(|line| Part::of(line, moment, told)).collect();
        if let Some(told) = told.filter(|told| told.by_dates) {
            tell_by_dates(builder, product, item, &parts, told)?;
            continue;
        }
        if let [single] = parts.as_slice() {
            bill_once(builder, single.line, item, single.period, single.days)?;
            continue;
        }
        net_parts(builder, order, product, item, &parts, moment)?;
    }
    Ok(())
}

/// A part that the order names, with its days and the period that they are a share of.
struct Part<'o> {
    line: &'o OrderLine,
    period: Period,
    days: Period,
}

impl<'o> Part<'o> {
    /// What goes back of a line of another cycle is a share of that one's period.
    fn of(line: &'o OrderLine, moment: Moment, told: Option<&Told<'_, '_, '_>>) -> Self {
        let of_old = |told: &&Told<'_, '_, '_>| {
            line.charge == Charge::Refund || told.item.new_quantity.is_zero() || line.quantity.is_negative()
        };
        let period = told.filter(of_old).and_then(|told| told.old).unwrap_or(moment.period);
        let days = line.period.or_else(|| period.from_day(moment.effective)).unwrap_or(period);
        Self { line, period, days }
    }

    /// Price and cost, exactly; none where neither an amount nor a price is known.
    fn exact(&self, builder: &Builder<'_, '_>, item: &CatalogItem) -> Result<Option<(Exact, Exact)>, Stop> {
        let Self { line, period, days } = *self;
        let share = share_of(builder, period, days)?;
        let prices = part::prices_of(builder.context, line, item, None);
        let plain = |unit: Money| -> Result<Exact, Stop> {
            Ok(unit.exact().times(line.quantity.exact())?.times(share.exact()?)?)
        };
        let mut amount = match (line.amount, prices) {
            (Some(amount), _) => amount.exact(),
            (None, Some(prices)) => plain(prices.price)?,
            (None, None) => return Ok(None),
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
        Ok(Some((amount, cost)))
    }
}

/// Parts that ConnectWise bills from the dates are not written: where the source names other amounts, that is told.
fn tell_by_dates(
    builder: &mut Builder<'_, '_>,
    product: &ProductId,
    item: &CatalogItem,
    parts: &[Part<'_>],
    told: &Told<'_, '_, '_>,
) -> Result<(), Stop> {
    let Moment { effective, period, .. } = told.item.moment;
    let days = period.from_day(effective).unwrap_or(period);
    let share = builder.share(period, days)?;
    let billed = told.item.difference()?.0.times(share.exact()?)?;
    let mut named = Exact::ZERO;
    for part in parts {
        let Some((price, _)) = part.exact(builder, item)? else { return Ok(()) };
        named = named.plus(price)?;
    }
    Ok(builder.tell_by_dates(product, days, named, billed)?)
}

fn net_parts<'a>(
    builder: &mut Builder<'_, 'a>,
    order: &Order,
    product: &ProductId,
    item: &'a CatalogItem,
    parts: &[Part<'_>],
    moment: Moment,
) -> Result<(), Stop> {
    let currency = builder.context.currency;
    let settings = builder.context.world.settings;
    let mut net = Exact::ZERO;
    let mut net_cost = Exact::ZERO;
    let mut terms = Vec::new();
    for part in parts {
        let Some((amount, cost)) = part.exact(builder, item)? else {
            let message = format!("Line {} has neither an amount nor a price.", part.line.id);
            let finding = builder.about(Code::Tu6002, product, message);
            builder.withhold(finding);
            return Ok(());
        };
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
    let line_id = parts.first().map_or_else(String::new, |part| part.line.id.to_string());
    let own = parts.first().map_or(moment.period, |part| part.period);
    let days = own.from_day(moment.effective).unwrap_or(own);
    let reason = format!(
        "Order {} names {} parts of {days} for {}; they are netted.",
        order.shown(),
        parts.len(),
        builder.context.product_name(product)
    );
    if matches!(part_policy(builder)?, PartPolicy::Connectwise) {
        if net.is_zero() {
            return Ok(());
        }
        let home = builder.context.agreement;
        if !builder.is_invoiced(home, days.start()) {
            builder.left_out(product, days, net, "ConnectWise prorates on this agreement")?;
            return Ok(());
        }
        if net.is_negative() && !settings.credits.is_on() {
            builder.left_out(product, days, net, left_out::CREDITS_OFF)?;
            return Ok(());
        }
        // What is billed of an invoiced period is dated over the whole open one, so nobody prorates it.
        let money = credit_form(money);
        return write_once(builder, home, &line_id, product, item, Role::Prorate, money, None, reason, days);
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
