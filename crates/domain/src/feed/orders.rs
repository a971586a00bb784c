//! What was ordered, line by line.

use super::Ext;
use crate::ids::{CustomerId, LineId, OrderId, ProductId, SubscriptionId};
use crate::money::{Currency, Money, Quantity};
use crate::period::Period;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// What an order does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderKind {
    /// A new subscription.
    Sales,
    /// More, fewer, another price or another plan.
    Change,
    /// Charges of a usage-based subscription.
    Billing,
    /// The end of a subscription.
    Cancellation,
    /// A new term.
    Renewal,
    /// To another customer.
    Transfer,
}

impl OrderKind {
    /// The word in the feed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sales => "sales",
            Self::Change => "change",
            Self::Billing => "billing",
            Self::Cancellation => "cancellation",
            Self::Renewal => "renewal",
            Self::Transfer => "transfer",
        }
    }
}

/// What a line of an order charges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Charge {
    /// Charged once at the start.
    Setup,
    /// Charged every cycle.
    Recurring,
    /// Use beyond what is included.
    Overuse,
    /// Fee for an upgrade.
    Upgrade,
    /// A part period, computed by the source.
    Prorate,
    /// Money back.
    Refund,
    /// Fee for cancelling.
    Cancellation,
    /// Charged once.
    OneTime,
    /// A reduction.
    Discount,
}

impl Charge {
    /// The word in the feed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Recurring => "recurring",
            Self::Overuse => "overuse",
            Self::Upgrade => "upgrade",
            Self::Prorate => "prorate",
            Self::Refund => "refund",
            Self::Cancellation => "cancellation",
            Self::OneTime => "one_time",
            Self::Discount => "discount",
        }
    }
}

/// One line of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderLine {
    /// Id within the order.
    pub id: LineId,
    /// What is charged.
    pub charge: Charge,
    /// For what.
    pub product: ProductId,
    /// The subscription item it belongs to.
    pub item: Option<String>,
    /// On a change: new less old; else the whole quantity.
    pub quantity: Quantity,
    /// Full-period price of one unit, of the new state.
    pub unit_price: Option<Money>,
    /// Full-period cost of one unit, of the new state.
    pub unit_cost: Option<Money>,
    /// Full-period price before the change.
    pub old_unit_price: Option<Money>,
    /// Full-period cost before the change.
    pub old_unit_cost: Option<Money>,
    /// Quantity before the change.
    pub old_quantity: Option<Quantity>,
    /// Quantity after the change.
    pub new_quantity: Option<Quantity>,
    /// The source's own amount for the line: truth where given.
    pub amount: Option<Money>,
    /// The source's own cost for the line.
    pub cost_amount: Option<Money>,
    /// The days that the amount is for.
    pub period: Option<Period>,
    /// The source's text.
    pub description: Option<String>,
}

impl OrderLine {
    /// Whether it says by how many a product changes, and neither from how many nor to how many.
    pub fn is_difference(&self) -> bool {
        self.charge == Charge::Recurring && self.old_quantity.is_none() && self.new_quantity.is_none()
    }
}

/// An order of the source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// Id at the source.
    pub id: OrderId,
    /// Number that people see.
    pub number: Option<String>,
    /// What it does.
    pub kind: OrderKind,
    /// To which subscription.
    pub subscription: SubscriptionId,
    /// Whose; default: the subscription's customer.
    pub customer: Option<CustomerId>,
    /// When provisioning was completed: RFC 3339, in the offset it came with.
    pub completed_at: String,
    /// The same instant in UTC, in microseconds, to sort by.
    pub completed_us: i64,
    /// When it was placed.
    pub created_at: Option<String>,
    /// First day of the new state: given, or the civil date of `completed_at` in its own offset.
    pub effective: Date,
    /// Whether the source named `effective` itself.
    #[serde(default)]
    pub effective_given: bool,
    /// The billing period the order falls in.
    pub period: Period,
    /// Currency of all amounts.
    pub currency: Currency,
    /// `completed`, or another word: kept and not synchronised.
    pub status: String,
    /// The customer's purchase order.
    pub po_number: Option<String>,
    /// What is charged.
    pub lines: Vec<OrderLine>,
    /// Unknown fields.
    #[serde(default)]
    pub ext: Ext,
}

impl Order {
    /// The number that people see, or the id.
    pub fn shown(&self) -> &str {
        self.number.as_deref().unwrap_or(self.id.as_str())
    }

    /// Whether it names itself what goes back of a product.
    pub fn gives_back(&self, product: &ProductId) -> bool {
        self.lines.iter().any(|line| line.charge == Charge::Refund && line.product == *product)
    }

    /// The civil day on which it was completed, in its own offset, and the seconds of that day that were over.
    pub fn completed_within(&self) -> Option<(Date, i64)> {
        let (day, rest) = self.completed_at.split_once(['T', 't', ' '])?;
        let time: jiff::civil::Time = rest.get(..8)?.parse().ok()?;
        let [hour, minute, second] = [time.hour(), time.minute(), time.second()].map(i64::from);
        Some((day.parse().ok()?, (hour * 60 + minute) * 60 + second))
    }

    /// Whether it may be synchronised.
    pub fn is_completed(&self) -> bool {
        self.status == "completed"
    }
}
