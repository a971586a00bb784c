//! A small world to plan in: one company, agreements, items, and an `apply` that does to the picture what ConnectWise
//! would do.
#![allow(dead_code, reason = "each test file uses its own part of it")]

use jiff::civil::Date;
use std::cell::RefCell;
use std::collections::BTreeMap;
use trueup_domain::balance::unbalanced;
use trueup_domain::check::check;
use trueup_domain::feed::*;
use trueup_domain::ids::*;
use trueup_domain::mapping::*;
use trueup_domain::period::*;
use trueup_domain::plan::*;
use trueup_domain::planner::{
    AdoptionAnswer, Carried, Completions, Credit, Extent, TaskInput, World, plan, plan_what_passes, undo,
};
use trueup_domain::psa::*;
use trueup_domain::settings::Settings;
use trueup_domain::task::*;

pub fn day(text: &str) -> Date {
    text.parse().unwrap()
}

pub fn period(start: &str, end: &str) -> Period {
    Period::new(day(start), day(end)).unwrap()
}

#[derive(Clone)]
pub struct Lab {
    pub today: Date,
    pub settings: BTreeMap<String, String>,
    pub snapshot: Snapshot,
    pub mappings: Vec<Mapping>,
    pub links: Vec<AdditionLink>,
    pub products: BTreeMap<(SourceId, ProductId), Product>,
    pub subscriptions: BTreeMap<(SourceId, SubscriptionId), Subscription>,
    pub adoption: AdoptionAnswer,
    /// When the orders that were planned so far were completed.
    pub completed: RefCell<Completions>,
    /// The orders that were planned so far.
    pub orders: RefCell<BTreeMap<TaskId, Order>>,
    /// Those of them that were carried out.
    pub carried_out: std::collections::BTreeSet<TaskId>,
    pub next_id: i64,
    pub org: OrganizationId,
    /// Plans whose lines come to something else than their orders are what the test is about.
    pub moves_apart: bool,
    /// Keys of operations whose outcome is not known.
    pub unlinked: std::collections::BTreeSet<String>,
}

pub const SOURCE: &str = "default";

impl Lab {
    /// Company 12 with the monthly USD agreement 40, billed from `bill_start`, invoiced up to `next`.
    pub fn monthly(bill_start: &str, next: &str) -> Self {
        let mut lab = Self {
            today: day("2023-03-20"),
            settings: BTreeMap::new(),
            snapshot: Snapshot::default(),
            mappings: Vec::new(),
            links: Vec::new(),
            products: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            adoption: AdoptionAnswer::Propose,
            completed: RefCell::default(),
            orders: RefCell::default(),
            carried_out: std::collections::BTreeSet::new(),
            next_id: 1000,
            org: OrganizationId::from("default"),
            moves_apart: false,
            unlinked: std::collections::BTreeSet::new(),
        };
        lab.snapshot.companies.insert(
            CompanyId(12),
            Company {
                id: CompanyId(12),
                identifier: "green".into(),
                name: "Green Lane LLC".into(),
                state: CompanyState::Active,
                currency: None,
                profile: Default::default(),
            },
        );
        lab.agreement(40, BillingCycle::MONTHLY, "USD", bill_start, next);
        lab.map(MappingKind::Customer, "c-100", 12);
        lab
    }

    pub fn agreement(&mut self, id: i64, cycle: BillingCycle, currency: &str, bill_start: &str, next: &str) {
        self.snapshot.additions.insert(AgreementId(id), Vec::new());
        self.snapshot.agreements.insert(
            AgreementId(id),
            Agreement {
                id: AgreementId(id),
                name: format!("Agreement {id}"),
                company: CompanyId(12),
                agreement_type: "Cloud".into(),
                status: AgreementStatus::Active,
                billing_cycle: Some(cycle),
                currency: Some(currency.parse().unwrap()),
                start: Some(day(bill_start)),
                end: None,
                bill_start: Some(day(bill_start)),
                next_invoice: Some(day(next)),
                prorates: false,
                prorates_at_once: false,
                by_calendar: false,
                parent: None,
                last_updated: None,
            },
        );
    }

    /// Another customer, c-200: company 13, with agreement 50.
    pub fn second_customer(&mut self, bill_start: &str, next: &str) {
        let mut other = self.snapshot.companies[&CompanyId(12)].clone();
        other.id = CompanyId(13);
        self.snapshot.companies.insert(other.id, other);
        self.agreement(50, BillingCycle::MONTHLY, "USD", bill_start, next);
        self.agreement_mut(50).company = CompanyId(13);
        self.map(MappingKind::Customer, "c-200", 13);
    }

    pub fn agreement_mut(&mut self, id: i64) -> &mut Agreement {
        self.snapshot.agreements.get_mut(&AgreementId(id)).unwrap()
    }

    pub fn set(&mut self, key: &str, value: &str) -> &mut Self {
        self.settings.insert(key.into(), value.into());
        self
    }

    pub fn map(&mut self, kind: MappingKind, source_id: &str, psa_id: i64) {
        self.mappings.push(Mapping {
            kind,
            source: SourceId::from(SOURCE),
            source_id: source_id.into(),
            psa_id: Some(psa_id),
            scope: String::new(),
            options: BTreeMap::new(),
            origin: MappingOrigin::Person,
        });
    }

    /// A product with a catalog item of the same price, mapped.
    pub fn product(&mut self, id: &str, item: i64, kind: ProductKind, price: &str, cost: &str) {
        self.products.insert(
            (SourceId::from(SOURCE), ProductId::from(id)),
            Product {
                id: ProductId::from(id),
                name: id.to_uppercase(),
                sku: None,
                description: None,
                unit: None,
                kind: Some(kind),
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
            },
        );
        self.item(item, price, cost);
        self.map(MappingKind::Product, id, item);
    }

    pub fn item(&mut self, item: i64, price: &str, cost: &str) {
        self.snapshot.catalog.insert(
            CatalogItemId(item),
            CatalogItem {
                id: CatalogItemId(item),
                identifier: format!("item-{item}"),
                description: format!("Item {item}"),
                price: Some(price.parse().unwrap()),
                cost: Some(cost.parse().unwrap()),
                taxable: Some(true),
                inactive: false,
                bundle: false,
            },
        );
    }

    pub fn subscription(&mut self, id: &str, cycle: BillingCycle, model: BillingModel, start: &str) {
        self.subscriptions.insert(
            (SourceId::from(SOURCE), SubscriptionId::from(id)),
            Subscription {
                id: SubscriptionId::from(id),
                customer: CustomerId::from("c-100"),
                name: None,
                status: SubscriptionStatus::Active,
                currency: "USD".parse().unwrap(),
                billing_cycle: cycle,
                billing_model: model,
                start: day(start),
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
            },
        );
    }

    /// An open addition that someone made by hand.
    pub fn by_hand(&mut self, agreement: i64, id: i64, item: i64, quantity: &str, price: &str, from: &str) {
        let state = AdditionState {
            catalog_item: CatalogItemId(item),
            quantity: quantity.parse().unwrap(),
            unit_price: price.parse().unwrap(),
            unit_cost: "17.60".parse().unwrap(),
            effective: day(from),
            cancelled: None,
            bill: BillFlag::Billable,
            taxable: Some(true),
            description: None,
            invoice_description: None,
        };
        self.snapshot.additions.get_mut(&AgreementId(agreement)).unwrap().push(ObservedAddition {
            id: AdditionId(id),
            agreement: AgreementId(agreement),
            state,
            less_included: Default::default(),
            marker: None,
            last_updated: None,
        });
    }

    pub fn task(&self, order: &Order) -> Task {
        let key = (SourceId::from(SOURCE), order.id.clone());
        self.completed.borrow_mut().insert(key, (order.completed_us, 0));
        let id = task_id_of_order(&SourceId::from(SOURCE), &order.id);
        self.orders.borrow_mut().insert(id, order.clone());
        Task {
            id: task_id_of_order(&SourceId::from(SOURCE), &order.id),
            source: SourceId::from(SOURCE),
            kind: order.kind.into(),
            customer: order.customer.clone().unwrap_or(CustomerId::from("c-100")),
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
        }
    }

    pub fn plan(&self, orders: &[&Order]) -> DraftPlan {
        let tasks: Vec<(Task, Demand)> =
            orders.iter().map(|o| (self.task(o), Demand::Order(Box::new((*o).clone())))).collect();
        self.plan_tasks(&tasks)
    }

    pub fn plan_tasks(&self, tasks: &[(Task, Demand)]) -> DraftPlan {
        let inputs: Vec<TaskInput<'_>> =
            tasks.iter().map(|(task, demand)| TaskInput { task, demand }).collect();
        self.in_world(&inputs, |world| plan(world, &inputs))
    }

    /// The agreements that the plan of these tasks needs.
    pub fn of_interest(&self, tasks: &[(Task, Demand)]) -> std::collections::BTreeSet<AgreementId> {
        let inputs: Vec<TaskInput<'_>> =
            tasks.iter().map(|(task, demand)| TaskInput { task, demand }).collect();
        self.with_world(|world| trueup_domain::planner::agreements_of_interest(world, &inputs))
    }

    /// A plan that is not checked yet.
    pub fn drafted(&self, tasks: &[(Task, Demand)]) -> DraftPlan {
        let inputs: Vec<TaskInput<'_>> =
            tasks.iter().map(|(task, demand)| TaskInput { task, demand }).collect();
        self.with_world(|world| plan(world, &inputs))
    }

    /// The plan of what passes the checker, before the checker sees it.
    pub fn passing(&self, tasks: &[(Task, Demand)]) -> DraftPlan {
        let inputs: Vec<TaskInput<'_>> =
            tasks.iter().map(|(task, demand)| TaskInput { task, demand }).collect();
        self.with_world(|world| plan_what_passes(world, &inputs))
    }

    /// What is made of this world as it stands.
    fn with_world<T>(&self, make: impl FnOnce(&World<'_>) -> T) -> T {
        let settings = Settings::from_values(&self.settings).unwrap();
        let mappings = Mappings::new(self.mappings.clone());
        let customers = BTreeMap::new();
        let mut completed = self.completed.borrow().clone();
        for (_, order) in self.orders.borrow().iter().filter(|(task, _)| self.carried_out.contains(task)) {
            completed.carry_out(SourceId::from(SOURCE), order.clone());
        }
        make(&World {
            organization: &self.org,
            today: self.today,
            settings: &settings,
            snapshot: &self.snapshot,
            mappings: &mappings,
            links: &self.links,
            customers: &customers,
            products: &self.products,
            subscriptions: &self.subscriptions,
            completed: &completed,
            adoption: self.adoption,
            unlinked: &self.unlinked,
        })
    }

    /// A plan that is made of this world, checked.
    fn in_world(&self, tasks: &[TaskInput<'_>], make: impl FnOnce(&World<'_>) -> DraftPlan) -> DraftPlan {
        self.with_world(|world| {
            let mut draft = make(world);
            let apart = unbalanced(&draft, world, tasks, world.completed);
            assert!(apart.is_empty() || self.moves_apart, "{apart:#?}\n{}", show(&draft));
            draft.findings.extend(apart);
            match check(draft, world) {
                Ok(checked) => checked.plan().clone(),
                Err(refused) => panic!("the checker refused: {:#?}\n{}", refused.1, show(&refused.0)),
            }
        })
    }

    /// By how much the lines of a plan come to something else than its orders.
    pub fn apart(&self, draft: &DraftPlan, tasks: &[(Task, Demand)]) -> Vec<trueup_domain::finding::Finding> {
        let inputs: Vec<TaskInput<'_>> =
            tasks.iter().map(|(task, demand)| TaskInput { task, demand }).collect();
        self.with_world(|world| unbalanced(draft, world, &inputs, world.completed))
    }

    /// Why the checker refuses a plan that was made by hand.
    pub fn refused(&self, draft: DraftPlan) -> Vec<trueup_domain::finding::Code> {
        self.with_world(|world| match check(draft, world) {
            Ok(_) => Vec::new(),
            Err(refused) => refused.1.iter().map(|f| f.code).collect(),
        })
    }

    /// Does to the picture what ConnectWise would do; gives the addition that each change worked on.
    pub fn apply(&mut self, draft: &DraftPlan) -> BTreeMap<ChangeId, AdditionId> {
        let mut made: BTreeMap<ChangeId, AdditionId> = BTreeMap::new();
        for (task, outcome) in &draft.outcomes {
            if matches!(outcome, TaskOutcome::Planned | TaskOutcome::NothingToDo) {
                self.carried_out.insert(task.clone());
            } else {
                self.carried_out.remove(task);
            }
        }
        for adoption in &draft.adoptions {
            self.links.push(AdditionLink {
                addition: adoption.addition,
                agreement: adoption.agreement,
                source: adoption.source.clone(),
                subscription: adoption.subscription.clone(),
                product: adoption.product.clone(),
                role: Role::Recurring,
                order: None,
                key: None,
                true_period: adoption.true_period(),
                edits: Vec::new(),
                ends: Vec::new(),
                written: adoption.state.clone(),
                next_invoice_at_write: None,
                prorated: Default::default(),
                deleted: false,
            });
        }
        for change in &draft.changes {
            let target = change.action.target().map(|t| match t {
                Target::Existing(id) => *id,
                Target::CreatedBy(c) => made[c],
            });
            made.extend(target.filter(|_| change.writes()).map(|id| (change.id.clone(), id)));
            let lines = self.snapshot.additions.get_mut(&change.agreement).unwrap();
            match &change.action {
                Action::Create { wanted } => {
                    self.next_id += 1;
                    let id = AdditionId(self.next_id);
                    made.insert(change.id.clone(), id);
                    lines.push(ObservedAddition {
                        id,
                        agreement: change.agreement,
                        state: (**wanted).clone(),
                        less_included: Default::default(),
                        marker: Some(change.key.0.clone()),
                        last_updated: None,
                    });
                    self.links.push(AdditionLink {
                        addition: id,
                        agreement: change.agreement,
                        source: change.source.clone(),
                        subscription: change.subscription.clone(),
                        product: change.product.clone(),
                        role: change.role,
                        order: change.order.clone(),
                        key: Some(change.key.clone()),
                        true_period: change.true_period,
                        edits: Vec::new(),
                        ends: End::of_new(change),
                        written: (**wanted).clone(),
                        next_invoice_at_write: self.snapshot.agreements[&change.agreement].next_invoice,
                        prorated: Prorated::of(Some(self.snapshot.agreements[&change.agreement].prorates)),
                        deleted: false,
                    });
                }
                Action::Update { before, wanted, .. } | Action::Cancel { before, wanted, .. } => {
                    let id = target.unwrap();
                    let prorates = Some(self.snapshot.agreements[&change.agreement].prorates);
                    lines.iter_mut().find(|a| a.id == id).unwrap().state = (**wanted).clone();
                    for link in self.links.iter_mut().filter(|l| l.addition == id) {
                        *link = link.clone().edited(change, (**wanted).clone()).dated(before, prorates);
                    }
                }
                Action::Delete { .. } => {
                    let id = target.unwrap();
                    lines.retain(|a| a.id != id);
                    for link in self.links.iter_mut().filter(|l| l.addition == id) {
                        *link = link.clone().removed(change);
                    }
                }
                Action::Keep { .. } => {}
            }
        }
        made
    }

    /// The plan that takes back what was carried out, checked.
    pub fn undo(
        &self,
        carried: &[(&DraftPlan, &BTreeMap<ChangeId, AdditionId>)],
        extent: &Extent,
    ) -> DraftPlan {
        self.undo_with(carried, extent, Credit::Propose)
    }

    /// The same, with what becomes of what is to be given back.
    pub fn undo_with(
        &self,
        carried: &[(&DraftPlan, &BTreeMap<ChangeId, AdditionId>)],
        extent: &Extent,
        credit: Credit,
    ) -> DraftPlan {
        let ids: Vec<PlanId> = (0..carried.len()).map(|n| format!("plan-{n}").into()).collect();
        let settled = std::collections::BTreeSet::new();
        let views: Vec<Carried<'_>> = carried
            .iter()
            .zip(&ids)
            .map(|((plan, done), id)| Carried { id, plan, done, settled: &settled })
            .collect();
        self.in_world(&[], |world| undo(world, &views, extent, &BTreeMap::new(), credit))
    }

    /// Invoices the next period of an agreement and gives what it bills.
    pub fn invoice(&mut self, agreement: i64) -> String {
        let record = self.snapshot.agreements[&AgreementId(agreement)].clone();
        let open = record.open_period().unwrap();
        let mut sum = trueup_domain::money::Money::ZERO;
        for line in self.snapshot.additions_of(AgreementId(agreement)) {
            let billed = trueup_domain::billing::billed_in(
                &line.state,
                line.less_included,
                open,
                record.prorates,
                record.currency.unwrap(),
            )
            .unwrap();
            sum = sum.plus(billed.price).unwrap();
        }
        self.agreement_mut(agreement).next_invoice = Some(open.end());
        sum.to_string()
    }

    /// Plans, applies, and proves that planning again changes nothing.
    pub fn run(&mut self, order: &Order) -> String {
        let draft = self.plan(&[order]);
        let shown = show(&draft);
        self.apply(&draft);
        let again = self.plan(&[order]);
        let waits = |draft: &DraftPlan| draft.outcomes.values().any(|o| *o == TaskOutcome::Waiting);
        assert_eq!(waits(&again), waits(&draft), "planning again ends otherwise:\n{}", show(&again));
        assert!(
            again.changes.iter().all(|c| !c.writes()),
            "planning again changes something:\n{}",
            show(&again)
        );
        shown
    }
}

/// One line a change: op, role, agreement, dates, quantity, price, cost, amount.
pub fn show(draft: &DraftPlan) -> String {
    let mut out = String::new();
    for change in draft.changes.iter().filter(|c| c.writes()) {
        let state = change.action.after().or(change.action.before()).unwrap();
        let end = state.cancelled.map_or("-".into(), |d| d.to_string());
        out.push_str(&format!(
            "{} {} {}..{} {} x {} cost {} = {}\n",
            change.action.op(),
            change.role.name(),
            state.effective,
            end,
            state.quantity.display(),
            state.unit_price.display(change.currency),
            state.unit_cost.display(change.currency),
            change.amount.display(change.currency),
        ));
    }
    for finding in &draft.findings {
        out.push_str(&format!("{} {}\n", finding.code, finding.severity.name()));
    }
    out
}

pub struct OrderDraft(pub Order);

pub fn order(id: &str, kind: OrderKind, on: &str, period: Period) -> OrderDraft {
    let effective = day(on);
    OrderDraft(Order {
        id: OrderId::from(id),
        number: None,
        kind,
        subscription: SubscriptionId::from("s-1"),
        customer: None,
        completed_at: format!("{on}T00:00:00Z"),
        completed_us: i64::from(effective.year()) * 400 + i64::from(effective.day_of_year()),
        created_at: None,
        effective,
        effective_given: false,
        period,
        currency: "USD".parse().unwrap(),
        status: "completed".into(),
        po_number: None,
        lines: Vec::new(),
        ext: Ext::default(),
    })
}

pub fn line(id: &str, charge: Charge, product: &str, quantity: &str, price: &str, cost: &str) -> OrderLine {
    OrderLine {
        id: LineId::from(id),
        charge,
        product: ProductId::from(product),
        item: None,
        quantity: quantity.parse().unwrap(),
        unit_price: (!price.is_empty()).then(|| price.parse().unwrap()),
        unit_cost: (!cost.is_empty()).then(|| cost.parse().unwrap()),
        old_unit_price: None,
        old_unit_cost: None,
        old_quantity: None,
        new_quantity: None,
        amount: None,
        cost_amount: None,
        period: None,
        description: None,
    }
}

impl OrderDraft {
    pub fn with(mut self, line: OrderLine) -> Self {
        self.0.lines.push(line);
        self
    }
    /// A recurring line from an old to a new quantity.
    pub fn change(mut self, id: &str, product: &str, old: i64, new: i64, price: &str, cost: &str) -> Self {
        let mut made = line(id, Charge::Recurring, product, &(new - old).to_string(), price, cost);
        made.old_quantity = Some(old.into());
        made.new_quantity = Some(new.into());
        self.0.lines.push(made);
        self
    }
}
