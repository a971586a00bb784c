//! Figures for an overview: what the months bill, what people changed by hand, and the money that waits or leaks.

use crate::failure::Failure;
use crate::ports::{Clock, Store};
use crate::records::{FindingFilter, FindingState, Millis, StoredRecord, TaskFilter};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::feed::{Record, RecordKind};
use trueup_domain::figures::{self, Months, Risk};
use trueup_domain::finding::Code;
use trueup_domain::ids::{OrganizationId, SourceId, SubscriptionId};
use trueup_domain::money::{Currency, MoneyError};
use trueup_domain::psa::Snapshot;
use trueup_domain::task::{Task, TaskState};

/// Why money is at risk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RiskKind {
    /// Orders whose customer, product or agreement is not mapped.
    Unmapped,
    /// Orders that could not be carried out, or of which nobody knows yet whether they were.
    Failed,
    /// Lines that bill for subscriptions that have ended.
    EndedButBilled,
    /// Lines that sell below what they cost.
    BelowCost,
    /// Lines that a person changed, and nobody has decided about it.
    ChangedByHand,
}

impl RiskKind {
    /// The word in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unmapped => "unmapped",
            Self::Failed => "failed",
            Self::EndedButBilled => "ended_but_billed",
            Self::BelowCost => "below_cost",
            Self::ChangedByHand => "changed_by_hand",
        }
    }
}

/// The figures of an organization.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// When ConnectWise was last read; none where it never was: then the months are empty.
    pub read_at: Option<Millis>,
    /// What the months bill.
    pub months: Months,
    /// What was found changed by hand, by the month in which it was first seen.
    pub drift: BTreeMap<(Date, Currency), Risk>,
    /// Money at risk now.
    pub risks: BTreeMap<(RiskKind, Currency), Risk>,
}

impl From<MoneyError> for Failure {
    fn from(error: MoneyError) -> Self {
        Self::wrong(
            format!("the figures cannot be summed up: {error}"),
            "Look at the additions with the largest amounts.",
        )
    }
}

/// The figures of `count` months from `first` on, from the picture of one connection.
///
/// # Errors
/// The store's, or [`Failure::Wrong`] for sums that no decimal holds.
pub async fn figures(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    connection: Option<&str>,
    (first, count): (Date, u32),
) -> Result<Figures, Failure> {
    let mut found = Figures::default();
    let picture = match connection {
        Some(name) => store.load_snapshot(org, name).await?,
        None => None,
    };
    if let Some((at, snapshot)) = &picture {
        found.read_at = Some(*at);
        found.months = figures::months(snapshot, first, count)?;
        put(&mut found.risks, RiskKind::BelowCost, figures::below_cost(snapshot, clock.today())?);
        put(&mut found.risks, RiskKind::EndedButBilled, ended(store, clock, org, snapshot).await?);
    }
    let unmapped = [TaskState::NeedsMapping];
    put(&mut found.risks, RiskKind::Unmapped, of_tasks(store, org, &unmapped).await?);
    let failed = [TaskState::Failed, TaskState::InDoubt];
    put(&mut found.risks, RiskKind::Failed, of_tasks(store, org, &failed).await?);
    by_hand(store, org, first, &mut found).await?;
    Ok(found)
}

fn put(risks: &mut BTreeMap<(RiskKind, Currency), Risk>, kind: RiskKind, sums: BTreeMap<Currency, Risk>) {
    risks.extend(sums.into_iter().map(|(currency, risk)| ((kind, currency), risk)));
}

async fn ended(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    snapshot: &Snapshot,
) -> Result<BTreeMap<Currency, Risk>, Failure> {
    let links = store.list_links(org).await?;
    let sold = store.list_records(org, None, RecordKind::Subscription).await?;
    let subscriptions: BTreeMap<(SourceId, SubscriptionId), _> = sold
        .into_iter()
        .filter_map(|row| match row.record {
            Record::Subscription(sold) => Some(((row.source, sold.id.clone()), sold)),
            _ => None,
        })
        .collect();
    Ok(figures::ended_but_billed(snapshot, &links, &subscriptions, clock.today())?)
}

/// What the orders of the tasks in these states ask for.
async fn of_tasks(
    store: &dyn Store,
    org: &OrganizationId,
    states: &[TaskState],
) -> Result<BTreeMap<Currency, Risk>, Failure> {
    let filter = TaskFilter { states: states.to_vec(), ..TaskFilter::default() };
    let tasks = store.list_tasks(org, &filter).await?;
    let mut sums: BTreeMap<Currency, Risk> = BTreeMap::new();
    for row in orders_of(store, org, &tasks).await? {
        if let Record::Order(order) = row.record {
            sums.entry(order.currency).or_default().add(figures::amount_of(&order)?)?;
        }
    }
    Ok(sums)
}

/// From this many orders on, all of them are read at once instead of one by one.
const READ_WHOLE: usize = 64;

async fn orders_of(
    store: &dyn Store,
    org: &OrganizationId,
    tasks: &[Task],
) -> Result<Vec<StoredRecord>, Failure> {
    let wanted: BTreeSet<(SourceId, String)> = tasks
        .iter()
        .filter_map(|task| Some((task.source.clone(), task.order_id.as_ref()?.to_string())))
        .collect();
    if wanted.len() < READ_WHOLE {
        let mut found = Vec::new();
        for (source, id) in &wanted {
            found.extend(store.find_record(org, source, RecordKind::Order, id).await?);
        }
        return Ok(found);
    }
    let mut all = store.list_records(org, None, RecordKind::Order).await?;
    all.retain(|row| wanted.contains(&(row.source.clone(), row.record.id())));
    Ok(all)
}

async fn by_hand(
    store: &dyn Store,
    org: &OrganizationId,
    first: Date,
    figures: &mut Figures,
) -> Result<(), Failure> {
    let filter = FindingFilter { code: Some(Code::Tu7002.to_string()), ..FindingFilter::default() };
    for stored in store.list_findings(org, &filter).await? {
        let Some((amount, currency)) = stored.finding.amount else { continue };
        let seen = Timestamp::from_millisecond(stored.first_seen_at)
            .map_or(first, |at| at.to_zoned(TimeZone::UTC).date())
            .first_of_month();
        if seen >= first {
            figures.drift.entry((seen, currency)).or_default().add(amount)?;
        }
        if matches!(stored.state, FindingState::Open | FindingState::Recurred) {
            figures.risks.entry((RiskKind::ChangedByHand, currency)).or_default().add(amount)?;
        }
    }
    Ok(())
}
