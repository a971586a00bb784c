//! The plan: immutable data. Applying it decides nothing.
//!
//! A [`DraftPlan`] comes from the planner; only the checker turns it into a [`CheckedPlan`], and only a checked plan
//! can be applied.

mod fields;
mod key;
mod link;
mod prorated;
mod sight;

use crate::amendment::Amended;
use crate::finding::Finding;
use crate::ids::{
    AdditionId, AgreementId, CatalogItemId, ChangeId, CompanyId, CustomerId, OrderId, PlanId, ProductId,
    SourceId, SubscriptionId, TaskId,
};
use crate::money::{Currency, Money};
use crate::period::{Period, next_day};
use crate::psa::{AdditionState, Snapshot};
use fields::field_values;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

pub use fields::{Field, FieldChange, differing_fields, fields_between, fields_of};
pub use key::{KeyParts, OperationKey, edit_key, looks_like_key, short_hash};
pub use link::{AdditionLink, Edit, End};
pub use prorated::Prorated;
pub use sight::{AgreementSight, AgreementTerms, SeenAdditions};

/// What a line is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Charged every cycle, open-ended.
    Recurring,
    /// Charged once at the start.
    Setup,
    /// A part period, or periods that were invoiced before the line could be written.
    Prorate,
    /// Use beyond what is included.
    Overuse,
    /// Fee for cancelling.
    Cancellation,
    /// Money back.
    Refund,
    /// Charged once: upgrades, discounts and one-time fees.
    OneTime,
    /// A counted quantity.
    Quantity,
}

impl Role {
    /// The word in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Recurring => "recurring",
            Self::Setup => "setup",
            Self::Prorate => "prorate",
            Self::Overuse => "overuse",
            Self::Cancellation => "cancellation",
            Self::Refund => "refund",
            Self::OneTime => "one_time",
            Self::Quantity => "quantity",
        }
    }
}

/// An addition that exists, or one that an earlier change of the plan creates.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// There already.
    Existing(AdditionId),
    /// Made by this change.
    CreatedBy(ChangeId),
}

/// What is done. States lie apart: every change would be as large as an edit with both of its states else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Action {
    /// A new addition.
    Create {
        /// What it should be.
        wanted: Box<AdditionState>,
    },
    /// Managed fields of an addition change.
    Update {
        /// Which.
        target: Target,
        /// What was seen.
        before: Box<AdditionState>,
        /// What it should be.
        wanted: Box<AdditionState>,
    },
    /// An addition ends: only its last billed day changes.
    Cancel {
        /// Which.
        target: Target,
        /// What was seen.
        before: Box<AdditionState>,
        /// The same with its last billed day.
        wanted: Box<AdditionState>,
    },
    /// An addition that was never billed goes.
    Delete {
        /// Which.
        target: Target,
        /// What was seen.
        before: Box<AdditionState>,
    },
    /// Nothing: it is as it should be.
    Keep {
        /// Which.
        target: Target,
        /// What was seen.
        before: Box<AdditionState>,
    },
}

impl Action {
    /// The word in output.
    pub fn op(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Update { .. } => "update",
            Self::Cancel { .. } => "cancel",
            Self::Delete { .. } => "delete",
            Self::Keep { .. } => "keep",
        }
    }

    /// What is changed; none for a create.
    pub fn target(&self) -> Option<&Target> {
        match self {
            Self::Create { .. } => None,
            Self::Update { target, .. }
            | Self::Cancel { target, .. }
            | Self::Delete { target, .. }
            | Self::Keep { target, .. } => Some(target),
        }
    }

    /// What was seen.
    pub fn before(&self) -> Option<&AdditionState> {
        match self {
            Self::Create { .. } => None,
            Self::Update { before, .. }
            | Self::Cancel { before, .. }
            | Self::Delete { before, .. }
            | Self::Keep { before, .. } => Some(before),
        }
    }

    /// What it should be afterwards; none when it goes.
    pub fn after(&self) -> Option<&AdditionState> {
        match self {
            Self::Create { wanted } | Self::Update { wanted, .. } | Self::Cancel { wanted, .. } => {
                Some(wanted)
            }
            Self::Delete { .. } => None,
            Self::Keep { before, .. } => Some(before),
        }
    }
}

/// One change of a plan, with its reason and its effect in money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Id within the plan.
    pub id: ChangeId,
    /// What is done.
    pub action: Action,
    /// The key: carried by the addition where one is created.
    pub key: OperationKey,
    /// What the line is for.
    pub role: Role,
    /// The task that asks for it.
    pub task: TaskId,
    /// The order behind it.
    pub order: Option<OrderId>,
    /// The order's line behind it.
    pub line: Option<String>,
    /// Source.
    pub source: SourceId,
    /// Subscription.
    pub subscription: SubscriptionId,
    /// Customer.
    pub customer: CustomerId,
    /// The product at the source.
    pub product: ProductId,
    /// Company.
    pub company: CompanyId,
    /// Agreement.
    pub agreement: AgreementId,
    /// Catalog item.
    pub catalog_item: CatalogItemId,
    /// Currency of all its amounts.
    pub currency: Currency,
    /// The days that the line is truly for, where they differ from its dates or end.
    pub true_period: Option<Period>,
    /// What it adds to (or takes from) the next invoice; one period's amount for an open-ended line.
    pub amount: Money,
    /// The same for cost.
    pub cost: Money,
    /// One sentence: why.
    pub reason: String,
    /// How the amount came about.
    pub formula: String,
    /// Changes that must have succeeded before.
    pub depends_on: Vec<ChangeId>,
    /// What was proposed, where a person set other values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amended: Option<Box<Amended>>,
    /// What an undo makes of the line, where orders meet it otherwise than its dates say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoing: Option<Undoing>,
}

/// What an undo makes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undoing {
    /// It is no order's from then on: what invoices billed of it is taken back, or it is made to settle that.
    Settled,
    /// It is the line of this addition, which is gone.
    Again(AdditionId),
}

impl Change {
    /// The fields it changes; for a create all that are set.
    pub fn fields(&self) -> Vec<FieldChange> {
        match &self.action {
            Action::Create { wanted } => fields_of(wanted, Some(self.currency)),
            Action::Update { before, wanted, .. } | Action::Cancel { before, wanted, .. } => {
                differing_fields(before, wanted, self.currency)
            }
            Action::Delete { before, .. } => field_values(before, Some(self.currency))
                .into_iter()
                .filter(|(_, value)| value.is_some())
                .map(|(field, from)| FieldChange { field, from, to: None })
                .collect(),
            Action::Keep { .. } => Vec::new(),
        }
    }

    /// Whether it writes anything.
    pub fn writes(&self) -> bool {
        !matches!(self.action, Action::Keep { .. })
    }
}

/// The other agreement that an agreement is invoiced with, as the plan saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invoicer {
    /// The agreement whose invoices bill it.
    pub agreement: AgreementId,
    /// The first day that those invoices have not billed.
    pub next_invoice: Option<Date>,
}

/// Sums of one currency.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurrencyTotals {
    /// Next invoices of the agreements touched, before.
    pub next_invoice_before: Money,
    /// And after.
    pub next_invoice_after: Money,
    /// The difference.
    pub delta: Money,
}

/// The sums of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Money by currency.
    pub by_currency: BTreeMap<Currency, CurrencyTotals>,
    /// New additions.
    pub create: usize,
    /// Additions edited.
    pub update: usize,
    /// Additions ended.
    pub cancel: usize,
    /// Additions removed.
    pub delete: usize,
    /// Lines that stay as they are.
    pub keep: usize,
}

/// What became of a task in a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskOutcome {
    /// Its changes are in the plan, whole.
    Planned,
    /// ConnectWise holds it already.
    NothingToDo,
    /// A mapping is missing.
    NeedsMapping,
    /// An answer of a person is awaited for some of its lines.
    Waiting,
    /// Something else stands in the way: a finding says what.
    Failed,
    /// An earlier task of the subscription stands in the way.
    Blocked,
    /// Not supported: it is to be ignored with TU4004.
    Unsupported,
    /// What was written for it is taken back by the plan.
    Undone,
}

/// What the planner proposes; not checked yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DraftPlan {
    /// Changes, in the order in which they are carried out.
    pub changes: Vec<Box<Change>>,
    /// What the tasks propose and a person left out: it is shown and never carried out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<Change>,
    /// What a person should know.
    pub findings: Vec<Finding>,
    /// What the plan saw.
    pub sights: BTreeMap<AgreementId, AgreementSight>,
    /// Of those agreements that another one invoices: which, and how far.
    #[serde(default)]
    pub invoicers: BTreeMap<AgreementId, Invoicer>,
    /// What became of each task.
    pub outcomes: BTreeMap<TaskId, TaskOutcome>,
    /// Agreements chosen because nothing else fits, to be remembered.
    pub remembered: Vec<(SourceId, SubscriptionId, AgreementId)>,
    /// Additions taken over without a write.
    pub adoptions: Vec<Adoption>,
    /// Sums.
    pub totals: Totals,
    /// The day the plan was made for.
    pub today: Option<Date>,
    /// The plans of which it takes something back.
    #[serde(default)]
    pub undoes: Vec<PlanId>,
    /// What it stands on beside ConnectWise, where it is carried out later than it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stands_on: Option<Footing>,
}

/// What a plan was made of beside ConnectWise, as hashes to be compared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footing {
    /// The settings that decide what is written.
    pub settings: String,
    /// Of each task that it writes for.
    pub tasks: BTreeMap<TaskId, TaskFooting>,
    /// Of each line of what is only counted: what was counted, and what people set, by which it came about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counted: Vec<CountedFooting>,
}

/// What a line of what is only counted came about by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountedFooting {
    /// On which agreement.
    pub agreement: AgreementId,
    /// Billed as what.
    pub item: CatalogItemId,
    /// The name of the item as it was when its services were assigned to it.
    pub name: String,
    /// The levels and what was set, as a hash.
    pub levels: String,
}

/// What one task was planned by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFooting {
    /// Its order; nothing where it has none.
    pub order: String,
    /// The mappings that count for it.
    pub mappings: String,
}

impl DraftPlan {
    /// Notes which of the agreements that it saw are invoiced with another one: an invoice of that one makes the plan
    /// as old as one of their own.
    pub fn note_invoicers(&mut self, snapshot: &Snapshot) {
        for id in self.sights.keys() {
            let Some(agreement) = snapshot.agreements.get(id) else { continue };
            let by = snapshot.invoicing_agreement(agreement);
            if by.id != *id {
                let invoicer = Invoicer { agreement: by.id, next_invoice: by.next_invoice };
                self.invoicers.insert(*id, invoicer);
            }
        }
    }

    /// The agreements that it writes to.
    pub fn agreements_written(&self) -> BTreeSet<AgreementId> {
        self.changes.iter().filter(|c| c.writes()).map(|c| c.agreement).collect()
    }
}

/// An addition that is there already and becomes a subscription's line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adoption {
    /// Which addition.
    pub addition: AdditionId,
    /// On which agreement.
    pub agreement: AgreementId,
    /// Of which task.
    pub task: TaskId,
    /// Source.
    pub source: SourceId,
    /// Subscription.
    pub subscription: SubscriptionId,
    /// Product.
    pub product: ProductId,
    /// What the line is for.
    #[serde(default = "recurring")]
    pub role: Role,
    /// What it holds.
    pub state: AdditionState,
    /// How trueup itself wrote it, where the journal does not know of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replayed: Option<Replayed>,
}

/// What an order did to a line in a run that the journal does not know of: it was lost, or put back from before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    /// The order.
    pub order: Option<OrderId>,
    /// The key that the line carries, where the order made it.
    pub key: Option<OperationKey>,
    /// Of a line that the order made, the days that it is for, where its dates do not tell them; of one that it gave another
    /// quantity or price, the days of its period from its own on.
    pub days: Option<Period>,
}

impl Adoption {
    /// The days that the line is truly for, where its own dates do not tell them: those that it was written for; or those
    /// of a line that somebody had dated to end when it was taken over: what ends it earlier is an order.
    pub fn true_period(&self) -> Option<Period> {
        if let Some(replayed) = self.replayed.as_ref().filter(|replayed| replayed.key.is_some()) {
            return replayed.days;
        }
        Period::new(self.state.effective, next_day(self.state.cancelled?)).ok()
    }
}

/// Plans that were made before adoptions named a role took over recurring lines alone.
fn recurring() -> Role {
    Role::Recurring
}

/// A plan that the checker let pass: the only thing that apply takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedPlan(DraftPlan);

impl CheckedPlan {
    /// Only the checker makes one.
    pub(crate) fn new(draft: DraftPlan) -> Self {
        Self(draft)
    }

    /// The plan.
    pub fn plan(&self) -> &DraftPlan {
        &self.0
    }
}
