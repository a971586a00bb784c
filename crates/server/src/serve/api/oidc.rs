//! Signing in by another service. The browser goes there and comes back, and ends with the same session as by password.

use crate::deployment::{GroupPlace, OidcOptions};
use crate::serve::api::session;
use crate::serve::console;
use crate::serve::extract::Find;
use crate::serve::gate;
use crate::serve::oidc::{self, Known, OidcError};
use crate::serve::problem::Problem;
use crate::serve::rights::Role;
use crate::serve::secrets::NO_PASSWORD;
use crate::serve::state::{INSTALLATION, Service};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use trueup_domain::ids::OrganizationId;
use trueup_engine::ports::Clock;
use trueup_store::{Ends, Person};
use utoipa::{IntoParams, ToSchema};

/// The cookie of a sign-in under way.
const COOKIE: &str = "trueup_sign_in";
/// Where it is sent.
const PATH: &str = "/api/v1/session/oidc";

/// How people may sign in.
#[derive(Serialize, ToSchema)]
pub struct WaysDoc {
    /// Whether by a password of this service.
    password: bool,
    /// By another service, where there is one.
    oidc: Option<OidcWay>,
}

/// A service that people may sign in by.
#[derive(Serialize, ToSchema)]
pub struct OidcWay {
    /// What the button says.
    name: String,
    /// Where the browser goes.
    start: &'static str,
}

/// Where the browser goes after the sign-in.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BeginQuery {
    /// A path of this service; `/` where it is missing.
    back: Option<String>,
}

/// What the other service sends along.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EndQuery {
    /// The code.
    code: Option<String>,
    /// The state.
    state: Option<String>,
    /// Why there is no code.
    error: Option<String>,
}

/// How people may sign in
#[utoipa::path(get, path = "/api/v1/session/ways", tag = "session",
    responses((status = 200, description = "The ways there are", body = WaysDoc)))]
pub async fn ways(State(service): State<Service>) -> Json<WaysDoc> {
    let known = service.options.oidc.as_ref().filter(|_| service.public_url.is_some());
    let oidc = known.map(|oidc| OidcWay { name: oidc.name.clone(), start: PATH });
    Json(WaysDoc { password: true, oidc })
}

fn settings(service: &Service) -> Result<(&OidcOptions, String), Problem> {
    let none = || {
        Problem::conflict(
            "nobody signs in by another service here",
            "Sign in with a password; an operator can set oidc.issuer and --public-url.",
        )
    };
    let oidc = service.options.oidc.as_ref().ok_or_else(none)?;
    Ok((oidc, oidc::redirect_url(service).ok_or_else(none)?))
}

/// A path of this service, whatever was asked for.
fn own_path(back: Option<String>) -> String {
    let good = |path: &String| {
        path.len() <= 500
            && path.starts_with('/')
            && !path.starts_with("//")
            && path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
    };
    back.filter(good).unwrap_or_else(|| "/".to_owned())
}

fn cookie(service: &Service, value: &str, seconds: i64) -> Option<HeaderValue> {
    let secure = if service.is_secure() { "; Secure" } else { "" };
    // Lax: the browser comes back from another site.
    let text = format!("{COOKIE}={value}; Path={PATH}; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}");
    HeaderValue::from_str(&text).ok()
}

fn go(to: &str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, to.to_owned())]).into_response()
}

/// Sign in by another service
///
/// For browsers: sends them there. They come back to the path `back` with a session, or to `/?sign_in=` and why not:
/// `failed`, `unknown` (nobody here has the address, or no group that may), `disabled`, `away` (the other service is out of
/// reach; who does not ask for a page is answered with 502).
#[utoipa::path(get, path = "/api/v1/session/oidc", tag = "session", params(BeginQuery),
    responses((status = 303, description = "To the other service"), (status = 409, description = "There is none", body = crate::serve::problem::ProblemDocument, content_type = "application/problem+json"),
        (status = 502, description = "The other service is out of reach", body = crate::serve::problem::ProblemDocument, content_type = "application/problem+json")))]
pub async fn begin(
    State(service): State<Service>,
    headers: HeaderMap,
    Find(query): Find<BeginQuery>,
) -> Result<Response, Problem> {
    let (oidc, redirect) = settings(&service)?;
    let (url, value) = match oidc::begin(&service, oidc, redirect, own_path(query.back)).await {
        Ok(begun) => begun,
        Err(error) => {
            tracing::error!(%error, "nobody can sign in by the other service");
            if console::takes_pages(&headers) {
                return Ok(go("/?sign_in=away"));
            }
            return Err(Problem::new(
                StatusCode::BAD_GATEWAY,
                "sign-in",
                "The service for sign-in is out of reach",
                "it did not say what is needed to sign in by it",
                "Try again, or sign in with a password.",
            ));
        }
    };
    let mut response = go(url.as_str());
    if let Some(cookie) = cookie(&service, &value, oidc::UNDER_WAY_MS / 1_000) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Come back from another service
///
/// Only the browser that began it gets a session.
#[utoipa::path(get, path = "/api/v1/session/oidc/callback", tag = "session", params(EndQuery),
    responses((status = 303, description = "Into the console, signed in or told why not"),
        (status = 409, description = "There is none", body = crate::serve::problem::ProblemDocument, content_type = "application/problem+json")))]
pub async fn end(
    State(service): State<Service>,
    headers: HeaderMap,
    Find(query): Find<EndQuery>,
) -> Result<Response, Problem> {
    let (oidc, redirect) = settings(&service)?;
    let held = gate::cookie(&headers, COOKIE);
    let signed_in = match known(&service, oidc, redirect, held, &query).await {
        Ok((known, back)) => match person_of(&service, oidc, &known).await? {
            Ok(person) => Ok((session::begin(&service, &person, "oidc").await?.1, back)),
            Err(why) => Err(why),
        },
        Err(error) => {
            tracing::warn!(%error, "a sign-in by another service failed");
            Err("failed")
        }
    };
    let mut response = match signed_in {
        Ok((value, back)) => {
            let mut response = go(&back);
            session::give_cookie(&service, &mut response, &value);
            response
        }
        Err(why) => go(&format!("/?sign_in={why}")),
    };
    if let Some(over) = cookie(&service, "", 0) {
        response.headers_mut().append(header::SET_COOKIE, over);
    }
    Ok(response)
}

async fn known(
    service: &Service,
    oidc: &OidcOptions,
    redirect: String,
    cookie: Option<&str>,
    query: &EndQuery,
) -> Result<(Known, String), OidcError> {
    let under_way = oidc::opened(oidc, cookie, service.clock.now())?;
    if let Some(error) = &query.error {
        return Err(OidcError::Token(error.chars().take(100).collect()));
    }
    let (Some(code), Some(state)) = (&query.code, &query.state) else {
        return Err(OidcError::Foreign("it carries no code"));
    };
    let known = oidc::end(service, oidc, redirect, &under_way, (code, state)).await?;
    Ok((known, under_way.back))
}

/// The person with the address; one that is made where that is allowed. With a map of groups, role and place follow it,
/// and who is in none of its groups does not come in.
async fn person_of(
    service: &Service,
    oidc: &OidcOptions,
    known: &Known,
) -> Result<Result<Person, &'static str>, Problem> {
    let place = oidc.groups.iter().find(|place| known.groups.contains(&place.group));
    if place.is_none() && !oidc.groups.is_empty() {
        tracing::warn!(email = known.email, "somebody of no group that is mapped wanted to sign in");
        return Ok(Err("unknown"));
    }
    let found = service.store.find_person_by_email(&known.email).await?;
    let person = match (found, place) {
        (Some(person), _) if person.disabled => return Ok(Err("disabled")),
        (Some(person), place) => return follow(service, person, place).await,
        (None, Some(place)) if oidc.create => made(service, known, place).await?,
        (None, _) => {
            tracing::warn!(email = known.email, "nobody here has this address");
            return Ok(Err("unknown"));
        }
    };
    Ok(person.ok_or("unknown"))
}

/// The organization of a place; none where it is not there.
async fn org_of(service: &Service, place: &GroupPlace) -> Result<Option<Option<OrganizationId>>, Problem> {
    let Some(org) = &place.org else { return Ok(Some(None)) };
    let org = OrganizationId::from(org.as_str());
    let there = service.store.find_organization(&org).await?.is_some();
    if !there {
        tracing::error!(%org, group = place.group, "oidc.groups names an organization that is not there");
    }
    Ok(there.then_some(Some(org)))
}

/// Whoever gave the row its password need not be whose address it is, and must not come by what a group gives: who is
/// moved by one signs in by the other service alone. The same for a one-time password that nobody used.
async fn follow(
    service: &Service,
    person: Person,
    place: Option<&GroupPlace>,
) -> Result<Result<Person, &'static str>, Problem> {
    let mut after = person.clone();
    if let Some(place) = place {
        let Some(org) = org_of(service, place).await? else { return Ok(Err("unknown")) };
        after.role.clone_from(&place.role);
        after.org = org;
    }
    let moved = after.role != person.role || after.org != person.org;
    if moved || after.must_change {
        after.must_change = false;
        NO_PASSWORD.clone_into(&mut after.password_hash);
    }
    if after == person {
        return Ok(Ok(after));
    }
    let dropped = after.password_hash != person.password_hash;
    let ends = if moved && dropped {
        // Somebody with the password may have made them.
        Ends::SessionsAndTokens(service.clock.now())
    } else {
        Ends::Sessions
    };
    let show = |p: &Person| json!({ "role": p.role, "organization": p.org });
    let detail = json!({
        "email": person.email, "before": show(&person), "after": show(&after), "way": "oidc",
        "password_dropped": dropped, "tokens_revoked": moved && dropped,
    });
    let entry = service.entry(&person.email, "user.change", format!("user/{}", person.id), &detail);
    let home = after.org.clone().unwrap_or_else(|| OrganizationId::from(INSTALLATION));
    let saved = service.store.update_person(&person, &after, ends, (&home, &entry)).await?;
    Ok(if saved { Ok(after) } else { Err("failed") })
}

async fn made(service: &Service, known: &Known, place: &GroupPlace) -> Result<Option<Person>, Problem> {
    let Some(org) = org_of(service, place).await? else { return Ok(None) };
    let Some(role) = Role::from_name(&place.role) else { return Ok(None) };
    let person = Person {
        id: uuid::Uuid::now_v7().simple().to_string(),
        org,
        email: known.email.clone(),
        name: known.name.clone().unwrap_or_else(|| known.email.clone()),
        role: role.name().to_owned(),
        password_hash: NO_PASSWORD.to_owned(),
        must_change: false,
        disabled: false,
        created_at: service.clock.now(),
    };
    let detail = json!({ "email": person.email, "role": person.role, "way": "oidc" });
    let entry = service.entry(&person.email, "user.add", format!("user/{}", person.id), &detail);
    let home = person.org.clone().unwrap_or_else(|| OrganizationId::from(INSTALLATION));
    service.store.add_person(&person, &home, &entry).await?;
    Ok(Some(person))
}

#[cfg(test)]
mod tests {
    use super::own_path;

    #[test]
    fn the_browser_stays_on_this_site() {
        let back = |text: &str| own_path(Some(text.to_owned()));
        assert_eq!(back("/tasks?state=new"), "/tasks?state=new");
        for foreign in ["", "https://evil.example", "//evil.example", "/\\evil", "/a b", "/\r\nx: y", "tasks"]
        {
            assert_eq!(back(foreign), "/", "{foreign}");
        }
    }
}
