//! `trueup psa pull`: what ConnectWise holds, as the local snapshot.

use crate::app::App;
use crate::cli::PsaCommand;
use crate::failure::{CliError, Exit};
use serde_json::json;
use trueup_engine::observe;
use trueup_engine::ports::Clock;

/// Runs one of the commands.
pub async fn run(app: &App, command: PsaCommand) -> Result<Exit, CliError> {
    let PsaCommand::Pull { connection } = command;
    let (name, psa) = app.psa(connection.as_deref()).await?;
    let spinner = app.out.spinner("Reading ConnectWise");
    let snapshot = observe::pull(psa.as_ref(), app.store(), app.org(), &name, app.clock.now()).await;
    spinner.finish_and_clear();
    let snapshot = snapshot?;
    let drift = observe::tell_drift(app.store(), &app.clock, app.org(), &name, &snapshot).await?;
    let additions: usize = snapshot.additions.values().map(Vec::len).sum();
    let document = json!({
        "connection": name,
        "companies": snapshot.companies.len(),
        "agreements": snapshot.agreements.len(),
        "additions": additions,
        "catalog_items": snapshot.catalog.len(),
        "calls": psa.calls(),
        "as_written": drift.unchanged,
        "changed_by_people": drift.findings.len(),
    });
    app.out.show(&document, |out| {
        let rows = ["companies", "agreements", "additions", "catalog_items", "calls"];
        out.table(
            &["read", "count"],
            rows.iter().map(|name| vec![(*name).to_owned(), document[*name].to_string()]).collect(),
        );
        if !drift.findings.is_empty() {
            out.line(&format!(
                "{} additions are not as trueup left them: `trueup finding list` names each.",
                drift.findings.len()
            ));
        }
    });
    Ok(Exit::Done)
}
