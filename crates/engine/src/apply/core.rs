//! Carrying a plan out, as a state machine without input or output: events in, effects out.
//!
//! The rules it keeps: what is intended is durable before a call is sent; a create is never repeated blindly; an edit
//! is absolute; the agreements are read fresh before the first write and compared with what the plan saw. The driver
//! executes the effects, the tests execute them in a simulated world, and both run this very code.

pub use super::machine::Core;
use crate::ports::PsaError;
use crate::records::{Millis, OperationError, OperationState};
use std::collections::BTreeMap;
use trueup_domain::ids::{AdditionId, AgreementId};
use trueup_domain::planner::AdoptionAnswer;
use trueup_domain::psa::{Agreement, ObservedAddition};

/// How the core behaves.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// How long an operation in doubt waits before a look-up that does not find it counts.
    pub settle_ms: Millis,
    /// Calls in flight at once, each of another agreement.
    pub in_flight: usize,
    /// Whether to wait for operations that were in doubt when the run began.
    pub wait: bool,
    /// Whether additions carry our key on this tenant.
    pub keyed: bool,
    /// Sends of one create after which it is given up, once its absence is certain.
    pub max_attempts: u32,
    /// Age at which a read of an agreement no longer counts as fresh for a write.
    pub max_read_age_ms: Millis,
    /// What a person said of additions that could be what was sent and carry no key.
    pub said: AdoptionAnswer,
    /// Planted bugs: all off, except in tests that must notice them.
    pub quirks: Quirks,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            settle_ms: 120_000,
            in_flight: 4,
            wait: true,
            keyed: true,
            max_attempts: 3,
            max_read_age_ms: 60_000,
            said: AdoptionAnswer::Propose,
            quirks: Quirks::default(),
        }
    }
}

/// Planted bugs. The tests switch one on and must then fail; nothing else sets them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quirks {
    /// Sends a create again as soon as its outcome is unknown.
    pub blind_retry: bool,
    /// Takes an interrupted send for one that never left.
    pub forgets_sends: bool,
    /// Believes an empty list of an agreement on which additions are known.
    pub trusts_empty_list: bool,
    /// Writes without comparing what is there with what the plan saw.
    pub skips_check: bool,
}

/// What the journal holds of one step.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Whether the journal has a row for it.
    pub saved: bool,
    /// State; a step without a row is an intent.
    pub state: State,
    /// The addition, once known.
    pub addition: Option<AdditionId>,
    /// Calls sent.
    pub attempts: u32,
    /// When the last one was about to be sent.
    pub sent_at: Option<Millis>,
    /// When a look-up first found nothing after that.
    pub absent_at: Option<Millis>,
    /// Calls used, look-ups of its own included.
    pub calls: u32,
    /// The last failure.
    pub error: Option<Box<OperationError>>,
}

/// The journal's state; a step without a row is an intent.
pub type State = OperationState;

impl Default for Entry {
    fn default() -> Self {
        Self {
            saved: false,
            state: State::Intent,
            addition: None,
            attempts: 0,
            sent_at: None,
            absent_at: None,
            calls: 0,
            error: None,
        }
    }
}

impl Entry {
    pub(super) fn unresolved(&self) -> bool {
        matches!(self.state, State::Sending | State::InDoubt)
    }

    pub(super) fn over(&self) -> bool {
        matches!(self.state, State::Done | State::Refused | State::Skipped)
    }
}

/// What the driver has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Read the agreements' headers, in one call for all.
    ReadHeaders,
    /// Read the headers of the agreements of these lanes once more, in one list; the first is written next.
    ReadAgain(Vec<usize>),
    /// Read the additions of a lane's agreement afresh.
    Look(usize),
    /// Make every step without a row an intent, durable on return.
    SaveIntents,
    /// Move a step to `Sending`, durable on return.
    Begin(usize),
    /// Send the call of a step.
    Call(usize),
    /// Save the new state of a step, with link and audit.
    Finish(usize),
    /// Nothing to do before this instant.
    Wait(Millis),
    /// The run is over.
    Done,
}

/// What became of a call.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Carried out; the record where one remains.
    Done(Option<Box<ObservedAddition>>),
    /// Certainly not carried out.
    Refused(PsaError),
    /// Unclear.
    InDoubt(PsaError),
    /// Not sent: too long after it was begun for the lease to be trusted.
    Withheld,
}

/// What happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// Begin the run.
    Started,
    /// The headers; `None` where reads that are fresh enough made them needless.
    Headers(Option<&'a BTreeMap<AgreementId, Agreement>>),
    /// The header of a lane's agreement, or of the one that invoices it, was not understood; told before the headers.
    HeaderUnread(usize, OperationError),
    /// The headers of these lanes once more; `at` is the instant before they were asked for.
    HeadersAgain {
        /// The lanes.
        lanes: &'a [usize],
        /// When the read began.
        at: Millis,
        /// The headers, or why there are none.
        fresh: Result<&'a BTreeMap<AgreementId, Agreement>, OperationError>,
    },
    /// A list arrived whole; `at` is the instant before it was asked for.
    Looked {
        /// The lane.
        lane: usize,
        /// When the read began.
        at: Millis,
        /// The list.
        additions: &'a [ObservedAddition],
    },
    /// A list could not be read whole.
    LookFailed(usize, OperationError),
    /// ConnectWise says, by list and by record, that the agreement of a lane is not there any more; `at` is the instant
    /// before it was asked.
    Gone {
        /// The lane.
        lane: usize,
        /// When the read began.
        at: Millis,
    },
    /// The intents are durable.
    IntentsSaved,
    /// The step is durably `Sending`.
    Begun(usize),
    /// A step was not begun, and nothing was sent: the key is in use elsewhere, the journal cannot be written, or
    /// (`lane_lost`) another worker holds the lane.
    NotBegun {
        /// The step.
        step: usize,
        /// Why.
        error: OperationError,
        /// Whether nothing of this lane may be sent any more.
        lane_lost: bool,
    },
    /// A call came back.
    Answered(usize, Answer),
    /// The outcome is durable.
    Finished(usize),
    /// The outcome could not be saved: the journal still holds what it held.
    NotFinished(usize, OperationError),
    /// What a look-up found is the work of another plan: the journal takes a key once, and holds it there.
    Taken(usize, OperationError),
    /// Stop sending; calls in flight still end.
    Halt(OperationError),
    /// The instant that was waited for has come.
    Woke,
}
