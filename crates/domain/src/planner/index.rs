//! What is looked up again and again: built once a plan, and borrowed from the world. Which map is asked in which order
//! never shows in a plan: nothing goes through a hashed map from its one end to the other.

use super::{TaskInput, World};
use crate::ids::{AdditionId, AgreementId, CompanyId, SourceId, SubscriptionId};
use crate::plan::{AdditionLink, OperationKey, looks_like_key};
use crate::psa::Agreement;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::OnceLock;

/// A subscription of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionKey<'a> {
    /// Source.
    pub source: &'a SourceId,
    /// Subscription.
    pub subscription: &'a SubscriptionId,
}

impl Hash for SubscriptionKey<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // There are few sources: the subscription alone tells nearly all of them apart.
        self.subscription.hash(state);
    }
}

/// What trueup wrote or took over for one subscription.
#[derive(Debug, Default)]
struct Links<'a> {
    all: Vec<&'a AdditionLink>,
    /// The agreements of those that are not deleted.
    agreements: Vec<AgreementId>,
}

/// Links, agreements and removed keys, as the tasks ask for them.
#[derive(Debug)]
pub struct Index<'a> {
    world: &'a World<'a>,
    links: HashMap<SubscriptionKey<'a>, Links<'a>>,
    agreements: HashMap<CompanyId, Vec<&'a Agreement>>,
    removed: HashSet<&'a OperationKey>,
    homes: OnceLock<HashMap<AdditionId, AgreementId>>,
}

impl<'a> Index<'a> {
    /// The agreements of the world, and the links of the subscriptions that the tasks are about.
    pub fn new(world: &'a World<'a>, tasks: &[TaskInput<'a>]) -> Self {
        let of_task = |t: &TaskInput<'a>| SubscriptionKey {
            source: &t.task.source,
            subscription: &t.task.subscription,
        };
        let mut links: HashMap<_, Links<'_>> = tasks.iter().map(|t| (of_task(t), Links::default())).collect();
        let mut removed = HashSet::new();
        for link in world.links {
            let key = SubscriptionKey { source: &link.source, subscription: &link.subscription };
            if let Some(of) = links.get_mut(&key) {
                of.all.push(link);
                if !link.deleted && !of.agreements.contains(&link.agreement) {
                    of.agreements.push(link.agreement);
                }
            }
            if let Some(key) = link.key.as_ref().filter(|_| link.deleted) {
                removed.insert(key);
            }
        }
        let mut agreements: HashMap<_, Vec<_>> = HashMap::new();
        for agreement in world.snapshot.agreements.values() {
            agreements.entry(agreement.company).or_default().push(agreement);
        }
        Self { world, links, agreements, removed, homes: OnceLock::new() }
    }

    /// Whether trueup wrote the line with this key and removed it again: what an order made and a later one took away
    /// is not made again.
    pub fn was_removed(&self, key: &OperationKey) -> bool {
        self.removed.contains(key)
    }

    /// The agreement on which an addition was read.
    pub fn home_of(&self, addition: AdditionId) -> Option<AgreementId> {
        let homes = self.homes.get_or_init(|| {
            let all = &self.world.snapshot.additions;
            all.iter().flat_map(|(home, of)| of.iter().map(|a| (a.id, *home))).collect()
        });
        homes.get(&addition).copied()
    }

    /// Whether the addition of a link was read, on its agreement or on another.
    pub fn was_read(&self, link: &AdditionLink) -> bool {
        self.world.snapshot.additions_of(link.agreement).iter().any(|a| a.id == link.addition)
            || self.home_of(link.addition).is_some()
    }

    /// What trueup wrote or took over for the subscription of a task.
    pub fn links_of(&self, source: &'a SourceId, subscription: &'a SubscriptionId) -> &[&'a AdditionLink] {
        self.links.get(&SubscriptionKey { source, subscription }).map_or(&[], |of| &of.all)
    }

    /// The agreements on which a subscription has lines, as far as trueup remembers.
    pub fn homes_of(&self, source: &'a SourceId, subscription: &'a SubscriptionId) -> &[AgreementId] {
        self.links.get(&SubscriptionKey { source, subscription }).map_or(&[], |of| &of.agreements)
    }

    /// The agreements of a company.
    pub fn agreements_of(&self, company: CompanyId) -> &[&'a Agreement] {
        self.agreements.get(&company).map_or(&[], Vec::as_slice)
    }
}

/// Which addition is whose, and which carries which key.
#[derive(Debug)]
pub struct Register<'a> {
    links: HashMap<AdditionId, &'a AdditionLink>,
    keys: HashMap<&'a str, (AgreementId, AdditionId)>,
}

impl<'a> Register<'a> {
    /// All links that hold, and all keys that were read.
    pub fn new(world: &World<'a>) -> Self {
        let mut links = HashMap::with_capacity(world.links.len());
        links.extend(world.links.iter().filter(|l| !l.deleted).map(|l| (l.addition, l)));
        let mut register = Self { links, keys: HashMap::new() };
        let in_links = world.links.iter().any(|l| l.key.is_some());
        for (agreement, additions) in &world.snapshot.additions {
            for addition in additions {
                if !in_links && addition.marker.is_none() {
                    continue;
                }
                if let Some(key) = register.key_of(addition) {
                    register.keys.entry(key).or_insert((*agreement, addition.id));
                }
            }
        }
        register
    }

    /// What trueup remembers of an addition.
    pub fn link_of(&self, addition: AdditionId) -> Option<&'a AdditionLink> {
        self.links.get(&addition).copied()
    }

    /// The key of an addition: the one that was remembered, else the one that it carries.
    pub fn key_of(&self, addition: &'a crate::psa::ObservedAddition) -> Option<&'a str> {
        let remembered = self.link_of(addition.id).and_then(|l| l.key.as_ref());
        let carried = || addition.marker.as_deref().filter(|marker| looks_like_key(marker));
        remembered.map(|key| key.0.as_str()).or_else(carried)
    }

    /// The first addition with a key.
    pub fn find_key(&self, key: &str) -> Option<(AgreementId, AdditionId)> {
        self.keys.get(key).copied()
    }
}
