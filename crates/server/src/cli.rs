//! The command line: every command, flag and environment variable.

use crate::commands::{
    alert, apply, approval, audit, check, connection, feed, finding, mapping, org, plan, quantity, sandbox,
    setting, task, undo, webhook,
};
use crate::demo::DemoArgs;
use crate::output::Format;
use clap::{Args, Parser, Subcommand};
use jiff::civil::Date;
use std::net::SocketAddr;
use std::path::PathBuf;
use url::Url;

/// What the program is for, in one line: the NAME of the manual page takes it too.
const ABOUT: &str = "Keeps ConnectWise agreements true to what was sold";

/// Keeps ConnectWise agreements true to what was sold.
///
/// Exit codes: 0 done, 1 done but something needs a person, 2 wrong usage or configuration, 3 the other side refused or
/// is out of reach.
#[derive(Debug, Parser)]
#[command(name = "trueup", version, about = ABOUT, max_term_width = 110, propagate_version = true)]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// How the log is written.
    pub fn log(&self) -> LogForm {
        match &self.command {
            Command::Serve(args) => args.log,
            _ => LogForm::Text, // open set: every other command logs for people
        }
    }
}

/// Flags of every command.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// Where the embedded database, the key file and logs live [default: ./trueup-data]
    #[arg(long, global = true, value_name = "DIR", env = "TRUEUP_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// PostgreSQL (postgres://...) instead of the embedded database
    #[arg(long, global = true, value_name = "URL", env = "TRUEUP_DATABASE_URL", hide_env_values = true)]
    pub database: Option<String>,
    /// Configuration file [default: trueup.toml where it exists]
    #[arg(long, global = true, value_name = "FILE", env = "TRUEUP_CONFIG")]
    pub config: Option<PathBuf>,
    /// Work as if it were this day (YYYY-MM-DD)
    #[arg(long, global = true, value_name = "DATE", env = "TRUEUP_TODAY", value_parser = day)]
    pub today: Option<Date>,
    /// The organization [default: default]
    #[arg(long, global = true, value_name = "SLUG", env = "TRUEUP_ORG")]
    pub org: Option<String>,
    /// How records are printed
    #[arg(long, global = true, value_enum, env = "TRUEUP_FORMAT")]
    pub format: Option<Format>,
    /// A setting for this run alone, over the environment and the stored one; may be repeated
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Shows no progress
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Says more on standard error; twice for the details
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// A day as it is written on the command line.
///
/// # Errors
/// The form that a day has.
pub fn day(text: &str) -> Result<Date, String> {
    text.trim().parse().map_err(|_| "write a day as YYYY-MM-DD, such as 2026-03-01".to_owned())
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// One process with sandbox and sample data: from the feed to invoices that equal what was charged
    Demo(DemoArgs),
    /// The service: API, console, schedules, workers
    Serve(ServeArgs),
    /// Prints the OpenAPI document of the service
    Openapi,
    /// The stateful ConnectWise sandbox alone
    Sandbox(sandbox::SandboxArgs),
    /// Connections to ConnectWise
    #[command(subcommand)]
    Connection(connection::ConnectionCommand),
    /// Tests connection, rights, catalog, schedules and storage, and says what to fix
    Doctor,
    /// Takes in what was sold
    #[command(subcommand)]
    Feed(feed::FeedCommand),
    /// What at the source is what in ConnectWise
    #[command(subcommand)]
    Mapping(mapping::MappingCommand),
    /// What ConnectWise holds
    #[command(subcommand)]
    Psa(PsaCommand),
    /// 'Check Changes': turns new orders and subscriptions into tasks
    Check(check::CheckArgs),
    /// Orders on their way into ConnectWise
    #[command(subcommand)]
    Task(task::TaskCommand),
    /// What a person should know or do
    #[command(subcommand)]
    Finding(finding::FindingCommand),
    /// The organizations
    #[command(subcommand)]
    Org(org::OrgCommand),
    /// People who sign in to the service
    #[command(subcommand)]
    User(UserCommand),
    /// Where events are told to other programs
    #[command(subcommand)]
    Webhook(webhook::WebhookCommand),
    /// Backups of the embedded database
    #[command(subcommand)]
    Backup(BackupCommand),
    /// The key that secrets are sealed with
    #[command(subcommand)]
    Key(KeyCommand),
    /// Takes away what the settings retention.* say need not be kept; never the audit
    Maintenance {
        /// Says how much it would be, and takes nothing away
        #[arg(long)]
        dry_run: bool,
    },
    /// Computes and stores a plan; changes nothing in ConnectWise
    Plan(plan::PlanArgs),
    /// Carries plans out
    Apply(apply::ApplyArgs),
    /// Plans that wait for people
    #[command(subcommand)]
    Approval(approval::ApprovalCommand),
    /// Plans to take back what was written; changes nothing in ConnectWise
    Undo(undo::UndoArgs),
    /// Quantities of what is only counted: assignments, rules, and the runs that keep agreements right
    #[command(subcommand)]
    Quantity(Box<quantity::QuantityCommand>),
    /// Alerts with their tickets: rules, runs, and the log of what went on
    #[command(subcommand)]
    Alert(Box<alert::AlertCommand>),
    /// The settings that decide what is written
    #[command(subcommand)]
    Setting(setting::SettingCommand),
    /// Who wrote what, when and why
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Prints completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Prints the manual page
    Man {
        /// Writes one page a command into this directory instead
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

/// What the service runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// API and workers.
    All,
    /// API and console alone.
    Api,
    /// Workers alone.
    Worker,
}

/// Flags of `serve`.
#[derive(Args, Debug)]
pub struct ServeArgs {
    /// What this process does
    #[arg(long, value_enum, default_value = "all")]
    pub role: Role,
    /// Where the API listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080", env = "TRUEUP_LISTEN")]
    pub listen: SocketAddr,
    /// Where people reach the service, such as `https://trueup.example.com`; with https, cookies travel over it alone
    #[arg(long, value_name = "URL", env = "TRUEUP_PUBLIC_URL", value_parser = origin)]
    pub public_url: Option<Url>,
    /// Serves /metrics and /health at this address as well; with --role worker it is the only one. An address that is
    /// not loopback needs TRUEUP_METRICS_TOKEN
    #[arg(long, value_name = "ADDRESS", env = "TRUEUP_METRICS_LISTEN")]
    pub metrics_listen: Option<SocketAddr>,
    /// Takes the client's address from the proxy in front (X-Forwarded-For)
    #[arg(long, env = "TRUEUP_BEHIND_PROXY")]
    pub behind_proxy: bool,
    /// How the log is written
    #[arg(long, value_enum, default_value = "text", env = "TRUEUP_LOG_FORMAT")]
    pub log: LogForm,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogForm {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What ConnectWise holds.
#[derive(Debug, Subcommand)]
pub enum PsaCommand {
    /// Reads companies, agreements, additions and catalog into the local snapshot
    ///
    /// Without --changed every agreement is read. With it, those that ConnectWise says were changed since the last pull,
    /// and a share of the rest, so that every agreement is read within as many pulls as the setting observe.rotation
    /// says (7): a manual edit of an addition is seen by then at the latest. The first pull reads everything.
    Pull {
        /// Reads what changed since the last pull, and a share of the rest
        #[arg(long)]
        changed: bool,
        /// The connection [default: the nearest one]
        #[arg(long, value_name = "NAME")]
        connection: Option<String>,
    },
}

/// Backups.
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Writes one archive of the database, also while the service runs; the key is not in it
    Create {
        /// The archive; it must not be there yet
        file: PathBuf,
    },
    /// Puts an archive into an empty data directory
    Restore {
        /// The archive
        file: PathBuf,
        /// The key file that was in use when it was made; secrets are unreadable without it
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
}

/// The key.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Seals every secret under a new key; goes on with a rotation that was interrupted
    Rotate,
}

/// People.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Prints the table of roles and rights
    Roles,
    /// Adds a person
    Add {
        /// E-mail address
        email: String,
        /// operator, admin, partner_operator, billing or read_only; an operator's role holds in every organization,
        /// the others in that of --org and below
        #[arg(long, default_value = "admin")]
        role: String,
        /// Display name [default: the address]
        #[arg(long)]
        name: Option<String>,
    },
}

/// An address under which the whole service is reached: it stands at the root of its host.
fn origin(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("{error}"))?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let named = !url.username().is_empty() || url.password().is_some();
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !bare || named {
        return Err("name scheme, host and port alone, such as https://trueup.example.com".to_owned());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
