//! Custom fields, security roles, members, callbacks.

use serde::Deserialize;

use super::Reference;
use crate::client::value::words;

/// The definition of a custom field.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserDefinedField {
    /// The id.
    pub id: i64,
    /// The caption.
    pub caption: Option<String>,
    /// The screen it is on.
    pub screen_id: Option<String>,
    /// The part of the screen.
    pub pod_id: Option<i64>,
    /// The kind of field, for instance `Text`.
    pub field_type_identifier: Option<String>,
    /// Whether it cannot be written.
    pub read_only_flag: Option<bool>,
}

/// A security role.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecurityRole {
    /// The id.
    pub id: i64,
    /// The name.
    pub name: Option<String>,
    /// Whether it may do everything.
    pub admin_flag: Option<bool>,
}

words! {
    /// How far a right reaches.
    AccessLevel {
        /// Not at all.
        None,
        /// Own records; the others vanish without a word.
        My,
        /// All records.
        All,
    }
}

/// One function of a security role.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecurityRoleSetting {
    /// The id.
    pub id: i64,
    /// The module.
    pub module_name: Option<String>,
    /// The module, as an identifier.
    pub module_identifier: Option<String>,
    /// The function.
    pub module_function_name: Option<String>,
    /// The function, as an identifier.
    pub module_function_identifier: Option<String>,
    /// Creating.
    pub add_level: Option<AccessLevel>,
    /// Changing.
    pub edit_level: Option<AccessLevel>,
    /// Deleting.
    pub delete_level: Option<AccessLevel>,
    /// Reading.
    pub inquire_level: Option<AccessLevel>,
    /// Whether a list narrows it further.
    pub custom_flag: Option<bool>,
}

/// A member that is used through the API.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiMember {
    /// The id.
    pub id: i64,
    /// The short unique text.
    pub identifier: Option<String>,
    /// Its role.
    pub security_role: Option<Reference>,
}

/// Any record of which only id and name matter.
#[derive(Debug, Clone, Deserialize)]
pub struct Named {
    /// The id.
    pub id: i64,
    /// The name.
    pub name: Option<String>,
}

/// A registered callback.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallbackEntry {
    /// The id.
    pub id: i64,
    /// Where it posts to.
    pub url: Option<String>,
    /// The kind of record.
    #[serde(rename = "type")]
    pub record_type: Option<String>,
    /// The level.
    pub level: Option<String>,
    /// The record of that level.
    pub object_id: Option<i64>,
    /// Whether it was switched off, which ConnectWise does after three days of failures.
    pub inactive_flag: Option<bool>,
}

/// Facts of the server.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SystemInfo {
    /// The version, for instance `v2026.3.105333`.
    pub version: Option<String>,
    /// Whether it is ConnectWise's cloud.
    pub is_cloud: Option<bool>,
    /// The zone of the server's clock.
    pub server_time_zone: Option<String>,
}
