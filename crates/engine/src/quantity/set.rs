//! What people set: which service is which catalog item, by which rule, for whom. Each is saved with its audit entry.

use crate::failure::Failure;
use crate::mappings::Site;
use crate::ports::{Psa, Store};
use crate::records::NewAuditEntry;
use jiff::civil::Date;
use serde_json::json;
use std::collections::BTreeSet;
use trueup_domain::feed::{Record, RecordKind};
use trueup_domain::ids::{AdditionId, CatalogItemId, CustomerId, OrganizationId, ProductId, SourceId};
use trueup_domain::mapping::{Mapping, MappingKind, Mappings};
use trueup_domain::plan::{AdditionLink, Role};
use trueup_domain::psa::CatalogItem;
use trueup_domain::quantity::chain::Rule;
use trueup_domain::quantity::config::{EntryKey, ServiceTarget};
use trueup_domain::quantity::{Config, Entry, LineKey, Pick, chosen_agreement};

/// Which catalog item is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhichItem {
    /// The one with this id in the tenant of the connection.
    Item(CatalogItemId),
    /// The one with exactly this identifier.
    Named(String),
}

/// A service that was assigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// What was saved.
    pub entry: Entry,
    /// The item; none where it is not assigned.
    pub item: Option<CatalogItem>,
    /// What a person should know: it is no longer sold, for example.
    pub notice: Option<String>,
}

/// Assigns a service; to nothing, so that nothing is written for it any more, where no item is wanted. A deprecated one
/// needs `confirmed`.
///
/// # Errors
/// [`Failure::Wrong`] where the item cannot be billed, the service is deprecated, or another service is on the item
/// already; the store's or ConnectWise's.
pub async fn assign(
    site: Site<'_>,
    (psa, tenant): (&dyn Psa, &str),
    source: &SourceId,
    (service, customer): (&ProductId, Option<&CustomerId>),
    wanted: Option<&WhichItem>,
    confirmed: bool,
) -> Result<Assigned, Failure> {
    let known = site.store.find_record(site.org, source, RecordKind::Product, service.as_str()).await?;
    let deprecated = matches!(known.map(|row| row.record), Some(Record::Product(product)) if product.active == Some(false));
    let item = match wanted {
        Some(wanted) => Some(found(psa, wanted).await?),
        None => None,
    };
    if let Some(item) = &item {
        usable(item)?;
        if deprecated && !confirmed {
            return Err(Failure::wrong(
                format!("service {service} is deprecated at its source, and should not be assigned any more"),
                "Where it is still provided, assign it with `--confirm`.",
            ));
        }
        let config = super::config(site.store, site.org).await?;
        refuse_a_second_service(&config, (source, tenant), (service, customer), item)?;
    }
    let target = match &item {
        Some(item) => ServiceTarget::Item {
            id: item.id,
            identifier: item.identifier.clone(),
            tenant: tenant.to_owned(),
        },
        None => ServiceTarget::NotAssigned,
    };
    let entry = Entry::Service { service: service.clone(), customer: customer.cloned(), target };
    save(site, source, entry.clone(), "quantity.assign").await?;
    if let Some(item) = &item {
        rename_rules(site, source, item).await?;
    }
    let notice = deprecated.then(|| format!("Service {service} is deprecated at its source."));
    Ok(Assigned { entry, item, notice })
}

/// A service that is assigned anew has the new name of an item that was renamed in ConnectWise, and so do the rules that the
/// organization itself set for it.
async fn rename_rules(site: Site<'_>, source: &SourceId, renamed: &CatalogItem) -> Result<(), Failure> {
    for level in site.store.list_quantity_entries(site.org).await? {
        let key = level.entry.key();
        let is_own = &level.from == site.org && &level.source == source;
        let Entry::Product { identifier, item, customer, rule } = level.entry else { continue };
        if !is_own || item != renamed.id || identifier == renamed.identifier {
            continue;
        }
        let entry = Entry::Product { identifier: renamed.identifier.clone(), item, customer, rule };
        let written = audit(site, source, &entry, "quantity.rule");
        site.store.save_quantity_entries(site.org, source, &[entry], &[key], &[written]).await?;
    }
    Ok(())
}

fn no_item(what: &str) -> Failure {
    Failure::wrong(
        format!("ConnectWise has no catalog item {what}"),
        "Look it up under Procurement > Product Catalog; the Product ID counts letter for letter.",
    )
}

async fn found(psa: &dyn Psa, wanted: &WhichItem) -> Result<CatalogItem, Failure> {
    match wanted {
        WhichItem::Item(id) => {
            let found = psa.list_catalog_items(Some(&[*id])).await?.into_iter().next();
            found.ok_or_else(|| no_item(&format!("with the id {id}")))
        }
        WhichItem::Named(text) => named(psa, text.trim()).await,
    }
}

/// The item with exactly this identifier. One that differs only in case is proposed and not taken.
async fn named(psa: &dyn Psa, text: &str) -> Result<CatalogItem, Failure> {
    let found = psa.find_catalog_items(text).await?;
    if let Some(item) = found.iter().find(|item| item.identifier == text) {
        return Ok(item.clone());
    }
    let mut near: Vec<CatalogItem> = found;
    if near.is_empty() {
        near = psa.list_catalog_items(None).await?;
    }
    let lower = text.to_lowercase();
    let by_case = near.iter().find(|item| item.identifier.to_lowercase() == lower);
    let nearest = by_case.or_else(|| {
        near.iter()
            .map(|item| (distance(&item.identifier.to_lowercase(), &lower), item))
            .filter(|(far, _)| *far <= 3)
            .min_by_key(|(far, item)| (*far, item.id))
            .map(|(_, item)| item)
    });
    match nearest {
        Some(item) => Err(Failure::wrong(
            format!("ConnectWise has no catalog item `{text}`; the nearest one is `{}`", item.identifier),
            format!("Write `{}` if that is the one, letter for letter.", item.identifier),
        )),
        None => Err(no_item(&format!("`{text}`"))),
    }
}

/// How many letters differ, as far as 4.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) =
        (one.chars().take(80).collect(), other.chars().take(80).collect());
    if one.len().abs_diff(other.len()) > 3 {
        return 4;
    }
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.iter().enumerate() {
        let mut before = at;
        if let Some(first) = row.first_mut() {
            *first = at + 1;
        }
        for (place, theirs) in other.iter().enumerate() {
            let above = row.get(place + 1).copied().unwrap_or_default();
            let left = row.get(place).copied().unwrap_or_default();
            let changed = before + usize::from(letter != theirs);
            before = above;
            if let Some(cell) = row.get_mut(place + 1) {
                *cell = changed.min(above + 1).min(left + 1);
            }
        }
    }
    row.last().copied().unwrap_or(4)
}

fn usable(item: &CatalogItem) -> Result<(), Failure> {
    let why = match (item.inactive, item.bundle) {
        (true, _) => "is inactive",
        (_, true) => "is a bundle, and bundles cannot be additions",
        (false, false) => return Ok(()),
    };
    Err(Failure::wrong(format!("catalog item `{}` {why}", item.identifier), "Choose another one."))
}

/// Two services on one item write over each other, unless their sum is meant.
fn refuse_a_second_service(
    config: &Config,
    (source, tenant): (&SourceId, &str),
    (service, customer): (&ProductId, Option<&CustomerId>),
    item: &CatalogItem,
) -> Result<(), Failure> {
    let everybody = CustomerId::from("");
    if config.rule(source, &item.identifier, customer.unwrap_or(&everybody)).add_up {
        return Ok(());
    }
    let same_people = |whose: Option<&CustomerId>| whose.is_none() || customer.is_none() || whose == customer;
    let other = config
        .services_on(source, tenant, item)
        .find_map(|(other, whose, _)| (other != service && same_people(whose)).then_some(other));
    match other {
        None => Ok(()),
        Some(other) => Err(Failure::wrong(
            format!("service {other} is billed as `{}` already (TU2007)", item.identifier),
            format!(
                "Choose another item, or let their sum be billed first: `trueup quantity rule --item {} --add-up on`.",
                item.id
            ),
        )),
    }
}

/// A catalog item as rules are set for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuledItem {
    /// Its id in this tenant.
    pub id: CatalogItemId,
    /// The identifier under which services are assigned to it, else the one that it has.
    pub identifier: String,
}

/// Looks a catalog item up that a rule is to be set for, by its id or its exact identifier.
///
/// # Errors
/// [`Failure::Wrong`] where ConnectWise has none; the store's or ConnectWise's.
pub async fn ruled_item(
    site: Site<'_>,
    (psa, tenant): (&dyn Psa, &str),
    source: &SourceId,
    wanted: &WhichItem,
) -> Result<RuledItem, Failure> {
    let config = super::config(site.store, site.org).await?;
    if let WhichItem::Named(identifier) = wanted
        && let Some(id) = config.chosen_as(source, tenant, identifier)
    {
        return Ok(RuledItem { id, identifier: identifier.clone() });
    }
    let item = found(psa, wanted).await?;
    let assigned =
        config.services_on(source, tenant, &item).next().map(|(_, _, identifier)| identifier.to_owned());
    Ok(RuledItem { id: item.id, identifier: assigned.unwrap_or(item.identifier) })
}

/// Sets how levels become the quantity of an item.
///
/// # Errors
/// [`Failure::Wrong`] for a rule that means nothing; the store's.
pub async fn set_rule(
    site: Site<'_>,
    source: &SourceId,
    item: &RuledItem,
    customer: Option<&CustomerId>,
    rule: Rule,
) -> Result<Entry, Failure> {
    rule.check().map_err(|error| Failure::wrong(error.to_string(), "Correct the rule."))?;
    if let Some(customer) = customer {
        known((site.store, site.org), source, customer).await?;
    }
    let RuledItem { id, identifier } = item.clone();
    let entry = Entry::Product { identifier, item: id, customer: customer.cloned(), rule };
    save(site, source, entry.clone(), "quantity.rule").await?;
    Ok(entry)
}

/// Switches a customer on or off, and ticks the services that are billed.
///
/// # Errors
/// [`Failure::Wrong`] where billing is on and nothing is ticked, a ticked service is assigned nowhere, or nobody knows the
/// customer; the store's.
pub async fn set_customer(
    site: Site<'_>,
    source: &SourceId,
    customer: &CustomerId,
    billing: bool,
    ticked: Option<BTreeSet<ProductId>>,
) -> Result<Entry, Failure> {
    if billing && ticked.as_ref().is_some_and(BTreeSet::is_empty) {
        return Err(Failure::wrong(
            format!("customer {customer} is to be billed, and no service is ticked"),
            "Tick one at least, or switch billing off.",
        ));
    }
    let ticked_only = site.quantity_policy().await?.ticked_only;
    if billing && ticked_only && ticked.is_none() {
        return Err(Failure::wrong(
            format!(
                "customer {customer} is to be billed, and no service is ticked (quantity.customers = ticked)"
            ),
            "Tick one at least, or switch billing off.",
        ));
    }
    let config = super::config(site.store, site.org).await?;
    let nowhere = |service: &&ProductId| {
        let target = config.assignment(source, service, customer).map(|found| found.target);
        billing && !matches!(target, Some(ServiceTarget::Item { .. }))
    };
    if let Some(service) = ticked.iter().flatten().find(nowhere) {
        return Err(Failure::wrong(
            format!("service {service} is ticked and assigned to no catalog item at any level (TU2003)"),
            "Assign it first (`trueup quantity assign`).",
        ));
    }
    known((site.store, site.org), source, customer).await?;
    let entry = Entry::Customer { customer: customer.clone(), billing, ticked };
    save(site, source, entry.clone(), "quantity.customer").await?;
    Ok(entry)
}

/// Refuses a customer that the source never told and nobody mapped: what is said of it would mean nothing.
pub(super) async fn known(
    (store, org): (&dyn Store, &OrganizationId),
    source: &SourceId,
    customer: &CustomerId,
) -> Result<(), Failure> {
    if store.find_record(org, source, RecordKind::Customer, customer.as_str()).await?.is_some() {
        return Ok(());
    }
    // Something may be counted for one of whom nothing else was told.
    let counters = format!("{customer}/");
    let after = store.list_records_after(org, source, RecordKind::Counter, Some(&counters), 1).await?;
    if after.first().is_some_and(|row| row.record.id().starts_with(&counters)) {
        return Ok(());
    }
    let is_mapped = |mapping: &Mapping| {
        mapping.kind == MappingKind::Customer
            && &mapping.source == source
            && mapping.source_id == customer.as_str()
    };
    if store.list_mappings(org).await?.iter().any(is_mapped) {
        return Ok(());
    }
    Err(Failure::wrong(
        format!("source {source} knows no customer {customer}"),
        "Write the id as the source has it (`trueup quantity customers` shows them), or take the customer in first.",
    ))
}

/// Says which addition a customer's line of an item is, or that a new one is meant.
///
/// # Errors
/// [`Failure::Wrong`] where there is no such customer, agreement, service or open addition; the store's or ConnectWise's.
pub async fn pick(
    site: Site<'_>,
    (psa, tenant): (&dyn Psa, &str),
    source: &SourceId,
    customer: &CustomerId,
    item: CatalogItemId,
    addition: Option<AdditionId>,
) -> Result<Entry, Failure> {
    known((site.store, site.org), source, customer).await?;
    is_assigned(site, (psa, tenant), source, item).await?;
    let mappings = Mappings::on(site.store.list_mappings(site.org).await?, site.clock.today());
    let agreement = chosen_agreement(&mappings, source, customer).ok_or_else(|| {
        Failure::wrong(
            format!("no agreement is chosen for customer {customer}"),
            "Choose one (`mapping import`, kind agreement, source_id customer:ID).",
        )
    })?;
    let links = site.store.list_links(site.org).await?;
    let pick = match addition {
        Some(addition) => {
            can_be_picked((psa, site.clock.today()), &links, (agreement, item), addition).await?;
            Pick::Addition(addition)
        }
        None => {
            let of_line = links.iter().filter(|link| {
                link.role == Role::Quantity
                    && link.agreement == agreement
                    && link.written.catalog_item == item
            });
            Pick::Create { known: of_line.count() }
        }
    };
    let entry = Entry::Line { customer: customer.clone(), item, pick };
    save(site, source, entry.clone(), "quantity.pick").await?;
    Ok(entry)
}

/// Refuses an item that bills no service. One that was chosen in another tenant is the one of the same name here.
async fn is_assigned(
    site: Site<'_>,
    (psa, tenant): (&dyn Psa, &str),
    source: &SourceId,
    item: CatalogItemId,
) -> Result<(), Failure> {
    let found = found(psa, &WhichItem::Item(item)).await?;
    let config = super::config(site.store, site.org).await?;
    if config.services_on(source, tenant, &found).next().is_some() {
        return Ok(());
    }
    Err(Failure::wrong(
        format!("no service of source {source} is assigned to catalog item `{}` ({item})", found.identifier),
        "Name the item that bills the service (`trueup quantity services`), or assign it first.",
    ))
}

/// Refuses an addition that could never be the line's.
async fn can_be_picked(
    (psa, today): (&dyn Psa, Date),
    links: &[AdditionLink],
    (agreement, item): LineKey,
    addition: AdditionId,
) -> Result<(), Failure> {
    let of_order =
        |link: &&AdditionLink| link.addition == addition && !link.deleted && link.role != Role::Quantity;
    let additions = psa.list_additions(agreement).await?;
    let why = match additions.iter().find(|there| there.id == addition) {
        None => format!("agreement {agreement} of the customer has no addition {addition}"),
        Some(there) if there.state.catalog_item != item => {
            format!("addition {addition} is of catalog item {}, not of item {item}", there.state.catalog_item)
        }
        Some(_) if links.iter().any(|link| of_order(&link)) => {
            format!("addition {addition} bills an order")
        }
        Some(there) if !there.state.lasts(today) => format!("addition {addition} is ended"),
        Some(_) => return Ok(()),
    };
    Err(Failure::wrong(
        why,
        "Name an open addition of the item on the agreement that is chosen for the customer.",
    ))
}

/// Removes what the organization itself set, so that the level above counts again. Returns whether there was anything.
///
/// # Errors
/// The store's.
pub async fn unset(site: Site<'_>, source: &SourceId, key: &EntryKey) -> Result<bool, Failure> {
    let levels = site.store.list_quantity_entries(site.org).await?;
    let own = levels
        .iter()
        .find(|level| &level.from == site.org && &level.source == source && &level.entry.key() == key);
    let Some(own) = own else { return Ok(false) };
    let entry = audit(site, source, &own.entry, "quantity.unset");
    site.store.save_quantity_entries(site.org, source, &[], std::slice::from_ref(key), &[entry]).await?;
    Ok(true)
}

fn audit(site: Site<'_>, source: &SourceId, entry: &Entry, action: &str) -> NewAuditEntry {
    let (kind, id, scope) = entry.key();
    let scope = if scope.is_empty() { String::new() } else { format!("/{scope}") };
    site.entry(action, format!("quantity/{kind}/{id}{scope}"), &json!({ "source": source, "entry": entry }))
}

async fn save(site: Site<'_>, source: &SourceId, entry: Entry, action: &str) -> Result<(), Failure> {
    let written = audit(site, source, &entry, action);
    site.store.save_quantity_entries(site.org, source, &[entry], &[], &[written]).await?;
    Ok(())
}
