//! Ids that stand on several lines, and lines that others replace.
//!
//! Of each id eight bytes are kept. Those that were met twice are looked up in the files once more, letter for letter: so
//! an id costs little memory, and two ids are never taken for one.

use super::groups::{PARTS, part_of};
use super::line::{Odd, Share};
use hashbrown::{HashMap, HashSet};

/// Hashes of one allocation.
const CHUNK: usize = 4096;

/// The hashes of ids that one thread met, by the part they belong to.
pub(super) struct Prints(Vec<OfPart>);

#[derive(Default)]
struct OfPart {
    full: Vec<Vec<u64>>,
    /// The chunk that is filled, at hand without a look into the list of them.
    open: Vec<u64>,
}

impl Prints {
    pub(super) fn new() -> Self {
        Self(std::iter::repeat_with(OfPart::default).take(PARTS).collect())
    }

    pub(super) fn add(&mut self, hash: u64) {
        let Some(part) = self.0.get_mut(part_of(hash)) else { return };
        if part.open.len() == part.open.capacity() {
            let full = std::mem::replace(&mut part.open, Vec::with_capacity(CHUNK));
            part.full.push(full);
        }
        part.open.push(hash);
    }
}

/// The hashes that were met more than once.
pub(super) fn met_again(prints: Vec<Prints>) -> Vec<u64> {
    let threads = prints.len().max(1);
    let mut parts: Vec<Vec<Vec<u64>>> = (0..PARTS).map(|_| Vec::new()).collect();
    for Prints(of_thread) in prints {
        for (all, some) in parts.iter_mut().zip(of_thread) {
            all.extend(some.full);
            all.push(some.open);
        }
    }
    let each = PARTS.div_ceil(threads);
    std::thread::scope(|scope| {
        let threads: Vec<_> = std::iter::from_fn(|| {
            let some: Vec<_> = parts.split_off(parts.len().saturating_sub(each));
            (!some.is_empty())
                .then(|| scope.spawn(move || some.into_iter().flat_map(twice).collect::<Vec<u64>>()))
        })
        .collect();
        let found = threads.into_iter().map(|thread| thread.join());
        found.flat_map(|found| found.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}

/// Which of them stand there twice, once each.
fn twice(chunks: Vec<Vec<u64>>) -> Vec<u64> {
    let count: usize = chunks.iter().map(Vec::len).sum();
    // Nearly all stand there once, and a bit for each of some values tells of most that they do: to sort them all would
    // take many times as long.
    let bits = (count * 16).next_power_of_two().max(64);
    let (mut met, mut again) = (vec![0_u64; bits / 64], vec![0_u64; bits / 64]);
    let place = |hash: u64| (hash as usize & (bits - 1)) / 64;
    for hash in chunks.iter().flatten() {
        let (at, bit) = (place(*hash), 1 << (hash % 64));
        if let (Some(met), Some(again)) = (met.get_mut(at), again.get_mut(at)) {
            *again |= *met & bit;
            *met |= bit;
        }
    }
    let may = |hash: &u64| again.get(place(*hash)).is_some_and(|bits| bits & (1 << (hash % 64)) != 0);
    let mut hashes: Vec<u64> = chunks.iter().flatten().copied().filter(may).collect();
    hashes.sort_unstable();
    let again =
        hashes.windows(2).filter_map(|pair| (pair.first() == pair.last()).then(|| pair.first().copied())?);
    let mut again: Vec<u64> = again.collect();
    again.dedup();
    again
}

/// A line that replaces another.
#[derive(Clone, Debug)]
pub(super) struct Replacing {
    pub(super) place: u64,
    pub(super) replaced: String,
}

/// A line whose id is looked for.
#[derive(Clone, Debug)]
pub(super) struct Met {
    pub(super) id: Vec<u8>,
    pub(super) place: u64,
    pub(super) hash: u64,
    pub(super) key: Vec<u8>,
    pub(super) share: Share,
    pub(super) odd: Option<Odd>,
}

/// The lines of one id each, the last one at the end.
pub(super) fn by_id(met: Vec<Met>) -> HashMap<Vec<u8>, Vec<Met>> {
    let mut ids: HashMap<Vec<u8>, Vec<Met>> = HashMap::new();
    for mut line in met {
        ids.entry(std::mem::take(&mut line.id)).or_default().push(line);
    }
    for lines in ids.values_mut() {
        lines.sort_by_key(|line| line.place);
    }
    ids
}

/// The ids that lines replace, but for lines that are themselves followed by one of the same id.
pub(super) fn replaced(replacing: &[Replacing], superseded: &HashSet<u64>) -> HashSet<Vec<u8>> {
    let counts = replacing.iter().filter(|line| !superseded.contains(&line.place));
    counts.map(|line| line.replaced.clone().into_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_stands_there_twice_is_found_once(
            some in prop::collection::vec(prop_oneof![0_u64..200, any::<u64>()], 0..300),
            more in prop::collection::vec(0_u64..200, 0..300),
        ) {
            let mut counts = std::collections::BTreeMap::new();
            for hash in some.iter().chain(&more) {
                *counts.entry(*hash).or_insert(0) += 1;
            }
            let expected: Vec<u64> =
                counts.into_iter().filter(|(_, count)| *count > 1).map(|(hash, _)| hash).collect();
            prop_assert_eq!(twice(vec![some, more]), expected);
        }
    }
}
