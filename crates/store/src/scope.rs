//! Which organizations the statements of a task may touch. On PostgreSQL the database holds to it as well: its policies
//! show no row of another organization, whatever a statement forgot.

use crate::{error, store::SqlStore};
use sqlx::postgres::PgConnection;
use std::future::Future;
use std::sync::Arc;
use trueup_domain::ids::OrganizationId;
use trueup_engine::ports::StoreError;

/// All organizations: the queue, the schedules, the numbers about the installation.
const EVERYWHERE: &str = "*";

tokio::task_local! {
    static SCOPE: Arc<str>;
}

/// Does work that is about one organization: `lineage` is it and the levels above, whose settings and connections hold in
/// it too. What the work spawns is not held to it.
pub async fn within<F: Future>(lineage: &[OrganizationId], work: F) -> F::Output {
    // What concerns no single organization has the audit and the kept answers of `*`.
    let mut names: Vec<&str> = lineage.iter().map(OrganizationId::as_str).collect();
    names.push(EVERYWHERE);
    SCOPE.scope(names.join(",").into(), work).await
}

/// Does work that needs to see all organizations in the midst of work about one, such as the schedules of all.
pub async fn everywhere<F: Future>(work: F) -> F::Output {
    SCOPE.scope(EVERYWHERE.into(), work).await
}

/// Tells the server for whom the next statements on a connection are; asked whenever a connection is taken.
pub(crate) async fn tell(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    let scope = SCOPE.try_with(Arc::clone).unwrap_or_else(|_| EVERYWHERE.into());
    sqlx::query("SELECT set_config('trueup.scope', $1, false)").bind(&*scope).execute(conn).await.map(|_| ())
}

impl SqlStore {
    /// Whether the database keeps organizations apart as well: none where it is embedded, and no where the role that
    /// trueup signs in with is above the policies, as a superuser is.
    ///
    /// # Errors
    /// The database's.
    pub async fn is_guarded(&self) -> Result<Option<bool>, StoreError> {
        if self.is_embedded() {
            return Ok(None);
        }
        let sql = "SELECT NOT (rolsuper OR rolbypassrls) AS held FROM pg_roles WHERE rolname = current_user";
        let rows = crate::db::query(&self.db, sql, []).await?;
        rows.first().map(|row| row.try_get("", "held").map_err(error::of_db)).transpose()
    }
}
