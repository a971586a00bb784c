//! What ConnectWise holds, as far as it was read: to choose from, to name things by, and to look at. Nothing here calls
//! ConnectWise; a run of kind `pull` brings the picture up to date.

use crate::output::documents::instant;
use crate::serve::extract::{Body, Find};
use crate::serve::page::{self, Page};
use crate::serve::problem::Problem;
use crate::serve::state::{Scope, Service};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::feed::{Record, RecordKind};
use trueup_domain::ids::{CompanyId, SourceId};
use trueup_domain::period::CycleUnit;
use trueup_domain::psa::{
    Agreement, AgreementStatus, BillFlag, CatalogItem, Company, CompanyState, ObservedAddition,
};
use trueup_engine::ports::Store;
use trueup_store::PicturePage;
use utoipa::{IntoParams, ToSchema};

/// Names asked for at once.
const MOST: usize = 1_000;

/// Which catalog items or companies are listed.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CatalogQuery {
    /// Text in the record.
    search: Option<String>,
    /// Rows of a page.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// Where the page begins.
    cursor: Option<String>,
}

/// Which agreements are listed.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AgreementQuery {
    /// Of this company.
    company: Option<i64>,
    /// Text in the agreement.
    search: Option<String>,
    /// Rows of a page.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// Where the page begins.
    cursor: Option<String>,
}

/// A catalog item.
#[derive(Serialize, ToSchema)]
pub struct CatalogItemDoc {
    /// Its id in ConnectWise.
    catalog_item_id: i64,
    /// Its short unique text.
    identifier: String,
    /// Its text.
    description: String,
    /// Price of one unit, where the catalog has one; in the currency of the tenant.
    price: Option<String>,
    /// Cost of one unit.
    cost: Option<String>,
    /// Whether an addition can be made of it: it is neither inactive nor a bundle.
    usable: bool,
}

impl From<&CatalogItem> for CatalogItemDoc {
    fn from(item: &CatalogItem) -> Self {
        Self {
            catalog_item_id: item.id.0,
            identifier: item.identifier.clone(),
            description: item.description.clone(),
            price: item.price.map(|price| price.to_string()),
            cost: item.cost.map(|cost| cost.to_string()),
            usable: !item.inactive && !item.bundle,
        }
    }
}

/// A company to choose.
#[derive(Serialize, ToSchema)]
pub struct KnownCompanyDoc {
    /// Its id in ConnectWise.
    company_id: i64,
    /// Its short unique text.
    identifier: String,
    /// Its name.
    name: String,
    /// Whether it is in use.
    usable: bool,
}

/// An agreement.
#[derive(Serialize, ToSchema)]
pub struct AgreementDoc {
    /// Its id in ConnectWise.
    agreement_id: i64,
    /// Its name.
    name: String,
    /// Name of its type.
    agreement_type: String,
    /// Whose it is.
    company_id: i64,
    /// `active`, `cancelled`, `expired` or `inactive`.
    #[schema(value_type = String)]
    status: &'static str,
    /// Length of its billing cycle, in units; none where it is unknown.
    cycle_every: Option<u32>,
    /// `day`, `month` or what else the unit is.
    #[schema(value_type = Option<String>)]
    cycle_unit: Option<CycleUnit>,
    /// Its currency.
    currency: Option<String>,
    /// First day of the next period to be invoiced.
    next_invoice: Option<String>,
    /// Last day; none without end.
    end: Option<String>,
    /// Whether ConnectWise prorates its additions by itself.
    prorates: bool,
}

impl From<&Agreement> for AgreementDoc {
    fn from(agreement: &Agreement) -> Self {
        Self {
            agreement_id: agreement.id.0,
            name: agreement.name.clone(),
            agreement_type: agreement.agreement_type.clone(),
            company_id: agreement.company.0,
            status: match agreement.status {
                AgreementStatus::Active => "active",
                AgreementStatus::Cancelled => "cancelled",
                AgreementStatus::Expired => "expired",
                AgreementStatus::Inactive => "inactive",
            },
            cycle_every: agreement.billing_cycle.map(|cycle| cycle.every),
            cycle_unit: agreement.billing_cycle.map(|cycle| cycle.unit),
            currency: agreement.currency.map(|currency| currency.to_string()),
            next_invoice: agreement.next_invoice.map(|day| day.to_string()),
            end: agreement.end.map(|day| day.to_string()),
            prorates: agreement.prorates,
        }
    }
}

/// A line on an agreement, as it was read.
#[derive(Serialize, ToSchema)]
pub struct AdditionDoc {
    /// Its id in ConnectWise.
    addition_id: i64,
    /// What is billed.
    catalog_item_id: i64,
    /// Its text, where it has one of its own.
    description: Option<String>,
    /// How many.
    quantity: String,
    /// How many of them are included and not billed.
    less_included: String,
    /// Price of one unit.
    unit_price: String,
    /// Cost of one unit.
    unit_cost: String,
    /// First billed day.
    effective: String,
    /// Last billed day; none while open.
    cancelled: Option<String>,
    /// `billable`, `do_not_bill` or `no_charge`.
    #[schema(value_type = String)]
    bill: &'static str,
    /// Whether it carries the key of trueup.
    ours: bool,
}

impl From<&ObservedAddition> for AdditionDoc {
    fn from(addition: &ObservedAddition) -> Self {
        let state = &addition.state;
        Self {
            addition_id: addition.id.0,
            catalog_item_id: state.catalog_item.0,
            description: state.description.clone(),
            quantity: state.quantity.display(),
            less_included: addition.less_included.display(),
            unit_price: state.unit_price.to_string(),
            unit_cost: state.unit_cost.to_string(),
            effective: state.effective.to_string(),
            cancelled: state.cancelled.map(|day| day.to_string()),
            bill: match state.bill {
                BillFlag::Billable => "billable",
                BillFlag::DoNotBill => "do_not_bill",
                BillFlag::NoCharge => "no_charge",
            },
            ours: addition.marker.is_some(),
        }
    }
}

/// An agreement with its lines.
#[derive(Serialize, ToSchema)]
pub struct AgreementDetailDoc {
    /// The agreement.
    agreement: AgreementDoc,
    /// Name of its company.
    company: Option<String>,
    /// When its lines were read; none where they never were.
    read_at: Option<String>,
    /// Its lines, by their ids.
    additions: Vec<AdditionDoc>,
}

/// A customer or a product of a source.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordRef {
    /// The source.
    source: String,
    /// Its id there.
    id: String,
}

/// What names are wanted for; a thousand of each at most.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NamesWish {
    /// Customers.
    #[schema(max_items = 1000)]
    customers: Vec<RecordRef>,
    /// Products.
    #[schema(max_items = 1000)]
    products: Vec<RecordRef>,
    /// Companies.
    #[schema(max_items = 1000)]
    companies: Vec<i64>,
    /// Agreements.
    #[schema(max_items = 1000)]
    agreements: Vec<i64>,
    /// Catalog items.
    #[schema(max_items = 1000)]
    catalog_items: Vec<i64>,
}

/// A name of a customer or a product.
#[derive(Serialize, ToSchema)]
pub struct NamedDoc {
    /// The source.
    source: String,
    /// Its id there.
    id: String,
    /// Its name.
    name: String,
}

/// Names. What is not known is left out.
#[derive(Default, Serialize, ToSchema)]
pub struct NamesDoc {
    /// Of customers.
    customers: Vec<NamedDoc>,
    /// Of products.
    products: Vec<NamedDoc>,
    /// Of companies, by id.
    companies: BTreeMap<i64, String>,
    /// Of agreements, by id.
    agreements: BTreeMap<i64, String>,
    /// Of catalog items, by id.
    catalog_items: BTreeMap<i64, String>,
}

async fn connection(service: &Service, scope: &Scope) -> Result<Option<String>, Problem> {
    Ok(service.store.list_connections(&scope.org).await?.into_iter().next().map(|found| found.name))
}

fn after(cursor: Option<&str>) -> Result<Option<i64>, Problem> {
    page::decode(cursor)?.map(|(_, id)| id.parse().map_err(|_| page::foreign())).transpose()
}

impl CatalogQuery {
    /// The rows of a page, and what to ask the picture for: one more, which says whether there is another page.
    fn page(self) -> Result<(u32, PicturePage), Problem> {
        let limit = page::limit(self.limit)?;
        let after = after(self.cursor.as_deref())?;
        Ok((limit, PicturePage { search: self.search, after, limit: limit + 1, ..PicturePage::default() }))
    }
}

/// The product catalog of ConnectWise, as last read
#[utoipa::path(get, path = "/api/v1/organizations/{org}/catalog", tag = "picture",
    params(("org" = String, Path, description = "The organization"), CatalogQuery),
    responses((status = 200, description = "By id", body = Page<CatalogItemDoc>)))]
pub async fn catalog(
    State(service): State<Service>,
    scope: Scope,
    Find(query): Find<CatalogQuery>,
) -> Result<Json<Page<CatalogItemDoc>>, Problem> {
    let (limit, wanted) = query.page()?;
    let rows = match connection(&service, &scope).await? {
        Some(name) => service.store.page_catalog_items(&scope.org, &name, &wanted).await?,
        None => Vec::new(),
    };
    let mark = |item: &CatalogItem| (String::new(), item.id.0.to_string());
    Ok(Json(Page::of(rows, limit, mark, |item| CatalogItemDoc::from(&item))))
}

/// The companies of ConnectWise, as last read
#[utoipa::path(get, path = "/api/v1/organizations/{org}/companies/search", tag = "picture",
    params(("org" = String, Path, description = "The organization"), CatalogQuery),
    responses((status = 200, description = "By id", body = Page<KnownCompanyDoc>)))]
pub async fn companies(
    State(service): State<Service>,
    scope: Scope,
    Find(query): Find<CatalogQuery>,
) -> Result<Json<Page<KnownCompanyDoc>>, Problem> {
    let (limit, wanted) = query.page()?;
    let rows = match connection(&service, &scope).await? {
        Some(name) => service.store.page_companies(&scope.org, &name, &wanted).await?,
        None => Vec::new(),
    };
    let mark = |company: &Company| (String::new(), company.id.0.to_string());
    Ok(Json(Page::of(rows, limit, mark, |company| KnownCompanyDoc {
        company_id: company.id.0,
        usable: company.state == CompanyState::Active,
        identifier: company.identifier,
        name: company.name,
    })))
}

/// The agreements of ConnectWise, as last read
#[utoipa::path(get, path = "/api/v1/organizations/{org}/agreements", tag = "picture",
    params(("org" = String, Path, description = "The organization"), AgreementQuery),
    responses((status = 200, description = "By id", body = Page<AgreementDoc>)))]
pub async fn agreements(
    State(service): State<Service>,
    scope: Scope,
    Find(query): Find<AgreementQuery>,
) -> Result<Json<Page<AgreementDoc>>, Problem> {
    let limit = page::limit(query.limit)?;
    let wanted = PicturePage {
        company: query.company.map(CompanyId),
        search: query.search,
        after: after(query.cursor.as_deref())?,
        limit: limit + 1,
        ..PicturePage::default()
    };
    let rows = match connection(&service, &scope).await? {
        Some(name) => service.store.page_agreements(&scope.org, &name, &wanted).await?,
        None => Vec::new(),
    };
    let mark = |agreement: &Agreement| (String::new(), agreement.id.0.to_string());
    Ok(Json(Page::of(rows, limit, mark, |agreement| AgreementDoc::from(&agreement))))
}

/// One agreement with its lines, as last read
#[utoipa::path(get, path = "/api/v1/organizations/{org}/agreements/{agreement}", tag = "picture",
    params(("org" = String, Path, description = "The organization"),
        ("agreement" = i64, Path, description = "The agreement's id in ConnectWise")),
    responses((status = 200, description = "The agreement", body = AgreementDetailDoc)))]
pub async fn agreement(
    State(service): State<Service>,
    scope: Scope,
) -> Result<Json<AgreementDetailDoc>, Problem> {
    let text = scope.part("agreement");
    let none = || Problem::none("agreement", text);
    let id: i64 = text.parse().map_err(|_| none())?;
    let name = connection(&service, &scope).await?.ok_or_else(none)?;
    let one = |id: i64| PicturePage { ids: vec![id], limit: 1, ..PicturePage::default() };
    let store = &service.store;
    let found = store.page_agreements(&scope.org, &name, &one(id)).await?.into_iter().next();
    let found = found.ok_or_else(none)?;
    let company = store.page_companies(&scope.org, &name, &one(found.company.0)).await?.into_iter().next();
    let read = store.additions_of(&scope.org, &name, id).await?;
    let (additions, at) = read.map_or_else(|| (Vec::new(), None), |(rows, at)| (rows, Some(at)));
    Ok(Json(AgreementDetailDoc {
        agreement: AgreementDoc::from(&found),
        company: company.map(|company| company.name),
        read_at: at.map(instant),
        additions: additions.iter().map(AdditionDoc::from).collect(),
    }))
}

/// The names of things
///
/// Lists and plans name customers, products and records of ConnectWise by their ids; this says what people call them.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/names", tag = "picture",
    params(("org" = String, Path, description = "The organization")), request_body = NamesWish,
    responses((status = 200, description = "The names", body = NamesDoc)))]
pub async fn names(
    State(service): State<Service>,
    scope: Scope,
    Body(wish): Body<NamesWish>,
) -> Result<Json<NamesDoc>, Problem> {
    let counts = [
        ("customers", wish.customers.len()),
        ("products", wish.products.len()),
        ("companies", wish.companies.len()),
        ("agreements", wish.agreements.len()),
        ("catalog_items", wish.catalog_items.len()),
    ];
    if let Some((field, _)) = counts.into_iter().find(|(_, count)| *count > MOST) {
        return Err(Problem::field(field, format!("name at most {MOST}")));
    }
    let mut document = NamesDoc {
        customers: named(&service, &scope, RecordKind::Customer, wish.customers).await?,
        products: named(&service, &scope, RecordKind::Product, wish.products).await?,
        ..NamesDoc::default()
    };
    let Some(name) = connection(&service, &scope).await? else { return Ok(Json(document)) };
    let (store, org) = (&service.store, &scope.org);
    if let Some(page) = these(wish.companies) {
        let rows = store.page_companies(org, &name, &page).await?;
        document.companies = rows.into_iter().map(|company| (company.id.0, company.name)).collect();
    }
    if let Some(page) = these(wish.agreements) {
        let rows = store.page_agreements(org, &name, &page).await?;
        document.agreements = rows.into_iter().map(|agreement| (agreement.id.0, agreement.name)).collect();
    }
    if let Some(page) = these(wish.catalog_items) {
        let rows = store.page_catalog_items(org, &name, &page).await?;
        document.catalog_items = rows.into_iter().map(|item| (item.id.0, item.description)).collect();
    }
    Ok(Json(document))
}

fn these(ids: Vec<i64>) -> Option<PicturePage> {
    let limit = u32::try_from(ids.len()).ok().filter(|count| *count > 0)?;
    Some(PicturePage { ids, limit, ..PicturePage::default() })
}

async fn named(
    service: &Service,
    scope: &Scope,
    kind: RecordKind,
    wanted: Vec<RecordRef>,
) -> Result<Vec<NamedDoc>, Problem> {
    let wanted: BTreeSet<(String, String)> = wanted.into_iter().map(|r| (r.source, r.id)).collect();
    let mut found = Vec::new();
    for (source, id) in wanted {
        let row = service.store.find_record(&scope.org, &SourceId::from(source.clone()), kind, &id).await?;
        let name = match row.map(|row| row.record) {
            Some(Record::Customer(customer)) => customer.name,
            Some(Record::Product(product)) => product.name,
            _ => continue, // open set: other kinds have no name
        };
        found.push(NamedDoc { source, id, name });
    }
    Ok(found)
}
