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
        if parts.uri.query().is_some_and(|query| query.contains("%00")) {
            return Err(Problem::holds_nul("query"));
        }
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
        if holds_nul(&bytes) {
            return Err(Problem::holds_nul("body"));
        }
        // The reader would also take the fields of an object as a list in their order, which is nobody's contract.
        let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
        if first.is_some_and(|byte| *byte != b'{') && serde_json::from_slice::<IgnoredAny>(&bytes).is_ok() {
            return Err(Problem::field("body", "it is no JSON object"));
        }
        match read(&bytes).or_else(|error| match whole_numbers(&bytes).filter(|_| error.is_data()) {
            Some(rewritten) => read(&rewritten),
            None => Err(error),
        }) {
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

/// Whether a text of some JSON holds the character NUL: databases take none.
fn holds_nul(json: &[u8]) -> bool {
    let mut escaped = false;
    json.iter().enumerate().any(|(at, byte)| {
        let begins = escaped && json.get(at..at + 5).is_some_and(|escape| escape == b"u0000");
        escaped = *byte == b'\\' && !escaped;
        begins
    })
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = T::deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// The same JSON with `12.0` written `12`, where there is such a number: JSON has one kind of number, and programs write
/// a whole one either way. The text is changed and not its values, so that what is named twice is still seen.
fn whole_numbers(json: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(json.len());
    let (mut in_text, mut escaped, mut at) = (false, false, 0);
    while let Some(&byte) = json.get(at) {
        let before_is_digit = at.checked_sub(1).and_then(|at| json.get(at)).is_some_and(u8::is_ascii_digit);
        if !in_text && byte == b'.' && before_is_digit {
            let zeros = json.iter().skip(at + 1).take_while(|b| **b == b'0').count();
            let after = json.get(at + 1 + zeros).copied().unwrap_or(b' ');
            if zeros > 0 && !after.is_ascii_digit() && !matches!(after, b'e' | b'E') {
                at += 1 + zeros;
                continue;
            }
        }
        (in_text, escaped) = match (byte, escaped) {
            (b'"', false) => (!in_text, false),
            (b'\\', false) => (in_text, in_text),
            _ => (in_text, false), // open set: bytes
        };
        out.push(byte);
        at += 1;
    }
    (out.len() < json.len()).then_some(out)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nul_is_seen_and_its_name_is_none() {
        assert!(holds_nul(br#"{"a": "x\u0000"}"#) && holds_nul(br#"{"a": "\\\u0000"}"#));
        assert!(!holds_nul(br#"{"a": "\\u0000", "b": "u0000", "c": "\u0001"}"#));
    }

    #[test]
    fn a_whole_number_may_have_a_point() {
        let read = |json: &str| whole_numbers(json.as_bytes()).map(|b| String::from_utf8(b).unwrap());
        assert_eq!(read(r#"{"days": 30.0, "ids": [1.00,-2.0]}"#).unwrap(), r#"{"days": 30, "ids": [1,-2]}"#);
        assert_eq!(read(r#"{"a": "1.0", "b": "\"2.0\\", "c": 1.05, "d": 1.0e3, "e": 10.50}"#), None);
    }
}
