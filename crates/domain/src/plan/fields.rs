//! The managed fields of an addition, as a change of a plan shows them.

use crate::money::{Currency, Money};
use crate::psa::AdditionState;
use serde::{Deserialize, Serialize};

/// A managed field of an addition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// Catalog item.
    CatalogItem,
    /// Quantity.
    Quantity,
    /// Unit price.
    UnitPrice,
    /// Unit cost.
    UnitCost,
    /// First billed day.
    EffectiveDate,
    /// Last billed day.
    CancelledDate,
    /// Bill flag.
    Bill,
    /// Tax flag.
    Taxable,
    /// Text.
    Description,
    /// Text on the invoice.
    InvoiceDescription,
}

impl Field {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::CatalogItem => "catalog item",
            Self::Quantity => "quantity",
            Self::UnitPrice => "unit price",
            Self::UnitCost => "unit cost",
            Self::EffectiveDate => "effective date",
            Self::CancelledDate => "last billed day",
            Self::Bill => "billing",
            Self::Taxable => "taxable",
            Self::Description => "description",
            Self::InvoiceDescription => "invoice description",
        }
    }
}

/// One field's old and new value as text; decimals without trailing zeros for quantities, dates as `YYYY-MM-DD`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Which field.
    pub field: Field,
    /// Before; none where there was nothing.
    pub from: Option<String>,
    /// After; none where nothing remains.
    pub to: Option<String>,
}

/// Every field of a state with its value.
pub(super) fn field_values(
    state: &AdditionState,
    currency: Option<Currency>,
) -> Vec<(Field, Option<String>)> {
    let shown = |money: Money| match currency {
        Some(currency) => money.display(currency),
        None => money.decimal().normalize().to_string(),
    };
    let bill = match state.bill {
        crate::psa::BillFlag::Billable => "billable",
        crate::psa::BillFlag::DoNotBill => "do_not_bill",
        crate::psa::BillFlag::NoCharge => "no_charge",
    };
    vec![
        (Field::CatalogItem, Some(state.catalog_item.to_string())),
        (Field::Quantity, Some(state.quantity.display())),
        (Field::UnitPrice, Some(shown(state.unit_price))),
        (Field::UnitCost, Some(shown(state.unit_cost))),
        (Field::EffectiveDate, Some(state.effective.to_string())),
        (Field::CancelledDate, state.cancelled.map(|d| d.to_string())),
        (Field::Bill, Some(bill.to_owned())),
        (Field::Taxable, state.taxable.map(|t| t.to_string())),
        (Field::Description, state.description.clone()),
        (Field::InvoiceDescription, state.invoice_description.clone()),
    ]
}

/// The fields in which two states differ; a text or flag that is left to the catalog item differs from nothing.
pub fn differing_fields(
    before: &AdditionState,
    after: &AdditionState,
    currency: Currency,
) -> Vec<FieldChange> {
    fields_between(before, after, Some(currency))
}

/// The fields that a state has, in the form of a new line; amounts in the places of their currency where it is known.
pub fn fields_of(state: &AdditionState, currency: Option<Currency>) -> Vec<FieldChange> {
    field_values(state, currency)
        .into_iter()
        .filter(|(_, value)| value.is_some())
        .map(|(field, to)| FieldChange { field, from: None, to })
        .collect()
}

/// As [`differing_fields`], also where the currency is not known.
pub fn fields_between(
    before: &AdditionState,
    after: &AdditionState,
    currency: Option<Currency>,
) -> Vec<FieldChange> {
    let old = field_values(before, currency);
    let new = field_values(after, currency);
    old.into_iter()
        .zip(new)
        .filter(|((field, from), (_, to))| {
            let left_to_catalog =
                matches!(field, Field::Taxable | Field::Description | Field::InvoiceDescription)
                    && to.is_none();
            from != to && !left_to_catalog
        })
        .map(|((field, from), (_, to))| FieldChange { field, from, to })
        .collect()
}
