//! The Store port on its way to the real store: tells the wire what is durably begun, pauses workers, and carries those
//! planted bugs that are a store's.

use super::bug::Bug;
use super::rng::Rng;
use super::wire::Net;
use async_trait::async_trait;
use jiff::civil::Date;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use trueup_domain::approval::Word;
use trueup_domain::feed::{Record, RecordKind};
use trueup_domain::finding::Finding;
use trueup_domain::ids::*;
use trueup_domain::mapping::{Mapping, MappingKind};
use trueup_domain::plan::{Action, AdditionLink, OperationKey, Target};
use trueup_domain::psa::{ObservedAddition, Snapshot};
use trueup_domain::quantity::config::EntryKey;
use trueup_domain::quantity::{Entry, Level, Line, LineKey};
use trueup_domain::task::Task;
use trueup_engine::ports::{Lease, OperationOutcome, Store, StoreError};
use trueup_engine::records::*;
use trueup_store::SqlStore;

/// The store of one world, as one worker sees it.
#[derive(Clone)]
pub struct StormStore {
    pub inner: Arc<SqlStore>,
    pub net: Arc<Net>,
    pub bug: Option<Bug>,
    /// Where this worker is stopped for longer than its lease holds; none where it never is.
    pub pauses: Option<Arc<Mutex<Rng>>>,
    pub orders: Arc<Mutex<Orders>>,
}

/// What a delta read without an overlap has let through.
#[derive(Default)]
pub struct Orders {
    known: BTreeSet<String>,
    watermark: i64,
}

impl StormStore {
    /// The store of a worker that is never stopped.
    pub fn new(inner: Arc<SqlStore>, net: &Arc<Net>, bug: Option<Bug>) -> Self {
        Self { inner, net: Arc::clone(net), bug, pauses: None, orders: Arc::default() }
    }

    /// The same store as a worker sees it that is stopped now and then.
    pub fn paused(&self, pauses: Option<Rng>) -> Self {
        Self { pauses: pauses.map(|rng| Arc::new(Mutex::new(rng))), ..self.clone() }
    }

    /// Stopped (as by SIGSTOP) for longer than a lease holds; others go on meanwhile.
    pub async fn maybe_pause(&self) {
        self.net.commits().await;
        let Some(rng) = &self.pauses else { return };
        if !rng.lock().unwrap().chance(60) {
            return;
        }
        self.net.idle().await;
        self.net.advance(self.net.now() + 200_000).await;
        tokio::time::sleep(Duration::from_millis(8)).await;
    }

    /// What the wire will see of an operation: the key of a new addition, the id of another.
    async fn subjects(&self, org: &OrganizationId, row: &OperationRow) -> Result<Vec<String>, StoreError> {
        let Some(plan) = self.inner.find_plan(org, &row.plan).await? else { return Ok(Vec::new()) };
        let changes = &plan.body.plan().changes;
        let Some(change) = changes.iter().find(|c| c.id == row.change) else { return Ok(Vec::new()) };
        Ok(match &change.action {
            Action::Create { .. } => vec![change.key.0.clone()],
            Action::Update { target, .. } | Action::Cancel { target, .. } | Action::Delete { target, .. } => {
                match target {
                    Target::Existing(id) => vec![id.to_string()],
                    Target::CreatedBy(change) => {
                        let rows = self.inner.list_operations(org, &row.plan).await?;
                        let made = rows.iter().find(|r| &r.change == change).and_then(|r| r.addition);
                        made.map(|id| id.to_string()).into_iter().collect()
                    }
                }
            }
            Action::Keep { .. } => Vec::new(),
        })
    }

    async fn begin_operations_here(
        &self,
        org: &OrganizationId,
        lease: &Lease,
        rows: &[OperationRow],
    ) -> Result<(), StoreError> {
        self.maybe_pause().await;
        self.inner.begin_operations(org, lease, rows).await?;
        for row in rows {
            let subjects = self.subjects(org, row).await?;
            self.net.begun.lock().unwrap().extend(subjects);
        }
        self.maybe_pause().await;
        Ok(())
    }

    async fn finish_operations_here(
        &self,
        org: &OrganizationId,
        lease: &Lease,
        outcomes: &[OperationOutcome],
    ) -> Result<(), StoreError> {
        self.maybe_pause().await;
        self.inner.finish_operations(org, lease, outcomes).await?;
        let mut linked = self.net.linked.lock().unwrap();
        for link in outcomes.iter().filter_map(|o| o.link.as_ref()) {
            let ids = linked.entry(link.agreement.0).or_default();
            if link.deleted {
                ids.remove(&link.addition.0)
            } else {
                ids.insert(link.addition.0)
            };
        }
        Ok(())
    }

    /// Without a fence everybody is the same holder, so that no number ever tells two of them apart.
    async fn acquire_lease_here(
        &self,
        org: &OrganizationId,
        lane: &str,
        owner: &str,
        now: Millis,
        ttl_ms: i64,
    ) -> Result<Option<Lease>, StoreError> {
        let owner = if self.bug == Some(Bug::NoFence) { "everybody" } else { owner };
        self.inner.acquire_lease(org, lane, owner, now, ttl_ms).await
    }

    /// Without an overlap an order that was completed before the newest one known is never looked at: the engine has two
    /// nets for such orders (seven days, and the instant of their arrival), so that the bug stands before both.
    async fn list_records_here(
        &self,
        org: &OrganizationId,
        source: Option<&SourceId>,
        kind: RecordKind,
    ) -> Result<Vec<StoredRecord>, StoreError> {
        let mut rows = self.inner.list_records(org, source, kind).await?;
        if kind == RecordKind::Order && self.bug == Some(Bug::NoOverlap) {
            let mut orders = self.orders.lock().unwrap();
            let before = orders.watermark;
            rows.retain(|row| {
                let Record::Order(order) = &row.record else { return true };
                let id = order.id.to_string();
                let seen = orders.known.contains(&id) || order.completed_us > before;
                if seen {
                    orders.known.insert(id);
                    orders.watermark = orders.watermark.max(order.completed_us);
                }
                seen
            });
        }
        Ok(rows)
    }
}

#[async_trait]
impl Store for StormStore {
    async fn ensure_organization(&self, org: &OrganizationId) -> Result<(), StoreError> {
        self.inner.ensure_organization(org).await
    }
    async fn add_organization(&self, row: &OrganizationRow) -> Result<(), StoreError> {
        self.inner.add_organization(row).await
    }
    async fn list_organizations(&self) -> Result<Vec<OrganizationRow>, StoreError> {
        self.inner.list_organizations().await
    }
    async fn load_settings(&self, org: &OrganizationId) -> Result<SettingValues, StoreError> {
        self.inner.load_settings(org).await
    }
    async fn save_setting(
        &self,
        org: &OrganizationId,
        key: &str,
        seen: Seen<'_>,
        value: Option<&str>,
    ) -> Result<bool, StoreError> {
        self.inner.save_setting(org, key, seen, value).await
    }
    async fn save_connection(&self, org: &OrganizationId, connection: &Connection) -> Result<(), StoreError> {
        self.inner.save_connection(org, connection).await
    }
    async fn remove_connection(&self, org: &OrganizationId, name: &str) -> Result<bool, StoreError> {
        self.inner.remove_connection(org, name).await
    }
    async fn list_connections(&self, org: &OrganizationId) -> Result<Vec<Connection>, StoreError> {
        self.inner.list_connections(org).await
    }
    async fn save_records(
        &self,
        org: &OrganizationId,
        source: &SourceId,
        at: Millis,
        batch: &[IncomingRecord],
    ) -> Result<BTreeMap<RecordKind, ImportCounts>, StoreError> {
        self.inner.save_records(org, source, at, batch).await
    }
    async fn save_new_records(
        &self,
        org: &OrganizationId,
        source: &SourceId,
        at: Millis,
        batch: &[IncomingRecord],
    ) -> Result<(BTreeMap<RecordKind, ImportCounts>, BTreeSet<usize>), StoreError> {
        self.inner.save_new_records(org, source, at, batch).await
    }
    async fn count_records(
        &self,
        org: &OrganizationId,
        kind: RecordKind,
    ) -> Result<BTreeMap<SourceId, u64>, StoreError> {
        self.inner.count_records(org, kind).await
    }
    async fn list_records_after(
        &self,
        org: &OrganizationId,
        source: &SourceId,
        kind: RecordKind,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<StoredRecord>, StoreError> {
        self.inner.list_records_after(org, source, kind, after, limit).await
    }
    fn alerts(&self) -> &dyn trueup_engine::alerts::AlertBook {
        self
    }
    async fn close(&self) -> Result<(), StoreError> {
        self.inner.close().await
    }
    async fn list_records(
        &self,
        org: &OrganizationId,
        source: Option<&SourceId>,
        kind: RecordKind,
    ) -> Result<Vec<StoredRecord>, StoreError> {
        self.list_records_here(org, source, kind).await
    }
    async fn find_record(
        &self,
        org: &OrganizationId,
        source: &SourceId,
        kind: RecordKind,
        id: &str,
    ) -> Result<Option<StoredRecord>, StoreError> {
        self.inner.find_record(org, source, kind, id).await
    }
    async fn find_record_at(
        &self,
        org: &OrganizationId,
        source: &SourceId,
        key: (RecordKind, &str),
        at: Millis,
    ) -> Result<Option<Record>, StoreError> {
        self.inner.find_record_at(org, source, key, at).await
    }
    async fn save_mappings(
        &self,
        org: &OrganizationId,
        at: Millis,
        mappings: &[Mapping],
    ) -> Result<(), StoreError> {
        self.inner.save_mappings(org, at, mappings).await
    }
    async fn list_mappings(&self, org: &OrganizationId) -> Result<Vec<Mapping>, StoreError> {
        self.inner.list_mappings(org).await
    }
    async fn release_mapping(
        &self,
        org: &OrganizationId,
        at: Millis,
        kind: MappingKind,
        source: &SourceId,
        source_id: &str,
        scope: &str,
    ) -> Result<bool, StoreError> {
        self.inner.release_mapping(org, at, kind, source, source_id, scope).await
    }
    async fn save_judged_mappings(
        &self,
        org: &OrganizationId,
        at: Millis,
        judged_by: &[Mapping],
        mappings: &[Mapping],
        entries: &[NewAuditEntry],
    ) -> Result<bool, StoreError> {
        self.inner.save_judged_mappings(org, at, judged_by, mappings, entries).await
    }
    async fn release_mappings(
        &self,
        org: &OrganizationId,
        at: Millis,
        mappings: &[Mapping],
        tasks: &[TaskId],
        entries: &[NewAuditEntry],
    ) -> Result<Released, StoreError> {
        self.inner.release_mappings(org, at, mappings, tasks, entries).await
    }
    async fn list_released_mappings(&self, org: &OrganizationId) -> Result<Vec<Mapping>, StoreError> {
        self.inner.list_released_mappings(org).await
    }
    async fn save_tasks(&self, org: &OrganizationId, at: Millis, tasks: &[Task]) -> Result<(), StoreError> {
        self.inner.save_tasks(org, at, tasks).await
    }
    async fn list_tasks(&self, org: &OrganizationId, filter: &TaskFilter) -> Result<Vec<Task>, StoreError> {
        self.inner.list_tasks(org, filter).await
    }
    async fn load_mark(&self, org: &OrganizationId, name: &str) -> Result<Option<String>, StoreError> {
        self.inner.load_mark(org, name).await
    }
    async fn save_mark(&self, org: &OrganizationId, name: &str, value: &str) -> Result<(), StoreError> {
        self.inner.save_mark(org, name, value).await
    }
    async fn change_mark(
        &self,
        org: &OrganizationId,
        name: &str,
        known: Option<&str>,
        value: &str,
    ) -> Result<bool, StoreError> {
        self.inner.change_mark(org, name, known, value).await
    }
    async fn begin_pull(&self, org: &OrganizationId, connection: &str, pull: &str) -> Result<(), StoreError> {
        self.inner.begin_pull(org, connection, pull).await
    }
    async fn stage_pull(
        &self,
        org: &OrganizationId,
        connection: &str,
        pull: &str,
        at: Millis,
        part: &Snapshot,
    ) -> Result<(), StoreError> {
        self.inner.stage_pull(org, connection, pull, at, part).await
    }
    async fn add_to_picture(
        &self,
        org: &OrganizationId,
        connection: &str,
        at: Millis,
        part: &Snapshot,
    ) -> Result<(), StoreError> {
        self.inner.add_to_picture(org, connection, at, part).await
    }
    async fn finish_pull(
        &self,
        org: &OrganizationId,
        connection: &str,
        pull: &str,
        end: &PulledEnd,
    ) -> Result<u64, StoreError> {
        self.inner.finish_pull(org, connection, pull, end).await
    }
    async fn load_picture_state(
        &self,
        org: &OrganizationId,
        connection: &str,
    ) -> Result<Option<PictureState>, StoreError> {
        self.inner.load_picture_state(org, connection).await
    }
    async fn list_picture_agreements(
        &self,
        org: &OrganizationId,
        connection: &str,
    ) -> Result<BTreeMap<AgreementId, Option<Millis>>, StoreError> {
        self.inner.list_picture_agreements(org, connection).await
    }
    async fn load_picture_additions(
        &self,
        org: &OrganizationId,
        connection: &str,
        agreements: &[AgreementId],
    ) -> Result<BTreeMap<AgreementId, (Millis, Vec<ObservedAddition>)>, StoreError> {
        self.inner.load_picture_additions(org, connection, agreements).await
    }
    async fn load_picture_part(
        &self,
        org: &OrganizationId,
        connection: &str,
        after: Option<AgreementId>,
        limit: u32,
    ) -> Result<Snapshot, StoreError> {
        self.inner.load_picture_part(org, connection, after, limit).await
    }
    async fn load_picture_lists(
        &self,
        org: &OrganizationId,
        connection: &str,
    ) -> Result<Option<Snapshot>, StoreError> {
        self.inner.load_picture_lists(org, connection).await
    }
    async fn load_snapshot(
        &self,
        org: &OrganizationId,
        connection: &str,
    ) -> Result<Option<(Millis, Snapshot)>, StoreError> {
        self.inner.load_snapshot(org, connection).await
    }
    async fn save_plan(&self, org: &OrganizationId, plan: &StoredPlan) -> Result<(), StoreError> {
        self.net.commits().await;
        self.inner.save_plan(org, plan).await
    }
    async fn find_plan(&self, org: &OrganizationId, id: &PlanId) -> Result<Option<StoredPlan>, StoreError> {
        self.inner.find_plan(org, id).await
    }
    async fn list_plans(&self, org: &OrganizationId, limit: u32) -> Result<Vec<StoredPlan>, StoreError> {
        self.inner.list_plans(org, limit).await
    }
    async fn set_plan_state(
        &self,
        org: &OrganizationId,
        id: &PlanId,
        state: PlanState,
    ) -> Result<(), StoreError> {
        self.net.commits().await;
        self.inner.set_plan_state(org, id, state).await
    }
    async fn begin_plan(
        &self,
        org: &OrganizationId,
        plan: &StoredPlan,
        at: Millis,
    ) -> Result<(), StoreError> {
        self.net.commits().await;
        self.inner.begin_plan(org, plan, at).await
    }
    async fn ask_approval(
        &self,
        org: &OrganizationId,
        question: &ApprovalRow,
    ) -> Result<ApprovalRow, StoreError> {
        self.net.commits().await;
        self.inner.ask_approval(org, question).await
    }
    async fn find_approval(&self, org: &OrganizationId, id: &str) -> Result<Option<ApprovalRow>, StoreError> {
        self.inner.find_approval(org, id).await
    }
    async fn list_approvals(
        &self,
        org: &OrganizationId,
        open: bool,
        before: Option<(Millis, &str)>,
        limit: u32,
    ) -> Result<Vec<ApprovalRow>, StoreError> {
        self.inner.list_approvals(org, open, before, limit).await
    }
    async fn answer_approval(
        &self,
        org: &OrganizationId,
        id: &str,
        word: &Word,
        entry: &NewAuditEntry,
    ) -> Result<Option<ApprovalRow>, StoreError> {
        self.net.commits().await;
        self.inner.answer_approval(org, id, word, entry).await
    }
    async fn close_approval(
        &self,
        org: &OrganizationId,
        id: &str,
        state: ApprovalState,
        carried_out: Option<&PlanId>,
        at: Millis,
    ) -> Result<bool, StoreError> {
        self.net.commits().await;
        self.inner.close_approval(org, id, state, carried_out, at).await
    }
    async fn acquire_lease(
        &self,
        org: &OrganizationId,
        lane: &str,
        owner: &str,
        now: Millis,
        ttl_ms: i64,
    ) -> Result<Option<Lease>, StoreError> {
        self.acquire_lease_here(org, lane, owner, now, ttl_ms).await
    }
    async fn release_lease(&self, org: &OrganizationId, lease: &Lease) -> Result<(), StoreError> {
        self.inner.release_lease(org, lease).await
    }
    async fn save_intents(&self, org: &OrganizationId, rows: &[OperationRow]) -> Result<(), StoreError> {
        self.net.commits().await;
        self.inner.save_intents(org, rows).await
    }
    async fn begin_operations(
        &self,
        org: &OrganizationId,
        lease: &Lease,
        rows: &[OperationRow],
    ) -> Result<(), StoreError> {
        self.begin_operations_here(org, lease, rows).await
    }
    async fn finish_operations(
        &self,
        org: &OrganizationId,
        lease: &Lease,
        outcomes: &[OperationOutcome],
    ) -> Result<(), StoreError> {
        self.finish_operations_here(org, lease, outcomes).await
    }
    async fn list_operations(
        &self,
        org: &OrganizationId,
        plan: &PlanId,
    ) -> Result<Vec<OperationRow>, StoreError> {
        self.inner.list_operations(org, plan).await
    }
    async fn list_unresolved_operations(
        &self,
        org: &OrganizationId,
    ) -> Result<Vec<OperationRow>, StoreError> {
        self.inner.list_unresolved_operations(org).await
    }
    async fn list_plans_under_way(&self, org: &OrganizationId) -> Result<Vec<PlanId>, StoreError> {
        self.inner.list_plans_under_way(org).await
    }
    async fn find_operation_by_key(
        &self,
        org: &OrganizationId,
        key: &OperationKey,
    ) -> Result<Option<OperationRow>, StoreError> {
        self.inner.find_operation_by_key(org, key).await
    }
    async fn save_links(&self, org: &OrganizationId, links: &[AdditionLink]) -> Result<(), StoreError> {
        self.net.commits().await;
        self.inner.save_links(org, links).await
    }
    async fn list_links(&self, org: &OrganizationId) -> Result<Vec<AdditionLink>, StoreError> {
        self.inner.list_links(org).await
    }
    async fn list_quantity_entries(&self, org: &OrganizationId) -> Result<Vec<Level>, StoreError> {
        self.inner.list_quantity_entries(org).await
    }
    async fn save_quantity_entries(
        &self,
        org: &OrganizationId,
        source: &SourceId,
        save: &[Entry],
        remove: &[EntryKey],
        audit: &[NewAuditEntry],
    ) -> Result<(), StoreError> {
        self.inner.save_quantity_entries(org, source, save, remove, audit).await
    }
    async fn list_quantity_lines(&self, org: &OrganizationId) -> Result<Vec<Line>, StoreError> {
        self.inner.list_quantity_lines(org).await
    }
    async fn find_quantity_line(
        &self,
        org: &OrganizationId,
        line: LineKey,
    ) -> Result<Option<Line>, StoreError> {
        self.inner.find_quantity_line(org, line).await
    }
    async fn save_quantity_lines(&self, org: &OrganizationId, lines: &[Line]) -> Result<(), StoreError> {
        self.net.commits().await;
        self.inner.save_quantity_lines(org, lines).await
    }
    async fn record_findings(
        &self,
        org: &OrganizationId,
        scope: &str,
        at: Millis,
        today: Date,
        findings: &[Finding],
    ) -> Result<(), StoreError> {
        self.net.commits().await;
        self.inner.record_findings(org, scope, at, today, findings).await
    }
    async fn list_findings(
        &self,
        org: &OrganizationId,
        filter: &FindingFilter,
    ) -> Result<Vec<StoredFinding>, StoreError> {
        self.inner.list_findings(org, filter).await
    }
    async fn decide_finding(
        &self,
        org: &OrganizationId,
        id: &str,
        state: FindingState,
        until: Option<Date>,
        reason: Option<&str>,
        actor: &str,
    ) -> Result<bool, StoreError> {
        self.inner.decide_finding(org, id, state, until, reason, actor).await
    }
    async fn append_audit(&self, org: &OrganizationId, entries: &[NewAuditEntry]) -> Result<(), StoreError> {
        self.net.commits().await;
        self.inner.append_audit(org, entries).await
    }
    async fn list_audit(
        &self,
        org: &OrganizationId,
        addition: Option<AdditionId>,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        self.inner.list_audit(org, addition, limit).await
    }
    async fn verify_audit(&self, org: &OrganizationId) -> Result<Option<i64>, StoreError> {
        self.inner.verify_audit(org).await
    }
    async fn count_tasks(&self, org: &OrganizationId) -> Result<BTreeMap<String, u64>, StoreError> {
        self.inner.count_tasks(org).await
    }
    async fn find_plan_of_task(
        &self,
        org: &OrganizationId,
        task: &TaskId,
    ) -> Result<Option<PlanId>, StoreError> {
        self.inner.find_plan_of_task(org, task).await
    }
}
