//! The records of the trueup feed, version 1: what a source says was sold.
//!
//! Every source dialect ends in these. Fields that the feed does not know travel in `ext`, untouched.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

mod amounts;
mod changed;
mod notices;
mod orders;
mod parties;
mod products;
mod subscriptions;

pub use amounts::{Counter, Payment, SourceInvoice, SourceInvoiceLine, SummedLines, UsageRecord};
pub use changed::OrderChange;
pub use notices::{Alert, SnapshotMark};
pub use orders::{Charge, Order, OrderKind, OrderLine};
pub use parties::{Address, Contact, Customer, Organization};
pub use products::{Product, ProductKind};
pub use subscriptions::{BillingModel, PlanFee, Subscription, SubscriptionItem, SubscriptionStatus, Term};

/// Unknown fields of a record, each as the JSON text it came with.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ext(pub BTreeMap<String, Box<RawValue>>);

impl Ext {
    /// The field that marks what was made of a mention.
    const MENTIONED: &str = "mentioned";

    /// The mark of a customer or product that the source only mentions, as an order does with its items: it is known by a
    /// few of its fields, and takes the place of nothing that was described whole.
    pub fn mentioned() -> Self {
        let mark = serde_json::value::to_raw_value(&true).ok();
        Self(mark.into_iter().map(|mark| (Self::MENTIONED.to_owned(), mark)).collect())
    }

    /// Whether the mark is set.
    pub fn is_mentioned(&self) -> bool {
        self.0.get(Self::MENTIONED).is_some_and(|mark| mark.get() == "true")
    }
}

impl PartialEq for Ext {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
            && self.0.iter().zip(&other.0).all(|((a, x), (b, y))| a == b && x.get() == y.get())
    }
}

impl Ext {
    /// Whether nothing unknown came along.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The kind of a feed record, as its `type` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordKind {
    /// A node of the organization tree.
    Organization,
    /// A customer.
    Customer,
    /// A contact person.
    Contact,
    /// A product.
    Product,
    /// A subscription.
    Subscription,
    /// An order.
    Order,
    /// A usage record.
    Usage,
    /// A counted level.
    Counter,
    /// An invoice of the source.
    Invoice,
    /// A payment.
    Payment,
    /// An alert.
    Alert,
    /// The closing statement that a list was whole.
    Snapshot,
}

impl RecordKind {
    /// All kinds, in the order of the contract.
    pub const ALL: [Self; 12] = [
        Self::Organization,
        Self::Customer,
        Self::Contact,
        Self::Product,
        Self::Subscription,
        Self::Order,
        Self::Usage,
        Self::Counter,
        Self::Invoice,
        Self::Payment,
        Self::Alert,
        Self::Snapshot,
    ];

    /// The word in the feed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Organization => "organization",
            Self::Customer => "customer",
            Self::Contact => "contact",
            Self::Product => "product",
            Self::Subscription => "subscription",
            Self::Order => "order",
            Self::Usage => "usage",
            Self::Counter => "counter",
            Self::Invoice => "invoice",
            Self::Payment => "payment",
            Self::Alert => "alert",
            Self::Snapshot => "snapshot",
        }
    }

    /// The kind that a feed's `type` names.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// One record of a feed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// A node of the organization tree.
    Organization(Organization),
    /// A customer.
    Customer(Customer),
    /// A contact person.
    Contact(Contact),
    /// A product.
    Product(Product),
    /// A subscription.
    Subscription(Subscription),
    /// An order.
    Order(Order),
    /// A usage record.
    Usage(UsageRecord),
    /// A counted level.
    Counter(Counter),
    /// An invoice of the source.
    Invoice(SourceInvoice),
    /// A payment.
    Payment(Payment),
    /// An alert.
    Alert(Alert),
    /// The closing statement that a list was whole.
    Snapshot(SnapshotMark),
}

impl Record {
    /// Whether the source only mentions it: [`Ext::mentioned`].
    pub fn is_mentioned(&self) -> bool {
        match self {
            Self::Customer(r) => r.ext.is_mentioned(),
            Self::Product(r) => r.ext.is_mentioned(),
            _ => false, // open set: nothing else is made of a mention
        }
    }

    /// The kind.
    pub fn kind(&self) -> RecordKind {
        match self {
            Self::Organization(_) => RecordKind::Organization,
            Self::Customer(_) => RecordKind::Customer,
            Self::Contact(_) => RecordKind::Contact,
            Self::Product(_) => RecordKind::Product,
            Self::Subscription(_) => RecordKind::Subscription,
            Self::Order(_) => RecordKind::Order,
            Self::Usage(_) => RecordKind::Usage,
            Self::Counter(_) => RecordKind::Counter,
            Self::Invoice(_) => RecordKind::Invoice,
            Self::Payment(_) => RecordKind::Payment,
            Self::Alert(_) => RecordKind::Alert,
            Self::Snapshot(_) => RecordKind::Snapshot,
        }
    }

    /// The record's identity within its source and kind. A counter is identified by customer, product and unit; a
    /// snapshot mark by its instant.
    pub fn id(&self) -> String {
        match self {
            Self::Organization(r) => r.id.to_string(),
            Self::Customer(r) => r.id.to_string(),
            Self::Contact(r) => r.id.clone(),
            Self::Product(r) => r.id.to_string(),
            Self::Subscription(r) => r.id.to_string(),
            Self::Order(r) => r.id.to_string(),
            Self::Usage(r) => r.id.clone(),
            Self::Counter(r) => {
                format!("{}/{}/{}", r.customer, r.product, r.unit.as_deref().unwrap_or_default())
            }
            Self::Invoice(r) => r.id.clone(),
            Self::Payment(r) => r.id.clone(),
            Self::Alert(r) => r.id.clone(),
            Self::Snapshot(r) => r.as_of.clone(),
        }
    }
}
