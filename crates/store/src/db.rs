//! What every noun shares: write transactions, row locks, upserts of many rows, JSON documents.

use crate::error;
use crate::store::SqlStore;
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveModelTrait, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, EntityTrait,
    QueryResult, Statement, TransactionOptions, TransactionTrait, Value,
};
use sea_orm::{IntoActiveModel, Iterable, SqliteTransactionMode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::ops::Deref;
use std::sync::Arc;
use tokio::sync::OwnedMutexGuard;
use trueup_engine::ports::StoreError;

/// Bound values that one statement may carry: below SQLite's 32,766 and PostgreSQL's 65,535.
pub(crate) const MAX_VALUES: usize = 30_000;

/// A write transaction; dropped without [`commit`], it never was.
pub(crate) struct WriteTx {
    // Before the turn, so that the database hears of the end first.
    tx: DatabaseTransaction,
    _turn: Option<OwnedMutexGuard<()>>,
}

impl Deref for WriteTx {
    type Target = DatabaseTransaction;
    fn deref(&self) -> &DatabaseTransaction {
        &self.tx
    }
}

/// Begins a write transaction. On SQLite it takes the write lock at once: a deferred one that reads and then writes
/// fails with SQLITE_BUSY as soon as another writer came in between, whatever the busy timeout. Writers queue for
/// their turn before that, because SQLite's own waiting is polling, and polling is not fair.
pub(crate) async fn write_tx(store: &SqlStore) -> Result<WriteTx, StoreError> {
    let turn = match &store.writers {
        Some(writers) => Some(Arc::clone(writers).lock_owned().await),
        None => None,
    };
    Ok(WriteTx { tx: begin(&store.db).await?, _turn: turn })
}

/// Begins a transaction without waiting for a turn.
pub(crate) async fn begin(db: &DatabaseConnection) -> Result<DatabaseTransaction, StoreError> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    db.begin_with_options(options).await.map_err(error::of_db)
}

/// Commits.
pub(crate) async fn commit(write: WriteTx) -> Result<(), StoreError> {
    let WriteTx { tx, _turn } = write;
    tx.commit().await.map_err(error::of_db)
}

/// Makes transactions that name the same thing wait for each other. SQLite has one writer at a time anyway.
pub(crate) async fn guard(tx: &DatabaseTransaction, org: &str, name: &str) -> Result<(), StoreError> {
    if tx.get_database_backend() == DbBackend::Sqlite {
        return Ok(());
    }
    run(
        tx,
        "INSERT INTO guard (org, name) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        [org.into(), name.into()],
    )
    .await?;
    run(tx, "SELECT name FROM guard WHERE org = $1 AND name = $2 FOR UPDATE", [org.into(), name.into()])
        .await?;
    Ok(())
}

/// Lets the rest of a transaction see all organizations: what it does is about more than one.
pub(crate) async fn see_everybody(tx: &DatabaseTransaction) -> Result<(), StoreError> {
    if tx.get_database_backend() == DbBackend::Sqlite {
        return Ok(());
    }
    query(tx, "SELECT set_config('trueup.scope', '*', true)", []).await.map(drop)
}

/// Runs a statement written for both databases: `$1` is a numbered parameter on either.
pub(crate) async fn run<C: ConnectionTrait>(
    db: &C,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<u64, StoreError> {
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    Ok(db.execute_raw(statement).await.map_err(error::of_db)?.rows_affected())
}

/// Runs a query written for both databases.
pub(crate) async fn query<C: ConnectionTrait>(
    db: &C,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<Vec<QueryResult>, StoreError> {
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    db.query_all_raw(statement).await.map_err(error::of_db)
}

/// Waits until no other process works under `lock`; the turn ends with the transaction. None on SQLite, where the lock
/// on the data directory already keeps others out.
pub(crate) async fn write_turn(
    db: &DatabaseConnection,
    lock: i64,
) -> Result<Option<DatabaseTransaction>, StoreError> {
    if db.get_database_backend() == DbBackend::Sqlite {
        return Ok(None);
    }
    let tx = begin(db).await?;
    // The work is done on other connections, and may take its time.
    run(&tx, "SET LOCAL idle_in_transaction_session_timeout = 0", []).await?;
    query(&tx, "SELECT 1 FROM pg_advisory_xact_lock($1)", [lock.into()]).await?;
    Ok(Some(tx))
}

/// Inserts rows, in as few statements as fit; a row whose key is there already takes over the columns `update`, or is
/// left as it is where there are none.
pub(crate) async fn upsert<E>(
    tx: &DatabaseTransaction,
    rows: Vec<E::Model>,
    key: &[E::Column],
    update: &[E::Column],
) -> Result<(), StoreError>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel>,
    E::ActiveModel: ActiveModelTrait<Entity = E> + Send,
{
    let chunk = (MAX_VALUES / E::Column::iter().count().max(1)).max(1);
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let part = rows.by_ref().take(chunk).map(|row| row.into_active_model().reset_all());
        let mut conflict = OnConflict::columns(key.iter().copied());
        if update.is_empty() {
            conflict.do_nothing();
        } else {
            conflict.update_columns(update.iter().copied());
        }
        E::insert_many(part).on_conflict(conflict).exec_without_returning(tx).await.map_err(error::of_db)?;
    }
    Ok(())
}

/// A document as JSON text.
pub(crate) fn to_doc<T: Serialize>(what: &str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| error::damaged(what, e))
}

/// A document from its JSON text.
pub(crate) fn from_doc<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|e| error::damaged(what, e))
}

/// A word that an enum's serde form names, as a column holds it.
pub(crate) fn word<T: Serialize>(value: &T) -> Result<String, StoreError> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => Ok(text),
        Ok(other) => Err(StoreError::Damaged(format!("{other} is not a word"))),
        Err(e) => Err(error::damaged("a word", e)),
    }
}

/// The enum value that a column's word names.
pub(crate) fn from_word<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|e| error::damaged(what, e))
}
