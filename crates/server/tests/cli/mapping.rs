//! Mappings in bulk.

use super::bench::{BASE, Bench, MAPPINGS, order, sale, upgrade};
use rstest::rstest;
use serde_json::json;

/// With the line ends of Windows the lines are the same ones, with and without the mark of UTF-8.
#[rstest]
#[case("\n", "")]
#[case("\r\n", "")]
#[case("\r\n", "\u{feff}")]
fn every_bad_row_is_refused_with_its_field_and_the_rest_is_saved(#[case] end: &str, #[case] mark: &str) {
    let bench = Bench::new("2023-03-20");
    let rows = "kind,source_id,psa_id,scope,options\n\
                customer,c-100,12,,\ncustomer,c-101,abc,,\nplanet,x,1,,\nproduct,p,7,,colour=red\n";
    let file = bench.file("mappings.csv", &format!("{mark}{}", rows.replace('\n', end)));
    let document = bench.json(&["mapping", "import", &file]).exits(1).json();
    assert_eq!(document["saved"], 1);
    let refused: Vec<(u64, &str)> = document["refused"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| (r["line"].as_u64().unwrap(), r["field"].as_str().unwrap()))
        .collect();
    assert_eq!(refused, [(3, "psa_id"), (4, "kind"), (5, "options")]);
    // A row that says otherwise names the one before it; blank lines count.
    let twice = ["product,q,7,,", "", "product,q,8,,", ""].join(end);
    let refused = bench.map(&twice).exits(1).json()["refused"][0].clone();
    assert_eq!(refused["line"], 4, "{refused}");
    assert!(refused["reason"].as_str().is_some_and(|reason| reason.contains("line 2")), "{refused}");
    let list = bench.json(&["mapping", "list"]).exits(0).json();
    assert_eq!(list["mappings"].as_array().map(Vec::len), Some(2));
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

/// What a spreadsheet saves where the comma is in numbers, with and without the mark of UTF-8.
#[rstest]
#[case(";", "")]
#[case(";", "\u{feff}")]
#[case("\t", "")]
fn a_file_of_another_separator_is_taken(#[case] separator: &str, #[case] mark: &str) {
    let bench = Bench::new("2023-03-20");
    let rows = format!(
        "kind,source_id,psa_id,scope,options\n{MAPPINGS}agreement,customer:c-100,40,,\"proration=41\"\n"
    );
    let file = bench.file("mappings.csv", &format!("{mark}{}", rows.replace(',', separator)));
    let taken = bench.json(&["mapping", "import", &file]).exits(0).json();
    assert_eq!(taken["saved"], 3, "{taken}");
    let other = Bench::new("2023-03-20");
    other.map(rows.split_once('\n').unwrap().1).exits(0);
    let export = |bench: &Bench| bench.run(&["mapping", "export"]).exits(0).out;
    assert_eq!(export(&bench), export(&other));
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

/// A bench whose sale is carried out.
fn billed() -> Bench {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    bench.feed(&format!("{BASE}{}", sale())).exits(0);
    bench.map(MAPPINGS).exits(0);
    bench.json(&["psa", "pull"]).exits(0);
    bench.json(&["check"]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    bench
}

fn codes(bench: &Bench) -> Vec<String> {
    let found = bench.json(&["finding", "list"]).json();
    let open = found["findings"].as_array().unwrap().iter();
    let open = open.filter(|f| f["state"] == "open" || f["state"] == "recurred");
    open.map(|f| format!("{} {}", f["code"].as_str().unwrap(), f["message"].as_str().unwrap())).collect()
}

fn state(bench: &Bench) -> String {
    bench.json(&["task", "list"]).exits(0).json()["tasks"][0]["state"].as_str().unwrap().to_owned()
}

#[test]
fn do_not_bill_ends_and_the_days_it_held_for_stay_unbilled() {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    bench.feed(&format!("{BASE}{}", sale())).exits(0);
    let refused = bench.map("customer,c-100,12,,do_not_bill=pilot\n").exits(1).json();
    assert_eq!(refused["refused"][0]["field"], "psa_id", "without an end it contradicts itself: {refused}");
    let refused = bench.map("customer,c-100,12,,until=2023-03-31\n").exits(1).json();
    assert_eq!(refused["refused"][0]["field"], "options", "{refused}");
    bench.map("customer,c-100,12,,do_not_bill=pilot;until=2023-03-31\nproduct,exo-p1,7,,\n").exits(0);
    bench.json(&["check"]).exits(0);
    assert_eq!(state(&bench), "ignored");
    bench.on("2023-03-31");
    bench.json(&["check"]).exits(0);
    assert_eq!(state(&bench), "ignored", "the last day still holds");
    bench.on("2023-04-01");
    bench.json(&["check"]).exits(0);
    assert_eq!(state(&bench), "ready");
    let told = codes(&bench);
    assert!(told.iter().any(|t| t.starts_with("TU8006") && t.contains("ended on 2023-03-31")), "{told:?}");
    let plan = bench.json(&["plan", "--all"]).exits(0).json();
    let changes = plan["changes"].as_array().unwrap();
    assert_eq!(changes.len(), 1, "no part of March is caught up: {plan}");
    assert_eq!(changes[0]["fields"]["effectiveDate"]["to"], "2023-04-01", "{plan}");
    // Who maps it anew says nothing about the days that were not billed: they stay so.
    bench.map("customer,c-100,12,,\n").exits(0);
    let list = bench.run(&["mapping", "export"]).exits(0).out;
    assert!(list.contains("customer,c-100,12,,billed_from=2023-04-01"), "{list}");
    bench.json(&["apply", "--all"]).exits(0);
    assert_eq!(state(&bench), "done");
    bench.json(&["check"]).exits(0);
    assert!(!codes(&bench).iter().any(|t| t.starts_with("TU8006")), "{:?}", codes(&bench));
}

#[test]
fn a_product_that_is_not_billed_for_a_while_begins_after_it() {
    let mut bench = Bench::new("2023-04-02");
    bench.connect("2023-03-01");
    bench.feed(&format!("{BASE}{}", sale())).exits(0);
    // The customer's own mapping is over and names nothing: the general one counts again, from the day after.
    let rows =
        "customer,c-100,12,,\nproduct,exo-p1,7,,\nproduct,exo-p1,,c-100,do_not_bill=promo;until=2023-03-20\n";
    bench.map(rows).exits(0);
    bench.json(&["check", "--since", "2023-03-01"]);
    let plan = bench.json(&["plan", "--all"]).exits(0).json();
    let starts: Vec<&str> = plan["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["fields"]["effectiveDate"]["to"].as_str().unwrap())
        .collect();
    assert_eq!(starts.iter().min(), Some(&"2023-03-21"), "{plan}");
    assert_eq!(
        plan["totals"]["by_currency"]["USD"]["delta"], "39.05",
        "11 of 31 days of 5 x 22.00: 5 x 7.81"
    );
}

#[test]
fn mappings_that_break_a_rule_are_told_and_nothing_is_billed_on_them() {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    bench.feed(&format!("{BASE}{}", sale())).exits(0);
    // The import judges the form alone; its exit code says so.
    let done = bench.map(&format!("{MAPPINGS}customer,c-200,12,,\n")).exits(0).json();
    assert_eq!((&done["saved"], &done["conflicts"][0]["code"]), (&3.into(), &"TU2007".into()), "{done}");
    bench.json(&["check"]).exits(1);
    assert_eq!(state(&bench), "needs_mapping");
    assert!(codes(&bench).iter().any(|t| t.starts_with("TU2007")), "{:?}", codes(&bench));
    // Planning judges by itself: there is nothing that a run could write.
    let plan = bench.json(&["plan", "--all"]).exits(1).json();
    assert_eq!(plan["changes"].as_array().map(Vec::len), Some(0), "{plan}");
    bench.json(&["apply", "--all"]).exits(1);
    bench.json(&["setting", "set", "mapping.customer_company", "many"]).exits(0);
    bench.json(&["check"]).exits(0);
    assert_eq!(state(&bench), "ready");
    bench.json(&["setting", "reset", "mapping.customer_company"]).exits(0);
    bench.json(&["check"]).exits(1);
    bench.json(&["mapping", "release", "customer", "c-200"]).exits(0);
    assert_eq!(state(&bench), "ready");
    assert!(!codes(&bench).iter().any(|t| t.starts_with("TU2007")), "{:?}", codes(&bench));
    bench.json(&["apply", "--all"]).exits(0);
}

/// Two products of one catalog item on one agreement cannot be told apart, also where only an order names the second.
#[test]
fn a_product_that_an_order_brings_is_judged_like_one_of_the_subscription() {
    let bench = billed();
    let line = r#""charge":"recurring","quantity":"2","old_quantity":"0","new_quantity":"2""#;
    let more = order("CH-1", "change", "2023-03-15", line).replace("exo-p1", "exo-p2");
    bench.feed(&more).exits(0);
    bench.map("product,exo-p2,7,,\n").exits(0);
    bench.json(&["check"]).exits(1);
    assert!(
        codes(&bench).iter().any(|t| t.starts_with("TU2007") && t.contains("exo-p2")),
        "{:?}",
        codes(&bench)
    );
    let plan = bench.json(&["plan", "--all"]).exits(1).json();
    assert_eq!(plan["changes"].as_array().map(Vec::len), Some(0), "{plan}");
    // What a switch takes away makes room for what it brings.
    let gone = r#""charge":"recurring","quantity":"-5","old_quantity":"5","new_quantity":"0""#;
    let switch = order("CH-1", "change", "2023-03-15", gone).replace(
        "}]}",
        r#"},{"id":"2","product":"exo-p2","unit_price":"22.00","unit_cost":"17.60","charge":"recurring","quantity":"5","old_quantity":"0","new_quantity":"5"}]}"#,
    );
    let now = BASE.replace(r#""product":"exo-p1","#, r#""product":"exo-p2","#);
    bench.feed(&format!("{now}{switch}")).exits(0);
    bench.json(&["check"]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
}

/// A "do not bill" stops what is new: what bills already is said, until someone ends it or takes the word back.
#[test]
fn do_not_bill_of_what_is_billed_is_said() {
    for row in ["customer,c-100,,,do_not_bill=goodwill\n", "product,exo-p1,,,do_not_bill=goodwill\n"] {
        let bench = billed();
        bench.map(row).exits(0);
        let told = || {
            let found = bench.json(&["finding", "list"]).json();
            let open = found["findings"].as_array().unwrap().iter();
            let of = |f: &&serde_json::Value| f["code"] == "TU8006" && f["state"] != "resolved";
            open.filter(of)
                .map(|f| (f["severity"].clone(), f["amount"]["amount"].clone()))
                .collect::<Vec<_>>()
        };
        assert_eq!(told(), [(json!("warning"), json!("110.00"))], "{row}");
        bench.json(&["psa", "pull"]).exits(0);
        bench.json(&["check"]).exits(0);
        assert_eq!(told().len(), 1, "{row}");
        bench.map(MAPPINGS).exits(0);
        assert_eq!(told(), [], "{row}");
    }
}

#[test]
fn a_release_with_what_hangs_on_it_shows_it_first_and_touches_nothing_in_connectwise() {
    let bench = billed();
    let release = ["mapping", "release", "customer", "c-100", "--cascade"];
    let shown = bench.json(&release).exits(0).json();
    assert_eq!(shown["released"], false);
    assert_eq!(shown["mappings"].as_array().map(Vec::len), Some(3), "customer, agreement, product: {shown}");
    assert_eq!(shown["additions"].as_array().map(Vec::len), Some(1));
    assert_eq!(bench.json(&["mapping", "list"]).json()["mappings"].as_array().map(Vec::len), Some(3));
    let token = shown["token"].as_str().unwrap().to_owned();
    let with = |token: &str| {
        let more = ["--token", token, "--reason", "left"];
        bench.json(&release.iter().copied().chain(more).collect::<Vec<_>>())
    };
    with("made-up").exits(2);
    assert_eq!(with(&token).exits(0).json()["released"], true);
    assert_eq!(bench.json(&["mapping", "list"]).json()["mappings"].as_array().map(Vec::len), Some(0));
    let told = codes(&bench);
    assert!(
        told.iter().any(|t| t.starts_with("TU8006") && t.contains("has no mapping any more")),
        "{told:?}"
    );
    let pulled = bench.json(&["psa", "pull"]).exits(0).json();
    assert_eq!((&pulled["additions"], &pulled["changed_by_people"]), (&1.into(), &0.into()), "{pulled}");
    bench.map(MAPPINGS).exits(0);
    bench.json(&["check"]).exits(0);
    assert!(!codes(&bench).iter().any(|t| t.contains("has no mapping any more")), "{:?}", codes(&bench));
}

#[test]
fn a_rule_maps_what_agrees_one_to_one_and_never_what_a_person_released() {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    bench.feed(&format!("{BASE}{}", sale())).exits(0);
    bench.json(&["psa", "pull"]).exits(0);
    bench.json(&["check"]);
    assert_eq!(state(&bench), "needs_mapping", "off by itself");
    bench.json(&["setting", "set", "mapping.customers_by", "name"]).exits(0);
    bench.json(&["setting", "set", "mapping.products_by", "sku"]).exits(0);
    bench.json(&["check"]).exits(0);
    assert_eq!(state(&bench), "ready");
    let list = bench.json(&["mapping", "list"]).exits(0).json();
    let made: Vec<(&str, i64, &str)> = list["mappings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| (m["kind"].as_str().unwrap(), m["psa_id"].as_i64().unwrap(), m["origin"].as_str().unwrap()))
        .collect();
    assert_eq!(made, [("customer", 12, "automatic"), ("product", 7, "automatic")]);
    bench.json(&["mapping", "release", "customer", "c-100"]).exits(0);
    bench.json(&["check"]);
    assert_eq!(state(&bench), "needs_mapping", "a release is a person's word");
}

/// A quote that is never closed takes in the rest of the file: it is told in a line, and nothing is read without a limit.
#[test]
fn a_row_without_an_end_is_refused_in_a_line() {
    let bench = Bench::new("2023-03-20");
    let open = format!("customer,c-100,12,,\ncustomer,\"{}", "x,\n".repeat(1_000_000));
    let refused = bench.map(&open).exits(1).json();
    assert_eq!(refused["saved"], 1);
    let reason = refused["refused"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("64 KiB"), "{reason}");
    let long = format!("customer,c-100,{},,\n", "7".repeat(5_000));
    let refused = bench.map(&long).exits(1).json();
    let reason = refused["refused"][0]["reason"].as_str().unwrap();
    assert!(reason.len() < 500, "{reason}");
}
