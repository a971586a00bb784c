//! What is told to others. An event is written in the transaction that makes it true, and with it a delivery for each
//! webhook that asked for it: what is committed is told, and what is not committed never is.
//!
//! A delivery waits in its row until somebody claims it. Whoever dies with a claim leaves it to the next one, which sends
//! the same event again under the same id.

use crate::db::{self, commit, write_tx};
use crate::{audit, error, scope, store::SqlStore};
use jiff::Timestamp;
use sea_orm::{ConnectionTrait, DatabaseTransaction, QueryResult, Value as Bound};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use trueup_domain::ids::OrganizationId;
use trueup_engine::ports::StoreError;
use trueup_engine::records::{Millis, NewAuditEntry};

/// The kinds of events that a webhook may ask for.
pub const EVENT_KINDS: [&str; 6] =
    ["finding.opened", "finding.closed", "task.created", "run.finished", "approval.asked", "plan.applied"];
/// The event of a test: it goes to one webhook, whatever that asked for.
pub const TEST_EVENT: &str = "webhook.test";

/// Things that one event names at most; more of them are several events.
const AT_ONCE: usize = 100;

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It is tried, now or later.
    Waiting,
    /// It arrived.
    Done,
    /// It is given up, until somebody sends it again.
    Failed,
}

impl DeliveryState {
    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// An event on its way to one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Whose place it is.
    pub org: OrganizationId,
    /// Id.
    pub id: String,
    /// The webhook, or the address of a person.
    pub target: String,
    /// The kind of event.
    pub kind: String,
    /// Whose event it is.
    pub event_org: OrganizationId,
    /// The event's id: the same however often it is sent.
    pub event: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// Attempts since it was last begun.
    pub tries: u32,
    /// Since when.
    pub created_at: Millis,
    /// When it is tried next.
    pub next_at: Millis,
    /// When it arrived or was given up.
    pub ended_at: Option<Millis>,
}

/// A delivery in somebody's hands, with what is to be sent.
#[derive(Clone, Debug)]
pub struct Sending {
    /// The delivery.
    pub delivery: Delivery,
    /// The event, as it is sent.
    pub body: String,
}

/// One attempt of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When it began.
    pub at: Millis,
    /// How long it took.
    pub took_ms: i64,
    /// The status of the answer.
    pub status: Option<u16>,
    /// The beginning of the answer.
    pub answer: Option<String>,
    /// Why it did not arrive.
    pub error: Option<String>,
}

/// What follows from an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It arrived.
    Arrived,
    /// It is tried again at this instant.
    Again(Millis),
    /// It is given up.
    GivenUp,
}

/// A mail to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mailing {
    /// To whom.
    pub to: String,
    /// The subject.
    pub subject: String,
    /// The text.
    pub text: String,
}

#[allow(clippy::disallowed_methods, reason = "it dates what is told; nothing is computed from it")]
fn now() -> Millis {
    Timestamp::now().as_millisecond()
}

fn new_id(prefix: &str) -> String {
    format!("{prefix}_{}", uuid::Uuid::now_v7().simple())
}

/// The webhooks that want to hear of this: the organization's own, and those above it that take what is below.
async fn listeners<C: ConnectionTrait>(
    db: &C,
    org: &OrganizationId,
    kind: &str,
) -> Result<Vec<(String, String)>, StoreError> {
    let sql = "WITH RECURSIVE up(id, parent, depth) AS (\
               SELECT id, parent, 0 FROM organization WHERE id = $1 UNION ALL \
               SELECT o.id, o.parent, up.depth + 1 FROM organization AS o JOIN up ON o.id = up.parent \
               WHERE up.depth < 16) \
               SELECT w.org AS org, w.id AS id, w.events AS events FROM webhook AS w JOIN up ON up.id = w.org \
               WHERE w.disabled_at IS NULL AND (w.below = 1 OR up.depth = 0) ORDER BY w.org, w.id";
    let mut all = Vec::new();
    for row in db::query(db, sql, [org.as_str().into()]).await? {
        let text = |name: &str| row.try_get::<String>("", name).map_err(error::of_db);
        let wanted: Vec<String> = db::from_doc("the events of a webhook", &text("events")?)?;
        if wanted.is_empty() || wanted.iter().any(|word| word == kind) {
            all.push((text("org")?, text("id")?));
        }
    }
    Ok(all)
}

/// Whether anybody wants to hear of this.
pub(crate) async fn is_heard<C: ConnectionTrait>(
    db: &C,
    org: &OrganizationId,
    kind: &str,
) -> Result<bool, StoreError> {
    Ok(!listeners(db, org, kind).await?.is_empty())
}

/// Tells of things of one sort, within the transaction that makes it true: `{"organization": …, NAME: [things]}`.
pub(crate) async fn tell(
    tx: &DatabaseTransaction,
    org: &OrganizationId,
    kind: &str,
    name: &str,
    things: Vec<Value>,
) -> Result<(), StoreError> {
    if things.is_empty() {
        return Ok(());
    }
    let to = listeners(tx, org, kind).await?;
    // Findings are told by mail as well: who gets one is decided later, from the settings.
    let mail = if kind == "finding.opened" { "new" } else { "" };
    if to.is_empty() && mail.is_empty() {
        return Ok(());
    }
    for part in things.chunks(AT_ONCE) {
        let data = json!({ "organization": org, name: part });
        let (event, at) = add_event(tx, org, kind, mail, &data).await?;
        for (whose, webhook) in &to {
            add_delivery(tx, ("webhook", whose, webhook), kind, (org, &event), at, 0).await?;
        }
    }
    Ok(())
}

async fn add_event(
    tx: &DatabaseTransaction,
    org: &OrganizationId,
    kind: &str,
    mail: &str,
    data: &Value,
) -> Result<(String, Millis), StoreError> {
    let (id, at) = (new_id("evt"), now());
    let instant = Timestamp::from_millisecond(at).map(|t| t.to_string()).unwrap_or_default();
    let body = json!({ "type": kind, "timestamp": instant, "data": data }).to_string();
    let sql = "INSERT INTO event (org, id, kind, at, mail, body) VALUES ($1, $2, $3, $4, $5, $6)";
    let values = [org.as_str().into(), id.as_str().into(), kind.into(), at.into(), mail.into(), body.into()];
    db::run(tx, sql, values).await?;
    Ok((id, at))
}

async fn add_delivery(
    tx: &DatabaseTransaction,
    (channel, org, target): (&str, &str, &str),
    kind: &str,
    (event_org, event): (&OrganizationId, &str),
    at: Millis,
    lease_until: Millis,
) -> Result<String, StoreError> {
    let id = new_id("dlv");
    let sql = "INSERT INTO delivery (org, id, channel, target, kind, event_org, event, state, tries, created_at, \
               next_at, lease_until) VALUES ($1, $2, $3, $4, $5, $6, $7, 'waiting', 0, $8, 0, $9)";
    let values = [
        org.into(),
        id.as_str().into(),
        channel.into(),
        target.into(),
        kind.into(),
        event_org.as_str().into(),
        event.into(),
        at.into(),
        lease_until.into(),
    ];
    db::run(tx, sql, values).await?;
    Ok(id)
}

const COLUMNS: &str = "org, id, target, kind, event_org, event, state, tries, created_at, next_at, ended_at";

fn of_row(row: &QueryResult) -> Result<Delivery, StoreError> {
    let text = |name: &str| row.try_get::<String>("", name).map_err(error::of_db);
    let number = |name: &str| row.try_get::<i64>("", name).map_err(error::of_db);
    Ok(Delivery {
        org: OrganizationId::from(text("org")?),
        id: text("id")?,
        target: text("target")?,
        kind: text("kind")?,
        event_org: OrganizationId::from(text("event_org")?),
        event: text("event")?,
        state: db::from_word("the state of a delivery", &text("state")?)?,
        tries: u32::try_from(number("tries")?).unwrap_or(u32::MAX),
        created_at: number("created_at")?,
        next_at: number("next_at")?,
        ended_at: row.try_get("", "ended_at").map_err(error::of_db)?,
    })
}

/// What is due and in nobody's hands, one of each target: what waits for a slow one holds no other up. No attempt waits
/// longer than a day: such a row comes from a clock that was ahead.
const DUE: &str = "state = 'waiting' AND channel = $1 AND (next_at <= $2 OR next_at - 86400000 > $2) \
    AND lease_until <= $2 AND NOT EXISTS (\
    SELECT 1 FROM delivery AS other WHERE other.channel = $1 AND other.state = 'waiting' \
    AND other.lease_until > $2 AND other.org = delivery.org AND other.target = delivery.target)";

impl SqlStore {
    /// Claims the delivery of a channel that is due longest, until `lease_until`: of each target one at a time.
    ///
    /// # Errors
    /// The database's.
    pub async fn claim_delivery(
        &self,
        channel: &str,
        owner: &str,
        now: Millis,
        lease_until: Millis,
    ) -> Result<Option<Sending>, StoreError> {
        let sql =
            format!("SELECT {COLUMNS} FROM delivery WHERE {DUE} ORDER BY next_at, created_at, id LIMIT 1");
        let values: [Bound; 2] = [channel.into(), now.into()];
        // Looked for without the write lock first: an idle worker must not hold writers up.
        if db::query(&self.db, &sql, values.clone()).await?.is_empty() {
            return Ok(None);
        }
        let tx = write_tx(self).await?;
        db::guard(&tx, "", "outbox").await?;
        let Some(row) = db::query(&*tx, &sql, values).await?.first().map(of_row).transpose()? else {
            return Ok(None);
        };
        take(&tx, &row, owner, lease_until).await?;
        db::see_everybody(&tx).await?;
        let sending = with_body(&*tx, row).await?;
        commit(tx).await?;
        Ok(Some(sending))
    }

    /// Claims one delivery, to try it at once. None where it is in somebody's hands, arrived, or was given up.
    ///
    /// # Errors
    /// The database's.
    pub async fn claim_this(
        &self,
        (org, id): (&OrganizationId, &str),
        owner: &str,
        now: Millis,
        lease_until: Millis,
    ) -> Result<Option<Sending>, StoreError> {
        let tx = write_tx(self).await?;
        db::guard(&tx, "", "outbox").await?;
        let sql = format!(
            "SELECT {COLUMNS} FROM delivery WHERE org = $1 AND id = $2 AND state = 'waiting' AND lease_until <= $3"
        );
        let rows = db::query(&*tx, &sql, [org.as_str().into(), id.into(), now.into()]).await?;
        let Some(row) = rows.first().map(of_row).transpose()? else { return Ok(None) };
        take(&tx, &row, owner, lease_until).await?;
        db::see_everybody(&tx).await?;
        let sending = with_body(&*tx, row).await?;
        commit(tx).await?;
        Ok(Some(sending))
    }

    /// Takes the claims of processes away that are known to be dead, as it is done with runs.
    ///
    /// # Errors
    /// The database's.
    pub async fn release_dead_deliveries(&self, former: Option<&str>) -> Result<u64, StoreError> {
        let embedded = self.db.get_database_backend() == sea_orm::DbBackend::Sqlite;
        let owners = match (embedded, former) {
            (true, _) => "%".to_owned(),
            (false, Some(name)) => format!("{name}/%"),
            (false, None) => return Ok(0),
        };
        let tx = write_tx(self).await?;
        let sql = "UPDATE delivery SET lease_until = 0 WHERE state = 'waiting' AND lease_until > 0 AND owner LIKE $1";
        let freed = db::run(&*tx, sql, [owners.into()]).await?;
        commit(tx).await?;
        Ok(freed)
    }

    /// Writes an attempt down and what follows from it. What is written twice counts once: who lost the claim meanwhile
    /// changes nothing but the log.
    ///
    /// # Errors
    /// The database's.
    pub async fn finish_attempt(
        &self,
        delivery: &Delivery,
        owner: &str,
        attempt: &Attempt,
        outcome: Outcome,
    ) -> Result<(), StoreError> {
        let key: [Bound; 2] = [delivery.org.as_str().into(), delivery.id.as_str().into()];
        let tx = write_tx(self).await?;
        let sql = "INSERT INTO delivery_attempt (org, delivery, number, at, took_ms, status, answer, error) \
                   SELECT $1, $2, COALESCE(MAX(number), 0) + 1, $3, $4, $5, $6, $7 FROM delivery_attempt \
                   WHERE org = $1 AND delivery = $2";
        let values = key.iter().cloned().chain([
            attempt.at.into(),
            attempt.took_ms.into(),
            attempt.status.map(i64::from).into(),
            attempt.answer.clone().into(),
            attempt.error.clone().into(),
        ]);
        db::run(&*tx, sql, values).await?;
        let end = attempt.at.saturating_add(attempt.took_ms);
        let (state, next, ended) = match outcome {
            Outcome::Arrived => (DeliveryState::Done, 0, Some(end)),
            Outcome::Again(at) => (DeliveryState::Waiting, at, None),
            Outcome::GivenUp => (DeliveryState::Failed, 0, Some(end)),
        };
        let sql = "UPDATE delivery SET state = $4, next_at = $5, ended_at = $6, tries = tries + 1, owner = NULL, \
                   lease_until = 0 WHERE org = $1 AND id = $2 AND owner = $3 AND state = 'waiting'";
        let values =
            key.iter().cloned().chain([owner.into(), state.name().into(), next.into(), ended.into()]);
        db::run(&*tx, sql, values).await?;
        if delivery.kind != MAIL {
            let sql = match outcome {
                Outcome::Arrived => {
                    "UPDATE webhook SET failing_since = NULL, succeeded_at = $3 WHERE org = $1 AND id = $2"
                }
                Outcome::Again(_) | Outcome::GivenUp => {
                    "UPDATE webhook SET failing_since = COALESCE(failing_since, $3) WHERE org = $1 AND id = $2"
                }
            };
            let values = [delivery.org.as_str().into(), delivery.target.as_str().into(), end.into()];
            db::run(&*tx, sql, values).await?;
        }
        commit(tx).await
    }

    /// One delivery of a webhook.
    ///
    /// # Errors
    /// The database's.
    pub async fn find_delivery(
        &self,
        org: &OrganizationId,
        target: &str,
        id: &str,
    ) -> Result<Option<Sending>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM delivery WHERE org = $1 AND target = $2 AND id = $3");
        let rows = db::query(&self.db, &sql, [org.as_str().into(), target.into(), id.into()]).await?;
        match rows.first().map(of_row).transpose()? {
            Some(row) => scope::everywhere(with_body(&self.db, row)).await.map(Some),
            None => Ok(None),
        }
    }

    /// The newest deliveries of a webhook; those before `before` in age, where it is given.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_deliveries(
        &self,
        org: &OrganizationId,
        target: &str,
        state: Option<DeliveryState>,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM delivery WHERE org = $1 AND target = $2 AND ($3 = '' OR state = $3) \
             AND ($4 = '' OR id < $4) ORDER BY id DESC LIMIT $5"
        );
        let values = [
            org.as_str().into(),
            target.into(),
            state.map_or("", DeliveryState::name).into(),
            before.unwrap_or_default().into(),
            i64::from(limit).into(),
        ];
        db::query(&self.db, &sql, values).await?.iter().map(of_row).collect()
    }

    /// The attempts of a delivery, oldest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_attempts(
        &self,
        org: &OrganizationId,
        delivery: &str,
    ) -> Result<Vec<Attempt>, StoreError> {
        let sql = "SELECT at, took_ms, status, answer, error FROM delivery_attempt WHERE org = $1 AND delivery = $2 \
                   ORDER BY number";
        let rows = db::query(&self.db, sql, [org.as_str().into(), delivery.into()]).await?;
        rows.iter()
            .map(|row| {
                let status: Option<i64> = row.try_get("", "status").map_err(error::of_db)?;
                Ok(Attempt {
                    at: row.try_get("", "at").map_err(error::of_db)?,
                    took_ms: row.try_get("", "took_ms").map_err(error::of_db)?,
                    status: status.and_then(|s| u16::try_from(s).ok()),
                    answer: row.try_get("", "answer").map_err(error::of_db)?,
                    error: row.try_get("", "error").map_err(error::of_db)?,
                })
            })
            .collect()
    }

    /// Begins a delivery anew, with the audit entry. Returns whether there is one that is not being tried already.
    ///
    /// # Errors
    /// The database's.
    pub async fn send_again(&self, delivery: &Delivery, entry: &NewAuditEntry) -> Result<bool, StoreError> {
        let tx = write_tx(self).await?;
        let sql = "UPDATE delivery SET state = 'waiting', tries = 0, next_at = 0, ended_at = NULL \
                   WHERE org = $1 AND id = $2 AND (state <> 'waiting' OR next_at > 0)";
        let values = [delivery.org.as_str().into(), delivery.id.as_str().into()];
        let begun = db::run(&*tx, sql, values).await? > 0;
        if begun {
            audit::append_in(&tx, &delivery.org, vec![entry]).await?;
        }
        commit(tx).await?;
        Ok(begun)
    }

    /// Puts a test for one webhook into the outbox; the delivery's id.
    ///
    /// # Errors
    /// The database's.
    pub async fn add_test_delivery(
        &self,
        org: &OrganizationId,
        webhook: &str,
        entry: &NewAuditEntry,
    ) -> Result<String, StoreError> {
        let tx = write_tx(self).await?;
        let data = json!({ "organization": org, "webhook": webhook });
        let (event, at) = add_event(&tx, org, TEST_EVENT, "", &data).await?;
        let to = ("webhook", org.as_str(), webhook);
        let id = add_delivery(&tx, to, TEST_EVENT, (org, &event), at, 0).await?;
        audit::append_in(&tx, org, vec![entry]).await?;
        commit(tx).await?;
        Ok(id)
    }
}

impl SqlStore {
    /// Organizations with findings that came up and that no mail was decided for yet (`new`), or that wait for the
    /// digest (`digest`).
    ///
    /// # Errors
    /// The database's.
    pub async fn list_mail_waiting(&self, mail: &str) -> Result<Vec<OrganizationId>, StoreError> {
        let sql = "SELECT DISTINCT org FROM event WHERE mail = $1 ORDER BY org";
        let rows = db::query(&self.db, sql, [mail.into()]).await?;
        rows.iter()
            .map(|row| row.try_get::<String>("", "org").map_err(error::of_db).map(OrganizationId::from))
            .collect()
    }

    /// Those events of an organization, oldest first: id and body.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_mail_events(
        &self,
        org: &OrganizationId,
        mail: &str,
        limit: u32,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let sql = "SELECT id, body FROM event WHERE mail = $2 AND org = $1 ORDER BY id LIMIT $3";
        let rows =
            db::query(&self.db, sql, [org.as_str().into(), mail.into(), i64::from(limit).into()]).await?;
        rows.iter()
            .map(|row| {
                let text = |name: &str| row.try_get::<String>("", name).map_err(error::of_db);
                Ok((text("id")?, text("body")?))
            })
            .collect()
    }

    /// Decides what is told by mail about events: puts the mails into the outbox and moves the events on, in one
    /// transaction. Returns whether it did: not where another process was there first, and then nothing is changed.
    ///
    /// # Errors
    /// The database's.
    pub async fn post_mails(
        &self,
        org: &OrganizationId,
        (from, events): (&str, &[(String, &str)]),
        mails: &[Mailing],
    ) -> Result<bool, StoreError> {
        let tx = write_tx(self).await?;
        db::guard(&tx, org.as_str(), "mail").await?;
        for (event, to) in events {
            let sql = "UPDATE event SET mail = $4 WHERE org = $1 AND id = $2 AND mail = $3";
            let values = [org.as_str().into(), event.as_str().into(), from.into(), (*to).into()];
            if db::run(&*tx, sql, values).await? == 0 {
                return Ok(false);
            }
        }
        for mail in mails {
            let data = serde_json::to_value(mail).map_err(|e| error::damaged("a mail", e))?;
            let (event, at) = add_event(&tx, org, MAIL, "", &data).await?;
            add_delivery(&tx, (MAIL, org.as_str(), &mail.to), MAIL, (org, &event), at, 0).await?;
        }
        commit(tx).await?;
        Ok(true)
    }
}

/// The channel and the kind of mails.
const MAIL: &str = "mail";

async fn take(
    tx: &DatabaseTransaction,
    row: &Delivery,
    owner: &str,
    lease_until: Millis,
) -> Result<(), StoreError> {
    let sql = "UPDATE delivery SET owner = $3, lease_until = $4 WHERE org = $1 AND id = $2";
    let values = [row.org.as_str().into(), row.id.as_str().into(), owner.into(), lease_until.into()];
    db::run(tx, sql, values).await.map(drop)
}

/// The event may be one of an organization below: its delivery is what makes it this organization's business.
async fn with_body<C: ConnectionTrait>(db: &C, delivery: Delivery) -> Result<Sending, StoreError> {
    let sql = "SELECT body FROM event WHERE org = $1 AND id = $2";
    let values = [delivery.event_org.as_str().into(), delivery.event.as_str().into()];
    let rows = db::query(db, sql, values).await?;
    let body = rows
        .first()
        .ok_or_else(|| StoreError::Damaged(format!("the event {} of a delivery is gone", delivery.event)))?;
    Ok(Sending { delivery, body: body.try_get("", "body").map_err(error::of_db)? })
}
