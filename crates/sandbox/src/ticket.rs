//! Rules of tickets: what belongs to their board, when they are closed and by whom, their notes and bundles.

use crate::error::{ApiError, Detail};
use crate::events::{Action, raise};
use crate::json::Json;
use crate::normalize::{Mode, missing};
use crate::roles::{Level, Right};
use crate::schema::{self, paths};
use crate::store::{Record, Row, World};
use crate::view::member_any_case;

/// The function of a role that guards closing.
const CLOSE: &str = "Service Desk/Close Service Tickets";

/// What is chosen among the tables of the board: field, table, and the name in "not found" messages.
const OF_BOARD: &[(&str, &str, &str)] = &[
    ("status", paths::BOARD_STATUSES, "Service Status"),
    ("type", paths::BOARD_TYPES, "Service Type"),
    ("subType", paths::BOARD_SUBTYPES, "Service Sub Type"),
    ("item", paths::BOARD_ITEMS, "Service Item"),
];

/// Fields that only begin or steer a write and are not kept.
const PASSING: &[&str] = &[
    "initialDescription",
    "initialInternalAnalysis",
    "initialResolution",
    "processNotifications",
    "skipCallback",
];

/// The body with the names of statuses, types and so on resolved among those of the ticket's board: other boards have
/// records of the same names.
pub(crate) fn resolved(world: &World, body: &Json, old: Option<&Record>) -> Json {
    let mut body = body.clone();
    let Some(board) = board_of(world, &body, old) else { return body };
    let Json::Obj(members) = &mut body else { return body };
    for (name, value) in members.iter_mut() {
        let Some((_, path, _)) = OF_BOARD.iter().find(|(field, _, _)| field.eq_ignore_ascii_case(name))
        else {
            continue;
        };
        let named = member_any_case(value, "id").is_none_or(|id| *id == Json::Null);
        let Some(word) = member_any_case(value, "name").and_then(Json::as_str).filter(|_| named) else {
            continue;
        };
        let same = |row: &&Row| row.record.text("name").is_some_and(|known| known.eq_ignore_ascii_case(word));
        if let Some(row) = world.table_at(path).rows_of(board).find(same) {
            *value = crate::json::object([("id", Json::Int(row.id))]);
        }
    }
    body
}

fn board_of(world: &World, body: &Json, old: Option<&Record>) -> Option<i64> {
    let Some(sent) = member_any_case(body, "board").filter(|sent| **sent != Json::Null) else {
        return old.and_then(|old| old.link("board")).or_else(|| world.default_of(paths::BOARDS));
    };
    if let Some(id) = member_any_case(sent, "id").and_then(Json::as_int) {
        return Some(id);
    }
    let word = member_any_case(sent, "name")?.as_str()?;
    let boards = world.table_at(paths::BOARDS).rows.values();
    boards
        .filter(|row| row.record.text("name").is_some_and(|known| known.eq_ignore_ascii_case(word)))
        .map(|row| row.id)
        .next()
}

/// Fills what a body left out.
pub(crate) fn fill(world: &World, draft: &mut Record) {
    let first = |path| world.default_of(path).map_or(Json::Null, Json::Int);
    draft.default("recordType", "ServiceTicket".into());
    draft.default("board", first(paths::BOARDS));
    draft.default("priority", first(paths::PRIORITIES));
    draft.default("source", first(paths::SOURCES));
    draft.default("severity", "Medium".into());
    draft.default("impact", "Medium".into());
    let Some(board) = draft.link("board") else { return };
    let defaults = |path: &'static str| {
        let mut rows = world.table_at(path).rows_of(board);
        rows.find(|row| row.record.flag("defaultFlag")).map(|row| row.id)
    };
    let first = world.table_at(paths::BOARD_STATUSES).rows_of(board).map(|row| row.id).next();
    let status = defaults(paths::BOARD_STATUSES).or(first);
    draft.default("status", status.map_or(Json::Null, Json::Int));
    draft.default("type", defaults(paths::BOARD_TYPES).map_or(Json::Null, Json::Int));
    if let Some(record) = world.record_at(paths::COMPANIES, draft.link("company"))
        && let Some(site) = record.get("site")
    {
        draft.default("site", site.clone());
    }
}

/// Checks a draft against its board and settles who closed it when.
pub(crate) fn check(
    world: &World,
    draft: &mut Record,
    old: Option<&Record>,
    mode: Mode,
    details: &mut Vec<Detail>,
) {
    for field in PASSING {
        draft.set(field, Json::Null);
    }
    if mode != Mode::Seed {
        details.extend(misplaced(world, draft));
    }
    let closed = is_closed(world, draft);
    if !closed {
        draft.set("closedDate", Json::Null);
        draft.set("closedBy", Json::Null);
    } else if !old.is_some_and(|old| is_closed(world, old)) {
        draft.default("closedDate", Json::Str(world.clock.now_text()));
        draft.default("closedBy", world.actor().into());
    }
}

/// What does not belong to the board, or may not stand together on it.
fn misplaced(world: &World, draft: &Record) -> Option<Detail> {
    let board = draft.link("board")?;
    let not_found = |field: &str, label: &str, id: i64, above: &str, owner: i64| {
        let message = format!("{label} {id} not found for {above} {owner}");
        Some(Detail::new("NotFound", message, "ticket", format!("{field}/id")))
    };
    for (field, path, label) in OF_BOARD {
        if let Some(id) = draft.link(field)
            && world.row_at(path, id).is_none_or(|row| row.parent != board)
        {
            return not_found(field, label, id, "Service Board", board);
        }
    }
    let (kind, subtype, item) = (draft.link("type"), draft.link("subType"), draft.link("item"));
    let pairs = || world.table_at(paths::ASSOCIATIONS).rows_of(board).map(|row| &row.record);
    if let Some(subtype) = subtype {
        let Some(kind) = kind else { return Some(missing("ticket", "type")) };
        let below =
            |record: &&Record| record.link("type") == Some(kind) && record.link("subType") == Some(subtype);
        if !pairs().any(|record| below(&record)) {
            return not_found("subType", "Service Sub Type", subtype, "Service Type", kind);
        }
        if let Some(item) = item
            && !pairs().filter(below).any(|record| record.link("item") == Some(item))
        {
            return not_found("item", "Service Item", item, "Service Sub Type", subtype);
        }
    } else if item.is_some() {
        return Some(missing("ticket", "subType"));
    }
    None
}

fn is_closed(world: &World, record: &Record) -> bool {
    let status = world.record_at(paths::BOARD_STATUSES, record.link("status"));
    status.is_some_and(|status| status.flag("closedStatus"))
}

/// Whether the role lets a write close the ticket.
pub(crate) fn may_close(
    world: &World,
    id: Option<i64>,
    old: Option<&Record>,
    draft: &Record,
) -> Result<(), ApiError> {
    if !is_closed(world, draft) || old.is_some_and(|old| is_closed(world, old)) {
        return Ok(());
    }
    let own = id.is_none_or(|id| world.row_at(paths::TICKETS, id).is_some_and(|row| row.own));
    match world.roles.level(CLOSE, Right::Edit) {
        Level::None => Err(ApiError::forbidden()),
        Level::My if !own => Err(ApiError::forbidden()),
        Level::My | Level::All => Ok(()),
    }
}

/// What the server works out for a ticket.
pub(crate) fn computed(world: &World, row: &Row, name: &str) -> Option<Json> {
    (name == "closedFlag").then(|| Json::Bool(is_closed(world, &row.record)))
}

/// Fills and checks a note.
pub(crate) fn check_note(
    world: &World,
    draft: &mut Record,
    old: Option<&Record>,
    mode: Mode,
    details: &mut Vec<Detail>,
) {
    draft.set("processNotifications", Json::Null);
    const KINDS: [&str; 3] = ["detailDescriptionFlag", "internalAnalysisFlag", "resolutionFlag"];
    for field in KINDS.iter().chain(&["issueFlag", "customerUpdatedFlag"]) {
        draft.default(field, Json::Bool(false));
    }
    let internal = draft.flag("internalAnalysisFlag");
    draft.set("internalFlag", Json::Bool(internal));
    draft.set("externalFlag", Json::Bool(!internal));
    if old.is_none() {
        draft.default("dateCreated", Json::Str(world.clock.now_text()));
        draft.default("createdBy", world.actor().into());
        let members = schema::find(paths::MEMBERS).unwrap_or_default();
        let member = world.by_key(members, world.actor());
        draft.default("member", member.map_or(Json::Null, Json::Int));
    }
    if mode != Mode::Seed && !KINDS.iter().any(|kind| draft.flag(kind)) {
        let message = "One of detailDescriptionFlag, internalAnalysisFlag and resolutionFlag must be true.";
        details.push(Detail::new("InvalidField", message, "serviceNote", KINDS[0]));
    }
}

/// The notes that a new ticket begins with.
pub(crate) fn first_notes(world: &mut World, ticket: i64, body: &Json) {
    let notes = schema::find(paths::TICKET_NOTES).unwrap_or_default();
    for (field, flag) in [
        ("initialDescription", "detailDescriptionFlag"),
        ("initialInternalAnalysis", "internalAnalysisFlag"),
        ("initialResolution", "resolutionFlag"),
    ] {
        let text = member_any_case(body, field).and_then(Json::as_str).unwrap_or_default();
        if text.is_empty() {
            continue;
        }
        let mut note = Record::new(notes);
        note.set("text", text.into());
        note.set(flag, Json::Bool(true));
        check_note(world, &mut note, None, Mode::Create, &mut Vec::new());
        world.insert(note, ticket, None, true);
    }
}

/// Keeps the list of what may stand together in step with the types that a subtype names.
pub(crate) fn associate(world: &mut World, subtype: i64) {
    let Some(row) = world.row_at(paths::BOARD_SUBTYPES, subtype) else { return };
    let board = row.parent;
    let named = row.record.get("typeAssociationIds").and_then(Json::as_array).unwrap_or_default();
    let named: Vec<i64> = named.iter().filter_map(Json::as_int).collect();
    let resource = schema::find(paths::ASSOCIATIONS).unwrap_or_default();
    let pairs = world.table(resource).rows_of(board);
    let own = pairs.filter(|row| row.record.link("subType") == Some(subtype));
    let own: Vec<(i64, Option<i64>)> = own.map(|row| (row.id, row.record.link("type"))).collect();
    for (id, kind) in &own {
        if kind.is_none_or(|kind| !named.contains(&kind)) {
            world.remove(resource, *id);
        }
    }
    for kind in named {
        let fits = world.row_at(paths::BOARD_TYPES, kind).is_some_and(|row| row.parent == board);
        if fits && !own.iter().any(|(_, known)| *known == Some(kind)) {
            let mut pair = Record::new(resource);
            pair.set("type", Json::Int(kind));
            pair.set("subType", Json::Int(subtype));
            world.insert(pair, board, None, false);
        }
    }
}

/// What a deleted ticket leaves behind.
pub(crate) fn forget(world: &mut World, ticket: i64) {
    let notes: Vec<i64> = world.table_at(paths::TICKET_NOTES).owned_by(ticket).collect();
    for note in notes {
        world.remove(schema::find(paths::TICKET_NOTES).unwrap_or_default(), note);
    }
    for child in children(world, ticket) {
        world.adjust(paths::TICKETS, child, |record| record.set("parentTicketId", Json::Null));
    }
}

fn children(world: &World, ticket: i64) -> Vec<i64> {
    let rows = world.table_at(paths::TICKETS).rows.values();
    let below = |row: &&Row| row.record.get("parentTicketId") == Some(&Json::Int(ticket));
    rows.filter(below).map(|row| row.id).collect()
}

/// Puts tickets under another (`attachChildren`), or into it (`merge`).
pub(crate) fn join(world: &mut World, parent: i64, body: &Json, merge: bool) -> Result<(), ApiError> {
    let resource = schema::find(paths::TICKETS).unwrap_or_default();
    let invalid = |detail| ApiError::invalid("ticketBundle", vec![detail]);
    let ids = member_any_case(body, "childTicketIds").and_then(Json::as_array).unwrap_or_default();
    let ids: Vec<i64> = ids.iter().filter_map(Json::as_int).collect();
    if ids.is_empty() {
        return Err(invalid(missing("ticketBundle", "childTicketIds")));
    }
    let Some(top) = world.row(resource, parent) else { return Err(ApiError::not_found("Ticket", parent)) };
    if top.record.get("parentTicketId").is_some() {
        let message = format!("Ticket {parent} is a child of another ticket.");
        return Err(invalid(Detail::new("InvalidObject", message, "ticketBundle", "id")));
    }
    for id in &ids {
        if world.row(resource, *id).is_none() {
            let message = format!("Ticket {id} not found");
            return Err(invalid(Detail::new("NotFound", message, "ticketBundle", "childTicketIds")));
        }
        if *id == parent || !children(world, *id).is_empty() {
            let message = format!("Ticket {id} cannot be a child of ticket {parent}.");
            return Err(invalid(Detail::new("InvalidObject", message, "ticketBundle", "childTicketIds")));
        }
    }
    let status = member_any_case(body, "status").and_then(|status| member_any_case(status, "id")?.as_int());
    for id in ids {
        let Some(row) = world.row(resource, id) else { continue };
        let (old, mut record) = (row.record.clone(), row.record.clone());
        if merge {
            record.set("mergedParentTicket", Json::Int(parent));
            if let Some(status) = status {
                record.set("status", Json::Int(status));
            }
            let mut details = Vec::new();
            check(world, &mut record, Some(&old), Mode::Patch, &mut details);
            if !details.is_empty() {
                return Err(ApiError::invalid("ticket", details));
            }
            may_close(world, Some(id), Some(&old), &record)?;
        } else {
            record.set("parentTicketId", Json::Int(parent));
        }
        world.replace(id, record);
        raise(world, resource, id, Action::Updated);
    }
    Ok(())
}
