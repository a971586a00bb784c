//! The contract of the store: one suite, run on SQLite and on PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use jiff::civil::{Date, date};
use rstest::rstest;
use std::collections::BTreeMap;
use support::rows::{connection, counter, entry, finding, link, mapping, operation, org, source, task};
use support::{Backend, Fixture};
use trueup_domain::feed::RecordKind;
use trueup_domain::finding::{Code, Severity};
use trueup_domain::ids::{AdditionId, PlanId};
use trueup_domain::mapping::MappingKind;
use trueup_domain::plan::{DraftPlan, OperationKey, TaskOutcome};
use trueup_domain::psa::Snapshot;
use trueup_domain::task::TaskState;
use trueup_engine::ports::{Lease, OperationOutcome, Store, StoreError};
use trueup_engine::records::{
    FindingFilter, FindingState, ImportCounts, OperationRow, OperationState, OrganizationRow, PlanBody,
    PlanState, StoredPlan, TaskFilter,
};

const TODAY: Date = date(2026, 3, 1);

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
async fn settings_come_from_the_nearest_level(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let store = &fixture.store;
    store.ensure_organization(&org("msp")).await.unwrap();
    store.ensure_organization(&org("msp")).await.unwrap();
    let below = |id: &str, parent: &str| OrganizationRow {
        id: org(id),
        name: id.to_uppercase(),
        kind: "customer".to_owned(),
        parent: Some(org(parent)),
    };
    store.add_organization(&below("shop", "msp")).await.unwrap();
    store.add_organization(&below("site", "shop")).await.unwrap();
    assert!(matches!(store.add_organization(&below("site", "msp")).await, Err(StoreError::Conflict(_))));
    assert!(matches!(store.add_organization(&below("x", "nobody")).await, Err(StoreError::Conflict(_))));
    let listed: Vec<_> = store.list_organizations().await.unwrap().into_iter().map(|o| o.id.0).collect();
    assert_eq!(listed, ["msp", "shop", "site"]);

    store.save_setting(&org("msp"), "credits", Some("on")).await.unwrap();
    store.save_setting(&org("msp"), "marker", Some("none")).await.unwrap();
    store.save_setting(&org("shop"), "credits", Some("off")).await.unwrap();
    let of = async |id: &str, key: &str| {
        let values = store.load_settings(&org(id)).await.unwrap();
        values.get(key).map(|v| (v.value.clone(), v.from.clone().unwrap().0))
    };
    assert_eq!(of("site", "credits").await, Some(("off".into(), "shop".into())));
    assert_eq!(of("site", "marker").await, Some(("none".into(), "msp".into())));
    assert_eq!(of("msp", "credits").await, Some(("on".into(), "msp".into())));
    store.save_setting(&org("shop"), "credits", None).await.unwrap();
    assert_eq!(of("site", "credits").await, Some(("on".into(), "msp".into())));
    assert_eq!(of("elsewhere", "credits").await, None);
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
    store.save_mappings(&org, 5, &[mapping("c-1", 13)]).await.unwrap();
    assert!(release(6).await.unwrap());
    assert_eq!(ids().await, [Some(20)]);
}

#[rstest]
#[tokio::test]
async fn tasks_are_filtered_and_ordered(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let (store, org) = (&fixture.store, org("a"));
    let tasks = [
        task("t3", "s-2", 1, TaskState::New),
        task("t2", "s-1", 9, TaskState::Ready),
        task("t1", "s-1", 5, TaskState::New),
    ];
    store.save_tasks(&org, 1, &tasks).await.unwrap();
    let ids = async |filter: TaskFilter| -> Vec<String> {
        store.list_tasks(&org, &filter).await.unwrap().into_iter().map(|t| t.id.0).collect()
    };
    assert_eq!(ids(TaskFilter::default()).await, ["t1", "t2", "t3"]);
    let filter = TaskFilter { states: vec![TaskState::New], ..TaskFilter::default() };
    assert_eq!(ids(filter).await, ["t1", "t3"]);
    let filter = TaskFilter { ids: vec!["t3".into(), "t2".into(), "t2".into()], ..TaskFilter::default() };
    assert_eq!(ids(filter).await, ["t2", "t3"]);
    let filter = TaskFilter {
        subscription: Some("s-1".into()),
        customer: Some("c-1".into()),
        source: Some(source()),
        ..TaskFilter::default()
    };
    assert_eq!(ids(filter).await, ["t1", "t2"]);
    store.save_tasks(&org, 2, &[task("t1", "s-1", 5, TaskState::Done)]).await.unwrap();
    let counted = store.count_tasks(&org).await.unwrap();
    assert_eq!(counted, BTreeMap::from([("done".into(), 1), ("new".into(), 1), ("ready".into(), 1)]));

    assert_eq!(store.load_mark(&org, "orders").await.unwrap(), None);
    store.save_mark(&org, "orders", "1").await.unwrap();
    store.save_mark(&org, "orders", "2").await.unwrap();
    assert_eq!(store.load_mark(&org, "orders").await.unwrap().as_deref(), Some("2"));
}

fn plan(id: &str, created_at: i64, task: &str, outcome: TaskOutcome) -> StoredPlan {
    let draft = DraftPlan {
        outcomes: BTreeMap::from([(task.into(), outcome)]),
        today: Some(TODAY),
        ..DraftPlan::default()
    };
    // Only the checker makes a checked plan; its stored form is the plan's own.
    let checked = format!(r#"{{"checked":{}}}"#, serde_json::to_string(&draft).unwrap());
    StoredPlan {
        id: id.into(),
        connection: "main".to_owned(),
        created_at,
        actor: "trueup".to_owned(),
        state: PlanState::Proposed,
        body: serde_json::from_str::<PlanBody>(&checked).unwrap(),
    }
}

#[rstest]
#[tokio::test]
async fn plans_keep_their_body_and_move(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let (store, org) = (&fixture.store, org("a"));
    let first = plan("p1", 10, "t1", TaskOutcome::Planned);
    let mut second = plan("p2", 20, "t1", TaskOutcome::NeedsMapping);
    store.save_plan(&org, &first).await.unwrap();
    store.save_plan(&org, &second).await.unwrap();
    assert!(matches!(store.save_plan(&org, &first).await, Err(StoreError::Conflict(_))));
    assert_eq!(store.find_plan(&org, &"p1".into()).await.unwrap(), Some(first.clone()));
    assert_eq!(store.find_plan(&org, &"p3".into()).await.unwrap(), None);
    store.set_plan_state(&org, &"p2".into(), PlanState::Applying).await.unwrap();
    second.state = PlanState::Applying;
    assert!(store.set_plan_state(&org, &"p3".into(), PlanState::Stale).await.is_err());
    assert_eq!(store.list_plans(&org, 10).await.unwrap(), [second.clone(), first]);
    assert_eq!(store.list_plans(&org, 1).await.unwrap(), [second]);
    // The second plan did not answer the task.
    assert_eq!(store.find_plan_of_task(&org, &"t1".into()).await.unwrap(), Some("p1".into()));
    assert_eq!(store.find_plan_of_task(&org, &"t2".into()).await.unwrap(), None);

    assert_eq!(store.load_snapshot(&org, "main").await.unwrap(), None);
    store.save_snapshot(&org, "main", 1, &Snapshot::default()).await.unwrap();
    store.save_snapshot(&org, "main", 2, &Snapshot::default()).await.unwrap();
    assert_eq!(store.load_snapshot(&org, "main").await.unwrap(), Some((2, Snapshot::default())));

    store.save_links(&org, &[link(2), link(1), link(2)]).await.unwrap();
    assert_eq!(store.list_links(&org).await.unwrap(), [link(1), link(2)]);
}

#[rstest]
#[tokio::test]
async fn a_lane_has_one_holder(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let (store, org) = (&fixture.store, org("a"));
    let acquire =
        async |owner: &str, now| store.acquire_lease(&org, "agreement/40", owner, now, 100).await.unwrap();
    let first = acquire("one", 0).await.unwrap();
    assert_eq!(acquire("two", 50).await, None);
    // Renewing in time keeps the number.
    assert_eq!(acquire("one", 90).await.unwrap().fencing, first.fencing);
    assert_eq!(acquire("two", 189).await, None);
    let second = acquire("two", 190).await.unwrap();
    assert!(second.fencing > first.fencing);
    // What the first one gives back is no longer its own.
    store.release_lease(&org, &first).await.unwrap();
    assert_eq!(acquire("three", 200).await, None);
    store.release_lease(&org, &second).await.unwrap();
    let third = acquire("three", 201).await.unwrap();
    assert!(third.fencing > second.fencing);
    // Late by itself: what it began before may have been overtaken.
    assert!(acquire("three", 900).await.unwrap().fencing > third.fencing);
    // Another lane, and the same lane of another organization, are free.
    assert!(store.acquire_lease(&org, "agreement/41", "two", 0, 100).await.unwrap().is_some());
    assert!(
        store.acquire_lease(&support::rows::org("b"), "agreement/40", "two", 0, 100).await.unwrap().is_some()
    );
}

async fn lease(fixture: &Fixture, owner: &str, now: i64) -> Lease {
    fixture.store.acquire_lease(&org("a"), "agreement/40", owner, now, 100).await.unwrap().unwrap()
}

fn moved(row: &OperationRow, state: OperationState, updated_at: i64) -> OperationRow {
    OperationRow { state, updated_at, ..row.clone() }
}

fn outcome(operation: OperationRow) -> OperationOutcome {
    OperationOutcome { operation, link: None, audit: Vec::new() }
}

#[rstest]
#[tokio::test]
async fn operations_go_from_intent_to_outcome(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let (store, org) = (&fixture.store, org("a"));
    let held = lease(&fixture, "one", 0).await;
    let (first, second) = (operation("p1", "c10", "k1"), operation("p1", "c2", "k2"));
    store.save_intents(&org, &[first.clone(), second.clone()]).await.unwrap();
    // A row that is there stays as it is.
    store.save_intents(&org, &[OperationRow { calls: 9, ..first.clone() }]).await.unwrap();
    let plan = PlanId::from("p1");
    assert_eq!(store.list_operations(&org, &plan).await.unwrap(), [first.clone(), second.clone()]);
    assert_eq!(store.list_unresolved_operations(&org).await.unwrap(), []);

    let sent = OperationRow { attempts: 1, sent_at: Some(5), updated_at: 5, ..first.clone() };
    store.begin_operations(&org, &held, std::slice::from_ref(&sent)).await.unwrap();
    let unresolved = store.list_unresolved_operations(&org).await.unwrap();
    assert_eq!(unresolved.len(), 1);
    assert_eq!(unresolved[0].state, OperationState::Sending);
    assert_eq!(unresolved[0].fencing, held.fencing);
    assert_eq!((unresolved[0].attempts, unresolved[0].sent_at), (1, Some(5)));

    // The same key under another plan waits for the first.
    let rival = operation("p2", "c1", "k1");
    store.save_intents(&org, std::slice::from_ref(&rival)).await.unwrap();
    let refused = store.begin_operations(&org, &held, std::slice::from_ref(&rival)).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");

    let done = OperationOutcome {
        operation: OperationRow { addition: Some(AdditionId(311)), ..moved(&sent, OperationState::Done, 6) },
        link: Some(link(311)),
        audit: vec![entry("addition.create", Some(311))],
    };
    store.finish_operations(&org, &held, &[done]).await.unwrap();
    assert_eq!(store.list_unresolved_operations(&org).await.unwrap(), []);
    assert_eq!(store.list_links(&org).await.unwrap(), [link(311)]);
    assert_eq!(store.list_audit(&org, Some(AdditionId(311)), 10).await.unwrap().len(), 1);
    let found = store.find_operation_by_key(&org, &OperationKey("k1".into())).await.unwrap().unwrap();
    assert_eq!((found.state, found.addition), (OperationState::Done, Some(AdditionId(311))));
    for again in [&rival, &first] {
        let refused = store.begin_operations(&org, &held, std::slice::from_ref(again)).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    }

    // A refused one frees its key.
    store.begin_operations(&org, &held, std::slice::from_ref(&second)).await.unwrap();
    let refused = outcome(moved(&second, OperationState::Refused, 7));
    store.finish_operations(&org, &held, &[refused]).await.unwrap();
    let retry = operation("p3", "c1", "k2");
    store.begin_operations(&org, &held, &[retry]).await.unwrap();
    // One in doubt may be sent again by its own plan.
    let doubt = outcome(moved(&operation("p3", "c1", "k2"), OperationState::InDoubt, 8));
    store.finish_operations(&org, &held, &[doubt]).await.unwrap();
    store.begin_operations(&org, &held, &[operation("p3", "c1", "k2")]).await.unwrap();

    let twin = [operation("p4", "c1", "k9"), operation("p4", "c2", "k9")];
    assert!(matches!(store.begin_operations(&org, &held, &twin).await, Err(StoreError::Conflict(_))));
    assert_eq!(store.list_operations(&org, &"p4".into()).await.unwrap(), []);
}

#[rstest]
#[tokio::test]
async fn a_worker_that_lost_its_lane_writes_nothing(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let (store, org) = (&fixture.store, org("a"));
    let old = lease(&fixture, "one", 0).await;
    let row = operation("p1", "c1", "k1");
    store.begin_operations(&org, &old, std::slice::from_ref(&row)).await.unwrap();
    let new = lease(&fixture, "two", 500).await;
    assert_eq!(
        store.begin_operations(&org, &old, &[operation("p1", "c2", "k2")]).await,
        Err(StoreError::Fenced)
    );
    let done = OperationOutcome {
        operation: moved(&row, OperationState::Done, 9),
        link: Some(link(1)),
        audit: vec![entry("addition.create", Some(1))],
    };
    assert_eq!(
        store.finish_operations(&org, &old, std::slice::from_ref(&done)).await,
        Err(StoreError::Fenced)
    );
    assert_eq!(store.list_links(&org).await.unwrap(), []);
    assert_eq!(store.list_audit(&org, None, 10).await.unwrap(), []);
    assert_eq!(store.list_unresolved_operations(&org).await.unwrap().len(), 1);
    store.finish_operations(&org, &new, &[done]).await.unwrap();
    assert_eq!(store.list_unresolved_operations(&org).await.unwrap(), []);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_that_begin_one_key_one_wins(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let store = &fixture.store;
    for round in 0..10 {
        let begin = async |worker: usize| {
            let lane = format!("agreement/{worker}");
            let held = store.acquire_lease(&org("a"), &lane, "w", 0, 100).await.unwrap().unwrap();
            let row = operation(&format!("p{round}-{worker}"), "c1", &format!("k{round}"));
            store.begin_operations(&org("a"), &held, &[row]).await
        };
        let results = futures::future::join_all((0..6).map(begin)).await;
        assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 1, "{results:?}");
        assert!(results.iter().all(|r| matches!(r, Ok(()) | Err(StoreError::Conflict(_)))), "{results:?}");
    }
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

#[rstest]
#[tokio::test]
async fn findings_follow_what_is_seen_and_decided(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let (store, org) = (&fixture.store, org("a"));
    let (one, two) = (finding(Code::Tu2001, "c-1"), finding(Code::Tu2006, "c-2"));
    let record = async |scope: &str, at, today, seen: &[_]| {
        store.record_findings(&org, scope, at, today, seen).await.unwrap();
    };
    let state = async |customer: &str| {
        let all = store.list_findings(&org, &FindingFilter::default()).await.unwrap();
        all.into_iter().find(|f| f.finding.subject.customer == Some(customer.into())).unwrap()
    };
    record("plan", 1, TODAY, &[one.clone(), two.clone(), one.clone()]).await;
    record("plan", 2, TODAY, std::slice::from_ref(&one)).await;
    let seen = state("c-1").await;
    assert_eq!(
        (seen.state, seen.count, seen.first_seen_at, seen.last_seen_at),
        (FindingState::Open, 2, 1, 2)
    );
    assert_eq!(state("c-2").await.state, FindingState::Resolved);
    // Another scope does not resolve it.
    record("check", 3, TODAY, &[]).await;
    assert_eq!(state("c-1").await.state, FindingState::Open);
    record("plan", 4, TODAY, &[one.clone(), two.clone()]).await;
    assert_eq!(state("c-2").await.state, FindingState::Recurred);

    let decide = async |customer: &str, state_wanted, until, reason| {
        let id = state(customer).await.id;
        store.decide_finding(&org, &id, state_wanted, until, reason, "ann").await.unwrap()
    };
    assert!(decide("c-1", FindingState::Muted, Some(date(2026, 3, 5)), None).await);
    assert!(decide("c-2", FindingState::Ignored, None, Some("not ours")).await);
    record("plan", 5, date(2026, 3, 4), &[one.clone(), two.clone()]).await;
    let muted = state("c-1").await;
    assert_eq!((muted.state, muted.muted_until), (FindingState::Muted, Some(date(2026, 3, 5))));
    record("plan", 6, date(2026, 3, 5), std::slice::from_ref(&one)).await;
    let recurred = state("c-1").await;
    assert_eq!((recurred.state, recurred.muted_until), (FindingState::Recurred, None));
    let ignored = state("c-2").await;
    assert_eq!(ignored.state, FindingState::Ignored);
    assert_eq!((ignored.reason.as_deref(), ignored.decided_by.as_deref()), (Some("not ours"), Some("ann")));
    assert!(decide("c-2", FindingState::Open, None, None).await);
    assert!(!store.decide_finding(&org, "fd0", FindingState::Open, None, None, "ann").await.unwrap());

    let codes = async |filter: FindingFilter| -> Vec<Code> {
        store.list_findings(&org, &filter).await.unwrap().iter().map(|f| f.finding.code).collect()
    };
    assert_eq!(codes(FindingFilter::default()).await, [Code::Tu2001, Code::Tu2006]);
    let grave = FindingFilter { severity: Some(Severity::Error), ..FindingFilter::default() };
    assert_eq!(codes(grave).await, [Code::Tu2001]);
    let code = FindingFilter { code: Some("TU2006".into()), ..FindingFilter::default() };
    assert_eq!(codes(code).await, [Code::Tu2006]);
    let states = FindingFilter { states: vec![FindingState::Recurred], ..FindingFilter::default() };
    assert_eq!(codes(states).await, [Code::Tu2001]);
    let task = FindingFilter { task: Some("t".into()), ..FindingFilter::default() };
    assert_eq!(codes(task).await, []);
}

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
#[tokio::test]
async fn secrets_are_sealed(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    const SECRET: &str = "Zx9-private-key-of-the-tenant";
    let Some(fixture) = Fixture::new(backend).await else { return };
    let a = org("a");
    assert!(fixture.store.list_connections(&a).await.unwrap().is_empty());
    fixture.store.save_connection(&a, &connection("main", SECRET)).await.unwrap();
    fixture.store.save_connection(&a, &connection("main", SECRET)).await.unwrap();
    let child =
        OrganizationRow { id: org("b"), name: "B".into(), kind: "customer".into(), parent: Some(a.clone()) };
    fixture.store.ensure_organization(&a).await.unwrap();
    fixture.store.add_organization(&child).await.unwrap();
    fixture.store.save_connection(&org("b"), &connection("own", "other")).await.unwrap();
    let names = async |id: &str| -> Vec<_> {
        let all = fixture.store.list_connections(&org(id)).await.unwrap();
        all.into_iter().map(|c| (c.name, c.private_key.reveal().to_owned())).collect()
    };
    assert_eq!(names("a").await, [("main".to_owned(), SECRET.to_owned())]);
    assert_eq!(
        names("b").await,
        [("own".to_owned(), "other".to_owned()), ("main".to_owned(), SECRET.to_owned())]
    );

    if backend == Backend::Sqlite {
        for file in ["trueup.db", "trueup.db-wal"] {
            let bytes = std::fs::read(fixture.data_dir().join(file)).unwrap_or_default();
            assert!(!bytes.windows(SECRET.len()).any(|w| w == SECRET.as_bytes()), "{file} holds the secret");
        }
    }
    let key = fixture.data_dir().join("trueup.key");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    }
    // A value moved to another row does not open there.
    let copy = "UPDATE connection SET sealed_private_key = \
                (SELECT sealed_private_key FROM connection WHERE name = 'main') WHERE name = 'own'";
    fixture.raw(copy).await.unwrap();
    assert!(matches!(fixture.store.list_connections(&org("b")).await, Err(StoreError::KeyMissing(_))));

    let bytes = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    assert!(matches!(fixture.store.list_connections(&a).await, Err(StoreError::KeyMissing(_))));
    // No new key while others are sealed with the old one.
    let refused = fixture.store.save_connection(&a, &connection("second", "s")).await;
    assert!(matches!(refused, Err(StoreError::KeyMissing(_))));
    std::fs::write(&key, [7; 32]).unwrap();
    assert!(matches!(fixture.store.list_connections(&a).await, Err(StoreError::KeyMissing(_))));
    std::fs::write(&key, bytes).unwrap();
    assert_eq!(fixture.store.list_connections(&a).await.unwrap().len(), 1);
}

#[rstest]
#[tokio::test]
async fn organizations_see_nothing_of_each_other(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let store = &fixture.store;
    for (id, value) in [("a", "1"), ("b", "2")] {
        let org = org(id);
        store.ensure_organization(&org).await.unwrap();
        store.save_records(&org, &source(), 1, &[counter("c-1", value)]).await.unwrap();
        store.save_mappings(&org, 1, &[mapping("c-1", value.parse().unwrap())]).await.unwrap();
        store.save_tasks(&org, 1, &[task("t1", value, 1, TaskState::New)]).await.unwrap();
        store.save_plan(&org, &plan("p1", value.parse().unwrap(), "t1", TaskOutcome::Planned)).await.unwrap();
        store.append_audit(&org, &[entry(value, None)]).await.unwrap();
        store.record_findings(&org, "plan", 1, TODAY, &[finding(Code::Tu2001, "c-1")]).await.unwrap();
        store.save_connection(&org, &connection("main", value)).await.unwrap();
        store.save_setting(&org, "credits", Some(value)).await.unwrap();
        store.save_mark(&org, "m", value).await.unwrap();
        store.save_links(&org, &[link(value.parse().unwrap())]).await.unwrap();
        // The same key is another key in another organization.
        let held = store.acquire_lease(&org, "agreement/40", id, 0, 100).await.unwrap().unwrap();
        store.begin_operations(&org, &held, &[operation("p1", "c1", "k1")]).await.unwrap();
    }
    store.record_findings(&org("a"), "plan", 2, TODAY, &[]).await.unwrap();
    for (id, value) in [("a", "1"), ("b", "2")] {
        let org = org(id);
        let number: i64 = value.parse().unwrap();
        let records = store.list_records(&org, None, RecordKind::Counter).await.unwrap();
        assert_eq!(records.iter().map(|r| &r.record).collect::<Vec<_>>(), [&counter("c-1", value).record]);
        assert_eq!(store.list_mappings(&org).await.unwrap(), [mapping("c-1", number)]);
        assert_eq!(store.list_tasks(&org, &TaskFilter::default()).await.unwrap().len(), 1);
        assert_eq!(store.find_plan(&org, &"p1".into()).await.unwrap().unwrap().created_at, number);
        let audit = store.list_audit(&org, None, 9).await.unwrap();
        assert_eq!((audit.len(), audit[0].number, audit[0].entry.action.as_str()), (1, 1, value));
        let findings = store.list_findings(&org, &FindingFilter::default()).await.unwrap();
        let state = if id == "a" { FindingState::Resolved } else { FindingState::Open };
        assert_eq!(findings.iter().map(|f| f.state).collect::<Vec<_>>(), [state]);
        assert_eq!(store.list_connections(&org).await.unwrap()[0].private_key.reveal(), value);
        assert_eq!(store.load_settings(&org).await.unwrap()["credits"].value, value);
        assert_eq!(store.load_mark(&org, "m").await.unwrap().as_deref(), Some(value));
        assert_eq!(store.list_links(&org).await.unwrap(), [link(number)]);
        assert_eq!(store.list_unresolved_operations(&org).await.unwrap().len(), 1);
    }
    let nobody = org("nobody");
    assert_eq!(store.list_tasks(&nobody, &TaskFilter::default()).await.unwrap(), []);
    assert_eq!(store.verify_audit(&nobody).await.unwrap(), None);
}

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
    // On SQLite the directory is free once the store is gone.
    let Fixture { store, .. } = &fixture;
    if backend == Backend::Sqlite {
        let copy = tempfile::tempdir().unwrap();
        store.back_up(&copy.path().join("trueup.db")).await.unwrap();
        let config = trueup_store::StoreConfig { data_dir: copy.path().to_owned(), database_url: None };
        assert!(matches!(trueup_store::SqlStore::open(config).await, Err(StoreError::WrongVersion(_))));
    } else {
        assert!(matches!(trueup_store::SqlStore::open(config).await, Err(StoreError::WrongVersion(_))));
    }
}
