//! Callbacks of ConnectWise: the place where they arrive is made for a connection, and what arrives there is a hint to
//! read an agreement again, or to look at the ticket of an alert. Nothing that a callback says is believed, one that comes twice is read once, and a forged one
//! changes nothing.

use crate::compose;
use crate::serve::extract;
use crate::serve::problem::Problem;
use crate::serve::secrets;
use crate::serve::state::{Scope, Service};
use crate::serve::worker::{RunKind, RunWish};
use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use secrecy::SecretString;
use serde::Serialize;
use serde_json::json;
use std::collections::HashMap;
use std::sync::Mutex;
use trueup_connectwise::client::callback::{CallbackEvent, SIGNATURE_HEADER, verify_signature};
use trueup_domain::ids::AgreementId;
use trueup_domain::ticket::TicketId;
use trueup_engine::alerts::AlertFilter;
use trueup_engine::ports::{Clock, Store};
use trueup_engine::records::{Connection, Millis, NewAuditEntry};
use trueup_store::{Callback, Run};
use utoipa::ToSchema;

/// Callbacks of one connection in a minute; ConnectWise repeats what is answered 429.
const MOST_A_MINUTE: u32 = 600;
/// Signing keys fetched for one connection in a minute: a forged callback may name a new one each time.
const KEYS_A_MINUTE: u32 = 6;
const MINUTE_MS: Millis = 60_000;
/// Runs that callbacks of a connection start begin so long after one another.
const APART_MS: Millis = MINUTE_MS;
/// The name in the audit.
const ACTOR: &str = "callback";
/// A signing key is used again for so long.
const KEY_KEPT_MS: Millis = 60 * MINUTE_MS;
/// The key has to come within this time.
const KEY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(4);
/// Keys kept in all.
const MOST_KEYS: usize = 2_000;
/// Longer addresses of keys are none.
const LONGEST_URL: usize = 2_000;

/// What is remembered of callbacks, in memory: every process of the API for itself.
#[derive(Default)]
pub struct Callbacks(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    counts: HashMap<(&'static str, String), (Millis, u32)>,
    keys: HashMap<(String, String), (Millis, SecretString)>,
}

impl Callbacks {
    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Counts one more of a thing; whether it is within the limit of this minute.
    fn allows(&self, what: &'static str, hash: &str, most: u32, now: Millis) -> bool {
        let mut memory = self.memory();
        let counts = &mut memory.counts;
        if counts.len() >= MOST_KEYS {
            counts.retain(|_, (since, _)| (0..MINUTE_MS).contains(&now.saturating_sub(*since)));
        }
        let (since, count) = counts.entry((what, hash.to_owned())).or_insert((now, 0));
        if !(0..MINUTE_MS).contains(&now.saturating_sub(*since)) {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count <= most
    }

    fn key(&self, hash: &str, url: &str, now: Millis) -> Option<SecretString> {
        let memory = self.memory();
        let (at, key) = memory.keys.get(&(hash.to_owned(), url.to_owned()))?;
        (0..KEY_KEPT_MS).contains(&now.saturating_sub(*at)).then(|| key.clone())
    }

    fn keep(&self, hash: &str, url: &str, now: Millis, key: SecretString) {
        let mut memory = self.memory();
        if memory.keys.len() >= MOST_KEYS {
            memory.keys.clear();
        }
        memory.keys.insert((hash.to_owned(), url.to_owned()), (now, key));
    }
}

/// Where callbacks arrive.
#[derive(Serialize, ToSchema)]
pub struct CallbackDoc {
    /// The connection.
    connection: String,
    /// The address to enter in ConnectWise; shown once. ConnectWise puts the id of the record behind it.
    address: Option<String>,
}

/// Make the address for callbacks of a connection
///
/// An address that was made before ends. Enter it in ConnectWise as a callback of type `agreement`, and as one of type
/// `ticket` where alerts become tickets.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/connections/{connection}/callback", tag = "callbacks",
    params(("org" = String, Path, description = "The organization"),
        ("connection" = String, Path, description = "Its name")),
    responses((status = 201, description = "The address, shown once", body = CallbackDoc)))]
pub async fn make(
    State(service): State<Service>,
    scope: Scope,
) -> Result<(StatusCode, Json<CallbackDoc>), Problem> {
    // Hints about another organization's agreements would come in here.
    super::connections::own(&service, &scope).await?;
    let connection = scope.part("connection").to_owned();
    let Some(base) = &service.public_url else {
        return Err(Problem::conflict(
            "the service does not know the address under which ConnectWise reaches it",
            "Start it with --public-url https://…, then make the address.",
        ));
    };
    let token = secrets::random();
    let actor = scope.app(&service).actor().to_owned();
    let callback = Callback {
        org: scope.org.clone(),
        connection: connection.clone(),
        hash: secrets::hash(&token),
        created_by: actor.clone(),
        created_at: service.clock.now(),
    };
    let entry = service.entry(&actor, "callback.make", format!("connection/{connection}"), &json!({}));
    service.store.save_callback(&callback, &entry).await?;
    let address = format!("{}/api/v1/callbacks/{token}?recordId=", base.as_str().trim_end_matches('/'));
    Ok((StatusCode::CREATED, Json(CallbackDoc { connection, address: Some(address) })))
}

/// Take the address for callbacks of a connection away
#[utoipa::path(delete, path = "/api/v1/organizations/{org}/connections/{connection}/callback", tag = "callbacks",
    params(("org" = String, Path, description = "The organization"),
        ("connection" = String, Path, description = "Its name")),
    responses((status = 204, description = "It is gone")))]
pub async fn end(State(service): State<Service>, scope: Scope) -> Result<StatusCode, Problem> {
    let name = scope.part("connection");
    let actor = scope.app(&service).actor().to_owned();
    let entry = service.entry(&actor, "callback.end", format!("connection/{name}"), &json!({}));
    let there = service.store.delete_callback(&scope.org, name, &entry).await?;
    if there { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::none("callback", name)) }
}

/// Receive a callback of ConnectWise
///
/// The signature is checked with the key of the connection's own ConnectWise. The agreement that it names is read by a run
/// that begins at once, or a minute after the last one of its kind; where it names the ticket of an alert that is not
/// settled, a run looks at the tickets in the same way. Other records are read by every pull anyway.
#[utoipa::path(post, path = "/api/v1/callbacks/{token}", tag = "callbacks",
    params(("token" = String, Path, description = "The secret part of the address"),
        ("x-content-signature" = Option<String>, Header, description = "Base64 of the HMAC of the body")),
    request_body(content = Object, content_type = "application/json"),
    responses((status = 204, description = "Taken as a hint"),
        (status = 401, description = "The signature is not that of this ConnectWise", content_type = "application/problem+json"),
        (status = 404, description = "No such address", content_type = "application/problem+json")))]
pub async fn receive(
    State(service): State<Service>,
    Path(token): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Result<StatusCode, Problem> {
    let now = service.clock.now();
    let hash = secrets::hash(&token);
    let unknown = || Problem::none("callback", "with this address");
    let place = service.store.find_callback(&hash).await?.ok_or_else(unknown)?;
    if !service.callbacks.allows("callback", &hash, MOST_A_MINUTE, now) {
        return Err(too_many());
    }
    let forged =
        || Problem::unknown_caller("the callback is not signed by the ConnectWise of this connection");
    let signature = headers.get(SIGNATURE_HEADER).and_then(|v| v.to_str().ok()).ok_or_else(forged)?;
    let body = extract::bytes(request, &()).await?;
    let event = CallbackEvent::parse(&body).map_err(|e| Problem::malformed(e.to_string()))?;
    let all = service.store.list_connections(&place.org).await?;
    let connection = all.into_iter().find(|c| c.name == place.connection).ok_or_else(unknown)?;
    if !event.company.eq_ignore_ascii_case(&connection.company) {
        return Err(forged());
    }
    let key = signing_key(&service, &place, &connection, &event.metadata.key_url, now).await?;
    verify_signature(&key, &body, signature).map_err(|_| forged())?;
    match event.record_type.to_ascii_lowercase().as_str() {
        "agreement" if event.id > 0 => hint(&service, &place, AgreementId(event.id)).await?,
        "ticket" if event.id > 0 => hint_ticket(&service, &place, TicketId(event.id)).await?,
        _ => {} // open set: kinds of records
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn hint(service: &Service, place: &Callback, agreement: AgreementId) -> Result<(), Problem> {
    let (run, entry) =
        wished(service, place, RunKind::Pull, RunWish { changed: true, ..RunWish::default() }).await?;
    if service.store.hint_agreement(&place.connection, agreement, &run, APART_MS, &entry).await? {
        service.wake.notify_one();
    }
    Ok(())
}

/// Looks at the tickets of alerts at once where one of them was touched. Most tickets of a desk are nobody's alert: those
/// start nothing.
async fn hint_ticket(service: &Service, place: &Callback, ticket: TicketId) -> Result<(), Problem> {
    let filter = AlertFilter { unsettled: true, ..AlertFilter::default() };
    let alerts = service.store.alerts().list_alerts(&place.org, &filter).await?;
    if !alerts.iter().any(|alert| alert.thread.as_ref().is_some_and(|thread| thread.ticket == ticket)) {
        return Ok(());
    }
    let (run, entry) = wished(service, place, RunKind::Alerts, RunWish::default()).await?;
    if service.store.hint_ticket(&place.connection, &run, APART_MS, &entry).await? {
        service.wake.notify_one();
    }
    Ok(())
}

/// The run that a hint asks for, with its entry in the audit.
async fn wished(
    service: &Service,
    place: &Callback,
    kind: RunKind,
    wish: RunWish,
) -> Result<(Run, NewAuditEntry), Problem> {
    let wish = RunWish { connection: Some(place.connection.clone()), hinted: true, ..wish };
    let now = service.queue_time().await?;
    let run = Run::queued(&place.org, kind.name(), ACTOR, json!(wish).to_string(), now);
    let detail = json!({ "kind": run.kind, "connection": place.connection });
    let entry = service.entry(ACTOR, "run.start", format!("run/{}", run.id), &detail);
    Ok((run, entry))
}

fn too_many() -> Problem {
    let mut problem = Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too-many",
        "Too many callbacks",
        "this connection had its callbacks of this minute",
        "Wait; what is missed is read by the next pull.",
    );
    problem.retry_after = Some(60);
    problem
}

async fn signing_key(
    service: &Service,
    place: &Callback,
    connection: &Connection,
    url: &str,
    now: Millis,
) -> Result<SecretString, Problem> {
    let forged =
        || Problem::unknown_caller("the callback's key is not one of the ConnectWise of this connection");
    if url.is_empty() || url.len() > LONGEST_URL {
        return Err(forged());
    }
    if let Some(key) = service.callbacks.key(&place.hash, url, now) {
        return Ok(key);
    }
    let client = compose::client(connection, &service.options).map_err(crate::failure::CliError::problem)?;
    if !client.is_own_address(url) {
        return Err(forged());
    }
    if !service.callbacks.allows("key", &place.hash, KEYS_A_MINUTE, now) {
        return Err(too_many());
    }
    // ConnectWise waits five seconds for the answer, and repeats what is answered 429.
    let fetched = tokio::time::timeout(KEY_TIMEOUT, client.fetch_signing_key(url)).await;
    let key = fetched.map_err(|_| too_many())?.map_err(|error| {
        tracing::info!(%error, org = %place.org, "the key of a callback cannot be had");
        forged()
    })?;
    service.callbacks.keep(&place.hash, url, now, key.clone());
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_has_its_limit_and_a_clock_set_back_begins_anew() {
        let callbacks = Callbacks::default();
        let count = |now: Millis| (0..9).filter(|_| callbacks.allows("key", "h", 3, now)).count();
        assert_eq!(count(1_000), 3);
        assert_eq!(count(60_999), 0);
        assert_eq!(count(61_000), 3);
        assert_eq!(count(10), 3);
        assert!(callbacks.allows("key", "other", 3, 10));
    }

    #[test]
    fn a_key_is_kept_for_its_connection_and_its_time() {
        let callbacks = Callbacks::default();
        callbacks.keep("h", "https://a/key", 5, SecretString::from("k"));
        assert!(callbacks.key("h", "https://a/key", 6).is_some());
        assert!(callbacks.key("h", "https://a/key", 5 + KEY_KEPT_MS).is_none());
        assert!(callbacks.key("g", "https://a/key", 6).is_none());
        assert!(callbacks.key("h", "https://b/key", 6).is_none());
    }
}
