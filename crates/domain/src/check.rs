//! The checker: code that did not make the plan looks at it. Only a plan that passes can be applied.
//!
//! It trusts nothing of the planner's own working: it replays the changes on the snapshot and looks at the result.

use crate::billing;
use crate::finding::{Code, Finding, Severity, Subject};
use crate::ids::{AgreementId, ChangeId};
use crate::money::{Currency, Money, MoneyError, Quantity};
use crate::period::{CycleUnit, Period, days_between, next_day};
use crate::plan::{Action, Change, CheckedPlan, DraftPlan, Role, Target};
use crate::planner::World;
use crate::proration::DayCount;
use crate::psa::{AdditionState, Agreement};
use jiff::civil::Date;
use std::collections::{BTreeMap, BTreeSet};

/// Lints a plan. Gives it back, with what is wrong, when it may not be applied.
///
/// # Errors
/// The draft and the findings that keep it from being applied.
pub fn check(draft: DraftPlan, world: &World<'_>) -> Result<CheckedPlan, Box<(DraftPlan, Vec<Finding>)>> {
    let wrong = violations(&draft, world);
    if wrong.is_empty() { Ok(CheckedPlan::new(draft)) } else { Err(Box::new((draft, wrong))) }
}

/// What keeps a plan from being applied, each with the task whose line it is.
pub(crate) fn violations(draft: &DraftPlan, world: &World<'_>) -> Vec<Finding> {
    let mut wrong = Vec::new();
    keys_are_unique(draft, world, &mut wrong);
    changes_fit(draft, world, &mut wrong);
    days_are_prorated_once(draft, world, &mut wrong);
    dependencies_hold(draft, &mut wrong);
    match replay(draft, world) {
        Ok(after) => money_is_conserved(draft, world, &after, &mut wrong),
        Err(finding) => wrong.push(*finding),
    }
    wrong
}

fn subject(change: &Change) -> Subject {
    Subject {
        task: Some(change.task.clone()),
        source: Some(change.source.clone()),
        customer: Some(change.customer.clone()),
        subscription: Some(change.subscription.clone()),
        product: Some(change.product.clone()),
        agreement: Some(change.agreement),
        addition: match change.action.target() {
            Some(Target::Existing(id)) => Some(*id),
            Some(Target::CreatedBy(_)) | None => None,
        },
        detail: Some(change.id.to_string()),
    }
}

/// No two live additions with one key.
fn keys_are_unique(draft: &DraftPlan, world: &World<'_>, wrong: &mut Vec<Finding>) {
    let mut seen: BTreeMap<&str, &ChangeId> = BTreeMap::new();
    let there: BTreeSet<&str> =
        world.snapshot.additions.values().flatten().filter_map(|a| a.marker.as_deref()).collect();
    for change in &draft.changes {
        let Action::Create { .. } = change.action else { continue };
        let key = change.key.0.as_str();
        if let Some(other) = seen.insert(key, &change.id) {
            let message =
                format!("Changes {other} and {} would create the same line twice (key {key}).", change.id);
            wrong.push(Finding::new(Code::Tu2007, subject(change), message));
        }
        if there.contains(key) {
            let message =
                format!("A line with key {key} is in ConnectWise already; {} would double it.", change.id);
            wrong.push(Finding::new(Code::Tu2007, subject(change), message));
        }
    }
}

/// Company, currency, cycle and dates of every change fit its agreement, no part is more than its whole, and nothing lands
/// in an invoiced period.
fn changes_fit(draft: &DraftPlan, world: &World<'_>, wrong: &mut Vec<Finding>) {
    // What is taken back was right when it was written: what the subscription or the agreement is now is no measure.
    let is_new = draft.undoes.is_empty();
    for change in draft.changes.iter().filter(|c| c.writes()) {
        let Some(agreement) = world.snapshot.agreements.get(&change.agreement) else {
            let message =
                format!("{} writes to agreement {}, which was not read.", change.id, change.agreement);
            wrong.push(Finding::new(Code::Tu3003, subject(change), message));
            continue;
        };
        if agreement.currency != Some(change.currency) {
            let message = format!(
                "{} is in {} and agreement {} in {}.",
                change.id,
                change.currency,
                agreement.id,
                agreement.currency.map_or("no currency", Currency::code)
            );
            wrong.push(Finding::new(Code::Tu6001, subject(change), message));
        }
        match &change.action {
            Action::Create { wanted } => {
                created(change, agreement, world, wanted, wrong);
                if is_new {
                    lasts_as_its_agreement(change, agreement, world, wanted, wrong);
                    part_is_no_more_than_its_whole(change, agreement, world, wanted, wrong);
                }
            }
            Action::Update { before, wanted, .. } => edited(change, agreement, world, before, wanted, wrong),
            Action::Cancel { before, wanted, .. } => ended(change, agreement, world, before, wanted, wrong),
            Action::Delete { .. } => deleted(change, agreement, world, wrong),
            Action::Keep { .. } => {}
        }
    }
}

fn created(
    change: &Change,
    agreement: &Agreement,
    world: &World<'_>,
    wanted: &AdditionState,
    wrong: &mut Vec<Finding>,
) {
    let billed_by = world.snapshot.invoicing_agreement(agreement);
    if agreement.company != change.company {
        let message = format!("{} writes to agreement {} of another company.", change.id, agreement.id);
        wrong.push(Finding::new(Code::Tu3003, subject(change), message));
    }
    if !agreement.prorates && billed_by.invoiced_before(wanted.effective) {
        let message =
            format!("{} would start on {}, which is invoiced already.", change.id, wanted.effective);
        wrong.push(Finding::new(Code::Tu4002, subject(change), message).severity(Severity::Error));
    }
    if billed_by.bill_start.is_some_and(|floor| wanted.effective < floor) {
        let message =
            format!("{} would start before the billing start of agreement {}.", change.id, agreement.id);
        wrong.push(Finding::new(Code::Tu4001, subject(change), message));
    }
    if wanted.cancelled.is_some_and(|last| last < wanted.effective) {
        let message = format!("{} would end before it starts.", change.id);
        wrong.push(Finding::new(Code::Tu4003, subject(change), message));
    }
    if agreement.end.is_some_and(|end| wanted.effective > end) {
        let message = format!("{} would start after the end of agreement {}.", change.id, agreement.id);
        wrong.push(Finding::new(Code::Tu4003, subject(change), message));
    }
    match world.snapshot.catalog.get(&wanted.catalog_item) {
        Some(item) if !item.inactive && !item.bundle => {}
        Some(_) | None => {
            let message =
                format!("{} bills catalog item {}, which cannot be used.", change.id, wanted.catalog_item);
            wrong.push(Finding::new(Code::Tu2004, subject(change), message));
        }
    }
    let go_live = world.settings.go_live;
    if go_live.is_some_and(|day| wanted.effective < day && change.true_period.is_none()) {
        let message = format!("{} would start before go-live.", change.id);
        wrong.push(Finding::new(Code::Tu4003, subject(change), message));
    }
}

/// A line that goes on recurs as often as its agreement; one that is billed once ends no later than it.
fn lasts_as_its_agreement(
    change: &Change,
    agreement: &Agreement,
    world: &World<'_>,
    wanted: &AdditionState,
    wrong: &mut Vec<Finding>,
) {
    if change.role == Role::Recurring {
        let key = (change.source.clone(), change.subscription.clone());
        let sold = world.subscriptions.get(&key).map(|sold| sold.billing_cycle);
        let (Some(sold), Some(billed)) = (sold, agreement.billing_cycle) else { return };
        if !sold.same_length(billed) {
            let message = format!(
                "{} is sold {} and agreement {} is invoiced {}.",
                change.id,
                sold.describe(),
                agreement.id,
                billed.describe()
            );
            wrong.push(Finding::new(Code::Tu3004, subject(change), message));
        }
    } else if change.role != Role::Quantity
        && let Some((end, last)) = agreement.end.zip(wanted.cancelled).filter(|(end, last)| last > end)
    {
        let message =
            format!("{} would bill up to {last}; agreement {} ends on {end}.", change.id, agreement.id);
        wrong.push(Finding::new(Code::Tu4003, subject(change), message));
    }
}

/// The share that the formula of a part names is no more than the periods that its days may be.
fn part_is_no_more_than_its_whole(
    change: &Change,
    agreement: &Agreement,
    world: &World<'_>,
    wanted: &AdditionState,
    wrong: &mut Vec<Finding>,
) {
    let key = (change.source.clone(), change.subscription.clone());
    let sold = world.subscriptions.get(&key).map(|sold| sold.billing_cycle);
    let Some(cycle) = sold.or(agreement.billing_cycle) else { return };
    let days = match (change.true_period, wanted.cancelled) {
        (Some(own), _) => own.days(),
        (None, Some(last)) => days_between(wanted.effective, next_day(last)),
        (None, None) => return,
    };
    // Without proration a few days may be whole periods.
    if change.role != Role::Prorate || world.settings.day_count == DayCount::None {
        return;
    }
    let cycle = cycle.normalised();
    let shortest = i64::from(cycle.every) * if cycle.unit == CycleUnit::Month { 28 } else { 1 };
    let most = (days + shortest - 1).div_euclid(shortest.max(1)).max(1);
    let too_much = change
        .formula
        .split_whitespace()
        .filter_map(share_of)
        .find(|(part, whole)| i128::from(*part) > i128::from(*whole) * i128::from(most));
    if let Some((part, whole)) = too_much {
        let message = format!(
            "{} bills {part}/{whole} of a period for {days} days: a part is more than its whole.",
            change.id
        );
        wrong.push(Finding::new(Code::Tu6006, subject(change), message).severity(Severity::Error));
    }
}

/// `17/31`, as formulas name a share.
fn share_of(word: &str) -> Option<(i64, i64)> {
    let (part, whole) = word.trim_matches(|c: char| !c.is_ascii_digit()).split_once('/')?;
    let share = (part.parse().ok()?, whole.parse().ok()?);
    Some(share).filter(|(_, whole)| *whole > 0)
}

/// An edit in place may touch a billed line only where the next invoice is the first to bill the new state: everything
/// up to then is invoiced. Its first day never moves.
fn edited(
    change: &Change,
    agreement: &Agreement,
    world: &World<'_>,
    before: &AdditionState,
    wanted: &AdditionState,
    wrong: &mut Vec<Finding>,
) {
    if before.effective != wanted.effective {
        let message = format!("{} would move the first billed day of a line.", change.id);
        wrong.push(Finding::new(Code::Tu4002, subject(change), message).severity(Severity::Error));
    }
    let billed_by = world.snapshot.invoicing_agreement(agreement);
    let shortened = wanted
        .cancelled
        .filter(|last| before.cancelled.is_none_or(|was| was > *last) && *last >= before.effective);
    if let Some(last) = shortened {
        inside_invoices(change, agreement, world, (before, last), wrong);
    }
    let money_moves = before.quantity != wanted.quantity || before.unit_price != wanted.unit_price;
    let unbilled = !billed_by.invoiced_before(before.effective);
    let nothing_open = billed_by.next_invoice.is_none();
    if money_moves && !unbilled && nothing_open {
        let message =
            format!("{} edits a line of agreement {} that will not be invoiced.", change.id, agreement.id);
        wrong.push(Finding::new(Code::Tu4002, subject(change), message).severity(Severity::Error));
    }
}

/// A line ends inside an invoiced period only where credits are on: then it changes no invoice that was made.
fn ended(
    change: &Change,
    agreement: &Agreement,
    world: &World<'_>,
    before: &AdditionState,
    wanted: &AdditionState,
    wrong: &mut Vec<Finding>,
) {
    let Some(last) = wanted.cancelled else {
        let message = format!("{} is to end a line and names no last day.", change.id);
        wrong.push(Finding::new(Code::Tu4003, subject(change), message));
        return;
    };
    if last < before.effective {
        let message = format!("{} would end a line before it starts.", change.id);
        wrong.push(Finding::new(Code::Tu4003, subject(change), message));
    }
    let same_otherwise = AdditionState { cancelled: before.cancelled, ..wanted.clone() } == *before;
    if !same_otherwise {
        let message = format!("{} is to end a line and would change more than its last day.", change.id);
        wrong.push(Finding::new(Code::Tu7004, subject(change), message));
    }
    inside_invoices(change, agreement, world, (before, last), wrong);
}

fn inside_invoices(
    change: &Change,
    agreement: &Agreement,
    world: &World<'_>,
    (before, last): (&AdditionState, Date),
    wrong: &mut Vec<Finding>,
) {
    // Where ConnectWise prorates, it bills the days of a line that came after their invoice with the next one: no invoice
    // has them yet, and the line may end within them.
    if agreement.prorates && !is_billed(change, agreement, world, before) {
        return;
    }
    let billed_by = world.snapshot.invoicing_agreement(agreement);
    let invoiced = last.tomorrow().is_ok_and(|next| billed_by.invoiced_before(next));
    if invoiced && !world.settings.credits.is_on() {
        let message = format!(
            "{} would end a line on {last}, inside an invoiced period, and credits are off.",
            change.id
        );
        wrong.push(Finding::new(Code::Tu4005, subject(change), message).severity(Severity::Error));
    }
}

/// Whether the line that a change is about may be on an invoice.
fn is_billed(change: &Change, agreement: &Agreement, world: &World<'_>, before: &AdditionState) -> bool {
    let Some(Target::Existing(id)) = change.action.target() else { return false };
    let at_write = world.links.iter().find(|l| l.addition == *id).and_then(|l| l.next_invoice_at_write);
    agreement.may_have_billed(world.snapshot.invoicing_agreement(agreement), before.effective, at_write)
}

fn deleted(change: &Change, agreement: &Agreement, world: &World<'_>, wrong: &mut Vec<Finding>) {
    let Some(Target::Existing(id)) = change.action.target() else { return };
    let Some(before) = change.action.before() else { return };
    if is_billed(change, agreement, world, before) {
        let why = match agreement.next_invoice {
            Some(_) => "which was billed",
            None => "and nothing says whether it was billed: its agreement has no next invoice date",
        };
        let message = format!("{} would delete addition {id}, {why}.", change.id);
        wrong.push(Finding::new(Code::Tu4002, subject(change), message).severity(Severity::Error));
    }
}

/// Where an agreement prorates by itself, a line that begins within a period is billed by its days. What brings a full line
/// to what those days cost, or bills them beside it, would count them a second time.
fn days_are_prorated_once(draft: &DraftPlan, world: &World<'_>, wrong: &mut Vec<Finding>) {
    let created = |role: Role| {
        draft.changes.iter().filter(move |change| change.role == role).filter_map(|change| {
            let Action::Create { wanted } = &change.action else { return None };
            Some((change, &**wanted))
        })
    };
    let by_days: BTreeMap<_, _> = created(Role::Recurring)
        .filter(|(change, _)| world.snapshot.agreements.get(&change.agreement).is_some_and(|a| a.prorates))
        .map(|(change, wanted)| ((&change.task, &change.product), (change.agreement, wanted.effective)))
        .collect();
    for (change, wanted) in created(Role::Prorate) {
        let own = wanted.cancelled.and_then(|last| Period::new(wanted.effective, next_day(last)).ok());
        let Some(days) = change.true_period.or(own) else { continue };
        let line = by_days.get(&(&change.task, &change.product));
        if let Some((agreement, begin)) = line.filter(|(_, begin)| days.contains(*begin)) {
            let message = format!(
                "{} bills {days} beside a line that begins on {begin}, and agreement {agreement} prorates that line by \
                 itself: its days would be counted twice.",
                change.id
            );
            wrong.push(Finding::new(Code::Tu3006, subject(change), message));
        }
    }
}

/// Everything a change depends on comes before it.
fn dependencies_hold(draft: &DraftPlan, wrong: &mut Vec<Finding>) {
    let mut earlier: BTreeSet<&ChangeId> = BTreeSet::new();
    for change in &draft.changes {
        let made_by = match change.action.target() {
            Some(Target::CreatedBy(id)) => Some(id),
            Some(Target::Existing(_)) | None => None,
        };
        for needed in change.depends_on.iter().chain(made_by) {
            if !earlier.contains(needed) {
                let message = format!("{} needs {needed}, which does not come before it.", change.id);
                wrong.push(Finding::new(Code::Tu7006, subject(change), message).severity(Severity::Error));
            }
        }
        if !earlier.insert(&change.id) {
            let message = format!("Two changes have the id {}.", change.id);
            wrong.push(Finding::new(Code::Tu7006, subject(change), message).severity(Severity::Error));
        }
    }
}

/// The lines of each agreement that is written to after the plan, with what is included in each.
pub(crate) type After = BTreeMap<AgreementId, BTreeMap<Target, (AdditionState, Quantity)>>;

/// The lines that a plan leaves.
pub(crate) fn replay(draft: &DraftPlan, world: &World<'_>) -> Result<After, Box<Finding>> {
    let mut after: After = BTreeMap::new();
    for id in draft.agreements_written() {
        let lines = world.snapshot.additions_of(id).iter();
        let lines = lines.map(|a| (Target::Existing(a.id), (a.state.clone(), a.less_included)));
        after.insert(id, lines.collect());
    }
    for change in &draft.changes {
        let Some(lines) = after.get_mut(&change.agreement) else { continue };
        let unseen = || {
            let message =
                format!("{} does not fit what was read: the line is not there as it was seen.", change.id);
            Box::new(Finding::new(Code::Tu7001, subject(change), message).severity(Severity::Error))
        };
        match &change.action {
            Action::Create { wanted } => {
                lines.insert(Target::CreatedBy(change.id.clone()), ((**wanted).clone(), Quantity::ZERO));
            }
            Action::Update { target, before, wanted } | Action::Cancel { target, before, wanted } => {
                let line =
                    lines.get_mut(target).filter(|(state, _)| *state == **before).ok_or_else(unseen)?;
                line.0 = (**wanted).clone();
            }
            Action::Delete { target, before } => {
                lines.remove(target).filter(|(state, _)| *state == **before).ok_or_else(unseen)?;
            }
            Action::Keep { .. } => {}
        }
    }
    Ok(after)
}

/// What the totals say is what the lines add up to, before and after.
fn money_is_conserved(draft: &DraftPlan, world: &World<'_>, after: &After, wrong: &mut Vec<Finding>) {
    let mut sums: BTreeMap<Currency, (Money, Money)> = BTreeMap::new();
    let mut add = || -> Result<(), MoneyError> {
        for (id, lines) in after {
            let Some(agreement) = world.snapshot.agreements.get(id) else { continue };
            let Some(currency) = agreement.currency else { continue };
            let Some(period) = billing::open_period(world.snapshot, agreement) else { continue };
            let bill = |state: &AdditionState, included: Quantity| {
                billing::billed_in(state, included, period, agreement.prorates, currency).map(|b| b.price)
            };
            let sum = sums.entry(currency).or_default();
            for addition in world.snapshot.additions_of(*id) {
                sum.0 = sum.0.plus(bill(&addition.state, addition.less_included)?)?;
            }
            for (state, included) in lines.values() {
                sum.1 = sum.1.plus(bill(state, *included)?)?;
            }
        }
        Ok(())
    };
    if let Err(error) = add() {
        wrong.push(Finding::new(
            Code::Tu6006,
            Subject::default(),
            format!("The plan cannot be summed up: {error}."),
        ));
        return;
    }
    for (currency, (old, new)) in sums {
        let said = draft.totals.by_currency.get(&currency).cloned().unwrap_or_default();
        let differs = said.next_invoice_before != old
            || said.next_invoice_after != new
            || new.minus(old).ok() != Some(said.delta);
        if differs {
            let message = format!(
                "The plan says that the next invoices go from {} to {} {currency}; its lines go from {old} to {new}.",
                said.next_invoice_before, said.next_invoice_after
            );
            wrong.push(Finding::new(Code::Tu6006, Subject::default(), message).severity(Severity::Error));
        }
    }
}
