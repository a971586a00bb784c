//! Tasks that touch the same agreements are planned one after the other; what has nothing in common is planned side by
//! side, and put together in the order of the tasks. The plan is the same as that of one thread.

use super::groups::{Division, Groups};
use super::index::Index;
use super::order;
use super::run::{Part, Stray};
use super::{TaskInput, World, assemble};
use crate::parallel::{in_turn, putting_away};
use crate::plan::DraftPlan;

/// A thread is not worth its start for fewer tasks than this.
const LEAST_EACH: usize = 256;

/// So many parts a thread, so that none waits long for the last of the others.
const PARTS_EACH: usize = 16;

/// How many threads so many tasks are worth.
pub fn threads_for(tasks: usize) -> usize {
    crate::parallel::threads_for(tasks, LEAST_EACH)
}

/// Plans the tasks on at most so many threads.
pub fn plan(world: &World<'_>, tasks: &[TaskInput<'_>], threads: usize) -> DraftPlan {
    let tasks = order::of_subscriptions(tasks, threads);
    let index = Index::new(world, &tasks, threads);
    let parts = plan_parts(world, &index, &tasks, threads);
    putting_away(threads, index, || assemble::put_together(world, &tasks, parts, threads))
}

/// The parts of the plan.
fn plan_parts<'a>(
    world: &'a World<'a>,
    index: &'a Index<'a>,
    tasks: &[TaskInput<'a>],
    threads: usize,
) -> Vec<Part> {
    let mut groups = Groups::new(world, index, tasks, threads);
    loop {
        let division = groups.divide(index, tasks.len());
        let parts = run(world, index, &groups, &division, tasks, threads);
        let strays: Vec<&Stray> = parts.iter().flat_map(|part| &part.strays).collect();
        if strays.is_empty() {
            return parts;
        }
        // A mapping or a key may lead anywhere: what looked at an agreement of others is planned anew together with them.
        for stray in strays {
            groups.join_agreements(world, stray.top, &stray.agreements);
        }
    }
}

/// Plans the groups, as many side by side as there are threads.
fn run<'a>(
    world: &'a World<'a>,
    index: &'a Index<'a>,
    groups: &Groups,
    division: &Division,
    tasks: &[TaskInput<'a>],
    threads: usize,
) -> Vec<Part> {
    let parts = if threads > 1 { threads * PARTS_EACH } else { 1 };
    let of = |some| Part::of(world, index, groups, division, some, tasks);
    in_turn(threads.max(1), &division.parts(parts), of)
}
