//! A desk to test alerts at: a customer that is a company, a rule on the board Alerts, and a sandbox with its own clock.

use crate::bench::{Bench, Ran};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde_json::{Value, json};
use std::io::{Read, Write};

/// A desk on 10 March 2023: customer c-1 is company 12; no rule yet.
pub fn bare() -> Bench {
    let mut bench = Bench::new("2023-03-10");
    bench.connect("2023-04-01");
    bench.env("TRUEUP_APPLY_SETTLE_SECONDS", "1");
    bench.feed("{\"type\":\"customer\",\"id\":\"c-1\",\"name\":\"Green Lane LLC\"}\n").exits(0);
    bench.map("customer,c-1,12,,\n").exits(0);
    bench.json(&["setting", "set", "mapping.customer_company", "many"]).exits(0);
    bench
}

/// The same with a rule about every kind: tickets on the board Alerts.
pub fn ruled() -> Bench {
    let bench = bare();
    bench.json(&["alert", "set", "*", "psa=on", "board=Alerts"]).exits(0);
    bench
}

/// An instant of 10 March: minutes since midnight in UTC; more than a day's go on into the next days.
pub fn at(minutes: i64) -> String {
    let (day, minute) = (10 + minutes / 1440, minutes % 1440);
    format!("2023-03-{day:02}T{:02}:{:02}:00Z", minute / 60, minute % 60)
}

/// An alert record; `rest` is more of its JSON.
pub fn record(id: &str, subject: &str, state: &str, minutes: i64, rest: &str) -> String {
    format!(
        "{{\"type\":\"alert\",\"id\":\"{id}\",\"customer\":\"c-1\",\"kind\":\"failed_backup\",\"state\":\"{state}\",\
         \"at\":\"{}\",\"summary\":\"Backup of {subject} failed\",\"severity\":\"error\",\"subject\":\"{subject}\"{rest}}}\n",
        at(minutes)
    )
}

/// Something about one thing is told.
pub fn tell(bench: &Bench, subject: &str, state: &str, minutes: i64) {
    bench.feed(&record(&format!("{subject}-{minutes}"), subject, state, minutes, "")).exits(0);
}

/// A run at an instant.
pub fn run(bench: &Bench, minutes: i64) -> Ran {
    bench.json(&["alert", "run", "--at", &at(minutes)])
}

/// The tickets, as the sandbox has them, smallest id first.
pub fn tickets(bench: &Bench) -> Vec<Value> {
    let state = bench.ask("state");
    let rows = &state["resources"]["service/tickets"];
    let mut rows = rows
        .as_array()
        .cloned()
        .unwrap_or_else(|| rows.as_object().map(|map| map.values().cloned().collect()).unwrap_or_default());
    rows.sort_by_key(|row| row["id"].as_i64());
    rows
}

/// The notes of a ticket after its first, oldest first.
pub fn notes(bench: &Bench, ticket: i64) -> Vec<String> {
    let (status, body) =
        person(bench, "GET", &format!("service/tickets/{ticket}/notes?orderBy=id%20asc"), "");
    assert_eq!(status, 200, "{body}");
    let rows: Value = serde_json::from_str(&body).unwrap();
    rows.as_array()
        .unwrap()
        .iter()
        .map(|row| row["text"].as_str().unwrap_or_default().to_owned())
        .filter(|text| text.contains("[trueup:"))
        .collect()
}

/// What a person called ann does in ConnectWise.
pub fn person(bench: &Bench, method: &str, path: &str, body: &str) -> (u16, String) {
    let access = &bench.sandbox.as_ref().unwrap().access;
    let text = |name: &str| access[name].as_str().unwrap();
    let host = text("url").trim_start_matches("http://");
    let user = BASE64.encode(format!("{}+{}:{}", text("company"), text("public_key"), text("private_key")));
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    write!(
        stream,
        "{method} /v4_6_release/apis/3.0/{path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\
         Authorization: Basic {user}\r\nclientId: {}\r\nx-sandbox-person: ann\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        text("client_id"),
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

/// A person moves a ticket to a status.
pub fn person_moves(bench: &Bench, ticket: i64, status: i64) {
    let body = json!([{ "op": "replace", "path": "status", "value": { "id": status } }]);
    let (status, answer) = person(bench, "PATCH", &format!("service/tickets/{ticket}"), &body.to_string());
    assert_eq!(status, 200, "{answer}");
}

/// The one alert there is.
pub fn alert(bench: &Bench) -> Value {
    let listed = bench.json(&["alert", "list", "--state", "all"]).exits(0).json();
    let rows = listed["alerts"].as_array().unwrap();
    assert_eq!(rows.len(), 1, "{listed}");
    rows[0].clone()
}

/// What a run did, in order.
pub fn did(ran: &Value) -> Vec<String> {
    let steps = ran["steps"].as_array().unwrap();
    steps.iter().map(|step| step["action"].as_str().unwrap().to_owned()).collect()
}

/// The codes of open findings.
pub fn codes(bench: &Bench) -> Vec<String> {
    let listed = bench.json(&["finding", "list"]).json();
    let rows = listed["findings"].as_array().unwrap();
    let mut codes: Vec<String> = rows.iter().map(|row| row["code"].as_str().unwrap().to_owned()).collect();
    codes.sort();
    codes
}

/// Whether a ticket is closed.
pub fn is_closed(ticket: &Value) -> bool {
    ticket["closedFlag"] == json!(true)
}
