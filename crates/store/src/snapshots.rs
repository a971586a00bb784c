//! The local picture of ConnectWise, one document a connection.

use crate::db::{self, commit, write_tx};
use crate::{error, store::SqlStore};
use sea_orm::entity::prelude::*;
use trueup_domain::ids::OrganizationId;
use trueup_domain::psa::Snapshot;
use trueup_engine::ports::StoreError;
use trueup_engine::records::Millis;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "snapshot")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub org: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub connection: String,
    pub at: i64,
    pub doc: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub(crate) async fn save(
    store: &SqlStore,
    org: &OrganizationId,
    connection: &str,
    at: Millis,
    snapshot: &Snapshot,
) -> Result<(), StoreError> {
    let doc = db::to_doc("a snapshot", snapshot)?;
    let row = Model { org: org.0.clone(), connection: connection.to_owned(), at, doc };
    let tx = write_tx(store).await?;
    db::upsert::<Entity>(&tx, vec![row], &[Column::Org, Column::Connection], &[Column::At, Column::Doc])
        .await?;
    commit(tx).await
}

pub(crate) async fn load(
    store: &SqlStore,
    org: &OrganizationId,
    connection: &str,
) -> Result<Option<(Millis, Snapshot)>, StoreError> {
    let row = Entity::find_by_id((org.0.clone(), connection.to_owned()));
    match row.one(&store.db).await.map_err(error::of_db)? {
        Some(row) => Ok(Some((row.at, db::from_doc("the picture of ConnectWise", &row.doc)?))),
        None => Ok(None),
    }
}
