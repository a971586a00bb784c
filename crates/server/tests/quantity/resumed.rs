//! Runs that were killed, and what was said before they were gone on with.

use super::desk::{
    additions, assigned, count, mark, more_customers, patch, quantities, run, verdicts, writes_since,
};
use crate::bench::Bench;
use serde_json::json;
use std::collections::BTreeSet;
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

/// Of six customers, written two at once, the last one's write is held: the first ones are over by then, and the journal knows.
#[test]
fn what_a_killed_run_had_done_is_done_whatever_is_counted_since() {
    let mut bench = assigned();
    bench.env("TRUEUP_APPLY_SETTLE_SECONDS", "1");
    bench.json(&["setting", "set", "calls.at_once", "1"]).exits(0);
    more_customers(&bench, 5);
    let level = |value: &'static str| -> Vec<(&str, &str, &str)> {
        ["c-1", "c-2", "c-3", "c-4", "c-5", "c-6"].map(|customer| (customer, "mbx", value)).to_vec()
    };
    let all = |bench: &Bench| [40, 52, 53, 54, 55, 56].map(|agreement| quantities(bench, agreement));
    count(&bench, &level("5"));
    run(&bench, &["--approve"]).exits(0);
    count(&bench, &level("8"));
    killed(&bench, &["5:send"], |passed| passed.contains(&"5:send"));
    count(&bench, &level("10"));
    let ran = run(&bench, &["--approve"]).json();
    let of_plan = |plan: &serde_json::Value| plan["findings"].as_array().unwrap().clone();
    let findings: Vec<_> = ran["applied"].as_array().unwrap().iter().flat_map(of_plan).collect();
    let stale: BTreeSet<i64> = findings
        .iter()
        .filter(|finding| finding["code"] == "TU7001")
        .filter_map(|finding| finding["subject"]["agreement"].as_i64())
        .collect();
    let first_ones = [40, 52].iter().any(|agreement| stale.contains(agreement));
    assert!(!stale.is_empty() && !first_ones, "those alone that were not done, and not {stale:?}: {ran}");
    for _ in 0..2 {
        run(&bench, &["--approve"]);
    }
    assert_eq!(all(&bench), [10.0; 6].map(|level| vec![level]));
}
