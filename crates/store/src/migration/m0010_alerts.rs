//! Alerts with their tickets, rules about them, and the log of what went on.

use super::m0009_row_security::hold;
use super::tables::Column::{Number, OptionalNumber, OptionalText, Text};
use super::tables::{create, index};
use sea_orm_migration::prelude::{DbErr, MigrationName, MigrationTrait, SchemaManager};

pub(super) struct Alerts;

impl MigrationName for Alerts {
    fn name(&self) -> &str {
        "m0010_alerts"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Alerts {
    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        let alert = [
            Text("org"),
            Text("id"),
            Text("kind"),
            Text("state"),
            OptionalText("customer"),
            Number("settled"),
            OptionalNumber("made_at"),
            Number("last_at"),
            Text("doc"),
        ];
        create(m, "alert", 2, &alert).await?;
        index(m, "alert", &["org", "settled"]).await?;
        index(m, "alert", &["org", "last_at"]).await?;
        let rule = [Text("org"), Text("kind"), Text("severity"), Text("doc")];
        create(m, "alert_rule", 3, &rule).await?;
        let seen = [Text("org"), Text("source"), Text("id"), Number("version")];
        create(m, "alert_seen", 3, &seen).await?;
        let activity = [
            Text("org"),
            Number("seq"),
            Number("at"),
            Text("kind"),
            OptionalText("alert"),
            OptionalText("customer"),
            Text("doc"),
        ];
        create(m, "activity", 2, &activity).await?;
        index(m, "activity", &["org", "alert"]).await?;
        hold(m).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration("alerts cannot be taken back; restore the backup".to_owned()))
    }
}
