//! What was used, counted, invoiced and paid at the source.

use super::Ext;
use crate::ids::{CustomerId, ProductId, SubscriptionId};
use crate::money::{Currency, Money, Quantity};
use crate::period::Period;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// A usage record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UsageRecord {
    /// Id at the source.
    pub id: String,
    /// Of which subscription.
    pub subscription: Option<SubscriptionId>,
    /// Or of which customer.
    pub customer: Option<CustomerId>,
    /// Of what.
    pub product: ProductId,
    /// How much.
    pub quantity: Quantity,
    /// From, a date or an instant.
    pub start: String,
    /// Until, a date or an instant.
    pub end: String,
    /// Unit of measure.
    pub unit: Option<String>,
    /// Price of one unit.
    pub unit_price: Option<Money>,
    /// Cost of one unit.
    pub unit_cost: Option<Money>,
    /// The source's amount.
    pub amount: Option<Money>,
    /// The source's cost.
    pub cost_amount: Option<Money>,
    /// Currency of the amounts.
    pub currency: Option<Currency>,
    /// `estimated`, `final` or `corrected`.
    pub status: String,
    /// The record that this one replaces.
    pub replaces: Option<String>,
    /// The lines that it is the sum of; none where it is a line itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summed: Option<SummedLines>,
    /// Unknown fields.
    #[serde(default)]
    pub ext: Ext,
}

/// The lines that a usage record is the sum of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SummedLines {
    /// How many.
    pub lines: u64,
    /// So many of them are estimates.
    pub estimates: u64,
    /// File and line of the first one.
    pub first: String,
    /// File and line of the last one.
    pub last: String,
}

/// A counted level that sets a quantity; never summed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Counter {
    /// Whose.
    pub customer: CustomerId,
    /// Of what.
    pub product: ProductId,
    /// The level.
    pub value: Quantity,
    /// When it was counted.
    pub as_of: String,
    /// Unit of measure.
    pub unit: Option<String>,
    /// Unknown fields.
    #[serde(default)]
    pub ext: Ext,
}

/// A line of a source's invoice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceInvoiceLine {
    /// Id within the invoice.
    pub id: String,
    /// For what.
    pub product: ProductId,
    /// How many.
    pub quantity: Quantity,
    /// Price of one unit.
    pub unit_price: Money,
    /// Cost of one unit.
    pub unit_cost: Option<Money>,
    /// The line's amount.
    pub amount: Option<Money>,
    /// Text.
    pub description: Option<String>,
    /// The days it is for.
    pub period: Option<Period>,
    /// Whether it is taxed.
    pub taxable: Option<bool>,
}

/// An invoice of the source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceInvoice {
    /// Id at the source.
    pub id: String,
    /// Whose.
    pub customer: CustomerId,
    /// Number that people see.
    pub number: String,
    /// `debit` or `credit`.
    pub kind: String,
    /// Stage at the source.
    pub stage: String,
    /// Date of the invoice.
    pub date: Date,
    /// Currency.
    pub currency: Currency,
    /// Lines.
    pub lines: Vec<SourceInvoiceLine>,
    /// Due date.
    pub due_date: Option<Date>,
    /// The days it is for.
    pub period: Option<Period>,
    /// Text.
    pub notes: Option<String>,
    /// The invoice that a credit note belongs to.
    pub related_invoice: Option<String>,
    /// Unknown fields.
    #[serde(default)]
    pub ext: Ext,
}

/// A payment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Payment {
    /// Id at the source.
    pub id: String,
    /// Of which invoice.
    pub invoice: String,
    /// How much.
    pub amount: Money,
    /// Currency.
    pub currency: Currency,
    /// When.
    pub date: Date,
    /// How.
    pub method: String,
    /// The credit note it was paid with.
    pub credit_invoice: Option<String>,
    /// Unknown fields.
    #[serde(default)]
    pub ext: Ext,
}
