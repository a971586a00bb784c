//! What every kind of task needs first: customer, company, agreement, cycle, currency, catalog items; or the findings
//! that say what is missing.

use super::agreement::{self, Choice};
use super::feed;
use super::index::{Index, SubscriptionNo};
use super::term::{self, NoPeriod};
use super::{TaskInput, World};
use crate::feed::{Charge, Order, OrderKind, OrderLine, Product, Subscription};
use crate::finding::{Code, Finding, Subject};
use crate::ids::{CatalogItemId, CompanyId, CustomerId, OrderId, ProductId, SourceId, SubscriptionId};
use crate::mapping::{Mapping, Mappings, ProductTarget};
use crate::money::{Currency, Money};
use crate::period::{BillingCycle, CycleUnit, Period, next_day};
use crate::plan::TaskOutcome;
use crate::proration::DayCount;
use crate::psa::{Agreement, CatalogItem, CompanyState};
use crate::settings::PriceSource;
use crate::task::{Demand, Task};
use jiff::civil::Date;

/// Why a task gives no changes.
#[derive(Debug)]
pub struct Stop {
    /// What a person should know.
    pub findings: Vec<Finding>,
    /// What becomes of the task.
    pub outcome: TaskOutcome,
}

impl Stop {
    /// The same, with what to do about it.
    pub fn fixed(mut self, fix: &str) -> Self {
        self.findings = self.findings.into_iter().map(|finding| finding.fix(fix)).collect();
        self
    }
}

/// What an agreement has to fit.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// The world.
    pub world: &'a World<'a>,
    /// What is looked up in it.
    pub index: &'a Index<'a>,
    /// The task.
    pub task: &'a Task,
    /// Source.
    pub source: &'a SourceId,
    /// Subscription.
    pub subscription_id: &'a SubscriptionId,
    /// Its number.
    pub subscription: SubscriptionNo,
    /// Customer.
    pub customer_id: &'a CustomerId,
    /// Company.
    pub company: CompanyId,
    /// Billing cycle of the subscription.
    pub cycle: BillingCycle,
    /// Currency of the order.
    pub currency: Currency,
    /// The days to be billed.
    pub days: Period,
    /// The first of them that anything is billed for, where those before are cut off: go-live, the end of a trial or of a
    /// "do not bill".
    pub billed_from: Option<Date>,
    /// The order, where the task is about one.
    pub order: Option<&'a Order>,
}

impl Wanted<'_> {
    /// What findings are about.
    pub fn subject(&self) -> Subject {
        subject_of(self.task)
    }

    /// One finding that ends the task.
    pub fn stop(&self, code: Code, message: String, outcome: TaskOutcome) -> Stop {
        Stop { findings: vec![Finding::new(code, self.subject(), message)], outcome }
    }
}

/// A catalog item that may be billed, or the reason why nothing is.
#[derive(Clone, Copy, Debug)]
pub enum Billing<'a> {
    /// Billed as this item.
    As(&'a CatalogItem),
    /// Someone said that it is not billed.
    Not,
}

/// A product that the task may bill.
#[derive(Clone, Copy, Debug)]
struct Known<'a> {
    id: &'a ProductId,
    product: Option<&'a Product>,
    billing: Billing<'a>,
    /// The first day that is billed, where its mapping names one.
    billed_from: Option<Date>,
}

/// Everything that the planning of one task starts from.
pub struct Context<'a> {
    /// The world.
    pub world: &'a World<'a>,
    /// What is looked up in it.
    pub index: &'a Index<'a>,
    /// The task.
    pub task: &'a Task,
    /// The number of its subscription.
    pub subscription_no: SubscriptionNo,
    /// The subscription of the feed, where it is there.
    pub subscription: Option<&'a Subscription>,
    /// Who is billed.
    pub customer_id: &'a CustomerId,
    /// The company.
    pub company: CompanyId,
    /// The agreement.
    pub agreement: &'a Agreement,
    /// How it was chosen.
    pub choice: Choice,
    /// A separate agreement for prorated lines.
    pub proration_agreement: Option<&'a Agreement>,
    /// Cycle of the subscription.
    pub cycle: BillingCycle,
    /// Currency of everything the task bills.
    pub currency: Currency,
    /// Where prices come from.
    pub price_source: PriceSource,
    /// The billing period that the order names.
    pub order_period: Option<Period>,
    /// The first day that anything is billed: go-live, or the end of a "do not bill" of the customer.
    pub billed_from: Option<Date>,
    /// The orders of the subscription that are planned before this task, the last one first, without those that change it.
    pub earlier: Vec<&'a Order>,
    /// The orders of the subscription that are planned after this task, in their order.
    pub later: Vec<&'a Order>,
    /// Where parts are counted by seconds: the day on which the order was completed, and the seconds of it that were over.
    /// Not told where the order names another day for its effect.
    pub completed: Option<(Date, i64)>,
    products: Vec<Known<'a>>,
    /// Whether the order's prices tell what is free.
    tells_what_is_free: bool,
    fee: Option<&'a CatalogItem>,
}

/// What the findings of a task are about.
pub fn subject_of(task: &Task) -> Subject {
    Subject {
        task: Some(task.id.clone()),
        source: Some(task.source.clone()),
        customer: Some(task.customer.clone()),
        subscription: Some(task.subscription.clone()),
        ..Subject::default()
    }
}

impl<'a> Context<'a> {
    /// Resolves everything for the task at a place, or says what is missing.
    pub fn resolve(
        world: &'a World<'a>,
        index: &'a Index<'a>,
        input: &TaskInput<'a>,
        place: usize,
    ) -> Result<Self, Stop> {
        let task = input.task;
        let subscription_no = index.subscription_of(place);
        let order = match input.demand {
            Demand::Order(order) => Some(order.as_ref()),
            Demand::Reconcile { .. } => None,
        };
        let fail = |code: Code, message: String, outcome: TaskOutcome| Stop {
            findings: vec![Finding::new(code, subject_of(task), message)],
            outcome,
        };
        let subscription = index.subscription(subscription_no);
        if order.is_none() && subscription.is_none() {
            let message = format!("Subscription {} is not in the feed.", task.subscription);
            return Err(fail(Code::Tu8004, message, TaskOutcome::Failed));
        }
        let customer_id = &task.customer;
        let customer = index.customer_of(place);
        if customer.is_some_and(|mapping| mapping.not_billed().is_some()) {
            return Err(Stop { findings: Vec::new(), outcome: TaskOutcome::NothingToDo });
        }
        let company = resolve_company(world, task, customer);
        let cycle = match (subscription, order) {
            (Some(subscription), _) => subscription.billing_cycle,
            (None, Some(order)) => cycle_of(order.period).ok_or_else(|| {
                let message = format!(
                    "The subscription is not in the feed, and the order's period {} is no whole number of months.",
                    order.period
                );
                fail(Code::Tu4006, message, TaskOutcome::Failed)
            })?,
            (None, None) => BillingCycle::MONTHLY,
        };
        let currency = match (order, subscription) {
            (Some(order), Some(subscription)) if order.currency != subscription.currency => {
                let message = format!(
                    "The order is in {} and the subscription in {}; there is no conversion.",
                    order.currency, subscription.currency
                );
                return Err(fail(Code::Tu6001, message, TaskOutcome::Failed));
            }
            (Some(order), _) => order.currency,
            (None, Some(subscription)) => subscription.currency,
            (None, None) => {
                return Err(fail(Code::Tu6001, "No currency is known.".into(), TaskOutcome::Failed));
            }
        };
        let period = order.map(|order| period_of(world, task, order, cycle, subscription)).transpose()?;
        let days = match (period, input.demand) {
            (Some(period), _) => period,
            (None, Demand::Reconcile { period: Some(period), .. }) => *period,
            (None, _) => Period::new(world.today, next_day(world.today))
                .map_err(|e| fail(Code::Tu4006, e.to_string(), TaskOutcome::Failed))?,
        };
        // Missing products and the missing agreement are told together, so that one round of mapping is enough.
        let products =
            resolve_products(world, index, (task, subscription_no), cycle, input.demand, subscription);
        let company = match (company, &products) {
            (Ok(company), _) => company,
            (Err(mut stop), Err(other)) => {
                stop.findings.extend(other.findings.iter().cloned());
                return Err(stop);
            }
            (Err(stop), Ok(_)) => return Err(stop),
        };
        let billed_from =
            world.settings.go_live.max(world.mappings.customer_billed_from(&task.source, &task.customer));
        let wanted = Wanted {
            world,
            index,
            task,
            source: &task.source,
            subscription_id: &task.subscription,
            subscription: subscription_no,
            customer_id: &task.customer,
            company,
            cycle,
            currency,
            days,
            billed_from: billed_from
                .max(first_of_all(products.as_deref().unwrap_or_default()))
                .max(after_trial(order, subscription)),
            order,
        };
        let chosen = agreement::choose(&wanted);
        let (products, (agreement, choice)) = match (products, chosen) {
            (Ok(products), Ok(chosen)) => (products, chosen),
            (Err(mut stop), Err(other)) => {
                stop.findings.extend(other.findings);
                return Err(stop);
            }
            (Err(stop), Ok(_)) | (Ok(_), Err(stop)) => return Err(stop),
        };
        let mapping = world.mappings.agreement_mapping(&task.source, &task.subscription, &task.customer);
        let proration_agreement = mapping
            .and_then(Mappings::proration_agreement_of)
            .and_then(|id| world.snapshot.agreements.get(&id))
            .filter(|a| a.company == company && a.currency == Some(currency));
        let fee = world
            .mappings
            .fee_item(&task.source, "cancellation")
            .and_then(|id| world.snapshot.catalog.get(&id))
            .filter(|item| !item.inactive && !item.bundle);
        let price_source = task.price_source.unwrap_or(world.settings.price_source);
        let by_seconds = world.settings.day_count == DayCount::Seconds;
        Ok(Self {
            world,
            index,
            task,
            subscription_no,
            subscription,
            customer_id,
            company,
            agreement,
            choice,
            proration_agreement,
            cycle,
            currency,
            price_source,
            order_period: period,
            billed_from,
            earlier: Vec::new(),
            later: Vec::new(),
            completed: order
                .filter(|order| by_seconds && !order.effective_given)
                .and_then(Order::completed_within),
            products,
            tells_what_is_free: order.is_some_and(|order| tells_what_is_free(order, price_source)),
            fee,
        })
    }

    /// What findings are about.
    pub fn subject(&self) -> Subject {
        subject_of(self.task)
    }

    /// The same, for one product.
    pub fn subject_of_product(&self, product: &ProductId) -> Subject {
        Subject { product: Some(product.clone()), ..self.subject() }
    }

    /// The order of the task.
    pub fn order_id(&self) -> Option<&'a OrderId> {
        self.task.order_id.as_ref()
    }

    /// The first day on which a product is billed, where days before it are not. Every product has its own, whatever
    /// else an order holds.
    pub fn billed_from(&self, product: &ProductId) -> Option<Date> {
        let own = match self.known(product) {
            Some(known) => known.billed_from,
            None => billed_from(self.world, self.task, self.cycle, product),
        };
        self.billed_from.max(own)
    }

    fn known(&self, product: &ProductId) -> Option<&Known<'a>> {
        // Nearly always it is asked with the id that it was resolved by.
        self.products.iter().find(|known| std::ptr::eq(known.id, product) || known.id == product)
    }

    /// How a product is billed; every product that the task bills was resolved at the start.
    pub fn billing_of(&self, product: &ProductId) -> Option<Billing<'a>> {
        self.known(product).map(|known| known.billing)
    }

    /// Whether a line of the order costs nothing at the source: what is paid never waits for it.
    pub fn is_free(&self, line: &OrderLine) -> bool {
        self.tells_what_is_free && costs_nothing(line)
    }

    /// The item of the cancellation fee.
    pub fn fee_item(&self) -> Option<&'a CatalogItem> {
        self.fee
    }

    /// The product of the feed.
    pub fn product(&self, product: &ProductId) -> Option<&'a Product> {
        match self.known(product) {
            Some(known) => known.product,
            None => self.index.products.get(&self.task.source, product),
        }
    }

    /// The product's name, or its id.
    pub fn product_name<'p>(&self, product: &'p ProductId) -> &'p str
    where
        'a: 'p,
    {
        self.product(product).map_or(product.as_str(), |p| p.name.as_str())
    }

    /// A stop with one finding.
    pub fn stop(&self, code: Code, message: impl Into<String>) -> Stop {
        Stop { findings: vec![Finding::new(code, self.subject(), message)], outcome: TaskOutcome::Failed }
    }
}

/// The first day of a product that is billed, where its mapping names one.
fn billed_from(world: &World<'_>, task: &Task, cycle: BillingCycle, product: &ProductId) -> Option<Date> {
    world.mappings.product_billed_from(&task.source, product, &task.customer, Some(cycle))
}

/// The billing period that an order is about.
fn period_of(
    world: &World<'_>,
    task: &Task,
    order: &Order,
    cycle: BillingCycle,
    subscription: Option<&Subscription>,
) -> Result<Period, Stop> {
    let billed = || cycle.describe();
    let why = match term::billing_period(order, cycle, subscription, world.settings.change_day) {
        Ok(period) => return Ok(period),
        Err(NoPeriod::Calendar(error)) => error.to_string(),
        Err(NoPeriod::NoWholeNumber) => {
            format!(
                "which is longer than a billing period (it is billed {}) and no whole number of them",
                billed()
            )
        }
        Err(NoPeriod::AmountOf(line)) => format!(
            "which holds several billing periods (it is billed {}), and nothing says of how many the amount of line {} is",
            billed(),
            order.lines.get(line).map_or("", |line| line.id.as_str())
        ),
    };
    let message = format!(
        "Order {} names the period {}, {why}: its part cannot be reckoned.",
        order.shown(),
        order.period
    );
    let finding = Finding::new(Code::Tu4006, subject_of(task), message).fix(
        "Send the order with the billing period in which it takes effect (and the amounts of that one), or correct the \
         billing cycle of the subscription.",
    );
    Err(Stop { findings: vec![finding], outcome: TaskOutcome::Failed })
}

/// The first day on which any product is billed, where each has one.
fn first_of_all(products: &[Known<'_>]) -> Option<Date> {
    let billed = || products.iter().filter(|known| matches!(known.billing, Billing::As(_)));
    billed()
        .all(|known| known.billed_from.is_some())
        .then(|| billed().filter_map(|known| known.billed_from).min())?
}

/// The first day after a trial, of what begins a subscription or is reconciled.
fn after_trial(order: Option<&Order>, subscription: Option<&Subscription>) -> Option<Date> {
    let begins = order.is_none_or(|order| order.kind == OrderKind::Sales);
    subscription.filter(|_| begins).and_then(Subscription::after_trial)
}

fn resolve_company(world: &World<'_>, task: &Task, mapping: Option<&Mapping>) -> Result<CompanyId, Stop> {
    let customer = &task.customer;
    let stop = |code: Code, message: String, outcome: TaskOutcome| Stop {
        findings: vec![Finding::new(code, subject_of(task), message)],
        outcome,
    };
    let name = || {
        feed::find(world.customers, &task.source, customer)
            .map_or_else(|| customer.to_string(), |c| format!("{} ({})", c.name, c.id))
    };
    let Some(id) = mapping.and_then(Mappings::company_in) else {
        let message = format!("Customer {} has no company in ConnectWise.", name());
        return Err(stop(Code::Tu2001, message, TaskOutcome::NeedsMapping));
    };
    match world.snapshot.companies.get(&id).map(|c| c.state) {
        Some(CompanyState::Active) => Ok(id),
        Some(CompanyState::Inactive) => {
            let message =
                format!("Customer {} is mapped to company {id}, which is inactive in ConnectWise.", name());
            Err(stop(Code::Tu2002, message, TaskOutcome::Failed))
        }
        Some(CompanyState::Deleted) | None => {
            let message = format!(
                "Customer {} is mapped to company {id}, which is not in ConnectWise any more.",
                name()
            );
            Err(stop(Code::Tu2002, message, TaskOutcome::Failed))
        }
    }
}

/// Whether a line can give an addition at all; lines that cannot need no mapping.
fn needs_item(order: &Order, line: &OrderLine, advance: bool) -> bool {
    if line.charge == Charge::Cancellation {
        return false;
    }
    // The open-ended addition bills the recurring part of a charge-before subscription by itself.
    if order.kind == OrderKind::Billing && advance && line.charge == Charge::Recurring {
        return false;
    }
    let nothing = line.quantity.is_zero()
        && line.amount.is_none_or(|a| a.is_zero())
        && line.new_quantity.is_none_or(|q| q.is_zero())
        && line.old_quantity.is_none_or(|q| q.is_zero());
    // A change of price alone has quantity 0.
    !nothing || matches!(order.kind, OrderKind::Change | OrderKind::Renewal)
}

/// Whether the source charges nothing for a line: it needs no item, and what is billed does not wait for one.
fn costs_nothing(line: &OrderLine) -> bool {
    let zero = |money: Option<Money>| money.is_none_or(Money::is_zero);
    line.unit_price.is_some_and(Money::is_zero) && zero(line.amount) && zero(line.old_unit_price)
}

/// Whether an order tells by its prices what is free. Where prices come from ConnectWise, a source may know none of them,
/// and name 0 everywhere.
fn tells_what_is_free(order: &Order, price_source: PriceSource) -> bool {
    let costs =
        |line: &OrderLine| [line.unit_price, line.amount].into_iter().flatten().any(|money| !money.is_zero());
    price_source == PriceSource::Marketplace || order.lines.iter().any(costs)
}

fn resolve_products<'a>(
    world: &'a World<'a>,
    index: &'a Index<'a>,
    (task, subscription_no): (&'a Task, SubscriptionNo),
    cycle: BillingCycle,
    demand: &'a Demand,
    subscription: Option<&'a Subscription>,
) -> Result<Vec<Known<'a>>, Stop> {
    let advance = subscription.is_none_or(|s| s.billing_model == crate::feed::BillingModel::Advance);
    let mut needed: Vec<(&'a ProductId, bool)> = Vec::new();
    let must = match demand {
        Demand::Order(order) => {
            let lines = order.lines.iter().filter(|l| needs_item(order, l, advance));
            let source = task.price_source.unwrap_or(world.settings.price_source);
            let is_billed = |product: &ProductId| {
                let links = index.links_of(subscription_no).iter();
                links.filter(|link| !link.deleted).any(|link| link.product == *product)
            };
            let told = tells_what_is_free(order, source);
            let must = |l: &OrderLine| !(told && costs_nothing(l)) || is_billed(&l.product);
            needed.extend(lines.map(|l| (&l.product, must(l))));
            // A transfer that comes late moves what orders after it began as well.
            if order.kind == OrderKind::Transfer {
                let there = index.links_of(subscription_no).iter().filter(|link| !link.deleted);
                needed.extend(there.map(|link| (&link.product, false)));
            }
            false
        }
        // What was sold before an order took it away may have to be billed.
        Demand::Reconcile { beside, .. } => {
            needed.extend(
                beside.carried.iter().chain(&beside.open).flat_map(|o| &o.lines).map(|l| (&l.product, false)),
            );
            true
        }
    };
    // A cancellation ends what the subscription holds, and a reconciliation looks at all of it: their items are
    // resolved where they can be, and are missed only when a line would have to be written.
    if let Some(subscription) = subscription {
        needed.extend(subscription.items.iter().map(|i| (&i.product, must && !i.quantity.is_zero())));
        needed.extend(subscription.plan.iter().map(|p| (&p.product, must)));
    }
    needed.sort_by(|a, b| a.0.cmp(b.0).then(b.1.cmp(&a.1)));
    needed.dedup_by(|later, first| later.0 == first.0);
    let mut products = Vec::with_capacity(needed.len());
    let mut findings = Vec::new();
    let mut outcome = TaskOutcome::NeedsMapping;
    for (id, must) in needed {
        let target = world.mappings.product_target(&task.source, id, &task.customer, Some(cycle));
        let product = index.products.get(&task.source, id);
        let mut missed = |code: Code, what: String| {
            let name = product.map_or_else(|| id.to_string(), |p| format!("{} ({})", p.name, p.id));
            let subject = Subject { product: Some(id.clone()), ..subject_of(task) };
            findings.push(Finding::new(code, subject, format!("Product {name} {what}.")));
        };
        match target {
            Some(ProductTarget::DoNotBill(_)) => {
                products.push(Known { id, product, billing: Billing::Not, billed_from: None });
            }
            Some(ProductTarget::Item(item)) => match usable_item(world, item) {
                Ok(item) => {
                    let billed_from = billed_from(world, task, cycle, id);
                    products.push(Known { id, product, billing: Billing::As(item), billed_from });
                }
                Err(why) if must => {
                    outcome = TaskOutcome::Failed;
                    missed(Code::Tu2004, format!("is mapped to catalog item {item}, which {why}"));
                }
                Err(_) => {}
            },
            None if must => missed(Code::Tu2003, "has no catalog item in ConnectWise".to_owned()),
            None => {}
        }
    }
    if findings.is_empty() { Ok(products) } else { Err(Stop { findings, outcome }) }
}

fn usable_item<'a>(world: &'a World<'a>, id: CatalogItemId) -> Result<&'a CatalogItem, &'static str> {
    match world.snapshot.catalog.get(&id) {
        None => Err("is not in ConnectWise any more"),
        Some(item) if item.inactive => Err("is inactive"),
        Some(item) if item.bundle => Err("is a bundle, and bundles cannot be additions"),
        Some(item) => Ok(item),
    }
}

/// The cycle that a period spans, where it is a whole number of months (or of weeks).
pub fn cycle_of(period: Period) -> Option<BillingCycle> {
    for months in 1..=60 {
        let cycle = BillingCycle { every: months, unit: CycleUnit::Month };
        if cycle.boundary(period.start(), 1) == Ok(period.end()) {
            return Some(cycle.normalised());
        }
    }
    let days = period.days();
    // A month laid from an anchor on the 29th to 31st does not come out from its own start.
    if (28..=31).contains(&days) {
        return Some(BillingCycle::MONTHLY);
    }
    (days % 7 == 0).then(|| BillingCycle { every: u32::try_from(days).unwrap_or(7), unit: CycleUnit::Day })
}
