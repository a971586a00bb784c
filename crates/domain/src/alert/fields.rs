//! What a rule can say: one table with key, default, form and meaning of each value.

use super::quiet::Quiet;
use super::text;
use crate::settings::addresses;
use serde::{Deserialize, Serialize};

/// The form of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// `on` or `off`.
    Switch,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A whole number from the first to the second; empty where nothing is said.
    Number(u32, u32),
    /// The id of something on the service board or in ConnectWise; its name is taken where it is saved.
    Pick,
    /// One line with variables in braces that never change while the cause lasts.
    Line,
    /// Text with variables in braces.
    Text,
    /// Two times such as `22:00-06:00`, or empty.
    Hours,
    /// The name of a time zone; empty takes that of the schedules.
    Zone,
    /// Mail addresses with commas between, or empty.
    Addresses,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct FieldRow {
    /// Which.
    pub field: Field,
    /// The key that people write.
    pub key: &'static str,
    /// The value where no level sets one.
    pub default: &'static str,
    /// Its form.
    pub kind: FieldKind,
    /// One sentence.
    pub meaning: &'static str,
}

macro_rules! fields {
    ($($(#[$doc:meta])* $field:ident $key:literal = $default:expr, $kind:expr, $meaning:literal;)*) => {
        /// What a rule can say.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Field {
            $($(#[$doc])* #[serde(rename = $key)] $field,)*
        }

        /// Everything that a rule can say, in the order in which it is listed.
        pub const FIELDS: &[FieldRow] = &[
            $(FieldRow { field: Field::$field, key: $key, default: $default, kind: $kind, meaning: $meaning },)*
        ];
    };
}

use FieldKind::{Addresses, Choice, Hours, Line, Number, Pick, Switch, Text, Zone};

fields! {
    /// The channel.
    Psa "psa" = "off", Switch, "whether alerts become tickets in ConnectWise";
    /// The board.
    Board "board" = "", Pick, "the service board";
    /// The type.
    Type "type" = "", Pick, "the ticket's type; empty leaves it to the board";
    /// The subtype.
    Subtype "subtype" = "", Pick, "the ticket's subtype";
    /// The item.
    Item "item" = "", Pick, "the ticket's item";
    /// The priority.
    Priority "priority" = "", Pick,
        "the priority; empty takes Priority 1 to 4 by severity where they are there, else the board's";
    /// The ticket source.
    Source "source" = "", Pick, "the ticket's source; empty leaves it to ConnectWise";
    /// The owner.
    Owner "owner" = "", Pick, "the member who owns the ticket";
    /// The status of a new ticket.
    StatusNew "status_new" = "", Pick, "the status of a new ticket; empty takes the board's own";
    /// The status that closes.
    StatusClosed "status_closed" = "", Pick, "the status that closes a ticket; empty takes the board's first";
    /// The status of a ticket that is opened again.
    StatusReopened "status_reopened" = "", Pick, "the status of a ticket that is opened again; empty takes that of a new one";
    /// The company.
    Company "company" = "", Pick,
        "the company instead of the customer's, as for what trueup finds; holds in this organization alone";
    /// The one line.
    Summary "summary" = "[trueup] {kind}: {subject} ({customer})", Line, "the one line of a ticket";
    /// The first note.
    Text "text" = text::DEFAULT, Text, "the first note of a ticket";
    /// Who reads notes.
    Notes "notes" = "internal", Choice(&["internal", "discussion"]), "whether notes are for members alone, or for the customer too";
    /// Mail to the contact.
    NotifyContact "notify_contact" = "off", Switch, "whether ConnectWise mails the company's contact";
    /// Mail to those who work on it.
    NotifyResources "notify_resources" = "off", Switch, "whether ConnectWise mails those who work on the ticket";
    /// Mail to others.
    NotifyCopies "notify_copies" = "", Addresses, "further addresses that ConnectWise mails";
    /// Whether it closes.
    CloseWhenCleared "close_when_cleared" = "on", Switch, "whether the ticket is closed when the cause is gone";
    /// The window of reopening.
    ReopenHours "reopen_hours" = "24", Number(0, 8760),
        "a cause that comes back within so many hours opens the same ticket again; later it makes a new one";
    /// Notes.
    NoteMinutes "note_minutes" = "60", Number(60, 44640), "repeats are noted once in so many minutes at most, with their count";
    /// Flapping.
    FlapCycles "flap_cycles" = "3", Number(0, 60),
        "a cause that comes so often within an hour is left alone until it is quiet; 0 never is";
    /// Quiet hours.
    QuietHours "quiet_hours" = "", Hours, "between these times no ticket is made, noted or opened again";
    /// Their zone.
    QuietZone "quiet_zone" = "", Zone, "the time zone of the quiet hours; empty takes schedule.time_zone";
    /// The storm.
    StormTickets "storm_tickets" = "20", Number(0, 10_000),
        "where a company gets more new tickets in storm_minutes, the others lie under one; 0 never";
    /// Its time.
    StormMinutes "storm_minutes" = "10", Number(1, 1440), "the minutes over which new tickets are counted";
    /// Grace.
    GraceHours "grace_hours" = "24", Number(0, 8760),
        "how long a cause may last after a person closed its ticket before that is noted";
    /// Whether it is opened then.
    ReopenClosed "reopen_closed" = "off", Switch, "whether the ticket is opened again then";
    /// What a person's closing means.
    ClosedByPerson "closed_by_person" = "acknowledge", Choice(&["acknowledge", "close", "ignore"]),
        "what it means that a person closes the ticket: the alert is known, is over, or stays as it is";
    /// What was over before it was sent.
    Unsent "cleared_before_sent" = "none", Choice(&["none", "opened_and_closed"]),
        "what becomes of an alert that was over before it could be sent: no ticket, or one that is opened and closed";
    /// Silence.
    SilentMinutes "silent_minutes" = "", Number(1, 525_600),
        "of device_offline and source_silent: how long nothing may be heard; empty does not watch";
}

/// A value that the table does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// No such key.
    #[error("a rule has no `{0}`")]
    UnknownKey(String),
    /// The value is not allowed.
    #[error("`{value}` is not a value of {key}: {allowed}")]
    BadValue {
        /// The key.
        key: &'static str,
        /// What was given.
        value: String,
        /// What would be accepted.
        allowed: String,
    },
}

impl Field {
    /// Its row.
    pub fn row(self) -> &'static FieldRow {
        // Each variant is made together with its row.
        FIELDS.iter().find(|row| row.field == self).unwrap_or(&FIELDS[0])
    }

    /// The key.
    pub fn key(self) -> &'static str {
        self.row().key
    }

    /// The field that a key means.
    ///
    /// # Errors
    /// [`RuleError::UnknownKey`].
    pub fn from_key(key: &str) -> Result<Self, RuleError> {
        FIELDS
            .iter()
            .find(|row| row.key == key)
            .map(|row| row.field)
            .ok_or_else(|| RuleError::UnknownKey(key.to_owned()))
    }

    /// Whether it holds for the organizations below. A company belongs to one.
    pub fn is_inherited(self) -> bool {
        self != Self::Company
    }
}

impl FieldRow {
    /// What is accepted, in words.
    pub fn allowed(&self) -> String {
        match self.kind {
            FieldKind::Switch => "on or off".into(),
            FieldKind::Choice(words) => format!("one of {}", words.join(", ")),
            FieldKind::Number(from, to) => format!("a whole number from {from} to {to}{}", self.or_nothing()),
            FieldKind::Pick => "an id, or nothing".into(),
            FieldKind::Line => format!(
                "one line of at most 200 characters with any of {}: nothing that changes while the cause lasts",
                text::shown(text::STABLE)
            ),
            FieldKind::Text => {
                format!("at most 4000 characters with any of {}", text::shown(text::VARIABLES))
            }
            FieldKind::Hours => "two times such as 22:00-06:00, or nothing".into(),
            FieldKind::Zone => "the name of a time zone such as Europe/Berlin, or nothing".into(),
            FieldKind::Addresses => "up to 20 mail addresses with commas between, or nothing".into(),
        }
    }

    fn or_nothing(&self) -> &'static str {
        if self.default.is_empty() { ", or nothing" } else { "" }
    }

    /// Refuses a value that is not allowed.
    ///
    /// # Errors
    /// [`RuleError::BadValue`].
    pub fn check(&self, value: &str) -> Result<(), RuleError> {
        let good = match self.kind {
            FieldKind::Switch => matches!(value, "on" | "off"),
            FieldKind::Choice(words) => words.contains(&value),
            FieldKind::Number(from, to) => {
                (value.is_empty() && self.default.is_empty())
                    || value.parse::<u32>().is_ok_and(|n| (from..=to).contains(&n))
            }
            FieldKind::Pick => value.is_empty() || value.parse::<i64>().is_ok_and(|id| id > 0),
            FieldKind::Line => {
                !value.trim().is_empty()
                    && value.chars().count() <= 200
                    && !value.chars().any(char::is_control)
                    && text::knows(value, text::STABLE)
            }
            FieldKind::Text => value.chars().count() <= 4_000 && text::knows(value, text::VARIABLES),
            FieldKind::Hours => value.is_empty() || Quiet::parse(value, "UTC").is_some(),
            FieldKind::Zone => value.is_empty() || crate::schedule::time_zone(value).is_some(),
            FieldKind::Addresses => addresses(value).is_some(),
        };
        if good {
            Ok(())
        } else {
            Err(RuleError::BadValue { key: self.key, value: value.to_owned(), allowed: self.allowed() })
        }
    }
}
