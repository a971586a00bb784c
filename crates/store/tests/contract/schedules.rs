//! Schedules, turns and hints: one run of a fire, however many fire it; nobody waits for ever.

use crate::service::run;
use crate::support::rows::{entry, org};
use crate::support::{Backend, Fixture};
use rstest::rstest;
use std::collections::BTreeSet;
use trueup_domain::ids::AgreementId;
use trueup_engine::ports::Store;
use trueup_engine::records::OrganizationRow;
use trueup_store::{Callback, Run, RunState, Schedule, SqlStore};

async fn schedule(store: &SqlStore, at: &str) -> Schedule {
    store.list_schedules(&org(at)).await.unwrap().remove(0)
}

fn fired(at: &str, id: &str, fire: i64) -> Run {
    Run { fired_for: Some(format!("check:{fire}")), ..run(at, id, fire) }
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
            store.fire_schedule(&due, (100, Some(200)), &run, &audit).await.unwrap()
        }
    });
    let fires = futures::future::join_all(workers).await;
    assert_eq!(fires.into_iter().filter(|fired| *fired).count(), 1);
    assert_eq!(store.list_runs(&org("a"), None, 99).await.unwrap().len(), 1);
    assert_eq!(store.list_audit(&org("a"), None, 99).await.unwrap().len(), 1);
    let now = schedule(store, "a").await;
    assert_eq!((now.next_at, now.last_fire), (Some(200), Some(100)));
    assert_eq!(now.last_run, Some(store.list_runs(&org("a"), None, 9).await.unwrap()[0].id.clone()));

    // The run has ended and the clock is set back: the same instant fires no second time.
    let claimed = store.claim_run("w", 100, 50).await.unwrap().unwrap();
    store.finish_run(&claimed, "w", 101, RunState::Done, None).await.unwrap();
    assert!(!store.fire_schedule(&due, (100, Some(200)), &fired("a", "x", 100), &audit).await.unwrap());
    assert!(store.fire_schedule(&due, (200, Some(300)), &fired("a", "y", 200), &audit).await.unwrap());
    // While its run waits, a schedule moves on without another.
    assert!(!store.fire_schedule(&due, (300, Some(400)), &fired("a", "z", 300), &audit).await.unwrap());
    assert_eq!(schedule(store, "a").await.next_at, Some(400));
    assert_eq!(store.list_runs(&org("a"), None, 99).await.unwrap().len(), 2);
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
    assert!(store.pause_schedule((&a, "check"), Some((5, "p1")), Some(100), &audit).await.unwrap());
    assert_eq!(store.list_due_schedules(900, 9).await.unwrap(), []);
    assert!(!store.fire_schedule(&before, (100, None), &fired("a", "r", 100), &audit).await.unwrap());
    store.plan_schedule(&a, "check", "10m", Some(150)).await.unwrap();
    let paused = schedule(store, "a").await;
    assert_eq!((paused.paused_at, paused.paused_by.as_deref()), (Some(5), Some("p1")), "a pause stays");
    assert!(store.pause_schedule((&a, "check"), None, Some(700), &audit).await.unwrap());
    assert!(!store.fire_schedule(&before, (100, None), &fired("a", "r", 100), &audit).await.unwrap());
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
    let freed = store.release_dead_claims().await.unwrap();
    let taken = store.claim_run("alive", 11, 50).await.unwrap();
    match backend {
        Backend::Sqlite => assert_eq!((freed, taken.map(|r| r.attempts)), (1, Some(2))),
        Backend::Postgres => assert_eq!((freed, taken), (0, None), "others may be alive"),
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
    store.save_setting(&org("top"), "schedule.sync", Some("hourly")).await.unwrap();
    store.save_setting(&org("top"), "credits", Some("on")).await.unwrap();
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
    store.hint_agreement(&org("a"), "main", AgreementId(4), 5).await.unwrap();
    store.hint_agreement(&org("a"), "main", AgreementId(4), 6).await.unwrap();
    assert!(store.delete_callback(&org("a"), "main", &entry("callback.end", None)).await.unwrap());
    assert!(!store.delete_callback(&org("a"), "main", &entry("callback.end", None)).await.unwrap());
    assert_eq!(store.find_callback("h2").await.unwrap(), None);
}
