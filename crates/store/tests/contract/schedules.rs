//! Schedules, turns and hints: one run of a fire, however many fire it; nobody waits for ever.

use crate::service::run;
use crate::support::rows::{entry, org};
use crate::support::{Backend, Fixture};
use rstest::rstest;
use std::collections::BTreeSet;
use trueup_domain::ids::AgreementId;
use trueup_engine::ports::{Store, StoreError};
use trueup_engine::records::{OrganizationRow, Seen};
use trueup_store::{Callback, Fire, Fired, Run, RunState, Schedule, SqlStore, lane_owner};

async fn schedule(store: &SqlStore, at: &str) -> Schedule {
    store.list_schedules(&org(at)).await.unwrap().remove(0)
}

fn fired(at: &str, id: &str, fire: i64) -> Run {
    Run { fired_for: Some(format!("check:{fire}")), ..run(at, id, fire) }
}

#[expect(clippy::disallowed_methods, reason = "the server's clock is compared with the machine's")]
fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

fn fire(at: i64, next: i64) -> Fire {
    Fire { at, next: Some(next), late_for: None }
}

#[rstest]
#[tokio::test]
async fn of_many_workers_one_fires(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let store = &fixture.store;
    store.plan_schedule(&org("a"), "check", "5m", Some(100)).await.unwrap();
    assert_eq!(store.list_due_schedules(99, 9).await.unwrap(), []);
    let due = store.list_due_schedules(100, 9).await.unwrap().remove(0);
    let audit = entry("run.start", None);
    let workers = (0..8).map(|n| {
        let (due, audit) = (due.clone(), audit.clone());
        async move {
            let run = fired("a", &format!("r{n}"), 100);
            store.fire_schedule(&due, fire(100, 200), &run, &audit).await.unwrap()
        }
    });
    let fires = futures::future::join_all(workers).await;
    assert_eq!(fires.into_iter().filter(|fired| *fired == Fired::Started).count(), 1);
    assert_eq!(store.list_runs(&org("a"), None, 99).await.unwrap().len(), 1);
    assert_eq!(store.list_audit(&org("a"), None, 99).await.unwrap().len(), 1);
    let now = schedule(store, "a").await;
    assert_eq!((now.next_at, now.last_fire), (Some(200), Some(100)));
    assert_eq!(now.last_run, Some(store.list_runs(&org("a"), None, 9).await.unwrap()[0].id.clone()));

    // The run has ended and the clock is set back: the same instant fires no second time.
    let shoot = async |fire: Fire, id: &str| {
        store.fire_schedule(&due, fire, &fired("a", id, fire.at), &audit).await.unwrap()
    };
    let claimed = store.claim_run("w", 100, 50).await.unwrap().unwrap();
    store.finish_run(&claimed, "w", 101, RunState::Done, None).await.unwrap();
    assert_eq!(shoot(fire(100, 200), "x").await, Fired::Not);
    assert_eq!(schedule(store, "a").await.missed_at, None);
    assert_eq!(shoot(fire(200, 300), "y").await, Fired::Started);
    // While its run waits, a schedule moves on without another, and says so until it fires again.
    assert_eq!(shoot(fire(200, 300), "y2").await, Fired::Not, "the same fire is not one that was left out");
    assert_eq!(schedule(store, "a").await.missed_at, None);
    assert_eq!(shoot(fire(300, 400), "z").await, Fired::Busy);
    assert_eq!(shoot(fire(400, 500), "z").await, Fired::Busy);
    let busy = schedule(store, "a").await;
    assert_eq!((busy.next_at, busy.missed_at, busy.last_fire), (Some(500), Some(300), Some(200)));
    assert_eq!(store.list_runs(&org("a"), None, 99).await.unwrap().len(), 2);
    let claimed = store.claim_run("w", 500, 50).await.unwrap().unwrap();
    store.finish_run(&claimed, "w", 501, RunState::Done, None).await.unwrap();
    let late = Fire { late_for: Some(500), ..fire(700, 800) };
    assert_eq!(shoot(late, "v").await, Fired::Started);
    assert_eq!(schedule(store, "a").await.missed_at, Some(500));
}

#[rstest]
#[tokio::test]
async fn a_paused_or_changed_schedule_does_not_fire(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let store = &fixture.store;
    let (a, audit) = (org("a"), entry("schedule.pause", None));
    assert!(!store.pause_schedule((&a, "check"), Some((5, "p1")), None, &audit).await.unwrap());
    store.plan_schedule(&a, "check", "5m", Some(100)).await.unwrap();
    let before = schedule(store, "a").await;
    let shoot =
        async || store.fire_schedule(&before, fire(100, 200), &fired("a", "r", 100), &audit).await.unwrap();
    assert!(store.pause_schedule((&a, "check"), Some((5, "p1")), Some(100), &audit).await.unwrap());
    assert_eq!(store.list_due_schedules(900, 9).await.unwrap(), []);
    assert_eq!(shoot().await, Fired::Not);
    store.plan_schedule(&a, "check", "10m", Some(150)).await.unwrap();
    let paused = schedule(store, "a").await;
    assert_eq!((paused.paused_at, paused.paused_by.as_deref()), (Some(5), Some("p1")), "a pause stays");
    assert!(store.pause_schedule((&a, "check"), None, Some(700), &audit).await.unwrap());
    assert_eq!(shoot().await, Fired::Not);
    assert_eq!(schedule(store, "a").await.next_at, Some(700));
    assert_eq!(store.list_runs(&a, None, 9).await.unwrap(), []);
}

#[rstest]
#[tokio::test]
async fn organizations_take_turns(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let store = &fixture.store;
    for n in 0..6 {
        store.add_run(&run("huge", &format!("h{n}"), n), &entry("run.add", None)).await.unwrap();
    }
    for at in ["b", "c"] {
        for n in 0..2 {
            store.add_run(&run(at, &format!("{at}{n}"), 100 + n), &entry("run.add", None)).await.unwrap();
        }
    }
    let mut order = Vec::new();
    for now in 200.. {
        let Some(run) = store.claim_run("w", now, 50).await.unwrap() else { break };
        store.finish_run(&run, "w", now, RunState::Done, None).await.unwrap();
        order.push(run.id);
    }
    assert_eq!(order, ["h0", "b0", "c0", "h1", "b1", "c1", "h2", "h3", "h4", "h5"]);
}

#[rstest]
#[tokio::test]
async fn claims_of_the_dead_are_free_at_once_where_nobody_else_can_live(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let store = &fixture.store;
    store.add_run(&run("a", "r1", 1), &entry("run.add", None)).await.unwrap();
    store.claim_run("dead", 10, 1_000).await.unwrap().unwrap();
    let freed = store.release_dead_claims(None).await.unwrap();
    let taken = store.claim_run("alive", 11, 50).await.unwrap();
    match backend {
        Backend::Sqlite => assert_eq!((freed, taken.map(|r| r.attempts)), (1, Some(2))),
        Backend::Postgres => assert_eq!((freed, taken), (0, None), "others may be alive"),
    }
}

#[rstest]
#[tokio::test]
async fn claims_of_a_worker_that_is_known_to_be_dead_are_free_at_once(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let store = &fixture.store;
    for at in ["a", "b", "c"] {
        store.add_run(&run(at, at, 1), &entry("run.add", None)).await.unwrap();
    }
    store.claim_run("dead/0", 10, 1_000).await.unwrap().unwrap();
    store.claim_run("dead/1", 10, 1_000).await.unwrap().unwrap();
    store.claim_run("deadly/0", 10, 1_000).await.unwrap().unwrap();
    assert_eq!(store.claim_run("alive/0", 11, 50).await.unwrap(), None);
    let freed = store.release_dead_claims(Some("dead")).await.unwrap();
    match backend {
        Backend::Sqlite => assert_eq!(freed, 3, "nobody else lives here"),
        Backend::Postgres => {
            assert_eq!(freed, 2);
            let mut taken = Vec::new();
            while let Some(run) = store.claim_run("alive/0", 11, 50).await.unwrap() {
                taken.push(run.id);
            }
            assert_eq!(taken, ["a", "b"]);
        }
    }
}

#[rstest]
#[tokio::test]
async fn who_takes_a_run_over_gets_its_agreements_and_the_former_worker_writes_no_more(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let (store, a) = (&fixture.store, org("a"));
    store.add_run(&run("a", "r1", 1), &entry("run.add", None)).await.unwrap();
    let first = store.claim_run("w1", 10, 50).await.unwrap().unwrap();
    let old = format!("{}w1", lane_owner(&first.id));
    let held = store.acquire_lease(&a, "agreement/1", &old, 10, 180_000).await.unwrap().unwrap();
    // Others keep theirs: a command line, another organization, a run whose name only begins alike.
    let others = [("a", "cli-1"), ("b", old.as_str()), ("a", "run-r10-w9")];
    for (at, owner) in others {
        let lane = format!("of/{owner}");
        store.acquire_lease(&org(at), &lane, owner, 10, 180_000).await.unwrap().unwrap();
    }
    let second = store.claim_run("w2", 60, 50).await.unwrap().unwrap();
    assert_eq!((second.id.as_str(), second.attempts), ("r1", 2));
    let new = format!("{}w2", lane_owner(&second.id));
    let taken = store.acquire_lease(&a, "agreement/1", &new, 61, 180_000).await.unwrap().unwrap();
    assert!(taken.fencing > held.fencing);
    assert_eq!(store.acquire_lease(&a, "agreement/1", &old, 62, 180_000).await.unwrap(), None);
    assert!(matches!(store.begin_operations(&a, &held, &[]).await, Err(StoreError::Fenced)));
    store.begin_operations(&a, &taken, &[]).await.unwrap();
    for (at, owner) in others {
        let lane = format!("of/{owner}");
        assert_eq!(store.acquire_lease(&org(at), &lane, "x", 62, 9).await.unwrap(), None, "{owner}");
    }
}

#[rstest]
#[tokio::test]
async fn runs_that_hints_start_are_one_at_a_time_and_apart(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let (store, audit) = (&fixture.store, entry("run.start", None));
    let hint = async |connection: &str, id: &str, now: i64| {
        let run = run("a", id, now);
        store.hint_agreement(connection, AgreementId(7), &run, 60, &audit).await.unwrap()
    };
    let waits = async |id: &str| store.find_run(&org("a"), id).await.unwrap().unwrap().not_before;
    let end = async |at: i64| {
        let run = store.claim_run("w", at, 50).await.unwrap().unwrap();
        store.finish_run(&run, "w", at, RunState::Done, None).await.unwrap();
        run.id
    };
    assert!(hint("ma%n", "r1", 1_000).await);
    // The same one again, and again.
    for n in 0..5 {
        assert!(!hint("ma%n", &format!("r1{n}"), 1_000 + n).await);
    }
    assert!(hint("main", "s1", 1_001).await, "another connection has its own");
    assert_eq!((end(1_001).await, end(1_001).await), ("r1".to_owned(), "s1".to_owned()));
    assert!(hint("ma%n", "r2", 1_010).await);
    assert_eq!(waits("r2").await, 1_060, "a minute after the last one");
    assert_eq!(store.claim_run("w", 1_059, 50).await.unwrap(), None);
    assert_eq!(end(1_060).await, "r2");
    assert!(hint("ma%n", "r3", 5_000).await);
    assert_eq!(waits("r3").await, 5_000);
    // The clock was ahead: what waits for it waits no longer than usual.
    assert!(!hint("ma%n", "r4", 2_000).await);
    assert_eq!(waits("r3").await, 2_060);
    assert_eq!(store.list_audit(&org("a"), None, 99).await.unwrap().len(), 4, "one entry a run");
    // Hints about tickets have a place of their own: neither waits for the other.
    let about_ticket =
        async |id: &str, now: i64| store.hint_ticket("ma%n", &run("a", id, now), 60, &audit).await.unwrap();
    assert!(about_ticket("t1", 2_001).await);
    assert!(!about_ticket("t2", 2_002).await);
    assert_eq!(waits("t1").await, 2_001);
    let all = futures::future::join_all((0..8).map(|n| {
        let (run, audit) = (run("b", &format!("x{n}"), 1), audit.clone());
        async move { store.hint_agreement("main", AgreementId(n), &run, 60, &audit).await.unwrap() }
    }));
    assert_eq!(all.await.into_iter().filter(|added| *added).count(), 1);
}

#[rstest]
#[tokio::test]
async fn claims_go_by_the_servers_clock_where_several_processes_share_it(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let before = now();
    let time = fixture.store.server_time().await.unwrap();
    match backend {
        Backend::Sqlite => assert_eq!(time, None),
        Backend::Postgres => {
            let apart = time.unwrap() - before;
            assert!((0..60_000).contains(&apart), "{apart} ms");
        }
    }
}

#[rstest]
#[tokio::test]
async fn settings_of_all_organizations_come_at_once(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let store = &fixture.store;
    for (id, parent) in [("top", None), ("shop", Some("top"))] {
        let row = OrganizationRow {
            id: org(id),
            name: id.to_owned(),
            kind: "partner".to_owned(),
            parent: parent.map(org),
        };
        store.add_organization(&row).await.unwrap();
    }
    store.save_setting(&org("top"), "schedule.sync", Seen::Any, Some("hourly")).await.unwrap();
    store.save_setting(&org("top"), "credits", Seen::Any, Some("on")).await.unwrap();
    store.plan_schedule(&org("shop"), "sync", "60m", Some(7)).await.unwrap();
    let inputs = store.load_schedule_inputs().await.unwrap();
    assert_eq!(inputs.parents[&org("shop")], Some(org("top")));
    let keys: BTreeSet<&str> = inputs.settings[&org("top")].keys().map(String::as_str).collect();
    assert_eq!(keys, BTreeSet::from(["schedule.sync"]));
    assert!(inputs.connected.is_empty());
    assert_eq!(inputs.stored[&(org("shop"), "sync".to_owned())].next_at, Some(7));
}

#[rstest]
#[tokio::test]
async fn a_place_for_callbacks_is_found_by_its_hash_alone(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let store = &fixture.store;
    let place = |hash: &str| Callback {
        org: org("a"),
        connection: "main".to_owned(),
        hash: hash.to_owned(),
        created_by: "p1".to_owned(),
        created_at: 1,
    };
    store.save_callback(&place("h1"), &entry("callback.make", None)).await.unwrap();
    assert_eq!(store.find_callback("h1").await.unwrap(), Some(place("h1")));
    store.save_callback(&place("h2"), &entry("callback.make", None)).await.unwrap();
    assert_eq!(store.find_callback("h1").await.unwrap(), None, "the old address ends");
    assert!(store.delete_callback(&org("a"), "main", &entry("callback.end", None)).await.unwrap());
    assert!(!store.delete_callback(&org("a"), "main", &entry("callback.end", None)).await.unwrap());
    assert_eq!(store.find_callback("h2").await.unwrap(), None);
}
