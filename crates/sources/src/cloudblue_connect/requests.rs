//! Fulfilment and billing requests: the orders of Connect.

use super::World;
use super::parties::{item_id, said};
use super::subscriptions::{date_at, item_quantity, read};
use crate::fields::{Fault, NO_PRICE, REFUSED, id, instant, object, req, shown, word};
use crate::json::Value;
use crate::redact::source_of;
use crate::time::Instant;
use jiff::civil::Date;
use serde_json::value::to_raw_value;
use std::collections::HashSet;
use trueup_domain::feed::{Charge, Ext, Order, OrderKind, OrderLine, Record, Subscription};
use trueup_domain::money::Quantity;
use trueup_domain::period::Period;

/// The field of an order that says so.
const BILLING_PAUSE: &str = "billing_pause";

/// What a fulfilment request does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deed {
    Purchase,
    Change,
    Suspend,
    Resume,
    Cancel,
    Renew,
    Transfer,
}

const DEEDS: [(&str, Deed); 8] = [
    ("purchase", Deed::Purchase),
    ("change", Deed::Change),
    ("adjustment", Deed::Change),
    ("suspend", Deed::Suspend),
    ("resume", Deed::Resume),
    ("cancel", Deed::Cancel),
    ("renew", Deed::Renew),
    ("transfer", Deed::Transfer),
];

impl Deed {
    fn kind(self) -> OrderKind {
        match self {
            Self::Purchase => OrderKind::Sales,
            Self::Change | Self::Suspend | Self::Resume => OrderKind::Change,
            Self::Cancel => OrderKind::Cancellation,
            Self::Renew => OrderKind::Renewal,
            Self::Transfer => OrderKind::Transfer,
        }
    }

    /// What becomes of billing that trueup does not carry out: a suspended subscription is billed on.
    fn billing_pause(self) -> Option<&'static str> {
        match self {
            Self::Suspend => Some("begins"),
            Self::Resume => Some("ends"),
            Self::Purchase | Self::Change | Self::Cancel | Self::Renew | Self::Transfer => None,
        }
    }
}

/// Reads a fulfilment request.
pub(super) fn fulfilment(value: Value<'_>, world: &mut World) -> Result<(), Fault> {
    let order_id = req(value, "id", id)?;
    let deed = req(value, "type", |v| word(v, &DEEDS))?;
    let asset = req(value, "asset", object)?;
    let status = said(value, &["status"]).unwrap_or_default();
    let created = instant_at(value, "created")?;
    // Connect does not tell when a request was approved; its last change is the nearest.
    let completed = match instant_at(value, "updated")? {
        Some(updated) => Some(updated),
        None => created.clone(),
    };
    let (completed_at, completed) = completed
        .ok_or_else(|| Fault::of(value, "the request does not say when it was made").under("updated"))?;
    let subscription = read(asset, Some(value), world).map_err(|fault| fault.under("asset"))?;
    let given = date_at(value, &["effective_date"]);
    let effective = given.unwrap_or(completed.date);
    let lines = if matches!(deed, Deed::Suspend | Deed::Resume | Deed::Cancel) {
        Vec::new()
    } else {
        lines(asset, deed).map_err(|fault| fault.under("asset"))?
    };
    if !lines.is_empty() {
        warn_of_price(&order_id, world);
    }
    let mut ext = source_of(value);
    let pause = deed.billing_pause().and_then(|word| to_raw_value(word).ok());
    ext.0.extend(pause.map(|word| (BILLING_PAUSE.to_owned(), word)));
    let order = Order {
        id: order_id.into(),
        number: None,
        kind: deed.kind(),
        subscription: subscription.id.clone(),
        customer: Some(subscription.customer.clone()),
        completed_at,
        completed_us: completed.micros,
        created_at: created.map(|(text, _)| text),
        effective,
        effective_given: given.is_some(),
        period: period(value, &subscription, effective)?,
        currency: subscription.currency,
        status: if status == "approved" { "completed".to_owned() } else { status },
        po_number: None,
        lines,
        ext,
    };
    remember(subscription, completed, world);
    world.emit(Record::Order(order));
    Ok(())
}

/// Reads a billing request. The vendor's own says what the vendor charges, so it is kept and not synchronised.
pub(super) fn billing(value: Value<'_>, world: &mut World) -> Result<(), Fault> {
    let order_id = req(value, "id", id)?;
    let asset = req(value, "asset", object)?;
    let missing = || Fault::of(value, "the request does not say when it was made").under("events.created.at");
    let events = value.get("events").ok_or_else(missing)?;
    let stamp = events.get("updated").or_else(|| events.get("created")).ok_or_else(missing)?;
    let (completed_at, completed) = req(stamp, "at", instant).map_err(|fault| fault.under("events"))?;
    let created_at = events.text_at(&["created", "at"]).map(|text| text.into_owned());
    let subscription = read(asset, Some(value), world).map_err(|fault| fault.under("asset"))?;
    let from = date_at(value, &["period", "from"]);
    let to = date_at(value, &["period", "to"]);
    let period = from
        .zip(to)
        .and_then(|(from, to)| Period::new(from, to).ok())
        .ok_or_else(|| Fault::of(value, "the request does not say which days it bills").under("period"))?;
    let holder = if value.get("items").is_some() { value } else { asset };
    let lines = lines(holder, Deed::Purchase)?;
    if lines.is_empty() {
        world.warn("items", REFUSED, format!("{order_id} bills no items; fetch it with its items"));
    } else {
        warn_of_price(&order_id, world);
    }
    let order = Order {
        id: order_id.into(),
        number: None,
        kind: OrderKind::Billing,
        subscription: subscription.id.clone(),
        customer: Some(subscription.customer.clone()),
        completed_at,
        completed_us: completed.micros,
        created_at,
        effective: completed.date,
        effective_given: false,
        period,
        currency: subscription.currency,
        status: if said(value, &["type"]).as_deref() == Some("vendor") { "vendor" } else { "completed" }
            .to_owned(),
        po_number: None,
        lines,
        ext: source_of(value),
    };
    remember(subscription, completed, world);
    world.emit(Record::Order(order));
    Ok(())
}

fn warn_of_price(order: &str, world: &mut World) {
    let reason = format!(
        "{order} carries no prices, as no request of Connect does: the price comes from the catalog item or from a price list"
    );
    world.warn("items[].unit_price", NO_PRICE, reason);
}

fn instant_at(value: Value<'_>, name: &str) -> Result<Option<(String, Instant)>, Fault> {
    crate::fields::opt(value, name, instant)
}

/// Keeps the newest state of a subscription that requests tell of.
fn remember(subscription: Subscription, at: Instant, world: &mut World) {
    let id = subscription.id.to_string();
    let newer = world.subscriptions.get(&id).is_none_or(|(known, _)| *known <= at.micros);
    if newer {
        let subscription = Subscription { ext: Ext::default(), ..subscription };
        world.subscriptions.insert(id, (at.micros, subscription));
    }
}

/// The billing period that holds the day, laid from the next billing date or from the first day.
fn period(value: Value<'_>, subscription: &Subscription, day: Date) -> Result<Period, Fault> {
    let anchor = subscription.period.map_or(subscription.start, Period::end);
    subscription.billing_cycle.period_containing(anchor, day).map_err(|error| {
        Fault::of(value, format!("no billing period can be laid around {day}: {error}")).under("updated")
    })
}

/// The items that the request is about: of a change those whose quantity moves, else those that are bought.
fn lines(holder: Value<'_>, deed: Deed) -> Result<Vec<OrderLine>, Fault> {
    let Some(list) = holder.get("items") else { return Ok(Vec::new()) };
    let mut lines = Vec::new();
    let mut ids = HashSet::new();
    for (index, item) in
        crate::fields::list(list).map_err(|fault| fault.under("items"))?.children().enumerate()
    {
        let line = line(item, deed).map_err(|fault| fault.under(&format!("items[{index}]")))?;
        if !ids.insert(line.id.to_string()) {
            let reason = format!("the item {} stands twice", shown(item.get("id").unwrap_or(item)));
            return Err(Fault::of(item, reason).under(&format!("items[{index}]")));
        }
        if !line.quantity.is_zero() {
            lines.push(line);
        }
    }
    Ok(lines)
}

fn line(item: Value<'_>, deed: Deed) -> Result<OrderLine, Fault> {
    let new = item_quantity(item, "quantity")?;
    let old = item_quantity(item, "old_quantity")?;
    let changes = deed == Deed::Change;
    let quantity: Quantity = if changes {
        new.minus(old).map_err(|error| Fault::of(item, error.to_string()).under("quantity"))?
    } else {
        new
    };
    let kind = said(item, &["item_type"]).unwrap_or_default();
    let charge = if said(item, &["period"]).is_some_and(|period| period.eq_ignore_ascii_case("onetime")) {
        Charge::OneTime
    } else if kind.eq_ignore_ascii_case("ppu") {
        Charge::Overuse
    } else {
        Charge::Recurring
    };
    let local = req(item, "id", id)?;
    Ok(OrderLine {
        id: local.as_str().into(),
        charge,
        product: item_id(item)?.into(),
        item: Some(local),
        quantity,
        unit_price: None,
        unit_cost: None,
        old_unit_price: None,
        old_unit_cost: None,
        old_quantity: changes.then_some(old),
        new_quantity: changes.then_some(new),
        amount: None,
        cost_amount: None,
        period: None,
        description: said(item, &["display_name"]),
    })
}
