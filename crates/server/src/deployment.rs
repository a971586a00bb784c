//! What belongs to the deployment and to no organization: the mail server, the service for sign-in, where traces
//! go, the client id of connections. The
//! environment stands over the file; secrets come from the environment alone.

use crate::failure::CliError;
use std::collections::BTreeMap;
use trueup_engine::records::SecretText;

/// How the connection to a mail server is made safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailSecurity {
    /// TLS from the first byte.
    Tls,
    /// TLS after a greeting in the clear; refused where the server does not offer it.
    Starttls,
    /// Not at all: for a relay on the same machine.
    None,
}

/// The mail server.
#[derive(Clone, Debug)]
pub struct MailOptions {
    /// Its name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is made safe.
    pub security: MailSecurity,
    /// User and password, where it wants them.
    pub user: Option<(String, SecretText)>,
    /// The sender's address.
    pub from: String,
}

/// Where somebody of a group belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupPlace {
    /// The group, as the other service calls it.
    pub group: String,
    /// The role's word.
    pub role: String,
    /// The organization; none for the whole installation.
    pub org: Option<String>,
}

/// A service that people may sign in by (OpenID Connect).
#[derive(Clone, Debug)]
pub struct OidcOptions {
    /// Its address, as it calls itself.
    pub issuer: String,
    /// What it is called on the button.
    pub name: String,
    /// What it calls this service.
    pub client_id: String,
    /// The secret between the two; none where the other service wants none.
    pub client_secret: Option<SecretText>,
    /// Whether people it knows and this service does not are added.
    pub create: bool,
    /// The claim that names groups.
    pub groups_claim: String,
    /// Which group has which role, the first that fits counts.
    pub groups: Vec<GroupPlace>,
}

/// Where traces go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceOptions {
    /// The address of the collector, such as `http://127.0.0.1:4318/v1/traces`.
    pub endpoint: String,
}

const KEYS: [&str; 13] = [
    "connectwise.client_id",
    "mail.host",
    "mail.port",
    "mail.security",
    "mail.user",
    "mail.from",
    "oidc.issuer",
    "oidc.name",
    "oidc.client_id",
    "oidc.create",
    "oidc.groups_claim",
    "oidc.groups",
    "traces.endpoint",
];

/// Whether a key of the configuration file belongs here.
pub fn knows(key: &str) -> bool {
    KEYS.contains(&key)
}

/// The environment variable of a key.
fn variable_of(key: &str) -> String {
    format!("TRUEUP_{}", key.replace('.', "_").to_uppercase())
}

fn value(file: &BTreeMap<String, String>, key: &str) -> Option<String> {
    let text = std::env::var(variable_of(key)).ok().or_else(|| file.get(key).cloned())?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn secret(variable: &str) -> Option<SecretText> {
    std::env::var(variable).ok().filter(|text| !text.is_empty()).map(SecretText::new)
}

fn wrong(key: &str, what: impl std::fmt::Display, fix: &str) -> CliError {
    CliError::usage(format!("`{key}` in the configuration {what}"), fix.to_owned())
}

fn needed(file: &BTreeMap<String, String>, key: &str, beside: &str) -> Result<String, CliError> {
    value(file, key).ok_or_else(|| {
        wrong(
            key,
            format!("is missing beside {beside}"),
            &format!("Set it in the file, or as {}.", variable_of(key)),
        )
    })
}

/// The client id of connections that name none of their own.
pub fn client_id(file: &BTreeMap<String, String>) -> Option<String> {
    value(file, "connectwise.client_id")
}

/// The mail server, where one is named.
///
/// # Errors
/// A value that cannot be used, or one that is missing.
pub fn mail(file: &BTreeMap<String, String>) -> Result<Option<MailOptions>, CliError> {
    let Some(host) = value(file, "mail.host") else { return Ok(None) };
    let security = match value(file, "mail.security").as_deref() {
        None | Some("starttls") => MailSecurity::Starttls,
        Some("tls") => MailSecurity::Tls,
        Some("none") => MailSecurity::None,
        Some(other) => {
            return Err(wrong("mail.security", format!("is `{other}`"), "Write starttls, tls or none."));
        }
    };
    let usual = match security {
        MailSecurity::Tls => 465,
        MailSecurity::Starttls => 587,
        MailSecurity::None => 25,
    };
    let port = match value(file, "mail.port") {
        None => usual,
        Some(text) => text
            .parse()
            .map_err(|_| wrong("mail.port", format!("is `{text}`"), "Write a number up to 65535."))?,
    };
    let from = needed(file, "mail.from", "mail.host")?;
    if from.parse::<lettre::message::Mailbox>().is_err() {
        return Err(wrong("mail.from", format!("is `{from}`"), "Write a mail address."));
    }
    let user = match value(file, "mail.user") {
        None => None,
        Some(user) => Some((
            user,
            secret("TRUEUP_MAIL_PASSWORD").ok_or_else(|| {
                wrong("mail.user", "has no password", "Set TRUEUP_MAIL_PASSWORD in the environment.")
            })?,
        )),
    };
    Ok(Some(MailOptions { host, port, security, user, from }))
}

/// The service for sign-in, where one is named.
///
/// # Errors
/// A value that cannot be used, or one that is missing.
pub fn oidc(file: &BTreeMap<String, String>) -> Result<Option<OidcOptions>, CliError> {
    let Some(issuer) = value(file, "oidc.issuer") else { return Ok(None) };
    if url::Url::parse(&issuer).is_err() {
        return Err(wrong(
            "oidc.issuer",
            format!("is `{issuer}`"),
            "Write the address that the service gives.",
        ));
    }
    let groups = groups(value(file, "oidc.groups").as_deref().unwrap_or_default())?;
    let create = match value(file, "oidc.create").as_deref() {
        None | Some("off") => false,
        Some("on") => true,
        Some(other) => return Err(wrong("oidc.create", format!("is `{other}`"), "Write on or off.")),
    };
    if create && groups.is_empty() {
        let fix = "Say in oidc.groups which group has which role.";
        return Err(wrong("oidc.create", "is on, and nothing says who gets which role", fix));
    }
    Ok(Some(OidcOptions {
        name: value(file, "oidc.name").unwrap_or_else(|| "Single sign-on".to_owned()),
        client_id: needed(file, "oidc.client_id", "oidc.issuer")?,
        client_secret: secret("TRUEUP_OIDC_CLIENT_SECRET"),
        groups_claim: value(file, "oidc.groups_claim").unwrap_or_else(|| "groups".to_owned()),
        issuer,
        create,
        groups,
    }))
}

/// Reads `GROUP=ROLE@ORGANIZATION`, with commas between; the role `operator` has no organization.
fn groups(text: &str) -> Result<Vec<GroupPlace>, CliError> {
    let mut all = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let bad = || {
            let fix = "Write GROUP=ROLE@ORGANIZATION with commas between, or GROUP=operator.";
            wrong("oidc.groups", format!("holds `{part}`"), fix)
        };
        let (group, place) = part.rsplit_once('=').ok_or_else(bad)?;
        let (role, org) = match place.split_once('@') {
            Some((role, org)) => (role, Some(crate::config::slug(org)?.to_string())),
            None => (place, None),
        };
        let known = crate::serve::rights::Role::from_name(role).ok_or_else(bad)?;
        if (known == crate::serve::rights::Role::Operator) != org.is_none() || group.is_empty() {
            return Err(bad());
        }
        all.push(GroupPlace { group: group.to_owned(), role: role.to_owned(), org });
    }
    Ok(all)
}

/// Where traces go, where that is said.
///
/// # Errors
/// An address that is none.
pub fn traces(file: &BTreeMap<String, String>) -> Result<Option<TraceOptions>, CliError> {
    let Some(endpoint) = value(file, "traces.endpoint") else { return Ok(None) };
    match url::Url::parse(&endpoint) {
        Ok(_) => Ok(Some(TraceOptions { endpoint })),
        Err(error) => Err(wrong(
            "traces.endpoint",
            format!("is `{endpoint}`: {error}"),
            "Write an address such as http://127.0.0.1:4318/v1/traces.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn nothing_is_told_and_nobody_else_signs_in_unless_it_is_said() {
        assert!(mail(&file(&[])).unwrap().is_none());
        assert!(oidc(&file(&[])).unwrap().is_none());
        assert!(traces(&file(&[])).unwrap().is_none());
    }

    #[test]
    fn a_mail_server_has_a_sender_and_its_usual_port() {
        let all = mail(&file(&[("mail.host", "m"), ("mail.from", "t@example.com")])).unwrap().unwrap();
        assert_eq!((all.port, all.security), (587, MailSecurity::Starttls));
        for bad in [
            file(&[("mail.host", "m")]),
            file(&[("mail.host", "m"), ("mail.from", "nobody")]),
            file(&[("mail.host", "m"), ("mail.from", "t@example.com"), ("mail.port", "x")]),
            file(&[("mail.host", "m"), ("mail.from", "t@example.com"), ("mail.security", "ssl")]),
            file(&[("mail.host", "m"), ("mail.from", "t@example.com"), ("mail.user", "u")]),
        ] {
            assert!(mail(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn groups_have_a_role_and_a_place() {
        let all = groups("admins=operator, north billing = x=billing@north").unwrap();
        assert_eq!(all[0], GroupPlace { group: "admins".into(), role: "operator".into(), org: None });
        assert_eq!(all[1].org.as_deref(), Some("north"));
        assert_eq!(all[1].group, "north billing = x");
        for bad in ["x", "x=king@north", "x=admin", "x=operator@north", "x=admin@../y", "=admin@north"] {
            assert!(groups(bad).is_err(), "{bad}");
        }
    }
}
