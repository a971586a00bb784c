//! What has to be said about a feed as a whole: what was taken in, and does nothing.

use super::places::Places;
use super::{Destination, ImportReport};
use crate::ports::Refusal;
use std::collections::BTreeMap;
use trueup_domain::feed::{Order, Record, RecordKind};
use trueup_domain::finding::Code;
use trueup_domain::ids::{OrderId, OrganizationId};

/// So many organizations, and words for a state, are named at most.
pub(super) const MOST: usize = 20;

/// The words sources use for an order that has not come to its end, or came to none. Any other word may be a slip of the
/// pen in `completed`, and the order is then sold and never billed.
const UNFINISHED: [&str; 25] = [
    "aborted",
    "cancelled",
    "canceled",
    "created",
    "declined",
    "draft",
    "error",
    "failed",
    "incomplete",
    "inprogress",
    "in_progress",
    "inquiring",
    "new",
    "on_hold",
    "open",
    "pending",
    "processing",
    "provisioning",
    "rejected",
    "revoked",
    "scheduled",
    "submitted",
    "suspended",
    "tiers_setup",
    "waiting",
];

/// What is remarked while the records pass by.
#[derive(Default)]
pub(super) struct Remarks {
    organizations: u64,
    customers: BTreeMap<OrganizationId, u64>,
    statuses: BTreeMap<String, (u64, OrderId)>,
}

impl Remarks {
    /// Notes a record that is taken in.
    pub(super) fn note(&mut self, to: Destination<'_>, places: Option<&Places<'_>>, record: &Record) {
        match record {
            Record::Organization(_) => self.organizations += 1,
            Record::Customer(customer) => {
                let is_placed = |named: &OrganizationId| places.is_some_and(|places| places.knows(named));
                let named =
                    customer.organization.as_ref().filter(|named| *named != to.org && !is_placed(named));
                let Some(named) = named else { return };
                if self.customers.len() < MOST || self.customers.contains_key(named) {
                    *self.customers.entry(named.clone()).or_default() += 1;
                }
            }
            Record::Order(order) => self.note_status(order),
            _ => {} // open set: nothing else names an organization, or waits
        }
    }

    fn note_status(&mut self, order: &Order) {
        if order.is_completed() || UNFINISHED.contains(&order.status.to_ascii_lowercase().as_str()) {
            return;
        }
        if self.statuses.len() < MOST || self.statuses.contains_key(&order.status) {
            self.statuses.entry(order.status.clone()).or_insert((0, order.id.clone())).0 += 1;
        }
    }

    /// The remarks, once everything was taken in. `assigned` says whether counts of the source are assigned to catalog
    /// items, so that runs of quantities bill them.
    pub(super) fn told(
        self,
        to: Destination<'_>,
        places: Option<Places<'_>>,
        report: &mut ImportReport,
        assigned: bool,
    ) -> Vec<Refusal> {
        let mut all: Vec<Refusal> = self
            .customers
            .into_iter()
            .map(|(named, count)| {
                remark(format!(
                    "{count} customers are of organization {named}, which is not below {}, and are taken in and billed as \
                     customers of {}. Make it with `trueup org add {named} --parent {}` before its customers are taken in: who \
                     is there already stays",
                    to.org, to.org, to.org
                ))
            })
            .collect();
        let (placed, stay) = places.map(Places::told).unwrap_or_default();
        report.placed = placed;
        all.extend(stay.into_iter().map(|((home, wanted), (count, example))| {
            remark(format!(
                "{count} customers, such as {example}, are customers of {home} and stay there, though the feed places them at \
                 {wanted}: what is billed for them does not move by itself"
            ))
        }));
        if self.organizations > 0 {
            all.push(remark(format!(
                "{} records of the kind organization are kept and make none: `trueup org add` makes one",
                self.organizations
            )));
        }
        all.extend(self.statuses.into_iter().map(|(status, (count, example))| {
            remark(format!(
                "{count} orders have the status {status:?}, such as {example}: they are kept and not billed. Where they are \
                 finished, write `completed`, or leave the status out"
            ))
        }));
        for kind in [RecordKind::Usage, RecordKind::Counter] {
            let fresh = report.records.get(&kind).map_or(0, |counts| counts.new + counts.changed);
            if fresh > 0 && !assigned {
                all.push(remark(format!(
                    "{fresh} records of the kind {} are taken in and kept, and nothing bills them: assign what is counted to \
                     catalog items (`trueup quantity assign`), or send what is to be billed as lines of billing orders",
                    kind.name()
                )));
            }
        }
        all
    }
}

fn remark(reason: String) -> Refusal {
    Refusal {
        file: String::new(),
        line: 0,
        field: None,
        record: None,
        reason,
        code: Code::Tu4004.to_string(),
        warning: true,
    }
}
