//! How a use case fails: one error for all of them, narrow enough to keep the exception code and the way out.

use crate::ports::{PsaError, StoreError};
use trueup_domain::finding::Code;
use trueup_domain::settings::SettingError;

/// Why a use case stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The PSA failed.
    #[error(transparent)]
    Psa(#[from] PsaError),
    /// A setting has no such key or value.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// What was asked for does not exist, or cannot be done in its state.
    #[error("{message}")]
    Wrong {
        /// What is wrong, and why.
        message: String,
        /// What to do.
        fix: String,
    },
}

impl Failure {
    /// A request that cannot be met.
    pub fn wrong(message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::Wrong { message: message.into(), fix: fix.into() }
    }

    /// The exception code, where one applies.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Store(error) => Some(error.code()),
            Self::Psa(error) => Some(error.code),
            Self::Setting(_) | Self::Wrong { .. } => None,
        }
    }
}
