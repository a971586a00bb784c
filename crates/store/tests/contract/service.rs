//! What the service keeps: people, sessions, tokens, runs, kept answers, pages.

use crate::support::rows::{counter, entry, org, source, task};
use crate::support::{Backend, Fixture};
use rstest::rstest;
use trueup_domain::feed::RecordKind;
use trueup_domain::task::TaskState;
use trueup_engine::ports::{Store, StoreError};
use trueup_engine::records::{OrganizationRow, TaskFilter};
use trueup_store::{
    ApiToken, Asked, AuditPage, Ends, KeptAnswer, Person, RecordPage, Run, RunState, Session, TaskOrder,
    TaskPage,
};

fn person(id: &str, at: Option<&str>) -> Person {
    Person {
        id: id.to_owned(),
        org: at.map(org),
        email: format!("{id}@example.com"),
        name: id.to_owned(),
        role: "admin".to_owned(),
        password_hash: "$argon2id$".to_owned(),
        must_change: true,
        disabled: false,
        created_at: 1,
    }
}

fn session(hash: &str, person: &str, expires_at: i64) -> Session {
    let (hash, person) = (hash.to_owned(), person.to_owned());
    Session { hash, person, csrf: "c".to_owned(), created_at: 10, seen_at: 10, expires_at }
}

#[rstest]
#[tokio::test]
async fn people_and_their_sessions(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let store = &fixture.store;
    let home = org("a");
    assert!(!store.has_people().await.unwrap());
    store.add_person(&person("p1", Some("a")), &home, &entry("user.add", None)).await.unwrap();
    store.add_person(&person("p2", None), &org("*"), &entry("user.add", None)).await.unwrap();
    let twin = Person { id: "p3".to_owned(), ..person("p1", Some("b")) };
    let refused = store.add_person(&twin, &home, &entry("user.add", None)).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    assert!(store.has_people().await.unwrap());
    assert_eq!(store.list_audit(&home, None, 9).await.unwrap().len(), 1);
    assert_eq!(store.list_people(Some(&home)).await.unwrap(), [person("p1", Some("a"))]);
    assert_eq!(store.list_people(None).await.unwrap(), [person("p2", None)]);
    assert_eq!(store.list_people(Some(&org("b"))).await.unwrap(), []);

    let (one, two) = (person("p1", Some("a")), person("p2", None));
    for (hash, of) in [("h1", &one), ("h2", &one), ("h3", &two)] {
        assert!(store.add_session(&session(hash, &of.id, 100), of).await.unwrap());
    }
    store.touch_session("h1", 20).await.unwrap();
    assert_eq!(store.find_session("h1").await.unwrap().unwrap().seen_at, 20);
    assert_eq!(store.find_session("nobody").await.unwrap(), None);
    let changed = Person { password_hash: "new".to_owned(), must_change: false, ..one.clone() };
    let audit = entry("user.password", None);
    assert!(store.update_person(&one, &changed, Ends::SessionsBut("h1"), (&home, &audit)).await.unwrap());
    assert_eq!(store.find_person("p1").await.unwrap(), Some(changed.clone()));
    assert!(store.find_session("h1").await.unwrap().is_some());
    assert!(store.find_session("h2").await.unwrap().is_none());
    assert!(store.find_session("h3").await.unwrap().is_some());
    // A new session sweeps out what ended.
    let late = Session { created_at: 200, ..session("h4", "p1", 300) };
    assert!(!store.add_session(&late, &one).await.unwrap(), "the password that it is for is gone");
    assert!(store.add_session(&late, &changed).await.unwrap());
    assert!(store.find_session("h1").await.unwrap().is_none());
    store.end_session("h4").await.unwrap();
    assert!(store.find_session("h4").await.unwrap().is_none());
}

/// Two change a person at once: what was read before the other's change is not written over it.
#[rstest]
#[tokio::test]
async fn a_person_is_changed_where_it_still_is_as_it_was_read(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let store = &fixture.store;
    for (id, home, at) in [("p1", "a", Some("a")), ("p2", "*", None)] {
        let read = person(id, at);
        let home = org(home);
        store.add_person(&read, &home, &entry("user.add", None)).await.unwrap();
        assert!(store.add_session(&session(id, id, 100), &read).await.unwrap());
        let out = Person { disabled: true, ..read.clone() };
        let audit = entry("user.change", None);
        assert!(store.update_person(&read, &out, Ends::Nothing, (&home, &audit)).await.unwrap());
        let late = Person { password_hash: "new".to_owned(), ..read.clone() };
        assert!(!store.update_person(&read, &late, Ends::Sessions, (&home, &audit)).await.unwrap());
        assert_eq!(store.find_person(id).await.unwrap(), Some(out));
        assert!(store.find_session(id).await.unwrap().is_some(), "nothing of the late change was done");
        assert_eq!(store.list_audit(&home, None, 9).await.unwrap().len(), 2);
    }
}

#[rstest]
#[tokio::test]
async fn tokens_hold_until_they_are_revoked(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let store = &fixture.store;
    let token = ApiToken {
        org: org("a"),
        id: "t1".to_owned(),
        name: "export".to_owned(),
        prefix: "tu_abc".to_owned(),
        hash: "h".to_owned(),
        rights: vec!["tasks.read".to_owned()],
        created_by: "p1".to_owned(),
        created_at: 1,
        expires_at: Some(99),
        last_used_at: None,
        revoked_at: None,
    };
    store.add_token(&token, &entry("token.add", None)).await.unwrap();
    assert_eq!(store.find_token_by_hash("h").await.unwrap(), Some(token.clone()));
    assert_eq!(store.find_token_by_hash("x").await.unwrap(), None);
    store.touch_token(&org("a"), "t1", 7).await.unwrap();
    assert_eq!(store.list_tokens(&org("a")).await.unwrap()[0].last_used_at, Some(7));
    assert_eq!(store.list_tokens(&org("b")).await.unwrap(), []);
    let audit = entry("token.revoke", None);
    assert!(!store.revoke_token(&org("b"), "t1", 8, &audit).await.unwrap());
    assert!(store.revoke_token(&org("a"), "t1", 8, &audit).await.unwrap());
    assert!(!store.revoke_token(&org("a"), "t1", 9, &audit).await.unwrap());
    assert_eq!(store.find_token_by_hash("h").await.unwrap().unwrap().revoked_at, Some(8));
    assert_eq!(store.list_audit(&org("a"), None, 9).await.unwrap().len(), 2);
    assert_eq!(store.list_audit(&org("b"), None, 9).await.unwrap().len(), 0);
    // All that a person made, of whatever organization; what was revoked before stays so.
    let before = person("p1", Some("a"));
    store.add_person(&before, &org("a"), &audit).await.unwrap();
    for (id, at, maker) in [("t2", "b", "p1"), ("t3", "b", "p2")] {
        let made = ApiToken {
            org: org(at),
            id: id.into(),
            hash: id.into(),
            created_by: maker.into(),
            ..token.clone()
        };
        store.add_token(&made, &audit).await.unwrap();
    }
    let after = Person { role: "billing".to_owned(), ..before.clone() };
    let ends = Ends::SessionsAndTokens(20);
    assert!(store.update_person(&before, &after, ends, (&org("a"), &audit)).await.unwrap());
    for (hash, revoked) in [("h", Some(8)), ("t2", Some(20)), ("t3", None)] {
        assert_eq!(store.find_token_by_hash(hash).await.unwrap().unwrap().revoked_at, revoked, "{hash}");
    }
}

#[rstest]
#[tokio::test]
async fn the_tree_is_walked_upward(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let store = &fixture.store;
    store.ensure_organization(&org("top")).await.unwrap();
    let row =
        OrganizationRow { id: org("low"), name: "Low".into(), kind: "site".into(), parent: Some(org("top")) };
    store.add_organization(&row).await.unwrap();
    assert_eq!(store.find_lineage(&org("low")).await.unwrap(), Some(vec![org("low"), org("top")]));
    assert_eq!(store.find_lineage(&org("nobody")).await.unwrap(), None);
    assert_eq!(store.find_organization(&org("low")).await.unwrap(), Some(row));
    let audit = entry("organization.rename", None);
    assert!(store.rename_organization(&org("low"), "Lower", &audit).await.unwrap());
    assert!(!store.rename_organization(&org("nobody"), "x", &audit).await.unwrap());
    assert_eq!(store.find_organization(&org("low")).await.unwrap().unwrap().name, "Lower");
    assert_eq!(store.list_audit(&org("nobody"), None, 9).await.unwrap(), []);
}

#[rstest]
#[tokio::test]
async fn a_key_is_answered_once(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let store = &fixture.store;
    let (a, b) = (org("a"), org("b"));
    let key = ("p1", "k1");
    assert_eq!(store.begin_answer(&a, key, "f1", 100, 0).await.unwrap(), Asked::First);
    assert_eq!(store.begin_answer(&a, key, "f1", 101, 0).await.unwrap(), Asked::Running);
    assert_eq!(store.begin_answer(&a, key, "f2", 101, 0).await.unwrap(), Asked::Differently);
    assert_eq!(store.begin_answer(&b, key, "f2", 101, 0).await.unwrap(), Asked::First);
    assert_eq!(store.begin_answer(&a, ("p2", "k1"), "f2", 101, 0).await.unwrap(), Asked::First);
    let answer = KeptAnswer { status: 201, body: "{}".to_owned() };
    store.end_answer(&a, key, Some(&answer)).await.unwrap();
    assert_eq!(store.begin_answer(&a, key, "f1", 102, 0).await.unwrap(), Asked::Answered(answer));
    // A request that came to nothing, and a key that grew old, may be used again.
    store.end_answer(&b, key, None).await.unwrap();
    assert_eq!(store.begin_answer(&b, key, "f3", 103, 0).await.unwrap(), Asked::First);
    assert_eq!(store.begin_answer(&a, key, "f9", 500, 400).await.unwrap(), Asked::First);
}

pub fn run(at: &str, id: &str, created_at: i64) -> Run {
    Run { id: id.to_owned(), ..Run::queued(&org(at), "check", "p1", "{}".to_owned(), created_at) }
}

#[rstest]
#[tokio::test]
async fn one_worker_a_run_and_one_run_an_organization(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let store = &fixture.store;
    assert_eq!(store.claim_run("w1", 0, 50).await.unwrap(), None);
    for row in [run("a", "r1", 1), run("a", "r2", 2), run("b", "r3", 3)] {
        store.add_run(&row, &entry("run.add", None)).await.unwrap();
    }
    let first = store.claim_run("w1", 10, 50).await.unwrap().unwrap();
    assert_eq!((first.id.as_str(), first.attempts, first.started_at), ("r1", 1, Some(10)));
    let second = store.claim_run("w2", 10, 50).await.unwrap().unwrap();
    assert_eq!(second.id, "r3", "one organization's runs go one after the other");
    assert_eq!(store.claim_run("w3", 10, 50).await.unwrap(), None);
    store.renew_run(&first, "w1", 90, (1, 4)).await.unwrap();
    assert_eq!(store.find_run(&org("a"), "r1").await.unwrap().unwrap().total, 4);
    assert_eq!(store.find_run(&org("b"), "r1").await.unwrap(), None);
    // The second worker went silent: another takes its run, and the first one's word counts no longer.
    let taken = store.claim_run("w3", 61, 50).await.unwrap().unwrap();
    assert_eq!((taken.id.as_str(), taken.attempts), ("r3", 2));
    let late = store.finish_run(&second, "w2", 62, RunState::Done, None).await;
    assert!(matches!(late, Err(StoreError::Fenced)));
    assert!(matches!(store.renew_run(&second, "w2", 99, (0, 0)).await, Err(StoreError::Fenced)));
    store.put_run_back(&taken, "w3", 80).await.unwrap();
    assert!(matches!(store.put_run_back(&taken, "w3", 80).await, Err(StoreError::Fenced)));
    assert_eq!(store.claim_run("w4", 79, 50).await.unwrap(), None, "it waits");
    let again = store.claim_run("w4", 80, 50).await.unwrap().unwrap();
    assert_eq!((again.id.as_str(), again.attempts, again.put_back), ("r3", 3, 1));
    // To the day it waits; what is to wait longer was put back under a clock that was ahead.
    let day = 86_400_000;
    store.put_run_back(&again, "w4", 85 + day).await.unwrap();
    assert_eq!(store.claim_run("w4", 85, 50).await.unwrap(), None);
    assert_eq!(store.claim_run("w4", 84, 50).await.unwrap().unwrap().id, "r3");
    store.finish_run(&first, "w1", 70, RunState::NeedsPerson, Some("{}")).await.unwrap();
    let ended = store.find_run(&org("a"), "r1").await.unwrap().unwrap();
    assert_eq!(
        (ended.state, ended.finished_at, ended.result.as_deref()),
        (RunState::NeedsPerson, Some(70), Some("{}"))
    );
    let ids = |runs: Vec<Run>| runs.into_iter().map(|r| r.id).collect::<Vec<_>>();
    assert_eq!(ids(store.list_runs(&org("a"), None, 9).await.unwrap()), ["r2", "r1"]);
    assert_eq!(ids(store.list_runs(&org("a"), Some("r2"), 9).await.unwrap()), ["r1"]);
}

#[rstest]
#[tokio::test]
async fn pages_follow_each_other_without_gap(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let store = &fixture.store;
    let a = org("a");
    let mut rows = Vec::new();
    for n in 0..25_i64 {
        let state = if n % 2 == 0 { TaskState::Ready } else { TaskState::Done };
        // Several tasks share an instant, so that the id has to decide.
        rows.push(task(&format!("t{n:02}"), &format!("sub-{n}%"), n / 4, state));
    }
    store.save_tasks(&a, 5, &rows).await.unwrap();
    store.save_tasks(&org("b"), 5, &[task("t99", "s", 1, TaskState::Ready)]).await.unwrap();
    for (order, descending) in
        [(TaskOrder::Completed, true), (TaskOrder::State, false), (TaskOrder::Subscription, true)]
    {
        let mut page = TaskPage { order, descending, limit: 7, ..TaskPage::default() };
        let mut seen = Vec::new();
        loop {
            let got = store.page_tasks(&a, &page).await.unwrap();
            let Some((last, value)) = got.last() else { break };
            page.after = Some((value.clone(), last.id.to_string()));
            seen.extend(got.into_iter().map(|(task, _)| task.id.to_string()));
        }
        assert_eq!(seen.len(), 25, "{order:?}");
        if order == TaskOrder::Completed {
            let mut sorted = seen.clone();
            sorted.sort_by(|x, y| y.cmp(x));
            assert_eq!(seen, sorted);
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 25, "{order:?}");
    }
    let found =
        async |page: TaskPage| store.page_tasks(&a, &TaskPage { limit: 50, ..page }).await.unwrap().len();
    let ready = TaskFilter { states: vec![TaskState::Ready], ..TaskFilter::default() };
    assert_eq!(found(TaskPage { filter: ready, ..TaskPage::default() }).await, 13);
    assert_eq!(found(TaskPage { search: Some("SUB-1".into()), ..TaskPage::default() }).await, 11);
    assert_eq!(found(TaskPage { search: Some("sub-1%".into()), ..TaskPage::default() }).await, 1);
    assert_eq!(found(TaskPage { search: Some("o-1".into()), ..TaskPage::default() }).await, 25);
    assert_eq!(
        found(TaskPage { kinds: vec![trueup_domain::task::TaskKind::Change], ..TaskPage::default() }).await,
        0
    );
    assert_eq!(
        found(TaskPage { kinds: vec![trueup_domain::task::TaskKind::Sales], ..TaskPage::default() }).await,
        25
    );
    assert_eq!(found(TaskPage { saved_since: Some(6), ..TaskPage::default() }).await, 0);

    store.save_records(&a, &source(), 1, &[counter("c-1", "1"), counter("c-2", "2")]).await.unwrap();
    let page = RecordPage {
        kind: RecordKind::Counter,
        source: None,
        search: None,
        mapped: None,
        after: None,
        limit: 1,
    };
    let first = store.page_records(&a, &page).await.unwrap();
    let after = Some((first[0].0.source.to_string(), first[0].1.clone()));
    let second = store.page_records(&a, &RecordPage { after, ..page.clone() }).await.unwrap();
    assert_eq!((first[0].1.as_str(), second[0].1.as_str()), ("c-1", "c-2"));
    assert_eq!(second[0].0.record, counter("c-2", "2").record);
    let searched = RecordPage { search: Some("C-2".into()), limit: 9, ..page };
    assert_eq!(store.page_records(&a, &searched).await.unwrap().len(), 1);
    assert_eq!(store.page_records(&org("b"), &searched).await.unwrap().len(), 0);

    let entries = [entry("setting.set", None), entry("user.add", None), entry("setting.reset", Some(4))];
    store.append_audit(&a, &entries).await.unwrap();
    let numbers = async |page: AuditPage| {
        let page = AuditPage { limit: 2, ..page };
        store.page_audit(&a, &page).await.unwrap().into_iter().map(|e| e.number).collect::<Vec<_>>()
    };
    assert_eq!(numbers(AuditPage::default()).await, [3, 2]);
    assert_eq!(numbers(AuditPage { before: Some(2), ..AuditPage::default() }).await, [1]);
    assert_eq!(numbers(AuditPage { action: Some("setting.".into()), ..AuditPage::default() }).await, [3, 1]);
    assert_eq!(numbers(AuditPage { actor: Some("nobody".into()), ..AuditPage::default() }).await, [0; 0]);
}
