//! Which addresses may be called at all.
//!
//! A site address comes from a form, a file or an answer, so it may point anywhere: at the machine itself, at a cloud
//! metadata service, at a router. Two checks stand in the way. [`HostRules::check_url`] looks at the URL, and a resolver
//! of our own looks at every address a name resolves to and hands only checked addresses to the connection, so that a
//! name cannot show one address to the check and another to the connection.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Why an address may not be called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// Not https, or plain http to somewhere else than the machine itself.
    #[error(
        "`{0}` is not allowed: only https addresses are called (plain http only on the machine itself, where that is switched on)"
    )]
    Scheme(String),
    /// The URL carries a user or password.
    #[error(
        "the address carries a user name or password; leave it out and enter the keys in their own fields"
    )]
    UserInfo,
    /// The URL has no host.
    #[error("the address has no host name")]
    NoHost,
    /// The host is on no list.
    #[error(
        "host `{0}` is not allowed: it is neither a known host nor on the operator's list of allowed hosts"
    )]
    NotAllowed(String),
    /// The host is, or resolves to, an address that must not be reached from here.
    #[error("host `{host}` leads to {address}, a {class} address, which is not allowed")]
    Forbidden {
        /// The host as written.
        host: String,
        /// The address it leads to.
        address: IpAddr,
        /// The kind of address.
        class: AddressClass,
    },
}

/// What kind of network an address belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressClass {
    /// Reachable on the public internet.
    Public,
    /// The machine itself.
    Loopback,
    /// A private network (RFC 1918, unique local, site local, carrier-grade NAT).
    Private,
    /// Link local, cloud metadata services among them.
    LinkLocal,
    /// Multicast, documentation, reserved, translated or unspecified addresses: never a service.
    Special,
}

impl std::fmt::Display for AddressClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            AddressClass::Public => "public",
            AddressClass::Loopback => "loopback",
            AddressClass::Private => "private",
            AddressClass::LinkLocal => "link-local",
            AddressClass::Special => "reserved",
        })
    }
}

/// The addresses a sender may call.
#[derive(Debug, Clone, Default)]
pub struct HostRules {
    hosts: BTreeSet<String>,
    suffixes: Vec<String>,
    private_hosts: BTreeSet<String>,
    any_public: bool,
    allow_loopback: bool,
}

impl HostRules {
    /// Rules that allow nothing.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Rules that allow every public host over https, for addresses an operator entered (webhooks, sign-in services).
    #[must_use]
    pub fn any_public() -> Self {
        Self { any_public: true, ..Self::default() }
    }

    /// Allows one host, by name or by public address.
    #[must_use]
    pub fn allow_host(mut self, host: &str) -> Self {
        self.hosts.insert(plain(host));
        self
    }

    /// Allows every host below a domain; `example.com` allows `a.example.com`, not `example.com` itself.
    #[must_use]
    pub fn allow_below(mut self, domain: &str) -> Self {
        self.suffixes.push(format!(".{}", plain(domain)));
        self
    }

    /// Allows one host also where it has a private address: a server of the operator's own network.
    ///
    /// Loopback and link-local addresses stay refused, so that the list cannot open a cloud metadata service.
    #[must_use]
    pub fn allow_private_host(mut self, host: &str) -> Self {
        self.private_hosts.insert(plain(host));
        self.allow_host(host)
    }

    /// Allows the machine itself, over http as well: for sandboxes and tests.
    #[must_use]
    pub fn allow_loopback(mut self, allow: bool) -> Self {
        self.allow_loopback = allow;
        self
    }

    /// Checks a URL before anything is resolved or sent.
    ///
    /// # Errors
    /// The rule that forbids it.
    pub fn check_url(&self, url: &Url) -> Result<(), HostError> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err(HostError::UserInfo);
        }
        let host = url.host().ok_or(HostError::NoHost)?;
        let (name, literal) = match host {
            Host::Domain(name) => (plain(name), None),
            Host::Ipv4(ip) => (ip.to_string(), Some(IpAddr::V4(ip))),
            Host::Ipv6(ip) => (ip.to_string(), Some(IpAddr::V6(ip))),
        };
        if name.is_empty() {
            return Err(HostError::NoHost);
        }
        let local = is_localhost(&name) || literal.is_some_and(|ip| classify(ip) == AddressClass::Loopback);
        match url.scheme() {
            "https" => {}
            "http" if local && self.allow_loopback => {}
            other => return Err(HostError::Scheme(other.to_owned())),
        }
        if local && self.allow_loopback {
            return Ok(());
        }
        if !self.names_host(&name) {
            return Err(HostError::NotAllowed(name));
        }
        match literal {
            Some(ip) => self.check_address(&name, ip),
            None => Ok(()),
        }
    }

    /// Checks an address that a host name resolved to.
    ///
    /// # Errors
    /// [`HostError::Forbidden`] where the address must not be reached.
    pub fn check_address(&self, host: &str, address: IpAddr) -> Result<(), HostError> {
        let class = classify(address);
        let allowed = match class {
            AddressClass::Public => true,
            // Only the name that means the machine itself may lead to it: any other name that does is a trick.
            AddressClass::Loopback => self.allow_loopback && is_localhost(&plain(host)),
            AddressClass::Private => self.private_hosts.contains(&plain(host)),
            AddressClass::LinkLocal | AddressClass::Special => false,
        };
        if allowed { Ok(()) } else { Err(HostError::Forbidden { host: host.to_owned(), address, class }) }
    }

    fn names_host(&self, name: &str) -> bool {
        self.any_public
            || self.hosts.contains(name)
            || self.suffixes.iter().any(|s| name.len() > s.len() && name.ends_with(s.as_str()))
    }
}

/// Lower case and without the root dot, which means the same host to DNS and would slip past a list.
fn plain(host: &str) -> String {
    host.trim_end_matches('.').trim_matches(|c| c == '[' || c == ']').to_ascii_lowercase()
}

fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

/// The kind of network an address belongs to; addresses that carry an IPv4 address inside are judged by that one.
#[must_use]
pub fn classify(address: IpAddr) -> AddressClass {
    match address {
        IpAddr::V4(ip) => classify_v4(ip),
        IpAddr::V6(ip) => classify_v6(ip),
    }
}

fn classify_v4(ip: Ipv4Addr) -> AddressClass {
    let [a, b, c, _] = ip.octets();
    match (a, b, c) {
        (127, ..) => AddressClass::Loopback,
        (169, 254, _) => AddressClass::LinkLocal,
        (10, ..) | (172, 16..=31, _) | (192, 168, _) | (100, 64..=127, _) => AddressClass::Private,
        (0 | 224..=255, ..)
        | (192, 0, 0 | 2)
        | (192, 88, 99)
        | (198, 18..=19, _)
        | (198, 51, 100)
        | (203, 0, 113) => AddressClass::Special,
        _ => AddressClass::Public,
    }
}

fn classify_v6(ip: Ipv6Addr) -> AddressClass {
    let s = ip.segments();
    if ip.is_loopback() {
        return AddressClass::Loopback;
    }
    if let Some(v4) = ip.to_ipv4_mapped() {
        // `::ffff:10.0.0.1` is 10.0.0.1 in another spelling; a public one has no reason to be spelt so.
        return match classify_v4(v4) {
            AddressClass::Public => AddressClass::Special,
            other => other,
        };
    }
    match (s[0], s[1]) {
        (0xfe80..=0xfebf, _) => AddressClass::LinkLocal,
        (0xfc00..=0xfdff, _) | (0xfec0..=0xfeff, _) => AddressClass::Private,
        // NAT64, 6to4 and Teredo reach IPv4 addresses through a translator and so around the checks above.
        (0x0064, 0xff9b) | (0x2002, _) | (0x2001, 0x0000..=0x01ff) => AddressClass::Special,
        (0x2001, 0x0db8) | (0x3fff, 0x0000..=0x0fff) | (0x0100, 0) | (0x5f00, _) => AddressClass::Special,
        // Only 2000::/3 is given out as global unicast.
        (0x2000..=0x3fff, _) => AddressClass::Public,
        _ => AddressClass::Special,
    }
}

/// Resolves names and hands out checked addresses only.
pub(crate) struct CheckedResolver {
    pub(crate) rules: Arc<HostRules>,
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let rules = Arc::clone(&self.rules);
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            for address in &found {
                // One bad address spoils the name: which one gets connected is not ours to choose.
                rules.check_address(&host, address.ip())?;
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
