//! Connections to ConnectWise: the private key is sealed before it reaches a row and opened on load alone.

use crate::db::{self, commit, write_tx};
use crate::seal::{Place, SealKey};
use crate::{audit, error, organizations, store::SqlStore, webhooks};
use sea_orm::entity::prelude::*;
use sea_orm::{Condition, QueryOrder, QuerySelect};
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::ids::OrganizationId;
use trueup_engine::ports::StoreError;
use trueup_engine::records::{Connection, NewAuditEntry, SecretText};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "connection")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub org: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    pub url: String,
    pub company: String,
    pub public_key: String,
    pub sealed_private_key: String,
    pub client_id: String,
    pub created_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    fn place(&self) -> Place<'_> {
        place(&self.org, &self.name)
    }

    fn opened(self, key: &SealKey) -> Result<Connection, StoreError> {
        let private_key = SecretText::new(key.open(self.place(), &self.sealed_private_key)?);
        Ok(Connection {
            name: self.name,
            url: self.url,
            company: self.company,
            public_key: self.public_key,
            private_key,
            client_id: self.client_id,
            created_at: self.created_at,
        })
    }
}

pub(crate) fn place<'a>(organization: &'a str, connection: &'a str) -> Place<'a> {
    Place { organization, connection, field: "private_key" }
}

impl SqlStore {
    /// Looks whether the key of this data directory opens what is sealed in the database. Nothing sealed needs none.
    ///
    /// # Errors
    /// [`StoreError::KeyMissing`] where it is another one or none, and the database's.
    pub async fn try_key(&self) -> Result<(), StoreError> {
        let Some(row) = Entity::find().order_by_asc(Column::Org).one(&self.db).await.map_err(error::of_db)?
        else {
            return Ok(());
        };
        row.opened(&self.keys.get()?).map(drop)
    }
}

pub(crate) async fn save(
    store: &SqlStore,
    org: &OrganizationId,
    connection: &Connection,
) -> Result<(), StoreError> {
    let tx = write_tx(store).await?;
    // Whether the key may be made is a matter of everybody's secrets.
    db::see_everybody(&tx).await?;
    db::guard(&tx, "", "seal key").await?;
    let key = sealing_key(store, &tx, org, &connection.name).await?;
    let row = Model {
        org: org.to_string(),
        name: connection.name.clone(),
        url: connection.url.clone(),
        company: connection.company.clone(),
        public_key: connection.public_key.clone(),
        sealed_private_key: key
            .seal(place(org.as_str(), &connection.name), connection.private_key.reveal())?,
        client_id: connection.client_id.clone(),
        created_at: connection.created_at,
    };
    let update =
        [Column::Url, Column::Company, Column::PublicKey, Column::SealedPrivateKey, Column::ClientId];
    db::upsert::<Entity>(&tx, vec![row], &[Column::Org, Column::Name], &update).await?;
    commit(tx).await
}

pub(crate) async fn remove(store: &SqlStore, org: &OrganizationId, name: &str) -> Result<bool, StoreError> {
    let tx = write_tx(store).await?;
    let removed =
        Entity::delete_by_id((org.to_string(), name.to_owned())).exec(&*tx).await.map_err(error::of_db)?;
    commit(tx).await?;
    Ok(removed.rows_affected > 0)
}

impl SqlStore {
    /// Whose each connection is that an organization sees, by name: its own, or the nearest level above that has one.
    ///
    /// # Errors
    /// The database's.
    pub async fn connection_owners(
        &self,
        org: &OrganizationId,
    ) -> Result<BTreeMap<String, OrganizationId>, StoreError> {
        let levels = organizations::levels(self, org).await?;
        let rows: Vec<(String, String)> = Entity::find()
            .select_only()
            .columns([Column::Org, Column::Name])
            .filter(Column::Org.is_in(levels.iter().map(String::as_str)))
            .into_tuple()
            .all(&self.db)
            .await
            .map_err(error::of_db)?;
        let mut owners = BTreeMap::new();
        for level in levels {
            for (_, name) in rows.iter().filter(|(org, _)| *org == level) {
                owners.entry(name.clone()).or_insert_with(|| OrganizationId::from(level.clone()));
            }
        }
        Ok(owners)
    }

    /// Takes an organization's own connection away, with the place where its callbacks arrive and the audit entry.
    /// Returns whether there was one.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_connection(
        &self,
        org: &OrganizationId,
        name: &str,
        entry: &NewAuditEntry,
    ) -> Result<bool, StoreError> {
        let tx = write_tx(self).await?;
        let removed = Entity::delete_by_id((org.to_string(), name.to_owned()))
            .exec(&*tx)
            .await
            .map_err(error::of_db)?;
        let there = removed.rows_affected > 0;
        if there {
            let sql = "DELETE FROM callback WHERE org = $1 AND connection = $2";
            db::run(&*tx, sql, [org.as_str().into(), name.into()]).await?;
            audit::append_in(&tx, org, vec![entry]).await?;
        }
        commit(tx).await?;
        Ok(there)
    }
}

/// The key to seal with. A new one is made only while it takes nothing away from rows that are sealed already; entering
/// the one connection there is anew is the way out of a lost key.
async fn sealing_key(
    store: &SqlStore,
    tx: &sea_orm::DatabaseTransaction,
    org: &OrganizationId,
    name: &str,
) -> Result<SealKey, StoreError> {
    let other = Entity::find()
        .filter(Condition::any().add(Column::Org.ne(org.as_str())).add(Column::Name.ne(name)))
        .one(tx)
        .await
        .map_err(error::of_db)?;
    if let Some(sealed) = webhooks::all_sealed(tx).await?.first() {
        let key = store.keys.get()?;
        key.open(sealed.place(), &sealed.text)?;
        return Ok(key);
    }
    match (store.keys.find()?, other) {
        (Some(key), Some(row)) => {
            key.open(row.place(), &row.sealed_private_key)?;
            Ok(key)
        }
        (Some(key), None) => Ok(key),
        (None, Some(_)) => store.keys.get(),
        (None, None) => store.keys.create(),
    }
}

pub(crate) async fn list(store: &SqlStore, org: &OrganizationId) -> Result<Vec<Connection>, StoreError> {
    match list_once(store, org).await {
        // The key may have been rotated between reading the rows and reading the key: both are new the second time.
        Err(StoreError::KeyMissing(_)) => list_once(store, org).await,
        listed => listed,
    }
}

async fn list_once(store: &SqlStore, org: &OrganizationId) -> Result<Vec<Connection>, StoreError> {
    let levels = organizations::levels(store, org).await?;
    let rows = Entity::find()
        .filter(Column::Org.is_in(levels.iter().map(String::as_str)))
        // One that is added later is not taken unasked.
        .order_by_asc(Column::CreatedAt)
        .order_by_asc(Column::Name)
        .all(&store.db)
        .await
        .map_err(error::of_db)?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let key = store.keys.get()?;
    let mut names = BTreeSet::new();
    let mut nearest = Vec::new();
    for level in &levels {
        for row in rows.iter().filter(|row| &row.org == level) {
            // A level below has its own connection by this name: that is the one meant.
            if names.insert(row.name.clone()) {
                nearest.push(row.clone().opened(&key)?);
            }
        }
    }
    Ok(nearest)
}
