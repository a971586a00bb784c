//! Agreements of a plan whose lines are dated for another way of billing: a person switched whether they prorate.

use std::collections::{BTreeMap, HashMap};
use trueup_domain::desired::{Looked, misdated};
use trueup_domain::finding::{Code, Finding};
use trueup_domain::ids::{AdditionId, AgreementId};
use trueup_domain::plan::AdditionLink;
use trueup_domain::psa::Snapshot;

/// What is to be told of the agreements that were read.
pub(super) fn told(snapshot: &Snapshot, links: &[AdditionLink]) -> Vec<Finding> {
    let mut by_agreement: BTreeMap<AgreementId, Vec<&AdditionLink>> = BTreeMap::new();
    for link in links.iter().filter(|link| snapshot.additions.contains_key(&link.agreement)) {
        let prorates = snapshot.agreements.get(&link.agreement).map(|agreement| agreement.prorates);
        if prorates.is_some_and(|now| link.prorated.differs_from(now)) {
            by_agreement.entry(link.agreement).or_default().push(link);
        }
    }
    let of_agreement = |(id, links): (AgreementId, Vec<&AdditionLink>)| {
        let list = snapshot.additions_of(id).iter();
        let there: HashMap<AdditionId, _> = list.map(|addition| (addition.id, addition)).collect();
        let lines = links.iter().filter_map(|link| Some((*link, *there.get(&link.addition)?)));
        misdated(snapshot, snapshot.agreements.get(&id)?, lines, Looked::Ahead)
    };
    by_agreement.into_iter().filter_map(of_agreement).collect()
}

/// Whether a finding is kept by the look at the agreements, which every pull and check takes, and not by the plan.
pub(super) fn is_of_agreements(finding: &Finding) -> bool {
    finding.code == Code::Tu3006 && finding.subject.task.is_none()
}
