//! Outgoing webhooks: signed, told at least once under one id, tried again, switched off where nothing arrives.

use crate::bench::{Backend, Person, Service};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use rstest::rstest;
use serde_json::{Value, json};
use sha2::Sha256;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const ORG: &str = "/api/v1/organizations/default";
const LISTED: [(&str, &str); 1] = [("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1")];

/// What came in: headers and body.
#[derive(Clone, Debug)]
struct Got {
    headers: Vec<(String, String)>,
    body: String,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str()).unwrap_or_default()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Somebody who takes webhooks, and answers in turn with these statuses, then with the last one for ever. A status of 0
/// never answers.
pub struct Receiver {
    at: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
}

impl Receiver {
    fn start(statuses: &'static [u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let got: Arc<Mutex<Vec<Got>>> = Arc::default();
        let all = got.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { break };
                let all = all.clone();
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream);
                    let mut headers = Vec::new();
                    let mut line = String::new();
                    loop {
                        line.clear();
                        reader.read_line(&mut line).unwrap();
                        if line.trim().is_empty() {
                            break;
                        }
                        if let Some((name, value)) = line.trim().split_once(':') {
                            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
                        }
                    }
                    let length =
                        headers.iter().find(|(n, _)| n == "content-length").unwrap().1.parse().unwrap();
                    let mut body = vec![0; length];
                    reader.read_exact(&mut body).unwrap();
                    let number = {
                        let mut all = all.lock().unwrap();
                        all.push(Got { headers, body: String::from_utf8(body).unwrap() });
                        all.len() - 1
                    };
                    let status = *statuses.get(number).or(statuses.last()).unwrap();
                    if status == 0 {
                        std::thread::sleep(Duration::from_secs(600));
                    }
                    let _ = write!(
                        reader.get_mut(),
                        "HTTP/1.1 {status} X\r\ncontent-length: 5\r\nconnection: close\r\n\r\nsaid{}",
                        number % 10
                    );
                });
            }
        });
        Self { at, got }
    }

    fn url(&self) -> String {
        format!("http://{}/hook", self.at)
    }

    fn all(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    /// Waits until so many came in.
    #[track_caller]
    fn wait(&self, count: usize) -> Vec<Got> {
        let began = Instant::now();
        while self.all().len() < count {
            assert!(began.elapsed() < Duration::from_secs(40), "{} of {count} came in", self.all().len());
            std::thread::sleep(Duration::from_millis(50));
        }
        self.all()
    }
}

fn signed(secret: &str, got: &Got) -> String {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(
        format!("{}.{}.{}", got.header("webhook-id"), got.header("webhook-timestamp"), got.body).as_bytes(),
    );
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

fn add(person: &Person<'_>, org: &str, body: &Value) -> (String, String) {
    let made = person.post(&format!("/api/v1/organizations/{org}/webhooks"), body).is(201).json();
    (made["id"].as_str().unwrap().to_owned(), made["secret"].as_str().unwrap().to_owned())
}

fn check_run(person: &Person<'_>, org: &str) {
    person.post(&format!("/api/v1/organizations/{org}/runs"), &json!({ "kind": "check" })).is(202);
}

#[rstest]
fn events_are_signed_and_sent_again_under_their_id(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(service) = Service::start(backend, &LISTED) else { return };
    let person = service.operator();
    let receiver = Receiver::start(&[500, 200]);
    let (id, secret) =
        add(&person, "default", &json!({ "name": "crm", "url": receiver.url(), "events": ["run.finished"] }));
    check_run(&person, "default");
    let got = receiver.wait(2);
    for one in &got {
        assert_eq!(one.header("webhook-signature"), signed(&secret, one));
        assert_eq!(one.header("content-type"), "application/json");
    }
    assert_eq!(got[0].header("webhook-id"), got[1].header("webhook-id"), "the same event");
    assert_eq!(got[0].body, got[1].body);
    let event = got[0].json();
    assert_eq!(event["type"], "run.finished");
    assert_eq!(event["data"]["organization"], "default");
    assert_eq!(event["data"]["runs"][0]["kind"], "check");
    std::thread::sleep(Duration::from_millis(700));
    let all = person.get(&format!("{ORG}/webhooks/{id}/deliveries")).is(200).json();
    assert_eq!(all["items"].as_array().unwrap().len(), 1, "{all}");
    let delivery = &all["items"][0];
    assert_eq!((delivery["state"].as_str(), delivery["tries"].as_u64()), (Some("done"), Some(2)));
    let path = format!("{ORG}/webhooks/{id}/deliveries/{}", delivery["id"].as_str().unwrap());
    let shown = person.get(&path).is(200).json();
    let statuses: Vec<u64> =
        shown["attempts"].as_array().unwrap().iter().map(|a| a["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [500, 200]);
    assert_eq!(shown["attempts"][1]["answer"], "said1");
    assert_eq!(shown["body"], event);

    // By hand it is sent again, under the same id; a test is an event of its own.
    let again = person.post(&format!("{path}/redeliver"), &json!({})).is(200).json();
    assert_eq!(again["state"], "done");
    assert_eq!(receiver.wait(3)[2].header("webhook-id"), got[0].header("webhook-id"));
    let test = person.post(&format!("{ORG}/webhooks/{id}/test"), &json!({})).is(200).json();
    assert_eq!((test["kind"].as_str(), test["state"].as_str()), (Some("webhook.test"), Some("done")));
    // A new secret signs from now on, and for a while the former one as well, unless others may know it.
    let rotate = format!("{ORG}/webhooks/{id}/rotate");
    let (mut former, mut count) = (secret, 4);
    for (query, is_signed_by_both) in [("", true), ("?overlap_hours=168", true), ("?overlap_hours=0", false)]
    {
        let turned = person.post(&format!("{rotate}{query}"), &json!({})).is(200).json();
        assert_eq!(turned["former_until"].is_string(), is_signed_by_both, "{turned}");
        person.post(&format!("{ORG}/webhooks/{id}/test"), &json!({})).is(200);
        count += 1;
        let last = receiver.wait(count).pop().unwrap();
        let newest = turned["secret"].as_str().unwrap().to_owned();
        let mut wanted = vec![signed(&newest, &last)];
        wanted.extend(is_signed_by_both.then(|| signed(&former, &last)));
        let found: Vec<&str> = last.header("webhook-signature").split(' ').collect();
        assert_eq!(found, wanted, "{query}");
        former = newest;
    }
    assert_eq!(person.post(&format!("{rotate}?overlap_hours=169"), &json!({})).problem(422), "invalid");
    let listed = person.get(&format!("{ORG}/webhooks")).is(200).text();
    assert!(!listed.contains("whsec_"), "{listed}");
    person.delete(&format!("{ORG}/webhooks/{id}")).is(204);
    assert_eq!(person.get(&path).problem(404), "not-found");
}

#[rstest]
fn a_process_that_dies_while_it_sends_loses_nothing(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(mut service) = Service::start(backend, &LISTED) else { return };
    let receiver = Receiver::start(&[0, 200]);
    {
        let person = service.operator();
        add(
            &person,
            "default",
            &json!({ "name": "slow", "url": receiver.url(), "events": ["run.finished"] }),
        );
        check_run(&person, "default");
    }
    let first = receiver.wait(1).remove(0);
    service.kill();
    service.up();
    let again = receiver.wait(2).remove(1);
    assert_eq!(again.header("webhook-id"), first.header("webhook-id"));
    assert_eq!(again.body, first.body);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(receiver.all().len(), 2, "what arrived is not sent again");
}

#[rstest]
fn events_below_are_told_where_they_are_asked_for(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(service) = Service::start(backend, &LISTED) else { return };
    let person = service.operator();
    person.organization("north", None);
    person.organization("north-shop", Some("north"));
    person.organization("south", None);
    let (below, own, foreign) = (Receiver::start(&[200]), Receiver::start(&[200]), Receiver::start(&[200]));
    let events = json!(["run.finished"]);
    add(&person, "north", &json!({ "name": "a", "url": below.url(), "events": events, "below": true }));
    add(&person, "north", &json!({ "name": "b", "url": own.url(), "events": events }));
    add(&person, "south", &json!({ "name": "c", "url": foreign.url(), "events": events, "below": true }));
    check_run(&person, "north-shop");
    assert_eq!(below.wait(1)[0].json()["data"]["organization"], "north-shop");
    check_run(&person, "north");
    assert_eq!(own.wait(1)[0].json()["data"]["organization"], "north");
    below.wait(2);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!((below.all().len(), own.all().len(), foreign.all().len()), (2, 1, 0));
}

#[rstest]
fn what_is_gone_is_switched_off_and_said(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let Some(service) = Service::start(backend, &LISTED) else { return };
    let person = service.operator();
    let receiver = Receiver::start(&[410, 200]);
    let (id, _) = add(&person, "default", &json!({ "name": "gone", "url": receiver.url() }));
    check_run(&person, "default");
    receiver.wait(1);
    let found = |state: &str| {
        let all = person.get(&format!("{ORG}/findings?code=TU9201")).is(200).json();
        all["items"].as_array().unwrap().iter().filter(|f| f["state"] == state).count()
    };
    let began = Instant::now();
    while found("open") == 0 {
        assert!(began.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(100));
    }
    let shown = person.get(&format!("{ORG}/webhooks/{id}")).is(200).json();
    assert_eq!(shown["enabled"], false);
    assert!(shown["disabled_why"].as_str().unwrap().contains("410"), "{shown}");
    check_run(&person, "default");
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(receiver.all().len(), 1, "nothing is told while it is off");
    let on = person.patch(&format!("{ORG}/webhooks/{id}"), &json!({ "enabled": true })).is(200).json();
    assert_eq!((&on["enabled"], &on["disabled_why"]), (&json!(true), &Value::Null));
    assert_eq!(found("open"), 0);
    check_run(&person, "default");
    receiver.wait(2);
}

#[test]
fn a_webhook_is_judged_where_it_is_entered() {
    let service = Service::sqlite();
    let person = service.operator();
    for (body, field) in [
        (json!({ "name": "x", "url": "http://example.com/" }), "url"),
        (json!({ "name": "x", "url": "https://127.0.0.1/" }), "url"),
        (json!({ "name": "x", "url": "https://user:pass@example.com/" }), "url"),
        (json!({ "name": "x", "url": "nonsense" }), "url"),
        (json!({ "name": " ", "url": "https://example.com/" }), "name"),
        (json!({ "name": "x", "url": "https://example.com/", "events": ["all"] }), "events"),
    ] {
        let answer = person.post(&format!("{ORG}/webhooks"), &body);
        assert_eq!(answer.problem(422), "invalid", "{body}");
        assert_eq!(answer.json()["fields"][0]["field"], field, "{body}");
    }
    let (id, _) = add(&person, "default", &json!({ "name": "x", "url": "https://example.com/" }));
    let changed = person.patch(&format!("{ORG}/webhooks/{id}"), &json!({ "url": "https://10.0.0.1/" }));
    assert_eq!(changed.problem(422), "invalid");
    assert_eq!(person.get(&format!("{ORG}/webhooks/{id}")).json()["url"], "https://example.com/");
}

#[rstest]
fn the_command_line_adds_tests_and_removes(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let Some(mut service) = Service::start(backend, &[]) else { return };
    assert_eq!(service.stop(), 0);
    let receiver = Receiver::start(&[200, 500]);
    let made = service.run(&["webhook", "add", "crm", &receiver.url(), "--event", "plan.applied"]);
    let id = made["id"].as_str().unwrap();
    assert!(made["secret"].as_str().unwrap().starts_with("whsec_"));
    assert_eq!(service.run(&["webhook", "list"])["webhooks"][0]["events"], json!(["plan.applied"]));
    let test = service.run(&["webhook", "test", id]);
    assert_eq!((test["status"].as_u64(), test["state"].as_str()), (Some(200), Some("done")));
    let test = service.run(&["webhook", "test", id]);
    assert_eq!((test["status"].as_u64(), test["state"].as_str()), (Some(500), Some("failed")));
    assert_eq!(service.run(&["webhook", "deliveries", id])["deliveries"].as_array().unwrap().len(), 2);
    service.run(&["webhook", "remove", id]);
    assert_eq!(service.run(&["webhook", "list"])["webhooks"], json!([]));
}
