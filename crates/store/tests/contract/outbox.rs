//! The outbox: an event is told where what it tells is committed, each delivery is in one pair of hands, and nothing of
//! it is another organization's.

use crate::support::rows::{TODAY, entry, finding, org, task};
use crate::support::{Backend, Fixture};
use rstest::rstest;
use trueup_domain::finding::Code;
use trueup_domain::task::TaskState;
use trueup_engine::ports::Store;
use trueup_engine::records::{OrganizationRow, SecretText};
use trueup_store::{Attempt, DeliveryState, Outcome, SqlStore, Webhook};

fn webhook(whose: &str, id: &str, events: &[&str], below: bool) -> Webhook {
    Webhook {
        org: org(whose),
        id: id.to_owned(),
        name: id.to_owned(),
        url: "https://example.com/".to_owned(),
        events: events.iter().map(|e| (*e).to_owned()).collect(),
        below,
        created_by: "ann".to_owned(),
        created_at: 1,
        failing_since: None,
        succeeded_at: None,
        disabled_at: None,
        disabled_why: None,
        former_until: None,
    }
}

async fn add(store: &SqlStore, webhook: &Webhook) {
    let secret = SecretText::new(format!("secret of {}", webhook.id));
    store.add_webhook(webhook, &secret, &entry("webhook.add", None)).await.unwrap();
}

async fn tree(store: &SqlStore) {
    for (id, parent) in [("a", None), ("b", Some("a")), ("c", None)] {
        let row = OrganizationRow {
            id: org(id),
            name: id.to_owned(),
            kind: "partner".to_owned(),
            parent: parent.map(org),
        };
        store.add_organization(&row).await.unwrap();
    }
}

fn attempt(at: i64, error: Option<&str>) -> Attempt {
    Attempt { at, took_ms: 1, status: Some(200), answer: None, error: error.map(str::to_owned) }
}

#[rstest]
#[tokio::test]
async fn what_is_committed_is_told_to_those_who_asked(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let store = &fixture.store;
    tree(store).await;
    add(store, &webhook("a", "w1", &[], true)).await;
    add(store, &webhook("a", "w2", &["task.created"], false)).await;
    add(store, &webhook("b", "w3", &["finding.closed"], false)).await;
    add(store, &webhook("c", "w4", &[], true)).await;
    let kinds = async |whose: &str, id: &str| -> Vec<String> {
        let all = store.list_deliveries(&org(whose), id, None, None, 99).await.unwrap();
        all.into_iter().rev().map(|d| format!("{} {}", d.event_org, d.kind)).collect()
    };
    store.save_tasks(&org("b"), 1, &[task("t1", "s", 1, TaskState::New)]).await.unwrap();
    // The same again is not new, beside another one that is.
    let two = [task("t1", "s", 1, TaskState::Ready), task("t2", "s", 2, TaskState::New)];
    store.save_tasks(&org("b"), 2, &two).await.unwrap();
    store.save_tasks(&org("b"), 3, &two).await.unwrap();
    let seen = [finding(Code::Tu2001, "one")];
    store.record_findings(&org("b"), "scope", 1, TODAY, &seen).await.unwrap();
    store.record_findings(&org("b"), "scope", 2, TODAY, &seen).await.unwrap();
    store.record_findings(&org("b"), "scope", 3, TODAY, &[]).await.unwrap();
    store.record_findings(&org("b"), "scope", 4, TODAY, &seen).await.unwrap();
    assert_eq!(
        kinds("a", "w1").await,
        ["b task.created", "b task.created", "b finding.opened", "b finding.closed", "b finding.opened"]
    );
    assert!(kinds("a", "w2").await.is_empty(), "what is below is not asked for");
    assert_eq!(kinds("b", "w3").await, ["b finding.closed"]);
    assert!(kinds("c", "w4").await.is_empty(), "another organization hears nothing");
    store.save_tasks(&org("a"), 1, &[task("t1", "s", 1, TaskState::New)]).await.unwrap();
    assert_eq!(kinds("a", "w2").await, ["a task.created"]);
    let last = store.list_deliveries(&org("a"), "w2", None, None, 9).await.unwrap().remove(0);
    let found = store.find_delivery(&org("a"), "w2", &last.id).await.unwrap().unwrap();
    assert!(found.body.contains("\"t1\""), "{}", found.body);
    assert!(store.find_delivery(&org("c"), "w2", &last.id).await.unwrap().is_none());
    assert!(store.find_webhook(&org("c"), "w2").await.unwrap().is_none());
}

#[rstest]
#[tokio::test]
async fn what_was_put_off_under_a_clock_that_was_ahead_is_due(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let store = &fixture.store;
    tree(store).await;
    add(store, &webhook("a", "w1", &[], false)).await;
    store.save_tasks(&org("a"), 1, &[task("t1", "s", 1, TaskState::New)]).await.unwrap();
    let claim = async |now: i64| store.claim_delivery("webhook", "x", now, now + 100).await.unwrap();
    let sending = claim(10).await.unwrap();
    // To the day it waits: no attempt waits longer.
    let next = 20 + 86_400_000;
    store
        .finish_attempt(&sending.delivery, "x", &attempt(11, Some("no")), Outcome::Again(next))
        .await
        .unwrap();
    assert!(claim(20).await.is_none());
    assert!(claim(19).await.is_some());
}

#[rstest]
#[tokio::test]
async fn a_delivery_is_in_one_pair_of_hands(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let store = &fixture.store;
    tree(store).await;
    add(store, &webhook("a", "w1", &[], false)).await;
    add(store, &webhook("c", "w2", &[], false)).await;
    for whose in ["a", "c"] {
        for id in ["t1", "t2"] {
            store.save_tasks(&org(whose), 1, &[task(id, "s", 1, TaskState::New)]).await.unwrap();
        }
    }
    let claim =
        async |owner: &str, now: i64| store.claim_delivery("webhook", owner, now, now + 100).await.unwrap();
    let (one, two) = (claim("x/1", 10).await.unwrap(), claim("x/2", 10).await.unwrap());
    assert_ne!(one.delivery.org, two.delivery.org, "one of each webhook at a time");
    assert!(claim("x/3", 10).await.is_none());
    assert!(claim("x/3", 109).await.is_none());
    // A claim that ran out is anybody's; who lost it changes nothing but the log.
    let again = claim("y/1", 110).await.unwrap();
    let lost = if again.delivery.id == one.delivery.id { &one } else { &two };
    assert_eq!(again.delivery.id, lost.delivery.id);
    let owner = if lost.delivery.id == one.delivery.id { "x/1" } else { "x/2" };
    store.finish_attempt(&lost.delivery, owner, &attempt(111, None), Outcome::Arrived).await.unwrap();
    let key = (&again.delivery.org, again.delivery.target.as_str(), again.delivery.id.as_str());
    let state = async || store.find_delivery(key.0, key.1, key.2).await.unwrap().unwrap().delivery;
    assert_eq!(state().await.state, DeliveryState::Waiting);
    let failed = attempt(112, Some("no"));
    store.finish_attempt(&again.delivery, "y/1", &failed, Outcome::Again(500)).await.unwrap();
    assert_eq!((state().await.tries, state().await.next_at), (1, 500));
    let hook = store.find_webhook(key.0, key.1).await.unwrap().unwrap();
    assert_eq!(hook.failing_since, Some(113));
    assert_eq!(store.list_attempts(key.0, key.2).await.unwrap().len(), 2);
    // By hand it begins anew.
    assert!(store.send_again(&again.delivery, &entry("webhook.redeliver", None)).await.unwrap());
    let by_hand = store.claim_this((key.0, key.2), "hand", 120, 200).await.unwrap().unwrap();
    assert!(store.claim_this((key.0, key.2), "hand2", 120, 200).await.unwrap().is_none());
    store.finish_attempt(&by_hand.delivery, "hand", &attempt(121, None), Outcome::Arrived).await.unwrap();
    assert_eq!(state().await.state, DeliveryState::Done);
    assert_eq!(store.find_webhook(key.0, key.1).await.unwrap().unwrap().failing_since, None);
    // Switched off, it gives up what waits, and hears nothing.
    let off = Webhook { disabled_at: Some(130), disabled_why: Some("why".to_owned()), ..hook };
    store.update_webhook(&off, &entry("webhook.disable", None)).await.unwrap();
    store.save_tasks(&off.org, 1, &[task("t3", "s", 1, TaskState::New)]).await.unwrap();
    let all = store.list_deliveries(&off.org, &off.id, Some(DeliveryState::Waiting), None, 9).await.unwrap();
    assert!(all.is_empty(), "{all:?}");
    // What is old and over goes.
    let gone = store.forget_passing(i64::MAX, 0).await.unwrap();
    assert!(gone > 0);
    assert!(store.list_deliveries(&off.org, &off.id, None, None, 9).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_secret_is_sealed_and_follows_the_key() {
    let fixture = Fixture::new(Backend::Sqlite).await.unwrap();
    let store = &fixture.store;
    tree(store).await;
    add(store, &webhook("a", "w1", &[], false)).await;
    let opened = async |at| -> Vec<String> {
        let all = store.open_webhook_secrets(&org("a"), "w1", at).await.unwrap();
        all.iter().map(|secret| secret.reveal().to_owned()).collect()
    };
    assert_eq!(opened(0).await, ["secret of w1"]);
    assert_eq!(store.rotate_key(1, "ann").await.unwrap().secrets, 1);
    assert_eq!(opened(0).await, ["secret of w1"]);
    let replace = async |text: &str, until| {
        let (org, secret) = (org("a"), SecretText::new(text.into()));
        store.replace_webhook_secret((&org, "w1"), &secret, until, &entry("x", None)).await.unwrap();
    };
    replace("new", Some(100)).await;
    // For a while both sign, under whichever key they lie; then the new one alone.
    assert_eq!(store.rotate_key(2, "ann").await.unwrap().secrets, 2);
    assert_eq!(opened(99).await, ["new", "secret of w1"]);
    assert_eq!(opened(100).await, ["new"]);
    let until = store.find_webhook(&org("a"), "w1").await.unwrap().unwrap().former_until;
    assert_eq!(until, Some(100));
    replace("newer", Some(100)).await;
    assert_eq!(opened(99).await, ["newer", "new"], "the one before is forgotten");
    // What signs no more goes, as does the one that was given away.
    assert_eq!(store.forget_passing(100, 0).await.unwrap(), 1);
    assert_eq!(opened(0).await, ["newer"]);
    replace("newest", None).await;
    assert_eq!(opened(0).await, ["newest"]);
    assert_eq!(store.rotate_key(3, "ann").await.unwrap().secrets, 1);
    // A key that is gone is not made anew over what it sealed.
    std::fs::remove_file(fixture.data_dir().join("trueup.key")).unwrap();
    let secret = SecretText::new("other".into());
    assert!(store.add_webhook(&webhook("a", "w2", &[], false), &secret, &entry("x", None)).await.is_err());
}
