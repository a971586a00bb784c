//! No input makes a dialect panic, hang or hand out endless refusals.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use proptest::prelude::*;
use std::path::{Path, PathBuf};
use trueup_domain::feed::Record;
use trueup_sources::{Dialect, ReadOptions, dialect, incoming};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// Reads bytes as a file of every dialect; every record must survive the way into the store and back.
fn read_all(bytes: &[u8], extension: &str) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(format!("input.{extension}"));
    std::fs::write(&file, bytes).unwrap();
    let options = ReadOptions { as_of: Some(jiff::Timestamp::UNIX_EPOCH), ..ReadOptions::default() };
    let mut count = 0;
    for dialect in Dialect::ALL {
        for record in dialect.read(std::slice::from_ref(&file), options) {
            count += 1;
            if let Ok(record) = record {
                let text = serde_json::to_string(&record).unwrap();
                assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
                assert_eq!(incoming(record).hash.len(), 32);
            }
        }
    }
    count
}

const SEEDS: [&str; 15] = [
    "cloudblue-connect/ff_request.json",
    "cloudblue-connect/billing_request.json",
    "cloudblue-connect/usage_records_response.json",
    "cloudblue-connect/ta_list.json",
    "cloudblue-connect/helpdesk.json",
    "dialects/cloudblue-simpleapi/order.900007.json",
    "dialects/cloudblue-simpleapi/products.json",
    "dialects/cloudblue-simpleapi/customers.json",
    "dialects/cloudblue-simpleapi/subscription.1000100.json",
    "dialects/mailprotector/users.domain1.json",
    "dialects/anchor/organizations.json",
    "dialects/anchor/persons.103.json",
    "dialects/anchor/activity.json",
    "dialects/c3/activecustomers.json",
    "dialects/c3/subscriptionhistory.json",
];

#[test]
fn dialects_are_chosen_by_name() {
    let names: Vec<&str> = Dialect::ALL.iter().map(|d| d.name()).collect();
    assert_eq!(
        names,
        [
            "feed",
            "focus",
            "cloudblue-connect",
            "cloudblue-simpleapi",
            "mailprotector",
            "anchor",
            "c3-history"
        ]
    );
    assert!(names.iter().all(|name| dialect(name).is_some_and(|d| d.name() == *name)));
    assert_eq!(dialect("other"), None);
}

#[test]
fn missing_files_and_folders_are_refused() {
    for dialect in Dialect::ALL {
        for path in ["no-such-file", env!("CARGO_MANIFEST_DIR")] {
            let found: Vec<_> = dialect.read(&[path.into()], ReadOptions::default()).collect();
            assert_eq!(found.len(), 1, "{} {path}", dialect.name());
            assert_eq!(found[0].as_ref().unwrap_err().code, "TU8001");
        }
    }
}

#[test]
fn traps_are_passed_over() {
    let deep = format!("{{\"id\":{}1{}}}", "[".repeat(200_000), "]".repeat(200_000));
    let double = r#"{"id":"TA-1","id":"TA-2"}"#.to_owned();
    let columns = ",".repeat(2_000_000);
    let cell = format!("a,b\n\"{}", "x".repeat(20 << 20));
    let number =
        r#"[{"type":"counter","customer":"c","product":"p","value":1e400,"as_of":"2025-01-01T00:00:00Z"}]"#
            .to_owned();
    for (name, text) in
        [("deep", deep), ("double", double), ("columns", columns), ("cell", cell), ("number", number)]
    {
        for extension in ["json", "csv", "ndjson"] {
            assert!(read_all(text.as_bytes(), extension) < 100, "{name} {extension}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), extension in "json|csv|ndjson|txt") {
        prop_assert!(read_all(&bytes, &extension) <= 5 * bytes.len() + 20);
    }

    #[test]
    fn mangled_answers_never_panic(
        seed in 0..SEEDS.len(),
        at in any::<prop::sample::Index>(),
        take in 0..12_usize,
        with in "[\\[\\]{}\",:0-9a\\\\\n-]{0,6}",
    ) {
        let mut bytes = std::fs::read(data(SEEDS[seed])).unwrap();
        let from = at.index(bytes.len());
        let to = (from + take).min(bytes.len());
        bytes.splice(from..to, with.bytes());
        read_all(&bytes, "json");
    }

    #[test]
    fn mangled_bills_never_panic(at in any::<prop::sample::Index>(), take in 0..12_usize, with in "[\",:0-9a\n-]{0,6}") {
        let whole = std::fs::read(data("focus/focus_sample.csv")).unwrap();
        let mut bytes: Vec<u8> = whole.split_inclusive(|b| *b == b'\n').take(6).flatten().copied().collect();
        let from = at.index(bytes.len());
        let to = (from + take).min(bytes.len());
        bytes.splice(from..to, with.bytes());
        read_all(&bytes, "csv");
    }
}
