//! Limits that several processes share.

use crate::support::{Backend, Fixture};
use trueup_store::SqlStore;

#[tokio::test]
async fn of_many_at_once_each_sees_what_the_one_before_kept() {
    let Some(fixture) = Fixture::new(Backend::Postgres).await else { return };
    let stores = [SqlStore::open(fixture.config()).await.unwrap(), fixture.store];
    let count = |kept: Option<&str>, now: u64| {
        let count = kept.map_or(0, |text| text.parse::<u64>().unwrap()) + 1;
        (count.to_string(), (count, now))
    };
    let all = (0..40).map(|n| stores[n % 2].change_budget("a", count));
    let mut answers: Vec<(u64, u64)> =
        futures::future::join_all(all).await.into_iter().map(|answer| answer.unwrap().unwrap()).collect();
    answers.sort_unstable();
    assert_eq!(answers.iter().map(|(count, _)| *count).collect::<Vec<_>>(), (1..=40).collect::<Vec<_>>());
    assert!(answers.is_sorted_by_key(|(_, now)| *now), "the time is that of the turn: {answers:?}");
    assert_eq!(stores[0].change_budget("b", count).await.unwrap().unwrap().0, 1);
}

#[tokio::test]
async fn an_embedded_database_shares_with_nobody() {
    let fixture = Fixture::new(Backend::Sqlite).await.unwrap();
    let changed = fixture.store.change_budget("a", |_, _| (String::new(), ())).await;
    assert_eq!(changed, Ok(None));
}
