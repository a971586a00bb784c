//! The vendor's error bodies.

use crate::json::{Json, object};

/// One entry of the `errors` array.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Detail {
    /// `MissingRequiredField`, `MaxLengthField`, `NotFound`, ...
    pub code: &'static str,
    /// The sentence.
    pub message: String,
    /// The object's name.
    pub resource: String,
    /// The field.
    pub field: String,
}

impl Detail {
    /// An entry.
    pub(crate) fn new(
        code: &'static str,
        message: impl Into<String>,
        resource: &str,
        field: impl Into<String>,
    ) -> Self {
        Detail { code, message: message.into(), resource: resource.to_owned(), field: field.into() }
    }
}

/// An answer that is not a success.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ApiError {
    /// The HTTP status.
    pub status: u16,
    /// The `code` member.
    pub code: &'static str,
    /// The `message` member.
    pub message: String,
    /// The `errors` member, left out when empty.
    pub errors: Vec<Detail>,
}

impl ApiError {
    /// An error without details.
    pub(crate) fn plain(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        ApiError { status, code, message: message.into(), errors: Vec::new() }
    }

    /// `400 <name> object is invalid`.
    pub(crate) fn invalid(name: &str, errors: Vec<Detail>) -> Self {
        ApiError { status: 400, code: "InvalidObject", message: format!("{name} object is invalid"), errors }
    }

    /// The 404 of a record that is not there.
    pub(crate) fn not_found(label: &str, id: impl std::fmt::Display) -> Self {
        Self::plain(404, "NotFound", format!("{label} {id} not found"))
    }

    /// The 404 of a path that is not there.
    pub(crate) fn no_endpoint() -> Self {
        Self::plain(404, "ConnectWiseApi", "The endpoint does not exist.")
    }

    /// The 403 of a role without the right; it never names the right.
    pub(crate) fn forbidden() -> Self {
        Self::plain(403, "Security", "You do not have security permission to perform this action.")
    }

    /// The 409 of a record that is in use.
    pub(crate) fn conflict() -> Self {
        Self::plain(409, "ConnectWiseApi", "Record possibly in use or another conflict with the record")
    }

    /// The 500 of a value of the wrong JSON type. Not retryable although it is a 500.
    pub(crate) fn converting(value: &Json, wanted: &str, path: &str) -> Self {
        let shown = match value {
            Json::Str(text) => text.clone(),
            other => other.to_text(),
        };
        Self::plain(
            500,
            "ConnectWiseApi",
            format!(
                "Error converting value \"{shown}\" to type '{wanted}'. Path '{path}', line 1, position 1."
            ),
        )
    }

    /// The body.
    pub(crate) fn body(&self) -> Json {
        let mut body = object([
            ("code", self.code.into()),
            ("message", self.message.as_str().into()),
            ("errors", Json::Null),
        ]);
        if self.errors.is_empty() {
            if let Json::Obj(members) = &mut body {
                members.pop();
            }
        } else {
            let errors = self
                .errors
                .iter()
                .map(|detail| {
                    object([
                        ("code", detail.code.into()),
                        ("message", detail.message.as_str().into()),
                        ("resource", detail.resource.as_str().into()),
                        ("field", detail.field.as_str().into()),
                    ])
                })
                .collect();
            body.set("errors", Json::Arr(errors));
        }
        body
    }
}
