//! A desk on 20 March 2023: three customers whose history C3 tells, their companies, and agreements of several cycles that
//! are invoiced up to 1 March.

use crate::bench::{Backend, Person, Service};
use crate::http::Answer;
use crate::sandbox::{ORG, Sandbox, at, host, run};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Company 12 has a monthly agreement (40), a yearly (41), a quarterly (42), a weekly (43) and one by half years (44);
/// company 13 a monthly one (50), company 14 none. Items 7 and 8 can be billed, 9 is inactive, 10 a bundle.
const SEED: &str = r#"{"today": "2023-03-20", "resources": {
  "company/companies": [{"id": 12, "identifier": "Green", "name": "Green Lane LLC"},
    {"id": 13, "identifier": "Blue", "name": "Blue Hill"}, {"id": 14, "identifier": "Red", "name": "Red Hill"}],
  "company/contacts": [{"id": 5, "firstName": "Ada", "lastName": "Byron", "company": {"id": 12}},
    {"id": 6, "firstName": "Bob", "lastName": "Hill", "company": {"id": 13}}],
  "procurement/catalog": [
    {"id": 7, "identifier": "MAIL", "description": "Mail", "customerDescription": "Mail", "subcategory": {"id": 1},
     "type": {"id": 1}, "price": 22.00, "cost": 17.60},
    {"id": 8, "identifier": "SUITE", "description": "Suite", "customerDescription": "Suite", "subcategory": {"id": 1},
     "type": {"id": 1}, "price": 36.00, "cost": 28.80},
    {"id": 9, "identifier": "OLD", "description": "Old", "customerDescription": "Old", "subcategory": {"id": 1},
     "type": {"id": 1}, "price": 1.00, "cost": 0.50, "inactiveFlag": true},
    {"id": 10, "identifier": "SET", "description": "Set", "customerDescription": "Set", "subcategory": {"id": 1},
     "type": {"id": 1}, "price": 1.00, "cost": 0.50, "productClass": "Bundle"}],
  "finance/agreements": [AGREEMENTS]
}}"#;

fn agreement(id: i64, company: i64, cycle: i64) -> String {
    json!({ "id": id, "name": format!("Cloud {id}"), "type": { "name": "Cloud Services" }, "company": { "id": company },
        "contact": { "id": if company == 12 { 5 } else { 6 } }, "startDate": "2023-01-01T00:00:00Z",
        "billStartDate": "2023-03-01T00:00:00Z", "nextInvoiceDate": "2023-03-01", "billingCycle": { "id": cycle } })
    .to_string()
}

/// A row of the history: c-1 is Green Lane, c-2 Blue Hill, c-3 Red Hill.
#[derive(Clone, Debug)]
pub struct Row(pub Value);

impl Row {
    /// Of Mail at 20.00 a month, from one quantity to another.
    pub fn new(customer: &str, subscription: &str, from: i64, to: i64, on: &str) -> Self {
        let name = match customer {
            "c-1" => "Green Lane",
            "c-2" => "Blue Hill",
            _ => "Red Hill", // open set: any other
        };
        Self(json!({ "CustomerID": customer, "CustomerName": name, "SubscriptionID": subscription,
            "ProductName": "Mail", "OldQuantity": from, "NewQuantity": to, "DateofChange": format!("{on}T09:00:00.353"),
            "OldStatus": if from == 0 { Value::Null } else { json!("Active") }, "NewStatus": "Active",
            "OldPrice": 20.00, "NewPrice": 20.00, "NewCost": 16.00, "CurrencyCode": "USD" }))
    }

    /// The same with another value.
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.0[field] = value.into();
        self
    }
}

/// 5 of Mail sold to Green Lane on 1 March.
pub fn sale() -> Row {
    Row::new("c-1", "s-1", 0, 5, "2023-03-01")
}

pub struct Desk {
    pub service: Service,
    pub sandbox: Sandbox,
}

impl Desk {
    /// Nothing connected, nothing told.
    pub fn bare(environment: &[(&str, &str)], role: &str) -> Self {
        let usual = [
            ("TRUEUP_TODAY", "2023-03-20"),
            ("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1"),
            ("TRUEUP_APPLY_SETTLE_SECONDS", "1"),
        ];
        let environment = [&usual[..], environment].concat();
        let agreements = [(40, 12, 2), (41, 12, 7), (42, 12, 5), (43, 12, 1), (44, 12, 6), (50, 13, 2)]
            .map(|(id, company, cycle)| agreement(id, company, cycle));
        Self {
            service: Service::start_as(role, Backend::Sqlite, &environment).unwrap(),
            sandbox: Sandbox::seeded(&SEED.replace("AGREEMENTS", &agreements.join(","))),
        }
    }

    /// Connected, with the history of these rows.
    pub fn told(rows: &[Row]) -> (Self, Pass) {
        let desk = Self::bare(&[], "all");
        let pass = Pass(desk.service.operator().pass());
        let person = desk.person(&pass);
        person.post(&format!("{ORG}/connections"), &desk.sandbox.connection()).is(201);
        tell(&person, rows);
        run(&person, &json!({ "kind": "pull" }));
        (desk, pass)
    }

    /// The same, ready to be billed: c-1 is company 12, c-2 company 13, Mail item 7.
    pub fn ready(rows: &[Row]) -> (Self, Pass) {
        let (desk, pass) = Self::told(rows);
        let person = desk.person(&pass);
        map(&person, "customer", "c-1", 12).is(200);
        map(&person, "customer", "c-2", 13).is(200);
        map(&person, "product", "Mail", 7).is(200);
        (desk, pass)
    }

    pub fn person(&self, pass: &Pass) -> Person<'_> {
        self.service.known(&pass.0)
    }

    /// A call of ConnectWise by somebody else.
    pub fn by_hand(&self, method: &str, path: &str, body: &Value) -> Answer {
        at(&self.sandbox, method, path).json(body).send(host(&self.sandbox))
    }

    /// Changes one field of something in ConnectWise.
    pub fn patch(&self, path: &str, field: &str, value: Value) {
        self.by_hand("PATCH", path, &json!([{ "op": "replace", "path": field, "value": value }])).is(200);
    }

    /// The additions of an agreement.
    pub fn additions(&self, agreement: i64) -> Vec<Value> {
        let path = format!("finance/agreements/{agreement}/additions");
        self.by_hand("GET", &path, &Value::Null).is(200).json().as_array().unwrap().clone()
    }

    /// What the sandbox says of itself.
    pub fn ask(&self, what: &str) -> Value {
        let path = format!("/sandbox/{what}");
        crate::http::Request::new("GET", &path).send(host(&self.sandbox)).is(200).json()
    }

    /// All calls that were to write, as `METHOD path`.
    pub fn writes(&self) -> Vec<String> {
        let journal = self.ask("journal");
        let calls = journal.as_array().unwrap().iter().filter(|call| call["method"] != "GET");
        calls
            .map(|call| format!("{} {}", call["method"].as_str().unwrap(), call["path"].as_str().unwrap()))
            .collect()
    }
}

/// What somebody keeps who is signed in.
pub struct Pass(pub (String, String));

/// Hands rows of the history in.
pub fn tell(person: &Person<'_>, rows: &[Row]) -> Value {
    let rows: Vec<&Value> = rows.iter().map(|row| &row.0).collect();
    let body = json!({ "Status": "Success", "Data": rows }).to_string();
    let path = "/api/v1/feed?organization=default&source=c3&from=c3-history";
    person.request("POST", path).body("application/json", body).send(person.service.at).is(200).json()
}

/// Hands records of the feed in.
pub fn feed(person: &Person<'_>, records: &[Value]) {
    let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
    let path = "/api/v1/feed?organization=default&source=c3";
    person.request("POST", path).body("application/x-ndjson", lines).send(person.service.at).is(200);
}

/// Saves a mapping.
pub fn map(person: &Person<'_>, kind: &str, id: &str, to: i64) -> Answer {
    map_for(person, kind, id, to, "")
}

/// The same with a scope.
pub fn map_for(person: &Person<'_>, kind: &str, id: &str, to: i64, scope: &str) -> Answer {
    let body = json!({ "kind": kind, "source": "c3", "source_id": id, "psa_id": to, "scope": scope });
    person.put(&format!("{ORG}/mappings"), &body)
}

/// Sets a setting.
pub fn set(person: &Person<'_>, key: &str, value: &str) {
    person.put(&format!("{ORG}/settings/{key}"), &json!({ "value": value })).is(200);
}

/// What can be chosen; `query` says how far somebody has.
pub fn choices(person: &Person<'_>, query: &str) -> Value {
    person.get(&format!("{ORG}/mappings/choices?source=c3{query}")).is(200).json()
}

/// The numbers of a field of each row of a list.
pub fn ids(rows: &Value, field: &str) -> Vec<i64> {
    rows.as_array().unwrap().iter().map(|row| row[field].as_i64().unwrap()).collect()
}

/// What a release would touch, and the body that releases it.
pub fn foresee(person: &Person<'_>, kind: &str, id: &str, cascade: bool) -> (Value, Value) {
    let query = format!("kind={kind}&source=c3&source_id={id}&cascade={cascade}");
    let impact = person.get(&format!("{ORG}/mappings/release?{query}")).is(200).json();
    let body = json!({ "kind": kind, "source": "c3", "source_id": id, "cascade": cascade,
        "token": impact["token"], "reason": "sold to somebody else" });
    (impact, body)
}

/// Releases.
pub fn release(person: &Person<'_>, body: &Value) -> Answer {
    person.post(&format!("{ORG}/mappings/release"), body)
}

/// The mappings that stand, as `kind id`.
pub fn mapped(person: &Person<'_>) -> Vec<String> {
    let all = person.get(&format!("{ORG}/mappings?source=c3&limit=200")).is(200).json();
    let items = all["items"].as_array().unwrap().iter();
    let shown = |m: &Value| format!("{} {}", m["kind"].as_str().unwrap(), m["source_id"].as_str().unwrap());
    let mut shown: Vec<String> = items.filter(|m| m["origin"] == "person").map(shown).collect();
    shown.sort();
    shown
}

/// Starts a validation of these customers (all, where none is named), and waits for its end.
pub fn validate(person: &Person<'_>, customers: &[&str]) -> Value {
    let chosen: Vec<Value> = customers.iter().map(|id| json!({ "id": id, "source": "c3" })).collect();
    let body = if chosen.is_empty() { json!({}) } else { json!({ "customers": chosen }) };
    job(person, "", &body)
}

/// Uploads a job, and waits for its end.
pub fn upload(person: &Person<'_>, job_of: &Value) -> Value {
    job(person, &format!("/{}/upload", id(job_of)), &json!({}))
}

/// Starts a job and waits for its end.
pub fn job(person: &Person<'_>, path: &str, body: &Value) -> Value {
    let started = person.post(&format!("{ORG}/jobs{path}"), body).is(202);
    ended(person, started.header("location").unwrap())
}

/// Waits for the end of a job.
pub fn ended(person: &Person<'_>, location: &str) -> Value {
    let began = Instant::now();
    loop {
        let job = person.get(location).is(200).json();
        if matches!(job["state"].as_str(), Some("success" | "error")) {
            return job;
        }
        assert!(began.elapsed() < Duration::from_secs(90), "{job}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The id of a job.
pub fn id(job: &Value) -> &str {
    job["job_id"].as_str().unwrap()
}

/// The codes of the rows that are errors, each once.
pub fn errors(job: &Value) -> Vec<String> {
    let rows = job["rows"].as_array().unwrap().iter().filter(|row| row["severity"] == "error");
    let mut codes: Vec<String> = rows.map(|row| row["code"].as_str().unwrap().to_owned()).collect();
    codes.sort();
    codes.dedup();
    codes
}
