//! Tokens of programs.

use crate::output::documents::instant;
use crate::serve::extract::Body;
use crate::serve::problem::Problem;
use crate::serve::rights::Right;
use crate::serve::secrets;
use crate::serve::state::{By, Scope, Service, checked};
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use trueup_engine::ports::Clock;
use trueup_store::ApiToken;
use utoipa::ToSchema;

/// Days a token holds where none are named.
const USUAL_DAYS: u32 = 365;
/// Days a token holds at most.
const MOST_DAYS: u32 = 3_650;
const DAY_MS: i64 = 86_400_000;

/// A token, without its value.
#[derive(Serialize, ToSchema)]
pub struct TokenDoc {
    /// Id.
    id: String,
    /// What it is for.
    name: String,
    /// Its first characters, to tell it by.
    prefix: String,
    /// What it may do.
    rights: Vec<String>,
    /// Id of the person who made it.
    created_by: String,
    /// When.
    created_at: String,
    /// When it ends.
    expires_at: Option<String>,
    /// When it was last used, to the minute.
    last_used_at: Option<String>,
    /// When it was revoked.
    revoked_at: Option<String>,
    /// Its value; shown once.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl From<&ApiToken> for TokenDoc {
    fn from(token: &ApiToken) -> Self {
        Self {
            id: token.id.clone(),
            name: token.name.clone(),
            prefix: token.prefix.clone(),
            rights: token.rights.clone(),
            created_by: token.created_by.clone(),
            created_at: instant(token.created_at),
            expires_at: token.expires_at.map(instant),
            last_used_at: token.last_used_at.map(instant),
            revoked_at: token.revoked_at.map(instant),
            token: None,
        }
    }
}

/// Tokens.
#[derive(Serialize, ToSchema)]
pub struct TokensDoc {
    /// Newest first.
    items: Vec<TokenDoc>,
}

/// A new token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What it is for.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// What it may do, such as `feed.write`; none more than the person who makes it.
    #[schema(min_items = 1, max_items = 100)]
    rights: Vec<String>,
    /// Days until it ends.
    #[schema(minimum = 1, maximum = 3650)]
    days: Option<u32>,
}

/// The tokens of an organization
#[utoipa::path(get, path = "/api/v1/organizations/{org}/tokens", tag = "tokens",
    params(("org" = String, Path, description = "The organization")),
    responses((status = 200, description = "Without their values", body = TokensDoc)))]
pub async fn list(State(service): State<Service>, scope: Scope) -> Result<Json<TokensDoc>, Problem> {
    let all = service.store.list_tokens(&scope.org).await?;
    Ok(Json(TokensDoc { items: all.iter().map(TokenDoc::from).collect() }))
}

/// Make a token
///
/// The answer has its value, which is shown once.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/tokens", tag = "tokens",
    params(("org" = String, Path, description = "The organization")), request_body = NewToken,
    responses((status = 201, description = "With its value, shown once", body = TokenDoc)))]
pub async fn add(
    State(service): State<Service>,
    scope: Scope,
    Body(body): Body<NewToken>,
) -> Result<Response, Problem> {
    if !matches!(scope.caller.by, By::Session(_)) {
        return Err(Problem::forbidden("a token makes no tokens", "Sign in as a person."));
    }
    let name = checked("name", &body.name, 100)?;
    let days = body.days.unwrap_or(USUAL_DAYS);
    if !(1..=MOST_DAYS).contains(&days) {
        return Err(Problem::field("days", format!("{days} is not between 1 and {MOST_DAYS}")));
    }
    let mut rights = Vec::new();
    for word in &body.rights {
        let right = Right::from_name(word)
            .ok_or_else(|| Problem::field("rights", format!("`{word}` is no right")))?;
        if !scope.caller.rights.contains(&right) {
            return Err(Problem::forbidden(format!("you do not have the right `{word}`"), "Leave it out."));
        }
        rights.push(right);
    }
    rights.sort_unstable();
    rights.dedup();
    if rights.is_empty() {
        return Err(Problem::field("rights", "name at least one"));
    }
    let now = service.clock.now();
    let value = format!("tu_{}", secrets::random());
    let token = ApiToken {
        org: scope.org.clone(),
        id: uuid::Uuid::now_v7().simple().to_string(),
        name,
        prefix: value.chars().take(10).collect(),
        hash: secrets::hash(&value),
        rights: rights.iter().map(|r| r.name().to_owned()).collect(),
        created_by: scope.caller.id.clone(),
        created_at: now,
        expires_at: Some(now.saturating_add(i64::from(days) * DAY_MS)),
        last_used_at: None,
        revoked_at: None,
    };
    let detail = json!({ "name": token.name, "prefix": token.prefix, "rights": token.rights, "days": days });
    let entry = service.entry(scope.actor(), "token.add", format!("token/{}", token.id), &detail);
    service.store.add_token(&token, &entry).await?;
    let location = format!("/api/v1/organizations/{}/tokens/{}", scope.org, token.id);
    let document = TokenDoc { token: Some(value), ..TokenDoc::from(&token) };
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(document)).into_response())
}

/// Revoke a token
#[utoipa::path(delete, path = "/api/v1/organizations/{org}/tokens/{token}", tag = "tokens",
    params(("org" = String, Path, description = "The organization"), ("token" = String, Path, description = "The token")),
    responses((status = 204, description = "Revoked")))]
pub async fn revoke(State(service): State<Service>, scope: Scope) -> Result<StatusCode, Problem> {
    let id = scope.part("token");
    let entry = service.entry(scope.actor(), "token.revoke", format!("token/{id}"), &json!({}));
    if service.store.revoke_token(&scope.org, id, service.clock.now(), &entry).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::none("token", id))
    }
}
