//! Callbacks of ConnectWise: where they arrive, and the agreements and tickets that they say were touched. Such a hint makes
//! the next pull read the agreement, or a run look at the tickets of alerts; it changes nothing else.

use crate::db::{self, commit, write_tx};
use crate::runs::{self, Run};
use crate::{audit, error, store::SqlStore};
use sea_orm::DatabaseTransaction;
use std::collections::BTreeMap;
use trueup_domain::ids::{AgreementId, OrganizationId};
use trueup_engine::ports::StoreError;
use trueup_engine::records::{Millis, NewAuditEntry};

/// Where callbacks of a connection arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callback {
    /// Whose connection.
    pub org: OrganizationId,
    /// Its name.
    pub connection: String,
    /// Hash of the secret part of the path.
    pub hash: String,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: Millis,
}

/// The last run whose fire begins with a name.
pub(crate) const LAST_FIRED: &str = "SELECT id, state, not_before FROM run WHERE org = $1 AND fired_for >= $2 \
                                     AND fired_for < $3 ORDER BY fired_for DESC LIMIT 1";

impl SqlStore {
    /// Stores where callbacks of a connection arrive, in place of what was before, with the audit entry.
    ///
    /// # Errors
    /// The database's.
    pub async fn save_callback(&self, callback: &Callback, entry: &NewAuditEntry) -> Result<(), StoreError> {
        let tx = write_tx(self).await?;
        let sql = "INSERT INTO callback (org, connection, hash, created_by, created_at) VALUES ($1, $2, $3, $4, $5) \
                   ON CONFLICT (org, connection) DO UPDATE SET hash = excluded.hash, \
                   created_by = excluded.created_by, created_at = excluded.created_at";
        let values = [
            callback.org.as_str().into(),
            callback.connection.as_str().into(),
            callback.hash.as_str().into(),
            callback.created_by.as_str().into(),
            callback.created_at.into(),
        ];
        db::run(&*tx, sql, values).await?;
        audit::append_in(&tx, &callback.org, vec![entry]).await?;
        commit(tx).await
    }

    /// Takes the place away where callbacks of a connection arrive. Returns whether there was one.
    ///
    /// # Errors
    /// The database's.
    pub async fn delete_callback(
        &self,
        org: &OrganizationId,
        connection: &str,
        entry: &NewAuditEntry,
    ) -> Result<bool, StoreError> {
        let tx = write_tx(self).await?;
        let sql = "DELETE FROM callback WHERE org = $1 AND connection = $2";
        let there = db::run(&*tx, sql, [org.as_str().into(), connection.into()]).await? > 0;
        if there {
            audit::append_in(&tx, org, vec![entry]).await?;
        }
        commit(tx).await?;
        Ok(there)
    }

    /// When the places for callbacks of an organization's connections were made, by the connection.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_callbacks(&self, org: &OrganizationId) -> Result<BTreeMap<String, Millis>, StoreError> {
        let sql = "SELECT connection, created_at FROM callback WHERE org = $1";
        let rows = db::query(&self.db, sql, [org.as_str().into()]).await?;
        let of = error::of_db;
        rows.iter()
            .map(|row| {
                Ok((row.try_get("", "connection").map_err(of)?, row.try_get("", "created_at").map_err(of)?))
            })
            .collect()
    }

    /// The place with this hash.
    ///
    /// # Errors
    /// The database's.
    pub async fn find_callback(&self, hash: &str) -> Result<Option<Callback>, StoreError> {
        let sql = "SELECT org, connection, created_by, created_at FROM callback WHERE hash = $1";
        let rows = db::query(&self.db, sql, [hash.into()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let text = |name: &str| row.try_get::<String>("", name).map_err(error::of_db);
        Ok(Some(Callback {
            org: OrganizationId::from(text("org")?),
            connection: text("connection")?,
            hash: hash.to_owned(),
            created_by: text("created_by")?,
            created_at: row.try_get("", "created_at").map_err(error::of_db)?,
        }))
    }

    /// Lets the next pull read an agreement, and puts a run for that into the queue unless one waits there already:
    /// however many hints come, runs of a connection begin at least `apart` after one another. Returns whether the
    /// run is there now; its fire is made here.
    ///
    /// # Errors
    /// The database's.
    pub async fn hint_agreement(
        &self,
        connection: &str,
        agreement: AgreementId,
        run: &Run,
        apart: Millis,
        entry: &NewAuditEntry,
    ) -> Result<bool, StoreError> {
        let (org, now) = (run.org.as_str(), run.created_at);
        let tx = write_tx(self).await?;
        db::guard(&tx, org, "callbacks").await?;
        let sql = "INSERT INTO picture_hint (org, connection, id, at) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (org, connection, id) DO UPDATE SET at = excluded.at, pull = NULL";
        db::run(&*tx, sql, [org.into(), connection.into(), agreement.0.into(), now.into()]).await?;
        let added = fire(&tx, &format!("callback:{connection}:"), run, apart, entry).await?;
        commit(tx).await?;
        Ok(added)
    }

    /// Puts a run about tickets into the queue unless one of the connection waits there already; otherwise as
    /// [`Self::hint_agreement`].
    ///
    /// # Errors
    /// The database's.
    pub async fn hint_ticket(
        &self,
        connection: &str,
        run: &Run,
        apart: Millis,
        entry: &NewAuditEntry,
    ) -> Result<bool, StoreError> {
        let tx = write_tx(self).await?;
        db::guard(&tx, run.org.as_str(), "callbacks").await?;
        let added = fire(&tx, &format!("callback-ticket:{connection}:"), run, apart, entry).await?;
        commit(tx).await?;
        Ok(added)
    }
}

/// Puts a run into the queue under a fire of this name, `apart` after the last one of the name at the earliest, unless one
/// waits there.
async fn fire(
    tx: &DatabaseTransaction,
    name: &str,
    run: &Run,
    apart: Millis,
    entry: &NewAuditEntry,
) -> Result<bool, StoreError> {
    let (org, now) = (run.org.as_str(), run.created_at);
    let latest = now.saturating_add(apart);
    // Ids grow with time, and a run has its id in its fire.
    let (first, behind) = runs::range(name);
    let last = db::query(tx, LAST_FIRED, [org.into(), first.into(), behind.into()]).await?;
    let last: Option<(String, Millis, String)> = match last.first() {
        Some(row) => Some((
            row.try_get("", "state").map_err(error::of_db)?,
            row.try_get("", "not_before").map_err(error::of_db)?,
            row.try_get("", "id").map_err(error::of_db)?,
        )),
        None => None,
    };
    if let Some((state, at, id)) = &last
        && state == "queued"
    {
        // One from a clock that was ahead must not wait until the clock is there.
        if *at > latest {
            let sql = "UPDATE run SET not_before = $3 WHERE org = $1 AND id = $2 AND state = 'queued'";
            db::run(tx, sql, [org.into(), id.as_str().into(), latest.into()]).await?;
        }
        return Ok(false);
    }
    let begins = last.map_or(now, |(_, at, _)| at.saturating_add(apart).clamp(now, latest));
    let run = Run { not_before: begins, fired_for: Some(format!("{name}{}", run.id)), ..run.clone() };
    let added = runs::insert(tx, &run).await?;
    if added {
        audit::append_in(tx, &run.org, vec![entry]).await?;
    }
    Ok(added)
}
