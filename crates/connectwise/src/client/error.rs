//! What ConnectWise says when it says no, and what it means for the caller.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use trueup_transport::{Doubt, HostError, Outcome, Refusal, Reply};

use super::address::AddressError;

/// One fault inside an answer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct FieldError {
    /// The vendor's code, for instance `MissingRequiredField`.
    #[serde(deserialize_with = "text")]
    pub code: String,
    /// The vendor's words.
    #[serde(deserialize_with = "text")]
    pub message: String,
    /// The kind of record.
    #[serde(deserialize_with = "text")]
    pub resource: String,
    /// The field, in the vendor's spelling.
    #[serde(deserialize_with = "text")]
    pub field: String,
}

/// An answer that says no, with the vendor's own words. It never carries what was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// The HTTP status.
    pub status: u16,
    /// The vendor's code; empty where the answer was no error body of ConnectWise.
    pub code: String,
    /// The vendor's words, or the text or title of a page.
    pub message: String,
    /// The faults one by one.
    pub errors: Vec<FieldError>,
    /// Whether a web page answered in place of the service.
    pub html: bool,
    /// Method and path of the call.
    pub call: String,
}

#[derive(Deserialize)]
struct Body {
    #[serde(default, deserialize_with = "text")]
    code: String,
    /// The limiter's answer names its code so.
    #[serde(default, deserialize_with = "text")]
    error: String,
    #[serde(default, deserialize_with = "text")]
    message: String,
    #[serde(default)]
    errors: Option<Vec<FieldError>>,
}

/// Texts of an error may be absent or null; an error about an error helps nobody.
fn text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.unwrap_or_default())
}

impl ApiError {
    pub(crate) fn from_reply(reply: &Reply, call: String) -> Self {
        let status = reply.status().as_u16();
        let shown = reply.text();
        if reply.is_html() {
            return Self {
                status,
                code: String::new(),
                message: page_title(&shown),
                errors: Vec::new(),
                html: true,
                call,
            };
        }
        match serde_json::from_slice::<Body>(reply.body()) {
            Ok(body) => Self {
                status,
                code: if body.code.is_empty() { body.error } else { body.code },
                message: body.message,
                errors: body.errors.unwrap_or_default(),
                html: false,
                call,
            },
            Err(_) => {
                let message = shown.trim().trim_matches('"').to_owned();
                Self { status, code: String::new(), message, errors: Vec::new(), html: false, call }
            }
        }
    }

    /// Whether the answer speaks ConnectWise's own error format.
    #[must_use]
    pub fn is_from_connectwise(&self) -> bool {
        !self.code.is_empty()
    }

    /// Whether the path itself is unknown, not the record: then the tenant may have moved to another code base.
    #[must_use]
    pub fn is_unknown_endpoint(&self) -> bool {
        self.status == 404 && (!self.is_from_connectwise() || self.says("endpoint does not exist"))
    }

    /// Whether a record is not there.
    #[must_use]
    pub fn is_record_missing(&self) -> bool {
        self.status == 404 && self.code.eq_ignore_ascii_case("NotFound")
    }

    /// Whether a record with the same key exists already.
    #[must_use]
    pub fn is_duplicate(&self) -> bool {
        self.code == "ObjectExists" || self.errors.iter().any(|e| e.code == "ObjectExists")
    }

    /// Whether any of its words contain this text, whatever the case.
    #[must_use]
    pub fn says(&self, words: &str) -> bool {
        let words = words.to_ascii_lowercase();
        std::iter::once(&self.message)
            .chain(self.errors.iter().map(|e| &e.message))
            .any(|m| m.to_ascii_lowercase().contains(&words))
    }

    /// The exception code that this answer means.
    #[must_use]
    pub fn exception(&self) -> &'static str {
        if self.says("SSL is required") || self.is_unknown_endpoint() && self.is_from_connectwise() {
            return "TU1005";
        }
        let names_client_id = self.says("clientid")
            || self.says("client id")
            || self.errors.iter().any(|e| e.field.eq_ignore_ascii_case("clientid"));
        if self.says("effectiveDate cannot be less than the agreement billing start date") {
            return "TU4001";
        }
        if self.says("period has already been invoiced") {
            return "TU4002";
        }
        match self.status {
            400 | 403 if names_client_id => "TU1003",
            401 => "TU1002",
            // A page in place of the service is the edge or a proxy talking, not a role.
            _ if self.html && self.status != 404 => "TU1001",
            403 => "TU1004",
            // Some other web server answers.
            404 if self.html => "TU1005",
            // On the cloud a wrong company or key can come back as a bare 404.
            404 if !self.is_from_connectwise() => "TU1002",
            429 => "TU1006",
            500..=599 => "TU1001",
            _ => "TU7004",
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} answered {}", self.call, self.status)?;
        if self.html {
            f.write_str(" with a web page")?;
        }
        if !self.code.is_empty() {
            write!(f, " {}", self.code)?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        for error in &self.errors {
            write!(f, "; {}", error.message)?;
            if !error.field.is_empty() {
                write!(f, " (field {})", error.field)?;
            }
        }
        Ok(())
    }
}

/// Why a call to ConnectWise gave no result.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The address cannot be used as it was entered.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A part of the credentials is missing or malformed.
    #[error("{0}")]
    Credentials(String),
    /// ConnectWise said no. Nothing was changed.
    #[error("ConnectWise refused the call: {0}")]
    Refused(Box<ApiError>),
    /// ConnectWise could not be reached, or failed. A read may be repeated; no write was carried out.
    #[error("ConnectWise is out of reach: {0}")]
    Unavailable(String),
    /// ConnectWise asks for fewer calls. Nothing was changed.
    #[error("ConnectWise asks for fewer calls{}", .wait.map(|w| format!("; it asks to wait {} s", w.as_secs())).unwrap_or_default())]
    Throttled {
        /// How long it asks to wait, where it says so.
        wait: Option<Duration>,
    },
    /// Nobody knows whether a write was carried out: look the record up before sending it again.
    #[error("the outcome of {call} is unknown: {why}")]
    InDoubt {
        /// Method and path of the call.
        call: String,
        /// What happened.
        why: String,
    },
    /// The answer is not what this client understands.
    #[error("the answer to {call} was not understood: {why}")]
    NotUnderstood {
        /// Method and path of the call.
        call: String,
        /// What is wrong with it.
        why: String,
    },
    /// The client cannot build the call.
    #[error("the call cannot be made: {0}")]
    Invalid(String),
}

impl ClientError {
    /// The exception code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            ClientError::Address(_) => "TU1005",
            ClientError::Credentials(_) => "TU1002",
            ClientError::Refused(api) => api.exception(),
            ClientError::Unavailable(_) => "TU1001",
            ClientError::Throttled { .. } => "TU1006",
            ClientError::InDoubt { .. } => "TU7003",
            ClientError::NotUnderstood { .. } | ClientError::Invalid(_) => "TU1007",
        }
    }

    /// What to do about it, in one sentence.
    #[must_use]
    pub fn fix(&self) -> String {
        if let ClientError::Address(error) = self {
            return error.fix();
        }
        match self.code() {
            "TU1001" => "Wait; check the address, the firewall and the ConnectWise status page.",
            "TU1002" => "Check the company id, make a new pair of API keys in ConnectWise and enter them.",
            "TU1003" => "Register a client id at the ConnectWise developer site and enter it for the connection.",
            "TU1004" => "Give the API member's security role the rights that the rights check lists, then check again.",
            "TU1005" => "Use the address of the API host, with https; allow the host where it is your own server.",
            "TU1006" => "Nothing to do; spread schedules or lower the call limit if it happens often.",
            "TU1007" => "Keep the recorded exchange, then update trueup or pin the API version.",
            "TU4001" => "Take the first legal date shown, or move the agreement's billing start.",
            "TU4002" => "Take the next invoice date, switch proration on, or undo the invoice.",
            "TU7003" => "Nothing to do: the record is looked up before anything is sent again.",
            _ => "Correct what ConnectWise names, then retry.",
        }
        .to_owned()
    }

    /// Whether the call was certainly not carried out.
    #[must_use]
    pub fn certainly_not_done(&self) -> bool {
        !matches!(self, ClientError::InDoubt { .. } | ClientError::NotUnderstood { .. })
    }

    /// ConnectWise's own words, where it gave any.
    #[must_use]
    pub fn api(&self) -> Option<&ApiError> {
        match self {
            ClientError::Refused(api) => Some(api),
            _ => None,
        }
    }
}

/// Whether a call only reads: what is in doubt for a write is merely unavailable for a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Read,
    Write,
}

/// Turns everything but a success into an error.
pub(crate) fn into_reply(outcome: Outcome, call: &str, kind: Kind) -> Result<Reply, ClientError> {
    match outcome {
        Outcome::Done(reply) => Ok(reply),
        Outcome::Refused(refusal) => Err(refused(refusal, call)),
        Outcome::InDoubt(doubt) => {
            let why = match &doubt {
                Doubt::Server(reply) => ApiError::from_reply(reply, call.to_owned()).to_string(),
                other => other.to_string(),
            };
            Err(match (kind, doubt) {
                (Kind::Write, _) => ClientError::InDoubt { call: call.to_owned(), why },
                (Kind::Read, Doubt::TooLong { .. }) => {
                    ClientError::NotUnderstood { call: call.to_owned(), why }
                }
                (Kind::Read, _) => ClientError::Unavailable(why),
            })
        }
    }
}

fn refused(refusal: Refusal, call: &str) -> ClientError {
    match refusal {
        Refusal::Status(reply) => {
            ClientError::Refused(Box::new(ApiError::from_reply(&reply, call.to_owned())))
        }
        Refusal::Edge { reply, .. } => {
            ClientError::Unavailable(ApiError::from_reply(&reply, call.to_owned()).to_string())
        }
        Refusal::Throttled { wait, .. } => ClientError::Throttled { wait },
        Refusal::Host(error) => ClientError::Address(host_error(error)),
        Refusal::Connect(why) => ClientError::Unavailable(why),
        other => ClientError::Invalid(other.to_string()),
    }
}

fn host_error(error: HostError) -> AddressError {
    AddressError::Host(error)
}

/// The title of a page, or its first words.
fn page_title(html: &str) -> String {
    let lower = html.to_ascii_lowercase();
    let title = lower.find("<title>").and_then(|start| {
        let from = start + "<title>".len();
        let to = from + lower.get(from..)?.find("</title>")?;
        html.get(from..to)
    });
    match title {
        Some(title) => title.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect(),
        None => "no title".to_owned(),
    }
}
