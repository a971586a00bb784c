//! The lock on the data directory: one process a directory, for as long as its store is open.

use crate::error;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use trueup_engine::ports::StoreError;

/// Takes the lock; it is given back when the file is dropped, also by a crash.
pub(crate) fn hold(data_dir: &Path) -> Result<File, StoreError> {
    let path = data_dir.join("trueup.lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|e| error::of_io(&path.display().to_string(), &e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(format!(
            "{} is held by another trueup; stop it, or use PostgreSQL for several",
            data_dir.display()
        ))),
        Err(TryLockError::Error(e)) => Err(error::of_io(&path.display().to_string(), &e)),
    }
}
