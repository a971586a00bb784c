//! A desk to test quantities at: one customer, an agreement that is invoiced up to 1 April, and services to count.

use crate::bench::{Bench, Ran};
use serde_json::{Value, json};

/// A desk on 10 March 2023: company 12 with agreement 40, item 7 (22.00 / 17.60), customer c-1 mapped to both, nothing
/// assigned.
pub fn bare() -> Bench {
    let mut bench = Bench::new("2023-03-10");
    bench.connect("2023-04-01");
    bench.json(&["feed", "import", &bench.file("base.ndjson", BASE)]).exits(0);
    bench.map("customer,c-1,12,,\nagreement,customer:c-1,40,,\n").exits(0);
    bench
}

/// The same with the service `mbx` assigned to item 7.
pub fn assigned() -> Bench {
    let bench = bare();
    bench.json(&["quantity", "assign", "mbx", "--item", "7"]).exits(0);
    bench
}

/// The same with an addition of 5 that is taken over.
pub fn five() -> (Bench, i64) {
    let bench = assigned();
    let addition = add(&bench, 40, 7, "5");
    count(&bench, &[("c-1", "mbx", "5")]);
    let ran = bench.json(&["quantity", "run", "--adopt"]).exits(0).json();
    assert_eq!(verdicts(&ran), ["adopt"], "{ran}");
    (bench, addition)
}

const BASE: &str = concat!(
    r#"{"type":"customer","id":"c-1","name":"Green Lane LLC"}"#,
    "\n",
    r#"{"type":"product","id":"mbx","name":"Mailbox","unit":"user"}"#,
    "\n",
    r#"{"type":"product","id":"arc","name":"Archive","unit":"user"}"#,
    "\n",
    r#"{"type":"product","id":"old","name":"Exchange+ Basic","active":false}"#,
    "\n",
);

/// Adds records to the sandbox, as if they had always been there.
pub fn seed(bench: &Bench, resources: Value) {
    bench.control("seed", &json!({ "resources": resources }));
}

/// A monthly agreement of a company, invoiced up to 1 April.
pub fn agreement(id: i64, company: i64, name: &str) -> Value {
    json!({ "id": id, "name": name, "type": { "name": "Cloud Services" }, "company": { "id": company },
        "contact": { "id": 5 }, "startDate": "2023-01-01T00:00:00Z", "billStartDate": "2023-03-01T00:00:00Z",
        "nextInvoiceDate": "2023-04-01", "billingCycle": { "id": 2 } })
}

/// A catalog item.
pub fn item(id: i64, identifier: &str, price: f64) -> Value {
    json!({ "id": id, "identifier": identifier, "description": identifier, "customerDescription": identifier,
        "subcategory": { "id": 1 },
        "type": { "id": 1 }, "price": price, "cost": 1.0 })
}

/// So many customers `c-2`, `c-3` … with companies 22, 23 … and agreements 52, 53 …, all mapped.
pub fn more_customers(bench: &Bench, count: i64) {
    let ids = 2..2 + count;
    let companies: Vec<Value> = ids
        .clone()
        .map(|n| json!({ "id": 20 + n, "identifier": format!("Co{n}"), "name": format!("Company {n}") }))
        .collect();
    let agreements: Vec<Value> = ids.clone().map(|n| agreement(50 + n, 20 + n, "Cloud")).collect();
    seed(bench, json!({ "company/companies": companies, "finance/agreements": agreements }));
    let feed: String = ids
        .clone()
        .map(|n| format!("{{\"type\":\"customer\",\"id\":\"c-{n}\",\"name\":\"Customer {n}\"}}\n"))
        .collect();
    bench.feed(&feed).exits(0);
    let rows: String = ids
        .map(|n| format!("customer,c-{n},{},,\nagreement,customer:c-{n},{},,\n", 20 + n, 50 + n))
        .collect();
    bench.map(&rows).exits(0);
}

/// An addition that a person made.
pub fn add(bench: &Bench, agreement: i64, item: i64, quantity: &str) -> i64 {
    let body = json!({
        "product": { "id": item }, "quantity": quantity.parse::<f64>().unwrap(), "billCustomer": "Billable",
        "effectiveDate": "2023-04-01T00:00:00Z",
    });
    bench.by_hand("POST", &format!("finance/agreements/{agreement}/additions"), &body);
    additions(bench, agreement).iter().filter_map(|row| row["id"].as_i64()).max().unwrap()
}

/// A change by a person.
pub fn patch(bench: &Bench, agreement: i64, addition: i64, field: &str, value: Value) {
    let ops = json!([{ "op": "replace", "path": field, "value": value }]);
    bench.by_hand("PATCH", &format!("finance/agreements/{agreement}/additions/{addition}"), &ops);
}

/// Counters of the bench's day.
pub fn count(bench: &Bench, levels: &[(&str, &str, &str)]) {
    count_at(bench, "2023-03-10T01:00:00Z", levels);
}

/// Counters of an instant.
pub fn count_at(bench: &Bench, at: &str, levels: &[(&str, &str, &str)]) {
    let lines: String = levels
        .iter()
        .map(|(customer, product, value)| {
            format!(
                "{{\"type\":\"counter\",\"customer\":\"{customer}\",\"product\":\"{product}\",\"value\":\"{value}\",\
                 \"as_of\":\"{at}\"}}\n"
            )
        })
        .collect();
    bench.feed(&lines).exits(0);
}

/// The additions of an agreement, as the sandbox has them.
pub fn additions(bench: &Bench, agreement: i64) -> Vec<Value> {
    let state = bench.ask("state");
    let rows = &state["resources"]["finance/agreements/{id}/additions"][agreement.to_string()];
    rows.as_array().cloned().unwrap_or_default()
}

/// The quantities of the open additions of an agreement, smallest id first.
pub fn quantities(bench: &Bench, agreement: i64) -> Vec<f64> {
    let mut rows = additions(bench, agreement);
    rows.retain(|row| row["cancelledDate"].is_null());
    rows.sort_by_key(|row| row["id"].as_i64());
    rows.iter().map(|row| row["quantity"].as_f64().unwrap()).collect()
}

/// Calls that wrote, since a call with this number.
pub fn writes_since(bench: &Bench, seq: u64) -> Vec<(String, String, String)> {
    let journal = bench.ask("journal");
    let rows = journal.as_array().or_else(|| journal["entries"].as_array()).unwrap().clone();
    rows.iter()
        .filter(|row| row["seq"].as_u64().unwrap() > seq && row["method"] != "GET")
        .map(|row| {
            let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
            (text("method"), text("path"), text("body"))
        })
        .collect()
}

/// The number of the last call.
pub fn mark(bench: &Bench) -> u64 {
    let journal = bench.ask("journal");
    let rows = journal.as_array().or_else(|| journal["entries"].as_array()).unwrap().clone();
    rows.last().map_or(0, |row| row["seq"].as_u64().unwrap())
}

/// A run.
pub fn run(bench: &Bench, flags: &[&str]) -> Ran {
    let args: Vec<&str> = ["quantity", "run"].iter().chain(flags).copied().collect();
    bench.json(&args)
}

/// What every line of a run came to.
pub fn verdicts(ran: &Value) -> Vec<String> {
    ran["lines"].as_array().unwrap().iter().map(|line| line["verdict"].as_str().unwrap().to_owned()).collect()
}

/// The codes of a run's findings, each once.
pub fn codes(ran: &Value) -> Vec<String> {
    let mut codes: Vec<String> = ran["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["code"].as_str().unwrap().to_owned())
        .collect();
    codes.sort();
    codes.dedup();
    codes
}
