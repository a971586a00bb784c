//! The audit: append-only, numbered without gaps, each entry hashed over the one before.
//!
//! The hash of an entry is SHA-256 over the previous hash, the number and the entry's JSON, each with its length in
//! front. The first entry's previous hash is made from the organization, so that one organization's chain does not
//! pass for another's. The head (number and hash of the newest entry) is kept apart: a chain cut short is found too.

use crate::db::{self, commit, write_tx};
use crate::{error, store::SqlStore};
use sea_orm::entity::prelude::*;
use sea_orm::{DatabaseTransaction, QueryOrder, QuerySelect};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use trueup_domain::ids::{AdditionId, OrganizationId};
use trueup_engine::ports::StoreError;
use trueup_engine::records::{AuditEntry, NewAuditEntry};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub org: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub number: i64,
    pub at: i64,
    pub actor: String,
    pub action: String,
    pub object: String,
    pub addition: Option<i64>,
    pub detail: String,
    pub previous_hash: String,
    pub hash: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The newest entry's number and hash.
mod head {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "audit_head")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub org: String,
        pub number: i64,
        pub hash: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Entries read at once while the chain is recomputed.
const PAGE: u64 = 2_000;

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn hash_of(parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hex(&hasher.finalize())
}

fn first_hash(org: &str) -> String {
    hash_of(&[b"trueup audit", org.as_bytes()])
}

fn entry_hash(previous: &str, number: i64, entry: &NewAuditEntry) -> Result<String, StoreError> {
    let json = db::to_doc("an audit entry", entry)?;
    Ok(hash_of(&[previous.as_bytes(), &number.to_be_bytes(), json.as_bytes()]))
}

impl Model {
    fn entry(&self) -> NewAuditEntry {
        NewAuditEntry {
            at: self.at,
            actor: self.actor.clone(),
            action: self.action.clone(),
            object: self.object.clone(),
            addition: self.addition.map(AdditionId),
            detail: self.detail.clone(),
        }
    }
}

/// Appends within a transaction.
pub(crate) async fn append_in(
    tx: &DatabaseTransaction,
    org: &OrganizationId,
    entries: Vec<&NewAuditEntry>,
) -> Result<(), StoreError> {
    if entries.is_empty() {
        return Ok(());
    }
    db::guard(tx, org.as_str(), "audit").await?;
    let head = head::Entity::find_by_id(org.to_string()).one(tx).await.map_err(error::of_db)?;
    let mut head = head.unwrap_or_else(|| head::Model {
        org: org.to_string(),
        number: 0,
        hash: first_hash(org.as_str()),
    });
    let mut rows = Vec::new();
    for entry in entries {
        let number = head.number + 1;
        let hash = entry_hash(&head.hash, number, entry)?;
        rows.push(Model {
            org: org.to_string(),
            number,
            at: entry.at,
            actor: entry.actor.clone(),
            action: entry.action.clone(),
            object: entry.object.clone(),
            addition: entry.addition.map(|a| a.0),
            detail: entry.detail.clone(),
            previous_hash: std::mem::replace(&mut head.hash, hash.clone()),
            hash,
        });
        head.number = number;
    }
    // `DO NOTHING` cannot hide an entry: the head below would not fit it, and the next check would say so.
    db::upsert::<Entity>(tx, rows, &[Column::Org, Column::Number], &[]).await?;
    let update = [head::Column::Number, head::Column::Hash];
    db::upsert::<head::Entity>(tx, vec![head], &[head::Column::Org], &update).await
}

pub(crate) async fn append(
    store: &SqlStore,
    org: &OrganizationId,
    entries: &[NewAuditEntry],
) -> Result<(), StoreError> {
    let tx = write_tx(store).await?;
    append_in(&tx, org, entries.iter().collect()).await?;
    commit(tx).await
}

/// The newest entries: of one addition as a story, oldest first; of all the newest first.
pub(crate) async fn list(
    store: &SqlStore,
    org: &OrganizationId,
    addition: Option<AdditionId>,
    limit: u32,
) -> Result<Vec<AuditEntry>, StoreError> {
    let query = Entity::find().filter(Column::Org.eq(org.as_str())).limit(u64::from(limit));
    let query = match addition {
        Some(addition) => query.filter(Column::Addition.eq(addition.0)),
        None => query,
    };
    let mut rows = query.order_by_desc(Column::Number).all(&store.db).await.map_err(error::of_db)?;
    if addition.is_some() {
        rows.reverse();
    }
    Ok(rows
        .into_iter()
        .map(|row| AuditEntry {
            number: row.number,
            entry: row.entry(),
            previous_hash: row.previous_hash,
            hash: row.hash,
        })
        .collect())
}

impl SqlStore {
    /// The number and the hash of the last entry of an organization's audit; none where there is no entry.
    ///
    /// # Errors
    /// The database's.
    pub async fn audit_head(&self, org: &OrganizationId) -> Result<Option<(i64, String)>, StoreError> {
        let head = head::Entity::find_by_id(org.to_string()).one(&self.db).await.map_err(error::of_db)?;
        Ok(head.map(|head| (head.number, head.hash)))
    }
}

/// The first number whose entry is missing or does not fit the one before.
pub(crate) async fn verify(store: &SqlStore, org: &OrganizationId) -> Result<Option<i64>, StoreError> {
    let head = head::Entity::find_by_id(org.to_string()).one(&store.db).await.map_err(error::of_db)?;
    let mut number = 0;
    let mut previous = first_hash(org.as_str());
    loop {
        let query = Entity::find()
            .filter(Column::Org.eq(org.as_str()))
            .filter(Column::Number.gt(number))
            .order_by_asc(Column::Number)
            .limit(PAGE);
        let rows = query.all(&store.db).await.map_err(error::of_db)?;
        let last_page = (rows.len() as u64) < PAGE;
        for row in rows {
            number += 1;
            let fits = row.number == number
                && row.previous_hash == previous
                && row.hash == entry_hash(&previous, number, &row.entry())?;
            if !fits {
                return Ok(Some(number));
            }
            previous = row.hash;
            // Entries appended after the head was read are checked like the others; only the head's own is compared.
            if let Some(head) = head.as_ref().filter(|head| head.number == number)
                && head.hash != previous
            {
                return Ok(Some(number));
            }
        }
        if last_page {
            break;
        }
    }
    Ok(head.filter(|head| head.number > number).map(|_| number + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_covers_number_entry_and_previous_hash() {
        let entry = NewAuditEntry {
            at: 1,
            actor: "trueup".into(),
            action: "addition.create".into(),
            object: "addition/1".into(),
            addition: Some(AdditionId(1)),
            detail: "{}".into(),
        };
        let hash = entry_hash("a", 1, &entry).unwrap();
        assert_eq!(hash.len(), 64);
        assert_ne!(hash, entry_hash("b", 1, &entry).unwrap());
        assert_ne!(hash, entry_hash("a", 2, &entry).unwrap());
        assert_ne!(hash, entry_hash("a", 1, &NewAuditEntry { at: 2, ..entry }).unwrap());
        assert_ne!(first_hash("a"), first_hash("b"));
    }
}
