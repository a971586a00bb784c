//! Calls made over the fewest calls that can do the job, counted by the sandbox, and the memory of a nightly pull.
//!
//! `cargo bench -p trueup-server --bench calls [-- --agreements N]` (2,000 by itself) lays out a tenant with ten
//! additions an agreement and runs the binary against it: a full pull, a pull of what changed after 2 % of the agreements were
//! edited, and an apply that writes on 2 % of the additions, each on an agreement of its own.
#![allow(clippy::panic, reason = "a benchmark whose result is wrong stops")]

mod support;

use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::path::Path;
use support::{Ran, at_most, in_earnest, number, ratio, trueup};
use trueup_sandbox::{Sandbox, SandboxConfig};

const TODAY: &str = "2026-03-10";
const PAGE: u64 = 1_000;
const ADDITIONS: u64 = 10;
/// The setting `observe.rotation` as it comes.
const ROTATION: u64 = 7;

fn agreement(id: u64, changed: &str) -> Value {
    json!({"id": id, "name": format!("Cloud {id}"), "type": {"name": "Cloud Services"}, "company": {"id": 100 + id},
        "startDate": "2025-01-01T00:00:00Z", "billStartDate": "2025-01-01T00:00:00Z",
        "nextInvoiceDate": "2026-03-01T00:00:00Z", "billingCycle": {"id": 2}, "_info": {"lastUpdated": changed}})
}

fn seed(agreements: u64) -> Value {
    let addition = json!({"product": {"id": 8}, "quantity": 5.0, "unitPrice": 22.0, "unitCost": 17.6,
        "billCustomer": "Billable", "effectiveDate": "2025-01-01T00:00:00Z", "description": "Exchange Online (Plan 2)",
        "invoiceDescription": "Exchange Online (Plan 2), monthly"});
    let list = Value::Array((0..ADDITIONS).map(|_| addition.clone()).collect());
    let additions: Map<String, Value> = (1..=agreements).map(|id| (id.to_string(), list.clone())).collect();
    let item = |id: u64, identifier: &str| {
        json!({"id": id, "identifier": identifier, "description": identifier, "customerDescription": identifier,
            "subcategory": {"id": 1}, "type": {"id": 1}, "price": 22.0, "cost": 17.6})
    };
    let companies: Vec<Value> = (1..=agreements)
        .map(|n| json!({"id": 100 + n, "identifier": format!("C{n}"), "name": format!("Customer {n}")}))
        .collect();
    json!({"today": TODAY, "resources": {
        "company/companies": companies,
        "procurement/catalog": [item(7, "EXO-P1"), item(8, "EXO-P2")],
        "finance/agreements": (1..=agreements).map(|id| agreement(id, "2026-01-05T00:00:00Z")).collect::<Vec<_>>(),
        "finance/agreements/{id}/additions": additions,
    }})
}

/// One new line for each of so many customers: a fifth of them, 2 % of ten additions each.
fn feed(customers: impl Iterator<Item = u64>) -> (String, String) {
    let mut feed =
        String::from("{\"type\":\"product\",\"id\":\"exo-p1\",\"name\":\"Exchange Online (Plan 1)\"}\n");
    let mut mappings = String::from("kind,source_id,psa_id,scope,options\nproduct,exo-p1,7,,\n");
    for n in customers {
        let cycle = "\"billing_cycle\":{\"every\":1,\"unit\":\"month\"}";
        let price = "\"product\":\"exo-p1\",\"unit_price\":\"22.00\",\"unit_cost\":\"17.60\"";
        let written = write!(
            feed,
            "{{\"type\":\"customer\",\"id\":\"c-{n}\",\"name\":\"Customer {n}\"}}\n\
             {{\"type\":\"subscription\",\"id\":\"s-{n}\",\"customer\":\"c-{n}\",\"status\":\"active\",{cycle},\
             \"start\":\"2026-03-01\",\"currency\":\"USD\",\"items\":[{{\"id\":\"seats\",\"product\":\"exo-p1\",\
             \"quantity\":\"5\"}}]}}\n\
             {{\"type\":\"order\",\"id\":\"SO-{n}\",\"kind\":\"sales\",\"subscription\":\"s-{n}\",\
             \"completed_at\":\"2026-03-01T09:00:00Z\",\"period\":{{\"start\":\"2026-03-01\",\"end\":\"2026-04-01\"}},\
             \"currency\":\"USD\",\"lines\":[{{\"id\":\"1\",\"charge\":\"recurring\",\"quantity\":\"5\",{price}}}]}}\n"
        );
        assert!(written.is_ok() && writeln!(mappings, "customer,c-{n},{},,", 100 + n).is_ok());
    }
    (feed, mappings)
}

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
    let (feed, mappings) = feed((1..=agreements).filter(|n| n % 5 == 0));
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
