//! What is known of the limits of places that several processes call: a document a limit, changed by one at a time.

use crate::db::{self, begin};
use crate::{error, store::SqlStore};
use trueup_engine::ports::StoreError;

impl SqlStore {
    /// Changes what is known of a limit, while no other process does. `change` gets what is kept, none at first, and the
    /// database server's time in microseconds, which is the same for all; it gives what is kept from now on and an
    /// answer. None where the database is embedded: nobody shares anything there.
    ///
    /// # Errors
    /// The database's.
    pub async fn change_budget<T>(
        &self,
        id: &str,
        change: impl FnOnce(Option<&str>, u64) -> (String, T),
    ) -> Result<Option<T>, StoreError> {
        if self.is_embedded() {
            return Ok(None);
        }
        let tx = begin(&self.db).await?;
        // What a power cut takes is learnt again.
        db::run(&tx, "SET LOCAL synchronous_commit = off", []).await?;
        let look = "SELECT doc FROM call_budget WHERE id = $1 FOR UPDATE";
        let mut rows = db::query(&tx, look, [id.into()]).await?;
        if rows.is_empty() {
            let sql = "INSERT INTO call_budget (id, doc) VALUES ($1, '') ON CONFLICT DO NOTHING";
            db::run(&tx, sql, [id.into()]).await?;
            rows = db::query(&tx, look, [id.into()]).await?;
        }
        let kept: Option<String> =
            rows.first().map(|row| row.try_get("", "doc").map_err(error::of_db)).transpose()?;
        // After the row is ours: the time of the wait for it is over.
        let clock = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) AS now";
        let now: i64 = match db::query(&tx, clock, []).await?.first() {
            Some(row) => row.try_get("", "now").map_err(error::of_db)?,
            None => 0,
        };
        let kept = kept.as_deref().filter(|text| !text.is_empty());
        let (doc, answer) = change(kept, u64::try_from(now).unwrap_or(0));
        db::run(&tx, "UPDATE call_budget SET doc = $2 WHERE id = $1", [id.into(), doc.into()]).await?;
        tx.commit().await.map_err(error::of_db)?;
        Ok(Some(answer))
    }
}
