//! What people changed, ended or removed since trueup wrote it, over the whole local picture.

use super::grounds::{self, Grounds, Records};
use super::reversals::Reversals;
use crate::failure::Failure;
use crate::ports::{Clock, Store};
use std::collections::BTreeSet;
use trueup_domain::desired::{Drift, Originals, drift};
use trueup_domain::finding::Finding;
use trueup_domain::ids::{AdditionId, AgreementId, OrganizationId};
use trueup_domain::plan::AdditionLink;

/// Agreements that are compared at once: the picture of a large tenant is never whole in memory.
const AT_ONCE: u32 = 250;

/// So many of the newest entries of an addition are looked at.
const LAST_ENTRIES: u32 = 20;

/// What the audit calls a write of trueup to an addition.
const WRITES: [&str; 4] = ["addition.create", "addition.update", "addition.cancel", "addition.delete"];

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
        let mut found = drift(ours, &part);
        let overtaken = written_since(store, (org, connection), ours, &found.findings).await?;
        let known: Vec<AdditionLink>;
        let ours = if overtaken.is_empty() {
            ours
        } else {
            known = ours.iter().filter(|link| !overtaken.contains(&link.addition)).cloned().collect();
            found = drift(&known, &part);
            found.unread += overtaken.len();
            known.as_slice()
        };
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

/// The lines with a finding to which trueup itself wrote after their agreement was read: the picture is of before that, and says
/// nothing of what people did since. A pull of what changed need not have read the agreement: its own record does not change
/// with its additions.
async fn written_since(
    store: &dyn Store,
    (org, connection): (&OrganizationId, &str),
    ours: &[AdditionLink],
    findings: &[Finding],
) -> Result<BTreeSet<AdditionId>, Failure> {
    let mut overtaken = BTreeSet::new();
    if findings.is_empty() {
        return Ok(overtaken);
    }
    let read_at = store.list_picture_agreements(org, connection).await?;
    let suspects: BTreeSet<AdditionId> =
        findings.iter().filter_map(|finding| finding.subject.addition).collect();
    for link in ours.iter().filter(|link| suspects.contains(&link.addition)) {
        let Some(Some(read)) = read_at.get(&link.agreement) else { continue };
        let entries = store.list_audit(org, Some(link.addition), LAST_ENTRIES).await?;
        if entries.iter().any(|row| row.entry.at > *read && WRITES.contains(&row.entry.action.as_str())) {
            overtaken.insert(link.addition);
        }
    }
    Ok(overtaken)
}
