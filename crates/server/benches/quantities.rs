//! A night of what is only counted: ten services of each customer, of which 2 % changed. Calls over the fewest that can do it.
//!
//! `cargo bench -p trueup-server --bench quantities [-- --agreements N] [--latency MS]`. By itself it takes 1,000 customers, and
//! `--agreements 10000` is the whole size. Each customer has one agreement; every fifth has one service more than the night
//! before.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark whose result is wrong stops"
)]

#[path = "support/service.rs"]
mod service;
mod support;

use serde_json::{Value, json};
use service::bench::{Person, Service};
use service::desk::{self, ORG, Sandboxes};
use std::time::{Duration, Instant};
use support::tenant::{SERVICES, counted, counted_seed, levels};
use support::{at_most, in_earnest, number, peak_mib, ratio};
use trueup_domain::ids::OrganizationId;
use trueup_engine::ports::Store as _;
use trueup_engine::records::{PictureState, PulledEnd};

/// The setting `observe.rotation` as it comes.
const ROTATION: u64 = 7;
const DAY_MS: i64 = 24 * 3_600_000;
const READ: &str = "GET finance/agreements/{id}/additions";
const EDIT: &str = "PATCH finance/agreements/{id}/additions/{id}";

fn main() {
    let earnest = in_earnest();
    let agreements = number("--agreements").unwrap_or(if earnest { 1_000 } else { 20 });
    let latency = Duration::from_millis(number("--latency").unwrap_or(if earnest { 150 } else { 5 }));
    let sandboxes = Sandboxes::start(vec![counted_seed(agreements)]);
    let (mut service, pass) = desk::laid_out(&sandboxes, 10, &counted(agreements));
    for (key, value) in [("quantity.adopt", "take"), ("schedule.quantity", "daily 00:00")] {
        let path = format!("{}/settings/{key}", desk::path(ORG));
        service.known(&pass).put(&path, &json!({ "value": value })).is(200);
    }
    // The day before: everything is taken over as it is, and read once.
    count(&mut service, &levels(agreements, 1, |_| false), true);
    let person = service.known(&pass);
    let taken = desk::run(&person, ORG, &json!({ "kind": "quantity", "approve": true })).1;
    assert_eq!(
        taken["result"]["counts"]["adopt"],
        agreements * SERVICES,
        "{}",
        taken["result"]["findings"][0]
    );
    desk::run(&person, ORG, &json!({ "kind": "pull" }));
    count(&mut service, &levels(agreements, 2, |n| n % 5 == 0), false);
    a_night_later(&mut service);
    sandboxes.answer_after(latency);
    let began = Instant::now();
    let ended = fired(&service.known(&pass));
    let took = began.elapsed();

    let changed = agreements / 5;
    println!(
        "quantities: agreements={agreements} lines={} changed={changed} latency={} ms: {} ms",
        agreements * SERVICES,
        latency.as_millis(),
        took.as_millis()
    );
    assert_eq!(ended["result"]["counts"]["update"], changed, "{}", ended["result"]);
    let written = sandboxes.calls_of(EDIT);
    assert_eq!(written, changed, "each change is one call");
    // What ConnectWise says was changed, which is nothing, and the share of the night; then each agreement once more
    // before it is written to, and the write.
    let delta = 1 + agreements.div_ceil(ROTATION);
    ratio("a night of quantities, 2 % changed", sandboxes.calls(), delta + 2 * changed, 1_050);
    let again = sandboxes.calls_of(READ).saturating_sub(agreements.div_ceil(ROTATION));
    assert!(again <= changed, "an agreement is read once more at most: {again}");
    ratio("the same but for the reads before a write", sandboxes.calls() - again, delta + changed, 1_050);
    at_most("memory of the service", peak_mib(service.process()), "MiB", 512);
    drop(service);
    sandboxes.stop();
}

/// Takes levels in, and at first says which service is which item.
fn count(service: &mut Service, levels: &str, assign: bool) {
    assert_eq!(service.stop(), 0);
    let file = service.path("levels.ndjson");
    std::fs::write(&file, levels).unwrap();
    service.run(&["feed", "import", &file.display().to_string()]);
    for number in (1..=SERVICES).filter(|_| assign) {
        let (name, item) = (format!("svc-{number}"), (10 + number).to_string());
        service.run(&["quantity", "assign", &name, "--item", &item]);
    }
    service.up();
}

/// As if all agreements had been read yesterday, and the schedule were due.
fn a_night_later(service: &mut Service) {
    service.behind_its_back(async |store| {
        let org = OrganizationId::from(ORG);
        let state = store.load_picture_state(&org, "connectwise").await.unwrap().unwrap();
        let (at, picture) = store.load_snapshot(&org, "connectwise").await.unwrap().unwrap();
        let state = PictureState { at: at - DAY_MS, shared_at: Some(at - DAY_MS), ..state };
        store.begin_pull(&org, "connectwise", "yesterday").await.unwrap();
        store.stage_pull(&org, "connectwise", "yesterday", at - DAY_MS, &picture).await.unwrap();
        let end = PulledEnd { state, whole: true, lists: true, gone: Vec::new(), unread: Vec::new() };
        store.finish_pull(&org, "connectwise", "yesterday", &end).await.unwrap();
        let all = store.list_schedules(&org).await.unwrap();
        let row = all.into_iter().find(|row| row.kind == "quantity").unwrap();
        store.plan_schedule(&org, "quantity", &row.spec, Some(at - DAY_MS)).await.unwrap();
    });
}

/// The run of the schedule, once it ended.
fn fired(person: &Person<'_>) -> Value {
    let path = format!("{}/runs", desk::path(ORG));
    loop {
        let all = person.get(&format!("{path}?limit=200")).is(200).json();
        let mut of_schedule = all["items"].as_array().unwrap().iter().filter(|run| run["scheduled"] == true);
        if let Some(run) = of_schedule.find(|run| run["finished_at"].is_string()) {
            assert_ne!(run["state"], "failed", "{run}");
            return person.get(&format!("{path}/{}", run["run_id"].as_str().unwrap())).is(200).json();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
