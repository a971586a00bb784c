//! Customers and products, as the sources know them, with what they are mapped to.

use crate::output::documents::instant;
use crate::serve::extract::Find;
use crate::serve::page::{self, Page};
use crate::serve::problem::Problem;
use crate::serve::state::{Scope, Service};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use trueup_domain::feed::{Record, RecordKind};
use trueup_domain::ids::SourceId;
use trueup_domain::mapping::MappingKind;
use trueup_engine::ports::Store;
use trueup_engine::records::StoredRecord;
use trueup_store::RecordPage;
use utoipa::{IntoParams, ToSchema};

/// Which records are listed.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RecordQuery {
    /// Of this source.
    source: Option<String>,
    /// Text in the record.
    search: Option<String>,
    /// Only those with a mapping, or only those without.
    mapped: Option<bool>,
    /// Rows of a page.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// Where the page begins.
    cursor: Option<String>,
}

/// A record of a source.
#[derive(Serialize, ToSchema)]
pub struct RecordDoc {
    /// The source.
    source: String,
    /// Id at the source.
    id: String,
    /// Display name.
    name: String,
    /// Version, from 1.
    version: u32,
    /// When this version came in.
    received_at: String,
    /// Whether there is a mapping, one that says not to bill included.
    mapped: bool,
    /// What it is in ConnectWise; the first where there are several.
    psa_id: Option<i64>,
    /// The record's fields, as the feed names them.
    #[schema(value_type = Object)]
    record: Value,
}

/// The customers of an organization
#[utoipa::path(get, path = "/api/v1/organizations/{org}/customers", tag = "records",
    params(("org" = String, Path, description = "The organization"), RecordQuery),
    responses((status = 200, description = "By source and id", body = Page<RecordDoc>)))]
pub async fn customers(
    State(service): State<Service>,
    scope: Scope,
    Find(query): Find<RecordQuery>,
) -> Result<Json<Page<RecordDoc>>, Problem> {
    list(&service, &scope, query, RecordKind::Customer, MappingKind::Customer).await
}

/// The products of an organization
#[utoipa::path(get, path = "/api/v1/organizations/{org}/products", tag = "records",
    params(("org" = String, Path, description = "The organization"), RecordQuery),
    responses((status = 200, description = "By source and id", body = Page<RecordDoc>)))]
pub async fn products(
    State(service): State<Service>,
    scope: Scope,
    Find(query): Find<RecordQuery>,
) -> Result<Json<Page<RecordDoc>>, Problem> {
    list(&service, &scope, query, RecordKind::Product, MappingKind::Product).await
}

async fn list(
    service: &Service,
    scope: &Scope,
    query: RecordQuery,
    kind: RecordKind,
    mapping: MappingKind,
) -> Result<Json<Page<RecordDoc>>, Problem> {
    let limit = page::limit(query.limit)?;
    let wanted = RecordPage {
        kind,
        source: query.source.map(SourceId::from),
        search: query.search,
        mapped: query.mapped.map(|is_mapped| (mapping, is_mapped)),
        after: page::decode(query.cursor.as_deref())?,
        limit: limit + 1,
    };
    let rows = service.store.page_records(&scope.org, &wanted).await?;
    let mut mapped: BTreeMap<(String, String), Option<i64>> = BTreeMap::new();
    for found in service.store.list_mappings(&scope.org).await?.into_iter().filter(|m| m.kind == mapping) {
        mapped.entry((found.source.to_string(), found.source_id)).or_insert(found.psa_id);
    }
    let mark = |(row, id): &(StoredRecord, String)| (row.source.to_string(), id.clone());
    Ok(Json(Page::of(rows, limit, mark, |(row, id)| {
        let target = mapped.get(&(row.source.to_string(), id.clone()));
        let (name, record) = match &row.record {
            Record::Customer(customer) => (customer.name.clone(), json!(customer)),
            Record::Product(product) => (product.name.clone(), json!(product)),
            other => (String::new(), json!(other)), // open set: other kinds are not asked for
        };
        RecordDoc {
            source: row.source.to_string(),
            id,
            name,
            version: row.version,
            received_at: instant(row.received_at),
            mapped: target.is_some(),
            psa_id: target.copied().flatten(),
            record,
        }
    })))
}

/// A source with what came from it.
#[derive(Serialize, ToSchema)]
pub struct SourceDoc {
    /// Its name.
    source: String,
    /// Customers.
    customers: u64,
    /// Orders.
    orders: u64,
    /// Records of all kinds.
    records: u64,
    /// When the last one was taken in.
    last_record_at: String,
}

/// Sources.
#[derive(Serialize, ToSchema)]
pub struct SourcesDoc {
    /// By name.
    items: Vec<SourceDoc>,
}

/// The sources that records came from
#[utoipa::path(get, path = "/api/v1/organizations/{org}/sources", tag = "records",
    params(("org" = String, Path, description = "The organization")),
    responses((status = 200, description = "By name", body = SourcesDoc)))]
pub async fn sources(State(service): State<Service>, scope: Scope) -> Result<Json<SourcesDoc>, Problem> {
    let mut items: Vec<SourceDoc> = Vec::new();
    let mut last = 0;
    for (source, kind, count, at) in service.store.list_sources(&scope.org).await? {
        if items.last().is_none_or(|item| item.source != source.as_str()) {
            last = at;
            items.push(SourceDoc {
                source: source.to_string(),
                customers: 0,
                orders: 0,
                records: 0,
                last_record_at: String::new(),
            });
        }
        let Some(item) = items.last_mut() else { continue };
        last = last.max(at);
        item.records = item.records.saturating_add(count);
        if kind == RecordKind::Customer.name() {
            item.customers = count;
        } else if kind == RecordKind::Order.name() {
            item.orders = count;
        }
        item.last_record_at = instant(last);
    }
    Ok(Json(SourcesDoc { items }))
}
