//! What every handler of the service works with.

use super::api::Callbacks;
use super::limiter::SignInLimiter;
use super::metrics::Metrics;
use super::problem::Problem;
use super::rights::Right;
use crate::app::App;
use crate::clock::SystemClock;
use crate::config::Options;
use crate::output::{Format, Output};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;
use tokio::time::Instant;
use trueup_domain::ids::{OrganizationId, SourceId};
use trueup_engine::ports::{Clock, StoreError};
use trueup_engine::records::{Millis, NewAuditEntry};
use trueup_store::{Person, Session, SqlStore};
use url::Url;

/// The audit of what concerns no single organization. No slug can be this.
pub const INSTALLATION: &str = "*";

/// The service.
#[derive(Clone)]
pub struct Service(Arc<Inner>);

/// What the service holds.
pub struct Inner {
    /// The store.
    pub store: Arc<SqlStore>,
    /// The clock.
    pub clock: SystemClock,
    /// The configuration.
    pub options: Options,
    /// Where people reach the service, where that is not the address it listens on.
    pub public_url: Option<Url>,
    /// Whether a proxy in front names the client's address.
    pub behind_proxy: bool,
    /// What is counted.
    pub metrics: Metrics,
    /// The limit on sign-in.
    pub limiter: SignInLimiter,
    /// What is remembered of callbacks.
    pub callbacks: Callbacks,
    /// What is known of the service that people may sign in by.
    pub provider: super::oidc::Provider,
    /// Rung when a run was put into the queue.
    pub wake: Notify,
    /// When the process began, by a time that does not jump and by the clock.
    pub began: (Instant, Millis),
    /// Set once the process was asked to stop: streams end.
    pub stopping: AtomicBool,
}

impl Deref for Service {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Service {
    /// Of its parts.
    pub fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Whether the process was asked to stop.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// The time by which the queue of runs goes: the database server's, so that the clocks of workers do not matter.
    /// Where the database is embedded, this process alone works on the queue: its own time from its start on, which
    /// does not jump.
    ///
    /// # Errors
    /// The store's.
    pub async fn queue_time(&self) -> Result<Millis, StoreError> {
        if let Some(time) = self.store.server_time().await? {
            return Ok(time);
        }
        let (since, at) = self.began;
        Ok(at.saturating_add(i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX)))
    }

    /// Whether cookies travel over https alone.
    pub fn is_secure(&self) -> bool {
        self.public_url.as_ref().is_some_and(|url| url.scheme() == "https")
    }

    /// What the use cases work with, for one organization and one actor.
    pub fn app(&self, org: &OrganizationId, actor: &str) -> App {
        let mut options = self.options.clone();
        options.org = org.clone();
        options.actor = match options.today {
            Some(day) => format!("{actor}, as if it were {day}"),
            None => actor.to_owned(),
        };
        App { out: Output::new(Format::Json), clock: self.clock, store: self.store.clone(), options }
    }

    /// An audit entry of now.
    pub fn entry(
        &self,
        actor: &str,
        action: &str,
        object: impl Into<String>,
        detail: &serde_json::Value,
    ) -> NewAuditEntry {
        NewAuditEntry {
            at: self.clock.now(),
            actor: actor.to_owned(),
            action: action.to_owned(),
            object: object.into(),
            addition: None,
            detail: detail.to_string(),
        }
    }
}

/// How a caller proved who it is.
#[derive(Clone, Debug)]
pub enum By {
    /// A person, by the cookie of a session.
    Session(Box<(Session, Person)>),
    /// A program, by a token.
    Token {
        /// The person who made it.
        maker: String,
    },
}

/// Who calls.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Id of the person or the token.
    pub id: String,
    /// The name in the audit.
    pub actor: String,
    /// The organization the rights hold in, and below; none for the whole installation.
    pub home: Option<OrganizationId>,
    /// What may be done.
    pub rights: BTreeSet<Right>,
    /// How it is known.
    pub by: By,
}

impl Caller {
    /// Whether its rights hold in an organization with these levels above it.
    pub fn reaches(&self, lineage: &[OrganizationId]) -> bool {
        self.home.as_ref().is_none_or(|home| lineage.contains(home))
    }

    /// The organization in whose audit stands what concerns the caller itself.
    pub fn audit_home(&self) -> OrganizationId {
        self.home.clone().unwrap_or_else(|| OrganizationId::from(INSTALLATION))
    }
}

/// Where a request works: the organization is known and within the caller's reach.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Who calls.
    pub caller: Arc<Caller>,
    /// The organization.
    pub org: OrganizationId,
    /// The parts of the path.
    pub path: Arc<BTreeMap<String, String>>,
}

impl Scope {
    /// A part of the path.
    pub fn part(&self, name: &str) -> &str {
        self.path.get(name).map_or("", String::as_str)
    }

    /// The name in the audit.
    pub fn actor(&self) -> &str {
        &self.caller.actor
    }

    /// What the use cases work with.
    pub fn app(&self, service: &Service) -> App {
        service.app(&self.org, self.actor())
    }
}

/// The source that a request names, or `default`.
///
/// # Errors
/// The problem of the field: no source has such a name.
pub fn source_of(name: Option<&str>) -> Result<SourceId, Problem> {
    Ok(SourceId::from(checked("source", name.unwrap_or("default"), 100)?))
}

/// Refuses an empty or overlong text.
///
/// # Errors
/// The problem of the field.
pub fn checked(field: &str, text: &str, longest: usize) -> Result<String, Problem> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Problem::field(field, "it is empty"));
    }
    if text.chars().count() > longest {
        return Err(Problem::field(field, format!("it is longer than {longest} characters")));
    }
    if text.chars().any(char::is_control) {
        return Err(Problem::field(field, "it contains control characters"));
    }
    Ok(text.to_owned())
}
