//! Organizations, customers, contacts, products.

use crate::fields::{
    Fault, boolean, currency, cycle, filled, id, money, object, one_of, opt, req, text, word,
};
use crate::json::Value;
use trueup_domain::feed::{Address, Contact, Customer, Ext, Organization, Product, ProductKind};

/// Reads an organization.
pub(crate) fn organization(value: Value<'_>) -> Result<Organization, Fault> {
    Ok(Organization {
        id: req(value, "id", id)?.into(),
        name: req(value, "name", filled)?,
        kind: req(value, "kind", |v| one_of(v, &["operator", "partner", "customer", "site"]))?,
        parent: opt(value, "parent", id)?.map(Into::into),
        status: opt(value, "status", text)?,
        ext: Ext::default(),
    })
}

fn address(value: Value<'_>) -> Result<Address, Fault> {
    let value = object(value)?;
    Ok(Address {
        line1: opt(value, "line1", text)?,
        line2: opt(value, "line2", text)?,
        city: opt(value, "city", text)?,
        region: opt(value, "region", text)?,
        postcode: opt(value, "postcode", text)?,
        country: opt(value, "country", text)?,
    })
}

/// Reads a customer.
pub(crate) fn customer(value: Value<'_>) -> Result<Customer, Fault> {
    Ok(Customer {
        id: req(value, "id", id)?.into(),
        name: req(value, "name", filled)?,
        organization: opt(value, "organization", id)?.map(Into::into),
        parent: opt(value, "parent", id)?.map(Into::into),
        code: opt(value, "code", text)?,
        domain: opt(value, "domain", text)?,
        email: opt(value, "email", text)?,
        phone: opt(value, "phone", text)?,
        fax: opt(value, "fax", text)?,
        website: opt(value, "website", text)?,
        tax_id: opt(value, "tax_id", text)?,
        currency: opt(value, "currency", currency)?,
        account_type: opt(value, "account_type", text)?,
        status: opt(value, "status", text)?,
        address: opt(value, "address", address)?,
        contact: opt(value, "contact", text)?,
        ext: Ext::default(),
    })
}

/// Reads a contact.
pub(crate) fn contact(value: Value<'_>) -> Result<Contact, Fault> {
    let contact = Contact {
        id: req(value, "id", id)?,
        customer: req(value, "customer", id)?.into(),
        first_name: opt(value, "first_name", text)?,
        last_name: opt(value, "last_name", text)?,
        email: opt(value, "email", text)?,
        job_title: opt(value, "job_title", text)?,
        phone: opt(value, "phone", text)?,
        mobile: opt(value, "mobile", text)?,
        fax: opt(value, "fax", text)?,
        role: opt(value, "role", |v| one_of(v, &["admin", "billing", "technical"]))?,
        primary: opt(value, "primary", boolean)?,
        ext: Ext::default(),
    };
    let empty = |text: &Option<String>| text.as_deref().is_none_or(|t| t.trim().is_empty());
    if empty(&contact.last_name) && empty(&contact.email) {
        let reason = "a contact needs a `last_name` or an `email`, and has neither; add one of them";
        return Err(Fault::of(value, reason).under("last_name"));
    }
    Ok(contact)
}

const PRODUCT_KINDS: [(&str, ProductKind); 6] = [
    ("seat", ProductKind::Seat),
    ("metered", ProductKind::Metered),
    ("one_time", ProductKind::OneTime),
    ("addon", ProductKind::Addon),
    ("bundle", ProductKind::Bundle),
    ("plan", ProductKind::Plan),
];

/// Reads a product.
pub(crate) fn product(value: Value<'_>) -> Result<Product, Fault> {
    Ok(Product {
        id: req(value, "id", id)?.into(),
        name: req(value, "name", filled)?,
        sku: opt(value, "sku", text)?,
        description: opt(value, "description", text)?,
        unit: opt(value, "unit", text)?,
        kind: opt(value, "kind", |v| word(v, &PRODUCT_KINDS))?,
        vendor: opt(value, "vendor", text)?,
        unit_price: opt(value, "unit_price", money)?,
        unit_cost: opt(value, "unit_cost", money)?,
        currency: opt(value, "currency", currency)?,
        billing_cycle: opt(value, "billing_cycle", cycle)?,
        unit_type: opt(value, "unit_type", text)?,
        product_type: opt(value, "product_type", text)?,
        taxable: opt(value, "taxable", boolean)?,
        active: opt(value, "active", boolean)?,
        ext: Ext::default(),
    })
}
