//! PATCH bodies: the vendor's dialect of JSON Patch, applied to the record as a reader sees it.
//!
//! Only `add`, `replace` and `remove`; paths with or without the leading slash; names in their exact case. A patch of
//! one member of a reference (`status/id`, `company/identifier`) replaces the reference by that member alone.

use crate::error::{ApiError, Detail};
use crate::json::Json;
use crate::schema::{self, Kind, ResourceId};

/// Applies a body to a shown record.
pub(crate) fn apply(
    resource: ResourceId,
    mut record: Json,
    body: &Json,
    false_identifier_patch: bool,
) -> Result<Json, ApiError> {
    let Json::Arr(operations) = body else {
        return Err(invalid("The request body must be an array of operations.", ""));
    };
    let definition = schema::get(resource);
    for operation in operations {
        let word = |name: &str| operation.get(name).and_then(Json::as_str);
        let (Some(op), Some(path)) = (word("op"), word("path")) else {
            return Err(invalid("Each operation needs op and path.", "op"));
        };
        let value = match op {
            "add" | "replace" => operation.get("value").cloned().unwrap_or(Json::Null),
            "remove" => Json::Null,
            other => return Err(invalid(&format!("The operation {other} is not supported."), path)),
        };
        let segments: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
        let name = segments.first().copied().unwrap_or_default();
        let Some((_, field)) = definition.field(name) else {
            return Err(invalid(&format!("The path {path} was not found."), path));
        };
        match (field.kind, segments.as_slice()) {
            (Kind::Ref(_), [_, member]) => {
                if !(false_identifier_patch && name == "company" && *member == "identifier") {
                    record.set(name, Json::Obj(vec![((*member).to_owned(), value)]));
                }
            }
            _ => write(&mut record, &segments, op, value, path)?,
        }
    }
    Ok(record)
}

fn invalid(message: &str, path: &str) -> ApiError {
    ApiError::invalid("operations", vec![Detail::new("InvalidField", message, "operations", path)])
}

fn write(at: &mut Json, segments: &[&str], op: &str, value: Json, path: &str) -> Result<(), ApiError> {
    let Some((name, rest)) = segments.split_first() else { return Ok(()) };
    let missing = || invalid(&format!("The path {path} was not found."), path);
    match at {
        Json::Obj(members) => {
            let slot = members.iter().position(|(known, _)| known == name);
            match (slot, rest.is_empty()) {
                (Some(slot), true) if op == "remove" => {
                    members.remove(slot);
                }
                (Some(slot), true) => members[slot].1 = value,
                (Some(slot), false) => write(&mut members[slot].1, rest, op, value, path)?,
                (None, true) if op == "remove" => {}
                (None, true) => members.push(((*name).to_owned(), value)),
                (None, false) => return Err(missing()),
            }
        }
        Json::Arr(items) => {
            let index = if *name == "-" { Some(items.len()) } else { name.parse::<usize>().ok() };
            let index = index.filter(|index| *index <= items.len()).ok_or_else(missing)?;
            match (index < items.len(), rest.is_empty(), op) {
                (true, true, "remove") => {
                    items.remove(index);
                }
                (true, true, "replace") => items[index] = value,
                (_, true, "add") => items.insert(index, value),
                (true, false, _) => write(&mut items[index], rest, op, value, path)?,
                _ => return Err(missing()),
            }
        }
        _ => return Err(missing()),
    }
    Ok(())
}
