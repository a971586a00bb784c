//! The service desk in our words, and back.

use trueup_domain::finding::Code;
use trueup_domain::ids::CompanyId;
use trueup_domain::ticket::{
    Board, BoardId, BoardName, Combination, Desk, Item, ItemId, Member, MemberId, NoteDraft, NoteId,
    NotePlace, ObservedTicket, Priority, PriorityId, Status, StatusId, Subtype, SubtypeId, TicketDraft,
    TicketId, TicketNote, TicketSource, TicketSourceId, TicketType, TypeId,
};
use trueup_engine::ports::{PsaError, Right, WriteError};

use super::cut;
use super::failure::{self, psa_error};
use crate::client::rights::{CLOSE_TICKETS, SERVICE_TICKETS};
use crate::client::wire::{self, ById, NewServiceNote, NewTicket, Reference, ticket_fields};
use crate::client::{ApiError, ClientError, ConnectWiseClient};

/// What was tried of a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// A new ticket.
    Make,
    /// Another status: whether it closes, only ConnectWise knows at that moment.
    Close,
    /// A note.
    Note,
    /// Anything else of a ticket that is there.
    Change,
}

pub(super) async fn load(client: &ConnectWiseClient) -> Result<Desk, PsaError> {
    let (boards, priorities, sources, members) = futures::try_join!(
        client.list_boards(),
        client.list_priorities(),
        client.list_ticket_sources(),
        client.list_members(),
    )
    .map_err(psa_error)?;
    let mut priorities: Vec<Priority> = priorities.into_iter().map(priority).collect();
    priorities.sort_by_key(|priority| (priority.order, priority.id));
    Ok(Desk {
        boards: boards.into_iter().filter(|board| board.project_flag != Some(true)).map(board_name).collect(),
        priorities,
        sources: sources
            .into_iter()
            .map(|row| TicketSource {
                id: TicketSourceId(row.id),
                name: row.name.unwrap_or_default(),
                default: row.default_flag == Some(true),
            })
            .collect(),
        members: members.map(|list| list.into_iter().map(member).collect()),
    })
}

pub(super) async fn board(client: &ConnectWiseClient, id: BoardId) -> Result<Option<Board>, PsaError> {
    let name = match client.get_board(id.0).await {
        Ok(board) => board_name(board),
        Err(ClientError::Refused(api)) if api.is_record_missing() => return Ok(None),
        Err(error) => return Err(psa_error(error)),
    };
    let (mut statuses, types, subtypes, items, associations) = futures::try_join!(
        client.list_board_statuses(id.0),
        client.list_board_types(id.0),
        client.list_board_subtypes(id.0),
        client.list_board_items(id.0),
        client.list_type_associations(id.0),
    )
    .map_err(psa_error)?;
    statuses.sort_by_key(|status| (status.sort_order.unwrap_or(i64::MAX), status.id));
    let combinations = associations.map(|list| list.iter().filter_map(combination).collect());
    Ok(Some(Board {
        id,
        name: name.name,
        inactive: name.inactive,
        statuses: statuses.into_iter().map(status).collect(),
        types: types
            .into_iter()
            .map(|row| TicketType {
                id: TypeId(row.id),
                name: row.name.unwrap_or_default(),
                default: row.default_flag == Some(true),
                inactive: row.inactive_flag == Some(true),
            })
            .collect(),
        subtypes: subtypes
            .into_iter()
            .map(|row| Subtype {
                id: SubtypeId(row.id),
                name: row.name.unwrap_or_default(),
                inactive: row.inactive_flag == Some(true),
            })
            .collect(),
        items: items
            .into_iter()
            .map(|row| Item {
                id: ItemId(row.id),
                name: row.name.unwrap_or_default(),
                inactive: row.inactive_flag == Some(true),
            })
            .collect(),
        combinations,
    }))
}

fn board_name(board: wire::ServiceBoard) -> BoardName {
    BoardName {
        id: BoardId(board.id),
        name: board.name.unwrap_or_default(),
        inactive: board.inactive_flag == Some(true),
    }
}

fn status(row: wire::BoardStatus) -> Status {
    Status {
        id: StatusId(row.id),
        name: row.name.unwrap_or_default(),
        closed: row.closed_status == Some(true),
        default: row.default_flag == Some(true),
        inactive: row.inactive == Some(true),
    }
}

fn combination(row: &wire::TypeAssociation) -> Option<Combination> {
    let id = |reference: &Option<Reference>| reference.as_ref().and_then(|reference| reference.id);
    Some(Combination {
        ticket_type: TypeId(id(&row.ticket_type)?),
        subtype: id(&row.sub_type).map(SubtypeId),
        item: id(&row.item).map(ItemId),
    })
}

fn priority(row: wire::Priority) -> Priority {
    Priority {
        id: PriorityId(row.id),
        name: row.name.unwrap_or_default(),
        order: row.sort_order.unwrap_or(i64::MAX),
        default: row.default_flag == Some(true),
    }
}

fn member(row: wire::Member) -> Member {
    let identifier = row.identifier.unwrap_or_default();
    let parts = [row.first_name, row.last_name];
    let name: Vec<String> = parts.into_iter().flatten().filter(|part| !part.trim().is_empty()).collect();
    Member {
        id: MemberId(row.id),
        name: if name.is_empty() { identifier.clone() } else { name.join(" ") },
        identifier,
        inactive: row.inactive_flag == Some(true),
    }
}

pub(super) fn ticket(record: &wire::Ticket) -> ObservedTicket {
    let id = |reference: &Option<Reference>| reference.as_ref().and_then(|reference| reference.id);
    ObservedTicket {
        id: TicketId(record.id),
        company: id(&record.company).map(CompanyId),
        board: id(&record.board).map(BoardId),
        status: id(&record.status).map(StatusId),
        status_name: record.status.as_ref().and_then(|status| status.name.clone()),
        closed: record.closed_flag == Some(true),
        closed_at: record.closed_date.clone(),
        closed_by: record.closed_by.clone(),
        key: record.external_xref.clone().filter(|key| !key.is_empty()),
        summary: record.summary.clone().unwrap_or_default(),
        parent: record.parent_ticket_id.map(TicketId),
        merged_into: id(&record.merged_parent_ticket).map(TicketId),
        last_updated: record.info.last_updated.clone(),
        updated_by: record.info.updated_by.clone(),
    }
}

pub(super) fn note(record: &wire::ServiceNote) -> TicketNote {
    let member = record.member.as_ref().and_then(|m| m.identifier.clone().or_else(|| m.name.clone()));
    TicketNote {
        id: NoteId(record.id),
        text: record.text.clone().unwrap_or_default(),
        by: record.created_by.clone().or(member),
        at: record.date_created.clone().or_else(|| record.info.last_updated.clone()),
    }
}

pub(super) fn new_ticket(draft: &TicketDraft) -> NewTicket {
    let target = &draft.target;
    let first = |place: NotePlace| {
        (draft.initial_place == place && !draft.initial_note.is_empty()).then(|| draft.initial_note.clone())
    };
    let copies = draft.mail.copies.join(";");
    NewTicket {
        summary: draft.summary.as_str().to_owned(),
        board: ById { id: target.board.0 },
        company: ById { id: draft.company.0 },
        status: target.status.map(|id| ById { id: id.0 }),
        ticket_type: target.ticket_type.map(|id| ById { id: id.0 }),
        sub_type: target.subtype.map(|id| ById { id: id.0 }),
        item: target.item.map(|id| ById { id: id.0 }),
        priority: target.priority.map(|id| ById { id: id.0 }),
        source: target.source.map(|id| ById { id: id.0 }),
        owner: target.owner.map(|id| ById { id: id.0 }),
        external_xref: draft.key.as_str().to_owned(),
        initial_description: first(NotePlace::Discussion),
        initial_internal_analysis: first(NotePlace::Internal),
        initial_resolution: first(NotePlace::Resolution),
        automatic_email_contact_flag: draft.mail.contact.then_some(true),
        automatic_email_resource_flag: draft.mail.resources.then_some(true),
        automatic_email_cc_flag: (!copies.is_empty()).then_some(true),
        automatic_email_cc: (!copies.is_empty()).then(|| cut(&copies, 1_000)),
    }
}

pub(super) fn new_note(draft: &NoteDraft) -> NewServiceNote {
    NewServiceNote {
        text: draft.full_text(),
        detail_description_flag: draft.place == NotePlace::Discussion,
        internal_analysis_flag: draft.place == NotePlace::Internal,
        resolution_flag: draft.place == NotePlace::Resolution,
        process_notifications: true,
    }
}

/// A failed write: what the rule names wrongly is TU9501, a missing right or any other refusal TU9502. What passes by
/// itself, and what nobody knows, keeps its own code.
pub(super) fn write_error(error: ClientError, act: Act, rights: &[Right]) -> WriteError {
    let told = match error.api() {
        Some(api) if error.certainly_not_done() => refusal(api, &error, act, rights),
        Some(_) | None => None,
    };
    match told {
        Some((code, message)) => {
            WriteError::Refused(PsaError { code, message, their_words: error.api().map(ToString::to_string) })
        }
        None => failure::write_error(error),
    }
}

fn refusal(api: &ApiError, error: &ClientError, act: Act, rights: &[Right]) -> Option<(Code, String)> {
    match Code::from_name(error.code()) {
        Some(Code::Tu1004) => {
            let right = missing(act, rights);
            Some((Code::Tu9502, format!("the API member lacks the right {right}: {error}")))
        }
        Some(Code::Tu7004) if api.is_record_missing() => {
            Some((Code::Tu9502, format!("the ticket is not there any more: {error}")))
        }
        Some(Code::Tu7004) if api.errors.iter().any(|fault| is_chosen(&fault.field)) => {
            Some((Code::Tu9501, format!("ConnectWise does not accept what the rule chooses: {error}")))
        }
        Some(Code::Tu7004) => Some((Code::Tu9502, error.to_string())),
        Some(_) | None => None, // open set: exception codes
    }
}

/// Whether a fault is about a field that a rule chooses, or a part of one (`status/id`).
fn is_chosen(field: &str) -> bool {
    let first = field.split(['/', '.']).next().unwrap_or_default();
    ticket_fields::CHOSEN.iter().any(|chosen| first.eq_ignore_ascii_case(chosen))
}

/// The right that is missing: by the role where it tells, else every one that it may be.
fn missing(act: Act, rights: &[Right]) -> String {
    let wanted: &[(&str, &str)] = match act {
        Act::Make | Act::Note => &[(SERVICE_TICKETS, "Add All")],
        Act::Change => &[(SERVICE_TICKETS, "Edit All")],
        Act::Close => &[(SERVICE_TICKETS, "Edit All"), (CLOSE_TICKETS, "Edit All")],
    };
    let known = |(function, level): &&(&str, &str)| {
        rights.iter().any(|r| r.is_missing() && r.function == *function && r.level == *level)
    };
    let told: Vec<&(&str, &str)> = wanted.iter().filter(known).collect();
    let shown = if told.is_empty() { wanted.iter().collect() } else { told };
    let names: Vec<String> =
        shown.iter().map(|(function, level)| format!("Service Desk > {function} > {level}")).collect();
    names.join(" or ")
}
