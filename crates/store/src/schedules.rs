//! Schedules: a row an organization and kind, with the instant at which it fires next. A fire puts a run into the queue
//! under its own instant, so that a second one of the same instant finds the place taken.

use crate::db::{self, commit, write_tx};
use crate::runs::{self, Run};
use crate::{audit, error, store::SqlStore};
use sea_orm::QueryResult;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::ids::OrganizationId;
use trueup_engine::ports::StoreError;
use trueup_engine::records::{Millis, NewAuditEntry};

/// A schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Whose.
    pub org: OrganizationId,
    /// What it does.
    pub kind: String,
    /// The settings that `next_at` was reckoned from.
    pub spec: String,
    /// When it fires next; none where it is off.
    pub next_at: Option<Millis>,
    /// Since when it is paused.
    pub paused_at: Option<Millis>,
    /// Who paused it.
    pub paused_by: Option<String>,
    /// When it fired last.
    pub last_fire: Option<Millis>,
    /// The run of that.
    pub last_run: Option<String>,
    /// The first fire since then that came late or that its run before kept from starting one; none where the last one
    /// was in time.
    pub missed_at: Option<Millis>,
}

/// A fire of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fire {
    /// Its instant.
    pub at: Millis,
    /// When the schedule fires next.
    pub next: Option<Millis>,
    /// When it should have fired, where it is late.
    pub late_for: Option<Millis>,
}

/// What became of a fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fired {
    /// Its run is in the queue.
    Started,
    /// Nothing is to be done: it has its run already, or the schedule was paused or changed.
    Not,
    /// The run that the schedule started before has not ended.
    Busy,
}

/// What the schedules of all organizations are reckoned from.
#[derive(Clone, Debug, Default)]
pub struct ScheduleInputs {
    /// Every organization with the one above it.
    pub parents: BTreeMap<OrganizationId, Option<OrganizationId>>,
    /// Settings of schedules, by the organization that has them.
    pub settings: BTreeMap<OrganizationId, BTreeMap<String, String>>,
    /// Organizations with a connection of their own.
    pub connected: BTreeSet<OrganizationId>,
    /// Organizations that hold records: what is placed in one by an import above is its own to bring into ConnectWise.
    pub stocked: BTreeSet<OrganizationId>,
    /// The schedules as they are stored.
    pub stored: BTreeMap<(OrganizationId, String), Schedule>,
}

const COLUMNS: &str = "org, kind, spec, next_at, paused_at, paused_by, last_fire, last_run, missed_at";

fn of_row(row: &QueryResult) -> Result<Schedule, StoreError> {
    let text = |name: &str| row.try_get::<String>("", name).map_err(error::of_db);
    let words = |name: &str| row.try_get::<Option<String>>("", name).map_err(error::of_db);
    let when = |name: &str| row.try_get::<Option<i64>>("", name).map_err(error::of_db);
    Ok(Schedule {
        org: OrganizationId::from(text("org")?),
        kind: text("kind")?,
        spec: text("spec")?,
        next_at: when("next_at")?,
        paused_at: when("paused_at")?,
        paused_by: words("paused_by")?,
        last_fire: when("last_fire")?,
        last_run: words("last_run")?,
        missed_at: when("missed_at")?,
    })
}

/// The run that a schedule started last, where it is of another fire and has not ended.
pub(crate) const RUN_BEFORE: &str = "SELECT run.id FROM schedule JOIN run ON run.org = schedule.org \
                                     AND run.id = schedule.last_run WHERE schedule.org = $1 AND schedule.kind = $2 \
                                     AND run.fired_for <> $3 AND run.state IN ('queued', 'running')";

impl SqlStore {
    /// The schedules of an organization.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_schedules(&self, org: &OrganizationId) -> Result<Vec<Schedule>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM schedule WHERE org = $1 ORDER BY kind");
        db::query(&self.db, &sql, [org.as_str().into()]).await?.iter().map(of_row).collect()
    }

    /// Schedules that are due, the longest due first.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_due_schedules(&self, now: Millis, limit: u32) -> Result<Vec<Schedule>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM schedule WHERE next_at <= $1 AND paused_at IS NULL ORDER BY next_at, org, kind \
             LIMIT $2"
        );
        db::query(&self.db, &sql, [now.into(), i64::from(limit).into()]).await?.iter().map(of_row).collect()
    }

    /// What all schedules are reckoned from, in five queries however many organizations there are.
    ///
    /// # Errors
    /// The database's.
    pub async fn load_schedule_inputs(&self) -> Result<ScheduleInputs, StoreError> {
        let mut inputs = ScheduleInputs::default();
        for row in db::query(&self.db, "SELECT id, parent FROM organization", []).await? {
            let id: String = row.try_get("", "id").map_err(error::of_db)?;
            let parent: Option<String> = row.try_get("", "parent").map_err(error::of_db)?;
            inputs.parents.insert(OrganizationId::from(id), parent.map(OrganizationId::from));
        }
        let sql = "SELECT org, key, value FROM setting WHERE key LIKE 'schedule.%'";
        for row in db::query(&self.db, sql, []).await? {
            let text = |name: &str| row.try_get::<String>("", name).map_err(error::of_db);
            inputs
                .settings
                .entry(OrganizationId::from(text("org")?))
                .or_default()
                .insert(text("key")?, text("value")?);
        }
        for row in db::query(&self.db, "SELECT DISTINCT org FROM connection", []).await? {
            inputs
                .connected
                .insert(OrganizationId::from(row.try_get::<String>("", "org").map_err(error::of_db)?));
        }
        // By the index of each organization: how many records there are does not matter.
        let sql = "SELECT o.id FROM organization AS o WHERE EXISTS (SELECT r.id FROM record AS r WHERE r.org = o.id)";
        for row in db::query(&self.db, sql, []).await? {
            inputs
                .stocked
                .insert(OrganizationId::from(row.try_get::<String>("", "id").map_err(error::of_db)?));
        }
        for row in db::query(&self.db, &format!("SELECT {COLUMNS} FROM schedule"), []).await? {
            let schedule = of_row(&row)?;
            inputs.stored.insert((schedule.org.clone(), schedule.kind.clone()), schedule);
        }
        Ok(inputs)
    }

    /// Writes down when a schedule fires next; a pause stays.
    ///
    /// # Errors
    /// The database's.
    pub async fn plan_schedule(
        &self,
        org: &OrganizationId,
        kind: &str,
        spec: &str,
        next_at: Option<Millis>,
    ) -> Result<(), StoreError> {
        let tx = write_tx(self).await?;
        plan_in(&tx, org, kind, spec, next_at).await?;
        commit(tx).await
    }

    /// Fires: puts the run into the queue and moves the schedule on, in one transaction.
    ///
    /// # Errors
    /// The database's.
    pub async fn fire_schedule(
        &self,
        schedule: &Schedule,
        fire: Fire,
        run: &Run,
        entry: &NewAuditEntry,
    ) -> Result<Fired, StoreError> {
        let org = schedule.org.as_str();
        let tx = write_tx(self).await?;
        db::guard(&tx, org, "schedules").await?;
        let sql =
            "SELECT next_at FROM schedule WHERE org = $1 AND kind = $2 AND paused_at IS NULL AND spec = $3";
        let values = [org.into(), schedule.kind.as_str().into(), schedule.spec.as_str().into()];
        let waits = db::query(&*tx, sql, values).await?;
        if waits.is_empty() {
            return Ok(Fired::Not);
        }
        let kind = schedule.kind.as_str();
        plan_in(&tx, &schedule.org, kind, &schedule.spec, fire.next).await?;
        // While a run of a schedule has not ended no other one of it starts, so that it is the last one.
        let own = run.fired_for.clone().unwrap_or_default();
        let values = [org.into(), kind.into(), own.into()];
        let fired = if !db::query(&*tx, RUN_BEFORE, values).await?.is_empty() {
            let sql = "UPDATE schedule SET missed_at = COALESCE(missed_at, $3) WHERE org = $1 AND kind = $2";
            db::run(&*tx, sql, [org.into(), kind.into(), fire.at.into()]).await?;
            Fired::Busy
        } else if runs::insert(&tx, run).await? {
            let sql = "UPDATE schedule SET last_fire = $3, last_run = $4, missed_at = $5 \
                       WHERE org = $1 AND kind = $2";
            let values =
                [org.into(), kind.into(), fire.at.into(), run.id.as_str().into(), fire.late_for.into()];
            db::run(&*tx, sql, values).await?;
            audit::append_in(&tx, &schedule.org, vec![entry]).await?;
            Fired::Started
        } else {
            Fired::Not
        };
        commit(tx).await?;
        Ok(fired)
    }

    /// Pauses a schedule (`Some`: since when and by whom) or lets it go on, with the audit entry. One that goes on
    /// fires next at `next_at`: what it would have done meanwhile is not caught up. Returns whether there is one.
    ///
    /// # Errors
    /// The database's.
    pub async fn pause_schedule(
        &self,
        (org, kind): (&OrganizationId, &str),
        paused: Option<(Millis, &str)>,
        next_at: Option<Millis>,
        entry: &NewAuditEntry,
    ) -> Result<bool, StoreError> {
        let tx = write_tx(self).await?;
        db::guard(&tx, org.as_str(), "schedules").await?;
        let sql =
            "UPDATE schedule SET paused_at = $3, paused_by = $4, next_at = $5 WHERE org = $1 AND kind = $2";
        let values = [
            org.as_str().into(),
            kind.into(),
            paused.map(|(at, _)| at).into(),
            paused.map(|(_, by)| by.to_owned()).into(),
            next_at.into(),
        ];
        let there = db::run(&*tx, sql, values).await? > 0;
        if there {
            audit::append_in(&tx, org, vec![entry]).await?;
        }
        commit(tx).await?;
        Ok(there)
    }
}

async fn plan_in(
    tx: &sea_orm::DatabaseTransaction,
    org: &OrganizationId,
    kind: &str,
    spec: &str,
    next_at: Option<Millis>,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO schedule (org, kind, spec, next_at) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (org, kind) DO UPDATE SET spec = excluded.spec, next_at = excluded.next_at";
    db::run(tx, sql, [org.as_str().into(), kind.into(), spec.into(), next_at.into()]).await?;
    Ok(())
}
