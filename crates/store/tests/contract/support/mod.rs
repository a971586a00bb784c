//! Stores to run the contract suite on: SQLite in a fresh directory, PostgreSQL in a fresh database.

pub mod postgres;
pub mod rows;

use std::path::{Path, PathBuf};
use tempfile::TempDir;
use trueup_store::{SqlStore, StoreConfig};

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    Sqlite,
    Postgres,
}

/// An open store and what it stands on.
pub struct Fixture {
    pub store: SqlStore,
    pub backend: Backend,
    url: Option<String>,
    /// For a role that no policy holds back.
    above: Option<String>,
    // The store's directory goes after the store, the server after everything.
    dir: TempDir,
    _server: Option<std::sync::Arc<postgres::Server>>,
}

impl Fixture {
    /// None (and a word about it) where there is no PostgreSQL.
    pub async fn new(backend: Backend) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let (url, above, server) = match backend {
            Backend::Sqlite => (None, None, None),
            Backend::Postgres => {
                let Some(server) = postgres::Server::shared().await else {
                    println!("skipped: no PostgreSQL");
                    return None;
                };
                let (url, above) = server.new_database().await;
                (Some(url), Some(above), Some(server))
            }
        };
        let config = StoreConfig { data_dir: dir.path().to_owned(), database_url: url.clone() };
        let store = SqlStore::open(config).await.unwrap();
        Some(Self { store, backend, url, above, dir, _server: server })
    }

    pub fn data_dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn database_file(&self) -> PathBuf {
        self.dir.path().join("trueup.db")
    }

    pub fn config(&self) -> StoreConfig {
        StoreConfig { data_dir: self.dir.path().to_owned(), database_url: self.url.clone() }
    }

    /// Opens the same database anew.
    pub async fn reopened(self) -> Self {
        let config = self.config();
        let Self { store, backend, url, above, dir, _server } = self;
        store.close().await.unwrap();
        Self { store: SqlStore::open(config).await.unwrap(), backend, url, above, dir, _server }
    }

    /// The rows that a query gives to a session of trueup's own role that says it is about `scope`; one that says nothing
    /// where there is none. PostgreSQL alone.
    pub async fn rows_seen(&self, scope: Option<&str>, sql: &str) -> Result<usize, sqlx::Error> {
        use sqlx::{AssertSqlSafe, Connection, Executor};
        let mut db = sqlx::PgConnection::connect(self.url.as_deref().unwrap()).await?;
        if let Some(scope) = scope {
            sqlx::query("SELECT set_config('trueup.scope', $1, false)").bind(scope).execute(&mut db).await?;
        }
        let rows = db.fetch_all(AssertSqlSafe(sql.to_owned())).await?.len();
        db.close().await?;
        Ok(rows)
    }

    /// Runs SQL behind the store's back.
    pub async fn raw(&self, sql: &str) -> Result<(), sqlx::Error> {
        use sqlx::{AssertSqlSafe, Connection, Executor};
        match &self.above {
            Some(url) => {
                let mut db = sqlx::PgConnection::connect(url).await?;
                db.execute(AssertSqlSafe(sql.to_owned())).await?;
                db.close().await
            }
            None => {
                let options = sqlx::sqlite::SqliteConnectOptions::new().filename(self.database_file());
                let mut db = sqlx::SqliteConnection::connect_with(&options).await?;
                db.execute(AssertSqlSafe(sql.to_owned())).await?;
                db.close().await
            }
        }
    }
}
