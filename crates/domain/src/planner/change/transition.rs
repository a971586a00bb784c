//! From the old line to the new one: where one ends, the other begins, or one is edited.

use super::cycles;
use super::parts::{bill_gap, bill_part, credit_form, pieces};
use super::{Item, Moment, named};
use crate::feed::{Order, OrderKind, OrderLine};
use crate::finding::{Code, Severity};
use crate::money::{Exact, Money, Quantity, RoundingMode};
use crate::period::{Period, day_text, next_day, previous_day};
use crate::plan::{Role, Target};
use crate::planner::builder::{Builder, NewLine};
use crate::planner::by_hand;
use crate::planner::context::Stop;
use crate::planner::late;
use crate::planner::lines::{PartPolicy, part_policy, standing_text, write_once};
use crate::planner::modes;
use crate::planner::over;
use crate::planner::part::{self, Expressed, Kept, Prices};
use crate::planner::picture::Line;
use crate::planner::sales::{self, commitment_last};
use crate::planner::text::text;
use crate::proration::Share;
use crate::psa::{AdditionState, Agreement, BillFlag, CatalogItem};
use crate::settings::{LineMode, QuantityChange};
use jiff::civil::Date;
use std::borrow::Cow;

/// Ends the old line, begins the new one, and bills what lies between.
pub(super) fn transition<'a>(
    builder: &mut Builder<'_, 'a>,
    order: &Order,
    item: &Item<'a, '_>,
    part_is_told: bool,
    is_told_apart: bool,
) -> Result<(), Stop> {
    if let Some(until) = item.until {
        return late_transition(builder, order, item, part_is_told, until);
    }
    if let Some(own) = cycles::of_old(builder, item) {
        let kept_back = builder.kept_back();
        if !item.new_quantity.is_zero() {
            begin_new(builder, order, &cycles::as_new(item), (part_is_told, is_told_apart), false)?;
        }
        if builder.kept_back() > kept_back {
            return Ok(());
        }
        return cycles::end_old(builder, order, item, own, is_told_apart);
    }
    begin_new(builder, order, item, (part_is_told, is_told_apart), true)
}

/// The new state, and what lies between; with the end of the old one where that goes by the same periods.
fn begin_new<'a>(
    builder: &mut Builder<'_, 'a>,
    order: &Order,
    item: &Item<'a, '_>,
    (part_is_told, is_told_apart): (bool, bool),
    ends_old: bool,
) -> Result<(), Stop> {
    let agreement = builder.context.agreement;
    let Moment { effective, period, .. } = item.moment;
    let settings = builder.context.world.settings;
    let whole = effective == period.start();
    let invoiced = !agreement.prorates && builder.is_invoiced(agreement, period.start());
    let policy = if whole || part_is_told { None } else { Some(part_policy(builder)?) };
    let dated = dated_by_connectwise(builder, item, policy.as_ref(), is_told_apart);
    if let Some(first) = dated.filter(|day| builder.is_invoiced(agreement, *day) && item.existing.is_some()) {
        let message = format!(
            "{first} is invoiced already on agreement {}, which prorates by itself: the old line cannot end there \
             any more, and the new one would be caught up on top of it.",
            agreement.id
        );
        let fix = match policy {
            Some(PartPolicy::Connectwise) => {
                "Undo the invoice, or let trueup prorate on a separate agreement (proration_by)."
            }
            Some(PartPolicy::Line(_) | PartPolicy::LeftOut(_)) | None => "Undo the invoice.",
        };
        let finding = builder.about(Code::Tu4002, &item.line.product, message).fix(fix);
        builder.withhold(finding);
        return Ok(());
    }
    let in_modes = matches!(settings.line_mode, LineMode::Single | LineMode::Dual | LineMode::Commitment);
    let begun = if invoiced { begun_in_mode(builder, item) } else { None };
    if in_modes
        && ends_old
        && item.also.is_empty()
        && (!invoiced || begun.is_some())
        && matches!(policy, Some(PartPolicy::Line(_)))
    {
        if let Some(begun) = begun {
            give_back_beside(builder, order, item, begun)?;
        }
        let named = match item.line.amount {
            Some(amount) => {
                let days = item.line.period.or(period.from_day(effective)).unwrap_or(period);
                let told = named(builder, item, amount, days, period)?;
                Some((told.exact, told.exact_cost))
            }
            None => None,
        };
        return modes::transition(
            builder,
            order,
            &modes::Shift {
                line: &item.line,
                item: item.item,
                existing: item.existing.clone(),
                old_value: (
                    item.old.price.exact().times(item.old_quantity.exact())?,
                    item.old.cost.exact().times(item.old_quantity.exact())?,
                ),
                new_quantity: item.new_quantity,
                new: item.new,
                named,
                ends: ends_ahead(builder, order, item),
                since: item.moment.said,
                effective,
                period,
                paid_to: begun.and_then(|_| builder.last_invoiced_day(agreement)).map(next_day),
            },
        );
    }
    // Where a line of its own bills this period so far, the new state's line begins with the next one as well.
    let begun = || builder.written(item.line.id.as_str(), Role::Recurring, period.end()).is_some();
    let begins_later = item.existing.as_ref().is_some_and(|l| l.state.effective >= period.end());
    let apart = whole && !agreement.prorates && (begun() || begins_later && !invoiced);
    let mut begin = match policy {
        Some(PartPolicy::Connectwise) => effective,
        Some(PartPolicy::Line(_) | PartPolicy::LeftOut(_)) | None if whole && !apart => period.start(),
        Some(PartPolicy::Line(_) | PartPolicy::LeftOut(_)) | None => period.end(),
    };
    let paid_to = if agreement.prorates { None } else { builder.last_invoiced_day(agreement).map(next_day) };
    let brought_over = brought_over_from(builder, item).filter(|day| *day > begin);
    let invoiced_elsewhere = || invoiced_elsewhere(builder, item).filter(|day| *day > begin);
    if agreement.prorates
        && let Some(first) = brought_over.or_else(invoiced_elsewhere)
    {
        let message = format!(
            "The line goes on on agreement {} from {first} on, and the days before it are billed elsewhere. That agreement prorates \
             by itself, and would bill a share of what is for some of them.",
            agreement.id
        );
        let fix =
            format!("Have the source send the change for {first}, and bill the days before it by hand.");
        let finding = builder.about(Code::Tu4002, &item.line.product, message).fix(fix);
        builder.withhold(finding);
        return Ok(());
    }
    let paid_to = paid_to.max(brought_over);
    let true_begin = begin;
    let there = builder.written(item.line.id.as_str(), Role::Recurring, true_begin);
    let edited = edited_from(builder, item);
    let written = there.is_some() || edited.is_some();
    let mut both = None;
    let gap = match there {
        // Written by an earlier run: what was invoiced since then is billed by it, and what was before has a line of its
        // own, which that run may not have come to.
        Some(there) => {
            begin = there.state.effective;
            // That run broke off before it ended the old line: since then invoices have billed both.
            let goes_on = item.existing.as_ref().is_some_and(|old| {
                old.target != there.target && old.state.cancelled.is_none_or(|last| last >= begin)
            });
            both = paid_to.filter(|_| goes_on).and_then(|paid| Period::new(begin, paid).ok());
            there.moved_to().and_then(|to| Period::new(true_begin, to).ok())
        }
        // A line of an earlier change that begins with the next invoice stands for the invoiced days as well. One that an
        // earlier run edited bills what was invoiced since then.
        None if !item.new_quantity.is_zero() => {
            let to = edited.map(|from| from.max(true_begin)).or(paid_to);
            begin = to.unwrap_or(begin).max(begin);
            to.and_then(|to| Period::new(true_begin, to).ok())
        }
        // What goes is given back as far as it bills; what an earlier run gave back of it ends where that run did.
        None => {
            let ends = |old: &Line<'_>| old.state.cancelled.map_or(Date::MAX, next_day);
            let bills_to = item.existing.iter().chain(&item.also).map(ends).max();
            let gap = paid_to.zip(bills_to).and_then(|(paid, end)| Period::new(begin, paid.min(end)).ok());
            let before = builder.written(item.line.id.as_str(), Role::Prorate, true_begin);
            let before = before.and_then(|line| line.origin.as_ref()?.true_period()).map(Period::end);
            both = gap.zip(before).and_then(|(gap, before)| Period::new(before, gap.end()).ok());
            begin = gap.map_or(begin, Period::end);
            match both {
                Some(since) => gap.and_then(|gap| gap.before_day(since.start())),
                None => gap,
            }
        }
    };
    let over = over_with_its_term(builder, order, item, begin);
    let ends = ends_ahead(builder, order, item).or(over).map(next_day);
    let mut gap = gap.and_then(|gap| ends.map_or(Some(gap), |end| gap.before_day(end)));
    if let Some(invoiced) = gap {
        builder.tell_caught_up_by_shares(&item.line.product, agreement, invoiced);
        gap = Some(Period::new(invoiced.start(), builder.paid_for(agreement, invoiced.end()))?);
    }
    let kept_back = builder.kept_back();
    if over.is_none() {
        create_or_edit(builder, order, item, (true_begin, begin), period)?;
    }
    if builder.kept_back() > kept_back {
        // Nothing takes the old line's place: it goes on, and no part is billed of what does not begin.
        return Ok(());
    }
    if let (Some(days), Some(policy), false) = (period.from_day(effective), &policy, whole) {
        match policy {
            PartPolicy::Connectwise if !is_told_apart => tell_named_by_dates(builder, item, days, period)?,
            PartPolicy::Connectwise => {}
            PartPolicy::Line(_) | PartPolicy::LeftOut(_) => bill_part(builder, order, item, days, period)?,
        }
    } else if apart && !part_is_told {
        bill_part(builder, order, item, period, period)?;
    }
    if let Some(gap) = gap {
        for days in pieces(builder, item, gap, named_apart(item, period, whole)) {
            bill_gap(builder, order, item, days, period, whole)?;
        }
    } else if whole && !part_is_told && begin == period.start() && (!invoiced || written) {
        bill_named_whole(builder, order, item, period)?;
    }
    if !ends_old || over.is_some() {
        return Ok(());
    }
    if let Some(days) = both {
        for old in item.existing.iter().chain(&item.also).enumerate() {
            give_back(builder, order, item, (days, period), old)?;
        }
    }
    end_old(builder, order, item, both.map_or(begin, Period::end))
}

/// The first day of a line that was brought over from another agreement, whose line bills the days before it: nothing takes
/// its place earlier than that.
fn brought_over_from(builder: &Builder<'_, '_>, item: &Item<'_, '_>) -> Option<Date> {
    let line = item.existing.as_ref()?;
    let first = line.state.effective;
    let before = previous_day(first);
    let mut elsewhere = builder.own_lines_for(&item.line.product, Role::Recurring);
    let is_billed = elsewhere.any(|other| other.agreement != line.agreement && other.state.bills_on(before));
    (is_billed && late::since(line) < first).then_some(first)
}

/// The first day of the new line where ConnectWise goes by the dates of lines: that of the change where those bill its part,
/// else that of the next period, since the part has a line of its own or is left out. None where nobody goes by them, and
/// where the source names the parts: they are written as it names them, and the new line begins with the next period.
fn dated_by_connectwise(
    builder: &Builder<'_, '_>,
    item: &Item<'_, '_>,
    policy: Option<&PartPolicy<'_>>,
    is_told_apart: bool,
) -> Option<Date> {
    let Moment { effective, period, .. } = item.moment;
    let prorates = builder.context.agreement.prorates;
    match policy {
        Some(PartPolicy::Connectwise) => Some(effective),
        Some(PartPolicy::Line(_) | PartPolicy::LeftOut(_)) => prorates.then(|| period.end()),
        None => (prorates && !is_told_apart).then_some(effective),
    }
}

/// The first day that is not invoiced of a line on another agreement than the one that is chosen.
fn invoiced_elsewhere(builder: &Builder<'_, '_>, item: &Item<'_, '_>) -> Option<Date> {
    let line = item.existing.as_ref().filter(|line| line.agreement != builder.context.agreement.id)?;
    builder.open_from(builder.agreement_of(line)?).filter(|_| builder.is_billed(line))
}

/// The last day of the term with which the old line ends, where a change would begin its own after it; of a renewal that of the
/// term that it begins.
fn over_with_its_term(
    builder: &Builder<'_, '_>,
    order: &Order,
    item: &Item<'_, '_>,
    begin: Date,
) -> Option<Date> {
    if item.new_quantity.is_zero() || !item.also.is_empty() {
        return None;
    }
    if order.kind == OrderKind::Renewal {
        return sales::renewed_and_over(builder, item.moment.effective, begin);
    }
    match &item.existing {
        Some(before) => sales::over_with_its_term(builder, before, begin),
        // What comes for another product, or beside it, ends with the term of the lines that are there.
        None => {
            let mut own = builder
                .own_lines()
                .filter(|line| line.origin.as_ref().is_some_and(|origin| origin.role() == Role::Recurring));
            own.find_map(|line| sales::over_with_its_term(builder, line, begin))
        }
    }
}

/// The last day of what takes the old line's place, where an order before this one has ended that ahead. What begins from
/// nothing, or from a line that an earlier run of this order took away, has no end of before.
fn ends_ahead(builder: &Builder<'_, '_>, order: &Order, item: &Item<'_, '_>) -> Option<Date> {
    if item.existing.as_ref().is_some_and(|line| late::takes_back(builder, order, line)) {
        return None;
    }
    if item.old_quantity.is_zero() || item.existing.is_none() {
        return over::last_day(builder, item.moment.effective);
    }
    late::ends_ahead(builder, item.existing.as_ref(), item.moment.effective)
}

/// The day from which this very order has its line edited in place, by an earlier run.
fn edited_from(builder: &Builder<'_, '_>, item: &Item<'_, '_>) -> Option<Date> {
    let edit = item.existing.as_ref()?.last_edit_by(builder.context.order_id()?)?;
    // What is edited on its first day bills the new state from then on.
    Some(if edit.held.days() == 1 { edit.held.start() } else { edit.held.end() })
}

/// The first day that is billed by what an earlier run of this order wrote in one of the modes, before the period was
/// invoiced: what was begun so is finished so.
fn begun_in_mode(builder: &Builder<'_, '_>, item: &Item<'_, '_>) -> Option<Date> {
    let Moment { effective, period, .. } = item.moment;
    let written = |role, day| builder.written(item.line.id.as_str(), role, day);
    if let Some(full) = written(Role::Recurring, period.start()) {
        return Some(full.state.effective);
    }
    // A part that was caught up later is not dated in its period.
    let of_period = written(Role::Prorate, period.start()).filter(|l| period.contains(l.state.effective));
    let next = || written(Role::Recurring, effective).map(|l| l.state.effective);
    // What leaves nothing may have the end of the old line as its only trace.
    let ended = || {
        let leaves_nothing = item.existing.is_none() && item.new_quantity.is_zero();
        let old = late::ended_by_this(builder, &item.line.product).filter(|_| leaves_nothing);
        old.and_then(|old| old.state.cancelled.map(next_day))
    };
    of_period.map(|_| period.start()).or_else(next).or_else(ended)
}

/// What invoices have billed, from `begun` on, of the lines that those of the modes take the place of.
fn give_back_beside<'a>(
    builder: &mut Builder<'_, 'a>,
    order: &Order,
    item: &Item<'a, '_>,
    begun: Date,
) -> Result<(), Stop> {
    let Some(paid) = builder.last_invoiced_day(builder.context.agreement).map(next_day) else {
        return Ok(());
    };
    let Moment { period, .. } = item.moment;
    if let (Some(old), Ok(days)) = (&item.existing, Period::new(begun, paid)) {
        give_back(builder, order, item, (days, period), (0, old))?;
    }
    let full = builder.written(item.line.id.as_str(), Role::Recurring, period.start()).is_some();
    if full || builder.context.world.settings.line_mode != LineMode::Single {
        return Ok(());
    }
    for line in modes::earlier_parts(builder, &item.line.product, period) {
        if !builder.is_billed(&line) {
            continue;
        }
        let quantity = line.state.quantity.exact();
        let (price, cost) =
            (line.state.unit_price.exact().times(quantity)?, line.state.unit_cost.exact().times(quantity)?);
        let (price, cost) = (Exact::ZERO.minus(price)?, Exact::ZERO.minus(cost)?);
        let context = builder.context;
        let money = part::one_unit(context.world.settings, context.currency, price, cost)?;
        let key_line = match &line.target {
            Target::Existing(id) => format!("{}/old/{id}", item.line.id),
            Target::CreatedBy(_) => continue,
        };
        write_back(builder, order, item, &key_line, money, period)?;
    }
    Ok(())
}

/// What ConnectWise makes of the days by itself, against the amount that the source names.
fn tell_named_by_dates(
    builder: &mut Builder<'_, '_>,
    item: &Item<'_, '_>,
    days: Period,
    period: Period,
) -> Result<(), Stop> {
    let Some(amount) = item.line.amount else { return Ok(()) };
    let share = builder.share(period, days)?;
    let billed = item.difference()?.0.times(share.exact()?)?;
    Ok(builder.tell_by_dates(&item.line.product, days, amount.exact(), billed)?)
}

/// What invoices have billed of the old line beside the new one: given back, or told where credits are off.
fn give_back<'a>(
    builder: &mut Builder<'_, 'a>,
    order: &Order,
    item: &Item<'a, '_>,
    (days, anchor): (Period, Period),
    (at, old): (usize, &Line<'a>),
) -> Result<(), Stop> {
    let paid = Period::new(old.state.effective, old.state.cancelled.map_or(days.end(), next_day));
    let Some(days) = paid.ok().and_then(|paid| paid.intersect(days)) else { return Ok(()) };
    let share = Share::of(builder.units_in(days, anchor)?)?;
    let billed = old.state.quantity.minus(old.less_included)?;
    let prices = Prices { price: old.state.unit_price, cost: old.state.unit_cost, cost_known: true };
    let settings = builder.context.world.settings;
    let money = part::prorated(settings, builder.context.currency, prices, -billed, share)?;
    write_back(builder, order, item, &cycles::line_id(item, at, "/old"), money, days)
}

/// What was billed twice, as a refund, or told where credits are off.
fn write_back<'a>(
    builder: &mut Builder<'_, 'a>,
    order: &Order,
    item: &Item<'a, '_>,
    line_id: &str,
    money: Expressed,
    days: Period,
) -> Result<(), Stop> {
    let product = &item.line.product;
    if money.exact.is_zero() {
        return Ok(());
    }
    if !builder.context.world.settings.credits.is_on() {
        let why = "invoices billed the old line beside the new one, and credits are off";
        builder.left_out(product, days, money.exact, why)?;
        return Ok(());
    }
    let reason =
        format!("Order {}: invoices billed the line that it replaces for {days} as well.", order.shown());
    let home = builder.context.agreement;
    write_once(
        builder,
        home,
        line_id,
        product,
        item.item,
        Role::Refund,
        credit_form(money),
        None,
        reason,
        days,
    )
}

/// The period that the source names an amount for, where it is whole.
fn named_apart(item: &Item<'_, '_>, period: Period, whole: bool) -> Option<Period> {
    (item.line.amount.is_some() && whole).then_some(period)
}

/// The source's own amount for the whole period that the new line bills: what it is more or less than the line.
fn bill_named_whole<'a>(
    builder: &mut Builder<'_, 'a>,
    order: &Order,
    item: &Item<'a, '_>,
    period: Period,
) -> Result<(), Stop> {
    let Some(amount) = whole_difference(order, item, period)? else { return Ok(()) };
    let told = named(builder, item, amount, period, period)?;
    let (price, cost) = item.difference()?;
    let (price, cost) = (told.exact.minus(price)?, told.exact_cost.minus(cost)?);
    let context = builder.context;
    let mut money = part::one_unit(context.world.settings, context.currency, price, cost)?;
    if money.unit_price.is_zero() {
        return Ok(());
    }
    let home = builder.proration_home();
    if home.prorates {
        builder.left_out(&item.line.product, period, price, "ConnectWise prorates on this agreement")?;
        return Ok(());
    }
    money.formula = format!("{}, less what the lines bill: {}", told.formula, money.formula);
    let reason = format!("Order {} charges {period} with an amount of its own.", order.shown());
    let (line, product) = (item.line.id.as_str(), &item.line.product);
    write_once(builder, home, line, product, item.item, Role::Prorate, money, None, reason, period)
}

/// What the source says that a whole period costs more. A renewal names what its quantity costs, a change what it adds.
pub(super) fn whole_difference(
    order: &Order,
    item: &Item<'_, '_>,
    period: Period,
) -> Result<Option<Money>, Stop> {
    let same_days = item.line.period.is_none_or(|own| own == period);
    let Some(amount) = item.line.amount.filter(|_| same_days) else { return Ok(None) };
    if order.kind != OrderKind::Renewal {
        return Ok(Some(amount));
    }
    let old = item.old.price.exact().times(item.old_quantity.exact())?;
    Ok(Some(Money::new(amount.exact().minus(old)?.round(12, RoundingMode::HalfUp)?.normalize())))
}

/// A change that comes after a later one was carried out bills its days up to that one; no line begins and none ends.
pub(super) fn late_transition<'a>(
    builder: &mut Builder<'_, 'a>,
    order: &Order,
    item: &Item<'a, '_>,
    part_is_told: bool,
    until: Date,
) -> Result<(), Stop> {
    let Moment { effective, .. } = item.moment;
    let product = &item.line.product;
    let why = if item.ahead {
        "changes what an earlier order changes again from a later day on"
    } else {
        "came after a later state was written"
    };
    if !late::part_is_possible(builder, order, product, why)? {
        return Ok(());
    }
    let reprices = item.old.price != item.new.price;
    let reckoned = match reprices && !item.ahead {
        true => late::reckoned_without(
            builder,
            order,
            product,
            item.moment.said,
            (item.new_quantity, item.new.price),
        )?
        .or_else(|| over::switched_without(builder, product, (item.moment.said, item.old.price))),
        false => None,
    };
    // From there on the new price is billed, and of this order what it changes in quantity is left.
    let apart =
        reckoned.filter(|day| *day < until).map(|day| (at_old_price(item), day.max(effective), until));
    let quantity_is_left = !item.delta.is_zero();
    let (until, last) = match reckoned.filter(|day| *day < until) {
        Some(day) if quantity_is_left => (day, until),
        Some(day) => (day, day),
        None => (until, until),
    };
    if !item.ahead {
        late::tell(builder, order, product, item.moment.said, last);
        tell_paid_beyond(builder, item, until)?;
    }
    let named = item.up_to(builder, order, until)?;
    bill_late(builder, order, &named, part_is_told, (effective, until))?;
    match apart.filter(|_| quantity_is_left && !item.is_reckoned_with(builder)) {
        Some((rest, from, to)) => bill_late(builder, order, &rest, part_is_told, (from, to)),
        None => Ok(()),
    }
}

/// Says what a change that came after the cancellation which followed it bills more or less of the days after that: the cancellation
/// has told what the state that it found costs of them.
fn tell_paid_beyond(builder: &mut Builder<'_, '_>, item: &Item<'_, '_>, until: Date) -> Result<(), Stop> {
    let product = &item.line.product;
    let Some((by, days)) = over::paid_beyond(builder, until)? else { return Ok(()) };
    if by.gives_back(product) {
        return Ok(());
    }
    let Some(days) = days.from_day(item.moment.effective.max(days.start())) else { return Ok(()) };
    let (by, day) = (by.shown().to_string(), days.start());
    let units = builder.units_in(days, item.moment.period)?;
    let exact = item.difference()?.0.times(units)?;
    let context = builder.context;
    let currency = context.currency;
    let amount = Money::new(exact.round(currency.places(), context.world.settings.rounding_mode)?);
    // Of days that no invoice has billed yet the cancellation said nothing.
    let is_told = builder.is_invoiced(context.agreement, days.start());
    if amount.is_zero() || amount.is_negative() && !is_told {
        return Ok(());
    }
    let (name, shown) = (context.product_name(product), amount.shown(currency).to_string());
    let (message, fix) = if amount.is_negative() {
        let less = shown.trim_start_matches('-');
        (
            format!(
                "{name} is cancelled for {day} by order {by}, which looked at all that it found: of what that \
                 costs for {days}, {less} {currency} is not billed, or told with this order."
            ),
            "Where the cancellation told an amount for these days and it was credited by hand, this much of it was not owed.",
        )
    } else {
        (
            format!(
                "{name} is cancelled for {day} by order {by}, and what this order adds is billed to the end of that period as \
                 well; nothing is given back for {days}: {shown} {currency}."
            ),
            "Credit it by hand where these days are not owed.",
        )
    };
    let finding = builder.about(Code::Tu6005, product, message).severity(Severity::Warning);
    let finding = finding.amount(-amount, currency).fix(fix);
    builder.find(finding);
    Ok(())
}

/// The same change of the quantity, without the change of the price.
fn at_old_price<'a, 'o>(item: &Item<'a, 'o>) -> Item<'a, 'o> {
    // What the order says of both says nothing of one of them.
    let line = OrderLine { amount: None, cost_amount: None, period: None, ..(*item.line).clone() };
    Item { line: Cow::Owned(line), new: item.old, ..item.clone() }
}

/// What a change that came late costs from a day up to another one.
fn bill_late<'a>(
    builder: &mut Builder<'_, 'a>,
    order: &Order,
    item: &Item<'a, '_>,
    part_is_told: bool,
    (effective, until): (Date, Date),
) -> Result<(), Stop> {
    if effective >= until {
        // None of the days that it would bill is billed.
        return Ok(());
    }
    let period = item.moment.period;
    let whole = effective == period.start();
    let begin = if whole || effective >= period.end() { effective } else { period.end() };
    if let (Some(days), false, false) =
        (Period::new(effective, begin.min(until)).ok(), begin == effective, part_is_told)
    {
        bill_part(builder, order, item, days, period)?;
    }
    let Ok(gap) = Period::new(begin, builder.paid_for(builder.context.agreement, until)) else {
        return Ok(());
    };
    for gap in pieces(builder, item, gap, named_apart(item, period, whole)) {
        bill_gap(builder, order, item, gap, period, whole)?;
    }
    Ok(())
}

/// The new open-ended line; or the old one edited, where that bills the right amount.
pub(super) fn create_or_edit<'a>(
    builder: &mut Builder<'_, 'a>,
    order: &Order,
    item: &Item<'a, '_>,
    (true_begin, begin): (Date, Date),
    anchor: Period,
) -> Result<(), Stop> {
    if item.new_quantity.is_zero() {
        return Ok(());
    }
    let agreement: &'a Agreement = builder.context.agreement;
    let settings = builder.context.world.settings;
    let name = builder.context.product_name(&item.line.product);
    let ends = ends_ahead(builder, order, item);
    // What takes a line's place is billed as that is: sold and set not to be billed is said with what it is worth by now.
    if let Some(line) = item.existing.as_ref().filter(|line| line.state.bill != BillFlag::Billable) {
        let state = in_place(builder, item, line)?;
        let now = Line { state: state.into(), ..line.clone() };
        by_hand::tell_if_not_billed(builder, &item.line.product, &now, item.new_quantity);
    }
    let goes_on = |l: &&Line| l.state.is_open() || ends.is_some_and(|last| last >= begin);
    let alone = item.existing.as_ref().filter(|l| goes_on(l) && item.also.is_empty());
    // What an earlier run of this order began with a line of its own is finished so.
    let begun = builder.written(item.line.id.as_str(), Role::Recurring, true_begin).is_some();
    if let Some(there) = alone.filter(|l| l.agreement == agreement.id && !begun) {
        let edits = settings.quantity_change == QuantityChange::EditInPlace;
        let paid = builder.last_invoiced_day(agreement).is_some_and(|last| next_day(last) >= begin);
        let unbilled_from_begin = there.state.effective == begin && !builder.is_billed(there);
        if edits && (paid || unbilled_from_begin) && there.state.catalog_item == item.item.id {
            let wanted = in_place(builder, item, there)?;
            let reason = format!(
                "Order {} changes {name} from {} to {}; the next invoice bills the new state whole.",
                order.shown(),
                item.old_quantity.shown(),
                item.new_quantity.shown()
            );
            let since = item.moment.said;
            let held = Period::new(since, begin.max(next_day(since)))?;
            // A line of this level that shows another order's state is replaced: nothing else tells which one is later.
            if *there.state != wanted || late::since(there) == since {
                return builder.update(there, wanted, held, reason);
            }
        }
    }
    let mut line = new_line(
        builder,
        order,
        &item.line,
        item.item,
        item.new_quantity,
        item.new,
        item.existing.as_ref(),
        begin,
    )?;
    line.key_day = Some(true_begin);
    line.since = Some(item.moment.said);
    let last = commitment_last(builder, begin).into_iter().chain(ends).min();
    builder.recurring(agreement, line, begin, last, anchor)
}

/// What a line holds once it shows the new state.
fn in_place(builder: &Builder<'_, '_>, item: &Item<'_, '_>, line: &Line<'_>) -> Result<AdditionState, Stop> {
    let shown = shown_as(builder, item)?;
    Ok(AdditionState {
        quantity: item.new_quantity,
        unit_price: shown.price,
        unit_cost: shown.cost,
        ..(*line.state).clone()
    })
}

/// Price and cost of the new state as an open-ended line shows them.
fn shown_as(builder: &Builder<'_, '_>, item: &Item<'_, '_>) -> Result<Prices, Stop> {
    let context = builder.context;
    let kept = item.existing.as_ref().map_or_else(Kept::default, |line| Kept::shown(&line.state, item.new));
    Ok(part::open_ended_units(context.world.settings, context.currency, item.new, item.new_quantity, kept)?)
}

/// A recurring line of the new state, with the flags of the line it replaces.
#[expect(clippy::too_many_arguments, reason = "the parts of one line, each once")]
pub fn new_line<'a>(
    builder: &Builder<'_, 'a>,
    order: &Order,
    line: &OrderLine,
    item: &'a CatalogItem,
    quantity: Quantity,
    prices: Prices,
    replaces: Option<&Line>,
    begin: Date,
) -> Result<NewLine<'a>, Stop> {
    let settings = builder.context.world.settings;
    let currency = builder.context.currency;
    let name = builder.context.product_name(&line.product);
    // A change names what it adds; a renewal what the whole costs.
    let renews = order.kind == OrderKind::Renewal;
    let named = (line.amount.filter(|_| renews), line.cost_amount.filter(|_| renews));
    let goes_on = replaces.map_or_else(Kept::default, |line| Kept::shown(&line.state, prices));
    let kept = Kept::named(named, prices, quantity, currency)?.or(goes_on);
    let whole = order.effective <= order.period.start() && line.period.is_none_or(|own| own == order.period);
    Ok(NewLine {
        line_id: line.id.as_str().to_owned(),
        product: line.product.clone(),
        item,
        role: Role::Recurring,
        money: part::open_ended(settings, currency, prices, quantity, kept)?,
        description: builder.description(&line.product, standing_text(line, whole)),
        bill: replaces.map_or(BillFlag::Billable, |l| l.state.bill),
        taxable: replaces.and_then(|l| l.state.taxable),
        key_day: None,
        since: None,
        reason: text(format_args!(
            "Order {}: {} {name} from {} on.",
            order.shown(),
            quantity.shown(),
            day_text(begin)
        )),
    })
}

pub(super) fn end_old<'a>(
    builder: &mut Builder<'_, 'a>,
    order: &Order,
    item: &Item<'a, '_>,
    begin: Date,
) -> Result<(), Stop> {
    for old in item.existing.iter().chain(&item.also) {
        end_one(builder, order, item, old, begin)?;
    }
    Ok(())
}

fn end_one<'a>(
    builder: &mut Builder<'_, 'a>,
    order: &Order,
    item: &Item<'a, '_>,
    old: &Line<'a>,
    begin: Date,
) -> Result<(), Stop> {
    // Edited in place: it goes on.
    let Some(now) = builder.picture.now(old).cloned() else { return Ok(()) };
    if now.state != old.state {
        return Ok(());
    }
    let edited = builder.context.world.settings.quantity_change == QuantityChange::EditInPlace
        && late::since(&now) == item.moment.said
        && now.state.quantity == item.new_quantity
        && now.state.unit_price == shown_as(builder, item)?.price;
    if edited {
        return Ok(());
    }
    let name = builder.context.product_name(&item.line.product);
    let last = builder.agreement_of(old).map_or(previous_day(begin), |a| builder.last_before(a, begin));
    let reason = text(format_args!(
        "Order {} replaces {} {name} from {} on: it ends on {}, the last day paid for.",
        order.shown(),
        now.state.quantity.shown(),
        day_text(begin),
        day_text(last)
    ));
    builder.end_last(&now, last, reason);
    Ok(())
}

pub(super) fn reason_of(
    builder: &Builder<'_, '_>,
    order: &Order,
    item: &Item<'_, '_>,
    days: Period,
) -> String {
    let currency = builder.context.currency;
    let name = builder.context.product_name(&item.line.product);
    let (order, day) = (order.shown(), day_text(days.start()));
    if item.delta.is_zero() {
        let (old, new) = (item.old.price.shown(currency), item.new.price.shown(currency));
        text(format_args!(
            "Order {order} changes the price of {name} from {old} to {new} on {day}: {days} is billed once."
        ))
    } else {
        let (old, new) = (item.old_quantity.shown(), item.new_quantity.shown());
        text(format_args!(
            "Order {order} changes {name} from {old} to {new} on {day}: {days} is billed once."
        ))
    }
}
