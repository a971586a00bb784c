//! Secrets at rest: XChaCha20-Poly1305 under a key that lies beside the database, never in it.
//!
//! Organization, connection and field are associated data, so that a sealed value copied to another row does not open.

use crate::backup::hex;
use crate::error;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use chacha20poly1305::aead::{Aead, Generate, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use secrecy::{ExposeSecret, SecretBox};
use sha2::{Digest, Sha256};
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

type KeyBytes = SecretBox<[u8; KEY_BYTES]>;

/// The key, read from its file.
pub(crate) struct SealKey {
    /// What is sealed from now on, and opened first.
    main: KeyBytes,
    /// The one before it, while a rotation is under way.
    older: Option<KeyBytes>,
}

fn cipher(key: &KeyBytes) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&Key::from(*key.expose_secret()))
}

impl SealKey {
    fn of(bytes: [u8; KEY_BYTES]) -> Self {
        Self { main: SecretBox::new(Box::new(bytes)), older: None }
    }

    /// What tells two keys apart and tells nothing about either.
    pub(crate) fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(b"trueup key fingerprint 1");
        hash.update(self.main.expose_secret());
        hex(hash.finalize().get(..8).unwrap_or_default())
    }

    /// Seals a text.
    pub(crate) fn seal(&self, place: Place<'_>, text: &str) -> Result<String, StoreError> {
        let nonce = XNonce::generate();
        let sealed = cipher(&self.main)
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
        let open = |key: &KeyBytes| {
            cipher(key).decrypt(&XNonce::from(nonce), Payload { msg: body, aad: &place.bytes() }).ok()
        };
        let text = open(&self.main).or_else(|| self.older.as_ref().and_then(open)).ok_or_else(wrong)?;
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

    /// The key in this file, wherever it lies.
    pub(crate) fn at(file: &Path) -> Self {
        Self(file.to_owned())
    }

    /// The key; none where there is no file. While a rotation is under way, both keys: the new one seals, either opens.
    pub(crate) fn find(&self) -> Result<Option<SealKey>, StoreError> {
        let Some(bytes) = self.read()? else { return Ok(None) };
        let current = bytes.ok_or_else(|| {
            StoreError::KeyMissing(format!("{} is not a key file: it must hold 32 bytes", self.0.display()))
        })?;
        Ok(Some(match self.beside("next").read()?.flatten() {
            Some(next) => SealKey { older: Some(SealKey::of(current).main), ..SealKey::of(next) },
            None => SealKey::of(current),
        }))
    }

    /// The bytes of the file: none without a file, and nothing in place of them where it is not as long as a key.
    fn read(&self) -> Result<Option<Option<[u8; KEY_BYTES]>>, StoreError> {
        match std::fs::read(&self.0) {
            Ok(bytes) => Ok(Some(bytes.try_into().ok())),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(StoreError::KeyMissing(format!("{}: {e}", self.0.display()))),
        }
    }

    fn beside(&self, word: &str) -> Self {
        let mut name = self.0.clone().into_os_string();
        name.push(format!(".{word}"));
        Self(PathBuf::from(name))
    }

    /// The key that a rotation seals with, and whether an earlier rotation made it.
    pub(crate) fn next_key(&self) -> Result<(SealKey, bool), StoreError> {
        let next = self.beside("next");
        match next.read()? {
            Some(Some(bytes)) => return Ok((SealKey::of(bytes), true)),
            // Cut short while it was written: nothing can be sealed with it.
            Some(None) => self.forget_next(),
            None => {}
        }
        let key = next.create()?;
        if let Err(error) = self.make_alike(&next) {
            self.forget_next();
            return Err(error);
        }
        Ok((key, false))
    }

    /// Gives a file that will take the place of the key its owner and mode: whoever rotates may be another one than the
    /// service, which has to read it afterwards.
    #[cfg(unix)]
    fn make_alike(&self, next: &Self) -> Result<(), StoreError> {
        use std::os::unix::fs::{MetadataExt, chown};
        let io = |e: std::io::Error| error::of_io(&next.0.display().to_string(), &e);
        let (old, new) = (std::fs::metadata(&self.0).map_err(io)?, std::fs::metadata(&next.0).map_err(io)?);
        if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
            chown(&next.0, Some(old.uid()), Some(old.gid())).map_err(io)?;
        }
        std::fs::set_permissions(&next.0, old.permissions()).map_err(io)
    }

    /// Owners are a matter of Unix alone.
    #[cfg(not(unix))]
    fn make_alike(&self, _: &Self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Takes away the new key of a rotation that changed nothing.
    pub(crate) fn forget_next(&self) {
        let _ = std::fs::remove_file(self.beside("next").0);
    }

    /// Puts the new key in the place of the old one, which is kept; where it is kept.
    pub(crate) fn take_next(&self) -> Result<PathBuf, StoreError> {
        let io = |e: std::io::Error| error::of_io(&self.0.display().to_string(), &e);
        let previous = self.beside("previous").0;
        // Over the one of an earlier rotation, and never without a key under the usual name.
        let _ = std::fs::remove_file(&previous);
        std::fs::hard_link(&self.0, &previous)
            .or_else(|_| std::fs::copy(&self.0, &previous).map(drop))
            .map_err(io)?;
        std::fs::rename(self.beside("next").0, &self.0).map_err(io)?;
        if let Some(dir) = self.0.parent() {
            let _ = std::fs::File::open(dir).and_then(|dir| dir.sync_all());
        }
        Ok(previous)
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
        let key = SealKey::of(Key::generate().into());
        self.put(&key)?;
        Ok(key)
    }

    /// Writes a key where there is none yet.
    pub(crate) fn put(&self, key: &SealKey) -> Result<(), StoreError> {
        let io = |e: std::io::Error| error::of_io(&self.0.display().to_string(), &e);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&self.0).map_err(io)?;
        file.write_all(key.main.expose_secret()).map_err(io)?;
        // A key lost in a power cut would take every sealed secret with it.
        file.sync_all().map_err(io)
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
