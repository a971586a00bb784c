//! What runs and is billed again and again.

use super::Ext;
use crate::ids::{CustomerId, ProductId, SubscriptionId};
use crate::money::{Currency, Money, Quantity};
use crate::period::{BillingCycle, Period, next_day};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// State of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubscriptionStatus {
    /// Ordered, not provisioned.
    Pending,
    /// Running and billed.
    Active,
    /// Running, not billed yet.
    Trial,
    /// Suspended; still billed.
    Suspended,
    /// Will end.
    PendingCancel,
    /// Ended by cancellation.
    Cancelled,
    /// Ended by time.
    Expired,
}

impl SubscriptionStatus {
    /// Whether the subscription is billed now.
    pub fn bills(self) -> bool {
        match self {
            Self::Active | Self::Suspended | Self::PendingCancel => true,
            Self::Pending | Self::Trial | Self::Cancelled | Self::Expired => false,
        }
    }
}

/// When a subscription is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BillingModel {
    /// Charged before the billing period.
    #[default]
    Advance,
    /// Charged after the billing period.
    Arrears,
    /// Rated elsewhere; the amounts are imported.
    ExternalRating,
}

/// The plan fee of a subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanFee {
    /// The plan's product.
    pub product: ProductId,
    /// Fee for one cycle.
    pub unit_price: Money,
    /// Cost for one cycle.
    pub unit_cost: Option<Money>,
}

/// A commitment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    /// First day.
    pub start: Date,
    /// First day no longer committed; none for an open commitment.
    pub end: Option<Date>,
    /// Whether it renews itself.
    pub auto_renew: Option<bool>,
}

/// One item of a subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionItem {
    /// Id within the subscription.
    pub id: String,
    /// What is sold.
    pub product: ProductId,
    /// How many.
    pub quantity: Quantity,
    /// How many of them are included in the plan and not billed.
    pub included_quantity: Option<Quantity>,
    /// Price of one unit for one cycle.
    pub unit_price: Option<Money>,
    /// Cost of one unit for one cycle.
    pub unit_cost: Option<Money>,
    /// Price of one unit beyond the quantity.
    pub overuse_price: Option<Money>,
    /// Cost of one unit beyond the quantity.
    pub overuse_cost: Option<Money>,
}

/// A subscription of the source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subscription {
    /// Id at the source.
    pub id: SubscriptionId,
    /// Who has it.
    pub customer: CustomerId,
    /// Display name.
    pub name: Option<String>,
    /// State.
    pub status: SubscriptionStatus,
    /// Currency of all its prices.
    pub currency: Currency,
    /// Billing cycle.
    pub billing_cycle: BillingCycle,
    /// When it is charged.
    #[serde(default)]
    pub billing_model: BillingModel,
    /// First day.
    pub start: Date,
    /// First day after its end.
    pub end: Option<Date>,
    /// The billing period that is current at the source.
    pub period: Option<Period>,
    /// Day of the month that periods start on.
    pub anchor_day: Option<u8>,
    /// Plan fee.
    pub plan: Option<PlanFee>,
    /// The subscription above.
    pub parent: Option<SubscriptionId>,
    /// Commitment.
    pub term: Option<Term>,
    /// Id at the vendor.
    pub vendor_id: Option<String>,
    /// Last day of the trial.
    pub trial_until: Option<Date>,
    /// Day of cancellation.
    pub cancelled_on: Option<Date>,
    /// What it consists of.
    pub items: Vec<SubscriptionItem>,
    /// Unknown fields.
    #[serde(default)]
    pub ext: Ext,
}

impl Subscription {
    /// The first day after the trial.
    pub fn after_trial(&self) -> Option<Date> {
        self.trial_until.map(next_day)
    }
}
