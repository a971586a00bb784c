//! Mappings: those in force, and every one that was replaced or released.

use crate::db::{self, commit, write_tx};
use crate::{audit, error, store::SqlStore};
use sea_orm::entity::prelude::*;
use sea_orm::{DatabaseTransaction, QueryOrder};
use std::collections::BTreeMap;
use trueup_domain::ids::{OrganizationId, SourceId, TaskId};
use trueup_domain::mapping::{Mapping, MappingKind};
use trueup_engine::ports::StoreError;
use trueup_engine::records::{Millis, NewAuditEntry, Released};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "mapping")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub org: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub kind: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub source: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub source_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub scope: String,
    /// Counts on over a release, so that history never has two of one number.
    pub version: i64,
    pub saved_at: i64,
    /// Set once it is released.
    pub ended_at: Option<i64>,
    pub doc: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Versions that are no longer in force.
mod history {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "mapping_history")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub org: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub kind: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub source: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub source_id: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub scope: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub version: i64,
        pub saved_at: i64,
        pub ended_at: Option<i64>,
        pub doc: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

const KEY: [Column; 5] = [Column::Org, Column::Kind, Column::Source, Column::SourceId, Column::Scope];
/// Ids in one look-up.
const LOOKUP: usize = 5_000;

type MappingKey = (String, String, String, String);

impl Model {
    fn key(&self) -> MappingKey {
        (self.kind.clone(), self.source.clone(), self.source_id.clone(), self.scope.clone())
    }

    fn ended(self, at: Millis) -> history::Model {
        history::Model {
            org: self.org,
            kind: self.kind,
            source: self.source,
            source_id: self.source_id,
            scope: self.scope,
            version: self.version,
            saved_at: self.saved_at,
            ended_at: Some(at),
            doc: self.doc,
        }
    }
}

async fn keep(tx: &DatabaseTransaction, rows: Vec<history::Model>) -> Result<(), StoreError> {
    use history::Column as C;
    db::upsert::<history::Entity>(
        tx,
        rows,
        &[C::Org, C::Kind, C::Source, C::SourceId, C::Scope, C::Version],
        &[],
    )
    .await
}

pub(crate) async fn save(
    store: &SqlStore,
    org: &OrganizationId,
    at: Millis,
    mappings: &[Mapping],
) -> Result<(), StoreError> {
    if mappings.is_empty() {
        return Ok(());
    }
    let tx = write_tx(store).await?;
    db::guard(&tx, org.as_str(), "mappings").await?;
    put(&tx, org, at, mappings).await?;
    commit(tx).await
}

/// Saves them, where nobody else saved or released one since they were judged.
pub(crate) async fn save_judged(
    store: &SqlStore,
    org: &OrganizationId,
    at: Millis,
    judged_by: &[Mapping],
    mappings: &[Mapping],
    entries: &[NewAuditEntry],
) -> Result<bool, StoreError> {
    if mappings.is_empty() {
        return Ok(true);
    }
    let tx = write_tx(store).await?;
    db::guard(&tx, org.as_str(), "mappings").await?;
    if those(&*tx, org, Column::EndedAt.is_null()).await? != judged_by {
        return Ok(false);
    }
    put(&tx, org, at, mappings).await?;
    audit::append_in(&tx, org, entries.iter().collect()).await?;
    commit(tx).await?;
    Ok(true)
}

async fn put(
    tx: &DatabaseTransaction,
    org: &OrganizationId,
    at: Millis,
    mappings: &[Mapping],
) -> Result<(), StoreError> {
    let mut stored: BTreeMap<MappingKey, Model> = BTreeMap::new();
    for part in mappings.chunks(LOOKUP) {
        let rows = Entity::find()
            .filter(Column::Org.eq(org.as_str()))
            .filter(Column::SourceId.is_in(part.iter().map(|m| m.source_id.as_str())))
            .all(tx)
            .await
            .map_err(error::of_db)?;
        stored.extend(rows.into_iter().map(|row| (row.key(), row)));
    }
    let mut replaced = Vec::new();
    let mut changed: BTreeMap<MappingKey, Model> = BTreeMap::new();
    for mapping in mappings {
        let mut row = Model {
            org: org.to_string(),
            kind: mapping.kind.name().to_owned(),
            source: mapping.source.to_string(),
            source_id: mapping.source_id.clone(),
            scope: mapping.scope.clone(),
            version: 1,
            saved_at: at,
            ended_at: None,
            doc: db::to_doc("a mapping", mapping)?,
        };
        let key = row.key();
        if let Some(before) = stored.get(&key) {
            if before.ended_at.is_none() && before.doc == row.doc {
                continue;
            }
            row.version = before.version + 1;
            // A released one is in history already.
            if before.ended_at.is_none() {
                replaced.push(before.clone().ended(at));
            }
        }
        stored.insert(key.clone(), row.clone());
        changed.insert(key, row);
    }
    keep(tx, replaced).await?;
    let update = [Column::Version, Column::SavedAt, Column::EndedAt, Column::Doc];
    db::upsert::<Entity>(tx, changed.into_values().collect(), &KEY, &update).await
}

pub(crate) async fn list(store: &SqlStore, org: &OrganizationId) -> Result<Vec<Mapping>, StoreError> {
    those(&store.db, org, Column::EndedAt.is_null()).await
}

pub(crate) async fn list_released(
    store: &SqlStore,
    org: &OrganizationId,
) -> Result<Vec<Mapping>, StoreError> {
    those(&store.db, org, Column::EndedAt.is_not_null()).await
}

async fn those<C: sea_orm::ConnectionTrait>(
    db: &C,
    org: &OrganizationId,
    which: sea_orm::sea_query::SimpleExpr,
) -> Result<Vec<Mapping>, StoreError> {
    let rows = Entity::find()
        .filter(Column::Org.eq(org.as_str()))
        .filter(which)
        .order_by_asc(Column::Kind)
        .order_by_asc(Column::Source)
        .order_by_asc(Column::SourceId)
        .order_by_asc(Column::Scope)
        .all(db)
        .await
        .map_err(error::of_db)?;
    rows.iter().map(|row| crate::db::from_doc("a mapping", &row.doc)).collect()
}

/// One version of a mapping that was replaced or released, or the one in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappingVersion {
    /// Counts from 1, over releases.
    pub version: i64,
    /// What it said.
    pub mapping: Mapping,
    /// When it was saved.
    pub saved_at: Millis,
    /// When it was replaced or released; none for the one in force.
    pub ended_at: Option<Millis>,
}

/// What names a mapping.
type Which<'a> = (MappingKind, &'a SourceId, &'a str, &'a str);

impl SqlStore {
    /// Every version of a mapping, the newest first; empty where there never was one.
    ///
    /// # Errors
    /// The database's, or a row that cannot be read back.
    pub async fn mapping_history(
        &self,
        org: &OrganizationId,
        (kind, source, source_id, scope): Which<'_>,
    ) -> Result<Vec<MappingVersion>, StoreError> {
        use history::Column as C;
        let key = (
            org.to_string(),
            kind.name().to_owned(),
            source.to_string(),
            source_id.to_owned(),
            scope.to_owned(),
        );
        let current = Entity::find_by_id(key).one(&self.db).await.map_err(error::of_db)?;
        let earlier = history::Entity::find()
            .filter(C::Org.eq(org.as_str()))
            .filter(C::Kind.eq(kind.name()))
            .filter(C::Source.eq(source.as_str()))
            .filter(C::SourceId.eq(source_id))
            .filter(C::Scope.eq(scope))
            .order_by_desc(C::Version)
            .all(&self.db)
            .await
            .map_err(error::of_db)?;
        // A released one is in the history as well.
        let current = current.filter(|row| row.ended_at.is_none());
        let current = current.map(|row| (row.version, row.saved_at, None, row.doc));
        current
            .into_iter()
            .chain(earlier.into_iter().map(|row| (row.version, row.saved_at, row.ended_at, row.doc)))
            .map(|(version, saved_at, ended_at, doc)| {
                let mapping = db::from_doc("a mapping", &doc)?;
                Ok(MappingVersion { version, mapping, saved_at, ended_at })
            })
            .collect()
    }
}

pub(crate) async fn release(
    store: &SqlStore,
    org: &OrganizationId,
    at: Millis,
    (kind, source, source_id, scope): Which<'_>,
) -> Result<bool, StoreError> {
    let tx = write_tx(store).await?;
    db::guard(&tx, org.as_str(), "mappings").await?;
    let key =
        (org.to_string(), kind.name().to_owned(), source.to_string(), source_id.to_owned(), scope.to_owned());
    let row = Entity::find_by_id(key).one(&*tx).await.map_err(error::of_db)?;
    let Some(mut row) = row.filter(|row| row.ended_at.is_none()) else {
        return Ok(false);
    };
    keep(&tx, vec![row.clone().ended(at)]).await?;
    row.ended_at = Some(at);
    db::upsert::<Entity>(&tx, vec![row], &KEY, &[Column::EndedAt]).await?;
    commit(tx).await?;
    Ok(true)
}

/// Releases these in one transaction, where each of them is in force just as it is given; else none.
pub(crate) async fn release_all(
    store: &SqlStore,
    org: &OrganizationId,
    at: Millis,
    mappings: &[Mapping],
    (tasks, entries): (&[TaskId], &[NewAuditEntry]),
) -> Result<Released, StoreError> {
    let tx = write_tx(store).await?;
    db::guard(&tx, org.as_str(), "mappings").await?;
    if let Some(task) = crate::tasks::under_way(&*tx, org, tasks).await? {
        return Ok(Released::Busy(task));
    }
    let mut stored: BTreeMap<MappingKey, Model> = BTreeMap::new();
    for part in mappings.chunks(LOOKUP) {
        let rows = Entity::find()
            .filter(Column::Org.eq(org.as_str()))
            .filter(Column::EndedAt.is_null())
            .filter(Column::SourceId.is_in(part.iter().map(|m| m.source_id.as_str())))
            .all(&*tx)
            .await
            .map_err(error::of_db)?;
        stored.extend(rows.into_iter().map(|row| (row.key(), row)));
    }
    let mut ended = Vec::new();
    let mut rows = Vec::new();
    for mapping in mappings {
        let key = (
            mapping.kind.name().to_owned(),
            mapping.source.to_string(),
            mapping.source_id.clone(),
            mapping.scope.clone(),
        );
        let doc = db::to_doc("a mapping", mapping)?;
        let Some(mut row) = stored.remove(&key).filter(|row| row.doc == doc) else {
            return Ok(Released::Moved);
        };
        ended.push(row.clone().ended(at));
        row.ended_at = Some(at);
        rows.push(row);
    }
    keep(&tx, ended).await?;
    db::upsert::<Entity>(&tx, rows, &KEY, &[Column::EndedAt]).await?;
    audit::append_in(&tx, org, entries.iter().collect()).await?;
    commit(tx).await?;
    Ok(Released::Done)
}
