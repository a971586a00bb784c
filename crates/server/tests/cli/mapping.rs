//! Mappings in bulk.

use super::bench::{BASE, Bench, MAPPINGS};

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
