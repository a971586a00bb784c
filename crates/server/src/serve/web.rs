//! The HTTP side: the router with what surrounds every request, and serving it until the stop.

use super::problem::Problem;
use super::state::Service;
use super::{console, docs, gate, health, metrics};
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use std::any::Any;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;
use utoipa_swagger_ui::SwaggerUi;

/// Bodies of routes that name no limit of their own.
const USUAL_BODY: usize = 1024 * 1024;
/// Requests under way get so long after the stop.
const GRACE: Duration = Duration::from_secs(20);
const REQUEST_ID: &str = "x-request-id";

/// The whole of what is served.
pub fn router(service: Service) -> Router {
    let (api, document) = docs::routes();
    let api = api
        .layer(DefaultBodyLimit::max(USUAL_BODY))
        .layer(middleware::from_fn_with_state(service.clone(), gate::gate))
        .layer(middleware::map_response(no_store));
    let router: Router<Service> = health::routes()
        .merge(metrics::routes())
        .merge(SwaggerUi::new("/docs").url("/api/v1/openapi.json", document))
        .merge(api)
        .fallback(console::serve);
    surrounded(router, service)
}

/// What is served to those who watch the process, and nothing else.
pub fn watching(service: Service) -> Router {
    surrounded(health::routes().merge(metrics::routes()).fallback(nothing_here), service)
}

fn surrounded(router: Router<Service>, service: Service) -> Router {
    router
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(service.clone(), surround))
        .with_state(service)
}

/// Serves until `stopping`, and then lets requests under way finish.
pub async fn serve(router: Router, listener: TcpListener, stopping: watch::Receiver<bool>) {
    let app = router.into_make_service_with_connect_info::<SocketAddr>();
    let stopped = |mut stopping: watch::Receiver<bool>| async move {
        let _ = stopping.wait_for(|stop| *stop).await;
    };
    let graceful = axum::serve(listener, app).with_graceful_shutdown(stopped(stopping.clone()));
    let too_late = async {
        stopped(stopping).await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        done = graceful.into_future() => if let Err(error) = done {
            tracing::error!(%error, "serving stopped");
        },
        () = too_late => tracing::warn!("requests were still under way at the stop"),
    }
}

async fn nothing_here() -> Problem {
    Problem::nothing_here()
}

/// A panic is a mistake of ours; the others go on.
fn panicked(_: Box<dyn Any + Send + 'static>) -> Response<Body> {
    tracing::error!("a handler panicked");
    Problem::internal().into_response()
}

/// Answers of the API are for their caller alone.
async fn no_store(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Names the request, logs it, and tells browsers what this service never does.
async fn surround(State(service): State<Service>, request: Request, next: Next) -> Response {
    let id = uuid::Uuid::now_v7().simple().to_string();
    // The path of a callback is a secret between ConnectWise and this service.
    let path = request.uri().path();
    let path = if path.starts_with("/api/v1/callbacks/") { "/api/v1/callbacks/…" } else { path };
    let span = tracing::info_span!("request", id, method = %request.method(), path);
    let method = request.method().clone();
    let began = std::time::Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    span.in_scope(|| tracing::info!(status = response.status().as_u16(), took_ms = took, "answered"));
    metrics::count(&method, response.status(), began.elapsed());
    let fixed = [
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), geolocation=(), microphone=(), payment=()",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'; \
             base-uri 'none'; form-action 'self'; object-src 'none'",
        ),
    ];
    let headers = response.headers_mut();
    for (name, value) in fixed {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if service.is_secure() {
        let year = HeaderValue::from_static("max-age=31536000");
        headers.entry(header::STRICT_TRANSPORT_SECURITY).or_insert(year);
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(HeaderName::from_static(REQUEST_ID), value);
    }
    response
}
