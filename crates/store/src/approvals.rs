//! Questions to people about what a plan would write, and their answers.

use crate::db::{self, commit, write_tx};
use crate::{audit, error, outbox, store::SqlStore};
use sea_orm::{ConnectionTrait, QueryResult};
use trueup_domain::approval::Word;
use trueup_domain::ids::{OrganizationId, PlanId};
use trueup_engine::ports::StoreError;
use trueup_engine::records::{ApprovalRow, ApprovalState, Millis, NewAuditEntry};

const COLUMNS: &str = "id, plan, connection, persons, reasons, maker, asked_at, state, closed_at";

fn of_row(row: &QueryResult) -> Result<ApprovalRow, StoreError> {
    let text = |name: &str| row.try_get::<String>("", name).map_err(error::of_db);
    let number = |name: &str| row.try_get::<i64>("", name).map_err(error::of_db);
    Ok(ApprovalRow {
        reasons: db::from_doc("the reasons of an approval", &text("reasons")?)?,
        state: db::from_word("the state of an approval", &text("state")?)?,
        id: text("id")?,
        plan: PlanId::from(text("plan")?),
        connection: text("connection")?,
        persons: u8::try_from(number("persons")?).unwrap_or(u8::MAX),
        maker: text("maker")?,
        asked_at: number("asked_at")?,
        closed_at: row.try_get("", "closed_at").map_err(error::of_db)?,
        words: Vec::new(),
    })
}

async fn with_words<C: ConnectionTrait>(
    db: &C,
    org: &OrganizationId,
    mut row: ApprovalRow,
) -> Result<ApprovalRow, StoreError> {
    let sql = "SELECT person, actor, approves, reason, at FROM approval_word WHERE org = $1 AND approval = $2 \
               ORDER BY number";
    for found in db::query(db, sql, [org.as_str().into(), row.id.as_str().into()]).await? {
        let text = |name: &str| found.try_get::<String>("", name).map_err(error::of_db);
        row.words.push(Word {
            person: text("person")?,
            actor: text("actor")?,
            approves: found.try_get::<i64>("", "approves").map_err(error::of_db)? != 0,
            reason: found.try_get("", "reason").map_err(error::of_db)?,
            at: found.try_get("", "at").map_err(error::of_db)?,
        });
    }
    Ok(row)
}

async fn find_in<C: ConnectionTrait>(
    db: &C,
    org: &OrganizationId,
    id: &str,
) -> Result<Option<ApprovalRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM approval WHERE org = $1 AND id = $2");
    match db::query(db, &sql, [org.as_str().into(), id.into()]).await?.first() {
        Some(row) => with_words(db, org, of_row(row)?).await.map(Some),
        None => Ok(None),
    }
}

pub(crate) async fn ask(
    store: &SqlStore,
    org: &OrganizationId,
    question: &ApprovalRow,
) -> Result<ApprovalRow, StoreError> {
    let sql = "INSERT INTO approval (org, id, plan, connection, persons, reasons, maker, asked_at, state) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (org, id) DO UPDATE SET plan = excluded.plan, \
               persons = excluded.persons, reasons = excluded.reasons, state = excluded.state, closed_at = NULL";
    let values = [
        org.as_str().into(),
        question.id.as_str().into(),
        question.plan.as_str().into(),
        question.connection.as_str().into(),
        i64::from(question.persons).into(),
        db::to_doc("the reasons of an approval", &question.reasons)?.into(),
        question.maker.as_str().into(),
        question.asked_at.into(),
        db::word(&ApprovalState::Open)?.into(),
    ];
    let tx = write_tx(store).await?;
    db::guard(&tx, org.as_str(), "approvals").await?;
    let is_new = find_in(&*tx, org, &question.id).await?.is_none_or(|row| row.state != ApprovalState::Open);
    db::run(&*tx, sql, values).await?;
    let asked = find_in(&*tx, org, &question.id).await?;
    if let Some(asked) = asked.as_ref().filter(|_| is_new) {
        let told = serde_json::json!({
            "id": asked.id,
            "plan": asked.plan,
            "connection": asked.connection,
            "persons": asked.persons,
            "reasons": asked.reasons.iter().map(|reason| &reason.message).collect::<Vec<_>>(),
        });
        outbox::tell(&tx, org, "approval.asked", "approvals", vec![told]).await?;
    }
    commit(tx).await?;
    asked.ok_or_else(|| StoreError::Damaged(format!("the approval {} was not kept", question.id)))
}

pub(crate) async fn find(
    store: &SqlStore,
    org: &OrganizationId,
    id: &str,
) -> Result<Option<ApprovalRow>, StoreError> {
    find_in(&store.db, org, id).await
}

pub(crate) async fn list(
    store: &SqlStore,
    org: &OrganizationId,
    open: bool,
    before: Option<(Millis, &str)>,
    limit: u32,
) -> Result<Vec<ApprovalRow>, StoreError> {
    let (at, id) = before.unwrap_or((i64::MAX, ""));
    let sql = format!(
        "SELECT {COLUMNS} FROM approval WHERE org = $1 AND ($2 = 0 OR state = 'open') \
         AND (asked_at < $3 OR (asked_at = $3 AND id < $4)) ORDER BY asked_at DESC, id DESC LIMIT $5"
    );
    let values = [org.as_str().into(), i64::from(open).into(), at.into(), id.into(), i64::from(limit).into()];
    let mut rows = Vec::new();
    for row in db::query(&store.db, &sql, values).await? {
        rows.push(with_words(&store.db, org, of_row(&row)?).await?);
    }
    Ok(rows)
}

pub(crate) async fn answer(
    store: &SqlStore,
    org: &OrganizationId,
    id: &str,
    word: &Word,
    entry: &NewAuditEntry,
) -> Result<Option<ApprovalRow>, StoreError> {
    let tx = write_tx(store).await?;
    db::guard(&tx, org.as_str(), "approvals").await?;
    let is_open = find_in(&*tx, org, id).await?.is_some_and(|row| row.state == ApprovalState::Open);
    if !is_open {
        return Ok(None);
    }
    let sql = "INSERT INTO approval_word (org, approval, number, person, actor, approves, reason, at) \
               SELECT $1, $2, COALESCE(MAX(number), 0) + 1, $3, $4, $5, $6, $7 FROM approval_word \
               WHERE org = $1 AND approval = $2";
    let values = [
        org.as_str().into(),
        id.into(),
        word.person.as_str().into(),
        word.actor.as_str().into(),
        i64::from(word.approves).into(),
        word.reason.clone().into(),
        word.at.into(),
    ];
    db::run(&*tx, sql, values).await?;
    audit::append_in(&tx, org, vec![entry]).await?;
    let row = find_in(&*tx, org, id).await?;
    commit(tx).await?;
    Ok(row)
}

pub(crate) async fn close(
    store: &SqlStore,
    org: &OrganizationId,
    id: &str,
    (state, carried_out): (ApprovalState, Option<&PlanId>),
    at: Millis,
) -> Result<bool, StoreError> {
    // Nearly always there is none: that is seen without the write lock.
    if find_in(&store.db, org, id).await?.is_none_or(|row| row.state != ApprovalState::Open) {
        return Ok(false);
    }
    let tx = write_tx(store).await?;
    db::guard(&tx, org.as_str(), "approvals").await?;
    let sql = "UPDATE approval SET state = $3, closed_at = $4, plan = COALESCE($5, plan) \
               WHERE org = $1 AND id = $2 AND state = 'open'";
    let plan = carried_out.map(|plan| plan.as_str().to_owned());
    let values = [org.as_str().into(), id.into(), db::word(&state)?.into(), at.into(), plan.into()];
    let closed = db::run(&*tx, sql, values).await? > 0;
    commit(tx).await?;
    Ok(closed)
}
