//! Agreements that cannot be read, and those that are gone: what a run concludes from that.

use super::core::{Core, Effect, Entry};
use super::machine::{Stage, subject};
use crate::records::{Millis, OperationError};
use std::collections::BTreeSet;
use trueup_domain::finding::{Code, Finding};

impl Core<'_> {
    /// A list could not be read. Of a plan that the journal does not hold yet nothing is written then; of one that was
    /// begun the others go on, since nothing can be refused as a whole any more.
    pub(super) fn look_failed(&mut self, lane: usize, error: OperationError) {
        self.read_ended(lane);
        self.leave_unread(lane, error);
    }

    /// Nothing more is sent to a lane's agreement in this run.
    pub(super) fn leave_unread(&mut self, lane: usize, error: OperationError) {
        if self.lanes.get(lane).is_none_or(|state| !state.open || state.unread.is_some()) {
            return;
        }
        if self.stage == Stage::Checking && !self.was_begun() {
            self.unread = Some(error);
            return;
        }
        if let Some(state) = self.lanes.get_mut(lane) {
            state.halted = true;
            state.unread = Some(error.clone());
        }
        // Another worker at the same agreement is no trouble of anybody's.
        if error.code != Code::Tu7006.row().name {
            self.tell_tasks(lane, &error);
        }
    }

    /// An agreement is gone, and what was sent to it with it. Nothing can be sent there again; what may still be on its
    /// way is waited for first, as with every other conclusion.
    pub(super) fn gone(&mut self, lane: usize, at: Millis, out: &mut Vec<Effect>) {
        self.read_ended(lane);
        let layout = self.layout;
        let Some(of_lane) = layout.lanes.get(lane) else { return };
        if let Some(state) = self.lanes.get_mut(lane) {
            state.looked_at = Some(at);
        }
        for number in &of_lane.steps {
            let Some(entry) = self.entries.get(*number) else { continue };
            let over = at >= entry.sent_at.unwrap_or(0).saturating_add(self.rules.settle_ms);
            if entry.unresolved()
                && over
                && let Some(slot) = self.slot(*number)
            {
                slot.may_resend = true;
            }
        }
        let found = super::stale::is_gone(of_lane.agreement);
        if !self.findings.contains(&found) {
            self.findings.push(found);
        }
        if self.stage == Stage::Checking && !self.was_begun() {
            self.stale = true;
        } else {
            self.lane_stale(lane, out);
        }
    }

    fn read_ended(&mut self, lane: usize) {
        if let Some(state) = self.lanes.get_mut(lane)
            && std::mem::take(&mut state.looking)
        {
            self.reads_open = self.reads_open.saturating_sub(1);
        }
    }

    /// Whether an earlier run wrote the plan's intents into the journal.
    fn was_begun(&self) -> bool {
        self.entries.iter().any(|entry| entry.saved)
    }

    /// Tells each task that has something left to do in a lane why nothing is done.
    fn tell_tasks(&mut self, lane: usize, error: &OperationError) {
        let steps = self.layout.lanes.get(lane).map(|l| l.steps.as_slice()).unwrap_or_default();
        let open = steps.iter().filter(|n| self.entries.get(**n).is_some_and(|entry| !Entry::over(entry)));
        let code = Code::from_name(&error.code).unwrap_or(Code::Tu1007);
        let mut told = BTreeSet::new();
        let mut found = Vec::new();
        for change in open.filter_map(|number| self.change(*number)) {
            if told.insert(&change.task) {
                let mut subject = subject(change, None);
                subject.detail = None;
                let message = format!(
                    "{}. Nothing was sent to agreement {}; the next run tries again.",
                    error.message.trim_end_matches('.'),
                    change.agreement
                );
                let mut finding = Finding::new(code, subject, message);
                finding.their_words.clone_from(&error.their_words);
                found.push(finding);
            }
        }
        self.findings.extend(found);
    }
}
