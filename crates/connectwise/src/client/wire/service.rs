//! The service desk: boards with what belongs to them, priorities, sources, tickets, notes.

use serde::{Deserialize, Serialize};

use super::{ById, Info, Reference};

/// A service board.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceBoard {
    /// The id.
    pub id: i64,
    /// The name.
    pub name: Option<String>,
    /// Whether it is no longer used.
    pub inactive_flag: Option<bool>,
    /// Whether it is a board of projects, which holds no service tickets.
    pub project_flag: Option<bool>,
}

/// A status of a board.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BoardStatus {
    /// The id.
    pub id: i64,
    /// The name.
    pub name: Option<String>,
    /// Its place.
    pub sort_order: Option<i64>,
    /// Whether it is no longer used.
    pub inactive: Option<bool>,
    /// Whether a ticket in it is closed.
    pub closed_status: Option<bool>,
    /// Whether new tickets get it.
    pub default_flag: Option<bool>,
}

/// A subtype of a board.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BoardSubtype {
    /// The id.
    pub id: i64,
    /// The name.
    pub name: Option<String>,
    /// Whether it is no longer used.
    pub inactive_flag: Option<bool>,
    /// The types that it may stand below.
    #[serde(default)]
    pub type_association_ids: Option<Vec<i64>>,
}

/// A type, subtype and item that may stand together.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TypeAssociation {
    /// The id.
    pub id: i64,
    /// The type.
    #[serde(rename = "type")]
    pub ticket_type: Option<Reference>,
    /// The subtype.
    pub sub_type: Option<Reference>,
    /// The item.
    pub item: Option<Reference>,
}

/// A priority.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Priority {
    /// The id.
    pub id: i64,
    /// The name.
    pub name: Option<String>,
    /// Its place.
    pub sort_order: Option<i64>,
    /// Whether new tickets get it.
    pub default_flag: Option<bool>,
}

/// A member.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// The id.
    pub id: i64,
    /// The short unique text.
    pub identifier: Option<String>,
    /// The first name.
    pub first_name: Option<String>,
    /// The last name.
    pub last_name: Option<String>,
    /// Whether it is no longer used.
    pub inactive_flag: Option<bool>,
}

/// The fields of a ticket that are read: it has a hundred.
pub const TICKET_FIELDS: &str = "id,summary,board,status,company,closedFlag,closedDate,closedBy,externalXRef,parentTicketId,mergedParentTicket,_info";

/// Names of the fields of a ticket in conditions and in a PATCH.
pub mod ticket_fields {
    /// Another system's key.
    pub const XREF: &str = "externalXRef";
    /// The status.
    pub const STATUS: &str = "status";
    /// What a rule chooses: an error that names one of them, or a part of one, is about the rule.
    pub const CHOSEN: [&str; 8] =
        ["board", "status", "type", "subType", "item", "priority", "source", "owner"];
}

/// A ticket.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ticket {
    /// The id.
    pub id: i64,
    /// The one line.
    pub summary: Option<String>,
    /// The board.
    pub board: Option<Reference>,
    /// The status.
    pub status: Option<Reference>,
    /// Whose.
    pub company: Option<Reference>,
    /// Whether it is closed.
    pub closed_flag: Option<bool>,
    /// When it was closed.
    pub closed_date: Option<String>,
    /// Who closed it.
    pub closed_by: Option<String>,
    /// The key of another system.
    #[serde(rename = "externalXRef")]
    pub external_xref: Option<String>,
    /// The ticket that it is bundled under.
    pub parent_ticket_id: Option<i64>,
    /// The ticket that it was merged into.
    pub merged_parent_ticket: Option<Reference>,
    /// When it was changed.
    #[serde(rename = "_info", default)]
    pub info: Info,
}

/// A new ticket.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewTicket {
    /// The one line, 100 characters.
    pub summary: String,
    /// The board.
    pub board: ById,
    /// Whose.
    pub company: ById,
    /// The status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<ById>,
    /// The type.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub ticket_type: Option<ById>,
    /// The subtype.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub_type: Option<ById>,
    /// The item.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<ById>,
    /// The priority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<ById>,
    /// The source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<ById>,
    /// The owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<ById>,
    /// Our key, 100 characters.
    #[serde(rename = "externalXRef")]
    pub external_xref: String,
    /// The first note, for everybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_description: Option<String>,
    /// The first note, for members.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_internal_analysis: Option<String>,
    /// The first note, about the solution.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_resolution: Option<String>,
    /// Whether the contact gets mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub automatic_email_contact_flag: Option<bool>,
    /// Whether those who work on it get mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub automatic_email_resource_flag: Option<bool>,
    /// Whether further addresses get mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub automatic_email_cc_flag: Option<bool>,
    /// The further addresses, by semicolon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub automatic_email_cc: Option<String>,
}

/// Tickets to be bundled under another.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TicketBundle {
    /// Their ids.
    pub child_ticket_ids: Vec<i64>,
}

/// A note of a ticket.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceNote {
    /// The id.
    pub id: i64,
    /// What it says.
    pub text: Option<String>,
    /// When it was written.
    pub date_created: Option<String>,
    /// Who wrote it.
    pub created_by: Option<String>,
    /// The member who wrote it.
    pub member: Option<Reference>,
    /// When it was changed.
    #[serde(rename = "_info", default)]
    pub info: Info,
}

/// A new note.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewServiceNote {
    /// What it says.
    pub text: String,
    /// Whether everybody sees it as part of the discussion.
    pub detail_description_flag: bool,
    /// Whether members alone see it.
    pub internal_analysis_flag: bool,
    /// Whether it tells the solution.
    pub resolution_flag: bool,
    /// Whether ConnectWise mails by the board's rules.
    pub process_notifications: bool,
}
