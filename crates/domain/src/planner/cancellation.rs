//! Cancellation orders: lines that were billed end, lines that never were go, fee and last overuse are billed once.

use super::builder::Builder;
use super::context::{Billing, Stop};
use super::lines::{self, Existing, bill_once, write_once};
use super::part;
use super::picture::Line;
use super::sales::once_item;
use crate::feed::{Charge, Order, OrderLine};
use crate::finding::{Code, Severity};
use crate::ids::ProductId;
use crate::money::{Exact, Quantity};
use crate::period::{Period, next_day, previous_day};
use crate::plan::{Role, Target};
use jiff::civil::Date;
use std::collections::BTreeSet;

/// Plans a cancellation order.
pub fn plan(builder: &mut Builder<'_, '_>, order: &Order) -> Result<(), Stop> {
    let day = builder.not_before_go_live(order.effective);
    adopt_what_is_there(builder, order, day);
    let product_of = |l: &Line| l.origin.as_ref().map(|o| o.product.clone());
    let (goes, stays): (Vec<Line>, Vec<Line>) = lines_to_end(builder)
        .into_iter()
        .partition(|l| builder.agreement_of(l).is_some_and(|a| never_billed(order, l, a)));
    let stays: BTreeSet<ProductId> = stays.iter().filter_map(product_of).collect();
    let gone = goes.iter().filter_map(product_of).chain(deleted_before(builder));
    let removed: BTreeSet<ProductId> = gone.filter(|product| !stays.contains(product)).collect();
    for line in &order.lines {
        match line.charge {
            Charge::Cancellation => fee(builder, order, line, day)?,
            Charge::Recurring | Charge::Prorate => used_part(builder, order, line, day, &removed)?,
            Charge::Overuse => {
                // Overuse counts the day of cancellation, the recurring fee does not.
                let days = Period::new(order.period.start().min(day), next_day(day))?;
                let Some(item) = once_item(builder, line)? else { continue };
                bill_once(builder, line, item, order.period, line.period.unwrap_or(days))?;
            }
            Charge::Refund | Charge::Setup | Charge::Upgrade | Charge::OneTime | Charge::Discount => {
                let Some(item) = once_item(builder, line)? else { continue };
                let days = line.period.map_or_else(|| rest_of(order, day), Ok)?;
                let bills_nothing = removed.contains(&line.product) || days.start() > day;
                let invoiced = builder.is_invoiced(builder.context.agreement, days.start());
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
                bill_once(builder, line, item, order.period, days)?;
            }
        }
    }
    for line in lines_to_end(builder) {
        end_line(builder, order, &line, day)?;
    }
    drop_later_lines(builder, order, day)
}

/// From the day of cancellation to the end of its period.
fn rest_of(order: &Order, day: Date) -> Result<Period, Stop> {
    Ok(Period::new(day, order.period.end().max(next_day(day)))?)
}

/// Recurring lines of the subscription, whatever agreement they are on.
fn lines_to_end(builder: &Builder<'_, '_>) -> Vec<Line> {
    let task = builder.context.task;
    builder
        .picture
        .of_subscription(&task.source, &task.subscription)
        .filter(|l| {
            l.origin.as_ref().is_some_and(|o| {
                o.source == task.source && o.subscription == task.subscription && o.role == Role::Recurring
            })
        })
        .cloned()
        .collect()
}

/// Products whose recurring line an earlier run of this very task removed.
fn deleted_before(builder: &Builder<'_, '_>) -> Vec<ProductId> {
    let task = builder.context.task;
    builder
        .context
        .index
        .links_of(&task.source, &task.subscription)
        .iter()
        .filter(|l| l.role == Role::Recurring && l.deleted && l.written.is_open())
        .map(|l| l.product.clone())
        .collect()
}

/// What the subscription holds and trueup has not written yet is taken as its lines (A7).
fn adopt_what_is_there(builder: &mut Builder<'_, '_>, order: &Order, day: Date) {
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
            // A finding is made where it cannot be told; a line that is found is in the picture from here on.
            match lines::existing_line(builder, &product, item, day) {
                Existing::Line(_) | Existing::Nothing | Existing::Undecided => {}
            }
        }
    }
}

fn end_line(builder: &mut Builder<'_, '_>, order: &Order, line: &Line, day: Date) -> Result<(), Stop> {
    let Some(agreement) = builder.agreement_of(line) else { return Ok(()) };
    if touched_by_person(line) {
        return Ok(());
    }
    let name = line.origin.as_ref().map_or_else(String::new, |o| builder.context.product_name(&o.product));
    if !line.is_billed(agreement) {
        if never_billed(order, line, agreement) || line.state.effective > day {
            let reason =
                format!("Order {} cancels {name}, which was never billed: the line goes.", order.shown());
            return builder.delete(line, reason);
        }
        let reason = format!("Order {} cancels {name} on {day}.", order.shown());
        return builder.end(line, day.max(line.state.effective), reason);
    }
    let invoiced_to = builder.last_invoiced_day(agreement);
    let credits = builder.context.world.settings.credits.is_on();
    let last = match invoiced_to {
        Some(invoiced) if day < invoiced && !credits => {
            if line.state.cancelled.is_none_or(|at| at > invoiced) {
                let product = line.origin.as_ref().map_or_else(|| ProductId::from(""), |o| o.product.clone());
                let message = format!(
                    "{name} is cancelled on {day}, but invoiced to {invoiced}, and credits are off: it ends on \
                     {invoiced}."
                );
                let finding = builder.about(Code::Tu4005, &product, message);
                builder.find(finding);
            }
            invoiced
        }
        Some(invoiced) if day < invoiced && !gives_back(order, line) => {
            let product = line.origin.as_ref().map_or_else(|| ProductId::from(""), |o| o.product.clone());
            let message = format!(
                "{name} ends on {day} and is invoiced to {invoiced}; the order gives nothing back for the days after."
            );
            let finding = builder.about(Code::Tu6005, &product, message);
            builder.find(finding);
            day
        }
        // Where ConnectWise prorates, the last paid day is the one before the cancellation.
        Some(invoiced) if agreement.prorates && day > invoiced => previous_day(day).max(invoiced),
        Some(_) | None => day,
    };
    let reason = format!("Order {} cancels {name} on {day}: it ends on {last}.", order.shown());
    builder.end(line, last, reason)
}

/// Whether a line has billed nothing and has nothing to bill: it began in the period of the cancellation, or later.
/// A line that began in an earlier period has whole periods to bill, even where no invoice was made yet.
fn never_billed(order: &Order, line: &Line, agreement: &crate::psa::Agreement) -> bool {
    !line.is_billed(agreement) && line.state.effective >= order.period.start()
}

/// Whether the order gives money back for the line's product.
fn gives_back(order: &Order, line: &Line) -> bool {
    let product = line.origin.as_ref().map(|o| &o.product);
    order.lines.iter().any(|l| l.charge == Charge::Refund && Some(&l.product) == product)
}

/// A person ended or changed it: a finding said so, and it is left alone.
fn touched_by_person(line: &Line) -> bool {
    match (&line.target, &line.origin) {
        (Target::Existing(_), Some(origin)) => {
            origin.written.cancelled != line.state.cancelled
                || origin.written.quantity != line.state.quantity
                || origin.written.unit_price != line.state.unit_price
        }
        (Target::Existing(_) | Target::CreatedBy(_), _) => false,
    }
}

/// A cancellation takes away what bills days after it alone; a one-time line for days already used stays.
fn drop_later_lines(builder: &mut Builder<'_, '_>, order: &Order, day: Date) -> Result<(), Stop> {
    let task = builder.context.task;
    let later: Vec<Line> = builder
        .picture
        .of_subscription(&task.source, &task.subscription)
        .filter(|l| {
            l.origin.as_ref().is_some_and(|o| {
                o.source == task.source
                    && o.subscription == task.subscription
                    && matches!(o.role, Role::Prorate | Role::Setup | Role::OneTime)
                    && o.true_period.map_or(l.state.effective, Period::start) > day
            }) && !l.is_made_by(builder.context.order_id())
                && builder.agreement_of(l).is_some_and(|a| !l.is_billed(a))
                && !touched_by_person(l)
        })
        .cloned()
        .collect();
    for line in later {
        let reason = format!("Order {} cancels on {day}: the line bills days after it.", order.shown());
        builder.delete(&line, reason)?;
    }
    Ok(())
}

/// The part that was used, where the order charges it: only when the recurring line goes, else that line bills it.
fn used_part(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    line: &OrderLine,
    day: Date,
    removed: &BTreeSet<ProductId>,
) -> Result<(), Stop> {
    let name = builder.context.product_name(&line.product);
    if !removed.contains(&line.product) {
        let message =
            format!("Order {} charges the used part of {name}; its recurring line bills it.", order.shown());
        let finding = builder.about(Code::Tu6005, &line.product, message).severity(Severity::Info);
        builder.find(finding);
        return Ok(());
    }
    let Some(item) = once_item(builder, line)? else { return Ok(()) };
    let days = line.period.or_else(|| order.period.before_day(day));
    let Some(days) = days else { return Ok(()) };
    let as_part = OrderLine { charge: Charge::Prorate, ..line.clone() };
    bill_once(builder, &as_part, item, order.period, days)
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
        builder.left_out(&line.product, amount, "credits are off")?;
        return Ok(());
    }
    let settings = builder.context.world.settings;
    let currency = builder.context.currency;
    let mut money = part::one_unit(settings, currency, amount, cost)?;
    money.formula = format!("{} as the order says", money.unit_price.display(currency));
    let reason = format!("Order {} charges a fee for cancelling on {day}.", order.shown());
    let days = line.period.map_or_else(|| rest_of(order, day), Ok)?;
    let agreement = builder.context.agreement;
    let said = line.description.as_deref().or(Some("Cancellation fee"));
    write_once(
        builder,
        agreement,
        &line.id.0,
        &line.product,
        item,
        Role::Cancellation,
        money,
        said,
        reason,
        days,
    )
}
