//! Schedules over the API: what is next, pause, resume, and a run that starts by itself.

use crate::bench::{Backend, Person, Service};
use crate::http::Request;
use crate::work::{FEED, ORG, Sandbox, run};
use rstest::rstest;
use serde_json::{Value, json};
use std::process::Child;
use std::time::{Duration, Instant};
use trueup_domain::ids::OrganizationId;
use trueup_domain::psa::Snapshot;
use trueup_engine::ports::Store;
use trueup_engine::records::{PictureState, PulledEnd};

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
fn schedules_are_set_paused_and_let_go_on(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
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
}

const HOUR_MS: i64 = 3_600_000;

#[expect(clippy::disallowed_methods, reason = "the process under test goes by the machine's clock")]
pub fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// Makes a schedule due since `at`, as downtime does, or a clock that was set back.
fn due(service: &mut Service, kind: &str, at: i64) {
    service.behind_its_back(async |store| {
        let org = OrganizationId::from("default");
        let all = store.list_schedules(&org).await.unwrap();
        let row = all.into_iter().find(|row| row.kind == kind).unwrap();
        store.plan_schedule(&org, kind, &row.spec, Some(at)).await.unwrap();
    });
}

fn runs(person: &Person<'_>) -> Vec<Value> {
    let all = person.get(&format!("{ORG}/runs?limit=200")).is(200).json();
    all["items"].as_array().unwrap().iter().filter(|run| run["scheduled"] == true).cloned().collect()
}

/// Waits until the schedule has looked at its time, and so many runs of schedules have ended.
fn fired(person: &Person<'_>, kind: &str, count: usize) -> Vec<Value> {
    let began = Instant::now();
    loop {
        let list = person.get(&format!("{ORG}/schedules")).is(200).json();
        let next: jiff::Timestamp = of(&list, kind)["next_at"].as_str().unwrap().parse().unwrap();
        let all = runs(person);
        let ended = all.iter().all(|run| run["finished_at"].is_string());
        if next.as_millisecond() > now() && ended && all.len() >= count {
            return all;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "it does not fire: {list} {all:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[rstest]
fn what_was_missed_is_made_up_once_whoever_looks_and_whatever_the_clock_says(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(mut service) = Service::start(backend, &[]) else { return };
    let others: Vec<Process> = match backend {
        Backend::Postgres => (0..2).map(|_| Process(service.worker())).collect(),
        Backend::Sqlite => vec![],
    };
    let set = |person: &Person<'_>, value: &str| {
        person.put(&format!("{ORG}/settings/schedule.check"), &json!({ "value": value })).is(200);
    };
    let pass = {
        let person = service.operator();
        set(&person, "daily 00:00");
        person.pass()
    };
    due(&mut service, "check", now() - 72 * HOUR_MS);
    let found = |person: &Person<'_>, state: &str| {
        let all = person.get(&format!("{ORG}/findings?state={state}")).is(200).json();
        let of = |f: &&Value| f["code"] == "TU9001" && f.to_string().contains("schedule/check");
        all["items"].as_array().unwrap().iter().filter(of).count()
    };
    let last_run = {
        let person = service.known(&pass);
        let all = fired(&person, "check", 1);
        assert_eq!(all.len(), 1, "three days were missed, and one run makes up for them: {all:?}");
        assert_eq!((&all[0]["state"], &all[0]["actor"]), (&json!("done"), &json!("schedule")));
        let list = person.get(&format!("{ORG}/schedules")).is(200).json();
        let schedule = of(&list, "check");
        assert_eq!(schedule["last_run"], all[0]["run_id"]);
        assert!(schedule["missed_at"].is_string(), "{schedule}");
        assert_eq!(found(&person, "open"), 1, "it is said");
        all[0]["run_id"].clone()
    };

    // The clock is set back, twice: the same midnight comes again.
    for _ in 0..2 {
        due(&mut service, "check", now() - 24 * HOUR_MS);
        let all = fired(&service.known(&pass), "check", 1);
        assert_eq!(all.iter().map(|run| &run["run_id"]).collect::<Vec<_>>(), [&last_run]);
    }
    // The clock was ahead: the next fire is taken back to where it belongs.
    due(&mut service, "check", now() + 400 * 24 * HOUR_MS);
    let began = Instant::now();
    loop {
        let list = service.known(&pass).get(&format!("{ORG}/schedules")).is(200).json();
        let next: jiff::Timestamp = of(&list, "check")["next_at"].as_str().unwrap().parse().unwrap();
        if next.as_millisecond() <= now() + 24 * HOUR_MS {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "it is silent for a year: {list}");
        std::thread::sleep(Duration::from_millis(100));
    }

    // A fire in time takes the word back.
    set(&service.known(&pass), "1m");
    due(&mut service, "check", now() / 60_000 * 60_000);
    let person = service.known(&pass);
    assert!(fired(&person, "check", 2).len() >= 2);
    assert_eq!((found(&person, "open"), found(&person, "resolved")), (0, 1));
    let list = person.get(&format!("{ORG}/schedules")).is(200).json();
    assert!(of(&list, "check")["missed_at"].is_null(), "{list}");
    drop(others);
}

#[rstest]
fn what_a_schedule_writes_goes_by_the_freeze_and_by_its_customers(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let environment = [("TRUEUP_TODAY", "2023-03-20"), ("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1")];
    let Some(mut service) = Service::start(backend, &environment) else { return };
    let sandbox = Sandbox::start();
    let control = sandbox.access["url"].as_str().unwrap().trim_start_matches("http://").to_owned();
    let control = control.split('/').next().unwrap().parse().unwrap();
    let additions = || {
        let state = Request::new("GET", "/sandbox/state").send(control).is(200).text();
        state.matches("\"billCustomer\"").count()
    };
    let set = |person: &Person<'_>, key: &str, value: &str| {
        person.put(&format!("{ORG}/settings/{key}"), &json!({ "value": value })).is(200);
    };
    let customer = |person: &Person<'_>, options: &Value| {
        let body = json!({ "kind": "customer", "source": "shop", "source_id": "c-100", "psa_id": 12,
            "options": options });
        person.put(&format!("{ORG}/mappings"), &body)
    };
    let pass = {
        let person = service.operator();
        person.post(&format!("{ORG}/connections"), &sandbox.connection()).is(201);
        let path = "/api/v1/feed?organization=default&source=shop";
        person.request("POST", path).body("application/x-ndjson", FEED).send(service.at).is(200);
        let product = json!({ "kind": "product", "source": "shop", "source_id": "exo-p1", "psa_id": 7 });
        person.put(&format!("{ORG}/mappings"), &product).is(200);
        assert_eq!(customer(&person, &json!({ "auto_sync": "maybe" })).problem(422), "invalid");
        set(&person, "observe.rotation", "1");
        assert_eq!(run(&person, &json!({ "kind": "pull" }))["result"]["whole"], true);
        let asked = run(&person, &json!({ "kind": "pull", "changed": true }));
        assert_eq!(asked["result"]["agreements_in_turn"], 1, "a person gets the share each time: {asked}");
        person.pass()
    };
    // A fire has one run: each of these has an instant of its own.
    let mut count = 0;
    let mut sync = |service: &mut Service| {
        set(&service.known(&pass), "schedule.sync", &format!("daily 00:{count:02}"));
        due(service, "sync", now() - 24 * HOUR_MS);
        count += 1;
        let person = service.known(&pass);
        let all = fired(&person, "sync", count);
        let newest = all[0]["run_id"].as_str().unwrap();
        person.get(&format!("{ORG}/runs/{newest}")).is(200).json()
    };

    customer(&service.known(&pass), &json!({})).is(200);
    set(&service.known(&pass), "schedule.freeze", "1..31");
    let held = sync(&mut service);
    // The feed has a record that was refused, which each check tells until somebody puts it aside.
    assert_eq!(
        (&held["state"], &held["result"]["frozen"], &held["result"]["held"]),
        (&json!("needs_person"), &json!(true), &json!(true)),
        "{held}"
    );
    let person = service.known(&pass);
    let found = person.get(&format!("{ORG}/findings?code=TU8004")).is(200).json();
    let refused = found["items"][0]["finding_id"].as_str().unwrap();
    person
        .post(
            &format!("{ORG}/findings/{refused}/decide"),
            &json!({ "decision": "ignore", "reason": "never to come" }),
        )
        .is(200);
    assert!(held["result"]["detail"].as_str().unwrap().contains("schedule.freeze"), "{held}");
    assert_eq!(held["result"]["pull"]["whole"], false, "it still reads: {held}");
    assert_eq!(held["result"]["pull"]["agreements_in_turn"], 0, "the share of the day was read: {held}");
    assert_eq!(additions(), 0);

    set(&service.known(&pass), "schedule.freeze", "");
    customer(&service.known(&pass), &json!({ "auto_sync": "off" })).is(200);
    service.behind_its_back(async |store| {
        // As if the last share had been read yesterday.
        let org = OrganizationId::from("default");
        let state = store.load_picture_state(&org, "connectwise").await.unwrap().unwrap();
        store.begin_pull(&org, "connectwise", "x").await.unwrap();
        let state = PictureState { shared_at: Some(now() - 24 * HOUR_MS), ..state };
        let picture = store.load_snapshot(&org, "connectwise").await.unwrap().unwrap().1;
        let lists = Snapshot { additions: [].into(), agreements: [].into(), ..picture };
        store.stage_pull(&org, "connectwise", "x", 0, &lists).await.unwrap();
        let end = PulledEnd { state, whole: false, lists: true, gone: vec![], unread: vec![] };
        store.finish_pull(&org, "connectwise", "x", &end).await.unwrap();
    });
    let left = sync(&mut service);
    assert_eq!((&left["state"], additions()), (&json!("done"), 0), "{left}");
    assert_eq!(left["result"]["left_to_persons"], 1, "{left}");
    assert_eq!(left["result"]["pull"]["agreements_in_turn"], 1, "a day later the share is read: {left}");
    customer(&service.known(&pass), &json!({})).is(200);
    set(&service.known(&pass), "schedule.customers", "chosen");
    assert_eq!((&sync(&mut service)["state"], additions()), (&json!("done"), 0));
    let tasks = service.known(&pass).get(&format!("{ORG}/tasks?state=ready")).is(200).json();
    assert_eq!(tasks["items"].as_array().unwrap().len(), 1, "it waits for a person: {tasks}");
    // A right that this run does not need fails nothing that it would not have written.
    let role = |functions: &Value| {
        Request::new("POST", "/sandbox/roles").json(&json!({ "functions": functions })).send(control).is(200);
    };
    role(&json!({ "Finance/Agreements": { "add": "None" } }));
    assert_eq!(sync(&mut service)["state"], "done");
    let tasks = service.known(&pass).get(&format!("{ORG}/tasks?state=ready")).is(200).json();
    assert_eq!(tasks["items"].as_array().unwrap().len(), 1, "it still waits for a person: {tasks}");
    role(&json!({}));
    customer(&service.known(&pass), &json!({ "auto_sync": "on" })).is(200);
    let written = sync(&mut service);
    assert_eq!(written["result"]["summary"]["applied"], 1, "{written}");
    assert!(written["result"]["left_to_persons"].is_null(), "{written}");
    assert_eq!(additions(), 1);
}

/// Lets a run that waits for its turn go at once.
fn hurry(service: &mut Service) {
    service.behind_its_back(async |store| {
        let run = store.claim_run("test", now() + 48 * HOUR_MS, 1_000).await.unwrap().unwrap();
        store.put_run_back(&run, "test", 0).await.unwrap();
    });
}

#[rstest]
fn ax_26_ax_47_a_push_that_could_not_be_made_is_made_up_and_told_meanwhile(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(mut service) = Service::start(backend, &[("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1")]) else {
        return;
    };
    let sandbox = Sandbox::start();
    let control = sandbox.access["url"].as_str().unwrap().trim_start_matches("http://").to_owned();
    let control = control.split('/').next().unwrap().parse().unwrap();
    let faults = |schedule: &Value| {
        Request::new("POST", "/sandbox/faults").json(&json!({ "schedule": schedule })).send(control).is(200);
    };
    let person = service.operator();
    person.post(&format!("{ORG}/connections"), &sandbox.connection()).is(201);
    let set = |person: &Person<'_>, key: &str, value: &str| {
        person.put(&format!("{ORG}/settings/schedule.{key}"), &json!({ "value": value })).is(200);
    };
    set(&person, "freeze", "1..31");
    let day = jiff::Timestamp::from_millisecond(now()).unwrap().strftime("%-d").to_string();
    set(&person, "quantity", &format!("monthly {day} 00:00"));
    let pass = person.pass();
    due(&mut service, "quantity", now() - 24 * HOUR_MS);
    let is_of_push = |finding: &Value| finding["subject"]["detail"] == "push/quantity";
    let waits = |service: &Service, times: u32| {
        let person = service.known(&pass);
        let began = Instant::now();
        loop {
            let all = runs(&person);
            assert!(all.len() < 2, "{all:?}");
            let Some(run) = all.first() else {
                assert!(began.elapsed() < Duration::from_secs(30), "it does not fire");
                std::thread::sleep(Duration::from_millis(100));
                continue;
            };
            let found = person.get(&format!("{ORG}/findings?code=TU9001")).is(200).json();
            let told = found["items"].as_array().unwrap().iter().find(|one| is_of_push(one));
            if let (Some(told), true) = (told, run["state"] == "queued" && run["attempts"] == times) {
                assert!(run["not_before"].is_string() && run["finished_at"].is_null(), "{run}");
                return told["message"].as_str().unwrap().to_owned();
            }
            assert!(began.elapsed() < Duration::from_secs(30), "it is not put off: {run} {found}");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    assert!(waits(&service, 1).contains("schedule.freeze"));
    set(&service.known(&pass), "freeze", "");
    faults(
        &json!([{ "match": { "path_contains": "/" }, "action": "status", "status": 503, "retry_after": 7_200,
        "times": 10_000 }]),
    );
    hurry(&mut service);
    assert!(!waits(&service, 3).contains("schedule.freeze"));
    faults(&json!([]));
    hurry(&mut service);
    let person = service.known(&pass);
    let all = fired(&person, "quantity", 1);
    assert_eq!((all.len(), &all[0]["state"]), (1, &json!("done")), "{all:?}");
    let found = person.get(&format!("{ORG}/findings?code=TU9001")).is(200).json();
    assert!(!found["items"].as_array().unwrap().iter().any(is_of_push), "{found}");
}

#[rstest]
fn schedules_come_down_the_tree_to_where_there_is_a_connectwise(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(service) = Service::start(backend, &[("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1")]) else {
        return;
    };
    let sandbox = Sandbox::start();
    let person = service.operator();
    for (id, parent) in [("partner", "default"), ("linked", "partner"), ("other", "partner")] {
        person.organization(id, Some(parent));
    }
    let at = |org: &str| format!("/api/v1/organizations/{org}");
    let set = |org: &str, key: &str, value: &str| {
        let path = format!("{}/settings/schedule.{key}", at(org));
        person.put(&path, &json!({ "value": value })).is(200);
    };
    let next = |org: &str| {
        let list = person.get(&format!("{}/schedules", at(org))).is(200).json();
        let text = of(&list, "sync")["next_at"].as_str().map(str::to_owned);
        // The hour and minute, which are the same each day in these zones.
        text.map(|text| text[11..16].to_owned())
    };
    set("default", "sync", "daily 06:30");
    set("partner", "time_zone", "Asia/Kathmandu");
    assert_eq!(next("linked"), None, "there is nothing to read");
    person.post(&format!("{}/connections", at("linked")), &sandbox.connection()).is(201);
    set("default", "freeze", "31");
    assert_eq!(next("linked"), Some("00:45".to_owned()), "cadence and zone come from two levels above");
    assert_eq!(next("other"), None);
    set("other", "sync", "daily 07:00");
    assert_eq!(next("other"), Some("01:15".to_owned()), "who sets it means itself");
    set("linked", "time_zone", "Asia/Tokyo");
    assert_eq!(next("linked"), Some("21:30".to_owned()));
    set("linked", "sync", "off");
    assert_eq!(next("linked"), None);
    // A person of one organization sees and changes its own schedules alone.
    let colleague = person.colleague("linked", "admin");
    assert_eq!(colleague.get(&format!("{}/schedules", at("other"))).problem(404), "not-found");
    let pause = format!("{}/schedules/sync/pause", at("other"));
    assert_eq!(colleague.post(&pause, &json!({})).problem(404), "not-found");
}

#[rstest]
fn on_a_day_of_the_freeze_only_what_was_approved_is_written(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(service) = Service::start(
        backend,
        &[("TRUEUP_TODAY", "2023-03-20"), ("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1")],
    ) else {
        return;
    };
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

/// An import above places customers below, and what comes down the tree brings them into the ConnectWise of above.
#[rstest]
fn what_is_placed_below_is_looked_at_by_the_schedule_from_above(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let environment = [("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1")];
    let Some(service) = Service::start(backend, &environment) else { return };
    let person = service.operator();
    let sandbox = crate::work::Sandbox::start();
    person.post(&format!("{ORG}/connections"), &sandbox.connection()).is(201);
    person.organization("shop", Some("default"));
    person.organization("empty", Some("default"));
    person.put(&format!("{ORG}/settings/schedule.check"), &json!({ "value": "1m" })).is(200);
    let records = r#"{"type":"customer","id":"c-1","name":"Corner shop","organization":"shop"}"#;
    let feed = person
        .request("POST", "/api/v1/feed?organization=default&source=market")
        .body("application/x-ndjson", records);
    feed.send(service.at).is(200);
    let next = |org: &str| {
        let list = person.get(&format!("/api/v1/organizations/{org}/schedules")).is(200).json();
        of(&list, "check")["next_at"].clone()
    };
    let began = Instant::now();
    while !next("shop").is_string() {
        assert!(began.elapsed() < Duration::from_secs(90), "nobody looks at what was placed");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(next("empty").is_null(), "there is nothing to do");
}
