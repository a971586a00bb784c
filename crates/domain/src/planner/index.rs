//! What is looked up again and again: built once a plan, and borrowed from the world. The subscriptions that tasks are
//! about are numbered, so that nothing after this compares their names. Which map is asked in which order never shows in
//! a plan: nothing goes through a hashed map from its one end to the other.

use super::feed::Records;
use super::register::Register;
use super::{TaskInput, World};
use crate::feed::{Product, Subscription};
use crate::ids::{AgreementId, CompanyId, ProductId, SourceId, SubscriptionId};
use crate::parallel::{both, on_each, ranges};
use crate::plan::{AdditionLink, OperationKey};
use crate::psa::Agreement;
use crate::task::Task;
use hashbrown::{DefaultHashBuilder, HashMap};
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU32;
use std::ops::Range;

/// A subscription of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SubscriptionKey<'a> {
    // First, since it tells more.
    subscription: &'a SubscriptionId,
    source: &'a SourceId,
}

impl<'a> SubscriptionKey<'a> {
    fn of(task: &'a Task) -> Self {
        Self { source: &task.source, subscription: &task.subscription }
    }
}

impl Hash for SubscriptionKey<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // There are few sources: the subscription alone tells nearly all of them apart.
        self.subscription.hash(state);
    }
}

/// The number of a subscription that tasks are about, in the order of the first task of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionNo(NonZeroU32);

impl SubscriptionNo {
    fn after(others: usize) -> Self {
        Self(NonZeroU32::MIN.saturating_add(others as u32))
    }

    /// The place of what belongs to it in a list.
    pub fn place(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// Links, agreements and removed keys, as the tasks ask for them.
#[derive(Debug)]
pub struct Index<'a> {
    /// The subscriptions of the feed.
    pub subscriptions: Records<'a, SubscriptionId, Subscription>,
    /// The products of the feed.
    pub products: Records<'a, ProductId, Product>,
    /// Which addition is whose, and which carries which key.
    pub register: Register<'a>,
    of_task: Vec<SubscriptionNo>,
    links: Links<'a>,
    agreements: Vec<(CompanyId, &'a Agreement)>,
    removed: HashSet<&'a OperationKey, DefaultHashBuilder>,
}

/// The links of the numbered subscriptions, those of one beside each other and in the order of the world.
#[derive(Debug, Default)]
struct Links<'a> {
    starts: Vec<usize>,
    all: Vec<&'a AdditionLink>,
}

/// What one thread found among the links.
struct Found<'a> {
    /// Places of links that hold, with their additions.
    live: Vec<(i64, usize)>,
    /// Numbers of subscriptions with places of their links.
    numbered: Vec<(SubscriptionNo, usize)>,
    removed: Vec<&'a OperationKey>,
    keyed: bool,
}

impl<'a> Index<'a> {
    /// The agreements of the world, and the links of the subscriptions that the tasks are about.
    pub fn new(world: &'a World<'a>, tasks: &[TaskInput<'a>], threads: usize) -> Self {
        let mut numbers: HashMap<SubscriptionKey<'a>, SubscriptionNo> = HashMap::with_capacity(tasks.len());
        let of_task = tasks
            .iter()
            .map(|input| {
                let next = SubscriptionNo::after(numbers.len());
                *numbers.entry(SubscriptionKey::of(input.task)).or_insert(next)
            })
            .collect();
        let (subscriptions, products) =
            (Records::new(world.subscriptions, numbers.len()), Records::new(world.products, tasks.len()));
        let found = on_each(&ranges(world.links.len(), threads), |range| find(world.links, range, &numbers));
        let mut agreements: Vec<_> = world.snapshot.agreements.values().map(|a| (a.company, a)).collect();
        agreements.sort_by_key(|(company, _)| *company);
        let removed = found.iter().flat_map(|found| found.removed.iter().copied()).collect();
        let keyed = found.iter().any(|found| found.keyed);
        let (numbered, live): (Vec<_>, Vec<_>) =
            found.into_iter().map(|found| (found.numbered, found.live)).unzip();
        let (links, register) = both(
            threads,
            || Links::new(world.links, numbers.len(), &numbered),
            || Register::new(world, &live, &numbered, keyed),
        );
        Self { subscriptions, products, register, of_task, links, agreements, removed }
    }

    /// The number of the subscription of the task at a place.
    pub fn subscription_of(&self, task: usize) -> SubscriptionNo {
        self.of_task[task]
    }

    /// How many subscriptions the tasks are about.
    pub fn numbers(&self) -> usize {
        self.links.starts.len().saturating_sub(1)
    }

    /// Whether trueup wrote the line with this key and removed it again: what an order made and a later one took away
    /// is not made again.
    pub fn was_removed(&self, key: &OperationKey) -> bool {
        self.removed.contains(key)
    }

    /// What trueup wrote or took over for a subscription.
    pub fn links_of(&self, subscription: SubscriptionNo) -> &[&'a AdditionLink] {
        &self.links.all[self.links.starts[subscription.place()]..self.links.starts[subscription.place() + 1]]
    }

    /// The agreements on which a subscription has lines, as far as trueup remembers; each once for every run of lines.
    pub fn homes_of(&self, subscription: SubscriptionNo) -> impl Iterator<Item = AgreementId> {
        let mut before = None;
        let live = self.links_of(subscription).iter().filter(|link| !link.deleted);
        live.map(|link| link.agreement).filter(move |home| before.replace(*home) != Some(*home))
    }

    /// The agreements of a company.
    pub fn agreements_of(&self, company: CompanyId) -> impl Iterator<Item = &'a Agreement> {
        let first = self.agreements.partition_point(|(other, _)| *other < company);
        let from = self.agreements[first..].iter();
        from.take_while(move |(other, _)| *other == company).map(|(_, agreement)| *agreement)
    }
}

fn find<'a>(
    links: &'a [AdditionLink],
    range: Range<usize>,
    numbers: &HashMap<SubscriptionKey<'a>, SubscriptionNo>,
) -> Found<'a> {
    let mut found = Found {
        live: Vec::with_capacity(range.len()),
        numbered: Vec::new(),
        removed: Vec::new(),
        keyed: false,
    };
    for (link, at) in links[range.clone()].iter().zip(range) {
        let key = SubscriptionKey { source: &link.source, subscription: &link.subscription };
        if let Some(number) = numbers.get(&key) {
            found.numbered.push((*number, at));
        }
        if !link.deleted {
            found.live.push((link.addition.0, at));
        }
        if let Some(key) = &link.key {
            found.keyed = true;
            if link.deleted {
                found.removed.push(key);
            }
        }
    }
    found
}

impl<'a> Links<'a> {
    fn new(links: &'a [AdditionLink], numbers: usize, numbered: &[Vec<(SubscriptionNo, usize)>]) -> Self {
        let mut starts = vec![0; numbers + 1];
        for (number, _) in numbered.iter().flatten() {
            starts[number.place() + 1] += 1;
        }
        for place in 0..numbers {
            starts[place + 1] += starts[place];
        }
        let Some(any) = links.first() else { return Self { starts, all: Vec::new() } };
        let mut all = vec![any; starts[numbers]];
        let mut next = starts.clone();
        for (number, at) in numbered.iter().flatten() {
            all[next[number.place()]] = &links[*at];
            next[number.place()] += 1;
        }
        Self { starts, all }
    }
}
