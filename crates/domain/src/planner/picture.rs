//! The planner's working picture: what the agreements hold, overlaid with what the plan has done so far.

use super::World;
use crate::ids::{AgreementId, CatalogItemId, ChangeId, OrderId, ProductId, SourceId, SubscriptionId};
use crate::money::Quantity;
use crate::period::Period;
use crate::plan::{OperationKey, Role, Target, looks_like_key};
use crate::psa::{AdditionState, Agreement};
use jiff::civil::Date;
use std::collections::BTreeMap;

/// What trueup knows of a line that it wrote or took over.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Source.
    pub source: SourceId,
    /// Subscription.
    pub subscription: SubscriptionId,
    /// Product at the source.
    pub product: ProductId,
    /// What the line is for.
    pub role: Role,
    /// The order that made it.
    pub order: Option<OrderId>,
    /// The days it is truly for, where they differ from its dates.
    pub true_period: Option<Period>,
    /// What was last written.
    pub written: AdditionState,
    /// The agreement's next invoice date at the first write.
    pub next_invoice_at_write: Option<Date>,
}

/// One line of an agreement.
#[derive(Clone, Debug)]
pub struct Line {
    /// Which addition.
    pub target: Target,
    /// On which agreement.
    pub agreement: AgreementId,
    /// Managed fields.
    pub state: AdditionState,
    /// What of the quantity is included.
    pub less_included: Quantity,
    /// Our key, where it carries one.
    pub key: Option<OperationKey>,
    /// Where it came from, where it is ours.
    pub origin: Option<Origin>,
}

impl Line {
    /// Whether an invoice has billed it already.
    pub fn is_billed(&self, agreement: &Agreement) -> bool {
        let Target::Existing(_) = self.target else { return false };
        match self.origin.as_ref().and_then(|o| o.next_invoice_at_write) {
            Some(then) => agreement.next_invoice.is_some_and(|now| now > then && self.state.effective < now),
            None => agreement.invoiced_before(self.state.effective),
        }
    }

    /// Whether it is the subscription's line for the product in this role.
    pub fn is_of(
        &self,
        source: &SourceId,
        subscription: &SubscriptionId,
        product: &ProductId,
        role: Role,
    ) -> bool {
        self.origin.as_ref().is_some_and(|o| {
            &o.source == source && &o.subscription == subscription && &o.product == product && o.role == role
        })
    }

    /// Whether this order made it.
    pub fn is_made_by(&self, order: Option<&OrderId>) -> bool {
        order.is_some() && self.origin.as_ref().is_some_and(|o| o.order.as_ref() == order)
    }
}

/// All lines of the agreements that were read.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    lines: BTreeMap<AgreementId, Vec<Line>>,
}

impl Picture {
    /// What the snapshot holds, with the origin of each line that is ours.
    pub fn new(world: &World<'_>) -> Self {
        let links: BTreeMap<_, _> = world.links.iter().map(|l| (l.addition, l)).collect();
        let mut lines: BTreeMap<AgreementId, Vec<Line>> = BTreeMap::new();
        for (agreement, additions) in &world.snapshot.additions {
            let of_agreement = lines.entry(*agreement).or_default();
            for addition in additions {
                let link = links.get(&addition.id).filter(|l| !l.deleted);
                let origin = link.map(|l| Origin {
                    source: l.source.clone(),
                    subscription: l.subscription.clone(),
                    product: l.product.clone(),
                    role: l.role,
                    order: l.order.clone(),
                    true_period: l.true_period,
                    written: l.written.clone(),
                    next_invoice_at_write: l.next_invoice_at_write,
                });
                let marker = addition.marker.as_deref().filter(|m| looks_like_key(m));
                let key =
                    link.and_then(|l| l.key.clone()).or_else(|| marker.map(|m| OperationKey(m.to_owned())));
                of_agreement.push(Line {
                    target: Target::Existing(addition.id),
                    agreement: *agreement,
                    state: addition.state.clone(),
                    less_included: addition.less_included,
                    key,
                    origin,
                });
            }
        }
        Self { lines }
    }

    /// The lines of one agreement.
    pub fn lines_of(&self, agreement: AgreementId) -> &[Line] {
        self.lines.get(&agreement).map_or(&[], Vec::as_slice)
    }

    /// All lines.
    pub fn all(&self) -> impl Iterator<Item = &Line> {
        self.lines.values().flatten()
    }

    /// The line that carries a key.
    pub fn find_key(&self, key: &OperationKey) -> Option<&Line> {
        self.all().find(|l| l.key.as_ref() == Some(key))
    }

    /// One line.
    pub fn find(&self, target: &Target) -> Option<&Line> {
        self.all().find(|l| &l.target == target)
    }

    /// Open lines on the agreement with the item that nobody has claimed: neither written by trueup nor taken over.
    pub fn unclaimed(&self, agreement: AgreementId, item: CatalogItemId) -> Vec<&Line> {
        self.lines_of(agreement)
            .iter()
            .filter(|l| {
                l.origin.is_none() && l.key.is_none() && l.state.catalog_item == item && l.state.is_open()
            })
            .collect()
    }

    /// Adds a line that a change creates.
    pub fn add(&mut self, line: Line) {
        self.lines.entry(line.agreement).or_default().push(line);
    }

    /// Changes a line.
    pub fn set_state(&mut self, target: &Target, state: &AdditionState) {
        for line in self.lines.values_mut().flatten() {
            if &line.target == target {
                line.state = state.clone();
                if let Some(origin) = &mut line.origin {
                    origin.written = state.clone();
                }
            }
        }
    }

    /// Says whose a line is.
    pub fn claim(&mut self, target: &Target, origin: &Origin) {
        for line in self.lines.values_mut().flatten() {
            if &line.target == target {
                line.origin = Some(origin.clone());
            }
        }
    }

    /// Removes a line.
    pub fn remove(&mut self, target: &Target) {
        for lines in self.lines.values_mut() {
            lines.retain(|l| &l.target != target);
        }
    }
}

/// The id of the change at a place in the plan.
pub fn change_id(index: usize) -> ChangeId {
    ChangeId(format!("c{:05}", index + 1))
}
