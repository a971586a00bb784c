//! A subscription that a person brings to another agreement, because its own was cancelled.

use super::bench::{BASE, Bench, MAPPINGS, order, sale, upgrade};
use serde_json::{Value, json};

/// Quantity, first and last day of the additions of an agreement.
pub(super) fn lines(bench: &Bench, agreement: &str) -> Vec<String> {
    let state = bench.ask("state");
    let rows = state["resources"]["finance/agreements/{id}/additions"][agreement].as_array().cloned();
    let day =
        |row: &Value, name: &str| row[name].as_str().map_or("-".to_owned(), |text| text[..10].to_owned());
    let shown = |a: &Value| {
        format!(
            "{} x {} {}..{}",
            a["quantity"],
            a["unitPrice"],
            day(a, "effectiveDate"),
            day(a, "cancelledDate")
        )
    };
    let mut all: Vec<String> = rows.unwrap_or_default().iter().map(shown).collect();
    all.sort();
    all
}

fn open(bench: &Bench, code: &str) -> Vec<Value> {
    let found = bench.json(&["finding", "list"]).json()["findings"].as_array().cloned().unwrap_or_default();
    let holds = |f: &Value| f["code"] == code && (f["state"] == "open" || f["state"] == "recurred");
    found.into_iter().filter(holds).collect()
}

/// Five seats sold on 1 March, whose agreement is cancelled on 31 March; another one begins on 1 April.
fn cancelled() -> Bench {
    let mut bench = Bench::new("2023-04-12");
    bench.connect("2023-03-01");
    bench.feed(&format!("{BASE}{}", sale())).exits(0);
    bench.map(MAPPINGS).exits(0);
    bench.json(&["check", "--since", "2023-03-01"]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    assert_eq!(lines(&bench, "40"), ["5.0 x 22.0 2023-03-01..-"]);
    let state = bench.ask("state");
    let old = state["resources"]["finance/agreements"].as_array().unwrap()[0].clone();
    let with = |changes: &[(&str, Value)]| {
        let mut row = old.clone();
        for (name, value) in changes {
            row[*name] = value.clone();
        }
        row
    };
    let first = json!("2023-04-01T00:00:00Z");
    let ended = with(&[
        ("cancelledFlag", json!(true)),
        ("dateCancelled", json!("2023-03-31T00:00:00Z")),
        ("nextInvoiceDate", first.clone()),
    ]);
    let next = with(&[
        ("id", json!(41)),
        ("name", json!("Cloud 2")),
        ("startDate", first.clone()),
        ("billStartDate", first.clone()),
        ("nextInvoiceDate", first),
    ]);
    bench.control("seed", &json!({ "resources": { "finance/agreements": [ended, next] } }));
    bench
}

#[test]
fn a_pull_says_what_a_cancelled_agreement_bills_no_more_and_exits_with_1() {
    let bench = cancelled();
    bench.json(&["psa", "pull"]).exits(1);
    let told = open(&bench, "TU8006");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["amount"]["amount"], "110.00", "{told:?}");
    let message = told[0]["message"].as_str().unwrap();
    assert!(message.contains("cancelled on 2023-03-31") && message.contains("110.00 USD"), "{message}");
    assert!(told[0]["fix"].as_str().unwrap().contains("agreement,s-1,ID"), "{told:?}");
    assert_eq!(open(&bench, "TU3003").len(), 1);
}

#[test]
fn a_row_brings_a_subscription_to_the_agreement_that_follows() {
    let bench = cancelled();
    let change = r#""charge":"recurring","quantity":"3","old_quantity":"5","new_quantity":"8""#;
    let order = order("CH-1", "change", "2023-04-12", change);
    let april = order
        .replace("2023-04-01\"},", "2023-05-01\"},")
        .replace("\"start\":\"2023-03-01", "\"start\":\"2023-04-01");
    bench.feed(&april).exits(0);
    bench.json(&["check"]);
    bench.json(&["apply", "--all"]).exits(1);
    bench.map("agreement,s-1,41,,\n").exits(0);
    bench.json(&["check"]).exits(0);
    let ran = bench.json(&["apply", "--all"]).exits(0).json();
    assert_eq!(ran["summary"]["failed"], 0, "{ran}");
    assert_eq!(
        lines(&bench, "41"),
        [
            "3.0 x 13.93 2023-04-12..2023-04-30",
            "5.0 x 22.0 2023-04-01..2023-04-30",
            "8.0 x 22.0 2023-05-01..-"
        ]
    );
    // Nothing was written to the agreement that is cancelled, and nothing more is to be said of it.
    assert_eq!(lines(&bench, "40"), ["5.0 x 22.0 2023-03-01..-"]);
    bench.json(&["psa", "pull"]).exits(0);
    assert_eq!(open(&bench, "TU8006"), Vec::<Value>::new());
    assert_eq!(bench.json(&["apply", "--all"]).exits(0).json()["changes"], json!([]));
}

#[test]
fn a_reconciliation_brings_a_subscription_there_without_an_order() {
    let bench = cancelled();
    bench.map("agreement,s-1,41,,\n").exits(0);
    let plan =
        bench.json(&["plan", "--reconcile", "2023-04-01..2023-05-01", "--customer", "c-100"]).exits(0).json();
    bench.json(&["apply", plan["plan_id"].as_str().unwrap()]).exits(0);
    assert_eq!(lines(&bench, "41"), ["5.0 x 22.0 2023-04-01..-"]);
    let again =
        bench.json(&["plan", "--reconcile", "2023-04-01..2023-05-01", "--customer", "c-100"]).exits(0).json();
    assert_eq!(again["totals"]["create"], 0, "{again}");
}

/// Another company (13) with a monthly agreement (50) of its own.
pub(super) fn another_company(bench: &Bench) {
    let state = bench.ask("state");
    let copy = |kind: &str, changes: &[(&str, Value)]| {
        let mut row = state["resources"][kind].as_array().unwrap()[0].clone();
        changes.iter().for_each(|(name, value)| row[*name] = value.clone());
        row
    };
    let company = copy(
        "company/companies",
        &[("id", json!(13)), ("identifier", json!("Other")), ("name", json!("Other"))],
    );
    let agreement = copy("finance/agreements", &[("id", json!(50)), ("company", json!({ "id": 13 }))]);
    let rows = json!({ "company/companies": [company], "finance/agreements": [agreement] });
    bench.control("seed", &json!({ "resources": rows }));
}

/// The record of a subscription that was transferred names the former customer still: the new one's agreement is right.
#[test]
fn a_transferred_subscription_stands_on_the_agreement_of_its_new_customer() {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    another_company(&bench);
    let both = r#"{"type":"customer","id":"c-200","name":"Blue Lake Inc"}"#.to_owned() + "\n";
    bench.feed(&format!("{BASE}{both}{}", sale())).exits(0);
    bench.map(&format!("{MAPPINGS}customer,c-200,13,,\n")).exits(0);
    bench.json(&["check", "--since", "2023-03-01"]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    let transfer = order("TR-1", "transfer", "2023-03-15", r#""charge":"recurring","quantity":"5""#)
        .replace(r#""subscription":"s-1""#, r#""subscription":"s-1","customer":"c-200""#);
    bench.feed(&transfer).exits(0);
    bench.json(&["check"]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    assert_eq!(lines(&bench, "50"), ["5.0 x 22.0 2023-04-01..-"]);
    bench.json(&["psa", "pull"]).exits(0);
    assert_eq!(open(&bench, "TU3003"), Vec::<Value>::new());
}

/// A change that was taken back so that a transfer which came after it could be carried out: taken in again it is the new
/// customer's.
#[test]
fn what_makes_way_for_a_late_transfer_is_the_new_customers_then() {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    another_company(&bench);
    let both = r#"{"type":"customer","id":"c-200","name":"Blue Lake Inc"}"#.to_owned() + "\n";
    bench.feed(&format!("{BASE}{both}{}{}", sale(), upgrade())).exits(0);
    bench.map(&format!("{MAPPINGS}customer,c-200,13,,\n")).exits(0);
    bench.json(&["check", "--since", "2023-03-01"]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    let transfer = order("TR-1", "transfer", "2023-03-01", r#""charge":"recurring","quantity":"5""#)
        .replace(r#""subscription":"s-1""#, r#""subscription":"s-1","customer":"c-200""#)
        .replace("T09:", "T10:");
    let now = BASE.replace(r#""customer":"c-100""#, r#""customer":"c-200""#);
    bench.feed(&format!("{now}{transfer}")).exits(0);
    bench.json(&["check"]);
    let held = bench.json(&["apply", "--all"]).exits(1).json().to_string();
    assert!(
        held.contains("Take order CH-1 back, and take it in again once this one is carried out."),
        "{held}"
    );
    let tasks = bench.json(&["task", "list"]).exits(0).json();
    let change = tasks["tasks"].as_array().unwrap().iter().find(|t| t["order_id"] == "CH-1").unwrap();
    let change = change["task_id"].as_str().unwrap();
    let undo = bench.json(&["undo", "--task", change]).exits(0).json();
    bench.json(&["apply", undo["plan_id"].as_str().unwrap()]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    assert_eq!(lines(&bench, "50"), ["5.0 x 22.0 2023-03-01..-"]);
    bench.json(&["task", "unignore", change]).exits(0);
    bench.json(&["check"]);
    let done = bench.json(&["apply", "--all"]).json();
    let open: Vec<String> = lines(&bench, "50").into_iter().filter(|line| line.ends_with("..-")).collect();
    assert_eq!(open, ["8.0 x 22.0 2023-04-01..-"], "{done}");
    let shown = bench.json(&["task", "show", change]).exits(0).json();
    assert_eq!(
        (&shown["task"]["customer_id"], &shown["task"]["state"]),
        (&json!("c-200"), &json!("done")),
        "{shown}"
    );
}

/// The record of a subscription names another customer, and no transfer moved it: the former one is billed on, which is told.
#[test]
fn a_record_that_moves_without_a_transfer_is_told() {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    another_company(&bench);
    let both = r#"{"type":"customer","id":"c-200","name":"Blue Lake Inc"}"#.to_owned() + "\n";
    bench.feed(&format!("{BASE}{both}{}", sale())).exits(0);
    bench.map(&format!("{MAPPINGS}customer,c-200,13,,\n")).exits(0);
    bench.json(&["check", "--since", "2023-03-01"]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    bench.feed(&BASE.replace(r#""customer":"c-100""#, r#""customer":"c-200""#)).exits(0);
    bench.json(&["psa", "pull"]).exits(1);
    assert_eq!(open(&bench, "TU3003").len(), 1);
}

/// A customer is mapped to the wrong company, and put right: after a plan that nobody carried out, and after one whose lines
/// were taken back. The agreement that trueup found at the wrong company binds nobody.
#[test]
fn a_wrong_company_is_put_right() {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    another_company(&bench);
    bench.feed(&format!("{BASE}{}", sale())).exits(0);
    let homes = |planned: &Value| -> Vec<Value> {
        planned["changes"].as_array().unwrap().iter().map(|c| c["agreement_id"].clone()).collect()
    };
    let (wrong, right) = ("customer,c-100,13,,\nproduct,exo-p1,7,,\n", "customer,c-100,12,,\n");

    bench.map(wrong).exits(0);
    bench.json(&["check", "--since", "2023-03-01"]).exits(0);
    let planned = bench.json(&["plan", "--all"]).exits(0).json();
    assert_eq!(homes(&planned), [50], "{planned}");
    bench.map(right).exits(0);
    let planned = bench.json(&["plan", "--all"]).exits(0).json();
    assert_eq!(homes(&planned), [40], "{planned}");

    bench.map(wrong).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    assert_eq!(lines(&bench, "50"), ["5.0 x 22.0 2023-03-01..-"]);
    let listed = bench.json(&["task", "list"]).json();
    let task = listed["tasks"][0]["task_id"].as_str().unwrap();
    let undo = bench.json(&["undo", "--task", task]).exits(0).json();
    bench.json(&["apply", undo["plan_id"].as_str().unwrap()]).exits(0);
    bench.map(right).exits(0);
    bench.json(&["task", "unignore", task]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    assert_eq!(
        (lines(&bench, "50").len(), lines(&bench, "40")),
        (0, vec!["5.0 x 22.0 2023-03-01..-".to_owned()])
    );
    assert!(open(&bench, "TU3003").is_empty());
}
