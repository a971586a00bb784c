//! The same commands on PostgreSQL: the whole way, two processes at once, and a server that goes away in between. Skipped,
//! with a word, where there is no PostgreSQL.

use super::bench::{BASE, Bench, MAPPINGS, order, sale, upgrade};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A server of its own: own directory, own Unix socket, no network. It ends with the value, also when the tests are
/// killed: its shell waits on a pipe that closes with them.
struct Server {
    child: Option<Child>,
    bin: PathBuf,
    dir: TempDir,
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    String::from_utf8_lossy(&id.stdout).trim() == "0"
}

/// A shell as a user whom PostgreSQL accepts.
fn shell() -> Command {
    if is_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--", "sh"]);
        return command;
    }
    Command::new("sh")
}

fn bin() -> Option<PathBuf> {
    if let Some(bin) = std::env::var_os("TRUEUP_TEST_PG_BIN") {
        return Some(PathBuf::from(bin));
    }
    let mut bins: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").exists() && bin.join("psql").exists())
        .collect();
    bins.sort();
    bins.pop()
}

impl Server {
    fn new() -> Option<Self> {
        let Some(bin) = bin() else {
            println!("skipped: no PostgreSQL (TRUEUP_TEST_PG_BIN names the directory of its programs)");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        if is_root() {
            let owned = Command::new("chown").arg("postgres").arg(dir.path()).status().unwrap();
            assert!(owned.success());
        }
        let script = "cd \"$2\" && \"$1/initdb\" -D data -U postgres -A trust -E UTF8 --no-locale --no-sync >initdb.log 2>&1";
        let made = shell().args(["-c", script, "sh"]).arg(&bin).arg(dir.path()).status().unwrap();
        assert!(made.success());
        let mut server = Self { child: None, bin, dir };
        server.start();
        server.sql("postgres", "CREATE DATABASE trueup");
        Some(server)
    }

    fn start(&mut self) {
        let script = "cd \"$2\" || exit 1\n\
            \"$1/postgres\" -D \"$2/data\" -k \"$2\" -c listen_addresses= -c fsync=off >>server.log 2>&1 &\n\
            server=$!; cat >/dev/null; kill -INT $server; wait $server";
        let mut command = shell();
        command.args(["-c", script, "sh"]).arg(&self.bin).arg(self.dir.path()).stdin(Stdio::piped());
        self.child = Some(command.spawn().unwrap());
        for _ in 0..300 {
            if self.ask("postgres", "SELECT 1").is_some() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("PostgreSQL did not start within 30 s");
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }

    fn ask(&self, database: &str, sql: &str) -> Option<String> {
        let output = Command::new(self.bin.join("psql"))
            .args(["-X", "-A", "-t", "-U", "postgres", "-d", database, "-h"])
            .arg(self.dir.path())
            .args(["-c", sql])
            .stderr(Stdio::null())
            .output()
            .ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    #[track_caller]
    fn sql(&self, database: &str, sql: &str) -> String {
        self.ask(database, sql).unwrap_or_else(|| panic!("{sql}"))
    }

    fn url(&self) -> String {
        format!("postgres://postgres@localhost/trueup?host={}", Path::display(self.dir.path()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn ready() -> Option<(Server, Bench)> {
    let server = Server::new()?;
    let mut bench = Bench::new("2023-03-20");
    bench.env("TRUEUP_DATABASE_URL", &server.url());
    bench.connect("2023-03-01");
    bench.feed(&format!("{BASE}not json\n{}{}", sale(), upgrade())).exits(1);
    bench.json(&["check"]).exits(1);
    bench.map(MAPPINGS).exits(0);
    Some((server, bench))
}

#[test]
fn the_whole_way_runs_on_postgresql() {
    let Some((server, bench)) = ready() else { return };
    assert!(!bench.path("data/trueup.db").exists());
    let pulled = bench.json(&["psa", "pull"]).exits(0).json();
    assert_eq!((&pulled["agreements"], &pulled["additions"]), (&1.into(), &0.into()));
    let again = bench.json(&["feed", "import", "feed.ndjson"]).exits(1).json();
    assert_eq!(again["records"]["order"]["unchanged"], 2);
    bench.json(&["setting", "set", "credits", "on"]).exits(0);
    let plan = bench.json(&["plan", "--all"]).exits(0).json();
    assert_eq!(plan["totals"]["create"], 3);
    assert_eq!(plan["totals"]["by_currency"]["USD"]["delta"], "146.18");
    let applied = bench.json(&["apply", plan["plan_id"].as_str().unwrap()]).exits(0).json();
    assert_eq!(applied["summary"]["applied"], 4);
    let part = applied["changes"].as_array().unwrap().iter().find(|c| c["role"] == "prorate").unwrap();
    let explained = bench.json(&["audit", "explain", &part["addition_id"].to_string()]).exits(0).json();
    assert_eq!(explained["values"]["unitPrice"]["formula"], "22.00 x 17/31 = 12.064516 -> 12.06");
    assert_eq!(bench.json(&["audit", "verify"]).exits(0).json()["intact"], true);
    assert_eq!(bench.json(&["apply", "--all"]).exits(0).json()["summary"]["applied"], 0);
    assert_eq!(bench.json(&["psa", "pull"]).exits(0).json()["additions"], 3);
    for args in
        [&["task", "list"][..], &["finding", "list"], &["plan", "list"], &["org", "list"], &["doctor"]]
    {
        bench.json(args).exits(0);
    }
    // What is money or secret is text in the database, as it is on the other one.
    let key = bench.sandbox.as_ref().unwrap().access["private_key"].as_str().unwrap().to_owned();
    assert!(!server.sql("trueup", "SELECT sealed_private_key FROM connection").contains(&key));
    // A changed audit is noticed.
    server.sql(
        "trueup",
        "ALTER TABLE audit DISABLE TRIGGER ALL; UPDATE audit SET actor = 'nobody' WHERE number = 2",
    );
    assert_eq!(bench.json(&["audit", "verify"]).exits(1).json()["intact"], false);
}

#[test]
fn two_processes_share_a_database_and_write_everything_once() {
    let Some((_server, bench)) = ready() else { return };
    let runs: Vec<_> = (0..4)
        .map(|_| {
            let mut command = bench.command(&["apply", "--all", "--format", "json"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for run in runs {
        let output = run.wait_with_output().unwrap();
        let code = output.status.code();
        // One of them writes; another finds the agreement taken, its plan out of date, or nothing left to do.
        assert!(code.is_some_and(|code| code <= 1), "{code:?} {}", String::from_utf8_lossy(&output.stdout));
    }
    let mut left = bench.json(&["apply", "--all"]);
    for _ in 0..5 {
        if left.exit == 0 {
            break;
        }
        left = bench.json(&["apply", "--all"]);
    }
    left.exits(0);
    assert_eq!(bench.json(&["psa", "pull"]).exits(0).json()["additions"], 3);
    let journal = bench.ask("journal");
    let entries = journal.as_array().or_else(|| journal["journal"].as_array()).unwrap();
    assert_eq!(entries.iter().filter(|entry| entry["method"] != "GET").count(), 4, "{journal}");
    let done = bench.json(&["task", "list", "--state", "done"]).exits(0).json();
    assert_eq!(done["tasks"].as_array().map(Vec::len), Some(2));
    assert_eq!(bench.json(&["audit", "verify"]).exits(0).json()["intact"], true);
}

#[test]
fn a_database_that_goes_away_stops_the_run_before_anything_is_sent() {
    let Some((mut server, bench)) = ready() else { return };
    let plan = bench.json(&["plan", "--all"]).exits(0).json();
    let id = plan["plan_id"].as_str().unwrap();
    server.stop();
    for args in
        [&["apply", id][..], &["apply", "--all"], &["feed", "import", "feed.ndjson"], &["task", "list"]]
    {
        let ran = bench.json(args).exits(3);
        assert_eq!(ran.json()["error"]["code"], "TU9103", "{ran:?}");
        assert!(ran.err.contains("what to do"), "{ran:?}");
    }
    server.start();
    assert_eq!(bench.json(&["apply", id]).exits(0).json()["summary"]["applied"], 4);

    // In the middle of a run: ConnectWise takes its time, and the database is gone when the answer comes.
    let more = order(
        "CH-2",
        "change",
        "2023-03-18",
        r#""charge":"recurring","quantity":"1","old_quantity":"8","new_quantity":"9""#,
    );
    bench.feed(&more).exits(0);
    bench.json(&["check"]).exits(0);
    bench.control(
        "faults",
        &serde_json::json!({"schedule": [{"match": {"method": "POST", "path_contains": "additions"}, "action": "slow",
            "delay_ms": 3000}]}),
    );
    let mut command = bench.command(&["apply", "--all", "--format", "json"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let sending = "SELECT count(*) FROM operation WHERE state = 'sending'";
    for _ in 0..100 {
        if server.sql("trueup", sending) != "0" {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_ne!(server.sql("trueup", sending), "0", "the intent is there before the answer");
    server.stop();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stdout));
    server.start();
    // The lease of the run that was stopped holds others off until it is over.
    server.sql("trueup", "UPDATE lease SET expires_at = 0");
    let mut bench = bench;
    bench.env("TRUEUP_APPLY_SETTLE_SECONDS", "1");
    let mut left = bench.json(&["apply", "--all"]);
    for _ in 0..10 {
        if left.exit == 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(1_100));
        left = bench.json(&["apply", "--all"]);
    }
    left.exits(0);
    let done = bench.json(&["task", "list", "--state", "done"]).exits(0).json();
    assert_eq!(done["tasks"].as_array().map(Vec::len), Some(3));
    let nothing = bench.json(&["plan", "--all"]).exits(0).json();
    assert_eq!(nothing["changes"].as_array().map(Vec::len), Some(0), "{nothing}");
    assert_eq!(bench.json(&["audit", "verify"]).exits(0).json()["intact"], true);
}
