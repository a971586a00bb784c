//! One addition in 48 bytes, exactly.

use super::Fields;
use crate::plan::Field;
use crate::psa::AdditionState;
use jiff::civil::Date;
use rust_decimal::Decimal;

/// Decimal places of a [`Fixed`].
const PLACES: u32 = 6;

/// What a mantissa of so many places is multiplied with to be millionths.
const TENS: [i64; 7] = [1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];

/// An exact number of millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fixed(i64);

impl Fixed {
    /// The value, or none where it has more than six decimal places or leaves 64 bits. Equal decimals give equal
    /// values however many zeros they end in.
    pub fn new(value: Decimal) -> Option<Self> {
        let (mantissa, scale) = (value.mantissa(), value.scale());
        if let (Some(factor), Ok(small)) = (TENS.get(scale as usize), i64::try_from(mantissa)) {
            return small.checked_mul(*factor).map(Self);
        }
        // A decimal's scale is at most 28. What has too many digits may still end in zeros.
        let excess = 10_i128.pow(scale.saturating_sub(PLACES));
        if scale <= PLACES || mantissa % excess != 0 {
            return None;
        }
        i64::try_from(mantissa / excess).ok().map(Self)
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

    /// Whether two rows of one key are equal. Most are, so that every field is looked at without a branch.
    pub(super) const fn alike(&self, other: &Self) -> bool {
        let wide = (self.item ^ other.item)
            | (self.quantity.0 ^ other.quantity.0)
            | (self.unit_price.0 ^ other.unit_price.0)
            | (self.unit_cost.0 ^ other.unit_cost.0);
        let days = (self.effective.0 ^ other.effective.0) | (self.cancelled.0 ^ other.cancelled.0);
        wide == 0 && days == 0
    }

    /// The fields in which two rows differ; their keys are not looked at.
    pub(super) fn differing(&self, other: &Self) -> Fields {
        let bit = |differs: bool, field: Field| if differs { Fields::of(field) } else { Fields::NONE };
        bit(self.item != other.item, Field::CatalogItem)
            .and(bit(self.quantity != other.quantity, Field::Quantity))
            .and(bit(self.unit_price != other.unit_price, Field::UnitPrice))
            .and(bit(self.unit_cost != other.unit_cost, Field::UnitCost))
            .and(bit(self.effective != other.effective, Field::EffectiveDate))
            .and(bit(self.cancelled != other.cancelled, Field::CancelledDate))
    }
}
