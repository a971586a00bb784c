//! Whom ConnectWise mails about a ticket, and sources that fall silent.

use super::desk::{bare, did, is_closed, run, tell, tickets};
use crate::bench::Bench;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use std::time::Duration;

#[test]
fn notify_says_whom_connectwise_mails_and_nobody_where_it_says_nothing() {
    let bench = bare();
    bench.json(&["alert", "set", "*", "psa=on", "board=Alerts"]).exits(0);
    tell(&bench, "nas", "open", 0);
    run(&bench, 1).exits(0);
    let flags = |n: usize| {
        let ticket = tickets(&bench).remove(n);
        let flag = |name: &str| ticket[name] == json!(true);
        let copies = ticket["automaticEmailCc"].as_str().unwrap_or_default().to_owned();
        let flags =
            ["automaticEmailContactFlag", "automaticEmailResourceFlag", "automaticEmailCcFlag"].map(flag);
        (flags, copies)
    };
    assert_eq!(flags(0), ([false, false, false], String::new()));
    for (field, expected) in [
        ("notify_contact=on", ([true, false, false], String::new())),
        ("notify_resources=on", ([true, true, false], String::new())),
        ("notify_copies=noc@example.com", ([true, true, true], "noc@example.com".to_owned())),
        ("notify_contact=off", ([false, true, true], "noc@example.com".to_owned())),
    ] {
        bench.json(&["alert", "set", "*", field]).exits(0);
        let n = tickets(&bench).len();
        tell(&bench, &format!("srv-{n}"), "open", 10 * i64::try_from(n).unwrap());
        run(&bench, 10 * i64::try_from(n).unwrap() + 1).exits(0);
        assert_eq!(flags(n), expected, "{field}");
    }
    bench.json(&["alert", "set", "*", "notify_copies=nobody"]).exits(2);
    bench.json(&["alert", "set", "*", "notify_contact=perhaps"]).exits(2);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the process under test goes by the machine's clock")]
fn source_silent_is_a_ticket_while_a_source_brings_nothing_and_closes_once_it_does() {
    let bench = bare();
    let later =
        |from: Timestamp, millis: i64| (from + SignedDuration::from_millis(60 * 60_000 + millis)).to_string();
    let run_at = |bench: &Bench, at: &str| bench.json(&["alert", "run", "--at", at]).exits(0).json();
    tell(&bench, "nas", "open", 0);
    let fed = Timestamp::now();
    // Silence of sources is switched on by its name, and watched from then on.
    bench.json(&["alert", "set", "*", "psa=on", "board=Alerts"]).exits(0);
    assert_eq!(did(&run_at(&bench, &later(fed, 500))), ["made"], "the one that was told");
    bench.json(&["alert", "set", "source_silent", "psa=on", "company=12", "silent_minutes=60"]).exits(0);
    let ran = run_at(&bench, &later(fed, -30_000));
    assert!(did(&ran).is_empty(), "not yet: {ran}");
    assert_eq!(did(&run_at(&bench, &later(fed, 1_000))), ["made"]);
    assert!(did(&run_at(&bench, &later(fed, 1_500))).is_empty(), "once");
    let silent = tickets(&bench).remove(1);
    assert!(silent["summary"].as_str().unwrap().contains("source silent"), "{silent}");
    std::thread::sleep(Duration::from_secs(3));
    let again = Timestamp::now();
    tell(&bench, "tape", "closed", 0);
    assert_eq!(did(&run_at(&bench, &later(again, -500))), ["noted", "closed"]);
    assert!(is_closed(&tickets(&bench)[1]));
}
