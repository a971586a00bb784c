//! What the feed says beside its orders, and what no task would ever tell: subscriptions that ended at the source and are
//! billed all the same, and records that nothing bills.

use super::Picture;
use crate::failure::Failure;
use crate::feed::{Sums, decimal};
use crate::ports::Store;
use crate::records::{FindingFilter, FindingState};
use jiff::civil::Date;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::feed::{OrderKind, RecordKind, Subscription, SubscriptionStatus};
use trueup_domain::finding::{Code, Finding, Subject};
use trueup_domain::ids::{OrganizationId, SourceId, SubscriptionId};
use trueup_domain::money::Exact;
use trueup_domain::plan::Role;

/// Subscriptions that ended at the source, with open additions of ours and no order under way that would end them.
pub(super) fn ended_and_billed(picture: &Picture, today: Date) -> Vec<Finding> {
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
        let later =
            subscription.cancelled_on.is_some_and(|day| day > today) || order_to_come(picture, key, today);
        if over && !later && !under_way.contains(&(&key.0, &key.1)) {
            found.extend(still_billed(picture, key, subscription));
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

fn still_billed(picture: &Picture, key: &super::Key, subscription: &Subscription) -> Option<Finding> {
    let links = picture.links.get(key).map_or(&[][..], Vec::as_slice);
    let open: Vec<_> =
        links.iter().filter(|l| l.role == Role::Recurring && !l.deleted && l.written.is_open()).collect();
    let first = open.first()?;
    let sum = open.iter().try_fold(Exact::ZERO, |sum, link| {
        sum.plus(link.written.unit_price.exact().times(link.written.quantity.exact())?)
    });
    let ids: Vec<String> = open.iter().map(|link| link.addition.to_string()).collect();
    let since = subscription.cancelled_on.map(|day| format!(" since {day}")).unwrap_or_default();
    let subject = Subject {
        source: Some(key.0.clone()),
        customer: Some(subscription.customer.clone()),
        subscription: Some(key.1.clone()),
        agreement: Some(first.agreement),
        addition: Some(first.addition),
        ..Subject::default()
    };
    let message = format!(
        "Subscription {} is over at the source{since}, and no order ended it: ConnectWise goes on billing addition {}.",
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

/// Usage and counters are kept and billed by nothing yet: said once for each source, with the money where it is known.
pub(super) async fn never_billed(store: &dyn Store, org: &OrganizationId) -> Result<Vec<Finding>, Failure> {
    let mut found = Vec::new();
    for (kind, what) in [(RecordKind::Usage, "usage records"), (RecordKind::Counter, "counters")] {
        let mut by_source: BTreeMap<SourceId, (u64, Sums)> = BTreeMap::new();
        for row in store.list_records(org, None, kind).await? {
            let (count, sums) = by_source.entry(row.source).or_default();
            *count += 1;
            sums.add(&row.record);
        }
        for (source, (count, sums)) in by_source {
            let money: Vec<String> = sums
                .finish()
                .iter()
                .filter(|(_, sum)| !sum.amount.is_zero())
                .map(|(currency, sum)| format!("{} {currency}", sum.amount.display(*currency)))
                .collect();
            let worth =
                if money.is_empty() { String::new() } else { format!(" worth {}", money.join(" and ")) };
            let message = format!(
                "{count} {what}{worth} of source {source} are kept, and nothing bills them: trueup bills orders."
            );
            let detail = Some(format!("not billed: {what}"));
            let subject = Subject { source: Some(source), detail, ..Subject::default() };
            found.push(Finding::new(Code::Tu4004, subject, message).fix(
                "Send what is to be billed as lines of billing orders, or bill it by hand and ignore this.",
            ));
        }
    }
    Ok(found)
}

/// Those that were not said before in these words.
pub(super) async fn news(
    store: &dyn Store,
    org: &OrganizationId,
    found: &[Finding],
) -> Result<Vec<Finding>, Failure> {
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let filter = FindingFilter {
        states: vec![FindingState::Open, FindingState::Recurred, FindingState::Muted, FindingState::Ignored],
        ..FindingFilter::default()
    };
    let known = store.list_findings(org, &filter).await?;
    let said = |finding: &Finding| known.iter().any(|k| k.finding.message == finding.message);
    Ok(found.iter().filter(|finding| !said(finding)).cloned().collect())
}
