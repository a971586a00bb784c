//! Runs the core: leases, journal, calls and outcomes, several agreements at a time.

use super::core::{Core, Effect, Entry, Event, Quirks, Rules, State};
use super::effects::{self, BeginError, Happened, Held, LaneError, Ports, failure};
use super::layout::Layout;
use super::record::Recorder;
use super::{ApplyError, ApplyOptions, ApplyReport, Progress};
use crate::ports::{Clock, Psa, Store, StoreError};
use crate::records::{Millis, OperationError, OperationRow, PlanBody, PlanState, StoredPlan};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use trueup_domain::finding::{Code, Finding, Subject};
use trueup_domain::ids::{AdditionId, OrganizationId, PlanId};
use trueup_domain::plan::{AdditionLink, DraftPlan};
use trueup_domain::psa::AdditionState;

/// Reads under way at once; the sender paces them.
const READS_AT_ONCE: usize = 16;

/// Carries a stored plan out, or goes on with one that was begun.
///
/// # Errors
/// [`ApplyError`]: in every case nothing was sent that the journal does not know of.
pub async fn apply_plan(
    store: &dyn Store,
    psa: &dyn Psa,
    clock: &dyn Clock,
    org: &OrganizationId,
    stored: &StoredPlan,
    options: &ApplyOptions<'_>,
) -> Result<ApplyReport, ApplyError> {
    let PlanBody::Checked(checked) = &stored.body else { return Err(ApplyError::NotChecked) };
    let ports = Ports { store, psa, clock, org };
    let plan = checked.plan();
    let layout = Layout::of(plan);
    let calls_before = psa.calls();
    let first = entries_of(&layout, plan, &store.list_operations(org, &stored.id).await?);
    if matches!(stored.state, PlanState::Stale | PlanState::Refused) && first.iter().all(|e| !e.unresolved())
    {
        return Ok(refused_before(stored, plan, &layout, first));
    }
    let mut leases = BTreeMap::new();
    let taken = take_lanes(ports, &layout, &first, options, &mut leases).await;
    let result = match taken {
        Ok(()) => run_leased(ports, stored, plan, &layout, &mut leases, options).await,
        Err(error) => Err(error),
    };
    for held in leases.values() {
        // A lease that cannot be given back runs out by itself.
        let _ = store.release_lease(org, &held.lease).await;
    }
    let mut report = result?;
    report.summary.calls = psa.calls().saturating_sub(calls_before);
    Ok(report)
}

/// Goes on with every plan that has operations in doubt: looks them up, sends again what certainly was not carried
/// out, and then the changes that waited for them. With `options.wait` it waits for the settle time to be over;
/// without, it does what can be done now.
///
/// # Errors
/// [`ApplyError`] of the first plan that could not be gone on with; the others are still done.
pub async fn resolve_in_doubt(
    store: &dyn Store,
    psa: &dyn Psa,
    clock: &dyn Clock,
    org: &OrganizationId,
    options: &ApplyOptions<'_>,
) -> Result<Vec<(PlanId, ApplyReport)>, ApplyError> {
    let mut reports: BTreeMap<PlanId, ApplyReport> = BTreeMap::new();
    let mut failed = None;
    // First without waiting, so that the waits of several plans run side by side.
    let passes: &[bool] = if options.wait { &[false, true] } else { &[false] };
    for wait in passes {
        let unresolved = store.list_unresolved_operations(org).await?;
        let due = |row: &OperationRow| {
            let from = row.absent_at.or(row.sent_at).unwrap_or(0);
            from.saturating_add(options.settle_ms) <= clock.now()
        };
        let plans: BTreeSet<PlanId> =
            unresolved.iter().filter(|row| *wait || due(row)).map(|row| row.plan.clone()).collect();
        for id in plans {
            let Some(stored) = store.find_plan(org, &id).await? else { continue };
            if options.connection.as_ref().is_some_and(|name| *name != stored.connection) {
                continue;
            }
            let options = ApplyOptions { wait: *wait, fresh_reads: None, ..options.clone() };
            match apply_plan(store, psa, clock, org, &stored, &options).await {
                Ok(report) => {
                    let calls = reports.get(&id).map_or(0, |r| r.summary.calls);
                    let at = reports.entry(id).or_insert(report.clone());
                    *at = report;
                    at.summary.calls += calls;
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
    }
    match failed {
        Some(error) => Err(error),
        None => Ok(reports.into_iter().collect()),
    }
}

fn entries_of(layout: &Layout, plan: &DraftPlan, rows: &[OperationRow]) -> Vec<Entry> {
    let by_change: BTreeMap<_, _> = rows.iter().map(|row| (&row.change, row)).collect();
    let entry = |index: usize| {
        let row = plan.changes.get(index).and_then(|c| by_change.get(&c.id))?;
        Some(Entry {
            saved: true,
            state: row.state,
            addition: row.addition,
            attempts: row.attempts,
            sent_at: row.sent_at,
            absent_at: row.absent_at,
            calls: row.calls,
            error: row.error.clone().map(Box::new),
        })
    };
    layout.steps.iter().map(|step| entry(step.change).unwrap_or_default()).collect()
}

/// A plan that was refused stays refused: planning again is the way on.
fn refused_before(
    stored: &StoredPlan,
    plan: &DraftPlan,
    layout: &Layout,
    entries: Vec<Entry>,
) -> ApplyReport {
    let why = "it no longer fitted what ConnectWise held when it was to be applied; plan again";
    let subject = Subject { detail: Some(stored.id.to_string()), ..Subject::default() };
    let finding = Finding::new(Code::Tu7001, subject, format!("The plan was refused before: {why}."));
    let mut entries = entries;
    for entry in entries.iter_mut().filter(|e| e.state == State::Intent) {
        entry.state = State::Skipped;
        entry.error = Some(Box::new(failure(Code::Tu7001, why)));
    }
    let written = BTreeMap::new();
    let core = Core::new(plan, layout, Rules::default(), entries, &written);
    let mut report = core.report();
    report.findings.push(finding);
    report.stale = true;
    report
}

/// Claims the lane of every agreement with open steps, all or none.
async fn take_lanes(
    ports: Ports<'_>,
    layout: &Layout,
    entries: &[Entry],
    options: &ApplyOptions<'_>,
    leases: &mut BTreeMap<usize, Held>,
) -> Result<(), ApplyError> {
    let ttl_ms = options.lease_ttl_ms.max(1_000);
    // Always in the order of the agreements, so that two runs cannot each hold what the other waits for.
    let mut lanes: Vec<_> = layout.lanes.iter().enumerate().collect();
    lanes.sort_by_key(|(_, lane)| lane.agreement);
    for (number, lane) in lanes {
        let open = lane.steps.iter().filter_map(|n| entries.get(*n)).any(|e| !e.over());
        if !open {
            continue;
        }
        let name = format!("agreement/{}", lane.agreement);
        let patience = ports.clock.now().saturating_add(ttl_ms);
        loop {
            let now = ports.clock.now();
            let claimed = ports.store.acquire_lease(ports.org, &name, &options.owner, now, ttl_ms).await?;
            if let Some(lease) = claimed {
                leases.insert(number, Held { lease, until: now.saturating_add(ttl_ms), ttl_ms });
                break;
            }
            // The holder may be a process that died: its lease runs out within this time.
            if now > patience || !options.wait {
                return Err(ApplyError::Busy(lane.agreement));
            }
            ports.clock.sleep_until(now.saturating_add((ttl_ms / 8).max(250))).await;
        }
    }
    Ok(())
}

async fn run_leased(
    ports: Ports<'_>,
    stored: &StoredPlan,
    plan: &DraftPlan,
    layout: &Layout,
    leases: &mut BTreeMap<usize, Held>,
    options: &ApplyOptions<'_>,
) -> Result<ApplyReport, ApplyError> {
    // Read under the leases: before them another worker could still have moved it.
    let rows = ports.store.list_operations(ports.org, &stored.id).await?;
    let links: BTreeMap<AdditionId, AdditionLink> =
        ports.store.list_links(ports.org).await?.into_iter().map(|l| (l.addition, l)).collect();
    let written: BTreeMap<AdditionId, AdditionState> =
        links.iter().filter(|(_, l)| !l.deleted).map(|(id, l)| (*id, l.written.clone())).collect();
    let rules = Rules {
        settle_ms: options.settle_ms,
        in_flight: options.in_flight.max(1),
        wait: options.wait,
        keyed: options.keyed,
        max_read_age_ms: options.max_read_age_ms,
        quirks: Quirks::default(),
        ..Rules::default()
    };
    let keys: BTreeMap<_, _> = rows.iter().map(|row| (&row.change, row.key.clone())).collect();
    let keys = layout
        .steps
        .iter()
        .map(|step| {
            plan.changes
                .get(step.change)
                .map(|c| keys.get(&c.id).cloned().unwrap_or_else(|| c.key.0.clone()))
                .unwrap_or_default()
        })
        .collect();
    let core = Core::new(plan, layout, rules, entries_of(layout, plan, &rows), &written);
    let recorder = Recorder { plan, plan_id: &stored.id, actor: &options.actor, links: &links };
    let mut run = Run {
        ports,
        stored,
        plan,
        layout,
        options,
        recorder,
        core,
        leases,
        keys,
        begun_at: BTreeMap::new(),
        used_reads: BTreeSet::new(),
        looks: VecDeque::new(),
        looking: 0,
        store_error: None,
    };
    run.go().await?;
    run.close().await
}

/// One run under way.
struct Run<'a, 'p> {
    ports: Ports<'p>,
    stored: &'p StoredPlan,
    plan: &'p DraftPlan,
    layout: &'p Layout,
    options: &'a ApplyOptions<'a>,
    recorder: Recorder<'a>,
    core: Core<'p>,
    leases: &'a mut BTreeMap<usize, Held>,
    keys: Vec<String>,
    begun_at: BTreeMap<usize, Millis>,
    used_reads: BTreeSet<usize>,
    looks: VecDeque<usize>,
    looking: usize,
    store_error: Option<StoreError>,
}

type Pending<'p> = FuturesUnordered<BoxFuture<'p, Happened>>;

impl<'a, 'p> Run<'a, 'p> {
    async fn go(&mut self) -> Result<(), ApplyError> {
        let mut pending: Pending<'p> = FuturesUnordered::new();
        let mut effects = Vec::new();
        self.core.step(self.ports.clock.now(), Event::Started, &mut effects);
        loop {
            while !effects.is_empty() {
                for effect in std::mem::take(&mut effects) {
                    self.execute(effect, &pending, &mut effects);
                }
            }
            while self.looking < READS_AT_ONCE
                && let Some(lane) = self.looks.pop_front()
            {
                self.send_look(lane, &pending);
            }
            let Some(happened) = pending.next().await else { break };
            self.take_in(happened, &mut effects).await?;
        }
        Ok(())
    }

    fn execute(&mut self, effect: Effect, pending: &Pending<'p>, out: &mut Vec<Effect>) {
        let now = self.ports.clock.now();
        match effect {
            Effect::ReadHeaders if self.all_read(now) => {
                self.core.step(now, Event::Headers(None), out);
            }
            Effect::ReadHeaders => {
                let companies = self.plan.changes.iter().filter(|c| c.writes()).map(|c| c.company).collect();
                pending.push(effects::read_headers(self.ports, companies));
            }
            Effect::Look(lane) => match self.fresh_read(lane, now) {
                Some((at, additions)) => {
                    self.used_reads.insert(lane);
                    self.core.step(now, Event::Looked { lane, at: *at, additions }, out);
                }
                None => self.looks.push_back(lane),
            },
            Effect::SaveIntents => {
                let rows = self.intents(now);
                let ports = self.ports;
                pending.push(Box::pin(async move {
                    Happened::IntentsSaved(ports.store.save_intents(ports.org, &rows).await)
                }));
            }
            Effect::Begin(number) => {
                if let Some((held, row)) = self.row_to_begin(number, now)
                    && let Some(kind) = self.core.kind_of(number)
                {
                    pending.push(effects::begin(self.ports, number, held, row, kind));
                }
            }
            Effect::Call(number) => {
                if let Some(change) = self.core.change(number) {
                    let begun = self.begun_at.get(&number).copied().unwrap_or(now);
                    let window =
                        (self.options.settle_ms / 2).max(1_000).min(self.options.lease_ttl_ms.max(1_000) / 2);
                    pending.push(effects::call(self.ports, &self.core, number, change, begun, window));
                }
            }
            Effect::Finish(number) => self.push_finish(number, now, pending),
            Effect::Wait(until) => {
                self.tell(Some(until));
                let clock = self.ports.clock;
                pending.push(Box::pin(async move {
                    clock.sleep_until(until).await;
                    Happened::Woke
                }));
            }
            Effect::Done => {}
        }
    }

    fn lane_of(&self, number: usize) -> Option<usize> {
        self.layout.steps.get(number).map(|s| s.lane)
    }

    fn fresh_read(
        &self,
        lane: usize,
        now: Millis,
    ) -> Option<&'a (Millis, Vec<trueup_domain::psa::ObservedAddition>)> {
        let agreement = self.layout.lanes.get(lane)?.agreement;
        let read = self.options.fresh_reads?.get(&agreement)?;
        (now.saturating_sub(read.0) <= self.options.max_read_age_ms && !self.used_reads.contains(&lane))
            .then_some(read)
    }

    fn all_read(&self, now: Millis) -> bool {
        self.leases.keys().all(|lane| self.fresh_read(*lane, now).is_some() || self.used_reads.contains(lane))
    }

    fn send_look(&mut self, lane: usize, pending: &Pending<'p>) {
        if let (Some(held), Some(at)) = (self.leases.get(&lane), self.layout.lanes.get(lane)) {
            self.looking += 1;
            pending.push(effects::look(self.ports, lane, at.agreement, held.clone()));
        }
    }

    fn intents(&self, now: Millis) -> Vec<OperationRow> {
        let rows = self.core.entries().iter().enumerate().filter(|(_, entry)| !entry.saved);
        rows.filter_map(|(number, entry)| {
            let change = self.core.change(number)?;
            let mut row = self.recorder.row(change, entry, self.keys.get(number)?, now);
            // What a look-up found already is saved as an outcome, with its link, right after.
            row.state = State::Intent;
            Some(row)
        })
        .collect()
    }

    fn row_to_begin(&self, number: usize, now: Millis) -> Option<(Held, OperationRow)> {
        let held = self.leases.get(&self.lane_of(number)?)?.clone();
        let entry = self.core.entries().get(number)?;
        let row = self.recorder.row(self.core.change(number)?, entry, self.keys.get(number)?, now);
        Some((held, row))
    }

    fn push_finish(&mut self, number: usize, now: Millis, pending: &Pending<'p>) {
        let held = self.lane_of(number).and_then(|lane| self.leases.get(&lane));
        let key = self.keys.get(number);
        if let (Some(held), Some(change), Some(key)) = (held, self.core.change(number), key)
            && let Some(mut outcome) = self.recorder.outcome(&self.core, number, change, key, now)
        {
            outcome.operation.fencing = held.lease.fencing;
            pending.push(effects::finish(self.ports, number, held.lease.clone(), outcome));
        }
    }

    async fn take_in(&mut self, happened: Happened, out: &mut Vec<Effect>) -> Result<(), ApplyError> {
        let now = self.ports.clock.now();
        match happened {
            Happened::Headers(read) => self.core.step(now, Event::Headers(Some(&read?)), out),
            Happened::Looked(lane, at, read, held) => {
                self.looking = self.looking.saturating_sub(1);
                if let Some(held) = held {
                    self.leases.insert(lane, held);
                }
                match read {
                    Ok(additions) => {
                        self.core.step(now, Event::Looked { lane, at, additions: &additions }, out);
                    }
                    Err(error) => self.core.step(now, Event::LookFailed(lane, error), out),
                }
            }
            Happened::IntentsSaved(saved) => {
                saved?;
                self.ports.store.set_plan_state(self.ports.org, &self.stored.id, PlanState::Applying).await?;
                self.core.step(now, Event::IntentsSaved, out);
            }
            Happened::Begun(step, Ok((held, key))) => {
                if let Some(lane) = self.lane_of(step) {
                    self.leases.insert(lane, held);
                }
                if let Some(own) = self.keys.get_mut(step) {
                    *own = key;
                }
                self.begun_at.insert(step, now);
                self.core.step(now, Event::Begun(step), out);
            }
            Happened::Begun(step, Err(error)) => self.not_begun(now, step, error, out),
            Happened::Answered(step, answer) => self.core.step(now, Event::Answered(step, answer), out),
            Happened::Finished(step, Ok(())) => {
                self.core.step(now, Event::Finished(step), out);
                self.tell(None);
            }
            Happened::Finished(step, Err(error)) => {
                let told = failure(error.code(), error.to_string());
                self.core.step(now, Event::NotFinished(step, told.clone()), out);
                self.stop_on(now, error, told, out);
            }
            Happened::Woke => self.core.step(now, Event::Woke, out),
        }
        Ok(())
    }

    fn not_begun(&mut self, now: Millis, step: usize, error: BeginError, out: &mut Vec<Effect>) {
        let agreement = self.core.change(step).map(|c| c.agreement);
        let (told, lane_lost, store) = match error {
            BeginError::Lane(LaneError::Lost) => {
                let told =
                    agreement.map_or_else(|| failure(Code::Tu7006, "the lane was lost"), effects::lost);
                (told, true, None)
            }
            BeginError::Lane(LaneError::Store(error)) => {
                (failure(error.code(), error.to_string()), true, Some(error))
            }
            BeginError::InUse(what) => {
                let message = format!("the journal holds {what} that is done or in doubt; nothing was sent");
                (failure(Code::Tu7006, message), false, None)
            }
        };
        self.core.step(now, Event::NotBegun { step, error: told.clone(), lane_lost }, out);
        if let Some(error) = store {
            self.stop_on(now, error, told, out);
        }
    }

    /// The store fails: no more calls, since none may go out without the journal.
    fn stop_on(&mut self, now: Millis, error: StoreError, told: OperationError, out: &mut Vec<Effect>) {
        if error != StoreError::Fenced {
            self.store_error.get_or_insert(error);
            self.core.step(now, Event::Halt(told), out);
        }
    }

    fn tell(&self, waits_until: Option<Millis>) {
        if let Some(progress) = self.options.progress {
            let finished = self.core.entries().iter().filter(|e| e.over()).count();
            progress(Progress { finished, total: self.core.entries().len(), waits_until });
        }
    }

    /// Adoptions, the plan's state and the report.
    async fn close(self) -> Result<ApplyReport, ApplyError> {
        let Ports { store, clock, org, .. } = self.ports;
        if let Some(error) = self.store_error {
            return Err(ApplyError::Store(error));
        }
        if let Some(error) = self.core.unread_error() {
            return Err(ApplyError::Unread(error.clone()));
        }
        if !self.core.is_stale() {
            let now = clock.now();
            let adopted = self.plan.adoptions.iter().filter_map(|a| self.recorder.adoption(a, now));
            let (links, audit): (Vec<_>, Vec<_>) = adopted.unzip();
            if !links.is_empty() {
                // The audit first: a crash in between leaves an entry too many, never one too few.
                store.append_audit(org, &audit).await?;
                store.save_links(org, &links).await?;
            }
        }
        let report = self.core.report();
        let state = if report.summary.applied == report.changes.len() && !report.stale {
            PlanState::Applied
        } else if report.stale && report.summary.applied + report.summary.in_doubt == 0 {
            PlanState::Stale
        } else {
            PlanState::Partial
        };
        if state != self.stored.state {
            store.set_plan_state(org, &self.stored.id, state).await?;
        }
        Ok(report)
    }
}
