//! The exact sums of a bill, and the records made of them.

use super::rows::{Row, moment};
use crate::fields::{INCOMPLETE, NO_PRICE};
use crate::refusal;
use rust_decimal::Decimal;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::feed::{
    BillingModel, Charge, Customer, Ext, Order, OrderKind, OrderLine, Product, ProductKind, Record,
    Subscription, SubscriptionItem, SubscriptionStatus,
};
use trueup_domain::ids::{CustomerId, LineId, OrderId, ProductId, SubscriptionId};
use trueup_domain::money::{Currency, Money, Quantity, parse_decimal};
use trueup_domain::period::{BillingCycle, Period};
use trueup_engine::ports::Refusal;

/// Decimal places that sums are kept with; no amount that is let in has more.
const PLACES: u32 = 18;
const ITEM: &str = "charges";
/// The longest id of the feed.
const MAX_ID_CHARS: usize = 200;

/// Why a row has no usable amount.
pub(super) struct RowFault {
    pub(super) field: &'static str,
    pub(super) reason: String,
}

/// An exact sum, as a whole number of 10^-18.
#[derive(Clone, Copy, Default)]
struct Sum {
    value: i128,
    scale: u32,
    broken: bool,
}

impl Sum {
    fn add(&mut self, amount: Decimal) {
        let scaled = 10_i128
            .checked_pow(PLACES.saturating_sub(amount.scale()))
            .and_then(|factor| amount.mantissa().checked_mul(factor))
            .and_then(|scaled| self.value.checked_add(scaled));
        match scaled {
            Some(value) => self.value = value,
            None => self.broken = true,
        }
        self.scale = self.scale.max(amount.scale());
    }

    /// The sum with as many places as its most precise part.
    fn money(self) -> Option<Money> {
        let factor = 10_i128.checked_pow(PLACES.checked_sub(self.scale)?)?;
        let value = Decimal::try_from_i128_with_scale(self.value / factor, self.scale).ok()?;
        // Held to the same bounds as every amount, so that it can be read back.
        (!self.broken).then(|| parse_decimal(&value.to_string()).ok()).flatten().map(Money::new)
    }
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    account: String,
    customer: String,
    provider: String,
    service: String,
}

struct Group {
    rows: u64,
    billed: Sum,
    effective: Sum,
    effective_known: bool,
    whole: bool,
}

struct Service {
    currency: Currency,
    periods: BTreeMap<Period, Group>,
}

/// All sums of a bill.
#[derive(Default)]
pub(super) struct Groups {
    services: BTreeMap<Key, Service>,
    names: BTreeMap<String, String>,
    hold: bool,
}

impl Groups {
    /// A row was lost whose group cannot be known: no group is surely whole.
    pub(super) fn hold_all(&mut self) {
        self.hold = true;
    }

    /// Adds a charge.
    pub(super) fn add(&mut self, row: &Row<'_>) -> Result<(), RowFault> {
        let place = Self::place(row);
        let (key, period, currency) = match place {
            Ok(place) => place,
            Err(fault) => {
                self.hold = true;
                return Err(fault);
            }
        };
        let service = self
            .services
            .entry(key.clone())
            .or_insert_with(|| Service { currency, periods: BTreeMap::new() });
        let group = service.periods.entry(period).or_insert_with(|| Group {
            rows: 0,
            billed: Sum::default(),
            effective: Sum::default(),
            effective_known: true,
            whole: true,
        });
        if service.currency != currency {
            group.whole = false;
            let reason = format!(
                "the row is in {currency} and the service was billed in {} before; sums of two currencies are never made, so \
                 this order stays incomplete",
                service.currency
            );
            return Err(RowFault { field: "BillingCurrency", reason });
        }
        let billed = match row.filled("BilledCost").map(parse_decimal) {
            Some(Ok(amount)) => amount,
            Some(Err(error)) => {
                group.whole = false;
                let reason = format!(
                    "{error}; the charge cannot be billed, so its order stays incomplete. Correct the row"
                );
                return Err(RowFault { field: "BilledCost", reason });
            }
            None => {
                group.whole = false;
                let reason =
                    "the row has no amount, so its order stays incomplete; add the amount".to_owned();
                return Err(RowFault { field: "BilledCost", reason });
            }
        };
        match row.filled("EffectiveCost").map(parse_decimal) {
            Some(Ok(cost)) => group.effective.add(cost),
            Some(Err(_)) | None => group.effective_known = false,
        }
        group.billed.add(billed);
        group.rows += 1;
        let name = row.filled("SubAccountId").and_then(|_| row.filled("SubAccountName"));
        let name = name.or_else(|| row.filled("BillingAccountName"));
        self.names.entry(key.customer.clone()).or_insert_with(|| name.unwrap_or(&key.customer).to_owned());
        Ok(())
    }

    fn place(row: &Row<'_>) -> Result<(Key, Period, Currency), RowFault> {
        let need = |field: &'static str| {
            row.filled(field).ok_or_else(|| RowFault {
                field,
                reason: "the row does not say to whom or what the charge belongs; add it at the source"
                    .to_owned(),
            })
        };
        let account = need("BillingAccountId")?;
        let customer = row.filled("SubAccountId").unwrap_or(account);
        let key = Key {
            account: account.to_owned(),
            customer: shortened(customer.to_owned()),
            provider: need("ProviderName")?.to_owned(),
            service: need("ServiceName")?.to_owned(),
        };
        let date = |field: &'static str| {
            let text = need(field)?;
            moment(text).map(|(date, _)| date).ok_or_else(|| RowFault {
                field,
                reason: format!("{text:?} is no date and time; write \"2024-09-01 00:00:00\""),
            })
        };
        let (start, end) = (date("BillingPeriodStart")?, date("BillingPeriodEnd")?);
        let period = Period::new(start, end).map_err(|error| RowFault {
            field: "BillingPeriodEnd",
            reason: format!("{error}; correct it"),
        })?;
        let code = need("BillingCurrency")?;
        let currency = code
            .parse()
            .map_err(|error| RowFault { field: "BillingCurrency", reason: format!("{error}; correct it") })?;
        Ok((key, period, currency))
    }

    /// The records, in an order that holds everything before it is referred to.
    pub(super) fn into_results(self) -> Vec<Result<Record, Refusal>> {
        let mut results = Vec::new();
        let mut currencies: BTreeMap<&str, BTreeSet<Currency>> = BTreeMap::new();
        for (key, service) in &self.services {
            currencies.entry(&key.customer).or_default().insert(service.currency);
        }
        for (id, name) in &self.names {
            let known = currencies.get(id.as_str());
            let currency = known.filter(|known| known.len() == 1).and_then(|known| known.first().copied());
            results.push(Ok(Record::Customer(customer(id, name, currency))));
        }
        let products: BTreeSet<(&str, &str)> =
            self.services.keys().map(|key| (key.provider.as_str(), key.service.as_str())).collect();
        results.extend(products.into_iter().map(|(provider, service)| Ok(product(provider, service))));
        for (key, service) in &self.services {
            if let Some(start) = service.periods.keys().next() {
                results.push(Ok(subscription(key, service.currency, start.start())));
            }
        }
        for (key, service) in &self.services {
            for (period, group) in &service.periods {
                order(key, service.currency, *period, group, self.hold, &mut results);
            }
        }
        results
    }
}

/// The id itself, or its beginning and a hash of the whole where it is too long for the feed.
fn shortened(id: String) -> String {
    if id.chars().count() <= MAX_ID_CHARS {
        return id;
    }
    let digest = Sha256::digest(id.as_bytes());
    let mut short: String = id.chars().take(MAX_ID_CHARS - 17).collect();
    short.push('~');
    for byte in digest.iter().take(8) {
        short.push_str(&format!("{byte:02x}"));
    }
    short
}

fn joined(parts: &[&str]) -> String {
    let escaped: Vec<String> =
        parts.iter().map(|part| part.replace('%', "%25").replace('|', "%7C")).collect();
    shortened(escaped.join("|"))
}

fn product_id(provider: &str, service: &str) -> ProductId {
    ProductId::from(shortened(format!("{}/{service}", provider.replace('%', "%25").replace('/', "%2F"))))
}

fn subscription_id(key: &Key) -> SubscriptionId {
    SubscriptionId::from(joined(&[&key.account, &key.customer, &key.provider, &key.service]))
}

fn customer(id: &str, name: &str, currency: Option<Currency>) -> Customer {
    Customer {
        id: CustomerId::from(id),
        name: name.to_owned(),
        organization: None,
        parent: None,
        code: None,
        domain: None,
        email: None,
        phone: None,
        fax: None,
        website: None,
        tax_id: None,
        currency,
        account_type: Some("cloud sub account".to_owned()),
        status: None,
        address: None,
        contact: None,
        ext: Ext::mentioned(),
    }
}

fn product(provider: &str, service: &str) -> Record {
    Record::Product(Product {
        id: product_id(provider, service),
        name: service.to_owned(),
        sku: None,
        description: None,
        unit: None,
        kind: Some(ProductKind::Metered),
        vendor: Some(provider.to_owned()),
        unit_price: None,
        unit_cost: None,
        currency: None,
        billing_cycle: Some(BillingCycle::MONTHLY),
        unit_type: None,
        product_type: None,
        taxable: None,
        active: None,
        ext: Ext::mentioned(),
    })
}

fn subscription(key: &Key, currency: Currency, start: jiff::civil::Date) -> Record {
    Record::Subscription(Subscription {
        id: subscription_id(key),
        customer: CustomerId::from(key.customer.as_str()),
        name: Some(key.service.clone()),
        status: SubscriptionStatus::Active,
        currency,
        billing_cycle: BillingCycle::MONTHLY,
        billing_model: BillingModel::ExternalRating,
        start,
        end: None,
        period: None,
        anchor_day: None,
        plan: None,
        parent: None,
        term: None,
        vendor_id: None,
        trial_until: None,
        cancelled_on: None,
        items: vec![SubscriptionItem {
            id: ITEM.to_owned(),
            product: product_id(&key.provider, &key.service),
            quantity: Quantity::from(1),
            included_quantity: None,
            unit_price: None,
            unit_cost: None,
            overuse_price: None,
            overuse_cost: None,
        }],
        ext: Ext::default(),
    })
}

fn order(
    key: &Key,
    currency: Currency,
    period: Period,
    group: &Group,
    hold: bool,
    results: &mut Vec<Result<Record, Refusal>>,
) {
    let subscription = subscription_id(key);
    let id = shortened(format!("{subscription}|{}", period.start()));
    let Some(amount) = group.billed.money() else {
        let reason = format!(
            "the charges of {} in {} add up to more than can be kept exactly; split the bill",
            key.service,
            period.start()
        );
        results.push(Err(Refusal { field: Some(id), ..refusal("-", 0, INCOMPLETE, reason) }));
        return;
    };
    let cost_amount = group.effective.money().filter(|_| group.effective_known);
    if cost_amount.is_none() {
        let reason =
            "a charge of this order has no usable EffectiveCost, so its cost is not known".to_owned();
        let warning = Refusal { field: Some(id.clone()), warning: true, ..refusal("-", 0, NO_PRICE, reason) };
        results.push(Err(warning));
    }
    let mut ext = Ext::default();
    if let Ok(rows) = serde_json::value::to_raw_value(&group.rows) {
        ext.0.insert("rows".to_owned(), rows);
    }
    results.push(Ok(Record::Order(Order {
        id: OrderId::from(id),
        number: Some(format!("{} {}", period.start().strftime("%Y-%m"), key.service)),
        kind: OrderKind::Billing,
        subscription,
        customer: Some(CustomerId::from(key.customer.as_str())),
        completed_at: format!("{}T00:00:00Z", period.end()),
        completed_us: crate::time::midnight_micros(period.end()),
        created_at: None,
        effective: period.end(),
        effective_given: false,
        period,
        currency,
        status: if group.whole && !hold { "completed" } else { "incomplete" }.to_owned(),
        po_number: None,
        lines: vec![OrderLine {
            id: LineId::from("1"),
            charge: Charge::Recurring,
            product: product_id(&key.provider, &key.service),
            item: Some(ITEM.to_owned()),
            quantity: Quantity::from(1),
            unit_price: None,
            unit_cost: None,
            old_unit_price: None,
            old_unit_cost: None,
            old_quantity: None,
            new_quantity: None,
            amount: Some(amount),
            cost_amount,
            period: Some(period),
            description: Some(key.service.clone()),
        }],
        ext,
    })));
}
