//! Tellings out of their order, and records that become something else: of another company, customer, key or subject.

use super::desk::{alert, codes, did, is_closed, record, ruled, run, tell, tickets};
use serde_json::json;

#[test]
fn a_closing_that_is_delivered_before_its_opening_leaves_no_ticket_open() {
    let bench = ruled();
    tell(&bench, "nas", "closed", 30);
    assert!(did(&run(&bench, 31).exits(0).json()).is_empty());
    tell(&bench, "nas", "open", 10);
    let ran = run(&bench, 40).exits(0).json();
    assert!(did(&ran).is_empty(), "{ran}");
    assert!(tickets(&bench).is_empty());
    assert_eq!(alert(&bench)["state"], "cleared");
    // What comes up later is a matter of its own.
    tell(&bench, "nas", "open", 50);
    assert_eq!(did(&run(&bench, 51).exits(0).json()), ["made"]);
}

#[test]
fn what_was_over_before_it_was_told_makes_one_closed_ticket_where_that_is_set() {
    let bench = ruled();
    bench.json(&["alert", "set", "*", "cleared_before_sent=opened_and_closed"]).exits(0);
    tell(&bench, "nas", "closed", 30);
    run(&bench, 31).exits(0);
    tell(&bench, "nas", "open", 10);
    run(&bench, 40).exits(0);
    run(&bench, 41).exits(0);
    let made = tickets(&bench);
    assert_eq!(made.len(), 1, "{made:?}");
    assert!(is_closed(&made[0]), "{made:?}");
}

#[test]
fn a_second_teller_whose_closing_comes_before_its_opening_keeps_nothing_open() {
    let bench = ruled();
    let key = ",\"key\":\"nas/backup\"";
    let other = |id: &str, state: &str, at: i64| {
        let file = bench.file(
            "central.ndjson",
            &format!(
                "{{\"type\":\"customer\",\"id\":\"acme\",\"name\":\"Green Lane\"}}\n{}",
                record(id, "nas", state, at, key).replace("\"c-1\"", "\"acme\"")
            ),
        );
        bench.json(&["feed", "import", "--source", "central", &file]);
    };
    other("y", "closed", 25);
    let file = bench.file("map.csv", "kind,source_id,psa_id,scope,options\ncustomer,acme,12,,\n");
    bench.json(&["mapping", "import", "--source", "central", &file]).exits(0);
    bench.feed(&record("a", "nas", "open", 0, key)).exits(0);
    assert_eq!(did(&run(&bench, 5).exits(0).json()), ["made"]);
    other("x", "closed", 26);
    run(&bench, 27).exits(0);
    other("z", "open", 20);
    run(&bench, 28).exits(0);
    bench.feed(&record("a", "nas", "closed", 30, key)).exits(0);
    run(&bench, 31).exits(0);
    let there = tickets(&bench);
    assert_eq!(there.len(), 1, "{there:?}");
    assert!(is_closed(&there[0]), "nobody says that it lasts: {there:?}");
}

/// A second company and a customer of it.
fn second_company(bench: &crate::bench::Bench) {
    let company =
        json!({ "resources": { "company/companies": [{"id": 13, "identifier": "Other", "name": "Other"}] } });
    bench.control("seed", &company);
    bench.feed("{\"type\":\"customer\",\"id\":\"c-2\",\"name\":\"Other\"}\n").exits(0);
    bench.map("customer,c-2,13,,\n").exits(0);
}

#[test]
fn an_alert_whose_customer_becomes_another_company_keeps_its_one_ticket_and_closes_it() {
    let bench = ruled();
    second_company(&bench);
    let key = ",\"key\":\"nas/backup\"";
    bench.feed(&record("a", "nas", "open", 0, key)).exits(0);
    assert_eq!(did(&run(&bench, 1).exits(0).json()), ["made"]);
    bench.map("customer,c-1,13,,\n").exits(0);
    // Told again, it is no other alert.
    bench.feed(&record("a", "nas", "updated", 10, key)).exits(0);
    run(&bench, 11).exits(0);
    assert_eq!(tickets(&bench).len(), 1, "{:?}", tickets(&bench));
    bench.feed(&record("a", "nas", "closed", 20, key)).exits(0);
    run(&bench, 21).exits(0);
    let there = tickets(&bench);
    assert_eq!((there.len(), is_closed(&there[0])), (1, true), "{there:?}");
    // The next time it is one of the new company.
    bench.feed(&record("b", "nas", "open", 60, key)).exits(0);
    assert_eq!(did(&run(&bench, 61).exits(0).json()), ["made"]);
    let there = tickets(&bench);
    assert_eq!(there[1]["company"]["id"], 13, "{there:?}");
}

#[test]
fn a_record_that_becomes_another_alert_ends_the_one_it_was() {
    let bench = ruled();
    second_company(&bench);
    let of = |rest: &str, subject: &str, at: i64| record("a", subject, "open", at, rest);
    for (n, (first, then)) in [
        // Another key, another subject, no key any more, and another customer.
        (of(",\"key\":\"k-1\"", "nas", 0), of(",\"key\":\"k-2\"", "nas", 5)),
        (of("", "tape", 10), of("", "disk", 15)),
        (of(",\"key\":\"k-3\"", "rack", 20), of("", "rack", 25)),
        (of("", "van", 30), of("", "van", 35).replace("\"c-1\"", "\"c-2\"")),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("\"id\":\"r-{n}\"");
        let (first, then) = (first.replace("\"id\":\"a\"", &id), then.replace("\"id\":\"a\"", &id));
        let at = 10 * i64::try_from(n).unwrap();
        bench.feed(&first).exits(0);
        run(&bench, at + 1).exits(0);
        bench.feed(&then).exits(0);
        run(&bench, at + 6).exits(0);
        let there = tickets(&bench);
        let open = there.iter().filter(|ticket| !is_closed(ticket)).count();
        assert_eq!((there.len(), open), (2 * (n + 1), n + 1), "{then}: {there:?}");
    }
    assert!(codes(&bench).is_empty());
}

#[test]
fn two_versions_of_a_record_in_one_delivery_are_told_one_after_the_other() {
    let bench = ruled();
    let feed = [record("a", "nas", "open", 0, ""), record("a", "disk", "open", 5, "")].concat();
    bench.feed(&feed).exits(0);
    run(&bench, 6).exits(0);
    let there = tickets(&bench);
    let open: Vec<_> = there.iter().filter(|ticket| !is_closed(ticket)).collect();
    assert_eq!(open.len(), 1, "{there:?}");
    assert!(open[0]["summary"].as_str().unwrap().contains("disk"), "{there:?}");
}

#[test]
fn an_alert_of_a_customer_that_nobody_knows_yet_is_told_kept_and_sent_once_it_has_its_place() {
    let bench = ruled();
    bench.feed(&record("a", "nas", "open", 0, "").replace("\"c-1\"", "\"c-7\"")).exits(0);
    let ran = run(&bench, 1).exits(0).json();
    assert_eq!(ran["held"]["no_company"], 1, "{ran}");
    assert_eq!(codes(&bench), ["TU9504"]);
    let listed = bench.json(&["finding", "list"]).json();
    let told = listed["findings"][0]["message"].as_str().unwrap();
    assert!(told.contains("c-7") && told.contains("not in the feed"), "{listed}");
    bench.feed("{\"type\":\"customer\",\"id\":\"c-7\",\"name\":\"North\",\"parent\":\"c-1\"}\n").exits(0);
    bench.map("customer,c-7,12,,\n").exits(0);
    assert_eq!(did(&run(&bench, 10).exits(0).json()), ["made"]);
    assert!(codes(&bench).is_empty());
}
