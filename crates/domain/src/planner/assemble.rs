//! Parts of a plan put together, task by task, with the changes counted through.

use super::mark::Step;
use super::picture::{change_id, place_of};
use super::run::Part;
use super::{TaskInput, World, order, sums};
use crate::ids::{ChangeId, TaskId};
use crate::parallel::{Shared, both};
use crate::plan::{Action, Change, DraftPlan, Target, TaskOutcome, Totals};
use std::collections::BTreeMap;

/// Changes, as they lie in a plan.
type Changes = Vec<Box<Change>>;

/// The plan that the parts give.
pub fn put_together(
    world: &World<'_>,
    tasks: &[TaskInput<'_>],
    parts: Vec<Part>,
    threads: usize,
) -> DraftPlan {
    let mut draft = DraftPlan { today: Some(world.today), ..DraftPlan::default() };
    let mut steps = Vec::with_capacity(tasks.len());
    let mut written = Vec::with_capacity(parts.iter().map(|part| part.written.len()).sum());
    let mut changes = Vec::with_capacity(parts.len());
    for mut part in parts {
        changes.push(part.draft.changes);
        append(&mut draft.findings, part.draft.findings);
        append(&mut draft.adoptions, part.draft.adoptions);
        append(&mut draft.remembered, part.draft.remembered);
        append(&mut draft.left_out, part.draft.left_out);
        written.append(&mut part.written);
        add_counts(&mut draft.totals, &part.draft.totals);
        steps.append(&mut part.steps);
    }
    let at = places(&steps, tasks.len(), |step| step.changes);
    draft.outcomes = renumber_all(threads, &mut changes, &at, || outcomes_of(&steps, tasks));
    draft.changes = all_of(changes);
    arrange(&mut draft.changes, at);
    arrange(&mut draft.findings, places(&steps, tasks.len(), |step| step.findings));
    arrange(&mut draft.adoptions, places(&steps, tasks.len(), |step| step.adoptions));
    arrange(&mut draft.remembered, places(&steps, tasks.len(), |step| step.remembered));
    draft.left_out.sort_by(|a, b| (&a.task, &a.key).cmp(&(&b.task, &b.key)));
    written.sort_by_key(|one| one.agreement);
    sums::add_invoices(&mut draft, written);
    draft
}

fn add_counts(all: &mut Totals, part: &Totals) {
    all.create += part.create;
    all.update += part.update;
    all.cancel += part.cancel;
    all.delete += part.delete;
    all.keep += part.keep;
}

/// Renumbers the changes of all parts, one thread from the start and another once it has done what else there is to do.
fn renumber_all<T: Send>(
    threads: usize,
    changes: &mut [Changes],
    at: &[usize],
    beside: impl Fn() -> T + Sync,
) -> T {
    let parts = Shared::new(with_places(changes, at));
    let renumber_rest = || parts.take().for_each(|(part, own)| renumber(part, own));
    let ((), result) = both(threads, renumber_rest, || {
        let result = beside();
        renumber_rest();
        result
    });
    result
}

/// The changes of each part, with where in the plan each of them belongs.
fn with_places<'c>(
    parts: &'c mut [Changes],
    mut at: &'c [usize],
) -> impl Iterator<Item = (&'c mut [Box<Change>], &'c [usize])> {
    parts.iter_mut().map(move |part| {
        let (own, others) = at.split_at(part.len());
        at = others;
        (part.as_mut_slice(), own)
    })
}

/// The changes of all parts.
fn all_of(parts: Vec<Changes>) -> Changes {
    let mut changes = Vec::with_capacity(parts.iter().map(Vec::len).sum());
    for mut part in parts {
        changes.append(&mut part);
    }
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

/// Gives each change of a part the id of its place, and what it names of the changes before it theirs. The part counted its
/// own.
fn renumber(changes: &mut [Box<Change>], own: &[usize]) {
    // Where they lie as it counted them, their numbers are right already, and none of them needs a look.
    if own.iter().enumerate().all(|(local, place)| local == *place) {
        return;
    }
    for (change, (local, place)) in changes.iter_mut().zip(own.iter().enumerate()) {
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

fn anew(id: &mut ChangeId, places: &[usize]) {
    let Some(local) = place_of(id) else { return };
    if let Some(place) = places.get(local).filter(|place| **place != local) {
        *id = change_id(*place);
    }
}
