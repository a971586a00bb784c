//! The planner's working picture: what the agreements hold, overlaid with what the plan has done so far.

use super::World;
use crate::ids::{
    AdditionId, AgreementId, CatalogItemId, ChangeId, CompanyId, OrderId, ProductId, SourceId, SubscriptionId,
};
use crate::money::Quantity;
use crate::period::Period;
use crate::plan::{AdditionLink, OperationKey, Role, Target, looks_like_key};
use crate::psa::{AdditionState, Agreement};
use jiff::civil::Date;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

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

/// What is looked up again and again: built once a plan.
#[derive(Debug)]
pub struct Index<'a> {
    links: BTreeMap<&'a SourceId, BTreeMap<&'a SubscriptionId, Vec<&'a AdditionLink>>>,
    agreements: BTreeMap<CompanyId, Vec<&'a Agreement>>,
    additions: BTreeSet<AdditionId>,
    removed: BTreeSet<&'a OperationKey>,
}

impl<'a> Index<'a> {
    /// The links and agreements of the world.
    pub fn new(world: &'a World<'a>) -> Self {
        let mut links: BTreeMap<_, BTreeMap<_, Vec<_>>> = BTreeMap::new();
        for link in world.links {
            links.entry(&link.source).or_default().entry(&link.subscription).or_default().push(link);
        }
        let mut agreements: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for agreement in world.snapshot.agreements.values() {
            agreements.entry(agreement.company).or_default().push(agreement);
        }
        let additions = world.snapshot.additions.values().flatten().map(|a| a.id).collect();
        let removed = world.links.iter().filter(|l| l.deleted).filter_map(|l| l.key.as_ref()).collect();
        Self { links, agreements, additions, removed }
    }

    /// Whether trueup wrote the line with this key and removed it again: what an order made and a later one took away
    /// is not made again.
    pub fn was_removed(&self, key: &OperationKey) -> bool {
        self.removed.contains(key)
    }

    /// Whether the addition was read.
    pub fn was_read(&self, addition: AdditionId) -> bool {
        self.additions.contains(&addition)
    }

    /// What trueup wrote or took over for a subscription.
    pub fn links_of(&self, source: &SourceId, subscription: &SubscriptionId) -> &[&'a AdditionLink] {
        self.links.get(source).and_then(|of| of.get(subscription)).map_or(&[], Vec::as_slice)
    }

    /// The agreements of a company.
    pub fn agreements_of(&self, company: CompanyId) -> &[&'a Agreement] {
        self.agreements.get(&company).map_or(&[], Vec::as_slice)
    }
}

/// How to take one step back.
#[derive(Clone, Debug)]
enum Undo {
    Added(Target),
    Changed(Target, Box<Line>),
    Removed(usize, Box<Line>),
}

/// A map of which copies are cheap: what was there at the start is shared, and what changed since lies over it.
#[derive(Clone, Debug)]
struct Layered<K, V> {
    base: Arc<BTreeMap<K, V>>,
    changed: BTreeMap<K, Option<V>>,
}

impl<K: Ord, V> Default for Layered<K, V> {
    fn default() -> Self {
        Self { base: Arc::default(), changed: BTreeMap::new() }
    }
}

impl<K: Ord, V> Layered<K, V> {
    fn new(base: BTreeMap<K, V>) -> Self {
        Self { base: Arc::new(base), changed: BTreeMap::new() }
    }

    fn get(&self, key: &K) -> Option<&V> {
        self.changed.get(key).map_or_else(|| self.base.get(key), Option::as_ref)
    }

    fn set(&mut self, key: K, value: Option<V>) {
        self.changed.insert(key, value);
    }
}

/// All lines of the agreements that were read. Steps can be taken back, so that a task that does not come through
/// leaves nothing behind. A copy shares with the original what neither has changed.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    lines: BTreeMap<AgreementId, Arc<Vec<Line>>>,
    home: Layered<Target, AgreementId>,
    keys: Layered<OperationKey, Target>,
    subscriptions: Layered<(SourceId, SubscriptionId), Vec<Target>>,
    undo: Vec<Undo>,
}

impl Picture {
    /// What the snapshot holds, with the origin of each line that is ours.
    pub fn new(world: &World<'_>) -> Self {
        let links: BTreeMap<_, _> =
            world.links.iter().filter(|l| !l.deleted).map(|l| (l.addition, l)).collect();
        let mut lines = BTreeMap::new();
        let mut home = Vec::new();
        let mut keys = BTreeMap::new();
        let mut subscriptions: BTreeMap<_, Vec<Target>> = BTreeMap::new();
        for (agreement, additions) in &world.snapshot.additions {
            let mut of_agreement = Vec::with_capacity(additions.len());
            for addition in additions {
                let link = links.get(&addition.id);
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
                let target = Target::Existing(addition.id);
                home.push((target.clone(), *agreement));
                if let Some(key) = &key {
                    keys.entry(key.clone()).or_insert_with(|| target.clone());
                }
                if let Some(link) = link {
                    subscriptions.entry((&link.source, &link.subscription)).or_default().push(target.clone());
                }
                of_agreement.push(Line {
                    target,
                    agreement: *agreement,
                    state: addition.state.clone(),
                    less_included: addition.less_included,
                    key,
                    origin,
                });
            }
            if !of_agreement.is_empty() {
                lines.insert(*agreement, Arc::new(of_agreement));
            }
        }
        let subscriptions =
            subscriptions.into_iter().map(|((source, id), of)| ((source.clone(), id.clone()), of));
        Self {
            lines,
            home: Layered::new(home.into_iter().collect()),
            keys: Layered::new(keys),
            subscriptions: Layered::new(subscriptions.collect()),
            undo: Vec::new(),
        }
    }

    fn put(&mut self, place: Option<usize>, line: Line) {
        self.home.set(line.target.clone(), Some(line.agreement));
        if let Some(key) = line.key.as_ref().filter(|key| self.keys.get(key).is_none()) {
            self.keys.set(key.clone(), Some(line.target.clone()));
        }
        if let Some(origin) = &line.origin {
            self.of(origin).push(line.target.clone());
        }
        let lines = Arc::make_mut(self.lines.entry(line.agreement).or_default());
        lines.insert(place.unwrap_or(lines.len()).min(lines.len()), line);
    }

    /// The lines of the subscription that a line comes from.
    fn of(&mut self, origin: &Origin) -> &mut Vec<Target> {
        let key = (origin.source.clone(), origin.subscription.clone());
        let before = self.subscriptions.base.get(&key);
        let of = self.subscriptions.changed.entry(key).or_insert_with(|| before.cloned());
        of.get_or_insert_default()
    }

    fn take(&mut self, target: &Target) -> Option<(usize, Line)> {
        let lines = self.lines.get_mut(self.home.get(target)?)?;
        let place = lines.iter().position(|l| &l.target == target)?;
        let line = Arc::make_mut(lines).remove(place);
        self.home.set(target.clone(), None);
        if let Some(key) = line.key.as_ref().filter(|key| self.keys.get(key) == Some(target)) {
            self.keys.set(key.clone(), None);
        }
        if let Some(origin) = &line.origin {
            self.of(origin).retain(|t| t != target);
        }
        Some((place, line))
    }

    /// Where the picture stands now, to come back to.
    pub fn mark(&self) -> usize {
        self.undo.len()
    }

    /// Takes every step back that was taken since the mark.
    pub fn roll_back(&mut self, mark: usize) {
        while self.undo.len() > mark {
            match self.undo.pop() {
                Some(Undo::Added(target)) => {
                    self.take(&target);
                }
                Some(Undo::Changed(target, before)) => {
                    if let Some((place, _)) = self.take(&target) {
                        self.put(Some(place), *before);
                    }
                }
                Some(Undo::Removed(place, line)) => self.put(Some(place), *line),
                None => break,
            }
        }
    }

    /// The lines of one agreement.
    pub fn lines_of(&self, agreement: AgreementId) -> &[Line] {
        self.lines.get(&agreement).map_or(&[], |lines| lines.as_slice())
    }

    /// The lines of one subscription, whatever agreement they are on, in the order in which they came about.
    pub fn of_subscription<'p>(
        &'p self,
        source: &SourceId,
        subscription: &SubscriptionId,
    ) -> impl Iterator<Item = &'p Line> + use<'p> {
        let targets = self.subscriptions.get(&(source.clone(), subscription.clone()));
        targets.map_or(&[][..], Vec::as_slice).iter().filter_map(|target| self.find(target))
    }

    /// The line that carries a key.
    pub fn find_key(&self, key: &OperationKey) -> Option<&Line> {
        self.keys.get(key).and_then(|target| self.find(target))
    }

    /// One line.
    pub fn find(&self, target: &Target) -> Option<&Line> {
        self.lines_of(*self.home.get(target)?).iter().find(|l| &l.target == target)
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
        self.undo.push(Undo::Added(line.target.clone()));
        self.put(None, line);
    }

    fn change(&mut self, target: &Target, edit: impl FnOnce(&mut Line)) {
        if let Some((place, mut line)) = self.take(target) {
            self.undo.push(Undo::Changed(target.clone(), Box::new(line.clone())));
            edit(&mut line);
            self.put(Some(place), line);
        }
    }

    /// Changes a line.
    pub fn set_state(&mut self, target: &Target, state: &AdditionState) {
        self.change(target, |line| {
            line.state = state.clone();
            if let Some(origin) = &mut line.origin {
                origin.written = state.clone();
            }
        });
    }

    /// Says whose a line is.
    pub fn claim(&mut self, target: &Target, origin: &Origin) {
        self.change(target, |line| line.origin = Some(origin.clone()));
    }

    /// Removes a line.
    pub fn remove(&mut self, target: &Target) {
        if let Some((place, line)) = self.take(target) {
            self.undo.push(Undo::Removed(place, Box::new(line)));
        }
    }
}

/// The id of the change at a place in the plan.
pub fn change_id(index: usize) -> ChangeId {
    ChangeId(format!("c{:05}", index + 1))
}
