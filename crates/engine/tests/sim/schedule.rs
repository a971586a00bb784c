//! One seeded schedule of the pure core: faults, crashes at every boundary, pauses longer than the lease, people.

use super::Rng;
use super::judge::{closed, judge};
use super::plans::Scenario;
use super::remote::{Remote, SERVER_LIMIT, Write};
use std::collections::BTreeMap;
use trueup_domain::finding::Code;
use trueup_domain::ids::AdditionId;
use trueup_domain::plan::Action;
use trueup_domain::psa::AdditionState;
use trueup_engine::apply::core::{Answer, Core, Effect, Entry, Event, Quirks, Rules};
use trueup_engine::apply::layout::Layout;
use trueup_engine::ports::WriteError;
use trueup_engine::records::{Millis, OperationError, OperationState};

/// Longest time between the instant that the journal holds for a call and the call itself.
const SEND_WINDOW: Millis = 40_000;
/// How long a lease holds.
const LEASE: Millis = 180_000;

/// How the world and the core are set up.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub settle_ms: Millis,
    pub quirks: Quirks,
    /// The journal refuses writers whose lease was taken over.
    pub fenced: bool,
    /// An agreement sometimes comes back empty.
    pub lies: bool,
    pub faults: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self { settle_ms: 120_000, quirks: Quirks::default(), fenced: true, lies: false, faults: true }
    }
}

#[derive(Clone, Debug, Default)]
struct Journal {
    rows: Vec<Entry>,
    saved: bool,
    fencing: i64,
}

struct Worker<'p> {
    core: Core<'p>,
    pending: Vec<Effect>,
    fencing: i64,
    over: bool,
}

/// A scenario with its order worked out, made once and used by many schedules.
pub struct Prepared {
    pub scenario: Scenario,
    pub layout: Layout,
}

impl Prepared {
    pub fn new(scenario: Scenario) -> Self {
        let layout = Layout::of(&scenario.plan);
        Self { scenario, layout }
    }
}

struct Sim<'p> {
    at: &'p Prepared,
    written: &'p BTreeMap<AdditionId, AdditionState>,
    setup: Setup,
    remote: Remote,
    journal: Journal,
    rng: Rng,
    out: Vec<Effect>,
    trace: bool,
}

fn error() -> OperationError {
    OperationError { code: Code::Tu1001.to_string(), message: "out of reach".to_owned(), their_words: None }
}

/// What a schedule came to.
pub struct Outcome {
    pub calls: u64,
    pub entries: Vec<Entry>,
}

/// Runs the schedule of a seed to its end and checks what is left behind.
pub fn run(prepared: &Prepared, seed: u64, setup: Setup) -> Result<Outcome, String> {
    let written = BTreeMap::new();
    let mut rng = Rng::new(seed);
    let mut remote = Remote::new(&prepared.scenario, Rng::new(seed ^ 0x77));
    remote.keyed = !rng.chance(100);
    remote.lies = setup.lies;
    let mut sim = Sim {
        at: prepared,
        written: &written,
        setup,
        remote,
        journal: Journal::default(),
        rng,
        out: Vec::new(),
        trace: std::env::var_os("TRUEUP_TRACE").is_some(),
    };
    sim.whole().map_err(|what| format!("seed {seed}: {what}"))?;
    judge(prepared, &sim.remote, &sim.journal.rows).map_err(|what| format!("seed {seed}: {what}"))?;
    Ok(Outcome { calls: sim.remote.calls, entries: sim.journal.rows })
}

impl<'p> Sim<'p> {
    fn whole(&mut self) -> Result<(), String> {
        for round in 0..24 {
            let wild = self.setup.faults && round < 4;
            self.remote.faults = if wild { 350 } else { 0 };
            self.remote.lies &= wild;
            self.one_run(wild)?;
            if !wild && self.journal.rows.iter().all(|e| closed(e.state)) {
                break;
            }
            if self.setup.faults {
                let pause = self.rng.millis(300_000);
                self.remote.advance(self.remote.now + pause);
            }
        }
        self.remote.advance(self.remote.now + 2 * SERVER_LIMIT);
        match self.remote.violation.take() {
            Some(what) => Err(what),
            None => Ok(()),
        }
    }

    fn start(&mut self) -> Worker<'p> {
        self.journal.fencing += 1;
        let rules = Rules {
            settle_ms: self.setup.settle_ms,
            in_flight: 1 + self.rng.below(4),
            wait: self.rng.chance(800),
            keyed: self.remote.keyed,
            quirks: self.setup.quirks,
            ..Rules::default()
        };
        let at = self.at;
        let core = Core::new(&at.scenario.plan, &at.layout, rules, self.journal.rows.clone(), self.written);
        let mut worker = Worker { core, pending: Vec::new(), fencing: self.journal.fencing, over: false };
        self.feed(&mut worker, Event::Started);
        worker
    }

    fn feed(&mut self, worker: &mut Worker<'p>, event: Event<'_>) {
        if self.trace {
            eprintln!("    {event:?}");
        }
        worker.core.step(self.remote.now, event, &mut self.out);
        worker.pending.append(&mut self.out);
    }

    /// One process, from start to end or death.
    fn one_run(&mut self, wild: bool) -> Result<(), String> {
        let mut worker = self.start();
        let dies_after = if wild && self.rng.chance(700) { self.rng.below(40) } else { usize::MAX };
        let mut steps = 0;
        while !worker.over {
            if steps == dies_after {
                return self.interrupt(worker);
            }
            if wild && self.rng.chance(12) {
                self.remote.human();
            }
            self.advance_one(&mut worker);
            steps += 1;
            if steps > 5_000 {
                return Err("the run does not end".to_owned());
            }
            if worker.pending.is_empty() && !worker.over {
                return Err("the run stands still".to_owned());
            }
        }
        Ok(())
    }

    /// The process dies, or is paused for so long that another one takes its lanes over.
    fn interrupt(&mut self, mut worker: Worker<'p>) -> Result<(), String> {
        if self.rng.chance(700) {
            for effect in std::mem::take(&mut worker.pending) {
                if let Effect::Call(step) = effect
                    && let Some(write) = self.write_of(&worker, step)
                {
                    self.remote.orphan(write);
                }
            }
            return Ok(());
        }
        let pause = LEASE + self.rng.millis(LEASE);
        self.remote.advance(self.remote.now + pause);
        let mut other = self.start();
        let mut steps = 0;
        while !(worker.over && other.over) {
            let turn_of_first = other.over || (!worker.over && self.rng.chance(400));
            self.advance_one(if turn_of_first { &mut worker } else { &mut other });
            for worker in [&mut worker, &mut other] {
                worker.over |= worker.pending.is_empty();
            }
            steps += 1;
            if steps > 5_000 {
                return Err("two runs do not end".to_owned());
            }
        }
        Ok(())
    }

    fn write_of(&self, worker: &Worker<'p>, step: usize) -> Option<Write> {
        let change = self.at.scenario.plan.changes.get(self.at.layout.steps.get(step)?.change)?;
        let agreement = change.agreement;
        match &change.action {
            Action::Create { wanted } => Some(Remote::create(agreement, wanted, &change.key)),
            Action::Update { wanted, .. } | Action::Cancel { wanted, .. } => {
                let id = worker.core.addition_of(step)?;
                Some(Write::Update { agreement, id, wanted: (**wanted).clone() })
            }
            Action::Delete { .. } => Some(Write::Delete { agreement, id: worker.core.addition_of(step)? }),
            Action::Keep { .. } => None,
        }
    }

    fn advance_one(&mut self, worker: &mut Worker<'p>) {
        if worker.pending.is_empty() {
            return;
        }
        let index = self.rng.below(worker.pending.len());
        let effect = worker.pending.swap_remove(index);
        if self.trace {
            let entry = match &effect {
                Effect::Finish(step) => worker.core.entries().get(*step),
                _ => None, // open set: only a finish has something to show
            };
            eprintln!("{} lease {}: {effect:?} {entry:?}", self.remote.now, worker.fencing);
        }
        let holds = !self.setup.fenced || worker.fencing == self.journal.fencing;
        match effect {
            Effect::ReadHeaders => {
                self.remote.calls += 1;
                let headers = std::mem::take(&mut self.remote.headers);
                self.feed(worker, Event::Headers(Some(&headers)));
                self.remote.headers = headers;
            }
            Effect::ReadAgain(lanes) => {
                self.remote.calls += 1;
                let at = self.remote.now;
                let headers = self.remote.headers.clone();
                let fresh = if self.rng.chance(self.remote.faults / 8) { Err(error()) } else { Ok(&headers) };
                self.feed(worker, Event::HeadersAgain { lanes: &lanes, at, fresh });
            }
            Effect::Look(lane) => self.look(worker, lane),
            Effect::SaveIntents => {
                if !self.journal.saved {
                    self.journal.saved = true;
                    self.journal.rows =
                        vec![Entry { saved: true, ..Entry::default() }; self.at.layout.steps.len()];
                }
                self.feed(worker, Event::IntentsSaved);
            }
            Effect::Begin(step) => {
                let free = self.journal.rows.get(step).is_some_and(|row| row.state != OperationState::Done);
                if holds && free {
                    self.journal.rows[step] = worker.core.entries()[step].clone();
                    self.feed(worker, Event::Begun(step));
                } else {
                    let event = Event::NotBegun { step, error: error(), lane_lost: !holds };
                    self.feed(worker, event);
                }
            }
            Effect::Call(step) => self.call(worker, step),
            Effect::Finish(step) => {
                if holds {
                    let entry = worker.core.entries()[step].clone();
                    self.journal.rows[step] = Entry { saved: true, ..entry };
                    self.feed(worker, Event::Finished(step));
                } else {
                    self.feed(worker, Event::NotFinished(step, error()));
                }
            }
            Effect::Wait(until) => {
                self.remote.advance(until);
                self.feed(worker, Event::Woke);
            }
            Effect::Done => worker.over = true,
        }
    }

    fn look(&mut self, worker: &mut Worker<'p>, lane: usize) {
        let agreement = self.at.layout.lanes[lane].agreement;
        let at = self.remote.now;
        match self.remote.list(agreement) {
            Some(list) => {
                worker.core.step(at + 200, Event::Looked { lane, at, additions: list }, &mut self.out)
            }
            None => worker.core.step(at + 200, Event::LookFailed(lane, error()), &mut self.out),
        }
        worker.pending.append(&mut self.out);
    }

    fn call(&mut self, worker: &mut Worker<'p>, step: usize) {
        let since = worker.core.entries()[step].sent_at.unwrap_or(0);
        let answer = if self.remote.now - since > SEND_WINDOW {
            Answer::Withheld
        } else {
            match self.write_of(worker, step).map(|write| self.remote.send(write)) {
                Some(Ok(record)) => Answer::Done(record.map(Box::new)),
                Some(Err(WriteError::Refused(why))) => Answer::Refused(why),
                Some(Err(WriteError::InDoubt(why))) => Answer::InDoubt(why),
                None => Answer::Refused(super::remote::problem(Code::Tu7001, "no target")),
            }
        };
        self.feed(worker, Event::Answered(step, answer));
    }
}
