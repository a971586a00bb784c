//! The first tables.

use super::tables::Column::{Number, OptionalNumber, OptionalText, Text};
use super::tables::{create, index};
use sea_orm::{ConnectionTrait, DbBackend};
use sea_orm_migration::prelude::{DbErr, MigrationName, MigrationTrait, SchemaManager};

pub(super) struct First;

impl MigrationName for First {
    fn name(&self) -> &str {
        "m0001_first"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for First {
    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        tenancy(m).await?;
        feed(m).await?;
        work(m).await?;
        journal(m).await?;
        audit(m).await
    }

    // Whole or not at all, on SQLite too.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration("there is nothing before the first tables".to_owned()))
    }
}

async fn tenancy(m: &SchemaManager<'_>) -> Result<(), DbErr> {
    create(m, "organization", 1, &[Text("id"), Text("name"), Text("kind"), OptionalText("parent")]).await?;
    create(m, "setting", 2, &[Text("org"), Text("key"), Text("value")]).await?;
    create(
        m,
        "connection",
        2,
        &[
            Text("org"),
            Text("name"),
            Text("url"),
            Text("company"),
            Text("public_key"),
            Text("sealed_private_key"),
            Text("client_id"),
            Number("created_at"),
        ],
    )
    .await?;
    create(m, "guard", 2, &[Text("org"), Text("name")]).await?;
    create(m, "mark", 2, &[Text("org"), Text("name"), Text("value")]).await
}

async fn feed(m: &SchemaManager<'_>) -> Result<(), DbErr> {
    let record = [
        Text("org"),
        Text("source"),
        Text("kind"),
        Text("id"),
        Number("version"),
        Text("hash"),
        Number("received_at"),
        Text("doc"),
    ];
    create(m, "record", 4, &record).await?;
    create(m, "record_history", 5, &record).await?;
    let mapping = [
        Text("org"),
        Text("kind"),
        Text("source"),
        Text("source_id"),
        Text("scope"),
        Number("version"),
        Number("saved_at"),
        OptionalNumber("ended_at"),
        Text("doc"),
    ];
    create(m, "mapping", 5, &mapping).await?;
    create(m, "mapping_history", 6, &mapping).await?;
    create(m, "snapshot", 2, &[Text("org"), Text("connection"), Number("at"), Text("doc")]).await
}

async fn work(m: &SchemaManager<'_>) -> Result<(), DbErr> {
    create(
        m,
        "task",
        2,
        &[
            Text("org"),
            Text("id"),
            Text("source"),
            Text("state"),
            Text("customer"),
            Text("subscription"),
            Number("completed_us"),
            Number("saved_at"),
            Text("doc"),
        ],
    )
    .await?;
    index(m, "task", &["org", "state"]).await?;
    index(m, "task", &["org", "subscription", "completed_us"]).await?;
    create(
        m,
        "plan",
        2,
        &[
            Text("org"),
            Text("id"),
            Text("connection"),
            Number("created_at"),
            Text("actor"),
            Text("state"),
            Text("doc"),
        ],
    )
    .await?;
    index(m, "plan", &["org", "created_at"]).await?;
    create(m, "plan_task", 3, &[Text("org"), Text("task"), Text("plan"), Number("created_at")]).await?;
    create(
        m,
        "finding",
        2,
        &[
            Text("org"),
            Text("id"),
            Text("scope"),
            Text("code"),
            Number("severity"),
            OptionalText("task"),
            Text("state"),
            Number("count"),
            Number("first_seen_at"),
            Number("last_seen_at"),
            OptionalText("muted_until"),
            OptionalText("reason"),
            OptionalText("decided_by"),
            Text("doc"),
        ],
    )
    .await?;
    index(m, "finding", &["org", "scope", "state"]).await
}

async fn journal(m: &SchemaManager<'_>) -> Result<(), DbErr> {
    create(
        m,
        "lease",
        2,
        &[Text("org"), Text("lane"), Text("owner"), Number("fencing"), Number("expires_at")],
    )
    .await?;
    create(
        m,
        "operation",
        3,
        &[
            Text("org"),
            Text("plan"),
            Text("change"),
            Number("position"),
            Text("key"),
            Number("agreement"),
            Text("state"),
            Number("updated_at"),
            Text("doc"),
        ],
    )
    .await?;
    index(m, "operation", &["org", "key"]).await?;
    index(m, "operation", &["org", "state"]).await?;
    // The last word on "never twice": one live write a key, whatever the code above does.
    m.get_connection()
        .execute_unprepared(
            "CREATE UNIQUE INDEX operation_live_key ON operation (org, key) \
             WHERE state IN ('sending', 'in_doubt', 'done')",
        )
        .await?;
    create(
        m,
        "link",
        2,
        &[
            Text("org"),
            Number("addition"),
            Number("agreement"),
            Text("source"),
            Text("subscription"),
            Text("doc"),
        ],
    )
    .await
}

async fn audit(m: &SchemaManager<'_>) -> Result<(), DbErr> {
    create(
        m,
        "audit",
        2,
        &[
            Text("org"),
            Number("number"),
            Number("at"),
            Text("actor"),
            Text("action"),
            Text("object"),
            OptionalNumber("addition"),
            Text("detail"),
            Text("previous_hash"),
            Text("hash"),
        ],
    )
    .await?;
    index(m, "audit", &["org", "addition", "number"]).await?;
    create(m, "audit_head", 1, &[Text("org"), Number("number"), Text("hash")]).await?;
    let statements: &[&str] = match m.get_database_backend() {
        DbBackend::Sqlite => &[
            "CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit \
             BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END",
            "CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit \
             BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END",
        ],
        _ => &[
            "CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN RAISE EXCEPTION 'the audit is append-only'; END $$",
            "CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE ON audit \
             FOR EACH ROW EXECUTE FUNCTION audit_refuse()",
            "CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit \
             FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()",
        ],
    };
    for sql in statements {
        m.get_connection().execute_unprepared(sql).await?;
    }
    Ok(())
}
