//! The tables, version by version. A migration that was released is never edited: a new one follows it.

mod m0001_first;
mod m0002_picture;
mod m0003_service;
mod m0004_schedules;
mod m0005_approvals;
mod m0006_outbox;
mod m0007_quantity;
mod m0008_call_budget;
mod m0009_row_security;
mod m0010_alerts;
mod m0011_task_list;
mod m0012_webhook_overlap;
mod tables;

use crate::error;
use sea_orm::{DatabaseConnection, DbBackend, DbErr};
use sea_orm_migration::prelude::{MigrationTrait, MigratorTrait};
use std::collections::BTreeSet;
use trueup_engine::ports::StoreError;

pub(crate) struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_first::First),
            Box::new(m0002_picture::Picture),
            Box::new(m0003_service::Service),
            Box::new(m0004_schedules::Schedules),
            Box::new(m0005_approvals::Approvals),
            Box::new(m0006_outbox::Outbox),
            Box::new(m0007_quantity::Quantity),
            Box::new(m0008_call_budget::CallBudget),
            Box::new(m0009_row_security::RowSecurity),
            Box::new(m0010_alerts::Alerts),
            Box::new(m0011_task_list::TaskList),
            Box::new(m0012_webhook_overlap::WebhookOverlap),
        ]
    }
}

/// PostgreSQL's advisory lock that lets one process migrate at a time: the letters `trueup`.
const MIGRATION_LOCK: i64 = 0x7472_7565_7570;

/// Brings the tables up to this version.
pub(crate) async fn migrate(db: &DatabaseConnection) -> Result<(), StoreError> {
    let turn = crate::db::write_turn(db, MIGRATION_LOCK).await?;
    refuse_later_version(db).await?;
    Migrator::up(db, None).await.map_err(stopped)?;
    match turn {
        Some(turn) => turn.commit().await.map_err(error::of_db),
        None => Ok(()),
    }
}

/// Whether this version knows a step.
pub(crate) fn knows(step: &str) -> bool {
    Migrator::migrations().iter().any(|m| m.name() == step)
}

/// The last step of a database; none where there are no tables yet.
pub(crate) async fn last_step(db: &DatabaseConnection) -> Result<Option<String>, StoreError> {
    Ok(Migrator::get_migration_models_or_none(db).await?.into_iter().next_back())
}

/// The last step of a database and the one it is to be brought to, where they differ and there are tables.
pub(crate) async fn pending(db: &DatabaseConnection) -> Result<Option<(String, String)>, StoreError> {
    refuse_later_version(db).await?;
    let newest = Migrator::migrations().last().map(|m| m.name().to_owned()).unwrap_or_default();
    Ok(last_step(db).await?.filter(|last| *last != newest).map(|last| (last, newest)))
}

async fn refuse_later_version(db: &DatabaseConnection) -> Result<(), StoreError> {
    let known: BTreeSet<String> = Migrator::migrations().iter().map(|m| m.name().to_owned()).collect();
    let applied = Migrator::get_migration_models_or_none(db).await?;
    match applied.into_iter().find(|version| !known.contains(version)) {
        Some(version) => Err(StoreError::WrongVersion(format!(
            "a later version of trueup wrote it (its step {version} is not known here); use that version, or restore \
             the backup made before the upgrade"
        ))),
        None => Ok(()),
    }
}

impl Migrator {
    async fn get_migration_models_or_none(db: &DatabaseConnection) -> Result<Vec<String>, StoreError> {
        let there = match db.get_database_backend() {
            DbBackend::Sqlite => {
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'seaql_migrations'"
            }
            _ => {
                "SELECT table_name AS name FROM information_schema.tables \
                 WHERE table_schema = current_schema() AND table_name = 'seaql_migrations'"
            }
        };
        if crate::db::query(db, there, []).await?.is_empty() {
            return Ok(Vec::new());
        }
        crate::db::query(db, "SELECT version FROM seaql_migrations ORDER BY version", [])
            .await?
            .iter()
            .map(|row| row.try_get("", "version").map_err(error::of_db))
            .collect()
    }
}

/// A migration that stopped half-way is a matter of versions, unless the disk or the network is to blame.
fn stopped(error: DbErr) -> StoreError {
    let words = error.to_string();
    match error::of_db(error) {
        StoreError::Damaged(_) | StoreError::Conflict(_) => {
            StoreError::WrongVersion(format!("bringing the tables up to this version stopped: {words}"))
        }
        other => other,
    }
}
