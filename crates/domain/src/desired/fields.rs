//! Sets of managed fields.

use crate::plan::Field;

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
