//! Which service is which catalog item, for whom, and which addition is whose line.

use super::args::{AssignArgs, CustomerArgs, OfSource, PickArgs, Toggle, UnassignArgs};
use super::site;
use crate::app::{App, source_of};
use crate::failure::{CliError, Exit};
use crate::output::note;
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeSet;
use trueup_domain::ids::{AdditionId, CatalogItemId, CustomerId, ProductId, SourceId};
use trueup_domain::quantity::config::{EntryKey, ServiceTarget};
use trueup_domain::quantity::{Config, Entry};
use trueup_engine::quantity::{self, Overview, WhichItem, tenant_of};
use utoipa::ToSchema;

/// An entry with the organization that set it.
#[derive(Serialize, ToSchema)]
pub struct QuantityEntryDoc {
    #[schema(value_type = String)]
    source: SourceId,
    /// The organization that set it.
    from: String,
    #[schema(value_type = Object)]
    #[serde(flatten)]
    entry: Entry,
}

/// All entries that hold, of one source or of all.
pub fn entries_of(config: &Config, source: Option<&SourceId>) -> Vec<QuantityEntryDoc> {
    config
        .iter()
        .filter(|(of, _, _)| source.is_none_or(|wanted| wanted == *of))
        .map(|(of, from, entry)| QuantityEntryDoc {
            source: of.clone(),
            from: from.to_string(),
            entry: entry.clone(),
        })
        .collect()
}

pub(super) async fn assign(app: &App, args: AssignArgs) -> Result<Exit, CliError> {
    let wanted = match (args.target.item, args.target.product) {
        (Some(id), _) => Some(WhichItem::Item(CatalogItemId(id))),
        (None, Some(text)) => Some(WhichItem::Named(text)),
        (None, None) => None,
    };
    let connection = app.connection(args.connection.as_deref()).await?;
    let (_, psa) = app.psa(Some(&connection.name)).await?;
    let service = ProductId::from(args.service);
    let customer = args.customer.map(CustomerId::from);
    let source = source_of(args.source.as_deref());
    let tenant = tenant_of(&connection);
    let done = quantity::assign(
        site(app),
        (psa.as_ref(), &tenant),
        &source,
        (&service, customer.as_ref()),
        wanted.as_ref(),
        args.confirm,
    )
    .await?;
    let entry = QuantityEntryDoc { source, from: app.org().to_string(), entry: done.entry };
    app.out.show(&json!({ "assigned": entry, "notice": done.notice }), |out| match &done.item {
        Some(item) => out.line(&format!("{service} is billed as {} ({}).", item.identifier, item.id)),
        None => out.line(&format!("{service} is not assigned: nothing is written for it any more.")),
    });
    if let Some(notice) = done.notice {
        note(&notice);
    }
    Ok(Exit::Done)
}

pub(super) async fn assignments(app: &App, args: OfSource) -> Result<Exit, CliError> {
    let config = quantity::config(app.store(), app.org()).await?;
    let source = args.source.as_deref().map(SourceId::from);
    let entries = entries_of(&config, source.as_ref());
    app.out.show(&json!({ "entries": entries }), |out| {
        let rows = entries
            .iter()
            .map(|row| {
                let (kind, id, scope) = row.entry.key();
                vec![row.source.to_string(), kind.to_owned(), id, scope, what(&row.entry), row.from.clone()]
            })
            .collect();
        out.table(&["source", "kind", "id", "customer", "is", "from"], rows);
    });
    Ok(Exit::Done)
}

pub(super) fn what(entry: &Entry) -> String {
    match entry {
        Entry::Service { target: ServiceTarget::Item { id, identifier, .. }, .. } => {
            format!("{identifier} ({id})")
        }
        Entry::Service { target: ServiceTarget::NotAssigned, .. } => "not assigned".to_owned(),
        Entry::Product { rule, .. } => serde_json::to_string(rule).unwrap_or_default(),
        Entry::Customer { billing: false, .. } => "off".to_owned(),
        Entry::Customer { ticked: None, .. } => "on".to_owned(),
        Entry::Customer { ticked: Some(ticked), .. } => {
            ticked.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        }
        Entry::Line { pick, .. } => json!(pick).to_string(),
    }
}

pub(super) async fn services(app: &App) -> Result<Exit, CliError> {
    let rows = overview(app).await?.services;
    app.out.show(&json!({ "services": rows }), |out| {
        let rows = rows
            .iter()
            .map(|row| {
                let marked =
                    if row.deprecated { format!("{} (deprecated)", row.name) } else { row.name.clone() };
                vec![
                    row.source.to_string(),
                    row.service.to_string(),
                    marked,
                    row.customers.to_string(),
                    row.level.clone().unwrap_or_default(),
                    row.identifier.clone().unwrap_or_else(|| row.state.replace('_', " ")),
                    row.from.as_ref().map(ToString::to_string).unwrap_or_default(),
                ]
            })
            .collect();
        out.table(&["source", "service", "name", "customers", "counted", "billed as", "from"], rows);
    });
    Ok(Exit::Done)
}

pub(super) async fn customers(app: &App) -> Result<Exit, CliError> {
    let rows = overview(app).await?.customers;
    app.out.show(&json!({ "customers": rows }), |out| {
        let id = |id: Option<i64>| id.map(|id| id.to_string()).unwrap_or_default();
        let rows = rows
            .iter()
            .map(|row| {
                let levels: Vec<String> = row
                    .levels
                    .iter()
                    .map(|level| {
                        format!(
                            "{}{} {}",
                            if level.billed { "" } else { "(not billed) " },
                            level.value,
                            level.service
                        )
                    })
                    .collect();
                let state = match (row.billing, row.complete) {
                    (false, _) => "off",
                    (true, true) => "complete",
                    (true, false) => "incomplete",
                };
                vec![
                    row.source.to_string(),
                    row.name.clone(),
                    state.to_owned(),
                    id(row.company),
                    id(row.agreement),
                    levels.join(", "),
                ]
            })
            .collect();
        out.table(&["source", "customer", "is", "company", "agreement", "counted"], rows);
    });
    Ok(Exit::Done)
}

/// Services and customers, what waits for people on top.
///
/// # Errors
/// The store's.
pub async fn overview(app: &App) -> Result<Overview, CliError> {
    let tenant = app.connection(None).await.ok().as_ref().map(tenant_of);
    let known = (&app.options.overlays, tenant.as_deref());
    Ok(quantity::overview(app.store(), &app.clock, app.org(), known).await?)
}

pub(super) async fn unassign(app: &App, args: UnassignArgs) -> Result<Exit, CliError> {
    let key: EntryKey = ("service", args.service.clone(), args.customer.unwrap_or_default());
    unset(app, args.source.as_deref(), &key, &format!("service {}", args.service)).await
}

pub(super) async fn unset(
    app: &App,
    source: Option<&str>,
    key: &EntryKey,
    name: &str,
) -> Result<Exit, CliError> {
    let there = quantity::unset(site(app), &source_of(source), key).await?;
    if !there {
        return Err(CliError::usage(
            format!("organization {} sets nothing for {name}", app.org()),
            "`trueup quantity assignments` shows what holds, and where it comes from.",
        ));
    }
    app.out.show(&json!({ "removed": true }), |out| {
        out.line(&format!("What {} set for {name} is gone; the level above counts.", app.org()));
    });
    Ok(Exit::Done)
}

pub(super) async fn customer(app: &App, args: CustomerArgs) -> Result<Exit, CliError> {
    let source = source_of(args.source.as_deref());
    let customer = CustomerId::from(args.customer);
    let config = quantity::config(app.store(), app.org()).await?;
    let holds = config.ticks(&source, &customer);
    let billing = args.billing.map_or(holds.billing, |toggle| toggle == Toggle::On);
    let ticked = if args.tick_all {
        None
    } else if args.tick.is_empty() {
        holds.ticked.cloned()
    } else {
        Some(args.tick.into_iter().map(ProductId::from).collect::<BTreeSet<_>>())
    };
    let entry = quantity::set_customer(site(app), &source, &customer, billing, ticked).await?;
    let document = QuantityEntryDoc { source, from: app.org().to_string(), entry };
    app.out.show(&json!({ "customer": document }), |out| {
        out.line(&format!("{customer}: {}", what(&document.entry)));
    });
    Ok(Exit::Done)
}

pub(super) async fn pick(app: &App, args: PickArgs) -> Result<Exit, CliError> {
    let source = source_of(args.source.as_deref());
    let customer = CustomerId::from(args.customer);
    let addition = args.what.addition.map(AdditionId);
    let connection = app.connection(args.connection.as_deref()).await?;
    let (_, psa) = app.psa(Some(&connection.name)).await?;
    let (item, tenant) = (CatalogItemId(args.item), tenant_of(&connection));
    let entry =
        quantity::pick(site(app), (psa.as_ref(), &tenant), &source, &customer, item, addition).await?;
    app.out.show(&json!({ "picked": entry }), |out| out.line(&format!("{customer}: {}", what(&entry))));
    Ok(Exit::Done)
}
