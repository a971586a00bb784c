//! What trueup sends, against the vendor's schema, where a copy of it lies beside the project.
//!
//! The demonstration makes every kind of call; its sandbox keeps a journal of them. Each call must be one the vendor
//! publishes, with its query parameters, and each body must fit. The sandbox's answers are held against the same
//! document in its own tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops where it fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

/// The vendor's OpenAPI document; it is not part of the project, so it may be missing.
fn document() -> Option<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/connectwise/openapi.json");
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(serde_json::from_str(&text).unwrap()),
        Err(_) => {
            println!("skipped: the vendor's openapi.json is not there");
            None
        }
    }
}

/// A running demonstration; it ends with the test.
struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn command(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trueup"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TRUEUP_")) {
        command.env_remove(name);
    }
    command.current_dir(dir).stdin(Stdio::null());
    command
}

/// Starts the demonstration and waits until its console is up; answers the sandbox's address and the line that signs in.
fn demo(dir: &Path) -> (Demo, String, String) {
    let mut command = command(dir);
    command.args(["demo", "--data-dir"]).arg(dir).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let demo = Demo(child);
    let mut said = Vec::new();
    let (mut sandbox, mut api) = (String::new(), String::new());
    for line in lines {
        let line = line.unwrap();
        if let Some(url) = line.strip_prefix("The sandbox answers at ") {
            url.split_once(": ").map_or(url, |(url, _)| url).clone_into(&mut sandbox);
        }
        if let Some(console) = line.strip_prefix("Open the console: ") {
            return (demo, sandbox, console.to_owned());
        }
        // A build without the console names the API and who signs in.
        if let Some(url) = line.strip_prefix("The API answers at ") {
            url.split_once(',').map_or(url, |(url, _)| url).clone_into(&mut api);
        }
        if let Some((email, rest)) = line.split_once(" signs in with the password ") {
            let password = rest.split_once(". Ctrl-C").map_or(rest, |(password, _)| password);
            return (demo, sandbox, format!("{api}/#email={email}&password={password}"));
        }
        said.push(line);
    }
    panic!("the demonstration ended early:\n{}", said.join("\n"));
}

/// Head and body of an answer.
fn ask(host: &str, request: &str, headers: &str, body: &str) -> (String, String) {
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    let length = body.len();
    write!(
        stream,
        "{request} HTTP/1.0\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

fn journal(url: &str) -> Vec<Value> {
    let (_, body) = ask(url.trim_start_matches("http://"), "GET /sandbox/journal", "", "");
    serde_json::from_str::<Value>(&body).unwrap().as_array().unwrap().clone()
}

/// Tests the connection from the console: the look round that asks for the most.
fn test_connection(console: &str) -> String {
    let (host, secret) = console.trim_start_matches("http://").split_once("/#").unwrap();
    let (email, password) = secret.split_once('&').unwrap();
    let value = |pair: &str| pair.split_once('=').unwrap().1.replace("%40", "@");
    let body = json!({ "email": value(email), "password": value(password) }).to_string();
    let origin = format!("Origin: http://{host}\r\n");
    let (head, body) = ask(host, "POST /api/v1/session", &origin, &body);
    let cookie = head.lines().find(|line| line.to_lowercase().starts_with("set-cookie:"));
    let cookie = cookie.unwrap().split_once(':').unwrap().1.split(';').next().unwrap().trim().to_owned();
    let csrf = serde_json::from_str::<Value>(&body).unwrap()["csrf_token"].as_str().unwrap().to_owned();
    let headers = format!("{origin}Cookie: {cookie}\r\nX-CSRF-Token: {csrf}\r\n");
    let (head, body) = ask(host, "POST /api/v1/organizations/default/connections/sandbox/test", &headers, "");
    assert!(head.lines().next().unwrap().contains(" 200 "), "{head}\n{body}");
    body
}

/// The document with what is needed to hold calls against it.
struct Schema {
    document: Value,
    validators: BTreeMap<String, jsonschema::Validator>,
}

impl Schema {
    fn new(document: Value) -> Self {
        Schema { document, validators: BTreeMap::new() }
    }

    /// The template of a path below `apis/3.0`, such as `/finance/agreements/{parentId}/additions`.
    fn template(&self, path: &str) -> Option<&str> {
        let sent: Vec<&str> = path.split('/').collect();
        let paths = self.document["paths"].as_object().unwrap();
        let fits = |template: &&String| {
            let parts: Vec<&str> = template.split('/').collect();
            parts.len() == sent.len()
                && parts.iter().zip(&sent).all(|(part, sent)| {
                    if part.starts_with('{') {
                        sent.parse::<u64>().is_ok()
                    } else {
                        part.eq_ignore_ascii_case(sent)
                    }
                })
        };
        paths.keys().find(fits).map(String::as_str)
    }

    fn resolve<'d>(&'d self, mut value: &'d Value) -> &'d Value {
        while let Some(target) = value["$ref"].as_str() {
            value = self.document.pointer(target.trim_start_matches('#')).unwrap();
        }
        value
    }

    /// What is wrong with a value by a schema of the document.
    fn errors(&mut self, schema: &Value, value: &Value) -> Vec<String> {
        let key = schema.to_string();
        if !self.validators.contains_key(&key) {
            let mut whole = schema.clone();
            whole.as_object_mut().unwrap().insert("components".into(), self.document["components"].clone());
            let validator =
                jsonschema::options().with_draft(jsonschema::Draft::Draft4).build(&whole).unwrap();
            self.validators.insert(key.clone(), validator);
        }
        let found = self.validators[&key].iter_errors(value);
        found.map(|error| format!("{}: {error}", error.instance_path())).collect()
    }

    /// Members of a value that the schema does not name: the vendor would ignore them without a word.
    fn unknown(&self, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
        let schema = self.resolve(schema);
        match value {
            Value::Object(members) if schema["properties"].is_object() => {
                for (name, inner) in members {
                    match schema["properties"].get(name) {
                        Some(known) => self.unknown(known, inner, &format!("{at}/{name}"), found),
                        None => found.push(format!("{at}/{name} is not in the schema")),
                    }
                }
            }
            Value::Array(items) => {
                items.iter().for_each(|item| self.unknown(&schema["items"], item, at, found));
            }
            _ => {}
        }
    }

    /// What is wrong with a body; the operations of a PATCH are held against the record they change.
    fn wrong_body(&mut self, template: &str, method: &str, body: &Value) -> Vec<String> {
        let operation = self.document["paths"][template][method].clone();
        let schema = operation["requestBody"]["content"]["application/json"]["schema"].clone();
        if !schema.is_object() {
            // An empty object says nothing, as no body does.
            if *body == json!({}) {
                return Vec::new();
            }
            return vec!["the vendor takes no body here".to_owned()];
        }
        let mut wrong = self.errors(&schema, body);
        self.unknown(&schema, body, "", &mut wrong);
        if method == "patch" {
            let answers = &operation["responses"]["200"]["content"];
            let record = answers.as_object().unwrap().values().next().unwrap()["schema"].clone();
            for change in body.as_array().into_iter().flatten() {
                let name = change["path"].as_str().unwrap_or_default().trim_start_matches('/');
                let Some(field) = self.resolve(&record)["properties"].get(name).cloned() else {
                    wrong.push(format!("the record has no field {name:?}"));
                    continue;
                };
                if !["add", "replace", "remove"].iter().any(|known| change["op"] == *known) {
                    wrong.push(format!("{} is not an operation of the vendor's", change["op"]));
                }
                if change["op"] != "remove" {
                    let value = &change["value"];
                    wrong
                        .extend(self.errors(&field, value).into_iter().map(|error| format!("{name}{error}")));
                    self.unknown(&field, value, name, &mut wrong);
                }
            }
        }
        wrong
    }

    /// What is wrong with a call of the journal, and under which template and method it goes.
    fn wrong(&mut self, call: &Value) -> (String, Vec<String>) {
        let path = call["path"].as_str().unwrap();
        let method = call["method"].as_str().unwrap().to_lowercase();
        let below = path.split_once("/apis/3.0").map_or(path, |(_, below)| below);
        let Some(template) = self.template(below).map(str::to_owned) else {
            return (path.to_owned(), vec![format!("{path} is not a path of the vendor's")]);
        };
        let name = format!("{method} {template}");
        let operation = self.document["paths"][&template][&method].clone();
        if !operation.is_object() {
            return (name, vec!["the vendor has no such method there".to_owned()]);
        }
        let known: BTreeSet<&str> = operation["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|parameter| self.resolve(parameter))
            .filter(|parameter| parameter["in"] == "query")
            .filter_map(|parameter| parameter["name"].as_str())
            .collect();
        let query = call["query"].as_str().unwrap();
        let mut wrong: Vec<String> = query
            .split('&')
            .filter_map(|pair| pair.split('=').next())
            .filter(|name| !name.is_empty() && !known.contains(name))
            .map(|name| format!("{name} is not a parameter"))
            .collect();
        let body = call["body"].as_str().unwrap();
        if body.is_empty() {
            if operation["requestBody"]["required"] == true {
                wrong.push("a body is required".to_owned());
            }
        } else {
            let body = serde_json::from_str(body).unwrap();
            wrong.extend(self.wrong_body(&template, &method, &body));
        }
        (name, wrong)
    }
}

#[test]
fn every_call_is_one_of_the_vendors() {
    let Some(document) = document() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (demo, url, console) = demo(dir.path());
    let tested = test_connection(&console);
    let calls = journal(&url);
    drop(demo);
    let mut schema = Schema::new(document);
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for call in &calls {
        // Not of the API: it tells where the API is.
        if call["path"].as_str().unwrap().starts_with("/login/companyinfo/") {
            continue;
        }
        let (name, found) = schema.wrong(call);
        wrong.extend(found.into_iter().map(|found| format!("{name}: {found} ({})", call["body"])));
        *seen.entry(name).or_default() += 1;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let additions = "/finance/agreements/{parentId}/additions";
    for (name, least) in [
        (format!("post {additions}"), 40),
        (format!("patch {additions}/{{id}}"), 5),
        (format!("delete {additions}/{{id}}"), 1),
        (format!("get {additions}"), 10),
        ("get /finance/agreements".to_owned(), 1),
        ("get /procurement/catalog".to_owned(), 1),
        ("get /system/securityRoles/{parentId}/settings".to_owned(), 1),
    ] {
        let count = seen.get(&name).copied().unwrap_or_default();
        assert!(count >= least, "{name}: {count} calls; seen: {seen:#?}\n{tested}");
    }
}

/// The check itself: it must not let a wrong call through.
#[test]
fn wrong_calls_are_seen() {
    let Some(document) = document() else { return };
    let mut schema = Schema::new(document);
    let list = "/v4_6_release/apis/3.0/finance/agreements/7/additions";
    let one = "/v4_6_release/apis/3.0/finance/agreements/7/additions/9";
    let good = json!({"product": {"id": 1}, "billCustomer": "Billable", "quantity": 2.0});
    let mut wrong = |method: &str, path: &str, query: &str, body: &str| {
        schema.wrong(&json!({"method": method, "path": path, "query": query, "body": body})).1
    };
    assert_eq!(wrong("POST", list, "", &good.to_string()), Vec::<String>::new());
    assert_eq!(wrong("GET", list, "page=2&pageSize=5&conditions=id%3d1", ""), Vec::<String>::new());
    assert_eq!(
        wrong("PATCH", one, "", r#"[{"op":"replace","path":"/quantity","value":3.5}]"#),
        Vec::<String>::new()
    );
    for (method, path, query, body) in [
        ("POST", list, "", r#"{"product":{"id":1},"quantity":2}"#),
        ("POST", list, "", r#"{"product":{"id":1},"billCustomer":"Sometimes"}"#),
        ("POST", list, "", r#"{"product":{"id":1},"billCustomer":"Billable","amount":2}"#),
        ("POST", list, "", r#"{"product":{"sku":1},"billCustomer":"Billable"}"#),
        ("POST", list, "", ""),
        ("GET", list, "limit=5", ""),
        ("GET", "/v4_6_release/apis/3.0/finance/additions", "", ""),
        ("PUT", list, "", &good.to_string()),
        ("PATCH", one, "", r#"{"op":"replace","path":"quantity","value":3}"#),
        ("PATCH", one, "", r#"[{"op":"replace","path":"Quantity","value":3}]"#),
        ("PATCH", one, "", r#"[{"op":"replace","path":"quantity","value":"3"}]"#),
        ("PATCH", one, "", r#"[{"op":"test","path":"quantity","value":3}]"#),
        ("DELETE", one, "", r#"{"id":9}"#),
    ] {
        assert!(!wrong(method, path, query, body).is_empty(), "{method} {path}?{query} {body}");
    }
}
