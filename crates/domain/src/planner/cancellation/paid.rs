//! What invoices have billed of the rest of a cancelled period, for which the order gives nothing back.

use super::{Ending, last_day, touched_by_person, worth};
use crate::feed::{Charge, Order};
use crate::finding::Code;
use crate::ids::ProductId;
use crate::money::{Exact, Money};
use crate::period::{Period, next_day};
use crate::plan::Role;
use crate::planner::builder::Builder;
use crate::planner::context::Stop;
use crate::planner::picture::Line;
use jiff::civil::Date;
use std::collections::BTreeSet;

/// Says for each product what was paid of the days after the cancellation, with its one-time lines. Where credits are off
/// the end itself says so.
pub(super) fn tell_not_given_back(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    ending: &Ending,
) -> Result<(), Stop> {
    if !builder.context.world.settings.credits.is_on() || ending.day >= ending.period.end() {
        return Ok(());
    }
    let lines: Vec<Line> = builder.own_lines().cloned().collect();
    let product_of = |line: &Line| line.origin.as_ref().map(|o| o.product().clone());
    let products: BTreeSet<ProductId> = lines.iter().filter_map(product_of).collect();
    for product in products {
        let given = order.lines.iter().any(|l| l.charge == Charge::Refund && l.product == product);
        if given {
            continue;
        }
        let mut paid = Exact::ZERO;
        let mut invoiced_to: Option<Date> = None;
        for line in lines.iter().filter(|line| product_of(line).as_ref() == Some(&product)) {
            let Some((amount, invoiced)) = paid_of(builder, line, ending)? else { continue };
            paid = paid.plus(amount)?;
            invoiced_to = invoiced_to.max(Some(invoiced));
        }
        let Some(invoiced) = invoiced_to.filter(|_| !paid.is_negative()) else { continue };
        tell(builder, &product, ending, invoiced, paid)?;
    }
    Ok(())
}

/// What was paid of the rest of the period with a line, and the last invoiced day; nothing of one that no invoice billed.
fn paid_of(
    builder: &Builder<'_, '_>,
    line: &Line<'_>,
    ending: &Ending,
) -> Result<Option<(Exact, Date)>, Stop> {
    let (Some(origin), Some(agreement)) = (&line.origin, builder.agreement_of(line)) else { return Ok(None) };
    let invoiced = builder.last_invoiced_day(agreement);
    let Some(invoiced) = invoiced.filter(|invoiced| last_day(builder, agreement, line, ending) < *invoiced)
    else {
        return Ok(None);
    };
    if !builder.is_billed(line) || touched_by_person(line) {
        return Ok(None);
    }
    let rest = Period::new(ending.day, ending.period.end().min(next_day(invoiced))).ok();
    let amount = match origin.role() {
        Role::Recurring => {
            let own = rest.and_then(|rest| rest.from_day(line.state.effective));
            let own = own.and_then(|own| match line.state.cancelled {
                Some(last) => own.before_day(next_day(last)),
                None => Some(own),
            });
            let Some(own) = own else { return Ok(None) };
            worth(line, builder.share(ending.period, own)?.exact()?)?.0
        }
        Role::Prorate => {
            let dated = || Period::new(line.state.effective, next_day(line.state.cancelled?)).ok();
            let Some(days) = origin.true_period().or_else(dated) else { return Ok(None) };
            let Some(shared) = ending.period.from_day(ending.day).and_then(|rest| rest.intersect(days))
            else {
                return Ok(None);
            };
            let all = builder.units_in(days, ending.period)?;
            worth(line, builder.units_in(shared, ending.period)?.over(all)?)?.0
        }
        Role::Refund | Role::Setup | Role::Overuse | Role::Cancellation | Role::OneTime | Role::Quantity => {
            return Ok(None);
        }
    };
    Ok(Some((amount, invoiced)))
}

fn tell(
    builder: &mut Builder<'_, '_>,
    product: &ProductId,
    ending: &Ending,
    invoiced: Date,
    paid: Exact,
) -> Result<(), Stop> {
    let name = builder.context.product_name(product);
    let Ok(rest) = Period::new(ending.day, ending.period.end()) else { return Ok(()) };
    let currency = builder.context.currency;
    let paid = Money::new(paid.round(currency.places(), builder.context.world.settings.rounding_mode)?);
    if paid.is_zero() {
        return Ok(());
    }
    let message = format!(
        "{name} ends on {} and is invoiced to {invoiced}; the order gives nothing back for {rest}: {} {currency}.",
        ending.day,
        paid.shown(currency)
    );
    let finding = builder
        .about(Code::Tu6005, product, message)
        .amount(-paid, currency)
        .fix("Have the source send a refund line with the cancellation where the days are not owed, or credit them by hand.");
    builder.find(finding);
    Ok(())
}
