//! A disk that is full in the middle of the work, seen from inside: the limit on pages stands for the disk.

use super::{SqlStore, StoreConfig};
use sqlx::pool::PoolConnection;
use sqlx::{Row, Sqlite, SqlitePool};
use std::time::Duration;
use trueup_engine::ports::{Store, StoreError};
use trueup_engine::records::NewAuditEntry;

async fn store(dir: &std::path::Path) -> SqlStore {
    SqlStore::open(StoreConfig { data_dir: dir.to_owned(), database_url: None }).await.unwrap()
}

/// All connections that the pool may have.
async fn all(pool: &SqlitePool) -> Vec<PoolConnection<Sqlite>> {
    let mut all = Vec::new();
    for _ in 0..pool.options().get_max_connections() {
        all.push(pool.acquire().await.unwrap());
    }
    all
}

async fn limit(pool: &SqlitePool, pages: i64) {
    for mut conn in all(pool).await {
        sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}")))
            .execute(&mut *conn)
            .await
            .unwrap();
    }
}

fn entries(object: &str, count: usize) -> Vec<NewAuditEntry> {
    let entry = NewAuditEntry {
        at: 1,
        actor: "test".to_owned(),
        action: "test".to_owned(),
        object: object.to_owned(),
        addition: None,
        detail: format!("{:?}", "x".repeat(2_000)),
    };
    vec![entry; count]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_holds_nobody_up_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path()).await;
    let org = "a".into();
    store.ensure_organization(&org).await.unwrap();
    store.append_audit(&org, &entries("before", 1)).await.unwrap();
    let pool = store.db.get_sqlite_connection_pool().clone();
    let used: i64 = sqlx::query("PRAGMA page_count").fetch_one(&pool).await.unwrap().get(0);
    limit(&pool, used + 10).await;
    let tries = (0..16).map(|n| {
        let (store, org) = (&store, &org);
        async move { store.append_audit(org, &entries(&format!("full-{n}"), 40)).await }
    });
    for result in futures::future::join_all(tries).await {
        assert!(matches!(result, Err(StoreError::NotWritable(_))), "{result:?}");
    }
    limit(&pool, 1_000_000).await;
    let after = entries("after", 1);
    let goes_on = tokio::time::timeout(Duration::from_secs(20), store.append_audit(&org, &after));
    goes_on.await.expect("no writer waits for a lock that nobody gives back").unwrap();
    let told = store.list_audit(&org, None, 1_000).await.unwrap();
    let objects: Vec<_> = told.iter().map(|entry| entry.entry.object.as_str()).collect();
    assert_eq!(objects.len(), 2, "what did not fit is not there in part: {objects:?}");
    assert_eq!(store.verify_audit(&org).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_comes_back_in_a_transaction_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path()).await;
    let pool = store.db.get_sqlite_connection_pool().clone();
    let mut conn = pool.acquire().await.unwrap();
    // Behind the driver's back, as a statement that met a full disk leaves it.
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut *conn).await.unwrap();
    drop(conn);
    let org = "a".into();
    let goes_on = tokio::time::timeout(Duration::from_secs(20), store.ensure_organization(&org));
    goes_on.await.expect("the write lock is given back with the connection").unwrap();
}

/// Look-ups that are made at every fire and callback, while nobody else can write.
#[tokio::test]
async fn what_is_looked_up_while_others_wait_is_served_by_an_index() {
    let dir = tempfile::tempdir().unwrap();
    let config = StoreConfig { data_dir: dir.path().to_owned(), database_url: None };
    let store = SqlStore::open(config).await.unwrap();
    for sql in [crate::callbacks::LAST_FIRED, crate::schedules::RUN_BEFORE] {
        let values = ["a", "b", "c"].map(sea_orm::Value::from);
        let rows = crate::db::query(&store.db, &format!("EXPLAIN QUERY PLAN {sql}"), values).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.try_get("", "detail").unwrap()).collect();
        let looks: Vec<_> =
            plan.iter().filter(|l| l.starts_with("SEARCH") || l.starts_with("SCAN")).collect();
        let bounded = |line: &&String| line.starts_with("SEARCH") && line.matches('?').count() > 1;
        assert!(!looks.is_empty() && looks.iter().all(bounded), "{sql}: {plan:?}");
    }
}
