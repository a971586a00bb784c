//! Alerts: what a source or trueup itself says is wrong, from when on and until when, and the ticket that follows it.
//!
//! Everything here is pure. [`fold`](Alert::take) makes the state of an alert of what was told, [`decide`] says what is to
//! be done about its ticket, and nothing else takes such a decision.

mod decide;
mod fields;
mod fold;
mod kinds;
mod quiet;
mod rule;
mod text;
mod thread;

pub use decide::{Around, Decision, Hold, Planned, Seen, Step, Storm, decide};
pub use fields::{FIELDS, Field, FieldKind, FieldRow, RuleError};
pub use fold::{Happening, Told, ToldState};
pub use kinds::{
    DEVICE_OFFLINE, HEARTBEAT, KINDS, KindRow, SOURCE_SILENT, STORM, group_of, kinds_of_finding,
    tells_of_tickets,
};
pub use quiet::Quiet;
pub use rule::{
    About, ByPerson, EVERY_KIND, Entry, HeldValue, Level, Resolved, Rule, Unsent, Value, resolve,
};
pub use text::{Names, VARIABLES};
pub use thread::{Closed, Closer, Fact, NoteKind, Pending, Side, Thread};

use crate::finding::Code;
use crate::ids::{CustomerId, OrganizationId, SourceId};
use crate::plan::short_hash;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Milliseconds since 1970 in UTC.
pub type Millis = i64;

/// One minute.
pub const MINUTE: Millis = 60_000;
/// One hour.
pub const HOUR: Millis = 60 * MINUTE;

/// The most openings that are remembered: more than any rule looks at.
const MOST_OPENINGS: usize = 64;

/// The name of an alert, made of what makes it another one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AlertId(String);

impl AlertId {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for AlertId {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for AlertId {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How grave an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertSeverity {
    /// For the record.
    Info,
    /// It deserves a look.
    Warning,
    /// Something does not work.
    Error,
    /// Everything else can wait.
    Critical,
}

impl AlertSeverity {
    /// All of them, the gravest first.
    pub const ALL: [Self; 4] = [Self::Critical, Self::Error, Self::Warning, Self::Info];

    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }

    /// The severity that exactly this word means.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.name() == name)
    }

    /// What a source means by its own word. One that nobody knows deserves a look.
    pub fn of_source(word: Option<&str>) -> Self {
        match word.unwrap_or_default().trim().to_lowercase().as_str() {
            "critical" | "fatal" | "emergency" | "alert" | "urgent" | "high" | "severe" => Self::Critical,
            "error" | "major" | "failed" | "failure" => Self::Error,
            "info" | "information" | "informational" | "notice" | "low" | "success" | "ok" | "debug" => {
                Self::Info
            }
            _ => Self::Warning, // open set: text of a source
        }
    }

    /// The number that ConnectWise's own priorities begin with.
    pub fn priority_number(self) -> u8 {
        match self {
            Self::Critical => 1,
            Self::Error => 2,
            Self::Warning => 3,
            Self::Info => 4,
        }
    }
}

/// From where an alert comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Origin {
    /// A source tells it.
    Source,
    /// A finding of trueup.
    Finding {
        /// The finding.
        finding: String,
    },
    /// Something was silent for too long.
    Silence,
    /// Many tickets at once lie under the ticket of this one.
    Storm {
        /// The kind whose ticket came first: its rule holds for this one.
        like: String,
    },
    /// Somebody tests the way.
    Test,
}

/// One that tells of an alert. Several may tell of the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voice {
    /// The source; empty where trueup itself tells.
    pub source: SourceId,
    /// Whose it is there; empty where it is nobody's.
    pub customer: CustomerId,
    /// Whether it says that the cause lasts.
    pub open: bool,
    /// When it said so last.
    pub at: Millis,
}

/// Somebody took an alert as known, by closing its ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// Who, as far as ConnectWise tells.
    pub by: String,
    /// When it was seen.
    pub at: Millis,
}

/// An alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Its name.
    pub id: AlertId,
    /// From where it comes.
    pub origin: Origin,
    /// Its kind, as the source says it.
    pub kind: String,
    /// What it is about.
    pub subject: Option<String>,
    /// What makes two tellings the same alert.
    pub key: String,
    /// Whether the source gave that key: then others may tell of the same.
    pub shared: bool,
    /// How grave it is, by the newest telling.
    pub severity: AlertSeverity,
    /// One sentence, by the newest telling.
    pub summary: String,
    /// More text, by the newest telling.
    pub detail: Option<String>,
    /// Who tells of it.
    pub voices: Vec<Voice>,
    /// Since when it is open; when it was opened last where it is not.
    pub opened_at: Millis,
    /// Since when it is over; none while it is open.
    pub cleared_at: Option<Millis>,
    /// When it was over before it was opened last.
    pub cleared_before: Option<Millis>,
    /// When something was told last.
    pub last_at: Millis,
    /// How often it was opened.
    pub cycle: u32,
    /// How often it was told again, since ever.
    pub repeats: u32,
    /// The newest openings.
    pub openings: Vec<Millis>,
    /// Whether somebody took it as known.
    pub acknowledged: Option<Acknowledged>,
    /// Its ticket.
    pub thread: Option<Thread>,
    /// What was about to be written.
    pub pending: Option<Pending>,
    /// Why nothing is written although something is to be.
    pub hold: Option<Hold>,
    /// Nothing more is to be done until something is told.
    pub settled: bool,
}

impl Alert {
    /// Whether the cause lasts, as far as is known.
    pub fn is_open(&self) -> bool {
        self.cleared_at.is_none()
    }

    /// The state in one word: `open`, `acknowledged` or `cleared`.
    pub fn state(&self) -> &'static str {
        match (&self.cleared_at, &self.acknowledged) {
            (Some(_), _) => "cleared",
            (None, Some(_)) => "acknowledged",
            (None, None) => "open",
        }
    }

    /// The one that told of it first.
    pub fn teller(&self) -> Option<&Voice> {
        self.voices.first()
    }

    /// The kinds under which rules for it are looked for, nearest first.
    pub fn kinds(&self) -> Vec<&str> {
        match &self.origin {
            Origin::Source | Origin::Silence | Origin::Test => vec![self.kind.as_str()],
            Origin::Finding { .. } => kinds_of_finding(&self.kind),
            Origin::Storm { like } => {
                let of_finding = Code::from_name(like).is_some();
                let like = if of_finding { kinds_of_finding(like) } else { vec![like.as_str()] };
                std::iter::once(self.kind.as_str()).chain(like).collect()
            }
        }
    }

    /// Whether a rule about every kind may switch it on. What trueup finds is switched on by name.
    pub fn obeys_everything(&self) -> bool {
        match &self.origin {
            Origin::Finding { .. } => false,
            Origin::Source | Origin::Silence | Origin::Test | Origin::Storm { .. } => {
                !KINDS.iter().any(|row| row.name == self.kind && row.named_alone)
            }
        }
    }
}

/// The name of an alert that a source tells: by its own key, else by kind and subject. With a key that the source gave,
/// and a company that is known, other sources may tell of the same alert.
pub fn alert_id(
    org: &OrganizationId,
    whose: &Whose<'_>,
    key: Option<&str>,
    (kind, subject): (&str, Option<&str>),
) -> AlertId {
    let parts: Vec<String> = match (key, whose) {
        (Some(key), Whose::Company(company)) => vec!["company".into(), company.to_string(), key.into()],
        (Some(key), Whose::Customer(source, customer)) => {
            vec!["key".into(), source.to_string(), customer.to_string(), key.into()]
        }
        (None, Whose::Customer(source, customer)) => {
            vec!["plain".into(), source.to_string(), customer.to_string(), key_of(kind, subject)]
        }
        (None, Whose::Company(company)) => {
            vec!["plain".into(), company.to_string(), key_of(kind, subject)]
        }
    };
    let all: Vec<&str> = std::iter::once(org.as_str()).chain(parts.iter().map(String::as_str)).collect();
    AlertId(short_hash("al", &all, 16))
}

/// Whose an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose<'a> {
    /// A customer of a source.
    Customer(&'a SourceId, &'a CustomerId),
    /// A company of ConnectWise.
    Company(i64),
}

/// The key of an alert whose source gave none.
pub fn key_of(kind: &str, subject: Option<&str>) -> String {
    match subject {
        Some(subject) => format!("{kind}/{subject}"),
        None => kind.to_owned(),
    }
}
