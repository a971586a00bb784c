//! The planner: from a snapshot, mappings, settings and tasks to a plan. Pure and synchronous.
//!
//! Tasks of one subscription are planned in the order of their completion, each on the picture that the one before
//! leaves behind, so that several changes of one period come out in one plan.

mod agreement;
mod alignment;
mod assemble;
mod builder;
mod by_hand;
mod cancellation;
mod change;
mod context;
mod copies;
mod feed;
mod fetch;
mod groups;
mod index;
mod late;
mod left_out;
mod lines;
mod mark;
mod modes;
mod moving;
mod order;
mod origin;
mod over;
mod part;
mod parts;
mod passing;
mod picture;
mod quantity;
mod reconcile;
mod reconciled;
mod register;
mod replayed;
mod run;
mod sales;
mod sums;
mod term;
mod text;
mod transfer;
mod twice;
mod unbilled;
mod undo;
mod usage;

use crate::feed::{Customer, Order, Product, Subscription};
use crate::ids::{AgreementId, CustomerId, OrderId, OrganizationId, ProductId, SourceId, SubscriptionId};
use crate::mapping::Mappings;
use crate::plan::{AdditionLink, DraftPlan};
use crate::psa::Snapshot;
use crate::settings::Settings;
use crate::task::{Demand, Task};
use context::Context;
use index::Index;
use jiff::civil::Date;
use std::collections::{BTreeMap, BTreeSet};

pub use builder::safe_text;
pub use passing::plan_what_passes;
pub(crate) use picture::change_id;
pub(crate) use sums::{add_up, of as sights_of};
pub use undo::{Carried, Credit, Extent, undo};

/// What to do where an open addition with the mapped item is there and trueup did not write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AdoptionAnswer {
    /// Propose it and let the new line wait.
    #[default]
    Propose,
    /// Take it over where it is the only one.
    TakeSingle,
    /// Create a new line beside it.
    CreateBeside,
}

/// Everything the planner may look at.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    /// Whose plan it is.
    pub organization: &'a OrganizationId,
    /// The organization's date.
    pub today: Date,
    /// Its settings.
    pub settings: &'a Settings,
    /// What ConnectWise holds.
    pub snapshot: &'a Snapshot,
    /// The mappings in force.
    pub mappings: &'a Mappings,
    /// What trueup wrote or took over.
    pub links: &'a [AdditionLink],
    /// Customers of the feed.
    pub customers: &'a BTreeMap<(SourceId, CustomerId), Customer>,
    /// Products of the feed.
    pub products: &'a BTreeMap<(SourceId, ProductId), Product>,
    /// Subscriptions of the feed, newest version.
    pub subscriptions: &'a BTreeMap<(SourceId, SubscriptionId), Subscription>,
    /// When the orders were completed that are planned or that wrote lines, which tells which of two is the later one; and
    /// what those say that were carried out already.
    pub completed: &'a Completions,
    /// The answer about adoption.
    pub adoption: AdoptionAnswer,
    /// Keys of our own journal whose additions no link tells of: their outcome is not known yet, or another run has just
    /// written them.
    pub unlinked: &'a BTreeSet<String>,
}

/// What is known of orders beside those that are planned: when they were completed, and what those were that were carried
/// out and may have ended something.
#[derive(Clone, Debug, Default)]
pub struct Completions {
    at: BTreeMap<(SourceId, OrderId), (i64, u32)>,
    carried_out: BTreeMap<(SourceId, SubscriptionId), Vec<Order>>,
}

impl Completions {
    /// Nothing is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// When an order was completed: instant in UTC microseconds, and which one it is of that instant.
    pub fn insert(&mut self, order: (SourceId, OrderId), at: (i64, u32)) {
        self.at.insert(order, at);
    }

    /// An order that was carried out.
    pub fn carry_out(&mut self, source: SourceId, order: Order) {
        let of_it = self.carried_out.entry((source, order.subscription.clone())).or_default();
        of_it.retain(|known| known.id != order.id);
        of_it.push(order);
    }

    /// When an order was completed, where it is known.
    pub fn get(&self, order: &(SourceId, OrderId)) -> Option<&(i64, u32)> {
        self.at.get(order)
    }

    /// The subscriptions of which orders are known that were carried out.
    pub fn subscriptions(&self) -> impl Iterator<Item = &(SourceId, SubscriptionId)> {
        self.carried_out.keys()
    }

    /// The orders of a subscription that were carried out, as far as they may have ended something.
    pub fn of(&self, source: &SourceId, subscription: &SubscriptionId) -> &[Order] {
        if self.carried_out.is_empty() {
            return &[];
        }
        self.carried_out.get(&(source.clone(), subscription.clone())).map_or(&[], Vec::as_slice)
    }
}

/// One task with what it asks for.
#[derive(Clone, Copy, Debug)]
pub struct TaskInput<'a> {
    /// The task.
    pub task: &'a Task,
    /// Its demand.
    pub demand: &'a Demand,
}

/// The agreements whose additions the plan of these tasks needs: those chosen for their subscriptions, those that hold
/// lines of them already, and the separate ones for proration. Where nothing was written for a subscription yet, somebody
/// may bill it by hand: then others of the company that would do as well, and all of them where a mapping names an
/// addition. Needs companies and agreements, no additions.
pub fn agreements_of_interest(world: &World<'_>, tasks: &[TaskInput<'_>]) -> BTreeSet<AgreementId> {
    let threads = parts::threads_for(tasks.len());
    let tasks = order::of_subscriptions(tasks, threads);
    let index = Index::new(world, &tasks, threads);
    let mut wanted = BTreeSet::new();
    for (place, input) in tasks.iter().enumerate() {
        let subscription = index.subscription_of(place);
        wanted.extend(index.homes_of(subscription));
        wanted.extend(by_hand::homes(world, &index, *input, subscription));
        if let Ok(context) = Context::resolve(world, &index, input, place) {
            wanted.insert(context.agreement.id);
            wanted.extend(context.proration_agreement.map(|a| a.id));
        }
    }
    wanted.retain(|id| world.snapshot.agreements.contains_key(id));
    wanted
}

/// Plans the tasks. The snapshot must hold the additions of [`agreements_of_interest`], whole.
pub fn plan(world: &World<'_>, tasks: &[TaskInput<'_>]) -> DraftPlan {
    parts::plan(world, tasks, parts::threads_for(tasks.len()))
}

/// The same plan, made on so many threads. How many there are shows in nothing but the time.
pub fn plan_on(world: &World<'_>, tasks: &[TaskInput<'_>], threads: usize) -> DraftPlan {
    parts::plan(world, tasks, threads)
}
