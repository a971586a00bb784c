//! Source dialects that end in feed records.
//!
//! A dialect reads what one kind of system writes and yields [`Record`]s one at a time, with a [`Refusal`] for whatever
//! could not be taken. It knows nothing of the store, of tasks or of ConnectWise.

mod anchor;
mod answers;
mod cloudblue_connect;
mod cloudblue_simpleapi;
pub mod dialect;
pub mod feed;
mod fields;
mod focus;
mod input;
mod json;
mod mailprotector;
mod redact;
mod time;

use sha2::{Digest, Sha256};
use trueup_domain::feed::Record;
use trueup_engine::ports::Refusal;
use trueup_engine::records::IncomingRecord;

pub use dialect::{Dialect, ReadOptions, Records, dialect};
pub use feed::{FeedFormat, FeedOptions, FeedReader, read_feed};

/// A refusal without a field.
fn refusal(file: &str, line: u64, code: &str, reason: String) -> Refusal {
    Refusal { file: file.to_owned(), line, field: None, reason, code: code.to_owned(), warning: false }
}

/// A record on its way into the store: its id, and a hash that is equal exactly when nothing changed.
///
/// The hash is the first half of SHA-256 over the record's canonical JSON: 128 bits keep two versions apart also where
/// someone tries, and processors compute it at the pace of memory. The instant of an order counts and not the offset that
/// it is written with: the day that follows from that one is a field of its own.
pub fn incoming(mut record: Record) -> IncomingRecord {
    let id = record.id();
    let mut json = Vec::with_capacity(1024);
    let written = match &mut record {
        Record::Order(order) => jiff::Timestamp::from_microsecond(order.completed_us)
            .ok()
            .map(|instant| std::mem::replace(&mut order.completed_at, instant.to_string())),
        _ => None, // open set: the others are hashed as they are
    };
    // Writing a record of plain data to memory cannot fail.
    if serde_json::to_writer(&mut json, &record).is_err() {
        json.clear();
    }
    if let (Record::Order(order), Some(written)) = (&mut record, written) {
        order.completed_at = written;
    }
    let digest = Sha256::digest(&json);
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut hash = String::with_capacity(32);
    for byte in digest.iter().take(16) {
        for half in [byte >> 4, byte & 15] {
            hash.push(char::from(HEX[usize::from(half)]));
        }
    }
    IncomingRecord { record, id, hash }
}
