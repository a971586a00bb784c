//! Tasks, plans, snapshots, links and findings.

use crate::support::rows::{TODAY, finding, link, org, plan, source, task};
use crate::support::{Backend, Fixture};
use jiff::civil::date;
use rstest::rstest;
use std::collections::BTreeMap;
use trueup_domain::finding::{Code, Severity};
use trueup_domain::plan::TaskOutcome;
use trueup_domain::task::TaskState;
use trueup_engine::ports::{Store, StoreError};
use trueup_engine::records::{FindingFilter, FindingState, PlanState, TaskFilter};

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
        store.list_tasks(&org, &filter).await.unwrap().into_iter().map(|t| t.id.to_string()).collect()
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
    assert!(!store.change_mark(&org, "orders", None, "3").await.unwrap());
    assert!(!store.change_mark(&org, "orders", Some("1"), "3").await.unwrap());
    assert!(store.change_mark(&org, "orders", Some("2"), "3").await.unwrap());
    assert!(store.change_mark(&org, "others", None, "1").await.unwrap());
    assert_eq!(store.load_mark(&org, "orders").await.unwrap().as_deref(), Some("3"));
    assert_eq!(store.load_mark(&org, "others").await.unwrap().as_deref(), Some("1"));
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
    assert_eq!(store.list_plans(&org, 1).await.unwrap(), [second.clone()]);
    // Page by page, also where several were made in one instant and new ones come in meanwhile.
    let third = plan("p0", 20, "t1", TaskOutcome::NeedsMapping);
    store.save_plan(&org, &third).await.unwrap();
    let mut seen = Vec::new();
    let mut after = None;
    while let Some(row) = store.page_plans(&org, after.as_ref(), 1).await.unwrap().pop() {
        let newer = plan(&format!("p9{}", seen.len()), 30, "t1", TaskOutcome::NeedsMapping);
        store.save_plan(&org, &newer).await.unwrap();
        assert_eq!((row.connection.as_str(), row.state), (second.connection.as_str(), row.state));
        assert_eq!(row.totals, second.body.plan().totals);
        after = Some((row.created_at, row.id.clone()));
        seen.push((row.id.to_string(), row.state));
    }
    let proposed = PlanState::Proposed;
    let expected = [("p2", PlanState::Applying), ("p0", proposed), ("p1", proposed)];
    assert_eq!(seen, expected.map(|(id, state)| (id.to_owned(), state)));
    // The second plan did not answer the task.
    assert_eq!(store.find_plan_of_task(&org, &"t1".into()).await.unwrap(), Some("p1".into()));
    assert_eq!(store.find_plan_of_task(&org, &"t2".into()).await.unwrap(), None);

    store.save_links(&org, &[link(2), link(1), link(2)]).await.unwrap();
    assert_eq!(store.list_links(&org).await.unwrap(), [link(1), link(2)]);
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
