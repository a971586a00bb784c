//! Companies of ConnectWise as customers of the source, for where ConnectWise knew them first.
//!
//! Only a complete company becomes a customer: what is missing is listed, so that it is filled in where it belongs or
//! given along. A company that is a customer already is left alone, so that importing again makes nothing twice.

use super::{Judging, Saved, Site, read, save};
use crate::failure::Failure;
use crate::records::{IncomingRecord, Millis};
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::feed::{Address, Customer, Ext, Record};
use trueup_domain::ids::{CompanyId, CustomerId, SourceId};
use trueup_domain::mapping::{Mapping, MappingKind, MappingOrigin};
use trueup_domain::psa::{Company, CompanyProfile, CompanyState};

/// A company, and whether it can become a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The company.
    pub company: Company,
    /// The customers of the source that it is already.
    pub customers: Vec<String>,
    /// Fields that are missing.
    pub missing: Vec<&'static str>,
}

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Imported {
    /// The new customers and their mappings.
    pub saved: Saved,
    /// Companies that were left out because something is missing.
    pub incomplete: Vec<Candidate>,
    /// Companies that are customers already.
    pub known: Vec<Candidate>,
    /// Companies that were asked for and are not there, or not in use.
    pub unknown: Vec<CompanyId>,
}

/// Which fields a customer needs, and how each is read.
type Need = (&'static str, fn(&CompanyProfile) -> Option<&String>);

const NEEDED: [Need; 8] = [
    ("contact", |p| p.contact.as_ref()),
    ("email", |p| p.email.as_ref()),
    ("phone", |p| p.phone.as_ref()),
    ("street", |p| p.street.as_ref()),
    ("city", |p| p.city.as_ref()),
    ("region", |p| p.region.as_ref()),
    ("postcode", |p| p.postcode.as_ref()),
    ("country", |p| p.country.as_ref()),
];

/// What a customer would lack.
pub fn missing(profile: &CompanyProfile) -> Vec<&'static str> {
    NEEDED
        .iter()
        .filter(|(_, read)| read(profile).is_none_or(|text| text.trim().is_empty()))
        .map(|(name, _)| *name)
        .collect()
}

/// The companies in use, as last read of ConnectWise, how each stands, and when they were read.
///
/// # Errors
/// [`Failure::Wrong`] where ConnectWise was never read; the store's.
pub async fn candidates(site: Site<'_>, source: &SourceId) -> Result<(Millis, Vec<Candidate>), Failure> {
    let Some((read_at, picture)) = read(site.store, site.org).await? else {
        return Err(Failure::wrong(
            "nothing is known of ConnectWise yet",
            "Read it first (`trueup psa pull`).",
        ));
    };
    let mut customers: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for mapping in site.store.list_mappings(site.org).await? {
        if let (MappingKind::Customer, Some(id)) = (mapping.kind, mapping.psa_id)
            && &mapping.source == source
        {
            customers.entry(id).or_default().push(mapping.source_id);
        }
    }
    let usable = picture.companies.into_values().filter(|c| c.state == CompanyState::Active);
    let candidate = |company: Company| Candidate {
        customers: customers.remove(&company.id.0).unwrap_or_default(),
        missing: missing(&company.profile),
        company,
    };
    Ok((read_at, usable.map(candidate).collect()))
}

/// Makes customers of companies: the named ones, or all. `given` fills what a company lacks.
///
/// # Errors
/// As [`candidates`].
pub async fn import(
    site: Site<'_>,
    source: &SourceId,
    wanted: Option<&[CompanyId]>,
    given: &BTreeMap<CompanyId, CompanyProfile>,
    incoming: fn(Record) -> IncomingRecord,
) -> Result<Imported, Failure> {
    let mut done = Imported::default();
    let mut there: BTreeMap<CompanyId, Candidate> =
        candidates(site, source).await?.1.into_iter().map(|c| (c.company.id, c)).collect();
    let ids: BTreeSet<CompanyId> = match wanted {
        Some(ids) => ids.iter().copied().collect(),
        None => there.keys().copied().collect(),
    };
    let mut records = Vec::new();
    let mut mappings = Vec::new();
    for id in ids {
        let Some(mut candidate) = there.remove(&id) else {
            done.unknown.push(id);
            continue;
        };
        if let Some(given) = given.get(&id) {
            candidate.company.profile.fill(given);
            candidate.missing = missing(&candidate.company.profile);
        }
        if !candidate.customers.is_empty() {
            done.known.push(candidate);
        } else if !candidate.missing.is_empty() {
            done.incomplete.push(candidate);
        } else {
            let customer = customer_of(&candidate.company);
            mappings.push(mapping_of(source, &customer, id));
            records.push(incoming(Record::Customer(customer)));
        }
    }
    // The customers first: a mapping of one that is not there yet is no harm, a customer without its mapping is found
    // and mapped by the next import.
    site.store.save_records(site.org, source, site.clock.now(), &records).await?;
    let entries: Vec<_> = mappings
        .iter()
        .map(|m| {
            let detail = serde_json::json!({ "source": source, "company": m.psa_id });
            site.entry("customer.import", format!("customer/{}", m.source_id), &detail)
        })
        .collect();
    site.store.append_audit(site.org, &entries).await?;
    done.saved = save(site, &mappings, Judging::ByRules).await?;
    Ok(done)
}

fn customer_of(company: &Company) -> Customer {
    let profile = company.profile.clone();
    let domain = profile.website.as_deref().and_then(super::evidence::domain_of);
    Customer {
        id: CustomerId::from(format!("company-{}", company.id)),
        name: company.name.clone(),
        organization: None,
        parent: None,
        code: Some(company.identifier.clone()),
        domain,
        email: profile.email,
        phone: profile.phone,
        fax: None,
        website: profile.website,
        tax_id: profile.tax_id,
        currency: company.currency,
        account_type: None,
        status: None,
        address: Some(Address {
            line1: profile.street,
            line2: None,
            city: profile.city,
            region: profile.region,
            postcode: profile.postcode,
            country: profile.country,
        }),
        contact: profile.contact,
        ext: Ext::default(),
    }
}

fn mapping_of(source: &SourceId, customer: &Customer, company: CompanyId) -> Mapping {
    Mapping {
        kind: MappingKind::Customer,
        source: source.clone(),
        source_id: customer.id.to_string(),
        psa_id: Some(company.0),
        scope: String::new(),
        options: BTreeMap::new(),
        origin: MappingOrigin::Person,
    }
}
