//! What trueup remembers of the additions that it wrote or took over, and how a change moves that on.

use super::{Action, Change, OperationKey, Prorated, Replayed, Role, Undoing};
use crate::ids::{AdditionId, AgreementId, OrderId, ProductId, SourceId, SubscriptionId};
use crate::period::Period;
use crate::psa::AdditionState;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// What trueup remembers of an addition it wrote or took over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdditionLink {
    /// The addition.
    pub addition: AdditionId,
    /// Its agreement.
    pub agreement: AgreementId,
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
    /// Its key; none where it was adopted.
    pub key: Option<OperationKey>,
    /// The days it is truly for, where they differ from its dates; of a line that was taken over, those that a person had
    /// dated it for, where it was to end.
    pub true_period: Option<Period>,
    /// States that orders gave the line in place, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<Edit>,
    /// Who ended the line, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ends: Vec<End>,
    /// What trueup last wrote, or saw when it took over.
    pub written: AdditionState,
    /// The agreement's next invoice date at the first write.
    pub next_invoice_at_write: Option<Date>,
    /// Whether the agreement prorated when the line was given its days.
    #[serde(default, skip_serializing_if = "Prorated::is_unknown")]
    pub prorated: Prorated,
    /// Whether trueup deleted it.
    #[serde(default)]
    pub deleted: bool,
}

/// A state that an order gave a line in place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// The day since which it holds, up to the one from which the line bills it.
    pub held: Period,
    /// The order.
    pub order: Option<OrderId>,
    /// The state before it.
    pub before: AdditionState,
}

/// An order that gave a line its end, or took it away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// The order.
    pub order: Option<OrderId>,
    /// The last billed day; none where the line was taken away.
    pub last: Option<Date>,
    /// Of a line that an undo made again: the addition that it was before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<AdditionId>,
}

impl AdditionLink {
    /// The link after an edit was carried out. One that an order asked for is remembered; one that takes it back names
    /// order and days of the first one that it takes back, and is forgotten with it.
    pub fn edited(mut self, change: &Change, written: AdditionState) -> Self {
        if let Action::Update { before, wanted, .. } = &change.action {
            let same = |edit: &Edit| {
                Some(edit.held) == change.true_period && edit.order == change.order && edit.before == **wanted
            };
            match (self.edits.iter().position(same), change.true_period) {
                (Some(at), _) => self.edits.truncate(at),
                (None, Some(held)) => {
                    self.edits.push(Edit { held, order: change.order.clone(), before: (**before).clone() });
                }
                (None, None) => {}
            }
        }
        let ended = matches!(change.action, Action::Cancel { .. });
        // A quantity on a line that a person dated to end is no end of ours: the next day on which the line is over has to
        // find that a person ended it.
        let keeps_their_end = change.role == Role::Quantity && !ended && written.cancelled.is_some();
        if !keeps_their_end {
            self.ends = End::after(self.ends, change.order.as_ref().filter(|_| ended), written.cancelled);
        }
        if change.undoing == Some(Undoing::Settled) {
            self.ends.push(End { order: self.order.clone(), ..End::default() });
        }
        Self { written, ..self }
    }

    /// The link after an order was carried out of which the journal does not know, by the state in which it left the line.
    pub fn replayed(mut self, by: &Replayed, state: AdditionState) -> Self {
        if let Some(held) = by.days {
            self.edits.push(Edit { held, order: by.order.clone(), before: self.written });
        }
        let ended = by.order.as_ref().filter(|_| state.cancelled.is_some());
        self.ends = End::after(self.ends, ended, state.cancelled);
        Self { written: state, ..self }
    }

    /// Whether the line is there and counts for nothing any more: an undo took back what invoices had billed of it, or made
    /// it to settle that. No order bills by it, starts from it or ends it.
    pub fn is_settled(&self) -> bool {
        !self.deleted && self.ends.last().is_some_and(|end| end.last.is_none() && end.again.is_none())
    }

    /// Whether trueup itself gave the line the end that it has.
    pub fn ended_by_us(&self) -> bool {
        self.written.cancelled.is_some_and(|last| self.ends.iter().any(|end| end.last == Some(last)))
    }

    /// Whether an order made the line, changed it or ended it.
    pub fn names(&self, order: &OrderId) -> bool {
        self.order.as_ref() == Some(order)
            || self.edits.iter().any(|edit| edit.order.as_ref() == Some(order))
            || self.ends.iter().any(|end| end.order.as_ref() == Some(order))
    }

    /// The addition that the line was before it was taken away and an undo made it again: that one is as if it had never
    /// been taken away.
    pub fn again(&self) -> Option<AdditionId> {
        self.ends.first()?.again
    }

    /// The link after the line was taken away.
    pub fn removed(mut self, change: &Change) -> Self {
        self.ends.push(End { order: change.order.clone(), ..End::default() });
        Self { deleted: true, ..self }
    }

    /// The order that took the line away, where that is remembered.
    pub fn removed_by(&self) -> Option<&OrderId> {
        self.ends.last().filter(|end| end.last.is_none())?.order.as_ref()
    }
}

impl End {
    /// The ends of a line that a change makes.
    pub fn of_new(change: &Change) -> Vec<Self> {
        match change.undoing {
            None => Vec::new(),
            Some(Undoing::Settled) => vec![Self::default()],
            Some(Undoing::Again(addition)) => vec![Self { again: Some(addition), ..Self::default() }],
        }
    }

    /// The ends of a line once it is dated to end on `last`, by an order or otherwise. What it had before that day was set
    /// is forgotten where the day comes back: it is taken back then.
    pub fn after(mut ends: Vec<Self>, order: Option<&OrderId>, last: Option<Date>) -> Vec<Self> {
        match (last, order) {
            (None, _) => ends.retain(|end| end.again.is_some()),
            (Some(_), Some(order)) => ends.push(Self { order: Some(order.clone()), last, again: None }),
            (Some(_), None) => match ends.iter().rposition(|end| end.last == last) {
                Some(at) => ends.truncate(at + 1),
                None => ends.push(Self { order: None, last, again: None }),
            },
        }
        ends
    }
}
