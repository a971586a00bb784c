//! The gate: who calls, whether the request is theirs, where it works and whether they may. Every request of the API
//! passes here before a handler sees it.

use super::problem::Problem;
use super::rights::{Right, Role};
use super::rules::{self, Access, Kind, Rule};
use super::secrets;
use super::state::{By, Caller, INSTALLATION, Scope, Service};
use super::{kept, page};
use axum::extract::{FromRequestParts, MatchedPath, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use tracing::Instrument;
use trueup_domain::ids::OrganizationId;
use trueup_engine::ports::{Clock, Store, StoreError};
use trueup_engine::records::Millis;
use url::Url;

/// A session that is not used for so long ends.
const IDLE_MS: Millis = 12 * 60 * 60 * 1_000;
/// The last use is written down at most so often.
const TOUCH_MS: Millis = 60 * 1_000;
/// The header that an unsafe request of a browser has to carry.
pub const CSRF_HEADER: &str = "x-csrf-token";

/// The name of the session's cookie. Browsers take the prefix from secure origins alone, and send the cookie to no
/// other host.
pub fn cookie_name(service: &Service) -> &'static str {
    if service.is_secure() { "__Host-trueup" } else { "trueup_session" }
}

/// Lets a request through, or answers it.
pub async fn gate(State(service): State<Service>, request: Request, next: Next) -> Response {
    let Some(matched) = request.extensions().get::<MatchedPath>().cloned() else {
        return next.run(request).await;
    };
    let Some(rule) = rules::find(request.method().as_str(), matched.as_str()) else {
        return no_rule(matched.as_str());
    };
    match admit(&service, rule, request).await {
        Ok(request) => carry_out(service, rule, request, next).await,
        Err(problem) => problem.into_response(),
    }
}

/// The organization of a request and the levels above it.
#[derive(Clone)]
struct Lineage(Arc<[OrganizationId]>);

fn no_rule(path: &str) -> Response {
    if !rules::knows_path(path) {
        // A route without a rule is a mistake of ours: it answers nobody.
        tracing::error!(path, "a route has no rule");
        return Problem::internal().into_response();
    }
    let mut response = Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method",
        "No such method here",
        "this path does not know the method",
        "The reference page shows what it knows.",
    )
    .into_response();
    let methods: Vec<&str> = rules::RULES.iter().filter(|r| r.path == path).map(|r| r.method).collect();
    if let Ok(allow) = HeaderValue::from_str(&methods.join(", ")) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

async fn carry_out(service: Service, rule: &'static Rule, request: Request, next: Next) -> Response {
    let lineage = request.extensions().get::<Lineage>().cloned();
    let uri = request.uri().clone();
    let work = async move {
        match kept::key_of(rule, request.headers()) {
            Ok(Some(key)) => kept::answer(&service, rule, key, request, next).await,
            Ok(None) => next.run(request).await,
            Err(problem) => problem.into_response(),
        }
    };
    let work = page::of_list(&uri, work);
    // The database shows the request no rows of another organization, whatever a statement forgets.
    let work = async move {
        match lineage {
            Some(Lineage(orgs)) => trueup_store::within(&orgs, work).await,
            None => work.await,
        }
    };
    let Some(limit) = rule.time_limit() else { return work.await };
    // What makes something is carried through also where the caller has gone away: half of it would help nobody.
    let done = if rule.kind == Kind::Makes {
        match tokio::time::timeout(limit, tokio::spawn(work.in_current_span())).await {
            Ok(Ok(response)) => Some(response),
            Ok(Err(_)) => Some(Problem::internal().into_response()),
            Err(_) => None,
        }
    } else {
        tokio::time::timeout(limit, work).await.ok()
    };
    done.unwrap_or_else(|| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too-slow",
            "It took too long",
            format!("there was no answer within {} seconds", limit.as_secs()),
            "Try again; where it is long work, start a run.",
        )
        .into_response()
    })
}

async fn admit(service: &Service, rule: &Rule, request: Request) -> Result<Request, Problem> {
    let (mut parts, body) = request.into_parts();
    let unsafe_method = !matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
    if rule.access == Access::Public {
        if unsafe_method {
            same_origin(service, &parts.headers)?;
        }
        return Ok(Request::from_parts(parts, body));
    }
    let caller = Arc::new(caller_of(service, &parts.headers).await?);
    if let By::Session(known) = &caller.by {
        if unsafe_method {
            same_origin(service, &parts.headers)?;
            shown_csrf(&parts.headers, &known.0.csrf)?;
        }
        if known.1.must_change && rule.access != Access::Known {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "password-change-needed",
                "The password has to be changed first",
                "this is a one-time password, which opens nothing but its own change",
                "Change it with PUT /api/v1/session/password.",
            ));
        }
    }
    match rule.access {
        Access::Public | Access::Known => {}
        Access::Somewhere(right) => {
            let home = caller.audit_home();
            needs(service, &caller, right, &home, &parts).await?;
        }
        Access::Scoped(right) => {
            let path = path_parts(&mut parts).await?;
            let org = wanted_organization(&caller, &path, &parts)?;
            // What concerns no single organization has an audit of its own, for those whose rights hold in all of them.
            let is_installation = right == Right::AuditRead && org.as_str() == INSTALLATION;
            let lineage = if is_installation && caller.home.is_none() {
                vec![org.clone()]
            } else {
                lineage_within_reach(service, &caller, &org).await?
            };
            parts.extensions.insert(Lineage(lineage.into()));
            needs(service, &caller, right, &org, &parts).await?;
            parts.extensions.insert(Scope { caller: caller.clone(), org, path: Arc::new(path) });
        }
    }
    parts.extensions.insert(caller);
    Ok(Request::from_parts(parts, body))
}

async fn path_parts(parts: &mut Parts) -> Result<BTreeMap<String, String>, Problem> {
    let raw = RawPathParams::from_request_parts(parts, &())
        .await
        .map_err(|_| Problem::malformed("the path is not UTF-8"))?;
    if raw.iter().any(|(_, value)| value.contains('\0')) {
        return Err(Problem::holds_nul("path"));
    }
    Ok(raw.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

fn wanted_organization(
    caller: &Caller,
    path: &BTreeMap<String, String>,
    parts: &Parts,
) -> Result<OrganizationId, Problem> {
    if let Some(org) = path.get("org") {
        return Ok(OrganizationId::from(org.as_str()));
    }
    let query = parts.uri.query().unwrap_or_default();
    let named = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "organization");
    match (named, &caller.home) {
        (Some((_, org)), _) => Ok(OrganizationId::from(org.as_ref())),
        (None, Some(home)) => Ok(home.clone()),
        (None, None) => Err(Problem::field("organization", "name one: your rights hold in all of them")),
    }
}

/// An organization that is out of reach is answered like one that does not exist.
///
/// # Errors
/// It is unknown or foreign.
pub async fn within_reach(service: &Service, caller: &Caller, org: &OrganizationId) -> Result<(), Problem> {
    lineage_within_reach(service, caller, org).await.map(drop)
}

async fn lineage_within_reach(
    service: &Service,
    caller: &Caller,
    org: &OrganizationId,
) -> Result<Vec<OrganizationId>, Problem> {
    match service.store.find_lineage(org).await? {
        Some(lineage) if caller.reaches(&lineage) => Ok(lineage),
        Some(_) | None => Err(Problem::none("organization", org.as_str())),
    }
}

async fn needs(
    service: &Service,
    caller: &Caller,
    right: Right,
    org: &OrganizationId,
    parts: &Parts,
) -> Result<(), Problem> {
    if caller.rights.contains(&right) {
        return Ok(());
    }
    let detail = json!({ "right": right, "method": parts.method.as_str(), "path": parts.uri.path() });
    let entry = service.entry(&caller.actor, "access.denied", format!("right/{}", right.name()), &detail);
    service.store.append_audit(org, &[entry]).await?;
    Err(Problem::forbidden(
        format!("the right `{}` is missing", right.name()),
        "Ask an administrator of the organization for a role that has it.",
    ))
}

async fn caller_of(service: &Service, headers: &HeaderMap) -> Result<Caller, Problem> {
    if let Some(authorization) = headers.get(header::AUTHORIZATION) {
        let token = authorization
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or_else(|| Problem::unknown_caller("the header Authorization is no bearer token"))?;
        return by_token(service, token).await;
    }
    match cookie(headers, cookie_name(service)) {
        Some(value) => by_session(service, value).await,
        None => Err(Problem::unknown_caller("the request carries neither a session nor a token")),
    }
}

async fn by_token(service: &Service, token: &str) -> Result<Caller, Problem> {
    let refused = || Problem::unknown_caller("the token is unknown, revoked or past its end");
    let now = service.clock.now();
    let found = service.store.find_token_by_hash(&secrets::hash(token)).await?.ok_or_else(refused)?;
    if found.revoked_at.is_some() || found.expires_at.is_some_and(|end| end <= now) {
        return Err(refused());
    }
    // A token never outlives the rights of the person who made it.
    let maker =
        service.store.find_person(&found.created_by).await?.filter(|p| !p.disabled).ok_or_else(refused)?;
    if let Some(home) = &maker.org {
        let lineage = service.store.find_lineage(&found.org).await?.ok_or_else(refused)?;
        if !lineage.contains(home) {
            return Err(refused());
        }
    }
    let of_maker = Role::from_name(&maker.role).ok_or_else(refused)?.rights();
    if found.last_used_at.is_none_or(|last| now.saturating_sub(last) >= TOUCH_MS) {
        used(service.store.touch_token(&found.org, &found.id, now).await);
    }
    Ok(Caller {
        actor: format!("token {} ({})", found.name, found.prefix),
        rights: found
            .rights
            .iter()
            .filter_map(|r| Right::from_name(r))
            .filter(|r| of_maker.contains(r))
            .collect(),
        id: found.id,
        home: Some(found.org),
        by: By::Token { maker: found.created_by },
    })
}

/// A last use that cannot be written down, as on a full disk, keeps nobody from reading.
fn used(written: Result<(), StoreError>) {
    if let Err(error) = written {
        tracing::warn!(%error, "a last use is not written down");
    }
}

async fn by_session(service: &Service, value: &str) -> Result<Caller, Problem> {
    let ended = || Problem::unknown_caller("the session has ended");
    let now = service.clock.now();
    let session = service.store.find_session(&secrets::hash(value)).await?.ok_or_else(ended)?;
    if session.expires_at <= now || now.saturating_sub(session.seen_at) >= IDLE_MS {
        return Err(ended());
    }
    let person =
        service.store.find_person(&session.person).await?.filter(|p| !p.disabled).ok_or_else(ended)?;
    let role = Role::from_name(&person.role).ok_or_else(ended)?;
    if now.saturating_sub(session.seen_at) >= TOUCH_MS {
        used(service.store.touch_session(&session.hash, now).await);
    }
    Ok(Caller {
        id: person.id.clone(),
        actor: person.email.clone(),
        home: person.org.clone(),
        rights: role.rights(),
        by: By::Session(Box::new((session, person))),
    })
}

/// The value of a cookie.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

fn shown_csrf(headers: &HeaderMap, csrf: &str) -> Result<(), Problem> {
    let shown = headers.get(CSRF_HEADER).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if secrets::equal(shown, csrf) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "csrf",
        "The request does not come from the console",
        format!("the header {CSRF_HEADER} is missing or wrong"),
        "Send the `csrf_token` of GET /api/v1/session in that header.",
    ))
}

/// A browser says where a request comes from; a foreign page is refused, whatever cookies came along.
fn same_origin(service: &Service, headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    let foreign_site = text("sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none"));
    let foreign_origin = text("origin").is_some_and(|origin| {
        let Ok(origin) = Url::parse(origin) else { return true };
        let is_public = service.public_url.as_ref().is_some_and(|url| url.origin() == origin.origin());
        let is_host = text("host").is_some_and(|host| {
            let port = origin.port().map(|port| format!(":{port}")).unwrap_or_default();
            format!("{}{port}", origin.host_str().unwrap_or_default()) == host
        });
        !is_public && !is_host
    });
    if foreign_site || foreign_origin {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "csrf",
            "The request comes from another site",
            "a page of another site sent this request",
            "Use the console under its own address; behind a proxy, name that address with --public-url.",
        ));
    }
    Ok(())
}
