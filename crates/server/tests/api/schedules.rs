//! Schedules over the API: what is next, pause, resume, and a run that starts by itself.

use crate::bench::{Backend, Service};
use crate::work::{ORG, Sandbox, run};
use rstest::rstest;
use serde_json::{Value, json};
use std::process::Child;
use std::time::{Duration, Instant};

pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn of<'a>(list: &'a Value, kind: &str) -> &'a Value {
    list["items"].as_array().unwrap().iter().find(|s| s["kind"] == kind).unwrap()
}

#[rstest]
fn a_schedule_fires_once_whoever_looks(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let Some(service) = Service::start(backend, &[]) else { return };
    let person = service.operator();
    let set = |key: &str, value: &str| {
        person.put(&format!("{ORG}/settings/schedule.{key}"), &json!({ "value": value }))
    };
    let list = || person.get(&format!("{ORG}/schedules")).is(200).json();
    let post = |path: &str| person.post(&format!("{ORG}/schedules/{path}"), &json!({}));
    assert!(of(&list(), "check")["next_at"].is_null(), "nothing fires that nobody asked for");
    assert_eq!(post("check/pause").problem(409), "conflict");
    for (key, value) in [("check", "7m"), ("check", "daily 25:00"), ("time_zone", "Mars/X"), ("freeze", "32")]
    {
        assert_eq!(set(key, value).problem(422), "invalid", "{key} {value}");
    }
    set("pull", "daily 03:00").is(200);
    set("time_zone", "Asia/Kathmandu").is(200);
    assert!(of(&list(), "pull")["next_at"].as_str().unwrap().contains("21:15"), "{}", list());
    set("pull", "off").is(200);
    assert!(of(&list(), "pull")["next_at"].is_null());
    assert_eq!(post("nothing/pause").problem(404), "not-found");
    set("freeze", "1..31").is(200);
    assert_eq!(of(&list(), "sync")["frozen"], true);

    set("check", "1m").is(200);
    let paused = post("check/pause").is(200).json();
    assert_eq!((&paused["paused"], &paused["next_at"]), (&json!(true), &Value::Null));
    assert_eq!(paused["paused_by"], "first@example.com");
    let resumed = post("check/resume").is(200).json();
    assert!(resumed["next_at"].as_str().is_some() && resumed["paused_by"].is_null(), "{resumed}");
    let log = person.get(&format!("{ORG}/audit?action=schedule.pause")).is(200).json();
    assert_eq!(log["items"].as_array().unwrap().len(), 1);

    let others: Vec<Process> = if backend == Backend::Postgres {
        (0..2).map(|_| Process(service.worker())).collect()
    } else {
        vec![]
    };
    let began = Instant::now();
    let runs = loop {
        let runs = person.get(&format!("{ORG}/runs")).is(200).json()["items"].as_array().unwrap().clone();
        if runs.first().is_some_and(|run| run["state"] == "done") {
            break runs;
        }
        assert!(began.elapsed() < Duration::from_secs(75), "it does not fire: {}", list());
        std::thread::sleep(Duration::from_millis(300));
    };
    post("check/pause").is(200);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(runs.len(), 1, "{runs:?}");
    assert_eq!((&runs[0]["scheduled"], &runs[0]["actor"]), (&json!(true), &json!("schedule")));
    assert_eq!(of(&list(), "check")["last_run"], runs[0]["run_id"]);
    drop(others);
}

#[test]
fn on_a_day_of_the_freeze_only_what_was_approved_is_written() {
    let service = Service::start(
        Backend::Sqlite,
        &[("TRUEUP_TODAY", "2023-03-20"), ("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1")],
    )
    .unwrap();
    let sandbox = Sandbox::start();
    let person = service.operator();
    person.post(&format!("{ORG}/connections"), &sandbox.connection()).is(201);
    person.put(&format!("{ORG}/settings/schedule.freeze"), &json!({ "value": "1..31" })).is(200);
    let held = run(&person, &json!({ "kind": "sync", "changed": true }));
    assert_eq!((&held["state"], &held["result"]["frozen"]), (&json!("needs_person"), &json!(true)), "{held}");
    assert_eq!(held["result"]["pull"]["agreements"], 1, "it still reads: {held}");
    let approved = run(&person, &json!({ "kind": "sync", "approve": true }));
    assert!(approved["result"]["frozen"].is_null(), "{approved}");
    assert_eq!(approved["state"], "done", "{approved}");
}
