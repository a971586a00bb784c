//! Copies: additions that a person made of a line of ours, with the key that it carries. Whose line it is says the link,
//! never the key alone: a copy is told, and neither taken over nor written to.

use super::drift::tell::Worth;
use crate::finding::{Code, Finding, Severity, Subject};
use crate::plan::AdditionLink;
use crate::psa::{BillFlag, ObservedAddition, Snapshot};
use jiff::civil::Date;
use std::collections::{HashMap, HashSet};

/// The lines of ours by the keys that they carry.
#[derive(Debug)]
pub struct Originals<'a> {
    by_key: HashMap<&'a str, &'a AdditionLink>,
    linked: HashSet<i64>,
}

impl<'a> Originals<'a> {
    /// Of these links. What trueup took away counts as well: a copy of it bills on.
    pub fn new(links: impl IntoIterator<Item = &'a AdditionLink>) -> Self {
        let mut all = Self { by_key: HashMap::new(), linked: HashSet::new() };
        for link in links {
            if !link.deleted {
                all.linked.insert(link.addition.0);
            }
            let Some(key) = &link.key else { continue };
            let known = all.by_key.entry(key.0.as_str()).or_insert(link);
            if known.deleted && !link.deleted {
                *known = link;
            }
        }
        all
    }

    /// The line of ours that an addition was copied from; none where it carries no key of ours, or is a line of ours.
    pub fn of(&self, addition: &ObservedAddition) -> Option<&'a AdditionLink> {
        let original = self.by_key.get(addition.marker.as_deref()?)?;
        let is_ours = original.addition == addition.id || self.linked.contains(&addition.id.0);
        (!is_ours).then_some(*original)
    }

    /// What is to be told of the copies among the additions of a snapshot.
    pub fn told(&self, snapshot: &Snapshot, today: Date) -> Vec<Finding> {
        if self.by_key.is_empty() {
            return Vec::new();
        }
        let all = snapshot.additions.values().flatten();
        all.filter_map(|addition| self.told_of(addition, snapshot, today)).collect()
    }

    /// What is to be told of an addition, where it is a copy that bills today or later.
    pub fn told_of(&self, addition: &ObservedAddition, snapshot: &Snapshot, today: Date) -> Option<Finding> {
        let bills_on = addition.state.cancelled.is_none_or(|last| last >= today);
        let original = self.of(addition).filter(|_| bills_on)?;
        Some(copy_of(original, addition, snapshot))
    }
}

/// What is to be told of a copy: which of the two is ours, and what the other one bills.
fn copy_of(original: &AdditionLink, copy: &ObservedAddition, snapshot: &Snapshot) -> Finding {
    let bills = copy.state.bill == BillFlag::Billable;
    let currency = snapshot.agreements.get(&copy.agreement).and_then(|agreement| agreement.currency);
    let worth = currency.filter(|_| bills).and_then(|currency| {
        Some((Worth::of(&copy.state, copy.less_included, currency).ok()?.price, currency))
    });
    let often = if copy.state.is_open() { " a billing cycle" } else { "" };
    let worth_said = match &worth {
        Some((price, currency)) => format!(" The copy bills {price} {currency}{often} that nobody ordered."),
        None if bills => String::new(),
        None => " The copy bills nothing.".to_owned(),
    };
    let home = match original.agreement {
        same if same == copy.agreement => String::new(),
        other => format!(" on agreement {other}"),
    };
    let list = snapshot.additions.get(&original.agreement);
    let is_there = list.is_none_or(|list| list.iter().any(|there| there.id == original.addition));
    let became = match (original.deleted, is_there) {
        (true, _) => " which trueup took away",
        (false, false) => " which is not in ConnectWise any more",
        (false, true) => " which is the line of trueup",
    };
    let message = format!(
        "Addition {} on agreement {} is a copy that a person made of addition {}{home},{became} ({}, {}, subscription {}): \
         both carry the key {}.{worth_said} trueup neither takes it over nor writes to it.",
        copy.id,
        copy.agreement,
        original.addition,
        original.product,
        original.role.name(),
        original.subscription,
        copy.marker.as_deref().unwrap_or_default(),
    );
    let subject = Subject {
        source: Some(original.source.clone()),
        subscription: Some(original.subscription.clone()),
        product: Some(original.product.clone()),
        agreement: Some(copy.agreement),
        addition: Some(copy.id),
        detail: Some(format!("copy of addition {}", original.addition)),
        ..Subject::default()
    };
    let fix = format!(
        "Delete addition {} in ConnectWise, or end it, and credit what it has billed. Where it is meant, for something \
         else, take the key out of it (its serial number, or the custom field for keys).",
        copy.id
    );
    let severity = if bills { Severity::Error } else { Severity::Warning };
    let finding = Finding::new(Code::Tu3007, subject, message).severity(severity).fix(fix);
    match worth {
        Some((price, currency)) => finding.amount(price.amount, currency),
        None => finding,
    }
}
