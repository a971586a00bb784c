//! Sessions of people. The cookie's value is never stored: its hash is.

use crate::db::{self, commit, write_tx};
use crate::people::{self, Person};
use crate::{error, store::SqlStore};
use trueup_engine::ports::StoreError;
use trueup_engine::records::Millis;

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Hash of the cookie's value.
    pub hash: String,
    /// Whose.
    pub person: String,
    /// What unsafe requests have to show beside the cookie.
    pub csrf: String,
    /// When it began.
    pub created_at: Millis,
    /// When it was last used.
    pub seen_at: Millis,
    /// When it ends, used or not.
    pub expires_at: Millis,
}

impl SqlStore {
    /// Begins a session of a person; those that ended are removed. Returns whether the person still is as was read:
    /// with a password that was taken away meanwhile nothing begins.
    ///
    /// # Errors
    /// The database's.
    pub async fn add_session(&self, session: &Session, of: &Person) -> Result<bool, StoreError> {
        let tx = write_tx(self).await?;
        if !people::hold(&tx, of).await? {
            return Ok(false);
        }
        db::run(&*tx, "DELETE FROM session WHERE expires_at <= $1", [session.created_at.into()]).await?;
        let sql = "INSERT INTO session (hash, person, csrf, created_at, seen_at, expires_at) \
                   VALUES ($1, $2, $3, $4, $5, $6)";
        let values = [
            session.hash.as_str().into(),
            session.person.as_str().into(),
            session.csrf.as_str().into(),
            session.created_at.into(),
            session.seen_at.into(),
            session.expires_at.into(),
        ];
        db::run(&*tx, sql, values).await?;
        commit(tx).await?;
        Ok(true)
    }

    /// A session by the hash of its cookie.
    ///
    /// # Errors
    /// The database's.
    pub async fn find_session(&self, hash: &str) -> Result<Option<Session>, StoreError> {
        let sql = "SELECT person, csrf, created_at, seen_at, expires_at FROM session WHERE hash = $1";
        let rows = db::query(&self.db, sql, [hash.into()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(Some(Session {
            hash: hash.to_owned(),
            person: row.try_get("", "person").map_err(error::of_db)?,
            csrf: row.try_get("", "csrf").map_err(error::of_db)?,
            created_at: row.try_get("", "created_at").map_err(error::of_db)?,
            seen_at: row.try_get("", "seen_at").map_err(error::of_db)?,
            expires_at: row.try_get("", "expires_at").map_err(error::of_db)?,
        }))
    }

    /// Notes that a session was used.
    ///
    /// # Errors
    /// The database's.
    pub async fn touch_session(&self, hash: &str, at: Millis) -> Result<(), StoreError> {
        let tx = write_tx(self).await?;
        db::run(&*tx, "UPDATE session SET seen_at = $2 WHERE hash = $1", [hash.into(), at.into()]).await?;
        commit(tx).await
    }

    /// Ends a session.
    ///
    /// # Errors
    /// The database's.
    pub async fn end_session(&self, hash: &str) -> Result<(), StoreError> {
        let tx = write_tx(self).await?;
        db::run(&*tx, "DELETE FROM session WHERE hash = $1", [hash.into()]).await?;
        commit(tx).await
    }
}
