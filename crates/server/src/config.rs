//! Configuration: flags over the environment over the file. Settings of the organization may stand in the file and in
//! the environment as well.

use crate::cli::Global;
use crate::deployment::{self, MailOptions, OidcOptions, TraceOptions};
use crate::failure::CliError;
use crate::limits::Limits;
use crate::output::Format;
use jiff::civil::Date;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use trueup_domain::ids::OrganizationId;
use trueup_domain::settings::{SETTINGS, row_of};
use trueup_engine::settings::{Overlays, variable_of};

/// What every command needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the embedded database, the key file and logs live.
    pub data_dir: PathBuf,
    /// PostgreSQL instead of the embedded database.
    pub database: Option<String>,
    /// Work as if it were this day.
    pub today: Option<Date>,
    /// The organization.
    pub org: OrganizationId,
    /// How records are printed.
    pub format: Format,
    /// Settings from outside the store.
    pub overlays: Overlays,
    /// Who acts, for the audit.
    pub actor: String,
    /// Self-hosted ConnectWise servers with public addresses that may be called.
    pub allowed_hosts: Vec<String>,
    /// Self-hosted ConnectWise servers in a private network that may be called.
    pub allowed_private_hosts: Vec<String>,
    /// When the machine itself may be called.
    pub loopback: Loopback,
    /// The client id of connections that name none of their own.
    pub client_id: Option<String>,
    /// The server that mails are sent by; none where nothing is told by mail.
    pub mail: Option<MailOptions>,
    /// The service that people may sign in by.
    pub oidc: Option<OidcOptions>,
    /// Where traces go.
    pub traces: Option<TraceOptions>,
    /// How fast each ConnectWise may be called.
    pub limits: Limits,
}

/// When the machine itself may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loopback {
    /// Whenever a connection says so: who runs the command line is on this machine already.
    Allowed,
    /// Where its name or address is on the operator's list.
    Listed,
}

impl Options {
    /// Whether a loopback address may be called.
    pub fn lets_loopback(&self, address: &str) -> bool {
        match self.loopback {
            Loopback::Allowed => true,
            Loopback::Listed => url::Url::parse(address)
                .ok()
                .and_then(|url| url.host_str().map(str::to_owned))
                .is_some_and(|host| self.allowed_private_hosts.iter().any(|h| h.eq_ignore_ascii_case(&host))),
        }
    }
}

const DEFAULT_FILE: &str = "trueup.toml";

/// Puts flags, environment and file together.
///
/// # Errors
/// A file that cannot be read or holds something unknown, or a value that is not allowed.
pub fn resolve(global: &Global) -> Result<Options, CliError> {
    let file = read_file(global.config.as_deref())?;
    let mut overlays = Overlays { environment: from_environment(), ..Overlays::default() };
    for pair in &global.set {
        let (key, value) = split_pair(pair)?;
        overlays.flags.insert(key, value);
    }
    let mut plain: BTreeMap<String, String> = BTreeMap::new();
    for (key, value) in file {
        match key.as_str() {
            "data_dir"
            | "database"
            | "today"
            | "org"
            | "format"
            | "allowed_hosts"
            | "allowed_private_hosts" => {
                plain.insert(key, value);
            }
            _ if deployment::knows(&key) => {
                plain.insert(key, value);
            }
            _ => {
                let setting = key.strip_prefix("settings.").unwrap_or(&key).to_owned();
                row_of(&setting).and_then(|row| row.check(&value)).map_err(|error| {
                    CliError::usage(format!("in the configuration file: {error}"), "Correct the file.")
                })?;
                overlays.file.insert(setting, value);
            }
        }
    }
    let today = match (global.today, plain.get("today")) {
        (Some(day), _) => Some(day),
        (None, Some(text)) => Some(text.parse().map_err(|_| {
            CliError::usage(
                format!("`today` in the configuration file is `{text}`, no date"),
                "Write YYYY-MM-DD.",
            )
        })?),
        (None, None) => None,
    };
    let format = match (global.format, plain.get("format").map(String::as_str)) {
        (Some(format), _) => format,
        (None, Some("json")) => Format::Json,
        (None, Some("table") | None) => Format::Table,
        (None, Some(other)) => {
            return Err(CliError::usage(
                format!("`format` in the configuration file is `{other}`"),
                "Write table or json.",
            ));
        }
    };
    let org = global.org.clone().or_else(|| plain.get("org").cloned()).unwrap_or_else(|| "default".into());
    let database = global.database.clone().or_else(|| plain.get("database").cloned());
    let known = |url: &String| url.starts_with("postgres://") || url.starts_with("postgresql://");
    if database.as_ref().is_some_and(|url| !known(url)) {
        return Err(CliError::usage(
            "the address of the database is not one of PostgreSQL: it does not begin with postgres://"
                .to_owned(),
            "Give it as postgres://USER@HOST/NAME, or leave it away for the embedded database.",
        ));
    }
    Ok(Options {
        data_dir: global
            .data_dir
            .clone()
            .or_else(|| plain.get("data_dir").map(PathBuf::from))
            .unwrap_or_else(|| PathBuf::from("trueup-data")),
        database,
        today,
        org: slug(&org)?,
        format,
        overlays,
        actor: actor(today),
        allowed_hosts: hosts("TRUEUP_ALLOWED_HOSTS", plain.get("allowed_hosts")),
        allowed_private_hosts: hosts("TRUEUP_ALLOWED_PRIVATE_HOSTS", plain.get("allowed_private_hosts")),
        loopback: Loopback::Allowed,
        client_id: deployment::client_id(&plain),
        mail: deployment::mail(&plain)?,
        oidc: deployment::oidc(&plain)?,
        traces: deployment::traces(&plain)?,
        limits: Limits::default(),
    })
}

/// Host names, separated by commas; the variable stands over the file.
fn hosts(variable: &str, in_file: Option<&String>) -> Vec<String> {
    let text = std::env::var(variable).ok().or_else(|| in_file.cloned()).unwrap_or_default();
    text.split(',').map(str::trim).filter(|host| !host.is_empty()).map(str::to_owned).collect()
}

/// A slug: lower-case letters, digits, dash and underscore.
///
/// # Errors
/// Anything else.
pub fn slug(text: &str) -> Result<OrganizationId, CliError> {
    let good = !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
    if good {
        Ok(OrganizationId::from(text))
    } else {
        Err(CliError::usage(
            format!("`{text}` is no slug of an organization"),
            "Use 1 to 64 lower-case letters, digits, `-` and `_`.",
        ))
    }
}

/// `KEY=VALUE`.
fn split_pair(pair: &str) -> Result<(String, String), CliError> {
    let Some((key, value)) = pair.split_once('=') else {
        return Err(CliError::usage(format!("`{pair}` is not KEY=VALUE"), "Write for example credits=on."));
    };
    row_of(key.trim())?.check(value.trim())?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

/// Who acts; a day set from outside shows in the audit.
fn actor(today: Option<Date>) -> String {
    let name = ["TRUEUP_ACTOR", "USER", "LOGNAME", "USERNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|v| !v.trim().is_empty()))
        .map_or_else(|| "command line".to_owned(), |name| format!("{name} (command line)"));
    match today {
        Some(day) => format!("{name}, as if it were {day}"),
        None => name,
    }
}

fn from_environment() -> BTreeMap<String, String> {
    SETTINGS
        .iter()
        .filter_map(|row| Some((row.key.to_owned(), std::env::var(variable_of(row.key)).ok()?)))
        .collect()
}

fn read_file(named: Option<&Path>) -> Result<BTreeMap<String, String>, CliError> {
    let path = match named {
        Some(path) => path.to_path_buf(),
        None if Path::new(DEFAULT_FILE).exists() => PathBuf::from(DEFAULT_FILE),
        None => return Ok(BTreeMap::new()),
    };
    let text = std::fs::read_to_string(&path).map_err(|error| {
        CliError::usage(
            format!("the configuration file {} cannot be read: {error}", path.display()),
            "Name a readable file with --config.",
        )
    })?;
    let table: toml::Table = text.parse().map_err(|error| {
        CliError::usage(format!("{} is not TOML: {error}", path.display()), "Correct the file.")
    })?;
    let mut flat = BTreeMap::new();
    flatten("", &table, &mut flat)?;
    Ok(flat)
}

fn flatten(prefix: &str, table: &toml::Table, into: &mut BTreeMap<String, String>) -> Result<(), CliError> {
    for (key, value) in table {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            toml::Value::String(text) => drop(into.insert(path, text.clone())),
            toml::Value::Integer(number) => drop(into.insert(path, number.to_string())),
            toml::Value::Datetime(date) => drop(into.insert(path, date.to_string())),
            toml::Value::Boolean(flag) => {
                drop(into.insert(path, if *flag { "on" } else { "off" }.to_owned()));
            }
            toml::Value::Table(inner) => flatten(&path, inner, into)?,
            toml::Value::Float(_) | toml::Value::Array(_) => {
                return Err(CliError::usage(
                    format!("`{path}` in the configuration file is a {}", value.type_str()),
                    "Write the value as a string, as in percent = \"7.5\".",
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_lower_case() {
        assert!(slug("north-1").is_ok());
        assert!(slug("").is_err());
        assert!(slug("../x").is_err());
    }

    #[test]
    fn a_file_is_flattened() {
        let table: toml::Table = "org = 'a'\n[settings.brakes]\ncancels = 7".parse().unwrap();
        let mut flat = BTreeMap::new();
        flatten("", &table, &mut flat).unwrap();
        assert_eq!(flat.get("settings.brakes.cancels").map(String::as_str), Some("7"));
    }
}
