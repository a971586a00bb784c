//! Choosing the agreement of a subscription: company, cycle, currency, dates; the one that fits, or the reasons why not.

use super::context::{Stop, Wanted};
use crate::finding::{Code, Finding, Subject};
use crate::ids::{AdditionId, AgreementId};
use crate::mapping::{MappingOrigin, Mappings};
use crate::money::Currency;
use crate::period::{BillingCycle, Period};
use crate::plan::TaskOutcome;
use crate::psa::{Agreement, AgreementStatus};
use std::collections::BTreeSet;

/// How the agreement was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// A person chose it: lines that are elsewhere are brought to it.
    Chosen,
    /// The subscription's lines are on it, or trueup chose it before.
    Remembered,
    /// Nothing else fits.
    Only,
}

/// One thing that keeps an agreement from being used.
struct Misfit {
    code: Code,
    why: String,
    /// Whether a choice that trueup made itself gives way to it: the subscription has outgrown the agreement. An
    /// agreement that ended took its lines along, so a person has to say where their days are billed; and what may be
    /// put right in ConnectWise does not move a subscription to another agreement.
    outgrown: bool,
}

impl Misfit {
    fn outgrown(code: Code, why: String) -> Self {
        Self { code, why, outgrown: true }
    }

    fn standing(code: Code, why: String) -> Self {
        Self { code, why, outgrown: false }
    }
}

/// The agreement of the subscription.
pub fn choose<'a>(wanted: &Wanted<'a>) -> Result<(&'a Agreement, Choice), Stop> {
    let world = wanted.world;
    let linked = linked_agreement(wanted);
    let named = named_agreement(wanted);
    let held = linked.or(named.map(|(agreement, _)| agreement));
    let mapping = world.mappings.agreement_mapping(wanted.source, wanted.subscription_id, wanted.customer_id);
    let automatic = mapping.is_some_and(|m| m.origin == MappingOrigin::Automatic);
    // What trueup chose itself counts as long as lines that it wrote for that are there.
    let chosen = mapping.and_then(Mappings::agreement_of).filter(|id| !automatic || bills_on(wanted, *id));
    if let Some(id) = chosen {
        let Some(agreement) = world.snapshot.agreements.get(&id) else {
            let message = format!(
                "Agreement {id}, {} this subscription, is not there any more, is of another company than its customer's, or a \
                 list of the API member's role (Finance > Agreements > Customize) hides it.",
                if automatic { "which bills lines of" } else { "chosen for" }
            );
            let stop = wanted.stop(Code::Tu3003, message, TaskOutcome::Failed);
            let subscription = wanted.subscription_id;
            let fix = format!(
                "Choose another one by a mapping `agreement,{subscription},ID`, or forget this one with `trueup mapping \
                 release agreement {subscription}`; where the customer's company is wrong, put that right."
            );
            return Err(stop.fixed(&fix));
        };
        let misfits = misfits(wanted, agreement);
        if misfits.is_empty() {
            // Lines of ours on another agreement are brought to the one that a person chose (D124).
            let linked = linked.filter(|_| automatic).map(|other| (other, None));
            let named = named.map(|(other, addition)| (other, Some(addition)));
            let elsewhere = named.into_iter().chain(linked).find(|(other, _)| {
                other.id != id && other.company == agreement.company && bills_beside(wanted, other)
            });
            if let Some((other, addition)) = elsewhere {
                return Err(spans_two(wanted, id, other, addition));
            }
            return Ok((agreement, if automatic { Choice::Remembered } else { Choice::Chosen }));
        }
        // A person's choice never gives way.
        if !(automatic && misfits.iter().all(|m| m.outgrown)) {
            let other = only_fit(wanted).ok().filter(|_| automatic).map(|(other, _)| {
                format!(
                    "Agreement {} ({}) of the company fits: choose it for the subscription, then reconcile the \
                     customer for the days since.",
                    other.id, other.name
                )
            });
            let findings = misfits
                .into_iter()
                .map(|m| {
                    let subject = Subject { agreement: Some(id), ..wanted.subject() };
                    let message = format!("Agreement {id} ({}) {}.", agreement.name, m.why);
                    let finding = Finding::new(m.code, subject, message);
                    match &other {
                        Some(fix) => finding.fix(fix),
                        None => finding,
                    }
                })
                .collect();
            return Err(Stop { findings, outcome: TaskOutcome::Failed });
        }
    }
    if let Some(agreement) = held.filter(|a| misfits(wanted, a).is_empty()) {
        let other = named.filter(|(other, _)| other.id != agreement.id && bills_beside(wanted, other));
        if let Some((other, addition)) = other {
            return Err(spans_two(wanted, agreement.id, other, Some(addition)));
        }
        return Ok((agreement, Choice::Remembered));
    }
    only_fit(wanted)
}

/// Whether lines of the subscription are or were billed on an agreement: what was taken back left none.
fn bills_on(wanted: &Wanted<'_>, agreement: AgreementId) -> bool {
    let links = wanted.index.links_of(wanted.subscription);
    links.iter().any(|link| link.agreement == agreement && !link.deleted && !link.is_settled())
}

/// Whether lines on an agreement bill the subscription as lines on the chosen one would.
fn bills_beside(wanted: &Wanted<'_>, other: &Agreement) -> bool {
    let same_cycle = other.billing_cycle.is_some_and(|cycle| cycle.same_length(wanted.cycle));
    let over = matches!(other.status, AgreementStatus::Cancelled | AgreementStatus::Expired);
    same_cycle && !over && misfits_of_dates(wanted, other).is_empty()
}

/// The agreement that holds open lines of the subscription, the newest line first.
fn linked_agreement<'a>(wanted: &Wanted<'a>) -> Option<&'a Agreement> {
    let world = wanted.world;
    let newest = wanted.index.newest_home_of(wanted.subscription);
    newest.and_then(|home| world.snapshot.agreements.get(&home)).filter(|a| a.company == wanted.company)
}

/// The agreement of an addition that a mapping names as a line of the subscription and that is not taken over yet. What
/// was taken over shows in its links.
fn named_agreement<'a>(wanted: &Wanted<'a>) -> Option<(&'a Agreement, AdditionId)> {
    let Wanted { world, index, .. } = *wanted;
    let known = index.links_of(wanted.subscription);
    index.named_additions(world, wanted.task, wanted.order, wanted.subscription).find_map(|id| {
        let home = index.register.home_of(id).filter(|_| known.iter().all(|link| link.addition != id))?;
        let agreement = world.snapshot.agreements.get(&home).filter(|a| a.company == wanted.company)?;
        Some((agreement, id))
    })
}

/// TU3005: what was chosen, and where the subscription is billed, by its lines or by one that a mapping names.
fn spans_two(wanted: &Wanted<'_>, chosen: AgreementId, other: &Agreement, named: Option<AdditionId>) -> Stop {
    let what = match named {
        Some(addition) => {
            format!("addition {addition}, which a mapping names as its line, is on agreement {}", other.id)
        }
        None => format!("lines of this subscription are open on agreement {}", other.id),
    };
    let message =
        format!("Agreement {chosen} is chosen, but {what}: one subscription is billed on one agreement.");
    let stop = wanted.stop(Code::Tu3005, message, TaskOutcome::Failed);
    let subscription = wanted.subscription_id;
    let fix = match named {
        Some(_) => format!(
            "Choose agreement {} for the subscription (`agreement,{subscription},{}`), or name an addition on agreement \
             {chosen}.",
            other.id, other.id
        ),
        None => format!(
            "Import a mapping that names the one to bill on: with `agreement,{subscription},{chosen}` the next order (or \
             `trueup plan --reconcile`) brings the lines there, with `agreement,{subscription},{}` they stay.",
            other.id
        ),
    };
    stop.fixed(&fix)
}

/// Whether the subscription could be billed on an agreement, as far as cycle, currency and state say: lines on others
/// are not its own.
pub fn could_bill(agreement: &Agreement, cycle: BillingCycle, currency: Currency) -> bool {
    let over = matches!(agreement.status, AgreementStatus::Cancelled | AgreementStatus::Expired);
    let same_cycle = agreement.billing_cycle.is_some_and(|own| own.same_length(cycle));
    !over && same_cycle && agreement.currency == Some(currency)
}

fn only_fit<'a>(wanted: &Wanted<'a>) -> Result<(&'a Agreement, Choice), Stop> {
    let mut fitting = Vec::new();
    let mut reasons = Vec::new();
    let mut codes: Vec<BTreeSet<Code>> = Vec::new();
    for agreement in wanted.index.agreements_of(wanted.company) {
        let misfits = misfits(wanted, agreement);
        if misfits.is_empty() {
            fitting.push(agreement);
        } else {
            let why: Vec<String> = misfits.iter().map(|m| m.why.clone()).collect();
            reasons.push(format!("agreement {} ({}) {}", agreement.id, agreement.name, why.join(" and ")));
            codes.push(misfits.into_iter().map(|m| m.code).collect());
        }
    }
    match fitting.as_slice() {
        [one] => Ok((one, Choice::Only)),
        [] => {
            let said = if reasons.is_empty() {
                "The company has no agreement that trueup can see: where it has one, a list of the API member's role \
                 (Finance > Agreements > Customize) hides it."
                    .to_owned()
            } else {
                format!("No agreement of the company fits: {}.", reasons.join("; "))
            };
            // Where all of them fail for the same single reason, that reason is the finding: it names the fix.
            let same =
                codes.first().filter(|first| first.len() == 1 && codes.iter().all(|other| other == *first));
            let code = same.and_then(BTreeSet::first).copied().unwrap_or(Code::Tu3001);
            let findings = vec![Finding::new(code, wanted.subject(), said)];
            Err(Stop { findings, outcome: TaskOutcome::NeedsMapping })
        }
        several => {
            let names: Vec<String> = several.iter().map(|a| format!("{} ({})", a.id, a.name)).collect();
            let message = format!("{} agreements of the company fit: {}.", several.len(), names.join(", "));
            Err(wanted.stop(Code::Tu3002, message, TaskOutcome::NeedsMapping))
        }
    }
}

fn misfits(wanted: &Wanted<'_>, agreement: &Agreement) -> Vec<Misfit> {
    let mut found = Vec::new();
    if agreement.company != wanted.company {
        found.push(Misfit::outgrown(Code::Tu3003, format!("belongs to company {}", agreement.company)));
    }
    match agreement.status {
        AgreementStatus::Cancelled => found.push(Misfit::standing(Code::Tu3003, "is cancelled".into())),
        AgreementStatus::Expired => found.push(Misfit::standing(Code::Tu3003, "has expired".into())),
        // An agreement that starts in the future is inactive in ConnectWise's words, and its dates decide.
        AgreementStatus::Inactive if agreement.start.is_none_or(|s| s <= wanted.world.today) => {
            found.push(Misfit::standing(Code::Tu3003, "is inactive".into()));
        }
        AgreementStatus::Inactive | AgreementStatus::Active => {}
    }
    let rules = wanted.world.settings.mapping;
    match agreement.billing_cycle {
        Some(cycle) if !rules.allows_cycle(cycle) => found.push(Misfit::standing(
            Code::Tu3004,
            format!(
                "is billed {}, and only monthly and yearly ones are billed on (mapping.cycles)",
                cycle.describe()
            ),
        )),
        Some(cycle) if cycle.same_length(wanted.cycle) => {}
        Some(cycle) => found.push(Misfit::outgrown(
            Code::Tu3004,
            format!("is billed {} and the subscription {}", cycle.describe(), wanted.cycle.describe()),
        )),
        None => found.push(Misfit::outgrown(Code::Tu3004, "has no billing cycle that is known".into())),
    }
    match agreement.currency {
        Some(currency) if currency == wanted.currency => {}
        Some(currency) => found.push(Misfit::standing(
            Code::Tu6001,
            format!("is in {currency} and the order in {}; there is no conversion", wanted.currency),
        )),
        None => found.push(Misfit::standing(Code::Tu6001, "has no currency that is known".into())),
    }
    found.extend(misfits_of_dates(wanted, agreement));
    found
}

fn misfits_of_dates(wanted: &Wanted<'_>, agreement: &Agreement) -> Vec<Misfit> {
    let mut found = Vec::new();
    let days: Period = wanted.days;
    // What begins later begins on an agreement that begins no later.
    let last = wanted.billed_from.map_or(days.last_day(), |first| days.last_day().max(first));
    if let Some(start) = agreement.start.filter(|start| *start > last) {
        found.push(Misfit::standing(Code::Tu4003, format!("starts on {start}, after the days to be billed")));
    }
    // One that is cancelled says so.
    let is_cancelled = agreement.status == AgreementStatus::Cancelled;
    if let Some(end) = agreement.end.filter(|e| *e < days.start() && !is_cancelled) {
        found.push(Misfit::standing(Code::Tu4003, format!("ends on {end}, before the days to be billed")));
    }
    found
}
