//! The report of a run, from the state in which the core ended.

use super::core::{Core, State};
use super::machine::{error, subject};
use super::{ApplyReport, ChangeReport, ChangeState};
use crate::records::OperationError;
use std::collections::BTreeSet;
use trueup_domain::finding::{Code, Finding};

impl Core<'_> {
    /// Why the check before the first write could not be made.
    pub(super) fn unread_error(&self) -> Option<&OperationError> {
        self.unread.as_ref()
    }

    /// What became of every step.
    pub fn report(&self) -> ApplyReport {
        let mut report = ApplyReport {
            findings: self.findings.clone(),
            stale: self.stale || self.lanes.iter().any(|l| l.stale),
            ..ApplyReport::default()
        };
        let said: BTreeSet<&str> = self.findings.iter().filter_map(|f| f.subject.detail.as_deref()).collect();
        for (number, entry) in self.entries.iter().enumerate() {
            let Some(change) = self.change(number) else { continue };
            let tried = self.slots.get(number).is_some_and(|s| s.tried);
            let mut told = entry.error.as_deref().cloned();
            let state = match entry.state {
                State::Done => ChangeState::Applied,
                State::Refused => ChangeState::Failed,
                State::Skipped => ChangeState::Skipped,
                State::Sending | State::InDoubt => ChangeState::InDoubt,
                State::Intent => match &told {
                    Some(why) if tried && why.code != Code::Tu7006.row().name => ChangeState::Failed,
                    Some(_) | None => {
                        let unread = self.unread_of(number).cloned();
                        told = unread.or(told).or_else(|| Some(self.why_waiting()));
                        ChangeState::Skipped
                    }
                },
            };
            let count = match state {
                ChangeState::Applied => &mut report.summary.applied,
                ChangeState::Failed => &mut report.summary.failed,
                ChangeState::Skipped => &mut report.summary.skipped,
                ChangeState::InDoubt => &mut report.summary.in_doubt,
            };
            *count += 1;
            if !said.contains(change.id.as_str())
                && let Some(found) = self.finding_of(number, state, told.as_ref())
            {
                report.findings.push(found);
            }
            report.changes.push(ChangeReport {
                change_id: change.id.clone(),
                state,
                addition: entry.addition.or(self.addition_of(number)),
                error: told.filter(|_| state != ChangeState::Applied),
                calls: entry.calls,
            });
        }
        report.summary.calls = report.changes.iter().map(|c| u64::from(c.calls)).sum();
        report
    }

    /// Why the agreement of a step could not be read.
    fn unread_of(&self, number: usize) -> Option<&OperationError> {
        self.lanes.get(self.layout.steps.get(number)?.lane)?.unread.as_ref()
    }

    fn why_waiting(&self) -> OperationError {
        match &self.halt {
            Some(why) => why.clone(),
            None => *error(
                Code::Tu7006,
                "it builds on a change that has no clear outcome yet; the next run goes on",
            ),
        }
    }

    fn finding_of(
        &self,
        number: usize,
        state: ChangeState,
        told: Option<&OperationError>,
    ) -> Option<Finding> {
        let change = self.change(number)?;
        let code = match state {
            ChangeState::InDoubt => Code::Tu7003,
            ChangeState::Failed => told.and_then(|t| Code::from_name(&t.code)).unwrap_or(Code::Tu7004),
            ChangeState::Applied | ChangeState::Skipped => return None,
        };
        let message = told.map_or_else(|| "the outcome is not known".to_owned(), |t| t.message.clone());
        let mut found = Finding::new(code, subject(change, self.addition_of(number)), message);
        found.their_words = told.and_then(|t| t.their_words.clone());
        Some(found)
    }
}
