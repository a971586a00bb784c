//! What can be chosen, step by step: a customer's company, one of its agreements, then the products that are billed by the
//! agreement's cycle and the catalog items for them. Each step is empty until the one before it was taken, and what cannot
//! be chosen says why. Nothing here calls ConnectWise.

use super::{Site, read};
use crate::failure::Failure;
use crate::records::Millis;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::feed::{Record, RecordKind, Subscription};
use trueup_domain::ids::{
    AgreementId, CatalogItemId, CompanyId, CustomerId, ProductId, SourceId, SubscriptionId,
};
use trueup_domain::mapping::{Mapping, MappingKind, Mappings, ProductTarget};
use trueup_domain::period::BillingCycle;
use trueup_domain::psa::{Agreement, AgreementStatus, CatalogItem, Company, CompanyState, Snapshot};

/// How far somebody has chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// The customer.
    pub customer: Option<CustomerId>,
    /// Its company.
    pub company: Option<CompanyId>,
    /// One of the company's agreements.
    pub agreement: Option<AgreementId>,
}

/// A company to choose.
#[derive(Clone, Debug, PartialEq)]
pub struct CompanyChoice {
    /// The company.
    pub company: Company,
    /// Other customers of the source that it is mapped to.
    pub taken_by: Vec<String>,
    /// Whether it can be chosen, by the rules that hold.
    pub free: bool,
}

/// A product that is billed by the cycle of the agreement.
#[derive(Clone, Debug, PartialEq)]
pub struct ProductChoice {
    /// The product.
    pub product: ProductId,
    /// Its cycle.
    pub cycle: BillingCycle,
    /// The customer's subscriptions of it.
    pub subscriptions: BTreeSet<SubscriptionId>,
    /// What it is mapped to.
    pub item: Option<CatalogItemId>,
    /// The agreement that it is billed on already, where that is another one.
    pub elsewhere: Option<AgreementId>,
}

/// What can be chosen next.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choices {
    /// When ConnectWise was read; none where it never was.
    pub read_at: Option<Millis>,
    /// Companies, once there is a customer.
    pub companies: Vec<CompanyChoice>,
    /// Agreements, once there is a company.
    pub agreements: Vec<Agreement>,
    /// How many more the company has, by why they are not offered.
    pub hidden: BTreeMap<String, usize>,
    /// Products, once there is an agreement.
    pub products: Vec<ProductChoice>,
    /// Catalog items that can be an addition, once there is an agreement.
    pub items: Vec<CatalogItem>,
}

/// What can be chosen after `chosen`.
///
/// # Errors
/// The store's; [`Failure::Wrong`] where what was chosen cannot be.
pub async fn choices(site: Site<'_>, source: &SourceId, chosen: &Chosen) -> Result<Choices, Failure> {
    let mut found = Choices::default();
    let Some(customer) = &chosen.customer else { return Ok(found) };
    let Some((at, picture)) = read(site.store, site.org).await? else { return Ok(found) };
    found.read_at = Some(at);
    let rules = site.rules().await?;
    let all = site.store.list_mappings(site.org).await?;
    let in_force = Mappings::on(all.iter().cloned(), site.clock.today());
    let own = in_force.company_of(source, customer);
    found.companies = picture
        .companies
        .values()
        .filter(|company| company.state == CompanyState::Active)
        .map(|company| {
            let taken_by = taken_by(&all, source, customer, company.id);
            let of_another = own.is_some_and(|own| own != company.id) && rules.release_first;
            let free = (taken_by.is_empty() || rules.several_customers) && !of_another;
            CompanyChoice { company: company.clone(), taken_by, free }
        })
        .collect();
    let Some(company) = chosen.company else { return Ok(found) };
    if !found.companies.iter().any(|choice| choice.company.id == company && choice.free) {
        let why = format!("company {company} cannot be chosen for customer {customer}");
        return Err(Failure::wrong(why, "Look at the list of companies: it says by whom one is taken."));
    }
    for agreement in picture.agreements.values().filter(|agreement| agreement.company == company) {
        let over = !matches!(agreement.status, AgreementStatus::Active | AgreementStatus::Inactive);
        let why = match agreement.billing_cycle {
            _ if over => Some("not active any more".to_owned()),
            None => Some("no billing cycle that is known".to_owned()),
            Some(cycle) if !rules.allows_cycle(cycle) => Some(format!("billed {}", cycle.describe())),
            Some(_) => None,
        };
        match why {
            Some(why) => *found.hidden.entry(why).or_default() += 1,
            None => found.agreements.push(agreement.clone()),
        }
    }
    let Some(id) = chosen.agreement else { return Ok(found) };
    let agreement = found.agreements.iter().find(|agreement| agreement.id == id);
    let Some(cycle) = agreement.and_then(|agreement| agreement.billing_cycle) else {
        let why = format!("agreement {id} cannot be chosen for company {company}");
        return Err(Failure::wrong(why, "Choose one of the agreements that are listed for it."));
    };
    found.items = usable(&picture);
    found.products = products(site, &in_force, (source, customer), (id, cycle)).await?;
    Ok(found)
}

/// Other customers of the source that a company is mapped to.
fn taken_by(all: &[Mapping], source: &SourceId, customer: &CustomerId, company: CompanyId) -> Vec<String> {
    let other = |m: &&Mapping| {
        m.kind == MappingKind::Customer
            && &m.source == source
            && m.psa_id == Some(company.0)
            && m.source_id != customer.as_str()
    };
    all.iter().filter(other).map(|m| m.source_id.clone()).collect()
}

fn usable(picture: &Snapshot) -> Vec<CatalogItem> {
    picture.catalog.values().filter(|item| !item.inactive && !item.bundle).cloned().collect()
}

async fn products(
    site: Site<'_>,
    in_force: &Mappings,
    (source, customer): (&SourceId, &CustomerId),
    (agreement, cycle): (AgreementId, BillingCycle),
) -> Result<Vec<ProductChoice>, Failure> {
    let rows = site.store.list_records(site.org, Some(source), RecordKind::Subscription).await?;
    let sold = rows.iter().filter_map(|row| match &row.record {
        Record::Subscription(sold) if &sold.customer == customer && sold.status.bills() => Some(sold),
        _ => None, // open set: only subscriptions were asked for
    });
    let mut found: BTreeMap<ProductId, ProductChoice> = BTreeMap::new();
    for sold in sold.filter(|sold| sold.billing_cycle.same_length(cycle)) {
        let home = in_force.agreement_mapping(source, &sold.id, customer).and_then(Mappings::agreement_of);
        for product in products_of(sold) {
            let item = in_force
                .product_mapping(source, product, customer, Some(sold.billing_cycle))
                .and_then(Mappings::target_of);
            let choice = found.entry(product.clone()).or_insert_with(|| ProductChoice {
                product: product.clone(),
                cycle: sold.billing_cycle,
                subscriptions: BTreeSet::new(),
                item: match item {
                    Some(ProductTarget::Item(item)) => Some(item),
                    Some(_) | None => None,
                },
                elsewhere: None,
            });
            choice.subscriptions.insert(sold.id.clone());
            choice.elsewhere = choice.elsewhere.or(home.filter(|home| *home != agreement));
        }
    }
    Ok(found.into_values().collect())
}

fn products_of(sold: &Subscription) -> impl Iterator<Item = &ProductId> {
    sold.items.iter().map(|item| &item.product).chain(sold.plan.iter().map(|plan| &plan.product))
}
