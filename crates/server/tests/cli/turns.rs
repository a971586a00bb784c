//! Orders of one subscription in batches and instants that say nothing about what came first.

use super::bench::{BASE, Bench, MAPPINGS, order};
use rstest::rstest;
use serde_json::{Value, json};

const FIVE: &str = r#""charge":"recurring","quantity":"5""#;

fn change(id: &str, completed: &str, old: i64, new: i64) -> String {
    let line = format!(
        r#""charge":"recurring","quantity":"{}","old_quantity":"{old}","new_quantity":"{new}""#,
        new - old
    );
    order(id, "change", completed, &line)
}

fn without_lines(id: &str, kind: &str, completed: &str) -> String {
    let text = order(id, kind, completed, FIVE);
    let (head, _) = text.split_once("\"lines\"").unwrap();
    format!("{head}\"lines\":[]}}\n")
}

fn bench(today: &str) -> Bench {
    let mut bench = Bench::new(today);
    bench.connect("2023-03-01");
    bench.feed(BASE).exits(0);
    bench.map(MAPPINGS).exits(0);
    bench
}

/// Quantities of the open additions.
fn open(bench: &Bench) -> Vec<Value> {
    let state = bench.ask("state");
    let rows = state["resources"]["finance/agreements/{id}/additions"]["40"].as_array().cloned();
    let open = rows.unwrap_or_default().into_iter().filter(|a| a["cancelledDate"].is_null());
    open.map(|a| a["quantity"].clone()).collect()
}

fn codes(ran: &Value) -> Vec<(String, String)> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let found = ran["findings"].as_array().cloned().unwrap_or_default();
    found.iter().map(|f| (text(&f["code"]), text(&f["severity"]))).collect()
}

/// The order of the ids, and that of the file, say nothing.
#[rstest]
#[case::change_before_its_sale(
    order("SO-1", "sales", "2023-03-01", FIVE), change("CH-1", "2023-03-01", 5, 8), json!([8.0]))]
#[case::cancellation_before_its_sale(
    order("SO-1", "sales", "2023-03-01", FIVE), without_lines("CA-1", "cancellation", "2023-03-01"), json!([]))]
#[case::renewal_before_its_sale(
    order("B", "sales", "2023-03-01", FIVE),
    order("A", "renewal", "2023-03-01", r#""charge":"recurring","quantity":"6""#), json!([6.0]))]
#[case::numbers_in_ids(
    order("9", "sales", "2023-03-01", FIVE), change("10", "2023-03-01", 5, 8), json!([8.0]))]
fn orders_of_one_instant(#[case] first: String, #[case] second: String, #[case] left: Value) {
    for feed in [format!("{first}{second}"), format!("{second}{first}")] {
        let bench = bench("2023-03-01");
        bench.feed(&feed).exits(0);
        bench.json(&["check"]).exits(0);
        bench.json(&["apply", "--all"]).exits(0);
        assert_eq!(json!(open(&bench)), left, "{feed}");
        let again = bench.json(&["apply", "--all"]).exits(0).json();
        assert_eq!(again["changes"], json!([]), "{again}");
    }
}

/// Changes of one instant follow on each other by their quantities, whatever their ids are.
#[rstest]
#[case("X10", "X9")]
#[case("X9", "X10")]
#[case("b", "a")]
fn changes_of_one_instant(#[case] first: &str, #[case] second: &str) {
    let bench = bench("2023-03-01");
    bench.feed(&order("SO-1", "sales", "2023-03-01", FIVE)).exits(0);
    bench.feed(&change(second, "2023-03-01", 8, 6)).exits(0);
    bench.feed(&change(first, "2023-03-01", 5, 8)).exits(0);
    bench.json(&["check"]).exits(0);
    let ran = bench.json(&["apply", "--all"]).exits(0).json();
    assert_eq!(codes(&ran), [], "{ran}");
    assert_eq!(json!(open(&bench)), json!([6.0]));
}

/// The sale comes in a batch after its cancellation was carried out.
#[rstest]
#[case::later("2023-03-03")]
#[case::of_the_same_instant("2023-03-01")]
fn a_cancellation_that_came_before_its_sale_is_looked_at_again(#[case] cancelled: &str) {
    let mut bench = bench("2023-03-05");
    bench.feed(&without_lines("CA-1", "cancellation", cancelled)).exits(0);
    bench.json(&["check"]).exits(0);
    let ran = bench.json(&["apply", "--all"]).json();
    assert_eq!(codes(&ran), [("TU8006".to_owned(), "warning".to_owned())], "{ran}");
    bench.on("2023-03-06");
    bench.feed(&order("SO-1", "sales", "2023-03-01", FIVE)).exits(0);
    bench.json(&["check"]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    assert_eq!(json!(open(&bench)), json!([]));
    let tasks = bench.json(&["task", "list"]).exits(0).json();
    let states: Vec<&Value> = tasks["tasks"].as_array().unwrap().iter().map(|t| &t["state"]).collect();
    assert_eq!(states, ["done", "done"], "{tasks}");
}

/// A second sale of what is billed already waits for a person, who may say that it is meant.
#[test]
fn what_is_sold_twice_waits() {
    let bench = bench("2023-03-01");
    bench.feed(&order("SO-1", "sales", "2023-03-01", FIVE)).exits(0);
    bench.json(&["check"]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    bench.feed(&order("SO-2", "sales", "2023-03-01", FIVE)).exits(0);
    bench.json(&["check"]).exits(0);
    let ran = bench.json(&["apply", "--all"]).exits(1).json();
    assert_eq!(codes(&ran), [("TU5001".to_owned(), "error".to_owned())], "{ran}");
    assert_eq!(json!(open(&bench)), json!([5.0]));
    bench.json(&["apply", "--all", "--no-adopt"]).exits(0);
    assert_eq!(json!(open(&bench)), json!([5.0, 5.0]));
}

/// An order that names nothing to bill is no order that was carried out.
#[rstest]
#[case("sales")]
#[case("change")]
#[case("transfer")]
fn an_order_without_lines_is_an_error(#[case] kind: &str) {
    let bench = bench("2023-03-01");
    bench.feed(&without_lines("O-1", kind, "2023-03-01")).exits(0);
    bench.json(&["check"]).exits(0);
    let ran = bench.json(&["apply", "--all"]).exits(1).json();
    assert_eq!(codes(&ran), [("TU8004".to_owned(), "error".to_owned())], "{ran}");
    let tasks = bench.json(&["task", "list"]).exits(0).json();
    assert_eq!(tasks["tasks"][0]["state"], "failed", "{tasks}");
}
