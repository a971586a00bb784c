//! Any lists: the keys of both sides are sorted with their places, and walked through side by side.

use super::{Comparison, Pairs, Repeated};
use crate::parallel::{on_each, ranges};
use std::cmp::Ordering;

/// A key with the place of its row.
type Keyed = (i64, usize);

/// The comparison, whatever the keys are and however often they occur.
pub(super) fn join(pairs: &impl Pairs, threads: usize) -> Comparison {
    let sort = |side: usize| {
        let mut keys: Vec<Keyed> = if side == 0 {
            (0..pairs.desired()).map(|at| (pairs.desired_key(at), at)).collect()
        } else {
            (0..pairs.observed()).map(|place| (pairs.observed_key(place), place)).collect()
        };
        keys.sort_unstable();
        keys
    };
    let sides = ranges(2, threads);
    let mut sorted = on_each(&sides, |range| range.map(sort).collect::<Vec<_>>()).into_iter().flatten();
    let ours = sorted.next().unwrap_or_default();
    let theirs = sorted.next().unwrap_or_default();
    // Both lists are cut at the same keys; a key that occurs twice stays in one part.
    let mut cuts: Vec<i64> =
        ranges(ours.len(), threads).iter().skip(1).map(|range| ours[range.start].0).collect();
    cuts.dedup();
    let of = |keys: &[Keyed], number: usize| {
        let until = |cut: &i64| keys.partition_point(|(key, _)| key < cut);
        let start = number.checked_sub(1).and_then(|before| cuts.get(before)).map_or(0, until);
        start..cuts.get(number).map_or(keys.len(), until)
    };
    let numbers: Vec<_> = (0..=cuts.len()).map(|number| number..number + 1).collect();
    let parts = on_each(&numbers, |number| {
        walk(pairs, &ours[of(&ours, number.start)], &theirs[of(&theirs, number.start)])
    });
    let mut found = Comparison::default();
    for part in parts {
        found.append(part);
    }
    found
}

/// How many at the start have the key of the first.
fn run(keys: &[Keyed]) -> usize {
    let Some((first, _)) = keys.first() else { return 0 };
    keys.iter().take_while(|(key, _)| key == first).count()
}

fn walk(pairs: &impl Pairs, mut ours: &[Keyed], mut theirs: &[Keyed]) -> Comparison {
    let mut found = Comparison::default();
    loop {
        let (asked, there) = (ours.first().map(|(key, _)| *key), theirs.first().map(|(key, _)| *key));
        let order = match (asked, there) {
            (Some(ask), Some(there)) => ask.cmp(&there),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return found,
        };
        let (mine, more) = ours.split_at(if order.is_le() { run(ours) } else { 0 });
        let (those, further) = theirs.split_at(if order.is_ge() { run(theirs) } else { 0 });
        (ours, theirs) = (more, further);
        match (mine, those) {
            ([(key, at)], [(_, place)]) => found.pair(pairs, *key, *at, *place),
            ([(_, at)], []) => found.missing.push(*at),
            ([], [(_, place)]) => found.unclaimed.push(*place),
            ([], []) | ([_, _, ..], _) | (_, [_, _, ..]) => {
                let places = |keys: &[Keyed]| keys.iter().map(|(_, place)| *place).collect();
                let first = mine.first().or(those.first());
                let key = first.map_or(0, |(key, _)| *key);
                found.repeated.push(Repeated { key, desired: places(mine), observed: places(those) });
            }
        }
    }
}
