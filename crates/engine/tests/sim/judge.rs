//! What must hold after every schedule, however it went.

use super::remote::Remote;
use super::schedule::Prepared;
use std::collections::BTreeMap;
use trueup_domain::ids::AdditionId;
use trueup_domain::psa::AdditionState;
use trueup_engine::apply::core::Entry;
use trueup_engine::apply::layout::StepKind;
use trueup_engine::records::OperationState;

/// Whether nothing more becomes of an operation.
pub fn closed(state: OperationState) -> bool {
    matches!(state, OperationState::Done | OperationState::Refused | OperationState::Skipped)
}

/// No addition doubled, lost or wrong; nothing left open.
pub fn judge(at: &Prepared, remote: &Remote, rows: &[Entry]) -> Result<(), String> {
    for (step, entry) in rows.iter().enumerate() {
        let change = &at.scenario.plan.changes[at.layout.steps[step].change];
        let id = &change.id;
        let mine: Vec<AdditionId> =
            remote.created.iter().filter(|(key, _)| *key == change.key.0).map(|(_, id)| *id).collect();
        let mine: Vec<AdditionId> =
            mine.into_iter().filter(|m| entry.addition == Some(*m) || !remote.hidden(*m)).collect();
        if !closed(entry.state) && !remote.edits.iter().any(|e| e.agreement == change.agreement) {
            return Err(format!("{id} stays open: {entry:?}"));
        }
        if mine.len() > 1 {
            return Err(format!("{id} doubled: {mine:?}"));
        }
        match (entry.state, at.layout.steps[step].kind) {
            (OperationState::Done, StepKind::Create) => {
                if mine.first() != entry.addition.as_ref() {
                    return Err(format!("{id} lost or mixed up: {mine:?}, journal {entry:?}"));
                }
            }
            (
                OperationState::Refused | OperationState::Skipped | OperationState::Intent,
                StepKind::Create,
            ) => {
                if !mine.is_empty() {
                    return Err(format!("{id} is there as {mine:?} but the journal says {entry:?}"));
                }
            }
            (_, StepKind::Create | StepKind::Edit | StepKind::Delete) => {} // judged with its addition below
        }
    }
    judge_states(at, remote, rows)
}

fn target(at: &Prepared, rows: &[Entry], step: usize) -> Option<AdditionId> {
    trueup_engine::apply::look::resolve(at.layout.steps[step].target, |n| rows[n].addition)
}

fn judge_states(at: &Prepared, remote: &Remote, rows: &[Entry]) -> Result<(), String> {
    let plan = &at.scenario.plan;
    let touched = |id: AdditionId| remote.edits.iter().any(|e| e.addition == id);
    let mut expected: BTreeMap<AdditionId, Option<AdditionState>> = BTreeMap::new();
    for addition in at.scenario.additions.values().flatten() {
        expected.insert(addition.id, Some(addition.state.clone()));
    }
    for (step, entry) in rows.iter().enumerate() {
        let change = &plan.changes[at.layout.steps[step].change];
        if entry.state == OperationState::Done
            && let Some(id) = entry.addition
        {
            expected.insert(id, change.action.after().cloned());
        }
        if matches!(entry.state, OperationState::Sending | OperationState::InDoubt)
            && let Some(id) = entry.addition.or(target(at, rows, step))
        {
            expected.remove(&id);
        }
    }
    for (id, state) in expected {
        let there = remote.additions.values().flatten().find(|a| a.id == id).map(|a| &a.state);
        if there != state.as_ref() && !touched(id) {
            return Err(format!("addition {id} is {there:?}, should be {state:?}"));
        }
    }
    Ok(())
}
