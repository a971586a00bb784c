//! Keys that lie close together, as the ids of one tenant do: a table with a slot for every key between the least and
//! the greatest says where each row is, without hashing and without a search.

use super::{Comparison, Difference, Pairs};
use crate::parallel::{on_each, ranges};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

/// So many slots a row are worth it: the table is then smaller than the rows, and a look into it near at hand.
const SPREAD: u64 = 8;

/// Where the row of each key is.
#[derive(Debug)]
pub(crate) struct Places {
    least: i64,
    /// Place plus one; 0 where no row has the key. Threads write to it without waiting for each other: of a key that
    /// occurs twice either place may stay.
    slots: Vec<AtomicU32>,
}

impl Places {
    /// A table for so many rows with keys from the least to the greatest; none where the keys lie too far apart.
    pub(crate) fn between(least: i64, most: i64, rows: usize) -> Option<Self> {
        u32::try_from(rows).ok()?.checked_add(1)?;
        let span = most.abs_diff(least);
        if span / SPREAD >= rows as u64 {
            return None;
        }
        Some(Self { least, slots: (0..=span).map(|_| AtomicU32::new(0)).collect() })
    }

    fn slot(&self, key: i64) -> Option<&AtomicU32> {
        // Below the least key the difference wraps around to more than the table can have.
        usize::try_from(key.wrapping_sub(self.least).cast_unsigned())
            .ok()
            .and_then(|slot| self.slots.get(slot))
    }

    /// Says where the row of a key is. What was said of the key before is forgotten.
    pub(crate) fn put(&self, key: i64, at: usize) {
        if let Some(slot) = self.slot(key) {
            slot.store(at as u32 + 1, Ordering::Relaxed);
        }
    }

    /// Says where the row of a key is, unless a later one has it.
    pub(crate) fn put_last(&self, key: i64, at: usize) {
        if let Some(slot) = self.slot(key) {
            slot.fetch_max(at as u32 + 1, Ordering::Relaxed);
        }
    }

    /// Where the row of a key is.
    pub(crate) fn get(&self, key: i64) -> Option<usize> {
        self.entry(key).checked_sub(1).map(|at| at as usize)
    }

    /// The place of a key plus one, or 0.
    fn entry(&self, key: i64) -> u32 {
        self.slot(key).map_or(0, |slot| slot.load(Ordering::Relaxed))
    }
}

/// What one thread found.
#[derive(Default)]
struct Part {
    matched: usize,
    differing: Vec<Difference>,
    unclaimed: Vec<(i64, usize)>,
    claimed: Vec<u64>,
}

/// The comparison, or none where the keys lie too far apart or one occurs twice on a side.
pub(super) fn join(pairs: &impl Pairs, threads: usize) -> Option<Comparison> {
    let rows = pairs.desired();
    let ours = ranges(rows, threads);
    let bounds = on_each(&ours, |range| {
        range
            .map(|at| pairs.desired_key(at))
            .fold((i64::MAX, i64::MIN), |(least, most), key| (least.min(key), most.max(key)))
    });
    let least = bounds.iter().map(|(least, _)| *least).min()?;
    let most = bounds.iter().map(|(_, most)| *most).max()?;
    // Of a key that occurs twice in what should be one place is forgotten, and then the whole comparison is given up.
    let places = Places::between(least, most, rows)?;
    on_each(&ours, |range| range.for_each(|at| places.put(pairs.desired_key(at), at)));
    let parts = on_each(&ranges(pairs.observed(), threads), |range| probe(pairs, &places, range));
    put_together(pairs, &places, parts)
}

fn probe(pairs: &impl Pairs, places: &Places, range: Range<usize>) -> Part {
    let mut part = Part { claimed: vec![0; pairs.desired().div_ceil(64)], ..Part::default() };
    // All keys are looked up before the rows are: the table stays near at hand until the rows push it out.
    let entries: Vec<u32> = range.clone().map(|place| places.entry(pairs.observed_key(place))).collect();
    for (entry, place) in entries.into_iter().zip(range) {
        let Some(at) = entry.checked_sub(1).map(|at| at as usize) else {
            part.unclaimed.push((pairs.observed_key(place), place));
            continue;
        };
        part.matched += 1;
        part.claimed[at / 64] |= 1 << (at % 64);
        if !pairs.alike(at, place) {
            let fields = pairs.fields(at, place);
            let key = pairs.observed_key(place);
            part.differing.push(Difference { key, desired: at, observed: place, fields });
        }
    }
    part.differing.sort_unstable_by_key(|difference| difference.key);
    part.unclaimed.sort_unstable();
    part
}

fn put_together(pairs: &impl Pairs, places: &Places, parts: Vec<Part>) -> Option<Comparison> {
    let mut found = Comparison::default();
    let mut claimed = vec![0_u64; pairs.desired().div_ceil(64)];
    let mut unclaimed = Vec::new();
    let mut matched = 0;
    for part in parts {
        matched += part.matched;
        found.differing.extend(part.differing);
        unclaimed.extend(part.unclaimed);
        for (all, one) in claimed.iter_mut().zip(part.claimed) {
            *all |= one;
        }
    }
    let distinct: usize = claimed.iter().map(|word| word.count_ones() as usize).sum();
    // A row that two claim: its key occurs twice in what is there.
    if distinct != matched {
        return None;
    }
    found.equal = matched - found.differing.len();
    // Sorts that see the runs which the threads have sorted already.
    found.differing.sort_by_key(|difference| difference.key);
    unclaimed.sort();
    if unclaimed.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return None;
    }
    found.unclaimed = unclaimed.into_iter().map(|(_, place)| place).collect();
    let mut missing: Vec<(i64, usize)> =
        unset(&claimed, pairs.desired()).map(|at| (pairs.desired_key(at), at)).collect();
    // A row that is not in the table under its key: the key occurs twice in what should be, and the other was kept.
    if missing.iter().any(|(key, at)| places.entry(*key) as usize != at + 1) {
        return None;
    }
    missing.sort_unstable();
    found.missing = missing.into_iter().map(|(_, at)| at).collect();
    Some(found)
}

/// The places up to `length` whose bit is not set.
fn unset(words: &[u64], length: usize) -> impl Iterator<Item = usize> {
    let words = words.iter().enumerate().filter(|(_, word)| **word != u64::MAX);
    words
        .flat_map(|(number, word)| {
            (0..64).filter(move |bit| word & (1 << bit) == 0).map(move |bit| number * 64 + bit)
        })
        .take_while(move |at| *at < length)
}
