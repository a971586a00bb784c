//! The tree of organizations, as the service walks it.

use crate::db::{self, commit, write_tx};
use crate::{audit, error, organizations, store::SqlStore};
use sea_orm::ConnectionTrait;
use std::collections::BTreeMap;
use trueup_domain::ids::OrganizationId;
use trueup_engine::organizations::Tree;
use trueup_engine::ports::{Store, StoreError};
use trueup_engine::records::{Millis, NewAuditEntry, OrganizationRow};

/// How an organization was moved, or why it was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moved {
    /// It was.
    Done,
    /// The tree is another one than that by which it was judged.
    Otherwise,
    /// A run of this one goes on.
    Busy(OrganizationId),
}

/// An organization to be moved.
#[derive(Clone, Debug)]
pub struct Move<'a> {
    /// Which.
    pub org: &'a OrganizationId,
    /// Where it was when the move was judged.
    pub former: Option<&'a OrganizationId>,
    /// Where it goes.
    pub parent: Option<&'a OrganizationId>,
    /// It, and what was below it when the move was judged.
    pub organizations: &'a [OrganizationId],
    /// Schedules that wait from now on.
    pub pauses: &'a [(OrganizationId, String)],
    /// When.
    pub at: Millis,
    /// By whom.
    pub actor: &'a str,
}

impl SqlStore {
    /// The whole tree with its settings and whose ConnectWise each level has.
    ///
    /// # Errors
    /// The database's.
    pub async fn load_tree(&self) -> Result<Tree, StoreError> {
        let mut tree = Tree::of(&self.list_organizations().await?);
        for row in db::query(&self.db, "SELECT org, key, value FROM setting", []).await? {
            let text = |name: &str| row.try_get::<String>("", name).map_err(error::of_db);
            let own = tree.settings.entry(OrganizationId::from(text("org")?)).or_default();
            own.insert(text("key")?, text("value")?);
        }
        // The first that was added is the one that is taken.
        let sql = "SELECT org, company FROM connection ORDER BY created_at, name";
        for row in db::query(&self.db, sql, []).await? {
            let text = |name: &str| row.try_get::<String>("", name).map_err(error::of_db);
            tree.companies.entry(OrganizationId::from(text("org")?)).or_insert(text("company")?);
        }
        Ok(tree)
    }

    /// Places an organization below another one, with the audit entries of those whom it concerns. Nothing is done where
    /// the tree changed since, or while something of it is being carried out.
    ///
    /// # Errors
    /// The database's.
    pub async fn move_organization(
        &self,
        wanted: &Move<'_>,
        entries: &BTreeMap<OrganizationId, NewAuditEntry>,
    ) -> Result<Moved, StoreError> {
        let tx = write_tx(self).await?;
        db::see_everybody(&tx).await?;
        // Two moves at once could place two organizations below each other.
        db::guard(&tx, "*", "organizations").await?;
        let now = Tree::of(&organizations::list_in(&*tx).await?);
        let stands = |org: &OrganizationId| now.parents.get(org).map(Option::as_ref);
        let is_there = wanted.parent.is_none_or(|parent| stands(parent).is_some());
        if stands(wanted.org) != Some(wanted.former)
            || !is_there
            || now.below(wanted.org) != wanted.organizations
            || wanted.parent.is_some_and(|parent| wanted.organizations.contains(parent))
        {
            return Ok(Moved::Otherwise);
        }
        if let Some(busy) = busy_in(&*tx, wanted.organizations).await? {
            return Ok(Moved::Busy(busy));
        }
        let parent = wanted.parent.map(OrganizationId::to_string);
        let sql = "UPDATE organization SET parent = $2 WHERE id = $1";
        db::run(&*tx, sql, [wanted.org.as_str().into(), parent.into()]).await?;
        for (org, kind) in wanted.pauses {
            // One that begins to run only where it is moved to has no row yet.
            let sql = "INSERT INTO schedule (org, kind, spec, paused_at, paused_by) VALUES ($1, $2, 'off', $3, $4) \
                       ON CONFLICT (org, kind) DO UPDATE SET paused_at = excluded.paused_at, \
                       paused_by = excluded.paused_by WHERE schedule.paused_at IS NULL";
            let by = [org.as_str().into(), kind.as_str().into(), wanted.at.into(), wanted.actor.into()];
            db::run(&*tx, sql, by).await?;
        }
        for (org, entry) in entries {
            audit::append_in(&tx, org, vec![entry]).await?;
        }
        commit(tx).await?;
        Ok(Moved::Done)
    }

    /// The organization and the levels above it, nearest first; none where it is not stored.
    ///
    /// # Errors
    /// The database's.
    pub async fn find_lineage(
        &self,
        org: &OrganizationId,
    ) -> Result<Option<Vec<OrganizationId>>, StoreError> {
        let sql = "SELECT id FROM organization WHERE id = $1";
        if db::query(&self.db, sql, [org.as_str().into()]).await?.is_empty() {
            return Ok(None);
        }
        Ok(Some(organizations::levels(self, org).await?.into_iter().map(OrganizationId::from).collect()))
    }

    /// One organization.
    ///
    /// # Errors
    /// The database's.
    pub async fn find_organization(
        &self,
        org: &OrganizationId,
    ) -> Result<Option<OrganizationRow>, StoreError> {
        let sql = "SELECT name, kind, parent FROM organization WHERE id = $1";
        let rows = db::query(&self.db, sql, [org.as_str().into()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let parent: Option<String> = row.try_get("", "parent").map_err(error::of_db)?;
        Ok(Some(OrganizationRow {
            id: org.clone(),
            name: row.try_get("", "name").map_err(error::of_db)?,
            kind: row.try_get("", "kind").map_err(error::of_db)?,
            parent: parent.map(OrganizationId::from),
        }))
    }

    /// Gives an organization another name, with its audit entry. Returns whether there is one.
    ///
    /// # Errors
    /// The database's.
    pub async fn rename_organization(
        &self,
        org: &OrganizationId,
        name: &str,
        entry: &NewAuditEntry,
    ) -> Result<bool, StoreError> {
        let tx = write_tx(self).await?;
        let sql = "UPDATE organization SET name = $2 WHERE id = $1";
        let there = db::run(&*tx, sql, [org.as_str().into(), name.into()]).await? > 0;
        if there {
            audit::append_in(&tx, org, vec![entry]).await?;
        }
        commit(tx).await?;
        Ok(there)
    }
}

/// The first of them with a run that has not ended.
async fn busy_in<C: ConnectionTrait>(
    db: &C,
    organizations: &[OrganizationId],
) -> Result<Option<OrganizationId>, StoreError> {
    let sql = "SELECT DISTINCT org FROM run WHERE finished_at IS NULL ORDER BY org";
    for row in db::query(db, sql, []).await? {
        let org = OrganizationId::from(row.try_get::<String>("", "org").map_err(error::of_db)?);
        if organizations.contains(&org) {
            return Ok(Some(org));
        }
    }
    Ok(None)
}
