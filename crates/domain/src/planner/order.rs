//! The order in which tasks are planned: by source and subscription, and those of one by their completion.

use super::TaskInput;
use crate::ids::{OrderId, SourceId, SubscriptionId};
use crate::parallel::{on_each, ranges};
use crate::task::Task;
use std::ops::Range;

fn key(task: &Task) -> (&SourceId, &SubscriptionId, (i64, u32, Option<&OrderId>)) {
    (&task.source, &task.subscription, task.sequence())
}

/// The first bytes of a text as a number that sorts as the text does, as far as they tell texts apart.
pub fn prefix(text: &str) -> u128 {
    let mut first = [0; 16];
    for (to, from) in first.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    u128::from_be_bytes(first)
}

/// A task with the number of its source and the first bytes of its subscription.
type Keyed<'a> = (usize, u128, TaskInput<'a>);

/// The tasks in their order. Most are told apart by numbers, without a look at their texts.
pub fn of_subscriptions<'a>(tasks: &[TaskInput<'a>], threads: usize) -> Vec<TaskInput<'a>> {
    let parts = ranges(tasks.len(), threads);
    let mut sources = on_each(&parts, |range| sources_of(&tasks[range])).concat();
    sources.sort();
    sources.dedup();
    let sort = |keyed: &mut Vec<Keyed<'a>>| {
        keyed.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)).then_with(|| key(a.2.task).cmp(&key(b.2.task))));
    };
    let sorted = on_each(&parts, |range: Range<usize>| {
        let mut keyed: Vec<Keyed<'a>> = tasks[range].iter().map(|input| keyed(input, &sources)).collect();
        sort(&mut keyed);
        keyed
    });
    let mut all = sorted.concat();
    // The sort sees the runs which the threads have sorted already.
    sort(&mut all);
    all.into_iter().map(|(_, _, input)| input).collect()
}

/// The sources of some tasks, few of them more than once.
fn sources_of<'a>(tasks: &[TaskInput<'a>]) -> Vec<&'a SourceId> {
    let mut sources: Vec<&SourceId> = tasks.iter().map(|input| &input.task.source).collect();
    sources.dedup();
    sources
}

fn keyed<'a>(input: &TaskInput<'a>, sources: &[&SourceId]) -> Keyed<'a> {
    let task = input.task;
    let source = sources.partition_point(|source| **source < task.source);
    (source, prefix(task.subscription.as_str()), *input)
}
