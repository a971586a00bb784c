//! One mail, handed over step by step: only the step tells whether a refusal is about the address or about the server.
//! Knows nothing of findings and of the outbox.

use crate::deployment::{MailOptions, MailSecurity};
use lettre::Message;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use std::time::Duration;

/// How long a server may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(5);

/// Why a mail was not taken.
#[derive(Debug)]
pub struct Failure {
    /// The server's reply, where there is one.
    pub status: Option<u16>,
    /// In words; the secret that was sent is in none of them.
    pub words: String,
    /// Whether it would not be taken later either.
    pub for_good: bool,
}

impl Failure {
    /// Before a server was asked, and for ever.
    pub fn for_good(words: String) -> Self {
        Self { status: None, words, for_good: true }
    }

    /// May be otherwise later.
    pub fn for_now(words: String) -> Self {
        Self { status: None, words, for_good: false }
    }

    /// Whether the server said no, as opposed to nothing or "later".
    pub fn is_refusal(&self) -> bool {
        self.status.is_some_and(|status| status >= 500)
    }

    fn of(error: &Error) -> Self {
        Self { status: error.status().map(u16::from), words: chain(error), for_good: false }
    }

    /// Of the command that names the address.
    fn of_address(error: &Error) -> Self {
        let words = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
        let failure = Self::of(error);
        let for_good = failure.status.is_some_and(|status| names_address(status, &words));
        Self { for_good, ..failure }
    }
}

/// Whether a reply to RCPT TO says that there is no such address: the enhanced codes 5.1.x (RFC 3463) but those of the
/// sender's address, or 550 without one. A full mailbox, a limit of the day or a server that takes nothing from us may
/// pass.
fn names_address(status: u16, words: &str) -> bool {
    let first = words.split_whitespace().next().unwrap_or_default();
    let numbers: Option<Vec<u16>> = first.split('.').map(|part| part.parse().ok()).collect();
    match numbers.as_deref() {
        Some([class, subject, detail]) => (*class, *subject) == (5, 1) && !matches!(detail, 7 | 8),
        _ => status == 550, // open set: text
    }
}

/// Hands a mail over; each answer may take `patience`.
///
/// # Errors
/// Why it was not taken.
pub async fn hand_over(options: &MailOptions, message: &Message, patience: Duration) -> Result<(), Failure> {
    let mut server = connect(options, patience).await?;
    let handed = say(&mut server, message).await;
    // What was taken stays taken, however long the goodbye takes.
    tokio::spawn(async move {
        let _ = tokio::time::timeout(GOODBYE, server.quit()).await;
    });
    handed
}

async fn connect(options: &MailOptions, patience: Duration) -> Result<AsyncSmtpConnection, Failure> {
    let own = ClientId::default();
    let tls = match options.security {
        MailSecurity::None => None,
        MailSecurity::Tls | MailSecurity::Starttls => {
            Some(TlsParameters::new(options.host.clone()).map_err(|error| Failure::of(&error))?)
        }
    };
    let (at_once, then) = match options.security {
        MailSecurity::Starttls => (None, tls),
        MailSecurity::Tls | MailSecurity::None => (tls, None),
    };
    let at = (options.host.as_str(), options.port);
    let server = AsyncSmtpConnection::connect_tokio1(at, Some(patience), &own, at_once, None).await;
    let mut server = server.map_err(|error| Failure::of(&error))?;
    if let Some(tls) = then {
        server.starttls(tls, &own).await.map_err(|error| Failure::of(&error))?;
    }
    if let Some((user, password)) = &options.user {
        let known = Credentials::new(user.clone(), password.reveal().to_owned());
        server.auth(DEFAULT_MECHANISMS, &known).await.map_err(|error| Failure::of(&error))?;
    }
    Ok(server)
}

async fn say(server: &mut AsyncSmtpConnection, message: &Message) -> Result<(), Failure> {
    let envelope = message.envelope();
    let mut parameters = Vec::new();
    let mut named = envelope.from().into_iter().chain(envelope.to());
    if !named.all(|address| AsRef::<str>::as_ref(address).is_ascii()) {
        if !server.server_info().supports_feature(Extension::SmtpUtfEight) {
            return Err(Failure::for_good(
                "the server takes no address with letters beyond ASCII".to_owned(),
            ));
        }
        parameters.push(MailParameter::SmtpUtfEight);
    }
    let mail = Mail::new(envelope.from().cloned(), parameters);
    server.command(mail).await.map_err(|error| Failure::of(&error))?;
    for to in envelope.to() {
        let named = server.command(Rcpt::new(to.clone(), Vec::new())).await;
        named.map_err(|error| Failure::of_address(&error))?;
    }
    server.command(Data).await.map_err(|error| Failure::of(&error))?;
    server.message(&message.formatted()).await.map_err(|error| Failure::of(&error)).map(drop)
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        words = format!("{words}: {inner}");
        cause = inner.source();
    }
    words.chars().take(500).collect()
}

#[cfg(test)]
mod tests {
    use super::names_address;

    #[test]
    fn only_a_word_about_the_address_ends_the_attempts() {
        for (status, words) in [
            (550, "5.1.1 <x@example.com> user unknown"),
            (553, "5.1.2 no such domain"),
            (550, "5.1.10 recipient has a null MX"),
            (550, "no such user here"),
            (550, ""),
        ] {
            assert!(names_address(status, words), "{status} {words}");
        }
        for (status, words) in [
            (550, "5.4.5 daily sending quota exceeded"),
            (550, "5.7.1 relaying denied"),
            (552, "5.2.2 mailbox full"),
            (550, "5.1.8 sender address rejected"),
            (530, "5.7.0 authentication required"),
            (554, "go away"),
            (450, "4.1.1 greylisted"),
        ] {
            assert!(!names_address(status, words), "{status} {words}");
        }
    }
}
