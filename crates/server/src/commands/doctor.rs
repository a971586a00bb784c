//! `trueup doctor`: tests storage, settings, connection, rights, catalog and tasks, and says what to fix.

use super::connection::{missing, needed};
use crate::app::App;
use crate::config::Options;
use crate::failure::{CliError, Exit};
use crate::output::documents::instant;
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;
use trueup_domain::finding::Code;
use trueup_domain::mapping::MappingKind;
use trueup_domain::psa::Snapshot;
use trueup_engine::ports::{Clock, PsaError, StoreError};
use trueup_engine::records::Millis;
use trueup_engine::schedule::ScheduleKind;

/// A picture older than this is worth a remark.
const OLD_PICTURE_MS: Millis = 7 * 86_400 * 1_000;

/// Less room than this is worth a remark.
const LITTLE_ROOM: u64 = 200_000_000;

/// The value of a schedule that never fires.
const OFF: &str = "off";

/// How long a connection may take to answer.
const PATIENCE: Duration = Duration::from_secs(45);

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Ok,
    Warning,
    Error,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One line of the report.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    state: State,
    code: Option<String>,
    message: String,
    fix: Option<String>,
}

impl Check {
    fn ok(name: &'static str, message: impl Into<String>) -> Self {
        Self { name, state: State::Ok, code: None, message: message.into(), fix: None }
    }

    fn warning(name: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, state: State::Warning, code: None, message: message.into(), fix: Some(fix.into()) }
    }

    fn error(name: &'static str, code: Code, message: impl Into<String>) -> Self {
        Self {
            name,
            state: State::Error,
            code: Some(code.to_string()),
            message: message.into(),
            fix: Some(code.row().fix.to_owned()),
        }
    }
}

/// Runs the command.
pub async fn run(options: Options) -> Result<Exit, CliError> {
    let place = match &options.database {
        Some(_) => "PostgreSQL".to_owned(),
        None => format!("the embedded database in {}", options.data_dir.display()),
    };
    let app = App::open(options).await?;
    let mut checks = vec![storage(&app, &place).await?];
    checks.push(match app.store().verify_audit(app.org()).await? {
        None => Check::ok("audit", "the chain of hashes is intact"),
        Some(number) => Check::error(
            "audit",
            Code::Tu9104,
            format!("the audit does not fit together from entry {number} on"),
        ),
    });
    checks.push(match app.settings().await {
        Ok(_) => Check::ok("settings", "every setting has a value that is allowed"),
        Err(error) => return Err(error),
    });
    let reached = connection(&app, &mut checks).await?;
    catalog(&app, &mut checks).await?;
    tasks(&app, &mut checks).await?;
    checks.push(schedules(&app).await?);
    app.out.show(&json!({ "checks": checks }), |out| {
        let rows = checks
            .iter()
            .map(|c| {
                let fix = c.fix.clone().unwrap_or_default();
                vec![c.state.name().to_owned(), c.name.to_owned(), c.message.clone(), fix]
            })
            .collect();
        out.table(&["state", "what", "found", "what to do"], rows);
    });
    if !reached {
        return Ok(Exit::OutOfReach);
    }
    Ok(Exit::needs_person_if(checks.iter().any(|c| c.state == State::Error)))
}

/// Whether the database takes a write, and how much room is left beside the embedded one.
async fn storage(app: &App, place: &str) -> Result<Check, CliError> {
    let written = write_and_take_back(app).await;
    match written {
        Ok(()) => {}
        Err(StoreError::NotWritable(words)) => return Ok(Check::error("storage", Code::Tu9102, words)),
        Err(error) => return Err(error.into()),
    }
    let free = match app.options.database {
        None => free_of(&app.options.data_dir),
        Some(_) => None,
    };
    let Some(free) = free else {
        return Ok(Check::ok("storage", format!("{place} can be read and written")));
    };
    let megabytes = free / 1_000_000;
    if free < LITTLE_ROOM {
        let message = format!("{place} can be read and written, and {megabytes} MB are free");
        return Ok(Check::warning("storage", message, "Free some room: a run stops before it is used up."));
    }
    Ok(Check::ok("storage", format!("{place} can be read and written; {megabytes} MB are free")))
}

/// Writes as much as a small plan needs and takes it back: a page that is there already could take less on a full disk.
async fn write_and_take_back(app: &App) -> Result<(), StoreError> {
    let much = "-".repeat(256 * 1024);
    app.store().save_mark(app.org(), "doctor", &much).await?;
    app.store().save_mark(app.org(), "doctor", "").await
}

/// The bytes that are free where a directory lies.
#[cfg(unix)]
fn free_of(directory: &std::path::Path) -> Option<u64> {
    let told = rustix::fs::statvfs(directory).ok()?;
    told.f_bavail.checked_mul(told.f_frsize)
}

/// What is free is asked of Unix alone.
#[cfg(not(unix))]
fn free_of(_: &std::path::Path) -> Option<u64> {
    None
}

/// What runs by itself, as long as a service is there to run it.
async fn schedules(app: &App) -> Result<Check, CliError> {
    let all = trueup_engine::settings::effective(app.store(), app.org(), &app.options.overlays).await?;
    let on: Vec<String> = ScheduleKind::ALL
        .iter()
        .filter_map(|kind| {
            let cadence = &all.iter().find(|setting| setting.key == kind.setting())?.value;
            (cadence != OFF).then(|| format!("{} {cadence}", kind.name()))
        })
        .collect();
    Ok(if on.is_empty() {
        Check::warning(
            "schedules",
            "nothing runs by itself: every schedule is off",
            "Set `schedule.check` and `schedule.sync` and keep `trueup serve` running, or let the system's scheduler run \
             `trueup feed import`, `trueup check` and `trueup apply --all`.",
        )
    } else {
        Check::ok("schedules", format!("{}; `trueup serve` runs them while it is up", on.join(", ")))
    })
}

/// Whether every connection answers.
async fn connection(app: &App, checks: &mut Vec<Check>) -> Result<bool, CliError> {
    let all = match app.store().list_connections(app.org()).await {
        Ok(all) => all,
        Err(StoreError::KeyMissing(words)) => {
            checks.push(Check {
                fix: Some(
                    "Put the key file back from the backup. Where there is none, move it away and enter the connection anew \
                     with `trueup connection add`."
                        .to_owned(),
                ),
                ..Check::error("key", Code::Tu9105, words)
            });
            return Ok(true);
        }
        Err(error) => return Err(error.into()),
    };
    if all.is_empty() {
        checks.push(Check::warning(
            "connection",
            "no connection to ConnectWise is stored",
            "Store one with `trueup connection add`.",
        ));
    }
    let mut reached = true;
    for stored in &all {
        let (_, psa) = app.psa(Some(&stored.name)).await?;
        let asked = tokio::time::timeout(PATIENCE, psa.probe()).await;
        match asked.unwrap_or_else(|_| Err(silent())) {
            Ok(report) => {
                let report = needed(app.store(), app.org(), report).await;
                checks.push(Check::ok("connection", format!("{} answers", stored.name)));
                let missing: Vec<String> = missing(&report).iter().map(ToString::to_string).collect();
                checks.push(if missing.is_empty() {
                    Check::ok("rights", "no right is known to be missing")
                } else {
                    Check::error("rights", Code::Tu1004, format!("missing: {}", missing.join("; ")))
                });
                checks.push(marker(&report.marker));
            }
            Err(error) => {
                reached = false;
                checks.push(Check::error("connection", error.code, format!("{}: {error}", stored.name)));
            }
        }
    }
    Ok(reached)
}

/// Every right is asked for with all retries, which a server in trouble draws out for minutes.
fn silent() -> PsaError {
    PsaError {
        code: Code::Tu1001,
        message: format!(
            "no clear answer within {} seconds; the rights were not all asked for",
            PATIENCE.as_secs()
        ),
        their_words: None,
    }
}

fn marker(place: &str) -> Check {
    if place.contains("does not have") {
        return Check {
            fix: Some(
                "Make that custom field on agreement additions in ConnectWise, or choose another place with \
                 `trueup setting set marker`."
                    .to_owned(),
            ),
            ..Check::error("marker", Code::Tu2008, format!("keys cannot be written: {place}"))
        };
    }
    if place.to_lowercase().contains("serial") {
        return Check::warning(
            "marker",
            format!("keys are written to: {place}; an invoice template may print it"),
            "Make a custom field captioned `trueup key` on agreement additions, or look at the invoice template.",
        );
    }
    Check::ok("marker", format!("keys are written to: {place}"))
}

async fn catalog(app: &App, checks: &mut Vec<Check>) -> Result<(), CliError> {
    let connection = match app.store().list_connections(app.org()).await {
        Ok(all) => all.into_iter().next(),
        Err(StoreError::KeyMissing(_)) => None, // said above
        Err(error) => return Err(error.into()),
    };
    let Some(connection) = connection else { return Ok(()) };
    let Some((at, picture)) = app.store().load_snapshot(app.org(), &connection.name).await? else {
        checks.push(Check::warning(
            "catalog",
            "nothing was read from ConnectWise yet",
            "Run `trueup psa pull`.",
        ));
        return Ok(());
    };
    let mappings = app.store().list_mappings(app.org()).await?;
    let wrong: BTreeSet<i64> = mappings
        .iter()
        .filter(|m| matches!(m.kind, MappingKind::Product | MappingKind::Fee))
        .filter_map(|m| m.psa_id)
        .filter(|id| !usable(&picture, *id))
        .collect();
    if wrong.is_empty() {
        let count = picture.catalog.len();
        checks.push(Check::ok("catalog", format!("{count} catalog items; every mapped one can be used")));
    } else {
        let ids: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        let message = format!("mapped catalog items that cannot be used: {}", ids.join(", "));
        checks.push(Check::error("catalog", Code::Tu2004, message));
    }
    if app.clock.now().saturating_sub(at) > OLD_PICTURE_MS {
        checks.push(Check::warning(
            "picture",
            format!("the local snapshot is from {}", instant(at)),
            "Run `trueup psa pull`.",
        ));
    }
    Ok(())
}

fn usable(picture: &Snapshot, id: i64) -> bool {
    picture
        .catalog
        .get(&trueup_domain::ids::CatalogItemId(id))
        .is_some_and(|item| !item.inactive && !item.bundle)
}

async fn tasks(app: &App, checks: &mut Vec<Check>) -> Result<(), CliError> {
    let counts = app.store().count_tasks(app.org()).await?;
    let of = |state: &str| counts.get(state).copied().unwrap_or(0);
    let stuck = of("failed") + of("in_doubt") + of("needs_mapping") + of("blocked");
    if stuck == 0 {
        let all: u64 = counts.values().sum();
        checks.push(Check::ok("tasks", format!("{all} tasks; none waits for a person")));
    } else {
        let message = format!("{stuck} tasks failed, are in doubt, are blocked or lack a mapping");
        checks.push(Check::warning("tasks", message, "Look at them with `trueup finding list`."));
    }
    Ok(())
}
