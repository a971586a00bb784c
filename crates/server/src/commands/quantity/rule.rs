//! How levels become the quantity of a catalog item.

use super::args::{CombineArg, RoundingArg, RuleArgs, Toggle};
use super::assign::unset;
use super::site;
use crate::app::{App, source_of};
use crate::failure::{CliError, Exit};
use serde_json::json;
use std::str::FromStr;
use trueup_domain::ids::{CatalogItemId, CustomerId, ProductId};
use trueup_domain::money::Quantity;
use trueup_domain::quantity::chain::{
    Combine, Exclusion, Pack, PackBills, Ratio, Rounding, Rule, StorageUnit, Tier,
};
use trueup_domain::quantity::config::EntryKey;
use trueup_engine::quantity;

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
        let (_, psa) = app.psa(args.connection.as_deref()).await?;
        let who = customer.as_ref();
        quantity::set_rule(site(app), psa.as_ref(), &source, item, who, wanted.clone()).await?;
    }
    app.out.show(&json!({ "item": item, "customer": customer, "rule": wanted }), |out| {
        out.line(&serde_json::to_string_pretty(&wanted).unwrap_or_default());
    });
    Ok(Exit::Done)
}
