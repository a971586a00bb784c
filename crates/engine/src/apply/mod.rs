//! Apply: a checked plan is carried out exactly once, whatever breaks on the way.
//!
//! ConnectWise knows no idempotency key. So every operation is durable in the journal before its call is sent, every
//! created addition carries its deterministic key, and an operation without a clear answer is looked up, twice, before
//! anything is sent again. [`core`] decides, without input or output; [`driver`] executes what it decides.

mod answers;
pub mod core;
pub mod driver;
mod effects;
mod flow;
mod headers;
pub mod layout;
pub mod look;
mod machine;
mod record;
mod report;
mod resolve;
mod run;
pub mod stale;
mod unread;

pub(crate) use driver::resolve_each;
pub use driver::{apply_plan, resolve_in_doubt};

use crate::failure::Failure;
use crate::ports::{PsaError, StoreError};
use crate::records::{Millis, OperationError};
use serde::Serialize;
use std::collections::BTreeMap;
use trueup_domain::approval::Policy;
use trueup_domain::finding::{Code, Finding};
use trueup_domain::ids::{AdditionId, AgreementId, ChangeId};
use trueup_domain::planner::AdoptionAnswer;
use trueup_domain::psa::ObservedAddition;
use trueup_domain::settings::Settings;

/// Reads of agreements that were made for planning, with the instant before each was asked for.
pub type FreshReads = BTreeMap<AgreementId, (Millis, Vec<ObservedAddition>)>;

/// How a plan is applied.
#[derive(Clone)]
pub struct ApplyOptions<'a> {
    /// Who applies it, for the audit.
    pub actor: String,
    /// Who holds the leases. Unique per process where several share a database; stable across restarts where only one
    /// can, so that a restart need not wait for its own lease to run out.
    pub owner: String,
    /// How long an operation in doubt waits (`apply.settle_seconds`).
    pub settle_ms: Millis,
    /// How long a lease holds without being renewed.
    pub lease_ttl_ms: Millis,
    /// Calls in flight at once, each of another agreement.
    pub in_flight: usize,
    /// Whether to wait for what was in doubt before this run.
    pub wait: bool,
    /// Whether additions carry our key (any marker setting but `none`).
    pub keyed: bool,
    /// What a person said of additions that could be what was sent and carry no key.
    pub said: AdoptionAnswer,
    /// Age at which a read no longer counts as fresh for a write.
    pub max_read_age_ms: Millis,
    /// Reads that the planner has just made; used where they are young enough, instead of reading again.
    pub fresh_reads: Option<&'a FreshReads>,
    /// Told after every change.
    pub progress: Option<&'a (dyn Fn(Progress) + Send + Sync)>,
    /// Only plans against this connection are resolved; none means all.
    pub connection: Option<String>,
    /// Told where a step stands before each part of it begins; nothing of the run goes on until it returns.
    pub boundary: Option<&'a (dyn Fn(usize, Boundary) + Send + Sync)>,
    /// Who has to say yes before a plan is begun; none where that was settled before.
    pub policy: Option<Policy>,
    /// The settings of now, where a plan that was made before is to stand on what it was made of; none where it was just
    /// made.
    pub settings: Option<&'a Settings>,
}

/// Where a process can die between the parts of a step. The fourth place, between a call's effect and its reply, is the
/// other side's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boundary {
    /// The journal does not know yet that the call is to be sent.
    Intent,
    /// The journal knows; the call was not sent.
    Send,
    /// The reply is there; the journal does not know it.
    Commit,
}

impl Default for ApplyOptions<'_> {
    fn default() -> Self {
        Self {
            actor: "trueup".to_owned(),
            owner: "trueup".to_owned(),
            settle_ms: 120_000,
            lease_ttl_ms: 180_000,
            in_flight: 4,
            wait: true,
            keyed: true,
            said: AdoptionAnswer::Propose,
            max_read_age_ms: 60_000,
            fresh_reads: None,
            progress: None,
            connection: None,
            boundary: None,
            policy: None,
            settings: None,
        }
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Changes with an outcome.
    pub finished: usize,
    /// Changes in all.
    pub total: usize,
    /// The run waits until this instant for an operation in doubt.
    pub waits_until: Option<Millis>,
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeState {
    /// ConnectWise holds it.
    Applied,
    /// It was refused.
    Failed,
    /// It was not sent.
    Skipped,
    /// No clear answer yet.
    InDoubt,
}

/// What became of one change of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChangeReport {
    /// The change.
    pub change_id: ChangeId,
    /// What became of it.
    pub state: ChangeState,
    /// The addition, once known.
    pub addition: Option<AdditionId>,
    /// Why it failed, was skipped or is in doubt.
    pub error: Option<OperationError>,
    /// Calls used for it, over all runs.
    pub calls: u32,
}

/// Counts of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Changes that ConnectWise holds.
    pub applied: usize,
    /// Changes that were refused.
    pub failed: usize,
    /// Changes that were not sent.
    pub skipped: usize,
    /// Changes without a clear answer.
    pub in_doubt: usize,
    /// Calls sent in this run, reads and retries included.
    pub calls: u64,
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ApplyReport {
    /// Every change that writes, in plan order.
    pub changes: Vec<ChangeReport>,
    /// What a person should know.
    pub findings: Vec<Finding>,
    /// Counts.
    pub summary: Summary,
    /// Whether the plan was refused as out of date.
    pub stale: bool,
}

impl ApplyReport {
    /// Whether something needs a person or a later run.
    pub fn needs_attention(&self) -> bool {
        self.stale || self.summary.failed + self.summary.skipped + self.summary.in_doubt > 0
    }
}

/// Why a plan was not applied, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The checker did not let it pass.
    #[error("the plan did not pass its checks and cannot be applied; look at its findings and plan again")]
    NotChecked,
    /// Another worker is at an agreement of the plan. Nothing was written.
    #[error("agreement {0} is being written by another worker; nothing was written, try again later")]
    Busy(AgreementId),
    /// A read that has to come before the first write failed. Nothing was written.
    #[error("{}: nothing was written, because the agreements could not be read first", .0.message)]
    Unread(OperationError),
    /// People have to say yes first. Nothing was written.
    #[error("{}", .0.message)]
    Waits(Box<Finding>),
    /// ConnectWise could not be asked. Nothing was written.
    #[error(transparent)]
    Psa(#[from] PsaError),
    /// The journal could not be read or written; nothing was sent without it, and the next run goes on from there.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Failure> for ApplyError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Store(error) => Self::Store(error),
            Failure::Psa(error) => Self::Psa(error),
            Failure::Setting(_) | Failure::Wrong { .. } => {
                Self::Store(StoreError::Damaged(failure.to_string()))
            }
        }
    }
}

impl ApplyError {
    /// The exception code.
    pub fn code(&self) -> Code {
        match self {
            Self::NotChecked | Self::Waits(_) => Code::Tu7007,
            Self::Busy(_) => Code::Tu7006,
            Self::Unread(error) => Code::from_name(&error.code).unwrap_or(Code::Tu1001),
            Self::Psa(error) => error.code,
            Self::Store(error) => error.code(),
        }
    }
}
