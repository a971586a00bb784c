//! Plans that were begun and killed, of which one agreement cannot be read any more.

use super::bench::{BASE, Bench, MAPPINGS, sale};
use super::doubt::killed_at;
use super::moves::another_company;
use serde_json::{Value, json};
use std::time::Duration;

/// Names of a second customer, on agreement 50 of another company.
fn theirs(text: &str) -> String {
    let named = [("c-100", "c-200"), ("\"s-1\"", "\"s-2\""), ("SO-1", "SO-2"), ("Green Lane", "Blue Lake")];
    named.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// Sales of two customers on agreements 40 and 50; the run over both is killed at `place`.
fn killed(place: &str) -> Bench {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    another_company(&bench);
    bench.env("TRUEUP_APPLY_SETTLE_SECONDS", "1");
    bench.feed(&format!("{BASE}{}{}{}", sale(), theirs(BASE), theirs(&sale()))).exits(0);
    bench.map(&format!("{MAPPINGS}customer,c-200,13,,\n")).exits(0);
    bench.json(&["check", "--since", "2023-03-01"]).exits(0);
    killed_at(&bench, &["apply", "--all"], place);
    bench
}

/// A new order of the second customer, and runs until nothing moves any more.
fn goes_on(bench: &Bench) -> Value {
    let subscription = BASE.lines().find(|line| line.contains("\"subscription\"")).unwrap();
    let third =
        theirs(&format!("{subscription}\n{}", sale())).replace("SO-2", "SO-3").replace("\"s-2\"", "\"s-3\"");
    bench.feed(&third).exits(0);
    bench.json(&["check", "--since", "2023-03-01"]);
    let mut last = json!(null);
    for _ in 0..4 {
        last = bench.json(&["apply", "--all"]).exits(1).json();
        std::thread::sleep(Duration::from_millis(1_100));
    }
    last
}

fn lines_of(bench: &Bench, agreement: &str) -> usize {
    let state = bench.ask("state");
    state["resources"]["finance/agreements/{id}/additions"][agreement].as_array().map_or(0, Vec::len)
}

fn tasks(bench: &Bench, state: &str) -> Vec<String> {
    let tasks = bench.json(&["task", "list", "--state", state]).exits(0).json();
    let mut ids: Vec<String> = tasks["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["order_id"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    ids
}

#[test]
fn an_agreement_that_was_deleted_after_a_kill_keeps_no_other_customer_waiting() {
    for place in ["0:send", "0:intent"] {
        let bench = killed(place);
        bench.by_hand("DELETE", "finance/agreements/40", &json!(null));
        let last = goes_on(&bench);
        assert_eq!(lines_of(&bench, "50"), 2, "{place}: {last}");
        assert_eq!(tasks(&bench, "done"), ["SO-2", "SO-3"], "{place}: {last}");
        // What was sent is gone with the agreement: nothing of it is in doubt, and a person is told.
        assert!(
            tasks(&bench, "in_doubt").is_empty() && tasks(&bench, "applying").is_empty(),
            "{place}: {last}"
        );
        let told = bench.json(&["finding", "list", "--state", "open"]).exits(0).json();
        assert!(!told["findings"].as_array().unwrap().is_empty(), "{place}: {told}");
    }
}

#[test]
fn an_agreement_that_cannot_be_understood_after_a_kill_keeps_no_other_customer_waiting() {
    for place in ["0:send", "0:intent", "0:commit"] {
        let bench = killed(place);
        let seed = |lines: Value| {
            let rows = json!({ "resources": { "finance/agreements/{id}/additions": { "40": lines } } });
            bench.control("seed", &rows);
        };
        let broken = json!(7_922_816_251_426_433_759_354_u128 as f64);
        seed(
            json!([{ "id": 900, "product": { "id": 7 }, "quantity": broken, "unitPrice": 1.0, "unitCost": 1.0,
            "effectiveDate": "2023-03-01T00:00:00Z", "billCustomer": "Billable" }]),
        );
        let last = goes_on(&bench);
        assert_eq!(lines_of(&bench, "50"), 2, "{place}: {last}");
        assert_eq!(tasks(&bench, "done"), ["SO-2", "SO-3"], "{place}: {last}");
        let told = bench.json(&["finding", "list", "--code", "TU1007", "--state", "open"]).exits(0).json();
        assert!(!told["findings"].as_array().unwrap().is_empty(), "{place}: {told}");
        // Once it can be read again it is billed, and once.
        bench.by_hand("DELETE", "finance/agreements/40/additions/900", &json!(null));
        for _ in 0..4 {
            if bench.json(&["apply", "--all"]).exit == 0 {
                break;
            }
            std::thread::sleep(Duration::from_millis(1_100));
        }
        assert_eq!(tasks(&bench, "done"), ["SO-1", "SO-2", "SO-3"], "{place}");
        assert_eq!(lines_of(&bench, "40"), 1, "{place}");
    }
}

/// Two customers, nothing applied yet.
fn ready() -> Bench {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    another_company(&bench);
    bench.feed(&format!("{BASE}{}{}{}", sale(), theirs(BASE), theirs(&sale()))).exits(0);
    bench.map(&format!("{MAPPINGS}customer,c-200,13,,\n")).exits(0);
    bench.json(&["check", "--since", "2023-03-01"]).exits(0);
    bench
}

/// Lists of agreements answer one of them with a field of something else; `how` says which of the lists.
fn broken(bench: &Bench, id: i64, (field, value): (&str, &str), (query, times): (&str, u64)) {
    let state = bench.ask("state");
    let mut rows = state["resources"]["finance/agreements"].as_array().unwrap().clone();
    rows.sort_by_key(|row| row["id"].as_i64());
    rows.iter_mut().find(|row| row["id"] == id).unwrap()[field] = json!(value);
    let only = json!({ "method": "GET", "path_contains": "finance/agreements", "query_contains": query });
    let body = json!(rows).to_string();
    let fault = json!({ "match": only, "action": "status", "status": 200, "body": body, "times": times });
    bench.control("faults", &json!({ "schedule": [fault] }));
}

/// The lists that a plan and its run ask for: those of companies.
const OF_COMPANIES: (&str, u64) = ("company", 1_000);

/// A field that nobody uses stops nobody, whatever stands in it.
#[test]
fn a_field_that_is_not_used_may_hold_anything() {
    let bench = ready();
    broken(&bench, 50, ("billAmount", "n/a"), ("", 1));
    bench.json(&["psa", "pull"]).exits(0);
    broken(&bench, 50, ("billAmount", "n/a"), OF_COMPANIES);
    let ran = bench.json(&["apply", "--all"]).exits(0).json();
    assert_eq!(ran["summary"]["applied"], 2, "{ran}");
}

/// The record of one agreement is not understood: its own company waits, and is told; all others are billed.
#[test]
fn a_record_that_is_not_understood_keeps_no_other_customer_waiting() {
    let bench = ready();
    broken(&bench, 50, ("prorateFlag", "perhaps"), ("", 1));
    let pulled = bench.json(&["psa", "pull"]).exits(1).json();
    assert_eq!(pulled["agreements_unread"], 1, "{pulled}");
    broken(&bench, 50, ("prorateFlag", "perhaps"), OF_COMPANIES);
    let ran = bench.json(&["apply", "--all"]).exits(1).json();
    assert_eq!(ran["summary"]["applied"], 1, "{ran}");
    assert_eq!((tasks(&bench, "done"), tasks(&bench, "failed")), (vec!["SO-1".into()], vec!["SO-2".into()]));
    let told = bench.json(&["finding", "list", "--code", "TU1007", "--state", "open"]).exits(0).json();
    let about = |f: &Value| {
        f["subject"]["agreement"] == 50 && f["message"].as_str().is_some_and(|m| m.contains("50"))
    };
    let told = told["findings"].as_array().unwrap();
    assert!(told.len() == 2 && told.iter().all(about), "{told:?}");
    bench.control("faults", &json!({ "schedule": [] }));
    bench.json(&["psa", "pull"]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    assert_eq!(tasks(&bench, "done"), ["SO-1", "SO-2"]);
    assert_eq!(lines_of(&bench, "50"), 1);
}

/// The same after a kill: what was begun goes on without the agreement.
#[test]
fn a_record_that_is_not_understood_after_a_kill_keeps_no_other_customer_waiting() {
    for place in ["0:send", "0:intent"] {
        let bench = killed(place);
        broken(&bench, 40, ("prorateFlag", "perhaps"), OF_COMPANIES);
        let last = goes_on(&bench);
        assert_eq!(tasks(&bench, "done"), ["SO-2", "SO-3"], "{place}: {last}");
        bench.control("faults", &json!({ "schedule": [] }));
        for _ in 0..4 {
            if bench.json(&["apply", "--all"]).exit == 0 {
                break;
            }
            std::thread::sleep(Duration::from_millis(1_100));
        }
        assert_eq!(tasks(&bench, "done"), ["SO-1", "SO-2", "SO-3"], "{place}");
        assert_eq!((lines_of(&bench, "40"), lines_of(&bench, "50")), (1, 2), "{place}");
    }
}
