//! A store in memory that keeps what apply needs: journal, links, audit, leases and plans. Its disk can be full.

use super::Rng;
use super::ports::turn;
use async_trait::async_trait;
use jiff::civil::Date;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use trueup_domain::approval::Word;
use trueup_domain::feed::{Record, RecordKind};
use trueup_domain::finding::Finding;
use trueup_domain::ids::{AdditionId, AgreementId, OrganizationId, PlanId, SourceId, TaskId};
use trueup_domain::mapping::{Mapping, MappingKind};
use trueup_domain::plan::{AdditionLink, OperationKey};
use trueup_domain::quantity::config::EntryKey;
use trueup_domain::quantity::{Entry, Level, Line, LineKey};
use trueup_domain::task::Task;
use trueup_engine::ports::{Lease, OperationOutcome, Store, StoreError};
use trueup_engine::records::{
    ApprovalRow, ApprovalState, AuditEntry, Connection, FindingFilter, FindingState, ImportCounts,
    IncomingRecord, Millis, NewAuditEntry, OperationRow, OperationState, OrganizationRow, PictureState,
    PlanState, PulledEnd, Released, Seen, SettingValues, StoredFinding, StoredPlan, StoredRecord, TaskFilter,
};

struct HeldLease {
    owner: String,
    fencing: i64,
    until: Millis,
}

pub struct SimStore {
    pub rows: Mutex<Vec<OperationRow>>,
    pub plans: Mutex<Vec<StoredPlan>>,
    pub links: Mutex<BTreeMap<AdditionId, AdditionLink>>,
    pub audit: Mutex<Vec<NewAuditEntry>>,
    pub sending: Arc<Mutex<Vec<(AgreementId, String)>>>,
    leases: Mutex<BTreeMap<String, HeldLease>>,
    pub rng: Mutex<Rng>,
    /// Of 1000 writes, how many find the disk full.
    pub full: Mutex<usize>,
    /// Whether writers whose lease was taken over are refused.
    pub fenced: bool,
}

impl SimStore {
    pub fn new(plan: StoredPlan, rng: Rng) -> Self {
        Self {
            rows: Mutex::default(),
            plans: Mutex::new(vec![plan]),
            links: Mutex::default(),
            audit: Mutex::default(),
            sending: Arc::default(),
            leases: Mutex::default(),
            rng: Mutex::new(rng),
            full: Mutex::new(0),
            fenced: true,
        }
    }

    async fn disk(&self) -> Result<(), StoreError> {
        turn().await;
        let full = *self.full.lock().unwrap();
        if self.rng.lock().unwrap().chance(full) {
            return Err(StoreError::NotWritable("no room".to_owned()));
        }
        Ok(())
    }

    fn claim(&self, lane: &str, owner: &str, now: Millis, ttl_ms: i64) -> Option<Lease> {
        let mut leases = self.leases.lock().unwrap();
        let held =
            leases.entry(lane.to_owned()).or_insert(HeldLease { owner: String::new(), fencing: 0, until: 0 });
        let mine = held.owner == owner;
        if held.until > now && !mine {
            return None;
        }
        if !(mine && held.until > now) {
            held.fencing += 1;
        }
        owner.clone_into(&mut held.owner);
        held.until = now + ttl_ms;
        Some(Lease { lane: lane.to_owned(), owner: owner.to_owned(), fencing: held.fencing })
    }

    fn holds(&self, lease: &Lease) -> Result<(), StoreError> {
        let leases = self.leases.lock().unwrap();
        let held = leases.get(&lease.lane);
        let ok = !self.fenced || held.is_some_and(|h| h.fencing == lease.fencing && h.owner == lease.owner);
        if ok { Ok(()) } else { Err(StoreError::Fenced) }
    }

    fn begin(&self, row: &OperationRow) -> Result<(), StoreError> {
        {
            let rows = self.rows.lock().unwrap();
            let live = |r: &&OperationRow| {
                let same = r.plan == row.plan && r.change == row.change;
                match r.state {
                    OperationState::Done => same || r.key == row.key,
                    OperationState::Sending | OperationState::InDoubt => !same && r.key == row.key,
                    OperationState::Intent | OperationState::Refused | OperationState::Skipped => false,
                }
            };
            if rows.iter().any(|r| live(&r)) {
                return Err(StoreError::Conflict(row.key.clone()));
            }
        }
        self.put(row);
        Ok(())
    }

    fn put(&self, row: &OperationRow) {
        let mut rows = self.rows.lock().unwrap();
        rows.retain(|r| !(r.plan == row.plan && r.change == row.change));
        rows.push(row.clone());
        let sending = rows.iter().filter(|r| r.state == OperationState::Sending);
        *self.sending.lock().unwrap() = sending.map(|r| (r.agreement, r.key.clone())).collect();
    }
}

#[async_trait]
impl Store for SimStore {
    async fn ensure_organization(&self, _org: &OrganizationId) -> Result<(), StoreError> {
        Ok(())
    }
    async fn add_organization(&self, _row: &OrganizationRow) -> Result<(), StoreError> {
        Ok(())
    }
    async fn list_organizations(&self) -> Result<Vec<OrganizationRow>, StoreError> {
        Ok(Vec::new())
    }
    async fn load_settings(&self, _org: &OrganizationId) -> Result<SettingValues, StoreError> {
        Ok(BTreeMap::new())
    }
    async fn save_setting(
        &self,
        _org: &OrganizationId,
        _key: &str,
        _seen: Seen<'_>,
        _value: Option<&str>,
    ) -> Result<bool, StoreError> {
        Ok(true)
    }
    async fn save_connection(
        &self,
        _org: &OrganizationId,
        _connection: &Connection,
    ) -> Result<(), StoreError> {
        Ok(())
    }
    async fn remove_connection(&self, _org: &OrganizationId, _name: &str) -> Result<bool, StoreError> {
        Ok(false)
    }
    async fn list_connections(&self, _org: &OrganizationId) -> Result<Vec<Connection>, StoreError> {
        Ok(Vec::new())
    }
    async fn save_records(
        &self,
        _org: &OrganizationId,
        _source: &SourceId,
        _at: Millis,
        _batch: &[IncomingRecord],
    ) -> Result<BTreeMap<RecordKind, ImportCounts>, StoreError> {
        Ok(BTreeMap::new())
    }
    async fn save_new_records(
        &self,
        _org: &OrganizationId,
        _source: &SourceId,
        _at: Millis,
        _batch: &[IncomingRecord],
    ) -> Result<(BTreeMap<RecordKind, ImportCounts>, BTreeSet<usize>), StoreError> {
        Ok(Default::default())
    }
    async fn count_records(
        &self,
        _org: &OrganizationId,
        _kind: RecordKind,
    ) -> Result<BTreeMap<SourceId, u64>, StoreError> {
        Ok(BTreeMap::new())
    }
    async fn list_records_after(
        &self,
        _org: &OrganizationId,
        _source: &SourceId,
        _kind: RecordKind,
        _after: Option<&str>,
        _limit: u32,
    ) -> Result<Vec<StoredRecord>, StoreError> {
        Ok(Vec::new())
    }
    async fn list_records(
        &self,
        _org: &OrganizationId,
        _source: Option<&SourceId>,
        _kind: RecordKind,
    ) -> Result<Vec<StoredRecord>, StoreError> {
        Ok(Vec::new())
    }
    async fn find_record(
        &self,
        _org: &OrganizationId,
        _source: &SourceId,
        _kind: RecordKind,
        _id: &str,
    ) -> Result<Option<StoredRecord>, StoreError> {
        Ok(None)
    }
    async fn find_record_at(
        &self,
        _org: &OrganizationId,
        _source: &SourceId,
        _key: (RecordKind, &str),
        _at: Millis,
    ) -> Result<Option<Record>, StoreError> {
        Ok(None)
    }
    async fn save_mappings(
        &self,
        _org: &OrganizationId,
        _at: Millis,
        _mappings: &[Mapping],
    ) -> Result<(), StoreError> {
        Ok(())
    }
    async fn list_mappings(&self, _org: &OrganizationId) -> Result<Vec<Mapping>, StoreError> {
        Ok(Vec::new())
    }
    async fn release_mapping(
        &self,
        _org: &OrganizationId,
        _at: Millis,
        _kind: MappingKind,
        _source: &SourceId,
        _source_id: &str,
        _scope: &str,
    ) -> Result<bool, StoreError> {
        Ok(false)
    }
    async fn save_judged_mappings(
        &self,
        _org: &OrganizationId,
        _at: Millis,
        _judged_by: &[Mapping],
        _mappings: &[Mapping],
        _entries: &[NewAuditEntry],
    ) -> Result<bool, StoreError> {
        Ok(true)
    }
    async fn release_mappings(
        &self,
        _org: &OrganizationId,
        _at: Millis,
        _mappings: &[Mapping],
        _tasks: &[TaskId],
        _entries: &[NewAuditEntry],
    ) -> Result<Released, StoreError> {
        Ok(Released::Done)
    }
    async fn list_released_mappings(&self, _org: &OrganizationId) -> Result<Vec<Mapping>, StoreError> {
        Ok(Vec::new())
    }
    async fn save_tasks(
        &self,
        _org: &OrganizationId,
        _at: Millis,
        _tasks: &[Task],
    ) -> Result<(), StoreError> {
        Ok(())
    }
    async fn list_tasks(&self, _org: &OrganizationId, _filter: &TaskFilter) -> Result<Vec<Task>, StoreError> {
        Ok(Vec::new())
    }
    async fn load_mark(&self, _org: &OrganizationId, _name: &str) -> Result<Option<String>, StoreError> {
        Ok(None)
    }
    async fn save_mark(&self, _org: &OrganizationId, _name: &str, _value: &str) -> Result<(), StoreError> {
        Ok(())
    }
    async fn change_mark(
        &self,
        _org: &OrganizationId,
        _name: &str,
        _known: Option<&str>,
        _value: &str,
    ) -> Result<bool, StoreError> {
        Ok(true)
    }
    async fn begin_pull(
        &self,
        _org: &OrganizationId,
        _connection: &str,
        _pull: &str,
    ) -> Result<(), StoreError> {
        Ok(())
    }
    async fn stage_pull(
        &self,
        _org: &OrganizationId,
        _connection: &str,
        _pull: &str,
        _at: Millis,
        _part: &trueup_domain::psa::Snapshot,
    ) -> Result<(), StoreError> {
        Ok(())
    }
    async fn add_to_picture(
        &self,
        _org: &OrganizationId,
        _connection: &str,
        _at: Millis,
        _part: &trueup_domain::psa::Snapshot,
    ) -> Result<(), StoreError> {
        Ok(())
    }
    async fn finish_pull(
        &self,
        _org: &OrganizationId,
        _connection: &str,
        _pull: &str,
        _end: &PulledEnd,
    ) -> Result<u64, StoreError> {
        Ok(0)
    }
    async fn load_picture_state(
        &self,
        _org: &OrganizationId,
        _connection: &str,
    ) -> Result<Option<PictureState>, StoreError> {
        Ok(None)
    }
    async fn list_picture_agreements(
        &self,
        _org: &OrganizationId,
        _connection: &str,
    ) -> Result<BTreeMap<AgreementId, Option<Millis>>, StoreError> {
        Ok(BTreeMap::new())
    }
    async fn load_picture_additions(
        &self,
        _org: &OrganizationId,
        _connection: &str,
        _agreements: &[AgreementId],
    ) -> Result<BTreeMap<AgreementId, (Millis, Vec<trueup_domain::psa::ObservedAddition>)>, StoreError> {
        Ok(BTreeMap::new())
    }
    async fn load_picture_part(
        &self,
        _org: &OrganizationId,
        _connection: &str,
        _after: Option<AgreementId>,
        _limit: u32,
    ) -> Result<trueup_domain::psa::Snapshot, StoreError> {
        Ok(trueup_domain::psa::Snapshot::default())
    }
    async fn load_picture_lists(
        &self,
        _org: &OrganizationId,
        _connection: &str,
    ) -> Result<Option<trueup_domain::psa::Snapshot>, StoreError> {
        Ok(None)
    }
    async fn load_snapshot(
        &self,
        _org: &OrganizationId,
        _connection: &str,
    ) -> Result<Option<(Millis, trueup_domain::psa::Snapshot)>, StoreError> {
        Ok(None)
    }
    async fn save_plan(&self, _org: &OrganizationId, _plan: &StoredPlan) -> Result<(), StoreError> {
        Ok(())
    }
    async fn find_plan(&self, _org: &OrganizationId, id: &PlanId) -> Result<Option<StoredPlan>, StoreError> {
        Ok(self.plans.lock().unwrap().iter().find(|p| p.id == *id).cloned())
    }
    async fn list_plans(&self, _org: &OrganizationId, _limit: u32) -> Result<Vec<StoredPlan>, StoreError> {
        Ok(Vec::new())
    }
    async fn set_plan_state(
        &self,
        _org: &OrganizationId,
        id: &PlanId,
        state: PlanState,
    ) -> Result<(), StoreError> {
        turn().await;
        for plan in self.plans.lock().unwrap().iter_mut().filter(|p| p.id == *id) {
            plan.state = state;
        }
        Ok(())
    }
    async fn begin_plan(
        &self,
        _org: &OrganizationId,
        _plan: &StoredPlan,
        _at: Millis,
    ) -> Result<(), StoreError> {
        Ok(())
    }
    async fn ask_approval(
        &self,
        _org: &OrganizationId,
        question: &ApprovalRow,
    ) -> Result<ApprovalRow, StoreError> {
        Ok(question.clone())
    }
    async fn find_approval(
        &self,
        _org: &OrganizationId,
        _id: &str,
    ) -> Result<Option<ApprovalRow>, StoreError> {
        Ok(None)
    }
    async fn list_approvals(
        &self,
        _org: &OrganizationId,
        _open: bool,
        _before: Option<(Millis, &str)>,
        _limit: u32,
    ) -> Result<Vec<ApprovalRow>, StoreError> {
        Ok(Vec::new())
    }
    async fn answer_approval(
        &self,
        _org: &OrganizationId,
        _id: &str,
        _word: &Word,
        _entry: &NewAuditEntry,
    ) -> Result<Option<ApprovalRow>, StoreError> {
        Ok(None)
    }
    async fn close_approval(
        &self,
        _org: &OrganizationId,
        _id: &str,
        _state: ApprovalState,
        _carried_out: Option<&PlanId>,
        _at: Millis,
    ) -> Result<bool, StoreError> {
        Ok(false)
    }
    async fn acquire_lease(
        &self,
        _org: &OrganizationId,
        lane: &str,
        owner: &str,
        now: Millis,
        ttl_ms: i64,
    ) -> Result<Option<Lease>, StoreError> {
        turn().await;
        Ok(self.claim(lane, owner, now, ttl_ms))
    }
    async fn release_lease(&self, _org: &OrganizationId, lease: &Lease) -> Result<(), StoreError> {
        turn().await;
        let mut leases = self.leases.lock().unwrap();
        if let Some(held) = leases.get_mut(&lease.lane)
            && held.owner == lease.owner
            && held.fencing == lease.fencing
        {
            held.until = 0;
        }
        Ok(())
    }
    async fn save_intents(&self, _org: &OrganizationId, rows: &[OperationRow]) -> Result<(), StoreError> {
        self.disk().await?;
        let mut all = self.rows.lock().unwrap();
        for row in rows {
            if !all.iter().any(|r| r.plan == row.plan && r.change == row.change) {
                all.push(row.clone());
            }
        }
        Ok(())
    }
    async fn begin_operations(
        &self,
        _org: &OrganizationId,
        lease: &Lease,
        rows: &[OperationRow],
    ) -> Result<(), StoreError> {
        self.disk().await?;
        self.holds(lease)?;
        for row in rows {
            self.begin(row)?;
        }
        turn().await;
        Ok(())
    }
    async fn finish_operations(
        &self,
        _org: &OrganizationId,
        lease: &Lease,
        outcomes: &[OperationOutcome],
    ) -> Result<(), StoreError> {
        self.disk().await?;
        self.holds(lease)?;
        for outcome in outcomes {
            self.put(&outcome.operation);
            self.links.lock().unwrap().extend(outcome.link.iter().map(|l| (l.addition, l.clone())));
            self.audit.lock().unwrap().extend(outcome.audit.iter().cloned());
        }
        turn().await;
        Ok(())
    }
    async fn list_operations(
        &self,
        _org: &OrganizationId,
        plan: &PlanId,
    ) -> Result<Vec<OperationRow>, StoreError> {
        turn().await;
        let rows = self.rows.lock().unwrap();
        Ok(rows.iter().filter(|r| r.plan == *plan).cloned().collect())
    }
    async fn list_unresolved_operations(
        &self,
        _org: &OrganizationId,
    ) -> Result<Vec<OperationRow>, StoreError> {
        let rows = self.rows.lock().unwrap();
        let open = |r: &&OperationRow| matches!(r.state, OperationState::Sending | OperationState::InDoubt);
        Ok(rows.iter().filter(open).cloned().collect())
    }
    async fn list_plans_under_way(&self, _org: &OrganizationId) -> Result<Vec<PlanId>, StoreError> {
        Ok(Vec::new())
    }
    async fn find_operation_by_key(
        &self,
        _org: &OrganizationId,
        _key: &OperationKey,
    ) -> Result<Option<OperationRow>, StoreError> {
        Ok(None)
    }
    async fn save_links(&self, _org: &OrganizationId, links: &[AdditionLink]) -> Result<(), StoreError> {
        self.links.lock().unwrap().extend(links.iter().map(|l| (l.addition, l.clone())));
        Ok(())
    }
    async fn list_links(&self, _org: &OrganizationId) -> Result<Vec<AdditionLink>, StoreError> {
        Ok(self.links.lock().unwrap().values().cloned().collect())
    }
    async fn list_quantity_entries(&self, _org: &OrganizationId) -> Result<Vec<Level>, StoreError> {
        Ok(Vec::new())
    }
    async fn save_quantity_entries(
        &self,
        _org: &OrganizationId,
        _source: &SourceId,
        _save: &[Entry],
        _remove: &[EntryKey],
        _audit: &[NewAuditEntry],
    ) -> Result<(), StoreError> {
        Ok(())
    }
    async fn list_quantity_lines(&self, _org: &OrganizationId) -> Result<Vec<Line>, StoreError> {
        Ok(Vec::new())
    }
    async fn find_quantity_line(
        &self,
        _org: &OrganizationId,
        _line: LineKey,
    ) -> Result<Option<Line>, StoreError> {
        Ok(None)
    }
    async fn save_quantity_lines(&self, _org: &OrganizationId, _lines: &[Line]) -> Result<(), StoreError> {
        Ok(())
    }
    async fn record_findings(
        &self,
        _org: &OrganizationId,
        _scope: &str,
        _at: Millis,
        _today: Date,
        _findings: &[Finding],
    ) -> Result<(), StoreError> {
        Ok(())
    }
    async fn list_findings(
        &self,
        _org: &OrganizationId,
        _filter: &FindingFilter,
    ) -> Result<Vec<StoredFinding>, StoreError> {
        Ok(Vec::new())
    }
    async fn decide_finding(
        &self,
        _org: &OrganizationId,
        _id: &str,
        _state: FindingState,
        _until: Option<Date>,
        _reason: Option<&str>,
        _actor: &str,
    ) -> Result<bool, StoreError> {
        Ok(false)
    }
    async fn append_audit(&self, _org: &OrganizationId, entries: &[NewAuditEntry]) -> Result<(), StoreError> {
        self.audit.lock().unwrap().extend(entries.iter().cloned());
        Ok(())
    }
    async fn list_audit(
        &self,
        _org: &OrganizationId,
        _addition: Option<AdditionId>,
        _limit: u32,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        Ok(Vec::new())
    }
    async fn verify_audit(&self, _org: &OrganizationId) -> Result<Option<i64>, StoreError> {
        Ok(None)
    }
    async fn count_tasks(&self, _org: &OrganizationId) -> Result<BTreeMap<String, u64>, StoreError> {
        Ok(BTreeMap::new())
    }
    async fn find_plan_of_task(
        &self,
        _org: &OrganizationId,
        _task: &TaskId,
    ) -> Result<Option<PlanId>, StoreError> {
        Ok(None)
    }
    fn alerts(&self) -> &dyn trueup_engine::alerts::AlertBook {
        unreachable!("applying a plan asks nothing of alerts")
    }
    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
