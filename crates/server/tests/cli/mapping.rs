//! Mappings in bulk.

use super::bench::{BASE, Bench, MAPPINGS, sale, upgrade};
use serde_json::json;

#[test]
fn every_bad_row_is_refused_with_its_field_and_the_rest_is_saved() {
    let bench = Bench::new("2023-03-20");
    let rows = "customer,c-100,12,,\ncustomer,c-101,abc,,\nplanet,x,1,,\nproduct,p,7,,colour=red\n";
    let document = bench.map(rows).exits(1).json();
    assert_eq!(document["saved"], 1);
    let refused: Vec<(u64, &str)> = document["refused"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| (r["line"].as_u64().unwrap(), r["field"].as_str().unwrap()))
        .collect();
    assert_eq!(refused, [(3, "psa_id"), (4, "kind"), (5, "options")]);
    let list = bench.json(&["mapping", "list"]).exits(0).json();
    assert_eq!(list["mappings"].as_array().map(Vec::len), Some(1));
}

#[test]
fn an_export_is_what_an_import_takes() {
    let bench = Bench::new("2023-03-20");
    let rows =
        format!("{MAPPINGS}product,=cmd|' /C calc'!A0,7,,\nagreement,customer:c-100,40,,proration=41\n");
    bench.map(&rows).exits(0);
    let csv = bench.run(&["mapping", "export"]).exits(0).out;
    assert!(csv.contains("'=cmd"), "{csv}");
    let other = Bench::new("2023-03-20");
    let file = other.file("export.csv", &csv);
    other.json(&["mapping", "import", &file]).exits(0);
    assert_eq!(other.run(&["mapping", "export"]).exits(0).out, csv);
}

#[test]
fn a_mapping_is_released_once() {
    let bench = Bench::new("2023-03-20");
    bench.map(MAPPINGS).exits(0);
    bench.json(&["mapping", "release", "customer", "c-100"]).exits(0);
    bench.json(&["mapping", "release", "customer", "c-100"]).exits(2);
}

#[test]
fn equal_names_are_proposed() {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    bench.feed(BASE).exits(0);
    bench.json(&["mapping", "suggest"]).exits(2);
    bench.json(&["psa", "pull"]).exits(0);
    let found = bench.json(&["mapping", "suggest"]).exits(0).json();
    let found = found["suggestions"].as_array().unwrap();
    assert!(found.iter().any(|s| s["kind"] == "customer" && s["source_id"] == "c-100" && s["psa_id"] == 12));
    assert!(found.iter().any(|s| s["kind"] == "product" && s["source_id"] == "exo-p1" && s["psa_id"] == 7));
    let csv = bench.run(&["mapping", "suggest", "--csv"]).exits(0).out;
    let file = bench.file("proposals.csv", &csv);
    bench.json(&["mapping", "import", &file]).exits(0);
    let left = bench.json(&["mapping", "suggest"]).exits(0).json();
    assert_eq!(left["suggestions"].as_array().map(Vec::len), Some(0));
}

#[test]
fn a_released_mapping_stops_what_needs_it_and_forgets_no_line() {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    bench.feed(&format!("{BASE}{}", sale())).exits(0);
    bench.map(MAPPINGS).exits(0);
    bench.json(&["check"]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    bench.json(&["mapping", "release", "customer", "c-100"]).exits(0);
    let kept = bench.json(&["mapping", "list"]).exits(0).json();
    let agreement = kept["mappings"].as_array().unwrap().iter().find(|m| m["kind"] == "agreement").unwrap();
    assert_eq!((&agreement["source_id"], agreement["psa_id"].as_i64()), (&"s-1".into(), Some(40)));
    bench.feed(&upgrade()).exits(0);
    bench.json(&["check"]).exits(1);
    let stopped = bench.json(&["apply", "--all"]).exits(1).json();
    assert_eq!((&stopped["changes"], &stopped["findings"][0]["code"]), (&json!([]), &json!("TU2001")));
    let pulled = bench.json(&["psa", "pull"]).exits(0).json();
    assert_eq!((&pulled["additions"], &pulled["as_written"]), (&json!(1), &json!(1)), "nothing was touched");
    // With the mapping the change goes on with the line that trueup wrote.
    bench.map(MAPPINGS).exits(0);
    let changed = bench.json(&["apply", "--all"]).exits(0).json();
    let ends = changed["changes"].as_array().unwrap().iter().find(|c| c["op"] == "cancel").unwrap();
    assert_eq!((ends["addition_id"].as_i64(), ends["agreement_id"].as_i64()), (Some(1), Some(40)));
}
