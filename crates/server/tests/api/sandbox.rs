//! A sandbox beside the service, what a person does in it, and runs of the service.

use crate::bench::Person;
use crate::http::{Answer, Request};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

pub const ORG: &str = "/api/v1/organizations/default";

pub const SEED: &str = r#"{"today": "2023-03-20", "resources": {
  "company/companies": [{"id": 12, "identifier": "GreenLane", "name": "Green Lane LLC"}],
  "company/contacts": [{"id": 5, "firstName": "Ada", "lastName": "Byron", "company": {"id": 12}}],
  "procurement/catalog": [{"id": 7, "identifier": "EXO-P1", "description": "Exchange Online (Plan 1)",
    "customerDescription": "Exchange Online (Plan 1)", "subcategory": {"id": 1}, "type": {"id": 1}, "price": 22.00,
    "cost": 17.60}],
  "finance/agreements": [{"id": 40, "name": "Cloud", "type": {"name": "Cloud Services"}, "company": {"id": 12},
    "contact": {"id": 5}, "startDate": "2023-01-01T00:00:00Z", "billStartDate": "2023-03-01T00:00:00Z",
    "nextInvoiceDate": "2023-03-01", "billingCycle": {"id": 2},
    "_info": {"lastUpdated": "2023-01-05T00:00:00Z"}}]
}}"#;

/// A sandbox in a process of its own; it ends with the value.
pub struct Sandbox {
    pub child: Child,
    pub access: Value,
    _seed: tempfile::TempDir,
}

impl Sandbox {
    pub fn start() -> Self {
        Self::seeded(SEED)
    }

    pub fn seeded(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let seed = dir.path().join("seed.json");
        std::fs::write(&seed, text).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_trueup"))
            .args(["sandbox", "--seed"])
            .arg(&seed)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, access: serde_json::from_str(&line).unwrap(), _seed: dir }
    }

    pub fn connection(&self) -> Value {
        let text = |name: &str| self.access[name].as_str().unwrap().to_owned();
        json!({
            "url": text("url"), "company": text("company"), "public_key": text("public_key"),
            "private_key": text("private_key"), "client_id": text("client_id"),
        })
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a run and follows its events to the end.
pub fn run(person: &Person<'_>, body: &Value) -> Value {
    let started = person.post(&format!("{ORG}/runs"), body).is(202);
    let location = started.header("location").unwrap().to_owned();
    let events = person.request("GET", &format!("{location}/events")).events(person.service.at);
    let (name, last) = events.last().unwrap();
    assert_eq!(name, "end", "{events:?}");
    assert_eq!(&person.get(&location).is(200).json(), last);
    last.clone()
}

/// Where a sandbox answers.
pub fn host(sandbox: &Sandbox) -> SocketAddr {
    let url = sandbox.access["url"].as_str().unwrap().trim_start_matches("http://").to_owned();
    url.split('/').next().unwrap().parse().unwrap()
}

/// A call to ConnectWise as somebody else makes it.
pub fn at(sandbox: &Sandbox, method: &str, path: &str) -> Request {
    use base64::Engine;
    let text = |name: &str| sandbox.access[name].as_str().unwrap().to_owned();
    let login = format!("{}+{}:{}", text("company"), text("public_key"), text("private_key"));
    let login = base64::engine::general_purpose::STANDARD.encode(login);
    Request::new(method, &format!("/v4_6_release/apis/3.0/{path}"))
        .header("authorization", &format!("Basic {login}"))
        .header("clientid", &text("client_id"))
}

/// The answer to such a call without a body.
pub fn call(sandbox: &Sandbox, method: &str, path: &str) -> Answer {
    at(sandbox, method, path).send(host(sandbox))
}

/// A call of the sandbox's own controls.
pub fn control(sandbox: &Sandbox, path: &str, body: &Value) {
    let answer = Request::new("POST", &format!("/sandbox/{path}")).json(body).send(host(sandbox));
    assert!(answer.status < 300, "{}", answer.text());
}
