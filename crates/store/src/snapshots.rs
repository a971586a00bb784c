//! The local picture of ConnectWise: a row for each record and for each agreement's list of additions.
//!
//! A pull puts what it reads aside and moves it into the picture in one transaction at its end, so that neither a pull
//! that fails half-way nor the size of a tenant matters: never more than a part of the picture is in memory.

use crate::db::{self, commit, write_tx};
use crate::{error, store::SqlStore};
use sea_orm::entity::prelude::*;
use sea_orm::{DatabaseTransaction, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use trueup_domain::ids::{AgreementId, CatalogItemId, CompanyId, OrganizationId};
use trueup_domain::psa::{ObservedAddition, Snapshot};
use trueup_engine::ports::StoreError;
use trueup_engine::records::{Millis, PictureState, PulledEnd};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "picture_stage")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub org: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub connection: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub pull: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub kind: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    pub read_at: i64,
    pub doc: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

const COMPANY: &str = "company";
const AGREEMENT: &str = "agreement";
const ADDITIONS: &str = "additions";
const CATALOG_ITEM: &str = "catalog_item";
/// The row that says whose turn it is; it holds nothing.
const TURN: &str = "turn";

/// Rows that are read at once.
const PAGE: u32 = 2_000;

pub(crate) async fn begin(
    store: &SqlStore,
    org: &OrganizationId,
    connection: &str,
    pull: &str,
) -> Result<(), StoreError> {
    let tx = write_tx(store).await?;
    guard(&tx, org, connection).await?;
    forget_staged(&tx, org, connection).await?;
    let turn = Staging { org, connection, pull, at: 0 }.row(TURN, 0, String::new());
    insert(&tx, vec![turn]).await?;
    let sql = "UPDATE picture_hint SET pull = $3 WHERE org = $1 AND connection = $2";
    db::run(&*tx, sql, [org.as_str().into(), connection.into(), pull.into()]).await?;
    commit(tx).await
}

pub(crate) async fn stage(
    store: &SqlStore,
    (org, connection, pull): (&OrganizationId, &str, &str),
    at: Millis,
    part: &Snapshot,
) -> Result<(), StoreError> {
    let rows = rows_of(&Staging { org, connection, pull, at }, part)?;
    let tx = write_tx(store).await?;
    guard(&tx, org, connection).await?;
    has_the_turn(&tx, org, connection, pull).await?;
    insert(&tx, rows).await?;
    commit(tx).await
}

fn rows_of(staging: &Staging<'_>, part: &Snapshot) -> Result<Vec<Model>, StoreError> {
    let mut rows = Vec::new();
    for (id, company) in &part.companies {
        rows.push(staging.doc(COMPANY, id.0, company)?);
    }
    for (id, agreement) in &part.agreements {
        rows.push(staging.doc(AGREEMENT, id.0, agreement)?);
    }
    for (id, additions) in &part.additions {
        rows.push(staging.doc(ADDITIONS, id.0, additions)?);
    }
    for (id, item) in &part.catalog {
        rows.push(staging.doc(CATALOG_ITEM, id.0, item)?);
    }
    Ok(rows)
}

pub(crate) async fn add(
    store: &SqlStore,
    (org, connection): (&OrganizationId, &str),
    at: Millis,
    part: &Snapshot,
) -> Result<(), StoreError> {
    if state(store, org, connection).await?.is_none() {
        return Ok(());
    }
    let rows = rows_of(&Staging { org, connection, pull: "", at }, part)?;
    let tx = write_tx(store).await?;
    guard(&tx, org, connection).await?;
    for row in rows {
        let sql = "INSERT INTO picture_part (org, connection, kind, id, read_at, doc) \
                   VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (org, connection, kind, id) \
                   DO UPDATE SET read_at = excluded.read_at, doc = excluded.doc";
        let values: [Value; 6] = [
            row.org.into(),
            row.connection.into(),
            row.kind.into(),
            row.id.into(),
            row.read_at.into(),
            row.doc.into(),
        ];
        db::run(&*tx, sql, values).await?;
    }
    commit(tx).await
}

pub(crate) async fn finish(
    store: &SqlStore,
    (org, connection, pull): (&OrganizationId, &str, &str),
    end: &PulledEnd,
) -> Result<u64, StoreError> {
    let tx = write_tx(store).await?;
    guard(&tx, org, connection).await?;
    has_the_turn(&tx, org, connection, pull).await?;
    let changed = count_changed(&tx, org, connection, pull).await?;
    for unread in &end.unread {
        let sql = "INSERT INTO picture_stage (org, connection, pull, kind, id, read_at, doc) \
                   SELECT org, connection, $3, kind, id, read_at, doc FROM picture_part \
                   WHERE org = $1 AND connection = $2 AND kind IN ('agreement', 'additions') AND id = $4 \
                   ON CONFLICT DO NOTHING";
        let values: [Value; 4] = [org.as_str().into(), connection.into(), pull.into(), unread.0.into()];
        db::run(&*tx, sql, values).await?;
    }
    let whole: &[&str] = match (end.whole, end.lists) {
        (true, _) => &[COMPANY, CATALOG_ITEM, AGREEMENT, ADDITIONS],
        (false, true) => &[COMPANY, CATALOG_ITEM],
        (false, false) => &[],
    };
    for kind in whole {
        let values: [Value; 4] = [org.as_str().into(), connection.into(), pull.into(), (*kind).into()];
        let sql = "DELETE FROM picture_part WHERE org = $1 AND connection = $2 AND kind = $4 AND NOT EXISTS \
                   (SELECT 1 FROM picture_stage s WHERE s.org = $1 AND s.connection = $2 AND s.pull = $3 \
                   AND s.kind = $4 AND s.id = picture_part.id)";
        db::run(&*tx, sql, values).await?;
    }
    for gone in &end.gone {
        let sql = "DELETE FROM picture_part WHERE org = $1 AND connection = $2 \
                   AND kind IN ('agreement', 'additions') AND id = $3";
        db::run(&*tx, sql, [org.as_str().into(), connection.into(), gone.0.into()]).await?;
    }
    let sql = "INSERT INTO picture_part (org, connection, kind, id, read_at, doc) \
               SELECT org, connection, kind, id, read_at, doc FROM picture_stage \
               WHERE org = $1 AND connection = $2 AND pull = $3 AND kind <> 'turn' \
               ON CONFLICT (org, connection, kind, id) DO UPDATE SET read_at = excluded.read_at, \
               doc = excluded.doc";
    db::run(&*tx, sql, [org.as_str().into(), connection.into(), pull.into()]).await?;
    forget_staged(&tx, org, connection).await?;
    // What was hinted at while the pull went on may have come after its read: that waits for the next one.
    let sql = "DELETE FROM picture_hint WHERE org = $1 AND connection = $2 AND pull = $3";
    db::run(&*tx, sql, [org.as_str().into(), connection.into(), pull.into()]).await?;
    for unread in &end.unread {
        // Its turn may be far off, and what changed there is told once: it counts as never read.
        let sql = "INSERT INTO picture_hint (org, connection, id, at) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (org, connection, id) DO UPDATE SET at = excluded.at, pull = NULL";
        let values: [Value; 4] =
            [org.as_str().into(), connection.into(), unread.0.into(), end.state.at.into()];
        db::run(&*tx, sql, values).await?;
    }
    let runs = i64::try_from(end.state.runs).unwrap_or(i64::MAX);
    let sql = "INSERT INTO picture (org, connection, at, watermark, runs, shared_at) VALUES ($1, $2, $3, $4, $5, $6) \
               ON CONFLICT (org, connection) DO UPDATE SET at = excluded.at, watermark = excluded.watermark, \
               runs = excluded.runs, shared_at = excluded.shared_at";
    let head: [Value; 6] = [
        org.as_str().into(),
        connection.into(),
        end.state.at.into(),
        end.state.watermark.into(),
        runs.into(),
        end.state.shared_at.into(),
    ];
    db::run(&*tx, sql, head).await?;
    commit(tx).await?;
    Ok(changed)
}

/// Rows on their way into the picture.
struct Staging<'a> {
    org: &'a OrganizationId,
    connection: &'a str,
    pull: &'a str,
    at: Millis,
}

impl Staging<'_> {
    fn row(&self, kind: &str, id: i64, doc: String) -> Model {
        Model {
            org: self.org.to_string(),
            connection: self.connection.to_owned(),
            pull: self.pull.to_owned(),
            kind: kind.to_owned(),
            id,
            read_at: self.at,
            doc,
        }
    }

    fn doc<T: Serialize>(&self, kind: &str, id: i64, value: &T) -> Result<Model, StoreError> {
        Ok(self.row(kind, id, db::to_doc("a part of the picture of ConnectWise", value)?))
    }
}

async fn insert(tx: &DatabaseTransaction, rows: Vec<Model>) -> Result<(), StoreError> {
    let key = [Column::Org, Column::Connection, Column::Pull, Column::Kind, Column::Id];
    db::upsert::<Entity>(tx, rows, &key, &[Column::ReadAt, Column::Doc]).await
}

async fn guard(tx: &DatabaseTransaction, org: &OrganizationId, connection: &str) -> Result<(), StoreError> {
    db::guard(tx, org.as_str(), &format!("pull/{connection}")).await
}

async fn forget_staged(
    tx: &DatabaseTransaction,
    org: &OrganizationId,
    connection: &str,
) -> Result<(), StoreError> {
    let sql = "DELETE FROM picture_stage WHERE org = $1 AND connection = $2";
    db::run(tx, sql, [org.as_str().into(), connection.into()]).await.map(drop)
}

async fn has_the_turn(
    tx: &DatabaseTransaction,
    org: &OrganizationId,
    connection: &str,
    pull: &str,
) -> Result<(), StoreError> {
    let key = (org.to_string(), connection.to_owned(), pull.to_owned(), TURN.to_owned(), 0);
    match Entity::find_by_id(key).one(tx).await.map_err(error::of_db)? {
        Some(_) => Ok(()),
        None => Err(StoreError::Conflict(format!("a newer pull of connection {connection}"))),
    }
}

/// Of how many agreements the additions that were read differ from those that were known.
async fn count_changed(
    tx: &DatabaseTransaction,
    org: &OrganizationId,
    connection: &str,
    pull: &str,
) -> Result<u64, StoreError> {
    let sql = "SELECT COUNT(*) AS changed FROM picture_stage s LEFT JOIN picture_part p ON p.org = s.org \
               AND p.connection = s.connection AND p.kind = s.kind AND p.id = s.id \
               WHERE s.org = $1 AND s.connection = $2 AND s.pull = $3 AND s.kind = 'additions' \
               AND (p.doc IS NULL OR p.doc <> s.doc)";
    let rows = db::query(tx, sql, [org.as_str().into(), connection.into(), pull.into()]).await?;
    let count: i64 = match rows.first() {
        Some(row) => row.try_get("", "changed").map_err(error::of_db)?,
        None => 0,
    };
    Ok(u64::try_from(count).unwrap_or(0))
}

pub(crate) async fn state(
    store: &SqlStore,
    org: &OrganizationId,
    connection: &str,
) -> Result<Option<PictureState>, StoreError> {
    let sql = "SELECT at, watermark, runs, shared_at FROM picture WHERE org = $1 AND connection = $2";
    let rows = db::query(&store.db, sql, [org.as_str().into(), connection.into()]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let runs: i64 = row.try_get("", "runs").map_err(error::of_db)?;
    Ok(Some(PictureState {
        at: row.try_get("", "at").map_err(error::of_db)?,
        watermark: row.try_get("", "watermark").map_err(error::of_db)?,
        runs: u64::try_from(runs).unwrap_or(0),
        shared_at: row.try_get("", "shared_at").map_err(error::of_db)?,
    }))
}

pub(crate) async fn agreements(
    store: &SqlStore,
    org: &OrganizationId,
    connection: &str,
) -> Result<BTreeMap<AgreementId, Option<Millis>>, StoreError> {
    // One that ConnectWise said was touched counts as never read.
    let sql = "SELECT a.id AS id, CASE WHEN h.id IS NULL THEN b.read_at END AS read_at \
               FROM picture_part a LEFT JOIN picture_part b \
               ON b.org = a.org AND b.connection = a.connection AND b.kind = 'additions' AND b.id = a.id \
               LEFT JOIN picture_hint h ON h.org = a.org AND h.connection = a.connection AND h.id = a.id \
               WHERE a.org = $1 AND a.connection = $2 AND a.kind = 'agreement' ORDER BY a.id";
    let rows = db::query(&store.db, sql, [org.as_str().into(), connection.into()]).await?;
    rows.iter()
        .map(|row| {
            let id: i64 = row.try_get("", "id").map_err(error::of_db)?;
            Ok((AgreementId(id), row.try_get("", "read_at").map_err(error::of_db)?))
        })
        .collect()
}

/// Agreements that one statement names.
const NAMED: usize = 500;

pub(crate) async fn additions(
    store: &SqlStore,
    org: &OrganizationId,
    connection: &str,
    agreements: &[AgreementId],
) -> Result<BTreeMap<AgreementId, (Millis, Vec<ObservedAddition>)>, StoreError> {
    let mut found = BTreeMap::new();
    for some in agreements.chunks(NAMED) {
        let names: Vec<String> = (3..some.len() + 3).map(|number| format!("${number}")).collect();
        // One that ConnectWise said was touched counts as never read.
        let sql = format!(
            "SELECT p.id AS id, p.read_at AS read_at, p.doc AS doc FROM picture_part p WHERE p.org = $1 \
             AND p.connection = $2 AND p.kind = 'additions' AND p.id IN ({}) AND NOT EXISTS (SELECT 1 \
             FROM picture_hint h WHERE h.org = p.org AND h.connection = p.connection AND h.id = p.id)",
            names.join(", ")
        );
        let place: [Value; 2] = [org.as_str().into(), connection.into()];
        let values: Vec<Value> = place.into_iter().chain(some.iter().map(|id| id.0.into())).collect();
        for row in db::query(&store.db, &sql, values).await? {
            let id: i64 = row.try_get("", "id").map_err(error::of_db)?;
            let read_at: Millis = row.try_get("", "read_at").map_err(error::of_db)?;
            let doc: String = row.try_get("", "doc").map_err(error::of_db)?;
            found.insert(AgreementId(id), (read_at, db::from_doc("the picture of ConnectWise", &doc)?));
        }
    }
    Ok(found)
}

pub(crate) async fn load_part(
    store: &SqlStore,
    org: &OrganizationId,
    connection: &str,
    after: Option<AgreementId>,
    limit: u32,
) -> Result<Snapshot, StoreError> {
    let mut part = Snapshot::default();
    let after = after.map_or(i64::MIN, |id| id.0);
    let agreements = Reading { store, org, connection }.rows(AGREEMENT, (after, i64::MAX), limit).await?;
    let Some(last) = agreements.last().map(|(id, _)| *id) else { return Ok(part) };
    part.agreements = agreements.into_iter().map(|(id, value)| (AgreementId(id), value)).collect();
    let additions = Reading { store, org, connection }.rows(ADDITIONS, (after, last), limit).await?;
    part.additions = additions.into_iter().map(|(id, value)| (AgreementId(id), value)).collect();
    Ok(part)
}

pub(crate) async fn lists(
    store: &SqlStore,
    org: &OrganizationId,
    connection: &str,
) -> Result<Option<Snapshot>, StoreError> {
    if state(store, org, connection).await?.is_none() {
        return Ok(None);
    }
    let reading = Reading { store, org, connection };
    Ok(Some(Snapshot {
        companies: reading.all(COMPANY, CompanyId).await?,
        agreements: reading.all(AGREEMENT, AgreementId).await?,
        catalog: reading.all(CATALOG_ITEM, CatalogItemId).await?,
        ..Snapshot::default()
    }))
}

pub(crate) async fn load(
    store: &SqlStore,
    org: &OrganizationId,
    connection: &str,
) -> Result<Option<(Millis, Snapshot)>, StoreError> {
    let Some(state) = state(store, org, connection).await? else { return Ok(None) };
    let reading = Reading { store, org, connection };
    let mut snapshot = Snapshot {
        companies: reading.all(COMPANY, CompanyId).await?,
        catalog: reading.all(CATALOG_ITEM, CatalogItemId).await?,
        ..Snapshot::default()
    };
    let mut after = None;
    loop {
        let mut part = load_part(store, org, connection, after, PAGE).await?;
        let Some(last) = part.agreements.last_key_value().map(|(id, _)| *id) else { break };
        snapshot.agreements.append(&mut part.agreements);
        snapshot.additions.append(&mut part.additions);
        after = Some(last);
    }
    Ok(Some((state.at, snapshot)))
}

/// Rows out of one picture.
struct Reading<'a> {
    store: &'a SqlStore,
    org: &'a OrganizationId,
    connection: &'a str,
}

impl Reading<'_> {
    /// Rows of a kind with ids above the first and up to the second, in their order.
    async fn rows<T: DeserializeOwned>(
        &self,
        kind: &str,
        (after, up_to): (i64, i64),
        limit: u32,
    ) -> Result<Vec<(i64, T)>, StoreError> {
        let sql = "SELECT id, doc FROM picture_part WHERE org = $1 AND connection = $2 AND kind = $3 \
                   AND id > $4 AND id <= $5 ORDER BY id LIMIT $6";
        let values: [Value; 6] = [
            self.org.as_str().into(),
            self.connection.into(),
            kind.into(),
            after.into(),
            up_to.into(),
            i64::from(limit).into(),
        ];
        db::query(&self.store.db, sql, values)
            .await?
            .iter()
            .map(|row| {
                let id: i64 = row.try_get("", "id").map_err(error::of_db)?;
                let doc: String = row.try_get("", "doc").map_err(error::of_db)?;
                Ok((id, db::from_doc("the picture of ConnectWise", &doc)?))
            })
            .collect()
    }

    async fn all<K: Ord, T: DeserializeOwned>(
        &self,
        kind: &str,
        key: fn(i64) -> K,
    ) -> Result<BTreeMap<K, T>, StoreError> {
        let mut found = BTreeMap::new();
        let mut after = i64::MIN;
        loop {
            let rows = self.rows(kind, (after, i64::MAX), PAGE).await?;
            let Some((last, _)) = rows.last() else { return Ok(found) };
            after = *last;
            found.extend(rows.into_iter().map(|(id, value)| (key(id), value)));
        }
    }
}
