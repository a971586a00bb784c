//! What stands already where a sale would write a line: lines by hand, and what another order sold. Before anything of a
//! sale is written it is known which of its lines are settled by them, and which wait for an answer.

use super::Sold;
use crate::feed::{Charge, Order, OrderKind, OrderLine};
use crate::finding::{Code, Finding, Severity, Subject};
use crate::ids::AdditionId;
use crate::money::{Money, Quantity};
use crate::period::{Period, previous_day};
use crate::plan::Role;
use crate::planner::AdoptionAnswer;
use crate::planner::builder::Builder;
use crate::planner::by_hand::{self, NamedLine};
use crate::planner::context::Stop;
use crate::planner::late;
use crate::planner::lines::{self, billed_quantity, item_for, several_open};
use crate::planner::part;
use crate::planner::picture::Line;
use jiff::civil::Date;

/// For each line of the order what is to be written of it as a recurring line. Where one waits for somebody's answer,
/// all of the order does: its setup fee and its parts belong to what may be billed already.
pub(super) fn settle<'a>(
    builder: &mut Builder<'_, 'a>,
    order: &Order,
    start: Date,
) -> Result<Vec<Option<Sold<'a>>>, Stop> {
    let kept_back = builder.kept_back();
    let mut all = Vec::with_capacity(order.lines.len());
    for line in &order.lines {
        let sold =
            if line.charge == Charge::Recurring { sold_of(builder, order, line, start)? } else { None };
        let Some(sold) = sold else {
            all.push(None);
            continue;
        };
        // What an earlier run of this order wrote is no question any more.
        let written = builder
            .own_lines()
            .any(|l| l.is_for(&line.product, Role::Recurring) && l.is_made_by(builder.context.order_id()));
        let stands = !written
            && (is_taken_over(builder, order, line, &sold)?
                || is_sold_already(builder, order, line, sold.start));
        all.push(if stands { None } else { Some(sold) });
    }
    if builder.kept_back() > kept_back {
        return Err(builder.keep_all_back());
    }
    Ok(all)
}

/// What a line of the order sells, where it is billed by an open-ended line.
fn sold_of<'a>(
    builder: &mut Builder<'_, 'a>,
    order: &Order,
    line: &OrderLine,
    start: Date,
) -> Result<Option<Sold<'a>>, Stop> {
    let quantity = billed_quantity(builder, &line.product, line.quantity);
    if quantity.is_zero() {
        return Ok(None);
    }
    let Some(item) = item_for(builder, line)? else { return Ok(None) };
    if lines::is_billed_afterwards(builder, line) {
        return Ok(None);
    }
    let start = own_start(order, line, start);
    let begin = builder.not_before_billed(&line.product, start);
    let period = builder.period_of(order.period, begin)?;
    tell_other_end(builder, order, line, period);
    Ok(Some(Sold { item, quantity, start, begin, period }))
}

/// A line that names days of its own begins with them, where that is later than the rest of the order.
fn own_start(order: &Order, line: &OrderLine, start: Date) -> Date {
    let own = line.period.filter(|own| *own != order.period).map(Period::start);
    own.map_or(start, |own| own.max(start))
}

/// Says that a line names days which end elsewhere than its billing period: an open-ended line has no end of its own.
fn tell_other_end(builder: &mut Builder<'_, '_>, order: &Order, line: &OrderLine, period: Period) {
    let Some(own) = line.period.filter(|own| *own != order.period && own.end() != period.end()) else {
        return;
    };
    if builder.context.cycle.boundary(own.start(), 1) == Ok(own.end()) {
        // A whole period, laid from another day.
        return;
    }
    let message = format!(
        "Line {} of order {} sells {} for {own}; it is billed from then on by periods like {period}, and does not end on \
         {}.",
        line.id,
        order.shown(),
        builder.context.product_name(&line.product),
        previous_day(own.end())
    );
    let finding = builder
        .about(Code::Tu4006, &line.product, message)
        .severity(Severity::Warning)
        .fix("Send a cancellation where it ends, or a line with charge `one_time` where it is billed once.");
    builder.find(finding);
}

/// Whether a part that the order names lies in days that a line by hand bills, which is taken over as the sale's line.
pub(super) fn is_billed_by_hand(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    line: &OrderLine,
    days: Period,
) -> bool {
    let by_hand = builder.own_lines().any(|l| {
        l.is_for(&line.product, Role::Recurring)
            && l.origin.as_ref().is_some_and(|o| o.order().is_none())
            && l.state.bills_on(days.start())
            && is_here(builder, l)
    });
    if by_hand {
        let message = format!(
            "Order {} names a part of {} for {days}, and the line that was taken over bills these days: it is not written.",
            order.shown(),
            builder.context.product_name(&line.product)
        );
        let finding = builder.about(Code::Tu6005, &line.product, message).severity(Severity::Info);
        builder.find(finding);
    }
    by_hand
}

/// Whether a line is on an agreement of the customer whom the task bills.
fn is_here(builder: &Builder<'_, '_>, line: &Line) -> bool {
    builder.agreement_of(line).is_none_or(|agreement| agreement.company == builder.context.company)
}

/// First day at a customer who bills already: an open addition with the item that trueup did not write is proposed for
/// adoption, taken over, or left beside, as the answer says. Whether the line of this sale is settled by it.
fn is_taken_over(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    line: &OrderLine,
    sold: &Sold<'_>,
) -> Result<bool, Stop> {
    let Sold { item, begin: from, .. } = *sold;
    // One taken over before is this subscription's line already: not where it ended before the sale, nor where another
    // customer had it.
    let adopted: Vec<Line> = builder
        .own_lines()
        .filter(|l| {
            l.is_for(&line.product, Role::Recurring)
                && l.origin.as_ref().is_some_and(|o| o.order().is_none())
                && l.state.cancelled.is_none_or(|last| last >= from)
                && is_here(builder, l)
        })
        .cloned()
        .collect();
    if !adopted.is_empty() {
        return settled(builder, order, line, sold, &adopted);
    }
    match by_hand::named(builder, &line.product, item, from, true) {
        NamedLine::Line(_) => {
            let there = builder.mapped_lines(&line.product);
            return settled(builder, order, line, sold, &there);
        }
        NamedLine::Unusable => return Ok(true),
        NamedLine::None => {}
    }
    let context = builder.context;
    let task = context.task;
    let name = context.product_name(&line.product);
    if builder.adoption() == AdoptionAnswer::CreateBeside {
        return Ok(false);
    }
    let found = builder.unclaimed(item, from);
    match (builder.adoption(), found.as_slice()) {
        (_, []) => Ok(by_hand::is_elsewhere(builder, &line.product, item, from, Severity::Warning)),
        (AdoptionAnswer::TakeSingle, [single]) => {
            let single = single.clone();
            if let Some(last) = by_hand::end_of(builder, &single) {
                by_hand::tell_end(builder, &line.product, &single, last);
                return Ok(true);
            }
            let known = format!("the order sells {}", sold.quantity.shown());
            if single.billed_quantity() != sold.quantity
                && by_hand::is_anothers(builder, &line.product, &single, &known, Severity::Warning)
            {
                return Ok(true);
            }
            builder.adopt(&single, &line.product);
            settled(builder, order, line, sold, &[single])
        }
        (_, [single]) => {
            let id = by_hand::id_of(single);
            let message = format!(
                "{name} is on the agreement already, not written by trueup: {}. It is proposed for adoption, and the new \
                 line waits.",
                by_hand::shown(builder, single)
            );
            let subject = Subject {
                addition: id.parse().ok().map(AdditionId),
                agreement: Some(single.agreement),
                ..context.subject_of_product(&line.product)
            };
            let finding = Finding::new(Code::Tu3007, subject, message)
                .severity(Severity::Warning)
                .fix(format!(
                    "Take it over with `apply --all --adopt` or the mapping `addition,subscription:{}/{},{id}`; \
                     `--no-adopt` creates a line beside it.",
                    task.subscription, line.product
                ));
            builder.withhold(finding);
            Ok(true)
        }
        (_, several) => {
            let finding = several_open(builder, &line.product, several).severity(Severity::Warning);
            builder.withhold(finding);
            Ok(true)
        }
    }
}

/// A sale of what another order of the subscription bills already: a second line would bill it twice, so it waits.
fn is_sold_already(builder: &mut Builder<'_, '_>, order: &Order, line: &OrderLine, start: Date) -> bool {
    if order.kind != OrderKind::Sales || builder.adoption() == AdoptionAnswer::CreateBeside {
        return false;
    }
    let this = builder.context.order_id();
    let there = builder.own_lines().find(|l| {
        let other = l.origin.as_ref().and_then(|o| o.order());
        l.is_for(&line.product, Role::Recurring)
            && l.state.is_open()
            && other.is_some_and(|other| Some(other) != this)
            && late::later_state(builder, l, start).is_none()
    });
    let Some(there) = there.cloned() else { return false };
    let by = there.origin.as_ref().and_then(|o| o.order()).map(ToString::to_string).unwrap_or_default();
    let message = format!(
        "Order {} sells {} to subscription {}, and order {by} bills {} of it there already: a second line would bill \
         it twice, so nothing is written for it.",
        order.shown(),
        builder.context.product_name(&line.product),
        builder.context.task.subscription,
        there.state.quantity.shown(),
    );
    let finding = builder.about(Code::Tu5001, &line.product, message).severity(Severity::Error).fix(
        "Ignore the task with a reason where the order was sent twice; where it adds to what is sold, have the source \
         send a change, or write a line beside it with `--no-adopt`.",
    );
    builder.withhold(finding);
    true
}

/// Says where the lines that were taken over bill something else than what was sold.
fn settled(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    line: &OrderLine,
    sold: &Sold<'_>,
    there: &[Line<'_>],
) -> Result<bool, Stop> {
    let name = builder.context.product_name(&line.product);
    let mut bills = Quantity::ZERO;
    for one in there {
        bills = bills.plus(one.billed_quantity())?;
    }
    if let [single] = there {
        by_hand::tell_if_not_billed(builder, &line.product, single, sold.quantity);
    } else {
        for one in there {
            by_hand::tell_if_not_billed(builder, &line.product, one, one.billed_quantity());
        }
    }
    if bills != sold.quantity {
        let message = format!(
            "The addition that was taken over bills {} {name}, the order says {}.",
            bills.shown(),
            sold.quantity.shown()
        );
        let finding = builder.about(Code::Tu5001, &line.product, message);
        builder.find(finding);
    }
    for one in there {
        by_hand::tell_price(builder, &line.product, name, one, line.unit_price);
    }
    tell_days_before(builder, order, line, sold, there)?;
    Ok(true)
}

/// Says what nothing bills where the lines that were taken over begin later than what was sold, and the order does not
/// name that part itself.
fn tell_days_before(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    line: &OrderLine,
    sold: &Sold<'_>,
    there: &[Line<'_>],
) -> Result<(), Stop> {
    let named = order.lines.iter().any(|l| l.charge == Charge::Prorate && l.product == line.product);
    let first = there.iter().map(|one| one.state.effective).min();
    let Some(Ok(days)) = first.map(|first| Period::new(sold.begin, first)).filter(|_| !named) else {
        return Ok(());
    };
    let before =
        builder.own_lines().any(|l| l.is_for(&line.product, Role::Recurring) && l.state.bills_on(sold.begin));
    let prices = part::prices_of(builder.context, line, sold.item, None);
    let Some(prices) = prices.filter(|_| !before) else { return Ok(()) };
    let units = builder.units_in(days, sold.period)?;
    let exact = prices.price.exact().times(sold.quantity.exact())?.times(units)?;
    let currency = builder.context.currency;
    let mode = builder.context.world.settings.rounding_mode;
    let amount = Money::new(exact.round(currency.places(), mode)?);
    let message = format!(
        "The addition that was taken over bills {} from {} on: {days}, {} {currency}, is billed by no line of trueup's.",
        builder.context.product_name(&line.product),
        days.end(),
        amount.shown(currency)
    );
    let finding = builder
        .about(Code::Tu8006, &line.product, message)
        .severity(Severity::Warning)
        .fix("Bill these days by hand, where nobody did yet.")
        .amount(amount, currency);
    builder.find(finding);
    Ok(())
}
