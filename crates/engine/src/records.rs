//! The rows that use cases hand to the store and take from it: plain data, no behaviour.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use trueup_domain::approval::{Reason, Word};
use trueup_domain::feed::{Record, RecordKind};
use trueup_domain::finding::{Finding, Severity};
use trueup_domain::ids::{
    AdditionId, AgreementId, ChangeId, OrganizationId, PlanId, SourceId, SubscriptionId, TaskId,
};
use trueup_domain::plan::{CheckedPlan, DraftPlan};

/// Milliseconds since 1970 in UTC.
pub type Millis = i64;

/// A feed record on its way into the store.
#[derive(Clone, Debug, PartialEq)]
pub struct IncomingRecord {
    /// The record.
    pub record: Record,
    /// Its identity within source and kind.
    pub id: String,
    /// Hex hash over its canonical form: equal hashes mean an unchanged record.
    pub hash: String,
}

/// A record on its way into the store: its id, and a hash that is equal exactly when nothing changed.
///
/// The hash is the first half of SHA-256 over the record's canonical JSON: 128 bits keep two versions apart also where
/// someone tries, and processors compute it at the pace of memory. The instant of an order counts and not the offset that
/// it is written with: the day that follows from that one is a field of its own.
pub fn incoming(mut record: Record) -> IncomingRecord {
    let id = record.id();
    let mut json = Vec::with_capacity(1024);
    let written = match &mut record {
        Record::Order(order) => jiff::Timestamp::from_microsecond(order.completed_us)
            .ok()
            .map(|instant| std::mem::replace(&mut order.completed_at, instant.to_string())),
        _ => None, // open set: the others are hashed as they are
    };
    // Writing a record of plain data to memory cannot fail.
    if serde_json::to_writer(&mut json, &record).is_err() {
        json.clear();
    }
    if let (Record::Order(order), Some(written)) = (&mut record, written) {
        order.completed_at = written;
    }
    let digest = Sha256::digest(&json);
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut hash = String::with_capacity(32);
    for byte in digest.iter().take(16) {
        for half in [byte >> 4, byte & 15] {
            hash.push(char::from(HEX[usize::from(half)]));
        }
    }
    IncomingRecord { record, id, hash }
}

/// How many records of a batch were new, changed or known already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportCounts {
    /// Never seen before.
    pub new: u64,
    /// A new version of a known record.
    pub changed: u64,
    /// Equal to the newest version.
    pub unchanged: u64,
}

/// The newest version of a record in the store.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRecord {
    /// Source.
    pub source: SourceId,
    /// The record.
    pub record: Record,
    /// 1 for the first version.
    pub version: u32,
    /// When this version came in.
    pub received_at: Millis,
}

/// How the local picture of a connection came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureState {
    /// When it was last brought up to date, by our clock.
    pub at: Millis,
    /// The other side's own time when that pull began; none where its answers did not tell.
    pub watermark: Option<Millis>,
    /// How many pulls read everything or their share of all agreements.
    pub runs: u64,
    /// When the last of those was, by our clock.
    pub shared_at: Option<Millis>,
}

/// How a pull ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PulledEnd {
    /// The picture's state from here on.
    pub state: PictureState,
    /// Whether everything was read: what was not put aside is then not there any more. Otherwise that holds for
    /// companies and catalog items alone.
    pub whole: bool,
    /// Whether companies and catalog items were read: if not, they stay as they are known.
    pub lists: bool,
    /// Agreements that ConnectWise said are not there.
    pub gone: Vec<AgreementId>,
    /// Agreements whose additions could not be understood: they stay as they are known.
    pub unread: Vec<AgreementId>,
}

/// Which tasks are wanted; empty fields mean all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// In one of these states.
    pub states: Vec<trueup_domain::task::TaskState>,
    /// With one of these ids.
    pub ids: Vec<TaskId>,
    /// Of this customer.
    pub customer: Option<String>,
    /// Of this subscription.
    pub subscription: Option<String>,
    /// Of one of these subscriptions, of whichever source.
    pub subscriptions: Vec<SubscriptionId>,
    /// Of this source.
    pub source: Option<SourceId>,
}

/// Where a stored plan stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanState {
    /// Stored, not applied.
    Proposed,
    /// Being applied.
    Applying,
    /// All its changes are applied.
    Applied,
    /// Some changes failed, were skipped or are in doubt.
    Partial,
    /// ConnectWise changed underneath: refused.
    Stale,
    /// The checker did not let it pass; it can be looked at, not applied.
    Refused,
}

/// The body of a stored plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanBody {
    /// It passed the checker.
    Checked(CheckedPlan),
    /// It did not.
    Draft(DraftPlan),
}

impl PlanBody {
    /// The plan, checked or not.
    pub fn plan(&self) -> &DraftPlan {
        match self {
            Self::Checked(checked) => checked.plan(),
            Self::Draft(draft) => draft,
        }
    }
}

/// A stored plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPlan {
    /// Id.
    pub id: PlanId,
    /// Name of the connection it was planned against.
    pub connection: String,
    /// When it was made.
    pub created_at: Millis,
    /// By whom.
    pub actor: String,
    /// Where it stands.
    pub state: PlanState,
    /// The plan.
    pub body: PlanBody,
}

/// What became of mappings that were to be released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Released {
    /// They are.
    Done,
    /// One of them does not stand as it was given: none is.
    Moved,
    /// A task that stands on them is being written: none is.
    Busy(TaskId),
}

/// Where a question to people stands, beside what they answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalState {
    /// It is asked.
    Open,
    /// What it asks about was carried out.
    Applied,
    /// ConnectWise changed underneath: its plan was refused as out of date.
    Stale,
    /// What is to be written is another thing by now, or nothing.
    Withdrawn,
}

/// A question to people about exactly what a plan would write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRow {
    /// Id, made of what would be written: the same again is the same question.
    pub id: String,
    /// The plan that would write it: the last one that was made.
    pub plan: PlanId,
    /// The connection.
    pub connection: String,
    /// How many people are asked.
    pub persons: u8,
    /// Why.
    pub reasons: Vec<Reason>,
    /// Who made the plan that was first asked about.
    pub maker: String,
    /// When it was first asked.
    pub asked_at: Millis,
    /// Where it stands.
    pub state: ApprovalState,
    /// When it was closed.
    pub closed_at: Option<Millis>,
    /// What people said, oldest first.
    pub words: Vec<Word>,
}

/// State of one operation of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationState {
    /// Durable, nothing sent.
    Intent,
    /// A call may have been sent; after a crash this is in doubt.
    Sending,
    /// ConnectWise holds it.
    Done,
    /// Certainly not executed, and ConnectWise said why.
    Refused,
    /// No clear answer.
    InDoubt,
    /// Not sent, because something it depends on did not succeed or the plan was stale.
    Skipped,
}

/// One operation of the journal: one change of one plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationRow {
    /// Plan.
    pub plan: PlanId,
    /// Change within the plan.
    pub change: ChangeId,
    /// The deterministic key; unique per organization among operations that are not [`OperationState::Skipped`] or
    /// [`OperationState::Refused`].
    pub key: String,
    /// Agreement: the lane.
    pub agreement: AgreementId,
    /// State.
    pub state: OperationState,
    /// The addition, once known.
    pub addition: Option<AdditionId>,
    /// Fencing number of the lease under which it was last moved.
    pub fencing: i64,
    /// How often a call was sent.
    pub attempts: u32,
    /// When the last call was about to be sent.
    pub sent_at: Option<Millis>,
    /// When a look-up first found the key absent after `sent_at` plus the settle time.
    pub absent_at: Option<Millis>,
    /// Calls used, reads of its own included.
    pub calls: u32,
    /// Exception code, message and the other side's words of the last failure.
    pub error: Option<OperationError>,
    /// Last move.
    pub updated_at: Millis,
}

/// Why an operation failed or is in doubt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationError {
    /// Exception code, `TU7004` for one.
    pub code: String,
    /// What happened and why.
    pub message: String,
    /// The other side's own words, secrets masked.
    pub their_words: Option<String>,
}

/// Where a finding stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingState {
    /// It holds.
    Open,
    /// Quiet until a date.
    Muted,
    /// Put aside, with reason and person.
    Ignored,
    /// The check no longer finds it.
    Resolved,
    /// Back after it was resolved, or after a mute ran out.
    Recurred,
}

/// A finding in the store: the same code and subject is the same row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFinding {
    /// Id, made from code and subject.
    pub id: String,
    /// The finding as it was last seen.
    pub finding: Finding,
    /// Where it stands.
    pub state: FindingState,
    /// How often it was seen.
    pub count: u64,
    /// First seen.
    pub first_seen_at: Millis,
    /// Last seen.
    pub last_seen_at: Millis,
    /// End of the mute.
    pub muted_until: Option<Date>,
    /// Reason of `ignored`.
    pub reason: Option<String>,
    /// Who muted or ignored it.
    pub decided_by: Option<String>,
}

/// Which findings are wanted; empty fields mean all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FindingFilter {
    /// In one of these states.
    pub states: Vec<FindingState>,
    /// With this code.
    pub code: Option<String>,
    /// At least this grave.
    pub severity: Option<Severity>,
    /// Of this task.
    pub task: Option<TaskId>,
}

/// One entry of the audit on its way into the store; the store adds number, previous hash and hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewAuditEntry {
    /// When.
    pub at: Millis,
    /// Who: a person, or `trueup` for a run.
    pub actor: String,
    /// What: `addition.create`, `mapping.save`, `setting.set`.
    pub action: String,
    /// On what: `addition/311`, `mapping/customer/c-100`.
    pub object: String,
    /// The addition concerned, to find it by.
    pub addition: Option<AdditionId>,
    /// Before, after, plan, formula, inputs, source record: JSON text.
    pub detail: String,
}

/// One entry of the audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Number within the organization, from 1, without gaps.
    pub number: i64,
    /// The entry.
    #[serde(flatten)]
    pub entry: NewAuditEntry,
    /// Hash of the entry before.
    pub previous_hash: String,
    /// Hash over number, entry and previous hash.
    pub hash: String,
}

/// A stored connection to ConnectWise; the private key is sealed at rest and opened on load.
#[derive(Clone)]
pub struct Connection {
    /// Name, unique per organization.
    pub name: String,
    /// Address.
    pub url: String,
    /// Login company.
    pub company: String,
    /// Public key.
    pub public_key: String,
    /// Private key. Never printed: there is no Debug for it.
    pub private_key: SecretText,
    /// Client id.
    pub client_id: String,
    /// When it was stored.
    pub created_at: Millis,
}

/// A secret: no Debug that shows it, no Display, no Serialize.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(String);

impl SecretText {
    /// Wraps a secret.
    pub fn new(text: String) -> Self {
        Self(text)
    }
    /// The secret itself, for the one place that uses it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[hidden]")
    }
}

/// A node of trueup's own organization tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizationRow {
    /// Slug.
    pub id: OrganizationId,
    /// Display name.
    pub name: String,
    /// `operator`, `partner`, `customer` or `site`.
    pub kind: String,
    /// The node above.
    pub parent: Option<OrganizationId>,
}

/// A setting's value with the level it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingValue {
    /// The value.
    pub value: String,
    /// The organization that sets it; none for the default.
    pub from: Option<OrganizationId>,
}

/// What whoever changes a value has seen of it before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen<'a> {
    /// It does not matter: the last word counts.
    Any,
    /// This value, or none; another one that holds by now stays.
    Value(Option<&'a str>),
}

/// The effective settings of an organization, inherited down the tree.
pub type SettingValues = BTreeMap<String, SettingValue>;

/// Filter of records by kind.
pub type Kinds = [RecordKind];
