//! Rows of Connect's workbooks as the objects that its API answers.

use super::World;
use super::parties;
use super::workbook::{Row, Sheet, letters, shown};
use crate::fields::{Fault, INCOMPLETE, REFUSED};
use crate::json::Room;
use crate::redact::source_of;
use crate::refusal;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use trueup_domain::feed::Ext;

/// The header of each column that is known, and where its value stands in an object of the API.
type Places = &'static [(&'static str, &'static [&'static str])];

const CONTACT: &str = "contact_info";

const ACCOUNT: Places = &[
    ("ID", &["id"]),
    ("External ID", &["external_id"]),
    ("External UID", &["external_uid"]),
    ("Type", &["type"]),
    ("Tax ID", &["tax_id"]),
    ("Company Name", &["name"]),
    ("Address Line 1", &[CONTACT, "address_line1"]),
    ("Address Line 2", &[CONTACT, "address_line2"]),
    ("City", &[CONTACT, "city"]),
    ("State", &[CONTACT, "state"]),
    ("Zip", &[CONTACT, "postal_code"]),
    ("Country", &[CONTACT, "country"]),
    ("Technical Contact First Name", &[CONTACT, "contact", "first_name"]),
    ("Technical Contact Last Name", &[CONTACT, "contact", "last_name"]),
    ("Technical Contact Email", &[CONTACT, "contact", "email"]),
];

const ITEM: Places = &[
    ("ID", &["global_id"]),
    ("MPN", &["mpn"]),
    ("Name", &["name"]),
    ("Description", &["description"]),
    ("Type", &["type"]),
    ("Precision", &["precision"]),
    ("Unit", &["unit"]),
    ("Billing Period", &["period"]),
    ("Commitment", &["commitment"]),
    ("Status", &["status"]),
];

/// The rows of the sheet that says which product the items are of, by the text in their first column.
const PRODUCT: Places = &[
    ("Product ID", &["id"]),
    ("Product Name", &["name"]),
    ("Product Short Description", &["short_description"]),
    ("Account Name", &["owner", "name"]),
    ("Product Category", &["category", "name"]),
];

/// Takes the sheets of a workbook in.
pub(super) fn take_in(sheets: Vec<Sheet>, world: &mut World) {
    let names: Vec<String> = sheets.iter().map(|sheet| shown(&sheet.name)).collect();
    let mut known = false;
    for sheet in sheets {
        let name = sheet.name.trim().to_lowercase();
        let take: fn(&[Row], &mut World) = match name.as_str() {
            "customers" => |rows, world| table(rows, ACCOUNT, account, world),
            "items" => |rows, world| table(rows, ITEM, item, world),
            "general information" => product,
            "countries" => {
                world.line = 0;
                let reason =
                    "sheet Countries is reference data (names of countries): no record is made of it";
                world.warn("sheet", REFUSED, reason.to_owned());
                continue;
            }
            _ => {
                world.line = 0;
                let reason = format!(
                    "sheet `{}` is none that is known (Customers, General Information, Items): it is passed over",
                    shown(&sheet.name)
                );
                world.warn("sheet", REFUSED, reason);
                continue;
            }
        };
        known = true;
        match sheet.rows {
            Ok(rows) => take(&rows, world),
            Err(broken) => {
                let refused = refusal(&world.file, broken.row, INCOMPLETE, broken.reason);
                world.out.push_back(Err(refused));
            }
        }
    }
    if !known {
        let reason = format!(
            "the workbook has none of the sheets that are known (Customers, General Information, Items), only {}; save \
             the answer of the API as JSON, or the sheet as CSV and import it as a feed",
            names.join(", ")
        );
        world.refuse(0, reason);
    }
}

/// What becomes of the object of a row, whose whole text is kept.
type Convert = fn(&Json, Ext, &mut World) -> Result<(), Fault>;

fn table(rows: &[Row], places: Places, convert: Convert, world: &mut World) {
    let Some((head, rows)) = rows.split_first() else {
        return world.refuse(0, "the sheet is empty; export it again".to_owned());
    };
    let headers = headers(head);
    let column = |name: &str| {
        headers.iter().find(|(_, header)| header.eq_ignore_ascii_case(name)).map(|(column, _)| *column)
    };
    if column("ID").is_none() {
        let reason =
            "the first row of the sheet must name the columns, and there is no `ID`; export it again";
        return world.refuse(head.number, reason.to_owned());
    }
    for row in rows {
        world.line = row.number;
        let mut object = Map::new();
        for (name, path) in places {
            let value = column(name).and_then(|at| row.cells.get(&at)).filter(|text| is_said(text));
            if let Some(value) = value {
                put(&mut object, path, value);
            }
        }
        complete(&mut object, &|name| column(name).and_then(|at| row.cells.get(&at)).cloned());
        let before = world.out.len();
        let kept = kept(headers.iter().filter_map(|(at, header)| Some((header, row.cells.get(at)?))));
        if let Err(fault) = convert(&Json::Object(object), kept, world) {
            world.out.truncate(before);
            let place = places.iter().find(|(_, path)| path.join(".") == fault.field);
            let field = place.map(|(name, _)| match column(name) {
                Some(at) => format!("{name} (column {})", letters(at)),
                None => (*name).to_owned(),
            });
            let mut refused = refusal(&world.file, row.number, fault.code, fault.reason);
            refused.field = field.or(Some(fault.field)).filter(|field| !field.is_empty());
            world.out.push_back(Err(refused));
        }
    }
}

/// The columns by their names; one that comes twice is told apart by its letters, and one without a name is its letters.
fn headers(head: &Row) -> BTreeMap<u32, String> {
    let mut headers: BTreeMap<u32, String> = BTreeMap::new();
    for (column, name) in &head.cells {
        let twice = headers.values().any(|there| there.eq_ignore_ascii_case(name));
        let name = if twice { format!("{name} ({})", letters(*column)) } else { name.clone() };
        headers.insert(*column, name);
    }
    headers
}

/// `-` is how these sheets write "no value".
fn is_said(text: &str) -> bool {
    !matches!(text.trim(), "" | "-")
}

fn put(object: &mut Map<String, Json>, path: &[&str], value: &str) {
    let Some((last, above)) = path.split_last() else { return };
    let mut at = object;
    for name in above {
        let inner = at.entry(*name).or_insert_with(|| json!({}));
        let Json::Object(inner) = inner else { return };
        at = inner;
    }
    at.insert((*last).to_owned(), Json::String(value.to_owned()));
}

/// What takes more than one cell: the account above, and the telephone with its extension after a hyphen.
fn complete(object: &mut Map<String, Json>, cell: &dyn Fn(&str) -> Option<String>) {
    if cell("Parent Search Criteria").is_some_and(|by| by.eq_ignore_ascii_case("id"))
        && let Some(parent) = cell("Parent Search Value").filter(|text| is_said(text))
    {
        put(object, &["parent", "id"], &parent);
    }
    if let Some(phone) = cell("Technical Contact Phone").filter(|text| is_said(text)) {
        let (number, extension) = phone.split_once('-').unwrap_or((&phone, ""));
        put(object, &[CONTACT, "contact", "phone_number", "phone_number"], number.trim());
        if is_said(extension) {
            put(object, &[CONTACT, "contact", "phone_number", "extension"], extension.trim());
        }
    }
}

/// The row as it stands, under the names of its columns.
fn kept<'a>(cells: impl Iterator<Item = (&'a String, &'a String)>) -> Ext {
    let row: Map<String, Json> =
        cells.map(|(name, text)| (name.clone(), Json::String(text.clone()))).collect();
    let text = Json::Object(row).to_string();
    let mut room = Room::default();
    room.parse(&text).map(source_of).unwrap_or_default()
}

fn account(object: &Json, kept: Ext, world: &mut World) -> Result<(), Fault> {
    let text = object.to_string();
    let mut room = Room::default();
    let value = room.parse(&text).map_err(|error| not_an_object(&error.what))?;
    parties::account(value, kept, world)
}

fn item(object: &Json, kept: Ext, world: &mut World) -> Result<(), Fault> {
    let text = object.to_string();
    let mut room = Room::default();
    let value = room.parse(&text).map_err(|error| not_an_object(&error.what))?;
    parties::item_of(value, kept, world)
}

fn product(rows: &[Row], world: &mut World) {
    let said = |row: &Row| Some((row.cells.get(&0)?.clone(), row.cells.get(&1)?.clone()));
    let values: Vec<(u64, (String, String))> =
        rows.iter().filter_map(|row| Some((row.number, said(row)?))).collect();
    let mut object = Map::new();
    for (name, path) in PRODUCT {
        let found = values.iter().find(|(_, (header, _))| header.eq_ignore_ascii_case(name));
        if let Some((number, (_, value))) = found.filter(|(_, (_, value))| is_said(value)) {
            put(&mut object, path, value);
            world.line = *number;
        }
    }
    if object.get("id").is_none() {
        let reason = "the sheet General Information names no `Product ID`, so the product is not known; export it again";
        return world.refuse(0, reason.to_owned());
    }
    let kept = kept(values.iter().map(|(_, (name, text))| (name, text)));
    let text = Json::Object(object).to_string();
    let mut room = Room::default();
    let taken = room
        .parse(&text)
        .map_err(|error| not_an_object(&error.what))
        .and_then(|value| parties::product_of(value, kept, world));
    if let Err(fault) = taken {
        let mut refused = refusal(&world.file, world.line, fault.code, fault.reason);
        refused.field = Some("Product ID (column B)".to_owned());
        world.out.push_back(Err(refused));
    }
}

fn not_an_object(what: &dyn std::fmt::Display) -> Fault {
    Fault { field: String::new(), at: 0, code: REFUSED, reason: format!("the row cannot be read: {what}") }
}
