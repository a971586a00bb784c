//! From a path to what is meant by it.

use crate::list::Scope;
use crate::schema::{self, Kind, paths};

/// What a path means.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Route {
    /// `system/info`
    SystemInfo,
    /// `system/reports`
    Reports,
    /// `finance/agreementrecap`, one or all.
    Recap(Option<i64>),
    /// `finance/agreements/{id}/invoice`
    MakeInvoice(i64),
    /// `system/securityRoles/{id}/settings`, all, one or their count.
    RoleSettings(i64, Option<i64>, bool),
    /// `service/tickets/search`
    TicketSearch,
    /// `service/tickets/{id}/attachChildren` or `merge`
    TicketJoin(i64, bool),
    /// A list.
    List(Scope, Twin),
    /// The number of records in a list.
    Count(Scope, Twin),
    /// One record.
    Item(Scope, i64, Twin),
}

/// Which of the two forms of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Twin {
    /// The resource.
    Full,
    /// Its `/info` form: few fields, readable without the table's right.
    Info,
}

/// Finds the meaning of the segments below `apis/3.0`.
pub(crate) fn route(segments: &[&str]) -> Option<Route> {
    let lower: Vec<String> = segments.iter().map(|segment| segment.to_ascii_lowercase()).collect();
    let words: Vec<&str> = lower.iter().map(String::as_str).collect();
    let id = |text: &str| text.parse::<i64>().ok().filter(|id| *id >= 0);
    match words.as_slice() {
        ["system", "info"] => return Some(Route::SystemInfo),
        ["system", "reports"] => return Some(Route::Reports),
        ["finance", "agreementrecap"] => return Some(Route::Recap(None)),
        ["finance", "agreementrecap", one] => return id(one).map(|id| Route::Recap(Some(id))),
        ["finance", "agreements", one, "invoice"] => return id(one).map(Route::MakeInvoice),
        ["service", "tickets", one, "attachchildren"] => {
            return id(one).map(|id| Route::TicketJoin(id, false));
        }
        ["service", "tickets", one, "merge"] => return id(one).map(|id| Route::TicketJoin(id, true)),
        ["service", "tickets", "search"] => return Some(Route::TicketSearch),
        ["system", "securityroles", one, "settings", rest @ ..] => {
            let role = id(one)?;
            return match rest {
                [] => Some(Route::RoleSettings(role, None, false)),
                ["count"] => Some(Route::RoleSettings(role, None, true)),
                [setting] => id(setting).map(|setting| Route::RoleSettings(role, Some(setting), false)),
                _ => None,
            };
        }
        _ => {}
    }
    // The readable copy of the boards has its own place: `service/info/boards`, with or without an id.
    let turned;
    let mut rest = match words.as_slice() {
        ["service", "info", "boards", below @ ..] => {
            let mut to = vec!["service", "boards"];
            let (id, word): (Vec<&str>, Vec<&str>) = below.iter().partition(|part| **part != "count");
            to.extend(id);
            to.push("info");
            to.extend(word);
            turned = to;
            turned.as_slice()
        }
        words => words,
    };
    let mut count = false;
    let mut twin = Twin::Full;
    if let [before @ .., "count"] = rest {
        (rest, count) = (before, true);
    }
    if let [before @ .., "info"] = rest {
        (rest, twin) = (before, Twin::Info);
    }
    let mut item = None;
    if let [before @ .., last] = rest
        && let Some(found) = id(last)
        && !count
    {
        (rest, item) = (before, Some(found));
    }
    let scope = scope(rest)?;
    if twin == Twin::Info && schema::get(scope.resource).info.is_empty() {
        return None;
    }
    Some(match (item, count) {
        (Some(item), _) => Route::Item(scope, item, twin),
        (None, true) => Route::Count(scope, twin),
        (None, false) => Route::List(scope, twin),
    })
}

fn scope(words: &[&str]) -> Option<Scope> {
    let mut parents = words.iter().filter_map(|word| word.parse::<i64>().ok());
    let parent = parents.next();
    if parents.next().is_some() {
        return None;
    }
    if let ["procurement", "categories", _, "subcategories"] = words {
        let resource = schema::find(paths::SUBCATEGORIES)?;
        let (index, _) = schema::get(resource).field("category")?;
        return Some(Scope { resource, parent: 0, only: Some((index, parent?)) });
    }
    let pattern: Vec<&str> = words
        .iter()
        .map(|word| if word.bytes().all(|byte| byte.is_ascii_digit()) { "{id}" } else { word })
        .collect();
    let resource = schema::find(&pattern.join("/"))?;
    Some(Scope { resource, parent: parent.unwrap_or(0), only: None })
}

/// The resource whose record must be there before its children are looked at, and the record.
pub(crate) fn owner(scope: Scope) -> Option<(schema::ResourceId, i64)> {
    if let Some((index, id)) = scope.only {
        let Kind::Ref(target) = schema::get(scope.resource).fields.get(index)?.kind else { return None };
        return Some((schema::find(target)?, id));
    }
    let parent = schema::get(scope.resource).parent_path()?;
    Some((schema::find(parent)?, scope.parent))
}
