//! What is left over: additions that nothing asks for any more, and runs in which too much falls at once.

use super::compare::{Planned, QuantityPlan, Scene, customer_of, own_links};
use super::config::{Entry, ServiceTarget};
use super::line::{LineKey, Verdict};
use super::wants::{self, subject_of};
use crate::billing::{self};
use crate::finding::{Code, Finding, Severity, Subject};
use crate::ids::{CustomerId, SourceId};
use crate::money::Money;
use crate::period::Period;
use crate::plan::AdditionLink;
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet};

/// Lines that fall in one run before the share of them counts: two of two customers are no sign of a broken source.
const MASS_FROM: usize = 5;

/// Additions of ours that nothing asks for any more: told with what they bill, and never changed.
pub(super) fn left_over(
    scene: &Scene<'_>,
    wanted: &BTreeSet<LineKey>,
    unclear: &BTreeSet<(SourceId, CustomerId)>,
    plan: &mut QuantityPlan,
) {
    let mut silent: BTreeMap<&SourceId, Vec<Finding>> = BTreeMap::new();
    let mut months: BTreeMap<&SourceId, Period> = BTreeMap::new();
    for link in own_links(scene) {
        let key = (link.agreement, link.written.catalog_item);
        let Some(customer) = customer_of(link) else { continue };
        if wanted.contains(&key) || unclear.contains(&(link.source.clone(), customer.clone())) {
            continue;
        }
        let there = scene.world.snapshot.additions_of(link.agreement).iter().find(|a| a.id == link.addition);
        let Some(there) = there.filter(|there| there.state.is_open() && !there.state.quantity.is_zero())
        else {
            continue;
        };
        let subject = Subject {
            product: Some(link.product.clone()),
            agreement: Some(link.agreement),
            addition: Some(link.addition),
            ..subject_of(&link.source, &customer)
        };
        let (why, is_silent) = why_left(scene, link, &customer);
        if let Some(month) = scene.readings.unused(&link.source, &customer, &link.product) {
            months.insert(&link.source, month);
        }
        let name = scene.customer_name(&link.source, &customer);
        let service = scene.service_name(&link.source, &link.product);
        let message = format!(
            "{service} of {name}: {why}. Addition {} of agreement {} goes on with a quantity of {}.",
            link.addition,
            link.agreement,
            there.state.quantity.shown()
        );
        let code = if is_silent { Code::Tu8003 } else { Code::Tu8006 };
        let mut finding = Finding::new(code, subject, message).severity(Severity::Warning);
        if !is_silent {
            finding = finding.fix(
                "End it in ConnectWise, or assign, tick or switch it on again. Nothing is changed by itself.",
            );
        }
        let currency = scene.world.snapshot.agreements.get(&link.agreement).and_then(|a| a.currency);
        if let Some(currency) = currency
            && let Ok(worth) = billing::extended(&there.state, there.less_included, currency)
        {
            finding = finding.amount(Money::new(worth.price.decimal()), currency);
        }
        if is_silent {
            silent.entry(&link.source).or_default().push(finding);
        } else {
            plan.findings.push(finding);
        }
    }
    for (source, findings) in silent {
        let counted = scene.readings.iter().any(|((of, _, _), _)| of == source);
        if counted || findings.len() == 1 {
            plan.findings.extend(findings);
            continue;
        }
        let subject =
            Subject { source: Some(source.clone()), detail: Some("levels".to_owned()), ..Subject::default() };
        let month = months.get(source).map(|month| format!(" and no use of {}", month_name(*month)));
        let message = format!(
            "Source {source} tells no level at all{}, and {} lines stand on it. Nothing becomes 0 by that; they stay as they \
             are.",
            month.unwrap_or_default(),
            findings.len()
        );
        plan.findings.push(Finding::new(Code::Tu8003, subject, message));
    }
}

fn month_name(month: Period) -> String {
    format!("{:04}-{:02}", month.start().year(), month.start().month())
}

/// Sources whose services are assigned, whose customers are known, and that never told a level: nothing is billed of them,
/// and nobody would hear of it.
pub(super) fn never_told(scene: &Scene<'_>) -> Vec<Finding> {
    if scene.only.is_some() {
        return Vec::new();
    }
    let mut assigned: BTreeMap<&SourceId, usize> = BTreeMap::new();
    for (source, _, entry) in scene.config.iter() {
        if matches!(entry, Entry::Service { target: ServiceTarget::Item { .. }, .. }) {
            *assigned.entry(source).or_default() += 1;
        }
    }
    let told: BTreeSet<&SourceId> = scene.readings.iter().map(|((source, _, _), _)| source).collect();
    let strays: BTreeSet<&SourceId> = scene.readings.strays().map(|(source, _, _)| source).collect();
    let billed: BTreeSet<&SourceId> = own_links(scene).map(|link| &link.source).collect();
    let fed: BTreeSet<&SourceId> = scene.world.customers.keys().map(|(source, _)| source).collect();
    assigned.retain(|source, _| {
        fed.contains(source) && !told.contains(source) && !strays.contains(source) && !billed.contains(source)
    });
    let finding = |(source, services): (&SourceId, usize)| {
        let subject =
            Subject { source: Some(source.clone()), detail: Some("levels".to_owned()), ..Subject::default() };
        let message = format!(
            "Source {source} tells no level of anything, and {services} of its services are assigned: nothing is billed of it."
        );
        Finding::new(Code::Tu8003, subject, message)
            .severity(Severity::Warning)
            .fix("Take in what it counts (`trueup feed import`), or say that its services are not assigned.")
    };
    assigned.into_iter().map(finding).collect()
}

/// Why nothing asks for a line any more, and whether that is only because the source is silent.
fn why_left(scene: &Scene<'_>, link: &AdditionLink, customer: &CustomerId) -> (String, bool) {
    let ticks = scene.config.ticks(&link.source, customer);
    if !ticks.billing {
        return ("the customer is switched off".to_owned(), false);
    }
    if !ticks.bills(&link.product, scene.policy.ticked_only) {
        return ("it is not ticked for the customer".to_owned(), false);
    }
    let target = scene.config.assignment(&link.source, &link.product, customer).map(|found| found.target);
    match target {
        Some(ServiceTarget::Item { id, .. }) if *id != link.written.catalog_item => {
            return (format!("it is billed as catalog item {id} now"), false);
        }
        Some(ServiceTarget::Item { .. }) => {}
        Some(ServiceTarget::NotAssigned) | None => {
            return ("it is not assigned any more".to_owned(), false);
        }
    }
    let chosen = wants::chosen_agreement(scene.world.mappings, &link.source, customer);
    if chosen != Some(link.agreement) {
        return (
            match chosen {
                Some(agreement) => format!("the customer is billed on agreement {agreement} now"),
                None => "no agreement is chosen for the customer any more".to_owned(),
            },
            false,
        );
    }
    let unused = scene.readings.unused(&link.source, customer, &link.product);
    let why = match unused {
        Some(month) => {
            format!("the source tells nobody's use of {}, which is no use of 0", month_name(month))
        }
        None => "the source does not count it any more, which is no count of 0".to_owned(),
    };
    (why, true)
}

/// Where many lines of a source fall at once, it is the source that is to be looked at: all falls wait.
pub(super) fn hold_a_mass_drop(scene: &Scene<'_>, plan: &mut QuantityPlan) {
    let Some(limit) = scene.policy.drop_percent else { return };
    let falls = |planned: &Planned| {
        let wanted = planned.line.chain.as_ref().map(|chain| chain.quantity);
        matches!((wanted, planned.line.observed), (Some(wanted), Some(observed)) if wanted < observed)
    };
    let mut counts: BTreeMap<SourceId, (usize, usize)> = BTreeMap::new();
    for planned in &plan.lines {
        let (all, falling) = counts.entry(planned.line.source.clone()).or_default();
        *all += usize::from(planned.line.observed.is_some());
        *falling += usize::from(falls(planned));
    }
    for (source, (all, falling)) in counts {
        let over = Decimal::from(falling) * Decimal::ONE_HUNDRED > limit * Decimal::from(all);
        if falling < MASS_FROM || !over {
            continue;
        }
        let subject = Subject {
            source: Some(source.clone()),
            detail: Some("mass drop".to_owned()),
            ..Subject::default()
        };
        let message = format!(
            "{falling} of {all} lines of source {source} would fall in one run; the limit is {} percent \
             (quantity.drop_percent). They wait; what rises goes on.",
            limit.normalize()
        );
        let finding = Finding::new(Code::Tu8003, subject, message);
        for planned in plan.lines.iter_mut().filter(|planned| planned.line.source == source) {
            if falls(planned) && planned.acts() {
                planned.line.verdict = Verdict::Held;
                planned.line.code.get_or_insert(Code::Tu8003);
                planned.holds.push(finding.clone());
            }
        }
    }
}
