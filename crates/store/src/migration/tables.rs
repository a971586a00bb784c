//! A short notation for tables whose keys begin with the organization.

use sea_orm_migration::prelude::{
    Alias, ColumnDef, DbErr, Index, IndexCreateStatement, SchemaManager, Table,
};

/// A column's name and what it holds.
#[derive(Clone, Copy)]
pub(super) enum Column {
    /// Text, compared byte by byte on both databases.
    Text(&'static str),
    /// Text or nothing.
    OptionalText(&'static str),
    /// A whole number of 64 bits.
    Number(&'static str),
    /// A whole number or nothing.
    OptionalNumber(&'static str),
}

impl Column {
    fn definition(self, postgres: bool) -> ColumnDef {
        let (name, text, optional) = match self {
            Self::Text(name) => (name, true, false),
            Self::OptionalText(name) => (name, true, true),
            Self::Number(name) => (name, false, false),
            Self::OptionalNumber(name) => (name, false, true),
        };
        let mut column = ColumnDef::new(Alias::new(name));
        if text {
            column.text();
            if postgres {
                // Otherwise the order of lists would depend on the server's language.
                column.extra("COLLATE \"C\"");
            }
        } else {
            column.big_integer();
        }
        if !optional {
            column.not_null();
        }
        column
    }
}

/// Makes a table with the first `key` columns as its primary key.
pub(super) async fn create(
    manager: &SchemaManager<'_>,
    name: &str,
    key: usize,
    columns: &[Column],
) -> Result<(), DbErr> {
    let postgres = manager.get_database_backend() == sea_orm::DbBackend::Postgres;
    let mut table = Table::create();
    table.table(Alias::new(name));
    let mut primary = Index::create();
    for (at, column) in columns.iter().enumerate() {
        let mut definition = column.definition(postgres);
        if at < key {
            primary.col(Alias::new(definition.get_column_name()));
        }
        table.col(&mut definition);
    }
    table.primary_key(&mut primary);
    manager.create_table(table).await
}

/// Makes an index named after its table and first columns.
pub(super) async fn index(manager: &SchemaManager<'_>, table: &str, columns: &[&str]) -> Result<(), DbErr> {
    let mut index: IndexCreateStatement = Index::create();
    index.name(format!("{table}_by_{}", columns.iter().skip(1).copied().collect::<Vec<_>>().join("_")));
    index.table(Alias::new(table));
    for column in columns {
        index.col(Alias::new(*column));
    }
    manager.create_index(index).await
}
