//! The tree of organizations.

use crate::config::slug;
use crate::serve::extract::{Body, Find, Known};
use crate::serve::gate::within_reach;
use crate::serve::page::{self, Page};
use crate::serve::problem::Problem;
use crate::serve::state::{Scope, Service, checked};
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeSet;
use trueup_domain::ids::OrganizationId;
use trueup_engine::organizations::{self, Tree};
use trueup_engine::ports::{Store, StoreError};
use trueup_engine::records::OrganizationRow;
use utoipa::{IntoParams, ToSchema};

/// An organization.
#[derive(Debug, Serialize, ToSchema)]
pub struct OrganizationDoc {
    /// The slug: its id everywhere.
    id: String,
    /// Display name.
    name: String,
    /// `operator`, `partner`, `customer` or `site`.
    kind: String,
    /// The organization above, where the caller may know it.
    parent: Option<String>,
}

impl From<&OrganizationRow> for OrganizationDoc {
    fn from(row: &OrganizationRow) -> Self {
        Self {
            id: row.id.to_string(),
            name: row.name.clone(),
            kind: row.kind.clone(),
            parent: row.parent.as_ref().map(ToString::to_string),
        }
    }
}

/// A new organization.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOrganization {
    /// The slug.
    #[schema(min_length = 1, max_length = 64, pattern = "^[a-z0-9_-]{1,64}$")]
    id: String,
    /// Display name; the slug where it is missing.
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
    /// What it is: never more than the one above. Where it is missing, a site below customers and sites, else a partner.
    #[schema(pattern = "^(operator|partner|customer|site)$")]
    kind: Option<String>,
    /// The organization above; only operators may leave it out.
    parent: Option<String>,
}

/// What can be changed about an organization.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrganizationChange {
    /// Display name.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
}

/// Which organizations are listed.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OrganizationQuery {
    /// Text in slug or name.
    search: Option<String>,
    /// Rows of a page.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// Where the page begins.
    cursor: Option<String>,
}

/// The tree, as far as the caller sees it
///
/// Every row names the one above it; a row whose parent is not listed is a top of what the caller sees.
#[utoipa::path(get, path = "/api/v1/organizations", tag = "organizations", params(OrganizationQuery),
    responses((status = 200, description = "By slug", body = Page<OrganizationDoc>)))]
pub async fn list(
    State(service): State<Service>,
    Known(caller): Known,
    Find(query): Find<OrganizationQuery>,
) -> Result<Json<Page<OrganizationDoc>>, Problem> {
    let limit = page::limit(query.limit)?;
    let after = page::decode(query.cursor.as_deref())?;
    let all = service.store.list_organizations().await?;
    let seen = below(&all, caller.home.as_ref());
    let search = query.search.unwrap_or_default().trim().to_lowercase();
    let rows: Vec<&OrganizationRow> = all
        .iter()
        .filter(|row| seen.contains(&row.id))
        .filter(|row| row.id.as_str().contains(&search) || row.name.to_lowercase().contains(&search))
        .collect();
    let mark = |row: &&OrganizationRow| (String::new(), row.id.to_string());
    Ok(Json(Page::cut(rows, limit, after.as_ref(), mark, |row| seen_from(row, &seen))?))
}

/// What stands above the caller's own organization is none of its business.
fn seen_from(row: &OrganizationRow, seen: &BTreeSet<OrganizationId>) -> OrganizationDoc {
    let mut document = OrganizationDoc::from(row);
    if row.parent.as_ref().is_none_or(|parent| !seen.contains(parent)) {
        document.parent = None;
    }
    document
}

pub(super) fn below(all: &[OrganizationRow], home: Option<&OrganizationId>) -> BTreeSet<OrganizationId> {
    match home {
        Some(home) => Tree::of(all).below(home).into_iter().collect(),
        None => all.iter().map(|row| row.id.clone()).collect(),
    }
}

/// Add an organization
#[utoipa::path(post, path = "/api/v1/organizations", tag = "organizations", request_body = NewOrganization,
    responses((status = 201, description = "Added", body = OrganizationDoc)))]
pub async fn add(
    State(service): State<Service>,
    Known(caller): Known,
    Body(body): Body<NewOrganization>,
) -> Result<Response, Problem> {
    let id = slug(&body.id)
        .map_err(|_| Problem::field("id", "use 1 to 64 lower-case letters, digits, `-` and `_`"))?;
    let parent = body.parent.map(OrganizationId::from);
    match &parent {
        Some(parent) => within_reach(&service, &caller, parent).await?,
        None if caller.home.is_some() => {
            return Err(Problem::field(
                "parent",
                "name the organization above: only operators add one at the top",
            ));
        }
        None => {}
    }
    let above = match &parent {
        Some(parent) => service.store.find_organization(parent).await?,
        None => None,
    };
    let kind = body.kind.unwrap_or_else(|| organizations::usual_kind(above.as_ref()).to_owned());
    organizations::may_stand_below(&kind, above.as_ref())
        .map_err(|wrong| Problem::field("kind", wrong.to_string()))?;
    let name = match body.name {
        Some(name) => checked("name", &name, 200)?,
        None => id.to_string(),
    };
    let row = OrganizationRow { id, name, kind, parent };
    // A taken slug may be a foreign one: the answer says no more than that it is taken.
    let added = service.store.add_organization(&row).await;
    if matches!(added, Err(StoreError::Conflict(_))) {
        taken(&service, &caller.actor, &caller.audit_home(), format!("organization/{}", row.id)).await?;
    }
    added?;
    let document = OrganizationDoc::from(&row);
    let object = format!("organization/{}", row.id);
    let told =
        |detail: &serde_json::Value| service.entry(&caller.actor, "organization.add", object.clone(), detail);
    if let Some(parent) = &row.parent {
        service.store.append_audit(parent, &[told(&json!(document))]).await?;
    }
    // Its people may not know of the levels above them.
    let own = OrganizationDoc { parent: None, ..OrganizationDoc::from(&row) };
    service.store.append_audit(&row.id, &[told(&json!(own))]).await?;
    let location = format!("/api/v1/organizations/{}", row.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(document)).into_response())
}

/// Notes in the audit that somebody asked for a name that is taken: who tries many of them wants to know whose they are.
///
/// # Errors
/// The store's.
pub(super) async fn taken(
    service: &Service,
    actor: &str,
    org: &OrganizationId,
    object: String,
) -> Result<(), StoreError> {
    let entry = service.entry(actor, "access.taken", object, &json!({}));
    service.store.append_audit(org, &[entry]).await
}

/// One organization
#[utoipa::path(get, path = "/api/v1/organizations/{org}", tag = "organizations",
    params(("org" = String, Path, description = "The organization")),
    responses((status = 200, description = "The organization", body = OrganizationDoc)))]
pub async fn show(State(service): State<Service>, scope: Scope) -> Result<Json<OrganizationDoc>, Problem> {
    let row = service
        .store
        .find_organization(&scope.org)
        .await?
        .ok_or_else(|| Problem::none("organization", scope.org.as_str()))?;
    let mut document = OrganizationDoc::from(&row);
    if scope.caller.home.as_ref() == Some(&row.id) {
        document.parent = None;
    }
    Ok(Json(document))
}

/// Rename an organization
#[utoipa::path(patch, path = "/api/v1/organizations/{org}", tag = "organizations",
    params(("org" = String, Path, description = "The organization")), request_body = OrganizationChange,
    responses((status = 200, description = "Renamed", body = OrganizationDoc)))]
pub async fn rename(
    State(service): State<Service>,
    scope: Scope,
    Body(body): Body<OrganizationChange>,
) -> Result<Json<OrganizationDoc>, Problem> {
    let name = checked("name", &body.name, 200)?;
    let before = service.store.find_organization(&scope.org).await?.map(|row| row.name);
    let detail = json!({ "before": before, "after": name });
    let object = format!("organization/{}", scope.org);
    let entry = service.entry(scope.actor(), "organization.rename", object, &detail);
    service.store.rename_organization(&scope.org, &name, &entry).await?;
    show(State(service), scope).await
}
