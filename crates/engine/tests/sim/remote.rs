//! A ConnectWise that loses replies, finishes late, throttles, lies, and is edited by people.

use super::Rng;
use super::desk::{TicketAnswer, TicketWrite, Tickets};
use super::plans::{Scenario, state};
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::finding::Code;
use trueup_domain::ids::{AdditionId, AgreementId};
use trueup_domain::money::Quantity;
use trueup_domain::plan::OperationKey;
use trueup_domain::psa::{AdditionState, Agreement, ObservedAddition};
use trueup_engine::ports::{PsaError, WriteError};
use trueup_engine::records::Millis;

/// Longest time after the client gave up that the server may still carry a call out.
pub const SERVER_LIMIT: Millis = 40_000;
/// How long the client waits for an answer.
pub const CLIENT_TIMEOUT: Millis = 20_000;

#[derive(Clone, Debug)]
pub enum Write {
    Create { agreement: AgreementId, wanted: AdditionState, key: String },
    Update { agreement: AgreementId, id: AdditionId, wanted: AdditionState },
    Delete { agreement: AgreementId, id: AdditionId },
}

impl Write {
    pub fn agreement(&self) -> AgreementId {
        match self {
            Self::Create { agreement, .. }
            | Self::Update { agreement, .. }
            | Self::Delete { agreement, .. } => *agreement,
        }
    }
}

/// What a person did.
#[derive(Clone, Debug)]
pub struct HumanEdit {
    pub agreement: AgreementId,
    pub addition: AdditionId,
    pub at: Millis,
    pub gone: bool,
    pub new: bool,
}

#[derive(Clone, Debug)]
pub struct Remote {
    pub now: Millis,
    pub rng: Rng,
    pub additions: BTreeMap<AgreementId, Vec<ObservedAddition>>,
    pub headers: BTreeMap<AgreementId, Agreement>,
    /// The key of each create that was carried out, with its addition: the truth, also where no key is kept.
    pub created: Vec<(String, AdditionId)>,
    pub edits: Vec<HumanEdit>,
    /// When the last honest list of an agreement was served.
    pub listed_at: BTreeMap<AgreementId, Millis>,
    pub violation: Option<String>,
    pub calls: u64,
    /// Of 1000 calls, how many go wrong.
    pub faults: usize,
    pub keyed: bool,
    /// Whether an agreement with additions sometimes comes back empty.
    pub lies: bool,
    /// Additions that the plan saw and does not remove: only where one of them is, an empty list is a lie that can be
    /// noticed.
    pub anchors: BTreeSet<AdditionId>,
    /// The service desk.
    pub tickets: Tickets,
    late: Vec<(Millis, Write)>,
    next_id: i64,
}

pub fn refused(code: Code, message: &str) -> WriteError {
    WriteError::Refused(problem(code, message))
}

pub fn problem(code: Code, message: &str) -> PsaError {
    PsaError { code, message: message.to_owned(), their_words: None }
}

impl Remote {
    pub fn new(scenario: &Scenario, rng: Rng) -> Self {
        Self {
            now: 1_000_000,
            rng,
            additions: scenario.additions.clone(),
            headers: scenario.headers.clone(),
            created: Vec::new(),
            edits: Vec::new(),
            listed_at: BTreeMap::new(),
            violation: None,
            calls: 0,
            faults: 0,
            keyed: true,
            lies: false,
            anchors: scenario.anchors(),
            tickets: Tickets::default(),
            late: Vec::new(),
            next_id: 1000,
        }
    }

    /// Time goes on; calls that the server still had are carried out.
    pub fn advance(&mut self, to: Millis) {
        let to = to.max(self.now);
        while let Some(first) = self.late.iter().map(|(at, _)| *at).min().filter(|at| *at <= to) {
            let index = self.late.iter().position(|(at, _)| *at == first).unwrap();
            let (_, write) = self.late.swap_remove(index);
            let _ = self.carry_out(&write);
        }
        self.tickets.advance(to);
        self.now = to;
    }

    /// A call whose sender died: it may have left, and may be carried out later.
    pub fn orphan(&mut self, write: Write) {
        if self.rng.chance(600) {
            let at = self.now + self.rng.millis(SERVER_LIMIT);
            self.late.push((at, write));
        }
    }

    /// Sends a call.
    pub fn send(&mut self, write: Write) -> Result<Option<ObservedAddition>, WriteError> {
        self.calls += 1;
        let latency = 100 + self.rng.millis(100);
        self.advance(self.now + latency);
        self.watch(&write);
        if !self.rng.chance(self.faults) {
            return self.carry_out(&write);
        }
        let unclear = |message: &str| Err(WriteError::InDoubt(problem(Code::Tu7003, message)));
        match self.rng.below(7) {
            0 => {
                self.advance(self.now + CLIENT_TIMEOUT);
                unclear("timed out")
            }
            1 | 2 => {
                let _ = self.carry_out(&write);
                self.advance(self.now + CLIENT_TIMEOUT);
                unclear("the connection broke")
            }
            3 | 4 => {
                let at = self.now + CLIENT_TIMEOUT + self.rng.millis(SERVER_LIMIT);
                self.late.push((at, write));
                self.advance(self.now + CLIENT_TIMEOUT);
                unclear("timed out")
            }
            5 if self.rng.chance(500) => Err(refused(Code::Tu7004, "the price is not allowed")),
            5 => Err(refused(Code::Tu1006, "too many requests")),
            _ => unclear("503"), // open set: the last of the seven
        }
    }

    /// Sends a call of the service desk, which goes wrong in the same ways.
    pub fn send_ticket(&mut self, write: &TicketWrite) -> Result<TicketAnswer, WriteError> {
        self.calls += 1;
        let latency = 100 + self.rng.millis(100);
        self.advance(self.now + latency);
        if !self.rng.chance(self.faults) {
            return self.tickets.carry_out(self.now, write);
        }
        let lost = match self.rng.below(4) {
            0 => "timed out",
            1 => {
                let _ = self.tickets.carry_out(self.now, write);
                "the connection broke"
            }
            2 => {
                let at = self.now + CLIENT_TIMEOUT + self.rng.millis(SERVER_LIMIT);
                self.tickets.put_off(at, write.clone());
                "timed out"
            }
            _ => return Err(refused(Code::Tu1006, "too many requests")), // open set: the last of the four
        };
        self.advance(self.now + CLIENT_TIMEOUT);
        Err(WriteError::InDoubt(problem(Code::Tu7003, lost)))
    }

    /// Whether a read of the service desk gets an answer.
    pub fn reads_ticket(&mut self) -> bool {
        self.calls += 1;
        let latency = 100 + self.rng.millis(100);
        self.advance(self.now + latency);
        !self.rng.chance(self.faults / 8)
    }

    /// Serves a list; `None` when the call fails.
    pub fn list(&mut self, agreement: AgreementId) -> Option<&[ObservedAddition]> {
        self.calls += 1;
        let latency = 100 + self.rng.millis(100);
        self.advance(self.now + latency);
        if self.rng.chance(self.faults / 8) {
            return None;
        }
        let there = self.additions.get(&agreement).map(Vec::as_slice).unwrap_or_default();
        if self.lies && there.iter().any(|a| self.anchors.contains(&a.id)) && self.rng.chance(300) {
            return Some(&[]);
        }
        self.listed_at.insert(agreement, self.now);
        Some(there)
    }

    /// A person edits, adds or removes.
    pub fn human(&mut self) {
        let lanes = self.additions.len();
        let Some((agreement, held)) = self.additions.iter_mut().nth(self.rng.below(lanes)) else { return };
        let kind = self.rng.below(3);
        let (addition, gone, new) = match (kind, held.is_empty()) {
            (0, false) => {
                let index = self.rng.below(held.len());
                held[index].state.quantity = Quantity::from(777 + self.next_id);
                (held[index].id, false, false)
            }
            (1, false) => {
                let index = self.rng.below(held.len());
                (held.remove(index).id, true, false)
            }
            _ => {
                // open set: something is added
                let id = AdditionId(self.next_id);
                held.push(ObservedAddition {
                    id,
                    agreement: *agreement,
                    state: state(9, 900 + self.next_id),
                    less_included: Quantity::ZERO,
                    marker: None,
                    last_updated: None,
                });
                (id, false, true)
            }
        };
        self.next_id += 1;
        self.edits.push(HumanEdit { agreement: *agreement, addition, at: self.now, gone, new });
    }

    /// A person's work that a list has shown must not be written over.
    fn watch(&mut self, write: &Write) {
        let shown = self.listed_at.get(&write.agreement()).copied().unwrap_or(0);
        let target = match write {
            Write::Create { .. } => None,
            Write::Update { id, .. } | Write::Delete { id, .. } => Some(*id),
        };
        let ignored = self.edits.iter().find(|edit| {
            edit.agreement == write.agreement() && edit.at < shown && target == Some(edit.addition)
        });
        if let Some(edit) = ignored {
            self.violation.get_or_insert(format!("{write:?} overwrites {edit:?}, which a list had shown"));
        }
    }

    fn carry_out(&mut self, write: &Write) -> Result<Option<ObservedAddition>, WriteError> {
        let held = self.additions.entry(write.agreement()).or_default();
        match write {
            Write::Create { agreement, wanted, key } => {
                let id = AdditionId(self.next_id);
                self.next_id += 1;
                let made = ObservedAddition {
                    id,
                    agreement: *agreement,
                    state: wanted.clone(),
                    less_included: Quantity::ZERO,
                    marker: self.keyed.then(|| key.clone()),
                    last_updated: None,
                };
                held.push(made.clone());
                let twin = self.created.iter().find(|(other, _)| other == key).map(|(_, id)| *id);
                if twin.is_some_and(|twin| !self.hidden(twin)) {
                    self.violation.get_or_insert(format!("addition doubled: {key} is there as {id} again"));
                }
                self.created.push((key.clone(), id));
                Ok(Some(made))
            }
            Write::Update { id, wanted, .. } => match held.iter_mut().find(|a| a.id == *id) {
                Some(addition) => {
                    addition.state = wanted.clone();
                    Ok(Some(addition.clone()))
                }
                None => Err(refused(Code::Tu7004, "404: no such addition")),
            },
            Write::Delete { id, .. } => {
                held.retain(|a| a.id != *id);
                Ok(None)
            }
        }
    }

    /// Whether a person made an addition unfindable: removed it, or changed one that carries no key.
    pub fn hidden(&self, id: AdditionId) -> bool {
        self.edits.iter().any(|e| e.addition == id && (e.gone || !self.keyed))
    }

    /// The write of a key, for callers that hold the port's arguments.
    pub fn create(agreement: AgreementId, wanted: &AdditionState, key: &OperationKey) -> Write {
        Write::Create { agreement, wanted: wanted.clone(), key: key.0.clone() }
    }
}
