//! Questions to people and their answers; indexes of what is looked up at every claim, fire and callback.

use super::tables::Column::{Number, OptionalNumber, OptionalText, Text};
use super::tables::{create, index};
use sea_orm::ConnectionTrait;
use sea_orm_migration::prelude::{DbErr, MigrationName, MigrationTrait, SchemaManager};

pub(super) struct Approvals;

impl MigrationName for Approvals {
    fn name(&self) -> &str {
        "m0005_approvals"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Approvals {
    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        let approval = [
            Text("org"),
            Text("id"),
            Text("plan"),
            Text("connection"),
            Number("persons"),
            Text("reasons"),
            Text("maker"),
            Number("asked_at"),
            Text("state"),
            OptionalNumber("closed_at"),
        ];
        create(m, "approval", 2, &approval).await?;
        index(m, "approval", &["org", "asked_at"]).await?;
        let word = [
            Text("org"),
            Text("approval"),
            Number("number"),
            Text("person"),
            Text("actor"),
            Number("approves"),
            OptionalText("reason"),
            Number("at"),
        ];
        create(m, "approval_word", 3, &word).await?;
        // Whoever claims a run looks for the agreements that its former worker holds.
        m.get_connection().execute_unprepared("CREATE INDEX lease_of ON lease (org, owner)").await?;
        if m.get_database_backend() == sea_orm::DbBackend::Postgres {
            // Fires are looked for by ranges, which hold byte by byte alone.
            let sql = "ALTER TABLE run ALTER COLUMN fired_for TYPE TEXT COLLATE \"C\"";
            m.get_connection().execute_unprepared(sql).await?;
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration("approvals cannot be taken back; restore the backup".to_owned()))
    }
}
