//! What is gone at the source, and what is billed although it ended there.
//!
//! A file that says it held everything (`snapshot` with `complete`) tells by silence: what it does not name is gone.
//! That is believed only where the file came in whole and is not suddenly much smaller, and it never ends a line:
//! it raises findings, and an order or a person ends what is to end. A counter that it does not name is one of 0, which
//! waits for a person as every 0 does.

use crate::failure::Failure;
use crate::feed::Destination;
use crate::ports::{Refusal, Store};
use crate::records::Millis;
use crate::settings::{self, Overlays};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use trueup_domain::Decimal;
use trueup_domain::feed::{Record, RecordKind, SnapshotMark};
use trueup_domain::finding::{Code, Finding, Severity, Subject};
use trueup_domain::ids::{OrganizationId, SourceId};
use trueup_domain::mapping::{Mapping, MappingKind};
use trueup_domain::quantity::reading::is_later;

/// The kinds of which absence means something.
const KINDS: [RecordKind; 3] = [RecordKind::Customer, RecordKind::Product, RecordKind::Subscription];

/// The ids that one import brought.
#[derive(Default)]
pub struct Seen {
    ids: BTreeMap<RecordKind, HashSet<Box<str>>>,
    /// What was said last of each kind: several files, each with a mark of its own kinds, may be one import.
    marks: BTreeMap<RecordKind, SnapshotMark>,
}

/// The ids of each kind that the last complete snapshot of a source did not name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone(BTreeMap<RecordKind, BTreeSet<String>>);

impl Gone {
    /// Whether this one is gone.
    pub fn has(&self, kind: RecordKind, id: &str) -> bool {
        self.0.get(&kind).is_some_and(|ids| ids.contains(id))
    }

    /// What the source's last complete snapshot left out.
    ///
    /// # Errors
    /// The store's.
    pub async fn of(store: &dyn Store, org: &OrganizationId, source: &SourceId) -> Result<Self, Failure> {
        let text = store.load_mark(org, &name_of(source)).await?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }
}

/// The counters that the last complete list of a source did not name, and the instant of that list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uncounted(BTreeMap<String, String>);

impl Uncounted {
    /// As of when a counter is counted no more, where its newest level is not of later.
    pub fn since(&self, id: &str, as_of: &str) -> Option<&str> {
        self.0.get(id).map(String::as_str).filter(|left| !is_later(as_of, left))
    }

    /// What the source's last complete list left out.
    ///
    /// # Errors
    /// The store's.
    pub async fn of(store: &dyn Store, org: &OrganizationId, source: &SourceId) -> Result<Self, Failure> {
        let text = store.load_mark(org, &format!("uncounted/{source}")).await?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }

    fn leave_out(&mut self, ids: Vec<String>, as_of: &str) {
        for id in ids {
            let known = self.0.entry(id).or_insert_with(|| as_of.to_owned());
            if is_later(as_of, known) {
                as_of.clone_into(known);
            }
        }
    }

    async fn save(&self, store: &dyn Store, org: &OrganizationId, source: &SourceId) -> Result<(), Failure> {
        let text = serde_json::to_string(self).unwrap_or_default();
        Ok(store.save_mark(org, &format!("uncounted/{source}"), &text).await?)
    }
}

fn name_of(source: &SourceId) -> String {
    format!("gone/{source}")
}

impl Seen {
    /// Notes a record that came in.
    pub fn note(&mut self, record: &Record, id: &str) {
        if let Record::Snapshot(mark) = record {
            self.note_mark(mark);
        } else if KINDS.contains(&record.kind()) || record.kind() == RecordKind::Counter {
            self.ids.entry(record.kind()).or_default().insert(id.into());
        }
    }

    /// Of two marks of a kind the one as of later counts; of one instant the one that claims less.
    fn note_mark(&mut self, mark: &SnapshotMark) {
        for kind in &mark.types {
            let stands = self.marks.get(kind).is_some_and(|known| {
                is_later(&known.as_of, &mark.as_of)
                    || (!is_later(&mark.as_of, &known.as_of) && !known.complete)
            });
            if !stands {
                self.marks.insert(*kind, mark.clone());
            }
        }
    }

    /// The mark that says that everything of a kind came in.
    fn complete(&self, kind: RecordKind) -> Option<&SnapshotMark> {
        self.marks.get(&kind).filter(|mark| mark.complete)
    }

    fn brought(&self, kind: RecordKind, id: &str) -> bool {
        self.ids.get(&kind).is_some_and(|ids| ids.contains(id))
    }

    /// Concludes what is gone, after everything was saved. `refused` records were not taken in. The answer says why
    /// nothing was concluded, where nothing was.
    ///
    /// # Errors
    /// The store's.
    pub async fn conclude(
        &self,
        store: &dyn Store,
        to: Destination<'_>,
        refused: u64,
    ) -> Result<Vec<Refusal>, Failure> {
        let Destination { org, source, .. } = to;
        let mut reading = self.read_before(store, to).await?;
        let before = Gone::of(store, org, source).await?;
        let mut after = before.clone();
        for (kind, ids) in &mut after.0 {
            ids.retain(|id| !self.brought(*kind, id));
        }
        let mut notes = Vec::new();
        for kind in KINDS {
            let Some(mark) = self.complete(kind) else { continue };
            if refused > 0 {
                notes.push(unbelieved(kind, mark, incomplete(refused), true));
                continue;
            }
            let known = store.list_records(org, Some(source), kind).await?;
            let known = known.iter().filter(|row| lives(&row.record)).map(|row| row.record.id());
            let (there, missing): (Vec<String>, Vec<String>) = known.partition(|id| self.brought(kind, id));
            // What was gone before is not gone at once.
            let more = missing.iter().filter(|id| !before.has(kind, id)).count();
            match Limits::load(store, org).await?.refuses(there.len(), more) {
                Some(why) => notes.push(unbelieved(kind, mark, why, false)),
                None => {
                    after.0.insert(kind, missing.into_iter().collect());
                    if kind == RecordKind::Subscription {
                        reading.gap = None;
                    }
                }
            }
        }
        notes.extend(self.conclude_counters(store, to, refused).await?);
        after.0.retain(|_, ids| !ids.is_empty());
        if after != before {
            let text = serde_json::to_string(&after).unwrap_or_default();
            store.save_mark(org, &name_of(source), &text).await?;
        }
        if let Some(gap) = reading.gap.filter(|gap| gap.until == to.at) {
            notes.push(told_of(source, gap));
        }
        reading.save(store, org, source).await?;
        Ok(notes)
    }

    /// Concludes which counters a complete list of them leaves out. The answer says why nothing was concluded.
    async fn conclude_counters(
        &self,
        store: &dyn Store,
        to: Destination<'_>,
        refused: u64,
    ) -> Result<Option<Refusal>, Failure> {
        const KIND: RecordKind = RecordKind::Counter;
        let Destination { org, source, .. } = to;
        let before = Uncounted::of(store, org, source).await?;
        let mut after = before.clone();
        after.0.retain(|id, _| !self.brought(KIND, id));
        let mut note = None;
        if let Some(mark) = self.complete(KIND) {
            let (mut there, mut more, mut missing) = (0, 0, Vec::new());
            for row in store.list_records(org, Some(source), KIND).await? {
                let (id, Record::Counter(counter)) = (row.record.id(), &row.record) else { continue };
                if self.brought(KIND, &id) || is_later(&counter.as_of, &mark.as_of) {
                    there += 1;
                    continue;
                }
                more += usize::from(!counter.value.is_zero() && !before.0.contains_key(&id));
                missing.push(id);
            }
            let why = match refused {
                0 => Limits::load(store, org).await?.refuses(there, more),
                refused => Some(incomplete(refused)),
            };
            match why {
                Some(why) => note = Some(unbelieved(KIND, mark, why, refused > 0)),
                None => after.leave_out(missing, &mark.as_of),
            }
        }
        if after != before {
            after.save(store, org, source).await?;
        }
        Ok(note)
    }

    /// When the source was read before, with the gap up to now where it keeps less than that.
    async fn read_before(&self, store: &dyn Store, to: Destination<'_>) -> Result<Reading, Failure> {
        let keeps = settings::load(store, to.org, &Overlays::default()).await?.source_keeps_days;
        let mut reading = Reading::of(store, to.org, to.source).await?.unwrap_or_default();
        let reach = Millis::from(keeps) * DAY_MS;
        if let Some(last) = reading.last.filter(|last| keeps > 0 && to.at - last > reach) {
            // Of several gaps without a complete list in between, all of the time from the first on is uncertain.
            let from = reading.gap.map_or(last, |gap| gap.from);
            reading.gap = Some(Gap { from, until: to.at, keeps });
        }
        reading.last = Some(to.at);
        Ok(reading)
    }
}

const DAY_MS: Millis = 86_400_000;

/// When a source was last read, and since when what it tells may have a hole.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Reading {
    last: Option<Millis>,
    gap: Option<Gap>,
}

/// A time of which the source cannot tell any more what was sold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Gap {
    from: Millis,
    until: Millis,
    keeps: u32,
}

impl Reading {
    async fn of(store: &dyn Store, org: &OrganizationId, source: &SourceId) -> Result<Option<Self>, Failure> {
        let text = store.load_mark(org, &format!("read/{source}")).await?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    async fn save(&self, store: &dyn Store, org: &OrganizationId, source: &SourceId) -> Result<(), Failure> {
        let text = serde_json::to_string(self).unwrap_or_default();
        Ok(store.save_mark(org, &format!("read/{source}"), &text).await?)
    }
}

impl Gap {
    fn message(&self, source: &SourceId) -> String {
        let day = |at: Millis| {
            Timestamp::from_millisecond(at)
                .map_or_else(|_| at.to_string(), |t| t.strftime("%Y-%m-%d").to_string())
        };
        format!(
            "Source {source} keeps {} days, and it was not read between {} and {}: orders of that time may be missing.",
            self.keeps,
            day(self.from),
            day(self.until)
        )
    }
}

const CLOSE_THE_GAP: &str = "Import a complete list of its subscriptions (a `snapshot` record with `complete`), then \
                             reconcile the customers with `trueup plan --reconcile`.";

fn told_of(source: &SourceId, gap: Gap) -> Refusal {
    Refusal {
        file: "-".into(),
        line: 0,
        field: None,
        record: None,
        reason: format!("{} {CLOSE_THE_GAP}", gap.message(source)),
        code: Code::Tu8005.to_string(),
        warning: true,
    }
}

/// The sources that were not read for longer than they keep what they tell, until a complete list of their subscriptions
/// came in.
///
/// # Errors
/// The store's.
pub async fn gaps(
    store: &dyn Store,
    org: &OrganizationId,
    sources: BTreeSet<SourceId>,
) -> Result<Vec<Finding>, Failure> {
    let mut found = Vec::new();
    for source in sources {
        let Some(gap) = Reading::of(store, org, &source).await?.and_then(|reading| reading.gap) else {
            continue;
        };
        let message = gap.message(&source);
        let subject = Subject { source: Some(source), ..Subject::default() };
        found.push(Finding::new(Code::Tu8005, subject, message).fix(CLOSE_THE_GAP));
    }
    Ok(found)
}

/// The sources that were not read for long: where half of what they keep went by it is a warning, where all of it did orders
/// are lost already, whether the next import comes or not.
///
/// # Errors
/// The store's.
pub async fn unread(
    store: &dyn Store,
    org: &OrganizationId,
    sources: BTreeSet<SourceId>,
    (keeps, now): (u32, Millis),
) -> Result<Vec<Finding>, Failure> {
    let mut found = Vec::new();
    for source in sources.into_iter().filter(|_| keeps > 0) {
        let Some(last) = Reading::of(store, org, &source).await?.and_then(|reading| reading.last) else {
            continue;
        };
        let days = (now - last).div_euclid(DAY_MS);
        let (keeps, is_lost) = (Millis::from(keeps), days >= Millis::from(keeps));
        if days * 2 < keeps {
            continue;
        }
        let message = if is_lost {
            format!(
                "Source {source} keeps {keeps} days, and it was not read for {days}: orders may be missing."
            )
        } else {
            format!(
                "Source {source} keeps {keeps} days, and it was not read for {days}: what it forgets is lost."
            )
        };
        let subject = Subject { source: Some(source), detail: Some("unread".into()), ..Subject::default() };
        let finding = Finding::new(Code::Tu8005, subject, message);
        found.push(match is_lost {
            true => finding.fix(CLOSE_THE_GAP),
            false => finding.severity(Severity::Warning).fix("Import it, and see why nobody did."),
        });
    }
    Ok(found)
}

/// Whether a complete list has to name the record.
fn lives(record: &Record) -> bool {
    match record {
        Record::Subscription(subscription) => subscription.status.bills(),
        _ => true, // open set: only subscriptions end by themselves
    }
}

struct Limits {
    percent: Decimal,
    least: Decimal,
}

impl Limits {
    async fn load(store: &dyn Store, org: &OrganizationId) -> Result<Self, Failure> {
        let brakes = settings::load(store, org, &Overlays::default()).await?.brakes;
        Ok(Self { percent: brakes.percent, least: brakes.min_changes })
    }

    /// Why a list that names `there` and leaves `missing` out is not believed.
    fn refuses(&self, there: usize, missing: usize) -> Option<String> {
        if missing == 0 {
            return None;
        }
        let all = Decimal::from(there + missing);
        if there == 0 {
            return Some(format!("it names none of the {all} that were there before"));
        }
        let many = Decimal::from(missing) >= self.least;
        let share = Decimal::from(missing) * Decimal::ONE_HUNDRED / all;
        (many && share > self.percent).then(|| {
            format!(
                "{missing} of {all} would be gone at once, more than the {} % of brakes.percent",
                self.percent
            )
        })
    }
}

fn incomplete(refused: u64) -> String {
    format!("{refused} of its records were refused, so it did not come in whole")
}

fn unbelieved(kind: RecordKind, mark: &SnapshotMark, why: String, warning: bool) -> Refusal {
    Refusal {
        file: "-".into(),
        line: 0,
        field: Some("complete".into()),
        record: None,
        reason: format!(
            "The snapshot of {} as of {} is not believed: {why}. Nothing is taken as gone. Repair the source and \
             import it again; where it is true, send the changes as orders.",
            kind.name(),
            mark.as_of
        ),
        code: Code::Tu8003.to_string(),
        warning,
    }
}

/// What the last complete snapshots of the sources left out.
///
/// # Errors
/// The store's.
pub async fn all_gone(
    store: &dyn Store,
    org: &OrganizationId,
    sources: BTreeSet<SourceId>,
) -> Result<BTreeMap<SourceId, Gone>, Failure> {
    let mut all = BTreeMap::new();
    for source in sources {
        let gone = Gone::of(store, org, &source).await?;
        all.insert(source, gone);
    }
    Ok(all)
}

/// The mappings of what is gone.
pub fn targets_gone(mappings: &[Mapping], gone: &BTreeMap<SourceId, Gone>) -> Vec<Finding> {
    mappings.iter().filter_map(|mapping| target_gone(mapping, gone.get(&mapping.source)?)).collect()
}

fn target_gone(mapping: &Mapping, gone: &Gone) -> Option<Finding> {
    let kind = match mapping.kind {
        MappingKind::Customer => RecordKind::Customer,
        MappingKind::Product => RecordKind::Product,
        MappingKind::Agreement | MappingKind::Fee | MappingKind::Addition => return None,
    };
    if !gone.has(kind, &mapping.source_id) {
        return None;
    }
    let message = format!(
        "The mapping of {} {} points to something that the source's last complete list no longer has.",
        kind.name(),
        mapping.source_id
    );
    let subject = Subject {
        source: Some(mapping.source.clone()),
        detail: Some(format!("{} {}", kind.name(), mapping.source_id)),
        ..Subject::default()
    };
    Some(Finding::new(Code::Tu2006, subject, message))
}
