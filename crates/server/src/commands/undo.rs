//! `trueup undo`: plans to take back what was written.

use super::plan;
use crate::app::App;
use crate::failure::{CliError, Exit};
use crate::output::contract::{Lines, Outcomes, PlanDoc};
use clap::Args;
use trueup_domain::ids::{AdditionId, PlanId, TaskId};
use trueup_domain::planner::Credit;
use trueup_engine::undo::{UndoRequest, Wish, plan_undo};

/// Flags of `undo`.
#[derive(Args, Debug)]
#[command(
    after_help = "Look at the plan, then carry it out with `trueup apply PLAN_ID`. What invoices billed since is given \
                        back (with `credits = on`), or charged, by a line of the next invoice. Tasks that are taken back \
                        are ignored from then on; `trueup task unignore` takes them in again."
)]
pub struct UndoArgs {
    #[command(flatten)]
    what: What,
    /// The connection [default: the nearest one]
    #[arg(long, value_name = "NAME")]
    connection: Option<String>,
    /// Write no line that gives back what invoices billed: its amount is told, and somebody gives it back otherwise
    #[arg(long)]
    no_credit: bool,
}

/// One of the three.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct What {
    /// Everything that this plan wrote
    #[arg(long, value_name = "ID")]
    plan: Option<String>,
    /// Everything that was written for these tasks
    #[arg(long, value_name = "ID", num_args = 1..)]
    task: Vec<String>,
    /// The last change of each of these additions; their tasks stay done
    #[arg(long, value_name = "ID", num_args = 1..)]
    addition: Vec<i64>,
}

impl What {
    fn wish(self) -> Wish {
        match self.plan {
            Some(plan) => Wish::Plan(PlanId::from(plan)),
            None if self.addition.is_empty() => {
                Wish::Tasks(self.task.into_iter().map(TaskId::from).collect())
            }
            None => Wish::Additions(self.addition.into_iter().map(AdditionId).collect()),
        }
    }
}

/// Runs the command.
///
/// # Errors
/// There is nothing to take back, or not yet.
pub async fn run(app: &App, args: UndoArgs) -> Result<Exit, CliError> {
    let wish = args.what.wish();
    if let Wish::Plan(id) = &wish {
        plan::find(app, id).await?;
    }
    let settings = app.settings().await?;
    let (connection, psa) = app.psa_to_write(args.connection.as_deref()).await?;
    let request = UndoRequest {
        org: app.org(),
        connection: &connection,
        actor: app.actor(),
        settings: &settings,
        wish: &wish,
        credit: if args.no_credit { Credit::LeaveOut } else { Credit::Propose },
    };
    let stored = plan_undo(app.store(), psa.as_ref(), &app.clock, &request).await?;
    let document = PlanDoc::new(&stored, app.org(), &Outcomes::new(), &[], Lines::Changes);
    app.out.show(&document, |out| plan::print(out, &stored, &document));
    plan::exit_of(app, &stored).await
}
