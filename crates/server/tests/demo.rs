//! The demonstration from the first line to the comparison of the invoices.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops where it fails")]

use assert_cmd::Command;

#[test]
fn the_invoices_of_all_companies_equal_the_charges() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_trueup"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TRUEUP_")) {
        command.env_remove(name);
    }
    let run = command.current_dir(dir.path()).args(["demo", "--once", "--data-dir"]).arg(dir.path()).assert();
    let run = run.code(0);
    let text = String::from_utf8(run.get_output().stdout.clone()).unwrap();
    assert!(text.contains("20 of 20 companies: all invoices are equal to the charges."), "{text}");
    assert!(!text.contains("DIFFERENT"), "{text}");
    let (_, compared) = text.split_once("== Invoice the month").unwrap();
    // Twenty companies and one total a currency.
    assert_eq!(compared.lines().filter(|line| line.trim_end().ends_with(" equal")).count(), 23, "{text}");
    for kind in ["sales", "change", "billing", "cancellation", "renewal", "transfer"] {
        assert!(text.contains(kind), "no {kind} order: {text}");
    }
    for currency in ["USD", "EUR", "GBP"] {
        assert!(text.contains(&format!("Next invoices in {currency}:")), "{text}");
    }
    assert!(!text.contains("Open the console"), "{text}");
    assert!(dir.path().join("demo-feed.ndjson").exists());
}
