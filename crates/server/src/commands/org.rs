//! `trueup org`: the tree of organizations.

use crate::app::App;
use crate::clock::SystemClock;
use crate::compose;
use crate::config::{Options, slug};
use crate::failure::{CliError, Exit};
use crate::moving::Mover;
use crate::output::Output;
use clap::{Args, Subcommand};
use serde_json::json;
use trueup_domain::ids::OrganizationId;
use trueup_engine::organizations;
use trueup_engine::ports::{Store, StoreError};
use trueup_engine::records::OrganizationRow;

/// Organizations.
#[derive(Debug, Subcommand)]
pub enum OrgCommand {
    /// Adds an organization
    Add(AddArgs),
    /// Lists the organizations
    List,
    /// Places an organization, with all below it, below another one; shows what that changes, and does it with --token
    Move(MoveArgs),
}

/// Flags of `org move`.
#[derive(Args, Debug)]
#[command(group(clap::ArgGroup::new("place").required(true)))]
pub struct MoveArgs {
    /// The organization
    slug: String,
    /// The organization above from now on
    #[arg(long, value_name = "SLUG", group = "place")]
    parent: Option<String>,
    /// Places it at the top
    #[arg(long, group = "place")]
    top: bool,
    /// The token that was shown: moves exactly so, or not at all
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
}

/// Flags of `org add`.
#[derive(Args, Debug)]
pub struct AddArgs {
    /// The slug that `--org` takes
    slug: String,
    /// Display name [default: the slug]
    #[arg(long)]
    name: Option<String>,
    /// What it is [default: site below a customer or a site, else partner]
    #[arg(long, value_parser = ["operator", "partner", "customer", "site"])]
    kind: Option<String>,
    /// The organization above
    #[arg(long, value_name = "SLUG")]
    parent: Option<String>,
}

/// Runs one of the commands.
pub async fn run(app: &App, command: OrgCommand) -> Result<Exit, CliError> {
    match command {
        OrgCommand::Add(args) => add(app, args).await,
        OrgCommand::List => list(app).await,
        OrgCommand::Move(_) => Ok(Exit::Done), // it opens the store itself
    }
}

async fn add(app: &App, args: AddArgs) -> Result<Exit, CliError> {
    let id = slug(&args.slug)?;
    let parent = args.parent.as_deref().map(slug).transpose()?;
    let above = match &parent {
        Some(parent) => Some(known(app.store(), parent).await?),
        None => None,
    };
    let kind = args.kind.unwrap_or_else(|| organizations::usual_kind(above.as_ref()).to_owned());
    organizations::may_stand_below(&kind, above.as_ref())?;
    let name = args.name.unwrap_or_else(|| id.to_string());
    let row = OrganizationRow { id, name, kind, parent };
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

async fn known(store: &dyn Store, id: &OrganizationId) -> Result<OrganizationRow, CliError> {
    let found = store.list_organizations().await?.into_iter().find(|row| &row.id == id);
    found.ok_or_else(|| {
        CliError::usage(format!("there is no organization `{id}`"), "`trueup org list` shows them.")
    })
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

/// Shows what a move changes; with the token that was shown, moves.
///
/// # Errors
/// What makes no tree or stands in the way, or the store's.
pub async fn move_to(options: Options, args: MoveArgs) -> Result<Exit, CliError> {
    let store = compose::sql_store(&options).await?;
    let clock = SystemClock::new(options.today);
    let id = slug(&args.slug)?;
    let parent = args.parent.as_deref().map(slug).transpose()?;
    for named in [Some(&id), parent.as_ref()].into_iter().flatten() {
        known(store.as_ref(), named).await?;
    }
    let mover = Mover { store: &store, clock: &clock, overlays: &options.overlays, actor: &options.actor };
    let done = match &args.token {
        Some(token) => mover.carry_out(&id, parent.as_ref(), token).await,
        None => mover.foresee(&id, parent.as_ref()).await,
    };
    store.close().await?;
    let done = done?;
    Output::new(options.format).show(&done, |out| {
        for line in done.lines() {
            out.line(&line);
        }
        if args.token.is_some() {
            out.line(&format!("Moved organization {id}."));
        } else if done.is_possible() {
            out.line(&format!("Nothing is moved yet: --token {} moves exactly so.", done.token()));
        }
    });
    Ok(Exit::needs_person_if(!done.is_possible()))
}
