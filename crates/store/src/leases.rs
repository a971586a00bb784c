//! Leases on lanes: one worker at a time, with a number that grows with every new holder.

use crate::db::{self, commit, write_tx};
use crate::{error, store::SqlStore};
use sea_orm::{DatabaseTransaction, DbBackend};
use trueup_domain::ids::OrganizationId;
use trueup_engine::ports::{Lease, StoreError};
use trueup_engine::records::Millis;

pub(crate) async fn acquire(
    store: &SqlStore,
    org: &OrganizationId,
    (lane, owner): (&str, &str),
    now: Millis,
    ttl_ms: i64,
) -> Result<Option<Lease>, StoreError> {
    // One statement, so that no two can both see the lane free. A holder that comes back in time keeps its number; one
    // that comes back late gets a new one, because whatever it began before may have been overtaken.
    let sql = "INSERT INTO lease (org, lane, owner, fencing, expires_at) VALUES ($1, $2, $3, 1, $4) \
               ON CONFLICT (org, lane) DO UPDATE SET \
               fencing = CASE WHEN lease.owner = excluded.owner AND lease.expires_at > $5 \
               THEN lease.fencing ELSE lease.fencing + 1 END, \
               owner = excluded.owner, expires_at = excluded.expires_at \
               WHERE lease.owner = excluded.owner OR lease.expires_at <= $5 RETURNING fencing";
    let expires_at = now.saturating_add(ttl_ms.max(0));
    let values = [org.as_str().into(), lane.into(), owner.into(), expires_at.into(), now.into()];
    let tx = write_tx(store).await?;
    let rows = db::query(&*tx, sql, values).await?;
    commit(tx).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let fencing = row.try_get("", "fencing").map_err(error::of_db)?;
    Ok(Some(Lease { lane: lane.to_owned(), owner: owner.to_owned(), fencing }))
}

pub(crate) async fn release(store: &SqlStore, org: &OrganizationId, lease: &Lease) -> Result<(), StoreError> {
    // The row stays: its number must go on growing.
    let sql = "UPDATE lease SET owner = '', expires_at = 0 \
               WHERE org = $1 AND lane = $2 AND owner = $3 AND fencing = $4";
    let tx = write_tx(store).await?;
    db::run(&*tx, sql, key(org, lease)).await?;
    commit(tx).await
}

/// Refuses to go on when the lane has a newer holder. On PostgreSQL the row is held until the transaction ends, so that
/// nobody takes the lane between this look and the write.
pub(crate) async fn check(
    tx: &DatabaseTransaction,
    org: &OrganizationId,
    lease: &Lease,
) -> Result<(), StoreError> {
    let mut sql =
        "SELECT fencing FROM lease WHERE org = $1 AND lane = $2 AND owner = $3 AND fencing = $4".to_owned();
    if sea_orm::ConnectionTrait::get_database_backend(tx) != DbBackend::Sqlite {
        sql.push_str(" FOR UPDATE");
    }
    if db::query(tx, &sql, key(org, lease)).await?.is_empty() { Err(StoreError::Fenced) } else { Ok(()) }
}

fn key(org: &OrganizationId, lease: &Lease) -> [sea_orm::Value; 4] {
    [org.as_str().into(), lease.lane.as_str().into(), lease.owner.as_str().into(), lease.fencing.into()]
}
