//! Orders and subscriptions that the source corrects before they are carried out.

use super::bench::{BASE, Bench, MAPPINGS, order, sale, upgrade};
use super::moves::{another_company, lines};
use serde_json::{Value, json};

/// The same of a second customer and subscription.
fn second(text: &str) -> String {
    let named = [("c-100", "c-200"), ("\"s-1\"", "\"s-2\""), ("SO-1", "SO-2"), ("Green Lane", "Blue Lake")];
    named.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// Two customers with a subscription each, on agreements 40 and 50, and what was ordered looked at.
fn looked_at(orders: &str) -> Bench {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    another_company(&bench);
    bench.feed(&format!("{BASE}{}{orders}", second(BASE))).exits(0);
    bench.map(&format!("{MAPPINGS}customer,c-200,13,,\nfee,cancellation,7,,\n")).exits(0);
    bench.json(&["check", "--since", "2023-03-01"]).exits(0);
    bench
}

fn of_second(text: &str) -> String {
    text.replace("\"s-1\"", "\"s-2\"")
}

fn codes(document: &Value) -> Vec<&str> {
    document["findings"].as_array().unwrap().iter().filter_map(|f| f["code"].as_str()).collect()
}

const FIVE: &str = "5.0 x 22.0 2023-03-01..-";

/// A correction is a new version: what the order says now counts, whose it is as well as what it brings.
#[test]
fn an_order_corrected_before_it_is_written_is_billed_to_whom_it_names_now() {
    let bench = looked_at(&sale());
    bench.json(&["plan", "--all"]).exits(0);
    bench.feed(&of_second(&sale())).exits(0);
    // Without a check nobody has looked whose it is now: nothing is written.
    let held = bench.json(&["apply", "--all"]).exits(1).json();
    assert_eq!((codes(&held), &held["changes"]), (vec!["TU8006"], &json!([])), "{held}");
    let told = held["findings"][0]["message"].as_str().unwrap();
    assert!(told.contains("subscription s-2 instead of s-1"), "{told}");
    let checked = bench.json(&["check"]).exits(0).json();
    assert_eq!(codes(&checked), Vec::<&str>::new(), "{checked}");
    bench.json(&["apply", "--all"]).exits(0);
    assert_eq!((lines(&bench, "40"), lines(&bench, "50")), (vec![], vec![FIVE.to_owned()]));
    let open = bench.json(&["finding", "list", "--state", "open"]).exits(0).json();
    assert_eq!(codes(&open), Vec::<&str>::new(), "{open}");
}

#[test]
fn a_cancellation_corrected_before_it_is_written_ends_what_it_names_now() {
    let bench = looked_at(&format!("{}{}", sale(), second(&sale())));
    bench.json(&["apply", "--all"]).exits(0);
    let end = order("CF-1", "cancellation", "2023-03-19", r#""charge":"cancellation","quantity":"1""#);
    bench.feed(&end).exits(0);
    bench.json(&["check"]).exits(0);
    bench.feed(&of_second(&end)).exits(0);
    bench.json(&["check"]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    assert_eq!(lines(&bench, "40"), [FIVE]);
    assert!(!lines(&bench, "50").contains(&FIVE.to_owned()), "{:?}", lines(&bench, "50"));
}

/// Two changes whose instants were corrected: they are carried out in the order in which they were completed.
#[test]
fn orders_run_in_the_sequence_that_their_corrections_give() {
    let bench = looked_at(&sale());
    bench.json(&["apply", "--all"]).exits(0);
    let change = |id: &str, day: &str, old: u32, new: u32| {
        let more = i64::from(new) - i64::from(old);
        let line = format!(
            r#""charge":"recurring","quantity":"{more}","old_quantity":"{old}","new_quantity":"{new}""#
        );
        order(id, "change", day, &line)
    };
    bench.feed(&format!("{}{}", change("K1", "2023-03-10", 5, 6), change("K2", "2023-03-12", 6, 8))).exits(0);
    bench.json(&["check"]).exits(0);
    bench.feed(&format!("{}{}", change("K1", "2023-03-14", 7, 8), change("K2", "2023-03-12", 5, 7))).exits(0);
    bench.json(&["check"]).exits(0);
    let run = bench.json(&["apply", "--all"]).exits(0).json();
    assert!(!codes(&run).contains(&"TU5001"), "{run}");
    let open: Vec<String> = lines(&bench, "40").into_iter().filter(|line| line.ends_with("..-")).collect();
    assert_eq!(open, ["8.0 x 22.0 2023-04-01..-"], "{run}");
}

/// The order names nobody: its subscription's record says whose it is, and it was corrected.
#[test]
fn a_subscription_corrected_before_its_sale_is_written_is_billed_to_whom_it_names_now() {
    let bench = looked_at(&sale());
    let record = BASE.lines().find(|line| line.contains("\"subscription\"")).unwrap();
    bench.feed(&record.replace("c-100", "c-200")).exits(0);
    bench.json(&["check"]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    assert_eq!((lines(&bench, "40"), lines(&bench, "50")), (vec![], vec![FIVE.to_owned()]));
}

/// Of an order that broke off half way lines are there: it is not carried on with under another name, and a person is told what
/// to do.
#[test]
fn an_order_that_is_written_in_part_is_held_to_what_it_was() {
    let bench = looked_at(&format!("{}{}", sale(), second(&sale())));
    bench.json(&["apply", "--all"]).exits(0);
    bench.feed(&upgrade()).exits(0);
    bench.json(&["check"]).exits(0);
    let refused = json!({
        "match": { "method": "POST", "path_contains": "additions" }, "nth": 2, "action": "status", "status": 400
    });
    bench.control("faults", &json!({ "schedule": [refused] }));
    bench.json(&["apply", "--all"]).exits(1);
    bench.control("faults", &json!({ "schedule": [] }));
    let before = (lines(&bench, "40"), lines(&bench, "50"));
    assert_eq!(before.0.len(), 2, "{before:?}");
    bench.feed(&of_second(&upgrade())).exits(0);
    for command in [&["check"][..], &["apply", "--all"]] {
        let held = bench.json(command).exits(1).json();
        assert!(codes(&held).contains(&"TU8006"), "{held}");
        assert_eq!((lines(&bench, "40"), lines(&bench, "50")), before, "{held}");
    }
    let list = bench.json(&["task", "list"]).exits(0).json();
    let task = list["tasks"].as_array().unwrap().iter().find(|t| t["order_id"] == "CH-1").unwrap().clone();
    let task = task["task_id"].as_str().unwrap();
    let undo = bench.json(&["undo", "--task", task]).exits(0).json();
    bench.json(&["apply", undo["plan_id"].as_str().unwrap()]).exits(0);
    bench.json(&["check"]).exits(0);
    bench.json(&["task", "unignore", task]).exits(0);
    bench.json(&["check"]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    assert_eq!(lines(&bench, "40"), [FIVE]);
    assert!(
        lines(&bench, "50").contains(&"8.0 x 22.0 2023-04-01..-".to_owned()),
        "{:?}",
        lines(&bench, "50")
    );
}
