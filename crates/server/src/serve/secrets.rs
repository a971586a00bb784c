//! Secrets of people and programs: how they are made, shown once, and kept as hashes.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::Rng;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use subtle::ConstantTimeEq;

/// The shortest password a person may choose.
pub const SHORTEST_PASSWORD: usize = 12;
/// The longest: hashing takes its time with every byte.
pub const LONGEST_PASSWORD: usize = 256;

/// 256 random bits as text.
pub fn random() -> String {
    let mut bytes = [0_u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A password to be typed once: letters and digits that are not mistaken for each other, in groups.
pub fn one_time_password() -> String {
    const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
    let mut text = String::new();
    let mut bytes = [0_u8; 64];
    rand::rng().fill_bytes(&mut bytes);
    let even = bytes.iter().filter(|byte| usize::from(**byte) < 256 - 256 % LETTERS.len());
    for (at, byte) in even.take(20).enumerate() {
        if at > 0 && at % 5 == 0 {
            text.push('-');
        }
        if let Some(letter) = LETTERS.get(usize::from(*byte) % LETTERS.len()) {
            text.push(char::from(*letter));
        }
    }
    text
}

/// The hash under which a cookie's or a token's value is kept. Such values have 256 random bits, so that a fast hash is
/// enough.
pub fn hash(secret: &str) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(secret.as_bytes()) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Whether two texts are equal, in a time that does not tell where they differ.
pub fn equal(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

/// The hash of a password; takes a while, on a thread of its own.
///
/// # Errors
/// Where the machine has no random numbers or no memory for it.
pub async fn hash_password(password: String) -> Result<String, String> {
    let hashed = tokio::task::spawn_blocking(move || {
        let hash: PasswordHash =
            Argon2::default().hash_password(password.as_bytes()).map_err(|e| e.to_string())?;
        Ok(hash.to_string())
    });
    hashed.await.map_err(|e| e.to_string())?
}

/// Kept where a hash would be for who has no password.
pub const NO_PASSWORD: &str = "!";

/// Whether a password fits a hash. Without a hash one is computed all the same, so that the time does not tell whether
/// an address is known.
pub async fn verify_password(password: String, hash: Option<String>) -> bool {
    let verified = tokio::task::spawn_blocking(move || {
        let Some(hash) = hash.filter(|hash| hash != NO_PASSWORD) else {
            let _: Result<PasswordHash, _> = Argon2::default().hash_password(password.as_bytes());
            return false;
        };
        PasswordHash::new(&hash)
            .is_ok_and(|parsed| Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok())
    });
    verified.await.unwrap_or(false)
}

/// Why a password may not be chosen; none where it may.
pub fn weakness(password: &str, email: &str) -> Option<String> {
    let length = password.chars().count();
    if length < SHORTEST_PASSWORD {
        return Some(format!("it has {length} characters; at least {SHORTEST_PASSWORD} are needed"));
    }
    if password.len() > LONGEST_PASSWORD {
        return Some(format!("it is longer than {LONGEST_PASSWORD} bytes"));
    }
    let small = password.to_lowercase();
    let name = email.split('@').next().unwrap_or_default().to_lowercase();
    if name.len() >= 4 && small.contains(&name) {
        return Some("it contains the name of your e-mail address".to_owned());
    }
    let mut letters: Vec<char> = small.chars().collect();
    letters.sort_unstable();
    letters.dedup();
    (letters.len() < 5).then(|| "it repeats a few characters only".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_long_and_never_the_same() {
        let (a, b) = (random(), random());
        assert_ne!(a, b);
        assert_eq!(a.len(), 43);
        assert_eq!(hash(&a).len(), 64);
        let password = one_time_password();
        assert_eq!(password.len(), 23, "{password}");
        assert_eq!(weakness(&password, "a@example.com"), None);
    }

    #[test]
    fn weak_passwords_are_named() {
        assert!(weakness("short", "a@b.c").is_some());
        assert!(weakness("aaaaaaaaaaaaaaaa", "a@b.c").is_some());
        assert!(weakness("my-name-is-johnny", "johnny@example.com").is_some());
        assert!(weakness(&"correct horse battery".repeat(50), "a@b.c").is_some());
        assert_eq!(weakness("correct horse battery", "a@b.c"), None);
    }

    #[tokio::test]
    async fn a_password_fits_its_hash_alone() {
        let hash = hash_password("correct horse battery".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        assert!(verify_password("correct horse battery".into(), Some(hash.clone())).await);
        assert!(!verify_password("correct horse batterz".into(), Some(hash)).await);
        assert!(!verify_password("correct horse battery".into(), None).await);
    }
}
