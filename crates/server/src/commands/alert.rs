//! `trueup alert`: alerts with their tickets, the rules about them, the log of what went on, and the runs that write.

mod documents;

pub use documents::{ActivityDoc, AlertDoc, AlertRunDoc, AlertTestDoc, RuleEntryDoc, RuleValueDoc, kinds};

use super::quantity::site;
use crate::app::App;
use crate::failure::{CliError, Exit};
use crate::output::documents::{FINDING_HEADER, finding_rows};
use crate::output::{any_error, note};
use clap::{Args, Subcommand};
use serde_json::json;
use std::sync::Arc;
use trueup_domain::alert::{AlertId, AlertSeverity, FIELDS, Field, KINDS};
use trueup_domain::ids::CompanyId;
use trueup_engine::alerts::{
    self, ActivityFilter, ActivityKind, AlertFilter, Request, RunReport, Setting, TestWish, Wish,
};
use trueup_engine::ports::{Clock, Psa};
use trueup_engine::schedule::TIME_ZONE;
use trueup_engine::settings;

/// What `alert` does.
#[derive(Debug, Subcommand)]
pub enum AlertCommand {
    /// Lists alerts, those told last first; the ones that are not over, unless a state is named
    List(ListArgs),
    /// Shows one alert with its ticket and what went on
    Show {
        /// The alert
        id: String,
    },
    /// Lists the rules, or with a kind every value that holds and the level it comes from
    Rules(RulesArgs),
    /// Sets values of a rule; what names a place of ConnectWise may be its id or its exact name
    Set(SetArgs),
    /// Removes what this organization set about a kind, so that the level above counts again
    Unset(RulesArgs),
    /// Makes a test ticket by a rule, notes on it and closes it
    Test(TestArgs),
    /// Takes in what was told, and brings every ticket to where its alert is
    Run(RunArgs),
    /// What went on: alerts, tickets, runs of quantities, findings; the newest first
    Log(LogArgs),
}

/// Flags of `alert list`.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// open, acknowledged, cleared, or all
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// Of this kind alone
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Of this customer alone
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
    /// So many at most
    #[arg(long, value_name = "N", default_value = "200")]
    limit: u32,
}

/// Which rule.
#[derive(Args, Debug)]
pub struct RulesArgs {
    /// The kind; * for every kind
    kind: Option<String>,
    /// At this severity alone: critical, error, warning or info
    #[arg(long, value_name = "SEVERITY", value_parser = severity)]
    severity: Option<AlertSeverity>,
}

/// Flags of `alert set`.
#[derive(Args, Debug)]
pub struct SetArgs {
    /// The kind, * for every kind, and what is set: board=Alerts priority=2; KEY= sets nothing, over the level above
    #[arg(required = true, value_name = "KIND KEY=VALUE")]
    words: Vec<String>,
    /// At this severity alone: critical, error, warning or info
    #[arg(long, value_name = "SEVERITY", value_parser = severity)]
    severity: Option<AlertSeverity>,
    /// Takes kind and severity from this entry of the log
    #[arg(long, value_name = "NUMBER")]
    from_entry: Option<i64>,
    /// Removes a value, so that the level above counts again; may be repeated
    #[arg(long, value_name = "KEY")]
    inherit: Vec<String>,
    /// The connection [default: the nearest one]
    #[arg(long, value_name = "NAME")]
    connection: Option<String>,
}

/// Flags of `alert test`.
#[derive(Args, Debug)]
pub struct TestArgs {
    /// The kind by whose rule it is made
    #[arg(default_value = "*")]
    kind: String,
    /// At this severity
    #[arg(long, value_name = "SEVERITY", value_parser = severity)]
    severity: Option<AlertSeverity>,
    /// For this company [default: that of the rule]
    #[arg(long, value_name = "ID")]
    company: Option<i64>,
    /// The connection [default: the nearest one]
    #[arg(long, value_name = "NAME")]
    connection: Option<String>,
}

/// Flags of `alert run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// Works as if it were this instant (RFC 3339)
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    at: Option<jiff::Timestamp>,
    /// The connection [default: the nearest one]
    #[arg(long, value_name = "NAME")]
    connection: Option<String>,
}

/// Flags of `alert log`.
#[derive(Args, Debug)]
pub struct LogArgs {
    /// alert, ticket, quantity or finding
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// About this alert alone
    #[arg(long, value_name = "ID")]
    alert: Option<String>,
    /// About this customer alone
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
    /// Before the entry with this number
    #[arg(long, value_name = "NUMBER")]
    before: Option<i64>,
    /// So many at most
    #[arg(long, value_name = "N", default_value = "50")]
    limit: u32,
}

fn severity(text: &str) -> Result<AlertSeverity, String> {
    AlertSeverity::from_name(text).ok_or_else(|| "one of critical, error, warning, info".to_owned())
}

fn instant(text: &str) -> Result<jiff::Timestamp, String> {
    text.parse().map_err(|_| "write an instant such as 2026-03-01T09:00:00Z".to_owned())
}

/// Runs the command.
///
/// # Errors
/// Whatever stopped it.
pub async fn run(app: &App, command: AlertCommand) -> Result<Exit, CliError> {
    match command {
        AlertCommand::List(args) => list(app, args).await,
        AlertCommand::Show { id } => show(app, &id).await,
        AlertCommand::Rules(args) => rules(app, args).await,
        AlertCommand::Set(args) => set(app, args).await,
        AlertCommand::Unset(args) => unset(app, args).await,
        AlertCommand::Test(args) => test(app, args).await,
        AlertCommand::Run(args) => execute(app, args).await,
        AlertCommand::Log(args) => log(app, args).await,
    }
}

/// The filter of a state's word: without one those that are not over.
///
/// # Errors
/// What the word may be.
pub fn states(word: Option<&str>) -> Result<Vec<Option<String>>, String> {
    match word {
        None => Ok(vec![Some("open".to_owned()), Some("acknowledged".to_owned())]),
        Some("all") => Ok(vec![None]),
        Some(word @ ("open" | "acknowledged" | "cleared")) => Ok(vec![Some(word.to_owned())]),
        Some(other) => Err(format!("`{other}` is none of open, acknowledged, cleared, all")),
    }
}

async fn list(app: &App, args: ListArgs) -> Result<Exit, CliError> {
    let states = states(args.state.as_deref())
        .map_err(|error| CliError::usage(error, "Name one of them, or leave it out."))?;
    let mut found = Vec::new();
    for state in states {
        let filter = AlertFilter {
            state,
            kind: args.kind.clone(),
            customer: args.customer.clone(),
            limit: Some(args.limit),
            ..AlertFilter::default()
        };
        found.extend(app.store().alerts().list_alerts(app.org(), &filter).await?);
    }
    found.sort_by(|a, b| (b.last_at, &a.id).cmp(&(a.last_at, &b.id)));
    let documents: Vec<AlertDoc> = found.iter().map(AlertDoc::from).collect();
    app.out.show(&json!({ "alerts": documents }), |out| {
        out.table(
            &["alert", "state", "severity", "kind", "subject", "customer", "since", "ticket", "waits"],
            documents.iter().map(AlertDoc::cells).collect(),
        );
    });
    Ok(Exit::Done)
}

/// One alert with the newest of what went on about it.
///
/// # Errors
/// There is none with this id; the store's.
pub async fn shown(app: &App, id: &str) -> Result<(AlertDoc, Vec<ActivityDoc>), CliError> {
    let id = AlertId::from(id);
    let filter = AlertFilter { ids: Some(vec![id.clone()]), ..AlertFilter::default() };
    let found = app.store().alerts().list_alerts(app.org(), &filter).await?;
    let alert = found.first().ok_or_else(|| {
        CliError::usage(format!("there is no alert `{id}`"), "`trueup alert list --state all` shows them.")
    })?;
    let filter = ActivityFilter { alert: Some(id), limit: 200, ..ActivityFilter::default() };
    let history = app.store().alerts().list_activity(app.org(), &filter).await?;
    Ok((AlertDoc::from(alert), history.iter().map(ActivityDoc::from).collect()))
}

async fn show(app: &App, id: &str) -> Result<Exit, CliError> {
    let (alert, history) = shown(app, id).await?;
    app.out.show(&json!({ "alert": alert, "history": history }), |out| {
        alert.lines().iter().for_each(|line| out.line(line));
        out.table(documents::LOG_HEADER, history.iter().map(ActivityDoc::cells).collect());
    });
    Ok(Exit::Done)
}

/// The rules that hold, or every value that holds for a kind.
///
/// # Errors
/// The store's.
pub async fn rule_entries(app: &App) -> Result<Vec<RuleEntryDoc>, CliError> {
    let levels = app.store().alerts().list_rules(app.org()).await?;
    Ok(levels.iter().map(|level| RuleEntryDoc::new(&level.entry, level.from.as_str())).collect())
}

/// Every value that holds for a kind, with the level that it comes from.
///
/// # Errors
/// The store's.
pub async fn rule_values(app: &App, wish: &Wish) -> Result<Vec<RuleValueDoc>, CliError> {
    let held = alerts::rule_values(site(app), wish).await?;
    let own = alerts::entry_of(site(app), wish).await?;
    Ok(FIELDS
        .iter()
        .filter_map(|row| held.get(&row.field).map(|value| RuleValueDoc::new(row, value, &own)))
        .collect())
}

async fn rules(app: &App, args: RulesArgs) -> Result<Exit, CliError> {
    let Some(kind) = args.kind else {
        let entries = rule_entries(app).await?;
        app.out.show(&json!({ "rules": entries, "kinds": documents::kinds() }), |out| {
            out.table(
                &["kind", "severity", "from", "says"],
                entries.iter().map(RuleEntryDoc::cells).collect(),
            );
        });
        return Ok(Exit::Done);
    };
    let wish = Wish { kind, severity: args.severity };
    let values = rule_values(app, &wish).await?;
    app.out.show(&json!({ "kind": wish.kind, "severity": wish.severity, "values": values }), |out| {
        out.table(&["key", "value", "from", "meaning"], values.iter().map(RuleValueDoc::cells).collect());
    });
    Ok(Exit::Done)
}

/// Kind and severity of an entry of the log.
///
/// # Errors
/// There is no such entry, or nothing in it a rule could be about.
pub async fn wish_of_entry(app: &App, seq: i64) -> Result<Wish, CliError> {
    let filter =
        ActivityFilter { before: Some(seq.saturating_add(1)), limit: 1, ..ActivityFilter::default() };
    let found = app.store().alerts().list_activity(app.org(), &filter).await?;
    let entry = found.into_iter().find(|entry| entry.seq == seq).ok_or_else(|| {
        CliError::usage(format!("the log has no entry {seq}"), "`trueup alert log` shows them.")
    })?;
    let kind = entry.entry.rule_kind.ok_or_else(|| {
        CliError::usage(format!("entry {seq} is about nothing that alerts are made of"), "Name a kind.")
    })?;
    Ok(Wish { kind, severity: None })
}

async fn psa_of(app: &App, connection: Option<&str>) -> Result<Option<(String, Arc<dyn Psa>)>, CliError> {
    let known = app.store().list_connections(app.org()).await?;
    if known.is_empty() && connection.is_none() {
        return Ok(None);
    }
    app.psa(connection).await.map(Some)
}

/// Sets values of a rule.
///
/// # Errors
/// A value is not allowed, or does not fit the board.
pub async fn set_values(
    app: &App,
    wish: &Wish,
    connection: Option<&str>,
    values: &[Setting],
) -> Result<RuleEntryDoc, CliError> {
    let psa = psa_of(app, connection).await?;
    let psa = psa.as_ref().map(|(_, psa)| psa.as_ref());
    let entry = alerts::set(site(app), psa, wish, values).await?;
    Ok(RuleEntryDoc::new(&entry, app.org().as_str()))
}

async fn set(app: &App, args: SetArgs) -> Result<Exit, CliError> {
    let mut words = args.words.into_iter().peekable();
    let wish = match args.from_entry {
        Some(seq) => Wish { severity: args.severity, ..wish_of_entry(app, seq).await? },
        None => {
            let kind = words.next_if(|word| !word.contains('=')).ok_or_else(|| {
                CliError::usage("the rule is about no kind", "Name the kind first, or `*` for every kind.")
            })?;
            Wish { kind, severity: args.severity }
        }
    };
    let field = |key: &str| {
        Field::from_key(key).map_err(|error| {
            let all: Vec<&str> = FIELDS.iter().map(|row| row.key).collect();
            CliError::usage(error.to_string(), format!("Name one of {}.", all.join(", ")))
        })
    };
    let mut values: Vec<Setting> = Vec::new();
    for word in words {
        let (key, value) = word.split_once('=').ok_or_else(|| {
            CliError::usage(format!("`{word}` is no KEY=VALUE"), "Write what is set as board=Alerts.")
        })?;
        values.push((field(key)?, Some(value.to_owned())));
    }
    for key in &args.inherit {
        values.push((field(key)?, None));
    }
    if values.is_empty() {
        return Err(CliError::usage("nothing is set", "Write KEY=VALUE, or --inherit KEY."));
    }
    let document = set_values(app, &wish, args.connection.as_deref(), &values).await?;
    app.out.show(&json!({ "rule": document }), |out| {
        out.table(&["kind", "severity", "from", "says"], vec![document.cells()]);
    });
    if !KINDS.iter().any(|row| row.name == wish.kind) && wish.kind != "*" && !wish.kind.starts_with("TU") {
        note(&format!("`{}` is no kind that trueup knows; it counts where a source tells it so.", wish.kind));
    }
    Ok(Exit::Done)
}

async fn unset(app: &App, args: RulesArgs) -> Result<Exit, CliError> {
    let kind = args.kind.ok_or_else(|| CliError::usage("no kind is named", "Name it, or `*`."))?;
    let wish = Wish { kind, severity: args.severity };
    let gone = alerts::unset(site(app), &wish).await?;
    app.out.show(&json!({ "removed": gone }), |out| {
        out.line(if gone { "It is gone; the level above counts." } else { "Nothing was set here." });
    });
    Ok(Exit::Done)
}

/// Makes a test ticket.
///
/// # Errors
/// The rule names no board or company; no connection.
pub async fn test_of(
    app: &App,
    rule: Wish,
    company: Option<i64>,
    connection: Option<&str>,
) -> Result<AlertTestDoc, CliError> {
    let (_, psa) = app.psa(connection).await?;
    let wish = TestWish {
        rule,
        company: company.map(CompanyId),
        nonce: uuid::Uuid::now_v7().simple().to_string(),
        zone: zone(app).await?,
    };
    let report = alerts::test(site(app), psa.as_ref(), &wish).await?;
    Ok(AlertTestDoc::from(&report))
}

async fn test(app: &App, args: TestArgs) -> Result<Exit, CliError> {
    let wish = Wish { kind: args.kind, severity: args.severity };
    let document = test_of(app, wish, args.company, args.connection.as_deref()).await?;
    let good = document.ok;
    app.out.show(&document, |out| {
        out.line(&document.summary);
        out.table(&["step", "ok", "code", "message"], document.cells());
    });
    Ok(Exit::needs_person_if(!good))
}

async fn zone(app: &App) -> Result<String, CliError> {
    let effective = settings::effective(app.store(), app.org(), &app.options.overlays).await?;
    let held = effective.into_iter().find(|setting| setting.key == TIME_ZONE);
    Ok(held.map_or_else(|| "UTC".to_owned(), |setting| setting.value))
}

/// Runs, and says what was done and whether something needs a person.
///
/// # Errors
/// The store's. What ConnectWise refuses is in the document.
pub async fn run_of(
    app: &App,
    connection: Option<&str>,
    at: Option<jiff::Timestamp>,
    owner: &str,
) -> Result<(AlertRunDoc, bool), CliError> {
    let settings = app.settings().await?;
    let psa = psa_of(app, connection).await?;
    let request = Request {
        org: app.org(),
        connection: psa.as_ref().map(|(name, _)| name.as_str()),
        at: at.map(jiff::Timestamp::as_millisecond),
        zone: &zone(app).await?,
        owner,
        on: settings.alerts,
        settle_ms: i64::try_from(settings.settle_seconds).unwrap_or(i64::MAX).saturating_mul(1_000),
    };
    let report: RunReport =
        alerts::run(app.store(), psa.as_ref().map(|(_, psa)| psa.as_ref()), &app.clock, request).await?;
    let needs_person = any_error(report.findings.iter().map(|finding| &finding.severity));
    let calls = psa.as_ref().map_or(0, |(_, psa)| psa.calls());
    Ok((AlertRunDoc::new(&report, settings.alerts, psa.is_some(), calls), needs_person))
}

async fn execute(app: &App, args: RunArgs) -> Result<Exit, CliError> {
    let owner = format!("cli-{}-{}", std::process::id(), app.clock.now());
    let (document, needs_person) = run_of(app, args.connection.as_deref(), args.at, &owner).await?;
    app.out.show(&document, |out| {
        out.line(&document.line());
        out.table(&["alert", "did", "ticket", "why"], document.cells());
        if !document.findings.is_empty() {
            out.table(FINDING_HEADER, finding_rows(&document.findings));
        }
    });
    if document.busy {
        note("Another run is under way; this one did nothing.");
        return Ok(Exit::NeedsPerson);
    }
    if let Some(stopped) = &document.stopped {
        note(&format!("ConnectWise does not answer; everything is kept for the next run. {stopped}"));
        return Ok(Exit::OutOfReach);
    }
    Ok(Exit::needs_person_if(needs_person))
}

async fn log(app: &App, args: LogArgs) -> Result<Exit, CliError> {
    let kind = args.kind.as_deref().map(|word| {
        ActivityKind::from_name(word).ok_or_else(|| {
            CliError::usage(
                format!("`{word}` is no kind of entry"),
                "Name one of alert, ticket, quantity, finding.",
            )
        })
    });
    let filter = ActivityFilter {
        before: args.before,
        kind: kind.transpose()?,
        alert: args.alert.map(AlertId::from),
        customer: args.customer,
        limit: args.limit,
    };
    let found = app.store().alerts().list_activity(app.org(), &filter).await?;
    let documents: Vec<ActivityDoc> = found.iter().map(ActivityDoc::from).collect();
    app.out.show(&json!({ "entries": documents }), |out| {
        out.table(documents::LOG_HEADER, documents.iter().map(ActivityDoc::cells).collect());
    });
    Ok(Exit::Done)
}
