//! Schedules: keeps a row of when each fires next, and puts a run into the queue when one is due.
//!
//! Every worker does this. A fire is stored under its own instant, so that of many workers one starts its run.

use super::state::Service;
use super::worker::{RunKind, RunWish};
use crate::config::Options;
use crate::failure::CliError;
use crate::output::documents::instant;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::watch;
use trueup_domain::finding::{Code, Finding, Subject};
use trueup_domain::ids::OrganizationId;
use trueup_engine::ports::{Clock, Store, StoreError};
use trueup_engine::records::Millis;
use trueup_engine::schedule::{self, FREEZE, ScheduleKind, TIME_ZONE, Timetable};
use trueup_engine::settings;
use trueup_store::{Fire, Fired, Run, Schedule, ScheduleInputs};

/// How often due schedules are looked for.
const LOOK: Duration = Duration::from_millis(500);
/// How often all settings are compared with the rows: what another process changed is seen by then.
const REFRESH_MS: Millis = 30_000;
/// Schedules fired in one look.
const AT_ONCE: u32 = 200;
/// The name in the audit.
pub const ACTOR: &str = "schedule";

/// Fires schedules until `stopping`.
pub async fn work(service: Service, mut stopping: watch::Receiver<bool>) {
    let mut refreshed: Option<Millis> = None;
    while !*stopping.borrow() {
        let now = service.clock.now();
        // A clock that was set back must not silence this either.
        if refreshed.is_none_or(|at| now < at || now.saturating_sub(at) >= REFRESH_MS) {
            refreshed = Some(now);
            if let Err(error) = refresh(&service).await {
                tracing::error!(%error, "schedules cannot be reckoned");
            }
        }
        if let Err(error) = fire_due(&service).await {
            tracing::error!(%error, "due schedules cannot be read");
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = stopping.changed() => {}
        }
    }
}

/// Compares the rows of all schedules with the settings, and writes those that differ.
///
/// # Errors
/// The store's.
pub async fn refresh(service: &Service) -> Result<(), StoreError> {
    trueup_store::everywhere(refresh_all(service)).await
}

async fn refresh_all(service: &Service) -> Result<(), StoreError> {
    let inputs = service.store.load_schedule_inputs().await?;
    let now = service.clock.now();
    for org in inputs.parents.keys() {
        let table = match Timetable::new(&values_of(&inputs, org, &service.options)) {
            Ok(table) => table,
            Err(error) => {
                tracing::error!(%error, %org, "a schedule cannot be read");
                continue;
            }
        };
        for kind in ScheduleKind::ALL {
            let stored = inputs.stored.get(&(org.clone(), kind.name().to_owned()));
            let runs_here = runs_here(&inputs, org, kind);
            let spec = if runs_here { table.fingerprint(kind) } else { "off".to_owned() };
            let next = match stored {
                _ if !runs_here => None,
                Some(row) if row.spec != spec => table.moved(kind, &row.spec, row.next_at, now),
                Some(_) | None => table.next_after(kind, now),
            };
            let is_right = match stored {
                Some(row) if row.spec == spec && row.next_at.is_some() == next.is_some() => {
                    // Beyond the next fire it comes from a clock that was ahead.
                    row.next_at <= next
                }
                Some(_) => false,
                None => next.is_none(),
            };
            if !is_right {
                service.store.plan_schedule(org, kind.name(), &spec, next).await?;
            }
        }
    }
    Ok(())
}

/// A schedule that is inherited runs where there is a ConnectWise, or where there is something to bring into the one of a
/// level above: organizations that only hold others have nothing to do. One that sets it itself means itself.
pub fn runs_here(inputs: &ScheduleInputs, org: &OrganizationId, kind: ScheduleKind) -> bool {
    let is_connected = || lineage(inputs, org).iter().any(|level| inputs.connected.contains(*level));
    inputs.connected.contains(org)
        || inputs.settings.get(org).is_some_and(|own| own.contains_key(kind.setting()))
        || (inputs.stocked.contains(org) && is_connected())
}

/// The organization and the levels above it, nearest first.
fn lineage<'a>(inputs: &'a ScheduleInputs, org: &'a OrganizationId) -> Vec<&'a OrganizationId> {
    let mut lineage = vec![org];
    while let Some(Some(parent)) = lineage.last().and_then(|last| inputs.parents.get(*last)) {
        if lineage.contains(&parent) {
            break;
        }
        lineage.push(parent);
    }
    lineage
}

/// The values that hold for an organization, weakest first: file, tree from the top, environment, flags.
fn values_of(inputs: &ScheduleInputs, org: &OrganizationId, options: &Options) -> BTreeMap<String, String> {
    let keys: Vec<&str> =
        ScheduleKind::ALL.iter().map(|kind| kind.setting()).chain([TIME_ZONE, FREEZE]).collect();
    let mut values = BTreeMap::new();
    let mut overlay = |from: &BTreeMap<String, String>| {
        for key in &keys {
            if let Some(value) = from.get(*key) {
                values.insert((*key).to_owned(), value.clone());
            }
        }
    };
    overlay(&options.overlays.file);
    for level in lineage(inputs, org).iter().rev() {
        if let Some(own) = inputs.settings.get(*level) {
            overlay(own);
        }
    }
    overlay(&options.overlays.environment);
    overlay(&options.overlays.flags);
    values
}

/// The timetable of one organization, read afresh.
///
/// # Errors
/// The store's, or a value that the table does not allow.
pub async fn timetable(service: &Service, org: &OrganizationId) -> Result<Timetable, CliError> {
    let all = settings::effective(service.store.as_ref(), org, &service.options.overlays).await?;
    let values = all.into_iter().map(|s| (s.key.to_owned(), s.value)).collect();
    Ok(Timetable::new(&values)?)
}

/// A schedule that cannot fire, because a setting cannot be read for example, is looked at again after so long.
const TRY_AGAIN_MS: i64 = 60_000;

async fn fire_due(service: &Service) -> Result<(), StoreError> {
    let due = service.store.list_due_schedules(service.clock.now(), AT_ONCE).await?;
    let mut any = false;
    for row in due {
        match fire(service, &row).await {
            Ok(fired) => any |= fired,
            // The others go on; this one comes again later, so that many of its like never fill a look.
            Err(error) => {
                tracing::error!(org = %row.org, kind = row.kind, problem = %json!(error.problem()), "a schedule cannot fire");
                let later = service.clock.now().saturating_add(TRY_AGAIN_MS);
                service.store.plan_schedule(&row.org, &row.kind, &row.spec, Some(later)).await?;
            }
        }
    }
    if any {
        service.wake.notify_one();
    }
    Ok(())
}

async fn fire(service: &Service, row: &Schedule) -> Result<bool, CliError> {
    let Some(kind) = ScheduleKind::from_name(&row.kind) else {
        // Of another version: nothing here knows when it would fire.
        service.store.plan_schedule(&row.org, &row.kind, &row.spec, None).await?;
        return Ok(false);
    };
    let table = timetable(service, &row.org).await?;
    let now = service.clock.now();
    let spec = table.fingerprint(kind);
    if spec != row.spec {
        // The setting was changed since: nothing of the old one fires any more.
        service.store.plan_schedule(&row.org, &row.kind, &spec, table.next_after(kind, now)).await?;
        return Ok(false);
    }
    let look = schedule::look(&table, kind, row.next_at, now);
    let Some(fire) = look.fire else {
        service.store.plan_schedule(&row.org, &row.kind, &spec, look.next).await?;
        return Ok(false);
    };
    let fire = Fire { at: fire, next: look.next, late_for: look.late_for };
    let run = run_of(&row.org, kind, fire.at, now);
    let detail = json!({ "kind": run.kind, "schedule": row.kind, "fire": run.fired_for });
    let entry = service.entry(ACTOR, "run.start", format!("run/{}", run.id), &detail);
    let fired = service.store.fire_schedule(row, fire, &run, &entry).await?;
    tell(service, row, fire, fired).await?;
    Ok(fired == Fired::Started)
}

/// Says what was late or left out, and takes it back with the next fire that was neither.
async fn tell(service: &Service, row: &Schedule, fire: Fire, fired: Fired) -> Result<(), StoreError> {
    let name = format!("schedule/{}", row.kind);
    let words = match (fired, fire.late_for) {
        (Fired::Started, Some(at)) => format!(
            "The schedule `{}` should have fired at {} and fired at {}: no worker was there. One run makes up for all \
             that was missed.",
            row.kind,
            instant(at),
            instant(service.clock.now())
        ),
        (Fired::Busy, _) => format!(
            "The schedule `{}` did not fire at {}: the run that it started before had not ended. What that one leaves \
             is done by the next.",
            row.kind,
            instant(fire.at)
        ),
        (Fired::Started, None) if row.missed_at.is_some() => String::new(),
        (Fired::Started, None) | (Fired::Not, _) => return Ok(()),
    };
    let subject = Subject { detail: Some(name.clone()), ..Subject::default() };
    let found: Vec<Finding> = Some(words)
        .filter(|words| !words.is_empty())
        .map(|words| Finding::new(Code::Tu9001, subject, words))
        .into_iter()
        .collect();
    let store = service.store.as_ref();
    store.record_findings(&row.org, &name, service.clock.now(), service.clock.today(), &found).await
}

fn run_of(org: &OrganizationId, kind: ScheduleKind, fire: Millis, now: Millis) -> Run {
    let does = match kind {
        ScheduleKind::Check => RunKind::Check,
        ScheduleKind::Sync => RunKind::Sync,
        ScheduleKind::Pull => RunKind::Pull,
        ScheduleKind::Quantity => RunKind::Quantity,
        ScheduleKind::Alerts => RunKind::Alerts,
    };
    let wish = RunWish { changed: true, scheduled: true, ..RunWish::default() };
    Run {
        fired_for: Some(format!("{}:{fire}", kind.name())),
        ..Run::queued(org, does.name(), ACTOR, json!(wish).to_string(), now)
    }
}
