//! Quantities of what is only counted: what people set, and the lines as the last runs saw them.

use crate::db::{self, commit, write_tx};
use crate::{audit, error, organizations, store::SqlStore};
use sea_orm::QueryOrder;
use sea_orm::entity::prelude::*;
use std::collections::BTreeMap;
use trueup_domain::ids::{OrganizationId, SourceId};
use trueup_domain::quantity::config::EntryKey;
use trueup_domain::quantity::{Entry, Level, Line, LineKey};
use trueup_engine::ports::StoreError;
use trueup_engine::records::NewAuditEntry;

/// Something that people set.
mod entry {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "quantity_entry")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub org: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub source: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub kind: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub scope: String,
        pub doc: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A line.
mod line {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "quantity_line")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub org: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub agreement: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub item: i64,
        pub doc: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(crate) async fn list_entries(store: &SqlStore, org: &OrganizationId) -> Result<Vec<Level>, StoreError> {
    let levels = organizations::levels(store, org).await?;
    let rows = entry::Entity::find()
        .filter(entry::Column::Org.is_in(levels.iter().map(String::as_str)))
        .order_by_asc(entry::Column::Source)
        .order_by_asc(entry::Column::Kind)
        .order_by_asc(entry::Column::Id)
        .order_by_asc(entry::Column::Scope)
        .all(&store.db)
        .await
        .map_err(error::of_db)?;
    let mut by_level: BTreeMap<&str, Vec<Level>> = BTreeMap::new();
    for row in &rows {
        let entry: Entry = db::from_doc("an entry about quantities", &row.doc)?;
        let from = OrganizationId::from(row.org.as_str());
        let level = Level { from, source: SourceId::from(row.source.as_str()), entry };
        by_level.entry(row.org.as_str()).or_default().push(level);
    }
    Ok(levels.iter().filter_map(|level| by_level.remove(level.as_str())).flatten().collect())
}

pub(crate) async fn save_entries(
    store: &SqlStore,
    org: &OrganizationId,
    source: &SourceId,
    (save, remove): (&[Entry], &[EntryKey]),
    entries: &[NewAuditEntry],
) -> Result<(), StoreError> {
    let mut rows = BTreeMap::new();
    for entry in save {
        let (kind, id, scope) = entry.key();
        let doc = db::to_doc("an entry about quantities", entry)?;
        let row = entry::Model {
            org: org.to_string(),
            source: source.to_string(),
            kind: kind.to_owned(),
            id: id.clone(),
            scope: scope.clone(),
            doc,
        };
        // Of two with the same key in one batch the last counts.
        rows.insert((kind, id, scope), row);
    }
    let tx = write_tx(store).await?;
    for (kind, id, scope) in remove {
        let sql = "DELETE FROM quantity_entry WHERE org = $1 AND source = $2 AND kind = $3 AND id = $4 AND scope = $5";
        let values = [
            org.as_str().into(),
            source.as_str().into(),
            (*kind).into(),
            id.as_str().into(),
            scope.as_str().into(),
        ];
        db::run(&*tx, sql, values).await?;
    }
    let key = [
        entry::Column::Org,
        entry::Column::Source,
        entry::Column::Kind,
        entry::Column::Id,
        entry::Column::Scope,
    ];
    db::upsert::<entry::Entity>(&tx, rows.into_values().collect(), &key, &[entry::Column::Doc]).await?;
    if !entries.is_empty() {
        audit::append_in(&tx, org, entries.iter().collect()).await?;
    }
    commit(tx).await
}

pub(crate) async fn list_lines(store: &SqlStore, org: &OrganizationId) -> Result<Vec<Line>, StoreError> {
    let rows = line::Entity::find()
        .filter(line::Column::Org.eq(org.as_str()))
        .order_by_asc(line::Column::Agreement)
        .order_by_asc(line::Column::Item)
        .all(&store.db)
        .await
        .map_err(error::of_db)?;
    rows.iter().map(|row| db::from_doc("a line of a quantity", &row.doc)).collect()
}

pub(crate) async fn find_line(
    store: &SqlStore,
    org: &OrganizationId,
    (agreement, item): LineKey,
) -> Result<Option<Line>, StoreError> {
    let row = line::Entity::find()
        .filter(line::Column::Org.eq(org.as_str()))
        .filter(line::Column::Agreement.eq(agreement.0))
        .filter(line::Column::Item.eq(item.0))
        .one(&store.db)
        .await
        .map_err(error::of_db)?;
    row.map(|row| db::from_doc("a line of a quantity", &row.doc)).transpose()
}

pub(crate) async fn save_lines(
    store: &SqlStore,
    org: &OrganizationId,
    lines: &[Line],
) -> Result<(), StoreError> {
    let mut rows = BTreeMap::new();
    for line in lines {
        let row = line::Model {
            org: org.to_string(),
            agreement: line.agreement.0,
            item: line.item.0,
            doc: db::to_doc("a line of a quantity", line)?,
        };
        rows.insert(line.key(), row);
    }
    if rows.is_empty() {
        return Ok(());
    }
    let tx = write_tx(store).await?;
    let key = [line::Column::Org, line::Column::Agreement, line::Column::Item];
    db::upsert::<line::Entity>(&tx, rows.into_values().collect(), &key, &[line::Column::Doc]).await?;
    commit(tx).await
}
