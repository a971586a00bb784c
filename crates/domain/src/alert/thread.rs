//! The ticket of an alert as trueup knows it: what was written, what people did, and what is under way.

use super::decide::Step;
use super::rule::ByPerson;
use super::{Acknowledged, Alert, AlertSeverity, Millis};
use crate::ids::CompanyId;
use crate::ticket::{BoardId, TicketDraft, TicketId, TicketKey};
use serde::{Deserialize, Serialize};

/// The most turns that are remembered: more than any rule looks at.
const MOST_TURNS: usize = 64;

/// Who closed a ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Closer {
    /// trueup.
    Us,
    /// A person, as far as ConnectWise tells.
    Person(String),
}

/// That a ticket is closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// By whom.
    pub by: Closer,
    /// When it was done, or seen.
    pub at: Millis,
    /// How often the alert had been opened by then: more since means that it came back.
    pub cycle: u32,
    /// Whether it was noted that the cause lasts.
    pub told: bool,
}

/// The ticket of an alert. A new one begins a new life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// From 1.
    pub life: u32,
    /// Our key of it.
    pub key: TicketKey,
    /// The ticket.
    pub ticket: TicketId,
    /// Whose it is.
    pub company: CompanyId,
    /// On which board it was made.
    pub board: BoardId,
    /// How severe the alert was when it was made; none of those made before this was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<AlertSeverity>,
    /// The ticket that it lies under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<TicketId>,
    /// The ticket of the life before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former: Option<TicketId>,
    /// When it was made.
    pub made_at: Millis,
    /// Whether it is closed.
    pub closed: Option<Closed>,
    /// When something was noted last.
    pub noted_at: Millis,
    /// How many repeats were noted.
    pub noted_repeats: u32,
    /// The opening whose end was noted.
    pub cleared_said: Option<u32>,
    /// When trueup closed it or opened it again.
    pub turns: Vec<Millis>,
    /// Whether it was noted that the cause comes and goes.
    pub flap_noted: bool,
    /// Whether somebody deleted it.
    pub gone: bool,
}

/// What reading a ticket showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum Fact {
    /// A person closed it.
    Closed {
        /// Who, as far as ConnectWise tells.
        by: String,
    },
    /// A person opened it again.
    Reopened,
    /// Somebody deleted it.
    Gone,
    /// People merged it into another one.
    Merged {
        /// Which.
        into: TicketId,
    },
    /// The cause does not come and go any more.
    Calm,
}

/// What a note says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoteKind {
    /// It was told again, so often.
    Repeats,
    /// It comes and goes, and is left alone.
    Flapping,
    /// It is gone.
    Cleared,
    /// It came back.
    Returned,
    /// A person closed the ticket, and the cause lasts.
    Lasting,
}

/// Which way a ticket is turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Opened again.
    Open,
    /// Closed.
    Closed,
}

/// Something that was written down before it was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// What.
    pub step: Step,
    /// Since when, by the clock of the machine.
    pub at: Millis,
    /// How often it was looked for and not found.
    pub misses: u32,
    /// When it was looked for last.
    pub looked_at: Option<Millis>,
}

impl Alert {
    /// Takes in what reading the ticket showed.
    pub fn learn(&mut self, fact: &Fact, closed_means: ByPerson, now: Millis) {
        let (cycle, open) = (self.cycle, self.is_open());
        let Some(thread) = &mut self.thread else { return };
        let by = match fact {
            Fact::Closed { by } => by.clone(),
            Fact::Gone => {
                thread.gone = true;
                // That a closed ticket is deleted says nothing about the cause.
                if thread.closed.is_some() {
                    return;
                }
                "somebody who deleted the ticket".to_owned()
            }
            Fact::Reopened => {
                thread.closed = None;
                self.acknowledged = None;
                return;
            }
            Fact::Merged { into } => {
                thread.ticket = *into;
                return;
            }
            Fact::Calm => {
                thread.flap_noted = false;
                return;
            }
        };
        if thread.closed.is_none() {
            thread.closed = Some(Closed { by: Closer::Person(by.clone()), at: now, cycle, told: false });
        }
        if !open {
            return;
        }
        match closed_means {
            ByPerson::Acknowledge => self.acknowledged = Some(Acknowledged { by, at: now }),
            ByPerson::Close => {
                self.cleared_at = Some(now.max(self.opened_at));
                self.voices.iter_mut().for_each(|voice| voice.open = false);
            }
            ByPerson::Ignore => {}
        }
    }

    /// Its ticket was made.
    pub fn made(&mut self, ticket: TicketId, draft: &TicketDraft, life: u32, now: Millis) {
        self.thread = Some(Thread {
            life,
            key: draft.key.clone(),
            ticket,
            company: draft.company,
            board: draft.target.board,
            severity: Some(self.severity),
            parent: draft.parent,
            former: self.thread.as_ref().map(|former| former.ticket),
            made_at: now,
            closed: None,
            noted_at: now,
            noted_repeats: self.repeats,
            cleared_said: None,
            turns: Vec::new(),
            flap_noted: false,
            gone: false,
        });
        self.acknowledged = None;
    }

    /// Something was noted.
    pub fn noted(&mut self, kind: NoteKind, now: Millis) {
        let (cycle, repeats) = (self.cycle, self.repeats);
        let Some(thread) = &mut self.thread else { return };
        thread.noted_at = now;
        match kind {
            NoteKind::Repeats | NoteKind::Returned => thread.noted_repeats = repeats,
            NoteKind::Flapping => {
                thread.flap_noted = true;
                thread.noted_repeats = repeats;
            }
            NoteKind::Cleared => thread.cleared_said = Some(cycle),
            NoteKind::Lasting => {
                thread.noted_repeats = repeats;
                if let Some(closed) = &mut thread.closed {
                    closed.told = true;
                }
            }
        }
    }

    /// The ticket was closed or opened again.
    pub fn turned(&mut self, to: Side, now: Millis) {
        let cycle = self.cycle;
        let Some(thread) = &mut self.thread else { return };
        thread.turns.push(now);
        if thread.turns.len() > MOST_TURNS {
            thread.turns.remove(0);
        }
        match to {
            Side::Open => {
                thread.closed = None;
                self.acknowledged = None;
            }
            Side::Closed => {
                thread.closed = Some(Closed { by: Closer::Us, at: now, cycle, told: false });
            }
        }
    }
}
