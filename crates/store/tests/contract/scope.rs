//! What the database itself keeps apart.

use crate::support::rows::{connection, counter, entry, org, source, task};
use crate::support::{Backend, Fixture};
use trueup_domain::ids::OrganizationId;
use trueup_domain::task::TaskState;
use trueup_engine::ports::Store;
use trueup_engine::records::{OrganizationRow, SecretText, Seen, TaskFilter};
use trueup_store::{SqlStore, Webhook, within};

async fn two() -> Option<Fixture> {
    let fixture = Fixture::new(Backend::Postgres).await?;
    let store = &fixture.store;
    for (id, value) in [("a", "1"), ("b", "2")] {
        let org = org(id);
        store.ensure_organization(&org).await.unwrap();
        store.save_records(&org, &source(), 1, &[counter("c-1", value)]).await.unwrap();
        store.save_tasks(&org, 1, &[task("t1", id, 1, TaskState::New)]).await.unwrap();
        store.save_setting(&org, "credits", Seen::Any, Some("on")).await.unwrap();
        store.save_connection(&org, &connection("own", id)).await.unwrap();
        store.append_audit(&org, &[entry("x", None)]).await.unwrap();
    }
    Some(fixture)
}

/// The whole point: a statement that names the wrong organization, or none, in work that is about another.
#[tokio::test]
async fn work_about_one_organization_sees_and_changes_nothing_of_another() {
    let Some(fixture) = two().await else { return };
    let (store, a, b) = (&fixture.store, org("a"), org("b"));
    assert_eq!(store.is_guarded().await, Ok(Some(true)));
    let all = TaskFilter::default();
    assert_eq!(store.list_tasks(&b, &all).await.unwrap().len(), 1, "work about nobody in particular");
    within(std::slice::from_ref(&a), async {
        assert_eq!(store.list_tasks(&a, &all).await.unwrap().len(), 1);
        assert!(store.list_tasks(&b, &all).await.unwrap().is_empty());
        assert!(store.load_settings(&b).await.unwrap().is_empty());
        assert!(store.list_connections(&b).await.unwrap().is_empty());
        assert!(store.list_audit(&b, None, 9).await.unwrap().is_empty());
        assert_eq!(store.list_sources(&a).await.unwrap().len(), 1);
        assert!(store.list_sources(&b).await.unwrap().is_empty());
        // Nor can it be written to.
        assert!(store.save_setting(&b, "marker", Seen::Any, Some("none")).await.is_err());
        assert!(store.append_audit(&b, &[entry("y", None)]).await.is_err());
        assert_eq!(store.remove_connection(&b, "own").await, Ok(false));
    })
    .await;
    // What is above holds in it, and its rows may be read.
    within(&[b.clone(), a.clone()], async {
        assert_eq!(store.load_settings(&a).await.unwrap().len(), 1);
    })
    .await;
    assert_eq!(store.list_connections(&b).await.unwrap().len(), 1, "it is there as it was");
    assert_eq!(store.load_settings(&b).await.unwrap().len(), 1);
}

/// Connections of the pool go from hand to hand: none keeps what the one before was about.
#[tokio::test]
async fn connections_that_go_from_hand_to_hand_are_told_anew() {
    let Some(fixture) = two().await else { return };
    let (store, all) = (&fixture.store, TaskFilter::default());
    let one = async |id: &str, other: &str| {
        let (id, other) = (org(id), org(other));
        for _ in 0..40 {
            within(std::slice::from_ref(&id), async {
                assert_eq!(store.list_tasks(&id, &all).await.unwrap().len(), 1);
                assert!(store.list_tasks(&other, &all).await.unwrap().is_empty());
            })
            .await;
            assert_eq!(store.list_tasks(&other, &all).await.unwrap().len(), 1);
        }
    };
    futures::join!(one("a", "b"), one("b", "a"), one("a", "b"), one("b", "a"));
}

#[tokio::test]
async fn a_session_that_says_nothing_sees_nothing_and_every_table_of_an_organization_is_held() {
    let Some(fixture) = two().await else { return };
    assert_eq!(fixture.rows_seen(None, "SELECT id FROM task").await.unwrap(), 0);
    assert_eq!(fixture.rows_seen(Some(""), "SELECT id FROM task").await.unwrap(), 0);
    assert_eq!(fixture.rows_seen(Some("a"), "SELECT id FROM task").await.unwrap(), 1);
    assert_eq!(fixture.rows_seen(Some("b,*"), "SELECT id FROM task").await.unwrap(), 1);
    assert_eq!(fixture.rows_seen(Some("*"), "SELECT id FROM task").await.unwrap(), 2);
    let open = "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid \
                WHERE c.relkind = 'r' AND a.attname = 'org' AND a.attnum = 1 AND c.relname <> 'guard' \
                AND c.relnamespace = current_schema()::regnamespace AND NOT c.relforcerowsecurity";
    assert_eq!(fixture.rows_seen(Some("*"), open).await.unwrap(), 0, "a table without a policy");
    let held = "SELECT tablename FROM pg_policies WHERE policyname = 'trueup_scope'";
    assert!(fixture.rows_seen(None, held).await.unwrap() >= 30);
}

/// A webhook that takes what is below has deliveries of events that are not its organization's.
#[tokio::test]
async fn what_is_told_of_an_organization_below_is_seen_by_whoever_asked_for_it() {
    let Some(fixture) = Fixture::new(Backend::Postgres).await else { return };
    let (store, a) = (&fixture.store, org("a"));
    store.ensure_organization(&a).await.unwrap();
    let row =
        OrganizationRow { id: org("b"), name: "B".into(), kind: "partner".into(), parent: Some(a.clone()) };
    store.add_organization(&row).await.unwrap();
    let webhook = Webhook {
        org: a.clone(),
        id: "w".to_owned(),
        name: "w".to_owned(),
        url: "https://example.com/".to_owned(),
        events: vec!["task.created".to_owned()],
        below: true,
        created_by: "ann".to_owned(),
        created_at: 1,
        failing_since: None,
        succeeded_at: None,
        disabled_at: None,
        disabled_why: None,
        former_until: None,
    };
    let secret = SecretText::new("secret".to_owned());
    within(std::slice::from_ref(&a), async {
        store.add_webhook(&webhook, &secret, &entry("webhook.add", None)).await.unwrap();
    })
    .await;
    // A run below tells those above.
    within(&[org("b"), a.clone()], async {
        store.save_tasks(&org("b"), 1, &[task("t1", "s", 1, TaskState::New)]).await.unwrap();
    })
    .await;
    within(std::slice::from_ref(&a), async {
        let all = store.list_deliveries(&a, "w", None, None, 9).await.unwrap();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].event_org, org("b"));
        let shown = store.find_delivery(&a, "w", &all[0].id).await.unwrap().unwrap();
        assert!(shown.body.contains("task.created"), "{}", shown.body);
        let taken = store.claim_this((&a, all[0].id.as_str()), "hand", i64::MAX / 2, i64::MAX).await.unwrap();
        assert_eq!(taken.unwrap().body, shown.body);
    })
    .await;
}

/// Whether a new key may be made is a matter of everybody's secrets, also where the work is about one organization.
#[tokio::test]
async fn no_key_is_made_beside_secrets_that_the_work_does_not_see() {
    let Some(fixture) = two().await else { return };
    let row = OrganizationRow { id: org("c"), name: "C".into(), kind: "partner".into(), parent: None };
    fixture.store.add_organization(&row).await.unwrap();
    std::fs::remove_file(fixture.data_dir().join("trueup.key")).unwrap();
    let store: &SqlStore = &fixture.store;
    let c: OrganizationId = org("c");
    let saved = within(std::slice::from_ref(&c), store.save_connection(&c, &connection("own", "c"))).await;
    assert!(saved.is_err(), "the secrets of the others would be lost");
    assert!(!fixture.data_dir().join("trueup.key").exists());
}
