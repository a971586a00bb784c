//! Days that are not billed: before go-live, and while a customer or a product was not to be billed. Each product has
//! its own first billed day, also where an order has others beside it; amounts that an order names are cut to it.

use super::builder::Builder;
use super::context::Stop;
use super::part;
use crate::feed::{BillingModel, Charge, Order, OrderKind, OrderLine};
use crate::finding::{Code, Severity};
use crate::ids::ProductId;
use crate::money::{Money, MoneyError, RoundingMode};
use crate::period::Period;
use crate::proration::Share;
use jiff::civil::Date;
use std::borrow::Cow;

/// More places than any currency has: what is cut to a share of its days is rounded where it is written.
const PLACES: u32 = 9;

impl Builder<'_, '_> {
    /// Clamps a first day to go-live and to the first billed day of the customer.
    pub fn not_before_go_live(&self, day: Date) -> Date {
        self.context.billed_from.map_or(day, |first| day.max(first))
    }

    /// The same, and to the first billed day of the product.
    pub fn not_before_billed(&self, product: &ProductId, day: Date) -> Date {
        self.context.billed_from(product).map_or(day, |first| day.max(first))
    }

    /// Says that something lies in days that are not billed.
    pub(super) fn tell_unbilled(&mut self, product: &ProductId, days: Period) {
        let go_live = self.context.world.settings.go_live;
        let why = if go_live.is_some_and(|day| days.end() <= day) {
            "before go-live"
        } else {
            "in the days that are not billed"
        };
        let name = self.context.product_name(product);
        let message = format!("{name} for {days} lies {why} and is not written.");
        let finding = self.about(Code::Tu4002, product, message).severity(Severity::Info);
        self.find(finding);
    }
}

/// The order with the amounts and parts that it names cut to the days that are billed of each product.
pub fn cut<'o>(builder: &mut Builder<'_, '_>, order: Cow<'o, Order>) -> Result<Cow<'o, Order>, Stop> {
    let begins_later = |line: &OrderLine| {
        builder
            .context
            .billed_from(&line.product)
            .is_some_and(|first| first > line_days(order.as_ref(), line).start())
    };
    if !order.lines.iter().any(begins_later) {
        return Ok(order);
    }
    let mut lines = Vec::with_capacity(order.lines.len());
    for line in &order.lines {
        lines.extend(cut_line(builder, &order, line)?);
    }
    Ok(Cow::Owned(Order { lines, ..order.into_owned() }))
}

/// The days that a line is for, where it names none.
fn line_days(order: &Order, line: &OrderLine) -> Period {
    let whole = order.period;
    let days = match (order.kind, line.charge) {
        (OrderKind::Billing, _) => None,
        (OrderKind::Cancellation, Charge::Recurring | Charge::Prorate) => whole.before_day(order.effective),
        (
            OrderKind::Sales
            | OrderKind::Change
            | OrderKind::Renewal
            | OrderKind::Transfer
            | OrderKind::Cancellation,
            _,
        ) => whole.from_day(order.effective.max(whole.start())),
    };
    line.period.or(days).unwrap_or(whole)
}

/// Whether the amount of a line is spread over its days.
fn is_spread(builder: &Builder<'_, '_>, order: &Order, line: &OrderLine) -> bool {
    let advance = builder.context.subscription.is_none_or(|s| s.billing_model == BillingModel::Advance);
    match line.charge {
        Charge::Prorate | Charge::Refund => true,
        // A sale reckons what it begins with by its own first day.
        Charge::Recurring => match order.kind {
            OrderKind::Change | OrderKind::Renewal => line.amount.is_some(),
            OrderKind::Billing => !advance,
            OrderKind::Cancellation => true,
            OrderKind::Sales | OrderKind::Transfer => false,
        },
        Charge::Setup
        | Charge::Overuse
        | Charge::Upgrade
        | Charge::Cancellation
        | Charge::OneTime
        | Charge::Discount => false,
    }
}

fn cut_line(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    line: &OrderLine,
) -> Result<Option<OrderLine>, Stop> {
    let days = line_days(order, line);
    let Some(first) = builder.context.billed_from(&line.product).filter(|first| *first > days.start()) else {
        return Ok(Some(line.clone()));
    };
    if !is_spread(builder, order, line) {
        if line.charge == Charge::Overuse && first < days.end() {
            tell_use(builder, line, days, first);
        }
        return Ok(Some(line.clone()));
    }
    let goes_on =
        line.charge == Charge::Recurring && matches!(order.kind, OrderKind::Change | OrderKind::Renewal);
    let Some(rest) = days.from_day(first) else {
        if goes_on {
            // The amount is of days that are not billed; the state goes on after them.
            return Ok(Some(OrderLine { amount: None, cost_amount: None, period: None, ..line.clone() }));
        }
        builder.tell_unbilled(&line.product, days);
        return Ok(None);
    };
    let share = builder.share(days, rest)?;
    let period = if goes_on && line.period.is_none() { None } else { Some(rest) };
    if line.amount.is_some() || line.cost_amount.is_some() {
        let of = |amount: Option<Money>| amount.map(|a| times(a, share)).transpose();
        let (amount, cost_amount) = (of(line.amount)?, of(line.cost_amount)?);
        return Ok(Some(OrderLine { amount, cost_amount, period, ..line.clone() }));
    }
    if matches!(line.charge, Charge::Prorate | Charge::Refund) {
        // Its price is reckoned for the days that it is for.
        return Ok(Some(OrderLine { period, ..line.clone() }));
    }
    let item = match builder.context.billing_of(&line.product) {
        Some(super::context::Billing::As(item)) => Some(item),
        Some(super::context::Billing::Not) | None => None,
    };
    let prices = item.and_then(|item| part::prices_of(builder.context, line, item, None));
    let Some(prices) = prices else { return Ok(Some(OrderLine { period, ..line.clone() })) };
    let unit = |price: Money| times(price, share);
    let (unit_price, unit_cost) = (Some(unit(prices.price)?), Some(unit(prices.cost)?));
    Ok(Some(OrderLine { unit_price, unit_cost, period, ..line.clone() }))
}

fn times(amount: Money, share: Share) -> Result<Money, MoneyError> {
    let exact = amount.exact().times(share.exact()?)?;
    Ok(Money::new(exact.round(PLACES, RoundingMode::HalfUp)?.normalize()))
}

/// What was used is counted over its days, and nobody knows how much of it on which of them.
fn tell_use(builder: &mut Builder<'_, '_>, line: &OrderLine, days: Period, first: Date) {
    let name = builder.context.product_name(&line.product);
    let message = format!(
        "The use of {name} for {days} was counted in one, and it is billed from {first} on only: it is written whole."
    );
    let fix =
        "Lower the line in ConnectWise by what was used before that day, where the customer does not owe it.";
    let finding = builder.about(Code::Tu4002, &line.product, message).severity(Severity::Warning).fix(fix);
    builder.find(finding);
}
