//! Organizations: the tree that settings and connections are inherited along.

use crate::db::{self, commit, write_tx};
use crate::{error, store::SqlStore};
use sea_orm::entity::prelude::*;
use sea_orm::{IntoActiveModel, QueryOrder};
use trueup_domain::ids::OrganizationId;
use trueup_engine::organizations::MAX_DEPTH;
use trueup_engine::ports::StoreError;
use trueup_engine::records::OrganizationRow;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "organization")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub name: String,
    pub kind: String,
    pub parent: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub(crate) async fn ensure(store: &SqlStore, org: &OrganizationId) -> Result<(), StoreError> {
    let row = Model { id: org.to_string(), name: org.to_string(), kind: "partner".to_owned(), parent: None };
    let tx = write_tx(store).await?;
    db::upsert::<Entity>(&tx, vec![row], &[Column::Id], &[]).await?;
    commit(tx).await
}

pub(crate) async fn add(store: &SqlStore, row: &OrganizationRow) -> Result<(), StoreError> {
    let tx = write_tx(store).await?;
    if find(&*tx, row.id.as_str()).await?.is_some() {
        return Err(StoreError::Conflict(format!("the organization {}", row.id)));
    }
    if let Some(parent) = &row.parent
        && find(&*tx, parent.as_str()).await?.is_none()
    {
        return Err(StoreError::Damaged(format!(
            "there is no organization {parent} to place {} below",
            row.id
        )));
    }
    let model = Model {
        id: row.id.to_string(),
        name: row.name.clone(),
        kind: row.kind.clone(),
        parent: row.parent.as_ref().map(ToString::to_string),
    };
    Entity::insert(model.into_active_model()).exec_without_returning(&*tx).await.map_err(error::of_db)?;
    commit(tx).await
}

async fn find<C: ConnectionTrait>(db: &C, id: &str) -> Result<Option<Model>, StoreError> {
    Entity::find().filter(Column::Id.eq(id)).one(db).await.map_err(error::of_db)
}

pub(crate) async fn list(store: &SqlStore) -> Result<Vec<OrganizationRow>, StoreError> {
    list_in(&store.db).await
}

/// The same within a transaction.
pub(crate) async fn list_in<C: ConnectionTrait>(db: &C) -> Result<Vec<OrganizationRow>, StoreError> {
    let rows = Entity::find().order_by_asc(Column::Id).all(db).await.map_err(error::of_db)?;
    Ok(rows
        .into_iter()
        .map(|row| OrganizationRow {
            id: OrganizationId::from(row.id),
            name: row.name,
            kind: row.kind,
            parent: row.parent.map(OrganizationId::from),
        })
        .collect())
}

/// The organization and the levels above it, nearest first. One that is not stored stands alone.
pub(crate) async fn levels(store: &SqlStore, org: &OrganizationId) -> Result<Vec<String>, StoreError> {
    let mut levels = vec![org.to_string()];
    let mut at = find(&store.db, org.as_str()).await?.and_then(|row| row.parent);
    while let Some(parent) = at {
        // The bound also keeps a broken parent from looping.
        if levels.len() >= MAX_DEPTH || levels.contains(&parent) {
            break;
        }
        at = find(&store.db, &parent).await?.and_then(|row| row.parent);
        levels.push(parent);
    }
    Ok(levels)
}
