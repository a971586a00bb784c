//! `trueup org`: the tree of organizations.

use crate::app::App;
use crate::config::slug;
use crate::failure::{CliError, Exit};
use clap::{Args, Subcommand};
use serde_json::json;
use trueup_domain::ids::OrganizationId;
use trueup_engine::ports::StoreError;
use trueup_engine::records::OrganizationRow;

/// Organizations.
#[derive(Debug, Subcommand)]
pub enum OrgCommand {
    /// Adds an organization
    Add(AddArgs),
    /// Lists the organizations
    List,
}

/// Flags of `org add`.
#[derive(Args, Debug)]
pub struct AddArgs {
    /// The slug that `--org` takes
    slug: String,
    /// Display name [default: the slug]
    #[arg(long)]
    name: Option<String>,
    /// What it is
    #[arg(long, default_value = "partner", value_parser = ["operator", "partner", "customer", "site"])]
    kind: String,
    /// The organization above
    #[arg(long, value_name = "SLUG")]
    parent: Option<String>,
}

/// Runs one of the commands.
pub async fn run(app: &App, command: OrgCommand) -> Result<Exit, CliError> {
    match command {
        OrgCommand::Add(args) => add(app, args).await,
        OrgCommand::List => list(app).await,
    }
}

async fn add(app: &App, args: AddArgs) -> Result<Exit, CliError> {
    let id = slug(&args.slug)?;
    let parent = args.parent.as_deref().map(slug).transpose()?;
    if let Some(parent) = &parent {
        known(app, parent).await?;
    }
    let name = args.name.unwrap_or_else(|| id.to_string());
    let row = OrganizationRow { id, name, kind: args.kind, parent };
    match app.store().add_organization(&row).await {
        Ok(()) => {}
        Err(StoreError::Conflict(_)) => {
            return Err(CliError::usage(
                format!("there is an organization `{}` already", row.id),
                "Choose another slug.",
            ));
        }
        Err(error) => return Err(error.into()),
    }
    app.out.show(&row, |out| out.line(&format!("Added organization {}.", row.id)));
    Ok(Exit::Done)
}

async fn known(app: &App, id: &OrganizationId) -> Result<(), CliError> {
    let all = app.store().list_organizations().await?;
    if all.iter().any(|row| &row.id == id) {
        return Ok(());
    }
    Err(CliError::usage(format!("there is no organization `{id}`"), "`trueup org list` shows them."))
}

async fn list(app: &App) -> Result<Exit, CliError> {
    let all = app.store().list_organizations().await?;
    app.out.show(&json!({ "organizations": all }), |out| {
        let rows = all
            .iter()
            .map(|r| {
                let parent = r.parent.as_ref().map(ToString::to_string).unwrap_or_default();
                vec![r.id.to_string(), r.name.clone(), r.kind.clone(), parent]
            })
            .collect();
        out.table(&["slug", "name", "kind", "parent"], rows);
    });
    Ok(Exit::Done)
}
