//! Taking back what was written on one addition: what is restored, what ends, and what is settled.

use super::{Effect, Step};
use crate::billing::{self, PriceAndCost};
use crate::finding::{Code, Finding, Severity, Subject};
use crate::ids::PlanId;
use crate::money::{MoneyError, Quantity};
use crate::period::{Period, previous_day};
use crate::plan::{Action, Change, Role, Target, fields_between};
use crate::planner::World;
use crate::psa::{AdditionState, Agreement, BillFlag, ObservedAddition};

fn subject(effect: &Effect<'_>, change: &Change) -> Subject {
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
fn bills_alike(one: &AdditionState, other: &AdditionState) -> bool {
    one.catalog_item == other.catalog_item
        && one.quantity == other.quantity
        && one.unit_price == other.unit_price
        && one.unit_cost == other.unit_cost
        && one.effective == other.effective
        && one.cancelled == other.cancelled
        && one.bill == other.bill
}

/// What taking one addition back comes to, or why it cannot be taken back.
pub(super) fn take_back<'a>(
    world: &World<'_>,
    effect: &Effect<'a>,
    said: &mut Vec<Finding>,
) -> Result<Vec<Step<'a>>, Box<Finding>> {
    let Some((plan, change)) = effect.changes.last().copied() else { return Ok(Vec::new()) };
    let about = |code: Code, message: String| Box::new(Finding::new(code, subject(effect, change), message));
    let id = effect.addition;
    if let Some(later) = effect.covered {
        let message = format!(
            "Addition {id} was changed again for task {}, which is not to be taken back. Take that one back as well.",
            later.task
        );
        return Err(about(Code::Tu7006, message));
    }
    let Some(agreement) = world.snapshot.agreements.get(&effect.agreement) else {
        let message = format!("Agreement {} of addition {id} is gone.", effect.agreement);
        return Err(about(Code::Tu3003, message));
    };
    let there = world.snapshot.additions_of(agreement.id).iter().find(|a| a.id == id);
    let Some((there, after)) = stands(world, effect, there, about)? else {
        if effect.before.is_none() {
            return Ok(Vec::new());
        }
        return recreate(world, effect, agreement, (plan, change), said)
            .map_err(|e| told(effect, change, &e));
    };
    let invoiced = invoiced_since(world, effect, agreement, &there.state);
    let at = At { world, effect, agreement, plan, change, invoiced };
    at.restore(there, after, said).map_err(|error| told(effect, change, &error))
}

fn told(effect: &Effect<'_>, change: &Change, error: &MoneyError) -> Box<Finding> {
    let message = format!("Addition {} cannot be taken back: {error}.", effect.addition);
    Box::new(Finding::new(Code::Tu6006, subject(effect, change), message).severity(Severity::Error))
}

/// The addition as the plans left it; none where it is gone, as they left it or by a person after they made it.
fn stands<'w, 'a>(
    world: &World<'_>,
    effect: &Effect<'a>,
    there: Option<&'w ObservedAddition>,
    about: impl Fn(Code, String) -> Box<Finding>,
) -> Result<Option<(&'w ObservedAddition, &'a AdditionState)>, Box<Finding>> {
    let id = effect.addition;
    let (there, after) = match (there, effect.after) {
        (None, None) => return Ok(None),
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
    let link = world.links.iter().find(|l| l.addition == id && !l.deleted);
    let written = link.map_or(after, |l| &l.written);
    if !bills_alike(written, after) {
        let message = format!("A later run changed addition {id}. Take that one back first.");
        return Err(about(Code::Tu7006, message));
    }
    let edits = fields_between(written, &there.state, None);
    if edits.is_empty() {
        return Ok(Some((there, after)));
    }
    let fields: Vec<String> = edits
        .iter()
        .map(|edit| {
            let shown = |value: &Option<String>| value.as_deref().unwrap_or("nothing").to_owned();
            format!("{:?} from {} to {}", edit.field, shown(&edit.from), shown(&edit.to))
        })
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
    let then = match effect.then {
        Some(then) => then,
        // Nothing was known of its invoices: then every invoice may have billed it.
        None => state.effective,
    };
    Period::new(then, now).ok()
}

/// The periods of the invoices that billed `days`.
fn invoices(world: &World<'_>, agreement: &Agreement, days: Period) -> Vec<Period> {
    let mut periods = Vec::new();
    let mut day = days.start();
    while day < days.end() {
        let Some(period) = billing::invoice_period(world.snapshot, agreement, day) else { break };
        if period.end() <= day {
            break;
        }
        periods.push(period);
        day = period.end();
    }
    periods
}

/// One effect at its place.
struct At<'w, 'a> {
    world: &'w World<'w>,
    effect: &'w Effect<'a>,
    agreement: &'w Agreement,
    plan: &'a PlanId,
    change: &'a Change,
    invoiced: Option<Period>,
}

impl<'a> At<'_, 'a> {
    fn restore(
        &self,
        there: &ObservedAddition,
        after: &AdditionState,
        said: &mut Vec<Finding>,
    ) -> Result<Vec<Step<'a>>, MoneyError> {
        let target = Target::Existing(self.effect.addition);
        let seen = there.state.clone();
        let action = match (self.effect.before, self.invoiced) {
            (None, None) => Some(Action::Delete { target, before: seen }),
            (None, Some(days)) => {
                let last = previous_day(days.end()).max(seen.effective);
                let open = seen.cancelled.is_none_or(|at| at > last);
                let wanted = AdditionState { cancelled: Some(last), ..seen.clone() };
                open.then_some(Action::Cancel { target, before: seen, wanted })
            }
            (Some(before), _) => {
                let differs = !fields_between(&seen, before, None).is_empty();
                let wanted = before.clone();
                differs.then_some(Action::Update { target, before: seen, wanted })
            }
        };
        let mut steps = Vec::new();
        if let Some(action) = action {
            let amounts = self.on_next_invoice(&action, there.less_included)?;
            let reason = match (&action, self.invoiced) {
                (Action::Cancel { .. }, Some(days)) => format!(
                    "Undo of plan {}: invoices up to {} billed the line, so that it ends there.",
                    self.plan,
                    previous_day(days.end())
                ),
                (Action::Delete { .. }, _) => {
                    format!("Undo of plan {}: no invoice has billed the line, so that it goes.", self.plan)
                }
                _ => format!("Undo of plan {}: the line is as it was before.", self.plan), // open set: the rest is restored
            };
            steps.push(self.step(action, self.change.role, None, amounts, reason, String::new()));
        }
        if let Some(days) = self.invoiced {
            steps.extend(self.settle(days, self.effect.before, Some(after), there.less_included, said)?);
        }
        Ok(steps)
    }

    fn step(
        &self,
        action: Action,
        role: Role,
        true_period: Option<Period>,
        amounts: PriceAndCost,
        reason: String,
        formula: String,
    ) -> Step<'a> {
        let (plan, change) = (self.plan, self.change);
        let order = change.order.clone();
        Step { change, plan, action, role, true_period, amounts, reason, formula, order, beside: false }
    }

    fn bill(
        &self,
        state: &AdditionState,
        less: Quantity,
        period: Period,
    ) -> Result<PriceAndCost, MoneyError> {
        billing::billed_in(state, less, period, self.agreement.prorates, self.change.currency)
    }

    fn on_next_invoice(&self, action: &Action, less: Quantity) -> Result<PriceAndCost, MoneyError> {
        let Some(open) = billing::open_period(self.world.snapshot, self.agreement) else {
            return Ok(PriceAndCost::default());
        };
        let of = |state: Option<&AdditionState>| {
            state.map_or(Ok(PriceAndCost::default()), |state| self.bill(state, less, open))
        };
        of(action.after())?.minus(of(action.before())?)
    }

    /// Settles what the invoices of `days` billed with the line as it was left, against what they would have billed with
    /// the line as it had been: a credit, or a charge.
    fn settle(
        &self,
        days: Period,
        before: Option<&AdditionState>,
        after: Option<&AdditionState>,
        less: Quantity,
        said: &mut Vec<Finding>,
    ) -> Result<Option<Step<'a>>, MoneyError> {
        let mut sum = PriceAndCost::default();
        let mut parts = Vec::new();
        let currency = self.change.currency;
        for period in invoices(self.world, self.agreement, days) {
            let of = |state: Option<&AdditionState>| {
                state.map_or(Ok(PriceAndCost::default()), |state| self.bill(state, less, period))
            };
            let (was, would_be) = (of(after)?, of(before)?);
            let differs = would_be.minus(was)?;
            if differs != PriceAndCost::default() {
                let (was, would_be) = (was.price.display(currency), would_be.price.display(currency));
                parts.push(format!("{period}: {would_be} - {was}"));
                sum = sum.plus(differs)?;
            }
        }
        if sum == PriceAndCost::default() {
            return Ok(None);
        }
        let credit = sum.price.decimal().is_sign_negative();
        let amount = sum.price.display(currency);
        let id = self.effect.addition;
        let subject = subject(self.effect, self.change);
        let open = billing::open_period(self.world.snapshot, self.agreement);
        let wanted = open.filter(|_| !credit || self.world.settings.credits.is_on());
        let Some(open) = wanted else {
            let message = format!(
                "The invoices of {days} billed addition {id}; taking it back would give {amount} {currency}, which is \
                 left out: {}.",
                if open.is_some() { "credits are off" } else { "the agreement has no next invoice" }
            );
            said.push(Finding::new(Code::Tu6005, subject, message).amount(sum.price, currency));
            return Ok(None);
        };
        let what = if credit { "a credit" } else { "a charge" };
        let message = format!(
            "The invoices of {days} billed addition {id} already: {what} of {amount} {currency} is proposed for {open}."
        );
        said.push(
            Finding::new(Code::Tu4002, subject, message)
                .severity(Severity::Warning)
                .amount(sum.price, currency),
        );
        let Some(like) = after.or(before) else { return Ok(None) };
        let state = AdditionState {
            quantity: Quantity::from(1),
            unit_price: sum.price,
            unit_cost: sum.cost,
            effective: open.start(),
            cancelled: Some(open.last_day()),
            bill: BillFlag::Billable,
            description: None,
            invoice_description: Some(format!("Correction ({days})")),
            ..like.clone()
        };
        let role = if credit { Role::Refund } else { Role::OneTime };
        let reason = format!("Undo of plan {}: {what} for the invoices of {days}.", self.plan);
        let formula = format!("{} = {amount}", parts.join("; "));
        let create = Action::Create { wanted: state };
        Ok(Some(Step { beside: true, ..self.step(create, role, Some(days), sum, reason, formula) }))
    }
}

/// Makes a line again that the plans removed: nothing of it had been billed then.
fn recreate<'a>(
    world: &World<'_>,
    effect: &Effect<'a>,
    agreement: &Agreement,
    (plan, change): (&'a PlanId, &'a Change),
    said: &mut Vec<Finding>,
) -> Result<Vec<Step<'a>>, MoneyError> {
    let Some(before) = effect.before else { return Ok(Vec::new()) };
    let invoiced = invoiced_since(world, effect, agreement, before);
    let at = At { world, effect, agreement, plan, change, invoiced };
    let mut wanted = before.clone();
    // It is still the line of the order that made it, not of the one that removed it.
    let link = world.links.iter().find(|l| l.addition == effect.addition);
    let mut true_period = link.map_or(change.true_period, |l| l.true_period);
    let role = link.map_or(change.role, |l| l.role);
    let mut steps = Vec::new();
    match (invoiced, before.cancelled, billing::open_period(world.snapshot, agreement)) {
        (None, _, _) => {}
        // What is billed once moves whole to the open period and says its own days.
        (Some(_), Some(last), Some(open)) if last < open.start() => {
            true_period = true_period.or(Period::new(before.effective, crate::period::next_day(last)).ok());
            (wanted.effective, wanted.cancelled) = (open.start(), Some(open.last_day()));
        }
        (Some(days), _, _) => {
            wanted.effective = days.end();
            steps.extend(at.settle(days, Some(before), None, Quantity::ZERO, said)?);
        }
    }
    let amounts = billing::extended(&wanted, Quantity::ZERO, change.currency)?;
    let reason = format!("Undo of plan {plan}: the line that it removed is there again.");
    let again = at.step(Action::Create { wanted }, role, true_period, amounts, reason, String::new());
    steps.insert(0, Step { order: link.and_then(|l| l.order.clone()), ..again });
    Ok(steps)
}
