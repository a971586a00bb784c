//! Where a line of the picture came from. Most lines are never asked for more than a glance tells, and what trueup
//! remembers of an addition lies anywhere in memory: the rest is read when somebody asks for it.

use super::index::SubscriptionNo;
use super::picture::State;
use super::register::Remembered;
use crate::ids::{OrderId, ProductId, SourceId};
use crate::period::Period;
use crate::plan::{AdditionLink, Edit, End, Role};
use crate::psa::AdditionState;
use jiff::civil::Date;
use std::rc::Rc;

/// Role and the end of the product's id: tells nearly all lines of a subscription apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance(u32);

impl Glance {
    /// Of a product in a role.
    pub fn of(product: &ProductId, role: Role) -> Self {
        let [a, b, c] = product.as_str().as_bytes().last_chunk().copied().unwrap_or_default();
        Self(u32::from_le_bytes([a, b, c, role as u8]))
    }
}

/// What trueup knows of a line that it wrote or took over.
#[derive(Clone, Debug)]
pub struct Origin<'a> {
    /// Subscription, where tasks are about it.
    pub subscription: Option<SubscriptionNo>,
    glance: Glance,
    record: Record<'a>,
}

#[derive(Clone, Debug)]
enum Record<'a> {
    /// As it was remembered.
    Link(&'a AdditionLink),
    /// As the plan makes it; shared by all that speak of the line.
    Made(Rc<Made<'a>>),
}

/// What the plan says of a line.
#[derive(Clone, Debug)]
pub struct Made<'a> {
    /// Source.
    pub source: &'a SourceId,
    /// Product at the source.
    pub product: ProductId,
    /// What the line is for.
    pub role: Role,
    /// The order that made it.
    pub order: Option<&'a OrderId>,
    /// The days it is truly for, where they differ from its dates.
    pub true_period: Option<Period>,
    /// States that orders gave it in place, oldest first.
    pub edits: Vec<Edit>,
    /// Who ended it, oldest first.
    pub ends: Vec<End>,
    /// What was last written.
    pub written: State<'a>,
    /// The agreement's next invoice date at the first write.
    pub next_invoice_at_write: Option<Date>,
}

impl<'a> Origin<'a> {
    /// That of a line that was read.
    pub fn remembered(known: Remembered<'a>) -> Self {
        let Remembered { link, known } = known;
        Self { subscription: known.subscription, glance: known.glance, record: Record::Link(link) }
    }

    /// That of a line of the plan.
    pub fn made(subscription: SubscriptionNo, made: Made<'a>) -> Self {
        let glance = Glance::of(&made.product, made.role);
        Self { subscription: Some(subscription), glance, record: Record::Made(Rc::new(made)) }
    }

    /// Whether it may be for what this is a glance of.
    pub fn looks_like(&self, glance: Glance) -> bool {
        self.glance == glance
    }

    /// Whether it is for the product in this role.
    pub fn is_for(&self, product: &ProductId, role: Role) -> bool {
        self.glance == Glance::of(product, role) && self.product() == product
    }

    /// Source.
    pub fn source(&self) -> &SourceId {
        match &self.record {
            Record::Link(link) => &link.source,
            Record::Made(made) => made.source,
        }
    }

    /// Product at the source.
    pub fn product(&self) -> &ProductId {
        match &self.record {
            Record::Link(link) => &link.product,
            Record::Made(made) => &made.product,
        }
    }

    /// What the line is for.
    pub fn role(&self) -> Role {
        match &self.record {
            Record::Link(link) => link.role,
            Record::Made(made) => made.role,
        }
    }

    /// The order that made it.
    pub fn order(&self) -> Option<&'a OrderId> {
        match &self.record {
            Record::Link(link) => link.order.as_ref(),
            Record::Made(made) => made.order,
        }
    }

    /// The days it is truly for, where they differ from its dates.
    pub fn true_period(&self) -> Option<Period> {
        match &self.record {
            Record::Link(link) => link.true_period,
            Record::Made(made) => made.true_period,
        }
    }

    /// States that orders gave it in place, oldest first.
    pub fn edits(&self) -> &[Edit] {
        match &self.record {
            Record::Link(link) => &link.edits,
            Record::Made(made) => &made.edits,
        }
    }

    /// Who ended it, oldest first.
    pub fn ends(&self) -> &[End] {
        match &self.record {
            Record::Link(link) => &link.ends,
            Record::Made(made) => &made.ends,
        }
    }

    /// What was last written.
    pub fn written(&self) -> &AdditionState {
        match &self.record {
            Record::Link(link) => &link.written,
            Record::Made(made) => &made.written,
        }
    }

    /// The agreement's next invoice date at the first write.
    pub fn next_invoice_at_write(&self) -> Option<Date> {
        match &self.record {
            Record::Link(link) => link.next_invoice_at_write,
            Record::Made(made) => made.next_invoice_at_write,
        }
    }

    /// Says what was written, and who dated it to end.
    pub fn set_written(&mut self, written: State<'a>, ended_by: Option<&OrderId>, last: Option<Date>) {
        self.change(|made| {
            made.written = written;
            made.ends = End::after(std::mem::take(&mut made.ends), ended_by, last);
        });
    }

    /// Remembers a state that an order gave it in place.
    pub fn note(&mut self, edit: Edit) {
        self.change(|made| made.edits.push(edit));
    }

    fn change(&mut self, edit: impl FnOnce(&mut Made<'a>)) {
        match &mut self.record {
            Record::Made(made) => edit(Rc::make_mut(made)),
            Record::Link(link) => {
                let mut made = Made {
                    source: &link.source,
                    product: link.product.clone(),
                    role: link.role,
                    order: link.order.as_ref(),
                    true_period: link.true_period,
                    edits: link.edits.clone(),
                    ends: link.ends.clone(),
                    written: State::Read(&link.written),
                    next_invoice_at_write: link.next_invoice_at_write,
                };
                edit(&mut made);
                self.record = Record::Made(Rc::new(made));
            }
        }
    }
}
