//! `/metrics` for Prometheus: what this process did, and how the installation stands.
//!
//! Who asks shows the token of its own for it (`TRUEUP_METRICS_TOKEN`). Without one the numbers are given on a loopback
//! address alone. No label names an organization, a customer or a person, and every label has few values.

use super::problem::Problem;
use super::secrets;
use super::state::Service;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use std::fmt::{Display, Write};
use std::net::SocketAddr;
use std::time::Duration;
use trueup_engine::ports::Clock;
use trueup_store::Gauges;
use url::Url;

/// The variable with the token.
pub const TOKEN_VARIABLE: &str = "TRUEUP_METRICS_TOKEN";
/// A token that is shorter could be guessed.
const SHORTEST_TOKEN: usize = 16;
const REQUESTS: &str = "trueup_http_requests_total";
const TOOK: &str = "trueup_http_request_duration_seconds";
const BUCKETS: [f64; 9] = [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// The numbers of this process, and who may see them.
pub struct Metrics {
    counted: Option<PrometheusHandle>,
    /// The token's hash.
    token: Option<String>,
    /// Whether they are shown without a token.
    open: bool,
}

impl Metrics {
    /// Begins to count.
    ///
    /// # Errors
    /// In words: a token that is too short.
    pub fn start(token: Option<&str>, open: bool) -> Result<Self, String> {
        let token = token.map(str::trim).filter(|token| !token.is_empty());
        if token.is_some_and(|token| token.len() < SHORTEST_TOKEN) {
            return Err(format!("{TOKEN_VARIABLE} is shorter than {SHORTEST_TOKEN} characters"));
        }
        let counted = counting().inspect_err(|error| tracing::warn!(%error, "requests are not counted")).ok();
        Ok(Self { counted, token: token.map(secrets::hash), open })
    }

    /// Whether there is a token.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    fn admits(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(kept) = &self.token else {
            return if self.open { Ok(()) } else { Err(Problem::nothing_here()) };
        };
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        match shown.and_then(|text| text.strip_prefix("Bearer ")) {
            Some(token) if secrets::equal(&secrets::hash(token), kept) => Ok(()),
            Some(_) | None => Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                "not-signed-in",
                "A token is needed",
                "the numbers are for those who show their token alone",
                format!("Send `Authorization: Bearer` with the value of {TOKEN_VARIABLE}."),
            )),
        }
    }
}

fn counting() -> Result<PrometheusHandle, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(TOOK.to_owned()), &BUCKETS)?
        .install_recorder()
        .inspect(|_| {
            metrics::describe_counter!(REQUESTS, "Answered requests by method and class of status");
            metrics::describe_histogram!(TOOK, metrics::Unit::Seconds, "Time from a request to its answer");
        })
}

/// Without a token the numbers are for this machine: what listens on loopback without a proxy in front.
pub fn is_open(listen: SocketAddr, public_url: Option<&Url>, behind_proxy: bool) -> bool {
    listen.ip().is_loopback() && public_url.is_none() && !behind_proxy
}

/// The route.
pub fn routes() -> Router<Service> {
    Router::new().route("/metrics", get(show))
}

/// Counts an answered request.
pub fn count(method: &Method, status: StatusCode, took: Duration) {
    // A method is the client's to choose, and a label must not be.
    let method = match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other", // open set: a client's word
    };
    let class = match status.as_u16() / 100 {
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => "1xx", // open set: a number
    };
    metrics::counter!(REQUESTS, "method" => method, "status" => class).increment(1);
    metrics::histogram!(TOOK).record(took.as_secs_f64());
}

async fn show(State(service): State<Service>, headers: HeaderMap) -> Result<Response, Problem> {
    service.metrics.admits(&headers)?;
    let gauges = service.store.gauges().await?;
    let mut text = stand(&gauges, service.clock.now());
    if let Some(counted) = &service.metrics.counted {
        counted.run_upkeep();
        text.push_str(&counted.render());
    }
    let kind = (header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
    Ok(([kind, (header::CACHE_CONTROL, "no-store")], text).into_response())
}

/// A family of numbers as text; amounts stay decimal text, which a float would not be.
fn family<L: Display, V: Display>(
    text: &mut String,
    name: &str,
    kind: &str,
    help: &str,
    rows: impl IntoIterator<Item = (L, V)>,
) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    for (labels, value) in rows {
        let _ = writeln!(text, "{name}{labels} {value}");
    }
}

fn stand(gauges: &Gauges, now: i64) -> String {
    let mut text = String::new();
    let sent = trueup_transport::totals();
    let version = format!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    family(&mut text, "trueup_build_info", "gauge", "The version that runs", [(version, 1)]);
    let mut total =
        |name: &str, help: &str, value: u64| family(&mut text, name, "counter", help, [("", value)]);
    total("trueup_psa_calls_total", "Requests of this process to ConnectWise, retries included", sent.calls);
    total("trueup_psa_retries_total", "Of these, repetitions of an earlier request", sent.retries);
    total("trueup_psa_throttled_total", "Answers that asked for fewer calls (429 and 503)", sent.throttled);
    total("trueup_psa_doubts_total", "Calls of which nobody could say whether they were done", sent.in_doubt);
    total(
        "trueup_psa_waited_milliseconds_total",
        "Waiting for the learnt pace, over all calls",
        sent.waited_ms,
    );
    let waits = gauges.waiting_since.map_or(0, |since| now.saturating_sub(since).max(0) / 1_000);
    let mut gauge =
        |name: &str, help: &str, value: String| family(&mut text, name, "gauge", help, [("", value)]);
    gauge("trueup_queue_age_seconds", "How long the oldest run waits", waits.to_string());
    gauge("trueup_organizations", "Organizations", gauges.organizations.to_string());
    gauge("trueup_operations_in_doubt", "Writes that wait to be looked up", gauges.in_doubt.to_string());
    let by_state = |all: &std::collections::BTreeMap<String, u64>| -> Vec<(String, u64)> {
        all.iter().map(|(state, n)| (format!("{{state=\"{state}\"}}"), *n)).collect()
    };
    family(&mut text, "trueup_runs", "gauge", "Runs by state", by_state(&gauges.runs));
    family(&mut text, "trueup_tasks", "gauge", "Tasks by state", by_state(&gauges.tasks));
    let deliveries = gauges
        .deliveries
        .iter()
        .map(|((channel, state), n)| (format!("{{channel=\"{channel}\",state=\"{state}\"}}"), n));
    let help = "Webhooks and mails of the last 30 days by state";
    family(&mut text, "trueup_deliveries", "gauge", help, deliveries);
    let findings = gauges
        .findings
        .iter()
        .map(|((code, severity), n)| (format!("{{code=\"{code}\",severity=\"{severity}\"}}"), n));
    family(&mut text, "trueup_findings", "gauge", "Open findings by code and severity", findings);
    let at_risk = gauges.at_risk.iter().map(|(currency, sum)| (format!("{{currency=\"{currency}\"}}"), sum));
    family(&mut text, "trueup_money_at_risk", "gauge", "Amounts of open findings by currency", at_risk);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_stay_what_they_are_and_labels_name_nobody() {
        let gauges = Gauges {
            waiting_since: Some(1_000),
            at_risk: [("USD", "12345678901234.123456".to_owned())].into(),
            findings: [(("TU5001".to_owned(), "warning"), 3)].into(),
            runs: [("queued".to_owned(), 2)].into(),
            ..Gauges::default()
        };
        let text = stand(&gauges, 62_000);
        for line in [
            "trueup_money_at_risk{currency=\"USD\"} 12345678901234.123456",
            "trueup_findings{code=\"TU5001\",severity=\"warning\"} 3",
            "trueup_runs{state=\"queued\"} 2",
            "trueup_queue_age_seconds 61",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in {text}");
        }
    }

    #[test]
    fn only_a_plain_loopback_address_is_open() {
        let local: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        let url = Url::parse("https://trueup.example.com").unwrap();
        assert!(is_open(local, None, false));
        assert!(!is_open(local, Some(&url), false));
        assert!(!is_open(local, None, true));
        assert!(!is_open("0.0.0.0:8080".parse().unwrap(), None, false));
    }
}
