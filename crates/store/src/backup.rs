//! Backups of an SQLite database: one archive that says what it is and whether it is whole.
//!
//! An archive is three lines (what it is, a header in JSON, the header's hash) and then the database. The key that
//! opens sealed secrets is **not** in it: a backup travels to places where whoever finds it must not be able to call
//! somebody's ConnectWise. The header carries the key's fingerprint, so that a restore can tell whether a key fits.

use crate::seal::KeyFile;
use crate::{db, error, migration, store};
use sea_orm::{ConnectOptions, Database, DatabaseConnection};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use trueup_engine::ports::StoreError;
use trueup_engine::records::Millis;

const MAGIC: &str = "trueup-backup 1\n";
/// A header is some hundred bytes; what is longer is none.
const LONGEST_HEADER: u64 = 16_384;
/// The database while it is restored.
const RESTORING: &str = "trueup.db.restoring";

/// What an archive says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupHeader {
    /// The version of trueup that made it.
    pub trueup: String,
    /// The last step of the tables.
    pub schema: String,
    /// When it was made.
    pub created_at: Millis,
    /// Length of the database in bytes.
    pub bytes: u64,
    /// SHA-256 of the database, in hex.
    pub sha256: String,
    /// Fingerprint of the key that its secrets are sealed with; none where there is none.
    pub key: Option<String>,
}

/// Why a backup was not made or not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The archive is not whole or is none.
    #[error("the backup {0} is damaged: {1}; nothing of it was restored")]
    Damaged(PathBuf, String),
    /// There is something in the way.
    #[error("{0} is not empty; a backup is restored into an empty directory alone")]
    NotEmpty(PathBuf),
    /// The key is another one.
    #[error(
        "{0} is not the key of this backup (its fingerprint is {1}, and {2} is needed); nothing was restored"
    )]
    OtherKey(PathBuf, String, String),
    /// The database, the disk, or the version.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What the archive says.
    pub header: BackupHeader,
    /// Whether sealed secrets can be opened: the key is there, or there are none.
    pub secrets_readable: bool,
}

/// Writes an archive of the database in a data directory, consistent as of one instant; the process that holds the
/// directory may go on working meanwhile.
///
/// # Errors
/// There is no database, the target is there already or cannot be written, or the database is damaged.
pub async fn create(data_dir: &Path, target: &Path, at: Millis) -> Result<BackupHeader, BackupError> {
    let path = data_dir.join("trueup.db");
    if !path.is_file() {
        let words = format!("there is no database in {}", data_dir.display());
        return Err(StoreError::OutOfReach(words).into());
    }
    let db = read_only(&path).await?;
    let made = archive(&db, data_dir, target, at).await;
    let _ = db.close().await;
    made
}

/// The same over an open connection.
pub(crate) async fn archive(
    db: &DatabaseConnection,
    data_dir: &Path,
    target: &Path,
    at: Millis,
) -> Result<BackupHeader, BackupError> {
    if target.exists() {
        return Err(StoreError::NotWritable(format!("{} is there already", target.display())).into());
    }
    // Both are beside the target: the copy of a large database does not fit everywhere.
    let copy = Passing::new(target, "database");
    let unfinished = Passing::new(target, "unfinished");
    store::make_private(&copy.0)?;
    db::run(db, "VACUUM INTO $1", [copy.0.to_string_lossy().into_owned().into()]).await?;
    let schema = examine(&copy.0).await?;
    let (bytes, sha256) = measure(&copy.0)?;
    let header = BackupHeader {
        trueup: env!("CARGO_PKG_VERSION").to_owned(),
        schema,
        created_at: at,
        bytes,
        sha256,
        key: KeyFile::in_dir(data_dir).find()?.map(|key| key.fingerprint()),
    };
    store::make_private(&unfinished.0)?;
    write_archive(&unfinished.0, &copy.0, &header)?;
    // Never over a file that came in between, and never half of an archive under the name of one.
    std::fs::hard_link(&unfinished.0, target)
        .or_else(|e| match e.kind() {
            ErrorKind::AlreadyExists => Err(e),
            // A file system without links.
            _ => std::fs::rename(&unfinished.0, target), // open set
        })
        .map_err(|e| error::of_io(&target.display().to_string(), &e))?;
    Ok(header)
}

/// Puts the database of an archive into an empty data directory, whole or not at all; with the key where its file is
/// given.
///
/// # Errors
/// [`BackupError::Damaged`], [`BackupError::NotEmpty`], [`BackupError::OtherKey`], a later version wrote it, or the
/// directory cannot be written.
pub async fn restore(archive: &Path, data_dir: &Path, key: Option<&Path>) -> Result<Restored, BackupError> {
    let (header, mut body) = open(archive)?;
    if !migration::knows(&header.schema) {
        return Err(StoreError::WrongVersion(format!(
            "trueup {} wrote the backup {} (its step {} is not known here); restore it with that version or a later \
             one",
            header.trueup,
            archive.display(),
            header.schema
        ))
        .into());
    }
    let key = key.map(|file| fitting(file, &header)).transpose()?;
    refuse_filled(data_dir)?;
    store::make_data_dir(data_dir)?;
    let unfinished = Passing(data_dir.join(RESTORING));
    let _ = std::fs::remove_file(&unfinished.0);
    store::make_private(&unfinished.0)?;
    let damaged = |why: &str| BackupError::Damaged(archive.to_owned(), why.to_owned());
    let mut into = writing(&unfinished.0)?;
    let (bytes, sha256) = copy(&mut body, &mut into, archive)?;
    into.sync_all().map_err(|e| error::of_io(&unfinished.0.display().to_string(), &e))?;
    if bytes != header.bytes {
        return Err(damaged(&format!("its database has {bytes} bytes instead of {}", header.bytes)));
    }
    if sha256 != header.sha256 {
        return Err(damaged("its database does not fit its hash"));
    }
    let schema = examine(&unfinished.0).await.map_err(|e| damaged(&e.to_string()))?;
    if schema != header.schema {
        return Err(damaged("its database is of another step than its header says"));
    }
    if let Some(key) = &key {
        KeyFile::in_dir(data_dir).put(key)?;
    }
    // Last of all: a directory with a database is a restored one.
    let path = data_dir.join("trueup.db");
    std::fs::rename(&unfinished.0, &path).map_err(|e| error::of_io(&path.display().to_string(), &e))?;
    Ok(Restored { secrets_readable: header.key.is_none() || key.is_some(), header })
}

/// Opens an archive as far as its database.
fn open(archive: &Path) -> Result<(BackupHeader, BufReader<File>), BackupError> {
    let io = |e: std::io::Error| match e.kind() {
        ErrorKind::InvalidData | ErrorKind::UnexpectedEof => {
            BackupError::Damaged(archive.to_owned(), "its header cannot be read".to_owned())
        }
        _ => BackupError::Store(StoreError::OutOfReach(format!("{}: {e}", archive.display()))), // open set
    };
    let damaged = |why: &str| BackupError::Damaged(archive.to_owned(), why.to_owned());
    let mut file = BufReader::with_capacity(1 << 16, File::open(archive).map_err(io)?);
    let mut line = || -> Result<String, BackupError> {
        let mut bytes = Vec::new();
        (&mut file).take(LONGEST_HEADER).read_until(b'\n', &mut bytes).map_err(io)?;
        String::from_utf8(bytes).map_err(|_| damaged("its header cannot be read"))
    };
    if line()? != MAGIC {
        return Err(damaged("it does not begin like a backup of trueup"));
    }
    let (header, hash) = (line()?, line()?);
    if hash.trim_end_matches('\n') != hex(&Sha256::digest(header.as_bytes())) || !hash.ends_with('\n') {
        return Err(damaged("its header does not fit its hash"));
    }
    let header = serde_json::from_str(&header).map_err(|_| damaged("its header cannot be read"))?;
    Ok((header, file))
}

fn write_archive(target: &Path, database: &Path, header: &BackupHeader) -> Result<(), BackupError> {
    let mut file = writing(target)?;
    let io = |e: std::io::Error| error::of_io(&target.display().to_string(), &e);
    let mut line = db::to_doc("the header of a backup", header)?;
    line.push('\n');
    let hash = hex(&Sha256::digest(line.as_bytes()));
    file.write_all(format!("{MAGIC}{line}{hash}\n").as_bytes()).map_err(io)?;
    let mut from = File::open(database).map_err(io)?;
    std::io::copy(&mut from, &mut file).map_err(io)?;
    Ok(file.sync_all().map_err(io)?)
}

/// Refuses a directory that holds anything but what an interrupted restore left.
fn refuse_filled(dir: &Path) -> Result<(), BackupError> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(error::of_io(&dir.display().to_string(), &e).into()),
    };
    for entry in entries {
        let entry = entry.map_err(|e| error::of_io(&dir.display().to_string(), &e))?;
        if entry.file_name() != RESTORING {
            return Err(BackupError::NotEmpty(dir.to_owned()));
        }
    }
    Ok(())
}

fn fitting(file: &Path, header: &BackupHeader) -> Result<crate::seal::SealKey, BackupError> {
    let key = KeyFile::at(file).get()?;
    match &header.key {
        Some(needed) if *needed != key.fingerprint() => {
            Err(BackupError::OtherKey(file.to_owned(), key.fingerprint(), needed.clone()))
        }
        Some(_) | None => Ok(key),
    }
}

/// The last step of a database that is whole.
async fn examine(path: &Path) -> Result<String, StoreError> {
    let db = read_only(path).await?;
    let found = async {
        let rows = db::query(&db, "PRAGMA quick_check(1)", []).await?;
        let words: Option<String> = rows.first().and_then(|row| row.try_get_by_index(0).ok());
        if words.as_deref() != Some("ok") {
            return Err(StoreError::Damaged(
                words.unwrap_or_else(|| "the database cannot be read".to_owned()),
            ));
        }
        migration::last_step(&db).await
    }
    .await;
    let _ = db.close().await;
    found?.ok_or_else(|| StoreError::Damaged("it is no database of trueup".to_owned()))
}

async fn read_only(path: &Path) -> Result<DatabaseConnection, StoreError> {
    let path = path.to_owned();
    let mut options = ConnectOptions::new("sqlite::memory:");
    options
        .map_sqlx_sqlite_opts(move |sqlite| {
            sqlite
                .filename(&path)
                .in_memory(false)
                .shared_cache(false)
                .create_if_missing(false)
                .read_only(true)
                .busy_timeout(Duration::from_secs(30))
        })
        .max_connections(1)
        .sqlx_logging(false);
    Database::connect(options).await.map_err(error::of_db)
}

fn writing(path: &Path) -> Result<File, StoreError> {
    OpenOptions::new().write(true).open(path).map_err(|e| error::of_io(&path.display().to_string(), &e))
}

fn measure(path: &Path) -> Result<(u64, String), BackupError> {
    let mut file = File::open(path).map_err(|e| error::of_io(&path.display().to_string(), &e))?;
    copy(&mut file, &mut std::io::sink(), path)
}

/// Copies, and says how much it was and what its hash is.
fn copy(from: &mut impl Read, into: &mut impl Write, named: &Path) -> Result<(u64, String), BackupError> {
    let io = |e: std::io::Error| error::of_io(&named.display().to_string(), &e);
    let (mut bytes, mut hash, mut part) = (0_u64, Sha256::new(), vec![0_u8; 1 << 16]);
    loop {
        let read = from.read(&mut part).map_err(io)?;
        let Some(part) = part.get(..read).filter(|part| !part.is_empty()) else { break };
        hash.update(part);
        into.write_all(part).map_err(io)?;
        bytes += part.len() as u64;
    }
    Ok((bytes, hex(&hash.finalize())))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A file that is gone when the work ends, however it ends.
struct Passing(PathBuf);

impl Passing {
    fn new(beside: &Path, word: &str) -> Self {
        let mut name = beside.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".{}.{word}", std::process::id()));
        Self(beside.with_file_name(name))
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
