//! Feed records: the newest version of each, and every version before it.

use crate::db::{self, commit, write_tx};
use crate::{error, store::SqlStore};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Alias, Expr, ExprTrait, Query};
use sea_orm::{DatabaseTransaction, DbBackend, QueryOrder, QuerySelect, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write;
use trueup_domain::feed::{Record, RecordKind};
use trueup_domain::ids::{OrganizationId, SourceId};
use trueup_engine::ports::StoreError;
use trueup_engine::records::{ImportCounts, IncomingRecord, Millis, StoredRecord};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "record")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub org: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub source: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub kind: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub version: i64,
    pub hash: String,
    pub received_at: i64,
    pub doc: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// One version of a record, newest or not.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordVersion {
    /// From 1.
    pub version: u32,
    /// Hex hash over the record's canonical form.
    pub hash: String,
    /// When it came in.
    pub received_at: Millis,
    /// The record.
    pub record: Record,
}

/// Values that all rows of a statement share, and those of each.
const IN_COMMON: usize = 3;
const OF_A_ROW: usize = 5;
/// Rows of one statement.
const CHUNK: usize = 1_250;

type Key<'a> = (RecordKind, &'a str);

/// What the batch makes of one record.
struct Fate<'a> {
    version: i64,
    hash: String,
    /// The incoming record that is to become the newest; none while it is the stored one.
    newest: Option<&'a IncomingRecord>,
    stored: bool,
}

pub(crate) async fn save(
    store: &SqlStore,
    org: &OrganizationId,
    source: &SourceId,
    at: Millis,
    batch: &[IncomingRecord],
) -> Result<BTreeMap<RecordKind, ImportCounts>, StoreError> {
    Ok(save_some(store, org, source, at, batch, false).await?.0)
}

pub(crate) async fn save_new(
    store: &SqlStore,
    org: &OrganizationId,
    source: &SourceId,
    at: Millis,
    batch: &[IncomingRecord],
) -> Result<(BTreeMap<RecordKind, ImportCounts>, BTreeSet<usize>), StoreError> {
    save_some(store, org, source, at, batch, true).await
}

fn key_of(incoming: &IncomingRecord) -> Key<'_> {
    (incoming.record.kind(), incoming.id.as_str())
}

async fn save_some(
    store: &SqlStore,
    org: &OrganizationId,
    source: &SourceId,
    at: Millis,
    batch: &[IncomingRecord],
    new_alone: bool,
) -> Result<(BTreeMap<RecordKind, ImportCounts>, BTreeSet<usize>), StoreError> {
    let mut counts: BTreeMap<RecordKind, ImportCounts> = BTreeMap::new();
    let mut left_out = BTreeSet::new();
    if batch.is_empty() {
        return Ok((counts, left_out));
    }
    let tx = write_tx(store).await?;
    db::guard(&tx, org.as_str(), &format!("records/{source}")).await?;
    let scope = Scope { tx: &tx, org: org.as_str(), source: source.as_str(), at };
    let mut fates = scope.known(batch).await?;
    // Up to where the batch brings what is stored it tells nothing new: its older versions are known.
    let mut settled: HashMap<Key<'_>, usize> = HashMap::new();
    let mut former = HashSet::new();
    if !fates.is_empty() {
        let mut last: HashMap<Key<'_>, &str> = HashMap::new();
        for (place, incoming) in batch.iter().enumerate() {
            let Some(fate) = fates.get(&key_of(incoming)) else { continue };
            last.insert(key_of(incoming), incoming.hash.as_str());
            if fate.hash == incoming.hash {
                settled.insert(key_of(incoming), place);
            }
        }
        if new_alone {
            last.retain(|key, _| !settled.contains_key(key));
            former = scope.former(&last).await?;
        }
    }
    let mut passing = Vec::new();
    for (place, incoming) in batch.iter().enumerate() {
        let kind = incoming.record.kind();
        if former.contains(&key_of(incoming)) {
            left_out.insert(place);
            continue;
        }
        let count = counts.entry(kind).or_default();
        if settled.get(&key_of(incoming)).is_some_and(|known| place <= *known) {
            count.unchanged += 1;
            continue;
        }
        match fates.get_mut(&(kind, incoming.id.as_str())) {
            None => {
                count.new += 1;
                let hash = incoming.hash.clone();
                let fate = Fate { version: 1, hash, newest: Some(incoming), stored: false };
                fates.insert((kind, &incoming.id), fate);
            }
            Some(fate) if fate.hash == incoming.hash => count.unchanged += 1,
            Some(fate) => {
                count.changed += 1;
                // The same record twice in a batch: the first of the two is history before it was ever stored.
                if let Some(replaced) = fate.newest {
                    passing.push((replaced, fate.version));
                }
                fate.version += 1;
                fate.hash.clone_from(&incoming.hash);
                fate.newest = Some(incoming);
            }
        }
    }
    scope.keep_stored_versions(&fates).await?;
    scope.insert("record_history", &passing, "").await?;
    // In the order of the batch, which is mostly that of the ids: the index then grows at one end.
    let newest: Vec<_> = batch
        .iter()
        .filter_map(|incoming| {
            let fate = fates.get(&(incoming.record.kind(), incoming.id.as_str()))?;
            fate.newest.filter(|newest| std::ptr::eq(*newest, incoming)).map(|newest| (newest, fate.version))
        })
        .collect();
    let update = "ON CONFLICT (org, source, kind, id) DO UPDATE SET version = excluded.version, \
                  hash = excluded.hash, received_at = excluded.received_at, doc = excluded.doc";
    scope.insert("record", &newest, update).await?;
    commit(tx).await?;
    Ok((counts, left_out))
}

/// One batch of one source.
struct Scope<'a> {
    tx: &'a DatabaseTransaction,
    org: &'a str,
    source: &'a str,
    at: Millis,
}

impl Scope<'_> {
    /// Hash and version of those records of the batch that are stored.
    async fn known<'b>(&self, batch: &'b [IncomingRecord]) -> Result<HashMap<Key<'b>, Fate<'b>>, StoreError> {
        let mut by_kind: BTreeMap<RecordKind, HashMap<&str, ()>> = BTreeMap::new();
        for incoming in batch {
            by_kind.entry(incoming.record.kind()).or_default().insert(&incoming.id, ());
        }
        let mut fates = HashMap::with_capacity(batch.len());
        for (kind, ids) in &by_kind {
            let all: Vec<&str> = ids.keys().copied().collect();
            for part in all.chunks(db::MAX_VALUES) {
                let rows: Vec<(String, i64, String)> = Entity::find()
                    .select_only()
                    .columns([Column::Id, Column::Version, Column::Hash])
                    .filter(Column::Org.eq(self.org))
                    .filter(Column::Source.eq(self.source))
                    .filter(Column::Kind.eq(kind.name()))
                    .filter(Column::Id.is_in(part.iter().copied()))
                    .into_tuple()
                    .all(self.tx)
                    .await
                    .map_err(error::of_db)?;
                for (id, version, hash) in rows {
                    if let Some((id, ())) = ids.get_key_value(id.as_str()) {
                        fates.insert((*kind, *id), Fate { version, hash, newest: None, stored: true });
                    }
                }
            }
        }
        Ok(fates)
    }

    /// Those of these records of which the history holds a version with this hash.
    async fn former<'b>(&self, wanted: &HashMap<Key<'b>, &'b str>) -> Result<HashSet<Key<'b>>, StoreError> {
        let mut by_kind: BTreeMap<RecordKind, HashMap<&str, (&'b str, &str)>> = BTreeMap::new();
        for ((kind, id), hash) in wanted {
            by_kind.entry(*kind).or_default().insert(id, (id, hash));
        }
        let mut found = HashSet::new();
        for (kind, ids) in by_kind {
            let all: Vec<&str> = ids.keys().copied().collect();
            for part in all.chunks(db::MAX_VALUES) {
                let query = Query::select()
                    .columns([Column::Id, Column::Hash])
                    .from(Alias::new("record_history"))
                    .and_where(Expr::col(Column::Org).eq(self.org))
                    .and_where(Expr::col(Column::Source).eq(self.source))
                    .and_where(Expr::col(Column::Kind).eq(kind.name()))
                    .and_where(Expr::col(Column::Id).is_in(part.iter().copied()))
                    .take();
                for row in self.tx.query_all(&query).await.map_err(error::of_db)? {
                    let id: String = row.try_get("", "id").map_err(error::of_db)?;
                    let hash: String = row.try_get("", "hash").map_err(error::of_db)?;
                    let known = ids.get(id.as_str()).filter(|(_, wanted)| *wanted == hash);
                    found.extend(known.map(|(id, _)| (kind, *id)));
                }
            }
        }
        Ok(found)
    }

    /// Copies the stored version of every record that changes into the history.
    async fn keep_stored_versions(&self, fates: &HashMap<Key<'_>, Fate<'_>>) -> Result<(), StoreError> {
        let mut by_kind: BTreeMap<RecordKind, Vec<&str>> = BTreeMap::new();
        for ((kind, id), _) in fates.iter().filter(|(_, f)| f.stored && f.newest.is_some()) {
            by_kind.entry(*kind).or_default().push(id);
        }
        for (kind, ids) in by_kind {
            for part in ids.chunks(CHUNK) {
                let columns = [
                    Column::Org,
                    Column::Source,
                    Column::Kind,
                    Column::Id,
                    Column::Version,
                    Column::Hash,
                    Column::ReceivedAt,
                    Column::Doc,
                ];
                let stored = Query::select()
                    .columns(columns)
                    .from(Entity)
                    .and_where(Column::Org.eq(self.org))
                    .and_where(Column::Source.eq(self.source))
                    .and_where(Column::Kind.eq(kind.name()))
                    .and_where(Column::Id.is_in(part.iter().copied()))
                    .take();
                let copy = Query::insert()
                    .into_table(Alias::new("record_history"))
                    .columns(columns)
                    .select_from(stored)
                    .map_err(|e| error::damaged("a statement", e))?
                    .take();
                self.tx.execute(&copy).await.map_err(error::of_db)?;
            }
        }
        Ok(())
    }

    /// Inserts rows by hand-laid SQL: it is the same for every full chunk, so that it is prepared once. The next chunk is laid
    /// out while the database works on the one before.
    async fn insert(
        &self,
        table: &str,
        rows: &[(&IncomingRecord, i64)],
        conflict: &str,
    ) -> Result<(), StoreError> {
        let mut laid: Option<(String, Vec<Value>)> = None;
        for part in rows.chunks(CHUNK).map(Some).chain([None]) {
            let running = async {
                match laid.take() {
                    Some((sql, values)) => db::run(self.tx, &sql, values).await.map(drop),
                    None => Ok(()),
                }
            };
            let laying = async { part.map(|part| self.lay_out(table, part, conflict)).transpose() };
            let (ran, next) = futures::join!(running, laying);
            ran?;
            laid = next?;
        }
        Ok(())
    }

    /// What all rows have in common is bound once.
    fn lay_out(
        &self,
        table: &str,
        part: &[(&IncomingRecord, i64)],
        conflict: &str,
    ) -> Result<(String, Vec<Value>), StoreError> {
        let mut values: Vec<Value> = Vec::with_capacity(IN_COMMON + part.len() * OF_A_ROW);
        values.extend([self.org.into(), self.source.into(), self.at.into()]);
        let mut sql = format!(
            "INSERT INTO {table} (org, source, received_at, kind, id, version, hash, doc) \
             SELECT o.org, o.source, o.received_at, r.column1, r.column2, r.column3, r.column4, r.column5 \
             FROM (SELECT {} AS org, {} AS source, {} AS received_at) o CROSS JOIN (VALUES ",
            self.mark(1),
            self.mark(2),
            self.mark(3)
        );
        for (row, (incoming, version)) in part.iter().enumerate() {
            sql.push_str(if row == 0 { "(" } else { ",(" });
            for column in 1..=OF_A_ROW {
                let comma = if column == 1 { "" } else { "," };
                write!(sql, "{comma}{}", self.mark(values.len() + column))
                    .map_err(|e| error::damaged("a statement", e))?;
            }
            sql.push(')');
            values.extend([
                incoming.record.kind().name().into(),
                incoming.id.as_str().into(),
                (*version).into(),
                incoming.hash.as_str().into(),
                db::to_doc("a record", &incoming.record)?.into(),
            ]);
        }
        // Without a condition SQLite would take `ON` for that of a join.
        write!(sql, ") r WHERE true {conflict}").map_err(|e| error::damaged("a statement", e))?;
        Ok((sql, values))
    }

    /// A parameter. SQLite's are left without numbers: it looks a numbered one up by walking through all of them, which
    /// makes a long statement slow by the square of its length.
    fn mark(&self, number: usize) -> Mark {
        Mark((self.tx.get_database_backend() != DbBackend::Sqlite).then_some(number))
    }
}

/// A parameter in the text of a statement.
struct Mark(Option<usize>);

impl std::fmt::Display for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(number) => write!(f, "${number}"),
            None => f.write_str("?"),
        }
    }
}

fn to_stored(row: Model) -> Result<StoredRecord, StoreError> {
    Ok(StoredRecord {
        record: db::from_doc(&format!("the {} {}", row.kind, row.id), &row.doc)?,
        source: SourceId::from(row.source),
        version: to_version(row.version)?,
        received_at: row.received_at,
    })
}

fn to_version(version: i64) -> Result<u32, StoreError> {
    u32::try_from(version).map_err(|e| error::damaged("a record's version", e))
}

pub(crate) async fn list(
    store: &SqlStore,
    org: &OrganizationId,
    source: Option<&SourceId>,
    kind: RecordKind,
) -> Result<Vec<StoredRecord>, StoreError> {
    let mut query = Entity::find().filter(Column::Org.eq(org.as_str())).filter(Column::Kind.eq(kind.name()));
    if let Some(source) = source {
        query = query.filter(Column::Source.eq(source.as_str()));
    }
    let query = query.order_by_asc(Column::Source).order_by_asc(Column::Id);
    query.all(&store.db).await.map_err(error::of_db)?.into_iter().map(to_stored).collect()
}

pub(crate) async fn count(
    store: &SqlStore,
    org: &OrganizationId,
    kind: RecordKind,
) -> Result<BTreeMap<SourceId, u64>, StoreError> {
    let counted: Vec<(String, i64)> = Entity::find()
        .select_only()
        .column(Column::Source)
        .column_as(Column::Id.count(), "many")
        .filter(Column::Org.eq(org.as_str()))
        .filter(Column::Kind.eq(kind.name()))
        .group_by(Column::Source)
        .into_tuple()
        .all(&store.db)
        .await
        .map_err(error::of_db)?;
    counted
        .into_iter()
        .map(|(source, many)| {
            Ok((
                SourceId::from(source),
                u64::try_from(many).map_err(|e| error::damaged("a count of records", e))?,
            ))
        })
        .collect()
}

pub(crate) async fn list_after(
    store: &SqlStore,
    org: &OrganizationId,
    (source, kind): (&SourceId, RecordKind),
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<StoredRecord>, StoreError> {
    // One source and one kind: then the ids are in the order of the key, and a page is a walk along it.
    let mut query = Entity::find()
        .filter(Column::Org.eq(org.as_str()))
        .filter(Column::Source.eq(source.as_str()))
        .filter(Column::Kind.eq(kind.name()));
    if let Some(after) = after {
        query = query.filter(Column::Id.gt(after));
    }
    let query = query.order_by_asc(Column::Id).limit(u64::from(limit));
    query.all(&store.db).await.map_err(error::of_db)?.into_iter().map(to_stored).collect()
}

pub(crate) async fn find(
    store: &SqlStore,
    org: &OrganizationId,
    source: &SourceId,
    kind: RecordKind,
    id: &str,
) -> Result<Option<StoredRecord>, StoreError> {
    let key = (org.to_string(), source.to_string(), kind.name().to_owned(), id.to_owned());
    Entity::find_by_id(key).one(&store.db).await.map_err(error::of_db)?.map(to_stored).transpose()
}

pub(crate) async fn find_at(
    store: &SqlStore,
    org: &OrganizationId,
    source: &SourceId,
    (kind, id): (RecordKind, &str),
    at: Millis,
) -> Result<Option<Record>, StoreError> {
    let sql = "SELECT doc FROM (SELECT version, doc FROM record_history \
               WHERE org = $1 AND source = $2 AND kind = $3 AND id = $4 AND received_at <= $5 \
               UNION ALL SELECT version, doc FROM record \
               WHERE org = $1 AND source = $2 AND kind = $3 AND id = $4 AND received_at <= $5) AS versions \
               ORDER BY version DESC LIMIT 1";
    let key: [Value; 5] =
        [org.as_str().into(), source.as_str().into(), kind.name().into(), id.into(), at.into()];
    let rows = db::query(&store.db, sql, key).await?;
    let doc = rows.first().map(|row| row.try_get::<String>("", "doc").map_err(error::of_db)).transpose()?;
    doc.map(|doc| db::from_doc(&format!("the {} {id}", kind.name()), &doc)).transpose()
}

impl SqlStore {
    /// Every version of one record, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when a version cannot be read back.
    pub async fn list_record_versions(
        &self,
        org: &OrganizationId,
        source: &SourceId,
        kind: RecordKind,
        id: &str,
    ) -> Result<Vec<RecordVersion>, StoreError> {
        let sql = "SELECT version, hash, received_at, doc FROM record_history \
                   WHERE org = $1 AND source = $2 AND kind = $3 AND id = $4 \
                   UNION ALL SELECT version, hash, received_at, doc FROM record \
                   WHERE org = $1 AND source = $2 AND kind = $3 AND id = $4 ORDER BY version";
        let key: [Value; 4] = [org.as_str().into(), source.as_str().into(), kind.name().into(), id.into()];
        let rows = db::query(&self.db, sql, key).await?;
        rows.iter()
            .map(|row| {
                let doc: String = row.try_get("", "doc").map_err(error::of_db)?;
                Ok(RecordVersion {
                    version: to_version(row.try_get("", "version").map_err(error::of_db)?)?,
                    hash: row.try_get("", "hash").map_err(error::of_db)?,
                    received_at: row.try_get("", "received_at").map_err(error::of_db)?,
                    record: db::from_doc("a record's version", &doc)?,
                })
            })
            .collect()
    }
}
