//! The headers of agreements: compared before the first write, and once more as a long run goes on. An invoice that is made
//! while a plan is carried out changes no addition; only the next invoice date tells of it.

use super::core::{Effect, Entry};
use super::machine::{Core, LaneState};
use super::stale::check_header;
use crate::records::{Millis, OperationError};
use std::collections::BTreeMap;
use trueup_domain::finding::Finding;
use trueup_domain::ids::AgreementId;
use trueup_domain::psa::Agreement;

/// Headers that are read once more in one list: as many as one address holds, and about what is written in a minute.
const HEADERS_AT_ONCE: usize = 200;

impl Core<'_> {
    pub(super) fn compare_headers(&mut self, fresh: &BTreeMap<AgreementId, Agreement>) {
        for (number, lane) in self.layout.lanes.iter().enumerate() {
            let open = self.lanes.get(number).is_some_and(|l| l.open && l.unread.is_none());
            if open && let Some(found) = self.moved(lane.agreement, fresh) {
                self.stale = true;
                self.findings.push(found);
            }
        }
    }

    fn moved(&self, agreement: AgreementId, fresh: &BTreeMap<AgreementId, Agreement>) -> Option<Finding> {
        let sight = self.plan.sights.get(&agreement)?;
        check_header(agreement, sight, self.plan.invoicers.get(&agreement), fresh)
    }

    /// Whether what was read of a lane's agreement, additions and header, is young enough for a write. What is not is asked
    /// for, the header together with those of the lanes that come next.
    pub(super) fn is_fresh(&mut self, now: Millis, lane: usize, out: &mut Vec<Effect>) -> bool {
        let age_limit = self.rules.max_read_age_ms;
        let young = |at: Option<Millis>| at.is_some_and(|at| now.saturating_sub(at) <= age_limit);
        let is_compared = self.is_compared(lane);
        let Some(state) = self.lanes.get_mut(lane) else { return false };
        let read = state.just_read || young(state.read_at);
        let header = !is_compared || state.header_just_read || young(state.header_at);
        if read && header {
            // What was read for a write stands for that one, however long the read took.
            state.just_read = false;
            state.header_just_read = false;
            return true;
        }
        if self.rules.quirks.skips_check {
            return true;
        }
        if !header {
            let lanes = self.due_headers(lane);
            for lane in &lanes {
                if let Some(state) = self.lanes.get_mut(*lane) {
                    state.header_open = true;
                }
            }
            self.reads_open += 1;
            out.push(Effect::ReadAgain(lanes));
        }
        if !read {
            self.look(lane, out);
        }
        false
    }

    fn is_compared(&self, lane: usize) -> bool {
        let agreement = self.layout.lanes.get(lane).map(|at| at.agreement);
        agreement.is_some_and(|agreement| self.plan.sights.contains_key(&agreement))
    }

    /// A lane, those that are being written, and those that wait, in their order.
    fn due_headers(&self, first: usize) -> Vec<usize> {
        let is_active = |state: &LaneState| state.in_flight || state.looking;
        let active =
            self.lanes.iter().enumerate().filter(|(_, state)| is_active(state)).map(|(lane, _)| lane);
        let waiting = self.ready.iter().copied();
        let is_due = |lane: &usize| {
            *lane != first
                && self.is_compared(*lane)
                && self.has_steps_left(*lane)
                && self.lanes.get(*lane).is_some_and(|state| {
                    state.open
                        && !state.header_open
                        && !state.stale
                        && !state.halted
                        && state.unread.is_none()
                })
        };
        let mut due = vec![first];
        due.extend(active.chain(waiting).filter(is_due).take(HEADERS_AT_ONCE - 1));
        due
    }

    fn has_steps_left(&self, lane: usize) -> bool {
        let steps = self.layout.lanes.get(lane).map(|at| at.steps.as_slice()).unwrap_or_default();
        steps.iter().any(|number| self.entries.get(*number).is_some_and(|entry| !Entry::over(entry)))
    }

    /// Compares the headers of these lanes once more. One that moved is not written to; where none came, the lane that was
    /// to be written next is left for this run, and the others ask for theirs when their turn comes.
    pub(super) fn headers_again(
        &mut self,
        lanes: &[usize],
        at: Millis,
        fresh: Result<&BTreeMap<AgreementId, Agreement>, OperationError>,
        out: &mut Vec<Effect>,
    ) {
        self.reads_open = self.reads_open.saturating_sub(1);
        let layout = self.layout;
        for (place, lane) in lanes.iter().copied().enumerate() {
            let Some(state) = self.lanes.get_mut(lane) else { continue };
            state.header_open = false;
            if fresh.is_ok() {
                state.header_at = Some(at);
                state.header_just_read = place == 0;
            }
            let is_read = state.unread.is_none() && !state.stale;
            if let (Ok(fresh), Some(of_lane)) = (&fresh, layout.lanes.get(lane).filter(|_| is_read))
                && let Some(found) = self.moved(of_lane.agreement, fresh)
            {
                self.findings.push(found);
                self.lane_stale(lane, out);
            }
        }
        if let (Err(error), Some(first)) = (fresh, lanes.first()) {
            self.leave_unread(*first, error);
        }
        // In the order in which they were to be written; each is queued once.
        for lane in lanes.iter().rev() {
            self.queue_first(*lane);
        }
    }
}
