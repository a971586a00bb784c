//! Handing in what was sold: the records of a feed, or a source's own format.

use crate::serve::extract::{Find, too_large};
use crate::serve::problem::Problem;
use crate::serve::state::{Scope, Service};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tokio::io::AsyncWriteExt;
use trueup_domain::feed::RecordKind;
use trueup_domain::ids::{OrganizationId, SourceId};
use trueup_engine::feed::{BATCH, Destination, ImportReport, import};
use trueup_engine::organizations::Tree;
use trueup_engine::ports::{Clock, Refusal, Store};
use trueup_sources::{Dialect, ReadOptions, dialect, incoming};
use utoipa::{IntoParams, ToSchema};

/// The longest body.
const LONGEST: u64 = 512 * 1024 * 1024;
/// Refusals and warnings shown; more are counted.
const MOST_SHOWN: usize = 1_000;

/// Whose records these are, and how they are written.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FeedQuery {
    /// The organization; the caller's own where it is missing.
    #[allow(dead_code, reason = "the gate reads it")]
    organization: Option<String>,
    /// The source whose ids these are; `default` where it is missing.
    source: Option<String>,
    /// `feed`, `focus`, `cloudblue-connect`, `cloudblue-simpleapi`, `mailprotector`, `anchor` or `c3-history`; `feed` where
    /// it is missing.
    from: Option<String>,
    /// The kind of records that name none themselves, such as `order`.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// The currency of amounts that name none themselves, in dialects that have such.
    currency: Option<String>,
}

/// Counts of one kind.
#[derive(Serialize, ToSchema)]
pub struct CountsDoc {
    /// Not known before.
    new: u64,
    /// A new version.
    changed: u64,
    /// As it was.
    unchanged: u64,
}

/// A record that was not taken in, or a remark about one that was.
#[derive(Serialize, ToSchema)]
pub struct RefusalDoc {
    /// Line of the body, from 1.
    line: u64,
    /// The field, where one is to blame.
    field: Option<String>,
    /// What is wrong, why, and what to do.
    reason: String,
    /// The exception code.
    code: String,
}

/// Exact sums of one currency.
#[derive(Serialize, ToSchema)]
pub struct SumsDoc {
    /// Amounts of order lines.
    amount: String,
    /// Costs of order lines.
    cost: String,
}

/// Sums by currency.
#[derive(Serialize, ToSchema)]
pub struct FeedTotalsDoc {
    /// By ISO 4217 code.
    by_currency: BTreeMap<String, SumsDoc>,
}

/// What was taken in.
#[derive(Serialize, ToSchema)]
pub struct ImportDoc {
    /// Counts by kind.
    #[schema(value_type = BTreeMap<String, CountsDoc>)]
    records: BTreeMap<&'static str, CountsDoc>,
    /// Records that were not taken in.
    refused: Vec<RefusalDoc>,
    /// How many more were refused than are listed.
    refused_more: u64,
    /// Remarks about records that were taken in.
    warnings: Vec<RefusalDoc>,
    /// How many more remarks there are.
    warnings_more: u64,
    /// How many of the records went to organizations below, because their customers are placed there.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    placed: BTreeMap<String, u64>,
    /// The exact sums of the order lines.
    totals: FeedTotalsDoc,
}

impl From<&Refusal> for RefusalDoc {
    fn from(refusal: &Refusal) -> Self {
        Self {
            line: refusal.line,
            field: refusal.field.clone(),
            reason: refusal.reason.clone(),
            code: refusal.code.clone(),
        }
    }
}

fn shown(list: &[Refusal], more: u64) -> (Vec<RefusalDoc>, u64) {
    let documents = list.iter().take(MOST_SHOWN).map(RefusalDoc::from);
    let left = u64::try_from(list.len().saturating_sub(MOST_SHOWN)).unwrap_or(u64::MAX);
    (documents.collect(), more.saturating_add(left))
}

impl From<&ImportReport> for ImportDoc {
    fn from(report: &ImportReport) -> Self {
        let counts = |c: &trueup_engine::records::ImportCounts| CountsDoc {
            new: c.new,
            changed: c.changed,
            unchanged: c.unchanged,
        };
        let (refused, refused_more) = shown(&report.refused, report.refused_more);
        let (warnings, warnings_more) = shown(&report.warnings, report.warnings_more);
        let by_currency = report
            .totals
            .iter()
            .map(|(currency, sums)| {
                let doc =
                    SumsDoc { amount: sums.amount.display(*currency), cost: sums.cost.display(*currency) };
                (currency.to_string(), doc)
            })
            .collect();
        Self {
            records: report.records.iter().map(|(kind, c)| (kind.name(), counts(c))).collect(),
            refused,
            refused_more,
            warnings,
            warnings_more,
            placed: report.placed.iter().map(|(org, count)| (org.to_string(), *count)).collect(),
            totals: FeedTotalsDoc { by_currency },
        }
    }
}

/// A file that is gone with its value.
struct Spooled(PathBuf);

impl Drop for Spooled {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The name's end tells readers how the records are written.
fn ending(headers: &HeaderMap) -> Result<&'static str, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    match kind.split(';').next().unwrap_or_default().trim() {
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok("ndjson"),
        "application/json" => Ok("json"),
        "text/csv" => Ok("csv"),
        "application/xml" | "text/xml" => Ok("xml"),
        _ => Err(Problem::new(
            // open set: text
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "media-type",
            "Not a form that is read here",
            "`Content-Type` names none of application/x-ndjson, application/json, text/csv",
            "Say how the records are written.",
        )),
    }
}

/// Writes the body to a file of its own, readable by its owner alone: memory stays flat, whatever comes.
async fn spool(dir: &Path, ending: &str, body: Body) -> Result<Spooled, Problem> {
    let failed = |error: std::io::Error| {
        tracing::error!(%error, "a feed cannot be kept");
        Problem::coded(
            StatusCode::SERVICE_UNAVAILABLE,
            trueup_domain::finding::Code::Tu9102,
            "the records cannot be kept while they are read",
        )
    };
    let spooled = Spooled(dir.join(format!("incoming-{}.{ending}", uuid::Uuid::now_v7().simple())));
    let mut options = tokio::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    options.mode(0o600);
    let mut file = options.open(&spooled.0).await.map_err(failed)?;
    let mut length = 0_u64;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Problem::malformed("the body broke off"))?;
        length = length.saturating_add(chunk.len() as u64);
        if length > LONGEST {
            return Err(too_large());
        }
        file.write_all(&chunk).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)?;
    Ok(spooled)
}

/// Hand in records
///
/// NDJSON, a JSON array or CSV. Every record is taken in or refused on its own, with its line, field and reason; the
/// same records again change nothing.
#[utoipa::path(post, path = "/api/v1/feed", tag = "feed", params(FeedQuery),
    request_body(content(
        (String = "application/x-ndjson"), (Vec<Object> = "application/json"), (String = "text/csv")
    )),
    responses((status = 200, description = "What was taken in", body = ImportDoc)))]
pub async fn push(
    State(service): State<Service>,
    scope: Scope,
    headers: HeaderMap,
    Find(query): Find<FeedQuery>,
    body: Body,
) -> Result<Json<ImportDoc>, Problem> {
    let ending = ending(&headers)?;
    let from = query.from.as_deref().unwrap_or("feed");
    let dialect = dialect(from).ok_or_else(|| {
        let all: Vec<&str> = Dialect::ALL.iter().map(|d| d.name()).collect();
        Problem::field("from", format!("`{from}` is none of {}", all.join(", ")))
    })?;
    let kind = query.kind.as_deref().map(|word| {
        RecordKind::from_name(word)
            .ok_or_else(|| Problem::field("type", format!("`{word}` is no kind of record")))
    });
    let currency = query.currency.as_deref().map(|code| {
        code.parse().map_err(|_| Problem::field("currency", format!("`{code}` is no code of ISO 4217")))
    });
    let options = ReadOptions {
        kind: kind.transpose()?,
        currency: currency.transpose()?,
        as_of: service.clock.counted_at(),
    };
    let name = query.source.unwrap_or_else(|| "default".to_owned());
    let source = SourceId::from(crate::serve::state::checked("source", &name, 100)?);
    let spooled = spool(&service.options.data_dir, ending, body).await?;
    let report = take(&service, &scope, dialect, options, source.clone(), spooled).await?;
    let document = ImportDoc::from(&report);
    let detail = json!({ "from": from, "records": document.records, "refused": report.refused.len() });
    let app = scope.app(&service);
    let entry = service.entry(app.actor(), "feed.import", format!("source/{source}"), &detail);
    service.store.append_audit(&scope.org, &[entry]).await?;
    if report.records.get(&RecordKind::Alert).is_some_and(|counts| counts.new + counts.changed > 0) {
        super::alerts::follow_feed(&service, &scope).await?;
    }
    Ok(Json(document))
}

async fn take(
    service: &Service,
    scope: &Scope,
    dialect: Dialect,
    options: ReadOptions,
    source: SourceId,
    spooled: Spooled,
) -> Result<ImportReport, Problem> {
    let files = [spooled.0.clone()];
    let records = dialect.read(&files, options).map(|item| item.map(incoming));
    let to = Destination {
        store: Some(service.store.as_ref()),
        org: &scope.org,
        source: &source,
        at: service.clock.now(),
    };
    // A feed may place customers in the organizations below.
    let tree = Tree::of(&service.store.list_organizations().await?);
    let reach: Vec<OrganizationId> =
        tree.lineage(&scope.org).into_iter().cloned().chain(tree.below(&scope.org)).collect();
    let mut report = trueup_store::within(&reach, import(to, records, BATCH, |_| ())).await?;
    report.warnings.extend(dialect.remark(&report));
    Ok(report)
}
