//! Exit codes and errors.

use super::bench::Bench;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

#[test]
fn wrong_usage_exits_with_2() {
    let bench = Bench::new("2023-03-20");
    bench.run(&["no-such-command"]).exits(2);
    bench.run(&["plan", "--reconcile", "2023-03-01..2023-04-01"]).exits(2);
    bench.run(&["apply"]).exits(2);
    bench.run(&["check", "--since", "yesterday"]).exits(2);
    let usage = bench.json(&["apply"]).exits(2);
    let message = usage.json()["error"]["message"].clone();
    assert_eq!(message, "apply needs to know what: a stored plan, or everything that is ready");
}

#[test]
fn programs_get_a_document_also_where_the_usage_is_wrong() {
    let mut bench = Bench::new("2023-03-20");
    assert!(bench.run(&["--format=json", "apply"]).exits(2).json()["error"]["message"].is_string());
    assert_eq!(bench.run(&["finding", "show", "json", "--nope"]).exits(2).out, "");
    bench.env("TRUEUP_FORMAT", "json");
    assert!(bench.run(&["apply"]).exits(2).json()["error"]["message"].is_string());
    assert_eq!(bench.run(&["apply", "--format", "table"]).exits(2).out, "");
    // A value that looks like a flag is a wrong value.
    let said = bench.run(&["setting", "set", "apply.settle_seconds", "-1"]).exits(2).json();
    assert!(said["error"]["message"].as_str().unwrap().contains("from 0 to 86400"), "{said}");
}

#[test]
fn help_completions_and_manual_are_generated() {
    let bench = Bench::new("2023-03-20");
    assert!(bench.run(&["--help"]).exits(0).out.contains("Check Changes"));
    assert!(bench.run(&["completions", "bash"]).exits(0).out.contains("trueup"));
    let manual = bench.run(&["man"]).exits(0).out;
    assert!(manual.contains(".TH"));
    let name = manual.lines().skip_while(|line| *line != ".SH NAME").nth(1);
    assert_eq!(name, Some(r"trueup \- Keeps ConnectWise agreements true to what was sold"));
    let dir = bench.path("man");
    bench.run(&["man", "--dir", &dir.display().to_string()]).exits(0);
    assert!(dir.join("trueup-apply.1").exists());
}

#[test]
fn what_does_not_exist_is_said_in_text_and_json() {
    let bench = Bench::new("2023-03-20");
    for args in [
        &["plan", "show", "nope"][..],
        &["apply", "nope"],
        &["task", "show", "nope"],
        &["finding", "show", "nope"],
        &["audit", "explain", "1"],
        &["psa", "pull"],
        &["--org", "elsewhere", "task", "list"],
        &["feed", "import", "nope.ndjson"],
        &["feed", "import", "--from", "nope", "seed.json"],
    ] {
        let ran = bench.json(args).exits(2);
        let error = &ran.json()["error"];
        assert!(error["message"].as_str().is_some_and(|m| !m.is_empty()), "{args:?}");
        assert!(error["fix"].as_str().is_some_and(|m| !m.is_empty()), "{args:?}");
        assert!(ran.err.contains("what to do"), "{args:?}");
    }
}

#[test]
fn a_connection_that_nobody_answers_exits_with_3() {
    let mut bench = Bench::new("2023-03-20");
    bench.env("TRUEUP_CONNECTWISE_PRIVATE_KEY", "secret-of-the-test");
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let add = ["connection", "add", "--url", &url, "--company", "c", "--public-key", "k", "--client-id", "i"];
    let ran = bench.json(&add).exits(3);
    assert_eq!(ran.json()["error"]["code"], "TU1001");
    assert!(!ran.out.contains("secret-of-the-test") && !ran.err.contains("secret-of-the-test"));
    bench.json(&["psa", "pull"]).exits(3);
    bench.json(&["doctor"]).exits(3);
    let list = bench.json(&["connection", "list"]).exits(0);
    assert_eq!(list.json()["connections"][0]["url"], url.as_str());
    assert!(!list.out.contains("secret-of-the-test"));
}

/// Names stand in tables and addresses, and a client id that is missing is not a wrong key.
#[test]
fn a_connection_is_given_a_name_and_a_client_id() {
    let mut bench = Bench::new("2023-03-20");
    bench.env("TRUEUP_CONNECTWISE_PRIVATE_KEY", "secret-of-the-test");
    let base = ["connection", "add", "--url", "http://127.0.0.1:1", "--company", "c", "--public-key", "k"];
    let ran = bench.json(&[&base[..], &["--client-id", " "]].concat()).exits(2);
    assert_eq!(ran.json()["error"]["code"], "TU1003");
    for name in ["", " ", "a/b", "a\nb"] {
        bench.json(&[&base[..], &["--client-id", "i", "--name", name]].concat()).exits(2);
    }
    let list = bench.json(&["connection", "list"]).exits(0);
    assert_eq!(list.json()["connections"].as_array().map(Vec::len), Some(0));
}

#[test]
fn a_database_that_is_none_of_ours_is_wrong_usage() {
    let bench = Bench::new("2023-03-20");
    for url in ["mysql://root@localhost/trueup", "sqlite://x.db", "localhost", ""] {
        let ran = bench.json(&["--database", url, "org", "list"]).exits(2);
        assert!(ran.err.contains("PostgreSQL") && ran.err.contains("postgres://"), "{url}: {ran:?}");
        assert!(!bench.path("data").exists(), "{url}");
    }
    // Out of reach is something else.
    let ran = bench.json(&["--database", "postgres://nobody@127.0.0.1:1/none", "org", "list"]).exits(3);
    assert_eq!(ran.json()["error"]["code"], "TU9103");
}

#[test]
fn plain_http_is_for_this_machine_alone() {
    let mut bench = Bench::new("2023-03-20");
    bench.env("TRUEUP_CONNECTWISE_PRIVATE_KEY", "x");
    let add = [
        "connection",
        "add",
        "--url",
        "http://psa.example.com",
        "--company",
        "c",
        "--public-key",
        "k",
        "--client-id",
        "i",
    ];
    let ran = bench.json(&add).exits(2);
    assert_eq!(ran.json()["error"]["code"], "TU1005");
    let list = bench.json(&["connection", "list"]).exits(0).json();
    assert_eq!(list["connections"].as_array().map(Vec::len), Some(0));
}

#[test]
fn another_process_on_the_same_data_is_refused() {
    let bench = Bench::new("2023-03-20");
    // A command that waits for its standard input holds the data directory.
    let mut holder = Command::new(env!("CARGO_BIN_EXE_trueup"))
        .args(["connection", "add", "--url", "https://api-na.myconnectwise.net", "--company", "c"])
        .args(["--public-key", "k", "--client-id", "i"])
        .env("TRUEUP_DATA_DIR", bench.path("data"))
        .env_remove("TRUEUP_CONNECTWISE_PRIVATE_KEY")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // The lock comes before the database file.
    for _ in 0..200 {
        if bench.path("data/trueup.db").exists() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let refused = bench.json(&["org", "list"]);
    holder.kill().unwrap();
    holder.wait().unwrap();
    let refused = refused.exits(2);
    assert_eq!(refused.json()["error"]["code"], "TU9101");
    bench.run(&["org", "list"]).exits(0);
}

#[test]
fn the_sandbox_says_how_to_reach_it_in_its_first_line() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_trueup"))
        .arg("sandbox")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let access: serde_json::Value = serde_json::from_str(&line).unwrap();
    for name in ["url", "company", "public_key", "private_key", "client_id"] {
        assert!(access[name].as_str().is_some_and(|text| !text.is_empty()), "{name}");
    }
    std::io::stdout().flush().unwrap();
}

#[test]
fn organizations_are_added_below_others() {
    let bench = Bench::new("2023-03-20");
    bench.json(&["org", "add", "north", "--name", "North", "--parent", "default"]).exits(0);
    bench.json(&["org", "add", "north"]).exits(2);
    bench.json(&["org", "add", "lost", "--parent", "nowhere"]).exits(2);
    let all = bench.json(&["org", "list"]).exits(0).json();
    let slugs: Vec<&str> =
        all["organizations"].as_array().unwrap().iter().filter_map(|o| o["id"].as_str()).collect();
    assert!(slugs.contains(&"north") && slugs.contains(&"default"), "{slugs:?}");
    bench.json(&["--org", "north", "task", "list"]).exits(0);
}

#[test]
fn what_is_missing_or_wrong_is_said_with_its_form() {
    let bench = Bench::new("2023-03-20");
    let bare = bench.run(&["apply"]).exits(2);
    assert!(bare.err.contains("--all") && bare.err.contains("PLAN_ID"), "{bare:?}");
    for wrong in [&["--today", "tomorrow", "check"][..], &["check", "--since", "1.3.2023"]] {
        let told = bench.run(wrong).exits(2);
        assert!(told.err.contains("YYYY-MM-DD"), "{told:?}");
    }
    let gone = bench.run(&["backup", "restore", "nofile.tar"]).exits(2);
    assert!(gone.err.contains("nofile.tar") && gone.err.contains("trueup backup create"), "{gone:?}");
    let late = bench.run(&["apply", "a-plan", "--adopt"]).exits(2);
    assert!(late.err.contains("trueup plan --adopt"), "{late:?}");
    let released = bench.run(&["mapping", "release", "customer", "c"]).exits(2);
    assert!(released.err.contains("trueup mapping list"), "{released:?}");
}
