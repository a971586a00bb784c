//! Explaining an addition: every value that trueup wrote, with the formula, the inputs and the source record behind it.

mod dates;
mod values;

pub use values::formula_of;

use crate::failure::Failure;
use crate::ports::Store;
use crate::records::{AuditEntry, Millis, OperationRow, StoredRecord};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use trueup_domain::feed::{Charge, Order, OrderLine, Product, Record, RecordKind};
use trueup_domain::ids::{AdditionId, OrganizationId, PlanId};
use trueup_domain::money::{Currency, Quantity};
use trueup_domain::plan::{AdditionLink, Change, FieldChange, Role, fields_between, fields_of};
use trueup_domain::psa::AdditionState;
use trueup_domain::quantity::Line;

/// Entries of the audit that an explanation holds at most.
const MAX_ENTRIES: u32 = 1_000;

/// A change that touched the addition, with its operation.
#[derive(Clone, Debug)]
pub struct Step {
    /// The plan's change.
    pub change: Change,
    /// Its operation in the journal.
    pub operation: OperationRow,
    /// The order's line that the change names, where the feed still has it.
    pub line: Option<OrderLine>,
    /// The order behind it, where the feed still has it.
    pub order: Option<Order>,
    /// The product's record, where the feed has one.
    pub product: Option<Product>,
    /// The agreement as the plan saw it.
    pub seen: Option<Seen>,
}

/// What a plan saw of the agreement that a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// The first day that no invoice had billed.
    pub next_invoice: Option<Date>,
    /// Whether it prorates by itself.
    pub prorates: bool,
    /// Its last day.
    pub end: Option<Date>,
}

impl Step {
    /// The lines of the order that this change bills together: parts that the order names, or both sides of a switch.
    pub fn netted(&self) -> Vec<&OrderLine> {
        let Some(order) = self.order.as_ref().filter(|_| self.change.role == Role::Prorate) else {
            return Vec::new();
        };
        let parts: Vec<&OrderLine> = order
            .lines
            .iter()
            .filter(|l| {
                l.product == self.change.product && matches!(l.charge, Charge::Prorate | Charge::Refund)
            })
            .collect();
        if parts.len() > 1 {
            return parts;
        }
        let sides: Vec<&OrderLine> = order
            .lines
            .iter()
            .filter(|l| {
                l.charge == Charge::Recurring && (l.old_quantity.is_some() || l.new_quantity.is_some())
            })
            .collect();
        let goes = sides.iter().any(|l| l.new_quantity.is_some_and(Quantity::is_zero));
        if goes && sides.len() > 1 { sides } else { Vec::new() }
    }
}

/// A takeover of the addition with the values that a person gave it.
#[derive(Clone, Debug)]
pub struct Takeover {
    /// The plan that took it over.
    pub plan: PlanId,
    /// When.
    pub at: Millis,
    /// By whom.
    pub actor: String,
    /// What trueup had written; what was there where it had written nothing.
    pub before: AdditionState,
    /// What was taken over.
    pub after: AdditionState,
}

impl Takeover {
    fn of_entry(entry: &AuditEntry) -> Option<Self> {
        if entry.entry.action != "addition.adopt" {
            return None;
        }
        let detail: serde_json::Value = serde_json::from_str(&entry.entry.detail).ok()?;
        let state = |name: &str| AdditionState::deserialize(detail.get(name)?).ok();
        Some(Self {
            plan: plan_of_entry(entry)?,
            at: entry.entry.at,
            actor: entry.entry.actor.clone(),
            before: state("before")?,
            after: state("after")?,
        })
    }

    /// The values that it accounts for, and how each came about: what a person changed since trueup wrote it, and all
    /// of a line that trueup had not written.
    pub fn values(&self, currency: Option<Currency>) -> Vec<(FieldChange, &'static str)> {
        let changed = self.before != self.after;
        let (fields, how) = if changed {
            (
                fields_between(&self.before, &self.after, currency),
                "set by a person, taken over by the mapping",
            )
        } else {
            (fields_of(&self.after, currency), "there before, taken over as it was")
        };
        fields.into_iter().map(|field| (field, how)).collect()
    }
}

/// Everything there is to say about an addition.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The addition.
    pub addition: AdditionId,
    /// What trueup remembers of it.
    pub link: Option<AdditionLink>,
    /// The changes that touched it, oldest first.
    pub steps: Vec<Step>,
    /// When it was taken over from a person, oldest first.
    pub takeovers: Vec<Takeover>,
    /// The currency of its amounts, where a change or the source tells it.
    pub currency: Option<Currency>,
    /// The order that made it, as the feed has it.
    pub order: Option<StoredRecord>,
    /// The audit, oldest first.
    pub entries: Vec<AuditEntry>,
    /// The line of what is counted that it bills, as the last run saw it.
    pub quantity: Option<Line>,
}

/// Explains one addition.
///
/// # Errors
/// The store's, or [`Failure::Wrong`] for an addition that trueup never touched.
pub async fn explain(
    store: &dyn Store,
    org: &OrganizationId,
    addition: AdditionId,
) -> Result<Explanation, Failure> {
    let link = store.list_links(org).await?.into_iter().find(|l| l.addition == addition);
    let mut entries = store.list_audit(org, Some(addition), MAX_ENTRIES).await?;
    entries.sort_by_key(|e| e.number);
    if link.is_none() && entries.is_empty() {
        return Err(Failure::wrong(
            format!("trueup neither wrote nor took over addition {addition}"),
            "`trueup audit list` shows what it wrote.",
        ));
    }
    let order = match &link {
        Some(AdditionLink { source, order: Some(order), .. }) => {
            store.find_record(org, source, RecordKind::Order, order.as_str()).await?
        }
        Some(AdditionLink { order: None, .. }) | None => None,
    };
    let steps = steps_of(store, org, addition, link.as_ref(), &entries).await?;
    let takeovers = entries.iter().filter_map(Takeover::of_entry).collect();
    let currency = match steps.last() {
        Some(step) => Some(step.change.currency),
        None => currency_at_source(store, org, link.as_ref()).await?,
    };
    let quantity = match link.as_ref().filter(|link| link.role == Role::Quantity) {
        Some(link) => store.find_quantity_line(org, (link.agreement, link.written.catalog_item)).await?,
        None => None,
    };
    Ok(Explanation { addition, link, steps, takeovers, currency, order, entries, quantity })
}

async fn currency_at_source(
    store: &dyn Store,
    org: &OrganizationId,
    link: Option<&AdditionLink>,
) -> Result<Option<Currency>, Failure> {
    let Some(AdditionLink { source, subscription, .. }) = link else { return Ok(None) };
    let row = store.find_record(org, source, RecordKind::Subscription, subscription.as_str()).await?;
    Ok(row.and_then(|row| match row.record {
        Record::Subscription(subscription) => Some(subscription.currency),
        _ => None, // open set: only a subscription was asked for
    }))
}

/// The plans that the audit and the journal name, and of them what touched the addition.
async fn steps_of(
    store: &dyn Store,
    org: &OrganizationId,
    addition: AdditionId,
    link: Option<&AdditionLink>,
    entries: &[AuditEntry],
) -> Result<Vec<Step>, Failure> {
    let mut plans: BTreeSet<PlanId> = entries.iter().filter_map(plan_of_entry).collect();
    if let Some(key) = link.and_then(|l| l.key.as_ref()) {
        plans.extend(store.find_operation_by_key(org, key).await?.map(|o| o.plan));
    }
    let mut steps = Vec::new();
    for id in plans {
        let Some(plan) = store.find_plan(org, &id).await? else { continue };
        let operations = store.list_operations(org, &id).await?;
        for operation in operations.into_iter().filter(|o| o.addition == Some(addition)) {
            let change = plan.body.plan().changes.iter().find(|c| c.id == operation.change);
            if let Some(change) = change {
                let order = order_behind(store, org, change).await?;
                let line = line_behind(order.as_ref(), change);
                let product = product_of(store, org, change).await?;
                let seen = plan.body.plan().sights.get(&change.agreement).map(|sight| Seen {
                    next_invoice: sight.next_invoice,
                    prorates: sight.prorates,
                    end: sight.end,
                });
                steps.push(Step { change: (**change).clone(), operation, line, order, product, seen });
            }
        }
    }
    steps.sort_by_key(|s| s.operation.updated_at);
    Ok(steps)
}

fn plan_of_entry(entry: &AuditEntry) -> Option<PlanId> {
    let detail: serde_json::Value = serde_json::from_str(&entry.entry.detail).ok()?;
    let named = detail.get("plan").or_else(|| detail.get("plan_id"))?;
    named.as_str().map(PlanId::from)
}

async fn order_behind(
    store: &dyn Store,
    org: &OrganizationId,
    change: &Change,
) -> Result<Option<Order>, Failure> {
    let Some(order) = &change.order else { return Ok(None) };
    let row = store.find_record(org, &change.source, RecordKind::Order, order.as_str()).await?;
    Ok(row.and_then(|row| match row.record {
        Record::Order(order) => Some(order),
        _ => None, // open set: only an order was asked for
    }))
}

async fn product_of(
    store: &dyn Store,
    org: &OrganizationId,
    change: &Change,
) -> Result<Option<Product>, Failure> {
    let id = change.product.as_str();
    let row = store.find_record(org, &change.source, RecordKind::Product, id).await?;
    Ok(row.and_then(|row| match row.record {
        Record::Product(product) => Some(product),
        _ => None, // open set: only a product was asked for
    }))
}

/// The line that a change names; of one that ends or edits what another order wrote, the line that speaks of the product.
fn line_behind(order: Option<&Order>, change: &Change) -> Option<OrderLine> {
    let lines = &order?.lines;
    let named = change.line.as_ref().and_then(|id| lines.iter().find(|line| line.id.as_str() == id));
    let of_product = || {
        let mut of = lines.iter().filter(|line| line.product == change.product);
        let one = of.next()?;
        of.next().is_none().then_some(one)
    };
    named.or_else(|| of_product().filter(|_| change.line.is_none())).cloned()
}
