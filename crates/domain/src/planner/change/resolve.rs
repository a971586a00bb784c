//! What a change order asks for, product by product: the old line, the old and the new level and price.

use super::{Asked, Item, Moment, hand_price, signed};
use crate::feed::{Order, OrderKind, OrderLine};
use crate::finding::{Code, Severity};
use crate::money::{Money, Quantity, RoundingMode};
use crate::period::next_day;
use crate::plan::{Role, Target};
use crate::planner::builder::Builder;
use crate::planner::by_hand;
use crate::planner::context::Stop;
use crate::planner::late;
use crate::planner::lines::{self, Existing, PartPolicy, billed_quantity, item_for};
use crate::planner::over;
use crate::planner::part::{self, Prices};
use crate::planner::picture::Line;
use crate::planner::reconciled;
use crate::planner::sales::{self, commitment_last};
use crate::planner::twice;
use crate::psa::{AdditionState, CatalogItem};
use crate::settings::PriceSource;
use jiff::civil::Date;
use std::borrow::Cow;

/// Old and new state of one line, or nothing where it asks for nothing or is kept back. From the day `ahead` on an older
/// order gave another state: then the item is of the days before it.
pub(super) fn resolve<'a, 'o>(
    builder: &mut Builder<'_, 'a>,
    order: &Order,
    line: &'o OrderLine,
    moment: Moment,
    ahead: Option<Date>,
) -> Result<Asked<'a, 'o>, Stop> {
    let Some(item) = item_for(builder, line)? else { return Ok(Asked::Nothing) };
    if lines::is_billed_afterwards(builder, line) || contradicts_itself(builder, order, line)? {
        return Ok(Asked::Nothing);
    }
    let Some(found) = old_lines(builder, order, line, item, moment)? else { return Ok(Asked::Nothing) };
    let there = Old::of(builder, order, line, item, moment, found, ahead)?;
    if signed::starts_from_nowhere(builder, order, line, there.quantity()) {
        return Ok(Asked::Nothing);
    }
    let Some(levels) = levels(builder, order, line, there.quantity())? else { return Ok(Asked::Nothing) };
    if let Some(settled) = settled(builder, order, line, moment, &there, levels)? {
        return Ok(settled);
    }
    let Some((old, new)) = prices(builder, order, line, item, (&there, moment), levels)? else {
        return Ok(Asked::Nothing);
    };
    let (mut old_quantity, new_quantity) = levels;
    // A line that ends with its commitment does not go on by itself: its renewal begins another, and dates one that has no
    // end yet.
    let renews = order.kind == OrderKind::Renewal;
    let is_dated = renews && commitment_last(builder, moment.effective).is_some();
    let bills_on = |l: &Line<'_>| match l.state.is_open() {
        true => !is_dated,
        false => l.state.bills_on(moment.effective) && !late::takes_back(builder, order, l),
    };
    let goes_on = there.existing.as_ref().is_some_and(bills_on);
    let is_over = |l: &Line<'_>| l.state.cancelled.is_some_and(|last| last < moment.effective);
    let ended = renews
        && there.until.is_none()
        && !there.is_replaced
        && there.also.is_empty()
        && there.existing.as_ref().is_some_and(is_over);
    if ended || late::begins_again(builder, order, &line.product, moment.effective).is_some() {
        // Nothing of the renewed days is billed by what ended before them.
        old_quantity = Quantity::ZERO;
    }
    let delta = new_quantity.minus(old_quantity)?;
    if delta.is_zero() && old == (Prices { cost_known: true, ..new }) && goes_on {
        return Ok(Asked::Nothing);
    }
    if includes_some(builder, line, there.existing.as_ref()) {
        return Ok(Asked::Nothing);
    }
    let Old { existing, also, until, .. } = there;
    let ahead = ahead.is_some() && until == ahead;
    let item = Item {
        line: Cow::Borrowed(line),
        item,
        existing,
        also,
        old_quantity,
        new_quantity,
        delta,
        old,
        new,
        moment,
        until,
        ahead,
    };
    Ok(Asked::For(Box::new(item)))
}

/// Keeps a line back whose quantities are not the change that it names.
fn contradicts_itself(builder: &mut Builder<'_, '_>, order: &Order, line: &OrderLine) -> Result<bool, Stop> {
    let (Some(old), Some(new)) = (line.old_quantity, line.new_quantity) else { return Ok(false) };
    if order.kind != OrderKind::Change || new.minus(old)? == line.quantity {
        return Ok(false);
    }
    let message = format!(
        "Line {} changes by {}, but from {} to {} is another difference.",
        line.id,
        line.quantity.shown(),
        old.shown(),
        new.shown()
    );
    let finding = builder.about(Code::Tu5004, &line.product, message);
    builder.withhold(finding);
    Ok(true)
}

/// The line that bills the old state, with others that do so together with it.
type Found<'a> = (Option<Line<'a>>, Vec<Line<'a>>);

/// What bills the old state; nothing where that cannot be told and the product is kept back.
fn old_lines<'a>(
    builder: &mut Builder<'_, 'a>,
    order: &Order,
    line: &OrderLine,
    item: &CatalogItem,
    moment: Moment,
) -> Result<Option<Found<'a>>, Stop> {
    let existing = match lines::line_of(builder, line, item, moment.effective) {
        Existing::Line(line) => Some(*line),
        Existing::Nothing if is_billed_elsewhere(builder, order, line, item, moment) => return Ok(None),
        Existing::Nothing => None,
        Existing::Undecided | Existing::Several => return Ok(None),
    };
    // A line that somebody made by hand and dated to end is the line of the change: no order has ended it.
    let taken_now = existing.as_ref().is_some_and(|there| builder.was_taken_over_now(there));
    let goes_up_to_its_end = taken_now
        || over::is_billed_up_to_its_end(builder, &line.product, moment.effective)
        || over::is_ended_since(builder, &line.product, existing.as_ref(), moment.said);
    if !goes_up_to_its_end && late::was_ended(builder, order, line, existing.as_ref(), moment.effective) {
        return Ok(None);
    }
    let Some(also) = also_billed(builder, line, existing.as_ref(), moment.effective) else { return Ok(None) };
    if let (Some(there), Some(old), true) = (&existing, line.old_quantity, also.is_empty())
        && by_hand::is_one_of_several(builder, &line.product, item, there, old, moment.effective)
    {
        return Ok(None);
    }
    Ok(Some((existing, also)))
}

/// What is known of the old state.
struct Old<'a> {
    /// The line that bills it.
    existing: Option<Line<'a>>,
    /// Others that do so together with it.
    also: Vec<Line<'a>>,
    /// What all of them bill.
    sum: Option<Line<'a>>,
    /// Where a later order was carried out: the day from which its state is billed.
    until: Option<Date>,
    /// Whether an earlier run of this very order took its line away.
    is_replaced: bool,
    /// The state that the order starts from.
    state: Option<AdditionState>,
    /// How many units a line of one stands for.
    units: Option<Quantity>,
}

impl<'a> Old<'a> {
    fn of(
        builder: &Builder<'_, 'a>,
        order: &Order,
        line: &OrderLine,
        item: &CatalogItem,
        moment: Moment,
        (existing, also): Found<'a>,
        ahead: Option<Date>,
    ) -> Result<Self, Stop> {
        let absolute = line.new_quantity.is_some() || order.kind == OrderKind::Renewal;
        let state_after = |l: &Line<'_>| late::later_state(builder, l, moment.said);
        // Differences that follow move with this one: they are no state that stays.
        let followed = late::differences_follow(builder, &line.product, moment.said);
        let later = existing.as_ref().filter(|_| absolute && !followed).and_then(state_after);
        let of_one = |until: Date| {
            late::first_of_one(builder, &line.product, moment.said).map_or(until, |at| at.min(until))
        };
        let days = (moment.said, moment.period);
        let level = absolute.then(|| reconciled::next_level(builder, line, days)).flatten();
        let without = later.and_then(|_| late::counted_without(builder, line, moment.said));
        let later = later.into_iter().chain(without);
        let until = later.chain(level).min().map(of_one).into_iter().chain(ahead);
        let until = until.chain(over::since(builder, &line.product)?).min();
        let (existing, also) = match until {
            Some(_) => (late::billing_on(builder, &line.product, moment.effective), Vec::new()),
            None => in_turn(builder, line, existing, also, moment.effective),
        };
        let sum = existing.as_ref().map(|one| lines::together(one, &also, moment.effective)).transpose()?;
        let held = until.and_then(|_| late::state_on(builder, &line.product, moment.said));
        let replaced = replaced_before(builder, line, existing.as_ref());
        let is_replaced = replaced.is_some();
        // A line that a later order edited in place shows what held only from that one on.
        let shown = existing.as_ref().filter(|l| followed || state_after(l).is_none());
        let shown = shown.and(sum.as_ref()).map(|sum| (*sum.state).clone());
        let state = held.or(replaced).or(shown);
        let starts_from =
            line.old_quantity.or(line.new_quantity.and_then(|new| new.minus(line.quantity).ok()));
        let unit = match builder.context.price_source {
            PriceSource::Marketplace => line.unit_price.or(item.price),
            // What the source asks for a unit says nothing of a line that ConnectWise prices.
            PriceSource::Connectwise => item.price,
        };
        let units = match &state {
            Some(state) => all_in_one(state, starts_from.unwrap_or(line.quantity), unit)?,
            None => None,
        };
        Ok(Self { existing, also, sum, until, is_replaced, state, units })
    }

    /// How many units are billed.
    fn quantity(&self) -> Option<Quantity> {
        self.state.as_ref().map(|state| self.units.unwrap_or(state.quantity))
    }

    /// What one of them costs.
    fn prices(&self) -> Result<Option<Prices>, Stop> {
        self.state.as_ref().map(|state| unit_prices(state, self.units)).transpose()
    }
}

/// The quantities that the line goes from and to, as they are billed; nothing where one of them is below zero.
fn levels(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    line: &OrderLine,
    there: Option<Quantity>,
) -> Result<Option<(Quantity, Quantity)>, Stop> {
    let (old, new) = match order.kind {
        OrderKind::Renewal => {
            let old = line.old_quantity.or(there).unwrap_or_default();
            (old, line.new_quantity.unwrap_or(line.quantity))
        }
        OrderKind::Sales
        | OrderKind::Change
        | OrderKind::Billing
        | OrderKind::Cancellation
        | OrderKind::Transfer => {
            let old = match (line.old_quantity, line.new_quantity) {
                (Some(old), _) => old,
                (None, Some(new)) => new.minus(line.quantity)?,
                (None, None) => there.unwrap_or_default(),
            };
            (old, line.new_quantity.map_or_else(|| old.plus(line.quantity), Ok)?)
        }
    };
    if new.is_negative() || old.is_negative() {
        let message =
            format!("Line {} would change the quantity from {} to {}.", line.id, old.shown(), new.shown());
        let finding = builder.about(Code::Tu5004, &line.product, message);
        builder.withhold(finding);
        return Ok(None);
    }
    let billed = |quantity| billed_quantity(builder, &line.product, quantity);
    Ok(Some((billed(old), billed(new))))
}

/// What becomes of a line that is settled by what is there: carried out by hand, sent before, or never billed. What the
/// order starts from and the line does not bill is said.
fn settled<'a, 'o>(
    builder: &mut Builder<'_, 'a>,
    order: &Order,
    line: &OrderLine,
    moment: Moment,
    there: &Old<'a>,
    (old, new): (Quantity, Quantity),
) -> Result<Option<Asked<'a, 'o>>, Stop> {
    let in_turn = there.until.is_none();
    let by_hand = there.sum.as_ref().filter(|l| !builder.is_named_by_mapping(l, &line.product));
    let untouched = |l: &&Line| l.origin.as_ref().is_none_or(|o| o.order().is_none() && o.edits().is_empty());
    let by_hand = by_hand.filter(|l| l.key().is_none()).filter(untouched).map(|l| l.state.quantity);
    if by_hand.is_some_and(|bills| signed::may_be_carried_out(builder, order, line, bills)) {
        return Ok(Some(Asked::Nothing));
    }
    if order.kind == OrderKind::Change && in_turn && there.units.is_none() {
        if let Some(hand) = there.sum.as_ref()
            && by_hand::is_settled(builder, line, hand, (old, new))
        {
            if reconciled::wrote(hand) {
                let days = (moment.effective, moment.period);
                reconciled::tell_days_before(builder, line, days, (old, new))?;
            }
            return Ok(Some(Asked::ByHand));
        }
        if is_said_again(builder, order, line, moment, there, (old, new)) {
            return Err(builder.keep_all_back());
        }
    }
    let is_billed = there.existing.is_some() || there.is_replaced || late::has_taken(builder, &line.product);
    if new.is_zero() && !is_billed && in_turn {
        // Nothing bills it: there is nothing to end, and nothing to give back. A sale of it that comes later bills the days
        // before this order.
        tell_mismatch(builder, line, None, old);
        return Ok(Some(Asked::Nothing));
    }
    if there.units.is_none() && !there.is_replaced && in_turn {
        tell_mismatch(builder, line, there.sum.as_ref(), old);
    }
    Ok(None)
}

/// Whether another order did already what this one asks for. A change of the whole period that no invoice has billed yet
/// brings what is there, and bills nothing twice.
fn is_said_again(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    line: &OrderLine,
    moment: Moment,
    there: &Old<'_>,
    (old, new): (Quantity, Quantity),
) -> bool {
    let bills_days = moment.effective != moment.period.start()
        || builder.is_invoiced(builder.context.agreement, moment.effective);
    match &there.existing {
        _ if !bills_days => false,
        _ if new.is_zero() => {
            !old.is_zero() && twice::is_gone_already(builder, order, &line.product, moment.effective)
        }
        Some(existing) if there.also.is_empty() => {
            twice::is_changed_already(builder, order, line, existing, (old, new), moment.said)
                || sales::over_with_its_term(builder, existing, moment.period.end()).is_some()
                    && twice::has_part_already(builder, order, line, existing, (old, new), moment.said)
        }
        Some(_) | None => false,
    }
}

/// Prices and costs of a unit before the change and after it; nothing where the new ones are not known.
fn prices(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    line: &OrderLine,
    item: &CatalogItem,
    (old, moment): (&Old<'_>, Moment),
    (old_quantity, new_quantity): (Quantity, Quantity),
) -> Result<Option<(Prices, Prices)>, Stop> {
    let there = old.prices()?;
    let new = if new_quantity.is_zero() {
        // What goes needs no price of its own: the one it had counts.
        part::prices_of(builder.context, line, item, there).or(there)
    } else {
        lines::prices(builder, line, item, there)
    };
    let Some(new) = new else { return Ok(None) };
    if new.price.is_zero() && !new_quantity.is_zero() {
        lines::tell_free_in_the_catalog(builder, line, item, new_quantity)?;
    }
    let there = match there.zip(old.quantity().filter(|_| old.units.is_none())) {
        Some((there, quantity)) => {
            let context = builder.context;
            Some(part::unrounded(context.world.settings, context.currency, there, quantity, new)?)
        }
        None => there,
    };
    let mut before = Prices {
        price: line.old_unit_price.or(there.map(|p| p.price)).unwrap_or(new.price),
        cost: match line.old_unit_cost {
            Some(cost) => cost,
            None => old_cost(line, there, new)?,
        },
        cost_known: true,
    };
    let by_hand = |l: &&Line| l.origin.as_ref().is_some_and(|o| o.order().is_none() && o.edits().is_empty());
    let hand = old.sum.as_ref().filter(by_hand).filter(|l| old.until.is_none() && l.key().is_none());
    if let Some(hand) = hand.filter(|_| !new_quantity.is_zero()) {
        let shows = part::shows(builder.context, &hand.state, new.price);
        // A renewal names what all of its units cost from its period on.
        let alone = order.kind != OrderKind::Renewal
            && line.old_unit_price.is_none()
            && line.unit_price.is_some()
            && old_quantity != new_quantity;
        let is_known = || hand_price::is_of_the_source(builder, &line.product, hand);
        if alone && old.units.is_none() && !old_quantity.is_zero() && !shows && !is_known() {
            before = Prices { cost_known: true, ..new };
            hand_price::tell(builder, &line.product, hand, moment, (old_quantity, new.price))?;
        }
        by_hand::tell_if_not_billed(builder, &line.product, hand, new_quantity);
    }
    Ok(Some((before, new)))
}

/// Keeps a product back of whose line a part is included, and not billed: a line that replaces it would bill all.
fn includes_some(builder: &mut Builder<'_, '_>, line: &OrderLine, existing: Option<&Line<'_>>) -> bool {
    let included = existing.filter(|l| !l.less_included.is_zero());
    let Some(there) = included.filter(|l| !builder.is_named_by_mapping(l, &line.product)) else {
        return false;
    };
    let message = format!(
        "{} of {} {} are included and not billed on its addition: a line that replaces it would bill them.",
        there.less_included.shown(),
        there.state.quantity.shown(),
        builder.context.product_name(&line.product)
    );
    let finding = builder
        .about(Code::Tu7002, &line.product, message)
        .fix("Map the addition (kind addition) to let the new line bill all of them, or end it and begin another by hand.");
    builder.withhold(finding);
    true
}

/// The other lines that a person named as the product's line together with this one, as far as they bill still; nothing
/// where one of them cannot be told.
fn also_billed<'a>(
    builder: &mut Builder<'_, 'a>,
    line: &OrderLine,
    existing: Option<&Line<'a>>,
    from: Date,
) -> Option<Vec<Line<'a>>> {
    let named = builder.named_additions(&line.product);
    let is_named = |l: &Line| named.iter().any(|id| l.target == Target::Existing(*id));
    let Some(one) = existing.filter(|one| named.len() > 1 && is_named(one)) else { return Some(Vec::new()) };
    let mut also = Vec::new();
    for other in builder.mapped_lines(&line.product) {
        let bills = other.state.cancelled.is_none_or(|last| next_day(last) >= from);
        if other.target == one.target || !bills {
            continue;
        }
        match lines::judge(builder, &line.product, other) {
            Existing::Line(other) => also.push(*other),
            Existing::Nothing => {}
            Existing::Undecided | Existing::Several => return None,
        }
    }
    Some(also)
}

/// A line that begins later may go on from one that ends the day before it: then that one is what the order changes, and
/// the other one ends with it. So for lines by hand, and where ConnectWise prorates, for all: the new line begins on the day
/// of the order, and nothing else bills it.
fn in_turn<'a>(
    builder: &Builder<'_, 'a>,
    line: &OrderLine,
    existing: Option<Line<'a>>,
    mut also: Vec<Line<'a>>,
    from: Date,
) -> (Option<Line<'a>>, Vec<Line<'a>>) {
    // Both are by hand: what an order wrote in the place of a line that it ended is the line of now.
    let by_dates = matches!(lines::part_policy(builder), Ok(PartPolicy::Connectwise));
    let is_later = |l: &&Line<'_>| l.state.effective > from && (by_dates || l.key().is_none());
    let Some(later) = existing.as_ref().filter(is_later) else { return (existing, also) };
    let order = builder.context.order_id();
    let before = builder.own_lines().find(|l| {
        l.is_for(&line.product, Role::Recurring)
            && !l.is_made_by(order)
            && (by_dates || l.origin.as_ref().is_some_and(|o| o.order().is_none()))
            && l.state.bills_on(from)
            && l.state.cancelled.map(next_day) == Some(later.state.effective)
    });
    match before.cloned() {
        Some(before) => {
            also.extend(existing);
            (Some(before), also)
        }
        None => (existing, also),
    }
}

/// More places than any price has: what is left of the rounding is lost where the line is rounded.
const PLACES: u32 = 10;

/// Whether lines by hand on other agreements may bill what the order goes on from.
fn is_billed_elsewhere(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    line: &OrderLine,
    item: &CatalogItem,
    moment: Moment,
) -> bool {
    let from_nothing = match (line.old_quantity, line.new_quantity) {
        (Some(old), _) => old.is_zero(),
        (None, Some(new)) => order.kind != OrderKind::Renewal && new == line.quantity,
        (None, None) => false,
    };
    !from_nothing && by_hand::is_elsewhere(builder, &line.product, item, moment.effective, Severity::Error)
}

/// The state of the line that an earlier run of this very order edited, took away or ended, where what is there does not
/// show it. An order that leaves nothing has no line of its own to tell an earlier run by.
fn replaced_before(
    builder: &Builder<'_, '_>,
    line: &OrderLine,
    existing: Option<&Line>,
) -> Option<AdditionState> {
    let there = match existing.map(|l| &l.target) {
        Some(Target::Existing(id)) => Some(*id),
        Some(Target::CreatedBy(_)) => return None,
        None => None,
    };
    let order = builder.context.order_id()?;
    if let Some(edit) = existing.and_then(|line| line.last_edit_by(order)) {
        return Some(edit.before.clone());
    }
    let of_product = || builder.own_lines_for(&line.product, Role::Recurring);
    let own = of_product().find(|l| l.is_made_by(Some(order)));
    if own.is_none() && line.new_quantity.is_none_or(|new| !new.is_zero()) {
        return None;
    }
    let others = of_product().filter(|l| !l.is_made_by(Some(order))).filter_map(|l| match &l.target {
        Target::Existing(id) => Some((*id, l)),
        Target::CreatedBy(_) => None,
    });
    let youngest = others.max_by_key(|(id, _)| *id);
    // What is there since was made after it: where an undo brought it back, that line is the one to be replaced.
    let floor = youngest.as_ref().map(|(id, _)| *id).max(there);
    let gone = builder
        .own_links_for(&line.product, Role::Recurring)
        .filter(|l| l.order.as_ref() != Some(order) && late::is_removed_by_this(builder, l))
        .max_by_key(|l| l.addition);
    if let Some(gone) = gone.filter(|gone| floor.is_none_or(|floor| gone.addition > floor)) {
        return Some(gone.written.clone());
    }
    let (_, ended) = youngest.filter(|_| existing.is_none())?;
    match ended.ended_by() {
        Some(by) => (by == order).then(|| (*ended.state).clone()),
        // From before that was remembered.
        None => {
            let begins = own.map(|own| own.state.effective)?;
            (ended.state.cancelled.map(next_day) == Some(begins)).then(|| (*ended.state).clone())
        }
    }
}

/// How many units a line of one stands for, where it shows what those that the order starts from cost together.
fn all_in_one(
    there: &AdditionState,
    starts_from: Quantity,
    unit: Option<Money>,
) -> Result<Option<Quantity>, Stop> {
    let one = Quantity::from(1);
    let Some(unit) = unit.filter(|unit| !unit.is_zero()) else { return Ok(None) };
    let several = there.quantity == one && starts_from > one;
    Ok((several && part::is_all_in_one(there.unit_price, starts_from, unit)?).then_some(starts_from))
}

/// What a unit cost before: as the line shows, where the order starts from the price that it shows. From another price (an
/// order came out of turn) it is the cost of that one where the order knows it, else in the ratio of the two prices.
fn old_cost(line: &OrderLine, there: Option<Prices>, new: Prices) -> Result<Money, Stop> {
    let Some(there) = there else { return Ok(new.cost) };
    match line.old_unit_price {
        Some(old) if old != there.price && old == new.price => Ok(new.cost),
        Some(old) if old != there.price && !there.price.is_zero() => {
            let ratio = old.exact().over(there.price.exact())?;
            let cost = there.cost.exact().times(ratio)?.round(PLACES, RoundingMode::HalfUp)?;
            Ok(Money::new(cost.normalize()))
        }
        Some(_) | None => Ok(there.cost),
    }
}

/// Price and cost of one of the units that a line stands for.
fn unit_prices(there: &AdditionState, units: Option<Quantity>) -> Result<Prices, Stop> {
    let one_of = |all: Money| -> Result<Money, Stop> {
        let Some(units) = units else { return Ok(all) };
        let unit = all.exact().over(units.exact())?.round(PLACES, RoundingMode::HalfUp)?;
        Ok(Money::new(unit.normalize()))
    };
    Ok(Prices { price: one_of(there.unit_price)?, cost: one_of(there.unit_cost)?, cost_known: true })
}

pub(super) fn tell_mismatch(
    builder: &mut Builder<'_, '_>,
    line: &OrderLine,
    existing: Option<&Line>,
    old: Quantity,
) {
    let name = builder.context.product_name(&line.product);
    match existing {
        Some(there)
            if there.state.quantity != old && line.old_quantity.is_some() && there.state.is_open() =>
        {
            let message = format!(
                "The order changes {name} from {}, the addition bills {}.",
                old.shown(),
                there.state.quantity.shown()
            );
            let finding = builder.about(Code::Tu5001, &line.product, message);
            builder.find(finding);
        }
        None if !old.is_zero() => {
            let message = format!(
                "The order changes {name} from {}, and no addition bills it: what was sold before the change is billed \
                 nowhere.",
                old.shown()
            );
            let context = builder.context;
            let fix = match context.order_period {
                Some(period) => format!(
                    "Reconcile the period, whether the change is written before or after it: `trueup plan --reconcile \
                     {}..{} --customer {}`.",
                    period.start(),
                    period.end(),
                    context.customer_id
                ),
                None => "Reconcile the customer.".to_owned(),
            };
            let currency = context.currency;
            let mut finding = builder.about(Code::Tu8006, &line.product, message).fix(fix);
            let price = line.old_unit_price.or(line.unit_price);
            if let Some(Ok(amount)) = price.map(|price| price.extended(old, currency)) {
                finding = finding.amount(amount, currency);
            }
            builder.find(finding);
        }
        Some(_) | None => {}
    }
}
