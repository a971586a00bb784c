//! Failures of the client in the port's words.

use trueup_domain::finding::Code;
use trueup_engine::ports::{PsaError, WriteError};

use crate::client::{ClientError, right_of};

/// A failure with its exception code and ConnectWise's own words.
pub(super) fn psa_error(error: ClientError) -> PsaError {
    let code = Code::from_name(error.code()).unwrap_or(Code::Tu1007);
    let mut message = error.to_string();
    // ConnectWise never says which right is missing; the call tells.
    if let Some(right) = error.api().filter(|_| code == Code::Tu1004).and_then(|api| right_of(&api.call)) {
        message = format!("the API member lacks the right {right}: {message}");
    }
    PsaError { code, their_words: error.api().map(ToString::to_string), message }
}

/// A failed write: certainly not carried out, or nobody knows.
pub(super) fn write_error(error: ClientError) -> WriteError {
    if error.certainly_not_done() {
        WriteError::Refused(psa_error(error))
    } else {
        WriteError::InDoubt(psa_error(error))
    }
}

/// A value that cannot be carried over between ConnectWise and us.
pub(super) fn not_understood(message: String) -> PsaError {
    PsaError { code: Code::Tu1007, message, their_words: None }
}

/// A table or field of the tenant that holds nothing we could use.
pub(super) fn lookup_missing(kind: &str) -> PsaError {
    PsaError {
        code: Code::Tu2008,
        message: format!("ConnectWise has no {kind} that could be used; set one up there, then try again"),
        their_words: None,
    }
}
