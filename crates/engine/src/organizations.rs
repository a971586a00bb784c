//! The tree of organizations as a whole: what a setting reaches, and what moving an organization would change. Pure.
//!
//! A move changes nothing in ConnectWise. What is below comes along; what was inherited from above is inherited from the
//! new place, and that is told before it is done.

use crate::failure::Failure;
use crate::records::{OrganizationRow, SettingValue, SettingValues};
use crate::settings::{self, EffectiveSetting, Overlays};
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::ids::OrganizationId;
use trueup_domain::settings::SETTINGS;

/// Deeper trees do not exist: whoever walks up one stops there.
pub const MAX_DEPTH: usize = 32;

/// What an organization may be, the highest first.
pub const KINDS: [&str; 4] = ["operator", "partner", "customer", "site"];

/// What an organization is where nobody says it: a site below a customer or a site, else a partner.
pub fn usual_kind(parent: Option<&OrganizationRow>) -> &'static str {
    match parent.map(|parent| parent.kind.as_str()) {
        Some("customer" | "site") => "site",
        _ => "partner", // open set: kinds are kept as text
    }
}

/// Whether one of a kind may stand below one of another: beside its equals or below its betters.
///
/// # Errors
/// [`Failure::Wrong`] where it may not, or where there is no such kind.
pub fn may_stand_below(kind: &str, parent: Option<&OrganizationRow>) -> Result<(), Failure> {
    let rank = |kind: &str| KINDS.iter().position(|one| *one == kind);
    if rank(kind).is_none() {
        return Err(Failure::wrong(
            format!("`{kind}` is none of {}", KINDS.join(", ")),
            "Choose one of them.",
        ));
    }
    match parent {
        Some(parent) if rank(kind) < rank(&parent.kind) => Err(Failure::wrong(
            format!("{kind} cannot stand below {}, which is a {}", parent.id, parent.kind),
            format!("The order is {}: choose another kind or place.", KINDS.join(", ")),
        )),
        Some(_) | None => Ok(()),
    }
}

/// All organizations with what is inherited along them.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// Each as it is stored.
    pub rows: BTreeMap<OrganizationId, OrganizationRow>,
    /// The level above each; none at the top.
    pub parents: BTreeMap<OrganizationId, Option<OrganizationId>>,
    /// What each sets itself.
    pub settings: BTreeMap<OrganizationId, BTreeMap<String, String>>,
    /// The ConnectWise company that the first connection of its own is to, of those that have one.
    pub companies: BTreeMap<OrganizationId, String>,
}

impl Tree {
    /// The organizations alone.
    pub fn of(rows: &[OrganizationRow]) -> Self {
        let parents = rows.iter().map(|row| (row.id.clone(), row.parent.clone())).collect();
        let rows = rows.iter().map(|row| (row.id.clone(), row.clone())).collect();
        Self { rows, parents, ..Self::default() }
    }

    /// The organization and the levels above it, nearest first.
    pub fn lineage<'a>(&'a self, org: &'a OrganizationId) -> Vec<&'a OrganizationId> {
        let mut levels = vec![org];
        while let Some(Some(parent)) = levels.last().and_then(|last| self.parents.get(*last)) {
            if levels.len() >= MAX_DEPTH || levels.contains(&parent) {
                break;
            }
            levels.push(parent);
        }
        levels
    }

    /// The organization first, then what is below it, level by level.
    pub fn below(&self, org: &OrganizationId) -> Vec<OrganizationId> {
        let mut children: BTreeMap<&OrganizationId, Vec<&OrganizationId>> = BTreeMap::new();
        for (id, parent) in &self.parents {
            if let Some(parent) = parent {
                children.entry(parent).or_default().push(id);
            }
        }
        let mut found = vec![org.clone()];
        let mut seen = BTreeSet::from([org]);
        let mut level = vec![org];
        while !level.is_empty() {
            let all = level.iter().flat_map(|one| children.get(*one).into_iter().flatten());
            let next: Vec<&OrganizationId> = all.copied().filter(|one| seen.insert(*one)).collect();
            found.extend(next.iter().map(|one| (*one).clone()));
            level = next;
        }
        found
    }

    /// How many levels there are from the organization to the lowest one below it.
    fn height(&self, org: &OrganizationId) -> usize {
        let own = self.lineage(org).len();
        self.below(org).iter().map(|one| self.lineage(one).len() + 1 - own).max().unwrap_or(1)
    }

    fn stored(&self, lineage: &[&OrganizationId]) -> SettingValues {
        let mut values = SettingValues::new();
        for level in lineage.iter().rev() {
            for (key, value) in self.settings.get(*level).into_iter().flatten() {
                let from = Some((*level).clone());
                values.insert(key.clone(), SettingValue { value: value.clone(), from });
            }
        }
        values
    }

    /// The company that holds along a lineage.
    fn company(&self, lineage: &[&OrganizationId]) -> Option<&String> {
        lineage.iter().find_map(|level| self.companies.get(*level))
    }
}

/// Whom a setting of an organization reaches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Those below that inherit it from here.
    pub inherit: Vec<OrganizationId>,
    /// Those below that set it themselves, with their value, as far as nobody between does.
    pub own: Vec<(OrganizationId, String)>,
    /// How many inherit it from one of those.
    pub apart: usize,
}

/// Whom the value of a setting of the organization reaches below it.
pub fn reach(tree: &Tree, org: &OrganizationId, key: &str) -> Reach {
    let own = |one: &OrganizationId| tree.settings.get(one).and_then(|values| values.get(key));
    let mut found = Reach::default();
    for one in tree.below(org).into_iter().skip(1) {
        let lineage = tree.lineage(&one);
        let between = lineage.iter().skip(1).take_while(|level| **level != org);
        if between.clone().any(|level| own(level).is_some()) {
            found.apart += 1;
        } else if let Some(value) = own(&one) {
            found.own.push((one.clone(), value.clone()));
        } else {
            found.inherit.push(one);
        }
    }
    found
}

/// A setting that has another value after the move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedSetting {
    /// As it holds now.
    pub before: EffectiveSetting,
    /// As it would hold.
    pub after: EffectiveSetting,
    /// In which organizations.
    pub organizations: Vec<OrganizationId>,
}

/// An organization whose ConnectWise is another one after the move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedCompany {
    /// Which.
    pub organization: OrganizationId,
    /// The login company now; none where it has no connection.
    pub before: Option<String>,
    /// The one after the move.
    pub after: Option<String>,
}

/// What a move would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreseen {
    /// The one that is moved, and what is below it.
    pub organizations: Vec<OrganizationId>,
    /// Where it is now.
    pub former: Option<OrganizationId>,
    /// The levels above that it leaves, nearest first.
    pub left: Vec<OrganizationId>,
    /// The levels above that it comes below, nearest first.
    pub joined: Vec<OrganizationId>,
    /// Settings, in the order of their table.
    pub settings: Vec<ChangedSetting>,
    /// Connections.
    pub companies: Vec<ChangedCompany>,
}

/// What it would change to place an organization below another one, or at the top.
///
/// # Errors
/// [`Failure::Wrong`] where it cannot be placed there: below itself, where it is already, or too deep.
pub fn foresee(
    tree: &Tree,
    org: &OrganizationId,
    parent: Option<&OrganizationId>,
    overlays: &Overlays,
) -> Result<Foreseen, Failure> {
    let organizations = tree.below(org);
    let former = tree.parents.get(org).cloned().flatten();
    let above: Vec<&OrganizationId> = parent.map(|parent| tree.lineage(parent)).unwrap_or_default();
    if let Some(parent) = parent
        && organizations.contains(parent)
    {
        let message = if parent == org {
            format!("organization {org} cannot be placed below itself")
        } else {
            format!("{parent} is below {org}: the two would be above each other")
        };
        return Err(Failure::wrong(message, "Choose an organization that is not below it."));
    }
    if let Some(row) = tree.rows.get(org) {
        may_stand_below(&row.kind, parent.and_then(|parent| tree.rows.get(parent)))?;
    }
    if former.as_ref() == parent {
        let place = parent.map_or_else(|| "at the top".to_owned(), |parent| format!("below {parent}"));
        return Err(Failure::wrong(
            format!("organization {org} is {place} already"),
            "Choose another place.",
        ));
    }
    if above.len() + tree.height(org) > MAX_DEPTH {
        return Err(Failure::wrong(
            format!("the tree would be more than {MAX_DEPTH} levels deep"),
            "Choose a place further up.",
        ));
    }
    let now = tree.lineage(org);
    let left =
        now.iter().skip(1).filter(|level| !above.contains(level)).map(|level| (*level).clone()).collect();
    let joined = above.iter().filter(|level| !now.contains(level)).map(|level| (*level).clone()).collect();
    let mut settings: Vec<ChangedSetting> = Vec::new();
    let mut companies = Vec::new();
    for one in &organizations {
        let before = tree.lineage(one);
        let after = lineage_after(tree, one, &organizations, parent);
        let (was, will) = (tree.company(&before), tree.company(&after));
        if !was.zip(will).map_or(was.is_none() && will.is_none(), |(a, b)| is_same(a, b)) {
            let (before, after) = (was.cloned(), will.cloned());
            companies.push(ChangedCompany { organization: one.clone(), before, after });
        }
        let was = settings::effective_of(&tree.stored(&before), overlays)?;
        let will = settings::effective_of(&tree.stored(&after), overlays)?;
        for (before, after) in was.into_iter().zip(will).filter(|(before, after)| before.value != after.value)
        {
            let known = settings.iter_mut().find(|one| one.before == before && one.after == after);
            match known {
                Some(known) => known.organizations.push(one.clone()),
                None => settings.push(ChangedSetting { before, after, organizations: vec![one.clone()] }),
            }
        }
    }
    settings.sort_by_key(|one| SETTINGS.iter().position(|row| row.key == one.before.key));
    Ok(Foreseen { organizations, former, left, joined, settings, companies })
}

/// Every setting of one of those that move as it would hold below the new level above.
///
/// # Errors
/// A value that the table does not allow.
pub fn values_after(
    tree: &Tree,
    one: &OrganizationId,
    organizations: &[OrganizationId],
    parent: Option<&OrganizationId>,
    overlays: &Overlays,
) -> Result<Vec<EffectiveSetting>, Failure> {
    settings::effective_of(&tree.stored(&lineage_after(tree, one, organizations, parent)), overlays)
}

/// What lies between it and the one that is moved stays above it.
fn lineage_after<'a>(
    tree: &'a Tree,
    one: &'a OrganizationId,
    organizations: &[OrganizationId],
    parent: Option<&'a OrganizationId>,
) -> Vec<&'a OrganizationId> {
    let lineage = tree.lineage(one);
    let kept = lineage.into_iter().take_while(|level| organizations.contains(level));
    kept.chain(parent.into_iter().flat_map(|parent| tree.lineage(parent))).collect()
}

/// Companies are the same in whatever letters they are written.
fn is_same(a: &str, b: &str) -> bool {
    a.trim().eq_ignore_ascii_case(b.trim())
}

impl Foreseen {
    /// The organizations of the move in which something that is inherited changes.
    pub fn touched(&self) -> BTreeSet<&OrganizationId> {
        let settings = self.settings.iter().flat_map(|one| &one.organizations);
        settings.chain(self.companies.iter().map(|one| &one.organization)).collect()
    }
}

#[cfg(test)]
mod tests;
