//! Sets of managed fields.

use crate::plan::Field;
use crate::psa::AdditionState;

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

    /// The fields in which what is there differs from what is wanted: a flag or text that is left to the catalog item
    /// differs from nothing.
    pub fn between(wanted: &AdditionState, there: &AdditionState) -> Self {
        let bit = |differs: bool, field: Field| if differs { Self::of(field) } else { Self::NONE };
        let text = |ours: &Option<String>, theirs: &Option<String>| ours.is_some() && ours != theirs;
        bit(wanted.catalog_item != there.catalog_item, Field::CatalogItem)
            .and(bit(wanted.quantity != there.quantity, Field::Quantity))
            .and(bit(wanted.unit_price != there.unit_price, Field::UnitPrice))
            .and(bit(wanted.unit_cost != there.unit_cost, Field::UnitCost))
            .and(bit(wanted.effective != there.effective, Field::EffectiveDate))
            .and(bit(wanted.cancelled != there.cancelled, Field::CancelledDate))
            .and(bit(wanted.bill != there.bill, Field::Bill))
            .and(bit(wanted.taxable.is_some() && wanted.taxable != there.taxable, Field::Taxable))
            .and(bit(text(&wanted.description, &there.description), Field::Description))
            .and(bit(
                text(&wanted.invoice_description, &there.invoice_description),
                Field::InvoiceDescription,
            ))
    }

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
