//! Findings: the same code and subject is the same row, and its state follows what is seen and what people decide.

use crate::db::{self, commit, write_tx};
use crate::{activity, error, outbox, store::SqlStore};
use jiff::civil::Date;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::ExprTrait;
use sea_orm::{DatabaseTransaction, QueryOrder};
use std::collections::BTreeMap;
use trueup_domain::finding::{Finding, Severity};
use trueup_domain::ids::OrganizationId;
use trueup_domain::plan::short_hash;
use trueup_engine::ports::StoreError;
use trueup_engine::records::{FindingFilter, FindingState, Millis, StoredFinding};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "finding")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub org: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// The scope that saw it last: only that one resolves it.
    pub scope: String,
    pub code: String,
    pub severity: i64,
    pub task: Option<String>,
    pub state: String,
    pub count: i64,
    pub first_seen_at: i64,
    pub last_seen_at: i64,
    pub muted_until: Option<String>,
    pub reason: Option<String>,
    pub decided_by: Option<String>,
    pub doc: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

const UPDATE: [Column; 12] = [
    Column::Scope,
    Column::Code,
    Column::Severity,
    Column::Task,
    Column::State,
    Column::Count,
    Column::FirstSeenAt,
    Column::LastSeenAt,
    Column::MutedUntil,
    Column::Reason,
    Column::DecidedBy,
    Column::Doc,
];

fn identity(finding: &Finding) -> Result<String, StoreError> {
    let subject = db::to_doc("a finding's subject", &finding.subject)?;
    Ok(short_hash("fd", &[finding.code.row().name, &subject], 16))
}

fn rank(severity: Severity) -> i64 {
    match severity {
        Severity::Info => 0,
        Severity::Warning => 1,
        Severity::Error => 2,
    }
}

fn state_of(row: &Model) -> Result<FindingState, StoreError> {
    db::from_word("a finding's state", &row.state)
}

fn muted_until(row: &Model) -> Result<Option<Date>, StoreError> {
    row.muted_until
        .as_deref()
        .map(|text| text.parse().map_err(|e| error::damaged("the end of a mute", e)))
        .transpose()
}

impl Model {
    fn new(
        org: &OrganizationId,
        scope: &str,
        at: Millis,
        id: String,
        finding: &Finding,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            org: org.to_string(),
            id,
            scope: scope.to_owned(),
            code: finding.code.row().name.to_owned(),
            severity: rank(finding.severity),
            task: finding.subject.task.as_ref().map(ToString::to_string),
            state: db::word(&FindingState::Open)?,
            count: 1,
            first_seen_at: at,
            last_seen_at: at,
            muted_until: None,
            reason: None,
            decided_by: None,
            doc: db::to_doc("a finding", finding)?,
        })
    }

    /// The row after it was seen again.
    fn seen_again(self, seen: Self, today: Date) -> Result<Self, StoreError> {
        let state = match state_of(&self)? {
            FindingState::Resolved => FindingState::Recurred,
            // The mute holds up to, not including, its day.
            FindingState::Muted if muted_until(&self)?.is_some_and(|until| today >= until) => {
                FindingState::Recurred
            }
            same @ (FindingState::Open
            | FindingState::Muted
            | FindingState::Ignored
            | FindingState::Recurred) => same,
        };
        let decided = matches!(state, FindingState::Muted | FindingState::Ignored);
        Ok(Self {
            state: db::word(&state)?,
            count: self.count.saturating_add(1),
            first_seen_at: self.first_seen_at,
            muted_until: self.muted_until.filter(|_| decided),
            reason: self.reason.filter(|_| decided),
            decided_by: self.decided_by.filter(|_| decided),
            ..seen
        })
    }
}

pub(crate) async fn record(
    store: &SqlStore,
    org: &OrganizationId,
    scope: &str,
    (at, today): (Millis, Date),
    findings: &[Finding],
) -> Result<(), StoreError> {
    let mut seen = BTreeMap::new();
    for finding in findings {
        let id = identity(finding)?;
        let row = Model::new(org, scope, at, id.clone(), finding)?;
        seen.insert(id, row);
    }
    let tx = write_tx(store).await?;
    db::guard(&tx, org.as_str(), "findings").await?;
    let mut rows = Vec::new();
    let (mut opened, mut closed, mut log) = (Vec::new(), Vec::new(), Vec::new());
    let mut note = |row: &Model, action: &str| -> Result<serde_json::Value, StoreError> {
        let finding: Finding = db::from_doc(&format!("the finding {}", row.id), &row.doc)?;
        log.push(activity::of_finding(&finding, action, at));
        Ok(told(row, &finding))
    };
    for mut row in touched(&tx, org, scope, &seen).await? {
        match seen.remove(&row.id) {
            Some(again) => {
                let before = state_of(&row)?;
                let row = row.seen_again(again, today)?;
                if before != FindingState::Recurred && state_of(&row)? == FindingState::Recurred {
                    opened.push(note(&row, "opened")?);
                }
                rows.push(row);
            }
            None => match state_of(&row)? {
                FindingState::Open | FindingState::Recurred | FindingState::Muted => {
                    row.state = db::word(&FindingState::Resolved)?;
                    closed.push(note(&row, "closed")?);
                    rows.push(row);
                }
                // What a person put aside stays aside, also when it comes back.
                FindingState::Ignored | FindingState::Resolved => {}
            },
        }
    }
    for row in seen.values() {
        opened.push(note(row, "opened")?);
    }
    rows.extend(seen.into_values());
    db::upsert::<Entity>(&tx, rows, &[Column::Org, Column::Id], &UPDATE).await?;
    activity::append_in(&tx, org, &log).await?;
    outbox::tell(&tx, org, "finding.opened", "findings", opened).await?;
    outbox::tell(&tx, org, "finding.closed", "findings", closed).await?;
    commit(tx).await
}

/// What others are told of a finding.
fn told(row: &Model, finding: &Finding) -> serde_json::Value {
    serde_json::json!({
        "id": row.id,
        "code": finding.code.row().name,
        "severity": finding.severity.name(),
        "subject": finding.subject,
        "message": finding.message,
        "fix": finding.fix,
    })
}

/// The stored findings that are seen again, and those that the scope would resolve.
async fn touched(
    tx: &DatabaseTransaction,
    org: &OrganizationId,
    scope: &str,
    seen: &BTreeMap<String, Model>,
) -> Result<Vec<Model>, StoreError> {
    let unsettled = [FindingState::Open, FindingState::Recurred, FindingState::Muted];
    let words = unsettled.iter().map(db::word).collect::<Result<Vec<_>, _>>()?;
    let own = Entity::find()
        .filter(Column::Org.eq(org.as_str()))
        .filter(Column::Scope.eq(scope))
        .filter(Column::State.is_in(words));
    let rows = own.all(tx).await.map_err(error::of_db)?;
    let mut touched: BTreeMap<String, Model> = rows.into_iter().map(|row| (row.id.clone(), row)).collect();
    let ids: Vec<&str> = seen.keys().filter(|id| !touched.contains_key(*id)).map(String::as_str).collect();
    let mut more = Vec::new();
    for part in ids.chunks(db::MAX_VALUES / 2) {
        let query = Entity::find()
            .filter(Column::Org.eq(org.as_str()))
            .filter(Column::Id.is_in(part.iter().copied()));
        more.extend(query.all(tx).await.map_err(error::of_db)?);
    }
    touched.extend(more.into_iter().map(|row| (row.id.clone(), row)));
    Ok(touched.into_values().collect())
}

/// The gravest first, then by code and id.
pub(crate) async fn list(
    store: &SqlStore,
    org: &OrganizationId,
    filter: &FindingFilter,
) -> Result<Vec<StoredFinding>, StoreError> {
    let mut query = Entity::find().filter(Column::Org.eq(org.as_str()));
    if !filter.states.is_empty() {
        let words = filter.states.iter().map(db::word).collect::<Result<Vec<_>, _>>()?;
        query = query.filter(Column::State.is_in(words));
    }
    if let Some(code) = &filter.code {
        query = query.filter(Column::Code.eq(code.as_str()));
    }
    if let Some(severity) = filter.severity {
        query = query.filter(Column::Severity.gte(rank(severity)));
    }
    if let Some(task) = &filter.task {
        // What tasks share is kept under none of them.
        query = query.filter(Column::Task.eq(task.as_str()).or(Column::Task.is_null()));
    }
    let query = query.order_by_desc(Column::Severity).order_by_asc(Column::Code).order_by_asc(Column::Id);
    let rows = query.all(&store.db).await.map_err(error::of_db)?;
    let found = rows.into_iter().map(|row| {
        Ok(StoredFinding {
            finding: db::from_doc(&format!("the finding {}", row.id), &row.doc)?,
            state: state_of(&row)?,
            muted_until: muted_until(&row)?,
            count: u64::try_from(row.count).unwrap_or(0),
            first_seen_at: row.first_seen_at,
            last_seen_at: row.last_seen_at,
            reason: row.reason,
            decided_by: row.decided_by,
            id: row.id,
        })
    });
    let of_task = |stored: &StoredFinding| {
        filter.task.as_ref().is_none_or(|task| {
            stored.finding.subject.task.as_ref() == Some(task) || stored.finding.tasks.contains(task)
        })
    };
    found.filter(|stored: &Result<StoredFinding, StoreError>| stored.as_ref().map_or(true, of_task)).collect()
}

/// What a person decided.
pub(crate) struct Decision<'a> {
    pub(crate) state: FindingState,
    pub(crate) until: Option<Date>,
    pub(crate) reason: Option<&'a str>,
    pub(crate) actor: &'a str,
}

pub(crate) async fn decide(
    store: &SqlStore,
    org: &OrganizationId,
    id: &str,
    decision: Decision<'_>,
) -> Result<bool, StoreError> {
    let tx = write_tx(store).await?;
    db::guard(&tx, org.as_str(), "findings").await?;
    let row = Entity::find_by_id((org.to_string(), id.to_owned())).one(&*tx).await.map_err(error::of_db)?;
    let Some(mut row) = row else { return Ok(false) };
    row.state = db::word(&decision.state)?;
    row.muted_until =
        decision.until.filter(|_| decision.state == FindingState::Muted).map(|date| date.to_string());
    row.reason = decision.reason.map(str::to_owned);
    row.decided_by = Some(decision.actor.to_owned());
    db::upsert::<Entity>(&tx, vec![row], &[Column::Org, Column::Id], &UPDATE).await?;
    commit(tx).await?;
    Ok(true)
}
