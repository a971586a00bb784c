//! What a cancellation leaves paid: days after it that invoices have billed, and for which the order gives nothing back.
//! It is told with its amount.

use super::{Ending, invoiced_of, lines_to_end, touched_by_person};
use crate::feed::Order;
use crate::finding::{Code, Severity};
use crate::ids::{OrderId, ProductId};
use crate::money::{Exact, Money};
use crate::period::{Period, next_day};
use crate::plan::Role;
use crate::planner::builder::Builder;
use crate::planner::context::Stop;
use crate::planner::late;
use crate::planner::over;
use crate::planner::picture::Line;
use crate::psa::{AdditionState, BillFlag};
use jiff::civil::Date;
use std::collections::{BTreeMap, BTreeSet};

/// What stays paid of a product, and its first and last day.
struct Paid {
    amount: Exact,
    days: Period,
}

/// Says what invoices have billed of days after a cancellation, or will bill of invoiced ones, for which the order has no
/// refund. `gone` are one-time lines that go with it.
pub(super) fn tell_not_given_back(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    ending: &Ending,
    gone: &[&Line<'_>],
) -> Result<(), Stop> {
    if !builder.context.world.settings.credits.is_on() {
        return tell_kept(builder, order, ending, gone);
    }
    let gives_back = |product: &ProductId| order.gives_back(product);
    let mut paid: BTreeMap<ProductId, Paid> = BTreeMap::new();
    let mut add = |product: &ProductId, amount: Exact, days: Period| -> Result<(), Stop> {
        let before = paid.remove(product);
        let sum = before.as_ref().map_or(Exact::ZERO, |before| before.amount).plus(amount)?;
        let days = match before {
            Some(Paid { days: other, .. }) => {
                Period::new(other.start().min(days.start()), other.end().max(days.end()))?
            }
            None => days,
        };
        paid.insert(product.clone(), Paid { amount: sum, days });
        Ok(())
    };
    for mut line in lines_to_end(builder) {
        let Some(product) = line.origin.as_ref().map(|o| o.product()).filter(|p| !gives_back(p)) else {
            continue;
        };
        let Some(rest) = rest_of_line(builder, &line, ending) else { continue };
        // An earlier run of this order may have ended it.
        let quantity = line.billed_quantity();
        line.state = AdditionState { cancelled: None, quantity, ..(*line.state).clone() }.into();
        for (days, state) in late::states_within(builder, &line, rest) {
            let share = builder.share(ending.period, days)?.exact()?;
            let price = state.unit_price.exact().times(state.quantity.exact())?.times(share)?;
            add(product, price, days)?;
        }
    }
    for line in parts_that_stay(builder, gone) {
        let Some(product) = line.origin.as_ref().map(|o| o.product()).filter(|p| !gives_back(p)) else {
            continue;
        };
        let Some((price, rest)) = rest_of_part(builder, &line, ending)? else { continue };
        add(product, price, rest)?;
    }
    for (product, Paid { amount, days }) in paid {
        if !amount.is_negative() && !amount.is_zero() {
            tell(builder, &product, ending, (amount, days))?;
        }
    }
    Ok(())
}

fn tell(
    builder: &mut Builder<'_, '_>,
    product: &ProductId,
    ending: &Ending,
    (amount, rest): (Exact, Period),
) -> Result<(), Stop> {
    let name = builder.context.product_name(product);
    let currency = builder.context.currency;
    let paid = Money::new(amount.round(currency.places(), builder.context.world.settings.rounding_mode)?);
    if paid.is_zero() {
        return Ok(());
    }
    let message = format!(
        "{name} ends on {} and is invoiced to {}; the order gives nothing back for {rest}: {} {currency}.",
        ending.day,
        rest.last_day(),
        paid.shown(currency)
    );
    let finding = builder
        .about(Code::Tu6005, product, message)
        .severity(Severity::Warning)
        .amount(-paid, currency)
        .fix("Have the source send a refund line with the cancellation where the days are not owed, or credit them by hand.");
    builder.find(finding);
    Ok(())
}

/// Says what stays paid of the rest of the cancelled period where credits are off: what would have gone on is the state that
/// is cancelled, and what earlier orders changed of these days was billed, or told by them.
fn tell_kept(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    ending: &Ending,
    gone: &[&Line<'_>],
) -> Result<(), Stop> {
    let lines: Vec<Line<'_>> =
        lines_to_end(builder).into_iter().filter(|line| !touched_by_person(line)).collect();
    let product_of = |line: &Line<'_>| line.origin.as_ref().map(|o| o.product().clone());
    let products: BTreeSet<ProductId> = lines.iter().filter_map(product_of).collect();
    let parts = parts_that_stay(builder, gone);
    for product in products.iter().filter(|product| !order.gives_back(product)) {
        let of_it = || lines.iter().filter(|line| line.is_for(product, Role::Recurring));
        // What begins with the next period is billed by parts up to then.
        let is_part = |line: &&Line<'_>| {
            line.origin.as_ref().is_some_and(|o| o.product() == product)
                && line.days().is_some_and(|days| days.contains(ending.day))
        };
        let parts = parts.iter().filter(is_part);
        let invoiced = of_it().chain(parts).filter(|line| builder.is_billed(line)).filter_map(|line| {
            let agreement = builder.agreement_of(line)?;
            Some((builder.last_invoiced_day(agreement)?, builder.paid_up_to(agreement)?))
        });
        let Some((invoiced, paid)) = invoiced.max() else { continue };
        let goes_on = |line: &&Line<'_>| line.state.cancelled.is_none_or(|last| last > invoiced);
        let Ok(rest) = Period::new(ending.day, ending.period.end().min(paid)) else { continue };
        let share = builder.share(ending.period, rest)?.exact()?;
        let mut sum = Exact::ZERO;
        for line in of_it().filter(goes_on) {
            sum = sum.plus(invoiced_of(line, share)?.0)?;
        }
        if !sum.is_negative() {
            tell(builder, product, ending, (sum, rest))?;
        }
    }
    Ok(())
}

/// The days of the cancelled period that an invoice has billed of a recurring line which ends before them.
fn rest_of_line(builder: &Builder<'_, '_>, line: &Line<'_>, ending: &Ending) -> Option<Period> {
    let agreement = builder.agreement_of(line)?;
    let paid = builder.paid_up_to(agreement)?;
    if touched_by_person(line) || !builder.is_billed(line) || line.state.bill != BillFlag::Billable {
        return None;
    }
    // What another order has ended before bills none of them.
    let by_this = line.ended_by().is_some() && line.ended_by() == builder.context.order_id();
    let own_end = line.state.cancelled.filter(|_| !by_this);
    let own_end = own_end.map_or(Date::MAX, |last| builder.paid_for(agreement, next_day(last)));
    // What a change took away it has given back, or told.
    let own_end = over::taken_away(builder, line).map_or(own_end, |day| own_end.min(day));
    let first = ending.day.max(line.state.effective);
    Period::new(first, ending.period.end().min(paid).min(own_end)).ok()
}

/// One-time lines for days of a recurring one, which an invoice has billed or the next one will bill of invoiced days.
fn parts_that_stay<'a>(builder: &Builder<'_, 'a>, gone: &[&Line<'_>]) -> Vec<Line<'a>> {
    // What the next invoice bills or gives back of invoiced days stays as well.
    let of_days = |line: &&Line<'a>| {
        line.origin.as_ref().is_some_and(|o| {
            o.role() == Role::Prorate || o.role() == Role::OneTime && begins_its_line(builder, line)
        })
    };
    let is_invoiced = |line: &Line<'a>| {
        let paid = builder.agreement_of(line).and_then(|agreement| builder.paid_up_to(agreement));
        paid.zip(line.days()).is_some_and(|(paid, days)| days.end() <= paid)
    };
    let stays = |line: &&Line<'a>| {
        builder.agreement_of(line).is_some_and(|agreement| !agreement.prorates)
            && builder.agreement_of(line).is_some_and(|a| builder.last_invoiced_day(a).is_some())
            && !line.is_made_by(builder.context.order_id())
            && (builder.is_billed(line) || is_invoiced(line))
            && !gone.iter().any(|other| other.target == line.target)
    };
    builder
        .own_lines()
        .filter(of_days)
        .filter(stays)
        .filter(|l| !is_correction(builder, l))
        .cloned()
        .collect()
}

/// Whether a line bills the first period of a sale with an amount of its own.
fn begins_its_line(builder: &Builder<'_, '_>, line: &Line<'_>) -> bool {
    let (Some(origin), Some(days)) = (&line.origin, line.days()) else { return false };
    builder
        .own_links_for(origin.product(), Role::Recurring)
        .any(|l| l.order.is_some() && l.order.as_ref() == origin.order() && l.written.effective >= days.end())
}

/// Whether a line brings a full line to what the days cost: that one begins within them, and says what a day costs.
fn is_correction(builder: &Builder<'_, '_>, line: &Line<'_>) -> bool {
    let (Some(origin), Some(days)) = (&line.origin, line.days()) else { return false };
    let full = |order: Option<&crate::ids::OrderId>, effective: Date| {
        order.is_some() && order == origin.order() && effective < days.end()
    };
    builder
        .own_links_for(origin.product(), Role::Recurring)
        .any(|l| full(l.order.as_ref(), l.written.effective))
        || builder
            .own_lines_for(origin.product(), Role::Recurring)
            .any(|l| full(l.origin.as_ref().and_then(|o| o.order()), l.state.effective))
}

/// What a part costs of the days after the cancellation.
fn rest_of_part(
    builder: &Builder<'_, '_>,
    line: &Line<'_>,
    ending: &Ending,
) -> Result<Option<(Exact, Period)>, Stop> {
    let (Some(origin), Some(days)) = (&line.origin, line.days()) else { return Ok(None) };
    let product = origin.product();
    // Periods after the cancelled one are given back where their line was billed.
    let billed =
        lines_to_end(builder).iter().any(|l| l.is_for(product, Role::Recurring) && builder.is_billed(l));
    let rest = days.from_day(ending.day).and_then(|rest| match billed {
        true => rest.before_day(ending.period.end()),
        false => Some(rest),
    });
    let Some(rest) = rest else { return Ok(None) };
    let units = builder.units_in(rest, ending.period)?;
    // An averaged line holds days of before as well, and that of a switch what it gives back of another product: what counts is
    // the state that its order gave.
    let given = |order: &OrderId| {
        let within = match days == ending.period {
            true => days.from_day(next_day(days.start()))?,
            false => Some(days).filter(|_| over::is_switch(builder, order, product))?,
        };
        late::given_within(builder, product, order, within)
    };
    let price = match origin.order().and_then(given) {
        Some(state) => state.unit_price.exact().times(state.quantity.exact())?.times(units)?,
        None => invoiced_of(line, units.over(builder.units_in(days, ending.period)?)?)?.0,
    };
    Ok(Some((price, rest)))
}
