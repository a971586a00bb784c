//! The local picture of ConnectWise in parts, so that a pull replaces what it has read and leaves the rest.

use super::tables::Column::{Number, OptionalNumber, Text};
use super::tables::create;
use sea_orm_migration::prelude::{Alias, DbErr, MigrationName, MigrationTrait, SchemaManager, Table};

pub(super) struct Picture;

impl MigrationName for Picture {
    fn name(&self) -> &str {
        "m0002_picture"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Picture {
    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        // It held a copy of what ConnectWise holds, which the next pull makes again.
        m.drop_table(Table::drop().table(Alias::new("snapshot")).take()).await?;
        create(
            m,
            "picture",
            2,
            &[Text("org"), Text("connection"), Number("at"), OptionalNumber("watermark"), Number("runs")],
        )
        .await?;
        create(
            m,
            "picture_part",
            4,
            &[Text("org"), Text("connection"), Text("kind"), Number("id"), Number("read_at"), Text("doc")],
        )
        .await?;
        create(
            m,
            "picture_stage",
            5,
            &[
                Text("org"),
                Text("connection"),
                Text("pull"),
                Text("kind"),
                Number("id"),
                Number("read_at"),
                Text("doc"),
            ],
        )
        .await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration("an older version cannot read the picture in parts".to_owned()))
    }
}
