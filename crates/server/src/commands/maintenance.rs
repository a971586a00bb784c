//! `trueup maintenance`: takes away what the settings `retention.*` say need not be kept.

use crate::clock::SystemClock;
use crate::compose;
use crate::config::Options;
use crate::failure::{CliError, Exit};
use crate::output::Output;
use serde::Serialize;
use serde_json::json;
use trueup_domain::ids::OrganizationId;
use trueup_engine::ports::{Clock, Store};
use trueup_engine::settings::{self, Overlays};
use trueup_store::{Gone, Keep, SqlStore};

const DAY_MS: i64 = 86_400_000;
/// Answers kept for repeats hold for a day; one more is for requests under way.
const ANSWERS_MS: i64 = 2 * DAY_MS;

/// What went of an organization.
#[derive(Debug, Serialize)]
pub struct GoneDoc {
    organization: String,
    feed_versions: u64,
    runs: u64,
    findings: u64,
    approvals: u64,
    activity: u64,
    alerts: u64,
}

/// Runs the command.
pub async fn run(options: Options, dry_run: bool) -> Result<Exit, CliError> {
    let store = compose::sql_store(&options).await?;
    let gone =
        tidy(&store, &SystemClock::new(options.today), &options.overlays, &options.actor, dry_run).await?;
    Output::new(options.format).show(&json!({ "dry_run": dry_run, "organizations": gone }), |out| {
        let rows = gone
            .iter()
            .map(|g| {
                vec![
                    g.organization.clone(),
                    g.feed_versions.to_string(),
                    g.runs.to_string(),
                    g.findings.to_string(),
                    g.approvals.to_string(),
                    g.activity.to_string(),
                    g.alerts.to_string(),
                ]
            })
            .collect();
        let columns =
            ["organization", "feed versions", "runs", "findings", "approvals", "activity", "alerts"];
        out.table(&columns, rows);
        if dry_run {
            out.line("Nothing was taken away: this is what would be.");
        }
    });
    Ok(Exit::Done)
}

/// Takes away what need not be kept, of every organization by its own settings.
///
/// # Errors
/// The store's.
pub async fn tidy(
    store: &SqlStore,
    clock: &SystemClock,
    overlays: &Overlays,
    actor: &str,
    dry_run: bool,
) -> Result<Vec<GoneDoc>, CliError> {
    let now = clock.now();
    // Days count from the start of today, which `--today` may name.
    let today =
        clock.today().to_zoned(jiff::tz::TimeZone::UTC).map_or(now, |day| day.timestamp().as_millisecond());
    let mut all = Vec::new();
    for row in store.list_organizations().await? {
        let keep = keep(store, &row.id, overlays, today).await?;
        let gone = store.forget_old(&row.id, keep, now, actor, dry_run).await?;
        if gone != Gone::default() {
            all.push(GoneDoc {
                organization: row.id.to_string(),
                feed_versions: gone.feed_versions,
                runs: gone.runs,
                findings: gone.findings,
                approvals: gone.approvals,
                activity: gone.activity,
                alerts: gone.alerts,
            });
        }
    }
    if !dry_run {
        store.forget_passing(now, now.saturating_sub(ANSWERS_MS)).await?;
    }
    Ok(all)
}

async fn keep(
    store: &SqlStore,
    org: &OrganizationId,
    overlays: &Overlays,
    today: i64,
) -> Result<Keep, CliError> {
    let effective = settings::effective(store, org, overlays).await?;
    let before = |key: &str| {
        let days = effective.iter().find(|s| s.key == key).and_then(|s| s.value.parse::<i64>().ok());
        days.filter(|days| *days > 0).map(|days| today.saturating_sub(days.saturating_mul(DAY_MS)))
    };
    Ok(Keep {
        feed_before: before("retention.feed_days"),
        runs_before: before("retention.runs_days"),
        findings_before: before("retention.findings_days"),
        approvals_before: before("retention.approvals_days"),
        activity_before: before("retention.activity_days"),
        alerts_before: before("retention.alerts_days"),
    })
}
