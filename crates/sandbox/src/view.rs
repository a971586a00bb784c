//! Showing records: computed fields, expanded references, `_info`, and reading one value along a path.

use std::borrow::Cow;

use crate::clock::instant_text;
use crate::custom;
use crate::json::{Json, object};
use crate::schema::{self, Kind, Resource, ResourceId, paths};
use crate::store::{Record, Row, World};
use crate::{addition, agreement, invoice, ticket};

/// The API member that writes are made by, save those of the sandbox's people.
pub(crate) const MEMBER: &str = "trueupapi";

/// The value of a field, computed where the server computes it; references are ids.
pub(crate) fn value<'w>(world: &'w World, row: &'w Row, index: usize) -> Option<Cow<'w, Json>> {
    let field = row.record.definition().fields.get(index)?;
    if (field.server || field.kind == Kind::CustomFields || field.name == "communicationItems")
        && let Some(computed) = computed(world, row, field.name)
    {
        return (computed != Json::Null).then_some(Cow::Owned(computed));
    }
    row.record.at(index).map(Cow::Borrowed)
}

/// What the server works out for a field; none when the field is a stored one.
fn computed(world: &World, row: &Row, name: &str) -> Option<Json> {
    if name == "customFields" {
        return Some(custom::shown(world, &row.record));
    }
    let parent = || Some(Json::Int(row.parent));
    match (row.record.definition().path, name) {
        (paths::AGREEMENTS, _) => agreement::computed(world, row, name),
        (paths::ADDITIONS, "agreementId") | (paths::ADJUSTMENTS, "agreementId") => parent(),
        (paths::ADDITIONS, _) => addition::computed(world, row, name),
        (paths::SITES, "company") | (paths::COMMUNICATIONS, "contactId") | (paths::PAYMENTS, "invoice") => {
            parent()
        }
        (paths::INVOICES, "payments" | "credits" | "balance") => {
            Some(Json::Dec(invoice::settled(world, row, name)))
        }
        (paths::CATALOG, "category") => {
            let record = world.record_at(paths::SUBCATEGORIES, row.record.link("subcategory"));
            Some(record.and_then(|sub| sub.link("category")).map_or(Json::Null, Json::Int))
        }
        (paths::CONTACTS, "communicationItems") => Some(communication_items(world, row.id)),
        (paths::TICKETS, _) => ticket::computed(world, row, name),
        (paths::TICKET_NOTES, "ticketId") => parent(),
        (
            paths::BOARD_STATUSES
            | paths::BOARD_TYPES
            | paths::BOARD_SUBTYPES
            | paths::BOARD_ITEMS
            | paths::ASSOCIATIONS,
            "board",
        ) => parent(),
        _ => None,
    }
}

fn communication_items(world: &World, contact: i64) -> Json {
    let items = world.table_at(paths::COMMUNICATIONS).rows_of(contact).map(|row| {
        let Json::Obj(members) = render(world, row, &|name| name != "contactId" && name != "_info") else {
            return Json::Null;
        };
        Json::Obj(members)
    });
    Json::Arr(items.collect())
}

/// The record as a caller reads it; `wanted` says which top-level members to print.
pub(crate) fn render(world: &World, row: &Row, wanted: &dyn Fn(&str) -> bool) -> Json {
    let definition = row.record.definition();
    let mut members = Vec::with_capacity(definition.fields.len() + 2);
    if wanted("id") {
        members.push(("id".to_owned(), Json::Int(row.id)));
    }
    for (index, field) in definition.fields.iter().enumerate() {
        if !wanted(field.name) {
            continue;
        }
        let Some(found) = value(world, row, index) else { continue };
        let shown = match (field.kind, found.as_ref()) {
            (Kind::Ref(target), Json::Int(id)) => expand(world, target, *id, field.name),
            (Kind::RefList(target), Json::Arr(ids)) => {
                let ids = ids.iter().filter_map(Json::as_int);
                Json::Arr(ids.map(|id| expand(world, target, id, field.name)).collect())
            }
            _ => found.into_owned(),
        };
        members.push((field.name.to_owned(), shown));
    }
    if wanted("_info") {
        members.push(("_info".to_owned(), info(world, definition, row)));
    }
    Json::Obj(members)
}

/// The whole record.
pub(crate) fn render_all(world: &World, row: &Row) -> Json {
    render(world, row, &|_| true)
}

fn info(world: &World, definition: &Resource, row: &Row) -> Json {
    let mut info = object([
        ("lastUpdated", Json::Str(instant_text(row.updated_at))),
        ("updatedBy", row.updated_by().into()),
        ("dateEntered", Json::Str(instant_text(row.entered_at))),
        ("enteredBy", row.entered_by().into()),
    ]);
    if definition.path == paths::AGREEMENTS {
        info.set("additions_href", href(world, &format!("{}/{}/additions", definition.path, row.id)));
    }
    info
}

fn href(world: &World, path: &str) -> Json {
    Json::Str(format!("{}/v4_6_release/apis/3.0/{path}", world.base_url))
}

/// A reference as it is shown: id, the target's own words, and a link.
pub(crate) fn expand(world: &World, target: &str, id: i64, name: &str) -> Json {
    let mut shown = vec![("id".to_owned(), Json::Int(id))];
    let Some(row) = world.row_at(target, id) else { return Json::Obj(shown) };
    for (member, source) in row.record.definition().reference {
        if let Some(found) = source_value(world, &row.record, source) {
            shown.push(((*member).to_owned(), found));
        }
    }
    let path = match target.split_once("{id}") {
        Some((before, after)) => format!("{before}{}{after}/{id}", row.parent),
        None => format!("{target}/{id}"),
    };
    shown.push(("_info".to_owned(), object([(&format!("{name}_href"), href(world, &path))])));
    Json::Obj(shown)
}

/// A value a reference shows; names with `@` are made from several fields.
fn source_value(world: &World, record: &Record, source: &str) -> Option<Json> {
    match source {
        "@fullName" => {
            let words = [record.text("firstName"), record.text("lastName")];
            let full = words.into_iter().flatten().collect::<Vec<_>>().join(" ");
            Some(Json::Str(full))
        }
        "@typeName" => {
            let kind = world.record_at(paths::AGREEMENT_TYPES, record.link("type"))?;
            kind.get("name").cloned()
        }
        "@currencyCode" => record.get("currencyCode").and_then(|code| code.get("name")).cloned(),
        plain => record.get(plain).cloned(),
    }
}

/// A way to one value of a record, resolved once and followed for every row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Access {
    /// The id.
    Id,
    /// When the record was last written.
    LastUpdated,
    /// When the record was made.
    DateEntered,
    /// Who wrote it last.
    UpdatedBy,
    /// Who made it.
    EnteredBy,
    /// A field.
    Field(usize),
    /// A made-up member of a reference, such as a contact's full name.
    Source(&'static str),
    /// A member of a value kept as sent.
    Inside(usize, Vec<String>),
    /// A value of the record a field refers to.
    Through(usize, ResourceId, Box<Access>),
}

/// Resolves a path such as `company/identifier`; names in any case. None when there is no such field.
pub(crate) fn resolve(resource: ResourceId, path: &str) -> Option<Access> {
    let (head, rest) = match path.split_once('/') {
        Some((head, rest)) => (head, Some(rest)),
        None => (path, None),
    };
    let word = head.to_ascii_lowercase();
    match (word.as_str(), rest) {
        ("id", None) => return Some(Access::Id),
        ("_info", Some(rest)) => return resolve(resource, rest),
        ("lastupdated", None) => return Some(Access::LastUpdated),
        ("dateentered", None) => return Some(Access::DateEntered),
        ("updatedby", None) => return Some(Access::UpdatedBy),
        ("enteredby", None) => return Some(Access::EnteredBy),
        _ => {}
    }
    let definition = schema::get(resource);
    // Filter names differ from field names in places: PyPI connectpyse-manage filters boards by `inactive`.
    let head = if definition.path == paths::BOARDS && word == "inactive" { "inactiveFlag" } else { head };
    let (index, field) = definition.field_any_case(head)?;
    match (field.kind, rest) {
        (Kind::CustomFields | Kind::RefList(_), _) => None,
        (_, None) => Some(Access::Field(index)),
        (Kind::Ref(_), Some(rest)) if rest.eq_ignore_ascii_case("id") => Some(Access::Field(index)),
        (Kind::Ref(target), Some(rest)) => {
            let target = schema::find(target)?;
            let shown =
                schema::get(target).reference.iter().find(|(member, _)| member.eq_ignore_ascii_case(rest));
            let inner = match shown {
                Some((_, source)) if source.starts_with('@') => Access::Source(source),
                Some((_, source)) => resolve(target, source)?,
                None => resolve(target, rest)?,
            };
            Some(Access::Through(index, target, Box::new(inner)))
        }
        (Kind::AnyRef, Some(rest)) => {
            Some(Access::Inside(index, rest.split('/').map(str::to_owned).collect()))
        }
        _ => None,
    }
}

/// Reads one value; null when there is none.
pub(crate) fn read(world: &World, row: &Row, access: &Access) -> Json {
    match access {
        Access::Id => Json::Int(row.id),
        Access::LastUpdated => Json::Str(instant_text(row.updated_at)),
        Access::DateEntered => Json::Str(instant_text(row.entered_at)),
        Access::UpdatedBy => row.updated_by().into(),
        Access::EnteredBy => row.entered_by().into(),
        Access::Field(index) => value(world, row, *index).map_or(Json::Null, Cow::into_owned),
        Access::Source(source) => source_value(world, &row.record, source).unwrap_or(Json::Null),
        Access::Inside(index, names) => {
            let found = value(world, row, *index).map_or(Json::Null, Cow::into_owned);
            names.iter().fold(found, |at, name| member_any_case(&at, name).cloned().unwrap_or(Json::Null))
        }
        Access::Through(index, target, inner) => {
            let id = value(world, row, *index).and_then(|found| found.as_int());
            match id.and_then(|id| world.row(*target, id)) {
                Some(other) => read(world, other, inner),
                None => Json::Null,
            }
        }
    }
}

/// A member of an object, whatever its case.
pub(crate) fn member_any_case<'j>(value: &'j Json, name: &str) -> Option<&'j Json> {
    match value {
        Json::Obj(members) => {
            members.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        }
        _ => None,
    }
}
