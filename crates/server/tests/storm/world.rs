//! Small random worlds, and what must be in ConnectWise when everything has been brought there.
//!
//! The expectation is computed here in whole cents, by the rules of the marketplace alone: nothing of the planner is
//! used for it.

use super::rng::Rng;
use super::wire::Terrain;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Days of the month, which is March 2023.
const DAYS: i64 = 31;
/// The item of additions that trueup does not know.
const FOREIGN: i64 = 90;
/// The item of additions that were made by hand and that nobody took over yet.
const BY_HAND: i64 = 20;

/// One addition: agreement, item, quantity, price and cost in cents, first day, last day.
pub type Line = (i64, i64, i64, i64, i64, String, Option<String>);

/// A world.
pub struct World {
    /// For the sandbox.
    pub seed: Value,
    /// For `mapping`: kind, source id, id.
    pub mappings: Vec<(&'static str, String, i64)>,
    /// Feed lines, in the portions in which they arrive.
    pub portions: Vec<String>,
    /// What must be there of ours in the end.
    pub expected: Vec<Line>,
    /// Orders that must be done in the end.
    pub orders: Vec<String>,
    /// Orders that wait for a person in the end.
    pub waiting: Vec<String>,
    pub terrain: Terrain,
}

#[derive(Clone, Copy)]
struct Product {
    item: i64,
    price: i64,
    cost: i64,
}

fn day(day: i64) -> String {
    if day > DAYS { format!("2023-04-{:02}", day - DAYS) } else { format!("2023-03-{day:02}") }
}

fn cents(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// So many days' share of a month's price, to the cent, halves up.
fn share(cents: i64, days: i64) -> i64 {
    (2 * cents * days + DAYS) / (2 * DAYS)
}

struct Making {
    rng: Rng,
    portions: Vec<String>,
    expected: Vec<Line>,
    orders: Vec<String>,
    waiting: Vec<String>,
}

struct Subscription {
    id: String,
    customer: String,
    agreement: i64,
    product: Product,
}

impl Making {
    fn put(&mut self, portion: usize, record: &Value) {
        self.portions[portion].push_str(&record.to_string());
        self.portions[portion].push('\n');
    }

    fn subscription(&mut self, portion: usize, s: &Subscription, start: i64, quantity: i64) {
        self.put(
            portion,
            &json!({"type": "subscription", "id": s.id, "customer": s.customer, "status": "active",
                "billing_cycle": {"every": 1, "unit": "month"}, "start": day(start), "currency": "USD",
                "items": [{"id": "1", "product": format!("p-{}", s.product.item), "quantity": quantity.to_string()}]}),
        );
    }

    fn order(&mut self, portion: usize, s: &Subscription, kind: &str, on: i64, line: &Value) -> String {
        let id = format!("{}-{kind}-{on:02}", s.id);
        let mut line = line.clone();
        let rest = json!({"id": "1", "product": format!("p-{}", s.product.item),
            "unit_price": cents(s.product.price), "unit_cost": cents(s.product.cost)});
        for (name, value) in rest.as_object().unwrap() {
            line[name] = value.clone();
        }
        let hour = self.rng.within(0, 22);
        self.put(
            portion,
            &json!({"type": "order", "id": id, "kind": kind, "subscription": s.id,
                "completed_at": format!("{}T{hour:02}:15:00Z", day(on)),
                "period": {"start": day(1), "end": day(DAYS + 1)}, "currency": "USD", "lines": [line]}),
        );
        id
    }

    fn line(&mut self, s: &Subscription, quantity: i64, whole: bool, from: i64, to: Option<i64>) {
        let days = to.unwrap_or(DAYS) - from + 1;
        let (price, cost) = if whole {
            (s.product.price, s.product.cost)
        } else {
            (share(s.product.price, days), share(s.product.cost, days))
        };
        let line = (s.agreement, s.product.item, quantity, price, cost, day(from), to.map(day));
        self.expected.push(line);
    }

    /// A subscription that is sold in `portion` and changes after it.
    fn story(&mut self, s: &Subscription, portion: usize) {
        let last = self.portions.len() - 1;
        let later = |rng: &mut Rng| {
            usize::try_from(rng.within(i64::try_from(portion).unwrap(), i64::try_from(last).unwrap()))
                .unwrap()
        };
        let kind = self.rng.below(5);
        let sold_on = if kind == 1 { self.rng.within(2, 20) } else { 1 };
        let mut quantity = self.rng.within(1, 60);
        self.subscription(portion, s, sold_on, quantity);
        let sale = json!({"charge": "recurring", "quantity": quantity.to_string()});
        let id = self.order(portion, s, "sales", sold_on, &sale);
        self.orders.push(id);
        match kind {
            0 => self.line(s, quantity, true, 1, None),
            1 => {
                self.line(s, quantity, false, sold_on, Some(DAYS));
                self.line(s, quantity, true, DAYS + 1, None);
            }
            2 | 3 => {
                self.line(s, quantity, true, 1, Some(DAYS));
                let mut at = later(&mut self.rng);
                let mut on = self.rng.within(2, 14);
                for _ in 1..kind {
                    let more = self.rng.within(1, 9);
                    self.change(at, s, on, quantity, more);
                    quantity += more;
                    on = self.rng.within(on + 1, 27);
                    at = at.max(later(&mut self.rng));
                }
                self.line(s, quantity, true, DAYS + 1, None);
            }
            _ => {
                let (on, at) = (self.rng.within(3, 25), later(&mut self.rng));
                let used = on - 1;
                let amount = |unit: i64| cents(share(unit, used) * quantity);
                let line = json!({"charge": "prorate", "quantity": quantity.to_string(),
                    "amount": amount(s.product.price), "cost_amount": amount(s.product.cost)});
                let id = self.order(at, s, "cancellation", on, &line);
                self.orders.push(id);
                self.line(s, quantity, false, 1, Some(used));
            }
        }
    }

    fn change(&mut self, portion: usize, s: &Subscription, on: i64, before: i64, more: i64) {
        let line = json!({"charge": "recurring", "quantity": more.to_string(),
            "old_quantity": before.to_string(), "new_quantity": (before + more).to_string()});
        let id = self.order(portion, s, "change", on, &line);
        self.orders.push(id);
        self.line(s, more, false, on, Some(DAYS));
    }
}

/// The world of a seed.
pub fn world(seed: u64) -> World {
    let mut rng = Rng::of(seed, "world");
    let portions = usize::try_from(rng.within(2, 3)).unwrap();
    let agreements: Vec<i64> = (0..rng.within(1, 2)).map(|n| 40 + n).collect();
    let mut products = Vec::new();
    for n in 0..rng.within(1, 3) {
        let price = rng.within(100, 9_999);
        products.push(Product { item: 7 + n, price, cost: rng.within(50, price) });
    }
    let by_hand = Product { item: BY_HAND, price: 2_500, cost: 1_900 };
    let mut making = Making {
        rng,
        portions: vec![String::new(); portions],
        expected: Vec::new(),
        orders: Vec::new(),
        waiting: Vec::new(),
    };
    let mut mappings = Vec::new();
    let mut additions = serde_json::Map::new();
    let mut terrain = Terrain { foreign_item: FOREIGN, ..Terrain::default() };
    for product in products.iter().chain([&by_hand]) {
        let id = format!("p-{}", product.item);
        making.put(0, &json!({"type": "product", "id": id, "name": format!("Product {}", product.item)}));
        mappings.push(("product", id, product.item));
    }
    let mut next = 300;
    for agreement in &agreements {
        let customer = format!("c-{agreement}");
        making.put(0, &json!({"type": "customer", "id": customer, "name": format!("Customer {agreement}")}));
        mappings.push(("customer", customer.clone(), agreement - 30));
        let mut held = Vec::new();
        for _ in 0..making.rng.within(2, 5) {
            held.push(json!({"id": next, "product": {"id": FOREIGN}, "quantity": 1, "unitPrice": 3,
                "unitCost": 1, "billCustomer": "Billable", "effectiveDate": "2023-03-01T00:00:00Z"}));
            next += 1;
        }
        let hand = making.rng.chance(400);
        if hand {
            held.push(json!({"id": next, "product": {"id": BY_HAND}, "quantity": 4, "unitPrice": 25,
                "unitCost": 19, "billCustomer": "Billable", "effectiveDate": "2023-03-01T00:00:00Z"}));
            next += 1;
            let s = Subscription {
                id: format!("h-{agreement}"),
                customer: customer.clone(),
                agreement: *agreement,
                product: by_hand,
            };
            let portion = usize::try_from(making.rng.below(portions as u64)).unwrap();
            making.subscription(portion, &s, 1, 4);
            let line = json!({"charge": "recurring", "quantity": "4"});
            let id = making.order(portion, &s, "sales", 1, &line);
            making.waiting.push(id);
        }
        additions.insert(agreement.to_string(), Value::Array(held));
        terrain.agreements.insert(*agreement, !hand);
        for n in 0..making.rng.within(1, 4) {
            let product = products[usize::try_from(making.rng.below(products.len() as u64)).unwrap()];
            let s = Subscription {
                id: format!("s-{agreement}-{n}"),
                customer: customer.clone(),
                agreement: *agreement,
                product,
            };
            let portion = usize::try_from(making.rng.below(portions as u64)).unwrap();
            making.story(&s, portion);
        }
    }
    let seed = sandbox_seed(&agreements, &products, additions);
    let Making { portions, expected, orders, waiting, .. } = making;
    World { seed, mappings, portions, expected, orders, waiting, terrain }
}

fn sandbox_seed(
    agreements: &[i64],
    products: &[Product],
    additions: serde_json::Map<String, Value>,
) -> Value {
    let company = |a: &i64| a - 30;
    let item = |id: i64| {
        json!({"id": id, "identifier": format!("ITEM-{id}"), "description": format!("Item {id}"),
            "customerDescription": format!("Item {id}"), "subcategory": {"id": 1}, "type": {"id": 1},
            "price": 1, "cost": 1})
    };
    let items: Vec<Value> = products.iter().map(|p| p.item).chain([BY_HAND, FOREIGN]).map(item).collect();
    json!({"today": "2023-03-28", "resources": {
        "company/companies": agreements.iter().map(|a| json!({"id": company(a),
            "identifier": format!("C{a}"), "name": format!("Customer {a}")})).collect::<Vec<_>>(),
        "company/contacts": agreements.iter().map(|a| json!({"id": company(a), "firstName": "Ada",
            "lastName": "Byron", "company": {"id": company(a)}})).collect::<Vec<_>>(),
        "procurement/catalog": items,
        "finance/agreements": agreements.iter().map(|a| json!({"id": a, "name": format!("Cloud {a}"),
            "type": {"name": "Cloud Services"}, "company": {"id": company(a)}, "contact": {"id": company(a)},
            "startDate": "2023-01-01T00:00:00Z", "billStartDate": "2023-03-01T00:00:00Z",
            "nextInvoiceDate": "2023-03-01", "billingCycle": {"id": 2}})).collect::<Vec<_>>(),
        "finance/agreements/{id}/additions": additions,
    }})
}

/// How often each line is there.
pub fn counted(lines: impl IntoIterator<Item = Line>) -> BTreeMap<Line, usize> {
    let mut counts = BTreeMap::new();
    for line in lines {
        *counts.entry(line).or_default() += 1;
    }
    counts
}
