//! Source dialects that end in feed records.
//!
//! A dialect reads what one kind of system writes and yields [records](trueup_domain::feed::Record) one at a time, with a
//! [`Refusal`] for whatever could not be taken. It knows nothing of the store, of tasks or of ConnectWise.

mod anchor;
mod answers;
mod c3;
mod cloudblue_connect;
mod cloudblue_simpleapi;
pub mod dialect;
pub mod feed;
mod fields;
mod focus;
mod input;
mod json;
mod mailprotector;
mod place;
mod redact;
mod summed;
mod time;

use trueup_engine::ports::Refusal;

pub use dialect::{Dialect, ReadOptions, Records, dialect};
pub use feed::{FeedFormat, FeedOptions, FeedReader, read_feed};
pub use summed::{SumTotals, UsageSums, sum_usage};
pub use trueup_engine::records::incoming;

/// A refusal without a field.
fn refusal(file: &str, line: u64, code: &str, reason: String) -> Refusal {
    Refusal {
        file: file.to_owned(),
        line,
        field: None,
        reason,
        code: code.to_owned(),
        record: None,
        warning: false,
    }
}
