//! The commands: each reads its flags, calls one use case, and prints what it says.

pub mod alert;
pub mod apply;
pub mod approval;
pub mod audit;
pub mod backup;
pub mod check;
pub mod connection;
pub mod doctor;
pub mod feed;
pub mod finding;
pub mod maintenance;
pub mod mapping;
pub mod org;
pub mod plan;
pub mod psa;
pub mod quantity;
pub mod sandbox;
pub mod serve;
pub mod setting;
pub mod task;
pub mod undo;
pub mod user;
pub mod webhook;

use crate::app::App;
use crate::cli::{Cli, Command};
use crate::config;
use crate::demo;
use crate::failure::{CliError, Exit};
use crate::output;
use crate::serve::INSTALLATION;
use clap::CommandFactory;
use std::path::Path;
use trueup_domain::ids::OrganizationId;

/// Runs one command.
///
/// # Errors
/// Whatever stopped it.
pub async fn run(mut cli: Cli) -> Result<Exit, CliError> {
    let is_installation = audit::is_of_installation(&cli);
    if is_installation {
        cli.global.org = None;
    }
    let options = config::resolve(&cli.global)?;
    match cli.command {
        Command::Sandbox(args) => return sandbox::run(args, options.today).await,
        Command::Completions { shell } => return completions(shell),
        Command::Man { dir } => return man(dir.as_deref()),
        Command::Demo(args) => return demo::run(args, options, cli.global.data_dir.is_some()).await,
        Command::Serve(args) => return serve::run(args, options).await,
        Command::Openapi => return serve::openapi(),
        Command::Backup(command) => return backup::run(options, command).await,
        Command::Key(command) => return backup::key(options, command).await,
        Command::Maintenance { dry_run } => return maintenance::run(options, dry_run).await,
        Command::User(command) => return user::run(options, command).await,
        Command::Org(org::OrgCommand::Move(args)) => return org::move_to(options, args).await,
        Command::Connection(connection::ConnectionCommand::Rotate(args)) => {
            return connection::rotate(options, args).await;
        }
        Command::Webhook(command) => return webhook::run(options, command).await,
        Command::Feed(feed::FeedCommand::Check(args)) => {
            return feed::check(output::Output::new(options.format), args).await;
        }
        _ => {} // every other command works on an open installation
    }
    if let Command::Doctor = cli.command {
        return doctor::run(options).await;
    }
    let mut app = App::open(options).await?;
    if is_installation {
        app.options.org = OrganizationId::from(INSTALLATION);
    }
    let done = on_installation(&app, cli.command).await;
    // Also after a failure; but what stopped the command is the news then.
    let closed = app.store().close().await;
    let exit = done?;
    closed?;
    Ok(exit)
}

/// Runs a command that works on an open installation.
async fn on_installation(app: &App, command: Command) -> Result<Exit, CliError> {
    match command {
        Command::Connection(command) => connection::run(app, command).await,
        Command::Feed(feed::FeedCommand::Import(args)) => feed::import(app, args).await,
        Command::Mapping(command) => mapping::run(app, command).await,
        Command::Psa(command) => psa::run(app, command).await,
        Command::Check(args) => check::run(app, args).await,
        Command::Task(command) => task::run(app, command).await,
        Command::Finding(command) => finding::run(app, command).await,
        Command::Org(command) => org::run(app, command).await,
        Command::Plan(args) => plan::run(app, args).await,
        Command::Apply(args) => apply::run(app, args).await,
        Command::Approval(command) => approval::run(app, command).await,
        Command::Undo(args) => undo::run(app, args).await,
        Command::Quantity(command) => quantity::run(app, *command).await,
        Command::Alert(command) => alert::run(app, *command).await,
        Command::Setting(command) => setting::run(app, command).await,
        Command::Audit(command) => audit::run(app, command).await,
        Command::Demo(_)
        | Command::Serve(_)
        | Command::Openapi
        | Command::Sandbox(_)
        | Command::Doctor
        | Command::Feed(feed::FeedCommand::Check(_))
        | Command::User(_)
        | Command::Webhook(_)
        | Command::Backup(_)
        | Command::Key(_)
        | Command::Maintenance { .. }
        | Command::Completions { .. }
        | Command::Man { .. } => Ok(Exit::Done),
    }
}

fn completions(shell: clap_complete::Shell) -> Result<Exit, CliError> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "trueup", &mut text);
    output::print(String::from_utf8_lossy(&text).trim_end());
    Ok(Exit::Done)
}

fn man(dir: Option<&Path>) -> Result<Exit, CliError> {
    let failed = |error: std::io::Error| {
        CliError::usage(
            format!("the manual cannot be written: {error}"),
            "Name a directory that can be written.",
        )
    };
    match dir {
        Some(dir) => {
            std::fs::create_dir_all(dir).map_err(failed)?;
            clap_mangen::generate_to(Cli::command(), dir).map_err(failed)?;
        }
        None => {
            let mut text = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut text).map_err(failed)?;
            output::print(String::from_utf8_lossy(&text).trim_end());
        }
    }
    Ok(Exit::Done)
}
