//! What single lines of an order leave when they are taken back alone: their task stays done, and what it wrote beside them
//! stays as it is, so that days may be billed twice or by nothing.

use crate::feed::decimal;
use jiff::civil::Date;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::finding::{Code, Finding, Subject};
use trueup_domain::ids::{AdditionId, ProductId, SourceId, SubscriptionId};
use trueup_domain::money::Exact;
use trueup_domain::plan::{Action, AdditionLink, Change, DraftPlan, Role, Target};
use trueup_domain::psa::{AdditionState, BillFlag};

/// A product of a subscription.
type Sold<'p> = (&'p SourceId, &'p SubscriptionId, &'p ProductId);

/// The lines of a product, by addition; what an undo makes anew has none yet.
type Lines<'p> = BTreeMap<Option<AdditionId>, &'p AdditionState>;

/// Says of each product that the undo touches where two of its lines go on, or none: before it was otherwise.
pub(super) fn tell(draft: &mut DraftPlan, links: &[AdditionLink], today: Date) {
    let changes = draft.changes.iter().map(AsRef::as_ref);
    let touched: BTreeMap<Sold<'_>, &Change> = changes
        .filter(|change: &&Change| change.role == Role::Recurring)
        .map(|change| ((&change.source, &change.subscription, &change.product), change))
        .collect();
    let found: Vec<Finding> = touched
        .into_iter()
        .filter_map(|(sold, change)| of_product(draft, links, (sold, change), today))
        .collect();
    draft.findings.extend(found);
}

fn of_product(
    draft: &DraftPlan,
    links: &[AdditionLink],
    (sold, change): (Sold<'_>, &Change),
    today: Date,
) -> Option<Finding> {
    let ours = links.iter().filter(|link| {
        (&link.source, &link.subscription, &link.product) == sold
            && link.role == Role::Recurring
            && !link.deleted
            && !link.is_settled()
    });
    let before: Lines<'_> = ours.map(|link| (Some(link.addition), &link.written)).collect();
    let mut after = before.clone();
    let of_it =
        |one: &&Change| one.role == Role::Recurring && (&one.source, &one.subscription, &one.product) == sold;
    for one in draft.changes.iter().map(AsRef::as_ref).filter(of_it) {
        let id = |target: &Target| match target {
            Target::Existing(id) => Some(*id),
            Target::CreatedBy(_) => None,
        };
        match &one.action {
            Action::Create { wanted } => after.insert(None, wanted),
            Action::Update { target, wanted, .. } | Action::Cancel { target, wanted, .. } => {
                after.insert(id(target), wanted)
            }
            Action::Delete { target, .. } => after.remove(&id(target)),
            Action::Keep { .. } => None,
        };
    }
    // From where all of them have begun, as they are and as they will be.
    let begins = before.values().chain(after.values()).map(|state| state.effective);
    let day = begins.chain([today]).max()?;
    let (was, now) = (on(&before, day), on(&after, day));
    let twice = now.len() > 1 && now.len() > was.len();
    if !twice && (!now.is_empty() || was.is_empty()) {
        return None;
    }
    let name = &change.product;
    let of = if twice { &now } else { &was };
    let ids: BTreeSet<String> = of.iter().filter_map(|(id, _)| id.map(|id| id.to_string())).collect();
    let ids: Vec<String> = ids.into_iter().collect();
    let message = match twice {
        true => format!(
            "From {day} on several lines bill {name} once this is taken back alone: additions {}.",
            ids.join(", ")
        ),
        false => format!(
            "From {day} on nothing of trueup's bills {name} once this is taken back alone: addition {} did, and its order stays done.",
            ids.join(", ")
        ),
    };
    let subject = Subject {
        source: Some(change.source.clone()),
        customer: Some(change.customer.clone()),
        subscription: Some(change.subscription.clone()),
        product: Some(name.clone()),
        agreement: Some(change.agreement),
        detail: Some("what is left".to_owned()),
        ..Subject::default()
    };
    let fix = format!(
        "`trueup undo --task {}` takes all of the order back, and what it changed comes back.",
        change.task
    );
    let finding = Finding::new(Code::Tu8006, subject, message).fix(fix);
    let moved = sum(&now).zip(sum(&was)).and_then(|(now, was)| now.minus(was).ok());
    Some(match moved {
        Some(moved) if moved.is_negative() => {
            finding.amount(decimal(Exact::ZERO.minus(moved).ok()?), change.currency)
        }
        Some(moved) => finding.amount(decimal(moved), change.currency),
        None => finding,
    })
}

fn on<'p>(lines: &Lines<'p>, day: Date) -> Vec<(Option<AdditionId>, &'p AdditionState)> {
    let billed = lines.iter().filter(|(_, state)| state.bills_on(day) && state.bill == BillFlag::Billable);
    billed.map(|(id, state)| (*id, *state)).collect()
}

fn sum(lines: &[(Option<AdditionId>, &AdditionState)]) -> Option<Exact> {
    let amounts = lines.iter().map(|(_, state)| state.unit_price.exact().times(state.quantity.exact()));
    amounts.into_iter().try_fold(Exact::ZERO, |sum, amount| sum.plus(amount.ok()?).ok())
}
