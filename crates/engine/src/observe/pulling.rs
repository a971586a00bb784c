//! The pull: everything, or what changed and a share of the rest, into the local picture.
//!
//! An agreement's own instant of change need not move when one of its additions is edited. Therefore the pull of what
//! changed also reads one in `rotation` of all agreements: after so many pulls every one was read, whatever
//! ConnectWise says about it.

use super::recent::Unreadable;
use crate::access::Account;
use crate::failure::Failure;
use crate::ports::{Agreements, AgreementsOf, Clock, Lists, Psa, PsaError, Store};
use crate::records::{Millis, PictureState, PulledEnd};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use trueup_domain::finding::Code;
use trueup_domain::ids::{AgreementId, CompanyId, OrganizationId};
use trueup_domain::psa::{Agreement, Snapshot};

/// How far a pull of what changed reaches back before the last one: the clocks of a cloud's servers differ, and a change
/// gets its instant before it can be seen.
pub const OVERLAP_MS: Millis = 10 * 60 * 1_000;

/// Agreements whose additions are read, then put aside together.
const AT_ONCE: usize = 250;
/// Companies and catalog items that are put aside together.
const OF_A_LIST: usize = 1_000;

/// How much is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Everything.
    Whole,
    /// What changed since the last pull, and a share of the rest, so that everything is read within `rotation` pulls.
    /// The first pull of a connection is whole.
    Changed {
        /// The setting `observe.rotation`.
        rotation: u32,
    },
    /// What changed since the last pull, and what ConnectWise hinted at, without a share of the rest: for pulls that
    /// follow one another so closely that the shares would come round too often.
    Touched,
    /// The same of agreements alone: companies and catalog stay as they are known. Before the first pull, or where the other
    /// side does not tell its time, nothing is read, and the hints stay.
    Hinted,
}

/// What a pull read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pulled {
    /// When it began. What it has read lies in the picture under this instant.
    pub at: Millis,
    /// Whether everything was read.
    pub whole: bool,
    /// Companies, which are always read whole.
    pub companies: usize,
    /// Catalog items, which are always read whole.
    pub catalog_items: usize,
    /// Agreements whose additions were read.
    pub read: usize,
    /// Those among them that ConnectWise said were changed.
    pub changed: usize,
    /// Those among them that were read because it was their turn.
    pub in_turn: usize,
    /// Agreements that are not there any more.
    pub gone: usize,
    /// Agreements of which ConnectWise answered something that is not understood (TU1007): they stay as they are known.
    pub unread: usize,
    /// Agreements whose additions were not as they were known.
    pub different: u64,
}

/// Reads ConnectWise into the local picture. Companies and catalog are read whole each time: that costs a call for a
/// thousand of them.
///
/// # Errors
/// The PSA's or the store's; then the picture and the point from which the next pull goes on are what they were.
pub async fn pull(
    psa: &dyn Psa,
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    connection: &str,
    reach: Reach,
) -> Result<Pulled, Failure> {
    pull_telling(psa, store, clock, org, connection, reach, &|_, _| {}).await
}

/// [`pull`], which tells on its way of how many agreements it has read the additions, and of how many it will.
///
/// # Errors
/// As [`pull`].
pub async fn pull_telling(
    psa: &dyn Psa,
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    connection: &str,
    reach: Reach,
    tell: &(dyn Fn(usize, usize) + Send + Sync),
) -> Result<Pulled, Failure> {
    store.ensure_organization(org).await?;
    let account = Account { store, clock, org, connection };
    account.told(pull_seen(psa, account, reach, tell).await).await
}

async fn pull_seen(
    psa: &dyn Psa,
    account: Account<'_>,
    reach: Reach,
    tell: &(dyn Fn(usize, usize) + Send + Sync),
) -> Result<Pulled, Failure> {
    let Account { store, org, connection, .. } = account;
    let at = account.clock.now();
    let before = store.load_picture_state(org, connection).await?;
    let mark = before.and_then(|before| before.watermark);
    if reach == Reach::Hinted && mark.is_none() {
        return Ok(Pulled::default());
    }
    account.sees_all(psa).await?;
    let name = uuid::Uuid::now_v7().simple().to_string();
    store.begin_pull(org, connection, &name).await?;
    let to = Target { psa, store, org, connection, name: &name, at, tell };
    let mut pulled = Pulled { at, ..Pulled::default() };
    let lists = reach != Reach::Hinted;
    if lists {
        to.read_lists(&mut pulled).await?;
    }
    // The other side's own time, from before any agreement was asked for: what changes from here on comes next time.
    let begun = psa.server_time();
    let since = match (reach, before) {
        (Reach::Changed { rotation }, Some(PictureState { watermark: Some(mark), runs, .. })) => {
            Some((mark.saturating_sub(OVERLAP_MS), Some(Turn { rotation, runs })))
        }
        (Reach::Touched | Reach::Hinted, Some(PictureState { watermark: Some(mark), .. })) => {
            Some((mark.saturating_sub(OVERLAP_MS), None))
        }
        // Nothing tells what changed before the first pull, or where the other side does not tell its time.
        (Reach::Whole | Reach::Changed { .. } | Reach::Touched | Reach::Hinted, _) => None,
    };
    let shares = !matches!(since, Some((_, None)));
    let wanted = match since {
        None => {
            pulled.whole = true;
            let Agreements { read: all, unreadable } = psa.list_agreements_each(AgreementsOf::All).await?;
            let unread = why(unreadable);
            pulled.gone = to.gone_beside(&all, &unread).await?;
            Wanted { read: all.iter().map(|a| a.id).collect(), records: by_id(all), gone: Vec::new(), unread }
        }
        Some((since, turn)) => to.choose(since, turn, &mut pulled).await?,
    };
    // Without lists the first answer is that about agreements. What changed while it was made lies within the overlap.
    let watermark =
        begun.or_else(|| (!lists).then(|| psa.server_time()).flatten()).or(mark.filter(|_| !lists));
    let (gone, unread) = to.read(wanted, &mut pulled).await?;
    pulled.gone = pulled.gone.saturating_add(gone.len());
    pulled.unread = unread.len();
    // A pull without a share must not take the turn of one.
    let runs = before.map_or(0, |b| b.runs).saturating_add(u64::from(shares));
    let shared_at = if shares { Some(at) } else { before.and_then(|b| b.shared_at) };
    let state = PictureState { at, watermark, runs, shared_at };
    let end = PulledEnd { state, whole: pulled.whole, lists, gone, unread: unread.keys().copied().collect() };
    pulled.different = store.finish_pull(org, connection, &name, &end).await?;
    account.unread(&unread).await?;
    Ok(pulled)
}

/// Whose turn it is.
#[derive(Clone, Copy)]
struct Turn {
    rotation: u32,
    runs: u64,
}

impl Turn {
    /// Of any `rotation` runs in a row, exactly one reads the agreement.
    fn is_of(self, agreement: AgreementId) -> bool {
        let rotation = i128::from(self.rotation.max(1));
        (i128::from(agreement.0) + i128::from(self.runs)).rem_euclid(rotation) == 0
    }
}

/// What is to be read.
struct Wanted {
    /// The agreements whose additions are read.
    read: BTreeSet<AgreementId>,
    /// Their own records, as far as they were read anew.
    records: BTreeMap<AgreementId, Agreement>,
    /// Agreements that a whole list did not hold any more.
    gone: Vec<AgreementId>,
    /// Agreements that are not understood themselves.
    unread: Unreadable,
}

/// Agreements that are not understood, each with the reason.
fn why(unreadable: BTreeMap<AgreementId, (Option<CompanyId>, PsaError)>) -> Unreadable {
    unreadable.into_iter().map(|(id, (_, error))| (id, error)).collect()
}

fn by_id(agreements: Vec<Agreement>) -> BTreeMap<AgreementId, Agreement> {
    agreements.into_iter().map(|a| (a.id, a)).collect()
}

struct Target<'a> {
    psa: &'a dyn Psa,
    store: &'a dyn Store,
    org: &'a OrganizationId,
    connection: &'a str,
    name: &'a str,
    at: Millis,
    tell: &'a (dyn Fn(usize, usize) + Send + Sync),
}

impl Target<'_> {
    /// Companies and catalog items, whole.
    async fn read_lists(&self, pulled: &mut Pulled) -> Result<(), Failure> {
        let companies = self.psa.list_companies(None).await?;
        pulled.companies = companies.len();
        self.put_list(companies, |some| Snapshot {
            companies: some.map(|company| (company.id, company)).collect(),
            ..Snapshot::default()
        })
        .await?;
        let catalog = self.psa.list_catalog_items(None).await?;
        pulled.catalog_items = catalog.len();
        self.put_list(catalog, |some| Snapshot {
            catalog: some.map(|item| (item.id, item)).collect(),
            ..Snapshot::default()
        })
        .await
    }

    /// Puts a list aside, some of it at a time: beside it lie the rows of what is written, and these weigh more.
    async fn put_list<T>(
        &self,
        list: Vec<T>,
        part_of: impl Fn(&mut dyn Iterator<Item = T>) -> Snapshot,
    ) -> Result<(), Failure> {
        let mut list = list.into_iter();
        while list.len() > 0 {
            let part = part_of(&mut list.by_ref().take(OF_A_LIST));
            self.store.stage_pull(self.org, self.connection, self.name, self.at, &part).await?;
        }
        Ok(())
    }

    /// How many known agreements a list of all does not hold any more.
    async fn gone_beside(&self, all: &[Agreement], unread: &Unreadable) -> Result<usize, Failure> {
        let there: BTreeSet<AgreementId> = all.iter().map(|a| a.id).collect();
        let known = self.store.list_picture_agreements(self.org, self.connection).await?;
        Ok(known.keys().filter(|known| !there.contains(known) && !unread.contains_key(known)).count())
    }

    /// What changed, whose turn it is, and what was never read.
    async fn choose(
        &self,
        since: Millis,
        turn: Option<Turn>,
        pulled: &mut Pulled,
    ) -> Result<Wanted, Failure> {
        let known = self.store.list_picture_agreements(self.org, self.connection).await?;
        let changed = self.psa.list_agreements_each(AgreementsOf::ChangedSince(since)).await?;
        let (mut records, mut unread) = (by_id(changed.read), why(changed.unreadable));
        let mut read: BTreeSet<AgreementId> = records.keys().copied().collect();
        pulled.changed = read.len();
        let is_in_turn = |id: AgreementId| turn.is_some_and(|turn| turn.is_of(id));
        let in_turn: Vec<AgreementId> = known
            .keys()
            .copied()
            .filter(|id| is_in_turn(*id) && !read.contains(id) && !unread.contains_key(id))
            .collect();
        // Their own records as well: an invoice moves dates, and this whole list tells which are not there any more.
        let found = match in_turn.as_slice() {
            [] => BTreeMap::new(),
            ids => {
                let listed = self.psa.list_agreements_each(AgreementsOf::Ids(ids)).await?;
                unread.extend(why(listed.unreadable));
                by_id(listed.read)
            }
        };
        let is_there = |id: &AgreementId| found.contains_key(id) || unread.contains_key(id);
        let gone = in_turn.iter().copied().filter(|id| !is_there(id)).collect();
        pulled.in_turn = found.len();
        read.extend(found.keys().copied());
        records.extend(found);
        let never = known.iter().filter(|(id, at)| at.is_none() && !in_turn.contains(id));
        read.extend(never.map(|(id, _)| *id).filter(|id| !unread.contains_key(id)));
        Ok(Wanted { read, records, gone, unread })
    }

    /// Reads the additions and puts them aside part by part; the next part is read while the last one is written.
    /// Returns the agreements that are not there any more, and those that could not be understood.
    async fn read(
        &self,
        wanted: Wanted,
        pulled: &mut Pulled,
    ) -> Result<(Vec<AgreementId>, Unreadable), Failure> {
        let Wanted { read, mut records, mut gone, mut unread } = wanted;
        let ids: Vec<AgreementId> = read.into_iter().collect();
        let mut waiting = Snapshot::default();
        let done = AtomicUsize::new(0);
        let tell = || (self.tell)(done.fetch_add(1, Ordering::Relaxed) + 1, ids.len());
        for chunk in ids.chunks(AT_ONCE) {
            let put = std::mem::take(&mut waiting);
            let reading = async { Ok::<_, Failure>(self.psa.list_additions_each(chunk, &tell).await?) };
            let (Lists { read: additions, unreadable }, ()) =
                futures::try_join!(reading, self.put_aside(put))?;
            let is_told = |id: &&AgreementId| additions.contains_key(id) || unreadable.contains_key(id);
            for id in chunk.iter().filter(|id| !is_told(id)) {
                self.must_be_gone(*id).await?;
                gone.push(*id);
            }
            pulled.read += additions.len();
            let told = additions.keys().chain(unreadable.keys());
            let agreements = told.filter_map(|id| records.remove_entry(id)).collect();
            waiting = Snapshot { agreements, additions, ..Snapshot::default() };
            unread.extend(unreadable);
        }
        self.put_aside(waiting).await?;
        Ok((gone, unread))
    }

    async fn put_aside(&self, part: Snapshot) -> Result<(), Failure> {
        if part.additions.is_empty() && part.agreements.is_empty() {
            return Ok(());
        }
        Ok(self.store.stage_pull(self.org, self.connection, self.name, self.at, &part).await?)
    }

    /// An agreement without a list of additions is believed to be gone only where its own record says so too.
    async fn must_be_gone(&self, id: AgreementId) -> Result<(), Failure> {
        match self.psa.find_agreement(id).await? {
            None => Ok(()),
            Some(_) => Err(Failure::Psa(PsaError {
                code: Code::Tu1007,
                message: format!(
                    "ConnectWise has agreement {id} and says that its list of additions is not there; try again later"
                ),
                their_words: None,
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Turn;
    use proptest::prelude::*;
    use trueup_domain::ids::AgreementId;

    proptest! {
        #[test]
        fn every_agreement_has_its_turn_once_in_so_many_runs(
            id in any::<i64>(), first in 0_u64..u64::MAX - 400, rotation in 1_u32..=366,
        ) {
            let runs = first..first + u64::from(rotation);
            let turns = runs.filter(|runs| Turn { rotation, runs: *runs }.is_of(AgreementId(id))).count();
            prop_assert_eq!(turns, 1);
        }
    }

    #[test]
    fn shares_are_even() {
        for runs in 0..14 {
            let turn = Turn { rotation: 7, runs };
            let share = (1..=10_000).filter(|id| turn.is_of(AgreementId(*id))).count();
            assert!((1_428..=1_429).contains(&share), "{share}");
        }
    }
}
