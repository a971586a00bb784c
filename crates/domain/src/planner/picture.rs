//! The planner's working picture: what the agreements hold, overlaid with what the plan has done so far.

use super::World;
use super::index::{Index, SubscriptionNo};
use super::register::Register;
use crate::ids::{AgreementId, CatalogItemId, ChangeId, OrderId, ProductId};
use crate::money::Quantity;
use crate::period::Period;
use crate::plan::{Edit, OperationKey, Role, Target};
use crate::psa::{AdditionState, Agreement};
use hashbrown::HashMap;
use jiff::civil::Date;
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Deref;
use std::rc::Rc;

/// The managed fields of a line: borrowed as they were read, or shared by all that speak of a line of the plan.
#[derive(Clone, Debug)]
pub enum State<'a> {
    /// As read.
    Read(&'a AdditionState),
    /// As the plan makes it.
    Made(Rc<AdditionState>),
}

impl Deref for State<'_> {
    type Target = AdditionState;

    fn deref(&self) -> &AdditionState {
        match self {
            Self::Read(state) => state,
            Self::Made(state) => state,
        }
    }
}

impl PartialEq for State<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl From<AdditionState> for State<'_> {
    fn from(state: AdditionState) -> Self {
        Self::Made(Rc::new(state))
    }
}

/// What trueup knows of a line that it wrote or took over.
#[derive(Clone, Debug)]
pub struct Origin<'a> {
    /// Subscription, where tasks are about it.
    pub subscription: Option<SubscriptionNo>,
    /// Product at the source.
    pub product: Cow<'a, ProductId>,
    /// What the line is for.
    pub role: Role,
    /// The order that made it.
    pub order: Option<&'a OrderId>,
    /// The days it is truly for, where they differ from its dates.
    pub true_period: Option<Period>,
    /// States that orders gave it in place, oldest first.
    pub edits: Cow<'a, [Edit]>,
    /// What was last written.
    pub written: State<'a>,
    /// The agreement's next invoice date at the first write.
    pub next_invoice_at_write: Option<Date>,
}

/// One line of an agreement. What was read is borrowed until a change of the plan touches it.
#[derive(Clone, Debug)]
pub struct Line<'a> {
    /// Which addition.
    pub target: Target,
    /// On which agreement.
    pub agreement: AgreementId,
    /// Managed fields.
    pub state: State<'a>,
    /// What of the quantity is included.
    pub less_included: Quantity,
    /// Our key, where it carries one.
    pub key: Option<Cow<'a, str>>,
    /// Where it came from, where it is ours.
    pub origin: Option<Origin<'a>>,
}

impl Line<'_> {
    /// Whether an invoice has billed it already: one of its agreement, or of the parent `billed_by` that invoices it.
    pub fn is_billed(&self, agreement: &Agreement, billed_by: &Agreement) -> bool {
        let Target::Existing(_) = self.target else { return false };
        // What was known at the write are the agreement's own invoices: of the parent's only the dates can tell.
        if billed_by.id != agreement.id && billed_by.invoiced_before(self.state.effective) {
            return true;
        }
        match self.origin.as_ref().and_then(|o| o.next_invoice_at_write) {
            Some(then) => agreement.next_invoice.is_some_and(|now| now > then && self.state.effective < now),
            None => agreement.invoiced_before(self.state.effective),
        }
    }

    /// Whether it is the subscription's line for the product in this role.
    pub fn is_of(&self, subscription: SubscriptionNo, product: &ProductId, role: Role) -> bool {
        self.origin.as_ref().is_some_and(|o| o.subscription == Some(subscription))
            && self.is_for(product, role)
    }

    /// Whether it is its subscription's line for the product in this role.
    pub fn is_for(&self, product: &ProductId, role: Role) -> bool {
        self.origin.as_ref().is_some_and(|o| o.role == role && *o.product == *product)
    }

    /// Whether this order made it.
    pub fn is_made_by(&self, order: Option<&OrderId>) -> bool {
        order.is_some() && self.origin.as_ref().is_some_and(|o| o.order == order)
    }
}

/// Where a line is: an addition never moves to another agreement.
#[derive(Clone, Debug, PartialEq)]
struct Place {
    agreement: AgreementId,
    target: Target,
}

/// How to take one step back.
#[derive(Clone, Debug)]
enum Undo<'a> {
    Added(Place),
    Changed(Place, Box<Line<'a>>),
    Removed(usize, Box<Line<'a>>),
}

/// The lines of one subscription: those that are as they were read, by agreement, then those that the plan touched.
#[derive(Clone, Debug, Default)]
struct Own {
    read: Vec<Place>,
    touched: Vec<Place>,
}

/// The lines of the agreements that the tasks so far needed, each opened when the first of them did. Steps can be taken
/// back, so that a task that does not come through leaves nothing behind.
#[derive(Debug)]
pub struct Picture<'a> {
    world: &'a World<'a>,
    index: &'a Index<'a>,
    lines: HashMap<AgreementId, Vec<Line<'a>>>,
    keys: HashMap<Cow<'a, str>, Option<Place>>,
    subscriptions: HashMap<SubscriptionNo, Own>,
    undo: Vec<Undo<'a>>,
    missed: RefCell<BTreeSet<AgreementId>>,
    /// Emptied lists, to be used again.
    spare: Vec<Vec<Line<'a>>>,
}

impl<'a> Picture<'a> {
    /// A picture in which no agreement is open yet.
    pub fn new(world: &'a World<'a>, index: &'a Index<'a>) -> Self {
        Self {
            world,
            index,
            lines: HashMap::new(),
            keys: HashMap::new(),
            subscriptions: HashMap::new(),
            undo: Vec::new(),
            missed: RefCell::default(),
            spare: Vec::new(),
        }
    }

    /// Closes every agreement: what comes next has nothing in common with what was before.
    pub fn close(&mut self) {
        // A table keeps its room, and emptying it takes as long as it is large.
        let keep = 64;
        if self.lines.capacity() > keep || self.keys.capacity() > keep || self.subscriptions.capacity() > keep
        {
            *self = Self::new(self.world, self.index);
            return;
        }
        for (_, mut lines) in self.lines.drain() {
            lines.clear();
            self.spare.push(lines);
        }
        self.keys.clear();
        self.subscriptions.clear();
        self.undo.clear();
        self.missed.get_mut().clear();
    }

    /// Opens every agreement that holds lines of a subscription.
    pub fn open_subscription(&mut self, subscription: SubscriptionNo) {
        for agreement in self.index.homes_of(subscription) {
            self.open(agreement);
        }
        let index = self.index;
        if self.own(subscription).count() < index.held_by(subscription) {
            // Some are gone, or on another agreement than the one that was remembered.
            let held = index.links_of(subscription).iter().filter(|l| !l.deleted);
            for home in held.filter_map(|l| index.register.home_of(l.addition)) {
                self.open(home);
            }
        }
    }

    /// Brings the lines of an agreement into the picture, with the origin of each that is ours.
    pub fn open(&mut self, agreement: AgreementId) {
        if self.lines.contains_key(&agreement) {
            return;
        }
        let additions = self.world.snapshot.additions_of(agreement);
        let mut lines = self.spare.pop().unwrap_or_default();
        // With room for what takes the place of a line.
        lines.reserve(additions.len() + 4);
        for addition in additions {
            let remembered = self.index.register.link_of(addition.id);
            let target = Target::Existing(addition.id);
            if let Some(subscription) = remembered.and_then(|r| r.subscription) {
                let read = &mut self.subscriptions.entry(subscription).or_default().read;
                let place = read.partition_point(|p| p.agreement <= agreement);
                read.insert(place, Place { agreement, target: target.clone() });
            }
            lines.push(Line {
                target,
                agreement,
                state: State::Read(&addition.state),
                less_included: addition.less_included,
                key: Register::key_of(addition, remembered.map(|r| r.link)).map(Cow::Borrowed),
                origin: remembered.map(|r| Origin {
                    subscription: r.subscription,
                    product: Cow::Borrowed(&r.link.product),
                    role: r.link.role,
                    order: r.link.order.as_ref(),
                    true_period: r.link.true_period,
                    edits: Cow::Borrowed(&r.link.edits),
                    written: State::Read(&r.link.written),
                    next_invoice_at_write: r.link.next_invoice_at_write,
                }),
            });
        }
        self.lines.insert(agreement, lines);
    }

    /// Agreements that were asked for and are not open, to be opened; the answers so far did not know them.
    pub fn take_missed(&mut self) -> BTreeSet<AgreementId> {
        std::mem::take(self.missed.get_mut())
    }

    /// The agreements that were opened.
    pub fn opened(&self) -> impl Iterator<Item = AgreementId> {
        self.lines.keys().copied()
    }

    fn key_at(&self, key: &str) -> Option<Place> {
        match self.keys.get(key) {
            Some(touched) => touched.clone(),
            None => self
                .index
                .register
                .find_key(key)
                .map(|(agreement, id)| Place { agreement, target: Target::Existing(id) }),
        }
    }

    fn put(&mut self, at: Option<usize>, line: Line<'a>) {
        let place = Place { agreement: line.agreement, target: line.target.clone() };
        if let Some(key) = line.key.as_ref().filter(|key| self.key_at(key).is_none()) {
            self.keys.insert(key.clone(), Some(place.clone()));
        }
        if let Some(subscription) = line.origin.as_ref().and_then(|o| o.subscription) {
            self.subscriptions.entry(subscription).or_default().touched.push(place);
        }
        let lines = self.lines.entry(line.agreement).or_default();
        lines.insert(at.unwrap_or(lines.len()).min(lines.len()), line);
    }

    fn take(&mut self, place: &Place) -> Option<(usize, Line<'a>)> {
        let lines = self.lines.get_mut(&place.agreement)?;
        let at = lines.iter().position(|l| l.target == place.target)?;
        let line = lines.remove(at);
        if let Some(key) = line.key.as_ref().filter(|key| self.key_at(key).as_ref() == Some(place)) {
            self.keys.insert(key.clone(), None);
        }
        let subscription = line.origin.as_ref().and_then(|o| o.subscription);
        if let Some(own) = subscription.and_then(|number| self.subscriptions.get_mut(&number)) {
            own.read.retain(|p| p != place);
            own.touched.retain(|p| p != place);
        }
        Some((at, line))
    }

    /// What was done so far stays: no step of it is taken back any more.
    pub fn settle(&mut self) {
        self.undo.clear();
    }

    /// Takes every step back that was taken since the picture was settled.
    pub fn roll_back(&mut self) {
        while let Some(step) = self.undo.pop() {
            match step {
                Undo::Added(place) => {
                    self.take(&place);
                }
                Undo::Changed(place, before) => {
                    if let Some((at, _)) = self.take(&place) {
                        self.put(Some(at), *before);
                    }
                }
                Undo::Removed(at, line) => self.put(Some(at), *line),
            }
        }
    }

    /// The lines of one agreement.
    pub fn lines_of(&self, agreement: AgreementId) -> &[Line<'a>] {
        match self.lines.get(&agreement) {
            Some(lines) => lines,
            None => {
                self.missed.borrow_mut().insert(agreement);
                &[]
            }
        }
    }

    fn own(&self, subscription: SubscriptionNo) -> impl Iterator<Item = &Place> {
        let own = self.subscriptions.get(&subscription);
        own.into_iter().flat_map(|own| own.read.iter().chain(&own.touched))
    }

    /// The lines of one subscription, whatever agreement they are on, in the order in which they came about.
    pub fn of_subscription(&self, subscription: SubscriptionNo) -> impl Iterator<Item = &Line<'a>> {
        self.own(subscription).filter_map(|place| self.at(place))
    }

    /// The line that carries a key.
    pub fn find_key(&self, key: &OperationKey) -> Option<&Line<'a>> {
        self.at(&self.key_at(&key.0)?)
    }

    fn at(&self, place: &Place) -> Option<&Line<'a>> {
        self.find(place.agreement, &place.target)
    }

    /// One line.
    pub fn find(&self, agreement: AgreementId, target: &Target) -> Option<&Line<'a>> {
        self.lines_of(agreement).iter().find(|l| &l.target == target)
    }

    /// The line as it is now.
    pub fn now(&self, line: &Line<'_>) -> Option<&Line<'a>> {
        self.find(line.agreement, &line.target)
    }

    /// Open lines on the agreement with the item that nobody has claimed: neither written by trueup nor taken over.
    pub fn unclaimed(&self, agreement: AgreementId, item: CatalogItemId) -> Vec<&Line<'a>> {
        self.lines_of(agreement)
            .iter()
            .filter(|l| {
                l.origin.is_none() && l.key.is_none() && l.state.catalog_item == item && l.state.is_open()
            })
            .collect()
    }

    /// Adds a line that a change creates.
    pub fn add(&mut self, line: Line<'a>) {
        self.open(line.agreement);
        self.undo.push(Undo::Added(Place { agreement: line.agreement, target: line.target.clone() }));
        self.put(None, line);
    }

    fn change(&mut self, line: &Line<'_>, edit: impl FnOnce(&mut Line<'a>)) {
        let place = Place { agreement: line.agreement, target: line.target.clone() };
        if let Some((at, mut line)) = self.take(&place) {
            self.undo.push(Undo::Changed(place, Box::new(line.clone())));
            edit(&mut line);
            self.put(Some(at), line);
        }
    }

    /// Changes a line.
    pub fn set_state(&mut self, line: &Line<'_>, state: AdditionState) {
        self.change(line, |line| {
            line.state = state.into();
            if let Some(origin) = &mut line.origin {
                origin.written = line.state.clone();
            }
        });
    }

    /// Remembers a state that an order gave a line in place.
    pub fn note_edit(&mut self, line: &Line<'_>, held: Period, order: Option<&OrderId>) {
        let before = line.state.clone();
        self.change(line, |line| {
            if let Some(origin) = &mut line.origin {
                let order = order.cloned();
                origin.edits.to_mut().push(Edit { held, order, before: (*before).clone() });
            }
        });
    }

    /// Says whose a line is.
    pub fn claim(&mut self, line: &Line<'_>, origin: Origin<'a>) {
        self.change(line, |line| line.origin = Some(origin));
    }

    /// Removes a line.
    pub fn remove(&mut self, line: &Line<'_>) {
        let place = Place { agreement: line.agreement, target: line.target.clone() };
        if let Some((at, line)) = self.take(&place) {
            self.undo.push(Undo::Removed(at, Box::new(line)));
        }
    }
}

/// The id of the change at a place in the plan.
pub fn change_id(index: usize) -> ChangeId {
    format_args!("c{:05}", index + 1).into()
}

/// The place in the plan that an id was made of.
pub fn place_of(id: &ChangeId) -> Option<usize> {
    id.as_str().strip_prefix('c')?.parse::<usize>().ok()?.checked_sub(1)
}
