//! Rules of callback entries. What raises a callback is in [`crate::events`].

use crate::error::Detail;
use crate::json::Json;
use crate::schema::paths;
use crate::store::{Record, World};

/// Levels each type can be watched at (vendor's table "Callbacks: Levels and Types").
const LEVELS: &[(&str, &[&str])] = &[
    ("agreement", &["owner", "type", "company", "agreement"]),
    ("company", &["owner", "status", "type", "territory", "company", "integratortag"]),
    ("contact", &["owner", "type", "territory", "company", "contact"]),
    ("invoice", &["owner", "status", "company", "invoice"]),
    ("productcatalog", &["owner"]),
    ("opportunity", &["owner", "statusid", "company", "opportunity"]),
    ("ticket", &["owner", "board", "project", "phase", "status", "ticket", "integratortag"]),
    ("member", &["owner", "location", "securityrole", "member"]),
];

/// Checks a draft; the owner level always watches object 1.
pub(crate) fn check(world: &World, id: Option<i64>, draft: &mut Record, details: &mut Vec<Detail>) {
    if draft.get("objectId") == Some(&Json::Int(0)) {
        draft.set("objectId", Json::Int(1));
    }
    draft.default("memberId", world.default_of(paths::MEMBERS).map_or(Json::Null, Json::Int));
    draft.default("payloadVersion", "3.0.0".into());
    for field in ["inactiveFlag", "isSoapCallbackFlag", "isSelfSuppressedFlag"] {
        draft.default(field, Json::Bool(false));
    }
    let url = draft.text("url").unwrap_or_default();
    if !url.is_empty() && !is_web_address(url) {
        details.push(Detail::new("InvalidField", "Invalid URL", "callbackEntry", "url"));
    }
    let word = |name: &str| draft.text(name).unwrap_or_default().to_lowercase();
    let (kind, level) = (word("type"), word("level"));
    let known = LEVELS.iter().find(|(known, _)| *known == kind);
    if !kind.is_empty() && known.is_none() {
        details.push(Detail::new("InvalidField", "Unrecognized type", "callbackEntry", "type"));
    } else if known.is_some_and(|(_, levels)| !levels.contains(&level.as_str())) {
        let message = "Unrecognized level for type, see documentation for supported levels for each type";
        details.push(Detail::new("InvalidObject", message, "callbackEntry", "level"));
    }
    let twin = world.table_at(paths::CALLBACKS).rows.values().any(|row| {
        Some(row.id) != id
            && ["url", "objectId"].iter().all(|field| row.record.get(field) == draft.get(field))
            && row.record.text("type").unwrap_or_default().eq_ignore_ascii_case(&kind)
            && row.record.text("level").unwrap_or_default().eq_ignore_ascii_case(&level)
    });
    if twin {
        let message = "A matching callback entry already exists";
        details.push(Detail::new("ObjectExists", message, "callbackEntry", "objectId"));
    }
}

fn is_web_address(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && !rest.contains(char::is_whitespace))
}
