//! Catalog items and what they are sorted by.

use serde::{Deserialize, Serialize};

use super::ById;
use crate::client::value::{Number, words};

words! {
    /// What a catalog item is.
    ProductClass {
        /// An agreement sold as a product.
        Agreement,
        /// Several items in one; cannot be an addition.
        Bundle,
        /// Goods on stock.
        Inventory,
        /// Goods not on stock.
        NonInventory,
        /// A service.
        Service,
    }
}

/// A catalog item.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CatalogItem {
    /// The id.
    pub id: i64,
    /// The short unique text.
    pub identifier: String,
    /// The text.
    pub description: Option<String>,
    /// Whether it is no longer used.
    pub inactive_flag: Option<bool>,
    /// What it is.
    pub product_class: Option<ProductClass>,
    /// Price of one.
    pub price: Option<Number>,
    /// Cost of one.
    pub cost: Option<Number>,
    /// Whether it is taxed.
    pub taxable_flag: Option<bool>,
    /// The text for customers.
    pub customer_description: Option<String>,
}

/// A new catalog item.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewCatalogItem {
    /// The short unique text, 75 characters.
    pub identifier: String,
    /// The text, 60 characters.
    pub description: String,
    /// The text for customers.
    pub customer_description: String,
    /// The subcategory.
    pub subcategory: ById,
    /// The type.
    #[serde(rename = "type")]
    pub product_type: ById,
    /// Price of one; without it ConnectWise takes none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Number>,
    /// Cost of one; without it ConnectWise takes none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Number>,
}

/// A row of a setup table, as far as anybody may read it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SetupRow {
    /// The id.
    pub id: i64,
    /// The name.
    pub name: Option<String>,
    /// Whether it is no longer used.
    pub inactive_flag: Option<bool>,
    /// Whether it is taken where nothing is said.
    pub default_flag: Option<bool>,
}
