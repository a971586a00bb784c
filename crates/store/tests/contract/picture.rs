//! The local picture of ConnectWise: what a pull puts aside, and what it makes of the picture at its end.

use crate::support::rows::{mapping, org, source, task};
use crate::support::{Backend, Fixture};
use rstest::rstest;
use serde_json::json;
use std::collections::BTreeMap;
use trueup_domain::ids::AgreementId;
use trueup_domain::psa::Snapshot;
use trueup_domain::task::TaskState;
use trueup_engine::ports::{Store, StoreError};
use trueup_engine::records::{IncomingRecord, PictureState, PulledEnd};
use trueup_store::TaskPage;

/// Agreements, each with one addition of that quantity.
fn part(agreements: &[(i64, u32)]) -> Snapshot {
    let mut snapshot = json!({
        "companies": {"12": {"id": 12, "identifier": "G", "name": "Green", "state": "active", "currency": "USD"}},
        "agreements": {}, "additions": {}, "catalog": {}
    });
    for (id, quantity) in agreements {
        snapshot["agreements"][id.to_string()] = json!({"id": id, "name": format!("A{id}"), "company": 12,
            "agreement_type": "Cloud", "status": "active", "billing_cycle": null, "currency": null, "start": null,
            "end": null, "bill_start": null, "next_invoice": null, "prorates": false, "parent": null,
            "last_updated": null});
        snapshot["additions"][id.to_string()] = json!([{"id": id * 10, "agreement": id, "marker": null,
            "last_updated": null, "state": {"catalog_item": 7, "quantity": quantity.to_string(),
            "unit_price": "12345678901234.123456", "unit_cost": "0.10", "effective": "2026-03-01", "cancelled": null,
            "taxable": null, "description": null, "invoice_description": null}}]);
    }
    serde_json::from_value(snapshot).unwrap()
}

fn end(at: i64, runs: u64, whole: bool, gone: &[i64]) -> PulledEnd {
    let state = PictureState { at, watermark: Some(at - 5), runs, shared_at: Some(at) };
    PulledEnd {
        state,
        whole,
        lists: true,
        gone: gone.iter().copied().map(AgreementId).collect(),
        unread: Vec::new(),
    }
}

#[rstest]
#[tokio::test]
async fn a_pull_replaces_what_it_read_and_leaves_the_rest(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let (store, org) = (&fixture.store, org("a"));
    assert_eq!(store.load_snapshot(&org, "main").await.unwrap(), None);
    assert_eq!(store.load_picture_lists(&org, "main").await.unwrap(), None);
    assert_eq!(store.load_picture_state(&org, "main").await.unwrap(), None);

    store.begin_pull(&org, "main", "p1").await.unwrap();
    let all = part(&[(1, 1), (2, 1), (3, 1), (4, 1)]);
    store.stage_pull(&org, "main", "p1", 100, &all).await.unwrap();
    // What is put aside is no picture yet: conclusions from a half of it would be wrong.
    assert_eq!(store.load_snapshot(&org, "main").await.unwrap(), None);
    assert_eq!(store.finish_pull(&org, "main", "p1", &end(100, 1, true, &[])).await.unwrap(), 4);
    assert_eq!(store.load_snapshot(&org, "main").await.unwrap(), Some((100, all.clone())));
    assert_eq!(store.load_snapshot(&org, "other").await.unwrap(), None);
    assert_eq!(store.load_snapshot(&crate::support::rows::org("b"), "main").await.unwrap(), None);
    let state = store.load_picture_state(&org, "main").await.unwrap();
    assert_eq!(state, Some(PictureState { at: 100, watermark: Some(95), runs: 1, shared_at: Some(100) }));

    // A part: 2 is as it was, 3 was edited, 4 is gone, 1 was not read.
    store.begin_pull(&org, "main", "p2").await.unwrap();
    store.stage_pull(&org, "main", "p2", 200, &part(&[(2, 1), (3, 9)])).await.unwrap();
    assert_eq!(store.load_snapshot(&org, "main").await.unwrap(), Some((100, all)));
    assert_eq!(store.finish_pull(&org, "main", "p2", &end(200, 2, false, &[4])).await.unwrap(), 1);
    let expected = part(&[(1, 1), (2, 1), (3, 9)]);
    assert_eq!(store.load_snapshot(&org, "main").await.unwrap(), Some((200, expected.clone())));
    let lists = Snapshot { additions: BTreeMap::new(), ..expected.clone() };
    assert_eq!(store.load_picture_lists(&org, "main").await.unwrap(), Some(lists));
    let read: Vec<(i64, Option<i64>)> = store
        .list_picture_agreements(&org, "main")
        .await
        .unwrap()
        .into_iter()
        .map(|(id, at)| (id.0, at))
        .collect();
    assert_eq!(read, [(1, Some(100)), (2, Some(200)), (3, Some(200))]);
    // Some of them, each as it was read last.
    let some = [AgreementId(1), AgreementId(3), AgreementId(4)];
    let known = store.load_picture_additions(&org, "main", &some).await.unwrap();
    let as_read = |id: i64, at: i64| (AgreementId(id), (at, expected.additions[&AgreementId(id)].clone()));
    assert_eq!(known, BTreeMap::from([as_read(1, 100), as_read(3, 200)]));
    assert!(store.load_picture_additions(&org, "other", &some).await.unwrap().is_empty());
    assert!(store.load_picture_additions(&org, "main", &[]).await.unwrap().is_empty());

    // In parts, by the order of the ids.
    let first = store.load_picture_part(&org, "main", None, 2).await.unwrap();
    assert_eq!(first.agreements.keys().map(|id| id.0).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(first.additions.keys().map(|id| id.0).collect::<Vec<_>>(), [1, 2]);
    let rest = store.load_picture_part(&org, "main", Some(AgreementId(2)), 2).await.unwrap();
    assert_eq!(rest.agreements.keys().map(|id| id.0).collect::<Vec<_>>(), [3]);
    let none = store.load_picture_part(&org, "main", Some(AgreementId(3)), 2).await.unwrap();
    assert!(none.agreements.is_empty() && none.additions.is_empty());

    // A whole pull that saw less: what it did not see is not there any more, companies included.
    store.begin_pull(&org, "main", "p3").await.unwrap();
    let mut less = part(&[(2, 1)]);
    less.companies.clear();
    store.stage_pull(&org, "main", "p3", 300, &less).await.unwrap();
    assert_eq!(store.finish_pull(&org, "main", "p3", &end(300, 3, true, &[])).await.unwrap(), 0);
    assert_eq!(store.load_snapshot(&org, "main").await.unwrap(), Some((300, less)));
}

#[rstest]
#[tokio::test]
async fn of_two_pulls_at_once_the_newer_one_counts(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let (store, org) = (&fixture.store, org("a"));
    store.begin_pull(&org, "main", "old").await.unwrap();
    store.stage_pull(&org, "main", "old", 1, &part(&[(1, 1), (2, 1)])).await.unwrap();
    store.begin_pull(&org, "main", "new").await.unwrap();
    // The older one has lost what it put aside: neither more of it nor its end may count.
    let refused = store.stage_pull(&org, "main", "old", 1, &part(&[(3, 1)])).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    let refused = store.finish_pull(&org, "main", "old", &end(1, 1, true, &[])).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    store.stage_pull(&org, "main", "new", 2, &part(&[(5, 1)])).await.unwrap();
    store.finish_pull(&org, "main", "new", &end(2, 1, true, &[])).await.unwrap();
    assert_eq!(store.load_snapshot(&org, "main").await.unwrap(), Some((2, part(&[(5, 1)]))));
    // A finished pull is over.
    let refused = store.finish_pull(&org, "main", "new", &end(3, 2, true, &[])).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
}

#[rstest]
#[tokio::test]
async fn a_hinted_agreement_counts_as_unread_until_a_pull_that_began_later(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let (store, org) = (&fixture.store, org("a"));
    let unread = async || {
        let known = store.list_picture_agreements(&org, "main").await.unwrap();
        known.into_iter().filter(|(_, at)| at.is_none()).map(|(id, _)| id.0).collect::<Vec<_>>()
    };
    let begin = async |name: &str| store.begin_pull(&org, "main", name).await.unwrap();
    let finish = async |name: &str| {
        store.stage_pull(&org, "main", name, 100, &part(&[(1, 1), (2, 1)])).await.unwrap();
        store.finish_pull(&org, "main", name, &end(100, 1, false, &[])).await.unwrap();
    };
    let hint = async |connection: &str, id: i64| {
        // What any clock says of when it came does not count.
        let run = crate::service::run("a", &format!("{connection}-{id}"), -7_000_000);
        let entry = crate::support::rows::entry("run.start", None);
        store.hint_agreement(connection, AgreementId(id), &run, 60_000, &entry).await.unwrap();
    };
    begin("p1").await;
    finish("p1").await;
    assert!(unread().await.is_empty());
    hint("main", 2).await;
    hint("other", 1).await;
    hint("main", 99).await;
    assert_eq!(unread().await, [2]);
    let known = store.load_picture_additions(&org, "main", &[AgreementId(1), AgreementId(2)]).await.unwrap();
    assert_eq!(known.keys().map(|id| id.0).collect::<Vec<_>>(), [1]);
    let whole = store.load_snapshot(&org, "main").await.unwrap();
    assert_eq!(whole, Some((100, part(&[(1, 1), (2, 1)]))), "a hint changes no picture");
    // The pull may have read the agreement before what the second hint is about.
    begin("p2").await;
    hint("main", 2).await;
    finish("p2").await;
    assert_eq!(unread().await, [2]);
    // One that fails takes no hint along.
    begin("p3").await;
    begin("p4").await;
    finish("p4").await;
    assert!(unread().await.is_empty());
}

/// A whole pull that did not understand one agreement: it stays as it was known, counts as never read until a pull has read
/// it, and one that nobody knew is there to be asked for again.
#[rstest]
#[tokio::test]
async fn what_a_pull_could_not_understand_stays_as_it_was(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let (store, org) = (&fixture.store, org("a"));
    let pull = async |name: &str, at: i64, part: &Snapshot, unread: &[i64]| {
        store.begin_pull(&org, "main", name).await.unwrap();
        store.stage_pull(&org, "main", name, at, part).await.unwrap();
        let unread = unread.iter().copied().map(AgreementId).collect();
        let end = PulledEnd { unread, ..end(at, 1, true, &[]) };
        store.finish_pull(&org, "main", name, &end).await.unwrap();
        let read = store.list_picture_agreements(&org, "main").await.unwrap();
        read.into_iter().map(|(id, at)| (id.0, at)).collect::<Vec<_>>()
    };
    assert_eq!(pull("p1", 100, &part(&[(1, 1), (2, 1)]), &[]).await, [(1, Some(100)), (2, Some(100))]);
    // Of 2 the list is not understood, and of 3, which is new: their own records were.
    let mut told = part(&[(1, 5), (2, 1), (3, 1)]);
    told.additions.retain(|id, _| id.0 == 1);
    assert_eq!(pull("p2", 200, &told, &[2, 3]).await, [(1, Some(200)), (2, None), (3, None)]);
    let known = store.load_snapshot(&org, "main").await.unwrap().unwrap().1;
    assert_eq!(known.additions, part(&[(1, 5), (2, 1)]).additions);
    assert!(store.load_picture_additions(&org, "main", &[AgreementId(2)]).await.unwrap().is_empty());
    let all = part(&[(1, 5), (2, 7), (3, 1)]);
    assert_eq!(pull("p3", 300, &all, &[]).await, [(1, Some(300)), (2, Some(300)), (3, Some(300))]);
    assert_eq!(store.load_snapshot(&org, "main").await.unwrap().unwrap().1, all);
}

/// A customer of the source that all rows are of.
fn customer(id: &str, name: &str) -> IncomingRecord {
    let record =
        serde_json::from_value(json!({ "customer": { "id": id, "name": name, "ext": {} } })).unwrap();
    IncomingRecord { record, id: id.to_owned(), hash: name.to_owned() }
}

#[rstest]
#[tokio::test]
async fn tasks_are_found_by_the_names_of_customer_and_company(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let (store, a) = (&fixture.store, org("a"));
    let of = |id: &str, customer: &str| {
        let mut task = task(id, &format!("sub-{id}"), 1, TaskState::Ready);
        task.customer = customer.into();
        task
    };
    store.save_tasks(&a, 1, &[of("t1", "c-1"), of("t2", "c-2"), of("t3", "c-3")]).await.unwrap();
    let named = [customer("c-1", "M\u{fc}ller 100% GmbH"), customer("c-2", "STRA\u{df}ENBAU \u{d6}ST")];
    store.save_records(&a, &source(), 1, &named).await.unwrap();
    // The third is known by its company alone.
    store.save_mappings(&a, 1, &[mapping("c-3", 12)]).await.unwrap();
    store.begin_pull(&a, "main", "p1").await.unwrap();
    store.stage_pull(&a, "main", "p1", 100, &part(&[(1, 1)])).await.unwrap();
    store.finish_pull(&a, "main", "p1", &end(100, 1, true, &[])).await.unwrap();
    // Names of another organization, and of another source, are none of its own.
    store.save_records(&org("b"), &source(), 1, &[customer("c-2", "Elsewhere")]).await.unwrap();
    store.save_records(&a, &"other".into(), 1, &[customer("c-2", "Elsewhere")]).await.unwrap();

    let found = async |text: &str| {
        let page = TaskPage { search: Some(text.to_owned()), limit: 9, ..TaskPage::default() };
        let rows = store.page_tasks(&a, &page).await.unwrap();
        let mut ids: Vec<String> = rows.into_iter().map(|(task, _)| task.id.to_string()).collect();
        ids.sort();
        ids.join(" ")
    };
    for text in ["m\u{fc}ller", "M\u{dc}LLER", " M\u{fc}ller ", "100% g", "SUB-T1"] {
        assert_eq!(found(text).await, "t1", "{text}");
    }
    for text in ["\u{f6}st", "\u{d6}ST", "STRA\u{df}ENBAU \u{d6}ST"] {
        assert_eq!(found(text).await, "t2", "{text}");
    }
    assert_eq!(found("green").await, "t3", "by the company that it is mapped to");
    for text in ["Elsewhere", "100_", "Greenland"] {
        assert_eq!(found(text).await, "", "{text}");
    }
    // A name is found as it is now.
    store.save_records(&a, &source(), 2, &[customer("c-1", "Meier GmbH")]).await.unwrap();
    assert_eq!((found("m\u{fc}ller").await, found("meier").await), (String::new(), "t1".to_owned()));
}
