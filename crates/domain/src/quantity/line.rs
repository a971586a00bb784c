//! A line: one catalog item on one agreement, whose quantity is kept right; and what a run made of it.

use super::chain::Chain;
use crate::finding::Code;
use crate::ids::{
    AdditionId, AgreementId, CatalogItemId, CustomerId, ProductId, SourceId, SubscriptionId, TaskId,
};
use crate::money::Quantity;
use crate::plan::short_hash;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// What makes a line another one.
pub type LineKey = (AgreementId, CatalogItemId);

/// What became of a line in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// ConnectWise has the quantity already.
    Equal,
    /// The quantity is written.
    Update,
    /// An addition is created.
    Create,
    /// An addition that is there is taken over.
    Adopt,
    /// The addition ends.
    End,
    /// The write waits for a person.
    Held,
    /// Nothing can be written; a finding says why.
    Refused,
}

impl Verdict {
    /// The word in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Update => "update",
            Self::Create => "create",
            Self::Adopt => "adopt",
            Self::End => "end",
            Self::Held => "held",
            Self::Refused => "refused",
        }
    }
}

/// A line as a run saw it. It is kept, so that "why 8?" can be answered at any time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The source of its first level.
    pub source: SourceId,
    /// The customer of its first level.
    pub customer: CustomerId,
    /// On which agreement.
    pub agreement: AgreementId,
    /// Billed as what.
    pub item: CatalogItemId,
    /// The services that make it up, each once.
    pub services: Vec<ProductId>,
    /// Its addition, once there is one.
    pub addition: Option<AdditionId>,
    /// What ConnectWise held.
    pub observed: Option<Quantity>,
    /// What should be billed, and how it came about; none where it could not be told.
    pub chain: Option<Chain>,
    /// What became of it.
    pub verdict: Verdict,
    /// Why, in words.
    pub why: String,
    /// The code of what stands in the way, or of what it waits for.
    pub code: Option<Code>,
    /// The instant of the oldest level in it, as the source wrote it.
    pub as_of: Option<String>,
    /// The levels that were told last; those that were refused are not among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<Told>,
    /// Since when its quantity is 0, where it is.
    pub zero_since: Option<Date>,
}

/// When a level of a line was counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The source.
    pub source: SourceId,
    /// For whom it was counted.
    pub customer: CustomerId,
    /// The service.
    pub service: ProductId,
    /// In which unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// When: a date or an instant, as the source wrote it.
    pub as_of: String,
}

impl Line {
    /// Whether it waits for a person, for a reason of this code.
    pub fn is_held_for(&self, code: Code) -> bool {
        self.verdict == Verdict::Held && self.code == Some(code)
    }

    /// What makes it another line.
    pub fn key(&self) -> LineKey {
        (self.agreement, self.item)
    }
}

/// The name under which a customer's lines stand where orders have a subscription.
pub fn quantity_subscription(customer: &CustomerId) -> SubscriptionId {
    SubscriptionId::from(format_args!("quantity:{customer}"))
}

/// Whose lines these are, where they are of what is counted.
pub fn counted_customer(subscription: &SubscriptionId) -> Option<CustomerId> {
    subscription.as_str().strip_prefix("quantity:").map(CustomerId::from)
}

/// The name under which findings of a customer's lines are kept where orders have a task.
pub fn quantity_task(source: &SourceId, customer: &CustomerId) -> TaskId {
    TaskId::from(short_hash("tk", &["quantity", source.as_str(), customer.as_str()], 14))
}
