//! What a comparison needs: what people set, what was counted, and ConnectWise read afresh.

use super::run::Request;
use super::used::{Used, month_of_use, used_in};
use super::zone::InZone;
use crate::apply::FreshReads;
use crate::failure::Failure;
use crate::observe::recent::{self, Recent};
use crate::ports::{Clock, Psa, Store};
use crate::presence::Uncounted;
use crate::records::{Connection, Millis, StoredRecord};
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::feed::{Counter, Customer, Product, Record, RecordKind, UsageRecord};
use trueup_domain::ids::{
    AgreementId, CatalogItemId, CompanyId, CustomerId, OrganizationId, ProductId, SourceId, SubscriptionId,
};
use trueup_domain::mapping::Mappings;
use trueup_domain::period::Period;
use trueup_domain::plan::{AdditionLink, CountedFooting, DraftPlan, Role};
use trueup_domain::planner::{AdoptionAnswer, Completions, World};
use trueup_domain::psa::Snapshot;
use trueup_domain::quantity::compare::Inputs;
use trueup_domain::quantity::config::ServiceTarget;
use trueup_domain::quantity::reading::sum;
use trueup_domain::quantity::{
    Config, Entry, Level, Line, LineKey, Policy, QuantityPlan, ReadingKey, Readings, Scene, UsageSum,
    agreements_of_interest, billed_as, chosen_agreement, footings, plan,
};
use trueup_domain::settings::Settings;

/// Records of a page.
const PAGE: u32 = 2_000;

/// Agreements of companies are read beside the chosen ones at most so often: once for each line that may be missing.
const ROUNDS: usize = 3;

/// What an id of ConnectWise means something in: the site and the company that signs in there.
pub fn tenant_of(connection: &Connection) -> String {
    format!("{}|{}", connection.url.trim_end_matches('/').to_ascii_lowercase(), connection.company)
}

/// Everything of trueup's own that a comparison needs.
pub(super) struct Gathered {
    pub policy: Policy,
    pub config: Config,
    pub readings: Readings,
    pub before: BTreeMap<LineKey, Line>,
    pub mappings: Mappings,
    pub links: Vec<AdditionLink>,
    pub customers: BTreeMap<(SourceId, CustomerId), Customer>,
    pub products: BTreeMap<(SourceId, ProductId), Product>,
    subscriptions: BTreeMap<(SourceId, SubscriptionId), trueup_domain::feed::Subscription>,
    pub only: Option<BTreeSet<(SourceId, CustomerId)>>,
    due_only: bool,
    adoption: AdoptionAnswer,
    /// No order stands behind a level.
    completed: Completions,
    unlinked: BTreeSet<String>,
}

/// A comparison with the picture that it stands on.
pub(super) struct Compared {
    pub plan: QuantityPlan,
    pub snapshot: Snapshot,
    /// When the additions of each agreement were read.
    read_at: BTreeMap<AgreementId, Millis>,
    /// What the lines that something is done for stand on.
    pub footings: BTreeMap<LineKey, CountedFooting>,
}

impl Compared {
    /// The reads that a plan of it stands on: apply need not read again what is young enough.
    pub fn reads_of(&self, plan: &DraftPlan) -> FreshReads {
        let written: BTreeSet<AgreementId> = plan.changes.iter().map(|change| change.agreement).collect();
        let read = |id| Some((id, self.snapshot.additions.get(&id)?.clone()));
        recent::take(written.into_iter().filter_map(read), &self.read_at)
    }
}

impl Gathered {
    /// Reads what a run needs. Items that were chosen in another tenant are looked up in this one.
    pub async fn read(
        store: &dyn Store,
        psa: &dyn Psa,
        clock: &dyn Clock,
        request: &Request<'_>,
    ) -> Result<Self, Failure> {
        let levels = resolved(psa, store.list_quantity_entries(request.org).await?, request.tenant).await?;
        let config = Config::new(request.org, levels);
        let mut policy = request.settings.quantity.clone();
        policy.takes_over |= request.adopt;
        let sources = config.sources().clone();
        let own = Self::local(store, clock, request.org, (policy, config), &sources).await?;
        Ok(Self { only: request.only.clone(), due_only: request.due_only, ..own })
    }

    /// Reads what trueup itself knows of some sources.
    pub async fn local(
        store: &dyn Store,
        clock: &dyn Clock,
        org: &OrganizationId,
        (policy, config): (Policy, Config),
        sources: &BTreeSet<SourceId>,
    ) -> Result<Self, Failure> {
        let mut gathered = Self {
            policy,
            readings: Readings::default(),
            before: store
                .list_quantity_lines(org)
                .await?
                .into_iter()
                .map(|line| (line.key(), line))
                .collect(),
            mappings: Mappings::on(store.list_mappings(org).await?, clock.today()),
            links: store.list_links(org).await?,
            customers: BTreeMap::new(),
            products: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            only: None,
            due_only: false,
            adoption: AdoptionAnswer::Propose,
            completed: Completions::new(),
            // What an operation without an answer made is ours, and no link tells of it yet.
            unlinked: store.list_unresolved_operations(org).await?.into_iter().map(|row| row.key).collect(),
            config,
        };
        for source in sources {
            gathered.read_source(store, clock, org, source).await?;
        }
        Ok(gathered)
    }

    async fn read_source(
        &mut self,
        store: &dyn Store,
        clock: &dyn Clock,
        org: &OrganizationId,
        source: &SourceId,
    ) -> Result<(), Failure> {
        for_each(store, org, source, RecordKind::Customer, |row| {
            if let Record::Customer(customer) = row.record {
                self.customers.insert((source.clone(), customer.id.clone()), customer);
            }
        })
        .await?;
        for_each(store, org, source, RecordKind::Product, |row| {
            if let Record::Product(product) = row.record {
                self.products.insert((source.clone(), product.id.clone()), product);
            }
        })
        .await?;
        let names: BTreeMap<ProductId, String> = self
            .products
            .range((source.clone(), ProductId::from(""))..)
            .take_while(|((of, _), _)| of == source)
            .map(|((_, id), product)| (id.clone(), product.name.clone()))
            .collect();
        let name = |product: &ProductId| names.get(product).cloned().unwrap_or_else(|| product.to_string());
        let uncounted = Uncounted::of(store, org, source).await?;
        let mut left_out: Vec<(Counter, String)> = Vec::new();
        let readings = &mut self.readings;
        for_each(store, org, source, RecordKind::Counter, |row| {
            let id = row.record.id();
            if let Record::Counter(counter) = row.record {
                match uncounted.since(&id, &counter.as_of) {
                    Some(as_of) => left_out.push((counter, as_of.to_owned())),
                    None => readings.count(source, &counter, &name(&counter.product)),
                }
            }
        })
        .await?;
        let month = month_of_use(clock.today(), self.policy.usage_of_this_month)?;
        let used = used_in(store, org, source, month).await?;
        let replaced: BTreeSet<&str> = used.replaced.iter().map(String::as_str).collect();
        let summed = |whose: &str, product: &ProductId, records: &[UsageRecord]| {
            sum(records, &replaced).map_err(|error| {
                Failure::wrong(
                    format!("the use of {product} by {whose} cannot be summed: {error}"),
                    "Correct the records at the source.",
                )
            })
        };
        for ((subscription, product), records) in &used.strays {
            let sum = summed(&format!("subscription {subscription}"), product, records)?;
            self.readings.add_stray(source, product, subscription, &sum);
        }
        for ((customer, product), records) in &used.by_key {
            let sum = summed(&format!("customer {customer}"), product, records)?;
            if sum.records > 0 {
                self.add_use((source, customer, product), &name(product), &sum, month)?;
            }
        }
        // Only a month that is over says that somebody used nothing in it.
        if !self.policy.usage_of_this_month {
            self.read_unused(source, &used, &name, month)?;
        }
        // Of several units of one service the newest: the others were left out before it.
        left_out.sort_by(|(one, _), (other, _)| other.as_of.cmp(&one.as_of));
        for (counter, as_of) in &left_out {
            self.readings.leave_out(source, counter, &name(&counter.product), as_of);
        }
        Ok(())
    }

    fn add_use(
        &mut self,
        (source, customer, product): (&SourceId, &CustomerId, &ProductId),
        name: &str,
        sum: &UsageSum,
        month: Period,
    ) -> Result<(), Failure> {
        let key: ReadingKey = (source.clone(), customer.clone(), product.clone());
        self.readings.add_usage(key, name, sum, month).map_err(|error| {
            Failure::wrong(format!("the use of {product} cannot be summed: {error}"), "Correct the records.")
        })
    }

    /// Who is billed by use and used nothing in the month: a use of 0 where others' use of the same is told, and else a
    /// month that was not told.
    fn read_unused(
        &mut self,
        source: &SourceId,
        used: &Used,
        name: &dyn Fn(&ProductId) -> String,
        month: Period,
    ) -> Result<(), Failure> {
        let told: BTreeSet<&ProductId> = used.by_key.keys().map(|(_, product)| product).collect();
        let lines = self.before.values().flat_map(|line| &line.told).filter(|told| told.source == *source);
        let billed: BTreeSet<(CustomerId, ProductId)> =
            lines.map(|told| (told.customer.clone(), told.service.clone())).collect();
        for (customer, product) in billed {
            let pair = (customer, product);
            if !used.ever.contains(&pair) || used.by_key.contains_key(&pair) {
                continue;
            }
            let (customer, product) = pair;
            // It is counted now.
            if self.readings.is_told(&(source.clone(), customer.clone(), product.clone())) {
                continue;
            }
            if told.contains(&product) {
                let none = UsageSum::default();
                self.add_use((source, &customer, &product), &name(&product), &none, month)?;
            } else {
                self.readings.add_unused((source.clone(), customer, product), month);
            }
        }
        Ok(())
    }

    pub fn world<'a>(
        &'a self,
        request: &'a Request<'_>,
        clock: &dyn Clock,
        settings: &'a Settings,
        snapshot: &'a Snapshot,
    ) -> World<'a> {
        World {
            organization: request.org,
            today: clock.today(),
            settings,
            snapshot,
            mappings: &self.mappings,
            links: &self.links,
            customers: &self.customers,
            products: &self.products,
            subscriptions: &self.subscriptions,
            completed: &self.completed,
            adoption: self.adoption,
            unlinked: &self.unlinked,
        }
    }

    fn inputs(&self) -> Inputs<'_> {
        Inputs {
            policy: &self.policy,
            config: &self.config,
            readings: &self.readings,
            before: &self.before,
            only: self.only.as_ref(),
            due_only: self.due_only,
        }
    }

    /// Reads ConnectWise, as far as it is not known, and compares. Before anything is said to be missing, the other
    /// agreements of its company are read as well.
    pub async fn compare(
        &self,
        psa: &dyn Psa,
        clock: &dyn Clock,
        request: &Request<'_>,
        recent: &Recent<'_>,
    ) -> Result<Compared, Failure> {
        let mut snapshot = self.headers(psa).await?;
        let wanted = {
            let world = self.world(request, clock, request.settings, &snapshot);
            agreements_of_interest(&Scene::new(&world, self.inputs()))
        };
        let mut read_at = BTreeMap::new();
        self.add_additions(recent, &mut snapshot, &mut read_at, wanted).await?;
        for _ in 0..ROUNDS {
            let world = self.world(request, clock, request.settings, &snapshot);
            let compared = plan(&Scene::new(&world, self.inputs()));
            if compared.unread.is_empty() {
                let footings = self.footings(&compared);
                return Ok(Compared { plan: compared, snapshot, read_at, footings });
            }
            self.add_additions(recent, &mut snapshot, &mut read_at, compared.unread).await?;
        }
        let world = self.world(request, clock, request.settings, &snapshot);
        let plan = plan(&Scene::new(&world, self.inputs()));
        let footings = self.footings(&plan);
        Ok(Compared { plan, snapshot, read_at, footings })
    }

    fn footings(&self, plan: &QuantityPlan) -> BTreeMap<LineKey, CountedFooting> {
        let acting = plan.lines.iter().filter(|planned| planned.acts());
        let lines = acting.map(|planned| (planned.line.key(), planned.name.clone())).collect();
        footings(&self.inputs(), (&self.mappings, &self.customers), &lines)
    }

    /// Companies and agreements of the customers that something was counted for, and the catalog items.
    async fn headers(&self, psa: &dyn Psa) -> Result<Snapshot, Failure> {
        let mut snapshot = Snapshot::default();
        let looked_at =
            |key: &(SourceId, CustomerId)| self.only.as_ref().is_none_or(|only| only.contains(key));
        // Levels below may count for a customer above.
        let known = (&self.mappings, &self.customers);
        let chosen =
            |(source, customer): &(SourceId, CustomerId)| chosen_agreement(&self.mappings, source, customer);
        let billed = |(source, whose): (&SourceId, &CustomerId)| {
            (source.clone(), billed_as(known, self.policy.with_children, source, whose).clone())
        };
        let mut customers: BTreeSet<(SourceId, CustomerId)> =
            self.readings.iter().map(|((source, whose, _), _)| billed((source, whose))).collect();
        // Of some customers the lines are looked at whole: others may have a part in them.
        if let Some(only) = &self.only {
            let own: BTreeSet<(SourceId, CustomerId)> =
                only.iter().map(|(source, whose)| billed((source, whose))).collect();
            let agreements: BTreeSet<AgreementId> = own.iter().filter_map(chosen).collect();
            customers.retain(|key| {
                own.contains(key) || chosen(key).is_some_and(|agreement| agreements.contains(&agreement))
            });
        }
        let companies: BTreeSet<CompanyId> = customers
            .iter()
            .filter_map(|(source, customer)| self.mappings.company_of(source, customer))
            .collect();
        if !companies.is_empty() {
            let ids: Vec<CompanyId> = companies.into_iter().collect();
            snapshot.companies =
                psa.list_companies(Some(&ids)).await?.into_iter().map(|c| (c.id, c)).collect();
            snapshot.agreements =
                psa.list_agreements(Some(&ids)).await?.into_iter().map(|a| (a.id, a)).collect();
        }
        // A customer may have been mapped to another company since its lines were written.
        let missing: BTreeSet<AgreementId> = self
            .links
            .iter()
            .filter(|link| link.role == Role::Quantity && !link.deleted)
            .filter(|link| {
                let customer = link.subscription.as_str().strip_prefix("quantity:").map(CustomerId::from);
                customer.is_some_and(|customer| looked_at(&(link.source.clone(), customer)))
            })
            .map(|link| link.agreement)
            .filter(|id| !snapshot.agreements.contains_key(id))
            .collect();
        // One of another company may have been chosen: it is looked at, to say so.
        let chosen = customers.iter().filter_map(chosen);
        let missing: BTreeSet<AgreementId> =
            missing.into_iter().chain(chosen.filter(|id| !snapshot.agreements.contains_key(id))).collect();
        if !missing.is_empty() {
            let ids: Vec<AgreementId> = missing.into_iter().collect();
            let found = psa.list_agreements_by_id(&ids).await?;
            snapshot.agreements.extend(found.into_iter().map(|a| (a.id, a)));
        }
        let items: Vec<CatalogItemId> = self.config.items().into_iter().collect();
        if !items.is_empty() {
            snapshot.catalog =
                psa.list_catalog_items(Some(&items)).await?.into_iter().map(|item| (item.id, item)).collect();
        }
        Ok(snapshot)
    }

    async fn add_additions(
        &self,
        recent: &Recent<'_>,
        snapshot: &mut Snapshot,
        read_at: &mut BTreeMap<AgreementId, Millis>,
        wanted: BTreeSet<AgreementId>,
    ) -> Result<(), Failure> {
        let wanted: Vec<AgreementId> =
            wanted.into_iter().filter(|id| !snapshot.additions.contains_key(id)).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let (read, unreadable) = recent.additions_of(&wanted, &self.links).await?;
        if let Some(error) = unreadable.into_values().next() {
            return Err(error.into());
        }
        // One that went away in between must not pass for one without lines.
        snapshot.agreements.retain(|id, _| read.contains_key(id) || !wanted.contains(id));
        recent::put(read, snapshot, read_at);
        Ok(())
    }
}

/// Whether lines stand on the same as they did: what was counted, and what people set. In words what moved.
///
/// # Errors
/// The store's.
pub(crate) async fn moved(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    settings: &Settings,
    then: &[CountedFooting],
) -> Result<Option<String>, Failure> {
    let other = others_since(store, clock, org, settings, then).await?;
    Ok(other.first().map(|line| {
        format!(
            "what is counted for `{}` on agreement {}, or what is set for it, is another since",
            line.name, line.agreement
        )
    }))
}

/// The lines that stand on something else since: the source or a person said otherwise.
///
/// # Errors
/// The store's.
pub(crate) async fn others_since<'t>(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    settings: &Settings,
    then: &'t [CountedFooting],
) -> Result<Vec<&'t CountedFooting>, Failure> {
    if then.is_empty() {
        return Ok(Vec::new());
    }
    let clock = &InZone::new(clock, &settings.quantity.zone);
    let config = super::config(store, org).await?;
    let sources = config.sources().clone();
    let gathered = Gathered::local(store, clock, org, (settings.quantity.clone(), config), &sources).await?;
    let lines = then.iter().map(|line| (line.line(), line.name.clone())).collect();
    let now = footings(&gathered.inputs(), (&gathered.mappings, &gathered.customers), &lines);
    Ok(then.iter().filter(|line| now.get(&line.line()) != Some(line)).collect())
}

/// Entries whose item was chosen in another tenant name the item of the same identifier in this one, letter for letter;
/// one that is not there is kept as an id that cannot be used.
async fn resolved(psa: &dyn Psa, levels: Vec<Level>, tenant: &str) -> Result<Vec<Level>, Failure> {
    let mut known: BTreeMap<String, CatalogItemId> = BTreeMap::new();
    let mut out = Vec::with_capacity(levels.len());
    for mut level in levels {
        if let Entry::Service { target: ServiceTarget::Item { id, identifier, tenant: of }, .. } =
            &mut level.entry
            && of.as_str() != tenant
        {
            let here = match known.get(identifier) {
                Some(id) => *id,
                None => {
                    let found = psa.find_catalog_items(identifier).await?;
                    let same = found.iter().find(|item| item.identifier == *identifier);
                    let id = same.map_or(NOWHERE, |item| item.id);
                    known.insert(identifier.clone(), id);
                    id
                }
            };
            *id = here;
        }
        out.push(level);
    }
    Ok(out)
}

/// An id that no catalog item has.
const NOWHERE: CatalogItemId = CatalogItemId(0);

pub(super) async fn for_each(
    store: &dyn Store,
    org: &OrganizationId,
    source: &SourceId,
    kind: RecordKind,
    mut take: impl FnMut(StoredRecord),
) -> Result<(), Failure> {
    let mut after: Option<String> = None;
    loop {
        let page = store.list_records_after(org, source, kind, after.as_deref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.record.id());
        page.into_iter().for_each(&mut take);
    }
}
