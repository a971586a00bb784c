//! What another worker wrote while a plan was made.
//!
//! A plan reads links, journal and ConnectWise one after the other. A line that another worker writes in between is in one
//! of them and not in the others: it would look like a line of nobody, or like a person's edit.

use crate::failure::Failure;
use crate::ports::Store;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::ids::{ChangeId, OrganizationId, PlanId, SourceId, SubscriptionId, TaskId};
use trueup_domain::task::Task;

/// How far the journal was when a plan began to read.
pub(super) struct Journal {
    /// The number of the last entry of the audit: each outcome of an operation is one.
    last: i64,
}

impl Journal {
    /// To be taken before anything is read that the plan builds on.
    pub async fn now(store: &dyn Store, org: &OrganizationId) -> Result<Self, Failure> {
        Ok(Self { last: last_entry(store, org).await? })
    }

    /// Whether an operation of a subscription of these tasks has begun or ended since. What was in doubt before holds its
    /// tasks back, so that they are none of these.
    pub async fn has_moved(
        &self,
        store: &dyn Store,
        org: &OrganizationId,
        planned: impl Iterator<Item = &Task>,
    ) -> Result<bool, Failure> {
        let planned: BTreeSet<(&str, &str)> =
            planned.map(|task| (task.source.as_str(), task.subscription.as_str())).collect();
        // First what is under way, then what is over: what ends in between is in the second.
        let under_way = in_doubt(store, org).await?;
        if under_way
            .keys()
            .any(|(source, subscription)| planned.contains(&(source.as_str(), subscription.as_str())))
        {
            return Ok(true);
        }
        let more = last_entry(store, org).await?.saturating_sub(self.last);
        if more <= 0 {
            return Ok(false);
        }
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        let entries = store.list_audit(org, None, more).await?;
        Ok(entries.iter().any(|row| {
            let detail: serde_json::Value = serde_json::from_str(&row.entry.detail).unwrap_or_default();
            let named = |name: &str| detail[name].as_str();
            named("source").zip(named("subscription_id")).is_some_and(|of| planned.contains(&of))
        }))
    }
}

async fn last_entry(store: &dyn Store, org: &OrganizationId) -> Result<i64, Failure> {
    Ok(store.list_audit(org, None, 1).await?.last().map_or(0, |row| row.number))
}

/// The subscriptions with an operation in the journal whose outcome is not known, each with its task. The states of tasks
/// do not tell all of them: of two workers at one plan, the one that only looked may have moved its tasks last.
pub(super) async fn in_doubt(
    store: &dyn Store,
    org: &OrganizationId,
) -> Result<BTreeMap<(SourceId, SubscriptionId), TaskId>, Failure> {
    let mut plans: BTreeMap<PlanId, Vec<ChangeId>> = BTreeMap::new();
    for operation in store.list_unresolved_operations(org).await? {
        plans.entry(operation.plan).or_default().push(operation.change);
    }
    let mut found = BTreeMap::new();
    for (id, changes) in plans {
        let Some(plan) = store.find_plan(org, &id).await? else { continue };
        for change in plan.body.plan().changes.iter().filter(|change| changes.contains(&change.id)) {
            found.insert((change.source.clone(), change.subscription.clone()), change.task.clone());
        }
    }
    Ok(found)
}
