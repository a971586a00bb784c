//! Taking back what was written, and doing it again.

use super::bench::{BASE, Bench, MAPPINGS, order, sale, upgrade};
use rust_decimal::Decimal;
use serde_json::{Value, json};

/// Five seats billed on addition 1, then three more; nothing is invoiced.
fn sold(credits: &str) -> (Bench, Vec<String>) {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    bench.json(&["setting", "set", "credits", credits]).exits(0);
    bench.feed(&format!("{BASE}{}{}", sale(), upgrade())).exits(0);
    bench.map(MAPPINGS).exits(0);
    bench.json(&["check"]).exits(0);
    let mut plans = Vec::new();
    for task in tasks(&bench) {
        let planned = bench.json(&["plan", "--task", &task]).exits(0).json();
        let plan = planned["plan_id"].as_str().unwrap().to_owned();
        bench.json(&["apply", &plan]).exits(0);
        plans.push(plan);
    }
    (bench, plans)
}

fn tasks(bench: &Bench) -> Vec<String> {
    let list = bench.json(&["task", "list"]).exits(0).json();
    let tasks = list["tasks"].as_array().unwrap();
    let mut ids: Vec<_> = tasks
        .iter()
        .map(|t| (t["completed_at"].as_str().unwrap_or_default(), t["task_id"].as_str().unwrap()))
        .collect();
    ids.sort_unstable();
    ids.into_iter().map(|(_, id)| id.to_owned()).collect()
}

fn state_of(bench: &Bench, task: &str) -> (String, String) {
    let list = bench.json(&["task", "list"]).exits(0).json();
    let row = list["tasks"].as_array().unwrap().iter().find(|t| t["task_id"] == task).unwrap().clone();
    let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
    (text("state"), text("reason"))
}

/// Quantity, price, first and last day of the additions.
fn additions(bench: &Bench) -> Vec<Value> {
    let state = bench.ask("state");
    let rows = state["resources"]["finance/agreements/{id}/additions"]["40"].as_array().cloned();
    let mut rows: Vec<Value> = rows
        .unwrap_or_default()
        .iter()
        .map(|a| json!([a["quantity"], a["unitPrice"], a["effectiveDate"], a["cancelledDate"]]))
        .collect();
    rows.sort_by_key(Value::to_string);
    rows
}

fn plan_of(ran: &Value) -> String {
    ran["plan_id"].as_str().unwrap().to_owned()
}

#[test]
fn a_run_is_taken_back_and_done_again() {
    let (bench, plans) = sold("off");
    let after = additions(&bench);
    assert!(after.len() > 1, "{after:?}");
    let tasks = tasks(&bench);

    // The sale cannot go before what was built on it.
    let held = bench.json(&["undo", "--plan", &plans[0]]).exits(1).json();
    assert_eq!(held["changes"], json!([]), "{held}");
    assert_eq!(held["findings"][0]["code"], "TU7006", "{held}");

    let undo = bench.json(&["undo", "--plan", &plans[1]]).exits(0).json();
    assert_eq!(additions(&bench), after, "a plan writes nothing");
    let undo = plan_of(&undo);
    bench.json(&["apply", &undo]).exits(0);
    let sold = additions(&bench);
    assert_eq!(sold, [json!([5.0, 22.0, "2023-03-01T00:00:00Z", null])]);
    let (state, reason) = state_of(&bench, &tasks[1]);
    assert_eq!((state.as_str(), reason.contains("taken back")), ("ignored", true), "{reason}");
    assert_eq!(state_of(&bench, &tasks[0]).0, "done");

    // Carried out once more it does nothing, a run over all tasks leaves it alone, and an undo is not undone.
    bench.json(&["apply", &undo]);
    bench.json(&["check"]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    assert_eq!(state_of(&bench, &tasks[1]).0, "ignored", "no check takes it in again");
    assert_eq!(additions(&bench), sold);
    let again = bench.json(&["undo", "--plan", &undo]).exits(2);
    assert!(again.err.contains("took something back itself"), "{}", again.err);
    let nothing = bench.json(&["undo", "--task", &tasks[1]]).exits(2);
    assert!(nothing.err.contains("took all of it back"), "{}", nothing.err);

    let held = bench.json(&["undo", "--plan", &plans[1]]).exits(1).json();
    assert_eq!(held["changes"], json!([]), "taken back already: {held}");
    // Taken in again it is billed as it was, and can be taken back again.
    for _ in 0..2 {
        bench.json(&["task", "unignore", &tasks[1]]).exits(0);
        bench.json(&["apply", "--all"]).exits(0);
        assert_eq!(additions(&bench), after);
        assert_eq!(state_of(&bench, &tasks[1]).0, "done");
        // The plan of the first time is not what stands there now.
        let held = bench.json(&["undo", "--plan", &plans[1]]).exits(1).json();
        assert_eq!(held["changes"], json!([]), "{held}");
        let back = plan_of(&bench.json(&["undo", "--task", &tasks[1]]).exits(0).json());
        bench.json(&["apply", &back]).exits(0);
        assert_eq!(additions(&bench), sold);
    }
    bench.json(&["audit", "verify"]).exits(0);
}

#[test]
fn both_tasks_go_at_once_and_one_line_goes_alone() {
    let (bench, _) = sold("off");
    let ids = tasks(&bench);
    let back = bench.json(&["undo", "--task", &ids[0], &ids[1]]).exits(0).json();
    bench.json(&["apply", &plan_of(&back)]).exits(0);
    assert_eq!(additions(&bench), Vec::<Value>::new(), "{back}");
    bench.json(&["undo", "--task", &ids[0]]).exits(2);
    for wrong in [
        &["undo", "--addition", "999"][..],
        &["undo"],
        &["undo", "--plan", "x"],
        &["undo", "--task", "x"],
        &["undo", "--plan", "x", "--task", "y"],
    ] {
        bench.json(wrong).exits(2);
    }
}

#[test]
fn what_a_person_changed_is_left_alone() {
    let (bench, plans) = sold("off");
    let state = bench.ask("state");
    let rows = state["resources"]["finance/agreements/{id}/additions"]["40"].as_array().unwrap();
    let mut open = rows.iter().find(|a| a["quantity"] == 8.0).unwrap().clone();
    open["quantity"] = json!(9);
    bench.control("seed", &json!({ "resources": { "finance/agreements/{id}/additions": { "40": [open] } } }));
    let held = bench.json(&["undo", "--plan", &plans[1]]).exits(1).json();
    assert_eq!((&held["findings"][0]["code"], &held["changes"]), (&json!("TU7002"), &json!([])), "{held}");
    // It stays to be seen, whatever is looked at next, until the task is taken back.
    assert_eq!(open_findings(&bench, "TU7002"), 1);
    bench.json(&["check"]);
    bench.json(&["psa", "pull"]);
    assert!(open_findings(&bench, "TU7002") >= 1);
    let mut back = rows.iter().find(|a| a["quantity"] == 8.0).unwrap().clone();
    back["quantity"] = json!(8);
    bench.control("seed", &json!({ "resources": { "finance/agreements/{id}/additions": { "40": [back] } } }));
    let undo = bench.json(&["undo", "--plan", &plans[1]]).exits(0).json();
    bench.json(&["apply", &plan_of(&undo)]).exits(0);
    bench.json(&["psa", "pull"]).exits(0);
    assert_eq!(open_findings(&bench, "TU7002"), 0);
}

/// Open findings of a code.
fn open_findings(bench: &Bench, code: &str) -> usize {
    let found = bench.json(&["finding", "list"]).json();
    let of = |f: &&Value| f["code"] == code && (f["state"] == "open" || f["state"] == "recurred");
    found["findings"].as_array().unwrap().iter().filter(of).count()
}

/// Makes the next invoice, as somebody does in ConnectWise.
fn invoice(bench: &Bench) {
    bench.by_hand("POST", "finance/agreements/40/invoice", &json!({}));
}

/// What all invoices so far come to.
fn invoiced(bench: &Bench) -> Decimal {
    let invoices = bench.ask("invoices");
    let lines = invoices.as_array().unwrap().iter().flat_map(|invoice| invoice["lines"].as_array().unwrap());
    lines.map(|line| line["amount"].to_string().trim_matches('"').parse::<Decimal>().unwrap()).sum()
}

/// The addition that an undo made, as ConnectWise shows it.
fn credit(bench: &Bench) -> Option<Value> {
    let state = bench.ask("state");
    let rows = state["resources"]["finance/agreements/{id}/additions"]["40"].as_array().cloned();
    rows.unwrap_or_default().into_iter().find(|a| a["quantity"] == -1.0)
}

/// What invoices billed of an upgrade comes back with the next one; the upgrade is billed once where it is made again. All
/// the time the invoices come to what was ordered.
#[test]
fn what_was_invoiced_is_given_back_and_billed_once_again() {
    let (bench, plans) = sold("on");
    let ids = tasks(&bench);
    invoice(&bench);
    invoice(&bench);
    // Five seats in two months, three more in one and in the 17 days before it.
    assert_eq!(invoiced(&bench).to_string(), "322.18");
    let undo = bench.json(&["undo", "--plan", &plans[1]]).exits(0).json();
    let made = undo["changes"].as_array().unwrap().iter().find(|c| c["op"] == "create").unwrap().clone();
    assert_eq!((&made["role"], &made["amount"]), (&json!("refund"), &json!("-102.18")), "{undo}");
    assert_eq!(undo["findings"][0]["code"], "TU4002", "{undo}");
    assert!(credit(&bench).is_none(), "a plan writes nothing");
    bench.json(&["apply", &plan_of(&undo)]).exits(0);
    let written = credit(&bench).unwrap();
    assert_eq!(written["unitPrice"], 102.18, "{written}");
    assert!(
        written["invoiceDescription"].as_str().unwrap().contains("2023-03-15 to 2023-04-30"),
        "{written}"
    );

    // Why it is there.
    let why = bench.json(&["audit", "explain", &written["id"].to_string()]).exits(0).json();
    let formula = why["values"]["unitPrice"]["formula"].as_str().unwrap();
    assert!(formula.contains("(0.00 - 176.00)") && formula.ends_with("= -102.18"), "{formula}");
    assert!(why.to_string().contains("102.18 more than they would have without it"), "{why}");

    // Taken back a second time nothing is written, and nobody mistakes what is left for lines of somebody.
    bench.json(&["undo", "--task", &ids[1]]).exits(2);
    let held = bench.json(&["undo", "--plan", &plans[1]]).exits(1).json();
    assert_eq!(held["changes"], json!([]), "{held}");
    bench.json(&["check"]).exits(0);
    bench.json(&["psa", "pull"]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    assert_eq!(open_findings(&bench, "TU4002"), 0);
    invoice(&bench);
    assert_eq!(invoiced(&bench).to_string(), "330.00", "three months of five seats");

    bench.json(&["task", "unignore", &ids[1]]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    invoice(&bench);
    assert_eq!(invoiced(&bench).to_string(), "674.18", "as if it had never been taken back");
    bench.json(&["apply", "--all"]).exits(0);
    bench.json(&["undo", "--task", &ids[1]]).exits(0);
    bench.json(&["audit", "verify"]).exits(0);
}

/// Without a credit the lines are restored all the same, and what a person has to give back stays to be seen.
#[test]
fn what_is_not_given_back_stays_to_be_seen() {
    for (credits, flags) in [("off", &[][..]), ("on", &["--no-credit"][..])] {
        let (bench, plans) = sold(credits);
        invoice(&bench);
        invoice(&bench);
        let args = [&["undo", "--plan", &plans[1]][..], flags].concat();
        let undo = bench.json(&args).exits(0).json();
        assert_eq!(undo["findings"][0]["code"], "TU6005", "{undo}");
        assert_eq!(undo["findings"][0]["amount"]["amount"], "-102.18", "{undo}");
        bench.json(&["apply", &plan_of(&undo)]).exits(0);
        assert!(credit(&bench).is_none(), "{credits}");
        invoice(&bench);
        assert_eq!(invoiced(&bench).to_string(), "432.18", "{credits}");
        bench.json(&["check"]).exits(0);
        assert_eq!(open_findings(&bench, "TU6005"), 1, "{credits}");
    }
}

/// Money that goes back waits for people where the policy says so.
#[test]
fn a_credit_is_approved_like_any_other() {
    let (bench, plans) = sold("on");
    invoice(&bench);
    bench.json(&["setting", "set", "approval.persons", "2"]).exits(0);
    bench.json(&["setting", "set", "approval.decrease", "on"]).exits(0);
    let undo = plan_of(&bench.json(&["undo", "--plan", &plans[1]]).exits(0).json());
    let waits = bench.json(&["apply", &undo]).exits(1).json();
    assert_eq!(waits["summary"]["applied"], 0, "{waits}");
    assert!(credit(&bench).is_none(), "{waits}");
    let asked = bench.json(&["approval", "list"]).exits(0).out;
    assert!(asked.contains("gets 36.18 USD back for exo-p1"), "{asked}");
    bench.json(&["setting", "set", "approval.persons", "1"]).exits(0);
    bench.json(&["apply", &undo]).exits(0);
    assert_eq!(credit(&bench).unwrap()["unitPrice"], 36.18);
}

/// What keeps an undo back is listed, whatever is looked at next; an undo that goes through leaves none of its task.
#[test]
fn what_an_undo_finds_is_listed_and_closed() {
    let (bench, plans) = sold("off");
    // The invoice of March is made between the change and the first try, on an agreement that ends with it.
    let put = |next: &str, end: &Value| {
        let state = bench.ask("state");
        let mut row = state["resources"]["finance/agreements"].as_array().unwrap()[0].clone();
        row["nextInvoiceDate"] = json!(next);
        row["endDate"] = end.clone();
        row["noEndingDateFlag"] = json!(end.is_null());
        bench.control("seed", &json!({ "resources": { "finance/agreements": [row] } }));
    };
    put("2023-04-01T00:00:00Z", &json!("2023-03-31T00:00:00Z"));
    let held = bench.json(&["undo", "--plan", &plans[1]]).exits(1).json();
    assert_eq!(held["changes"], json!([]), "{held}");
    let told = open_findings(&bench, "TU4002");
    assert!(told > 0, "{held}");
    bench.json(&["check"]);
    assert_eq!(open_findings(&bench, "TU4002"), told, "no check settles what an undo found");
    put("2023-03-01T00:00:00Z", &Value::Null);
    let undo = bench.json(&["undo", "--plan", &plans[1]]).exits(0).json();
    assert_eq!(open_findings(&bench, "TU4002"), 0, "{undo}");
    bench.json(&["apply", &plan_of(&undo)]).exits(0);
    let ids = tasks(&bench);
    let found = bench.json(&["finding", "list"]).json();
    let of = |f: &&Value| f["task_id"] == ids[1].as_str() && f["state"] != "resolved";
    assert_eq!(found["findings"].as_array().unwrap().iter().filter(of).count(), 0, "{found}");
}

/// Two changes, the later one taken back first: what it had put on the lines of the other one is gone, and the other one goes
/// by itself. Named with one that was taken back already, the rest goes on.
#[test]
fn one_change_after_the_other_is_taken_back() {
    let (bench, plans) = sold("on");
    let line = r#""charge":"recurring","quantity":"2","old_quantity":"8","new_quantity":"10""#;
    bench.feed(&order("CH-2", "change", "2023-03-20", line)).exits(0);
    bench.json(&["check"]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    let ids = tasks(&bench);
    let last = ids[2].clone();
    invoice(&bench);
    let undo = plan_of(&bench.json(&["undo", "--task", &last]).exits(0).json());
    bench.json(&["apply", &undo]).exits(0);
    invoice(&bench);
    let both = bench.json(&["undo", "--task", &ids[1], &last]).exits(0).json();
    assert!(both["findings"].to_string().contains("wrote nothing for task"), "{both}");
    assert_ne!(both["changes"], json!([]), "{both}");
    let alone = bench.json(&["undo", "--task", &ids[1]]).exits(0).json();
    bench.json(&["apply", &plan_of(&alone)]).exits(0);
    assert_eq!(state_of(&bench, &ids[1]).0, "ignored");
    invoice(&bench);
    assert_eq!(invoiced(&bench).to_string(), "330.00", "three months of five seats");
    assert_eq!(plans.len(), 2);

    // Both are taken in again, with one that needs no decision: it is told, and the others go on.
    let decided = bench.json(&["task", "unignore", &ids[1], &ids[0], &last]).exits(1).json();
    assert_eq!(decided["tasks"].as_array().unwrap().len(), 2, "{decided}");
    assert_eq!(decided["refused"][0]["task_id"], ids[0].as_str(), "{decided}");
    bench.json(&["apply", "--all"]).exits(0);
    invoice(&bench);
    // 5, 8 and 10 seats: 17 days of three more, 12 days of two more, three months of ten.
    assert_eq!(invoiced(&bench).to_string(), "823.22", "as if neither had ever been taken back");
}

/// A renewal that came late, and found nothing to write beside a younger change, stands on that change: it goes with it, and
/// is billed when it is taken in again.
#[test]
fn what_needed_no_line_of_its_own_goes_with_what_it_stands_on() {
    let (bench, plans) = sold("on");
    let renewal = order("RE-1", "renewal", "2023-03-10", r#""charge":"recurring","quantity":"6""#);
    let renewal = renewal.replace("2023-04-01", "2023-05-01").replace("2023-03-01", "2023-04-01");
    bench.feed(&renewal).exits(0);
    bench.json(&["check"]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    let ids = tasks(&bench);
    let (renewed, changed) = (&ids[1], &ids[2]);
    assert_eq!(state_of(&bench, renewed).0, "done");
    let held = bench.json(&["undo", "--plan", &plans[1]]).exits(1).json();
    assert_eq!(held["findings"][0]["code"], "TU7006", "{held}");
    let said = held["findings"][0]["message"].as_str().unwrap();
    assert!(said.contains("Order RE-1 says 6 of it") && said.contains("5 would be billed"), "{said}");

    let both = plan_of(&bench.json(&["undo", "--task", renewed, changed]).exits(0).json());
    bench.json(&["apply", &both]).exits(0);
    assert_eq!([renewed, changed].map(|id| state_of(&bench, id).0), ["ignored", "ignored"]);
    bench.json(&["task", "unignore", renewed]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    invoice(&bench);
    invoice(&bench);
    assert_eq!(invoiced(&bench), Decimal::from(242), "a month of five seats and one of six");
}

/// A task that was taken back, named again with one whose line the same undo touched: the undo itself is not taken back.
#[test]
fn what_was_taken_back_before_stays_so_beside_others() {
    let (bench, _) = sold("on");
    bench.json(&["setting", "set", "mapping.product_item", "many"]).exits(0);
    let second =
        BASE.lines().find(|line| line.contains(r#""type":"product""#)).unwrap().replace("exo-p1", "exo-p2");
    bench.feed(&format!("{second}\n")).exits(0);
    bench.map("product,exo-p2,7,,\n").exits(0);
    for (id, on, line) in [
        (
            "CH-2",
            "2023-03-16",
            r#""charge":"recurring","quantity":"3","old_quantity":"0","new_quantity":"3""#,
        ),
        (
            "CH-3",
            "2023-03-17",
            r#""charge":"recurring","quantity":"1","old_quantity":"3","new_quantity":"4""#,
        ),
    ] {
        bench.feed(&order(id, "change", on, line).replace("exo-p1", "exo-p2")).exits(0);
        bench.json(&["check"]).exits(0);
        bench.json(&["apply", "--all"]).exits(0);
    }
    let ids = tasks(&bench);
    let (first, begun, last) = (&ids[1], &ids[2], &ids[3]);
    let undo = plan_of(&bench.json(&["undo", "--task", first, last]).exits(0).json());
    bench.json(&["apply", &undo]).exits(0);
    let again = bench.json(&["undo", "--task", first, begun]).exits(0).json();
    bench.json(&["apply", &plan_of(&again)]).exits(0);
    assert_eq!([first, begun, last].map(|id| state_of(&bench, id).0), ["ignored", "ignored", "ignored"]);
    invoice(&bench);
    invoice(&bench);
    assert_eq!(invoiced(&bench), Decimal::from(220), "two months of five seats\n{again}");
}

/// What took a product away came before its sale and wrote nothing; the sale was billed up to it. Taking that back alone leaves
/// the sale billed by nobody: it is told with its amount before anything is written.
#[test]
fn an_undo_that_leaves_a_sale_billed_by_nobody_says_so() {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    bench.json(&["setting", "set", "credits", "on"]).exits(0);
    let gone = r#""charge":"recurring","quantity":"-5","old_quantity":"5","new_quantity":"0""#;
    bench.feed(&format!("{BASE}{}", order("CH-1", "change", "2023-03-05", gone))).exits(0);
    bench.map(MAPPINGS).exits(0);
    bench.json(&["check"]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    bench.feed(&sale()).exits(0);
    bench.json(&["check"]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    let ids = tasks(&bench);
    assert_eq!(state_of(&bench, &ids[1]).0, "done", "the change");
    let back = bench.json(&["undo", "--task", &ids[1]]).exits(0).json();
    let told: Vec<&Value> =
        back["findings"].as_array().unwrap().iter().filter(|finding| finding["code"] == "TU6006").collect();
    assert_eq!(told.len(), 1, "{back}");
    // 27 of 31 days of March, and April.
    let amount: Decimal = told[0]["amount"]["amount"].as_str().unwrap().parse().unwrap();
    assert!((amount + Decimal::new(20581, 2)).abs() < Decimal::ONE, "{back}");
}

/// Of an upgrade one line alone is taken back: the new line, so that nothing bills from April on, or the end of the old one, so
/// that both do. Either is told with what it comes to; all of them, or the part alone, leave one line that goes on.
#[test]
fn an_undo_of_one_line_says_what_is_billed_beside_it() {
    let (bench, plans) = sold("off");
    let plan = bench.json(&["plan", "show", &plans[1]]).exits(0).json();
    let changes = plan["changes"].as_array().unwrap();
    let addition = |op: &str, role: &str| {
        let of = |c: &&Value| c["op"] == op && c["role"] == role;
        changes.iter().find(of).unwrap()["addition_id"].to_string()
    };
    let (part, new, old) =
        (addition("create", "prorate"), addition("create", "recurring"), addition("cancel", "recurring"));
    let told = |lines: &[&String]| {
        let args = lines.iter().flat_map(|line| ["--addition", line.as_str()]);
        let args: Vec<&str> = ["undo"].into_iter().chain(args).collect();
        let undo = bench.json(&args).json();
        assert!(!undo["changes"].as_array().unwrap().is_empty(), "{undo}");
        let found = undo["findings"].as_array().unwrap().clone();
        let found = found.into_iter().filter(|f| f["code"] == "TU8006");
        found
            .map(|f| (f["amount"]["amount"].clone(), f["message"].as_str().unwrap().to_owned()))
            .collect::<Vec<_>>()
    };
    let nothing = told(&[&new]);
    assert_eq!(nothing.len(), 1, "{nothing:?}");
    assert!(nothing[0].0 == "176.00" && nothing[0].1.contains("From 2023-04-01 on nothing"), "{nothing:?}");
    let twice = told(&[&old]);
    assert_eq!(twice.len(), 1, "{twice:?}");
    assert!(twice[0].0 == "110.00" && twice[0].1.contains("several lines"), "{twice:?}");
    assert_eq!(told(&[&part]), []);
    assert_eq!(told(&[&part, &new, &old]), []);
}
