//! What a person set of a line that the plan of a task proposes: other values, or that it is left out.
//!
//! An amendment names its line by the key of the proposal, which every planning of the task gives anew. So it holds as
//! long as the task proposes that line, through stale plans and broken-off runs, and says nothing once it does not.

use crate::money::{Currency, Money, Quantity};
use crate::plan::{FieldChange, OperationKey, fields_between};
use crate::psa::{AdditionState, BillFlag};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// When a line ends, where a person says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// It goes on until someone ends it.
    Open,
    /// On this last billed day.
    On(Date),
}

/// The values of a line that a person set; the others stay as they are proposed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Values {
    /// How many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantity: Option<Quantity>,
    /// Price of one unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit_price: Option<Money>,
    /// Cost of one unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit_cost: Option<Money>,
    /// First billed day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective: Option<Date>,
    /// Last billed day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// Whether it is billed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bill: Option<BillFlag>,
    /// Whether it is taxed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taxable: Option<bool>,
    /// Text of the line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Text on the invoice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invoice_description: Option<String>,
}

impl Values {
    /// The proposed state with these values in it.
    pub fn over(&self, proposed: &AdditionState) -> AdditionState {
        AdditionState {
            catalog_item: proposed.catalog_item,
            quantity: self.quantity.unwrap_or(proposed.quantity),
            unit_price: self.unit_price.unwrap_or(proposed.unit_price),
            unit_cost: self.unit_cost.unwrap_or(proposed.unit_cost),
            effective: self.effective.unwrap_or(proposed.effective),
            cancelled: match self.ending {
                None => proposed.cancelled,
                Some(Ending::Open) => None,
                Some(Ending::On(day)) => Some(day),
            },
            bill: self.bill.unwrap_or(proposed.bill),
            taxable: self.taxable.or(proposed.taxable),
            description: self.description.clone().or_else(|| proposed.description.clone()),
            invoice_description: self
                .invoice_description
                .clone()
                .or_else(|| proposed.invoice_description.clone()),
        }
    }
}

/// What a person decided about a proposed line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It is not written.
    LeaveOut,
    /// It is written with these values.
    Set(Box<Values>),
}

/// A person's word on one line that a task proposes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amendment {
    /// The key of the line as it is proposed.
    pub proposal: OperationKey,
    /// What was decided.
    pub decision: Decision,
    /// Who decided.
    pub by: String,
    /// When, in UTC microseconds.
    pub at_us: i64,
}

/// What a change was before a person amended it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amended {
    /// The key of the proposal: it names the line to the next amendment.
    pub proposal: OperationKey,
    /// Who amended it.
    pub by: String,
    /// What was proposed; none where the line was to go.
    pub proposed: Option<AdditionState>,
}

/// What a person set, as a sentence: `a@b.example set quantity 5 -> 4 and unit price 22.00 -> 20.00.`
pub fn told(by: &str, proposed: &AdditionState, wanted: &AdditionState, currency: Currency) -> String {
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
    let parts: Vec<String> = fields_between(proposed, wanted, Some(currency))
        .iter()
        .map(|FieldChange { field, from, to }| format!("{} {} -> {}", field.name(), shown(from), shown(to)))
        .collect();
    format!("{by} set {}.", parts.join(" and "))
}
