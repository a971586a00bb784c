//! Runs of some kinds, and runs that are cancelled.

use crate::service::run;
use crate::support::rows::{entry, org};
use crate::support::{Backend, Fixture};
use rstest::rstest;
use trueup_engine::ports::{Store, StoreError};
use trueup_store::{CancelFrom, Run, RunState, lane_owner};

#[rstest]
#[tokio::test]
async fn a_run_that_is_cancelled_is_over_for_its_worker_too(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let (store, a, said) = (&fixture.store, org("a"), entry("run.cancel", None));
    for (id, kind) in [("r1", "validate"), ("r2", "check"), ("r3", "upload")] {
        let run = Run { kind: kind.to_owned(), ..run("a", id, 1) };
        store.add_run(&run, &entry("run.start", None)).await.unwrap();
    }
    let ids = async |kinds: &[&str], before: Option<&str>, limit: u32| -> Vec<String> {
        store.list_runs_of(&a, kinds, before, limit).await.unwrap().into_iter().map(|run| run.id).collect()
    };
    assert_eq!(ids(&["validate", "upload"], None, 9).await, ["r3", "r1"]);
    assert_eq!(ids(&["validate", "upload"], None, 1).await, ["r3"]);
    assert_eq!(ids(&["validate", "upload"], Some("r3"), 9).await, ["r1"]);
    assert_eq!(store.list_open_runs(&a).await.unwrap().len(), 3);
    assert!(store.list_open_runs(&org("b")).await.unwrap().is_empty());

    let claimed = store.claim_run("w1", 10, 1_000).await.unwrap().unwrap();
    assert_eq!(claimed.id, "r1");
    let owner = format!("{}w1", lane_owner("r1"));
    // Another run whose id only begins the same keeps what it holds.
    let other = format!("{}w1", lane_owner("r1x"));
    store.acquire_lease(&a, "agreement/1", &owner, 10, 60_000).await.unwrap().unwrap();
    store.acquire_lease(&a, "agreement/2", &other, 10, 60_000).await.unwrap().unwrap();
    let foreign = Run { org: org("b"), ..claimed.clone() };
    let cancel = async |run: &Run, from| store.cancel_run(run, from, (20, "{}"), &said).await.unwrap();
    assert!(!cancel(&foreign, CancelFrom::Anywhere).await);
    assert!(!cancel(&claimed, CancelFrom::Waiting).await, "a worker is at it");
    assert!(cancel(&claimed, CancelFrom::Anywhere).await);
    assert!(!cancel(&claimed, CancelFrom::Anywhere).await, "it is over");
    assert_eq!(store.find_run(&a, "r1").await.unwrap().unwrap().state, RunState::Failed);
    let late = store.finish_run(&claimed, "w1", 22, RunState::Done, None).await;
    assert_eq!(late, Err(StoreError::Fenced), "its worker writes nothing down any more");
    assert!(store.acquire_lease(&a, "agreement/1", "another", 30, 1).await.unwrap().is_some());
    assert!(store.acquire_lease(&a, "agreement/2", "another", 30, 1).await.unwrap().is_none());
    assert_eq!(store.claim_run("w2", 30, 1_000).await.unwrap().unwrap().id, "r2", "the next one goes");
}
