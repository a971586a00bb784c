//! The composition: which store, which adapter. The only place that names them.

use crate::config::Options;
use crate::failure::{CliError, Exit};
use crate::log;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use trueup_connectwise::adapter::PsaAdapter;
use trueup_connectwise::client::address::AllowedHosts;
use trueup_connectwise::client::{ClientConfig, ClientError, ConnectWiseClient, Credentials};
use trueup_domain::finding::Code;
use trueup_domain::settings::Settings;
use trueup_engine::ports::{Psa, Store, WriteStyle};
use trueup_engine::records::Connection;
use trueup_store::{SqlStore, StoreConfig};
use url::Url;

/// How long one call may take on the command line, with all waiting and retries: a person is waiting as well.
const DEADLINE: Duration = Duration::from_secs(180);

/// Opens the store.
///
/// # Errors
/// The store's.
pub async fn store(options: &Options) -> Result<Arc<dyn Store>, CliError> {
    Ok(sql_store(options).await?)
}

/// Opens the store, for what needs more of it than the use cases do.
///
/// # Errors
/// The store's.
pub async fn sql_store(options: &Options) -> Result<Arc<SqlStore>, CliError> {
    let dir = &options.data_dir;
    if dir.exists() && !dir.is_dir() {
        let told = format!("the data directory {} is a file, and a directory is needed", dir.display());
        return Err(CliError::coded(Exit::Usage, Code::Tu9102, told)
            .fixed_by("Name a directory with --data-dir; it is made where it is not there yet."));
    }
    let config = StoreConfig { data_dir: options.data_dir.clone(), database_url: options.database.clone() };
    let store = Arc::new(SqlStore::open(config).await?);
    log::keep_in(dir);
    if options.database.is_some() {
        options.limits.share(&store);
    }
    Ok(store)
}

/// The adapter of a connection.
///
/// # Errors
/// An address or keys that cannot be used.
pub fn psa(
    connection: &Connection,
    settings: &Settings,
    options: &Options,
) -> Result<Arc<dyn Psa>, CliError> {
    let style = WriteStyle { cancelled_date: settings.cancelled_date, marker: settings.marker.clone() };
    let client = client(connection, options)?;
    options.limits.budget(connection).fly(settings.calls_at_once);
    Ok(Arc::new(PsaAdapter::new(client, style)))
}

/// The client of a connection.
///
/// # Errors
/// An address or keys that cannot be used.
pub fn client(connection: &Connection, options: &Options) -> Result<ConnectWiseClient, CliError> {
    let credentials = Credentials {
        company: connection.company.clone(),
        public_key: connection.public_key.clone(),
        private_key: connection.private_key.reveal().to_owned().into(),
        client_id: connection.client_id.clone(),
    };
    let mut config = ClientConfig::new(connection.url.clone(), credentials);
    config.deadline = DEADLINE;
    config.budget = Some(options.limits.budget(connection));
    config.allowed = AllowedHosts {
        hosts: options.allowed_hosts.clone(),
        private_hosts: options.allowed_private_hosts.clone(),
        loopback: is_loopback(&connection.url) && options.lets_loopback(&connection.url),
    };
    ConnectWiseClient::new(config).map_err(|error| unusable(&error))
}

/// Nothing was sent: the address or the keys as they are entered cannot be used.
fn unusable(error: &ClientError) -> CliError {
    CliError::coded(Exit::Usage, Code::from_name(error.code()).unwrap_or(Code::Tu1005), error.to_string())
}

/// Whether an address is this machine: plain http is accepted there alone.
pub fn is_loopback(address: &str) -> bool {
    let Ok(url) = Url::parse(address) else { return false };
    match url.host() {
        Some(url::Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(url::Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(url::Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn only_this_machine_is_loopback() {
        assert!(is_loopback("http://127.0.0.1:8080"));
        assert!(is_loopback("http://[::1]:8080/x"));
        assert!(!is_loopback("http://127.0.0.1.example.com"));
        assert!(!is_loopback("https://api-na.myconnectwise.net"));
    }
}
