//! The life of an alert and of its ticket: opened, repeated, cleared, returned, closed by people.

use super::desk::{
    alert, at, bare, codes, did, is_closed, notes, person, person_moves, record, ruled, run, tell, tickets,
};
use serde_json::json;

const HOUR: i64 = 60;
const DAY: i64 = 24 * HOUR;

#[test]
fn ax_49_without_the_channel_no_ticket_is_made() {
    let bench = bare();
    bench.json(&["alert", "set", "failed_backup", "board=Alerts"]).exits(0);
    tell(&bench, "nas", "open", 0);
    let ran = run(&bench, 1).exits(0).json();
    assert_eq!((did(&ran).len(), &ran["held"]["no_rule"], &ran["calls"]), (0, &json!(1), &json!(0)), "{ran}");
    assert!(tickets(&bench).is_empty());
    assert_eq!(alert(&bench)["hold"]["why"], "no_rule");
}

#[test]
fn ax_50_an_alert_without_a_company_is_kept_and_sent_once_it_is_linked() {
    let bench = ruled();
    bench.feed("{\"type\":\"customer\",\"id\":\"c-2\",\"name\":\"Unlinked\"}\n").exits(0);
    let of = |id: &str, state: &str, minutes: i64| {
        record(id, id, state, minutes, "").replace("\"c-1\"", "\"c-2\"")
    };
    bench.feed(&format!("{}{}{}", of("a", "open", 0), of("b", "open", 1), of("c", "open", 2))).exits(0);
    let ran = run(&bench, 5).exits(0).json();
    assert_eq!(ran["held"]["no_company"], 3, "{ran}");
    assert_eq!(codes(&bench), ["TU9504"], "once a customer");
    bench.feed(&of("c", "closed", 10)).exits(0);
    bench.map("customer,c-2,12,,\n").exits(0);
    assert_eq!(did(&run(&bench, 20).exits(0).json()), ["made", "made"]);
    assert_eq!(did(&run(&bench, 21).exits(0).json()).len(), 0);
    assert_eq!(tickets(&bench).len(), 2);
    assert!(codes(&bench).is_empty());
}

#[test]
fn ax_51_ax_54_the_ticket_lands_where_the_rule_says_and_its_summary_is_stable() {
    let bench = bare();
    bench
        .json(&[
            "alert",
            "set",
            "failed_backup",
            "psa=on",
            "board=Alerts",
            "type=Backup",
            "subtype=Failed",
            "source=3",
            "status_closed=Closed - Cleared",
        ])
        .exits(0);
    tell(&bench, "nas", "open", 0);
    run(&bench, 1).exits(0);
    let ticket = tickets(&bench).remove(0);
    let id = |name: &str| ticket[name]["id"].as_i64().unwrap();
    assert_eq!(
        (id("company"), id("board"), id("type"), id("subType"), id("source")),
        (12, 2, 21, 21, 3),
        "{ticket}"
    );
    let priority = ticket["priority"]["name"].as_str().unwrap();
    assert!(priority.starts_with("Priority 2"), "an error: {ticket}");
    assert_eq!(ticket["summary"], "[trueup] failed backup: nas (Green Lane LLC)");
    assert!(ticket["externalXRef"].as_str().unwrap().starts_with("trueup:al"));
    tell(&bench, "nas", "updated", 70);
    run(&bench, 75).exits(0);
    let after = tickets(&bench);
    assert_eq!((after.len(), &after[0]["summary"]), (1, &ticket["summary"]));
    tell(&bench, "nas", "closed", 80);
    run(&bench, 81).exits(0);
    assert_eq!(tickets(&bench)[0]["status"]["id"], 26);
}

#[test]
fn ax_55_ten_repeats_in_an_hour_are_one_ticket_and_one_note() {
    let bench = ruled();
    tell(&bench, "nas", "open", 0);
    run(&bench, 0).exits(0);
    for minutes in (5..=50).step_by(5) {
        tell(&bench, "nas", "updated", minutes);
        assert!(did(&run(&bench, minutes).exits(0).json()).is_empty());
    }
    assert_eq!(did(&run(&bench, 61).exits(0).json()), ["noted"]);
    let all = tickets(&bench);
    let notes = notes(&bench, all[0]["id"].as_i64().unwrap());
    assert_eq!((all.len(), notes.len()), (1, 1));
    assert!(notes[0].contains("10 times more"), "{notes:?}");
}

#[test]
fn the_same_file_again_changes_nothing() {
    let bench = ruled();
    let file = record("a", "nas", "open", 0, "");
    bench.feed(&file).exits(0);
    run(&bench, 1).exits(0);
    bench.feed(&file).exits(0);
    let ran = run(&bench, 90).exits(0).json();
    assert_eq!((&ran["taken"], did(&ran).len()), (&json!(0), 0));
    assert_eq!(alert(&bench)["repeats"], 0);
}

#[test]
fn ax_56_cleared_is_a_note_and_the_closed_status_or_the_note_alone() {
    for (value, closed) in [("on", true), ("off", false)] {
        let bench = ruled();
        bench.json(&["alert", "set", "*", &format!("close_when_cleared={value}")]).exits(0);
        tell(&bench, "nas", "open", 0);
        run(&bench, 1).exits(0);
        tell(&bench, "nas", "closed", 10);
        run(&bench, 11).exits(0);
        run(&bench, 12).exits(0);
        let ticket = tickets(&bench).remove(0);
        assert_eq!(is_closed(&ticket), closed, "{ticket}");
        let notes = notes(&bench, ticket["id"].as_i64().unwrap());
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].contains("The cause is gone"));
    }
}

#[test]
fn ax_57_back_after_two_hours_is_the_same_ticket_and_after_two_days_a_new_one() {
    let bench = ruled();
    tell(&bench, "nas", "open", 0);
    run(&bench, 1).exits(0);
    tell(&bench, "nas", "closed", HOUR);
    run(&bench, HOUR).exits(0);
    tell(&bench, "nas", "open", 3 * HOUR);
    let ran = run(&bench, 3 * HOUR).exits(0).json();
    assert_eq!(did(&ran), ["reopened", "noted"], "{ran}");
    assert_eq!(tickets(&bench).len(), 1);
    assert!(!is_closed(&tickets(&bench)[0]));
    tell(&bench, "nas", "closed", 5 * HOUR);
    run(&bench, 5 * HOUR).exits(0);
    tell(&bench, "nas", "open", 5 * HOUR + 2 * DAY);
    assert_eq!(did(&run(&bench, 5 * HOUR + 2 * DAY).exits(0).json()), ["made"]);
    let all = tickets(&bench);
    assert_eq!((all.len(), is_closed(&all[0]), is_closed(&all[1])), (2, true, false));
    assert_eq!(alert(&bench)["ticket"]["former"], all[0]["id"]);
    assert_ne!(all[0]["externalXRef"], all[1]["externalXRef"]);
}

#[test]
fn ax_58_on_and_off_twenty_times_changes_the_ticket_three_times_at_most() {
    let bench = ruled();
    tell(&bench, "nas", "open", 0);
    run(&bench, 0).exits(0);
    let mut turns = 0;
    for n in 1..20 {
        tell(&bench, "nas", if n % 2 == 1 { "closed" } else { "open" }, n * 3);
        let done = did(&run(&bench, n * 3).exits(0).json());
        turns += done.iter().filter(|step| *step != "noted" && *step != "made").count();
    }
    assert!(turns <= 3, "{turns}");
    assert_eq!(alert(&bench)["hold"]["why"], "flapping");
    let late = did(&run(&bench, 4 * HOUR).exits(0).json());
    turns += late.iter().filter(|step| *step != "noted").count();
    assert!(turns <= 3, "{turns}: {late:?}");
    assert!(is_closed(&tickets(&bench)[0]), "once it is quiet the ticket says what is so");
}

#[test]
fn ax_59_a_person_who_closes_the_ticket_acknowledges_and_after_a_day_it_is_noted() {
    for reopen in [false, true] {
        let bench = ruled();
        if reopen {
            bench.json(&["alert", "set", "*", "reopen_closed=on"]).exits(0);
        }
        tell(&bench, "nas", "open", 0);
        run(&bench, 1).exits(0);
        let ticket = tickets(&bench)[0]["id"].as_i64().unwrap();
        person_moves(&bench, ticket, 25);
        run(&bench, 10).exits(0);
        let known = alert(&bench);
        assert_eq!(
            (&known["state"], &known["acknowledged_by"]),
            (&json!("acknowledged"), &json!("ann")),
            "{known}"
        );
        assert!(did(&run(&bench, 20 * HOUR).exits(0).json()).is_empty());
        let late = run(&bench, 25 * HOUR).exits(0).json();
        assert_eq!(did(&late), if reopen { vec!["noted", "reopened"] } else { vec!["noted"] }, "{late}");
        assert_eq!(late["findings"][0]["code"], "TU9503", "{late}");
        assert_eq!(is_closed(&tickets(&bench)[0]), !reopen);
        assert!(did(&run(&bench, 60 * HOUR).exits(0).json()).iter().all(|step| step != "reopened"));
        assert_eq!(notes(&bench, ticket).len(), 1);
    }
}

#[test]
fn ax_59_a_cleared_alert_never_touches_what_a_person_closed() {
    let bench = ruled();
    tell(&bench, "nas", "open", 0);
    run(&bench, 1).exits(0);
    let ticket = tickets(&bench)[0]["id"].as_i64().unwrap();
    person_moves(&bench, ticket, 25);
    tell(&bench, "nas", "closed", 20);
    assert!(did(&run(&bench, 30).exits(0).json()).is_empty());
    assert!(notes(&bench, ticket).is_empty());
}

#[test]
fn merged_tickets_close_with_the_last_of_their_alerts() {
    let bench = ruled();
    tell(&bench, "nas", "open", 0);
    tell(&bench, "tape", "open", 1);
    run(&bench, 2).exits(0);
    let ids: Vec<i64> = tickets(&bench).iter().map(|row| row["id"].as_i64().unwrap()).collect();
    let bundle = json!({"childTicketIds": [ids[1]], "status": {"id": 25}}).to_string();
    let (status, answer) = person(&bench, "POST", &format!("service/tickets/{}/merge", ids[0]), &bundle);
    assert!(status < 300, "{answer}");
    run(&bench, 10).exits(0);
    // What is over is noted; what lasts keeps the ticket.
    tell(&bench, "nas", "closed", 20);
    assert_eq!(did(&run(&bench, 21).exits(0).json()), ["noted"]);
    assert!(!is_closed(&tickets(&bench)[0]));
    assert!(did(&run(&bench, 22).exits(0).json()).is_empty());
    let open = bench.json(&["alert", "list", "--state", "open"]).exits(0).json();
    let open = open["alerts"].as_array().unwrap();
    assert_eq!((open.len(), &open[0]["acknowledged_by"]), (1, &json!(null)), "{open:?}");
    tell(&bench, "tape", "closed", 90);
    let last = did(&run(&bench, 91).exits(0).json());
    assert!(last.contains(&"closed".to_owned()), "{last:?}");
    run(&bench, 92).exits(0);
    assert!(tickets(&bench).iter().all(is_closed));
    assert!(notes(&bench, ids[0])[0].contains("The cause is gone"));
}

#[test]
fn ax_62_a_device_that_is_silent_for_too_long_is_offline_without_saying_so() {
    let bench = ruled();
    bench.json(&["alert", "set", "device_offline", "silent_minutes=30"]).exits(0);
    let beat = |minutes: i64| {
        let line = record(&format!("hb-{minutes}"), "srv01", "updated", minutes, "");
        bench.feed(&line.replace("failed_backup", "heartbeat")).exits(0);
    };
    beat(0);
    beat(20);
    assert!(did(&run(&bench, 45).exits(0).json()).is_empty());
    assert_eq!(did(&run(&bench, 51).exits(0).json()), ["made"]);
    assert_eq!(tickets(&bench)[0]["summary"], "[trueup] device offline: srv01 (Green Lane LLC)");
    assert!(did(&run(&bench, 55).exits(0).json()).is_empty());
    beat(70);
    assert_eq!(did(&run(&bench, 71).exits(0).json()), ["noted", "closed"]);
}

#[test]
fn ax_63_the_same_key_from_two_sources_is_one_ticket() {
    let bench = ruled();
    bench.file(
        "central.ndjson",
        &format!(
            "{{\"type\":\"customer\",\"id\":\"acme\",\"name\":\"Green Lane\"}}\n{}",
            record("x", "nas", "open", 2, ",\"key\":\"nas/backup\"").replace("\"c-1\"", "\"acme\"")
        ),
    );
    bench.feed(&record("a", "nas", "open", 0, ",\"key\":\"nas/backup\"")).exits(0);
    bench
        .json(&["feed", "import", "--source", "central", &bench.path("central.ndjson").display().to_string()])
        .exits(0);
    // The second source's customer is not linked yet: its alert waits, and joins the other once it is.
    assert_eq!(did(&run(&bench, 5).exits(0).json()), ["made"]);
    let file = bench.file("map.csv", "kind,source_id,psa_id,scope,options\ncustomer,acme,12,,\n");
    bench.json(&["mapping", "import", "--source", "central", &file]).exits(0);
    assert!(did(&run(&bench, 10).exits(0).json()).is_empty());
    assert_eq!(tickets(&bench).len(), 1);
    assert_eq!(alert(&bench)["told_by"].as_array().unwrap().len(), 2);
    bench.feed(&record("a", "nas", "closed", 20, ",\"key\":\"nas/backup\"")).exits(0);
    assert!(did(&run(&bench, 21).exits(0).json()).is_empty(), "the other one still says so");
}

#[test]
fn many_at_once_lie_under_one_ticket_that_closes_with_the_last() {
    let bench = ruled();
    bench.json(&["alert", "set", "*", "storm_tickets=3"]).exits(0);
    let all: String = (0..6).map(|n| record(&format!("s{n}"), &format!("srv{n}"), "open", n, "")).collect();
    bench.feed(&all).exits(0);
    run(&bench, 10).exits(0);
    let made = tickets(&bench);
    assert_eq!(made.len(), 7, "six and the one above");
    let parent =
        made.iter().find(|row| row["summary"].as_str().unwrap().contains("storm")).unwrap()["id"].clone();
    let under = made.iter().filter(|row| row["parentTicketId"] == parent).count();
    assert_eq!(under, 3, "{made:?}");
    let over: String =
        (0..6).map(|n| record(&format!("s{n}"), &format!("srv{n}"), "closed", 20, "")).collect();
    bench.feed(&over).exits(0);
    run(&bench, 21).exits(0);
    run(&bench, 22).exits(0);
    assert!(tickets(&bench).iter().all(is_closed), "{:?}", tickets(&bench));
}

/// The severity that an alert has by now makes no tickets: the one that was made is followed to its end.
#[test]
fn a_ticket_closes_though_its_alert_became_less_severe() {
    let bench = bare();
    bench.json(&["alert", "set", "*", "board=Alerts"]).exits(0);
    bench.json(&["alert", "set", "*", "--severity", "critical", "psa=on"]).exits(0);
    let of = |state: &str, severity: &str, minutes: i64| {
        record(&format!("a-{minutes}"), "nas", state, minutes, "")
            .replace("\"error\"", &format!("\"{severity}\""))
    };
    bench.feed(&of("open", "critical", 0)).exits(0);
    assert_eq!(did(&run(&bench, 1).exits(0).json()), ["made"]);
    bench.feed(&of("updated", "warning", 60)).exits(0);
    run(&bench, 61).exits(0);
    bench.feed(&of("closed", "warning", 120)).exits(0);
    run(&bench, 121).exits(0);
    assert!(is_closed(&tickets(&bench)[0]), "{:?}", tickets(&bench));
    // A new opening that is no more than a warning makes none.
    bench.feed(&of("open", "warning", 3 * DAY)).exits(0);
    assert!(did(&run(&bench, 3 * DAY + 1).exits(0).json()).is_empty());
    // Where the rule itself was switched off, its ticket is left as it is.
    let bench = bare();
    bench.json(&["alert", "set", "*", "psa=on", "board=Alerts"]).exits(0);
    tell(&bench, "nas", "open", 0);
    run(&bench, 1).exits(0);
    bench.json(&["alert", "set", "*", "psa=off"]).exits(0);
    tell(&bench, "nas", "closed", 60);
    run(&bench, 61).exits(0);
    assert!(!is_closed(&tickets(&bench)[0]));
}

/// The note about a closed ticket was written, and the call that opens it again failed.
#[test]
fn a_ticket_that_could_not_be_opened_again_is_opened_by_the_next_run() {
    let bench = ruled();
    bench.json(&["alert", "set", "*", "reopen_closed=on"]).exits(0);
    tell(&bench, "nas", "open", 0);
    run(&bench, 1).exits(0);
    let ticket = tickets(&bench)[0]["id"].as_i64().unwrap();
    person_moves(&bench, ticket, 25);
    run(&bench, 10).exits(0);
    bench.control(
        "faults",
        &json!({"schedule": [{"match": {"method": "PATCH", "path_contains": "service/tickets"}, "action": "status",
            "status": 403}]}),
    );
    run(&bench, 25 * HOUR);
    assert!(is_closed(&tickets(&bench)[0]));
    run(&bench, 26 * HOUR).exits(0);
    assert!(!is_closed(&tickets(&bench)[0]), "{:?}", alert(&bench));
    assert_eq!(notes(&bench, ticket).len(), 1);
}

#[test]
fn many_findings_at_once_lie_under_one_ticket_by_the_rule_of_findings() {
    let bench = bare();
    bench
        .json(&["alert", "set", "findings", "psa=on", "board=Alerts", "company=12", "storm_tickets=3"])
        .exits(0);
    let base = crate::bench::BASE;
    let many: String = (0..6)
        .map(|n| {
            let own = |text: &str| {
                text.replace("c-100", &format!("x-{n}"))
                    .replace("\"s-1\"", &format!("\"s-{n}\""))
                    .replace("SO-1", &format!("SO-{n}"))
            };
            format!("{}{}\n", own(base), own(&crate::bench::sale()))
        })
        .collect();
    bench.feed(&many).exits(0);
    bench.json(&["check"]);
    run(&bench, 60).exits(0);
    let made = tickets(&bench);
    let parent = made.iter().find(|row| row["summary"].as_str().unwrap().contains("storm"));
    assert!(parent.is_some(), "{made:?}");
    assert!(!codes(&bench).contains(&"TU9504".to_owned()), "{:?}", codes(&bench));
}

#[test]
fn a_finding_becomes_a_ticket_and_closes_with_it() {
    let bench = bare();
    bench
        .json(&["alert", "set", "not_mapped", "psa=on", "board=Alerts", "type=Billing", "company=12"])
        .exits(0);
    bench.feed(&crate::bench::BASE.replace("c-100", "c-9")).exits(0);
    bench.feed(&crate::bench::sale()).exits(0);
    bench.json(&["check"]);
    assert!(codes(&bench).contains(&"TU2001".to_owned()), "{:?}", codes(&bench));
    let ran = run(&bench, 60).exits(0).json();
    assert!(did(&ran).iter().all(|step| step == "made") && !did(&ran).is_empty(), "{ran}");
    let made = tickets(&bench);
    assert!(made[0]["summary"].as_str().unwrap().starts_with("[trueup] TU200"), "{made:?}");
    assert!(did(&run(&bench, 200).exits(0).json()).is_empty(), "no repeats of what nobody told again");
    bench.map("customer,c-9,12,,\nproduct,exo-p1,7,,\n").exits(0);
    bench.json(&["check"]);
    run(&bench, 300).exits(0);
    assert!(tickets(&bench).iter().all(is_closed), "{:?}", tickets(&bench));
}

#[test]
fn what_went_on_is_in_the_log_and_a_rule_is_made_of_an_entry() {
    let bench = bare();
    tell(&bench, "nas", "open", 0);
    run(&bench, 1).exits(0);
    let log = bench.json(&["alert", "log", "--kind", "alert"]).exits(0).json();
    let entry = &log["entries"][0];
    assert_eq!((&entry["action"], &entry["rule_kind"]), (&json!("opened"), &json!("failed_backup")), "{log}");
    let number = entry["entry"].as_i64().unwrap().to_string();
    bench.json(&["alert", "set", "--from-entry", &number, "psa=on", "board=Alerts"]).exits(0);
    assert_eq!(did(&run(&bench, 2).exits(0).json()), ["made"]);
    let id = alert(&bench)["alert_id"].as_str().unwrap().to_owned();
    let shown = bench.json(&["alert", "show", &id]).exits(0).json();
    assert_eq!(shown["history"][0]["action"], "made", "{shown}");
    assert_eq!(shown["alert"]["opened_at"], at(0));
}
