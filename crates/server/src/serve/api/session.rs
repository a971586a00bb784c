//! Signing in and out, and the password.

use crate::output::documents::instant;
use crate::serve::extract::{Body, Known};
use crate::serve::gate::cookie_name;
use crate::serve::limiter::Attempt;
use crate::serve::people;
use crate::serve::problem::Problem;
use crate::serve::rights::Right;
use crate::serve::secrets;
use crate::serve::state::{By, Service};
use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use trueup_domain::ids::OrganizationId;
use trueup_engine::ports::{Clock, Store};
use trueup_engine::records::Millis;
use trueup_store::{Ends, Person, Session};
use utoipa::ToSchema;

/// A session ends after so long, used or not.
const LONGEST_MS: Millis = 7 * 24 * 60 * 60 * 1_000;

/// What signing in takes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// E-mail address.
    #[schema(max_length = 254)]
    email: String,
    /// Password, or the one-time password.
    #[schema(max_length = 256)]
    password: String,
}

/// What a change of the password takes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    /// The password of now.
    #[schema(max_length = 256)]
    current: String,
    /// The password from now on.
    #[schema(min_length = 12, max_length = 256)]
    new: String,
}

/// Who is signed in.
#[derive(Serialize, ToSchema)]
pub struct SessionDoc {
    /// Id of the person or the token.
    id: String,
    /// The name that the audit shows.
    actor: String,
    /// Display name of a person.
    name: Option<String>,
    /// The role's word; none for a token.
    role: Option<String>,
    /// The organization the rights hold in, and below; none for the whole installation.
    organization: Option<String>,
    /// The rights.
    #[schema(value_type = Vec<String>)]
    rights: BTreeSet<Right>,
    /// Whether the password has to be changed before anything else.
    must_change_password: bool,
    /// To be sent in the header `x-csrf-token` of every unsafe request of this session.
    csrf_token: Option<String>,
    /// When the session ends at the latest.
    expires_at: Option<String>,
}

impl SessionDoc {
    fn of(session: &Session, person: &Person, rights: BTreeSet<Right>) -> Self {
        Self {
            id: person.id.clone(),
            actor: person.email.clone(),
            name: Some(person.name.clone()),
            role: Some(person.role.clone()),
            organization: person.org.as_ref().map(ToString::to_string),
            rights,
            must_change_password: person.must_change,
            csrf_token: Some(session.csrf.clone()),
            expires_at: Some(instant(session.expires_at)),
        }
    }
}

/// Sign in
///
/// The answer sets the session's cookie. Failures are counted; who fails often has to wait.
#[utoipa::path(post, path = "/api/v1/session", tag = "session", request_body = SignIn,
    responses((status = 200, description = "Signed in", body = SessionDoc)))]
pub async fn sign_in(
    State(service): State<Service>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Body(body): Body<SignIn>,
) -> Result<Response, Problem> {
    let address = client_address(&service, peer, &headers);
    let email: String = body.email.trim().to_lowercase().chars().take(254).collect();
    let attempt = attempt(&service, &address, &email)?;
    let person = service.store.find_person_by_email(&email).await?;
    let fits = body.password.len() <= secrets::LONGEST_PASSWORD
        && secrets::verify_password(body.password, person.as_ref().map(|p| p.password_hash.clone())).await;
    let Some(person) = person.filter(|p| fits && !p.disabled) else {
        tracing::warn!(address, "a sign-in failed");
        return Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "wrong-password",
            "Not signed in",
            "the address or the password is wrong, or the person is shut out",
            "Check both; an administrator can give a new one-time password.",
        ));
    };
    service.limiter.succeeded(attempt);
    let (session, value) = begin(&service, &person, "password").await?;
    let rights = crate::serve::rights::Role::from_name(&person.role).map(|r| r.rights()).unwrap_or_default();
    let mut response = Json(SessionDoc::of(&session, &person, rights)).into_response();
    give_cookie(&service, &mut response, &value);
    Ok(response)
}

/// Lets a password be tried, where it was not wrong too often.
fn attempt(service: &Service, address: &str, email: &str) -> Result<Attempt, Problem> {
    let now = service.clock.now();
    if let Some(seconds) = service.limiter.wait(address, email, now) {
        let mut problem = Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too-many-attempts",
            "Too many attempts",
            "the password was wrong too often from here",
            "Wait, then try again.",
        );
        problem.retry_after = Some(seconds);
        return Err(problem);
    }
    Ok(service.limiter.attempted(address, email, now))
}

/// Begins a session of a person, and says so in the audit; with the value of its cookie.
///
/// # Errors
/// The store's.
pub async fn begin(service: &Service, person: &Person, way: &str) -> Result<(Session, String), Problem> {
    let now = service.clock.now();
    let value = secrets::random();
    let session = Session {
        hash: secrets::hash(&value),
        person: person.id.clone(),
        csrf: secrets::random(),
        created_at: now,
        seen_at: now,
        expires_at: now.saturating_add(LONGEST_MS),
    };
    if !service.store.add_session(&session, person).await? {
        return Err(people::changed_meanwhile());
    }
    let detail = json!({ "way": way });
    let entry = service.entry(&person.email, "session.begin", format!("user/{}", person.id), &detail);
    service.store.append_audit(&audit_home(person), &[entry]).await?;
    Ok((session, value))
}

/// Gives a browser the cookie of a session that has begun.
pub fn give_cookie(service: &Service, response: &mut Response, value: &str) {
    set_cookie(service, response, value, LONGEST_MS / 1_000);
}

fn audit_home(person: &Person) -> OrganizationId {
    person.org.clone().unwrap_or_else(|| OrganizationId::from(crate::serve::state::INSTALLATION))
}

/// The address that failures are counted for. Only the last entry was written by our own proxy: the ones before it are
/// the client's word.
fn client_address(service: &Service, peer: SocketAddr, headers: &HeaderMap) -> String {
    if !service.behind_proxy && peer.ip().is_loopback() && headers.contains_key("x-forwarded-for") {
        static TOLD: std::sync::Once = std::sync::Once::new();
        TOLD.call_once(|| {
            tracing::warn!(
                "a proxy on this machine names who is behind it, which is ignored: everybody is counted as one at \
                 sign-in; set TRUEUP_BEHIND_PROXY=true"
            );
        });
    }
    let forwarded = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|v| v.to_str().ok())
        .next_back()
        .and_then(|text| text.rsplit(',').next())
        .map(str::trim)
        .filter(|text| service.behind_proxy && !text.is_empty());
    forwarded.map_or_else(|| peer.ip().to_string(), |text| text.chars().take(64).collect())
}

fn set_cookie(service: &Service, response: &mut Response, value: &str, seconds: i64) {
    let secure = if service.is_secure() { "; Secure" } else { "" };
    let text = format!(
        "{}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}",
        cookie_name(service)
    );
    if let Ok(cookie) = HeaderValue::from_str(&text) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

/// Who is signed in
#[utoipa::path(get, path = "/api/v1/session", tag = "session",
    responses((status = 200, description = "The caller", body = SessionDoc)))]
pub async fn show(Known(caller): Known) -> Json<SessionDoc> {
    Json(match &caller.by {
        By::Session(known) => SessionDoc::of(&known.0, &known.1, caller.rights.clone()),
        By::Token { .. } => SessionDoc {
            id: caller.id.clone(),
            actor: caller.actor.clone(),
            name: None,
            role: None,
            organization: caller.home.as_ref().map(ToString::to_string),
            rights: caller.rights.clone(),
            must_change_password: false,
            csrf_token: None,
            expires_at: None,
        },
    })
}

/// Sign out
#[utoipa::path(delete, path = "/api/v1/session", tag = "session",
    responses((status = 204, description = "Signed out")))]
pub async fn sign_out(State(service): State<Service>, Known(caller): Known) -> Result<Response, Problem> {
    if let By::Session(known) = &caller.by {
        service.store.end_session(&known.0.hash).await?;
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    set_cookie(&service, &mut response, "", 0);
    Ok(response)
}

/// Change the own password
///
/// Ends every other session of the person.
#[utoipa::path(put, path = "/api/v1/session/password", tag = "session", request_body = PasswordChange,
    responses((status = 200, description = "Changed", body = SessionDoc),
        (status = 429, description = "Too many attempts", body = crate::serve::problem::ProblemDocument, content_type = "application/problem+json")))]
pub async fn change_password(
    State(service): State<Service>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Known(caller): Known,
    Body(body): Body<PasswordChange>,
) -> Result<Json<SessionDoc>, Problem> {
    let By::Session(known) = &caller.by else {
        return Err(Problem::forbidden("a token has no password", "Sign in as a person."));
    };
    let (session, person) = known.as_ref();
    let address = client_address(&service, peer, &headers);
    let attempt = attempt(&service, &address, &person.email)?;
    if !secrets::verify_password(body.current.clone(), Some(person.password_hash.clone())).await {
        return Err(Problem::field("current", "it is not the password of now"));
    }
    service.limiter.succeeded(attempt);
    if body.current == body.new {
        return Err(Problem::field("new", "it is the password of now"));
    }
    if let Some(reason) = secrets::weakness(&body.new, &person.email) {
        return Err(Problem::field("new", reason));
    }
    let password_hash = secrets::hash_password(body.new).await.map_err(|_| Problem::internal())?;
    let changed = Person { password_hash, must_change: false, ..person.clone() };
    let entry = service.entry(&caller.actor, "user.password", format!("user/{}", person.id), &json!({}));
    let home = audit_home(person);
    let ends = Ends::SessionsBut(&session.hash);
    if !service.store.update_person(person, &changed, ends, (&home, &entry)).await? {
        return Err(people::changed_meanwhile());
    }
    Ok(Json(SessionDoc::of(session, &changed, caller.rights.clone())))
}
