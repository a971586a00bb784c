//! Taking in a feed, where it goes wrong in ways that no file shows.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};
use trueup_domain::feed::{Record, RecordKind};
use trueup_domain::ids::{OrganizationId, SourceId};
use trueup_engine::feed::{BATCH, Destination, ImportReport, import};
use trueup_engine::ports::Refusal;
use trueup_engine::records::{IncomingRecord, incoming};

/// Imports without a store; returns the report and how many records were read after each batch.
async fn checked<I>(records: I) -> (ImportReport, Vec<u64>)
where
    I: Iterator<Item = Result<IncomingRecord, Refusal>> + Send + 'static,
{
    let (org, source) = (OrganizationId::from("default"), SourceId::from("default"));
    let to = Destination { store: None, org: &org, source: &source, at: 0 };
    let read = Arc::new(Mutex::new(Vec::new()));
    let told = read.clone();
    let report = import(to, records, BATCH, move |count| told.lock().unwrap().push(count)).await.unwrap();
    let read = read.lock().unwrap().clone();
    (report, read)
}

/// Memory does not depend on how long the records are: of long ones few are read at once.
#[tokio::test]
async fn long_records_are_taken_in_by_few() {
    let long = |number: usize| {
        let text = "x".repeat(1 << 20);
        let record = format!("{{\"customer\":{{\"id\":\"c-{number}\",\"name\":\"{text}\"}}}}");
        Ok(incoming(serde_json::from_str::<Record>(&record).unwrap()))
    };
    let (report, read) = checked((0..60).map(long)).await;
    assert_eq!(report.taken_in(), 60);
    assert_eq!(read.last(), Some(&60));
    let most = read.windows(2).map(|two| two[1] - two[0]).chain(read.first().copied()).max();
    assert!(most.is_some_and(|most| most <= 17), "{read:?}");
}

/// What is refused may quote what it refuses: neither its id nor the reason is kept at a length that no id and no sentence has.
#[tokio::test]
async fn what_is_told_of_a_refusal_is_bounded() {
    let refusal = |id: String, reason: String| Refusal {
        file: "feed.ndjson".to_owned(),
        line: 1,
        field: Some("ä".repeat(5_000)),
        reason,
        code: "TU8004".to_owned(),
        record: Some(Box::new((RecordKind::Order, id))),
        warning: false,
    };
    let items = vec![
        Err(refusal("ö".repeat(201), "ü".repeat(1 << 20))),
        Err(refusal("ö".repeat(200), "it is empty".to_owned())),
    ];
    let (report, _) = checked(items.into_iter()).await;
    let [long, short] = report.refused.as_slice() else { unreachable!("two were refused") };
    assert_eq!((long.reason.chars().count(), long.reason.capacity() < 5_000), (1_001, true));
    assert!(long.field.as_ref().is_some_and(|field| field.chars().count() == 1_001));
    assert_eq!(long.record, None);
    assert_eq!(short.reason, "it is empty");
    assert!(short.record.as_ref().is_some_and(|record| record.1.chars().count() == 200));
}

/// Records are read on a thread of their own: one that breaks off there must not look like the end of the feed.
#[tokio::test]
#[should_panic(expected = "the reader broke off")]
async fn a_reader_that_breaks_off_is_not_the_end_of_the_feed() {
    let (org, source) = (OrganizationId::from("default"), SourceId::from("default"));
    let to = Destination { store: None, org: &org, source: &source, at: 0 };
    let records = std::iter::from_fn(|| panic!("the reader broke off"));
    let _ = import(to, records, 10, |_| ()).await;
}
