//! Approval at the command line: one person, whoever works there.

use super::bench::{BASE, Bench, MAPPINGS, sale};
use serde_json::{Value, json};

fn ready() -> Bench {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    bench.feed(&format!("{BASE}{}", sale())).exits(0);
    bench.map(MAPPINGS).exits(0);
    bench.json(&["check"]).exits(0);
    bench
}

fn waiting(bench: &Bench) -> Vec<Value> {
    bench.json(&["approval", "list"]).exits(0).json()["approvals"].as_array().unwrap().clone()
}

#[test]
fn a_plan_that_is_applied_by_its_id_is_approved_by_who_does_so_and_no_flag_stands_for_that() {
    let bench = ready();
    bench.json(&["setting", "set", "approval.persons", "1"]).exits(0);
    for flags in [&["apply", "--all"][..], &["apply", "--all", "--approve"]] {
        let held = bench.json(flags).exits(1).json();
        assert_eq!(held["summary"]["applied"], 0, "{held}");
        assert_eq!(held["findings"][0]["code"], "TU7007", "{held}");
    }
    let list = waiting(&bench);
    assert_eq!((list.len(), &list[0]["missing"]), (1, &json!(1)), "{list:?}");
    let plan = list[0]["plan_id"].as_str().unwrap();
    let done = bench.json(&["apply", plan]).exits(0).json();
    assert_eq!(done["summary"]["applied"], 1, "{done}");
    assert!(waiting(&bench).is_empty());
    let findings = bench.json(&["finding", "list", "--code", "TU7007"]).exits(0).json();
    assert_eq!(findings["findings"], json!([]));
    let all = bench.json(&["approval", "list", "--all"]).exits(0).json();
    assert_eq!(all["approvals"][0]["state"], "applied");
    assert_eq!(bench.json(&["apply", "--all"]).exits(0).json()["summary"]["applied"], 0);
}

#[test]
fn the_command_line_is_one_person_and_a_refusal_holds() {
    let bench = ready();
    bench.json(&["setting", "set", "approval.persons", "2"]).exits(0);
    bench.json(&["apply", "--all"]).exits(1);
    let list = waiting(&bench);
    let (id, plan) = (list[0]["approval_id"].as_str().unwrap(), list[0]["plan_id"].as_str().unwrap());
    let held = bench.json(&["apply", plan]).exits(1).json();
    assert_eq!(held["summary"]["applied"], 0, "{held}");
    assert_eq!(waiting(&bench)[0]["missing"], 1);
    bench.json(&["approval", "approve", id]).exits(2);
    bench.json(&["approval", "refuse", id, "--reason", " "]).exits(2);
    let refused = bench.json(&["approval", "refuse", id, "--reason", "too early"]).exits(0).json();
    assert_eq!((&refused["state"], &refused["missing"]), (&json!("refused"), &json!(2)), "{refused}");
    // Where nobody has to approve, a no still holds, until the one who said it applies the plan all the same.
    bench.json(&["setting", "set", "approval.persons", "0"]).exits(0);
    assert_eq!(bench.json(&["apply", "--all"]).exits(1).json()["summary"]["applied"], 0);
    assert_eq!(bench.json(&["apply", plan]).exits(0).json()["summary"]["applied"], 1);
}
