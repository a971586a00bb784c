//! What is not kept for ever: old versions of feed records, runs that ended, findings that were resolved, alerts that are
//! over, sessions and answers that ran out. Never the audit, the journal, the links, the plans or the newest version of anything.

use crate::db::{self, commit, write_tx};
use crate::{audit, store::SqlStore};
use trueup_domain::ids::OrganizationId;
use trueup_engine::ports::StoreError;
use trueup_engine::records::{Millis, NewAuditEntry};

/// Up to when things of an organization go; none keeps them for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// Versions of feed records that another one replaced before this instant.
    pub feed_before: Option<Millis>,
    /// Runs that ended before this instant.
    pub runs_before: Option<Millis>,
    /// Resolved findings that were last seen before this instant.
    pub findings_before: Option<Millis>,
    /// Entries of the log of what went on that are older than this instant.
    pub activity_before: Option<Millis>,
    /// Alerts that are over, with nothing left to do about their tickets, and of which nothing was told since this instant.
    pub alerts_before: Option<Millis>,
    /// Questions to people that were closed before this instant; what people said is in the audit as well.
    pub approvals_before: Option<Millis>,
}

/// How much went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    /// Versions of feed records.
    pub feed_versions: u64,
    /// Runs.
    pub runs: u64,
    /// Findings.
    pub findings: u64,
    /// Questions to people.
    pub approvals: u64,
    /// Entries of the log of what went on.
    pub activity: u64,
    /// Alerts.
    pub alerts: u64,
}

const VERSIONS: &str = "DELETE FROM record_history WHERE org = $1 AND COALESCE(\
    (SELECT n.received_at FROM record_history AS n WHERE n.org = record_history.org \
     AND n.source = record_history.source AND n.kind = record_history.kind AND n.id = record_history.id \
     AND n.version = record_history.version + 1), \
    (SELECT r.received_at FROM record AS r WHERE r.org = record_history.org AND r.source = record_history.source \
     AND r.kind = record_history.kind AND r.id = record_history.id AND r.version = record_history.version + 1)) < $2";
const RUNS: &str =
    "DELETE FROM run WHERE org = $1 AND state IN ('done', 'needs_person', 'failed') AND finished_at < $2";
const FINDINGS: &str = "DELETE FROM finding WHERE org = $1 AND state = 'resolved' AND last_seen_at < $2";

const WORDS: &str = "DELETE FROM approval_word WHERE org = $1 AND approval IN (\
    SELECT id FROM approval WHERE org = $1 AND state <> 'open' AND closed_at < $2)";
const APPROVALS: &str = "DELETE FROM approval WHERE org = $1 AND state <> 'open' AND closed_at < $2";

// Not the watch over a device: whoever is silent for that long is to be told of. What of its records was taken in is known
// further on, so that none of them makes it anew.
const ALERTS: &str = "DELETE FROM alert WHERE org = $1 AND state = 'cleared' AND settled = 1 \
    AND kind <> 'device_offline' AND last_at < $2";

const ACTIVITY: &str = "DELETE FROM activity WHERE org = $1 AND at < $2";

impl SqlStore {
    /// Takes away what need not be kept any longer, and says so in the audit; with `dry_run` only says how much it would be.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_old(
        &self,
        org: &OrganizationId,
        keep: Keep,
        at: Millis,
        actor: &str,
        dry_run: bool,
    ) -> Result<Gone, StoreError> {
        let tx = write_tx(self).await?;
        let (mut gone, mut words) = (Gone::default(), 0);
        for (before, sql, count) in [
            (keep.feed_before, VERSIONS, &mut gone.feed_versions),
            (keep.runs_before, RUNS, &mut gone.runs),
            (keep.findings_before, FINDINGS, &mut gone.findings),
            // Before the questions, by which they are found; only those count.
            (keep.approvals_before, WORDS, &mut words),
            (keep.approvals_before, APPROVALS, &mut gone.approvals),
            (keep.activity_before, ACTIVITY, &mut gone.activity),
            (keep.alerts_before, ALERTS, &mut gone.alerts),
        ] {
            if let Some(before) = before {
                *count = db::run(&*tx, sql, [org.as_str().into(), before.into()]).await?;
            }
        }
        if dry_run || gone == Gone::default() {
            return Ok(gone);
        }
        let entry = NewAuditEntry {
            at,
            actor: actor.to_owned(),
            action: "maintenance".to_owned(),
            object: "retention".to_owned(),
            addition: None,
            detail: format!(
                "{{\"feed_versions\":{},\"runs\":{},\"findings\":{},\"approvals\":{},\"activity\":{},\"alerts\":{}}}",
                gone.feed_versions, gone.runs, gone.findings, gone.approvals, gone.activity, gone.alerts
            ),
        };
        audit::append_in(&tx, org, vec![&entry]).await?;
        commit(tx).await?;
        Ok(gone)
    }

    /// Takes away sessions that ran out, answers that nobody may repeat any more, and what was told long ago; how many
    /// of these.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_passing(&self, now: Millis, answers_before: Millis) -> Result<u64, StoreError> {
        let tx = write_tx(self).await?;
        let sessions = db::run(&*tx, "DELETE FROM session WHERE expires_at <= $1", [now.into()]).await?;
        let sql = "DELETE FROM kept_answer WHERE created_at < $1";
        let answers = db::run(&*tx, sql, [answers_before.into()]).await?;
        let sql = "UPDATE webhook SET former_secret = NULL, former_until = NULL WHERE former_until <= $1";
        let secrets = db::run(&*tx, sql, [now.into()]).await?;
        let told_before = now.saturating_sub(TOLD_KEPT_MS);
        let mut told = 0_u64;
        for sql in TOLD {
            told = told.saturating_add(db::run(&*tx, sql, [told_before.into()]).await?);
        }
        commit(tx).await?;
        Ok(sessions.saturating_add(answers).saturating_add(secrets).saturating_add(told))
    }
}

/// The log of deliveries is kept for so long.
const TOLD_KEPT_MS: Millis = 30 * 24 * 60 * 60 * 1_000;

/// Deliveries that ended, their attempts, and events that nothing waits for any more.
const TOLD: [&str; 3] = [
    "DELETE FROM delivery_attempt WHERE EXISTS (SELECT 1 FROM delivery AS d WHERE d.org = delivery_attempt.org \
     AND d.id = delivery_attempt.delivery AND d.state <> 'waiting' AND d.ended_at < $1)",
    "DELETE FROM delivery WHERE state <> 'waiting' AND ended_at < $1",
    "DELETE FROM event WHERE at < $1 AND NOT EXISTS (SELECT 1 FROM delivery AS d \
     WHERE d.event_org = event.org AND d.event = event.id)",
];
