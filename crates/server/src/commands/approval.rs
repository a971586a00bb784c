//! `trueup approval`: plans that wait for people, and their answers.

use crate::app::App;
use crate::failure::{CliError, Exit};
use crate::output::approvals::{APPROVAL_HEADER, ApprovalDoc};
use clap::Subcommand;
use serde_json::json;
use trueup_domain::approval::Policy;
use trueup_engine::approvals::{self, COMMAND_LINE, Verdict, Voice};
use trueup_engine::ports::Clock;
use trueup_engine::records::ApprovalRow;

/// Rows of a list.
const MOST: u32 = 1_000;

/// Approvals.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "The command line is one person, whoever works there: where two have to approve, the other one does so \
                  in the service."
)]
pub enum ApprovalCommand {
    /// Lists what waits for people
    List {
        /// Also what is over
        #[arg(long)]
        all: bool,
    },
    /// Approves exactly what a plan would write; `trueup apply` or the next run carries it out
    Approve {
        /// The approval
        id: String,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Refuses it, until somebody approves it
    Refuse {
        /// The approval
        id: String,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

/// Runs one of the commands.
///
/// # Errors
/// There is no such approval, or the answer does not count.
pub async fn run(app: &App, command: ApprovalCommand) -> Result<Exit, CliError> {
    let policy = app.settings().await?.approval;
    match command {
        ApprovalCommand::List { all } => list(app, &policy, all).await,
        ApprovalCommand::Approve { id, reason } => {
            decide(app, &policy, &id, Verdict::Approve(reason.as_deref())).await
        }
        ApprovalCommand::Refuse { id, reason } => decide(app, &policy, &id, Verdict::Refuse(&reason)).await,
    }
}

async fn document(app: &App, row: &ApprovalRow, policy: &Policy) -> Result<ApprovalDoc, CliError> {
    let plan = app.store().find_plan(app.org(), &row.plan).await?.map(|plan| plan.state);
    Ok(ApprovalDoc::new(row, plan, policy, app.clock.now()))
}

async fn list(app: &App, policy: &Policy, all: bool) -> Result<Exit, CliError> {
    let mut documents = Vec::new();
    for row in app.store().list_approvals(app.org(), !all, None, MOST).await? {
        documents.push(document(app, &row, policy).await?);
    }
    app.out.show(&json!({ "approvals": documents }), |out| {
        out.table(APPROVAL_HEADER, documents.iter().map(ApprovalDoc::cells).collect());
    });
    Ok(Exit::Done)
}

async fn decide(app: &App, policy: &Policy, id: &str, verdict: Verdict<'_>) -> Result<Exit, CliError> {
    let voice = Voice { person: COMMAND_LINE, actor: app.actor() };
    let row = app.store().find_approval(app.org(), id).await?;
    let is_maker = row.is_some_and(|row| row.maker == app.actor());
    let row =
        approvals::decide(app.store(), &app.clock, app.org(), (voice, is_maker), id, verdict, policy).await?;
    let document = document(app, &row, policy).await?;
    app.out.show(&document, |out| {
        out.table(APPROVAL_HEADER, vec![document.cells()]);
    });
    Ok(Exit::Done)
}
