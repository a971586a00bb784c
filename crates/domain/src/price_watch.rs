//! Prices that deserve a look: they are written all the same, and said.

use crate::billing::extended;
use crate::finding::{Code, Finding, Subject};
use crate::ids::{AgreementId, ProductId, TaskId};
use crate::money::{Currency, Money, Quantity};
use crate::plan::{Action, Change, DraftPlan, Role, Target};
use crate::psa::AdditionState;
use crate::settings::Settings;
use rust_decimal::Decimal;
use std::collections::BTreeMap;

/// One product of a task on one agreement: the line that was there, and the one that the plan leaves.
#[derive(Default)]
struct Seen<'p> {
    before: Option<&'p AdditionState>,
    after: Option<(&'p Change, &'p AdditionState)>,
}

/// What is to be said of the prices of a plan: a unit price that moves by more than `price_limit_percent` (TU6003), and
/// one that leaves less over the cost than `margin_floor_percent` of it (TU6004). A line whose price is its cost is told
/// where its prices come from.
pub fn prices_to_see(plan: &DraftPlan, settings: &Settings) -> Vec<Finding> {
    let mut seen: BTreeMap<(&TaskId, &ProductId, AgreementId), Seen<'_>> = BTreeMap::new();
    for change in plan.changes.iter().filter(|c| c.role == Role::Recurring && c.writes()) {
        let of = seen.entry((&change.task, &change.product, change.agreement)).or_default();
        if let (Some(before), Some(Target::Existing(_))) = (change.action.before(), change.action.target()) {
            of.before = of.before.or(Some(before));
        }
        if let Action::Create { wanted } | Action::Update { wanted, .. } = &change.action {
            of.after = Some((change, wanted));
        }
    }
    let mut found = Vec::new();
    for Seen { before, after } in seen.into_values() {
        let Some((change, after)) = after else { continue };
        found.extend(before.and_then(|before| jump(change, before, after, settings)));
        found.extend(thin(change, after, settings));
    }
    found
}

/// A unit price that moves by more than the limit. A line of one unit may show what all units cost together: then what
/// the line bills does not move the way its price does, and the price says nothing.
fn jump(
    change: &Change,
    before: &AdditionState,
    after: &AdditionState,
    settings: &Settings,
) -> Option<Finding> {
    let limit = settings.price_limit_percent?;
    let bills =
        |state: &AdditionState| extended(state, Quantity::ZERO, change.currency).ok().map(|sum| sum.price);
    let (old, new) = (before.unit_price, after.unit_price);
    let moved = moved(old, new, limit)?;
    (moved == self::moved(bills(before)?, bills(after)?, limit)?).then_some(())?;
    let message = format!(
        "The unit price of product {} goes from {} to {}, by more than {} percent.",
        change.product,
        shown(old, change.currency),
        shown(new, change.currency),
        limit.normalize()
    );
    let at_risk = bills(after)?.minus(bills(before)?).ok()?;
    Some(Finding::new(Code::Tu6003, subject(change), message).amount(at_risk, change.currency))
}

/// The direction in which an amount moves by more than a limit in percent.
fn moved(old: Money, new: Money, limit: Decimal) -> Option<std::cmp::Ordering> {
    let (old, new) = (old.decimal(), new.decimal());
    if old.is_zero() {
        return None;
    }
    let by = new.saturating_sub(old).abs();
    let over = by.saturating_mul(Decimal::ONE_HUNDRED) > limit.saturating_mul(old.abs());
    over.then(|| new.cmp(&old))
}

/// A price that leaves too little over its cost. What is given away for nothing is meant.
fn thin(change: &Change, after: &AdditionState, settings: &Settings) -> Option<Finding> {
    let floor = settings.margin_floor_percent?;
    let (price, cost) = (after.unit_price, after.unit_cost);
    if price.is_zero() || cost.is_zero() || price == cost {
        return None;
    }
    let margin = price.decimal().saturating_sub(cost.decimal());
    if margin.saturating_mul(Decimal::ONE_HUNDRED) >= floor.saturating_mul(price.decimal()) {
        return None;
    }
    let (billed, paid) = (shown(price, change.currency), shown(cost, change.currency));
    let message = if price < cost {
        format!("Product {} is billed at {billed}, below its cost of {paid}.", change.product)
    } else {
        let floor = floor.normalize();
        format!(
            "Product {} is billed at {billed} and costs {paid}: less than {floor} percent is left.",
            change.product
        )
    };
    Some(Finding::new(Code::Tu6004, subject(change), message))
}

fn shown(amount: Money, currency: Currency) -> String {
    format!("{} {currency}", amount.shown(currency))
}

fn subject(change: &Change) -> Subject {
    Subject {
        task: Some(change.task.clone()),
        source: Some(change.source.clone()),
        customer: Some(change.customer.clone()),
        subscription: Some(change.subscription.clone()),
        product: Some(change.product.clone()),
        agreement: Some(change.agreement),
        ..Subject::default()
    }
}
