//! Errors as RFC 9457 problem documents: the one error of all handlers.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::ops::{Deref, DerefMut};
use trueup_domain::finding::Code;
use trueup_domain::settings::SettingError;
use trueup_engine::apply::ApplyError;
use trueup_engine::failure::Failure;
use trueup_engine::ports::{PsaError, StoreError};
use utoipa::ToSchema;

/// The media type.
const MEDIA_TYPE: &str = "application/problem+json";

/// What the command line does, and the route that does it: what stops a request tells both, and a caller of the API has
/// the routes.
const BY_ROUTE: [(&str, &str, &str); 14] = [
    ("psa pull", "POST", "/runs"),
    ("apply --all", "POST", "/runs"),
    ("apply ID", "POST", "/runs"),
    ("plan list", "GET", "/plans"),
    ("audit list", "GET", "/audit"),
    ("task list", "GET", "/tasks"),
    ("task unignore", "POST", "/tasks/decide"),
    ("finding list", "GET", "/findings"),
    ("approval list", "GET", "/approvals"),
    ("mapping list", "GET", "/mappings"),
    ("setting list", "GET", "/settings"),
    ("connection add", "POST", "/connections"),
    ("quantity assign", "PUT", "/quantity/assignments"),
    ("quantity services", "GET", "/quantity"),
];

/// A way out as a caller of the API goes it.
fn by_route(fix: String) -> String {
    BY_ROUTE.iter().fold(fix, |fix, (command, method, end)| {
        let kind = match *command {
            "psa pull" => " {\"kind\": \"pull\"}",
            "apply --all" => " {\"kind\": \"sync\"}",
            "apply ID" => " {\"kind\": \"apply\"}",
            _ => "", // open set: these take what the reference page says
        };
        fix.replace(&format!("`trueup {command}`"), &format!("`{method} …{end}{kind}`"))
    })
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldFault {
    /// The field, dotted where it is nested.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Why a request was not carried out. In a box, because most requests are.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Problem(Box<ProblemDocument>);

impl Deref for Problem {
    type Target = ProblemDocument;
    fn deref(&self) -> &ProblemDocument {
        &self.0
    }
}

impl DerefMut for Problem {
    fn deref_mut(&mut self) -> &mut ProblemDocument {
        &mut self.0
    }
}

/// Why a request was not carried out.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDocument {
    /// Names the kind of problem; stable.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "urn:trueup:problem:not-found")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The status of the answer.
    #[schema(value_type = i32, minimum = 400, maximum = 599)]
    pub status: u16,
    /// What happened and why.
    pub detail: String,
    /// What to do.
    pub fix: String,
    /// The exception code, where one applies.
    #[schema(example = "TU9103")]
    pub code: Option<String>,
    /// What ConnectWise said, secrets masked.
    pub their_words: Option<String>,
    /// What is wrong with fields of the request.
    pub fields: Vec<FieldFault>,
    /// Seconds after which trying again makes sense.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}

impl Problem {
    /// There is nothing at a path.
    pub fn nothing_here() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "Not found",
            "there is nothing at this path",
            "The reference page at /docs shows what there is.",
        )
    }

    /// Of a kind.
    pub fn new(
        status: StatusCode,
        kind: &str,
        title: &str,
        detail: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self(Box::new(ProblemDocument {
            kind: format!("urn:trueup:problem:{kind}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            fix: by_route(fix.into()),
            code: None,
            their_words: None,
            fields: Vec::new(),
            retry_after: None,
        }))
    }

    /// With an exception code.
    pub fn coded(status: StatusCode, code: Code, detail: impl Into<String>) -> Self {
        let row = code.row();
        let mut problem = Self::new(status, row.name, row.title, detail, row.fix);
        problem.code = Some(code.to_string());
        problem
    }

    /// There is none, or none that the caller may know of: the two answers are the same.
    pub fn none(what: &str, id: &str) -> Self {
        let id: String = id.chars().take(100).collect();
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "Not found",
            format!("there is no {what} `{id}`"),
            "Check the id; the lists show what there is.",
        )
    }

    /// Nobody is signed in.
    pub fn unknown_caller(detail: &str) -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "not-signed-in",
            "Not signed in",
            detail,
            "Sign in, or send a token as `Authorization: Bearer`.",
        )
    }

    /// The caller is known and may not.
    pub fn forbidden(detail: impl Into<String>, fix: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed", detail, fix)
    }

    /// The request cannot be read.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "malformed",
            "The request cannot be read",
            detail,
            "Correct the request; the reference page shows its form.",
        )
    }

    /// A part of the request (`body`, `query`, `path`) holds the character NUL: databases take none.
    pub fn holds_nul(part: &str) -> Self {
        Self::field(part, "it holds the character NUL, which no text has")
    }

    /// A field has no usable value.
    pub fn field(field: &str, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        let mut problem = Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid",
            "A value cannot be used",
            format!("`{field}`: {reason}"),
            "Correct the value.",
        );
        problem.fields.push(FieldFault { field: field.to_owned(), reason });
        problem
    }

    /// The state of things does not allow it.
    pub fn conflict(detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", "Not possible at present", detail, fix)
    }

    /// Something of ours broke. The cause is in the log, under the request's id.
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Something went wrong here",
            "the request could not be carried out because of an error of the service",
            "Try again; where it stays, look in the log for the id in the header x-request-id.",
        )
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        if status.is_server_error() {
            tracing::error!(status = self.status, code = self.code.as_deref(), detail = %self.detail, "request failed");
        }
        let retry_after = self.retry_after;
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"trueup\""));
        }
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Conflict(what) => {
                Self::conflict(format!("{what} is there already"), "Choose another one.")
            }
            StoreError::Fenced => Self::conflict(error.to_string(), "Try again in a moment."),
            StoreError::Unfit(_) => Self::holds_nul("body"),
            StoreError::OutOfReach(_) | StoreError::NotWritable(_) | StoreError::InUse(_) => {
                // The database's words may name hosts and files; they are for the log.
                tracing::error!(%error, "the store failed");
                let code = error.code();
                let mut problem = Self::coded(StatusCode::SERVICE_UNAVAILABLE, code, code.row().title);
                problem.retry_after = Some(5);
                problem
            }
            StoreError::WrongVersion(_) | StoreError::KeyMissing(_) | StoreError::Damaged(_) => {
                tracing::error!(%error, "the store failed");
                let code = error.code();
                Self::coded(StatusCode::INTERNAL_SERVER_ERROR, code, code.row().title)
            }
        }
    }
}

impl From<PsaError> for Problem {
    fn from(error: PsaError) -> Self {
        let mut problem = Self::coded(StatusCode::BAD_GATEWAY, error.code, error.message);
        problem.their_words = error.their_words;
        problem
    }
}

impl From<SettingError> for Problem {
    fn from(error: SettingError) -> Self {
        Self::field("value", error.to_string())
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Store(error) => error.into(),
            Failure::Psa(error) => error.into(),
            Failure::Setting(error) => error.into(),
            Failure::Wrong { message, fix } => Self::conflict(message, fix),
        }
    }
}

impl From<ApplyError> for Problem {
    fn from(error: ApplyError) -> Self {
        let code = error.code();
        match error {
            ApplyError::Store(error) => error.into(),
            ApplyError::Psa(error) => error.into(),
            ApplyError::Unread(ref unread) => {
                let mut problem = Self::coded(StatusCode::BAD_GATEWAY, code, error.to_string());
                problem.their_words.clone_from(&unread.their_words);
                problem
            }
            ApplyError::NotChecked | ApplyError::Busy(_) | ApplyError::Waits(_) => {
                Self::coded(StatusCode::CONFLICT, code, error.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::rules;

    #[test]
    fn what_a_command_does_is_told_as_a_route_that_there_is() {
        let problem = Problem::conflict("nothing is known", "Run `trueup psa pull` first.");
        assert_eq!(problem.fix, "Run `POST …/runs {\"kind\": \"pull\"}` first.");
        for (command, method, end) in BY_ROUTE {
            let path = format!("/api/v1/organizations/{{org}}{end}");
            assert!(rules::find(method, &path).is_some(), "{command}: {method} {path}");
        }
    }
}
