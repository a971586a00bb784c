//! What a person sets of a plan's lines: written as set, kept with the task, taken back by name.

use super::bench::{BASE, Bench, MAPPINGS, order};
use serde_json::{Value, json};

const FIVE: &str = r#""charge":"recurring","quantity":"5""#;

fn ready() -> Bench {
    let bench = {
        let mut bench = Bench::new("2023-03-01");
        bench.connect("2023-03-01");
        bench
    };
    bench.feed(BASE).exits(0);
    bench.map(MAPPINGS).exits(0);
    bench.feed(&order("SO-1", "sales", "2023-03-01", FIVE)).exits(0);
    bench.json(&["check"]).exits(0);
    bench
}

/// The one task and its plan.
fn planned(bench: &Bench) -> (String, Value) {
    let tasks = bench.json(&["task", "list"]).exits(0).json();
    let task = tasks["tasks"][0]["task_id"].as_str().unwrap().to_owned();
    let plan = bench.json(&["plan", "--task", &task]).exits(0).json();
    (task, plan)
}

fn open(bench: &Bench) -> Vec<Value> {
    let state = bench.ask("state");
    let rows = state["resources"]["finance/agreements/{id}/additions"]["40"].as_array().cloned();
    rows.unwrap_or_default()
}

#[test]
fn a_line_is_written_as_a_person_set_it_and_stays_so() {
    let bench = ready();
    let (task, plan) = planned(&bench);
    let key = plan["changes"][0]["key"].as_str().unwrap();
    let edits = json!([{ "key": key, "quantity": "4", "unit_price": "19.50", "description": "=Seats" }]);
    let file = bench.file("edits.json", &edits.to_string());
    let set = bench.json(&["plan", "--task", &task, "--edits", &file]).exits(0).json();
    let change = &set["changes"][0];
    assert_eq!(change["amount"], "78.00");
    assert!(change["edited"]["by"].as_str().unwrap().starts_with("tester"), "{change}");
    assert_eq!(change["edited"]["proposal_key"], key);
    assert_eq!(change["edited"]["proposed"]["quantity"], "5");
    assert!(
        change["reason"].as_str().unwrap().contains(" set quantity 5 -> 4 and unit price 22.00 -> 19.50"),
        "{change}"
    );

    // What is planned later, and by somebody else, still holds it.
    let ran = bench.json(&["apply", "--all"]).exits(0).json();
    assert_eq!(ran["summary"]["applied"], 1, "{ran}");
    let lines = open(&bench);
    assert_eq!((&lines[0]["quantity"], &lines[0]["unitPrice"]), (&json!(4.0), &json!(19.5)));
    // A text that a spreadsheet would take for a formula is none any more.
    assert_eq!(lines[0]["description"], "'=Seats");
    bench.json(&["check"]).exits(0);
    let again = bench.json(&["apply", "--all"]).exits(0).json();
    assert_eq!(again["changes"], json!([]), "{again}");
    let shown = bench.json(&["task", "show", &task]).exits(0).json();
    assert!(shown.to_string().contains("\"quantity\":\"4\""), "{shown}");
    let addition = lines[0]["id"].to_string();
    let why = bench.json(&["audit", "explain", &addition]).exits(0).out;
    assert!(why.contains("set by tester"), "{why}");
}

#[test]
fn a_line_is_left_out_and_taken_in_again() {
    let bench = ready();
    let (task, plan) = planned(&bench);
    let key = plan["changes"][0]["key"].as_str().unwrap();
    let file = bench.file("edits.json", &json!([{ "key": key, "leave_out": true }]).to_string());
    let left = bench.json(&["plan", "--task", &task, "--edits", &file]).exits(0).json();
    assert_eq!(left["changes"], json!([]));
    assert_eq!(
        (&left["left_out"][0]["key"], &left["left_out"][0]["state"]),
        (&json!(key), &json!("left_out"))
    );
    assert_eq!(left["findings"][0]["code"], "TU6005");
    assert_eq!(left["findings"][0]["amount"]["amount"], "110.00");
}

#[test]
fn what_was_set_is_taken_back_by_name() {
    let bench = ready();
    let (task, plan) = planned(&bench);
    let key = plan["changes"][0]["key"].as_str().unwrap();
    let plan_with = |edits: Value| {
        let file = bench.file("edits.json", &edits.to_string());
        bench.json(&["plan", "--task", &task, "--edits", &file])
    };
    let set = plan_with(json!([{ "key": key, "quantity": "4" }])).exits(0).json();
    assert_eq!(set["changes"][0]["fields"]["quantity"]["to"], "4");
    let kept = bench.json(&["plan", "--task", &task]).exits(0).json();
    assert_eq!(kept["changes"][0]["fields"]["quantity"]["to"], "4");
    let back = plan_with(json!([{ "key": key, "as_proposed": true }])).exits(0).json();
    assert_eq!(back["changes"][0]["fields"]["quantity"]["to"], "5");
    assert!(back["changes"][0].get("edited").is_none());
    let shown = bench.json(&["task", "show", &task]).exits(0).json();
    assert!(!shown.to_string().contains("\"quantity\":\"4\""), "{shown}");
}

#[test]
fn edits_that_mean_nothing_are_refused_and_change_nothing() {
    let bench = ready();
    let (task, plan) = planned(&bench);
    let key = plan["changes"][0]["key"].as_str().unwrap();
    let cases = [
        (json!([{ "key": "tu0000000000000000000000000a", "quantity": "4" }]), "no line with the key"),
        (json!([{ "key": "c1", "quantity": "4" }]), "not the key of a change"),
        (json!([{ "key": key, "quantity": "many" }]), "is not a number"),
        (json!([{ "key": key, "quantitty": "4" }]), "unknown field"),
        (json!({ "key": key }), "no list of edits"),
    ];
    for (edits, said) in cases {
        let file = bench.file("edits.json", &edits.to_string());
        let ran = bench.json(&["plan", "--task", &task, "--edits", &file]).exits(2);
        assert!(ran.out.contains(said) || ran.err.contains(said), "{said}: {} {}", ran.out, ran.err);
    }
    bench.json(&["plan", "--task", &task, "--edits", "nowhere.json"]).exits(2);
    // What no plan could write is not kept: the other tasks of the organization would wait for it.
    let cases = [
        (json!({ "key": key, "cancelled": "2022-01-31" }), "2022-01-31 lies before the first one"),
        (json!({ "key": key, "quantity": "-3" }), "would give money back"),
    ];
    for (edit, said) in cases {
        let file = bench.file("edits.json", &json!([edit]).to_string());
        let ran = bench.json(&["plan", "--task", &task, "--edits", &file]).exits(2);
        assert!(ran.out.contains(said), "{said}: {}", ran.out);
    }
    let planned = bench.json(&["plan", "--all"]).exits(0).json();
    assert_eq!(planned["changes"][0]["fields"]["quantity"]["to"], "5", "{planned}");
    assert!(planned["changes"][0].get("edited").is_none(), "{planned}");
}
