//! Runs that were killed, and what was said before they were gone on with.

use super::desk::{
    additions, assigned, count, mark, more_customers, patch, quantities, run, verdicts, writes_since,
};
use crate::bench::Bench;
use serde_json::json;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A run that stops at `held`, each a boundary of one of its changes (`0:send`: the journal knows, and nothing was sent), and is
/// killed once it has passed what `is_there` asks for.
fn killed(bench: &Bench, held: &[&str], is_there: impl Fn(&[&str]) -> bool) {
    let passed = bench.path("passed");
    let mut command = bench.command(&["quantity", "run", "--approve"]);
    command.env("TRUEUP_STOP_FILE", &passed).env("TRUEUP_STOP_AT", held.join(","));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while !is_there(&std::fs::read_to_string(&passed).unwrap_or_default().lines().collect::<Vec<_>>()) {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it got to {held:?}");
        assert!(begun.elapsed() < Duration::from_secs(60), "it never got to {held:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A run of two changes that is killed before either is sent (the journal knows of the one at least). Both stop there: they
/// are under way beside each other, and the other would be through or not, as it happens.
fn killed_before_sending(bench: &Bench) {
    let held = ["0:send", "1:send"];
    killed(bench, &held, |passed| held.iter().any(|place| passed.contains(place)));
}

/// Customers c-1 and c-2 with a line of 5 each, and a desk that looks up what is in doubt after a second.
fn two() -> Bench {
    let mut bench = assigned();
    bench.env("TRUEUP_APPLY_SETTLE_SECONDS", "1");
    more_customers(&bench, 1);
    count(&bench, &[("c-1", "mbx", "5"), ("c-2", "mbx", "5")]);
    run(&bench, &["--approve"]).exits(0);
    assert_eq!((quantities(&bench, 40), quantities(&bench, 52)), (vec![5.0], vec![5.0]));
    bench
}

#[test]
fn a_killed_run_is_not_gone_on_with_for_a_customer_who_was_switched_off_since() {
    let bench = two();
    count(&bench, &[("c-1", "mbx", "8"), ("c-2", "mbx", "9")]);
    killed_before_sending(&bench);
    bench.json(&["quantity", "customer", "c-2", "--billing", "off"]).exits(0);
    let before = mark(&bench);
    run(&bench, &[]);
    assert_eq!((quantities(&bench, 40), quantities(&bench, 52)), (vec![8.0], vec![5.0]));
    let writes = writes_since(&bench, before);
    assert!(writes.iter().all(|(_, path, _)| !path.contains("/52/")), "{writes:?}");
}

#[test]
fn what_a_killed_run_had_begun_is_looked_up_and_not_sent_again_where_the_source_says_otherwise_since() {
    let bench = two();
    count(&bench, &[("c-1", "mbx", "80"), ("c-2", "mbx", "9")]);
    killed_before_sending(&bench);
    count(&bench, &[("c-1", "mbx", "6"), ("c-2", "mbx", "9")]);
    bench.json(&["quantity", "customer", "c-2", "--billing", "off"]).exits(0);
    let before = mark(&bench);
    for _ in 0..2 {
        run(&bench, &[]);
    }
    assert_eq!((quantities(&bench, 40), quantities(&bench, 52)), (vec![6.0], vec![5.0]));
    let writes = writes_since(&bench, before);
    assert!(writes.iter().all(|(_, _, body)| !body.contains("80")), "80 is never billed: {writes:?}");
}

#[test]
fn a_killed_creation_is_made_once_and_not_at_all_for_who_was_switched_off_since() {
    let mut bench = assigned();
    bench.env("TRUEUP_APPLY_SETTLE_SECONDS", "1");
    more_customers(&bench, 1);
    count(&bench, &[("c-1", "mbx", "5"), ("c-2", "mbx", "5")]);
    killed_before_sending(&bench);
    bench.json(&["quantity", "customer", "c-1", "--billing", "off"]).exits(0);
    for _ in 0..3 {
        run(&bench, &["--approve"]);
        std::thread::sleep(Duration::from_millis(1_100));
    }
    assert_eq!((additions(&bench, 40).len(), quantities(&bench, 52)), (0, vec![5.0]));
    // Back on, it is made once.
    bench.json(&["quantity", "customer", "c-1", "--billing", "on"]).exits(0);
    let ran = run(&bench, &["--approve"]).exits(0).json();
    assert_eq!(quantities(&bench, 40), [5.0], "{ran}");
    let own = additions(&bench, 40)[0]["id"].as_i64().unwrap();
    patch(&bench, 40, own, "quantity", json!(2));
    assert_eq!(verdicts(&run(&bench, &[]).exits(0).json()), ["update", "equal"]);
}

#[test]
fn what_a_killed_run_had_done_is_done_whatever_is_counted_since() {
    let bench = two();
    count(&bench, &[("c-1", "mbx", "8"), ("c-2", "mbx", "9")]);
    killed(&bench, &["1:send"], |passed| passed.contains(&"0:commit") && passed.contains(&"1:send"));
    assert_eq!((quantities(&bench, 40), quantities(&bench, 52)), (vec![8.0], vec![5.0]));
    count(&bench, &[("c-1", "mbx", "10"), ("c-2", "mbx", "11")]);
    let ran = run(&bench, &[]).json();
    let findings = ran["findings"].as_array().unwrap();
    let stale: Vec<&str> = findings
        .iter()
        .filter(|finding| finding["code"] == "TU7001")
        .map(|finding| finding["message"].as_str().unwrap())
        .collect();
    assert!(stale.len() == 1 && stale[0].contains("52"), "the one that was not done: {ran}");
    for _ in 0..2 {
        run(&bench, &[]);
    }
    assert_eq!((quantities(&bench, 40), quantities(&bench, 52)), (vec![10.0], vec![11.0]));
}
