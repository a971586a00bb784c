//! Organizations: what is inherited, what is sealed, what is kept apart.

use crate::support::rows::{
    TODAY, connection, counter, entry, finding, link, mapping, operation, org, plan, source, task,
};
use crate::support::{Backend, Fixture};
use rstest::rstest;
use trueup_domain::feed::RecordKind;
use trueup_domain::finding::Code;
use trueup_domain::plan::TaskOutcome;
use trueup_domain::task::TaskState;
use trueup_engine::ports::{Store, StoreError};
use trueup_engine::records::{Connection, FindingFilter, FindingState, OrganizationRow, Seen, TaskFilter};

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
    assert!(matches!(store.add_organization(&below("x", "nobody")).await, Err(StoreError::Damaged(_))));
    let listed: Vec<_> =
        store.list_organizations().await.unwrap().into_iter().map(|o| o.id.to_string()).collect();
    assert_eq!(listed, ["msp", "shop", "site"]);

    store.save_setting(&org("msp"), "credits", Seen::Any, Some("on")).await.unwrap();
    store.save_setting(&org("msp"), "marker", Seen::Any, Some("none")).await.unwrap();
    store.save_setting(&org("shop"), "credits", Seen::Any, Some("off")).await.unwrap();
    let of = async |id: &str, key: &str| {
        let values = store.load_settings(&org(id)).await.unwrap();
        values.get(key).map(|v| (v.value.clone(), v.from.clone().unwrap().to_string()))
    };
    assert_eq!(of("site", "credits").await, Some(("off".into(), "shop".into())));
    assert_eq!(of("site", "marker").await, Some(("none".into(), "msp".into())));
    assert_eq!(of("msp", "credits").await, Some(("on".into(), "msp".into())));
    store.save_setting(&org("shop"), "credits", Seen::Any, None).await.unwrap();
    assert_eq!(of("site", "credits").await, Some(("on".into(), "msp".into())));
    assert_eq!(of("elsewhere", "credits").await, None);
}

/// A connection that is entered anew, with fresh keys, stays what it was among the others: the first one is the one that
/// is taken where none is named, and what stands after it must not come before it by that.
#[rstest]
#[tokio::test]
async fn a_connection_that_is_replaced_keeps_its_place(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let a = org("a");
    for (name, secret, created_at) in [("main", "old", 1), ("other", "s", 2), ("main", "new", 3)] {
        let connection = Connection { created_at, ..connection(name, secret) };
        fixture.store.save_connection(&a, &connection).await.unwrap();
    }
    let all = fixture.store.list_connections(&a).await.unwrap();
    let told: Vec<_> = all.iter().map(|c| (c.name.as_str(), c.private_key.reveal(), c.created_at)).collect();
    assert_eq!(told, [("main", "new", 1), ("other", "s", 2)]);
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
        store.save_setting(&org, "credits", Seen::Any, Some(value)).await.unwrap();
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
async fn a_setting_is_saved_where_it_still_is_what_was_seen(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let (store, a) = (&fixture.store, org("a"));
    store.ensure_organization(&a).await.unwrap();
    let save = async |seen, value| store.save_setting(&a, "credits", Seen::Value(seen), value).await.unwrap();
    assert!(!save(Some("on"), Some("off")).await, "it has no value of its own yet");
    assert!(save(None, Some("on")).await);
    assert!(!save(None, Some("off")).await);
    assert!(!save(Some("off"), None).await);
    assert_eq!(store.load_settings(&a).await.unwrap()["credits"].value, "on");
    // Two at once who saw the same: one of them is the first.
    let (one, other) = tokio::join!(save(Some("on"), Some("off")), save(Some("on"), Some("off")));
    assert!(one != other, "{one} {other}");
    assert!(save(Some("off"), None).await);
    assert!(!store.load_settings(&a).await.unwrap().contains_key("credits"));
}
