//! The planner on 1,000,000 additions: 100,000 agreements with ten each, all written by trueup, and a change order for
//! 69,500 of them. Each order gives the lines that end, begin and bill the days between, with reason and formula.
//!
//! `cargo bench -p trueup-domain --bench planner`; `benches/compare.sh` runs it beside Polars' join of as many rows.
#![allow(clippy::panic, reason = "a benchmark whose result is wrong stops")]

mod common;

use common::{Lcg, measure, report_beside, reset_peak};
use jiff::civil::{Date, date};
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::Decimal;
use trueup_domain::feed::{
    BillingModel, Charge, Ext, Order, OrderKind, OrderLine, Product, ProductKind, Subscription,
    SubscriptionStatus,
};
use trueup_domain::ids::{
    AdditionId, AgreementId, CatalogItemId, CompanyId, CustomerId, LineId, OrderId, OrganizationId,
    ProductId, SourceId, SubscriptionId,
};
use trueup_domain::mapping::{Mapping, MappingKind, MappingOrigin, Mappings};
use trueup_domain::money::{Currency, Money, Quantity};
use trueup_domain::period::{BillingCycle, Period};
use trueup_domain::plan::{AdditionLink, DraftPlan, Role};
use trueup_domain::planner::{AdoptionAnswer, Completions, TaskInput, World, plan};
use trueup_domain::psa::{
    AdditionState, Agreement, AgreementStatus, BillFlag, CatalogItem, Company, CompanyState,
    ObservedAddition, Snapshot,
};
use trueup_domain::settings::Settings;
use trueup_domain::task::{Demand, Task, TaskState, task_id_of_order};

/// Additions of an agreement: the products of one subscription.
const EACH: usize = 10;
/// Products of the source.
const PRODUCTS: usize = 400;
/// Of 10,000 additions so many get a change order.
const CHANGED: usize = 695;

const START: Date = date(2026, 1, 1);
const INVOICED: Date = date(2026, 3, 1);
const TODAY: Date = date(2026, 3, 20);

fn source() -> SourceId {
    "market".into()
}

fn subscription_id(agreement: usize) -> SubscriptionId {
    format!("SUB-{agreement:06}").into()
}

fn customer_id(agreement: usize) -> CustomerId {
    format!("CUS-{agreement:06}").into()
}

/// The product of an addition; no two of an agreement have the same.
fn product_of(addition: usize) -> usize {
    (addition * 7 + addition / PRODUCTS) % PRODUCTS
}

fn product_id(product: usize) -> ProductId {
    format!("PRD-{product:03}").into()
}

fn price(product: usize) -> Money {
    Money::new(Decimal::new(500 + product as i64 * 13, 2))
}

fn cost(product: usize) -> Money {
    Money::new(Decimal::new(400 + product as i64 * 11, 2))
}

fn quantity(addition: usize) -> Quantity {
    Quantity::from(1 + (addition % 97) as i64)
}

fn written(addition: usize) -> AdditionState {
    let product = product_of(addition);
    AdditionState {
        catalog_item: CatalogItemId(1 + product as i64),
        quantity: quantity(addition),
        unit_price: price(product),
        unit_cost: cost(product),
        effective: START,
        cancelled: None,
        bill: BillFlag::Billable,
        taxable: None,
        description: None,
        invoice_description: None,
    }
}

/// Everything that a [`World`] borrows.
struct Scene {
    organization: OrganizationId,
    settings: Settings,
    snapshot: Snapshot,
    mappings: Mappings,
    links: Vec<AdditionLink>,
    products: BTreeMap<(SourceId, ProductId), Product>,
    subscriptions: BTreeMap<(SourceId, SubscriptionId), Subscription>,
    tasks: Vec<(Task, Demand)>,
}

impl Scene {
    fn new(count: usize, currency: Currency, march: Period) -> Self {
        let mut scene = Self {
            organization: "default".into(),
            settings: Settings::default(),
            snapshot: Snapshot::default(),
            mappings: Mappings::default(),
            links: Vec::with_capacity(count),
            products: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            tasks: Vec::new(),
        };
        let mut mappings = Vec::new();
        for product in 0..PRODUCTS {
            scene.catalog(product);
            mappings.push(mapping(MappingKind::Product, product_id(product).as_str(), 1 + product as i64));
        }
        for agreement in 0..count / EACH {
            scene.agreement(agreement, currency);
            mappings.push(mapping(
                MappingKind::Customer,
                customer_id(agreement).as_str(),
                1 + agreement as i64,
            ));
        }
        for addition in 0..count {
            scene.addition(addition);
            if addition * 7_919 % 10_000 < CHANGED {
                scene.tasks.push(change_order(addition, currency, march));
            }
        }
        scene.mappings = Mappings::new(mappings);
        let mut random = Lcg(20_260_303);
        random.shuffle(&mut scene.links);
        random.shuffle(&mut scene.tasks);
        scene
    }

    fn catalog(&mut self, product: usize) {
        let id = CatalogItemId(1 + product as i64);
        self.snapshot.catalog.insert(
            id,
            CatalogItem {
                id,
                identifier: format!("item-{product}"),
                description: format!("Item {product}"),
                price: Some(price(product)),
                cost: Some(cost(product)),
                taxable: Some(true),
                inactive: false,
                bundle: false,
            },
        );
        let record = Product {
            id: product_id(product),
            name: format!("Product {product}"),
            sku: None,
            description: None,
            unit: None,
            kind: Some(ProductKind::Seat),
            vendor: None,
            unit_price: None,
            unit_cost: None,
            currency: None,
            billing_cycle: None,
            unit_type: None,
            product_type: None,
            taxable: None,
            active: None,
            ext: Ext::default(),
        };
        self.products.insert((source(), product_id(product)), record);
    }

    fn agreement(&mut self, number: usize, currency: Currency) {
        let (id, company) = (AgreementId(1 + number as i64), CompanyId(1 + number as i64));
        self.snapshot.companies.insert(
            company,
            Company {
                id: company,
                identifier: format!("company-{number}"),
                name: format!("Company {number}"),
                state: CompanyState::Active,
                currency: None,
                profile: Default::default(),
            },
        );
        self.snapshot.agreements.insert(
            id,
            Agreement {
                id,
                name: format!("Agreement {id}"),
                company,
                agreement_type: "Cloud".into(),
                status: AgreementStatus::Active,
                billing_cycle: Some(BillingCycle::MONTHLY),
                currency: Some(currency),
                start: Some(START),
                end: None,
                bill_start: Some(START),
                next_invoice: Some(INVOICED),
                prorates: false,
                prorates_at_once: false,
                by_calendar: false,
                parent: None,
                last_updated: None,
            },
        );
        let record = Subscription {
            id: subscription_id(number),
            customer: customer_id(number),
            name: None,
            status: SubscriptionStatus::Active,
            currency,
            billing_cycle: BillingCycle::MONTHLY,
            billing_model: BillingModel::Advance,
            start: START,
            end: None,
            period: None,
            anchor_day: None,
            plan: None,
            parent: None,
            term: None,
            vendor_id: None,
            trial_until: None,
            cancelled_on: None,
            items: Vec::new(),
            ext: Ext::default(),
        };
        self.subscriptions.insert((source(), subscription_id(number)), record);
    }

    fn addition(&mut self, number: usize) {
        let agreement = AgreementId(1 + (number / EACH) as i64);
        let id = AdditionId(100_000 + number as i64);
        self.links.push(AdditionLink {
            addition: id,
            agreement,
            source: source(),
            subscription: subscription_id(number / EACH),
            product: product_id(product_of(number)),
            role: Role::Recurring,
            order: Some(format!("SO-{:06}", number / EACH).into()),
            key: None,
            true_period: None,
            edits: Vec::new(),
            ends: Vec::new(),
            written: written(number),
            next_invoice_at_write: Some(START),
            prorated: Default::default(),
            deleted: false,
        });
        self.snapshot.additions.entry(agreement).or_default().push(ObservedAddition {
            id,
            agreement,
            state: written(number),
            less_included: Quantity::ZERO,
            marker: None,
            last_updated: None,
        });
    }

    fn plan(&self) -> DraftPlan {
        let customers = BTreeMap::new();
        let completed = Completions::new();
        let world = World {
            organization: &self.organization,
            today: TODAY,
            settings: &self.settings,
            snapshot: &self.snapshot,
            mappings: &self.mappings,
            links: &self.links,
            customers: &customers,
            products: &self.products,
            subscriptions: &self.subscriptions,
            completed: &completed,
            adoption: AdoptionAnswer::Propose,
            unlinked: &BTreeSet::new(),
        };
        let inputs: Vec<TaskInput<'_>> =
            self.tasks.iter().map(|(task, demand)| TaskInput { task, demand }).collect();
        plan(&world, &inputs)
    }
}

fn mapping(kind: MappingKind, source_id: &str, psa_id: i64) -> Mapping {
    Mapping {
        kind,
        source: source(),
        source_id: source_id.into(),
        psa_id: Some(psa_id),
        scope: String::new(),
        options: BTreeMap::new(),
        origin: MappingOrigin::Person,
    }
}

/// Three more of one product from the middle of March on.
fn change_order(addition: usize, currency: Currency, period: Period) -> (Task, Demand) {
    let (agreement, product) = (addition / EACH, product_of(addition));
    let old = quantity(addition);
    let more = Quantity::from(3);
    let line = OrderLine {
        id: LineId::from("1"),
        charge: Charge::Recurring,
        product: product_id(product),
        item: None,
        quantity: more,
        unit_price: Some(price(product)),
        unit_cost: Some(cost(product)),
        old_unit_price: None,
        old_unit_cost: None,
        old_quantity: Some(old),
        new_quantity: old.plus(more).ok(),
        amount: None,
        cost_amount: None,
        period: None,
        description: None,
    };
    let order = Order {
        id: OrderId::from(format!("CH-{addition:07}")),
        number: None,
        kind: OrderKind::Change,
        subscription: subscription_id(agreement),
        customer: None,
        completed_at: "2026-03-15T09:00:00Z".into(),
        completed_us: 1_773_565_200_000_000 + addition as i64,
        created_at: None,
        effective: date(2026, 3, 15),
        effective_given: false,
        period,
        currency,
        status: "completed".into(),
        po_number: None,
        lines: vec![line],
        ext: Ext::default(),
    };
    let task = Task {
        id: task_id_of_order(&source(), &order.id),
        source: source(),
        kind: order.kind.into(),
        customer: customer_id(agreement),
        subscription: order.subscription.clone(),
        order_id: Some(order.id.clone()),
        completed_us: order.completed_us,
        turn: 0,
        state: TaskState::Ready,
        reason: None,
        decided_by: None,
        price_source: None,
        amendments: Vec::new(),
        undone: 0,
    };
    (task, Demand::Order(Box::new(order)))
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    // Without `--bench` (as under `cargo test --all-targets`) it only shows that it runs.
    let count = if has("--bench") { 1_000_000 } else { 10_000 };
    let currency: Currency = "USD".parse().unwrap_or_else(|error| panic!("{error}"));
    let march = Period::new(date(2026, 3, 1), date(2026, 4, 1)).unwrap_or_else(|error| panic!("{error}"));
    let scene = Scene::new(count, currency, march);
    // The records that are planned on were there before, and count for themselves.
    let scene_kb = reset_peak();
    let draft = scene.plan();
    let orders = count / 10_000 * CHANGED;
    let written = draft.changes.iter().filter(|change| change.writes()).count();
    println!("additions={count} orders={orders} changes={written} findings={}", draft.findings.len());
    for change in draft.changes.iter().take(3) {
        println!("{} {}: {} [{}]", change.action.op(), change.role.name(), change.reason, change.formula);
    }
    assert_eq!(scene.tasks.len(), orders);
    assert!(written >= 2 * orders && draft.changes.iter().all(|change| !change.reason.is_empty()));
    if has("--write") {
        // To be compared with what another build writes.
        let text = serde_json::to_string(&draft).unwrap_or_else(|error| panic!("{error}"));
        println!("{text}");
        return;
    }
    drop(draft);
    if has("--once") {
        // For tools that count what one plan does.
        return;
    }
    report_beside("planner", measure("planner", || scene.plan()), scene_kb);
}
