//! Taking back what plans wrote: restores what was there. What invoices billed since is settled by a line that is billed
//! once, so that all of them come to what they would have without it: no undo changes an invoice that was made.
//!
//! The result is a plan like any other: it is checked, shown, and carried out exactly once.

mod bounded;
mod line;
mod settling;

use super::picture::change_id;
use super::{World, sums};
use crate::billing::PriceAndCost;
use crate::finding::{Code, Finding, Severity, Subject};
use crate::ids::{AdditionId, AgreementId, ChangeId, OrderId, PlanId, SubscriptionId, TaskId};
use crate::money::Quantity;
use crate::period::Period;
use crate::plan::{
    Action, Change, DraftPlan, KeyParts, OperationKey, Role, Target, TaskOutcome, Undoing, edit_key,
};
use crate::psa::AdditionState;
use crate::task::task_id_of_order;
use bounded::TakenBack;
use jiff::civil::Date;
use line::take_back;
use settling::{Owed, settle};
use std::borrow::Cow;
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
    /// Tasks of which nothing in it is to be taken back, though they are meant: that was taken back already.
    pub settled: &'a BTreeSet<TaskId>,
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

/// What becomes of what is to be given back of invoices that were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Credit {
    /// A line gives it back with the next invoice, where credits are on.
    #[default]
    Propose,
    /// It is told with its amount: a person gives it back otherwise.
    LeaveOut,
}

/// What the plans did to one addition, first to last.
struct Effect<'a> {
    addition: AdditionId,
    agreement: AgreementId,
    before: Option<&'a AdditionState>,
    after: Option<&'a AdditionState>,
    /// The changes, oldest first, with the plan of each.
    changes: Vec<(&'a PlanId, &'a Change)>,
    /// The first day that was not invoiced when each of them was planned.
    then: Vec<Option<Date>>,
    /// Changes that are not to be taken back came after one that is.
    covered: Vec<&'a Change>,
    /// It was removed, and that was taken back once its days were over: it is as if it had stayed.
    stayed: bool,
}

impl<'a> Effect<'a> {
    /// Another change came after it. What brings it back to what it was is no obstacle.
    fn cover(&mut self, change: &'a Change) {
        let is_as_left = match (change.action.after(), self.after) {
            (Some(now), Some(left)) => line::bills_alike(now, left),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if is_as_left {
            self.covered.clear();
        } else {
            self.covered.push(change);
        }
    }

    /// An undo took back all that was written for these tasks.
    fn uncover(&mut self, outcomes: &BTreeMap<TaskId, TaskOutcome>) {
        let removed = self.covered.last().is_some_and(|last| last.action.after().is_none());
        self.covered.retain(|change| outcomes.get(&change.task) != Some(&TaskOutcome::Undone));
        self.stayed = removed && self.covered.is_empty();
    }
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
    undoing: Option<Undoing>,
    depends_on: Vec<ChangeId>,
}

impl<'a> Step<'a> {
    /// A step that does to a line of the change what it says, for the change's own order and role.
    fn on(
        (plan, change): (&'a PlanId, &'a Change),
        action: Action,
        amounts: PriceAndCost,
        reason: String,
    ) -> Self {
        Self {
            change,
            plan,
            action,
            role: change.role,
            true_period: None,
            amounts,
            reason,
            formula: String::new(),
            order: change.order.clone(),
            undoing: None,
            depends_on: Vec::new(),
        }
    }
}

/// What taking one addition back comes to: what is written to it, and what invoices made of it since.
#[derive(Default)]
struct Taken<'a> {
    step: Option<Step<'a>>,
    owed: Option<Owed>,
}

/// Plans to take back what `carried` wrote, oldest first. The snapshot must hold the additions of every agreement that
/// they wrote to, whole; `last` tells the plan that wrote to an addition last, as far as that is known. A task of which
/// something cannot be taken back is left alone, with a finding. What invoices billed since is given back, or charged, by
/// a line of its own.
pub fn undo(
    world: &World<'_>,
    carried: &[Carried<'_>],
    extent: &Extent,
    last: &BTreeMap<AdditionId, PlanId>,
    credit: Credit,
) -> DraftPlan {
    let plans: Vec<Cow<'_, DraftPlan>> = carried.iter().map(|of_plan| by_order(of_plan.plan)).collect();
    let effects = effects(carried, &plans, extent);
    let taken: BTreeSet<&PlanId> = effects.iter().flat_map(|e| &e.changes).map(|(plan, _)| *plan).collect();
    let undoes = carried.iter().filter(|c| taken.contains(c.id)).map(|c| c.id.clone()).collect();
    let mut draft = DraftPlan { today: Some(world.today), undoes, ..DraftPlan::default() };
    let silent = silent_tasks(world, &effects, &plans, extent);
    let taken_back = TakenBack::of(&effects, silent.keys().cloned().collect());
    let mut all: Vec<Option<Taken<'_>>> = Vec::with_capacity(effects.len());
    for effect in &effects {
        let writer = last.get(&effect.addition).filter(|id| carried.iter().all(|c| c.id != *id));
        let taken = match taken_back.bounds_others(world, effect) {
            Some(finding) => Err(finding),
            None => take_back(world, effect, writer),
        };
        all.push(match taken {
            Ok(taken) => Some(taken),
            Err(finding) => {
                draft.findings.push(*finding);
                None
            }
        });
    }
    let held = held_tasks(&effects, &mut all);
    let mut owed = Vec::new();
    for (effect, taken) in effects.iter().zip(&mut all).rev() {
        let Some(taken) = taken.take() else { continue };
        let (addition, agreement) = (effect.addition.to_string(), effect.agreement);
        let written = taken.step.map(|step| push(world, &mut draft, (addition, agreement), step));
        owed.extend(taken.owed.map(|of_it| (effect, of_it, written)));
    }
    depend(&effects, &mut draft);
    if let Err(error) = settle(world, &mut draft, owed, credit) {
        let message = format!("What invoices billed cannot be summed up: {error}.");
        let finding = Finding::new(Code::Tu6006, Subject::default(), message).severity(Severity::Error);
        let (today, undoes) = (draft.today, draft.undoes);
        return DraftPlan { today, undoes, findings: vec![finding], ..DraftPlan::default() };
    }
    if !matches!(extent, Extent::Additions(_)) {
        let tasks = effects.iter().flat_map(|e| &e.changes).map(|(_, change)| &change.task);
        let taken = tasks.filter(|task| !held.contains(*task));
        draft.outcomes = taken.map(|task| (task.clone(), TaskOutcome::Undone)).collect();
        // What wrote nothing goes with what was written for its subscription.
        let held: BTreeSet<&SubscriptionId> = effects
            .iter()
            .flat_map(|e| &e.changes)
            .filter(|(_, change)| held.contains(&change.task))
            .map(|(_, change)| &change.subscription)
            .collect();
        let silent = silent.into_iter().filter(|(_, subscription)| !held.contains(subscription));
        draft.outcomes.extend(silent.map(|(task, _)| (task, TaskOutcome::Undone)));
    }
    let after = lines_after(world, &draft);
    let written = sums::of(world, &draft.changes, |agreement| {
        after.get(&agreement).into_iter().flatten().map(|(state, included)| (state, *included)).collect()
    });
    sums::add_up(&mut draft, written);
    draft
}

/// The tasks of the same subscriptions that are taken back as well and wrote nothing: of those that are named, or that the
/// plans carried out, each with its subscription.
fn silent_tasks<'a>(
    world: &World<'_>,
    effects: &[Effect<'a>],
    plans: &[Cow<'_, DraftPlan>],
    extent: &Extent,
) -> BTreeMap<TaskId, &'a SubscriptionId> {
    let is_meant = |task: &TaskId| match extent {
        Extent::Everything => plans.iter().any(|plan| {
            let outcome = plan.outcomes.get(task);
            matches!(outcome, Some(TaskOutcome::Planned | TaskOutcome::NothingToDo))
        }),
        Extent::Tasks(tasks) => tasks.contains(task),
        Extent::Additions(_) => false,
    };
    let mut silent = BTreeMap::new();
    for (_, change) in effects.iter().flat_map(|effect| &effect.changes) {
        for order in world.completed.of(&change.source, &change.subscription) {
            let task = task_id_of_order(&change.source, &order.id);
            if !silent.contains_key(&task) && is_meant(&task) {
                silent.insert(task, &change.subscription);
            }
        }
    }
    let wrote: BTreeSet<&TaskId> =
        effects.iter().flat_map(|effect| &effect.changes).map(|(_, change)| &change.task).collect();
    silent.retain(|task, _| !wrote.contains(task));
    silent
}

/// A plan with each change under the task of its order: what an undo made again, and what it caught up of that, is of the
/// order that sold it, and not of the one that had removed it.
fn by_order(plan: &DraftPlan) -> Cow<'_, DraftPlan> {
    if plan.undoes.is_empty() {
        return Cow::Borrowed(plan);
    }
    let mut plan = plan.clone();
    for change in &mut plan.changes {
        let is_made_again = matches!(change.action, Action::Create { .. })
            && (matches!(change.undoing, Some(Undoing::Again(_))) || change.role == Role::Prorate);
        if let Some(order) = change.order.as_ref().filter(|_| is_made_again) {
            change.task = task_id_of_order(&change.source, order);
        }
    }
    Cow::Owned(plan)
}

fn effects<'a>(carried: &[Carried<'a>], plans: &'a [Cow<'_, DraftPlan>], extent: &Extent) -> Vec<Effect<'a>> {
    let mut effects: Vec<Effect<'a>> = Vec::new();
    let mut places: BTreeMap<AdditionId, usize> = BTreeMap::new();
    for (of_plan, plan) in carried.iter().zip(plans) {
        for change in plan.changes.iter().filter(|c| c.writes()) {
            let sight = plan.sights.get(&change.agreement);
            let invoicer = plan.invoicers.get(&change.agreement);
            let then = invoicer.map_or(sight.and_then(|s| s.next_invoice), |by| by.next_invoice);
            let Some(addition) = of_plan.done.get(&change.id).copied() else { continue };
            let known = places.get(&addition).copied();
            if !extent.holds(change, addition) || of_plan.settled.contains(&change.task) {
                if let Some(effect) = known.and_then(|at| effects.get_mut(at)) {
                    effect.cover(change);
                }
                continue;
            }
            // A line that was removed and made again lives on as the new one.
            if let Some(Undoing::Again(old)) = change.undoing
                && let Some(gone) = places.get(&old).and_then(|at| effects.get_mut(*at))
                && gone.before.is_none()
            {
                gone.changes.clear();
            }
            let at = *places.entry(addition).or_insert(effects.len());
            if at == effects.len() {
                effects.push(Effect {
                    addition,
                    agreement: change.agreement,
                    before: change.action.before(),
                    after: None,
                    changes: Vec::new(),
                    then: Vec::new(),
                    covered: Vec::new(),
                    stayed: false,
                });
            }
            if let Some(effect) = effects.get_mut(at) {
                effect.after = change.action.after();
                effect.changes.push((of_plan.id, change));
                effect.then.push(then);
            }
        }
        let was_finished =
            || plan.changes.iter().filter(|c| c.writes()).all(|c| of_plan.done.contains_key(&c.id));
        if !plan.undoes.is_empty() && was_finished() {
            effects.iter_mut().for_each(|effect| effect.uncover(&plan.outcomes));
        }
    }
    effects.retain(|effect| !effect.changes.is_empty());
    effects
}

/// Where one line of a task cannot be taken back, none of them is: half a task is worth less than a whole one.
fn held_tasks<'a>(effects: &[Effect<'a>], all: &mut [Option<Taken<'a>>]) -> BTreeSet<&'a TaskId> {
    let mut held: BTreeSet<&TaskId> = BTreeSet::new();
    loop {
        let before = held.len();
        for (effect, taken) in effects.iter().zip(&mut *all) {
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

/// Writes a step on an agreement, under the name of the line that its key is made of.
fn push(
    world: &World<'_>,
    draft: &mut DraftPlan,
    (line, agreement): (String, AgreementId),
    step: Step<'_>,
) -> ChangeId {
    let Step { change, plan, action, role, true_period, amounts, .. } = step;
    // Two tasks of one plan may be taken back one after the other, and write to the same lines.
    let order = format!("undo/{plan}/{}", change.task);
    let id = change_id(draft.changes.len());
    let settles = step.undoing == Some(Undoing::Settled) && matches!(action, Action::Create { .. });
    let key: OperationKey = match &action {
        Action::Create { wanted } => KeyParts {
            organization: world.organization,
            source: &change.source,
            order: &order,
            line: &line,
            role,
            period_start: true_period
                .filter(|_| role != Role::Recurring)
                .map_or(wanted.effective, Period::start),
            revision: 0,
        }
        .key(),
        Action::Update { .. } | Action::Cancel { .. } | Action::Delete { .. } | Action::Keep { .. } => {
            edit_key(world.organization, &order, action.op(), &line, "")
        }
    };
    draft.changes.push(Box::new(Change {
        id: id.clone(),
        company: world.snapshot.agreements.get(&agreement).map_or(change.company, |a| a.company),
        action,
        key,
        role,
        order: step.order,
        true_period,
        amount: amounts.price,
        cost: amounts.cost,
        reason: step.reason,
        formula: step.formula,
        depends_on: step.depends_on,
        amended: None,
        undoing: step.undoing,
        // What settles invoices is of no line of an order.
        line: change.line.clone().filter(|_| !settles),
        ..change.clone()
    }));
    id
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
