//! What orders that were carried out say is over. Lines tell what they bill and what ended them; what an order ended of
//! which it found no line is told by the order alone: a cancellation ends the whole subscription, a change to nothing its
//! product. What comes after it and was ordered before bills the days up to it, and nothing goes on.

use super::builder::Builder;
use super::cancellation;
use super::late;
use super::origin::Origin;
use super::picture::Line;
use crate::feed::{Charge, Order, OrderKind};
use crate::finding::{Code, Finding, Severity};
use crate::ids::{OrderId, ProductId};
use crate::money::{Money, Quantity};
use crate::period::{Period, PeriodError, next_day};
use crate::plan::{AdditionLink, Role};
use crate::settings::ChangeDay;
use jiff::civil::Date;

/// The first day from which nothing of a product is billed, by an order that was completed later than the one that is
/// planned and carried out before it.
pub fn since(builder: &Builder<'_, '_>, product: &ProductId) -> Result<Option<Date>, PeriodError> {
    let mut first: Option<Date> = None;
    for order in younger(builder).filter(|order| ends(order, product)) {
        let said = taken_away_on(builder, order);
        let period = billing_period(builder, order, said)?;
        // A period that was begun is billed where the order that ended it gave back what is not owed of it, and so are those
        // after it that were invoiced by then.
        let is_cut = period.start() == said || gave_nothing_back(builder, order, product, said);
        let day = match (is_cut, charged_the_used_part(builder, order, product)) {
            (true, _) => said,
            // What was used of that period is on the order, whatever it was.
            (false, true) => period.start(),
            (false, false) => period.end(),
        };
        let day = given_back_to(builder, order, product).map_or(day, |to| day.max(to));
        first = Some(first.map_or(day, |first| first.min(day)));
    }
    Ok(first)
}

/// The days from a later cancellation up to `until`, where that is the end of the period which it cancelled: what comes before
/// it is billed through them, and nobody owes them.
pub fn paid_beyond<'b>(
    builder: &'b Builder<'_, '_>,
    until: Date,
) -> Result<Option<(&'b Order, Period)>, PeriodError> {
    for order in younger(builder).filter(|order| order.kind == OrderKind::Cancellation) {
        let said = taken_away_on(builder, order);
        if said < until && billing_period(builder, order, said)?.end() == until {
            return Ok(Period::new(said, until).ok().map(|days| (order, days)));
        }
    }
    Ok(None)
}

/// Whether a later order took the product away after `day` and gave nothing back of it: what comes before it is billed up
/// to there, whatever has ended its line so.
pub fn is_billed_up_to_its_end(builder: &Builder<'_, '_>, product: &ProductId, day: Date) -> bool {
    younger(builder).filter(|order| ends(order, product)).any(|order| {
        let said = taken_away_on(builder, order);
        said > day && gave_nothing_back(builder, order, product, said)
    })
}

/// Whether an order that came later in turn, for a day after this one, has ended or taken away the line of a product for
/// good: what comes before it is billed up to there, as what it found no line of is.
pub fn is_ended_since(
    builder: &Builder<'_, '_>,
    product: &ProductId,
    existing: Option<&Line<'_>>,
    day: Date,
) -> bool {
    let mut later = younger(builder).filter(|o| ends(o, product) && o.effective > day);
    // What followed on this line may be what the other one took away.
    let follows = |by: &OrderId| younger(builder).any(|order| order.id == *by && order.effective > day);
    later.any(|by| match existing {
        Some(line) => ender(builder, line).is_some_and(|ender| *ender == by.id || follows(ender)),
        None => {
            let mut links = builder.own_links_for(product, Role::Recurring);
            links.any(|link| link.deleted && link.removed_by() == Some(&by.id))
        }
    })
}

/// Whether a cancellation charged the used part of its period in the place of the line.
fn charged_the_used_part(builder: &Builder<'_, '_>, order: &Order, product: &ProductId) -> bool {
    let mut parts = builder.own_lines_for(product, Role::Prorate);
    order.kind == OrderKind::Cancellation && parts.any(|line| line.is_made_by(Some(&order.id)))
}

/// The billing period of a day of another order. One that names its whole term says nothing of it: then it is laid from
/// the period of the order that is planned.
fn billing_period(builder: &Builder<'_, '_>, order: &Order, day: Date) -> Result<Period, PeriodError> {
    let context = builder.context;
    let is_longer = context.cycle.boundary(order.period.start(), 1)? < order.period.end();
    let said = context.order_period.filter(|_| is_longer).unwrap_or(order.period);
    builder.period_of(said, day)
}

/// The first day on which an order that ends something bills nothing of it any more.
fn taken_away_on(builder: &Builder<'_, '_>, order: &Order) -> Date {
    match (order.kind, builder.context.world.settings.change_day) {
        (OrderKind::Change, ChangeDay::Old) => next_day(order.effective),
        _ => order.effective, // open set: every other order counts from its day
    }
}

/// The day on which a switch that came before an older change of the price took the product away, and gave back what the line
/// cost then: the price of before that change. One that tells another old price, or an amount of its own, has reckoned with
/// it. `said` and `old` are the day and the old price of the older change.
pub fn switched_without(
    builder: &Builder<'_, '_>,
    product: &ProductId,
    (said, old): (Date, Money),
) -> Option<Date> {
    let switches = younger(builder).filter(|by| by.kind == OrderKind::Change && ends(by, product));
    let days = switches.filter_map(|by| {
        let of_it = || by.lines.iter().filter(|line| line.product == *product);
        let gone = of_it().find(|line| line.charge == Charge::Recurring)?;
        let names = of_it().any(|line| line.amount.is_some() || line.charge != Charge::Recurring);
        let day = taken_away_on(builder, by);
        (!names && gone.old_unit_price.is_none_or(|told| told == old) && day > said).then_some(day)
    });
    days.min()
}

/// The first day after those that a change gave back of a product that it took away.
fn given_back_to(builder: &Builder<'_, '_>, order: &Order, product: &ProductId) -> Option<Date> {
    let of_change = |line: &&Line<'_>| order.kind == OrderKind::Change && line.is_made_by(Some(&order.id));
    let parts = builder.own_lines_for(product, Role::Prorate).filter(of_change);
    let end = |line: &Line<'_>| {
        let said = line.origin.as_ref().and_then(|o| o.true_period()).map(Period::end);
        said.or(line.state.cancelled.map(next_day))
    };
    parts.filter_map(end).max()
}

/// Whether a change took a product away that nothing billed then, and named nothing to be given back: the days from
/// `day` on are not billed by what comes after it.
fn gave_nothing_back(builder: &Builder<'_, '_>, order: &Order, product: &ProductId, day: Date) -> bool {
    let names_it = |charge: Charge| matches!(charge, Charge::Prorate | Charge::Refund);
    if order.kind != OrderKind::Change
        || order.lines.iter().any(|line| line.product == *product && names_it(line.charge))
    {
        return false;
    }
    let this = builder.context.order_id();
    let billed = |line: &Line<'_>| {
        !line.is_made_by(this)
            && (line.ended_by() == Some(&order.id)
                || line.state.effective <= day && line.state.cancelled.is_none_or(|last| last >= day))
    };
    let removed = |link: &AdditionLink| link.deleted && link.removed_by() == Some(&order.id);
    !builder.own_lines_for(product, Role::Recurring).any(billed)
        && !builder.own_links_for(product, Role::Recurring).any(removed)
}

/// The last day of the subscription, where a cancellation that was ordered before has ended it for a later day: what is
/// added until then ends with it.
pub fn last_day(builder: &Builder<'_, '_>, day: Date) -> Option<Date> {
    let end = cancelled_before(builder)?;
    let last = || cancellation::usual_last_day(builder, builder.context.agreement, end.effective);
    (end.effective > day).then(last)
}

/// The first day on which a change bills a line no more that it took away; none where something else ended the line.
pub fn taken_away(builder: &Builder<'_, '_>, line: &Line<'_>) -> Option<Date> {
    let product = line.origin.as_ref()?.product();
    let by = line.ended_by().and_then(|by| carried_out(builder).find(|order| order.id == *by))?;
    (by.kind == OrderKind::Change && ends(by, product)).then(|| taken_away_on(builder, by))
}

/// Whether an order that was carried out put a product in the place of another one.
pub fn is_switch(builder: &Builder<'_, '_>, order: &OrderId, to: &ProductId) -> bool {
    let order =
        carried_out(builder).find(|carried| carried.id == *order && carried.kind == OrderKind::Change);
    order.is_some_and(|order| !ends(order, to) && order.lines.iter().any(|line| ends(order, &line.product)))
}

/// The order that gave a line the end that it has: the one that dated it, or the cancellation for a later day that came
/// before what wrote it.
pub fn ender<'s>(builder: &'s Builder<'_, '_>, line: &'s Line<'_>) -> Option<&'s OrderId> {
    line.ended_by().or_else(|| dated_from_the_start(builder, line))
}

/// Whether a line bills a day and goes on from there: for good, or up to the day that its commitment or a cancellation has
/// set.
pub fn goes_on(builder: &Builder<'_, '_>, line: &Line<'_>, day: Date) -> bool {
    let Some(last) = line.state.cancelled else { return true };
    let Some(origin) = line.origin.as_ref().filter(|o| o.written().cancelled == Some(last)) else {
        return false;
    };
    last >= day
        && match ender(builder, line) {
            Some(by) => carried_out(builder).any(|o| o.id == *by && o.kind == OrderKind::Cancellation),
            // A line that a person had dated so ends as they said.
            None => origin.order().is_some(),
        }
}

/// The cancellation that a line was dated by when it was written.
fn dated_from_the_start<'s>(builder: &'s Builder<'_, '_>, line: &Line<'_>) -> Option<&'s OrderId> {
    let context = builder.context;
    // An undo puts the day back that it had.
    let by_none = |o: &&Origin<'_>| o.ends().last().is_none_or(|end| end.order.is_none());
    let origin = line.origin.as_ref().filter(by_none)?;
    let last = line.state.cancelled.filter(|last| origin.written().cancelled == Some(*last))?;
    let completed =
        |order: &OrderId| context.world.completed.get(&(context.task.source.clone(), order.clone()));
    let written = completed(origin.order()?)?;
    let agreement = builder.agreement_of(line)?;
    let dated = |order: &&Order| {
        order.kind == OrderKind::Cancellation
            && completed(&order.id).is_some_and(|at| at < written)
            && cancellation::usual_last_day(builder, agreement, order.effective) == last
    };
    carried_out(builder).filter(dated).max_by_key(|order| completed(&order.id)).map(|order| &order.id)
}

/// Says that an order brings something to a subscription that another one has cancelled for a day before it.
pub fn tell_after_the_end(builder: &mut Builder<'_, '_>, order: &Order) {
    let brings = order.lines.iter().any(|line| {
        line.charge == Charge::Recurring && line.new_quantity.unwrap_or(line.quantity) > Quantity::ZERO
    });
    let end = cancelled_before(builder).filter(|end| brings && end.effective <= order.effective);
    let Some(end) = end else { return };
    let message = format!(
        "Order {} changes subscription {} on {}, and order {} has cancelled it for {}: what begins has no end.",
        order.shown(),
        builder.context.task.subscription,
        order.effective,
        end.shown(),
        end.effective
    );
    let finding =
        Finding::new(Code::Tu5001, builder.context.subject(), message).severity(Severity::Warning).fix(
            "Where the subscription is over, end what was begun in ConnectWise; else there is nothing to do.",
        );
    builder.find(finding);
}

/// The last cancellation that was completed before the order that is planned, where nothing took it back since.
pub fn cancelled_before<'b>(builder: &'b Builder<'_, '_>) -> Option<&'b Order> {
    let earlier = &builder.context.earlier;
    let is_before = |order: &&Order| {
        late::is_older(builder, &order.id) || earlier.iter().any(|earlier| earlier.id == order.id)
    };
    let before: Vec<&Order> = carried_out(builder).filter(is_before).collect();
    let ends = before.iter().filter(|order| order.kind == OrderKind::Cancellation);
    let end = *ends.max_by_key(|order| order.completed_us)?;
    // What is renewed up to the end does not go on after it.
    let last = cancellation::usual_last_day(builder, builder.context.agreement, end.effective);
    // A change that began something after it says what is sold from then on.
    let began = |order: &Order| {
        builder.own_lines().any(|line| {
            line.is_made_by(Some(&order.id))
                && line.origin.as_ref().is_some_and(|origin| origin.role() == Role::Recurring)
                && line.state.cancelled.is_none_or(|at| at > last)
        })
    };
    let goes_on =
        before.iter().filter(|order| order.completed_us >= end.completed_us).any(|order| match order.kind {
            OrderKind::Sales => true,
            OrderKind::Renewal => order.period.last_day() > last,
            OrderKind::Change => began(order),
            OrderKind::Billing | OrderKind::Cancellation | OrderKind::Transfer => false,
        });
    (!goes_on).then_some(end)
}

/// Orders of the subscription that were carried out, with those that come before in this plan.
pub fn carried_out<'b>(builder: &'b Builder<'_, '_>) -> impl Iterator<Item = &'b Order> {
    let context = builder.context;
    let known = context.world.completed.of(&context.task.source, &context.task.subscription);
    known.iter().chain(context.earlier.iter().copied())
}

/// Orders of the subscription that were completed after the one that is planned, and carried out before it.
pub fn younger<'b>(builder: &'b Builder<'_, '_>) -> impl Iterator<Item = &'b Order> {
    let task = builder.context.task;
    let known = builder.context.world.completed.of(&task.source, &task.subscription);
    known.iter().filter(|order| late::is_younger(builder, &order.id))
}

/// Whether an order leaves nothing of a product.
pub fn ends(order: &Order, product: &ProductId) -> bool {
    match order.kind {
        OrderKind::Cancellation => true,
        OrderKind::Change => order.lines.iter().any(|line| {
            line.charge == Charge::Recurring
                && line.product == *product
                && line.new_quantity.is_some_and(|new| new.is_zero())
        }),
        OrderKind::Sales | OrderKind::Billing | OrderKind::Renewal | OrderKind::Transfer => false,
    }
}
