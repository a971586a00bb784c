//! Whether there is room for more: asked of the disk itself, because a page that is there already takes a small write on
//! a full one.

use crate::{db, error, store::SqlStore};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use trueup_engine::ports::StoreError;

/// As much as a small plan needs.
const ENOUGH: usize = 256 * 1024;
/// Whoever asks sooner is told the same: anybody may ask, and nobody shall keep the disk busy by it.
const HOLDS: Duration = Duration::from_secs(5);

/// The room beside an embedded database.
#[derive(Debug)]
pub(crate) struct Room {
    dir: PathBuf,
    told: Mutex<Option<(Instant, Result<(), StoreError>)>>,
}

impl Room {
    pub(crate) fn in_dir(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), told: Mutex::default() }
    }

    async fn look(&self) -> Result<(), StoreError> {
        let mut told = self.told.lock().await;
        if let Some((at, found)) = told.as_ref()
            && at.elapsed() < HOLDS
        {
            return found.clone();
        }
        let path = self.dir.join("trueup.room");
        let found = tokio::task::spawn_blocking(move || {
            let written = std::fs::File::create(&path).and_then(|mut file| file.write_all(&[b'-'; ENOUGH]));
            let taken_back = std::fs::remove_file(&path);
            written.and(taken_back).map_err(|e| error::of_io("the data directory", &e))
        })
        .await
        .map_err(|e| StoreError::Damaged(e.to_string()))
        .flatten();
        *told = Some((Instant::now(), found.clone()));
        found
    }
}

impl SqlStore {
    /// Whether the database answers and takes more.
    ///
    /// # Errors
    /// [`StoreError::OutOfReach`] when it does not answer, [`StoreError::NotWritable`] when nothing can be written.
    pub async fn ready(&self) -> Result<(), StoreError> {
        let Some(room) = &self.room else {
            let row = db::query(&self.db, "SHOW transaction_read_only", []).await?.into_iter().next();
            let told = row.map(|row| row.try_get::<String>("", "transaction_read_only")).transpose();
            return match told.map_err(error::of_db)?.as_deref() {
                Some("on") => Err(StoreError::NotWritable("the database takes no writes".to_owned())),
                _ => Ok(()), // open set: a word of the database
            };
        };
        self.ping().await?;
        room.look().await
    }
}
