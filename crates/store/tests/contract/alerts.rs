//! Alerts: records are taken in once, changes of a run are one transaction, rules come with their level, the log only grows.

use crate::support::rows::{entry, org, source};
use crate::support::{Backend, Fixture};
use rstest::rstest;
use std::collections::BTreeMap;
use trueup_domain::alert::{Alert, AlertId, AlertSeverity, Entry, Field, Origin, Told, ToldState, Value};
use trueup_domain::feed;
use trueup_domain::ids::OrganizationId;
use trueup_engine::alerts::{Activity, ActivityFilter, ActivityKind, AlertChange, AlertFilter, Telling};
use trueup_engine::ports::{Store, StoreError};
use trueup_engine::records::{IncomingRecord, OrganizationRow};

fn told(id: &str, state: &str) -> IncomingRecord {
    let record = feed::Alert {
        id: id.to_owned(),
        customer: "c-1".into(),
        kind: "disk".to_owned(),
        state: state.to_owned(),
        at: "2023-03-10T00:00:00Z".to_owned(),
        summary: "Disk full".to_owned(),
        severity: None,
        subject: None,
        key: None,
        detail: None,
        ext: feed::Ext::default(),
    };
    let hash = format!("{id}-{state}");
    IncomingRecord { record: feed::Record::Alert(record), id: id.to_owned(), hash }
}

fn alert(id: &str, at: i64) -> Alert {
    let told = Told {
        origin: Origin::Source,
        source: source(),
        customer: "c-1".into(),
        kind: "disk".to_owned(),
        subject: None,
        key: None,
        severity: AlertSeverity::Error,
        state: ToldState::Open,
        at,
        summary: "Disk full".to_owned(),
        detail: None,
    };
    Alert::first(AlertId::from(id), &told).unwrap()
}

fn activity(text: &str, alert: Option<&str>) -> Activity {
    Activity {
        at: 7,
        kind: ActivityKind::Alert,
        action: "opened".to_owned(),
        alert: alert.map(AlertId::from),
        rule_kind: Some("disk".to_owned()),
        severity: None,
        source: None,
        customer: Some("c-1".to_owned()),
        ticket: None,
        text: text.to_owned(),
        why: None,
    }
}

#[rstest]
#[tokio::test]
async fn every_version_of_an_alert_record_is_taken_in_once(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let (store, a, b) = (&fixture.store, org("a"), org("b"));
    let batch = [told("x", "open"), told("x", "updated"), told("y", "open")];
    store.save_records(&a, &source(), 1, &batch).await.unwrap();
    let lease = store.acquire_lease(&a, "alerts", "me", 1, 1_000_000).await.unwrap().unwrap();
    let found = store.alerts().list_tellings(&a, 10).await.unwrap();
    let shown: Vec<(&str, u32, &str)> =
        found.iter().map(|t| (t.record.id.as_str(), t.version, t.record.state.as_str())).collect();
    assert_eq!(shown, [("x", 1, "open"), ("x", 2, "updated"), ("y", 1, "open")]);
    // Each with the version before it, whether that was seen already or comes with it.
    let before = |t: &Telling| t.before.as_ref().map(|record| record.state.clone());
    assert_eq!(found.iter().map(before).collect::<Vec<_>>(), [None, Some("open".to_owned()), None]);
    assert!(store.alerts().list_tellings(&b, 10).await.unwrap().is_empty());
    let seen = |id: &str, version: u32| (source(), id.to_owned(), version);
    let change = AlertChange {
        save: vec![alert("one", 5)],
        seen: vec![seen("x", 1), seen("x", 2)],
        activity: vec![activity("first", Some("one")), activity("second", None)],
        ..AlertChange::default()
    };
    store.alerts().save_alerts(&a, &lease, &change).await.unwrap();
    let left = store.alerts().list_tellings(&a, 10).await.unwrap();
    assert_eq!(left.len(), 1);
    store.save_records(&a, &source(), 2, &[told("x", "closed")]).await.unwrap();
    let left = store.alerts().list_tellings(&a, 10).await.unwrap();
    assert_eq!(
        left.iter().map(|t| (t.record.id.as_str(), t.version)).collect::<Vec<_>>(),
        [("y", 1), ("x", 3)]
    );
    assert_eq!(left.iter().map(before).collect::<Vec<_>>(), [None, Some("updated".to_owned())]);

    let all = ActivityFilter { limit: 10, ..ActivityFilter::default() };
    let log = store.alerts().list_activity(&a, &all).await.unwrap();
    assert_eq!(
        log.iter().map(|l| (l.seq, l.entry.text.as_str())).collect::<Vec<_>>(),
        [(2, "second"), (1, "first")]
    );
    let of_one = ActivityFilter { alert: Some(AlertId::from("one")), ..all.clone() };
    assert_eq!(store.alerts().list_activity(&a, &of_one).await.unwrap().len(), 1);
    let earlier = ActivityFilter { before: Some(2), ..all.clone() };
    assert_eq!(store.alerts().list_activity(&a, &earlier).await.unwrap()[0].seq, 1);
    assert!(store.alerts().list_activity(&b, &all).await.unwrap().is_empty());
}

#[rstest]
#[tokio::test]
async fn who_lost_the_lane_saves_nothing_of_alerts(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let (store, a) = (&fixture.store, org("a"));
    let lost = store.acquire_lease(&a, "alerts", "me", 1, 10).await.unwrap().unwrap();
    store.acquire_lease(&a, "alerts", "other", 100, 10).await.unwrap().unwrap();
    let change = AlertChange {
        save: vec![alert("one", 5)],
        activity: vec![activity("never", None)],
        ..AlertChange::default()
    };
    let refused = store.alerts().save_alerts(&a, &lost, &change).await;
    assert_eq!(refused, Err(StoreError::Fenced));
    assert!(store.alerts().list_alerts(&a, &AlertFilter::default()).await.unwrap().is_empty());
}

#[rstest]
#[tokio::test]
async fn alerts_are_found_by_what_is_asked(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let (store, a, b) = (&fixture.store, org("a"), org("b"));
    let lease = store.acquire_lease(&a, "alerts", "me", 1, 1_000_000).await.unwrap().unwrap();
    let mut done = alert("done", 3);
    (done.settled, done.cleared_at) = (true, Some(4));
    let change = AlertChange { save: vec![alert("one", 5), alert("two", 9), done], ..AlertChange::default() };
    store.alerts().save_alerts(&a, &lease, &change).await.unwrap();
    let find = async |filter: AlertFilter| -> Vec<String> {
        let found = store.alerts().list_alerts(&a, &filter).await.unwrap();
        found.iter().map(|alert| alert.id.to_string()).collect()
    };
    assert_eq!(find(AlertFilter::default()).await, ["two", "one", "done"]);
    assert_eq!(find(AlertFilter { unsettled: true, ..AlertFilter::default() }).await, ["two", "one"]);
    let cleared = AlertFilter { state: Some("cleared".to_owned()), ..AlertFilter::default() };
    assert_eq!(find(cleared).await, ["done"]);
    let after =
        AlertFilter { after: Some((9, AlertId::from("two"))), limit: Some(1), ..AlertFilter::default() };
    assert_eq!(find(after).await, ["one"]);
    let ids =
        AlertFilter { ids: Some(vec![AlertId::from("one"), AlertId::from("no")]), ..AlertFilter::default() };
    assert_eq!(find(ids).await, ["one"]);
    let made = AlertFilter { made_since: Some(0), ..AlertFilter::default() };
    assert!(find(made).await.is_empty());
    let joined = AlertChange { remove: vec![AlertId::from("one")], ..AlertChange::default() };
    store.alerts().save_alerts(&a, &lease, &joined).await.unwrap();
    assert_eq!(find(AlertFilter::default()).await, ["two", "done"]);
    assert!(store.alerts().list_alerts(&b, &AlertFilter::default()).await.unwrap().is_empty());
}

#[rstest]
#[tokio::test]
async fn rules_come_with_the_level_that_they_come_from(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let (store, top, below, beside) = (&fixture.store, org("a"), org("b"), org("c"));
    store.ensure_organization(&top).await.unwrap();
    for id in [&below, &beside] {
        let row = OrganizationRow {
            id: id.clone(),
            parent: (id == &below).then(|| top.clone()),
            name: id.to_string(),
            kind: "partner".to_owned(),
        };
        store.add_organization(&row).await.unwrap();
    }
    let rule = |board: &str| Entry {
        kind: "disk".to_owned(),
        severity: None,
        values: BTreeMap::from([(
            Field::Board,
            Value { text: board.to_owned(), label: Some("Alerts".to_owned()) },
        )]),
    };
    let said = entry("alert.rule", None);
    store.alerts().save_rule(&top, &rule("1"), &said).await.unwrap();
    store.alerts().save_rule(&below, &rule("2"), &said).await.unwrap();
    store.alerts().save_rule(&below, &rule("3"), &said).await.unwrap();
    let held = async |org: &OrganizationId| -> Vec<(String, String)> {
        let levels = store.alerts().list_rules(org).await.unwrap();
        levels.iter().map(|l| (l.from.to_string(), l.entry.values[&Field::Board].text.clone())).collect()
    };
    let pair = |from: &str, board: &str| (from.to_owned(), board.to_owned());
    assert_eq!(held(&below).await, [pair("b", "3"), pair("a", "1")]);
    assert_eq!(held(&top).await, [pair("a", "1")]);
    assert!(held(&beside).await.is_empty());
    let nothing = Entry { values: BTreeMap::new(), ..rule("") };
    store.alerts().save_rule(&below, &nothing, &said).await.unwrap();
    assert_eq!(held(&below).await, [pair("a", "1")]);
}
