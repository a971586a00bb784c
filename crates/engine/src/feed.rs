//! Taking in feed records: batch by batch, so that memory stays flat, and idempotent per record.

mod places;
pub(crate) mod refused;
mod remarks;
mod sums;

pub use self::places::placed_by;
pub use self::sums::{ExactSum, ExactTotals};

pub(crate) use self::sums::Sums;

use self::places::Places;
use self::refused::Watch;
use self::remarks::Remarks;
use crate::failure::Failure;
use crate::ports::{Refusal, Store};
use crate::presence::Seen;
use crate::records::{ImportCounts, IncomingRecord, Millis};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use trueup_domain::feed::RecordKind;
use trueup_domain::ids::{OrganizationId, SourceId};
use trueup_domain::money::{Currency, Exact, Money, RoundingMode};

/// Records saved in one transaction.
pub const BATCH: usize = 5_000;
/// Bytes of records in one transaction: fewer are saved at once where they are long, so that memory stays flat.
const BATCH_BYTES: usize = 16 * 1024 * 1024;
/// Refusals and warnings kept in a report; more are counted.
pub const MAX_KEPT: usize = 10_000;

/// Sums of one currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MoneyTotals {
    /// Amounts.
    pub amount: Money,
    /// Costs.
    pub cost: Money,
}

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Counts by kind.
    pub records: BTreeMap<RecordKind, ImportCounts>,
    /// Records that were not taken in.
    pub refused: Vec<Refusal>,
    /// How many more were refused than `refused` keeps.
    pub refused_more: u64,
    /// Remarks about records that were taken in.
    pub warnings: Vec<Refusal>,
    /// How many more warnings there were.
    pub warnings_more: u64,
    /// How many of them went to organizations below, because their customers are placed there.
    pub placed: BTreeMap<OrganizationId, u64>,
    /// The exact sums of the amounts taken in: of order lines, and of usage that names a currency.
    pub totals: BTreeMap<Currency, ExactTotals>,
}

impl ImportReport {
    /// How many records were taken in.
    pub fn taken_in(&self) -> u64 {
        self.records.values().map(|c| c.new + c.changed + c.unchanged).sum()
    }

    /// Whether a record was refused.
    pub fn has_refusals(&self) -> bool {
        !self.refused.is_empty()
    }

    fn note(&mut self, refusal: Refusal) {
        let (list, more) = if refusal.warning {
            (&mut self.warnings, &mut self.warnings_more)
        } else {
            (&mut self.refused, &mut self.refused_more)
        };
        if list.len() < MAX_KEPT {
            list.push(refusal);
        } else {
            *more += 1;
        }
    }

    fn count(&mut self, counts: Counts) {
        add_up(&mut self.records, counts);
    }
}

/// Where records go.
#[derive(Clone, Copy)]
pub struct Destination<'a> {
    /// The store; none only validates.
    pub store: Option<&'a dyn Store>,
    /// The organization.
    pub org: &'a OrganizationId,
    /// The source whose ids these are.
    pub source: &'a SourceId,
    /// The instant.
    pub at: Millis,
}

/// Counts of records by kind.
type Counts = BTreeMap<RecordKind, ImportCounts>;

fn add_up(sums: &mut Counts, more: Counts) {
    for (kind, more) in more {
        let sum = sums.entry(kind).or_default();
        sum.new += more.new;
        sum.changed += more.changed;
        sum.unchanged += more.unchanged;
    }
}

/// What a source gives for one record.
type Item = Result<IncomingRecord, Refusal>;

/// Takes in records until the source ends. `progress` is told how many were read so far.
///
/// Without a store nothing is saved: every good record counts as new. Records are read on a thread of their own, which may
/// wait for a disk, at most two batches ahead of what is saved.
///
/// # Errors
/// The store's. What was saved before stays: the same file again changes nothing and goes on.
pub async fn import<I>(
    to: Destination<'_>,
    records: I,
    batch: usize,
    mut progress: impl FnMut(u64) + Send,
) -> Result<ImportReport, Failure>
where
    I: Iterator<Item = Item> + Send + 'static,
{
    let mut report = ImportReport::default();
    let mut sums = Sums::default();
    let mut seen = Seen::default();
    let mut former: BTreeMap<OrganizationId, Former> = BTreeMap::new();
    let mut remarks = Remarks::default();
    let mut read = 0_u64;
    if let Some(store) = to.store {
        store.ensure_organization(to.org).await?;
    }
    let mut places = Places::load(to).await?;
    let mut watch = Watch::load(to).await?;
    let (give, mut take) = tokio::sync::mpsc::channel(1);
    let reader = tokio::task::spawn_blocking(move || read_ahead(records, batch.max(1), &give));
    while let Some(items) = take.recv().await {
        read += items.len() as u64;
        let mut good = Vec::with_capacity(items.len());
        for item in items {
            match item {
                Ok(record) => {
                    sums.add(&record.record);
                    seen.note(&record.record, &record.id);
                    remarks.note(to, places.as_ref(), &record.record);
                    watch.take_in(&record);
                    good.push(record);
                }
                Err(refusal) => {
                    watch.refuse(&refusal, to.at);
                    report.note(refusal);
                }
            }
        }
        for (org, batch) in sorted(places.as_mut(), to, good) {
            let there = Destination { org: &org, ..to };
            report.count(former.entry(org.clone()).or_default().take(there, batch).await?);
        }
        progress(read);
    }
    // A reader that broke off must not pass for one that came to the end.
    if let Err(broken) = reader.await
        && let Ok(panic) = broken.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
    for (org, batch) in places.as_mut().map(Places::rest).unwrap_or_default() {
        let there = Destination { org: &org, ..to };
        report.count(former.entry(org.clone()).or_default().take(there, batch).await?);
    }
    for (org, former) in &former {
        if !former.records.is_empty() {
            report.count(save(Destination { org, ..to }, &former.records).await?);
        }
    }
    if let Some(store) = to.store {
        let products = report.records.get(&RecordKind::Product);
        let products_changed = products.is_some_and(|counts| counts.new + counts.changed > 0);
        let mut others = BTreeSet::new();
        if let Some(places) = &mut places {
            places.finish(products_changed).await?;
            others = places.others();
        }
        let refused = report.refused.len() as u64 + report.refused_more;
        for org in std::iter::once(to.org).chain(&others) {
            // Also where nothing was new: the source was heard of.
            store.save_mark(org, &crate::alerts::fed_mark(to.source), &to.at.to_string()).await?;
            for note in seen.conclude(store, Destination { org, ..to }, refused).await? {
                report.note(note);
            }
        }
    }
    watch.save(to).await?;
    progress(read);
    if let Some(left_out) = sums.left_out() {
        report.note(left_out);
    }
    report.totals = sums.finish();
    let assigned = match to.store {
        Some(store) => crate::quantity::config(store, to.org).await?.sources().contains(to.source),
        None => false,
    };
    for told in remarks.told(to, places, &mut report, assigned) {
        report.note(told);
    }
    Ok(report)
}

/// The records of a batch by organization; all are of the one that is imported into where nobody is below it.
fn sorted(
    places: Option<&mut Places<'_>>,
    to: Destination<'_>,
    batch: Vec<IncomingRecord>,
) -> Vec<(OrganizationId, Vec<IncomingRecord>)> {
    match places {
        Some(places) => places.sort(batch),
        None => vec![(to.org.clone(), batch)],
    }
}

/// Takes away what the source only mentions and has described whole before: that knows more. Those count as unchanged.
async fn drop_mentions(to: Destination<'_>, batch: &mut Vec<IncomingRecord>) -> Result<Counts, Failure> {
    let mut counts = Counts::new();
    let Some(store) = to.store.filter(|_| batch.iter().any(|incoming| incoming.record.is_mentioned())) else {
        return Ok(counts);
    };
    let mut kept = Vec::with_capacity(batch.len());
    for incoming in std::mem::take(batch) {
        let kind = incoming.record.kind();
        let known = match incoming.record.is_mentioned() {
            true => store.find_record(to.org, to.source, kind, &incoming.id).await?,
            false => None,
        };
        if known.is_some_and(|known| !known.record.is_mentioned()) {
            counts.entry(kind).or_default().unchanged += 1;
        } else {
            kept.push(incoming);
        }
    }
    *batch = kept;
    Ok(counts)
}

/// Records that came in as an older version of what is stored: the feed may hold the newer one further on, as one that is
/// appended to does, and nothing changed then. They are judged by how the feed ends.
#[derive(Default)]
struct Former {
    records: Vec<IncomingRecord>,
    keys: HashSet<(RecordKind, String)>,
}

impl Former {
    /// So many are kept at most: a feed that takes all of its records back is saved as it comes.
    const MOST: usize = 50_000;

    fn has(&self, record: &IncomingRecord) -> bool {
        !self.keys.is_empty() && self.keys.contains(&(record.record.kind(), record.id.clone()))
    }

    /// Takes in a batch, save for what is judged by how the feed ends.
    async fn take(&mut self, to: Destination<'_>, batch: Vec<IncomingRecord>) -> Result<Counts, Failure> {
        let (mut good, again): (Vec<_>, Vec<_>) = batch.into_iter().partition(|record| !self.has(record));
        let mut counts = drop_mentions(to, &mut good).await?;
        self.records.extend(again);
        if !good.is_empty() {
            add_up(&mut counts, self.save(to, good).await?);
        }
        Ok(counts)
    }

    /// Saves a batch save for older versions, which are kept back.
    async fn save(&mut self, to: Destination<'_>, batch: Vec<IncomingRecord>) -> Result<Counts, Failure> {
        let Some(store) = to.store.filter(|_| self.records.len() < Self::MOST) else {
            return save(to, &batch).await;
        };
        let (mut counts, older) = store.save_new_records(to.org, to.source, to.at, &batch).await?;
        if !older.is_empty() {
            let older = batch.into_iter().enumerate().filter(|(place, _)| older.contains(place));
            for (_, record) in older {
                // Two requests may mention one customer each in its own way, and both come again and again.
                if record.record.is_mentioned() {
                    counts.entry(record.record.kind()).or_default().unchanged += 1;
                    continue;
                }
                self.keys.insert((record.record.kind(), record.id.clone()));
                self.records.push(record);
            }
        }
        Ok(counts)
    }
}

/// Reads batch by batch, until the records end or nobody takes them any more.
fn read_ahead<I: Iterator<Item = Item>>(
    records: I,
    batch: usize,
    give: &tokio::sync::mpsc::Sender<Vec<Item>>,
) {
    let mut records = records.map(|item| item.map_err(Refusal::bounded));
    loop {
        let (mut items, mut bytes) = (Vec::new(), 0_usize);
        while items.len() < batch
            && bytes < BATCH_BYTES
            && let Some(item) = records.next()
        {
            bytes = bytes.saturating_add(item.as_ref().map_or_else(Refusal::length, weight));
            items.push(item);
        }
        if items.is_empty() || give.blocking_send(items).is_err() {
            return;
        }
    }
}

/// About how many bytes of memory a record takes: those of its text.
fn weight(incoming: &IncomingRecord) -> usize {
    /// Counts what is written.
    struct Count(usize);

    impl std::io::Write for Count {
        fn write(&mut self, part: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.saturating_add(part.len());
            Ok(part.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let mut count = Count(0);
    // Writing a record of plain data to memory cannot fail.
    match serde_json::to_writer(&mut count, &incoming.record) {
        Ok(()) => count.0,
        Err(_) => BATCH_BYTES,
    }
}

async fn save(to: Destination<'_>, batch: &[IncomingRecord]) -> Result<Counts, Failure> {
    if let Some(store) = to.store {
        return Ok(store.save_records(to.org, to.source, to.at, batch).await?);
    }
    let mut counts = Counts::new();
    for record in batch {
        counts.entry(record.record.kind()).or_default().new += 1;
    }
    Ok(counts)
}

/// The shortest decimal that is exactly the ratio; sums of products of decimals always have one.
pub fn decimal(value: Exact) -> Money {
    (0..=24)
        .find(|places| value.fits(*places))
        .and_then(|places| value.round(places, RoundingMode::HalfUp).ok())
        .or_else(|| value.round(6, RoundingMode::HalfUp).ok())
        .map_or(Money::ZERO, Money::new)
}
