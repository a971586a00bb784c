//! Tickets of the service desk in ConnectWise: what a rule can name, what is asked for, and what was seen.
//!
//! A ticket is known by its key, a note by its marker: both are ours and unchanging, so that a write whose answer was lost
//! can be looked up.

mod board;
mod text;

pub use board::{
    Board, BoardName, Combination, Desk, Item, Member, Priority, Status, Subtype, TargetFault, TicketSource,
    TicketType,
};
pub use text::{NoteMarker, Summary, TextFault, TicketKey};

use crate::ids::{CompanyId, number_id};
use serde::{Deserialize, Serialize};
use std::fmt;

number_id!(
    /// A service board.
    BoardId
);
number_id!(
    /// A status of one board.
    StatusId
);
number_id!(
    /// A type of one board.
    TypeId
);
number_id!(
    /// A subtype of one board.
    SubtypeId
);
number_id!(
    /// An item of one board, the third level below type and subtype.
    ItemId
);
number_id!(
    /// A priority.
    PriorityId
);
number_id!(
    /// A ticket source: how a ticket came in.
    TicketSourceId
);
number_id!(
    /// A member: a person who works in ConnectWise.
    MemberId
);
number_id!(
    /// A ticket.
    TicketId
);
number_id!(
    /// A note of a ticket.
    NoteId
);

/// Where a ticket goes, and as what. What is not named is left to the board.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketTarget {
    /// On which board.
    pub board: BoardId,
    /// In which status; none takes the board's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<StatusId>,
    /// As which type.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub ticket_type: Option<TypeId>,
    /// As which subtype.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subtype: Option<SubtypeId>,
    /// As which item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<ItemId>,
    /// With which priority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<PriorityId>,
    /// With which source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<TicketSourceId>,
    /// Who owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<MemberId>,
}

impl TicketTarget {
    /// A board and nothing else.
    pub fn of_board(board: BoardId) -> Self {
        Self {
            board,
            status: None,
            ticket_type: None,
            subtype: None,
            item: None,
            priority: None,
            source: None,
            owner: None,
        }
    }
}

/// Whom ConnectWise mails about a ticket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketMail {
    /// The contact of the company.
    #[serde(default)]
    pub contact: bool,
    /// Those who work on it.
    #[serde(default)]
    pub resources: bool,
    /// Further addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<String>,
}

/// Who reads a note.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotePlace {
    /// Everybody, the customer included.
    #[default]
    Discussion,
    /// Members alone.
    Internal,
    /// Everybody; it says how the ticket was solved.
    Resolution,
}

/// A ticket to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketDraft {
    /// Whose.
    pub company: CompanyId,
    /// Where it goes.
    pub target: TicketTarget,
    /// Its one line.
    pub summary: Summary,
    /// The first note.
    pub initial_note: String,
    /// Who reads the first note.
    #[serde(default)]
    pub initial_place: NotePlace,
    /// Our key, by which it is found again.
    pub key: TicketKey,
    /// The ticket that it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<TicketId>,
    /// Whom ConnectWise mails.
    #[serde(default)]
    pub mail: TicketMail,
}

/// A note to be added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteDraft {
    /// What it says.
    pub text: String,
    /// Who reads it.
    #[serde(default)]
    pub place: NotePlace,
    /// Our mark, by which it is found again. It stands at the end of the text.
    pub marker: NoteMarker,
}

impl NoteDraft {
    /// The text as it is sent: with the marker at its end.
    pub fn full_text(&self) -> String {
        format!("{}\n\n{}", self.text.trim_end(), self.marker.shown())
    }
}

/// A ticket as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedTicket {
    /// Record id.
    pub id: TicketId,
    /// Whose.
    pub company: Option<CompanyId>,
    /// On which board it is now; people move tickets.
    pub board: Option<BoardId>,
    /// In which status it is now.
    pub status: Option<StatusId>,
    /// The name of that status.
    pub status_name: Option<String>,
    /// Whether that status is one that closes.
    pub closed: bool,
    /// When it was closed, as ConnectWise writes it.
    pub closed_at: Option<String>,
    /// Who closed it.
    pub closed_by: Option<String>,
    /// Our key, where it carries one.
    pub key: Option<String>,
    /// Its one line.
    pub summary: String,
    /// The ticket that it is a part of.
    pub parent: Option<TicketId>,
    /// The ticket that people merged it into.
    pub merged_into: Option<TicketId>,
    /// When ConnectWise last changed the record, as it writes it.
    pub last_updated: Option<String>,
    /// Who last changed it.
    pub updated_by: Option<String>,
}

impl ObservedTicket {
    /// Whether it is the ticket of a key. ConnectWise compares texts without regard to case; this does not.
    pub fn has_key(&self, key: &TicketKey) -> bool {
        self.key.as_deref() == Some(key.as_str())
    }
}

/// A note as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketNote {
    /// Record id.
    pub id: NoteId,
    /// What it says, marker included.
    pub text: String,
    /// Who wrote it.
    pub by: Option<String>,
    /// When, as ConnectWise writes it.
    pub at: Option<String>,
}

impl TicketNote {
    /// Whether it carries a marker. ConnectWise may show line breaks as blanks, which does not matter here.
    pub fn carries(&self, marker: &NoteMarker) -> bool {
        self.text.contains(&marker.shown())
    }
}
