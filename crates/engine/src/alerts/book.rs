//! What the store keeps of alerts: alerts with their tickets, rules, and the log of what went on.

use crate::ports::{Lease, StoreError};
use crate::records::{Millis, NewAuditEntry};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use trueup_domain::alert::{Alert, AlertId, AlertSeverity, Entry, Level};
use trueup_domain::feed;
use trueup_domain::ids::{OrganizationId, SourceId};

/// One version of an alert record of a feed that no alert was made of yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Telling {
    /// The source.
    pub source: SourceId,
    /// Which version of the record.
    pub version: u32,
    /// The record.
    pub record: feed::Alert,
    /// The version before it, where there was one and it is still known.
    pub before: Option<feed::Alert>,
}

/// What an entry of the log is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActivityKind {
    /// An alert.
    Alert,
    /// Its ticket.
    Ticket,
    /// A run of quantities.
    Quantity,
    /// A finding.
    Finding,
}

impl ActivityKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Alert, Self::Ticket, Self::Quantity, Self::Finding];

    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Ticket => "ticket",
            Self::Quantity => "quantity",
            Self::Finding => "finding",
        }
    }

    /// The kind that a word means.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Something that went on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// When.
    pub at: Millis,
    /// What it is about.
    pub kind: ActivityKind,
    /// What happened, in one word: `opened`, `closed`, `noted`, `made`, `held`.
    pub action: String,
    /// The alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<AlertId>,
    /// The kind under which a rule can be made for the like of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_kind: Option<String>,
    /// How grave it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<AlertSeverity>,
    /// The source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The customer at the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// The ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<i64>,
    /// What happened, in one sentence.
    pub text: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// An entry of the log with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedActivity {
    /// Its number: later ones are greater.
    pub seq: i64,
    /// The entry.
    pub entry: Activity,
}

/// Which alerts are wanted; empty fields mean all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertFilter {
    /// These alone.
    pub ids: Option<Vec<AlertId>>,
    /// Those alone about which something may be left to do.
    pub unsettled: bool,
    /// `open`, `acknowledged` or `cleared`.
    pub state: Option<String>,
    /// Of this kind.
    pub kind: Option<String>,
    /// Of this customer.
    pub customer: Option<String>,
    /// Those alone whose ticket was made at this instant or later.
    pub made_since: Option<Millis>,
    /// Those alone that come after this one in the list: when it was told last, and its name.
    pub after: Option<(Millis, AlertId)>,
    /// So many at most.
    pub limit: Option<u32>,
}

/// Which entries of the log are wanted; empty fields mean all. The newest come first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActivityFilter {
    /// Before the entry with this number.
    pub before: Option<i64>,
    /// Of this kind.
    pub kind: Option<ActivityKind>,
    /// About this alert.
    pub alert: Option<AlertId>,
    /// About this customer.
    pub customer: Option<String>,
    /// So many at most.
    pub limit: u32,
}

/// What is saved in one transaction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AlertChange {
    /// Alerts, each in the place of the one with its name.
    pub save: Vec<Alert>,
    /// Alerts that became part of another.
    pub remove: Vec<AlertId>,
    /// Versions of records that alerts were made of: source, record and version.
    pub seen: Vec<(SourceId, String, u32)>,
    /// What is logged.
    pub activity: Vec<Activity>,
}

/// The part of the store that is about alerts.
#[async_trait]
pub trait AlertBook: Send + Sync {
    /// The rules that hold for an organization: its own entries, then those of the levels above, nearest first.
    async fn list_rules(&self, org: &OrganizationId) -> Result<Vec<Level>, StoreError>;
    /// Saves an entry with its audit entry, in the place of the one about the same; one that says nothing is removed.
    async fn save_rule(
        &self,
        org: &OrganizationId,
        entry: &Entry,
        audit: &NewAuditEntry,
    ) -> Result<(), StoreError>;
    /// Versions of alert records that no alert was made of yet, so many at most; those of one record in their order.
    async fn list_tellings(&self, org: &OrganizationId, limit: u32) -> Result<Vec<Telling>, StoreError>;
    /// Alerts that fit, those told last first.
    async fn list_alerts(&self, org: &OrganizationId, filter: &AlertFilter)
    -> Result<Vec<Alert>, StoreError>;
    /// Saves what changed in one transaction, if the lease still holds.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when the lane has a newer holder.
    async fn save_alerts(
        &self,
        org: &OrganizationId,
        lease: &Lease,
        change: &AlertChange,
    ) -> Result<(), StoreError>;
    /// Adds to the log.
    async fn log(&self, org: &OrganizationId, entries: &[Activity]) -> Result<(), StoreError>;
    /// Entries of the log that fit, the newest first.
    async fn list_activity(
        &self,
        org: &OrganizationId,
        filter: &ActivityFilter,
    ) -> Result<Vec<LoggedActivity>, StoreError>;
    /// When each source last brought something new.
    async fn last_received(&self, org: &OrganizationId) -> Result<BTreeMap<SourceId, Millis>, StoreError>;
}
