//! Secrets at rest: XChaCha20-Poly1305 under a key that lies beside the database, never in it.
//!
//! Organization, connection and field are associated data, so that a sealed value copied to another row does not open.

use crate::error;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use chacha20poly1305::aead::{Aead, Generate, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use secrecy::{ExposeSecret, SecretBox};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use trueup_engine::ports::StoreError;

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
const VERSION: &str = "v1.";

/// Where a sealed value belongs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) organization: &'a str,
    pub(crate) connection: &'a str,
    pub(crate) field: &'a str,
}

impl Place<'_> {
    /// Length-prefixed, so that no two places run together.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"trueup seal 1".to_vec();
        for part in [self.organization, self.connection, self.field] {
            bytes.extend((part.len() as u64).to_be_bytes());
            bytes.extend(part.as_bytes());
        }
        bytes
    }

    fn named(&self) -> String {
        format!("{} of connection {} of {}", self.field, self.connection, self.organization)
    }
}

/// The key, read from its file.
pub(crate) struct SealKey(SecretBox<[u8; KEY_BYTES]>);

impl SealKey {
    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&Key::from(*self.0.expose_secret()))
    }

    /// Seals a text.
    pub(crate) fn seal(&self, place: Place<'_>, text: &str) -> Result<String, StoreError> {
        let nonce = XNonce::generate();
        let sealed = self
            .cipher()
            .encrypt(&nonce, Payload { msg: text.as_bytes(), aad: &place.bytes() })
            .map_err(|_| StoreError::Damaged(format!("the {} is too long to be sealed", place.named())))?;
        let mut bytes = nonce.to_vec();
        bytes.extend(sealed);
        Ok(format!("{VERSION}{}", BASE64.encode(bytes)))
    }

    /// Opens a sealed text.
    pub(crate) fn open(&self, place: Place<'_>, sealed: &str) -> Result<String, StoreError> {
        let wrong = || {
            StoreError::KeyMissing(format!(
                "the {} was sealed with another key; put the key file back that belongs to this database, or enter \
                 the connection anew",
                place.named()
            ))
        };
        let bytes = sealed.strip_prefix(VERSION).and_then(|t| BASE64.decode(t).ok()).ok_or_else(wrong)?;
        let (nonce, body) = bytes.split_at_checked(NONCE_BYTES).ok_or_else(wrong)?;
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().map_err(|_| wrong())?;
        let text = self
            .cipher()
            .decrypt(&XNonce::from(nonce), Payload { msg: body, aad: &place.bytes() })
            .map_err(|_| wrong())?;
        String::from_utf8(text).map_err(|_| wrong())
    }
}

/// The key file.
#[derive(Clone, Debug)]
pub(crate) struct KeyFile(PathBuf);

impl KeyFile {
    pub(crate) fn in_dir(data_dir: &Path) -> Self {
        Self(data_dir.join("trueup.key"))
    }

    /// Whether there is a file.
    pub(crate) fn exists(&self) -> bool {
        self.0.exists()
    }

    /// The key; none where there is no file.
    pub(crate) fn find(&self) -> Result<Option<SealKey>, StoreError> {
        let bytes = match std::fs::read(&self.0) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(StoreError::KeyMissing(format!("{}: {e}", self.0.display()))),
        };
        let bytes: [u8; KEY_BYTES] = bytes.try_into().map_err(|_| {
            StoreError::KeyMissing(format!("{} is not a key file: it must hold 32 bytes", self.0.display()))
        })?;
        Ok(Some(SealKey(SecretBox::new(Box::new(bytes)))))
    }

    /// The key that sealed rows need.
    pub(crate) fn get(&self) -> Result<SealKey, StoreError> {
        self.find()?.ok_or_else(|| {
            StoreError::KeyMissing(format!(
                "{} is gone; put it back from the backup, sealed secrets cannot be read without it",
                self.0.display()
            ))
        })
    }

    /// A new key, readable by its owner alone.
    pub(crate) fn create(&self) -> Result<SealKey, StoreError> {
        let io = |e: std::io::Error| error::of_io(&self.0.display().to_string(), &e);
        let key: [u8; KEY_BYTES] = Key::generate().into();
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&self.0).map_err(io)?;
        file.write_all(&key).map_err(io)?;
        // A key lost in a power cut would take every sealed secret with it.
        file.sync_all().map_err(io)?;
        Ok(SealKey(SecretBox::new(Box::new(key))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place<'a>(organization: &'a str, connection: &'a str) -> Place<'a> {
        Place { organization, connection, field: "private_key" }
    }

    #[test]
    fn a_sealed_value_opens_in_its_own_place_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = KeyFile::in_dir(dir.path());
        assert!(file.find().unwrap().is_none());
        let key = file.create().unwrap();
        let sealed = key.seal(place("a", "main"), "s3cret").unwrap();
        assert!(!sealed.contains("s3cret"));
        assert_eq!(file.get().unwrap().open(place("a", "main"), &sealed).unwrap(), "s3cret");
        assert!(matches!(key.open(place("b", "main"), &sealed), Err(StoreError::KeyMissing(_))));
        assert!(matches!(key.open(place("am", "ain"), &sealed), Err(StoreError::KeyMissing(_))));
        assert!(matches!(key.open(place("a", "main"), "v1.AAAA"), Err(StoreError::KeyMissing(_))));
        assert_ne!(sealed, key.seal(place("a", "main"), "s3cret").unwrap());
    }

    #[test]
    fn a_key_file_of_another_length_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("trueup.key"), b"short").unwrap();
        assert!(matches!(KeyFile::in_dir(dir.path()).get(), Err(StoreError::KeyMissing(_))));
    }
}
