//! Making in ConnectWise what it lacks, from here.

use super::mapping_work::{Filling, RefusedMapping, kind_of, mapping, site};
use super::mappings::{MappingDoc, judged};
use crate::failure::CliError;
use crate::serve::extract::Body;
use crate::serve::problem::Problem;
use crate::serve::state::source_of;
use crate::serve::state::{Scope, Service, checked};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use trueup_domain::feed::{Record, RecordKind};
use trueup_domain::ids::{CustomerId, SourceId};
use trueup_domain::mapping::{Mapping, MappingKind};
use trueup_domain::psa::CompanyProfile;
use trueup_engine::mappings::Site;
use trueup_engine::mappings::create::{self as making, Wanted};
use trueup_engine::ports::{Clock, NewAgreement, NewCompany, NewItem, Store};
use utoipa::ToSchema;

/// What is to be made in ConnectWise.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCounterpart {
    /// `customer` makes its company, `product` its catalog item, `agreement` an agreement.
    kind: String,
    /// The source; `default` where it is missing.
    #[schema(max_length = 100)]
    source: Option<String>,
    /// Id at the source: of the customer or product; of the subscription, or `customer:ID`, for an agreement.
    #[schema(min_length = 1, max_length = 500)]
    source_id: String,
    /// For a product: a customer's id, or `cycle:1-year`; give the item of a cycle an identifier of its own.
    #[schema(max_length = 500)]
    scope: Option<String>,
    /// The short unique text; code, part number or id where it is missing.
    #[schema(max_length = 75)]
    identifier: Option<String>,
    /// The name; that of the source where it is missing.
    #[schema(max_length = 100)]
    name: Option<String>,
    /// The agreement's type; the tenant's default where it is missing.
    #[schema(max_length = 50)]
    agreement_type: Option<String>,
    /// What the customer lacks for a company, such as an address.
    fill: Option<Filling>,
    /// The connection; the nearest where it is missing.
    #[schema(max_length = 100)]
    connection: Option<String>,
}

/// What was made.
#[derive(Serialize, ToSchema)]
pub struct CounterpartDoc {
    /// Its id in ConnectWise.
    psa_id: i64,
    /// Whether it was made now; otherwise it was there.
    created: bool,
    /// What is known of a company that was made and did not go along: ConnectWise keeps it in records of their own.
    left_out: Vec<String>,
    /// The mapping to it.
    saved: Vec<MappingDoc>,
    /// The mapping, where it would break a rule.
    refused: Vec<RefusedMapping>,
}

/// Make in ConnectWise what it lacks
///
/// The company of a customer, the catalog item of a product or an agreement, and the mapping to it. It is looked up
/// first, and one that is the same is taken: asking again makes nothing twice. Where no answer came, TU7003 says so;
/// asked again, it is looked up before anything is sent, and sent again only once it is certain that it was not made.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/mappings/create", tag = "mappings",
    params(("org" = String, Path, description = "The organization")), request_body = NewCounterpart,
    responses((status = 200, description = "It is there", body = CounterpartDoc)))]
pub async fn create(
    State(service): State<Service>,
    scope: Scope,
    Body(body): Body<NewCounterpart>,
) -> Result<Json<CounterpartDoc>, Problem> {
    let kind = kind_of(&body.kind)?;
    let source = source_of(body.source.as_deref())?;
    let source_id = checked("source_id", &body.source_id, 500)?;
    let connection = body.connection.clone();
    // The form of the mapping is judged before anything is made for it.
    let form = Mapping {
        scope: body.scope.clone().unwrap_or_default(),
        ..mapping(kind, &source, source_id.clone(), 1)
    };
    let form = judged(&form)?;
    let wanted = wanted(&service, &scope, kind, (&source, &source_id), body).await?;
    let app = scope.app(&service);
    let (name, psa) = app.psa_to_write(connection.as_deref()).await.map_err(CliError::problem)?;
    let map = |id| Mapping { psa_id: Some(id), ..form.clone() };
    let made = making::make(site!(service, scope), (&name, psa.as_ref()), &wanted, map).await?;
    Ok(Json(CounterpartDoc {
        psa_id: made.id,
        created: made.created,
        left_out: if made.created { left_out(&wanted) } else { Vec::new() },
        saved: made.saved.saved.iter().map(MappingDoc::from).collect(),
        refused: made.saved.refused.iter().map(RefusedMapping::of).collect(),
    }))
}

/// A contact is a record of its own, and a country one of a list: neither is a field of a company that is made.
fn left_out(wanted: &Wanted) -> Vec<String> {
    let Wanted::Company(company) = wanted else { return Vec::new() };
    let of = |what: &str, value: &Option<String>| {
        value.as_ref().map(|value| format!("{what} `{value}`: enter it at the company in ConnectWise"))
    };
    [of("contact", &company.profile.contact), of("country", &company.profile.country)]
        .into_iter()
        .flatten()
        .collect()
}

async fn wanted(
    service: &Service,
    scope: &Scope,
    kind: MappingKind,
    (source, source_id): (&SourceId, &str),
    body: NewCounterpart,
) -> Result<Wanted, Problem> {
    let name = body.name.as_deref().map(|name| checked("name", name, 100)).transpose()?;
    let identifier = body.identifier.as_deref().map(|text| checked("identifier", text, 75)).transpose()?;
    let find = |kind, id: &str| {
        let id = id.to_owned();
        async move {
            let found = service.store.find_record(&scope.org, source, kind, &id).await?;
            found.map(|row| row.record).ok_or_else(|| Problem::none(kind.name(), &id))
        }
    };
    match kind {
        MappingKind::Customer => {
            let Record::Customer(customer) = find(RecordKind::Customer, source_id).await? else {
                return Err(Problem::none("customer", source_id));
            };
            let address = customer.address.unwrap_or(trueup_domain::feed::Address {
                line1: None,
                line2: None,
                city: None,
                region: None,
                postcode: None,
                country: None,
            });
            let code = identifier.or(customer.code).unwrap_or_else(|| customer.id.to_string());
            let mut profile = CompanyProfile {
                account_number: Some(customer.id.to_string()),
                tax_id: customer.tax_id,
                website: customer.website,
                email: customer.email,
                phone: customer.phone,
                street: address.line1,
                city: address.city,
                region: address.region,
                postcode: address.postcode,
                country: address.country,
                contact: customer.contact,
            };
            if let Some(given) = body.fill {
                profile.fill(&given.profile()?);
            }
            let name = name.unwrap_or(customer.name);
            let identifier = cut(&code, 156);
            Ok(Wanted::Company(Box::new(NewCompany { identifier, name, profile })))
        }
        MappingKind::Product => {
            let Record::Product(product) = find(RecordKind::Product, source_id).await? else {
                return Err(Problem::none("product", source_id));
            };
            let sku = product.sku.filter(|sku| !sku.trim().is_empty());
            Ok(Wanted::Item(NewItem {
                identifier: cut(&identifier.or(sku).unwrap_or_else(|| product.id.to_string()), 75),
                description: name.unwrap_or(product.name),
                price: product.unit_price,
                cost: product.unit_cost,
            }))
        }
        MappingKind::Agreement => {
            let (customer, start, billing_cycle, currency, usual) = match source_id.strip_prefix("customer:")
            {
                Some(customer) => (
                    CustomerId::from(customer),
                    service.clock.today(),
                    None,
                    None,
                    format!("Cloud {customer}"),
                ),
                None => {
                    let Record::Subscription(sold) = find(RecordKind::Subscription, source_id).await? else {
                        return Err(Problem::none("subscription", source_id));
                    };
                    let usual = sold.name.unwrap_or_else(|| format!("Subscription {source_id}"));
                    (sold.customer, sold.start, Some(sold.billing_cycle), Some(sold.currency), usual)
                }
            };
            let company = making::company_of(site!(service, scope), source, &customer).await?;
            let agreement_type =
                body.agreement_type.as_deref().map(|text| checked("agreement_type", text, 50)).transpose()?;
            let name = cut(&name.unwrap_or(usual), 100);
            Ok(Wanted::Agreement(NewAgreement {
                name,
                company,
                agreement_type,
                billing_cycle,
                currency,
                start,
            }))
        }
        MappingKind::Fee | MappingKind::Addition => {
            Err(Problem::field("kind", "only customer, product and agreement have a counterpart to make"))
        }
    }
}

fn cut(text: &str, length: usize) -> String {
    text.trim().chars().take(length).collect()
}
