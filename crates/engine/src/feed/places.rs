//! Which organization a record is of: its customer's, where the feed places that one under a partner of the tree
//! (`customer.organization`). What a customer has goes with it; products go to each organization that has customers.

use super::Destination;
use crate::failure::Failure;
use crate::ports::Store;
use crate::records::{IncomingRecord, incoming};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use trueup_domain::feed::{Customer, Record, RecordKind};
use trueup_domain::ids::{CustomerId, OrganizationId, SourceId, SubscriptionId};

/// So many records wait for their customer at most; more are of the organization that is imported into.
const MOST_WAITING: usize = 50_000;
/// Records read at once of what is there already.
const PAGE: u32 = 5_000;

/// Where the customers of a source are in the tree.
pub(super) struct Places<'a> {
    to: Destination<'a>,
    /// The organizations below the one that is imported into.
    below: BTreeSet<OrganizationId>,
    customers: HashMap<CustomerId, OrganizationId>,
    subscriptions: HashMap<SubscriptionId, OrganizationId>,
    waiting: Vec<IncomingRecord>,
    /// Which records wait: what comes of them later waits behind them, so that the last version counts.
    awaited: HashSet<(RecordKind, String)>,
    /// Those that had customers of this source before this import.
    before: BTreeSet<OrganizationId>,
    /// How many records each organization below got.
    placed: BTreeMap<OrganizationId, u64>,
    /// Customers that stay where they are, though the feed places them elsewhere.
    stay: BTreeMap<(OrganizationId, OrganizationId), (u64, CustomerId)>,
}

/// Whose a record is.
enum Whose<'r> {
    Customer(&'r CustomerId),
    Subscription(&'r SubscriptionId),
    /// Everybody's.
    Nobodys,
}

fn whose(record: &Record) -> Whose<'_> {
    match record {
        Record::Customer(customer) => Whose::Customer(&customer.id),
        Record::Contact(contact) => Whose::Customer(&contact.customer),
        Record::Subscription(subscription) => Whose::Customer(&subscription.customer),
        Record::Order(order) => Whose::Subscription(&order.subscription),
        Record::Usage(usage) => match (&usage.subscription, &usage.customer) {
            (Some(subscription), _) => Whose::Subscription(subscription),
            (None, Some(customer)) => Whose::Customer(customer),
            (None, None) => Whose::Nobodys,
        },
        Record::Counter(counter) => Whose::Customer(&counter.customer),
        Record::Invoice(invoice) => Whose::Customer(&invoice.customer),
        Record::Alert(alert) => Whose::Customer(&alert.customer),
        Record::Organization(_) | Record::Product(_) | Record::Payment(_) | Record::Snapshot(_) => {
            Whose::Nobodys
        }
    }
}

impl<'a> Places<'a> {
    /// What is known before an import; none where nobody is below the organization.
    pub(super) async fn load(to: Destination<'a>) -> Result<Option<Self>, Failure> {
        let Some(store) = to.store else { return Ok(None) };
        let rows = store.list_organizations().await?;
        let mut below: BTreeSet<OrganizationId> = BTreeSet::new();
        loop {
            let is_below = |id: &OrganizationId| id == to.org || below.contains(id);
            let more: Vec<OrganizationId> = rows
                .iter()
                .filter(|row| row.id != *to.org && !below.contains(&row.id))
                .filter(|row| row.parent.as_ref().is_some_and(is_below))
                .map(|row| row.id.clone())
                .collect();
            if more.is_empty() {
                break;
            }
            below.extend(more);
        }
        if below.is_empty() {
            return Ok(None);
        }
        let known = placed_by(store, to.org, to.source).await?;
        let before: BTreeSet<OrganizationId> = known.intersection(&below).cloned().collect();
        let (customers, subscriptions) = (HashMap::new(), HashMap::new());
        let (waiting, awaited) = (Vec::new(), HashSet::new());
        let (placed, stay) = (BTreeMap::new(), BTreeMap::new());
        let mut places = Self { to, below, customers, subscriptions, waiting, awaited, before, placed, stay };
        let homes: Vec<OrganizationId> =
            std::iter::once(to.org.clone()).chain(places.before.iter().cloned()).collect();
        for home in homes {
            places.read(store, &home).await?;
        }
        Ok(Some(places))
    }

    /// The customers and subscriptions that an organization has already.
    async fn read(&mut self, store: &dyn Store, home: &OrganizationId) -> Result<(), Failure> {
        for kind in [RecordKind::Customer, RecordKind::Subscription] {
            let mut after: Option<String> = None;
            loop {
                let page =
                    store.list_records_after(home, self.to.source, kind, after.as_deref(), PAGE).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.record.id());
                let is_last = u32::try_from(page.len()).is_ok_and(|count| count < PAGE);
                for row in page {
                    match row.record {
                        Record::Customer(customer) => drop(self.customers.insert(customer.id, home.clone())),
                        Record::Subscription(of) => drop(self.subscriptions.insert(of.id, home.clone())),
                        _ => {} // open set: no other kind was asked for
                    }
                }
                if is_last {
                    break;
                }
            }
        }
        Ok(())
    }

    /// The organization of a customer: where it is already, else where the feed places it.
    fn home_of(&mut self, customer: &Customer) -> OrganizationId {
        let named = customer.organization.as_ref().filter(|named| self.below.contains(*named));
        let wanted = named.unwrap_or(self.to.org);
        match self.customers.get(&customer.id) {
            Some(home) => {
                if home != wanted && (self.stay.len() < super::remarks::MOST || named.is_some()) {
                    let key = (home.clone(), wanted.clone());
                    self.stay.entry(key).or_insert((0, customer.id.clone())).0 += 1;
                }
                home.clone()
            }
            None => {
                self.customers.insert(customer.id.clone(), wanted.clone());
                wanted.clone()
            }
        }
    }

    /// Whether the feed's word about a customer's organization is followed.
    pub(super) fn knows(&self, organization: &OrganizationId) -> bool {
        self.below.contains(organization)
    }

    /// The organization of a record; none where its customer did not come yet.
    fn home(&mut self, record: &Record) -> Option<OrganizationId> {
        if let Record::Customer(customer) = record {
            return Some(self.home_of(customer));
        }
        if let Record::Subscription(subscription) = record {
            let known = self.subscriptions.get(&subscription.id).cloned();
            let home = known.or_else(|| self.customers.get(&subscription.customer).cloned())?;
            self.subscriptions.insert(subscription.id.clone(), home.clone());
            return Some(home);
        }
        match whose(record) {
            Whose::Customer(customer) => self.customers.get(customer).cloned(),
            Whose::Subscription(subscription) => self.subscriptions.get(subscription).cloned(),
            Whose::Nobodys => Some(self.to.org.clone()),
        }
    }

    /// The organization of the customer that an order of an unknown subscription names.
    fn named_by(&self, record: &Record) -> Option<OrganizationId> {
        match record {
            Record::Order(order) => self.customers.get(order.customer.as_ref()?).cloned(),
            _ => None, // open set: the others name nobody else
        }
    }

    /// The records of a batch, by organization, in their order. What nobody knows the customer of yet is kept for the end.
    pub(super) fn sort(&mut self, batch: Vec<IncomingRecord>) -> Vec<(OrganizationId, Vec<IncomingRecord>)> {
        let mut sorted: BTreeMap<OrganizationId, Vec<IncomingRecord>> = BTreeMap::new();
        for record in batch {
            if !self.awaited.is_empty() && self.awaited.contains(&(record.record.kind(), record.id.clone())) {
                self.waiting.push(record);
                continue;
            }
            match self.home(&record.record) {
                Some(home) => sorted.entry(home).or_default().push(record),
                None if self.waiting.len() < MOST_WAITING => {
                    self.awaited.insert((record.record.kind(), record.id.clone()));
                    self.waiting.push(record);
                }
                None => sorted.entry(self.to.org.clone()).or_default().push(record),
            }
        }
        self.count(&sorted);
        sorted.into_iter().collect()
    }

    /// What waited, once everything was read.
    pub(super) fn rest(&mut self) -> Vec<(OrganizationId, Vec<IncomingRecord>)> {
        let mut waiting = std::mem::take(&mut self.waiting);
        // Subscriptions first: orders and use go where those are.
        waiting.sort_by_key(|record| record.record.kind() != RecordKind::Subscription);
        let mut sorted: BTreeMap<OrganizationId, Vec<IncomingRecord>> = BTreeMap::new();
        for record in waiting {
            let home = self.home(&record.record).or_else(|| self.named_by(&record.record));
            let home = home.unwrap_or_else(|| self.to.org.clone());
            sorted.entry(home).or_default().push(record);
        }
        self.count(&sorted);
        sorted.into_iter().collect()
    }

    fn count(&mut self, sorted: &BTreeMap<OrganizationId, Vec<IncomingRecord>>) {
        for (org, records) in sorted.iter().filter(|(org, _)| *org != self.to.org) {
            *self.placed.entry(org.clone()).or_default() += records.len() as u64;
        }
    }

    /// The organizations below that have customers of the source.
    pub(super) fn others(&self) -> BTreeSet<OrganizationId> {
        self.before.iter().chain(self.placed.keys()).cloned().collect()
    }

    /// Gives the products to those that have customers, and remembers who they are.
    pub(super) async fn finish(&mut self, products_changed: bool) -> Result<(), Failure> {
        let Some(store) = self.to.store else { return Ok(()) };
        let others = self.others();
        let lacking: Vec<&OrganizationId> =
            others.iter().filter(|org| products_changed || !self.before.contains(*org)).collect();
        if !lacking.is_empty() {
            let products = store.list_records(self.to.org, Some(self.to.source), RecordKind::Product).await?;
            let products: Vec<IncomingRecord> =
                products.into_iter().map(|row| incoming(row.record)).collect();
            for org in lacking {
                for batch in products.chunks(super::BATCH) {
                    store.save_records(org, self.to.source, self.to.at, batch).await?;
                }
            }
        }
        if others != self.before {
            let text = serde_json::to_string(&others).unwrap_or_default();
            store.save_mark(self.to.org, &mark_of(self.to.source), &text).await?;
        }
        Ok(())
    }

    /// How many records each organization below got, and the customers that stay elsewhere than the feed says.
    #[allow(clippy::type_complexity)]
    pub(super) fn told(
        self,
    ) -> (BTreeMap<OrganizationId, u64>, BTreeMap<(OrganizationId, OrganizationId), (u64, CustomerId)>) {
        (self.placed, self.stay)
    }
}

/// The mark that names the organizations below with customers of a source.
/// The organizations below an importer in which its imports of a source placed customers.
///
/// # Errors
/// The store's.
pub async fn placed_by(
    store: &dyn Store,
    importer: &OrganizationId,
    source: &SourceId,
) -> Result<BTreeSet<OrganizationId>, Failure> {
    let known = store.load_mark(importer, &mark_of(source)).await?;
    Ok(known.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}

fn mark_of(source: &SourceId) -> String {
    format!("places/{source}")
}
