//! A sale that comes after an order which took away what it sells, and gave nothing back of it, since nothing billed it
//! yet: the days of that period up to there are billed once, and the line ends before it.

use super::{Sold, full_prices, later_state, names_part};
use crate::feed::{Charge, Order, OrderLine};
use crate::period::Period;
use crate::plan::Role;
use crate::planner::builder::Builder;
use crate::planner::context::Stop;
use crate::planner::lines::{PartPolicy, cut_to, part_policy, write_once};
use crate::planner::over;
use crate::planner::part;
use std::borrow::Cow;

/// The last days that are billed of a sale, where they are a part of a period.
#[derive(Clone, Copy)]
pub(super) struct LastDays {
    pub(super) days: Period,
    pub(super) period: Period,
}

/// The days of the period in which a later order ended what the line sells, where nothing of them is given back.
pub(super) fn last_days(
    builder: &Builder<'_, '_>,
    order: &Order,
    line: &OrderLine,
    sold: &Sold<'_>,
) -> Result<Option<LastDays>, Stop> {
    let Some(until) = over::since(builder, &line.product)? else { return Ok(None) };
    let follows = later_state(builder, order, line, sold.start).is_some_and(|later| later < until);
    // ConnectWise reckons the days by the dates of the line.
    if follows || builder.context.agreement.prorates {
        return Ok(None);
    }
    let period = builder.period_of(order.period, until)?;
    let days = Period::new(period.start().max(sold.begin), until);
    Ok(days.ok().map(|days| LastDays { days, period }))
}

/// Bills them once.
pub(super) fn bill_last_days<'a>(
    builder: &mut Builder<'_, 'a>,
    order: &Order,
    line: &OrderLine,
    sold: &Sold<'a>,
) -> Result<(), Stop> {
    let Some(LastDays { days, period }) = last_days(builder, order, line, sold)? else { return Ok(()) };
    let in_first = period == sold.period;
    if in_first && names_part(order, &line.product) {
        // The part that the order names is cut to them.
        return Ok(());
    }
    let same_days = line.period.is_none_or(|own| own == sold.period);
    let whole = sold.begin == sold.start && sold.period.start() == sold.begin && same_days;
    let Some(full) = full_prices(builder, line, sold.item, sold.quantity, whole)? else { return Ok(()) };
    let (settings, currency) = (builder.context.world.settings, builder.context.currency);
    let share = builder.share(period, days)?;
    let named = line.amount.filter(|_| in_first && sold.begin == sold.start && !full.made.price);
    let money = match named {
        Some(amount) => {
            let all = period.from_day(sold.begin).unwrap_or(period);
            let of_all = share.exact()?.over(builder.share(period, all)?.exact()?)?;
            let cost = match line.cost_amount {
                Some(cost) => cost.exact().times(of_all)?,
                None => full.prices.cost.exact().times(sold.quantity.exact())?.times(share.exact()?)?,
            };
            part::one_unit(settings, currency, amount.exact().times(of_all)?, cost)?
        }
        None => part::prorated(settings, currency, full.prices, sold.quantity, share)?,
    };
    let home = match part_policy(builder)? {
        PartPolicy::Line(home) => home,
        PartPolicy::Connectwise => return Ok(()),
        PartPolicy::LeftOut(why) => return Ok(builder.left_out(&line.product, days, money.exact, why)?),
    };
    let reason = format!(
        "Order {} came after an order that ended it on {}: {days} is billed once.",
        order.shown(),
        days.end()
    );
    let text = line.description.as_deref().filter(|_| named.is_some());
    let (id, product) = (line.id.as_str(), &line.product);
    write_once(builder, home, id, product, sold.item, Role::Prorate, money, text, reason, days)
}

/// A part that the order names for days of which a later order ended some: what it says of the others.
pub(super) fn cut_part<'o>(
    builder: &Builder<'_, '_>,
    order: &Order,
    line: &'o OrderLine,
    sold: &[Option<Sold<'_>>],
    days: Period,
) -> Result<(Cow<'o, OrderLine>, Period), Stop> {
    let mut of_product = order.lines.iter().zip(sold).filter(|(sells, _)| sells.product == line.product);
    let sells = of_product.find_map(|(sells, sold)| Some((sells, sold.as_ref()?)));
    let Some((sells, sold)) = sells.filter(|_| line.charge == Charge::Prorate) else {
        return Ok((Cow::Borrowed(line), days));
    };
    let last = last_days(builder, order, sells, sold)?.filter(|last| last.period == sold.period);
    let Some(rest) = last.and_then(|last| days.before_day(last.days.end())) else {
        return Ok((Cow::Borrowed(line), days));
    };
    Ok((Cow::Owned(cut_to(builder, line, sold.period, (days, rest))?), rest))
}
