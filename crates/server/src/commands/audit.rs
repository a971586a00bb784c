//! `trueup audit`: who wrote what, when and why.

use super::quantity::{self, QuantityLineDoc};
use crate::app::App;
use crate::cli::{Cli, Command};
use crate::failure::{CliError, Exit};
use crate::output::contract::field_name;
use crate::output::documents::instant;
use crate::serve::INSTALLATION;
use clap::Subcommand;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use trueup_domain::feed::{Order, OrderLine, Record};
use trueup_domain::ids::AdditionId;
use trueup_domain::plan::{AdditionLink, FieldChange};
use trueup_engine::explain::{Explanation, Step, Takeover, explain, formula_of};
use trueup_engine::records::{AuditEntry, OperationState};
use utoipa::ToSchema;

/// The audit.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Explains every value of an addition: formula, inputs, source record
    Explain {
        /// The addition's id in ConnectWise
        addition: i64,
    },
    /// Recomputes the chain of hashes; with `--org '*'` of what concerns no single organization
    Verify,
    /// Lists the newest entries; with `--org '*'` of what concerns no single organization
    List {
        /// Of this addition
        #[arg(long, value_name = "ID")]
        addition: Option<i64>,
        /// How many
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
}

/// Whether the audit of what concerns no single organization is meant: `--org '*'`, which no other command takes.
pub fn is_of_installation(cli: &Cli) -> bool {
    let reads = matches!(&cli.command, Command::Audit(AuditCommand::Verify | AuditCommand::List { .. }));
    reads && cli.global.org.as_deref() == Some(INSTALLATION)
}

/// Runs one of the commands.
pub async fn run(app: &App, command: AuditCommand) -> Result<Exit, CliError> {
    match command {
        AuditCommand::Explain { addition } => show(app, AdditionId(addition)).await,
        AuditCommand::Verify => verify(app).await,
        AuditCommand::List { addition, limit } => list(app, addition.map(AdditionId), limit).await,
    }
}

async fn verify(app: &App) -> Result<Exit, CliError> {
    let broken = app.store().verify_audit(app.org()).await?;
    app.out.show(&json!({ "intact": broken.is_none(), "first_broken": broken }), |out| match broken {
        None => out.line("The audit is intact."),
        Some(number) => out.line(&format!("The audit does not fit together from entry {number} on.")),
    });
    Ok(Exit::needs_person_if(broken.is_some()))
}

async fn list(app: &App, addition: Option<AdditionId>, limit: u32) -> Result<Exit, CliError> {
    let mut entries = app.store().list_audit(app.org(), addition, limit).await?;
    entries.sort_by_key(|e| std::cmp::Reverse(e.number));
    let documents: Vec<EntryDoc> = entries.iter().map(EntryDoc::from).collect();
    app.out.show(&json!({ "entries": documents }), |out| {
        let rows = entries
            .iter()
            .map(|e| {
                vec![
                    e.number.to_string(),
                    instant(e.entry.at),
                    e.entry.actor.clone(),
                    e.entry.action.clone(),
                    e.entry.object.clone(),
                ]
            })
            .collect();
        out.table(&["number", "when", "who", "what", "on"], rows);
    });
    Ok(Exit::Done)
}

/// An entry with its detail opened up.
#[derive(Serialize, ToSchema)]
pub struct EntryDoc {
    number: i64,
    at: String,
    actor: String,
    action: String,
    object: String,
    #[schema(value_type = Object)]
    detail: Value,
    previous_hash: String,
    hash: String,
}

impl From<&AuditEntry> for EntryDoc {
    fn from(entry: &AuditEntry) -> Self {
        let detail = &entry.entry.detail;
        Self {
            number: entry.number,
            at: instant(entry.entry.at),
            actor: entry.entry.actor.clone(),
            action: entry.entry.action.clone(),
            object: entry.entry.object.clone(),
            detail: serde_json::from_str(detail).unwrap_or_else(|_| Value::String(detail.clone())),
            previous_hash: entry.previous_hash.clone(),
            hash: entry.hash.clone(),
        }
    }
}

/// One value of the addition and where it comes from.
#[derive(Serialize)]
struct ValueDoc {
    value: Option<String>,
    before: Option<String>,
    formula: String,
    inputs: Value,
    change_id: Option<String>,
    plan_id: String,
    order_id: Option<String>,
    line_id: Option<String>,
    reason: String,
}

/// One change that touched the addition.
#[derive(Serialize)]
struct StepDoc {
    plan_id: String,
    change_id: String,
    task_id: String,
    op: &'static str,
    state: String,
    at: String,
    role: &'static str,
    amount: String,
    cost: String,
    currency: String,
    reason: String,
    formula: String,
    key: String,
    source_line: Option<OrderLine>,
}

async fn show(app: &App, addition: AdditionId) -> Result<Exit, CliError> {
    let explanation = explain(app.store(), app.org(), addition).await?;
    let values = values_of(&explanation);
    let entries: Vec<EntryDoc> = explanation.entries.iter().map(EntryDoc::from).collect();
    let document = document_of(addition, &explanation);
    app.out.show(&document, |out| {
        let rows = values
            .iter()
            .map(|(name, v)| {
                vec![
                    (*name).to_owned(),
                    v.value.clone().unwrap_or_default(),
                    v.formula.clone(),
                    v.order_id.clone().unwrap_or_default(),
                    v.reason.clone(),
                ]
            })
            .collect();
        out.line(&format!("Addition {addition}"));
        out.table(&["value", "is", "how", "order", "why"], rows);
        if let Some(line) = &explanation.quantity {
            quantity::print_chain(out, line);
        }
        for entry in &entries {
            out.line(&format!("{} {} by {}", entry.at, entry.action, entry.actor));
        }
    });
    Ok(Exit::Done)
}

/// An explanation as a document.
pub fn document_of(addition: AdditionId, explanation: &Explanation) -> Value {
    let values = values_of(explanation);
    let steps: Vec<StepDoc> = explanation.steps.iter().map(StepDoc::from).collect();
    let entries: Vec<EntryDoc> = explanation.entries.iter().map(EntryDoc::from).collect();
    json!({
        "addition_id": addition,
        "agreement_id": explanation.link.as_ref().map(|l| l.agreement),
        "subscription_id": explanation.link.as_ref().map(|l| &l.subscription),
        "product_id": explanation.link.as_ref().map(|l| &l.product),
        "role": explanation.link.as_ref().map(|l| l.role.name()),
        "key": explanation.link.as_ref().and_then(|l| l.key.as_ref()),
        "true_period": explanation.link.as_ref().and_then(|l| l.true_period),
        "written": explanation.link.as_ref().map(|l| &l.written),
        "quantity": explanation.quantity.as_ref().map(QuantityLineDoc::from),
        "deleted": explanation.link.as_ref().is_some_and(|l| l.deleted),
        "settled": explanation.link.as_ref().is_some_and(AdditionLink::is_settled),
        "values": values,
        "changes": steps,
        "source_record": source_record(explanation),
        "entries": entries,
    })
}

fn source_record(explanation: &Explanation) -> Option<Value> {
    let row = explanation.order.as_ref()?;
    match &row.record {
        Record::Order(order) => Some(json!({
            "source": row.source,
            "type": "order",
            "version": row.version,
            "received_at": instant(row.received_at),
            "record": order,
        })),
        _ => None, // open set: only orders make additions
    }
}

impl From<&Step> for StepDoc {
    fn from(step: &Step) -> Self {
        let change = &step.change;
        Self {
            plan_id: step.operation.plan.to_string(),
            change_id: change.id.to_string(),
            task_id: change.task.to_string(),
            op: change.action.op(),
            state: json!(step.operation.state).as_str().unwrap_or_default().to_owned(),
            at: instant(step.operation.updated_at),
            role: change.role.name(),
            amount: change.amount.display(change.currency),
            cost: change.cost.display(change.currency),
            currency: change.currency.to_string(),
            reason: change.reason.clone(),
            formula: change.formula.clone(),
            key: change.key.to_string(),
            source_line: step.line.clone(),
        }
    }
}

/// How each value came about last: by a change that was carried out, or by a person whose value was taken over.
fn values_of(explanation: &Explanation) -> BTreeMap<&'static str, ValueDoc> {
    enum Origin<'a> {
        Taken(&'a Takeover),
        Written(&'a Step),
    }
    let carried_out = explanation.steps.iter().filter(|s| s.operation.state == OperationState::Done);
    let mut origins: Vec<(i64, Origin<'_>)> =
        explanation.takeovers.iter().map(|t| (t.at, Origin::Taken(t))).collect();
    origins.extend(carried_out.map(|s| (s.operation.updated_at, Origin::Written(s))));
    // Stable: what was taken over and what was written to it bear one instant, in this order.
    origins.sort_by_key(|(at, _)| *at);
    let mut values = BTreeMap::new();
    for (_, origin) in origins {
        match origin {
            Origin::Taken(takeover) => values.extend(
                takeover
                    .values(explanation.currency)
                    .into_iter()
                    .map(|(field, how)| (field_name(field.field), taken_value(takeover, field, how))),
            ),
            Origin::Written(step) => values.extend(
                step.change
                    .fields()
                    .into_iter()
                    .map(|field| (field_name(field.field), value_of(step, field))),
            ),
        }
    }
    values
}

/// What dates and amounts of a line go by, of the order behind it.
fn order_inputs(order: &Order) -> Value {
    json!({
        "id": order.id,
        "kind": order.kind,
        "completed_at": order.completed_at,
        "effective": order.effective,
        "effective_given": order.effective_given,
        "period": order.period.to_string(),
    })
}

fn taken_value(takeover: &Takeover, field: FieldChange, how: &str) -> ValueDoc {
    ValueDoc {
        value: field.to,
        before: field.from,
        formula: how.to_owned(),
        inputs: json!({ "taken_over_by": takeover.actor, "taken_over_at": instant(takeover.at) }),
        change_id: None,
        plan_id: takeover.plan.to_string(),
        order_id: None,
        line_id: None,
        reason: "A person's values are never overwritten.".to_owned(),
    }
}

fn value_of(step: &Step, field: FieldChange) -> ValueDoc {
    let change = &step.change;
    ValueDoc {
        formula: formula_of(step, &field),
        value: field.to,
        before: field.from,
        inputs: json!({
            "line": step.line,
            "netted_lines": step.netted(),
            "order": step.order.as_ref().map(order_inputs),
            "agreement": step.seen,
            "true_period": change.true_period,
            "catalog_item_id": change.catalog_item,
        }),
        change_id: Some(change.id.to_string()),
        plan_id: step.operation.plan.to_string(),
        order_id: change.order.as_ref().map(ToString::to_string),
        line_id: change.line.clone(),
        reason: change.reason.clone(),
    }
}
