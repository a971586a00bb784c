//! Cancellation orders: lines that were billed end, lines that never were go, fee and last overuse are billed once.

mod caught_up;
mod moved;
mod paid;
mod remains;
mod renewed;
mod told;
mod used;

use super::builder::{Builder, Edge};
use super::by_hand::{self, NamedLine};
use super::context::{Billing, Stop};
use super::late;
use super::lines::{self, Existing, bill_once, write_once};
use super::over;
use super::part;
use super::picture::Line;
use super::sales::once_item;
use super::twice;
use crate::billing;
use crate::feed::{BillingModel, Charge, Order, OrderKind, OrderLine};
use crate::finding::{Code, Finding, Severity};
use crate::ids::{AgreementId, CatalogItemId, ProductId};
use crate::money::{Exact, Money, Quantity, RoundingMode};
use crate::period::{Period, next_day, previous_day};
use crate::plan::{Role, Target};
use crate::planner::left_out;
use crate::psa::{Agreement, BillFlag};
use crate::settings::QuantityChange;
use jiff::civil::Date;
use moved::Moved;
use remains::Remains;
use std::collections::{BTreeMap, BTreeSet};

pub use caught_up::leave_before;
pub use remains::pieces_from;

/// What a cancellation is planned by.
struct Ending {
    /// The first day that is not paid for any more.
    day: Date,
    /// The whole billing period that it lies in, or that ends with it.
    period: Period,
    /// Products whose recurring line goes.
    removed: BTreeSet<ProductId>,
    /// Products whose used part is billed instead of the open period: their lines end before it.
    used_alone: BTreeSet<ProductId>,
    /// Products whose used part ConnectWise bills by the dates of their line: it was used, and ends with the last such day.
    by_dates: BTreeSet<ProductId>,
}

/// Plans a cancellation order.
pub fn plan(builder: &mut Builder<'_, '_>, order: &Order) -> Result<(), Stop> {
    let day = builder.not_before_go_live(order.effective);
    if adopt_what_is_there(builder, order, day) {
        // It is not known which lines end: fee and refund wait with them.
        return Ok(());
    }
    let moved = Moved::of(builder, order)?;
    let is_charged = moved.as_ref().is_none_or(|moved| moved.is_charged(builder, order));
    if is_charged && twice::is_cancelled_already(builder, order) {
        return Err(builder.keep_all_back());
    }
    if moved::stands_later(builder, order, day)? {
        return Ok(());
    }
    if renewed::is_taken_back(builder, order, day) {
        return Err(builder.keep_all_back());
    }
    tell_if_nothing_ends(builder, order);
    let period = period_of(builder, order, day)?;
    let by_dates = used::by_dates(builder, order);
    let (removed, used_alone) = Default::default();
    let mut ending = Ending { day, period, removed, used_alone, by_dates };
    ending.removed = lines_that_go(builder, &ending);
    ending.used_alone = used::alone(builder, order, &ending);
    if let Some(moved) = moved {
        moved.carry_out(builder, order, &ending)?;
    }
    let remains = Remains::of(builder, &ending);
    for line in &order.lines {
        match line.charge {
            Charge::Cancellation => fee(builder, order, line, order.effective)?,
            Charge::Recurring | Charge::Prorate => used::bill(builder, order, line, &ending, &remains)?,
            Charge::Overuse => {
                // Overuse counts the day of cancellation, the recurring fee does not.
                let used_to = next_day(order.effective);
                let days = Period::new(order.period.start().min(order.effective), used_to)?;
                let Some(item) = once_item(builder, line)? else { continue };
                bill_once(builder, line, item, order.period, line.period.unwrap_or(days))?;
            }
            Charge::Refund | Charge::Setup | Charge::Upgrade | Charge::OneTime | Charge::Discount => {
                let Some(item) = once_item(builder, line)? else { continue };
                let days = line.period.map_or_else(|| rest_of(order, day), Ok)?;
                let by_connectwise = builder.context.agreement.prorates;
                // Days are billed with the period that they are of, wherever the invoices lie.
                let billed_as = builder.period_of(order.period, days.start())?;
                let last = usual_last_day(builder, builder.context.agreement, day);
                let bills_nothing = by_connectwise
                    || (ending.removed.contains(&line.product)
                        && remains.bills(&line.product, days) != Some(true))
                    || ending.used_alone.contains(&line.product)
                    || billed_as.start() > last;
                let invoiced = builder.is_invoiced(builder.context.agreement, days.start())
                    && remains.was_billed(builder, &line.product, days) != Some(false);
                if line.charge == Charge::Refund && bills_nothing && !invoiced {
                    let name = builder.context.product_name(&line.product);
                    let message = format!(
                        "Order {} gives money back for {days} of {name}, which ConnectWise has not invoiced and will \
                         not: there is nothing to give back.",
                        order.shown()
                    );
                    let finding =
                        builder.about(Code::Tu6005, &line.product, message).severity(Severity::Info);
                    builder.find(finding);
                    continue;
                }
                keep_back_what_is_too_much(builder, line, billed_as, days)?;
                bill_once(builder, line, item, billed_as, days)?;
            }
        }
    }
    let later = later_lines(builder, order.effective);
    let lost = remains.lost(builder)?;
    let mut straddling = caught_up::straddling(builder, &ending);
    straddling.retain(|reaching| lost.iter().chain(&later).all(|line| line.target != reaching.line.target));
    let gone: Vec<&Line> = later.iter().chain(straddling.iter().map(|s| &s.line)).collect();
    give_back_later_periods(builder, order, &ending, &gone)?;
    let goes: Vec<&Line> = lost.iter().chain(gone.iter().copied()).collect();
    paid::tell_not_given_back(builder, order, &ending, &goes)?;
    for line in &straddling {
        let why = format!("Order {} cancels on {day}", order.shown());
        caught_up::cut(builder, line, (period, &why))?;
    }
    for line in lines_to_end(builder) {
        end_line(builder, order, &line, &ending)?;
        if let Some(product) = line.origin.as_ref().map(|o| o.product().clone()) {
            by_hand::tell_what_goes_on(builder, &product, &line, day);
        }
    }
    for line in later {
        let reason = format!("Order {} cancels on {day}: the line bills days after it.", order.shown());
        builder.delete(&line, reason)?;
    }
    for line in lost {
        let reason =
            format!("Order {} cancels on {day}: what the line belongs to is never billed.", order.shown());
        builder.delete(&line, reason)?;
    }
    Ok(())
}

/// What nothing of ours ever billed cannot end: it may be billed by somebody else's line, or its sale has not come yet.
fn tell_if_nothing_ends(builder: &mut Builder<'_, '_>, order: &Order) {
    let recurring = builder.own_links().iter().any(|l| l.role == Role::Recurring)
        || builder.own_lines().any(|l| l.origin.as_ref().is_some_and(|o| o.role() == Role::Recurring));
    let is_billed = builder.context.subscription.is_none_or(|sold| {
        let products = sold.items.iter().map(|i| &i.product).chain(sold.plan.iter().map(|p| &p.product));
        let billed = |product: &ProductId| !matches!(builder.context.billing_of(product), Some(Billing::Not));
        sold.billing_model == BillingModel::Advance && products.into_iter().any(billed)
    });
    if recurring || !is_billed {
        return;
    }
    let message = format!(
        "Order {} cancels subscription {}, and trueup bills nothing of it: nothing ends.",
        order.shown(),
        builder.context.task.subscription
    );
    let finding = Finding::new(Code::Tu8006, builder.context.subject(), message)
        .severity(Severity::Warning)
        .fix("See whether a line made by hand bills it in ConnectWise, and end that one.");
    builder.find(finding);
}

/// The billing period of the cancellation. An order may name only what was used of it, up to the day, or only the rest.
fn period_of(builder: &Builder<'_, '_>, order: &Order, day: Date) -> Result<Period, Stop> {
    let said = order.period;
    let known = if said.end() <= day { Edge::Start } else { Edge::End };
    Ok(builder.whole_around(said, known)?)
}

/// Products that nothing bills once the lines that were never billed are gone.
fn lines_that_go(builder: &Builder<'_, '_>, ending: &Ending) -> BTreeSet<ProductId> {
    let product_of = |l: &Line| l.origin.as_ref().map(|o| o.product().clone());
    let (goes, stays): (Vec<Line>, Vec<Line>) =
        lines_to_end(builder).into_iter().partition(|l| never_billed(builder, l, ending));
    // A line that ended before the period bills nothing of it.
    let bills = |l: &&Line| l.state.cancelled.is_none_or(|last| last >= ending.period.start());
    let stays: BTreeSet<ProductId> = stays.iter().filter(bills).filter_map(product_of).collect();
    let gone = goes.iter().filter_map(product_of).chain(deleted_before(builder));
    gone.filter(|product| !stays.contains(product)).collect()
}

/// From the day of cancellation to the end of its period.
fn rest_of(order: &Order, day: Date) -> Result<Period, Stop> {
    Ok(Period::new(day, order.period.end().max(next_day(day)))?)
}

/// Recurring lines of the subscription, whatever agreement they are on. What is charged after its period is billed by
/// lines for days that were used: they stay.
fn lines_to_end<'a>(builder: &Builder<'_, 'a>) -> Vec<Line<'a>> {
    let advance = is_advance(builder);
    builder
        .own_lines()
        .filter(|l| {
            l.origin.as_ref().is_some_and(|o| o.role() == Role::Recurring) && (advance || l.state.is_open())
        })
        .cloned()
        .collect()
}

/// Products whose recurring line an earlier run of this very task removed.
fn deleted_before(builder: &Builder<'_, '_>) -> Vec<ProductId> {
    builder
        .own_links()
        .iter()
        .filter(|l| l.role == Role::Recurring && l.written.is_open() && late::is_removed_by_this(builder, l))
        .map(|l| l.product.clone())
        .collect()
}

/// What the subscription holds and trueup has not written yet is taken as its lines (A7). Whether one of them cannot be
/// told from others.
fn adopt_what_is_there(builder: &mut Builder<'_, '_>, order: &Order, day: Date) -> bool {
    let mut several = false;
    let mut products: BTreeSet<ProductId> = builder
        .context
        .subscription
        .map(|s| {
            s.items
                .iter()
                .map(|i| i.product.clone())
                .chain(s.plan.iter().map(|p| p.product.clone()))
                .collect()
        })
        .unwrap_or_default();
    products.extend(
        order
            .lines
            .iter()
            .filter(|l| matches!(l.charge, Charge::Recurring | Charge::Refund | Charge::Prorate))
            .map(|l| l.product.clone()),
    );
    for product in products {
        if let Some(Billing::As(item)) = builder.context.billing_of(&product) {
            // What somebody ended already is as it should be.
            if matches!(by_hand::named(builder, &product, item, Date::MIN, false), NamedLine::Unusable) {
                several |= builder.own_links().is_empty();
                continue;
            }
            // A finding is made where it cannot be told; a line that is found is in the picture from here on.
            match lines::existing_line(builder, &product, item, day) {
                Existing::Line(line) => {
                    let taken_now = builder.was_taken_over_now(&line);
                    let sold = sold_of(builder, &product).filter(|sold| taken_now && !sold.is_zero());
                    several |= sold.is_some_and(|sold| {
                        let known = format!("the subscription has {}", sold.shown());
                        let bills = line.billed_quantity();
                        by_hand::bills_for_others(builder, &product, &line, sold, &known)
                            || bills != sold
                                && by_hand::is_anothers(builder, &product, &line, &known, Severity::Error)
                    });
                }
                // Nothing of it is known: a line by hand on another agreement may be what is to end.
                Existing::Nothing => {
                    several |= by_hand::is_elsewhere(builder, &product, item, day, Severity::Error);
                }
                Existing::Undecided => {}
                Existing::Several => several = true,
            }
        }
    }
    // A line that a person touched is said and kept back, also where nothing in the order names its product.
    for line in lines_to_end(builder).into_iter().filter(touched_by_person) {
        let product = line.origin.as_ref().map_or_else(|| ProductId::from(""), |o| o.product().clone());
        match lines::judge(builder, &product, line) {
            Existing::Line(_) | Existing::Nothing | Existing::Undecided | Existing::Several => {}
        }
    }
    several
}

/// How many of a product the subscription's record tells.
fn sold_of(builder: &Builder<'_, '_>, product: &ProductId) -> Option<Quantity> {
    let sold = builder.context.subscription?;
    let mut told =
        sold.items.iter().filter(|item| item.product == *product).map(|item| item.quantity).peekable();
    told.peek()?;
    let sum = told.try_fold(Quantity::ZERO, Quantity::plus).ok()?;
    Some(lines::billed_quantity(builder, product, sum))
}

/// The last day that a line bills when it ends for a cancellation on `day`. The day itself is not paid for (decision
/// A8): that shows where ConnectWise prorates, and on the first day of a period, which would be billed whole.
fn last_day(builder: &Builder<'_, '_>, agreement: &Agreement, line: &Line, ending: &Ending) -> Date {
    let product = line.origin.as_ref().map(|o| o.product());
    if product.is_some_and(|product| ending.used_alone.contains(product)) {
        return builder.last_before(agreement, ending.period.start());
    }
    usual_last_day(builder, agreement, ending.day)
}

/// The last day that a line bills when what it bills ends on `day`, the first day that is not paid for.
pub fn usual_last_day(builder: &Builder<'_, '_>, agreement: &Agreement, day: Date) -> Date {
    let begins_period = billing::invoice_period(builder.context.world.snapshot, agreement, day)
        .is_some_and(|period| period.start() == day);
    let usual = if agreement.prorates || begins_period { previous_day(day) } else { day };
    // An invoice that stands for the next period is not to bill the line: that one is not owed.
    builder.last_owed(agreement, day).map_or(usual, |last| usual.min(last))
}

fn end_line(builder: &mut Builder<'_, '_>, order: &Order, line: &Line, ending: &Ending) -> Result<(), Stop> {
    let Some(agreement) = builder.agreement_of(line) else { return Ok(()) };
    if touched_by_person(line) {
        return Ok(());
    }
    let day = ending.day;
    let last = last_day(builder, agreement, line, ending);
    let name = line.origin.as_ref().map_or("", |o| builder.context.product_name(o.product()));
    if !builder.is_billed(line) {
        if goes(builder, line, ending) {
            let reason =
                format!("Order {} cancels {name}, which was never billed: the line goes.", order.shown());
            tell_used_days(builder, order, line, ending)?;
            return builder.delete(line, reason);
        }
        let reason = format!("Order {} cancels {name} on {day}.", order.shown());
        return builder.end(line, last.max(line.state.effective), reason);
    }
    let invoiced_to = builder.last_invoiced_day(agreement);
    let credits = builder.context.world.settings.credits.is_on();
    let last = match invoiced_to {
        Some(invoiced) if last < invoiced && !credits => {
            if line.state.cancelled.is_none_or(|at| at > invoiced) {
                let product =
                    line.origin.as_ref().map_or_else(|| ProductId::from(""), |o| o.product().clone());
                let message = format!(
                    "{name} is cancelled on {day}, but invoiced to {invoiced}, and credits are off: it ends on \
                     {invoiced}."
                );
                let finding = builder.about(Code::Tu4005, &product, message);
                builder.find(finding);
            }
            invoiced
        }
        Some(_) | None => last,
    };
    let reason = format!("Order {} cancels {name} on {day}: it ends on {last}.", order.shown());
    builder.end(line, last, reason)
}

/// Says what the used days of a line come to that goes without them, where the order has no line for them (E13).
fn tell_used_days(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    line: &Line,
    ending: &Ending,
) -> Result<(), Stop> {
    let product = line.origin.as_ref().map_or_else(|| ProductId::from(""), |o| o.product().clone());
    let charged = order
        .lines
        .iter()
        .any(|l| matches!(l.charge, Charge::Recurring | Charge::Prorate) && l.product == product);
    let first = line.state.effective.max(ending.period.start());
    let Ok(used) = Period::new(first, ending.day.min(ending.period.end())) else { return Ok(()) };
    if charged || line.state.cancelled.is_some_and(|last| last < first) {
        return Ok(());
    }
    let share = builder.share(ending.period, used)?;
    let (price, _) = invoiced_of(line, share.exact()?)?;
    if price.is_zero() {
        return Ok(());
    }
    Ok(builder.left_out(&product, used, price, left_out::NEVER_INVOICED)?)
}

/// Keeps a cancellation back whose refund is larger than what its product is billed for the whole period and its days: the source
/// may reckon the rest of a term, of which one period is billed at a time, or an order before it has not come yet. It waits
/// whole, since that one finds nothing to change of a line that has ended.
fn keep_back_what_is_too_much(
    builder: &mut Builder<'_, '_>,
    line: &OrderLine,
    period: Period,
    days: Period,
) -> Result<(), Stop> {
    let Some(amount) = line.amount.filter(|_| line.charge == Charge::Refund) else { return Ok(()) };
    if !builder.context.world.settings.credits.is_on() {
        // It is told and not written.
        return Ok(());
    }
    let whole = Exact::ONE;
    let units = builder.units_in(days, period)?;
    let units = if units.minus(whole)?.is_negative() { whole } else { units };
    let mut most = Exact::ZERO;
    let mut known = false;
    let of_product: Vec<Line> = builder
        .own_lines()
        .filter(|l| l.origin.as_ref().is_some_and(|o| *o.product() == line.product))
        .cloned()
        .collect();
    for own in &of_product {
        let recurs = own.origin.as_ref().is_some_and(|o| o.role() == Role::Recurring);
        let (price, _) = worth(own, if recurs { units } else { whole })?;
        known |= recurs;
        // What was given back already may have been for other days.
        if !price.is_negative() && !own.is_made_by(builder.context.order_id()) {
            most = most.plus(price)?;
        }
    }
    let given = amount.abs();
    let tolerance = builder.tolerance()?;
    if !known || !most.plus(tolerance)?.minus(given.exact())?.is_negative() {
        return Ok(());
    }
    let currency = builder.context.currency;
    let most = Money::new(most.round(currency.places(), RoundingMode::HalfUp)?);
    let message = format!(
        "Line {} gives back {} {currency} of {} for {days}, of which at most {} are billed: it may be for other days than \
         these, or an order before it is missing. The cancellation waits, and its lines are billed on.",
        line.id,
        given.shown(currency),
        builder.context.product_name(&line.product),
        most.shown(currency)
    );
    let finding = builder
        .about(Code::Tu4006, &line.product, message)
        .severity(Severity::Error)
        .fix("Send the order that is missing, or this one with what these days come to or with the days that the amount is for.");
    builder.withhold(finding);
    Err(builder.keep_all_back())
}

/// Whole periods after the cancelled one that were invoiced before the order came: nobody owes them, whatever the order
/// says of its own period. `gone` are the one-time lines of those days that go unbilled.
fn give_back_later_periods(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    ending: &Ending,
    gone: &[&Line],
) -> Result<(), Stop> {
    // After a transfer days of the same subscription may have been invoiced to two customers.
    let mut agreements: BTreeMap<AgreementId, &Agreement> = BTreeMap::new();
    for line in lines_to_end(builder) {
        agreements.extend(builder.agreement_of(&line).map(|agreement| (agreement.id, agreement)));
    }
    for agreement in agreements.into_values() {
        give_back_of(builder, order, ending, gone, agreement)?;
    }
    Ok(())
}

/// What the invoices of one agreement have billed of whole periods after the cancelled one.
fn give_back_of<'a>(
    builder: &mut Builder<'_, 'a>,
    order: &Order,
    ending: &Ending,
    gone: &[&Line],
    agreement: &'a Agreement,
) -> Result<(), Stop> {
    let Some(paid) = builder.last_invoiced_day(agreement).map(next_day) else { return Ok(()) };
    let billed: Vec<Line> = lines_to_end(builder)
        .into_iter()
        .filter(|l| l.agreement == agreement.id && !touched_by_person(l) && builder.is_billed(l))
        .collect();
    let products: BTreeSet<ProductId> =
        billed.iter().filter_map(|l| l.origin.as_ref().map(|o| o.product().clone())).collect();
    for product in products {
        let refunded = order
            .lines
            .iter()
            .filter(|l| l.charge == Charge::Refund && l.product == product)
            .filter_map(|l| l.period)
            .map(Period::end)
            .max();
        let from = refunded.map_or(ending.period.end(), |to| to.max(ending.period.end()));
        let Ok(days) = Period::new(from, builder.paid_for(agreement, paid)) else { continue };
        let mut value = (Exact::ZERO, Exact::ZERO);
        let mut item = None;
        for line in billed.iter().filter(|l| l.origin.as_ref().is_some_and(|o| *o.product() == product)) {
            let end = line.state.cancelled.map_or(paid, |last| paid.min(next_day(last)));
            let end = builder.paid_for(agreement, end);
            let first = builder.paid_for(agreement, line.state.effective);
            let Ok(own) = Period::new(from.max(first), end) else { continue };
            let units = builder.units_in(own, ending.period)?;
            value = add(value, invoiced_of(line, units)?)?;
            item = Some(line.state.catalog_item);
        }
        let of_it = billed.iter().filter(|l| l.origin.as_ref().is_some_and(|o| *o.product() == product));
        let first = of_it.map(|l| l.state.effective).min().unwrap_or(days.start());
        let gone_here: Vec<&Line> =
            gone.iter().copied().filter(|line| line.agreement == agreement.id).collect();
        value = add(value, of_changes(builder, (&product, agreement), ending, (days, first), &gone_here)?)?;
        let told = told::of_decreases(builder, &product, &billed, ending, days)?;
        value = (value.0.minus(told.0)?, value.1.minus(told.1)?);
        let Some(item) = item.filter(|_| !value.0.is_negative() && !value.0.is_zero()) else { continue };
        if let Ok(invoiced) = Period::new(from, paid) {
            builder.tell_caught_up_by_shares(&product, agreement, invoiced);
        }
        give_back(builder, order, agreement, (&product, item), value, days)?;
    }
    Ok(())
}

/// The line of the order under which days are given back on an agreement.
pub fn key_of_give_back(builder: &Builder<'_, '_>, agreement: &Agreement, product: &ProductId) -> String {
    match agreement.id == builder.context.agreement.id {
        true => format!("after:{product}"),
        false => format!("after:{product}@{}", agreement.id),
    }
}

/// Gives price and cost of days back that were invoiced before the order could be written; where credits are off, what
/// they come to is told.
pub fn give_back<'a>(
    builder: &mut Builder<'_, 'a>,
    order: &Order,
    agreement: &'a Agreement,
    (product, item): (&ProductId, CatalogItemId),
    (price, cost): (Exact, Exact),
    days: Period,
) -> Result<(), Stop> {
    let context = builder.context;
    let credits = context.world.settings.credits.is_on();
    let Some(item) = context.world.snapshot.catalog.get(&item).filter(|_| credits) else {
        return Ok(builder.left_out(product, days, Exact::ZERO.minus(price)?, left_out::CREDITS_OFF)?);
    };
    let money = part::one_unit(context.world.settings, context.currency, price, cost)?;
    let money = part::Expressed {
        quantity: -money.quantity,
        exact: Exact::ZERO.minus(money.exact)?,
        exact_cost: Exact::ZERO.minus(money.exact_cost)?,
        ..money
    };
    let reason = format!("{days} was invoiced before order {} could be written.", order.shown());
    let key_line = key_of_give_back(builder, agreement, product);
    write_once(builder, agreement, &key_line, product, item, Role::Refund, money, None, reason, days)
}

fn add(a: (Exact, Exact), b: (Exact, Exact)) -> Result<(Exact, Exact), Stop> {
    Ok((a.0.plus(b.0)?, a.1.plus(b.1)?))
}

/// Price and cost of a share of a line.
pub fn worth(line: &Line, share: Exact) -> Result<(Exact, Exact), Stop> {
    let units = line.billed_quantity().exact().times(share)?;
    Ok((line.state.unit_price.exact().times(units)?, line.state.unit_cost.exact().times(units)?))
}

/// What invoices bill of a share of a line: nothing where it is set not to be billed.
fn invoiced_of(line: &Line, share: Exact) -> Result<(Exact, Exact), Stop> {
    match line.state.bill {
        BillFlag::Billable => worth(line, share),
        BillFlag::DoNotBill | BillFlag::NoCharge => Ok((Exact::ZERO, Exact::ZERO)),
    }
}

/// What changes billed or gave back of the invoiced days after the cancelled period, by one-time lines. Where lines are
/// edited in place they show the level of now: the invoices since the `first` day that they billed were made at that level
/// less what was caught up.
fn of_changes(
    builder: &Builder<'_, '_>,
    (product, agreement): (&ProductId, &Agreement),
    ending: &Ending,
    (days, first): (Period, Date),
    gone: &[&Line],
) -> Result<(Exact, Exact), Stop> {
    let edited = builder.context.world.settings.quantity_change == QuantityChange::EditInPlace;
    let goes = |line: &Line| gone.iter().any(|l| l.target == line.target);
    let parts: Vec<Line> = builder
        .own_lines()
        .filter(|l| l.agreement == agreement.id)
        .filter(|l| l.is_for(product, Role::Prorate) && !l.is_made_by(builder.context.order_id()))
        .cloned()
        .collect();
    let mut sum = (Exact::ZERO, Exact::ZERO);
    for line in parts {
        let Some(own) = line.origin.as_ref().and_then(|o| o.true_period()) else { continue };
        let Some(shared) = own.intersect(days) else { continue };
        // What took the product away left the line at its level: that is its end, and no new one.
        let took_away = line.origin.as_ref().and_then(|o| o.order()).is_some_and(|by| {
            over::carried_out(builder).any(|order| order.id == *by && over::ends(order, product))
        });
        let in_level = edited && own.end() > first && !took_away;
        if goes(&line) != in_level {
            continue;
        }
        let all = builder.units_in(own, ending.period)?;
        let (price, cost) = invoiced_of(&line, builder.units_in(shared, ending.period)?.over(all)?)?;
        sum = if in_level { (sum.0.minus(price)?, sum.1.minus(cost)?) } else { add(sum, (price, cost))? };
    }
    Ok(sum)
}

/// Whether a line has billed nothing and has nothing to bill: it began in the period of the cancellation, or later.
/// A line that began in an earlier period has whole periods to bill, even where no invoice was made yet.
///
/// A line that a change put in the place of one of earlier periods, up to the day before it, is not new: it has days
/// that were used, and ends as the other one would have. Where ConnectWise prorates, the same holds for whatever took the
/// place of a billed line, and for what the order charges the used days of: they are the line's. And for a full line with its
/// correction beside it.
fn never_billed(builder: &Builder<'_, '_>, line: &Line, ending: &Ending) -> bool {
    let Ending { day, period, .. } = *ending;
    let prorates = builder.agreement_of(line).is_some_and(|a| a.prorates);
    let product = line.origin.as_ref().map(|o| o.product());
    let of_it = |l: &&Line| l.origin.as_ref().map(|o| o.product()) == product;
    let begins = line.state.effective;
    let replaced = || {
        let earlier = builder.own_links().iter().any(|link| {
            link.role == Role::Recurring
                && Some(&link.product) == product
                && link.written.effective < period.start()
        });
        let up_to_it = |l: &Line| l.state.cancelled.is_some_and(|last| next_day(last) == begins);
        earlier && builder.own_lines().filter(of_it).any(up_to_it)
    };
    let by_connectwise = || {
        product.is_some_and(|product| ending.by_dates.contains(product))
            || prorates && lines_to_end(builder).iter().filter(of_it).any(|l| builder.is_billed(l))
    };
    let used_days = begins < day && (is_used_whole(period, day) || replaced() || by_connectwise());
    // The first invoice that holds it may stand for a period that is not owed any more.
    let owed = builder.agreement_of(line).and_then(|agreement| builder.last_owed(agreement, day));
    let owes_nothing = begins < day && owed.is_some_and(|owed| owed < begins);
    !builder.is_billed(line)
        && (owes_nothing
            || line.state.effective >= period.start()
                && !used_days
                && !follows_a_part(builder, line, day)
                && !remains::stands_for_used_days(builder, line, period))
}

/// Whether a cancellation is for the end of its period: marketplaces name the first day after it, or its last one.
fn is_used_whole(period: Period, day: Date) -> bool {
    day >= period.last_day() && period.days() > 1
}

/// Whether the days up to the first one of a line were of its sale as well, billed by a part or left out: the line is as old
/// as they are, and its days since were used.
fn follows_a_part(builder: &Builder<'_, '_>, line: &Line, day: Date) -> bool {
    let begins = line.state.effective;
    let Some(product) = line.origin.as_ref().map(|o| o.product()).filter(|_| begins < day) else {
        return false;
    };
    // Where a line of its own came before it, that one says what becomes of this one.
    let replaces = builder.own_links().iter().any(|link| {
        link.role == Role::Recurring && &link.product == product && link.written.effective < begins
    });
    if replaces {
        return false;
    }
    // Since when the state holds is remembered where it is not the line's first day. A full line that a change put in the
    // place of another one, from the same day on, is as old as that.
    let held = line.origin.as_ref().and_then(|o| o.true_period());
    let is_older = |held: Period| held.start() < begins;
    let stands_for_older = || {
        builder
            .own_links_for(product, Role::Recurring)
            .any(|l| l.deleted && l.written.effective == begins && l.true_period.is_some_and(is_older))
    };
    held.is_some_and(|held| is_older(held) || stands_for_older())
        || builder.own_lines().filter(|l| l.is_for(product, Role::Prorate)).any(|part| {
            let said = part.origin.as_ref().and_then(|o| o.true_period());
            let end = said.map(Period::end).or(part.state.cancelled.map(next_day));
            let credit = part.state.quantity.is_negative() || part.state.unit_price.is_negative();
            end == Some(begins) && !credit
        })
}

/// Whether a line is taken away instead of ended.
fn goes(builder: &Builder<'_, '_>, line: &Line, ending: &Ending) -> bool {
    let Ending { day, period, .. } = *ending;
    let product = line.origin.as_ref().map(|o| o.product());
    let in_place_of_it = line.state.effective >= period.start()
        && product.is_some_and(|product| ending.used_alone.contains(product));
    !builder.is_billed(line)
        && (never_billed(builder, line, ending) || line.state.effective > day || in_place_of_it)
}

/// A person ended or changed it: a finding said so, and it is left alone.
fn touched_by_person(line: &Line) -> bool {
    match (&line.target, &line.origin) {
        (Target::Existing(_), Some(origin)) => {
            origin.written().cancelled != line.state.cancelled
                || origin.written().quantity != line.state.quantity
                || origin.written().unit_price != line.state.unit_price
        }
        (Target::Existing(_) | Target::CreatedBy(_), _) => false,
    }
}

/// A cancellation takes away what bills or gives back days after it alone; a one-time line for days already used stays.
fn later_lines<'a>(builder: &Builder<'_, 'a>, day: Date) -> Vec<Line<'a>> {
    builder
        .own_lines()
        .filter(|l| {
            l.origin.as_ref().is_some_and(|o| {
                matches!(o.role(), Role::Prorate | Role::Refund | Role::Setup | Role::OneTime)
                    && o.true_period().map_or(l.state.effective, Period::start) > day
            }) && !l.is_made_by(builder.context.order_id())
                && !builder.is_billed(l)
                && !touched_by_person(l)
        })
        .cloned()
        .collect()
}

/// Whether the recurring fee is charged before its period; what is known of no record is.
fn is_advance(builder: &Builder<'_, '_>) -> bool {
    builder.context.subscription.is_none_or(|s| s.billing_model == BillingModel::Advance)
}

/// The cancellation fee: quantity 1 of the fee's own catalog item.
pub fn fee(builder: &mut Builder<'_, '_>, order: &Order, line: &OrderLine, day: Date) -> Result<(), Stop> {
    let amount = match (line.amount, line.unit_price) {
        (Some(amount), _) => amount.exact(),
        (None, Some(price)) => {
            let quantity = if line.quantity.is_zero() { Quantity::from(1) } else { line.quantity };
            price.exact().times(quantity.exact())?
        }
        (None, None) => Exact::ZERO,
    };
    if amount.is_zero() {
        return Ok(());
    }
    let Some(item) = builder.context.fee_item() else {
        let subject = crate::finding::Subject { detail: Some("cancellation".into()), ..builder.subject() };
        let message =
            format!("Order {} charges a cancellation fee, which has no catalog item.", order.shown());
        builder.withhold(crate::finding::Finding::new(Code::Tu2005, subject, message));
        return Ok(());
    };
    let cost = match (line.cost_amount, line.unit_cost) {
        (Some(cost), _) => cost.exact(),
        (None, Some(cost)) => cost.exact(),
        (None, None) => Exact::ZERO,
    };
    if amount.is_negative() && !builder.context.world.settings.credits.is_on() {
        let days = line.period.map_or_else(|| rest_of(order, day), Ok)?;
        builder.left_out(&line.product, days, amount, left_out::CREDITS_OFF)?;
        return Ok(());
    }
    let settings = builder.context.world.settings;
    let currency = builder.context.currency;
    let mut money = part::one_unit(settings, currency, amount, cost)?;
    money.formula = format!("{} as the order says", money.unit_price.shown(currency));
    let reason = format!("Order {} charges a fee for cancelling on {day}.", order.shown());
    // What is cancelled on a day that is not billed charges its fee on that day, whatever days it is for.
    let unbilled = order.kind == OrderKind::Cancellation && builder.not_before_go_live(day) > day;
    let days = match line.period {
        Some(_) | None if unbilled => Period::new(day, next_day(day))?,
        Some(period) => period,
        None => rest_of(order, day)?,
    };
    let agreement = builder.context.agreement;
    let said = line.description.as_deref().or(Some("Cancellation fee"));
    write_once(
        builder,
        agreement,
        line.id.as_str(),
        &line.product,
        item,
        Role::Cancellation,
        money,
        said,
        reason,
        days,
    )
}
