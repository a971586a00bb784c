//! What handlers take from a request, with problems instead of bare refusals.

use super::problem::Problem;
use super::state::{Caller, Scope};
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use serde::de::{DeserializeOwned, IgnoredAny};
use std::sync::Arc;

impl<S: Send + Sync> FromRequestParts<S> for Scope {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(Problem::internal)
    }
}

/// Whoever calls.
pub struct Known(pub Arc<Caller>);

impl<S: Send + Sync> FromRequestParts<S> for Known {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Arc<Caller>>().cloned().map(Self).ok_or_else(Problem::internal)
    }
}

/// The query.
pub struct Find<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Find<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Query(query) = Query::try_from_uri(&parts.uri)
            .map_err(|e| Problem::malformed(format!("the query cannot be read: {}", e.body_text())))?;
        Ok(Self(query))
    }
}

/// A JSON body.
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        // Forms of foreign pages cannot send this type without asking first.
        if kind.split(';').next().map(str::trim) != Some("application/json") {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "media-type",
                "Not JSON",
                "the body has to be JSON, and `Content-Type` has to say so",
                "Send `Content-Type: application/json`.",
            ));
        }
        let bytes = bytes(request, state).await?;
        // The reader would also take the fields of an object as a list in their order, which is nobody's contract.
        let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
        if first.is_some_and(|byte| *byte != b'{') && serde_json::from_slice::<IgnoredAny>(&bytes).is_ok() {
            return Err(Problem::field("body", "it is no JSON object"));
        }
        let mut reader = serde_json::Deserializer::from_slice(&bytes);
        match serde_path(&mut reader) {
            Ok(body) => Ok(Self(body)),
            Err(error) if error.is_data() => {
                let mut problem = Problem::field("body", error.to_string());
                problem.fields.clear();
                Err(problem)
            }
            Err(error) => Err(Problem::malformed(format!("the body is not JSON: {error}"))),
        }
    }
}

fn serde_path<'a, T: DeserializeOwned>(
    reader: &mut serde_json::Deserializer<serde_json::de::SliceRead<'a>>,
) -> Result<T, serde_json::Error> {
    let value = T::deserialize(&mut *reader)?;
    reader.end()?;
    Ok(value)
}

/// The bytes of a body, as far as the limit lets.
///
/// # Errors
/// The body is too long, or breaks off.
pub async fn bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state).await.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            too_large()
        } else {
            Problem::malformed("the body broke off")
        }
    })
}

/// The body is longer than the route takes.
pub fn too_large() -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too-large",
        "The body is too long",
        "the body is longer than this route takes",
        "Send it in parts.",
    )
}
