//! Work on mappings: accepting proposals, releasing with what hangs on them, their history, companies as customers.

use super::jobs;
use super::mappings::{MappingDoc, judged};
use crate::output::documents::instant;
use crate::serve::extract::{Body, Find};
use crate::serve::problem::Problem;
use crate::serve::state::source_of;
use crate::serve::state::{Scope, Service, checked};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::finding::Code;
use trueup_domain::ids::{CompanyId, SourceId};
use trueup_domain::mapping::{Mapping, MappingKind, MappingOrigin};
use trueup_domain::mapping_rules::{Conflict, MappingKey, key_of};
use trueup_domain::psa::CompanyProfile;
use trueup_engine::mappings::import::{self, Candidate};
use trueup_engine::mappings::release::{self as releasing, Impact, Selection};
use trueup_engine::mappings::{self, Judging, Saved, Site};
use trueup_engine::ports::Store;
use utoipa::{IntoParams, ToSchema};

/// Runs `work` with the site of a request.
macro_rules! site {
    ($service:ident, $scope:ident) => {
        Site {
            store: $service.store.as_ref(),
            clock: &$service.clock,
            org: &$scope.org,
            actor: &$scope.app(&$service).options.actor,
            overlays: &$service.options.overlays,
        }
    };
}
pub(super) use site;

/// A mapping that was not saved, and why.
#[derive(Serialize, ToSchema)]
pub struct RefusedMapping {
    /// The kind.
    #[schema(value_type = String)]
    kind: &'static str,
    /// Id at the source.
    source_id: String,
    /// Id in ConnectWise.
    psa_id: Option<i64>,
    /// The exception code.
    #[schema(example = "TU2007")]
    code: String,
    /// What is wrong.
    reason: String,
    /// What to do.
    fix: String,
}

impl RefusedMapping {
    pub(super) fn of((mapping, conflict): &(Mapping, Conflict)) -> Self {
        Self::because(mapping, conflict.message.clone(), conflict.fix.clone())
    }

    fn because(mapping: &Mapping, reason: String, fix: String) -> Self {
        Self {
            kind: mapping.kind.name(),
            source_id: mapping.source_id.clone(),
            psa_id: mapping.psa_id,
            code: Code::Tu2007.to_string(),
            reason,
            fix,
        }
    }
}

/// What became of mappings that were to be saved.
#[derive(Serialize, ToSchema)]
pub struct AcceptedDoc {
    /// Saved.
    saved: Vec<MappingDoc>,
    /// Not saved, because a rule would be broken.
    refused: Vec<RefusedMapping>,
    /// Tasks that stand elsewhere now.
    tasks_moved: usize,
}

impl AcceptedDoc {
    fn of(saved: &Saved) -> Self {
        Self {
            saved: saved.saved.iter().map(MappingDoc::from).collect(),
            refused: saved.refused.iter().map(RefusedMapping::of).collect(),
            tasks_moved: saved.moved.len(),
        }
    }
}

/// Proposals that are accepted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Acceptance {
    /// The source; `default` where it is missing.
    #[schema(max_length = 100)]
    source: Option<String>,
    /// Which.
    #[schema(min_items = 1, max_items = 1000)]
    items: Vec<AcceptedItem>,
    /// Whether several of them may be mapped to one, where the settings allow it.
    #[serde(default)]
    several_to_one: bool,
}

/// One proposal that is accepted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptedItem {
    /// `customer` or `product`.
    kind: String,
    /// Id at the source.
    #[schema(min_length = 1, max_length = 500)]
    source_id: String,
    /// Id in ConnectWise.
    #[schema(minimum = 1)]
    psa_id: i64,
    /// For a product: a customer's id, or `cycle:1-year`.
    #[schema(max_length = 500)]
    scope: Option<String>,
}

/// Accept proposals
///
/// All at once. Two records are never mapped to one silently: such proposals are refused, each with what to do, unless
/// `several_to_one` says that it is meant; the rules of the settings hold in any case.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/mappings/suggestions/accept", tag = "mappings",
    params(("org" = String, Path, description = "The organization")), request_body = Acceptance,
    responses((status = 200, description = "What was saved", body = AcceptedDoc)))]
pub async fn accept(
    State(service): State<Service>,
    scope: Scope,
    Body(body): Body<Acceptance>,
) -> Result<Json<AcceptedDoc>, Problem> {
    if body.items.is_empty() || body.items.len() > 1000 {
        return Err(Problem::field("items", "1 to 1000 of them"));
    }
    let source = source_of(body.source.as_deref())?;
    let mut wanted = Vec::new();
    for item in &body.items {
        let kind = match MappingKind::from_name(&item.kind) {
            Some(kind @ (MappingKind::Customer | MappingKind::Product)) => kind,
            Some(_) | None => return Err(Problem::field("kind", "proposals are of customer or product")),
        };
        let source_id = checked("source_id", &item.source_id, 500)?;
        if item.psa_id < 1 {
            return Err(Problem::field("psa_id", "a whole number above 0"));
        }
        let scope = item.scope.clone().unwrap_or_default();
        wanted.push(judged(&Mapping { scope, ..mapping(kind, &source, source_id, item.psa_id) })?);
    }
    let known = service.store.list_mappings(&scope.org).await?;
    let mut refused = settled(&mut wanted, &known);
    if !body.several_to_one {
        refused.extend(crowded(&mut wanted, &known, &source));
    }
    let done = mappings::save(site!(service, scope), &wanted, Judging::ByRules).await?;
    let mut document = AcceptedDoc::of(&done);
    document.refused.extend(refused);
    Ok(Json(document))
}

/// Takes out what is mapped to something else by now: a proposal is for what is not mapped.
fn settled(wanted: &mut Vec<Mapping>, known: &[Mapping]) -> Vec<RefusedMapping> {
    let mut refused = Vec::new();
    wanted.retain(|m| {
        let there = known.iter().find(|k| key_of(k) == key_of(m) && k.psa_id != m.psa_id);
        if let Some(there) = there {
            let to =
                there.psa_id.map_or_else(|| "is not billed".to_owned(), |id| format!("is mapped to {id}"));
            refused.push(RefusedMapping::because(
                m,
                format!("{} {} {to} already", m.kind.name(), m.source_id),
                "Release that mapping first, where this one is right.".into(),
            ));
        }
        there.is_none()
    });
    refused
}

/// Takes out what would map two records to one, or one to two.
fn crowded(wanted: &mut Vec<Mapping>, known: &[Mapping], source: &SourceId) -> Vec<RefusedMapping> {
    let chosen: BTreeSet<MappingKey> = wanted.iter().map(key_of).collect();
    let staying = known.iter().filter(|m| &m.source == source && !chosen.contains(&key_of(m)));
    let mut users: BTreeMap<(MappingKind, i64), BTreeSet<String>> = BTreeMap::new();
    let mut targets: BTreeMap<MappingKey, BTreeSet<i64>> = BTreeMap::new();
    for m in staying.chain(wanted.iter()) {
        if let Some(id) = m.psa_id {
            users.entry((m.kind, id)).or_default().insert(m.source_id.clone());
        }
    }
    for m in wanted.iter() {
        targets.entry(key_of(m)).or_default().extend(m.psa_id);
    }
    let mut refused = Vec::new();
    wanted.retain(|m| {
        let users = m.psa_id.and_then(|id| users.get(&(m.kind, id))).filter(|all| all.len() > 1);
        let torn = targets.get(&key_of(m)).is_some_and(|all| all.len() > 1);
        let (reason, fix) = match (users, torn) {
            (Some(users), _) => {
                let all = users.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
                (
                    format!("{} would be mapped to the same record: {all}", m.kind.name()),
                    "Choose one of them, or accept with several_to_one where it is meant.",
                )
            }
            (None, true) => (
                format!("{} {} would be mapped to several records", m.kind.name(), m.source_id),
                "Choose one of them.",
            ),
            (None, false) => return true,
        };
        refused.push(RefusedMapping::because(m, reason, fix.to_owned()));
        false
    });
    refused
}

pub(super) fn mapping(kind: MappingKind, source: &SourceId, source_id: String, psa_id: i64) -> Mapping {
    Mapping {
        kind,
        source: source.clone(),
        source_id,
        psa_id: Some(psa_id),
        scope: String::new(),
        options: BTreeMap::new(),
        origin: MappingOrigin::Person,
    }
}

/// Which mapping would be released.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReleaseQuery {
    /// The kind.
    kind: String,
    /// The source; `default` where it is missing.
    source: Option<String>,
    /// Id at the source.
    source_id: String,
    /// The scope of a product's mapping.
    scope: Option<String>,
    /// Whether what hangs on it goes as well: an agreement's products, a customer's agreements and their products.
    cascade: Option<bool>,
}

impl ReleaseQuery {
    fn selection(self) -> Result<Selection, Problem> {
        Ok(Selection {
            kind: kind_of(&self.kind)?,
            source: source_of(self.source.as_deref())?,
            source_id: self.source_id,
            scope: self.scope.unwrap_or_default(),
            cascade: self.cascade.unwrap_or(false),
        })
    }
}

pub(super) fn kind_of(name: &str) -> Result<MappingKind, Problem> {
    MappingKind::from_name(name)
        .ok_or_else(|| Problem::field("kind", format!("`{name}` is no kind of mapping")))
}

/// An open task that stands on a mapping.
#[derive(Serialize, ToSchema)]
pub struct TouchedTask {
    /// Id.
    id: String,
    /// Customer.
    customer: String,
    /// Subscription.
    subscription: String,
    /// State.
    #[schema(value_type = String)]
    state: &'static str,
}

/// A line that bills on and that nothing changes any more.
#[derive(Serialize, ToSchema)]
pub struct TouchedLine {
    /// The addition.
    addition_id: i64,
    /// Its agreement.
    agreement_id: i64,
    /// Subscription.
    subscription: String,
    /// Product.
    product: String,
    /// How many.
    quantity: String,
    /// Price of one for one cycle.
    unit_price: String,
}

/// What a release touches.
#[derive(Serialize, ToSchema)]
pub struct ImpactDoc {
    /// The mappings that go.
    mappings: Vec<MappingDoc>,
    /// Open tasks that stand on them: they wait for a mapping again.
    tasks: Vec<TouchedTask>,
    /// Lines that bill on: they stay in ConnectWise as they are.
    lines: Vec<TouchedLine>,
    /// Releases exactly this, and nothing else.
    token: String,
}

impl From<&Impact> for ImpactDoc {
    fn from(impact: &Impact) -> Self {
        Self {
            mappings: impact.mappings.iter().map(MappingDoc::from).collect(),
            tasks: impact
                .tasks
                .iter()
                .map(|task| TouchedTask {
                    id: task.id.to_string(),
                    customer: task.customer.to_string(),
                    subscription: task.subscription.to_string(),
                    state: task.state.name(),
                })
                .collect(),
            lines: impact
                .lines
                .iter()
                .map(|line| TouchedLine {
                    addition_id: line.addition.0,
                    agreement_id: line.agreement.0,
                    subscription: line.subscription.to_string(),
                    product: line.product.to_string(),
                    quantity: line.written.quantity.display(),
                    unit_price: line.written.unit_price.decimal().to_string(),
                })
                .collect(),
            token: impact.token.clone(),
        }
    }
}

/// Show what a release would touch
///
/// Nothing is released. The token in the answer releases exactly what is shown.
#[utoipa::path(get, path = "/api/v1/organizations/{org}/mappings/release", tag = "mappings",
    params(("org" = String, Path, description = "The organization"), ReleaseQuery),
    responses((status = 200, description = "What it would touch", body = ImpactDoc)))]
pub async fn foresee(
    State(service): State<Service>,
    scope: Scope,
    Find(query): Find<ReleaseQuery>,
) -> Result<Json<ImpactDoc>, Problem> {
    let selection = query.selection()?;
    known(&service, &scope, &selection).await?;
    let impact = releasing::foresee(site!(service, scope), &selection).await?;
    Ok(Json(ImpactDoc::from(&impact)))
}

pub(super) async fn known(service: &Service, scope: &Scope, selection: &Selection) -> Result<(), Problem> {
    let all = service.store.list_mappings(&scope.org).await?;
    let found = all.iter().any(|m| {
        m.kind == selection.kind
            && m.source == selection.source
            && m.source_id == selection.source_id
            && m.scope == selection.scope
    });
    if found { Ok(()) } else { Err(Problem::none("mapping", &selection.source_id)) }
}

/// A release.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRelease {
    /// The kind.
    kind: String,
    /// The source; `default` where it is missing.
    #[schema(max_length = 100)]
    source: Option<String>,
    /// Id at the source.
    #[schema(min_length = 1, max_length = 500)]
    source_id: String,
    /// The scope of a product's mapping.
    #[schema(max_length = 500)]
    scope: Option<String>,
    /// Whether what hangs on it goes as well.
    #[serde(default)]
    cascade: bool,
    /// The token of what was shown.
    #[schema(min_length = 1, max_length = 100)]
    token: String,
    /// Why; it goes into the audit.
    #[schema(min_length = 1, max_length = 1000)]
    reason: String,
}

/// Release mappings as they were shown
///
/// ConnectWise is not touched: lines stay as they are. What was released is in the history.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/mappings/release", tag = "mappings",
    params(("org" = String, Path, description = "The organization")), request_body = NewRelease,
    responses((status = 200, description = "What was released", body = ImpactDoc)))]
pub async fn release_shown(
    State(service): State<Service>,
    scope: Scope,
    Body(body): Body<NewRelease>,
) -> Result<Json<ImpactDoc>, Problem> {
    let reason = checked("reason", &body.reason, 1000)?;
    let selection = Selection {
        kind: kind_of(&body.kind)?,
        source: source_of(body.source.as_deref())?,
        source_id: body.source_id,
        scope: body.scope.unwrap_or_default(),
        cascade: body.cascade,
    };
    known(&service, &scope, &selection).await?;
    jobs::stand_off(&service, &scope, &selection).await?;
    let impact = releasing::release(site!(service, scope), &selection, &body.token, &reason).await?;
    Ok(Json(ImpactDoc::from(&impact)))
}

/// A version of a mapping.
#[derive(Serialize, ToSchema)]
pub struct MappingVersionDoc {
    /// Counts from 1, over releases.
    version: i64,
    /// What it said.
    mapping: MappingDoc,
    /// When it was saved.
    saved_at: String,
    /// When it was replaced or released; none for the one in force.
    ended_at: Option<String>,
}

/// The versions of a mapping.
#[derive(Serialize, ToSchema)]
pub struct MappingHistoryDoc {
    /// The newest first.
    items: Vec<MappingVersionDoc>,
}

/// The history of a mapping
#[utoipa::path(get, path = "/api/v1/organizations/{org}/mappings/history", tag = "mappings",
    params(("org" = String, Path, description = "The organization"), super::mappings::WhichMapping),
    responses((status = 200, description = "Every version", body = MappingHistoryDoc)))]
pub async fn history(
    State(service): State<Service>,
    scope: Scope,
    Find(which): Find<super::mappings::WhichMapping>,
) -> Result<Json<MappingHistoryDoc>, Problem> {
    let source = source_of(which.source.as_deref())?;
    let of = which.scope.unwrap_or_default();
    let kind = kind_of(&which.kind)?;
    let versions = service.store.mapping_history(&scope.org, (kind, &source, &which.source_id, &of)).await?;
    if versions.is_empty() {
        return Err(Problem::none("mapping", &which.source_id));
    }
    let items = versions
        .iter()
        .map(|v| MappingVersionDoc {
            version: v.version,
            mapping: MappingDoc::from(&v.mapping),
            saved_at: instant(v.saved_at),
            ended_at: v.ended_at.map(instant),
        })
        .collect();
    Ok(Json(MappingHistoryDoc { items }))
}

/// A company, and whether it can become a customer.
#[derive(Serialize, ToSchema)]
pub struct CompanyDoc {
    /// The company.
    company_id: i64,
    /// Its short unique text.
    identifier: String,
    /// Its name.
    name: String,
    /// The customers that it is already.
    customers: Vec<String>,
    /// What is missing for a customer.
    missing: Vec<String>,
}

impl From<&Candidate> for CompanyDoc {
    fn from(candidate: &Candidate) -> Self {
        Self {
            company_id: candidate.company.id.0,
            identifier: candidate.company.identifier.clone(),
            name: candidate.company.name.clone(),
            customers: candidate.customers.clone(),
            missing: candidate.missing.iter().map(|field| (*field).to_owned()).collect(),
        }
    }
}

/// Companies of ConnectWise.
#[derive(Serialize, ToSchema)]
pub struct CompaniesDoc {
    /// When they were read; a run of kind `pull` reads them anew.
    read_at: String,
    /// By their ids.
    items: Vec<CompanyDoc>,
}

/// Companies that can become customers
///
/// Those in use, as last read of ConnectWise, each with what is missing.
#[utoipa::path(get, path = "/api/v1/organizations/{org}/companies", tag = "mappings",
    params(("org" = String, Path, description = "The organization"), super::mappings::OfSource),
    responses((status = 200, description = "The companies", body = CompaniesDoc)))]
pub async fn companies(
    State(service): State<Service>,
    scope: Scope,
    Find(of): Find<super::mappings::OfSource>,
) -> Result<Json<CompaniesDoc>, Problem> {
    let (at, all) = import::candidates(site!(service, scope), &source_of(of.source.as_deref())?).await?;
    Ok(Json(CompaniesDoc { read_at: instant(at), items: all.iter().map(CompanyDoc::from).collect() }))
}

/// What a company lacks, given by hand.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Filling {
    /// Name of the main contact.
    #[schema(max_length = 200)]
    contact: Option<String>,
    /// Address that invoices go to.
    #[schema(max_length = 200)]
    email: Option<String>,
    /// Telephone.
    #[schema(max_length = 200)]
    phone: Option<String>,
    /// Street.
    #[schema(max_length = 200)]
    street: Option<String>,
    /// City.
    #[schema(max_length = 200)]
    city: Option<String>,
    /// State or region.
    #[schema(max_length = 200)]
    region: Option<String>,
    /// Postcode.
    #[schema(max_length = 200)]
    postcode: Option<String>,
    /// Country.
    #[schema(max_length = 200)]
    country: Option<String>,
}

impl Filling {
    pub(super) fn profile(self) -> Result<CompanyProfile, Problem> {
        let text = |field: &str, text: Option<String>| {
            text.filter(|t| !t.trim().is_empty()).map(|t| checked(field, &t, 200)).transpose()
        };
        Ok(CompanyProfile {
            contact: text("fill.contact", self.contact)?,
            email: text("fill.email", self.email)?,
            phone: text("fill.phone", self.phone)?,
            street: text("fill.street", self.street)?,
            city: text("fill.city", self.city)?,
            region: text("fill.region", self.region)?,
            postcode: text("fill.postcode", self.postcode)?,
            country: text("fill.country", self.country)?,
            ..CompanyProfile::default()
        })
    }
}

/// Which companies become customers.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CompanyImport {
    /// The source; `default` where it is missing.
    #[schema(max_length = 100)]
    source: Option<String>,
    /// These; all that are complete where it is missing.
    #[schema(max_items = 1000)]
    company_ids: Option<Vec<i64>>,
    /// What the one company lacks.
    fill: Option<Filling>,
}

/// What an import of companies did.
#[derive(Serialize, ToSchema)]
pub struct CompanyImportDoc {
    /// The mappings of the new customers.
    saved: Vec<MappingDoc>,
    /// Customers whose mapping would break a rule.
    refused: Vec<RefusedMapping>,
    /// Companies that were left out, with what is missing.
    incomplete: Vec<CompanyDoc>,
    /// Companies that are customers already.
    known: Vec<CompanyDoc>,
    /// Companies that are not there, or not in use.
    unknown: Vec<i64>,
}

/// Import companies as customers
///
/// One, some or all; complete ones alone. A company that is a customer already is left alone.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/companies/import", tag = "mappings",
    params(("org" = String, Path, description = "The organization")), request_body = CompanyImport,
    responses((status = 200, description = "What was imported", body = CompanyImportDoc)))]
pub async fn import_companies(
    State(service): State<Service>,
    scope: Scope,
    Body(body): Body<CompanyImport>,
) -> Result<Json<CompanyImportDoc>, Problem> {
    let ids: Option<Vec<CompanyId>> = body.company_ids.map(|ids| ids.into_iter().map(CompanyId).collect());
    let mut given = BTreeMap::new();
    if let Some(fill) = body.fill {
        let Some([one]) = ids.as_deref() else {
            return Err(Problem::field("fill", "it belongs to one company; name exactly one"));
        };
        given.insert(*one, fill.profile()?);
    }
    let source = source_of(body.source.as_deref())?;
    let done =
        import::import(site!(service, scope), &source, ids.as_deref(), &given, trueup_sources::incoming)
            .await?;
    Ok(Json(CompanyImportDoc {
        saved: done.saved.saved.iter().map(MappingDoc::from).collect(),
        refused: done.saved.refused.iter().map(RefusedMapping::of).collect(),
        incomplete: done.incomplete.iter().map(CompanyDoc::from).collect(),
        known: done.known.iter().map(CompanyDoc::from).collect(),
        unknown: done.unknown.iter().map(|id| id.0).collect(),
    }))
}
