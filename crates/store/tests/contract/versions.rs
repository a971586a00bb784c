//! Versions of the tables, and a server that goes away.

use crate::support::postgres::Server;
use crate::support::{Backend, Fixture};
use rstest::rstest;
use trueup_engine::ports::{Store, StoreError};
use trueup_store::{SqlStore, StoreConfig};

#[rstest]
#[tokio::test]
async fn a_database_of_a_later_version_is_refused(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let later = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_later', 1)";
    fixture.raw(later).await.unwrap();
    let config = fixture.config();
    fixture.store.ping().await.unwrap();
    if backend == Backend::Sqlite {
        let copy = tempfile::tempdir().unwrap();
        fixture.store.back_up(&copy.path().join("trueup.db")).await.unwrap();
        let config = StoreConfig { data_dir: copy.path().to_owned(), database_url: None };
        assert!(matches!(SqlStore::open(config).await, Err(StoreError::WrongVersion(_))));
    } else {
        assert!(matches!(SqlStore::open(config).await, Err(StoreError::WrongVersion(_))));
    }
}

#[tokio::test]
async fn a_server_that_goes_away_is_out_of_reach() {
    let Some(server) = Server::of_its_own().await else {
        println!("skipped: no PostgreSQL");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let (url, _) = server.new_database().await;
    let config = StoreConfig { data_dir: dir.path().to_owned(), database_url: Some(url) };
    let store = SqlStore::open(config).await.unwrap();
    store.save_mark(&"a".into(), "m", "1").await.unwrap();
    drop(server);
    let refused = store.save_mark(&"a".into(), "m", "2").await;
    assert!(matches!(refused, Err(StoreError::OutOfReach(_))), "{refused:?}");
    let refused = store.load_mark(&"a".into(), "m").await;
    assert!(matches!(refused, Err(StoreError::OutOfReach(_))), "{refused:?}");
}

#[tokio::test]
async fn several_processes_may_bring_one_database_up_to_date() {
    let Some(fixture) = Fixture::new(Backend::Postgres).await else { return };
    fixture.raw("DROP SCHEMA public CASCADE").await.unwrap();
    fixture.raw("CREATE SCHEMA public; GRANT ALL ON SCHEMA public TO PUBLIC").await.unwrap();
    let opened = futures::future::join_all((0..4).map(|_| SqlStore::open(fixture.config()))).await;
    for store in opened {
        store.unwrap().ping().await.unwrap();
    }
}
