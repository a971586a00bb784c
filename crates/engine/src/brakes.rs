//! What brakes weigh a plan against: the last local picture of its connection, and over it what was read just now.

use crate::ports::{Store, StoreError};
use std::collections::BTreeSet;
use trueup_domain::brakes::Brakes;
use trueup_domain::finding::Finding;
use trueup_domain::ids::{AgreementId, OrganizationId};
use trueup_domain::plan::DraftPlan;
use trueup_domain::psa::Snapshot;
use trueup_domain::settings::Settings;

/// Agreements of the picture that are in memory together.
const AT_ONCE: u32 = 250;

/// What holds the plan; and whether there is such a picture.
///
/// # Errors
/// The store's.
pub(crate) async fn weigh(
    store: &dyn Store,
    (org, connection): (&OrganizationId, &str),
    plan: &DraftPlan,
    fresh: &Snapshot,
    settings: &Settings,
) -> Result<(Vec<Finding>, bool), StoreError> {
    let mut brakes = Brakes::of(plan);
    let was_pulled = store.load_picture_state(org, connection).await?.is_some();
    let mut seen: BTreeSet<AgreementId> = BTreeSet::new();
    let mut after = None;
    loop {
        let mut part = store.load_picture_part(org, connection, after, AT_ONCE).await?;
        let Some((last, _)) = part.agreements.last_key_value() else { break };
        after = Some(*last);
        for (id, agreement) in &mut part.agreements {
            if let Some(newer) = fresh.agreements.get(id) {
                agreement.clone_from(newer);
            }
            if let Some(newer) = fresh.additions.get(id) {
                part.additions.insert(*id, newer.clone());
            }
        }
        seen.extend(part.agreements.keys());
        brakes.add(&part);
    }
    let is_new = |id: &AgreementId| !seen.contains(id);
    brakes.add(&Snapshot {
        agreements: fresh.agreements.values().filter(|a| is_new(&a.id)).map(|a| (a.id, a.clone())).collect(),
        additions: fresh
            .additions
            .iter()
            .filter(|(id, _)| is_new(id))
            .map(|(id, a)| (*id, a.clone()))
            .collect(),
        ..Snapshot::default()
    });
    Ok((brakes.held(settings), was_pulled))
}
