//! Lines of ours that go on by their dates on an agreement that is over: nothing bills them any more, and no order has
//! ended them.

use crate::failure::Failure;
use crate::ports::Store;
use jiff::civil::Date;
use std::collections::BTreeMap;
use trueup_domain::feed::{BillingModel, Record, RecordKind};
use trueup_domain::finding::{Code, Finding, Subject};
use trueup_domain::ids::{AdditionId, AgreementId, OrganizationId, ProductId, SourceId, SubscriptionId};
use trueup_domain::plan::{AdditionLink, Role};
use trueup_domain::psa::{Agreement, AgreementStatus, Snapshot};

type Sold<'l> = (&'l SourceId, &'l SubscriptionId, &'l ProductId);

/// Lines that bill nothing any more, as they are met in the parts of a picture.
#[derive(Default)]
pub(super) struct Silent<'l> {
    lines: Vec<(&'l AdditionLink, String)>,
}

impl<'l> Silent<'l> {
    /// Looks at the lines of the agreements of a part.
    pub(super) fn note(&mut self, ours: &'l [AdditionLink], part: &Snapshot, today: Date) {
        for link in ours.iter().filter(|l| l.role == Role::Recurring && !l.deleted) {
            let Some(agreement) = part.agreements.get(&link.agreement) else { continue };
            let Some((how, last)) = over(agreement, today) else { continue };
            // What is there says whether it goes on: a person may have ended it as well.
            let there = part.additions_of(link.agreement).iter().find(|a| a.id == link.addition);
            let goes_on = there.is_some_and(|there| {
                there.state.cancelled.is_none_or(|ends| ends >= today && last.is_none_or(|last| ends > last))
            });
            if goes_on {
                self.lines.push((link, how));
            }
        }
    }

    /// What is to be said: of subscriptions that are billed still, and whose line goes on nowhere else.
    pub(super) async fn told(
        self,
        store: &dyn Store,
        org: &OrganizationId,
        links: &[AdditionLink],
    ) -> Result<Vec<Finding>, Failure> {
        if self.lines.is_empty() {
            return Ok(Vec::new());
        }
        let mut newest: BTreeMap<Sold<'_>, Vec<(AdditionId, AgreementId)>> = BTreeMap::new();
        for (link, _) in &self.lines {
            newest.insert((&link.source, &link.subscription, &link.product), Vec::new());
        }
        for link in links.iter().filter(|l| l.role == Role::Recurring) {
            if let Some(known) = newest.get_mut(&(&link.source, &link.subscription, &link.product)) {
                known.push((link.addition, link.agreement));
            }
        }
        let mut findings = Vec::new();
        for (link, how) in self.lines {
            let known = newest.get(&(&link.source, &link.subscription, &link.product));
            let follows =
                |(id, home): &(AdditionId, AgreementId)| *id > link.addition && *home != link.agreement;
            if known.is_some_and(|known| known.iter().any(follows)) {
                continue;
            }
            let id = link.subscription.as_str();
            let row = store.find_record(org, &link.source, RecordKind::Subscription, id).await?;
            let Some(Record::Subscription(sold)) = row.map(|row| row.record) else { continue };
            if !sold.status.bills() || sold.billing_model != BillingModel::Advance {
                continue;
            }
            let amount = link.written.unit_price.extended(link.written.quantity, sold.currency).ok();
            let worth = amount
                .map(|sum| format!(" ({} {} a period)", sum.display(sold.currency), sold.currency))
                .unwrap_or_default();
            let message = format!(
                "Addition {} bills {} of {} for subscription {id}{worth} on agreement {}, which {how}: nothing bills them \
                 any more.",
                link.addition,
                link.written.quantity.display(),
                link.product,
                link.agreement
            );
            let subject = Subject {
                source: Some(link.source.clone()),
                customer: Some(sold.customer.clone()),
                subscription: Some(link.subscription.clone()),
                product: Some(link.product.clone()),
                agreement: Some(link.agreement),
                addition: Some(link.addition),
                detail: Some("its agreement is over".into()),
                ..Subject::default()
            };
            let finding = Finding::new(Code::Tu8006, subject, message).fix(format!(
                "Choose the agreement that follows (`agreement,{id},ID` in a file for `trueup mapping import`): the next \
                 order, or `trueup plan --reconcile START..END --customer {}`, brings the subscription there. Where the \
                 agreement is to go on, open or extend it in ConnectWise.",
                sold.customer
            ));
            findings.push(match amount {
                Some(amount) => finding.amount(amount, sold.currency),
                None => finding,
            });
        }
        Ok(findings)
    }
}

/// How an agreement is over, with its last day where that is known.
fn over(agreement: &Agreement, today: Date) -> Option<(String, Option<Date>)> {
    let passed = agreement.end.filter(|end| *end < today);
    let on = passed.map(|last| format!(" on {last}")).unwrap_or_default();
    match agreement.status {
        AgreementStatus::Cancelled => Some((format!("was cancelled{on}"), passed)),
        AgreementStatus::Expired => Some((format!("ended{on}"), passed)),
        AgreementStatus::Active | AgreementStatus::Inactive => {
            passed.map(|last| (format!("ended{on}"), Some(last)))
        }
    }
}
