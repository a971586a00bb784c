//! `trueup quantity`: what is only counted, as which catalog item and by which rule, and the runs that write it.

mod args;
mod assign;
mod rule;
mod work;

pub use args::{
    AssignArgs, CompareArgs, CustomerArgs, OfSource, PickArgs, RuleArgs, RunArgs, ShowArgs, UnassignArgs,
};
pub use assign::{QuantityEntryDoc, entries_of, overview};
pub use work::{QuantityLineDoc, QuantityPreviewDoc, Wanted, preview_of, print_chain, run_of};

use crate::app::App;
use crate::failure::{CliError, Exit};
use clap::Subcommand;
use trueup_engine::mappings::Site;

/// What `quantity` does.
#[derive(Debug, Subcommand)]
pub enum QuantityCommand {
    /// Says as which catalog item a service is billed
    Assign(AssignArgs),
    /// Lists the assignments, with the organization that each comes from
    Assignments(OfSource),
    /// Lists what is counted, what nobody assigned first
    Services,
    /// Lists the customers that something is counted for, those first for whom something has to be chosen
    Customers,
    /// Removes what this organization set for a service, so that the level above counts again
    Unassign(UnassignArgs),
    /// Says how levels become the quantity of a catalog item; without flags it shows the rule
    Rule(Box<RuleArgs>),
    /// Switches a customer on or off and ticks the services that are billed
    Customer(CustomerArgs),
    /// Says which addition a customer's line is, or that a new one is meant
    Pick(PickArgs),
    /// The lines as the last run saw them, each with its quantity step by step
    Show(ShowArgs),
    /// Compares now and shows what would be written; stores the plan and writes nothing
    Preview(CompareArgs),
    /// Compares now and writes what may be written
    Run(RunArgs),
}

/// Runs the command.
///
/// # Errors
/// Whatever stopped it.
pub async fn run(app: &App, command: QuantityCommand) -> Result<Exit, CliError> {
    match command {
        QuantityCommand::Assign(args) => assign::assign(app, args).await,
        QuantityCommand::Assignments(args) => assign::assignments(app, args).await,
        QuantityCommand::Services => assign::services(app).await,
        QuantityCommand::Customers => assign::customers(app).await,
        QuantityCommand::Unassign(args) => assign::unassign(app, args).await,
        QuantityCommand::Rule(args) => rule::rule(app, *args).await,
        QuantityCommand::Customer(args) => assign::customer(app, args).await,
        QuantityCommand::Pick(args) => assign::pick(app, args).await,
        QuantityCommand::Show(args) => work::show(app, args).await,
        QuantityCommand::Preview(args) => work::preview(app, args).await,
        QuantityCommand::Run(args) => work::execute(app, args).await,
    }
}

/// Where use cases of quantities work.
pub fn site(app: &App) -> Site<'_> {
    Site {
        store: app.store(),
        clock: &app.clock,
        org: app.org(),
        actor: app.actor(),
        overlays: &app.options.overlays,
    }
}
