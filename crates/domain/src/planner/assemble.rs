//! Parts of a plan put together, task by task, with the changes counted through.

use super::mark::Step;
use super::picture::{change_id, place_of};
use super::run::Part;
use super::{TaskInput, World, order, sums};
use crate::ids::{ChangeId, TaskId};
use crate::parallel::both;
use crate::plan::{Action, Change, DraftPlan, Target, TaskOutcome};
use std::collections::BTreeMap;

/// The plan that the parts give, with the changes put together on one thread and the rest on another.
pub fn put_together(
    world: &World<'_>,
    tasks: &[TaskInput<'_>],
    parts: Vec<Part>,
    threads: usize,
) -> DraftPlan {
    let mut draft = DraftPlan { today: Some(world.today), ..DraftPlan::default() };
    let mut steps = Vec::with_capacity(tasks.len());
    let mut written = Vec::new();
    let mut changes = Vec::with_capacity(parts.len());
    for mut part in parts {
        changes.push(part.draft.changes);
        append(&mut draft.findings, part.draft.findings);
        append(&mut draft.adoptions, part.draft.adoptions);
        append(&mut draft.remembered, part.draft.remembered);
        append(&mut draft.left_out, part.draft.left_out);
        append(&mut written, part.written);
        steps.append(&mut part.steps);
    }
    (draft.changes, draft.outcomes) =
        both(threads, || all_changes(changes, &steps, tasks.len()), || outcomes_of(&steps, tasks));
    arrange(&mut draft.findings, places(&steps, tasks.len(), |step| step.findings));
    arrange(&mut draft.adoptions, places(&steps, tasks.len(), |step| step.adoptions));
    arrange(&mut draft.remembered, places(&steps, tasks.len(), |step| step.remembered));
    draft.left_out.sort_by(|a, b| (&a.task, &a.key).cmp(&(&b.task, &b.key)));
    written.sort_by_key(|one| one.agreement);
    sums::add_up(&mut draft, written);
    draft
}

/// The changes of all parts, in the order of the tasks.
#[expect(clippy::vec_box, reason = "as they lie in a plan")]
fn all_changes(parts: Vec<Vec<Box<Change>>>, steps: &[Step], tasks: usize) -> Vec<Box<Change>> {
    let mut changes = Vec::new();
    let mut firsts = Vec::with_capacity(parts.len());
    for part in parts {
        firsts.push(changes.len());
        append(&mut changes, part);
    }
    let at = places(steps, tasks, |step| step.changes);
    renumber(&mut changes, &firsts, &at);
    arrange(&mut changes, at);
    changes
}

/// What became of each task.
fn outcomes_of(steps: &[Step], tasks: &[TaskInput<'_>]) -> BTreeMap<TaskId, TaskOutcome> {
    let prefixed = |step: &Step| (order::prefix(tasks[step.task].task.id.as_str()), step.task, step.outcome);
    let mut outcomes: Vec<(u128, usize, TaskOutcome)> = steps.iter().map(prefixed).collect();
    // In nearly the order of the ids, so that little is left to sort where the map is made.
    outcomes.sort_unstable_by_key(|(prefix, task, _)| (*prefix, *task));
    outcomes.into_iter().map(|(_, task, outcome)| (tasks[task].task.id.clone(), outcome)).collect()
}

/// The first list keeps its memory; what follows is moved to its end.
fn append<T>(all: &mut Vec<T>, mut more: Vec<T>) {
    if all.is_empty() {
        *all = more;
    } else {
        all.append(&mut more);
    }
}

/// Where in the order of the tasks each thing belongs that the steps gave one after the other.
fn places(steps: &[Step], tasks: usize, count: impl Fn(&Step) -> usize) -> Vec<usize> {
    let mut first = vec![0; tasks + 1];
    for step in steps {
        first[step.task + 1] = count(step);
    }
    for task in 0..tasks {
        first[task + 1] += first[task];
    }
    steps.iter().flat_map(|step| first[step.task]..first[step.task] + count(step)).collect()
}

/// Moves everything to its place.
fn arrange<T>(things: &mut [T], mut at: Vec<usize>) {
    for place in 0..things.len() {
        while at[place] != place {
            let there = at[place];
            things.swap(place, there);
            at.swap(place, there);
        }
    }
}

/// Gives each change the id of its place, and what it names of the changes before it theirs. Each part counted its own.
fn renumber(changes: &mut [Box<Change>], firsts: &[usize], at: &[usize]) {
    for (number, first) in firsts.iter().enumerate() {
        let end = firsts.get(number + 1).copied().unwrap_or(changes.len());
        let own = &at[*first..end];
        for (change, (local, place)) in changes[*first..end].iter_mut().zip(own.iter().enumerate()) {
            // Where a part's changes lie as it counted them, their numbers are right already.
            if local != *place {
                change.id = change_id(*place);
            }
            change.depends_on.iter_mut().for_each(|id| anew(id, own));
            match &mut change.action {
                Action::Create { .. } => {}
                Action::Update { target, .. }
                | Action::Cancel { target, .. }
                | Action::Delete { target, .. }
                | Action::Keep { target, .. } => match target {
                    Target::CreatedBy(id) => anew(id, own),
                    Target::Existing(_) => {}
                },
            }
        }
    }
}

fn anew(id: &mut ChangeId, places: &[usize]) {
    let Some(local) = place_of(id) else { return };
    if let Some(place) = places.get(local).filter(|place| **place != local) {
        *id = change_id(*place);
    }
}
