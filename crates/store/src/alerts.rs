//! Alerts with their tickets, and the rules about them.

use crate::db::{self, commit, write_tx};
use crate::{activity, audit, error, leases, organizations, store::SqlStore};
use async_trait::async_trait;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{Condition, QueryOrder, QuerySelect, Value};
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::alert::{Alert, Entry, Level};
use trueup_domain::feed::Record;
use trueup_domain::ids::{OrganizationId, SourceId};
use trueup_engine::alerts::{
    Activity, ActivityFilter, AlertBook, AlertChange, AlertFilter, LoggedActivity, Telling,
};
use trueup_engine::ports::{Lease, StoreError};
use trueup_engine::records::{Millis, NewAuditEntry};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "alert")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub org: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub kind: String,
    pub state: String,
    pub customer: Option<String>,
    pub settled: i64,
    /// When its ticket was made.
    pub made_at: Option<i64>,
    pub last_at: i64,
    pub doc: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// A version of a record that an alert was made of.
mod seen {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "alert_seen")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub org: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub source: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub version: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// What one level says of a kind.
mod rule {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "alert_rule")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub org: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub kind: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub severity: String,
        pub doc: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

fn row_of(org: &OrganizationId, alert: &Alert) -> Result<Model, StoreError> {
    let customer = alert.teller().map(|voice| voice.customer.to_string()).filter(|id| !id.is_empty());
    Ok(Model {
        org: org.to_string(),
        id: alert.id.to_string(),
        kind: alert.kind.clone(),
        state: alert.state().to_owned(),
        customer,
        settled: i64::from(alert.settled),
        made_at: alert.thread.as_ref().map(|thread| thread.made_at),
        last_at: alert.last_at,
        doc: db::to_doc("an alert", alert)?,
    })
}

/// What has come in and no alert was made of: the newest versions first found, then of each the version that was seen last
/// and all since.
const UNSEEN: &str = "SELECT r.source AS source, r.id AS id, COALESCE(s.version, 0) AS known FROM record AS r \
    LEFT JOIN alert_seen AS s ON s.org = r.org AND s.source = r.source AND s.id = r.id \
    WHERE r.org = $1 AND r.kind = 'alert' AND (s.version IS NULL OR s.version < r.version) \
    ORDER BY r.received_at, r.source, r.id LIMIT $2";
const VERSIONS: &str = "SELECT version, doc FROM record_history \
    WHERE org = $1 AND source = $2 AND kind = 'alert' AND id = $3 AND version >= $4 \
    UNION ALL SELECT version, doc FROM record \
    WHERE org = $1 AND source = $2 AND kind = 'alert' AND id = $3 AND version >= $4 ORDER BY version";

#[async_trait]
impl AlertBook for SqlStore {
    async fn list_rules(&self, org: &OrganizationId) -> Result<Vec<Level>, StoreError> {
        let levels = organizations::levels(self, org).await?;
        let rows = rule::Entity::find()
            .filter(rule::Column::Org.is_in(levels.iter().map(String::as_str)))
            .order_by_asc(rule::Column::Kind)
            .order_by_asc(rule::Column::Severity)
            .all(&self.db)
            .await
            .map_err(error::of_db)?;
        let mut by_level: BTreeMap<&str, Vec<Level>> = BTreeMap::new();
        for row in &rows {
            let entry: Entry = db::from_doc("a rule about alerts", &row.doc)?;
            let level = Level { from: OrganizationId::from(row.org.as_str()), entry };
            by_level.entry(row.org.as_str()).or_default().push(level);
        }
        Ok(levels.iter().filter_map(|level| by_level.remove(level.as_str())).flatten().collect())
    }

    async fn save_rule(
        &self,
        org: &OrganizationId,
        entry: &Entry,
        audit: &NewAuditEntry,
    ) -> Result<(), StoreError> {
        let severity = entry.severity.map_or("", |severity| severity.name());
        let tx = write_tx(self).await?;
        if entry.values.is_empty() {
            let sql = "DELETE FROM alert_rule WHERE org = $1 AND kind = $2 AND severity = $3";
            db::run(&*tx, sql, [org.as_str().into(), entry.kind.as_str().into(), severity.into()]).await?;
        } else {
            let row = rule::Model {
                org: org.to_string(),
                kind: entry.kind.clone(),
                severity: severity.to_owned(),
                doc: db::to_doc("a rule about alerts", entry)?,
            };
            let key = [rule::Column::Org, rule::Column::Kind, rule::Column::Severity];
            db::upsert::<rule::Entity>(&tx, vec![row], &key, &[rule::Column::Doc]).await?;
        }
        audit::append_in(&tx, org, vec![audit]).await?;
        commit(tx).await
    }

    async fn list_tellings(&self, org: &OrganizationId, limit: u32) -> Result<Vec<Telling>, StoreError> {
        let rows = db::query(&self.db, UNSEEN, [org.as_str().into(), Value::from(i64::from(limit))]).await?;
        let mut tellings = Vec::with_capacity(rows.len());
        for row in &rows {
            let source: String = row.try_get("", "source").map_err(error::of_db)?;
            let id: String = row.try_get("", "id").map_err(error::of_db)?;
            let known: i64 = row.try_get("", "known").map_err(error::of_db)?;
            let key: [Value; 4] =
                [org.as_str().into(), source.as_str().into(), id.as_str().into(), known.into()];
            let mut before = None;
            for version in db::query(&self.db, VERSIONS, key).await? {
                let number: i64 = version.try_get("", "version").map_err(error::of_db)?;
                let doc: String = version.try_get("", "doc").map_err(error::of_db)?;
                let record: Record = db::from_doc(&format!("the alert {id}"), &doc)?;
                let Record::Alert(record) = record else {
                    return Err(StoreError::Damaged(format!("the record of alert {id} is none of an alert")));
                };
                let former = before.replace(record.clone());
                if number == known {
                    continue;
                }
                let version = u32::try_from(number).map_err(|e| error::damaged("a record's version", e))?;
                let source = SourceId::from(source.as_str());
                tellings.push(Telling { source, version, record, before: former });
            }
        }
        Ok(tellings)
    }

    async fn list_alerts(
        &self,
        org: &OrganizationId,
        filter: &AlertFilter,
    ) -> Result<Vec<Alert>, StoreError> {
        let mut query = Entity::find().filter(Column::Org.eq(org.as_str()));
        if filter.unsettled {
            query = query.filter(Column::Settled.eq(0));
        }
        if let Some(state) = &filter.state {
            query = query.filter(Column::State.eq(state.as_str()));
        }
        if let Some(kind) = &filter.kind {
            query = query.filter(Column::Kind.eq(kind.as_str()));
        }
        if let Some(customer) = &filter.customer {
            query = query.filter(Column::Customer.eq(customer.as_str()));
        }
        if let Some(since) = filter.made_since {
            query = query.filter(Column::MadeAt.gte(since));
        }
        if let Some((at, id)) = &filter.after {
            let earlier = Condition::any()
                .add(Column::LastAt.lt(*at))
                .add(Condition::all().add(Column::LastAt.eq(*at)).add(Expr::col(Column::Id).gt(id.as_str())));
            query = query.filter(earlier);
        }
        let query = query.order_by_desc(Column::LastAt).order_by_asc(Column::Id);
        let query = match filter.limit {
            Some(limit) => query.limit(u64::from(limit)),
            None => query,
        };
        let mut rows = Vec::new();
        match &filter.ids {
            None => rows = query.all(&self.db).await.map_err(error::of_db)?,
            Some(ids) => {
                let ids: BTreeSet<&str> = ids.iter().map(|id| id.as_str()).collect();
                let ids: Vec<&str> = ids.into_iter().collect();
                for part in ids.chunks(db::MAX_VALUES / 2) {
                    let part = query.clone().filter(Column::Id.is_in(part.iter().copied()));
                    rows.extend(part.all(&self.db).await.map_err(error::of_db)?);
                }
            }
        }
        rows.iter().map(|row| db::from_doc(&format!("the alert {}", row.id), &row.doc)).collect()
    }

    async fn save_alerts(
        &self,
        org: &OrganizationId,
        lease: &Lease,
        change: &AlertChange,
    ) -> Result<(), StoreError> {
        let rows = change.save.iter().map(|alert| row_of(org, alert)).collect::<Result<Vec<_>, _>>()?;
        // Of several versions of one record the last counts.
        let mut versions: BTreeMap<(&str, &str), u32> = BTreeMap::new();
        for (source, id, version) in &change.seen {
            let known = versions.entry((source.as_str(), id.as_str())).or_default();
            *known = Ord::max(*known, *version);
        }
        let seen: Vec<seen::Model> = versions
            .into_iter()
            .map(|((source, id), version)| seen::Model {
                org: org.to_string(),
                source: source.to_owned(),
                id: id.to_owned(),
                version: i64::from(version),
            })
            .collect();
        let tx = write_tx(self).await?;
        leases::check(&tx, org, lease).await?;
        for id in &change.remove {
            let sql = "DELETE FROM alert WHERE org = $1 AND id = $2";
            db::run(&*tx, sql, [org.as_str().into(), id.as_str().into()]).await?;
        }
        let update = [
            Column::Kind,
            Column::State,
            Column::Customer,
            Column::Settled,
            Column::MadeAt,
            Column::LastAt,
            Column::Doc,
        ];
        db::upsert::<Entity>(&tx, rows, &[Column::Org, Column::Id], &update).await?;
        let key = [seen::Column::Org, seen::Column::Source, seen::Column::Id];
        db::upsert::<seen::Entity>(&tx, seen, &key, &[seen::Column::Version]).await?;
        activity::append_in(&tx, org, &change.activity).await?;
        commit(tx).await
    }

    async fn log(&self, org: &OrganizationId, entries: &[Activity]) -> Result<(), StoreError> {
        activity::append(self, org, entries).await
    }

    async fn list_activity(
        &self,
        org: &OrganizationId,
        filter: &ActivityFilter,
    ) -> Result<Vec<LoggedActivity>, StoreError> {
        activity::list(self, org, filter).await
    }

    async fn last_received(&self, org: &OrganizationId) -> Result<BTreeMap<SourceId, Millis>, StoreError> {
        let sql = "SELECT source, MAX(received_at) AS last FROM record WHERE org = $1 GROUP BY source";
        let rows = db::query(&self.db, sql, [org.as_str().into()]).await?;
        rows.iter()
            .map(|row| {
                let source: String = row.try_get("", "source").map_err(error::of_db)?;
                Ok((SourceId::from(source), row.try_get("", "last").map_err(error::of_db)?))
            })
            .collect()
    }
}
