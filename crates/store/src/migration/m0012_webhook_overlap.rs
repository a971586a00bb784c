//! The former secret of a webhook, which signs for a while beside the new one.

use sea_orm::{ConnectionTrait, DbBackend};
use sea_orm_migration::prelude::{DbErr, MigrationName, MigrationTrait, SchemaManager};

pub(super) struct WebhookOverlap;

impl MigrationName for WebhookOverlap {
    fn name(&self) -> &str {
        "m0012_webhook_overlap"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for WebhookOverlap {
    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        let text = match m.get_database_backend() {
            DbBackend::Postgres => "TEXT COLLATE \"C\"",
            _ => "TEXT",
        };
        for column in [format!("former_secret {text}"), "former_until BIGINT".to_owned()] {
            let step = format!("ALTER TABLE webhook ADD COLUMN {column}");
            m.get_connection().execute_unprepared(&step).await?;
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration("the overlap of secrets cannot be taken back; restore the backup".to_owned()))
    }
}
