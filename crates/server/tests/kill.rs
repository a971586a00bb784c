//! A process that is really killed (`kill -9`) at every call boundary of an apply of 250 operations, and started again:
//! each addition is there exactly once, right to the cent.
//!
//! A kill names its operation and its boundary. Before the intent, between intent and sending, and between reply and
//! commit the process stops itself there (builds with debug assertions alone can) and says so in a file; between effect
//! and reply the server has carried the call out and keeps the reply back. Then the test kills it. Reads are cut as
//! well. Plain runs take 25 operations for each boundary, `TRUEUP_TORTURE=full` all 250: 1,000 kills.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "cli/bench.rs"]
#[allow(dead_code, reason = "the command line's tests use all of it")]
mod bench;

use bench::{Bench, MAPPINGS};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const OPERATIONS: usize = 250;
const SUBSCRIPTIONS: usize = 100;
const CHANGED: usize = 50;
/// Reads of a start before it sends anything: the code base, the agreements, and the additions.
const READS: usize = 3;

/// 100 sales (one create each) and 50 upgrades (two creates and an end each): 250 operations.
fn feed() -> String {
    let mut text = String::from(
        "{\"type\":\"customer\",\"id\":\"c-100\",\"name\":\"Green Lane LLC\"}\n\
         {\"type\":\"product\",\"id\":\"exo-p1\",\"name\":\"Exchange Online (Plan 1)\"}\n",
    );
    let frame = "\"period\":{\"start\":\"2023-03-01\",\"end\":\"2023-04-01\"},\"currency\":\"USD\"";
    let price = "\"product\":\"exo-p1\",\"unit_price\":\"22.00\",\"unit_cost\":\"17.60\"";
    for n in 0..SUBSCRIPTIONS {
        writeln!(
            text,
            "{{\"type\":\"subscription\",\"id\":\"s-{n}\",\"customer\":\"c-100\",\"status\":\"active\",\
             \"billing_cycle\":{{\"every\":1,\"unit\":\"month\"}},\"start\":\"2023-03-01\",\"currency\":\"USD\",\
             \"items\":[{{\"id\":\"seats\",\"product\":\"exo-p1\",\"quantity\":\"5\"}}]}}"
        )
        .unwrap();
        writeln!(
            text,
            "{{\"type\":\"order\",\"id\":\"SO-{n}\",\"kind\":\"sales\",\"subscription\":\"s-{n}\",\
             \"completed_at\":\"2023-03-01T09:00:00Z\",{frame},\"lines\":[{{\"id\":\"1\",\"charge\":\"recurring\",\
             \"quantity\":\"5\",{price}}}]}}"
        )
        .unwrap();
        if n < CHANGED {
            writeln!(
                text,
                "{{\"type\":\"order\",\"id\":\"CH-{n}\",\"kind\":\"change\",\"subscription\":\"s-{n}\",\
                 \"completed_at\":\"2023-03-15T09:00:00Z\",{frame},\"lines\":[{{\"id\":\"1\",\"charge\":\"recurring\",\
                 \"quantity\":\"3\",\"old_quantity\":\"5\",\"new_quantity\":\"8\",{price}}}]}}"
            )
            .unwrap();
        }
    }
    text
}

fn world() -> Bench {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    bench.feed(&feed()).exits(0);
    bench.map(MAPPINGS).exits(0);
    bench.json(&["check"]).exits(0);
    bench.env("TRUEUP_APPLY_SETTLE_SECONDS", "1");
    bench
}

/// Where a process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Boundary {
    BeforeIntent,
    IntentToSend,
    EffectToReply,
    ReplyToCommit,
    /// While a read of the next start is under way.
    Read,
}

impl Boundary {
    /// The word by which the process is told to stop there, where it can.
    fn stop(self) -> Option<&'static str> {
        match self {
            Boundary::BeforeIntent => Some("intent"),
            Boundary::IntentToSend => Some("send"),
            Boundary::ReplyToCommit => Some("commit"),
            Boundary::EffectToReply | Boundary::Read => None,
        }
    }
}

/// What the server saw since it was asked last.
#[derive(Debug, Default)]
struct Seen {
    writes: BTreeMap<String, usize>,
    reads: usize,
    gets: usize,
    held: Vec<String>,
}

fn seen(bench: &Bench) -> Seen {
    let journal = bench.ask("journal");
    let mut seen = Seen::default();
    for call in journal.as_array().or_else(|| journal["requests"].as_array()).unwrap() {
        let method = call["method"].as_str().unwrap();
        if method == "GET" {
            seen.gets += 1;
            seen.reads += usize::from(call["path"].as_str().unwrap().ends_with("/additions"));
        } else if call["executed"] == Value::Bool(true) {
            *seen.writes.entry(method.to_owned()).or_default() += 1;
        }
        if call["fault"] == json!("slow") {
            seen.held.push(method.to_owned());
        }
    }
    seen
}

/// What came of the kills.
#[derive(Debug, Default)]
struct Told {
    kills: BTreeMap<Boundary, usize>,
    /// The operations killed at, by number, without those of reads.
    operations: BTreeSet<usize>,
    /// Calls cut between effect and reply, by method.
    cut: BTreeMap<String, usize>,
    /// Reads of the additions, over all starts.
    reads: usize,
    starts: usize,
}

/// An apply that is killed and started again until all of it is there.
struct Victim {
    bench: Bench,
    plan: String,
    /// Writes carried out so far, by method.
    writes: BTreeMap<String, usize>,
    told: Told,
}

impl Victim {
    fn new() -> Self {
        let bench = world();
        let document = bench.json(&["plan", "--all"]).exits(0).json();
        let changes = document["changes"].as_array().unwrap().len();
        assert_eq!(changes, OPERATIONS, "the plan has so many operations");
        let plan = document["plan_id"].as_str().or_else(|| document["id"].as_str()).unwrap().to_owned();
        let victim = Self { bench, plan, writes: BTreeMap::new(), told: Told::default() };
        victim.forget();
        victim
    }

    /// Empties the server's journal.
    fn forget(&self) {
        let access = &self.bench.sandbox.as_ref().unwrap().access;
        let host = access["url"].as_str().unwrap().trim_start_matches("http://").to_owned();
        let mut stream = std::net::TcpStream::connect(&host).unwrap();
        write!(stream, "DELETE /sandbox/journal HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
    }

    fn start(&self, stop_at: Option<String>) -> Child {
        let mut command = self.bench.command(&["apply", &self.plan]);
        command.env("TRUEUP_STOP_FILE", self.bench.path("passed"));
        if let Some(place) = stop_at {
            command.env("TRUEUP_STOP_AT", place);
        }
        let out = std::fs::File::create(self.bench.path("out")).unwrap();
        command.stdout(out.try_clone().unwrap()).stderr(out).stdin(Stdio::null()).spawn().unwrap()
    }

    /// The last boundary that the process passed.
    fn passed(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.bench.path("passed")).unwrap_or_default();
        text.ends_with('\n').then(|| text.lines().last().map(str::to_owned)).flatten()
    }

    /// Waits until the process stands where it is to die, and kills it there.
    fn kill_when(&mut self, mut child: Child, boundary: Boundary, there: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !there(self) {
            if let Some(status) = child.try_wait().unwrap() {
                let told = std::fs::read_to_string(self.bench.path("out")).unwrap_or_default();
                panic!(
                    "{boundary:?}: ended with {status} before it got there, at {:?}: {told}",
                    self.passed()
                );
            }
            assert!(began.elapsed() < Duration::from_secs(120), "{boundary:?}: stuck at {:?}", self.passed());
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(child.try_wait().unwrap().is_none(), "{boundary:?}: it lives until it is killed");
        child.kill().unwrap();
        child.wait().unwrap();
        *self.told.kills.entry(boundary).or_default() += 1;
    }

    /// Takes in what the server saw of the process that ended. A start reads the additions once; where a call was killed
    /// before it was sent, and so is never found, there are at most two more for it, a settle time apart.
    fn take_in(&mut self) -> Seen {
        let seen = seen(&self.bench);
        assert!(seen.reads <= 1 + 2 * self.absent(), "{} reads: {:?}", seen.reads, self.told);
        for (method, count) in &seen.writes {
            *self.writes.entry(method.clone()).or_default() += count;
        }
        self.told.reads += seen.reads;
        self.told.starts += 1;
        self.forget();
        seen
    }

    /// Kills that left an operation in doubt which the server never got.
    fn absent(&self) -> usize {
        self.told.kills.get(&Boundary::IntentToSend).copied().unwrap_or_default()
    }

    fn written(&self) -> usize {
        self.writes.values().sum()
    }

    /// Kills at a boundary of the first of these operations that comes there.
    fn kill_at(&mut self, boundary: Boundary, wanted: &BTreeSet<usize>) {
        let word = boundary.stop().unwrap();
        let places: Vec<String> = wanted.iter().map(|n| format!("{n}:{word}")).collect();
        let child = self.start(Some(places.join(",")));
        // A kill before belongs to an operation that is not wanted any more.
        self.kill_when(child, boundary, |me| me.passed().is_some_and(|at| places.contains(&at)));
        let place = self.passed().unwrap();
        let operation: usize = place.split(':').next().unwrap().parse().unwrap();
        assert!(self.told.operations.insert(operation), "{place} a second time");
        let seen = self.take_in();
        assert!(seen.held.is_empty());
        if boundary == Boundary::ReplyToCommit {
            assert!(!seen.writes.is_empty(), "{place}: it is carried out");
        }
    }

    /// Kills between effect and reply of the nth write of the next start.
    fn kill_unanswered(&mut self, nth: usize) {
        // Writes alone have a body.
        self.hold(&json!({"path_contains": "additions", "body_contains": "{"}), nth);
        let child = self.start(None);
        self.kill_when(child, Boundary::EffectToReply, |me| !seen(&me.bench).held.is_empty());
        let place = self.passed().unwrap();
        assert!(place.ends_with(":send"), "sent, and no reply came: {place}");
        self.bench.control("faults", &json!({}));
        let mut seen = self.take_in();
        assert_eq!(seen.held.len(), 1);
        *self.told.cut.entry(seen.held.remove(0)).or_default() += 1;
        let operation = place.split(':').next().unwrap().parse().unwrap();
        self.told.operations.insert(operation);
    }

    /// The reply to the nth such call is kept back.
    fn hold(&self, call: &Value, nth: usize) {
        let fault = json!({"match": call, "nth": nth, "action": "slow", "delay_ms": 600_000});
        self.bench.control("faults", &json!({"schedule": [fault]}));
    }

    /// Kills the next start while its nth read is under way.
    fn kill_reading(&mut self, nth: usize) {
        let (passed, written) = (self.passed(), self.written());
        self.hold(&json!({"method": "GET"}), nth);
        let child = self.start(None);
        self.kill_when(child, Boundary::Read, |me| !seen(&me.bench).held.is_empty());
        self.bench.control("faults", &json!({}));
        let seen = self.take_in();
        assert_eq!(seen.held, ["GET"]);
        // Agreements and additions are read side by side.
        assert!((nth..nth + READS).contains(&seen.gets), "{} reads, {nth} wanted", seen.gets);
        if nth <= READS {
            assert_eq!(
                (self.passed(), self.written()),
                (passed, written),
                "nothing is sent before it is read"
            );
        }
    }

    /// Brings the apply to its end, and looks at what is there.
    fn finish(mut self) -> Told {
        let mut child = self.start(None);
        let status = child.wait().unwrap();
        let said = std::fs::read_to_string(self.bench.path("out")).unwrap_or_default();
        assert!(status.success(), "{said}");
        self.take_in();
        assert_eq!(self.written(), OPERATIONS, "each is sent once: {:?}", self.writes);
        assert!(self.told.reads <= self.told.starts + 2 * self.absent(), "{:?}", self.told);
        verify(&self.bench, self.told.kills.values().sum());
        let again = self.bench.json(&["apply", "--all"]).exits(0).json();
        assert_eq!(again["changes"].as_array().map_or(0, Vec::len), 0, "nothing is left to do");
        self.told
    }
}

/// Every addition that should be there is, once, and nothing else.
fn verify(bench: &Bench, kills: usize) {
    let state = bench.ask("state");
    let additions = &state["resources"]["finance/agreements/40/additions"];
    let additions: Vec<Value> = additions
        .as_array()
        .cloned()
        .or_else(|| state["resources"]["finance/agreements/{id}/additions"]["40"].as_array().cloned())
        .unwrap_or_else(|| panic!("no additions in {}", state["resources"]));
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut keys = BTreeSet::new();
    for addition in &additions {
        let day =
            |name: &str| addition[name].as_str().unwrap_or("-")[..].chars().take(10).collect::<String>();
        let text = format!(
            "{} x {} {}..{}",
            addition["quantity"],
            addition["unitPrice"],
            day("effectiveDate"),
            day("cancelledDate")
        );
        *counts.entry(text).or_default() += 1;
        assert!(
            keys.insert(addition["serialNumber"].to_string()),
            "a key twice after {kills} kills: {addition}"
        );
    }
    let wanted: BTreeMap<String, usize> = [
        ("5.0 x 22.0 2023-03-01..2023-03-31", CHANGED),
        ("5.0 x 22.0 2023-03-01..-", SUBSCRIPTIONS - CHANGED),
        ("8.0 x 22.0 2023-04-01..-", CHANGED),
        ("3.0 x 12.06 2023-03-15..2023-03-31", CHANGED),
    ]
    .into_iter()
    .map(|(text, count)| (text.to_owned(), count))
    .collect();
    assert_eq!(counts, wanted, "after {kills} kills");
    bench.json(&["audit", "verify"]).exits(0);
}

/// The operations to kill at, of all 250: so many of them, spread, and at another place of its subscription each.
fn spread(count: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |n| n * OPERATIONS / count + n % (OPERATIONS / count))
}

/// One apply of 250 operations, killed at the same boundary of so many of them.
fn at(boundary: Boundary, count: usize) -> Told {
    let mut victim = Victim::new();
    let mut wanted: BTreeSet<usize> = spread(count).collect();
    for _ in 0..count {
        let Some(next) = wanted.first().copied() else { break };
        if boundary == Boundary::EffectToReply {
            // Where every operation is cut, each start comes to one that was not yet; else so many are let pass.
            let nth = if count == OPERATIONS { 1 } else { next + 1 - victim.written() };
            victim.kill_unanswered(nth);
        } else {
            victim.kill_at(boundary, &wanted);
        }
        wanted.retain(|n| !victim.told.operations.contains(n));
    }
    assert_eq!(victim.told.operations, spread(count).collect());
    victim.finish()
}

/// One apply of 250 operations, killed while it sends, and then while it reads what became of that.
fn between_reads(count: usize) -> Told {
    let mut victim = Victim::new();
    for number in 0..count {
        if number % 2 == 0 {
            victim.kill_unanswered(1 + number % 3);
            victim.kill_reading(1 + number / 2 % READS);
        } else {
            let passed = std::fs::read_to_string(victim.bench.path("passed")).unwrap();
            let new = (0..OPERATIONS).filter(|n| !passed.lines().any(|at| at == format!("{n}:send")));
            victim.kill_at(Boundary::IntentToSend, &new.collect());
            // The last two: what was never sent is looked up twice.
            victim.kill_reading(1 + number / 2 % (READS + 2));
        }
    }
    victim.finish()
}

#[test]
fn a_killed_apply_leaves_each_addition_exactly_once() {
    if !cfg!(debug_assertions) {
        println!("skipped: only a build with debug assertions can be stopped at a boundary");
        return;
    }
    let full = std::env::var("TRUEUP_TORTURE").is_ok_and(|v| v == "full");
    let count = std::env::var("TRUEUP_KILLS").ok().and_then(|n| n.parse::<usize>().ok());
    // A boundary has as many kills as operations at most.
    let each = count.map_or(if full { OPERATIONS } else { 25 }, |n| n.div_ceil(4).clamp(1, OPERATIONS));
    let boundaries =
        [Boundary::BeforeIntent, Boundary::IntentToSend, Boundary::EffectToReply, Boundary::ReplyToCommit];
    let reads = each.min(50);
    let began = Instant::now();
    // Side by side, since much of their time is spent waiting until what is in doubt has settled.
    std::thread::scope(|scope| {
        let reading = scope.spawn(move || between_reads(reads));
        let applies = boundaries.map(|boundary| (boundary, scope.spawn(move || at(boundary, each))));
        for (boundary, apply) in applies {
            let told = apply.join().unwrap();
            println!(
                "{boundary:?}: {} kills, {} reads in {} starts, cut before the reply: {:?}",
                told.operations.len(),
                told.reads,
                told.starts,
                told.cut
            );
            assert_eq!(told.kills, BTreeMap::from([(boundary, each)]));
            if boundary == Boundary::EffectToReply && each >= 25 {
                let cut = told.cut;
                assert!(
                    cut.contains_key("POST") && cut.contains_key("PATCH"),
                    "creations and edits: {cut:?}"
                );
            }
        }
        let told = reading.join().unwrap();
        println!("between reads: {:?}, {} reads in {} starts", told.kills, told.reads, told.starts);
        assert_eq!(told.kills.get(&Boundary::Read), Some(&reads));
    });
    println!("{} kills at named boundaries in {:.0?}", 4 * each, began.elapsed());
}
