//! Schedules, the turns of organizations at the workers, and callbacks of ConnectWise.

use super::tables::Column::{Number, OptionalNumber, OptionalText, Text};
use super::tables::create;
use sea_orm::ConnectionTrait;
use sea_orm_migration::prelude::{DbErr, MigrationName, MigrationTrait, SchemaManager};

pub(super) struct Schedules;

impl MigrationName for Schedules {
    fn name(&self) -> &str {
        "m0004_schedules"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Schedules {
    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        let schedule = [
            Text("org"),
            Text("kind"),
            Text("spec"),
            OptionalNumber("next_at"),
            OptionalNumber("paused_at"),
            OptionalText("paused_by"),
            OptionalNumber("last_fire"),
            OptionalText("last_run"),
            OptionalNumber("missed_at"),
        ];
        create(m, "schedule", 2, &schedule).await?;
        // Whose turn was how long ago: a counter, because clocks of workers differ.
        create(m, "run_turn", 1, &[Text("org"), Number("turn")]).await?;
        create(
            m,
            "callback",
            2,
            &[Text("org"), Text("connection"), Text("hash"), Text("created_by"), Number("created_at")],
        )
        .await?;
        // `pull`: the pull that began after the hint came, and will have read what it is about.
        let hint = [Text("org"), Text("connection"), Number("id"), Number("at"), OptionalText("pull")];
        create(m, "picture_hint", 3, &hint).await?;
        let db = m.get_connection();
        for sql in [
            "CREATE INDEX schedule_due ON schedule (next_at)",
            "CREATE INDEX run_turn_order ON run_turn (turn)",
            "CREATE UNIQUE INDEX callback_hash ON callback (hash)",
            "ALTER TABLE run ADD COLUMN not_before BIGINT NOT NULL DEFAULT 0",
            "ALTER TABLE run ADD COLUMN put_back BIGINT NOT NULL DEFAULT 0",
            "ALTER TABLE run ADD COLUMN fired_for TEXT",
            "ALTER TABLE picture ADD COLUMN shared_at BIGINT",
            // Rows without one do not collide, on either database.
            "CREATE UNIQUE INDEX run_fired_for ON run (org, fired_for)",
        ] {
            db.execute_unprepared(sql).await?;
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration("schedules cannot be taken back; restore the backup".to_owned()))
    }
}
