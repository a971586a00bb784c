//! From HTTP to calls and back, with latency, throttling and faults on the way.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State as Shared};
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt as _;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, DATE, HOST, LINK, RETRY_AFTER,
};
use http::{HeaderName, HeaderValue, StatusCode};

use crate::api::{self, Answer, Call, VERSION};
use crate::control;
use crate::delivery;
use crate::faults::{self, Action, StatusFault};
use crate::journal::Entry;
use crate::net::Cutter;
use crate::state::{SandboxControl, State, lock};

/// Largest body taken.
const MAX_BODY: usize = 64 * 1024 * 1024;

const HTML: &str = "text/html";
const PLAIN_TEXT: &str = "text/plain; charset=utf-8";
const PLAIN_JSON: &str = "application/json; charset=utf-8";

/// The one handler: every path comes here.
pub(crate) async fn handle(
    Shared(state): Shared<Arc<State>>,
    ConnectInfo(cutter): ConnectInfo<Cutter>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = match axum::body::to_bytes(body, MAX_BODY).await {
        Ok(body) => String::from_utf8_lossy(&body).into_owned(),
        Err(error) => {
            tracing::debug!(%error, "the request's body could not be read");
            return text(
                400,
                PLAIN_JSON,
                r#"{"code":"ConnectWiseApi","message":"The body could not be read."}"#,
            );
        }
    };
    let path = parts.uri.path().to_owned();
    if path.starts_with("/sandbox/") {
        let control = SandboxControl { state };
        let (status, answer) = control::answer(&control, parts.method.as_str(), &path, &body);
        return text(status, PLAIN_JSON, &answer);
    }
    let header =
        |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let call = Call {
        method: parts.method.as_str().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        host: header(HOST.as_str()).unwrap_or_else(|| "127.0.0.1".to_owned()),
        authorization: header(AUTHORIZATION.as_str()),
        client_id: header("clientid"),
        accept: header("accept").unwrap_or_default(),
        content_type: header(CONTENT_TYPE.as_str()),
        forward_only: header("pagination-type").is_some_and(|kind| kind.eq_ignore_ascii_case("forward-only")),
        person: header("x-sandbox-person").filter(|name| !name.is_empty()),
        path,
        body,
    };
    let mut response = serve(&state, cutter, call).await;
    // By the sandbox's own clock, which `lastUpdated` follows as well: a client compares the two.
    let now = state.world().clock.now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let Ok(now) = HeaderValue::from_str(&now) {
        response.headers_mut().insert(DATE, now);
    }
    response
}

async fn serve(state: &Arc<State>, cutter: Cutter, call: Call) -> Response {
    let latency = state.latency_ms();
    if latency > 0 {
        tokio::time::sleep(Duration::from_millis(latency)).await;
    }
    let seq = lock(&state.journal).next();
    let note = |status: u16, executed: bool, fault: Option<&'static str>| {
        lock(&state.journal).note(Entry {
            seq,
            method: call.method.clone(),
            path: call.path.clone(),
            query: call.query.clone(),
            status,
            body: call.body.clone(),
            executed,
            fault,
        });
    };
    let (refused, limit) = {
        let mut limiter = lock(&state.limiter);
        (limiter.refuse(), limiter.limit.clone())
    };
    if let Some(seconds) = refused {
        note(429, false, Some("rate_limit"));
        let retry_after = limit.retry_after.then_some(seconds);
        return made_up(&StatusFault { status: 429, retry_after, body: None, html: limit.html });
    }
    let fault = lock(&state.faults).decide(faults::Call {
        number: seq,
        method: &call.method,
        path: &call.path,
        query: &call.query,
        body: &call.body,
    });
    let word = fault.as_ref().map(Action::word);
    let execute = |short: bool| carry_out(state, &call, short);
    match fault {
        None => {
            let answer = execute(false);
            note(answer.status, true, None);
            respond(&call, seq, answer)
        }
        Some(Action::DropBefore) => {
            note(0, false, word);
            dropped(&cutter)
        }
        Some(Action::DropAfter) => {
            execute(false);
            note(0, true, word);
            dropped(&cutter)
        }
        Some(Action::Late(delay)) => {
            note(0, false, word);
            let (state, call) = (Arc::clone(state), call.clone());
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(delay)).await;
                carry_out(&state, &call, false);
                lock(&state.journal).executed_late(seq);
            });
            dropped(&cutter)
        }
        Some(Action::Status(fault)) => {
            note(fault.status, false, word);
            made_up(&fault)
        }
        Some(Action::Slow(delay)) => {
            let answer = execute(false);
            note(answer.status, true, word);
            tokio::time::sleep(Duration::from_millis(delay)).await;
            respond(&call, seq, answer)
        }
        Some(Action::ShortPage) => {
            let answer = execute(true);
            note(answer.status, true, word);
            respond(&call, seq, answer)
        }
        Some(Action::Truncate) => {
            let answer = execute(false);
            note(answer.status, true, word);
            truncated(&call, seq, answer, cutter)
        }
    }
}

/// Carries a call out and sends the callbacks it raised.
fn carry_out(state: &Arc<State>, call: &Call, short: bool) -> Answer {
    let (answer, raised) = {
        let mut world = state.world();
        let answer = api::answer(&mut world, &state.keys, call, short);
        (answer, std::mem::take(&mut world.outbox))
    };
    delivery::send(state, raised);
    answer
}

/// The connection is cut, so this answer never leaves.
fn dropped(cutter: &Cutter) -> Response {
    cutter.cut();
    Response::new(Body::empty())
}

fn respond(call: &Call, seq: u64, answer: Answer) -> Response {
    let body = answer.body.map_or_else(Body::empty, Body::from);
    let mut response = Response::new(body);
    head(&mut response, call, seq, answer.status, answer.link.as_deref());
    if answer.plain {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PLAIN_TEXT));
    }
    response
}

/// Half of the body under the full length, then a cut connection.
fn truncated(call: &Call, seq: u64, answer: Answer, cutter: Cutter) -> Response {
    let whole = Bytes::from(answer.body.unwrap_or_default());
    let length = whole.len();
    let half = futures::stream::once(async move { Ok(whole.slice(..length / 2)) });
    let end = futures::stream::once(async move {
        // The half has to be on its way before the connection goes.
        tokio::time::sleep(Duration::from_millis(30)).await;
        cutter.cut();
        Err::<Bytes, _>(std::io::Error::new(std::io::ErrorKind::ConnectionAborted, "cut by a fault"))
    });
    let mut response = Response::new(Body::from_stream(half.chain(end)));
    head(&mut response, call, seq, answer.status, None);
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}

fn head(response: &mut Response, call: &Call, seq: u64, status: u16, link: Option<&str>) {
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let vendor = call.accept.contains("application/vnd.connectwise.com+json");
    let asked = call.accept.split("version=").nth(1).map(|rest| {
        rest.chars().take_while(|symbol| symbol.is_ascii_digit() || *symbol == '.').collect::<String>()
    });
    let version = asked.filter(|version| !version.is_empty()).unwrap_or_else(|| VERSION.to_owned());
    let kind = if vendor {
        format!("application/vnd.connectwise.com+json; version={version}")
    } else {
        PLAIN_JSON.to_owned()
    };
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    };
    if status != 204 {
        set(CONTENT_TYPE, &kind);
    }
    set(CACHE_CONTROL, "no-cache");
    set(HeaderName::from_static("api-current-version"), VERSION);
    set(HeaderName::from_static("x-cw-request-id"), &format!("00000000-0000-4000-8000-{seq:012x}"));
    set(HeaderName::from_static("x-server-name"), "sandbox");
    if let Some(link) = link {
        set(LINK, link);
    }
}

/// An answer made up by a fault or by throttling, with the body the vendor's server or its proxy would send.
fn made_up(fault: &StatusFault) -> Response {
    let seconds = fault.retry_after.unwrap_or(30);
    let json = match fault.status {
        429 => Some(format!(
            r#"{{"error":"ConnectWiseAPI","message":"Too many requests. Please try again in {seconds} seconds."}}"#
        )),
        500 => Some(r#"{"code":"ConnectWiseApi","message":"A timeout has occured. Please try again."}"#.to_owned()),
        401 => Some(r#"{"code":"Unauthorized","message":"Incorrect public/private key or company."}"#.to_owned()),
        403 => Some(
            r#"{"code":"Security","message":"You do not have security permission to perform this action."}"#.to_owned(),
        ),
        404 => Some(r#"{"code":"ConnectWiseApi","message":"The endpoint does not exist."}"#.to_owned()),
        409 => Some(
            r#"{"code":"ConnectWiseApi","message":"Record possibly in use or another conflict with the record"}"#
                .to_owned(),
        ),
        _ => None,
    };
    let page = || {
        let reason = StatusCode::from_u16(fault.status)
            .ok()
            .and_then(|code| code.canonical_reason())
            .unwrap_or("Error");
        format!(
            "<html><head><title>{} {reason}</title></head><body><h1>{reason}</h1></body></html>",
            fault.status
        )
    };
    let (kind, body) = match (&fault.body, json) {
        (Some(body), _) => (if fault.html { HTML } else { PLAIN_JSON }, body.clone()),
        (None, Some(json)) if !fault.html => (PLAIN_JSON, json),
        _ => (HTML, page()),
    };
    let mut response = text(fault.status, kind, &body);
    if let Some(seconds) = fault.retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn text(status: u16, kind: &'static str, body: &str) -> Response {
    let mut response = Response::new(Body::from(body.to_owned()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
