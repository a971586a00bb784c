//! Taking in what was sold.

use super::bench::{BASE, Bench, sale, upgrade};

#[test]
fn bad_lines_are_refused_with_line_field_and_reason_and_the_rest_goes_in() {
    let bench = Bench::new("2023-03-20");
    let lines =
        format!("{BASE}not json\n{}{{\"type\":\"order\",\"id\":\"X\",\"kind\":\"change\"}}\n", sale());
    let document = bench.feed(&lines).exits(1).json();
    assert_eq!(document["records"]["order"]["new"], 1);
    assert_eq!(document["records"]["subscription"]["new"], 1);
    let refused = document["refused"].as_array().unwrap();
    assert_eq!(refused.len(), 2);
    assert_eq!(refused[0]["line"], 4);
    assert_eq!(refused[1]["line"], 6);
    for one in refused {
        assert!(one["reason"].as_str().is_some_and(|r| !r.is_empty()));
        assert!(one["code"].as_str().is_some_and(|c| c.starts_with("TU")));
        assert!(one["file"].as_str().is_some_and(|f| f.ends_with("feed.ndjson")));
    }
    assert!(refused[1]["field"].is_string());
}

#[test]
fn the_same_file_twice_changes_nothing_and_totals_are_exact() {
    let bench = Bench::new("2023-03-20");
    let lines = format!("{BASE}{}{}", sale(), upgrade());
    let first = bench.feed(&lines).exits(0).json();
    assert_eq!(first["records"]["order"]["new"], 2);
    assert_eq!(first["totals"]["by_currency"]["USD"]["amount"], "176.00");
    assert_eq!(first["totals"]["by_currency"]["USD"]["cost"], "140.80");
    let second = bench.feed(&lines).exits(0).json();
    assert_eq!(second["records"]["order"]["unchanged"], 2);
    assert_eq!(second["records"]["order"]["new"], 0);
    let changed = bench.feed(&lines.replace("\"quantity\":\"5\"", "\"quantity\":\"6\"")).exits(0).json();
    assert_eq!(changed["records"]["order"]["changed"], 1);
}

#[test]
fn a_check_takes_nothing_in_and_needs_no_data_directory() {
    let bench = Bench::new("2023-03-20");
    let file = bench.file("feed.ndjson", &format!("{BASE}{}", sale()));
    let document = bench.json(&["feed", "check", &file]).exits(0).json();
    assert_eq!(document["records"]["order"]["new"], 1);
    assert!(!bench.path("data").exists());
}

#[test]
fn records_come_from_standard_input_and_from_tables() {
    let bench = Bench::new("2023-03-20");
    let ran = bench.piped(&["feed", "import", "-", "--format", "json"], BASE).exits(0);
    assert_eq!(ran.json()["records"]["customer"]["new"], 1);
    let file = bench.file("customers.csv", "id,name,currency\nc-1,One,USD\nc-2,Two,USD\n");
    let table = bench.json(&["feed", "import", &file, "--type", "customer"]).exits(0).json();
    assert_eq!(table["records"]["customer"]["new"], 2);
}

#[test]
fn two_sources_may_use_the_same_ids() {
    let bench = Bench::new("2023-03-20");
    let file = bench.file("feed.ndjson", BASE);
    bench.json(&["feed", "import", &file]).exits(0);
    let other = bench.json(&["feed", "import", &file, "--source", "second"]).exits(0).json();
    assert_eq!(other["records"]["customer"]["new"], 1);
}
