//! The sums, in parts with a lock each, so that threads seldom wait for one another.
//!
//! There are many more sums than a processor's caches hold, and lines come in any order: what counts is how often memory
//! is waited for. So lines wait until there are some of a part, which looks at all that they need at once before it adds
//! them; a sum is one line of the cache, and its key lies as long as it is among the keys of its part (D188).

use super::keys::Keys;
use super::line::{Marks, Odd, Share};
use super::pass::Hashed;
use super::plain::PLACES;
use hashbrown::HashMap;
use std::hint::black_box;
use std::iter::repeat;
use std::sync::{Mutex, MutexGuard, PoisonError};
use trueup_domain::money::{Exact, MoneyError};

/// How many parts; a power of two.
pub(super) const PARTS: usize = 64;

/// Sums of one allocation.
const CHUNK: usize = 256;

/// The part of a hash.
pub(super) fn part_of(hash: u64) -> usize {
    (hash >> 58) as usize
}

/// The sum of one key.
#[derive(Clone, Debug)]
#[repr(align(64))]
struct Sum {
    quantity: i128,
    amount: i128,
    first: u64,
    last: u64,
    /// Where its key begins.
    key: u32,
    lines: u32,
    has_amount: bool,
    has_cost: bool,
}

/// What a key came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Total {
    pub(super) quantity: Figure,
    /// None where no line tells one.
    pub(super) amount: Option<Figure>,
    pub(super) cost: Option<Figure>,
    pub(super) lines: u32,
    pub(super) estimates: u32,
    /// Where the first and the last line of the key stand.
    pub(super) first: u64,
    pub(super) last: u64,
}

/// A sum in units of 10^-18, and what did not fit them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Figure {
    units: i128,
    odd: Option<Exact>,
}

impl Figure {
    /// The exact value.
    pub(super) fn exact(self) -> Result<Exact, MoneyError> {
        let value = exact(self.units)?;
        self.odd.map_or(Ok(value), |odd| value.plus(odd))
    }

    /// Adds another.
    pub(super) fn add(&mut self, other: Self) -> Result<(), MoneyError> {
        let odd = match self.units.checked_add(other.units) {
            Some(units) => {
                self.units = units;
                other.odd
            }
            None => Some(other.exact()?),
        };
        if let Some(odd) = odd {
            self.odd = Some(self.odd.unwrap_or(Exact::ZERO).plus(odd)?);
        }
        Ok(())
    }
}

/// Some of the sums: those whose keys' hashes begin alike. Parts share no line of the cache, so that threads at work on two
/// of them do not wait for one another.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct Part {
    /// Upper half: of the hash. Lower half: the number of the sum, from 1; 0 is free.
    slots: Vec<u64>,
    sums: Vec<Vec<Sum>>,
    count: u32,
    costs: Vec<i128>,
    estimates: Vec<u32>,
    keys: Keys,
    /// What does not fit the units of a sum.
    odd: HashMap<u32, Odd>,
}

/// Whether lines are added or taken off again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Add,
    TakeOff,
}

/// So many lines of a part wait at most.
const MOST_WAITING: usize = 64;

/// So many bytes of their keys.
const MOST_KEYS: usize = MOST_WAITING * 128;

/// A line on its way to its sum: one line of the cache, as these are written and read once more.
#[derive(Clone, Debug)]
struct Entry {
    quantity: i128,
    amount: i128,
    hash: u64,
    place: u64,
    /// Where its key ends among those that wait; it begins where the one before ends.
    end: u32,
    marks: Marks,
}

/// Lines of a part on their way to their sums.
#[derive(Default)]
pub(super) struct Waiting {
    entries: Vec<Entry>,
    keys: Vec<u8>,
    /// Of those that tell one, which are few.
    costs: Vec<i128>,
}

impl Waiting {
    pub(super) fn push(&mut self, Hashed { key, hash }: Hashed<'_>, place: u64, share: &Share) {
        let Share { quantity, amount, cost, marks } = *share;
        self.keys.extend_from_slice(key);
        // A key is shorter than a record, and few of them wait.
        let end = self.keys.len() as u32;
        self.entries.push(Entry { quantity, amount, hash, place, end, marks });
        if marks.has_cost {
            self.costs.push(cost);
        }
    }

    /// The lines with their keys.
    fn lines(&self) -> impl Iterator<Item = (&Entry, &[u8])> {
        let mut begin = 0;
        self.entries.iter().map(move |entry| {
            let end = entry.end as usize;
            let key = self.keys.get(begin..end).unwrap_or_default();
            begin = end;
            (entry, key)
        })
    }

    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= MOST_WAITING || self.keys.len() > MOST_KEYS
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.keys.clear();
        self.costs.clear();
    }
}

/// All sums.
pub(super) struct Groups {
    parts: Vec<Mutex<Part>>,
}

impl Groups {
    pub(super) fn new() -> Self {
        Self { parts: (0..PARTS).map(|_| Mutex::new(Part::default())).collect() }
    }

    fn part(&self, at: usize) -> Option<MutexGuard<'_, Part>> {
        // A thread that panicked ends the whole: nothing that it left half done is used.
        Some(self.parts.get(at)?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds lines of one part.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] where a sum leaves every range.
    pub(super) fn add(&self, part: usize, waiting: &Waiting) -> Result<(), MoneyError> {
        match self.part(part) {
            Some(mut part) if !waiting.entries.is_empty() => part.add(waiting),
            Some(_) | None => Ok(()),
        }
    }

    /// Adds or takes off one line of any key.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub(super) fn take(
        &self,
        way: Way,
        key: &[u8],
        (hash, place): (u64, u64),
        share: &Share,
        odd: Option<Odd>,
    ) -> Result<(), MoneyError> {
        let Some(mut part) = self.part(part_of(hash)) else { return Ok(()) };
        let at = part.find_or_make(hash, key, place)?;
        part.take(at, place, share, odd, way)
    }

    /// Goes through what each key came to.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] where a sum leaves every range.
    pub(super) fn each(
        &self,
        mut see: impl FnMut(&[u8], Total) -> Result<(), MoneyError>,
    ) -> Result<(), MoneyError> {
        for at in 0..PARTS {
            let Some(part) = self.part(at) else { continue };
            for (key, at) in part.keys() {
                if let Some(total) = part.total(at) {
                    see(key, total)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn into_parts(self) -> impl Iterator<Item = Part> + Send + 'static {
        self.parts.into_iter().map(|part| part.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Part {
    fn keys(&self) -> impl Iterator<Item = (&[u8], u32)> {
        self.sums.iter().flatten().zip(0..).map(|(sum, at)| (self.keys.get(sum.key), at))
    }

    /// The keys with the numbers of their sums, in order.
    pub(super) fn in_order(&self) -> Vec<(Vec<u8>, u32)> {
        let mut keys: Vec<_> = self.keys().map(|(key, at)| (key.to_vec(), at)).collect();
        keys.sort_unstable();
        keys
    }

    fn sum(&self, at: u32) -> Option<&Sum> {
        self.sums.get(at as usize / CHUNK)?.get(at as usize % CHUNK)
    }

    fn add(&mut self, waiting: &Waiting) -> Result<(), MoneyError> {
        let told = self.look_at(waiting);
        let mut costs = waiting.costs.iter();
        for ((entry, key), told) in waiting.lines().zip(told.into_iter().chain(repeat(None))) {
            let at = match told.filter(|at| self.is_key(*at, key)) {
                Some(at) => at,
                None => self.find_or_make(entry.hash, key, entry.place)?,
            };
            let Entry { quantity, amount, marks, .. } = *entry;
            let cost = if marks.has_cost { costs.next().copied().unwrap_or(0) } else { 0 };
            self.take(at, entry.place, &Share { quantity, amount, cost, marks }, None, Way::Add)?;
        }
        Ok(())
    }

    /// The sums that the hashes of lines tell of. Each step is taken for all lines before the next one, so that what they
    /// need is waited for at once: first the slots, then the sums, then the keys from end to end.
    fn look_at(&self, waiting: &Waiting) -> [Option<u32>; MOST_WAITING] {
        let slots = waiting.entries.iter().map(|entry| self.slots.get(self.slot(entry.hash)));
        black_box(slots.fold(0, |all, slot| all ^ slot.copied().unwrap_or(0)));
        let mut told = [None; MOST_WAITING];
        for (told, entry) in told.iter_mut().zip(&waiting.entries) {
            *told = self.probe(self.slot(entry.hash), entry.hash).1;
        }
        let mut keys = [u32::MAX; MOST_WAITING];
        for (key, told) in keys.iter_mut().zip(told) {
            *key = told.and_then(|at| self.sum(at)).map_or(u32::MAX, |sum| sum.key);
        }
        let ends = waiting.lines().zip(keys).map(|((_, key), kept)| self.keys.ends(kept, key.len()));
        black_box(ends.fold(0, |all, ends| all ^ ends));
        told
    }

    fn slot(&self, hash: u64) -> usize {
        hash as u32 as usize & self.slots.len().wrapping_sub(1)
    }

    /// The number of a key's sum, which is made where it is new.
    fn find_or_make(&mut self, hash: u64, key: &[u8], place: u64) -> Result<u32, MoneyError> {
        if (self.count as usize + 1) * 2 > self.slots.len() {
            self.grow();
        }
        let mut slot = self.slot(hash);
        loop {
            match self.probe(slot, hash) {
                (_, Some(at)) if self.is_key(at, key) => return Ok(at),
                (other, Some(_)) => slot = (other + 1) & (self.slots.len() - 1),
                (free, None) => {
                    let at = self.make(key, place)?;
                    if let Some(free) = self.slots.get_mut(free) {
                        *free = hash << 32 | u64::from(at + 1);
                    }
                    return Ok(at);
                }
            }
        }
    }

    /// From a slot on, the next one that holds this hash, with the number of its sum, or else the next free one. Another
    /// key may have the same hash.
    fn probe(&self, mut slot: usize, hash: u64) -> (usize, Option<u32>) {
        while let Some(found) = self.slots.get(slot).filter(|found| **found != 0) {
            if found >> 32 == u64::from(hash as u32) {
                return (slot, Some((*found as u32).wrapping_sub(1)));
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        (slot, None)
    }

    fn is_key(&self, at: u32, key: &[u8]) -> bool {
        self.sum(at).is_some_and(|sum| self.keys.get(sum.key) == key)
    }

    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(64);
        let before = std::mem::replace(&mut self.slots, vec![0; size]);
        for entry in before.into_iter().filter(|entry| *entry != 0) {
            let mut slot = self.slot(entry >> 32);
            while self.slots.get(slot).is_some_and(|taken| *taken != 0) {
                slot = (slot + 1) & (size - 1);
            }
            if let Some(free) = self.slots.get_mut(slot) {
                *free = entry;
            }
        }
    }

    fn make(&mut self, key: &[u8], place: u64) -> Result<u32, MoneyError> {
        let at = self.count;
        self.count = at.checked_add(1).filter(|count| *count < u32::MAX).ok_or(MoneyError::Overflow)?;
        let key = self.keys.push(key).ok_or(MoneyError::Overflow)?;
        if self.sums.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.sums.push(Vec::with_capacity(CHUNK));
        }
        if let Some(chunk) = self.sums.last_mut() {
            chunk.push(Sum {
                quantity: 0,
                amount: 0,
                first: place,
                last: place,
                key,
                lines: 0,
                has_amount: false,
                has_cost: false,
            });
        }
        Ok(at)
    }

    fn take(
        &mut self,
        at: u32,
        place: u64,
        share: &Share,
        odd: Option<Odd>,
        way: Way,
    ) -> Result<(), MoneyError> {
        let place_of = at as usize;
        let Some(sum) = self.sums.get_mut(place_of / CHUNK).and_then(|c| c.get_mut(place_of % CHUNK)) else {
            return Ok(());
        };
        sum.first = sum.first.min(place);
        sum.last = sum.last.max(place);
        sum.lines = count(sum.lines, way)?;
        sum.has_amount |= share.marks.has_amount;
        sum.has_cost |= share.marks.has_cost;
        if share.marks.is_estimate {
            let estimates = of(&mut self.estimates, place_of);
            *estimates = count(*estimates, way)?;
        }
        if odd.is_none()
            && let Some(quantity) = plus(sum.quantity, share.quantity, way)
            && let Some(amount) = plus(sum.amount, share.amount, way)
        {
            if share.cost == 0 {
                (sum.quantity, sum.amount) = (quantity, amount);
                return Ok(());
            }
            let cost = of(&mut self.costs, place_of);
            if let Some(more) = plus(*cost, share.cost, way) {
                (sum.quantity, sum.amount, *cost) = (quantity, amount, more);
                return Ok(());
            }
        }
        let odd = match odd {
            Some(odd) => odd,
            None => [exact(share.quantity)?, exact(share.amount)?, exact(share.cost)?],
        };
        let sums = self.odd.entry(at).or_insert([Exact::ZERO; 3]);
        for (sum, value) in sums.iter_mut().zip(odd) {
            *sum = match way {
                Way::Add => sum.plus(value)?,
                Way::TakeOff => sum.minus(value)?,
            };
        }
        Ok(())
    }

    /// None where nothing is left of the key's lines.
    pub(super) fn total(&self, at: u32) -> Option<Total> {
        let sum = self.sum(at).filter(|sum| sum.lines > 0)?;
        let odd = self.odd.get(&at);
        let figure =
            |units: i128, which: usize| Figure { units, odd: odd.and_then(|odd| odd.get(which)).copied() };
        let cost = self.costs.get(at as usize).copied().unwrap_or(0);
        Some(Total {
            quantity: figure(sum.quantity, 0),
            amount: sum.has_amount.then(|| figure(sum.amount, 1)),
            cost: sum.has_cost.then(|| figure(cost, 2)),
            lines: sum.lines,
            estimates: self.estimates.get(at as usize).copied().unwrap_or(0),
            first: sum.first,
            last: sum.last,
        })
    }
}

fn exact(units: i128) -> Result<Exact, MoneyError> {
    Exact::ratio(units, 10_i128.pow(PLACES))
}

fn plus(sum: i128, value: i128, way: Way) -> Option<i128> {
    match way {
        Way::Add => sum.checked_add(value),
        Way::TakeOff => sum.checked_sub(value),
    }
}

fn count(lines: u32, way: Way) -> Result<u32, MoneyError> {
    match way {
        Way::Add => lines.checked_add(1).ok_or(MoneyError::Overflow),
        Way::TakeOff => Ok(lines.saturating_sub(1)),
    }
}

/// The value at a place of a list that is as long as it has to be.
fn of<T: Copy + Default>(list: &mut Vec<T>, at: usize) -> &mut T {
    if list.len() <= at {
        list.resize(at + 1, T::default());
    }
    &mut list[at]
}
