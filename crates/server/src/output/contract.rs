//! Plans and what became of them, in the form that scripts rely on: field names, decimals as strings, dates as
//! `YYYY-MM-DD`. The one place that knows this form.

use super::documents::{FindingDoc, instant, once_each};
use serde::Serialize;
use std::collections::BTreeMap;
use trueup_domain::finding::Finding;
use trueup_domain::ids::{AdditionId, ChangeId, OrganizationId};
use trueup_domain::money::Currency;
use trueup_domain::period::Period;
use trueup_domain::plan::{Action, Change, Field, FieldChange, Target, Totals, fields_between};
use trueup_engine::apply::{ChangeReport, ChangeState};
use trueup_engine::records::{OperationError, OperationRow, OperationState, PlanState, StoredPlan};
use utoipa::ToSchema;

/// What became of the changes of a plan.
pub type Outcomes = BTreeMap<ChangeId, Outcome>;

/// What became of one change.
#[derive(Clone, Debug)]
pub struct Outcome {
    state: &'static str,
    addition: Option<AdditionId>,
    error: Option<OperationError>,
    calls: u32,
}

impl From<&OperationRow> for Outcome {
    fn from(row: &OperationRow) -> Self {
        let state = match row.state {
            OperationState::Intent => "planned",
            OperationState::Done => "applied",
            OperationState::Refused => "failed",
            OperationState::Sending | OperationState::InDoubt => "in_doubt",
            OperationState::Skipped => "skipped",
        };
        Self { state, addition: row.addition, error: row.error.clone(), calls: row.calls }
    }
}

impl From<&ChangeReport> for Outcome {
    fn from(report: &ChangeReport) -> Self {
        let state = match report.state {
            ChangeState::Applied => "applied",
            ChangeState::Failed => "failed",
            ChangeState::Skipped => "skipped",
            ChangeState::InDoubt => "in_doubt",
        };
        Self { state, addition: report.addition, error: report.error.clone(), calls: report.calls }
    }
}

/// One field's old and new value.
#[derive(Debug, Serialize, ToSchema)]
pub struct FieldDoc {
    from: Option<String>,
    to: Option<String>,
}

/// Why a change failed or is in doubt.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorDoc {
    code: String,
    message: String,
    their_words: Option<String>,
}

impl From<&OperationError> for ErrorDoc {
    fn from(error: &OperationError) -> Self {
        Self {
            code: error.code.clone(),
            message: error.message.clone(),
            their_words: error.their_words.clone(),
        }
    }
}

/// One change.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChangeDoc {
    change_id: String,
    op: &'static str,
    /// `planned`, `applied`, `failed`, `skipped` or `in_doubt`.
    pub state: &'static str,
    task_id: String,
    order_id: Option<String>,
    line_id: Option<String>,
    source: String,
    subscription_id: String,
    customer_id: String,
    product_id: String,
    role: &'static str,
    company_id: i64,
    agreement_id: i64,
    addition_id: Option<i64>,
    catalog_item_id: i64,
    #[schema(value_type = BTreeMap<String, FieldDoc>)]
    fields: BTreeMap<&'static str, FieldDoc>,
    amount: String,
    cost: String,
    #[schema(value_type = String)]
    currency: Currency,
    true_period: Option<PeriodDoc>,
    reason: String,
    formula: String,
    key: String,
    depends_on: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    edited: Option<EditedDoc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorDoc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    calls: Option<u32>,
}

/// What a person set of a change.
#[derive(Debug, Serialize, ToSchema)]
struct EditedDoc {
    /// The key that names the line to the next edit.
    proposal_key: String,
    /// Who set it.
    by: String,
    /// By field, what was proposed instead.
    proposed: BTreeMap<&'static str, Option<String>>,
}

#[derive(Debug, Serialize, ToSchema)]
struct PeriodDoc {
    start: String,
    end: String,
}

impl From<Period> for PeriodDoc {
    fn from(period: Period) -> Self {
        Self { start: period.start().to_string(), end: period.end().to_string() }
    }
}

/// Sums of one currency.
#[derive(Debug, Serialize, ToSchema)]
pub struct CurrencyDoc {
    next_invoice_before: String,
    next_invoice_after: String,
    delta: String,
}

/// The sums of a plan.
#[derive(Debug, Serialize, ToSchema)]
pub struct TotalsDoc {
    by_currency: BTreeMap<String, CurrencyDoc>,
    create: usize,
    update: usize,
    cancel: usize,
    delete: usize,
    keep: usize,
}

impl From<&Totals> for TotalsDoc {
    fn from(totals: &Totals) -> Self {
        let by_currency = totals
            .by_currency
            .iter()
            .map(|(currency, sums)| {
                let doc = CurrencyDoc {
                    next_invoice_before: sums.next_invoice_before.display(*currency),
                    next_invoice_after: sums.next_invoice_after.display(*currency),
                    delta: sums.delta.display(*currency),
                };
                (currency.to_string(), doc)
            })
            .collect();
        Self {
            by_currency,
            create: totals.create,
            update: totals.update,
            cancel: totals.cancel,
            delete: totals.delete,
            keep: totals.keep,
        }
    }
}

/// A plan, and after apply what became of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlanDoc {
    /// The plan.
    pub plan_id: String,
    created_at: String,
    organization: String,
    connection: String,
    actor: String,
    today: Option<String>,
    /// Where the plan stands.
    pub state: &'static str,
    /// The changes.
    pub changes: Vec<ChangeDoc>,
    /// What the tasks propose and a person left out; it is not carried out and not in the sums.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<ChangeDoc>,
    /// What a person should know.
    pub findings: Vec<FindingDoc>,
    /// The sums.
    pub totals: TotalsDoc,
    /// After apply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<SummaryDoc>,
}

/// The sums of an apply.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub struct SummaryDoc {
    /// Done.
    pub applied: usize,
    /// Refused by ConnectWise.
    pub failed: usize,
    /// Not sent.
    pub skipped: usize,
    /// Without a clear outcome.
    pub in_doubt: usize,
    /// Calls sent, reads included.
    pub calls: u64,
}

impl SummaryDoc {
    /// Counts the states of changes.
    pub fn of(changes: &[ChangeDoc], calls: u64) -> Self {
        let count = |state: &str| changes.iter().filter(|c| c.state == state).count();
        Self {
            applied: count("applied"),
            failed: count("failed"),
            skipped: count("skipped"),
            in_doubt: count("in_doubt"),
            calls,
        }
    }
}

/// Which lines of a plan are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// Those that change something.
    Changes,
    /// Also those that stay as they are.
    All,
}

/// The word of a plan's state.
pub fn plan_state(state: PlanState) -> &'static str {
    match state {
        PlanState::Proposed => "proposed",
        PlanState::Applying => "applying",
        PlanState::Applied => "applied",
        PlanState::Partial => "partial",
        PlanState::Stale => "stale",
        PlanState::Refused => "refused",
    }
}

impl PlanDoc {
    /// A stored plan and what became of it. `more` are findings that were raised after it was made.
    pub fn new(
        stored: &StoredPlan,
        org: &OrganizationId,
        outcomes: &Outcomes,
        more: &[Finding],
        lines: Lines,
    ) -> Self {
        let plan = stored.body.plan();
        let changes = plan
            .changes
            .iter()
            .filter(|c| c.writes() || lines == Lines::All)
            .map(|c| ChangeDoc::new(c, outcomes))
            .collect();
        let mut findings = plan.findings.iter().chain(more).map(FindingDoc::from).collect();
        once_each(&mut findings);
        Self {
            plan_id: stored.id.to_string(),
            created_at: instant(stored.created_at),
            organization: org.to_string(),
            connection: stored.connection.clone(),
            actor: stored.actor.clone(),
            today: plan.today.map(|d| d.to_string()),
            state: plan_state(stored.state),
            changes,
            left_out: plan
                .left_out
                .iter()
                .map(|c| ChangeDoc { state: "left_out", ..ChangeDoc::new(c, outcomes) })
                .collect(),
            findings,
            totals: TotalsDoc::from(&plan.totals),
            summary: None,
        }
    }
}

impl ChangeDoc {
    fn new(change: &Change, outcomes: &Outcomes) -> Self {
        let outcome = outcomes.get(&change.id);
        let fields = change.fields().into_iter().map(|f| (field_name(f.field), f)).collect::<Vec<_>>();
        Self {
            change_id: change.id.to_string(),
            op: change.action.op(),
            state: outcome.map_or("planned", |o| o.state),
            task_id: change.task.to_string(),
            order_id: change.order.as_ref().map(ToString::to_string),
            line_id: change.line.clone(),
            source: change.source.to_string(),
            subscription_id: change.subscription.to_string(),
            customer_id: change.customer.to_string(),
            product_id: change.product.to_string(),
            role: change.role.name(),
            company_id: change.company.0,
            agreement_id: change.agreement.0,
            addition_id: addition_of(&change.action, outcome, outcomes),
            catalog_item_id: change.catalog_item.0,
            fields: fields.into_iter().map(|(name, f)| (name, field_doc(f))).collect(),
            amount: change.amount.display(change.currency),
            cost: change.cost.display(change.currency),
            currency: change.currency,
            true_period: change.true_period.map(PeriodDoc::from),
            reason: change.reason.clone(),
            formula: change.formula.clone(),
            key: change.key.to_string(),
            depends_on: change.depends_on.iter().map(ToString::to_string).collect(),
            edited: edited(change),
            error: outcome.and_then(|o| o.error.as_ref()).map(ErrorDoc::from),
            calls: outcome.map(|o| o.calls),
        }
    }

    /// The row of a table.
    pub fn row(&self) -> Vec<String> {
        let field = |name: &str| match self.fields.get(name) {
            Some(FieldDoc { from: Some(from), to: Some(to) }) => format!("{from} -> {to}"),
            Some(FieldDoc { from: None, to: Some(to) }) => to.clone(),
            Some(FieldDoc { from: Some(from), to: None }) => format!("{from} -> none"),
            Some(FieldDoc { from: None, to: None }) | None => String::new(),
        };
        vec![
            self.op.to_owned(),
            self.state.to_owned(),
            self.order_id.clone().unwrap_or_default(),
            self.role.to_owned(),
            self.agreement_id.to_string(),
            self.addition_id.map(|id| id.to_string()).unwrap_or_default(),
            self.product_id.clone(),
            field("quantity"),
            field("unitPrice"),
            field("effectiveDate"),
            field("cancelledDate"),
            format!("{} {}", self.amount, self.currency),
            self.reason.clone(),
        ]
    }
}

/// Header of change rows.
pub const CHANGE_HEADER: &[&str] = &[
    "op",
    "state",
    "order",
    "role",
    "agreement",
    "addition",
    "product",
    "quantity",
    "unit price",
    "from",
    "until",
    "amount",
    "reason",
];

fn edited(change: &Change) -> Option<EditedDoc> {
    let amended = change.amended.as_ref()?;
    let proposed = match (&amended.proposed, change.action.after()) {
        (Some(proposed), Some(wanted)) => fields_between(proposed, wanted, Some(change.currency))
            .into_iter()
            .map(|field| (field_name(field.field), field.from))
            .collect(),
        // It was to go.
        (None, _) | (Some(_), None) => BTreeMap::new(),
    };
    Some(EditedDoc { proposal_key: amended.proposal.to_string(), by: amended.by.clone(), proposed })
}

fn addition_of(action: &Action, outcome: Option<&Outcome>, outcomes: &Outcomes) -> Option<i64> {
    if let Some(id) = outcome.and_then(|o| o.addition) {
        return Some(id.0);
    }
    match action.target() {
        Some(Target::Existing(id)) => Some(id.0),
        Some(Target::CreatedBy(change)) => outcomes.get(change).and_then(|o| o.addition).map(|id| id.0),
        None => None,
    }
}

fn field_doc(change: FieldChange) -> FieldDoc {
    FieldDoc { from: change.from, to: change.to }
}

/// The name of a field.
pub fn field_name(field: Field) -> &'static str {
    match field {
        Field::CatalogItem => "product",
        Field::Quantity => "quantity",
        Field::UnitPrice => "unitPrice",
        Field::UnitCost => "unitCost",
        Field::EffectiveDate => "effectiveDate",
        Field::CancelledDate => "cancelledDate",
        Field::Bill => "billCustomer",
        Field::Taxable => "taxableFlag",
        Field::Description => "description",
        Field::InvoiceDescription => "invoiceDescription",
    }
}
