//! The worker: claims runs from the queue, one of an organization at a time, and carries them out.
//!
//! A run may be stopped at any instant: what it does is exactly-once by itself, so that another worker goes on with it.

use super::scheduler;
use super::state::Service;
use crate::app::App;
use crate::commands::apply::{self, Applied, RunOver};
use crate::commands::check;
use crate::failure::CliError;
use crate::serve::api::adoption;
use futures::FutureExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use trueup_domain::finding::Severity;
use trueup_domain::ids::PlanId;
use trueup_engine::apply::Progress;
use trueup_engine::applying::Approval;
use trueup_engine::observe::{self, Reach};
use trueup_engine::ports::Clock;
use trueup_engine::tasks;
use trueup_store::{Run, RunState};

/// Runs of different organizations carried out at once.
const AT_ONCE: usize = 4;
/// A claim that is not renewed for so long is another worker's to take.
const CLAIM_MS: i64 = 15_000;
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
}

impl RunKind {
    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Pull => "pull",
            Self::Apply => "apply",
            Self::Sync => "sync",
        }
    }

    /// The kind that a word means.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Check, Self::Pull, Self::Apply, Self::Sync].into_iter().find(|kind| kind.name() == name)
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
    /// It goes back to the queue until then.
    Later(i64),
}

/// How long a run waits that was put back so often already.
fn wait_ms(put_back: u32) -> i64 {
    FIRST_WAIT_MS.saturating_mul(1_i64 << put_back.min(20)).min(LONGEST_WAIT_MS)
}

/// Carries runs out until `stopping`.
pub async fn work(service: Service, mut stopping: watch::Receiver<bool>) {
    // Two processes never go by one name: a twin would renew the other's claims.
    let name = format!("worker-{}", uuid::Uuid::now_v7().simple());
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut under_way = tokio::task::JoinSet::new();
    while !*stopping.borrow() {
        while under_way.try_join_next().is_some() {}
        let Ok(place) = places.clone().try_acquire_owned() else {
            tokio::select! {
                _ = under_way.join_next() => {}
                _ = stopping.changed() => {}
            }
            continue;
        };
        match service.store.claim_run(&name, service.clock.now(), CLAIM_MS).await {
            Ok(Some(run)) => {
                let (service, name, stopping) = (service.clone(), name.clone(), stopping.clone());
                under_way.spawn(async move {
                    carry(service.clone(), name, run, stopping).await;
                    drop(place);
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

async fn carry(service: Service, name: String, run: Run, mut stopping: watch::Receiver<bool>) {
    let steps = Arc::new(Steps::default());
    let too_late = async move {
        let _ = stopping.wait_for(|stop| *stop).await;
        tokio::time::sleep(GRACE).await;
    };
    let ended = tokio::select! {
        ended = attempt(service.clone(), run.clone(), steps.clone()).boxed() => Some(ended),
        () = keep_claim(service.clone(), name.clone(), run.clone(), steps.clone()).boxed() => return,
        () = too_late => None,
    };
    let now = service.clock.now();
    let _ = service.store.renew_run(&run, &name, now.saturating_add(CLAIM_MS), steps.now()).await;
    let written = match ended {
        Some(Outcome::Ended(ended)) => {
            let result = ended.result.to_string();
            service.store.finish_run(&run, &name, now, ended.state, Some(&result)).await
        }
        Some(Outcome::Later(until)) => service.store.put_run_back(&run, &name, until).await,
        // This worker stops: another begins at once.
        None => service.store.put_run_back(&run, &name, now).await,
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
async fn keep_claim(service: Service, name: String, run: Run, steps: Arc<Steps>) {
    let mut renewed_at = service.clock.now();
    let mut told = (0, 0);
    loop {
        tokio::time::sleep(RENEW).await;
        let now = service.clock.now();
        if told == steps.now() && now.saturating_sub(renewed_at) < CLAIM_MS / 6 {
            continue;
        }
        told = steps.now();
        match service.store.renew_run(&run, &name, now.saturating_add(CLAIM_MS), told).await {
            Ok(()) => renewed_at = now,
            Err(trueup_engine::ports::StoreError::Fenced) => {
                tracing::warn!(run = run.id, "another worker has this run");
                return;
            }
            // A database that is away for a moment takes nothing from us, as long as the claim holds.
            Err(error) if now.saturating_sub(renewed_at) < CLAIM_MS => {
                tracing::warn!(%error, run = run.id, "a claim cannot be renewed");
            }
            Err(error) => {
                tracing::error!(%error, run = run.id, "a claim ran out");
                return;
            }
        }
    }
}

async fn attempt(service: Service, run: Run, steps: Arc<Steps>) -> Outcome {
    // A worker that put the run back did not die of it.
    if run.attempts.saturating_sub(run.put_back) > MOST_ATTEMPTS {
        let detail = "every worker that began this run ended before it; look at the log, then start it anew";
        return Outcome::Ended(Ended { state: RunState::Failed, result: json!({ "detail": detail }) });
    }
    let app = service.app(&run.org, &run.actor);
    match execute(&service, &app, &run, &steps).await {
        Ok(ended) => Outcome::Ended(ended),
        Err(error) if error.is_busy() && run.put_back < MOST_PUT_BACK => {
            tracing::info!(
                run = run.id,
                put_back = run.put_back,
                "an agreement is in another worker's hands"
            );
            Outcome::Later(service.clock.now().saturating_add(wait_ms(run.put_back)))
        }
        Err(error) => Outcome::Ended(Ended { state: RunState::Failed, result: json!(error.problem()) }),
    }
}

async fn execute(service: &Service, app: &App, run: &Run, steps: &Arc<Steps>) -> Result<Ended, CliError> {
    let kind = RunKind::from_name(&run.kind).ok_or_else(damaged)?;
    let wish: RunWish = serde_json::from_str(&run.request).map_err(|_| damaged())?;
    match kind {
        RunKind::Check => check(app, &wish).await,
        RunKind::Pull => pull(app, &wish).await,
        RunKind::Apply => {
            let id = PlanId(wish.plan_id.ok_or_else(damaged)?);
            let settings = app.settings().await?;
            let steps = steps.clone();
            let tell = move |progress| steps.tell(progress);
            Ok(of_applied(apply::apply_one(app, &settings, &id, OWNER, &tell).await?))
        }
        RunKind::Sync => sync(service, app, &wish, steps).await,
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
async fn sync(service: &Service, app: &App, wish: &RunWish, steps: &Arc<Steps>) -> Result<Ended, CliError> {
    let mut before = serde_json::Map::new();
    let mut needs_person = false;
    if wish.changed {
        for (name, part) in [("check", check(app, wish).await?), ("pull", pull(app, wish).await?)] {
            needs_person |= part.state == RunState::NeedsPerson;
            before.insert(name.to_owned(), part.result);
        }
    }
    let frozen = scheduler::timetable(service, app.org()).await?.is_frozen(app.clock.now());
    let mut ended = if frozen && !wish.approve {
        let detail = "nothing is written today (schedule.freeze) that nobody approved; the next run goes on";
        ended(!wish.scheduled, json!({ "frozen": true, "held": true, "detail": detail }))
    } else {
        let settings = app.settings().await?;
        let wanted = RunOver {
            connection: wish.connection.as_deref(),
            adoption: adoption(wish.adopt.as_deref()).map_err(|_| damaged())?,
            approval: if wish.approve { Approval::Given } else { Approval::Needed },
        };
        let steps = steps.clone();
        let tell = move |progress| steps.tell(progress);
        of_applied(apply::apply_every(app, &settings, &wanted, OWNER, &tell).await?)
    };
    if let Some(object) = ended.result.as_object_mut() {
        object.extend(before);
    }
    if needs_person {
        ended.state = RunState::NeedsPerson;
    }
    Ok(ended)
}

/// The holder of leases on agreements.
const OWNER: &str = "serve";

fn ended(needs_person: bool, result: Value) -> Ended {
    Ended { state: if needs_person { RunState::NeedsPerson } else { RunState::Done }, result }
}

fn of_applied(applied: Applied) -> Ended {
    let mut result = json!(applied.document);
    if let Some(object) = result.as_object_mut() {
        object.insert("held".to_owned(), Value::Bool(applied.held));
    }
    ended(applied.needs_person, result)
}

async fn pull(app: &App, wish: &RunWish) -> Result<Ended, CliError> {
    let (name, psa) = app.psa(wish.connection.as_deref()).await?;
    let reach =
        if wish.changed { Reach::Changed { rotation: app.settings().await?.rotation } } else { Reach::Whole };
    let pulled = observe::pull(psa.as_ref(), app.store(), app.org(), &name, app.clock.now(), reach).await?;
    let told = observe::tell_drift(app.store(), &app.clock, app.org(), &name).await?;
    let document = json!({
        "connection": name,
        "whole": pulled.whole,
        "companies": pulled.companies,
        "agreements": told.agreements,
        "additions": told.additions,
        "catalog_items": pulled.catalog_items,
        "calls": psa.calls(),
        "agreements_read": pulled.read,
        "agreements_changed": pulled.changed,
        "agreements_in_turn": pulled.in_turn,
        "agreements_gone": pulled.gone,
        "agreements_different": pulled.different,
        "as_written": told.drift.unchanged,
        "changed_by_people": told.drift.findings.len(),
    });
    Ok(ended(!told.drift.findings.is_empty(), document))
}
