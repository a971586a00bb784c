//! The log of what went on: alerts, tickets, runs of quantities, findings.

use crate::db::{self, commit, write_tx};
use crate::{error, store::SqlStore};
use sea_orm::{DatabaseTransaction, Value};
use trueup_domain::alert::AlertSeverity;
use trueup_domain::finding::{Finding, Severity};
use trueup_domain::ids::OrganizationId;
use trueup_engine::alerts::{Activity, ActivityFilter, ActivityKind, LoggedActivity};
use trueup_engine::ports::StoreError;
use trueup_engine::records::Millis;

/// Adds entries in a transaction of somebody else.
pub(crate) async fn append_in(
    tx: &DatabaseTransaction,
    org: &OrganizationId,
    entries: &[Activity],
) -> Result<(), StoreError> {
    if entries.is_empty() {
        return Ok(());
    }
    db::guard(tx, org.as_str(), "activity").await?;
    let sql = "SELECT COALESCE(MAX(seq), 0) AS last FROM activity WHERE org = $1";
    let rows = db::query(tx, sql, [org.as_str().into()]).await?;
    let mut seq: i64 = match rows.first() {
        Some(row) => row.try_get("", "last").map_err(error::of_db)?,
        None => 0,
    };
    for entry in entries {
        seq = seq.saturating_add(1);
        let sql = "INSERT INTO activity (org, seq, at, kind, alert, customer, doc) VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let values: [Value; 7] = [
            org.as_str().into(),
            seq.into(),
            entry.at.into(),
            entry.kind.name().into(),
            entry.alert.as_ref().map(|id| id.as_str().to_owned()).into(),
            entry.customer.clone().into(),
            db::to_doc("an entry of the log", entry)?.into(),
        ];
        db::run(tx, sql, values).await?;
    }
    Ok(())
}

pub(crate) async fn append(
    store: &SqlStore,
    org: &OrganizationId,
    entries: &[Activity],
) -> Result<(), StoreError> {
    if entries.is_empty() {
        return Ok(());
    }
    let tx = write_tx(store).await?;
    append_in(&tx, org, entries).await?;
    commit(tx).await
}

pub(crate) async fn list(
    store: &SqlStore,
    org: &OrganizationId,
    filter: &ActivityFilter,
) -> Result<Vec<LoggedActivity>, StoreError> {
    let mut sql = "SELECT seq, doc FROM activity WHERE org = $1".to_owned();
    let mut values: Vec<Value> = vec![org.as_str().into()];
    let mut and = |column: &str, value: Value| {
        values.push(value);
        sql.push_str(&format!(" AND {column} ${}", values.len()));
    };
    if let Some(before) = filter.before {
        and("seq <", before.into());
    }
    if let Some(kind) = filter.kind {
        and("kind =", kind.name().into());
    }
    if let Some(alert) = &filter.alert {
        and("alert =", alert.as_str().into());
    }
    if let Some(customer) = &filter.customer {
        and("customer =", customer.as_str().into());
    }
    values.push(i64::from(filter.limit).into());
    sql.push_str(&format!(" ORDER BY seq DESC LIMIT ${}", values.len()));
    let rows = db::query(&store.db, &sql, values).await?;
    rows.iter()
        .map(|row| {
            let doc: String = row.try_get("", "doc").map_err(error::of_db)?;
            Ok(LoggedActivity {
                seq: row.try_get("", "seq").map_err(error::of_db)?,
                entry: db::from_doc("an entry of the log", &doc)?,
            })
        })
        .collect()
}

/// What the log says of a finding that opened or closed.
pub(crate) fn of_finding(finding: &Finding, action: &str, at: Millis) -> Activity {
    Activity {
        at,
        kind: ActivityKind::Finding,
        action: action.to_owned(),
        alert: None,
        rule_kind: Some(finding.code.row().name.to_owned()),
        severity: Some(match finding.severity {
            Severity::Info => AlertSeverity::Info,
            Severity::Warning => AlertSeverity::Warning,
            Severity::Error => AlertSeverity::Error,
        }),
        source: finding.subject.source.as_ref().map(ToString::to_string),
        customer: finding.subject.customer.as_ref().map(ToString::to_string),
        ticket: None,
        text: finding.message.clone(),
        why: None,
    }
}
