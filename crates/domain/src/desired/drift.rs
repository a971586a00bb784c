//! Drift: what trueup last wrote against what ConnectWise holds now, explained.

pub(super) mod tell;

use super::threads_for;
use super::{Comparison, Fields, Pairs, Repeated, join};
use crate::finding::Finding;
use crate::ids::AgreementId;
use crate::money::Quantity;
use crate::parallel::{on_each, ranges};
use crate::plan::AdditionLink;
use crate::psa::{AdditionState, ObservedAddition, Snapshot};

/// What became of the additions that trueup wrote or took over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drift {
    /// What a person should know, in the order of the additions: TU7002 for changed fields and included quantities, TU3008 for an addition
    /// that was ended, opened again or is gone, TU8002 and TU8006 for one that occurs twice.
    pub findings: Vec<Finding>,
    /// How many are as they were left.
    pub unchanged: usize,
    /// How many are on agreements that the snapshot does not hold: nothing is said of them.
    pub unread: usize,
    /// How many additions the snapshot holds beside those.
    pub foreign: usize,
}

/// Compares what trueup last wrote with a snapshot. Additions that trueup itself deleted are left out, and one is
/// gone only where the whole list of its agreement was read.
///
/// A tax flag or text that trueup left to the catalog item differs from nothing.
pub fn drift(links: &[AdditionLink], snapshot: &Snapshot) -> Drift {
    drift_on(threads_for(links.len()), links, snapshot)
}

/// What [`drift`] says, on so many threads however few the additions are. The result is the same for every number.
pub fn drift_on(threads: usize, links: &[AdditionLink], snapshot: &Snapshot) -> Drift {
    let (sides, unread) = Sides::new(threads, links, snapshot);
    let found = join(&sides, threads);
    Drift {
        findings: sides.explain(threads, &found),
        unchanged: found.equal,
        unread,
        foreign: found.unclaimed.len(),
    }
}

/// Both sides: the records as they are, in any order, with their keys beside them. The records lie anywhere in memory,
/// and those of one addition are looked at only once it is known which they are.
struct Sides<'a> {
    snapshot: &'a Snapshot,
    written: Vec<&'a AdditionLink>,
    written_keys: Vec<i64>,
    observed: Vec<&'a ObservedAddition>,
    observed_keys: Vec<i64>,
}

/// One thing to be told, before it is told.
enum Case<'a> {
    Differs(&'a AdditionLink, &'a ObservedAddition, Fields),
    Gone(&'a AdditionLink),
    Repeated(&'a Repeated),
}

impl<'a> Sides<'a> {
    /// The sides, and how many additions are on agreements that were not read.
    fn new(threads: usize, links: &'a [AdditionLink], snapshot: &'a Snapshot) -> (Self, usize) {
        let read = Read::new(snapshot);
        let of_links = on_each(&ranges(links.len(), threads), |range| {
            let mut live = 0;
            let mut written = Vec::with_capacity(range.len());
            for link in links[range].iter().filter(|link| !link.deleted) {
                live += 1;
                if read.has(link.agreement) {
                    written.push(link);
                }
            }
            let keys: Vec<i64> = written.iter().map(|link| link.addition.0).collect();
            (live - written.len(), written, keys)
        });
        let lists: Vec<&[ObservedAddition]> = snapshot.additions.values().map(Vec::as_slice).collect();
        let of_lists = on_each(&ranges(lists.len(), threads), |range| {
            let observed: Vec<&ObservedAddition> = lists[range].iter().copied().flatten().collect();
            let keys: Vec<i64> = observed.iter().map(|addition| addition.id.0).collect();
            (observed, keys)
        });
        let unread = of_links.iter().map(|(unread, ..)| unread).sum();
        let mut sides = Self {
            snapshot,
            written: Vec::new(),
            written_keys: Vec::new(),
            observed: Vec::new(),
            observed_keys: Vec::new(),
        };
        for (_, mut written, mut keys) in of_links {
            sides.written.append(&mut written);
            sides.written_keys.append(&mut keys);
        }
        for (mut observed, mut keys) in of_lists {
            sides.observed.append(&mut observed);
            sides.observed_keys.append(&mut keys);
        }
        (sides, unread)
    }

    fn explain(&self, threads: usize, found: &Comparison) -> Vec<Finding> {
        let differing = found
            .differing
            .iter()
            .map(|d| (d.key, Case::Differs(self.written[d.desired], self.observed[d.observed], d.fields)));
        let gone = found.missing.iter().map(|at| {
            let link = self.written[*at];
            (link.addition.0, Case::Gone(link))
        });
        let repeated = found.repeated.iter().map(|r| (r.key, Case::Repeated(r)));
        let mut cases: Vec<(i64, Case<'_>)> = differing.chain(gone).chain(repeated).collect();
        // A key is in one part of the comparison only, and each part is in the order of the keys already.
        cases.sort_by_key(|(key, _)| *key);
        let told = on_each(&ranges(cases.len(), threads), |range| {
            let mut findings = Vec::with_capacity(range.len());
            for (_, case) in &cases[range] {
                self.tell(case, &mut findings);
            }
            findings
        });
        let mut told = told.into_iter();
        let mut findings = told.next().unwrap_or_default();
        findings.reserve(told.as_slice().iter().map(Vec::len).sum());
        told.for_each(|mut more| findings.append(&mut more));
        findings
    }
}

impl Pairs for Sides<'_> {
    fn desired(&self) -> usize {
        self.written_keys.len()
    }

    fn observed(&self) -> usize {
        self.observed_keys.len()
    }

    fn desired_key(&self, at: usize) -> i64 {
        self.written_keys[at]
    }

    fn observed_key(&self, place: usize) -> i64 {
        self.observed_keys[place]
    }

    fn alike(&self, at: usize, place: usize) -> bool {
        self.fields(at, place).is_empty() && included(self.written[at], self.observed[place]).is_none()
    }

    fn fields(&self, at: usize, place: usize) -> Fields {
        differing(&self.written[at].written, &self.observed[place].state)
    }
}

/// The agreements whose additions were read. Every link asks, so that ids which lie close together are looked up in a
/// row of bits.
struct Read<'a> {
    snapshot: &'a Snapshot,
    least: i64,
    bits: Vec<u64>,
}

impl<'a> Read<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        let mut read = Self { snapshot, least: 0, bits: Vec::new() };
        let lists = &snapshot.additions;
        if let (Some((least, _)), Some((most, _))) = (lists.first_key_value(), lists.last_key_value()) {
            let span = most.0.abs_diff(least.0);
            let words = usize::try_from(span / 64).ok().filter(|words| *words <= lists.len());
            if let Some(words) = words {
                read.least = least.0;
                read.bits = vec![0; words + 1];
                for id in lists.keys() {
                    let bit = id.0.abs_diff(least.0);
                    read.bits[(bit / 64) as usize] |= 1 << (bit % 64);
                }
            }
        }
        read
    }

    fn has(&self, agreement: AgreementId) -> bool {
        if self.bits.is_empty() {
            return self.snapshot.additions.contains_key(&agreement);
        }
        // Below the least id the difference wraps around to more than there are bits.
        let bit = agreement.0.wrapping_sub(self.least).cast_unsigned();
        let word = usize::try_from(bit / 64).ok().and_then(|word| self.bits.get(word));
        word.is_some_and(|word| word & (1 << (bit % 64)) != 0)
    }
}

/// What is included of a line that trueup made: it includes nothing by itself.
fn included(link: &AdditionLink, there: &ObservedAddition) -> Option<Quantity> {
    Some(there.less_included).filter(|included| !included.is_zero() && link.key.is_some())
}

/// The fields in which what is there differs from what trueup wrote.
pub fn differing(written: &AdditionState, there: &AdditionState) -> Fields {
    Fields::between(written, there)
}
