//! The records of the trueup feed, version 1: what a source says was sold.
//!
//! Every source dialect ends in these. Fields that the feed does not know travel in `ext`, untouched.

use crate::ids::{CustomerId, LineId, OrderId, OrganizationId, ProductId, SubscriptionId};
use crate::money::{Currency, Money, Quantity};
use crate::period::{BillingCycle, Period};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Unknown fields of a record, each as the JSON text it came with.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ext(pub BTreeMap<String, Box<RawValue>>);

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
            Self::Organization(r) => r.id.0.clone(),
            Self::Customer(r) => r.id.0.clone(),
            Self::Contact(r) => r.id.clone(),
            Self::Product(r) => r.id.0.clone(),
            Self::Subscription(r) => r.id.0.clone(),
            Self::Order(r) => r.id.0.clone(),
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

/// A node of the organization tree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Organization {
    /// Id at the source.
    pub id: OrganizationId,
    /// Display name.
    pub name: String,
    /// `operator`, `partner`, `customer` or `site`.
    pub kind: String,
    /// The node above.
    pub parent: Option<OrganizationId>,
    /// Free text.
    pub status: Option<String>,
    /// Unknown fields.
    #[serde(default)]
    pub ext: Ext,
}

/// A postal address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// First line.
    pub line1: Option<String>,
    /// Second line.
    pub line2: Option<String>,
    /// City.
    pub city: Option<String>,
    /// Region or state.
    pub region: Option<String>,
    /// Postcode.
    pub postcode: Option<String>,
    /// Country.
    pub country: Option<String>,
}

/// A customer of the source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Customer {
    /// Id at the source.
    pub id: CustomerId,
    /// Display name.
    pub name: String,
    /// The partner of the tree it belongs to.
    pub organization: Option<OrganizationId>,
    /// The customer above.
    pub parent: Option<CustomerId>,
    /// Short code.
    pub code: Option<String>,
    /// Mail or web domain.
    pub domain: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// Telephone.
    pub phone: Option<String>,
    /// Fax.
    pub fax: Option<String>,
    /// Web site.
    pub website: Option<String>,
    /// Tax id.
    pub tax_id: Option<String>,
    /// Billing currency.
    pub currency: Option<Currency>,
    /// Kind of account at the source.
    pub account_type: Option<String>,
    /// Free text.
    pub status: Option<String>,
    /// Postal address.
    pub address: Option<Address>,
    /// Main contact.
    pub contact: Option<String>,
    /// Unknown fields.
    #[serde(default)]
    pub ext: Ext,
}

/// A contact person of a customer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contact {
    /// Id at the source.
    pub id: String,
    /// Whose contact it is.
    pub customer: CustomerId,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// Job title.
    pub job_title: Option<String>,
    /// Telephone.
    pub phone: Option<String>,
    /// Mobile telephone.
    pub mobile: Option<String>,
    /// Fax.
    pub fax: Option<String>,
    /// `admin`, `billing` or `technical`.
    pub role: Option<String>,
    /// Whether it is the main contact.
    pub primary: Option<bool>,
    /// Unknown fields.
    #[serde(default)]
    pub ext: Ext,
}

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

    /// Whether it may be synchronised.
    pub fn is_completed(&self) -> bool {
        self.status == "completed"
    }
}

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
    /// Unknown fields.
    #[serde(default)]
    pub ext: Ext,
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

/// An alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Id at the source.
    pub id: String,
    /// Whose.
    pub customer: CustomerId,
    /// Kind at the source.
    pub kind: String,
    /// `open`, `updated` or `closed`.
    pub state: String,
    /// When.
    pub at: String,
    /// One sentence.
    pub summary: String,
    /// Severity at the source.
    pub severity: Option<String>,
    /// What it is about.
    pub subject: Option<String>,
    /// What makes two alerts the same.
    pub key: Option<String>,
    /// More text.
    pub detail: Option<String>,
    /// Unknown fields.
    #[serde(default)]
    pub ext: Ext,
}

/// The statement that a file held everything of some kinds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SnapshotMark {
    /// Of which kinds.
    pub types: Vec<RecordKind>,
    /// Whether it was everything.
    pub complete: bool,
    /// When.
    pub as_of: String,
    /// Unknown fields.
    #[serde(default)]
    pub ext: Ext,
}
