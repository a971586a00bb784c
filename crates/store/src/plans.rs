//! Plans, and which tasks each of them answers.

use crate::db::{self, commit, write_tx};
use crate::pages::{self, Wanted};
use crate::{error, outbox, store::SqlStore};
use sea_orm::entity::prelude::*;
use sea_orm::{IntoActiveModel, QueryOrder, QuerySelect};
use std::collections::BTreeSet;
use trueup_domain::ids::{OrganizationId, PlanId, TaskId};
use trueup_domain::plan::{DraftPlan, TaskOutcome, Totals};
use trueup_engine::ports::StoreError;
use trueup_engine::records::{Millis, PlanState, StoredPlan};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "plan")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub org: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub connection: String,
    pub created_at: i64,
    pub actor: String,
    pub state: String,
    pub doc: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Which plan answers which task.
mod answered {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "plan_task")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub org: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub task: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub plan: String,
        pub created_at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

fn to_stored(row: Model) -> Result<StoredPlan, StoreError> {
    Ok(StoredPlan {
        body: db::from_doc(&format!("the plan {}", row.id), &row.doc)?,
        state: db::from_word("a plan's state", &row.state)?,
        id: PlanId::from(row.id),
        connection: row.connection,
        created_at: row.created_at,
        actor: row.actor,
    })
}

/// The tasks that a plan says something final about.
fn tasks_answered(plan: &DraftPlan) -> BTreeSet<&TaskId> {
    let planned = plan.outcomes.iter().filter(|(_, outcome)| match outcome {
        TaskOutcome::Planned | TaskOutcome::NothingToDo => true,
        TaskOutcome::NeedsMapping
        | TaskOutcome::Waiting
        | TaskOutcome::Failed
        | TaskOutcome::Blocked
        | TaskOutcome::Unsupported
        | TaskOutcome::Undone => false,
    });
    let written = plan.changes.iter().map(|change| &change.task);
    let adopted = plan.adoptions.iter().map(|adoption| &adoption.task);
    planned.map(|(task, _)| task).chain(written).chain(adopted).collect()
}

fn answers(org: &OrganizationId, plan: &StoredPlan, at: Millis) -> Vec<answered::Model> {
    tasks_answered(plan.body.plan())
        .into_iter()
        .map(|task| answered::Model {
            org: org.to_string(),
            task: task.to_string(),
            plan: plan.id.to_string(),
            created_at: at,
        })
        .collect()
}

/// Whatever was planned for its tasks meanwhile, this plan is the one that is carried out.
pub(crate) async fn begin(
    store: &SqlStore,
    org: &OrganizationId,
    plan: &StoredPlan,
    at: Millis,
) -> Result<(), StoreError> {
    let key = [answered::Column::Org, answered::Column::Task, answered::Column::Plan];
    let tx = write_tx(store).await?;
    db::upsert::<answered::Entity>(&tx, answers(org, plan, at), &key, &[answered::Column::CreatedAt]).await?;
    commit(tx).await
}

pub(crate) async fn save(
    store: &SqlStore,
    org: &OrganizationId,
    plan: &StoredPlan,
) -> Result<(), StoreError> {
    let row = Model {
        org: org.to_string(),
        id: plan.id.to_string(),
        connection: plan.connection.clone(),
        created_at: plan.created_at,
        actor: plan.actor.clone(),
        state: db::word(&plan.state)?,
        doc: db::to_doc("a plan", &plan.body)?,
    };
    let answers = answers(org, plan, plan.created_at);
    let tx = write_tx(store).await?;
    let inserted = Entity::insert(row.into_active_model()).exec_without_returning(&*tx).await;
    inserted.map_err(error::of_db).map_err(|e| match e {
        StoreError::Conflict(_) => StoreError::Conflict(format!("the plan {}", plan.id)),
        other => other,
    })?;
    let key = [answered::Column::Org, answered::Column::Task, answered::Column::Plan];
    db::upsert::<answered::Entity>(&tx, answers, &key, &[]).await?;
    commit(tx).await
}

pub(crate) async fn find(
    store: &SqlStore,
    org: &OrganizationId,
    id: &PlanId,
) -> Result<Option<StoredPlan>, StoreError> {
    let row = Entity::find_by_id((org.to_string(), id.to_string()));
    row.one(&store.db).await.map_err(error::of_db)?.map(to_stored).transpose()
}

pub(crate) async fn list(
    store: &SqlStore,
    org: &OrganizationId,
    limit: u32,
) -> Result<Vec<StoredPlan>, StoreError> {
    let query = Entity::find()
        .filter(Column::Org.eq(org.as_str()))
        .order_by_desc(Column::CreatedAt)
        .order_by_desc(Column::Id)
        .limit(u64::from(limit));
    query.all(&store.db).await.map_err(error::of_db)?.into_iter().map(to_stored).collect()
}

pub(crate) async fn set_state(
    store: &SqlStore,
    org: &OrganizationId,
    id: &PlanId,
    state: PlanState,
) -> Result<(), StoreError> {
    let word = db::word(&state)?;
    let tx = write_tx(store).await?;
    let update = |query: sea_orm::UpdateMany<Entity>| {
        query
            .col_expr(Column::State, Expr::value(word.clone()))
            .filter(Column::Org.eq(org.as_str()))
            .filter(Column::Id.eq(id.as_str()))
    };
    let moved = update(Entity::update_many()).filter(Column::State.ne(word.as_str())).exec(&*tx).await;
    let moved = moved.map_err(error::of_db)?.rows_affected > 0;
    if !moved && update(Entity::update_many()).exec(&*tx).await.map_err(error::of_db)?.rows_affected == 0 {
        return Err(StoreError::Damaged(format!("there is no plan {id} to move")));
    }
    if moved && matches!(state, PlanState::Applied | PlanState::Partial) {
        let told = serde_json::json!({ "id": id, "state": word });
        outbox::tell(&tx, org, "plan.applied", "plans", vec![told]).await?;
    }
    commit(tx).await
}

pub(crate) async fn find_of_task(
    store: &SqlStore,
    org: &OrganizationId,
    task: &TaskId,
) -> Result<Option<PlanId>, StoreError> {
    let query = answered::Entity::find()
        .filter(answered::Column::Org.eq(org.as_str()))
        .filter(answered::Column::Task.eq(task.as_str()))
        .order_by_desc(answered::Column::CreatedAt)
        .order_by_desc(answered::Column::Plan);
    Ok(query.one(&store.db).await.map_err(error::of_db)?.map(|row| PlanId::from(row.plan)))
}

/// A plan in a list: without its changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanRow {
    /// Id.
    pub id: PlanId,
    /// The connection.
    pub connection: String,
    /// When it was made.
    pub created_at: Millis,
    /// By whom.
    pub actor: String,
    /// Where it stands.
    pub state: PlanState,
    /// Its sums.
    pub totals: Totals,
}

impl SqlStore {
    /// A page of plans, the newest first, after the one that was made at an instant and has an id. Their changes stay in
    /// the database.
    ///
    /// # Errors
    /// The database's.
    pub async fn page_plans(
        &self,
        org: &OrganizationId,
        after: Option<&(Millis, PlanId)>,
        limit: u32,
    ) -> Result<Vec<PlanRow>, StoreError> {
        let mut wanted = Wanted::of(org);
        if let Some((at, id)) = after {
            let (at, id) = (wanted.bind(*at), wanted.bind(id.as_str()));
            wanted.and(&format!("(created_at, id) < ({at}, {id})"));
        }
        let limit = wanted.bind(i64::from(limit));
        let sql = format!(
            "SELECT id, connection, created_at, actor, state, COALESCE({}, {}) AS totals FROM plan WHERE {} \
             ORDER BY created_at DESC, id DESC LIMIT {limit}",
            pages::within(self, "checked", "totals"),
            pages::within(self, "draft", "totals"),
            wanted.sql
        );
        let rows = db::query(&self.db, &sql, wanted.values).await?;
        rows.iter()
            .map(|row| {
                let text = |name: &str| row.try_get::<String>("", name).map_err(error::of_db);
                Ok(PlanRow {
                    id: PlanId::from(text("id")?),
                    connection: text("connection")?,
                    created_at: row.try_get("", "created_at").map_err(error::of_db)?,
                    actor: text("actor")?,
                    state: db::from_word("a plan's state", &text("state")?)?,
                    totals: db::from_doc("the sums of a plan", &text("totals")?)?,
                })
            })
            .collect()
    }
}
