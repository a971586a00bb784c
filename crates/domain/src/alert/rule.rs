//! Rules by kind and severity, each value inherited down the tree by itself, with the level that it comes from.

use super::fields::{FIELDS, Field, RuleError};
use super::quiet::Quiet;
use super::{AlertSeverity, HOUR, MINUTE, Millis};
use crate::ids::{CompanyId, OrganizationId};
use crate::settings::addresses;
use crate::ticket::{
    BoardId, ItemId, MemberId, NotePlace, PriorityId, StatusId, SubtypeId, TicketMail, TicketSourceId, TypeId,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Stands for every kind.
pub const EVERY_KIND: &str = "*";

/// A value that somebody set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value {
    /// The value.
    pub text: String,
    /// The name of what an id stood for when it was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// What one level says of a kind, at a severity or at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The kind; `*` for every kind.
    pub kind: String,
    /// The severity; none for every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<AlertSeverity>,
    /// What is set.
    pub values: BTreeMap<Field, Value>,
}

/// An entry with the organization that set it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// Who.
    pub from: OrganizationId,
    /// What.
    pub entry: Entry,
}

/// What a rule is looked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct About {
    /// The kinds, nearest first; every kind follows by itself.
    pub kinds: Vec<String>,
    /// The severity.
    pub severity: AlertSeverity,
    /// Whether a rule about every kind may switch it on.
    pub obeys_everything: bool,
}

impl About {
    /// Of an alert.
    pub fn of(alert: &super::Alert) -> Self {
        Self {
            kinds: alert.kinds().into_iter().map(str::to_owned).collect(),
            severity: alert.severity,
            obeys_everything: alert.obeys_everything(),
        }
    }
}

/// A value that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldValue {
    /// The value.
    pub text: String,
    /// The name of what an id stood for when it was set.
    pub label: Option<String>,
    /// The organization that set it; none where it is the default.
    pub from: Option<OrganizationId>,
    /// The kind for which it was set; none where it is the default.
    pub kind: Option<String>,
}

/// Every value that holds.
pub type Resolved = BTreeMap<Field, HeldValue>;

/// The values that hold for `org`. `levels` are its own entries and then those of the levels above, nearest first. A nearer
/// level counts before one that says it more exactly.
pub fn resolve(org: &OrganizationId, levels: &[Level], about: &About) -> Resolved {
    let fits = |level: &Level| -> Option<usize> {
        let entry = &level.entry;
        if entry.severity.is_some_and(|severity| severity != about.severity) {
            return None;
        }
        let place = about
            .kinds
            .iter()
            .position(|kind| *kind == entry.kind)
            .or_else(|| (entry.kind == EVERY_KIND).then_some(about.kinds.len()))?;
        // Of two about the same kind the one that names the severity counts.
        Some(place * 2 + usize::from(entry.severity.is_none()))
    };
    let mut ordered: Vec<&OrganizationId> = Vec::new();
    for level in levels {
        if !ordered.contains(&&level.from) {
            ordered.push(&level.from);
        }
    }
    let mut fitting: Vec<(usize, usize, &Level)> = levels
        .iter()
        .filter_map(|level| {
            let depth = ordered.iter().position(|from| **from == level.from)?;
            fits(level).map(|rank| (depth, rank, level))
        })
        .collect();
    fitting.sort_by_key(|(depth, rank, _)| (*depth, *rank));
    let counts = |field: Field, level: &Level| {
        (field.is_inherited() || &level.from == org)
            && (field != Field::Psa || about.obeys_everything || level.entry.kind != EVERY_KIND)
    };
    FIELDS
        .iter()
        .map(|row| {
            let set = fitting.iter().find_map(|(_, _, level)| {
                let value = level.entry.values.get(&row.field).filter(|_| counts(row.field, level))?;
                Some(HeldValue {
                    text: value.text.clone(),
                    label: value.label.clone(),
                    from: Some(level.from.clone()),
                    kind: Some(level.entry.kind.clone()),
                })
            });
            let default = || HeldValue { text: row.default.to_owned(), label: None, from: None, kind: None };
            (row.field, set.unwrap_or_else(default))
        })
        .collect()
}

/// What it means that a person closes the ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByPerson {
    /// The alert is known.
    Acknowledge,
    /// The alert is over.
    Close,
    /// Nothing.
    Ignore,
}

/// What becomes of an alert that was over before it could be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsent {
    /// Nothing.
    None,
    /// A ticket that is opened and closed.
    OpenedAndClosed,
}

/// A rule as it holds for an alert, typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Whether alerts become tickets.
    pub psa: bool,
    /// The board.
    pub board: Option<BoardId>,
    /// The type.
    pub ticket_type: Option<TypeId>,
    /// The subtype.
    pub subtype: Option<SubtypeId>,
    /// The item.
    pub item: Option<ItemId>,
    /// The priority.
    pub priority: Option<PriorityId>,
    /// The ticket source.
    pub source: Option<TicketSourceId>,
    /// The owner.
    pub owner: Option<MemberId>,
    /// The status of a new ticket.
    pub status_new: Option<StatusId>,
    /// The status that closes.
    pub status_closed: Option<StatusId>,
    /// The status of a ticket that is opened again.
    pub status_reopened: Option<StatusId>,
    /// The company instead of the customer's.
    pub company: Option<CompanyId>,
    /// The one line.
    pub summary: String,
    /// The first note.
    pub text: String,
    /// Who reads notes.
    pub notes: NotePlace,
    /// Whom ConnectWise mails.
    pub mail: TicketMail,
    /// Whether it closes when the cause is gone.
    pub close_when_cleared: bool,
    /// How long the same ticket is opened again.
    pub reopen: Millis,
    /// The least time between notes.
    pub note_every: Millis,
    /// So many openings within an hour are too many; 0 never are.
    pub flap_cycles: u32,
    /// Hours in which nothing rings.
    pub quiet: Option<Quiet>,
    /// More new tickets than so many lie under one; 0 never.
    pub storm_tickets: u32,
    /// Over which time they are counted.
    pub storm_within: Millis,
    /// How long a cause may last after a person closed its ticket.
    pub grace: Millis,
    /// Whether the ticket is opened again then.
    pub reopen_closed: bool,
    /// What it means that a person closes the ticket.
    pub closed_by_person: ByPerson,
    /// What becomes of what was over before it was sent.
    pub unsent: Unsent,
    /// How long nothing may be heard.
    pub silent: Option<Millis>,
}

impl Rule {
    /// Reads the values that hold; `zone` is the time zone where the rule names none.
    ///
    /// # Errors
    /// [`RuleError::BadValue`] where a stored value is none of its kind.
    pub fn of(values: &Resolved, zone: &str) -> Result<Self, RuleError> {
        for (field, held) in values {
            field.row().check(&held.text)?;
        }
        let text = |field: Field| values.get(&field).map_or(field.row().default, |held| held.text.as_str());
        let on = |field: Field| text(field) == "on";
        let id = |field: Field| text(field).parse::<i64>().ok();
        let number = |field: Field| text(field).parse::<u32>().unwrap_or_default();
        let own_zone = text(Field::QuietZone);
        let zone = if own_zone.is_empty() { zone } else { own_zone };
        Ok(Self {
            psa: on(Field::Psa),
            board: id(Field::Board).map(BoardId),
            ticket_type: id(Field::Type).map(TypeId),
            subtype: id(Field::Subtype).map(SubtypeId),
            item: id(Field::Item).map(ItemId),
            priority: id(Field::Priority).map(PriorityId),
            source: id(Field::Source).map(TicketSourceId),
            owner: id(Field::Owner).map(MemberId),
            status_new: id(Field::StatusNew).map(StatusId),
            status_closed: id(Field::StatusClosed).map(StatusId),
            status_reopened: id(Field::StatusReopened).map(StatusId),
            company: id(Field::Company).map(CompanyId),
            summary: text(Field::Summary).to_owned(),
            text: text(Field::Text).to_owned(),
            notes: match text(Field::Notes) {
                "discussion" => NotePlace::Discussion,
                _ => NotePlace::Internal, // open set: text, checked above
            },
            mail: TicketMail {
                contact: on(Field::NotifyContact),
                resources: on(Field::NotifyResources),
                copies: addresses(text(Field::NotifyCopies)).unwrap_or_default(),
            },
            close_when_cleared: on(Field::CloseWhenCleared),
            reopen: Millis::from(number(Field::ReopenHours)) * HOUR,
            note_every: Millis::from(number(Field::NoteMinutes)) * MINUTE,
            flap_cycles: number(Field::FlapCycles),
            quiet: Quiet::parse(text(Field::QuietHours), zone),
            storm_tickets: number(Field::StormTickets),
            storm_within: Millis::from(number(Field::StormMinutes)) * MINUTE,
            grace: Millis::from(number(Field::GraceHours)) * HOUR,
            reopen_closed: on(Field::ReopenClosed),
            closed_by_person: match text(Field::ClosedByPerson) {
                "close" => ByPerson::Close,
                "ignore" => ByPerson::Ignore,
                _ => ByPerson::Acknowledge, // open set: text, checked above
            },
            unsent: match text(Field::Unsent) {
                "opened_and_closed" => Unsent::OpenedAndClosed,
                _ => Unsent::None, // open set: text, checked above
            },
            silent: text(Field::SilentMinutes).parse::<u32>().ok().map(|n| Millis::from(n) * MINUTE),
        })
    }
}
