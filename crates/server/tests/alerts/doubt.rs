//! Outages of any length, answers that are lost, tickets that people delete.

use super::desk::{alert, did, notes, person, record, ruled, run, tell, tickets};
use serde_json::json;
use std::time::Duration;

fn settle() {
    std::thread::sleep(Duration::from_millis(1_100));
}

fn faults(bench: &crate::bench::Bench, method: &str, path: &str, action: &str, times: usize) {
    let only = json!({"method": method, "path_contains": path});
    let status = (action == "status").then_some(503);
    let one = json!({"match": only, "action": action, "status": status, "times": times});
    bench.control("faults", &json!({ "schedule": [one] }));
}

#[test]
fn ax_60_an_outage_of_sixty_hours_loses_no_alert() {
    let bench = ruled();
    bench.control("roles", &json!({}));
    for n in 0..5 {
        tell(&bench, &format!("srv{n}"), "open", n * 10);
    }
    // It says that it will be away for long, so that nobody waits for it.
    let down = json!({"match": {"path_contains": "service"}, "action": "status", "status": 503,
        "retry_after": 7_200, "times": 10_000});
    bench.control("faults", &json!({ "schedule": [down] }));
    let first = run(&bench, 60);
    assert_eq!(first.exit, 3, "{} {}", first.out, first.err);
    for (n, minutes) in [(1, 30 * 60), (3, 50 * 60)] {
        tell(&bench, &format!("srv{n}"), "closed", minutes);
    }
    run(&bench, 59 * 60);
    assert!(tickets(&bench).is_empty());
    bench.control("faults", &json!({ "schedule": [] }));
    let ran = run(&bench, 60 * 60).exits(0).json();
    assert_eq!(did(&ran), ["made", "made", "made"], "{ran}");
    assert!(did(&run(&bench, 61 * 60).exits(0).json()).is_empty());
    assert_eq!(tickets(&bench).len(), 3);
}

#[test]
fn a_ticket_whose_answer_was_lost_is_found_by_its_key_and_made_once() {
    let bench = ruled();
    tell(&bench, "nas", "open", 0);
    faults(&bench, "POST", "service/tickets", "drop_after", 1);
    run(&bench, 1);
    assert_eq!((tickets(&bench).len(), alert(&bench)["ticket"].is_null()), (1, true));
    settle();
    run(&bench, 2).exits(0);
    assert_eq!(tickets(&bench).len(), 1);
    assert_eq!(alert(&bench)["ticket"]["ticket_id"], tickets(&bench)[0]["id"]);
}

#[test]
fn a_ticket_that_never_arrived_is_made_after_it_was_missed_twice() {
    let bench = ruled();
    tell(&bench, "nas", "open", 0);
    faults(&bench, "POST", "service/tickets", "drop_before", 1);
    run(&bench, 1);
    let mut runs = 0;
    while tickets(&bench).is_empty() {
        runs += 1;
        assert!(runs < 6, "{}", alert(&bench));
        settle();
        run(&bench, 1 + runs);
    }
    assert!(runs >= 2, "nothing is sent again before it was missed twice");
    settle();
    run(&bench, 20).exits(0);
    assert_eq!(tickets(&bench).len(), 1);
}

#[test]
fn a_note_and_a_status_whose_answers_were_lost_are_written_once() {
    let bench = ruled();
    tell(&bench, "nas", "open", 0);
    run(&bench, 1).exits(0);
    tell(&bench, "nas", "closed", 10);
    faults(&bench, "POST", "notes", "drop_after", 1);
    run(&bench, 11);
    settle();
    faults(&bench, "PATCH", "service/tickets", "drop_after", 1);
    run(&bench, 12);
    bench.control("faults", &json!({ "schedule": [] }));
    settle();
    run(&bench, 13);
    settle();
    run(&bench, 14).exits(0);
    let ticket = tickets(&bench).remove(0);
    assert_eq!(notes(&bench, ticket["id"].as_i64().unwrap()).len(), 1);
    assert_eq!(ticket["closedFlag"], true, "{ticket}");
    let known = alert(&bench);
    assert_eq!((&known["ticket"]["closed_by"], &known["hold"]), (&json!("trueup"), &json!(null)), "{known}");
}

#[test]
fn a_deleted_ticket_counts_as_closed_by_a_person_and_its_return_gets_a_new_one() {
    let bench = ruled();
    tell(&bench, "nas", "open", 0);
    run(&bench, 1).exits(0);
    let ticket = tickets(&bench)[0]["id"].as_i64().unwrap();
    let (status, answer) = person(&bench, "DELETE", &format!("service/tickets/{ticket}"), "");
    assert_eq!(status, 204, "{answer}");
    assert!(did(&run(&bench, 10).exits(0).json()).is_empty());
    let known = alert(&bench);
    assert_eq!(
        (&known["state"], &known["ticket"]["deleted"]),
        (&json!("acknowledged"), &json!(true)),
        "{known}"
    );
    tell(&bench, "nas", "closed", 20);
    run(&bench, 21).exits(0);
    tell(&bench, "nas", "open", 40);
    assert_eq!(did(&run(&bench, 41).exits(0).json()), ["made"]);
}

#[test]
fn a_closed_ticket_that_is_deleted_says_nothing_about_an_alert_that_opens_later() {
    for means in ["acknowledge", "close", "ignore"] {
        let bench = ruled();
        bench.json(&["alert", "set", "*", &format!("closed_by_person={means}")]).exits(0);
        tell(&bench, "nas", "open", 0);
        run(&bench, 1).exits(0);
        tell(&bench, "nas", "closed", 60);
        run(&bench, 61).exits(0);
        let ticket = tickets(&bench)[0]["id"].as_i64().unwrap();
        let (status, answer) = person(&bench, "DELETE", &format!("service/tickets/{ticket}"), "");
        assert_eq!(status, 204, "{answer}");
        tell(&bench, "nas", "open", 180);
        assert_eq!(did(&run(&bench, 181).exits(0).json()), ["made"], "{means}");
        let known = alert(&bench);
        assert_eq!((&known["state"], tickets(&bench).len()), (&json!("open"), 1), "{means}: {known}");
        assert!(did(&run(&bench, 300).exits(0).json()).is_empty(), "{means}");
    }
}

#[test]
fn what_is_told_in_bursts_is_one_ticket_each() {
    let bench = ruled();
    let all: String =
        (0..40).map(|n| record(&format!("a{n}"), &format!("s{}", n % 10), "open", n, "")).collect();
    bench.feed(&all).exits(0);
    run(&bench, 61).exits(0);
    run(&bench, 62).exits(0);
    assert_eq!(tickets(&bench).len(), 10);
}
