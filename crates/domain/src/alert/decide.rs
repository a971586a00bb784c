//! What is to be done about an alert's ticket. Every such decision is taken here.

use super::rule::{Rule, Unsent};
use super::text::{Names, fill, instant, one_line};
use super::thread::{Closed, Closer, Fact, NoteKind, Side, Thread};
use super::{Alert, HOUR, MINUTE, Millis};
use crate::finding::Code;
use crate::ids::CompanyId;
use crate::ticket::{
    NoteDraft, NoteMarker, ObservedTicket, StatusId, Summary, TextFault, TicketDraft, TicketId, TicketKey,
    TicketTarget,
};
use serde::{Deserialize, Serialize};

/// What is known around an alert.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Around {
    /// The company of its customer; none where nobody linked one.
    pub company: Option<CompanyId>,
    /// Names.
    pub names: Names,
    /// Whether too many tickets are made at once.
    pub storm: Storm,
    /// Whether another alert lasts that has the same ticket: people merge them.
    pub shared: bool,
}

/// Whether too many tickets are made at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Storm {
    /// No.
    #[default]
    Calm,
    /// Yes: new ones lie under this ticket; where there is none yet, it has to be made first.
    Raging(Option<TicketId>),
}

/// What was read of its ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing was read.
    NotRead,
    /// ConnectWise says that there is none.
    Gone,
    /// The ticket.
    Ticket(Box<ObservedTicket>),
}

/// Something that is to be written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// A ticket is made.
    Make {
        /// The ticket.
        draft: Box<TicketDraft>,
        /// The life that begins with it.
        life: u32,
    },
    /// A note is added.
    Note {
        /// The note.
        draft: NoteDraft,
        /// What it says.
        kind: NoteKind,
    },
    /// The ticket gets a status.
    Turn {
        /// Which way.
        to: Side,
        /// The status; none takes the board's own.
        status: Option<StatusId>,
    },
}

/// A step with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// What.
    pub step: Step,
    /// Why, in one sentence.
    pub why: String,
}

/// Why something waits that is to be written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Hold {
    /// No rule makes tickets of it.
    NoRule,
    /// The customer has no company.
    NoCompany,
    /// No rule says on which board.
    NoBoard,
    /// Hours are quiet.
    Quiet {
        /// Until when.
        until: Millis,
    },
    /// The cause comes and goes.
    Flapping,
    /// The ticket that it is to lie under is not there yet.
    Storm,
    /// ConnectWise refused it.
    Refused {
        /// The exception code.
        code: Code,
        /// Its words.
        words: String,
    },
    /// Nobody can say yet whether the last step was carried out.
    InDoubt,
}

impl Hold {
    /// The word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NoRule => "no_rule",
            Self::NoCompany => "no_company",
            Self::NoBoard => "no_board",
            Self::Quiet { .. } => "quiet",
            Self::Flapping => "flapping",
            Self::Storm => "storm",
            Self::Refused { .. } => "refused",
            Self::InDoubt => "in_doubt",
        }
    }

    /// The reason, for people.
    pub fn words(&self) -> String {
        match self {
            Self::NoRule => "no rule makes tickets of it".into(),
            Self::NoCompany => "its customer is linked to no company in ConnectWise".into(),
            Self::NoBoard => "no rule says on which service board".into(),
            Self::Quiet { until } => format!("hours are quiet until {}", instant(*until)),
            Self::Flapping => "it comes and goes; it is left alone until it is quiet".into(),
            Self::Storm => "the ticket under which it is to lie is not there yet".into(),
            Self::Refused { words, .. } => words.clone(),
            Self::InDoubt => "nobody can say yet whether the last step was carried out".into(),
        }
    }
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// What reading the ticket showed; it holds whether or not anything is written.
    pub facts: Vec<Fact>,
    /// What is to be written, in order.
    pub steps: Vec<Planned>,
    /// Why something waits.
    pub hold: Option<Hold>,
    /// Whether a person closed the ticket longer ago than the grace time, while the cause lasts.
    pub closed_while_lasting: bool,
    /// Whether nothing more is to be done until something is told.
    pub settled: bool,
}

/// Says what is to be done about an alert's ticket at `now`.
pub fn decide(alert: &Alert, seen: &Seen, rule: &Rule, around: &Around, now: Millis) -> Decision {
    let mut known = alert.clone();
    let facts = facts(&known, seen, rule, now);
    for fact in &facts {
        known.learn(fact, rule.closed_by_person, now);
    }
    let merged = facts.iter().any(|fact| matches!(fact, Fact::Merged { .. }));
    let mut desk = Desk { alert: &known, rule, around, now, decision: Decision::default() };
    // What it was merged into has to be read before anything is concluded from it.
    if !merged {
        desk.plan();
    }
    Decision { facts, ..desk.decision }
}

/// What reading the ticket showed that was not known.
fn facts(alert: &Alert, seen: &Seen, rule: &Rule, now: Millis) -> Vec<Fact> {
    let Some(thread) = &alert.thread else { return Vec::new() };
    let mut facts = Vec::new();
    match seen {
        Seen::NotRead => {}
        Seen::Gone if thread.gone => {}
        Seen::Gone => facts.push(Fact::Gone),
        Seen::Ticket(ticket) => match ticket.merged_into.filter(|into| *into != ticket.id) {
            Some(into) => return vec![Fact::Merged { into }],
            None if ticket.closed && thread.closed.is_none() => {
                let by = ticket.closed_by.clone().or_else(|| ticket.updated_by.clone());
                facts.push(Fact::Closed { by: by.unwrap_or_else(|| "somebody".to_owned()) });
            }
            None if !ticket.closed && thread.closed.is_some() => facts.push(Fact::Reopened),
            None => {}
        },
    }
    if thread.flap_noted && !flaps(alert, rule, now) {
        facts.push(Fact::Calm);
    }
    facts
}

/// Whether the cause comes and goes so often that the ticket is left alone. One turn is kept for the end.
fn flaps(alert: &Alert, rule: &Rule, now: Millis) -> bool {
    let lately = |times: &[Millis]| times.iter().filter(|at| now.saturating_sub(**at) < HOUR).count();
    let most = usize::try_from(rule.flap_cycles).unwrap_or(usize::MAX);
    let turns = alert.thread.as_ref().map_or(0, |thread| lately(&thread.turns));
    most > 0 && (lately(&alert.openings) >= most || turns + 1 >= most.max(2))
}

struct Desk<'a> {
    alert: &'a Alert,
    rule: &'a Rule,
    around: &'a Around,
    now: Millis,
    decision: Decision,
}

impl Desk<'_> {
    fn plan(&mut self) {
        if !self.rule.psa {
            // What a rule made, it leaves as it is once it is switched off.
            if self.alert.is_open() {
                self.decision.hold = Some(Hold::NoRule);
            } else {
                self.decision.settled = true;
            }
            return;
        }
        match &self.alert.thread {
            None => self.without_ticket(),
            Some(thread) => match (&thread.closed, self.alert.is_open()) {
                (None, true) => self.both_open(thread),
                (None, false) => self.cleared(thread),
                (Some(closed), true) if self.alert.cycle > closed.cycle => self.returned(thread),
                (Some(closed), true) => self.closed_while_open(thread, closed),
                // A cause that is gone never touches a closed ticket.
                (Some(_), false) => self.decision.settled = true,
            },
        }
    }

    fn without_ticket(&mut self) {
        if self.alert.is_open() {
            self.make(1, None, "the alert is open and has no ticket");
            return;
        }
        match self.rule.unsent {
            Unsent::None => self.decision.settled = true,
            Unsent::OpenedAndClosed => {
                self.make(1, None, "the alert was over before it could be sent, and is to be recorded");
                // What was over waits for nothing but a ticket that can be made.
                if matches!(self.decision.hold, Some(Hold::NoBoard)) {
                    self.decision.hold = None;
                    self.decision.settled = true;
                }
            }
        }
    }

    fn both_open(&mut self, thread: &Thread) {
        if flaps(self.alert, self.rule, self.now) {
            self.leave_alone(thread);
            return;
        }
        let repeats = self.alert.repeats.saturating_sub(thread.noted_repeats);
        if repeats == 0 || !self.note_is_due(thread) || !self.may_ring() {
            return;
        }
        let times = if repeats == 1 { "once more".to_owned() } else { format!("{repeats} times more") };
        let text = format!("Told {times}, last at {}: {}", instant(self.alert.last_at), self.alert.summary);
        self.note(thread, NoteKind::Repeats, text, &format!("it was told {times} since the last note"));
    }

    fn cleared(&mut self, thread: &Thread) {
        if flaps(self.alert, self.rule, self.now) {
            self.leave_alone(thread);
            return;
        }
        if thread.cleared_said != Some(self.alert.cycle) {
            let at = self.alert.cleared_at.unwrap_or(self.now);
            let text = format!("The cause is gone since {}.", instant(at));
            self.note(thread, NoteKind::Cleared, text, "the cause is gone");
        }
        if self.rule.close_when_cleared && self.around.shared {
            // It closes with the last of them.
        } else if self.rule.close_when_cleared {
            self.turn(Side::Closed, self.rule.status_closed, "the cause is gone");
        } else if self.decision.steps.is_empty() {
            self.decision.settled = true;
        }
    }

    fn returned(&mut self, thread: &Thread) {
        let since = self.alert.cleared_before.unwrap_or(self.alert.opened_at);
        let within = self.alert.opened_at.saturating_sub(since) <= self.rule.reopen;
        if thread.gone || !within {
            let why = "the cause came back, and its ticket is too long ago or deleted";
            self.make(thread.life.saturating_add(1), Some(thread), why);
            return;
        }
        if flaps(self.alert, self.rule, self.now) {
            self.leave_alone(thread);
            return;
        }
        if !self.may_ring() {
            return;
        }
        let status = self.rule.status_reopened.or(self.rule.status_new);
        self.turn(Side::Open, status, "the cause came back soon after it was gone");
        if self.note_is_due(thread) {
            let text = format!("The cause came back at {}.", instant(self.alert.opened_at));
            self.note(thread, NoteKind::Returned, text, "the cause came back");
        }
    }

    fn closed_while_open(&mut self, thread: &Thread, closed: &Closed) {
        use super::rule::ByPerson::{Acknowledge, Close, Ignore};
        match (self.rule.closed_by_person, &closed.by) {
            // Closed by us while the cause is open again in the same opening cannot be; it is left as it is.
            (Ignore, _) | (_, Closer::Us) => return,
            (Acknowledge | Close, Closer::Person(_)) => {}
        }
        if self.now.saturating_sub(closed.at) < self.rule.grace {
            return;
        }
        self.decision.closed_while_lasting = true;
        // The ticket may have been noted about and not opened yet: a call that failed between the two is made up for.
        if closed.told && !self.rule.reopen_closed || !self.may_ring() {
            return;
        }
        if thread.gone {
            if self.rule.reopen_closed {
                let why = "the ticket was deleted, and the cause lasts";
                self.make(thread.life.saturating_add(1), Some(thread), why);
            }
            return;
        }
        let Closer::Person(who) = &closed.by else { return };
        let text = format!(
            "The ticket was closed by {who}, seen at {}, and the cause lasts: {}",
            instant(closed.at),
            self.alert.summary
        );
        let why = "a person closed the ticket, and the cause lasts after the grace time";
        if closed.told || self.note_is_due(thread) {
            if !closed.told {
                self.note(thread, NoteKind::Lasting, text, why);
            }
            if self.rule.reopen_closed {
                self.turn(Side::Open, self.rule.status_reopened.or(self.rule.status_new), why);
            }
        }
    }

    fn leave_alone(&mut self, thread: &Thread) {
        self.decision.hold = Some(Hold::Flapping);
        if thread.flap_noted || thread.gone || !self.note_is_due(thread) {
            return;
        }
        if self.rule.quiet.as_ref().and_then(|quiet| quiet.holds(self.now)).is_some() {
            return;
        }
        let text = "The cause comes and goes. The ticket is left as it is until it is quiet for an hour.";
        self.note(thread, NoteKind::Flapping, text.to_owned(), "the cause comes and goes");
    }

    fn note_is_due(&self, thread: &Thread) -> bool {
        self.now.saturating_sub(thread.noted_at) >= self.rule.note_every.max(HOUR)
    }

    /// Whether something may be made that rings; holds it where not.
    fn may_ring(&mut self) -> bool {
        match self.rule.quiet.as_ref().and_then(|quiet| quiet.holds(self.now)) {
            Some(until) => {
                self.decision.hold = Some(Hold::Quiet { until });
                false
            }
            None => true,
        }
    }

    fn make(&mut self, life: u32, former: Option<&Thread>, why: &str) {
        let Some(company) = self.rule.company.or(self.around.company) else {
            self.decision.hold = Some(Hold::NoCompany);
            return;
        };
        let Some(board) = self.rule.board else {
            self.decision.hold = Some(Hold::NoBoard);
            return;
        };
        if !self.may_ring() {
            return;
        }
        let parent = match self.around.storm {
            Storm::Calm => None,
            Storm::Raging(Some(parent)) => Some(parent),
            Storm::Raging(None) => {
                self.decision.hold = Some(Hold::Storm);
                return;
            }
        };
        let Ok(key) = ticket_key(self.alert, life) else { return };
        let mut note = fill(&self.rule.text, self.alert, &self.around.names, key.as_str());
        if let Some(former) = former.filter(|former| !former.gone) {
            note.push_str(&format!("\n\nThe same came up before: ticket {}.", former.ticket));
        }
        let rule = self.rule;
        let draft = TicketDraft {
            company,
            target: TicketTarget {
                board,
                status: rule.status_new,
                ticket_type: rule.ticket_type,
                subtype: rule.subtype,
                item: rule.item,
                priority: rule.priority,
                source: rule.source,
                owner: rule.owner,
            },
            summary: Summary::cut(&one_line(&rule.summary, self.alert, &self.around.names)),
            initial_note: note,
            initial_place: rule.notes,
            key,
            parent,
            mail: rule.mail.clone(),
        };
        self.step(Step::Make { draft: Box::new(draft), life }, why);
    }

    fn note(&mut self, thread: &Thread, kind: NoteKind, text: String, why: &str) {
        let (letter, number) = match kind {
            NoteKind::Repeats => ('r', self.alert.repeats),
            NoteKind::Flapping => ('f', self.alert.repeats),
            NoteKind::Cleared => ('c', self.alert.cycle),
            NoteKind::Returned => ('b', self.alert.cycle),
            NoteKind::Lasting => {
                let closed = thread.closed.as_ref().map_or(0, |closed| closed.at / MINUTE);
                ('l', u32::try_from(closed).unwrap_or_default())
            }
        };
        // The same note has the same mark, however often it is decided.
        let mark = format!("{}-{}{letter}{number}", self.alert.id, thread.life);
        let Ok(marker) = NoteMarker::new(&mark) else { return };
        let draft = NoteDraft { text, place: self.rule.notes, marker };
        self.step(Step::Note { draft, kind }, why);
    }

    fn turn(&mut self, to: Side, status: Option<StatusId>, why: &str) {
        self.step(Step::Turn { to, status }, why);
    }

    fn step(&mut self, step: Step, why: &str) {
        self.decision.steps.push(Planned { step, why: why.to_owned() });
    }
}

/// Our key of the ticket of an alert's life.
pub(super) fn ticket_key(alert: &Alert, life: u32) -> Result<TicketKey, TextFault> {
    TicketKey::new(&format!("trueup:{}:{life}", alert.id))
}
