//! Additions that need not be read again, because a pull of the same run has just read them.
//!
//! A plan may build on them: apply reads each agreement afresh before it writes to it, and refuses what moved. What trueup
//! itself wrote since is no change of others that apply would refuse, so an agreement is read afresh where anything says
//! that the picture is older than trueup's own work.

use crate::apply::{FreshReads, look};
use crate::failure::Failure;
use crate::ports::{Clock, Lists, Psa, PsaError, Store};
use crate::records::Millis;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::ids::{AgreementId, CompanyId, OrganizationId};
use trueup_domain::plan::AdditionLink;
use trueup_domain::psa::{ObservedAddition, Snapshot};

/// Agreements whose additions could not be understood, and why.
pub(crate) type Unreadable = BTreeMap<AgreementId, PsaError>;

/// What of a plan's world could not be understood.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    /// Agreements, and why.
    pub agreements: Unreadable,
    /// Companies of those that are not understood themselves, each with one of them: which agreement of theirs a
    /// subscription is billed on cannot be told.
    pub companies: BTreeMap<CompanyId, AgreementId>,
}

impl Unread {
    /// Notes agreements that are not understood.
    ///
    /// # Errors
    /// That of one that does not even tell whose it is: it may be anybody's.
    pub fn note(
        &mut self,
        unreadable: BTreeMap<AgreementId, (Option<CompanyId>, PsaError)>,
    ) -> Result<(), PsaError> {
        for (id, (company, error)) in unreadable {
            let Some(company) = company else { return Err(error) };
            self.companies.insert(company, id);
            self.agreements.insert(id, error);
        }
        Ok(())
    }
}

/// What of the local picture stands in for a read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Nothing: each agreement is read.
    #[default]
    Nothing,
    /// What the pull that began at this instant has read itself ([`super::Pulled::at`]).
    ReadAt(Millis),
    /// What was read at this instant or later.
    ReadSince(Millis),
}

impl Trust {
    fn covers(self, read_at: Millis) -> bool {
        match self {
            Self::Nothing => false,
            Self::ReadAt(at) => read_at == at,
            Self::ReadSince(since) => since <= read_at,
        }
    }
}

/// Where the additions of a comparison come from.
pub(crate) struct Recent<'a> {
    psa: &'a dyn Psa,
    store: &'a dyn Store,
    clock: &'a dyn Clock,
    place: (&'a OrganizationId, &'a str),
    trust: Trust,
    /// Agreements that are read whatever the picture holds of them.
    afresh: BTreeSet<AgreementId>,
}

impl<'a> Recent<'a> {
    /// To be made before the links are listed that are told to [`Self::additions_of`]: an operation that ends in between
    /// is in one of the two.
    pub async fn before_links(
        (psa, store, clock): (&'a dyn Psa, &'a dyn Store, &'a dyn Clock),
        place: (&'a OrganizationId, &'a str),
        trust: Trust,
    ) -> Result<Self, Failure> {
        let afresh = match trust {
            Trust::Nothing => BTreeSet::new(),
            Trust::ReadAt(_) | Trust::ReadSince(_) => store
                .list_unresolved_operations(place.0)
                .await?
                .into_iter()
                .map(|row| row.agreement)
                .collect(),
        };
        Ok(Self { psa, store, clock, place, trust, afresh })
    }

    /// The same, that reads these afresh in any case.
    pub fn but(mut self, afresh: &BTreeSet<AgreementId>) -> Self {
        self.afresh.extend(afresh);
        self
    }

    /// The additions of these agreements, each with the instant before it was read, and beside them those whose answer was
    /// not understood. One that ConnectWise says is not there is in neither.
    pub async fn additions_of(
        &self,
        wanted: &[AgreementId],
        links: &[AdditionLink],
    ) -> Result<(FreshReads, Unreadable), Failure> {
        let mut reads = self.known(wanted, links).await?;
        let missing: Vec<AgreementId> = wanted.iter().copied().filter(|id| !reads.contains_key(id)).collect();
        if missing.is_empty() {
            return Ok((reads, Unreadable::new()));
        }
        let at = self.clock.now();
        let Lists { read, unreadable } = self.psa.list_additions_each(&missing, &|| {}).await?;
        reads.extend(read.into_iter().map(|(id, list)| (id, (at, list))));
        Ok((reads, unreadable))
    }

    async fn known(&self, wanted: &[AgreementId], links: &[AdditionLink]) -> Result<FreshReads, Failure> {
        if self.trust == Trust::Nothing {
            return Ok(FreshReads::new());
        }
        let (org, connection) = self.place;
        let wanted: Vec<AgreementId> =
            wanted.iter().copied().filter(|id| !self.afresh.contains(id)).collect();
        let mut known = self.store.load_picture_additions(org, connection, &wanted).await?;
        known.retain(|_, (at, _)| self.trust.covers(*at));
        for agreement in overtaken(&known, links) {
            known.remove(&agreement);
        }
        Ok(known)
    }
}

/// The agreements of which a read is not the last word: what trueup wrote to them is not in it.
pub(crate) fn overtaken<'l>(
    reads: &FreshReads,
    links: impl IntoIterator<Item = &'l AdditionLink>,
) -> BTreeSet<AgreementId> {
    let written = links.into_iter().filter(|link| {
        let Some((_, list)) = reads.get(&link.agreement) else { return false };
        match list.iter().find(|seen| seen.id == link.addition) {
            Some(seen) => link.deleted || !look::holds(&seen.state, &link.written),
            None => !link.deleted,
        }
    });
    written.map(|link| link.agreement).collect()
}

/// Puts reads into a snapshot; when each was made is told beside it.
pub(crate) fn put(reads: FreshReads, snapshot: &mut Snapshot, read_at: &mut BTreeMap<AgreementId, Millis>) {
    for (id, (at, list)) in reads {
        read_at.insert(id, at);
        snapshot.additions.insert(id, list);
    }
}

/// The additions of a snapshot as reads again.
pub(crate) fn take(
    additions: impl IntoIterator<Item = (AgreementId, Vec<ObservedAddition>)>,
    read_at: &BTreeMap<AgreementId, Millis>,
) -> FreshReads {
    let with_instant = |(id, list)| Some((id, (*read_at.get(&id)?, list)));
    additions.into_iter().filter_map(with_instant).collect()
}

#[cfg(test)]
mod tests {
    use super::Trust;

    #[test]
    fn nothing_counts_that_is_older_than_what_is_trusted() {
        let read_at = [99, 100, 101];
        let covered = |trust: Trust| read_at.map(|at| trust.covers(at));
        assert_eq!(covered(Trust::Nothing), [false; 3]);
        // Another pull, of a process whose clock is ahead perhaps, is not this one.
        assert_eq!(covered(Trust::ReadAt(100)), [false, true, false]);
        assert_eq!(covered(Trust::ReadSince(100)), [false, true, true]);
    }
}
