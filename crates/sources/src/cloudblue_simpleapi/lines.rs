//! Orders held against each other: old quantities, periods, costs, and the lines of the feed.

use super::World;
use super::orders::{Detail, RawOrder};
use crate::fields::REFUSED;
use jiff::civil::Date;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::feed::{BillingModel, Charge, Ext, Order, OrderKind, OrderLine, Subscription};
use trueup_domain::money::{Currency, Money, Quantity};
use trueup_domain::period::{BillingCycle, CycleUnit, Period, next_day};

/// What completed orders have left of each product of each subscription.
type Levels = BTreeMap<(String, String), Quantity>;

/// Turns all orders into feed orders, by the instant of their completion.
pub(super) fn orders(world: &mut World) -> Vec<Order> {
    let mut raw: Vec<RawOrder> = std::mem::take(&mut world.orders).into_values().collect();
    raw.sort_by(|a, b| (a.completed.micros, &a.id).cmp(&(b.completed.micros, &b.id)));
    let mut levels = Levels::new();
    let mut orders = Vec::new();
    for order in &raw {
        let subscriptions = order.subscriptions();
        if subscriptions.is_empty() {
            let reason =
                "the order names no subscription, so it cannot be placed; save its own answer".to_owned();
            world.said.push(order.place.refusal(REFUSED, "subscriptionId", reason));
        }
        let unplaced = unplaced(order, &subscriptions);
        if let Some((field, reason)) = &unplaced {
            world.said.push(order.place.refusal(REFUSED, field, reason.clone()));
        }
        for subscription in &subscriptions {
            let part = Part { order, subscription, alone: subscriptions.len() == 1 };
            if unplaced.is_none() {
                match part.convert(world, &levels) {
                    Ok(order) => orders.push(order),
                    Err((field, reason)) => world.said.push(order.place.refusal(REFUSED, field, reason)),
                }
            }
            if order.status == "completed" {
                part.fold(&mut levels);
            }
        }
    }
    orders
}

/// What of an order about several subscriptions cannot be given to exactly one of them: billed in each it would be doubled, and in
/// none it would be lost.
fn unplaced(order: &RawOrder, subscriptions: &BTreeSet<&str>) -> Option<(String, String)> {
    // What is not carried out bills nothing.
    if subscriptions.len() < 2 || order.status != "completed" {
        return None;
    }
    let lost = order.products.iter().position(|product| product.subscription.is_none());
    if let Some(index) = lost {
        let reason = format!(
            "the order is about {} subscriptions, and this product names none of them; save its answer again",
            subscriptions.len()
        );
        return Some((format!("products[{index}].subscriptionId"), reason));
    }
    order.details.iter().find_map(|detail| {
        let of_it = order.products.iter().filter(|product| product.is_charged_by(detail));
        let owners: BTreeSet<&str> = of_it.filter_map(|product| product.subscription.as_deref()).collect();
        let whose = match owners.len() {
            1 => return None,
            0 => format!("{} is no product of any of them", detail.mpn),
            _ => {
                let owners: Vec<&str> = owners.into_iter().collect();
                format!("{} is a product of {}", detail.mpn, owners.join(" and "))
            }
        };
        let reason = format!(
            "the order is about {} subscriptions, and nobody can tell whose this charge is: {whose}. Nothing of the order is \
             taken in; bill it by hand",
            subscriptions.len()
        );
        Some((format!("details[{}].mpn", detail.row), reason))
    })
}

/// What an order does to one subscription.
struct Part<'a> {
    order: &'a RawOrder,
    subscription: &'a str,
    alone: bool,
}

type Reason = (&'static str, String);

impl Part<'_> {
    fn convert(&self, world: &mut World, levels: &Levels) -> Result<Order, Reason> {
        let raw = self.order;
        let known = world.subscriptions.get(self.subscription);
        let currency = raw.currency.or(known.map(|s| s.currency)).ok_or_else(|| {
            ("total", "no amount of the order says its currency; save its answer again".to_owned())
        })?;
        let period = self.period(known)?;
        let mut lines = match raw.kind {
            OrderKind::Change => self.change_lines(levels)?,
            OrderKind::Renewal => self.renewal_lines(),
            OrderKind::Sales | OrderKind::Billing | OrderKind::Cancellation | OrderKind::Transfer => {
                self.details().map(|detail| self.plain_line(detail, period)).collect()
            }
        };
        for (index, line) in lines.iter_mut().enumerate() {
            line.id = (index + 1).to_string().into();
            line.unit_cost = unit_cost(world, known, line, currency);
            if raw.kind == OrderKind::Change && line.unit_price.is_none() {
                line.unit_price = known
                    .and_then(|s| s.items.iter().find(|item| item.product == line.product))
                    .and_then(|item| item.unit_price);
            }
        }
        if let Some(warning) = self.doubt(&lines) {
            world.said.push(raw.place.warning(REFUSED, "details", warning));
        }
        Ok(Order {
            id: if self.alone { raw.id.clone() } else { format!("{}:{}", raw.id, self.subscription) }.into(),
            number: raw.number.clone(),
            kind: raw.kind,
            subscription: self.subscription.into(),
            customer: raw.customer.as_deref().map(Into::into),
            completed_at: raw.completed_at.clone(),
            completed_us: raw.completed.micros,
            created_at: raw.created_at.clone(),
            effective: raw.completed.date,
            effective_given: false,
            period,
            currency,
            status: raw.status.clone(),
            po_number: raw.po_number.clone(),
            lines,
            ext: self.ext(world),
        })
    }

    /// What was read, and what the subscription says about its billing, which may have been refused for that.
    fn ext(&self, world: &World) -> Ext {
        let mut ext = self.order.ext.clone();
        if let Some(unsupported) = world.unsupported.get(self.subscription) {
            unsupported.note(&mut ext);
        }
        ext
    }

    /// The products of this subscription.
    fn products(&self) -> impl Iterator<Item = &super::orders::Ordered> {
        self.order
            .products
            .iter()
            .filter(|p| self.alone || p.subscription.as_deref().is_some_and(|s| s == self.subscription))
    }

    /// The charges for this subscription.
    fn details(&self) -> impl Iterator<Item = &Detail> {
        let is_own = |detail: &&Detail| self.alone || self.products().any(|p| p.is_charged_by(detail));
        self.order.details.iter().filter(is_own)
    }

    fn level(&self, levels: &Levels, mpn: &str) -> Option<Quantity> {
        levels.get(&(self.subscription.to_owned(), mpn.to_owned())).copied()
    }

    fn fold(&self, levels: &mut Levels) {
        for product in self.products() {
            let mut set = |mpn: &str, quantity| {
                levels.insert((self.subscription.to_owned(), mpn.to_owned()), quantity);
            };
            match self.order.kind {
                OrderKind::Sales | OrderKind::Change | OrderKind::Renewal | OrderKind::Transfer => {
                    match &product.replaced_by {
                        Some(new) => {
                            set(&product.mpn, Quantity::ZERO);
                            set(new, product.quantity);
                        }
                        None => set(&product.mpn, product.quantity),
                    }
                }
                OrderKind::Cancellation => set(&product.mpn, Quantity::ZERO),
                OrderKind::Billing => {}
            }
        }
    }

    /// The billing period that the order falls in.
    fn period(&self, known: Option<&Subscription>) -> Result<Period, Reason> {
        let day = self.order.completed.date;
        let cycle = known.map_or(BillingCycle::MONTHLY, |s| s.billing_cycle);
        let began = known.map_or(day, |s| s.start);
        let anchor = match cycle.unit {
            CycleUnit::Month | CycleUnit::Year => began.first_of_month(),
            CycleUnit::Day | CycleUnit::Week => began,
        };
        let fault = |error: trueup_domain::period::PeriodError| {
            ("provisioningDate", format!("no billing period can be laid around {day}: {error}"))
        };
        let period = cycle.period_containing(anchor, day).map_err(fault)?;
        let model = self.order.model.or(known.map(|s| s.billing_model)).unwrap_or_default();
        if self.order.kind == OrderKind::Billing && model != BillingModel::Advance {
            let before = trueup_domain::period::previous_day(period.start());
            return cycle.period_containing(anchor, before).map_err(fault);
        }
        Ok(period)
    }

    fn plain_line(&self, detail: &Detail, period: Period) -> OrderLine {
        let cancels = self.order.kind == OrderKind::Cancellation && detail.charge == Charge::Refund;
        let day: Date = self.order.completed.date;
        let billed_ahead = cancels && detail.whole && day == period.last_day();
        OrderLine { period: following(period).filter(|_| billed_ahead), ..line(detail) }
    }

    /// A renewal repeats the whole quantity. A renewal fee of zero is no price of the thing itself, so it makes no line.
    fn renewal_lines(&self) -> Vec<OrderLine> {
        let free = |detail: &&Detail| detail.renews && detail.unit_price.is_none_or(Money::is_zero);
        self.details().filter(|detail| !free(detail)).map(line).collect()
    }

    /// A change of a product is one recurring line from its old to its new quantity. Its one charge is the line's amount;
    /// several charges (a refund of the period and parts of it) stand beside it, to be netted.
    fn change_lines(&self, levels: &Levels) -> Result<Vec<OrderLine>, Reason> {
        let mut lines = Vec::new();
        for product in self.products() {
            let targets = match &product.replaced_by {
                Some(new) => vec![(&product.mpn, Quantity::ZERO), (new, product.quantity)],
                None => vec![(&product.mpn, product.quantity)],
            };
            for (mpn, new) in targets {
                let charges: Vec<&Detail> = self
                    .details()
                    .filter(|d| d.mpn == *mpn && matches!(d.charge, Charge::Recurring | Charge::Refund))
                    .collect();
                let old = match (self.level(levels, mpn), charges.as_slice()) {
                    (Some(old), _) => old,
                    (None, _) if product.replaced_by.as_ref() == Some(mpn) => Quantity::ZERO,
                    // Without the orders before, the one charge tells by how much the quantity moved.
                    (None, [one]) => {
                        let step = if one.charge == Charge::Refund { -one.quantity } else { one.quantity };
                        let old = new.minus(step).map_err(|error| ("products", error.to_string()))?;
                        if old.is_negative() { Quantity::ZERO } else { old }
                    }
                    (None, _) => {
                        let reason = format!(
                            "how many of {mpn} there were before is not known; save the answers of the subscription's \
                             earlier orders as well"
                        );
                        return Err(("products", reason));
                    }
                };
                let quantity = new.minus(old).map_err(|error| ("products", error.to_string()))?;
                if quantity.is_zero() && charges.is_empty() {
                    continue;
                }
                let priced = charges.iter().rev().find(|d| d.charge == Charge::Recurring).or(charges.first());
                let mut change = OrderLine {
                    charge: Charge::Recurring,
                    product: mpn.as_str().into(),
                    quantity,
                    old_quantity: Some(old),
                    new_quantity: Some(new),
                    unit_price: priced.and_then(|d| d.unit_price),
                    ..blank()
                };
                if let [one] = charges.as_slice() {
                    change.amount = Some(one.amount);
                    change.description.clone_from(&one.description);
                    lines.push(change);
                } else {
                    lines.push(change);
                    for part in charges {
                        let told = line(part);
                        let charge =
                            if part.charge == Charge::Refund { Charge::Refund } else { Charge::Prorate };
                        lines.push(OrderLine { charge, ..told });
                    }
                }
            }
        }
        lines.extend(
            self.details().filter(|d| !matches!(d.charge, Charge::Recurring | Charge::Refund)).map(line),
        );
        let covered = |detail: &&Detail| {
            !matches!(detail.charge, Charge::Recurring | Charge::Refund)
                || lines.iter().any(|l| l.product.as_str() == detail.mpn)
        };
        if let Some(loose) = self.details().find(|detail| !covered(detail)) {
            let reason = format!(
                "it charges {} and does not list it among its products; save its answer again",
                loose.mpn
            );
            return Err(("products", reason));
        }
        Ok(lines)
    }

    /// Whether the one charge of a change tells another step than the orders before it.
    fn doubt(&self, lines: &[OrderLine]) -> Option<String> {
        if self.order.kind != OrderKind::Change {
            return None;
        }
        lines.iter().find_map(|line| {
            let mut charges = self.details().filter(|d| d.mpn == line.product.as_str());
            let one = charges.next().filter(|_| charges.next().is_none())?;
            let fits = line.quantity.abs() == one.quantity || line.quantity.is_zero();
            (line.amount.is_some() && !fits).then(|| {
                format!(
                    "order {} charges a step of {} for {}, and the orders before it make it a step of {}, which is taken; are \
                     all earlier orders there?",
                    self.order.id, one.quantity, line.product, line.quantity
                )
            })
        })
    }
}

fn following(period: Period) -> Option<Period> {
    let anchor = period.start();
    let days = period.days();
    // A calendar month is followed by the next one, other periods by one of as many days.
    let is_month = anchor == anchor.first_of_month() && period.end() == next_day(anchor.last_of_month());
    let end = if is_month {
        next_day(period.end().last_of_month())
    } else {
        period.end().checked_add(jiff::Span::new().try_days(days).ok()?).ok()?
    };
    Period::new(period.end(), end).ok()
}

fn blank() -> OrderLine {
    OrderLine {
        id: String::new().into(),
        charge: Charge::Recurring,
        product: String::new().into(),
        item: None,
        quantity: Quantity::ZERO,
        unit_price: None,
        unit_cost: None,
        old_unit_price: None,
        old_unit_cost: None,
        old_quantity: None,
        new_quantity: None,
        amount: None,
        cost_amount: None,
        period: None,
        description: None,
    }
}

fn line(detail: &Detail) -> OrderLine {
    OrderLine {
        charge: detail.charge,
        product: detail.mpn.as_str().into(),
        quantity: detail.quantity,
        unit_price: detail.unit_price,
        amount: Some(detail.amount),
        description: detail.description.clone(),
        ..blank()
    }
}

/// The cost of one unit: of the subscription for what recurs, of the product for the rest.
fn unit_cost(
    world: &World,
    known: Option<&Subscription>,
    line: &OrderLine,
    currency: Currency,
) -> Option<Money> {
    let of_product = |kind: &str| {
        let (_, prices) = world.products.get(line.product.as_str())?;
        prices.find(kind, currency, true)
    };
    let of_subscription =
        || known?.items.iter().find(|item| item.product == line.product).and_then(|item| item.unit_cost);
    match line.charge {
        Charge::Recurring | Charge::Prorate | Charge::Refund => {
            of_subscription().or_else(|| of_product("recurring"))
        }
        Charge::Overuse => of_product("overuse").or_else(of_subscription),
        Charge::Setup => of_product("setup"),
        Charge::Upgrade | Charge::Cancellation | Charge::OneTime | Charge::Discount => None,
    }
}
