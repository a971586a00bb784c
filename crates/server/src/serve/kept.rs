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
/// What is shown once, by the end of the path that makes it: the kept answer has it empty.
const SHOWN_ONCE: [(&str, &str); 6] = [
    ("/connections/{connection}/callback", "address"),
    ("/tokens", "token"),
    ("/users", "one_time_password"),
    ("/users/{user}/reset", "one_time_password"),
    ("/webhooks", "secret"),
    ("/webhooks/{webhook}/rotate", "secret"),
];

/// The field of a route's answer that is shown once.
fn shown_once(path: &str) -> Option<&'static str> {
    let end = path.strip_prefix("/api/v1/organizations/{org}")?;
    SHOWN_ONCE.iter().find(|(of, _)| *of == end).map(|(_, field)| *field)
}

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
pub async fn answer(service: &Service, rule: &Rule, key: String, request: Request, next: Next) -> Response {
    match try_answer(service, rule, &key, request, next).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn try_answer(
    service: &Service,
    rule: &Rule,
    key: &str,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
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
    if let Some(value) = shown_once(rule.path).and_then(|field| document.get_mut(field)) {
        *value = Value::Null;
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
    use super::{SHOWN_ONCE, shown_once};
    use crate::serve::docs;
    use crate::serve::rules::{Kind, RULES};
    use serde_json::Value;

    /// The document names the routes that show something once, whoever writes the next one; and it may be nothing.
    #[test]
    fn what_is_shown_once_is_not_kept() {
        let document = serde_json::to_value(docs::document()).unwrap();
        let mut found = 0;
        for rule in RULES.iter().filter(|rule| rule.kind == Kind::Makes) {
            let answers = &document["paths"][rule.path]["post"]["responses"];
            let made = ["200", "201", "202"]
                .iter()
                .find_map(|status| answers[status]["content"]["application/json"]["schema"]["$ref"].as_str());
            let name = made.and_then(|at| at.rsplit('/').next()).unwrap_or_default();
            let fields = document["components"]["schemas"][name]["properties"].as_object();
            let once = fields.into_iter().flatten().find(|(_, field)| {
                field["description"].as_str().is_some_and(|words| words.contains("shown once"))
            });
            assert_eq!(once.map(|(name, _)| name.as_str()), shown_once(rule.path), "{}", rule.path);
            if let Some((name, field)) = once {
                let empty =
                    field["type"].as_array().is_some_and(|kinds| kinds.contains(&Value::from("null")));
                assert!(empty, "{}: {name} is empty when it is answered again", rule.path);
                found += 1;
            }
        }
        assert_eq!(found, SHOWN_ONCE.len());
    }
}
