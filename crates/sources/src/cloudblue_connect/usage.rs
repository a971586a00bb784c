//! Usage records and helpdesk cases.

use super::World;
use super::parties::{item_product, said};
use crate::fields::{Fault, currency, id, instant_text, moment, money, opt, quantity, req, shown};
use crate::json::Value;
use crate::redact::source_of;
use trueup_domain::feed::{Alert, Record, UsageRecord};

/// Reads a usage record.
pub(super) fn usage(value: Value<'_>, world: &mut World) -> Result<(), Fault> {
    let (start, from) = req(value, "start_date", moment)?;
    let (end, until) = req(value, "end_date", moment)?;
    if from >= until {
        return Err(
            Fault::of(value, format!("it runs from {start} to {end}, which holds no time")).under("end_date")
        );
    }
    let status = said(value, &["status"]).unwrap_or_default();
    let status = match status.as_str() {
        "approved" | "closed" => "final",
        "valid" | "pending" | "uploaded" => "estimated",
        _ => {
            // Open set: words of a foreign system. What was rejected there must not be billed here.
            let shown = value.get("status").map_or_else(|| "none".to_owned(), shown);
            let reason =
                format!("its status is {shown}, and only valid, approved and closed usage can be billed");
            return Err(Fault::of(value, reason).under("status"));
        }
    };
    let subscription = said(value, &["asset", "id"]).or_else(|| said(value, &["asset_id"]));
    let customer = said(value, &["tiers", "customer", "id"]);
    if subscription.is_none() && customer.is_none() {
        return Err(Fault::of(value, "it names no subscription").under("asset.id"));
    }
    let product = match value.get("item") {
        Some(item) => {
            let product = item_product(item).map_err(|fault| fault.under("item"))?;
            world.products.entry(product.id.to_string()).or_insert_with(|| product.clone());
            product.id
        }
        None => req(value, "item_id", id)?.into(),
    };
    // Only rated files carry an amount: of a file of quantities it is always 0 and says nothing.
    let amount = opt(value, "amount", money)?;
    let (amount, cost_amount) =
        match said(value, &["usagefile", "schema"]).unwrap_or_default().to_lowercase().as_str() {
            "pr" | "tr" => (amount, None),
            "cr" => (None, amount),
            _ => (None, None), // open set: words of a foreign system
        };
    // An amount of 0 on used quantities has not been rated yet, and is no price.
    let rated = |amount: &trueup_domain::money::Money| !amount.is_zero();
    let record = UsageRecord {
        id: req(value, "id", id)?,
        subscription: subscription.map(Into::into),
        customer: customer.map(Into::into),
        product,
        quantity: req(value, "usage", quantity)?,
        start,
        end,
        unit: said(value, &["item", "unit"]),
        unit_price: None,
        unit_cost: None,
        amount: amount.filter(rated),
        cost_amount: cost_amount.filter(rated),
        currency: match value.get("usagefile") {
            Some(file) => opt(file, "currency", currency).map_err(|fault| fault.under("usagefile"))?,
            None => None,
        },
        status: status.to_owned(),
        replaces: None,
        summed: None,
        ext: source_of(value),
    };
    if record.amount.is_none() && record.cost_amount.is_none() {
        let reason = format!(
            "{} carries no amount: the price comes from the catalog item or from a price list",
            record.id
        );
        world.warn("amount", crate::fields::NO_PRICE, reason);
    }
    world.emit(Record::Usage(record));
    Ok(())
}

/// Reads a helpdesk case: the nearest thing to an alert.
pub(super) fn helpdesk(value: Value<'_>, world: &mut World) -> Result<(), Fault> {
    let customer = said(value, &["issuer", "account", "id"]).ok_or_else(|| {
        Fault::of(value, "the case names no account that raised it").under("issuer.account.id")
    })?;
    let events =
        value.get("events").ok_or_else(|| Fault::of(value, "the case has no dates").under("events"))?;
    let stamp = events.get("updated").or_else(|| events.get("created")).unwrap_or(events);
    let alert = Alert {
        id: req(value, "id", id)?,
        customer: customer.into(),
        kind: format!("helpdesk.{}", said(value, &["type"]).unwrap_or_else(|| "case".to_owned())),
        state: match said(value, &["state"]).as_deref() {
            Some("closed" | "resolved") => "closed",
            Some(_) | None => "open",
        }
        .to_owned(),
        at: req(stamp, "at", instant_text).map_err(|fault| fault.under("events"))?,
        summary: said(value, &["subject"]).unwrap_or_else(|| "(no subject)".to_owned()),
        severity: value.get("priority").map(|priority| priority.raw().trim_matches('"').to_owned()),
        subject: None,
        key: None,
        detail: said(value, &["description"]),
        ext: source_of(value),
    };
    world.emit(Record::Alert(alert));
    Ok(())
}
