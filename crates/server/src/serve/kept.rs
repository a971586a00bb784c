//! `Idempotency-Key`: the same request with the same key is carried out once and answered again with the same answer.

use super::extract;
use super::problem::Problem;
use super::rules::{Kind, Rule};
use super::secrets;
use super::state::{Caller, Scope, Service};
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use trueup_domain::ids::OrganizationId;
use trueup_engine::ports::Clock;
use trueup_engine::records::Millis;
use trueup_store::{Asked, KeptAnswer};

/// The header.
pub const HEADER: &str = "idempotency-key";
/// On an answer that was given before.
const REPLAYED: &str = "idempotency-replayed";
/// A key is remembered so long.
const REMEMBERED_MS: Millis = 24 * 60 * 60 * 1_000;
/// Bodies of routes that make something.
pub const LONGEST_BODY: usize = 1024 * 1024;
/// Answers longer than this are not kept; none of the routes gives such.
const LONGEST_ANSWER: usize = 16 * 1024 * 1024;
/// Fields of an answer that are shown once: the kept answer has them empty.
const SHOWN_ONCE: [&str; 4] = ["token", "one_time_password", "address", "secret"];

/// An answer as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    location: Option<String>,
    body: Value,
}

/// The key of a request, where the route takes one and the request has one.
///
/// # Errors
/// A key that is empty, too long or not printable.
pub fn key_of(rule: &Rule, headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(HEADER).filter(|_| rule.kind == Kind::Makes) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text.is_empty() || text.len() > 255 || text.contains('\t') {
        return Err(Problem::field("Idempotency-Key", "it needs 1 to 255 printable ASCII characters"));
    }
    Ok(Some(text.to_owned()))
}

/// Carries the request out, or answers from memory.
pub async fn answer(service: &Service, key: String, request: Request, next: Next) -> Response {
    match try_answer(service, &key, request, next).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn try_answer(service: &Service, key: &str, request: Request, next: Next) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let caller = parts.extensions.get::<Arc<Caller>>().cloned().ok_or_else(Problem::internal)?;
    let scope = parts.extensions.get::<Scope>();
    let org: OrganizationId = scope.map_or_else(|| caller.audit_home(), |scope| scope.org.clone());
    let bytes = to_bytes(body, LONGEST_BODY).await.map_err(|_| extract::too_large())?;
    let target = parts.uri.path_and_query().map_or("", |p| p.as_str());
    let asked = format!("{} {target}\n{}", parts.method, String::from_utf8_lossy(&bytes));
    let now = service.clock.now();
    let whose = (caller.id.as_str(), key);
    let known =
        service.store.begin_answer(&org, whose, &secrets::hash(&asked), now, now - REMEMBERED_MS).await?;
    match known {
        Asked::First => {}
        Asked::Answered(kept) => return again(&kept),
        Asked::Running => {
            let mut problem = Problem::conflict(
                "a request with this Idempotency-Key is being carried out",
                "Wait for its answer.",
            );
            problem.retry_after = Some(1);
            return Err(problem);
        }
        Asked::Differently => {
            return Err(Problem::conflict(
                "this Idempotency-Key came with another request before",
                "Use a new key for a new request.",
            ));
        }
    }
    let response = next.run(Request::from_parts(parts, Body::from(bytes))).await;
    if !response.status().is_success() {
        // Nothing was made: the corrected request may use the key.
        service.store.end_answer(&org, whose, None).await?;
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, LONGEST_ANSWER).await.map_err(|_| Problem::internal())?;
    let mut document: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    for field in SHOWN_ONCE {
        if let Some(value) = document.get_mut(field) {
            *value = Value::Null;
        }
    }
    let location = parts.headers.get(header::LOCATION).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let kept = Kept { location, body: document };
    let body = serde_json::to_string(&kept).map_err(|_| Problem::internal())?;
    let kept = KeptAnswer { status: parts.status.as_u16(), body };
    service.store.end_answer(&org, whose, Some(&kept)).await?;
    Ok(Response::from_parts(parts, Body::from(bytes)))
}

fn again(kept: &KeptAnswer) -> Result<Response, Problem> {
    let document: Kept = serde_json::from_str(&kept.body).map_err(|_| Problem::internal())?;
    let status = StatusCode::from_u16(kept.status).map_err(|_| Problem::internal())?;
    let mut response = (status, axum::Json(document.body)).into_response();
    let headers = response.headers_mut();
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    if let Some(location) = document.location.and_then(|text| HeaderValue::from_str(&text).ok()) {
        headers.insert(header::LOCATION, location);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::SHOWN_ONCE;
    use crate::serve::docs;
    use serde_json::Value;
    use std::collections::BTreeSet;

    /// Every field of the document that says it is shown once, wherever it stands.
    fn shown_once(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                for (name, field) in map {
                    let said = field["description"].as_str().unwrap_or_default();
                    // A route's description may say so of its answer; a field has a type.
                    if said.contains("shown once") && field.get("type").is_some() {
                        found.insert(name.clone());
                    }
                    shown_once(field, found);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| shown_once(item, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn what_is_shown_once_is_not_kept() {
        let document = serde_json::to_value(docs::document()).unwrap();
        let mut found = BTreeSet::new();
        shown_once(&document["components"]["schemas"], &mut found);
        assert_eq!(found, SHOWN_ONCE.iter().map(|name| (*name).to_owned()).collect());
    }
}
