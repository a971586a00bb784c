//! What the list of tasks is filtered by, in columns and in one index.

use sea_orm::{ConnectionTrait, DbBackend};
use sea_orm_migration::prelude::{DbErr, MigrationName, MigrationTrait, SchemaManager};

pub(super) struct TaskList;

impl MigrationName for TaskList {
    fn name(&self) -> &str {
        "m0011_task_list"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for TaskList {
    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        let postgres = m.get_database_backend() == DbBackend::Postgres;
        let (text, newline) = if postgres { ("TEXT COLLATE \"C\"", "chr(10)") } else { ("TEXT", "char(10)") };
        let field = |name: &str| match postgres {
            true => format!("(CAST(doc AS json) ->> '{name}')"),
            false => format!("json_extract(doc, '$.{name}')"),
        };
        let (kind, order) = (field("kind"), field("order_id"));
        let steps = [
            format!("ALTER TABLE task ADD COLUMN kind {text} NOT NULL DEFAULT ''"),
            format!("ALTER TABLE task ADD COLUMN search {text} NOT NULL DEFAULT ''"),
            format!(
                "UPDATE task SET kind = COALESCE({kind}, ''), search = LOWER(id || {newline} || customer || {newline} \
                 || subscription || {newline} || COALESCE({order}, ''))"
            ),
            // SQLite answers every filter and order from the index alone and reads the documents of one page. On
            // PostgreSQL, whose index entries have a limit below the length of four ids, the rows themselves are read.
            match postgres {
                true => "CREATE INDEX task_list ON task (org, completed_us, id)".to_owned(),
                false => {
                    "CREATE INDEX task_list ON task (org, completed_us, id, state, kind, source, customer, \
                          subscription, saved_at, search)"
                        .to_owned()
                }
            },
        ];
        for step in steps {
            m.get_connection().execute_unprepared(&step).await?;
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration("the list of tasks cannot be taken back; restore the backup".to_owned()))
    }
}
