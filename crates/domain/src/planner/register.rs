//! Which addition is whose, on which agreement it was read, and which carries which key.

use super::World;
use super::index::{Known, SubscriptionNo};
use super::picture::Key;
use crate::desired::dense::Places;
use crate::ids::{AdditionId, AgreementId};
use crate::parallel::{on_each, ranges};
use crate::plan::AdditionLink;
use crate::psa::ObservedAddition;
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::OnceLock;

/// What is known of the additions.
#[derive(Debug)]
pub struct Register<'a> {
    world: &'a World<'a>,
    links: Live,
    /// What a glance tells of each link.
    known: Vec<Known>,
    keyed: bool,
    threads: usize,
    hasher: DefaultHashBuilder,
    keys: OnceLock<Keys>,
    homes: OnceLock<HashMap<AdditionId, AgreementId>>,
}

/// What trueup remembers of an addition.
#[derive(Clone, Copy, Debug)]
pub struct Remembered<'a> {
    /// The link.
    pub link: &'a AdditionLink,
    /// What is known of it without a look at it.
    pub known: Known,
}

impl Remembered<'_> {
    /// Its subscription, where tasks are about it.
    pub fn subscription(&self) -> Option<SubscriptionNo> {
        self.known.subscription
    }
}

/// An addition that has a key, by the hash of it.
#[derive(Clone, Copy, Debug)]
struct Keyed {
    hash: u64,
    home: AgreementId,
    addition: AdditionId,
}

/// The additions that have a key.
#[derive(Debug, Default)]
struct Keys {
    of: HashTable<Keyed>,
    /// Whether one of them is nobody's by the links.
    some_unknown: bool,
}

/// Where the link of an addition is, among those that hold.
#[derive(Debug)]
pub enum Live {
    /// The ids lie close together.
    Near(Places),
    /// They do not.
    Far(HashMap<i64, usize>),
}

impl Live {
    /// From the links, the least and the greatest id among those that hold. Of several links of an addition the last
    /// counts.
    pub fn new(links: &[AdditionLink], (least, most): (i64, i64), threads: usize) -> Self {
        let of = |range: Range<usize>| {
            let places = links[range.clone()].iter().zip(range);
            places.filter(|(link, _)| !link.deleted).map(|(link, at)| (link.addition.0, at))
        };
        match Places::between(least, most, links.len()) {
            Some(places) => {
                on_each(&ranges(links.len(), threads), |range| {
                    of(range).for_each(|(id, at)| places.put_last(id, at));
                });
                Self::Near(places)
            }
            None => Self::Far(of(0..links.len()).collect()),
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
    /// From where the links that hold are, what a glance tells of each link, and whether any of them has a key.
    pub fn new(world: &'a World<'a>, links: Live, known: Vec<Known>, keyed: bool, threads: usize) -> Self {
        let hasher = DefaultHashBuilder::default();
        let (keys, homes) = (OnceLock::new(), OnceLock::new());
        Self { world, links, known, keyed, threads, hasher, keys, homes }
    }

    /// What trueup remembers of an addition.
    pub fn link_of(&self, addition: AdditionId) -> Option<Remembered<'a>> {
        let at = self.links.get(addition)?;
        Some(Remembered { link: &self.world.links[at], known: self.known[at] })
    }

    fn own_key(&self, addition: &'a ObservedAddition) -> Option<&'a str> {
        Key::of(addition, self.link_of(addition.id).map(|remembered| remembered.link))
    }

    /// The addition with a key: the one that is ours by its link, else the first.
    pub fn find_key(&self, key: &str) -> Option<(AgreementId, AdditionId)> {
        let keys = self.keys();
        if keys.of.is_empty() {
            return None;
        }
        let hash = self.hasher.hash_one(key);
        keys.of.find(hash, |keyed| self.is(keyed, hash, key)).map(|keyed| (keyed.home, keyed.addition))
    }

    /// Whether an addition carries a key of which no link tells.
    pub fn has_unknown_keys(&self) -> bool {
        self.keys().some_unknown
    }

    fn keys(&self) -> &Keys {
        self.keys.get_or_init(|| self.all_keys())
    }

    fn is(&self, keyed: &Keyed, hash: u64, key: &str) -> bool {
        let there = || self.world.snapshot.additions_of(keyed.home).iter().find(|a| a.id == keyed.addition);
        keyed.hash == hash && there().and_then(|addition| self.own_key(addition)) == Some(key)
    }

    fn all_keys(&self) -> Keys {
        let mut all = Keys::default();
        if !self.keyed && !self.is_any_marked() {
            return all;
        }
        let keys = &mut all.of;
        for (home, addition) in self.additions() {
            if !self.keyed && addition.marker.is_none() {
                continue;
            }
            let link = self.link_of(addition.id).map(|remembered| remembered.link);
            let Some(key) = Key::of(addition, link) else { continue };
            all.some_unknown |= link.is_none();
            let hash = self.hasher.hash_one(key);
            match keys.find_mut(hash, |keyed| self.is(keyed, hash, key)) {
                // Of a line and the copy that a person made of it the line counts, wherever the copy is.
                Some(keyed)
                    if self.link_of(keyed.addition).is_none() && self.link_of(addition.id).is_some() =>
                {
                    (keyed.home, keyed.addition) = (home, addition.id);
                }
                Some(_) => {}
                None => {
                    keys.insert_unique(hash, Keyed { hash, home, addition: addition.id }, |keyed| keyed.hash);
                }
            }
        }
        all
    }

    /// Whether any addition that was read carries something in the place of a key.
    fn is_any_marked(&self) -> bool {
        let all = &self.world.snapshot.additions;
        let (Some((first, _)), Some((last, _))) = (all.first_key_value(), all.last_key_value()) else {
            return false;
        };
        let span = usize::try_from(last.0.abs_diff(first.0)).unwrap_or(usize::MAX).saturating_add(1);
        let marked = on_each(&ranges(span, self.threads), |part| {
            let from = |offset: usize| AgreementId(first.0.saturating_add_unsigned(offset as u64));
            // The last part ends with the last agreement, however far their ids reach.
            let upto = if part.end == span { *last } else { AgreementId(from(part.end).0 - 1) };
            all.range(from(part.start)..=upto).any(|(_, of)| of.iter().any(|a| a.marker.is_some()))
        });
        marked.contains(&true)
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
