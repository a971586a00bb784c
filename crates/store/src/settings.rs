//! Settings: each from the nearest level that sets it.

use crate::db::{self, commit, write_tx};
use crate::{error, organizations, store::SqlStore};
use sea_orm::entity::prelude::*;
use trueup_domain::ids::OrganizationId;
use trueup_engine::ports::StoreError;
use trueup_engine::records::{Seen, SettingValue, SettingValues};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "setting")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub org: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: String,
    pub value: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub(crate) async fn load(store: &SqlStore, org: &OrganizationId) -> Result<SettingValues, StoreError> {
    let levels = organizations::levels(store, org).await?;
    let rows = Entity::find()
        .filter(Column::Org.is_in(levels.iter().map(String::as_str)))
        .all(&store.db)
        .await
        .map_err(error::of_db)?;
    let mut values = SettingValues::new();
    // From the farthest level to the nearest, so that the nearest is the last to speak.
    for level in levels.iter().rev() {
        for row in rows.iter().filter(|row| &row.org == level) {
            let from = Some(OrganizationId::from(row.org.clone()));
            values.insert(row.key.clone(), SettingValue { value: row.value.clone(), from });
        }
    }
    Ok(values)
}

pub(crate) async fn save(
    store: &SqlStore,
    org: &OrganizationId,
    key: &str,
    seen: Seen<'_>,
    value: Option<&str>,
) -> Result<bool, StoreError> {
    let tx = write_tx(store).await?;
    // Of two who saw the same value, the second finds what the first has set.
    db::guard(&tx, org.as_str(), "setting").await?;
    if let Seen::Value(seen) = seen {
        let row = Entity::find_by_id((org.to_string(), key.to_owned()));
        let own = row.one(&*tx).await.map_err(error::of_db)?;
        if own.as_ref().map(|row| row.value.as_str()) != seen {
            return Ok(false);
        }
    }
    match value {
        Some(value) => {
            let row = Model { org: org.to_string(), key: key.to_owned(), value: value.to_owned() };
            db::upsert::<Entity>(&tx, vec![row], &[Column::Org, Column::Key], &[Column::Value]).await?;
        }
        None => {
            Entity::delete_many()
                .filter(Column::Org.eq(org.as_str()))
                .filter(Column::Key.eq(key))
                .exec(&*tx)
                .await
                .map_err(error::of_db)?;
        }
    }
    commit(tx).await?;
    Ok(true)
}
