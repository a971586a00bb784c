//! The state machine itself: see [`super::core`] for what goes in and comes out.

use super::core::{Answer, Effect, Entry, Event, Rules, State};
use super::layout::{Layout, StepKind};
use super::look::{self, Listed};
use crate::ports::PsaError;
use crate::records::{Millis, OperationError};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use trueup_domain::finding::{Code, Finding, Subject};
use trueup_domain::ids::{AdditionId, AgreementId};
use trueup_domain::plan::{Change, DraftPlan};
use trueup_domain::psa::{AdditionState, Agreement, ObservedAddition};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Checking,
    Saving,
    Running,
    Over,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Slot {
    /// Something is under way for it: a begin, a call or a finish.
    pub(super) busy: bool,
    /// What ConnectWise gave back.
    pub(super) returned: Option<AdditionState>,
    /// The journal's entry before the begin that is under way.
    before_begin: Option<Box<Entry>>,
    /// It was in doubt when the run began.
    pub(super) old: bool,
    /// It may be sent once more.
    pub(super) may_resend: bool,
    /// It was tried in this run and stays an intent.
    pub(super) tried: bool,
    /// Its outcome came from a look-up.
    pub(super) looked_up: bool,
    /// It is to be saved once the intents are.
    pub(super) to_finish: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct LaneState {
    pub(super) read_at: Option<Millis>,
    pub(super) looking: bool,
    /// When the last read began, whether it was of use or not.
    looked_at: Option<Millis>,
    /// Read again during the run, for the write that comes next.
    just_read: bool,
    /// What is there no longer fits the plan.
    pub(super) stale: bool,
    pub(super) halted: bool,
    in_flight: bool,
    queued: bool,
    first_open: usize,
}

/// The run of one plan.
pub struct Core<'p> {
    pub(super) plan: &'p DraftPlan,
    pub(super) layout: &'p Layout,
    pub(super) rules: Rules,
    pub(super) entries: Vec<Entry>,
    pub(super) slots: Vec<Slot>,
    pub(super) lanes: Vec<LaneState>,
    pub(super) written: &'p BTreeMap<AdditionId, AdditionState>,
    pub(super) findings: Vec<Finding>,
    stage: Stage,
    reads_open: usize,
    headers_open: bool,
    in_flight: usize,
    saving: usize,
    ready: VecDeque<usize>,
    pub(super) stale: bool,
    /// Why the run stopped sending.
    pub(super) halt: Option<OperationError>,
    refusals_in_a_row: u32,
    /// A read that the check needs failed: nothing may be written.
    pub(super) unread: Option<OperationError>,
}

/// Refusals of the connection itself, one after the other, after which the rest is not tried.
const GIVE_UP_AFTER: u32 = 3;

impl<'p> Core<'p> {
    /// A run over a plan, with what the journal holds of it and what was last written to its additions.
    pub fn new(
        plan: &'p DraftPlan,
        layout: &'p Layout,
        rules: Rules,
        mut entries: Vec<Entry>,
        written: &'p BTreeMap<AdditionId, AdditionState>,
    ) -> Self {
        entries.resize_with(layout.steps.len(), Entry::default);
        let mut slots = vec![Slot::default(); entries.len()];
        for (entry, slot) in entries.iter_mut().zip(&mut slots) {
            if rules.quirks.forgets_sends && entry.state == State::Sending {
                entry.state = State::Intent;
            }
            slot.old = entry.unresolved();
        }
        Self {
            plan,
            layout,
            rules,
            entries,
            slots,
            lanes: vec![LaneState::default(); layout.lanes.len()],
            written,
            findings: Vec::new(),
            stage: Stage::Checking,
            reads_open: 0,
            headers_open: false,
            in_flight: 0,
            saving: 0,
            ready: VecDeque::new(),
            stale: false,
            halt: None,
            refusals_in_a_row: 0,
            unread: None,
        }
    }

    /// Takes an event in and adds what is to be done.
    pub fn step(&mut self, now: Millis, event: Event<'_>, out: &mut Vec<Effect>) {
        match event {
            Event::Started => self.start(out),
            Event::Headers(fresh) => {
                self.headers_open = false;
                if let Some(fresh) = fresh {
                    self.compare_headers(fresh);
                }
            }
            Event::Looked { lane, at, additions } => self.looked(lane, at, additions, out),
            Event::LookFailed(lane, error) => self.look_failed(lane, error),
            Event::IntentsSaved => {
                self.entries.iter_mut().for_each(|e| e.saved = true);
                self.stage = Stage::Running;
                for number in 0..self.slots.len() {
                    if self.slot(number).is_some_and(|s| std::mem::take(&mut s.to_finish)) {
                        self.finish(number, out);
                    }
                }
            }
            Event::Begun(number) => {
                if let Some(slot) = self.slot(number) {
                    slot.before_begin = None;
                }
                out.push(Effect::Call(number));
            }
            Event::NotBegun { step, error, lane_lost } => self.not_begun(step, error, lane_lost),
            Event::Answered(number, answer) => self.answered(now, number, answer, out),
            Event::Finished(number) => self.finished(number),
            Event::NotFinished(number, error) => self.not_finished(number, error),
            Event::Halt(error) => self.halt = Some(error),
            Event::Woke => {}
        }
        self.go_on(now, out);
    }

    fn slot(&mut self, number: usize) -> Option<&mut Slot> {
        self.slots.get_mut(number)
    }

    pub(super) fn change(&self, number: usize) -> Option<&'p Change> {
        self.plan.changes.get(self.layout.steps.get(number)?.change)
    }

    fn start(&mut self, out: &mut Vec<Effect>) {
        let open: BTreeSet<usize> = self
            .layout
            .steps
            .iter()
            .zip(&self.entries)
            .filter(|(_, entry)| !entry.over())
            .map(|(step, _)| step.lane)
            .collect();
        if open.is_empty() {
            self.stage = Stage::Over;
            out.push(Effect::Done);
            return;
        }
        let seen = |lane: &usize| {
            self.layout.lanes.get(*lane).is_some_and(|l| self.plan.sights.contains_key(&l.agreement))
        };
        self.headers_open = open.iter().any(seen) && !self.rules.quirks.skips_check;
        if self.headers_open {
            out.push(Effect::ReadHeaders);
        }
        for lane in open {
            self.look(lane, out);
        }
    }

    fn look(&mut self, lane: usize, out: &mut Vec<Effect>) {
        if let Some(state) = self.lanes.get_mut(lane)
            && !state.looking
        {
            state.looking = true;
            self.reads_open += 1;
            out.push(Effect::Look(lane));
        }
    }

    fn compare_headers(&mut self, fresh: &BTreeMap<AgreementId, Agreement>) {
        for (number, lane) in self.layout.lanes.iter().enumerate() {
            let read = self.lanes.get(number).is_some_and(|l| l.looking || l.read_at.is_some());
            if let Some(sight) = self.plan.sights.get(&lane.agreement).filter(|_| read)
                && let Some(found) =
                    super::stale::check_header(lane.agreement, sight, fresh.get(&lane.agreement))
            {
                self.stale = true;
                self.findings.push(found);
            }
        }
    }

    fn looked(&mut self, lane: usize, at: Millis, additions: &[ObservedAddition], out: &mut Vec<Effect>) {
        let Some(state) = self.lanes.get_mut(lane) else { return };
        if std::mem::take(&mut state.looking) {
            self.reads_open = self.reads_open.saturating_sub(1);
        }
        state.looked_at = Some(at);
        state.read_at = Some(at);
        state.just_read = self.stage == Stage::Running;
        let list = Listed::new(additions);
        self.look_up(lane, at, &list, out);
        if !self.rules.quirks.skips_check && !self.stale {
            let check = super::stale::LaneCheck {
                plan: self.plan,
                layout: self.layout,
                lane,
                entries: &self.entries,
                written: &|id| self.written_state(id),
            };
            if let Some(found) = check.run(&list) {
                self.findings.push(found);
                if self.stage == Stage::Checking { self.stale = true } else { self.lane_stale(lane, out) }
            }
        }
        self.queue(lane);
    }

    fn look_failed(&mut self, lane: usize, error: OperationError) {
        if let Some(state) = self.lanes.get_mut(lane) {
            state.looking = false;
            state.halted = true;
        }
        self.reads_open = self.reads_open.saturating_sub(1);
        if self.stage == Stage::Checking {
            self.unread = Some(error);
        }
    }

    /// After every event: move to the next stage, begin what is ready, or end.
    fn go_on(&mut self, now: Millis, out: &mut Vec<Effect>) {
        if self.stage == Stage::Checking && self.reads_open == 0 && !self.headers_open {
            if self.unread.is_some() {
                self.stage = Stage::Over;
                out.push(Effect::Done);
                return;
            }
            self.enter_running(out);
        }
        if self.stage != Stage::Running {
            return;
        }
        self.begin_ready(now, out);
        if self.in_flight > 0 || self.saving > 0 || self.reads_open > 0 || !self.ready.is_empty() {
            return;
        }
        self.rest(now, out);
    }

    fn enter_running(&mut self, out: &mut Vec<Effect>) {
        for lane in 0..self.lanes.len() {
            self.queue(lane);
        }
        if self.stale {
            // Nothing more is sent. Steps without a row leave no trace; the others are closed.
            self.stage = Stage::Running;
            for number in 0..self.entries.len() {
                self.close_stale(number, out);
            }
        } else if self.entries.iter().any(|e| !e.saved) {
            self.stage = Stage::Saving;
            out.push(Effect::SaveIntents);
        } else {
            self.stage = Stage::Running;
        }
    }

    fn lane_stale(&mut self, lane: usize, out: &mut Vec<Effect>) {
        if let Some(state) = self.lanes.get_mut(lane) {
            state.stale = true;
        }
        let steps = self.layout.lanes.get(lane).map(|l| l.steps.as_slice()).unwrap_or_default();
        for number in steps {
            self.close_stale(*number, out);
        }
    }

    fn close_stale(&mut self, number: usize, out: &mut Vec<Effect>) {
        let (Some(entry), Some(slot)) = (self.entries.get_mut(number), self.slots.get_mut(number)) else {
            return;
        };
        if slot.busy {
            return;
        }
        let certainly_not_done = std::mem::take(&mut slot.may_resend);
        // Found, but nowhere written down: the next plan sees it as it is.
        if std::mem::take(&mut slot.to_finish) && !entry.saved {
            entry.state = State::Intent;
            entry.addition = None;
        }
        if entry.unresolved() && certainly_not_done {
            entry.state = State::Refused;
        } else if entry.state == State::Intent {
            entry.state = State::Skipped;
        } else {
            return;
        }
        entry.error = Some(error(Code::Tu7001, "the plan no longer fits what ConnectWise holds; plan again"));
        if entry.saved {
            self.finish(number, out);
        }
    }

    pub(super) fn queue(&mut self, lane: usize) {
        if let Some(state) = self.lanes.get_mut(lane)
            && !state.queued
        {
            state.queued = true;
            self.ready.push_back(lane);
        }
    }

    fn begin_ready(&mut self, now: Millis, out: &mut Vec<Effect>) {
        while self.in_flight < self.rules.in_flight.max(1) {
            let Some(lane) = self.ready.pop_front() else { break };
            if let Some(state) = self.lanes.get_mut(lane) {
                state.queued = false;
            }
            let Some(number) = self.next_of(lane, out) else { continue };
            let age_limit = self.rules.max_read_age_ms;
            let fresh = self.lanes.get_mut(lane).is_some_and(|l| {
                std::mem::take(&mut l.just_read)
                    || l.read_at.is_some_and(|at| now.saturating_sub(at) <= age_limit)
            });
            if !fresh && !self.rules.quirks.skips_check {
                self.look(lane, out);
                continue;
            }
            self.begin(now, lane, number);
            out.push(Effect::Begin(number));
        }
    }

    fn begin(&mut self, now: Millis, lane: usize, number: usize) {
        let (Some(entry), Some(slot)) = (self.entries.get_mut(number), self.slots.get_mut(number)) else {
            return;
        };
        slot.before_begin = Some(Box::new(entry.clone()));
        slot.busy = true;
        slot.may_resend = false;
        entry.state = State::Sending;
        entry.attempts += 1;
        entry.sent_at = Some(now);
        entry.absent_at = None;
        entry.error = None;
        self.in_flight += 1;
        if let Some(state) = self.lanes.get_mut(lane) {
            state.in_flight = true;
        }
    }

    /// The next step of a lane that may be sent; steps that can never be sent any more are closed on the way.
    fn next_of(&mut self, lane: usize, out: &mut Vec<Effect>) -> Option<usize> {
        let layout = self.layout;
        let state = self.lanes.get(lane)?;
        if state.in_flight || state.looking || state.halted || self.halt.is_some() {
            return None;
        }
        let steps = layout.lanes.get(lane)?.steps.as_slice();
        let mut first_open = state.first_open;
        while steps.get(first_open).and_then(|n| self.entries.get(*n)).is_some_and(Entry::over) {
            first_open += 1;
        }
        self.lanes.get_mut(lane)?.first_open = first_open;
        for number in steps.iter().skip(first_open).copied() {
            let (entry, slot) = (self.entries.get(number)?, self.slots.get(number)?);
            if entry.over() || slot.busy || slot.tried {
                continue;
            }
            if entry.unresolved() {
                if slot.may_resend {
                    return Some(number);
                }
                continue;
            }
            let step = layout.steps.get(number)?;
            let state_of = |n: &usize| self.entries.get(*n).map(|e| e.state);
            let lost = step
                .needs
                .iter()
                .any(|n| matches!(state_of(n), None | Some(State::Refused | State::Skipped)));
            if lost || step.target == super::layout::StepTarget::Unknown {
                self.skip(number, out);
                continue;
            }
            let saved = |n: &usize| self.slots.get(*n).is_some_and(|s| !s.busy);
            if step.needs.iter().all(|n| state_of(n) == Some(State::Done) && saved(n)) {
                return Some(number);
            }
        }
        None
    }

    fn skip(&mut self, number: usize, out: &mut Vec<Effect>) {
        if let Some(entry) = self.entries.get_mut(number) {
            entry.state = State::Skipped;
            entry.error = Some(error(Code::Tu7006, "a change that it builds on was not carried out"));
            self.finish(number, out);
        }
        self.wake_dependents(number);
    }

    fn wake_dependents(&mut self, number: usize) {
        let layout = self.layout;
        let Some(step) = layout.steps.get(number) else { return };
        for later in &step.needed_by {
            if let Some(lane) = layout.steps.get(*later).map(|s| s.lane) {
                self.queue(lane);
            }
        }
        self.queue(step.lane);
    }

    pub(super) fn finish(&mut self, number: usize, out: &mut Vec<Effect>) {
        let Some(slot) = self.slots.get_mut(number) else { return };
        if self.entries.get(number).is_some_and(|e| e.saved) {
            slot.busy = true;
            self.saving += 1;
            out.push(Effect::Finish(number));
        } else {
            slot.to_finish = true;
        }
    }

    fn not_begun(&mut self, number: usize, error: OperationError, lane_lost: bool) {
        let lane = self.layout.steps.get(number).map(|s| s.lane);
        if let (Some(entry), Some(slot)) = (self.entries.get_mut(number), self.slots.get_mut(number)) {
            if let Some(before) = slot.before_begin.take() {
                *entry = *before;
            }
            entry.error = Some(Box::new(error));
            slot.busy = false;
            slot.tried = true;
        }
        self.landed(lane);
        if let Some(lane) = lane {
            if let Some(state) = self.lanes.get_mut(lane) {
                state.halted |= lane_lost;
            }
            self.queue(lane);
        }
    }

    /// The call of a lane is over, or never began.
    fn landed(&mut self, lane: Option<usize>) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(state) = lane.and_then(|l| self.lanes.get_mut(l)) {
            state.in_flight = false;
        }
    }

    fn answered(&mut self, now: Millis, number: usize, answer: Answer, out: &mut Vec<Effect>) {
        let lane = self.layout.steps.get(number).map(|s| s.lane);
        self.landed(lane);
        let blind = self.rules.quirks.blind_retry;
        let change = self.change(number);
        let (Some(entry), Some(slot), Some(change)) =
            (self.entries.get_mut(number), self.slots.get_mut(number), change)
        else {
            return;
        };
        entry.calls += u32::from(!matches!(answer, Answer::Withheld));
        match answer {
            Answer::Done(record) => {
                self.refusals_in_a_row = 0;
                self.settle_done(number, record.as_deref(), false);
            }
            Answer::Refused(why) if of_the_connection(why.code) => {
                // Nothing is wrong with the change itself: it stays intended, for the next run.
                entry.state = State::Intent;
                entry.error = Some(Box::new(told(why)));
                slot.tried = true;
                self.refusals_in_a_row += 1;
                if self.refusals_in_a_row >= GIVE_UP_AFTER {
                    self.halt = entry.error.as_deref().cloned();
                }
            }
            Answer::Refused(why) => {
                self.refusals_in_a_row = 0;
                entry.state = State::Refused;
                let mut found = Finding::new(why.code, subject(change, entry.addition), why.message.clone());
                found.their_words.clone_from(&why.their_words);
                self.findings.push(found);
                entry.error = Some(Box::new(told(why)));
            }
            Answer::InDoubt(why) => {
                entry.state = State::InDoubt;
                // The other side may have begun as late as now, so the settle time counts from here.
                entry.sent_at = Some(now.max(entry.sent_at.unwrap_or(now)));
                entry.error = Some(Box::new(OperationError {
                    code: Code::Tu7003.to_string(),
                    message: why.message,
                    their_words: why.their_words,
                }));
                slot.old = false;
                slot.may_resend = blind && entry.attempts < 4;
            }
            Answer::Withheld => {
                entry.state = State::Intent;
                entry.attempts = entry.attempts.saturating_sub(1);
                slot.tried = true;
            }
        }
        self.finish(number, out);
    }

    /// Marks a step as carried out, and says where what came back is not what was sent.
    pub(super) fn settle_done(&mut self, number: usize, record: Option<&ObservedAddition>, looked_up: bool) {
        let Some(change) = self.change(number) else { return };
        let target = self.target_of(number);
        let (Some(entry), Some(slot)) = (self.entries.get_mut(number), self.slots.get_mut(number)) else {
            return;
        };
        entry.state = State::Done;
        entry.error = None;
        entry.addition = record.map(|r| r.id).or(target);
        slot.looked_up = looked_up;
        // What a look-up shows may be a person's work already; only the call's own answer is surely ours.
        let ours = |r: &&ObservedAddition| {
            !looked_up || change.action.after().is_some_and(|wanted| look::holds(&r.state, wanted))
        };
        slot.returned = record.filter(ours).map(|r| r.state.clone());
        if let (Some(record), Some(wanted)) = (record, change.action.after())
            && !look::holds(&record.state, wanted)
        {
            let fields: Vec<String> =
                trueup_domain::plan::differing_fields(wanted, &record.state, change.currency)
                    .into_iter()
                    .map(|f| {
                        format!(
                            "{:?} {} -> {}",
                            f.field,
                            or_nothing(f.from.as_ref()),
                            or_nothing(f.to.as_ref())
                        )
                    })
                    .collect();
            self.findings.push(Finding::new(
                Code::Tu7005,
                subject(change, Some(record.id)),
                format!("ConnectWise keeps addition {} in another form: {}", record.id, fields.join(", ")),
            ));
        }
    }

    pub(super) fn target_of(&self, number: usize) -> Option<AdditionId> {
        let step = self.layout.steps.get(number)?;
        look::resolve(step.target, |n| self.entries.get(n).and_then(|e| e.addition))
            .or_else(|| self.entries.get(number).and_then(|e| e.addition))
    }

    fn finished(&mut self, number: usize) {
        self.saving = self.saving.saturating_sub(1);
        if let Some(slot) = self.slots.get_mut(number) {
            slot.busy = false;
        }
        self.wake_dependents(number);
    }

    fn not_finished(&mut self, number: usize, error: OperationError) {
        self.finished(number);
        if let Some(entry) = self.entries.get_mut(number) {
            // The journal still says `Sending` where a call was out, so the next run looks it up.
            if entry.attempts > 0 && entry.state != State::Skipped {
                entry.state = State::InDoubt;
            }
            entry.error = Some(Box::new(error));
        }
        if let Some(step) = self.layout.steps.get(number)
            && let Some(state) = self.lanes.get_mut(step.lane)
        {
            state.halted = true;
        }
    }

    /// Nothing is under way: look up what is due, wait where that is wanted, or end.
    fn rest(&mut self, now: Millis, out: &mut Vec<Effect>) {
        let mut next: Option<Millis> = None;
        let mut due: BTreeSet<usize> = BTreeSet::new();
        for number in 0..self.entries.len() {
            let Some((lane, at)) = self.look_due(number) else { continue };
            if at <= now {
                due.insert(lane);
            } else if self.rules.wait && self.slots.get(number).is_some_and(|s| s.old) {
                next = Some(next.map_or(at, |n| n.min(at)));
            }
        }
        for lane in &due {
            self.look(*lane, out);
        }
        if !due.is_empty() {
            return;
        }
        match next {
            Some(at) => out.push(Effect::Wait(at)),
            None => {
                self.stage = Stage::Over;
                out.push(Effect::Done);
            }
        }
    }

    fn look_due(&self, number: usize) -> Option<(usize, Millis)> {
        let step = self.layout.steps.get(number)?;
        let entry = self.entries.get(number)?;
        let lane = self.lanes.get(step.lane)?;
        let slot = self.slots.get(number)?;
        if !entry.unresolved() || slot.busy || slot.may_resend || lane.halted || self.halt.is_some() {
            return None;
        }
        let from = entry.absent_at.or(entry.sent_at).unwrap_or(0);
        let at = from.saturating_add(self.rules.settle_ms);
        // What a look-up already left as it is would only be asked the same again.
        let asked = lane.looked_at.is_some_and(|looked| looked >= at);
        (!asked && !slot.tried).then_some((step.lane, at))
    }

    /// The journal's entries, by step.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What ConnectWise gave back for a step.
    pub fn returned(&self, number: usize) -> Option<&AdditionState> {
        self.slots.get(number)?.returned.as_ref()
    }

    /// Whether the outcome of a step came from a look-up rather than from its own answer.
    pub fn looked_up(&self, number: usize) -> bool {
        self.slots.get(number).is_some_and(|s| s.looked_up)
    }

    /// The addition that a step works on or made.
    pub fn addition_of(&self, number: usize) -> Option<AdditionId> {
        self.target_of(number)
    }

    /// Whether the plan was refused as out of date.
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    /// Whether the run is over.
    pub fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// The failure that kept the check from being made, or stopped the run.
    pub fn trouble(&self) -> Option<&OperationError> {
        self.unread.as_ref().or(self.halt.as_ref())
    }

    /// The findings so far.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// What kind of step it is.
    pub fn kind_of(&self, number: usize) -> Option<StepKind> {
        self.layout.steps.get(number).map(|s| s.kind)
    }
}

fn or_nothing(text: Option<&String>) -> &str {
    text.map_or("nothing", String::as_str)
}

fn told(why: PsaError) -> OperationError {
    OperationError { code: why.code.to_string(), message: why.message, their_words: why.their_words }
}

/// Whether a refusal is about the connection and not about the change.
fn of_the_connection(code: Code) -> bool {
    matches!(code, Code::Tu1001 | Code::Tu1002 | Code::Tu1003 | Code::Tu1005 | Code::Tu1006)
}

pub(super) fn error(code: Code, message: &str) -> Box<OperationError> {
    Box::new(OperationError { code: code.to_string(), message: message.to_owned(), their_words: None })
}

pub(super) fn subject(change: &Change, addition: Option<AdditionId>) -> Subject {
    Subject {
        task: Some(change.task.clone()),
        source: Some(change.source.clone()),
        customer: Some(change.customer.clone()),
        subscription: Some(change.subscription.clone()),
        product: Some(change.product.clone()),
        agreement: Some(change.agreement),
        addition,
        detail: Some(change.id.to_string()),
    }
}
