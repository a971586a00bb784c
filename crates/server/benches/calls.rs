//! Calls made over the fewest calls that can do the job, counted by the sandbox, and the memory of a nightly pull.
//!
//! `cargo bench -p trueup-server --bench calls [-- --agreements N]` (2,000 by itself) lays out a tenant with ten
//! additions an agreement and runs the binary against it: a full pull, a pull of what changed after 2 % of the agreements were
//! edited, and an apply that writes on 2 % of the additions, each on an agreement of its own.
#![allow(clippy::panic, reason = "a benchmark whose result is wrong stops")]

mod support;

use serde_json::{Value, json};
use std::path::Path;
use support::tenant::{ADDITIONS, PAGE, TODAY, agreement, feed, seed};
use support::{Ran, at_most, in_earnest, number, ratio, trueup};
use trueup_sandbox::{Sandbox, SandboxConfig};

/// The setting `observe.rotation` as it comes.
const ROTATION: u64 = 7;

/// The binary between a data directory and the sandbox.
struct Bench<'a> {
    data: &'a Path,
    sandbox: &'a Sandbox,
}

impl Bench<'_> {
    fn run(&self, arguments: &[&str]) -> Ran {
        self.sandbox.control().clear_journal();
        let environment =
            [("TRUEUP_TODAY", TODAY), ("TRUEUP_CONNECTWISE_PRIVATE_KEY", self.sandbox.private_key())];
        trueup(self.data, &environment, arguments)
    }

    /// Calls of the last command; with a kind such as `GET finance/agreements` those of it alone.
    fn calls(&self, kind: Option<&str>) -> u64 {
        let summary = self.sandbox.control().journal_summary();
        let count = match kind {
            Some(kind) => &summary["calls"][kind],
            None => &summary["total"],
        };
        count.as_u64().unwrap_or(0)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.data.join(name);
        if let Err(error) = std::fs::write(&path, text) {
            panic!("{} cannot be written: {error}", path.display());
        }
        path.display().to_string()
    }
}

fn main() {
    let agreements = number("--agreements").unwrap_or(if in_earnest() { 2_000 } else { 50 });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| panic!("no runtime: {error}"));
    let config = SandboxConfig { seed: Some(seed(agreements)), ..SandboxConfig::default() };
    let sandbox = match runtime.block_on(trueup_sandbox::start(config)) {
        Ok(sandbox) => sandbox,
        Err(error) => panic!("{error}"),
    };
    let data = tempfile::tempdir().unwrap_or_else(|error| panic!("no directory: {error}"));
    let bench = Bench { data: data.path(), sandbox: &sandbox };
    let (url, company, key, id) =
        (sandbox.url(), sandbox.company(), sandbox.public_key(), sandbox.client_id());
    bench.run(&[
        "connection",
        "add",
        "--url",
        &url,
        "--company",
        company,
        "--public-key",
        key,
        "--client-id",
        id,
    ]);
    println!("agreements={agreements} additions={}", agreements * ADDITIONS);
    pulls(&bench, agreements);
    writes(&bench, agreements);
    runtime.block_on(sandbox.shutdown());
}

fn pulls(bench: &Bench<'_>, agreements: u64) {
    let full = bench.run(&["psa", "pull"]);
    assert_eq!(full.document["additions"], agreements * ADDITIONS);
    ratio("full pull", bench.calls(None), agreements.div_ceil(PAGE) + agreements, 1_020);
    println!("full pull: {} ms", full.took.as_millis());
    at_most("memory of the full pull", full.peak_mib, "MiB", 96);

    // 2 % of the agreements, and not those that would be read in their turn anyway.
    let changed: Vec<Value> =
        (1..=agreements).filter(|id| id % 50 == 3).map(|id| agreement(id, "2026-03-10T00:00:00Z")).collect();
    let count = changed.len() as u64;
    if let Err(error) = bench.sandbox.control().load(&json!({"resources": {"finance/agreements": changed}})) {
        panic!("{error}");
    }
    let delta = bench.run(&["psa", "pull", "--changed"]);
    assert_eq!(
        (&delta.document["whole"], &delta.document["agreements_changed"]),
        (&json!(false), &json!(count))
    );
    let floor = count.div_ceil(PAGE) + count + agreements.div_ceil(ROTATION);
    ratio("pull of what changed, 2 %", bench.calls(None), floor, 1_050);
    println!("pull of what changed: {} ms, {} MiB", delta.took.as_millis(), delta.peak_mib);
}

fn writes(bench: &Bench<'_>, agreements: u64) {
    let (feed, mappings) = feed((1..=agreements).filter(|n| n % 5 == 0), 1);
    let count = agreements / 5;
    let (feed, mappings) = (bench.file("feed.ndjson", &feed), bench.file("mappings.csv", &mappings));
    bench.run(&["feed", "import", &feed]);
    bench.run(&["mapping", "import", &mappings]);
    bench.run(&["check"]);
    let applied = bench.run(&["apply", "--all"]);
    let (written, reads) = (
        bench.calls(Some("POST finance/agreements/{id}/additions")),
        bench.calls(Some("GET finance/agreements/{id}/additions")),
    );
    let other = ["PATCH", "DELETE"]
        .map(|m| bench.calls(Some(&format!("{m} finance/agreements/{{id}}/additions/{{id}}"))));
    assert_eq!((written, other), (count, [0, 0]), "{}", applied.document);
    ratio("writes, one call each", written, count, 1_000);
    ratio("fresh reads of additions, one an agreement written", reads, count, 1_000);
    // Companies, their agreements and the catalog items of the plan, in lists as long as an address allows.
    ratio("apply, 2 % of the additions, all calls", bench.calls(None), 2 * count, 1_020);
    println!("apply: {} ms, {} MiB", applied.took.as_millis(), applied.peak_mib);
}
