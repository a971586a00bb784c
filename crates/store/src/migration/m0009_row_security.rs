//! PostgreSQL keeps organizations apart by itself: rows of those that the session is not about do not exist for it.

use sea_orm::{ConnectionTrait, DbBackend};
use sea_orm_migration::prelude::{DbErr, MigrationName, MigrationTrait, SchemaManager};

pub(super) struct RowSecurity;

/// `*` alone is everybody. A session that never said whom it is about sees nothing. Forced, since the tables belong to the
/// role that trueup signs in with. `guard` holds names of locks and nothing else.
const POLICIES: &str = "
DO $$
DECLARE
  held text;
  rule text := '(SELECT current_setting(''trueup.scope'', true)) = ''*'' OR org = ANY '
    || '(string_to_array((SELECT current_setting(''trueup.scope'', true)), '',''))';
BEGIN
  FOR held IN
    SELECT c.table_name FROM information_schema.columns c
    WHERE c.table_schema = current_schema() AND c.column_name = 'org' AND c.ordinal_position = 1
      AND c.table_name <> 'guard'
      AND NOT EXISTS (SELECT 1 FROM pg_policies p
        WHERE p.schemaname = current_schema() AND p.tablename = c.table_name AND p.policyname = 'trueup_scope')
  LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', held);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', held);
    EXECUTE format('CREATE POLICY trueup_scope ON %I USING (%s) WITH CHECK (%s)', held, rule, rule);
  END LOOP;
END
$$";

impl MigrationName for RowSecurity {
    fn name(&self) -> &str {
        "m0009_row_security"
    }
}

/// Holds every table of an organization that is not held yet: a later migration that makes one ends with this.
pub(super) async fn hold(m: &SchemaManager<'_>) -> Result<(), DbErr> {
    if m.get_database_backend() == DbBackend::Postgres {
        m.get_connection().execute_unprepared(POLICIES).await?;
    }
    Ok(())
}

#[async_trait::async_trait]
impl MigrationTrait for RowSecurity {
    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        hold(m).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration("the policies cannot be taken back; restore the backup".to_owned()))
    }
}
