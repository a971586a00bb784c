//! Keys: what makes a write the same write when it is planned again.

use super::Role;
use crate::ids::{OrganizationId, SourceId};
use crate::period::day_text;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use smol_str::{SmolStr, ToSmolStr as _};
use std::fmt;

/// The deterministic key of one write: `tu` and 26 characters of a hash. A replan yields the same key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OperationKey(pub String);

impl fmt::Display for OperationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// `prefix` and `length` characters of a hash over `parts`. The parts are length-prefixed, so that no two lists of
/// parts run together.
pub fn short_hash(prefix: &str, parts: &[&str], length: usize) -> String {
    let digest = digest_of(parts);
    // Five bits a character: eight of them are five bytes. None for what is left of less than five bits.
    let mut written = [0; 56];
    for (bytes, characters) in digest.chunks(5).zip(written.chunks_mut(8)) {
        let mut bits = [0; 8];
        bits[..bytes.len()].copy_from_slice(bytes);
        let mut bits = u64::from_be_bytes(bits);
        for character in characters {
            bits = bits.rotate_left(5);
            *character = ALPHABET[(bits & 31) as usize];
        }
    }
    let most = (digest.len() * 8 / 5).min(length);
    let mut text = String::with_capacity(prefix.len() + most);
    text.push_str(prefix);
    // The alphabet is ASCII.
    text.push_str(str::from_utf8(&written[..most]).unwrap_or_default());
    text
}

/// A hash over parts, each behind its length.
fn digest_of(parts: &[&str]) -> [u8; 32] {
    // Nearly all lists of parts fit: they are hashed in one go.
    let mut room = [0; 256];
    let mut length = 0;
    for part in parts {
        let (head, end) = (length + 8, length + 8 + part.len());
        let Some(into) = room.get_mut(length..end) else {
            return digest_of_long(parts);
        };
        let (counted, bytes) = into.split_at_mut(head - length);
        counted.copy_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.copy_from_slice(part.as_bytes());
        length = end;
    }
    Sha256::digest(&room[..length]).into()
}

fn digest_of_long(parts: &[&str]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().into()
}

/// What the key of a line is made of.
#[derive(Clone, Copy, Debug)]
pub struct KeyParts<'a> {
    /// Organization.
    pub organization: &'a OrganizationId,
    /// Source.
    pub source: &'a SourceId,
    /// Order, or the subscription of a reconciliation.
    pub order: &'a str,
    /// Line of the order.
    pub line: &'a str,
    /// Role.
    pub role: Role,
    /// First day the line is truly for.
    pub period_start: Date,
    /// 0, or how often the same line had to be written anew on purpose.
    pub revision: u32,
}

impl KeyParts<'_> {
    /// The key that the line carries.
    pub fn key(&self) -> OperationKey {
        // Hardly any line is written anew.
        let revision = match self.revision {
            0 => SmolStr::new_static("0"),
            times => times.to_smolstr(),
        };
        OperationKey(short_hash(
            "tu",
            &[
                self.organization.as_str(),
                self.source.as_str(),
                self.order,
                self.line,
                self.role.name(),
                &day_text(self.period_start),
                &revision,
            ],
            26,
        ))
    }
}

/// The key of a change of a line that exists: not written anywhere but in the journal.
pub fn edit_key(
    organization: &OrganizationId,
    order: &str,
    op: &str,
    target: &str,
    wanted: &str,
) -> OperationKey {
    OperationKey(short_hash("tu", &["edit", organization.as_str(), order, op, target, wanted], 26))
}

/// Whether a text has the form of a key.
pub fn looks_like_key(text: &str) -> bool {
    text.len() == 28 && text.starts_with("tu") && text.bytes().skip(2).all(|b| ALPHABET.contains(&b))
}
