//! The tree of organizations, as the service walks it.

use crate::db::{self, commit, write_tx};
use crate::{audit, error, organizations, store::SqlStore};
use trueup_domain::ids::OrganizationId;
use trueup_engine::ports::StoreError;
use trueup_engine::records::{NewAuditEntry, OrganizationRow};

impl SqlStore {
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
