//! Which addition is whose, on which agreement it was read, and which carries which key.

use super::World;
use super::index::{Numbered, SubscriptionNo};
use crate::desired::dense::Places;
use crate::ids::{AdditionId, AgreementId};
use crate::plan::{AdditionLink, looks_like_key};
use crate::psa::ObservedAddition;
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use std::hash::BuildHasher;
use std::sync::OnceLock;

/// What is known of the additions.
#[derive(Debug)]
pub struct Register<'a> {
    world: &'a World<'a>,
    links: Live,
    /// Of each link, the subscription where tasks are about it.
    subscriptions: Vec<Option<SubscriptionNo>>,
    keyed: bool,
    hasher: DefaultHashBuilder,
    keys: OnceLock<HashTable<Keyed>>,
    homes: OnceLock<HashMap<AdditionId, AgreementId>>,
}

/// What trueup remembers of an addition.
#[derive(Clone, Copy, Debug)]
pub struct Remembered<'a> {
    /// The link.
    pub link: &'a AdditionLink,
    /// Its subscription, where tasks are about it.
    pub subscription: Option<SubscriptionNo>,
}

/// An addition that has a key, by the hash of it.
#[derive(Clone, Copy, Debug)]
struct Keyed {
    hash: u64,
    home: AgreementId,
    addition: AdditionId,
}

/// Where the link of an addition is.
#[derive(Debug)]
enum Live {
    Near(Places),
    Far(HashMap<i64, usize>),
}

impl Live {
    /// Of several links of an addition the last counts.
    fn new(live: &[Vec<(i64, usize)>], links: usize) -> Self {
        let all = || live.iter().flatten().copied();
        let least = all().map(|(id, _)| id).min().unwrap_or_default();
        let most = all().map(|(id, _)| id).max().unwrap_or_default();
        match Places::between(least, most, links) {
            Some(places) => {
                all().for_each(|(id, at)| places.put(id, at));
                Self::Near(places)
            }
            None => Self::Far(all().collect()),
        }
    }

    fn get(&self, addition: AdditionId) -> Option<usize> {
        match self {
            Self::Near(places) => places.get(addition.0),
            Self::Far(places) => places.get(&addition.0).copied(),
        }
    }
}

impl<'a> Register<'a> {
    /// From the places of the links that hold with their additions, those of the subscriptions that tasks are about, and
    /// whether any link has a key.
    pub fn new(
        world: &'a World<'a>,
        live: &[Vec<(i64, usize)>],
        numbered: &[Vec<Numbered>],
        keyed: bool,
    ) -> Self {
        let mut subscriptions = vec![None; world.links.len()];
        for one in numbered.iter().flatten() {
            subscriptions[one.at] = Some(one.subscription);
        }
        let links = Live::new(live, world.links.len());
        let hasher = DefaultHashBuilder::default();
        Self { world, links, subscriptions, keyed, hasher, keys: OnceLock::new(), homes: OnceLock::new() }
    }

    /// What trueup remembers of an addition.
    pub fn link_of(&self, addition: AdditionId) -> Option<Remembered<'a>> {
        let at = self.links.get(addition)?;
        Some(Remembered { link: &self.world.links[at], subscription: self.subscriptions[at] })
    }

    /// The key of an addition: the one that was remembered, else the one that it carries.
    pub fn key_of(addition: &'a ObservedAddition, link: Option<&'a AdditionLink>) -> Option<&'a str> {
        let remembered = link.and_then(|l| l.key.as_ref()).map(|key| key.0.as_str());
        remembered.or_else(|| addition.marker.as_deref().filter(|marker| looks_like_key(marker)))
    }

    fn own_key(&self, addition: &'a ObservedAddition) -> Option<&'a str> {
        Self::key_of(addition, self.link_of(addition.id).map(|remembered| remembered.link))
    }

    /// The first addition with a key.
    pub fn find_key(&self, key: &str) -> Option<(AgreementId, AdditionId)> {
        let keys = self.keys.get_or_init(|| self.all_keys());
        let hash = self.hasher.hash_one(key);
        keys.find(hash, |keyed| self.is(keyed, hash, key)).map(|keyed| (keyed.home, keyed.addition))
    }

    fn is(&self, keyed: &Keyed, hash: u64, key: &str) -> bool {
        let there = || self.world.snapshot.additions_of(keyed.home).iter().find(|a| a.id == keyed.addition);
        keyed.hash == hash && there().and_then(|addition| self.own_key(addition)) == Some(key)
    }

    fn all_keys(&self) -> HashTable<Keyed> {
        let mut keys = HashTable::new();
        for (home, addition) in self.additions() {
            if !self.keyed && addition.marker.is_none() {
                continue;
            }
            let Some(key) = self.own_key(addition) else { continue };
            let hash = self.hasher.hash_one(key);
            if keys.find(hash, |keyed| self.is(keyed, hash, key)).is_none() {
                keys.insert_unique(hash, Keyed { hash, home, addition: addition.id }, |keyed| keyed.hash);
            }
        }
        keys
    }

    /// The agreement on which an addition was read.
    pub fn home_of(&self, addition: AdditionId) -> Option<AgreementId> {
        let homes = self.homes.get_or_init(|| self.additions().map(|(home, a)| (a.id, home)).collect());
        homes.get(&addition).copied()
    }

    /// Whether the addition of a link was read, on its agreement or on another.
    pub fn was_read(&self, link: &AdditionLink) -> bool {
        self.world.snapshot.additions_of(link.agreement).iter().any(|a| a.id == link.addition)
            || self.home_of(link.addition).is_some()
    }

    fn additions(&self) -> impl Iterator<Item = (AgreementId, &'a ObservedAddition)> {
        let all = &self.world.snapshot.additions;
        all.iter().flat_map(|(home, of)| of.iter().map(|addition| (*home, addition)))
    }
}
