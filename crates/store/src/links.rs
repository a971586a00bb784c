//! Links: what trueup remembers of the additions it wrote or took over.

use crate::db::{self, commit, write_tx};
use crate::{error, store::SqlStore};
use sea_orm::entity::prelude::*;
use sea_orm::{DatabaseTransaction, QueryOrder};
use std::collections::BTreeMap;
use trueup_domain::ids::OrganizationId;
use trueup_domain::plan::AdditionLink;
use trueup_engine::ports::StoreError;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "link")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub org: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub addition: i64,
    pub agreement: i64,
    pub source: String,
    pub subscription: String,
    pub doc: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Saves links within a transaction; of two for one addition the last holds.
pub(crate) async fn save_in(
    tx: &DatabaseTransaction,
    org: &OrganizationId,
    links: Vec<&AdditionLink>,
) -> Result<(), StoreError> {
    let mut rows = BTreeMap::new();
    for link in links {
        let row = Model {
            org: org.to_string(),
            addition: link.addition.0,
            agreement: link.agreement.0,
            source: link.source.to_string(),
            subscription: link.subscription.to_string(),
            doc: db::to_doc("a link", link)?,
        };
        rows.insert(row.addition, row);
    }
    let update = [Column::Agreement, Column::Source, Column::Subscription, Column::Doc];
    db::upsert::<Entity>(tx, rows.into_values().collect(), &[Column::Org, Column::Addition], &update).await
}

pub(crate) async fn save(
    store: &SqlStore,
    org: &OrganizationId,
    links: &[AdditionLink],
) -> Result<(), StoreError> {
    let tx = write_tx(store).await?;
    save_in(&tx, org, links.iter().collect()).await?;
    commit(tx).await
}

pub(crate) async fn list(store: &SqlStore, org: &OrganizationId) -> Result<Vec<AdditionLink>, StoreError> {
    let query = Entity::find().filter(Column::Org.eq(org.as_str())).order_by_asc(Column::Addition);
    let rows = query.all(&store.db).await.map_err(error::of_db)?;
    rows.iter().map(|row| db::from_doc(&format!("the link of {}", row.addition), &row.doc)).collect()
}
