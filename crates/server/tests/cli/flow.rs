//! From the feed to ConnectWise and back: plan, apply, explain.

use super::bench::{BASE, Bench, MAPPINGS, order, sale, upgrade};
use serde_json::{Value, json};

fn ready(lines: &str) -> Bench {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    bench.feed(&format!("{BASE}{lines}")).exits(0);
    bench.map(MAPPINGS).exits(0);
    bench.json(&["check"]).exits(0);
    bench
}

fn field<'a>(change: &'a Value, name: &str) -> &'a str {
    change["fields"][name]["to"].as_str().unwrap_or_default()
}

#[test]
fn a_sale_and_an_upgrade_become_three_additions() {
    let bench = ready(&format!("{}{}", sale(), upgrade()));
    let plan = bench.json(&["plan", "--all"]).exits(0).json();
    assert_eq!(plan["organization"], "default");
    assert_eq!(plan["totals"]["create"], 3);
    assert_eq!(plan["totals"]["by_currency"]["USD"]["delta"], "146.18");
    let part = plan["changes"].as_array().unwrap().iter().find(|c| c["role"] == "prorate").unwrap();
    assert_eq!(
        (field(part, "quantity"), field(part, "unitPrice"), field(part, "unitCost")),
        ("3", "12.06", "9.65")
    );
    assert_eq!(part["amount"], "36.18");
    assert_eq!(part["cost"], "28.95");
    assert!(part["addition_id"].is_null());
    assert!(
        part["fields"]["quantity"].as_object().is_some_and(|f| f.contains_key("from") && f["from"].is_null())
    );

    let id = plan["plan_id"].as_str().unwrap();
    let applied = bench.json(&["apply", id]).exits(0).json();
    assert_eq!(applied["plan_id"], id);
    assert_eq!(applied["summary"]["applied"], 4);
    assert!(
        applied["changes"]
            .as_array()
            .unwrap()
            .iter()
            .all(|c| c["state"] == "applied" && c["addition_id"].is_i64())
    );
    let shown = bench.json(&["plan", "show", id]).exits(0).json();
    assert_eq!(shown["state"], "applied");

    // Nothing is left to do, and nothing is done twice.
    let again = bench.json(&["plan", "--all"]).exits(0).json();
    assert_eq!(again["changes"].as_array().map(Vec::len), Some(0));
    let twice = bench.json(&["apply", id]);
    assert!(twice.exit <= 1, "{twice:?}");
    let pulled = bench.json(&["psa", "pull"]).exits(0).json();
    assert_eq!(pulled["additions"], 3);
    assert_eq!(bench.json(&["audit", "verify"]).exits(0).json()["intact"], true);
}

#[test]
fn every_value_is_explained_from_its_order_line() {
    let bench = ready(&format!("{}{}", sale(), upgrade()));
    let applied = bench.json(&["apply", "--all"]).exits(0).json();
    let part = applied["changes"].as_array().unwrap().iter().find(|c| c["role"] == "prorate").unwrap();
    let id = part["addition_id"].to_string();
    let explained = bench.json(&["audit", "explain", &id]).exits(0).json();
    assert_eq!(explained["values"]["unitPrice"]["value"], "12.06");
    assert_eq!(explained["values"]["unitPrice"]["formula"], "22.00 x 17/31 = 12.064516 -> 12.06");
    assert_eq!(explained["values"]["unitCost"]["formula"], "17.60 x 17/31 = 9.651613 -> 9.65");
    assert_eq!(explained["values"]["quantity"]["formula"], "quantity of order line 1");
    assert_eq!(explained["source_record"]["record"]["id"], "CH-1");
    assert!(explained["entries"].as_array().is_some_and(|e| !e.is_empty()));
    bench.run(&["audit", "explain", &id]).exits(0);
}

#[test]
fn a_plan_that_no_longer_fits_is_refused_and_nothing_is_written() {
    let bench = ready(&sale());
    let plan = bench.json(&["plan", "--all"]).exits(0).json();
    let id = plan["plan_id"].as_str().unwrap().to_owned();
    // Somebody else writes the same line in the meantime.
    let other = bench.json(&["plan", "--all"]).exits(0).json();
    bench.json(&["apply", other["plan_id"].as_str().unwrap()]).exits(0);
    let late = bench.json(&["apply", &id]).exits(1).json();
    assert_eq!(late["findings"][0]["code"], "TU7001", "{late}");
    assert_eq!(late["summary"]["applied"], 0);
    let pulled = bench.json(&["psa", "pull"]).exits(0).json();
    assert_eq!(pulled["additions"], 1);
}

#[test]
fn the_task_of_a_failed_mapping_stops_and_the_later_one_waits() {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    bench.feed(&format!("{BASE}{}{}", sale(), upgrade())).exits(0);
    bench.map("customer,c-100,12,,\nproduct,exo-p1,7777,,\n").exits(0);
    bench.json(&["check"]).exits(0);
    let plan = bench.json(&["plan", "--all"]).exits(1).json();
    assert_eq!(plan["changes"].as_array().map(Vec::len), Some(0));
    let codes: Vec<&str> =
        plan["findings"].as_array().unwrap().iter().filter_map(|f| f["code"].as_str()).collect();
    assert!(codes.contains(&"TU2004") && codes.contains(&"TU7006"), "{codes:?}");
    let tasks = bench.json(&["task", "list", "--state", "blocked"]).exits(0).json();
    assert_eq!(tasks["tasks"].as_array().map(Vec::len), Some(1));
    bench.map(MAPPINGS).exits(0);
    assert_eq!(bench.json(&["apply", "--all"]).exits(0).json()["summary"]["applied"], 4);
}

#[test]
fn naming_a_later_task_brings_the_earlier_one_along() {
    let bench = ready(&format!("{}{}", sale(), upgrade()));
    let tasks = bench.json(&["task", "list"]).exits(0).json();
    let change = tasks["tasks"].as_array().unwrap().iter().find(|t| t["kind"] == "change").unwrap();
    let id = change["task_id"].as_str().unwrap();
    let plan = bench.json(&["plan", "--task", id]).exits(0).json();
    assert_eq!(plan["totals"]["create"], 3);
}

#[test]
fn a_customer_is_reconciled_for_a_period() {
    let mut bench = Bench::new("2023-05-10");
    bench.connect("2023-05-01");
    bench.feed(&format!("{BASE}{}", sale())).exits(0);
    bench.map(MAPPINGS).exits(0);
    bench.json(&["check"]).exits(0);
    // Reconciliation tasks are for people: a run over all tasks leaves them alone.
    assert_eq!(bench.json(&["apply", "--all"]).exits(0).json()["summary"]["applied"], 0);
    let period = "2023-05-01..2023-06-01";
    let plan = bench.json(&["plan", "--reconcile", period, "--customer", "c-100"]).exits(0).json();
    assert_eq!(plan["totals"]["create"], 1, "{plan}");
    assert_eq!(field(&plan["changes"][0], "quantity"), "5");
    bench.json(&["apply", plan["plan_id"].as_str().unwrap()]).exits(0);
    let again = ["plan", "--reconcile", period, "--customer", "c-100"];
    let right = bench.json(&again).exits(0).json();
    assert_eq!(
        (&right["totals"]["keep"], &right["changes"]),
        (&Value::from(1), &Value::Array(Vec::new())),
        "{right}"
    );
    let all: Vec<&str> = again.iter().copied().chain(["--all-lines"]).collect();
    assert_eq!(bench.json(&all).exits(0).json()["changes"][0]["op"], "keep");
    bench.json(&["plan", "--reconcile", period, "--customer", "nobody"]).exits(2);
    bench.json(&["plan", "--reconcile", "2023-05-01..2023-04-01", "--customer", "c-100"]).exits(2);
}

#[test]
fn an_order_that_changes_after_it_was_billed_is_a_warning() {
    let bench = ready(&sale());
    bench.json(&["apply", "--all"]).exits(0);
    bench.feed(&sale().replace("\"quantity\":\"5\"", "\"quantity\":\"9\"")).exits(0);
    let document = bench.json(&["check"]).exits(0).json();
    assert_eq!(document["findings"][0]["code"], "TU8006");
    assert_eq!(document["findings"][0]["severity"], "warning");
    let list = bench.json(&["finding", "list", "--code", "TU8006"]).exits(0).json();
    let id = list["findings"][0]["finding_id"].as_str().unwrap().to_owned();
    bench.json(&["finding", "mute", &id, "--until", "2023-01-01"]).exits(2);
    let muted = bench.json(&["finding", "mute", &id, "--until", "2023-04-01"]).exits(0).json();
    assert_eq!(muted["state"], "muted");
    let ignored = bench.json(&["finding", "ignore", &id, "--reason", "intended"]).exits(0).json();
    assert_eq!(ignored["state"], "ignored");
    assert_eq!(
        bench.json(&["finding", "list"]).exits(0).json()["findings"].as_array().map(Vec::len),
        Some(0)
    );
}

#[test]
fn a_brake_holds_an_unattended_run_until_it_is_approved() {
    let mut bench = ready(&format!("{}{}", sale(), upgrade()));
    bench.json(&["apply", "--all"]).exits(0);
    let end =
        super::bench::order("CA-1", "cancellation", "2023-03-20", r#""charge":"recurring","quantity":"8""#);
    bench.feed(&end).exits(0);
    bench.json(&["check"]).exits(0);
    bench.env("TRUEUP_BRAKES_MIN_CHANGES", "0");
    let held = bench.json(&["apply", "--all"]).exits(1).json();
    assert_eq!(held["summary"]["applied"], 0, "{held}");
    let states: Vec<&str> =
        held["changes"].as_array().unwrap().iter().filter_map(|c| c["state"].as_str()).collect();
    assert!(!states.is_empty() && states.iter().all(|state| *state == "skipped"), "{held}");
    assert_eq!(held["summary"]["skipped"], states.len());
    assert_eq!(held["findings"][0]["code"], "TU7007", "what holds the run is told first: {held}");
    assert!(held["findings"].as_array().unwrap().iter().any(|f| f["code"] == "TU7007"), "{held}");
    let brakes = || {
        let list = bench.json(&["finding", "list", "--code", "TU7007"]).exits(0).json();
        list["findings"].as_array().unwrap().len()
    };
    let told = held["findings"].as_array().unwrap().iter().filter(|f| f["code"] == "TU7007").count();
    assert_eq!(brakes(), told, "each limit is kept");
    let passed = bench.json(&["apply", "--all", "--approve"]).json();
    assert!(passed["summary"]["applied"].as_u64().is_some_and(|n| n > 0), "{passed}");
    assert_eq!(brakes(), 0, "what was approved holds no longer");
}

#[test]
fn doctor_says_what_is_fine_and_what_is_not() {
    let bench = ready(&sale());
    bench.json(&["psa", "pull"]).exits(0);
    let document = bench.json(&["doctor"]).exits(0).json();
    let checks = document["checks"].as_array().unwrap();
    let state = |name: &str| checks.iter().find(|c| c["name"] == name).map(|c| c["state"].as_str().unwrap());
    assert_eq!(state("storage"), Some("ok"));
    assert_eq!(state("connection"), Some("ok"));
    assert_eq!(state("catalog"), Some("ok"));
    // Without a custom field the key lives in the serial number, which an invoice may print.
    assert_eq!(state("marker"), Some("warning"));
    // Nothing runs by itself before somebody says so.
    assert_eq!(state("schedules"), Some("warning"));
    bench.json(&["setting", "set", "schedule.sync", "daily 06:30"]).exits(0);
    let document = bench.json(&["doctor"]).exits(0).json();
    let checks = document["checks"].as_array().unwrap();
    let schedules = checks.iter().find(|c| c["name"] == "schedules").unwrap();
    assert_eq!(schedules["state"], "ok", "{schedules}");
    assert!(schedules["message"].as_str().unwrap().contains("sync daily 06:30"), "{schedules}");
}

/// An open addition with the mapped item, as a person would have made it.
fn by_hand(bench: &Bench) {
    by_hand_of(bench, 5);
}

fn by_hand_of(bench: &Bench, seats: i64) {
    let addition = serde_json::json!({
        "id": 900, "product": {"id": 7}, "quantity": seats, "unitPrice": 22, "unitCost": 17.6, "billCustomer": "Billable",
        "effectiveDate": "2023-03-01T00:00:00Z",
    });
    bench.control(
        "seed",
        &serde_json::json!({"resources": {"finance/agreements/{id}/additions": {"40": [addition]}}}),
    );
}

#[test]
fn a_line_that_is_there_already_is_proposed_and_taken_over_when_asked() {
    let bench = ready(&sale());
    by_hand(&bench);
    let waiting = bench.json(&["apply", "--all"]).exits(0).json();
    assert_eq!(waiting["summary"]["applied"], 0, "{waiting}");
    assert!(
        waiting["findings"]
            .as_array()
            .unwrap()
            .iter()
            .any(|f| f["code"] == "TU3007" && f["severity"] == "warning")
    );
    let tasks = bench.json(&["task", "list", "--state", "ready"]).exits(0).json();
    assert_eq!(tasks["tasks"].as_array().map(Vec::len), Some(1));

    bench.json(&["apply", "--all", "--adopt"]).exits(0);
    assert_eq!(bench.json(&["psa", "pull"]).exits(0).json()["additions"], 1);
    let done = bench.json(&["task", "list", "--state", "done"]).exits(0).json();
    assert_eq!(done["tasks"].as_array().map(Vec::len), Some(1));
    let explained = bench.json(&["audit", "explain", "900"]).exits(0).json();
    assert_eq!(explained["subscription_id"], "s-1");
    for (name, value) in [("quantity", "5"), ("unitPrice", "22.00"), ("unitCost", "17.60")] {
        assert_eq!(explained["values"][name]["value"], value, "{explained}");
        assert_eq!(explained["values"][name]["formula"], "there before, taken over as it was");
    }
}

/// A plan that is only looked at takes nothing over: the line is the first subscription's when it is carried out, and another
/// one like it gets a line of its own.
#[test]
fn what_a_plan_would_take_over_is_taken_over_by_the_run_that_carries_it_out() {
    let bench = ready(&sale());
    by_hand(&bench);
    let looked_at = bench.json(&["plan", "--all", "--adopt"]).exits(0).json();
    let planned = bench.json(&["task", "list", "--state", "planned"]).exits(0).json();
    assert_eq!(planned["tasks"].as_array().map(Vec::len), Some(1), "{looked_at}");
    let another = format!("{BASE}{}", sale()).replace("\"s-1\"", "\"s-2\"").replace("\"SO-1\"", "\"SO-2\"");
    bench.feed(&another).exits(0);
    bench.json(&["check"]);
    bench.json(&["apply", "--all", "--adopt"]).exits(0);
    let explained = bench.json(&["audit", "explain", "900"]).exits(0).json();
    assert_eq!(explained["subscription_id"], "s-1");
    assert_eq!(bench.json(&["psa", "pull"]).exits(0).json()["additions"], 2, "the other one has its own");
    let done = bench.json(&["task", "list", "--state", "done"]).exits(0).json();
    assert_eq!(done["tasks"].as_array().map(Vec::len), Some(2));
}

/// What only a plan can see stands until a plan sees it otherwise, or a person has answered it: a check looks for other things.
#[test]
fn a_check_leaves_what_a_plan_has_said() {
    let bench = ready(&sale());
    by_hand_of(&bench, 4);
    let open = |code: &str| {
        let findings = bench.json(&["finding", "list"]).exits(0).json();
        findings["findings"].as_array().unwrap().iter().filter(|f| f["code"] == code).count()
    };
    let reason = || bench.json(&["task", "list"]).exits(0).json()["tasks"][0]["reason"].clone();
    bench.json(&["apply", "--all"]).exits(0);
    assert_eq!((open("TU3007"), reason()), (1, "TU3007".into()));
    let checked = bench.json(&["check"]).exits(0).json();
    assert_eq!(checked["moved"].as_array().map(Vec::len), Some(0), "{checked}");
    assert_eq!((open("TU3007"), reason()), (1, "TU3007".into()));

    bench.json(&["apply", "--all", "--adopt"]);
    assert_eq!((open("TU3007"), open("TU5001")), (0, 1), "four are billed, and five are sold");
    bench.json(&["check"]);
    bench.json(&["psa", "pull"]).exits(0);
    bench.json(&["check"]);
    assert_eq!(open("TU5001"), 1, "nobody has answered it");
    let findings = bench.json(&["finding", "list"]).exits(0).json();
    let told = findings["findings"].as_array().unwrap().iter().find(|f| f["code"] == "TU5001").unwrap();
    let id = told["finding_id"].as_str().unwrap();
    bench.json(&["finding", "ignore", id, "--reason", "they pay for four"]).exits(0);
    bench.json(&["check"]).exits(0);
    assert_eq!(open("TU5001"), 0);
}

#[test]
fn a_line_that_is_there_already_stays_beside_the_new_one_when_asked() {
    let bench = ready(&sale());
    by_hand(&bench);
    let applied = bench.json(&["apply", "--all", "--no-adopt"]).exits(0).json();
    assert_eq!(applied["summary"]["applied"], 1);
    assert_eq!(bench.json(&["psa", "pull"]).exits(0).json()["additions"], 2);
}

#[test]
fn a_pull_tells_what_people_changed_since() {
    let bench = ready(&sale());
    by_hand(&bench);
    bench.json(&["apply", "--all", "--adopt"]).exits(0);
    let clean = bench.json(&["psa", "pull"]).exits(0).json();
    assert_eq!((&clean["as_written"], &clean["changed_by_people"]), (&1.into(), &0.into()), "{clean}");
    let edited = serde_json::json!({
        "id": 900, "product": {"id": 7}, "quantity": 9, "unitPrice": 22, "unitCost": 17.6, "billCustomer": "Billable",
        "effectiveDate": "2023-03-01T00:00:00Z",
    });
    bench.control(
        "seed",
        &serde_json::json!({"resources": {"finance/agreements/{id}/additions": {"40": [edited]}}}),
    );
    assert_eq!(bench.json(&["psa", "pull"]).exits(0).json()["changed_by_people"], 1);
    let findings = bench.json(&["finding", "list"]).exits(0).json();
    let told = findings["findings"].as_array().unwrap().iter().any(|f| f["code"] == "TU7002");
    assert!(told, "{findings}");
}

#[test]
fn missing_catalog_items_are_created_once_where_the_setting_says_so() {
    let bench = ready(&sale());
    bench.json(&["mapping", "release", "product", "exo-p1"]).exits(0);
    bench
        .feed(concat!(
            r#"{"type":"product","id":"exo-p1","name":"Exchange Online (Plan 1)","sku":"NEW-1","#,
            r#""unit_price":"22.00","unit_cost":"17.60","currency":"USD"}"#
        ))
        .exits(0);
    bench.json(&["apply", "--all"]).exits(1);
    bench.json(&["setting", "set", "create_missing_products", "on"]).exits(0);
    let ran = bench.json(&["apply", "--all"]).exits(0).json();
    assert_eq!(ran["summary"]["applied"], 1, "{ran}");
    let pulled = bench.json(&["psa", "pull"]).exits(0).json();
    assert_eq!((&pulled["catalog_items"], &pulled["additions"]), (&2.into(), &1.into()));
    bench.json(&["apply", "--all"]).exits(0);
    assert_eq!(bench.json(&["psa", "pull"]).exits(0).json()["catalog_items"], 2);
    // It is made with the product's own price and cost, not with nothing.
    bench.json(&["setting", "set", "price_source", "connectwise"]).exits(0);
    bench
        .feed(&super::bench::order("SO-9", "sales", "2023-03-01", r#""charge":"one_time","quantity":"1""#))
        .exits(0);
    bench.json(&["check"]).exits(0);
    let plan = bench.json(&["plan", "--all"]).exits(0).json();
    let once = plan["changes"].as_array().unwrap().iter().find(|c| c["role"] == "one_time").unwrap();
    assert_eq!((field(once, "unitPrice"), field(once, "unitCost")), ("22.00", "17.60"), "{plan}");
}

#[test]
fn what_ended_at_the_source_and_is_billed_all_the_same_is_said() {
    let bench = ready(&sale());
    bench.json(&["apply", "--all"]).exits(0);
    assert!(bench.json(&["check"]).exits(0).json()["findings"].as_array().unwrap().is_empty());
    let over = BASE.replace(r#""status":"active""#, r#""status":"cancelled","cancelled_on":"2023-03-18""#);
    bench.feed(&over).exits(0);
    let found = bench.json(&["check"]).exits(0).json()["findings"].clone();
    assert_eq!((&found[0]["code"], &found[0]["severity"]), (&"TU8006".into(), &"warning".into()), "{found}");
    assert_eq!(
        found[0]["amount"]["amount"].as_str().or(found[0]["amount"].as_str()),
        Some("110.00"),
        "{found}"
    );
    // Once the order is there, nothing is left to say.
    bench
        .feed(&super::bench::order(
            "CA-1",
            "cancellation",
            "2023-03-18",
            r#""charge":"recurring","quantity":"5""#,
        ))
        .exits(0);
    bench.json(&["check"]).exits(0);
    bench.json(&["apply", "--all"]);
    bench.json(&["check"]).exits(0);
    let open = bench.json(&["finding", "list", "--code", "TU8006"]).exits(0).json();
    assert_eq!(open["findings"].as_array().map(Vec::len), Some(0), "{open}");
}

#[test]
fn a_renewal_of_lines_that_end_with_the_term_is_carried_out() {
    let mut bench = ready(&sale());
    bench.json(&["setting", "set", "line_mode", "commitment"]).exits(0);
    let same = super::bench::order("RN-1", "renewal", "2023-03-18", r#""charge":"recurring","quantity":"5""#);
    bench.feed(&same).exits(0);
    let document = bench.json(&["check"]).exits(0).json();
    assert_eq!(document["created"][0]["kind"], "renewal", "{document}");
    bench.env("TRUEUP_LINE_MODE", "prorate_line");
    bench.feed(&same.replace("RN-1", "RN-2")).exits(0);
    let document = bench.json(&["check"]).exits(0).json();
    assert_eq!(document["no_task"][0]["order_id"], "RN-2", "{document}");
}

#[test]
fn a_line_that_a_list_left_out_for_once_is_held_and_goes_on_with_the_next_run() {
    let bench = ready(&sale());
    bench.json(&["apply", "--all"]).exits(0);
    bench.feed(&upgrade()).exits(0);
    bench.json(&["check"]).exits(0);
    bench.control(
        "faults",
        &serde_json::json!({"schedule": [{"match": {"method": "GET", "path_contains": "additions"},
            "action": "short_page"}]}),
    );
    let held = bench.json(&["plan", "--all"]).json();
    assert_eq!(held["changes"].as_array().map(Vec::len), Some(0), "{held}");
    let found = &held["findings"][0];
    assert_eq!(found["code"], "TU3008", "{held}");
    assert!(found["fix"].as_str().is_some_and(|fix| fix.starts_with("Run again first")), "{held}");
    // Nothing was written, and the next run goes on.
    let ran = bench.json(&["apply", "--all"]).exits(0).json();
    assert_eq!(ran["summary"]["applied"], 3, "{ran}");
    assert_eq!(bench.json(&["psa", "pull"]).exits(0).json()["additions"], 3);
}

#[test]
fn an_edit_that_keeps_an_order_back_is_a_failure() {
    let bench = ready(&sale());
    bench.json(&["apply", "--all"]).exits(0);
    let edited = serde_json::json!({
        "id": 1, "product": {"id": 7}, "quantity": 6, "unitPrice": 22, "unitCost": 17.6, "billCustomer": "Billable",
        "effectiveDate": "2023-03-01T00:00:00Z",
    });
    bench.control(
        "seed",
        &serde_json::json!({"resources": {"finance/agreements/{id}/additions": {"40": [edited]}}}),
    );
    bench.feed(&upgrade()).exits(0);
    bench.json(&["check"]).exits(0);
    // What was ordered is billed by nothing as long as nobody decides.
    let ran = bench.json(&["apply", "--all"]).exits(1).json();
    let codes: Vec<(&str, &str)> = ran["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (f["code"].as_str().unwrap(), f["severity"].as_str().unwrap()))
        .collect();
    assert!(codes.contains(&("TU7002", "error")), "{ran}");
    assert_eq!(ran["summary"]["applied"], 0);
}

#[test]
fn an_edit_that_a_mapping_accepts_is_in_the_audit_and_explained() {
    let bench = ready(&sale());
    bench.json(&["apply", "--all"]).exits(0);
    let edited = serde_json::json!({
        "id": 1, "product": {"id": 7}, "quantity": 6, "unitPrice": 22, "unitCost": 17.6, "billCustomer": "Billable",
        "effectiveDate": "2023-03-01T00:00:00Z",
    });
    bench.control(
        "seed",
        &serde_json::json!({"resources": {"finance/agreements/{id}/additions": {"40": [edited]}}}),
    );
    let line = r#""charge":"recurring","quantity":"2","old_quantity":"6","new_quantity":"8""#;
    bench.feed(&super::bench::order("CH-1", "change", "2023-03-15", line)).exits(0);
    bench.map("addition,subscription:s-1/exo-p1,1,,\n").exits(0);
    bench.json(&["check"]).exits(0);
    assert_eq!(bench.json(&["apply", "--all"]).exits(0).json()["summary"]["applied"], 3);

    let explained = bench.json(&["audit", "explain", "1"]).exits(0).json();
    let quantity = &explained["values"]["quantity"];
    assert_eq!((&quantity["value"], &quantity["before"]), (&"6".into(), &"5".into()), "{explained}");
    assert_eq!(quantity["formula"], "set by a person, taken over by the mapping");
    assert_eq!(explained["values"]["unitPrice"]["formula"], "22.00 of the order line");
    // What was written to the line afterwards stands over what was taken over.
    assert_eq!(explained["values"]["cancelledDate"]["value"], "2023-03-31", "{explained}");
    assert_eq!(explained["written"]["cancelled"], "2023-03-31", "{explained}");
    let entries = explained["entries"].as_array().unwrap();
    let taken: Vec<&Value> = entries.iter().filter(|e| e["action"] == "addition.adopt").collect();
    assert_eq!(taken.len(), 1, "{explained}");
    assert!(taken[0]["actor"].as_str().is_some_and(|who| who.starts_with("tester")), "{taken:?}");
    assert_eq!(taken[0]["detail"]["before"]["quantity"], "5", "{taken:?}");
    assert_eq!(taken[0]["detail"]["after"]["quantity"], "6", "{taken:?}");
    // Once is enough: planning and applying again takes nothing over.
    bench.json(&["apply", "--all"]).exits(0);
    let again = bench.json(&["audit", "explain", "1"]).exits(0).json();
    assert_eq!(again["entries"].as_array().map(Vec::len), Some(entries.len()));
}

/// A plan that was refused as out of date says why when it is shown, and one that was carried out says so.
#[test]
fn a_plan_tells_what_became_of_it() {
    let bench = ready(&sale());
    let id = |ran: Value| ran["plan_id"].as_str().unwrap().to_owned();
    let first = id(bench.json(&["plan", "--all"]).exits(0).json());
    bench.json(&["apply", &first]).exits(0);
    let again = bench.json(&["apply", &first]).exits(0);
    assert!(again.err.contains("carried out before"), "{again:?}");
    bench.feed(&upgrade()).exits(0);
    bench.json(&["check"]).exits(0);
    let old = id(bench.json(&["plan", "--all"]).exits(0).json());
    let edit = serde_json::json!([{"op": "replace", "path": "quantity", "value": 6}]);
    bench.by_hand("PATCH", "finance/agreements/40/additions/1", &edit);
    bench.json(&["apply", &old]).exits(1);
    let shown = bench.json(&["plan", "show", &old]).exits(0).json();
    assert_eq!(shown["state"], "stale", "{shown}");
    let codes: Vec<&str> =
        shown["findings"].as_array().unwrap().iter().filter_map(|f| f["code"].as_str()).collect();
    assert!(codes.contains(&"TU7001"), "{shown}");
}

/// A price that moves a long way, or that lies below its cost, is written and said.
#[test]
fn a_price_to_look_at_is_told() {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    let line = r#""charge":"recurring","quantity":"0","old_quantity":"5","new_quantity":"5""#;
    let change = |id: &str, day: &str, price: &str| {
        order(id, "change", day, line).replace("\"22.00\"", &format!("\"{price}\""))
    };
    bench.feed(&format!("{BASE}{}", sale())).exits(0);
    bench.map(MAPPINGS).exits(0);
    bench.json(&["check"]).exits(0);
    let codes = |document: &Value| -> Vec<String> {
        let all = document["findings"].as_array().unwrap().iter();
        all.filter_map(|f| f["code"].as_str())
            .filter(|c| c.starts_with("TU600"))
            .filter(|c| *c != "TU6005" && *c != "TU6006")
            .map(str::to_owned)
            .collect()
    };
    assert!(codes(&bench.json(&["apply", "--all"]).exits(0).json()).is_empty());
    for (id, day, price, told) in [
        ("CH-2", "2023-03-10", "24.00", &[][..]),
        ("CH-3", "2023-03-11", "2400.00", &["TU6003"]),
        ("CH-4", "2023-03-12", "1.00", &["TU6003", "TU6004"]),
    ] {
        bench.feed(&change(id, day, price)).exits(0);
        bench.json(&["check"]).exits(0);
        let applied = bench.json(&["apply", "--all"]).exits(0).json();
        assert_eq!(codes(&applied), told, "{price}: {}", applied["findings"]);
    }
    bench.feed(&change("CH-5", "2023-03-13", "100.00")).exits(0);
    bench.json(&["check"]).exits(0);
    let set = ["--set", "price_limit_percent=", "--set", "margin_floor_percent="];
    let plan = bench.json(&[&set[..], &["plan"]].concat()).exits(0).json();
    assert!(codes(&plan).is_empty(), "{}", plan["findings"]);
}

/// The record of a subscription may be older than its orders: what these ended does not begin again. A record that came in
/// since, or a person's word, begins it.
#[rstest::rstest]
#[case::cancelled(order("CF-1", "cancellation", "2023-03-11", r#""charge":"cancellation","quantity":"0""#))]
#[case::to_nothing(order(
    "CH-9",
    "change",
    "2023-03-11",
    r#""charge":"recurring","quantity":"-5","old_quantity":"5","new_quantity":"0""#
))]
fn a_reconciliation_begins_nothing_that_an_order_ended(#[case] end: String) {
    let mut bench = ready(&sale());
    bench.map(&format!("{MAPPINGS}fee,cancellation,7,,\n")).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    bench.feed(&end).exits(0);
    bench.json(&["check"]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    bench.on("2023-05-02");
    let reconcile = ["plan", "--reconcile", "2023-05-01..2023-06-01", "--customer", "c-100"];
    let held = bench.json(&reconcile).exits(1).json();
    assert_eq!((&held["changes"], &held["findings"][0]["code"]), (&json!([]), &json!("TU5001")), "{held}");
    let told = held["findings"][0]["message"].as_str().unwrap();
    assert!(told.contains("CF-1") || told.contains("CH-9"), "{told}");
    let asked = [&reconcile[..], &["--no-adopt"]].concat();
    assert_eq!(bench.json(&asked).exits(0).json()["totals"]["create"], 1);
    let record = BASE.lines().find(|line| line.contains("\"subscription\"")).unwrap();
    bench.feed(&record.replace("\"quantity\":\"5\"", "\"quantity\":\"6\"")).exits(0);
    assert_eq!(bench.json(&reconcile).exits(0).json()["totals"]["create"], 1);
}
