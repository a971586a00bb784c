//! Answers to requests that carried a key of their own, kept so that the same request again gets the same answer.

use crate::db::{self, commit, write_tx};
use crate::{error, store::SqlStore};
use trueup_domain::ids::OrganizationId;
use trueup_engine::ports::StoreError;
use trueup_engine::records::Millis;

/// No request takes so long: one that is still unanswered then died with its process.
const LONGEST_MS: Millis = 15 * 60 * 1_000;

/// An answer that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAnswer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// What is known about a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Nothing: the request is carried out now, and the key is taken.
    First,
    /// The same request is being carried out.
    Running,
    /// The same request was answered.
    Answered(KeptAnswer),
    /// The key came with another request.
    Differently,
}

impl SqlStore {
    /// Takes a key, or tells what became of it. Keys older than `forget_before` are forgotten first, and so are
    /// those whose request died unanswered.
    ///
    /// # Errors
    /// The database's.
    pub async fn begin_answer(
        &self,
        org: &OrganizationId,
        (caller, key): (&str, &str),
        fingerprint: &str,
        at: Millis,
        forget_before: Millis,
    ) -> Result<Asked, StoreError> {
        let tx = write_tx(self).await?;
        let sql = "DELETE FROM kept_answer WHERE org = $1 AND caller = $2 \
                   AND (created_at < $3 OR (state = 'running' AND created_at < $4))";
        let died = at.saturating_sub(LONGEST_MS);
        let values = [org.as_str().into(), caller.into(), forget_before.into(), died.into()];
        db::run(&*tx, sql, values).await?;
        let sql = "INSERT INTO kept_answer (org, caller, key, fingerprint, state, created_at, status, answer) \
                   VALUES ($1, $2, $3, $4, 'running', $5, 0, '') ON CONFLICT DO NOTHING";
        let values = [org.as_str().into(), caller.into(), key.into(), fingerprint.into(), at.into()];
        if db::run(&*tx, sql, values).await? > 0 {
            commit(tx).await?;
            return Ok(Asked::First);
        }
        let sql = "SELECT fingerprint, state, status, answer FROM kept_answer \
                   WHERE org = $1 AND caller = $2 AND key = $3";
        let rows = db::query(&*tx, sql, [org.as_str().into(), caller.into(), key.into()]).await?;
        commit(tx).await?;
        let Some(row) = rows.first() else { return Ok(Asked::Running) };
        let text = |name: &str| row.try_get::<String>("", name).map_err(error::of_db);
        if text("fingerprint")? != fingerprint {
            return Ok(Asked::Differently);
        }
        if text("state")? != "answered" {
            return Ok(Asked::Running);
        }
        let status: i64 = row.try_get("", "status").map_err(error::of_db)?;
        Ok(Asked::Answered(KeptAnswer {
            status: u16::try_from(status).unwrap_or(200),
            body: text("answer")?,
        }))
    }

    /// Keeps the answer; with none the key is free again.
    ///
    /// # Errors
    /// The database's.
    pub async fn end_answer(
        &self,
        org: &OrganizationId,
        (caller, key): (&str, &str),
        answer: Option<&KeptAnswer>,
    ) -> Result<(), StoreError> {
        let tx = write_tx(self).await?;
        match answer {
            Some(answer) => {
                let sql = "UPDATE kept_answer SET state = 'answered', status = $4, answer = $5 \
                           WHERE org = $1 AND caller = $2 AND key = $3";
                let values = [
                    org.as_str().into(),
                    caller.into(),
                    key.into(),
                    i64::from(answer.status).into(),
                    answer.body.as_str().into(),
                ];
                db::run(&*tx, sql, values).await?;
            }
            None => {
                let sql = "DELETE FROM kept_answer WHERE org = $1 AND caller = $2 AND key = $3";
                db::run(&*tx, sql, [org.as_str().into(), caller.into(), key.into()]).await?;
            }
        }
        commit(tx).await
    }
}
