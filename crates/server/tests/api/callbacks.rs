//! Callbacks as ConnectWise sends them, and as others would like to.

use crate::bench::{Backend, Person, Service};
use crate::http::{Answer, Request};
use crate::work::{ORG, Sandbox, run};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rstest::rstest;
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

fn sandbox_at(sandbox: &Sandbox) -> SocketAddr {
    let url = sandbox.access["url"].as_str().unwrap();
    url.trim_start_matches("http://").split('/').next().unwrap().parse().unwrap()
}

/// The path of an address that was made, under the name by which ConnectWise reaches the service.
fn path_of(made: &Value) -> String {
    let address = made["address"].as_str().unwrap();
    address.strip_prefix("http://trueup.example.com").unwrap_or_else(|| panic!("{address}")).to_owned()
}

fn deliveries(sandbox: &Sandbox) -> Value {
    Request::new("GET", "/sandbox/callbacks").send(sandbox_at(sandbox)).is(200).json()
}

pub fn as_api(sandbox: &Sandbox, method: &str, path: &str, body: &Value) -> Answer {
    let text = |name: &str| sandbox.access[name].as_str().unwrap().to_owned();
    let keys = format!("{}+{}:{}", text("company"), text("public_key"), text("private_key"));
    Request::new(method, &format!("/v4_6_release/apis/3.0/{path}"))
        .header("authorization", &format!("Basic {}", STANDARD.encode(keys)))
        .header("clientid", &text("client_id"))
        .json(body)
        .send(sandbox_at(sandbox))
}

fn audit(person: &Person<'_>) -> usize {
    person.get(&format!("{ORG}/audit?limit=200")).is(200).json()["items"].as_array().unwrap().len()
}

#[rstest]
fn a_signed_callback_is_taken_as_a_hint_and_a_forged_one_changes_nothing(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(service) = Service::start(
        backend,
        &[
            ("TRUEUP_TODAY", "2023-03-20"),
            ("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1"),
            ("TRUEUP_PUBLIC_URL", "http://trueup.example.com"),
        ],
    ) else {
        return;
    };
    let sandbox = Sandbox::start();
    let person = service.operator();
    person.post(&format!("{ORG}/connections"), &sandbox.connection()).is(201);
    run(&person, &json!({ "kind": "pull" }));
    let place = format!("{ORG}/connections/connectwise/callback");
    let made = person.post(&place, &json!({})).is(201).json();
    let address = path_of(&made);
    assert!(address.starts_with("/api/v1/callbacks/"), "{address}");
    assert_eq!(
        person.post(&format!("{ORG}/connections/none/callback"), &json!({})).problem(404),
        "not-found"
    );
    let log = person.get(&format!("{ORG}/audit")).is(200).text();
    let secret = address.split('/').next_back().unwrap().split('?').next().unwrap();
    assert!(!log.contains(secret), "the secret part of the address is in the audit");

    // ConnectWise itself: the sandbox signs and sends.
    let entry = json!({ "description": "trueup", "url": format!("http://{}{address}", service.at),
        "objectId": 1, "type": "agreement", "level": "owner" });
    as_api(&sandbox, "POST", "system/callbacks", &entry).is(201);
    let change = json!([{ "op": "replace", "path": "name", "value": "Cloud 2" }]);
    as_api(&sandbox, "PATCH", "finance/agreements/40", &change).is(200);
    let began = Instant::now();
    loop {
        let text = deliveries(&sandbox).to_string();
        if text.contains("204") {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "not delivered: {text}");
        std::thread::sleep(Duration::from_millis(100));
    }
    let hinted = || {
        let all = person.get(&format!("{ORG}/runs")).is(200).json()["items"].as_array().unwrap().clone();
        all.into_iter().filter(|run| run["actor"] == "callback").collect::<Vec<_>>()
    };
    let began = Instant::now();
    let read = loop {
        let runs = hinted();
        if let Some(run) = runs.iter().find(|run| run["state"] == "done") {
            break run["run_id"].as_str().unwrap().to_owned();
        }
        assert!(began.elapsed() < Duration::from_secs(20), "nothing was read: {runs:?}");
        std::thread::sleep(Duration::from_millis(100));
    };
    let read = person.get(&format!("{ORG}/runs/{read}")).is(200).json();
    assert_eq!(read["scheduled"], false);
    let told = &read["result"];
    assert_eq!(
        (&told["agreements_read"], &told["agreements_in_turn"], &told["whole"]),
        (&json!(1), &json!(0), &json!(false)),
        "{read}"
    );

    // The same one comes twenty times more: ConnectWise may repeat itself, and others may have listened.
    let first = deliveries(&sandbox).as_array().unwrap()[0].clone();
    let (body, signature) = (first["body"].as_str().unwrap(), first["signature"].as_str().unwrap());
    let again = |body: &str| {
        Request::new("POST", &address)
            .header("x-content-signature", signature)
            .body("application/json", body)
            .send(service.at)
            .status
    };
    for _ in 0..20 {
        assert_eq!(again(body), 204);
    }
    assert_eq!(hinted().len(), 2, "one was read, one waits for its minute");
    let waits = hinted().into_iter().find(|run| run["state"] == "queued").unwrap();
    assert!(waits["not_before"].is_string(), "{waits}");
    // Not one byte of it may be another.
    assert_eq!(again(&body.replacen("40", "41", 1)), 401);
    assert_eq!(again(&format!("{body} ")), 401);

    // Others.
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let before = audit(&person);
    let company = sandbox.access["company"].as_str().unwrap();
    let body = |company: &str, key: &str| {
        json!({ "MessageId": "1", "Action": "updated", "Type": "agreement", "ID": 40, "CompanyId": company,
            "Metadata": { "key_url": key } })
        .to_string()
    };
    let send = |address: &str, signature: Option<&str>, body: String| {
        let mut request = Request::new("POST", address).body("application/json", body);
        if let Some(signature) = signature {
            request = request.header("x-content-signature", signature);
        }
        request.send(service.at)
    };
    let theirs = format!("http://{}/key", trap.local_addr().unwrap());
    let ours = format!("{}/v4_6_release/nothing", sandbox.access["url"].as_str().unwrap());
    for (what, signature, body) in [
        ("no signature", None, body(company, &ours)),
        ("a key elsewhere", Some("AAAA"), body(company, &theirs)),
        ("a key inside", Some("AAAA"), body(company, "http://169.254.169.254/latest")),
        ("no address of a key", Some("AAAA"), body(company, "")),
        ("a wrong signature", Some("AAAA"), body(company, &ours)),
        ("another company", Some("AAAA"), body("somebody", &ours)),
    ] {
        assert_eq!(send(&address, signature, body).status, 401, "{what}");
    }
    assert_eq!(send(&address, Some("AAAA"), "{".to_owned()).problem(400), "malformed");
    let unknown = "/api/v1/callbacks/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    assert_eq!(send(unknown, Some("AAAA"), body(company, &ours)).problem(404), "not-found");
    assert!(trap.accept().is_err(), "somebody fetched a key where a forged callback said");
    assert_eq!(audit(&person), before);

    person.delete(&place).is(204);
    assert_eq!(send(&address, Some("AAAA"), body(company, &ours)).problem(404), "not-found");
    assert_eq!(person.delete(&place).problem(404), "not-found");
}

const HOSTILE: &str = include_str!("../../../transport/tests/hostile-urls.txt");

#[test]
fn no_hostile_callback_reaches_anything_or_makes_a_noise() {
    let environment = [
        ("TRUEUP_TODAY", "2023-03-20"),
        ("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1"),
        ("TRUEUP_PUBLIC_URL", "http://trueup.example.com"),
        ("TRUEUP_LOG", "info"),
    ];
    let service = Service::start(Backend::Sqlite, &environment).unwrap();
    let sandbox = Sandbox::start();
    let person = service.operator();
    person.post(&format!("{ORG}/connections"), &sandbox.connection()).is(201);
    let made = person.post(&format!("{ORG}/connections/connectwise/callback"), &json!({})).is(201).json();
    let address = &path_of(&made);
    let before = (audit(&person), std::fs::read_to_string(service.log()).unwrap().lines().count());
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let port = trap.local_addr().unwrap().port();
    let company = sandbox.access["company"].as_str().unwrap();
    let ours = sandbox_at(&sandbox);
    let send = |body: String| {
        Request::new("POST", address)
            .header("x-content-signature", "AAAA")
            .body("application/json", body)
            .send(service.at)
            .status
    };

    let mut keys: Vec<String> =
        HOSTILE.lines().filter(|line| !line.starts_with("# ")).map(str::to_owned).collect();
    assert!(keys.len() >= 150);
    keys.extend(keys.clone().iter().filter_map(|line| {
        let mut url = url::Url::parse(line).ok()?;
        url.set_port(Some(port)).ok()?;
        Some(url.to_string())
    }));
    keys.extend([
        format!("http://{ours}@127.0.0.1:{port}/key"),
        format!("http://user:secret@{ours}/key"),
        format!("https://{ours}/key"),
        format!("http://localhost:{}/key", ours.port()),
        format!("http://{ours}.example.com/key"),
        format!("http://127.0.0.1:{port}#@{ours}/key"),
        format!("http://127.0.0.1:{port}\\@{ours}/key"),
        format!("//{ours}/key"),
        "file:///etc/passwd".to_owned(),
        "x".repeat(5_000),
    ]);
    for key in &keys {
        let body = json!({ "MessageId": "1", "Action": "updated", "Type": "agreement", "ID": 40,
            "CompanyId": company, "Metadata": { "key_url": key } });
        assert_eq!(send(body.to_string()), 401, "{key}");
    }
    assert!(trap.accept().is_err(), "somebody called");

    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    for (body, status) in [
        (deep.clone(), 400),
        (format!("{{\"Action\":\"a\",\"Type\":\"b\",\"ID\":1,\"CompanyId\":\"c\",\"Entity\":{deep}}}"), 401),
        ("{\"Action\":1}".to_owned(), 400),
        ("{\"Action\":\"a\",\"Type\":\"b\",\"ID\":99999999999999999999,\"CompanyId\":\"c\"}".to_owned(), 400),
        ("{\"Action\":\"a\",\"Type\":\"b\",\"ID\":1,\"ID\":2,\"CompanyId\":\"c\"}".to_owned(), 400),
        ("null".to_owned(), 400),
        (String::new(), 400),
        ("x".repeat(1_100_000), 413),
    ] {
        assert_eq!(send(body.clone()), status, "{}", body.chars().take(80).collect::<String>());
    }
    assert!(person.get(&format!("{ORG}/runs")).is(200).json()["items"].as_array().unwrap().is_empty());
    let log = std::fs::read_to_string(service.log()).unwrap();
    let noise: Vec<&str> = log
        .lines()
        .skip(before.1)
        .filter(|line| line.contains("WARN") || line.contains("ERROR") || line.contains("panicked"))
        .collect();
    assert!(noise.is_empty(), "{noise:?}");
    assert!(log.contains("/api/v1/callbacks/…"), "the log is there");
    let secret = address.split('/').next_back().unwrap().split('?').next().unwrap();
    assert!(!log.contains(secret), "the secret part of the address is in the log");
    assert_eq!(audit(&person), before.0);
}

#[test]
fn callbacks_have_a_limit() {
    let service = Service::start(
        Backend::Sqlite,
        &[
            ("TRUEUP_TODAY", "2023-03-20"),
            ("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1"),
            ("TRUEUP_PUBLIC_URL", "http://trueup.example.com"),
        ],
    )
    .unwrap();
    let sandbox = Sandbox::start();
    let person = service.operator();
    person.post(&format!("{ORG}/connections"), &sandbox.connection()).is(201);
    let made = person.post(&format!("{ORG}/connections/connectwise/callback"), &json!({})).is(201).json();
    let address = &path_of(&made);
    let statuses: Vec<u16> = (0..602)
        .map(|_| Request::new("POST", address).body("application/json", "{").send(service.at).status)
        .collect();
    assert!(statuses.contains(&401) && statuses.last() == Some(&429), "{:?}", statuses.last());
}

#[rstest]
fn without_the_services_own_address_none_is_made_and_the_former_one_stays(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(service) = Service::start(backend, &[("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1")]) else {
        return;
    };
    let sandbox = Sandbox::start();
    let person = service.operator();
    person.post(&format!("{ORG}/connections"), &sandbox.connection()).is(201);
    let place = format!("{ORG}/connections/connectwise/callback");
    let refused = person.post(&place, &json!({}));
    assert!(refused.text().contains("--public-url"), "{}", refused.text());
    assert_eq!(refused.problem(409), "conflict");
    assert_eq!(person.delete(&place).problem(404), "not-found", "nothing was made");
}

#[rstest]
fn a_ticket_that_somebody_touches_is_looked_at_at_once_and_tickets_of_nobody_start_nothing(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let environment =
        [("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1"), ("TRUEUP_PUBLIC_URL", "http://trueup.example.com")];
    let Some(service) = Service::start(backend, &environment) else { return };
    let sandbox = Sandbox::start();
    let person = service.operator();
    person.post(&format!("{ORG}/connections"), &sandbox.connection()).is(201);
    let tell = |record: Value| {
        let path = "/api/v1/feed?organization=default&source=shop";
        let records = format!("{record}\n");
        person.request("POST", path).body("application/x-ndjson", records).send(service.at).is(200);
    };
    tell(json!({ "type": "customer", "id": "c-1", "name": "Green Lane LLC" }));
    let customer = json!({ "kind": "customer", "source": "shop", "source_id": "c-1", "psa_id": 12 });
    person.put(&format!("{ORG}/mappings"), &customer).is(200);
    let rule = json!({ "kind": "*", "values": { "psa": "on", "board": "Alerts" } });
    person.put(&format!("{ORG}/alerts/rules"), &rule).is(200);
    tell(json!({ "type": "alert", "id": "a-1", "customer": "c-1", "kind": "failed_backup", "state": "open",
        "at": "2023-03-20T08:00:00Z", "summary": "Backup of nas failed", "severity": "error", "subject": "nas" }));
    let alert = || person.get(&format!("{ORG}/alerts")).is(200).json()["items"][0].clone();
    let wait = |what: &str, is_so: &dyn Fn() -> bool| {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < Duration::from_secs(30), "{what}: {}", alert());
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    wait("no ticket", &|| alert()["ticket"]["ticket_id"].is_i64());
    let ticket = alert()["ticket"]["ticket_id"].as_i64().unwrap();

    let made = person.post(&format!("{ORG}/connections/connectwise/callback"), &json!({})).is(201).json();
    let entry = json!({ "description": "trueup", "url": format!("http://{}{}", service.at, path_of(&made)),
        "objectId": 1, "type": "ticket", "level": "owner" });
    as_api(&sandbox, "POST", "system/callbacks", &entry).is(201);
    let hinted = || {
        let all = person.get(&format!("{ORG}/runs")).is(200).json()["items"].as_array().unwrap().clone();
        all.into_iter().filter(|run| run["actor"] == "callback").collect::<Vec<_>>()
    };
    // Somebody's own ticket: it is told, and nothing runs.
    let other = json!({ "summary": "A printer", "company": { "id": 12 }, "board": { "id": 2 } });
    as_api(&sandbox, "POST", "service/tickets", &other).is(201);
    wait("nothing was delivered", &|| deliveries(&sandbox).to_string().contains("204"));
    assert!(hinted().is_empty(), "{:?}", hinted());

    // A person closes the alert's ticket: nobody waits for the next schedule.
    let board = as_api(&sandbox, "GET", "service/boards/2/statuses", &Value::Null).is(200).json();
    let closed = board.as_array().unwrap().iter().find(|status| status["closedStatus"] == true).unwrap();
    let close = json!([{ "op": "replace", "path": "status", "value": { "id": closed["id"] } }]);
    as_api(&sandbox, "PATCH", &format!("service/tickets/{ticket}"), &close).is(200);
    wait("nobody looked", &|| hinted().iter().any(|run| run["kind"] == "alerts" && run["state"] == "done"));
    assert_eq!(alert()["state"], "acknowledged", "{}", alert());
}
