//! What should be there against what is there: a join of additions by key, a million a side in memory.
//!
//! [`drift`] joins what trueup last wrote with what ConnectWise holds, the records as they are. [`compare`] joins lists
//! in compact form by the same code: a [`Row`] holds the managed fields of one addition that are numbers or dates,
//! exactly, in 48 bytes; a value that does not fit is refused and never rounded. The result is in the order of the keys, whatever the order of the lists and however many threads work on
//! it, and a key that occurs twice on a side is reported and matched with nothing.
//!
//! Lists in the order of their keys are walked side by side; keys that lie close together are looked up in a table
//! with a slot for each; all others are sorted first.

mod agreements;
mod copies;
mod dates;
pub(crate) mod dense;
mod drift;
mod fields;
mod merge;
mod rows;
mod sorted;

pub use agreements::{Ground, Standing, misfit_of};
pub use copies::Originals;
pub use dates::{Looked, misdated};
pub use drift::{Drift, differing, drift, drift_on};
pub use fields::Fields;
pub use rows::{Day, Fixed, Row};

/// A thread is not worth its start for fewer rows than this.
const LEAST_EACH: usize = 1 << 15;

/// How many threads a comparison of so many rows is worth.
fn threads_for(rows: usize) -> usize {
    crate::parallel::threads_for(rows, LEAST_EACH)
}

/// Two rows of one key that differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Their key.
    pub key: i64,
    /// Place in the list of what should be.
    pub desired: usize,
    /// Place in the list of what is.
    pub observed: usize,
    /// In what.
    pub fields: Fields,
}

/// A key that occurs more than once on a side: which row belongs to which is not guessed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repeated {
    /// The key.
    pub key: i64,
    /// Its places in the list of what should be.
    pub desired: Vec<usize>,
    /// Its places in the list of what is.
    pub observed: Vec<usize>,
}

/// What came of a comparison. Every row is in exactly one of its parts; each part is in the order of the keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// How many are as they should be.
    pub equal: usize,
    /// Those that differ.
    pub differing: Vec<Difference>,
    /// Places of what should be and is not there.
    pub missing: Vec<usize>,
    /// Places of what is there and nobody asks for.
    pub unclaimed: Vec<usize>,
    /// Keys that occur twice on a side.
    pub repeated: Vec<Repeated>,
}

/// Compares what should be with what is.
pub fn compare(desired: &[Row], observed: &[Row]) -> Comparison {
    compare_with(desired, observed, |_, _| Fields::NONE)
}

/// Compares as [`compare`] does, and asks `more` of a pair (place desired, place observed) in which further fields it
/// differs, those that a row does not hold. `more` may be asked twice of a pair and has to answer the same.
pub fn compare_with(
    desired: &[Row],
    observed: &[Row],
    more: impl Fn(usize, usize) -> Fields + Sync,
) -> Comparison {
    compare_on(threads_for(desired.len().max(observed.len())), desired, observed, more)
}

/// Compares as [`compare_with`] does, on so many threads however few the rows are. The result is the same for every
/// number.
pub fn compare_on(
    threads: usize,
    desired: &[Row],
    observed: &[Row],
    more: impl Fn(usize, usize) -> Fields + Sync,
) -> Comparison {
    join(&RowPairs { desired, observed, more }, threads)
}

fn join(pairs: &impl Pairs, threads: usize) -> Comparison {
    merge::ascending(pairs, threads)
        .or_else(|| dense::join(pairs, threads))
        .unwrap_or_else(|| sorted::join(pairs, threads))
}

/// Two lists that are joined by key, and what their rows say of each other.
trait Pairs: Sync {
    /// How many should be there.
    fn desired(&self) -> usize;
    /// How many are there.
    fn observed(&self) -> usize;
    /// The key at a place of what should be.
    fn desired_key(&self, at: usize) -> i64;
    /// The key at a place of what is.
    fn observed_key(&self, place: usize) -> i64;
    /// Whether nothing differs; asked of rows of one key.
    fn alike(&self, at: usize, place: usize) -> bool;
    /// What differs; asked of rows of one key that are not alike.
    fn fields(&self, at: usize, place: usize) -> Fields;
}

struct RowPairs<'a, M> {
    desired: &'a [Row],
    observed: &'a [Row],
    more: M,
}

impl<M: Fn(usize, usize) -> Fields + Sync> Pairs for RowPairs<'_, M> {
    fn desired(&self) -> usize {
        self.desired.len()
    }

    fn observed(&self) -> usize {
        self.observed.len()
    }

    fn desired_key(&self, at: usize) -> i64 {
        self.desired[at].key
    }

    fn observed_key(&self, place: usize) -> i64 {
        self.observed[place].key
    }

    fn alike(&self, at: usize, place: usize) -> bool {
        self.desired[at].alike(&self.observed[place]) && (self.more)(at, place).is_empty()
    }

    fn fields(&self, at: usize, place: usize) -> Fields {
        self.desired[at].differing(&self.observed[place]).and((self.more)(at, place))
    }
}

impl Comparison {
    /// Adds the pair of rows of one key.
    fn pair(&mut self, pairs: &impl Pairs, key: i64, desired: usize, observed: usize) {
        if pairs.alike(desired, observed) {
            self.equal += 1;
        } else {
            let fields = pairs.fields(desired, observed);
            self.differing.push(Difference { key, desired, observed, fields });
        }
    }

    /// Adds what was found of greater keys.
    fn append(&mut self, mut other: Self) {
        self.equal += other.equal;
        self.differing.append(&mut other.differing);
        self.missing.append(&mut other.missing);
        self.unclaimed.append(&mut other.unclaimed);
        self.repeated.append(&mut other.repeated);
    }
}
