//! Callbacks: what ConnectWise posts when a record changes.
//!
//! A callback is a hint. Its signature says that ConnectWise wrote it; what the record holds is read through the API.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use url::Url;

use super::error::ClientError;
use super::session::ConnectWiseClient;

/// The header that carries the signature.
pub const SIGNATURE_HEADER: &str = "x-content-signature";

/// Why a callback was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallbackError {
    /// The signature is not Base64.
    #[error("the signature is not Base64")]
    MalformedSignature,
    /// The signature is not that of the body.
    #[error("the signature does not belong to the body")]
    WrongSignature,
    /// The body is not a callback.
    #[error("the body is not a ConnectWise callback")]
    MalformedBody,
}

/// Checks the signature of a callback: Base64 of HMAC-SHA256 over the raw body, keyed with SHA-256 of the signing key.
///
/// # Errors
/// Where the signature does not belong to the body.
pub fn verify_signature(
    signing_key: &SecretString,
    raw_body: &[u8],
    signature: &str,
) -> Result<(), CallbackError> {
    let given = STANDARD.decode(signature.trim()).map_err(|_| CallbackError::MalformedSignature)?;
    let key = Sha256::digest(signing_key.expose_secret().as_bytes());
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| CallbackError::MalformedSignature)?;
    mac.update(raw_body);
    let expected = mac.finalize().into_bytes();
    if bool::from(expected.as_slice().ct_eq(&given)) { Ok(()) } else { Err(CallbackError::WrongSignature) }
}

/// The parts of a callback that are used; the copy of the record inside has another shape than the API's and is not.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CallbackEvent {
    /// `added`, `updated` or `deleted`.
    #[serde(rename = "Action")]
    pub action: String,
    /// The kind of record, for instance `agreement`.
    #[serde(rename = "Type")]
    pub record_type: String,
    /// The record.
    #[serde(rename = "ID")]
    pub id: i64,
    /// The company as typed at sign-in.
    #[serde(rename = "CompanyId")]
    pub company: String,
    /// Where the signing key is.
    #[serde(rename = "Metadata", default)]
    pub metadata: CallbackMetadata,
}

/// Where the signing key of a callback is said to be.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct CallbackMetadata {
    /// The address; it comes from an unchecked body.
    #[serde(default)]
    pub key_url: String,
}

impl CallbackEvent {
    /// Reads a callback's body.
    ///
    /// # Errors
    /// Where it is none.
    pub fn parse(raw_body: &[u8]) -> Result<Self, CallbackError> {
        serde_json::from_slice(raw_body).map_err(|_| CallbackError::MalformedBody)
    }
}

#[derive(Deserialize)]
struct SigningKey {
    signing_key: String,
}

impl ConnectWiseClient {
    /// Fetches the signing key that a callback names. Only an address of this very site is called.
    ///
    /// # Errors
    /// Where the address leads elsewhere, or the key cannot be read.
    pub async fn fetch_signing_key(&self, key_url: &str) -> Result<SecretString, ClientError> {
        let shown = "GET callback signing key";
        let url = self.own_address(key_url).ok_or_else(|| {
            ClientError::Invalid("the callback's key address is not one of this ConnectWise site".to_owned())
        })?;
        let reply = self.get_same_site(url, shown).await?;
        let key: SigningKey = serde_json::from_slice(reply.body()).map_err(|_| {
            ClientError::NotUnderstood { call: shown.to_owned(), why: "no signing_key in it".to_owned() }
        })?;
        Ok(SecretString::from(key.signing_key))
    }

    /// Whether an address that a callback names is one of this very site: others are not worth a thought.
    pub fn is_own_address(&self, key_url: &str) -> bool {
        self.own_address(key_url).is_some()
    }

    fn own_address(&self, key_url: &str) -> Option<Url> {
        let is_plain = |url: &Url| url.username().is_empty() && url.password().is_none();
        Url::parse(key_url).ok().filter(|url| self.site().is_same_site(url) && is_plain(url))
    }
}
