//! Sales orders: setup once, plan and resources open-ended, a short first period as a line of its own.

mod ended;
mod standing;

use super::builder::{Builder, NewLine};
use super::change;
use super::context::Stop;
use super::late;
use super::lines::{self, PartPolicy, bill_once, item_for, part_policy, write_once};
use super::over;
use super::part::{self, Kept, Named, Prices};
use super::picture::Line;
use crate::feed::{Charge, Order, OrderKind, OrderLine};
use crate::finding::Code;
use crate::ids::ProductId;
use crate::money::{Money, Quantity};
use crate::period::{Period, next_day, previous_day};
use crate::plan::Role;
use crate::proration::Share;
use crate::psa::{BillFlag, CatalogItem};
use crate::settings::{LineMode, PriceSource};
use jiff::civil::Date;

/// The first day of the subscription that is billed: named by the order, else the subscription's start, else the day
/// provisioning was completed; after a trial.
pub fn first_day(builder: &Builder<'_, '_>, order: &Order) -> Result<Date, Stop> {
    let subscription = builder.context.subscription;
    let start = subscription.map(|s| s.start).filter(|day| order.period.contains(*day));
    let day = match (order.effective_given, start) {
        (true, _) | (false, None) => order.effective.max(order.period.start()),
        (false, Some(start)) => start,
    };
    let after_trial = subscription.and_then(|s| s.after_trial()).map_or(day, |first| day.max(first));
    if day >= order.period.end() {
        let message = format!("The sale takes effect on {day}, outside its own period {}.", order.period);
        return Err(builder.context.stop(Code::Tu4006, message));
    }
    Ok(after_trial)
}

/// Plans a sales order.
pub fn plan(builder: &mut Builder<'_, '_>, order: &Order) -> Result<(), Stop> {
    let start = first_day(builder, order)?;
    plan_from(builder, order, start, start)
}

/// The last day of the commitment for a line from `begin` on, where lines are dated by it. A term that is over by then
/// says nothing: the line goes on until the new one is known.
pub fn commitment_last(builder: &Builder<'_, '_>, begin: Date) -> Option<Date> {
    last_of_term(builder).filter(|last| *last >= begin)
}

/// The last day of the term as the source has it now, where lines are dated by it.
fn last_of_term(builder: &Builder<'_, '_>) -> Option<Date> {
    let by_term = builder.context.world.settings.line_mode == LineMode::Commitment;
    let term = builder.context.subscription.filter(|_| by_term)?.term?;
    term.end.map(previous_day)
}

/// The last day of a term that is over when a line of it would begin, where the line of before ends with it: nothing goes on
/// by itself, and the renewal begins the next one.
pub fn over_with_its_term(builder: &Builder<'_, '_>, before: &Line<'_>, begin: Date) -> Option<Date> {
    let last = last_of_term(builder).filter(|last| *last < begin)?;
    (before.state.cancelled == Some(last)).then_some(last)
}

/// The last day of the term that a renewal on `day` begins, where all of it is invoiced when its line would: it is caught up,
/// and nothing goes on after it.
pub fn renewed_and_over(builder: &Builder<'_, '_>, day: Date, begin: Date) -> Option<Date> {
    last_of_term(builder).filter(|last| day <= *last && *last < begin)
}

/// Recurring lines from `start` on, what is billed once for the days from `once_from` on. What waits for somebody's answer
/// about lines that are there keeps all of the order back.
pub fn plan_from(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    start: Date,
    once_from: Date,
) -> Result<(), Stop> {
    let sold = standing::settle(builder, order, start)?;
    for (line, to_write) in order.lines.iter().zip(&sold) {
        match line.charge {
            Charge::Recurring => {
                if let Some(to_write) = to_write {
                    let kept_back = builder.kept_back();
                    recurring(builder, order, line, to_write)?;
                    if builder.kept_back() == kept_back {
                        ended::bill_last_days(builder, order, line, to_write)?;
                    }
                }
            }
            Charge::Cancellation => {
                let begin = builder.not_before_go_live(start);
                super::cancellation::fee(builder, order, line, begin)?;
            }
            Charge::Setup
            | Charge::Overuse
            | Charge::Upgrade
            | Charge::Prorate
            | Charge::Refund
            | Charge::OneTime
            | Charge::Discount => {
                let Some(item) = once_item(builder, line)? else { continue };
                let own =
                    line.period.or_else(|| order.period.from_day(once_from.min(order.period.last_day())));
                let days = own.unwrap_or(order.period);
                if line.charge == Charge::Prorate
                    && (standing::is_billed_by_hand(builder, order, line, days)
                        || is_billed_by_dates(builder, order, line, &sold)?)
                {
                    continue;
                }
                let (line, days) = ended::cut_part(builder, order, line, &sold, days)?;
                bill_once(builder, &line, item, order.period, days)?;
            }
        }
    }
    Ok(())
}

/// A recurring line that is to be written.
struct Sold<'a> {
    item: &'a CatalogItem,
    quantity: Quantity,
    /// The day on which it begins, by the order.
    start: Date,
    /// The first day that is billed.
    begin: Date,
    /// The billing period of that day.
    period: Period,
}

/// The item of a line that is billed once; a line of nothing needs no mapping and gives no line.
pub fn once_item<'a>(builder: &Builder<'_, 'a>, line: &OrderLine) -> Result<Option<&'a CatalogItem>, Stop> {
    let nothing = line.amount.map_or(line.quantity.is_zero(), |a| a.is_zero() && line.quantity.is_zero());
    if nothing { Ok(None) } else { item_for(builder, line) }
}

fn recurring<'a>(
    builder: &mut Builder<'_, 'a>,
    order: &Order,
    line: &OrderLine,
    sold: &Sold<'a>,
) -> Result<(), Stop> {
    let Sold { item, quantity, start, begin, period } = *sold;
    let same_days = line.period.is_none_or(|own| own == period);
    let whole_period = begin == start && period.start() == begin && same_days;
    let Some(full) = full_prices(builder, line, item, quantity, whole_period)? else { return Ok(()) };
    let prices = full.prices;
    let name = builder.context.product_name(&line.product);
    let part = period.from_day(begin).filter(|part| *part != period);
    let new = NewLine {
        line_id: line.id.to_string(),
        product: line.product.clone(),
        item,
        role: Role::Recurring,
        money: open_ended(builder, line, &full, quantity)?,
        description: builder.description(&line.product, lines::standing_text(line, part.is_none())),
        bill: BillFlag::Billable,
        taxable: None,
        key_day: None,
        since: Some(start),
        reason: format!("Order {} sells {} {name} from {begin} on.", order.shown(), quantity.shown()),
    };
    let agreement = builder.context.agreement;
    let committed = commitment_last(builder, begin);
    // What a cancellation has ended for a later day ends so wherever it is moved to.
    let cancelled = over::last_day(builder, begin).filter(|_| order.kind == OrderKind::Transfer);
    let last = committed.into_iter().chain(cancelled).min();
    // A later order that was carried out first keeps its state: this line bills the days up to it.
    let later = later_state(builder, order, line, start);
    let later = later.into_iter().chain(over::since(builder, &line.product)?).min();
    let last_days = ended::last_days(builder, order, line, sold)?;
    let ended = late::ended_later(builder, &line.product).filter(|_| order.kind == OrderKind::Transfer);
    let boundary = |until| last_days.as_ref().map_or(until, |last| last.period.start());
    let until = later.map(|until| (until, builder.last_before(agreement, boundary(until))));
    let until =
        until.into_iter().chain(ended.map(|last| (next_day(last), last))).min_by_key(|(_, last)| *last);
    let last = match until {
        Some((until, ends)) => {
            late::tell(builder, order, &line.product, begin, until);
            Some(last.map_or(ends, |last| last.min(ends)))
        }
        None => last,
    };
    if last_days.is_some_and(|last| last.period == period) {
        // No period of it is whole.
        return Ok(());
    }
    let said_by_source = names_part(order, &line.product);
    let Some(part) = part else {
        let named = if begin == start { other_amount(builder, line, &full, quantity, period)? } else { None };
        if let Some(money) = named {
            // This period costs what the source says, the next ones what a unit costs.
            let begins = begins(builder, new, period.end(), last, period)?;
            if !begins || money.exact.is_zero() && money.exact_cost.is_zero() {
                return Ok(());
            }
            let reason = format!("Order {} charges {period} with an amount of its own.", order.shown());
            let text = line.description.as_deref();
            return write_once(
                builder,
                agreement,
                line.id.as_str(),
                &line.product,
                item,
                Role::OneTime,
                money,
                text,
                reason,
                period,
            );
        }
        return builder.recurring(agreement, new, begin, last, period);
    };
    if said_by_source && !is_dated_by_day(builder, begin) {
        return builder.recurring(agreement, new, period.end(), last, period);
    }
    let home = match part_policy(builder)? {
        PartPolicy::Connectwise => {
            let named = line.amount.filter(|_| begin == start && !said_by_source);
            if let Some(amount) = named {
                let share = builder.share(period, part)?.exact()?;
                let billed = prices.price.exact().times(quantity.exact())?.times(share)?;
                builder.tell_by_dates(&line.product, part, amount.exact(), billed)?;
            }
            return builder.recurring(agreement, new, begin, last, period);
        }
        PartPolicy::LeftOut(why) => {
            let share = builder.share(period, part)?;
            let exact = prices.price.exact().times(quantity.exact())?.times(share.exact()?)?;
            if begins(builder, new, period.end(), last, period)? {
                builder.left_out(&line.product, part, exact, why)?;
            }
            return Ok(());
        }
        PartPolicy::Line(home) => home,
    };
    let settings = builder.context.world.settings;
    let share = builder.share(period, part)?;
    let named = named_part(builder, line, prices, quantity, share, begin == start)?;
    // What an earlier run began with the full line is finished so, whatever was invoiced since.
    let begun = builder.written(line.id.as_str(), Role::Recurring, begin).is_some();
    let is_full = matches!(settings.line_mode, LineMode::Dual | LineMode::Commitment)
        && (begun || !builder.is_invoiced(agreement, begin));
    if is_full && agreement.prorates && begun {
        // Since somebody switched the flag on, its dates bill the part.
        return builder.recurring(agreement, new, begin, last, period);
    }
    if is_full && agreement.prorates {
        let why =
            format!("agreement {} prorates by itself and would bill a share of a full line", agreement.id);
        change::fell_back(builder, &line.product, &why);
    } else if is_full {
        let full = Whole { prices, quantity, share, named };
        let (correction, reason) = full.correction(builder, name, period)?;
        let begins = begins(builder, new, begin, last, period)?;
        if !begins || correction.exact.is_zero() && correction.exact_cost.is_zero() {
            return Ok(());
        }
        return write_once(
            builder,
            home,
            line.id.as_str(),
            &line.product,
            item,
            Role::Prorate,
            correction,
            None,
            reason,
            part,
        );
    }
    let money = match named {
        Some(money) => money,
        None => part::prorated(settings, builder.context.currency, prices, quantity, share)?,
    };
    if !begins(builder, new, period.end(), last, period)? {
        return Ok(());
    }
    let reason = format!("Order {} starts within the period: {part} is billed once.", order.shown());
    let text = line.description.as_deref().filter(|_| line.amount.is_some());
    write_once(builder, home, line.id.as_str(), &line.product, item, Role::Prorate, money, text, reason, part)
}

/// A full line that bills a whole period of which a part is sold.
struct Whole {
    prices: Prices,
    quantity: Quantity,
    /// What is sold of the period.
    share: Share,
    /// The source's own amount for that.
    named: Option<part::Expressed>,
}

impl Whole {
    /// What a second line takes away of the full one for the days before the start, and why.
    fn correction(
        &self,
        builder: &Builder<'_, '_>,
        name: &str,
        period: Period,
    ) -> Result<(part::Expressed, String), Stop> {
        let Self { prices, quantity, share, named } = self;
        let (settings, currency) = (builder.context.world.settings, builder.context.currency);
        let whole = prices.price.exact().times(quantity.exact())?;
        let whole_cost = prices.cost.exact().times(quantity.exact())?;
        let factor = share.exact()?;
        let (price, cost) = match named {
            Some(told) => (told.exact, told.exact_cost),
            None => (whole.times(factor)?, whole_cost.times(factor)?),
        };
        let (less, less_cost) = (price.minus(whole)?, cost.minus(whole_cost)?);
        let mut money = part::one_unit(settings, currency, less, less_cost)?;
        money.formula = match named {
            Some(told) => format!("{} less {} = {}", told.formula, part::short(whole), money.formula),
            None => format!(
                "{} x {} x ({} - 1) = {}",
                quantity.shown(),
                prices.price.shown(currency),
                share,
                money.formula
            ),
        };
        Ok((money, format!("The full line bills all of {period}; {name} of it is before the start.")))
    }
}

/// The day from which the state of a later order is billed that was carried out first.
fn later_state(builder: &Builder<'_, '_>, order: &Order, line: &OrderLine, start: Date) -> Option<Date> {
    match order.kind {
        OrderKind::Transfer => late::moved_on(builder).map(|(_, first)| first),
        OrderKind::Sales => late::first_later(builder, &line.product, start),
        OrderKind::Change | OrderKind::Renewal | OrderKind::Billing | OrderKind::Cancellation => None,
    }
}

/// Whether the order names itself what the part of a product costs.
fn names_part(order: &Order, product: &ProductId) -> bool {
    order.lines.iter().any(|other| other.charge == Charge::Prorate && other.product == *product)
}

/// Whether ConnectWise bills the part that a sale begins with from the day that the line is dated by.
fn is_dated_by_day(builder: &Builder<'_, '_>, begin: Date) -> bool {
    matches!(part_policy(builder), Ok(PartPolicy::Connectwise))
        && !builder.is_invoiced(builder.context.agreement, begin)
}

/// Whether ConnectWise bills a part that the order names by the dates of the line that the order sells; where the source
/// names another amount, that is told.
fn is_billed_by_dates(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    part: &OrderLine,
    sold: &[Option<Sold<'_>>],
) -> Result<bool, Stop> {
    let lines = order.lines.iter().zip(sold);
    let of_product = lines.filter(|(line, _)| line.product == part.product);
    let Some((line, sold)) = of_product.filter_map(|(line, sold)| Some((line, sold.as_ref()?))).next() else {
        return Ok(false);
    };
    if !is_dated_by_day(builder, sold.begin) {
        return Ok(false);
    }
    let Some(days) = sold.period.from_day(sold.begin).filter(|days| *days != sold.period) else {
        return Ok(false);
    };
    let share = builder.share(sold.period, days)?.exact()?;
    let Some(prices) = part::prices_of(builder.context, line, sold.item, None) else { return Ok(true) };
    let billed = prices.price.exact().times(sold.quantity.exact())?.times(share)?;
    let unit = part::prices_of(builder.context, part, sold.item, None).map_or(prices.price, |p| p.price);
    let named = match part.amount {
        Some(amount) => amount.exact(),
        None => unit.exact().times(part.quantity.exact())?.times(share)?,
    };
    builder.tell_by_dates(&part.product, days, named, billed)?;
    Ok(true)
}

/// Writes the open-ended line. Where it cannot begin, nothing of it is billed before either: it waits whole.
fn begins<'a>(
    builder: &mut Builder<'_, 'a>,
    new: NewLine<'a>,
    start: Date,
    last: Option<Date>,
    period: Period,
) -> Result<bool, Stop> {
    let kept_back = builder.kept_back();
    builder.recurring(builder.context.agreement, new, start, last, period)?;
    Ok(builder.kept_back() == kept_back)
}

/// The source's own amount for the part of the period that a sale begins with.
fn named_part(
    builder: &Builder<'_, '_>,
    line: &OrderLine,
    prices: Prices,
    quantity: Quantity,
    share: Share,
    whole_part: bool,
) -> Result<Option<part::Expressed>, Stop> {
    let Some(amount) = line.amount.filter(|_| whole_part) else { return Ok(None) };
    let cost = match line.cost_amount {
        Some(cost) => cost.exact(),
        None => prices.cost.exact().times(quantity.exact())?.times(share.exact()?)?,
    };
    let context = builder.context;
    let money = part::named_amount(context.world.settings, context.currency, amount, cost, quantity)?;
    Ok(Some(money.cost_named_if(line.cost_amount.is_some())))
}

/// The prices of a whole period, and what of them was made of an amount.
struct Full {
    prices: Prices,
    made: Named,
    kept: Kept,
}

/// The full-period prices: those of the line. Where it tells none, what its amount for a whole period makes of a unit;
/// an amount of nothing makes none.
fn full_prices(
    builder: &mut Builder<'_, '_>,
    line: &OrderLine,
    item: &CatalogItem,
    quantity: Quantity,
    whole_period: bool,
) -> Result<Option<Full>, Stop> {
    let from_marketplace = builder.context.price_source == PriceSource::Marketplace;
    let currency = builder.context.currency;
    let unit_of = |total: Option<Money>, known: Option<Money>| -> Result<Option<Money>, Stop> {
        let total = total.filter(|t| whole_period && from_marketplace && known.is_none() && !t.is_zero());
        Ok(total.map(|total| part::unit_of(total, quantity, currency)).transpose()?)
    };
    // That a whole period costs nothing is a price where the catalog has none either.
    let is_free =
        whole_period && item.price.is_none_or(Money::is_zero) && line.amount.is_some_and(Money::is_zero);
    let price = unit_of(line.amount, line.unit_price)?;
    let cost = unit_of(line.cost_amount, line.unit_cost)?;
    let made = Named { price: price.is_some(), cost: cost.is_some() };
    let told = OrderLine {
        unit_price: price.or(line.unit_price).or(is_free.then_some(Money::ZERO)),
        unit_cost: cost.or(line.unit_cost),
        ..line.clone()
    };
    let Some(prices) = lines::prices(builder, &told, item, None) else { return Ok(None) };
    if prices.price.is_zero() {
        lines::tell_free_in_the_catalog(builder, line, item, quantity)?;
    }
    let named = (line.amount.filter(|_| whole_period), line.cost_amount.filter(|_| whole_period));
    let kept = Kept::named(named, prices, quantity, currency)?;
    Ok(Some(Full { prices, made, kept }))
}

/// What the open-ended line shows. A price that was made of an amount keeps the places that make the amount.
fn open_ended(
    builder: &Builder<'_, '_>,
    line: &OrderLine,
    full: &Full,
    quantity: Quantity,
) -> Result<part::Expressed, Stop> {
    let context = builder.context;
    let mut money =
        part::open_ended(context.world.settings, context.currency, full.prices, quantity, full.kept)?;
    if let Some(amount) = line.amount.filter(|_| full.made.price) {
        money.unit_price = full.prices.price;
        money.exact = amount.exact();
        let unit = money.unit_price.shown(context.currency);
        money.formula = format!("{} as the order says / {}: {unit} each", amount, quantity.shown());
    }
    if let Some(cost) = line.cost_amount.filter(|_| full.made.cost) {
        money.unit_cost = full.prices.cost;
        money.exact_cost = cost.exact();
    }
    money.named = full.made;
    Ok(money)
}

/// What the source names itself for a whole period, amount or cost, where it is not quantity times unit: as a line of
/// its own.
fn other_amount(
    builder: &Builder<'_, '_>,
    line: &OrderLine,
    full: &Full,
    quantity: Quantity,
    period: Period,
) -> Result<Option<part::Expressed>, Stop> {
    let context = builder.context;
    let currency = context.currency;
    let from_marketplace = context.price_source == PriceSource::Marketplace;
    if !from_marketplace || line.period.is_some_and(|own| own != period) {
        return Ok(None);
    }
    let other = |named: Option<Money>, unit: Money, made: bool| {
        named.filter(|named| !made && unit.extended(quantity, currency) != Ok(*named))
    };
    let amount = other(line.amount, full.prices.price, full.made.price);
    let cost = other(line.cost_amount, full.prices.cost, full.made.cost);
    if amount.is_none() && cost.is_none() {
        return Ok(None);
    }
    let whole = |unit: Money| unit.exact().times(quantity.exact());
    let cost = match line.cost_amount {
        Some(cost) => cost.exact(),
        None => whole(full.prices.cost)?,
    };
    let settings = context.world.settings;
    let known = full.prices.price.extended(quantity, currency)?;
    let mut money = part::named_amount(settings, currency, line.amount.unwrap_or(known), cost, quantity)?;
    if line.amount.is_none() {
        money.named.price = false;
        money.exact = whole(full.prices.price)?;
        money.formula = format!("{} x {}", quantity.shown(), full.prices.price.shown(currency));
    }
    Ok(Some(money.cost_named_if(line.cost_amount.is_some())))
}
