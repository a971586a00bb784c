//! What is known of the limits that several processes share.

use super::tables::Column::Text;
use super::tables::create;
use sea_orm_migration::prelude::{DbErr, MigrationName, MigrationTrait, SchemaManager};

pub(super) struct CallBudget;

impl MigrationName for CallBudget {
    fn name(&self) -> &str {
        "m0008_call_budget"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for CallBudget {
    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        // No organization comes first: connections of several may lead to one place with one limit.
        create(m, "call_budget", 1, &[Text("id"), Text("doc")]).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration("the shared limits cannot be taken back; restore the backup".to_owned()))
    }
}
