//! A stateful ConnectWise PSA ("Manage") over HTTP, in memory, to develop, demo and test against.
//!
//! It behaves as the vendor's documents and recorded traffic say: agreements, additions and their date rules,
//! agreement invoicing with a clock that can be set, conditions, both kinds of paging, JSON Patch in the vendor's
//! dialect, error bodies, security roles and throttling. What the documents leave open is a switch
//! (`POST /sandbox/rules`). Faults can be made on purpose: connections that close before or after a call is carried
//! out, answers that break off, short pages, HTML from a proxy.
//!
//! Tickets follow the tables of their board. A call with the header `x-sandbox-person: NAME` counts as made by that person
//! and not by the API member: who closed a ticket is then that person.
//!
//! It is the other side of the client and shares no type with it, so that a wrong belief about the API cannot be
//! true on both sides.
//!
//! It speaks plain http ([`start`]) or https under an authority of its own ([`start_tls`]).
//! Callbacks are signed and posted, to receivers on this machine alone (`http://127.0.0.1`, `[::1]`, `localhost`).
//!
//! Left out: report data, read bundles, copies of agreements, documents, and what bills time and expenses.
//!
//! ```no_run
//! # async fn example() -> Result<(), trueup_sandbox::SandboxError> {
//! let sandbox = trueup_sandbox::start(trueup_sandbox::SandboxConfig::default()).await?;
//! println!("{}", sandbox.url());
//! sandbox.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod addition;
mod agreement;
mod api;
mod callback;
mod clock;
mod conditions;
mod control;
mod custom;
mod delivery;
mod error;
mod events;
mod faults;
mod invoice;
mod journal;
mod json;
mod ledger;
mod limits;
mod link;
mod list;
mod net;
mod normalize;
mod patch;
mod period;
mod records;
mod roles;
mod route;
mod rules;
mod schema;
mod seed;
mod server;
mod state;
mod store;
mod tax;
mod ticket;
mod tls;
mod view;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::api::Keys;
use crate::clock::Clock;
use crate::json::Json;
use crate::net::{CuttableListener, Cutter};
pub use crate::state::SandboxControl;
use crate::state::State;
use crate::store::World;
use crate::tls::Tls;

/// How long a shutdown waits for calls under way.
const SHUTDOWN: Duration = Duration::from_secs(2);

/// How to start a sandbox.
#[derive(Clone, Debug, Default)]
pub struct SandboxConfig {
    /// The port on 127.0.0.1; 0 takes any.
    pub port: u16,
    /// Records to begin with, over the setup tables: `{"today": "...", "resources": {"company/companies": [...]}}`
    /// in the shapes of the API. Children of agreements, companies and so on are objects of arrays by owner id.
    pub seed: Option<serde_json::Value>,
    /// The sandbox's day, `YYYY-MM-DD`; it stands still until it is set again. None takes the seed's, else the
    /// machine's.
    pub today: Option<String>,
}

/// Why a sandbox did not start or a control call was refused.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The port could not be taken.
    #[error("the sandbox could not listen on 127.0.0.1:{port}: {source}; choose another port, or 0 for any")]
    Bind {
        /// The port asked for.
        port: u16,
        /// What the system said.
        source: std::io::Error,
    },
    /// No certificate could be made.
    #[error("the sandbox could not make a certificate for https: {0}; start it without TLS")]
    Tls(String),
    /// The seed does not fit.
    #[error("the seed could not be loaded: {0}")]
    Seed(String),
    /// A control call does not fit.
    #[error("{0}")]
    Control(String),
}

/// A running sandbox. It stops when it is shut down or dropped.
#[derive(Debug)]
pub struct Sandbox {
    url: String,
    authority: Option<String>,
    control: SandboxControl,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

/// Starts a sandbox on 127.0.0.1.
///
/// # Errors
/// When the port is taken, the seed does not fit or the day is not one.
pub async fn start(config: SandboxConfig) -> Result<Sandbox, SandboxError> {
    serve(config, None).await
}

/// Starts a sandbox that speaks https alone, under a certificate authority made for it: see [`Sandbox::authority`].
///
/// # Errors
/// As [`start`], and when no certificate can be made.
pub async fn start_tls(config: SandboxConfig) -> Result<Sandbox, SandboxError> {
    serve(config, Some(tls::make().map_err(SandboxError::Tls)?)).await
}

async fn serve(config: SandboxConfig, tls: Option<Tls>) -> Result<Sandbox, SandboxError> {
    let bound = |source| SandboxError::Bind { port: config.port, source };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, config.port)).await.map_err(bound)?;
    let address = listener.local_addr().map_err(bound)?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{address}");
    let world = world(&config, &url)?;
    let (listener, authority) = match tls {
        Some(Tls { acceptor, authority }) => {
            (CuttableListener::tls(listener, acceptor).map_err(bound)?, Some(authority))
        }
        None => (CuttableListener::Plain(listener), None),
    };
    let state = Arc::new(State::new(default_keys(), world));
    let router = Router::new().fallback(server::handle).with_state(Arc::clone(&state));
    let service = router.into_make_service_with_connect_info::<Cutter>();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(async move {
        let serving = axum::serve(listener, service).with_graceful_shutdown(async move {
            // An error means the sandbox was dropped, which stops it as well.
            let _ = stopped.await;
        });
        if let Err(error) = serving.await {
            tracing::error!(%error, "the sandbox's server ended");
        }
    });
    Ok(Sandbox { url, authority, control: SandboxControl { state }, stop, server })
}

fn world(config: &SandboxConfig, url: &str) -> Result<World, SandboxError> {
    let seed = match &config.seed {
        Some(seed) => Some(Json::from_value(seed).map_err(|error| SandboxError::Seed(error.to_string()))?),
        None => None,
    };
    let today = match &config.today {
        Some(text) => Some(
            text.parse().map_err(|_| SandboxError::Control(format!("\"{text}\" is not a day YYYY-MM-DD")))?,
        ),
        None => seed.as_ref().and_then(seed::today),
    };
    let mut world = World::new(Clock::new(today));
    world.base_url = url.to_owned();
    world.company = default_keys().company;
    seed::defaults(&mut world).map_err(SandboxError::Seed)?;
    if let Some(seed) = &seed {
        seed::load(&mut world, seed).map_err(SandboxError::Seed)?;
    }
    Ok(world)
}

fn default_keys() -> Keys {
    Keys {
        company: "training".to_owned(),
        public: "mVq7nB2xKtR4Wz8c".to_owned(),
        private: "h3JkP9sLd6FyT1aG".to_owned(),
        client_id: "5d1c6f0a-8b3e-4c27-9f4d-2a7e61b0c935".to_owned(),
    }
}

impl Sandbox {
    /// The root address, `http://127.0.0.1:N` or `https://127.0.0.1:N`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// The certificate a client has to trust, as PEM; none without TLS.
    #[must_use]
    pub fn authority(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    /// The login company.
    #[must_use]
    pub fn company(&self) -> &str {
        &self.control.state.keys.company
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> &str {
        &self.control.state.keys.public
    }

    /// The private key.
    #[must_use]
    pub fn private_key(&self) -> &str {
        &self.control.state.keys.private
    }

    /// The value of the `clientId` header.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.control.state.keys.client_id
    }

    /// A handle with the functions of the `/sandbox/` endpoints.
    #[must_use]
    pub fn control(&self) -> SandboxControl {
        self.control.clone()
    }

    /// Stops taking calls, waits a moment for those under way, and ends.
    pub async fn shutdown(self) {
        let _ = self.stop.send(());
        let aborter = self.server.abort_handle();
        if tokio::time::timeout(SHUTDOWN, self.server).await.is_err() {
            aborter.abort();
        }
    }
}
