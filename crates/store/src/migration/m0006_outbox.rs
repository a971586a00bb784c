//! What is told to others: events, where they are told, each delivery with its attempts.

use super::tables::Column::{Number, OptionalNumber, OptionalText, Text};
use super::tables::{create, index};
use sea_orm::ConnectionTrait;
use sea_orm_migration::prelude::{DbErr, MigrationName, MigrationTrait, SchemaManager};

pub(super) struct Outbox;

impl MigrationName for Outbox {
    fn name(&self) -> &str {
        "m0006_outbox"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Outbox {
    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        let webhook = [
            Text("org"),
            Text("id"),
            Text("name"),
            Text("url"),
            Text("events"),
            Number("below"),
            Text("sealed_secret"),
            Text("created_by"),
            Number("created_at"),
            OptionalNumber("failing_since"),
            OptionalNumber("succeeded_at"),
            OptionalNumber("disabled_at"),
            OptionalText("disabled_why"),
        ];
        create(m, "webhook", 2, &webhook).await?;
        // `mail` says what is still to be told by mail about it.
        let event = [Text("org"), Text("id"), Text("kind"), Number("at"), Text("mail"), Text("body")];
        create(m, "event", 2, &event).await?;
        m.get_connection().execute_unprepared("CREATE INDEX event_by_mail ON event (mail, org)").await?;
        // An event is told in other organizations than its own as well: those above it.
        let delivery = [
            Text("org"),
            Text("id"),
            Text("channel"),
            Text("target"),
            Text("kind"),
            Text("event_org"),
            Text("event"),
            Text("state"),
            Number("tries"),
            Number("created_at"),
            Number("next_at"),
            OptionalText("owner"),
            Number("lease_until"),
            OptionalNumber("ended_at"),
        ];
        create(m, "delivery", 2, &delivery).await?;
        index(m, "delivery", &["org", "target", "id"]).await?;
        m.get_connection()
            .execute_unprepared("CREATE INDEX delivery_due ON delivery (channel, state, next_at)")
            .await?;
        m.get_connection()
            .execute_unprepared("CREATE INDEX delivery_of_event ON delivery (event_org, event)")
            .await?;
        let attempt = [
            Text("org"),
            Text("delivery"),
            Number("number"),
            Number("at"),
            Number("took_ms"),
            OptionalNumber("status"),
            OptionalText("answer"),
            OptionalText("error"),
        ];
        create(m, "delivery_attempt", 3, &attempt).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration("webhooks cannot be taken back; restore the backup".to_owned()))
    }
}
