//! The binary `trueup`: keeps ConnectWise agreements true to what was sold.
//!
//! This crate reads the command line and the configuration, puts the parts together, and renders what the use cases
//! of the engine say. It decides nothing about money, dates or additions.

mod app;
mod cli;
mod clock;
mod commands;
mod compose;
mod config;
mod demo;
mod deployment;
mod failure;
mod limits;
mod line_edits;
mod log;
mod mapping_csv;
mod moving;
mod output;
mod serve;
mod stops;
mod traces;

use clap::{CommandFactory, FromArgMatches};
use failure::{CliError, Exit};
use mimalloc::MiMalloc;
use std::process::ExitCode;

/// A plan and an import ask for very many small pieces of memory: with this one they take less of the processors than with
/// those of the systems.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let matches = cli::Cli::command().try_get_matches();
    let (cli, name) = match matches.and_then(|found| Ok((cli::Cli::from_arg_matches(&found)?, named(&found))))
    {
        Ok(found) => found,
        Err(error) => return usage(&error),
    };
    if cli.global.quiet {
        output::be_quiet();
    }
    let json = cli.global.format == Some(output::Format::Json);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let error = CliError::usage(format!("no runtime can be started: {error}"), "Free some memory.");
            return error.report(json);
        }
    };
    let traces =
        traces_of(&cli).and_then(|options| traces::Traces::start(&options, runtime.handle().clone()));
    log::start(cli.global.verbose, cli.log(), traces.as_ref());
    let ended = match runtime.block_on(commands::run(cli)) {
        Ok(exit) => {
            tracing::info!(command = name, ?exit, "ended");
            exit.into()
        }
        Err(error) => {
            tracing::info!(command = name, "stopped: {error}");
            error.report(json)
        }
    };
    if let Some(traces) = traces {
        traces.finish();
    }
    // A thread that still waits for standard input has nobody left to read for.
    runtime.shutdown_background();
    match output::lost() {
        Some(why) => CliError::output_lost(why).report(false),
        None => ended,
    }
}

/// The words of the command, such as `feed import`: without its arguments, which may be anything.
fn named(matches: &clap::ArgMatches) -> String {
    let below = |of: &clap::ArgMatches| of.subcommand().map(|(name, below)| (name.to_owned(), below.clone()));
    let words = std::iter::successors(below(matches), |(_, of)| below(of)).map(|(name, _)| name);
    words.collect::<Vec<_>>().join(" ")
}

/// Help and version go to standard output; wrong usage goes to standard error, and as a document where JSON is asked
/// for.
fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    if error.exit_code() == 0 {
        return Exit::Done.into();
    }
    let wants_json = asks_for_json(std::env::args(), std::env::var("TRUEUP_FORMAT").ok().as_deref());
    if wants_json {
        let what = said(&error.to_string());
        output::print_json(&CliError::usage(what, "See `trueup --help`.").document());
    }
    Exit::Usage.into()
}

/// The paragraph that says what is wrong, in one line; usage and tips follow it.
fn said(text: &str) -> String {
    let words = text.lines().map(str::trim).take_while(|line| !line.is_empty());
    words.collect::<Vec<_>>().join(" ").trim_start_matches("error: ").to_owned()
}

/// What the flag says, else the environment. The command line could not be read, so it is looked at word by word.
fn asks_for_json(words: impl Iterator<Item = String>, environment: Option<&str>) -> bool {
    let mut format = environment.map(str::to_owned);
    let mut is_value = false;
    for word in words {
        if is_value {
            format = Some(word.clone());
        }
        is_value = word == "--format";
        if let Some(value) = word.strip_prefix("--format=") {
            format = Some(value.to_owned());
        }
    }
    format.as_deref() == Some("json")
}

/// Where the service sends traces; nothing else does. What is wrong with the configuration is said by the command itself.
fn traces_of(cli: &cli::Cli) -> Option<deployment::TraceOptions> {
    match &cli.command {
        cli::Command::Serve(_) => config::resolve(&cli.global).ok()?.traces,
        _ => None, // open set: no other command
    }
}
