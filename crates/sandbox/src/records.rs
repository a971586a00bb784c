//! Creating, replacing, patching and deleting records, with the rules that belong to single resources.

use crate::error::{ApiError, Detail};
use crate::events::{Action, raise};
use crate::json::Json;
use crate::normalize::{Mode, normalize};
use crate::schema::{self, ResourceId, paths};
use crate::store::{Record, World};
use crate::view::render_all;
use crate::{addition, agreement, callback, invoice, ticket};

/// Where a write goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// The resource.
    pub resource: ResourceId,
    /// The owner's id, 0 for none.
    pub parent: i64,
}

/// Makes a record; answers its id.
pub(crate) fn create(world: &mut World, target: Target, body: &Json, mode: Mode) -> Result<i64, ApiError> {
    let definition = schema::get(target.resource);
    let mut details = Vec::new();
    let mut draft = normalize(world, target.resource, body, None, mode, &mut details)?;
    prepare(world, target, None, &mut draft, None, mode, &mut details);
    if let Some(key) = definition.key.and_then(|key| draft.text(key))
        && mode != Mode::Seed
        && world.by_key(target.resource, key).is_some()
    {
        let field = definition.key.unwrap_or_default();
        details.push(Detail::new("ObjectExists", definition.taken, definition.name, field));
    }
    if !details.is_empty() {
        return Err(ApiError::invalid(definition.name, details));
    }
    let given = if mode == Mode::Seed { body.get("id").and_then(Json::as_int) } else { None };
    if definition.path == paths::TICKETS && mode != Mode::Seed {
        ticket::may_close(world, None, None, &draft)?;
    }
    let id = world.insert(draft, target.parent, given, mode != Mode::Seed);
    after_create(world, definition.path, id, body, mode)?;
    if mode != Mode::Seed {
        changed(world, target, id, Action::Added);
    }
    Ok(id)
}

/// Writes a record anew.
pub(crate) fn update(
    world: &mut World,
    target: Target,
    id: i64,
    body: &Json,
    mode: Mode,
) -> Result<(), ApiError> {
    let definition = schema::get(target.resource);
    let Some(row) = world.row(target.resource, id) else {
        return Err(ApiError::not_found(definition.label, id));
    };
    let old = row.record.clone();
    let mut details = Vec::new();
    let mut draft = normalize(world, target.resource, body, Some(&old), mode, &mut details)?;
    prepare(world, target, Some(id), &mut draft, Some(&old), mode, &mut details);
    if let Some(key) = definition.key
        && let Some(text) = draft.text(key)
        && world.by_key(target.resource, text).is_some_and(|other| other != id)
    {
        details.push(Detail::new("ObjectExists", definition.taken, definition.name, key));
    }
    if !details.is_empty() {
        return Err(ApiError::invalid(definition.name, details));
    }
    if definition.path == paths::TICKETS {
        ticket::may_close(world, Some(id), Some(&old), &draft)?;
    }
    world.replace(id, draft);
    if definition.path == paths::BOARD_SUBTYPES {
        ticket::associate(world, id);
    }
    if definition.path == paths::CONTACTS && mode == Mode::Patch {
        write_communications(world, id, body, true)?;
    }
    changed(world, target, id, Action::Updated);
    Ok(())
}

/// What follows from a write through the API: callbacks, and invoices of late additions.
fn changed(world: &mut World, target: Target, id: i64, action: Action) {
    match schema::get(target.resource).path {
        paths::ADDITIONS => {}
        paths::TICKET_NOTES => {
            let tickets = schema::find(paths::TICKETS).unwrap_or_default();
            world.touch(tickets, target.parent);
            return raise(world, tickets, target.parent, Action::Updated);
        }
        _ => return raise(world, target.resource, id, action),
    }
    if let Some(made) = invoice::bill_late_additions(world, target.parent) {
        raise(world, schema::find(paths::INVOICES).unwrap_or_default(), made, Action::Added);
    }
    if world.rules.addition_calls_back {
        let agreements = schema::find(paths::AGREEMENTS).unwrap_or_default();
        raise(world, agreements, target.parent, Action::Updated);
    }
}

/// Deletes a record.
pub(crate) fn delete(world: &mut World, target: Target, id: i64) -> Result<(), ApiError> {
    let definition = schema::get(target.resource);
    let Some(row) = world.row(target.resource, id) else {
        return Err(ApiError::not_found(definition.label, id));
    };
    match definition.path {
        paths::COMPANIES => {
            // A company goes to the recycle bin and stays in lists until a filter leaves it out.
            let mut record = row.record.clone();
            record.set("deletedFlag", Json::Bool(true));
            record.set("dateDeleted", Json::Str(world.clock.now_text()));
            record.set("deletedBy", world.actor().into());
            raise(world, target.resource, id, Action::Deleted);
            world.replace(id, record);
            return Ok(());
        }
        paths::ADDITIONS if addition::is_invoiced(world, row) && !world.rules.delete_invoiced_addition => {
            let message =
                "The addition has been invoiced and cannot be deleted. Set the cancelled date instead.";
            return Err(ApiError::invalid(
                "addition",
                vec![Detail::new("InvalidObject", message, "addition", "id")],
            ));
        }
        paths::AGREEMENTS => {
            let children = world.table(target.resource).rows.values();
            let parent = children.clone().any(|row| row.record.link("parentAgreement") == Some(id));
            if parent || !world.billed(id).is_empty() {
                return Err(ApiError::conflict());
            }
            for path in [paths::ADDITIONS, paths::ADJUSTMENTS] {
                let ids: Vec<i64> = world.table_at(path).owned_by(id).collect();
                for child in ids {
                    world.remove(schema::find(path).unwrap_or_default(), child);
                }
            }
        }
        paths::INVOICES => invoice::undo(world, id)?,
        _ if in_use(world, definition.path, id) => return Err(ApiError::conflict()),
        _ => {}
    }
    // Before it goes: who listens follows from what the record refers to.
    changed(world, target, id, Action::Deleted);
    if definition.path == paths::TICKETS {
        ticket::forget(world, id);
    }
    world.remove(target.resource, id);
    Ok(())
}

/// Whether another record refers to this one.
fn in_use(world: &World, path: &str, id: i64) -> bool {
    schema::all().iter().enumerate().any(|(resource, definition)| {
        let links = definition
            .fields
            .iter()
            .enumerate()
            .filter(|(_, field)| matches!(field.kind, schema::Kind::Ref(target) if target == path));
        let positions: Vec<usize> = links.map(|(index, _)| index).collect();
        !positions.is_empty()
            && world
                .table(resource)
                .rows
                .values()
                .any(|row| positions.iter().any(|index| row.record.at(*index) == Some(&Json::Int(id))))
    })
}

/// Defaults and checks of single resources.
fn prepare(
    world: &World,
    target: Target,
    id: Option<i64>,
    draft: &mut Record,
    old: Option<&Record>,
    mode: Mode,
    details: &mut Vec<Detail>,
) {
    let filling = mode != Mode::Patch;
    let path = schema::get(target.resource).path;
    match path {
        paths::AGREEMENTS => {
            if filling {
                agreement::fill(world, draft);
            }
            agreement::check(world, id, draft, old, mode, details);
        }
        paths::ADDITIONS => {
            if filling {
                addition::fill(world, target.parent, draft);
            }
            addition::check(world, target.parent, draft, old, mode, details);
        }
        paths::CALLBACKS => callback::check(world, id, draft, details),
        paths::TICKETS => {
            if filling {
                ticket::fill(world, draft);
            }
            ticket::check(world, draft, old, mode, details);
        }
        paths::TICKET_NOTES => ticket::check_note(world, draft, old, mode, details),
        _ if filling => fill(world, path, draft),
        _ => {}
    }
    // A seed may bring values that an older version let in; they then fail every later write of the record.
    if path == paths::COMPANIES && mode != Mode::Seed {
        for (field, low, high) in [("yearEstablished", 1900, 9999), ("revenueYear", 1900, 9999)] {
            let year = draft.get(field).and_then(Json::as_int);
            if year.is_some_and(|year| !(low..=high).contains(&year)) {
                let message = format!("The field {field} must be between {low} and {high}.");
                details.push(Detail::new("OutOfRange", message, "company", field));
            }
        }
    }
}

/// Defaults of the resources without rules of their own.
fn fill(world: &World, path: &str, draft: &mut Record) {
    let first = |path| world.default_of(path).map_or(Json::Null, Json::Int);
    let mut off: &[&str] = &["inactiveFlag", "defaultFlag"];
    match path {
        paths::COMPANIES => {
            draft.default("status", first(paths::COMPANY_STATUSES));
            draft.default("country", first(paths::COUNTRIES));
            draft.default("territory", first(paths::LOCATIONS));
            draft.default("billingTerms", first(paths::BILLING_TERMS));
            draft.default("currency", first(paths::CURRENCIES));
            draft.default("types", Json::Arr(Vec::new()));
            draft.default("integratorTags", Json::Arr(Vec::new()));
            draft.default("dateAcquired", Json::Str(crate::clock::day_text(world.clock.today())));
            off = &["leadFlag", "unsubscribeFlag", "deletedFlag", "isVendorFlag"];
        }
        paths::CATALOG => {
            draft.default("productClass", "NonInventory".into());
            draft.default("unitOfMeasure", first(paths::UNITS));
            for field in ["price", "cost"] {
                draft.default(field, Json::Dec(rust_decimal::Decimal::ZERO));
            }
            off = &["inactiveFlag", "taxableFlag", "serializedFlag", "specialOrderFlag", "recurringFlag"];
        }
        paths::INVOICES => {
            draft.default("status", first(paths::BILLING_STATUSES));
            draft.default("currency", first(paths::CURRENCIES));
            draft.default("date", Json::Str(crate::clock::day_text(world.clock.today())));
            for field in ["subtotal", "total", "salesTax"] {
                draft.default(field, Json::Dec(rust_decimal::Decimal::ZERO));
            }
            off = &["taxableFlag"];
        }
        paths::PAYMENTS => {
            draft.default("paymentDate", Json::Str(crate::clock::day_text(world.clock.today())));
            draft.default("type", "Payment".into());
        }
        paths::CUSTOM_FIELDS => {
            draft.default("entryTypeIdentifier", "EntryField".into());
            draft.default("dateCreated", Json::Str(world.clock.now_text()));
            off = &["requiredFlag", "readOnlyFlag", "listViewFlag"];
        }
        paths::BOARD_STATUSES => {
            off = &["inactive", "closedStatus", "timeEntryNotAllowed", "defaultFlag"];
            draft.default("displayOnBoard", Json::Bool(true));
            draft.default("escalationStatus", "NoEscalation".into());
        }
        paths::CURRENCIES => draft.default("numberOfDecimals", Json::Int(2)),
        paths::CONTACTS => {
            if let Some(company) = world.record_at(paths::COMPANIES, draft.link("company"))
                && let Some(site) = company.get("site")
            {
                draft.default("site", site.clone());
            }
            off = &["inactiveFlag", "defaultFlag", "defaultBillingFlag", "unsubscribeFlag"];
        }
        _ => {}
    }
    for field in off {
        draft.default(field, Json::Bool(false));
    }
}

/// What the server makes along with a record.
fn after_create(world: &mut World, path: &str, id: i64, body: &Json, mode: Mode) -> Result<(), ApiError> {
    match path {
        paths::COMPANIES
            if world.record_at(path, Some(id)).is_some_and(|made| made.get("site").is_none()) =>
        {
            let mut site = Record::new(schema::find(paths::SITES).unwrap_or_default());
            site.set("name", "Main".into());
            for field in
                ["primaryAddressFlag", "defaultShippingFlag", "defaultBillingFlag", "defaultMailingFlag"]
            {
                site.set(field, Json::Bool(true));
            }
            site.set("inactiveFlag", Json::Bool(false));
            let site = world.insert(site, id, None, mode != Mode::Seed);
            world.adjust(path, id, |company| company.set("site", Json::Int(site)));
        }
        paths::CONTACTS => {
            let contact = world.record_at(path, Some(id));
            let company =
                contact.filter(|made| made.flag("defaultFlag")).and_then(|made| made.link("company"));
            if let Some(company) = company {
                world.adjust(paths::COMPANIES, company, |record| {
                    record.default("defaultContact", Json::Int(id))
                });
            }
            write_communications(world, id, body, false)?;
        }
        paths::BOARD_SUBTYPES => ticket::associate(world, id),
        paths::TICKETS if mode != Mode::Seed => ticket::first_notes(world, id, body),
        _ => {}
    }
    Ok(())
}

/// Brings the communications of a contact to what a body says.
fn write_communications(
    world: &mut World,
    contact: i64,
    body: &Json,
    drop_others: bool,
) -> Result<(), ApiError> {
    let Some(items) = body.get("communicationItems").and_then(Json::as_array) else { return Ok(()) };
    let resource = schema::find(paths::COMMUNICATIONS).unwrap_or_default();
    let target = Target { resource, parent: contact };
    let mut kept = Vec::new();
    for item in items {
        let known = item.get("id").and_then(Json::as_int).filter(|id| world.row(resource, *id).is_some());
        kept.push(match known {
            Some(id) => {
                update(world, target, id, item, Mode::Patch)?;
                id
            }
            None => create(world, target, item, Mode::Create)?,
        });
    }
    if drop_others {
        let others: Vec<i64> =
            world.table(resource).owned_by(contact).filter(|id| !kept.contains(id)).collect();
        for id in others {
            world.remove(resource, id);
        }
    }
    // The items live in their own table; what the body held must not stay behind as a second truth.
    world.adjust(paths::CONTACTS, contact, |record| record.set("communicationItems", Json::Null));
    Ok(())
}

/// The record as its reader sees it.
pub(crate) fn shown(world: &World, resource: ResourceId, id: i64) -> Json {
    world.row(resource, id).map_or(Json::Null, |row| render_all(world, row))
}
