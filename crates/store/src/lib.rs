//! The only SQL: entities, migrations, one file a noun; SQLite and PostgreSQL.
//!
//! [`SqlStore`] is the [`Store`](trueup_engine::ports::Store) port on both databases, through one code path: whatever
//! differs between them is in `db.rs` (opening, write transactions, row locks) and in the migrations (triggers).
//!
//! Documents (plans, tasks, records, links, findings) are kept as JSON text beside the columns that are searched. No
//! amount of money has a column of its own: a decimal column of SQLite is a float, so amounts stay decimal text
//! inside their documents and are summed in Rust, never in SQL.

mod activity;
mod alerts;
mod approvals;
mod audit;
pub mod backup;
mod budgets;
mod callbacks;
mod connections;
mod db;
mod error;
mod feed;
mod findings;
mod gauges;
mod group;
mod kept_answers;
mod leases;
mod links;
mod lock;
mod mappings;
mod migration;
mod operations;
mod organizations;
mod outbox;
mod pages;
mod people;
mod picture_pages;
mod plans;
mod port;
mod quantity;
mod retention;
mod room;
mod rotation;
mod runs;
mod schedules;
mod scope;
mod seal;
mod sessions;
mod settings;
mod snapshots;
mod store;
mod tasks;
mod tokens;
mod tree;
mod webhooks;

pub use callbacks::Callback;
pub use feed::RecordVersion;
pub use gauges::Gauges;
pub use kept_answers::{Asked, KeptAnswer};
pub use mappings::MappingVersion;
pub use outbox::{Attempt, Delivery, DeliveryState, EVENT_KINDS, Mailing, Outcome, Sending, TEST_EVENT};
pub use pages::{AuditPage, RecordPage, TaskOrder, TaskPage};
pub use people::{Ends, Person};
pub use picture_pages::PicturePage;
pub use plans::PlanRow;
pub use retention::{Gone, Keep};
pub use rotation::Rotated;
pub use runs::{CancelFrom, Run, RunState, lane_owner};
pub use schedules::{Fire, Fired, Schedule, ScheduleInputs};
pub use scope::{everywhere, within};
pub use sessions::Session;
pub use store::{SqlStore, StoreConfig};
pub use tokens::ApiToken;
pub use tree::{Move, Moved};
pub use webhooks::Webhook;
