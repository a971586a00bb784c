//! The settings that hold for an organization, each with the level it comes from.
//!
//! From weakest to strongest: the default, the configuration file, the organizations from the top of the tree down to
//! the one asked for, the environment, flags.

use crate::failure::Failure;
use crate::ports::{Clock, Store};
use crate::records::{NewAuditEntry, Seen, SettingValues};
use std::collections::BTreeMap;
use trueup_domain::ids::OrganizationId;
use trueup_domain::settings::{SETTINGS, Settings, row_of};

/// Values from outside the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overlays {
    /// From the configuration file.
    pub file: BTreeMap<String, String>,
    /// From environment variables.
    pub environment: BTreeMap<String, String>,
    /// From flags.
    pub flags: BTreeMap<String, String>,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Level {
    /// The table's default.
    Default,
    /// The configuration file.
    File,
    /// An organization of the tree.
    Organization(OrganizationId),
    /// An environment variable.
    Environment,
    /// A flag.
    Flag,
}

impl Level {
    /// The word in output: `default`, `file`, `organization:SLUG`, `environment`, `flag`.
    pub fn describe(&self) -> String {
        match self {
            Self::Default => "default".into(),
            Self::File => "file".into(),
            Self::Organization(id) => format!("organization:{id}"),
            Self::Environment => "environment".into(),
            Self::Flag => "flag".into(),
        }
    }
}

/// A setting as it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveSetting {
    /// The key.
    pub key: &'static str,
    /// The value.
    pub value: String,
    /// Where it comes from.
    pub level: Level,
    /// The default.
    pub default: &'static str,
    /// What is allowed, in words.
    pub allowed: String,
    /// One sentence.
    pub meaning: &'static str,
}

/// The environment variable of a key: `apply.settle_seconds` is `TRUEUP_APPLY_SETTLE_SECONDS`.
pub fn variable_of(key: &str) -> String {
    format!("TRUEUP_{}", key.replace('.', "_").to_uppercase())
}

/// Every setting of the organization with its level.
///
/// # Errors
/// The store's, or a value that the table does not allow.
pub async fn effective(
    store: &dyn Store,
    org: &OrganizationId,
    overlays: &Overlays,
) -> Result<Vec<EffectiveSetting>, Failure> {
    effective_of(&store.load_settings(org).await?, overlays)
}

/// Every setting as it holds over what the organizations set.
///
/// # Errors
/// A value that the table does not allow.
pub fn effective_of(stored: &SettingValues, overlays: &Overlays) -> Result<Vec<EffectiveSetting>, Failure> {
    let mut all = Vec::with_capacity(SETTINGS.len());
    for row in SETTINGS {
        let from_store = stored
            .get(row.key)
            .and_then(|v| v.from.clone().map(|from| (v.value.clone(), Level::Organization(from))));
        let (value, level) = overlays
            .flags
            .get(row.key)
            .map(|v| (v.clone(), Level::Flag))
            .or_else(|| overlays.environment.get(row.key).map(|v| (v.clone(), Level::Environment)))
            .or(from_store)
            .or_else(|| overlays.file.get(row.key).map(|v| (v.clone(), Level::File)))
            .unwrap_or_else(|| (row.default.to_owned(), Level::Default));
        row.check(&value)?;
        all.push(EffectiveSetting {
            key: row.key,
            value,
            level,
            default: row.default,
            allowed: row.allowed(),
            meaning: row.meaning,
        });
    }
    Ok(all)
}

/// The typed settings of the organization.
///
/// # Errors
/// As [`effective`].
pub async fn load(store: &dyn Store, org: &OrganizationId, overlays: &Overlays) -> Result<Settings, Failure> {
    let values = effective(store, org, overlays)
        .await?
        .into_iter()
        .filter(|s| s.level != Level::Default)
        .map(|s| (s.key.to_owned(), s.value))
        .collect();
    Ok(Settings::from_values(&values)?)
}

/// Sets one setting of the organization itself, or resets it with `None`. False where its own value is no longer the one
/// that was seen: then nothing is changed.
///
/// # Errors
/// An unknown key, a value that is not allowed, or the store's.
pub async fn set(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    actor: &str,
    key: &str,
    seen: Seen<'_>,
    value: Option<&str>,
) -> Result<bool, Failure> {
    let row = row_of(key)?;
    if let Some(value) = value {
        row.check(value)?;
    }
    store.ensure_organization(org).await?;
    let before = store.load_settings(org).await?.get(key).cloned();
    if !store.save_setting(org, key, seen, value).await? {
        return Ok(false);
    }
    let detail = serde_json::json!({
        "before": before.map(|b| b.value),
        "after": value,
    });
    let entry = NewAuditEntry {
        at: clock.now(),
        actor: actor.to_owned(),
        action: if value.is_some() { "setting.set".into() } else { "setting.reset".into() },
        object: format!("setting/{key}"),
        addition: None,
        detail: detail.to_string(),
    };
    store.append_audit(org, &[entry]).await?;
    Ok(true)
}
