//! What people do in ConnectWise to the agreements and lines that trueup stands on: told by the next pull, and by no later
//! order alone.

use super::bench::{BASE, Bench, MAPPINGS, order, sale, upgrade};
use rstest::rstest;
use serde_json::{Value, json};

/// Five seats billed on addition 1 of agreement 40; company 13 is there as well.
fn billed() -> Bench {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    bench.feed(&format!("{BASE}{}", sale())).exits(0);
    bench.map(MAPPINGS).exits(0);
    bench.json(&["check"]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    let other = json!({"id": 13, "identifier": "BlueLane", "name": "Blue Lane LLC"});
    bench.control("seed", &json!({ "resources": { "company/companies": [other] } }));
    bench
}

fn rows(bench: &Bench, path: &str) -> Vec<Value> {
    bench.ask("state")["resources"][path].as_array().cloned().unwrap_or_default()
}

/// Sets fields of an agreement as ConnectWise's own screens do; what it had before.
fn change(bench: &Bench, fields: &Value) -> Value {
    let old = rows(bench, "finance/agreements").into_iter().find(|row| row["id"] == 40).unwrap();
    let mut row = old.clone();
    for (name, value) in fields.as_object().unwrap() {
        row[name] = value.clone();
    }
    bench.control("seed", &json!({ "resources": { "finance/agreements": [row] } }));
    old
}

fn ends(bench: &Bench, last: &str) {
    change(bench, &json!({"noEndingDateFlag": false, "endDate": format!("{last}T00:00:00Z")}));
}

fn open(bench: &Bench) -> Vec<Value> {
    let found = bench.json(&["finding", "list"]).exits(0).json()["findings"].as_array().cloned().unwrap();
    let holds = |f: &Value| f["state"] == "open" || f["state"] == "recurred";
    found.into_iter().filter(holds).collect()
}

fn of_agreements(bench: &Bench) -> Vec<Value> {
    let detail = |f: &Value| f["subject"]["detail"] == "the lines on it";
    open(bench).into_iter().filter(detail).collect()
}

#[rstest]
#[case::cycle("TU3004", json!({"billingCycle": {"id": 7}}), "is billed yearly")]
#[case::no_cycle("TU3004", json!({"billingCycle": {"id": 8}}), "has no billing cycle that is known")]
#[case::currency("TU6001", json!({"currency": {"id": 2}}), "is in EUR")]
#[case::company("TU3003", json!({"company": {"id": 13}}), "is of company 13")]
#[case::cancelled(
    "TU8006", json!({"cancelledFlag": true, "dateCancelled": "2023-03-15T00:00:00Z"}), "was cancelled on 2023-03-15"
)]
#[case::expired("TU8006", json!({"noEndingDateFlag": false, "endDate": "2023-03-15T00:00:00Z"}), "ended on 2023-03-15")]
#[case::to_end("TU4003", json!({"noEndingDateFlag": false, "endDate": "2023-06-30T00:00:00Z"}), "ends on 2023-06-30 now (had no end")]
#[case::to_be_cancelled(
    "TU4003", json!({"cancelledFlag": true, "dateCancelled": "2023-06-30T00:00:00Z"}), "ends on 2023-06-30 now"
)]
fn an_agreement_that_a_person_changed_is_told_at_once(
    #[case] code: &str,
    #[case] fields: Value,
    #[case] why: &str,
) {
    let bench = billed();
    let old = change(&bench, &fields);
    let pulled = bench.json(&["psa", "pull"]).exits(1).json();
    assert_eq!(pulled["other_findings"], 1, "{pulled}");
    let told = of_agreements(&bench);
    assert_eq!(told.len(), 1, "{told:?}");
    let (finding, message) = (&told[0], told[0]["message"].as_str().unwrap());
    assert_eq!((&finding["code"], &finding["severity"]), (&code.into(), &"error".into()), "{finding}");
    assert_eq!(
        (&finding["amount"]["amount"], &finding["amount"]["currency"]),
        (&"110.00".into(), &"USD".into())
    );
    assert!(message.starts_with("Agreement 40 (Cloud) ") && message.contains(why), "{message}");
    assert!(
        message.contains("addition 1: 5 of exo-p1, s-1") && message.contains("110.00 USD a period"),
        "{message}"
    );
    let fix = finding["fix"].as_str().unwrap();
    assert!(fix.contains("`agreement,s-1,ID`") && fix.contains("--customer c-100"), "{fix}");
    // Said once, by whoever looks: a check finds what the pull has found.
    assert_eq!(bench.json(&["check"]).exits(0).json()["findings"], json!([]));
    bench.json(&["psa", "pull"]).exits(1);
    assert_eq!(of_agreements(&bench).len(), 1);
    // It goes away when it is mended.
    bench.control("seed", &json!({ "resources": { "finance/agreements": [old] } }));
    bench.json(&["psa", "pull"]).exits(0);
    assert_eq!(open(&bench), Vec::<Value>::new());
}

/// 8 instead of 5 seats from 15 March on, on an agreement that prorates or does not; the task of the change.
fn upgraded(by: &str, prorates: bool) -> (Bench, String) {
    let bench = billed();
    bench.json(&["setting", "set", "proration_by", by]).exits(0);
    change(&bench, &json!({"prorateFlag": prorates}));
    bench.feed(&upgrade()).exits(0);
    let task = bench.json(&["check"]).exits(0).json()["created"][0]["task_id"].as_str().unwrap().to_owned();
    bench.json(&["apply", "--all"]).exits(0);
    bench.json(&["psa", "pull"]).exits(0);
    (bench, task)
}

fn of_dates(bench: &Bench) -> Vec<Value> {
    open(bench).into_iter().filter(|f| f["subject"]["detail"] == "the dates of its lines").collect()
}

/// Lines are dated for an agreement that prorates, or for one that does not: once a person switches it, they are billed
/// otherwise than they were sold. The next pull, check and plan tell it, with what it comes to.
#[rstest]
#[case::prorated_again("trueup", false, "-16.35", "3 x 12.06 is billed for 17 of 31 days once more")]
#[case::billed_whole("connectwise", true, "139.82", "both lines of March are billed whole")]
fn a_flag_that_a_person_switched_is_told_at_once(
    #[case] by: &str,
    #[case] prorates: bool,
    #[case] amount: &str,
    #[case] why: &str,
) {
    let (bench, task) = upgraded(by, prorates);
    change(&bench, &json!({"prorateFlag": !prorates}));
    bench.json(&["psa", "pull"]).exits(1);
    let told = of_dates(&bench);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((&told[0]["code"], &told[0]["severity"]), (&"TU3006".into(), &"error".into()), "{told:?}");
    assert_eq!(told[0]["amount"]["amount"], amount, "{why}: {told:?}");
    // Said once, by whoever looks; a plan that looks at the agreement says it as well.
    assert_eq!(bench.json(&["check"]).exits(0).json()["findings"], json!([]));
    let line = r#""charge":"setup","quantity":"1""#;
    bench.feed(&order("BO-1", "billing", "2023-03-20", line)).exits(0);
    bench.json(&["check"]).exits(0);
    let planned = bench.json(&["plan"]).exits(1).json();
    let codes: Vec<&Value> = planned["findings"].as_array().unwrap().iter().map(|f| &f["code"]).collect();
    assert!(codes.contains(&&"TU3006".into()), "{planned}");
    assert_eq!(of_dates(&bench).len(), 1);
    // Put back, it is gone.
    change(&bench, &json!({"prorateFlag": prorates}));
    bench.json(&["psa", "pull"]).exits(0);
    assert_eq!(of_dates(&bench), Vec::<Value>::new());
    // Where the switch is to stay, the order is taken back and carried out again: its lines are dated for it then.
    change(&bench, &json!({"prorateFlag": !prorates}));
    bench.json(&["psa", "pull"]).exits(1);
    bench.json(&["setting", "set", "proration_by", if prorates { "trueup" } else { "connectwise" }]).exits(0);
    let undo = bench.json(&["undo", "--task", &task]).exits(0).json()["plan_id"].as_str().unwrap().to_owned();
    bench.json(&["apply", &undo]).exits(0);
    bench.json(&["task", "unignore", &task]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    bench.json(&["psa", "pull"]).exits(0);
    assert_eq!(of_dates(&bench), Vec::<Value>::new());
}

/// What is told before an invoice and not mended is told as long as that invoice is the last one.
#[test]
fn a_flag_that_a_person_switched_is_told_after_the_invoice_as_well() {
    let (mut bench, _) = upgraded("connectwise", true);
    change(&bench, &json!({"prorateFlag": false}));
    bench.json(&["psa", "pull"]).exits(1);
    for (day, told) in [("2023-04-02", 1), ("2023-05-02", 0)] {
        bench.on(day);
        bench.by_hand("POST", "finance/agreements/40/invoice", &json!({}));
        bench.json(&["psa", "pull"]);
        assert_eq!(of_dates(&bench).len(), told, "{day}");
    }
}

#[test]
fn what_is_sold_otherwise_now_is_told_by_a_check() {
    let bench = billed();
    bench.json(&["psa", "pull"]).exits(0);
    let yearly = BASE.replace(
        r#""billing_cycle":{"every":1,"unit":"month"},"start""#,
        r#""billing_cycle":{"every":1,"unit":"year"},"start""#,
    );
    bench.feed(&yearly).exits(0);
    let told = bench.json(&["check"]).exits(1).json();
    assert_eq!(told["findings"][0]["code"], "TU3004", "{told}");
    // An order under way may be what brings it.
    let line = r#""charge":"recurring","quantity":"3","old_quantity":"5","new_quantity":"8""#;
    bench.feed(&order("CH-1", "change", "2023-03-15", line)).exits(0);
    bench.json(&["check"]);
    assert_eq!(of_agreements(&bench), Vec::<Value>::new());
    bench.feed(BASE).exits(0);
    bench.json(&["check"]).exits(0);
    assert_eq!(of_agreements(&bench), Vec::<Value>::new());
}

#[test]
fn an_end_that_was_there_before_the_lines_is_nobodys_change() {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    ends(&bench, "2023-12-31");
    bench.feed(&format!("{BASE}{}", sale())).exits(0);
    bench.map(MAPPINGS).exits(0);
    bench.json(&["check"]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    bench.json(&["psa", "pull"]).exits(0);
    assert_eq!(open(&bench), Vec::<Value>::new());
    // Later is fine, and earlier than that is told.
    ends(&bench, "2024-12-31");
    bench.json(&["psa", "pull"]).exits(0);
    ends(&bench, "2023-12-31");
    bench.json(&["psa", "pull"]).exits(1);
    let told = of_agreements(&bench);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0]["message"].as_str().unwrap().contains("(ended on 2024-12-31 when"), "{told:?}");
    // Once it is over, nothing bills the lines.
    bench.on("2024-01-02");
    bench.json(&["psa", "pull"]).exits(1);
    let codes: Vec<Value> = of_agreements(&bench).into_iter().map(|f| f["code"].clone()).collect();
    assert_eq!(codes, ["TU8006"]);
}

/// A copy of addition 1, as a person makes one in ConnectWise: everything of it, the serial number included.
fn copied(bench: &Bench, agreement: &str, fields: &Value) {
    let of_40 = bench.ask("state")["resources"]["finance/agreements/{id}/additions"]["40"].clone();
    let original = of_40.as_array().unwrap().iter().find(|row| row["id"] == 1).unwrap().clone();
    let mut copy = original.as_object().unwrap().clone();
    copy.insert("id".into(), json!(700));
    for name in ["agreementId", "_info"] {
        copy.remove(name);
    }
    copy.extend(fields.as_object().unwrap().clone());
    let rows = json!({ "finance/agreements/{id}/additions": { agreement: [copy] } });
    bench.control("seed", &json!({ "resources": rows }));
}

#[test]
fn a_copy_of_a_line_is_one_finding_and_nobodys_line() {
    let bench = billed();
    copied(&bench, "40", &json!({"quantity": 6}));
    bench.json(&["psa", "pull"]).exits(1);
    let told = open(&bench);
    assert_eq!(told.len(), 1, "{told:?}");
    let (finding, message) = (&told[0], told[0]["message"].as_str().unwrap());
    assert_eq!((&finding["code"], &finding["severity"]), (&"TU3007".into(), &"error".into()));
    assert_eq!(finding["amount"]["amount"], "132.00", "{finding}");
    assert!(
        message.starts_with("Addition 700 on agreement 40 is a copy that a person made of addition 1,"),
        "{message}"
    );
    assert!(message.contains("6 x 22.00 = 132.00 USD a billing cycle"), "{message}");
    // An edit of the own line is one more finding, and stays one.
    let edit = json!([{"op": "replace", "path": "quantity", "value": 7}]);
    bench.by_hand("PATCH", "finance/agreements/40/additions/1", &edit);
    bench.json(&["psa", "pull"]).exits(1);
    let mut codes: Vec<Value> = open(&bench).into_iter().map(|f| f["code"].clone()).collect();
    codes.sort_by_key(Value::to_string);
    assert_eq!(codes, ["TU3007", "TU7002"]);
    let back = json!([{"op": "replace", "path": "quantity", "value": 5}]);
    bench.by_hand("PATCH", "finance/agreements/40/additions/1", &back);
    // No plan writes to it, takes it over or counts it twice; a reconciliation tells it too.
    let reconcile = ["plan", "--reconcile", "2023-03-01..2023-04-01", "--customer", "c-100"];
    let plan = bench.json(&reconcile).exits(1).json();
    assert_eq!((&plan["changes"], &plan["totals"]["keep"]), (&json!([]), &1.into()), "{plan}");
    assert_eq!(plan["findings"].as_array().unwrap().len(), 1, "{plan}");
    assert_eq!(plan["findings"][0]["code"], "TU3007");
    let line = r#""charge":"recurring","quantity":"3","old_quantity":"5","new_quantity":"8""#;
    bench.feed(&order("CH-1", "change", "2023-03-15", line)).exits(0);
    bench.json(&["check"]).exits(0);
    let ran = bench.json(&["apply", "--all"]).exits(0).json();
    let touched: Vec<&Value> =
        ran["changes"].as_array().unwrap().iter().map(|change| &change["addition_id"]).collect();
    assert!(!touched.contains(&&json!(700)) && touched.contains(&&json!(1)), "{ran}");
    // Ended, it is told no more.
    let end = json!([{"op": "replace", "path": "cancelledDate", "value": "2023-03-19T00:00:00Z"}]);
    bench.by_hand("PATCH", "finance/agreements/40/additions/700", &end);
    bench.json(&["psa", "pull"]).exits(0);
    let copies = open(&bench).into_iter().filter(|f| f["code"] == "TU3007" && f["task_id"].is_null());
    assert_eq!(copies.count(), 0);
}

#[test]
fn a_copy_on_another_agreement_is_told_and_one_that_bills_nothing_is_a_warning() {
    let bench = billed();
    let old = rows(&bench, "finance/agreements").into_iter().find(|row| row["id"] == 40).unwrap();
    let mut next = old.as_object().unwrap().clone();
    next.insert("id".into(), json!(30));
    next.insert("name".into(), json!("Cloud, next year"));
    bench.control("seed", &json!({ "resources": { "finance/agreements": [next] } }));
    copied(&bench, "30", &json!({"billCustomer": "DoNotBill"}));
    bench.json(&["psa", "pull"]).exits(0);
    let told = open(&bench);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((&told[0]["code"], &told[0]["severity"]), (&"TU3007".into(), &"warning".into()), "{told:?}");
    let message = told[0]["message"].as_str().unwrap();
    assert!(
        message.contains("on agreement 30 is a copy") && message.contains("addition 1 on agreement 40"),
        "{message}"
    );
    assert!(message.contains("The copy bills nothing."), "{message}");
}

#[test]
fn an_order_whose_instant_is_written_otherwise_is_the_same_order() {
    let bench = billed();
    let told = |text: &str| bench.feed(text).exits(0).json()["records"]["order"].clone();
    let moved = sale().replace("2023-03-01T09:00:00Z", "2023-03-01T11:00:00+02:00");
    assert_eq!(told(&moved)["unchanged"], 1);
    // Another day is another order, where the day is not named.
    let other_day = sale().replace("2023-03-01T09:00:00Z", "2023-02-28T21:00:00-12:00");
    assert_eq!(told(&other_day)["changed"], 1);
}

#[test]
fn an_order_that_changed_after_it_was_billed_says_how_and_by_how_much() {
    let mut bench = billed();
    bench.on("2023-03-21");
    bench.feed(&sale().replace(r#""quantity":"5""#, r#""quantity":"7""#)).exits(0);
    let told = bench.json(&["check"]).exits(0).json()["findings"].clone();
    let message = told[0]["message"].as_str().unwrap_or_default();
    assert!(message.contains("line 1 (exo-p1): quantity 7 instead of 5"), "{told}");
    assert!(message.contains("worth 44.00 USD more"), "{told}");
    assert_eq!(
        (&told[0]["code"], &told[0]["amount"]["amount"]),
        (&"TU8006".into(), &"44.00".into()),
        "{told}"
    );
}

/// The source takes an order back that is billed: it needs a person, with what it comes to and the command that takes it back.
#[test]
fn an_order_that_is_withdrawn_after_it_was_billed_needs_a_person() {
    let mut bench = billed();
    bench.on("2023-03-21");
    bench.feed(&sale().replace(r#""currency""#, r#""status":"cancelled","currency""#)).exits(0);
    let told = bench.json(&["check"]).exits(1).json()["findings"].clone();
    assert_eq!(
        (&told[0]["code"], &told[0]["severity"], &told[0]["amount"]["amount"]),
        (&"TU8006".into(), &"error".into(), &"-110.00".into()),
        "{told}"
    );
    let fix = told[0]["fix"].as_str().unwrap();
    let task = told[0]["task_id"].as_str().unwrap();
    assert!(fix.contains(&format!("`trueup undo --task {task}`")), "{told}");
    let undo = bench.json(&["undo", "--task", task]).exits(0).json();
    bench.json(&["apply", undo["plan_id"].as_str().unwrap()]).exits(0);
    let told = bench.json(&["check"]).exits(0).json()["findings"].clone();
    assert!(!told.to_string().contains("TU8006"), "{told}");
    // What a person has put aside stays so when the source completes it again: that is told, with the way back.
    bench.on("2023-03-22");
    bench.feed(&sale()).exits(0);
    let told = bench.json(&["check"]).exits(1).json()["findings"].clone();
    assert_eq!(
        (&told[0]["code"], &told[0]["severity"], &told[0]["amount"]["amount"]),
        (&"TU8006".into(), &"error".into(), &"110.00".into()),
        "{told}"
    );
    assert!(told[0]["fix"].as_str().unwrap().contains(&format!("`trueup task unignore {task}`")), "{told}");
    bench.json(&["task", "unignore", task]).exits(0);
    let told = bench.json(&["check"]).exits(0).json()["findings"].clone();
    assert!(!told.to_string().contains("TU8006"), "{told}");
    bench.json(&["apply", "--all"]).exits(0);
}

#[test]
fn counts_are_whole_and_roles_come_as_a_document() {
    let bench = Bench::new("2023-03-20");
    for key in ["brakes.cancels", "brakes.min_changes"] {
        bench.json(&["setting", "set", key, "1.5"]).exits(2);
        bench.json(&["setting", "set", key, "2"]).exits(0);
    }
    bench.json(&["setting", "set", "brakes.percent", "1.5"]).exits(0);
    let roles = bench.json(&["user", "roles"]).exits(0).json();
    assert_eq!(roles["roles"][0], "operator", "{roles}");
    let right = roles["rights"].as_array().unwrap().iter().find(|r| r["right"] == "approvals.write").unwrap();
    assert_eq!(right["roles"], json!(["operator", "admin", "partner_operator"]), "{right}");
    assert!(bench.run(&["user", "roles"]).exits(0).out.starts_with("# Roles and rights"));
}
