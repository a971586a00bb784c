//! The one HTTP sender: retry, adaptive rate limit, deadlines, redaction, host rules.
//!
//! Everything that leaves the program over HTTP goes through a [`Sender`]. It knows nothing of any vendor: a dialect
//! builds a [`Call`], says with [`Safety`] whether it may be repeated, and gets an [`Outcome`] that keeps three things
//! apart that clients usually mix up: it was done, it was certainly not done, or nobody can say.
//!
//! One `Sender` belongs to one connection (a tenant on a host). Its retry budget and its connection pool are shared by
//! all clones and by nobody else; how fast it may call it shares with every sender that was given the same [`Budget`],
//! and with other processes where that budget has a [`Ledger`].

mod call;
mod hosts;
mod learning;
mod limiter;
mod outcome;
mod redact;
mod retry;
mod sender;
mod shared;
mod stats;
mod wire;

pub use call::{Call, Safety};
pub use hosts::{AddressClass, HostError, HostRules, classify};
pub use http::{Method, StatusCode};
pub use limiter::{Budget, LimiterConfig, Pace};
pub use outcome::{Doubt, EdgePage, Outcome, Refusal, Reply};
pub use redact::{MAX_ERROR_TEXT, Redactor};
pub use sender::{BuildError, Sender, SenderConfig, set_trace_parent};
pub use shared::{Exchanging, Grant, Ledger, RefusedAgo, Report, exchange};
pub use stats::{Exchange, Recorder, Stats, Totals, totals};
