//! The address of a ConnectWise site: what people enter, and what is called.

use trueup_transport::{HostError, HostRules};
use url::{Host, Url};

/// Why an address cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It is no URL.
    #[error("`{0}` is not an address of the form https://api-na.myconnectwise.net")]
    Malformed(String),
    /// It is the address of the user interface; the API has its own.
    #[error("`{given}` is the address of the ConnectWise user interface; the API answers at `{proposed}`")]
    UserInterface {
        /// What was entered.
        given: String,
        /// The API's address.
        proposed: String,
    },
    /// Plain http.
    #[error("`{given}` uses plain http, over which keys would travel readable; use `{proposed}`")]
    PlainHttp {
        /// What was entered.
        given: String,
        /// The same with https.
        proposed: String,
    },
    /// A host that may not be called.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The site does not know the company.
    #[error("the site does not know the company `{0}`; it is the short name typed at sign-in")]
    UnknownCompany(String),
}

impl AddressError {
    /// What to do about it.
    #[must_use]
    pub fn fix(&self) -> String {
        match self {
            AddressError::UserInterface { proposed, .. } | AddressError::PlainHttp { proposed, .. } => {
                format!("Use {proposed}.")
            }
            AddressError::UnknownCompany(_) => {
                "Enter the company as it is typed at the ConnectWise sign-in.".to_owned()
            }
            AddressError::Host(HostError::NotAllowed(host)) => {
                format!(
                    "Check the spelling; where {host} is your own ConnectWise server, put it on the list of allowed hosts."
                )
            }
            AddressError::Host(_) | AddressError::Malformed(_) => {
                "Enter the address of the API host, for instance https://api-na.myconnectwise.net.".to_owned()
            }
        }
    }
}

/// Hosts of ConnectWise's own cloud.
const CLOUD_DOMAINS: [&str; 2] = ["myconnectwise.net", "connectwisedev.com"];

/// Whether an address is one of ConnectWise's own cloud.
#[must_use]
pub fn is_of_cloud(address: &str) -> bool {
    let Ok(url) = Url::parse(address) else { return false };
    url.host_str().is_some_and(|host| {
        CLOUD_DOMAINS.iter().any(|domain| host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')))
    })
}

/// The hosts a client may call: ConnectWise's cloud, and what the operator adds.
#[derive(Debug, Clone, Default)]
pub struct AllowedHosts {
    /// The operator's own ConnectWise servers with public addresses.
    pub hosts: Vec<String>,
    /// The operator's own ConnectWise servers in a private network.
    pub private_hosts: Vec<String>,
    /// Whether the machine itself may be called, over http as well: for sandboxes.
    pub loopback: bool,
}

impl AllowedHosts {
    pub(crate) fn rules(&self) -> HostRules {
        let mut rules = HostRules::none().allow_loopback(self.loopback);
        for domain in CLOUD_DOMAINS {
            rules = rules.allow_below(domain);
        }
        for host in &self.hosts {
            rules = rules.allow_host(host);
        }
        for host in &self.private_hosts {
            rules = rules.allow_private_host(host);
        }
        rules
    }
}

/// Scheme, host and port of a site, without any path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteAddress(Url);

impl SiteAddress {
    /// Reads what a person enters: with or without scheme, with or without a path such as `/v4_6_release/apis/3.0`.
    ///
    /// # Errors
    /// Where it cannot be used; the error proposes the right address where there is one.
    pub fn parse(text: &str, allowed: &AllowedHosts) -> Result<Self, AddressError> {
        let given = text.trim();
        let malformed = || AddressError::Malformed(given.chars().take(200).collect());
        let with_scheme = if given.contains("://") { given.to_owned() } else { format!("https://{given}") };
        let url = Url::parse(&with_scheme).map_err(|_| malformed())?;
        let host = url.host().ok_or_else(malformed)?.to_owned();
        if !matches!(url.scheme(), "http" | "https") {
            return Err(malformed());
        }
        if let Host::Domain(name) = &host
            && let Some(api) = api_host(name)
        {
            return Err(AddressError::UserInterface {
                given: root(&url),
                proposed: format!("https://{api}"),
            });
        }
        let rules = allowed.rules();
        if let Err(error) = rules.check_url(&url) {
            let mut https = url.clone();
            if url.scheme() == "http" && https.set_scheme("https").is_ok() && rules.check_url(&https).is_ok()
            {
                return Err(AddressError::PlainHttp { given: root(&url), proposed: root(&https) });
            }
            return Err(error.into());
        }
        let mut site = url;
        site.set_path("/");
        site.set_query(None);
        site.set_fragment(None);
        Ok(Self(site))
    }

    /// The address without its path.
    #[must_use]
    pub fn as_text(&self) -> String {
        root(&self.0)
    }

    /// The host name, lower case.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// Whether a URL found in an answer leads to this site: the API host, or the user interface of the same cloud.
    #[must_use]
    pub fn is_same_site(&self, url: &Url) -> bool {
        let interface_of_ours = url
            .host_str()
            .and_then(api_host)
            .is_some_and(|api| api == self.host() && url.scheme() == self.0.scheme());
        url.origin() == self.0.origin() || interface_of_ours && url.port().is_none()
    }

    /// A URL below the site. The path must not be taken from an answer unchecked.
    pub(crate) fn join(&self, path: &str, query: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(path);
        url.set_query((!query.is_empty()).then_some(query));
        url
    }
}

/// The API host of a host of the cloud's user interface: `na.myconnectwise.net` is `api-na.myconnectwise.net`.
fn api_host(name: &str) -> Option<String> {
    let name = name.trim_end_matches('.');
    let known = ["na", "eu", "au", "aus", "za", "staging"];
    CLOUD_DOMAINS.iter().find_map(|domain| {
        let label = name.strip_suffix(domain)?.strip_suffix('.')?;
        known.contains(&label).then(|| format!("api-{label}.{domain}"))
    })
}

fn root(url: &Url) -> String {
    url.origin().ascii_serialization()
}
