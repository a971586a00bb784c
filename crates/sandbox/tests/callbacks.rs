//! Callbacks as a receiver sees them: address, body, signature, time limit, repetitions, disabling.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops where it fails")]

mod common;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use base64::Engine as _;
use common::{World, expect};
use hmac::{Hmac, KeyInit, Mac};
use rstest::rstest;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// A request as it arrived.
struct Request {
    line: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Request {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    }
}

/// Answers the statuses one after the other, then 200; 0 answers nothing and holds the connection.
fn receiver(statuses: &'static [u16]) -> (String, Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook?recordId=", listener.local_addr().unwrap());
    let (sender, requests) = channel();
    std::thread::spawn(move || {
        let mut statuses = statuses.iter().copied();
        let mut held = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let request = read(&mut stream);
            let status = statuses.next().unwrap_or(200);
            if status == 0 {
                held.push(stream);
            } else {
                let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).unwrap();
            }
            if sender.send(request).is_err() {
                return;
            }
        }
    });
    (url, requests)
}

fn read(stream: &mut std::net::TcpStream) -> Request {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).unwrap();
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let mut lines = head.split("\r\n");
        let line = lines.next().unwrap().to_owned();
        let split = |line: &str| {
            line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap()
        };
        let request = Request { line, headers: lines.map(split).collect(), body: body.to_owned() };
        if request.body.len() >= request.header("content-length").parse().unwrap() {
            return request;
        }
        assert!(count > 0, "the request broke off: {text}");
    }
}

fn listen(world: &World, url: &str, kind: &str, level: &str, object: i64) -> i64 {
    let entry = json!({"url": url, "objectId": object, "type": kind, "level": level});
    expect(&world.post("system/callbacks", &entry), 201)["id"].as_i64().unwrap()
}

/// What became of the callbacks, once none is under way.
fn settled(world: &World, count: usize) -> Vec<Value> {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let callbacks = world.control.callbacks().as_array().unwrap().clone();
        let done = callbacks.iter().all(|callback| callback["outcome"] != "under_way");
        if callbacks.len() >= count && done {
            return callbacks;
        }
        assert!(Instant::now() < until, "{callbacks:#?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn statuses(callback: &Value) -> Vec<u64> {
    let attempts = callback["attempts"].as_array().unwrap();
    attempts.iter().map(|attempt| attempt["status"].as_u64().unwrap_or(0)).collect()
}

const WAIT: Duration = Duration::from_secs(20);

#[test]
fn a_callback_is_compact_signed_and_names_its_key() {
    let world = World::new("2026-03-10");
    let (url, requests) = receiver(&[]);
    let entry = listen(&world, &url, "Agreement", "Owner", 0);
    let agreement = world.agreement("2026-03-01", &json!({}));
    let request = requests.recv_timeout(WAIT).unwrap();
    assert_eq!(request.line, format!("POST /hook?recordId={agreement}&action=added HTTP/1.1"));
    assert_eq!(request.header("content-type"), "application/json");
    let body: Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!(
        (&body["Action"], &body["Type"], &body["ID"]),
        (&json!("added"), &json!("agreement"), &json!(agreement))
    );
    assert_eq!((&body["CompanyId"], &body["CallbackObjectRecId"]), (&json!("training"), &json!(entry)));
    let entity: Value = serde_json::from_str(body["Entity"].as_str().unwrap()).unwrap();
    assert_eq!(entity["name"], "Cloud");
    // Compact outside of texts, so that a receiver that prints the body again gets the same bytes.
    assert!(
        request.body.starts_with("{\"MessageId\":\"") && !request.body.contains("\": "),
        "{}",
        request.body
    );

    let key_url = body["Metadata"]["key_url"].as_str().unwrap();
    assert!(
        key_url.contains("/v4_6_release//system/callbackkey/index.rails?companyName=training&id="),
        "{key_url}"
    );
    let target = &key_url[key_url.find("/v4_6").unwrap()..];
    let keys = [("Authorization", world.authorization()), ("clientId", world.client_id())];
    let reply = world.raw("GET", target, None, &keys).unwrap();
    assert!(reply.header("content-type").unwrap().starts_with("text/plain"));
    let key = expect(&reply, 200)["signing_key"].as_str().unwrap().to_owned();
    let mut mac = Hmac::<Sha256>::new_from_slice(&Sha256::digest(key.as_bytes())).unwrap();
    mac.update(request.body.as_bytes());
    let wanted = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
    assert_eq!(request.header("x-content-signature"), wanted);

    assert_eq!(world.raw("GET", target, None, &[]).unwrap().status, 401);
    world.control.set_rules(json!({"callback_key_needs_keys": false})).unwrap();
    assert_eq!(world.raw("GET", target, None, &[]).unwrap().status, 200);
    for wrong in
        [target.replace("training", "other"), format!("{target}0"), target.replace("rails?", "rails?id=&")]
    {
        assert_eq!(world.raw("GET", &wrong, None, &[]).unwrap().status, 404, "{wrong}");
    }
    let told = settled(&world, 1);
    assert_eq!((&told[0]["outcome"], statuses(&told[0])), (&json!("delivered"), vec![200]));
}

#[test]
fn each_level_hears_of_its_own_records() {
    let world = World::new("2026-03-10");
    let url = "http://example.com/hook?recordId=";
    let quiet = world.agreement("2026-03-01", &json!({}));
    let watched = world.agreement("2026-03-01", &json!({"type": {"name": "Managed Services"}}));
    let company =
        world.get(&format!("finance/agreements/{watched}")).json()["company"]["id"].as_i64().unwrap();
    let by_record = listen(&world, url, "agreement", "agreement", watched);
    let by_type = listen(&world, url, "agreement", "type", 2);
    let by_company = listen(&world, url, "agreement", "company", company);
    let all = listen(&world, url, "agreement", "owner", 1);
    listen(&world, url, "company", "company", company);
    let other = listen(&world, url, "invoice", "company", company);
    let own = json!({"url": url, "objectId": 1, "type": "agreement", "level": "owner", "isSelfSuppressedFlag": true});
    expect(&world.post("system/callbacks", &json!({"url": "http://a/", "objectId": 1, "type": "agreement", "level": "owner", "inactiveFlag": true})), 201);
    expect(&world.post("system/callbacks", &own), 400);
    let rename = json!([{"op": "replace", "path": "name", "value": "Renamed"}]);
    let heard = |world: &World| {
        let callbacks = world.control.callbacks();
        let entries = callbacks.as_array().unwrap().iter();
        entries.map(|callback| callback["entry_id"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    expect(&world.patch(&format!("finance/agreements/{quiet}"), &rename), 200);
    assert_eq!(heard(&world), [all]);
    expect(&world.patch(&format!("finance/agreements/{watched}"), &rename), 200);
    assert_eq!(heard(&world), [all, by_record, by_type, by_company, all]);
    expect(&world.invoice(watched), 201);
    assert_eq!(heard(&world).last(), Some(&other));
    // What changes nothing raises nothing.
    expect(&world.patch(&format!("finance/agreements/{watched}"), &json!({})), 400);
    assert_eq!(heard(&world).len(), 6);
}

#[test]
fn additions_raise_nothing_unless_told_to() {
    let world = World::new("2026-03-10");
    let agreement = world.agreement("2026-03-01", &json!({}));
    let item = world.item("SEAT", "10");
    listen(&world, "http://example.com/?id=", "agreement", "owner", 1);
    expect(&world.addition(agreement, item, "2026-03-10", &json!({})), 201);
    assert_eq!(world.control.callbacks(), json!([]));
    world.control.set_rules(json!({"addition_calls_back": true})).unwrap();
    expect(&world.addition(agreement, item, "2026-03-10", &json!({})), 201);
    let told = settled(&world, 1);
    let body: Value = serde_json::from_str(told[0]["body"].as_str().unwrap()).unwrap();
    assert_eq!((&body["Action"], &body["ID"]), (&json!("updated"), &json!(agreement)));
    // Nothing leaves this machine.
    assert_eq!(told[0]["outcome"], "not_sent");
    assert!(told[0]["attempts"][0]["error"].as_str().unwrap().contains("this machine only"));
}

#[test]
fn a_deleted_record_comes_without_its_fields() {
    let world = World::new("2026-03-10");
    let agreement = world.agreement("2026-03-01", &json!({}));
    listen(&world, "http://example.com/?id=", "agreement", "agreement", agreement);
    expect(&world.delete(&format!("finance/agreements/{agreement}")), 204);
    let told = settled(&world, 1);
    let body: Value = serde_json::from_str(told[0]["body"].as_str().unwrap()).unwrap();
    assert_eq!((&body["Action"], &body["Entity"]), (&json!("deleted"), &Value::Null));
    assert!(told[0]["url"].as_str().unwrap().ends_with(&format!("{agreement}&action=deleted")));
}

#[rstest]
#[case(&[404, 409, 200], &[404, 409, 200], "delivered")]
#[case(&[419, 202], &[419, 202], "delivered")]
#[case(&[429, 429, 429, 200], &[429, 429, 429], "lost")]
#[case(&[500, 200], &[500], "lost")]
#[case(&[301, 200], &[301], "lost")]
#[case(&[0, 200], &[0], "lost")]
fn only_some_failures_are_tried_again(
    #[case] answers: &'static [u16],
    #[case] attempts: &[u64],
    #[case] outcome: &str,
) {
    let world = World::new("2026-03-10");
    world.control.set_rules(json!({"callback_timeout_ms": 300, "callback_retry_ms": [5, 10]})).unwrap();
    let (url, _requests) = receiver(answers);
    listen(&world, &url, "agreement", "owner", 1);
    world.agreement("2026-03-01", &json!({}));
    let told = settled(&world, 1);
    assert_eq!((statuses(&told[0]).as_slice(), told[0]["outcome"].as_str().unwrap()), (attempts, outcome));
}

#[test]
fn the_times_are_the_vendors() {
    let world = World::new("2026-03-10");
    let rules = world.control.set_rules(json!({})).unwrap();
    assert_eq!(
        (&rules["callback_timeout_ms"], &rules["callback_retry_ms"]),
        (&json!(5000), &json!([2000, 4000]))
    );
}

#[rstest]
#[case(&["2026-03-10", "2026-03-11", "2026-03-12"], true)]
#[case(&["2026-03-10", "2026-03-10", "2026-03-11"], false)]
#[case(&["2026-03-10", "2026-03-11", "2026-03-13"], false)]
fn three_days_of_failure_disable_an_entry(#[case] days: &[&str], #[case] disabled: bool) {
    let world = World::new("2026-03-01");
    let (url, _requests) = receiver(&[500, 500, 500, 500]);
    let entry = listen(&world, &url, "agreement", "owner", 1);
    for (count, day) in days.iter().enumerate() {
        world.control.set_today(day).unwrap();
        world.agreement("2026-03-01", &json!({}));
        settled(&world, count + 1);
    }
    let path = format!("system/callbacks/{entry}");
    // The entry is disabled before its callback counts as lost.
    assert_eq!(world.get(&path).json()["inactiveFlag"], disabled);
    world.agreement("2026-03-01", &json!({}));
    assert_eq!(world.control.callbacks().as_array().unwrap().len(), if disabled { 3 } else { 4 });
}

#[test]
fn a_switch_disables_an_entry_after_so_many_failures() {
    let world = World::new("2026-03-10");
    world.control.set_rules(json!({"callback_disabled_after": 2})).unwrap();
    let (url, _requests) = receiver(&[500, 200, 500, 500]);
    let entry = listen(&world, &url, "agreement", "owner", 1);
    for count in 1..=4 {
        assert_eq!(world.get(&format!("system/callbacks/{entry}")).json()["inactiveFlag"], false);
        world.agreement("2026-03-01", &json!({}));
        settled(&world, count);
    }
    assert_eq!(world.get(&format!("system/callbacks/{entry}")).json()["inactiveFlag"], true);
    world.control.reset();
    assert_eq!(world.control.callbacks(), json!([]));
}

#[test]
fn a_ticket_calls_back_for_its_board_its_status_and_its_notes() {
    let world = World::new("2026-03-10");
    let board = listen(&world, "http://example.com/board?id=", "ticket", "board", 2);
    let closed = listen(&world, "http://example.com/closed?id=", "ticket", "status", 25);
    let people = json!({"url": "http://example.com/people?id=", "objectId": 1, "type": "ticket", "level": "owner", "isSelfSuppressedFlag": true});
    let people = expect(&world.post("system/callbacks", &people), 201)["id"].as_i64().unwrap();
    let heard = || {
        let callbacks = world.control.callbacks().as_array().unwrap().clone();
        callbacks.iter().map(|callback| callback["entry_id"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    let body = json!({"summary": "Backup failed", "company": {"id": 1}, "board": {"id": 2}});
    let id = expect(&world.post("service/tickets", &body), 201)["id"].clone();
    expect(&world.post("service/tickets", &json!({"summary": "Help", "company": {"id": 1}})), 201);
    assert_eq!(heard(), [board], "the other board is not listened to");
    let note = json!({"text": "again", "internalAnalysisFlag": true});
    expect(&world.post(&format!("service/tickets/{id}/notes"), &note), 201);
    assert_eq!(heard(), [board, board]);
    let status = json!([{"op": "replace", "path": "status", "value": {"id": 25}}]);
    let path = format!("service/tickets/{id}");
    let by_ann = world.try_call("PATCH", &path, Some(&status), &[("x-sandbox-person", "ann")]).unwrap();
    expect(&by_ann, 200);
    let mut last = heard()[2..].to_vec();
    last.sort_unstable();
    assert_eq!(last, [board, closed, people], "what people do is no write of one's own");
}
