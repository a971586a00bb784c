//! How one value of a change came about, in one line.

use super::{Step, dates};
use trueup_domain::money::{Exact, Money, Quantity, RoundingMode};
use trueup_domain::plan::{Action, Change, Field, FieldChange, Role};

/// How one value of a change came about, in one line.
pub fn formula_of(step: &Step, field: &FieldChange) -> String {
    let change = &step.change;
    let Some(value) = field.to.as_deref() else {
        return match (&change.action, field.field) {
            (Action::Delete { .. }, _) => format!("the line was taken away: {}", change.formula),
            (_, Field::CancelledDate) => format!("it goes on without an end: {}", change.reason),
            _ => change.reason.clone(), // every other value that is gone
        };
    };
    if change.role == Role::Quantity && field.field != Field::Quantity {
        return counted_formula(change, field.field);
    }
    match field.field {
        Field::Quantity => quantity_formula(step, value),
        Field::UnitPrice => price_formula(step, value),
        Field::UnitCost => cost_formula(step, value),
        Field::CatalogItem if change.role == Role::Cancellation => {
            format!(
                "the mapping of the fee for cancelling, or of product {}, at {}",
                change.product, change.source
            )
        }
        Field::CatalogItem => format!("the mapping of product {} at {}", change.product, change.source),
        Field::EffectiveDate => dates::first_day(step, value),
        Field::CancelledDate => dates::last_day(step, value),
        Field::Bill if value == "billable" => {
            "billed: nobody has set the line that it stands for otherwise".to_owned()
        }
        Field::Bill | Field::Taxable => "as a person has set the line that it follows".to_owned(),
        Field::Description => text_formula(step, value),
        Field::InvoiceDescription => invoice_text_formula(step, value),
    }
}

/// Of what is counted only the quantity is reckoned.
fn counted_formula(change: &Change, field: Field) -> String {
    match field {
        Field::Quantity => change.formula.clone(),
        Field::CatalogItem => format!("the assignment of service {} of {}", change.product, change.source),
        Field::EffectiveDate | Field::CancelledDate => change.reason.clone(),
        Field::UnitPrice
        | Field::UnitCost
        | Field::Taxable
        | Field::Description
        | Field::InvoiceDescription => "the catalog item's, taken by ConnectWise: it was not sent".to_owned(),
        Field::Bill => "a new line is billed".to_owned(),
    }
}

fn quantity_formula(step: &Step, value: &str) -> String {
    let change = &step.change;
    // What several lines come to together has the quantity of the one that changes it.
    let others =
        step.order.iter().flat_map(|order| &order.lines).filter(|line| line.product == change.product);
    let found = step.line.iter().chain(others).find_map(|line| {
        let is = |quantity: Option<Quantity>| quantity.is_some_and(|q| q.display() == value);
        let named = [
            ("quantity", Some(line.quantity)),
            ("new_quantity", line.new_quantity),
            ("old_quantity", line.old_quantity),
        ];
        match named.iter().find(|(_, quantity)| is(*quantity)) {
            Some((name, _)) => Some(format!("{name} of order line {}", line.id)),
            None if is(Some(-line.quantity)) => {
                Some(format!("quantity of order line {}, given back", line.id))
            }
            None => None,
        }
    });
    found.unwrap_or_else(|| match value {
        "1" | "-1" => format!("one amount in one line: {}", change.formula),
        _ => of_change(change), // open set: a quantity
    })
}

/// The change's own formula; of a reconciliation, which has none for every value, its reason.
fn of_change(change: &Change) -> String {
    if change.formula.is_empty() { change.reason.clone() } else { change.formula.clone() }
}

fn price_formula(step: &Step, value: &str) -> String {
    let change = &step.change;
    let line = step.line.as_ref();
    let listed = step.product.as_ref().and_then(|product| product.unit_price);
    let found = netted(step).or_else(|| {
        unit_formula(change, line.and_then(|l| l.unit_price), value, "of the order line")
            .or_else(|| {
                as_it_is(
                    change,
                    line.and_then(|l| l.old_unit_price),
                    value,
                    "before the change, of the order line",
                )
            })
            .or_else(|| divided(step, line.and_then(|l| l.amount), value, "amount"))
            .or_else(|| unit_formula(change, listed, value, "of the product's record"))
            .or_else(|| {
                let named =
                    line.is_some_and(|l| l.unit_price.is_some() || l.amount.is_some()) || listed.is_some();
                let is_whole = line.is_some() && !named && change.role == Role::Recurring;
                is_whole.then(|| {
                    format!("{value}, the price of catalog item {} in ConnectWise", change.catalog_item)
                })
            })
    });
    found.unwrap_or_else(|| of_change(change))
}

fn cost_formula(step: &Step, value: &str) -> String {
    let change = &step.change;
    let line = step.line.as_ref();
    let listed = step.product.as_ref().and_then(|product| product.unit_cost);
    if netted(step).is_some() {
        return format!("{value}: the costs of the same parts, netted and rounded as the price is");
    }
    let named = line.is_some_and(|l| l.unit_cost.is_some() || l.cost_amount.is_some());
    divided(step, line.and_then(|l| l.cost_amount), value, "cost_amount")
        .or_else(|| unit_formula(change, line.and_then(|l| l.unit_cost), value, "of the order line"))
        .or_else(|| {
            as_it_is(
                change,
                line.and_then(|l| l.old_unit_cost),
                value,
                "before the change, of the order line",
            )
        })
        .or_else(|| unit_formula(change, listed, value, "of the product's record"))
        .or_else(|| {
            let zero = value.parse::<Money>().is_ok_and(Money::is_zero);
            (line.is_some() && !named && zero)
                .then(|| "neither the order line nor the product names a cost".to_owned())
        })
        .or_else(|| {
            let is_catalogs = line.is_some() && !named && listed.is_none() && change.role == Role::Recurring;
            is_catalogs
                .then(|| format!("{value}, the cost of catalog item {} in ConnectWise", change.catalog_item))
        })
        .unwrap_or_else(|| format!("{value}, by the same rule as the price: {}", of_change(change)))
}

/// What several lines of the order come to together.
fn netted(step: &Step) -> Option<String> {
    let lines: Vec<String> = step.netted().iter().map(|line| line.id.to_string()).collect();
    (!lines.is_empty())
        .then(|| format!("{} (lines {} of the order, netted)", step.change.formula, lines.join(" and ")))
}

fn as_it_is(change: &Change, unit: Option<Money>, value: &str, whose: &str) -> Option<String> {
    let shown = unit?.display(change.currency);
    (shown == value).then(|| format!("{shown} {whose}"))
}

/// A unit value that is named, or its share of a period: the change's formula names the share, and the value times the share
/// must give what was written, or nothing is claimed.
fn unit_formula(change: &Change, unit: Option<Money>, value: &str, whose: &str) -> Option<String> {
    if let Some(same) = as_it_is(change, unit, value, whose) {
        return Some(same);
    }
    let unit = unit?;
    let (charged, whole) = change.formula.split_whitespace().find_map(|word| word.split_once('/'))?;
    let share = Exact::ratio(charged.parse().ok()?, whole.parse().ok()?).ok()?;
    let exact = unit.exact().times(share).ok()?;
    rounds_to(change, exact, value).then(|| {
        format!("{} x {charged}/{whole} = {} -> {value}", unit.display(change.currency), exact.approx())
    })
}

/// An amount that the source names for the whole line, shared among its units.
fn divided(step: &Step, amount: Option<Money>, value: &str, name: &str) -> Option<String> {
    let (change, line) = (&step.change, step.line.as_ref()?);
    let amount = amount?;
    let quantity = change.action.after()?.quantity;
    let exact = amount.exact().over(quantity.exact()).ok()?;
    let signed = if exact.is_negative() { Exact::ZERO.minus(exact).ok()? } else { exact };
    let shown = amount.display(change.currency);
    if quantity == Quantity::from(1) && rounds_to(change, exact, value) {
        return Some(format!("{shown}, {name} of order line {}", line.id));
    }
    rounds_to(change, signed, value)
        .then(|| format!("{shown}, {name} of order line {}, / {} = {value}", line.id, quantity.display()))
}

/// Whether an exact value gives what was written, in whichever way it is rounded.
fn rounds_to(change: &Change, exact: Exact, value: &str) -> bool {
    let Ok(written) = value.parse::<Money>() else { return false };
    [RoundingMode::HalfUp, RoundingMode::HalfEven, RoundingMode::Floor, RoundingMode::Ceil]
        .into_iter()
        .filter_map(|mode| exact.round(change.currency.places(), mode).ok())
        .any(|rounded| rounded == written.decimal())
}

fn text_formula(step: &Step, value: &str) -> String {
    let said =
        step.line.as_ref().filter(|line| line.description.as_deref().is_some_and(|own| own.trim() == value));
    let name = step.product.as_ref().filter(|product| product.name == value);
    match (said, name) {
        (Some(line), _) => format!("the text of order line {}", line.id),
        (None, Some(product)) => format!("the name of product {} at {}", product.id, step.change.source),
        (None, None) => format!("the text of product {}", step.change.product),
    }
}

fn invoice_text_formula(step: &Step, value: &str) -> String {
    let text = step.change.action.after().and_then(|after| after.description.as_deref()).unwrap_or_default();
    match value.strip_prefix(text).map(str::trim) {
        Some(days) if days.starts_with('(') => format!("the text, with the days that it is for {days}"),
        Some(_) | None => text_formula(step, value),
    }
}
