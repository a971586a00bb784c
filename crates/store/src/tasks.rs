//! Tasks, and the named marks (watermarks) of an organization.

use crate::db::{self, commit, write_tx};
use crate::{error, outbox, store::SqlStore};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ConnectionTrait, IntoActiveModel, QueryOrder, QuerySelect};
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::ids::{OrganizationId, TaskId};
use trueup_domain::task::{Task, TaskState};
use trueup_engine::ports::StoreError;
use trueup_engine::records::{Millis, TaskFilter};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "task")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub org: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub source: String,
    pub state: String,
    pub customer: String,
    pub subscription: String,
    pub completed_us: i64,
    pub saved_at: i64,
    pub doc: String,
    pub kind: String,
    /// The ids that people look for, a line each, in small letters.
    pub search: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Named texts, such as watermarks.
mod mark {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "mark")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub org: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub name: String,
        pub value: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// One of these tasks that is being written to ConnectWise.
pub(crate) async fn under_way<C: ConnectionTrait>(
    at: &C,
    org: &OrganizationId,
    ids: &[TaskId],
) -> Result<Option<TaskId>, StoreError> {
    let states = [db::word(&TaskState::Applying)?, db::word(&TaskState::InDoubt)?];
    for part in ids.chunks(LOOKUP) {
        let query = Entity::find()
            .filter(Column::Org.eq(org.as_str()))
            .filter(Column::State.is_in(states.clone()))
            .filter(Column::Id.is_in(part.iter().map(TaskId::as_str)));
        if let Some(row) = query.one(at).await.map_err(error::of_db)? {
            return Ok(Some(TaskId::from(row.id)));
        }
    }
    Ok(None)
}

/// Ids in one look-up.
const LOOKUP: usize = 5_000;

pub(crate) async fn save(
    store: &SqlStore,
    org: &OrganizationId,
    at: Millis,
    tasks: &[Task],
) -> Result<(), StoreError> {
    let mut rows = BTreeMap::new();
    for task in tasks {
        let row = Model {
            org: org.to_string(),
            id: task.id.to_string(),
            source: task.source.to_string(),
            state: task.state.name().to_owned(),
            customer: task.customer.to_string(),
            subscription: task.subscription.to_string(),
            completed_us: task.completed_us,
            saved_at: at,
            doc: db::to_doc("a task", task)?,
            kind: task.kind.name().to_owned(),
            search: searched(task),
        };
        rows.insert(row.id.clone(), row);
    }
    let tx = write_tx(store).await?;
    let update = [
        Column::Source,
        Column::State,
        Column::Customer,
        Column::Subscription,
        Column::CompletedUs,
        Column::SavedAt,
        Column::Doc,
        Column::Kind,
        Column::Search,
    ];
    // Which of them are new is looked for only where somebody wants to hear it.
    let new = match outbox::is_heard(&*tx, org, CREATED).await? {
        true => unknown(&*tx, org, tasks).await?,
        false => Vec::new(),
    };
    db::upsert::<Entity>(&tx, rows.into_values().collect(), &[Column::Org, Column::Id], &update).await?;
    outbox::tell(&tx, org, CREATED, "tasks", new).await?;
    commit(tx).await
}

fn searched(task: &Task) -> String {
    let order = task.order_id.as_ref().map_or("", |id| id.as_str());
    [task.id.as_str(), task.customer.as_str(), task.subscription.as_str(), order].join("\n").to_lowercase()
}

const CREATED: &str = "task.created";

/// What others are told of the tasks that are not stored yet.
async fn unknown<C: ConnectionTrait>(
    at: &C,
    org: &OrganizationId,
    tasks: &[Task],
) -> Result<Vec<serde_json::Value>, StoreError> {
    let mut known = BTreeSet::new();
    for part in tasks.chunks(LOOKUP) {
        let query = Entity::find()
            .select_only()
            .column(Column::Id)
            .filter(Column::Org.eq(org.as_str()))
            .filter(Column::Id.is_in(part.iter().map(|task| task.id.as_str())));
        known.extend(query.into_tuple::<String>().all(at).await.map_err(error::of_db)?);
    }
    let mut told = Vec::new();
    for task in tasks {
        if known.insert(task.id.to_string()) {
            told.push(serde_json::json!({
                "id": task.id,
                "kind": task.kind,
                "state": task.state.name(),
                "source": task.source,
                "customer": task.customer,
                "subscription": task.subscription,
                "order": task.order_id,
            }));
        }
    }
    Ok(told)
}

pub(crate) async fn list(
    store: &SqlStore,
    org: &OrganizationId,
    filter: &TaskFilter,
) -> Result<Vec<Task>, StoreError> {
    let mut query = Entity::find().filter(Column::Org.eq(org.as_str()));
    if !filter.states.is_empty() {
        query = query.filter(Column::State.is_in(filter.states.iter().map(|s| s.name())));
    }
    if let Some(customer) = &filter.customer {
        query = query.filter(Column::Customer.eq(customer.as_str()));
    }
    if let Some(subscription) = &filter.subscription {
        query = query.filter(Column::Subscription.eq(subscription.as_str()));
    }
    if let Some(source) = &filter.source {
        query = query.filter(Column::Source.eq(source.as_str()));
    }
    let mut rows = Vec::new();
    if filter.ids.is_empty() && filter.subscriptions.is_empty() {
        rows = query.clone().all(&store.db).await.map_err(error::of_db)?;
    }
    for part in filter.subscriptions.chunks(db::MAX_VALUES / 2) {
        let part = query.clone().filter(Column::Subscription.is_in(part.iter().map(|id| id.as_str())));
        rows.extend(part.all(&store.db).await.map_err(error::of_db)?);
    }
    for part in filter.ids.chunks(db::MAX_VALUES / 2) {
        let part = query.clone().filter(Column::Id.is_in(part.iter().map(|id| id.as_str())));
        rows.extend(part.all(&store.db).await.map_err(error::of_db)?);
    }
    rows.sort_by(|a, b| {
        (&a.subscription, a.completed_us, &a.id).cmp(&(&b.subscription, b.completed_us, &b.id))
    });
    rows.dedup_by(|a, b| a.id == b.id);
    rows.iter().map(|row| db::from_doc("a task", &row.doc)).collect()
}

pub(crate) async fn count(
    store: &SqlStore,
    org: &OrganizationId,
) -> Result<BTreeMap<String, u64>, StoreError> {
    let rows: Vec<(String, i64)> = Entity::find()
        .select_only()
        .column(Column::State)
        .column_as(Column::Id.count(), "tasks")
        .filter(Column::Org.eq(org.as_str()))
        .group_by(Column::State)
        .order_by_asc(Column::State)
        .into_tuple()
        .all(&store.db)
        .await
        .map_err(error::of_db)?;
    Ok(rows.into_iter().map(|(state, tasks)| (state, u64::try_from(tasks).unwrap_or(0))).collect())
}

pub(crate) async fn load_mark(
    store: &SqlStore,
    org: &OrganizationId,
    name: &str,
) -> Result<Option<String>, StoreError> {
    let row = mark::Entity::find_by_id((org.to_string(), name.to_owned()));
    Ok(row.one(&store.db).await.map_err(error::of_db)?.map(|row| row.value))
}

pub(crate) async fn save_mark(
    store: &SqlStore,
    org: &OrganizationId,
    name: &str,
    value: &str,
) -> Result<(), StoreError> {
    let row = mark::Model { org: org.to_string(), name: name.to_owned(), value: value.to_owned() };
    let tx = write_tx(store).await?;
    let key = [mark::Column::Org, mark::Column::Name];
    db::upsert::<mark::Entity>(&tx, vec![row], &key, &[mark::Column::Value]).await?;
    commit(tx).await
}

pub(crate) async fn change_mark(
    store: &SqlStore,
    org: &OrganizationId,
    name: &str,
    known: Option<&str>,
    value: &str,
) -> Result<bool, StoreError> {
    let tx = write_tx(store).await?;
    let changed = match known {
        Some(known) => {
            mark::Entity::update_many()
                .col_expr(mark::Column::Value, Expr::value(value))
                .filter(mark::Column::Org.eq(org.as_str()))
                .filter(mark::Column::Name.eq(name))
                .filter(mark::Column::Value.eq(known))
                .exec(&*tx)
                .await
                .map_err(error::of_db)?
                .rows_affected
        }
        None => {
            let row = mark::Model { org: org.to_string(), name: name.to_owned(), value: value.to_owned() };
            let there = OnConflict::columns([mark::Column::Org, mark::Column::Name]).do_nothing().to_owned();
            mark::Entity::insert(row.into_active_model())
                .on_conflict(there)
                .exec_without_returning(&*tx)
                .await
                .map_err(error::of_db)?
        }
    };
    commit(tx).await?;
    Ok(changed > 0)
}
