//! What the feed says beside its orders, and what no task would ever tell: subscriptions that ended at the source and are
//! billed all the same, and records that nothing bills.

use super::Picture;
use crate::failure::Failure;
use crate::feed::{Sums, decimal};
use crate::observe::grounds::{self, Grounds, Records};
use crate::ports::{Clock, Store};
use crate::presence::Gone;
use crate::records::{FindingFilter, FindingState};
use jiff::civil::Date;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::feed::{Order, OrderKind, Record, RecordKind, Subscription, SubscriptionStatus};
use trueup_domain::finding::{Code, Finding, Subject};
use trueup_domain::ids::{OrganizationId, SourceId, SubscriptionId, TaskId};
use trueup_domain::money::Exact;
use trueup_domain::plan::{AdditionLink, Role};
use trueup_domain::psa::{AdditionState, BillFlag};
use trueup_domain::task::Task;

/// Records of a page.
const PAGE: u32 = 2_000;

/// Subscriptions that ended at the source or are not in its last complete list, with open additions of ours and no
/// order under way that would end them.
pub(super) fn ended_and_billed(
    picture: &Picture,
    gone: &BTreeMap<SourceId, Gone>,
    today: Date,
) -> Vec<Finding> {
    let under_way: BTreeSet<(&SourceId, &SubscriptionId)> = picture
        .tasks
        .values()
        .filter(|task| !task.state.is_final())
        .map(|task| (&task.source, &task.subscription))
        .collect();
    let mut found = Vec::new();
    for (key, subscription) in &picture.subscriptions {
        let over = match subscription.status {
            SubscriptionStatus::Cancelled | SubscriptionStatus::Expired => true,
            SubscriptionStatus::Active
            | SubscriptionStatus::Suspended
            | SubscriptionStatus::PendingCancel
            | SubscriptionStatus::Pending
            | SubscriptionStatus::Trial => false,
        };
        let gone = gone.get(&key.0).is_some_and(|gone| gone.has(RecordKind::Subscription, key.1.as_str()));
        let later =
            subscription.cancelled_on.is_some_and(|day| day > today) || order_to_come(picture, key, today);
        let since = subscription.cancelled_on.map(|day| format!(" since {day}")).unwrap_or_default();
        let how = match (over, gone) {
            (true, _) => format!("is over at the source{since}"),
            (false, true) => "is not in the source's last complete list".into(),
            (false, false) => continue,
        };
        if !later && !under_way.contains(&(&key.0, &key.1)) {
            found.extend(still_billed(picture, key, subscription, &how));
        }
    }
    found
}

/// Whether a cancellation is in the feed that has not had its day, or is not completed.
fn order_to_come(picture: &Picture, key: &super::Key, today: Date) -> bool {
    let places = picture.places.get(key).map_or(&[][..], Vec::as_slice);
    let orders = picture.orders_of(&key.0);
    places.iter().filter_map(|at| orders.get(*at)).any(|(_, order)| {
        order.kind == OrderKind::Cancellation
            && (!order.is_completed() || super::is_after(today, order, super::completed_on(order)))
    })
}

fn still_billed(
    picture: &Picture,
    key: &super::Key,
    subscription: &Subscription,
    how: &str,
) -> Option<Finding> {
    let links = picture.links.get(key).map_or(&[][..], Vec::as_slice);
    let ours = links.iter().filter(|link| link.role == Role::Recurring && !link.deleted);
    let open: Vec<(&AdditionLink, &AdditionState)> = ours
        .filter_map(|link| Some((link, as_it_is(picture, link)?)))
        .filter(|(_, state)| state.is_open() && state.bill == BillFlag::Billable)
        .collect();
    let (first, _) = open.first()?;
    let sum = open.iter().try_fold(Exact::ZERO, |sum, (_, state)| {
        sum.plus(state.unit_price.exact().times(state.quantity.exact())?)
    });
    let ids: Vec<String> = open.iter().map(|(link, _)| link.addition.to_string()).collect();
    let subject = Subject {
        source: Some(key.0.clone()),
        customer: Some(subscription.customer.clone()),
        subscription: Some(key.1.clone()),
        agreement: Some(first.agreement),
        addition: Some(first.addition),
        ..Subject::default()
    };
    let message = format!(
        "Subscription {} {how}, and no order ended it: ConnectWise goes on billing addition {}.",
        key.1,
        ids.join(", ")
    );
    let finding = Finding::new(Code::Tu8006, subject, message).fix(
        "Import the cancellation order, or end the addition in ConnectWise. Nothing is ended without an order.",
    );
    Some(match sum {
        Ok(sum) => finding.amount(decimal(sum), subscription.currency),
        Err(_) => finding,
    })
}

/// What became of the agreements under lines of ours, by the last local picture: what was sold or mapped since may fit them
/// again, or no more. Recorded as a pull records it; returns what was not said before.
pub(super) async fn agreements(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    picture: &Picture,
    tasks: &BTreeMap<TaskId, Task>,
) -> Result<Vec<Finding>, Failure> {
    let Some(psa) = &picture.psa else { return Ok(Vec::new()) };
    let connections = store.list_connections(org).await?;
    let Some(connection) = connections.first() else { return Ok(Vec::new()) };
    let open = tasks.values().filter(|task| !task.state.is_final());
    let awaited = open.map(|task| (task.source.clone(), task.subscription.clone())).collect();
    let records = Records { sold: &picture.subscriptions, awaited };
    let links = || picture.links.values().flatten();
    let mut grounds = Grounds::load(store, org, &connection.name, (links(), &records), clock.today()).await?;
    grounds.note(links(), psa).await?;
    let found = grounds.conclude().await?;
    let news = news(store, org, &found).await?;
    let scope = grounds::scope_of(&connection.name);
    store.record_findings(org, &scope, clock.now(), clock.today(), &found).await?;
    Ok(news)
}

/// The addition as the local picture has it, or as it was last written where the agreement was not read; none where it
/// is gone.
pub(super) fn as_it_is<'a>(picture: &'a Picture, link: &'a AdditionLink) -> Option<&'a AdditionState> {
    match picture.psa.as_ref().and_then(|psa| psa.additions.get(&link.agreement)) {
        Some(read) => read.iter().find(|there| there.id == link.addition).map(|there| &there.state),
        None => Some(&link.written),
    }
}

/// Usage and counters are kept and billed by nothing yet: said once for each source, with the money where it is known.
pub(super) async fn never_billed(store: &dyn Store, org: &OrganizationId) -> Result<Vec<Finding>, Failure> {
    let mut found = Vec::new();
    // What is assigned to catalog items is billed by runs of quantities.
    let config = crate::quantity::config(store, org).await?;
    for (kind, what) in [(RecordKind::Usage, "usage records"), (RecordKind::Counter, "counters")] {
        for (source, count) in store.count_records(org, kind).await? {
            if config.sources().contains(&source) {
                continue;
            }
            let (sums, estimates) = summed(store, org, &source, kind).await?;
            found.extend(estimated(&source, estimates, count));
            let lacking = match sums.lacking() {
                0 => String::new(),
                count => format!(" ({count} amounts among them cannot be added up)"),
            };
            let money: Vec<String> = sums
                .finish()
                .iter()
                .filter(|(_, sum)| !sum.amount.is_zero())
                .map(|(currency, sum)| format!("{} {currency}", sum.amount.display(*currency)))
                .collect();
            let worth =
                if money.is_empty() { String::new() } else { format!(" worth {}", money.join(" and ")) };
            let message = format!(
                "{count} {what}{worth}{lacking} of source {source} are kept, and nothing bills them: trueup bills orders."
            );
            let detail = Some(format!("not billed: {what}"));
            let subject = Subject { source: Some(source), detail, ..Subject::default() };
            found.push(Finding::new(Code::Tu4004, subject, message).fix(
                "Assign what is counted to catalog items (`trueup quantity assign`), send what is to be billed as lines of billing \
                 orders, or bill it by hand and ignore this.",
            ));
        }
    }
    Ok(found)
}

/// The money of one source's records of a kind, and how many of them are estimates. The decimals stand inside documents, so that a database would sum floats:
/// they are read page by page and added here.
async fn summed(
    store: &dyn Store,
    org: &OrganizationId,
    source: &SourceId,
    kind: RecordKind,
) -> Result<(Sums, u64), Failure> {
    let (mut sums, mut estimates) = (Sums::default(), 0);
    let mut after: Option<String> = None;
    loop {
        let page = store.list_records_after(org, source, kind, after.as_deref(), PAGE).await?;
        for row in &page {
            sums.add(&row.record);
            let is_estimate = matches!(&row.record, Record::Usage(usage) if usage.status == "estimated");
            estimates += u64::from(is_estimate);
        }
        match page.last() {
            Some(last) => after = Some(last.record.id()),
            None => return Ok((sums, estimates)),
        }
    }
}

/// The status of an order of which a bill or file lost rows: sources give it, so that a part is not taken for the whole.
const INCOMPLETE: &str = "incomplete";

/// Orders that came in without some of their rows: they are sold, and nothing of them is billed until they come whole.
pub(super) fn incomplete(picture: &Picture) -> Vec<Finding> {
    let mut found = Vec::new();
    for source in picture.orders.keys() {
        let mut of_source: Vec<&Order> = picture
            .orders_of(source)
            .iter()
            .map(|(_, order)| order)
            .filter(|o| o.status == INCOMPLETE)
            .collect();
        of_source.sort_by(|a, b| a.id.cmp(&b.id));
        let Some(first) = of_source.first() else { continue };
        let message = match of_source.len() {
            1 => format!(
                "Order {} of source {source} came without all of its rows: nothing of it is billed.",
                first.shown()
            ),
            count => format!(
                "{count} orders of source {source} came without all of their rows, such as {}: nothing of them is billed.",
                first.shown()
            ),
        };
        let detail = Some("orders without all rows".to_owned());
        let subject = Subject { source: Some(source.clone()), detail, ..Subject::default() };
        found.push(Finding::new(Code::Tu8002, subject, message).fix(
            "Correct the rows that were refused, and import the bill or file again whole; it takes the place of what is here.",
        ));
    }
    found
}

/// Use that is not final yet: what is billed of it by hand or by an order may change.
fn estimated(source: &SourceId, estimated: u64, all: u64) -> Option<Finding> {
    if estimated == 0 {
        return None;
    }
    let message = format!("{estimated} of {all} usage records of source {source} are estimates, not final.");
    let detail = Some("estimated usage".to_owned());
    let subject = Subject { source: Some(source.clone()), detail, ..Subject::default() };
    Some(Finding::new(Code::Tu5005, subject, message).fix(
        "Wait for the final records before you bill what was used; import them when the source has closed the period.",
    ))
}

/// What the last check could make no task of, since nobody knows whom to bill: it is still not billed, and no task tells
/// it. The next check settles it where the customer has come in since.
///
/// # Errors
/// The store's.
pub async fn put_off(store: &dyn Store, org: &OrganizationId) -> Result<Vec<Finding>, Failure> {
    let filter = FindingFilter {
        states: vec![FindingState::Open, FindingState::Recurred],
        code: Some(Code::Tu8004.to_string()),
        ..FindingFilter::default()
    };
    let known = store.list_findings(org, &filter).await?;
    let of_check = known.into_iter().map(|known| known.finding).filter(|finding| {
        let subject = &finding.subject;
        subject.task.is_none() && subject.subscription.is_some() && subject.detail.is_some()
    });
    Ok(of_check.collect())
}

/// Those that were not said before in these words.
pub(super) async fn news(
    store: &dyn Store,
    org: &OrganizationId,
    found: &[Finding],
) -> Result<Vec<Finding>, Failure> {
    const KNOWN: [FindingState; 4] =
        [FindingState::Open, FindingState::Recurred, FindingState::Muted, FindingState::Ignored];
    without(store, org, found, &KNOWN).await
}

/// Those that nobody put aside in these words.
pub(super) async fn standing(
    store: &dyn Store,
    org: &OrganizationId,
    found: &[Finding],
) -> Result<Vec<Finding>, Failure> {
    without(store, org, found, &[FindingState::Muted, FindingState::Ignored]).await
}

async fn without(
    store: &dyn Store,
    org: &OrganizationId,
    found: &[Finding],
    states: &[FindingState],
) -> Result<Vec<Finding>, Failure> {
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let filter = FindingFilter { states: states.to_vec(), ..FindingFilter::default() };
    let known = store.list_findings(org, &filter).await?;
    let said = |finding: &Finding| known.iter().any(|k| k.finding.message == finding.message);
    Ok(found.iter().filter(|finding| !said(finding)).cloned().collect())
}
