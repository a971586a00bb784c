//! A plan that is made in parts, side by side, is the plan that is made in one piece.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use trueup_domain::feed::*;
use trueup_domain::ids::*;
use trueup_domain::mapping::*;
use trueup_domain::money::Quantity;
use trueup_domain::period::BillingCycle;
use trueup_domain::plan::DraftPlan;
use trueup_domain::planner::{TaskInput, World, plan_on};
use trueup_domain::psa::*;
use trueup_domain::settings::Settings;
use trueup_domain::task::*;

/// One order of a subscription.
#[derive(Clone, Debug)]
struct Wish {
    subscription: usize,
    kind: usize,
    from: i64,
    to: i64,
    day: i8,
    product: usize,
}

/// What is in the world beside the orders.
#[derive(Clone, Debug)]
struct Odd {
    /// Subscriptions of which the lines lie with another company than their customer is billed as.
    moved: Vec<usize>,
    /// Customers that are billed as the company of another.
    joined: Vec<usize>,
    /// Subscriptions for which a mapping names an addition of another company.
    named: Vec<usize>,
    /// Orders of which a line was written by a run that broke off, and not remembered.
    lost: Vec<usize>,
    /// The feed names the subscriptions so that those of one company do not lie together.
    turned: bool,
    adopt: bool,
}

const COMPANIES: usize = 6;
const SUBSCRIPTIONS: usize = 12;

fn wishes() -> impl Strategy<Value = Vec<Wish>> {
    let wish = (0..SUBSCRIPTIONS, 0_usize..5, 0_i64..4, 0_i64..6, 1_i8..=28, 0_usize..3).prop_map(
        |(subscription, kind, from, to, day, product)| Wish { subscription, kind, from, to, day, product },
    );
    prop::collection::vec(wish, 1..30)
}

fn odds() -> impl Strategy<Value = Odd> {
    let few = |of: usize| prop::collection::vec(0..of, 0..3);
    (few(SUBSCRIPTIONS), few(COMPANIES), few(SUBSCRIPTIONS), few(30), any::<bool>(), any::<bool>()).prop_map(
        |(moved, joined, named, lost, turned, adopt)| Odd { moved, joined, named, lost, turned, adopt },
    )
}

fn product(number: usize) -> String {
    format!("p-{number}")
}

/// The subscription's place among the ids.
fn name_of(number: usize, odd: &Odd) -> String {
    let at = if odd.turned { number } else { number % COMPANIES * 10 + number / COMPANIES };
    format!("s-{at:03}")
}

fn lab_of(odd: &Odd) -> Lab {
    let mut lab = Lab::monthly("2023-01-01", "2023-03-01");
    lab.mappings.clear();
    lab.set("credits", "on");
    for number in 0..3 {
        lab.product(&product(number), 7 + number as i64, ProductKind::Seat, "22.00", "17.60");
    }
    for company in 0..COMPANIES {
        let id = CompanyId(12 + company as i64);
        let mut record = lab.snapshot.companies[&CompanyId(12)].clone();
        record.id = id;
        lab.snapshot.companies.insert(id, record);
        let agreement = 40 + company as i64;
        lab.agreement(agreement, BillingCycle::MONTHLY, "USD", "2023-01-01", "2023-03-01");
        lab.agreement_mut(agreement).company = id;
        let billed_as = if odd.joined.contains(&company) { 12 } else { id.0 };
        lab.map(MappingKind::Customer, &format!("c-{company}"), billed_as);
    }
    for number in 0..SUBSCRIPTIONS {
        let name = name_of(number, odd);
        lab.subscription(&name, BillingCycle::MONTHLY, BillingModel::Advance, "2023-01-01");
        let company = number % COMPANIES;
        let key = (SourceId::from(SOURCE), SubscriptionId::from(name.as_str()));
        lab.subscriptions.get_mut(&key).unwrap().customer = CustomerId::from(format!("c-{company}"));
        // A line that is there, as an earlier sale wrote it; or one that somebody else did.
        let home = if odd.moved.contains(&number) { (company + 1) % COMPANIES } else { company };
        lab.by_hand(40 + home as i64, 500 + number as i64, 7, "3", "22.00", "2023-01-01");
        let written = lab.snapshot.additions_of(AgreementId(40 + home as i64)).last().unwrap().clone();
        if !odd.adopt || number >= COMPANIES {
            lab.links.push(trueup_domain::plan::AdditionLink {
                addition: written.id,
                agreement: written.agreement,
                source: key.0.clone(),
                subscription: key.1.clone(),
                product: ProductId::from(product(0)),
                role: trueup_domain::plan::Role::Recurring,
                order: Some("SO".into()),
                key: None,
                true_period: None,
                edits: Vec::new(),
                ends: Vec::new(),
                written: written.state.clone(),
                next_invoice_at_write: Some(day("2023-01-01")),
                prorated: Default::default(),
                deleted: false,
            });
        }
        if odd.named.contains(&number) {
            let other = 500 + ((number + 1) % SUBSCRIPTIONS) as i64;
            lab.map(MappingKind::Addition, &format!("subscription:{name}/{}", product(number % 2)), other);
        }
    }
    lab
}

fn tasks_of(lab: &Lab, wishes: &[Wish], odd: &Odd) -> Vec<(Task, Demand)> {
    let kinds =
        [OrderKind::Change, OrderKind::Change, OrderKind::Sales, OrderKind::Cancellation, OrderKind::Billing];
    let mut tasks = Vec::new();
    for (number, wish) in wishes.iter().enumerate() {
        let on = format!("2023-03-{:02}", wish.day);
        let made =
            order(&format!("O-{number:02}"), kinds[wish.kind], &on, period("2023-03-01", "2023-04-01"));
        let mut made = match wish.kind {
            0 | 1 => made.change("1", &product(wish.product), wish.from, wish.to, "22.00", "17.60").0,
            2 => made.with(line("1", Charge::Recurring, &product(wish.product), "2", "22.00", "17.60")).0,
            3 => made.0,
            _ => made.with(line("1", Charge::Overuse, &product(wish.product), "2", "0.05", "0.03")).0,
        };
        made.subscription = SubscriptionId::from(name_of(wish.subscription, odd));
        made.customer = Some(CustomerId::from(format!("c-{}", wish.subscription % COMPANIES)));
        made.completed_us = number as i64;
        tasks.push((lab.task(&made), Demand::Order(Box::new(made))));
    }
    tasks
}

fn plan_with(lab: &Lab, tasks: &[(Task, Demand)], threads: usize) -> DraftPlan {
    let settings = Settings::from_values(&lab.settings).unwrap();
    let mappings = Mappings::new(lab.mappings.clone());
    let customers = BTreeMap::new();
    let world = World {
        organization: &lab.org,
        today: lab.today,
        settings: &settings,
        snapshot: &lab.snapshot,
        mappings: &mappings,
        links: &lab.links,
        customers: &customers,
        products: &lab.products,
        subscriptions: &lab.subscriptions,
        completed: &lab.completed.borrow(),
        adoption: lab.adoption,
        unlinked: &std::collections::BTreeSet::new(),
    };
    let inputs: Vec<_> = tasks.iter().map(|(task, demand)| TaskInput { task, demand }).collect();
    plan_on(&world, &inputs, threads)
}

/// Loses what trueup remembers of some lines, and puts the first of them on an agreement of somebody else.
fn forget(lab: &mut Lab, whole: &DraftPlan, odd: &Odd) {
    for (at, number) in odd.lost.iter().enumerate() {
        let order = OrderId::from(format!("O-{number:02}"));
        let Some(change) = whole.changes.iter().find(|c| c.order.as_ref() == Some(&order)) else { continue };
        let Some(state) = change.action.after() else { continue };
        let company = if at == 0 { 0 } else { (change.agreement.0 - 40) as usize };
        let agreement = AgreementId(40 + company as i64);
        lab.snapshot.additions.get_mut(&agreement).unwrap().push(ObservedAddition {
            id: AdditionId(900 + at as i64),
            agreement,
            state: state.clone(),
            less_included: Quantity::ZERO,
            marker: Some(change.key.0.clone()),
            last_updated: None,
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_in_parts_is_the_plan_in_one_piece(wishes in wishes(), odd in odds(), threads in 2_usize..5) {
        let mut lab = lab_of(&odd);
        let tasks = tasks_of(&lab, &wishes, &odd);
        let whole = plan_with(&lab, &tasks, 1);
        prop_assert_eq!(&plan_with(&lab, &tasks, threads), &whole);
        forget(&mut lab, &whole, &odd);
        let whole = plan_with(&lab, &tasks, 1);
        prop_assert_eq!(&plan_with(&lab, &tasks, threads), &whole);
    }
}
