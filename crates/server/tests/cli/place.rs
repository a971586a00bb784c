//! The data directory: full, read-only, damaged, without its key, in use. Each has its code and a sentence, and nothing
//! is lost or half written.

use super::bench::{BASE, Bench, MAPPINGS, Ran, sale, upgrade};
use std::os::unix::process::ExitStatusExt;

fn ready() -> Bench {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    bench.feed(&format!("{BASE}{}{}", sale(), upgrade())).exits(0);
    bench.map(MAPPINGS).exits(0);
    bench.json(&["check"]).exits(0);
    bench
}

/// Runs a command that may write files of so many blocks of 512 bytes alone: what a full disk is to it. The shell makes
/// the signal of the limit an error, as a full disk is one.
fn with_room(bench: &Bench, blocks: u32, args: &[&str]) -> Ran {
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
    let command = bench.command(args);
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &script, "sh"]).arg(command.get_program()).args(command.get_args());
    shell.args(["--format", "json"]).current_dir(bench.dir.path());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    // Files, since the limit is for those, and standard output as a pipe, which it does not touch.
    let output = shell.output().unwrap();
    assert_eq!(output.status.signal(), None, "{output:?}");
    output.into()
}

/// What was sent to ConnectWise so far.
fn writes(bench: &Bench) -> usize {
    let journal = bench.ask("journal");
    let entries = journal.as_array().or_else(|| journal["journal"].as_array()).unwrap();
    entries.iter().filter(|entry| entry["method"] != "GET").count()
}

#[test]
fn after_a_command_the_database_file_alone_is_whole() {
    let bench = ready();
    bench.json(&["task", "show", "nope"]).exits(2);
    for beside in ["data/trueup.db-wal", "data/trueup.db-shm"] {
        assert!(!bench.path(beside).exists(), "{beside}");
    }
    let copy = bench.path("copy");
    std::fs::create_dir(&copy).unwrap();
    std::fs::copy(bench.path("data/trueup.db"), copy.join("trueup.db")).unwrap();
    let tasks = bench.json(&["--data-dir", &copy.display().to_string(), "task", "list"]).exits(0).json();
    assert_eq!(tasks["tasks"].as_array().map(Vec::len), Some(2), "{tasks}");
}

#[test]
fn a_full_disk_stops_an_import_and_nothing_is_half_taken_in() {
    let bench = Bench::new("2023-03-20");
    bench.json(&["org", "list"]).exits(0);
    let lines: String = (0..30_000)
        .map(|n| {
            format!(
                "{{\"type\":\"customer\",\"id\":\"c-{n}\",\"name\":\"Customer {n}\",\"code\":\"{n:0>60}\"}}\n"
            )
        })
        .collect();
    let file = bench.file("many.ndjson", &lines);
    let refused = with_room(&bench, 1_200, &["feed", "import", &file]).exits(2);
    assert_eq!(refused.json()["error"]["code"], "TU9102", "{refused:?}");
    assert!(refused.err.contains("what to do"), "{refused:?}");
    // Once there is room the same file goes in, and every record is there once and whole.
    let counts = bench.json(&["feed", "import", &file]).exits(0).json()["records"]["customer"].clone();
    let (new, unchanged) = (counts["new"].as_u64().unwrap(), counts["unchanged"].as_u64().unwrap());
    assert_eq!((new + unchanged, counts["changed"].as_u64()), (30_000, Some(0)), "{counts}");
    assert!(new > 0, "the disk was not full: {counts}");
    let again = bench.json(&["feed", "import", &file]).exits(0).json();
    assert_eq!(again["records"]["customer"]["unchanged"], 30_000);
    assert_eq!(bench.json(&["audit", "verify"]).exits(0).json()["intact"], true);
}

#[test]
fn a_full_disk_lets_nothing_be_sent_that_the_journal_does_not_know() {
    let bench = ready();
    let mut refused = 0;
    // From no room at all to enough: the run stops at every step once.
    for blocks in [0, 64, 70, 80, 100, 120, 140, 160, 180, 200, 240, 280, 320, 400, 500, 700] {
        let ran = with_room(&bench, blocks, &["apply", "--all"]);
        if ran.exit == 2 {
            assert_eq!(ran.json()["error"]["code"], "TU9102", "{blocks}: {ran:?}");
            assert!(ran.err.contains("what to do"), "{ran:?}");
            refused += 1;
        } else {
            assert!((0..=1).contains(&ran.exit), "{blocks}: {ran:?}");
        }
    }
    assert!(refused >= 3, "the disk was full {refused} times");
    bench.json(&["apply", "--all"]).exits(0);
    let tasks = bench.json(&["task", "list", "--state", "done"]).exits(0).json();
    assert_eq!(tasks["tasks"].as_array().map(Vec::len), Some(2));
    // Three lines and one end, each sent once, whatever was interrupted where.
    assert_eq!(writes(&bench), 4);
    assert_eq!(bench.json(&["psa", "pull"]).exits(0).json()["additions"], 3);
    assert_eq!(bench.json(&["audit", "verify"]).exits(0).json()["intact"], true);
}

#[test]
fn an_output_that_cannot_be_written_is_no_success() {
    let bench = Bench::new("2023-03-20");
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else {
        println!("skipped: no /dev/full");
        return;
    };
    let ran: Ran = bench.command(&["org", "list"]).stdout(full).output().unwrap().into();
    let ran = ran.exits(2);
    assert!(ran.err.contains("TU9102"), "{ran:?}");
}

#[test]
fn a_place_that_cannot_hold_data_is_named() {
    let bench = Bench::new("2023-03-20");
    std::fs::write(bench.path("data"), "a file").unwrap();
    let ran = bench.json(&["org", "list"]).exits(2);
    assert_eq!(ran.json()["error"]["code"], "TU9102");
    assert!(ran.err.contains("is a file") && ran.err.contains("--data-dir"), "{ran:?}");
    assert_eq!(std::fs::read_to_string(bench.path("data")).unwrap(), "a file");
}

#[test]
fn a_read_only_place_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new("2023-03-20");
    bench.feed(BASE).exits(0);
    let set = |files: u32, directory: u32| {
        let mode = |path: &std::path::Path, mode| {
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        };
        for entry in std::fs::read_dir(bench.path("data")).unwrap() {
            mode(&entry.unwrap().path(), files);
        }
        mode(&bench.path("data"), directory);
    };
    set(0o400, 0o500);
    if std::fs::write(bench.path("data/probe"), "").is_ok() {
        println!("skipped: this user may write everywhere");
        return;
    }
    let file = bench.file("more.ndjson", BASE);
    let ran = bench.json(&["feed", "import", &file]);
    set(0o600, 0o700);
    assert_eq!(ran.exits(2).json()["error"]["code"], "TU9102");
    bench.feed(BASE).exits(0);
}

/// Puts the files of one directory into another, and nothing else beside them.
fn copy(from: &std::path::Path, to: &std::path::Path) {
    let _ = std::fs::remove_dir_all(to);
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

#[test]
fn a_damaged_database_is_refused_with_the_way_out() {
    let bench = ready();
    let file = bench.path("data/trueup.db");
    copy(&bench.path("data"), &bench.path("kept"));
    let good = std::fs::read(&file).unwrap();
    let mut zeroed = good.clone();
    zeroed[..4096].fill(0);
    let mut scribbled = good.clone();
    scribbled[3 * 4096..40 * 4096].fill(0xA5);
    let cases: [(&str, &[u8]); 5] = [
        ("a zeroed header", &zeroed),
        ("scribbled pages", &scribbled),
        ("a file cut short", &good[..good.len() / 3]),
        ("no database at all", &b"this is not a database ".repeat(300)),
        ("an emptied file", &[]),
    ];
    for (what, bytes) in cases {
        copy(&bench.path("kept"), &bench.path("data"));
        // Whatever the write-ahead log still holds would mend the file.
        let _ = std::fs::remove_file(bench.path("data/trueup.db-wal"));
        std::fs::write(&file, bytes).unwrap();
        for args in [&["task", "list"][..], &["feed", "import", "feed.ndjson"], &["apply", "--all"]] {
            let ran = bench.json(args).exits(2);
            assert_eq!(ran.json()["error"]["code"], "TU9104", "{what}: {ran:?}");
            assert!(ran.err.contains("damaged") && ran.err.contains("restore"), "{what}: {ran:?}");
        }
    }
    assert_eq!(writes(&bench), 0);
    copy(&bench.path("kept"), &bench.path("data"));
    assert_eq!(bench.json(&["apply", "--all"]).exits(0).json()["summary"]["applied"], 4);
}

#[test]
fn without_its_key_nothing_is_sent_and_the_way_out_is_said() {
    let bench = ready();
    let file = bench.path("data/trueup.key");
    let good = std::fs::read(&file).unwrap();
    for (what, bytes) in [("gone", None), ("short", Some(&b"short"[..])), ("another", Some(&[7; 32][..]))] {
        match bytes {
            Some(bytes) => std::fs::write(&file, bytes).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        for args in [&["connection", "list"][..], &["psa", "pull"], &["plan", "--all"], &["apply", "--all"]] {
            let ran = bench.json(args).exits(2);
            assert_eq!(ran.json()["error"]["code"], "TU9105", "{what}: {ran:?}");
        }
        let doctor = bench.json(&["doctor"]).exits(1).json();
        assert!(doctor["checks"].as_array().unwrap().iter().any(|c| c["code"] == "TU9105"), "{doctor}");
        // What needs no secret goes on.
        bench.json(&["task", "list"]).exits(0);
    }
    std::fs::write(&file, &good).unwrap();
    bench.json(&["connection", "test"]).exits(0);
    // A key that is lost for good: the connection is entered anew.
    std::fs::remove_file(&file).unwrap();
    bench.add_connection().exits(0);
    assert_eq!(bench.json(&["apply", "--all"]).exits(0).json()["summary"]["applied"], 4);
}

#[test]
fn a_connection_that_works_is_not_replaced_by_one_that_does_not() {
    let mut bench = ready();
    let good = bench.sandbox.as_ref().unwrap().access["private_key"].as_str().unwrap().to_owned();
    bench.env("TRUEUP_CONNECTWISE_PRIVATE_KEY", "wrong");
    let refused = bench.add_connection().exits(3);
    assert_eq!(refused.json()["error"]["code"], "TU1002");
    assert!(refused.err.contains("stays as it was"), "{refused:?}");
    let rotated = bench.json(&["connection", "rotate"]).exits(3);
    assert!(rotated.err.contains("keeps its keys"), "{rotated:?}");
    let list = bench.json(&["connection", "list"]).exits(0).json();
    assert!(list["connections"][0]["tested"].as_str().is_some_and(|t| t.starts_with("works")), "{list}");
    bench.json(&["connection", "test"]).exits(0);
    bench.env("TRUEUP_CONNECTWISE_PRIVATE_KEY", &good);
    bench.json(&["connection", "rotate"]).exits(0);
    // The first one of its name is kept, and says that it was never seen to work.
    bench.env("TRUEUP_CONNECTWISE_PRIVATE_KEY", "wrong");
    let first = bench.elsewhere();
    let stored = first.add_connection().exits(3);
    assert!(stored.err.contains("is stored, but its test failed"), "{stored:?}");
    let list = first.json(&["connection", "list"]).exits(0).json();
    assert!(list["connections"][0]["tested"].as_str().is_some_and(|t| t.contains("TU1002")), "{list}");
    assert_eq!(first.json(&["psa", "pull"]).exits(3).json()["error"]["code"], "TU1002");
}

#[test]
fn a_connection_that_was_added_later_is_not_taken_unasked() {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    let add = ["connection", "add", "--name", "another", "--url", "https://127.0.0.1:1", "--company", "c"];
    let keys = ["--public-key", "k", "--client-id", "i"];
    bench.json(&[&add[..], &keys].concat()).exits(3);
    let tested = bench.json(&["connection", "test"]).exits(0).json();
    assert_eq!(tested["connection"]["name"], "connectwise");
    bench.json(&["psa", "pull"]).exits(0);
    bench.json(&["connection", "test", "another"]).exits(3);
}

/// What was written is in one ConnectWise company: over a connection to another one its numbers mean something else.
#[test]
fn a_connection_to_another_company_is_not_written_over_and_can_be_removed() {
    let bench = ready();
    bench.json(&["apply", "--all"]).exits(0);
    let add =
        ["connection", "add", "--name", "another", "--url", "https://127.0.0.1:1", "--company", "other"];
    bench.json(&[&add[..], &["--public-key", "k", "--client-id", "i"]].concat()).exits(3);
    let told = bench.json(&["plan", "--all"]).exits(0);
    assert!(told.err.contains("`connectwise` is taken"), "{told:?}");
    for command in [&["plan", "--all"][..], &["apply", "--all"]] {
        let refused = bench.json(&[command, &["--connection", "another"]].concat()).exits(2).json();
        let message = refused["error"]["message"].as_str().unwrap();
        assert!(message.contains("company other"), "{refused}");
    }
    bench.json(&["connection", "remove", "another"]).exits(0);
    bench.json(&["connection", "remove", "another"]).exits(2);
    let list = bench.json(&["connection", "list"]).exits(0).json();
    assert_eq!(list["connections"].as_array().map(Vec::len), Some(1), "{list}");
    assert_eq!(bench.json(&["plan", "--all"]).exits(0).err, "");
}

#[test]
fn doctor_writes_to_know_that_it_can() {
    let bench = ready();
    let storage = |ran: Ran| {
        let checks = ran.json()["checks"].clone();
        checks.as_array().unwrap().iter().find(|check| check["name"] == "storage").unwrap().clone()
    };
    let fine = storage(bench.json(&["doctor"]));
    assert_ne!(fine["state"], "error", "{fine}");
    assert!(fine["message"].as_str().is_some_and(|told| told.contains("MB are free")), "{fine}");
    // As much as the files have already, and no more.
    let full = storage(with_room(&bench, 200, &["doctor"]).exits(1));
    assert_eq!((&full["state"], &full["code"]), (&"error".into(), &"TU9102".into()), "{full}");
}

#[test]
fn a_backup_takes_the_place_of_no_file() {
    let bench = ready();
    let file = bench.file("there", "mine");
    let refused = bench.json(&["backup", "create", &file]).exits(2).json();
    assert!(refused["error"]["message"].as_str().unwrap().contains("is there already"), "{refused}");
    assert!(refused["error"]["fix"].as_str().unwrap().contains("another file"), "{refused}");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "mine");
}

/// What was done and why something stopped can be looked up afterwards; what people are shown does not change by it.
#[test]
fn the_log_is_in_the_data_directory() {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    bench.feed(BASE).exits(0);
    let refused = bench.json(&["task", "show", "9999"]);
    assert!(!refused.err.contains("stopped"), "{}", refused.err);
    let said = refused.json()["error"]["message"].as_str().unwrap().to_owned();
    let logs: Vec<String> = std::fs::read_dir(bench.path("data"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "log"))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    assert_eq!(logs.len(), 1, "one day, one file");
    for told in ["command=\"feed import\" exit=Done", "command=\"task show\"", &said] {
        assert!(logs[0].contains(told), "{told}: {}", logs[0]);
    }
    // A command that opens no data directory leaves none behind.
    let sample = bench.file("sample.ndjson", BASE);
    let elsewhere = bench.path("untouched");
    bench.command(&["feed", "check", &sample]).env("TRUEUP_DATA_DIR", &elsewhere).output().unwrap();
    assert!(!elsewhere.exists());
}
