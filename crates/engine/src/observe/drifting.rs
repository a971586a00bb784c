//! What people changed, ended or removed since trueup wrote it, over the whole local picture.

use super::grounds::{self, Grounds, Records};
use super::reversals::Reversals;
use crate::failure::Failure;
use crate::ports::{Clock, Store};
use trueup_domain::desired::{Drift, Originals, drift};
use trueup_domain::finding::Finding;
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
    /// Copies of lines of ours, fields that go back and forth, and agreements that people changed under lines.
    pub beside: Vec<Finding>,
}

/// Compares what trueup last wrote with the local picture, and records what people changed, ended, removed or copied since,
/// of the lines and of the agreements under them.
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
    let originals = Originals::new(&links);
    let (sold, awaited) =
        if links.is_empty() { Default::default() } else { grounds::read_sold(store, org).await? };
    let records = Records { sold: &sold, awaited };
    let mut grounds = Grounds::load(store, org, connection, (&links, &records), clock.today()).await?;
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
        grounds.note(ours, &part).await?;
        told.beside.extend(originals.told(&part, clock.today()));
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
    told.beside.extend(reversals.conclude(clock.today()));
    reversals.save(store).await?;
    let (now, today) = (clock.now(), clock.today());
    let lines: Vec<Finding> = told.drift.findings.iter().chain(&told.beside).cloned().collect();
    store.record_findings(org, &format!("drift/{connection}"), now, today, &lines).await?;
    let agreements = grounds.conclude().await?;
    store.record_findings(org, &grounds::scope_of(connection), now, today, &agreements).await?;
    told.beside.extend(agreements);
    Ok(told)
}
