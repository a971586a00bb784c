//! `trueup finding`: what a person should know or do, and what was decided about it.

use crate::app::App;
use crate::failure::{CliError, Exit};
use crate::output::documents::{STORED_FINDING_HEADER, StoredFindingDoc, stored_finding_rows};
use clap::{Args, Subcommand, ValueEnum};
use jiff::civil::Date;
use serde_json::json;
use trueup_domain::finding::{Code, Severity};
use trueup_domain::ids::TaskId;
use trueup_engine::findings::{self, Decision};
use trueup_engine::records::{FindingFilter, FindingState};

/// Findings.
#[derive(Debug, Subcommand)]
pub enum FindingCommand {
    /// Lists findings; those that hold, unless a state is named
    List(ListArgs),
    /// Shows one finding
    Show {
        /// The finding
        id: String,
    },
    /// Keeps a finding quiet until a day
    Mute {
        /// The finding
        id: String,
        /// The day on which it speaks up again (YYYY-MM-DD)
        #[arg(long, value_name = "DATE", value_parser = crate::cli::day)]
        until: Date,
    },
    /// Puts a finding aside
    Ignore {
        /// The finding
        id: String,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Takes a muted or ignored finding back
    Reopen {
        /// The finding
        id: String,
    },
}

/// A state of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum StateArg {
    /// It holds.
    Open,
    /// Quiet until a day.
    Muted,
    /// Put aside.
    Ignored,
    /// No longer found.
    Resolved,
    /// Back again.
    Recurred,
}

/// How grave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SeverityArg {
    /// For the record.
    Info,
    /// Deserves a look.
    Warning,
    /// Not billed, or billed wrong.
    Error,
}

/// Flags of `finding list`.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// In this state; may be repeated
    #[arg(long, value_enum)]
    state: Vec<StateArg>,
    /// With this code, such as TU2003
    #[arg(long)]
    code: Option<String>,
    /// At least this grave
    #[arg(long, value_enum)]
    severity: Option<SeverityArg>,
    /// Of this task
    #[arg(long, value_name = "ID")]
    task: Option<String>,
}

/// Runs one of the commands.
pub async fn run(app: &App, command: FindingCommand) -> Result<Exit, CliError> {
    match command {
        FindingCommand::List(args) => list(app, args).await,
        FindingCommand::Show { id } => show(app, &id).await,
        FindingCommand::Mute { id, until } => decide(app, &id, &Decision::Mute(until)).await,
        FindingCommand::Ignore { id, reason } => decide(app, &id, &Decision::Ignore(reason)).await,
        FindingCommand::Reopen { id } => decide(app, &id, &Decision::Reopen).await,
    }
}

async fn list(app: &App, args: ListArgs) -> Result<Exit, CliError> {
    let code = args.code.map(|code| code.to_uppercase());
    if let Some(code) = code.as_deref().filter(|code| Code::from_name(code).is_none()) {
        return Err(CliError::usage(
            format!("there is no exception code `{code}`"),
            "A code looks like TU2003.",
        ));
    }
    let states = if args.state.is_empty() {
        vec![FindingState::Open, FindingState::Recurred]
    } else {
        args.state.iter().map(|s| state(*s)).collect()
    };
    let severity = args.severity.map(|s| match s {
        SeverityArg::Info => Severity::Info,
        SeverityArg::Warning => Severity::Warning,
        SeverityArg::Error => Severity::Error,
    });
    let filter = FindingFilter { states, code, severity, task: args.task.map(TaskId::from) };
    let found = findings::list(app.store(), app.org(), &filter).await?;
    let documents: Vec<StoredFindingDoc> = found.iter().map(StoredFindingDoc::from).collect();
    app.out.show(&json!({ "findings": documents }), |out| {
        out.table(STORED_FINDING_HEADER, stored_finding_rows(&documents));
    });
    Ok(Exit::Done)
}

fn state(arg: StateArg) -> FindingState {
    match arg {
        StateArg::Open => FindingState::Open,
        StateArg::Muted => FindingState::Muted,
        StateArg::Ignored => FindingState::Ignored,
        StateArg::Resolved => FindingState::Resolved,
        StateArg::Recurred => FindingState::Recurred,
    }
}

async fn show(app: &App, id: &str) -> Result<Exit, CliError> {
    let found = findings::get(app.store(), app.org(), id).await?;
    let document = StoredFindingDoc::from(&found);
    app.out.show(&document, |out| {
        let finding = &found.finding;
        out.line(&format!("{} {} ({})", finding.code, finding.code.row().title, finding.severity.name()));
        out.line(&format!("State: {}, seen {} times", document.state, found.count));
        out.line(&finding.message);
        out.line(&format!("What to do: {}", finding.fix));
        if let Some(words) = &finding.their_words {
            out.line(&format!("They said: {words}"));
        }
    });
    Ok(Exit::Done)
}

async fn decide(app: &App, id: &str, decision: &Decision) -> Result<Exit, CliError> {
    findings::decide(app.store(), &app.clock, app.org(), app.actor(), id, decision).await?;
    show(app, id).await
}
