//! What is to be said about one order before ConnectWise is asked: whether it needs a task at all, whether it is
//! supported, and whether everything it names is mapped. Pure.

use jiff::civil::Date;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::feed::{BillingModel, Charge, Ext, Order, OrderKind, OrderLine, Subscription};
use trueup_domain::finding::{Code, Finding, Subject};
use trueup_domain::ids::{CustomerId, ProductId, SourceId};
use trueup_domain::mapping::{MappingKind, Mappings, ProductTarget};
use trueup_domain::mapping_rules::Broken;
use trueup_domain::money::{Money, Quantity};
use trueup_domain::period::{BillingCycle, CycleUnit, Period};
use trueup_domain::plan::{AdditionLink, Role};
use trueup_domain::psa::{AgreementStatus, CompanyState, Snapshot};
use trueup_domain::task::{Task, TaskKind};
use trueup_domain::turns::in_sequence;

/// Where a task stands as far as the feed, the mappings and the last local picture can tell.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// It can be planned.
    Ready,
    /// Something has no mapping, or a mapping that cannot be used.
    NeedsMapping(Vec<Finding>),
    /// Left out, for this reason; with findings where someone has to bill it by hand.
    Ignored(String, Vec<Finding>),
}

/// What an assessment may look at.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// The mappings in force.
    pub mappings: &'a Mappings,
    /// The subscription, where the feed has it.
    pub subscription: Option<&'a Subscription>,
    /// What `psa pull` last read, where it was run.
    pub picture: Option<&'a Snapshot>,
    /// The rules that the mappings break.
    pub broken: &'a Broken,
}

/// What the findings of a task are about.
pub fn subject_of(task: &Task) -> Subject {
    Subject {
        task: Some(task.id.clone()),
        source: Some(task.source.clone()),
        customer: Some(task.customer.clone()),
        subscription: Some(task.subscription.clone()),
        ..Subject::default()
    }
}

/// Judges a task.
pub fn assess(task: &Task, order: Option<&Order>, facts: Facts<'_>) -> Standing {
    if let Some(reason) = unsupported(facts.subscription, order) {
        let message = format!("{reason}; trueup does not do this, and the task is left out.");
        let finding = Finding::new(Code::Tu4004, subject_of(task), message);
        return Standing::Ignored(format!("TU4004: {reason}"), vec![finding]);
    }
    let afterwards = facts.subscription.is_some_and(|s| s.billing_model != BillingModel::Advance);
    if task.kind == TaskKind::Reconciliation && afterwards {
        let reason = "it is charged after its period: its billing orders bill it";
        return Standing::Ignored(reason.to_owned(), Vec::new());
    }
    if let Some(reason) = facts.mappings.customer_not_billed(&task.source, &task.customer) {
        return Standing::Ignored(format!("do not bill: {reason}"), Vec::new());
    }
    let products = products_of(order, facts.subscription);
    if let Some(reason) = none_is_billed(task, &products, facts) {
        return Standing::Ignored(format!("do not bill: {reason}"), Vec::new());
    }
    let mut findings = Vec::new();
    judge_customer(task, facts, &mut findings);
    judge_products(task, &products, facts, &mut findings);
    judge_fee(task, order, facts, &mut findings);
    judge_agreement(task, facts, &mut findings);
    judge_rules(task, &products, facts, &mut findings);
    if findings.is_empty() { Standing::Ready } else { Standing::NeedsMapping(findings) }
}

/// Why trueup cannot bill the subscription or order at all. Sources carry such models in fields that the feed does
/// not know, so the words are looked for there.
pub fn unsupported(subscription: Option<&Subscription>, order: Option<&Order>) -> Option<String> {
    let of_order = order.and_then(|o| unsupported_ext(&o.ext));
    of_order.or_else(|| subscription.and_then(|s| unsupported_ext(&s.ext)))
}

fn unsupported_ext(ext: &Ext) -> Option<String> {
    ext.0.iter().find_map(|(key, value)| {
        let key = words(key);
        let text = words(value.get());
        if matches!(text.as_str(), "false" | "null" | "off" | "no" | "none") {
            return None;
        }
        if key == "billing pause" {
            return Some(match text.as_str() {
                "ends" => "the subscription is resumed at the source: what is owed is settled by hand".to_owned(),
                _ => "the subscription is suspended at the source, and its lines bill on: they are ended or kept by hand"
                    .to_owned(),
            });
        }
        let about_billing = ["billing", "charge", "align", "statement"].iter().any(|w| key.contains(w));
        if !about_billing {
            return None;
        }
        if key.contains("statement day") || text.contains("statement day") {
            return Some("billing is aligned with the statement day".to_owned());
        }
        let before = "before subscription period";
        (text.contains(before) || key.contains(before))
            .then(|| "charges are made before the subscription period".to_owned())
    })
}

fn words(text: &str) -> String {
    let spaced: String =
        text.chars().map(|c| if c.is_alphanumeric() { c.to_ascii_lowercase() } else { ' ' }).collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Why an order needs no task.
pub fn no_task_reason(
    order: &Order,
    subscription: Option<&Subscription>,
    earlier: &[&Order],
    links: &[&AdditionLink],
) -> Option<String> {
    match order.kind {
        OrderKind::Billing => recurring_alone(order, subscription),
        OrderKind::Renewal => unchanged_renewal(order, earlier, links),
        OrderKind::Sales | OrderKind::Change | OrderKind::Cancellation | OrderKind::Transfer => None,
    }
}

fn recurring_alone(order: &Order, subscription: Option<&Subscription>) -> Option<String> {
    let in_advance = subscription.is_some_and(|s| s.billing_model == BillingModel::Advance);
    let recurring = !order.lines.is_empty() && order.lines.iter().all(|l| l.charge == Charge::Recurring);
    (in_advance && recurring).then(|| {
        "a billing order of a subscription charged in advance with recurring lines alone: the open-ended additions \
         bill them already"
            .to_owned()
    })
}

/// Quantity, price and cost of each product.
type Held = BTreeMap<ProductId, (Quantity, Option<Money>, Option<Money>)>;

fn unchanged_renewal(order: &Order, earlier: &[&Order], links: &[&AdditionLink]) -> Option<String> {
    let only_recurring = !order.lines.is_empty() && order.lines.iter().all(|l| l.charge == Charge::Recurring);
    if !only_recurring {
        return None;
    }
    let held = held_by_orders(order, earlier).or_else(|| held_by_links(links))?;
    let renewed: Held = order
        .lines
        .iter()
        .map(|l| (l.product.clone(), (l.new_quantity.unwrap_or(l.quantity), l.unit_price, l.unit_cost)))
        .collect();
    let complete =
        renewed.len() == order.lines.len() && renewed.values().all(|(_, price, _)| price.is_some());
    (complete && renewed == held).then(|| {
        "a renewal with the same products, quantities and prices: the open-ended additions go on".to_owned()
    })
}

/// Folds the orders from the sale on. None unless the chain is whole, so that nothing is taken as proven that is not.
fn held_by_orders(order: &Order, earlier: &[&Order]) -> Option<Held> {
    let before = earlier.iter().copied().filter(|o| o.completed_us < order.completed_us);
    let sorted = in_sequence(before);
    let first = sorted.iter().rposition(|o| o.kind == OrderKind::Sales)?;
    let mut held = Held::new();
    for earlier in &sorted[first..] {
        if earlier.currency != order.currency || !same_length(earlier.period, order.period) {
            return None;
        }
        for line in earlier.lines.iter().filter(|l| l.charge == Charge::Recurring) {
            fold_line(&mut held, earlier.kind, line)?;
        }
        if earlier.kind == OrderKind::Cancellation {
            held.clear();
        }
    }
    held.retain(|_, (quantity, _, _)| !quantity.is_zero());
    Some(held)
}

fn fold_line(held: &mut Held, kind: OrderKind, line: &OrderLine) -> Option<()> {
    let entry = (line.unit_price, line.unit_cost);
    match kind {
        OrderKind::Sales | OrderKind::Renewal | OrderKind::Transfer => {
            let quantity = line.new_quantity.unwrap_or(line.quantity);
            held.insert(line.product.clone(), (quantity, entry.0, entry.1));
        }
        OrderKind::Change => {
            let before = held.get(&line.product).copied();
            let old = before.map_or(Quantity::ZERO, |(q, _, _)| q);
            let quantity = match line.new_quantity {
                Some(quantity) => quantity,
                None => old.plus(line.quantity).ok()?,
            };
            let price = entry.0.or(before.and_then(|b| b.1));
            let cost = entry.1.or(before.and_then(|b| b.2));
            held.insert(line.product.clone(), (quantity, price, cost));
        }
        OrderKind::Billing | OrderKind::Cancellation => {}
    }
    Some(())
}

fn held_by_links(links: &[&AdditionLink]) -> Option<Held> {
    let mut held = Held::new();
    for link in links {
        if link.role != Role::Recurring || link.deleted || !link.written.is_open() {
            continue;
        }
        let state = &link.written;
        let value = (state.quantity, Some(state.unit_price), Some(state.unit_cost));
        if held.insert(link.product.clone(), value).is_some() {
            return None;
        }
    }
    (!held.is_empty()).then_some(held)
}

/// Whether both periods are as long as each other: a renewal into another cycle is a change.
fn same_length(a: Period, b: Period) -> bool {
    let months = |p: Period| {
        (1..=120).find(|n| {
            BillingCycle::new(*n, CycleUnit::Month)
                .and_then(|cycle| cycle.boundary(p.start(), 1))
                .is_ok_and(|end: Date| end == p.end())
        })
    };
    match (months(a), months(b)) {
        (Some(a), Some(b)) => a == b,
        (None, None) => a.days() == b.days(),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// The products whose mapping counts, and whether each is a line's.
fn products_of<'a>(
    order: Option<&'a Order>,
    subscription: Option<&'a Subscription>,
) -> BTreeSet<&'a ProductId> {
    match order {
        Some(order) => order.lines.iter().filter(|l| needs_item(order, l)).map(|l| &l.product).collect(),
        None => subscription
            .map(|s| {
                let items = s.items.iter().filter(|i| !is_free(i.unit_price)).map(|i| &i.product);
                items.chain(s.plan.iter().map(|p| &p.product)).collect()
            })
            .unwrap_or_default(),
    }
}

fn is_free(price: Option<Money>) -> bool {
    price.is_some_and(Money::is_zero)
}

/// Included resources at no charge make no line, a cancellation's fee has a mapping of its own, and a line of a
/// cancelled subscription that only says what ends bills nothing.
fn needs_item(order: &Order, line: &OrderLine) -> bool {
    if line.charge == Charge::Cancellation {
        return false;
    }
    if order.kind == OrderKind::Cancellation && line.charge == Charge::Recurring {
        return false;
    }
    let free = is_free(line.unit_price) && line.amount.is_none_or(Money::is_zero);
    let nothing = line.quantity.is_zero()
        && line.new_quantity.is_none_or(Quantity::is_zero)
        && line.amount.is_none_or(Money::is_zero);
    !(free || nothing)
}

fn target_of(task: &Task, product: &ProductId, facts: Facts<'_>) -> Option<ProductTarget> {
    let cycle = facts.subscription.map(|s| s.billing_cycle);
    facts.mappings.product_target(&task.source, product, &task.customer, cycle)
}

fn none_is_billed(task: &Task, products: &BTreeSet<&ProductId>, facts: Facts<'_>) -> Option<String> {
    let mut reason = None;
    for product in products {
        match target_of(task, product, facts) {
            Some(ProductTarget::DoNotBill(why)) => reason = Some(why),
            Some(ProductTarget::Item(_)) | None => return None,
        }
    }
    reason
}

fn judge_customer(task: &Task, facts: Facts<'_>, findings: &mut Vec<Finding>) {
    let Some(company) = facts.mappings.company_of(&task.source, &task.customer) else {
        let over = over(facts.mappings, MappingKind::Customer, task, task.customer.as_str());
        let message = format!("Customer {} has no company in ConnectWise yet.{over}", task.customer);
        findings.push(Finding::new(Code::Tu2001, subject_of(task), message));
        return;
    };
    let Some(picture) = facts.picture else { return };
    let wrong = match picture.companies.get(&company).map(|c| c.state) {
        Some(CompanyState::Active) => return,
        Some(CompanyState::Inactive) => "is inactive",
        Some(CompanyState::Deleted) => "is deleted",
        None => "was not there at the last `psa pull`",
    };
    let message = format!("Customer {} is mapped to company {company}, which {wrong}.", task.customer);
    findings.push(Finding::new(Code::Tu2002, subject_of(task), message));
}

/// A word about the "do not bill" that held until now.
fn over(mappings: &Mappings, kind: MappingKind, task: &Task, id: &str) -> String {
    let Some(mapping) = mappings.expired(kind, &task.source, id) else { return String::new() };
    let until = mapping.until().map(|day| day.to_string()).unwrap_or_default();
    format!(" It was not billed until {until} ({}).", mapping.not_billed().unwrap_or_default())
}

fn judge_products(
    task: &Task,
    products: &BTreeSet<&ProductId>,
    facts: Facts<'_>,
    findings: &mut Vec<Finding>,
) {
    for product in products {
        let subject = Subject { product: Some((*product).clone()), ..subject_of(task) };
        match target_of(task, product, facts) {
            None => {
                let over = over(facts.mappings, MappingKind::Product, task, product.as_str());
                let message = format!("Product {product} has no catalog item in ConnectWise yet.{over}");
                findings.push(Finding::new(Code::Tu2003, subject, message));
            }
            Some(ProductTarget::DoNotBill(_)) => {}
            Some(ProductTarget::Item(item)) => {
                let Some(picture) = facts.picture else { continue };
                let wrong = match picture.catalog.get(&item) {
                    Some(found) if found.inactive => "is inactive",
                    Some(found) if found.bundle => "is a bundle, which cannot be an addition",
                    Some(_) => continue,
                    None => "was not there at the last `psa pull`",
                };
                let message = format!("Product {product} is mapped to catalog item {item}, which {wrong}.");
                findings.push(Finding::new(Code::Tu2004, subject, message));
            }
        }
    }
}

fn judge_fee(task: &Task, order: Option<&Order>, facts: Facts<'_>, findings: &mut Vec<Finding>) {
    let fees = order.is_some_and(|o| {
        o.lines.iter().any(|l| {
            l.charge == Charge::Cancellation
                && !l.amount.or(l.unit_price).is_some_and(Money::is_zero)
                && !(l.quantity.is_zero() && l.amount.is_none())
        })
    });
    if fees && facts.mappings.fee_item(&task.source, "cancellation").is_none() {
        let subject = Subject { detail: Some("fee cancellation".into()), ..subject_of(task) };
        let message = "The cancellation fee has no catalog item in ConnectWise yet.";
        findings.push(Finding::new(Code::Tu2005, subject, message));
    }
}

fn judge_agreement(task: &Task, facts: Facts<'_>, findings: &mut Vec<Finding>) {
    let chosen = facts
        .mappings
        .agreement_mapping(&task.source, &task.subscription, &task.customer)
        .and_then(Mappings::agreement_of);
    let (Some(id), Some(picture)) = (chosen, facts.picture) else { return };
    let company = facts.mappings.company_of(&task.source, &task.customer);
    let wrong = match picture.agreements.get(&id) {
        None => "was not there at the last `psa pull`",
        Some(found) if found.status == AgreementStatus::Cancelled => "is cancelled",
        Some(found) if company.is_some_and(|c| c != found.company) => "belongs to another company",
        Some(_) => return,
    };
    let subject = Subject { agreement: Some(id), ..subject_of(task) };
    let message = format!("Agreement {id}, chosen for subscription {}, {wrong}.", task.subscription);
    findings.push(Finding::new(Code::Tu3003, subject, message));
}

/// A mapping that breaks a rule is not billed on: which one is meant only a person knows.
fn judge_rules(task: &Task, products: &BTreeSet<&ProductId>, facts: Facts<'_>, findings: &mut Vec<Finding>) {
    let mappings = facts.mappings;
    let cycle = facts.subscription.map(|s| s.billing_cycle);
    let customer = mappings.find(MappingKind::Customer, &task.source, task.customer.as_str(), "");
    let agreement = mappings.agreement_mapping(&task.source, &task.subscription, &task.customer);
    let of_products = products
        .iter()
        .filter_map(|product| mappings.product_mapping(&task.source, product, &task.customer, cycle));
    let mut told = BTreeSet::new();
    for mapping in customer.into_iter().chain(agreement).chain(of_products) {
        if let Some(conflict) = facts.broken.of(mapping).filter(|c| told.insert(c.about.as_str())) {
            findings.push(conflict.finding_about(subject_of(task)));
        }
    }
}

/// Whose an order is: its own customer, else the subscription's.
pub fn customer_of<'a>(order: &'a Order, subscription: Option<&'a Subscription>) -> Option<&'a CustomerId> {
    order.customer.as_ref().or_else(|| subscription.map(|s| &s.customer))
}

/// The finding for an order whose customer nobody names.
pub fn without_customer(source: &SourceId, order: &Order, subscription: Option<&Subscription>) -> Finding {
    let subject = Subject {
        source: Some(source.clone()),
        subscription: Some(order.subscription.clone()),
        detail: Some(format!("order {}", order.id)),
        ..Subject::default()
    };
    let (why, fix) = match subscription {
        None => (
            "is not in the feed: nobody knows whom to bill",
            "Import the subscription, or name the customer in the order.",
        ),
        Some(_) => (
            "was transferred since, so that its record names another one: nobody knows who had it then",
            "Name the former customer in the order, and import it again.",
        ),
    };
    let message = format!(
        "Order {} names no customer, and its subscription {} {why}.",
        order.shown(),
        order.subscription
    );
    Finding::new(Code::Tu8004, subject, message).fix(fix)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use serde_json::value::RawValue;

    /// Sources say it in a field of their own; what is not billed that way is left out with a word.
    #[test]
    fn a_pause_of_a_subscription_is_left_out_and_said() {
        let ext = |key: &str, text: &str| {
            let mut ext = Ext::default();
            ext.0.insert(key.to_owned(), RawValue::from_string(text.to_owned()).unwrap());
            unsupported_ext(&ext)
        };
        let begins = ext("billing_pause", "\"begins\"").unwrap();
        assert!(begins.contains("suspended") && begins.contains("bill on"), "{begins}");
        assert!(ext("billing_pause", "\"ends\"").unwrap().contains("resumed"));
        assert_eq!(ext("billing_pause", "false"), None);
        assert_eq!(ext("pause", "\"begins\""), None);
    }
}
