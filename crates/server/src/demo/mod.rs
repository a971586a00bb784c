//! `trueup demo`: a believable world in one process, from the feed to invoices that equal the marketplace's charges.
//!
//! It runs the very commands that a person would type, and shows each before it runs.

mod charges;
mod orders;
mod world;

use crate::app::App;
use crate::cli::{Cli, Command};
use crate::commands::{check, feed, mapping, plan, psa};
use crate::config::Options;
use crate::failure::{CliError, Exit};
use crate::output::Format;
use clap::{Args, Parser};
use std::path::{Path, PathBuf};
use trueup_connectwise::client::address::AllowedHosts;
use trueup_connectwise::client::{ClientConfig, ConnectWiseClient, Credentials};
use trueup_domain::ids::OrganizationId;
use trueup_engine::apply::ApplyOptions;
use trueup_engine::applying;
use trueup_engine::ports::Clock;
use trueup_engine::records::{Connection, SecretText};
use trueup_engine::settings::Overlays;
use trueup_sandbox::{Sandbox, SandboxConfig};

/// The name of the connection to the sandbox.
const CONNECTION: &str = "sandbox";

/// Flags of `demo`.
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// Ends after the run instead of staying up
    #[arg(long)]
    pub once: bool,
}

/// Where the data of this run live, and whether they go with it.
struct Place {
    dir: PathBuf,
    temporary: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.temporary {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

/// Runs the demonstration, then stays up until it is interrupted.
///
/// # Errors
/// A port or a directory that cannot be used, or what stopped one of the commands.
pub async fn run(args: DemoArgs, options: Options, named_dir: bool) -> Result<Exit, CliError> {
    let place = place_for(named_dir.then_some(options.data_dir.as_path()))?;
    let config = SandboxConfig { port: 0, seed: Some(world::seed()), today: Some(world::TODAY.to_owned()) };
    let sandbox = trueup_sandbox::start(config)
        .await
        .map_err(|error| CliError::usage(error.to_string(), "Start the demo again."))?;
    let app = App::open(options_of(options, &place)?).await?;
    let exit = play(&app, &sandbox, &place.dir).await?;
    let out = app.out;
    // The embedded database belongs to one process at a time: from here on other commands may use it.
    drop(app);
    let url = sandbox.url();
    out.line("");
    out.line(&format!("The sandbox answers at {url}"));
    out.line(&format!("  what it holds: {url}/sandbox/state"));
    out.line(&format!("  its invoices:  {url}/sandbox/invoices"));
    out.line("This build has no console yet: the command line and these addresses show what happened.");
    if !args.once {
        out.line(&format!(
            "In another terminal: trueup --data-dir '{}' --today {} task list",
            place.dir.display(),
            world::TODAY
        ));
        out.line("Ctrl-C ends the demo.");
        wait_for_stop().await;
    }
    sandbox.shutdown().await;
    Ok(exit)
}

/// The steps, from the feed to the comparison.
async fn play(app: &App, sandbox: &Sandbox, dir: &Path) -> Result<Exit, CliError> {
    let out = app.out;
    out.line(&format!(
        "A ConnectWise sandbox with {} companies is up; the day is {}. Nothing leaves this machine.",
        world::COMPANIES.len(),
        world::TODAY
    ));
    app.store().save_connection(app.org(), &connection_to(app, sandbox)).await?;
    let feed_file = write(dir, "demo-feed.ndjson", &orders::feed())?;
    let mapping_file = write(dir, "demo-mappings.csv", &world::mappings())?;
    let mut exit = Exit::Done;
    for (title, words) in [
        ("What ConnectWise holds", vec!["psa", "pull"]),
        ("What the marketplace sold", vec!["feed", "import", &feed_file]),
        ("What is what in ConnectWise", vec!["mapping", "import", &mapping_file]),
        ("Check for changes", vec!["check", "--since", world::MONTH]),
        (
            "Plan, with its effect in money; an addition made by hand is taken over, not doubled",
            vec!["plan", "--adopt"],
        ),
    ] {
        out.line(&format!("\n== {title}\n$ trueup {}", words.join(" ")));
        if step(app, &words).await? != Exit::Done {
            exit = Exit::NeedsPerson;
        }
    }
    out.line("\n== Apply");
    if !apply(app).await? {
        exit = Exit::NeedsPerson;
    }
    out.line(&format!("\n== Invoice the month from {}, and compare", world::MONTH));
    invoice(sandbox).await?;
    if !charges::compare(out, &sandbox.control().invoices()) {
        exit = Exit::NeedsPerson;
    }
    Ok(exit)
}

/// Runs a command as the command line would.
async fn step(app: &App, words: &[&str]) -> Result<Exit, CliError> {
    let all = std::iter::once("trueup").chain(words.iter().copied());
    let cli = Cli::try_parse_from(all)
        .map_err(|error| CliError::usage(error.to_string(), "Clear the TRUEUP_ variables that are wrong."))?;
    match cli.command {
        Command::Psa(command) => psa::run(app, command).await,
        Command::Feed(feed::FeedCommand::Import(args)) => feed::import(app, args).await,
        Command::Mapping(command) => mapping::run(app, command).await,
        Command::Check(args) => check::run(app, args).await,
        Command::Plan(args) => plan::run(app, args).await,
        _ => Ok(Exit::Usage), // the demonstration has no other steps
    }
}

/// Carries the newest plan out; whether all of it was applied.
async fn apply(app: &App) -> Result<bool, CliError> {
    let Some(stored) = app.store().list_plans(app.org(), 1).await?.into_iter().next() else {
        app.out.line("There is no plan.");
        return Ok(false);
    };
    app.out.line(&format!("$ trueup apply {}", stored.id));
    let (name, psa) = app.psa(Some(CONNECTION)).await?;
    let options =
        ApplyOptions { actor: app.actor().to_owned(), connection: Some(name), ..ApplyOptions::default() };
    let report = applying::apply(app.store(), psa.as_ref(), &app.clock, app.org(), &stored, &options).await?;
    let sum = &report.summary;
    app.out.line(&format!(
        "{} applied, {} failed, {} skipped, {} in doubt; {} calls.",
        sum.applied, sum.failed, sum.skipped, sum.in_doubt, sum.calls
    ));
    Ok(!report.needs_attention())
}

/// Has ConnectWise make the invoices of all agreements.
async fn invoice(sandbox: &Sandbox) -> Result<(), CliError> {
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        CliError::usage(format!("{what}: {error}"), "Start the demo again.")
    };
    let credentials = Credentials {
        company: sandbox.company().to_owned(),
        public_key: sandbox.public_key().to_owned(),
        private_key: sandbox.private_key().to_owned().into(),
        client_id: sandbox.client_id().to_owned(),
    };
    let mut config = ClientConfig::new(sandbox.url(), credentials);
    config.allowed = AllowedHosts { loopback: true, ..AllowedHosts::default() };
    let client =
        ConnectWiseClient::new(config).map_err(|error| failed("the sandbox cannot be called", &error))?;
    for agreement in world::COMPANIES.iter().flat_map(world::Company::agreements) {
        let path = format!("/finance/agreements/{agreement}/invoice");
        let _id: serde_json::Value = client
            .post(&path, &serde_json::json!({}))
            .await
            .map_err(|error| failed(&format!("agreement {agreement} was not invoiced"), &error))?;
    }
    Ok(())
}

fn connection_to(app: &App, sandbox: &Sandbox) -> Connection {
    Connection {
        name: CONNECTION.to_owned(),
        url: sandbox.url(),
        company: sandbox.company().to_owned(),
        public_key: sandbox.public_key().to_owned(),
        private_key: SecretText::new(sandbox.private_key().to_owned()),
        client_id: sandbox.client_id().to_owned(),
        created_at: app.clock.now(),
    }
}

/// Nothing of the installation around it: no stored settings, no database server, always for people.
fn options_of(given: Options, place: &Place) -> Result<Options, CliError> {
    let today = world::TODAY
        .parse()
        .map_err(|_| CliError::usage("the demo's own day is no date", "Report this as a bug."))?;
    Ok(Options {
        data_dir: place.dir.clone(),
        database: None,
        today: Some(today),
        org: OrganizationId::from("default"),
        format: Format::Table,
        overlays: Overlays::default(),
        actor: format!("demo, as if it were {}", world::TODAY),
        ..given
    })
}

/// A directory that no earlier run has used.
fn place_for(named: Option<&Path>) -> Result<Place, CliError> {
    let fresh = || format!("trueup-demo-{}", uuid::Uuid::now_v7().simple());
    let place = match named {
        None => Place { dir: std::env::temp_dir().join(fresh()), temporary: true },
        Some(dir) => {
            let used = std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
            let dir = if used { dir.join(fresh()) } else { dir.to_path_buf() };
            Place { dir, temporary: false }
        }
    };
    std::fs::create_dir_all(&place.dir).map_err(|error| {
        CliError::usage(
            format!("the directory {} cannot be made: {error}", place.dir.display()),
            "Name a directory that can be written with --data-dir.",
        )
    })?;
    Ok(place)
}

fn write(dir: &Path, name: &str, text: &str) -> Result<String, CliError> {
    let path = dir.join(name);
    std::fs::write(&path, text).map_err(|error| {
        CliError::usage(format!("{} cannot be written: {error}", path.display()), "Free some space.")
    })?;
    Ok(path.display().to_string())
}

/// Until Ctrl-C, or the signal that service managers send.
async fn wait_for_stop() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    if let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = interrupt => {}
            _ = terminate.recv() => {}
        }
        return;
    }
    let _ = interrupt.await;
}
