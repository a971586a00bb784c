//! Moving an organization in the tree: what that would change, and the move of exactly that.

use super::organizations;
use crate::moving::{MoveDoc, Mover};
use crate::serve::extract::{Body, Find};
use crate::serve::gate::within_reach;
use crate::serve::problem::Problem;
use crate::serve::scheduler;
use crate::serve::state::{Scope, Service};
use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use std::collections::BTreeSet;
use trueup_domain::ids::OrganizationId;
use trueup_engine::ports::Store;
use utoipa::{IntoParams, ToSchema};

/// Where an organization would go.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MoveQuery {
    /// The organization above; the top where it is missing, which is for operators alone.
    parent: Option<String>,
}

/// A move as it was shown.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMove {
    /// The organization above; the top where it is missing, which is for operators alone.
    parent: Option<String>,
    /// The token under which it was shown.
    #[schema(min_length = 1, max_length = 64)]
    token: String,
}

/// What a move would change
///
/// Nothing is changed by asking. What is below moves along. `obstacles` says why it cannot be moved: what is mapped and
/// written stands in the ConnectWise of the connection that holds now.
#[utoipa::path(get, path = "/api/v1/organizations/{org}/move", tag = "organizations",
    params(("org" = String, Path, description = "The organization"), MoveQuery),
    responses((status = 200, description = "What would change", body = MoveDoc)))]
pub async fn foresee(
    State(service): State<Service>,
    scope: Scope,
    Find(query): Find<MoveQuery>,
) -> Result<Json<MoveDoc>, Problem> {
    let parent = place(&service, &scope, query.parent).await?;
    let actor = scope.app(&service).actor().to_owned();
    let document = mover(&service, &actor).foresee(&scope.org, parent.as_ref()).await?;
    Ok(Json(document.seen_by(&seen(&service, &scope).await?)))
}

/// Move an organization as it was shown
///
/// ConnectWise is not touched. What writes by schedule and inherits something otherwise now waits until somebody lets it
/// go on.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/move", tag = "organizations",
    params(("org" = String, Path, description = "The organization")), request_body = NewMove,
    responses((status = 200, description = "What changed", body = MoveDoc)))]
pub async fn carry_out(
    State(service): State<Service>,
    scope: Scope,
    Body(body): Body<NewMove>,
) -> Result<Json<MoveDoc>, Problem> {
    let parent = place(&service, &scope, body.parent).await?;
    let actor = scope.app(&service).actor().to_owned();
    let document = mover(&service, &actor).carry_out(&scope.org, parent.as_ref(), &body.token).await?;
    scheduler::refresh(&service).await?;
    Ok(Json(document.seen_by(&seen(&service, &scope).await?)))
}

fn mover<'a>(service: &'a Service, actor: &'a str) -> Mover<'a> {
    let (store, clock, overlays) = (&*service.store, &service.clock, &service.options.overlays);
    Mover { store, clock, overlays, actor }
}

/// A place that the caller may give to the organization of the path.
async fn place(
    service: &Service,
    scope: &Scope,
    parent: Option<String>,
) -> Result<Option<OrganizationId>, Problem> {
    if scope.caller.home.as_ref() == Some(&scope.org) {
        return Err(Problem::conflict(
            "whoever works in an organization does not move it",
            "Ask somebody of the organization above.",
        ));
    }
    match parent.map(OrganizationId::from) {
        Some(parent) => {
            within_reach(service, &scope.caller, &parent).await?;
            Ok(Some(parent))
        }
        None if scope.caller.home.is_some() => {
            Err(Problem::field("parent", "name the organization above: only operators place one at the top"))
        }
        None => Ok(None),
    }
}

/// The organizations that the caller sees.
async fn seen(service: &Service, scope: &Scope) -> Result<BTreeSet<OrganizationId>, Problem> {
    let all = service.store.list_organizations().await?;
    Ok(organizations::below(&all, scope.caller.home.as_ref()))
}
