//! What people set: parts that are on or off, inheritance, targets that are checked, rights and the test ticket.

use super::desk::{at, bare, codes, did, is_closed, person, record, ruled, run, tell, tickets};
use crate::bench::BASE;
use serde_json::{Value, json};

fn missing(bench: &crate::bench::Bench, functions: &Value) {
    bench.control("roles", &json!({ "functions": functions }));
}

#[test]
fn ax_01_alerts_work_without_billing_and_billing_without_any_rule() {
    let bench = ruled();
    bench.json(&["setting", "set", "billing", "off"]).exits(0);
    tell(&bench, "nas", "open", 0);
    assert_eq!(did(&run(&bench, 1).exits(0).json()), ["made"]);
    let refused = bench.json(&["apply", "--all"]).exits(2);
    assert!(refused.err.contains("billing is switched off"), "{}", refused.err);
    bench.json(&["quantity", "run"]).exits(2);
    bench.json(&["setting", "set", "billing", "on"]).exits(0);
    bench.json(&["setting", "set", "alerts", "off"]).exits(0);
    tell(&bench, "san", "open", 5);
    let ran = run(&bench, 6).exits(0).json();
    assert_eq!((&ran["on"], &ran["taken"], did(&ran).len()), (&json!(false), &json!(1), 0), "{ran}");
    bench.feed(&format!("{BASE}{}", crate::bench::sale())).exits(0);
    bench.map(crate::bench::MAPPINGS).exits(0);
    bench.json(&["check"]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    bench.json(&["setting", "set", "alerts", "on"]).exits(0);
    assert_eq!(did(&run(&bench, 7).exits(0).json()), ["made"], "what was told meanwhile is sent");
}

#[test]
fn ax_02_each_part_needs_its_own_rights() {
    let bench = ruled();
    missing(
        &bench,
        &json!({"Service Desk/Service Tickets": {"inquire": "None", "add": "None", "edit": "None"}}),
    );
    let ran = bench.json(&["psa", "pull"]);
    assert_eq!(ran.exit, 0, "billing reads without ticket rights: {}", ran.err);
    let none = json!({"inquire": "None", "add": "None", "edit": "None"});
    missing(&bench, &json!({"Finance/Agreements": none, "Finance/Invoicing": none}));
    tell(&bench, "nas", "open", 0);
    assert_eq!(did(&run(&bench, 1).exits(0).json()), ["made"], "tickets need no right of billing");
}

#[test]
fn ax_08_off_above_stops_what_inherits_and_a_level_that_says_on_goes_on() {
    let bench = bare();
    for (parent, slug) in [("default", "partner"), ("partner", "site")] {
        bench.json(&["org", "add", slug, "--parent", parent]).exits(0);
    }
    bench.json(&["alert", "set", "*", "psa=on", "board=Alerts"]).exits(0);
    for slug in ["partner", "site"] {
        bench
            .json(&[
                "--org",
                slug,
                "mapping",
                "import",
                &bench.file("m.csv", "kind,source_id,psa_id,scope,options\ncustomer,c-1,12,,\n"),
            ])
            .exits(0);
    }
    bench.json(&["--org", "partner", "setting", "set", "alerts", "off"]).exits(0);
    let file = bench.file("a.ndjson", &record("a", "nas", "open", 0, ""));
    bench.json(&["--org", "site", "feed", "import", &file]).exits(0);
    let ran = bench.json(&["--org", "site", "alert", "run", "--at", &at(1)]).exits(0).json();
    assert!(did(&ran).is_empty(), "{ran}");
    bench.json(&["--org", "site", "setting", "set", "alerts", "on"]).exits(0);
    let ran = bench.json(&["--org", "site", "alert", "run", "--at", &at(2)]).exits(0).json();
    assert_eq!(did(&ran), ["made"], "{ran}");
}

#[test]
fn ax_52_a_level_overrides_the_board_and_keeps_the_inherited_priority() {
    let bench = bare();
    for (parent, slug) in [("default", "partner"), ("partner", "site")] {
        bench.json(&["org", "add", slug, "--parent", parent]).exits(0);
    }
    bench.json(&["alert", "set", "failed_backup", "psa=on", "board=Alerts", "priority=4"]).exits(0);
    bench.json(&["--org", "site", "alert", "set", "failed_backup", "board=Help Desk"]).exits(0);
    let file = bench.file("m.csv", "kind,source_id,psa_id,scope,options\ncustomer,c-1,12,,\n");
    bench.json(&["--org", "site", "mapping", "import", &file]).exits(0);
    let file = bench.file("a.ndjson", &record("a", "nas", "open", 0, ""));
    bench.json(&["--org", "site", "feed", "import", &file]).exits(0);
    let ran = bench.json(&["--org", "site", "alert", "run", "--at", &at(1)]).exits(0).json();
    assert_eq!(did(&ran), ["made"], "{ran}");
    let ticket = tickets(&bench).remove(0);
    assert_eq!((&ticket["board"]["id"], &ticket["priority"]["id"]), (&json!(1), &json!(4)), "{ticket}");
    let held = bench.json(&["--org", "site", "alert", "rules", "failed_backup"]).exits(0).json();
    let of =
        |key: &str| held["values"].as_array().unwrap().iter().find(|row| row["key"] == key).unwrap().clone();
    assert_eq!((&of("board")["from"], &of("board")["label"]), (&json!("site"), &json!("Help Desk")));
    assert_eq!((&of("priority")["from"], &of("priority")["own"]), (&json!("default"), &json!(false)));
    assert_eq!(of("reopen_hours")["from"], json!(null));
    bench.json(&["--org", "site", "alert", "unset", "failed_backup"]).exits(0);
    let held = bench.json(&["--org", "site", "alert", "rules", "failed_backup"]).exits(0).json();
    let board = held["values"].as_array().unwrap().iter().find(|row| row["key"] == "board").unwrap().clone();
    assert_eq!(board["from"], "default");
}

#[test]
fn ax_53_a_target_that_does_not_fit_the_board_is_refused_at_save() {
    let bench = ruled();
    for bad in [
        "status_new=Assigned",
        "status_new=Closed",
        "status_closed=New",
        "status_new=On Hold",
        "subtype=Failed",
        "board=Nowhere",
        "priority=99",
        "reopen_hours=x",
        "summary={since}",
        "note_minutes=10",
    ] {
        let refused = bench.json(&["alert", "set", "*", bad]).exits(2);
        let field = bad.split('=').next().unwrap();
        let told =
            refused.err.contains(field) || refused.err.contains(&field.replace("status_new", "status"));
        assert!(told, "{bad}: {}", refused.err);
    }
    bench.json(&["alert", "set", "*", "type=Backup", "subtype=Failed"]).exits(0);
    let refused = bench.json(&["alert", "set", "*", "subtype=Offline"]).exits(2);
    assert!(refused.err.contains("TU9501"), "{}", refused.err);
    // Another board leaves what belongs to the first without a place.
    bench.json(&["alert", "set", "*", "board=Help Desk"]).exits(2);
    bench.json(&["alert", "set", "*", "board=Help Desk", "type=", "subtype="]).exits(0);
}

#[test]
fn ax_61_a_missing_right_to_close_is_named_and_made_up_for() {
    let bench = ruled();
    missing(
        &bench,
        &json!({"Service Desk/Close Service Tickets": {"inquire": "None", "add": "None", "edit": "None"}}),
    );
    tell(&bench, "nas", "open", 0);
    assert_eq!(did(&run(&bench, 1).exits(0).json()), ["made"]);
    tell(&bench, "nas", "closed", 10);
    let ran = run(&bench, 11).exits(1).json();
    assert_eq!(did(&ran), ["noted"], "{ran}");
    let finding = &ran["findings"][0];
    assert_eq!(finding["code"], "TU9502", "{ran}");
    assert!(finding["message"].as_str().unwrap().contains("Close Service Tickets"), "{finding}");
    run(&bench, 12).exits(1);
    missing(&bench, &json!({}));
    let ran = run(&bench, 13).exits(0).json();
    assert_eq!(did(&ran), ["closed"], "{ran}");
    assert!(is_closed(&tickets(&bench)[0]) && codes(&bench).is_empty());
}

#[test]
fn ax_64_a_test_ticket_is_made_noted_and_closed_and_a_missing_right_is_named() {
    let bench = ruled();
    let refused = bench.json(&["alert", "test"]).exits(2);
    assert!(refused.err.contains("company"), "{}", refused.err);
    let good = bench.json(&["alert", "test", "--company", "12"]).exits(0).json();
    assert_eq!(good["ok"], true, "{good}");
    let ticket = tickets(&bench).remove(0);
    assert!(is_closed(&ticket));
    missing(
        &bench,
        &json!({"Service Desk/Close Service Tickets": {"inquire": "None", "add": "None", "edit": "None"}}),
    );
    let bad = bench.json(&["alert", "test", "--company", "12"]).exits(1).json();
    let step = bad["steps"].as_array().unwrap().iter().find(|step| step["ok"] == false).unwrap().clone();
    assert_eq!(step["step"], "closed", "{bad}");
    assert!(step["message"].as_str().unwrap().contains("Close Service Tickets"), "{bad}");
}

#[test]
fn a_board_that_is_gone_holds_its_alerts_and_the_others_go_on() {
    let bench = ruled();
    bench.json(&["alert", "set", "disk_usage", "board=Help Desk"]).exits(0);
    let (status, answer) = person(&bench, "DELETE", "service/boards/2", "");
    assert_eq!(status, 204, "{answer}");
    tell(&bench, "nas", "open", 0);
    bench.feed(&record("d", "srv", "open", 1, "").replace("failed_backup", "disk_usage")).exits(0);
    let ran = run(&bench, 5).exits(1).json();
    assert_eq!(did(&ran), ["made"], "{ran}");
    assert_eq!(ran["findings"][0]["code"], "TU9501", "{ran}");
    bench.json(&["alert", "set", "failed_backup", "board=Help Desk"]).exits(0);
    assert_eq!(did(&run(&bench, 6).exits(0).json()), ["made"]);
}
