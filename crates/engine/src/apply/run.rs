//! One run of a plan under its leases: the core's effects go out, what happened comes back in.

use super::core::{Core, Effect, Event, State};
use super::effects::{self, BeginError, Happened, Held, LaneError, Ports, failure};
use super::layout::Layout;
use super::record::Recorder;
use super::{ApplyError, ApplyOptions, ApplyReport, Progress};
use crate::ports::{PsaError, StoreError};
use crate::records::{Millis, OperationError, OperationRow, PlanState, StoredPlan};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use trueup_domain::finding::Code;
use trueup_domain::ids::AgreementId;
use trueup_domain::plan::DraftPlan;

/// Reads under way at once; the sender paces them.
const READS_AT_ONCE: usize = 16;

/// One run under way.
pub(super) struct Run<'a, 'p> {
    pub(super) ports: Ports<'p>,
    pub(super) stored: &'p StoredPlan,
    pub(super) plan: &'p DraftPlan,
    pub(super) layout: &'p Layout,
    pub(super) options: &'a ApplyOptions<'a>,
    pub(super) recorder: Recorder<'a>,
    pub(super) core: Core<'p>,
    pub(super) leases: &'a mut BTreeMap<usize, Held>,
    pub(super) keys: Vec<String>,
    pub(super) used_reads: BTreeSet<usize>,
    /// Agreements that another worker wrote to after they were read for planning.
    pub(super) overtaken: BTreeSet<AgreementId>,
    pub(super) looks: VecDeque<usize>,
    pub(super) looking: usize,
    pub(super) store_error: Option<StoreError>,
}

type Pending<'p> = FuturesUnordered<BoxFuture<'p, Happened>>;

impl<'a, 'p> Run<'a, 'p> {
    pub(super) async fn go(&mut self) -> Result<(), ApplyError> {
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
                let invoicers = self.plan.invoicers.values().map(|by| by.agreement).collect();
                pending.push(effects::read_headers(self.ports, companies, invoicers));
            }
            Effect::ReadAgain(lanes) => {
                let of_lanes =
                    || lanes.iter().filter_map(|lane| self.layout.lanes.get(*lane)).map(|at| at.agreement);
                let invoicers =
                    of_lanes().filter_map(|id| self.plan.invoicers.get(&id)).map(|by| by.agreement);
                let ids = of_lanes().chain(invoicers).collect();
                pending.push(effects::read_again(self.ports, lanes, ids));
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
                    let sent_at = self.core.entries().get(number).and_then(|e| e.sent_at).unwrap_or(now);
                    // The journal's instant, the time until the call really leaves, and the server's own limit
                    // (half the settle time at most) must all be over before a look-up may count.
                    let window =
                        (self.options.settle_ms / 3).max(1_000).min(self.options.lease_ttl_ms.max(1_000) / 2);
                    pending.push(effects::call(self.ports, &self.core, number, change, sent_at, window));
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
        (now.saturating_sub(read.0) <= self.options.max_read_age_ms
            && !self.used_reads.contains(&lane)
            && !self.overtaken.contains(&agreement))
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
            Happened::Headers(read) => {
                let (headers, unread) = read?;
                self.tell_unread(now, 0..self.layout.lanes.len(), &unread, out);
                self.core.step(now, Event::Headers(Some(&headers)), out);
            }
            Happened::HeadersAgain(lanes, at, Ok((headers, unread))) => {
                self.tell_unread(now, lanes.iter().copied(), &unread, out);
                self.core.step(now, Event::HeadersAgain { lanes: &lanes, at, fresh: Ok(&headers) }, out);
            }
            Happened::HeadersAgain(lanes, at, Err(error)) => {
                let fresh = Err(effects::of_psa(error));
                self.core.step(now, Event::HeadersAgain { lanes: &lanes, at, fresh }, out);
            }
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
            Happened::Gone(lane, at, held) => {
                self.looking = self.looking.saturating_sub(1);
                self.leases.insert(lane, held);
                self.core.step(now, Event::Gone { lane, at }, out);
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
                self.core.step(now, Event::Begun(step), out);
            }
            Happened::Begun(step, Err(error)) => self.not_begun(now, step, error, out),
            Happened::Answered(step, answer) => self.core.step(now, Event::Answered(step, answer), out),
            Happened::Finished(step, Ok(())) => {
                self.core.step(now, Event::Finished(step), out);
                self.tell(None);
            }
            Happened::Finished(step, Err(StoreError::Conflict(what))) if self.only_looked_up(step) => {
                let message = format!("another plan wrote this line ({what}); nothing was sent for it");
                self.core.step(now, Event::Taken(step, failure(Code::Tu7006, message)), out);
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

    /// Tells of the lanes whose agreement, or the one that invoices it, is not understood.
    fn tell_unread(
        &mut self,
        now: Millis,
        lanes: impl Iterator<Item = usize>,
        unread: &BTreeMap<AgreementId, PsaError>,
        out: &mut Vec<Effect>,
    ) {
        for lane in lanes {
            let Some(at) = self.layout.lanes.get(lane) else { continue };
            let invoicer = self.plan.invoicers.get(&at.agreement).map(|by| by.agreement);
            let of_it = unread.get(&at.agreement).or_else(|| unread.get(&invoicer?));
            if let Some(error) = of_it.cloned() {
                self.core.step(now, Event::HeaderUnread(lane, effects::of_psa(error)), out);
            }
        }
    }

    /// Whether a step is done because its line was found there, not because its own call was answered. Its call may have
    /// been refused before, as by a limit: the row is an intent again then, and the key free for another plan.
    fn only_looked_up(&self, step: usize) -> bool {
        self.core.looked_up(step) && self.core.entries().get(step).is_some_and(|e| e.state == State::Done)
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
    pub(super) async fn close(self) -> Result<ApplyReport, ApplyError> {
        let Ports { store, clock, org, .. } = self.ports;
        if let Some(error) = self.store_error {
            return Err(ApplyError::Store(error));
        }
        if let Some(error) = self.core.unread_error() {
            return Err(ApplyError::Unread(error.clone()));
        }
        if !self.core.is_stale() {
            let (links, audit) = self.recorder.takeovers(&self.core, clock.now());
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
