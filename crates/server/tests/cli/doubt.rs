//! Operations without a clear answer, and runs that ended in the middle.

use super::bench::{BASE, Bench, MAPPINGS, sale, upgrade};
use serde_json::json;
use std::process::Stdio;
use std::time::{Duration, Instant};

fn ready() -> Bench {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    bench.feed(&format!("{BASE}{}{}", sale(), upgrade())).exits(0);
    bench.map(MAPPINGS).exits(0);
    bench.json(&["check"]).exits(0);
    bench.env("TRUEUP_APPLY_SETTLE_SECONDS", "1");
    bench
}

fn additions(bench: &Bench) -> u64 {
    bench.json(&["psa", "pull"]).exits(0).json()["additions"].as_u64().unwrap()
}

#[test]
fn a_write_without_an_answer_is_in_doubt_and_the_next_run_settles_it_once() {
    let bench = ready();
    bench.control(
        "faults",
        &json!({"schedule": [{"match": {"method": "POST", "path_contains": "additions"}, "action": "drop_after"}]}),
    );
    let first = bench.json(&["apply", "--all"]).exits(1).json();
    assert!(first["summary"]["in_doubt"].as_u64().is_some_and(|n| n >= 1), "{first}");
    let doubtful = first["changes"].as_array().unwrap().iter().find(|c| c["state"] == "in_doubt").unwrap();
    assert_eq!(doubtful["error"]["code"], "TU7003");
    let tasks = bench.json(&["task", "list", "--state", "in_doubt"]).exits(0).json();
    assert!(!tasks["tasks"].as_array().unwrap().is_empty());

    let mut last = json!(null);
    for _ in 0..4 {
        let ran = bench.json(&["apply", "--all"]);
        last = ran.json();
        if ran.exit == 0 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(1_100));
    }
    assert_eq!(last["summary"]["in_doubt"], 0, "{last}");
    assert_eq!(additions(&bench), 3);
    let left = bench.json(&["plan", "--all"]).exits(0).json();
    assert_eq!(left["changes"].as_array().map(Vec::len), Some(0));
    let tasks = bench.json(&["task", "list", "--state", "done"]).exits(0).json();
    assert_eq!(tasks["tasks"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_refused_write_fails_its_task_and_is_tried_again() {
    let bench = ready();
    bench.control(
        "faults",
        &json!({"schedule": [{"match": {"method": "POST", "path_contains": "additions"}, "action": "status",
            "status": 400}]}),
    );
    let first = bench.json(&["apply", "--all"]).exits(1).json();
    assert!(first["summary"]["failed"].as_u64().is_some_and(|n| n >= 1), "{first}");
    let failed = bench.json(&["task", "list", "--state", "failed"]).exits(0).json();
    assert_eq!(failed["tasks"].as_array().map(Vec::len), Some(1));
    let second = bench.json(&["apply", "--all"]).exits(0).json();
    assert_eq!(second["summary"]["failed"], 0);
    assert_eq!(additions(&bench), 3);
}

/// ConnectWise answers a change with 200 and the record as it was: that is told with its money, and the next run looks and
/// sends it again.
#[test]
fn a_change_that_is_answered_with_the_old_record_is_not_done() {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    bench.env("TRUEUP_APPLY_SETTLE_SECONDS", "1");
    bench.feed(&format!("{BASE}{}", sale())).exits(0);
    bench.map(MAPPINGS).exits(0);
    bench.json(&["check"]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    let lines = || {
        let state = bench.ask("state");
        state["resources"]["finance/agreements/{id}/additions"]["40"].as_array().unwrap().clone()
    };
    let old = lines().first().unwrap().to_string();
    bench.feed(&upgrade()).exits(0);
    bench.json(&["check"]).exits(0);
    bench.control(
        "faults",
        &json!({"schedule": [{"match": {"method": "PATCH"}, "action": "status", "status": 200, "body": old}]}),
    );
    let first = bench.json(&["apply", "--all"]).exits(1).json();
    assert_eq!(first["summary"]["in_doubt"], 1, "{first}");
    let found = first["findings"].as_array().unwrap().iter().find(|f| f["code"] == "TU7005").unwrap();
    assert_eq!(found["severity"], "error", "{first}");
    assert!(found["amount"]["amount"].is_string(), "{first}");
    let tasks = bench.json(&["task", "list", "--state", "in_doubt"]).exits(0).json();
    assert_eq!(tasks["tasks"].as_array().map(Vec::len), Some(1), "{tasks}");
    std::thread::sleep(Duration::from_millis(1_100));
    bench.json(&["apply", "--all"]).exits(0);
    let open: Vec<_> = lines().into_iter().filter(|line| line["cancelledDate"].is_null()).collect();
    assert_eq!(
        open.iter().map(|line| line["quantity"].as_f64()).collect::<Vec<_>>(),
        [Some(8.0)],
        "{open:?}"
    );
    let left = bench.json(&["finding", "list", "--code", "TU7005", "--state", "open"]).exits(0).json();
    assert_eq!(left["findings"], json!([]));
}

#[test]
fn what_cannot_be_reached_moves_no_task_to_applying() {
    let mut bench = ready();
    let plan = bench.json(&["plan", "--all"]).exits(0).json();
    bench.sandbox = None;
    let id = plan["plan_id"].as_str().unwrap();
    bench.json(&["apply", id]).exits(3);
    bench.json(&["apply", "--all"]).exits(3);
    let tasks = bench.json(&["task", "list", "--state", "planned"]).exits(0).json();
    assert_eq!(tasks["tasks"].as_array().map(Vec::len), Some(2));
}

/// One write without an answer and one that failed, of several orders: the run that goes on with that plan brings both in,
/// and nothing is told of the failure any more.
#[test]
fn a_failure_that_a_resumed_plan_makes_good_is_told_no_more() {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    bench.env("TRUEUP_APPLY_SETTLE_SECONDS", "1");
    let subscription = BASE.lines().find(|line| line.contains("\"subscription\"")).unwrap();
    let number = |text: &str, n: usize| {
        text.replace("\"s-1\"", &format!("\"s-{n}\"")).replace("SO-1", &format!("SO-{n}"))
    };
    let more: String =
        (2..=5).map(|n| format!("{}\n{}", number(subscription, n), number(&sale(), n))).collect();
    bench.feed(&format!("{BASE}{}{more}", sale())).exits(0);
    bench.map(MAPPINGS).exits(0);
    bench.json(&["check"]).exits(0);
    let of = |nth: u32, status: u32| json!({ "match": { "method": "POST", "path_contains": "additions" }, "nth": nth, "action": "status", "status": status });
    bench.control("faults", &json!({ "schedule": [of(2, 502), of(4, 400)] }));
    let first = bench.json(&["apply", "--all"]).exits(1).json();
    assert_eq!(
        (&first["summary"]["applied"], &first["summary"]["failed"], &first["summary"]["in_doubt"]),
        (&json!(3), &json!(1), &json!(1)),
        "{first}"
    );
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    bench.json(&["apply", "--all"]).exits(0);
    let done = bench.json(&["task", "list", "--state", "done"]).exits(0).json();
    assert_eq!(done["tasks"].as_array().map(Vec::len), Some(5), "{done}");
    let open = bench.json(&["finding", "list", "--state", "open"]).exits(0).json();
    assert_eq!(open["findings"], json!([]));
}

/// Amounts within the feed's range whose product lies outside it: what is planned of them can be read again, with the answer
/// of its write lost as well.
#[test]
fn amounts_that_grow_beyond_the_feeds_range_are_kept() {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    bench.env("TRUEUP_APPLY_SETTLE_SECONDS", "1");
    let huge = sale()
        .replace(r#""quantity":"5""#, r#""quantity":"999999999999""#)
        .replace(r#""unit_price":"22.00""#, r#""unit_price":"99999999.99""#);
    bench.feed(&format!("{BASE}{huge}")).exits(0);
    bench.map(MAPPINGS).exits(0);
    bench.json(&["check"]);
    bench.control(
        "faults",
        &json!({"schedule": [{"match": {"method": "POST", "path_contains": "additions"}, "action": "drop_after"}]}),
    );
    bench.json(&["apply", "--all", "--approve"]).exits(1);
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let done = bench.json(&["apply", "--all", "--approve"]).exits(0).json();
    assert_eq!(done["summary"]["in_doubt"], 0, "{done}");
    let plans = bench.json(&["plan", "list"]).exits(0).json();
    assert!(!plans["plans"].as_array().unwrap().is_empty(), "{plans}");
    bench.json(&["plan", "show", plans["plans"][0]["plan_id"].as_str().unwrap()]).exits(0);
    assert_eq!(additions(&bench), 1);
}

/// Other orders of a product whose line is in doubt: its key is our own journal's, and no other installation's.
#[test]
fn a_line_in_doubt_is_not_taken_for_somebody_elses() {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    bench.env("TRUEUP_APPLY_SETTLE_SECONDS", "60");
    bench.feed(&format!("{BASE}{}", sale())).exits(0);
    bench.map(MAPPINGS).exits(0);
    bench.json(&["check"]).exits(0);
    bench.control(
        "faults",
        &json!({"schedule": [{"match": {"method": "POST", "path_contains": "additions"}, "action": "drop_after"}]}),
    );
    bench.json(&["apply", "--all"]).exits(1);
    let subscription = BASE.lines().find(|line| line.contains("\"subscription\"")).unwrap();
    let second = |text: &str| text.replace("\"s-1\"", "\"s-2\"").replace("SO-1", "SO-2");
    bench.feed(&format!("{}\n{}", second(subscription), second(&sale()))).exits(0);
    bench.json(&["check"]);
    let planned = bench.json(&["plan", "--all"]).json();
    assert!(!planned.to_string().contains("TU2007"), "{planned}");
    assert_eq!(planned["changes"].as_array().map(Vec::len), Some(1), "{planned}");
}

/// Two sales on one agreement; the run is killed before the journal takes up the second.
fn killed_before_the_second() -> Bench {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    let first = format!("{BASE}{}", sale());
    bench.feed(&format!("{first}{}", of_another(&first))).exits(0);
    bench.map(MAPPINGS).exits(0);
    bench.json(&["check"]).exits(0);
    bench.env("TRUEUP_APPLY_SETTLE_SECONDS", "1");
    killed_at_the_second(&bench, &["apply", "--all"]);
    assert_eq!(additions(&bench), 1);
    bench
}

/// Runs a command and kills it before the journal takes up its second operation.
fn killed_at_the_second(bench: &Bench, args: &[&str]) {
    killed_at(bench, args, "1:intent");
}

/// Runs a command and kills it where it says that it stands.
pub(super) fn killed_at(bench: &Bench, args: &[&str], place: &str) {
    let passed = bench.path("passed");
    let mut command = bench.command(args);
    command.env("TRUEUP_STOP_FILE", &passed).env("TRUEUP_STOP_AT", place);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while !std::fs::read_to_string(&passed).unwrap_or_default().lines().any(|line| line == place) {
        assert!(child.try_wait().unwrap().is_none(), "it ended before");
        assert!(begun.elapsed() < Duration::from_secs(60), "it never got there");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

fn of_another(feed: &str) -> String {
    feed.replace("\"s-1\"", "\"s-2\"").replace("\"SO-1\"", "\"SO-2\"")
}

#[test]
fn a_killed_run_is_not_gone_on_with_for_an_order_that_is_another_by_then() {
    let bench = killed_before_the_second();
    bench.feed(&of_another(&sale()).replace("22.00", "25.00")).exits(0);
    bench.json(&["check"]);
    for _ in 0..2 {
        bench.json(&["apply", "--all"]);
    }
    assert_eq!(additions(&bench), 2);
    let prices: Vec<String> = ["1", "2"]
        .map(|id| bench.json(&["audit", "explain", id]).exits(0).json())
        .map(|told| told["values"]["unitPrice"]["value"].as_str().unwrap().to_owned())
        .to_vec();
    assert_eq!(prices, ["22.00", "25.00"]);
}

#[test]
fn a_killed_run_goes_on_where_nothing_changed() {
    let bench = killed_before_the_second();
    bench.json(&["apply", "--all"]).exits(0);
    assert_eq!(additions(&bench), 2);
    bench.json(&["apply", "--all"]).exits(0);
    assert_eq!(additions(&bench), 2);
}

/// An undo moves no task before it is done: what is left of it is found by its plan.
#[test]
fn an_undo_that_was_killed_is_gone_on_with() {
    let bench = ready();
    bench.json(&["apply", "--all"]).exits(0);
    let tasks = bench.json(&["task", "list", "--state", "done"]).exits(0).json();
    let change = tasks["tasks"].as_array().unwrap().iter().find(|task| task["order_id"] == "CH-1").unwrap();
    let undo = bench.json(&["undo", "--task", change["task_id"].as_str().unwrap()]).exits(0).json();
    let plan = undo["plan_id"].as_str().unwrap();
    killed_at_the_second(&bench, &["apply", plan]);
    bench.json(&["apply", "--all"]);
    let plans = bench.json(&["plan", "list"]).exits(0).json();
    let state = plans["plans"].as_array().unwrap().iter().find(|row| row["plan_id"] == plan).unwrap();
    assert_eq!(state["state"], "applied", "{plans}");
}

/// Two sales on one agreement: the first is billed, where `is_kept`, and the call of the other never arrived; a person made
/// its line by hand meanwhile. Nobody but a person can say which it is.
fn made_by_hand_meanwhile(is_kept: bool) -> Bench {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    bench.env("TRUEUP_APPLY_SETTLE_SECONDS", "1");
    let first = format!("{BASE}{}", sale());
    bench.feed(if is_kept { &first } else { BASE }).exits(0);
    bench.map(MAPPINGS).exits(0);
    bench.json(&["check"]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    bench.feed(&of_another(&first)).exits(0);
    bench.json(&["check"]).exits(0);
    bench.control(
        "faults",
        &json!({"schedule": [{"match": {"method": "POST", "path_contains": "additions"}, "action": "drop_before"}]}),
    );
    let sent = bench.json(&["apply", "--all"]).exits(1).json();
    assert_eq!(sent["summary"]["in_doubt"], 1, "{sent}");
    let before = additions(&bench);
    let by_hand = json!({
        "product": {"id": 7}, "quantity": 5, "unitPrice": 22, "unitCost": 17.6, "billCustomer": "Billable",
        "effectiveDate": "2023-03-01T00:00:00Z",
    });
    bench.by_hand("POST", "finance/agreements/40/additions", &by_hand);
    std::thread::sleep(Duration::from_millis(1_100));
    bench.json(&["apply", "--all"]).exits(1);
    let asked = bench.json(&["finding", "list", "--code", "TU7003", "--state", "open"]).exits(0).json();
    let (message, fix) = (asked["findings"][0]["message"].as_str(), asked["findings"][0]["fix"].as_str());
    assert!(message.is_some_and(|text| text.contains(&format!("addition {}", before + 1))), "{asked}");
    assert!(fix.is_some_and(|text| text.contains("subscription:s-2/exo-p1")), "{asked}");
    assert_eq!(additions(&bench), before + 1);
    bench
}

/// Gives an answer until nothing is left to do: all is billed once, and nothing is left to ask.
fn settled(bench: &Bench, answer: &[&str], lines: u64) {
    for _ in 0..4 {
        if bench.json(answer).exit == 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(1_100));
    }
    assert_eq!(additions(bench), lines);
    let left = bench.json(&["plan", "--all"]).exits(0).json();
    assert_eq!(left["changes"], json!([]), "{left}");
    let waiting = bench.json(&["task", "list", "--state", "in_doubt"]).exits(0).json();
    assert_eq!(waiting["tasks"], json!([]));
    let open = bench.json(&["finding", "list", "--state", "open"]).exits(0).json();
    assert_eq!(open["findings"], json!([]));
}

#[test]
fn a_line_made_by_hand_meanwhile_is_taken_by_a_mapping() {
    let bench = made_by_hand_meanwhile(false);
    bench.map("addition,subscription:s-2/exo-p1,1,,\n").exits(0);
    settled(&bench, &["apply", "--all"], 1);
}

#[test]
fn a_line_made_by_hand_meanwhile_is_taken_where_it_is_the_only_one() {
    settled(&made_by_hand_meanwhile(false), &["apply", "--all", "--adopt"], 1);
}

/// That it is another one is believed where a line of the agreement shows that keys are kept there.
#[test]
fn a_line_made_by_hand_meanwhile_is_left_beside_where_it_is_another() {
    let answer = &["apply", "--all", "--no-adopt"];
    settled(&made_by_hand_meanwhile(true), answer, 3);
    let bench = made_by_hand_meanwhile(false);
    for _ in 0..3 {
        bench.json(answer).exits(1);
        assert_eq!(additions(&bench), 1);
    }
}
