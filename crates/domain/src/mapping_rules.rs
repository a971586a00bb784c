//! What may be mapped to the same: rules over all mappings of an organization, and where they are broken (TU2007).

use crate::feed::{Charge, Order, OrderKind, OrderLine, Subscription};
use crate::finding::{Code, Finding, Subject};
use crate::ids::{AgreementId, CustomerId, ProductId, SourceId, SubscriptionId};
use crate::mapping::{Mapping, MappingKind, MappingOrigin, Mappings, ProductTarget};
use crate::period::BillingCycle;
use crate::plan::{AdditionLink, Role};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How far a catalog item belongs to one product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemRule {
    /// On one agreement: other customers' agreements may use it for another product.
    #[default]
    Agreement,
    /// Everywhere.
    One,
    /// Not at all.
    Many,
}

/// The rules; the default is the strict one of each that still lets two customers buy the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MappingRules {
    /// Whether several customers of one source may be one company.
    pub several_customers: bool,
    /// Whether a person may say that a customer's product of one cycle is billed on several agreements. What trueup
    /// chose by itself, because it was the only one that fits, is no choice of anybody.
    pub several_agreements: bool,
    /// Whether several products may be one catalog item.
    pub item: ItemRule,
    /// Whether agreements are chosen and billed on by the month or by the year alone.
    pub month_or_year: bool,
    /// Whether a mapping that stands has to be released before another one takes its place.
    pub release_first: bool,
}

impl MappingRules {
    /// Whether an agreement of this cycle may be billed on at all.
    pub fn allows_cycle(self, cycle: BillingCycle) -> bool {
        !self.month_or_year
            || cycle.same_length(BillingCycle::MONTHLY)
            || cycle.same_length(BillingCycle::YEARLY)
    }

    /// What a mapping would take the place of, where that has to be released first. What trueup chose by itself gives way.
    pub fn in_the_way<'m>(self, wanted: &Mapping, known: &'m [Mapping]) -> Option<&'m Mapping> {
        let stands = |m: &&Mapping| key_of(m) == key_of(wanted) && is_chosen(m);
        let other = |m: &&Mapping| m.psa_id.is_some() && wanted.psa_id.is_some() && m.psa_id != wanted.psa_id;
        known.iter().filter(|_| self.release_first).find(stands).filter(other)
    }
}

/// What has to agree for a record to be mapped by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sign {
    /// The tax id.
    TaxId,
    /// The domain of web site or mail.
    Domain,
    /// The code that each side keeps of the other.
    Code,
    /// The part number.
    Sku,
    /// The name.
    Name,
}

impl Sign {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::TaxId, Self::Domain, Self::Code, Self::Sku, Self::Name];

    /// The word in settings and reasons.
    pub fn name(self) -> &'static str {
        match self {
            Self::TaxId => "tax_id",
            Self::Domain => "domain",
            Self::Code => "code",
            Self::Sku => "sku",
            Self::Name => "name",
        }
    }

    /// The sign of that word.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sign| sign.name() == name)
    }
}

/// What is mapped by itself, one to one; nothing is where no sign is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ByRule {
    /// Customers to companies.
    pub customers: Option<Sign>,
    /// Products to catalog items.
    pub products: Option<Sign>,
}

/// A subscription, as far as the rules look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// Source.
    pub source: SourceId,
    /// Whose.
    pub customer: CustomerId,
    /// Which.
    pub subscription: SubscriptionId,
    /// Its cycle.
    pub cycle: BillingCycle,
    /// What it consists of, and is about to.
    pub products: BTreeSet<ProductId>,
}

impl Use {
    /// A subscription that is billed: with what its feed record holds, what open-ended lines bill, and what the orders
    /// that are still to be carried out begin; without what these end. None where it is not billed any more.
    pub fn of<'a>(
        source: &SourceId,
        sold: &Subscription,
        links: &[AdditionLink],
        orders: impl IntoIterator<Item = &'a Order>,
    ) -> Option<Self> {
        if !sold.status.bills() {
            return None;
        }
        let held = sold.items.iter().map(|item| &item.product).chain(sold.plan.iter().map(|p| &p.product));
        let held: BTreeSet<ProductId> = held.cloned().collect();
        let open = links.iter().filter(|l| l.role == Role::Recurring && !l.deleted && l.written.is_open());
        let mut products = held.clone();
        products.extend(open.map(|l| l.product.clone()));
        for order in orders {
            for line in order.lines.iter().filter(|l| l.charge == Charge::Recurring) {
                if begins(order.kind, line) {
                    products.insert(line.product.clone());
                } else if ends(line) && !held.contains(&line.product) {
                    products.remove(&line.product);
                }
            }
        }
        Some(Self {
            source: source.clone(),
            customer: sold.customer.clone(),
            subscription: sold.id.clone(),
            cycle: sold.billing_cycle,
            products,
        })
    }
}

fn ends(line: &OrderLine) -> bool {
    line.new_quantity.is_some_and(|new| new.is_zero())
}

/// Whether a recurring line of an order of this kind gives an open-ended addition.
fn begins(kind: OrderKind, line: &OrderLine) -> bool {
    match kind {
        OrderKind::Sales | OrderKind::Transfer | OrderKind::Renewal => !line.quantity.is_zero(),
        OrderKind::Change => !ends(line),
        OrderKind::Billing | OrderKind::Cancellation => false,
    }
}

/// What names a mapping: kind, source, id at the source, scope.
pub type MappingKey = (MappingKind, SourceId, String, String);

/// The key of a mapping.
pub fn key_of(mapping: &Mapping) -> MappingKey {
    (mapping.kind, mapping.source.clone(), mapping.source_id.clone(), mapping.scope.clone())
}

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The mappings that cannot stand together: what stands on them waits.
    pub parties: BTreeSet<MappingKey>,
    /// The mappings of agreements that bring them together.
    pub through: BTreeSet<MappingKey>,
    /// What is about what: names the conflict, so that the same one is the same finding.
    pub about: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub fix: String,
}

impl Conflict {
    /// As a finding.
    pub fn finding(&self) -> Finding {
        let source = self.parties.first().map(|(_, source, _, _)| source.clone());
        let subject = Subject { source, detail: Some(self.about.clone()), ..Subject::default() };
        self.finding_about(subject)
    }

    /// As a finding about something that stands on one of the mappings.
    pub fn finding_about(&self, subject: Subject) -> Finding {
        let subject = Subject { detail: Some(self.about.clone()), ..subject };
        Finding::new(Code::Tu2007, subject, self.message.clone()).fix(self.fix.clone())
    }

    /// Whether a mapping has a share in it.
    pub fn is_made_by(&self, mapping: &MappingKey) -> bool {
        self.parties.contains(mapping) || self.through.contains(mapping)
    }

    /// Whether it is a part of another one, which stood before: then it is no news.
    pub fn is_within(&self, other: &Self) -> bool {
        self.about == other.about && other.parties.is_superset(&self.parties)
    }
}

/// The broken rules, found by the mappings that take part.
#[derive(Clone, Debug, Default)]
pub struct Broken {
    conflicts: Vec<Conflict>,
    of: BTreeMap<MappingKey, usize>,
}

impl Broken {
    /// Where the rules are broken.
    pub fn find(mappings: &Mappings, rules: MappingRules, uses: &[Use]) -> Self {
        let conflicts = conflicts(mappings, rules, uses);
        let parties = conflicts.iter().enumerate();
        let of = parties.flat_map(|(at, c)| c.parties.iter().map(move |key| (key.clone(), at))).collect();
        Self { conflicts, of }
    }

    /// Every one.
    pub fn all(&self) -> &[Conflict] {
        &self.conflicts
    }

    /// The one that a mapping takes part in.
    pub fn of(&self, mapping: &Mapping) -> Option<&Conflict> {
        if self.of.is_empty() {
            return None;
        }
        self.of.get(&key_of(mapping)).and_then(|at| self.conflicts.get(*at))
    }
}

/// Whether the subscriptions have to be looked at to judge these mappings: without two agreements that a person chose
/// and without an item for two products no rule about them can be broken.
pub fn needs_uses(mappings: &Mappings, rules: MappingRules) -> bool {
    // What is chosen for whole customers scatters nothing by itself.
    let scattered = !rules.several_agreements && {
        let chosen = || mappings.iter().filter(|m| m.kind == MappingKind::Agreement && is_chosen(m));
        chosen().any(|m| !m.source_id.starts_with("customer:"))
            && chosen().filter_map(|m| m.psa_id).collect::<BTreeSet<_>>().len() > 1
    };
    scattered || (rules.item == ItemRule::Agreement && has_shared_item(mappings))
}

/// A mapping that would take the place of one that stands.
pub fn not_released(wanted: &Mapping, stands: &Mapping) -> Conflict {
    let id = |m: &Mapping| m.psa_id.map(|id| id.to_string()).unwrap_or_default();
    let what = format!("{} {}", wanted.kind.name(), wanted.source_id);
    Conflict {
        parties: [key_of(stands)].into(),
        through: BTreeSet::new(),
        about: what.clone(),
        message: format!(
            "The {what} is mapped to {} already, and cannot be mapped to {} beside it.",
            id(stands),
            id(wanted)
        ),
        fix: "Release the mapping that stands, then save this one, or set mapping.again to replace.".into(),
    }
}

/// Products that are one catalog item in several billing cycles: nothing is wrong with it, and it is best practice to have
/// an item for each.
pub fn shared_by_cycles(mappings: &Mappings) -> Vec<Conflict> {
    let mut by_product: BTreeMap<(&SourceId, &str, i64), Vec<&Mapping>> = BTreeMap::new();
    for mapping in mappings.iter().filter(|m| m.kind == MappingKind::Product) {
        if let Some(item) = mapping.psa_id {
            by_product.entry((&mapping.source, &mapping.source_id, item)).or_default().push(mapping);
        }
    }
    let is_of_cycle = |m: &&&Mapping| m.scope.starts_with("cycle:");
    by_product
        .into_iter()
        .map(|(of, all)| {
            let cycles = all.iter().filter(is_of_cycle).count();
            let rest = all.iter().any(|m| m.scope.is_empty());
            (of, all, cycles > 1 || cycles == 1 && rest)
        })
        .filter(|(_, _, several)| *several)
        .map(|((_, product, item), all, _)| Conflict {
            parties: all.iter().map(|m| key_of(m)).collect(),
            through: BTreeSet::new(),
            about: format!("product {product}, catalog item {item}"),
            message: format!("Catalog item {item} is product {product} in several billing cycles."),
            fix: "An item of its own for each cycle tells them apart on invoices; where one is meant, mute this.".into(),
        })
        .collect()
}

fn is_chosen(mapping: &Mapping) -> bool {
    mapping.origin != MappingOrigin::Automatic
}

/// Whether two products of whatever source are one item.
fn has_shared_item(mappings: &Mappings) -> bool {
    let mut products: BTreeMap<i64, (&SourceId, &str)> = BTreeMap::new();
    mappings.iter().filter(|m| m.kind == MappingKind::Product).any(|m| {
        let own = (&m.source, m.source_id.as_str());
        m.psa_id.is_some_and(|item| *products.entry(item).or_insert(own) != own)
    })
}

/// Where the rules are broken, in a stable order.
pub fn conflicts(mappings: &Mappings, rules: MappingRules, uses: &[Use]) -> Vec<Conflict> {
    let mut found = Vec::new();
    if !rules.several_customers {
        found.extend(shared_companies(mappings));
    }
    if !rules.several_agreements {
        found.extend(scattered_products(mappings, uses));
    }
    match rules.item {
        ItemRule::Agreement => found.extend(items_shared_on_agreements(mappings, uses)),
        ItemRule::One => found.extend(shared_items(mappings)),
        ItemRule::Many => {}
    }
    found
}

fn listed<T: std::fmt::Display>(all: impl IntoIterator<Item = T>) -> String {
    all.into_iter().map(|one| one.to_string()).collect::<Vec<_>>().join(" and ")
}

/// Mappings of one kind by what they are mapped to, where that is more than one record of a source.
fn shared(mappings: &Mappings, kind: MappingKind) -> Vec<((SourceId, i64), Vec<&Mapping>)> {
    let mut by_target: BTreeMap<(SourceId, i64), Vec<&Mapping>> = BTreeMap::new();
    for mapping in mappings.iter().filter(|m| m.kind == kind) {
        if let Some(target) = mapping.psa_id {
            by_target.entry((mapping.source.clone(), target)).or_default().push(mapping);
        }
    }
    by_target.retain(|_, all| all.iter().map(|m| &m.source_id).collect::<BTreeSet<_>>().len() > 1);
    by_target.into_iter().collect()
}

fn shared_companies(mappings: &Mappings) -> impl Iterator<Item = Conflict> {
    shared(mappings, MappingKind::Customer).into_iter().map(|((_, company), all)| Conflict {
        parties: all.iter().map(|m| key_of(m)).collect(),
        through: BTreeSet::new(),
        about: format!("company {company}"),
        message: format!(
            "Company {company} is mapped to the customers {} at once.",
            listed(all.iter().map(|m| &m.source_id))
        ),
        fix: "Release all but one of them and map the others to their own companies, or set \
              mapping.customer_company to many."
            .into(),
    })
}

fn shared_items(mappings: &Mappings) -> impl Iterator<Item = Conflict> {
    shared(mappings, MappingKind::Product).into_iter().map(|((_, item), all)| {
        let products: BTreeSet<&String> = all.iter().map(|m| &m.source_id).collect();
        Conflict {
            parties: all.iter().map(|m| key_of(m)).collect(),
            through: BTreeSet::new(),
            about: format!("catalog item {item}"),
            message: format!("Catalog item {item} is mapped to the products {} at once.", listed(products)),
            fix: "Map each product to an item of its own, or set mapping.product_item to agreement or many."
                .into(),
        }
    })
}

fn agreement_of<'a>(mappings: &'a Mappings, one: &Use) -> Option<(AgreementId, &'a Mapping)> {
    let mapping = mappings.agreement_mapping(&one.source, &one.subscription, &one.customer)?;
    Some((Mappings::agreement_of(mapping)?, mapping))
}

type Scattered = BTreeMap<AgreementId, BTreeSet<MappingKey>>;

fn scattered_products(mappings: &Mappings, uses: &[Use]) -> Vec<Conflict> {
    let mut by_product: BTreeMap<(&SourceId, &CustomerId, &ProductId, String), Scattered> = BTreeMap::new();
    for one in uses {
        let Some((agreement, mapping)) = agreement_of(mappings, one).filter(|(_, m)| is_chosen(m)) else {
            continue;
        };
        for product in &one.products {
            by_product
                .entry((&one.source, &one.customer, product, one.cycle.normalised().slug()))
                .or_default()
                .entry(agreement)
                .or_default()
                .insert(key_of(mapping));
        }
    }
    by_product
        .into_iter()
        .filter(|(_, agreements)| agreements.len() > 1)
        .map(|((_, customer, product, cycle), agreements)| Conflict {
            about: format!("customer {customer}, product {product}, {cycle}"),
            message: format!(
                "Product {product} of customer {customer} would be billed on the agreements {}.",
                listed(agreements.keys())
            ),
            parties: agreements.into_values().flatten().collect(),
            through: BTreeSet::new(),
            fix: "Map the customer's subscriptions of this product to one agreement, or set \
                  mapping.product_agreement to many."
                .into(),
        })
        .collect()
}

/// Which products share an item, and the mappings that choose the agreement they share it on.
#[derive(Default)]
struct Sharing<'a> {
    products: BTreeMap<(&'a SourceId, &'a ProductId), BTreeSet<MappingKey>>,
    through: BTreeSet<MappingKey>,
}

fn items_shared_on_agreements(mappings: &Mappings, uses: &[Use]) -> Vec<Conflict> {
    let mut by_item: BTreeMap<(AgreementId, i64), Sharing<'_>> = BTreeMap::new();
    for one in uses {
        let Some((agreement, chosen_by)) = agreement_of(mappings, one) else { continue };
        for product in &one.products {
            let Some(mapping) =
                mappings.product_mapping(&one.source, product, &one.customer, Some(one.cycle))
            else {
                continue;
            };
            if let Some(ProductTarget::Item(item)) = Mappings::target_of(mapping) {
                let sharing = by_item.entry((agreement, item.0)).or_default();
                sharing.products.entry((&one.source, product)).or_default().insert(key_of(mapping));
                sharing.through.insert(key_of(chosen_by));
            }
        }
    }
    by_item
        .into_iter()
        .filter(|(_, sharing)| sharing.products.len() > 1)
        .map(|((agreement, item), Sharing { products, through })| Conflict {
            about: format!("agreement {agreement}, catalog item {item}"),
            message: format!(
                "On agreement {agreement}, catalog item {item} would be billed for the products {}.",
                listed(products.keys().map(|(_, product)| product))
            ),
            parties: products.into_values().flatten().collect(),
            through,
            fix: "Map each of these products to an item of its own, give one of them another agreement, or set \
                  mapping.product_item to many."
                .into(),
        })
        .collect()
}
