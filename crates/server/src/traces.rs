//! Traces (OpenTelemetry): requests and runs with what they call, sent to a collector. Off unless an address is configured.
//!
//! They leave through the one sender like everything else, so that a second HTTP client is not needed.

use crate::compose;
use crate::deployment::TraceOptions;
use async_trait::async_trait;
use axum::http::{Request, Response};
use bytes::Bytes;
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::time::Duration;
use tokio::runtime::Handle;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;
use trueup_transport::{Call, HostRules, Safety, Sender, SenderConfig};
use url::Url;

/// The collector has to answer within this time.
const ANSWER: Duration = Duration::from_secs(5);
/// What is left at the end gets so long.
const LAST: Duration = Duration::from_secs(2);

/// The traces of this process.
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Begins to collect; none, and a word about it, where that cannot be.
    pub fn start(options: &TraceOptions, runtime: Handle) -> Option<Self> {
        match provider(options, runtime) {
            Ok(provider) => {
                trueup_transport::set_trace_parent(trace_parent);
                Some(Self(provider))
            }
            Err(why) => {
                crate::output::note(&format!("No traces are sent: {why}"));
                None
            }
        }
    }

    /// What takes spans of our own code.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let own = Targets::new().with_target("trueup", LevelFilter::INFO);
        // Log lines are for the log; errors of spans are told by their status.
        tracing_opentelemetry::layer().with_tracer(self.0.tracer("trueup")).with_filter(own)
    }

    /// Sends what is left.
    pub fn finish(self) {
        let _ = self.0.shutdown_with_timeout(LAST);
    }
}

fn provider(options: &TraceOptions, runtime: Handle) -> Result<SdkTracerProvider, String> {
    let url = Url::parse(&options.endpoint).map_err(|error| error.to_string())?;
    let host = url.host_str().unwrap_or_default().to_owned();
    let rules =
        HostRules::none().allow_private_host(&host).allow_loopback(compose::is_loopback(&options.endpoint));
    rules.check_url(&url).map_err(|error| error.to_string())?;
    let sender = Sender::new(SenderConfig {
        rules,
        attempt_timeout: ANSWER,
        deadline: ANSWER,
        max_retries: 0,
        max_throttle_retries: 0,
        in_totals: false,
        max_body_bytes: 64 * 1024,
        ..SenderConfig::default()
    })
    .map_err(|error| error.to_string())?;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_http_client(Collector { sender, runtime })
        .with_endpoint(&options.endpoint)
        .with_timeout(ANSWER)
        .build()
        .map_err(|error| error.to_string())?;
    let resource = Resource::builder().with_service_name("trueup").build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

/// The collector, by the one sender. Batches are exported from a thread without a runtime, so that the call itself is
/// made on ours.
#[derive(Debug)]
struct Collector {
    sender: Sender,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let mut call = Call::new(parts.method, Url::parse(&parts.uri.to_string())?).safety(Safety::Once);
        for (name, value) in &parts.headers {
            call = call.header(name.clone(), value.to_str()?);
        }
        let kind = parts.headers.get("content-type").and_then(|v| v.to_str().ok());
        call = call.body(kind.unwrap_or("application/x-protobuf"), body);
        let sender = self.sender.clone();
        let outcome = self.runtime.spawn(async move { sender.send(call).await }).await?;
        let reply = outcome.reply().ok_or("the collector does not answer")?;
        let mut response = Response::new(reply.body().clone());
        *response.status_mut() = reply.status();
        Ok(response)
    }
}

/// The header `traceparent` of the span that is entered; none outside of every span.
fn trace_parent() -> Option<String> {
    let context = tracing::Span::current().context();
    let span = context.span();
    let span = span.span_context();
    span.is_valid()
        .then(|| format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), span.trace_flags().to_u8()))
}
