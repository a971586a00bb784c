//! What is sold.

use super::Ext;
use crate::ids::ProductId;
use crate::money::{Currency, Money};
use crate::period::BillingCycle;
use serde::{Deserialize, Serialize};

/// What kind of thing a product is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProductKind {
    /// Billed by the seat.
    Seat,
    /// Billed by usage.
    Metered,
    /// Billed once.
    OneTime,
    /// Belongs to another product.
    Addon,
    /// A set of products.
    Bundle,
    /// A plan fee: bills quantity 1.
    Plan,
}

/// A product of the source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Product {
    /// Id at the source.
    pub id: ProductId,
    /// Display name.
    pub name: String,
    /// Stock keeping unit or part number.
    pub sku: Option<String>,
    /// Longer text.
    pub description: Option<String>,
    /// Unit of measure.
    pub unit: Option<String>,
    /// Kind.
    pub kind: Option<ProductKind>,
    /// Vendor.
    pub vendor: Option<String>,
    /// List price of one unit for one cycle.
    pub unit_price: Option<Money>,
    /// List cost of one unit for one cycle.
    pub unit_cost: Option<Money>,
    /// Currency of the list price.
    pub currency: Option<Currency>,
    /// Cycle of the list price.
    pub billing_cycle: Option<BillingCycle>,
    /// Free text.
    pub unit_type: Option<String>,
    /// Free text.
    pub product_type: Option<String>,
    /// Whether it is taxed.
    pub taxable: Option<bool>,
    /// Whether it is still sold.
    pub active: Option<bool>,
    /// Unknown fields.
    #[serde(default)]
    pub ext: Ext,
}
