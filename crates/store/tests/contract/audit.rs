//! The audit, and many writers at once.

use crate::support::rows::{counter, entry, org, source};
use crate::support::{Backend, Fixture};
use rstest::rstest;
use trueup_domain::feed::RecordKind;
use trueup_domain::ids::AdditionId;
use trueup_engine::ports::Store;

#[rstest]
#[tokio::test]
async fn the_audit_only_grows_and_shows_tampering(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let (store, org) = (&fixture.store, org("a"));
    store.append_audit(&org, &[entry("one", None), entry("two", Some(7))]).await.unwrap();
    store.append_audit(&org, &[entry("three", None), entry("four", Some(7))]).await.unwrap();
    let all = store.list_audit(&org, None, 3).await.unwrap();
    assert_eq!(all.iter().map(|e| e.number).collect::<Vec<_>>(), [4, 3, 2]);
    assert_eq!(all[0].previous_hash, all[1].hash);
    let of_addition = store.list_audit(&org, Some(AdditionId(7)), 9).await.unwrap();
    assert_eq!(of_addition.iter().map(|e| e.entry.action.as_str()).collect::<Vec<_>>(), ["two", "four"]);
    assert_eq!(store.verify_audit(&org).await.unwrap(), None);

    for sql in ["UPDATE audit SET actor = 'x'", "DELETE FROM audit"] {
        let refused = fixture.raw(sql).await.unwrap_err().to_string();
        assert!(refused.contains("append-only"), "{refused}");
    }
    let unlock = match backend {
        Backend::Sqlite => "DROP TRIGGER audit_no_update; DROP TRIGGER audit_no_delete",
        Backend::Postgres => "ALTER TABLE audit DISABLE TRIGGER USER",
    };
    for sql in unlock.split(';') {
        fixture.raw(sql).await.unwrap();
    }
    fixture.raw("UPDATE audit SET detail = '{\"before\":1}' WHERE number = 3").await.unwrap();
    assert_eq!(store.verify_audit(&org).await.unwrap(), Some(3));
    fixture.raw("UPDATE audit SET detail = '{\"before\":null}' WHERE number = 3").await.unwrap();
    assert_eq!(store.verify_audit(&org).await.unwrap(), None);
    fixture.raw("DELETE FROM audit WHERE number = 4").await.unwrap();
    assert_eq!(store.verify_audit(&org).await.unwrap(), Some(4));
    fixture.raw("DELETE FROM audit WHERE number = 2").await.unwrap();
    assert_eq!(store.verify_audit(&org).await.unwrap(), Some(2));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_at_the_same_time_lose_nothing(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let store = &fixture.store;
    let import = async |n: usize| {
        let batch: Vec<_> = (0..50).map(|i| counter(&format!("c-{i}"), &(n % 3).to_string())).collect();
        store.save_records(&org("a"), &source(), 1, &batch).await.unwrap();
        store.append_audit(&org("a"), &[entry("import", None), entry("import", Some(1))]).await.unwrap();
    };
    futures::future::join_all((0..12).map(import)).await;
    assert_eq!(store.list_records(&org("a"), None, RecordKind::Counter).await.unwrap().len(), 50);
    assert_eq!(store.verify_audit(&org("a")).await.unwrap(), None);
    assert_eq!(store.list_audit(&org("a"), None, 100).await.unwrap()[0].number, 24);
}
