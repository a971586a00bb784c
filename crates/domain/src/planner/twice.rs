//! Orders that say once more what another one has done: a marketplace sent them twice under two ids, or an order between
//! is not here yet. A second change or cancellation would bill its parts and fees again, so it waits for a person.

use super::AdoptionAnswer;
use super::builder::Builder;
use super::context::Billing;
use super::late;
use super::lines::billed_quantity;
use super::over;
use super::part;
use super::picture::Line;
use crate::feed::{Charge, Order, OrderLine};
use crate::finding::{Code, Finding, Severity};
use crate::ids::{CatalogItemId, OrderId, ProductId};
use crate::money::{Money, MoneyError, Quantity};
use crate::period::{Period, next_day};
use crate::plan::{Action, Change, Role};
use crate::psa::AdditionState;
use crate::settings::PriceSource;
use jiff::civil::Date;
use std::collections::{BTreeMap, BTreeSet};

const FIX: &str = "Ignore the task with a reason where the order was sent twice; where an order between the two is still to \
                   come, import it; `--no-adopt` carries the order out as it stands.";

/// Whether an earlier run of this very order did anything: then it is finished, and no question any more.
fn is_begun(builder: &Builder<'_, '_>) -> bool {
    let Some(order) = builder.context.order_id() else { return true };
    let by_this = |line: &Line| {
        let edits = line.origin.as_ref().map(|o| o.edits()).unwrap_or_default();
        line.is_made_by(Some(order))
            || line.ended_by() == Some(order)
            || edits.iter().any(|edit| edit.order.as_ref() == Some(order))
    };
    builder.own_lines().any(by_this)
        || builder.own_links().iter().any(|l| l.deleted && l.removed_by() == Some(order))
}

/// Whether a person may still be asked: nobody has said yet that the order is meant, and nothing of it was written.
pub fn may_ask(builder: &Builder<'_, '_>) -> bool {
    builder.adoption() != AdoptionAnswer::CreateBeside && !is_begun(builder)
}

/// Keeps a change back that another order of the same day has made already: its new state is there, and its old one is
/// not. Of another day it may be one of several that go back and forth, and is billed. Whether it is kept back.
pub fn is_changed_already(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    line: &OrderLine,
    there: &Line<'_>,
    (old, new): (Quantity, Quantity),
    said: Date,
) -> bool {
    let this = builder.context.order_id();
    // What an order has ended since is not there any more.
    let by = late::given_by(there).filter(|by| Some(*by) != this && there.ended_by().is_none()).cloned();
    let Some(by) = by.filter(|_| there.state.quantity == new && late::since(there) == said) else {
        return false;
    };
    let context = builder.context;
    let by_source = context.price_source == PriceSource::Marketplace;
    let shows = |price| part::shows(context, &there.state, price);
    let at_new = line.unit_price.filter(|_| by_source).is_none_or(shows);
    let at_old = line.old_unit_price.filter(|_| by_source).is_none_or(shows);
    let moves = if old == new { !at_old } else { true };
    if !at_new || !moves || !may_ask(builder) {
        return false;
    }
    let state = match old == new {
        true => format!("{} at {}", new.shown(), there.state.unit_price.shown(builder.context.currency)),
        false => new.shown().to_string(),
    };
    let message = format!(
        "Order {} changes {} to {state} on {said}, and order {by} did so on the same day: its part would be billed twice, \
         so nothing is written for it.",
        order.shown(),
        builder.context.product_name(&line.product),
    );
    withhold(builder, &line.product, message);
    true
}

/// The same for a change in the last period of a term, of which no line goes on that would show it: another order of the
/// same day has billed the part that this one asks for, and the line bills what it starts from.
pub fn has_part_already(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    line: &OrderLine,
    there: &Line<'_>,
    (old, new): (Quantity, Quantity),
    said: Date,
) -> bool {
    let this = builder.context.order_id();
    let delta = new.minus(old).ok();
    let of_the_day = |part: &&Line<'_>| {
        let days = part.origin.as_ref().and_then(|origin| origin.true_period());
        days.map_or(part.state.effective, Period::start) == said && Some(part.state.quantity) == delta
    };
    let part = builder.own_lines_for(&line.product, Role::Prorate).filter(of_the_day);
    let by = part.filter_map(|part| part.origin.as_ref()?.order()).find(|by| Some(*by) != this).cloned();
    let Some(by) = by else { return false };
    if there.state.quantity != old || old == new || !may_ask(builder) {
        return false;
    }
    let message = format!(
        "Order {} changes {} from {} to {} on {said}, and order {by} billed such a part from the same day on: it would be \
         billed twice, so nothing is written for it.",
        order.shown(),
        builder.context.product_name(&line.product),
        old.shown(),
        new.shown(),
    );
    withhold(builder, &line.product, message);
    true
}

/// Keeps a transfer back that another order has made already: all that it sells is there, from its day or a later one on, and
/// nothing is left that it would end.
pub fn is_moved_already(builder: &mut Builder<'_, '_>, order: &Order, day: Date) -> bool {
    if !may_ask(builder) {
        return false;
    }
    let this = builder.context.order_id();
    let company = Some(builder.context.company);
    let is_here = |line: &Line<'_>| builder.agreement_of(line).map(|agreement| agreement.company) == company;
    let moved_by = |line: &OrderLine| {
        let all = || builder.own_lines_for(&line.product, Role::Recurring);
        let quantity = billed_quantity(builder, &line.product, line.quantity);
        let there = all().find(|l| is_here(l) && l.state.is_open() && l.billed_quantity() == quantity)?;
        if all().any(|l| !is_here(l) && l.state.is_open()) {
            return None;
        }
        match there.origin.as_ref()?.order() {
            Some(by) => Some(by).filter(|by| Some(*by) != this && late::since(there) >= day),
            // A line by hand tells nothing of itself; what another order ended for it does.
            None => all().filter(|l| !is_here(l)).find_map(Line::ended_by).filter(|by| Some(*by) != this),
        }
        .cloned()
    };
    // What no line bills tells nothing.
    let is_billed = |line: &&OrderLine| {
        let billed = matches!(builder.context.billing_of(&line.product), Some(Billing::As(_)));
        line.charge == Charge::Recurring && billed && !line.unit_price.is_some_and(Money::is_zero)
    };
    let mut sold = order.lines.iter().filter(is_billed).peekable();
    let Some(first) = sold.peek().copied() else { return false };
    let Some(by) = moved_by(first).filter(|_| sold.all(|line| moved_by(line).is_some())) else {
        return false;
    };
    let message = format!(
        "Order {} moves the subscription to another customer, and order {by} did so before: what it bills once would be \
         billed twice, so nothing is written for it.",
        order.shown(),
    );
    withhold(builder, &first.product, message);
    true
}

/// The same for an order that leaves nothing of what another one has ended already. What bills the day of this order, or a
/// day after it, is there, whether it is dated to end or not; save where an order of an earlier day, or of the same one,
/// ended it with the period that was paid.
pub fn is_gone_already(builder: &mut Builder<'_, '_>, order: &Order, product: &ProductId, day: Date) -> bool {
    let this = builder.context.order_id();
    let lines = || builder.own_lines_for(product, Role::Recurring);
    let ends_later = |by: &OrderId| {
        let known = over::carried_out(builder).find(|known| known.id == *by);
        known.is_some_and(|known| known.effective > order.effective)
    };
    let is_there = |line: &Line<'_>| {
        line.state.cancelled.is_none_or(|last| last >= day)
            && over::ender(builder, line).is_none_or(ends_later)
    };
    if lines().any(is_there) || !may_ask(builder) {
        return false;
    }
    // An order that put another line in the place of one has ended nothing.
    let began = |by: &&OrderId| {
        lines().any(|l| l.is_made_by(Some(by)))
            || builder.own_links_for(product, Role::Recurring).any(|l| l.order.as_ref() == Some(*by))
    };
    let removed = builder.own_links_for(product, Role::Recurring).filter(|l| l.deleted);
    let removed = removed.filter_map(|l| l.removed_by().filter(|by| l.order.as_ref() != Some(*by)));
    let enders = lines().filter_map(Line::ended_by).chain(removed);
    let by = enders.filter(|by| !began(by)).find(|by| Some(*by) != this);
    let Some(by) = by.filter(|by| !late::is_younger(builder, by)).cloned() else { return false };
    let message = format!(
        "Order {} ends {}, and order {by} ended it before: what it gives back would go back twice, so nothing is written \
         for it.",
        order.shown(),
        builder.context.product_name(product),
    );
    withhold(builder, product, message);
    true
}

/// Keeps a product back of an order that may have been sent twice.
pub fn withhold(builder: &mut Builder<'_, '_>, product: &ProductId, message: String) {
    let finding = builder.about(Code::Tu5001, product, message).severity(Severity::Error).fix(FIX);
    builder.withhold(finding);
}

/// Keeps a cancellation back of what another one has ended and charged for: no line goes on, and a fee was billed or money
/// given back for it. Whether it is kept back.
pub fn is_cancelled_already(builder: &mut Builder<'_, '_>, order: &Order) -> bool {
    let recurring =
        || builder.own_lines().filter(|l| l.origin.as_ref().is_some_and(|o| o.role() == Role::Recurring));
    let charges = order.lines.iter().any(|l| matches!(l.charge, Charge::Cancellation | Charge::Refund));
    // What its commitment alone has dated goes on; what a cancellation has dated is cancelled.
    let goes_on =
        |l: &Line<'_>| over::goes_on(builder, l, order.effective) && over::ender(builder, l).is_none();
    if !charges || recurring().any(goes_on) || !may_ask(builder) {
        return false;
    }
    let context = builder.context;
    let this = context.order_id();
    let removed = builder.own_links().iter().filter(|l| l.deleted && l.role == Role::Recurring);
    let enders: BTreeSet<&OrderId> = recurring()
        .filter_map(Line::ended_by)
        .chain(removed.filter_map(|l| l.removed_by()))
        .filter(|by| Some(*by) != this && !late::is_younger(builder, by))
        .collect();
    let repeats = |line: &&Line<'_>| {
        let Some(origin) = &line.origin else { return false };
        let asked = |charge: Charge| {
            order
                .lines
                .iter()
                .any(|l| l.charge == charge && (l.charge != Charge::Refund || l.product == *origin.product()))
        };
        match origin.role() {
            Role::Cancellation => asked(Charge::Cancellation),
            Role::Refund => asked(Charge::Refund),
            Role::Recurring
            | Role::Setup
            | Role::Overuse
            | Role::Prorate
            | Role::OneTime
            | Role::Quantity => false,
        }
    };
    // What was sold again and ended otherwise since is another matter.
    let completed = |of: &OrderId| context.world.completed.get(&(context.task.source.clone(), of.clone()));
    let last = enders.iter().filter_map(|by| completed(by)).max();
    let by = builder.own_lines().filter(repeats).filter_map(|l| l.origin.as_ref()?.order());
    let Some(by) = by.filter(|by| enders.contains(by) && completed(by) >= last).last().cloned() else {
        return false;
    };
    let message = format!(
        "Order {} cancels subscription {}, and order {by} cancelled it before: its fee and what it gives back would be \
         written twice, so nothing is written for it.",
        order.shown(),
        builder.context.task.subscription,
    );
    let finding =
        Finding::new(Code::Tu5001, builder.context.subject(), message).severity(Severity::Error).fix(FIX);
    builder.withhold(finding);
    true
}

/// What a line charges once, for which days.
#[derive(PartialEq)]
struct Charged<'s> {
    product: &'s ProductId,
    role: Role,
    days: Option<Period>,
    item: CatalogItemId,
    quantity: Quantity,
    price: Money,
    cost: Money,
}

impl<'s> Charged<'s> {
    fn of(product: &'s ProductId, role: Role, true_period: Option<Period>, state: &AdditionState) -> Self {
        let dated = || Period::new(state.effective, next_day(state.cancelled?)).ok();
        Self {
            product,
            role,
            days: true_period.or_else(dated),
            item: state.catalog_item,
            quantity: state.quantity,
            price: state.unit_price,
            cost: state.unit_cost,
        }
    }
}

/// Keeps a billing order back that charges all of what another order has charged, for the same days, and nothing else: use
/// comes with its amount, and no state tells that it was billed before. Looks at what the order is about to write.
pub fn is_charged_already(builder: &mut Builder<'_, '_>, order: &Order) -> Result<bool, MoneyError> {
    let this = builder.context.order_id();
    let created = |change: &'_ Change| match &change.action {
        Action::Create { wanted } => Some((**wanted).clone()),
        Action::Update { .. } | Action::Cancel { .. } | Action::Delete { .. } | Action::Keep { .. } => None,
    };
    let written: Vec<(Change, AdditionState)> =
        builder.own_changes().filter_map(|change| Some((change.clone(), created(change)?))).collect();
    let asked: Vec<Charged<'_>> =
        written.iter().map(|(c, wanted)| Charged::of(&c.product, c.role, c.true_period, wanted)).collect();
    let mut by_order: BTreeMap<&OrderId, Vec<Charged<'_>>> = BTreeMap::new();
    for line in builder.own_lines() {
        let Some(origin) = &line.origin else { continue };
        if let Some(by) = origin.order().filter(|by| Some(*by) != this) {
            let charged =
                Charged::of(origin.product(), origin.role(), origin.true_period(), origin.written());
            by_order.entry(by).or_default().push(charged);
        }
    }
    let same = |of: &Vec<Charged<'_>>| {
        let mut left: Vec<&Charged<'_>> = of.iter().collect();
        asked.iter().all(|charge| match left.iter().position(|other| *other == charge) {
            Some(at) => {
                left.swap_remove(at);
                true
            }
            None => false,
        }) && left.is_empty()
    };
    let by = by_order.iter().find(|(_, of)| !asked.is_empty() && same(of)).map(|(by, _)| (*by).clone());
    let Some(by) = by else { return Ok(false) };
    let currency = builder.context.currency;
    let sum = written.iter().try_fold(Money::ZERO, |sum, (_, wanted)| {
        sum.plus(wanted.unit_price.extended(wanted.quantity, currency)?)
    })?;
    let message = format!(
        "Order {} charges {} {currency} for {}, and order {by} charged the same for the same days: it may have been sent twice, \
         so nothing is written for it.",
        order.shown(),
        sum.shown(currency),
        order.period,
    );
    let finding = Finding::new(Code::Tu5001, builder.context.subject(), message)
        .severity(Severity::Error)
        .amount(sum, currency)
        .fix("Ignore the task with a reason where the order was sent twice; where both are meant, `--no-adopt` carries it out.");
    builder.withhold(finding);
    Ok(true)
}
