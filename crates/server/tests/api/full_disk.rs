//! No room on the disk: nothing is half done, it is told, and what was begun goes on by itself once there is room. A
//! limit on the length of files stands for the disk.

use crate::bench::{Backend, Person, Service};
use crate::sandbox::{ORG, Sandbox};
use serde_json::{Value, json};
use std::process::Command;
use std::time::{Duration, Instant};

/// Lets the process write no file beyond so many bytes; none takes the limit away.
fn longest_file(service: &Service, bytes: Option<u64>) {
    let limit = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
    let pid = service.process().to_string();
    let done = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={limit}:")]).status().unwrap();
    assert!(done.success());
}

/// The longer one of the database and the log before it.
fn database(service: &Service) -> u64 {
    let long = |name: &str| std::fs::metadata(service.path("data").join(name)).map_or(0, |file| file.len());
    long("trueup.db").max(long("trueup.db-wal"))
}

/// Companies by the thousand: more than the room that is left.
fn seed() -> String {
    let companies: Vec<Value> = (1..12_000)
        .map(|id| {
            let name = format!("Company {id} with a name of some length");
            json!({ "id": id, "identifier": format!("C{id}"), "name": name })
        })
        .collect();
    json!({ "today": "2023-03-20", "resources": { "company/companies": companies } }).to_string()
}

#[track_caller]
fn until(what: &str, mut wanted: impl FnMut() -> bool) {
    let began = Instant::now();
    while !wanted() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn codes(person: &Person<'_>) -> Vec<String> {
    let all = person.get(&format!("{ORG}/findings?limit=200")).is(200).json();
    let all = all["items"].as_array().unwrap().clone();
    all.iter().map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_told_and_what_was_begun_goes_on_by_itself() {
    let environment = [("TRUEUP_TODAY", "2023-03-20"), ("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1")];
    let Some(service) = Service::start(Backend::Sqlite, &environment) else { return };
    let sandbox = Sandbox::seeded(&seed());
    let person = service.operator();
    person.post(&format!("{ORG}/connections"), &sandbox.connection()).is(201);

    // Some room is left, for a run in the queue and a finding, and not for what the run reads.
    longest_file(&service, Some(database(&service) + 1024 * 1024));
    let started = person.post(&format!("{ORG}/runs"), &json!({ "kind": "pull" })).is(202);
    let run = started.header("location").unwrap().to_owned();
    until("nobody was told", || codes(&person).contains(&"TU9102".to_owned()));
    let waits = person.get(&run).is(200).json();
    assert_ne!(waits["state"], "failed", "{waits}");
    assert_eq!(person.get(&format!("{ORG}/companies?source=default")).status, 409, "nothing is half read");

    // None is left: whoever sends requests here is told not to.
    longest_file(&service, Some(4096));
    until("it is still ready", || service.get("/health/ready").status == 503);
    assert_eq!(service.get("/health/ready").json()["code"], "TU9102");
    service.get("/health/live").is(200);
    let refused = person.post(&format!("{ORG}/runs"), &json!({ "kind": "pull" })).is(503).json();
    assert_eq!(refused["code"], "TU9102", "{refused}");

    longest_file(&service, None);
    until("it is not ready again", || service.get("/health/ready").status == 200);
    until("the run does not go on", || person.get(&run).is(200).json()["state"] == "done");
    assert_eq!(person.get(&run).json()["result"]["companies"], 11_999);
    assert!(!codes(&person).contains(&"TU9102".to_owned()), "{:?}", codes(&person));
    let runs = person.get(&format!("{ORG}/runs")).is(200).json();
    assert_eq!(runs["items"].as_array().unwrap().len(), 1, "{runs}");
}
