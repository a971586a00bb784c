//! Documents and table rows of records that several commands print.

use crate::line_edits::LineEditDoc;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::feed::Order;
use trueup_domain::finding::{Finding, Subject};
use trueup_domain::ids::TaskId;
use trueup_domain::money::{Currency, Money, Quantity};
use trueup_domain::settings::PriceSource;
use trueup_domain::task::Task;
use trueup_engine::observe::{Pulled, Told};
use trueup_engine::records::{FindingState, Millis, StoredFinding};
use utoipa::ToSchema;

/// An instant as RFC 3339 in UTC.
pub fn instant(at: Millis) -> String {
    Timestamp::from_millisecond(at).map_or_else(|_| at.to_string(), |t| t.to_string())
}

/// A task.
#[derive(Debug, Serialize, ToSchema)]
pub struct TaskDoc {
    #[schema(value_type = String)]
    task_id: TaskId,
    source: String,
    kind: &'static str,
    customer_id: String,
    subscription_id: String,
    order_id: Option<String>,
    completed_at: Option<String>,
    state: &'static str,
    reason: Option<String>,
    decided_by: Option<String>,
    price_source: Option<&'static str>,
    /// What a person set of the lines that it proposes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    edits: Vec<KeptEditDoc>,
}

/// An edit that stays with its task.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeptEditDoc {
    #[serde(flatten)]
    edit: LineEditDoc,
    by: String,
    at: String,
}

impl From<&Task> for TaskDoc {
    fn from(task: &Task) -> Self {
        let completed =
            task.order_id.as_ref().and_then(|_| Timestamp::from_microsecond(task.completed_us).ok());
        Self {
            task_id: task.id.clone(),
            source: task.source.to_string(),
            kind: task.kind.name(),
            customer_id: task.customer.to_string(),
            subscription_id: task.subscription.to_string(),
            order_id: task.order_id.as_ref().map(ToString::to_string),
            completed_at: completed.map(|t| t.to_string()),
            state: task.state.name(),
            reason: task.reason.clone(),
            decided_by: task.decided_by.clone(),
            price_source: task.price_source.map(|p| match p {
                PriceSource::Marketplace => "marketplace",
                PriceSource::Connectwise => "connectwise",
            }),
            edits: task
                .amendments
                .iter()
                .map(|kept| KeptEditDoc {
                    edit: LineEditDoc::from(kept),
                    by: kept.by.clone(),
                    at: instant(kept.at_us / 1000),
                })
                .collect(),
        }
    }
}

/// Header of task rows.
pub const TASK_HEADER: &[&str] = &["task", "state", "kind", "order", "subscription", "customer", "reason"];

/// Tasks as rows.
pub fn task_rows(tasks: &[Task]) -> Vec<Vec<String>> {
    tasks
        .iter()
        .map(|t| {
            vec![
                t.id.to_string(),
                t.state.name().to_owned(),
                t.kind.name().to_owned(),
                t.order_id.as_ref().map(ToString::to_string).unwrap_or_default(),
                t.subscription.to_string(),
                t.customer.to_string(),
                t.reason.clone().unwrap_or_default(),
            ]
        })
        .collect()
}

/// Columns of an order's lines.
pub const ORDER_LINE_HEADER: &[&str] = &["charge", "product", "quantity", "unit price", "amount", "period"];

/// An order's lines as rows, with what they say and nothing that trueup concluded from it.
pub fn order_line_rows(order: &Order) -> Vec<Vec<String>> {
    let money = |value: Option<Money>| value.map(|amount| amount.display(order.currency));
    let rows = order.lines.iter().map(|line| {
        let quantity = match (line.old_quantity, line.new_quantity) {
            (None, None) => line.quantity.display(),
            (old, new) => {
                let shown = |at: Option<Quantity>| at.map_or_else(|| "?".to_owned(), Quantity::display);
                format!("{} -> {}", shown(old), shown(new))
            }
        };
        let price = match (money(line.old_unit_price), money(line.unit_price)) {
            (Some(old), Some(new)) if old != new => Some(format!("{old} -> {new}")),
            (_, new) => new,
        };
        vec![
            line.charge.name().to_owned(),
            line.product.to_string(),
            quantity,
            price.unwrap_or_default(),
            money(line.amount).unwrap_or_default(),
            line.period.map(|period| period.to_string()).unwrap_or_default(),
        ]
    });
    rows.collect()
}

#[derive(Debug, Serialize, ToSchema)]
struct MoneyDoc {
    amount: String,
    #[schema(value_type = String)]
    currency: Currency,
}

fn money(value: Option<(Money, Currency)>) -> Option<MoneyDoc> {
    value.map(|(amount, currency)| MoneyDoc { amount: amount.display(currency), currency })
}

/// A finding as a plan or a check raises it.
#[derive(Debug, Serialize, ToSchema)]
pub struct FindingDoc {
    /// The exception code.
    pub code: String,
    severity: &'static str,
    title: &'static str,
    message: String,
    /// The task; none where it holds several, or none.
    #[schema(value_type = Option<String>)]
    task_id: Option<TaskId>,
    /// The tasks that it holds.
    #[schema(value_type = Vec<String>)]
    tasks: BTreeSet<TaskId>,
    fix: String,
    #[schema(value_type = Object)]
    subject: Subject,
    amount: Option<MoneyDoc>,
    their_words: Option<String>,
}

impl From<&Finding> for FindingDoc {
    fn from(finding: &Finding) -> Self {
        let mut tasks = finding.tasks.clone();
        tasks.extend(finding.subject.task.clone());
        Self {
            code: finding.code.to_string(),
            severity: finding.severity.name(),
            title: finding.code.row().title,
            message: finding.message.clone(),
            task_id: tasks.first().filter(|_| tasks.len() == 1).cloned(),
            tasks,
            fix: finding.fix.clone(),
            subject: finding.subject.clone(),
            amount: money(finding.amount),
            their_words: finding.their_words.clone(),
        }
    }
}

/// Leaves one of findings that say the same of the same, wherever they were met.
pub fn once_each(findings: &mut Vec<FindingDoc>) {
    let mut said = BTreeSet::new();
    findings.retain(|f| said.insert((f.code.clone(), f.subject.clone(), f.message.clone())));
}

/// Header of finding rows.
pub const FINDING_HEADER: &[&str] = &["severity", "code", "message", "what to do", "task"];

/// Findings as rows: what is said of several tasks in the same words is one row.
pub fn finding_rows(findings: &[FindingDoc]) -> Vec<Vec<String>> {
    let mut rows: Vec<(&FindingDoc, BTreeSet<&TaskId>)> = Vec::new();
    let mut place_of: BTreeMap<(&str, &str, &str), usize> = BTreeMap::new();
    for finding in findings {
        let said = (finding.code.as_str(), finding.message.as_str(), finding.fix.as_str());
        let place = *place_of.entry(said).or_insert_with(|| {
            rows.push((finding, BTreeSet::new()));
            rows.len() - 1
        });
        if let Some((_, tasks)) = rows.get_mut(place) {
            tasks.extend(&finding.tasks);
        }
    }
    rows.into_iter()
        .map(|(f, tasks)| {
            let more = tasks.len().saturating_sub(1);
            let task = match tasks.first() {
                None => String::new(),
                Some(task) if more == 0 => task.to_string(),
                Some(task) => format!("{task} and {more} more"),
            };
            vec![f.severity.to_owned(), f.code.clone(), f.message.clone(), f.fix.clone(), task]
        })
        .collect()
}

/// A finding with its state.
#[derive(Debug, Serialize, ToSchema)]
pub struct StoredFindingDoc {
    finding_id: String,
    /// The state's word.
    pub state: &'static str,
    #[serde(flatten)]
    finding: FindingDoc,
    count: u64,
    first_seen_at: String,
    last_seen_at: String,
    muted_until: Option<String>,
    reason: Option<String>,
    decided_by: Option<String>,
}

impl From<&StoredFinding> for StoredFindingDoc {
    fn from(stored: &StoredFinding) -> Self {
        Self {
            finding_id: stored.id.clone(),
            state: match stored.state {
                FindingState::Open => "open",
                FindingState::Muted => "muted",
                FindingState::Ignored => "ignored",
                FindingState::Resolved => "resolved",
                FindingState::Recurred => "recurred",
            },
            finding: FindingDoc::from(&stored.finding),
            count: stored.count,
            first_seen_at: instant(stored.first_seen_at),
            last_seen_at: instant(stored.last_seen_at),
            muted_until: stored.muted_until.map(|d| d.to_string()),
            reason: stored.reason.clone(),
            decided_by: stored.decided_by.clone(),
        }
    }
}

/// Header of stored findings.
pub const STORED_FINDING_HEADER: &[&str] =
    &["finding", "severity", "code", "state", "seen", "tasks", "message", "what to do"];

/// Stored findings as rows.
pub fn stored_finding_rows(findings: &[StoredFindingDoc]) -> Vec<Vec<String>> {
    findings
        .iter()
        .map(|f| {
            vec![
                f.finding_id.clone(),
                f.finding.severity.to_owned(),
                f.finding.code.clone(),
                f.state.to_owned(),
                f.count.to_string(),
                f.finding.tasks.len().to_string(),
                f.finding.message.clone(),
                f.finding.fix.clone(),
            ]
        })
        .collect()
}

/// What a pull of a connection read, with how many `calls`; `told` where the whole picture was gone over as well.
pub fn pulled_document(connection: &str, calls: u64, pulled: &Pulled, told: Option<&Told>) -> Value {
    let mut document = json!({
        "connection": connection,
        "whole": pulled.whole,
        "calls": calls,
        "agreements_read": pulled.read,
        "agreements_changed": pulled.changed,
        "agreements_in_turn": pulled.in_turn,
        "agreements_gone": pulled.gone,
        "agreements_unread": pulled.unread,
        "agreements_different": pulled.different,
    });
    if let (Some(told), Some(document)) = (told, document.as_object_mut()) {
        for (name, count) in [
            ("companies", pulled.companies),
            ("agreements", told.agreements),
            ("additions", told.additions),
            ("catalog_items", pulled.catalog_items),
            ("as_written", told.drift.unchanged),
            ("changed_by_people", told.drift.findings.len()),
            ("other_findings", told.beside.len()),
        ] {
            document.insert(name.to_owned(), json!(count));
        }
    }
    document
}
