//! The whole driver, with leases, journal, links and audit, against a simulated ConnectWise and store: killed at any
//! await, run twice at once, with a full disk, with people at work. `TRUEUP_DRIVER_SCHEDULES` sets how many,
//! `TRUEUP_SCHEDULE_SECONDS` how long (a fifth of it is theirs).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod sim;

use futures::task::noop_waker_ref;
use sim::judge::{closed, judge};
use sim::plans::scenario;
use sim::ports::{SimClock, SimPsa};
use sim::remote::{Remote, SERVER_LIMIT};
use sim::schedule::Prepared;
use sim::store::SimStore;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use trueup_domain::ids::{AdditionId, OrganizationId, PlanId};
use trueup_domain::money::Quantity;
use trueup_domain::plan::{Action, AdditionLink, Change, CheckedPlan};
use trueup_domain::psa::ObservedAddition;
use trueup_engine::apply::core::Entry;
use trueup_engine::apply::{ApplyError, ApplyOptions, ApplyReport, Boundary, apply_plan, resolve_in_doubt};
use trueup_engine::records::{OperationState, PlanBody, PlanState, StoredPlan};

struct World {
    prepared: Prepared,
    remote: Arc<Mutex<Remote>>,
    store: SimStore,
    psa: SimPsa,
    clock: SimClock,
    org: OrganizationId,
    rng: sim::Rng,
    settle_ms: i64,
}

fn checked(prepared: &Prepared) -> CheckedPlan {
    serde_json::from_value(serde_json::to_value(&prepared.scenario.plan).unwrap()).unwrap()
}

impl World {
    fn new(seed: u64) -> Self {
        let prepared = Prepared::new(scenario(seed % 256));
        let remote = Arc::new(Mutex::new(Remote::new(&prepared.scenario, sim::Rng::new(seed ^ 0x99))));
        let plan = StoredPlan {
            id: "plan-1".into(),
            connection: "main".to_owned(),
            created_at: 0,
            actor: "ann".to_owned(),
            state: PlanState::Proposed,
            body: PlanBody::Checked(checked(&prepared)),
        };
        let store = SimStore::new(plan, sim::Rng::new(seed ^ 0x33));
        let psa = SimPsa { remote: remote.clone(), sending: store.sending.clone() };
        let clock = SimClock { remote: remote.clone() };
        Self {
            prepared,
            remote,
            store,
            psa,
            clock,
            org: "default".into(),
            rng: sim::Rng::new(seed ^ 0x11),
            settle_ms: 120_000,
        }
    }

    async fn run(&self, owner: &str, first: bool) -> Result<ApplyReport, ApplyError> {
        let settle_ms = self.settle_ms;
        let options = ApplyOptions { owner: owner.to_owned(), settle_ms, ..ApplyOptions::default() };
        let id: PlanId = "plan-1".into();
        if !first {
            resolve_in_doubt(&self.store, &self.psa, &self.clock, &self.org, &options).await?;
        }
        let stored = self.store.plans.lock().unwrap().iter().find(|p| p.id == id).cloned().unwrap();
        apply_plan(&self.store, &self.psa, &self.clock, &self.org, &stored, &options).await
    }

    fn entries(&self) -> Vec<Entry> {
        let stale = self.store.plans.lock().unwrap()[0].state == PlanState::Stale;
        let rows = self.store.rows.lock().unwrap();
        let plan = &self.prepared.scenario.plan;
        let entry = |change: usize| {
            let row = rows.iter().find(|r| r.change == plan.changes[change].id)?;
            // Of a plan that was refused as stale nothing more is sent: its open intents mean nothing.
            let over = stale && row.state == OperationState::Intent;
            let state = if over { OperationState::Skipped } else { row.state };
            Some(Entry { saved: true, state, addition: row.addition, ..Entry::default() })
        };
        self.prepared.layout.steps.iter().map(|s| entry(s.change).unwrap_or_default()).collect()
    }

    /// Every addition that was made or changed is linked and told of once.
    fn judge_records(&self) -> Result<(), String> {
        let links = self.store.links.lock().unwrap();
        let audit = self.store.audit.lock().unwrap();
        let steps = &self.prepared.layout.steps;
        let changes = steps.iter().map(|step| &*self.prepared.scenario.plan.changes[step.change]);
        let made: BTreeMap<AdditionId, &Change> = changes
            .zip(self.entries())
            .filter(|(change, _)| matches!(change.action, Action::Create { .. }))
            .filter_map(|(change, entry)| Some((entry.addition?, change)))
            .collect();
        for (entry, step) in self.entries().iter().zip(&self.prepared.layout.steps) {
            let change = &self.prepared.scenario.plan.changes[step.change];
            if entry.state != OperationState::Done {
                continue;
            }
            let id = entry.addition.ok_or_else(|| format!("{} is done without addition", change.id))?;
            let link = links.get(&id).ok_or_else(|| format!("addition {id} has no link"))?;
            if link.deleted != matches!(change.action, Action::Delete { .. }) {
                return Err(format!("the link of {id} is wrong: {link:?}"));
            }
            // A line keeps the key and the order that made it, also when the same plan changes it.
            if let Some(maker) = made.get(&id)
                && (link.key.as_ref(), &link.order) != (Some(&maker.key), &maker.order)
            {
                return Err(format!("the link of {id} forgot what made it: {link:?}"));
            }
            let action = format!("addition.{}", change.action.op());
            let told = audit
                .iter()
                .filter(|a| a.action == action && a.detail.contains(&format!("\"{}\"", change.id)))
                .count();
            if told != 1 {
                return Err(format!("{} is in the audit {told} times", change.id));
            }
        }
        Ok(())
    }
}

/// Polls a future so often; `None` when it is not ready by then.
fn poll_for<F: Future + ?Sized>(future: &mut Pin<Box<F>>, polls: usize) -> Option<F::Output> {
    let mut context = Context::from_waker(noop_waker_ref());
    for _ in 0..polls {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
    }
    None
}

fn schedule(seed: u64, settle_ms: i64, fenced: bool) -> Result<(), String> {
    let mut world = World::new(seed);
    world.settle_ms = settle_ms;
    world.store.fenced = fenced;
    let mut rng = world.rng.clone();
    world.remote.lock().unwrap().keyed = true;
    for round in 0..20 {
        let wild = round < 4;
        world.remote.lock().unwrap().faults = if wild { 300 } else { 0 };
        *world.store.full.lock().unwrap() = if wild { 20 } else { 0 };
        let polls = if wild && rng.chance(600) { rng.below(120) } else { 100_000 };
        if wild && rng.chance(150) {
            world.remote.lock().unwrap().human();
        }
        one_round(&world, &mut rng, round, polls)?;
        {
            let mut remote = world.remote.lock().unwrap();
            let pause = rng.millis(400_000);
            let to = remote.now + pause;
            remote.advance(to);
        }
        if !wild && world.entries().iter().all(|e| closed(e.state)) {
            break;
        }
    }
    world.rng = rng;
    let mut remote = world.remote.lock().unwrap();
    let to = remote.now + 2 * SERVER_LIMIT;
    remote.advance(to);
    if let Some(what) = remote.violation.take() {
        return Err(what);
    }
    let saved = !world.store.rows.lock().unwrap().is_empty();
    if saved {
        judge(&world.prepared, &remote, &world.entries())?;
    } else if !remote.created.is_empty() {
        return Err("written without a journal".to_owned());
    }
    world.judge_records()
}

fn one_round(world: &World, rng: &mut sim::Rng, round: usize, polls: usize) -> Result<(), String> {
    let owner = format!("worker-{round}");
    let mut first = Box::pin(world.run(&owner, round == 0));
    if !rng.chance(200) {
        let ended = poll_for(&mut first, polls);
        if std::env::var_os("TRUEUP_TRACE").is_some() {
            eprintln!("round {round}: {ended:?}");
        }
        return if ended.is_none() && polls == 100_000 {
            Err("the run does not end".to_owned())
        } else {
            Ok(())
        };
    }
    // A pause longer than the lease: another worker takes over, then both go on.
    let first_open = poll_for(&mut first, rng.below(80)).is_none();
    {
        let mut remote = world.remote.lock().unwrap();
        let to = remote.now + 200_000;
        remote.advance(to);
    }
    let mut second = Box::pin(world.run("other", round == 0));
    let mut open = [first_open, true];
    for _ in 0..polls.min(20_000) {
        let turn = rng.below(2);
        if turn == 0 && open[0] {
            open[0] = poll_for(&mut first, 1).is_none();
        } else if turn == 1 && open[1] {
            open[1] = poll_for(&mut second, 1).is_none();
        }
    }
    Ok(())
}

#[test]
fn the_driver_survives_thousands_of_schedules() {
    if let Some(seed) = sim::env_number("TRUEUP_SEED") {
        if let Err(what) = schedule(seed, 120_000, true) {
            panic!("seed {seed}: {what}");
        }
        return;
    }
    let wanted = sim::env_number("TRUEUP_DRIVER_SCHEDULES");
    let time = sim::env_number("TRUEUP_SCHEDULE_SECONDS").map(|all| Duration::from_secs(all / 5));
    let begun = Instant::now();
    let go_on = |seed| match (wanted, time) {
        (None, Some(time)) => begun.elapsed() < time,
        (wanted, _) => seed < wanted.unwrap_or(3_000),
    };
    let mut seed = 0;
    while go_on(seed) {
        if let Err(what) = schedule(seed, 120_000, true) {
            panic!("seed {seed}: {what} (TRUEUP_SEED={seed} runs it alone)");
        }
        seed += 1;
    }
    println!("{seed} schedules of the driver in {:.0?}", begun.elapsed());
}

#[test]
fn a_settle_time_shorter_than_the_servers_limit_is_caught() {
    assert!((0..1000).any(|seed| schedule(seed, 10_000, true).is_err()), "not noticed by 1000 schedules");
}

#[test]
fn a_store_without_fence_is_caught() {
    assert!((0..1000).any(|seed| schedule(seed, 120_000, false).is_err()), "not noticed by 1000 schedules");
}

#[test]
fn a_calm_run_reads_each_agreement_once_and_reports_every_change_as_applied() {
    for seed in 0..64 {
        let world = World::new(seed);
        let report = poll_for(&mut Box::pin(world.run("one", true)), 100_000).unwrap().unwrap();
        let steps = world.prepared.layout.steps.len();
        assert_eq!(report.summary.applied, steps, "seed {seed}");
        assert!(!report.needs_attention(), "seed {seed}");
        assert_eq!(
            report.summary.calls as usize,
            1 + world.prepared.layout.lanes.len() + steps,
            "seed {seed}"
        );
        assert_eq!(world.store.plans.lock().unwrap()[0].state, PlanState::Applied);
        // Applied again, it sends nothing.
        let again = poll_for(&mut Box::pin(world.run("one", true)), 100_000).unwrap().unwrap();
        assert_eq!((again.summary.calls, again.summary.applied), (0, steps), "seed {seed}");
    }
}

#[test]
fn reads_that_were_just_made_for_planning_are_not_made_again() {
    let world = World::new(5);
    let now = world.remote.lock().unwrap().now;
    let reads =
        world.prepared.scenario.additions.iter().map(|(id, list)| (*id, (now, list.clone()))).collect();
    let stored = world.store.plans.lock().unwrap()[0].clone();
    let options = ApplyOptions { fresh_reads: Some(&reads), ..ApplyOptions::default() };
    let run = apply_plan(&world.store, &world.psa, &world.clock, &world.org, &stored, &options);
    let report = poll_for(&mut Box::pin(run), 100_000).unwrap().unwrap();
    assert_eq!(report.summary.calls as usize, world.prepared.layout.steps.len());
    assert_eq!(report.summary.applied, world.prepared.layout.steps.len());
}

/// A read for planning is made before the lease is held: what another worker wrote in between is not in it.
#[test]
fn a_read_that_another_worker_overtook_is_made_again() {
    let world = World::new(5);
    let now = world.remote.lock().unwrap().now;
    let reads =
        world.prepared.scenario.additions.iter().map(|(id, list)| (*id, (now, list.clone()))).collect();
    let stored = world.store.plans.lock().unwrap()[0].clone();
    let change = &world.prepared.scenario.plan.changes[0];
    let link = AdditionLink {
        addition: AdditionId(999),
        agreement: change.agreement,
        source: change.source.clone(),
        subscription: change.subscription.clone(),
        product: change.product.clone(),
        role: change.role,
        order: change.order.clone(),
        key: Some(change.key.clone()),
        true_period: None,
        edits: Vec::new(),
        ends: Vec::new(),
        written: sim::plans::state(change.catalog_item.0, 5),
        next_invoice_at_write: None,
        prorated: Default::default(),
        deleted: false,
    };
    world.store.links.lock().unwrap().insert(link.addition, link.clone());
    world.remote.lock().unwrap().additions.get_mut(&link.agreement).unwrap().push(ObservedAddition {
        id: link.addition,
        agreement: link.agreement,
        state: link.written.clone(),
        less_included: Quantity::ZERO,
        marker: link.key.map(|key| key.0),
        last_updated: None,
    });
    let options = ApplyOptions { fresh_reads: Some(&reads), ..ApplyOptions::default() };
    let run = apply_plan(&world.store, &world.psa, &world.clock, &world.org, &stored, &options);
    let report = poll_for(&mut Box::pin(run), 100_000).unwrap().unwrap();
    assert!(report.stale, "{report:?}");
    assert!(world.remote.lock().unwrap().created.is_empty());
}

#[test]
fn a_plan_that_no_longer_fits_is_refused_and_nothing_is_written() {
    let world = World::new(5);
    world.remote.lock().unwrap().headers.values_mut().for_each(|a| a.next_invoice = None);
    let before = world.remote.lock().unwrap().additions.clone();
    let report = poll_for(&mut Box::pin(world.run("one", true)), 100_000).unwrap().unwrap();
    assert!(report.stale);
    assert!(report.findings.iter().any(|f| f.code.row().name == "TU7001"));
    assert_eq!(report.summary.skipped, world.prepared.layout.steps.len());
    assert_eq!(world.remote.lock().unwrap().additions, before);
    assert_eq!(world.store.plans.lock().unwrap()[0].state, PlanState::Stale);
    let again = poll_for(&mut Box::pin(world.run("one", true)), 100_000).unwrap().unwrap();
    assert_eq!((again.stale, again.summary.calls), (true, 0));
}

/// An invoice is made while a long run is on its way: it changes no addition, and the agreement is not written to.
#[test]
fn an_agreement_that_is_invoiced_during_a_run_is_not_written_to() {
    let seed = (0..64).find(|seed| World::new(*seed).prepared.layout.lanes.len() == 3).unwrap();
    let world = World::new(seed);
    let lanes = &world.prepared.layout.lanes;
    let remote = world.remote.clone();
    let pause = |step: usize, boundary: Boundary| {
        if boundary == Boundary::Commit && lanes[0].steps.last() == Some(&step) {
            let mut remote = remote.lock().unwrap();
            let to = remote.now + 61_000;
            remote.advance(to);
            remote.headers.get_mut(&lanes[1].agreement).unwrap().next_invoice = None;
        }
    };
    let before = world.remote.lock().unwrap().additions[&lanes[1].agreement].clone();
    let stored = world.store.plans.lock().unwrap()[0].clone();
    let options = ApplyOptions { in_flight: 1, boundary: Some(&pause), ..ApplyOptions::default() };
    let run = apply_plan(&world.store, &world.psa, &world.clock, &world.org, &stored, &options);
    let report = poll_for(&mut Box::pin(run), 100_000).unwrap().unwrap();
    let told: Vec<_> = report.findings.iter().map(|f| (f.code.row().name, f.subject.agreement)).collect();
    assert_eq!(told, [("TU7001", Some(lanes[1].agreement))]);
    assert_eq!(report.summary.skipped, lanes[1].steps.len(), "{report:?}");
    assert_eq!(report.summary.applied, lanes[0].steps.len() + lanes[2].steps.len());
    assert_eq!(world.remote.lock().unwrap().additions[&lanes[1].agreement], before);
    // One list of headers more for all that was left, and its additions of each that was left.
    let floor = 1 + lanes.len() + report.summary.applied;
    assert_eq!(report.summary.calls as usize, floor + 3);
}

#[test]
fn a_full_disk_stops_the_run_before_anything_is_sent() {
    let world = World::new(5);
    *world.store.full.lock().unwrap() = 1000;
    let error = poll_for(&mut Box::pin(world.run("one", true)), 100_000).unwrap().unwrap_err();
    assert_eq!(error.code().row().name, "TU9102");
    assert!(world.remote.lock().unwrap().created.is_empty());
}
