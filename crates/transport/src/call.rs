//! What a dialect asks the sender to do.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Method};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// Whether a call may be sent again when nobody knows what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safety {
    /// Sending it twice does what sending it once does: reads, deletions, writes of absolute values.
    Repeatable,
    /// Sending it twice may do it twice. Repeated only where the first try was certainly not carried out.
    Once,
}

/// One request, ready to be sent.
#[derive(Clone)]
pub struct Call {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
    pub(crate) safety: Safety,
    pub(crate) attempt_timeout: Option<Duration>,
    pub(crate) deadline: Option<Duration>,
    pub(crate) max_body_bytes: Option<usize>,
    pub(crate) invalid_header: Option<HeaderName>,
}

impl Call {
    /// A call whose safety follows from its method: POST is sent once, everything else may be repeated.
    ///
    /// Say [`Call::safety`] where that is wrong, for instance for a PATCH with relative values.
    #[must_use]
    pub fn new(method: Method, url: Url) -> Self {
        let safety = if method == Method::POST { Safety::Once } else { Safety::Repeatable };
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: None,
            safety,
            attempt_timeout: None,
            deadline: None,
            max_body_bytes: None,
            invalid_header: None,
        }
    }

    /// A GET.
    #[must_use]
    pub fn get(url: Url) -> Self {
        Self::new(Method::GET, url)
    }

    /// A POST, sent once.
    #[must_use]
    pub fn post(url: Url) -> Self {
        Self::new(Method::POST, url)
    }

    /// Overrides whether the call may be repeated.
    #[must_use]
    pub fn safety(mut self, safety: Safety) -> Self {
        self.safety = safety;
        self
    }

    /// Adds a header. A value that HTTP does not allow makes the call be refused before anything is sent.
    #[must_use]
    pub fn header(self, name: HeaderName, value: &str) -> Self {
        self.put_header(name, value, false)
    }

    /// Adds a header whose value is never shown.
    #[must_use]
    pub fn secret_header(self, name: HeaderName, value: &SecretString) -> Self {
        self.put_header(name, value.expose_secret(), true)
    }

    /// Adds an `Authorization` header; the text is the whole value, scheme included.
    #[must_use]
    pub fn authorization(self, value: &SecretString) -> Self {
        self.secret_header(AUTHORIZATION, value)
    }

    /// Gives the call a body and its content type.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self.put_header(CONTENT_TYPE, content_type, false)
    }

    /// How long one attempt may take, from connecting to the last byte of the answer.
    #[must_use]
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = Some(timeout);
        self
    }

    /// How long the call may take altogether, with waiting for the limiter and with retries.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// The longest answer that is read, after decompression.
    #[must_use]
    pub fn max_body_bytes(mut self, limit: usize) -> Self {
        self.max_body_bytes = Some(limit);
        self
    }

    /// The address the call goes to.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The method of the call.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    fn put_header(mut self, name: HeaderName, value: &str, secret: bool) -> Self {
        match HeaderValue::from_str(value) {
            Ok(mut value) => {
                value.set_sensitive(secret);
                self.headers.insert(name, value);
            }
            Err(_) => self.invalid_header = Some(name),
        }
        self
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Header names only: a value added by `header` may still be somebody's key.
        let names: Vec<&str> = self.headers.keys().map(HeaderName::as_str).collect();
        f.debug_struct("Call")
            .field("method", &self.method)
            .field("url", &crate::redact::shown_url(&self.url))
            .field("headers", &names)
            .field("body_bytes", &self.body.as_ref().map(Bytes::len))
            .field("safety", &self.safety)
            .finish_non_exhaustive()
    }
}
