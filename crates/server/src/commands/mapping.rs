//! `trueup mapping`: mappings in bulk.

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
use trueup_domain::ids::SourceId;
use trueup_domain::mapping::{Mapping, MappingKind, MappingOrigin};
use trueup_engine::ports::Clock;
use trueup_engine::records::NewAuditEntry;
use trueup_engine::tasks;

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
    /// Releases one mapping
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
    let now = app.clock.now();
    app.store().save_mappings(app.org(), now, &parsed.mappings).await?;
    let entries: Vec<NewAuditEntry> =
        parsed.mappings.iter().map(|m| audit_entry(app, "mapping.save", m)).collect();
    app.store().append_audit(app.org(), &entries).await?;
    let moved = moved_tasks(app).await?;
    let document = json!({ "saved": parsed.mappings.len(), "refused": parsed.refused, "tasks": moved });
    app.out.show(&document, |out| {
        out.line(&format!("{} mappings saved, {} refused.", parsed.mappings.len(), parsed.refused.len()));
        tell_moved(out, &moved);
        refusals(out, "refused", &parsed.refused);
    });
    Ok(Exit::needs_person_if(!parsed.refused.is_empty()))
}

/// Judges the open tasks by the mappings as they are now. Returns how many went to each state.
async fn moved_tasks(app: &App) -> Result<BTreeMap<&'static str, usize>, CliError> {
    let mut moved: BTreeMap<&'static str, usize> = BTreeMap::new();
    for task in tasks::judge_again(app.store(), &app.clock, app.org()).await? {
        *moved.entry(task.state.name()).or_default() += 1;
    }
    Ok(moved)
}

fn tell_moved(out: output::Output, moved: &BTreeMap<&'static str, usize>) {
    let words: Vec<String> = moved.iter().map(|(state, count)| format!("{count} {state}")).collect();
    if !words.is_empty() {
        out.line(&format!("Tasks that stand elsewhere now: {}.", words.join(", ")));
    }
}

fn audit_entry(app: &App, action: &str, mapping: &Mapping) -> NewAuditEntry {
    NewAuditEntry {
        at: app.clock.now(),
        actor: app.actor().to_owned(),
        action: action.to_owned(),
        object: format!("mapping/{}/{}", mapping.kind.name(), mapping.source_id),
        addition: None,
        detail: json!(MappingDoc::from(mapping)).to_string(),
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
    let source = source_of(Some(&args.source));
    let mapping = Mapping {
        kind,
        source: source.clone(),
        source_id: args.source_id.clone(),
        psa_id: None,
        scope: args.scope.clone(),
        options: BTreeMap::new(),
        origin: MappingOrigin::Person,
    };
    let released = app
        .store()
        .release_mapping(app.org(), app.clock.now(), kind, &source, &args.source_id, &args.scope)
        .await?;
    if !released {
        return Err(CliError::usage(
            format!("there is no mapping of {} `{}` with scope `{}`", args.kind, args.source_id, args.scope),
            "`trueup mapping list` shows them all.",
        ));
    }
    let entry = audit_entry(app, "mapping.release", &mapping);
    app.store().append_audit(app.org(), &[entry]).await?;
    let moved = moved_tasks(app).await?;
    let document = json!({
        "released": { "kind": args.kind, "source_id": args.source_id, "scope": args.scope },
        "tasks": moved,
    });
    app.out.show(&document, |out| {
        out.line(&format!("Released {} {}.", args.kind, args.source_id));
        tell_moved(out, &moved);
    });
    Ok(Exit::Done)
}
