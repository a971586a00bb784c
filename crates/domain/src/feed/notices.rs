//! What a source tells beside its sales: alerts, and what one of its lists held.

use super::{Ext, RecordKind};
use crate::ids::CustomerId;
use serde::{Deserialize, Serialize};

/// An alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Id at the source.
    pub id: String,
    /// Whose.
    pub customer: CustomerId,
    /// Kind at the source.
    pub kind: String,
    /// `open`, `updated` or `closed`.
    pub state: String,
    /// When.
    pub at: String,
    /// One sentence.
    pub summary: String,
    /// Severity at the source.
    pub severity: Option<String>,
    /// What it is about.
    pub subject: Option<String>,
    /// What makes two alerts the same.
    pub key: Option<String>,
    /// More text.
    pub detail: Option<String>,
    /// Unknown fields.
    #[serde(default)]
    pub ext: Ext,
}

/// The statement that a file held everything of some kinds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SnapshotMark {
    /// Of which kinds.
    pub types: Vec<RecordKind>,
    /// Whether it was everything.
    pub complete: bool,
    /// When.
    pub as_of: String,
    /// Unknown fields.
    #[serde(default)]
    pub ext: Ext,
}
