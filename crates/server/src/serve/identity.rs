//! Who a worker is.
//!
//! A worker leaves its name in the data directory, under a lock that ends with its process. Whoever gets that lock later
//! knows that the process of that name is dead, and need not wait until its claims run out.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

const FILE: &str = "worker.name";
/// A longer file is not one of ours.
const LONGEST_NAME: u64 = 100;

/// A worker of this process.
pub struct Identity {
    name: String,
    former: Option<String>,
    claims: AtomicU64,
    _held: Option<File>,
}

impl Identity {
    /// Gives a worker a name that no other process has or had.
    pub fn new(data_dir: &Path) -> Self {
        let name = format!("worker-{}", uuid::Uuid::now_v7().simple());
        // Without the file, or beside another worker on it, claims of the dead run out by themselves.
        let (former, held) = match take_over(data_dir, &name) {
            Ok(Some((former, file))) => (former, Some(file)),
            Ok(None) => (None, None),
            Err(error) => {
                tracing::warn!(%error, "the name of the worker cannot be kept in the data directory");
                (None, None)
            }
        };
        Self { name, former, claims: AtomicU64::new(0), _held: held }
    }

    /// The worker that had the data directory before, and is dead.
    pub fn former(&self) -> Option<&str> {
        self.former.as_deref()
    }

    /// A name for one claim: of two claims of one worker on one run, the earlier one is lost like another's.
    pub fn claim(&self) -> String {
        format!("{}/{}", self.name, self.claims.fetch_add(1, Ordering::Relaxed))
    }
}

/// The name that was left, and the file under its lock; none where another process has it.
fn take_over(data_dir: &Path, name: &str) -> std::io::Result<Option<(Option<String>, File)>> {
    let path = data_dir.join(FILE);
    let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
    if let Err(error) = file.try_lock() {
        return match error {
            std::fs::TryLockError::WouldBlock => Ok(None),
            std::fs::TryLockError::Error(error) => Err(error),
        };
    }
    let mut left = String::new();
    // What cannot be read is nobody's name.
    let _ = Read::by_ref(&mut file).take(LONGEST_NAME).read_to_string(&mut left);
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(name.as_bytes())?;
    file.sync_all()?;
    let is_ours = left.strip_prefix("worker-").is_some_and(|id| uuid::Uuid::try_parse(id).is_ok());
    Ok(Some((is_ours.then_some(left), file)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dead_are_known_and_the_living_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let first = Identity::new(dir.path());
        assert_eq!(first.former(), None);
        let beside = Identity::new(dir.path());
        assert_eq!(beside.former(), None, "the first one lives");
        assert_ne!(first.claim(), first.claim());
        let name = first.name.clone();
        drop(first);
        let next = Identity::new(dir.path());
        assert_eq!(next.former(), Some(name.as_str()));
        drop(next);
        for damaged in ["", "worker-", "worker-%", "%", "\u{feff}worker-1", "x".repeat(500).as_str()] {
            std::fs::write(dir.path().join(FILE), damaged).unwrap();
            assert_eq!(Identity::new(dir.path()).former(), None, "{damaged}");
        }
        let missing = dir.path().join("none");
        assert_eq!(Identity::new(&missing).former(), None);
    }
}
