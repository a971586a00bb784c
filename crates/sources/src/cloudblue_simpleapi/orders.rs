//! Orders as their own answers tell them, before they are held against each other.

use super::catalogue::{amount, billing_model};
use crate::fields::{Fault, id, instant, list, opt, quantity, req, shown, signed, text};
use crate::json::Value;
use crate::place::Place;
use crate::redact::source_of;
use crate::time::Instant;
use rust_decimal::Decimal;
use std::collections::BTreeSet;
use trueup_domain::feed::{BillingModel, Charge, Ext, OrderKind};
use trueup_domain::money::{Currency, Money, Quantity};

/// A product of an order.
pub(super) struct Ordered {
    pub(super) mpn: String,
    pub(super) subscription: Option<String>,
    /// On a change: the new total.
    pub(super) quantity: Quantity,
    /// What it is changed into, where the product itself changes.
    pub(super) replaced_by: Option<String>,
}

impl Ordered {
    /// Whether a charge may be for it.
    pub(super) fn is_charged_by(&self, detail: &Detail) -> bool {
        self.mpn == detail.mpn || self.replaced_by.as_ref() == Some(&detail.mpn)
    }
}

/// A charge of an order.
pub(super) struct Detail {
    /// Its place among them, from 0.
    pub(super) row: usize,
    pub(super) charge: Charge,
    pub(super) mpn: String,
    pub(super) quantity: Quantity,
    pub(super) unit_price: Option<Money>,
    pub(super) amount: Money,
    pub(super) description: Option<String>,
    /// Whether it is for one whole period.
    pub(super) whole: bool,
    /// Whether it is a fee for renewing, which is no price of the thing itself where it is zero.
    pub(super) renews: bool,
}

/// An order as it was read.
pub(super) struct RawOrder {
    pub(super) place: Place,
    pub(super) id: String,
    pub(super) number: Option<String>,
    pub(super) kind: OrderKind,
    pub(super) customer: Option<String>,
    pub(super) subscription: Option<String>,
    pub(super) completed_at: String,
    pub(super) completed: Instant,
    pub(super) created_at: Option<String>,
    pub(super) status: String,
    pub(super) po_number: Option<String>,
    pub(super) model: Option<BillingModel>,
    pub(super) currency: Option<Currency>,
    pub(super) total: Option<String>,
    pub(super) products: Vec<Ordered>,
    pub(super) details: Vec<Detail>,
    pub(super) ext: Ext,
}

impl RawOrder {
    /// The subscriptions that the order is about.
    pub(super) fn subscriptions(&self) -> BTreeSet<&str> {
        let named: BTreeSet<&str> = self.products.iter().filter_map(|p| p.subscription.as_deref()).collect();
        if named.len() > 1 {
            named
        } else {
            self.subscription.as_deref().or(named.first().copied()).into_iter().collect()
        }
    }
}

/// Reads an order.
pub(super) fn read(value: Value<'_>, place: Place) -> Result<RawOrder, Fault> {
    let mut details = Vec::new();
    let mut currency = opt(value, "total", amount)?.map(|(_, currency)| currency);
    let mut only_use = true;
    for (index, row) in opt(value, "details", list)?.into_iter().flat_map(Value::children).enumerate() {
        let at = |fault: Fault| fault.under(&format!("details[{index}]"));
        let kind = req(row, "type", text).map_err(at)?;
        only_use &= matches!(kind.as_str(), "recurring" | "overuse" | "billRecord");
        if let Some((detail, named)) = detail(row, &kind, index).map_err(at)? {
            if currency.is_some_and(|known| known != named) {
                return Err(at(
                    Fault::of(row, "its amounts are in two currencies").under("extendedPrice.currency")
                ));
            }
            currency = Some(named);
            details.push(detail);
        }
    }
    let number = opt(value, "orderNumber", text)?;
    let kind = kind(value, number.as_deref().unwrap_or_default(), only_use && !details.is_empty())?;
    let created = opt(value, "creationDate", instant)?;
    let provisioned = opt(value, "provisioningDate", instant)?;
    let word = opt(value, "status", text)?.unwrap_or_default();
    let is_completed = word == "completed" && value.text_at(&["statusCode"]).is_none_or(|code| code == "CP");
    if is_completed && provisioned.is_none() {
        let reason = "the order is completed and does not say when it was provisioned; save its answer again";
        return Err(Fault::of(value, reason).under("provisioningDate"));
    }
    let created_at = created.as_ref().map(|(text, _)| text.clone());
    let (completed_at, completed) = provisioned
        .or(created)
        .ok_or_else(|| Fault::of(value, "the order has no date").under("creationDate"))?;
    let mut ext = source_of(value);
    if let Some(unsupported) = super::catalogue::unsupported(value) {
        unsupported.note(&mut ext);
    }
    let not_charged = if word == "completed" { "not_charged".to_owned() } else { word };
    Ok(RawOrder {
        place,
        id: req(value, "id", id)?,
        number,
        kind,
        customer: opt(value, "customerId", id)?,
        subscription: opt(value, "subscriptionId", id)?,
        completed_at,
        completed,
        created_at,
        status: if is_completed { "completed".to_owned() } else { not_charged },
        po_number: opt(value, "poNumber", text)?,
        model: opt(value, "billingModel", billing_model)?,
        currency,
        total: value.text_at(&["total", "amount"]).map(|text| text.into_owned()),
        products: products(value)?,
        details,
        ext,
    })
}

fn kind(value: Value<'_>, number: &str, only_use: bool) -> Result<OrderKind, Fault> {
    let word = req(value, "type", text)?;
    let prefix: String = number.chars().take_while(char::is_ascii_alphabetic).collect();
    match word.as_str() {
        "sales" => Ok(OrderKind::Sales),
        "change" => Ok(OrderKind::Change),
        "renewal" => Ok(OrderKind::Renewal),
        "cancellation" => Ok(OrderKind::Cancellation),
        "migration" => Ok(OrderKind::Transfer),
        "unknown" => match prefix.as_str() {
            "BO" => Ok(OrderKind::Billing),
            "SO" => Ok(OrderKind::Sales),
            "CH" => Ok(OrderKind::Change),
            "RN" => Ok(OrderKind::Renewal),
            "CL" | "CF" => Ok(OrderKind::Cancellation),
            _ if only_use => Ok(OrderKind::Billing),
            _ => {
                let reason = format!(
                    "its type is unknown and its number {number} tells none; nothing can be made of it"
                );
                Err(Fault::of(value, reason).under("type"))
            }
        },
        _ => {
            let shown = value.get("type").map(shown).unwrap_or_default();
            Err(Fault::of(value, format!("{shown} is no type of order that is known here")).under("type"))
        }
    }
}

fn products(value: Value<'_>) -> Result<Vec<Ordered>, Fault> {
    let mut products = Vec::new();
    for (index, product) in opt(value, "products", list)?.into_iter().flat_map(Value::children).enumerate() {
        let at = |fault: Fault| fault.under(&format!("products[{index}]"));
        let mpn = req(product, "mpn", id).map_err(at)?;
        products.push(Ordered {
            subscription: opt(product, "subscriptionId", id).map_err(at)?,
            quantity: req(product, "quantity", quantity).map_err(at)?,
            replaced_by: opt(product, "newMPN", id).map_err(at)?.filter(|new| *new != mpn),
            mpn,
        });
    }
    Ok(products)
}

/// Reads a charge; nothing for what is a payment and no charge.
fn detail(value: Value<'_>, kind: &str, row: usize) -> Result<Option<(Detail, Currency)>, Fault> {
    let (mut amount, currency) = req(value, "extendedPrice", amount)?;
    let charge = match kind {
        "recurring" | "renew" => Charge::Recurring,
        "setup" => Charge::Setup,
        "overuse" | "billRecord" => Charge::Overuse,
        "switch" => Charge::Upgrade,
        "cancellation" | "billPenalty" => Charge::Cancellation,
        "transfer" | "handlingFee" | "nonProvisioningItem" => Charge::OneTime,
        "recurringRefund" | "setupRefund" | "renewRefund" | "transferRefund" | "refund"
        | "refundAdjustment" => Charge::Refund,
        "discount" | "downgrade" => Charge::Discount,
        // An adjustment goes both ways, and only a discount is always a reduction.
        "adjustment" if amount.is_negative() => Charge::Discount,
        "adjustment" => Charge::OneTime,
        "payment" | "resellerPayment" | "deposit" => return Ok(None),
        _ => {
            // Open set: words of a foreign system.
            let reason =
                format!("`{kind}` is no type of charge that is known here, so the order cannot be billed");
            return Err(Fault::of(value, reason).under("type"));
        }
    };
    if charge == Charge::Refund && !amount.is_negative() {
        amount = -amount;
    }
    let duration = value
        .at(&["duration", "duration"])
        .map(signed)
        .transpose()
        .map_err(|fault| fault.under("duration"))?;
    Ok(Some((
        Detail {
            row,
            charge,
            mpn: match opt(value, "mpn", id)? {
                Some(mpn) => mpn,
                None => req(value, "productId", id)?,
            },
            quantity: opt(value, "quantity", quantity)?.unwrap_or_else(|| Quantity::from(1)),
            unit_price: opt(value, "unitPrice", super::catalogue::amount)?.map(|(amount, _)| amount),
            amount,
            description: opt(value, "description", text)?,
            whole: duration.is_none_or(|duration| duration.decimal() == Decimal::ONE),
            renews: kind == "renew",
        },
        currency,
    )))
}
