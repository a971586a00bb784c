//! Which writes raise which callbacks, and what a callback says.
//!
//! A write through the API is the API member's own unless the call names a person, so an entry with
//! `isSelfSuppressedFlag` hears of people alone. Seeds are no writes and raise nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::json::{Json, object};
use crate::schema::{self, ResourceId, paths};
use crate::store::{Row, World};
use crate::view::render_all;

/// What happened to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// It was made.
    Added,
    /// It was written anew.
    Updated,
    /// It went; a company's goes to the recycle bin.
    Deleted,
}

impl Action {
    fn word(self) -> &'static str {
        match self {
            Action::Added => "added",
            Action::Updated => "updated",
            Action::Deleted => "deleted",
        }
    }
}

/// One callback on its way to one receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// The callback entry.
    pub entry: i64,
    /// Where to.
    pub url: String,
    /// The body, exactly as it is signed and sent.
    pub body: String,
    /// What it is signed with.
    pub signing_key: String,
}

/// Raises the callbacks of a change. A deleted record must still be there.
pub(crate) fn raise(world: &mut World, resource: ResourceId, id: i64, action: Action) {
    let Some(kind) = kind_of(schema::get(resource).path) else { return };
    let Some(row) = world.row(resource, id) else { return };
    let watched = watched(row);
    let entity = match action {
        Action::Deleted => Json::Null,
        Action::Added | Action::Updated => Json::Str(render_all(world, row).to_text()),
    };
    let listening = |entry: &&Row| {
        let record = &entry.record;
        let word = |name: &str| record.text(name).unwrap_or_default().to_lowercase();
        let level = word("level");
        let object = record.get("objectId").and_then(Json::as_int);
        let own = world.person.is_none();
        let off = record.flag("inactiveFlag") || own && record.flag("isSelfSuppressedFlag");
        !off && word("type") == kind
            && watched.iter().any(|(known, id)| *known == level && Some(*id) == object)
    };
    let entries = world.table_at(paths::CALLBACKS).rows.values().filter(listening);
    let entries: Vec<(i64, String)> =
        entries.map(|row| (row.id, row.record.text("url").unwrap_or_default().to_owned())).collect();
    for (entry, url) in entries {
        world.messages += 1;
        let message = Message {
            entry,
            url: addressed(&url, id, action),
            body: body(world, entry, kind, id, action, &entity).to_text(),
            signing_key: derived_key(entry),
        };
        world.outbox.push(message);
    }
}

fn kind_of(path: &str) -> Option<&'static str> {
    Some(match path {
        paths::AGREEMENTS => "agreement",
        paths::COMPANIES => "company",
        paths::CONTACTS => "contact",
        paths::INVOICES => "invoice",
        paths::CATALOG => "productcatalog",
        paths::TICKETS => "ticket",
        paths::MEMBERS => "member",
        _ => return None,
    })
}

/// The levels a record can be watched at, and the object each of them means for it.
fn watched(row: &Row) -> Vec<(&'static str, i64)> {
    let record = &row.record;
    let own: (&'static str, &[(&'static str, &str)]) = match record.definition().path {
        paths::AGREEMENTS => ("agreement", &[("type", "type"), ("company", "company")]),
        paths::COMPANIES => ("company", &[("status", "status"), ("territory", "territory")]),
        paths::CONTACTS => ("contact", &[("company", "company")]),
        paths::INVOICES => ("invoice", &[("status", "status"), ("company", "company")]),
        paths::TICKETS => ("ticket", &[("board", "board"), ("status", "status")]),
        paths::MEMBERS => ("member", &[("location", "defaultLocation"), ("securityrole", "securityRole")]),
        _ => ("", &[]),
    };
    let mut levels = vec![("owner", 1), (own.0, row.id)];
    levels.extend(own.1.iter().filter_map(|(level, field)| Some((*level, record.link(field)?))));
    let types = record.get("types").and_then(Json::as_array).unwrap_or_default();
    levels.extend(types.iter().filter_map(Json::as_int).map(|id| ("type", id)));
    levels
}

/// The registered address with the record's id and the action behind it.
fn addressed(url: &str, id: i64, action: Action) -> String {
    let action = action.word();
    if url.ends_with('=') {
        return format!("{url}{id}&action={action}");
    }
    let joint = if url.contains('?') { '&' } else { '?' };
    format!("{url}{joint}id={id}&action={action}")
}

fn body(world: &World, entry: i64, kind: &str, id: i64, action: Action, entity: &Json) -> Json {
    let host = world.base_url.split_once("://").map_or("", |(_, host)| host);
    // The doubled slash is the vendor's.
    let key_url = format!(
        "{}/{}/system/callbackkey/index.rails?companyName={}&id={}",
        world.base_url,
        world.rules.codebase,
        world.company,
        key_id(entry)
    );
    object([
        ("MessageId", Json::Str(format!("00000000-0000-4000-9000-{:012x}", world.messages))),
        ("FromUrl", host.into()),
        ("CompanyId", world.company.as_str().into()),
        ("MemberId", world.actor().into()),
        ("Action", action.word().into()),
        ("Type", kind.into()),
        ("ID", Json::Int(id)),
        ("ProductInstanceId", Json::Null),
        ("PartnerId", Json::Null),
        ("Entity", entity.clone()),
        ("Metadata", object([("key_url", Json::Str(key_url))])),
        ("CallbackObjectRecId", Json::Int(entry)),
    ])
}

const KEY_IDS: &str = "7d1e52c4-0000-4000-8000-";

fn key_id(entry: i64) -> String {
    format!("{KEY_IDS}{entry:012x}")
}

/// The key with this id, while its callback entry is there.
pub(crate) fn signing_key(world: &World, key_id: &str) -> Option<String> {
    let entry = i64::from_str_radix(key_id.strip_prefix(KEY_IDS)?, 16).ok()?;
    world.row_at(paths::CALLBACKS, entry).map(|row| derived_key(row.id))
}

/// One key an entry, the same in every sandbox, so that a recorded callback can be checked again.
fn derived_key(entry: i64) -> String {
    STANDARD.encode(Sha256::digest(format!("sandbox callback {entry}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_and_the_action_end_the_address() {
        for (url, wanted) in [
            ("http://127.0.0.1/hook?recordId=", "http://127.0.0.1/hook?recordId=42&action=updated"),
            ("http://127.0.0.1/hook?tenant=1", "http://127.0.0.1/hook?tenant=1&id=42&action=updated"),
            ("http://127.0.0.1/hook", "http://127.0.0.1/hook?id=42&action=updated"),
        ] {
            assert_eq!(addressed(url, 42, Action::Updated), wanted);
        }
    }
}
