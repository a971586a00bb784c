//! Customers with their contacts, and products with their prices.

use super::World;
use crate::fields::{Fault, currency, filled, id, list, money, object, opt, req, shown, text, whole};
use crate::json::Value;
use crate::redact::source_of;
use trueup_domain::feed::{Address, BillingModel, Contact, Customer, Ext, Product, ProductKind};
use trueup_domain::money::{Currency, Money};
use trueup_domain::period::{BillingCycle, CycleUnit};

/// A price of a product: currency, type (`recurring`, `setup`, `overuse`), amount, and whether it is a cost.
pub(super) struct Price {
    currency: Currency,
    kind: String,
    amount: Money,
    is_cost: bool,
}

/// All flat prices of a product.
#[derive(Default)]
pub(super) struct Prices(Vec<Price>);

impl Prices {
    /// The amount of one type in one currency.
    pub(super) fn find(&self, kind: &str, currency: Currency, is_cost: bool) -> Option<Money> {
        let fits = |p: &&Price| p.kind == kind && p.currency == currency && p.is_cost == is_cost;
        self.0.iter().find(fits).map(|price| price.amount)
    }

    /// The one amount of a type, where all currencies agree; the currency where there is but one.
    fn single(&self, kind: &str, is_cost: bool) -> (Option<Money>, Option<Currency>) {
        let mut all = self.0.iter().filter(|p| p.kind == kind && p.is_cost == is_cost);
        let Some(first) = all.next() else { return (None, None) };
        let (mut same_amount, mut same_currency) = (true, true);
        for other in all {
            same_amount &= other.amount == first.amount;
            same_currency &= other.currency == first.currency;
        }
        (same_amount.then_some(first.amount), same_currency.then_some(first.currency))
    }
}

/// An amount with its currency: `{"currency": "GBP", "amount": "12.500"}`.
pub(super) fn amount(value: Value<'_>) -> Result<(Money, Currency), Fault> {
    let value = object(value)?;
    Ok((req(value, "amount", money)?, req(value, "currency", currency)?))
}

/// A period: `{"type": "month", "duration": 1}`.
pub(super) fn cycle(value: Value<'_>) -> Result<BillingCycle, Fault> {
    let value = object(value)?;
    let word = req(value, "type", text)?;
    let unit = match word.as_str() {
        "day" => CycleUnit::Day,
        "month" => CycleUnit::Month,
        "year" => CycleUnit::Year,
        _ => {
            // Open set: words of a foreign system; `statement_day` among them.
            let reason = format!("billing by `{word}` is not supported; only day, month and year are");
            return Err(Fault::of(value, reason).under("type"));
        }
    };
    let every = req(value, "duration", |v| whole(v, 1, 120))?;
    BillingCycle::new(every, unit).map_err(|error| Fault::of(value, error.to_string()))
}

/// A way of billing that is known and not supported. It is said in a plain field of the records, so that their tasks are
/// put aside and told, and never billed in another way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsupported {
    /// Periods follow the day of the customer's statement.
    StatementDay,
    /// The whole term is charged before it begins.
    BeforeSubscriptionPeriod,
}

impl Unsupported {
    /// Says it in the record.
    pub(super) fn note(self, ext: &mut Ext) {
        let (field, word) = match self {
            Self::StatementDay => ("billing_alignment", "statement_day"),
            Self::BeforeSubscriptionPeriod => ("billing_charge", "before_subscription_period"),
        };
        if let Ok(word) = serde_json::value::to_raw_value(word) {
            ext.0.insert(field.to_owned(), word);
        }
    }
}

/// Whether a subscription or order is billed in a way that is not supported.
pub(super) fn unsupported(value: Value<'_>) -> Option<Unsupported> {
    let products = value.get("products").into_iter().flat_map(Value::children);
    let mut periods =
        std::iter::once(value).chain(products).filter_map(|of| of.text_at(&["billingPeriod", "type"]));
    if periods.any(|word| word == "statement_day") {
        return Some(Unsupported::StatementDay);
    }
    let model = value.text_at(&["billingModel"])?;
    (model == "chargeBeforeSubscriptionPeriod").then_some(Unsupported::BeforeSubscriptionPeriod)
}

/// When a subscription is charged.
pub(super) fn billing_model(value: Value<'_>) -> Result<BillingModel, Fault> {
    match value.as_text().as_deref() {
        Some("chargeBeforeBillingPeriod" | "chargeBeforeSubscriptionPeriod") => Ok(BillingModel::Advance),
        Some("chargeAfterBillingPeriod") => Ok(BillingModel::Arrears),
        Some("chargeExternalRating") => Ok(BillingModel::ExternalRating),
        Some(_) | None => {
            Err(Fault::of(value, format!("{} is no billing model that is known here", shown(value))))
        }
    }
}

/// Reads a customer and its contact persons.
pub(super) fn customer(value: Value<'_>, world: &mut World) -> Result<(), Fault> {
    let id = req(value, "id", id)?;
    let mut main: Option<Contact> = None;
    let people = opt(value, "contactPersons", list)?;
    for (index, person) in people.into_iter().flat_map(Value::children).enumerate() {
        let contact =
            contact(person, &id).map_err(|fault| fault.under(&format!("contactPersons[{index}]")))?;
        if main.is_none()
            || (contact.primary == Some(true) && main.as_ref().is_some_and(|m| m.primary != Some(true)))
        {
            main = Some(contact.clone());
        }
        let mut key = contact.id.clone();
        let mut count = 2;
        while world.contacts.get(&key).is_some_and(|known| known.email != contact.email) {
            key = format!("{}-{count}", contact.id);
            count += 1;
        }
        world.contacts.insert(key.clone(), Contact { id: key, ..contact });
    }
    let place = value.get("address");
    let part = |name: &str| place.and_then(|place| place.text_at(&[name])).map(|text| text.into_owned());
    let main = main.as_ref();
    let names =
        main.map(|m| [m.first_name.clone(), m.last_name.clone()].into_iter().flatten().collect::<Vec<_>>());
    world.customers.insert(
        id.clone(),
        Customer {
            id: id.into(),
            name: req(value, "name", filled)?,
            organization: None,
            parent: value.text_at(&["resellerId"]).map(|text| text.into_owned().into()),
            code: value.text_at(&["externalId"]).map(|text| text.into_owned()),
            domain: None,
            email: main.and_then(|m| m.email.clone()),
            phone: main.and_then(|m| m.phone.clone()),
            fax: None,
            website: None,
            tax_id: value.text_at(&["taxRegId"]).map(|text| text.into_owned()),
            currency: None,
            account_type: value.text_at(&["customerClass"]).map(|text| text.into_owned()),
            status: opt(value, "status", text)?,
            address: place.map(|_| Address {
                line1: part("streetAddress"),
                line2: part("addressExtension"),
                city: part("city"),
                region: part("state"),
                postcode: part("postalCode"),
                country: part("countryCode"),
            }),
            contact: names.map(|names| names.join(" ")).filter(|text| !text.is_empty()),
            ext: source_of(value),
        },
    );
    Ok(())
}

fn contact(value: Value<'_>, customer: &str) -> Result<Contact, Fault> {
    let part = |name: &str| value.text_at(&[name]).map(|text| text.into_owned());
    let role = part("type").filter(|role| ["admin", "billing", "technical"].contains(&role.as_str()));
    let (last_name, email) = (part("lastName"), part("email"));
    if last_name.is_none() && email.is_none() {
        return Err(Fault::of(value, "the person has neither a last name nor an e-mail address; add one"));
    }
    // The extension follows a `#`; most have none behind it.
    let phone = part("phoneNumber").map(|number| number.trim_end_matches('#').to_owned());
    Ok(Contact {
        id: format!("{customer}/{}", role.as_deref().unwrap_or("contact")),
        customer: customer.into(),
        first_name: part("firstName"),
        last_name,
        email,
        job_title: None,
        phone,
        mobile: None,
        fax: None,
        primary: Some(role.as_deref() == Some("admin")),
        role,
        ext: Ext::default(),
    })
}

/// Reads a product.
pub(super) fn product(value: Value<'_>, world: &mut World) -> Result<(), Fault> {
    let mpn = req(value, "mpn", id)?;
    let mut prices = Prices::default();
    for (name, is_cost) in [("prices", false), ("costs", true)] {
        for (index, price) in opt(value, name, list)?.into_iter().flat_map(Value::children).enumerate() {
            let at = |fault: Fault| fault.under(&format!("{name}[{index}]"));
            let (amount, currency) = amount(price).map_err(at)?;
            let kind = req(price, "type", text).map_err(at)?;
            // Only the lowest step of a stepped price is the price of a few.
            let first_step =
                price.get("lowerLimit").is_none_or(|limit| money(limit).is_ok_and(Money::is_zero));
            if first_step {
                prices.0.push(Price { currency, kind, amount, is_cost });
            }
        }
    }
    let model = opt(value, "billingModel", billing_model)?.unwrap_or_default();
    let metered = model != BillingModel::Advance;
    let main = if metered { "overuse" } else { "recurring" };
    let (unit_price, currency) = prices.single(main, false);
    let (unit_cost, _) = prices.single(main, true);
    let product = Product {
        id: mpn.as_str().into(),
        name: req(value, "name", filled)?,
        sku: Some(mpn.clone()),
        description: None,
        unit: None,
        kind: Some(if metered { ProductKind::Metered } else { ProductKind::Seat }),
        vendor: opt(value, "vendor", text)?,
        unit_price,
        unit_cost,
        currency,
        billing_cycle: opt(value, "billingPeriod", cycle)?,
        unit_type: None,
        product_type: opt(value, "serviceName", text)?,
        taxable: None,
        active: None,
        ext: source_of(value),
    };
    world.products.insert(mpn, (product, prices));
    Ok(())
}
