//! `trueup backup` and `trueup key`: what is needed after a disk died or a key was seen.

use crate::app::App;
use crate::cli::{BackupCommand, KeyCommand};
use crate::compose;
use crate::config::Options;
use crate::failure::{CliError, Exit};
use crate::output::Output;
use crate::output::documents::instant;
use serde_json::json;
use trueup_domain::finding::Code;
use trueup_engine::ports::Clock;
use trueup_store::backup::{self, BackupError};

/// Runs one of the commands. A backup is made beside a service that runs, so that the store is not opened.
pub async fn run(options: Options, command: BackupCommand) -> Result<Exit, CliError> {
    if options.database.is_some() {
        return Err(CliError::usage(
            "this installation is on PostgreSQL, which is not backed up here",
            "Use pg_dump and pg_restore, and keep trueup.key of the data directory apart from the dump: \
             docs/operations.md says how.",
        ));
    }
    match command {
        BackupCommand::Create { file } => {
            if file.exists() {
                return Err(CliError::usage(
                    format!("{} is there already", file.display()),
                    "Name another file, or move that one away first: a backup never takes the place of one.",
                ));
            }
            let out = Output::new(options.format);
            let at = crate::clock::SystemClock::new(None).now();
            let header = backup::create(&options.data_dir, &file, at).await.map_err(of_backup)?;
            let key = options.data_dir.join("trueup.key");
            let document = json!({
                "file": file.display().to_string(), "created_at": instant(header.created_at),
                "trueup": header.trueup, "schema": header.schema, "bytes": header.bytes, "sha256": header.sha256,
                "key": header.key,
            });
            out.show(&document, |out| {
                out.line(&format!("Wrote {} ({} bytes of database).", file.display(), header.bytes));
                match &header.key {
                    Some(print) => out.line(&format!(
                        "The key that opens its secrets is not in it: keep {} (fingerprint {print}) in another place.",
                        key.display()
                    )),
                    None => out.line("No secret is sealed in it."),
                }
            });
            Ok(Exit::Done)
        }
        BackupCommand::Restore { file, key } => {
            let out = Output::new(options.format);
            if let Err(error) = std::fs::File::open(&file) {
                let why = format!("the backup {} cannot be read: {error}", file.display());
                return Err(CliError::usage(why, "Name a file that `trueup backup create` wrote."));
            }
            let restored =
                backup::restore(&file, &options.data_dir, key.as_deref()).await.map_err(of_backup)?;
            let document = json!({
                "data_dir": options.data_dir.display().to_string(),
                "created_at": instant(restored.header.created_at), "trueup": restored.header.trueup,
                "schema": restored.header.schema, "secrets_readable": restored.secrets_readable,
                "key": restored.header.key,
            });
            out.show(&document, |out| {
                out.line(&format!(
                    "Restored into {}, as of {}. Read ConnectWise whole before the next run: `trueup psa pull`.",
                    options.data_dir.display(),
                    instant(restored.header.created_at)
                ));
                if !restored.secrets_readable {
                    out.line(&format!(
                        "{}: its secrets are unreadable without the key with the fingerprint {}. Put that key into {} \
                         or enter each connection anew.",
                        Code::Tu9105,
                        restored.header.key.as_deref().unwrap_or_default(),
                        options.data_dir.join("trueup.key").display()
                    ));
                }
            });
            Ok(Exit::needs_person_if(!restored.secrets_readable))
        }
    }
}

/// Rotates the key.
pub async fn key(options: Options, command: KeyCommand) -> Result<Exit, CliError> {
    let KeyCommand::Rotate = command;
    let store = compose::sql_store(&options).await?;
    let app = App::over(store.clone(), options).await?;
    let rotated = store.rotate_key(app.clock.now(), app.actor()).await?;
    let previous = rotated.previous.as_ref().map(|path| path.display().to_string());
    let document =
        json!({ "secrets": rotated.secrets, "resumed": rotated.resumed, "previous_key": previous });
    app.out.show(&document, |out| match &previous {
        None => out.line("Nothing is sealed yet, so that there is no key to rotate."),
        Some(previous) => {
            if rotated.resumed {
                out.line("Went on with a rotation that was interrupted.");
            }
            out.line(&format!("Sealed {} secrets under a new key.", rotated.secrets));
            out.line(&format!(
                "The old key is {previous}. Backups made before open with it alone: keep it with them, in another \
                 place, and take it away here."
            ));
        }
    });
    Ok(Exit::Done)
}

fn of_backup(error: BackupError) -> CliError {
    let told = error.to_string();
    match error {
        BackupError::Store(error) => error.into(),
        BackupError::Damaged(..) => CliError::usage(told, "Take another backup; this one cannot be trusted."),
        BackupError::NotEmpty(_) => {
            CliError::usage(told, "Name an empty directory with --data-dir, or move the old one away first.")
        }
        BackupError::OtherKey(..) => CliError::usage(
            told,
            "Give the key that was in use when the backup was made, or leave --key away to restore without secrets.",
        ),
    }
}
