//! What an operation leaves behind: its journal row, the link to its addition, and the audit.

use super::core::{Core, Entry, State};
use crate::ports::OperationOutcome;
use crate::records::{Millis, NewAuditEntry, OperationRow};
use serde_json::json;
use std::collections::BTreeMap;
use trueup_domain::ids::{AdditionId, PlanId};
use trueup_domain::plan::{
    Action, AdditionLink, Adoption, Change, DraftPlan, End, OperationKey, Prorated, Target,
};
use trueup_domain::psa::AdditionState;

/// What rows and entries of one run have in common.
pub(super) struct Recorder<'a> {
    pub(super) plan: &'a DraftPlan,
    pub(super) plan_id: &'a PlanId,
    pub(super) actor: &'a str,
    /// The links as they were when the run began.
    pub(super) links: &'a BTreeMap<AdditionId, AdditionLink>,
    /// The links as steps of this run left them, by the number of the step: several may work on one addition.
    pub(super) left: BTreeMap<AdditionId, BTreeMap<usize, AdditionLink>>,
}

impl Recorder<'_> {
    /// The journal row of a step.
    pub(super) fn row(&self, change: &Change, entry: &Entry, key: &str, now: Millis) -> OperationRow {
        OperationRow {
            plan: self.plan_id.clone(),
            change: change.id.clone(),
            key: key.to_owned(),
            agreement: change.agreement,
            state: entry.state,
            addition: entry.addition,
            fencing: 0,
            attempts: entry.attempts,
            sent_at: entry.sent_at,
            absent_at: entry.absent_at,
            calls: entry.calls,
            error: entry.error.as_deref().cloned(),
            updated_at: now,
        }
    }

    /// The outcome of a step, to be saved whole.
    pub(super) fn outcome(
        &mut self,
        core: &Core<'_>,
        number: usize,
        change: &Change,
        key: &str,
        now: Millis,
    ) -> Option<OperationOutcome> {
        let entry = core.entries().get(number)?;
        let operation = self.row(change, entry, key, now);
        let after = core.returned(number).or(change.action.after());
        let link = (entry.state == State::Done)
            .then(|| self.link(number, change, entry.addition.or(core.addition_of(number))?, after))
            .flatten();
        if let Some(link) = &link {
            self.left.entry(link.addition).or_default().insert(number, link.clone());
        }
        // What was taken over comes first in the audit, in the same transaction as what was written to it.
        let taken = link
            .as_ref()
            .filter(|link| done_on(core, link.addition).all(|n| n == number))
            .and_then(|link| self.takeover(link.addition, now));
        let audit = taken.map(|(_, entry)| entry).into_iter();
        let audit = audit.chain(self.audit(core, number, change, entry, now)).collect();
        Some(OperationOutcome { operation, link, audit })
    }

    fn link(
        &self,
        number: usize,
        change: &Change,
        addition: AdditionId,
        after: Option<&AdditionState>,
    ) -> Option<AdditionLink> {
        let sight = self.plan.sights.get(&change.agreement);
        let next_invoice = sight.and_then(|s| s.next_invoice);
        let prorates = sight.map(|s| s.prorates);
        let fresh = |of: &Change, written: &AdditionState, key: Option<OperationKey>| AdditionLink {
            addition,
            agreement: of.agreement,
            source: of.source.clone(),
            subscription: of.subscription.clone(),
            product: of.product.clone(),
            role: of.role,
            order: of.order.clone(),
            // Of a line that was there before, trueup gave no day yet.
            prorated: Prorated::of(prorates.filter(|_| key.is_some())),
            key,
            true_period: of.true_period,
            edits: Vec::new(),
            ends: End::of_new(of),
            written: written.clone(),
            next_invoice_at_write: next_invoice,
            deleted: false,
        };
        // A line that this very plan made has no link in what was read when the run began.
        let known = || {
            let earlier =
                || self.left.get(&addition)?.range(..number).next_back().map(|(_, link)| link.clone());
            let taken_over = || self.adoption_of(addition).map(|adoption| self.link_of(adoption));
            earlier().or_else(taken_over).or_else(|| self.links.get(&addition).cloned()).or_else(|| {
                let maker = self.maker_of(change)?;
                Some(fresh(maker, maker.action.after()?, Some(maker.key.clone())))
            })
        };
        match &change.action {
            Action::Create { wanted } => {
                Some(fresh(change, after.unwrap_or(wanted), Some(change.key.clone())))
            }
            Action::Update { before, wanted, .. } | Action::Cancel { before, wanted, .. } => {
                let written = after.unwrap_or(wanted);
                let link = match known() {
                    Some(link) => link.edited(change, written.clone()),
                    // Taken as the subscription's line by being the only one that fits.
                    None => {
                        let taken = AdditionLink { true_period: None, ..fresh(change, written, None) };
                        taken.edited(change, written.clone())
                    }
                };
                Some(link.dated(before, prorates))
            }
            Action::Delete { before, .. } => {
                let link = known().unwrap_or_else(|| fresh(change, before, None));
                Some(link.removed(change))
            }
            Action::Keep { .. } => None,
        }
    }

    /// The change of the same plan that makes the line which this one works on.
    fn maker_of(&self, change: &Change) -> Option<&Change> {
        match &change.action {
            Action::Update { target: Target::CreatedBy(id), .. }
            | Action::Cancel { target: Target::CreatedBy(id), .. }
            | Action::Delete { target: Target::CreatedBy(id), .. } => {
                self.plan.changes.iter().find(|c| &c.id == id).map(AsRef::as_ref)
            }
            Action::Create { .. }
            | Action::Update { .. }
            | Action::Cancel { .. }
            | Action::Delete { .. }
            | Action::Keep { .. } => None,
        }
    }

    /// One entry for each call that was or may have been carried out; steps that were never sent leave none.
    fn audit(
        &self,
        core: &Core<'_>,
        number: usize,
        change: &Change,
        entry: &Entry,
        now: Millis,
    ) -> Option<NewAuditEntry> {
        let outcome = match entry.state {
            State::Done => "done",
            State::Refused => "refused",
            State::InDoubt => "in_doubt",
            State::Intent | State::Sending | State::Skipped => return None,
        };
        let op = change.action.op();
        let addition = entry.addition.or(core.addition_of(number));
        let after = if entry.state == State::Done {
            core.returned(number).or(change.action.after())
        } else {
            change.action.after()
        };
        let detail = json!({
            "outcome": outcome,
            "op": op,
            "plan_id": self.plan_id,
            "change_id": change.id,
            "key": change.key,
            "task_id": change.task,
            "order_id": change.order,
            "line": change.line,
            "source": change.source,
            "subscription_id": change.subscription,
            "customer_id": change.customer,
            "product_id": change.product,
            "role": change.role,
            "company_id": change.company,
            "agreement_id": change.agreement,
            "addition_id": addition,
            "catalog_item_id": change.catalog_item,
            "currency": change.currency,
            "amount": change.amount,
            "cost": change.cost,
            "true_period": change.true_period,
            "before": change.action.before(),
            "wanted": change.action.after(),
            "after": after,
            "reason": change.reason,
            "formula": change.formula,
            "attempts": entry.attempts,
            "found_by": if core.looked_up(number) { "look_up" } else { "answer" },
            "error": entry.error,
        });
        Some(NewAuditEntry {
            at: now,
            actor: self.actor.to_owned(),
            action: match entry.state {
                State::Done => format!("addition.{op}"),
                State::Refused | State::InDoubt | State::Intent | State::Sending | State::Skipped => {
                    format!("addition.{op}.{outcome}")
                }
            },
            object: addition
                .map_or_else(|| format!("agreement/{}", change.agreement), |id| format!("addition/{id}")),
            addition,
            detail: detail.to_string(),
        })
    }

    fn adoption_of(&self, addition: AdditionId) -> Option<&Adoption> {
        self.plan.adoptions.iter().find(|a| a.addition == addition)
    }

    /// What is remembered of an adopted addition: the link it has, with the values of now, or a new one.
    fn link_of(&self, adoption: &Adoption) -> AdditionLink {
        let replayed = adoption.replayed.as_ref();
        if let Some(known) = self.known(adoption) {
            if let Some(by) = replayed {
                return known.clone().replayed(by, adoption.state.clone());
            }
            let true_period = if known.order.is_none() { adoption.true_period() } else { known.true_period };
            return AdditionLink { written: adoption.state.clone(), true_period, ..known.clone() };
        }
        AdditionLink {
            addition: adoption.addition,
            agreement: adoption.agreement,
            source: adoption.source.clone(),
            subscription: adoption.subscription.clone(),
            product: adoption.product.clone(),
            role: adoption.role,
            order: replayed.and_then(|by| by.order.clone()),
            key: replayed.and_then(|by| by.key.clone()),
            true_period: adoption.true_period(),
            edits: Vec::new(),
            ends: Vec::new(),
            written: adoption.state.clone(),
            next_invoice_at_write: self.plan.sights.get(&adoption.agreement).and_then(|s| s.next_invoice),
            prorated: Prorated::default(),
            deleted: false,
        }
    }

    /// The link that the subscription itself has to the addition already.
    fn known(&self, adoption: &Adoption) -> Option<&AdditionLink> {
        let of_subscription = |l: &&AdditionLink| {
            !l.deleted && l.source == adoption.source && l.subscription == adoption.subscription
        };
        self.links.get(&adoption.addition).filter(of_subscription)
    }

    /// The links and the audit of what the plan takes over and no step of it wrote to.
    pub(super) fn takeovers(&self, core: &Core<'_>, now: Millis) -> (Vec<AdditionLink>, Vec<NewAuditEntry>) {
        let untouched = self.plan.adoptions.iter().filter(|a| done_on(core, a.addition).next().is_none());
        untouched.filter_map(|a| self.takeover(a.addition, now)).unzip()
    }

    /// The link and the audit of an addition that is taken over with the values it has; none where it was before.
    fn takeover(&self, addition: AdditionId, now: Millis) -> Option<(AdditionLink, NewAuditEntry)> {
        let adoption = self.adoption_of(addition)?;
        let known = self.known(adoption).map(|link| &link.written);
        if known == Some(&adoption.state) {
            return None;
        }
        let detail = json!({
            "outcome": "done",
            "op": "adopt",
            "plan_id": self.plan_id,
            "task_id": adoption.task,
            "source": adoption.source,
            "subscription_id": adoption.subscription,
            "product_id": adoption.product,
            "agreement_id": adoption.agreement,
            "addition_id": adoption.addition,
            "before": known.unwrap_or(&adoption.state),
            "after": adoption.state,
            "reason": match known {
                _ if adoption.replayed.is_some() => "an order left it so in a run that the journal does not know of: the \
                    journal was lost, or put back from before; nothing was written to ConnectWise",
                Some(_) => "a person changed it, and the mapping of the addition takes it over with the values it has",
                None => "taken over as it is: nothing was written to ConnectWise",
            },
        });
        let entry = NewAuditEntry {
            at: now,
            actor: self.actor.to_owned(),
            action: "addition.adopt".to_owned(),
            object: format!("addition/{addition}"),
            addition: Some(addition),
            detail: detail.to_string(),
        };
        Some((self.link_of(adoption), entry))
    }
}

/// The steps that are done and worked on the addition.
fn done_on<'a>(core: &'a Core<'_>, addition: AdditionId) -> impl Iterator<Item = usize> + 'a {
    core.entries().iter().enumerate().filter_map(move |(number, entry)| {
        let of_step = entry.addition.or_else(|| core.addition_of(number));
        (entry.state == State::Done && of_step == Some(addition)).then_some(number)
    })
}
