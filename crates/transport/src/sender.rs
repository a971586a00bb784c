//! Sends calls.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::call::{Call, Safety};
use crate::hosts::{CheckedResolver, HostRules};
use crate::limiter::{Budget, Feedback, Limiter, LimiterConfig, Permit};
use crate::outcome::{Doubt, Outcome, Refusal, Reply};
use crate::redact::{Redactor, shown_url};
use crate::retry::{RetryBudget, backoff, retry_after};
use crate::stats::{Counters, Exchange, Recorder, Stats};
use crate::wire::{BodyError, chain, host_error, read_body};

/// How a sender is made.
#[derive(Clone)]
pub struct SenderConfig {
    /// The addresses that may be called.
    pub rules: HostRules,
    /// The limiter's settings.
    pub limiter: LimiterConfig,
    /// A budget that others have as well; none for one of its own.
    pub budget: Option<Budget>,
    /// The secrets to mask wherever they are echoed.
    pub redactor: Redactor,
    /// What the other side is told about who calls.
    pub user_agent: String,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long one attempt may take.
    pub attempt_timeout: Duration,
    /// How long a call may take with all waiting and retries.
    pub deadline: Duration,
    /// The longest answer that is read.
    pub max_body_bytes: usize,
    /// The most retries after a failure, 429 not counted.
    pub max_retries: u32,
    /// The longest wait before the first of them; it doubles with each, and is drawn at random below that.
    pub retry_base: Duration,
    /// The most retries after a 429.
    pub max_throttle_retries: u32,
    /// Whether a plain 500 may pass by itself; many services answer 500 to what will never work.
    pub transient_500: fn(&Reply) -> bool,
    /// Whether a 404 is the service's own word that the record is not there. A cut answer, or a page of something in
    /// between, says nothing about the record.
    pub record_missing: fn(&Reply) -> bool,
    /// Sees every exchange.
    pub recorder: Option<Arc<dyn Recorder>>,
    /// Whether its calls count in the totals of the process.
    pub in_totals: bool,
}

impl Default for SenderConfig {
    fn default() -> Self {
        Self {
            rules: HostRules::none(),
            limiter: LimiterConfig::default(),
            budget: None,
            redactor: Redactor::default(),
            user_agent: concat!("trueup/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_timeout: Duration::from_secs(10),
            attempt_timeout: Duration::from_secs(60),
            deadline: Duration::from_secs(600),
            max_body_bytes: 64 * 1024 * 1024,
            max_retries: 4,
            retry_base: Duration::from_millis(300),
            max_throttle_retries: 20,
            transient_500: |_| false,
            record_missing: |_| false,
            recorder: None,
            in_totals: true,
        }
    }
}

/// As many connections are kept open as calls may be under way at once, however many that are by then.
const KEPT_OPEN: u32 = 16;

/// The HTTP client could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client could not be set up: {0}")]
pub struct BuildError(String);

/// Sends calls for one connection. Clones share everything.
#[derive(Clone)]
pub struct Sender {
    inner: Arc<Inner>,
}

struct Inner {
    client: reqwest::Client,
    config: SenderConfig,
    limiter: Arc<Limiter>,
    budget: RetryBudget,
    counters: Counters,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Sender {
    /// Makes a sender.
    ///
    /// # Errors
    /// Where TLS cannot be set up on this machine.
    pub fn new(config: SenderConfig) -> Result<Self, BuildError> {
        let client = reqwest::Client::builder()
            .user_agent(config.user_agent.clone())
            .connect_timeout(config.connect_timeout)
            .redirect(reqwest::redirect::Policy::none())
            // A proxy from the environment would connect for us, past the address check.
            .no_proxy()
            .retry(reqwest::retry::never())
            .referer(false)
            .tcp_nodelay(true)
            .pool_max_idle_per_host(usize::try_from(config.limiter.max.max(KEPT_OPEN)).unwrap_or(usize::MAX))
            .pool_idle_timeout(Duration::from_secs(50))
            .dns_resolver(CheckedResolver { rules: Arc::new(config.rules.clone()) })
            .build()
            .map_err(|e| BuildError(chain(&e.without_url())))?;
        let budget = config.budget.clone().unwrap_or_else(|| Budget::new(config.limiter.clone(), None));
        let limiter = budget.0;
        let counters = Counters::new(config.in_totals);
        let inner = Inner { client, config, limiter, budget: RetryBudget::new(), counters };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// What this sender has done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let c = &self.inner.counters;
        let (window, pace) = self.inner.limiter.view();
        Stats {
            calls: Counters::read(&c.calls),
            retries: Counters::read(&c.retries),
            throttled: Counters::read(&c.throttled),
            in_doubt: Counters::read(&c.in_doubt),
            waited_ms: Counters::read(&c.waited_ms),
            window,
            pace,
        }
    }

    /// The addresses this sender may call.
    #[must_use]
    pub fn rules(&self) -> &HostRules {
        &self.inner.config.rules
    }

    /// Masks this sender's secrets in a text and cuts it.
    #[must_use]
    pub fn clean(&self, text: &str) -> String {
        self.inner.config.redactor.clean(text)
    }

    /// Sends a call, waiting and retrying as far as its safety and its deadline allow.
    pub async fn send(&self, call: Call) -> Outcome {
        if let Some(name) = &call.invalid_header {
            return Outcome::Refused(Refusal::Invalid(format!(
                "the value of header `{name}` has characters HTTP does not allow"
            )));
        }
        if let Err(error) = self.inner.config.rules.check_url(&call.url) {
            return Outcome::Refused(Refusal::Host(error));
        }
        let outcome = self.run(&call).await;
        if matches!(outcome, Outcome::InDoubt(_)) {
            self.inner.counters.add(|c| &c.in_doubt, 1);
        }
        outcome
    }

    async fn run(&self, call: &Call) -> Outcome {
        let config = &self.inner.config;
        let deadline = Instant::now() + call.deadline.unwrap_or(config.deadline);
        self.inner.budget.earn();
        let (mut failures, mut throttles, mut attempt) = (0_u32, 0_u32, 0_u32);
        let mut last: Option<Outcome> = None;
        // What an earlier attempt of a write left open: no later refusal takes that back.
        let mut doubt: Option<Doubt> = None;
        loop {
            let permit = match self.wait_turn(deadline).await {
                Ok(permit) => permit,
                Err(wait) => return self.still_open(gave_up(last, wait), doubt),
            };
            attempt += 1;
            self.inner.counters.add(|c| &c.calls, 1);
            self.inner.counters.add(|c| &c.retries, u64::from(attempt > 1));
            let outcome = self.attempt(call, attempt, deadline).await;
            let step = self.judge(call, &outcome, &permit);
            drop(permit);
            match step {
                Step::Stop => return self.still_open(outcome, doubt),
                Step::Throttled => {
                    throttles += 1;
                    if throttles > config.max_throttle_retries {
                        return self.still_open(outcome, doubt);
                    }
                }
                Step::Again => {
                    failures += 1;
                    if failures > config.max_retries || !self.inner.budget.spend() {
                        return self.still_open(outcome, doubt);
                    }
                    let wait = backoff(config.retry_base, Duration::from_secs(30), failures);
                    if Instant::now() + wait >= deadline {
                        return self.still_open(outcome, doubt);
                    }
                    tokio::time::sleep(wait).await;
                }
            }
            last = Some(match outcome {
                Outcome::InDoubt(open) if !call.method.is_safe() => {
                    doubt = Some(open);
                    continue;
                }
                other => other,
            });
        }
    }

    /// A write of which an earlier attempt is in doubt stays in doubt, whatever refuses a later one: what was carried
    /// out then is not undone by it. Only the service's own word that the record is not there says enough by itself.
    fn still_open(&self, outcome: Outcome, doubt: Option<Doubt>) -> Outcome {
        match (outcome, doubt) {
            (Outcome::Refused(Refusal::Status(reply)), Some(_))
                if reply.status() == http::StatusCode::NOT_FOUND
                    && (self.inner.config.record_missing)(&reply) =>
            {
                Outcome::Refused(Refusal::Status(reply))
            }
            (Outcome::Refused(_), Some(doubt)) => Outcome::InDoubt(doubt),
            (outcome, _) => outcome,
        }
    }

    async fn wait_turn(&self, deadline: Instant) -> Result<Permit, Option<Duration>> {
        let asked = Instant::now();
        let turn = self.inner.limiter.acquire(deadline).await;
        let waited = u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.inner.counters.add(|c| &c.waited_ms, waited);
        turn
    }

    /// Tells the limiter, and decides whether to try again.
    fn judge(&self, call: &Call, outcome: &Outcome, permit: &Permit) -> Step {
        let reply = outcome.reply();
        match reply.map(|r| (r.status().as_u16(), r)) {
            Some((429, r)) => {
                self.inner.counters.add(|c| &c.throttled, 1);
                permit.report(Feedback::Throttled(retry_after(r)));
                // The limiter refused it before anything was done, so even a creation may go again.
                return Step::Throttled;
            }
            Some((503, r)) => {
                self.inner.counters.add(|c| &c.throttled, 1);
                permit.report(Feedback::Overloaded(retry_after(r)));
            }
            Some(_) => permit.report(Feedback::Accepted),
            None => permit.report(Feedback::Silent),
        }
        let passing = match outcome {
            Outcome::Done(_) => false,
            Outcome::Refused(Refusal::Connect(_)) => return Step::Again,
            Outcome::Refused(Refusal::Edge { .. }) => true,
            Outcome::Refused(_) => false,
            Outcome::InDoubt(Doubt::Server(r)) => match r.status().as_u16() {
                500 => (self.inner.config.transient_500)(r),
                502..=504 | 520..=527 => true,
                _ => false,
            },
            Outcome::InDoubt(Doubt::TooLong { .. }) => false,
            Outcome::InDoubt(_) => true,
        };
        match reply.map(|r| r.status().as_u16()) {
            _ if !passing || call.safety != Safety::Repeatable => Step::Stop,
            // The limiter holds the next one back, so that no storm comes of it.
            Some(503) => Step::Throttled,
            Some(_) | None => Step::Again,
        }
    }

    async fn attempt(&self, call: &Call, attempt: u32, deadline: Instant) -> Outcome {
        let config = &self.inner.config;
        let timeout = call
            .attempt_timeout
            .unwrap_or(config.attempt_timeout)
            .min(deadline.saturating_duration_since(Instant::now()));
        let started = Instant::now();
        let outcome = match tokio::time::timeout(timeout, self.exchange(call)).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::InDoubt(Doubt::Timeout),
        };
        self.record(call, attempt, &outcome, started.elapsed());
        outcome
    }

    async fn exchange(&self, call: &Call) -> Outcome {
        let mut request =
            self.inner.client.request(call.method.clone(), call.url.clone()).headers(call.headers.clone());
        if let Some(parent) = TRACE_PARENT.get().and_then(|parent| parent()) {
            request = request.header("traceparent", parent);
        }
        if let Some(body) = &call.body {
            request = request.body(body.clone());
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return self.sending_failed(error),
        };
        let (status, headers) = (response.status(), response.headers().clone());
        let limit = call.max_body_bytes.unwrap_or(self.inner.config.max_body_bytes);
        let body = match read_body(response, limit).await {
            Ok(body) => body,
            // A 4xx is a refusal even if its text got lost; anything else stays in doubt.
            Err(_) if status.is_client_error() => Bytes::new(),
            Err(BodyError::TooLong) => return Outcome::InDoubt(Doubt::TooLong { limit }),
            Err(BodyError::Broken(why)) => return Outcome::InDoubt(Doubt::Unreadable(self.clean(&why))),
        };
        let body = if status.is_success() { body } else { self.masked(body) };
        classify_reply(Reply { status, headers, body })
    }

    fn sending_failed(&self, error: reqwest::Error) -> Outcome {
        let error = error.without_url();
        if let Some(host) = host_error(&error) {
            return Outcome::Refused(Refusal::Host(host));
        }
        let text = self.clean(&chain(&error));
        if error.is_connect() {
            return Outcome::Refused(Refusal::Connect(text));
        }
        if error.is_builder() {
            return Outcome::Refused(Refusal::Invalid(text));
        }
        if error.is_timeout() {
            return Outcome::InDoubt(Doubt::Timeout);
        }
        Outcome::InDoubt(Doubt::Dropped(text))
    }

    /// Error texts may echo what was sent.
    fn masked(&self, body: Bytes) -> Bytes {
        match std::str::from_utf8(&body) {
            Ok(text) => match self.inner.config.redactor.mask(text) {
                std::borrow::Cow::Borrowed(_) => body,
                std::borrow::Cow::Owned(masked) => Bytes::from(masked),
            },
            Err(_) => body,
        }
    }

    fn record(&self, call: &Call, attempt: u32, outcome: &Outcome, elapsed: Duration) {
        let reply = outcome.reply();
        tracing::debug!(
            method = %call.method,
            url = %shown_url(&call.url),
            attempt,
            status = reply.map(|r| r.status().as_u16()),
            elapsed_ms = elapsed.as_millis(),
            "call"
        );
        let Some(recorder) = &self.inner.config.recorder else { return };
        let text = |bytes: &Bytes| self.clean(&String::from_utf8_lossy(bytes));
        recorder.record(Exchange {
            method: call.method.to_string(),
            url: shown_url(&call.url),
            query: call.url.query().map(|q| self.clean(q)),
            attempt,
            sent: call.body.as_ref().map(text),
            status: reply.map(|r| r.status().as_u16()),
            received: reply.map(|r| text(r.body())),
            failure: match outcome {
                Outcome::Done(_) => None,
                Outcome::Refused(refusal) => Some(refusal.to_string()),
                Outcome::InDoubt(doubt) => Some(doubt.to_string()),
            },
            elapsed,
        });
    }
}

/// What tells the trace that a call belongs to.
static TRACE_PARENT: OnceLock<fn() -> Option<String>> = OnceLock::new();

/// Lets every call carry the header `traceparent` (W3C Trace Context) that `parent` gives for it. The first word counts.
pub fn set_trace_parent(parent: fn() -> Option<String>) {
    let _ = TRACE_PARENT.set(parent);
}

enum Step {
    Stop,
    Again,
    Throttled,
}

/// The deadline came while waiting for the limiter: the last answer stands where there was one.
fn gave_up(last: Option<Outcome>, wait: Option<Duration>) -> Outcome {
    match last {
        Some(Outcome::Refused(Refusal::Throttled { reply, .. })) => {
            Outcome::Refused(Refusal::Throttled { wait, reply })
        }
        Some(outcome) => outcome,
        None => Outcome::Refused(Refusal::Throttled { wait, reply: None }),
    }
}

fn classify_reply(reply: Reply) -> Outcome {
    let status = reply.status();
    if status.is_success() {
        return Outcome::Done(reply);
    }
    if status.as_u16() == 429 {
        return Outcome::Refused(Refusal::Throttled { wait: retry_after(&reply), reply: Some(reply) });
    }
    if reply.not_executed()
        && let Some(page) = reply.edge_page()
    {
        return Outcome::Refused(Refusal::Edge { page, reply });
    }
    if status.is_server_error() {
        return Outcome::InDoubt(Doubt::Server(reply));
    }
    Outcome::Refused(Refusal::Status(reply))
}
