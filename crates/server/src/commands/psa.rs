//! `trueup psa pull`: what ConnectWise holds, as the local snapshot.

use crate::app::App;
use crate::cli::PsaCommand;
use crate::failure::{CliError, Exit};
use crate::output::count;
use crate::output::documents::pulled_document;
use trueup_domain::finding::{Code, Severity};
use trueup_engine::observe::{self, Reach};
use trueup_engine::ports::Clock;
use trueup_engine::records::{FindingFilter, FindingState, Millis};
use trueup_engine::tasks;

/// Runs one of the commands.
pub async fn run(app: &App, command: PsaCommand) -> Result<Exit, CliError> {
    let PsaCommand::Pull { connection, changed } = command;
    let (name, psa) = app.psa(connection.as_deref()).await?;
    let reach =
        if changed { Reach::Changed { rotation: app.settings().await?.rotation } } else { Reach::Whole };
    let began = app.clock.now();
    let bar = app.out.progress("Reading ConnectWise");
    let tell = |done: usize, of: usize| count(&bar, done as u64, of as u64);
    let psa = psa.as_ref();
    let pulled = observe::pull_telling(psa, app.store(), &app.clock, app.org(), &name, reach, &tell).await;
    bar.finish_and_clear();
    let pulled = pulled?;
    let told = observe::tell_drift(app.store(), &app.clock, app.org(), &name).await?;
    // What vanished over there suspends what stands on it, and what came back frees it.
    tasks::judge_again(app.store(), &app.clock, app.org(), &app.options.overlays).await?;
    let document = pulled_document(&name, psa.calls(), &pulled, Some(&told));
    app.out.show(&document, |out| {
        let rows = ["companies", "agreements", "additions", "catalog_items", "agreements_read", "calls"];
        out.table(
            &["read", "count"],
            rows.iter().map(|name| vec![name.replace('_', " "), document[*name].to_string()]).collect(),
        );
        if !pulled.whole {
            out.line(&format!(
                "{} agreements were changed since the last pull, {} were read because it was their turn, {} are gone.",
                pulled.changed, pulled.in_turn, pulled.gone
            ));
        }
        if pulled.unread > 0 {
            out.line(&format!(
                "The additions of {} agreements could not be understood, and stay as they were known: `trueup finding list` names \
                 each.",
                pulled.unread
            ));
        }
        if !told.drift.findings.is_empty() {
            out.line(&format!(
                "{} additions are not as trueup left them: `trueup finding list` names each.",
                told.drift.findings.len()
            ));
        }
        if !told.beside.is_empty() {
            out.line(&format!(
                "{} findings about copies of lines, fields that go back and forth, or agreements under lines: `trueup finding \
                 list` names each.",
                told.beside.len()
            ));
        }
    });
    Ok(Exit::needs_person_if(is_wrong(app, began).await?))
}

/// What a pull looks at itself. What open tasks wait for is said by `check`.
const OF_PULLS: [Code; 13] = [
    Code::Tu1007,
    Code::Tu2002,
    Code::Tu2004,
    Code::Tu3003,
    Code::Tu3004,
    Code::Tu3006,
    Code::Tu3007,
    Code::Tu3008,
    Code::Tu4003,
    Code::Tu6001,
    Code::Tu7002,
    Code::Tu7008,
    Code::Tu8006,
];

/// Whether the pull that began then found what needs a person.
async fn is_wrong(app: &App, began: Millis) -> Result<bool, CliError> {
    let filter = FindingFilter {
        states: vec![FindingState::Open, FindingState::Recurred],
        severity: Some(Severity::Error),
        ..FindingFilter::default()
    };
    let found = app.store().list_findings(app.org(), &filter).await?;
    Ok(found.iter().any(|found| found.last_seen_at >= began && OF_PULLS.contains(&found.finding.code)))
}
