//! Numbers about the whole installation, for those who watch it. They name no organization and no customer.

use crate::{db, error, store::SqlStore};
use std::collections::BTreeMap;
use trueup_domain::finding::{Finding, Severity};
use trueup_domain::money::Money;
use trueup_engine::ports::StoreError;
use trueup_engine::records::Millis;

/// Numbers of one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Organizations.
    pub organizations: u64,
    /// Runs by state.
    pub runs: BTreeMap<String, u64>,
    /// Since when the oldest run waits for a worker.
    pub waiting_since: Option<Millis>,
    /// Tasks by state.
    pub tasks: BTreeMap<String, u64>,
    /// Writes of which nobody knows yet whether they were done.
    pub in_doubt: u64,
    /// What is told to others, by channel and state.
    pub deliveries: BTreeMap<(String, String), u64>,
    /// Open findings by code and severity.
    pub findings: BTreeMap<(String, &'static str), u64>,
    /// Money at risk in open findings, by currency, as decimal text.
    pub at_risk: BTreeMap<&'static str, String>,
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

impl SqlStore {
    /// The numbers as they are now.
    ///
    /// # Errors
    /// The database's.
    pub async fn gauges(&self) -> Result<Gauges, StoreError> {
        let of = error::of_db;
        let mut gauges = Gauges::default();
        for row in db::query(&self.db, "SELECT COUNT(*) AS n FROM organization", []).await? {
            gauges.organizations = count(row.try_get("", "n").map_err(of)?);
        }
        let sql = "SELECT state, COUNT(*) AS n, \
                   MIN(CASE WHEN not_before > created_at THEN not_before ELSE created_at END) AS since \
                   FROM run GROUP BY state";
        for row in db::query(&self.db, sql, []).await? {
            let state: String = row.try_get("", "state").map_err(of)?;
            if state == "queued" {
                gauges.waiting_since = row.try_get("", "since").map_err(of)?;
            }
            gauges.runs.insert(state, count(row.try_get("", "n").map_err(of)?));
        }
        for row in db::query(&self.db, "SELECT state, COUNT(*) AS n FROM task GROUP BY state", []).await? {
            let state = row.try_get("", "state").map_err(of)?;
            gauges.tasks.insert(state, count(row.try_get("", "n").map_err(of)?));
        }
        let sql = "SELECT COUNT(*) AS n FROM operation WHERE state = 'in_doubt'";
        for row in db::query(&self.db, sql, []).await? {
            gauges.in_doubt = count(row.try_get("", "n").map_err(of)?);
        }
        let sql = "SELECT channel, state, COUNT(*) AS n FROM delivery GROUP BY channel, state";
        for row in db::query(&self.db, sql, []).await? {
            let key = (row.try_get("", "channel").map_err(of)?, row.try_get("", "state").map_err(of)?);
            gauges.deliveries.insert(key, count(row.try_get("", "n").map_err(of)?));
        }
        let sql = "SELECT code, severity, COUNT(*) AS n FROM finding WHERE state IN ('open', 'recurred') \
                   GROUP BY code, severity";
        for row in db::query(&self.db, sql, []).await? {
            let severity = match row.try_get::<i64>("", "severity").map_err(of)? {
                0 => Severity::Info.name(),
                1 => Severity::Warning.name(),
                _ => Severity::Error.name(), // open set: a number of the database
            };
            let code = row.try_get("", "code").map_err(of)?;
            gauges.findings.insert((code, severity), count(row.try_get("", "n").map_err(of)?));
        }
        gauges.at_risk = self.at_risk().await?;
        Ok(gauges)
    }

    /// Summed here, because a sum in SQLite is a float.
    async fn at_risk(&self) -> Result<BTreeMap<&'static str, String>, StoreError> {
        let sql = "SELECT doc FROM finding WHERE state IN ('open', 'recurred') \
                   AND doc NOT LIKE '%\"amount\":null%'";
        let mut sums: BTreeMap<&'static str, Money> = BTreeMap::new();
        for row in db::query(&self.db, sql, []).await? {
            let doc: String = row.try_get("", "doc").map_err(error::of_db)?;
            let finding: Finding = db::from_doc("a finding", &doc)?;
            let Some((amount, currency)) = finding.amount else { continue };
            let sum = sums.entry(currency.code()).or_default();
            // A sum that no decimal can hold stays what it was: the findings themselves tell the amounts.
            *sum = sum.plus(amount.abs()).unwrap_or(*sum);
        }
        Ok(sums.into_iter().map(|(code, sum)| (code, sum.to_string())).collect())
    }
}
