//! Planning tasks one after the other on one picture.

use super::builder::Builder;
use super::context::{Context, Stop};
use super::groups::{Division, Groups};
use super::index::{Index, SubscriptionNo};
use super::mark::{Mark, Step};
use super::picture::{Line, Picture};
use super::sums::{self, Written};
use super::{
    TaskInput, World, cancellation, change, fetch, late, moving, over, quantity, reconcile, replayed, sales,
    term, transfer, unbilled, usage,
};
use crate::feed::{Order, OrderKind};
use crate::finding::{Code, Finding, Severity, Subject};
use crate::ids::AgreementId;
use crate::plan::{DraftPlan, Role, Target, TaskOutcome};
use crate::task::{Demand, Task};
use hashbrown::HashMap;
use std::ops::Range;

/// Agreements of others that a group looked at.
#[derive(Debug)]
pub struct Stray {
    /// The member under which the group is found.
    pub top: usize,
    /// The agreements.
    pub agreements: Vec<AgreementId>,
}

/// What groups of tasks give that are planned one after the other.
#[derive(Debug, Default)]
pub struct Part {
    /// One step a task.
    pub steps: Vec<Step>,
    /// Changes, findings, adoptions and choices of all of them; the ids of the changes count within the part.
    pub draft: DraftPlan,
    /// The agreements that it writes to.
    pub written: Vec<Written>,
    /// Groups that looked beyond their own agreements: what they gave does not count.
    pub strays: Vec<Stray>,
}

impl Part {
    /// What some of the groups give.
    pub fn of<'a>(
        world: &'a World<'a>,
        index: &'a Index<'a>,
        groups: &Groups,
        division: &Division,
        some: Range<usize>,
        tasks: &[TaskInput<'a>],
    ) -> Self {
        let mut part = Self::default();
        // Most changes of a quantity give three changes. Room for all of them costs nothing until it is used, and large
        // lists need not be moved as they grow.
        let expected: usize = some.clone().map(|group| division.tasks_of(group).len()).sum();
        part.draft.changes.reserve(3 * expected);
        part.steps.reserve(expected);
        part.written.reserve(some.len());
        let mut picture = Picture::new(world, index);
        for group in some.clone() {
            if (group - some.start).is_multiple_of(fetch::GROUPS) {
                fetch::read(
                    world,
                    index,
                    tasks,
                    division.tasks_of_all(group..some.end.min(group + fetch::GROUPS)),
                );
            }
            part.plan_group(world, index, division.tasks_of(group), tasks, &mut picture);
            let top = division.top_of(group);
            // Nearly all that is opened is where the first task's subscription has its lines.
            let homes = || division.tasks_of(group).first().map(|place| index.subscription_of(*place));
            let is_home =
                |id: AgreementId| homes().is_some_and(|of| index.homes_of(of).any(|home| home == id));
            let is_own = |id: &AgreementId| is_home(*id) || groups.holds(world, top, *id);
            let agreements: Vec<_> = picture.opened().filter(|id| !is_own(id)).collect();
            if !agreements.is_empty() {
                part.strays.push(Stray { top, agreements });
            }
            picture.close();
        }
        part
    }

    /// Plans the tasks of one group in their order.
    fn plan_group<'a>(
        &mut self,
        world: &'a World<'a>,
        index: &'a Index<'a>,
        places: &[usize],
        tasks: &[TaskInput<'a>],
        picture: &mut Picture<'a>,
    ) {
        let mut held: HashMap<SubscriptionNo, &Task> = HashMap::new();
        let first = self.draft.changes.len();
        for place in places {
            let (input, subscription) = (tasks[*place], index.subscription_of(*place));
            let before = Mark::of(&self.draft);
            let outcome = match held.get(&subscription) {
                Some(earlier) => {
                    self.draft.findings.push(blocked(input.task, earlier));
                    TaskOutcome::Blocked
                }
                None => plan_task(world, index, tasks, *place, picture, &mut self.draft),
            };
            match outcome {
                TaskOutcome::NeedsMapping | TaskOutcome::Waiting | TaskOutcome::Failed => {
                    held.insert(subscription, input.task);
                }
                TaskOutcome::Planned
                | TaskOutcome::NothingToDo
                | TaskOutcome::Blocked
                | TaskOutcome::Unsupported
                | TaskOutcome::Undone => {}
            }
            self.steps.push(before.step_to(&self.draft, *place, outcome));
        }
        // While they are still near.
        sums::count(&mut self.draft.totals, &self.draft.changes[first..]);
        self.written.extend(sums::of(world, &self.draft.changes[first..], |agreement| {
            picture.lines_of(agreement).iter().map(|line| (&*line.state, line.less_included)).collect()
        }));
    }
}

/// What is said of a task that an earlier one of its subscription holds up.
pub(super) fn blocked(task: &Task, earlier: &Task) -> Finding {
    let what =
        earlier.order_id.as_ref().map_or_else(|| earlier.id.to_string(), |order| format!("order {order}"));
    let subject = Subject {
        task: Some(task.id.clone()),
        source: Some(task.source.clone()),
        subscription: Some(task.subscription.clone()),
        ..Subject::default()
    };
    let message =
        format!("This task waits: {what} of the same subscription comes first and is not through yet.");
    Finding::new(Code::Tu7006, subject, message)
}

/// Plans one task on the picture; what it did is taken back when it does not come through.
fn plan_task<'a>(
    world: &'a World<'a>,
    index: &'a Index<'a>,
    tasks: &[TaskInput<'a>],
    place: usize,
    picture: &mut Picture<'a>,
    draft: &mut DraftPlan,
) -> TaskOutcome {
    let input = tasks[place];
    picture.settle();
    let mut context = match Context::resolve(world, index, &input, place) {
        Ok(context) => context,
        Err(stop) => {
            draft.findings.extend(stop.findings);
            return stop.outcome;
        }
    };
    // Tasks of one subscription lie beside each other, in their order.
    let of_it =
        (place + 1..tasks.len()).take_while(|next| index.subscription_of(*next) == context.subscription_no);
    context.later = of_it
        .filter_map(|next| match tasks[next].demand {
            Demand::Order(order) => Some(&**order),
            Demand::Reconcile { .. } => None,
        })
        .collect();
    let before = (0..place).rev().take_while(|at| index.subscription_of(*at) == context.subscription_no);
    context.earlier = before
        .filter_map(|at| match tasks[at].demand {
            Demand::Order(order) => Some(&**order),
            Demand::Reconcile { .. } => None,
        })
        .collect();
    picture.open_subscription(context.subscription_no);
    picture.open(context.agreement.id);
    loop {
        let before = Mark::of(draft);
        let mut builder = Builder::new(&context, picture, draft);
        let outcome = match demanded(&mut builder, input.demand) {
            Ok(()) => builder.finish(),
            Err(stop) => {
                picture.roll_back();
                before.go_back(draft);
                draft.findings.extend(stop.findings);
                stop.outcome
            }
        };
        let missed = picture.take_missed();
        if missed.is_empty() {
            return outcome;
        }
        // It looked at an agreement that was not open: what it made of that does not count.
        picture.roll_back();
        before.go_back(draft);
        for agreement in missed {
            picture.open(agreement);
        }
    }
}

fn demanded(builder: &mut Builder<'_, '_>, demand: &Demand) -> Result<(), Stop> {
    stays_with_its_customer(builder, demand)?;
    match demand {
        Demand::Order(order) => {
            let order = &*term::within(order, builder.context.order_period);
            names_something(builder, order)?;
            if replayed::was_carried_out(builder, order) {
                return Ok(());
            }
            let judged = quantity::judged(builder, order);
            let cut = &*unbilled::cut(builder, judged)?;
            moving::plan(builder, Some(order), None)?;
            match order.kind {
                OrderKind::Sales => sales::plan(builder, cut),
                OrderKind::Change => {
                    over::tell_after_the_end(builder, cut);
                    change::plan(builder, cut)
                }
                OrderKind::Renewal => change::plan(builder, cut),
                OrderKind::Billing => usage::plan(builder, cut),
                OrderKind::Cancellation => cancellation::plan(builder, cut),
                OrderKind::Transfer => transfer::plan(builder, cut),
            }?;
            unbilled::tell_before_go_live(builder, order)
        }
        Demand::Reconcile { period, confirm_invoiced, beside } => {
            // What is over ends where it is.
            if beside.ended.is_none() {
                moving::plan(builder, None, *period)?;
            }
            reconcile::plan(builder, *period, *confirm_invoiced, beside)
        }
    }
}

/// Stops what would bill a subscription to one customer while its lines go on at another: only a transfer moves it. What
/// ends it ends the lines wherever they are, and what is of the days before a transfer that was carried out since is the
/// former customer's.
fn stays_with_its_customer(builder: &Builder<'_, '_>, demand: &Demand) -> Result<(), Stop> {
    let order = match demand {
        Demand::Order(order) => Some(&**order),
        Demand::Reconcile { .. } => None,
    };
    if order.is_some_and(|order| matches!(order.kind, OrderKind::Transfer | OrderKind::Cancellation)) {
        return Ok(());
    }
    let context = builder.context;
    let elsewhere = builder.own_lines().beside(context.agreement.id).find(|line| {
        let origin = line.origin.as_ref().filter(|origin| origin.role() == Role::Recurring);
        let other = builder.agreement_of(line).is_some_and(|a| a.company != context.company);
        other
            && order.map_or(line.state.is_open(), |order| over::goes_on(builder, line, order.effective))
            && !order.is_some_and(|order| is_of_the_days_before(builder, order, line))
            && origin.is_some_and(|origin| !builder.is_named_by_mapping(line, origin.product()))
    });
    let Some(line) = elsewhere else { return Ok(()) };
    let which = match &line.target {
        Target::Existing(id) => format!("addition {id}"),
        Target::CreatedBy(_) => "a line of this plan".to_owned(),
    };
    let moved = over::carried_out(builder).filter(|known| known.kind == OrderKind::Transfer);
    let moved = moved.max_by_key(|known| known.completed_us);
    let since = match moved {
        Some(transfer) => {
            format!(
                "order {} moved it on {}, and nothing moved it back",
                transfer.shown(),
                transfer.effective
            )
        }
        None => "no transfer is known that moved it since".to_owned(),
    };
    let message = format!(
        "This would bill subscription {} to customer {}, and {which} on agreement {}, of another company, bills it: {since}.",
        context.task.subscription, context.customer_id, line.agreement
    );
    let fix = match moved {
        Some(_) => {
            "Name the customer in the order, or send the subscription's record anew: it names the former customer. Where \
             the subscription has moved back, send that transfer."
        }
        None => {
            "Send the transfer where the subscription has moved, and the subscription's record anew where it has not (an \
             older file may have been imported again). Where the customer is billed under another company now, end the \
             lines there by hand."
        }
    };
    let finding = Finding::new(Code::Tu3005, context.subject(), message).fix(fix);
    Err(Stop { findings: vec![finding], outcome: TaskOutcome::Failed })
}

/// Whether an order is of the days before all that another customer is billed: it was completed before the orders that
/// began that, or it bills use of days before it.
fn is_of_the_days_before(builder: &Builder<'_, '_>, order: &Order, there: &Line<'_>) -> bool {
    let Some(company) = builder.agreement_of(there).map(|a| a.company) else { return false };
    late::billed_at(builder, company).all(|(by, begins)| match order.kind {
        OrderKind::Billing => by.is_some() && order.period.end() <= begins,
        OrderKind::Sales
        | OrderKind::Change
        | OrderKind::Renewal
        | OrderKind::Cancellation
        | OrderKind::Transfer => {
            order.effective < begins && by.is_some_and(|by| late::is_younger(builder, by))
        }
    })
}

/// Stops an order that names nothing to bill: it must not pass for one that was carried out.
fn names_something(builder: &Builder<'_, '_>, order: &Order) -> Result<(), Stop> {
    let may_be_empty = match order.kind {
        OrderKind::Sales | OrderKind::Change | OrderKind::Transfer => false,
        OrderKind::Billing | OrderKind::Cancellation | OrderKind::Renewal => true,
    };
    if may_be_empty || !order.lines.is_empty() {
        return Ok(());
    }
    let message = format!(
        "Order {} is of the kind {} and has no lines: what it sells cannot be told, and nothing of it is billed.",
        order.shown(),
        order.kind.name()
    );
    let finding =
        Finding::new(Code::Tu8004, builder.context.subject(), message).severity(Severity::Error).fix(
            "Send the order again with its lines, reconcile the customer, or ignore the task with a reason.",
        );
    Err(Stop { findings: vec![finding], outcome: TaskOutcome::Failed })
}
