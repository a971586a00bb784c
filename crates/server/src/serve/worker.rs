//! The worker: claims runs from the queue, one of an organization at a time, and carries them out.
//!
//! A run may be stopped at any instant: what it does is exactly-once by itself, so that another worker goes on with it.

use super::identity::Identity;
use super::jobs;
use super::scheduler;
use super::state::Service;
use crate::app::App;
use crate::commands::alert;
use crate::commands::apply::{self, Applied, RunOver};
use crate::commands::check;
use crate::commands::quantity;
use crate::failure::CliError;
use crate::output::documents::{instant, pulled_document};
use crate::serve::api::adoption;
use futures::FutureExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::Instrument;
use trueup_domain::finding::{Code, Finding, Severity, Subject};
use trueup_domain::ids::PlanId;
use trueup_domain::planner::AdoptionAnswer;
use trueup_engine::apply::Progress;
use trueup_engine::applying::Approval;
use trueup_engine::jobs::Whom;
use trueup_engine::observe::{self, Reach, Trust};
use trueup_engine::planning::Choice;
use trueup_engine::ports::{Clock, Store, StoreError};
use trueup_engine::records::Millis;
use trueup_engine::tasks;
use trueup_store::{Run, RunState, lane_owner};

/// Runs of different organizations carried out at once.
const AT_ONCE: usize = 4;
/// A run that takes longer gives its place to others and goes on beside them, so that one huge organization does not keep the
/// small ones waiting.
const LONG: Duration = Duration::from_secs(5);
/// So many such runs at most; the next one keeps its place.
const LONG_AT_ONCE: usize = 4;
/// A claim that is not renewed for so long is another worker's to take.
const CLAIM_MS: i64 = 15_000;
/// A day.
const DAY_MS: Millis = 24 * 60 * 60 * 1_000;
/// How often a claim is renewed and progress is told.
const RENEW: Duration = Duration::from_millis(500);
/// How often the queue is looked at where nobody rings.
const LOOK: Duration = Duration::from_secs(1);
/// A run that so many workers died of is given up.
const MOST_ATTEMPTS: u32 = 5;
/// A run that found an agreement in another worker's hands is tried again after so long, and twice as long each time.
const FIRST_WAIT_MS: i64 = 2_000;
/// The longest such wait.
const LONGEST_WAIT_MS: i64 = 120_000;
/// A push on a day of the month that could not be made is tried again after so long,
const FIRST_PUSH_WAIT_MS: i64 = 60 * 60 * 1_000;
/// and after so long from then on: its own next day is a month away.
const PUSH_WAIT_MS: i64 = 24 * 60 * 60 * 1_000;
/// A run that was put back so often fails.
const MOST_PUT_BACK: u32 = 40;
/// A run under way gets so long to end after the stop; then it goes back to the queue.
const GRACE: Duration = Duration::from_secs(15);

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunKind {
    /// Turns new orders into tasks.
    Check,
    /// Reads ConnectWise.
    Pull,
    /// Carries a plan out.
    Apply,
    /// Plans and applies every ready task.
    Sync,
    /// Says what would be written for customers and what stands in its way.
    Validate,
    /// Writes what a validation said.
    Upload,
    /// Compares quantities of what is only counted, and writes what may be written.
    Quantity,
    /// Takes alerts in, and brings their tickets to where they are.
    Alerts,
}

impl RunKind {
    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Pull => "pull",
            Self::Apply => "apply",
            Self::Sync => "sync",
            Self::Validate => "validate",
            Self::Upload => "upload",
            Self::Quantity => "quantity",
            Self::Alerts => "alerts",
        }
    }

    /// The kind that a word means.
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::Check,
            Self::Pull,
            Self::Apply,
            Self::Sync,
            Self::Validate,
            Self::Upload,
            Self::Quantity,
            Self::Alerts,
        ]
        .into_iter()
        .find(|kind| kind.name() == name)
    }
}

/// What a run was asked for, as it lies in the queue.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RunWish {
    /// The plan of `apply`.
    pub plan_id: Option<String>,
    /// Whether a `sync` passes where a limit would hold it.
    pub approve: bool,
    /// What a `sync` does with additions that trueup did not write.
    pub adopt: Option<String>,
    /// The connection.
    pub connection: Option<String>,
    /// Whether a `pull` reads what changed, and a share of the rest, alone.
    #[serde(default)]
    pub changed: bool,
    /// `check` takes orders completed from this day on.
    pub since: Option<String>,
    /// Whether a schedule asks for it.
    #[serde(default)]
    pub scheduled: bool,
    /// Whether a callback asks for it: only what it and others were about is read.
    #[serde(default)]
    pub hinted: bool,
    /// Whom a job is for; nobody means everybody.
    #[serde(default)]
    pub customers: Vec<Whom>,
    /// The approval that an `apply` carries out.
    #[serde(default)]
    pub approval: Option<String>,
    /// The job before: the validation of an upload.
    #[serde(default)]
    pub job: Option<String>,
}

/// How a run ended.
struct Ended {
    state: RunState,
    result: Value,
}

/// What became of a run at this worker.
enum Outcome {
    /// It ended.
    Ended(Ended),
    /// It goes back to the queue for so many milliseconds.
    Later(i64),
}

/// How long a run waits that was put back so often already.
fn wait_ms(put_back: u32) -> i64 {
    FIRST_WAIT_MS.saturating_mul(1_i64 << put_back.min(20)).min(LONGEST_WAIT_MS)
}

/// Carries runs out until `stopping`.
pub async fn work(service: Service, identity: Arc<Identity>, mut stopping: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let long = Arc::new(Semaphore::new(LONG_AT_ONCE));
    let mut under_way = JoinSet::new();
    while !*stopping.borrow() {
        while under_way.try_join_next().is_some() {}
        let place = tokio::select! {
            place = places.clone().acquire_owned() => place,
            _ = stopping.changed() => continue,
        };
        let Ok(place) = place else { break };
        let (name, at) = (identity.claim(), Instant::now());
        let claimed = match service.queue_time().await {
            Ok(now) => service.store.claim_run(&name, now, CLAIM_MS).await,
            Err(error) => Err(error),
        };
        match claimed {
            Ok(Some(run)) => {
                let claim = Claim { service: service.clone(), name, run, at };
                let (service, stopping, long) = (service.clone(), stopping.clone(), long.clone());
                under_way.spawn(async move {
                    beside_others(carry(claim, stopping), place, &long).await;
                    // The next run of the same organization may go now.
                    service.wake.notify_one();
                });
                continue;
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "the queue cannot be read"),
        }
        drop(place);
        tokio::select! {
            () = service.wake.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
            _ = stopping.changed() => {}
        }
    }
    while under_way.join_next().await.is_some() {}
}

/// Carries a run out in its place, which it gives back in the end, or once it takes long and there is another for it.
async fn beside_others(run: impl Future<Output = ()>, place: OwnedSemaphorePermit, long: &Semaphore) {
    let mut run = std::pin::pin!(run);
    if tokio::time::timeout(LONG, &mut run).await.is_ok() {
        return;
    }
    let _place = tokio::select! {
        biased;
        () = &mut run => return,
        Ok(another) = long.acquire() => {
            drop(place);
            another
        }
    };
    run.await;
}

/// A run in this worker's hands.
#[derive(Clone)]
struct Claim {
    service: Service,
    name: String,
    run: Run,
    /// From before it was claimed.
    at: Instant,
}

impl Claim {
    async fn renew(&self, steps: (u64, u64)) -> Result<(), StoreError> {
        let now = self.service.queue_time().await?;
        self.service.store.renew_run(&self.run, &self.name, now.saturating_add(CLAIM_MS), steps).await
    }

    /// Under what name this claim holds agreements: the next claim of the run takes them over by it.
    fn lanes(&self) -> String {
        format!("{}{}", lane_owner(&self.run.id), self.name)
    }

    async fn put_back(&self, wait_ms: i64) -> Result<(), StoreError> {
        let now = self.service.queue_time().await?;
        self.service.store.put_run_back(&self.run, &self.name, now.saturating_add(wait_ms)).await
    }
}

async fn carry(claim: Claim, mut stopping: watch::Receiver<bool>) {
    let (service, run) = (&claim.service, &claim.run);
    let steps = Arc::new(Steps::default());
    let span = tracing::info_span!("run", id = run.id, kind = run.kind, organization = %run.org);
    let too_late = async move {
        let _ = stopping.wait_for(|stop| *stop).await;
        tokio::time::sleep(GRACE).await;
    };
    // A task of its own: a plan of many lines reckons for longer than a claim holds, without giving way once.
    let mut keeper = JoinSet::new();
    keeper.spawn(keep_claim(claim.clone(), steps.clone()));
    let ended = tokio::select! {
        ended = attempt(claim.clone(), steps.clone()).instrument(span).boxed() => Some(ended),
        _ = keeper.join_next() => return,
        () = too_late => None,
    };
    drop(keeper);
    let _ = claim.renew(steps.now()).await;
    let written = match ended {
        Some(Outcome::Ended(ended)) => {
            let result = ended.result.to_string();
            let now = service.clock.now();
            service.store.finish_run(run, &claim.name, now, ended.state, Some(&result)).await
        }
        Some(Outcome::Later(wait_ms)) => claim.put_back(wait_ms).await,
        // This worker stops: another begins at once.
        None => claim.put_back(0).await,
    };
    if let Err(error) = written {
        // The claim runs out, and another worker goes on.
        tracing::error!(%error, run = run.id, "the end of a run cannot be written down");
    }
}

/// How far a run is.
#[derive(Default)]
struct Steps {
    done: AtomicU64,
    total: AtomicU64,
}

impl Steps {
    fn now(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }

    fn tell(&self, progress: Progress) {
        self.done.store(progress.finished as u64, Ordering::Relaxed);
        self.total.store(progress.total as u64, Ordering::Relaxed);
    }
}

/// Returns once the claim is lost: whoever has it now carries the run out.
async fn keep_claim(claim: Claim, steps: Arc<Steps>) {
    let (run, holds) = (&claim.run.id, Duration::from_millis(CLAIM_MS.unsigned_abs()));
    let mut renewed_at = claim.at;
    let mut told = (0, 0);
    loop {
        tokio::time::sleep(RENEW).await;
        if told == steps.now() && renewed_at.elapsed() < holds / 6 {
            continue;
        }
        told = steps.now();
        // From before the call: that is when the other side's reckoning begins at the earliest.
        let asked_at = Instant::now();
        match tokio::time::timeout(holds, claim.renew(told)).await {
            Ok(Ok(())) => renewed_at = asked_at,
            Ok(Err(StoreError::Fenced)) => {
                tracing::warn!(run, "another worker has this run");
                return;
            }
            // A database that is away for a moment takes nothing from us, as long as the claim holds.
            Ok(Err(error)) if renewed_at.elapsed() < holds => {
                tracing::warn!(%error, run, "a claim cannot be renewed");
            }
            Ok(Err(_)) | Err(_) => {
                tracing::error!(run, "a claim ran out");
                return;
            }
        }
    }
}

async fn attempt(claim: Claim, steps: Arc<Steps>) -> Outcome {
    let (service, run) = (&claim.service, &claim.run);
    // A worker that put the run back did not die of it.
    if run.attempts.saturating_sub(run.put_back) > MOST_ATTEMPTS {
        let detail = "every worker that began this run ended before it; look at the log, then start it anew";
        return Outcome::Ended(Ended { state: RunState::Failed, result: json!({ "detail": detail }) });
    }
    let app = service.app(&run.org, &run.actor);
    let done = match service.store.find_lineage(&run.org).await {
        // The database shows the run no rows of another organization, whatever a statement forgets.
        Ok(lineage) => {
            let lineage = lineage.unwrap_or_else(|| vec![run.org.clone()]);
            trueup_store::within(&lineage, execute(&claim, &app, &steps)).await
        }
        Err(error) => Err(error.into()),
    };
    tell_of_the_machine(service, run, done.as_ref().err()).await;
    match done {
        Ok(Outcome::Ended(ended)) => Outcome::Ended(ended),
        Ok(Outcome::Later(wait_ms)) => {
            tracing::warn!(run = run.id, put_back = run.put_back, "a push is put off");
            Outcome::Later(wait_ms)
        }
        Err(error) if error.is_busy() && run.put_back < MOST_PUT_BACK => {
            tracing::info!(
                run = run.id,
                put_back = run.put_back,
                "an agreement is in another worker's hands"
            );
            Outcome::Later(wait_ms(run.put_back))
        }
        // Nothing is half done: it goes on by itself, however long that takes.
        Err(error) if error.passes_with_the_database() => {
            tracing::error!(%error, run = run.id, "a run waits for the database");
            Outcome::Later(wait_ms(run.put_back))
        }
        Err(error) => Outcome::Ended(Ended { state: RunState::Failed, result: json!(error.problem()) }),
    }
}

/// Keeps what the machine lacks as a finding, as long as runs end so: nobody looks at the result of what a schedule began.
async fn tell_of_the_machine(service: &Service, run: &Run, error: Option<&CliError>) {
    let found: Vec<Finding> = error.and_then(CliError::of_the_machine).into_iter().collect();
    if error.is_some() && found.is_empty() {
        return;
    }
    let (now, today) = (service.clock.now(), service.clock.today());
    if let Err(error) = service.store.record_findings(&run.org, "machine", now, today, &found).await {
        tracing::error!(%error, run = run.id, "what the machine lacks cannot be kept");
    }
}

async fn execute(claim: &Claim, app: &App, steps: &Arc<Steps>) -> Result<Outcome, CliError> {
    let run = &claim.run;
    let kind = RunKind::from_name(&run.kind).ok_or_else(damaged)?;
    let wish: RunWish = serde_json::from_str(&run.request).map_err(|_| damaged())?;
    if kind == RunKind::Quantity && wish.scheduled && app.settings().await?.quantity.push_day.is_some() {
        return push(claim, app, &wish, steps).await;
    }
    execute_once(claim, app, (kind, wish), steps).await.map(Outcome::Ended)
}

/// A push on a day of the month. One that could not be made, or falls on a day of the freeze, is made up as soon as it can
/// be: the next one is a month away. Until then it is told.
async fn push(claim: &Claim, app: &App, wish: &RunWish, steps: &Arc<Steps>) -> Result<Outcome, CliError> {
    let done = quantities(claim, app, wish, steps).await;
    let first = claim.run.put_back == 0;
    let (wait_ms, why) = match &done {
        Err(error) if error.is_busy() => return done.map(Outcome::Ended),
        Err(error) => {
            let told = &error.document()["error"];
            let wait_ms = if first { FIRST_PUSH_WAIT_MS } else { PUSH_WAIT_MS };
            // What has no code is a matter of settings: trying again says the same.
            (
                Some(wait_ms).filter(|_| told["code"].is_string()),
                told["message"].as_str().unwrap_or_default().to_owned(),
            )
        }
        Ok(ended) if ended.result["frozen"] == true => (
            Some(FIRST_PUSH_WAIT_MS),
            "nothing is written on a day of the freeze (schedule.freeze)".to_owned(),
        ),
        Ok(_) => (None, String::new()),
    };
    let late = |wait_ms: Millis| {
        let message = format!(
            "The quantities of this push day (schedule.quantity) are not pushed yet: {why}. It is tried again at {}.",
            instant(app.clock.now().saturating_add(wait_ms))
        );
        let subject = Subject { detail: Some(PUSH.to_owned()), ..Subject::default() };
        Finding::new(Code::Tu9001, subject, message)
    };
    let found: Vec<Finding> = wait_ms.map(late).into_iter().collect();
    app.store().record_findings(app.org(), PUSH, app.clock.now(), app.clock.today(), &found).await?;
    match wait_ms {
        Some(wait_ms) => Ok(Outcome::Later(wait_ms)),
        None => done.map(Outcome::Ended),
    }
}

/// What findings of a push are told under.
const PUSH: &str = "push/quantity";

async fn execute_once(
    claim: &Claim,
    app: &App,
    (kind, wish): (RunKind, RunWish),
    steps: &Arc<Steps>,
) -> Result<Ended, CliError> {
    match kind {
        RunKind::Check => check(app, &wish).await,
        RunKind::Pull => Ok(pull(claim, app, &wish).await?.0),
        RunKind::Apply => {
            let id = PlanId::from(wish.plan_id.ok_or_else(damaged)?);
            let settings = app.settings().await?;
            let id = match &wish.approval {
                Some(_) => apply::fresh(app, &settings, &id).await?,
                None => id,
            };
            let steps = steps.clone();
            let tell = move |progress| steps.tell(progress);
            Ok(of_applied(apply::apply_one(app, &settings, &id, &claim.lanes(), &tell).await?))
        }
        RunKind::Sync => sync(claim, app, &wish, steps).await,
        RunKind::Quantity => quantities(claim, app, &wish, steps).await,
        RunKind::Alerts => {
            let connection = wish.connection.as_deref();
            let (document, needs_person) = alert::run_of(app, connection, None, &claim.lanes()).await?;
            Ok(ended(needs_person, json!(document)))
        }
        RunKind::Validate => {
            let (needs_person, result) = jobs::validate(app, &wish).await?;
            Ok(ended(needs_person, result))
        }
        RunKind::Upload => {
            let steps = steps.clone();
            let tell = move |progress| steps.tell(progress);
            let store = &claim.service.store;
            let (needs_person, result) =
                jobs::upload(app, store, (&claim.run, &wish), &claim.lanes(), &tell).await?;
            Ok(ended(needs_person, result))
        }
    }
}

fn damaged() -> CliError {
    CliError::usage("the run cannot be read back from the queue", "Start it anew.")
}

async fn check(app: &App, wish: &RunWish) -> Result<Ended, CliError> {
    let since = wish.since.as_deref().map(str::parse).transpose().map_err(|_| damaged())?;
    let report = tasks::check_under(app.store(), &app.clock, app.org(), since, &app.options.overlays).await?;
    let document = check::document_of(&report, app.store().count_tasks(app.org()).await?);
    let grave = report.findings.iter().any(|f| f.severity == Severity::Error);
    Ok(ended(grave, json!(document)))
}

/// Checks and reads first where that is wished for, then plans and applies what may be applied by itself. On a day of
/// the freeze it writes only what somebody approved.
async fn sync(claim: &Claim, app: &App, wish: &RunWish, steps: &Arc<Steps>) -> Result<Ended, CliError> {
    if let Some(off) = switched_off(app, wish).await? {
        return Ok(off);
    }
    let mut before = serde_json::Map::new();
    let mut needs_person = false;
    let mut trust = Trust::Nothing;
    if wish.changed {
        let checked = check(app, wish).await?;
        let (read, at) = pull(claim, app, wish).await?;
        // What it has read just now need not be read once more for the plan.
        trust = Trust::ReadAt(at);
        for (name, part) in [("check", checked), ("pull", read)] {
            needs_person |= part.state == RunState::NeedsPerson;
            before.insert(name.to_owned(), part.result);
        }
    }
    let frozen = scheduler::timetable(&claim.service, app.org()).await?.is_frozen(app.clock.now());
    let mut ended = if frozen && !wish.approve {
        let detail = "nothing is written today (schedule.freeze) that nobody approved; the next run goes on";
        ended(!wish.scheduled, json!({ "frozen": true, "held": true, "detail": detail }))
    } else {
        let settings = app.settings().await?;
        let wanted = RunOver {
            connection: wish.connection.as_deref(),
            adoption: adoption(wish.adopt.as_deref()).map_err(|_| damaged())?,
            approval: if wish.approve { Approval::Given } else { Approval::Needed },
            choice: if wish.scheduled { Choice::ByItself } else { Choice::All },
            trust,
        };
        let steps = steps.clone();
        let tell = move |progress| steps.tell(progress);
        of_applied(apply::apply_every(app, &settings, &wanted, &claim.lanes(), &tell).await?)
    };
    if let Some(object) = ended.result.as_object_mut() {
        object.extend(before);
    }
    if needs_person {
        ended.state = RunState::NeedsPerson;
    }
    Ok(ended)
}

/// Writes the quantities of what is only counted. On a day of the freeze it writes only what somebody approved. A schedule
/// pulls first and compares with the picture, in which nothing is older than `observe.rotation` days; a person's run reads
/// each agreement.
async fn quantities(claim: &Claim, app: &App, wish: &RunWish, steps: &Arc<Steps>) -> Result<Ended, CliError> {
    if let Some(off) = switched_off(app, wish).await? {
        return Ok(off);
    }
    let frozen = scheduler::timetable(&claim.service, app.org()).await?.is_frozen(app.clock.now());
    if frozen && !wish.approve {
        let detail = "nothing is written today (schedule.freeze) that nobody approved; the next run goes on";
        return Ok(ended(!wish.scheduled, json!({ "frozen": true, "held": true, "detail": detail })));
    }
    let mut before = None;
    let mut trust = Trust::Nothing;
    if wish.scheduled {
        let changed = RunWish { changed: true, ..wish.clone() };
        let (read, at) = pull(claim, app, &changed).await?;
        trust =
            Trust::ReadSince(at.saturating_sub(DAY_MS.saturating_mul(app.settings().await?.rotation.into())));
        before = Some(read);
    }
    let only: BTreeSet<_> = wish.customers.iter().cloned().collect();
    let wanted = quantity::Wanted {
        connection: wish.connection.clone(),
        only: (!only.is_empty()).then_some(only),
        adopt: adoption(wish.adopt.as_deref()).map_err(|_| damaged())? == AdoptionAnswer::TakeSingle,
        approve: wish.approve,
        due: wish.scheduled,
        trust,
    };
    let steps = steps.clone();
    let tell = move |progress| steps.tell(progress);
    let (document, needs_person) = quantity::run_of(app, &wanted, &claim.lanes(), &tell).await?;
    let mut ended = ended(needs_person, json!(document));
    if let (Some(read), Some(object)) = (before, ended.result.as_object_mut()) {
        if read.state == RunState::NeedsPerson {
            ended.state = RunState::NeedsPerson;
        }
        object.insert("pull".to_owned(), read.result);
    }
    Ok(ended)
}

/// A schedule bills nothing where billing is switched off, and that is no fault; who asks for it is told so.
async fn switched_off(app: &App, wish: &RunWish) -> Result<Option<Ended>, CliError> {
    let settings = app.settings().await?;
    if settings.billing {
        return Ok(None);
    }
    if wish.scheduled {
        return Ok(Some(ended(false, json!({ "off": true, "detail": "billing is switched off (billing)" }))));
    }
    apply::billing_is_on(&settings)?;
    Ok(None)
}

fn ended(needs_person: bool, result: Value) -> Ended {
    Ended { state: if needs_person { RunState::NeedsPerson } else { RunState::Done }, result }
}

fn of_applied(applied: Applied) -> Ended {
    let mut result = json!(applied.document);
    if let Some(object) = result.as_object_mut() {
        object.insert("held".to_owned(), Value::Bool(applied.held));
        if !applied.left.is_empty() {
            object.insert("left_to_persons".to_owned(), json!(applied.left.len()));
        }
    }
    ended(applied.needs_person, result)
}

/// What a pull reads. A schedule and callbacks may ask often: the share of all agreements is read once a day then, so
/// that each is read within as many days as the setting says.
async fn reach(claim: &Claim, app: &App, wish: &RunWish, connection: &str) -> Result<Reach, CliError> {
    if !wish.changed {
        return Ok(Reach::Whole);
    }
    if wish.hinted {
        return Ok(Reach::Hinted);
    }
    if wish.scheduled
        && let Some(state) = app.store().load_picture_state(app.org(), connection).await?
        && let Some(shared_at) = state.shared_at
        && scheduler::timetable(&claim.service, app.org()).await?.is_same_day(shared_at, app.clock.now())
    {
        return Ok(Reach::Touched);
    }
    Ok(Reach::Changed { rotation: app.settings().await?.rotation })
}

/// Reads ConnectWise into the local picture, and returns with it when that began.
async fn pull(claim: &Claim, app: &App, wish: &RunWish) -> Result<(Ended, Millis), CliError> {
    let (name, psa) = app.psa(wish.connection.as_deref()).await?;
    let reach = reach(claim, app, wish, &name).await?;
    let pulled = observe::pull(psa.as_ref(), app.store(), &app.clock, app.org(), &name, reach).await?;
    if wish.hinted && pulled.different == 0 && pulled.gone == 0 {
        // Nothing that the whole picture would have to be gone over for.
        let document = pulled_document(&name, psa.calls(), &pulled, None);
        return Ok((ended(pulled.unread > 0, document), pulled.at));
    }
    let told = observe::tell_drift(app.store(), &app.clock, app.org(), &name).await?;
    // What vanished over there suspends what stands on it, and what came back frees it.
    tasks::judge_again(app.store(), &app.clock, app.org(), &app.options.overlays).await?;
    let document = pulled_document(&name, psa.calls(), &pulled, Some(&told));
    let is_clean = told.drift.findings.is_empty() && told.beside.is_empty() && pulled.unread == 0;
    Ok((ended(!is_clean, document), pulled.at))
}
