//! Quantities of what is only counted: what people set, what the sources tell, and the runs that write it.
//!
//! The rules are in [`trueup_domain::quantity`]. Here the world is gathered, the plan goes through the same checks,
//! approvals and journal as every other, and what each line came to is kept, so that "why 8?" has an answer at any time.

mod asking;
mod gather;
mod keeping;
mod overview;
mod run;
mod set;
mod used;
mod zone;

pub use gather::tenant_of;
pub(crate) use gather::{moved, others_since};
pub use overview::{CustomerRow, LevelRow, Overview, ServiceRow, overview};
pub use run::{Outcome, Preview, Request, RunReport, preview, run};
pub use set::{Assigned, RuledItem, WhichItem, assign, pick, ruled_item, set_customer, set_rule, unset};

use crate::failure::Failure;
use crate::ports::{Store, StoreError};
use crate::records::StoredPlan;
use trueup_domain::feed::RecordKind;
use trueup_domain::ids::OrganizationId;
use trueup_domain::plan::{DraftPlan, Role};
use trueup_domain::quantity::{Config, Line};

/// What people set and what holds for an organization.
///
/// # Errors
/// The store's.
pub async fn config(store: &dyn Store, org: &OrganizationId) -> Result<Config, Failure> {
    Ok(Config::new(org, store.list_quantity_entries(org).await?))
}

/// The lines as the last runs saw them.
///
/// # Errors
/// The store's.
pub async fn lines(store: &dyn Store, org: &OrganizationId) -> Result<Vec<Line>, StoreError> {
    store.list_quantity_lines(org).await
}

/// Whether an organization bills what is counted and nothing else: services are assigned, and no order was ever told.
///
/// # Errors
/// The store's.
pub async fn bills_alone(store: &dyn Store, org: &OrganizationId) -> Result<bool, StoreError> {
    if store.list_quantity_entries(org).await?.is_empty() {
        return Ok(false);
    }
    let orders = store.count_records(org, RecordKind::Order).await?;
    Ok(orders.values().all(|count| *count == 0))
}

/// Whether a plan writes quantities of what is counted, and nothing else.
pub fn is_of_quantities(plan: &DraftPlan) -> bool {
    let writes = plan.changes.iter().filter(|change| change.writes()).map(|change| change.role);
    let mut roles = writes.chain(plan.adoptions.iter().map(|adoption| adoption.role)).peekable();
    roles.peek().is_some() && roles.all(|role| role == Role::Quantity)
}

pub(crate) fn is_plan_of_quantities(stored: &StoredPlan) -> bool {
    is_of_quantities(stored.body.plan())
}
