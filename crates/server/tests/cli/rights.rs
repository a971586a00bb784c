//! Rights that are missing: named where a connection is tested, at the start of a run, and where a call is refused.

use super::bench::{BASE, Bench, MAPPINGS, sale};
use serde_json::{Value, json};

const ADD: &str = "Finance > Agreements > Add All";

/// A sale that is ready to be written.
fn ready() -> Bench {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    bench.feed(&format!("{BASE}{}", sale())).exits(0);
    bench.map(MAPPINGS).exits(0);
    bench.json(&["check"]).exits(0);
    bench
}

fn role(bench: &Bench, functions: &Value) {
    bench.control("roles", &json!({ "functions": functions }));
}

fn task(bench: &Bench) -> (String, String) {
    let tasks = bench.json(&["task", "list"]).exits(0).json();
    let text = |name: &str| tasks["tasks"][0][name].as_str().unwrap_or_default().to_owned();
    (text("state"), text("reason"))
}

fn open(bench: &Bench) -> Vec<String> {
    let list = bench.json(&["finding", "list", "--code", "TU1004"]).exits(0).json();
    list["findings"].as_array().unwrap().iter().map(|f| f["message"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_run_that_lacks_a_right_fails_its_tasks_with_the_list_and_sends_nothing() {
    let bench = ready();
    role(&bench, &json!({"Finance/Agreements": {"add": "None", "delete": "My"}}));
    let refused = bench.json(&["apply", "--all"]).exits(1).json();
    let message = refused["error"]["message"].as_str().unwrap();
    assert_eq!(refused["error"]["code"], "TU1004");
    assert!(message.contains(&format!("{ADD}; Finance > Agreements > Delete All")), "{message}");
    let (state, reason) = task(&bench);
    assert_eq!((state.as_str(), reason.starts_with("TU1004: ")), ("failed", true), "{reason}");
    assert!(reason.contains(ADD), "{reason}");
    assert_eq!(open(&bench).len(), 1);
    assert!(open(&bench)[0].contains(ADD));
    let journal = bench.ask("journal/summary");
    assert!(journal["calls"].get("POST finance/agreements/{id}/additions").is_none(), "{journal}");
    // `doctor` and the test of the connection name the same.
    let doctor = bench.json(&["doctor"]).exits(1);
    assert!(doctor.out.contains(ADD), "{doctor:?}");
    assert!(bench.run(&["connection", "test"]).exits(1).out.contains("Add All"));
    // With the rights the next run goes on by itself, and the finding is resolved.
    role(&bench, &json!({}));
    let done = bench.json(&["apply", "--all"]).exits(0).json();
    assert_eq!(done["summary"]["applied"], 1);
    assert_eq!(task(&bench), ("done".to_owned(), String::new()));
    assert_eq!(open(&bench), Vec::<String>::new());
    // Where nothing waits nobody is asked.
    role(&bench, &json!({"Finance/Agreements": {"add": "None"}}));
    bench.json(&["apply", "--all"]).exits(0);
}

#[test]
fn the_right_to_create_items_is_needed_where_items_are_created() {
    let bench = ready();
    role(&bench, &json!({"Procurement/Product Catalog": {"add": "None"}}));
    bench.json(&["--set", "create_missing_products=on", "apply", "--all"]).exits(1);
    bench.json(&["apply", "--all"]).exits(0);
}

#[test]
fn a_plan_that_meets_a_missing_right_names_it() {
    let bench = ready();
    let plan = bench.json(&["plan"]).exits(0).json();
    role(&bench, &json!({"Finance/Agreements": {"add": "None"}}));
    let applied = bench.json(&["apply", plan["plan_id"].as_str().unwrap()]).exits(1).json();
    assert_eq!(applied["changes"][0]["error"]["code"], "TU1004");
    let message = applied["changes"][0]["error"]["message"].as_str().unwrap();
    assert!(message.contains(ADD), "{message}");
    let words = applied["changes"][0]["error"]["their_words"].as_str().unwrap();
    assert!(words.contains("You do not have security permission"), "{words}");
    // A right that is missing for reading stops the whole command.
    role(&bench, &json!({"Companies/Company Maintenance": {"inquire": "None"}}));
    let plan = bench.json(&["plan"]).exits(3).json();
    let message = plan["error"]["message"].as_str().unwrap();
    assert!(message.contains("Companies > Company Maintenance > Inquire All"), "{message}");
}
