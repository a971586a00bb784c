//! `trueup demo`: a believable world in one process, from the feed to invoices that equal the marketplace's charges.
//!
//! It runs the very commands that a person would type, and shows each before it runs.

mod april;
mod charges;
mod orders;
mod world;

use crate::app::App;
use crate::cli::{Cli, Command};
use crate::commands::{check, feed, mapping, plan, psa};
use crate::compose;
use crate::config::Options;
use crate::failure::{CliError, Exit};
use crate::output::Format;
use crate::serve::{self, Start, Visitor};
use clap::{Args, Parser};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use trueup_connectwise::client::address::AllowedHosts;
use trueup_connectwise::client::{ClientConfig, ConnectWiseClient, Credentials};
use trueup_domain::ids::OrganizationId;
use trueup_engine::apply::ApplyOptions;
use trueup_engine::applying;
use trueup_engine::ports::Clock;
use trueup_engine::records::{Connection, NewAuditEntry, SecretText};
use trueup_engine::settings::Overlays;
use trueup_sandbox::{Sandbox, SandboxConfig};

/// The name of the connection to the sandbox.
const CONNECTION: &str = "sandbox";
/// Who signs in.
const VISITOR: &str = "demo@example.com";

/// Flags of `demo`.
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// Ends after the run instead of staying up
    #[arg(long)]
    pub once: bool,
    /// Where the console is served; it has to be this machine
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
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

/// Runs the demonstration, then serves the console over its world until it is interrupted.
///
/// # Errors
/// A port or a directory that cannot be used, or what stopped one of the commands.
pub async fn run(args: DemoArgs, options: Options, named_dir: bool) -> Result<Exit, CliError> {
    if !args.listen.ip().is_loopback() {
        return Err(CliError::usage(
            format!("{} is not an address of this machine alone", args.listen),
            "The demo prints a password: serve it at 127.0.0.1, or start `trueup serve` instead.",
        ));
    }
    let place = place_for(named_dir.then_some(options.data_dir.as_path()))?;
    let config = SandboxConfig { port: 0, seed: Some(world::seed()), today: Some(world::TODAY.to_owned()) };
    let sandbox = trueup_sandbox::start(config)
        .await
        .map_err(|error| CliError::usage(error.to_string(), "Start the demo again."))?;
    let app = App::open(options_of(&options, &place, world::TODAY)?).await?;
    let mut exit = play(&app, &sandbox, &place.dir).await?;
    let out = app.out;
    // The embedded database belongs to one process at a time: from here on the service has it.
    app.store().close().await?;
    drop(app);
    if !args.once {
        let later = options_of(&options, &place, april::TODAY)?;
        let visitor = prepare(&later, &place.dir).await?;
        let url = sandbox.url();
        out.line("");
        out.line(&format!(
            "The sandbox answers at {url}: /sandbox/state is what it holds, /sandbox/invoices its invoices."
        ));
        exit = serve_console(args.listen, later, visitor).await?;
    }
    sandbox.shutdown().await;
    Ok(exit)
}

/// Hands in what was sold after the invoiced month, and lets somebody in: their address and password.
async fn prepare(options: &Options, dir: &Path) -> Result<(String, String), CliError> {
    let store = compose::sql_store(options).await?;
    let app = App::over(store.clone(), options.clone()).await?;
    let feed_file = write(dir, "demo-feed-april.ndjson", &april::feed())?;
    app.out.line(&format!(
        "\n== Some days later, on {}: new customers, a new product, more seats",
        april::TODAY
    ));
    for words in [vec!["psa", "pull"], vec!["feed", "import", feed_file.as_str()], vec!["check"]] {
        app.out.line(&format!("$ trueup {}", words.join(" ")));
        step(&app, &words).await?;
    }
    let named = NewAuditEntry {
        at: app.clock.now(),
        actor: app.actor().to_owned(),
        action: "organization.rename".to_owned(),
        object: format!("organization/{}", app.org()),
        addition: None,
        detail: "{}".to_owned(),
    };
    store.rename_organization(app.org(), "Demo reseller", &named).await?;
    let visitor =
        serve::people::visitor(&store, &app.clock, app.actor(), VISITOR).await.map_err(|problem| {
            CliError::usage(problem.detail.clone(), "Start the demo again in an empty directory.")
        })?;
    app.store().close().await?;
    Ok((VISITOR.to_owned(), visitor))
}

/// Serves API and console over the world of the demonstration, with one address that signs in.
async fn serve_console(
    listen: SocketAddr,
    mut options: Options,
    (email, password): (String, String),
) -> Result<Exit, CliError> {
    // The sandbox is on this machine, which a service calls where its operator says so.
    options.allowed_private_hosts.push("127.0.0.1".to_owned());
    let start = Start {
        api: true,
        worker: true,
        listen,
        public_url: None,
        metrics_listen: None,
        behind_proxy: false,
        visitor: Some(Visitor { email, password }),
    };
    serve::run(start, options).await
}

/// The steps, from the feed to the comparison.
async fn play(app: &App, sandbox: &Sandbox, dir: &Path) -> Result<Exit, CliError> {
    let out = app.out;
    out.line(&format!(
        "A ConnectWise sandbox with {} companies is up; the day is {}. Nothing leaves this machine.",
        world::COMPANIES.len() + world::NEWCOMERS.len(),
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
fn options_of(given: &Options, place: &Place, day: &str) -> Result<Options, CliError> {
    let today =
        day.parse().map_err(|_| CliError::usage("the demo's own day is no date", "Report this as a bug."))?;
    Ok(Options {
        data_dir: place.dir.clone(),
        database: None,
        today: Some(today),
        org: OrganizationId::from("default"),
        format: Format::Table,
        overlays: Overlays::default(),
        actor: format!("demo, as if it were {day}"),
        ..given.clone()
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
