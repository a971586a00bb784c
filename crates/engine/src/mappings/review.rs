//! What is to be said about mappings themselves, with tasks or without: rules that are broken, sides in ConnectWise
//! that are gone, and "do not bill" that ran out. Nothing is guessed: a mapping stays until a person changes it.

use super::Site;
use crate::failure::Failure;
use crate::ports::{Clock, Store};
use jiff::civil::Date;
use std::collections::BTreeMap;
use trueup_domain::feed::{Record, RecordKind, Subscription};
use trueup_domain::finding::{Code, Finding, Severity, Subject};
use trueup_domain::ids::{AgreementId, CatalogItemId, CompanyId, CustomerId, OrganizationId, ProductId};
use trueup_domain::mapping::{Mapping, MappingKind, Mappings};
use trueup_domain::mapping_rules::{Broken, shared_by_cycles};
use trueup_domain::plan::{AdditionLink, Role};
use trueup_domain::psa::{AgreementStatus, CompanyState, Snapshot};

/// Looks all mappings over and records what is found; what holds no more is resolved. `told` is what was said of tasks
/// already: it is not said twice.
///
/// # Errors
/// The store's.
pub(crate) async fn record(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    seen: Seen<'_>,
    told: &[Finding],
) -> Result<(), Failure> {
    let all = store.list_mappings(org).await?;
    let mut found = Vec::new();
    if !all.is_empty() {
        let today = clock.today();
        let broken = seen.broken.all().iter().map(|conflict| conflict.finding());
        found.extend(broken.filter(|f| !told.iter().any(|t| says_the_same(t, f))));
        let shared = shared_by_cycles(&Mappings::on(all.iter().cloned(), today));
        found.extend(shared.iter().map(|conflict| conflict.finding().severity(Severity::Warning)));
        found.extend(all.iter().filter(|m| m.has_expired(today)).map(expired));
        if let Some(picture) = seen.picture {
            let gone = all.iter().filter_map(|m| vanished(m, picture));
            found.extend(gone.filter(|f| !told.iter().any(|t| says_the_same(t, f))));
        }
    }
    store.record_findings(org, "mapping-review", clock.now(), clock.today(), &found).await?;
    Ok(())
}

/// Tells of lines that bill on after mappings changed, also where no open task makes anybody look.
///
/// # Errors
/// The store's.
pub(crate) async fn tell_orphans(site: Site<'_>) -> Result<(), Failure> {
    let mut sold = BTreeMap::new();
    for row in site.store.list_records(site.org, None, RecordKind::Subscription).await? {
        if let Record::Subscription(subscription) = row.record {
            sold.insert((row.source, subscription.id.clone()), subscription);
        }
    }
    let mappings = Mappings::on(site.store.list_mappings(site.org).await?, site.clock.today());
    let links = site.store.list_links(site.org).await?;
    let lines = links
        .iter()
        .filter_map(|link| Some((sold.get(&(link.source.clone(), link.subscription.clone()))?, link)));
    record_orphans(site.store, site.clock, site.org, &mappings, lines.collect::<Vec<_>>()).await
}

/// Lines of ours that bill on although what they stand on was released, or is not to be billed: changes at the source do
/// not reach them.
///
/// # Errors
/// The store's.
pub(crate) async fn record_orphans<'a>(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    mappings: &Mappings,
    lines: impl IntoIterator<Item = (&'a Subscription, &'a AdditionLink)>,
) -> Result<(), Failure> {
    let today = clock.today();
    let found: Vec<Finding> =
        lines.into_iter().filter_map(|(sold, line)| orphan(mappings, sold, line, today)).collect();
    store.record_findings(org, "mapping-lines", clock.now(), today, &found).await?;
    Ok(())
}

fn orphan(mappings: &Mappings, sold: &Subscription, line: &AdditionLink, today: Date) -> Option<Finding> {
    let bills = line.role == Role::Recurring
        && !line.deleted
        && line.written.cancelled.is_none_or(|last| last >= today);
    if !bills {
        return None;
    }
    let customer = &sold.customer;
    let of_customer = mappings.find(MappingKind::Customer, &line.source, customer.as_str(), "");
    let of_product =
        mappings.product_mapping(&line.source, &line.product, customer, Some(sold.billing_cycle));
    let named =
        [(of_customer, format!("customer {customer}")), (of_product, format!("product {}", line.product))];
    let (why, fix) = named.into_iter().find_map(|(mapping, what)| stands_on_nothing(mapping, &what))?;
    let subject = Subject {
        source: Some(line.source.clone()),
        customer: Some(customer.clone()),
        subscription: Some(line.subscription.clone()),
        product: Some(line.product.clone()),
        addition: Some(line.addition),
        detail: Some("its mapping".into()),
        ..Subject::default()
    };
    let message = format!(
        "Addition {} on agreement {} bills {} of {} on, and {why}",
        line.addition,
        line.agreement,
        line.written.quantity.display(),
        line.product
    );
    let finding = Finding::new(Code::Tu8006, subject, message).fix(fix);
    Some(match line.written.unit_price.extended(line.written.quantity, sold.currency) {
        Ok(amount) => finding.amount(amount, sold.currency),
        Err(_) => finding,
    })
}

/// Why a mapping lets a line bill that nobody asks for any more, and what to do.
fn stands_on_nothing(mapping: Option<&Mapping>, what: &str) -> Option<(String, &'static str)> {
    let Some(mapping) = mapping else {
        return Some((
            format!("{what} has no mapping any more: changes at the source do not reach it."),
            "Map it again, or end the addition in ConnectWise where it is not to be billed any more.",
        ));
    };
    let reason = mapping.not_billed()?;
    let until = mapping.until().map(|last| format!(" until {last}")).unwrap_or_default();
    Some((
        format!(
            "{what} is not to be billed{until} ({reason}): that stops new lines alone, and changes at the source do not \
             reach this one."
        ),
        "End the addition in ConnectWise where it is not to be billed, and credit what it billed; else save the mapping \
         without `do_not_bill`.",
    ))
}

/// What a look at the mappings goes by.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    /// The rules that are broken.
    pub broken: &'a Broken,
    /// What was last read of ConnectWise.
    pub picture: Option<&'a Snapshot>,
}

fn says_the_same(of_task: &Finding, of_mapping: &Finding) -> bool {
    let (a, b) = (&of_task.subject, &of_mapping.subject);
    of_task.code == of_mapping.code
        && a.source == b.source
        && match of_mapping.code {
            Code::Tu2002 => a.customer == b.customer,
            Code::Tu2004 => a.product == b.product,
            Code::Tu2007 => a.detail == b.detail,
            _ => a.agreement == b.agreement, // open set: the others are about agreements
        }
}

/// What is to be said of a "do not bill" that is over: with something to bill it as it is billed again, without it
/// waits for a mapping.
fn expired(mapping: &Mapping) -> Finding {
    let subject = match mapping.kind {
        MappingKind::Customer => of_customer(mapping),
        MappingKind::Product | MappingKind::Agreement | MappingKind::Fee | MappingKind::Addition => {
            of_product(mapping)
        }
    };
    let until = mapping.until().map(|d| d.to_string()).unwrap_or_default();
    let what = format!("{} {}", mapping.kind.name(), mapping.source_id);
    let why = mapping.not_billed().unwrap_or_default();
    if mapping.psa_id.is_some() {
        let message = format!(
            "\"Do not bill\" of {what} ({why}) ended on {until}: it is billed again for the days after. What orders that \
             were carried out meanwhile left out is not made up for by itself."
        );
        return Finding::new(Code::Tu8006, subject, message).fix(
            "Reconcile the customer where lines are missing, then save the mapping without `do_not_bill`.",
        );
    }
    let code = if mapping.kind == MappingKind::Customer { Code::Tu2001 } else { Code::Tu2003 };
    let message = format!(
        "\"Do not bill\" of {what} ({why}) ended on {until}, and nothing says what it is billed as. Its tasks are judged \
         as if it had never been said; days up to then stay unbilled once it is mapped."
    );
    Finding::new(code, subject, message).fix("Map it, say \"do not bill\" anew, or release this mapping.")
}

fn of_customer(mapping: &Mapping) -> Subject {
    Subject {
        source: Some(mapping.source.clone()),
        customer: Some(CustomerId::from(mapping.source_id.clone())),
        detail: Some("its mapping".into()),
        ..Subject::default()
    }
}

fn of_product(mapping: &Mapping) -> Subject {
    let scope = if mapping.scope.is_empty() { String::new() } else { format!(" ({})", mapping.scope) };
    Subject {
        source: Some(mapping.source.clone()),
        product: Some(ProductId::from(mapping.source_id.clone())),
        detail: Some(format!("its mapping{scope}")),
        ..Subject::default()
    }
}

/// What is wrong with the side of a mapping that is in ConnectWise.
fn vanished(mapping: &Mapping, picture: &Snapshot) -> Option<Finding> {
    let id = mapping.psa_id?;
    let what = format!("{} {}", mapping.kind.name(), mapping.source_id);
    match mapping.kind {
        MappingKind::Customer => {
            let why = match picture.companies.get(&CompanyId(id)).map(|c| c.state) {
                Some(CompanyState::Active) => return None,
                Some(CompanyState::Inactive) => "is inactive",
                Some(CompanyState::Deleted) => "is in the recycle bin",
                None => "was not there any more when ConnectWise was last read",
            };
            let message = format!("The {what} is mapped to company {id}, which {why}; its tasks wait.");
            Some(Finding::new(Code::Tu2002, of_customer(mapping), message))
        }
        MappingKind::Product | MappingKind::Fee => {
            let why = match picture.catalog.get(&CatalogItemId(id)) {
                Some(item) if item.inactive => "is inactive",
                Some(item) if item.bundle => "is a bundle, which cannot be an addition",
                Some(_) => return None,
                None => "was not there any more when ConnectWise was last read",
            };
            let message = format!("The {what} is mapped to catalog item {id}, which {why}; its tasks wait.");
            Some(Finding::new(Code::Tu2004, of_product(mapping), message))
        }
        MappingKind::Agreement => {
            let named = [Some(AgreementId(id)), Mappings::proration_agreement_of(mapping)];
            let (agreement, why) = named.into_iter().flatten().find_map(|agreement| {
                let why = match picture.agreements.get(&agreement).map(|a| a.status) {
                    Some(AgreementStatus::Cancelled) => "is cancelled",
                    None => "was not there any more when ConnectWise was last read",
                    Some(AgreementStatus::Active | AgreementStatus::Expired | AgreementStatus::Inactive) => {
                        return None;
                    }
                };
                Some((agreement, why))
            })?;
            let subject = Subject {
                source: Some(mapping.source.clone()),
                agreement: Some(agreement),
                detail: Some(format!("its mapping to {}", mapping.source_id)),
                ..Subject::default()
            };
            let message = format!(
                "Agreement {agreement}, chosen for {}, {why}: what is ordered waits until another one is chosen.",
                mapping.source_id
            );
            Some(Finding::new(Code::Tu3003, subject, message))
        }
        // An addition that is gone is told by the comparison with what was written.
        MappingKind::Addition => None,
    }
}
