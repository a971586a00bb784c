//! Settings, each with the level its value comes from.

use crate::moving::SeveralDoc;
use crate::serve::extract::Body;
use crate::serve::problem::Problem;
use crate::serve::state::{Scope, Service};
use crate::serve::{scheduler, secrets};
use axum::Json;
use axum::extract::State;
use axum::http::header::{ETAG, IF_MATCH};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use trueup_domain::ids::OrganizationId;
use trueup_domain::settings::{SETTINGS, SettingRow, ValueKind, row_of};
use trueup_engine::organizations;
use trueup_engine::ports::Store;
use trueup_engine::records::{Seen, SettingValues};
use trueup_engine::settings::{self, EffectiveSetting, Level};
use utoipa::ToSchema;

/// A setting as it holds.
#[derive(Serialize, ToSchema)]
pub struct SettingDoc {
    /// The key.
    key: &'static str,
    /// The value.
    value: String,
    /// `default`, `file`, `organization:SLUG`, `environment` or `flag`.
    from: String,
    /// Whether this organization itself sets it, so that it can be reset.
    own: bool,
    /// The default.
    default: &'static str,
    /// What is allowed, in words.
    allowed: String,
    /// What it does.
    meaning: &'static str,
    /// What its values are: `choice`, `number`, `count`, `optional_number`, `seconds`, `runs`, `days`, `hours`, `optional_date`,
    /// `marker`, `cadence`, `time_zone`, `freeze`, `daily` or `addresses`.
    kind: &'static str,
    /// The values to choose from, of a `choice`.
    choices: &'static [&'static str],
    /// What would hold if this organization's own value were taken away; none where it has no own value.
    inherited: Option<InheritedDoc>,
    /// Changes with the value and with where it comes from. Sent back as `If-Match: "VERSION"`, it lets a change through
    /// only where nobody else has changed the setting since.
    #[schema(example = "5f2b6d0c9a4e1837")]
    version: String,
}

/// A value with where it comes from.
#[derive(Serialize, ToSchema)]
pub struct InheritedDoc {
    /// The value.
    value: String,
    /// As `from` of the setting.
    from: String,
}

fn kind_of(kind: ValueKind) -> (&'static str, &'static [&'static str]) {
    let word = match kind {
        ValueKind::Choice(choices) => return ("choice", choices),
        ValueKind::Number => "number",
        ValueKind::Count => "count",
        ValueKind::OptionalNumber => "optional_number",
        ValueKind::Seconds => "seconds",
        ValueKind::Runs => "runs",
        ValueKind::Days => "days",
        ValueKind::Hours => "hours",
        ValueKind::OptionalDate => "optional_date",
        ValueKind::Marker => "marker",
        ValueKind::Cadence => "cadence",
        ValueKind::TimeZone => "time_zone",
        ValueKind::Freeze => "freeze",
        ValueKind::Daily => "daily",
        ValueKind::Addresses => "addresses",
        ValueKind::Exceptions => "exceptions",
    };
    (word, &[])
}

/// All settings.
#[derive(Serialize, ToSchema)]
pub struct SettingsDoc {
    /// In the order of the table.
    items: Vec<SettingDoc>,
}

/// A value.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SettingValueBody {
    /// The value.
    #[schema(max_length = 1000)]
    value: String,
}

/// The organization's own value, also where a stronger level hides it.
fn own_value<'a>(stored: &'a SettingValues, org: &OrganizationId, key: &str) -> Option<&'a str> {
    let found = stored.get(key).filter(|value| value.from.as_ref() == Some(org));
    found.map(|value| value.value.as_str())
}

/// Letters of a version: enough that two states of a setting never share one.
const VERSION_LETTERS: usize = 16;

fn version_of(value: &str, from: &str, own: Option<&str>) -> String {
    let mut version = secrets::hash(&format!("{value}\n{from}\n{own:?}"));
    version.truncate(VERSION_LETTERS);
    version
}

fn document(
    setting: EffectiveSetting,
    scope: &Scope,
    seen: &[OrganizationId],
    stored: &SettingValues,
) -> SettingDoc {
    let version =
        version_of(&setting.value, &setting.level.describe(), own_value(stored, &scope.org, setting.key));
    let own = setting.level == Level::Organization(scope.org.clone());
    let from = told(&setting.level, seen);
    let (kind, choices) = row_of(setting.key).map_or(("", [].as_slice()), |row| kind_of(row.kind));
    SettingDoc {
        key: setting.key,
        value: setting.value,
        from,
        own,
        default: setting.default,
        allowed: setting.allowed,
        meaning: setting.meaning,
        kind,
        choices,
        inherited: None,
        version,
    }
}

/// What stands above the caller's own organization is told apart, not named.
fn told(level: &Level, seen: &[OrganizationId]) -> String {
    match level {
        Level::Organization(org) if !seen.contains(org) => "organization:above".to_owned(),
        level => level.describe(),
    }
}

/// What holds at the level above, or without any organization where there is none.
async fn above(
    service: &Service,
    parent: Option<&OrganizationId>,
    seen: &[OrganizationId],
) -> Result<BTreeMap<&'static str, InheritedDoc>, Problem> {
    let overlays = &service.options.overlays;
    let Some(parent) = parent else {
        let of = |row: &SettingRow| match overlays.file.get(row.key) {
            Some(value) => InheritedDoc { value: value.clone(), from: Level::File.describe() },
            None => InheritedDoc { value: row.default.to_owned(), from: Level::Default.describe() },
        };
        return Ok(SETTINGS.iter().map(|row| (row.key, of(row))).collect());
    };
    let found = settings::effective(service.store.as_ref(), parent, overlays).await?;
    let of = |setting: EffectiveSetting| {
        (setting.key, InheritedDoc { from: told(&setting.level, seen), value: setting.value })
    };
    Ok(found.into_iter().map(of).collect())
}

/// Every setting, over what the organizations set.
async fn all(service: &Service, scope: &Scope, stored: &SettingValues) -> Result<Vec<SettingDoc>, Problem> {
    let mut seen = service.store.find_lineage(&scope.org).await?.unwrap_or_default();
    let parent = seen.get(1).cloned();
    if let Some(home) = &scope.caller.home {
        let levels = seen.iter().position(|level| level == home).map_or(0, |at| at + 1);
        seen.truncate(levels);
    }
    let found = settings::effective_of(stored, &service.options.overlays)?;
    let mut items: Vec<SettingDoc> =
        found.into_iter().map(|setting| document(setting, scope, &seen, stored)).collect();
    if items.iter().any(|item| item.own) {
        let mut above = above(service, parent.as_ref(), &seen).await?;
        for item in items.iter_mut().filter(|item| item.own) {
            item.inherited = above.remove(item.key);
        }
    }
    Ok(items)
}

/// One of them, with what the organizations set.
async fn one(service: &Service, scope: &Scope, key: &str) -> Result<(SettingDoc, SettingValues), Problem> {
    let stored = service.store.load_settings(&scope.org).await?;
    let found = all(service, scope, &stored).await?.into_iter().find(|setting| setting.key == key);
    Ok((found.ok_or_else(|| Problem::none("setting", key))?, stored))
}

/// The settings of an organization
#[utoipa::path(get, path = "/api/v1/organizations/{org}/settings", tag = "settings",
    params(("org" = String, Path, description = "The organization")),
    responses((status = 200, description = "Every setting with its level", body = SettingsDoc)))]
pub async fn list(State(service): State<Service>, scope: Scope) -> Result<Json<SettingsDoc>, Problem> {
    let stored = service.store.load_settings(&scope.org).await?;
    Ok(Json(SettingsDoc { items: all(&service, &scope, &stored).await? }))
}

/// An organization below that sets a setting itself.
#[derive(Serialize, ToSchema)]
pub struct OwnValueDoc {
    /// Which.
    organization: String,
    /// Its value.
    value: String,
}

/// Whom the value of a setting reaches below an organization.
#[derive(Serialize, ToSchema)]
pub struct ReachDoc {
    /// Those that inherit it from here, and change with it.
    inherit: SeveralDoc,
    /// Those that set it themselves, as far as nobody between does: they stay as they are.
    own: Vec<OwnValueDoc>,
    /// How many of those that set it themselves there are; `own` has the first of them.
    own_count: usize,
    /// How many inherit it from one of those, or set it below one.
    apart: usize,
}

/// So many that set it themselves are named.
const NAMED: usize = 50;

/// Whom a setting reaches
///
/// Of the organizations below: who inherits the value from here and changes with it, and who sets its own.
#[utoipa::path(get, path = "/api/v1/organizations/{org}/settings/{key}/reach", tag = "settings",
    params(("org" = String, Path, description = "The organization"), ("key" = String, Path, description = "The key")),
    responses((status = 200, description = "Who inherits it and who does not", body = ReachDoc)))]
pub async fn reach(State(service): State<Service>, scope: Scope) -> Result<Json<ReachDoc>, Problem> {
    let key = scope.part("key");
    row_of(key).map_err(|_| Problem::none("setting", key))?;
    // What is below is within reach, and no level above it.
    let tree = trueup_store::everywhere(service.store.load_tree()).await?;
    let found = organizations::reach(&tree, &scope.org, key);
    let own = found.own.iter().take(NAMED).map(|(organization, value)| OwnValueDoc {
        organization: organization.to_string(),
        value: value.clone(),
    });
    Ok(Json(ReachDoc {
        inherit: SeveralDoc::of(&found.inherit),
        own: own.collect(),
        own_count: found.own.len(),
        apart: found.apart,
    }))
}

/// A setting as it was saved; its version is the header `ETag` as well.
type Saved = ([(HeaderName, String); 1], Json<SettingDoc>);

/// Set a setting
///
/// With `If-Match`, only where nobody else has changed it since that version of it was read.
#[utoipa::path(put, path = "/api/v1/organizations/{org}/settings/{key}", tag = "settings",
    params(("org" = String, Path, description = "The organization"), ("key" = String, Path, description = "The key"),
        ("If-Match" = Option<String>, Header, description = "The `version` of the setting as it was read, between quotation marks")),
    request_body = SettingValueBody, responses(
        (status = 200, description = "As it holds now", body = SettingDoc,
            headers(("ETag" = String, description = "Its version by now"))),
        (status = 412, description = "Somebody changed it meanwhile", body = crate::serve::problem::ProblemDocument, content_type = "application/problem+json")))]
pub async fn set(
    State(service): State<Service>,
    scope: Scope,
    headers: HeaderMap,
    Body(body): Body<SettingValueBody>,
) -> Result<Saved, Problem> {
    change(&service, &scope, &headers, Some(body.value.trim())).await
}

/// Let a setting be inherited again
///
/// With `If-Match`, only where nobody else has changed it since that version of it was read.
#[utoipa::path(delete, path = "/api/v1/organizations/{org}/settings/{key}", tag = "settings",
    params(("org" = String, Path, description = "The organization"), ("key" = String, Path, description = "The key"),
        ("If-Match" = Option<String>, Header, description = "The `version` of the setting as it was read, between quotation marks")),
    responses(
        (status = 200, description = "As it holds now", body = SettingDoc,
            headers(("ETag" = String, description = "Its version by now"))),
        (status = 412, description = "Somebody changed it meanwhile", body = crate::serve::problem::ProblemDocument, content_type = "application/problem+json")))]
pub async fn reset(
    State(service): State<Service>,
    scope: Scope,
    headers: HeaderMap,
) -> Result<Saved, Problem> {
    change(&service, &scope, &headers, None).await
}

/// Whether one of the versions that a caller names is this one. `*` is any.
fn is_meant(named: &str, version: &str) -> bool {
    let mut named = named.split(',').map(str::trim);
    named
        .any(|one| one == "*" || one.strip_prefix('"').and_then(|one| one.strip_suffix('"')) == Some(version))
}

fn changed_meanwhile(now: &SettingDoc) -> Problem {
    Problem::new(
        StatusCode::PRECONDITION_FAILED,
        "changed-meanwhile",
        "Somebody changed it meanwhile",
        format!(
            "the setting `{}` is no longer as it was when it was read: by now it is `{}`, from `{}`; nothing was saved",
            now.key, now.value, now.from
        ),
        "Read the setting again, look at its value, and send its `version` as `If-Match` where yours is to replace it.",
    )
}

async fn change(
    service: &Service,
    scope: &Scope,
    headers: &HeaderMap,
    value: Option<&str>,
) -> Result<Saved, Problem> {
    let key = scope.part("key");
    row_of(key).map_err(|_| Problem::none("setting", key))?;
    let (before, stored) = one(service, scope, key).await?;
    let seen = match headers.get(IF_MATCH) {
        None => Seen::Any,
        Some(named) if is_meant(named.to_str().unwrap_or_default(), &before.version) => {
            Seen::Value(own_value(&stored, &scope.org, key))
        }
        Some(_) => return Err(changed_meanwhile(&before)), // another version
    };
    let app = scope.app(service);
    let store = service.store.as_ref();
    let is_saved = settings::set(store, &service.clock, &scope.org, app.actor(), key, seen, value).await?;
    let (now, _) = one(service, scope, key).await?;
    if !is_saved {
        return Err(changed_meanwhile(&now));
    }
    if key.starts_with("schedule.") {
        scheduler::refresh(service).await?;
    }
    Ok(([(ETAG, format!("\"{}\"", now.version))], Json(now)))
}
