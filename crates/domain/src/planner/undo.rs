//! Taking back what plans wrote: restores what was there where no invoice has billed it since; else it ends or restores
//! the line from the next invoice on and proposes a credit (or a charge) for what was billed differently.
//!
//! The result is a plan like any other: it is checked, shown, and carried out exactly once.

use super::World;
use super::picture::change_id;
use super::sums;
use crate::billing::{self, PriceAndCost};
use crate::finding::{Code, Finding, Severity, Subject};
use crate::ids::{AdditionId, AgreementId, ChangeId, OrderId, PlanId, TaskId};
use crate::money::{MoneyError, Quantity};
use crate::period::{Period, previous_day};
use crate::plan::{
    Action, Change, DraftPlan, KeyParts, OperationKey, Role, Target, TaskOutcome, edit_key, fields_between,
};
use crate::psa::{AdditionState, Agreement, BillFlag, ObservedAddition};
use jiff::civil::Date;
use std::collections::{BTreeMap, BTreeSet};

/// A plan that was carried out, and how far.
#[derive(Clone, Copy, Debug)]
pub struct Carried<'a> {
    /// Its id.
    pub id: &'a PlanId,
    /// What it wanted.
    pub plan: &'a DraftPlan,
    /// The changes that were carried out, with the addition that each worked on.
    pub done: &'a BTreeMap<ChangeId, AdditionId>,
}

/// What is to be taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Everything that the plans wrote.
    Everything,
    /// What they wrote for these tasks.
    Tasks(BTreeSet<TaskId>),
    /// What they wrote on these additions; their tasks stay done.
    Additions(BTreeSet<AdditionId>),
}

impl Extent {
    fn holds(&self, change: &Change, addition: AdditionId) -> bool {
        match self {
            Self::Everything => true,
            Self::Tasks(tasks) => tasks.contains(&change.task),
            Self::Additions(additions) => additions.contains(&addition),
        }
    }
}

/// What the plans did to one addition, first to last.
struct Effect<'a> {
    addition: AdditionId,
    agreement: AgreementId,
    before: Option<&'a AdditionState>,
    after: Option<&'a AdditionState>,
    /// The changes, oldest first, with the plan of each.
    changes: Vec<(&'a PlanId, &'a Change)>,
    /// The first day that was not invoiced when the first of them was planned.
    then: Option<Date>,
    /// A change that is not to be taken back came after one that is.
    covered: Option<&'a Change>,
}

/// What one effect comes to.
struct Step<'a> {
    change: &'a Change,
    plan: &'a PlanId,
    action: Action,
    role: Role,
    true_period: Option<Period>,
    amounts: PriceAndCost,
    reason: String,
    formula: String,
    order: Option<OrderId>,
    /// Whether it is the line of money beside the one that is restored.
    beside: bool,
}

/// Plans to take back what `carried` wrote, oldest first. The snapshot must hold the additions of every agreement that
/// they wrote to, whole. A task of which something cannot be taken back is left alone, with a finding.
pub fn undo(world: &World<'_>, carried: &[Carried<'_>], extent: &Extent) -> DraftPlan {
    let effects = effects(carried, extent);
    let mut draft = DraftPlan { today: Some(world.today), ..DraftPlan::default() };
    let mut steps: Vec<Option<Vec<Step<'_>>>> = Vec::with_capacity(effects.len());
    let mut notes: Vec<Vec<Finding>> = Vec::with_capacity(effects.len());
    for effect in &effects {
        let mut said = Vec::new();
        let taken = take_back(world, effect, &mut said);
        notes.push(said);
        steps.push(match taken {
            Ok(taken) => Some(taken),
            Err(finding) => {
                draft.findings.push(*finding);
                None
            }
        });
    }
    let held = held_tasks(&effects, &mut steps);
    for (place, effect) in effects.iter().enumerate().rev() {
        let Some(taken) = steps[place].take() else { continue };
        draft.findings.append(&mut notes[place]);
        for step in taken {
            push(world, &mut draft, effect, step);
        }
    }
    depend(&effects, &mut draft);
    if !matches!(extent, Extent::Additions(_)) {
        let tasks = effects.iter().flat_map(|e| &e.changes).map(|(_, change)| &change.task);
        let taken = tasks.filter(|task| !held.contains(*task));
        draft.outcomes = taken.map(|task| (task.clone(), TaskOutcome::Undone)).collect();
    }
    let after = lines_after(world, &draft);
    let written = sums::of(world, &draft.changes, |agreement| {
        after.get(&agreement).into_iter().flatten().map(|(state, included)| (state, *included)).collect()
    });
    sums::add_up(&mut draft, written);
    draft
}

fn effects<'a>(carried: &[Carried<'a>], extent: &Extent) -> Vec<Effect<'a>> {
    let mut effects: Vec<Effect<'a>> = Vec::new();
    let mut places: BTreeMap<AdditionId, usize> = BTreeMap::new();
    for of_plan in carried {
        for change in of_plan.plan.changes.iter().filter(|c| c.writes()) {
            let Some(addition) = of_plan.done.get(&change.id).copied() else { continue };
            let known = places.get(&addition).copied();
            if !extent.holds(change, addition) {
                if let Some(effect) = known.and_then(|at| effects.get_mut(at)) {
                    effect.covered = Some(change);
                }
                continue;
            }
            let at = *places.entry(addition).or_insert(effects.len());
            if at == effects.len() {
                let sight = of_plan.plan.sights.get(&change.agreement);
                let invoicer = of_plan.plan.invoicers.get(&change.agreement);
                effects.push(Effect {
                    addition,
                    agreement: change.agreement,
                    before: change.action.before(),
                    after: None,
                    changes: Vec::new(),
                    then: invoicer.map_or(sight.and_then(|s| s.next_invoice), |by| by.next_invoice),
                    covered: None,
                });
            }
            if let Some(effect) = effects.get_mut(at) {
                effect.after = change.action.after();
                effect.changes.push((of_plan.id, change));
            }
        }
    }
    effects
}

/// Where one line of a task cannot be taken back, none of them is: half a task is worth less than a whole one.
fn held_tasks<'a>(effects: &[Effect<'a>], steps: &mut [Option<Vec<Step<'a>>>]) -> BTreeSet<&'a TaskId> {
    let mut held: BTreeSet<&TaskId> = BTreeSet::new();
    loop {
        let before = held.len();
        for (effect, taken) in effects.iter().zip(&mut *steps) {
            let touches = effect.changes.iter().any(|(_, change)| held.contains(&change.task));
            if taken.is_none() || touches {
                *taken = None;
                held.extend(effect.changes.iter().map(|(_, change)| &change.task));
            }
        }
        if held.len() == before {
            return held;
        }
    }
}

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

fn take_back<'a>(
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

fn push(world: &World<'_>, draft: &mut DraftPlan, effect: &Effect<'_>, step: Step<'_>) {
    let Step { change, plan, action, role, true_period, amounts, reason, formula, order: made_by, beside } =
        step;
    let order = format!("undo/{plan}");
    let line = format!("{}{}", effect.addition, if beside { "/settled" } else { "" });
    let key: OperationKey = match &action {
        Action::Create { wanted } => KeyParts {
            organization: world.organization,
            source: &change.source,
            order: &order,
            line: &line,
            role,
            period_start: wanted.effective,
            revision: 0,
        }
        .key(),
        Action::Update { .. } | Action::Cancel { .. } | Action::Delete { .. } | Action::Keep { .. } => {
            edit_key(world.organization, &order, action.op(), &effect.addition.to_string(), &line)
        }
    };
    draft.changes.push(Change {
        id: change_id(draft.changes.len()),
        action,
        key,
        role,
        order: made_by,
        true_period,
        amount: amounts.price,
        cost: amounts.cost,
        reason,
        formula,
        depends_on: Vec::new(),
        ..change.clone()
    });
}

/// What came first goes last: where a change needed another one, taking that other one back needs the first one gone.
fn depend(effects: &[Effect<'_>], draft: &mut DraftPlan) {
    let mut maker: BTreeMap<(&PlanId, &ChangeId), AdditionId> = BTreeMap::new();
    for effect in effects {
        for (plan, change) in &effect.changes {
            maker.insert((plan, &change.id), effect.addition);
        }
    }
    // The place of the change that takes an addition back: existing lines are named by their target alone.
    let mut places: BTreeMap<AdditionId, usize> = BTreeMap::new();
    for (place, change) in draft.changes.iter().enumerate() {
        if let Some(Target::Existing(id)) = change.action.target() {
            places.insert(*id, place);
        }
    }
    for effect in effects {
        for (plan, change) in &effect.changes {
            for needed in &change.depends_on {
                let first = places.get(&effect.addition).copied();
                let last = maker.get(&(*plan, needed)).and_then(|id| places.get(id)).copied();
                let (Some(first), Some(last)) = (first, last) else { continue };
                if first < last {
                    let id = change_id(first);
                    if let Some(change) = draft.changes.get_mut(last).filter(|c| !c.depends_on.contains(&id))
                    {
                        change.depends_on.push(id);
                    }
                }
            }
        }
    }
}

/// The lines of the agreements that are written to, as the plan leaves them.
fn lines_after(
    world: &World<'_>,
    draft: &DraftPlan,
) -> BTreeMap<AgreementId, Vec<(AdditionState, Quantity)>> {
    let mut after = BTreeMap::new();
    for agreement in draft.agreements_written() {
        let mut lines: BTreeMap<AdditionId, (AdditionState, Quantity)> = world
            .snapshot
            .additions_of(agreement)
            .iter()
            .map(|a| (a.id, (a.state.clone(), a.less_included)))
            .collect();
        let mut made = Vec::new();
        for change in draft.changes.iter().filter(|c| c.agreement == agreement) {
            match (change.action.target(), change.action.after()) {
                (Some(Target::Existing(id)), Some(state)) => {
                    if let Some(line) = lines.get_mut(id) {
                        line.0 = state.clone();
                    }
                }
                (Some(Target::Existing(id)), None) => {
                    lines.remove(id);
                }
                (None, Some(state)) => made.push((state.clone(), Quantity::ZERO)),
                (Some(Target::CreatedBy(_)), _) | (None, None) => {}
            }
        }
        after.insert(agreement, lines.into_values().chain(made).collect());
    }
    after
}
