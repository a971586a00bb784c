//! Taking back what was written on one addition: what is restored, what ends, and what is settled.

use super::settling::{Unsettled, owed};
use super::{Effect, Step, Taken};
use crate::billing::{self, PriceAndCost};
use crate::finding::{Code, Finding, Severity, Subject};
use crate::ids::PlanId;
use crate::money::{MoneyError, Quantity};
use crate::period::{Period, next_day, previous_day};
use crate::plan::{Action, Change, Role, Target, Undoing, fields_between};
use crate::planner::World;
use crate::psa::{AdditionState, Agreement, ObservedAddition};

pub(super) fn subject(effect: &Effect<'_>, change: &Change) -> Subject {
    Subject {
        task: Some(change.task.clone()),
        source: Some(change.source.clone()),
        customer: Some(change.customer.clone()),
        subscription: Some(change.subscription.clone()),
        product: Some(change.product.clone()),
        agreement: Some(effect.agreement),
        addition: Some(effect.addition),
        ..Subject::default()
    }
}

/// What matters for money; texts may have been put in another form by ConnectWise.
pub(super) fn bills_alike(one: &AdditionState, other: &AdditionState) -> bool {
    one.catalog_item == other.catalog_item
        && one.quantity == other.quantity
        && one.unit_price == other.unit_price
        && one.unit_cost == other.unit_cost
        && one.effective == other.effective
        && one.cancelled == other.cancelled
        && one.bill == other.bill
}

/// What taking one addition back comes to (nothing where it is gone already), or why it cannot be taken back. `writer` is
/// the plan that wrote to it last, where that is none of those that are taken back.
pub(super) fn take_back<'a>(
    world: &World<'_>,
    effect: &Effect<'a>,
    writer: Option<&PlanId>,
) -> Result<Taken<'a>, Box<Finding>> {
    let Some((plan, change)) = effect.changes.last().copied() else { return Ok(Taken::default()) };
    let about = |code: Code, message: String| {
        Box::new(Finding::new(code, subject(effect, change), message).severity(Severity::Error))
    };
    let id = effect.addition;
    if let Some(later) = effect.covered.last() {
        let message = format!(
            "Addition {id} was changed again for task {}, which is not to be taken back. Take that one back as well.",
            later.task
        );
        return Err(about(Code::Tu7006, message));
    }
    if let Some(writer) = writer {
        let message = format!(
            "Plan {writer} wrote to addition {id} after plan {plan}. Where it changed it, take that one back first; where \
             it took it back, there is nothing left of it."
        );
        return Err(about(Code::Tu7006, message));
    }
    let Some(agreement) = world.snapshot.agreements.get(&effect.agreement) else {
        let message = format!("Agreement {} of addition {id} is gone.", effect.agreement);
        return Err(about(Code::Tu3003, message));
    };
    let there = world.snapshot.additions_of(agreement.id).iter().find(|a| a.id == id);
    if let (None, None, Some(after), true) = (there, effect.before, effect.after, effect.stayed) {
        return as_if_it_stayed(world, effect, agreement, after);
    }
    let there = stands(world, effect, there, about)?;
    let state = match (there, effect.before) {
        (Some(there), _) => &there.state,
        (None, Some(before)) => before,
        (None, None) => return Ok(Taken::default()),
    };
    let invoiced = invoiced_since(world, effect, agreement, state);
    let owed = match invoiced {
        Some(days) => {
            if ends_inside(world, effect, there, days) {
                let why = "it would end within them again, and credits are off";
                return Err(billed(effect, change, days, &Unsettled { why, amount: None }));
            }
            owed(world, effect, agreement, there, days, change.currency)
                .map_err(|why| billed(effect, change, days, &why))?
        }
        None => None,
    };
    let step = match (there, invoiced) {
        (Some(there), Some(days)) if effect.before.is_none() => {
            end(world, effect, agreement, plan, change, (there, days))
        }
        (Some(there), _) => restore(world, effect, agreement, plan, change, there),
        (None, _) => recreate(world, effect, plan, change, invoiced),
    };
    let step = step.map_err(|error| told(effect, change, &error))?;
    Ok(Taken { step, owed })
}

/// A line that another order removed: taking that one back settled what invoices would have billed of it, so that what it
/// bills is given back as if it were there.
fn as_if_it_stayed<'a>(
    world: &World<'_>,
    effect: &Effect<'a>,
    agreement: &Agreement,
    after: &AdditionState,
) -> Result<Taken<'a>, Box<Finding>> {
    let Some((_, change)) = effect.changes.last().copied() else { return Ok(Taken::default()) };
    let Some(days) = invoiced_since(world, effect, agreement, after) else { return Ok(Taken::default()) };
    let stayed = ObservedAddition {
        id: effect.addition,
        agreement: agreement.id,
        state: after.clone(),
        less_included: Quantity::ZERO,
        marker: None,
        last_updated: None,
    };
    let owed = owed(world, effect, agreement, Some(&stayed), days, change.currency)
        .map_err(|why| billed(effect, change, days, &why))?;
    Ok(Taken { step: None, owed })
}

/// Whether what is restored has an end among the invoiced days, where no line may be given one.
fn ends_inside(
    world: &World<'_>,
    effect: &Effect<'_>,
    there: Option<&ObservedAddition>,
    invoiced: Period,
) -> bool {
    let (Some(there), Some(last)) = (there, effect.before.and_then(|state| state.cancelled)) else {
        return false;
    };
    let shortens = there.state.cancelled.is_none_or(|now| now > last);
    shortens && next_day(last) < invoiced.end() && !world.settings.credits.is_on()
}

fn told(effect: &Effect<'_>, change: &Change, error: &MoneyError) -> Box<Finding> {
    let message = format!("Addition {} cannot be taken back: {error}.", effect.addition);
    Box::new(Finding::new(Code::Tu6006, subject(effect, change), message).severity(Severity::Error))
}

/// The addition as the plans left it; none where it is gone, as they left it or by a person after they made it.
fn stands<'w>(
    world: &World<'_>,
    effect: &Effect<'_>,
    there: Option<&'w ObservedAddition>,
    about: impl Fn(Code, String) -> Box<Finding>,
) -> Result<Option<&'w ObservedAddition>, Box<Finding>> {
    let id = effect.addition;
    let link = world.links.iter().find(|l| l.addition == id);
    let (there, after) = match (there, effect.after) {
        (None, None) => return Ok(None),
        (None, Some(_)) if link.is_some_and(|l| l.deleted) => {
            let message = format!("A later run removed addition {id}. Take that one back first.");
            return Err(about(Code::Tu7006, message));
        }
        // Made by the plan and removed by a person: it is as if it had been taken back.
        (None, Some(_)) if effect.before.is_none() => return Ok(None),
        (None, Some(_)) => {
            let message = format!("Addition {id} is not in ConnectWise any more: a person removed it.");
            return Err(about(Code::Tu3008, message));
        }
        (Some(_), None) => {
            let message = format!("Addition {id} was removed by trueup and is there again.");
            return Err(about(Code::Tu7002, message));
        }
        (Some(there), Some(after)) => (there, after),
    };
    let written = link.filter(|l| !l.deleted).map_or(after, |l| &l.written);
    if !bills_alike(written, after) {
        let message = format!("A later run changed addition {id}. Take that one back first.");
        return Err(about(Code::Tu7006, message));
    }
    let edits = fields_between(written, &there.state, None);
    // A line that trueup made includes nothing: what is included in it now bills less.
    let included =
        Some(there.less_included).filter(|n| !n.is_zero() && link.is_some_and(|l| l.key.is_some()));
    if edits.is_empty() && included.is_none() {
        return Ok(Some(there));
    }
    let included = included.map(|n| format!("LessIncluded from nothing to {}", n.shown()));
    let fields: Vec<String> = edits
        .iter()
        .map(|edit| {
            let shown = |value: &Option<String>| value.as_deref().unwrap_or("nothing").to_owned();
            format!("{:?} from {} to {}", edit.field, shown(&edit.from), shown(&edit.to))
        })
        .chain(included)
        .collect();
    let message = format!(
        "A person changed addition {id} after trueup wrote it ({}): it is left as it is.",
        fields.join(", ")
    );
    Err(about(Code::Tu7002, message))
}

/// The days that were invoiced since the plans were made, and with the addition on the invoices.
fn invoiced_since(
    world: &World<'_>,
    effect: &Effect<'_>,
    agreement: &Agreement,
    state: &AdditionState,
) -> Option<Period> {
    let billed_by = world.snapshot.invoicing_agreement(agreement);
    let now = billed_by.next_invoice?;
    if state.effective >= now {
        return None;
    }
    let then = match effect.then.first().copied().flatten() {
        Some(then) => then,
        // Nothing was known of its invoices: then every invoice may have billed it.
        None => state.effective,
    };
    Period::new(then, now).ok()
}

/// What keeps a line whose invoices cannot be settled: what a credit for it comes to is said where it can be told.
fn billed(effect: &Effect<'_>, change: &Change, days: Period, why: &Unsettled) -> Box<Finding> {
    let message = format!(
        "Invoices of {days} billed addition {} as it was written, and {}: it is left as it is, with everything else of its \
         task.",
        effect.addition, why.why
    );
    let finding = Finding::new(Code::Tu4002, subject(effect, change), message).severity(Severity::Error).fix(
        "Bring the correction in as an order (a change, a cancellation), or credit it by hand: an undo changes no invoice \
         that was made.",
    );
    Box::new(match why.amount {
        Some(amount) => finding.amount(amount, change.currency),
        None => finding,
    })
}

/// Whether an order edited the line in place, which is remembered of it.
fn is_edit(change: &Change) -> bool {
    matches!(change.action, Action::Update { .. }) && change.true_period.is_some()
}

fn restore<'a>(
    world: &World<'_>,
    effect: &Effect<'a>,
    agreement: &Agreement,
    plan: &'a PlanId,
    change: &'a Change,
    there: &ObservedAddition,
) -> Result<Option<Step<'a>>, MoneyError> {
    let target = Target::Existing(effect.addition);
    let seen = there.state.clone();
    let (action, reason) = match effect.before {
        None => (
            Action::Delete { target, before: seen.into() },
            format!("Undo of plan {plan}: no invoice has billed the line, so that it goes."),
        ),
        // Edits that came to nothing are forgotten by an edit that changes nothing.
        Some(before)
            if fields_between(&seen, before, None).is_empty()
                && !effect.changes.iter().any(|(_, change)| is_edit(change)) =>
        {
            return Ok(None);
        }
        Some(before) => (
            Action::Update { target, before: seen.into(), wanted: before.clone().into() },
            format!("Undo of plan {plan}: the line is as it was before."),
        ),
    };
    let amounts = in_the_open_period(world, agreement, change, there, &action)?;
    // What edits in place told of their states goes with them.
    let first = effect.changes.iter().map(|(_, change)| *change).find(|change| is_edit(change));
    let first = first.filter(|_| matches!(action, Action::Update { .. }));
    let true_period = first.and_then(|edit| edit.true_period);
    // A line that goes is known as undone by the name of the order that made it.
    let made = effect.changes.first().map(|(_, change)| *change);
    let made = made.filter(|_| matches!(action, Action::Delete { .. }));
    let order = first.or(made).unwrap_or(change).order.clone();
    let step = Step::on((plan, change), action, amounts, reason);
    Ok(Some(Step { true_period, order, ..step }))
}

/// Ends a line that was made and that invoices have billed: from the next one on it bills nothing, and it is no order's.
fn end<'a>(
    world: &World<'_>,
    effect: &Effect<'a>,
    agreement: &Agreement,
    plan: &'a PlanId,
    change: &'a Change,
    (there, invoiced): (&ObservedAddition, Period),
) -> Result<Option<Step<'a>>, MoneyError> {
    let target = Target::Existing(effect.addition);
    let (seen, last) = (there.state.clone(), previous_day(invoiced.end()));
    let goes_on = seen.cancelled.is_none_or(|now| now > last);
    let (action, reason) = if goes_on {
        let wanted = AdditionState { cancelled: Some(last), ..seen.clone() };
        (
            Action::Cancel { target, before: seen.into(), wanted: wanted.into() },
            format!("Undo of plan {plan}: invoices billed the line up to {last}, and it ends there."),
        )
    } else {
        // That it is no order's any more is all there is to write.
        (
            Action::Update { target, before: seen.clone().into(), wanted: seen.into() },
            format!("Undo of plan {plan}: what invoices billed of the line is settled."),
        )
    };
    let amounts = in_the_open_period(world, agreement, change, there, &action)?;
    let step = Step::on((plan, change), action, amounts, reason);
    Ok(Some(Step { undoing: Some(Undoing::Settled), ..step }))
}

/// What a change of a line that is there adds to the next invoice.
fn in_the_open_period(
    world: &World<'_>,
    agreement: &Agreement,
    change: &Change,
    there: &ObservedAddition,
    action: &Action,
) -> Result<PriceAndCost, MoneyError> {
    let Some(open) = billing::open_period(world.snapshot, agreement) else {
        return Ok(PriceAndCost::default());
    };
    let of = |state: Option<&AdditionState>| match state {
        Some(state) => {
            billing::billed_in(state, there.less_included, open, agreement.prorates, change.currency)
        }
        None => Ok(PriceAndCost::default()),
    };
    of(action.after())?.minus(of(action.before())?)
}

/// Makes a line again that the plans removed: nothing of it had been billed then. Days of it that were invoiced since are
/// settled once, and it begins with the first that was not.
fn recreate<'a>(
    world: &World<'_>,
    effect: &Effect<'a>,
    plan: &'a PlanId,
    change: &'a Change,
    invoiced: Option<Period>,
) -> Result<Option<Step<'a>>, MoneyError> {
    let Some(before) = effect.before else { return Ok(None) };
    // It is still the line of the order that made it, not of the one that removed it.
    let link = world.links.iter().find(|l| l.addition == effect.addition);
    let (role, mut true_period) = link.map_or((change.role, change.true_period), |l| (l.role, l.true_period));
    let mut wanted = before.clone();
    if let Some(days) = invoiced.filter(|days| before.effective < days.end()) {
        let is_over = before.cancelled.is_some_and(|last| last < days.end());
        if is_over || !matches!(role, Role::Recurring | Role::Quantity) {
            return Ok(None);
        }
        let since = true_period.map_or(before.effective, |days| days.start().min(before.effective));
        true_period = Period::new(since, days.end()).ok();
        wanted.effective = days.end();
    }
    let amounts = billing::extended(&wanted, Quantity::ZERO, change.currency)?;
    let reason = format!("Undo of plan {plan}: the line that it removed is there again.");
    let step = Step::on((plan, change), Action::Create { wanted: wanted.into() }, amounts, reason);
    Ok(Some(Step {
        role,
        true_period,
        order: link.and_then(|l| l.order.clone()),
        undoing: Some(Undoing::Again(effect.addition)),
        ..step
    }))
}
