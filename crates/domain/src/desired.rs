//! What should be there against what is there: a join of additions in compact form, a million a side in memory.
//!
//! A [`Row`] holds the managed fields of one addition that are numbers or dates, exactly, in 48 bytes. A value that
//! does not fit is refused and never rounded: [`drift`] compares such additions in full. [`compare`] joins two lists
//! by key. Its result is in the order of the keys, whatever the order of the lists, and a key that occurs twice on a
//! side is reported and matched with nothing.

mod drift;

pub use drift::{Drift, drift};

use crate::plan::Field;
use crate::psa::AdditionState;
use jiff::civil::Date;
use rust_decimal::Decimal;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// Decimal places of a [`Fixed`].
const PLACES: u32 = 6;

/// An exact number of millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fixed(i64);

impl Fixed {
    /// The value, or none where it has more than six decimal places or leaves 64 bits. Equal decimals give equal
    /// values however many zeros they end in.
    pub fn new(value: Decimal) -> Option<Self> {
        let (mantissa, scale) = (value.mantissa(), value.scale());
        let millionths = if scale <= PLACES {
            mantissa.checked_mul(10_i128.pow(PLACES - scale))?
        } else {
            // A decimal's scale is at most 28.
            let excess = 10_i128.pow(scale - PLACES);
            if mantissa % excess != 0 {
                return None;
            }
            mantissa / excess
        };
        i64::try_from(millionths).ok().map(Self)
    }

    /// A number of millionths.
    pub const fn from_millionths(value: i64) -> Self {
        Self(value)
    }

    /// The number of millionths.
    pub const fn millionths(self) -> i64 {
        self.0
    }
}

/// A date in 32 bits that sorts as the date does; only equality and order mean anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i32);

impl Day {
    /// After every date: an addition without end.
    pub const OPEN: Self = Self(i32::MAX);

    /// The day as a number that sorts as the date does.
    pub const fn number(self) -> i32 {
        self.0
    }
}

impl From<Date> for Day {
    fn from(date: Date) -> Self {
        Self(i32::from(date.year()) * 512 + i32::from(date.month()) * 32 + i32::from(date.day()))
    }
}

/// One addition in compact form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// What both sides know it by: the addition's id, or any number that is unique on each side.
    pub key: i64,
    /// Catalog item.
    pub item: i64,
    /// Quantity.
    pub quantity: Fixed,
    /// Price of one unit.
    pub unit_price: Fixed,
    /// Cost of one unit.
    pub unit_cost: Fixed,
    /// First billed day.
    pub effective: Day,
    /// Last billed day, or [`Day::OPEN`].
    pub cancelled: Day,
}

const _: () = assert!(size_of::<Row>() == 48, "a million rows are to take 48 MB");

impl Row {
    /// The compact form, or none where a value of the addition does not fit exactly.
    pub fn new(key: i64, state: &AdditionState) -> Option<Self> {
        Some(Self {
            key,
            item: state.catalog_item.0,
            quantity: Fixed::new(state.quantity.decimal())?,
            unit_price: Fixed::new(state.unit_price.decimal())?,
            unit_cost: Fixed::new(state.unit_cost.decimal())?,
            effective: state.effective.into(),
            cancelled: state.cancelled.map_or(Day::OPEN, Day::from),
        })
    }

    /// A row of which only the key means anything.
    const fn blank(key: i64) -> Self {
        let zero = Fixed(0);
        Self {
            key,
            item: 0,
            quantity: zero,
            unit_price: zero,
            unit_cost: zero,
            effective: Day::OPEN,
            cancelled: Day::OPEN,
        }
    }

    /// The fields in which two rows differ; their keys are not looked at.
    fn differing(&self, other: &Self) -> Fields {
        let bit = |differs: bool, field: Field| if differs { Fields::of(field).0 } else { 0 };
        Fields(
            bit(self.item != other.item, Field::CatalogItem)
                | bit(self.quantity != other.quantity, Field::Quantity)
                | bit(self.unit_price != other.unit_price, Field::UnitPrice)
                | bit(self.unit_cost != other.unit_cost, Field::UnitCost)
                | bit(self.effective != other.effective, Field::EffectiveDate)
                | bit(self.cancelled != other.cancelled, Field::CancelledDate),
        )
    }
}

/// A set of managed fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Fields(u16);

impl Fields {
    /// No field.
    pub const NONE: Self = Self(0);

    const ALL: [Field; 10] = [
        Field::CatalogItem,
        Field::Quantity,
        Field::UnitPrice,
        Field::UnitCost,
        Field::EffectiveDate,
        Field::CancelledDate,
        Field::Bill,
        Field::Taxable,
        Field::Description,
        Field::InvoiceDescription,
    ];

    /// One field.
    pub const fn of(field: Field) -> Self {
        Self(1 << field as u16)
    }

    /// Whether the set has no field.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the field is in it.
    pub const fn contains(self, field: Field) -> bool {
        self.0 & Self::of(field).0 != 0
    }

    /// The fields of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Without the fields of the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The fields, in the order in which they are shown.
    pub fn iter(self) -> impl Iterator<Item = Field> {
        Self::ALL.into_iter().filter(move |field| self.contains(*field))
    }
}

impl FromIterator<Field> for Fields {
    fn from_iter<I: IntoIterator<Item = Field>>(fields: I) -> Self {
        fields.into_iter().fold(Self::NONE, |set, field| set.and(Self::of(field)))
    }
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
    mut more: impl FnMut(usize, usize) -> Fields,
) -> Comparison {
    // Lists from a database are in order already and need no index.
    if ascends(desired) && ascends(observed) {
        return merge(desired, observed, &mut more);
    }
    let (found, twice) = join(desired, observed, &BTreeSet::new(), &mut more);
    if twice.is_empty() {
        return found;
    }
    // Which keys occur twice is known only at the end; it is rare enough to begin anew without them.
    let (mut found, _) = join(desired, observed, &twice, &mut more);
    let places = |rows: &[Row]| {
        let mut by_key: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        for (place, row) in rows.iter().enumerate().filter(|(_, row)| twice.contains(&row.key)) {
            by_key.entry(row.key).or_default().push(place);
        }
        by_key
    };
    let (mut ours, mut theirs) = (places(desired), places(observed));
    found.repeated = twice
        .iter()
        .map(|key| Repeated {
            key: *key,
            desired: ours.remove(key).unwrap_or_default(),
            observed: theirs.remove(key).unwrap_or_default(),
        })
        .collect();
    found
}

impl Comparison {
    fn pair(
        &mut self,
        desired: (usize, &Row),
        observed: (usize, &Row),
        more: &mut impl FnMut(usize, usize) -> Fields,
    ) {
        let fields = desired.1.differing(observed.1).and(more(desired.0, observed.0));
        if fields.is_empty() {
            self.equal += 1;
        } else {
            let (desired, observed, key) = (desired.0, observed.0, desired.1.key);
            self.differing.push(Difference { key, desired, observed, fields });
        }
    }
}

/// Whether the keys ascend, none twice.
fn ascends(rows: &[Row]) -> bool {
    rows.windows(2).all(|pair| pair[0].key < pair[1].key)
}

fn merge(desired: &[Row], observed: &[Row], more: &mut impl FnMut(usize, usize) -> Fields) -> Comparison {
    let mut found = Comparison::default();
    let mut ours = desired.iter().enumerate().peekable();
    let mut theirs = observed.iter().enumerate().peekable();
    while let (Some((at, ask)), Some((place, row))) = (ours.peek().copied(), theirs.peek().copied()) {
        match ask.key.cmp(&row.key) {
            Ordering::Less => {
                found.missing.push(at);
                ours.next();
            }
            Ordering::Greater => {
                found.unclaimed.push(place);
                theirs.next();
            }
            Ordering::Equal => {
                found.pair((at, ask), (place, row), more);
                ours.next();
                theirs.next();
            }
        }
    }
    found.missing.extend(ours.map(|(at, _)| at));
    found.unclaimed.extend(theirs.map(|(place, _)| place));
    found
}

/// Joins by an index, without the keys in `leave_out`, and says which keys occur twice on a side.
fn join(
    desired: &[Row],
    observed: &[Row],
    leave_out: &BTreeSet<i64>,
    more: &mut impl FnMut(usize, usize) -> Fields,
) -> (Comparison, BTreeSet<i64>) {
    let left_out = |key: i64| !leave_out.is_empty() && leave_out.contains(&key);
    let mut found = Comparison::default();
    let mut twice = BTreeSet::new();
    let mut index = Index::for_rows(desired.len());
    for (number, block) in desired.chunks(BLOCK).enumerate() {
        let starts = index.starts(block);
        index.fetch(&starts);
        for (offset, (row, start)) in block.iter().zip(starts).enumerate() {
            if !left_out(row.key) && !index.insert(desired, number * BLOCK + offset, row.key, start) {
                twice.insert(row.key);
            }
        }
    }
    let mut claimed = vec![0_u64; desired.len().div_ceil(64)];
    for (number, block) in observed.chunks(BLOCK).enumerate() {
        let starts = index.starts(block);
        index.fetch(&starts);
        let entries = index.entries(&starts);
        fetch_rows(desired, &entries);
        for (offset, ((row, start), entry)) in block.iter().zip(starts).zip(entries).enumerate() {
            if left_out(row.key) {
                continue;
            }
            let place = number * BLOCK + offset;
            let at = match entry {
                0 => None,
                entry => is(entry, start.1, desired, row.key).or_else(|| index.find(desired, row.key, start)),
            };
            let Some(at) = at else {
                found.unclaimed.push(place);
                continue;
            };
            let bit = 1 << (at % 64);
            if claimed[at / 64] & bit != 0 {
                twice.insert(row.key);
                continue;
            }
            claimed[at / 64] |= bit;
            found.pair((at, &desired[at]), (place, row), more);
        }
    }
    drop(index);
    found.missing = (0..desired.len())
        .filter(|at| claimed[at / 64] & (1 << (at % 64)) == 0 && !left_out(desired[*at].key))
        .collect();
    found.missing.sort_unstable_by_key(|at| desired[*at].key);
    found.differing.sort_unstable_by_key(|difference| difference.key);
    found.unclaimed.sort_unstable_by_key(|place| observed[*place].key);
    let keys = found.unclaimed.windows(2).map(|pair| (observed[pair[0]].key, observed[pair[1]].key));
    twice.extend(keys.filter(|(one, next)| one == next).map(|(one, _)| one));
    (found, twice)
}

/// An open-addressing table of places by key. An entry is the place plus one in its low bits and some bits of the
/// key's hash in its high ones, which spare the look at nearly every row of another key; 0 is a free slot.
struct Index {
    slots: Vec<u64>,
    shift: u32,
}

/// So many rows are looked up together: their reads from memory then overlap instead of waiting for each other.
const BLOCK: usize = 64;

/// Bits of a place: more rows than 2^44 do not fit in a machine's address space.
const PLACE_BITS: u32 = 44;
const PLACE: u64 = (1 << PLACE_BITS) - 1;

impl Index {
    fn for_rows(rows: usize) -> Self {
        let slots = rows.saturating_mul(2).next_power_of_two().max(64);
        Self { slots: vec![0; slots], shift: 64 - slots.trailing_zeros() }
    }

    /// Where the search for a key begins, and the bits of its hash that an entry holds.
    fn start(&self, key: i64) -> (usize, u64) {
        // Two rounds of multiply and fold (the finisher of MurmurHash3): neighbouring ids end up far apart.
        let mut hash = key.cast_unsigned();
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        ((hash >> self.shift) as usize, hash << PLACE_BITS)
    }

    /// Where the searches for the keys of a block begin.
    fn starts(&self, block: &[Row]) -> [(usize, u64); BLOCK] {
        let mut starts = [(0, 0); BLOCK];
        for (start, row) in starts.iter_mut().zip(block) {
            *start = self.start(row.key);
        }
        starts
    }

    /// Reads the first slots of a block in one go.
    fn fetch(&self, starts: &[(usize, u64); BLOCK]) {
        let mixed = starts.iter().fold(0, |mixed, start| mixed ^ self.slots[start.0]);
        std::hint::black_box(mixed);
    }

    /// The first entries of a block that have their key's bits, without a look at the rows; 0 where there is none.
    fn entries(&self, starts: &[(usize, u64); BLOCK]) -> [u64; BLOCK] {
        let mut entries = [0; BLOCK];
        for (found, (start, tag)) in entries.iter_mut().zip(starts) {
            let mut slot = *start;
            *found = loop {
                match self.slots[slot] {
                    entry if entry == 0 || entry & !PLACE == *tag => break entry,
                    _ => slot = (slot + 1) & (self.slots.len() - 1), // open set: a place in the table, not an enum
                }
            };
        }
        entries
    }

    /// Adds a place; false where its key is in the table already.
    fn insert(&mut self, rows: &[Row], at: usize, key: i64, (mut slot, tag): (usize, u64)) -> bool {
        loop {
            match self.slots[slot] {
                0 => {
                    self.slots[slot] = tag | (at as u64 + 1);
                    return true;
                }
                entry if is(entry, tag, rows, key).is_some() => return false,
                _ => slot = (slot + 1) & (self.slots.len() - 1), // open set: a place in the table, not an enum
            }
        }
    }

    fn find(&self, rows: &[Row], key: i64, (mut slot, tag): (usize, u64)) -> Option<usize> {
        loop {
            match self.slots[slot] {
                0 => return None,
                entry => match is(entry, tag, rows, key) {
                    Some(at) => return Some(at),
                    None => slot = (slot + 1) & (self.slots.len() - 1),
                },
            }
        }
    }
}

/// Reads the rows that the entries of a block name in one go.
fn fetch_rows(rows: &[Row], entries: &[u64; BLOCK]) {
    let mut mixed = 0;
    for entry in entries {
        let at = ((entry & PLACE).saturating_sub(1)) as usize;
        if let Some(row) = rows.get(at) {
            mixed ^= row.key ^ i64::from(row.cancelled.0);
        }
    }
    std::hint::black_box(mixed);
}

/// The place of an entry, where it is one of the key.
fn is(entry: u64, tag: u64, rows: &[Row], key: i64) -> Option<usize> {
    let at = ((entry & PLACE) - 1) as usize;
    (entry & !PLACE == tag && rows[at].key == key).then_some(at)
}
