//! Who may do what: rights, roles, and the one table that says which role has which right.

use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt::Write;

/// A right: a thing that may be done in an organization and those below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Right {
    /// See the tree.
    OrganizationsRead,
    /// Add, rename and move organizations.
    OrganizationsWrite,
    /// See settings.
    SettingsRead,
    /// Set and reset settings.
    SettingsWrite,
    /// See connections, never their keys.
    ConnectionsRead,
    /// Add and test connections, replace their keys.
    ConnectionsWrite,
    /// Hand in what was sold.
    FeedWrite,
    /// See customers and products.
    RecordsRead,
    /// See tasks.
    TasksRead,
    /// Check changes, ignore and retry tasks.
    TasksWrite,
    /// See plans.
    PlansRead,
    /// Make plans.
    PlansWrite,
    /// Approve and refuse plans that wait for people.
    ApprovalsWrite,
    /// See runs.
    RunsRead,
    /// Start runs: what is written to ConnectWise is written by them.
    RunsWrite,
    /// See findings.
    FindingsRead,
    /// Mute and ignore findings.
    FindingsWrite,
    /// See mappings.
    MappingsRead,
    /// Change mappings.
    MappingsWrite,
    /// Make companies, catalog items and agreements in ConnectWise.
    ConnectwiseWrite,
    /// See the audit.
    AuditRead,
    /// See people.
    UsersRead,
    /// Add people, change their roles, shut them out.
    UsersWrite,
    /// See tokens, never their values.
    TokensRead,
    /// Make and revoke tokens.
    TokensWrite,
    /// See webhooks and what was delivered to them, never their secrets.
    WebhooksRead,
    /// Add, change, test and remove webhooks.
    WebhooksWrite,
}

/// A role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Runs the installation: the only role without an organization of its own.
    Operator,
    /// Runs an organization and those below it.
    Admin,
    /// Does a partner's daily work, connections and settings included; no people, no tokens.
    PartnerOperator,
    /// Maps, plans and bills.
    Billing,
    /// Looks.
    ReadOnly,
}

impl Role {
    /// All roles, in the order of the table's columns.
    pub const ALL: [Self; 5] =
        [Self::Operator, Self::Admin, Self::PartnerOperator, Self::Billing, Self::ReadOnly];

    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Admin => "admin",
            Self::PartnerOperator => "partner_operator",
            Self::Billing => "billing",
            Self::ReadOnly => "read_only",
        }
    }

    /// The role that a word means.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Its rights.
    pub fn rights(self) -> BTreeSet<Right> {
        let column = Self::ALL.iter().position(|role| *role == self);
        TABLE
            .iter()
            .filter(|row| column.and_then(|at| row.roles.get(at)).copied().unwrap_or(false))
            .map(|row| row.right)
            .collect()
    }
}

/// One row of the table.
#[derive(Debug)]
pub struct Row {
    /// The right.
    pub right: Right,
    /// Its word, as tokens and documents name it.
    pub name: &'static str,
    /// What it lets one do.
    pub meaning: &'static str,
    /// Whether each role of [`Role::ALL`] has it.
    pub roles: [bool; 5],
}

const ALL: [bool; 5] = [true; 5];
const WORK: [bool; 5] = [true, true, true, true, false];
const RUN: [bool; 5] = [true, true, true, false, false];
const OWN: [bool; 5] = [true, true, false, false, false];

/// Roles and rights. Everything that asks whether something is allowed asks this table.
pub const TABLE: [Row; 27] = [
    row(Right::OrganizationsRead, "organizations.read", "See the tree of organizations", ALL),
    row(Right::OrganizationsWrite, "organizations.write", "Add, rename and move organizations", OWN),
    row(Right::SettingsRead, "settings.read", "See settings and where each value comes from", ALL),
    row(Right::SettingsWrite, "settings.write", "Set and reset settings", RUN),
    row(Right::ConnectionsRead, "connections.read", "See connections, never their keys", ALL),
    row(Right::ConnectionsWrite, "connections.write", "Add and test connections, replace their keys", RUN),
    row(Right::FeedWrite, "feed.write", "Hand in what was sold", WORK),
    row(Right::RecordsRead, "records.read", "See customers and products", ALL),
    row(Right::TasksRead, "tasks.read", "See tasks", ALL),
    row(Right::TasksWrite, "tasks.write", "Check changes, ignore and retry tasks", WORK),
    row(Right::PlansRead, "plans.read", "See plans", ALL),
    row(Right::PlansWrite, "plans.write", "Make plans", WORK),
    row(Right::ApprovalsWrite, "approvals.write", "Approve and refuse plans that wait for people", RUN),
    row(Right::RunsRead, "runs.read", "See runs", ALL),
    row(Right::RunsWrite, "runs.write", "Start runs, which write to ConnectWise", WORK),
    row(Right::FindingsRead, "findings.read", "See findings", ALL),
    row(Right::FindingsWrite, "findings.write", "Mute and ignore findings", WORK),
    row(Right::MappingsRead, "mappings.read", "See mappings and suggestions", ALL),
    row(Right::MappingsWrite, "mappings.write", "Change, import and release mappings", WORK),
    row(
        Right::ConnectwiseWrite,
        "connectwise.write",
        "Make companies, catalog items and agreements in ConnectWise",
        WORK,
    ),
    row(Right::AuditRead, "audit.read", "See the audit, and have additions explained", ALL),
    row(Right::UsersRead, "users.read", "See people", OWN),
    row(Right::UsersWrite, "users.write", "Add people, change their roles, shut them out", OWN),
    row(Right::TokensRead, "tokens.read", "See tokens, never their values", OWN),
    row(Right::TokensWrite, "tokens.write", "Make and revoke tokens", OWN),
    row(
        Right::WebhooksRead,
        "webhooks.read",
        "See webhooks and what was delivered to them, never their secrets",
        RUN,
    ),
    row(Right::WebhooksWrite, "webhooks.write", "Add, change, test and remove webhooks", RUN),
];

const fn row(right: Right, name: &'static str, meaning: &'static str, roles: [bool; 5]) -> Row {
    Row { right, name, meaning, roles }
}

impl Right {
    /// The word.
    pub fn name(self) -> &'static str {
        TABLE.iter().find(|row| row.right == self).map_or("", |row| row.name)
    }

    /// The right that a word means.
    pub fn from_name(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.name == name).map(|row| row.right)
    }
}

impl Serialize for Right {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The table as a page of the documents.
pub fn as_markdown() -> String {
    let mut text = String::from(
        "# Roles and rights\n\nGenerated from the table in the code; a test compares the two. A role holds in its \
         organization and in those\nbelow it; `operator` holds everywhere. A token has rights of its own, never more \
         than the person who made it.\n\n| right | lets one |",
    );
    for role in Role::ALL {
        let _ = write!(text, " {} |", role.name());
    }
    text.push_str("\n|---|---|");
    for _ in Role::ALL {
        text.push_str("---|");
    }
    for row in &TABLE {
        let _ = write!(text, "\n| `{}` | {} |", row.name, row.meaning);
        for has in row.roles {
            text.push_str(if has { " yes |" } else { " |" });
        }
    }
    text.push('\n');
    text
}

/// The table as a document.
pub fn as_document() -> serde_json::Value {
    let rights: Vec<serde_json::Value> = TABLE
        .iter()
        .map(|row| {
            let roles = Role::ALL.iter().zip(row.roles).filter(|(_, has)| *has).map(|(role, _)| role.name());
            serde_json::json!({
                "right": row.name,
                "meaning": row.meaning,
                "roles": roles.collect::<Vec<_>>(),
            })
        })
        .collect();
    let roles: Vec<&str> = Role::ALL.iter().map(|role| role.name()).collect();
    serde_json::json!({ "roles": roles, "rights": rights })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_right_has_one_row_and_one_word() {
        for (at, row) in TABLE.iter().enumerate() {
            assert_eq!(Right::from_name(row.name), Some(row.right));
            assert!(
                TABLE.iter().skip(at + 1).all(|other| other.right != row.right && other.name != row.name)
            );
        }
    }

    #[test]
    fn a_higher_role_has_every_right_of_the_lower_ones() {
        for pair in Role::ALL.windows(2) {
            assert!(pair[0].rights().is_superset(&pair[1].rights()), "{pair:?}");
        }
        assert_eq!(Role::Operator.rights().len(), TABLE.len());
    }

    #[test]
    fn who_only_looks_changes_nothing() {
        assert!(Role::ReadOnly.rights().iter().all(|right| right.name().ends_with(".read")));
        assert!(!Role::Billing.rights().contains(&Right::ConnectionsWrite));
        assert!(!Role::PartnerOperator.rights().contains(&Right::UsersRead));
    }

    #[test]
    fn the_documents_show_the_table() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/roles.md");
        let kept = std::fs::read_to_string(path).unwrap();
        assert_eq!(kept, as_markdown(), "docs/roles.md is out of date: `trueup user roles > docs/roles.md`");
    }
}
