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

/// Two organizations, or two sources, on one item of one agreement: their lines would be taken for each other's, so the
/// second waits until somebody says that both are meant.
#[test]
fn what_somebody_else_bills_as_the_same_item_waits() {
    let bench = bench("2023-03-01");
    bench.feed(&order("SO-1", "sales", "2023-03-01", FIVE)).exits(0);
    bench.json(&["check"]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    bench.json(&["org", "add", "part", "--parent", "default"]).exits(0);
    let feed = bench.file("all.ndjson", &format!("{BASE}{}", order("SO-1", "sales", "2023-03-01", FIVE)));
    let rows = bench.file("m.csv", &format!("kind,source_id,psa_id,scope,options\n{MAPPINGS}"));
    for others in [&["--org", "part"][..], &["--source", "second"]] {
        let with = |args: &[&str]| -> Vec<String> {
            args.iter().chain(others).map(|arg| (*arg).to_owned()).collect()
        };
        let run = |args: &[&str]| {
            let all = with(args);
            bench.json(&all.iter().map(String::as_str).collect::<Vec<_>>())
        };
        run(&["feed", "import", &feed]).exits(0);
        run(&["mapping", "import", &rows]);
        let own = |args: &[&'static str]| match others[0] {
            "--org" => run(args),
            _ => bench.json(args),
        };
        own(&["check"]);
        let ran = own(&["apply", "--all"]).exits(1).json();
        assert!(codes(&ran).contains(&("TU2007".to_owned(), "error".to_owned())), "{ran}");
        assert_eq!(json!(open(&bench)), json!([5.0]), "{others:?}");
    }
    bench.json(&["setting", "set", "mapping.product_item", "many"]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    assert_eq!(json!(open(&bench)), json!([5.0, 5.0]));
}

/// A price that ConnectWise keeps in fewer places bills something else every month: that is an error with its money, and
/// what was left to ConnectWise is none. The next change takes it for no other price.
#[test]
fn a_price_that_is_kept_otherwise_says_what_it_bills() {
    let mut bench = bench("2023-03-01");
    bench.control("rules", &json!({"price_decimals": 2}));
    let of = |order: String| {
        order.replace("\"unit_price\":\"22.00\"", "\"unit_price\":\"0.125\"").replace("17.60", "0")
    };
    let sold = order("SO-1", "sales", "2023-03-01", r#""charge":"recurring","quantity":"100""#);
    bench.feed(&of(sold)).exits(0);
    bench.json(&["check"]).exits(0);
    let ran = bench.json(&["apply", "--all"]).exits(1).json();
    let found = ran["findings"].as_array().unwrap().iter().find(|f| f["code"] == "TU7005").unwrap();
    assert_eq!((&found["severity"], &found["amount"]["amount"]), (&json!("error"), &json!("0.50")), "{ran}");
    let message = found["message"].as_str().unwrap();
    assert!(message.contains("13.00 USD instead of 12.50") && !message.contains("Description"), "{message}");
    bench.on("2023-03-12");
    bench.feed(&of(change("CH-1", "2023-03-12", 100, 150))).exits(0);
    bench.json(&["check"]).exits(0);
    let ran = bench.json(&["plan", "--all"]).exits(0).json();
    let part = ran["changes"].as_array().unwrap().iter().find(|c| c["role"] == "prorate").unwrap();
    // 50 x 0.125 x 20/31
    assert_eq!(part["amount"], "4.03", "{ran}");
}

/// What is included and costs nothing is mapped to nothing: what is paid does not wait for it.
#[test]
fn what_costs_nothing_needs_no_mapping() {
    let bench = bench("2023-03-01");
    let line = r#"{"id":"2","charge":"recurring","product":"incl","quantity":"10","unit_price":"0","unit_cost":"0"}]}"#;
    let sold = order("SO-1", "sales", "2023-03-01", FIVE);
    bench.feed(&sold.replace("}]}", &format!("}},{line}"))).exits(0);
    bench.json(&["check"]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    assert_eq!(json!(open(&bench)), json!([5.0]));
}

/// A renewal that was carried out since has taken the cancellation back: what is added then has no end.
#[test]
fn what_is_added_after_a_renewal_does_not_end_with_the_cancellation_before_it() {
    for renewed in [false, true] {
        let mut bench = bench("2023-03-01");
        bench.json(&["setting", "set", "mapping.product_item", "many"]).exits(0);
        bench.map(&format!("{MAPPINGS}product,more,7,,\n")).exits(0);
        let of =
            |period: &str, text: String| text.replace(r#""start":"2023-03-01","end":"2023-04-01""#, period);
        let end = without_lines("CA-1", "cancellation", "2023-03-02")
            .replace(r#""completed_at""#, r#""effective":"2023-04-30","completed_at""#);
        let end = of(r#""start":"2023-04-01","end":"2023-05-01""#, end);
        let again = order("RE-1", "renewal", "2023-03-03", FIVE);
        let again = of(r#""start":"2023-05-01","end":"2023-06-01""#, again);
        let more = r#""charge":"recurring","quantity":"2","old_quantity":"0","new_quantity":"2""#;
        let added = order("CH-1", "change", "2023-03-04", more).replace("exo-p1", "more");
        let orders = [
            Some(order("SO-1", "sales", "2023-03-01", FIVE)),
            Some(end),
            renewed.then_some(again),
            Some(added),
        ];
        let mut last = Value::Null;
        for (day, text) in orders.into_iter().enumerate() {
            let Some(text) = text else { continue };
            bench.on(&format!("2023-03-0{}", day + 1));
            bench.feed(&text).exits(0);
            bench.json(&["check"]);
            last = bench.json(&["apply", "--all", "--approve"]).json();
        }
        assert!(last["summary"]["applied"].as_u64() > Some(0), "{last}");
        let lines = open(&bench);
        assert_eq!(lines.contains(&json!(2.0)), renewed, "{lines:?} {last}");
    }
}

/// Edits of one addition in one run are remembered like those of several runs: a price that comes late is billed up to the
/// first of them.
#[test]
fn edits_of_one_run_are_all_remembered() {
    let in_april = |text: String| {
        text.replace("\"end\":\"2023-04-01", "\"end\":\"2023-05-01")
            .replace("\"start\":\"2023-03-01", "\"start\":\"2023-04-01")
            .replace("22.00", "13.00")
    };
    let sale = order("SO-1", "sales", "2023-03-01", FIVE);
    let renewal = in_april(order("R-1", "renewal", "2023-04-01", r#""charge":"recurring","quantity":"4""#));
    let fewer = in_april(change("CH-2", "2023-04-07", 4, 3));
    let dearer = change("CH-1", "2023-03-09", 5, 5).replace("22.00", "25.00");
    let dearer = dearer.replace("\"charge\"", "\"old_unit_price\":\"22.00\",\"charge\"");
    let lines = |at_once: bool| {
        let mut bench = bench("2023-05-10");
        bench.json(&["setting", "set", "quantity_change", "edit_in_place"]).exits(0);
        bench.json(&["setting", "set", "credits", "on"]).exits(0);
        for _ in 0..3 {
            bench.by_hand("POST", "finance/agreements/40/invoice", &json!({}));
        }
        bench.on("2023-05-10");
        let orders = [sale.clone(), renewal.clone(), fewer.clone()];
        let imports = if at_once { vec![orders.concat()] } else { orders.to_vec() };
        for feed in imports.into_iter().chain([dearer.clone()]) {
            bench.feed(&feed).exits(0);
            bench.json(&["check", "--since", "2023-03-01"]).exits(0);
            bench.json(&["apply", "--all", "--approve"]).exits(0);
        }
        let state = bench.ask("state");
        let rows = state["resources"]["finance/agreements/{id}/additions"]["40"].as_array().cloned();
        let shown =
            |a: &Value| format!("{} x {} ({})", a["quantity"], a["unitPrice"], a["invoiceDescription"]);
        rows.unwrap_or_default().iter().map(shown).collect::<Vec<_>>()
    };
    let apart = lines(false);
    assert!(apart.last().is_some_and(|late| late.contains("2023-03-09 to 2023-03-31")), "{apart:#?}");
    assert_eq!(lines(true), apart);
}
