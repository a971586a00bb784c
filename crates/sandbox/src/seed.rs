//! Filling a world: the setup tables every tenant has, and seed files over them.

use crate::clock::day_of;
use crate::json::Json;
use crate::normalize::Mode;
use crate::records::{Target, create};
use crate::schema::{self, paths};
use crate::store::World;

/// Resources in an order in which each comes after what it refers to by name.
const ORDER: &[&str] = &[
    paths::CURRENCIES,
    paths::COUNTRIES,
    paths::LOCATIONS,
    paths::DEPARTMENTS,
    paths::SECURITY_ROLES,
    paths::MEMBERS,
    paths::API_MEMBERS,
    paths::BILLING_CYCLES,
    paths::BILLING_TERMS,
    paths::BILLING_STATUSES,
    paths::TAX_CODES,
    paths::COMMUNICATION_TYPES,
    paths::COMPANY_STATUSES,
    paths::COMPANY_TYPES,
    paths::CATEGORIES,
    paths::SUBCATEGORIES,
    paths::PRODUCT_TYPES,
    paths::UNITS,
    paths::CATALOG,
    paths::AGREEMENT_TYPES,
    paths::CUSTOM_FIELDS,
    paths::BOARDS,
    paths::BOARD_STATUSES,
    paths::BOARD_TYPES,
    paths::BOARD_SUBTYPES,
    paths::BOARD_ITEMS,
    paths::ASSOCIATIONS,
    paths::PRIORITIES,
    paths::SOURCES,
    paths::COMPANIES,
    paths::SITES,
    paths::CONTACTS,
    paths::COMMUNICATIONS,
    paths::AGREEMENTS,
    paths::ADDITIONS,
    paths::ADJUSTMENTS,
    paths::INVOICES,
    paths::PAYMENTS,
    paths::TICKETS,
    paths::TICKET_NOTES,
    paths::CALLBACKS,
];

/// The setup tables a new sandbox has.
const DEFAULTS: &str = include_str!("defaults.json");

/// Fills an empty world with the setup tables.
pub(crate) fn defaults(world: &mut World) -> Result<(), String> {
    let seed = Json::parse(DEFAULTS).map_err(|error| format!("the built-in setup tables: {error}"))?;
    load(world, &seed)
}

/// The day a seed file sets, if any.
pub(crate) fn today(seed: &Json) -> Option<jiff::civil::Date> {
    seed.get("today").and_then(Json::as_str).and_then(day_of)
}

/// Adds the records of a seed; a record with a known id or key takes the place of the one there.
pub(crate) fn load(world: &mut World, seed: &Json) -> Result<(), String> {
    let Some(resources) = seed.get("resources") else { return Ok(()) };
    let Json::Obj(members) = resources else {
        return Err("\"resources\" must be an object of arrays by path".to_owned());
    };
    for (path, _) in members {
        if schema::find(path).is_none() {
            return Err(format!("\"{path}\" is not a resource of the sandbox"));
        }
    }
    for path in ORDER {
        for (_, records) in members.iter().filter(|(known, _)| known.eq_ignore_ascii_case(path)) {
            load_resource(world, path, records)?;
        }
    }
    Ok(())
}

fn load_resource(world: &mut World, path: &str, records: &Json) -> Result<(), String> {
    match records {
        Json::Arr(items) => {
            for item in items {
                let parent = match path {
                    paths::ADDITIONS | paths::ADJUSTMENTS => item.get("agreementId"),
                    paths::SITES => item.get("company").and_then(|company| company.get("id")),
                    paths::COMMUNICATIONS => item.get("contactId"),
                    paths::BOARD_STATUSES
                    | paths::BOARD_TYPES
                    | paths::BOARD_SUBTYPES
                    | paths::BOARD_ITEMS
                    | paths::ASSOCIATIONS => item.get("board").and_then(|board| board.get("id")),
                    paths::TICKET_NOTES => item.get("ticketId"),
                    paths::PAYMENTS => item.get("invoice").and_then(|invoice| invoice.get("id")),
                    _ => None,
                };
                insert(world, path, parent.and_then(Json::as_int).unwrap_or(0), item)?;
            }
        }
        Json::Obj(groups) => {
            for (parent, items) in groups {
                let (Ok(parent), Json::Arr(items)) = (parent.parse(), items) else {
                    return Err(format!("\"{path}\" must be arrays by the owner's id"));
                };
                for item in items {
                    insert(world, path, parent, item)?;
                }
            }
        }
        _ => return Err(format!("\"{path}\" must be an array")),
    }
    Ok(())
}

fn insert(world: &mut World, path: &str, parent: i64, item: &Json) -> Result<(), String> {
    let Some(resource) = schema::find(path) else { return Ok(()) };
    let definition = schema::get(resource);
    if let Some(owner) = definition.parent_path().and_then(schema::find)
        && world.row(owner, parent).is_none()
    {
        return Err(format!("\"{path}\": there is no {} {parent}", schema::get(owner).name));
    }
    if let Some(known) = definition.key.and_then(|key| item.get(key)).and_then(Json::as_str)
        && let Some(id) = world.by_key(resource, known)
    {
        world.remove(resource, id);
    }
    let id = create(world, Target { resource, parent }, item, Mode::Seed).map_err(|error| {
        let first = error.errors.first().map_or(error.message.clone(), |detail| detail.message.clone());
        format!("\"{path}\": {first} (in {})", shortened(&item.to_text()))
    })?;
    let updated = item.get("_info").and_then(|info| info.get("lastUpdated")).and_then(Json::as_str);
    if let Some(instant) = updated.and_then(|text| text.parse::<jiff::Timestamp>().ok()) {
        world.set_updated_at(resource, id, instant.as_second());
    }
    Ok(())
}

fn shortened(text: &str) -> String {
    text.chars().take(120).collect()
}
