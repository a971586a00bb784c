//! `trueup connection`: connections to ConnectWise. Private keys come from the environment or standard input, never
//! from a flag, and are never printed.

use crate::app::App;
use crate::compose;
use crate::config::Options;
use crate::failure::{CliError, Exit};
use crate::output::{Output, documents::instant, note};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use std::io::{BufRead, IsTerminal};
use trueup_domain::finding::Code;
use trueup_domain::ids::OrganizationId;
use trueup_engine::ports::{Clock, Psa, PsaError, PsaReport, Right, Store, StoreError};
use trueup_engine::quantity;
use trueup_engine::records::{Connection, NewAuditEntry, SecretText};
use trueup_store::SqlStore;
use url::Url;

const KEY_VARIABLE: &str = "TRUEUP_CONNECTWISE_PRIVATE_KEY";

/// Connections.
#[derive(Debug, Subcommand)]
pub enum ConnectionCommand {
    /// Stores a connection, tests it, and lists missing permissions; the private key comes from
    /// TRUEUP_CONNECTWISE_PRIVATE_KEY or standard input
    Add(AddArgs),
    /// Lists the connections
    List,
    /// Tests a connection
    Test {
        /// The connection [default: the nearest one]
        name: Option<String>,
    },
    /// Replaces the keys of a connection once the new ones work
    Rotate(RotateArgs),
    /// Forgets a connection with its keys; what was written over it stays remembered
    Remove {
        /// The connection
        name: String,
    },
}

/// Flags of `connection add`.
#[derive(Args, Debug)]
pub struct AddArgs {
    /// Its name
    #[arg(long, default_value = "connectwise")]
    name: String,
    /// The address, such as `https://api-na.myconnectwise.net`
    #[arg(long, value_name = "ROOT")]
    url: String,
    /// The company as typed at sign-in
    #[arg(long, value_name = "ID")]
    company: String,
    /// The public key of the API member
    #[arg(long, value_name = "K")]
    public_key: String,
    /// The client id [default: that of the deployment, where there is one]
    #[arg(long, value_name = "G")]
    client_id: Option<String>,
}

/// Flags of `connection rotate`.
#[derive(Args, Debug)]
pub struct RotateArgs {
    /// The connection [default: the nearest one]
    name: Option<String>,
    /// The new public key [default: the old one]
    #[arg(long, value_name = "K")]
    public_key: Option<String>,
    /// The new client id [default: the old one]
    #[arg(long, value_name = "G")]
    client_id: Option<String>,
}

#[derive(Serialize)]
struct ConnectionDoc<'a> {
    name: &'a str,
    url: &'a str,
    company: &'a str,
    public_key: &'a str,
    client_id: &'a str,
    created_at: String,
    /// What the last test said, and when.
    #[serde(skip_serializing_if = "Option::is_none")]
    tested: Option<String>,
}

impl<'a> From<&'a Connection> for ConnectionDoc<'a> {
    fn from(connection: &'a Connection) -> Self {
        Self {
            name: &connection.name,
            url: &connection.url,
            company: &connection.company,
            public_key: &connection.public_key,
            client_id: &connection.client_id,
            created_at: instant(connection.created_at),
            tested: None,
        }
    }
}

/// Runs one of the commands.
pub async fn run(app: &App, command: ConnectionCommand) -> Result<Exit, CliError> {
    match command {
        ConnectionCommand::Add(args) => add(app, args).await,
        ConnectionCommand::List => list(app).await,
        ConnectionCommand::Test { name } => {
            let connection = app.connection(name.as_deref()).await?;
            let psa = compose::psa(&connection, &app.settings().await?, &app.options)?;
            let tested = ask(app, psa.as_ref()).await;
            remember(app, &connection.name, &tested).await?;
            Ok(show(app.out, &connection, &tested?))
        }
        ConnectionCommand::Rotate(_) => Ok(Exit::Done), // it opens the store itself
        ConnectionCommand::Remove { name } => remove(app, &name).await,
    }
}

fn private_key() -> Result<SecretText, CliError> {
    let from_environment = std::env::var(KEY_VARIABLE).ok().filter(|key| !key.trim().is_empty());
    let text = match from_environment {
        Some(key) => key,
        None => {
            if std::io::stdin().is_terminal() {
                note("Type or paste the private key (it is shown), then press Enter:");
            }
            let mut line = String::new();
            let _ = std::io::stdin().lock().read_line(&mut line);
            line
        }
    };
    let key = text.trim();
    if key.is_empty() {
        return Err(CliError::usage(
            "the private key is missing",
            format!("Put it into {KEY_VARIABLE}, or write it to standard input."),
        ));
    }
    Ok(SecretText::new(key.to_owned()))
}

/// Plain http shows the keys to everybody on the way; it is accepted for this machine alone.
fn check_address(address: &str) -> Result<(), CliError> {
    let plain = Url::parse(address).is_ok_and(|url| url.scheme() == "http");
    if plain && !compose::is_loopback(address) {
        return Err(CliError::coded(
            Exit::Usage,
            Code::Tu1005,
            format!("`{address}` is plain http, which is accepted for loopback addresses alone; use https"),
        ));
    }
    Ok(())
}

/// What no connection is without, and what would break the line or the address that shows its name.
fn check_given(args: &AddArgs, client_id: &str) -> Result<(), CliError> {
    let breaks = |c: char| c.is_control() || c == '/';
    if args.name.trim().is_empty() || args.name.contains(breaks) {
        return Err(CliError::usage(
            "the name of a connection cannot be used: it is empty, or holds a slash or a control character",
            "Give another `--name`.",
        ));
    }
    for (what, flag) in [(&args.company, "--company"), (&args.public_key, "--public-key")] {
        if what.trim().is_empty() {
            return Err(CliError::usage(
                format!("`{flag}` is empty"),
                "ConnectWise tells it to its administrators.",
            ));
        }
    }
    if client_id.trim().is_empty() {
        return Err(CliError::coded(
            Exit::Usage,
            Code::Tu1003,
            "the client id is empty; register one at the ConnectWise developer site and pass it with `--client-id`",
        ));
    }
    Ok(())
}

async fn add(app: &App, args: AddArgs) -> Result<Exit, CliError> {
    check_address(&args.url)?;
    let client_id = args.client_id.clone().or_else(|| app.options.client_id.clone()).unwrap_or_default();
    check_given(&args, &client_id)?;
    let connection = Connection {
        name: args.name,
        url: args.url.trim().to_owned(),
        company: args.company,
        public_key: args.public_key,
        private_key: private_key()?,
        client_id,
        created_at: app.clock.now(),
    };
    // Building the adapter judges address and keys; what cannot be used is not stored.
    let psa = compose::psa(&connection, &app.settings().await?, &app.options)?;
    let replaces = match app.store().list_connections(app.org()).await {
        Ok(stored) => stored.iter().any(|c| c.name == connection.name),
        // Entering a connection anew is the way out of a lost key: what cannot be opened cannot work either.
        Err(StoreError::KeyMissing(_)) => false,
        Err(error) => return Err(error.into()),
    };
    let tested = ask(app, psa.as_ref()).await;
    if replaces && let Err(error) = tested {
        // What is stored may work, and runs rely on it.
        let told =
            format!("connection {} stays as it was, since the new one failed its test", connection.name);
        return Err(CliError::from(error).after(&told));
    }
    save(app, &connection, "connection.add").await?;
    remember(app, &connection.name, &tested).await?;
    match tested {
        Ok(report) => Ok(show(app.out, &connection, &report)),
        Err(error) => {
            let told = format!("connection {} is stored, but its test failed", connection.name);
            Err(CliError::from(error).after(&told))
        }
    }
}

async fn save(app: &App, connection: &Connection, action: &str) -> Result<(), CliError> {
    app.store().save_connection(app.org(), connection).await?;
    let at = instant(app.clock.now());
    app.store().save_mark(app.org(), &key_mark_of(&connection.name), &at).await?;
    let entry = NewAuditEntry {
        at: app.clock.now(),
        actor: app.actor().to_owned(),
        action: action.to_owned(),
        object: format!("connection/{}", connection.name),
        addition: None,
        detail: json!(ConnectionDoc::from(connection)).to_string(),
    };
    Ok(app.store().append_audit(app.org(), &[entry]).await?)
}

async fn ask(app: &App, psa: &dyn Psa) -> Result<PsaReport, PsaError> {
    let spinner = app.out.progress("Testing the connection");
    let report = psa.probe().await;
    spinner.finish_and_clear();
    Ok(needed(app.store(), app.org(), report?).await)
}

/// What a test found, without the rights that orders alone need where nothing but what is counted is billed.
pub async fn needed(store: &dyn Store, org: &OrganizationId, mut report: PsaReport) -> PsaReport {
    // Where the store cannot say, every right is asked for.
    if quantity::bills_alone(store, org).await.unwrap_or(false) {
        report.rights.retain(|right| !right.is_for_orders_alone());
    }
    report
}

/// Keeps what the last test of a stored connection said.
async fn remember(app: &App, name: &str, tested: &Result<PsaReport, PsaError>) -> Result<(), CliError> {
    let words = match tested {
        Ok(report) if missing(report).is_empty() => "works".to_owned(),
        Ok(report) => format!("works, and lacks {} rights (TU1004)", missing(report).len()),
        Err(error) => format!("failed ({})", error.code),
    };
    let told = format!("{words}, {}", instant(app.clock.now()));
    Ok(app.store().save_mark(app.org(), &mark_of(name), &told).await?)
}

/// The mark that says when a connection's private key was set.
pub fn key_mark_of(name: &str) -> String {
    format!("connection-key/{name}")
}

fn mark_of(name: &str) -> String {
    format!("connection-test/{name}")
}

/// Replaces the keys of an organization's own connection.
///
/// # Errors
/// The connection belongs to a level above, the new keys do not work, or the store's.
pub async fn rotate(options: Options, args: RotateArgs) -> Result<Exit, CliError> {
    let store = compose::sql_store(&options).await?;
    let app = App::over(store.clone(), options).await?;
    let done = rotate_own(&app, &store, args).await;
    let closed = app.store().close().await;
    let exit = done?;
    closed?;
    Ok(exit)
}

/// Under a level below it would become a second connection there, and the one that others use kept its old keys.
async fn own(app: &App, store: &SqlStore, name: &str) -> Result<(), CliError> {
    match store.connection_owners(app.org()).await?.get(name) {
        Some(owner) if owner != app.org() => Err(CliError::usage(
            format!("connection `{name}` belongs to organization {owner}, a level above {}", app.org()),
            format!(
                "Change it there, for everybody who uses it: `trueup --org {owner} connection rotate {name}`."
            ),
        )),
        Some(_) | None => Ok(()),
    }
}

async fn rotate_own(app: &App, store: &SqlStore, args: RotateArgs) -> Result<Exit, CliError> {
    let old = app.connection(args.name.as_deref()).await?;
    own(app, store, &old.name).await?;
    let connection = Connection {
        public_key: args.public_key.unwrap_or_else(|| old.public_key.clone()),
        client_id: args.client_id.unwrap_or_else(|| old.client_id.clone()),
        private_key: private_key()?,
        ..old
    };
    // The old keys stay until the new ones have worked once.
    let psa = compose::psa(&connection, &app.settings().await?, &app.options)?;
    let tested = ask(app, psa.as_ref()).await;
    if let Err(error) = tested {
        let told =
            format!("connection {} keeps its keys, since the new ones failed their test", connection.name);
        return Err(CliError::from(error).after(&told));
    }
    save(app, &connection, "connection.rotate").await?;
    remember(app, &connection.name, &tested).await?;
    Ok(show(app.out, &connection, &tested?))
}

async fn remove(app: &App, name: &str) -> Result<Exit, CliError> {
    if !app.store().remove_connection(app.org(), name).await? {
        return Err(CliError::usage(
            format!("organization {} has no connection `{name}` of its own", app.org()),
            "`trueup connection list` shows them; one of a level above is removed there (`--org`).",
        ));
    }
    let entry = NewAuditEntry {
        at: app.clock.now(),
        actor: app.actor().to_owned(),
        action: "connection.remove".to_owned(),
        object: format!("connection/{name}"),
        addition: None,
        detail: json!({ "name": name }).to_string(),
    };
    app.store().append_audit(app.org(), &[entry]).await?;
    app.out.show(&json!({ "removed": name }), |out| out.line(&format!("Connection {name} is forgotten.")));
    Ok(Exit::Done)
}

async fn list(app: &App) -> Result<Exit, CliError> {
    let all = app.store().list_connections(app.org()).await?;
    let mut documents = Vec::with_capacity(all.len());
    for connection in &all {
        let tested = app.store().load_mark(app.org(), &mark_of(&connection.name)).await?;
        documents.push(ConnectionDoc { tested, ..ConnectionDoc::from(connection) });
    }
    app.out.show(&json!({ "connections": documents }), |out| {
        let rows = documents
            .iter()
            .map(|c| {
                let tested = c.tested.clone().unwrap_or_else(|| "not known".to_owned());
                vec![
                    c.name.to_owned(),
                    c.url.to_owned(),
                    c.company.to_owned(),
                    c.public_key.to_owned(),
                    tested,
                ]
            })
            .collect();
        out.table(&["name", "url", "company", "public key", "last test"], rows);
    });
    Ok(Exit::Done)
}

/// The rights that are missing.
pub fn missing(report: &PsaReport) -> Vec<&Right> {
    report.rights.iter().filter(|right| right.is_missing()).collect()
}

fn show(out: Output, connection: &Connection, report: &PsaReport) -> Exit {
    let missing = missing(report);
    let missing_for_tickets: Vec<&Right> =
        report.ticket_rights.iter().filter(|right| right.is_missing()).collect();
    let document = json!({
        "connection": ConnectionDoc::from(connection),
        "ok": missing.is_empty(),
        "version": report.version,
        "cloud": report.cloud,
        "marker": report.marker,
        "rights": report.rights,
        "missing": missing,
        "ticket_rights": report.ticket_rights,
        "missing_for_tickets": missing_for_tickets,
    });
    out.show(&document, |out| {
        let version = report.version.as_deref().unwrap_or("unknown version");
        out.line(&format!("Connection {} works: ConnectWise {version}.", connection.name));
        out.line(&format!("Keys are written to: {}.", report.marker));
        rights_table(out, &report.rights);
        if !missing.is_empty() {
            out.line(&format!("TU1004: {}", Code::Tu1004.row().fix));
        }
        // Tickets are another part of the work: billing is as good without their rights.
        if !missing_for_tickets.is_empty() {
            out.line("For tickets these rights are missing; billing does without them.");
            let rights: Vec<Right> = missing_for_tickets.iter().map(|right| (*right).clone()).collect();
            rights_table(out, &rights);
        }
    });
    Exit::needs_person_if(!missing.is_empty())
}

/// Rights as a table.
pub fn rights_table(out: Output, rights: &[Right]) {
    let rows = rights
        .iter()
        .map(|r| {
            vec![r.state.clone(), r.module.clone(), r.function.clone(), r.level.clone(), r.purpose.clone()]
        })
        .collect();
    out.table(&["state", "module", "function", "level", "for"], rows);
}
