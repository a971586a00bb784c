//! What people changed, ended or removed since trueup wrote it, over the whole local picture.

use super::reversals::Reversals;
use super::silent::Silent;
use crate::failure::Failure;
use crate::ports::{Clock, Store};
use trueup_domain::desired::{Drift, drift};
use trueup_domain::ids::{AgreementId, OrganizationId};
use trueup_domain::plan::AdditionLink;

/// Agreements that are compared at once: the picture of a large tenant is never whole in memory.
const AT_ONCE: u32 = 250;

/// What the picture holds, and what is not as trueup left it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Agreements in the picture.
    pub agreements: usize,
    /// Additions in the picture.
    pub additions: usize,
    /// What became of the additions that trueup wrote or took over.
    pub drift: Drift,
}

/// Compares what trueup last wrote with the local picture, and records what people changed, ended or removed since, and
/// what bills nothing any more because its agreement is over.
///
/// # Errors
/// The store's.
pub async fn tell_drift(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    connection: &str,
) -> Result<Told, Failure> {
    let mut links = store.list_links(org).await?;
    links.sort_by_key(|link| (link.agreement, link.addition));
    let mut told = Told::default();
    let mut reversals = Reversals::load(store, org, connection).await?;
    let mut silent = Silent::default();
    let mut rest: &[AdditionLink] = &links;
    let mut after: Option<AgreementId> = None;
    loop {
        let part = store.load_picture_part(org, connection, after, AT_ONCE).await?;
        let last = part.agreements.last_key_value().map(|(id, _)| *id);
        // Behind the last agreement of the picture are links of which nothing is known.
        let count = last.map_or(rest.len(), |last| rest.partition_point(|link| link.agreement <= last));
        let (ours, behind) = rest.split_at(count);
        rest = behind;
        let found = drift(ours, &part);
        reversals.note(ours, &part);
        silent.note(ours, &part, clock.today());
        told.agreements += part.agreements.len();
        told.additions += part.additions.values().map(Vec::len).sum::<usize>();
        told.drift.findings.extend(found.findings);
        told.drift.unchanged += found.unchanged;
        told.drift.unread += found.unread;
        told.drift.foreign += found.foreign;
        if last.is_none() {
            break;
        }
        after = last;
    }
    let mut findings = told.drift.findings.clone();
    findings.extend(reversals.conclude(clock.today()));
    findings.extend(silent.told(store, org, &links).await?);
    reversals.save(store).await?;
    let scope = format!("drift/{connection}");
    store.record_findings(org, &scope, clock.now(), clock.today(), &findings).await?;
    Ok(told)
}
