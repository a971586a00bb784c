//! Plans of many shapes, with what ConnectWise holds when they were made.

use super::Rng;
use jiff::civil::date;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::ids::{AdditionId, AgreementId, CatalogItemId, CompanyId};
use trueup_domain::money::{Money, Quantity};
use trueup_domain::period::BillingCycle;
use trueup_domain::plan::{
    Action, AgreementSight, AgreementTerms, Change, DraftPlan, KeyParts, Role, Target, edit_key,
};
use trueup_domain::psa::{AdditionState, Agreement, AgreementStatus, BillFlag, ObservedAddition};

/// A plan and the world it was made for.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub plan: DraftPlan,
    pub additions: BTreeMap<AgreementId, Vec<ObservedAddition>>,
    pub headers: BTreeMap<AgreementId, Agreement>,
}

impl Scenario {
    /// Additions that are there and that the plan does not remove.
    pub fn anchors(&self) -> BTreeSet<AdditionId> {
        let removed = |id: AdditionId| {
            self.plan.changes.iter().any(|c| {
                matches!(&c.action, Action::Delete { target: Target::Existing(other), .. } if *other == id)
            })
        };
        self.additions.values().flatten().map(|a| a.id).filter(|id| !removed(*id)).collect()
    }
}

pub fn state(item: i64, quantity: i64) -> AdditionState {
    AdditionState {
        catalog_item: CatalogItemId(item),
        quantity: Quantity::from(quantity),
        unit_price: "22.00".parse::<Money>().unwrap(),
        unit_cost: "18.10".parse::<Money>().unwrap(),
        effective: date(2026, 3, 1),
        cancelled: None,
        bill: BillFlag::Billable,
        taxable: None,
        description: None,
        invoice_description: None,
    }
}

pub fn agreement(id: AgreementId) -> Agreement {
    Agreement {
        id,
        name: format!("Agreement {id}"),
        company: CompanyId(12),
        agreement_type: "Managed Services".to_owned(),
        status: AgreementStatus::Active,
        billing_cycle: BillingCycle::new(1, trueup_domain::period::CycleUnit::Month).ok(),
        currency: Some("USD".parse().unwrap()),
        start: Some(date(2026, 1, 1)),
        end: None,
        bill_start: Some(date(2026, 1, 1)),
        next_invoice: Some(date(2026, 3, 1)),
        prorates: false,
        prorates_at_once: false,
        by_calendar: false,
        parent: None,
        last_updated: None,
    }
}

pub fn change(number: usize, agreement: AgreementId, subscription: &str, action: Action) -> Change {
    let organization = "default".into();
    let source = "market".into();
    let key = match &action {
        Action::Create { .. } => KeyParts {
            organization: &organization,
            source: &source,
            order: "CH-1",
            line: &number.to_string(),
            role: Role::Recurring,
            period_start: date(2026, 3, 1),
            revision: 0,
        }
        .key(),
        _ => edit_key(&organization, "CH-1", action.op(), &number.to_string(), "wanted"), // open set: every edit
    };
    let item = action.after().or(action.before()).map_or(CatalogItemId(7), |s| s.catalog_item);
    Change {
        id: format!("c{number}").into(),
        action,
        key,
        role: Role::Recurring,
        task: "t1".into(),
        order: Some("CH-1".into()),
        line: Some(number.to_string()),
        source,
        subscription: subscription.into(),
        customer: "c-100".into(),
        product: "p-1".into(),
        company: CompanyId(12),
        agreement,
        catalog_item: item,
        currency: "USD".parse().unwrap(),
        true_period: None,
        amount: Money::from(22),
        cost: Money::from(18),
        reason: "the order says so".to_owned(),
        formula: "1 x 22.00".to_owned(),
        depends_on: Vec::new(),
        amended: None,
        undoing: None,
    }
}

/// The plan numbered `seed`: one to three agreements, up to nine changes.
pub fn scenario(seed: u64) -> Scenario {
    let mut rng = Rng::new(seed ^ 0xabcd);
    let mut plan = DraftPlan { today: Some(date(2026, 3, 5)), ..DraftPlan::default() };
    let mut world = BTreeMap::new();
    let mut headers = BTreeMap::new();
    let lanes = 1 + rng.below(3);
    let mut next_id = 300;
    for lane in 0..lanes {
        let id = AgreementId(40 + i64::try_from(lane).unwrap());
        let mut held = Vec::new();
        for n in 0..rng.below(4) {
            let item = 7 + i64::try_from(rng.below(3)).unwrap();
            held.push(ObservedAddition {
                id: AdditionId(next_id),
                agreement: id,
                state: state(item, 3 + i64::try_from(n).unwrap()),
                less_included: Quantity::ZERO,
                marker: None,
                last_updated: None,
            });
            next_id += 1;
        }
        headers.insert(id, agreement(id));
        let wanted = 1 + rng.below(3);
        let mut free: Vec<usize> = (0..held.len()).collect();
        for block in 0..wanted {
            add_block(&mut rng, &mut plan, id, &held, &mut free, block);
        }
        let sight = AgreementSight {
            status: AgreementStatus::Active,
            next_invoice: Some(date(2026, 3, 1)),
            prorates: false,
            end: None,
            terms: Some(AgreementTerms::of(&agreement(id), std::iter::empty())),
            additions: held.iter().map(|a| (a.id, a.state.clone())).collect(),
        };
        plan.sights.insert(id, sight);
        world.insert(id, held);
    }
    Scenario { plan, additions: world, headers }
}

fn add_block(
    rng: &mut Rng,
    plan: &mut DraftPlan,
    agreement: AgreementId,
    held: &[ObservedAddition],
    free: &mut Vec<usize>,
    block: usize,
) {
    let first = plan.changes.len();
    let subscription = format!("s{agreement}-{block}");
    let quantity = 100 + i64::try_from(first).unwrap();
    let create = |number: usize, item| {
        let wanted = state(item, 100 + i64::try_from(number).unwrap());
        change(number, agreement, &subscription, Action::Create { wanted: wanted.into() })
    };
    let on = free.pop().and_then(|n| held.get(n));
    match (rng.below(6), on) {
        (0, Some(a)) => {
            let wanted = AdditionState { quantity: Quantity::from(quantity), ..a.state.clone() };
            let action = Action::Update {
                target: Target::Existing(a.id),
                before: a.state.clone().into(),
                wanted: wanted.into(),
            };
            plan.changes.push(Box::new(change(first, agreement, &subscription, action)));
        }
        (1 | 2, Some(a)) => {
            // The old line ends, the new one begins: the shape of most changes.
            let wanted = AdditionState { cancelled: Some(date(2026, 3, 16)), ..a.state.clone() };
            let action = Action::Cancel {
                target: Target::Existing(a.id),
                before: a.state.clone().into(),
                wanted: wanted.into(),
            };
            plan.changes.push(Box::new(change(first, agreement, &subscription, action)));
            let mut second = create(first + 1, a.state.catalog_item.0);
            second.depends_on = vec![format!("c{first}").into()];
            plan.changes.push(Box::new(second));
        }
        (3, Some(a)) => {
            let action = Action::Delete { target: Target::Existing(a.id), before: a.state.clone().into() };
            plan.changes.push(Box::new(change(first, agreement, &subscription, action)));
        }
        (4, _) => {
            // A line that is created and changed in the same plan.
            plan.changes.push(Box::new(create(first, 8)));
            let before = plan.changes[first].action.after().unwrap().clone();
            let wanted = AdditionState { quantity: Quantity::from(quantity + 500), ..before.clone() };
            let target = Target::CreatedBy(format!("c{first}").into());
            let action = Action::Update { target, before: before.into(), wanted: wanted.into() };
            plan.changes.push(Box::new(change(first + 1, agreement, &subscription, action)));
        }
        _ => plan.changes.push(Box::new(create(first, 9))), // open set: all that is left is a plain create
    }
}
