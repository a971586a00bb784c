//! `trueup plan`: computes and stores a plan, and shows plans.

use crate::app::App;
use crate::failure::{CliError, Exit};
use crate::line_edits::LineEditDoc;
use crate::output::contract::{CHANGE_HEADER, Lines, Outcome, Outcomes, PlanDoc, plan_state};
use crate::output::documents::{FINDING_HEADER, finding_rows, instant};
use crate::output::{Output, follow, note};
use clap::{Args, Subcommand, ValueEnum};
use jiff::civil::Date;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use trueup_domain::finding::{Code, Finding};
use trueup_domain::ids::{CustomerId, PlanId, SourceId, TaskId};
use trueup_domain::period::Period;
use trueup_domain::planner::AdoptionAnswer;
use trueup_domain::settings::PriceSource;
use trueup_engine::findings::{self, Decided};
use trueup_engine::observe::Trust;
use trueup_engine::planning::{Choice, LineEdit, PlanRequest, make_plan};
use trueup_engine::reconcile::{Reconciliation, tasks_for};
use trueup_engine::records::{FindingFilter, PlanState, StoredPlan};

/// Flags of `plan`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct PlanArgs {
    #[command(subcommand)]
    command: Option<PlanCommand>,
    /// These tasks, and the earlier ones of their subscriptions
    #[arg(long, value_name = "ID", num_args = 1.., conflicts_with_all = ["all", "reconcile"])]
    task: Vec<String>,
    /// Every task of an order that is not finished (the default); a reconciliation is planned where it is named
    #[arg(long, conflicts_with = "reconcile")]
    all: bool,
    /// Reconciles a billing period, START..END, of which END no longer counts
    #[arg(long, value_name = "START..END", requires = "customer")]
    reconcile: Option<String>,
    /// The customer to reconcile
    #[arg(long, value_name = "ID", requires = "reconcile")]
    customer: Option<String>,
    /// The source that knows the customer [default: every source]
    #[arg(long, value_name = "NAME", requires = "reconcile")]
    source: Option<String>,
    /// Proposes lines also for periods that are invoiced already
    #[arg(long, requires = "reconcile")]
    confirm_invoiced: bool,
    /// Where prices of these tasks come from
    #[arg(long, value_enum)]
    price_source: Option<PriceSourceArg>,
    /// What is set of lines that these tasks propose, as a JSON list [use - for standard input]
    #[arg(long, value_name = "FILE", conflicts_with = "all")]
    edits: Option<PathBuf>,
    /// Lists also the lines that stay as they are
    #[arg(long)]
    all_lines: bool,
    /// What to do where an addition is there that trueup did not write
    #[command(flatten)]
    adoption: AdoptionArgs,
    /// The connection [default: the nearest one]
    #[arg(long, value_name = "NAME")]
    connection: Option<String>,
}

/// Adoption.
#[derive(Args, Clone, Copy, Debug)]
pub struct AdoptionArgs {
    /// Takes over an open addition with the mapped item where it is the only one
    #[arg(long)]
    adopt: bool,
    /// Creates new lines beside open additions that trueup did not write
    #[arg(long, conflicts_with = "adopt")]
    no_adopt: bool,
}

impl AdoptionArgs {
    /// Whether an answer was given.
    pub fn is_given(&self) -> bool {
        self.adopt || self.no_adopt
    }

    /// The answer for the planner.
    pub fn answer(self) -> AdoptionAnswer {
        match (self.adopt, self.no_adopt) {
            (true, _) => AdoptionAnswer::TakeSingle,
            (false, true) => AdoptionAnswer::CreateBeside,
            (false, false) => AdoptionAnswer::Propose,
        }
    }
}

/// Where prices come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PriceSourceArg {
    /// The order.
    Marketplace,
    /// The existing addition, else the catalog item.
    Connectwise,
}

/// Stored plans.
#[derive(Debug, Subcommand)]
pub enum PlanCommand {
    /// Lists the newest plans
    List {
        /// How many
        #[arg(long, default_value_t = 20)]
        limit: u32,
    },
    /// Shows one plan and what became of it
    Show {
        /// The plan
        id: String,
        /// Lists also the lines that stay as they are
        #[arg(long)]
        all_lines: bool,
    },
}

fn lines(all: bool) -> Lines {
    if all { Lines::All } else { Lines::Changes }
}

/// Runs the command.
pub async fn run(app: &App, args: PlanArgs) -> Result<Exit, CliError> {
    match args.command {
        Some(PlanCommand::List { limit }) => list(app, limit).await,
        Some(PlanCommand::Show { id, all_lines }) => show(app, &PlanId::from(id), lines(all_lines)).await,
        None => make(app, args).await,
    }
}

async fn make(app: &App, args: PlanArgs) -> Result<Exit, CliError> {
    let settings = app.settings().await?;
    let choice = choose(app, &args).await?;
    let (connection, psa) = app.psa_to_write(args.connection.as_deref()).await?;
    let request = PlanRequest {
        org: app.org(),
        connection: &connection,
        actor: app.actor(),
        settings: &settings,
        adoption: args.adoption.answer(),
        choice,
        price_source: args.price_source.map(|source| match source {
            PriceSourceArg::Marketplace => PriceSource::Marketplace,
            PriceSourceArg::Connectwise => PriceSource::Connectwise,
        }),
        edits: args.edits.as_deref().map(edits_in).transpose()?.unwrap_or_default(),
        trust: Trust::Nothing,
    };
    let spinner = app.out.progress("Planning, calls to ConnectWise:");
    let planning = make_plan(app.store(), psa.as_ref(), &app.clock, &request);
    let planned = follow(&spinner, || psa.calls(), planning).await?;
    note_left_out(&planned.skipped);
    let stored = &planned.stored;
    let document = PlanDoc::new(stored, app.org(), &Outcomes::new(), &planned.brakes, lines(args.all_lines));
    app.out.show(&document, |out| print(out, stored, &document));
    exit_of(app, stored).await
}

/// Says which tasks a plan left out; of many with one reason, how many.
pub(super) fn note_left_out(skipped: &[(TaskId, String)]) {
    const NAMED: usize = 3;
    let mut by_reason: BTreeMap<&str, Vec<&TaskId>> = BTreeMap::new();
    for (task, reason) in skipped {
        by_reason.entry(reason).or_default().push(task);
    }
    for (reason, tasks) in by_reason {
        let named: Vec<String> = tasks.iter().take(NAMED).map(|task| format!("task {task}")).collect();
        let more = tasks.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let verb = if tasks.len() == 1 { "is" } else { "are" };
        note(&format!("{}{more} {verb} left out: {reason}", named.join(", ")));
    }
}

/// The edits in a file, or on standard input.
fn edits_in(file: &Path) -> Result<Vec<LineEdit>, CliError> {
    let unread = |error: std::io::Error| {
        CliError::usage(
            format!("{} cannot be read: {error}.", file.display()),
            "Name a file with a JSON list of edits.",
        )
    };
    let text = if file == Path::new("-") {
        std::io::read_to_string(std::io::stdin()).map_err(unread)?
    } else {
        std::fs::read_to_string(file).map_err(unread)?
    };
    let wishes: Vec<LineEditDoc> = serde_json::from_str(&text).map_err(|error| {
        CliError::usage(
            format!("{} holds no list of edits: {error}.", file.display()),
            "Write [{\"key\": \"tu...\", \"quantity\": \"5\"}], with the keys that `plan --format json` shows.",
        )
    })?;
    let parse = |wish: &LineEditDoc| {
        wish.parse().map_err(|wrong| {
            CliError::usage(
                format!("{}: {}.", wrong.field, wrong.reason),
                "Correct the value and plan again.",
            )
        })
    };
    wishes.iter().map(parse).collect()
}

async fn choose(app: &App, args: &PlanArgs) -> Result<Choice, CliError> {
    if let (Some(range), Some(customer)) = (&args.reconcile, &args.customer) {
        let customer = CustomerId::from(customer.as_str());
        let source = args.source.as_deref().map(SourceId::from);
        let wanted = Reconciliation {
            source: source.as_ref(),
            customer: &customer,
            period: period_of(range)?,
            confirm_invoiced: args.confirm_invoiced,
        };
        return Ok(Choice::Given(tasks_for(app.store(), &app.clock, app.org(), &wanted).await?));
    }
    if args.task.is_empty() {
        return Ok(Choice::All);
    }
    Ok(Choice::Tasks(args.task.iter().map(|id| TaskId::from(id.as_str())).collect()))
}

fn period_of(range: &str) -> Result<Period, CliError> {
    let wrong = |why: String| {
        CliError::usage(
            format!("`{range}` is no period: {why}"),
            "Write START..END, such as 2026-03-01..2026-04-01; END is the first day that no longer counts.",
        )
    };
    let (start, end) = range.split_once("..").ok_or_else(|| wrong("there is no `..`".into()))?;
    let day = |text: &str| text.trim().parse::<Date>().map_err(|_| wrong(format!("`{text}` is no date")));
    Period::new(day(start)?, day(end)?).map_err(|error| wrong(error.to_string()))
}

/// 1 where something needs a person: a grave finding, or a plan that did not pass its checks.
///
/// # Errors
/// The store's.
pub async fn exit_of(app: &App, stored: &StoredPlan) -> Result<Exit, CliError> {
    let decided = Decided::of(app.store(), app.org()).await?;
    let grave = decided.leaves_an_error(&stored.body.plan().findings);
    Ok(Exit::needs_person_if(grave || stored.state == PlanState::Refused))
}

/// A plan for people.
pub fn print(out: Output, stored: &StoredPlan, document: &PlanDoc) {
    let totals = &stored.body.plan().totals;
    out.line(&format!("Plan {} ({})", stored.id, document.state));
    if !document.changes.is_empty() {
        out.table(
            CHANGE_HEADER,
            document.changes.iter().map(super::super::output::contract::ChangeDoc::row).collect(),
        );
    }
    out.line(&format!(
        "{} to create, {} to update, {} to end, {} to delete, {} stay as they are.",
        totals.create, totals.update, totals.cancel, totals.delete, totals.keep
    ));
    for (currency, sums) in &totals.by_currency {
        out.line(&format!(
            "Next invoices in {currency}: {} -> {} ({}).",
            sums.next_invoice_before.display(*currency),
            sums.next_invoice_after.display(*currency),
            sums.delta.display(*currency)
        ));
    }
    if !document.findings.is_empty() {
        out.table(FINDING_HEADER, finding_rows(&document.findings));
    }
}

/// One stored plan.
///
/// # Errors
/// None has this id.
pub async fn find(app: &App, id: &PlanId) -> Result<StoredPlan, CliError> {
    app.store().find_plan(app.org(), id).await?.ok_or_else(|| {
        CliError::usage(format!("there is no plan `{id}`"), "`trueup plan list` shows the newest ones.")
    })
}

async fn show(app: &App, id: &PlanId, lines: Lines) -> Result<Exit, CliError> {
    let stored = find(app, id).await?;
    let outcomes: Outcomes = app
        .store()
        .list_operations(app.org(), id)
        .await?
        .iter()
        .map(|row| (row.change.clone(), Outcome::from(row)))
        .collect();
    let refused = why_refused(app, &stored).await?;
    let document = PlanDoc::new(&stored, app.org(), &outcomes, &refused, lines);
    app.out.show(&document, |out| print(out, &stored, &document));
    Ok(Exit::Done)
}

/// Why a plan that is out of date was not carried out: that is kept among the findings of its agreements.
async fn why_refused(app: &App, stored: &StoredPlan) -> Result<Vec<Finding>, CliError> {
    if stored.state != PlanState::Stale {
        return Ok(Vec::new());
    }
    let filter = FindingFilter { code: Some(Code::Tu7001.to_string()), ..FindingFilter::default() };
    let known = findings::list(app.store(), app.org(), &filter).await?;
    let plan = stored.body.plan();
    let of_plan = |finding: &Finding| {
        let subject = &finding.subject;
        subject.agreement.is_some_and(|id| plan.changes.iter().any(|change| change.agreement == id))
            || subject
                .task
                .as_ref()
                .is_some_and(|task| plan.changes.iter().any(|change| &change.task == task))
    };
    Ok(known.into_iter().map(|known| known.finding).filter(of_plan).collect())
}

async fn list(app: &App, limit: u32) -> Result<Exit, CliError> {
    let plans = app.store().list_plans(app.org(), limit).await?;
    let documents: Vec<_> = plans
        .iter()
        .map(|p| {
            let totals = &p.body.plan().totals;
            json!({
                "plan_id": p.id,
                "created_at": instant(p.created_at),
                "actor": p.actor,
                "connection": p.connection,
                "state": plan_state(p.state),
                "create": totals.create,
                "update": totals.update,
                "cancel": totals.cancel,
                "delete": totals.delete,
                "keep": totals.keep,
            })
        })
        .collect();
    app.out.show(&json!({ "plans": documents }), |out| {
        let rows = plans
            .iter()
            .map(|p| {
                let t = &p.body.plan().totals;
                vec![
                    p.id.to_string(),
                    instant(p.created_at),
                    plan_state(p.state).to_owned(),
                    p.actor.clone(),
                    format!("{} / {} / {} / {}", t.create, t.update, t.cancel, t.delete),
                ]
            })
            .collect();
        out.table(&["plan", "made", "state", "by", "create / update / end / delete"], rows);
    });
    Ok(Exit::Done)
}
