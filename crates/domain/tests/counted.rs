//! The chain from what is counted to what is billed: each step, their order, and what it refuses.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use trueup_domain::quantity::chain::{Chain, Part, Rule, compute};
use trueup_domain::quantity::{Origin, Reading};

fn reading(service: &str, value: &str, unit: Option<&str>) -> Reading {
    Reading {
        service: service.into(),
        name: service.to_owned(),
        value: value.parse().unwrap(),
        unit: unit.map(str::to_owned),
        as_of: "2026-03-01T02:00:00Z".to_owned(),
        origin: Origin::Counter,
        doubt: None,
    }
}

fn rule(json: &str) -> Rule {
    let rule: Rule = serde_json::from_str(json).unwrap();
    rule.check().unwrap();
    rule
}

fn chain(json: &str, levels: &[(&str, &str)], excluded: &[(&str, &str)]) -> Result<Chain, String> {
    let read = |all: &[(&str, &str)]| -> Vec<Reading> {
        all.iter().map(|(service, value)| reading(service, value, None)).collect()
    };
    let (levels, excluded) = (read(levels), read(excluded));
    let parts: Vec<Part<'_>> = levels.iter().map(|reading| Part { whose: None, reading }).collect();
    let excluded: Vec<Part<'_>> = excluded.iter().map(|reading| Part { whose: None, reading }).collect();
    compute(&rule(json), &parts, &excluded).map_err(|error| error.to_string())
}

#[test]
fn each_step_does_what_it_says() {
    for (json, level, wanted, text) in [
        ("{}", "8", "8", "a: 8 counted 2026-03-01"),
        (r#"{"included":"3"}"#, "8", "5", "3 are included: 5 remain"),
        (r#"{"included":"9"}"#, "8", "0", "9 are included: 0 remain"),
        (r#"{"minimum":"10"}"#, "8", "10", "the minimum is 10"),
        (r#"{"maximum":"5"}"#, "8", "5", "the maximum is 5"),
        (r#"{"rounding":"up"}"#, "8.01", "9", "8.01 rounded up to a whole number = 9"),
        (r#"{"rounding":"down"}"#, "8.99", "8", "8.99 rounded down to a whole number = 8"),
        (
            r#"{"rounding":"nearest","decimals":1}"#,
            "8.25",
            "8.3",
            "8.25 rounded to the nearest to 1 decimal = 8.3",
        ),
        (r#"{"pack":{"size":"5"}}"#, "11", "3", "3 packs of 5: 3 are billed"),
        (r#"{"pack":{"size":"5","bill":"units"}}"#, "11", "15", "3 packs of 5: 15 are billed"),
        (
            r#"{"tiers":[{"from":"1","bill":"1"},{"from":"11","bill":"2"}]}"#,
            "11",
            "2",
            "11 is in the tier from 11 on: 2 are billed",
        ),
        (r#"{"tiers":[{"from":"5","bill":"1"}]}"#, "4", "0", "4 is below the first tier: nothing is billed"),
        (r#"{"ratio":{"of":"1","per":"3"}}"#, "8", "3", "1 for every 3 of 8: 3"),
        (r#"{"exclude":[{"reason":"our own","quantity":"2"}]}"#, "8", "6", "8 - 2 (our own) = 6"),
    ] {
        let chain = chain(json, &[("a", level)], &[]).unwrap();
        assert_eq!(chain.quantity.display(), wanted, "{json}");
        assert_eq!(chain.steps.last().unwrap().text, text, "{json}");
    }
}

#[test]
fn the_steps_come_in_their_order() {
    let json = r#"{"exclude":[{"reason":"shared","service":"s"}],"included":"1","minimum":"2","maximum":"40",
        "rounding":"up","pack":{"size":"4","bill":"units"},"tiers":[{"from":"1","bill":"30"}],"ratio":{"of":"1","per":"2"}}"#;
    let chain = chain(json, &[("a", "10"), ("b", "5.5")], &[("s", "3")]).unwrap();
    let steps: Vec<&str> = chain.steps.iter().map(|step| step.step.as_str()).collect();
    assert_eq!(steps, ["count", "count", "sum", "exclude", "included", "rounding", "pack", "tier", "ratio"]);
    assert_eq!(chain.quantity.display(), "15");
    assert!(chain.formula().contains("10 + 5.5 = 15.5; 15.5 - 3 (s, shared) = 12.5"), "{}", chain.formula());
}

#[test]
fn several_levels_are_a_sum_the_smallest_or_the_largest() {
    let levels = [("a", "10"), ("b", "4"), ("c", "7")];
    for (json, wanted) in
        [("{}", "21"), (r#"{"combine":"smallest"}"#, "4"), (r#"{"combine":"largest"}"#, "10")]
    {
        assert_eq!(chain(json, &levels, &[]).unwrap().quantity.display(), wanted);
    }
}

#[test]
fn ax_37_bytes_become_units_exactly() {
    let bytes = reading("s", "1234567890123", Some("bytes"));
    let part = [Part { whose: None, reading: &bytes }];
    for (json, wanted) in [
        ("{}", "1235"),
        (r#"{"unit":"GiB","rounding":"nearest","decimals":2}"#, "1149.78"),
        (r#"{"unit":"TB"}"#, "2"),
        (r#"{"unit":"TiB","rounding":"nearest","decimals":1}"#, "1.1"),
    ] {
        assert_eq!(compute(&rule(json), &part, &[]).unwrap().quantity.display(), wanted, "{json}");
    }
    let shown = compute(&rule("{}"), &part, &[]).unwrap();
    assert_eq!(shown.steps[1].text, "1234567890123 / 1000000000 bytes = 1234.56789 GB");
}

#[test]
fn what_cannot_be_billed_is_refused_with_the_steps_up_to_there() {
    assert!(chain("{}", &[("a", "2.5")], &[]).unwrap_err().contains("no whole number"));
    assert!(chain("{}", &[("a", "-1")], &[]).unwrap_err().contains("less than nothing"));
    assert!(chain("{}", &[], &[]).unwrap_err().contains("nothing is counted"));
    let shared = r#"{"exclude":[{"reason":"shared","service":"s"}]}"#;
    assert!(chain(shared, &[("a", "5")], &[]).unwrap_err().contains("was not counted"));
}
