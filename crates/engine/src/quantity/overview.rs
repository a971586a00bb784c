//! What there is to assign, and who is billed: the two lists that people work through, what waits for them on top.

use super::gather::Gathered;
use super::zone::InZone;
use crate::failure::Failure;
use crate::ports::{Clock, Store};
use crate::settings::{self, Overlays};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::feed::RecordKind;
use trueup_domain::ids::{CatalogItemId, CustomerId, OrganizationId, ProductId, SourceId};
use trueup_domain::mapping::Mappings;
use trueup_domain::quantity::config::ServiceTarget;
use trueup_domain::quantity::{Config, Entry, Readings, chosen_agreement};

/// A service that a source counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServiceRow {
    /// The source.
    pub source: SourceId,
    /// The service.
    pub service: ProductId,
    /// What people call it.
    pub name: String,
    /// Whether its source says that it should not be assigned any more.
    pub deprecated: bool,
    /// Customers that it is counted for.
    pub customers: usize,
    /// The sum of its levels, where they have one unit.
    pub level: Option<String>,
    /// The unit of its levels.
    pub unit: Option<String>,
    /// `assigned`, `not_assigned`, or `open` where nobody said anything.
    pub state: &'static str,
    /// The catalog item; none where it was chosen in another tenant, whose ids mean nothing here.
    pub item: Option<CatalogItemId>,
    /// Its identifier as it was when the service was assigned.
    pub identifier: Option<String>,
    /// The organization that assigned it.
    pub from: Option<OrganizationId>,
}

/// A level of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LevelRow {
    /// The service.
    pub service: ProductId,
    /// The level.
    pub value: String,
    /// Its unit.
    pub unit: Option<String>,
    /// When it was counted.
    pub as_of: String,
    /// Whether it is billed: assigned, ticked, and the customer is on.
    pub billed: bool,
}

/// A customer that something is counted for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CustomerRow {
    /// The source.
    pub source: SourceId,
    /// The customer.
    pub customer: CustomerId,
    /// Its name.
    pub name: String,
    /// Its company in ConnectWise.
    pub company: Option<i64>,
    /// The agreement that somebody chose for it.
    pub agreement: Option<i64>,
    /// Whether nothing more has to be chosen for it to be billed.
    pub complete: bool,
    /// Whether it is switched on.
    pub billing: bool,
    /// The services that are ticked; none where nobody ticked any.
    pub ticked: Option<BTreeSet<ProductId>>,
    /// What is counted for it.
    pub levels: Vec<LevelRow>,
}

/// Both lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// The services; those that nobody assigned come first.
    pub services: Vec<ServiceRow>,
    /// The customers; those that are not complete come first.
    pub customers: Vec<CustomerRow>,
}

/// Reads both lists from what trueup itself knows.
///
/// # Errors
/// The store's.
pub async fn overview(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    (overlays, tenant): (&Overlays, Option<&str>),
) -> Result<Overview, Failure> {
    let policy = settings::load(store, org, overlays).await?.quantity;
    let zone = policy.zone.clone();
    let clock = &InZone::new(clock, &zone);
    let config = super::config(store, org).await?;
    let mut sources = config.sources().clone();
    for kind in [RecordKind::Counter, RecordKind::Usage] {
        sources.extend(store.count_records(org, kind).await?.into_keys());
    }
    let ticked_only = policy.ticked_only;
    let gathered = Gathered::local(store, clock, org, (policy, config), &sources).await?;
    Ok(Overview { services: services(&gathered, tenant), customers: customers(&gathered, ticked_only) })
}

fn services(gathered: &Gathered, tenant: Option<&str>) -> Vec<ServiceRow> {
    let everybody = CustomerId::from("");
    let mut rows: BTreeMap<(SourceId, ProductId), ServiceRow> = BTreeMap::new();
    let row = |source: &SourceId, service: &ProductId| {
        let product = gathered.products.get(&(source.clone(), service.clone()));
        let found = gathered.config.assignment(source, service, &everybody);
        let (state, item, identifier) = match found.map(|found| found.target) {
            Some(ServiceTarget::Item { id, identifier, tenant: of }) => {
                let here = tenant.is_none_or(|tenant| of == tenant).then_some(*id);
                ("assigned", here, Some(identifier.clone()))
            }
            Some(ServiceTarget::NotAssigned) => ("not_assigned", None, None),
            None => ("open", None, None),
        };
        ServiceRow {
            source: source.clone(),
            service: service.clone(),
            name: product.map_or_else(|| service.to_string(), |product| product.name.clone()),
            deprecated: product.is_some_and(|product| product.active == Some(false)),
            customers: 0,
            level: None,
            unit: None,
            state,
            item,
            identifier,
            from: found.map(|found| found.from.clone()),
        }
    };
    let mut sums = Sums::of(&gathered.readings);
    for (source, service) in sums.services() {
        rows.insert((source.clone(), service.clone()), row(&source, &service));
    }
    for service in assigned(&gathered.config) {
        rows.entry(service.clone()).or_insert_with(|| row(&service.0, &service.1));
    }
    let mut rows: Vec<ServiceRow> = rows.into_values().collect();
    for row in &mut rows {
        if let Some(sum) = sums.by_service.remove(&(row.source.clone(), row.service.clone())) {
            row.customers = sum.customers;
            row.level = sum.value.map(|value| value.display());
            row.unit = sum.unit;
        }
    }
    rows.sort_by(|one, other| {
        let open = |row: &ServiceRow| row.state != "open";
        (open(one), &one.source, &one.name).cmp(&(open(other), &other.source, &other.name))
    });
    rows
}

fn assigned(config: &Config) -> Vec<(SourceId, ProductId)> {
    config
        .iter()
        .filter_map(|(source, _, entry)| match entry {
            Entry::Service { service, .. } => Some((source.clone(), service.clone())),
            Entry::Product { .. } | Entry::Customer { .. } | Entry::Line { .. } => None,
        })
        .collect()
}

/// What a service comes to over all customers.
struct Sum {
    customers: usize,
    /// None where units differ, or the sum is out of range.
    value: Option<trueup_domain::money::Quantity>,
    unit: Option<String>,
}

struct Sums {
    by_service: BTreeMap<(SourceId, ProductId), Sum>,
}

impl Sums {
    fn of(readings: &Readings) -> Self {
        let mut by_service: BTreeMap<(SourceId, ProductId), Sum> = BTreeMap::new();
        for ((source, _, service), levels) in readings.iter() {
            for (number, level) in levels.iter().enumerate() {
                let sum = by_service.entry((source.clone(), service.clone())).or_insert_with(|| Sum {
                    customers: 0,
                    value: Some(trueup_domain::money::Quantity::ZERO),
                    unit: level.unit.clone(),
                });
                sum.customers += usize::from(number == 0);
                let same_unit = sum.unit == level.unit;
                sum.value = sum.value.filter(|_| same_unit).and_then(|value| value.plus(level.value).ok());
            }
        }
        Self { by_service }
    }

    fn services(&self) -> Vec<(SourceId, ProductId)> {
        self.by_service.keys().cloned().collect()
    }
}

fn customers(gathered: &Gathered, ticked_only: bool) -> Vec<CustomerRow> {
    let mut rows: BTreeMap<(SourceId, CustomerId), CustomerRow> = BTreeMap::new();
    for ((source, customer, service), levels) in gathered.readings.iter() {
        let ticks = gathered.config.ticks(source, customer);
        let row = rows.entry((source.clone(), customer.clone())).or_insert_with(|| {
            let known = gathered.customers.get(&(source.clone(), customer.clone()));
            let mapping = gathered.mappings.customer(source, customer);
            let company = mapping.and_then(Mappings::company_in).map(|id| id.0);
            let agreement = chosen_agreement(&gathered.mappings, source, customer).map(|id| id.0);
            let not_billed = mapping.is_some_and(|mapping| mapping.not_billed().is_some());
            CustomerRow {
                source: source.clone(),
                customer: customer.clone(),
                name: known.map_or_else(|| customer.to_string(), |known| known.name.clone()),
                company,
                agreement,
                complete: !ticks.billing || not_billed || (company.is_some() && agreement.is_some()),
                billing: ticks.billing && !not_billed,
                ticked: ticks.ticked.cloned(),
                levels: Vec::new(),
            }
        });
        let target = gathered.config.assignment(source, service, customer).map(|found| found.target);
        let billed = row.billing
            && ticks.bills(service, ticked_only)
            && matches!(target, Some(ServiceTarget::Item { .. }));
        row.levels.extend(levels.iter().map(|level| LevelRow {
            service: service.clone(),
            value: level.value.display(),
            unit: level.unit.clone(),
            as_of: level.as_of.clone(),
            billed,
        }));
    }
    let mut rows: Vec<CustomerRow> = rows.into_values().collect();
    rows.sort_by(|one, other| (one.complete, &one.name).cmp(&(other.complete, &other.name)));
    rows
}
