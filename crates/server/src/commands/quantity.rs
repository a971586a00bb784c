//! `trueup quantity`: what is only counted, as which catalog item and by which rule, and the runs that write it.

use super::apply;
use super::plan;
use crate::app::{App, source_of};
use crate::failure::{CliError, Exit};
use crate::output::contract::{Lines, Outcomes, PlanDoc};
use crate::output::documents::{FINDING_HEADER, FindingDoc, finding_rows};
use crate::output::{Output, any_error, note};
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use trueup_domain::finding::Finding;
use trueup_domain::ids::{AdditionId, CatalogItemId, CustomerId, ProductId, SourceId};
use trueup_domain::money::Quantity;
use trueup_domain::quantity::chain::{
    Combine, Exclusion, Pack, PackBills, Ratio, Rounding, Rule, Step, StorageUnit, Tier,
};
use trueup_domain::quantity::config::{EntryKey, ServiceTarget};
use trueup_domain::quantity::{Config, Entry, Line};
use trueup_domain::settings::Settings;
use trueup_engine::apply::Progress;
use trueup_engine::applying::Approval;
use trueup_engine::mappings::Site;
use trueup_engine::quantity::{self, Assign, Overview, Preview, Request, RunReport, tenant_of};
use utoipa::ToSchema;

/// What `quantity` does.
#[derive(Debug, Subcommand)]
pub enum QuantityCommand {
    /// Says as which catalog item a service is billed
    Assign(AssignArgs),
    /// Lists the assignments, with the organization that each comes from
    Assignments(OfSource),
    /// Lists what is counted, what nobody assigned first
    Services,
    /// Lists the customers that something is counted for, those first for whom something has to be chosen
    Customers,
    /// Removes what this organization set for a service, so that the level above counts again
    Unassign(UnassignArgs),
    /// Says how levels become the quantity of a catalog item; without flags it shows the rule
    Rule(Box<RuleArgs>),
    /// Switches a customer on or off and ticks the services that are billed
    Customer(CustomerArgs),
    /// Says which addition a customer's line is, or that a new one is meant
    Pick(PickArgs),
    /// The lines as the last run saw them, each with its quantity step by step
    Show(ShowArgs),
    /// Compares now and shows what would be written; stores the plan and writes nothing
    Preview(CompareArgs),
    /// Compares now and writes what may be written
    Run(RunArgs),
}

/// A source.
#[derive(Args, Debug)]
pub struct OfSource {
    /// The source [default: default]
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
}

/// Flags of `quantity assign`.
#[derive(Args, Debug)]
pub struct AssignArgs {
    /// The service: a product of the source
    #[arg(value_name = "SERVICE")]
    service: String,
    #[command(flatten)]
    target: TargetArgs,
    /// For this customer alone
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
    /// The source [default: default]
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Assigns a service that is deprecated at its source
    #[arg(long)]
    confirm: bool,
    /// The connection [default: the nearest one]
    #[arg(long, value_name = "NAME")]
    connection: Option<String>,
}

/// One of the three.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct TargetArgs {
    /// The catalog item with this id
    #[arg(long, value_name = "ID")]
    item: Option<i64>,
    /// The catalog item with exactly this Product ID, letter for letter
    #[arg(long, value_name = "TEXT")]
    product: Option<String>,
    /// Nothing is written for the service any more
    #[arg(long)]
    not_assigned: bool,
}

/// Flags of `quantity unassign`.
#[derive(Args, Debug)]
pub struct UnassignArgs {
    /// The service
    #[arg(value_name = "SERVICE")]
    service: String,
    /// What was set for this customer alone
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
    /// The source [default: default]
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Toggle {
    /// On.
    On,
    /// Off.
    Off,
}

/// How several levels become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CombineArg {
    /// Their sum.
    Sum,
    /// The smallest of them.
    Smallest,
    /// The largest of them.
    Largest,
}

/// How a quantity is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RoundingArg {
    /// Bytes up to a whole unit; everything else has to be whole.
    Auto,
    /// Up.
    Up,
    /// Down.
    Down,
    /// To the nearest.
    Nearest,
}

/// Flags of `quantity rule`.
#[derive(Args, Debug)]
pub struct RuleArgs {
    /// The catalog item
    #[arg(long, value_name = "ID")]
    item: i64,
    /// For this customer alone
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
    /// The source [default: default]
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Whether several services, or customers on one agreement, are billed as their sum
    #[arg(long, value_enum)]
    add_up: Option<Toggle>,
    /// How several levels become one
    #[arg(long, value_enum)]
    combine: Option<CombineArg>,
    /// The unit in which bytes are billed: GB, GiB, TB or TiB
    #[arg(long, value_name = "UNIT")]
    unit: Option<String>,
    /// Takes so many away first, with a reason: 2=our own accounts
    #[arg(long, value_name = "N=REASON")]
    exclude: Vec<String>,
    /// Takes away what the source counts of another service, with a reason: shared=free of charge
    #[arg(long, value_name = "SERVICE=REASON")]
    exclude_service: Vec<String>,
    /// How many the customer has for nothing
    #[arg(long, value_name = "N")]
    included: Option<String>,
    /// The least that is billed
    #[arg(long, value_name = "N")]
    minimum: Option<String>,
    /// The most that is billed
    #[arg(long, value_name = "N")]
    maximum: Option<String>,
    /// How it is rounded
    #[arg(long, value_enum)]
    rounding: Option<RoundingArg>,
    /// Decimals that rounding leaves
    #[arg(long, value_name = "0..6")]
    decimals: Option<u32>,
    /// Sold in packs of so many: 5 bills the packs, 5:units the units in them
    #[arg(long, value_name = "N[:units]")]
    pack: Option<String>,
    /// From so many on, so many are billed: 11=2
    #[arg(long, value_name = "FROM=BILL")]
    tier: Vec<String>,
    /// So many for every so many: 1/3
    #[arg(long, value_name = "OF/PER")]
    ratio: Option<String>,
    /// Begins with the plain count, instead of the rule that holds
    #[arg(long)]
    anew: bool,
    /// Removes what this organization set, so that the level above counts again
    #[arg(long)]
    reset: bool,
}

/// Flags of `quantity customer`.
#[derive(Args, Debug)]
pub struct CustomerArgs {
    /// The customer
    #[arg(value_name = "ID")]
    customer: String,
    /// The source [default: default]
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Whether anything is billed
    #[arg(long, value_enum)]
    billing: Option<Toggle>,
    /// These services are billed, and no others
    #[arg(long, value_name = "SERVICE", num_args = 1.., conflicts_with = "tick_all")]
    tick: Vec<String>,
    /// Every assigned service is billed
    #[arg(long)]
    tick_all: bool,
}

/// Flags of `quantity pick`.
#[derive(Args, Debug)]
pub struct PickArgs {
    /// The customer
    #[arg(long, value_name = "ID")]
    customer: String,
    /// The catalog item
    #[arg(long, value_name = "ID")]
    item: i64,
    /// The source [default: default]
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    #[command(flatten)]
    what: PickWhat,
}

/// One of the two.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct PickWhat {
    /// It is this addition
    #[arg(long, value_name = "ID")]
    addition: Option<i64>,
    /// A new one is created
    #[arg(long)]
    create: bool,
}

/// Flags of `quantity show`.
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// Lines of this customer alone
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
    /// Lines of this source alone
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
}

/// Whom a comparison is for.
#[derive(Args, Debug)]
pub struct CompareArgs {
    /// These customers alone
    #[arg(long, value_name = "ID", num_args = 1..)]
    customer: Vec<String>,
    /// The source that knows them [default: default]
    #[arg(long, value_name = "NAME", requires = "customer")]
    source: Option<String>,
    /// Takes over a single open addition that is there
    #[arg(long)]
    adopt: bool,
    /// The connection [default: the nearest one]
    #[arg(long, value_name = "NAME")]
    connection: Option<String>,
}

/// Flags of `quantity run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    #[command(flatten)]
    compare: CompareArgs,
    /// Writes also what waits for a person
    #[arg(long)]
    approve: bool,
    /// Only agreements whose next invoice is near (quantity.before_invoice_days)
    #[arg(long)]
    due: bool,
}

/// Runs the command.
///
/// # Errors
/// Whatever stopped it.
pub async fn run(app: &App, command: QuantityCommand) -> Result<Exit, CliError> {
    match command {
        QuantityCommand::Assign(args) => assign(app, args).await,
        QuantityCommand::Assignments(args) => assignments(app, args).await,
        QuantityCommand::Services => services(app).await,
        QuantityCommand::Customers => customers(app).await,
        QuantityCommand::Unassign(args) => unassign(app, args).await,
        QuantityCommand::Rule(args) => rule(app, *args).await,
        QuantityCommand::Customer(args) => customer(app, args).await,
        QuantityCommand::Pick(args) => pick(app, args).await,
        QuantityCommand::Show(args) => show(app, args).await,
        QuantityCommand::Preview(args) => preview(app, args).await,
        QuantityCommand::Run(args) => execute(app, args).await,
    }
}

/// Where use cases of quantities work.
pub fn site(app: &App) -> Site<'_> {
    Site {
        store: app.store(),
        clock: &app.clock,
        org: app.org(),
        actor: app.actor(),
        overlays: &app.options.overlays,
    }
}

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

async fn assign(app: &App, args: AssignArgs) -> Result<Exit, CliError> {
    let wanted = match (args.target.item, args.target.product) {
        (Some(id), _) => Assign::Item(CatalogItemId(id)),
        (None, Some(text)) => Assign::Named(text),
        (None, None) => Assign::Nothing,
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
        &wanted,
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

async fn assignments(app: &App, args: OfSource) -> Result<Exit, CliError> {
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

fn what(entry: &Entry) -> String {
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

async fn services(app: &App) -> Result<Exit, CliError> {
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

async fn customers(app: &App) -> Result<Exit, CliError> {
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
    Ok(quantity::overview(app.store(), &app.clock, app.org(), &app.options.overlays).await?)
}

async fn unassign(app: &App, args: UnassignArgs) -> Result<Exit, CliError> {
    let key: EntryKey = ("service", args.service.clone(), args.customer.unwrap_or_default());
    unset(app, args.source.as_deref(), &key, &format!("service {}", args.service)).await
}

async fn unset(app: &App, source: Option<&str>, key: &EntryKey, name: &str) -> Result<Exit, CliError> {
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

fn number(text: &str, what: &str) -> Result<Quantity, CliError> {
    Quantity::from_str(text.trim()).map_err(|error| {
        CliError::usage(
            format!("`{text}` is no number for {what}: {error}"),
            "Write a decimal such as 5 or 2.5.",
        )
    })
}

fn pair<'t>(text: &'t str, between: char, what: &str) -> Result<(&'t str, &'t str), CliError> {
    text.split_once(between).ok_or_else(|| {
        CliError::usage(
            format!("`{text}` is no {what}: there is no `{between}`"),
            "`trueup quantity rule --help` shows the form.",
        )
    })
}

/// The rule with the flags put over it.
fn changed(rule: Rule, args: &RuleArgs) -> Result<Rule, CliError> {
    let mut rule = if args.anew { Rule::default() } else { rule };
    if let Some(toggle) = args.add_up {
        rule.add_up = toggle == Toggle::On;
    }
    if let Some(combine) = args.combine {
        rule.combine = match combine {
            CombineArg::Sum => Combine::Sum,
            CombineArg::Smallest => Combine::Smallest,
            CombineArg::Largest => Combine::Largest,
        };
    }
    if let Some(unit) = &args.unit {
        let known = StorageUnit::from_name(unit).ok_or_else(|| {
            CliError::usage(
                format!("`{unit}` is no unit of storage"),
                "Write GB, GiB, TB or TiB, letter for letter.",
            )
        })?;
        rule.unit = Some(known);
    }
    if !args.exclude.is_empty() || !args.exclude_service.is_empty() {
        rule.exclude.clear();
        for text in &args.exclude {
            let (quantity, reason) = pair(text, '=', "exclusion")?;
            let quantity = Some(number(quantity, "--exclude")?);
            rule.exclude.push(Exclusion { reason: reason.to_owned(), quantity, service: None });
        }
        for text in &args.exclude_service {
            let (service, reason) = pair(text, '=', "exclusion")?;
            let service = Some(ProductId::from(service));
            rule.exclude.push(Exclusion { reason: reason.to_owned(), quantity: None, service });
        }
    }
    if let Some(text) = &args.included {
        rule.included = number(text, "--included")?;
    }
    if let Some(text) = &args.minimum {
        rule.minimum = Some(number(text, "--minimum")?);
    }
    if let Some(text) = &args.maximum {
        rule.maximum = Some(number(text, "--maximum")?);
    }
    if let Some(rounding) = args.rounding {
        rule.rounding = match rounding {
            RoundingArg::Auto => Rounding::Auto,
            RoundingArg::Up => Rounding::Up,
            RoundingArg::Down => Rounding::Down,
            RoundingArg::Nearest => Rounding::Nearest,
        };
    }
    if let Some(decimals) = args.decimals {
        rule.decimals = decimals;
    }
    if let Some(text) = &args.pack {
        let (size, bill) = match text.split_once(':') {
            None => (text.as_str(), PackBills::Packs),
            Some((size, "units")) => (size, PackBills::Units),
            Some((size, "packs")) => (size, PackBills::Packs),
            Some((_, other)) => {
                return Err(CliError::usage(
                    format!("`{other}` is neither units nor packs"),
                    "Write 5 or 5:units.",
                ));
            }
        };
        rule.pack = Some(Pack { size: number(size, "--pack")?, bill });
    }
    if !args.tier.is_empty() {
        rule.tiers.clear();
        for text in &args.tier {
            let (from, bill) = pair(text, '=', "tier")?;
            rule.tiers.push(Tier { from: number(from, "--tier")?, bill: number(bill, "--tier")? });
        }
    }
    if let Some(text) = &args.ratio {
        let (of, per) = pair(text, '/', "ratio")?;
        rule.ratio = Some(Ratio { of: number(of, "--ratio")?, per: number(per, "--ratio")? });
    }
    Ok(rule)
}

async fn rule(app: &App, args: RuleArgs) -> Result<Exit, CliError> {
    let (item, customer) = (CatalogItemId(args.item), args.customer.clone().map(CustomerId::from));
    let source = source_of(args.source.as_deref());
    if args.reset {
        let key: EntryKey = ("product", item.to_string(), args.customer.clone().unwrap_or_default());
        return unset(app, args.source.as_deref(), &key, &format!("item {item}")).await;
    }
    let config = quantity::config(app.store(), app.org()).await?;
    let whose = customer.clone().unwrap_or_else(|| CustomerId::from(""));
    let holds = config.rule(&source, item, &whose);
    let wanted = changed(holds.clone(), &args)?;
    if wanted != holds {
        quantity::set_rule(site(app), &source, item, customer.as_ref(), wanted.clone()).await?;
    }
    app.out.show(&json!({ "item": item, "customer": customer, "rule": wanted }), |out| {
        out.line(&serde_json::to_string_pretty(&wanted).unwrap_or_default());
    });
    Ok(Exit::Done)
}

async fn customer(app: &App, args: CustomerArgs) -> Result<Exit, CliError> {
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

async fn pick(app: &App, args: PickArgs) -> Result<Exit, CliError> {
    let source = source_of(args.source.as_deref());
    let customer = CustomerId::from(args.customer);
    let addition = args.what.addition.map(AdditionId);
    let entry = quantity::pick(site(app), &source, &customer, CatalogItemId(args.item), addition).await?;
    app.out.show(&json!({ "picked": entry }), |out| out.line(&format!("{customer}: {}", what(&entry))));
    Ok(Exit::Done)
}

/// A line, with its quantity step by step.
#[derive(Serialize, ToSchema)]
pub struct QuantityLineDoc {
    #[schema(value_type = String)]
    source: SourceId,
    #[schema(value_type = String)]
    customer_id: CustomerId,
    agreement_id: i64,
    catalog_item_id: i64,
    #[schema(value_type = Vec<String>)]
    services: Vec<ProductId>,
    addition_id: Option<i64>,
    /// What ConnectWise held.
    observed: Option<String>,
    /// What should be billed.
    wanted: Option<String>,
    /// `equal`, `update`, `create`, `adopt`, `end`, `held` or `refused`.
    verdict: &'static str,
    /// Why, in words.
    why: String,
    /// What stands in the way, or what it waits for.
    code: Option<String>,
    /// The instant of the oldest level in it.
    as_of: Option<String>,
    /// How the quantity came about, first to last.
    #[schema(value_type = Vec<Object>)]
    steps: Vec<Step>,
}

impl From<&Line> for QuantityLineDoc {
    fn from(line: &Line) -> Self {
        Self {
            source: line.source.clone(),
            customer_id: line.customer.clone(),
            agreement_id: line.agreement.0,
            catalog_item_id: line.item.0,
            services: line.services.clone(),
            addition_id: line.addition.map(|id| id.0),
            observed: line.observed.map(Quantity::display),
            wanted: line.chain.as_ref().map(|chain| chain.quantity.display()),
            verdict: line.verdict.name(),
            why: line.why.clone(),
            code: line.code.map(|code| code.to_string()),
            as_of: line.as_of.clone(),
            steps: line.chain.as_ref().map(|chain| chain.steps.clone()).unwrap_or_default(),
        }
    }
}

const LINE_HEADER: &[&str] = &["customer", "agreement", "item", "addition", "has", "should", "is", "why"];

fn line_rows(lines: &[QuantityLineDoc]) -> Vec<Vec<String>> {
    let id = |id: Option<i64>| id.map(|id| id.to_string()).unwrap_or_default();
    lines
        .iter()
        .map(|line| {
            vec![
                line.customer_id.to_string(),
                line.agreement_id.to_string(),
                line.catalog_item_id.to_string(),
                id(line.addition_id),
                line.observed.clone().unwrap_or_default(),
                line.wanted.clone().unwrap_or_default(),
                line.verdict.to_owned(),
                line.why.clone(),
            ]
        })
        .collect()
}

/// The steps of a line's quantity, for people.
pub fn print_chain(out: Output, line: &Line) {
    let Some(chain) = &line.chain else { return };
    out.line(&format!("Why {}:", chain.quantity.display()));
    for step in &chain.steps {
        out.line(&format!("  {}", step.text));
    }
}

async fn show(app: &App, args: ShowArgs) -> Result<Exit, CliError> {
    let mut lines = quantity::lines(app.store(), app.org()).await?;
    lines.retain(|line| {
        args.customer.as_deref().is_none_or(|customer| line.customer.as_str() == customer)
            && args.source.as_deref().is_none_or(|source| line.source.as_str() == source)
    });
    let documents: Vec<QuantityLineDoc> = lines.iter().map(QuantityLineDoc::from).collect();
    app.out.show(&json!({ "lines": documents }), |out| {
        out.table(LINE_HEADER, line_rows(&documents));
        if args.customer.is_some() {
            lines.iter().for_each(|line| print_chain(out, line));
        }
    });
    Ok(Exit::Done)
}

/// Whom and what a comparison is asked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The connection; the nearest one where none is named.
    pub connection: Option<String>,
    /// These customers alone; all where none is named.
    pub only: Option<BTreeSet<(SourceId, CustomerId)>>,
    /// Takes over a single open addition that is there.
    pub adopt: bool,
    /// Writes also what waits for a person.
    pub approve: bool,
    /// Only agreements whose next invoice is near.
    pub due: bool,
}

impl From<CompareArgs> for Wanted {
    fn from(args: CompareArgs) -> Self {
        let source = source_of(args.source.as_deref());
        let only: BTreeSet<_> =
            args.customer.into_iter().map(|customer| (source.clone(), CustomerId::from(customer))).collect();
        Self {
            connection: args.connection,
            only: (!only.is_empty()).then_some(only),
            adopt: args.adopt,
            ..Self::default()
        }
    }
}

/// What would be written.
#[derive(Serialize, ToSchema)]
pub struct QuantityPreviewDoc {
    /// The lines.
    pub lines: Vec<QuantityLineDoc>,
    /// The plan of everything, what waits for a person included; none where nothing is to be done.
    pub plan: Option<PlanDoc>,
    /// What a person should know.
    pub findings: Vec<FindingDoc>,
}

/// What a run did.
#[derive(Serialize)]
pub struct QuantityRunDoc {
    /// The lines.
    pub lines: Vec<QuantityLineDoc>,
    /// How many lines came to what.
    pub counts: BTreeMap<&'static str, usize>,
    /// Plans that were carried out, with what became of each change.
    pub applied: Vec<PlanDoc>,
    /// Plans that wait for people.
    pub waiting: Vec<PlanDoc>,
    /// What a person should know.
    pub findings: Vec<FindingDoc>,
    /// Calls of ConnectWise.
    pub calls: u64,
}

fn docs(findings: &[Finding]) -> Vec<FindingDoc> {
    findings.iter().map(FindingDoc::from).collect()
}

fn request<'a>(
    app: &'a App,
    settings: &'a Settings,
    (connection, tenant): (&'a str, &'a str),
    wanted: &Wanted,
) -> Request<'a> {
    Request {
        org: app.org(),
        connection,
        tenant,
        actor: app.actor(),
        settings,
        adopt: wanted.adopt,
        only: wanted.only.clone(),
        due_only: wanted.due,
    }
}

/// Compares and stores the plan of everything.
///
/// # Errors
/// ConnectWise or the store cannot be read.
pub async fn preview_of(app: &App, wanted: &Wanted) -> Result<(Preview, QuantityPreviewDoc), CliError> {
    let settings = app.settings().await?;
    let connection = app.connection(wanted.connection.as_deref()).await?;
    let (_, psa) = app.psa(Some(&connection.name)).await?;
    let tenant = tenant_of(&connection);
    let request = request(app, &settings, (&connection.name, &tenant), wanted);
    let made = quantity::preview(app.store(), psa.as_ref(), &app.clock, &request).await?;
    let document = QuantityPreviewDoc {
        lines: made.lines.iter().map(QuantityLineDoc::from).collect(),
        plan: made
            .plan
            .as_ref()
            .map(|stored| PlanDoc::new(stored, app.org(), &Outcomes::new(), &[], Lines::Changes)),
        findings: docs(&made.findings),
    };
    Ok((made, document))
}

async fn preview(app: &App, args: CompareArgs) -> Result<Exit, CliError> {
    let (made, document) = preview_of(app, &args.into()).await?;
    app.out.show(&document, |out| {
        out.table(LINE_HEADER, line_rows(&document.lines));
        if let (Some(stored), Some(shown)) = (&made.plan, &document.plan) {
            plan::print(out, stored, shown);
        }
        if !document.findings.is_empty() {
            out.table(FINDING_HEADER, finding_rows(&document.findings));
        }
    });
    Ok(Exit::needs_person_if(any_error(made.findings.iter().map(|finding| &finding.severity))))
}

/// Compares and writes. Returns what it did, as a document, and whether something needs a person.
///
/// # Errors
/// It could not be planned or not carried out.
pub async fn run_of(
    app: &App,
    wanted: &Wanted,
    owner: &str,
    tell: &(dyn Fn(Progress) + Send + Sync),
) -> Result<(QuantityRunDoc, bool), CliError> {
    let settings = app.settings().await?;
    apply::billing_is_on(&settings)?;
    let connection = app.connection(wanted.connection.as_deref()).await?;
    let (_, psa) = app.psa(Some(&connection.name)).await?;
    let tenant = tenant_of(&connection);
    let request = request(app, &settings, (&connection.name, &tenant), wanted);
    let options = apply::options(app, &settings, &connection.name, owner, tell);
    let approval = if wanted.approve { Approval::Given } else { Approval::Needed };
    let report = quantity::run(app.store(), psa.as_ref(), &app.clock, &request, approval, &options).await?;
    let needs_person = needs_person(&report);
    let mut counts = BTreeMap::new();
    for line in &report.lines {
        *counts.entry(line.verdict.name()).or_insert(0) += 1;
    }
    let document = QuantityRunDoc {
        lines: report.lines.iter().map(QuantityLineDoc::from).collect(),
        counts,
        applied: report
            .outcomes
            .iter()
            .map(|outcome| apply::document_of(app, &outcome.stored, &outcome.report, &[]))
            .chain(
                report
                    .resumed
                    .iter()
                    .map(|resumed| apply::document_of(app, &resumed.stored, &resumed.report, &[])),
            )
            .collect(),
        waiting: report
            .waiting
            .iter()
            .map(|stored| PlanDoc::new(stored, app.org(), &Outcomes::new(), &[], Lines::Changes))
            .collect(),
        findings: docs(&report.findings),
        calls: psa.calls(),
    };
    Ok((document, needs_person))
}

fn needs_person(report: &RunReport) -> bool {
    !report.waiting.is_empty()
        || report.outcomes.iter().any(|outcome| outcome.report.needs_attention())
        || report.resumed.iter().any(|resumed| resumed.report.needs_attention())
        || any_error(report.findings.iter().map(|finding| &finding.severity))
}

async fn execute(app: &App, args: RunArgs) -> Result<Exit, CliError> {
    let bar = app.out.progress("Comparing");
    let mut wanted = Wanted::from(args.compare);
    wanted.approve = args.approve;
    wanted.due = args.due;
    let done = run_of(app, &wanted, "cli", &apply::teller(bar.clone())).await;
    bar.finish_and_clear();
    let (document, needs_person) = done?;
    app.out.show(&document, |out| {
        out.table(LINE_HEADER, line_rows(&document.lines));
        let counted: Vec<String> =
            document.counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
        out.line(&format!("{}; {} calls.", counted.join(", "), document.calls));
        if !document.findings.is_empty() {
            out.table(FINDING_HEADER, finding_rows(&document.findings));
        }
    });
    for waiting in &document.waiting {
        note(&format!("A plan waits for a person: `trueup apply {}` carries it out.", waiting.plan_id));
    }
    Ok(Exit::needs_person_if(needs_person))
}
