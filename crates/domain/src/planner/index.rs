//! What is looked up again and again: built once a plan, and borrowed from the world. The subscriptions that tasks are
//! about are numbered, so that nothing after this compares their names. Which map is asked in which order never shows in
//! a plan: nothing goes through a hashed map from its one end to the other.

use super::feed::{self, Records};
use super::origin::Glance;
use super::register::{Live, Register};
use super::{TaskInput, World};
use crate::feed::{Order, Product, Subscription};
use crate::ids::{AdditionId, AgreementId, CompanyId, ProductId, SourceId, SubscriptionId};
use crate::mapping::Mapping;
use crate::parallel::{both, on_each, ranges};
use crate::plan::{AdditionLink, OperationKey, Role};
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
        let mut source = first_tasks.first().map(|task| &task.source);
        for (place, task) in first_tasks.iter().enumerate() {
            // All that have a source name the same one: it need not be read anew for each of them.
            let source = match source {
                Some(before) if *before == task.source => before,
                Some(_) | None => source.insert(&task.source),
            };
            let entry = (task.subscription.clone(), source, SubscriptionNo::after(place));
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
    /// Of each task, the mapping of its customer.
    customers: Vec<Option<&'a Mapping>>,
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
    /// Role and product of each at a glance.
    glances: Vec<Glance>,
    /// Of each subscription, what those of its links that hold say together.
    held: Vec<Held>,
}

/// What the links of a subscription that hold say together.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    count: u32,
    /// Whether they say another agreement than the first as well.
    elsewhere: bool,
    /// The agreement of the first.
    home: Option<AgreementId>,
    /// The newest line that is open, and its agreement.
    newest: Option<(AdditionId, AgreementId)>,
}

impl Held {
    fn add(&mut self, link: &Numbered) {
        self.count += 1;
        self.elsewhere |= *self.home.get_or_insert(link.agreement) != link.agreement;
        if link.open && self.newest.is_none_or(|(addition, _)| addition <= link.addition) {
            self.newest = Some((link.addition, link.agreement));
        }
    }
}

/// What one thread found among the links.
struct Found<'a> {
    /// The least and the greatest id of an addition among the links that hold.
    bounds: (i64, i64),
    /// Links of the numbered subscriptions.
    numbered: Vec<Numbered>,
    /// The additions of those that an undo made again.
    again: Vec<AdditionId>,
    /// What a glance tells of each link.
    known: Vec<Known>,
    removed: Vec<&'a OperationKey>,
    keyed: bool,
}

/// What is known of a link without a look at it.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Its subscription, where tasks are about it.
    pub subscription: Option<SubscriptionNo>,
    /// Role and product at a glance.
    pub glance: Glance,
}

/// A link of a numbered subscription.
#[derive(Clone, Copy, Debug)]
struct Numbered {
    subscription: SubscriptionNo,
    /// Its place among the links of the world.
    at: u32,
    addition: AdditionId,
    agreement: AgreementId,
    /// Role and product at a glance.
    glance: Glance,
    /// Whether it holds.
    held: bool,
    /// Whether its line has no end.
    open: bool,
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
        let (found, (subscriptions, products, agreements)) = both(
            threads,
            || on_each(&ranges(world.links.len(), threads), |range| find(world.links, range, &numbers)),
            || {
                let subscriptions = feed::find_all(world.subscriptions, asked.clone());
                (subscriptions, Records::new(world.products, tasks.len()), by_company(world))
            },
        );
        let customer_of =
            |TaskInput { task, .. }: &TaskInput<'a>| world.mappings.customer(&task.source, &task.customer);
        let customers = on_each(&ranges(tasks.len(), threads), |range| {
            tasks[range].iter().map(customer_of).collect::<Vec<_>>()
        });
        let removed = found.iter().flat_map(|found| found.removed.iter().copied()).collect();
        let keyed = found.iter().any(|found| found.keyed);
        let least = found.iter().map(|found| found.bounds.0).min().unwrap_or_default();
        let most = found.iter().map(|found| found.bounds.1).max().unwrap_or_default();
        // What is there again was never taken away.
        let again: HashSet<AdditionId> = found.iter().flat_map(|found| found.again.iter().copied()).collect();
        let (mut numbered, known): (Vec<_>, Vec<_>) =
            found.into_iter().map(|found| (found.numbered, found.known)).unzip();
        if !again.is_empty() {
            numbered.iter_mut().for_each(|of| of.retain(|one| one.held || !again.contains(&one.addition)));
        }
        let (links, known) =
            both(threads, || Links::new(world.links, first_tasks.len(), &numbered), || known.concat());
        drop(numbered);
        let live = Live::new(world.links, (least, most), threads);
        let register = Register::new(world, live, known, keyed, threads);
        let customers = customers.concat();
        Self { products, register, of_task, customers, subscriptions, links, agreements, removed }
    }

    /// The mapping of the customer of the task at a place.
    pub fn customer_of(&self, task: usize) -> Option<&'a Mapping> {
        self.customers[task]
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

    /// Those of them that are for a product in a role. Of the others nothing is read.
    pub fn links_for(
        &self,
        subscription: SubscriptionNo,
        product: &ProductId,
        role: Role,
    ) -> impl Iterator<Item = &'a AdditionLink> {
        let (places, glance) = (self.links.of(subscription), Glance::of(product, role));
        let all = self.links.all[places.clone()].iter().zip(&self.links.glances[places]);
        let like = all.filter(move |(_, own)| **own == glance).map(|(link, _)| *link);
        like.filter(move |link| link.role == role && link.product == *product)
    }

    /// The agreement of the newest of these links that holds and whose line is open.
    pub fn newest_home_of(&self, subscription: SubscriptionNo) -> Option<AgreementId> {
        self.links.held[subscription.place()].newest.map(|(_, home)| home)
    }

    /// How many of these links hold.
    pub fn held_by(&self, subscription: SubscriptionNo) -> usize {
        self.links.held[subscription.place()].count as usize
    }

    /// The agreements on which a subscription has lines, as far as trueup remembers; each once for every run of lines.
    pub fn homes_of(&self, subscription: SubscriptionNo) -> impl Iterator<Item = AgreementId> {
        let Held { home, elsewhere, .. } = self.links.held[subscription.place()];
        let all = if elsewhere { self.links_of(subscription) } else { &[] };
        let held = all.iter().filter(|link| !link.deleted).map(|link| link.agreement);
        // The first of all is the one home again.
        let mut before = None;
        home.into_iter().chain(held).filter(move |home| before.replace(*home) != Some(*home))
    }

    /// The additions that mappings name as lines of what an order or its subscription holds.
    pub fn named_additions<'w>(
        &'w self,
        world: &'w World<'a>,
        task: &'w Task,
        order: Option<&'w Order>,
        subscription: SubscriptionNo,
    ) -> impl Iterator<Item = AdditionId> + 'w {
        let sold = self.subscription(subscription);
        let held = sold.into_iter().flat_map(|sold| {
            sold.items.iter().map(|item| &item.product).chain(sold.plan.iter().map(|plan| &plan.product))
        });
        let ordered = order.into_iter().flat_map(|order| order.lines.iter().map(|line| &line.product));
        let of = move |product| world.mappings.adopted_additions(&task.source, &task.subscription, product);
        ordered.chain(held).flat_map(of)
    }

    /// The agreements of a company.
    pub fn agreements_of(&self, company: CompanyId) -> impl Iterator<Item = &'a Agreement> {
        let first = self.agreements.partition_point(|(other, _)| *other < company);
        let from = self.agreements[first..].iter();
        from.take_while(move |(other, _)| *other == company).map(|(_, agreement)| *agreement)
    }
}

fn by_company<'a>(world: &World<'a>) -> Vec<(CompanyId, &'a Agreement)> {
    let mut agreements: Vec<_> = world.snapshot.agreements.values().map(|a| (a.company, a)).collect();
    agreements.sort_by_key(|(company, _)| *company);
    agreements
}

fn find<'a>(links: &'a [AdditionLink], range: Range<usize>, numbers: &Numbers<'_>) -> Found<'a> {
    let mut found = Found {
        bounds: (i64::MAX, i64::MIN),
        numbered: Vec::with_capacity(range.len()),
        again: Vec::new(),
        known: Vec::with_capacity(range.len()),
        removed: Vec::new(),
        keyed: false,
    };
    for (link, at) in links[range.clone()].iter().zip(range) {
        // A line that an undo settled is as if it had never been.
        let subscription = numbers.of(link).filter(|_| !link.is_settled());
        let glance = Glance::of(&link.product, link.role);
        if let Some(subscription) = subscription {
            let (at, addition, agreement) = (at as u32, link.addition, link.agreement);
            let (held, open) = (!link.deleted, link.written.is_open());
            found.again.extend(link.again());
            found.numbered.push(Numbered { subscription, at, addition, agreement, glance, held, open });
        }
        found.known.push(Known { subscription, glance });
        if !link.deleted {
            let ((least, most), id) = (found.bounds, link.addition.0);
            found.bounds = (least.min(id), most.max(id));
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
        let mut held = vec![Held::default(); numbers];
        let (Some(any), Some(one)) = (links.first(), numbered.iter().flatten().next()) else {
            return Self { starts, held, ..Self::default() };
        };
        let mut all = vec![any; starts[numbers]];
        let mut glances = vec![one.glance; starts[numbers]];
        let mut next = starts.clone();
        for one in numbered.iter().flatten() {
            let next = &mut next[one.subscription.place()];
            all[*next] = &links[one.at as usize];
            glances[*next] = one.glance;
            *next += 1;
            if one.held {
                held[one.subscription.place()].add(one);
            }
        }
        Self { starts, all, glances, held }
    }

    /// The places of the links of a subscription.
    fn of(&self, subscription: SubscriptionNo) -> Range<usize> {
        self.starts[subscription.place()]..self.starts[subscription.place() + 1]
    }
}
