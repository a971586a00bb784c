//! The four seams: the PSA, the sources, the store and the clock. What lies beyond them is reached through nothing else.

use crate::records::{
    ApprovalRow, ApprovalState, AuditEntry, Connection, FindingFilter, FindingState, ImportCounts,
    IncomingRecord, Millis, NewAuditEntry, OperationRow, OrganizationRow, PictureState, PlanState, PulledEnd,
    Released, Seen, SettingValues, StoredFinding, StoredPlan, StoredRecord, TaskFilter,
};
use async_trait::async_trait;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::approval::Word;
use trueup_domain::feed::{Record, RecordKind};
use trueup_domain::finding::{Code, Finding};
use trueup_domain::ids::{
    AdditionId, AgreementId, CatalogItemId, CompanyId, OrganizationId, PlanId, SourceId, TaskId,
};
use trueup_domain::mapping::{Mapping, MappingKind};
use trueup_domain::money::{Currency, Money};
use trueup_domain::period::BillingCycle;
use trueup_domain::plan::{AdditionLink, FieldChange, OperationKey};
use trueup_domain::psa::{
    AdditionState, Agreement, CatalogItem, Company, CompanyProfile, ObservedAddition, Snapshot,
};
use trueup_domain::quantity::config::EntryKey;
use trueup_domain::quantity::{Entry, Level, Line, LineKey};
use trueup_domain::settings::{CancelledDate, MarkerPlace};
use trueup_domain::task::Task;
use trueup_domain::ticket::{
    Board, BoardId, Desk, NoteDraft, ObservedTicket, StatusId, TicketDraft, TicketId, TicketKey, TicketNote,
};

/// A failure of the PSA, already classed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PsaError {
    /// The exception code.
    pub code: Code,
    /// What happened and why, in plain words.
    pub message: String,
    /// The other side's own words: status, code, message. Secrets masked.
    pub their_words: Option<String>,
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Certainly not executed.
    #[error("{0}")]
    Refused(PsaError),
    /// It may have been executed, or may still be.
    #[error("{0}")]
    InDoubt(PsaError),
}

/// How a tenant wants additions written.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct WriteStyle {
    /// What the cancelled date means.
    pub cancelled_date: CancelledDate,
    /// Where the key lives.
    pub marker: MarkerPlace,
}

/// A company to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCompany {
    /// Its short unique text.
    pub identifier: String,
    /// Its name.
    pub name: String,
    /// What else is known of it.
    pub profile: CompanyProfile,
}

/// An agreement to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAgreement {
    /// Its name.
    pub name: String,
    /// Whose.
    pub company: CompanyId,
    /// The name of its type; none takes the tenant's default.
    pub agreement_type: Option<String>,
    /// How often it is billed; none leaves it to the tenant.
    pub billing_cycle: Option<BillingCycle>,
    /// Its currency; none leaves it to the tenant.
    pub currency: Option<Currency>,
    /// Its first day, and the first day that is billed.
    pub start: Date,
}

/// One right that the job needs, and whether the API member has it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Right {
    /// Module, such as `Finance`.
    pub module: String,
    /// Function, such as `Agreements`.
    pub function: String,
    /// Level, such as `Inquire All`.
    pub level: String,
    /// `granted`, `missing`, or `unknown` where no harmless call can tell.
    pub state: String,
    /// What it is needed for.
    pub purpose: String,
}

impl Right {
    /// Whether the API member certainly lacks it.
    pub fn is_missing(&self) -> bool {
        self.state == "missing"
    }

    /// Whether orders alone need it: what is only counted is never deleted, needs no invoice and makes no catalog item.
    pub fn is_for_orders_alone(&self) -> bool {
        let of_lines =
            self.module == "Finance" && (self.function == "Invoicing" || self.level == "Delete All");
        of_lines || self.is_for_new_items()
    }

    /// Whether it is needed for nothing but new catalog items, which are made only where that is switched on.
    pub fn is_for_new_items(&self) -> bool {
        self.module == "Procurement" && self.level == "Add All"
    }
}

impl std::fmt::Display for Right {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} > {} > {}", self.module, self.function, self.level)
    }
}

/// What a connection test found.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PsaReport {
    /// Version of the server.
    pub version: Option<String>,
    /// Whether it is ConnectWise's cloud.
    pub cloud: Option<bool>,
    /// Every right that billing needs.
    pub rights: Vec<Right>,
    /// Every right that tickets need; billing works without them, and they without those of billing.
    pub ticket_rights: Vec<Right>,
    /// Where keys will be written, in words (`custom field trueup key`, `serial number`).
    pub marker: String,
}

/// The professional services automation: ConnectWise.
#[async_trait]
pub trait Psa: Send + Sync {
    /// Tests address, keys and rights without changing anything.
    async fn probe(&self) -> Result<PsaReport, PsaError>;
    /// The rights that billing needs, as far as a few calls can tell: the rest is unknown, and so is every one where
    /// nothing tells.
    async fn list_rights(&self) -> Result<Vec<Right>, PsaError> {
        Ok(Vec::new())
    }
    /// The rights that tickets need, told in the same way.
    async fn list_ticket_rights(&self) -> Result<Vec<Right>, PsaError> {
        Ok(Vec::new())
    }
    /// Companies by id; `None` reads all that are not deleted. Ids that do not exist are simply absent.
    async fn list_companies(&self, ids: Option<&[CompanyId]>) -> Result<Vec<Company>, PsaError>;
    /// Agreements of the companies; `None` reads all. Parents that are named are included.
    async fn list_agreements(&self, companies: Option<&[CompanyId]>) -> Result<Vec<Agreement>, PsaError>;
    /// The agreements that ConnectWise says were changed in or after the second of `since`, by its own clock. Parents
    /// are not added.
    async fn list_agreements_changed(&self, since: Millis) -> Result<Vec<Agreement>, PsaError>;
    /// Agreements by id, without their parents. Ids that do not exist are simply absent.
    async fn list_agreements_by_id(&self, ids: &[AgreementId]) -> Result<Vec<Agreement>, PsaError>;
    /// The same lists, with those agreements apart of which ConnectWise answered something that is not understood (TU1007):
    /// they keep no other waiting.
    async fn list_agreements_each(&self, of: AgreementsOf<'_>) -> Result<Agreements, PsaError> {
        let read = match of {
            AgreementsOf::All => self.list_agreements(None).await?,
            AgreementsOf::Companies(companies) => self.list_agreements(Some(companies)).await?,
            AgreementsOf::ChangedSince(since) => self.list_agreements_changed(since).await?,
            AgreementsOf::Ids(ids) => self.list_agreements_by_id(ids).await?,
        };
        Ok(Agreements { read, unreadable: BTreeMap::new() })
    }
    /// The additions of one agreement, whole, in the order of their ids.
    async fn list_additions(&self, agreement: AgreementId) -> Result<Vec<ObservedAddition>, PsaError>;
    /// The additions of many agreements, read in parallel as far as the limiter lets; fails whole if one fails. An
    /// agreement that ConnectWise says is not there is left out.
    async fn list_additions_of(
        &self,
        agreements: &[AgreementId],
    ) -> Result<BTreeMap<AgreementId, Vec<ObservedAddition>>, PsaError>;
    /// [`Psa::list_additions_of`], which tells of each agreement that was read, and keeps apart those of which ConnectWise
    /// answered something that is not understood (TU1007): they keep no other waiting.
    async fn list_additions_each(
        &self,
        agreements: &[AgreementId],
        tell: &(dyn Fn() + Send + Sync),
    ) -> Result<Lists, PsaError> {
        let read = self.list_additions_of(agreements).await?;
        read.keys().for_each(|_| tell());
        Ok(Lists { read, unreadable: BTreeMap::new() })
    }
    /// Catalog items by id; `None` reads all.
    async fn list_catalog_items(&self, ids: Option<&[CatalogItemId]>) -> Result<Vec<CatalogItem>, PsaError>;
    /// Companies with exactly this identifier, as far as ConnectWise shows them.
    async fn find_companies(&self, identifier: &str) -> Result<Vec<Company>, PsaError>;
    /// Catalog items with exactly this identifier.
    async fn find_catalog_items(&self, identifier: &str) -> Result<Vec<CatalogItem>, PsaError>;
    /// Creates a company. Sent once; never retried where it may have been executed.
    async fn create_company(&self, wanted: &NewCompany) -> Result<Company, WriteError>;
    /// Creates an agreement. Sent once; never retried where it may have been executed.
    async fn create_agreement(&self, wanted: &NewAgreement) -> Result<Agreement, WriteError>;
    /// One agreement, fresh.
    async fn find_agreement(&self, id: AgreementId) -> Result<Option<Agreement>, PsaError>;
    /// Creates an addition that carries `key`. Sent once; never retried where it may have been executed.
    async fn create_addition(
        &self,
        agreement: AgreementId,
        wanted: &AdditionState,
        key: &OperationKey,
    ) -> Result<ObservedAddition, WriteError>;
    /// Creates an addition that carries `key` and names item, quantity, bill flag and first day alone: price, cost and
    /// texts become the catalog's. Sent once; never retried where it may have been executed.
    async fn create_counted_addition(
        &self,
        agreement: AgreementId,
        wanted: &AdditionState,
        key: &OperationKey,
    ) -> Result<ObservedAddition, WriteError>;
    /// Sets the named fields of an addition to absolute values.
    async fn update_addition(
        &self,
        agreement: AgreementId,
        addition: AdditionId,
        wanted: &AdditionState,
        fields: &[FieldChange],
    ) -> Result<ObservedAddition, WriteError>;
    /// Deletes an addition. One that is gone already counts as deleted.
    async fn delete_addition(&self, agreement: AgreementId, addition: AdditionId) -> Result<(), WriteError>;
    /// Creates a catalog item.
    async fn create_catalog_item(&self, item: &NewItem) -> Result<CatalogItem, WriteError>;
    /// What a rule can name beside a board's own tables.
    async fn load_desk(&self) -> Result<Desk, PsaError>;
    /// One board with its statuses, types, subtypes and items; none where it is gone.
    async fn find_board(&self, id: BoardId) -> Result<Option<Board>, PsaError>;
    /// The tickets that carry one of these keys, open and closed, by id: where an answer to [`Psa::create_ticket`] was
    /// lost, this tells what became of it. A deleted ticket is absent.
    async fn find_tickets(&self, keys: &[TicketKey]) -> Result<Vec<ObservedTicket>, PsaError>;
    /// Tickets by id, in the order of their ids. A deleted ticket is absent.
    async fn list_tickets(&self, ids: &[TicketId]) -> Result<Vec<ObservedTicket>, PsaError>;
    /// One ticket, fresh; none where it was deleted. Where the answer to [`Psa::set_ticket_status`] was lost, this tells
    /// what became of it.
    async fn find_ticket(&self, id: TicketId) -> Result<Option<ObservedTicket>, PsaError>;
    /// Creates a ticket that carries its key. Sent once; never retried where it may have been executed. What the draft
    /// names and ConnectWise does not have is refused with TU9501, a missing right with TU9502. The new ticket may lack its
    /// parent where only that failed.
    async fn create_ticket(&self, draft: &TicketDraft) -> Result<ObservedTicket, WriteError>;
    /// Puts a ticket under another. Repeating it changes nothing more, and [`Psa::find_ticket`] tells what became of it.
    async fn attach_ticket(&self, ticket: TicketId, parent: TicketId) -> Result<(), WriteError>;
    /// Moves a ticket to a status of the board that it is on. A status that closes needs a right of its own, which
    /// TU9502 names.
    async fn set_ticket_status(
        &self,
        ticket: TicketId,
        status: StatusId,
    ) -> Result<ObservedTicket, WriteError>;
    /// Adds a note that carries its marker. Sent once; never retried where it may have been executed.
    async fn add_ticket_note(&self, ticket: TicketId, note: &NoteDraft) -> Result<TicketNote, WriteError>;
    /// The notes of a ticket, oldest first; none where the ticket was deleted. Where the answer to
    /// [`Psa::add_ticket_note`] was lost, the marker tells what became of it.
    async fn list_ticket_notes(&self, ticket: TicketId) -> Result<Option<Vec<TicketNote>>, PsaError>;
    /// Calls sent so far, retries included.
    fn calls(&self) -> u64;
    /// The other side's own time at its latest answer; none where no answer told it yet.
    fn server_time(&self) -> Option<Millis>;
}

/// A catalog item to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewItem {
    /// Its short unique text.
    pub identifier: String,
    /// Its name.
    pub description: String,
    /// Price of one, where the source knows it.
    pub price: Option<Money>,
    /// Cost of one, where the source knows it.
    pub cost: Option<Money>,
}

/// Which agreements are read.
#[derive(Clone, Copy, Debug)]
pub enum AgreementsOf<'a> {
    /// All, with their parents.
    All,
    /// Those of these companies, with their parents.
    Companies(&'a [CompanyId]),
    /// Those that ConnectWise says were changed in or after this second, by its own clock.
    ChangedSince(Millis),
    /// These. Ids that do not exist are simply absent.
    Ids(&'a [AgreementId]),
}

/// Agreements, as far as they are understood.
#[derive(Clone, Debug, Default)]
pub struct Agreements {
    /// Those that are.
    pub read: Vec<Agreement>,
    /// Why the others are not, and the company of each where at least that is. One whose parent is not understood is among
    /// them: nobody knows how it is invoiced.
    pub unreadable: BTreeMap<AgreementId, (Option<CompanyId>, PsaError)>,
}

/// The additions of many agreements.
#[derive(Clone, Debug, Default)]
pub struct Lists {
    /// Of those that were read. One that ConnectWise says is not there is in neither.
    pub read: BTreeMap<AgreementId, Vec<ObservedAddition>>,
    /// Why the others could not be understood.
    pub unreadable: BTreeMap<AgreementId, PsaError>,
}

/// A failure of the store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another process holds the data directory (TU9101).
    #[error("the data directory is in use by another process: {0}")]
    InUse(String),
    /// Disk full, read-only or over quota (TU9102).
    #[error("the data directory cannot be written: {0}")]
    NotWritable(String),
    /// The database cannot be reached (TU9103).
    #[error("the database cannot be reached: {0}")]
    OutOfReach(String),
    /// Written by a later version, or a migration stopped (TU9104).
    #[error("the database does not fit this version: {0}")]
    WrongVersion(String),
    /// A sealed secret cannot be opened (TU9105).
    #[error("a sealed secret cannot be opened: {0}")]
    KeyMissing(String),
    /// The lease was lost: another worker holds the lane.
    #[error("the lane is held by another worker")]
    Fenced,
    /// A row that must be unique is there already.
    #[error("{0} is there already")]
    Conflict(String),
    /// A text that the database does not take: it holds the character NUL.
    #[error("a text cannot be stored: {0}")]
    Unfit(String),
    /// A stored row cannot be read back.
    #[error("a stored row is damaged: {0}")]
    Damaged(String),
}

impl StoreError {
    /// The exception code.
    pub fn code(&self) -> Code {
        match self {
            Self::InUse(_) => Code::Tu9101,
            Self::NotWritable(_) => Code::Tu9102,
            Self::OutOfReach(_) | Self::Fenced | Self::Conflict(_) => Code::Tu9103,
            Self::WrongVersion(_) | Self::Damaged(_) => Code::Tu9104,
            Self::Unfit(_) => Code::Tu8004,
            Self::KeyMissing(_) => Code::Tu9105,
        }
    }
}

/// A lease on a lane, with its fencing number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The lane: `agreement/40`, or `run` for a whole organization.
    pub lane: String,
    /// Who holds it.
    pub owner: String,
    /// Grows with every new holder; writes with an older number are refused.
    pub fencing: i64,
}

/// What one finished (or newly doubtful) operation leaves behind; saved in one transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct OperationOutcome {
    /// The journal row in its new state.
    pub operation: OperationRow,
    /// The link to save, where an addition was written.
    pub link: Option<AdditionLink>,
    /// What the audit says.
    pub audit: Vec<NewAuditEntry>,
}

/// The store. Every function takes the organization: nothing of one is visible to another.
#[async_trait]
pub trait Store: Send + Sync {
    /// Makes the organization if it is not there (kind `partner`, name = slug).
    async fn ensure_organization(&self, org: &OrganizationId) -> Result<(), StoreError>;
    /// Adds an organization below a parent; a taken slug is a conflict.
    async fn add_organization(&self, row: &OrganizationRow) -> Result<(), StoreError>;
    /// The organizations.
    async fn list_organizations(&self) -> Result<Vec<OrganizationRow>, StoreError>;

    /// The stored settings that hold for the organization, each from the nearest level that sets it.
    async fn load_settings(&self, org: &OrganizationId) -> Result<SettingValues, StoreError>;
    /// Sets or (with `None`) resets one setting of the organization itself, where its own value still is what was seen;
    /// whether it was.
    async fn save_setting(
        &self,
        org: &OrganizationId,
        key: &str,
        seen: Seen<'_>,
        value: Option<&str>,
    ) -> Result<bool, StoreError>;

    /// Saves a connection, its private key sealed; the same name replaces.
    async fn save_connection(&self, org: &OrganizationId, connection: &Connection) -> Result<(), StoreError>;
    /// Forgets a connection of the organization itself; whether there was one.
    async fn remove_connection(&self, org: &OrganizationId, name: &str) -> Result<bool, StoreError>;
    /// The organization's connections, nearest first: its own, then those of the levels above.
    async fn list_connections(&self, org: &OrganizationId) -> Result<Vec<Connection>, StoreError>;

    /// Saves a batch of records in one transaction: unchanged ones change nothing, changed ones become a new version.
    async fn save_records(
        &self,
        org: &OrganizationId,
        source: &SourceId,
        at: Millis,
        batch: &[IncomingRecord],
    ) -> Result<BTreeMap<RecordKind, ImportCounts>, StoreError>;
    /// The same, save for what was a version of its record before and is not the newest now: those are left out, and the
    /// answer names their places in the batch. A file that holds several versions of one record brings them all again.
    async fn save_new_records(
        &self,
        org: &OrganizationId,
        source: &SourceId,
        at: Millis,
        batch: &[IncomingRecord],
    ) -> Result<(BTreeMap<RecordKind, ImportCounts>, BTreeSet<usize>), StoreError>;
    /// How many records of a kind there are, of each source that has any.
    async fn count_records(
        &self,
        org: &OrganizationId,
        kind: RecordKind,
    ) -> Result<BTreeMap<SourceId, u64>, StoreError>;
    /// The newest versions of one source's records of a kind by id: the first of them after `after`, `limit` at most.
    async fn list_records_after(
        &self,
        org: &OrganizationId,
        source: &SourceId,
        kind: RecordKind,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<StoredRecord>, StoreError>;
    /// The newest versions of a kind (of one source, or of all), in the order of source and id.
    async fn list_records(
        &self,
        org: &OrganizationId,
        source: Option<&SourceId>,
        kind: RecordKind,
    ) -> Result<Vec<StoredRecord>, StoreError>;
    /// The newest version of one record.
    async fn find_record(
        &self,
        org: &OrganizationId,
        source: &SourceId,
        kind: RecordKind,
        id: &str,
    ) -> Result<Option<StoredRecord>, StoreError>;

    /// The version of a record that was the newest at an instant, as far as it is still kept.
    async fn find_record_at(
        &self,
        org: &OrganizationId,
        source: &SourceId,
        (kind, id): (RecordKind, &str),
        at: Millis,
    ) -> Result<Option<Record>, StoreError>;

    /// Saves mappings, each replacing the one with the same kind, source, id and scope; the old ones go to history.
    async fn save_mappings(
        &self,
        org: &OrganizationId,
        at: Millis,
        mappings: &[Mapping],
    ) -> Result<(), StoreError>;
    /// Saves mappings with their audit entries, where those in force are still the ones by which they were judged.
    /// Returns whether it did.
    async fn save_judged_mappings(
        &self,
        org: &OrganizationId,
        at: Millis,
        judged_by: &[Mapping],
        mappings: &[Mapping],
        entries: &[NewAuditEntry],
    ) -> Result<bool, StoreError>;
    /// All mappings in force.
    async fn list_mappings(&self, org: &OrganizationId) -> Result<Vec<Mapping>, StoreError>;
    /// Releases one mapping (into history). Returns whether there was one.
    async fn release_mapping(
        &self,
        org: &OrganizationId,
        at: Millis,
        kind: MappingKind,
        source: &SourceId,
        source_id: &str,
        scope: &str,
    ) -> Result<bool, StoreError>;
    /// Releases these with their audit entries, where each of them is in force just as it is given and none of the tasks
    /// is being written; else none of them.
    async fn release_mappings(
        &self,
        org: &OrganizationId,
        at: Millis,
        mappings: &[Mapping],
        tasks: &[TaskId],
        entries: &[NewAuditEntry],
    ) -> Result<Released, StoreError>;
    /// The mappings that were released and not made again since.
    async fn list_released_mappings(&self, org: &OrganizationId) -> Result<Vec<Mapping>, StoreError>;

    /// Saves tasks by their id; an existing one is replaced.
    async fn save_tasks(&self, org: &OrganizationId, at: Millis, tasks: &[Task]) -> Result<(), StoreError>;
    /// Tasks that fit the filter, by subscription and completion instant.
    async fn list_tasks(&self, org: &OrganizationId, filter: &TaskFilter) -> Result<Vec<Task>, StoreError>;
    /// A named mark of the organization, such as the watermark of a source's orders.
    async fn load_mark(&self, org: &OrganizationId, name: &str) -> Result<Option<String>, StoreError>;
    /// Sets a named mark.
    async fn save_mark(&self, org: &OrganizationId, name: &str, value: &str) -> Result<(), StoreError>;
    /// Sets a named mark where it is still what is known of it; else nothing, and the answer is no.
    async fn change_mark(
        &self,
        org: &OrganizationId,
        name: &str,
        known: Option<&str>,
        value: &str,
    ) -> Result<bool, StoreError>;

    /// Begins a pull under a name of its own, and forgets what an earlier one left unfinished.
    async fn begin_pull(&self, org: &OrganizationId, connection: &str, pull: &str) -> Result<(), StoreError>;
    /// Puts aside what a pull has read, each list whole. The picture stays as it was until [`Store::finish_pull`].
    ///
    /// # Errors
    /// As [`Store::finish_pull`].
    async fn stage_pull(
        &self,
        org: &OrganizationId,
        connection: &str,
        pull: &str,
        at: Millis,
        part: &Snapshot,
    ) -> Result<(), StoreError>;
    /// Adds records to the picture that were made since it was read. Without a picture nothing is added.
    async fn add_to_picture(
        &self,
        org: &OrganizationId,
        connection: &str,
        at: Millis,
        part: &Snapshot,
    ) -> Result<(), StoreError>;
    /// Puts everything that was put aside into the picture, in one transaction: what was read replaces what was known,
    /// what was not read keeps the instant of its reading. Returns of how many agreements the additions differ from
    /// what was known.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another pull of the connection began meanwhile.
    async fn finish_pull(
        &self,
        org: &OrganizationId,
        connection: &str,
        pull: &str,
        end: &PulledEnd,
    ) -> Result<u64, StoreError>;
    /// How the local picture came about; none before the first pull was finished.
    async fn load_picture_state(
        &self,
        org: &OrganizationId,
        connection: &str,
    ) -> Result<Option<PictureState>, StoreError>;
    /// The agreements of the picture, and when the additions of each were read; none where they never were.
    async fn list_picture_agreements(
        &self,
        org: &OrganizationId,
        connection: &str,
    ) -> Result<BTreeMap<AgreementId, Option<Millis>>, StoreError>;
    /// A part of the picture: the next `limit` agreements after an id, with their additions.
    async fn load_picture_part(
        &self,
        org: &OrganizationId,
        connection: &str,
        after: Option<AgreementId>,
        limit: u32,
    ) -> Result<Snapshot, StoreError>;
    /// The additions of these agreements as the picture holds them, with the instant at which the pull began that read
    /// them. Left out is what was never read, and what ConnectWise said was touched since.
    async fn load_picture_additions(
        &self,
        org: &OrganizationId,
        connection: &str,
        agreements: &[AgreementId],
    ) -> Result<BTreeMap<AgreementId, (Millis, Vec<ObservedAddition>)>, StoreError>;
    /// Companies, agreements and catalog items of the local picture, without additions; none before the first pull was
    /// finished.
    async fn load_picture_lists(
        &self,
        org: &OrganizationId,
        connection: &str,
    ) -> Result<Option<Snapshot>, StoreError>;
    /// The whole local picture and when it was last brought up to date.
    async fn load_snapshot(
        &self,
        org: &OrganizationId,
        connection: &str,
    ) -> Result<Option<(Millis, Snapshot)>, StoreError>;

    /// Stores a plan.
    async fn save_plan(&self, org: &OrganizationId, plan: &StoredPlan) -> Result<(), StoreError>;
    /// One plan.
    async fn find_plan(&self, org: &OrganizationId, id: &PlanId) -> Result<Option<StoredPlan>, StoreError>;
    /// The newest plans.
    async fn list_plans(&self, org: &OrganizationId, limit: u32) -> Result<Vec<StoredPlan>, StoreError>;
    /// Moves a plan to another state.
    async fn set_plan_state(
        &self,
        org: &OrganizationId,
        id: &PlanId,
        state: PlanState,
    ) -> Result<(), StoreError>;

    /// Writes down that a plan is carried out now: from here on it is the plan that last answered its tasks.
    async fn begin_plan(&self, org: &OrganizationId, plan: &StoredPlan, at: Millis)
    -> Result<(), StoreError>;

    /// Asks people. The same question again keeps when it was first asked and what was answered; it takes over plan,
    /// number and reasons, and is open again. Returns it with the answers.
    async fn ask_approval(
        &self,
        org: &OrganizationId,
        question: &ApprovalRow,
    ) -> Result<ApprovalRow, StoreError>;
    /// One question with its answers.
    async fn find_approval(&self, org: &OrganizationId, id: &str) -> Result<Option<ApprovalRow>, StoreError>;
    /// The questions that are open, or all of them, the newest first: those asked before `before`, `limit` at most.
    async fn list_approvals(
        &self,
        org: &OrganizationId,
        open: bool,
        before: Option<(Millis, &str)>,
        limit: u32,
    ) -> Result<Vec<ApprovalRow>, StoreError>;
    /// Adds an answer, with its audit entry, to a question that is open. Returns the question with all answers; none
    /// where it is not open.
    async fn answer_approval(
        &self,
        org: &OrganizationId,
        id: &str,
        word: &Word,
        entry: &NewAuditEntry,
    ) -> Result<Option<ApprovalRow>, StoreError>;
    /// Closes a question, and says by which plan it was carried out, where it was. Returns whether it was open.
    async fn close_approval(
        &self,
        org: &OrganizationId,
        id: &str,
        state: ApprovalState,
        carried_out: Option<&PlanId>,
        at: Millis,
    ) -> Result<bool, StoreError>;

    /// Claims a lane: free, expired or one's own. `None` when another holds it.
    async fn acquire_lease(
        &self,
        org: &OrganizationId,
        lane: &str,
        owner: &str,
        now: Millis,
        ttl_ms: i64,
    ) -> Result<Option<Lease>, StoreError>;
    /// Gives a lane back.
    async fn release_lease(&self, org: &OrganizationId, lease: &Lease) -> Result<(), StoreError>;

    /// Writes operations as intents, durable on return. A row that exists (same plan and change) is left as it is.
    async fn save_intents(&self, org: &OrganizationId, rows: &[OperationRow]) -> Result<(), StoreError>;
    /// Moves operations to `Sending` (attempts and `sent_at` as given), durable on return, if the lease still holds.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when the lane has a newer holder, [`StoreError::Conflict`] when another operation with the
    /// same key is not finished or is done.
    async fn begin_operations(
        &self,
        org: &OrganizationId,
        lease: &Lease,
        rows: &[OperationRow],
    ) -> Result<(), StoreError>;
    /// Saves outcomes with their links and audit entries, each in one transaction, if the lease still holds.
    async fn finish_operations(
        &self,
        org: &OrganizationId,
        lease: &Lease,
        outcomes: &[OperationOutcome],
    ) -> Result<(), StoreError>;
    /// The operations of a plan.
    async fn list_operations(
        &self,
        org: &OrganizationId,
        plan: &PlanId,
    ) -> Result<Vec<OperationRow>, StoreError>;
    /// Operations that are `Sending` or `InDoubt`, of all plans.
    async fn list_unresolved_operations(&self, org: &OrganizationId)
    -> Result<Vec<OperationRow>, StoreError>;
    /// Plans that are being carried out and have an operation that was not begun.
    async fn list_plans_under_way(&self, org: &OrganizationId) -> Result<Vec<PlanId>, StoreError>;
    /// The newest operation with a key that is not skipped.
    async fn find_operation_by_key(
        &self,
        org: &OrganizationId,
        key: &OperationKey,
    ) -> Result<Option<OperationRow>, StoreError>;

    /// Saves links by their addition.
    async fn save_links(&self, org: &OrganizationId, links: &[AdditionLink]) -> Result<(), StoreError>;
    /// All links (also deleted ones), by addition.
    async fn list_links(&self, org: &OrganizationId) -> Result<Vec<AdditionLink>, StoreError>;

    /// What people set about quantities and what holds for the organization: its own entries, then those of the levels
    /// above, nearest first.
    async fn list_quantity_entries(&self, org: &OrganizationId) -> Result<Vec<Level>, StoreError>;
    /// Saves and removes entries of a source, with their audit entries, in one transaction. An entry replaces the one
    /// with the same key.
    async fn save_quantity_entries(
        &self,
        org: &OrganizationId,
        source: &SourceId,
        save: &[Entry],
        remove: &[EntryKey],
        audit: &[NewAuditEntry],
    ) -> Result<(), StoreError>;
    /// The lines as the last runs saw them, by agreement and item.
    async fn list_quantity_lines(&self, org: &OrganizationId) -> Result<Vec<Line>, StoreError>;
    /// The line of an item on an agreement, as the last run saw it.
    async fn find_quantity_line(
        &self,
        org: &OrganizationId,
        line: LineKey,
    ) -> Result<Option<Line>, StoreError>;
    /// Saves lines, each in the place of the one of the same agreement and item.
    async fn save_quantity_lines(&self, org: &OrganizationId, lines: &[Line]) -> Result<(), StoreError>;

    /// Records findings of one scope (such as `plan` or `check` or `task/ID`): seen ones are counted, open ones of the
    /// scope that are not among them become resolved.
    async fn record_findings(
        &self,
        org: &OrganizationId,
        scope: &str,
        at: Millis,
        today: Date,
        findings: &[Finding],
    ) -> Result<(), StoreError>;
    /// Findings that fit the filter.
    async fn list_findings(
        &self,
        org: &OrganizationId,
        filter: &FindingFilter,
    ) -> Result<Vec<StoredFinding>, StoreError>;
    /// Mutes, ignores or re-opens a finding. Returns whether it exists.
    async fn decide_finding(
        &self,
        org: &OrganizationId,
        id: &str,
        state: FindingState,
        until: Option<Date>,
        reason: Option<&str>,
        actor: &str,
    ) -> Result<bool, StoreError>;

    /// Appends to the audit: numbers without gaps, each entry hashed over the one before.
    async fn append_audit(&self, org: &OrganizationId, entries: &[NewAuditEntry]) -> Result<(), StoreError>;
    /// The audit of one addition, or (without one) the newest entries.
    async fn list_audit(
        &self,
        org: &OrganizationId,
        addition: Option<AdditionId>,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, StoreError>;
    /// Recomputes the chain. Returns the number of the first entry that does not fit, if any.
    async fn verify_audit(&self, org: &OrganizationId) -> Result<Option<i64>, StoreError>;

    /// Removes a task's finding scope and the like is not needed: tasks are never deleted. This only tells how many
    /// tasks are in each state.
    async fn count_tasks(&self, org: &OrganizationId) -> Result<BTreeMap<String, u64>, StoreError>;
    /// The plan that last answered a task.
    async fn find_plan_of_task(
        &self,
        org: &OrganizationId,
        task: &TaskId,
    ) -> Result<Option<PlanId>, StoreError>;

    /// What it keeps of alerts.
    fn alerts(&self) -> &dyn crate::alerts::AlertBook;

    /// Ends the work with the store: everything is in its one place afterwards, and nothing more may be asked of it.
    async fn close(&self) -> Result<(), StoreError>;
}

/// Time. Today is the organization's date, and may be set from outside for replays.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The instant, in UTC.
    fn now(&self) -> Millis;
    /// The date.
    fn today(&self) -> Date;
    /// The date in a time zone, as far as no date is set for the whole program.
    fn today_in(&self, zone: &TimeZone) -> Date {
        let now = jiff::Timestamp::from_millisecond(self.now());
        now.map_or_else(|_| self.today(), |now| now.to_zoned(zone.clone()).date())
    }
    /// Waits until the instant.
    async fn sleep_until(&self, at: Millis);
}

/// What a source hands over: feed records and refusals, page by page.
pub trait Source: Send {
    /// The next record or refusal; `None` at the end.
    fn next_record(&mut self) -> Option<Result<trueup_domain::feed::Record, Refusal>>;
}

/// A record that was not taken in.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Refusal {
    /// File, or `-`.
    pub file: String,
    /// Line, from 1.
    pub line: u64,
    /// The field, where one is to blame.
    pub field: Option<String>,
    /// What is wrong, why, and what to do.
    pub reason: String,
    /// Exception code, `TU8004` for most.
    pub code: String,
    /// Kind and id of the record, where it tells them.
    #[serde(skip)]
    pub record: Option<Box<(RecordKind, String)>>,
    /// Whether the record was taken in all the same (a warning).
    #[serde(skip)]
    pub warning: bool,
}
