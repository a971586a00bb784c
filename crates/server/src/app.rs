//! What a command works with: the store, the clock, the settings, and how to print.

use crate::clock::SystemClock;
use crate::compose;
use crate::config::Options;
use crate::failure::CliError;
use crate::output::{Output, note};
use std::sync::Arc;
use trueup_domain::ids::{OrganizationId, SourceId};
use trueup_domain::settings::Settings;
use trueup_engine::ports::{Psa, Store};
use trueup_engine::records::Connection;
use trueup_engine::settings;

/// The mark that names the ConnectWise company to which an organization's mappings and lines belong.
const WRITTEN_TO: &str = "written-to";

/// An open installation.
pub struct App {
    /// Flags, environment and file, put together.
    pub options: Options,
    /// How to print.
    pub out: Output,
    /// The clock.
    pub clock: SystemClock,
    /// The store.
    pub store: Arc<dyn Store>,
}

impl App {
    /// Opens the store and makes the organization at its first use.
    ///
    /// # Errors
    /// The store's.
    pub async fn open(options: Options) -> Result<Self, CliError> {
        let store = compose::store(&options).await?;
        Self::over(store, options).await
    }

    /// Over a store that is open already; makes the organization at its first use.
    ///
    /// # Errors
    /// The store's.
    pub async fn over(store: Arc<dyn Store>, options: Options) -> Result<Self, CliError> {
        let app =
            Self { out: Output::new(options.format), clock: SystemClock::new(options.today), store, options };
        if app.options.org.as_str() == "default" {
            app.store.ensure_organization(&app.options.org).await?;
        } else {
            app.known_organization().await?;
        }
        Ok(app)
    }

    async fn known_organization(&self) -> Result<(), CliError> {
        let known = self.store.list_organizations().await?;
        if known.iter().any(|row| row.id == self.options.org) {
            return Ok(());
        }
        Err(CliError::usage(
            format!("there is no organization `{}`", self.options.org),
            "`trueup org list` shows them; `trueup org add` makes one.",
        ))
    }

    /// The organization.
    pub fn org(&self) -> &OrganizationId {
        &self.options.org
    }

    /// The store.
    pub fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// Who acts.
    pub fn actor(&self) -> &str {
        &self.options.actor
    }

    /// The settings that hold.
    ///
    /// # Errors
    /// The store's, or a value that is not allowed.
    pub async fn settings(&self) -> Result<Settings, CliError> {
        Ok(settings::load(self.store(), self.org(), &self.options.overlays).await?)
    }

    /// The named connection, or the nearest one.
    ///
    /// # Errors
    /// None is stored, or none has this name.
    pub async fn connection(&self, name: Option<&str>) -> Result<Connection, CliError> {
        let all = self.store.list_connections(self.org()).await?;
        let found = match name {
            Some(name) => all.into_iter().find(|c| c.name == name),
            None => all.into_iter().next(),
        };
        found.ok_or_else(|| match name {
            Some(name) => CliError::usage(
                format!("there is no connection `{name}`"),
                "`trueup connection list` shows them.",
            ),
            None => CliError::usage(
                format!("organization {} has no connection to ConnectWise", self.org()),
                "Store one with `trueup connection add`.",
            ),
        })
    }

    /// ConnectWise, to be planned for and written to. What an organization has mapped and written are numbers of one
    /// ConnectWise company: over a connection to another one they would mean something else.
    ///
    /// # Errors
    /// As [`Self::psa`], and where the connection is to another company than what was written so far.
    pub async fn psa_to_write(&self, name: Option<&str>) -> Result<(String, Arc<dyn Psa>), CliError> {
        let connection = self.connection(name).await?;
        if name.is_none() && self.store.list_connections(self.org()).await?.len() > 1 {
            note(&format!(
                "several connections are stored, and `{}` is taken: `--connection NAME` names another",
                connection.name
            ));
        }
        let company = connection.company.trim().to_lowercase();
        let known = self.store.load_mark(self.org(), WRITTEN_TO).await?;
        let other = known.as_deref().filter(|known| *known != company);
        if let Some(other) = other
            && self.store.list_links(self.org()).await?.iter().any(|link| !link.deleted)
        {
            return Err(CliError::usage(
                format!(
                    "connection `{}` is to the ConnectWise company {company}, and what organization {} has mapped and \
                     written is in {other}",
                    connection.name,
                    self.org()
                ),
                "Name the connection to that company with `--connection`. For another company make an organization of its \
                 own (`trueup org add`), with mappings of its own.",
            ));
        }
        if known.as_deref() != Some(company.as_str()) {
            self.store.save_mark(self.org(), WRITTEN_TO, &company).await?;
        }
        let settings = self.settings().await?;
        let psa = compose::psa(&connection, &settings, &self.options)?;
        Ok((connection.name, psa))
    }

    /// ConnectWise, by the named connection or the nearest one.
    ///
    /// # Errors
    /// As [`Self::connection`], or an address that may not be called.
    pub async fn psa(&self, name: Option<&str>) -> Result<(String, Arc<dyn Psa>), CliError> {
        let connection = self.connection(name).await?;
        let settings = self.settings().await?;
        let psa = compose::psa(&connection, &settings, &self.options)?;
        Ok((connection.name, psa))
    }
}

/// The source that a command names, or `default`.
pub fn source_of(name: Option<&str>) -> SourceId {
    SourceId::from(name.unwrap_or("default"))
}
