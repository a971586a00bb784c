//! What the person who asks for a plan sets of its lines: kept with the tasks that propose them.

use crate::failure::Failure;
use crate::records::Millis;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::amendment::{Amendment, Decision};
use trueup_domain::ids::TaskId;
use trueup_domain::plan::{Action, Change, DraftPlan, OperationKey};
use trueup_domain::task::Task;

/// What is set of one proposed line from now on.
#[derive(Clone, Debug, PartialEq)]
pub struct LineEdit {
    /// The key of the line as it is proposed.
    pub proposal: OperationKey,
    /// What is decided; none takes back what was set before.
    pub decision: Option<Decision>,
}

/// Puts the edits to every task of the plan: which of them proposes the line, only the plan tells.
pub(super) fn attach(tasks: &mut BTreeMap<TaskId, Task>, edits: &[LineEdit], actor: &str, now: Millis) {
    let named: BTreeSet<&OperationKey> = edits.iter().map(|edit| &edit.proposal).collect();
    if named.is_empty() {
        return;
    }
    for task in tasks.values_mut() {
        task.amendments.retain(|known| !named.contains(&known.proposal));
        task.amendments.extend(edits.iter().filter_map(|edit| {
            let decision = edit.decision.clone()?;
            let (proposal, by) = (edit.proposal.clone(), actor.to_owned());
            Some(Amendment { proposal, decision, by, at_us: now.saturating_mul(1000) })
        }));
    }
}

/// Leaves each edit with the task that proposes its line.
///
/// # Errors
/// [`Failure::Wrong`] where no task of the plan proposes a line that is named.
pub(super) fn settle(
    tasks: &mut BTreeMap<TaskId, Task>,
    edits: &[LineEdit],
    draft: &DraftPlan,
) -> Result<(), Failure> {
    if edits.is_empty() {
        return Ok(());
    }
    let mut proposed: BTreeSet<(&TaskId, &OperationKey)> = BTreeSet::new();
    for change in draft.changes.iter().map(AsRef::as_ref).chain(&draft.left_out) {
        let proposal = change.amended.as_ref().map_or(&change.key, |amended| &amended.proposal);
        proposed.insert((&change.task, proposal));
    }
    let named = |change: &&Change| {
        let of = change.amended.as_ref().map(|amended| &amended.proposal);
        of.is_some_and(|of| edits.iter().any(|edit| edit.proposal == *of))
    };
    // Kept with its task, what no plan can write would stop each later one.
    draft.changes.iter().map(AsRef::as_ref).filter(named).try_for_each(may_be)?;
    for edit in edits {
        if !proposed.iter().any(|(_, proposal)| **proposal == edit.proposal) {
            return Err(Failure::wrong(
                format!("the plan proposes no line with the key {}", edit.proposal),
                "Plan again without edits, and name the lines by the keys that it shows.",
            ));
        }
        for (id, task) in tasks.iter_mut() {
            if !proposed.contains(&(id, &edit.proposal)) {
                task.amendments.retain(|known| known.proposal != edit.proposal);
            }
        }
    }
    Ok(())
}

/// Whether a line can be as somebody set it.
fn may_be(change: &Change) -> Result<(), Failure> {
    let (Action::Create { wanted } | Action::Update { wanted, .. } | Action::Cancel { wanted, .. }) =
        &change.action
    else {
        return Ok(());
    };
    if let Some(last) = wanted.cancelled.filter(|last| *last < wanted.effective) {
        return Err(Failure::wrong(
            format!("the last billed day {last} lies before the first one, {}", wanted.effective),
            "Set another last day, or leave the line out.",
        ));
    }
    let proposed = change.amended.as_ref().and_then(|amended| amended.proposed.as_ref());
    if wanted.quantity.is_negative() && proposed.is_some_and(|proposed| !proposed.quantity.is_negative()) {
        return Err(Failure::wrong(
            format!(
                "a quantity of {} would give money back for what is to be billed",
                wanted.quantity.shown()
            ),
            "Set a quantity of 0 or more, or leave the line out.",
        ));
    }
    Ok(())
}
