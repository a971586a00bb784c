//! Which lines there should be: the levels of the source, put together by the agreement and the item that bill them.

use super::compare::Scene;
use super::config::ServiceTarget;
use super::line::{LineKey, quantity_subscription, quantity_task};
use super::reading::Reading;
use crate::feed::Customer;
use crate::finding::{Code, Finding, Severity, Subject};
use crate::ids::{AgreementId, CatalogItemId, CompanyId, CustomerId, ProductId, SourceId, SubscriptionId};
use crate::mapping::{MappingKind, Mappings};
use crate::money::Quantity;
use crate::psa::{Agreement, AgreementStatus, CompanyState};
use std::collections::{BTreeMap, BTreeSet};

/// A level that a line is made of.
#[derive(Clone, Copy, Debug)]
pub struct Counted<'a> {
    /// The source.
    pub source: &'a SourceId,
    /// The customer who is billed.
    pub customer: &'a CustomerId,
    /// The customer it was counted for: the same, or one below.
    pub whose: &'a CustomerId,
    /// The service.
    pub service: &'a ProductId,
    /// The levels: one, or several in different units.
    pub readings: &'a [Reading],
    /// The identifier of the item as it was when the service was assigned.
    pub identifier: &'a str,
}

/// The lines that should be, and what stands in the way of others.
#[derive(Debug, Default)]
pub struct Wants<'a> {
    /// By agreement and item.
    pub lines: BTreeMap<LineKey, Vec<Counted<'a>>>,
    /// What a person should know.
    pub findings: Vec<Finding>,
    /// Customers whose lines cannot be told now: nothing is said of their additions either.
    pub unclear: BTreeSet<(SourceId, CustomerId)>,
    /// Parts of these lines whose month the source has not told, each in words.
    pub untold: BTreeMap<LineKey, String>,
}

/// What findings about a customer are about.
pub fn subject_of(source: &SourceId, customer: &CustomerId) -> Subject {
    Subject {
        task: Some(quantity_task(source, customer)),
        source: Some(source.clone()),
        customer: Some(customer.clone()),
        subscription: Some(quantity_subscription(customer)),
        ..Subject::default()
    }
}

/// Why a customer is not billed; none where that is meant.
type Unbilled = Option<Box<Finding>>;

/// What a customer has of services that nothing bills, for a finding.
#[derive(Default)]
struct Missed {
    customers: BTreeSet<CustomerId>,
    levels: Vec<String>,
}

/// So many levels are listed in a finding.
const MOST_LISTED: usize = 10;

fn listed(levels: &[String]) -> String {
    let mut text = levels.iter().take(MOST_LISTED).cloned().collect::<Vec<_>>().join(", ");
    if let Some(more) = levels.len().checked_sub(MOST_LISTED).filter(|more| *more > 0) {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

/// Gathers what should be billed.
pub fn gather<'a>(scene: &Scene<'a>) -> Wants<'a> {
    let mut wants = Wants::default();
    let mut unassigned: BTreeMap<(&SourceId, &ProductId), Missed> = BTreeMap::new();
    let mut homeless: BTreeMap<(&SourceId, &CustomerId), (Unbilled, Missed)> = BTreeMap::new();
    let mut homes: BTreeMap<(&SourceId, &CustomerId), Result<AgreementId, Unbilled>> = BTreeMap::new();
    let agreements = looked_at_agreements(scene);
    for ((source, whose, service), readings) in scene.readings.iter() {
        if !scene.config.sources().contains(source) {
            continue;
        }
        let world = scene.world;
        let known = (world.mappings, world.customers);
        let customer = billed_as(known, scene.policy.with_children, source, whose);
        // A line is made of all of its levels, whoever is looked at: those of others on the same agreements belong to it.
        let looked_at = scene.looks_at(source, customer) || scene.looks_at(source, whose);
        let agreement = || chosen_agreement(world.mappings, source, customer);
        if !looked_at && agreement().is_none_or(|id| !agreements.contains(&id)) {
            continue;
        }
        let level = || {
            let level = readings.first().map(|reading| reading.value.display()).unwrap_or_default();
            let name = readings.first().map_or(service.as_str(), |reading| reading.name.as_str());
            format!("{level} {name}")
        };
        if !scene.config.bills(source, (customer, whose), service, scene.policy.ticked_only) {
            continue;
        }
        let (item, identifier) =
            match scene.config.assignment(source, service, customer).map(|found| found.target) {
                Some(ServiceTarget::Item { id, identifier, .. }) => (*id, identifier.as_str()),
                Some(ServiceTarget::NotAssigned) => continue,
                None if !looked_at => continue,
                None => {
                    let missed = unassigned.entry((source, service)).or_default();
                    missed.customers.insert(customer.clone());
                    missed.levels.push(level());
                    continue;
                }
            };
        let home = homes.entry((source, customer)).or_insert_with(|| home(scene, source, customer));
        match home {
            Ok(agreement) => {
                if let Some(used) = scene.readings.beside(source, whose, service).filter(|_| looked_at) {
                    wants.findings.extend(used_beside(
                        scene,
                        (source, customer, whose, service),
                        readings,
                        used,
                    ));
                }
                let counted = Counted { source, customer, whose, service, readings, identifier };
                wants.lines.entry((*agreement, item)).or_default().push(counted);
            }
            Err(_) if !looked_at => {}
            Err(finding) => {
                let entry = homeless.entry((source, customer)).or_default();
                entry.0.clone_from(finding);
                entry.1.levels.push(level());
            }
        }
    }
    let of_looked_at = |part: &Counted<'_>| {
        scene.looks_at(part.source, part.customer) || scene.looks_at(part.source, part.whose)
    };
    wants.lines.retain(|_, parts| parts.iter().any(of_looked_at));
    wants.untold = untold(scene, &wants.lines);
    for ((source, customer), (finding, missed)) in homeless {
        wants.unclear.insert((source.clone(), customer.clone()));
        wants.findings.extend(finding.map(|mut finding| {
            finding.message.push_str(&format!(" Not billed: {}.", listed(&missed.levels)));
            *finding
        }));
    }
    for ((source, service), missed) in unassigned {
        wants.findings.push(not_assigned(scene, source, service, &missed));
    }
    // Whose it is cannot be told: it is looked at where everybody is.
    let strays = scene.readings.strays().filter(|_| scene.only.is_none());
    wants.findings.extend(strays.filter_map(|(source, service, used)| stray(scene, source, service, used)));
    wants
}

/// What else would belong to these lines, was used before, and was told of nobody in the month: without it a line would fall
/// by what nobody said is gone.
fn untold(scene: &Scene<'_>, lines: &BTreeMap<LineKey, Vec<Counted<'_>>>) -> BTreeMap<LineKey, String> {
    let world = scene.world;
    let mut all = BTreeMap::new();
    for ((source, whose, service), month) in scene.readings.all_unused() {
        let known = (world.mappings, world.customers);
        let customer = billed_as(known, scene.policy.with_children, source, whose);
        let Some(agreement) = chosen_agreement(world.mappings, source, customer) else { continue };
        let is_billed = scene.config.bills(source, (customer, whose), service, scene.policy.ticked_only);
        let assigned = scene.config.assignment(source, service, customer).map(|found| found.target);
        let belongs = |item: CatalogItemId, parts: &[Counted<'_>]| {
            // What is taken away is that of those alone who have a part in the line.
            let part = || parts.iter().find(|part| (part.source, part.whose) == (source, whose));
            let is_excluded = |part: &Counted<'_>| {
                let rule = scene.config.rule(source, part.identifier, customer);
                rule.excluded_services().any(|excluded| excluded == service)
            };
            is_billed && matches!(assigned, Some(ServiceTarget::Item { id, .. }) if *id == item)
                || part().is_some_and(is_excluded)
        };
        let first = (agreement, CatalogItemId(i64::MIN));
        let of_agreement = lines.range(first..).take_while(|((of, _), _)| *of == agreement);
        for (key, _) in of_agreement.filter(|((_, item), parts)| belongs(*item, parts)) {
            let words = format!(
                "no use of {} of {} was told for {month}",
                scene.service_name(source, service),
                scene.customer_name(source, whose)
            );
            all.entry(*key).or_insert(words);
        }
    }
    all
}

/// The agreements of the customers that are looked at; of no interest where everybody is.
fn looked_at_agreements(scene: &Scene<'_>) -> BTreeSet<AgreementId> {
    let world = scene.world;
    let known = (world.mappings, world.customers);
    let chosen = |(source, customer): &(SourceId, CustomerId)| {
        let billed = billed_as(known, scene.policy.with_children, source, customer);
        chosen_agreement(world.mappings, source, billed)
    };
    scene.only.into_iter().flatten().filter_map(chosen).collect()
}

/// Use of subscriptions that nobody knows; none where the service is billed for nobody.
fn stray(
    scene: &Scene<'_>,
    source: &SourceId,
    service: &ProductId,
    used: &BTreeMap<SubscriptionId, Quantity>,
) -> Option<Finding> {
    let everybody = CustomerId::from("");
    let target = scene.config.assignment(source, service, &everybody).map(|found| found.target);
    if !scene.config.sources().contains(source) || matches!(target, Some(ServiceTarget::NotAssigned)) {
        return None;
    }
    let levels: Vec<String> = used.iter().map(|(id, sum)| format!("{} by {id}", sum.display())).collect();
    let subject = Subject {
        source: Some(source.clone()),
        product: Some(service.clone()),
        detail: Some("unknown subscriptions".to_owned()),
        ..Subject::default()
    };
    let message = format!(
        "{} is used by {} subscriptions that source {source} never told, so that nobody can say whose use it is. Not \
         billed: {}.",
        scene.service_name(source, service),
        used.len(),
        listed(&levels)
    );
    let fix = "Take the subscriptions in (`trueup feed import`), or let the use name its customer.";
    Some(Finding::new(Code::Tu2001, subject, message).fix(fix))
}

/// Use of what a counter counts as well: the counter is billed, and a person should know that the use is not; none where
/// both say the same.
fn used_beside(
    scene: &Scene<'_>,
    (source, customer, whose, service): (&SourceId, &CustomerId, &CustomerId, &ProductId),
    readings: &[Reading],
    used: Quantity,
) -> Option<Finding> {
    let counter = readings.first().filter(|reading| reading.value != used)?;
    let subject = Subject {
        product: Some(service.clone()),
        detail: Some(format!("use beside a counter, of {whose}")),
        ..subject_of(source, customer)
    };
    let message = format!(
        "{} of {}: a counter says {}, and the use of the month comes to {}. The counter is billed, and the use is not.",
        scene.service_name(source, service),
        scene.customer_name(source, whose),
        counter.value.shown(),
        used.shown()
    );
    let fix = "Leave out of the feed what is not meant: the counter, or the use.";
    Some(Finding::new(Code::Tu8006, subject, message).severity(Severity::Warning).fix(fix))
}

fn not_assigned(scene: &Scene<'_>, source: &SourceId, service: &ProductId, missed: &Missed) -> Finding {
    let subject = Subject {
        source: Some(source.clone()),
        product: Some(service.clone()),
        detail: Some("service".to_owned()),
        ..Subject::default()
    };
    let message = format!(
        "Service {} of source {source} is assigned to no catalog item. {} customers have it, and nothing bills it: {}.",
        scene.service_name(source, service),
        missed.customers.len(),
        listed(&missed.levels)
    );
    Finding::new(Code::Tu2003, subject, message)
        .fix("Assign it (`trueup quantity assign`), or say that it is not assigned (`--not-assigned`).")
}

/// The customer who is billed for what was counted for `whose`: itself, or the nearest one above that has a company,
/// where levels of customers below count for it.
pub fn billed_as<'a>(
    (mappings, customers): (&Mappings, &'a BTreeMap<(SourceId, CustomerId), Customer>),
    with_children: bool,
    source: &SourceId,
    whose: &'a CustomerId,
) -> &'a CustomerId {
    let mapped = |customer: &CustomerId| mappings.customer(source, customer).is_some();
    if !with_children || mapped(whose) {
        return whose;
    }
    let mut at = customers.get(&(source.clone(), whose.clone()));
    // A tree deeper than this is a circle.
    for _ in 0..32 {
        let Some(parent) = at.and_then(|customer| customer.parent.as_ref()) else { break };
        if mapped(parent) {
            return parent;
        }
        at = customers.get(&(source.clone(), parent.clone()));
    }
    whose
}

/// The agreement on which a customer is billed; none without a finding where it is not to be billed at all.
fn home(scene: &Scene<'_>, source: &SourceId, customer: &CustomerId) -> Result<AgreementId, Unbilled> {
    let world = scene.world;
    let name = scene.customer_name(source, customer);
    let stop = |code: Code, message: String| {
        Err(Some(Box::new(
            Finding::new(code, subject_of(source, customer), message).severity(Severity::Error),
        )))
    };
    let mapping = world.mappings.customer(source, customer);
    if mapping.is_some_and(|mapping| mapping.not_billed().is_some()) {
        return Err(None);
    }
    let Some(company) = mapping.and_then(Mappings::company_in) else {
        // Nobody can say then where in the tree it has its place, nor whether a company above is billed for it.
        let told = match world.customers.contains_key(&(source.clone(), customer.clone())) {
            true => format!("Customer {name} has no company in ConnectWise."),
            false => format!(
                "Customer {name} is not in the feed: something was counted for it before the source told who it is and where \
                 it belongs. It has no company in ConnectWise."
            ),
        };
        return stop(Code::Tu2001, told);
    };
    match world.snapshot.companies.get(&company).map(|found| found.state) {
        Some(CompanyState::Active) => {}
        Some(CompanyState::Inactive) => {
            return stop(Code::Tu2002, format!("Customer {name} is company {company}, which is inactive."));
        }
        Some(CompanyState::Deleted) | None => {
            return stop(Code::Tu2002, format!("Customer {name} is company {company}, which is gone."));
        }
    }
    let Some(agreement) = chosen_agreement(world.mappings, source, customer) else {
        return stop(Code::Tu3001, format!("No agreement is chosen for customer {name}."));
    };
    match world.snapshot.agreements.get(&agreement) {
        None => stop(Code::Tu3003, format!("Agreement {agreement} of customer {name} is gone.")),
        Some(found) => fits(found, company).map(|()| agreement).map_err(|why| {
            stop_of(source, customer, format!("Agreement {agreement} of customer {name} {why}."))
        }),
    }
}

fn stop_of(source: &SourceId, customer: &CustomerId, message: String) -> Unbilled {
    Some(Box::new(Finding::new(Code::Tu3003, subject_of(source, customer), message)))
}

fn fits(agreement: &Agreement, company: CompanyId) -> Result<(), String> {
    if agreement.company != company {
        return Err(format!("is of company {}, not of company {company}", agreement.company));
    }
    match agreement.status {
        AgreementStatus::Active => {}
        AgreementStatus::Cancelled => return Err("is cancelled".to_owned()),
        AgreementStatus::Expired => return Err("is expired".to_owned()),
        AgreementStatus::Inactive => return Err("is not in force".to_owned()),
    }
    if agreement.currency.is_none() {
        return Err("has no currency that is known".to_owned());
    }
    Ok(())
}

/// The agreement that a person chose for a customer.
pub fn chosen_agreement(
    mappings: &Mappings,
    source: &SourceId,
    customer: &CustomerId,
) -> Option<AgreementId> {
    let mapping = mappings.find(MappingKind::Agreement, source, &format!("customer:{customer}"), "")?;
    Mappings::agreement_of(mapping)
}

/// The services that a line is made of, each once.
pub fn services_of(parts: &[Counted<'_>]) -> Vec<ProductId> {
    let services: BTreeSet<&ProductId> = parts.iter().map(|part| part.service).collect();
    services.into_iter().cloned().collect()
}

/// Who and what a line adds up: more than one of them has to be allowed. What is counted for customers below is allowed
/// by `quantity.children`.
pub fn adds_up(parts: &[Counted<'_>]) -> bool {
    let billed: BTreeSet<_> = parts.iter().map(|part| (part.source, part.customer, part.service)).collect();
    billed.len() > 1
}
