//! Opening the store: the data directory, its lock, the database, the migrations.

use crate::group::Waiting;
use crate::room::Room;
use crate::seal::KeyFile;
use crate::{backup, db, error, lock, migration, scope};
use sea_orm::{ConnectOptions, Database, DatabaseConnection, DbBackend};
use sqlx::sqlite::{SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use trueup_engine::ports::StoreError;

/// Where the store lives.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// Holds `trueup.db` (unless PostgreSQL is used), the key file and the lock file; made where it is missing.
    pub data_dir: PathBuf,
    /// `postgres://…`; none for SQLite in the data directory.
    pub database_url: Option<String>,
}

impl std::fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The address may carry a password.
        f.debug_struct("StoreConfig")
            .field("data_dir", &self.data_dir)
            .field("database_url", &self.database_url.as_ref().map(|_| "[hidden]"))
            .finish()
    }
}

/// The store on SQLite or PostgreSQL.
///
/// On SQLite it holds the data directory until it is closed or dropped.
pub struct SqlStore {
    pub(crate) db: DatabaseConnection,
    pub(crate) keys: KeyFile,
    /// The queue of SQLite's writers; none on PostgreSQL.
    pub(crate) writers: Option<Arc<Mutex<()>>>,
    /// Steps of the journal that wait for one of those writers to take them along.
    pub(crate) waiting: Waiting,
    /// The room beside the embedded database; none on PostgreSQL.
    pub(crate) room: Option<Room>,
    /// The lock on the data directory, given back when the store is closed, or dropped: then after the pool, which is a
    /// field above it.
    held: std::sync::Mutex<Option<File>>,
}

impl std::fmt::Debug for SqlStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqlStore").field("backend", &self.db.get_database_backend()).finish_non_exhaustive()
    }
}

impl SqlStore {
    /// Opens the store and brings its tables up to this version.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process holds the data directory, [`StoreError::WrongVersion`] when a later
    /// version wrote the database or a migration stopped, [`StoreError::NotWritable`], [`StoreError::OutOfReach`].
    pub async fn open(config: StoreConfig) -> Result<Self, StoreError> {
        make_data_dir(&config.data_dir)?;
        let (options, lock) = match &config.database_url {
            Some(url) => (postgres_options(url)?, None),
            None => {
                let lock = lock::hold(&config.data_dir)?;
                let path = config.data_dir.join("trueup.db");
                refuse_emptied(&path, &config.data_dir)?;
                make_private(&path)?;
                (sqlite_options(path), Some(lock))
            }
        };
        let db = Database::connect(options).await.map_err(error::of_db)?;
        if lock.is_some() {
            back_up_before_migration(&db, &config.data_dir).await?;
        }
        migration::migrate(&db).await?;
        if lock.is_some() {
            // Nobody else can be alive who holds an agreement. Where that cannot be written, the leases run out.
            let sql = "UPDATE lease SET owner = '', expires_at = 0 WHERE owner <> ''";
            let _ = db::run(&db, sql, []).await;
        }
        let writers = lock.is_some().then(Arc::default);
        let room = lock.is_some().then(|| Room::in_dir(&config.data_dir));
        Ok(Self {
            db,
            keys: KeyFile::in_dir(&config.data_dir),
            writers,
            waiting: Waiting::default(),
            room,
            held: std::sync::Mutex::new(lock),
        })
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`StoreError::OutOfReach`] when it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.db.ping().await.map_err(error::of_db)
    }

    /// Closes the connections. On SQLite the write-ahead log is folded into the database file by it, so that a copy of
    /// that one file is whole, and the data directory is given back. The store cannot be used any more.
    ///
    /// # Errors
    /// Whatever the last writes ran into.
    pub async fn close(&self) -> Result<(), StoreError> {
        let closed = self.db.close_by_ref().await.map_err(error::of_db);
        drop(self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take());
        closed
    }

    /// Copies the database into a new file, consistent as of one instant, while the store is in use. SQLite alone:
    /// PostgreSQL has its own tools.
    ///
    /// # Errors
    /// [`StoreError::NotWritable`] when the file is there already or cannot be written.
    pub async fn back_up(&self, target: &Path) -> Result<(), StoreError> {
        if self.db.get_database_backend() != DbBackend::Sqlite {
            return Err(StoreError::NotWritable("PostgreSQL is backed up with pg_dump".to_owned()));
        }
        if target.exists() {
            return Err(StoreError::NotWritable(format!("{} is there already", target.display())));
        }
        let path = target.to_string_lossy().into_owned();
        db::run(&self.db, "VACUUM INTO $1", [path.into()]).await?;
        Ok(())
    }
}

pub(crate) fn make_data_dir(dir: &Path) -> Result<(), StoreError> {
    if dir.exists() && !dir.is_dir() {
        return Err(StoreError::NotWritable(format!(
            "{} is a file, and a directory is needed",
            dir.display()
        )));
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(|e| error::of_io(&dir.display().to_string(), &e))
}

/// A key is made only after the tables are: an empty database file beside a key was a full one, and a new database in
/// its place would pass for one in which nothing was ever sold.
fn refuse_emptied(path: &Path, dir: &Path) -> Result<(), StoreError> {
    let empty = std::fs::metadata(path).is_ok_and(|about| about.is_file() && about.len() == 0);
    if empty && KeyFile::in_dir(dir).exists() {
        return Err(StoreError::Damaged(format!(
            "{} is empty although a key file lies beside it; take the empty file away to begin anew",
            path.display()
        )));
    }
    Ok(())
}

/// Makes the database file readable by its owner alone before SQLite makes it readable by everybody.
pub(crate) fn make_private(path: &Path) -> Result<(), StoreError> {
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop).map_err(|e| error::of_io(&path.display().to_string(), &e))
}

/// Tables that are about to change are backed up first: a migration is never taken back. PostgreSQL has its own tools,
/// and whoever upgrades it is told to use them.
#[allow(clippy::disallowed_methods, reason = "it names a file; nothing is computed from it")]
async fn back_up_before_migration(db: &DatabaseConnection, data_dir: &Path) -> Result<(), StoreError> {
    let Some((from, _)) = migration::pending(db).await? else { return Ok(()) };
    let dir = data_dir.join("backups");
    make_data_dir(&dir)?;
    let now = jiff::Timestamp::now();
    let target = dir.join(format!("{from}-{}.trueup-backup", now.strftime("%Y%m%dT%H%M%S%3fZ")));
    match backup::archive(db, data_dir, &target, now.as_millisecond()).await {
        Ok(_) => Ok(()),
        Err(backup::BackupError::Store(error)) => Err(error),
        Err(error) => Err(StoreError::NotWritable(error.to_string())),
    }
}

fn sqlite_options(path: PathBuf) -> ConnectOptions {
    let mut options = ConnectOptions::new("sqlite::memory:");
    // The path goes in as a path: in an address `?` and `#` in a directory's name would have a meaning.
    options
        .map_sqlx_sqlite_opts(move |sqlite| {
            sqlite
                .filename(&path)
                .in_memory(false)
                .shared_cache(false)
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                // An intent must survive a power cut once its transaction is committed.
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(Duration::from_secs(30))
                .pragma("cache_size", "-16384")
                .pragma("wal_autocheckpoint", "8000")
                .pragma("journal_size_limit", "67108864")
        })
        .map_sqlx_sqlite_pool_opts(|pool| {
            pool.after_release(|conn, _| Box::pin(async { Ok(is_idle(conn).await) }))
        })
        .max_connections(8)
        // Two connections that open a new file at once would both switch it to the write-ahead log, and one of them
        // would fail as locked: the first is made when it is needed, and the others find the switch done.
        .min_connections(0)
        .idle_timeout(None::<Duration>)
        .max_lifetime(None::<Duration>)
        .acquire_timeout(Duration::from_secs(60))
        .sqlx_logging(false);
    options
}

/// Whether a connection that comes back is in no transaction. After a statement that met a full disk SQLite may have
/// ended the transaction itself, or the driver may take one for ended that still holds the write lock: every writer
/// after it would wait for ever. Such a connection is closed, which gives the lock back.
async fn is_idle(conn: &mut SqliteConnection) -> bool {
    let was_open = sqlx::query("ROLLBACK").execute(&mut *conn).await.is_ok();
    !was_open && !sqlx::Connection::is_in_transaction(conn)
}

/// A process that sleeps in the middle of a transaction (its machine was paused, or is cut off) would keep what it locked
/// from everybody: the server takes it back.
const NO_SLEEP: &str = "SET idle_in_transaction_session_timeout = 15000";

fn postgres_options(url: &str) -> Result<ConnectOptions, StoreError> {
    if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
        return Err(StoreError::OutOfReach(
            "the database address must begin with postgres://; leave it out for SQLite in the data directory"
                .to_owned(),
        ));
    }
    let mut options = ConnectOptions::new(url);
    options
        .map_sqlx_postgres_pool_opts(|pool| {
            pool.after_connect(|conn, _| {
                Box::pin(async move {
                    sqlx::query(NO_SLEEP).execute(&mut *conn).await?;
                    scope::tell(conn).await
                })
            })
            .before_acquire(|conn, _| Box::pin(async move { scope::tell(conn).await.map(|()| true) }))
        })
        .max_connections(16)
        .acquire_timeout(Duration::from_secs(10))
        .connect_timeout(Duration::from_secs(10))
        .set_application_name("trueup")
        .sqlx_logging(false);
    Ok(options)
}

#[cfg(test)]
mod tests;
