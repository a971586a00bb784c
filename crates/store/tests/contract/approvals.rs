//! Questions to people: asked once, answered in order, closed once, each organization's own.

use crate::support::rows::{entry, org, plan, task};
use crate::support::{Backend, Fixture};
use rstest::rstest;
use trueup_domain::approval::{Limit, Reason, Word};
use trueup_domain::ids::PlanId;
use trueup_domain::plan::TaskOutcome;
use trueup_domain::task::TaskState;
use trueup_engine::ports::Store;
use trueup_engine::records::{ApprovalRow, ApprovalState};

fn question(id: &str, plan: &str, at: i64) -> ApprovalRow {
    ApprovalRow {
        id: id.to_owned(),
        plan: PlanId::from(plan),
        connection: "main".to_owned(),
        persons: 2,
        reasons: vec![Reason { limit: Limit::Amount, message: "It is much.".to_owned() }],
        maker: "schedule".to_owned(),
        asked_at: at,
        state: ApprovalState::Open,
        closed_at: None,
        words: Vec::new(),
    }
}

fn word(person: &str, approves: bool, at: i64) -> Word {
    let reason = (!approves).then(|| "too much".to_owned());
    Word { person: person.to_owned(), actor: format!("{person}@example.com"), approves, reason, at }
}

#[rstest]
#[tokio::test]
async fn questions_are_asked_answered_and_closed(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let (store, a, b) = (&fixture.store, org("a"), org("b"));
    assert_eq!(store.ask_approval(&a, &question("q1", "p1", 10)).await.unwrap(), question("q1", "p1", 10));
    store.ask_approval(&a, &question("q2", "p2", 20)).await.unwrap();
    store.ask_approval(&a, &question("q3", "p3", 20)).await.unwrap();
    let said = entry("approval.refuse", None);
    let answered = store.answer_approval(&a, "q1", &word("ann", false, 11), &said).await.unwrap().unwrap();
    assert_eq!(answered.words, [word("ann", false, 11)]);
    store.answer_approval(&a, "q1", &word("ann", true, 5), &said).await.unwrap().unwrap();

    // The same question again: the newest plan, and what was answered stays, in the order in which it was.
    let again = ApprovalRow { persons: 1, maker: "somebody".to_owned(), ..question("q1", "p9", 99) };
    let row = store.ask_approval(&a, &again).await.unwrap();
    assert_eq!((row.plan.as_str(), row.persons, row.asked_at, row.maker.as_str()), ("p9", 1, 10, "schedule"));
    assert_eq!(row.words, [word("ann", false, 11), word("ann", true, 5)]);
    assert_eq!(store.find_approval(&a, "q1").await.unwrap(), Some(row));

    assert!(
        store
            .close_approval(&a, "q1", ApprovalState::Applied, Some(&PlanId::from("p-later")), 30)
            .await
            .unwrap()
    );
    assert!(!store.close_approval(&a, "q1", ApprovalState::Stale, None, 31).await.unwrap(), "it is closed");
    assert!(!store.close_approval(&a, "nothing", ApprovalState::Stale, None, 31).await.unwrap());
    let closed = store.find_approval(&a, "q1").await.unwrap().unwrap();
    assert_eq!((closed.state, closed.closed_at), (ApprovalState::Applied, Some(30)));
    assert_eq!(
        closed.plan.as_str(),
        "p-later",
        "the plan that was written, not the one that was asked about"
    );
    let late = store.answer_approval(&a, "q1", &word("bob", true, 32), &said).await.unwrap();
    assert_eq!(late, None, "what is closed takes no answer");
    assert_eq!(
        store.list_audit(&a, None, 9).await.unwrap().len(),
        2,
        "and what was not taken is in no audit"
    );

    let ids = async |open: bool, before: Option<(i64, &str)>, limit: u32| -> Vec<String> {
        store.list_approvals(&a, open, before, limit).await.unwrap().into_iter().map(|row| row.id).collect()
    };
    assert_eq!(ids(true, None, 9).await, ["q3", "q2"]);
    assert_eq!(ids(false, None, 2).await, ["q3", "q2"]);
    assert_eq!(ids(false, Some((20, "q3")), 9).await, ["q2", "q1"]);
    assert_eq!(ids(true, Some((20, "q2")), 9).await, [""; 0]);
    assert_eq!(store.find_approval(&b, "q2").await.unwrap(), None);
    assert!(store.list_approvals(&b, false, None, 9).await.unwrap().is_empty());
    assert_eq!(store.answer_approval(&b, "q2", &word("bob", true, 1), &said).await.unwrap(), None);
    assert!(!store.close_approval(&b, "q2", ApprovalState::Stale, None, 1).await.unwrap());

    // Asked anew after it was closed, it is open again.
    let row = store.ask_approval(&a, &question("q1", "p1", 40)).await.unwrap();
    assert_eq!((row.state, row.closed_at, row.words.len()), (ApprovalState::Open, None, 2));
}

#[rstest]
#[tokio::test]
async fn the_plan_that_is_carried_out_answers_its_tasks(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let (store, a) = (&fixture.store, org("a"));
    store.save_tasks(&a, 1, &[task("t1", "s", 1, TaskState::Planned)]).await.unwrap();
    let first = plan("p1", 10, "t1", TaskOutcome::Planned);
    store.save_plan(&a, &first).await.unwrap();
    store.save_plan(&a, &plan("p2", 20, "t1", TaskOutcome::Planned)).await.unwrap();
    let of = async || store.find_plan_of_task(&a, &"t1".into()).await.unwrap();
    assert_eq!(of().await, Some(PlanId::from("p2")));
    store.begin_plan(&a, &first, 30).await.unwrap();
    assert_eq!(of().await, Some(PlanId::from("p1")));
}
