//! The client itself: signs every call, keeps the code base, turns answers into values or errors.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, HeaderName};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::RwLock;
use tokio::time::Instant;
use trueup_transport::{
    Budget, Call, LimiterConfig, Method, Outcome, Recorder, Redactor, Reply, Safety, Sender, SenderConfig,
    Stats,
};

use super::address::{AllowedHosts, SiteAddress};
use super::codebase::fetch_codebase;
use super::error::{ClientError, Kind, into_reply};
use super::page::LinkHabit;
use super::patch::PatchOp;

/// The version of the API's models that this client was written for. Without a pin the newest one would answer.
pub const API_VERSION: &str = "2025.1";

const CLIENT_ID: HeaderName = HeaderName::from_static("clientid");

/// How long after a 404 that changed nothing the code base is not asked for again.
const CODEBASE_TRUSTED: Duration = Duration::from_secs(60);

/// The keys of an API member.
#[derive(Clone)]
pub struct Credentials {
    /// The company as typed at sign-in; upper and lower case matter.
    pub company: String,
    /// The public key.
    pub public_key: String,
    /// The private key.
    pub private_key: SecretString,
    /// The client id registered for the integration.
    pub client_id: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("company", &self.company).finish_non_exhaustive()
    }
}

impl Credentials {
    fn check(&self) -> Result<(), ClientError> {
        let parts = [
            ("company id", self.company.as_str()),
            ("public key", self.public_key.as_str()),
            ("private key", self.private_key.expose_secret()),
            ("client id", self.client_id.as_str()),
        ];
        for (name, value) in parts {
            if value.trim().is_empty() {
                return Err(ClientError::Credentials(format!("the {name} is missing")));
            }
            if value.chars().any(char::is_control) {
                return Err(ClientError::Credentials(format!(
                    "the {name} contains a line break or another control character"
                )));
            }
        }
        // The user name of the basic scheme ends at the first colon.
        if self.company.contains([':', '+']) || self.public_key.contains(':') {
            return Err(ClientError::Credentials(
                "the company id or the public key contains `:` or `+`".to_owned(),
            ));
        }
        Ok(())
    }

    fn basic(&self) -> String {
        STANDARD.encode(format!("{}+{}:{}", self.company, self.public_key, self.private_key.expose_secret()))
    }
}

/// How a client is made.
#[derive(Clone)]
pub struct ClientConfig {
    /// The site as a person enters it: `https://api-na.myconnectwise.net`.
    pub address: String,
    /// The keys.
    pub credentials: Credentials,
    /// The hosts that may be called besides ConnectWise's cloud.
    pub allowed: AllowedHosts,
    /// The version of the API's models.
    pub api_version: String,
    /// The limiter's settings.
    pub limiter: LimiterConfig,
    /// How fast it may call, shared with others; none for a budget of its own.
    pub budget: Option<Budget>,
    /// How long one attempt may take.
    pub attempt_timeout: Duration,
    /// How long a call may take with all waiting and retries.
    pub deadline: Duration,
    /// The longest wait before the first retry of a failed read.
    pub retry_base: Duration,
    /// Records of a page; ConnectWise gives 1,000 at most.
    pub page_size: u32,
    /// Sees every exchange, secrets masked.
    pub recorder: Option<Arc<dyn Recorder>>,
}

impl ClientConfig {
    /// The usual settings for an address and its keys.
    #[must_use]
    pub fn new(address: impl Into<String>, credentials: Credentials) -> Self {
        Self {
            address: address.into(),
            credentials,
            allowed: AllowedHosts::default(),
            api_version: API_VERSION.to_owned(),
            limiter: LimiterConfig::default(),
            budget: None,
            attempt_timeout: Duration::from_secs(60),
            deadline: Duration::from_secs(600),
            retry_base: Duration::from_millis(300),
            page_size: 1_000,
            recorder: None,
        }
    }
}

/// A client of one ConnectWise tenant. Clones share connections, limiter and code base.
#[derive(Clone)]
pub struct ConnectWiseClient {
    inner: Arc<Inner>,
}

struct Inner {
    site: SiteAddress,
    company: String,
    client_id: String,
    authorization: SecretString,
    accept: String,
    page_size: u32,
    sender: Sender,
    codebase: RwLock<Option<Codebase>>,
    link_habit: LinkHabit,
    /// The `Date` of the latest answer, in seconds since 1970; 0 before the first.
    server_second: AtomicI64,
}

#[derive(Clone)]
struct Codebase {
    name: String,
    /// When a 404 made us ask again and the answer was the same.
    reconfirmed: Option<Instant>,
}

impl std::fmt::Debug for ConnectWiseClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectWiseClient")
            .field("site", &self.inner.site.as_text())
            .field("company", &self.inner.company)
            .finish_non_exhaustive()
    }
}

impl ConnectWiseClient {
    /// Makes a client; calls nothing yet.
    ///
    /// # Errors
    /// Where the address or the credentials cannot be used.
    pub fn new(config: ClientConfig) -> Result<Self, ClientError> {
        config.credentials.check()?;
        let site = SiteAddress::parse(&config.address, &config.allowed)?;
        let basic = config.credentials.basic();
        let redactor =
            Redactor::new([config.credentials.private_key.clone(), SecretString::from(basic.clone())]);
        let sender = Sender::new(SenderConfig {
            rules: config.allowed.rules(),
            limiter: config.limiter,
            budget: config.budget,
            redactor,
            attempt_timeout: config.attempt_timeout,
            deadline: config.deadline,
            retry_base: config.retry_base,
            transient_500,
            record_missing,
            recorder: config.recorder,
            ..SenderConfig::default()
        })
        .map_err(|e| ClientError::Invalid(e.to_string()))?;
        Ok(Self {
            inner: Arc::new(Inner {
                site,
                company: config.credentials.company,
                client_id: config.credentials.client_id,
                authorization: SecretString::from(format!("Basic {basic}")),
                accept: format!("application/vnd.connectwise.com+json; version={}", config.api_version),
                page_size: config.page_size.clamp(1, 1_000),
                sender,
                codebase: RwLock::new(None),
                link_habit: LinkHabit::default(),
                server_second: AtomicI64::new(0),
            }),
        })
    }

    /// What the client has done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.inner.sender.stats()
    }

    /// The server's own time, by the `Date` of the latest answer that had one.
    #[must_use]
    pub fn server_time(&self) -> Option<Timestamp> {
        let second = self.inner.server_second.load(Ordering::Relaxed);
        Timestamp::from_second(second).ok().filter(|_| second != 0)
    }

    fn note_time(&self, outcome: &Outcome) {
        let date = outcome.reply().and_then(|reply| reply.header("date"));
        if let Some(Ok(at)) = date.map(|date| rfc2822::DateTimeParser::new().parse_timestamp(date)) {
            self.inner.server_second.store(at.as_second(), Ordering::Relaxed);
        }
    }

    /// The site that is called.
    #[must_use]
    pub fn site(&self) -> &SiteAddress {
        &self.inner.site
    }

    /// The company as typed at sign-in.
    #[must_use]
    pub fn company(&self) -> &str {
        &self.inner.company
    }

    pub(crate) fn link_habit(&self) -> &LinkHabit {
        &self.inner.link_habit
    }

    pub(crate) fn page_size(&self) -> u32 {
        self.inner.page_size
    }

    /// The tenant's code base, asked for at the first use.
    ///
    /// # Errors
    /// Where the site is out of reach or does not know the company.
    pub async fn codebase(&self) -> Result<String, ClientError> {
        if let Some(known) = self.inner.codebase.read().await.as_ref() {
            return Ok(known.name.clone());
        }
        self.refresh_codebase(None).await
    }

    /// Asks again, unless somebody else has just done so. `seen` is the code base that failed.
    async fn refresh_codebase(&self, seen: Option<&str>) -> Result<String, ClientError> {
        let mut slot = self.inner.codebase.write().await;
        if let Some(known) = slot.as_ref() {
            let moved_already = seen.is_some_and(|s| s != known.name);
            let settled = known.reconfirmed.is_some_and(|at| at.elapsed() < CODEBASE_TRUSTED);
            if seen.is_none() || moved_already || settled {
                return Ok(known.name.clone());
            }
        }
        let name = fetch_codebase(&self.inner.sender, &self.inner.site, &self.inner.company).await?;
        let same = seen == Some(name.as_str());
        *slot = Some(Codebase { name: name.clone(), reconfirmed: same.then(Instant::now) });
        Ok(name)
    }

    /// Reads one record, or whatever a path gives.
    ///
    /// # Errors
    /// Every way in which there is no value.
    pub async fn get<T: DeserializeOwned>(&self, path: &str, query: &str) -> Result<T, ClientError> {
        let reply = self.send(Request::read(path, query)).await?;
        decode(&reply, &format!("GET {path}"), Kind::Read)
    }

    /// Creates a record. Never repeated where the outcome is unknown.
    ///
    /// # Errors
    /// [`ClientError::InDoubt`] where it may have been created; anything else means it was not.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let request = Request::write(Method::POST, path, Some(to_json(body)?));
        let reply = self.send(request).await?;
        decode(&reply, &format!("POST {path}"), Kind::Write)
    }

    /// Sends a creation whose answer says nothing that is used. Never repeated where the outcome is unknown.
    ///
    /// # Errors
    /// As [`ConnectWiseClient::post`].
    pub async fn post_plain(&self, path: &str, body: &impl Serialize) -> Result<(), ClientError> {
        self.send(Request::write(Method::POST, path, Some(to_json(body)?))).await.map(|_| ())
    }

    /// Sets fields of a record to absolute values and gives the record as ConnectWise then holds it.
    ///
    /// # Errors
    /// [`ClientError::InDoubt`] where it may have been written.
    pub async fn patch<T: DeserializeOwned>(&self, path: &str, ops: &[PatchOp]) -> Result<T, ClientError> {
        let request = Request::write(Method::PATCH, path, Some(to_json(&ops)?));
        let reply = self.send(request).await?;
        decode(&reply, &format!("PATCH {path}"), Kind::Write)
    }

    /// Deletes a record. A record that is gone already is not an error: the wish is fulfilled.
    ///
    /// # Errors
    /// Every way in which the record may still be there.
    pub async fn delete(&self, path: &str) -> Result<(), ClientError> {
        match self.send(Request::write(Method::DELETE, path, None)).await {
            Ok(_) => Ok(()),
            Err(ClientError::Refused(api)) if api.is_record_missing() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Sends a call below the API's path; once more where the tenant has moved to another code base meanwhile.
    pub(crate) async fn send(&self, request: Request) -> Result<Reply, ClientError> {
        let codebase = self.codebase().await?;
        let error = match self.send_at(&request, &codebase).await {
            Err(error @ ClientError::Refused(_)) => error,
            other => return other,
        };
        if !error.api().is_some_and(super::error::ApiError::is_unknown_endpoint) {
            return Err(error);
        }
        // A 404 on a path was not carried out, so even a creation may go to the new place.
        match self.refresh_codebase(Some(&codebase)).await {
            Ok(now) if now != codebase => self.send_at(&request, &now).await,
            _ => Err(error),
        }
    }

    async fn send_at(&self, request: &Request, codebase: &str) -> Result<Reply, ClientError> {
        let inner = &self.inner;
        let url = inner.site.join(&format!("/{codebase}/apis/3.0{}", request.path), &request.query);
        let mut call = Call::new(request.method.clone(), url)
            .safety(if request.method == Method::POST { Safety::Once } else { Safety::Repeatable })
            .authorization(&inner.authorization)
            .header(CLIENT_ID, &inner.client_id)
            .header(ACCEPT, &inner.accept);
        if request.forward_only {
            call = call.header(HeaderName::from_static("pagination-type"), "forward-only");
        }
        if let Some(body) = &request.body {
            call = call.body("application/json", body.clone());
        }
        let shown = format!("{} {}", request.method, request.path);
        let outcome = inner.sender.send(call).await;
        self.note_time(&outcome);
        into_reply(outcome, &shown, request.kind)
    }

    /// Reads a URL of this very site that an answer named, with the client's credentials.
    pub(crate) async fn get_same_site(&self, url: url::Url, shown: &str) -> Result<Reply, ClientError> {
        let call =
            Call::get(url).authorization(&self.inner.authorization).header(CLIENT_ID, &self.inner.client_id);
        into_reply(self.inner.sender.send(call).await, shown, Kind::Read)
    }
}

/// A call below the API's path.
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) kind: Kind,
    pub(crate) forward_only: bool,
}

impl Request {
    pub(crate) fn read(path: &str, query: &str) -> Self {
        Self {
            method: Method::GET,
            path: path.to_owned(),
            query: query.to_owned(),
            body: None,
            kind: Kind::Read,
            forward_only: false,
        }
    }

    fn write(method: Method, path: &str, body: Option<Vec<u8>>) -> Self {
        Self {
            method,
            path: path.to_owned(),
            query: String::new(),
            body,
            kind: Kind::Write,
            forward_only: false,
        }
    }
}

fn to_json(body: &impl Serialize) -> Result<Vec<u8>, ClientError> {
    serde_json::to_vec(body).map_err(|e| ClientError::Invalid(e.to_string()))
}

/// Reads a record. After a write an answer that is not understood leaves the write in doubt.
pub(crate) fn decode<T: DeserializeOwned>(reply: &Reply, call: &str, kind: Kind) -> Result<T, ClientError> {
    let why = match serde_json::from_slice(reply.body()) {
        Ok(value) => return Ok(value),
        Err(_) if reply.is_html() => "a web page came instead of data".to_owned(),
        Err(error) => error.to_string(),
    };
    let call = call.to_owned();
    Err(match kind {
        Kind::Read => ClientError::NotUnderstood { call, why },
        Kind::Write => ClientError::InDoubt { call, why },
    })
}

/// ConnectWise answers 500 both to a database time-out, which passes, and to a body it cannot read, which never will.
fn transient_500(reply: &Reply) -> bool {
    let api = super::error::ApiError::from_reply(reply, String::new());
    let message = api.message.to_ascii_lowercase();
    (message.contains("timeout") || message.contains("timed out")) && !message.starts_with("error converting")
}

/// A 404 whose body is cut, or comes from something in between, does not say that the record is not there.
fn record_missing(reply: &Reply) -> bool {
    super::error::ApiError::from_reply(reply, String::new()).is_record_missing()
}
