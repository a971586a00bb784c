//! The journal: every write to ConnectWise, from durable intent to outcome.

use crate::db::{self, commit, write_tx};
use crate::group::{self, Step, Work};
use crate::{audit, error, leases, links, store::SqlStore};
use sea_orm::entity::prelude::*;
use sea_orm::{DatabaseTransaction, QueryOrder, QuerySelect};
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::ids::{OrganizationId, PlanId};
use trueup_domain::plan::OperationKey;
use trueup_engine::ports::{Lease, OperationOutcome, StoreError};
use trueup_engine::records::{OperationRow, OperationState, PlanState};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "operation")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub org: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub plan: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub change: String,
    /// Place within the plan, in the order in which the intents came.
    pub position: i64,
    pub key: String,
    pub agreement: i64,
    pub state: String,
    pub updated_at: i64,
    pub doc: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

const PRIMARY: [Column; 3] = [Column::Org, Column::Plan, Column::Change];
const UPDATE: [Column; 5] = [Column::Key, Column::Agreement, Column::State, Column::UpdatedAt, Column::Doc];

type ChangeKey = (String, String);

fn to_model(org: &OrganizationId, row: &OperationRow, position: i64) -> Result<Model, StoreError> {
    Ok(Model {
        org: org.to_string(),
        plan: row.plan.to_string(),
        change: row.change.to_string(),
        position,
        key: row.key.clone(),
        agreement: row.agreement.0,
        state: db::word(&row.state)?,
        updated_at: row.updated_at,
        doc: db::to_doc("an operation", row)?,
    })
}

fn from_model(row: &Model) -> Result<OperationRow, StoreError> {
    db::from_doc(&format!("the operation {} of plan {}", row.change, row.plan), &row.doc)
}

/// Whether a call was or may have been carried out: one key may be here once.
fn is_live(state: OperationState) -> bool {
    match state {
        OperationState::Sending | OperationState::InDoubt | OperationState::Done => true,
        OperationState::Intent | OperationState::Refused | OperationState::Skipped => false,
    }
}

/// The rows to write, last of each change, with the places they have or get; and those of them that are stored.
async fn placed(
    tx: &DatabaseTransaction,
    org: &OrganizationId,
    rows: Vec<&OperationRow>,
) -> Result<(Vec<Model>, BTreeMap<ChangeKey, Model>), StoreError> {
    let stored = stored(tx, org, &rows).await?;
    let mut next: BTreeMap<&str, i64> = BTreeMap::new();
    let mut models: BTreeMap<ChangeKey, Model> = BTreeMap::new();
    for row in rows {
        let key = (row.plan.to_string(), row.change.to_string());
        let position = match stored.get(&key).or_else(|| models.get(&key)) {
            Some(there) => there.position,
            None => {
                let first = match next.get(row.plan.as_str()) {
                    Some(place) => *place,
                    None => first_free_place(tx, org, &row.plan).await?,
                };
                next.insert(row.plan.as_str(), first + 1);
                first
            }
        };
        models.insert(key, to_model(org, row, position)?);
    }
    Ok((models.into_values().collect(), stored))
}

async fn stored(
    tx: &DatabaseTransaction,
    org: &OrganizationId,
    rows: &[&OperationRow],
) -> Result<BTreeMap<ChangeKey, Model>, StoreError> {
    let mut changes: BTreeMap<&PlanId, BTreeSet<&str>> = BTreeMap::new();
    for row in rows {
        changes.entry(&row.plan).or_default().insert(row.change.as_str());
    }
    let mut stored = BTreeMap::new();
    for (plan, changes) in changes {
        let changes: Vec<&str> = changes.into_iter().collect();
        for part in changes.chunks(db::MAX_VALUES / 2) {
            let query = Entity::find()
                .filter(Column::Org.eq(org.as_str()))
                .filter(Column::Plan.eq(plan.as_str()))
                .filter(Column::Change.is_in(part.iter().copied()));
            let rows = query.all(tx).await.map_err(error::of_db)?;
            stored.extend(rows.into_iter().map(|row| ((row.plan.clone(), row.change.clone()), row)));
        }
    }
    Ok(stored)
}

async fn first_free_place(
    tx: &DatabaseTransaction,
    org: &OrganizationId,
    plan: &PlanId,
) -> Result<i64, StoreError> {
    let last: Option<Option<i64>> = Entity::find()
        .select_only()
        .column_as(Column::Position.max(), "last")
        .filter(Column::Org.eq(org.as_str()))
        .filter(Column::Plan.eq(plan.as_str()))
        .into_tuple()
        .one(tx)
        .await
        .map_err(error::of_db)?;
    Ok(last.flatten().map_or(0, |last| last + 1))
}

pub(crate) async fn save_intents(
    store: &SqlStore,
    org: &OrganizationId,
    rows: &[OperationRow],
) -> Result<(), StoreError> {
    let tx = write_tx(store).await?;
    let (models, _) = placed(&tx, org, rows.iter().collect()).await?;
    db::upsert::<Entity>(&tx, models, &PRIMARY, &[]).await?;
    commit(tx).await
}

pub(crate) async fn begin(
    store: &SqlStore,
    org: &OrganizationId,
    lease: &Lease,
    rows: &[OperationRow],
) -> Result<(), StoreError> {
    let step = Step::Begin(rows.to_vec());
    group::carry_out(store, Work { org: org.clone(), lease: lease.clone(), step }).await
}

pub(crate) async fn begin_in(
    tx: &DatabaseTransaction,
    org: &OrganizationId,
    lease: &Lease,
    rows: &[OperationRow],
) -> Result<(), StoreError> {
    leases::check(tx, org, lease).await?;
    let sending: Vec<OperationRow> = rows
        .iter()
        .map(|row| OperationRow { state: OperationState::Sending, fencing: lease.fencing, ..row.clone() })
        .collect();
    let (models, stored) = placed(tx, org, sending.iter().collect()).await?;
    refuse_done(&models, &stored)?;
    refuse_twice(tx, org, &models).await?;
    db::upsert::<Entity>(tx, models, &PRIMARY, &UPDATE).await.map_err(twice)?;
    Ok(())
}

/// The index over live keys is the judge between two that began the same key at the same instant.
fn twice(error: StoreError) -> StoreError {
    match error {
        StoreError::Conflict(_) => StoreError::Conflict("another operation with the same key".to_owned()),
        other => other,
    }
}

fn refuse_done(models: &[Model], stored: &BTreeMap<ChangeKey, Model>) -> Result<(), StoreError> {
    let done = db::word(&OperationState::Done)?;
    for model in models {
        let there = stored.get(&(model.plan.clone(), model.change.clone()));
        if there.is_some_and(|there| there.state == done) {
            return Err(StoreError::Conflict(format!(
                "the outcome of operation {} of plan {} (it is done)",
                model.change, model.plan
            )));
        }
    }
    Ok(())
}

async fn refuse_twice(
    tx: &DatabaseTransaction,
    org: &OrganizationId,
    models: &[Model],
) -> Result<(), StoreError> {
    let own: BTreeSet<(&str, &str)> =
        models.iter().map(|model| (model.plan.as_str(), model.change.as_str())).collect();
    let mut keys = BTreeSet::new();
    for model in models {
        if !keys.insert(model.key.as_str()) {
            return Err(StoreError::Conflict(format!("an operation with the key {}", model.key)));
        }
    }
    let keys: Vec<&str> = keys.into_iter().collect();
    for part in keys.chunks(db::MAX_VALUES / 2) {
        let query = Entity::find()
            .filter(Column::Org.eq(org.as_str()))
            .filter(Column::Key.is_in(part.iter().copied()))
            .order_by_asc(Column::Key);
        for row in query.all(tx).await.map_err(error::of_db)? {
            let state: OperationState = db::from_word("an operation's state", &row.state)?;
            if is_live(state) && !own.contains(&(row.plan.as_str(), row.change.as_str())) {
                return Err(StoreError::Conflict(format!(
                    "an operation with the key {} (change {} of plan {}, {})",
                    row.key, row.change, row.plan, row.state
                )));
            }
        }
    }
    Ok(())
}

pub(crate) async fn finish(
    store: &SqlStore,
    org: &OrganizationId,
    lease: &Lease,
    outcomes: &[OperationOutcome],
) -> Result<(), StoreError> {
    let step = Step::Finish(outcomes.to_vec());
    group::carry_out(store, Work { org: org.clone(), lease: lease.clone(), step }).await
}

pub(crate) async fn finish_in(
    tx: &DatabaseTransaction,
    org: &OrganizationId,
    lease: &Lease,
    outcomes: &[OperationOutcome],
) -> Result<(), StoreError> {
    leases::check(tx, org, lease).await?;
    let (models, _) = placed(tx, org, outcomes.iter().map(|o| &o.operation).collect()).await?;
    db::upsert::<Entity>(tx, models, &PRIMARY, &UPDATE).await.map_err(twice)?;
    links::save_in(tx, org, outcomes.iter().filter_map(|o| o.link.as_ref()).collect()).await?;
    audit::append_in(tx, org, outcomes.iter().flat_map(|o| &o.audit).collect()).await?;
    Ok(())
}

pub(crate) async fn list(
    store: &SqlStore,
    org: &OrganizationId,
    plan: &PlanId,
) -> Result<Vec<OperationRow>, StoreError> {
    let query = Entity::find()
        .filter(Column::Org.eq(org.as_str()))
        .filter(Column::Plan.eq(plan.as_str()))
        .order_by_asc(Column::Position);
    query.all(&store.db).await.map_err(error::of_db)?.iter().map(from_model).collect()
}

pub(crate) async fn list_unresolved(
    store: &SqlStore,
    org: &OrganizationId,
) -> Result<Vec<OperationRow>, StoreError> {
    let states = [db::word(&OperationState::Sending)?, db::word(&OperationState::InDoubt)?];
    let query = Entity::find()
        .filter(Column::Org.eq(org.as_str()))
        .filter(Column::State.is_in(states))
        .order_by_asc(Column::UpdatedAt)
        .order_by_asc(Column::Plan)
        .order_by_asc(Column::Position);
    query.all(&store.db).await.map_err(error::of_db)?.iter().map(from_model).collect()
}

/// Plans that are being carried out, and those that were in part with an operation that was not begun, by id.
pub(crate) async fn list_plans_under_way(
    store: &SqlStore,
    org: &OrganizationId,
) -> Result<Vec<PlanId>, StoreError> {
    let sql = "SELECT id AS plan FROM plan WHERE org = $1 AND (state = $2 OR state = $3 AND EXISTS \
               (SELECT 1 FROM operation WHERE operation.org = plan.org AND operation.plan = plan.id \
               AND operation.state = $4)) ORDER BY id";
    let values = [
        org.as_str().into(),
        db::word(&PlanState::Applying)?.into(),
        db::word(&PlanState::Partial)?.into(),
        db::word(&OperationState::Intent)?.into(),
    ];
    let rows = db::query(&store.db, sql, values).await?;
    rows.iter()
        .map(|row| Ok(PlanId::from(row.try_get::<String>("", "plan").map_err(error::of_db)?)))
        .collect()
}

pub(crate) async fn find_by_key(
    store: &SqlStore,
    org: &OrganizationId,
    key: &OperationKey,
) -> Result<Option<OperationRow>, StoreError> {
    let query = Entity::find()
        .filter(Column::Org.eq(org.as_str()))
        .filter(Column::Key.eq(key.0.as_str()))
        .filter(Column::State.ne(db::word(&OperationState::Skipped)?))
        .order_by_desc(Column::UpdatedAt)
        .order_by_desc(Column::Plan)
        .order_by_desc(Column::Position);
    query.one(&store.db).await.map_err(error::of_db)?.as_ref().map(from_model).transpose()
}
