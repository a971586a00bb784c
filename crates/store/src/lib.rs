//! The only SQL: entities, migrations, one file a noun; SQLite and PostgreSQL.
