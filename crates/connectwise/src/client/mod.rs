//! A client of the ConnectWise Manage REST API.
//!
//! It signs in, finds the tenant's code base, reads lists whole or not at all, builds conditions, writes and reads
//! decimals exactly and dates as dates, and tells three things apart after a write: done, refused, in doubt.
//! [`wire`] alone spells the fields like the vendor.

pub mod address;
pub mod callback;
mod codebase;
pub mod cond;
mod desk;
mod endpoints;
mod error;
mod page;
pub mod patch;
pub mod rights;
mod session;
pub mod value;
pub mod wire;

pub use cond::{Cond, Literal};
pub use error::{ApiError, ClientError, FieldError};
pub use page::{Page, Query};
pub use patch::PatchOp;
pub(crate) use rights::right_of;
pub use session::{API_VERSION, ClientConfig, ConnectWiseClient, Credentials};
pub use trueup_transport::{Budget, Exchange, LimiterConfig, Pace, Recorder, Stats};
pub use value::{Number, WireDate};
pub use wire::NewAddition;
