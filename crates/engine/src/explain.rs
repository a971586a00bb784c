//! Explaining an addition: every value that trueup wrote, with the formula, the inputs and the source record behind it.

use crate::failure::Failure;
use crate::ports::Store;
use crate::records::{AuditEntry, Millis, OperationRow, StoredRecord};
use serde::Deserialize;
use std::collections::BTreeSet;
use trueup_domain::feed::{Order, OrderLine, Record, RecordKind};
use trueup_domain::ids::{AdditionId, OrganizationId, PlanId};
use trueup_domain::money::{Currency, Exact, Money, Quantity, RoundingMode};
use trueup_domain::plan::{AdditionLink, Change, Field, FieldChange, Role, fields_between, fields_of};
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
                let line = line_behind(store, org, change).await?;
                steps.push(Step { change: (**change).clone(), operation, line });
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

async fn line_behind(
    store: &dyn Store,
    org: &OrganizationId,
    change: &Change,
) -> Result<Option<OrderLine>, Failure> {
    let (Some(order), Some(line)) = (&change.order, &change.line) else { return Ok(None) };
    let row = store.find_record(org, &change.source, RecordKind::Order, order.as_str()).await?;
    let Some(StoredRecord { record: Record::Order(Order { lines, .. }), .. }) = row else { return Ok(None) };
    Ok(lines.into_iter().find(|l| l.id.as_str() == line))
}

/// How one value of a change came about, in one line.
pub fn formula_of(change: &Change, line: Option<&OrderLine>, field: &FieldChange) -> String {
    let value = field.to.as_deref().unwrap_or("none");
    if change.role == Role::Quantity && field.field != Field::Quantity {
        return counted_formula(change, field.field);
    }
    match field.field {
        Field::Quantity => quantity_formula(change, line, value),
        Field::UnitPrice => price_formula(change, line.and_then(|l| l.unit_price), value)
            .unwrap_or_else(|| change.formula.clone()),
        Field::UnitCost => price_formula(change, line.and_then(|l| l.unit_cost), value)
            .unwrap_or_else(|| format!("{value}, by the same rule as the price: {}", change.formula)),
        Field::CatalogItem => format!("the mapping of product {} at {}", change.product, change.source),
        Field::EffectiveDate | Field::CancelledDate => change.reason.clone(),
        Field::Bill | Field::Taxable => "the default, or what the line before it had".to_owned(),
        Field::Description | Field::InvoiceDescription => format!("the text of product {}", change.product),
    }
}

/// Of what is counted only the quantity is reckoned.
fn counted_formula(change: &Change, field: Field) -> String {
    match field {
        Field::Quantity => change.formula.clone(),
        Field::CatalogItem => format!("the assignment of service {} of {}", change.product, change.source),
        Field::EffectiveDate | Field::CancelledDate => change.reason.clone(),
        Field::UnitPrice
        | Field::UnitCost
        | Field::Taxable
        | Field::Description
        | Field::InvoiceDescription => "the catalog item's, taken by ConnectWise: it was not sent".to_owned(),
        Field::Bill => "a new line is billed".to_owned(),
    }
}

fn quantity_formula(change: &Change, line: Option<&OrderLine>, value: &str) -> String {
    let Some(line) = line else { return change.formula.clone() };
    let is = |quantity: Option<Quantity>| quantity.is_some_and(|q| q.display() == value);
    if is(Some(line.quantity)) {
        return format!("quantity of order line {}", line.id);
    }
    if is(line.new_quantity) {
        return format!("new_quantity of order line {}", line.id);
    }
    change.formula.clone()
}

/// A unit value that is the order line's own, or its share of a period: the change's formula names the share, and the
/// line's value times the share must give what was written, or nothing is claimed.
fn price_formula(change: &Change, unit: Option<Money>, value: &str) -> Option<String> {
    let unit = unit?;
    let shown = unit.display(change.currency);
    if shown == value {
        return Some(format!("{shown} of the order line"));
    }
    let (charged, whole) = change.formula.split_whitespace().find_map(|word| word.split_once('/'))?;
    let share = Exact::ratio(charged.parse().ok()?, whole.parse().ok()?).ok()?;
    let exact = unit.exact().times(share).ok()?;
    let written: Money = value.parse().ok()?;
    let fits = [RoundingMode::HalfUp, RoundingMode::HalfEven, RoundingMode::Floor, RoundingMode::Ceil]
        .into_iter()
        .filter_map(|mode| exact.round(change.currency.places(), mode).ok())
        .any(|rounded| rounded == written.decimal());
    fits.then(|| format!("{shown} x {charged}/{whole} = {} -> {value}", exact.approx()))
}
