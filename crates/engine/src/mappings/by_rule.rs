//! Mappings made by rule: where the sign that the settings name agrees one to one. Off unless somebody says so.
//!
//! One to one means that no other record shows the sign, on either side, and that the record in ConnectWise is nobody's
//! yet. What a person released or maps is theirs: it is never mapped again by itself.

use super::{Judging, Site, evidence, object, picture, save};
use crate::failure::Failure;
use crate::records::NewAuditEntry;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::feed::{Record, RecordKind};
use trueup_domain::ids::SourceId;
use trueup_domain::mapping::{Mapping, MappingKind, MappingOrigin};
use trueup_domain::mapping_rules::{ByRule, Sign};
use trueup_domain::psa::{CompanyState, Snapshot};

/// What each record shows of a sign.
type Shown<K> = Vec<(K, BTreeSet<String>)>;

/// Maps what the rules say, and returns what was mapped.
///
/// # Errors
/// The store's.
pub(crate) async fn apply(site: Site<'_>, rule: ByRule) -> Result<Vec<Mapping>, Failure> {
    if rule == ByRule::default() {
        return Ok(Vec::new());
    }
    let Some(picture) = picture(site.store, site.org).await? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    if let Some(sign) = rule.customers {
        let shown = shown_by(site, RecordKind::Customer, sign).await?;
        found.extend(mapped(MappingKind::Customer, shown, &companies(&picture, sign)));
    }
    if let Some(sign) = rule.products {
        let shown = shown_by(site, RecordKind::Product, sign).await?;
        found.extend(mapped(MappingKind::Product, shown, &items(&picture, sign)));
    }
    let known = site.store.list_mappings(site.org).await?;
    let released = site.store.list_released_mappings(site.org).await?;
    let settled: BTreeSet<(MappingKind, &SourceId, &str)> =
        known.iter().chain(&released).map(|m| (m.kind, &m.source, m.source_id.as_str())).collect();
    let taken: BTreeSet<(MappingKind, &SourceId, i64)> =
        known.iter().filter_map(|m| Some((m.kind, &m.source, m.psa_id?))).collect();
    found.retain(|m| {
        !settled.contains(&(m.kind, &m.source, m.source_id.as_str()))
            && m.psa_id.is_some_and(|id| !taken.contains(&(m.kind, &m.source, id)))
    });
    if found.is_empty() {
        return Ok(found);
    }
    let saved = save(site, &found, Judging::ByRules).await?.saved;
    let sign_of = |m: &Mapping| if m.kind == MappingKind::Customer { rule.customers } else { rule.products };
    let entries: Vec<NewAuditEntry> = saved
        .iter()
        .map(|m| {
            let detail = serde_json::json!({ "by": sign_of(m).map(Sign::name), "psa_id": m.psa_id });
            site.entry("mapping.by_rule", object(m), &detail)
        })
        .collect();
    site.store.append_audit(site.org, &entries).await?;
    Ok(saved)
}

async fn shown_by(
    site: Site<'_>,
    kind: RecordKind,
    sign: Sign,
) -> Result<BTreeMap<SourceId, Shown<String>>, Failure> {
    let mut shown: BTreeMap<SourceId, Shown<String>> = BTreeMap::new();
    for row in site.store.list_records(site.org, None, kind).await? {
        let one = match row.record {
            Record::Customer(customer) => {
                let values = evidence::of_customer(&customer, sign);
                (customer.id.to_string(), values)
            }
            Record::Product(product) => {
                let values = evidence::of_product(&product, sign);
                (product.id.to_string(), values)
            }
            _ => continue, // open set: only these two were asked for
        };
        shown.entry(row.source).or_default().push(one);
    }
    Ok(shown)
}

fn companies(picture: &Snapshot, sign: Sign) -> Shown<i64> {
    let active = picture.companies.values().filter(|c| c.state == CompanyState::Active);
    active.map(|c| (c.id.0, evidence::of_company(c, sign))).collect()
}

fn items(picture: &Snapshot, sign: Sign) -> Shown<i64> {
    let usable = picture.catalog.values().filter(|item| !item.inactive && !item.bundle);
    usable.map(|item| (item.id.0, evidence::of_item(item, sign))).collect()
}

fn mapped(kind: MappingKind, shown: BTreeMap<SourceId, Shown<String>>, targets: &Shown<i64>) -> Vec<Mapping> {
    let mut found = Vec::new();
    for (source, records) in shown {
        found.extend(one_to_one(&records, targets).into_iter().map(|(source_id, psa_id)| Mapping {
            kind,
            source: source.clone(),
            source_id,
            psa_id: Some(psa_id),
            scope: String::new(),
            options: BTreeMap::new(),
            origin: MappingOrigin::Automatic,
        }));
    }
    found
}

/// The pairs of which each side shows the sign of exactly the other.
fn one_to_one(records: &Shown<String>, targets: &Shown<i64>) -> Vec<(String, i64)> {
    let mut targets_of: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
    for (id, values) in targets {
        for value in values {
            targets_of.entry(value).or_default().insert(*id);
        }
    }
    let mut records_of: BTreeMap<i64, BTreeSet<&str>> = BTreeMap::new();
    let mut pairs = Vec::new();
    for (id, values) in records {
        let meant: BTreeSet<i64> =
            values.iter().filter_map(|value| targets_of.get(value.as_str())).flatten().copied().collect();
        for target in &meant {
            records_of.entry(*target).or_default().insert(id);
        }
        if let (Some(target), 1) = (meant.first(), meant.len()) {
            pairs.push((id.clone(), *target));
        }
    }
    pairs.retain(|(_, target)| records_of.get(target).is_some_and(|records| records.len() == 1));
    pairs
}

#[cfg(test)]
mod tests {
    use super::one_to_one;

    fn shown<K: Copy, T: From<K>>(rows: &[(K, &[&str])]) -> super::Shown<T> {
        rows.iter()
            .map(|(id, values)| (T::from(*id), values.iter().map(|v| (*v).to_owned()).collect()))
            .collect()
    }

    #[test]
    fn only_what_nobody_else_shows_is_a_pair() {
        let targets = shown(&[(1, &["a"]), (2, &["b", "bb"]), (3, &["c"]), (4, &["c"]), (5, &["d", "e"])]);
        let records = shown(&[
            ("clear", &["a"][..]),
            ("two values, one target", &["b", "bb"]),
            ("two targets", &["c"]),
            ("two records", &["d"]),
            ("two records as well", &["e"]),
            ("nothing", &[]),
        ]);
        let wanted = [("clear".to_owned(), 1), ("two values, one target".to_owned(), 2)];
        assert_eq!(one_to_one(&records, &targets), wanted);
    }
}
