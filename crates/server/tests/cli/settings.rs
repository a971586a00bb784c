//! Settings and the levels they come from.

use super::bench::Bench;

fn get(bench: &Bench, key: &str) -> (String, String) {
    let document = bench.json(&["setting", "get", key]).exits(0).json();
    let text = |name: &str| document[name].as_str().unwrap().to_owned();
    (text("value"), text("from"))
}

#[test]
fn a_setting_is_set_shown_and_reset() {
    let bench = Bench::new("2023-03-20");
    assert_eq!(get(&bench, "credits"), ("off".into(), "default".into()));
    bench.json(&["setting", "set", "credits", "on"]).exits(0);
    assert_eq!(get(&bench, "credits"), ("on".into(), "organization:default".into()));
    bench.json(&["setting", "reset", "credits"]).exits(0);
    assert_eq!(get(&bench, "credits"), ("off".into(), "default".into()));
    bench.json(&["setting", "set", "credits", "maybe"]).exits(2);
    bench.json(&["setting", "set", "colour", "red"]).exits(2);
}

#[test]
fn the_environment_stands_over_what_is_stored_and_a_flag_over_both() {
    let mut bench = Bench::new("2023-03-20");
    bench.json(&["setting", "set", "apply.settle_seconds", "60"]).exits(0);
    bench.env("TRUEUP_APPLY_SETTLE_SECONDS", "2");
    assert_eq!(get(&bench, "apply.settle_seconds"), ("2".into(), "environment".into()));
    let flag = bench.json(&["setting", "get", "apply.settle_seconds", "--set", "apply.settle_seconds=3"]);
    assert_eq!(flag.exits(0).json()["from"], "flag");
    bench.env("TRUEUP_PRICE_SOURCE", "nowhere");
    bench.json(&["setting", "list"]).exits(2);
}

#[test]
fn an_organization_inherits_and_overrides() {
    let bench = Bench::new("2023-03-20");
    bench.json(&["org", "add", "north", "--parent", "default"]).exits(0);
    bench.json(&["setting", "set", "rounding_place", "line"]).exits(0);
    let inherited = bench.json(&["--org", "north", "setting", "get", "rounding_place"]).exits(0).json();
    assert_eq!(inherited["value"], "line");
    assert_eq!(inherited["from"], "organization:default");
    bench.json(&["--org", "north", "setting", "set", "rounding_place", "unit"]).exits(0);
    let own = bench.json(&["--org", "north", "setting", "get", "rounding_place"]).exits(0).json();
    assert_eq!(own["from"], "organization:north");
}

#[test]
fn the_file_is_the_weakest_voice_and_its_faults_are_named() {
    let bench = Bench::new("2023-03-20");
    bench.file("trueup.toml", "[settings]\ncredits = \"on\"\n[settings.brakes]\ncancels = 7\n");
    assert_eq!(get(&bench, "credits"), ("on".into(), "file".into()));
    assert_eq!(get(&bench, "brakes.cancels"), ("7".into(), "file".into()));
    bench.json(&["setting", "set", "credits", "off"]).exits(0);
    assert_eq!(get(&bench, "credits").1, "organization:default");
    bench.file("trueup.toml", "colour = \"red\"\n");
    let ran = bench.json(&["setting", "list"]).exits(2);
    assert!(ran.err.contains("colour"), "{ran:?}");
}
