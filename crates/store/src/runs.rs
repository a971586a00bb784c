//! Runs: work that is longer than a request. A run waits in its row until a worker claims it; the claim has to be
//! renewed, and a run whose worker went silent is claimed anew.

use crate::db::{self, commit, write_tx};
use crate::{audit, error, outbox, store::SqlStore};
use sea_orm::QueryResult;
use serde::{Deserialize, Serialize};
use trueup_domain::ids::OrganizationId;
use trueup_engine::ports::StoreError;
use trueup_engine::records::{Millis, NewAuditEntry};

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Waits for a worker.
    Queued,
    /// A worker is at it.
    Running,
    /// Done.
    Done,
    /// Done, but something needs a person.
    NeedsPerson,
    /// It stopped.
    Failed,
}

impl RunState {
    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::NeedsPerson => "needs_person",
            Self::Failed => "failed",
        }
    }

    /// Whether nothing more happens to it.
    pub fn is_final(self) -> bool {
        match self {
            Self::Done | Self::NeedsPerson | Self::Failed => true,
            Self::Queued | Self::Running => false,
        }
    }
}

/// A run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Whose.
    pub org: OrganizationId,
    /// Id; ids grow with time.
    pub id: String,
    /// What it does, as the service names it.
    pub kind: String,
    /// Where it stands.
    pub state: RunState,
    /// Who asked for it.
    pub actor: String,
    /// What was asked for: JSON text.
    pub request: String,
    /// How often a worker began it.
    pub attempts: u32,
    /// When it was asked for.
    pub created_at: Millis,
    /// When a worker first began it.
    pub started_at: Option<Millis>,
    /// When it ended.
    pub finished_at: Option<Millis>,
    /// Steps done.
    pub done: u64,
    /// Steps in all, as far as known.
    pub total: u64,
    /// What came out: JSON text.
    pub result: Option<String>,
    /// It waits at least until then.
    pub not_before: Millis,
    /// How often it was put back by a worker that went on living.
    pub put_back: u32,
    /// The fire of the schedule that it comes from; there is one run of a fire.
    pub fired_for: Option<String>,
}

/// Nothing waits longer. A row that says so comes from a clock that was ahead, and is due.
const LONGEST_WAIT_MS: Millis = 24 * 60 * 60 * 1_000;

/// From where a run is ended by a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelFrom {
    /// Only while it waits.
    Waiting,
    /// Also while a worker is at it.
    Anywhere,
}

impl Run {
    /// A run that nobody has begun; `kind` as the service names it, `request` JSON text of what is asked for.
    pub fn queued(org: &OrganizationId, kind: &str, actor: &str, request: String, now: Millis) -> Self {
        Self {
            org: org.clone(),
            id: uuid::Uuid::now_v7().simple().to_string(),
            kind: kind.to_owned(),
            state: RunState::Queued,
            actor: actor.to_owned(),
            request,
            attempts: 0,
            created_at: now,
            started_at: None,
            finished_at: None,
            done: 0,
            total: 0,
            result: None,
            not_before: 0,
            put_back: 0,
            fired_for: None,
        }
    }
}

const COLUMNS: &str = "org, id, kind, state, actor, request, attempts, created_at, started_at, finished_at, done, \
                       total, result, not_before, put_back, fired_for";

fn of_row(row: &QueryResult) -> Result<Run, StoreError> {
    let text = |name: &str| row.try_get::<String>("", name).map_err(error::of_db);
    let number = |name: &str| row.try_get::<i64>("", name).map_err(error::of_db);
    let when = |name: &str| row.try_get::<Option<i64>>("", name).map_err(error::of_db);
    Ok(Run {
        org: OrganizationId::from(text("org")?),
        id: text("id")?,
        kind: text("kind")?,
        state: db::from_word("the state of a run", &text("state")?)?,
        actor: text("actor")?,
        request: text("request")?,
        attempts: u32::try_from(number("attempts")?).unwrap_or(u32::MAX),
        created_at: number("created_at")?,
        started_at: when("started_at")?,
        finished_at: when("finished_at")?,
        done: u64::try_from(number("done")?).unwrap_or(0),
        total: u64::try_from(number("total")?).unwrap_or(0),
        result: row.try_get("", "result").map_err(error::of_db)?,
        not_before: number("not_before")?,
        put_back: u32::try_from(number("put_back")?).unwrap_or(u32::MAX),
        fired_for: row.try_get("", "fired_for").map_err(error::of_db)?,
    })
}

fn steps(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Under what name a run holds agreements: whoever claims the run after its worker died knows by it which they are.
pub fn lane_owner(run: &str) -> String {
    format!("run-{run}-")
}

/// Puts a run into the queue. Returns whether it is there now: not where its fire has one already.
pub(crate) async fn insert(tx: &sea_orm::DatabaseTransaction, run: &Run) -> Result<bool, StoreError> {
    let sql = "INSERT INTO run (org, id, kind, state, actor, request, attempts, created_at, done, total, not_before, \
               put_back, fired_for) VALUES ($1, $2, $3, 'queued', $4, $5, 0, $6, 0, 0, $7, 0, $8) \
               ON CONFLICT (org, fired_for) DO NOTHING";
    let values = [
        run.org.as_str().into(),
        run.id.as_str().into(),
        run.kind.as_str().into(),
        run.actor.as_str().into(),
        run.request.as_str().into(),
        run.created_at.into(),
        run.not_before.into(),
        run.fired_for.clone().into(),
    ];
    Ok(db::run(tx, sql, values).await? > 0)
}

/// Frees what a run holds of agreements.
const FREE_LANES: &str =
    "UPDATE lease SET owner = '', expires_at = 0 WHERE org = $1 AND owner >= $2 AND owner < $3";

async fn free_lanes(
    tx: &sea_orm::DatabaseTransaction,
    org: &OrganizationId,
    run: &str,
) -> Result<(), StoreError> {
    let (first, behind) = range(&lane_owner(run));
    db::run(tx, FREE_LANES, [org.as_str().into(), first.into(), behind.into()]).await?;
    Ok(())
}

/// Where texts that begin with a prefix begin and end, byte by byte. The prefix ends with a character below the last of
/// ASCII.
pub(crate) fn range(prefix: &str) -> (String, String) {
    let mut behind = prefix.to_owned();
    if let Some(last) = behind.pop() {
        behind.extend(char::from_u32(u32::from(last) + 1));
    }
    (prefix.to_owned(), behind)
}

async fn tell_end(
    tx: &sea_orm::DatabaseTransaction,
    run: &Run,
    state: RunState,
    at: Millis,
) -> Result<(), StoreError> {
    let instant =
        |at: Millis| jiff::Timestamp::from_millisecond(at).map(|t| t.to_string()).unwrap_or_default();
    let told = serde_json::json!({
        "id": run.id,
        "kind": run.kind,
        "state": state.name(),
        "actor": run.actor,
        "created_at": instant(run.created_at),
        "finished_at": instant(at),
    });
    outbox::tell(tx, &run.org, "run.finished", "runs", vec![told]).await
}

impl SqlStore {
    /// Puts a run into the queue, with its audit entry.
    ///
    /// # Errors
    /// The database's.
    pub async fn add_run(&self, run: &Run, entry: &NewAuditEntry) -> Result<(), StoreError> {
        let tx = write_tx(self).await?;
        insert(&tx, run).await?;
        audit::append_in(&tx, &run.org, vec![entry]).await?;
        commit(tx).await
    }

    /// One run.
    ///
    /// # Errors
    /// The database's.
    pub async fn find_run(&self, org: &OrganizationId, id: &str) -> Result<Option<Run>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM run WHERE org = $1 AND id = $2");
        db::query(&self.db, &sql, [org.as_str().into(), id.into()]).await?.first().map(of_row).transpose()
    }

    /// The newest runs; those before `before` in age, where it is given.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_runs(
        &self,
        org: &OrganizationId,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Run>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM run WHERE org = $1 AND ($2 = '' OR id < $2) ORDER BY id DESC LIMIT $3"
        );
        let values = [org.as_str().into(), before.unwrap_or_default().into(), i64::from(limit).into()];
        db::query(&self.db, &sql, values).await?.iter().map(of_row).collect()
    }

    /// The newest runs of some kinds; those before `before` in age, where it is given.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_runs_of(
        &self,
        org: &OrganizationId,
        kinds: &[&str],
        before: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Run>, StoreError> {
        let places: Vec<String> = (4..).take(kinds.len()).map(|at| format!("${at}")).collect();
        let sql = format!(
            "SELECT {COLUMNS} FROM run WHERE org = $1 AND ($2 = '' OR id < $2) AND kind IN ({}) \
             ORDER BY id DESC LIMIT $3",
            places.join(", ")
        );
        let mut values: Vec<sea_orm::Value> =
            vec![org.as_str().into(), before.unwrap_or_default().into(), i64::from(limit).into()];
        values.extend(kinds.iter().map(|kind| sea_orm::Value::from(*kind)));
        db::query(&self.db, &sql, values).await?.iter().map(of_row).collect()
    }

    /// The runs of an organization that have not ended.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_open_runs(&self, org: &OrganizationId) -> Result<Vec<Run>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM run WHERE state IN ('queued', 'running') AND org = $1 ORDER BY id"
        );
        db::query(&self.db, &sql, [org.as_str().into()]).await?.iter().map(of_row).collect()
    }

    /// Ends a run that waits, or is under way where `from` allows that, with the audit entry: its worker finds its claim
    /// gone, and what it holds of agreements is free. Returns whether it stood so.
    ///
    /// # Errors
    /// The database's.
    pub async fn cancel_run(
        &self,
        run: &Run,
        from: CancelFrom,
        (at, result): (Millis, &str),
        entry: &NewAuditEntry,
    ) -> Result<bool, StoreError> {
        let tx = write_tx(self).await?;
        db::guard(&tx, "", "runs").await?;
        let states = match from {
            CancelFrom::Waiting => "'queued'",
            CancelFrom::Anywhere => "'queued', 'running'",
        };
        let sql = format!(
            "UPDATE run SET state = 'failed', finished_at = $3, result = $4, owner = NULL, lease_until = NULL \
             WHERE org = $1 AND id = $2 AND state IN ({states})"
        );
        let values = [run.org.as_str().into(), run.id.as_str().into(), at.into(), result.into()];
        if db::run(&*tx, &sql, values).await? == 0 {
            return Ok(false);
        }
        free_lanes(&tx, &run.org, &run.id).await?;
        audit::append_in(&tx, &run.org, vec![entry]).await?;
        tell_end(&tx, run, RunState::Failed, at).await?;
        commit(tx).await?;
        Ok(true)
    }

    /// The time by which claims go where several processes share a database: the server's own, because clocks of
    /// workers differ. None where the database is embedded: there the one process goes by its own.
    ///
    /// # Errors
    /// The database's.
    pub async fn server_time(&self) -> Result<Option<Millis>, StoreError> {
        if self.is_embedded() {
            return Ok(None);
        }
        let sql = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) AS now";
        let rows = db::query(&self.db, sql, []).await?;
        rows.first().map(|row| row.try_get("", "now").map_err(error::of_db)).transpose()
    }

    pub(crate) fn is_embedded(&self) -> bool {
        self.db.get_database_backend() == sea_orm::DbBackend::Sqlite
    }

    /// Claims a run: of the organizations at which no worker is and whose turn was longest ago, the run that waits
    /// longest. Runs of one organization go one after the other. A run whose claim ran out counts as waiting; what its
    /// former worker held of agreements under [`lane_owner`] is free at once, and that worker can write nothing any
    /// more: the next holder of a lane has a higher number.
    ///
    /// # Errors
    /// The database's.
    pub async fn claim_run(&self, owner: &str, now: Millis, ttl_ms: i64) -> Result<Option<Run>, StoreError> {
        // Looked for without the write lock first: an idle worker must not hold writers up.
        let columns = COLUMNS.split(',').map(|c| format!("run.{}", c.trim())).collect::<Vec<_>>().join(", ");
        // The busy organizations are one short list: a look for each run that waits would take ever longer where one
        // organization has very many.
        let waiting = format!(
            "SELECT {columns} FROM (SELECT run.org AS due_org, run.id AS due_id FROM run \
             LEFT JOIN run_turn ON run_turn.org = run.org \
             WHERE ((run.state = 'queued' AND (run.not_before <= $1 OR run.not_before - {LONGEST_WAIT_MS} > $1)) \
             OR (run.state = 'running' AND run.lease_until <= $1)) \
             AND run.org NOT IN (SELECT other.org FROM run AS other WHERE other.state = 'running' \
             AND other.lease_until > $1) \
             ORDER BY COALESCE(run_turn.turn, 0), run.created_at, run.id LIMIT 1) AS due \
             JOIN run ON run.org = due.due_org AND run.id = due.due_id"
        );
        if db::query(&self.db, &waiting, [now.into()]).await?.is_empty() {
            return Ok(None);
        }
        let tx = write_tx(self).await?;
        db::guard(&tx, "", "runs").await?;
        let Some(mut run) = db::query(&*tx, &waiting, [now.into()]).await?.first().map(of_row).transpose()?
        else {
            return Ok(None);
        };
        let sql = "UPDATE run SET state = 'running', owner = $3, lease_until = $4, attempts = attempts + 1, \
                   started_at = COALESCE(started_at, $5) WHERE org = $1 AND id = $2";
        let values = [
            run.org.as_str().into(),
            run.id.as_str().into(),
            owner.into(),
            now.saturating_add(ttl_ms).into(),
            now.into(),
        ];
        db::run(&*tx, sql, values).await?;
        // A run that nobody began holds nothing: that look costs each claim nothing.
        if run.attempts > 0 {
            free_lanes(&tx, &run.org, &run.id).await?;
        }
        let sql = "INSERT INTO run_turn (org, turn) SELECT $1, COALESCE(MAX(turn), 0) + 1 FROM run_turn WHERE true \
                   ON CONFLICT (org) DO UPDATE SET turn = excluded.turn";
        db::run(&*tx, sql, [run.org.as_str().into()]).await?;
        commit(tx).await?;
        run.state = RunState::Running;
        run.attempts += 1;
        run.started_at = run.started_at.or(Some(now));
        Ok(Some(run))
    }

    /// Takes the claims of processes away that are known to be dead. Where the database is embedded that is all of them:
    /// this process has just opened it. Elsewhere it is the one named `former`; the claims of others run out by
    /// themselves.
    ///
    /// # Errors
    /// The database's.
    pub async fn release_dead_claims(&self, former: Option<&str>) -> Result<u64, StoreError> {
        let owners = match (self.is_embedded(), former) {
            (true, _) => "%".to_owned(),
            (false, Some(name)) => format!("{name}/%"),
            (false, None) => return Ok(0),
        };
        let tx = write_tx(self).await?;
        let sql = "UPDATE run SET lease_until = 0 WHERE state = 'running' AND owner LIKE $1";
        let freed = db::run(&*tx, sql, [owners.into()]).await?;
        commit(tx).await?;
        Ok(freed)
    }

    /// Puts a run back into the queue, to be begun again not before an instant.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] where another worker holds the run by now.
    pub async fn put_run_back(&self, run: &Run, owner: &str, not_before: Millis) -> Result<(), StoreError> {
        let tx = write_tx(self).await?;
        let sql = "UPDATE run SET state = 'queued', not_before = $4, put_back = put_back + 1, owner = NULL, \
                   lease_until = NULL WHERE org = $1 AND id = $2 AND owner = $3 AND state = 'running'";
        let values = [run.org.as_str().into(), run.id.as_str().into(), owner.into(), not_before.into()];
        let held = db::run(&*tx, sql, values).await? > 0;
        commit(tx).await?;
        if held { Ok(()) } else { Err(StoreError::Fenced) }
    }

    /// Renews a claim and tells how far the run is.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] where another worker holds the run by now.
    pub async fn renew_run(
        &self,
        run: &Run,
        owner: &str,
        lease_until: Millis,
        (done, total): (u64, u64),
    ) -> Result<(), StoreError> {
        let tx = write_tx(self).await?;
        let sql = "UPDATE run SET lease_until = $4, done = $5, total = $6 \
                   WHERE org = $1 AND id = $2 AND owner = $3 AND state = 'running'";
        let values = [
            run.org.as_str().into(),
            run.id.as_str().into(),
            owner.into(),
            lease_until.into(),
            steps(done).into(),
            steps(total).into(),
        ];
        let held = db::run(&*tx, sql, values).await? > 0;
        commit(tx).await?;
        if held { Ok(()) } else { Err(StoreError::Fenced) }
    }

    /// Ends a run.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] where another worker holds the run by now.
    pub async fn finish_run(
        &self,
        run: &Run,
        owner: &str,
        at: Millis,
        state: RunState,
        result: Option<&str>,
    ) -> Result<(), StoreError> {
        let tx = write_tx(self).await?;
        let sql = "UPDATE run SET state = $4, finished_at = $5, result = $6, owner = NULL, lease_until = NULL \
                   WHERE org = $1 AND id = $2 AND owner = $3 AND state = 'running'";
        let values = [
            run.org.as_str().into(),
            run.id.as_str().into(),
            owner.into(),
            state.name().into(),
            state.is_final().then_some(at).into(),
            result.map(str::to_owned).into(),
        ];
        let held = db::run(&*tx, sql, values).await? > 0;
        if held && state.is_final() {
            tell_end(&tx, run, state, at).await?;
        }
        commit(tx).await?;
        if held { Ok(()) } else { Err(StoreError::Fenced) }
    }
}
