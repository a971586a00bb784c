//! Days that are not billed: before go-live, and while a customer or a product was not to be billed. Each product has
//! its own first billed day, also where an order has others beside it; amounts that an order names are cut to it.

use super::builder::Builder;
use super::context::{Context, Stop};
use super::left_out::BEFORE_GO_LIVE;
use super::{change, part, sales};
use crate::billing;
use crate::feed::{BillingModel, Charge, Order, OrderKind, OrderLine};
use crate::finding::{Code, Severity};
use crate::ids::ProductId;
use crate::money::{Exact, Money, MoneyError, Quantity, RoundingMode};
use crate::period::Period;
use crate::plan::{Action, Role};
use crate::proration::Share;
use crate::psa::{AdditionState, BillFlag};
use crate::settings::LineMode;
use jiff::civil::Date;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

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

    /// Says that something lies in days that are not billed. What go-live alone keeps from being billed may be owed all
    /// the same: that is told with its amount, where it is known.
    pub(super) fn tell_unbilled(
        &mut self,
        product: &ProductId,
        days: Period,
        amount: Option<Exact>,
    ) -> Result<(), MoneyError> {
        let before = self.before_go_live(product, days);
        if let Some(amount) = amount.filter(|_| before == Some(days)) {
            return self.left_out_as(product, days, &format!("{days}, once"), amount, BEFORE_GO_LIVE);
        }
        let why = if before == Some(days) { "before go-live" } else { "in the days that are not billed" };
        let name = self.context.product_name(product);
        let message = format!("{name} for {days} lies {why} and is not written.");
        let finding = self.about(Code::Tu4002, product, message).severity(Severity::Info);
        self.find(finding);
        Ok(())
    }

    /// The days of these that nothing but go-live keeps from being billed.
    fn before_go_live(&self, product: &ProductId, days: Period) -> Option<Period> {
        let Context { world, task, cycle, .. } = *self.context;
        let days = days.before_day(world.settings.go_live?)?;
        let customer = world.mappings.customer_billed_from(&task.source, &task.customer);
        let own = world.mappings.product_billed_from(&task.source, product, &task.customer, Some(cycle));
        customer.max(own).map_or(Some(days), |first| days.from_day(first))
    }
}

/// Says what an order costs more or less in the days before go-live, where trueup begins to bill it only then: each
/// product by what the order makes of its line. What the order names for these days was told where it was cut.
pub fn tell_before_go_live(builder: &mut Builder<'_, '_>, order: &Order) -> Result<(), Stop> {
    let Some(go_live) = builder.context.world.settings.go_live else { return Ok(()) };
    let first = match order.kind {
        OrderKind::Sales => sales::first_day(builder, order)?,
        OrderKind::Change | OrderKind::Renewal => change::day_of(builder, order)?,
        OrderKind::Billing | OrderKind::Cancellation | OrderKind::Transfer => return Ok(()),
    };
    let recurring = || order.lines.iter().filter(|line| line.charge == Charge::Recurring);
    let products: BTreeSet<&ProductId> = recurring().map(|line| &line.product).collect();
    for product in products.into_iter().filter(|_| first < go_live) {
        let Some(difference) = written_difference(builder, product)? else { continue };
        let mut amount = Exact::ZERO;
        let (mut from, mut is_told) = (first, false);
        for line in order.lines.iter().filter(|line| line.product == *product) {
            let is_part = matches!(line.charge, Charge::Prorate | Charge::Refund);
            let is_named = line.charge == Charge::Recurring && is_spread(builder, order, line);
            if is_part || is_named {
                from = from.max(order.period.end());
            }
            let days = line_days(order, line);
            if is_named && let Some(before) = builder.before_go_live(product, days) {
                let share = builder.share(days, before)?.exact()?;
                amount = amount.plus(line.amount.unwrap_or_default().exact().times(share)?)?;
                is_told = true;
            }
        }
        let before = |from| Period::new(from, go_live).ok().and_then(|d| builder.before_go_live(product, d));
        if let Some(days) = before(from) {
            let units = builder.units_in(days, builder.period_of(order.period, first)?)?;
            amount = amount.plus(difference.times(units)?)?;
        }
        if let Some(days) = before(if is_told { first } else { from }) {
            builder.left_out(product, days, amount, BEFORE_GO_LIVE)?;
        }
    }
    Ok(())
}

/// What the line that the order makes of a product costs more for a whole period than the one that it ends or edits;
/// none where it writes no line.
fn written_difference(builder: &Builder<'_, '_>, product: &ProductId) -> Result<Option<Exact>, MoneyError> {
    let currency = builder.context.currency;
    let whole = |state: &AdditionState| match state.bill {
        BillFlag::Billable => Ok(billing::extended(state, Quantity::ZERO, currency)?.price.exact()),
        BillFlag::DoNotBill | BillFlag::NoCharge => Ok(Exact::ZERO),
    };
    let changes = || builder.own_changes().filter(|c| c.role == Role::Recurring && c.product == *product);
    let begins = changes().filter_map(|change| match &change.action {
        Action::Create { wanted } | Action::Update { wanted, .. } => Some(wanted.as_ref()),
        Action::Cancel { .. } | Action::Delete { .. } | Action::Keep { .. } => None,
    });
    // The averaged line of a period is followed by the true one; a state that holds up to a later one comes first.
    let new = match builder.context.world.settings.line_mode {
        LineMode::Single => begins.max_by_key(|state| state.effective),
        LineMode::Dual | LineMode::Commitment | LineMode::ProrateLine => {
            begins.min_by_key(|state| state.effective)
        }
    };
    let mut difference = new.map_or(Ok(Exact::ZERO), whole)?;
    for before in changes().filter_map(|change| change.action.before()) {
        difference = difference.minus(whole(before)?)?;
    }
    Ok(changes().next().map(|_| difference))
}

/// What the lines of an order come to of days before go-live, by product.
type Left = BTreeMap<(ProductId, Period), Exact>;

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
    let mut left = BTreeMap::new();
    for line in &order.lines {
        lines.extend(cut_line(builder, &order, line, &mut left)?);
    }
    for ((product, days), amount) in left {
        builder.left_out(&product, days, amount, BEFORE_GO_LIVE)?;
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
    left: &mut Left,
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
    let total = if goes_on { None } else { named_total(builder, order, line, days)? };
    let Some(rest) = days.from_day(first) else {
        if goes_on {
            // The amount is of days that are not billed; the state goes on after them.
            return Ok(Some(OrderLine { amount: None, cost_amount: None, period: None, ..line.clone() }));
        }
        if !leave_out(builder, line, days, total, left)? {
            builder.tell_unbilled(&line.product, days, None)?;
        }
        return Ok(None);
    };
    leave_out(builder, line, days, total, left)?;
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

/// Notes what a line comes to of the days before go-live, where that is known.
fn leave_out(
    builder: &Builder<'_, '_>,
    line: &OrderLine,
    days: Period,
    total: Option<Exact>,
    left: &mut Left,
) -> Result<bool, Stop> {
    let (Some(total), Some(before)) = (total, builder.before_go_live(&line.product, days)) else {
        return Ok(false);
    };
    let amount = total.times(builder.share(days, before)?.exact()?)?;
    let sum = left.entry((line.product.clone(), before)).or_insert(Exact::ZERO);
    *sum = sum.plus(amount)?;
    Ok(true)
}

/// What a line comes to for its days, where that is known: as it says, or by its price.
fn named_total(
    builder: &Builder<'_, '_>,
    order: &Order,
    line: &OrderLine,
    days: Period,
) -> Result<Option<Exact>, Stop> {
    let total = match (line.amount, line.unit_price) {
        (Some(amount), _) => amount.exact(),
        (None, Some(price)) => {
            let whole = price.exact().times(line.quantity.exact())?;
            let period = builder.period_of(order.period, days.start())?;
            match period.intersect(days).filter(|own| line.charge != Charge::Recurring && *own != period) {
                Some(own) => whole.times(builder.share(period, own)?.exact()?)?,
                None => whole,
            }
        }
        (None, None) => return Ok(None),
    };
    let turned = line.charge == Charge::Refund && !total.is_negative();
    Ok(Some(if turned { Exact::ZERO.minus(total)? } else { total }))
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
