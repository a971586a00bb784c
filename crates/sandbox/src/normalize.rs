//! From a request body to the stored values: types, lengths, words, dates and references.
//!
//! Two kinds of failure are kept apart as the vendor keeps them: a value of the wrong JSON type stops the request
//! with a 500 that says "Error converting value", a value that is merely not allowed is one entry of a 400.

use crate::clock::is_date_time;
use crate::custom;
use crate::error::{ApiError, Detail};
use crate::json::Json;
use crate::schema::{self, Field, Kind, Resource, ResourceId};
use crate::store::{Record, World};
use crate::view::member_any_case;

/// How a body is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// POST.
    Create,
    /// PUT: what is absent is cleared.
    Replace,
    /// PATCH, applied to the whole record beforehand.
    Patch,
    /// A seed file: server fields count, references are taken on trust.
    Seed,
}

/// Reads a body into a record; problems that do not stop the reading go to `details`.
pub(crate) fn normalize(
    world: &World,
    resource: ResourceId,
    body: &Json,
    old: Option<&Record>,
    mode: Mode,
    details: &mut Vec<Detail>,
) -> Result<Record, ApiError> {
    let definition = schema::get(resource);
    let resolved;
    let body = if definition.path == schema::paths::TICKETS {
        resolved = crate::ticket::resolved(world, body, old);
        &resolved
    } else {
        body
    };
    let Json::Obj(members) = body else {
        return Err(ApiError::converting(body, &type_name(definition), ""));
    };
    let mut record = Record::new(resource);
    let mut custom_fields = None;
    for (name, value) in members {
        let Some((index, field)) = definition.field_any_case(name) else { continue };
        if field.kind == Kind::CustomFields {
            if !matches!(value, Json::Null | Json::Arr(_)) {
                return Err(ApiError::converting(value, "CustomFieldValue[]", field.name));
            }
            custom_fields = Some(value);
        } else if field.create_only && mode == Mode::Replace && !is_empty(value) {
            let message = format!("{} can only be used when creating", create_only_name(field));
            details.push(Detail::new("InvalidField", message, definition.name, create_only_name(field)));
        } else if !field.server || mode == Mode::Seed {
            let value = convert(world, definition, field, value, mode, details)?;
            record.put(index, value);
        }
    }
    for (index, field) in definition.fields.iter().enumerate() {
        // Server values live in the record too; a write from outside must not lose them.
        if field.server
            && mode != Mode::Seed
            && let Some(kept) = old.and_then(|old| old.at(index))
        {
            record.put(index, kept.clone());
        }
        let needed = field.required || (field.required_on_put && mode == Mode::Replace);
        if needed && record.at(index).is_none_or(is_empty) && !complained(details, field.name) {
            details.push(missing(definition.name, field.name));
        }
    }
    if definition.field("customFields").is_some() {
        let merged = custom::merged(world, &record, old, custom_fields, details);
        record.set("customFields", merged);
    }
    Ok(record)
}

/// A reference that was sent but not found is not missing as well.
fn complained(details: &[Detail], field: &str) -> bool {
    details.iter().any(|detail| detail.resource == field || detail.field.split('/').next() == Some(field))
}

/// The entry for a required field.
pub(crate) fn missing(resource: &str, field: &str) -> Detail {
    Detail::new("MissingRequiredField", format!("The {field} field is required."), resource, field)
}

fn is_empty(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Str(text) => text.is_empty(),
        Json::Arr(items) => items.is_empty(),
        _ => false,
    }
}

/// The vendor's message calls the contact's `types` by its other name.
fn create_only_name(field: &Field) -> &'static str {
    if field.name == "types" { "typeIds" } else { field.name }
}

fn type_name(definition: &Resource) -> String {
    let mut name = definition.name.to_owned();
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    format!("ConnectWise.PSA.Models.{name}")
}

fn convert(
    world: &World,
    definition: &Resource,
    field: &Field,
    value: &Json,
    mode: Mode,
    details: &mut Vec<Detail>,
) -> Result<Json, ApiError> {
    if *value == Json::Null {
        return Ok(Json::Null);
    }
    let wrong = |wanted: &str| ApiError::converting(value, wanted, field.name);
    Ok(match field.kind {
        Kind::Int => match value {
            Json::Bool(_) => return Err(wrong("System.Nullable`1[System.Int32]")),
            other => match other.as_int().filter(|whole| i32::try_from(*whole).is_ok()) {
                Some(whole) => Json::Int(whole),
                None => return Err(wrong("System.Nullable`1[System.Int32]")),
            },
        },
        Kind::Num => match value.as_decimal() {
            Some(number) => Json::Dec(number),
            None => return Err(wrong("System.Nullable`1[System.Double]")),
        },
        Kind::Bool => match value {
            Json::Bool(known) => Json::Bool(*known),
            Json::Str(word) if word.eq_ignore_ascii_case("true") => Json::Bool(true),
            Json::Str(word) if word.eq_ignore_ascii_case("false") => Json::Bool(false),
            _ => return Err(wrong("System.Nullable`1[System.Boolean]")),
        },
        Kind::Text => match value {
            Json::Arr(_) | Json::Obj(_) => return Err(wrong("System.String")),
            Json::Str(known) => text_value(world, definition, field, known, details),
            other => text_value(world, definition, field, &other.to_text(), details),
        },
        Kind::Date => match value {
            Json::Str(text) if is_date_time(text) => Json::Str(text.clone()),
            // A seed may name a day alone; a caller may not.
            Json::Str(text) if mode == Mode::Seed && crate::clock::day_of(text).is_some() => {
                Json::Str(format!("{}T00:00:00Z", text.get(..10).unwrap_or_default()))
            }
            Json::Str(text) if text.get(..10).is_some_and(|day| day.parse::<jiff::civil::Date>().is_ok()) => {
                let message = format!("Unsupported format applied to {}", field.name);
                details.push(Detail::new("InvalidField", message, definition.name, field.name));
                Json::Null
            }
            _ => return Err(wrong("System.Nullable`1[System.DateTime]")),
        },
        Kind::Enum(words) => {
            let found =
                value.as_str().and_then(|word| words.iter().find(|known| known.eq_ignore_ascii_case(word)));
            match found {
                Some(word) => Json::Str((*word).to_owned()),
                None => return Err(wrong(&format!("System.Nullable`1[{}]", field.name))),
            }
        }
        Kind::Ref(target) => match value {
            Json::Obj(_) => reference(world, definition, field, target, value, mode, details),
            _ => return Err(wrong(&format!("{}Reference", field.name))),
        },
        Kind::RefList(target) => {
            let Json::Arr(items) = value else { return Err(wrong(&format!("{}[]", field.name))) };
            let mut ids = Vec::with_capacity(items.len());
            for item in items {
                match reference(world, definition, field, target, item, mode, details) {
                    Json::Null => {}
                    id => ids.push(id),
                }
            }
            Json::Arr(ids)
        }
        Kind::AnyRef => match value {
            Json::Obj(members) => {
                let kept = members.iter().filter(|(name, _)| name != "_info").cloned().collect();
                Json::Obj(kept)
            }
            _ => return Err(wrong(&format!("{}Reference", field.name))),
        },
        Kind::Opaque | Kind::CustomFields => match value {
            Json::Arr(_) => value.clone(),
            _ => return Err(wrong(&format!("{}[]", field.name))),
        },
    })
}

fn text_value(
    world: &World,
    definition: &Resource,
    field: &Field,
    text: &str,
    details: &mut Vec<Detail>,
) -> Json {
    let text = if world.rules.trims_text { text.trim() } else { text };
    let blanked =
        world.rules.breaks_become_blanks.then(|| text.replace("\r\n", " ").replace(['\r', '\n'], " "));
    let text = blanked.as_deref().unwrap_or(text);
    // .NET counts UTF-16 units, so an emoji takes two of the places.
    if field.max > 0 && text.encode_utf16().count() > field.max {
        let message =
            format!("The field {} must be a string with a maximum length of {}.", field.name, field.max);
        details.push(Detail::new("MaxLengthField", message, definition.name, field.name));
    }
    Json::Str(text.to_owned())
}

/// Resolves a reference by id, identifier or name, in this order, to the id it means.
fn reference(
    world: &World,
    definition: &Resource,
    field: &Field,
    target: &str,
    value: &Json,
    mode: Mode,
    details: &mut Vec<Detail>,
) -> Json {
    let Some(resource) = schema::find(target) else { return Json::Null };
    let known = schema::get(resource);
    let found = member_any_case(value, "id").filter(|id| **id != Json::Null).map(|id| {
        let number = id.as_int();
        let there = number.filter(|number| mode == Mode::Seed || world.row(resource, *number).is_some());
        ("id".to_owned(), id, there)
    });
    let found = found.or_else(|| {
        known.reference.iter().find_map(|(member, source)| {
            let key = member_any_case(value, member).filter(|key| key.as_str().is_some())?;
            Some(((*member).to_owned(), key, by_word(world, resource, source, key.as_str()?)))
        })
    });
    match found {
        Some((_, _, Some(id))) => Json::Int(id),
        Some((member, key, None)) => {
            let shown = key.as_str().map_or_else(|| key.to_text(), str::to_owned);
            details.push(Detail::new(
                "NotFound",
                format!("{} {shown} not found", known.label),
                definition.name,
                format!("{}/{member}", field.name),
            ));
            Json::Null
        }
        None => {
            let keys: Vec<&str> = known.reference.iter().map(|(member, _)| *member).take(1).collect();
            let message = format!("id or {} is required.", keys.first().unwrap_or(&"name"));
            details.push(Detail::new("MissingRequiredField", message, field.name, "id"));
            Json::Null
        }
    }
}

fn by_word(world: &World, resource: ResourceId, source: &str, word: &str) -> Option<i64> {
    if schema::get(resource).key == Some(source) {
        return world.by_key(resource, word);
    }
    world.table(resource).rows.values().find(|row| shown_as(row, source, word)).map(|row| row.id)
}

fn shown_as(row: &crate::store::Row, source: &str, word: &str) -> bool {
    if source == "@fullName" {
        let words = [row.record.text("firstName"), row.record.text("lastName")];
        return words.into_iter().flatten().collect::<Vec<_>>().join(" ").eq_ignore_ascii_case(word);
    }
    row.record.text(source).is_some_and(|text| text.to_lowercase() == word.to_lowercase())
}
