//! The plan: immutable data. Applying it decides nothing.
//!
//! A [`DraftPlan`] comes from the planner; only the checker turns it into a [`CheckedPlan`], and only a checked plan
//! can be applied.

mod prorated;
mod sight;

use crate::amendment::Amended;
use crate::finding::Finding;
use crate::ids::{
    AdditionId, AgreementId, CatalogItemId, ChangeId, CompanyId, CustomerId, OrderId, OrganizationId, PlanId,
    ProductId, SourceId, SubscriptionId, TaskId,
};
use crate::money::{Currency, Money};
use crate::period::{Period, day_text, next_day};
use crate::psa::{AdditionState, Snapshot};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use smol_str::{SmolStr, ToSmolStr as _};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

pub use prorated::Prorated;
pub use sight::{AgreementSight, SeenAdditions};

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

/// The deterministic key of one write: `tu` and 26 characters of a hash. A replan yields the same key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OperationKey(pub String);

impl fmt::Display for OperationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// `prefix` and `length` characters of a hash over `parts`. The parts are length-prefixed, so that no two lists of
/// parts run together.
pub fn short_hash(prefix: &str, parts: &[&str], length: usize) -> String {
    let digest = digest_of(parts);
    // Five bits a character: eight of them are five bytes. None for what is left of less than five bits.
    let mut written = [0; 56];
    for (bytes, characters) in digest.chunks(5).zip(written.chunks_mut(8)) {
        let mut bits = [0; 8];
        bits[..bytes.len()].copy_from_slice(bytes);
        let mut bits = u64::from_be_bytes(bits);
        for character in characters {
            bits = bits.rotate_left(5);
            *character = ALPHABET[(bits & 31) as usize];
        }
    }
    let most = (digest.len() * 8 / 5).min(length);
    let mut text = String::with_capacity(prefix.len() + most);
    text.push_str(prefix);
    // The alphabet is ASCII.
    text.push_str(str::from_utf8(&written[..most]).unwrap_or_default());
    text
}

/// A hash over parts, each behind its length.
fn digest_of(parts: &[&str]) -> [u8; 32] {
    // Nearly all lists of parts fit: they are hashed in one go.
    let mut room = [0; 256];
    let mut length = 0;
    for part in parts {
        let (head, end) = (length + 8, length + 8 + part.len());
        let Some(into) = room.get_mut(length..end) else {
            return digest_of_long(parts);
        };
        let (counted, bytes) = into.split_at_mut(head - length);
        counted.copy_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.copy_from_slice(part.as_bytes());
        length = end;
    }
    Sha256::digest(&room[..length]).into()
}

fn digest_of_long(parts: &[&str]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().into()
}

/// What the key of a line is made of.
#[derive(Clone, Copy, Debug)]
pub struct KeyParts<'a> {
    /// Organization.
    pub organization: &'a OrganizationId,
    /// Source.
    pub source: &'a SourceId,
    /// Order, or the subscription of a reconciliation.
    pub order: &'a str,
    /// Line of the order.
    pub line: &'a str,
    /// Role.
    pub role: Role,
    /// First day the line is truly for.
    pub period_start: Date,
    /// 0, or how often the same line had to be written anew on purpose.
    pub revision: u32,
}

impl KeyParts<'_> {
    /// The key that the line carries.
    pub fn key(&self) -> OperationKey {
        // Hardly any line is written anew.
        let revision = match self.revision {
            0 => SmolStr::new_static("0"),
            times => times.to_smolstr(),
        };
        OperationKey(short_hash(
            "tu",
            &[
                self.organization.as_str(),
                self.source.as_str(),
                self.order,
                self.line,
                self.role.name(),
                &day_text(self.period_start),
                &revision,
            ],
            26,
        ))
    }
}

/// The key of a change of a line that exists: not written anywhere but in the journal.
pub fn edit_key(
    organization: &OrganizationId,
    order: &str,
    op: &str,
    target: &str,
    wanted: &str,
) -> OperationKey {
    OperationKey(short_hash("tu", &["edit", organization.as_str(), order, op, target, wanted], 26))
}

/// Whether a text has the form of a key.
pub fn looks_like_key(text: &str) -> bool {
    text.len() == 28 && text.starts_with("tu") && text.bytes().skip(2).all(|b| ALPHABET.contains(&b))
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

/// A managed field of an addition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// Catalog item.
    CatalogItem,
    /// Quantity.
    Quantity,
    /// Unit price.
    UnitPrice,
    /// Unit cost.
    UnitCost,
    /// First billed day.
    EffectiveDate,
    /// Last billed day.
    CancelledDate,
    /// Bill flag.
    Bill,
    /// Tax flag.
    Taxable,
    /// Text.
    Description,
    /// Text on the invoice.
    InvoiceDescription,
}

impl Field {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::CatalogItem => "catalog item",
            Self::Quantity => "quantity",
            Self::UnitPrice => "unit price",
            Self::UnitCost => "unit cost",
            Self::EffectiveDate => "effective date",
            Self::CancelledDate => "last billed day",
            Self::Bill => "billing",
            Self::Taxable => "taxable",
            Self::Description => "description",
            Self::InvoiceDescription => "invoice description",
        }
    }
}

/// One field's old and new value as text; decimals without trailing zeros for quantities, dates as `YYYY-MM-DD`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Which field.
    pub field: Field,
    /// Before; none where there was nothing.
    pub from: Option<String>,
    /// After; none where nothing remains.
    pub to: Option<String>,
}

fn field_values(state: &AdditionState, currency: Option<Currency>) -> Vec<(Field, Option<String>)> {
    let shown = |money: Money| match currency {
        Some(currency) => money.display(currency),
        None => money.decimal().normalize().to_string(),
    };
    let bill = match state.bill {
        crate::psa::BillFlag::Billable => "billable",
        crate::psa::BillFlag::DoNotBill => "do_not_bill",
        crate::psa::BillFlag::NoCharge => "no_charge",
    };
    vec![
        (Field::CatalogItem, Some(state.catalog_item.to_string())),
        (Field::Quantity, Some(state.quantity.display())),
        (Field::UnitPrice, Some(shown(state.unit_price))),
        (Field::UnitCost, Some(shown(state.unit_cost))),
        (Field::EffectiveDate, Some(state.effective.to_string())),
        (Field::CancelledDate, state.cancelled.map(|d| d.to_string())),
        (Field::Bill, Some(bill.to_owned())),
        (Field::Taxable, state.taxable.map(|t| t.to_string())),
        (Field::Description, state.description.clone()),
        (Field::InvoiceDescription, state.invoice_description.clone()),
    ]
}

/// The fields in which two states differ; a text or flag that is left to the catalog item differs from nothing.
pub fn differing_fields(
    before: &AdditionState,
    after: &AdditionState,
    currency: Currency,
) -> Vec<FieldChange> {
    fields_between(before, after, Some(currency))
}

/// The fields that a state has, in the form of a new line; amounts in the places of their currency where it is known.
pub fn fields_of(state: &AdditionState, currency: Option<Currency>) -> Vec<FieldChange> {
    field_values(state, currency)
        .into_iter()
        .filter(|(_, value)| value.is_some())
        .map(|(field, to)| FieldChange { field, from: None, to })
        .collect()
}

/// As [`differing_fields`], also where the currency is not known.
pub fn fields_between(
    before: &AdditionState,
    after: &AdditionState,
    currency: Option<Currency>,
) -> Vec<FieldChange> {
    let old = field_values(before, currency);
    let new = field_values(after, currency);
    old.into_iter()
        .zip(new)
        .filter(|((field, from), (_, to))| {
            let left_to_catalog =
                matches!(field, Field::Taxable | Field::Description | Field::InvoiceDescription)
                    && to.is_none();
            from != to && !left_to_catalog
        })
        .map(|((field, from), (_, to))| FieldChange { field, from, to })
        .collect()
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

/// A state that an order gave a line in place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// The day since which it holds, up to the one from which the line bills it.
    pub held: Period,
    /// The order.
    pub order: Option<OrderId>,
    /// The state before it.
    pub before: AdditionState,
}

/// An order that gave a line its end, or took it away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// The order.
    pub order: Option<OrderId>,
    /// The last billed day; none where the line was taken away.
    pub last: Option<Date>,
    /// Of a line that an undo made again: the addition that it was before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<AdditionId>,
}

impl AdditionLink {
    /// The link after an edit was carried out. One that an order asked for is remembered; one that takes it back names
    /// order and days of the first one that it takes back, and is forgotten with it.
    pub fn edited(mut self, change: &Change, written: AdditionState) -> Self {
        if let Action::Update { before, wanted, .. } = &change.action {
            let same = |edit: &Edit| {
                Some(edit.held) == change.true_period && edit.order == change.order && edit.before == **wanted
            };
            match (self.edits.iter().position(same), change.true_period) {
                (Some(at), _) => self.edits.truncate(at),
                (None, Some(held)) => {
                    self.edits.push(Edit { held, order: change.order.clone(), before: (**before).clone() });
                }
                (None, None) => {}
            }
        }
        let ended = matches!(change.action, Action::Cancel { .. });
        // A quantity on a line that a person dated to end is no end of ours: the next day on which the line is over has to
        // find that a person ended it.
        let keeps_their_end = change.role == Role::Quantity && !ended && written.cancelled.is_some();
        if keeps_their_end {
            return Self { written, ..self };
        }
        self.ends = End::after(self.ends, change.order.as_ref().filter(|_| ended), written.cancelled);
        if change.undoing == Some(Undoing::Settled) {
            self.ends.push(End { order: self.order.clone(), ..End::default() });
        }
        Self { written, ..self }
    }

    /// The link after an order was carried out of which the journal does not know, by the state in which it left the line.
    pub fn replayed(mut self, by: &Replayed, state: AdditionState) -> Self {
        if let Some(held) = by.days {
            self.edits.push(Edit { held, order: by.order.clone(), before: self.written });
        }
        let ended = by.order.as_ref().filter(|_| state.cancelled.is_some());
        self.ends = End::after(self.ends, ended, state.cancelled);
        Self { written: state, ..self }
    }

    /// Whether the line is there and counts for nothing any more: an undo took back what invoices had billed of it, or made
    /// it to settle that. No order bills by it, starts from it or ends it.
    pub fn is_settled(&self) -> bool {
        !self.deleted && self.ends.last().is_some_and(|end| end.last.is_none() && end.again.is_none())
    }

    /// Whether trueup itself gave the line the end that it has.
    pub fn ended_by_us(&self) -> bool {
        self.written.cancelled.is_some_and(|last| self.ends.iter().any(|end| end.last == Some(last)))
    }

    /// Whether an order made the line, changed it or ended it.
    pub fn names(&self, order: &OrderId) -> bool {
        self.order.as_ref() == Some(order)
            || self.edits.iter().any(|edit| edit.order.as_ref() == Some(order))
            || self.ends.iter().any(|end| end.order.as_ref() == Some(order))
    }

    /// The addition that the line was before it was taken away and an undo made it again: that one is as if it had never
    /// been taken away.
    pub fn again(&self) -> Option<AdditionId> {
        self.ends.first()?.again
    }

    /// The link after the line was taken away.
    pub fn removed(mut self, change: &Change) -> Self {
        self.ends.push(End { order: change.order.clone(), ..End::default() });
        Self { deleted: true, ..self }
    }

    /// The order that took the line away, where that is remembered.
    pub fn removed_by(&self) -> Option<&OrderId> {
        self.ends.last().filter(|end| end.last.is_none())?.order.as_ref()
    }
}

impl End {
    /// The ends of a line that a change makes.
    pub fn of_new(change: &Change) -> Vec<Self> {
        match change.undoing {
            None => Vec::new(),
            Some(Undoing::Settled) => vec![Self::default()],
            Some(Undoing::Again(addition)) => vec![Self { again: Some(addition), ..Self::default() }],
        }
    }

    /// The ends of a line once it is dated to end on `last`, by an order or otherwise. What it had before that day was set
    /// is forgotten where the day comes back: it is taken back then.
    pub fn after(mut ends: Vec<Self>, order: Option<&OrderId>, last: Option<Date>) -> Vec<Self> {
        match (last, order) {
            (None, _) => ends.retain(|end| end.again.is_some()),
            (Some(_), Some(order)) => ends.push(Self { order: Some(order.clone()), last, again: None }),
            (Some(_), None) => match ends.iter().rposition(|end| end.last == last) {
                Some(at) => ends.truncate(at + 1),
                None => ends.push(Self { order: None, last, again: None }),
            },
        }
        ends
    }
}

/// What trueup remembers of an addition it wrote or took over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdditionLink {
    /// The addition.
    pub addition: AdditionId,
    /// Its agreement.
    pub agreement: AgreementId,
    /// Source.
    pub source: SourceId,
    /// Subscription.
    pub subscription: SubscriptionId,
    /// Product at the source.
    pub product: ProductId,
    /// What the line is for.
    pub role: Role,
    /// The order that made it.
    pub order: Option<OrderId>,
    /// Its key; none where it was adopted.
    pub key: Option<OperationKey>,
    /// The days it is truly for, where they differ from its dates; of a line that was taken over, those that a person had
    /// dated it for, where it was to end.
    pub true_period: Option<Period>,
    /// States that orders gave the line in place, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<Edit>,
    /// Who ended the line, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ends: Vec<End>,
    /// What trueup last wrote, or saw when it took over.
    pub written: AdditionState,
    /// The agreement's next invoice date at the first write.
    pub next_invoice_at_write: Option<Date>,
    /// Whether the agreement prorated when the line was given its days.
    #[serde(default, skip_serializing_if = "Prorated::is_unknown")]
    pub prorated: Prorated,
    /// Whether trueup deleted it.
    #[serde(default)]
    pub deleted: bool,
}
