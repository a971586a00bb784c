//! What a person at a terminal sees, and what nobody else does.

use super::bench::{BASE, Bench, MAPPINGS, sale};
use serde_json::json;
use std::process::{Command, Stdio};

/// What a command prints on a terminal of its own, made by util-linux's `script`; none where that is not there. The
/// terminal tells no size.
fn on_a_terminal(bench: &Bench, args: &[&str]) -> Option<String> {
    let ours = bench.command(args);
    let line = format!("{} {}", ours.get_program().display(), args.join(" "));
    let mut command = Command::new("script");
    command.args(["-q", "-e", "-c", &line, "/dev/null"]).current_dir(bench.dir.path()).stdin(Stdio::null());
    for (name, value) in ours.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let output = command.env("TERM", "xterm").env_remove("NO_COLOR").output();
    let Ok(output) = output else {
        println!("skipped: there is no `script` to make a terminal with");
        return None;
    };
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn ready() -> Bench {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    bench.feed(&format!("{BASE}{}", sale())).exits(0);
    bench.map(MAPPINGS).exits(0);
    bench.json(&["check"]).exits(0);
    // Long enough to be seen.
    bench.control("latency", &json!({"ms": 150}));
    bench
}

#[test]
fn a_bar_shows_how_far_apply_is() {
    let bench = ready();
    let Some(shown) = on_a_terminal(&bench, &["apply", "--all"]) else { return };
    assert!(shown.contains("Planning and applying"), "{shown}");
    assert!(shown.contains("Planning and applying [") && shown.contains("/1 "), "{shown}");
    assert!(shown.contains("1 applied"), "{shown}");
    let Some(shown) = on_a_terminal(&bench, &["psa", "pull"]) else { return };
    assert!(shown.contains("Reading ConnectWise [") && shown.contains("0/1 "), "{shown}");
}

#[test]
fn nothing_moves_where_nobody_watches() {
    let bench = ready();
    for args in [&["psa", "pull", "--format", "json"][..], &["psa", "pull", "--quiet"]] {
        let Some(shown) = on_a_terminal(&bench, args) else { return };
        assert!(!shown.contains("Reading ConnectWise"), "{args:?}: {shown}");
    }
    let piped = bench.run(&["psa", "pull"]).exits(0);
    assert_eq!(piped.err, "");
    assert!(!piped.out.contains('\u{1b}'), "{piped:?}");
}

#[test]
fn a_terminal_without_a_size_shows_tables_that_can_be_read() {
    let bench = Bench::new("2023-03-20");
    let Some(shown) = on_a_terminal(&bench, &["setting", "list"]) else { return };
    assert!(shown.contains("price_source"), "{shown}");
    assert!(shown.contains("marketplace"), "{shown}");
}

/// Who signs up at a marketplace chooses its names: none of them moves the cursor, or hides a line, of who reads a plan.
#[test]
fn names_cannot_write_on_the_terminal() {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    let evil = r"\u001b]0;owned\u0007\u001b[2J\u009b31m\u202e";
    let base = BASE.replacen("\"name\":\"", &format!("\"name\":\"{evil}"), 3);
    assert_ne!(base, BASE);
    let order = sale().replacen("\"SO-1\"", &format!("\"SO-1{evil}\""), 1);
    bench.feed(&format!("{base}{order}"));
    let evil_mapping = "customer,c\u{1b}[2J,abc,,\n";
    let mut shown = bench.run(&[
        "mapping",
        "import",
        &bench.file("evil.csv", &format!("kind,source_id,psa_id,scope,options\n{evil_mapping}")),
    ]);
    for args in [
        &["check"][..],
        &["task", "list"],
        &["finding", "list"],
        &["plan", "--all"],
        &["apply", "--all"],
        &["mapping", "list"],
    ] {
        for text in [&shown.out, &shown.err] {
            let harmful = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
            assert!(!text.contains(harmful), "{args:?}: {text:?}");
        }
        shown = bench.run(args);
    }
    assert!(bench.run(&["task", "list"]).out.contains(r"\u{1b}"), "it is spelled out");
}
