//! Questions about what waits for people.

use super::is_plan_of_quantities;
use super::run::{RunReport, Site};
use crate::applying::RunError;
use crate::approvals;
use crate::records::{ApprovalState, PlanState, StoredPlan};
use std::collections::BTreeSet;
use trueup_domain::finding::Finding;
use trueup_domain::ids::{AgreementId, CustomerId, SourceId};
use trueup_domain::plan::DraftPlan;
use trueup_domain::quantity::counted_customer;

/// A plan that waits, and why.
pub(super) struct Asked {
    pub stored: StoredPlan,
    pub holds: Vec<Finding>,
}

impl Asked {
    pub(super) fn holds_lines_of(&self, key: &(SourceId, CustomerId)) -> bool {
        let plan = self.stored.body.plan();
        !self.holds.is_empty()
            && plan.changes.iter().any(|change| change.source == key.0 && change.customer == key.1)
    }
}

impl Site<'_> {
    /// Asks people about what waits. A question that is asked already, with a plan that can still be carried out, is not
    /// asked anew.
    pub(super) async fn ask(
        &self,
        waiting: Vec<Asked>,
        report: &mut RunReport,
    ) -> Result<BTreeSet<String>, RunError> {
        let (store, org) = (self.store, self.request.org);
        let policy = &self.request.settings.approval;
        let mut current = BTreeSet::new();
        for Asked { stored, holds } in waiting {
            let id = approvals::id_of(&stored);
            let known = store.find_approval(org, &id).await?.filter(|row| row.state == ApprovalState::Open);
            if let Some(row) = known
                && let Some(own) = store.find_plan(org, &row.plan).await?
                && own.state == PlanState::Proposed
            {
                current.insert(id);
                report.findings.extend(holds);
                report.waiting.push(own);
                continue;
            }
            store.save_plan(org, &stored).await?;
            if holds.is_empty() {
                if let Some(finding) = approvals::gate(store, self.clock, org, &stored, policy).await? {
                    report.findings.push(finding);
                }
            } else {
                approvals::ask_for_brakes(store, self.clock, org, &stored, &holds, policy).await?;
                report.findings.extend(holds);
            }
            current.insert(id);
            report.waiting.push(stored);
        }
        Ok(current)
    }

    /// Takes back the questions about quantities that would not be written any more; not those about lines that this run did not
    /// look at, since their customers were left out or their agreements are not due.
    pub(super) async fn withdraw_others(
        &self,
        current: &BTreeSet<String>,
        not_due: &BTreeSet<AgreementId>,
    ) -> Result<(), RunError> {
        let (store, org) = (self.store, self.request.org);
        let only = self.gathered.only.as_ref();
        let is_looked_at = |source: &SourceId, customer: &CustomerId, agreement: AgreementId| {
            only.is_none_or(|only| only.contains(&(source.clone(), customer.clone())))
                && !not_due.contains(&agreement)
        };
        let looked_at = |plan: &DraftPlan| {
            let mut changes = plan.changes.iter();
            let mut taken = plan.adoptions.iter();
            changes.all(|change| is_looked_at(&change.source, &change.customer, change.agreement))
                && taken.all(|taken| {
                    let customer = counted_customer(&taken.subscription);
                    customer.is_none_or(|customer| is_looked_at(&taken.source, &customer, taken.agreement))
                })
        };
        for row in store.list_approvals(org, true, None, 10_000).await? {
            if current.contains(&row.id) || row.connection != self.request.connection {
                continue;
            }
            let Some(stored) = store.find_plan(org, &row.plan).await? else { continue };
            if is_plan_of_quantities(&stored) && looked_at(stored.body.plan()) {
                approvals::withdraw(store, self.clock, org, &row.id).await?;
            }
        }
        Ok(())
    }
}

/// Whether people said yes to a plan already.
pub(super) async fn approvals_given(site: &Site<'_>, stored: &StoredPlan) -> Result<bool, RunError> {
    let policy = &site.request.settings.approval;
    Ok(approvals::is_approved(site.store, site.clock, site.request.org, stored, policy).await?)
}
