//! Catalog items that products lack: created in automatic runs where the setting says so, and mapped at once.
//!
//! An identifier is unique in ConnectWise, so that a repeated creation can never double an item: one that is there
//! already under the product's own identifier and name is taken, any other is left for a person to map.

use crate::failure::Failure;
use crate::mappings::create::same;
use crate::planning::{PlanRequest, Planned};
use crate::ports::{Clock, NewItem, Psa, Store, WriteError};
use crate::records::NewAuditEntry;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::feed::{Product, Record, RecordKind};
use trueup_domain::finding::Code;
use trueup_domain::ids::{CatalogItemId, ProductId, SourceId};
use trueup_domain::mapping::{Mapping, MappingKind, MappingOrigin};
use trueup_domain::psa::CatalogItem;

/// Creates and maps what the plan missed (TU2003). Returns how many products are mapped now that were not.
///
/// # Errors
/// The store's or the PSA's; what was created until then is mapped.
pub async fn create_missing(
    store: &dyn Store,
    psa: &dyn Psa,
    clock: &dyn Clock,
    request: &PlanRequest<'_>,
    planned: &Planned,
) -> Result<usize, Failure> {
    let missing: BTreeSet<(SourceId, ProductId)> = planned
        .stored
        .body
        .plan()
        .findings
        .iter()
        .filter(|finding| finding.code == Code::Tu2003)
        .filter_map(|finding| Some((finding.subject.source.clone()?, finding.subject.product.clone()?)))
        .collect();
    if missing.is_empty() {
        return Ok(0);
    }
    let there = psa.list_catalog_items(None).await?;
    let by_identifier: BTreeMap<String, _> =
        there.iter().map(|item| (item.identifier.to_lowercase(), item)).collect();
    let mut mapped = 0;
    for (source, product) in missing {
        let stored = store.find_record(request.org, &source, RecordKind::Product, product.as_str()).await?;
        let Some(Record::Product(product)) = stored.map(|s| s.record) else { continue };
        let identifier = identifier_of(&product);
        let item = match by_identifier.get(&identifier.to_lowercase()) {
            Some(item) if is_usable(item) && same(&item.description, &product.name) => item.id,
            Some(_) => continue,
            None => match psa.create_catalog_item(&item_of(identifier, &product)).await {
                Ok(item) => item.id,
                // Refused or unclear: the finding stays, and the next run looks it up by its identifier first.
                Err(WriteError::Refused(_) | WriteError::InDoubt(_)) => continue,
            },
        };
        map(store, clock, request, &source, &product, item).await?;
        mapped += 1;
    }
    Ok(mapped)
}

fn is_usable(item: &CatalogItem) -> bool {
    !item.inactive && !item.bundle
}

/// The item with the list price and cost of the product: one without them would be read as free.
fn item_of(identifier: String, product: &Product) -> NewItem {
    NewItem {
        identifier,
        description: product.name.clone(),
        price: product.unit_price,
        cost: product.unit_cost,
    }
}

/// The stock keeping unit, else the id; ConnectWise keeps 60 characters.
fn identifier_of(product: &Product) -> String {
    let text = product.sku.as_deref().filter(|sku| !sku.trim().is_empty()).unwrap_or(product.id.as_str());
    text.trim().chars().take(60).collect()
}

async fn map(
    store: &dyn Store,
    clock: &dyn Clock,
    request: &PlanRequest<'_>,
    source: &SourceId,
    product: &Product,
    item: CatalogItemId,
) -> Result<(), Failure> {
    let mapping = Mapping {
        kind: MappingKind::Product,
        source: source.clone(),
        source_id: product.id.to_string(),
        psa_id: Some(item.0),
        scope: String::new(),
        options: BTreeMap::new(),
        origin: MappingOrigin::Automatic,
    };
    store.save_mappings(request.org, clock.now(), &[mapping]).await?;
    let detail = serde_json::json!({ "catalog_item": item.0, "name": product.name, "created_by": "create_missing_products" });
    let entry = NewAuditEntry {
        at: clock.now(),
        actor: request.actor.to_owned(),
        action: "mapping.save".into(),
        object: format!("mapping/product/{}", product.id),
        addition: None,
        detail: detail.to_string(),
    };
    store.append_audit(request.org, &[entry]).await?;
    Ok(())
}
