//! The port, function by function: what each does is in the file of its noun.

use crate::store::SqlStore;
use crate::{
    approvals, audit, connections, feed, findings, leases, links, mappings, operations, organizations, plans,
    quantity, settings, snapshots, tasks,
};
use async_trait::async_trait;
use jiff::civil::Date;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::approval::Word;
use trueup_domain::feed::{Record, RecordKind};
use trueup_domain::finding::Finding;
use trueup_domain::ids::{AdditionId, AgreementId, OrganizationId, PlanId, SourceId, TaskId};
use trueup_domain::mapping::{Mapping, MappingKind};
use trueup_domain::plan::{AdditionLink, OperationKey};
use trueup_domain::psa::{ObservedAddition, Snapshot};
use trueup_domain::quantity::config::EntryKey;
use trueup_domain::quantity::{Entry, Level, Line, LineKey};
use trueup_domain::task::Task;
use trueup_engine::ports::{Lease, OperationOutcome, Store, StoreError};
use trueup_engine::records::{
    ApprovalRow, ApprovalState, AuditEntry, Connection, FindingFilter, FindingState, ImportCounts,
    IncomingRecord, Millis, NewAuditEntry, OperationRow, OrganizationRow, PictureState, PlanState, PulledEnd,
    Released, Seen, SettingValues, StoredFinding, StoredPlan, StoredRecord, TaskFilter,
};

#[async_trait]
impl Store for SqlStore {
    async fn ensure_organization(&self, org: &OrganizationId) -> Result<(), StoreError> {
        organizations::ensure(self, org).await
    }
    async fn add_organization(&self, row: &OrganizationRow) -> Result<(), StoreError> {
        organizations::add(self, row).await
    }
    async fn list_organizations(&self) -> Result<Vec<OrganizationRow>, StoreError> {
        organizations::list(self).await
    }
    async fn load_settings(&self, org: &OrganizationId) -> Result<SettingValues, StoreError> {
        settings::load(self, org).await
    }
    async fn save_setting(
        &self,
        org: &OrganizationId,
        key: &str,
        seen: Seen<'_>,
        value: Option<&str>,
    ) -> Result<bool, StoreError> {
        settings::save(self, org, key, seen, value).await
    }
    async fn save_connection(&self, org: &OrganizationId, connection: &Connection) -> Result<(), StoreError> {
        connections::save(self, org, connection).await
    }
    async fn remove_connection(&self, org: &OrganizationId, name: &str) -> Result<bool, StoreError> {
        connections::remove(self, org, name).await
    }
    async fn list_connections(&self, org: &OrganizationId) -> Result<Vec<Connection>, StoreError> {
        connections::list(self, org).await
    }
    async fn save_records(
        &self,
        org: &OrganizationId,
        source: &SourceId,
        at: Millis,
        batch: &[IncomingRecord],
    ) -> Result<BTreeMap<RecordKind, ImportCounts>, StoreError> {
        feed::save(self, org, source, at, batch).await
    }
    async fn save_new_records(
        &self,
        org: &OrganizationId,
        source: &SourceId,
        at: Millis,
        batch: &[IncomingRecord],
    ) -> Result<(BTreeMap<RecordKind, ImportCounts>, BTreeSet<usize>), StoreError> {
        feed::save_new(self, org, source, at, batch).await
    }
    async fn count_records(
        &self,
        org: &OrganizationId,
        kind: RecordKind,
    ) -> Result<BTreeMap<SourceId, u64>, StoreError> {
        feed::count(self, org, kind).await
    }
    async fn list_records_after(
        &self,
        org: &OrganizationId,
        source: &SourceId,
        kind: RecordKind,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<StoredRecord>, StoreError> {
        feed::list_after(self, org, (source, kind), after, limit).await
    }
    async fn close(&self) -> Result<(), StoreError> {
        SqlStore::close(self).await
    }
    async fn list_records(
        &self,
        org: &OrganizationId,
        source: Option<&SourceId>,
        kind: RecordKind,
    ) -> Result<Vec<StoredRecord>, StoreError> {
        feed::list(self, org, source, kind).await
    }
    async fn find_record(
        &self,
        org: &OrganizationId,
        source: &SourceId,
        kind: RecordKind,
        id: &str,
    ) -> Result<Option<StoredRecord>, StoreError> {
        feed::find(self, org, source, kind, id).await
    }
    async fn find_record_at(
        &self,
        org: &OrganizationId,
        source: &SourceId,
        (kind, id): (RecordKind, &str),
        at: Millis,
    ) -> Result<Option<Record>, StoreError> {
        feed::find_at(self, org, source, (kind, id), at).await
    }
    async fn save_mappings(
        &self,
        org: &OrganizationId,
        at: Millis,
        mappings: &[Mapping],
    ) -> Result<(), StoreError> {
        mappings::save(self, org, at, mappings).await
    }
    async fn list_mappings(&self, org: &OrganizationId) -> Result<Vec<Mapping>, StoreError> {
        mappings::list(self, org).await
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
        mappings::release(self, org, at, (kind, source, source_id, scope)).await
    }
    async fn save_judged_mappings(
        &self,
        org: &OrganizationId,
        at: Millis,
        judged_by: &[Mapping],
        mappings: &[Mapping],
        entries: &[NewAuditEntry],
    ) -> Result<bool, StoreError> {
        mappings::save_judged(self, org, at, judged_by, mappings, entries).await
    }
    async fn release_mappings(
        &self,
        org: &OrganizationId,
        at: Millis,
        mappings: &[Mapping],
        tasks: &[TaskId],
        entries: &[NewAuditEntry],
    ) -> Result<Released, StoreError> {
        mappings::release_all(self, org, at, mappings, (tasks, entries)).await
    }
    async fn list_released_mappings(&self, org: &OrganizationId) -> Result<Vec<Mapping>, StoreError> {
        mappings::list_released(self, org).await
    }
    async fn save_tasks(&self, org: &OrganizationId, at: Millis, tasks: &[Task]) -> Result<(), StoreError> {
        tasks::save(self, org, at, tasks).await
    }
    async fn list_tasks(&self, org: &OrganizationId, filter: &TaskFilter) -> Result<Vec<Task>, StoreError> {
        tasks::list(self, org, filter).await
    }
    async fn load_mark(&self, org: &OrganizationId, name: &str) -> Result<Option<String>, StoreError> {
        tasks::load_mark(self, org, name).await
    }
    async fn save_mark(&self, org: &OrganizationId, name: &str, value: &str) -> Result<(), StoreError> {
        tasks::save_mark(self, org, name, value).await
    }
    async fn change_mark(
        &self,
        org: &OrganizationId,
        name: &str,
        known: Option<&str>,
        value: &str,
    ) -> Result<bool, StoreError> {
        tasks::change_mark(self, org, name, known, value).await
    }
    async fn begin_pull(&self, org: &OrganizationId, connection: &str, pull: &str) -> Result<(), StoreError> {
        snapshots::begin(self, org, connection, pull).await
    }
    async fn stage_pull(
        &self,
        org: &OrganizationId,
        connection: &str,
        pull: &str,
        at: Millis,
        part: &Snapshot,
    ) -> Result<(), StoreError> {
        snapshots::stage(self, (org, connection, pull), at, part).await
    }
    async fn add_to_picture(
        &self,
        org: &OrganizationId,
        connection: &str,
        at: Millis,
        part: &Snapshot,
    ) -> Result<(), StoreError> {
        snapshots::add(self, (org, connection), at, part).await
    }
    async fn finish_pull(
        &self,
        org: &OrganizationId,
        connection: &str,
        pull: &str,
        end: &PulledEnd,
    ) -> Result<u64, StoreError> {
        snapshots::finish(self, (org, connection, pull), end).await
    }
    async fn load_picture_state(
        &self,
        org: &OrganizationId,
        connection: &str,
    ) -> Result<Option<PictureState>, StoreError> {
        snapshots::state(self, org, connection).await
    }
    async fn list_picture_agreements(
        &self,
        org: &OrganizationId,
        connection: &str,
    ) -> Result<BTreeMap<AgreementId, Option<Millis>>, StoreError> {
        snapshots::agreements(self, org, connection).await
    }
    async fn load_picture_additions(
        &self,
        org: &OrganizationId,
        connection: &str,
        agreements: &[AgreementId],
    ) -> Result<BTreeMap<AgreementId, (Millis, Vec<ObservedAddition>)>, StoreError> {
        snapshots::additions(self, org, connection, agreements).await
    }
    async fn load_picture_part(
        &self,
        org: &OrganizationId,
        connection: &str,
        after: Option<AgreementId>,
        limit: u32,
    ) -> Result<Snapshot, StoreError> {
        snapshots::load_part(self, org, connection, after, limit).await
    }
    async fn load_picture_lists(
        &self,
        org: &OrganizationId,
        connection: &str,
    ) -> Result<Option<Snapshot>, StoreError> {
        snapshots::lists(self, org, connection).await
    }
    async fn load_snapshot(
        &self,
        org: &OrganizationId,
        connection: &str,
    ) -> Result<Option<(Millis, Snapshot)>, StoreError> {
        snapshots::load(self, org, connection).await
    }
    async fn save_plan(&self, org: &OrganizationId, plan: &StoredPlan) -> Result<(), StoreError> {
        plans::save(self, org, plan).await
    }
    async fn find_plan(&self, org: &OrganizationId, id: &PlanId) -> Result<Option<StoredPlan>, StoreError> {
        plans::find(self, org, id).await
    }
    async fn list_plans(&self, org: &OrganizationId, limit: u32) -> Result<Vec<StoredPlan>, StoreError> {
        plans::list(self, org, limit).await
    }
    async fn set_plan_state(
        &self,
        org: &OrganizationId,
        id: &PlanId,
        state: PlanState,
    ) -> Result<(), StoreError> {
        plans::set_state(self, org, id, state).await
    }
    async fn begin_plan(
        &self,
        org: &OrganizationId,
        plan: &StoredPlan,
        at: Millis,
    ) -> Result<(), StoreError> {
        plans::begin(self, org, plan, at).await
    }
    async fn ask_approval(
        &self,
        org: &OrganizationId,
        question: &ApprovalRow,
    ) -> Result<ApprovalRow, StoreError> {
        approvals::ask(self, org, question).await
    }
    async fn find_approval(&self, org: &OrganizationId, id: &str) -> Result<Option<ApprovalRow>, StoreError> {
        approvals::find(self, org, id).await
    }
    async fn list_approvals(
        &self,
        org: &OrganizationId,
        open: bool,
        before: Option<(Millis, &str)>,
        limit: u32,
    ) -> Result<Vec<ApprovalRow>, StoreError> {
        approvals::list(self, org, open, before, limit).await
    }
    async fn answer_approval(
        &self,
        org: &OrganizationId,
        id: &str,
        word: &Word,
        entry: &NewAuditEntry,
    ) -> Result<Option<ApprovalRow>, StoreError> {
        approvals::answer(self, org, id, word, entry).await
    }
    async fn close_approval(
        &self,
        org: &OrganizationId,
        id: &str,
        state: ApprovalState,
        carried_out: Option<&PlanId>,
        at: Millis,
    ) -> Result<bool, StoreError> {
        approvals::close(self, org, id, (state, carried_out), at).await
    }
    async fn acquire_lease(
        &self,
        org: &OrganizationId,
        lane: &str,
        owner: &str,
        now: Millis,
        ttl_ms: i64,
    ) -> Result<Option<Lease>, StoreError> {
        leases::acquire(self, org, (lane, owner), now, ttl_ms).await
    }
    async fn release_lease(&self, org: &OrganizationId, lease: &Lease) -> Result<(), StoreError> {
        leases::release(self, org, lease).await
    }
    async fn save_intents(&self, org: &OrganizationId, rows: &[OperationRow]) -> Result<(), StoreError> {
        operations::save_intents(self, org, rows).await
    }
    async fn begin_operations(
        &self,
        org: &OrganizationId,
        lease: &Lease,
        rows: &[OperationRow],
    ) -> Result<(), StoreError> {
        operations::begin(self, org, lease, rows).await
    }
    async fn finish_operations(
        &self,
        org: &OrganizationId,
        lease: &Lease,
        outcomes: &[OperationOutcome],
    ) -> Result<(), StoreError> {
        operations::finish(self, org, lease, outcomes).await
    }
    async fn list_operations(
        &self,
        org: &OrganizationId,
        plan: &PlanId,
    ) -> Result<Vec<OperationRow>, StoreError> {
        operations::list(self, org, plan).await
    }
    async fn list_unresolved_operations(
        &self,
        org: &OrganizationId,
    ) -> Result<Vec<OperationRow>, StoreError> {
        operations::list_unresolved(self, org).await
    }
    async fn list_plans_under_way(&self, org: &OrganizationId) -> Result<Vec<PlanId>, StoreError> {
        operations::list_plans_under_way(self, org).await
    }
    async fn find_operation_by_key(
        &self,
        org: &OrganizationId,
        key: &OperationKey,
    ) -> Result<Option<OperationRow>, StoreError> {
        operations::find_by_key(self, org, key).await
    }
    async fn save_links(&self, org: &OrganizationId, links: &[AdditionLink]) -> Result<(), StoreError> {
        links::save(self, org, links).await
    }
    async fn list_links(&self, org: &OrganizationId) -> Result<Vec<AdditionLink>, StoreError> {
        links::list(self, org).await
    }
    async fn list_quantity_entries(&self, org: &OrganizationId) -> Result<Vec<Level>, StoreError> {
        quantity::list_entries(self, org).await
    }
    async fn save_quantity_entries(
        &self,
        org: &OrganizationId,
        source: &SourceId,
        save: &[Entry],
        remove: &[EntryKey],
        audit: &[NewAuditEntry],
    ) -> Result<(), StoreError> {
        quantity::save_entries(self, org, source, (save, remove), audit).await
    }
    async fn list_quantity_lines(&self, org: &OrganizationId) -> Result<Vec<Line>, StoreError> {
        quantity::list_lines(self, org).await
    }
    async fn find_quantity_line(
        &self,
        org: &OrganizationId,
        line: LineKey,
    ) -> Result<Option<Line>, StoreError> {
        quantity::find_line(self, org, line).await
    }
    async fn save_quantity_lines(&self, org: &OrganizationId, lines: &[Line]) -> Result<(), StoreError> {
        quantity::save_lines(self, org, lines).await
    }
    async fn record_findings(
        &self,
        org: &OrganizationId,
        scope: &str,
        at: Millis,
        today: Date,
        findings: &[Finding],
    ) -> Result<(), StoreError> {
        findings::record(self, org, scope, (at, today), findings).await
    }
    async fn list_findings(
        &self,
        org: &OrganizationId,
        filter: &FindingFilter,
    ) -> Result<Vec<StoredFinding>, StoreError> {
        findings::list(self, org, filter).await
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
        findings::decide(self, org, id, findings::Decision { state, until, reason, actor }).await
    }
    async fn append_audit(&self, org: &OrganizationId, entries: &[NewAuditEntry]) -> Result<(), StoreError> {
        audit::append(self, org, entries).await
    }
    async fn list_audit(
        &self,
        org: &OrganizationId,
        addition: Option<AdditionId>,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        audit::list(self, org, addition, limit).await
    }
    async fn verify_audit(&self, org: &OrganizationId) -> Result<Option<i64>, StoreError> {
        audit::verify(self, org).await
    }
    async fn count_tasks(&self, org: &OrganizationId) -> Result<BTreeMap<String, u64>, StoreError> {
        tasks::count(self, org).await
    }
    async fn find_plan_of_task(
        &self,
        org: &OrganizationId,
        task: &TaskId,
    ) -> Result<Option<PlanId>, StoreError> {
        plans::find_of_task(self, org, task).await
    }
    fn alerts(&self) -> &dyn trueup_engine::alerts::AlertBook {
        self
    }
}
