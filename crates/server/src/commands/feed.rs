//! `trueup feed`: validates feed records and takes them in.

use crate::app::{App, source_of};
use crate::clock::SystemClock;
use crate::failure::{CliError, Exit};
use crate::output::Output;
use clap::{Args, Subcommand};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use trueup_domain::feed::RecordKind;
use trueup_domain::ids::{OrganizationId, SourceId};
use trueup_domain::money::{Currency, MoneyError};
use trueup_engine::feed::{BATCH, Destination, ImportReport};
use trueup_engine::ports::{Clock, Refusal};
use trueup_engine::records::{ImportCounts, IncomingRecord, NewAuditEntry};
use trueup_sources::{Dialect, ReadOptions, UsageSums, dialect, incoming, sum_usage};

/// What was sold.
#[derive(Debug, Subcommand)]
pub enum FeedCommand {
    /// Validates records and takes in nothing
    Check(FileArgs),
    /// Takes records in
    Import(ImportArgs),
}

/// The files and what is known about them.
#[derive(Args, Debug)]
pub struct FileArgs {
    /// Files; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How they are written: feed, focus, cloudblue-connect, cloudblue-simpleapi, mailprotector, anchor or c3-history
    #[arg(long, value_name = "DIALECT", default_value = "feed")]
    from: String,
    /// The kind of records that name none themselves, such as `order`
    #[arg(long = "type", value_name = "KIND")]
    kind: Option<String>,
    /// The currency of amounts that name none themselves, in dialects that have such
    #[arg(long, value_name = "CODE")]
    currency: Option<String>,
    /// Adds usage up while it is read: one record a customer or subscription, product, unit, currency and month. What an
    /// earlier import summed of the same is replaced
    #[arg(long)]
    summed: bool,
    /// What the sums are a part of, such as the name of a day or region: the sums of several parts add up
    #[arg(long, value_name = "NAME", requires = "summed", default_value = "")]
    part: String,
}

/// Flags of `feed import`.
#[derive(Args, Debug)]
pub struct ImportArgs {
    #[command(flatten)]
    files: FileArgs,
    /// The source whose ids these are
    #[arg(long, value_name = "NAME", default_value = "default")]
    source: String,
}

/// Exact sums of one currency.
#[derive(Serialize)]
struct TotalsDoc {
    amount: String,
    cost: String,
}

#[derive(Serialize)]
struct SumsDoc {
    by_currency: BTreeMap<String, TotalsDoc>,
}

/// The lines that sums were made of.
#[derive(Clone, Copy, Serialize)]
struct SummedDoc {
    lines: u64,
    repeated: u64,
    replaced: u64,
}

#[derive(Serialize)]
struct ImportDoc<'a> {
    records: BTreeMap<&'static str, ImportCounts>,
    refused: &'a [Refusal],
    refused_more: u64,
    warnings: &'a [Refusal],
    warnings_more: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    placed: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summed: Option<SummedDoc>,
    totals: SumsDoc,
}

impl<'a> From<&'a ImportReport> for ImportDoc<'a> {
    fn from(report: &'a ImportReport) -> Self {
        let by_currency = report
            .totals
            .iter()
            .map(|(currency, sums)| {
                let doc =
                    TotalsDoc { amount: sums.amount.display(*currency), cost: sums.cost.display(*currency) };
                (currency.to_string(), doc)
            })
            .collect();
        Self {
            records: report.records.iter().map(|(kind, counts)| (kind.name(), *counts)).collect(),
            refused: &report.refused,
            refused_more: report.refused_more,
            warnings: &report.warnings,
            warnings_more: report.warnings_more,
            placed: report.placed.iter().map(|(org, count)| (org.to_string(), *count)).collect(),
            summed: None,
            totals: SumsDoc { by_currency },
        }
    }
}

type Items = Box<dyn Iterator<Item = Result<IncomingRecord, Refusal>> + Send>;

fn dialect_of(args: &FileArgs) -> Result<Dialect, CliError> {
    dialect(&args.from).ok_or_else(|| {
        let all: Vec<&str> = Dialect::ALL.iter().map(|d| d.name()).collect();
        CliError::usage(
            format!("there is no dialect `{}`", args.from),
            format!("Use one of {}.", all.join(", ")),
        )
    })
}

fn can_be_read(args: &FileArgs) -> Result<(), CliError> {
    for file in args.files.iter().filter(|f| f.as_path() != Path::new("-")) {
        let cannot = |why: &dyn std::fmt::Display| {
            CliError::usage(format!("{} cannot be read: {why}", file.display()), "Name readable files.")
        };
        let opened = std::fs::File::open(file).map_err(|error| cannot(&error))?;
        if opened.metadata().is_ok_and(|about| about.is_dir()) {
            return Err(cannot(&"it is a directory"));
        }
    }
    Ok(())
}

fn open(args: &FileArgs, clock: SystemClock) -> Result<Items, CliError> {
    let dialect = dialect_of(args)?;
    let kind = args.kind.as_deref().map(kind_of).transpose()?;
    can_be_read(args)?;
    let currency = args.currency.as_deref().map(currency_of).transpose()?;
    let options = ReadOptions { kind, currency, as_of: clock.counted_at() };
    Ok(Box::new(dialect.read(&args.files, options).map(|item| item.map(incoming))))
}

/// Adds usage up.
async fn sum(out: Output, args: &FileArgs) -> Result<UsageSums, CliError> {
    if dialect_of(args)? != Dialect::Feed {
        return Err(CliError::usage(
            format!("what comes from `{}` cannot be summed", args.from),
            "Leave out --summed: usage of trueup's own feed alone can.",
        ));
    }
    let kind = args.kind.as_deref().map(kind_of).transpose()?;
    if kind.is_some_and(|kind| kind != RecordKind::Usage) {
        return Err(CliError::usage(
            "only usage can be summed".to_owned(),
            "Leave out --type, or write --type usage.",
        ));
    }
    can_be_read(args)?;
    let files = args.files.clone();
    let spinner = out.progress("Adding usage up");
    let summed = tokio::task::spawn_blocking(move || sum_usage(&files, true)).await;
    spinner.finish_and_clear();
    let summed = summed.unwrap_or_else(|broken| std::panic::resume_unwind(broken.into_panic()));
    summed.map_err(|refusal| unsummed(&refusal))
}

fn unsummed(refusal: &Refusal) -> CliError {
    let file = if refusal.file.is_empty() { String::new() } else { format!("{}: ", refusal.file) };
    CliError::usage(format!("{file}{}", refusal.reason), "Nothing was taken in.")
}

/// What the sums come to, where nothing is taken in.
fn report_of(sums: &UsageSums) -> Result<ImportReport, CliError> {
    let totals = sums.totals().map_err(|refusal| unsummed(&refusal))?;
    let counts = ImportCounts { new: totals.sums, ..ImportCounts::default() };
    Ok(ImportReport {
        records: if totals.sums > 0 {
            BTreeMap::from([(RecordKind::Usage, counts)])
        } else {
            BTreeMap::new()
        },
        refused: sums.refused.clone(),
        refused_more: sums.refused_more,
        warnings: sums.warnings.clone(),
        totals: totals.amounts.into_iter().map(|(currency, sums)| (currency, sums.into())).collect(),
        ..ImportReport::default()
    })
}

fn currency_of(code: &str) -> Result<Currency, CliError> {
    code.parse().map_err(|error: MoneyError| {
        CliError::usage(error.to_string(), "Use a code of ISO 4217, such as USD.")
    })
}

fn kind_of(name: &str) -> Result<RecordKind, CliError> {
    RecordKind::from_name(name).ok_or_else(|| {
        let all: Vec<&str> = RecordKind::ALL.iter().map(|k| k.name()).collect();
        CliError::usage(format!("`{name}` is no kind of record"), format!("Use one of {}.", all.join(", ")))
    })
}

/// `feed check`.
pub async fn check(out: Output, args: FileArgs) -> Result<Exit, CliError> {
    if args.summed {
        let sums = sum(out, &args).await?;
        return Ok(show(out, &report_of(&sums)?, Some(lines_of(&sums)), "valid"));
    }
    let (org, source) = (OrganizationId::from("default"), SourceId::from("default"));
    let to = Destination { store: None, org: &org, source: &source, at: 0 };
    let report = take(out, to, open(&args, SystemClock::default())?).await?;
    Ok(show(out, &report, None, "valid"))
}

fn lines_of(sums: &UsageSums) -> SummedDoc {
    SummedDoc { lines: sums.lines, repeated: sums.repeated, replaced: sums.replaced }
}

/// `feed import`.
pub async fn import(app: &App, args: ImportArgs) -> Result<Exit, CliError> {
    let source = source_of(Some(&args.source));
    if source.as_str().trim().is_empty() {
        return Err(CliError::usage(
            "the source has no name",
            "Name it with --source, or leave the flag out.",
        ));
    }
    let to = Destination { store: Some(app.store()), org: app.org(), source: &source, at: app.clock.now() };
    let (items, lines): (Items, _) = if args.files.summed {
        let sums = sum(app.out, &args.files).await?;
        let lines = lines_of(&sums);
        let more = sums.refused_more;
        (Box::new(sums.into_records(&args.files.part).map(|item| item.map(incoming))), Some((lines, more)))
    } else {
        (open(&args.files, app.clock)?, None)
    };
    let mut report = take(app.out, to, items).await?;
    report.refused_more += lines.map_or(0, |(_, more)| more);
    report.warnings.extend(dialect_of(&args.files)?.remark(&report));
    let lines = lines.map(|(lines, _)| lines);
    record(app, &args, &report, lines).await?;
    Ok(show(app.out, &report, lines, "taken in"))
}

async fn take(out: Output, to: Destination<'_>, items: Items) -> Result<ImportReport, CliError> {
    let spinner = out.progress("Reading records");
    let bar = spinner.clone();
    let report = trueup_engine::feed::import(to, items, BATCH, move |read| bar.set_position(read)).await;
    spinner.finish_and_clear();
    Ok(report?)
}

async fn record(
    app: &App,
    args: &ImportArgs,
    report: &ImportReport,
    lines: Option<SummedDoc>,
) -> Result<(), CliError> {
    let files: Vec<String> = args.files.files.iter().map(|f| f.display().to_string()).collect();
    let mut detail = serde_json::json!({
        "files": files,
        "from": args.files.from,
        "records": ImportDoc::from(report).records,
        "refused": report.refused.len(),
    });
    if let (Some(lines), Some(detail)) = (lines, detail.as_object_mut()) {
        detail.insert("summed".to_owned(), serde_json::json!(lines));
        detail.insert("part".to_owned(), serde_json::json!(args.files.part));
    }
    let entry = NewAuditEntry {
        at: app.clock.now(),
        actor: app.actor().to_owned(),
        action: "feed.import".into(),
        object: format!("source/{}", args.source),
        addition: None,
        detail: detail.to_string(),
    };
    Ok(app.store().append_audit(app.org(), &[entry]).await?)
}

fn show(out: Output, report: &ImportReport, summed: Option<SummedDoc>, what: &str) -> Exit {
    let document = ImportDoc { summed, ..ImportDoc::from(report) };
    out.show(&document, |out| {
        if let Some(SummedDoc { lines, repeated, replaced }) = document.summed {
            out.line(&format!(
                "{lines} lines added up; left out: {repeated} that a later line of the same id stands for, {replaced} that \
                 another line replaces."
            ));
        }
        out.line(&format!("{} records {what}.", report.taken_in()));
        let rows: Vec<Vec<String>> = document
            .records
            .iter()
            .map(|(kind, c)| {
                vec![(*kind).to_owned(), c.new.to_string(), c.changed.to_string(), c.unchanged.to_string()]
            })
            .collect();
        if !rows.is_empty() {
            out.table(&["kind", "new", "changed", "unchanged"], rows);
        }
        for (currency, sums) in &document.totals.by_currency {
            out.line(&format!("Amounts in {currency}: {}, cost {}.", sums.amount, sums.cost));
        }
        for (org, count) in &document.placed {
            out.line(&format!("{count} of them are of customers of organization {org}."));
        }
        refusals(out, "refused", document.refused);
        refusals(out, "warning", document.warnings);
    });
    Exit::needs_person_if(report.has_refusals())
}

/// Refusals as a table.
pub fn refusals(out: Output, what: &str, list: &[Refusal]) {
    if list.is_empty() {
        return;
    }
    let rows = list
        .iter()
        .map(|r| {
            let field = r.field.clone().unwrap_or_default();
            vec![what.to_owned(), r.file.clone(), r.line.to_string(), field, r.reason.clone()]
        })
        .collect();
    out.table(&["", "file", "line", "field", "reason"], rows);
}
