//! The service: one HTTP API over the use cases, with people, roles, tokens and runs around it.
//!
//! A request passes the gate (`gate.rs`), which asks two tables: `rules.rs` says what each route needs, `rights.rs`
//! who has it. Handlers (`api/`) decide nothing: they read the request, call a use case and show the answer.

mod api;
mod console;
mod docs;
mod extract;
mod forms;
mod gate;
mod health;
mod identity;
pub mod jobs;
mod kept;
mod limiter;
mod mail;
mod metrics;
mod oidc;
pub mod outbox;
mod page;
pub mod people;
pub mod problem;
pub mod rights;
mod rules;
pub mod scheduler;
mod secrets;
mod state;
mod web;
mod worker;

pub use docs::document;
pub use state::INSTALLATION;

use crate::clock::SystemClock;
use crate::commands::maintenance;
use crate::compose;
use crate::config::{Loopback, Options};
use crate::failure::{CliError, Exit};
use crate::output::{self, note};
use identity::Identity;
use limiter::SignInLimiter;
use metrics::Metrics;
use people::Wanted;
use rights::Role;
use serde_json::json;
use state::{Inner, Service};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::Instant;
use trueup_engine::ports::{Clock, Store};
use trueup_store::SqlStore;
use url::Url;

/// How the service is started.
#[derive(Clone, Debug)]
pub struct Start {
    /// Whether the API is served.
    pub api: bool,
    /// Whether runs are carried out.
    pub worker: bool,
    /// Where the API listens.
    pub listen: SocketAddr,
    /// Where people reach it, where that is another address.
    pub public_url: Option<Url>,
    /// Where /metrics and /health are served besides.
    pub metrics_listen: Option<SocketAddr>,
    /// Whether a proxy in front names the client's address.
    pub behind_proxy: bool,
    /// Who is let in by the address that is announced; nobody but in the demonstration.
    pub visitor: Option<Visitor>,
}

/// Who signs in to a demonstration.
#[derive(Clone)]
pub struct Visitor {
    /// Their address.
    pub email: String,
    /// Their password.
    pub password: String,
}

impl std::fmt::Debug for Visitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Visitor").field("email", &self.email).finish_non_exhaustive()
    }
}

/// The variable with the first administrator's address.
const ADMIN_VARIABLE: &str = "TRUEUP_ADMIN_EMAIL";

/// After the start comes the work that waited first.
const FIRST_TIDYING: Duration = Duration::from_secs(15 * 60);
const TIDYING: Duration = Duration::from_secs(24 * 60 * 60);

/// Runs until it is asked to stop.
///
/// # Errors
/// The store's, or an address that cannot be listened on.
pub async fn run(start: Start, mut options: Options) -> Result<Exit, CliError> {
    // What people enter over the network must not reach the machine itself, unless the operator lists it.
    options.loopback = Loopback::Listed;
    let metrics = metrics_of(&start)?;
    let store = compose::sql_store(&options).await?;
    let clock = SystemClock::new(options.today);
    store.ensure_organization(&options.org).await?;
    if store.is_guarded().await? == Some(false) {
        note(
            "The database does not keep organizations apart by itself: its role is a superuser, or may pass row-level \
             security. Sign in as a role of its own (docs/operations.md).",
        );
    }
    if let Err(error) = store.try_key().await {
        // A worker by itself could only fail the runs that others carry out.
        if !start.api {
            return Err(error.into());
        }
        tracing::warn!("{error}: runs that need ConnectWise fail until the key is put back");
    }
    let first = first_administrator(&store, &clock).await?;
    let format_json = options.format == output::Format::Json;
    let service = Service::new(Inner {
        store,
        clock,
        options,
        public_url: start.public_url.clone(),
        behind_proxy: start.behind_proxy,
        metrics,
        limiter: SignInLimiter::default(),
        callbacks: api::Callbacks::default(),
        provider: oidc::Provider::default(),
        began: (Instant::now(), clock.now()),
        wake: Notify::new(),
        stopping: AtomicBool::new(false),
    });
    let asked = asked_to_stop();
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let (mut working, mut telling, mut mailing) = (None, None, None);
    if start.worker {
        let identity = Identity::new(&service.options.data_dir);
        // A process that died left its runs claimed.
        let freed = service.store.release_dead_claims(identity.former()).await?;
        if freed > 0 {
            note(&format!("{freed} runs that were cut off go on."));
        }
        let identity = Arc::new(identity);
        service.store.release_dead_deliveries(identity.former()).await?;
        mailing = Some(tokio::spawn(mail::work(service.clone(), identity.clone(), stopping.clone())));
        telling = Some(tokio::spawn(outbox::work(service.clone(), identity.clone(), stopping.clone())));
        working = Some(tokio::spawn(worker::work(service.clone(), identity, stopping.clone())));
    }
    let planning = start.worker.then(|| tokio::spawn(scheduler::work(service.clone(), stopping.clone())));
    let served = if start.api {
        let listener = listen(start.listen).await?;
        let at = listener.local_addr().map_err(|e| cannot_listen(start.listen, &e))?;
        match &start.visitor {
            Some(visitor) => welcome(at, visitor),
            None => announce(&service, at, first.as_ref(), format_json),
        }
        Some(tokio::spawn(web::serve(web::router(service.clone()), listener, stopping.clone())))
    } else {
        None
    };
    let watched = match start.metrics_listen {
        Some(at) => {
            let listener = listen(at).await?;
            let at = listener.local_addr().map_err(|e| cannot_listen(at, &e))?;
            note(&format!("Numbers and health are at http://{at}/metrics and http://{at}/health/ready."));
            Some(tokio::spawn(web::serve(web::watching(service.clone()), listener, stopping.clone())))
        }
        None => None,
    };
    let tidying = start.worker.then(|| tokio::spawn(tidy_daily(service.clone(), stopping.clone())));
    asked.await;
    note("Stopping: requests under way are finished.");
    service.stopping.store(true, Ordering::Relaxed);
    let _ = stop.send(true);
    for part in [served, planning, working, telling, mailing, watched, tidying].into_iter().flatten() {
        let _ = part.await;
    }
    Ok(Exit::Done)
}

/// The numbers; refused is an address that everybody reaches and no token.
fn metrics_of(start: &Start) -> Result<Metrics, CliError> {
    let wrong =
        |why: String| CliError::usage(why, format!("Set {} to a long random text.", metrics::TOKEN_VARIABLE));
    let token = std::env::var(metrics::TOKEN_VARIABLE).ok();
    let public = start.public_url.as_ref();
    let api = start.api.then(|| metrics::is_open(start.listen, public, start.behind_proxy));
    let own = start.metrics_listen.map(|at| at.ip().is_loopback());
    // One answer for both addresses: open only where each of them is.
    let open = [api, own].into_iter().flatten().all(|open| open);
    let metrics = Metrics::start(token.as_deref(), open).map_err(wrong)?;
    match start.metrics_listen {
        Some(at) if !open && !metrics.has_token() => {
            Err(wrong(format!("/metrics at {at} would be shown to nobody or to everybody without a token")))
        }
        Some(_) | None => Ok(metrics),
    }
}

/// Takes away once a day what need not be kept.
async fn tidy_daily(service: Service, mut stopping: tokio::sync::watch::Receiver<bool>) {
    let mut pause = FIRST_TIDYING;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stopping.changed() => return,
        }
        pause = TIDYING;
        let overlays = &service.options.overlays;
        if let Err(error) = maintenance::tidy(&service.store, &service.clock, overlays, "trueup", false).await
        {
            tracing::error!(?error, "what is old cannot be taken away");
        }
    }
}

async fn listen(at: SocketAddr) -> Result<TcpListener, CliError> {
    TcpListener::bind(at).await.map_err(|error| cannot_listen(at, &error))
}

fn cannot_listen(at: SocketAddr, error: &std::io::Error) -> CliError {
    CliError::usage(
        format!("{at} cannot be listened on: {error}"),
        "Choose another address with --listen, or stop what listens there.",
    )
}

/// What a visitor is told.
fn welcome(at: SocketAddr, visitor: &Visitor) {
    output::print(&welcome_text(at, visitor, console::is_built()));
}

/// One address that signs in; the part behind `#` stays in the browser, which forgets it at once. Without the console there
/// is no page that would take it.
fn welcome_text(at: SocketAddr, visitor: &Visitor, has_console: bool) -> String {
    let Visitor { email, password } = visitor;
    if !has_console {
        return format!(
            "\nThis build has no console: `cargo xtask console` makes it (with Node 20.19 or newer, or Python to fetch one), \
             then build again.\nThe API answers at http://{at}, its reference is at http://{at}/docs/.\n{email} signs in with \
             the password {password}. Ctrl-C ends the demo."
        );
    }
    let given: String = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("email", email), ("password", password)])
        .finish();
    format!(
        "\nOpen the console: http://{at}/#{given}\nIt signs in as {email}, password {password}. Ctrl-C ends the demo."
    )
}

fn announce(service: &Service, at: SocketAddr, first: Option<&(String, String)>, as_json: bool) {
    let url = service.public_url.as_ref().map_or_else(|| format!("http://{at}"), |url| url.to_string());
    let url = url.trim_end_matches('/');
    if as_json {
        let first = first.map(|(email, password)| json!({ "email": email, "one_time_password": password }));
        // One line: who started the process reads it while the process runs.
        output::print(
            &json!({ "url": url, "listen": at.to_string(), "first_administrator": first }).to_string(),
        );
        return;
    }
    let here = service.public_url.as_ref().map(|_| format!("; here it listens at http://{at}"));
    output::print(&format!("trueup is at {url} (reference: {url}/docs){}", here.unwrap_or_default()));
    if let Some((email, password)) = first {
        output::print(&format!("First administrator: {email}, one-time password: {password}"));
        output::print("The password is shown once and has to be changed at the first sign-in.");
    }
}

/// Makes the first administrator where there is nobody yet and the environment names an address.
async fn first_administrator(
    store: &Arc<SqlStore>,
    clock: &SystemClock,
) -> Result<Option<(String, String)>, CliError> {
    if store.has_people().await? {
        return Ok(None);
    }
    let Some(text) = std::env::var(ADMIN_VARIABLE).ok().filter(|text| !text.trim().is_empty()) else {
        note(&format!(
            "Nobody can sign in yet: set {ADMIN_VARIABLE} and start again, or use `trueup user add --role operator`."
        ));
        return Ok(None);
    };
    let email = people::address(&text).map_err(|reason| {
        CliError::usage(format!("{ADMIN_VARIABLE} is `{text}`: {reason}"), "Give it an e-mail address.")
    })?;
    let wanted = Wanted { org: None, email, name: None, role: Role::Operator };
    let (person, password) = people::add(store, clock, "trueup serve", wanted).await?;
    Ok(Some((person.email, password)))
}

/// SIGTERM, SIGINT or Ctrl-C. Listened for from the call on: whoever reads the announcement may stop the process at once.
fn asked_to_stop() -> impl Future<Output = ()> {
    #[cfg(unix)]
    let terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
    async move {
        let interrupt = tokio::signal::ctrl_c();
        #[cfg(unix)]
        if let Ok(mut terminate) = terminate {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
            return;
        }
        let _ = interrupt.await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visitor_is_sent_to_a_console_that_is_there() {
        let visitor = Visitor { email: "demo@example.com".into(), password: "p+w".into() };
        let at = "127.0.0.1:8080".parse().unwrap();
        let with = welcome_text(at, &visitor, true);
        assert!(
            with.contains("Open the console: http://127.0.0.1:8080/#email=demo%40example.com&password=p%2Bw")
        );
        let without = welcome_text(at, &visitor, false);
        assert!(
            !without.contains("Open the console") && without.contains("http://127.0.0.1:8080/docs/"),
            "{without}"
        );
        assert!(without.contains("demo@example.com signs in with the password p+w."), "{without}");
    }
}
