//! Stopping at a named boundary of a named operation, for the test that kills this process there. A release build has
//! none of it.

use trueup_engine::apply::Boundary;

/// Who is told of the boundaries of an apply.
pub type Told = &'static (dyn Fn(usize, Boundary) + Send + Sync);

/// Nobody is told.
#[cfg(not(debug_assertions))]
pub fn told() -> Option<Told> {
    None
}

/// `TRUEUP_STOP_FILE` names a file that gets a line for every boundary passed; at the first of those that `TRUEUP_STOP_AT`
/// names (`17:commit,18:commit`) the process goes on no more, until it is killed.
#[cfg(debug_assertions)]
pub fn told() -> Option<Told> {
    std::env::var_os("TRUEUP_STOP_FILE").map(|_| &pass as Told)
}

#[cfg(debug_assertions)]
fn pass(number: usize, boundary: Boundary) {
    use std::io::Write;
    let word = match boundary {
        Boundary::Intent => "intent",
        Boundary::Send => "send",
        Boundary::Commit => "commit",
    };
    let place = format!("{number}:{word}");
    let path = std::env::var_os("TRUEUP_STOP_FILE").unwrap_or_default();
    // A line that cannot be written is missed by the test, which then fails.
    if let Ok(mut file) = std::fs::OpenOptions::new().append(true).create(true).open(path) {
        let _ = file.write_all(format!("{place}\n").as_bytes());
    }
    if std::env::var("TRUEUP_STOP_AT").is_ok_and(|at| at.split(',').any(|one| one == place)) {
        loop {
            std::thread::park();
        }
    }
}
