//! Orders that come after a later one was carried out. Feeds deliver late, and the later order's state stays: what comes
//! late bills the days up to it and nothing from then on. Where the later order ended everything, a person decides.

use super::builder::Builder;
use super::context::Stop;
use super::lines;
use super::picture::Line;
use crate::feed::{Order, OrderLine};
use crate::finding::{Code, Severity};
use crate::ids::ProductId;
use crate::period::{Period, previous_day};
use crate::plan::{Role, Target};
use crate::psa::AdditionState;
use crate::settings::LineMode;
use jiff::civil::Date;

/// The day since which the state holds that a line bills.
fn since(line: &Line) -> Date {
    let told = line.origin.as_ref().and_then(|o| o.true_period);
    told.map_or(line.state.effective, Period::start)
}

/// Where `line` shows a state that another order set after `day`: the day from which that state is billed.
pub fn later_state(builder: &Builder<'_, '_>, line: &Line, day: Date) -> Option<Date> {
    let other = line.origin.as_ref().is_some_and(|o| o.order.is_some())
        && !line.is_made_by(builder.context.order_id());
    (other && since(line) > day && line.state.effective > day).then_some(line.state.effective)
}

/// The first recurring line of the product that another order wrote for a state after `day`.
pub fn first_later(builder: &Builder<'_, '_>, product: &ProductId, day: Date) -> Option<Date> {
    builder
        .own_lines()
        .filter(|l| l.is_for(product, Role::Recurring))
        .filter_map(|l| later_state(builder, l, day))
        .min()
}

/// The line of the product that bills on `day`, whichever order made it.
pub fn billing_on<'a>(builder: &Builder<'_, 'a>, product: &ProductId, day: Date) -> Option<Line<'a>> {
    builder
        .own_lines()
        .filter(|l| !l.is_made_by(builder.context.order_id()))
        .find(|l| l.is_for(product, Role::Recurring) && l.state.bills_on(day))
        .cloned()
}

/// The state of the product that held on `day`: what the newest order before it wrote, whether it is still there or a
/// later order took it away.
pub fn state_on(builder: &Builder<'_, '_>, product: &ProductId, day: Date) -> Option<AdditionState> {
    let order = builder.context.order_id();
    let links = builder.own_links().iter();
    let told = links
        .filter(|l| {
            l.role == Role::Recurring
                && &l.product == product
                && (order.is_none() || l.order.as_ref() != order)
        })
        .map(|l| (l.true_period.map_or(l.written.effective, Period::start), l.written.clone()));
    let planned = builder
        .own_lines()
        .filter(|l| l.is_for(product, Role::Recurring) && !l.is_made_by(order))
        .filter(|l| matches!(l.target, Target::CreatedBy(_)))
        .map(|l| (since(l), (*l.state).clone()));
    told.chain(planned)
        .filter(|(since, _)| *since <= day)
        .max_by_key(|(since, _)| *since)
        .map(|(_, state)| state)
}

/// Says that the order is late and what it still bills.
pub fn tell(builder: &mut Builder<'_, '_>, order: &Order, product: &ProductId, from: Date, until: Date) {
    let message = format!(
        "Order {} came after a later order of {} was carried out: it is billed from {from} to {}, and the later state \
         stays.",
        order.shown(),
        builder.context.product_name(product),
        previous_day(until)
    );
    let finding = builder.about(Code::Tu5001, product, message).severity(Severity::Warning);
    builder.find(finding);
}

/// Whether a later order ended what this line would go on with: its line was ended or removed by trueup, nothing took
/// its place, and the order speaks of a quantity that is there. Then the line is kept back.
pub fn was_ended(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    line: &OrderLine,
    existing: Option<&Line>,
) -> bool {
    let from_nothing = line.old_quantity.is_some_and(|old| old.is_zero());
    let to_nothing = line.new_quantity.is_some_and(|new| new.is_zero());
    // What this very order has written already, in a run that broke off or raced another, took the place.
    let written = builder
        .own_lines()
        .any(|l| l.is_made_by(builder.context.order_id()) && l.is_for(&line.product, Role::Recurring));
    if from_nothing || to_nothing || written {
        return false;
    }
    let ended = match existing {
        Some(there) if there.state.is_open() => None,
        Some(there) => {
            let by_order =
                there.origin.as_ref().is_some_and(|o| o.written.cancelled == there.state.cancelled);
            there.state.cancelled.filter(|last| by_order && !ends_with_its_term(builder, *last)).map(Some)
        }
        None => {
            let links = builder.own_links();
            let mut gone = links.iter().filter(|l| {
                l.role == Role::Recurring && l.product == line.product && l.deleted && l.written.is_open()
            });
            gone.next().map(|_| None)
        }
    };
    let Some(ended) = ended else { return false };
    let name = builder.context.product_name(&line.product);
    let how = ended.map_or("was removed".to_owned(), |last| format!("ends on {last}"));
    let message = format!(
        "Order {} changes {name}, but its line {how}: an order that was carried out before ended it.",
        order.shown()
    );
    let finding = builder.about(Code::Tu3008, &line.product, message).severity(Severity::Error).fix(
        "Ignore the task where the product stays ended, and bill what is owed by hand; else send the order with an old \
         quantity of 0, and a new line begins.",
    );
    builder.withhold(finding);
    true
}

/// Lines dated by their commitment are ended from the start.
fn ends_with_its_term(builder: &Builder<'_, '_>, last: Date) -> bool {
    let term = builder.context.subscription.and_then(|s| s.term).and_then(|t| t.end);
    builder.context.world.settings.line_mode == LineMode::Commitment
        || term.is_some_and(|end| previous_day(end) == last)
}

/// A part of a late change is a line of its own, and only where trueup prorates.
pub fn part_is_possible(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    product: &ProductId,
) -> Result<bool, Stop> {
    if !matches!(lines::part_policy(builder)?, lines::PartPolicy::Connectwise) {
        return Ok(true);
    }
    let message = format!(
        "Order {} came after a later order was carried out, and ConnectWise prorates on this agreement: its days cannot \
         be billed by a line of their own.",
        order.shown()
    );
    let finding = builder.about(Code::Tu3006, product, message);
    builder.withhold(finding);
    Ok(false)
}
