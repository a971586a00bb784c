//! What is looked up again and again: built once a plan, and borrowed from the world. The subscriptions that tasks are
//! about are numbered, so that nothing after this compares their names. Which map is asked in which order never shows in
//! a plan: nothing goes through a hashed map from its one end to the other.

use super::feed::{self, Records};
use super::register::Register;
use super::{TaskInput, World};
use crate::feed::{Product, Subscription};
use crate::ids::{AgreementId, CompanyId, ProductId, SourceId, SubscriptionId};
use crate::parallel::{both, on_each, ranges};
use crate::plan::{AdditionLink, OperationKey};
use crate::psa::Agreement;
use crate::task::Task;
use hashbrown::{DefaultHashBuilder, HashTable};
use std::collections::HashSet;
use std::hash::BuildHasher;
use std::num::NonZeroU32;
use std::ops::Range;

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

/// The numbers of the subscriptions, found by their names.
struct Numbers<'a> {
    hasher: DefaultHashBuilder,
    /// Short names lie in the table itself: a look at a link is a look at one place.
    table: HashTable<(SubscriptionId, &'a SourceId, SubscriptionNo)>,
}

impl<'a> Numbers<'a> {
    fn new(first_tasks: &[&'a Task]) -> Self {
        let hasher = DefaultHashBuilder::default();
        let mut table = HashTable::with_capacity(first_tasks.len());
        for (place, task) in first_tasks.iter().enumerate() {
            let entry = (task.subscription.clone(), &task.source, SubscriptionNo::after(place));
            // There are few sources: the subscription alone tells nearly all of them apart.
            let hash = hasher.hash_one(&entry.0);
            table.insert_unique(hash, entry, |(subscription, _, _)| hasher.hash_one(subscription));
        }
        Self { hasher, table }
    }

    fn of(&self, link: &AdditionLink) -> Option<SubscriptionNo> {
        let hash = self.hasher.hash_one(&link.subscription);
        let is = |(subscription, source, _): &(SubscriptionId, &SourceId, SubscriptionNo)| {
            *subscription == link.subscription && **source == link.source
        };
        self.table.find(hash, is).map(|(_, _, number)| *number)
    }
}

/// Links, agreements and removed keys, as the tasks ask for them.
#[derive(Debug)]
pub struct Index<'a> {
    /// The products of the feed.
    pub products: Records<'a, ProductId, Product>,
    /// Which addition is whose, and which carries which key.
    pub register: Register<'a>,
    of_task: Vec<SubscriptionNo>,
    subscriptions: Vec<Option<&'a Subscription>>,
    links: Links<'a>,
    agreements: Vec<(CompanyId, &'a Agreement)>,
    removed: HashSet<&'a OperationKey, DefaultHashBuilder>,
}

/// The links of the numbered subscriptions, those of one beside each other and in the order of the world.
#[derive(Debug, Default)]
struct Links<'a> {
    starts: Vec<usize>,
    all: Vec<&'a AdditionLink>,
    /// Of each of them that holds, the agreement that it says.
    homes: Vec<Option<AgreementId>>,
}

/// What one thread found among the links.
struct Found<'a> {
    /// Places of links that hold, with their additions.
    live: Vec<(i64, usize)>,
    /// Links of the numbered subscriptions.
    numbered: Vec<Numbered>,
    removed: Vec<&'a OperationKey>,
    keyed: bool,
}

/// A link of a numbered subscription.
#[derive(Clone, Copy, Debug)]
pub struct Numbered {
    /// Whose.
    pub subscription: SubscriptionNo,
    /// Its place among the links of the world.
    pub at: usize,
    /// Where its addition is, as far as it holds.
    home: Option<AgreementId>,
}

impl<'a> Index<'a> {
    /// The agreements of the world, and the links of the subscriptions that the tasks are about. The tasks come in their
    /// order, those of one subscription beside each other.
    pub fn new(world: &'a World<'a>, tasks: &[TaskInput<'a>], threads: usize) -> Self {
        let mut first_tasks: Vec<&'a Task> = Vec::new();
        let mut of_task = Vec::with_capacity(tasks.len());
        for TaskInput { task, .. } in tasks {
            let is_next =
                |before: &&Task| before.subscription != task.subscription || before.source != task.source;
            if first_tasks.last().is_none_or(is_next) {
                first_tasks.push(task);
            }
            of_task.push(SubscriptionNo::after(first_tasks.len() - 1));
        }
        let numbers = Numbers::new(&first_tasks);
        let asked = first_tasks.iter().map(|task| (&task.source, &task.subscription));
        let (subscriptions, products) =
            (feed::find_all(world.subscriptions, asked), Records::new(world.products, tasks.len()));
        let found = on_each(&ranges(world.links.len(), threads), |range| find(world.links, range, &numbers));
        let mut agreements: Vec<_> = world.snapshot.agreements.values().map(|a| (a.company, a)).collect();
        agreements.sort_by_key(|(company, _)| *company);
        let removed = found.iter().flat_map(|found| found.removed.iter().copied()).collect();
        let keyed = found.iter().any(|found| found.keyed);
        let (numbered, live): (Vec<_>, Vec<_>) =
            found.into_iter().map(|found| (found.numbered, found.live)).unzip();
        let (links, register) = both(
            threads,
            || Links::new(world.links, first_tasks.len(), &numbered),
            || Register::new(world, &live, &numbered, keyed),
        );
        Self { products, register, of_task, subscriptions, links, agreements, removed }
    }

    /// The record of a numbered subscription, where the feed has it.
    pub fn subscription(&self, subscription: SubscriptionNo) -> Option<&'a Subscription> {
        self.subscriptions[subscription.place()]
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
        &self.links.all[self.links.of(subscription)]
    }

    /// How many of these links hold.
    pub fn held_by(&self, subscription: SubscriptionNo) -> usize {
        self.links.homes[self.links.of(subscription)].iter().flatten().count()
    }

    /// The agreements on which a subscription has lines, as far as trueup remembers; each once for every run of lines.
    pub fn homes_of(&self, subscription: SubscriptionNo) -> impl Iterator<Item = AgreementId> {
        let mut before = None;
        let homes = self.links.homes[self.links.of(subscription)].iter().flatten().copied();
        homes.filter(move |home| before.replace(*home) != Some(*home))
    }

    /// The agreements of a company.
    pub fn agreements_of(&self, company: CompanyId) -> impl Iterator<Item = &'a Agreement> {
        let first = self.agreements.partition_point(|(other, _)| *other < company);
        let from = self.agreements[first..].iter();
        from.take_while(move |(other, _)| *other == company).map(|(_, agreement)| *agreement)
    }
}

fn find<'a>(links: &'a [AdditionLink], range: Range<usize>, numbers: &Numbers<'_>) -> Found<'a> {
    let mut found = Found {
        live: Vec::with_capacity(range.len()),
        numbered: Vec::new(),
        removed: Vec::new(),
        keyed: false,
    };
    for (link, at) in links[range.clone()].iter().zip(range) {
        if let Some(subscription) = numbers.of(link) {
            let home = (!link.deleted).then_some(link.agreement);
            found.numbered.push(Numbered { subscription, at, home });
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
    fn new(links: &'a [AdditionLink], numbers: usize, numbered: &[Vec<Numbered>]) -> Self {
        let mut starts = vec![0; numbers + 1];
        for one in numbered.iter().flatten() {
            starts[one.subscription.place() + 1] += 1;
        }
        for place in 0..numbers {
            starts[place + 1] += starts[place];
        }
        let mut homes = vec![None; starts[numbers]];
        let Some(any) = links.first() else { return Self { starts, all: Vec::new(), homes } };
        let mut all = vec![any; starts[numbers]];
        let mut next = starts.clone();
        for one in numbered.iter().flatten() {
            let next = &mut next[one.subscription.place()];
            all[*next] = &links[one.at];
            homes[*next] = one.home;
            *next += 1;
        }
        Self { starts, all, homes }
    }

    /// The places of the links of a subscription.
    fn of(&self, subscription: SubscriptionNo) -> Range<usize> {
        self.starts[subscription.place()]..self.starts[subscription.place() + 1]
    }
}
