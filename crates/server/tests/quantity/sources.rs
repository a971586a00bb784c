//! What a source leaves out, tells twice or calls otherwise: months without use, use beside a counter, other units,
//! nothing at all, and customers that nobody knows yet.

use super::desk::{
    assigned, codes, count, count_at, five, mark, more_customers, quantities, run, verdicts, writes_since,
};
use crate::bench::Bench;
use serde_json::Value;

fn used(id: &str, customer: &str, day: &str, quantity: &str) -> String {
    format!(
        "{{\"type\":\"usage\",\"id\":\"{id}\",\"customer\":\"{customer}\",\"product\":\"mbx\",\"quantity\":\"{quantity}\",\
         \"start\":\"{day}\",\"end\":\"2023-12-31\"}}\n"
    )
}

/// One counter, in a unit.
fn level(value: &str, unit: &str, at: &str) -> String {
    format!(
        "{{\"type\":\"counter\",\"customer\":\"c-1\",\"product\":\"mbx\",\"value\":\"{value}\",\"unit\":\"{unit}\",\
         \"as_of\":\"{at}\"}}\n"
    )
}

/// What a finding with this code says.
fn said(ran: &Value, code: &str) -> String {
    let findings = ran["findings"].as_array().unwrap();
    let found = findings.iter().find(|finding| finding["code"] == code);
    found.map(|finding| finding["message"].as_str().unwrap().to_owned()).unwrap_or_default()
}

/// Two customers whose use of February is billed: 10 and 4.
fn two_that_used() -> Bench {
    let bench = assigned();
    more_customers(&bench, 1);
    let feed = [used("u-1", "c-1", "2023-02-03", "10"), used("u-2", "c-2", "2023-02-03", "4")];
    bench.feed(&feed.concat()).exits(0);
    run(&bench, &["--approve"]).exits(0);
    assert_eq!((quantities(&bench, 40), quantities(&bench, 52)), (vec![10.0], vec![4.0]));
    bench
}

#[test]
fn a_month_in_which_others_used_and_one_did_not_is_a_use_of_0_that_waits_for_a_person() {
    let mut bench = two_that_used();
    bench.on("2023-04-05");
    bench.feed(&used("u-3", "c-2", "2023-03-07", "6")).exits(0);
    let ran = run(&bench, &[]).exits(1).json();
    assert_eq!(codes(&ran), ["TU5003"], "{ran}");
    assert_eq!((quantities(&bench, 40), quantities(&bench, 52)), (vec![10.0], vec![6.0]), "0 waits: {ran}");
    run(&bench, &["--approve"]).exits(0);
    assert_eq!((quantities(&bench, 40), quantities(&bench, 52)), (vec![0.0], vec![6.0]));
    // Used again, billed again.
    bench.on("2023-05-05");
    let feed = [used("u-4", "c-1", "2023-04-02", "3"), used("u-5", "c-2", "2023-04-02", "6")];
    bench.feed(&feed.concat()).exits(0);
    run(&bench, &[]).exits(0);
    assert_eq!((quantities(&bench, 40), quantities(&bench, 52)), (vec![3.0], vec![6.0]));
}

#[test]
fn a_month_of_which_a_source_tells_no_use_at_all_is_told_and_nothing_becomes_0() {
    let mut bench = two_that_used();
    bench.on("2023-04-05");
    let before = mark(&bench);
    let ran = run(&bench, &["--approve"]).json();
    assert_eq!(writes_since(&bench, before), []);
    assert_eq!((quantities(&bench, 40), quantities(&bench, 52)), (vec![10.0], vec![4.0]));
    assert!(said(&ran, "TU8003").contains("2023-03"), "the month is named: {ran}");
}

#[test]
fn use_beside_a_counter_of_the_same_service_is_told_with_both_values() {
    let bench = assigned();
    count(&bench, &[("c-1", "mbx", "8")]);
    bench.feed(&used("u-1", "c-1", "2023-02-03", "31")).exits(0);
    let ran = run(&bench, &["--approve"]).json();
    assert_eq!(quantities(&bench, 40), [8.0], "a counter sets the quantity");
    let told = said(&ran, "TU8006");
    assert!(told.contains("31") && told.contains('8'), "{ran}");
}

#[test]
fn a_source_that_never_told_a_level_of_what_is_assigned_is_told() {
    let bench = assigned();
    let ran = run(&bench, &[]).json();
    assert_eq!(codes(&ran), ["TU8003"], "{ran}");
    count(&bench, &[("c-1", "mbx", "8")]);
    let ran = run(&bench, &["--approve"]).exits(0).json();
    assert!(codes(&ran).is_empty(), "{ran}");
}

#[test]
fn a_unit_that_is_spelled_otherwise_is_the_same_and_its_newest_level_counts() {
    for (one, other) in [("User", "users"), ("mailbox", "Mailboxes"), ("entries", "Entry")] {
        let bench = assigned();
        bench.feed(&level("5", one, "2023-03-08T01:00:00Z")).exits(0);
        run(&bench, &["--approve"]).exits(0);
        bench.feed(&level("7", other, "2023-03-09T01:00:00Z")).exits(0);
        let ran = run(&bench, &[]).exits(0).json();
        assert_eq!((verdicts(&ran), quantities(&bench, 40)), (vec!["update".to_owned()], vec![7.0]), "{ran}");
        // The former spelling with an older level takes nothing back.
        bench.feed(&level("6", one, "2023-03-08T12:00:00Z")).exits(0);
        run(&bench, &[]).exits(0);
        assert_eq!(quantities(&bench, 40), [7.0]);
    }
}

#[test]
fn a_level_in_another_unit_is_answered_by_applying_the_plan_that_holds_it() {
    let mut bench = assigned();
    bench.feed(&level("5", "user", "2023-03-10T01:00:00Z")).exits(0);
    run(&bench, &["--approve"]).exits(0);
    bench.on("2023-03-12");
    bench.feed(&level("5000", "MB", "2023-03-12T01:00:00Z")).exits(0);
    let ran = run(&bench, &[]).exits(1).json();
    let plan = ran["waiting"][0]["plan_id"].as_str().unwrap();
    bench.json(&["apply", plan]).exits(0);
    assert_eq!(quantities(&bench, 40), [5000.0]);
    // It has moved by the next run already, and is not asked about again.
    for (on, value) in [("2023-03-13", 5010), ("2023-03-14", 5020)] {
        bench.on(on);
        bench.feed(&level(&value.to_string(), "MB", &format!("{on}T01:00:00Z"))).exits(0);
        let ran = run(&bench, &[]).exits(0).json();
        assert_eq!(quantities(&bench, 40), [f64::from(value)], "{ran}");
    }
}

#[test]
fn who_is_counted_now_and_was_billed_by_use_is_told_no_use_of_0() {
    let mut bench = two_that_used();
    bench.feed(&used("u-9", "c-2", "2023-03-03", "6")).exits(0);
    bench.on("2023-04-05");
    count_at(&bench, "2023-04-05T01:00:00Z", &[("c-1", "mbx", "8")]);
    let ran = run(&bench, &["--approve"]).json();
    assert_eq!((quantities(&bench, 40), quantities(&bench, 52)), (vec![8.0], vec![6.0]), "{ran}");
    assert!(!codes(&ran).contains(&"TU8006".to_owned()), "{ran}");
}

#[test]
fn a_level_in_another_unit_than_the_one_that_was_billed_waits_for_a_person() {
    let mut bench = assigned();
    bench.feed(&level("5", "user", "2023-03-10T01:00:00Z")).exits(0);
    run(&bench, &["--approve"]).exits(0);
    bench.on("2023-03-12");
    bench.feed(&level("5000", "MB", "2023-03-12T01:00:00Z")).exits(0);
    let ran = run(&bench, &[]).exits(1).json();
    assert_eq!((codes(&ran), verdicts(&ran)), (vec!["TU5004".to_owned()], vec!["held".to_owned()]), "{ran}");
    assert!(said(&ran, "TU5004").contains("user") && said(&ran, "TU5004").contains("MB"), "{ran}");
    assert_eq!(quantities(&bench, 40), [5.0]);
    // Asked again the next night, and billed once somebody says so; from then on the new unit is the line's.
    assert_eq!(codes(&run(&bench, &[]).exits(1).json()), ["TU5004"]);
    run(&bench, &["--approve"]).exits(0);
    assert_eq!(quantities(&bench, 40), [5000.0]);
    bench.on("2023-03-13");
    bench.feed(&level("5001", "MB", "2023-03-13T01:00:00Z")).exits(0);
    run(&bench, &[]).exits(0);
    assert_eq!(quantities(&bench, 40), [5001.0]);
}

#[test]
fn levels_in_two_units_at_once_are_refused_with_the_day_of_each_until_one_falls_behind() {
    let mut bench = assigned();
    let both = [level("5", "user", "2023-03-10T01:00:00Z"), level("6", "seat", "2023-03-10T01:00:00Z")];
    bench.feed(&both.concat()).exits(0);
    let ran = run(&bench, &["--approve"]).exits(1).json();
    let told = said(&ran, "TU5004");
    assert!(told.contains("5 user of 2023-03-10") && told.contains("6 seat of 2023-03-10"), "{ran}");
    // Where nothing was billed yet, nobody would be asked about the other unit: it has to be stale.
    bench.on("2023-03-13");
    bench.feed(&level("7", "seat", "2023-03-13T01:00:00Z")).exits(0);
    assert_eq!(verdicts(&run(&bench, &["--approve"]).exits(1).json()), ["refused"]);
    bench.on("2023-03-18");
    bench.feed(&level("7", "seat", "2023-03-18T01:00:00Z")).exits(0);
    run(&bench, &["--approve"]).exits(0);
    assert_eq!(quantities(&bench, 40), [7.0]);
}

#[test]
fn what_is_counted_before_its_customer_is_known_is_told_and_billed_once_it_has_its_place() {
    let (bench, _) = five();
    bench.json(&["setting", "set", "quantity.children", "without_company"]).exits(0);
    count_at(&bench, "2023-03-10T02:00:00Z", &[("c-1", "mbx", "6"), ("c-1a", "mbx", "3")]);
    let ran = run(&bench, &[]).exits(1).json();
    assert_eq!(codes(&ran), ["TU2001"], "{ran}");
    assert!(said(&ran, "TU2001").contains("not in the feed"), "{ran}");
    assert_eq!(quantities(&bench, 40), [6.0], "the others go on");
    // Known, with its place below c-1: its level counts there.
    bench.feed("{\"type\":\"customer\",\"id\":\"c-1a\",\"name\":\"North\",\"parent\":\"c-1\"}\n").exits(0);
    let ran = run(&bench, &[]).exits(0).json();
    assert!(codes(&ran).is_empty(), "{ran}");
    assert_eq!(quantities(&bench, 40), [9.0]);
}

/// Counters of an instant, and the word that these are all.
fn all_of(levels: &[(&str, &str)], at: &str) -> String {
    let counter = |(customer, value): &(&str, &str)| {
        format!(
            "{{\"type\":\"counter\",\"customer\":\"{customer}\",\"product\":\"mbx\",\"value\":\"{value}\",\"as_of\":\"{at}\"}}\n"
        )
    };
    let levels: String = levels.iter().map(counter).collect();
    format!(
        "{levels}{{\"type\":\"snapshot\",\"types\":[\"counter\"],\"complete\":true,\"as_of\":\"{at}\"}}\n"
    )
}

/// Two customers whose counters are billed: 10 and 4.
fn two_that_are_counted() -> Bench {
    let bench = assigned();
    more_customers(&bench, 1);
    bench.feed(&all_of(&[("c-1", "10"), ("c-2", "4")], "2023-03-10T01:00:00Z")).exits(0);
    run(&bench, &["--approve"]).exits(0);
    assert_eq!((quantities(&bench, 40), quantities(&bench, 52)), (vec![10.0], vec![4.0]));
    bench
}

#[test]
fn what_a_complete_list_of_counters_leaves_out_is_a_count_of_0_that_waits_for_a_person() {
    let mut bench = two_that_are_counted();
    bench.on("2023-03-11");
    // Without the word that these are all, what is not there says nothing.
    count_at(&bench, "2023-03-11T01:00:00Z", &[("c-2", "mbx", "5")]);
    run(&bench, &[]).exits(0);
    assert_eq!((quantities(&bench, 40), quantities(&bench, 52)), (vec![10.0], vec![5.0]));

    bench.feed(&all_of(&[("c-2", "6")], "2023-03-11T02:00:00Z")).exits(0);
    let ran = run(&bench, &[]).exits(1).json();
    assert_eq!(codes(&ran), ["TU5003"], "{ran}");
    assert_eq!((quantities(&bench, 40), quantities(&bench, 52)), (vec![10.0], vec![6.0]), "0 waits: {ran}");
    assert!(ran.to_string().contains("left out of the complete list of 2023-03-11"), "{ran}");
    run(&bench, &["--approve"]).exits(0);
    assert_eq!((quantities(&bench, 40), quantities(&bench, 52)), (vec![0.0], vec![6.0]));
    // Every further list that leaves it out is a level of its day, and no old one.
    bench.on("2023-04-20");
    bench.feed(&all_of(&[("c-2", "6")], "2023-04-20T01:00:00Z")).exits(0);
    let ran = run(&bench, &["--approve"]).json();
    assert!(!codes(&ran).contains(&"TU5005".to_owned()), "{ran}");
    // Counted again, billed again.
    let (mut bench, again) =
        (two_that_are_counted(), all_of(&[("c-1", "3"), ("c-2", "6")], "2023-03-13T01:00:00Z"));
    bench.on("2023-03-13");
    bench.feed(&all_of(&[("c-2", "6")], "2023-03-12T01:00:00Z")).exits(0);
    bench.feed(&again).exits(0);
    run(&bench, &["--approve"]).exits(0);
    assert_eq!((quantities(&bench, 40), quantities(&bench, 52)), (vec![3.0], vec![6.0]));
}

#[test]
fn a_complete_list_without_any_counter_is_not_believed() {
    let mut bench = two_that_are_counted();
    bench.on("2023-03-11");
    let told = bench.feed(&all_of(&[], "2023-03-11T01:00:00Z")).exits(1).json();
    assert!(told.to_string().contains("names none of the 2"), "{told}");
    let before = mark(&bench);
    run(&bench, &["--approve"]);
    assert_eq!(writes_since(&bench, before), []);
    assert_eq!((quantities(&bench, 40), quantities(&bench, 52)), (vec![10.0], vec![4.0]));
}

#[test]
fn a_complete_list_takes_nothing_back_that_was_counted_after_it_or_in_another_unit() {
    let mut bench = two_that_are_counted();
    bench.on("2023-03-12");
    count_at(&bench, "2023-03-12T01:00:00Z", &[("c-1", "mbx", "12")]);
    bench.feed(&all_of(&[("c-2", "4")], "2023-03-11T01:00:00Z")).exits(0);
    run(&bench, &[]).exits(0);
    assert_eq!(quantities(&bench, 40), [12.0], "a list of the day before");
    // The same counter under another spelling of its unit is there.
    let renamed = all_of(&[("c-2", "4")], "2023-03-12T02:00:00Z");
    bench.feed(&format!("{}{renamed}", level("13", "mailbox", "2023-03-12T02:00:00Z"))).exits(0);
    let ran = run(&bench, &["--approve"]).json();
    assert_eq!(quantities(&bench, 40), [13.0], "{ran}");
}

#[test]
fn what_was_gone_before_is_not_gone_at_once() {
    let bench = assigned();
    for (key, value) in [("brakes.min_changes", "1"), ("brakes.percent", "40")] {
        bench.json(&["setting", "set", key, value]).exits(0);
    }
    let counters: Vec<String> = (1..=5)
        .map(|n| format!("{{\"type\":\"counter\",\"customer\":\"c-{n}\",\"product\":\"mbx\",\"value\":\"1\",\"as_of\":\"2023-03-01T00:00:00Z\"}}\n"))
        .collect();
    let customers: Vec<String> = (1..=5)
        .map(|n| format!("{{\"type\":\"customer\",\"id\":\"c-{n}\",\"name\":\"Customer {n}\"}}\n"))
        .collect();
    for (records, kind) in [(counters, "counter"), (customers, "customer")] {
        let list = |there: usize, day: u32| {
            let all = format!(
                "{{\"type\":\"snapshot\",\"types\":[\"{kind}\"],\"complete\":true,\"as_of\":\"2023-03-0{day}T00:00:00Z\"}}\n"
            );
            bench.feed(&format!("{}{all}", records[..there].concat()))
        };
        list(5, 1).exits(0);
        list(3, 2).exits(0);
        // One more, which is one of three: not three of five.
        list(2, 3).exits(0);
        let told = list(0, 4).exits(1).json();
        assert!(told.to_string().contains("is not believed"), "{told}");
    }
}

/// Two services on one line, billed by the use of February: mailboxes 10 and archives 5.
fn added_up() -> Bench {
    let bench = assigned();
    bench.json(&["quantity", "rule", "--item", "7", "--add-up", "on"]).exits(0);
    bench.json(&["quantity", "assign", "arc", "--item", "7"]).exits(0);
    let archive = used("u-2", "c-1", "2023-02-03", "5").replace("\"mbx\"", "\"arc\"");
    bench.feed(&format!("{}{archive}", used("u-1", "c-1", "2023-02-03", "10"))).exits(0);
    run(&bench, &["--approve"]).exits(0);
    assert_eq!(quantities(&bench, 40), [15.0]);
    bench
}

#[test]
fn a_part_of_a_line_whose_month_was_not_told_keeps_the_line_as_it_is() {
    let mut bench = added_up();
    bench.on("2023-04-05");
    bench.feed(&used("u-3", "c-1", "2023-03-07", "12")).exits(0);
    let ran = run(&bench, &["--approve"]).json();
    assert_eq!(quantities(&bench, 40), [15.0], "{ran}");
    assert!(said(&ran, "TU8003").contains("2023-03"), "{ran}");
    // Once it is told, both count.
    bench.feed(&used("u-4", "c-1", "2023-03-07", "6").replace("\"mbx\"", "\"arc\"")).exits(0);
    run(&bench, &["--approve"]).exits(0);
    assert_eq!(quantities(&bench, 40), [18.0]);
}

/// What is taken away counts like what is billed: an old level of it would let the rest rise or fall for no reason.
#[test]
fn what_a_rule_takes_away_is_of_now_and_final() {
    let mut bench = assigned();
    bench.json(&["quantity", "rule", "--item", "7", "--exclude-service", "arc=free"]).exits(0);
    bench.json(&["quantity", "assign", "arc", "--not-assigned"]).exits(0);
    count(&bench, &[("c-1", "mbx", "100"), ("c-1", "arc", "40")]);
    run(&bench, &["--approve"]).exits(0);
    assert_eq!(quantities(&bench, 40), [60.0]);
    bench.on("2023-06-10");
    count_at(&bench, "2023-06-10T01:00:00Z", &[("c-1", "mbx", "90")]);
    let ran = run(&bench, &["--approve"]).json();
    assert_eq!((quantities(&bench, 40), codes(&ran)), (vec![60.0], vec!["TU5005".to_owned()]), "{ran}");
    count_at(&bench, "2023-06-10T01:00:00Z", &[("c-1", "arc", "20")]);
    run(&bench, &["--approve"]).exits(0);
    assert_eq!(quantities(&bench, 40), [70.0]);
    // A level of it that is older than the one that was told takes nothing back.
    count_at(&bench, "2023-06-09T01:00:00Z", &[("c-1", "arc", "50")]);
    run(&bench, &["--approve"]);
    assert_eq!(quantities(&bench, 40), [70.0]);
}
