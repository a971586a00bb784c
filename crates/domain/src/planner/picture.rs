//! The planner's working picture: what the agreements hold, overlaid with what the plan has done so far.

use super::World;
use super::index::{Index, SubscriptionNo};
use super::origin::{Glance, Origin};
use super::register::Remembered;
use crate::ids::{AgreementId, CatalogItemId, ChangeId, OrderId, ProductId};
use crate::money::Quantity;
use crate::period::{Period, next_day};
use crate::plan::{AdditionLink, Edit, OperationKey, Role, Target, looks_like_key};
use crate::psa::{AdditionState, Agreement, ObservedAddition};
use hashbrown::HashMap;
use jiff::civil::Date;
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

/// The key of a line, which few ask for.
#[derive(Clone, Debug)]
pub enum Key<'a> {
    /// As it was remembered, else as the addition carries it.
    Read(&'a ObservedAddition, Option<&'a AdditionLink>),
    /// As the plan gives it.
    Made(Rc<str>),
}

impl<'a> Key<'a> {
    /// The key of an addition: the one that was remembered, else the one that it carries.
    pub fn of(addition: &'a ObservedAddition, link: Option<&'a AdditionLink>) -> Option<&'a str> {
        let remembered = link.and_then(|l| l.key.as_ref()).map(|key| key.0.as_str());
        remembered.or_else(|| addition.marker.as_deref().filter(|marker| looks_like_key(marker)))
    }

    fn shared(&self) -> Option<Rc<str>> {
        match self {
            Self::Read(addition, link) => Self::of(addition, *link).map(Rc::from),
            Self::Made(key) => Some(Rc::clone(key)),
        }
    }
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
    pub key: Key<'a>,
    /// Where it came from, where it is ours.
    pub origin: Option<Origin<'a>>,
    /// Whether the plan did anything to it.
    pub touched: bool,
}

impl Line<'_> {
    /// How many of it are billed: what is included is not.
    pub fn billed_quantity(&self) -> Quantity {
        self.state.quantity.minus(self.less_included).unwrap_or(self.state.quantity)
    }

    /// Whether an invoice has billed it already: one of its agreement, or of the parent `billed_by` that invoices it.
    pub fn is_billed(&self, agreement: &Agreement, billed_by: &Agreement) -> bool {
        let Target::Existing(_) = self.target else { return false };
        let at_write = self.origin.as_ref().and_then(Origin::next_invoice_at_write);
        agreement.may_have_billed(billed_by, self.state.effective, at_write)
    }

    /// Where an open-ended line begins later than what it bills holds: the day it was first dated by. The days before
    /// were invoiced when it was written, or have a part of their own.
    pub fn moved_to(&self) -> Option<Date> {
        let origin = self.origin.as_ref()?;
        // A line that a person dated otherwise names its own days.
        let own_end = origin.written().cancelled.map(next_day);
        origin.true_period().map(Period::end).filter(|to| Some(*to) != own_end)
    }

    /// The days that a line of some days is for: the true ones where it was moved. None for an open-ended one, and for one that
    /// is not trueup's.
    pub fn days(&self) -> Option<Period> {
        let dated = || Period::new(self.state.effective, self.state.cancelled.map(next_day)?).ok();
        self.origin.as_ref()?.true_period().or_else(dated)
    }

    /// What an order has edited of it, where no other edit came after.
    pub fn last_edit_by(&self, order: &OrderId) -> Option<&Edit> {
        let edits = self.origin.as_ref()?.edits();
        edits.last().filter(|edit| edit.order.as_ref() == Some(order))
    }

    /// The order that gave it the end that it has; none where it goes on, where nobody knows, and where a person dated it.
    pub fn ended_by(&self) -> Option<&OrderId> {
        let end = self.origin.as_ref()?.ends().last()?;
        end.order.as_ref().filter(|_| end.last.is_some() && end.last == self.state.cancelled)
    }

    /// Whether it is the subscription's line for the product in this role.
    pub fn is_of(&self, subscription: SubscriptionNo, product: &ProductId, role: Role) -> bool {
        self.is_whose(subscription) && self.is_for(product, role)
    }

    /// Whether it is a line of the subscription.
    fn is_whose(&self, subscription: SubscriptionNo) -> bool {
        self.origin.as_ref().is_some_and(|o| o.subscription == Some(subscription))
    }

    /// Our key, where it carries one.
    pub fn key(&self) -> Option<&str> {
        match &self.key {
            Key::Read(addition, link) => Key::of(addition, *link),
            Key::Made(key) => Some(key),
        }
    }

    /// Whether it is its subscription's line for the product in this role.
    pub fn is_for(&self, product: &ProductId, role: Role) -> bool {
        self.origin.as_ref().is_some_and(|o| o.is_for(product, role))
    }

    /// Whether this order made it.
    pub fn is_made_by(&self, order: Option<&OrderId>) -> bool {
        order.is_some() && self.origin.as_ref().is_some_and(|o| o.order() == order)
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

/// Where the lines of one subscription are.
#[derive(Clone, Debug, Default)]
struct Own {
    /// Agreements that hold some as they were read, in the order of their ids.
    read: Vec<AgreementId>,
    /// Those that the plan touched.
    touched: Vec<Place>,
}

/// The lines of the agreements that the tasks so far needed, each opened when the first of them did. Steps can be taken
/// back, so that a task that does not come through leaves nothing behind.
#[derive(Debug)]
pub struct Picture<'a> {
    world: &'a World<'a>,
    index: &'a Index<'a>,
    lines: HashMap<AgreementId, Vec<Line<'a>>>,
    keys: HashMap<Rc<str>, Option<Place>>,
    subscriptions: HashMap<SubscriptionNo, Own>,
    undo: Vec<Undo<'a>>,
    missed: RefCell<BTreeSet<AgreementId>>,
    /// Emptied lists, to be used again.
    spare: Vec<Vec<Line<'a>>>,
    /// What is known of the additions of the agreement that is being opened.
    known: Vec<Option<Remembered<'a>>>,
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
            known: Vec::new(),
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
        if self.of_subscription(subscription).count() < index.held_by(subscription) {
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
        let mut before = None;
        // What is known of them lies anywhere in memory: all of it is asked for before any is used.
        let register = &self.index.register;
        self.known.extend(additions.iter().map(|addition| register.link_of(addition.id)));
        for (addition, remembered) in additions.iter().zip(self.known.drain(..)) {
            if let Some(subscription) = remembered.and_then(|r| r.subscription())
                && before.replace(subscription) != Some(subscription)
            {
                let read = &mut self.subscriptions.entry(subscription).or_default().read;
                if let Err(place) = read.binary_search(&agreement) {
                    read.insert(place, agreement);
                }
            }
            lines.push(Line {
                target: Target::Existing(addition.id),
                agreement,
                state: State::Read(&addition.state),
                less_included: addition.less_included,
                key: Key::Read(addition, remembered.map(|r| r.link)),
                origin: remembered.map(Origin::remembered),
                touched: false,
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

    fn put(&mut self, at: Option<usize>, mut line: Line<'a>) {
        let place = Place { agreement: line.agreement, target: line.target.clone() };
        line.touched = true;
        if line.key().is_some_and(|key| self.key_at(key).is_none())
            && let Some(key) = line.key.shared()
        {
            self.keys.insert(key, Some(place.clone()));
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
        if line.key().is_some_and(|key| self.key_at(key).as_ref() == Some(place))
            && let Some(key) = line.key.shared()
        {
            self.keys.insert(key, None);
        }
        let subscription = line.origin.as_ref().and_then(|o| o.subscription);
        if let Some(own) = subscription.and_then(|number| self.subscriptions.get_mut(&number)) {
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

    /// The lines of one subscription, whatever agreement they are on, in the order in which they came about: those that
    /// are as they were read, by agreement, then those that the plan touched.
    pub fn of_subscription(&self, subscription: SubscriptionNo) -> OwnLines<'_, 'a> {
        let own = self.subscriptions.get(&subscription);
        OwnLines {
            picture: self,
            subscription,
            read: own.map_or(&[][..], |own| &own.read).iter(),
            beside: None,
            lines: [].iter(),
            touched: own.map_or(&[][..], |own| &own.touched).iter(),
        }
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
        // What is asked for is nearly always what was touched last, and that was added last.
        self.lines_of(agreement).iter().rev().find(|l| &l.target == target)
    }

    /// The line as it is now.
    pub fn now(&self, line: &Line<'_>) -> Option<&Line<'a>> {
        self.find(line.agreement, &line.target)
    }

    /// Lines on the agreement with the item that nobody has claimed: neither written by trueup nor taken over.
    pub fn unclaimed(&self, agreement: AgreementId, item: CatalogItemId) -> Vec<&Line<'a>> {
        self.lines_of(agreement)
            .iter()
            .filter(|l| l.origin.is_none() && l.key().is_none() && l.state.catalog_item == item)
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

    /// Changes a line, and remembers which order dated it to end, where one did.
    pub fn set_state(&mut self, line: &Line<'_>, state: AdditionState, ended_by: Option<&OrderId>) {
        self.change(line, |line| {
            let last = state.cancelled;
            line.state = state.into();
            if let Some(origin) = &mut line.origin {
                origin.set_written(line.state.clone(), ended_by, last);
            }
        });
    }

    /// Remembers a state that an order gave a line in place.
    pub fn note_edit(&mut self, line: &Line<'_>, held: Period, order: Option<&OrderId>) {
        let before = line.state.clone();
        self.change(line, |line| {
            if let Some(origin) = &mut line.origin {
                origin.note(Edit { held, order: order.cloned(), before: (*before).clone() });
            }
        });
    }

    /// Says whose a line is.
    pub fn claim(&mut self, line: &Line<'_>, origin: Origin<'a>) {
        self.change(line, |line| line.origin = Some(origin));
    }

    /// Takes back whose a line was said to be.
    pub fn disclaim(&mut self, line: &Line<'_>) {
        self.change(line, |line| line.origin = None);
    }

    /// Removes a line.
    pub fn remove(&mut self, line: &Line<'_>) {
        let place = Place { agreement: line.agreement, target: line.target.clone() };
        if let Some((at, line)) = self.take(&place) {
            self.undo.push(Undo::Removed(at, Box::new(line)));
        }
    }
}

/// The lines of one subscription. Nearly everything that is planned asks for them, most of it more than once: they are
/// searched by one piece of code, which stays near, and not by a copy of it in each place that asks.
pub struct OwnLines<'s, 'a> {
    picture: &'s Picture<'a>,
    subscription: SubscriptionNo,
    /// Agreements that hold some as they were read and were not searched yet.
    read: std::slice::Iter<'s, AgreementId>,
    /// The agreement of which none is asked for.
    beside: Option<AgreementId>,
    /// What is left of the lines of the agreement that is being searched.
    lines: std::slice::Iter<'s, Line<'a>>,
    touched: std::slice::Iter<'s, Place>,
}

impl<'s, 'a> OwnLines<'s, 'a> {
    /// The next one that may be for what this is a glance of.
    #[inline(never)]
    fn next_like(&mut self, glance: Option<Glance>) -> Option<&'s Line<'a>> {
        let looks_like = |line: &Line<'_>| match (&line.origin, glance) {
            (Some(origin), Some(glance)) => origin.looks_like(glance),
            (_, None) => true,
            (None, Some(_)) => false,
        };
        loop {
            for line in self.lines.by_ref() {
                if looks_like(line) && !line.touched && line.is_whose(self.subscription) {
                    return Some(line);
                }
            }
            let beside = self.beside;
            let Some(agreement) = self.read.find(|agreement| Some(**agreement) != beside) else { break };
            self.lines = self.picture.lines_of(*agreement).iter();
        }
        let (picture, beside) = (self.picture, self.beside);
        let touched = self.touched.by_ref().filter(|place| Some(place.agreement) != beside);
        touched.filter_map(|place| picture.at(place)).find(|line| looks_like(line))
    }

    /// Those that are not on an agreement, of which no line is looked at.
    pub fn beside(self, agreement: AgreementId) -> Self {
        Self { beside: Some(agreement), ..self }
    }

    /// Those that are for a product in a role.
    pub fn that_are_for(mut self, product: &ProductId, role: Role) -> impl Iterator<Item = &'s Line<'a>> {
        let glance = Glance::of(product, role);
        std::iter::from_fn(move || {
            loop {
                let line = self.next_like(Some(glance))?;
                if line.origin.as_ref().is_some_and(|origin| origin.product() == product) {
                    return Some(line);
                }
            }
        })
    }
}

impl<'s, 'a> Iterator for OwnLines<'s, 'a> {
    type Item = &'s Line<'a>;

    fn next(&mut self) -> Option<&'s Line<'a>> {
        self.next_like(None)
    }
}

/// The id of the change at a place in the plan.
pub fn change_id(index: usize) -> ChangeId {
    // Five digits at least, behind a `c`.
    let mut room = *b"00000000000000000000000";
    let (mut first, mut rest) = (room.len(), index + 1);
    while rest > 0 || room.len() - first < 5 {
        first -= 1;
        room[first] += (rest % 10) as u8;
        rest /= 10;
    }
    first -= 1;
    room[first] = b'c';
    ChangeId::from(str::from_utf8(&room[first..]).unwrap_or_default())
}

/// The place in the plan that an id was made of.
pub fn place_of(id: &ChangeId) -> Option<usize> {
    id.as_str().strip_prefix('c')?.parse::<usize>().ok()?.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_counted_in_five_digits_or_more() {
        for place in [0, 8, 9, 99, 12_344, 99_998, 99_999, 1_234_566, usize::MAX - 1] {
            let id = change_id(place);
            assert_eq!(id.as_str(), format!("c{:05}", place + 1));
            assert_eq!(place_of(&id), Some(place));
        }
    }
}
