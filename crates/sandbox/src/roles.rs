//! What the API member may do: None, My or All for each function.
//!
//! A refusal never names the right that is missing, and the level "My" makes records vanish without a word, because
//! that is what the vendor's server does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How far a right reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Level {
    /// Not at all.
    #[serde(alias = "none")]
    None,
    /// Records the member made.
    #[serde(alias = "my")]
    My,
    /// Every record.
    #[serde(alias = "all")]
    All,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// POST.
    Add,
    /// PUT and PATCH.
    Edit,
    /// DELETE.
    Delete,
    /// GET.
    Inquire,
}

/// The four levels of one function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Levels {
    /// POST.
    #[serde(default = "all")]
    pub add: Level,
    /// PUT and PATCH.
    #[serde(default = "all")]
    pub edit: Level,
    /// DELETE.
    #[serde(default = "all")]
    pub delete: Level,
    /// GET.
    #[serde(default = "all")]
    pub inquire: Level,
}

fn all() -> Level {
    Level::All
}

/// The functions the sandbox knows, `Module/Function`.
pub(crate) const FUNCTIONS: &[&str] = &[
    "Companies/Company Maintenance",
    "Companies/Contacts",
    "Finance/Agreements",
    "Finance/Agreement Invoicing",
    "Finance/Invoicing",
    "Procurement/Product Catalog",
    "Service Desk/Close Service Tickets",
    "Service Desk/Service Tickets",
    "System/API Reports",
    "System/Member Maintenance",
    "System/My Company",
    "System/Security Roles",
    "System/Table Setup",
];

/// The role of the API member; functions not named have every level All.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Roles {
    /// Levels by function.
    pub functions: BTreeMap<String, Levels>,
    /// Names of agreement types hidden by the role's "Customize".
    pub hidden_agreement_types: Vec<String>,
}

impl Roles {
    /// The level of a right.
    pub(crate) fn level(&self, function: &str, right: Right) -> Level {
        let Some(levels) = self.functions.get(function) else { return Level::All };
        match right {
            Right::Add => levels.add,
            Right::Edit => levels.edit,
            Right::Delete => levels.delete,
            Right::Inquire => levels.inquire,
        }
    }

    /// Whether a list of the function ("Customize") hides something.
    pub(crate) fn is_narrowed(&self, function: &str) -> bool {
        function == "Finance/Agreements" && !self.hidden_agreement_types.is_empty()
    }

    /// The first function named that does not exist.
    pub(crate) fn unknown_function(&self) -> Option<&str> {
        self.functions.keys().map(String::as_str).find(|name| !FUNCTIONS.contains(name))
    }
}
