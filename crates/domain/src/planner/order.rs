//! The order in which tasks are planned: by source and subscription, and those of one by their completion.

use super::TaskInput;
use crate::ids::{OrderId, SourceId, SubscriptionId};
use crate::task::Task;
use std::collections::BTreeMap;

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

/// The tasks in their order. Most are told apart by numbers, without a look at their texts.
pub fn of_subscriptions<'a>(tasks: &[TaskInput<'a>]) -> Vec<TaskInput<'a>> {
    let mut sources: BTreeMap<&SourceId, usize> = tasks.iter().map(|t| (&t.task.source, 0)).collect();
    for (number, place) in sources.values_mut().enumerate() {
        *place = number;
    }
    let mut keyed: Vec<(usize, u128, TaskInput<'a>)> = tasks
        .iter()
        .map(|input| {
            let source = sources.get(&input.task.source).copied().unwrap_or_default();
            (source, prefix(input.task.subscription.as_str()), *input)
        })
        .collect();
    keyed.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)).then_with(|| key(a.2.task).cmp(&key(b.2.task))));
    keyed.into_iter().map(|(_, _, input)| input).collect()
}
