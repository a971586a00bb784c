//! Which step is sent next, and what is done when nothing is left to send.

use super::core::{Effect, Entry, State};
use super::machine::{Core, Stage, error};
use crate::records::{Millis, OperationError};
use std::collections::BTreeSet;
use trueup_domain::finding::Code;

impl Core<'_> {
    pub(super) fn queue(&mut self, lane: usize) {
        if let Some(state) = self.lanes.get_mut(lane)
            && !state.queued
        {
            state.queued = true;
            self.ready.push_back(lane);
        }
    }

    /// As [`Self::queue`], before all others.
    pub(super) fn queue_first(&mut self, lane: usize) {
        if let Some(state) = self.lanes.get_mut(lane)
            && !state.queued
        {
            state.queued = true;
            self.ready.push_front(lane);
        }
    }

    pub(super) fn begin_ready(&mut self, now: Millis, out: &mut Vec<Effect>) {
        // A read for a write holds a place as well: it is made when its write can follow.
        while self.in_flight.saturating_add(self.reads_open) < self.rules.in_flight.max(1) {
            // What comes next waits for its header, not others before it: one list serves all of them.
            let waits = |lane: &usize| self.lanes.get(*lane).is_some_and(|state| state.header_open);
            if self.ready.front().is_some_and(waits) {
                break;
            }
            let Some(lane) = self.ready.pop_front() else { break };
            if let Some(state) = self.lanes.get_mut(lane) {
                state.queued = false;
            }
            let Some(number) = self.next_of(lane, out) else { continue };
            if !self.is_fresh(now, lane, out) {
                continue;
            }
            self.begin(now, lane, number);
            out.push(Effect::Begin(number));
        }
    }

    pub(super) fn begin(&mut self, now: Millis, lane: usize, number: usize) {
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
    pub(super) fn next_of(&mut self, lane: usize, out: &mut Vec<Effect>) -> Option<usize> {
        let layout = self.layout;
        let state = self.lanes.get(lane)?;
        if state.in_flight || state.looking || state.header_open || state.halted || self.halt.is_some() {
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

    pub(super) fn skip(&mut self, number: usize, out: &mut Vec<Effect>) {
        if let Some(entry) = self.entries.get_mut(number) {
            entry.state = State::Skipped;
            entry.error = Some(error(Code::Tu7006, "a change that it builds on was not carried out"));
            self.finish(number, out);
        }
        self.wake_dependents(number);
    }

    pub(super) fn wake_dependents(&mut self, number: usize) {
        let layout = self.layout;
        let Some(step) = layout.steps.get(number) else { return };
        for later in &step.needed_by {
            if let Some(lane) = layout.steps.get(*later).map(|s| s.lane).filter(|lane| *lane != step.lane) {
                self.queue(lane);
            }
        }
        // An agreement is written to its end before the next one, so that one read serves all its steps.
        self.queue_first(step.lane);
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

    pub(super) fn not_begun(&mut self, number: usize, error: OperationError, lane_lost: bool) {
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
    pub(super) fn landed(&mut self, lane: Option<usize>) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(state) = lane.and_then(|l| self.lanes.get_mut(l)) {
            state.in_flight = false;
        }
    }

    /// Nothing is under way: look up what is due, wait where that is wanted, or end.
    pub(super) fn rest(&mut self, now: Millis, out: &mut Vec<Effect>) {
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

    pub(super) fn look_due(&self, number: usize) -> Option<(usize, Millis)> {
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
}
