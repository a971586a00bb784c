//! The other ways to show a part period: one line with an averaged price (single), the full line with a correction
//! (dual), and lines dated by the commitment.

mod days;

use super::builder::{Builder, NewLine};
use super::change::new_line;
use super::context::Stop;
use super::late;
use super::lines::{double_proration, write_once};
use super::part::{self, Expressed, Prices};
use super::picture::Line;
use super::sales::commitment_last;
use crate::feed::{Order, OrderLine};
use crate::ids::ProductId;
use crate::money::{Exact, Money, Quantity};
use crate::period::{Period, previous_day};
use crate::plan::Role;
use crate::proration::Share;
use crate::psa::CatalogItem;
use crate::settings::LineMode;
use jiff::civil::Date;

/// One product's change within a period.
pub struct Shift<'a, 'o> {
    /// The order's line.
    pub line: &'o OrderLine,
    /// Its item.
    pub item: &'a CatalogItem,
    /// The line that is there.
    pub existing: Option<Line<'a>>,
    /// Price and cost of the old state for a whole period.
    pub old_value: (Exact, Exact),
    /// Quantity of the new state.
    pub new_quantity: Quantity,
    /// Prices of the new state.
    pub new: Prices,
    /// What the source itself says that the days from the change on cost more, price and cost.
    pub named: Option<(Exact, Exact)>,
    /// The last day of the line whose place it takes, where an order has ended that ahead.
    pub ends: Option<Date>,
    /// The day since which the new state holds.
    pub since: Date,
    /// First day of it that is billed.
    pub effective: Date,
    /// The period.
    pub period: Period,
    /// Where an earlier run began this and invoices were made since: the day up to which they have billed.
    pub paid_to: Option<Date>,
}

impl Shift<'_, '_> {
    /// The day on which the new state takes the old line's place; what is invoiced of that one stays.
    fn replaces_from(&self, begin: Date) -> Date {
        self.paid_to.map_or(begin, |paid| begin.max(paid))
    }
}

/// Shows the change in the mode of the settings.
pub fn transition<'a>(
    builder: &mut Builder<'_, 'a>,
    order: &Order,
    shift: &Shift<'a, '_>,
) -> Result<(), Stop> {
    let begun_as_part = [Role::Recurring, Role::Prorate]
        .into_iter()
        .any(|role| builder.written(shift.line.id.as_str(), role, shift.effective).is_some());
    let agreement = builder.context.agreement;
    if agreement.prorates && !begun_as_part && is_begun(builder, shift) {
        // It was begun in a form that is not right since somebody switched the flag on.
        return Err(double_proration(builder, agreement));
    }
    if agreement.prorates {
        let why =
            format!("agreement {} prorates by itself and would bill a share of a full line", agreement.id);
        super::change::fell_back(builder, &shift.line.product, &why);
        return part_line(builder, order, shift);
    }
    if begun_as_part || !is_begun(builder, shift) && !bills_old_state(builder, shift)? {
        return part_line(builder, order, shift);
    }
    if builder.context.world.settings.line_mode == LineMode::Single && single(builder, order, shift)? {
        return Ok(());
    }
    // Where lines of their own bill this period so far, no full line can be corrected: the rest is one more line.
    let begun_as_dual =
        builder.written(shift.line.id.as_str(), Role::Recurring, shift.period.start()).is_some();
    let next = shift.period.end();
    let begins_later = match &shift.existing {
        Some(there) => there.state.effective >= next,
        // An earlier run of this task may have taken it away, after it wrote what takes its place. What else is gone was
        // taken back, and is as if it had never been.
        None => {
            let order = builder.context.order_id();
            let wrote = shift.new_quantity.is_zero() || builder.own_lines().any(|l| l.is_made_by(order));
            wrote
                && builder.own_links().iter().any(|l| {
                    let of_it = l.role == Role::Recurring && l.product == shift.line.product;
                    of_it && l.deleted && l.written.effective >= next && late::is_removed_by_this(builder, l)
                })
        }
    };
    if begins_later && !begun_as_dual {
        part_line(builder, order, shift)
    } else {
        dual(builder, order, shift)
    }
}

/// Whether an earlier run of this task has written a line for the period as a whole. Where an order leaves nothing, and the
/// days from it on are all of the period by the count of days, the end of the old line is the only trace of it.
fn is_begun(builder: &Builder<'_, '_>, shift: &Shift<'_, '_>) -> bool {
    let written = |role, day| builder.written(shift.line.id.as_str(), role, day).is_some();
    let (start, end) = (shift.period.start(), shift.period.end());
    written(Role::Recurring, start)
        || written(Role::Recurring, end)
        || written(Role::Prorate, start)
        || shift.existing.is_none()
            && shift.new_quantity.is_zero()
            && late::ended_by_this(builder, &shift.line.product).is_some()
}

/// Whether what is there bills what the order starts from. Where it does not (an order between is not here yet), only
/// the difference that this order makes is known, and not what all of the period comes to.
fn bills_old_state(builder: &Builder<'_, '_>, shift: &Shift<'_, '_>) -> Result<bool, Stop> {
    let Some(there) = &shift.existing else {
        // An earlier run of this order may have taken away what it replaced.
        let order = builder.context.order_id();
        let gone = builder.own_links().iter().any(|l| {
            l.deleted
                && l.role == Role::Recurring
                && l.product == shift.line.product
                && l.order.as_ref() != order
                && late::is_removed_by_this(builder, l)
        });
        return Ok(gone || shift.old_value.0.is_zero());
    };
    let billed = there.state.unit_price.exact().times(there.state.quantity.exact())?;
    let apart = billed.minus(shift.old_value.0)?;
    let size = if apart.is_negative() { Exact::ZERO.minus(apart)? } else { apart };
    Ok(!builder.tolerance()?.minus(size)?.is_negative())
}

/// The difference for the rest of the period as a line of its own, and the new state from the next period on.
fn part_line<'a>(builder: &mut Builder<'_, 'a>, order: &Order, shift: &Shift<'a, '_>) -> Result<(), Stop> {
    let agreement = builder.context.agreement;
    let begin = shift.period.end();
    if !shift.new_quantity.is_zero() {
        let mut line = new_state(builder, order, shift, begin)?;
        line.key_day = Some(shift.effective);
        let last = last_of(builder, shift, begin);
        let kept_back = builder.kept_back();
        builder.recurring(agreement, line, begin, last, shift.period)?;
        if builder.kept_back() > kept_back {
            return Ok(());
        }
    }
    let days = shift.period.from_day(shift.effective).unwrap_or(shift.period);
    let share = builder.share(shift.period, days)?;
    let (value, cost) = new_value(shift)?;
    let (amount, amount_cost) = match shift.named {
        Some(named) => named,
        None => (
            value.minus(shift.old_value.0)?.times(share.exact()?)?,
            cost.minus(shift.old_value.1)?.times(share.exact()?)?,
        ),
    };
    if !amount.is_zero() {
        let settings = builder.context.world.settings;
        let mut money = part::one_unit(settings, builder.context.currency, amount, amount_cost)?;
        money.named.price = shift.named.is_some();
        money.formula = match shift.named {
            Some(_) => format!("as the order says: {}", money.formula),
            None => format!(
                "({} - {}) x {} = {}",
                part::short(value),
                part::short(shift.old_value.0),
                share,
                money.formula
            ),
        };
        let reason = format!("Order {}: the difference for {days}.", order.shown());
        bill_once(builder, shift, money, reason, days)?;
    }
    let Some(old) = &shift.existing else { return Ok(()) };
    let reason = format!("Order {}: the new line begins on {begin}.", order.shown());
    builder.end_last(old, last_before(builder, old, shift.replaces_from(begin)), reason);
    Ok(())
}

/// The last day of the new state's line: that of the commitment, or of the line whose place it takes.
fn last_of(builder: &Builder<'_, '_>, shift: &Shift<'_, '_>, begin: Date) -> Option<Date> {
    commitment_last(builder, begin).into_iter().chain(shift.ends).min()
}

/// The new state as a line that begins on `begin`, with the flags of the line it replaces.
fn new_state<'a>(
    builder: &Builder<'_, 'a>,
    order: &Order,
    shift: &Shift<'a, '_>,
    begin: Date,
) -> Result<NewLine<'a>, Stop> {
    let Shift { line, item, new_quantity, new, existing, since, .. } = shift;
    let line = new_line(builder, order, line, item, *new_quantity, *new, existing.as_ref(), begin)?;
    Ok(NewLine { since: Some(*since), ..line })
}

/// An amount of the change as a line that is billed once, where prorated lines go.
fn bill_once<'a>(
    builder: &mut Builder<'_, 'a>,
    shift: &Shift<'a, '_>,
    money: Expressed,
    reason: String,
    days: Period,
) -> Result<(), Stop> {
    let Shift { line, item, .. } = shift;
    let home = builder.proration_home();
    write_once(builder, home, line.id.as_str(), &line.product, item, Role::Prorate, money, None, reason, days)
}

/// Value of the new state for a whole period.
fn new_value(shift: &Shift<'_, '_>) -> Result<(Exact, Exact), Stop> {
    let quantity = shift.new_quantity.exact();
    Ok((shift.new.price.exact().times(quantity)?, shift.new.cost.exact().times(quantity)?))
}

fn dual<'a>(builder: &mut Builder<'_, 'a>, order: &Order, shift: &Shift<'a, '_>) -> Result<(), Stop> {
    let currency = builder.context.currency;
    let settings = builder.context.world.settings;
    let agreement = builder.context.agreement;
    let rest = shift.period.from_day(shift.effective).unwrap_or(shift.period);
    // The days before are what the part leaves: counted on their own, some day counts would not come to the whole.
    let part = builder.share(shift.period, rest)?;
    let before = Share { charged: part.whole - part.charged, whole: part.whole };
    let (value, cost) = new_value(shift)?;
    let factor = before.exact()?;
    let (less, less_cost) = (shift.old_value.0.minus(value)?, shift.old_value.1.minus(cost)?);
    let (correction, correction_cost) = match shift.named {
        Some((amount, amount_cost)) => (less.plus(amount)?, less_cost.plus(amount_cost)?),
        None => (less.times(factor)?, less_cost.times(factor)?),
    };
    // What nothing billed so far begins on its own day, as what is sold within the period does.
    let added = shift.existing.is_none() && shift.old_value.0.is_zero();
    let first = if added { shift.effective } else { shift.period.start() };
    let begun = shift.existing.as_ref().map_or(first, |l| l.state.effective);
    let start = begun.max(shift.period.start());
    if !shift.new_quantity.is_zero() {
        let mut line = new_state(builder, order, shift, start)?;
        line.key_day = Some(shift.period.start());
        let last = last_of(builder, shift, start);
        let kept_back = builder.kept_back();
        builder.recurring(agreement, line, start, last, shift.period)?;
        if builder.kept_back() > kept_back {
            return Ok(());
        }
    }
    if !correction.is_zero() {
        let mut money = part::one_unit(settings, currency, correction, correction_cost)?;
        money.formula = match shift.named {
            Some((amount, _)) => format!(
                "{} + {} as the order says - {} = {}",
                part::short(shift.old_value.0),
                part::short(amount),
                part::short(value),
                money.formula
            ),
            None => format!(
                "({} - {}) x {} = {}",
                part::short(shift.old_value.0),
                part::short(value),
                before,
                money.formula
            ),
        };
        money.named.price = shift.named.is_some();
        let reason = format!(
            "Order {}: the full line bills all of {}; this line brings it to what the days before and after {} cost.",
            order.shown(),
            shift.period,
            shift.effective
        );
        bill_once(builder, shift, money, reason, shift.period)?;
    }
    end_old(builder, order, shift);
    Ok(())
}

/// Whether the single line could be written; not where its drift would be too large.
fn single<'a>(builder: &mut Builder<'_, 'a>, order: &Order, shift: &Shift<'a, '_>) -> Result<bool, Stop> {
    let currency = builder.context.currency;
    let settings = builder.context.world.settings;
    let agreement = builder.context.agreement;
    // An earlier run of this very task may have written part of it: it is finished in the form it was begun in.
    let begun_as_single =
        builder.written(shift.line.id.as_str(), Role::Recurring, shift.period.end()).is_some();
    if builder.written(shift.line.id.as_str(), Role::Recurring, shift.period.start()).is_some() {
        return Ok(false);
    }
    let mut earlier = earlier_parts(builder, &shift.line.product, shift.period);
    earlier.retain(|line| !builder.is_billed(line));
    let days = shift.period.from_day(shift.effective).unwrap_or(shift.period);
    let share = builder.share(shift.period, days)?.exact()?;
    let (value, cost) = new_value(shift)?;
    // What bills this period so far: the old line where it does, and the part lines of earlier orders.
    let bills_now = shift.existing.as_ref().is_some_and(|l| l.state.effective < shift.period.end());
    let (mut base, mut base_cost) = if bills_now { shift.old_value } else { (Exact::ZERO, Exact::ZERO) };
    for line in &earlier {
        base = base.plus(line.state.unit_price.exact().times(line.state.quantity.exact())?)?;
        base_cost = base_cost.plus(line.state.unit_cost.exact().times(line.state.quantity.exact())?)?;
    }
    if let Some(exact) = days::exact_before(builder, shift, &earlier, base)? {
        (base, base_cost) = exact;
    }
    let (more, more_cost) = match shift.named {
        Some(named) => named,
        None => (value.minus(shift.old_value.0)?.times(share)?, cost.minus(shift.old_value.1)?.times(share)?),
    };
    let (actual, actual_cost) = (base.plus(more)?, base_cost.plus(more_cost)?);
    let mode = settings.rounding_mode;
    let places = currency.places();
    let mut money = part::one_unit(settings, currency, actual, actual_cost)?;
    if !shift.new_quantity.is_zero() {
        let unit = Money::new(actual.over(shift.new_quantity.exact())?.round(places, mode)?);
        let unit_cost = Money::new(actual_cost.over(shift.new_quantity.exact())?.round(places, mode)?);
        money.quantity = shift.new_quantity;
        money.unit_price = unit;
        money.unit_cost = unit_cost;
        let drift = money.drift(currency)?;
        let quantity = shift.new_quantity.shown();
        money.formula = format!("{} / {quantity} -> {}", part::short(actual), unit.shown(currency));
        if !drift.is_zero() {
            let billed = unit.extended(shift.new_quantity, currency)?;
            money.formula += &format!(
                "; {quantity} x {} = {}, off by {}",
                unit.shown(currency),
                billed.shown(currency),
                part::short(drift)
            );
        }
        let size = if drift.is_negative() { Exact::ZERO.minus(drift)? } else { drift };
        let too_far = builder.tolerance()?.minus(size)?.is_negative();
        if too_far && !begun_as_single {
            let why = format!("one averaged price would be too far off ({})", part::short(drift));
            super::change::fell_back(builder, &shift.line.product, &why);
            return Ok(false);
        }
        let line = new_state(builder, order, shift, shift.period.end())?;
        let kept_back = builder.kept_back();
        builder.recurring(agreement, line, shift.period.end(), shift.ends, shift.period)?;
        if builder.kept_back() > kept_back {
            return Ok(true);
        }
    }
    let reason = format!("Order {}: all of {} in one line.", order.shown(), shift.period);
    bill_once(builder, shift, money, reason, shift.period)?;
    for line in &earlier {
        let reason = format!("Order {}: the line for {} is written anew.", order.shown(), shift.period);
        builder.delete_last(line, reason);
    }
    if !(begun_as_single && is_replaced(builder, shift)) {
        end_old(builder, order, shift);
    }
    Ok(true)
}

/// The lines that earlier orders wrote for the product up to the end of the period: an averaged line takes their place.
pub fn earlier_parts<'a>(builder: &Builder<'_, 'a>, product: &ProductId, period: Period) -> Vec<Line<'a>> {
    builder
        .own_lines()
        .filter(|l| {
            l.is_for(product, Role::Prorate)
                && !l.is_made_by(builder.context.order_id())
                && l.state.cancelled == Some(period.last_day())
                && l.origin.as_ref().is_some_and(|o| o.true_period().is_none())
        })
        .cloned()
        .collect()
}

/// Whether the line that this very order replaced is gone already: then one that an earlier order ended within the period
/// is not the old one, and goes on to bill it.
fn is_replaced(builder: &Builder<'_, '_>, shift: &Shift<'_, '_>) -> bool {
    let ended = shift.existing.as_ref().is_some_and(|old| !old.state.is_open());
    ended
        && builder.own_links().iter().any(|l| {
            l.deleted
                && l.role == Role::Recurring
                && l.product == shift.line.product
                && l.written.is_open()
                && l.written.effective >= shift.period.end()
                && late::is_removed_by_this(builder, l)
        })
}

fn end_old<'a>(builder: &mut Builder<'_, 'a>, order: &Order, shift: &Shift<'a, '_>) {
    let Some(old) = &shift.existing else { return };
    let last = last_before(builder, old, shift.replaces_from(shift.period.start()));
    let reason = format!("Order {}: {} is billed by the new lines.", order.shown(), shift.period);
    builder.end_last(old, last, reason);
}

/// The last day of a line that something else replaces from `begin` on, by the invoices of its agreement.
fn last_before(builder: &Builder<'_, '_>, old: &Line<'_>, begin: Date) -> Date {
    builder.agreement_of(old).map_or(previous_day(begin), |agreement| builder.last_before(agreement, begin))
}
