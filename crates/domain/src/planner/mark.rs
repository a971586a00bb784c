//! How far a draft has come, so that what a task added can be counted or taken back.

use crate::plan::{DraftPlan, TaskOutcome};

/// What one task added to its part of the plan.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The task's place.
    pub task: usize,
    /// What became of it.
    pub outcome: TaskOutcome,
    /// Changes.
    pub changes: usize,
    /// Findings.
    pub findings: usize,
    /// Additions taken over.
    pub adoptions: usize,
    /// Choices to be remembered.
    pub remembered: usize,
}

/// How much a draft held.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// Changes.
    pub changes: usize,
    /// Findings.
    pub findings: usize,
    /// Additions taken over.
    pub adoptions: usize,
    /// Choices to be remembered.
    pub remembered: usize,
    /// Lines that a person left out.
    pub left_out: usize,
}

impl Mark {
    /// All that it holds now.
    pub fn of(draft: &DraftPlan) -> Self {
        Self {
            changes: draft.changes.len(),
            findings: draft.findings.len(),
            adoptions: draft.adoptions.len(),
            remembered: draft.remembered.len(),
            left_out: draft.left_out.len(),
        }
    }

    /// What was added since, by the task at a place.
    pub fn step_to(&self, draft: &DraftPlan, task: usize, outcome: TaskOutcome) -> Step {
        Step {
            task,
            outcome,
            changes: draft.changes.len() - self.changes,
            findings: draft.findings.len() - self.findings,
            adoptions: draft.adoptions.len() - self.adoptions,
            remembered: draft.remembered.len() - self.remembered,
        }
    }

    /// Takes away what was added since.
    pub fn go_back(&self, draft: &mut DraftPlan) {
        draft.changes.truncate(self.changes);
        draft.findings.truncate(self.findings);
        draft.adoptions.truncate(self.adoptions);
        draft.remembered.truncate(self.remembered);
        draft.left_out.truncate(self.left_out);
    }
}
