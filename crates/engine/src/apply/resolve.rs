//! Operations in doubt: what a fresh list settles, and what it does not.

use super::core::{Core, Effect, State};
use super::layout::StepKind;
use super::look::{Known, Listed, Verdict, holds, judge, natural_match};
use super::machine::{error, subject};
use crate::records::Millis;
use trueup_domain::finding::{Code, Finding};
use trueup_domain::ids::AdditionId;
use trueup_domain::plan::Change;
use trueup_domain::planner::AdoptionAnswer;
use trueup_domain::psa::{AdditionState, ObservedAddition};

/// After so long an empty list is believed even where additions were known: somebody may have removed them all.
const BELIEVE_EMPTY_AFTER_MS: Millis = 24 * 3_600_000;

/// What a verdict leads to.
enum Next {
    /// It is there.
    Adopt(Option<ObservedAddition>),
    /// Not there yet, or not there any more: wait for the settle time.
    Wait,
    /// First certain absence: remember when.
    Remember,
    /// It may be sent again.
    Resend,
    /// It was certainly not carried out, and is not sent again.
    Close(Code, String),
    /// Only a person can say.
    Ask(Code, String),
    /// Only a person can say which of these it is, or that it is none.
    Which(Vec<AdditionId>),
}

impl Core<'_> {
    /// Holds the operations of a lane against a fresh list: those in doubt, and creates that are intended but whose
    /// key is there already, as after a journal that was restored from a backup.
    pub(super) fn look_up(&mut self, lane: usize, at: Millis, list: &Listed<'_>, out: &mut Vec<Effect>) {
        let layout = self.layout;
        let steps = layout.lanes.get(lane).map(|l| l.steps.as_slice()).unwrap_or_default();
        let plausible = self.plausible(lane, list);
        for number in steps.iter().copied() {
            let Some(entry) = self.entries.get(number) else { continue };
            match entry.state {
                State::Intent if self.rules.keyed => self.adopt_intended(number, list, out),
                State::Sending | State::InDoubt if self.slots.get(number).is_some_and(|s| !s.busy) => {
                    self.settle(number, at, list, plausible, out);
                }
                State::Intent
                | State::Sending
                | State::InDoubt
                | State::Done
                | State::Refused
                | State::Skipped => {}
            }
        }
    }

    fn adopt_intended(&mut self, number: usize, list: &Listed<'_>, out: &mut Vec<Effect>) {
        let Some(change) = self.change(number) else { return };
        if self.kind_of(number) != Some(StepKind::Create) {
            return;
        }
        let found = list.find_key(&change.key.0);
        let fits = found.filter(|f| change.action.after().is_some_and(|wanted| holds(&f.state, wanted)));
        if let Some(found) = fits {
            self.settle_done(number, Some(found), true);
            self.finish(number, out);
        }
    }

    fn settle(
        &mut self,
        number: usize,
        at: Millis,
        list: &Listed<'_>,
        plausible: bool,
        out: &mut Vec<Effect>,
    ) {
        let (Some(change), Some(kind)) = (self.change(number), self.kind_of(number)) else { return };
        let target = self.target_of(number).filter(|_| kind != StepKind::Create);
        let last = target.and_then(|id| self.written_state(id));
        let twins = if self.rules.keyed { 1 } else { self.twins(number) };
        let known =
            Known { keyed: self.rules.keyed, twins, taken: &|id| self.accounted_for(id), written: last };
        let verdict = judge(kind, change, target, list, &known);
        let next = match &verdict {
            Verdict::Ambiguous(candidates) if self.is_answered(number, at, candidates, list) => Next::Close(
                Code::Tu7001,
                "a person said what becomes of the addition that is there: it is planned anew".to_owned(),
            ),
            _ => self.next_after(number, at, &verdict, plausible), // open set: every other verdict
        };
        let (Some(entry), Some(slot)) = (self.entries.get_mut(number), self.slots.get_mut(number)) else {
            return;
        };
        // What an earlier list allowed, a newer one has to allow again.
        slot.may_resend = false;
        entry.calls += 1;
        match next {
            Next::Adopt(record) => self.settle_done(number, record.as_ref(), true),
            Next::Wait => return,
            Next::Remember => {
                entry.state = State::InDoubt;
                entry.absent_at = Some(at);
            }
            Next::Resend => {
                slot.may_resend = true;
                return;
            }
            Next::Close(code, message) => {
                entry.state = State::Refused;
                entry.error = Some(error(code, &message));
                self.findings.push(Finding::new(code, subject(change, target), message));
            }
            Next::Ask(code, message) => {
                entry.state = State::InDoubt;
                entry.error = Some(error(code, &message));
                self.findings.push(Finding::new(code, subject(change, target), message));
            }
            Next::Which(candidates) => {
                let asked = which(change, &candidates);
                entry.state = State::InDoubt;
                entry.error = Some(error(asked.code, &asked.message));
                self.findings.push(asked);
            }
        }
        self.finish(number, out);
    }

    /// Whether a person has answered the question which of these additions was made by the call. Nothing is sent on an answer: the
    /// operation is closed, and the order planned anew with what is there. That none is ours is believed only where keys
    /// are kept on the agreement.
    fn is_answered(&self, number: usize, at: Millis, candidates: &[AdditionId], list: &Listed<'_>) -> bool {
        let (Some(entry), Some(change)) = (self.entries.get(number), self.change(number)) else {
            return false;
        };
        let asked = which(change, candidates).message;
        let was_asked = entry.error.as_ref().is_some_and(|error| error.message == asked);
        let over = at >= entry.sent_at.unwrap_or(0).saturating_add(self.rules.settle_ms);
        let place = self.layout.steps.get(number).map(|step| step.change);
        let named = place.and_then(|place| self.named.get(&place)).map(Vec::as_slice).unwrap_or_default();
        let keeps_keys = || self.rules.keyed && list.all().iter().any(|there| there.marker.is_some());
        let answered = named.iter().any(|id| candidates.contains(id))
            || match self.rules.said {
                AdoptionAnswer::Propose => false,
                AdoptionAnswer::TakeSingle => candidates.len() == 1,
                AdoptionAnswer::CreateBeside => keeps_keys(),
            };
        was_asked && over && answered
    }

    fn next_after(&self, number: usize, at: Millis, verdict: &Verdict<'_>, plausible: bool) -> Next {
        let Some(entry) = self.entries.get(number) else { return Next::Wait };
        let settled = |from: Millis| at >= from.saturating_add(self.rules.settle_ms);
        let sent = entry.sent_at.unwrap_or(0);
        let over = settled(sent);
        let plausible = plausible || at >= sent.saturating_add(BELIEVE_EMPTY_AFTER_MS);
        match verdict {
            Verdict::Done(Some(record)) => Next::Adopt(Some((*record).clone())),
            Verdict::Done(None) if plausible => Next::Adopt(None),
            Verdict::Ambiguous(candidates) => Next::Which(candidates.clone()),
            // A call that is still on its way could change any other reading.
            _ if !over => Next::Wait, // open set: every verdict that is not a proof
            Verdict::Absent | Verdict::Gone | Verdict::Done(None) if !plausible => Next::Ask(
                Code::Tu7003,
                "the agreement came back without a single addition although it holds some: nothing is concluded from that"
                    .to_owned(),
            ),
            Verdict::Absent => match entry.absent_at {
                None => Next::Remember,
                Some(first) if !settled(first) => Next::Wait,
                Some(_) if self.closed_for_writes(number) => Next::Close(
                    Code::Tu7001,
                    "two look-ups found that it was not carried out, and the plan no longer fits: plan again".to_owned(),
                ),
                Some(_) if entry.attempts >= self.rules.max_attempts => Next::Close(
                    Code::Tu7003,
                    format!(
                        "it was sent {} times without a clear answer and never arrived, as two look-ups each time showed",
                        entry.attempts
                    ),
                ),
                Some(_) => Next::Resend,
            },
            Verdict::AsBefore if self.closed_for_writes(number) => Next::Close(
                Code::Tu7001,
                "a look-up found that it was not carried out, and the plan no longer fits: plan again".to_owned(),
            ),
            Verdict::AsBefore if entry.attempts >= self.rules.max_attempts => Next::Close(
                Code::Tu7003,
                format!("it was sent {} times without a clear answer and took no effect", entry.attempts),
            ),
            Verdict::AsBefore => Next::Resend,
            Verdict::Foreign(seen) => Next::Close(
                Code::Tu7002,
                format!("addition {} holds neither what was there before nor what was sent: somebody changed it", seen.id),
            ),
            Verdict::Gone | Verdict::Done(None) => {
                Next::Close(Code::Tu7001, "the addition to change is gone: plan again".to_owned())
            }
        }
    }

    fn closed_for_writes(&self, number: usize) -> bool {
        let lane = self.layout.steps.get(number).and_then(|s| self.lanes.get(s.lane));
        self.stale || lane.is_none_or(|l| l.stale)
    }

    /// Whether a list can be the whole truth: an empty one cannot, where additions are known to be there.
    pub(super) fn plausible(&self, lane: usize, list: &Listed<'_>) -> bool {
        if !list.all().is_empty() || self.rules.quirks.trusts_empty_list {
            return true;
        }
        let Some(lane) = self.layout.lanes.get(lane) else { return true };
        let removed = |id: AdditionId| {
            lane.steps.iter().any(|n| {
                self.kind_of(*n) == Some(StepKind::Delete)
                    && self.target_of(*n) == Some(id)
                    && self
                        .entries
                        .get(*n)
                        .is_some_and(|e| matches!(e.state, State::Done | State::Sending | State::InDoubt))
            })
        };
        let seen = self.plan.sights.get(&lane.agreement).map(|s| s.additions.iter().map(|(id, _)| id));
        let made = lane
            .steps
            .iter()
            .filter_map(|n| self.entries.get(*n).filter(|e| e.state == State::Done)?.addition);
        let known = self.known.get(&lane.agreement).into_iter().flatten().copied();
        !seen.into_iter().flatten().chain(made).chain(known).any(|id| !removed(id))
    }

    /// Additions that cannot be what a create in doubt made: seen by the plan, known from before, or made by another
    /// step.
    fn accounted_for(&self, id: AdditionId) -> bool {
        self.written.contains_key(&id)
            || self.entries.iter().any(|e| e.addition == Some(id))
            || self.plan.sights.values().any(|s| s.additions.contains(id))
    }

    pub(super) fn written_state(&self, id: AdditionId) -> Option<&AdditionState> {
        let own = self.entries.iter().zip(&self.slots).rev();
        let mut own = own.filter(|(entry, _)| entry.state == State::Done && entry.addition == Some(id));
        own.find_map(|(_, slot)| slot.returned.as_ref()).or_else(|| self.written.get(&id))
    }

    /// Creates in doubt on the same agreement that would look alike.
    fn twins(&self, number: usize) -> usize {
        let Some(wanted) = self.change(number).and_then(|c| c.action.after()) else { return 1 };
        let lane = self.layout.steps.get(number).and_then(|s| self.layout.lanes.get(s.lane));
        let steps = lane.map(|l| l.steps.as_slice()).unwrap_or_default();
        let alike = steps.iter().filter(|n| {
            self.kind_of(**n) == Some(StepKind::Create)
                && self.entries.get(**n).is_some_and(|e| matches!(e.state, State::Sending | State::InDoubt))
                && self
                    .change(**n)
                    .and_then(|c| c.action.after())
                    .is_some_and(|other| natural_match(other, wanted))
        });
        alike.count().max(1)
    }
}

/// The question which addition is what was sent.
fn which(change: &Change, candidates: &[AdditionId]) -> Finding {
    let ids: Vec<String> = candidates.iter().map(ToString::to_string).collect();
    let ids = ids.join(", ");
    let message = format!(
        "No answer came when this line was sent, and agreement {} has what could be it without its key: addition {ids}. \
         Somebody may have made it by hand, or ConnectWise may have dropped the key.",
        change.agreement
    );
    let fix = format!(
        "Look at {ids} in ConnectWise. If one of them is to be the line, import a mapping of kind addition for \
         subscription:{}/{} with its id, or run `trueup apply --all --adopt` where it is the only one. If none is, \
         `trueup apply --all --no-adopt` writes the line beside it, where another line of the agreement shows that keys are kept; \
         else end it in ConnectWise.",
        change.subscription, change.product
    );
    Finding::new(Code::Tu7003, subject(change, None), message).fix(fix)
}
