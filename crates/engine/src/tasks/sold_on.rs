//! What is sold on after its commitment, by the subscription's record alone: the line was dated by the term, and no renewal
//! order tells of a next one.

use super::beside::as_it_is;
use super::{Key, Picture};
use crate::feed::decimal;
use jiff::civil::Date;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::feed::{BillingModel, Subscription, SubscriptionItem};
use trueup_domain::finding::{Code, Finding, Subject};
use trueup_domain::ids::TaskId;
use trueup_domain::mapping::ProductTarget;
use trueup_domain::period::{next_day, previous_day};
use trueup_domain::plan::{AdditionLink, Role};
use trueup_domain::task::{Task, TaskKind};

/// Products whose lines are over before the record's term is, with no order under way that would begin them again.
pub(super) fn not_billed(picture: &Picture, tasks: &BTreeMap<TaskId, Task>, today: Date) -> Vec<Finding> {
    // A reconciliation starts by a person alone, and nobody may.
    let open = tasks.values().filter(|t| !t.state.is_final() && t.kind != TaskKind::Reconciliation);
    let under_way: BTreeSet<_> = open.map(|task| (&task.source, &task.subscription)).collect();
    let mut found = Vec::new();
    for (key, sold) in &picture.subscriptions {
        let is_bound = sold.term.as_ref().is_some_and(|term| term.start <= today);
        let goes_on = is_bound
            && sold.status.bills()
            && sold.billing_model == BillingModel::Advance
            && picture.mappings.customer_not_billed(&key.0, &sold.customer).is_none();
        if goes_on && !under_way.contains(&(&key.0, &key.1)) {
            found.extend(sold.items.iter().filter_map(|item| of_item(picture, key, (sold, item), today)));
        }
    }
    found
}

fn of_item(
    picture: &Picture,
    key: &Key,
    (sold, item): (&Subscription, &SubscriptionItem),
    today: Date,
) -> Option<Finding> {
    let quantity = item.quantity.minus(item.included_quantity.unwrap_or_default()).ok()?;
    let cycle = Some(sold.billing_cycle);
    let target = picture.mappings.product_target(&key.0, &item.product, &sold.customer, cycle);
    if quantity.is_zero() || quantity.is_negative() || matches!(target, Some(ProductTarget::DoNotBill(_))) {
        return None;
    }
    let links = picture.links.get(key)?.iter();
    let lines: Vec<&AdditionLink> = links
        .filter(|l| l.product == item.product && l.role == Role::Recurring && !l.deleted && !l.is_settled())
        .collect();
    if lines.iter().any(|link| as_it_is(picture, link).is_some_and(|state| state.lasts(today))) {
        return None;
    }
    let (last, line) =
        lines.iter().filter_map(|link| Some((link.written.cancelled?, *link))).max_by_key(|(day, _)| *day)?;
    // What an order ended is over; of an open-ended line that a person ended the pull tells.
    let by_an_order = line.ends.iter().any(|end| end.order.is_some());
    if by_an_order || lines.iter().any(|link| link.written.is_open()) {
        return None;
    }
    // Days that are over by now count as well: a record may come in late.
    let term = sold.term.as_ref().and_then(|term| term.end);
    let until = [term, sold.end, sold.cancelled_on].into_iter().flatten().min();
    if until.is_some_and(|end| end <= next_day(last)) {
        return None;
    }
    let price = item.unit_price.unwrap_or(line.written.unit_price);
    let subject = Subject {
        source: Some(key.0.clone()),
        customer: Some(sold.customer.clone()),
        subscription: Some(key.1.clone()),
        product: Some(item.product.clone()),
        agreement: Some(line.agreement),
        addition: Some(line.addition),
        ..Subject::default()
    };
    let until = until.map(|end| format!(" to {}", previous_day(end))).unwrap_or_default();
    let message = format!(
        "Subscription {} has {} {}{until} by its record, and no order renewed it: addition {} billed it to {last}, and \
         nothing of trueup's bills it since.",
        key.1,
        quantity.shown(),
        item.product,
        line.addition
    );
    let finding = Finding::new(Code::Tu8006, subject, message)
        .fix("Import the renewal order, or reconcile the customer (`trueup plan --reconcile`). Where it is over, import the subscription as it is.");
    Some(match price.exact().times(quantity.exact()) {
        Ok(sum) => finding.amount(decimal(sum), sold.currency),
        Err(_) => finding,
    })
}
