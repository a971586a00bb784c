//! The rights check: one harmless read for each right that a part of the work needs.
//!
//! A 403 never says which right is missing, so each probe stands for one row of the security role. What only a write
//! would show is read from the role's settings where the member may see them, and is called unknown where not.

use futures::future::try_join_all;
use serde::de::DeserializeOwned;

use super::error::ClientError;
use super::page::Query;
use super::session::ConnectWiseClient;
use super::wire::{AccessLevel, ApiMember, Named, Record, SecurityRole, SecurityRoleSetting};

/// Of more roles than this none is read: they would hardly agree, and each costs a call.
const MOST_ROLES: usize = 8;

/// Whether the API member has a right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RightState {
    /// It has.
    Granted,
    /// It has not, or only for its own records.
    Missing,
    /// No harmless call can tell.
    Unknown,
}

/// One right that the job needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RightCheck {
    /// The module of the security role.
    pub module: &'static str,
    /// The function of the module.
    pub function: &'static str,
    /// The level, for instance `Inquire All`.
    pub level: &'static str,
    /// What it is needed for.
    pub purpose: &'static str,
    /// Whether it is there.
    pub state: RightState,
}

/// Which part of the work rights are needed for. Each works without those of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Agreements.
    Billing,
    /// Tickets.
    Tickets,
}

impl Part {
    fn probes(self) -> &'static [Probe] {
        match self {
            Self::Billing => &PROBES,
            Self::Tickets => &TICKET_PROBES,
        }
    }

    fn writes(self) -> &'static [WriteRight] {
        match self {
            Self::Billing => &WRITES,
            Self::Tickets => &TICKET_WRITES,
        }
    }
}

/// The function of a role that guards tickets.
pub(crate) const SERVICE_TICKETS: &str = "Service Tickets";

/// The function of a role that guards the closing of tickets.
pub(crate) const CLOSE_TICKETS: &str = "Close Service Tickets";

struct Probe {
    module: &'static str,
    function: &'static str,
    purpose: &'static str,
    path: &'static str,
}

const PROBES: [Probe; 7] = [
    Probe {
        module: "Companies",
        function: "Company Maintenance",
        purpose: "find the customers",
        path: "/company/companies",
    },
    Probe {
        module: "Finance",
        function: "Agreements",
        purpose: "read agreements and additions",
        path: "/finance/agreements",
    },
    Probe {
        module: "Finance",
        function: "Invoicing",
        purpose: "see what was invoiced",
        path: "/finance/invoices",
    },
    Probe {
        module: "Procurement",
        function: "Product Catalog",
        purpose: "find the products",
        path: "/procurement/catalog",
    },
    Probe {
        module: "System",
        function: "Table Setup: Invoicing / Billing Cycle",
        purpose: "know how often an agreement is billed",
        path: "/finance/billingCycles",
    },
    Probe {
        module: "System",
        function: "Table Setup: Currency",
        purpose: "know the currency",
        path: "/finance/currencies",
    },
    Probe {
        module: "System",
        function: "Table Setup: Custom Fields",
        purpose: "find the custom field for keys",
        path: "/system/userDefinedFields",
    },
];

const TICKET_PROBES: [Probe; 5] = [
    Probe {
        module: "Companies",
        function: "Company Maintenance",
        purpose: "find the customers",
        path: "/company/companies",
    },
    Probe {
        module: "Service Desk",
        function: SERVICE_TICKETS,
        purpose: "find tickets and see what people did with them",
        path: "/service/tickets",
    },
    Probe {
        module: "System",
        function: "Table Setup: Service / Service Board",
        purpose: "know boards, statuses, types and items",
        path: "/service/boards",
    },
    Probe {
        module: "System",
        function: "Table Setup: Service / Priority",
        purpose: "know the priorities",
        path: "/service/priorities",
    },
    Probe {
        module: "System",
        function: "Table Setup: Service / Source",
        purpose: "know the sources of tickets",
        path: "/service/sources",
    },
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Act {
    Add,
    Edit,
    Delete,
}

struct WriteRight {
    module: &'static str,
    function: &'static str,
    level: &'static str,
    purpose: &'static str,
    act: Act,
}

impl WriteRight {
    fn judged(&self, roles: &[Vec<SecurityRoleSetting>]) -> RightCheck {
        let Self { module, function, level, purpose, act } = *self;
        let state = judge(roles, module, function, |s| match act {
            Act::Add => s.add_level.as_ref(),
            Act::Edit => s.edit_level.as_ref(),
            Act::Delete => s.delete_level.as_ref(),
        });
        RightCheck { module, function, level, purpose, state }
    }
}

const WRITES: [WriteRight; 4] = [
    WriteRight {
        module: "Finance",
        function: "Agreements",
        level: "Add All",
        purpose: "create additions",
        act: Act::Add,
    },
    WriteRight {
        module: "Finance",
        function: "Agreements",
        level: "Edit All",
        purpose: "change and end additions",
        act: Act::Edit,
    },
    WriteRight {
        module: "Finance",
        function: "Agreements",
        level: "Delete All",
        purpose: "remove additions that were never billed",
        act: Act::Delete,
    },
    WriteRight {
        module: "Procurement",
        function: "Product Catalog",
        level: "Add All",
        purpose: "create missing products, where that is switched on",
        act: Act::Add,
    },
];

const TICKET_WRITES: [WriteRight; 3] = [
    WriteRight {
        module: "Service Desk",
        function: SERVICE_TICKETS,
        level: "Add All",
        purpose: "make tickets and notes",
        act: Act::Add,
    },
    WriteRight {
        module: "Service Desk",
        function: SERVICE_TICKETS,
        level: "Edit All",
        purpose: "change the status of tickets",
        act: Act::Edit,
    },
    WriteRight {
        module: "Service Desk",
        function: CLOSE_TICKETS,
        level: "Edit All",
        purpose: "close tickets",
        act: Act::Edit,
    },
];

/// Every right that a part needs, of which nothing is known yet.
pub fn needed(part: Part) -> impl Iterator<Item = RightCheck> {
    let reads = part.probes().iter().map(|p| RightCheck {
        module: p.module,
        function: p.function,
        level: "Inquire All",
        purpose: p.purpose,
        state: RightState::Unknown,
    });
    reads.chain(part.writes().iter().map(|w| RightCheck {
        module: w.module,
        function: w.function,
        level: w.level,
        purpose: w.purpose,
        state: RightState::Unknown,
    }))
}

/// The rights of a part as a table of the documents.
#[must_use]
pub fn as_markdown(part: Part) -> String {
    needed(part).fold(
        "| module | function | level | needed to |\n|---|---|---|---|\n".to_owned(),
        |text, right| {
            let RightCheck { module, function, level, purpose, .. } = right;
            format!("{text}| {module} | {function} | {level} | {purpose} |\n")
        },
    )
}

/// The right that a call needs, as module > function > level; none where the self-test knows none for it. A call is
/// named by its method and path.
pub(crate) fn right_of(call: &str) -> Option<String> {
    let (method, path) = call.split_once(' ')?;
    let inside = |root: &str| {
        path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
    };
    let probe = PROBES.iter().chain(&TICKET_PROBES).find(|probe| inside(probe.path))?;
    let level = if method == "GET" {
        "Inquire All"
    } else {
        let act = Act::of(method)?;
        let same = |w: &&WriteRight| (w.module, w.function, w.act) == (probe.module, probe.function, act);
        WRITES.iter().chain(&TICKET_WRITES).find(same)?.level
    };
    Some(format!("{} > {} > {level}", probe.module, probe.function))
}

impl Act {
    fn of(method: &str) -> Option<Self> {
        match method {
            "POST" => Some(Self::Add),
            "PATCH" | "PUT" => Some(Self::Edit),
            "DELETE" => Some(Self::Delete),
            _ => None, // open set: the methods of HTTP
        }
    }
}

impl ConnectWiseClient {
    /// Checks address, keys and the rights of a part without changing anything.
    ///
    /// # Errors
    /// Where the site is out of reach or does not accept the keys or the client id.
    pub async fn check_rights(&self, part: Part) -> Result<Vec<RightCheck>, ClientError> {
        let probes = part.probes();
        // The first that gets no answer ends the check: each of the others would ask again and again for minutes.
        let states = try_join_all(probes.iter().map(|p| self.probe(p.path))).await?;
        let mut checks = Vec::new();
        for (probe, state) in probes.iter().zip(states) {
            checks.push(RightCheck {
                module: probe.module,
                function: probe.function,
                level: "Inquire All",
                purpose: probe.purpose,
                state,
            });
        }
        let roles = self.own_role_settings().await?;
        for check in &mut checks {
            // A right for one's own records answers the probe, and then hides everybody else's.
            if check.state == RightState::Granted
                && judge(&roles, check.module, check.function, |s| s.inquire_level.as_ref())
                    == RightState::Missing
            {
                check.state = RightState::Missing;
            }
        }
        checks.extend(part.writes().iter().map(|w| w.judged(&roles)));
        checks.extend(narrowed(part, &roles));
        Ok(checks)
    }

    /// The same rights as the role alone tells them, for a few calls. Where the member may not see its role, every
    /// one is unknown.
    ///
    /// # Errors
    /// Where the site is out of reach or does not accept the keys or the client id.
    pub async fn check_role(&self, part: Part) -> Result<Vec<RightCheck>, ClientError> {
        let roles = self.own_role_settings().await?;
        let reads = part.probes().iter().map(|p| RightCheck {
            module: p.module,
            function: p.function,
            level: "Inquire All",
            purpose: p.purpose,
            state: judge(&roles, p.module, p.function, |s| s.inquire_level.as_ref()),
        });
        let writes = part.writes().iter().map(|w| w.judged(&roles));
        Ok(reads.chain(writes).chain(narrowed(part, &roles)).collect())
    }

    async fn probe(&self, path: &str) -> Result<RightState, ClientError> {
        let answer: Result<Vec<Named>, ClientError> = self.get(path, "pageSize=1&fields=id").await;
        match answer {
            Ok(_) => Ok(RightState::Granted),
            Err(error @ ClientError::Refused(_)) => match error.code() {
                "TU1004" => Ok(RightState::Missing),
                "TU1001" | "TU1002" | "TU1003" | "TU1005" => Err(error),
                _ => Ok(RightState::Unknown), // open set: exception codes
            },
            Err(ClientError::NotUnderstood { .. }) => Ok(RightState::Unknown),
            Err(error) => Err(error),
        }
    }

    /// The settings of the role that our member has, or of every role it may have: the API does not say who we are. None
    /// where the site does not show them.
    async fn own_role_settings(&self) -> Result<Vec<Vec<SecurityRoleSetting>>, ClientError> {
        let of_members = self.shown::<ApiMember>("/system/apiMembers").await?.unwrap_or_default();
        let mut roles: Vec<i64> = of_members.iter().filter_map(|m| m.security_role.as_ref()?.id).collect();
        if roles.is_empty() {
            // The member may not see members; then its role is one of all.
            let all = self.shown::<SecurityRole>("/system/securityroles").await?.unwrap_or_default();
            roles = all.iter().map(|role| role.id).collect();
        }
        roles.sort_unstable();
        roles.dedup();
        if roles.len() > MOST_ROLES {
            return Ok(Vec::new());
        }
        let mut settings = Vec::new();
        for role in roles {
            match self.shown(&format!("/system/securityRoles/{role}/settings")).await? {
                Some(list) => settings.push(list),
                None => return Ok(Vec::new()),
            }
        }
        Ok(settings)
    }

    /// A list that not every site shows. One that answers nothing at all answers the next call no better.
    async fn shown<T: Record + DeserializeOwned>(&self, path: &str) -> Result<Option<Vec<T>>, ClientError> {
        match self.list(path, &Query::all()).await {
            Ok(list) => Ok(Some(list)),
            Err(error @ (ClientError::Unavailable(_) | ClientError::Throttled { .. })) => Err(error),
            Err(error) if error.code() == "TU1001" => Err(error),
            Err(_) => Ok(None),
        }
    }
}

/// Functions that a list of the role ("Customize") narrows. What it hides is missing from every answer as if it were not
/// there, and the API does not tell what that is.
fn narrowed(part: Part, roles: &[Vec<SecurityRoleSetting>]) -> impl Iterator<Item = RightCheck> {
    part.probes().iter().filter(|probe| is_narrowed(roles, probe)).map(|probe| RightCheck {
        module: probe.module,
        function: probe.function,
        level: "Customize: allow every entry",
        purpose: "see what the role's list hides",
        state: RightState::Unknown,
    })
}

fn is_narrowed(roles: &[Vec<SecurityRoleSetting>], probe: &Probe) -> bool {
    roles.iter().flatten().any(|row| {
        row.custom_flag == Some(true)
            && is_named(probe.module, [&row.module_name, &row.module_identifier])
            && is_named(probe.function, [&row.module_function_name, &row.module_function_identifier])
    })
}

/// Granted or missing only where every role that may be ours says so.
fn judge(
    roles: &[Vec<SecurityRoleSetting>],
    module: &str,
    function: &str,
    level: impl Fn(&SecurityRoleSetting) -> Option<&AccessLevel>,
) -> RightState {
    let mut states = roles.iter().map(|settings| {
        let row = settings.iter().find(|s| {
            is_named(module, [&s.module_name, &s.module_identifier])
                && is_named(function, [&s.module_function_name, &s.module_function_identifier])
        });
        match row.and_then(&level) {
            Some(AccessLevel::All) => RightState::Granted,
            Some(AccessLevel::None | AccessLevel::My) => RightState::Missing,
            Some(AccessLevel::Unknown(_)) | None => RightState::Unknown,
        }
    });
    match states.next() {
        Some(first) if states.all(|s| s == first) => first,
        _ => RightState::Unknown,
    }
}

fn is_named(wanted: &str, names: [&Option<String>; 2]) -> bool {
    let plain = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    names.into_iter().flatten().any(|name| plain(name) == plain(wanted))
}

#[cfg(test)]
mod tests {
    use super::{Part, as_markdown};

    #[test]
    fn the_guide_shows_what_is_checked() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations.md");
        let guide = std::fs::read_to_string(path).unwrap();
        for (part, rows) in [(Part::Billing, 11), (Part::Tickets, 8)] {
            let table = as_markdown(part);
            assert_eq!(table.lines().count(), rows + 2);
            assert!(
                guide.contains(&format!("\n\n{table}\n")),
                "docs/operations.md lacks this table:\n{table}"
            );
        }
    }
}
