//! `trueup apply`: carries a stored plan out, or plans and applies every ready task.

use super::plan::{AdoptionArgs, find, note_left_out, print};
use crate::app::App;
use crate::failure::{CliError, Exit};
use crate::output::contract::{ChangeDoc, Lines, Outcome, Outcomes, PlanDoc, SummaryDoc};
use crate::output::documents::{FindingDoc, once_each};
use crate::output::{count, note};
use clap::Args;
use indicatif::ProgressBar;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::finding::{Code, Finding};
use trueup_domain::ids::{ChangeId, PlanId, TaskId};
use trueup_domain::planner::AdoptionAnswer;
use trueup_domain::settings::{MarkerPlace, Settings};
use trueup_engine::apply::{ApplyError, ApplyOptions, ApplyReport, Progress};
use trueup_engine::applying::{self, Approval, RunReport};
use trueup_engine::approvals::{self, Voice};
use trueup_engine::findings::Decided;
use trueup_engine::observe::Trust;
use trueup_engine::planning::{Choice, PlanRequest};
use trueup_engine::ports::Clock;
use trueup_engine::records::{PlanState, StoredPlan};
use trueup_engine::schedule::Timetable;
use trueup_engine::settings;

/// Flags of `apply`.
#[derive(Args, Debug)]
pub struct ApplyArgs {
    /// The stored plan
    #[arg(value_name = "PLAN_ID", conflicts_with = "all")]
    plan_id: Option<String>,
    /// Plans and applies every ready task
    #[arg(long)]
    all: bool,
    /// Lets the run pass where a limit would hold it
    #[arg(long, requires = "all")]
    approve: bool,
    /// Works as a schedule of the service would: writes for the customers alone that are written for by themselves
    /// (schedule.customers)
    #[arg(long, requires = "all")]
    unattended: bool,
    /// What to do where an addition is there that trueup did not write
    #[command(flatten)]
    adoption: AdoptionArgs,
    /// The connection [default: the nearest one]
    #[arg(long, value_name = "NAME", requires = "all")]
    connection: Option<String>,
}

/// Runs the command.
pub async fn run(app: &App, args: ApplyArgs) -> Result<Exit, CliError> {
    let settings = app.settings().await?;
    match &args.plan_id {
        Some(id) if args.adoption.is_given() => Err(CliError::usage(
            "how additions are taken over is settled while a plan is made, and this plan is made",
            format!(
                "Make another with `trueup plan --adopt` or `--no-adopt`, or leave that out: `trueup apply {id}`."
            ),
        )),
        Some(id) => one(app, &settings, &PlanId::from(id.as_str())).await,
        None if !args.all => Err(CliError::usage(
            "apply needs to know what: a stored plan, or everything that is ready",
            "Write `trueup apply PLAN_ID` (`trueup plan list` shows the plans), or `trueup apply --all`.",
        )),
        None => all(app, &settings, &args).await,
    }
}

/// Told after every change; a bar on a terminal.
pub(super) fn teller(bar: ProgressBar) -> impl Fn(Progress) + Send + Sync {
    move |progress: Progress| {
        count(&bar, progress.finished as u64, progress.total as u64);
        if progress.waits_until.is_some() {
            bar.set_message("Waiting for an operation in doubt");
        }
    }
}

/// As many calls as may come to be under way where the setting leaves it open.
const MOST_BY_ITSELF: u32 = 10;

/// A quarter more than the calls that may be under way: what is just being written into the journal must not leave a place for a
/// call empty.
fn steps_at_once(settings: &Settings) -> usize {
    let calls = settings.calls_at_once.unwrap_or(MOST_BY_ITSELF);
    usize::try_from(calls.saturating_add(calls.div_ceil(4))).unwrap_or(1)
}

/// How plans are applied here.
pub fn options<'a>(
    app: &App,
    settings: &'a Settings,
    connection: &str,
    owner: &str,
    progress: &'a (dyn Fn(Progress) + Send + Sync),
) -> ApplyOptions<'a> {
    // Only one process can hold the embedded database, so its own leases are never another's. A database server is
    // shared, and a name of its own keeps one process out of the lanes of another.
    let owner = match &app.options.database {
        Some(_) => format!("{owner}-{}", uuid::Uuid::now_v7().simple()),
        None => owner.to_owned(),
    };
    ApplyOptions {
        actor: app.actor().to_owned(),
        owner,
        settle_ms: i64::try_from(settings.settle_seconds).unwrap_or(120).saturating_mul(1_000),
        keyed: settings.marker != MarkerPlace::None,
        progress: Some(progress),
        connection: Some(connection.to_owned()),
        in_flight: steps_at_once(settings),
        boundary: crate::stops::told(),
        policy: Some(settings.approval.clone()),
        settings: Some(settings),
        ..ApplyOptions::default()
    }
}

async fn one(app: &App, settings: &Settings, id: &PlanId) -> Result<Exit, CliError> {
    let bar = app.out.progress("Applying");
    // Whoever names a plan here has seen it: that is a person's word on exactly this plan.
    let voice = Voice { person: approvals::COMMAND_LINE, actor: app.actor() };
    let stored = find(app, id).await?;
    if stored.state == PlanState::Applied {
        note("This plan was carried out before: nothing is sent again.");
    }
    approvals::say_yes(app.store(), &app.clock, app.org(), voice, &stored, &settings.approval).await?;
    let applied = apply_one(app, settings, id, OWNER, &teller(bar.clone())).await;
    bar.finish_and_clear();
    let applied = applied?;
    note_left_out(&applied.left);
    show(app, &applied.stored, &applied.document);
    if applied.held {
        note(
            "The plan waits for people, and nothing was written: `trueup approval list` shows for how many.",
        );
    }
    Ok(Exit::needs_person_if(applied.needs_person))
}

/// What a run did, as it is shown.
pub struct Applied {
    /// The plan in the state that the run left it in.
    pub stored: StoredPlan,
    /// The plan with what became of it.
    pub document: PlanDoc,
    /// Whether something needs a person.
    pub needs_person: bool,
    /// Whether a limit holds the run.
    pub held: bool,
    /// The tasks that were left out for persons to start, with why.
    pub left: Vec<(TaskId, String)>,
}

/// The holder of leases on the command line.
const OWNER: &str = "cli";

/// Refuses to bill where billing is switched off.
///
/// # Errors
/// It is.
pub fn billing_is_on(settings: &Settings) -> Result<(), CliError> {
    if settings.billing {
        return Ok(());
    }
    Err(CliError::usage(
        "billing is switched off for this organization (`billing`)",
        "`trueup setting set billing on` switches it on.",
    ))
}

/// Carries a stored plan out.
///
/// # Errors
/// There is none, or it could not be carried out.
pub async fn apply_one(
    app: &App,
    settings: &Settings,
    id: &PlanId,
    owner: &str,
    tell: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Applied, CliError> {
    billing_is_on(settings)?;
    let stored = find(app, id).await?;
    let (connection, psa) = app.psa(Some(&stored.connection)).await?;
    let options = options(app, settings, &connection, owner, tell);
    let applied = applying::apply(app.store(), psa.as_ref(), &app.clock, app.org(), &stored, &options).await;
    let report = match applied {
        Ok(report) => report,
        Err(ApplyError::Waits(finding)) => return Ok(waits(app, stored, &finding)),
        Err(error) => return Err(error.into()),
    };
    let (_, stored) = reread(app, stored).await?;
    let mut document = document_of(app, &stored, &report, &[]);
    finished(&mut document);
    // The look at the API member's rights is part of what a run costs.
    document.summary = Some(SummaryDoc::of(&document.changes, psa.calls()));
    let decided = Decided::of(app.store(), app.org()).await?;
    let grave = decided.leaves_an_error(stored.body.plan().findings.iter().chain(&report.findings));
    Ok(Applied {
        stored,
        document,
        needs_person: report.needs_attention() || grave,
        held: false,
        left: Vec::new(),
    })
}

/// An approved plan, made anew where the same comes out: what others wrote beside it meanwhile is no reason to refuse what
/// people said yes to.
///
/// # Errors
/// It could not be planned.
pub async fn fresh(app: &App, settings: &Settings, id: &PlanId) -> Result<PlanId, CliError> {
    let stored = find(app, id).await?;
    let (connection, psa) = app.psa(Some(&stored.connection)).await?;
    let request = PlanRequest {
        org: app.org(),
        connection: &connection,
        actor: app.actor(),
        settings,
        adoption: AdoptionAnswer::Propose,
        choice: Choice::All,
        price_source: None,
        edits: Vec::new(),
        trust: Trust::Nothing,
    };
    let fresh = applying::fresh(app.store(), psa.as_ref(), &app.clock, &request, stored).await?;
    Ok(fresh.id)
}

/// A plan that waits for people, as it is shown.
fn waits(app: &App, stored: StoredPlan, finding: &Finding) -> Applied {
    let found = std::slice::from_ref(finding);
    let mut document = document_of(app, &stored, &ApplyReport::default(), found);
    finished(&mut document);
    document.summary = Some(SummaryDoc::of(&document.changes, 0));
    Applied { stored, document, needs_person: true, held: true, left: Vec::new() }
}

/// The plan with the state that apply left it in.
async fn reread(app: &App, stored: StoredPlan) -> Result<(PlanState, StoredPlan), CliError> {
    let before = stored.state;
    let now = app.store().find_plan(app.org(), &stored.id).await?;
    Ok((before, now.unwrap_or(stored)))
}

/// A plan with what became of it.
pub fn document_of(app: &App, stored: &StoredPlan, report: &ApplyReport, more: &[Finding]) -> PlanDoc {
    let outcomes: Outcomes = report.changes.iter().map(|c| (c.change_id.clone(), Outcome::from(c))).collect();
    let findings: Vec<Finding> = report.findings.iter().chain(more).cloned().collect();
    PlanDoc::new(stored, app.org(), &outcomes, &findings, Lines::Changes)
}

async fn all(app: &App, settings: &Settings, args: &ApplyArgs) -> Result<Exit, CliError> {
    if !args.approve && is_frozen(app).await? {
        let detail = "nothing is written today (schedule.freeze) that nobody approved";
        app.out.show(&json!({ "frozen": true, "held": true, "detail": detail }), |out| {
            out.line("Nothing is written today (schedule.freeze): `--approve` lets this run pass.");
        });
        return Ok(Exit::NeedsPerson);
    }
    let bar = app.out.progress("Planning and applying");
    let wanted = RunOver {
        connection: args.connection.as_deref(),
        adoption: args.adoption.answer(),
        approval: if args.approve { Approval::Given } else { Approval::Needed },
        choice: if args.unattended { Choice::ByItself } else { Choice::All },
        trust: Trust::Nothing,
    };
    let applied = apply_every(app, settings, &wanted, OWNER, &teller(bar.clone())).await;
    bar.finish_and_clear();
    let applied = applied?;
    note_left_out(&applied.left);
    show(app, &applied.stored, &applied.document);
    if applied.held {
        note(
            "Something is held: the findings say what and why, and `trueup approval list` shows it. Look at the plan, then \
             `trueup apply PLAN_ID`; what only a brake holds goes with `trueup apply --all --approve` as well.",
        );
    }
    Ok(Exit::needs_person_if(applied.needs_person))
}

/// Whether this is a day on which no run writes that nobody approved, in the zone of the schedules.
async fn is_frozen(app: &App) -> Result<bool, CliError> {
    let all = settings::effective(app.store(), app.org(), &app.options.overlays).await?;
    let values: BTreeMap<String, String> = all.into_iter().map(|s| (s.key.to_owned(), s.value)).collect();
    let table = Timetable::new(&values)?;
    Ok(match app.options.today {
        Some(day) => table.is_frozen_on(day),
        None => table.is_frozen(app.clock.now()),
    })
}

/// How a run over all tasks works.
pub struct RunOver<'a> {
    /// The connection; the nearest one where none is named.
    pub connection: Option<&'a str>,
    /// What to do where an addition is there that trueup did not write.
    pub adoption: AdoptionAnswer,
    /// Whether the run passes where a limit would hold it.
    pub approval: Approval,
    /// Which tasks.
    pub choice: Choice,
    /// What a pull of the same run has just read.
    pub trust: Trust,
}

/// Plans and applies every ready task.
///
/// # Errors
/// It could not be planned or not carried out.
pub async fn apply_every(
    app: &App,
    settings: &Settings,
    wanted: &RunOver<'_>,
    owner: &str,
    tell: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Applied, CliError> {
    billing_is_on(settings)?;
    let (connection, psa) = app.psa_to_write(wanted.connection).await?;
    let request = PlanRequest {
        org: app.org(),
        connection: &connection,
        actor: app.actor(),
        settings,
        adoption: wanted.adoption,
        choice: wanted.choice.clone(),
        price_source: None,
        edits: Vec::new(),
        trust: wanted.trust,
    };
    applying::look_at_rights(app.store(), psa.as_ref(), &app.clock, &request).await?;
    let options = options(app, settings, &connection, owner, tell);
    let run = applying::apply_all(app.store(), psa.as_ref(), &app.clock, &request, wanted.approval, &options)
        .await?;
    let (_, stored) = reread(app, run.planned.stored.clone()).await?;
    let nothing = ApplyReport::default();
    let last = run.report.as_ref().unwrap_or(&nothing);
    let mut document = document_of(app, &stored, last, &run.held);
    add_others(app, &run, &mut document);
    // No task tells of an order that nobody can be billed for.
    let put_off = trueup_engine::tasks::put_off(app.store(), app.org()).await?;
    document.findings.extend(put_off.iter().map(FindingDoc::from));
    finished(&mut document);
    document.summary = Some(SummaryDoc::of(&document.changes, psa.calls()));
    let decided = Decided::of(app.store(), app.org()).await?;
    let needs_person = needs_person(&run, &stored, &decided) || decided.leaves_an_error(&put_off);
    let left = run.planned.skipped;
    Ok(Applied { stored, document, needs_person, held: !run.held.is_empty(), left })
}

/// After a run nothing is merely planned: what was not sent was skipped. What holds a run up is told first.
fn finished(document: &mut PlanDoc) {
    for change in document.changes.iter_mut().filter(|change| change.state == "planned") {
        change.state = "skipped";
    }
    once_each(&mut document.findings);
    let approval = Code::Tu7007.row().name;
    document.findings.sort_by_key(|finding| finding.code != approval);
}

/// What was gone on with from earlier runs, and what was carried out of plans that were partly out of date.
fn add_others(app: &App, run: &RunReport, document: &mut PlanDoc) {
    let mut changes: Vec<ChangeDoc> = Vec::new();
    let mut findings: Vec<FindingDoc> = Vec::new();
    for resumed in &run.resumed {
        let mut report = resumed.report.clone();
        let settled: &BTreeSet<ChangeId> = &resumed.settled_before;
        report.changes.retain(|c| !settled.contains(&c.change_id));
        let doc = document_of(app, &resumed.stored, &report, &[]);
        changes.extend(doc.changes.into_iter().filter(|c| c.state != "planned"));
        findings.extend(resumed.report.findings.iter().map(FindingDoc::from));
    }
    for (stored, report) in &run.earlier {
        let doc = document_of(app, stored, report, &[]);
        changes.extend(doc.changes.into_iter().filter(|c| !matches!(c.state, "planned" | "skipped")));
    }
    findings.extend(run.unread.iter().map(FindingDoc::from));
    changes.append(&mut document.changes);
    document.changes = changes;
    document.findings.extend(findings);
}

fn needs_person(run: &RunReport, stored: &StoredPlan, decided: &Decided) -> bool {
    let findings = stored.body.plan().findings.iter().chain(run.report.iter().flat_map(|r| &r.findings));
    run.report.as_ref().is_none_or(ApplyReport::needs_attention)
        || !run.held.is_empty()
        || !run.unread.is_empty()
        || run.resumed.iter().any(|r| r.report.needs_attention())
        || decided.leaves_an_error(findings)
}

fn show(app: &App, stored: &StoredPlan, document: &PlanDoc) {
    app.out.show(document, |out| {
        print(out, stored, document);
        if let Some(sum) = document.summary {
            out.line(&format!(
                "{} applied, {} failed, {} skipped, {} in doubt; {} calls.",
                sum.applied, sum.failed, sum.skipped, sum.in_doubt, sum.calls
            ));
        }
    });
}
