//! What the service needs beside the work itself: people, their sessions and tokens, runs, answers kept for repeats.

use super::tables::Column::{Number, OptionalNumber, OptionalText, Text};
use super::tables::{create, index};
use sea_orm::ConnectionTrait;
use sea_orm_migration::prelude::{DbErr, MigrationName, MigrationTrait, SchemaManager};

pub(super) struct Service;

impl MigrationName for Service {
    fn name(&self) -> &str {
        "m0003_service"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Service {
    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        people(m).await?;
        runs(m).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration("people and runs cannot be taken back; restore the backup".to_owned()))
    }
}

async fn people(m: &SchemaManager<'_>) -> Result<(), DbErr> {
    // An operator belongs to no single organization, so that the organization cannot be part of the key.
    let person = [
        Text("id"),
        OptionalText("org"),
        Text("email"),
        Text("name"),
        Text("role"),
        Text("password_hash"),
        Number("must_change"),
        Number("disabled"),
        Number("created_at"),
    ];
    create(m, "person", 1, &person).await?;
    m.get_connection().execute_unprepared("CREATE UNIQUE INDEX person_email ON person (email)").await?;
    let session = [
        Text("hash"),
        Text("person"),
        Text("csrf"),
        Number("created_at"),
        Number("seen_at"),
        Number("expires_at"),
    ];
    create(m, "session", 1, &session).await?;
    index(m, "session", &["person", "expires_at"]).await?;
    let token = [
        Text("org"),
        Text("id"),
        Text("name"),
        Text("prefix"),
        Text("hash"),
        Text("rights"),
        Text("created_by"),
        Number("created_at"),
        OptionalNumber("expires_at"),
        OptionalNumber("last_used_at"),
        OptionalNumber("revoked_at"),
    ];
    create(m, "api_token", 2, &token).await?;
    m.get_connection().execute_unprepared("CREATE UNIQUE INDEX api_token_hash ON api_token (hash)").await?;
    Ok(())
}

async fn runs(m: &SchemaManager<'_>) -> Result<(), DbErr> {
    let run = [
        Text("org"),
        Text("id"),
        Text("kind"),
        Text("state"),
        Text("actor"),
        Text("request"),
        Number("attempts"),
        OptionalText("owner"),
        OptionalNumber("lease_until"),
        Number("created_at"),
        OptionalNumber("started_at"),
        OptionalNumber("finished_at"),
        Number("done"),
        Number("total"),
        OptionalText("result"),
    ];
    create(m, "run", 2, &run).await?;
    index(m, "run", &["org", "created_at"]).await?;
    m.get_connection().execute_unprepared("CREATE INDEX run_waiting ON run (state, created_at)").await?;
    let answer = [
        Text("org"),
        Text("caller"),
        Text("key"),
        Text("fingerprint"),
        Text("state"),
        Number("created_at"),
        Number("status"),
        Text("answer"),
    ];
    create(m, "kept_answer", 3, &answer).await
}
