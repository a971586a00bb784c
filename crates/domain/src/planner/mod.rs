//! The planner: from a snapshot, mappings, settings and tasks to a plan. Pure and synchronous.
//!
//! Tasks of one subscription are planned in the order of their completion, each on the picture that the one before
//! leaves behind, so that several changes of one period come out in one plan.

mod agreement;
mod alignment;
mod builder;
mod cancellation;
mod change;
mod context;
mod late;
mod lines;
mod modes;
mod part;
mod picture;
mod reconcile;
mod sales;
mod usage;

use crate::billing;
use crate::feed::{Customer, OrderKind, Product, Subscription};
use crate::finding::{Code, Finding, Severity, Subject};
use crate::ids::{AgreementId, CustomerId, OrganizationId, ProductId, SourceId, SubscriptionId};
use crate::mapping::Mappings;
use crate::plan::{Action, AdditionLink, AgreementSight, CurrencyTotals, DraftPlan, Target, TaskOutcome};
use crate::psa::Snapshot;
use crate::settings::Settings;
use crate::task::{Demand, Task};
use builder::Builder;
use context::{Context, Stop};
use jiff::civil::Date;
use picture::{Index, Picture};
use std::collections::{BTreeMap, BTreeSet};

/// What to do where an open addition with the mapped item is there and trueup did not write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AdoptionAnswer {
    /// Propose it and let the new line wait.
    #[default]
    Propose,
    /// Take it over where it is the only one.
    TakeSingle,
    /// Create a new line beside it.
    CreateBeside,
}

/// Everything the planner may look at.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    /// Whose plan it is.
    pub organization: &'a OrganizationId,
    /// The organization's date.
    pub today: Date,
    /// Its settings.
    pub settings: &'a Settings,
    /// What ConnectWise holds.
    pub snapshot: &'a Snapshot,
    /// The mappings in force.
    pub mappings: &'a Mappings,
    /// What trueup wrote or took over.
    pub links: &'a [AdditionLink],
    /// Customers of the feed.
    pub customers: &'a BTreeMap<(SourceId, CustomerId), Customer>,
    /// Products of the feed.
    pub products: &'a BTreeMap<(SourceId, ProductId), Product>,
    /// Subscriptions of the feed, newest version.
    pub subscriptions: &'a BTreeMap<(SourceId, SubscriptionId), Subscription>,
    /// The answer about adoption.
    pub adoption: AdoptionAnswer,
}

/// One task with what it asks for.
#[derive(Clone, Copy, Debug)]
pub struct TaskInput<'a> {
    /// The task.
    pub task: &'a Task,
    /// Its demand.
    pub demand: &'a Demand,
}

/// The agreements whose additions the plan of these tasks needs: those chosen for their subscriptions, those that hold
/// lines of them already, and the separate ones for proration. Needs companies and agreements, no additions.
pub fn agreements_of_interest(world: &World<'_>, tasks: &[TaskInput<'_>]) -> BTreeSet<AgreementId> {
    let index = Index::new(world);
    let mut wanted = BTreeSet::new();
    for input in tasks {
        let task = input.task;
        let lines = index.links_of(&task.source, &task.subscription).iter().filter(|l| !l.deleted);
        wanted.extend(lines.map(|l| l.agreement));
        if let Ok(context) = Context::resolve(world, &index, input) {
            wanted.insert(context.agreement.id);
            wanted.extend(context.proration_agreement.map(|a| a.id));
        }
    }
    wanted.retain(|id| world.snapshot.agreements.contains_key(id));
    wanted
}

/// Plans the tasks. The snapshot must hold the additions of [`agreements_of_interest`], whole.
pub fn plan(world: &World<'_>, tasks: &[TaskInput<'_>]) -> DraftPlan {
    let mut ordered: Vec<&TaskInput<'_>> = tasks.iter().collect();
    ordered.sort_by(|a, b| {
        let key = |t: &TaskInput<'_>| {
            let task = t.task;
            (task.source.clone(), task.subscription.clone(), task.completed_us, task.order_id.clone())
        };
        key(a).cmp(&key(b))
    });
    let mut picture = Picture::new(world);
    let before = picture.clone();
    let index = Index::new(world);
    let mut draft = DraftPlan { today: Some(world.today), ..DraftPlan::default() };
    let mut held: BTreeMap<(SourceId, SubscriptionId), &Task> = BTreeMap::new();
    for input in ordered {
        let task = input.task;
        let subscription = (task.source.clone(), task.subscription.clone());
        let outcome = match held.get(&subscription) {
            Some(earlier) => {
                draft.findings.push(blocked(task, earlier));
                TaskOutcome::Blocked
            }
            None => plan_task(world, &index, input, &mut picture, &mut draft),
        };
        match outcome {
            TaskOutcome::NeedsMapping | TaskOutcome::Waiting | TaskOutcome::Failed => {
                held.insert(subscription, task);
            }
            TaskOutcome::Planned
            | TaskOutcome::NothingToDo
            | TaskOutcome::Blocked
            | TaskOutcome::Unsupported => {}
        }
        draft.outcomes.insert(task.id.clone(), outcome);
    }
    finish(world, &mut draft, &before, &picture);
    draft
}

fn blocked(task: &Task, earlier: &Task) -> Finding {
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
    input: &TaskInput<'a>,
    picture: &mut Picture,
    draft: &mut DraftPlan,
) -> TaskOutcome {
    let context = match Context::resolve(world, index, input) {
        Ok(context) => context,
        Err(stop) => {
            draft.findings.extend(stop.findings);
            return stop.outcome;
        }
    };
    let mark = picture.mark();
    let mut builder = Builder::new(&context, std::mem::take(picture), draft.changes.len());
    let planned = match input.demand {
        Demand::Order(order) => match order.kind {
            OrderKind::Sales => sales::plan(&mut builder, order),
            OrderKind::Change | OrderKind::Renewal => change::plan(&mut builder, order),
            OrderKind::Billing => usage::plan(&mut builder, order),
            OrderKind::Cancellation => cancellation::plan(&mut builder, order),
            OrderKind::Transfer => sales::plan_transfer(&mut builder, order),
        },
        Demand::Reconcile { period, confirm_invoiced } => {
            reconcile::plan(&mut builder, *period, *confirm_invoiced)
        }
    };
    match planned {
        Ok(()) => builder.into_draft(picture, draft),
        Err(Stop { findings, outcome }) => {
            *picture = builder.picture;
            picture.roll_back(mark);
            draft.findings.extend(findings);
            outcome
        }
    }
}

/// Sums, and what the plan saw of every agreement it writes to.
fn finish(world: &World<'_>, draft: &mut DraftPlan, before: &Picture, after: &Picture) {
    for change in &draft.changes {
        match change.action {
            Action::Create { .. } => draft.totals.create += 1,
            Action::Update { .. } => draft.totals.update += 1,
            Action::Cancel { .. } => draft.totals.cancel += 1,
            Action::Delete { .. } => draft.totals.delete += 1,
            Action::Keep { .. } => draft.totals.keep += 1,
        }
    }
    let mut of_agreement: BTreeMap<AgreementId, Vec<usize>> = BTreeMap::new();
    for (place, change) in draft.changes.iter().enumerate() {
        of_agreement.entry(change.agreement).or_default().push(place);
    }
    for id in draft.agreements_written() {
        let places = of_agreement.remove(&id).unwrap_or_default();
        let Some(agreement) = world.snapshot.agreements.get(&id) else { continue };
        let items: BTreeSet<_> = places.iter().map(|p| draft.changes[*p].catalog_item).collect();
        let targets: BTreeSet<_> = places
            .iter()
            .filter_map(|p| match draft.changes[*p].action.target() {
                Some(Target::Existing(addition)) => Some(*addition),
                Some(Target::CreatedBy(_)) | None => None,
            })
            .collect();
        let additions = world
            .snapshot
            .additions_of(id)
            .iter()
            .filter(|a| items.contains(&a.state.catalog_item) || targets.contains(&a.id))
            .map(|a| (a.id, a.state.clone()))
            .collect();
        draft.sights.insert(
            id,
            AgreementSight {
                status: agreement.status,
                next_invoice: agreement.next_invoice,
                prorates: agreement.prorates,
                end: agreement.end,
                additions,
            },
        );
        if let Err(finding) = add_totals(world, draft, id, before, after) {
            draft.findings.push(*finding);
        }
    }
}

fn add_totals(
    world: &World<'_>,
    draft: &mut DraftPlan,
    id: AgreementId,
    before: &Picture,
    after: &Picture,
) -> Result<(), Box<Finding>> {
    let Some(agreement) = world.snapshot.agreements.get(&id) else { return Ok(()) };
    let (Some(currency), Some(period)) =
        (agreement.currency, billing::open_period(world.snapshot, agreement))
    else {
        return Ok(());
    };
    let sum = |picture: &Picture| -> Result<crate::money::Money, crate::money::MoneyError> {
        let mut total = crate::money::Money::ZERO;
        for line in picture.lines_of(id) {
            let one =
                billing::billed_in(&line.state, line.less_included, period, agreement.prorates, currency)?;
            total = total.plus(one.price)?;
        }
        Ok(total)
    };
    let work = || {
        let (old, new) = (sum(before)?, sum(after)?);
        let at = draft.totals.by_currency.get(&currency).cloned().unwrap_or_default();
        Ok::<_, crate::money::MoneyError>(CurrencyTotals {
            next_invoice_before: at.next_invoice_before.plus(old)?,
            next_invoice_after: at.next_invoice_after.plus(new)?,
            delta: at.delta.plus(new.minus(old)?)?,
        })
    };
    match work() {
        Ok(totals) => {
            draft.totals.by_currency.insert(currency, totals);
            Ok(())
        }
        Err(error) => {
            let subject = Subject { agreement: Some(id), ..Subject::default() };
            let message = format!("The next invoice of agreement {id} cannot be summed up: {error}.");
            Err(Box::new(Finding::new(Code::Tu6006, subject, message).severity(Severity::Warning)))
        }
    }
}
