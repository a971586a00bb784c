//! Proposals with every reason there is: names, and identifiers that agree.

use super::suggest::{MOST, Proposal, ReasonDoc};
use crate::app::App;
use crate::failure::CliError;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::feed::{Customer, Product, Record, RecordKind};
use trueup_domain::ids::{CatalogItemId, CompanyId, SourceId};
use trueup_domain::mapping::{Mapping, MappingKind};
use trueup_domain::psa::Snapshot;
use trueup_engine::mappings::evidence::{self, Match, Reason};

/// How sure equal names make: there are two of many.
const SAME_NAME: usize = 85;

/// Adds what identifiers say to what names say.
///
/// # Errors
/// The store's.
pub(super) async fn add(
    app: &App,
    source: &SourceId,
    snapshot: &Snapshot,
    mapped: &[Mapping],
    by_name: Vec<Proposal>,
) -> Result<Vec<Proposal>, CliError> {
    let mut all: BTreeMap<(&'static str, String, i64), Proposal> = BTreeMap::new();
    for mut proposal in by_name {
        proposal.reasons.push(of_name(proposal.score));
        all.insert((proposal.kind, proposal.source_id.clone(), proposal.psa_id), proposal);
    }
    let known: BTreeSet<(MappingKind, &str)> =
        mapped.iter().filter(|m| &m.source == source).map(|m| (m.kind, m.source_id.as_str())).collect();
    let customers = customers(app, source).await?;
    let open = customers.values().filter(|c| !known.contains(&(MappingKind::Customer, c.id.as_str())));
    for found in evidence::of_customers(open, snapshot.companies.values()) {
        let name = customers.get(&found.source_id).map(|c| c.name.clone()).unwrap_or_default();
        let there = snapshot.companies.get(&CompanyId(found.psa_id)).map(|c| c.name.clone());
        put(&mut all, MappingKind::Customer, found, name, there.unwrap_or_default());
    }
    let products = products(app, source).await?;
    let open = products.values().filter(|p| !known.contains(&(MappingKind::Product, p.id.as_str())));
    for found in evidence::of_products(open, snapshot.catalog.values()) {
        let name = products.get(&found.source_id).map(|p| p.name.clone()).unwrap_or_default();
        let there = snapshot.catalog.get(&CatalogItemId(found.psa_id)).map(|i| i.description.clone());
        put(&mut all, MappingKind::Product, found, name, there.unwrap_or_default());
    }
    let mut taken: BTreeMap<(&'static str, i64), Vec<String>> = BTreeMap::new();
    for mapping in mapped.iter().filter(|m| &m.source == source) {
        if let Some(id) = mapping.psa_id {
            taken.entry((mapping.kind.name(), id)).or_default().push(mapping.source_id.clone());
        }
    }
    Ok(best(all.into_values(), &taken))
}

fn of_name(score: usize) -> ReasonDoc {
    let (words, weight) = if score == 100 {
        ("the same name".to_owned(), SAME_NAME)
    } else {
        (format!("{score} % of the words of the names"), score * SAME_NAME / 120)
    };
    ReasonDoc { by: "name", words, weight }
}

fn put(
    all: &mut BTreeMap<(&'static str, String, i64), Proposal>,
    kind: MappingKind,
    found: Match,
    source_name: String,
    psa_name: String,
) {
    let key = (kind.name(), found.source_id.clone(), found.psa_id);
    let proposal = all.entry(key).or_insert_with(|| Proposal {
        kind: kind.name(),
        source_id: found.source_id,
        source_name,
        psa_id: found.psa_id,
        psa_name,
        score: 0,
        confidence: 0,
        reasons: Vec::new(),
        taken_by: Vec::new(),
    });
    proposal.reasons.extend(found.reasons.into_iter().map(|Reason { by, words, weight }| ReasonDoc {
        by,
        words,
        weight,
    }));
}

/// The surest of each record, sorted by kind and record.
fn best(
    all: impl Iterator<Item = Proposal>,
    taken: &BTreeMap<(&'static str, i64), Vec<String>>,
) -> Vec<Proposal> {
    let mut of_record: BTreeMap<(&'static str, String), Vec<Proposal>> = BTreeMap::new();
    for mut proposal in all {
        proposal.reasons.sort_by(|a, b| b.weight.cmp(&a.weight).then(a.by.cmp(b.by)));
        let reasons: Vec<Reason> = proposal
            .reasons
            .iter()
            .map(|r| Reason { by: r.by, words: String::new(), weight: r.weight })
            .collect();
        proposal.confidence = evidence::confidence(&reasons);
        proposal.taken_by = taken.get(&(proposal.kind, proposal.psa_id)).cloned().unwrap_or_default();
        of_record.entry((proposal.kind, proposal.source_id.clone())).or_default().push(proposal);
    }
    of_record
        .into_values()
        .flat_map(|mut proposals| {
            proposals.sort_by(|a, b| b.confidence.cmp(&a.confidence).then(a.psa_id.cmp(&b.psa_id)));
            proposals.truncate(MOST);
            proposals
        })
        .collect()
}

async fn customers(app: &App, source: &SourceId) -> Result<BTreeMap<String, Customer>, CliError> {
    let rows = app.store().list_records(app.org(), Some(source), RecordKind::Customer).await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| match row.record {
            Record::Customer(customer) => Some((customer.id.to_string(), customer)),
            _ => None, // open set: only customers were asked for
        })
        .collect())
}

async fn products(app: &App, source: &SourceId) -> Result<BTreeMap<String, Product>, CliError> {
    let rows = app.store().list_records(app.org(), Some(source), RecordKind::Product).await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| match row.record {
            Record::Product(product) => Some((product.id.to_string(), product)),
            _ => None, // open set: only products were asked for
        })
        .collect())
}
