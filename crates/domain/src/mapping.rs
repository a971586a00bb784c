//! Mappings: the statement that something at the source is something in ConnectWise.

mod sorted;

use crate::ids::{
    AdditionId, AgreementId, CatalogItemId, CompanyId, CustomerId, ProductId, SourceId, SubscriptionId,
};
use crate::period::BillingCycle;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use sorted::Sorted;
use std::collections::BTreeMap;

/// What a mapping is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MappingKind {
    /// A customer is a company.
    Customer,
    /// A product is a catalog item.
    Product,
    /// A subscription (or all of a customer's) is billed on an agreement.
    Agreement,
    /// A fee is a catalog item.
    Fee,
    /// An addition that is there already is a subscription's line.
    Addition,
}

impl MappingKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::Customer, Self::Product, Self::Agreement, Self::Fee, Self::Addition];

    /// The word in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Product => "product",
            Self::Agreement => "agreement",
            Self::Fee => "fee",
            Self::Addition => "addition",
        }
    }

    /// The kind that a file names.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Where a mapping came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MappingOrigin {
    /// A person, by hand or by file.
    Person,
    /// The only suitable choice, made by trueup and remembered.
    Automatic,
    /// An addition taken over.
    Adopted,
}

/// One mapping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// What it is about.
    pub kind: MappingKind,
    /// The source whose ids are meant.
    pub source: SourceId,
    /// Customer, product or subscription id; `customer:ID`; a fee's name; or `subscription:ID/PRODUCT`.
    pub source_id: String,
    /// The record in ConnectWise; none with the option `do_not_bill`.
    pub psa_id: Option<i64>,
    /// Empty, a customer id, or `cycle:1-month`.
    pub scope: String,
    /// `key=value` pairs: `do_not_bill=reason` with `until=2026-06-30`, `billed_from=2026-07-01`, `proration=41`,
    /// `auto_sync=off`, `with=312 313`.
    pub options: BTreeMap<String, String>,
    /// Where it came from.
    pub origin: MappingOrigin,
}

impl Mapping {
    /// Why it is not billed, where that is what the mapping says.
    pub fn not_billed(&self) -> Option<&str> {
        self.options.get("do_not_bill").map(String::as_str)
    }

    /// The last day on which it is not billed, where one was named.
    pub fn until(&self) -> Option<Date> {
        self.options.get("until").and_then(|text| text.parse().ok())
    }

    /// Whether it says "do not bill" and its last day is over.
    pub fn has_expired(&self, today: Date) -> bool {
        self.not_billed().is_some() && self.until().is_some_and(|last| last < today)
    }

    /// The additions that a mapping of an addition names beside its own, by the option `with=312 313`.
    pub fn named_together(&self) -> impl Iterator<Item = AdditionId> {
        let others = self.options.get("with").map_or("", String::as_str);
        others.split([' ', ',', '+']).filter_map(|id| id.parse().ok()).map(AdditionId)
    }

    /// Several rows of one file that name additions of one line are one mapping: what they bill together is what is sold.
    /// Takes in what another row names; `false` where that row is about something else.
    pub fn join(&mut self, other: &Self) -> bool {
        let same = self.kind == MappingKind::Addition
            && other.kind == self.kind
            && (&other.source, &other.source_id, &other.scope)
                == (&self.source, &self.source_id, &self.scope);
        if !same {
            return false;
        }
        let mut with: Vec<AdditionId> = self.named_together().collect();
        for id in other.psa_id.map(AdditionId).into_iter().chain(other.named_together()) {
            if Some(id.0) != self.psa_id && !with.contains(&id) {
                with.push(id);
            }
        }
        if !with.is_empty() {
            let with: Vec<String> = with.iter().map(ToString::to_string).collect();
            self.options.insert("with".into(), with.join(" "));
        }
        true
    }

    /// The first day that is billed, where the days before it are not: the one that is named, or the day after the
    /// last one of "do not bill".
    pub fn billed_from(&self) -> Option<Date> {
        let named = self.options.get("billed_from").and_then(|text| text.parse().ok());
        let after = self.not_billed().and_then(|_| self.until()).and_then(|last| last.tomorrow().ok());
        named.max(after)
    }

    /// The same without a "do not bill" that is over: what it is mapped to counts from then on.
    fn billed_again(mut self) -> Self {
        if let Some(from) = self.billed_from() {
            self.options.insert("billed_from".into(), from.to_string());
        }
        self.options.remove("do_not_bill");
        self.options.remove("until");
        self
    }
}

/// What a product is mapped to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProductTarget {
    /// Billed as this catalog item.
    Item(CatalogItemId),
    /// Not billed, for this reason.
    DoNotBill(String),
}

/// All mappings of an organization, looked up by the planner.
#[derive(Clone, Debug, Default)]
pub struct Mappings {
    by_key: Sorted,
    expired: Vec<Mapping>,
    /// Whether any of them names a first day that is billed.
    dated: bool,
}

impl Mappings {
    /// Gathers mappings; a later one with the same kind, source, id and scope wins.
    pub fn new(mappings: impl IntoIterator<Item = Mapping>) -> Self {
        let by_key = Sorted::new(mappings);
        let dated = by_key.iter().any(|mapping| mapping.billed_from().is_some());
        Self { by_key, expired: Vec::new(), dated }
    }

    /// The mappings that hold on a day. A "do not bill" whose last day is over holds no more: what the mapping names
    /// counts from the day after, else whatever stands behind it (a general mapping, or nothing).
    pub fn on(mappings: impl IntoIterator<Item = Mapping>, today: Date) -> Self {
        let mut expired = Vec::new();
        let mut in_force = Vec::new();
        for mapping in mappings {
            match (mapping.has_expired(today), mapping.psa_id) {
                (false, _) => in_force.push(mapping),
                (true, Some(_)) => in_force.push(mapping.billed_again()),
                (true, None) => expired.push(mapping),
            }
        }
        Self { expired, ..Self::new(in_force) }
    }

    /// The "do not bill" of a customer or product that ran out with nothing named behind it, where there is one.
    pub fn expired(&self, kind: MappingKind, source: &SourceId, source_id: &str) -> Option<&Mapping> {
        self.expired.iter().find(|m| m.kind == kind && &m.source == source && m.source_id == source_id)
    }

    /// The first day that is billed of a customer, where days before it are not.
    pub fn customer_billed_from(&self, source: &SourceId, customer: &CustomerId) -> Option<Date> {
        if !self.dated {
            return None;
        }
        self.customer(source, customer).and_then(Mapping::billed_from)
    }

    /// The first day that is billed of a customer's product, where days before it are not.
    pub fn product_billed_from(
        &self,
        source: &SourceId,
        product: &ProductId,
        customer: &CustomerId,
        cycle: Option<BillingCycle>,
    ) -> Option<Date> {
        if !self.dated && self.expired.is_empty() {
            return None;
        }
        let in_force = self.product_mapping(source, product, customer, cycle).and_then(Mapping::billed_from);
        if self.expired.is_empty() {
            return in_force;
        }
        let scopes: Vec<String> = product_scopes(customer, cycle).collect();
        self.expired
            .iter()
            .filter(|m| {
                m.kind == MappingKind::Product && &m.source == source && m.source_id == product.as_str()
            })
            .filter(|m| scopes.contains(&m.scope))
            .map(Mapping::billed_from)
            .fold(in_force, Option::max)
    }

    /// All mappings, in a stable order.
    pub fn iter(&self) -> impl Iterator<Item = &Mapping> {
        self.by_key.iter()
    }

    /// The mapping with exactly this scope.
    pub fn find(
        &self,
        kind: MappingKind,
        source: &SourceId,
        source_id: &str,
        scope: &str,
    ) -> Option<&Mapping> {
        self.by_key.find(kind, source, source_id, scope)
    }

    /// The mapping of a customer.
    pub fn customer(&self, source: &SourceId, customer: &CustomerId) -> Option<&Mapping> {
        self.find(MappingKind::Customer, source, customer.as_str(), "")
    }

    /// The company of a customer.
    pub fn company_of(&self, source: &SourceId, customer: &CustomerId) -> Option<CompanyId> {
        self.customer(source, customer).and_then(Self::company_in)
    }

    /// The company that a customer's mapping names.
    pub fn company_in(mapping: &Mapping) -> Option<CompanyId> {
        mapping.psa_id.map(CompanyId)
    }

    /// Why a customer is not billed, where someone said so.
    pub fn customer_not_billed(&self, source: &SourceId, customer: &CustomerId) -> Option<&str> {
        self.customer(source, customer).and_then(Mapping::not_billed)
    }

    /// What a customer's mapping says of runs that nobody starts, by the option `auto_sync=on` or `auto_sync=off`.
    pub fn syncs_by_itself(&self, source: &SourceId, customer: &CustomerId) -> Option<bool> {
        let mapping = self.customer(source, customer)?;
        mapping.options.get("auto_sync").map(|value| value == "on")
    }

    /// The catalog item of a product: the customer's own mapping first, then the cycle's, then the general one.
    pub fn product_target(
        &self,
        source: &SourceId,
        product: &ProductId,
        customer: &CustomerId,
        cycle: Option<BillingCycle>,
    ) -> Option<ProductTarget> {
        self.product_mapping(source, product, customer, cycle).and_then(Self::target_of)
    }

    /// The mapping that counts for a product of a customer.
    pub fn product_mapping(
        &self,
        source: &SourceId,
        product: &ProductId,
        customer: &CustomerId,
        cycle: Option<BillingCycle>,
    ) -> Option<&Mapping> {
        match self.by_key.about(MappingKind::Product, source, product.as_str()) {
            // Most products have one mapping for all.
            [general] if general.scope.is_empty() => Some(general),
            about => product_scopes(customer, cycle)
                .find_map(|scope| about.iter().find(|mapping| mapping.scope == scope)),
        }
    }

    /// What a product's mapping says.
    pub fn target_of(mapping: &Mapping) -> Option<ProductTarget> {
        match mapping.not_billed() {
            Some(reason) => Some(ProductTarget::DoNotBill(reason.to_owned())),
            None => mapping.psa_id.map(|id| ProductTarget::Item(CatalogItemId(id))),
        }
    }

    /// The catalog item of a fee.
    pub fn fee_item(&self, source: &SourceId, fee: &str) -> Option<CatalogItemId> {
        self.find(MappingKind::Fee, source, fee, "").and_then(|m| m.psa_id).map(CatalogItemId)
    }

    /// The mapping that chooses the agreement of a subscription: its own, else its customer's.
    pub fn agreement_mapping(
        &self,
        source: &SourceId,
        subscription: &SubscriptionId,
        customer: &CustomerId,
    ) -> Option<&Mapping> {
        if !self.by_key.has(MappingKind::Agreement) {
            return None;
        }
        self.find(MappingKind::Agreement, source, subscription.as_str(), "")
            .or_else(|| self.find(MappingKind::Agreement, source, &format!("customer:{customer}"), ""))
    }

    /// The agreement that a mapping names.
    pub fn agreement_of(mapping: &Mapping) -> Option<AgreementId> {
        mapping.psa_id.map(AgreementId)
    }

    /// The separate agreement for prorated lines that a mapping names by the option `proration=ID`.
    pub fn proration_agreement_of(mapping: &Mapping) -> Option<AgreementId> {
        mapping.options.get("proration").and_then(|id| id.parse().ok()).map(AgreementId)
    }

    /// The addition that someone said is a subscription's line for a product; the first one, where several are together.
    pub fn adopted_addition(
        &self,
        source: &SourceId,
        subscription: &SubscriptionId,
        product: &ProductId,
    ) -> Option<AdditionId> {
        self.adopted_mapping(source, subscription, product).and_then(|m| m.psa_id).map(AdditionId)
    }

    /// All additions that someone said are together a subscription's line for a product: the one that the mapping names,
    /// and those of its option `with`.
    pub fn adopted_additions(
        &self,
        source: &SourceId,
        subscription: &SubscriptionId,
        product: &ProductId,
    ) -> Vec<AdditionId> {
        let Some(mapping) = self.adopted_mapping(source, subscription, product) else { return Vec::new() };
        let mut all: Vec<AdditionId> = mapping.psa_id.map(AdditionId).into_iter().collect();
        for id in mapping.named_together() {
            if !all.contains(&id) {
                all.push(id);
            }
        }
        all
    }

    /// Whether any mapping names an addition.
    pub fn names_additions(&self) -> bool {
        self.by_key.has(MappingKind::Addition)
    }

    fn adopted_mapping(
        &self,
        source: &SourceId,
        subscription: &SubscriptionId,
        product: &ProductId,
    ) -> Option<&Mapping> {
        if !self.by_key.has(MappingKind::Addition) {
            return None;
        }
        let id = format!("subscription:{subscription}/{product}");
        self.find(MappingKind::Addition, source, &id, "")
    }
}

/// The scopes of a product's mappings that count for a customer, the nearest first.
fn product_scopes(customer: &CustomerId, cycle: Option<BillingCycle>) -> impl Iterator<Item = String> {
    let of_cycle = cycle.map(|c| [format!("cycle:{}", c.slug()), format!("cycle:{}", c.normalised().slug())]);
    std::iter::once(customer.as_str().to_owned())
        .chain(of_cycle.into_iter().flatten())
        .chain(std::iter::once(String::new()))
}
