//! The lines, what a comparison comes to, and the run that writes it.

use super::args::{CompareArgs, RunArgs, ShowArgs};
use crate::app::{App, source_of};
use crate::commands::{apply, plan};
use crate::failure::{CliError, Exit};
use crate::output::contract::{Lines, Outcomes, PlanDoc};
use crate::output::documents::{FINDING_HEADER, FindingDoc, finding_rows};
use crate::output::{Output, any_error, note};
use serde::Serialize;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::finding::Finding;
use trueup_domain::ids::{CustomerId, ProductId, SourceId};
use trueup_domain::money::Quantity;
use trueup_domain::quantity::Line;
use trueup_domain::quantity::chain::Step;
use trueup_domain::settings::Settings;
use trueup_engine::apply::Progress;
use trueup_engine::applying::Approval;
use trueup_engine::observe::Trust;
use trueup_engine::quantity::{self, Preview, Request, RunReport, tenant_of};
use utoipa::ToSchema;

/// A line, with its quantity step by step.
#[derive(Serialize, ToSchema)]
pub struct QuantityLineDoc {
    #[schema(value_type = String)]
    source: SourceId,
    #[schema(value_type = String)]
    customer_id: CustomerId,
    agreement_id: i64,
    catalog_item_id: i64,
    #[schema(value_type = Vec<String>)]
    services: Vec<ProductId>,
    addition_id: Option<i64>,
    /// What ConnectWise held.
    observed: Option<String>,
    /// What should be billed.
    wanted: Option<String>,
    /// `equal`, `update`, `create`, `adopt`, `end`, `held` or `refused`.
    verdict: &'static str,
    /// Why, in words.
    why: String,
    /// What stands in the way, or what it waits for.
    code: Option<String>,
    /// The instant of the oldest level in it.
    as_of: Option<String>,
    /// How the quantity came about, first to last.
    #[schema(value_type = Vec<Object>)]
    steps: Vec<Step>,
}

impl From<&Line> for QuantityLineDoc {
    fn from(line: &Line) -> Self {
        Self {
            source: line.source.clone(),
            customer_id: line.customer.clone(),
            agreement_id: line.agreement.0,
            catalog_item_id: line.item.0,
            services: line.services.clone(),
            addition_id: line.addition.map(|id| id.0),
            observed: line.observed.map(Quantity::display),
            wanted: line.chain.as_ref().map(|chain| chain.quantity.display()),
            verdict: line.verdict.name(),
            why: line.why.clone(),
            code: line.code.map(|code| code.to_string()),
            as_of: line.as_of.clone(),
            steps: line.chain.as_ref().map(|chain| chain.steps.clone()).unwrap_or_default(),
        }
    }
}

const LINE_HEADER: &[&str] = &["customer", "agreement", "item", "addition", "has", "should", "is", "why"];

fn line_rows(lines: &[QuantityLineDoc]) -> Vec<Vec<String>> {
    let id = |id: Option<i64>| id.map(|id| id.to_string()).unwrap_or_default();
    lines
        .iter()
        .map(|line| {
            vec![
                line.customer_id.to_string(),
                line.agreement_id.to_string(),
                line.catalog_item_id.to_string(),
                id(line.addition_id),
                line.observed.clone().unwrap_or_default(),
                line.wanted.clone().unwrap_or_default(),
                line.verdict.to_owned(),
                line.why.clone(),
            ]
        })
        .collect()
}

/// The steps of a line's quantity, for people.
pub fn print_chain(out: Output, line: &Line) {
    let Some(chain) = &line.chain else { return };
    out.line(&format!("Why {}:", chain.quantity.display()));
    for step in &chain.steps {
        out.line(&format!("  {}", step.text));
    }
}

pub(super) async fn show(app: &App, args: ShowArgs) -> Result<Exit, CliError> {
    let mut lines = quantity::lines(app.store(), app.org()).await?;
    lines.retain(|line| {
        args.customer.as_deref().is_none_or(|customer| line.customer.as_str() == customer)
            && args.source.as_deref().is_none_or(|source| line.source.as_str() == source)
    });
    let documents: Vec<QuantityLineDoc> = lines.iter().map(QuantityLineDoc::from).collect();
    app.out.show(&json!({ "lines": documents }), |out| {
        out.table(LINE_HEADER, line_rows(&documents));
        if args.customer.is_some() {
            lines.iter().for_each(|line| print_chain(out, line));
        }
    });
    Ok(Exit::Done)
}

/// Whom and what a comparison is asked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The connection; the nearest one where none is named.
    pub connection: Option<String>,
    /// These customers alone; all where none is named.
    pub only: Option<BTreeSet<(SourceId, CustomerId)>>,
    /// Takes over a single open addition that is there.
    pub adopt: bool,
    /// Writes also what waits for a person.
    pub approve: bool,
    /// Only agreements whose next invoice is near.
    pub due: bool,
    /// What of the local picture stands in for a read.
    pub trust: Trust,
}

impl From<CompareArgs> for Wanted {
    fn from(args: CompareArgs) -> Self {
        let source = source_of(args.source.as_deref());
        let only: BTreeSet<_> =
            args.customer.into_iter().map(|customer| (source.clone(), CustomerId::from(customer))).collect();
        Self {
            connection: args.connection,
            only: (!only.is_empty()).then_some(only),
            adopt: args.adopt,
            ..Self::default()
        }
    }
}

/// What would be written.
#[derive(Serialize, ToSchema)]
pub struct QuantityPreviewDoc {
    /// The lines.
    pub lines: Vec<QuantityLineDoc>,
    /// The plan of everything, what waits for a person included; none where nothing is to be done.
    pub plan: Option<PlanDoc>,
    /// What a person should know.
    pub findings: Vec<FindingDoc>,
}

/// What a run did.
#[derive(Serialize)]
pub struct QuantityRunDoc {
    /// The lines.
    pub lines: Vec<QuantityLineDoc>,
    /// How many lines came to what.
    pub counts: BTreeMap<&'static str, usize>,
    /// Plans that were carried out, with what became of each change.
    pub applied: Vec<PlanDoc>,
    /// Plans that wait for people.
    pub waiting: Vec<PlanDoc>,
    /// What a person should know.
    pub findings: Vec<FindingDoc>,
    /// Calls of ConnectWise.
    pub calls: u64,
}

fn docs<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Vec<FindingDoc> {
    findings.into_iter().map(FindingDoc::from).collect()
}

fn request<'a>(
    app: &'a App,
    settings: &'a Settings,
    (connection, tenant): (&'a str, &'a str),
    wanted: &Wanted,
) -> Request<'a> {
    Request {
        org: app.org(),
        connection,
        tenant,
        actor: app.actor(),
        settings,
        adopt: wanted.adopt,
        only: wanted.only.clone(),
        due_only: wanted.due,
        trust: wanted.trust,
    }
}

/// Compares and stores the plan of everything.
///
/// # Errors
/// ConnectWise or the store cannot be read.
pub async fn preview_of(app: &App, wanted: &Wanted) -> Result<(Preview, QuantityPreviewDoc), CliError> {
    let settings = app.settings().await?;
    let connection = app.connection(wanted.connection.as_deref()).await?;
    let (_, psa) = app.psa(Some(&connection.name)).await?;
    let tenant = tenant_of(&connection);
    let request = request(app, &settings, (&connection.name, &tenant), wanted);
    let made = quantity::preview(app.store(), psa.as_ref(), &app.clock, &request).await?;
    let document = QuantityPreviewDoc {
        lines: made.lines.iter().map(QuantityLineDoc::from).collect(),
        plan: made
            .plan
            .as_ref()
            .map(|stored| PlanDoc::new(stored, app.org(), &Outcomes::new(), &[], Lines::Changes)),
        findings: docs(&made.findings),
    };
    Ok((made, document))
}

pub(super) async fn preview(app: &App, args: CompareArgs) -> Result<Exit, CliError> {
    let (made, document) = preview_of(app, &args.into()).await?;
    app.out.show(&document, |out| {
        out.table(LINE_HEADER, line_rows(&document.lines));
        if let (Some(stored), Some(shown)) = (&made.plan, &document.plan) {
            plan::print(out, stored, shown);
        }
        if !document.findings.is_empty() {
            out.table(FINDING_HEADER, finding_rows(&document.findings));
        }
    });
    Ok(Exit::needs_person_if(any_error(made.findings.iter().map(|finding| &finding.severity))))
}

/// Compares and writes. Returns what it did, as a document, and whether something needs a person.
///
/// # Errors
/// It could not be planned or not carried out.
pub async fn run_of(
    app: &App,
    wanted: &Wanted,
    owner: &str,
    tell: &(dyn Fn(Progress) + Send + Sync),
) -> Result<(QuantityRunDoc, bool), CliError> {
    let settings = app.settings().await?;
    apply::billing_is_on(&settings)?;
    let connection = app.connection(wanted.connection.as_deref()).await?;
    let (_, psa) = app.psa(Some(&connection.name)).await?;
    let tenant = tenant_of(&connection);
    let request = request(app, &settings, (&connection.name, &tenant), wanted);
    let options = apply::options(app, &settings, &connection.name, owner, tell);
    let approval = if wanted.approve { Approval::Given } else { Approval::Needed };
    let report = quantity::run(app.store(), psa.as_ref(), &app.clock, &request, approval, &options).await?;
    let needs_person = needs_person(&report);
    let mut counts = BTreeMap::new();
    for line in &report.lines {
        *counts.entry(line.verdict.name()).or_insert(0) += 1;
    }
    let document = QuantityRunDoc {
        lines: report.lines.iter().map(QuantityLineDoc::from).collect(),
        counts,
        applied: report
            .outcomes
            .iter()
            .map(|outcome| apply::document_of(app, &outcome.stored, &outcome.report, &[]))
            .chain(
                report
                    .resumed
                    .iter()
                    .map(|resumed| apply::document_of(app, &resumed.stored, &resumed.report, &[])),
            )
            .collect(),
        waiting: report
            .waiting
            .iter()
            .map(|stored| PlanDoc::new(stored, app.org(), &Outcomes::new(), &[], Lines::Changes))
            .collect(),
        findings: docs(report.unread.iter().chain(&report.findings)),
        calls: psa.calls(),
    };
    Ok((document, needs_person))
}

fn needs_person(report: &RunReport) -> bool {
    !report.waiting.is_empty()
        || report.outcomes.iter().any(|outcome| outcome.report.needs_attention())
        || report.resumed.iter().any(|resumed| resumed.report.needs_attention())
        || !report.unread.is_empty()
        || any_error(report.findings.iter().map(|finding| &finding.severity))
}

pub(super) async fn execute(app: &App, args: RunArgs) -> Result<Exit, CliError> {
    let bar = app.out.progress("Comparing");
    let mut wanted = Wanted::from(args.compare);
    wanted.approve = args.approve;
    wanted.due = args.due;
    let done = run_of(app, &wanted, "cli", &apply::teller(bar.clone())).await;
    bar.finish_and_clear();
    let (document, needs_person) = done?;
    app.out.show(&document, |out| {
        out.table(LINE_HEADER, line_rows(&document.lines));
        let counted: Vec<String> =
            document.counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
        out.line(&format!("{}; {} calls.", counted.join(", "), document.calls));
        if !document.findings.is_empty() {
            out.table(FINDING_HEADER, finding_rows(&document.findings));
        }
    });
    for waiting in &document.waiting {
        note(&format!("A plan waits for a person: `trueup apply {}` carries it out.", waiting.plan_id));
    }
    Ok(Exit::needs_person_if(needs_person))
}
