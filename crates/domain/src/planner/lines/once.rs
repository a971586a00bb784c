//! Billing a line of an order once: what it comes to, on which agreement, and as which line.

use super::{PartPolicy, billed_quantity, part_policy, prices};
use crate::feed::{Charge, OrderLine};
use crate::finding::{Code, Severity};
use crate::ids::ProductId;
use crate::money::{Exact, Money, MoneyError, Quantity};
use crate::period::Period;
use crate::plan::Role;
use crate::planner::builder::{Builder, NewLine};
use crate::planner::context::Stop;
use crate::planner::left_out;
use crate::planner::part::{self, Expressed, Prices};
use crate::proration::Share;
use crate::psa::{Agreement, BillFlag, CatalogItem};
use crate::settings::{PriceSource, ProrationBy, RoundingPlace};

fn role_of(charge: Charge) -> Role {
    match charge {
        Charge::Setup => Role::Setup,
        Charge::Recurring => Role::Recurring,
        Charge::Overuse => Role::Overuse,
        Charge::Prorate => Role::Prorate,
        Charge::Refund => Role::Refund,
        Charge::Cancellation => Role::Cancellation,
        Charge::Upgrade | Charge::OneTime | Charge::Discount => Role::OneTime,
    }
}

/// The exact cost of a line: named, or its quantity of unit costs. A share of a unit's cost is rounded as one of its price
/// would be.
fn cost_of(
    builder: &Builder<'_, '_>,
    line: &OrderLine,
    prices: Option<Prices>,
    quantity: Quantity,
    share: Share,
) -> Result<Exact, Stop> {
    if let Some(cost) = line.cost_amount {
        return Ok(cost.exact());
    }
    let unit = prices.map_or(Money::ZERO, |p| p.cost).exact().times(share.exact()?)?;
    let settings = builder.context.world.settings;
    let by_unit = settings.rounding_place == RoundingPlace::Unit && !share.is_whole();
    let unit = if by_unit {
        Money::new(unit.round(builder.context.currency.places(), settings.rounding_mode)?).exact()
    } else {
        unit
    };
    Ok(unit.times(quantity.exact())?)
}

/// A reduction is below zero whatever sign the source gave it.
fn reduced(value: Money) -> Money {
    if value.is_negative() { value } else { -value }
}

/// Bills a line of the order once, for `days` of `period`, whatever its charge says; credits only where they are on.
pub fn bill_once<'a>(
    builder: &mut Builder<'_, 'a>,
    line: &OrderLine,
    item: &'a CatalogItem,
    period: Period,
    days: Period,
) -> Result<(), Stop> {
    let is_part = matches!(line.charge, Charge::Prorate | Charge::Refund);
    let share = if is_part { share_of(builder, period, days)? } else { Share::WHOLE };
    let Some(money) = money_of(builder, line, item, share)? else { return Ok(()) };
    if is_credit_left_out(builder, line, &money, days)? {
        return Ok(());
    }
    // What is given back of an invoiced period is dated over the whole open one, so nobody prorates it.
    let by_dates = builder.context.world.settings.proration_by == ProrationBy::Connectwise;
    let own = builder.context.agreement;
    let settled =
        (line.charge == Charge::Refund || by_dates) && own.prorates && builder.is_invoiced(own, days.start());
    let role = role_of(line.charge);
    let home = if is_part && !settled {
        match part_policy(builder)? {
            PartPolicy::Line(home) => home,
            PartPolicy::LeftOut(why) => {
                builder.left_out(&line.product, days, money.exact, why)?;
                return Ok(());
            }
            // No line's dates bill what the source names by itself: over its whole period nobody prorates it either (D12).
            PartPolicy::Connectwise => {
                let whole = if role == Role::Prorate { Role::OneTime } else { role };
                let whole = begun_as(builder, line, days, (whole, role));
                return write(builder, own, line, item, (whole, role), money, days);
            }
        }
    } else {
        own
    };
    let as_begun = if settled { begun_as(builder, line, days, (role, Role::OneTime)) } else { role };
    write(builder, home, line, item, (as_begun, role), money, days)
}

/// The first of two roles, save where an earlier run wrote the line in the other one: whether its days were invoiced by then
/// decides about it, and a run that broke off is finished as it began.
fn begun_as(builder: &Builder<'_, '_>, line: &OrderLine, days: Period, (usual, other): (Role, Role)) -> Role {
    let written = |role| builder.written(line.id.as_str(), role, days.start()).is_some();
    if !written(usual) && written(other) { other } else { usual }
}

/// Bills `days` of `period` that were used of a subscription charged after its period, as its billing orders do: once, on its
/// own agreement, whoever bills parts. An amount is that of the days; without one they cost their share.
pub fn bill_used<'a>(
    builder: &mut Builder<'_, 'a>,
    line: &OrderLine,
    item: &'a CatalogItem,
    period: Period,
    days: Period,
) -> Result<(), Stop> {
    let line = &OrderLine { charge: Charge::Recurring, ..line.clone() };
    let share = share_of(builder, period, days)?;
    let Some(money) = money_of(builder, line, item, share)? else { return Ok(()) };
    if is_credit_left_out(builder, line, &money, days)? {
        return Ok(());
    }
    write(builder, builder.context.agreement, line, item, (Role::Recurring, Role::Recurring), money, days)
}

/// Gives back a refund of the order on an agreement that may be another than the task's: that of who paid.
pub fn give_back_once<'a>(
    builder: &mut Builder<'_, 'a>,
    home: &'a Agreement,
    line: &OrderLine,
    item: &'a CatalogItem,
    (period, days): (Period, Period),
) -> Result<(), Stop> {
    if home.id == builder.context.agreement.id {
        return bill_once(builder, line, item, period, days);
    }
    let share = share_of(builder, period, days)?;
    let Some(money) = money_of(builder, line, item, share)? else { return Ok(()) };
    if is_credit_left_out(builder, line, &money, days)? {
        return Ok(());
    }
    if let PartPolicy::LeftOut(why) = part_policy(builder)? {
        return Ok(builder.left_out(&line.product, days, money.exact, why)?);
    }
    // Of an open period ConnectWise would take a share of it by its dates: it is dated over the whole of it (D12).
    let whole = home.prorates && !builder.is_invoiced(home, days.start());
    let roles = if whole { (Role::OneTime, Role::Refund) } else { (Role::Refund, Role::OneTime) };
    let own = OrderLine { id: format!("{}@{}", line.id, home.id).into(), ..line.clone() };
    let role = begun_as(builder, &own, days, roles);
    write(builder, home, &own, item, (role, Role::Refund), money, days)
}

/// The share of a period that some days of it are; the whole where none of them lies in it.
pub fn share_of(builder: &Builder<'_, '_>, period: Period, days: Period) -> Result<Share, Stop> {
    Ok(period.intersect(days).map_or(Ok(Share::WHOLE), |days| builder.share(period, days))?)
}

/// What the source itself says that a share of a line costs: its amount, or its price; none where it says neither.
pub fn said_to_cost(line: &OrderLine, share: Share) -> Result<Option<Exact>, MoneyError> {
    match (line.amount, line.unit_price) {
        (Some(amount), _) => Ok(Some(amount.exact())),
        (None, Some(unit)) => Ok(Some(unit.exact().times(line.quantity.exact())?.times(share.exact()?)?)),
        (None, None) => Ok(None),
    }
}

/// What a line of the order comes to for a share of its period; none where that is nothing, or is kept back.
fn money_of(
    builder: &mut Builder<'_, '_>,
    line: &OrderLine,
    item: &CatalogItem,
    share: Share,
) -> Result<Option<Expressed>, Stop> {
    let reduces = matches!(line.charge, Charge::Refund | Charge::Discount);
    // A reduction is one whatever sign its price has.
    let unsigned =
        OrderLine { unit_price: line.unit_price.map(|p| if reduces { p.abs() } else { p }), ..line.clone() };
    let line = &unsigned;
    let settings = builder.context.world.settings;
    let currency = builder.context.currency;
    let mut quantity = billed_quantity(builder, &line.product, line.quantity);
    if let Some(amount) = named_amount(builder, line, item) {
        let known = part::prices_of(builder.context, line, item, None);
        let amount = if reduces { reduced(amount) } else { amount };
        let cost = cost_of(builder, line, known, quantity, share)?;
        let same_sign = cost.is_negative() == amount.is_negative() || cost.is_zero();
        let cost = if same_sign { cost } else { Exact::ZERO.minus(cost)? };
        if amount.is_zero() && cost.is_zero() {
            return Ok(None);
        }
        if quantity.is_zero() {
            quantity = Quantity::from(1);
        }
        let money = part::named_amount(settings, currency, amount, cost, quantity)?;
        return Ok(Some(money.cost_named_if(line.cost_amount.is_some())));
    }
    if quantity.is_zero() && line.amount.is_some() {
        quantity = Quantity::from(1);
    }
    if quantity.is_zero() {
        return Ok(None);
    }
    let Some(prices) = prices(builder, line, item, None) else { return Ok(None) };
    if prices.price.is_zero() {
        tell_free_in_the_catalog(builder, line, item, quantity)?;
    }
    if prices.price.is_zero() && prices.cost.is_zero() {
        return Ok(None);
    }
    if reduces {
        quantity = -quantity.abs();
    }
    Ok(Some(part::charged(settings, currency, prices, quantity, share)?))
}

/// The amount that the source names, where it counts. Where prices come from ConnectWise, what is charged costs what the
/// catalog says, as what recurs does: an amount is the marketplace's price. Parts and what lowers the bill keep theirs, since the
/// catalog knows none, and so does an item without a price, which is told.
fn named_amount(builder: &mut Builder<'_, '_>, line: &OrderLine, item: &CatalogItem) -> Option<Money> {
    let amount = line.amount?;
    let is_charge = match line.charge {
        Charge::Setup | Charge::Recurring | Charge::Overuse | Charge::Upgrade | Charge::OneTime => true,
        Charge::Prorate | Charge::Refund | Charge::Cancellation | Charge::Discount => false,
    };
    let by_catalog = builder.context.price_source == PriceSource::Connectwise;
    // An amount for some days of the period is no price of a unit, and one of nothing says that nothing is charged.
    let of_some_days = line.period.zip(builder.context.order_period).is_some_and(|(own, whole)| own != whole);
    if !by_catalog || !is_charge || of_some_days || amount.is_negative() || amount.is_zero() {
        return Some(amount);
    }
    if item.price.is_some() {
        return None;
    }
    let currency = builder.context.currency;
    let message = format!(
        "Prices come from ConnectWise, and catalog item {} ({}) has none: {} is billed at the {} {currency} that the source \
         charges (line {}).",
        item.identifier,
        item.id,
        builder.context.product_name(&line.product),
        amount.shown(currency),
        line.id
    );
    let finding = builder.about(Code::Tu6002, &line.product, message).severity(Severity::Warning);
    builder.find(finding.amount(amount, currency).fix("Enter the price of the catalog item, or leave it."));
    Some(amount)
}

/// Tells a credit that is not written, since none are: whether it is one.
fn is_credit_left_out(
    builder: &mut Builder<'_, '_>,
    line: &OrderLine,
    money: &Expressed,
    days: Period,
) -> Result<bool, Stop> {
    let is_credit = money.exact.is_negative() && line.charge != Charge::Discount;
    if !is_credit || builder.context.world.settings.credits.is_on() {
        return Ok(false);
    }
    builder.left_out(&line.product, days, money.exact, left_out::CREDITS_OFF)?;
    Ok(true)
}

/// Writes what a line of the order comes to. Of the two roles the first is that of the new line, the second says whether what a
/// person set on the product's line counts for it.
fn write<'a>(
    builder: &mut Builder<'_, 'a>,
    home: &'a Agreement,
    line: &OrderLine,
    item: &'a CatalogItem,
    (role, as_role): (Role, Role),
    money: Expressed,
    days: Period,
) -> Result<(), Stop> {
    let order = builder.context.task.order_id.as_ref().map_or("", |o| o.as_str());
    let reason = format!("Order {order} charges {} for {days}.", what(line.charge));
    let said = line.description.as_deref();
    write_as(builder, home, line.id.as_str(), &line.product, item, (role, as_role), money, said, reason, days)
}

fn what(charge: Charge) -> &'static str {
    match charge {
        Charge::Setup => "a setup fee",
        Charge::Recurring => "the recurring fee",
        Charge::Overuse => "use beyond what is included",
        Charge::Upgrade => "an upgrade fee",
        Charge::Prorate => "a part period",
        Charge::Refund => "money back",
        Charge::Cancellation => "a cancellation fee",
        Charge::OneTime => "a one-time fee",
        Charge::Discount => "a discount",
    }
}

/// Parts and refunds are of a line: what a person set on that one counts for them as well.
fn flags(builder: &Builder<'_, '_>, role: Role, product: &ProductId) -> (BillFlag, Option<bool>) {
    match role {
        Role::Prorate | Role::Refund => builder.flags_of(product),
        Role::Recurring
        | Role::Setup
        | Role::Overuse
        | Role::Cancellation
        | Role::OneTime
        | Role::Quantity => (BillFlag::Billable, None),
    }
}

/// Says what the source charges for an item that costs nothing in the catalog, where that sets the prices: a price of 0
/// is what somebody entered there, or nobody did. What recurs is written with it, so that the quantity is seen.
pub fn tell_free_in_the_catalog(
    builder: &mut Builder<'_, '_>,
    line: &OrderLine,
    item: &CatalogItem,
    quantity: Quantity,
) -> Result<(), MoneyError> {
    let by_catalog = builder.context.price_source == PriceSource::Connectwise;
    let currency = builder.context.currency;
    let said = match (line.amount, line.unit_price) {
        (Some(amount), _) => Some(amount),
        (None, unit) => unit.map(|unit| unit.extended(quantity, currency)).transpose()?,
    };
    let Some(amount) = said.filter(|amount| by_catalog && !amount.is_zero()) else { return Ok(()) };
    let (what, fix) = match line.charge {
        Charge::Recurring => (
            "billed at 0",
            "Enter the price of the catalog item, and on the addition once it is there; or leave both where it is to be free.",
        ),
        Charge::Setup
        | Charge::Overuse
        | Charge::Upgrade
        | Charge::Prorate
        | Charge::Refund
        | Charge::Cancellation
        | Charge::OneTime
        | Charge::Discount => (
            "not billed",
            "Enter the price of the catalog item and bill this once by hand, or leave it where it is to be free.",
        ),
    };
    let message = format!(
        "Catalog item {} ({}) costs nothing, and prices come from ConnectWise: {} {} is {what}, for which the source \
         charges {} {currency} (line {}).",
        item.identifier,
        item.id,
        quantity.shown(),
        builder.context.product_name(&line.product),
        amount.shown(currency),
        line.id,
    );
    let finding = builder.about(Code::Tu6002, &line.product, message);
    builder.find(finding.severity(Severity::Warning).amount(amount, currency).fix(fix));
    Ok(())
}

/// The text of an open-ended line: the order line's own, save where that tells of the days that its amount is for. `whole`
/// says that those are a whole period.
pub fn standing_text(line: &OrderLine, whole: bool) -> Option<&str> {
    let of_some_days = line.charge != Charge::Recurring || (line.amount.is_some() && !whole);
    line.description.as_deref().filter(|_| !of_some_days)
}

/// Writes a one-time line with the usual text and flags.
#[expect(clippy::too_many_arguments, reason = "the parts of one line, each once")]
pub fn write_once<'a>(
    builder: &mut Builder<'_, 'a>,
    home: &'a Agreement,
    line_id: &str,
    product: &ProductId,
    item: &'a CatalogItem,
    role: Role,
    money: Expressed,
    said: Option<&str>,
    reason: String,
    days: Period,
) -> Result<(), Stop> {
    write_as(builder, home, line_id, product, item, (role, role), money, said, reason, days)
}

/// The same, with the flags of another role.
#[expect(clippy::too_many_arguments, reason = "the parts of one line, each once")]
fn write_as<'a>(
    builder: &mut Builder<'_, 'a>,
    home: &'a Agreement,
    line_id: &str,
    product: &ProductId,
    item: &'a CatalogItem,
    (role, as_role): (Role, Role),
    money: Expressed,
    said: Option<&str>,
    reason: String,
    days: Period,
) -> Result<(), Stop> {
    let description = builder.description(product, said);
    let (bill, taxable) = flags(builder, as_role, product);
    let new = NewLine {
        line_id: line_id.to_owned(),
        product: product.clone(),
        item,
        role,
        money,
        description,
        bill,
        taxable,
        key_day: None,
        since: None,
        reason,
    };
    builder.one_time(home, new, days)
}
