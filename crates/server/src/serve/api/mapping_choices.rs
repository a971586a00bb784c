//! Mapping in order: customer, company, agreement, product, each step from what can be chosen there.

use super::mapping_work::site;
use super::picture::{AgreementDoc, CatalogItemDoc};
use crate::output::documents::instant;
use crate::serve::extract::Find;
use crate::serve::problem::Problem;
use crate::serve::state::{Scope, Service, source_of};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use trueup_domain::feed::RecordKind;
use trueup_domain::ids::{AgreementId, CompanyId, CustomerId};
use trueup_engine::mappings::Site;
use trueup_engine::mappings::choices::{self, Choices, Chosen, CompanyChoice, ProductChoice};
use trueup_engine::ports::Store;
use utoipa::{IntoParams, ToSchema};

/// Companies that are listed at once.
const MOST: usize = 200;

/// How far somebody has chosen.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ChoicesQuery {
    /// The source; `default` where it is missing.
    source: Option<String>,
    /// The customer: its id at the source. Without it there is nothing to choose.
    customer: Option<String>,
    /// Its company.
    company: Option<i64>,
    /// One of the company's agreements.
    agreement: Option<i64>,
    /// Text in the name or identifier of companies.
    search: Option<String>,
}

/// A company to choose for the customer.
#[derive(Serialize, ToSchema)]
pub struct CompanyChoiceDoc {
    /// Its id in ConnectWise.
    company_id: i64,
    /// Its short unique text.
    identifier: String,
    /// Its name.
    name: String,
    /// Other customers of the source that it is mapped to.
    taken_by: Vec<String>,
    /// Whether it can be chosen.
    free: bool,
}

impl From<&CompanyChoice> for CompanyChoiceDoc {
    fn from(choice: &CompanyChoice) -> Self {
        Self {
            company_id: choice.company.id.0,
            identifier: choice.company.identifier.clone(),
            name: choice.company.name.clone(),
            taken_by: choice.taken_by.clone(),
            free: choice.free,
        }
    }
}

/// A product that is billed by the agreement's cycle.
#[derive(Serialize, ToSchema)]
pub struct ProductChoiceDoc {
    /// Its id at the source.
    product_id: String,
    /// Its billing cycle, as a scope of mappings names it: `1-month`.
    cycle: String,
    /// The customer's subscriptions of it.
    subscriptions: Vec<String>,
    /// The catalog item that it is mapped to.
    catalog_item_id: Option<i64>,
    /// The agreement that somebody chose for it, where that is another one.
    elsewhere: Option<i64>,
}

impl From<&ProductChoice> for ProductChoiceDoc {
    fn from(choice: &ProductChoice) -> Self {
        Self {
            product_id: choice.product.to_string(),
            cycle: choice.cycle.slug(),
            subscriptions: choice.subscriptions.iter().map(ToString::to_string).collect(),
            catalog_item_id: choice.item.map(|item| item.0),
            elsewhere: choice.elsewhere.map(|agreement| agreement.0),
        }
    }
}

/// What can be chosen.
#[derive(Serialize, ToSchema)]
pub struct ChoicesDoc {
    /// When ConnectWise was last read.
    read_at: Option<String>,
    /// Companies; none before a customer is chosen. At most 200; `search` narrows them.
    companies: Vec<CompanyChoiceDoc>,
    /// How many more companies there are.
    more_companies: usize,
    /// Agreements of the company; none before it is chosen.
    agreements: Vec<AgreementDoc>,
    /// How many of its agreements are not offered, by why.
    hidden_agreements: BTreeMap<String, usize>,
    /// The customer's products of the agreement's cycle; none before it is chosen.
    products: Vec<ProductChoiceDoc>,
    /// Catalog items that can be billed; none before an agreement is chosen.
    catalog_items: Vec<CatalogItemDoc>,
}

impl ChoicesDoc {
    fn of(found: &Choices, search: &str) -> Self {
        let search = search.trim().to_lowercase();
        let named = |choice: &&CompanyChoice| {
            let company = &choice.company;
            company.name.to_lowercase().contains(&search)
                || company.identifier.to_lowercase().contains(&search)
        };
        let companies: Vec<&CompanyChoice> = found.companies.iter().filter(named).collect();
        Self {
            read_at: found.read_at.map(instant),
            more_companies: companies.len().saturating_sub(MOST),
            companies: companies.into_iter().take(MOST).map(CompanyChoiceDoc::from).collect(),
            agreements: found.agreements.iter().map(AgreementDoc::from).collect(),
            hidden_agreements: found.hidden.clone(),
            products: found.products.iter().map(ProductChoiceDoc::from).collect(),
            catalog_items: found.items.iter().map(CatalogItemDoc::from).collect(),
        }
    }
}

/// What can be mapped, step by step
///
/// Customer, company, agreement, products: each list is empty until the one before was chosen from. What cannot be chosen
/// says why. As ConnectWise was last read; a run of kind `pull` brings that up to date.
#[utoipa::path(get, path = "/api/v1/organizations/{org}/mappings/choices", tag = "mappings",
    params(("org" = String, Path, description = "The organization"), ChoicesQuery),
    responses((status = 200, description = "What can be chosen", body = ChoicesDoc)))]
pub async fn choices(
    State(service): State<Service>,
    scope: Scope,
    Find(query): Find<ChoicesQuery>,
) -> Result<Json<ChoicesDoc>, Problem> {
    let source = source_of(query.source.as_deref())?;
    if let Some(customer) = &query.customer {
        let known = service.store.find_record(&scope.org, &source, RecordKind::Customer, customer).await?;
        known.ok_or_else(|| Problem::none("customer", customer))?;
    }
    let chosen = Chosen {
        customer: query.customer.map(CustomerId::from),
        company: query.company.map(CompanyId),
        agreement: query.agreement.map(AgreementId),
    };
    let found = choices::choices(site!(service, scope), &source, &chosen).await?;
    Ok(Json(ChoicesDoc::of(&found, query.search.as_deref().unwrap_or_default())))
}
