//! The state machine itself: see [`super::core`] for what goes in and comes out.

use super::core::{Effect, Entry, Event, Rules, State};
use super::layout::{Layout, StepKind};
use super::look::Listed;
use crate::records::{Millis, OperationError};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use trueup_domain::finding::{Code, Finding, Subject};
use trueup_domain::ids::{AdditionId, AgreementId};
use trueup_domain::plan::{Change, DraftPlan};
use trueup_domain::psa::{AdditionState, ObservedAddition};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
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
    pub(super) before_begin: Option<Box<Entry>>,
    /// It was in doubt when the run began.
    pub(super) old: bool,
    /// It may be sent once more.
    pub(super) may_resend: bool,
    /// It was tried in this run and stays an intent.
    pub(super) tried: bool,
    /// How often its call was held back because it came too long after its begin.
    pub(super) withheld: u32,
    /// Its outcome came from a look-up.
    pub(super) looked_up: bool,
    /// It is to be saved once the intents are.
    pub(super) to_finish: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct LaneState {
    /// It has steps that are not over.
    pub(super) open: bool,
    pub(super) read_at: Option<Millis>,
    pub(super) looking: bool,
    /// When the last read began, whether it was of use or not.
    pub(super) looked_at: Option<Millis>,
    /// Read again during the run, for the write that comes next.
    pub(super) just_read: bool,
    /// When the read of its header began that was compared last.
    pub(super) header_at: Option<Millis>,
    /// Its header is being read once more.
    pub(super) header_open: bool,
    /// Its header was read once more for the write that comes next.
    pub(super) header_just_read: bool,
    /// What is there no longer fits the plan.
    pub(super) stale: bool,
    pub(super) halted: bool,
    /// Why its agreement could not be read: nothing is sent for it in this run.
    pub(super) unread: Option<OperationError>,
    pub(super) in_flight: bool,
    pub(super) queued: bool,
    pub(super) first_open: usize,
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
    /// Additions that are known to be on an agreement, from whatever plan.
    pub(super) known: BTreeMap<AgreementId, BTreeSet<AdditionId>>,
    /// Additions that a person named as the line of a change, by its place in the plan.
    pub(super) named: BTreeMap<usize, Vec<AdditionId>>,
    pub(super) findings: Vec<Finding>,
    pub(super) stage: Stage,
    pub(super) reads_open: usize,
    pub(super) headers_open: bool,
    pub(super) in_flight: usize,
    pub(super) saving: usize,
    pub(super) ready: VecDeque<usize>,
    pub(super) stale: bool,
    /// Why the run stopped sending.
    pub(super) halt: Option<OperationError>,
    pub(super) refusals_in_a_row: u32,
    /// A read that the check needs failed: nothing may be written.
    pub(super) unread: Option<OperationError>,
}

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
            known: BTreeMap::new(),
            named: BTreeMap::new(),
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

    /// The same run, told which additions are known to be on each agreement: one that comes back without any is not
    /// believed then.
    #[must_use]
    pub fn knowing(mut self, known: BTreeMap<AgreementId, BTreeSet<AdditionId>>) -> Self {
        self.known = known;
        self
    }

    /// The same run, told which additions a person named as the line of a change, by its place in the plan.
    #[must_use]
    pub fn naming(mut self, named: BTreeMap<usize, Vec<AdditionId>>) -> Self {
        self.named = named;
        self
    }

    /// The same run, without anything more being sent for some agreements: what the plan wants of them is not wanted any
    /// more. What was sent is looked up all the same, and an agreement where all was carried out is done.
    #[must_use]
    pub fn leaving(mut self, agreements: &BTreeSet<AgreementId>) -> Self {
        for (lane, state) in self.layout.lanes.iter().zip(&mut self.lanes) {
            let is_open =
                lane.steps.iter().any(|number| self.entries.get(*number).is_some_and(|entry| !entry.over()));
            if is_open && agreements.contains(&lane.agreement) {
                state.stale = true;
                let subject = Subject { agreement: Some(lane.agreement), ..Subject::default() };
                let message = format!(
                    "What is to be billed on agreement {}, or what is set for it, is another since the plan was begun. Nothing \
                     more of it is written there; the next run plans anew.",
                    lane.agreement
                );
                self.findings.push(Finding::new(Code::Tu7001, subject, message));
            }
        }
        self
    }

    /// Takes an event in and adds what is to be done.
    pub fn step(&mut self, now: Millis, event: Event<'_>, out: &mut Vec<Effect>) {
        match event {
            Event::Started => self.start(now, out),
            Event::Headers(fresh) => {
                self.headers_open = false;
                if let Some(fresh) = fresh {
                    self.compare_headers(fresh);
                }
            }
            Event::HeadersAgain { lanes, at, fresh } => self.headers_again(lanes, at, fresh, out),
            Event::HeaderUnread(lane, error) => self.leave_unread(lane, error),
            Event::Looked { lane, at, additions } => self.looked(lane, at, additions, out),
            Event::LookFailed(lane, error) => self.look_failed(lane, error),
            Event::Gone { lane, at } => self.gone(lane, at, out),
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
            Event::Taken(number, error) => self.taken(number, error, out),
            Event::Halt(error) => self.halt = Some(error),
            Event::Woke => {}
        }
        self.go_on(now, out);
    }

    pub(super) fn slot(&mut self, number: usize) -> Option<&mut Slot> {
        self.slots.get_mut(number)
    }

    pub(super) fn change(&self, number: usize) -> Option<&'p Change> {
        self.plan.changes.get(self.layout.steps.get(number)?.change).map(AsRef::as_ref)
    }

    pub(super) fn start(&mut self, now: Millis, out: &mut Vec<Effect>) {
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
        for lane in &open {
            if let Some(state) = self.lanes.get_mut(*lane) {
                state.open = true;
            }
        }
        let seen = |lane: &usize| {
            self.layout.lanes.get(*lane).is_some_and(|l| self.plan.sights.contains_key(&l.agreement))
        };
        self.headers_open = open.iter().any(seen) && !self.rules.quirks.skips_check;
        if self.headers_open {
            out.push(Effect::ReadHeaders);
            for state in self.lanes.iter_mut().filter(|state| state.open) {
                state.header_at = Some(now);
            }
        }
        // Of a plan that was begun nothing can be refused as a whole any more: each agreement is read when its turn comes,
        // but those at once that an operation in doubt may have written to.
        let begun = self.entries.iter().any(|entry| entry.attempts > 0 && entry.state != State::Intent);
        for lane in open {
            if !begun || self.is_in_doubt(lane) {
                self.look(lane, out);
            }
        }
    }

    fn is_in_doubt(&self, lane: usize) -> bool {
        let steps = self.layout.lanes.get(lane).map(|l| l.steps.as_slice()).unwrap_or_default();
        steps.iter().any(|number| self.entries.get(*number).is_some_and(Entry::unresolved))
    }

    pub(super) fn look(&mut self, lane: usize, out: &mut Vec<Effect>) {
        if let Some(state) = self.lanes.get_mut(lane)
            && !state.looking
        {
            state.looking = true;
            self.reads_open += 1;
            out.push(Effect::Look(lane));
        }
    }

    pub(super) fn looked(
        &mut self,
        lane: usize,
        at: Millis,
        additions: &[ObservedAddition],
        out: &mut Vec<Effect>,
    ) {
        let Some(state) = self.lanes.get_mut(lane) else { return };
        if std::mem::take(&mut state.looking) {
            self.reads_open = self.reads_open.saturating_sub(1);
        }
        state.looked_at = Some(at);
        state.read_at = Some(at);
        // Where a read for planning stands for the first one, the headers are no younger than it.
        if self.stage == Stage::Checking {
            state.header_at = state.header_at.map(|header| header.min(at));
        }
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
        match self.stage {
            // What was read for the write that comes next is written next, before the read grows old.
            Stage::Running => self.queue_first(lane),
            Stage::Checking | Stage::Saving | Stage::Over => self.queue(lane),
        }
    }

    /// After every event: move to the next stage, begin what is ready, or end.
    pub(super) fn go_on(&mut self, now: Millis, out: &mut Vec<Effect>) {
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

    pub(super) fn enter_running(&mut self, out: &mut Vec<Effect>) {
        for lane in 0..self.lanes.len() {
            self.queue(lane);
        }
        for lane in 0..self.lanes.len() {
            if self.lanes.get(lane).is_some_and(|state| state.stale) {
                self.lane_stale(lane, out);
            }
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

    pub(super) fn lane_stale(&mut self, lane: usize, out: &mut Vec<Effect>) {
        if let Some(state) = self.lanes.get_mut(lane) {
            state.stale = true;
        }
        let steps = self.layout.lanes.get(lane).map(|l| l.steps.as_slice()).unwrap_or_default();
        for number in steps {
            self.close_stale(*number, out);
        }
    }

    pub(super) fn close_stale(&mut self, number: usize, out: &mut Vec<Effect>) {
        let (Some(entry), Some(slot)) = (self.entries.get_mut(number), self.slots.get_mut(number)) else {
            return;
        };
        let certainly_not_done = std::mem::take(&mut slot.may_resend);
        if slot.busy {
            return;
        }
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
