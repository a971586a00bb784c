//! The log: on standard error for who watches, and in the data directory for who asks afterwards.

use crate::{cli, traces};
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::OnceLock;
use tracing_appender::rolling::{InitError, RollingFileAppender, Rotation};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// So many days' files stay; the oldest goes when a day begins.
const DAYS_KEPT: usize = 14;

/// Set once a data directory is open: before, and for commands that open none, there is no file.
static FILE: OnceLock<RollingFileAppender> = OnceLock::new();

/// Starts the log. Standard error tells what the flags ask for, the file what happened; `TRUEUP_LOG` decides for both.
pub fn start(verbose: u8, form: cli::LogForm, traces: Option<&traces::Traces>) {
    let default = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug", // open set: a count of flags
    };
    let filter =
        |default: &str| EnvFilter::try_from_env("TRUEUP_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let is_colored =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let shown = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(is_colored);
    let kept = tracing_subscriber::fmt::layer().with_writer(DataDirectory).with_ansi(false);
    let (shown, kept) = match form {
        cli::LogForm::Text => (shown.boxed(), kept.boxed()),
        cli::LogForm::Json => {
            (shown.json().flatten_event(true).boxed(), kept.json().flatten_event(true).boxed())
        }
    };
    // Each has a filter of its own: what is traced does not depend on how much is logged.
    let kept = kept.with_filter(filter(if verbose > 1 { default } else { "info" }));
    let registry = tracing_subscriber::registry().with(shown.with_filter(filter(default))).with(kept);
    let _ = registry.with(traces.map(traces::Traces::layer)).try_init();
}

/// Keeps the log in a data directory from now on, a file a day: `trueup.2026-03-20.log`, the day in UTC. Where that cannot be
/// done, it is said on standard error and nothing else stops.
pub fn keep_in(dir: &Path) {
    let file = |dir: &Path| -> Result<RollingFileAppender, InitError> {
        RollingFileAppender::builder()
            .rotation(Rotation::DAILY)
            .filename_prefix("trueup")
            .filename_suffix("log")
            .max_log_files(DAYS_KEPT)
            .build(dir)
    };
    if FILE.get().is_some() {
        return;
    }
    match file(dir) {
        Ok(file) => {
            let _ = FILE.set(file);
        }
        Err(error) => tracing::warn!("no log is kept in {}: {error}", dir.display()),
    }
}

/// The file of the data directory, as soon as there is one.
struct DataDirectory;

impl<'a> MakeWriter<'a> for DataDirectory {
    type Writer = Box<dyn Write + 'a>;

    fn make_writer(&'a self) -> Self::Writer {
        match FILE.get() {
            Some(file) => Box::new(file.make_writer()),
            None => Box::new(std::io::sink()),
        }
    }
}
