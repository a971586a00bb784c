//! Mappings: what at the source is what in ConnectWise.

use super::feed::RefusalDoc;
use super::jobs;
use super::mapping_work::{known, site};
use super::tasks::words;
use crate::commands::mapping::suggest::{self, Proposal};
use crate::failure::CliError;
use crate::mapping_csv;
use crate::serve::extract::{Body, Find, bytes};
use crate::serve::page::{self, Page};
use crate::serve::problem::Problem;
use crate::serve::state::source_of;
use crate::serve::state::{Scope, Service};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use trueup_domain::finding::Code;
use trueup_domain::ids::SourceId;
use trueup_domain::mapping::{Mapping, MappingKind, MappingOrigin};
use trueup_domain::mapping_rules::Conflict;
use trueup_engine::mappings::release::{self as releasing, Selection};
use trueup_engine::mappings::{self, Judging, Site};
use trueup_engine::ports::Store;
use utoipa::{IntoParams, ToSchema};

/// A mapping.
#[derive(Debug, Serialize, ToSchema)]
pub struct MappingDoc {
    /// `customer`, `product`, `agreement`, `fee` or `addition`.
    #[schema(value_type = String)]
    kind: &'static str,
    /// The source.
    source: String,
    /// Id at the source.
    source_id: String,
    /// Id in ConnectWise; none where it is not billed.
    psa_id: Option<i64>,
    /// A customer or a billing cycle that a product's mapping holds for.
    scope: String,
    /// Options, such as `do_not_bill`.
    options: BTreeMap<String, String>,
    /// `person`, `automatic` or `adopted`.
    #[schema(value_type = String)]
    origin: &'static str,
}

impl From<&Mapping> for MappingDoc {
    fn from(mapping: &Mapping) -> Self {
        Self {
            kind: mapping.kind.name(),
            source: mapping.source.to_string(),
            source_id: mapping.source_id.clone(),
            psa_id: mapping.psa_id,
            scope: mapping.scope.clone(),
            options: mapping.options.clone(),
            origin: match mapping.origin {
                MappingOrigin::Person => "person",
                MappingOrigin::Automatic => "automatic",
                MappingOrigin::Adopted => "adopted",
            },
        }
    }
}

/// A mapping to save.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMapping {
    /// `customer`, `product`, `agreement`, `fee` or `addition`.
    kind: String,
    /// The source; `default` where it is missing.
    #[schema(max_length = 100)]
    source: Option<String>,
    /// Id at the source.
    #[schema(max_length = 500)]
    source_id: String,
    /// Id in ConnectWise.
    #[schema(minimum = 1)]
    psa_id: Option<i64>,
    /// A customer or a billing cycle (`cycle:1-month`) that a product's mapping holds for.
    #[schema(max_length = 500)]
    scope: Option<String>,
    /// Options, such as `do_not_bill` with its reason.
    options: Option<BTreeMap<String, String>>,
}

/// Which mappings are listed.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MappingQuery {
    /// Of these kinds, separated by commas.
    kind: Option<String>,
    /// Of this source.
    source: Option<String>,
    /// Of exactly this id at the source.
    source_id: Option<String>,
    /// Text in the id at the source or in ConnectWise.
    search: Option<String>,
    /// Rows of a page.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// Where the page begins.
    cursor: Option<String>,
}

/// Which mapping is meant.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WhichMapping {
    /// The kind.
    pub(super) kind: String,
    /// The source; `default` where it is missing.
    pub(super) source: Option<String>,
    /// Id at the source.
    pub(super) source_id: String,
    /// The scope of a product's mapping.
    pub(super) scope: Option<String>,
}

/// Of which source.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OfSource {
    /// The source; `default` where it is missing.
    pub(super) source: Option<String>,
}

/// What an import did.
#[derive(Serialize, ToSchema)]
pub struct MappingImportDoc {
    /// Mappings saved.
    saved: usize,
    /// Rows that were refused.
    refused: Vec<RefusalDoc>,
    /// Rules that the saved ones break: what stands on them waits. And what was not saved, because the mapping that stands
    /// has to be released first.
    conflicts: Vec<ConflictDoc>,
    /// What is to be thought over of the saved ones; nothing waits for it.
    remarks: Vec<ConflictDoc>,
}

/// A mapping as it was saved.
#[derive(Serialize, ToSchema)]
pub struct SavedMappingDoc {
    #[serde(flatten)]
    mapping: MappingDoc,
    /// What is to be thought over; nothing waits for it.
    remarks: Vec<ConflictDoc>,
}

/// Mappings that break a rule together.
#[derive(Serialize, ToSchema)]
pub struct ConflictDoc {
    /// The exception code.
    #[schema(example = "TU2007")]
    code: String,
    /// What is wrong.
    reason: String,
    /// What to do.
    fix: String,
}

impl From<&Conflict> for ConflictDoc {
    fn from(conflict: &Conflict) -> Self {
        let code = Code::Tu2007.to_string();
        Self { code, reason: conflict.message.clone(), fix: conflict.fix.clone() }
    }
}

/// Proposals.
#[derive(Serialize, ToSchema)]
pub struct ProposalsDoc {
    /// The best of each record first.
    items: Vec<Proposal>,
}

/// The mappings of an organization
#[utoipa::path(get, path = "/api/v1/organizations/{org}/mappings", tag = "mappings",
    params(("org" = String, Path, description = "The organization"), MappingQuery),
    responses((status = 200, description = "A page", body = Page<MappingDoc>)))]
pub async fn list(
    State(service): State<Service>,
    scope: Scope,
    Find(query): Find<MappingQuery>,
) -> Result<Json<Page<MappingDoc>>, Problem> {
    let limit = page::limit(query.limit)?;
    let after = page::decode(query.cursor.as_deref())?;
    let kinds = words("kind", query.kind.as_deref(), MappingKind::from_name)?;
    let search = query.search.unwrap_or_default().to_lowercase();
    let mut all = service.store.list_mappings(&scope.org).await?;
    all.retain(|m| {
        (kinds.is_empty() || kinds.contains(&m.kind))
            && query.source.as_ref().is_none_or(|source| m.source.as_str() == source)
            && query.source_id.as_ref().is_none_or(|id| &m.source_id == id)
            && (m.source_id.to_lowercase().contains(&search)
                || m.psa_id.is_some_and(|id| id.to_string().contains(&search)))
    });
    let mark =
        |m: &Mapping| (format!("{}/{}", m.kind.name(), m.source), format!("{}/{}", m.source_id, m.scope));
    Ok(Json(Page::cut(all, limit, after.as_ref(), mark, |m| MappingDoc::from(&m))?))
}

/// A mapping that would break a rule.
fn conflicting(conflict: &Conflict) -> Problem {
    let mut problem = Problem::coded(StatusCode::CONFLICT, Code::Tu2007, conflict.message.clone());
    problem.fix.clone_from(&conflict.fix);
    problem
}

/// Save a mapping
///
/// One of the same kind, source, id and scope is replaced; the old one goes to history. One that would break a rule of
/// the settings (`mapping.…`) is refused with TU2007.
#[utoipa::path(put, path = "/api/v1/organizations/{org}/mappings", tag = "mappings",
    params(("org" = String, Path, description = "The organization")), request_body = NewMapping,
    responses((status = 200, description = "Saved", body = SavedMappingDoc)))]
pub async fn set(
    State(service): State<Service>,
    scope: Scope,
    Body(body): Body<NewMapping>,
) -> Result<Json<SavedMappingDoc>, Problem> {
    let kind = MappingKind::from_name(&body.kind)
        .ok_or_else(|| Problem::field("kind", format!("`{}` is no kind of mapping", body.kind)))?;
    let wanted = Mapping {
        kind,
        source: source_of(body.source.as_deref())?,
        source_id: body.source_id.trim().to_owned(),
        psa_id: body.psa_id,
        scope: body.scope.unwrap_or_default().trim().to_owned(),
        options: body.options.unwrap_or_default(),
        origin: MappingOrigin::Person,
    };
    let wanted = judged(&wanted)?;
    let site = site!(service, scope);
    let done = mappings::save(site, std::slice::from_ref(&wanted), Judging::ByRules).await?;
    if let Some((_, conflict)) = done.refused.first() {
        return Err(conflicting(conflict));
    }
    let mapping = MappingDoc::from(done.saved.first().unwrap_or(&wanted));
    Ok(Json(SavedMappingDoc { mapping, remarks: done.remarks.iter().map(ConflictDoc::from).collect() }))
}

/// A mapping is judged by the rules of the file: what is refused there is refused here.
pub(super) fn judged(wanted: &Mapping) -> Result<Mapping, Problem> {
    let text = mapping_csv::write([wanted]).map_err(|_| Problem::internal())?;
    let mut parsed = mapping_csv::parse(text.as_bytes(), "-", &wanted.source);
    if let Some(refusal) = parsed.refused.first() {
        return Err(Problem::field(refusal.field.as_deref().unwrap_or("body"), refusal.reason.clone()));
    }
    parsed.mappings.pop().ok_or_else(|| Problem::field("source_id", "it is empty"))
}

/// Release a mapping
#[utoipa::path(delete, path = "/api/v1/organizations/{org}/mappings", tag = "mappings",
    params(("org" = String, Path, description = "The organization"), WhichMapping),
    responses((status = 204, description = "Released; it is in the history")))]
pub async fn release(
    State(service): State<Service>,
    scope: Scope,
    Find(which): Find<WhichMapping>,
) -> Result<StatusCode, Problem> {
    let selection = Selection {
        kind: MappingKind::from_name(&which.kind)
            .ok_or_else(|| Problem::field("kind", format!("`{}` is no kind of mapping", which.kind)))?,
        source: source_of(which.source.as_deref())?,
        source_id: which.source_id,
        scope: which.scope.unwrap_or_default(),
        cascade: false,
    };
    known(&service, &scope, &selection).await?;
    jobs::stand_off(&service, &scope, &selection).await?;
    releasing::release_alone(site!(service, scope), &selection).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Import mappings
///
/// CSV with the header `kind,source_id,psa_id,scope,options`. Bad rows are refused with their line; the others are
/// saved. Rules that they break are told (TU2007), and what stands on such mappings waits.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/mappings/import", tag = "mappings",
    params(("org" = String, Path, description = "The organization"), OfSource),
    request_body(content = String, content_type = "text/csv"),
    responses((status = 200, description = "What was saved", body = MappingImportDoc)))]
pub async fn import(
    State(service): State<Service>,
    scope: Scope,
    Find(of): Find<OfSource>,
    request: Request,
) -> Result<Json<MappingImportDoc>, Problem> {
    let text = bytes(request, &service).await?;
    if text.trim_ascii().is_empty() {
        return Err(Problem::field("body", "it is empty"));
    }
    let parsed = mapping_csv::parse(text.as_ref(), "-", &source_of(of.source.as_deref())?);
    let done = mappings::save(site!(service, scope), &parsed.mappings, Judging::ByForm).await?;
    Ok(Json(MappingImportDoc {
        saved: done.saved.len(),
        refused: parsed.refused.iter().map(RefusalDoc::from).collect(),
        conflicts: done.unsettled().map(ConflictDoc::from).collect(),
        remarks: done.remarks.iter().map(ConflictDoc::from).collect(),
    }))
}

/// Export mappings
#[utoipa::path(get, path = "/api/v1/organizations/{org}/mappings/export", tag = "mappings",
    params(("org" = String, Path, description = "The organization"), OfSource),
    responses((status = 200, description = "CSV", content_type = "text/csv", body = String)))]
pub async fn export(
    State(service): State<Service>,
    scope: Scope,
    Find(of): Find<OfSource>,
) -> Result<Response, Problem> {
    let source: SourceId = source_of(of.source.as_deref())?;
    let mut all = service.store.list_mappings(&scope.org).await?;
    all.retain(|m| m.source == source);
    let text = mapping_csv::write(&all).map_err(|_| Problem::internal())?;
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"mappings.csv\""),
    ];
    Ok((headers, text).into_response())
}

/// Suggestions for what is not mapped yet
///
/// By name, domain, tax id, code and part number, from the feed and what was last read of ConnectWise; each with its
/// reasons and how sure they make.
#[utoipa::path(get, path = "/api/v1/organizations/{org}/mappings/suggestions", tag = "mappings",
    params(("org" = String, Path, description = "The organization"), OfSource),
    responses((status = 200, description = "Proposals", body = ProposalsDoc)))]
pub async fn suggestions(
    State(service): State<Service>,
    scope: Scope,
    Find(of): Find<OfSource>,
) -> Result<Json<ProposalsDoc>, Problem> {
    let source = source_of(of.source.as_deref())?;
    let items = suggest::find(&scope.app(&service), &source).await.map_err(CliError::problem)?;
    Ok(Json(ProposalsDoc { items }))
}
