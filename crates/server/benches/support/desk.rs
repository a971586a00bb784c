//! A service beside a sandbox, as the benchmarks of the service lay them out.

use super::bench::{Backend, Person, Service};
use crate::support::tenant::TODAY;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use trueup_sandbox::{Sandbox, SandboxConfig, SandboxControl};

/// The organization of what has one alone.
pub const ORG: &str = "default";

/// A tick of whoever waits for a run.
const LOOK: Duration = Duration::from_millis(50);

/// Sandboxes of this process; they end with it.
pub struct Sandboxes {
    runtime: Runtime,
    all: Vec<Sandbox>,
}

impl Sandboxes {
    /// One for each seed.
    pub fn start(seeds: Vec<Value>) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let all = seeds
            .into_iter()
            .map(|seed| {
                let config = SandboxConfig { seed: Some(seed), ..SandboxConfig::default() };
                runtime.block_on(trueup_sandbox::start(config)).unwrap()
            })
            .collect();
        Self { runtime, all }
    }

    /// What steers one of them.
    pub fn control(&self, number: usize) -> SandboxControl {
        self.all[number].control()
    }

    /// Every answer of each takes so long from now on, and the counting begins anew.
    pub fn answer_after(&self, latency: Duration) {
        for sandbox in &self.all {
            sandbox.control().set_latency_ms(u64::try_from(latency.as_millis()).unwrap());
            sandbox.control().clear_journal();
        }
    }

    /// Calls that came in since.
    pub fn calls(&self) -> u64 {
        self.all.iter().map(|sandbox| count(&sandbox.control().journal_summary()["total"])).sum()
    }

    /// Calls of a kind, such as `GET finance/agreements`.
    pub fn calls_of(&self, kind: &str) -> u64 {
        self.all.iter().map(|sandbox| count(&sandbox.control().journal_summary()["calls"][kind])).sum()
    }

    /// Calls that were answered so.
    pub fn answered(&self, status: &str) -> u64 {
        self.all.iter().map(|sandbox| count(&sandbox.control().journal_summary()["statuses"][status])).sum()
    }

    /// What a connection is made of.
    pub fn connection(&self, number: usize) -> Value {
        let sandbox = &self.all[number];
        json!({
            "url": sandbox.url(), "company": sandbox.company(), "public_key": sandbox.public_key(),
            "private_key": sandbox.private_key(), "client_id": sandbox.client_id(),
        })
    }

    /// Ends them.
    pub fn stop(self) {
        for sandbox in self.all {
            self.runtime.block_on(sandbox.shutdown());
        }
    }
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

/// A service, in a role, that may have so many calls under way; none where there is no such database.
pub fn service(role: &str, backend: Backend, at_once: u64) -> Option<Service> {
    let at_once = at_once.to_string();
    let environment = [
        ("TRUEUP_TODAY", TODAY),
        ("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1"),
        ("TRUEUP_APPLY_SETTLE_SECONDS", "1"),
        ("TRUEUP_CALLS_AT_ONCE", at_once.as_str()),
    ];
    Service::start_as(role, backend, &environment)
}

/// Where an organization is in the API.
pub fn path(org: &str) -> String {
    format!("/api/v1/organizations/{org}")
}

/// Puts a run into the queue; where it is.
pub fn start(person: &Person<'_>, org: &str, body: &Value) -> String {
    let started = person.post(&format!("{}/runs", path(org)), body).is(202);
    started.header("location").unwrap().to_owned()
}

/// Waits for the end of a run, which has to be whole.
pub fn end(person: &Person<'_>, location: &str) -> Value {
    loop {
        let run = person.get(location).is(200).json();
        if run["finished_at"].is_string() {
            assert_ne!(run["state"], "failed", "{run}");
            return run;
        }
        std::thread::sleep(LOOK);
    }
}

/// A run from its start to its end, and how long that took.
pub fn run(person: &Person<'_>, org: &str, body: &Value) -> (Duration, Value) {
    let began = Instant::now();
    let ended = end(person, &start(person, org, body));
    (began.elapsed(), ended)
}

/// A service on SQLite that knows the first sandbox, and has taken in what was ordered and how it is mapped.
pub fn laid_out(
    sandboxes: &Sandboxes,
    at_once: u64,
    ordered: &(String, String),
) -> (Service, (String, String)) {
    let mut service = service("all", Backend::Sqlite, at_once).unwrap();
    let pass = {
        let person = service.operator();
        person.post(&format!("{}/connections", path(ORG)), &sandboxes.connection(0)).is(201);
        person.pass()
    };
    assert_eq!(service.stop(), 0);
    for (name, text, command) in
        [("feed.ndjson", &ordered.0, "feed"), ("mappings.csv", &ordered.1, "mapping")]
    {
        let file = service.path(name);
        std::fs::write(&file, text).unwrap();
        service.run(&[command, "import", &file.display().to_string()]);
    }
    service.up();
    (service, pass)
}
