//! How levels become the quantity of a catalog item.

use super::args::{CombineArg, RoundingArg, RuleArgs, RuledArgs, Toggle};
use super::assign::unset;
use super::site;
use crate::app::{App, source_of};
use crate::failure::{CliError, Exit};
use serde_json::json;
use std::str::FromStr;
use trueup_domain::ids::{CatalogItemId, CustomerId, ProductId, SourceId};
use trueup_domain::money::Quantity;
use trueup_domain::quantity::chain::{
    Combine, Exclusion, Pack, PackBills, Ratio, Rounding, Rule, StorageUnit, Tier,
};
use trueup_domain::quantity::config::{Config, Entry, EntryKey};
use trueup_engine::quantity::{self, WhichItem, tenant_of};

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

pub(super) async fn rule(app: &App, args: RuleArgs) -> Result<Exit, CliError> {
    let source = source_of(args.source.as_deref());
    let customer = args.customer.clone().map(CustomerId::from);
    let config = quantity::config(app.store(), app.org()).await?;
    if args.reset {
        let identifier = ruled_here(app, &config, &source, &args.of).unwrap_or_default();
        let key: EntryKey = ("product", identifier, args.customer.clone().unwrap_or_default());
        return unset(app, args.source.as_deref(), &key, &shown(&args.of)).await;
    }
    let connection = app.connection(args.connection.as_deref()).await?;
    let (_, psa) = app.psa(Some(&connection.name)).await?;
    let wanted_item = match (args.of.item, &args.of.product) {
        (Some(id), _) => WhichItem::Item(CatalogItemId(id)),
        (None, named) => WhichItem::Named(named.clone().unwrap_or_default()),
    };
    let tenant = tenant_of(&connection);
    let item = quantity::ruled_item(site(app), (psa.as_ref(), &tenant), &source, &wanted_item).await?;
    let whose = customer.clone().unwrap_or_else(|| CustomerId::from(""));
    let holds = config.rule(&source, &item.identifier, &whose);
    let wanted = changed(holds.clone(), &args)?;
    if wanted != holds {
        quantity::set_rule(site(app), &source, &item, customer.as_ref(), wanted.clone()).await?;
    }
    let said = json!({ "item": item.id, "product": item.identifier, "customer": customer, "rule": wanted });
    app.out.show(&said, |out| {
        out.line(&serde_json::to_string_pretty(&wanted).unwrap_or_default());
    });
    Ok(Exit::Done)
}

/// Under which identifier the organization itself set a rule of an item. ConnectWise need not be asked, so that a rule of
/// an item that is gone can go too.
fn ruled_here(app: &App, config: &Config, source: &SourceId, of: &RuledArgs) -> Option<String> {
    let id = match (of.item, &of.product) {
        (_, Some(identifier)) => return Some(identifier.clone()),
        (id, None) => id.map(CatalogItemId)?,
    };
    config.iter().find_map(|(held, from, entry)| match entry {
        Entry::Product { identifier, item, .. } => {
            (held == source && from == app.org() && *item == id).then(|| identifier.clone())
        }
        Entry::Service { .. } | Entry::Customer { .. } | Entry::Line { .. } => None,
    })
}

fn shown(of: &RuledArgs) -> String {
    match (of.item, &of.product) {
        (Some(id), _) => format!("item {id}"),
        (None, named) => format!("item `{}`", named.as_deref().unwrap_or_default()),
    }
}
