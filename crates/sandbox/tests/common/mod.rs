//! A sandbox and a small HTTP client for the tests: one connection a call, nothing clever.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use trueup_sandbox::{Sandbox, SandboxConfig, SandboxControl};

/// A running sandbox.
pub struct World {
    runtime: tokio::runtime::Runtime,
    sandbox: Option<Sandbox>,
    pub control: SandboxControl,
    address: String,
    authorization: String,
    client_id: String,
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub text: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {:?}", self.text))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// The body with the expected status; shows the body when the status is another.
#[track_caller]
pub fn expect(reply: &Reply, status: u16) -> Value {
    assert_eq!(reply.status, status, "{}", reply.text);
    if reply.text.is_empty() { Value::Null } else { reply.json() }
}

/// The messages of the `errors` array.
pub fn messages(body: &Value) -> Vec<String> {
    let errors = body["errors"].as_array().cloned().unwrap_or_default();
    errors.iter().map(|error| error["message"].as_str().unwrap_or_default().to_owned()).collect()
}

impl World {
    pub fn new(today: &str) -> Self {
        Self::with(SandboxConfig { today: Some(today.to_owned()), ..SandboxConfig::default() })
    }

    pub fn with(config: SandboxConfig) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let sandbox = runtime.block_on(trueup_sandbox::start(config)).unwrap();
        let plain = format!("{}+{}:{}", sandbox.company(), sandbox.public_key(), sandbox.private_key());
        World {
            control: sandbox.control(),
            address: sandbox.url().trim_start_matches("http://").to_owned(),
            authorization: format!("Basic {}", base64(plain.as_bytes())),
            client_id: sandbox.client_id().to_owned(),
            sandbox: Some(sandbox),
            runtime,
        }
    }

    pub fn authorization(&self) -> &str {
        &self.authorization
    }

    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// A call below `apis/3.0/` with the right keys.
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        self.try_call(method, path, body, &[]).unwrap()
    }

    pub fn get(&self, path: &str) -> Reply {
        self.call("GET", path, None)
    }

    pub fn post(&self, path: &str, body: &Value) -> Reply {
        self.call("POST", path, Some(body))
    }

    pub fn patch(&self, path: &str, body: &Value) -> Reply {
        self.call("PATCH", path, Some(body))
    }

    pub fn delete(&self, path: &str) -> Reply {
        self.call("DELETE", path, None)
    }

    /// As [`World::call`], with more headers; a broken connection is an error.
    pub fn try_call(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> std::io::Result<Reply> {
        let mut all =
            vec![("Authorization", self.authorization.as_str()), ("clientId", self.client_id.as_str())];
        all.extend_from_slice(headers);
        let text = body.map(Value::to_string);
        self.raw(method, &format!("/v4_6_release/apis/3.0/{path}"), text.as_deref(), &all)
    }

    /// A call as it is.
    pub fn raw(
        &self,
        method: &str,
        target: &str,
        body: Option<&str>,
        headers: &[(&str, &str)],
    ) -> std::io::Result<Reply> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let target = target.replace(' ', "%20").replace('"', "%22");
        let mut request =
            format!("{method} {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = body {
            if !headers.iter().any(|(name, _)| *name == "Content-Type") {
                request.push_str("Content-Type: application/json\r\n");
            }
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        request.push_str(body.unwrap_or_default());
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        parse(&answer)
    }

    /// Setup for most tests: a company with a contact, a catalog item at 22.00, and an agreement.
    pub fn agreement(&self, start: &str, changes: &Value) -> i64 {
        let name = format!("Customer {}", self.get("company/companies/count").json()["count"]);
        let company = expect(
            &self.post("company/companies", &json!({"identifier": name.replace(' ', ""), "name": name})),
            201,
        );
        let contact = expect(
            &self.post(
                "company/contacts",
                &json!({"firstName": "Ada", "lastName": "Byron", "company": {"id": company["id"]}}),
            ),
            201,
        );
        let mut body = json!({
            "name": "Cloud", "type": {"name": "Cloud Services"}, "company": {"id": company["id"]},
            "contact": {"id": contact["id"]}, "startDate": format!("{start}T00:00:00Z"),
        });
        body.as_object_mut().unwrap().extend(changes.as_object().cloned().unwrap_or_default());
        expect(&self.post("finance/agreements", &body), 201)["id"].as_i64().unwrap()
    }

    pub fn item(&self, identifier: &str, price: &str) -> i64 {
        let body = json!({
            "identifier": identifier, "description": identifier, "customerDescription": format!("{identifier} for you"),
            "subcategory": {"id": 1}, "type": {"id": 1}, "price": serde_json::from_str::<Value>(price).unwrap(), "cost": 10,
        });
        expect(&self.post("procurement/catalog", &body), 201)["id"].as_i64().unwrap()
    }

    pub fn addition(&self, agreement: i64, item: i64, effective: &str, changes: &Value) -> Reply {
        let mut body = json!({
            "product": {"id": item}, "billCustomer": "Billable", "effectiveDate": format!("{effective}T00:00:00Z"),
        });
        body.as_object_mut().unwrap().extend(changes.as_object().cloned().unwrap_or_default());
        self.post(&format!("finance/agreements/{agreement}/additions"), &body)
    }

    pub fn invoice(&self, agreement: i64) -> Reply {
        self.call("POST", &format!("finance/agreements/{agreement}/invoice"), None)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(sandbox) = self.sandbox.take() {
            self.runtime.block_on(sandbox.shutdown());
        }
    }
}

fn parse(answer: &[u8]) -> std::io::Result<Reply> {
    let broken = |why: &str| std::io::Error::new(std::io::ErrorKind::UnexpectedEof, why.to_owned());
    let end = answer.windows(4).position(|part| part == b"\r\n\r\n").ok_or_else(|| broken("no answer"))?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let body = &answer[end + 4..];
    let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    if let Some((_, length)) = length
        && length.parse::<usize>().is_ok_and(|length| length != body.len())
    {
        return Err(broken("the body is shorter than announced"));
    }
    Ok(Reply {
        status: status.ok_or_else(|| broken("no status"))?,
        headers,
        text: String::from_utf8_lossy(body).into_owned(),
    })
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
