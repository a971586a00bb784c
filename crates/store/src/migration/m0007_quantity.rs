//! What people set about quantities of what is only counted, and the lines as runs saw them.

use super::tables::Column::{Number, Text};
use super::tables::create;
use sea_orm_migration::prelude::{DbErr, MigrationName, MigrationTrait, SchemaManager};

pub(super) struct Quantity;

impl MigrationName for Quantity {
    fn name(&self) -> &str {
        "m0007_quantity"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Quantity {
    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        let entry = [Text("org"), Text("source"), Text("kind"), Text("id"), Text("scope"), Text("doc")];
        create(m, "quantity_entry", 5, &entry).await?;
        let line = [Text("org"), Number("agreement"), Number("item"), Text("doc")];
        create(m, "quantity_line", 3, &line).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration("quantities cannot be taken back; restore the backup".to_owned()))
    }
}
