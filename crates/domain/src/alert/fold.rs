//! What is told of an alert, and what it makes of its state.

use super::{Alert, AlertId, AlertSeverity, MOST_OPENINGS, Millis, Origin, Voice, key_of};
use crate::ids::{CustomerId, SourceId};
use serde::{Deserialize, Serialize};

/// What a telling says of the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToldState {
    /// It is there.
    Open,
    /// It is gone.
    Closed,
}

impl ToldState {
    /// From the word of a feed: whatever is not closed lasts.
    pub fn from_word(word: &str) -> Self {
        if word == "closed" { Self::Closed } else { Self::Open }
    }
}

/// Something that was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// From where it comes.
    pub origin: Origin,
    /// The source; empty where trueup itself tells.
    pub source: SourceId,
    /// Whose it is there; empty where it is nobody's.
    pub customer: CustomerId,
    /// Its kind.
    pub kind: String,
    /// What it is about.
    pub subject: Option<String>,
    /// The source's own key.
    pub key: Option<String>,
    /// How grave it is.
    pub severity: AlertSeverity,
    /// Whether the cause is there.
    pub state: ToldState,
    /// When.
    pub at: Millis,
    /// One sentence.
    pub summary: String,
    /// More text.
    pub detail: Option<String>,
}

/// What a telling changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happening {
    /// It is new.
    Opened,
    /// It was told again.
    Repeated,
    /// Another one tells the same.
    Joined,
    /// Its cause is gone.
    Cleared,
    /// It came back.
    Returned,
    /// Nothing: it is older than what is known, or says nothing new.
    Nothing,
}

impl Happening {
    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Repeated => "repeated",
            Self::Joined => "joined",
            Self::Cleared => "cleared",
            Self::Returned => "returned",
            Self::Nothing => "nothing",
        }
    }
}

impl Alert {
    /// The alert that a first telling makes; none where it says that nothing is wrong.
    pub fn first(id: AlertId, told: &Told) -> Option<Self> {
        if told.state == ToldState::Closed {
            return None;
        }
        Some(Self {
            id,
            origin: told.origin.clone(),
            kind: told.kind.clone(),
            subject: told.subject.clone(),
            key: told.key.clone().unwrap_or_else(|| key_of(&told.kind, told.subject.as_deref())),
            shared: told.key.is_some(),
            severity: told.severity,
            summary: told.summary.clone(),
            detail: told.detail.clone(),
            voices: vec![Voice::of(told)],
            opened_at: told.at,
            cleared_at: None,
            cleared_before: None,
            last_at: told.at,
            cycle: 1,
            repeats: 0,
            openings: vec![told.at],
            acknowledged: None,
            thread: None,
            pending: None,
            hold: None,
            settled: false,
        })
    }

    /// Takes a further telling in.
    pub fn take(&mut self, told: &Told) -> Happening {
        let known = self
            .voices
            .iter_mut()
            .find(|voice| voice.source == told.source && voice.customer == told.customer);
        let open = told.state == ToldState::Open;
        let joins = match known {
            // What happened before the newest that this voice told says nothing of now; but an opening that is delivered
            // after its end says that there was something.
            Some(voice) if told.at < voice.at => {
                let is_late = open && !voice.open && self.cycle == 0 && self.origin != Origin::Silence;
                return if is_late { self.open_late(told) } else { Happening::Nothing };
            }
            Some(voice) => {
                let joins = open && !voice.open;
                voice.at = told.at;
                voice.open = open;
                joins
            }
            None => {
                // A voice that only says that it is over is remembered as well: its opening may be delivered later.
                self.voices.push(Voice::of(told));
                if !open {
                    return Happening::Nothing;
                }
                true
            }
        };
        self.last_at = self.last_at.max(told.at);
        if !open {
            if self.voices.iter().any(|voice| voice.open) || !self.is_open() {
                return Happening::Nothing;
            }
            self.cleared_at = Some(told.at.max(self.opened_at));
            self.settled = false;
            return Happening::Cleared;
        }
        self.severity = told.severity;
        self.summary.clone_from(&told.summary);
        self.detail.clone_from(&told.detail);
        self.settled = false;
        if self.is_open() {
            if joins {
                return Happening::Joined;
            }
            self.repeats = self.repeats.saturating_add(1);
            return Happening::Repeated;
        }
        let is_first = self.cycle == 0;
        let before = self.cleared_at.take();
        self.opened_at = told.at.max(before.unwrap_or(told.at));
        self.cycle = self.cycle.saturating_add(1);
        if !is_first {
            self.cleared_before = before;
            self.repeats = self.repeats.saturating_add(1);
        }
        self.openings.push(self.opened_at);
        if self.openings.len() > MOST_OPENINGS {
            self.openings.remove(0);
        }
        self.acknowledged = None;
        if is_first { Happening::Opened } else { Happening::Returned }
    }

    /// Takes in the opening of what was told to be over already.
    fn open_late(&mut self, told: &Told) -> Happening {
        self.opened_at = told.at;
        self.cycle = 1;
        self.openings.push(told.at);
        self.severity = told.severity;
        self.summary.clone_from(&told.summary);
        self.detail.clone_from(&told.detail);
        self.settled = false;
        Happening::Opened
    }
}

impl Voice {
    /// The one that tells.
    fn of(told: &Told) -> Self {
        Self {
            source: told.source.clone(),
            customer: told.customer.clone(),
            open: told.state == ToldState::Open,
            at: told.at,
        }
    }
}

impl Alert {
    /// What is told to be over before anybody told that it is there: kept, so that its opening, which may be delivered
    /// later, opens nothing.
    pub fn over_already(id: AlertId, told: &Told) -> Self {
        let key = told.key.clone().unwrap_or_else(|| key_of(&told.kind, told.subject.as_deref()));
        Self { key, shared: told.key.is_some(), ..Self::watched(id, told) }
    }

    /// Something that is watched for silence, and lives.
    pub fn watched(id: AlertId, alive: &Told) -> Self {
        Self {
            id,
            origin: alive.origin.clone(),
            kind: alive.kind.clone(),
            subject: alive.subject.clone(),
            key: key_of(&alive.kind, alive.subject.as_deref()),
            shared: false,
            severity: alive.severity,
            summary: alive.summary.clone(),
            detail: alive.detail.clone(),
            voices: vec![Voice { open: false, ..Voice::of(alive) }],
            opened_at: alive.at,
            cleared_at: Some(alive.at),
            cleared_before: None,
            last_at: alive.at,
            cycle: 0,
            repeats: 0,
            openings: Vec::new(),
            acknowledged: None,
            thread: None,
            pending: None,
            hold: None,
            settled: true,
        }
    }

    /// Takes what was told under another name: both turned out to be the same alert.
    pub fn join(&mut self, other: &Self) {
        for voice in &other.voices {
            match self.voices.iter_mut().find(|v| v.source == voice.source && v.customer == voice.customer) {
                Some(known) if known.at >= voice.at => {}
                Some(known) => known.clone_from(voice),
                None => self.voices.push(voice.clone()),
            }
        }
        self.last_at = self.last_at.max(other.last_at);
        self.settled = false;
        if other.is_open() && !self.is_open() {
            self.cleared_before = self.cleared_at.take();
            self.opened_at = self.opened_at.max(other.opened_at);
            self.cycle = self.cycle.saturating_add(1);
            self.openings.push(self.opened_at);
            self.acknowledged = None;
        } else if other.is_open() {
            self.opened_at = self.opened_at.min(other.opened_at);
        }
    }
}
