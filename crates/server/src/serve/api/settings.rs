//! Settings, each with the level its value comes from.

use crate::serve::extract::Body;
use crate::serve::problem::Problem;
use crate::serve::scheduler;
use crate::serve::state::{Scope, Service};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use trueup_domain::ids::OrganizationId;
use trueup_domain::settings::row_of;
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

fn document(setting: EffectiveSetting, scope: &Scope, seen: &[OrganizationId]) -> SettingDoc {
    let own = setting.level == Level::Organization(scope.org.clone());
    // What stands above the caller's own organization is told apart, not named.
    let from = match &setting.level {
        Level::Organization(org) if !seen.contains(org) => "organization:above".to_owned(),
        level => level.describe(),
    };
    SettingDoc {
        key: setting.key,
        value: setting.value,
        from,
        own,
        default: setting.default,
        allowed: setting.allowed,
        meaning: setting.meaning,
    }
}

async fn all(service: &Service, scope: &Scope) -> Result<Vec<SettingDoc>, Problem> {
    let mut seen = service.store.find_lineage(&scope.org).await?.unwrap_or_default();
    if let Some(home) = &scope.caller.home {
        let levels = seen.iter().position(|level| level == home).map_or(0, |at| at + 1);
        seen.truncate(levels);
    }
    let found = settings::effective(service.store.as_ref(), &scope.org, &service.options.overlays).await?;
    Ok(found.into_iter().map(|setting| document(setting, scope, &seen)).collect())
}

async fn one(service: &Service, scope: &Scope, key: &str) -> Result<Json<SettingDoc>, Problem> {
    let found = all(service, scope).await?.into_iter().find(|setting| setting.key == key);
    found.map(Json).ok_or_else(|| Problem::none("setting", key))
}

/// The settings of an organization
#[utoipa::path(get, path = "/api/v1/organizations/{org}/settings", tag = "settings",
    params(("org" = String, Path, description = "The organization")),
    responses((status = 200, description = "Every setting with its level", body = SettingsDoc)))]
pub async fn list(State(service): State<Service>, scope: Scope) -> Result<Json<SettingsDoc>, Problem> {
    Ok(Json(SettingsDoc { items: all(&service, &scope).await? }))
}

/// Set a setting
#[utoipa::path(put, path = "/api/v1/organizations/{org}/settings/{key}", tag = "settings",
    params(("org" = String, Path, description = "The organization"), ("key" = String, Path, description = "The key")),
    request_body = SettingValueBody, responses((status = 200, description = "As it holds now", body = SettingDoc)))]
pub async fn set(
    State(service): State<Service>,
    scope: Scope,
    Body(body): Body<SettingValueBody>,
) -> Result<Json<SettingDoc>, Problem> {
    change(&service, &scope, Some(body.value.trim())).await
}

/// Let a setting be inherited again
#[utoipa::path(delete, path = "/api/v1/organizations/{org}/settings/{key}", tag = "settings",
    params(("org" = String, Path, description = "The organization"), ("key" = String, Path, description = "The key")),
    responses((status = 200, description = "As it holds now", body = SettingDoc)))]
pub async fn reset(State(service): State<Service>, scope: Scope) -> Result<Json<SettingDoc>, Problem> {
    change(&service, &scope, None).await
}

async fn change(service: &Service, scope: &Scope, value: Option<&str>) -> Result<Json<SettingDoc>, Problem> {
    let key = scope.part("key");
    row_of(key).map_err(|_| Problem::none("setting", key))?;
    let app = scope.app(service);
    settings::set(service.store.as_ref(), &service.clock, &scope.org, app.actor(), key, value).await?;
    if key.starts_with("schedule.") {
        scheduler::refresh(service).await?;
    }
    one(service, scope, key).await
}
