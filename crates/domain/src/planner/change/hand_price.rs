//! The price of a line by hand that a change replaces: whether it is the one that the order starts from.

use super::Moment;
use crate::feed::{Charge, Order};
use crate::finding::Code;
use crate::ids::ProductId;
use crate::money::{Money, Quantity};
use crate::period::{Period, next_day};
use crate::planner::builder::Builder;
use crate::planner::by_hand;
use crate::planner::context::Stop;
use crate::planner::late;
use crate::planner::lines::{PartPolicy, part_policy};
use crate::planner::over;
use crate::planner::part;
use crate::planner::picture::Line;

/// Whether a line by hand bills the price that the last order before this one told: then that is the price that this order
/// changes, and what it says of no old price is known.
pub(super) fn is_of_the_source(builder: &Builder<'_, '_>, product: &ProductId, hand: &Line<'_>) -> bool {
    told_before(builder, product).is_some_and(|price| part::shows(builder.context, &hand.state, price))
}

/// The unit price that the last order before this one told of a product.
fn told_before(builder: &Builder<'_, '_>, product: &ProductId) -> Option<Money> {
    let earlier = &builder.context.earlier;
    let is_before = |order: &&Order| {
        late::is_older(builder, &order.id) || earlier.iter().any(|earlier| earlier.id == order.id)
    };
    let told = |order: &Order| {
        let of_it = order.lines.iter().filter(|l| l.charge == Charge::Recurring && l.product == *product);
        of_it.filter_map(|line| line.unit_price).next_back()
    };
    let orders = over::carried_out(builder).filter(is_before);
    orders
        .filter_map(|order| Some((order.completed_us, told(order)?)))
        .max_by_key(|(at, _)| *at)
        .map(|(_, price)| price)
}

/// Says that a change takes the place of a line by hand that bills another price than any order told: what the old quantity
/// costs more or less by the new price is not billed of the days before the new line, and is told with its amount.
pub(super) fn tell(
    builder: &mut Builder<'_, '_>,
    product: &ProductId,
    hand: &Line<'_>,
    moment: Moment,
    (old, price): (Quantity, Money),
) -> Result<(), Stop> {
    let currency = builder.context.currency;
    let days = before_the_line(builder, moment)?;
    let left = days.map(|days| left_out(builder, hand, moment, days, (old, price))).transpose()?;
    let left = left.filter(|amount| !amount.is_zero());
    let said = left.zip(days).map_or_else(String::new, |(amount, days)| {
        format!(
            " {} at the new price would come to {} {currency} {} for {days}, which is left out.",
            old.shown(),
            amount.abs().shown(currency),
            if amount.is_negative() { "less" } else { "more" }
        )
    });
    let message = format!(
        "Addition {}, made by hand, bills {} at {}, the source says {}, and no order before tells the price that it starts \
         from: the new line takes the source's price.{said}",
        by_hand::id_of(hand),
        builder.context.product_name(product),
        hand.state.unit_price.shown(currency),
        price.shown(currency)
    );
    let finding = builder.about(Code::Tu6003, product, message).fix(
        "Change the price of the new addition in ConnectWise where the one by hand was right; bill or give back by hand what \
         is left out where it was the source's.",
    );
    let finding = match left {
        Some(amount) => finding.amount(amount, currency),
        None => finding,
    };
    builder.find(finding);
    Ok(())
}

/// The days from the order on that the line by hand bills, or has billed, at its own price; none where ConnectWise reckons
/// by dates.
fn before_the_line(builder: &Builder<'_, '_>, moment: Moment) -> Result<Option<Period>, Stop> {
    let agreement = builder.context.agreement;
    if matches!(part_policy(builder), Ok(PartPolicy::Connectwise)) {
        return Ok(None);
    }
    let Moment { effective, period, .. } = moment;
    let begin = if effective == period.start() { effective } else { period.end() };
    let paid_to = builder.last_invoiced_day(agreement).map(next_day);
    let begin = paid_to.map_or(begin, |paid| begin.max(builder.paid_for(agreement, paid)));
    Ok(Period::new(effective, begin).ok())
}

fn left_out(
    builder: &Builder<'_, '_>,
    hand: &Line<'_>,
    moment: Moment,
    days: Period,
    (old, price): (Quantity, Money),
) -> Result<Money, Stop> {
    let context = builder.context;
    let unit = price.exact().minus(hand.state.unit_price.exact())?;
    let amount = unit.times(old.exact())?.times(builder.units_in(days, moment.period)?)?;
    Ok(Money::new(amount.round(context.currency.places(), context.world.settings.rounding_mode)?))
}
