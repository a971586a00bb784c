//! A tenant as the benchmarks lay it out: an agreement a company, ten additions an agreement.

use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// The day of everything.
pub const TODAY: &str = "2026-03-10";
/// Records of a page.
pub const PAGE: u64 = 1_000;
/// Additions of an agreement.
pub const ADDITIONS: u64 = 10;

/// An agreement of the company with the same number and a hundred.
pub fn agreement(id: u64, changed: &str) -> Value {
    json!({"id": id, "name": format!("Cloud {id}"), "type": {"name": "Cloud Services"}, "company": {"id": 100 + id},
        "startDate": "2025-01-01T00:00:00Z", "billStartDate": "2025-01-01T00:00:00Z",
        "nextInvoiceDate": "2026-03-01T00:00:00Z", "billingCycle": {"id": 2}, "_info": {"lastUpdated": changed}})
}

/// A tenant of so many agreements with ten additions each.
pub fn seed(agreements: u64) -> Value {
    let addition = json!({"product": {"id": 8}, "quantity": 5.0, "unitPrice": 22.0, "unitCost": 17.6,
        "billCustomer": "Billable", "effectiveDate": "2025-01-01T00:00:00Z", "description": "Exchange Online (Plan 2)",
        "invoiceDescription": "Exchange Online (Plan 2), monthly"});
    let list = Value::Array((0..ADDITIONS).map(|_| addition.clone()).collect());
    let additions: Map<String, Value> = (1..=agreements).map(|id| (id.to_string(), list.clone())).collect();
    let item = |id: u64, identifier: &str| {
        json!({"id": id, "identifier": identifier, "description": identifier, "customerDescription": identifier,
            "subcategory": {"id": 1}, "type": {"id": 1}, "price": 22.0, "cost": 17.6})
    };
    let companies: Vec<Value> = (1..=agreements)
        .map(|n| json!({"id": 100 + n, "identifier": format!("C{n}"), "name": format!("Customer {n}")}))
        .collect();
    json!({"today": TODAY, "resources": {
        "company/companies": companies,
        "procurement/catalog": [item(7, "EXO-P1"), item(8, "EXO-P2")],
        "finance/agreements": (1..=agreements).map(|id| agreement(id, "2026-01-05T00:00:00Z")).collect::<Vec<_>>(),
        "finance/agreements/{id}/additions": additions,
    }})
}

/// So many new lines for each customer, as the records of a feed and the mappings to go with them.
pub fn feed(customers: impl Iterator<Item = u64>, each: u64) -> (String, String) {
    let mut feed =
        String::from("{\"type\":\"product\",\"id\":\"exo-p1\",\"name\":\"Exchange Online (Plan 1)\"}\n");
    let mut mappings = String::from("kind,source_id,psa_id,scope,options\nproduct,exo-p1,7,,\n");
    for n in customers {
        assert!(writeln!(mappings, "customer,c-{n},{},,", 100 + n).is_ok());
        assert!(
            writeln!(feed, "{{\"type\":\"customer\",\"id\":\"c-{n}\",\"name\":\"Customer {n}\"}}").is_ok()
        );
        for line in 0..each {
            feed.push_str(&sold(n, line));
        }
    }
    (feed, mappings)
}

/// A subscription of a customer, and the order that began it.
fn sold(n: u64, line: u64) -> String {
    let cycle = "\"billing_cycle\":{\"every\":1,\"unit\":\"month\"}";
    let price = "\"product\":\"exo-p1\",\"unit_price\":\"22.00\",\"unit_cost\":\"17.60\"";
    format!(
        "{{\"type\":\"subscription\",\"id\":\"s-{n}-{line}\",\"customer\":\"c-{n}\",\"status\":\"active\",{cycle},\
         \"start\":\"2026-03-01\",\"currency\":\"USD\",\"items\":[{{\"id\":\"seats\",\"product\":\"exo-p1\",\
         \"quantity\":\"5\"}}]}}\n\
         {{\"type\":\"order\",\"id\":\"SO-{n}-{line}\",\"kind\":\"sales\",\"subscription\":\"s-{n}-{line}\",\
         \"completed_at\":\"2026-03-01T09:00:00Z\",\"period\":{{\"start\":\"2026-03-01\",\"end\":\"2026-04-01\"}},\
         \"currency\":\"USD\",\"lines\":[{{\"id\":\"1\",\"charge\":\"recurring\",\"quantity\":\"5\",{price}}}]}}\n"
    )
}

/// Services that are counted for each customer.
pub const SERVICES: u64 = 10;

/// A tenant of so many agreements with one addition for each service, each a catalog item of its own from 11 on.
pub fn counted_seed(agreements: u64) -> Value {
    let services = 1..=SERVICES;
    let addition = |service: u64| {
        json!({"product": {"id": 10 + service}, "quantity": 5.0, "unitPrice": 3.0, "unitCost": 1.0,
            "billCustomer": "Billable", "effectiveDate": "2025-01-01T00:00:00Z"})
    };
    let item = |service: u64| {
        json!({"id": 10 + service, "identifier": format!("SVC-{service}"), "description": format!("Service {service}"),
            "customerDescription": format!("Service {service}"), "subcategory": {"id": 1}, "type": {"id": 1},
            "price": 3.0, "cost": 1.0})
    };
    let list: Vec<Value> = services.clone().map(addition).collect();
    let additions: Map<String, Value> = (1..=agreements).map(|id| (id.to_string(), json!(list))).collect();
    let mut seed = seed(0);
    let companies = (1..=agreements)
        .map(|n| json!({"id": 100 + n, "identifier": format!("C{n}"), "name": format!("Customer {n}")}));
    let resources = &mut seed["resources"];
    resources["company/companies"] = companies.collect();
    resources["procurement/catalog"] = services.map(item).collect();
    resources["finance/agreements"] =
        (1..=agreements).map(|id| agreement(id, "2026-01-05T00:00:00Z")).collect();
    resources["finance/agreements/{id}/additions"] = Value::Object(additions);
    seed
}

/// Customers with their mappings, and the services.
pub fn counted(customers: u64) -> (String, String) {
    let mut feed = String::new();
    let mut mappings = String::from("kind,source_id,psa_id,scope,options\n");
    for service in 1..=SERVICES {
        let record =
            format!("{{\"type\":\"product\",\"id\":\"svc-{service}\",\"name\":\"Service {service}\"}}\n");
        feed.push_str(&record);
    }
    for n in 1..=customers {
        assert!(writeln!(mappings, "customer,c-{n},{},,\nagreement,customer:c-{n},{n},,", 100 + n).is_ok());
        assert!(
            writeln!(feed, "{{\"type\":\"customer\",\"id\":\"c-{n}\",\"name\":\"Customer {n}\"}}").is_ok()
        );
    }
    (feed, mappings)
}

/// What is counted of every service for each customer at an hour of the day: five, and one more of one service for those
/// that `grows` names.
pub fn levels(customers: u64, hour: u64, grows: impl Fn(u64) -> bool) -> String {
    let mut feed = String::new();
    for (n, service) in (1..=customers).flat_map(|n| (1..=SERVICES).map(move |service| (n, service))) {
        let level = 5 + u64::from(grows(n) && service == 1 + n % SERVICES);
        let line = writeln!(
            feed,
            "{{\"type\":\"counter\",\"customer\":\"c-{n}\",\"product\":\"svc-{service}\",\"value\":\"{level}\",\
             \"as_of\":\"{TODAY}T{hour:02}:00:00Z\"}}"
        );
        assert!(line.is_ok());
    }
    feed
}
