//! The audit, and why an addition is what it is.

use crate::commands::audit::{EntryDoc, document_of};
use crate::serve::extract::Find;
use crate::serve::page::{self, Page};
use crate::serve::problem::Problem;
use crate::serve::state::{Scope, Service};
use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::Value;
use trueup_domain::ids::AdditionId;
use trueup_engine::explain::explain;
use trueup_engine::failure::Failure;
use trueup_engine::records::AuditEntry;
use trueup_store::AuditPage;
use utoipa::IntoParams;

/// Which entries are listed.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// Of this addition.
    addition: Option<i64>,
    /// By this person or program, as the audit names it.
    actor: Option<String>,
    /// Of an action that begins so.
    #[param(example = "setting.")]
    action: Option<String>,
    /// Rows of a page.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// Where the page begins.
    cursor: Option<String>,
}

/// The audit of an organization, the newest entries first
#[utoipa::path(get, path = "/api/v1/organizations/{org}/audit", tag = "audit",
    params(("org" = String, Path, description = "The organization"), AuditQuery),
    responses((status = 200, description = "A page", body = Page<EntryDoc>)))]
pub async fn list(
    State(service): State<Service>,
    scope: Scope,
    Find(query): Find<AuditQuery>,
) -> Result<Json<Page<EntryDoc>>, Problem> {
    let limit = page::limit(query.limit)?;
    let before = match page::decode(query.cursor.as_deref())? {
        Some((_, number)) => {
            Some(number.parse().map_err(|_| Problem::field("cursor", "it was not given by this list"))?)
        }
        None => None,
    };
    let wanted = AuditPage {
        addition: query.addition.map(AdditionId),
        actor: query.actor,
        action: query.action,
        before,
        limit: limit + 1,
    };
    let rows = service.store.page_audit(&scope.org, &wanted).await?;
    let mark = |entry: &AuditEntry| (String::new(), entry.number.to_string());
    Ok(Json(Page::of(rows, limit, mark, |entry| EntryDoc::from(&entry))))
}

/// Every value of an addition, with formula, inputs and source record
#[utoipa::path(get, path = "/api/v1/organizations/{org}/additions/{addition}/explanation", tag = "audit",
    params(("org" = String, Path, description = "The organization"),
        ("addition" = i64, Path, description = "The addition's id in ConnectWise")),
    responses((status = 200, description = "The explanation", body = Object)))]
pub async fn explanation(State(service): State<Service>, scope: Scope) -> Result<Json<Value>, Problem> {
    let text = scope.part("addition");
    let none = || Problem::none("addition", text);
    let addition = AdditionId(text.parse().map_err(|_| none())?);
    match explain(service.store.as_ref(), &scope.org, addition).await {
        Ok(explanation) => Ok(Json(document_of(addition, &explanation))),
        Err(Failure::Wrong { .. }) => Err(none()),
        Err(failure) => Err(failure.into()),
    }
}
