//! What people set: which service is which catalog item, by which rule, for whom. Set at a partner it holds below, until
//! a level nearer sets the same.

use super::chain::Rule;
use crate::ids::{AdditionId, CatalogItemId, CustomerId, OrganizationId, ProductId, SourceId};
use crate::psa::CatalogItem;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What a service is billed as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceTarget {
    /// A catalog item.
    Item {
        /// Its id in the tenant that it was chosen in.
        id: CatalogItemId,
        /// Its identifier, letter for letter as it was then.
        identifier: String,
        /// The tenant in which it was chosen: an id of one means nothing in another.
        tenant: String,
    },
    /// Not assigned: nothing is written for it any more.
    NotAssigned,
}

impl ServiceTarget {
    /// Under which identifier this item of a tenant was chosen; none where another one was, or none at all. In the tenant
    /// where it was chosen the id says so, even if the item was renamed since; in another one the identifier.
    pub fn is_item(&self, tenant: &str, item: &CatalogItem) -> Option<&str> {
        match self {
            Self::Item { id, identifier, tenant: of } => {
                let is_it = if of == tenant { *id == item.id } else { *identifier == item.identifier };
                is_it.then_some(identifier.as_str())
            }
            Self::NotAssigned => None,
        }
    }
}

/// One thing that people set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Entry {
    /// What a service is billed as; for one customer where it names one.
    Service {
        /// The service: a product of the source.
        service: ProductId,
        /// For this customer alone.
        customer: Option<CustomerId>,
        /// As what.
        target: ServiceTarget,
    },
    /// How levels become the quantity of a catalog item.
    Product {
        /// The identifier of the catalog item, as services are assigned to it: it means the same in every tenant.
        identifier: String,
        /// Its id in the tenant that the rule was set in.
        item: CatalogItemId,
        /// For this customer alone.
        customer: Option<CustomerId>,
        /// How.
        rule: Rule,
    },
    /// Whether a customer is billed, and for which services. Never inherited: a customer belongs to one organization.
    Customer {
        /// The customer.
        customer: CustomerId,
        /// Whether anything is billed.
        billing: bool,
        /// The services that are ticked; none leaves it to `quantity.customers`.
        ticked: Option<BTreeSet<ProductId>>,
    },
    /// Which addition is a customer's line of an item, where somebody said so. Never inherited.
    Line {
        /// The customer.
        customer: CustomerId,
        /// The catalog item.
        item: CatalogItemId,
        /// What somebody said.
        pick: Pick,
    },
}

/// What somebody said about a line that trueup did not dare to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pick {
    /// It is this addition.
    Addition(AdditionId),
    /// A new one is created. The word holds while trueup knows as many lines of it as then, so that one that is ended
    /// later is not made anew.
    Create {
        /// How many lines trueup knew.
        known: usize,
    },
}

/// What makes an entry another one.
pub type EntryKey = (&'static str, String, String);

impl Entry {
    /// Kind, id and scope: an entry replaces the one with the same of the same source.
    pub fn key(&self) -> EntryKey {
        let scope =
            |customer: &Option<CustomerId>| customer.as_ref().map(ToString::to_string).unwrap_or_default();
        match self {
            Self::Service { service, customer, .. } => ("service", service.to_string(), scope(customer)),
            Self::Product { identifier, customer, .. } => ("product", identifier.clone(), scope(customer)),
            Self::Customer { customer, .. } => ("customer", customer.to_string(), String::new()),
            Self::Line { customer, item, .. } => ("line", item.to_string(), customer.to_string()),
        }
    }

    /// Whether it holds for the organizations below.
    pub fn is_inherited(&self) -> bool {
        match self {
            Self::Service { customer, .. } | Self::Product { customer, .. } => customer.is_none(),
            Self::Customer { .. } | Self::Line { .. } => false,
        }
    }
}

/// An entry with the organization that set it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    /// Who.
    pub from: OrganizationId,
    /// Of which source.
    pub source: SourceId,
    /// What.
    pub entry: Entry,
}

/// What a service is billed as, and who said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assignment<'c> {
    /// As what.
    pub target: &'c ServiceTarget,
    /// The organization that set it.
    pub from: &'c OrganizationId,
}

/// Whether and for what a customer is billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticks<'c> {
    /// Whether anything is.
    pub billing: bool,
    /// The ticked services, where somebody ticked any.
    pub ticked: Option<&'c BTreeSet<ProductId>>,
}

impl Ticks<'_> {
    /// Whether a service is billed.
    pub fn bills(&self, service: &ProductId, ticked_only: bool) -> bool {
        self.billing
            && match self.ticked {
                Some(ticked) => ticked.contains(service),
                None => !ticked_only,
            }
    }
}

/// Everything that people set and that holds for one organization.
#[derive(Clone, Debug, Default)]
pub struct Config {
    by_key: BTreeMap<(SourceId, EntryKey), (OrganizationId, Entry)>,
    sources: BTreeSet<SourceId>,
}

impl Config {
    /// From entries, the nearest level first: of equal ones that one counts. Entries of levels above count where they
    /// are inherited.
    pub fn new(org: &OrganizationId, levels: impl IntoIterator<Item = Level>) -> Self {
        let mut config = Self::default();
        for Level { from, source, entry } in levels {
            if &from != org && !entry.is_inherited() {
                continue;
            }
            if matches!(entry, Entry::Service { .. }) {
                config.sources.insert(source.clone());
            }
            config.by_key.entry((source, entry.key())).or_insert((from, entry));
        }
        config
    }

    /// The sources of which any service was ever assigned: those whose levels are billed at all.
    pub fn sources(&self) -> &BTreeSet<SourceId> {
        &self.sources
    }

    /// The services of a source that are billed as an item of a tenant, each with the customer for whom alone and with the
    /// identifier under which the item was chosen.
    pub fn services_on<'c>(
        &'c self,
        source: &'c SourceId,
        tenant: &'c str,
        item: &'c CatalogItem,
    ) -> impl Iterator<Item = (&'c ProductId, Option<&'c CustomerId>, &'c str)> {
        self.iter().filter(move |(of, _, _)| *of == source).filter_map(move |(_, _, entry)| match entry {
            Entry::Service { service, customer, target } => {
                target.is_item(tenant, item).map(|identifier| (service, customer.as_ref(), identifier))
            }
            Entry::Product { .. } | Entry::Customer { .. } | Entry::Line { .. } => None,
        })
    }

    /// The item of a tenant that a service of a source is assigned to under this identifier: it holds even if the item was
    /// renamed since.
    pub fn chosen_as(&self, source: &SourceId, tenant: &str, identifier: &str) -> Option<CatalogItemId> {
        self.iter().filter(|(of, _, _)| *of == source).find_map(|(_, _, entry)| match entry {
            Entry::Service { target: ServiceTarget::Item { id, identifier: name, tenant: of }, .. } => {
                (of == tenant && name == identifier).then_some(*id)
            }
            Entry::Service { target: ServiceTarget::NotAssigned, .. }
            | Entry::Product { .. }
            | Entry::Customer { .. }
            | Entry::Line { .. } => None,
        })
    }

    /// All entries with their levels.
    pub fn iter(&self) -> impl Iterator<Item = (&SourceId, &OrganizationId, &Entry)> {
        self.by_key.iter().map(|((source, _), (from, entry))| (source, from, entry))
    }

    fn find(&self, source: &SourceId, key: EntryKey) -> Option<(&OrganizationId, &Entry)> {
        self.by_key.get(&(source.clone(), key)).map(|(from, entry)| (from, entry))
    }

    /// What a service is billed as for a customer: the customer's own assignment, else the general one.
    pub fn assignment(
        &self,
        source: &SourceId,
        service: &ProductId,
        customer: &CustomerId,
    ) -> Option<Assignment<'_>> {
        let of = |scope: String| self.find(source, ("service", service.to_string(), scope));
        match of(customer.to_string()).or_else(|| of(String::new()))? {
            (from, Entry::Service { target, .. }) => Some(Assignment { target, from }),
            (_, Entry::Product { .. } | Entry::Customer { .. } | Entry::Line { .. }) => None,
        }
    }

    /// The rule of the item with this identifier for a customer: the customer's own, else the general one, else the plain
    /// count.
    pub fn rule(&self, source: &SourceId, identifier: &str, customer: &CustomerId) -> Rule {
        let of = |scope: String| self.find(source, ("product", identifier.to_owned(), scope));
        match of(customer.to_string()).or_else(|| of(String::new())) {
            Some((_, Entry::Product { rule, .. })) => rule.clone(),
            Some((_, Entry::Service { .. } | Entry::Customer { .. } | Entry::Line { .. })) | None => {
                Rule::default()
            }
        }
    }

    /// Whether and for what a customer is billed.
    pub fn ticks(&self, source: &SourceId, customer: &CustomerId) -> Ticks<'_> {
        match self.find(source, ("customer", customer.to_string(), String::new())) {
            Some((_, Entry::Customer { billing, ticked, .. })) => {
                Ticks { billing: *billing, ticked: ticked.as_ref() }
            }
            Some((_, Entry::Service { .. } | Entry::Product { .. } | Entry::Line { .. })) | None => {
                Ticks { billing: true, ticked: None }
            }
        }
    }

    /// Whether a service that was counted for `whose` is billed to `customer`: the same, or one above. One below that is
    /// switched off is billed through nobody, and of one that has ticks of its own only what is ticked.
    pub fn bills(
        &self,
        source: &SourceId,
        (customer, whose): (&CustomerId, &CustomerId),
        service: &ProductId,
        ticked_only: bool,
    ) -> bool {
        let below = customer == whose || self.ticks(source, whose).bills(service, false);
        below && self.ticks(source, customer).bills(service, ticked_only)
    }

    /// What somebody said about a customer's line of an item.
    pub fn pick(&self, source: &SourceId, customer: &CustomerId, item: CatalogItemId) -> Option<Pick> {
        match self.find(source, ("line", item.to_string(), customer.to_string()))? {
            (_, Entry::Line { pick, .. }) => Some(*pick),
            (_, Entry::Service { .. } | Entry::Product { .. } | Entry::Customer { .. }) => None,
        }
    }

    /// The catalog items that any service is assigned to.
    pub fn items(&self) -> BTreeSet<CatalogItemId> {
        self.by_key
            .values()
            .filter_map(|(_, entry)| match entry {
                Entry::Service { target: ServiceTarget::Item { id, .. }, .. } => Some(*id),
                Entry::Service { target: ServiceTarget::NotAssigned, .. }
                | Entry::Product { .. }
                | Entry::Customer { .. }
                | Entry::Line { .. } => None,
            })
            .collect()
    }
}
