//! Whether the process lives, and whether it can work.

use super::problem::Problem;
use super::state::Service;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

/// The routes; they need nobody to be known and tell nothing about the installation.
pub fn routes() -> Router<Service> {
    Router::new().route("/health/live", get(live)).route("/health/ready", get(ready))
}

async fn live() -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "no-store")], Json(json!({ "status": "live" })))
}

async fn ready(
    State(service): State<Service>,
) -> Result<([(header::HeaderName, &'static str); 1], Json<Value>), Problem> {
    service.store.ready().await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(json!({ "status": "ready" }))))
}
