//! Records and mappings.

use crate::support::rows::{counter, entry, mapping, org, source, task};
use crate::support::{Backend, Fixture};
use rstest::rstest;
use std::collections::BTreeMap;
use trueup_domain::feed::RecordKind;
use trueup_domain::ids::TaskId;
use trueup_domain::mapping::{Mapping, MappingKind};
use trueup_domain::task::TaskState;
use trueup_engine::ports::Store;
use trueup_engine::records::{ImportCounts, Released};

fn counts(new: u64, changed: u64, unchanged: u64) -> BTreeMap<RecordKind, ImportCounts> {
    BTreeMap::from([(RecordKind::Counter, ImportCounts { new, changed, unchanged })])
}

#[rstest]
#[tokio::test]
async fn records_are_new_changed_or_unchanged(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let (store, org) = (&fixture.store, org("a"));
    let batch = [counter("c-1", "1"), counter("c-2", "1")];
    assert_eq!(store.save_records(&org, &source(), 10, &batch).await.unwrap(), counts(2, 0, 0));
    // The same batch again changes nothing.
    assert_eq!(store.save_records(&org, &source(), 20, &batch).await.unwrap(), counts(0, 0, 2));
    let batch = [counter("c-1", "2"), counter("c-2", "1"), counter("C-3", "1")];
    assert_eq!(store.save_records(&org, &source(), 30, &batch).await.unwrap(), counts(1, 1, 1));
    // Twice in one batch: the last holds, the one in between is history.
    let batch = [counter("c-1", "3"), counter("c-1", "4"), counter("c-9", "1"), counter("c-9", "2")];
    assert_eq!(store.save_records(&org, &source(), 40, &batch).await.unwrap(), counts(1, 3, 0));
    assert!(store.save_records(&org, &source(), 40, &[]).await.unwrap().is_empty());

    let all = store.list_records(&org, None, RecordKind::Counter).await.unwrap();
    let seen: Vec<_> = all.iter().map(|r| (r.version, r.received_at)).collect();
    // By id byte by byte: `C-3` before `c-1`.
    assert_eq!(seen, [(1, 30), (4, 40), (1, 10), (2, 40)]);
    assert_eq!(all[1].record, counter("c-1", "4").record);
    assert_eq!(store.list_records(&org, Some(&"other".into()), RecordKind::Counter).await.unwrap(), []);
    assert_eq!(store.list_records(&org, None, RecordKind::Order).await.unwrap(), []);

    let versions = store.list_record_versions(&org, &source(), RecordKind::Counter, "c-1").await.unwrap();
    let hashes: Vec<_> = versions.iter().map(|v| (v.version, v.hash.as_str())).collect();
    assert_eq!(hashes, [(1, "hash-1"), (2, "hash-2"), (3, "hash-3"), (4, "hash-4")]);
    assert_eq!(versions[0].record, counter("c-1", "1").record);

    let fixture = fixture.reopened().await;
    let found = fixture.store.find_record(&org, &source(), RecordKind::Counter, "c-2").await.unwrap();
    assert_eq!(found.unwrap().record, counter("c-2", "1").record);
    let none = fixture.store.find_record(&org, &source(), RecordKind::Counter, "c-0").await.unwrap();
    assert_eq!(none, None);
}

/// A file that holds several versions of a record brings them all again: what is stored already is no change.
#[rstest]
#[tokio::test]
async fn older_versions_before_the_newest_change_nothing(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let (store, org) = (&fixture.store, org("a"));
    let both = [counter("c-1", "1"), counter("c-1", "2")];
    assert_eq!(store.save_records(&org, &source(), 10, &both).await.unwrap(), counts(1, 1, 0));
    assert_eq!(store.save_records(&org, &source(), 20, &both).await.unwrap(), counts(0, 0, 2));
    let more = [counter("c-1", "1"), counter("c-1", "2"), counter("c-1", "3")];
    assert_eq!(store.save_records(&org, &source(), 30, &more).await.unwrap(), counts(0, 1, 2));
    // Alone an older version is a change, and may be left out until the file ends.
    let (saved, left_out) = store.save_new_records(&org, &source(), 40, &more[..2]).await.unwrap();
    assert_eq!((saved, left_out), (BTreeMap::new(), [0, 1].into()));
    assert_eq!(
        store.save_new_records(&org, &source(), 40, &more).await.unwrap(),
        (counts(0, 0, 3), [].into())
    );
    assert_eq!(store.save_records(&org, &source(), 50, &more[..1]).await.unwrap(), counts(0, 1, 0));
    let at = async |at| {
        let found = store.find_record_at(&org, &source(), (RecordKind::Counter, "c-1"), at).await.unwrap();
        found.map(|record| (1..5).find(|n| counter("c-1", &n.to_string()).record == record).unwrap())
    };
    assert_eq!([at(9).await, at(10).await, at(49).await, at(50).await], [None, Some(2), Some(3), Some(1)]);
}

#[rstest]
#[tokio::test]
async fn a_batch_larger_than_a_statement_is_taken_whole(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let first: Vec<_> = (0..6_001).map(|n| counter(&format!("c-{n}"), "1")).collect();
    let second: Vec<_> = (0..6_001).map(|n| counter(&format!("c-{n}"), "2")).collect();
    let store = &fixture.store;
    assert_eq!(store.save_records(&org("a"), &source(), 1, &first).await.unwrap(), counts(6_001, 0, 0));
    assert_eq!(store.save_records(&org("a"), &source(), 2, &second).await.unwrap(), counts(0, 6_001, 0));
    let all = store.list_records(&org("a"), Some(&source()), RecordKind::Counter).await.unwrap();
    assert!(all.len() == 6_001 && all.iter().all(|r| r.version == 2));
}

#[rstest]
#[tokio::test]
async fn mappings_replace_and_release(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let (store, org) = (&fixture.store, org("a"));
    store.save_mappings(&org, 1, &[mapping("c-2", 20), mapping("c-1", 10)]).await.unwrap();
    store.save_mappings(&org, 2, &[mapping("c-1", 11), mapping("c-1", 12)]).await.unwrap();
    let ids =
        async || -> Vec<_> { store.list_mappings(&org).await.unwrap().iter().map(|m| m.psa_id).collect() };
    assert_eq!(ids().await, [Some(12), Some(20)]);
    let release =
        async |at| store.release_mapping(&org, at, MappingKind::Customer, &source(), "c-1", "").await;
    assert!(release(3).await.unwrap());
    assert!(!release(4).await.unwrap());
    assert_eq!(ids().await, [Some(20)]);
    let released = async || store.list_released_mappings(&org).await.unwrap();
    assert_eq!(released().await, [mapping("c-1", 12)]);
    store.save_mappings(&org, 5, &[mapping("c-1", 13)]).await.unwrap();
    assert!(released().await.is_empty());
    assert!(release(6).await.unwrap());
    assert_eq!(ids().await, [Some(20)]);

    // Several at once: as they were shown, or none of them.
    store.save_mappings(&org, 7, &[mapping("c-1", 14), mapping("c-3", 30)]).await.unwrap();
    let said = [entry("mapping.release", None)];
    let all = async |given: &[Mapping], tasks: &[TaskId]| {
        store.release_mappings(&org, 8, given, tasks, &said).await.unwrap()
    };
    assert_eq!(all(&[mapping("c-3", 30), mapping("c-1", 13)], &[]).await, Released::Moved);
    assert_eq!(all(&[mapping("c-3", 30), mapping("c-4", 1)], &[]).await, Released::Moved);
    store.save_tasks(&org, 8, &[task("t1", "s", 1, TaskState::Applying)]).await.unwrap();
    let both = [mapping("c-3", 30), mapping("c-1", 14)];
    assert_eq!(all(&both, &["t1".into(), "t2".into()]).await, Released::Busy("t1".into()));
    assert_eq!(ids().await, [Some(14), Some(20), Some(30)]);
    assert_eq!(
        store.list_audit(&org, None, 9).await.unwrap().len(),
        0,
        "nothing was released, nothing is told"
    );
    assert_eq!(all(&both, &["t2".into()]).await, Released::Done);
    assert_eq!(store.list_audit(&org, None, 9).await.unwrap().len(), 1);
    assert_eq!(all(&[mapping("c-3", 30)], &[]).await, Released::Moved);
    assert_eq!(ids().await, [Some(20)]);

    // Judged by what stands now, or not saved and not told.
    let (stood, saved) = ([mapping("c-2", 20)], [entry("mapping.save", None)]);
    let save = async |judged_by: &[Mapping]| {
        store.save_judged_mappings(&org, 8, judged_by, &[mapping("c-5", 50)], &saved).await.unwrap()
    };
    assert!(!save(&[]).await && !save(&[mapping("c-2", 21)]).await);
    assert_eq!((ids().await.len(), store.list_audit(&org, None, 9).await.unwrap().len()), (1, 1));
    assert!(save(&stood).await && !save(&stood).await);
    assert_eq!((ids().await.len(), store.list_audit(&org, None, 9).await.unwrap().len()), (2, 2));
    let source = source();
    let versions = store.mapping_history(&org, (MappingKind::Customer, &source, "c-1", "")).await.unwrap();
    let told: Vec<_> = versions.iter().map(|v| (v.version, v.mapping.psa_id, v.ended_at)).collect();
    assert_eq!(
        told,
        [
            (5, Some(14), Some(8)),
            (4, Some(13), Some(6)),
            (3, Some(12), Some(3)),
            (2, Some(11), Some(2)),
            (1, Some(10), Some(2)),
        ]
    );
}

#[rstest]
#[tokio::test]
async fn records_are_counted_and_read_page_by_page(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let (store, org) = (&fixture.store, org("a"));
    let ids = ["b", "B", "a", "c-10", "c-9"];
    let batch: Vec<_> = ids.iter().map(|id| counter(id, "1")).collect();
    store.save_records(&org, &source(), 10, &batch).await.unwrap();
    store.save_records(&org, &"other".into(), 10, &batch[..2]).await.unwrap();
    store.save_records(&org, &source(), 20, &[counter("a", "2")]).await.unwrap();
    let many = store.count_records(&org, RecordKind::Counter).await.unwrap();
    assert_eq!(many, BTreeMap::from([("other".into(), 2), (source(), 5)]));
    assert!(store.count_records(&org, RecordKind::Usage).await.unwrap().is_empty());
    assert!(
        store.count_records(&crate::support::rows::org("b"), RecordKind::Counter).await.unwrap().is_empty()
    );

    let mut read = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = store
            .list_records_after(&org, &source(), RecordKind::Counter, after.as_deref(), 2)
            .await
            .unwrap();
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        after = Some(last.record.id());
        read.extend(page);
    }
    assert_eq!(read, store.list_records(&org, Some(&source()), RecordKind::Counter).await.unwrap());
}
