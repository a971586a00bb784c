//! Lists in the order of their keys, as they come from a database: they are compared side by side.

use super::{Comparison, Pairs};
use crate::parallel::{on_each, ranges};
use std::cmp::Ordering;
use std::ops::Range;

/// So many keys at the start tell most lists that are in no order.
const GLANCE: usize = 32;

/// The comparison, or none where the keys of a side do not ascend or one occurs twice.
pub(super) fn ascending(pairs: &impl Pairs, threads: usize) -> Option<Comparison> {
    let glance = |length: usize, key: &dyn Fn(usize) -> i64| {
        (1..length.min(GLANCE)).all(|place| key(place - 1) < key(place))
    };
    if !glance(pairs.desired(), &|at| pairs.desired_key(at))
        || !glance(pairs.observed(), &|place| pairs.observed_key(place))
    {
        return None;
    }
    let parts = parts(pairs, threads);
    let places: Vec<Range<usize>> = (0..parts.len()).map(|part| part..part + 1).collect();
    let found = on_each(&places, |place| {
        let (desired, observed) = parts.get(place.start)?;
        merge(pairs, desired.clone(), observed.clone())
    });
    let mut found = found.into_iter();
    let mut whole = found.next()??;
    for part in found {
        whole.append(part?);
    }
    Some(whole)
}

/// Both lists cut at the same keys. In lists out of order the cuts mean nothing, and `merge` then says so: it looks
/// at every pair of neighbours, also at those across a cut.
fn parts(pairs: &impl Pairs, threads: usize) -> Vec<(Range<usize>, Range<usize>)> {
    let desired = ranges(pairs.desired(), threads);
    let mut start = 0;
    let mut parts = Vec::with_capacity(desired.len().max(1));
    for (number, range) in desired.iter().enumerate() {
        let end = match desired.get(number + 1) {
            Some(next) => start.max(first_from(pairs, pairs.desired_key(next.start))),
            None => pairs.observed(),
        };
        parts.push((range.clone(), start..end));
        start = end;
    }
    if parts.is_empty() {
        parts.push((0..0, 0..pairs.observed()));
    }
    parts
}

/// The first place of what is there whose key is not below this one.
fn first_from(pairs: &impl Pairs, key: i64) -> usize {
    let (mut low, mut high) = (0, pairs.observed());
    while low < high {
        let middle = low + (high - low) / 2;
        if pairs.observed_key(middle) < key {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

fn merge(pairs: &impl Pairs, desired: Range<usize>, observed: Range<usize>) -> Option<Comparison> {
    let mut found = Comparison::default();
    let our_key = |at: usize| pairs.desired_key(at);
    let their_key = |place: usize| pairs.observed_key(place);
    // A key is looked at together with the one before it, in the part or in the one before.
    let ascends =
        |place: usize, key: i64, key_of: &dyn Fn(usize) -> i64| place == 0 || key_of(place - 1) < key;
    let (mut at, mut place) = (desired.start, observed.start);
    while at < desired.end && place < observed.end {
        let (ask, there) = (our_key(at), their_key(place));
        if !ascends(at, ask, &our_key) || !ascends(place, there, &their_key) {
            return None;
        }
        match ask.cmp(&there) {
            Ordering::Equal => {
                found.pair(pairs, ask, at, place);
                at += 1;
                place += 1;
            }
            Ordering::Less => {
                found.missing.push(at);
                at += 1;
            }
            Ordering::Greater => {
                found.unclaimed.push(place);
                place += 1;
            }
        }
    }
    let rest = (at..desired.end).all(|at| ascends(at, our_key(at), &our_key))
        && (place..observed.end).all(|place| ascends(place, their_key(place), &their_key));
    found.missing.extend(at..desired.end);
    found.unclaimed.extend(place..observed.end);
    rest.then_some(found)
}
