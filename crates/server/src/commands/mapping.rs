//! `trueup mapping`: mappings in bulk.

mod reasons;
pub mod suggest;

use super::feed::refusals;
use crate::app::{App, source_of};
use crate::failure::{CliError, Exit};
use crate::mapping_csv;
use crate::output;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use trueup_domain::finding::Code;
use trueup_domain::ids::SourceId;
use trueup_domain::mapping::{Mapping, MappingKind, MappingOrigin};
use trueup_domain::mapping_rules::Conflict;
use trueup_domain::task::Task;
use trueup_engine::mappings::release::{self as releasing, Impact, Selection};
use trueup_engine::mappings::{self, Judging, Site};

/// Mappings.
#[derive(Debug, Subcommand)]
pub enum MappingCommand {
    /// Takes mappings in from a CSV file: kind,source_id,psa_id,scope,options
    Import {
        /// The file; `-` is standard input
        file: PathBuf,
        /// The source whose ids are meant
        #[arg(long, value_name = "NAME", default_value = "default")]
        source: String,
    },
    /// Writes the mappings as CSV
    Export {
        /// The source whose ids are meant
        #[arg(long, value_name = "NAME", default_value = "default")]
        source: String,
    },
    /// Lists the mappings of all sources
    List,
    /// Proposes mappings by name, from the feed and the last `psa pull`; saves nothing
    Suggest(suggest::SuggestArgs),
    /// Releases one mapping; with --cascade what hangs on it as well, after showing it
    Release(ReleaseArgs),
}

/// Flags of `mapping release`.
#[derive(Args, Debug)]
pub struct ReleaseArgs {
    /// customer, product, agreement, fee or addition
    kind: String,
    /// The id at the source
    source_id: String,
    /// The scope of a product's mapping
    #[arg(long, default_value = "")]
    scope: String,
    /// The source whose ids are meant
    #[arg(long, value_name = "NAME", default_value = "default")]
    source: String,
    /// Also what hangs on it: an agreement's products, a customer's agreements and their products. Shows what that
    /// would touch; nothing is released without --token
    #[arg(long)]
    cascade: bool,
    /// The token that was shown: releases exactly that, or nothing
    #[arg(long, value_name = "TOKEN", requires = "cascade", requires = "reason")]
    token: Option<String>,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT", requires = "token")]
    reason: Option<String>,
}

/// A mapping as a document.
#[derive(Serialize)]
struct MappingDoc<'a> {
    kind: &'static str,
    source: &'a str,
    source_id: &'a str,
    psa_id: Option<i64>,
    scope: &'a str,
    options: &'a BTreeMap<String, String>,
    origin: &'static str,
}

impl<'a> From<&'a Mapping> for MappingDoc<'a> {
    fn from(mapping: &'a Mapping) -> Self {
        Self {
            kind: mapping.kind.name(),
            source: mapping.source.as_str(),
            source_id: &mapping.source_id,
            psa_id: mapping.psa_id,
            scope: &mapping.scope,
            options: &mapping.options,
            origin: match mapping.origin {
                MappingOrigin::Person => "person",
                MappingOrigin::Automatic => "automatic",
                MappingOrigin::Adopted => "adopted",
            },
        }
    }
}

/// Runs one of the commands.
pub async fn run(app: &App, command: MappingCommand) -> Result<Exit, CliError> {
    match command {
        MappingCommand::Import { file, source } => import(app, &file, &source_of(Some(&source))).await,
        MappingCommand::Export { source } => export(app, &source_of(Some(&source))).await,
        MappingCommand::List => list(app).await,
        MappingCommand::Suggest(args) => suggest::run(app, args).await,
        MappingCommand::Release(args) => release(app, args).await,
    }
}

fn open(file: &Path) -> Result<Box<dyn Read>, CliError> {
    if file == Path::new("-") {
        return Ok(Box::new(std::io::stdin()));
    }
    let opened = std::fs::File::open(file).map_err(|error| {
        CliError::usage(format!("{} cannot be read: {error}", file.display()), "Name a readable file.")
    })?;
    Ok(Box::new(opened))
}

async fn import(app: &App, file: &Path, source: &SourceId) -> Result<Exit, CliError> {
    let parsed = mapping_csv::parse(open(file)?, &file.display().to_string(), source);
    let done = mappings::save(site(app), &parsed.mappings, Judging::ByForm).await?;
    let refused = parsed.refused;
    let moved = by_state(&done.moved);
    let shown = |c: &Conflict| json!({ "code": Code::Tu2007.to_string(), "reason": c.message, "fix": c.fix });
    let conflicts: Vec<_> = done.unsettled().map(shown).collect();
    let remarks: Vec<_> = done.remarks.iter().map(shown).collect();
    let document = json!({
        "saved": done.saved.len(), "refused": refused, "tasks": moved, "conflicts": conflicts, "remarks": remarks,
    });
    app.out.show(&document, |out| {
        out.line(&format!("{} mappings saved, {} refused.", done.saved.len(), refused.len()));
        tell_moved(out, &moved);
        for conflict in done.unsettled().chain(&done.remarks) {
            out.line(&format!("{}: {} {}", Code::Tu2007, conflict.message, conflict.fix));
        }
        refusals(out, "refused", &refused);
    });
    Ok(Exit::needs_person_if(!refused.is_empty() || !done.refused.is_empty()))
}

fn site(app: &App) -> Site<'_> {
    Site {
        store: app.store(),
        clock: &app.clock,
        org: app.org(),
        actor: app.actor(),
        overlays: &app.options.overlays,
    }
}

fn by_state(tasks: &[Task]) -> BTreeMap<&'static str, usize> {
    let mut moved: BTreeMap<&'static str, usize> = BTreeMap::new();
    for task in tasks {
        *moved.entry(task.state.name()).or_default() += 1;
    }
    moved
}

fn tell_moved(out: output::Output, moved: &BTreeMap<&'static str, usize>) {
    let words: Vec<String> = moved.iter().map(|(state, count)| format!("{count} {state}")).collect();
    if !words.is_empty() {
        out.line(&format!("Tasks that stand elsewhere now: {}.", words.join(", ")));
    }
}

async fn export(app: &App, source: &SourceId) -> Result<Exit, CliError> {
    let mut all = app.store().list_mappings(app.org()).await?;
    all.retain(|m| &m.source == source);
    if app.out.is_json() {
        let documents: Vec<MappingDoc<'_>> = all.iter().map(MappingDoc::from).collect();
        output::print_json(&json!({ "mappings": documents }));
        return Ok(Exit::Done);
    }
    let text = mapping_csv::write(&all)
        .map_err(|error| CliError::usage(format!("the mappings cannot be written: {error}"), "Try again."))?;
    output::print(text.trim_end());
    Ok(Exit::Done)
}

async fn list(app: &App) -> Result<Exit, CliError> {
    let all = app.store().list_mappings(app.org()).await?;
    let documents: Vec<MappingDoc<'_>> = all.iter().map(MappingDoc::from).collect();
    app.out.show(&json!({ "mappings": documents }), |out| {
        let rows = documents
            .iter()
            .map(|m| {
                let options: Vec<String> = m.options.iter().map(|(k, v)| format!("{k}={v}")).collect();
                vec![
                    m.kind.to_owned(),
                    m.source.to_owned(),
                    m.source_id.to_owned(),
                    m.psa_id.map(|id| id.to_string()).unwrap_or_default(),
                    m.scope.to_owned(),
                    options.join(";"),
                    m.origin.to_owned(),
                ]
            })
            .collect();
        out.table(&["kind", "source", "source id", "psa id", "scope", "options", "origin"], rows);
    });
    Ok(Exit::Done)
}

async fn release(app: &App, args: ReleaseArgs) -> Result<Exit, CliError> {
    let kind = MappingKind::from_name(&args.kind).ok_or_else(|| {
        CliError::usage(
            format!("`{}` is no kind of mapping", args.kind),
            "Use customer, product, agreement, fee or addition.",
        )
    })?;
    let selection = Selection {
        kind,
        source: source_of(Some(&args.source)),
        source_id: args.source_id,
        scope: args.scope,
        cascade: args.cascade,
    };
    if !args.cascade {
        let moved = by_state(&releasing::release_alone(site(app), &selection).await?);
        let document = json!({
            "released": { "kind": args.kind, "source_id": selection.source_id, "scope": selection.scope },
            "tasks": moved,
        });
        app.out.show(&document, |out| {
            out.line(&format!("Released {} {}.", args.kind, selection.source_id));
            tell_moved(out, &moved);
        });
        return Ok(Exit::Done);
    }
    let (released, impact) = match (args.token, args.reason) {
        (Some(token), Some(reason)) => {
            (true, releasing::release(site(app), &selection, &token, &reason).await?)
        }
        (Some(_) | None, _) => (false, releasing::foresee(site(app), &selection).await?),
    };
    show_impact(app, released, &impact);
    Ok(Exit::Done)
}

fn show_impact(app: &App, released: bool, impact: &Impact) {
    let mappings: Vec<MappingDoc<'_>> = impact.mappings.iter().map(MappingDoc::from).collect();
    let tasks: Vec<&str> = impact.tasks.iter().map(|task| task.id.as_str()).collect();
    let additions: Vec<i64> = impact.lines.iter().map(|line| line.addition.0).collect();
    let document = json!({
        "released": released, "mappings": mappings, "tasks": tasks, "additions": additions, "token": impact.token,
    });
    app.out.show(&document, |out| {
        let rows = impact
            .mappings
            .iter()
            .map(|m| {
                let to = m.psa_id.map(|id| id.to_string()).unwrap_or_default();
                vec![m.kind.name().to_owned(), m.source_id.clone(), to, m.scope.clone()]
            })
            .collect();
        out.table(&["kind", "source id", "psa id", "scope"], rows);
        out.line(&format!(
            "{} open tasks wait for a mapping then. {} additions stay in ConnectWise as they are.",
            tasks.len(),
            additions.len()
        ));
        if released {
            out.line("Released.");
        } else {
            out.line(&format!("Nothing is released yet. To release exactly this: --token {}", impact.token));
        }
    });
}
