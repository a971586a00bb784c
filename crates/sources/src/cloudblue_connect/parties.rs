//! Tier accounts, products and items.

use super::World;
use crate::answers;
use crate::fields::{Fault, id, req};
use crate::json::Value;
use crate::redact::source_of;
use trueup_domain::feed::{Address, Contact, Customer, Ext, Product, ProductKind, Record};
use trueup_domain::ids::ProductId;
use trueup_domain::period::{BillingCycle, CycleUnit};

/// Text at a path, where `-` and empty text are "no value".
pub(super) fn said(value: Value<'_>, path: &[&str]) -> Option<String> {
    value.text_at(path).filter(|text| text.trim() != "-").map(|text| text.into_owned())
}

/// The cycle of Connect's word for it; none for things sold once.
pub(super) fn cycle_of(word: &str) -> Option<BillingCycle> {
    let word = word.to_ascii_lowercase();
    match word.as_str() {
        "monthly" => Some(BillingCycle::MONTHLY),
        "yearly" => Some(BillingCycle::YEARLY),
        _ => {
            let years: u32 = word.strip_prefix("years_")?.parse().ok()?;
            (1..=10).contains(&years).then_some(BillingCycle { every: years, unit: CycleUnit::Year })
        }
    }
}

/// Reads a tier account that is an object of its own.
pub(super) fn tier_account(value: Value<'_>, world: &mut World) -> Result<(), Fault> {
    account(value, source_of(value), world)
}

/// Reads a tier account of which `kept` is what it came as.
pub(super) fn account(value: Value<'_>, kept: Ext, world: &mut World) -> Result<(), Fault> {
    let mut customer = customer(value)?;
    customer.ext = kept;
    let id = customer.id.to_string();
    if let Some(contact) = contact(value, &customer) {
        world.emit(Record::Contact(contact));
    }
    if let (Some(parent), Some(name)) = (said(value, &["parent", "id"]), said(value, &["parent", "name"])) {
        let mention = Customer { name, ..bare(&parent) };
        world.customers.entry(parent).or_insert(mention);
    }
    world.seen.insert(id);
    world.emit(Record::Customer(customer));
    Ok(())
}

/// Reads a tier configuration request: what it says of the account it configures.
pub(super) fn tier_config(value: Value<'_>, world: &mut World) -> Result<(), Fault> {
    let request = req(value, "id", id)?;
    let Some(account) = value.at(&["configuration", "account"]) else {
        return Err(Fault::of(value, "the request configures no account").under("configuration.account"));
    };
    let mut customer = customer(account).map_err(|fault| fault.under("configuration.account"))?;
    customer.ext = source_of(value);
    let id = customer.id.to_string();
    mention_tiers(value, world)?;
    world.customers.insert(id.clone(), customer);
    let reason =
        format!("{request} configures the account {id}: kept with the customer, nothing is sold by it");
    world.warn("id", crate::fields::REFUSED, reason);
    Ok(())
}

/// Notes the accounts that `tiers` mentions, and returns the customer's id.
pub(super) fn mention_tiers(value: Value<'_>, world: &mut World) -> Result<Option<String>, Fault> {
    let Some(tiers) = value.get("tiers") else { return Ok(None) };
    let reseller = tiers.text_at(&["tier1", "id"]).map(|text| text.into_owned());
    for tier in tiers.children().filter(|tier| tier.get("id").is_some()) {
        let mut customer = customer(tier).map_err(|fault| fault.under(&tier.key()).under("tiers"))?;
        if tier.key() == "customer" && customer.parent.is_none() {
            customer.parent = reseller.clone().map(Into::into);
        }
        world.customers.entry(customer.id.to_string()).or_insert(customer);
    }
    Ok(tiers.text_at(&["customer", "id"]).map(|text| text.into_owned()))
}

fn bare(id: &str) -> Customer {
    answers::customer(id.to_owned(), id.to_owned(), None)
}

fn customer(value: Value<'_>) -> Result<Customer, Fault> {
    let id = req(value, "id", id)?;
    let person = ["contact_info", "contact"];
    let name = |part| said(value, &[person[0], person[1], part]);
    let contact: Vec<String> = ["first_name", "last_name"].into_iter().filter_map(name).collect();
    Ok(Customer {
        name: said(value, &["name"]).unwrap_or_else(|| id.clone()),
        parent: said(value, &["parent", "id"]).map(Into::into),
        code: said(value, &["external_id"]),
        email: name("email"),
        phone: phone(value),
        tax_id: said(value, &["tax_id"]),
        account_type: said(value, &["type"]),
        address: address(value),
        contact: Some(contact.join(" ")).filter(|text| !text.is_empty()),
        ..bare(&id)
    })
}

fn address(value: Value<'_>) -> Option<Address> {
    let info = value.get("contact_info")?;
    let part = |name| said(info, &[name]);
    Some(Address {
        line1: part("address_line1"),
        line2: part("address_line2"),
        city: part("city"),
        region: part("state"),
        postcode: part("postal_code"),
        country: part("country").map(|code| code.to_uppercase()),
    })
}

fn phone(value: Value<'_>) -> Option<String> {
    let parts = value.at(&["contact_info", "contact", "phone_number"])?;
    let part = |name| said(parts, &[name]);
    let number = part("phone_number")?;
    let number = format!(
        "{}{}{number}",
        part("country_code").unwrap_or_default(),
        part("area_code").unwrap_or_default()
    );
    Some(match part("extension") {
        Some(extension) => format!("{number}#{extension}"),
        None => number,
    })
}

fn contact(value: Value<'_>, customer: &Customer) -> Option<Contact> {
    let part = |name| said(value, &["contact_info", "contact", name]);
    let (last_name, email) = (part("last_name"), part("email"));
    if last_name.is_none() && email.is_none() {
        return None;
    }
    Some(Contact {
        id: format!("{}/contact", customer.id),
        customer: customer.id.clone(),
        first_name: part("first_name"),
        last_name,
        email,
        job_title: None,
        phone: customer.phone.clone(),
        mobile: None,
        fax: None,
        role: Some("admin".to_owned()),
        primary: Some(true),
        ext: trueup_domain::feed::Ext::default(),
    })
}

fn bare_product(id: ProductId, name: String) -> Product {
    Product {
        id,
        name,
        sku: None,
        description: None,
        unit: None,
        kind: None,
        vendor: None,
        unit_price: None,
        unit_cost: None,
        currency: None,
        billing_cycle: None,
        unit_type: None,
        product_type: None,
        taxable: None,
        active: None,
        ext: trueup_domain::feed::Ext::default(),
    }
}

/// Reads a product: the family that items belong to.
pub(super) fn product(value: Value<'_>, world: &mut World) -> Result<(), Fault> {
    product_of(value, source_of(value), world)
}

/// Reads a product of which `kept` is what it came as.
pub(super) fn product_of(value: Value<'_>, kept: Ext, world: &mut World) -> Result<(), Fault> {
    let id = req(value, "id", id)?;
    world.seen.insert(id.clone());
    let name = said(value, &["name"]).unwrap_or_else(|| id.clone());
    world.emit(Record::Product(Product {
        description: said(value, &["short_description"]),
        vendor: said(value, &["owner", "name"]),
        product_type: said(value, &["category", "name"]),
        active: said(value, &["status"]).map(|status| status != "endofsale"),
        ext: kept,
        ..bare_product(id.into(), name)
    }));
    Ok(())
}

/// Reads an item: what is really sold.
pub(super) fn item(value: Value<'_>, world: &mut World) -> Result<(), Fault> {
    item_of(value, source_of(value), world)
}

/// Reads an item of which `kept` is what it came as.
pub(super) fn item_of(value: Value<'_>, kept: Ext, world: &mut World) -> Result<(), Fault> {
    let product = Product { ext: kept, ..item_product(value)? };
    world.seen.insert(product.id.to_string());
    world.emit(Record::Product(product));
    Ok(())
}

/// The id under which an item is a product: its global id.
pub(super) fn item_id(value: Value<'_>) -> Result<String, Fault> {
    if value.get("global_id").is_some() { req(value, "global_id", id) } else { req(value, "id", id) }
}

/// The product that an item is, wherever the item stands.
pub(super) fn item_product(value: Value<'_>) -> Result<Product, Fault> {
    let id = item_id(value)?;
    let period = said(value, &["period"]).unwrap_or_default();
    // The kind stands under `type` in the catalogue, and under `item_type` where `type` is the unit.
    let in_catalogue = value.get("item_type").is_none();
    let kind =
        said(value, &[if in_catalogue { "type" } else { "item_type" }]).unwrap_or_default().to_lowercase();
    let unit = if in_catalogue {
        said(value, &["unit", "name"]).or_else(|| said(value, &["unit"]))
    } else {
        said(value, &["type"])
    };
    let name =
        said(value, &["display_name"]).or_else(|| said(value, &["name"])).unwrap_or_else(|| id.clone());
    Ok(Product {
        sku: said(value, &["mpn"]),
        description: said(value, &["description"]),
        unit,
        kind: if period.eq_ignore_ascii_case("onetime") {
            Some(ProductKind::OneTime)
        } else {
            match kind.as_str() {
                "ppu" => Some(ProductKind::Metered),
                "reservation" => Some(ProductKind::Seat),
                _ => None, // open set: words of a foreign system
            }
        },
        billing_cycle: cycle_of(&period),
        active: said(value, &["status"]).map(|status| status != "endofsale"),
        ..bare_product(id.into(), name)
    })
}
