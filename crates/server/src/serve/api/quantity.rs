//! Quantities of what is only counted: assignments, rules, ticks, picks, and runs.

use super::runs::queue;
use crate::commands::quantity::{
    QuantityEntryDoc, QuantityLineDoc, QuantityPreviewDoc, Wanted, entries_of, overview, preview_of, site,
};
use crate::failure::CliError;
use crate::serve::extract::{Body, Find};
use crate::serve::problem::Problem;
use crate::serve::state::source_of;
use crate::serve::state::{Scope, Service, checked};
use crate::serve::worker::{RunKind, RunWish};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;
use trueup_domain::ids::{AdditionId, CatalogItemId, CustomerId, ProductId, SourceId};
use trueup_domain::quantity::chain::Rule;
use trueup_domain::quantity::config::EntryKey;
use trueup_engine::quantity::{self, WhichItem, tenant_of};
use utoipa::{IntoParams, ToSchema};

/// The most customers of one run.
const MOST: usize = 1_000;

/// A service that a source counts.
#[derive(Serialize, ToSchema)]
pub struct CountedServiceDoc {
    source: String,
    service: String,
    name: String,
    /// Whether its source says that it should not be assigned any more.
    deprecated: bool,
    /// Customers that it is counted for.
    customers: usize,
    /// The sum of its levels, where they have one unit.
    level: Option<String>,
    /// The unit of its levels.
    unit: Option<String>,
    /// `assigned`, `not_assigned`, or `open` where nobody said anything.
    #[schema(value_type = String)]
    state: &'static str,
    /// The catalog item; nothing where it was chosen in another tenant, whose ids mean nothing here.
    catalog_item_id: Option<i64>,
    /// Its identifier as it was when the service was assigned.
    identifier: Option<String>,
    /// The organization that assigned it.
    from: Option<String>,
}

/// A level of a service.
#[derive(Serialize, ToSchema)]
pub struct CountedLevelDoc {
    service: String,
    value: String,
    unit: Option<String>,
    as_of: String,
    /// Whether it is billed: assigned, ticked, and the customer is on.
    billed: bool,
}

/// A customer that something is counted for.
#[derive(Serialize, ToSchema)]
pub struct CountedCustomerDoc {
    source: String,
    customer_id: String,
    name: String,
    company_id: Option<i64>,
    /// The agreement that somebody chose for it.
    agreement_id: Option<i64>,
    /// Whether nothing more has to be chosen for it to be billed.
    complete: bool,
    /// Whether it is switched on.
    billing: bool,
    /// The services that are ticked; nothing where nobody ticked any.
    ticked: Option<Vec<String>>,
    levels: Vec<CountedLevelDoc>,
}

/// Services and customers, what waits for people first.
#[derive(Serialize, ToSchema)]
pub struct QuantityDoc {
    services: Vec<CountedServiceDoc>,
    customers: Vec<CountedCustomerDoc>,
    /// What is set and holds here, with the organization that set it.
    entries: Vec<QuantityEntryDoc>,
}

/// What is counted, as what it is billed, and for whom
///
/// Services that nobody assigned and customers for whom something has to be chosen come first.
#[utoipa::path(get, path = "/api/v1/organizations/{org}/quantity", tag = "quantity",
    params(("org" = String, Path, description = "The organization")),
    responses((status = 200, description = "Both lists", body = QuantityDoc)))]
pub async fn show(State(service): State<Service>, scope: Scope) -> Result<Json<QuantityDoc>, Problem> {
    let app = scope.app(&service);
    let found = overview(&app).await.map_err(CliError::problem)?;
    let config = quantity::config(service.store.as_ref(), &scope.org).await?;
    let services = found.services.into_iter().map(|row| CountedServiceDoc {
        source: row.source.to_string(),
        service: row.service.to_string(),
        name: row.name,
        deprecated: row.deprecated,
        customers: row.customers,
        level: row.level,
        unit: row.unit,
        state: row.state,
        catalog_item_id: row.item.map(|id| id.0),
        identifier: row.identifier,
        from: row.from.map(|from| from.to_string()),
    });
    let customers = found.customers.into_iter().map(|row| CountedCustomerDoc {
        source: row.source.to_string(),
        customer_id: row.customer.to_string(),
        name: row.name,
        company_id: row.company,
        agreement_id: row.agreement,
        complete: row.complete,
        billing: row.billing,
        ticked: row.ticked.map(|ticked| ticked.iter().map(ToString::to_string).collect()),
        levels: row
            .levels
            .into_iter()
            .map(|level| CountedLevelDoc {
                service: level.service.to_string(),
                value: level.value,
                unit: level.unit,
                as_of: level.as_of,
                billed: level.billed,
            })
            .collect(),
    });
    Ok(Json(QuantityDoc {
        services: services.collect(),
        customers: customers.collect(),
        entries: entries_of(&config, None),
    }))
}

/// What a service is to be billed as: an item by its id or by its exact name, or nothing.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewServiceAssignment {
    /// The source; `default` where it is missing.
    #[schema(max_length = 100)]
    source: Option<String>,
    /// The service.
    #[schema(min_length = 1, max_length = 200)]
    service: String,
    /// For this customer alone.
    #[schema(max_length = 200)]
    customer: Option<String>,
    /// The catalog item with this id.
    catalog_item_id: Option<i64>,
    /// The catalog item with exactly this Product ID.
    #[schema(max_length = 100)]
    product: Option<String>,
    /// Nothing is written for the service any more.
    not_assigned: Option<bool>,
    /// Assigns a service that is deprecated at its source.
    confirm: Option<bool>,
    /// The connection; the nearest where it is missing.
    #[schema(max_length = 100)]
    connection: Option<String>,
}

/// An entry that was saved.
#[derive(Serialize, ToSchema)]
pub struct QuantityEntrySaved {
    /// What was saved.
    #[schema(value_type = Object)]
    entry: Value,
    /// What a person should know about it.
    notice: Option<String>,
}

fn saved(entry: &trueup_domain::quantity::Entry, notice: Option<String>) -> Json<QuantityEntrySaved> {
    Json(QuantityEntrySaved { entry: serde_json::json!(entry), notice })
}

fn customer_of(text: Option<&str>) -> Result<Option<CustomerId>, Problem> {
    text.map(|text| checked("customer", text, 200).map(CustomerId::from)).transpose()
}

/// Assign a service to a catalog item
///
/// A deprecated service asks for `confirm`; a second service on an item asks for a rule that adds up.
#[utoipa::path(put, path = "/api/v1/organizations/{org}/quantity/assignments", tag = "quantity",
    params(("org" = String, Path, description = "The organization")), request_body = NewServiceAssignment,
    responses((status = 200, description = "It is saved", body = QuantityEntrySaved)))]
pub async fn assign(
    State(service): State<Service>,
    scope: Scope,
    Body(body): Body<NewServiceAssignment>,
) -> Result<Json<QuantityEntrySaved>, Problem> {
    let wanted = match (body.catalog_item_id, body.product, body.not_assigned.unwrap_or(false)) {
        (Some(id), None, false) => Some(WhichItem::Item(CatalogItemId(id))),
        (None, Some(text), false) => Some(WhichItem::Named(checked("product", &text, 100)?)),
        (None, None, true) => None,
        (None | Some(_), None | Some(_), true | false) => {
            let what =
                "name an item by its id or by its product, or say not_assigned, and one of the three alone";
            return Err(Problem::field("catalog_item_id", what));
        }
    };
    let source = source_of(body.source.as_deref())?;
    let of = ProductId::from(checked("service", &body.service, 200)?);
    let customer = customer_of(body.customer.as_deref())?;
    let app = scope.app(&service);
    let connection = app.connection(body.connection.as_deref()).await.map_err(CliError::problem)?;
    let (_, psa) = app.psa(Some(&connection.name)).await.map_err(CliError::problem)?;
    let tenant = tenant_of(&connection);
    let done = quantity::assign(
        site(&app),
        (psa.as_ref(), &tenant),
        &source,
        (&of, customer.as_ref()),
        wanted.as_ref(),
        body.confirm.unwrap_or(false),
    )
    .await?;
    Ok(saved(&done.entry, done.notice))
}

/// Which entry.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WhichQuantityEntry {
    /// The source; `default` where it is missing.
    source: Option<String>,
    /// `service`, `product`, `customer` or `line`.
    kind: String,
    /// The service, the customer, or the catalog item: of a `product` its Product ID, of a `line` its id.
    id: String,
    /// The customer, where it was set for one alone.
    customer: Option<String>,
}

/// Remove what this organization itself set, so that the level above counts again
#[utoipa::path(delete, path = "/api/v1/organizations/{org}/quantity/entries", tag = "quantity",
    params(("org" = String, Path, description = "The organization"), WhichQuantityEntry),
    responses((status = 204, description = "It is gone")))]
pub async fn unset(
    State(service): State<Service>,
    scope: Scope,
    Find(which): Find<WhichQuantityEntry>,
) -> Result<StatusCode, Problem> {
    let kind = ["service", "product", "customer", "line"].into_iter().find(|kind| *kind == which.kind);
    let kind =
        kind.ok_or_else(|| Problem::field("kind", "it is none of service, product, customer, line"))?;
    let key: EntryKey = (kind, which.id.clone(), which.customer.unwrap_or_default());
    let source = source_of(which.source.as_deref())?;
    if quantity::unset(site(&scope.app(&service)), &source, &key).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::none("entry", &which.id))
    }
}

/// How levels become the quantity of a catalog item.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewQuantityRule {
    /// The source; `default` where it is missing.
    #[schema(max_length = 100)]
    source: Option<String>,
    /// The catalog item with this id.
    catalog_item_id: Option<i64>,
    /// The catalog item with exactly this Product ID, in place of its id.
    #[schema(max_length = 100)]
    product: Option<String>,
    /// For this customer alone.
    #[schema(max_length = 200)]
    customer: Option<String>,
    /// `add_up`, `combine`, `unit`, `exclude`, `included`, `minimum`, `maximum`, `rounding`, `decimals`, `pack`, `tiers`,
    /// `ratio`; what is missing is not done.
    #[schema(value_type = Object)]
    rule: Rule,
}

/// Set the rule of a catalog item
#[utoipa::path(put, path = "/api/v1/organizations/{org}/quantity/rules", tag = "quantity",
    params(("org" = String, Path, description = "The organization")), request_body = NewQuantityRule,
    responses((status = 200, description = "It is saved", body = QuantityEntrySaved)))]
pub async fn rule(
    State(service): State<Service>,
    scope: Scope,
    Body(body): Body<NewQuantityRule>,
) -> Result<Json<QuantityEntrySaved>, Problem> {
    let source = source_of(body.source.as_deref())?;
    let customer = customer_of(body.customer.as_deref())?;
    body.rule.check().map_err(|error| Problem::field("rule", error.to_string()))?;
    let app = scope.app(&service);
    let wanted = match (body.catalog_item_id, body.product) {
        (Some(id), None) => WhichItem::Item(CatalogItemId(id)),
        (None, Some(text)) => WhichItem::Named(checked("product", &text, 100)?),
        (None, None) | (Some(_), Some(_)) => {
            return Err(Problem::field(
                "catalog_item_id",
                "name an item by its id or by its product, and one of the two alone",
            ));
        }
    };
    let connection = app.connection(None).await.map_err(CliError::problem)?;
    let (_, psa) = app.psa(Some(&connection.name)).await.map_err(CliError::problem)?;
    let tenant = tenant_of(&connection);
    let item = quantity::ruled_item(site(&app), (psa.as_ref(), &tenant), &source, &wanted).await?;
    let entry = quantity::set_rule(site(&app), &source, &item, customer.as_ref(), body.rule).await?;
    Ok(saved(&entry, None))
}

/// Whether a customer is billed, and for which services.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewQuantityTicks {
    /// The source; `default` where it is missing.
    #[schema(max_length = 100)]
    source: Option<String>,
    /// The customer.
    #[schema(min_length = 1, max_length = 200)]
    customer: String,
    /// Whether anything is billed.
    billing: bool,
    /// The services that are billed; where it is missing, `quantity.customers` says.
    #[schema(max_items = 1000)]
    ticked: Option<Vec<String>>,
}

/// Switch a customer on or off, and tick the services that are billed
#[utoipa::path(put, path = "/api/v1/organizations/{org}/quantity/customers", tag = "quantity",
    params(("org" = String, Path, description = "The organization")), request_body = NewQuantityTicks,
    responses((status = 200, description = "It is saved", body = QuantityEntrySaved)))]
pub async fn customer(
    State(service): State<Service>,
    scope: Scope,
    Body(body): Body<NewQuantityTicks>,
) -> Result<Json<QuantityEntrySaved>, Problem> {
    let source = source_of(body.source.as_deref())?;
    let customer = CustomerId::from(checked("customer", &body.customer, 200)?);
    let ticked = body.ticked.map(|ticked| ticked.into_iter().map(ProductId::from).collect::<BTreeSet<_>>());
    let app = scope.app(&service);
    let entry = quantity::set_customer(site(&app), &source, &customer, body.billing, ticked).await?;
    Ok(saved(&entry, None))
}

/// Which addition a customer's line is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewQuantityPick {
    /// The source; `default` where it is missing.
    #[schema(max_length = 100)]
    source: Option<String>,
    /// The customer.
    #[schema(min_length = 1, max_length = 200)]
    customer: String,
    /// The catalog item.
    catalog_item_id: i64,
    /// The addition; a new one is meant where it is missing.
    addition_id: Option<i64>,
}

/// Say which addition a customer's line is, or that a new one is meant
#[utoipa::path(put, path = "/api/v1/organizations/{org}/quantity/picks", tag = "quantity",
    params(("org" = String, Path, description = "The organization")), request_body = NewQuantityPick,
    responses((status = 200, description = "It is saved", body = QuantityEntrySaved)))]
pub async fn pick(
    State(service): State<Service>,
    scope: Scope,
    Body(body): Body<NewQuantityPick>,
) -> Result<Json<QuantityEntrySaved>, Problem> {
    let source = source_of(body.source.as_deref())?;
    let customer = CustomerId::from(checked("customer", &body.customer, 200)?);
    let (item, addition) = (CatalogItemId(body.catalog_item_id), body.addition_id.map(AdditionId));
    let app = scope.app(&service);
    let connection = app.connection(None).await.map_err(CliError::problem)?;
    let (_, psa) = app.psa(Some(&connection.name)).await.map_err(CliError::problem)?;
    let tenant = tenant_of(&connection);
    let entry =
        quantity::pick(site(&app), (psa.as_ref(), &tenant), &source, &customer, item, addition).await?;
    Ok(saved(&entry, None))
}

/// Which lines.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WhichLines {
    /// Lines of this customer alone.
    customer: Option<String>,
    /// Lines with this verdict alone: `equal`, `update`, `create`, `adopt`, `end`, `held` or `refused`.
    verdict: Option<String>,
}

/// Lines.
#[derive(Serialize, ToSchema)]
pub struct QuantityLinesDoc {
    /// By agreement and item.
    items: Vec<QuantityLineDoc>,
}

/// The lines as the last runs saw them, each with its quantity step by step
#[utoipa::path(get, path = "/api/v1/organizations/{org}/quantity/lines", tag = "quantity",
    params(("org" = String, Path, description = "The organization"), WhichLines),
    responses((status = 200, description = "The lines", body = QuantityLinesDoc)))]
pub async fn lines(
    State(service): State<Service>,
    scope: Scope,
    Find(which): Find<WhichLines>,
) -> Result<Json<QuantityLinesDoc>, Problem> {
    let mut lines = quantity::lines(service.store.as_ref(), &scope.org).await?;
    lines.retain(|line| {
        which.customer.as_deref().is_none_or(|customer| line.customer.as_str() == customer)
            && which.verdict.as_deref().is_none_or(|verdict| line.verdict.name() == verdict)
    });
    Ok(Json(QuantityLinesDoc { items: lines.iter().map(QuantityLineDoc::from).collect() }))
}

/// Somebody's customer at a source.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CountedCustomer {
    /// The source; `default` where it is missing.
    #[schema(max_length = 100)]
    source: Option<String>,
    /// The customer.
    #[schema(min_length = 1, max_length = 200)]
    customer: String,
}

/// What to compare.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewQuantityComparison {
    /// These customers alone; everybody where it is missing.
    #[schema(max_items = 1000)]
    customers: Option<Vec<CountedCustomer>>,
    /// Takes over single open additions that are there.
    adopt: Option<bool>,
    /// Writes also what waits for a person; only a run does.
    approve: Option<bool>,
    /// The connection; the nearest where it is missing.
    #[schema(max_length = 100)]
    connection: Option<String>,
}

fn only(customers: Option<&[CountedCustomer]>) -> Result<Option<BTreeSet<(SourceId, CustomerId)>>, Problem> {
    let Some(customers) = customers else { return Ok(None) };
    if customers.is_empty() || customers.len() > MOST {
        return Err(Problem::field("customers", format!("name 1 to {MOST}, or leave it out for everybody")));
    }
    let one = |of: &CountedCustomer| {
        let customer = checked("customers", &of.customer, 200)?;
        Ok((source_of(of.source.as_deref())?, CustomerId::from(customer)))
    };
    customers.iter().map(one).collect::<Result<BTreeSet<_>, Problem>>().map(Some)
}

/// Compare now, and show what would be written
///
/// Stores the plan of it, with what waits for a person; nothing is written to ConnectWise. Its plan may be carried out by
/// its id.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/quantity/preview", tag = "quantity",
    params(("org" = String, Path, description = "The organization")), request_body = NewQuantityComparison,
    responses((status = 200, description = "What would be written", body = QuantityPreviewDoc)))]
pub async fn preview(
    State(service): State<Service>,
    scope: Scope,
    Body(body): Body<NewQuantityComparison>,
) -> Result<Json<QuantityPreviewDoc>, Problem> {
    if body.approve.unwrap_or(false) {
        return Err(Problem::field("approve", "a preview writes nothing"));
    }
    let wanted = Wanted {
        connection: body.connection,
        only: only(body.customers.as_deref())?,
        adopt: body.adopt.unwrap_or(false),
        ..Wanted::default()
    };
    let (_, document) = preview_of(&scope.app(&service), &wanted).await.map_err(CliError::problem)?;
    Ok(Json(document))
}

/// Compare now, and write what may be written
#[utoipa::path(post, path = "/api/v1/organizations/{org}/quantity/run", tag = "quantity",
    params(("org" = String, Path, description = "The organization")), request_body = NewQuantityComparison,
    responses((status = 202, description = "It waits for a worker", body = super::runs::RunDoc)))]
pub async fn run(
    State(service): State<Service>,
    scope: Scope,
    Body(body): Body<NewQuantityComparison>,
) -> Result<Response, Problem> {
    let customers = only(body.customers.as_deref())?.unwrap_or_default();
    let wish = RunWish {
        approve: body.approve.unwrap_or(false),
        adopt: body.adopt.unwrap_or(false).then(|| "take_single".to_owned()),
        connection: body.connection,
        customers: customers.into_iter().collect(),
        ..RunWish::default()
    };
    queue(&service, &scope, RunKind::Quantity, wish).await
}
