//! A ConnectWise sandbox in a process of its own, and what people do in ConnectWise beside trueup.

use crate::http::{Answer, Request};
use base64::Engine as _;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

pub struct Sandbox {
    child: Child,
    access: Value,
    _dir: TempDir,
}

impl Sandbox {
    /// An empty one.
    pub fn start() -> Self {
        Self::seeded(&json!({}))
    }

    /// One that holds something from the start.
    pub fn seeded(seed: &Value) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("seed.json");
        std::fs::write(&file, seed.to_string()).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_trueup"))
            .current_dir(dir.path())
            .args(["sandbox", "--seed"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, access: serde_json::from_str(&line).unwrap(), _dir: dir }
    }

    pub fn text(&self, name: &str) -> &str {
        self.access[name].as_str().unwrap()
    }

    fn at(&self) -> SocketAddr {
        self.text("url").trim_start_matches("http://").parse().unwrap()
    }

    /// What the API member may do; functions that are not named have every level.
    pub fn roles(&self, functions: &Value) {
        let body = json!({ "functions": functions });
        Request::new("POST", "/sandbox/roles").json(&body).send(self.at()).is(200);
    }

    /// What a connection needs.
    pub fn connection(&self) -> Value {
        let names = ["url", "company", "public_key", "private_key", "client_id"];
        names.iter().map(|name| ((*name).to_owned(), json!(self.text(name)))).collect()
    }

    fn call(&self, method: &str, path: &str) -> Answer {
        let user =
            format!("{}+{}:{}", self.text("company"), self.text("public_key"), self.text("private_key"));
        let basic = base64::engine::general_purpose::STANDARD.encode(user);
        Request::new(method, &format!("/v4_6_release/apis/3.0/{path}"))
            .header("authorization", &format!("Basic {basic}"))
            .header("clientid", self.text("client_id"))
            .json(&json!({}))
            .send(self.at())
    }

    /// Makes the next invoice of an agreement.
    pub fn invoice(&self, agreement: i64) {
        self.call("POST", &format!("finance/agreements/{agreement}/invoice")).is(201);
    }

    /// The additions of an agreement in few words, in the order in which they were made: item, quantity, price, days.
    pub fn additions(&self, agreement: i64) -> Vec<String> {
        let all =
            self.call("GET", &format!("finance/agreements/{agreement}/additions?orderBy=id")).is(200).json();
        let day = |one: &Value, name: &str| one[name].as_str().map_or("open", |at| &at[..10]).to_owned();
        all.as_array()
            .unwrap()
            .iter()
            .map(|one| {
                let (first, last) = (day(one, "effectiveDate"), day(one, "cancelledDate"));
                format!("{} {} x {} {first}..{last}", one["product"]["id"], one["quantity"], one["unitPrice"])
            })
            .collect()
    }

    /// One field of the addition of an item.
    pub fn field(&self, agreement: i64, item: i64, name: &str) -> Value {
        let all = self.call("GET", &format!("finance/agreements/{agreement}/additions")).is(200).json();
        let of = |one: &&Value| one["product"]["id"] == item;
        all.as_array().unwrap().iter().find(of).unwrap()[name].clone()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
