//! A small world for what a clerk does: two companies in ConnectWise, and a shop that sells to them.
//!
//! Green Lane's agreement (40) was never invoiced; that of Harbour Clinic (41) is invoiced when a test says so; that of Willow
//! Books (42), who buys nothing unless a test says so, prorates by itself.

use crate::bench::{Backend, FIRST, PASSWORD, Person, Service};
use crate::driver::Browser;
use crate::sandbox::Sandbox;
use crate::sign_in;
use serde_json::{Value, json};
use std::time::Duration;

/// The day of all of it.
pub const TODAY: &str = "2023-03-20";
const ORG: &str = "/api/v1/organizations/default";

pub struct World {
    pub service: Service,
    pub sandbox: Sandbox,
    pass: (String, String),
}

fn agreement(id: i64, company: i64, name: &str) -> Value {
    json!({
        "id": id, "name": name, "type": {"name": "Cloud Services"}, "company": {"id": company},
        "contact": {"id": company}, "startDate": "2023-01-01T00:00:00Z", "billStartDate": "2023-03-01T00:00:00Z",
        "nextInvoiceDate": "2023-03-01", "billingCycle": {"id": 2}, "_info": {"lastUpdated": "2023-01-05T00:00:00Z"},
    })
}

fn item(id: i64, identifier: &str, name: &str, price: &str, cost: &str) -> Value {
    let number = |text: &str| text.parse::<serde_json::Number>().unwrap();
    json!({
        "id": id, "identifier": identifier, "description": name, "customerDescription": name,
        "subcategory": {"id": 1}, "type": {"id": 1}, "price": number(price), "cost": number(cost),
    })
}

fn held() -> Value {
    let contact =
        |id: i64| json!({ "id": id, "firstName": "Ada", "lastName": "Byron", "company": {"id": id} });
    let mut prorating = agreement(42, 14, "Willow cloud");
    prorating["prorateFlag"] = json!(true);
    json!({ "today": TODAY, "resources": {
        "company/companies": [
            { "id": 12, "identifier": "GreenLane", "name": "Green Lane LLC" },
            { "id": 13, "identifier": "HarbourClinic", "name": "Harbour Clinic" },
            // Nobody's customer yet, and nothing is missing.
            {
                "id": 14, "identifier": "WillowBooks", "name": "Willow Books", "defaultContact": { "id": 14 },
                "invoiceToEmailAddress": "billing@willow.example.com", "phoneNumber": "+1 555 0101",
                "addressLine1": "2 Willow Way", "city": "Springfield", "state": "IL", "zip": "62702",
                "country": { "id": 1 },
            },
        ],
        "company/contacts": [contact(12), contact(13), contact(14)],
        "procurement/catalog": [
            item(7, "MAIL", "Mail Seat", "22.00", "17.60"),
            item(8, "STORE", "Storage", "0.12", "0.08"),
            item(9, "SETUP", "Onboarding", "10.00", "5.00"),
            item(10, "FEE", "Early End", "50.00", "0.00"),
        ],
        "finance/agreements": [
            agreement(40, 12, "Green Lane cloud"), agreement(41, 13, "Harbour cloud"), prorating,
        ],
    } })
}

/// A line of an order: charge, product, quantity, unit price and unit cost.
pub fn line(id: &str, charge: &str, product: &str, quantity: &str, price: &str, cost: &str) -> Value {
    json!({
        "id": id, "charge": charge, "product": product, "quantity": quantity, "unit_price": price, "unit_cost": cost,
    })
}

/// The order of a subscription on a day of the month.
pub fn order(id: &str, kind: &str, subscription: &str, on: &str, lines: &[Value]) -> Value {
    json!({
        "type": "order", "id": id, "kind": kind, "subscription": subscription,
        "completed_at": format!("{on}T09:00:00Z"), "period": {"start": "2023-03-01", "end": "2023-04-01"},
        "currency": "USD", "lines": lines,
    })
}

/// A monthly subscription with one item.
pub fn subscription(
    id: &str,
    customer: &str,
    product: &str,
    quantity: &str,
    price: &str,
    cost: &str,
) -> Value {
    json!({
        "type": "subscription", "id": id, "customer": customer, "status": "active", "currency": "USD",
        "billing_cycle": {"every": 1, "unit": "month"}, "start": "2023-03-01",
        "billing_model": if product == "store" { "arrears" } else { "advance" },
        "period": {"start": "2023-03-01", "end": "2023-04-01"},
        "items": [{ "id": "1", "product": product, "quantity": quantity, "unit_price": price, "unit_cost": cost }],
    })
}

/// Five seats for a customer, with setting them up.
pub fn seats(customer: &str, id: &str) -> [Value; 2] {
    let lines = [
        line("1", "recurring", "mail", "5", "22.00", "17.60"),
        line("2", "setup", "onboarding", "1", "10.00", "5.00"),
    ];
    [
        subscription(id, customer, "mail", "5", "22.00", "17.60"),
        order(&format!("SO-{id}"), "sales", id, "2023-03-01", &lines),
    ]
}

/// Three of the seats more, in the middle of the month.
pub fn three_more(id: &str, subscription: &str) -> Value {
    let mut grown = line("1", "recurring", "mail", "3", "22.00", "17.60");
    grown["old_quantity"] = json!("5");
    grown["new_quantity"] = json!("8");
    order(id, "change", subscription, "2023-03-15", &[grown])
}

impl World {
    /// Connected and read, with customers and products known to the source; nothing is sold and nothing mapped.
    pub fn start() -> Self {
        let environment = [("TRUEUP_TODAY", TODAY), ("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1")];
        let service = Service::start(Backend::Sqlite, &environment).unwrap();
        let sandbox = Sandbox::seeded(&held());
        let operator = service.operator();
        operator.post(&format!("{ORG}/connections"), &sandbox.connection()).is(201);
        let pass = operator.pass();
        let world = Self { service, sandbox, pass };
        world.feed(&[
            json!({ "type": "customer", "id": "c-1", "name": "Green Lane", "currency": "USD" }),
            json!({ "type": "customer", "id": "c-2", "name": "Harbour", "currency": "USD" }),
            json!({ "type": "product", "id": "mail", "name": "Mail, one seat", "kind": "seat" }),
            json!({ "type": "product", "id": "store", "name": "Storage by use", "kind": "metered" }),
            json!({ "type": "product", "id": "onboarding", "name": "Getting started", "kind": "one_time" }),
        ]);
        world.run(&json!({ "kind": "pull" }));
        world
    }

    /// Says what every customer, product and fee is.
    pub fn map_all(&self) {
        let rows = "kind,source_id,psa_id\ncustomer,c-1,12\ncustomer,c-2,13\nproduct,mail,7\nproduct,store,8\n\
                    product,onboarding,9\nfee,cancellation,10\n";
        let person = self.operator();
        let import = person.request("POST", &format!("{ORG}/mappings/import?source=shop"));
        assert_eq!(import.body("text/csv", rows).send(self.service.at).is(200).json()["refused"], json!([]));
    }

    pub fn feed(&self, records: &[Value]) {
        self.feed_from("shop", records);
    }

    pub fn feed_from(&self, source: &str, records: &[Value]) {
        let path = format!("/api/v1/feed?organization=default&source={source}");
        let taken = self.operator().post(&path, &json!(records)).is(200).json();
        assert_eq!(taken["refused"], json!([]));
    }

    /// Whoever set the world up, at the API.
    pub fn operator(&self) -> Person<'_> {
        self.service.known(&self.pass)
    }

    /// Carries out a run; how it ended.
    pub fn run(&self, wish: &Value) -> Value {
        let person = self.operator();
        let begun = person.post(&format!("{ORG}/runs"), wish).is(202).json();
        let path = format!("{ORG}/runs/{}", begun["run_id"].as_str().unwrap());
        for _ in 0..600 {
            let run = person.get(&path).is(200).json();
            if run["finished_at"].is_string() {
                return run;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("the run {wish} does not end");
    }

    /// Takes in what was sold, and writes everything that is ready.
    pub fn write(&self) {
        self.run(&json!({ "kind": "check" }));
        let run = self.run(&json!({ "kind": "sync" }));
        assert_eq!(run["state"], "done", "{run}");
    }

    /// Makes the next invoice of an agreement, and reads it.
    pub fn invoice(&self, agreement: i64) {
        self.sandbox.invoice(agreement);
        self.run(&json!({ "kind": "pull" }));
    }

    /// The runs that a schedule started and that are over, the newest first.
    pub fn scheduled(&self) -> Vec<Value> {
        let all = self.operator().get(&format!("{ORG}/runs?limit=200")).is(200).json();
        let over = |run: &&Value| run["scheduled"] == true && run["finished_at"].is_string();
        all["items"].as_array().unwrap().iter().filter(over).cloned().collect()
    }

    /// Sets a value of the organization.
    pub fn set(&self, key: &str, value: &str) {
        let body = json!({ "value": value });
        self.operator().put(&format!("{ORG}/settings/{key}"), &body).is(200);
    }

    pub fn page(&self, path: &str) -> String {
        format!("http://{}/o/default{path}", self.service.at)
    }

    pub fn enter(&self, browser: &Browser) {
        sign_in(browser, &self.service, FIRST, PASSWORD);
        browser.sees("What needs you now");
    }

    /// Takes orders in as a clerk does, and begins with the one named.
    pub fn wizard(&self, browser: &Browser, order: &str, customer: &str) {
        browser.open(&self.page(&format!("/tasks?state=all&search={order}")));
        browser.click("Check for changes");
        browser.sees("New tasks: 1");
        browser.click(customer);
        browser.sees("What was sold");
        browser.click("Synchronize");
        browser.sees("Look at the task");
    }
}

/// Writes what the wizard shows, and waits for its result.
pub fn synchronize(browser: &Browser) {
    browser.click("Synchronize");
    browser.sees("Result line by line");
    browser.until(
        "the end of the run",
        "return [...document.querySelectorAll('.badge')].some((b) => b.innerText === 'Done')",
        &[],
    );
}

/// Maps what the page names, to what ConnectWise has.
pub fn map(browser: &Browser, button: &str, field: &str, option: &str) {
    browser.click(button);
    crate::quantities::pick(browser, field, option);
    browser.click("Map");
    browser.sees("The mapping is saved");
}
