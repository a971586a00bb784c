//! Validate, then upload: over chosen customers, first what would be written and everything that stands in its way, then
//! the writing of exactly that.
//!
//! A validation holds as long as the same comes out again: the upload takes in new orders, reads ConnectWise and plans
//! anew, and goes on only where nothing of what would be written differs and nothing stands in its way.

use crate::failure::Failure;
use crate::planning::{Choice, PlanRequest, Planned, make_plan};
use crate::ports::{Clock, Psa, Store};
use crate::presence;
use crate::records::{Millis, PlanBody, StoredPlan, TaskFilter};
use crate::settings::Overlays;
use crate::tasks;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::approval::mark;
use trueup_domain::feed::{Record, RecordKind};
use trueup_domain::finding::{Code, Finding, Severity, Subject};
use trueup_domain::ids::{CustomerId, PlanId, SourceId, TaskId};
use trueup_domain::mapping::Mappings;
use trueup_domain::money::{Currency, Money};
use trueup_domain::plan::Change;
use trueup_domain::task::{Task, TaskKind, TaskState};

/// A customer of a source.
pub type Whom = (SourceId, CustomerId);

/// One row of the grid: what stands in the way, of what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GridRow {
    /// How grave.
    pub severity: Severity,
    /// The exception code.
    pub code: String,
    /// The source.
    pub source: Option<SourceId>,
    /// The customer.
    pub customer: Option<CustomerId>,
    /// Its company in ConnectWise.
    pub company: Option<i64>,
    /// The agreement.
    pub agreement: Option<i64>,
    /// The product at the source.
    pub product: Option<String>,
    /// Its catalog item.
    pub catalog_item: Option<i64>,
    /// The subscription.
    pub subscription: Option<String>,
    /// The task.
    pub task: Option<TaskId>,
    /// The order.
    pub order: Option<String>,
    /// The day on which the order takes effect.
    pub date: Option<String>,
    /// What else it is about: a line, a field, a right.
    pub detail: Option<String>,
    /// What happened and why.
    pub message: String,
    /// What to do.
    pub fix: String,
}

impl GridRow {
    /// Whether nothing can be uploaded with it.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// What would be written for one customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomerSum {
    /// The source.
    pub source: SourceId,
    /// The customer.
    pub customer: CustomerId,
    /// Lines to write.
    pub lines: usize,
    /// What they add to the next invoices, by currency.
    pub amounts: BTreeMap<String, Money>,
    /// Whether something stands in the way.
    pub failing: bool,
}

/// A validation, as it was when it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validation {
    /// When it ended.
    pub at: Millis,
    /// The connection.
    pub connection: String,
    /// The plan: per row what would be written, with old and new values.
    pub plan: PlanId,
    /// Names exactly what would be written.
    pub mark: String,
    /// The tasks that it looked at.
    pub tasks: Vec<TaskId>,
    /// By customer.
    pub customers: Vec<CustomerSum>,
    /// What stands in the way, the gravest first.
    pub rows: Vec<GridRow>,
}

impl Validation {
    /// Whether nothing stands in the way.
    pub fn is_clean(&self) -> bool {
        !self.rows.iter().any(GridRow::is_error)
    }

    /// Whether it is older than so many hours; with 0 it never is.
    fn is_older_than(&self, hours: u32, now: Millis) -> bool {
        const HOUR_MS: Millis = 3_600_000;
        hours > 0 && now.saturating_sub(self.at) > Millis::from(hours) * HOUR_MS
    }
}

/// What a job works with.
#[derive(Clone, Debug)]
pub struct JobRequest<'a> {
    /// How to plan; its choice does not count.
    pub plan: PlanRequest<'a>,
    /// Settings over the stored ones.
    pub overlays: &'a Overlays,
    /// Whom; nobody means everybody.
    pub customers: &'a BTreeSet<Whom>,
}

/// The states of tasks that a job takes up.
const OPEN: [TaskState; 8] = [
    TaskState::New,
    TaskState::NeedsMapping,
    TaskState::Ready,
    TaskState::Planned,
    TaskState::Failed,
    TaskState::Blocked,
    TaskState::Applying,
    TaskState::InDoubt,
];

/// Says what would be written for the customers, and everything that stands in its way. Nothing is written to
/// ConnectWise.
///
/// # Errors
/// The store's or ConnectWise's.
pub async fn validate(
    store: &dyn Store,
    psa: &dyn Psa,
    clock: &dyn Clock,
    request: &JobRequest<'_>,
) -> Result<(Validation, StoredPlan), Failure> {
    let org = request.plan.org;
    tasks::check_under(store, clock, org, None, request.overlays).await?;
    let open = open_tasks(store, request).await?;
    let ids: BTreeSet<TaskId> = open.iter().map(|task| task.id.clone()).collect();
    let choice = Choice::Among(ids.clone());
    let planned = make_plan(store, psa, clock, &PlanRequest { choice, ..request.plan.clone() }).await?;
    let mut found = planned.stored.body.plan().findings.clone();
    found.extend(unplanned(&open, &planned));
    found.extend(unmapped(store, clock, request, &open).await?);
    if !open.is_empty() {
        found.extend(lacking(psa, request).await?);
    }
    found.extend(gaps(store, clock, request, &open).await?);
    crate::findings::once_each(&mut found);
    let rows = grid(store, clock, request, &planned, &found).await?;
    let customers = sums(request.customers, &open, planned.stored.body.plan().changes.as_slice(), &rows);
    let validation = Validation {
        at: clock.now(),
        connection: planned.stored.connection.clone(),
        plan: planned.stored.id.clone(),
        mark: mark(&planned.stored.connection, planned.stored.body.plan(), None),
        tasks: ids.into_iter().collect(),
        customers,
        rows,
    };
    Ok((validation, planned.stored))
}

async fn open_tasks(store: &dyn Store, request: &JobRequest<'_>) -> Result<Vec<Task>, Failure> {
    let filter = TaskFilter { states: OPEN.to_vec(), ..TaskFilter::default() };
    let mut open = store.list_tasks(request.plan.org, &filter).await?;
    let chosen = request.customers;
    open.retain(|task| {
        task.kind != TaskKind::Reconciliation
            && (chosen.is_empty() || chosen.contains(&(task.source.clone(), task.customer.clone())))
    });
    Ok(open)
}

/// Tasks of which nothing is planned although no finding of theirs says why.
fn unplanned(open: &[Task], planned: &Planned) -> Vec<Finding> {
    let draft = planned.stored.body.plan();
    let is_told = |task: &TaskId| {
        let of_task = |f: &&Finding| f.subject.task.as_ref() == Some(task);
        draft.findings.iter().filter(of_task).any(|f| f.severity == Severity::Error)
    };
    let now: BTreeMap<&TaskId, &Task> = planned.tasks.iter().map(|task| (&task.id, task)).collect();
    let mut found = Vec::new();
    for task in open {
        let task = now.get(&task.id).copied().unwrap_or(task);
        let goes = matches!(task.state, TaskState::Planned | TaskState::Done | TaskState::Ignored);
        if goes || is_told(&task.id) {
            continue;
        }
        let why = task.reason.as_deref().unwrap_or("an earlier change of its subscription comes first");
        let message = format!("Nothing can be written for this order: it is {} ({why}).", task.state.name());
        let code = task.reason.as_deref().and_then(Code::from_name).unwrap_or(Code::Tu7006);
        found.push(Finding::new(code, tasks::assess::subject_of(task), message).severity(Severity::Error));
    }
    if !matches!(planned.stored.body, PlanBody::Checked(_)) && !draft.findings.iter().any(is_error) {
        let message = "The checker did not let the plan pass.";
        found.push(Finding::new(Code::Tu7007, Subject::default(), message).severity(Severity::Error));
    }
    found
}

fn is_error(finding: &Finding) -> bool {
    finding.severity == Severity::Error
}

/// Chosen customers for whom nothing is open and who could not be billed either.
async fn unmapped(
    store: &dyn Store,
    clock: &dyn Clock,
    request: &JobRequest<'_>,
    open: &[Task],
) -> Result<Vec<Finding>, Failure> {
    let mappings = Mappings::on(store.list_mappings(request.plan.org).await?, clock.today());
    let with_tasks: BTreeSet<Whom> = open.iter().map(|t| (t.source.clone(), t.customer.clone())).collect();
    let is_missing = |whom: &&Whom| {
        !with_tasks.contains(*whom)
            && mappings.company_of(&whom.0, &whom.1).is_none()
            && mappings.customer_not_billed(&whom.0, &whom.1).is_none()
    };
    let finding = |(source, customer): &Whom| {
        let subject =
            Subject { source: Some(source.clone()), customer: Some(customer.clone()), ..Subject::default() };
        Finding::new(Code::Tu2001, subject, format!("Customer {customer} is not mapped to a company."))
    };
    Ok(request.customers.iter().filter(is_missing).map(finding).collect())
}

/// What the sources may not have told: a history with a gap is no ground to bill on.
async fn gaps(
    store: &dyn Store,
    clock: &dyn Clock,
    request: &JobRequest<'_>,
    open: &[Task],
) -> Result<Vec<Finding>, Failure> {
    let org = request.plan.org;
    let sources: BTreeSet<SourceId> = open.iter().map(|task| task.source.clone()).collect();
    let mut found = presence::gaps(store, org, sources.clone()).await?;
    let kept = (request.plan.settings.source_keeps_days, clock.now());
    found.extend(presence::unread(store, org, sources, kept).await?);
    Ok(found)
}

/// Rights that the API member certainly lacks.
async fn lacking(psa: &dyn Psa, request: &JobRequest<'_>) -> Result<Vec<Finding>, Failure> {
    let creates = request.plan.settings.create_missing_products.is_on();
    let rights = psa.list_rights().await?;
    let missing = rights.iter().filter(|right| right.is_missing() && (creates || !right.is_for_new_items()));
    Ok(missing
        .map(|right| {
            let subject = Subject { detail: Some(right.to_string()), ..Subject::default() };
            Finding::new(Code::Tu1004, subject, format!("The API member lacks {right} ({}).", right.purpose))
        })
        .collect())
}

async fn grid(
    store: &dyn Store,
    clock: &dyn Clock,
    request: &JobRequest<'_>,
    planned: &Planned,
    found: &[Finding],
) -> Result<Vec<GridRow>, Failure> {
    let org = request.plan.org;
    let mappings = Mappings::on(store.list_mappings(org).await?, clock.today());
    let of_task: BTreeMap<&TaskId, &Task> = planned.tasks.iter().map(|task| (&task.id, task)).collect();
    let mut rows = Vec::new();
    for finding in found {
        let subject = &finding.subject;
        let task = subject.task.as_ref().and_then(|id| of_task.get(id).copied());
        let source = subject.source.clone().or_else(|| task.map(|t| t.source.clone()));
        let customer = subject.customer.clone().or_else(|| task.map(|t| t.customer.clone()));
        let order = task.and_then(|t| t.order_id.clone());
        let date = match (&source, &order) {
            (Some(source), Some(order)) => {
                let row = store.find_record(org, source, RecordKind::Order, order.as_str()).await?;
                row.and_then(|row| match row.record {
                    Record::Order(order) => Some(order.effective.to_string()),
                    _ => None, // open set: only orders were asked for
                })
            }
            _ => None, // open set: without an order there is no day
        };
        let target = |source: &SourceId| {
            let product = subject.product.as_ref()?;
            let of = |m: &&trueup_domain::mapping::Mapping| {
                m.kind == trueup_domain::mapping::MappingKind::Product
                    && &m.source == source
                    && m.source_id == product.as_str()
            };
            mappings.iter().find(of).and_then(|m| m.psa_id)
        };
        rows.push(GridRow {
            severity: finding.severity,
            code: finding.code.to_string(),
            company: source
                .as_ref()
                .zip(customer.as_ref())
                .and_then(|(source, customer)| mappings.company_of(source, customer))
                .map(|id| id.0),
            agreement: subject.agreement.map(|id| id.0),
            product: subject.product.as_ref().map(ToString::to_string),
            catalog_item: source.as_ref().and_then(target),
            subscription: subject
                .subscription
                .as_ref()
                .or_else(|| task.map(|t| &t.subscription))
                .map(ToString::to_string),
            task: subject.task.clone(),
            order: order.map(|id| id.to_string()),
            date,
            detail: subject.detail.clone(),
            message: finding.message.clone(),
            fix: finding.fix.clone(),
            source,
            customer,
        });
    }
    rows.sort_by(|a, b| {
        b.severity
            .cmp(&a.severity)
            .then_with(|| (&a.customer, &a.subscription).cmp(&(&b.customer, &b.subscription)))
    });
    Ok(rows)
}

fn sums(
    chosen: &BTreeSet<Whom>,
    open: &[Task],
    changes: &[Box<Change>],
    rows: &[GridRow],
) -> Vec<CustomerSum> {
    let with_tasks = open.iter().map(|task| (task.source.clone(), task.customer.clone()));
    let all: BTreeSet<Whom> = with_tasks.chain(chosen.iter().cloned()).collect();
    let mut sums: BTreeMap<Whom, CustomerSum> = all
        .into_iter()
        .map(|(source, customer)| {
            let sum = CustomerSum {
                source: source.clone(),
                customer: customer.clone(),
                lines: 0,
                amounts: BTreeMap::new(),
                failing: false,
            };
            ((source, customer), sum)
        })
        .collect();
    let whose: BTreeMap<&TaskId, Whom> =
        open.iter().map(|t| (&t.id, (t.source.clone(), t.customer.clone()))).collect();
    for change in changes.iter().filter(|change| change.writes()) {
        let Some(sum) = whose.get(&change.task).and_then(|whom| sums.get_mut(whom)) else { continue };
        sum.lines += 1;
        let currency: Currency = change.currency;
        let amount = sum.amounts.entry(currency.to_string()).or_default();
        *amount = amount.plus(change.amount).unwrap_or(*amount);
    }
    for row in rows.iter().filter(|row| row.is_error()) {
        match row.source.as_ref().zip(row.customer.as_ref()) {
            Some((source, customer)) => {
                if let Some(sum) = sums.get_mut(&(source.clone(), customer.clone())) {
                    sum.failing = true;
                }
            }
            // What is nobody's in particular stands in everybody's way.
            None => sums.values_mut().for_each(|sum| sum.failing = true),
        }
    }
    sums.into_values().collect()
}

/// The plan that an upload of a validation carries out: made anew, and the same.
///
/// # Errors
/// [`Failure::Wrong`] where the validation does not hold any more; else as [`validate`].
pub async fn plan_upload(
    store: &dyn Store,
    psa: &dyn Psa,
    clock: &dyn Clock,
    request: &JobRequest<'_>,
    before: &Validation,
    hours: u32,
) -> Result<StoredPlan, Failure> {
    let fix = "Validate again, and look at what it says.";
    if !before.is_clean() {
        return Err(Failure::wrong("the validation has errors", fix));
    }
    if before.is_older_than(hours, clock.now()) {
        return Err(Failure::wrong(
            format!("the validation is older than {hours} hours (validation.hours)"),
            fix,
        ));
    }
    let (now, stored) = validate(store, psa, clock, request).await?;
    if let Some(row) = now.rows.iter().find(|row| row.is_error()) {
        return Err(Failure::wrong(
            format!("the validation does not hold any more: {} {}", row.code, row.message),
            fix,
        ));
    }
    if now.mark != before.mark {
        return Err(Failure::wrong(
            "the validation does not hold any more: orders, mappings or ConnectWise changed since, and something else \
             would be written now",
            fix,
        ));
    }
    Ok(stored)
}

/// The plan that does again what an upload left undone, and nothing else; none where nothing is left.
///
/// # Errors
/// As [`validate`].
pub async fn plan_retry(
    store: &dyn Store,
    psa: &dyn Psa,
    clock: &dyn Clock,
    request: &PlanRequest<'_>,
    tasks: &[TaskId],
) -> Result<Option<StoredPlan>, Failure> {
    let filter = TaskFilter { ids: tasks.to_vec(), ..TaskFilter::default() };
    let mut left = if tasks.is_empty() { Vec::new() } else { store.list_tasks(request.org, &filter).await? };
    left.retain(|task| !task.state.is_final());
    if left.is_empty() {
        return Ok(None);
    }
    let choice = Choice::Among(left.into_iter().map(|task| task.id).collect());
    Ok(Some(make_plan(store, psa, clock, &PlanRequest { choice, ..request.clone() }).await?.stored))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c3_d13_a_validation_holds_for_its_hours_and_no_longer() {
        let validation = Validation {
            at: 1_000,
            connection: "main".to_owned(),
            plan: PlanId::from("p-1"),
            mark: String::new(),
            tasks: Vec::new(),
            customers: Vec::new(),
            rows: Vec::new(),
        };
        const HOUR: Millis = 3_600_000;
        assert!(!validation.is_older_than(24, 1_000 + 24 * HOUR));
        assert!(validation.is_older_than(24, 1_001 + 24 * HOUR));
        assert!(!validation.is_older_than(0, Millis::MAX), "0 is for ever");
        assert!(!validation.is_older_than(24, 0), "a clock that was set back");
    }
}
