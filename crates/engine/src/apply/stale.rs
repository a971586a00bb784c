//! Whether a plan still fits what ConnectWise holds. A plan that does not is refused, never merged.

use super::core::Entry;
use super::layout::{Layout, StepKind};
use super::look::{Listed, resolve};
use crate::records::OperationState;
use std::collections::BTreeMap;
use trueup_domain::finding::{Code, Finding, Subject};
use trueup_domain::ids::{AdditionId, AgreementId};
use trueup_domain::money::Currency;
use trueup_domain::plan::{AgreementSight, AgreementTerms, DraftPlan, Invoicer};
use trueup_domain::psa::{AdditionState, Agreement, ObservedAddition, invoicing_among};

/// What the check of one lane looks at.
pub struct LaneCheck<'a> {
    /// The plan.
    pub plan: &'a DraftPlan,
    /// Its order.
    pub layout: &'a Layout,
    /// The lane.
    pub lane: usize,
    /// What the journal says this plan did already.
    pub entries: &'a [Entry],
    /// What was last written to an addition, as ConnectWise gave it back.
    pub written: &'a dyn Fn(AdditionId) -> Option<&'a AdditionState>,
}

/// Compares the header of an agreement, and of the one that invoices it, with what the plan saw.
pub fn check_header(
    agreement: AgreementId,
    sight: &AgreementSight,
    invoicer: Option<&Invoicer>,
    fresh: &BTreeMap<AgreementId, Agreement>,
) -> Option<Finding> {
    let what = match fresh.get(&agreement) {
        None => "is gone".to_owned(),
        Some(now) if now.status != sight.status => {
            format!("is {:?}, it was {:?}", now.status, sight.status).to_lowercase()
        }
        Some(now) if now.next_invoice != sight.next_invoice => {
            format!("is invoiced next on {}, it was {}", day(now.next_invoice), day(sight.next_invoice))
        }
        Some(now) if now.prorates != sight.prorates => "has its proration switched".to_owned(),
        Some(now) if now.end != sight.end => {
            format!("ends on {}, it was {}", day(now.end), day(sight.end))
        }
        Some(now) => match sight.terms.as_ref().and_then(|terms| billed_otherwise(now, terms)) {
            Some(what) => what,
            None => invoiced_otherwise(now, invoicer, fresh)?,
        },
    };
    Some(finding(agreement, None, format!("agreement {agreement} {what}")))
}

/// What the amounts of a plan were reckoned by: in another currency, on another cycle or for another company they are wrong
/// on every line.
fn billed_otherwise(now: &Agreement, seen: &AgreementTerms) -> Option<String> {
    let fresh = AgreementTerms::of(now, std::iter::empty());
    let currency = |of: Option<Currency>| of.map_or_else(|| "none".to_owned(), |of| of.to_string());
    if fresh.company != seen.company {
        Some(format!("belongs to company {}, it was company {}", fresh.company, seen.company))
    } else if fresh.currency != seen.currency {
        Some(format!("bills in {}, it was {}", currency(fresh.currency), currency(seen.currency)))
    } else if (fresh.billing_cycle, fresh.by_calendar) != (seen.billing_cycle, seen.by_calendar) {
        Some("has another billing cycle".to_owned())
    } else if fresh.bill_start != seen.bill_start {
        Some(format!("bills from {} on, it was {}", day(fresh.bill_start), day(seen.bill_start)))
    } else {
        None
    }
}

/// A child agreement is billed by its parent's invoices: one of those is as good as one of its own.
fn invoiced_otherwise(
    now: &Agreement,
    seen: Option<&Invoicer>,
    fresh: &BTreeMap<AgreementId, Agreement>,
) -> Option<String> {
    let by = invoicing_among(fresh, now);
    match seen {
        None if by.id == now.id => None,
        Some(seen) if seen.agreement == by.id && seen.next_invoice == by.next_invoice => None,
        Some(seen) if seen.agreement == by.id => Some(format!(
            "is invoiced with agreement {}, which is invoiced next on {}, it was {}",
            by.id,
            day(by.next_invoice),
            day(seen.next_invoice)
        )),
        Some(Invoicer { agreement: was, .. }) => {
            Some(format!("is invoiced with agreement {}, it was agreement {was}", by.id))
        }
        None => Some(format!("is invoiced with agreement {}, it was on its own", by.id)),
    }
}

fn day(date: Option<jiff::civil::Date>) -> String {
    date.map_or_else(|| "no day".to_owned(), |d| d.to_string())
}

/// What is told of an agreement that ConnectWise does not have any more.
pub(super) fn is_gone(agreement: AgreementId) -> Finding {
    finding(agreement, None, format!("agreement {agreement} is gone"))
}

fn finding(agreement: AgreementId, addition: Option<AdditionId>, what: String) -> Finding {
    let subject = Subject { agreement: Some(agreement), addition, ..Subject::default() };
    Finding::new(
        Code::Tu7001,
        subject,
        format!("The plan is out of date: {what}. Nothing was written for it."),
    )
}

enum Expected<'a> {
    State(&'a AdditionState),
    Gone,
}

impl LaneCheck<'_> {
    /// Compares the additions of a lane's agreement with what the plan saw and has done to them since. The first
    /// difference is enough.
    pub fn run(&self, list: &Listed<'_>) -> Option<Finding> {
        let lane = self.layout.lanes.get(self.lane)?;
        let sight = self.plan.sights.get(&lane.agreement);
        let seen_by_plan = sight.map(|s| &s.additions);
        if let Some(additions) = seen_by_plan {
            for (id, state) in additions.iter() {
                if let Some(found) = self.differs(lane.agreement, id, Some(state), list) {
                    return Some(found);
                }
            }
        }
        for step in lane.steps.iter().copied() {
            let id = self.target(step)?;
            let known = id.filter(|id| seen_by_plan.is_none_or(|seen| !seen.contains(*id)));
            if let Some(id) = known
                && let Some(found) = self.differs(lane.agreement, id, None, list)
            {
                return Some(found);
            }
        }
        let foreign = list.all().iter().find(|a| self.is_foreign(a, lane.agreement, &lane.items))?;
        Some(finding(
            lane.agreement,
            Some(foreign.id),
            format!(
                "addition {} with catalog item {} came to agreement {} after the plan was made",
                foreign.id, foreign.state.catalog_item, lane.agreement
            ),
        ))
    }

    /// The addition of a step: the one it works on, or the one it made. The outer `None` is a step that is not there.
    #[allow(clippy::option_option)]
    fn target(&self, step: usize) -> Option<Option<AdditionId>> {
        let target = self.layout.steps.get(step)?.target;
        let made = |n: usize| self.entries.get(n).and_then(|e| e.addition);
        Some(resolve(target, made).or_else(|| made(step)))
    }

    fn differs(
        &self,
        agreement: AgreementId,
        id: AdditionId,
        seen: Option<&AdditionState>,
        list: &Listed<'_>,
    ) -> Option<Finding> {
        let now = list.find(id);
        let is_included = |now: &&ObservedAddition| {
            let terms = self.plan.sights.get(&agreement).and_then(|sight| sight.terms.as_ref());
            seen.is_some() && terms.is_some_and(|terms| terms.included_in(id) != now.less_included)
        };
        let otherwise = now.filter(is_included);
        if otherwise.is_none() && self.expects(id, seen, now) {
            return None;
        }
        let what = match now {
            Some(now) if otherwise.is_some() => {
                format!(
                    "of addition {id} of agreement {agreement} {} units are included now",
                    now.less_included.display()
                )
            }
            Some(_) => format!("addition {id} of agreement {agreement} is not what it was"),
            None => format!("addition {id} of agreement {agreement} is gone"),
        };
        Some(finding(agreement, Some(id), what))
    }

    fn expects(&self, id: AdditionId, seen: Option<&AdditionState>, now: Option<&ObservedAddition>) -> bool {
        let fits = |expected: &Expected<'_>| match (expected, now) {
            (Expected::State(state), Some(now)) => super::look::holds(&now.state, state),
            (Expected::Gone, None) => true,
            (Expected::State(_), None) | (Expected::Gone, Some(_)) => false,
        };
        let mut base = seen.map(Expected::State);
        let mut also: Option<Expected<'_>> = None;
        let mut touched = false;
        let steps = self.layout.lanes.get(self.lane).map(|l| l.steps.as_slice()).unwrap_or_default();
        for number in steps.iter().copied() {
            let (Some(step), Some(entry)) = (self.layout.steps.get(number), self.entries.get(number)) else {
                continue;
            };
            if self.target(number).flatten() != Some(id) {
                continue;
            }
            let Some(action) = self.plan.changes.get(step.change).map(|c| &c.action) else { continue };
            if base.is_none()
                && let Some(before) = action.before()
            {
                base = Some(Expected::State(before));
            }
            let after = match step.kind {
                StepKind::Delete => Expected::Gone,
                StepKind::Create | StepKind::Edit => match action.after() {
                    Some(state) => Expected::State(state),
                    None => Expected::Gone,
                },
            };
            match entry.state {
                OperationState::Done => {
                    base = Some(after);
                    also = None;
                    touched = true;
                }
                OperationState::Sending | OperationState::InDoubt => also = Some(after),
                OperationState::Intent | OperationState::Refused | OperationState::Skipped => {}
            }
        }
        // Without anything to compare with, the addition need only be there.
        let Some(base) = base else { return now.is_some() };
        if fits(&base) || also.as_ref().is_some_and(&fits) {
            return true;
        }
        // ConnectWise may keep what was written in another form; what it gave back is as good as what was sent.
        touched
            && now.is_some_and(|now| {
                (self.written)(id).is_some_and(|kept| super::look::holds(&now.state, kept))
            })
    }

    fn is_foreign(
        &self,
        addition: &ObservedAddition,
        agreement: AgreementId,
        items: &[trueup_domain::ids::CatalogItemId],
    ) -> bool {
        if !items.contains(&addition.state.catalog_item) {
            return false;
        }
        let over =
            addition.state.cancelled.is_some_and(|last| self.plan.today.is_none_or(|today| last < today));
        if over {
            return false;
        }
        let seen = self.plan.sights.get(&agreement).is_some_and(|s| s.additions.contains(addition.id));
        if seen {
            return false;
        }
        let steps = self.layout.lanes.get(self.lane).map(|l| l.steps.as_slice()).unwrap_or_default();
        !steps.iter().any(|n| self.target(*n).flatten() == Some(addition.id))
            && !self.could_be_in_doubt(addition, steps)
    }

    /// Whether it may be what an operation in doubt created: on a tenant without keys that is for the look-up to say.
    fn could_be_in_doubt(&self, addition: &ObservedAddition, steps: &[usize]) -> bool {
        steps.iter().any(|n| {
            let (Some(step), Some(entry)) = (self.layout.steps.get(*n), self.entries.get(*n)) else {
                return false;
            };
            let change = self.plan.changes.get(step.change);
            let wanted = change.and_then(|c| c.action.after());
            step.kind == StepKind::Create
                && matches!(entry.state, OperationState::Sending | OperationState::InDoubt)
                && wanted.is_some_and(|w| super::look::natural_match(&addition.state, w))
        })
    }
}
