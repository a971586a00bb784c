//! Which tasks have something in common. Tasks of one company go together, and companies whose agreements hold lines of
//! one subscription; what belongs together is planned on one picture, and nothing else is on it.

use super::index::{Index, SubscriptionNo};
use super::{TaskInput, World};
use crate::ids::{AgreementId, CompanyId};
use crate::mapping::Mappings;
use crate::parallel::{on_each, ranges};
use hashbrown::HashMap;
use std::ops::Range;

/// What brings tasks together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Tie {
    Company(CompanyId),
    /// An agreement of which only additions are known.
    Agreement(AgreementId),
}

impl Tie {
    fn of(world: &World<'_>, agreement: AgreementId) -> Self {
        let known = world.snapshot.agreements.get(&agreement);
        known.map_or(Self::Agreement(agreement), |known| Self::Company(known.company))
    }
}

/// Subscriptions and ties, each under one of those that it belongs together with.
#[derive(Debug)]
pub struct Groups {
    of_tie: HashMap<Tie, usize>,
    above: Vec<usize>,
}

/// What the subscriptions of the tasks at some places are tied to.
fn ties(world: &World<'_>, index: &Index<'_>, places: Range<usize>) -> Vec<(SubscriptionNo, Tie)> {
    let mut ties = Vec::with_capacity(places.len());
    let mut before = None;
    for place in places {
        let subscription = index.subscription_of(place);
        let of_customer = index.customer_of(place).and_then(Mappings::company_in).map(Tie::Company);
        let first = before.replace(subscription) != Some(subscription);
        let homes = first.then(|| index.homes_of(subscription).map(|home| Tie::of(world, home)));
        for tie in of_customer.into_iter().chain(homes.into_iter().flatten()) {
            // Nearly all lines of a subscription are with the company of its customer.
            if ties.last() != Some(&(subscription, tie)) {
                ties.push((subscription, tie));
            }
        }
    }
    ties
}

/// The tasks of each group beside each other, in their order; the groups in the order of their first tasks.
#[derive(Debug)]
pub struct Division {
    tasks: Vec<usize>,
    /// The first place of each group, and the length of all.
    starts: Vec<usize>,
    /// The member under which a group is found, by its number.
    tops: Vec<usize>,
}

impl Groups {
    /// What the subscriptions' lines and the mappings of the customers bring together.
    pub fn new(world: &World<'_>, index: &Index<'_>, tasks: &[TaskInput<'_>], threads: usize) -> Self {
        let above = (0..index.numbers()).collect();
        let mut groups = Self { of_tie: HashMap::with_capacity(index.numbers()), above };
        // The agreements that are looked up for it lie anywhere in memory: the threads read them side by side.
        let found = on_each(&ranges(tasks.len(), threads), |places| ties(world, index, places));
        for (subscription, tie) in found.into_iter().flatten() {
            groups.tie(subscription.place(), tie);
        }
        groups
    }

    fn tie(&mut self, member: usize, tie: Tie) {
        let own = *self.of_tie.entry(tie).or_insert_with(|| {
            self.above.push(self.above.len());
            self.above.len() - 1
        });
        self.join(member, own);
    }

    /// Brings a group together with those of the agreements that it looked at beyond its own.
    pub fn join_agreements(&mut self, world: &World<'_>, member: usize, agreements: &[AgreementId]) {
        for agreement in agreements {
            self.tie(member, Tie::of(world, *agreement));
        }
    }

    /// Whether an agreement is of this group: no other looks at it.
    pub fn holds(&self, world: &World<'_>, top: usize, agreement: AgreementId) -> bool {
        let tie = Tie::of(world, agreement);
        match (self.of_tie.get(&tie), tie) {
            (Some(own), _) => self.top(*own) == top,
            (None, Tie::Company(_)) => false,
            // Nothing is known of it, and nothing is on it.
            (None, Tie::Agreement(id)) => world.snapshot.additions_of(id).is_empty(),
        }
    }

    fn top(&self, mut at: usize) -> usize {
        while self.above[at] != at {
            at = self.above[at];
        }
        at
    }

    fn shorten(&mut self, mut at: usize) -> usize {
        while self.above[at] != at {
            self.above[at] = self.above[self.above[at]];
            at = self.above[at];
        }
        at
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.shorten(a), self.shorten(b));
        // The lesser stands above, so that no chain grows where companies come in their order.
        self.above[a.max(b)] = a.min(b);
    }

    /// The tasks, group by group.
    pub fn divide(&self, index: &Index<'_>, tasks: usize) -> Division {
        let top_of = |place: usize| self.top(index.subscription_of(place).place());
        let mut number_of = vec![usize::MAX; self.above.len()];
        let mut tops = Vec::new();
        let mut starts = vec![0];
        for place in 0..tasks {
            let top = top_of(place);
            if number_of[top] == usize::MAX {
                number_of[top] = tops.len();
                tops.push(top);
                starts.push(0);
            }
            starts[number_of[top] + 1] += 1;
        }
        for group in 0..tops.len() {
            starts[group + 1] += starts[group];
        }
        let mut next = starts.clone();
        let mut sorted = vec![0; tasks];
        for place in 0..tasks {
            let next = &mut next[number_of[top_of(place)]];
            sorted[*next] = place;
            *next += 1;
        }
        Division { tasks: sorted, starts, tops }
    }
}

impl Division {
    /// The groups in so many parts with about as many tasks each.
    pub fn parts(&self, parts: usize) -> Vec<Range<usize>> {
        let mut ranges = Vec::with_capacity(parts);
        let mut first = 0;
        for part in 1..=parts {
            let upto = self.tasks.len() * part / parts.max(1);
            let end = self.starts.partition_point(|start| *start < upto).min(self.tops.len());
            if end > first {
                ranges.push(first..end);
                first = end;
            }
        }
        ranges
    }

    /// The places of the tasks of a group.
    pub fn tasks_of(&self, group: usize) -> &[usize] {
        &self.tasks[self.starts[group]..self.starts[group + 1]]
    }

    /// The places of the tasks of some groups.
    pub fn tasks_of_all(&self, groups: Range<usize>) -> &[usize] {
        &self.tasks[self.starts[groups.start]..self.starts[groups.end]]
    }

    /// The member under which a group is found.
    pub fn top_of(&self, group: usize) -> usize {
        self.tops[group]
    }
}
