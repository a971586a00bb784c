//! A workbench: a data directory, a sandbox, and the binary between them.

#[path = "../api/postgres.rs"]
#[allow(dead_code, reason = "it is the tests' of the service as well")]
pub mod postgres;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    pub exit: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// The document on standard output.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {} / {}", self.out, self.err))
    }

    /// The same command, with the exit code it must have had.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.exit, code, "out: {}\nerr: {}", self.out, self.err);
        self
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            exit: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A sandbox in a process of its own; it ends with the value.
pub struct Sandbox {
    child: Child,
    pub access: Value,
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A data directory and the binary.
pub struct Bench {
    pub dir: TempDir,
    today: String,
    environment: Vec<(String, String)>,
    pub sandbox: Option<Sandbox>,
}

fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trueup"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TRUEUP_")) {
        command.env_remove(name);
    }
    command
}

impl Bench {
    /// An empty data directory on a day.
    pub fn new(today: &str) -> Self {
        let database = postgres::Server::database().map(|url| ("TRUEUP_DATABASE_URL".to_owned(), url));
        Self {
            dir: tempfile::tempdir().unwrap(),
            today: today.to_owned(),
            environment: database.into_iter().collect(),
            sandbox: None,
        }
    }

    /// The same sandbox with a data directory that is empty.
    #[allow(dead_code, reason = "not every test that shares the bench needs it")]
    pub fn elsewhere(self) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), ..self }
    }

    /// Moves to another day.
    pub fn on(&mut self, today: &str) {
        today.clone_into(&mut self.today);
    }

    /// An environment variable for all commands from here on.
    pub fn env(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// A file in the bench's directory.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The command, not started yet.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = binary();
        command
            .args(args)
            .current_dir(self.dir.path())
            .env("TRUEUP_DATA_DIR", self.path("data"))
            .env("TRUEUP_TODAY", &self.today)
            .env("TRUEUP_ACTOR", "tester")
            .envs(self.environment.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null());
        command
    }

    /// Runs a command for people.
    pub fn run(&self, args: &[&str]) -> Ran {
        self.command(args).output().unwrap().into()
    }

    /// Starts a command and leaves it running.
    #[allow(dead_code, reason = "only the kill test needs it")]
    pub fn start(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Asks the sandbox's own controls.
    #[allow(dead_code, reason = "only the kill test needs it")]
    pub fn ask(&self, path: &str) -> Value {
        let access = &self.sandbox.as_ref().unwrap().access;
        let host = access["url"].as_str().unwrap().trim_start_matches("http://").to_owned();
        let mut stream = std::net::TcpStream::connect(&host).unwrap();
        write!(stream, "GET /sandbox/{path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {answer}"))
    }

    /// Runs a command for programs.
    pub fn json(&self, args: &[&str]) -> Ran {
        let all: Vec<&str> = args.iter().copied().chain(["--format", "json"]).collect();
        self.run(&all)
    }

    /// Runs a command with something on standard input.
    pub fn piped(&self, args: &[&str], input: &str) -> Ran {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap().into()
    }

    /// Starts a sandbox with a company (12), an item (7) and a monthly agreement (40) that is invoiced up to
    /// `next_invoice`, and stores the connection to it.
    pub fn connect(&mut self, next_invoice: &str) {
        let seed = SEED.replace("TODAY", &self.today).replace("NEXT_INVOICE", next_invoice);
        let seed = self.file("seed.json", &seed);
        let mut command = binary();
        command.args(["sandbox", "--seed", &seed]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let access: Value = serde_json::from_str(&line).unwrap();
        self.env("TRUEUP_CONNECTWISE_PRIVATE_KEY", access["private_key"].as_str().unwrap());
        self.sandbox = Some(Sandbox { child, access });
        self.add_connection().exits(0);
    }

    /// Stores the connection to the sandbox, with the private key that the environment has.
    pub fn add_connection(&self) -> Ran {
        let access = &self.sandbox.as_ref().unwrap().access;
        let text = |name: &str| access[name].as_str().unwrap().to_owned();
        let (url, company, key, id) = (text("url"), text("company"), text("public_key"), text("client_id"));
        let add = [
            "connection",
            "add",
            "--url",
            &url,
            "--company",
            &company,
            "--public-key",
            &key,
            "--client-id",
            &id,
        ];
        self.json(&add)
    }

    /// A call of the sandbox's own controls.
    pub fn control(&self, path: &str, body: &Value) -> String {
        let access = &self.sandbox.as_ref().unwrap().access;
        let host = access["url"].as_str().unwrap().trim_start_matches("http://").to_owned();
        let text = body.to_string();
        let mut stream = std::net::TcpStream::connect(&host).unwrap();
        write!(
            stream,
            "POST /sandbox/{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{text}",
            text.len()
        )
        .unwrap();
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
        answer
    }

    /// What a person does in ConnectWise: a call of its API with the sandbox's own keys.
    #[allow(dead_code, reason = "not every test that shares the bench needs it")]
    pub fn by_hand(&self, method: &str, path: &str, body: &Value) {
        let access = &self.sandbox.as_ref().unwrap().access;
        let text = |name: &str| access[name].as_str().unwrap();
        let host = text("url").trim_start_matches("http://");
        let user = format!("{}+{}:{}", text("company"), text("public_key"), text("private_key"));
        let (user, client, body) = (BASE64.encode(user), text("client_id"), body.to_string());
        let mut stream = std::net::TcpStream::connect(host).unwrap();
        write!(
            stream,
            "{method} /v4_6_release/apis/3.0/{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
             Authorization: Basic {user}\r\nclientId: {client}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
    }

    /// Takes feed lines in.
    #[track_caller]
    pub fn feed(&self, lines: &str) -> Ran {
        let file = self.file("feed.ndjson", lines);
        self.json(&["feed", "import", &file])
    }

    /// Takes mappings in.
    #[track_caller]
    pub fn map(&self, rows: &str) -> Ran {
        let file = self.file("mappings.csv", &format!("kind,source_id,psa_id,scope,options\n{rows}"));
        self.json(&["mapping", "import", &file])
    }
}

const SEED: &str = r#"{"today": "TODAY", "resources": {
  "company/companies": [{"id": 12, "identifier": "GreenLane", "name": "Green Lane LLC"}],
  "company/contacts": [{"id": 5, "firstName": "Ada", "lastName": "Byron", "company": {"id": 12}}],
  "procurement/catalog": [{"id": 7, "identifier": "EXO-P1", "description": "Exchange Online (Plan 1)",
    "customerDescription": "Exchange Online (Plan 1)", "subcategory": {"id": 1}, "type": {"id": 1}, "price": 22.00,
    "cost": 17.60}],
  "finance/agreements": [{"id": 40, "name": "Cloud", "type": {"name": "Cloud Services"}, "company": {"id": 12},
    "contact": {"id": 5}, "startDate": "2023-01-01T00:00:00Z", "billStartDate": "2023-03-01T00:00:00Z",
    "nextInvoiceDate": "NEXT_INVOICE", "billingCycle": {"id": 2}}]
}}"#;

/// Customer, product and subscription of the examples.
pub const BASE: &str = concat!(
    r#"{"type":"customer","id":"c-100","name":"Green Lane LLC","currency":"USD"}"#,
    "\n",
    r#"{"type":"product","id":"exo-p1","name":"Exchange Online (Plan 1)","kind":"seat","unit_price":"22.00","#,
    r#""unit_cost":"17.60","currency":"USD","billing_cycle":{"every":1,"unit":"month"}}"#,
    "\n",
    r#"{"type":"subscription","id":"s-1","customer":"c-100","status":"active","currency":"USD","#,
    r#""billing_cycle":{"every":1,"unit":"month"},"start":"2023-03-01","#,
    r#""period":{"start":"2023-03-01","end":"2023-04-01"},"items":[{"id":"seats","product":"exo-p1","#,
    r#""quantity":"5","unit_price":"22.00","unit_cost":"17.60"}]}"#,
    "\n",
);

/// An order with one line of 22.00 / 17.60; `line` is the rest of its JSON.
pub fn order(id: &str, kind: &str, completed: &str, line: &str) -> String {
    format!(
        "{{\"type\":\"order\",\"id\":\"{id}\",\"kind\":\"{kind}\",\"subscription\":\"s-1\",\
         \"completed_at\":\"{completed}T09:00:00Z\",\"period\":{{\"start\":\"2023-03-01\",\"end\":\"2023-04-01\"}},\
         \"currency\":\"USD\",\"lines\":[{{\"id\":\"1\",\"product\":\"exo-p1\",\"unit_price\":\"22.00\",\
         \"unit_cost\":\"17.60\",{line}}}]}}\n"
    )
}

/// 5 seats sold on 1 March.
pub fn sale() -> String {
    order("SO-1", "sales", "2023-03-01", r#""charge":"recurring","quantity":"5""#)
}

/// 8 instead of 5 seats from 15 March on.
pub fn upgrade() -> String {
    let line = r#""charge":"recurring","quantity":"3","old_quantity":"5","new_quantity":"8""#;
    order("CH-1", "change", "2023-03-15", line)
}

/// The mappings of the example.
pub const MAPPINGS: &str = "customer,c-100,12,,\nproduct,exo-p1,7,,\n";
