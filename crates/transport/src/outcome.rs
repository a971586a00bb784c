//! What became of a call: done, refused, or in doubt.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::hosts::HostError;
use crate::redact::cut;

/// The answer to a call, in three classes that must not be mixed up.
#[derive(Debug)]
pub enum Outcome {
    /// The other side carried it out and its answer was read whole.
    Done(Reply),
    /// It was certainly not carried out.
    Refused(Refusal),
    /// Nobody can say whether it was carried out. A read may be repeated; a creation must be looked up first.
    InDoubt(Doubt),
}

impl Outcome {
    /// The answer where there is one, whatever its status.
    #[must_use]
    pub fn reply(&self) -> Option<&Reply> {
        match self {
            Outcome::Done(reply)
            | Outcome::Refused(
                Refusal::Status(reply)
                | Refusal::Throttled { reply: Some(reply), .. }
                | Refusal::Edge { reply, .. },
            )
            | Outcome::InDoubt(Doubt::Server(reply)) => Some(reply),
            Outcome::Refused(_) | Outcome::InDoubt(_) => None,
        }
    }
}

/// Why a call was certainly not carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The other side answered with a status that says no (4xx), or with a redirect, which is never followed.
    #[error("the other side answered {}", .0.status())]
    Status(Reply),
    /// A page of the network edge in front of the service answered instead of the service.
    #[error("the network edge in front of the service answered {} in its place", reply.status())]
    Edge {
        /// The kind of page.
        page: EdgePage,
        /// The page itself.
        reply: Reply,
    },
    /// The other side asks for fewer calls, and the time given to this call ended before it could be sent.
    #[error("too many calls: the other side asks to wait{}", .wait.map(|w| format!(" {} s", w.as_secs())).unwrap_or_default())]
    Throttled {
        /// How long it asks to wait, where it says so.
        wait: Option<Duration>,
        /// The last answer, where there was one.
        reply: Option<Reply>,
    },
    /// No connection could be made: name not found, connection refused, TLS failed.
    #[error("no connection could be made: {0}")]
    Connect(String),
    /// The address is not one that may be called.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The call itself is not valid HTTP.
    #[error("the call cannot be sent: {0}")]
    Invalid(String),
}

/// Why nobody can say whether a call was carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Doubt {
    /// No answer within the time allowed.
    #[error("no answer within the time allowed")]
    Timeout,
    /// The connection broke after the call was sent.
    #[error("the connection broke after the call was sent: {0}")]
    Dropped(String),
    /// The other side failed (5xx).
    #[error("the other side failed with {}", .0.status())]
    Server(Reply),
    /// The answer says success and could not be read whole.
    #[error("the answer could not be read: {0}")]
    Unreadable(String),
    /// The answer is longer than the limit.
    #[error("the answer is longer than {limit} bytes")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
}

/// Who wrote a page that is not the service's own answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EdgePage {
    /// Cloudflare's own page.
    Cloudflare,
    /// An HTML page of some gateway or web server.
    Html,
}

/// A status, its headers and a body that was read whole.
#[derive(Clone)]
pub struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// A header, where it is there and is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    /// The body as it came, decompressed.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The body as text, cut to a length that can be shown. Secrets are masked by the sender before this.
    #[must_use]
    pub fn text(&self) -> String {
        cut(&String::from_utf8_lossy(&self.body))
    }

    /// Whether the body is a web page and not data.
    #[must_use]
    pub fn is_html(&self) -> bool {
        let declared = self
            .header("content-type")
            .is_some_and(|t| t.trim_start().to_ascii_lowercase().starts_with("text/html"));
        let start: Vec<u8> = self.body.iter().copied().skip_while(u8::is_ascii_whitespace).take(9).collect();
        let start = start.to_ascii_lowercase();
        declared || start.starts_with(b"<!doctype") || start.starts_with(b"<html")
    }

    /// Whether an edge or gateway wrote this page in place of the service.
    #[must_use]
    pub fn edge_page(&self) -> Option<EdgePage> {
        if !self.is_html() {
            return None;
        }
        let cloudflare = self.header("server").is_some_and(|s| s.eq_ignore_ascii_case("cloudflare"))
            || self.headers.contains_key("cf-ray")
            || contains(&self.body, b"cloudflare");
        Some(if cloudflare { EdgePage::Cloudflare } else { EdgePage::Html })
    }

    /// Whether the status, together with the page, says that the service never saw the call.
    ///
    /// 429 is the limiter's answer whoever writes it. 503 counts only on the edge's own page; 521, 523, 525 and 526 are
    /// Cloudflare's words for "could not connect to the origin". 520, 522 and 524 may follow a delivered request.
    #[must_use]
    pub fn not_executed(&self) -> bool {
        match self.status.as_u16() {
            429 => true,
            503 | 521 | 523 | 525 | 526 => self.edge_page() == Some(EdgePage::Cloudflare),
            _ => false,
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No headers: an answer may set cookies or give tokens.
        f.debug_struct("Reply")
            .field("status", &self.status)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|w| w.eq_ignore_ascii_case(needle))
}
