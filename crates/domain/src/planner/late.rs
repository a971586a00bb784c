//! Orders that come after a later one was carried out. Feeds deliver late, and the later order's state stays: what comes
//! late bills the days up to it and nothing from then on. Where the later order ended everything, a person decides.

use super::builder::Builder;
use super::cancellation;
use super::change::signed;
use super::context::Stop;
use super::lines;
use super::origin::Origin;
use super::over;
use super::picture::Line;
use crate::feed::{Charge, Order, OrderKind, OrderLine};
use crate::finding::{Code, Severity};
use crate::ids::{AgreementId, CompanyId, OrderId, ProductId};
use crate::money::{Exact, Money, MoneyError, Quantity};
use crate::period::{Period, previous_day};
use crate::plan::{AdditionLink, Edit, Role};
use crate::psa::AdditionState;
use crate::settings::LineMode;
use jiff::civil::Date;
use std::cmp::Ordering;
use std::collections::BTreeSet;

/// A state of a line: since when it holds, from when the line bills it, and which order gave it.
struct Stage<'s> {
    since: Date,
    from: Date,
    /// Where an edit tells one day alone: it bills from that day on where a period begins with it, else from the next one.
    from_its_day: bool,
    order: Option<&'s OrderId>,
    state: &'s AdditionState,
}

/// The states that a line had: as it was made, and as each order edited it.
fn stages<'s>(
    made: Option<Period>,
    order: Option<&'s OrderId>,
    edits: &'s [Edit],
    now: &'s AdditionState,
) -> impl Iterator<Item = Stage<'s>> {
    let first = edits.first().map_or(now, |edit| &edit.before);
    let since = made.map_or(first.effective, Period::start);
    let made = Stage { since, from: first.effective, from_its_day: false, order, state: first };
    let edited = edits.iter().enumerate().map(move |(at, edit)| {
        let since = edit.held.start();
        // A line that is edited on its first day bills the new state from then on.
        let one_day = edit.held.days() == 1;
        let from = if since == now.effective && one_day { since } else { edit.held.end() };
        Stage {
            since,
            from,
            from_its_day: one_day,
            order: edit.order.as_ref(),
            state: edits.get(at + 1).map_or(now, |next| &next.before),
        }
    });
    std::iter::once(made).chain(edited)
}

impl Stage<'_> {
    /// The day from which a line bills it.
    fn billed_from(&self, builder: &Builder<'_, '_>) -> Date {
        if self.from_its_day && builder.begins_period(self.since) { self.since } else { self.from }
    }
}

/// The states of a line of ours; of one that a person edited, the last is what trueup wrote.
fn stages_of<'s>(line: &'s Line<'_>) -> impl Iterator<Item = Stage<'s>> {
    let of = |origin: &'s Origin<'_>| {
        stages(origin.true_period(), origin.order(), origin.edits(), origin.written())
    };
    line.origin.iter().flat_map(of)
}

/// What a line bills of some days: its states, each with those of the days that it bills. A line that was edited in place
/// shows the last of them alone.
pub fn states_within<'s>(
    builder: &Builder<'_, '_>,
    line: &'s Line<'_>,
    days: Period,
) -> Vec<(Period, &'s AdditionState)> {
    let end = line.state.cancelled.map_or(days.end(), |last| last.tomorrow().unwrap_or(last));
    let own = Period::new(line.state.effective, end).ok().and_then(|own| own.intersect(days));
    let Some(own) = own else { return Vec::new() };
    let mut all: Vec<(Date, &AdditionState)> =
        stages_of(line).map(|stage| (stage.billed_from(builder), stage.state)).collect();
    if let Some(first) = all.first_mut() {
        first.0 = first.0.min(own.start());
    } else {
        all.push((own.start(), &line.state));
    }
    let next = |at: usize| all.get(at + 1).map_or(own.end(), |(from, _)| *from);
    let billed = all.iter().enumerate().filter_map(|(at, (from, state))| {
        let held = Period::new(*from, next(at)).ok()?.intersect(own)?;
        Some((held, *state))
    });
    billed.collect()
}

/// The day since which the state holds that a line bills.
pub fn since(line: &Line) -> Date {
    stages_of(line).last().map_or(line.state.effective, |stage| stage.since)
}

/// The order that gave a line the state that it bills.
pub fn given_by<'s>(line: &'s Line<'_>) -> Option<&'s OrderId> {
    stages_of(line).last()?.order
}

/// How an order stands to the one that is planned, by when they were completed. Of one that nobody knows any more, and of
/// a task without an order, nothing can be told.
fn compared(builder: &Builder<'_, '_>, order: &OrderId) -> Option<Ordering> {
    let task = builder.context.task;
    task.order_id.as_ref()?;
    let known = builder.context.world.completed.get(&(task.source.clone(), order.clone()))?;
    Some(known.cmp(&(task.completed_us, task.turn)))
}

/// Whether an earlier run of this very order may have taken a line away: it did, or nobody remembers who.
pub fn is_removed_by_this(builder: &Builder<'_, '_>, link: &AdditionLink) -> bool {
    link.deleted && link.removed_by().is_none_or(|by| Some(by) == builder.context.order_id())
}

/// The line of the product that an earlier run of this very order has ended.
pub fn ended_by_this<'s, 'a>(builder: &'s Builder<'_, 'a>, product: &ProductId) -> Option<&'s Line<'a>> {
    let order = builder.context.order_id()?;
    builder.own_lines_for(product, Role::Recurring).find(|l| l.ended_by() == Some(order))
}

/// Whether an earlier run of this very order has ended or taken away a line of the product.
pub fn has_taken(builder: &Builder<'_, '_>, product: &ProductId) -> bool {
    let this = builder.context.order_id();
    let mut links = builder.own_links_for(product, Role::Recurring);
    this.is_some()
        && (ended_by_this(builder, product).is_some()
            || links.any(|l| l.deleted && l.removed_by() == this && l.order.as_ref() != this))
}

/// Whether an order was completed before the one that is planned, as far as that is known.
pub fn is_older(builder: &Builder<'_, '_>, order: &OrderId) -> bool {
    compared(builder, order) == Some(Ordering::Less)
}

/// Whether an order was completed after the one that is planned, as far as that is known.
pub fn is_younger(builder: &Builder<'_, '_>, order: &OrderId) -> bool {
    compared(builder, order) == Some(Ordering::Greater)
}

/// Where an order that was completed later gave `line` a state after `day`: the day from which the first such state is
/// billed. What an older order gave for days to come (a renewal ahead of its term, a transfer, a sale that begins
/// later) is no later state: this order takes its place.
pub fn later_state(builder: &Builder<'_, '_>, line: &Line, day: Date) -> Option<Date> {
    if line.is_made_by(builder.context.order_id()) {
        return None;
    }
    first_after(builder, line.origin.as_ref()?.product(), stages_of(line), day)
}

fn first_after<'s>(
    builder: &Builder<'_, '_>,
    product: &ProductId,
    stages: impl Iterator<Item = Stage<'s>>,
    day: Date,
) -> Option<Date> {
    let is_after = |stage: &Stage<'_>| {
        stage.since > day || stage.since == day && stage.order.is_some_and(|order| is_younger(builder, order))
    };
    let later = stages.filter(is_after).filter_map(|stage| match compared(builder, stage.order?) {
        Some(Ordering::Less) => None,
        None => Some(stage.billed_from(builder)).filter(|from| *from > day),
        Some(Ordering::Equal | Ordering::Greater)
            if is_reckoned_from_what_was_there(builder, product, &stage) =>
        {
            Some(stage.since)
        }
        // A full line with a correction begins before the day on which its order took effect: the days between cost what
        // they did before it.
        Some(Ordering::Equal | Ordering::Greater) => Some(stage.billed_from(builder).max(stage.since)),
    });
    later.min()
}

/// Whether a renewal gave a state that tells no quantity of before: what it billed of the days since then was reckoned from
/// what was there, without the order that is planned, and says what all of these days cost.
fn is_reckoned_from_what_was_there(
    builder: &Builder<'_, '_>,
    product: &ProductId,
    stage: &Stage<'_>,
) -> bool {
    let gave = |known: &&Order| known.kind == OrderKind::Renewal && stage.order == Some(&known.id);
    let renewal = over::younger(builder).find(gave);
    renewal.and_then(|order| recurring_line(order, product)).is_some_and(|line| line.old_quantity.is_none())
}

/// The day from which the next later change holds, where it came while this order was taken back, and tells the quantity
/// which `line` starts from as what there was before it: its part was reckoned without this order, and says what its days
/// cost. Of an order that merely comes late the same may be told by another one between them that is still to come.
pub fn counted_without(builder: &Builder<'_, '_>, line: &OrderLine, day: Date) -> Option<Date> {
    let from = line.old_quantity.filter(|from| line.new_quantity.is_some_and(|to| to != *from))?;
    if builder.context.task.undone == 0 {
        return None;
    }
    let after = known_stages(builder, &line.product).filter(|stage| stage.since > day);
    let next = after.min_by_key(|stage| stage.since)?;
    let by = next.order.and_then(|by| over::younger(builder).find(|order| order.id == *by))?;
    let told = recurring_line(by, &line.product)?.old_quantity;
    (by.kind == OrderKind::Change && told == Some(from)).then_some(next.since)
}

/// The lines of the product that a later order took away when it put its own in their place: what they bill up to there
/// stands. What an undo took away is as if it had never been.
fn replaced_lines<'a>(
    builder: &Builder<'_, 'a>,
    product: &ProductId,
) -> impl Iterator<Item = &'a AdditionLink> {
    let this = builder.context.order_id();
    let goes_on = |order: &OrderId| builder.own_lines().any(|l| l.is_made_by(Some(order)));
    let replaced = |link: &&AdditionLink| {
        let (Some(by), Some(order)) = (link.removed_by(), link.order.as_ref()) else { return false };
        link.deleted
            && by != order
            && this != Some(by)
            && this != Some(order)
            && (goes_on(by) || goes_on(order))
    };
    builder.own_links_for(product, Role::Recurring).filter(replaced).collect::<Vec<_>>().into_iter()
}

/// What older orders gave a product for days after an order takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ahead {
    /// Nothing of it was billed before this day.
    Begins(Date),
    /// Another state than the one of now counts from this day on.
    Goes(Date),
}

/// What older orders gave the product for days after `day`, whether a line still shows it or it was replaced.
pub fn ahead(builder: &Builder<'_, '_>, product: &ProductId, day: Date) -> Option<Ahead> {
    let older = |stage: &Stage<'_>| {
        stage.since > day
            && stage.billed_from(builder) > day
            && stage.order.is_some_and(|order| is_older(builder, order))
    };
    let first = known_stages(builder, product).filter(older).map(|stage| stage.since).min()?;
    match state_on(builder, product, day) {
        Some(_) => Some(Ahead::Goes(first)),
        None => Some(Ahead::Begins(first)),
    }
}

/// Every state that other orders gave the product, of lines that are there and of those that were taken away.
fn known_stages<'s>(builder: &'s Builder<'_, '_>, product: &'s ProductId) -> impl Iterator<Item = Stage<'s>> {
    let order = builder.context.order_id();
    let others = move |of: Option<&OrderId>| order.is_none() || of != order;
    // What an undo took away is as if it had never been.
    let undone =
        |l: &AdditionLink| l.deleted && l.removed_by().is_some() && l.removed_by() == l.order.as_ref();
    let told = builder
        .own_links_for(product, Role::Recurring)
        .filter(move |l| others(l.order.as_ref()) && !undone(l))
        .flat_map(|l| stages(l.true_period, l.order.as_ref(), &l.edits, &l.written));
    let there = builder.own_lines_for(product, Role::Recurring).filter(move |l| !l.is_made_by(order));
    told.chain(there.flat_map(stages_of))
}

/// The first recurring line of the product that another order wrote for a state after `day`.
pub fn first_later(builder: &Builder<'_, '_>, product: &ProductId, day: Date) -> Option<Date> {
    let lines = builder.own_lines_for(product, Role::Recurring).filter_map(|l| later_state(builder, l, day));
    let replaced = replaced_lines(builder, product).filter_map(|link| {
        let stages = stages(link.true_period, link.order.as_ref(), &link.edits, &link.written);
        first_after(builder, product, stages, day)
    });
    lines.chain(replaced).chain(first_renewed_by_parts(builder, product, day)).min()
}

/// The day of the first later renewal that came late itself and left parts of invoiced days alone, reckoned from what was
/// there: it says what all of these days cost, and no line shows its state.
fn first_renewed_by_parts(builder: &Builder<'_, '_>, product: &ProductId, day: Date) -> Option<Date> {
    let by_parts = |order: &&Order| {
        let of_it = |line: &&Line<'_>| {
            line.is_made_by(Some(&order.id))
                && line.origin.as_ref().is_some_and(|origin| origin.product() == product)
        };
        order.kind == OrderKind::Renewal
            && recurring_line(order, product).is_some_and(|line| line.old_quantity.is_none())
            && builder.own_lines().find(of_it).is_some()
            && !known_stages(builder, product).any(|stage| stage.order == Some(&order.id))
    };
    let days = over::younger(builder).filter(by_parts).map(|order| order.effective.max(order.period.start()));
    days.filter(|since| *since > day).min()
}

/// The same where the product has one line at a time: then those that were replaced count as well.
pub fn first_of_one(builder: &Builder<'_, '_>, product: &ProductId, day: Date) -> Option<Date> {
    let open = builder.own_lines_for(product, Role::Recurring).filter(|l| l.state.is_open());
    if open.count() > 1 { None } else { first_later(builder, product, day) }
}

/// The line of the product that bills on `day`, whichever order made it.
pub fn billing_on<'a>(builder: &Builder<'_, 'a>, product: &ProductId, day: Date) -> Option<Line<'a>> {
    builder
        .own_lines_for(product, Role::Recurring)
        .find(|l| !l.is_made_by(builder.context.order_id()) && l.state.bills_on(day))
        .cloned()
}

/// Whether all that later orders said of a product after `day` are differences: they are not the state that stays, since
/// this order moves what they started from.
pub fn differences_follow(builder: &Builder<'_, '_>, product: &ProductId, day: Date) -> bool {
    let context = builder.context;
    let carried_out = context.world.completed.of(&context.task.source, &context.task.subscription);
    let tells = |order: &&Order| {
        order.kind == OrderKind::Cancellation
            || order.lines.iter().any(|l| l.charge == Charge::Recurring && l.product == *product)
    };
    let after = carried_out.iter().filter(|o| o.effective >= day && is_younger(builder, &o.id));
    let mut after = after.filter(tells).peekable();
    after.peek().is_some() && after.all(|o| signed::tells_differences(o, product))
}

/// The state of the product that held on `day`: what the newest order before it wrote, whether it is still there or a
/// later order took it away.
pub fn state_on(builder: &Builder<'_, '_>, product: &ProductId, day: Date) -> Option<AdditionState> {
    known_stages(builder, product)
        .filter(|stage| {
            // Of one day, what a younger order gave is not what this one starts from.
            stage.since < day
                || stage.since == day && !stage.order.is_some_and(|order| is_younger(builder, order))
        })
        .max_by_key(|stage| stage.since)
        .map(|stage| stage.state.clone())
}

/// What holds of the product when an order takes effect on `day`, where an order that was completed later gave it for days
/// before already: with the state that was there before that one.
pub fn overtaking(
    builder: &Builder<'_, '_>,
    product: &ProductId,
    day: Date,
) -> Option<(OrderId, AdditionState, Option<AdditionState>)> {
    let newest = known_stages(builder, product)
        .filter(|stage| stage.since < day)
        .max_by_key(|stage| stage.since)
        .filter(|stage| stage.order.is_some_and(|order| is_younger(builder, order)))?;
    let before = known_stages(builder, product)
        .filter(|stage| stage.since < newest.since)
        .max_by_key(|stage| stage.since)
        .map(|stage| stage.state.clone());
    Some((newest.order?.clone(), newest.state.clone(), before))
}

/// The state that an order gave the product on one of some days.
pub fn given_within(
    builder: &Builder<'_, '_>,
    product: &ProductId,
    order: &OrderId,
    days: Period,
) -> Option<AdditionState> {
    known_stages(builder, product)
        .find(|stage| stage.order == Some(order) && days.contains(stage.since))
        .map(|stage| stage.state.clone())
}

/// Where the next later order, which told no old price, reckoned its part from the price of before this one: the day since
/// which its state holds. Its part says what all of these days cost, and nothing is left of them for this order. What it
/// was reckoned from is seen in the amount of the part. `to` is what this order changes to, quantity and price.
pub fn reckoned_without(
    builder: &Builder<'_, '_>,
    order: &Order,
    product: &ProductId,
    said: Date,
    to: (Quantity, Money),
) -> Result<Option<Date>, Stop> {
    let Some(before) = state_on(builder, product, said) else { return Ok(None) };
    let younger = |stage: &Stage<'_>| {
        stage.since >= said && stage.order.is_some_and(|order| is_younger(builder, order))
    };
    let next = known_stages(builder, product).filter(younger).min_by_key(|stage| stage.since);
    let Some((next, by)) = next.as_ref().and_then(|next| Some((next, next.order?))) else { return Ok(None) };
    let (now, since) = (next.state, next.since);
    let line = over::younger(builder).find(|o| o.id == *by).and_then(|o| recurring_line(o, product));
    let started = line.and_then(|line| line.old_quantity).unwrap_or(to.0);
    // One that told its old price means that one. Save where a change of the quantity tells the price of before this order,
    // and the new price as well, and this order goes from that price too.
    let told = line.and_then(|line| line.old_unit_price);
    let goes_from = recurring_line(order, product).and_then(|line| line.old_unit_price);
    let is_both = |told| {
        told == before.unit_price
            && goes_from.is_none_or(|own| own == told)
            && now.unit_price == to.1
            && now.quantity != started
    };
    if told.is_some_and(|told| !is_both(told)) {
        return Ok(None);
    }
    let worth = |price: Money, quantity: Quantity| price.exact().times(quantity.exact());
    let size = |exact: Exact| if exact.is_negative() { Exact::ZERO.minus(exact) } else { Ok(exact) };
    let period = builder.period_of(order.period, since)?;
    for part in builder.own_lines_for(product, Role::Prorate).filter(|l| l.is_made_by(Some(by))) {
        let Some(days) = part.days() else { continue };
        let mut amount = worth(part.state.unit_price, part.state.quantity)?;
        let mut own = days;
        if days.start() != since {
            // One averaged line bills what there was as well.
            if days.start() != period.start() || part.state.cancelled != Some(period.last_day()) {
                continue;
            }
            amount = amount.minus(worth(before.unit_price, before.quantity)?)?;
            own = period.from_day(since).unwrap_or(period);
        }
        let units = builder.units_in(own, period)?;
        let from = |old: Money| -> Result<Exact, MoneyError> {
            worth(now.unit_price, now.quantity)?.minus(worth(old, started)?)?.times(units)
        };
        let (without, with) =
            (size(amount.minus(from(before.unit_price)?)?)?, size(amount.minus(from(to.1)?)?)?);
        // No more apart from it than the rounding of each unit makes.
        let places = builder.context.currency.places();
        let each = Exact::ratio(1, 10_i128.pow(places))?;
        let most = each.times(part.state.quantity.abs().plus(Quantity::from(1))?.exact())?;
        let is_reckoned = without.minus(with)?.is_negative() && !most.minus(without)?.is_negative();
        return Ok(is_reckoned.then_some(since));
    }
    Ok(None)
}

/// The recurring line of an order for a product.
fn recurring_line<'o>(order: &'o Order, product: &ProductId) -> Option<&'o OrderLine> {
    order.lines.iter().find(|l| l.charge == Charge::Recurring && l.product == *product)
}

/// What began to be billed of the subscription at a company, as far as it is remembered: which order began it, and the day.
pub fn billed_at<'s>(
    builder: &'s Builder<'_, '_>,
    company: CompanyId,
) -> impl Iterator<Item = (Option<&'s OrderId>, Date)> {
    let agreements = &builder.context.world.snapshot.agreements;
    let is_theirs = move |id: &AgreementId| agreements.get(id).is_some_and(|a| a.company == company);
    let links =
        builder.own_links().iter().filter(move |l| l.role == Role::Recurring && is_theirs(&l.agreement));
    let lines = builder.own_lines().filter(move |l| is_theirs(&l.agreement));
    let lines = lines.filter_map(|l| l.origin.as_ref().map(|o| (o, l.state.effective)));
    lines
        .filter(|(origin, _)| origin.role() == Role::Recurring)
        .map(|(origin, begins)| (origin.order(), begins))
        .chain(links.map(|l| (l.order.as_ref(), l.written.effective)))
}

/// Another company where all that is billed of the subscription was begun by later orders: a transfer that was carried out
/// before this order moved it there. With the day on which it begins.
pub fn moved_on(builder: &Builder<'_, '_>) -> Option<(CompanyId, Date)> {
    let context = builder.context;
    let companies = builder.own_lines().filter_map(|l| builder.agreement_of(l)).map(|a| a.company);
    let others: BTreeSet<CompanyId> = companies.filter(|company| *company != context.company).collect();
    let began = |company: &CompanyId| {
        let mut first: Option<Date> = None;
        for (by, begins) in billed_at(builder, *company) {
            by.filter(|by| is_younger(builder, by))?;
            first = Some(first.map_or(begins, |first| first.min(begins)));
        }
        first.map(|first| (*company, first))
    };
    others.iter().filter_map(began).min_by_key(|(_, first)| *first)
}

/// The last day on which later orders left a product billed, where they ended it for good: nothing of it goes on. Where they
/// took its line away, no day is.
pub fn ended_later(builder: &Builder<'_, '_>, product: &ProductId) -> Option<Date> {
    let this = builder.context.order_id();
    let mut last = None;
    for line in builder.own_lines_for(product, Role::Recurring).filter(|l| !l.is_made_by(this)) {
        if line.state.is_open() {
            return None;
        }
        if over::ender(builder, line).is_some_and(|by| is_younger(builder, by)) {
            last = last.max(line.state.cancelled);
        }
    }
    let removed =
        builder.own_links_for(product, Role::Recurring).filter(|l| l.deleted && l.order.as_ref() != this);
    let mut removed = removed.filter_map(|l| l.removed_by().filter(|by| l.order.as_ref() != Some(*by)));
    last.or_else(|| removed.any(|by| is_younger(builder, by)).then_some(Date::MIN))
}

/// Says that the order is late and what it still bills.
pub fn tell(builder: &mut Builder<'_, '_>, order: &Order, product: &ProductId, from: Date, until: Date) {
    let billed = match from < until {
        true => format!("it is billed from {from} to {}", previous_day(until)),
        false => "that one bills all of its days".to_owned(),
    };
    let message = format!(
        "Order {} came after a later state of {} was written: {billed}, and the later state stays.",
        order.shown(),
        builder.context.product_name(product),
    );
    let finding = builder.about(Code::Tu5001, product, message).severity(Severity::Warning);
    builder.find(finding);
}

/// The last day of a line that an order completed before this one has ended on a later day than this one takes effect: a
/// cancellation for the end of a term. What takes the line's place ends with it.
pub fn ends_ahead(builder: &Builder<'_, '_>, line: Option<&Line>, day: Date) -> Option<Date> {
    let line = line?;
    let last = line.state.cancelled.filter(|last| *last >= day)?;
    over::ender(builder, line).is_some_and(|order| is_older(builder, order)).then_some(last)
}

/// The line of a product that a cancellation has ended before a renewal takes effect: nothing of it is billed from then on,
/// and the renewal begins it again.
pub fn begins_again<'a>(
    builder: &Builder<'_, 'a>,
    order: &Order,
    product: &ProductId,
    day: Date,
) -> Option<Line<'a>> {
    let this = builder.context.order_id();
    let others = || builder.own_lines_for(product, Role::Recurring).filter(|l| !l.is_made_by(this));
    if order.kind != OrderKind::Renewal || others().any(|l| l.state.cancelled.is_none_or(|last| last >= day))
    {
        return None;
    }
    // What an earlier run of this very order put its own line in the place of was there to be renewed.
    if has_taken(builder, product) {
        return None;
    }
    // What a change ended and another line went on with, up to the end of its commitment, is not what is renewed.
    let last = others().filter_map(|l| l.state.cancelled).max();
    let mut ended = others().filter(|l| l.state.cancelled == last && has_ended(builder, l, day));
    ended.next().cloned()
}

/// Whether a renewal goes beyond the day for which an order before it has cancelled what the line bills. Invoices may have
/// put the line's own last day off.
pub fn takes_back(builder: &Builder<'_, '_>, order: &Order, line: &Line) -> bool {
    let Some(by) = over::ender(builder, line).filter(|by| is_older(builder, by)) else { return false };
    let cancelled = over::carried_out(builder).find(|o| o.id == *by && o.kind == OrderKind::Cancellation);
    let (Some(cancelled), Some(agreement)) = (cancelled, builder.agreement_of(line)) else { return false };
    let last = cancellation::usual_last_day(builder, agreement, cancelled.effective);
    order.kind == OrderKind::Renewal && order.period.last_day() > last
}

/// Whether an order completed before this one has ended the line before this one takes effect.
fn has_ended(builder: &Builder<'_, '_>, line: &Line, day: Date) -> bool {
    line.state.cancelled.is_some_and(|last| last < day)
        && over::ender(builder, line).is_some_and(|order| is_older(builder, order))
}

/// Whether a later order ended what this line would go on with: its line was ended or removed by trueup, nothing took
/// its place, and the order speaks of a quantity that is there. Then the line is kept back.
pub fn was_ended(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    line: &OrderLine,
    existing: Option<&Line>,
    day: Date,
) -> bool {
    let from_nothing = line.old_quantity.is_some_and(|old| old.is_zero());
    let to_nothing = line.new_quantity.is_some_and(|new| new.is_zero());
    // What this very order has written already, in a run that broke off or raced another, took the place.
    let written = builder
        .own_lines_for(&line.product, Role::Recurring)
        .any(|l| l.is_made_by(builder.context.order_id()));
    if from_nothing || to_nothing || written {
        return false;
    }
    if let Some(there) = begins_again(builder, order, &line.product, day) {
        tell_begins_again(builder, order, &line.product, &there);
        return false;
    }
    if let Some(there) = existing {
        if takes_back(builder, order, there) {
            tell_begins_again(builder, order, &line.product, there);
            return false;
        }
        if ends_with_a_period(builder, order, there, day) {
            return false;
        }
    }
    let ended = match existing {
        Some(there) if there.state.is_open() => None,
        Some(there) => {
            let by_order = there.origin.as_ref().is_some_and(|o| {
                // A person had dated it so before it was taken over.
                let dated = o.order().is_none().then(|| o.true_period()).flatten().map(Period::last_day);
                o.written().cancelled == there.state.cancelled && dated != there.state.cancelled
            });
            there.state.cancelled.filter(|last| by_order && !ends_with_its_term(builder, *last)).map(Some)
        }
        None => {
            let mut links = builder.own_links_for(&line.product, Role::Recurring);
            links.any(|l| l.deleted && l.written.is_open()).then_some(None)
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

/// Whether the line ends ahead with one of the subscription's periods, so that all of it up to then counts as usual.
fn ends_with_a_period(builder: &Builder<'_, '_>, order: &Order, line: &Line, day: Date) -> bool {
    ends_ahead(builder, Some(line), day).is_some_and(|last| {
        builder.period_of(order.period, last).is_ok_and(|period| period.last_day() == last)
    })
}

/// A renewal after a cancellation says that it was withdrawn.
fn tell_begins_again(builder: &mut Builder<'_, '_>, order: &Order, product: &ProductId, ended: &Line) {
    let message = format!(
        "Order {} renews {}, which {} ended{}: a line begins again.",
        order.shown(),
        builder.context.product_name(product),
        over::ender(builder, ended).map_or_else(|| "an order".to_owned(), |by| format!("order {by}")),
        ended.state.cancelled.map_or_else(String::new, |last| format!(" on {last}")),
    );
    let finding = builder.about(Code::Tu5001, product, message).severity(Severity::Warning);
    builder.find(finding);
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
    why: &str,
) -> Result<bool, Stop> {
    if !matches!(lines::part_policy(builder)?, lines::PartPolicy::Connectwise) {
        return Ok(true);
    }
    let message = format!(
        "Order {} {why}, and ConnectWise prorates on this agreement: its days cannot be billed by a line of their own.",
        order.shown()
    );
    let finding = builder.about(Code::Tu3006, product, message);
    builder.withhold(finding);
    Ok(false)
}
