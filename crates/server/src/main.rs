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
mod mapping_csv;
mod moving;
mod output;
mod serve;
mod stops;
mod traces;

use clap::Parser;
use failure::{CliError, Exit};
use mimalloc::MiMalloc;
use std::io::IsTerminal;
use std::process::ExitCode;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// A plan and an import ask for very many small pieces of memory: with this one they take less of the processors than with
/// those of the systems.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
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
    start_log(cli.global.verbose, cli.log(), traces.as_ref());
    let ended = match runtime.block_on(commands::run(cli)) {
        Ok(exit) => exit.into(),
        Err(error) => error.report(json),
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

fn start_log(verbose: u8, form: cli::LogForm, traces: Option<&traces::Traces>) {
    let default = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug", // open set: a count of flags
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("TRUEUP_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    let is_colored =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(is_colored);
    let log = match form {
        cli::LogForm::Text => log.boxed(),
        cli::LogForm::Json => log.json().flatten_event(true).boxed(),
    };
    // Each has a filter of its own: what is traced does not depend on how much is logged.
    let registry = tracing_subscriber::registry().with(log.with_filter(filter));
    let _ = registry.with(traces.map(traces::Traces::layer)).try_init();
}
