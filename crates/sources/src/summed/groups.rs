//! The sums, in parts with a lock each, so that threads seldom wait for one another.
//!
//! There are many more sums than a processor's caches hold, and lines come in any order: what counts is how often memory
//! is waited for. A sum stands beside its key, and a part looks at the sums of some lines at once before it adds to them.

use super::key::{SHORT, ShortKey};
use super::line::{Odd, Share};
use super::plain::PLACES;
use hashbrown::HashMap;
use std::hint::black_box;
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
struct Sum {
    quantity: i128,
    amount: i128,
    first: u64,
    last: u64,
    lines: u32,
    /// 0 where the key is a long one.
    length: u8,
    has_amount: bool,
    has_cost: bool,
    key: ShortKey,
}

impl Sum {
    /// Looks at all bytes at once: nearly always they are the same.
    fn is_of(&self, key: &ShortKey, length: u8) -> bool {
        let differs = self.key.iter().zip(key).fold(0, |all, (a, b)| all | (a ^ b));
        differs == 0 && self.length == length
    }
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

/// Some of the sums: those whose keys' hashes begin alike.
#[derive(Default)]
pub(super) struct Part {
    /// Upper half: of the hash. Lower half: the number of the sum, from 1; 0 is free.
    slots: Vec<u64>,
    sums: Vec<Vec<Sum>>,
    count: u32,
    costs: Vec<i128>,
    estimates: Vec<u32>,
    /// Keys that are too long to stand beside their sums.
    long: HashMap<Vec<u8>, u32>,
    /// What does not fit the units of a sum.
    odd: HashMap<u32, Odd>,
}

/// Whether lines are added or taken off again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Add,
    TakeOff,
}

/// A line with a short key on its way to its sum.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) hash: u64,
    pub(super) place: u64,
    pub(super) share: Share,
    pub(super) key: ShortKey,
    pub(super) length: u8,
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
    pub(super) fn add(&self, part: usize, entries: &[Entry]) -> Result<(), MoneyError> {
        match self.part(part) {
            Some(mut part) if !entries.is_empty() => part.add(entries),
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
        let mut short = [0; SHORT];
        let at = match (short.get_mut(..key.len()), u8::try_from(key.len())) {
            (Some(begin), Ok(length)) => {
                begin.copy_from_slice(key);
                part.short(hash, &short, length, place)?
            }
            (Some(_) | None, _) => part.long(key, place)?,
        };
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
        let short = self.sums.iter().flatten().zip(0..).filter(|(sum, _)| sum.length > 0);
        let short = short.map(|(sum, at)| (sum.key.get(..usize::from(sum.length)).unwrap_or_default(), at));
        short.chain(self.long.iter().map(|(key, at)| (key.as_slice(), *at)))
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

    fn add(&mut self, entries: &[Entry]) -> Result<(), MoneyError> {
        // Reads of many lines that do not wait for one another: first the slots, then the sums.
        let guessed: Vec<u64> =
            entries.iter().map(|entry| self.slots.get(self.slot(entry.hash)).copied().unwrap_or(0)).collect();
        let touched = guessed.iter().filter_map(|slot| self.sum((*slot as u32).checked_sub(1)?));
        black_box(touched.fold(0_u32, |all, sum| all ^ sum.lines ^ u32::from(sum.key[SHORT - 1])));
        for (entry, guess) in entries.iter().zip(guessed) {
            let at = (guess as u32).wrapping_sub(1);
            let at = match self.sum(at).filter(|sum| guess != 0 && sum.is_of(&entry.key, entry.length)) {
                Some(_) => at,
                None => self.short(entry.hash, &entry.key, entry.length, entry.place)?,
            };
            self.take(at, entry.place, &entry.share, None, Way::Add)?;
        }
        Ok(())
    }

    fn slot(&self, hash: u64) -> usize {
        hash as u32 as usize & self.slots.len().wrapping_sub(1)
    }

    /// The number of a short key's sum, which is made where it is new.
    fn short(&mut self, hash: u64, key: &ShortKey, length: u8, place: u64) -> Result<u32, MoneyError> {
        if (self.count as usize + 1) * 2 > self.slots.len() {
            self.grow();
        }
        let tag = hash << 32;
        let mut slot = self.slot(hash);
        while let Some(found) = self.slots.get(slot).filter(|found| **found != 0) {
            let at = (*found as u32).wrapping_sub(1);
            if found >> 32 == tag >> 32 && self.sum(at).is_some_and(|sum| sum.is_of(key, length)) {
                return Ok(at);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        let at = self.make(key, length, place)?;
        if let Some(free) = self.slots.get_mut(slot) {
            *free = tag | u64::from(at + 1);
        }
        Ok(at)
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

    fn long(&mut self, key: &[u8], place: u64) -> Result<u32, MoneyError> {
        if let Some(at) = self.long.get(key) {
            return Ok(*at);
        }
        let at = self.make(&[0; SHORT], 0, place)?;
        self.long.insert(key.to_vec(), at);
        Ok(at)
    }

    fn make(&mut self, key: &ShortKey, length: u8, place: u64) -> Result<u32, MoneyError> {
        let at = self.count;
        self.count = at.checked_add(1).filter(|count| *count < u32::MAX).ok_or(MoneyError::Overflow)?;
        if self.sums.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.sums.push(Vec::with_capacity(CHUNK));
        }
        if let Some(chunk) = self.sums.last_mut() {
            chunk.push(Sum {
                quantity: 0,
                amount: 0,
                first: place,
                last: place,
                lines: 0,
                length,
                has_amount: false,
                has_cost: false,
                key: *key,
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
