//! Leases and operations.

use crate::support::rows::{entry, link, operation, org};
use crate::support::{Backend, Fixture};
use rstest::rstest;
use trueup_domain::ids::{AdditionId, PlanId};
use trueup_domain::plan::OperationKey;
use trueup_engine::ports::{Lease, OperationOutcome, Store, StoreError};
use trueup_engine::records::{OperationRow, OperationState};

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
        store
            .acquire_lease(&crate::support::rows::org("b"), "agreement/40", "two", 0, 100)
            .await
            .unwrap()
            .is_some()
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
async fn lanes_at_the_same_time_do_not_disturb_each_other(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let store = &fixture.store;
    let lane = async |number: u32| {
        let name = format!("agreement/{number}");
        let held = store.acquire_lease(&org("a"), &name, "w", 0, 100).await.unwrap().unwrap();
        // Every third lane is taken over by somebody else.
        let fenced = number.is_multiple_of(3);
        if fenced {
            store.acquire_lease(&org("a"), &name, "other", 200, 100).await.unwrap().unwrap();
        }
        for step in 0..4 {
            let row = operation(&format!("p{number}"), &format!("c{step}"), &format!("k{number}-{step}"));
            let begun = store.begin_operations(&org("a"), &held, std::slice::from_ref(&row)).await;
            assert_eq!(begun, if fenced { Err(StoreError::Fenced) } else { Ok(()) });
            let done = OperationOutcome {
                operation: moved(&row, OperationState::Done, 2),
                link: None,
                audit: vec![entry("addition.create", None)],
            };
            let finished = store.finish_operations(&org("a"), &held, &[done]).await;
            assert_eq!(finished, if fenced { Err(StoreError::Fenced) } else { Ok(()) });
        }
    };
    futures::future::join_all((0..30).map(lane)).await;
    assert_eq!(store.list_unresolved_operations(&org("a")).await.unwrap(), []);
    assert_eq!(store.list_audit(&org("a"), None, 1).await.unwrap()[0].number, 80);
    assert_eq!(store.verify_audit(&org("a")).await.unwrap(), None);
    assert_eq!(store.list_operations(&org("a"), &"p1".into()).await.unwrap().len(), 4);
    assert_eq!(store.list_operations(&org("a"), &"p3".into()).await.unwrap(), []);
}
