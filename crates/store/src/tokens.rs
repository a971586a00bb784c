//! Tokens of programs. A token is shown once; its hash is kept.

use crate::db::{self, commit, write_tx};
use crate::{audit, error, store::SqlStore};
use sea_orm::QueryResult;
use trueup_domain::ids::OrganizationId;
use trueup_engine::ports::StoreError;
use trueup_engine::records::{Millis, NewAuditEntry};

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    /// The organization it works in, and below.
    pub org: OrganizationId,
    /// Id.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// Its first characters, to tell it by.
    pub prefix: String,
    /// Its hash.
    pub hash: String,
    /// The rights it has.
    pub rights: Vec<String>,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: Millis,
    /// When it ends; none for never.
    pub expires_at: Option<Millis>,
    /// When it was last used.
    pub last_used_at: Option<Millis>,
    /// When it was revoked.
    pub revoked_at: Option<Millis>,
}

const COLUMNS: &str =
    "org, id, name, prefix, hash, rights, created_by, created_at, expires_at, last_used_at, revoked_at";

fn of_row(row: &QueryResult) -> Result<ApiToken, StoreError> {
    let text = |name: &str| row.try_get::<String>("", name).map_err(error::of_db);
    let when = |name: &str| row.try_get::<Option<i64>>("", name).map_err(error::of_db);
    Ok(ApiToken {
        org: OrganizationId::from(text("org")?),
        id: text("id")?,
        name: text("name")?,
        prefix: text("prefix")?,
        hash: text("hash")?,
        rights: db::from_doc("the rights of a token", &text("rights")?)?,
        created_by: text("created_by")?,
        created_at: row.try_get("", "created_at").map_err(error::of_db)?,
        expires_at: when("expires_at")?,
        last_used_at: when("last_used_at")?,
        revoked_at: when("revoked_at")?,
    })
}

impl SqlStore {
    /// Adds a token with its audit entry.
    ///
    /// # Errors
    /// The database's.
    pub async fn add_token(&self, token: &ApiToken, entry: &NewAuditEntry) -> Result<(), StoreError> {
        let tx = write_tx(self).await?;
        let sql = format!(
            "INSERT INTO api_token ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
        );
        let values = [
            token.org.as_str().into(),
            token.id.as_str().into(),
            token.name.as_str().into(),
            token.prefix.as_str().into(),
            token.hash.as_str().into(),
            db::to_doc("the rights of a token", &token.rights)?.into(),
            token.created_by.as_str().into(),
            token.created_at.into(),
            token.expires_at.into(),
            token.last_used_at.into(),
            token.revoked_at.into(),
        ];
        db::run(&*tx, &sql, values).await?;
        audit::append_in(&tx, &token.org, vec![entry]).await?;
        commit(tx).await
    }

    /// A token by its hash, of whatever organization: the token itself says which.
    ///
    /// # Errors
    /// The database's.
    pub async fn find_token_by_hash(&self, hash: &str) -> Result<Option<ApiToken>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM api_token WHERE hash = $1");
        db::query(&self.db, &sql, [hash.into()]).await?.first().map(of_row).transpose()
    }

    /// The tokens of exactly this organization, newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_tokens(&self, org: &OrganizationId) -> Result<Vec<ApiToken>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM api_token WHERE org = $1 ORDER BY created_at DESC, id");
        db::query(&self.db, &sql, [org.as_str().into()]).await?.iter().map(of_row).collect()
    }

    /// Revokes a token, with its audit entry. Returns whether there was one that held.
    ///
    /// # Errors
    /// The database's.
    pub async fn revoke_token(
        &self,
        org: &OrganizationId,
        id: &str,
        at: Millis,
        entry: &NewAuditEntry,
    ) -> Result<bool, StoreError> {
        let tx = write_tx(self).await?;
        let sql = "UPDATE api_token SET revoked_at = $3 WHERE org = $1 AND id = $2 AND revoked_at IS NULL";
        let held = db::run(&*tx, sql, [org.as_str().into(), id.into(), at.into()]).await? > 0;
        if held {
            audit::append_in(&tx, org, vec![entry]).await?;
        }
        commit(tx).await?;
        Ok(held)
    }

    /// Notes that a token was used.
    ///
    /// # Errors
    /// The database's.
    pub async fn touch_token(&self, org: &OrganizationId, id: &str, at: Millis) -> Result<(), StoreError> {
        let tx = write_tx(self).await?;
        let sql = "UPDATE api_token SET last_used_at = $3 WHERE org = $1 AND id = $2";
        db::run(&*tx, sql, [org.as_str().into(), id.into(), at.into()]).await?;
        commit(tx).await
    }
}
