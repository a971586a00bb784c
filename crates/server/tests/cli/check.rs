//! 'Check Changes': which orders become tasks.

use super::bench::{BASE, Bench, MAPPINGS, order, sale, upgrade};
use rstest::rstest;
use serde_json::Value;

fn created(document: &Value) -> Vec<(String, String)> {
    document["created"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| (t["kind"].as_str().unwrap().to_owned(), t["state"].as_str().unwrap().to_owned()))
        .collect()
}

fn pair(kind: &str, state: &str) -> (String, String) {
    (kind.into(), state.into())
}

#[test]
fn the_first_run_takes_a_month_and_reconciles_what_is_older() {
    let bench = Bench::new("2023-05-10");
    bench.feed(&format!("{BASE}{}", sale())).exits(0);
    bench.map(MAPPINGS).exits(0);
    let document = bench.json(&["check"]).exits(0).json();
    assert_eq!(created(&document), [pair("reconciliation", "ready")]);
    assert_eq!(
        (&document["left_out"], &document["taken_from"]),
        (&Value::from(1), &Value::from("2023-04-10"))
    );
    let again = bench.json(&["check"]).exits(0).json();
    assert_eq!((&again["left_out"], &again["taken_from"]), (&Value::from(0), &Value::Null));
}

/// What the first run left out stays left out when its record comes in again otherwise; a person asks for it with `--since`.
#[test]
fn what_the_first_run_left_out_is_no_news_when_its_record_changes() {
    let bench = Bench::new("2023-05-10");
    bench.feed(&format!("{BASE}{}", sale())).exits(0);
    bench.map(MAPPINGS).exits(0);
    bench.json(&["check"]).exits(0);
    bench.feed(&sale().replacen("{\"type\"", "{\"x\":1,\"type\"", 1)).exits(0);
    for _ in 0..2 {
        assert_eq!(created(&bench.json(&["check"]).exits(0).json()), []);
    }
    // One that was never told of before is new, however old it is.
    let another = sale().replace("\"SO-1\"", "\"SO-2\"");
    bench.feed(&another).exits(0);
    assert_eq!(created(&bench.json(&["check"]).exits(0).json()).len(), 1);
    let asked = bench.json(&["check", "--since", "2023-03-01"]).json();
    assert_eq!(created(&asked).len(), 1, "{asked}");
}

/// An older subscription with a recent change: what the change started from is billed by nothing, so that it needs a
/// reconciliation, whichever of the two is carried out first.
#[rstest::rstest]
#[case::change_first(true)]
#[case::reconciled_first(false)]
fn the_base_of_a_recent_change_is_reconciled(#[case] change_first: bool) {
    let mut bench = Bench::new("2023-05-10");
    bench.connect("2023-05-01");
    let in_may = |text: String| {
        text.replace("2023-03-15", "2023-05-05")
            .replace("2023-03-01", "2023-05-01")
            .replace("2023-04-01", "2023-06-01")
    };
    let base = BASE.replace("\"quantity\":\"5\"", "\"quantity\":\"8\"");
    bench.feed(&format!("{base}{}{}", sale(), in_may(upgrade()))).exits(0);
    bench.map(MAPPINGS).exits(0);
    let document = bench.json(&["check"]).exits(0).json();
    assert_eq!(created(&document), [pair("reconciliation", "ready"), pair("change", "ready")]);
    let reconcile = ["plan", "--reconcile", "2023-05-01..2023-06-01", "--customer", "c-100"];
    let reconciled = || {
        let plan = bench.json(&reconcile).exits(0).json();
        bench.json(&["apply", plan["plan_id"].as_str().unwrap()]).exits(0);
        plan["totals"]["create"].clone()
    };
    if change_first {
        let ran = bench.json(&["apply", "--all"]).exits(0);
        // What no run over all tasks carries out says so, in the run and in its row.
        let why = "a reconciliation starts when a person asks for it";
        assert!(ran.err.contains(&format!("is left out: {why}")), "{}", ran.err);
        let ran = ran.json();
        let ready = bench.json(&["task", "list", "--state", "ready"]).exits(0).json();
        assert!(ready["tasks"][0]["reason"].as_str().unwrap().starts_with(why), "{ready}");
        assert_eq!(ran["findings"][0]["code"], "TU8006", "{ran}");
        assert_eq!(ran["findings"][0]["amount"]["amount"], "110.00", "{ran}");
        assert_eq!(reconciled(), 1);
    } else {
        assert_eq!(reconciled(), 1);
        let ran = bench.json(&["apply", "--all"]).exits(0).json();
        assert_eq!(ran["findings"], Value::Array(Vec::new()), "{ran}");
    }
    assert_eq!(reconciled(), 0);
    let plan = bench.json(&["apply", "--all"]).exits(0).json();
    assert_eq!(plan["changes"], Value::Array(Vec::new()), "{plan}");
    let state = bench.ask("state");
    let lines = state["resources"]["finance/agreements/{id}/additions"]["40"].as_array().unwrap().clone();
    let mut shown: Vec<String> = lines
        .iter()
        .map(|a| {
            let day = |name: &str| a[name].as_str().map_or("-".to_owned(), |text| text[..10].to_owned());
            format!(
                "{} x {} {}..{}",
                a["quantity"],
                a["unitPrice"],
                day("effectiveDate"),
                day("cancelledDate")
            )
        })
        .collect();
    shown.sort();
    // 3 x 22.00 x 27/31
    assert_eq!(
        shown,
        [
            "3.0 x 19.16 2023-05-05..2023-05-31",
            "5.0 x 22.0 2023-05-01..2023-05-31",
            "8.0 x 22.0 2023-06-01..-"
        ]
    );
}

/// What is charged after its period is billed by its billing orders: there is nothing to reconcile.
#[test]
fn a_subscription_charged_afterwards_needs_no_reconciliation() {
    let mut bench = Bench::new("2023-05-10");
    bench.connect("2023-05-01");
    let base = BASE.replace("\"items\"", "\"billing_model\":\"arrears\",\"items\"");
    bench.feed(&base).exits(0);
    bench.map(MAPPINGS).exits(0);
    assert!(created(&bench.json(&["check"]).exits(0).json()).is_empty());
    let plan =
        bench.json(&["plan", "--reconcile", "2023-05-01..2023-06-01", "--customer", "c-100"]).exits(0).json();
    assert_eq!(plan["findings"][0]["code"], "TU4004", "{plan}");
    let tasks = bench.json(&["task", "list"]).exits(0).json();
    assert_eq!(tasks["tasks"][0]["state"], "ignored", "{tasks}");
}

/// A period in which a subscription still ran is reconciled, also once it is over.
#[test]
fn a_period_before_the_end_is_reconciled() {
    let mut bench = Bench::new("2023-05-10");
    bench.connect("2023-05-01");
    let over = BASE.replace("\"active\"", "\"cancelled\",\"cancelled_on\":\"2023-05-05\"");
    bench.feed(&over).exits(0);
    bench.map(MAPPINGS).exits(0);
    let reconcile = |period: &str| bench.json(&["plan", "--reconcile", period, "--customer", "c-100"]);
    let plan = reconcile("2023-05-01..2023-06-01").exits(0).json();
    assert_eq!(plan["changes"][0]["fields"]["cancelledDate"]["to"], "2023-05-05", "{plan}");
    reconcile("2023-06-01..2023-07-01").exits(2);
}

#[test]
fn since_takes_older_orders_whatever_the_first_run_rule_says() {
    let bench = Bench::new("2023-05-10");
    bench.feed(&format!("{BASE}{}{}", sale(), upgrade())).exits(0);
    bench.map(MAPPINGS).exits(0);
    let document = bench.json(&["check", "--since", "2023-03-01"]).exits(0).json();
    assert_eq!(created(&document), [pair("sales", "ready"), pair("change", "ready")]);
    let again = bench.json(&["check", "--since", "2023-03-01"]).exits(0).json();
    assert!(created(&again).is_empty());
}

#[test]
fn unmapped_tasks_say_what_is_missing_and_become_ready_by_themselves() {
    let bench = Bench::new("2023-03-20");
    bench.feed(&format!("{BASE}{}", sale())).exits(0);
    let document = bench.json(&["check"]).exits(1).json();
    assert_eq!(created(&document), [pair("sales", "needs_mapping")]);
    let codes: Vec<&str> =
        document["findings"].as_array().unwrap().iter().filter_map(|f| f["code"].as_str()).collect();
    assert_eq!(codes, ["TU2001", "TU2003"]);
    assert_eq!(
        bench.json(&["finding", "list"]).exits(0).json()["findings"].as_array().map(Vec::len),
        Some(2)
    );
    let state = || {
        let tasks = bench.json(&["task", "list"]).exits(0).json();
        let findings = bench.json(&["finding", "list"]).exits(0).json();
        let state = tasks["tasks"][0]["state"].as_str().unwrap().to_owned();
        (state, findings["findings"].as_array().unwrap().len())
    };
    // Mappings are judged where they are made: half of them is not enough, and a release takes readiness away.
    assert_eq!(bench.map("customer,c-100,12,,\n").exits(0).json()["tasks"]["needs_mapping"], 1);
    assert_eq!(state(), ("needs_mapping".to_owned(), 1));
    assert_eq!(bench.map(MAPPINGS).exits(0).json()["tasks"]["ready"], 1);
    assert_eq!(state(), ("ready".to_owned(), 0));
    assert!(bench.json(&["check"]).exits(0).json()["moved"].as_array().unwrap().is_empty());
    bench.json(&["mapping", "release", "product", "exo-p1"]).exits(0);
    assert_eq!(state(), ("needs_mapping".to_owned(), 1));
}

#[test]
fn an_order_that_comes_late_is_not_lost() {
    let mut bench = Bench::new("2023-03-20");
    bench.feed(&format!("{BASE}{}", upgrade())).exits(0);
    bench.map(MAPPINGS).exits(0);
    assert_eq!(created(&bench.json(&["check"]).exits(0).json()).len(), 1);
    bench.on("2023-06-01");
    bench.feed(&sale()).exits(0);
    let document = bench.json(&["check"]).exits(0).json();
    assert_eq!(created(&document), [pair("sales", "ready")]);
}

#[test]
fn only_completed_orders_of_days_that_have_come_become_tasks() {
    let mut bench = Bench::new("2023-03-10");
    let pending = sale().replace("\"currency\"", "\"status\":\"pending\",\"currency\"");
    bench.feed(&format!("{BASE}{pending}{}", upgrade())).exits(0);
    bench.map(MAPPINGS).exits(0);
    let document = bench.json(&["check"]).exits(0).json();
    assert!(created(&document).is_empty(), "{document}");
    assert_eq!(document["not_completed"], 1);
    assert_eq!(document["later"], 1);
    assert_eq!(document["last_of_later"]["order_id"], "CH-1");
    assert_eq!(document["last_of_later"]["completed_on"], "2023-03-15");
    bench.on("2023-03-15");
    let document = bench.json(&["check"]).exits(0).json();
    assert_eq!(created(&document), [pair("change", "ready")]);
}

#[test]
fn a_billing_order_of_recurring_lines_needs_no_task_and_one_with_overuse_does() {
    let bench = Bench::new("2023-03-20");
    let plain = order("BO-1", "billing", "2023-03-10", r#""charge":"recurring","quantity":"5""#);
    let overuse = order("BO-2", "billing", "2023-03-12", r#""charge":"overuse","quantity":"100""#);
    bench.feed(&format!("{BASE}{plain}{overuse}")).exits(0);
    bench.map(MAPPINGS).exits(0);
    let document = bench.json(&["check"]).exits(0).json();
    assert_eq!(created(&document), [pair("billing", "ready")]);
    assert_eq!(document["no_task"][0]["order_id"], "BO-1");
    assert!(document["no_task"][0]["reason"].as_str().is_some_and(|r| !r.is_empty()));
}

#[test]
fn a_renewal_needs_a_task_only_where_something_changes() {
    let same = order("RN-1", "renewal", "2023-03-18", r#""charge":"recurring","quantity":"5""#);
    let more = order("RN-1", "renewal", "2023-03-18", r#""charge":"recurring","quantity":"6""#);
    for (renewal, known, tasks) in [(&same, true, 1), (&more, true, 2), (&same, false, 1)] {
        let bench = Bench::new("2023-03-20");
        let before = if known { sale() } else { String::new() };
        bench.feed(&format!("{BASE}{before}{renewal}")).exits(0);
        bench.map(MAPPINGS).exits(0);
        let document = bench.json(&["check"]).exits(0).json();
        assert_eq!(created(&document).len(), tasks, "{document}");
        let untouched = usize::from(known && tasks == 1);
        assert_eq!(document["no_task"].as_array().map(Vec::len), Some(untouched));
    }
}

/// A renewal with nothing new in it had no task. A cancellation of before it that comes in long after it ends the line, and
/// the renewal begins it again: it has a task from then on.
#[test]
fn a_renewal_without_a_task_is_not_lost_to_a_cancellation_of_before_it() {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    let april = |order: String| {
        let (march, april) = (r#""2023-03-01","end":"2023-04-01""#, r#""2023-04-01","end":"2023-05-01""#);
        order.replace(march, april)
    };
    bench.feed(&format!("{BASE}{}", sale())).exits(0);
    bench.map(MAPPINGS).exits(0);
    bench.json(&["check"]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    bench.by_hand("POST", "finance/agreements/40/invoice", &serde_json::json!({}));
    bench.on("2023-04-20");
    let recurring = r#""charge":"recurring","quantity":"5""#;
    bench.feed(&april(order("RN-1", "renewal", "2023-03-28", recurring))).exits(0);
    // A later order moves the mark on: what is older is not looked at again by itself.
    bench.feed(&april(order("BO-1", "billing", "2023-04-15", recurring))).exits(0);
    let document = bench.json(&["check"]).exits(0).json();
    assert_eq!(document["no_task"].as_array().map(Vec::len), Some(2), "{document}");
    bench.feed(&order("CL-1", "cancellation", "2023-03-10", recurring)).exits(0);
    let document = bench.json(&["check"]).exits(0).json();
    assert_eq!(created(&document), [pair("cancellation", "ready"), pair("renewal", "ready")], "{document}");
    let applied = bench.json(&["apply", "--all"]).json();
    let told = applied["findings"].to_string();
    assert!(told.contains("RN-1 renews") && told.contains("a line begins again"), "{told}");
    let rows = bench.ask("state")["resources"]["finance/agreements/{id}/additions"]["40"].clone();
    let open = rows.as_array().unwrap().iter().filter(|row| row["cancelledDate"].is_null()).count();
    assert_eq!(open, 1, "{rows}");
}

/// What was put aside or taken back is in no line: a renewal that has it in it is what brings it.
#[rstest]
#[case::put_aside(false)]
#[case::taken_back(true)]
fn a_renewal_brings_what_was_put_aside(#[case] undone: bool) {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    bench.feed(&format!("{BASE}{}", sale())).exits(0);
    bench.map(MAPPINGS).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    bench.feed(&upgrade()).exits(0);
    bench.json(&["check"]).exits(0);
    let tasks = bench.json(&["task", "list"]).exits(0).json();
    let change = tasks["tasks"].as_array().unwrap().iter().find(|t| t["order_id"] == "CH-1").unwrap();
    let id = change["task_id"].as_str().unwrap();
    if undone {
        bench.json(&["apply", "--all"]).exits(0);
        let undo = bench.json(&["undo", "--task", id]).exits(0).json();
        bench.json(&["apply", undo["plan_id"].as_str().unwrap()]).exits(0);
    } else {
        bench.json(&["task", "ignore", id, "--reason", "sent twice"]).exits(0);
    }
    let renewal = order("RN-1", "renewal", "2023-03-19", r#""charge":"recurring","quantity":"8""#);
    bench.feed(&renewal).exits(0);
    let document = bench.json(&["check"]).exits(0).json();
    assert_eq!(created(&document), [pair("renewal", "ready")], "{document}");
}

/// A plan that was looked at is out of date where the feed, a person, a mapping or a setting moved under it.
#[rstest]
#[case::put_aside("ignore")]
#[case::another_order("order")]
#[case::withdrawn("cancelled")]
#[case::another_item("mapping")]
#[case::unmapped("release")]
#[case::go_live("go_live")]
#[case::another_mode("line_mode")]
#[case::nothing("nothing")]
fn a_plan_stands_on_what_it_was_made_of(#[case] moved: &str) {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    bench.feed(&format!("{BASE}{}", sale())).exits(0);
    bench.map(MAPPINGS).exits(0);
    bench.json(&["check"]).exits(0);
    let plan = bench.json(&["plan", "--all"]).exits(0).json();
    let id = plan["plan_id"].as_str().unwrap();
    let task = plan["changes"][0]["task_id"].as_str().unwrap();
    match moved {
        "ignore" => drop(bench.json(&["task", "ignore", task, "--reason", "not ours"]).exits(0)),
        "order" => drop(bench.feed(&sale().replace("\"quantity\":\"5\"", "\"quantity\":\"6\"")).exits(0)),
        "cancelled" => {
            drop(bench.feed(&sale().replace("\"lines\"", "\"status\":\"cancelled\",\"lines\"")).exits(0))
        }
        "mapping" => drop(bench.map("product,exo-p1,8,,\n").exits(0)),
        "release" => drop(bench.json(&["mapping", "release", "customer", "c-100"]).exits(0)),
        "go_live" => drop(bench.json(&["setting", "set", "go_live", "2023-05-01"]).exits(0)),
        "line_mode" => drop(bench.json(&["setting", "set", "line_mode", "dual"]).exits(0)),
        // Another customer's mapping, and what only warns, are no part of it.
        _ => {
            bench.map("customer,c-999,13,,\n");
            bench.json(&["setting", "set", "price_limit_percent", "20"]).exits(0);
        }
    }
    let applied = bench.json(&["apply", id]);
    if moved == "nothing" {
        assert_eq!(applied.exits(0).json()["summary"]["failed"], 0);
        return;
    }
    let applied = applied.exits(1).json();
    assert_eq!(applied["findings"][0]["code"], "TU7001", "{applied}");
    assert_eq!(applied["summary"]["applied"], 0, "{applied}");
    assert_eq!(applied["changes"][0]["state"], "skipped", "{applied}");
}

#[test]
fn what_is_not_supported_is_ignored_with_a_code() {
    let bench = Bench::new("2023-03-20");
    let base = BASE.replace(
        r#""start":"2023-03-01","#,
        r#""start":"2023-03-01","charge_model":"before_subscription_period","#,
    );
    assert!(base != BASE);
    bench.feed(&format!("{base}{}", sale())).exits(0);
    bench.map(MAPPINGS).exits(0);
    let document = bench.json(&["check"]).exits(1).json();
    assert_eq!(created(&document), [pair("sales", "ignored")]);
    assert_eq!(document["findings"][0]["code"], "TU4004");
    // Seen before, it is no news.
    bench.json(&["check"]).exits(0);
}

#[test]
fn what_is_not_billed_is_ignored_with_its_reason() {
    let bench = Bench::new("2023-03-20");
    bench.feed(&format!("{BASE}{}", sale())).exits(0);
    bench.map("customer,c-100,,,do_not_bill=our own company\nproduct,exo-p1,7,,\n").exits(0);
    let document = bench.json(&["check"]).exits(0).json();
    assert_eq!(created(&document), [pair("sales", "ignored")]);
    assert!(document["created"][0]["reason"].as_str().is_some_and(|r| r.contains("our own company")));
    assert_eq!(bench.map(MAPPINGS).exits(0).json()["tasks"]["ready"], 1);
}

#[test]
fn an_order_without_a_customer_waits_for_its_subscription() {
    let bench = Bench::new("2023-03-20");
    bench.feed(&sale()).exits(0);
    bench.map(MAPPINGS).exits(0);
    let document = bench.json(&["check"]).exits(1).json();
    assert!(created(&document).is_empty());
    assert_eq!(document["findings"][0]["code"], "TU8004");
    bench.feed(BASE).exits(0);
    let document = bench.json(&["check"]).exits(0).json();
    assert_eq!(created(&document), [pair("sales", "ready")]);
}

#[test]
fn people_put_tasks_aside_and_take_them_back() {
    let bench = Bench::new("2023-03-20");
    bench.feed(&format!("{BASE}{}", sale())).exits(0);
    bench.map(MAPPINGS).exits(0);
    let document = bench.json(&["check"]).exits(0).json();
    let id = document["created"][0]["task_id"].as_str().unwrap().to_owned();
    bench.json(&["task", "unignore", &id]).exits(2);
    bench.json(&["task", "ignore", &id, "--reason", " "]).exits(2);
    let ignored = bench.json(&["task", "ignore", &id, "--reason", "billed by hand"]).exits(0).json();
    assert_eq!(ignored["tasks"][0]["state"], "ignored");
    assert!(ignored["tasks"][0]["decided_by"].as_str().is_some_and(|by| by.contains("tester")));
    // A check leaves alone what a person put aside.
    bench.json(&["check"]).exits(0);
    let list = bench.json(&["task", "list", "--state", "ignored"]).exits(0).json();
    assert_eq!(list["tasks"].as_array().map(Vec::len), Some(1));
    bench.json(&["task", "unignore", &id]).exits(0);
    let shown = bench.json(&["task", "show", &id]).exits(0).json();
    assert_eq!(shown["task"]["state"], "ready");
}

#[test]
fn what_nothing_bills_is_said() {
    let bench = Bench::new("2023-03-20");
    let usage = concat!(
        r#"{"type":"usage","id":"u-1","subscription":"s-1","product":"exo-p1","quantity":"120","unit_price":"0.05","#,
        r#""currency":"USD","start":"2023-03-01T00:00:00Z","end":"2023-03-02T00:00:00Z"}"#,
        "\n",
        r#"{"type":"counter","customer":"c-100","product":"exo-p1","value":"9","as_of":"2023-03-02T00:00:00Z"}"#,
        "\n",
    );
    let taken = bench.feed(&format!("{BASE}{}{usage}", sale())).exits(0).json();
    assert_eq!(taken["totals"]["by_currency"]["USD"]["amount"], "116.00");
    let codes: Vec<&str> =
        taken["warnings"].as_array().unwrap().iter().filter_map(|w| w["code"].as_str()).collect();
    assert_eq!(codes, ["TU4004", "TU4004"]);
    bench.map(MAPPINGS).exits(0);
    let document = bench.json(&["check"]).exits(1).json();
    let said = document["findings"].as_array().unwrap();
    assert_eq!(said.len(), 2, "{document}");
    assert!(
        said[0]["message"].as_str().is_some_and(|m| m.contains("1 usage records worth 6.00 USD")),
        "{document}"
    );
    // Said once, and kept until a person puts it aside.
    bench.json(&["check"]).exits(0);
    let list = bench.json(&["finding", "list", "--code", "TU4004"]).exits(0).json();
    assert_eq!(list["findings"].as_array().map(Vec::len), Some(2));
}

#[test]
fn estimates_are_said_to_be_none_to_bill_by() {
    let bench = Bench::new("2023-03-20");
    let usage = |id: &str, status: &str| {
        format!(
            "{{\"type\":\"usage\",\"id\":\"{id}\",\"subscription\":\"s-1\",\"product\":\"exo-p1\",\"quantity\":\"120\",\
             \"currency\":\"USD\",\"start\":\"2023-03-01T00:00:00Z\",\"end\":\"2023-03-02T00:00:00Z\",\
             \"status\":\"{status}\"}}\n"
        )
    };
    bench.feed(&format!("{BASE}{}{}", usage("u-1", "estimated"), usage("u-2", "final"))).exits(0);
    bench.json(&["check"]);
    let said = || bench.json(&["finding", "list", "--code", "TU5005"]).exits(0).json();
    assert_eq!(said()["findings"].as_array().map(Vec::len), Some(1));
    assert!(said()["findings"][0]["message"].as_str().is_some_and(|m| m.starts_with("1 of 2 usage records")));
    bench.feed(&usage("u-1", "final")).exits(0);
    bench.json(&["check"]);
    assert_eq!(said()["findings"].as_array().map(Vec::len), Some(0));
}

#[test]
fn apply_says_what_nobody_can_be_billed_for() {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    let (rest, _) = BASE.split_once(r#"{"type":"subscription""#).unwrap();
    bench.feed(&format!("{rest}{}", sale())).exits(0);
    bench.map(MAPPINGS).exits(0);
    bench.json(&["check"]).exits(1);
    let document = bench.json(&["apply", "--all"]).exits(1).json();
    assert_eq!(document["findings"][0]["code"], "TU8004", "{document}");
    let put_off = document["findings"][0]["message"].as_str().unwrap();
    assert!(put_off.starts_with("Order SO-1 names no customer"), "{put_off}");
    // The subscription comes in: the order becomes a task, and nothing is left to say.
    bench.feed(BASE).exits(0);
    bench.json(&["check"]).exits(0);
    let document = bench.json(&["apply", "--all"]).exits(0).json();
    assert_eq!(document["findings"].as_array().map(Vec::len), Some(0), "{document}");
}

#[test]
fn a_sale_of_nothing_is_not_said_to_be_held() {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    let nothing = order("SO-1", "sales", "2023-03-01", r#""charge":"recurring","quantity":"0""#);
    bench.feed(&format!("{BASE}{nothing}")).exits(0);
    bench.map(MAPPINGS).exits(0);
    bench.json(&["check"]);
    let document = bench.json(&["apply", "--all"]).exits(0).json();
    assert_eq!(document["findings"][0]["code"], "TU5003", "{document}");
    let tasks = bench.json(&["task", "list"]).exits(0).json();
    assert_eq!(tasks["tasks"][0]["reason"], "nothing to write: Quantity is zero (TU5003)", "{tasks}");
}

/// What somebody put aside needs nobody: it is told no more, and a run ends as if it were not there.
#[test]
fn what_is_put_aside_makes_no_run_fail() {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    bench.feed(&format!("{BASE}{}", sale())).exits(0);
    bench.json(&["check"]).exits(1);
    bench.json(&["apply", "--all"]).exits(1);
    let list = bench.json(&["finding", "list"]).exits(0).json();
    for finding in list["findings"].as_array().unwrap() {
        let id = finding["finding_id"].as_str().unwrap();
        bench.json(&["finding", "ignore", id, "--reason", "billed elsewhere"]).exits(0);
    }
    let checked = bench.json(&["check"]).exits(0).json();
    assert_eq!(checked["findings"], Value::Array(Vec::new()), "{checked}");
    bench.json(&["apply", "--all"]).exits(0);
    bench.json(&["plan", "--all"]).exits(0);
}

/// An order that comes late, after its subscription went to another customer: the record names the new one already, and
/// the order is the former one's.
#[test]
fn an_order_before_a_transfer_is_the_former_customers() {
    let bench = Bench::new("2023-03-20");
    bench.feed(&format!("{BASE}{}", sale())).exits(0);
    bench.json(&["check"]);
    let line = r#""charge":"recurring","quantity":"8""#;
    let moved = BASE.replace("c-100", "c-200").replace("Green Lane LLC", "Blue Lane LLC");
    // Use of March, told when the month is nearly over; and that of April. The new customer begins in April.
    let used = order("BO-1", "billing", "2023-03-19", r#""charge":"overuse","quantity":"10""#);
    let april =
        used.replace("2023-04-01", "2023-05-01").replace("2023-03-01", "2023-04-01").replace("BO-1", "BO-2");
    let transfer = order("TR-1", "transfer", "2023-03-18", line);
    bench.feed(&format!("{moved}{}{transfer}{used}{april}", upgrade())).exits(0);
    bench.json(&["check"]);
    let tasks = bench.json(&["task", "list"]).exits(0).json();
    let of = |order: &str| {
        let all = tasks["tasks"].as_array().unwrap().iter();
        all.clone()
            .find(|t| t["order_id"] == order)
            .map(|t| t["customer_id"].clone())
            .unwrap_or_else(|| panic!("{tasks}"))
    };
    assert_eq!([of("SO-1"), of("CH-1"), of("TR-1")], ["c-100", "c-100", "c-200"]);
    assert_eq!([of("BO-1"), of("BO-2")], ["c-100", "c-200"]);
    // Its record is the new customer's: who asks for the former one is told where it went.
    let february = ["plan", "--reconcile", "2023-02-01..2023-03-01", "--customer", "c-100"];
    let refused = bench.json(&february).exits(2).err;
    assert!(refused.contains("subscription s-1 of customer c-100 moved to customer c-200"), "{refused}");
}

/// A customer that nobody mapped is one thing to do, however many orders wait for it: one finding, which holds them all,
/// and which a person decides about once.
#[test]
fn what_several_orders_wait_for_is_one_finding() {
    let bench = Bench::new("2023-03-20");
    let second = |text: &str| text.replace("\"s-1\"", "\"s-2\"").replace("SO-1", "SO-2");
    let third = |text: &str| text.replace("\"s-1\"", "\"s-3\"").replace("SO-1", "SO-3");
    let subscription = BASE.lines().find(|line| line.contains("\"subscription\"")).unwrap();
    bench.feed(&format!("{BASE}{}{}\n{}", sale(), second(subscription), second(&sale()))).exits(0);
    bench.map("product,exo-p1,7,,\n").exits(0);
    bench.json(&["check"]).exits(1);
    let open = |code: &str| {
        let list = bench.json(&["finding", "list", "--code", code]).exits(0).json();
        list["findings"].as_array().unwrap().clone()
    };
    let found = open("TU2001");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["tasks"].as_array().map(Vec::len), Some(2), "{found:?}");
    assert_eq!(found[0]["subject"]["customer"], "c-100");
    for task in found[0]["tasks"].as_array().unwrap() {
        let shown = bench.json(&["task", "show", task.as_str().unwrap()]).exits(0).json();
        assert_eq!(shown["findings"][0]["finding_id"], found[0]["finding_id"], "{shown}");
    }
    let id = found[0]["finding_id"].as_str().unwrap();
    bench.json(&["finding", "ignore", id, "--reason", "billed elsewhere"]).exits(0);
    bench.feed(&format!("{}\n{}", third(subscription), third(&sale()))).exits(0);
    // Somebody decided about the customer: the next order asks nobody again.
    let checked = bench.json(&["check"]).exits(0).json();
    assert_eq!(checked["findings"], Value::Array(Vec::new()), "{checked}");
    let aside = bench.json(&["finding", "list", "--state", "ignored"]).exits(0).json();
    assert_eq!(aside["findings"][0]["tasks"].as_array().map(Vec::len), Some(3));
    bench.json(&["finding", "reopen", id]).exits(0);
    bench.map("customer,c-100,12,,\n").exits(0);
    bench.json(&["check"]).exits(0);
    let left: Vec<_> = open("TU2001").into_iter().filter(|f| f["state"] != "resolved").collect();
    assert!(left.is_empty(), "{left:?}");
}

/// A sale and a transfer that come together: the record names the new customer, which says nothing of the time before. The
/// sale waits until somebody names the former one, and is billed to that one then.
#[test]
fn a_sale_before_a_transfer_is_not_the_new_customers() {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    let now = BASE.replace(r#""customer":"c-100""#, r#""customer":"c-200""#);
    let both = r#"{"type":"customer","id":"c-200","name":"Blue Lake Inc"}"#.to_owned() + "\n";
    let transfer = order("TR-1", "transfer", "2023-03-15", r#""charge":"recurring","quantity":"5""#)
        .replace(r#""subscription":"s-1""#, r#""subscription":"s-1","customer":"c-200""#);
    bench.feed(&format!("{now}{both}{}{transfer}", sale())).exits(0);
    bench.map(MAPPINGS).exits(0);
    let checked = bench.json(&["check", "--since", "2023-03-01"]).json();
    let created: Vec<&Value> = checked["created"].as_array().unwrap().iter().map(|t| &t["kind"]).collect();
    assert_eq!(created, ["transfer"], "{checked}");
    let told = checked["findings"].as_array().unwrap().iter().find(|f| f["code"] == "TU8004").unwrap();
    assert!(told["message"].as_str().unwrap().contains("was transferred since"), "{told}");
    let named = sale().replace(r#""subscription":"s-1""#, r#""subscription":"s-1","customer":"c-100""#);
    bench.feed(&named).exits(0);
    let checked = bench.json(&["check"]).json();
    assert_eq!(checked["created"][0]["customer_id"], "c-100", "{checked}");
}

/// People see what the order says beside the task: its lines, from how many to how many.
#[test]
fn a_task_is_shown_with_its_order() {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    bench.feed(&format!("{BASE}{}{}", sale(), upgrade())).exits(0);
    bench.map(MAPPINGS).exits(0);
    bench.json(&["check"]).exits(0);
    let tasks = bench.json(&["task", "list"]).exits(0).json();
    let change = tasks["tasks"].as_array().unwrap().iter().find(|task| task["kind"] == "change").unwrap();
    let shown = bench.run(&["task", "show", change["task_id"].as_str().unwrap()]).exits(0);
    let order = change["order_id"].as_str().unwrap();
    for told in [format!("Order {order}, completed "), "5 -> 8".to_owned(), "recurring".to_owned()] {
        assert!(shown.out.contains(&told), "{told}: {}", shown.out);
    }
}

/// Lines that are dated by the term end with it. Where the record alone says that it goes on, no order brings a next line:
/// that is told with the amount of a period, until an order or the record says otherwise.
#[test]
fn what_is_sold_on_after_its_term_and_nothing_bills_is_told() {
    let mut bench = Bench::new("2023-03-01");
    bench.connect("2023-03-01");
    bench.json(&["setting", "set", "line_mode", "commitment"]).exits(0);
    let until = |end: &str| {
        let term = format!(r#""term":{{"start":"2023-03-01","end":"{end}","auto_renew":true}},"items""#);
        BASE.replace("\"items\"", &term)
    };
    bench.feed(&format!("{}{}", until("2023-05-01"), sale())).exits(0);
    bench.map(MAPPINGS).exits(0);
    bench.json(&["check"]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    // The record came in late: its term is just over as well.
    bench.on("2023-07-01");
    assert_eq!(bench.json(&["check"]).exits(0).json()["findings"], serde_json::json!([]), "the term is over");
    bench.feed(&until("2023-07-01")).exits(0);
    let told = bench.json(&["check"]).exits(0).json();
    let found = &told["findings"][0];
    assert_eq!((&found["code"], &found["amount"]["amount"]), (&"TU8006".into(), &"110.00".into()), "{told}");
    assert!(found["message"].as_str().is_some_and(|m| m.contains("2023-04-30")), "{found}");
    let renewal = order("RE-1", "renewal", "2023-05-01", r#""charge":"recurring","quantity":"5""#)
        .replace("2023-04-01", "2023-06-01")
        .replace("2023-03-01", "2023-05-01");
    bench.feed(&renewal).exits(0);
    bench.json(&["check"]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    bench.json(&["check"]).exits(0);
    let open = bench.json(&["finding", "list", "--state", "open", "--code", "TU8006"]).exits(0).json();
    assert_eq!(open["findings"].as_array().map(Vec::len), Some(0), "{open}");
}
