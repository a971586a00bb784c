//! Secrets with a known text are driven through the whole program, and then looked for in everything it said and kept.

use crate::bench::{Backend, FIRST, Person, Service};
use crate::http::{Answer, Request};
use crate::postgres::tool;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use rstest::rstest;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

const ORG: &str = "/api/v1/organizations/default";
const PRIVATE_KEY: &str = "cAnArY-private+key/8472?=";
const PASSWORD: &str = "cAnArY password: 17 herons & a lamp";
const METRICS: &str = "cAnArY-metrics-token-5521";

/// What a secret looks like where somebody turned it into something else; the middle of it, where that depends on what
/// stands around it.
fn shapes(secret: &str) -> Vec<(&'static str, Vec<u8>)> {
    let bytes = secret.as_bytes();
    let hex = |upper: bool| -> String {
        bytes.iter().map(|b| if upper { format!("{b:02X}") } else { format!("{b:02x}") }).collect()
    };
    let percent = |keep: fn(u8) -> bool, space: &str| -> String {
        let one = |b: &u8| match *b {
            b' ' => space.to_owned(),
            b if keep(b) => char::from(b).to_string(),
            b => format!("%{b:02X}"),
        };
        bytes.iter().map(one).collect()
    };
    let mut all = vec![
        ("raw", secret.to_owned()),
        ("JSON", serde_json::to_string(secret).unwrap().trim_matches('"').to_owned()),
        ("hex", hex(false)),
        ("HEX", hex(true)),
        ("URL", percent(|b| b.is_ascii_alphanumeric() || b"-_.~".contains(&b), "%20")),
        ("form", percent(|b| b.is_ascii_alphanumeric() || b"-_.*".contains(&b), "+")),
        ("every byte", percent(|_| false, "%20")),
    ];
    for before in 0..3 {
        let padded = [vec![b'x'; before], bytes.to_vec()].concat();
        // Whole groups of three bytes within the secret look the same whatever stands around them.
        let (from, to) = (before.div_ceil(3) * 4, padded.len() / 3 * 4);
        all.push(("base64", STANDARD.encode(&padded)[from..to].to_owned()));
        all.push(("base64url", URL_SAFE.encode(&padded)[from..to].to_owned()));
    }
    all.into_iter().map(|(name, text)| (name, text.into_bytes())).collect()
}

fn contains(place: &[u8], wanted: &[u8]) -> bool {
    !wanted.is_empty() && place.windows(wanted.len()).any(|part| part == wanted)
}

/// A ConnectWise that says back whatever it is sent, also what the header of the keys means.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { break };
            let mut sent = vec![0; 8192];
            let n = stream.read(&mut sent).unwrap_or(0);
            let sent = String::from_utf8_lossy(&sent[..n]).into_owned();
            let keys = sent.lines().find_map(|l| l.split_once("Basic ").or_else(|| l.split_once("basic ")));
            let meant = keys.and_then(|(_, text)| STANDARD.decode(text.trim()).ok()).unwrap_or_default();
            let meant = String::from_utf8_lossy(&meant).into_owned();
            let body =
                json!({ "code": "Unauthorized", "message": format!("{meant} is wrong: {sent}") }).to_string();
            let head = "HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\nconnection: close\r\n";
            let _ = write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len());
        }
    });
    at
}

/// All that a PostgreSQL holds, as text.
fn dump(database: &str) -> Vec<u8> {
    let mut command = tool("pg_dump");
    command.args(["--enable-row-security", "--inserts"]).arg(database).env("PGOPTIONS", "-c trueup.scope=*");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Everything that was said and kept, by where it was found.
#[derive(Default)]
struct Said(Vec<(String, Vec<u8>)>);

impl Said {
    fn answer(&mut self, what: &str, answer: Answer) -> Answer {
        let mut bytes = answer.body.clone();
        for (name, value) in &answer.headers {
            bytes.extend(format!("\n{name}: {value}").bytes());
        }
        self.0.push((what.to_owned(), bytes));
        answer
    }

    fn command(&mut self, service: &Service, args: &[&str]) {
        let output = service
            .command(args)
            .env("TRUEUP_LOG", "trace")
            .env("TRUEUP_CONNECTWISE_PRIVATE_KEY", PRIVATE_KEY)
            .output()
            .unwrap();
        self.0.push((args.join(" "), [output.stdout, output.stderr].concat()));
    }

    fn files(&mut self, dir: &Path) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.files(&path);
            } else {
                self.0.push((path.display().to_string(), std::fs::read(&path).unwrap()));
            }
        }
    }

    fn find(&self, secrets: &[(&str, String)]) -> Vec<String> {
        let mut found = Vec::new();
        for (name, secret) in secrets {
            for (shape, wanted) in shapes(secret) {
                for (place, bytes) in &self.0 {
                    if contains(bytes, &wanted) {
                        found.push(format!("{name} as {shape} in {place}"));
                    }
                }
            }
        }
        found
    }
}

#[test]
fn a_secret_is_found_in_every_shape() {
    for before in ["", "a", "ab", "abc"] {
        let around = format!("{before}{PASSWORD}{before}");
        for text in [around.clone(), STANDARD.encode(&around), URL_SAFE.encode(&around)] {
            let said = Said(vec![("there".to_owned(), text.into_bytes())]);
            assert!(!said.find(&[("password", PASSWORD.to_owned())]).is_empty(), "{before}");
        }
    }
    let said = Said(vec![("there".to_owned(), b"nothing of it".to_vec())]);
    assert!(said.find(&[("password", PASSWORD.to_owned())]).is_empty());
}

#[rstest]
fn secrets_are_nowhere(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let at = echo();
    let environment = [
        ("TRUEUP_LOG", "trace"),
        ("TRUEUP_METRICS_TOKEN", METRICS),
        ("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1"),
    ];
    let Some(mut service) = Service::start(backend, &environment) else { return };
    let mut said = Said::default();
    let one_time = service.announced["first_administrator"]["one_time_password"].as_str().unwrap().to_owned();
    let url = format!("http://{at}");

    // The keys are stored by hand although their test fails: the other side says them back.
    assert_eq!(service.stop(), 0);
    let keys = ["--company", "canary", "--public-key", "pk", "--client-id", "id"];
    let add = [&["connection", "add", "--url", &url, "-vv"], &keys[..]].concat();
    said.command(&service, &add);
    said.command(&service, &[&["--format", "json"], &add[..]].concat());
    service.up();

    let (cookie, token, webhook) = through_the_api(&service, &mut said, &one_time, &url);
    assert_eq!(service.stop(), 0);

    for args in [
        &["connection", "list"][..],
        &["connection", "test", "-vv"],
        &["connection", "rotate", "-vv"],
        &["psa", "pull", "-vv"],
        &["doctor", "-vv"],
        &["audit", "list"],
        &["audit", "verify"],
        &["setting", "list"],
        &["mapping", "export"],
        &["key", "rotate", "-vv"],
        &["backup", "create", "canary.trueup-backup", "-vv"],
        &["maintenance", "-vv"],
    ] {
        said.command(&service, args);
        said.command(&service, &[&["--format", "json"], args].concat());
    }
    let archive = match service.database() {
        None => std::fs::read(service.path("canary.trueup-backup")).unwrap(),
        Some(database) => dump(&database),
    };
    assert!(contains(&archive, b"canary"), "the connection itself is in the backup");
    for key in ["data/trueup.key", "data/trueup.key.previous"] {
        let key = std::fs::read(service.path(key)).unwrap();
        let place = "the key in the backup".to_owned();
        assert!(!contains(&archive, &key), "{place}");
    }
    said.0.push(("the backup".to_owned(), archive));
    said.files(&service.path(""));
    let log = std::fs::read_to_string(service.log()).unwrap();
    assert!(log.contains("answered"), "the log was on: {log}");
    let secrets = [
        ("the private key", PRIVATE_KEY.to_owned()),
        ("the password", PASSWORD.to_owned()),
        ("the one-time password", one_time),
        ("the cookie", cookie),
        ("the token", token),
        ("the token of metrics", METRICS.to_owned()),
        ("the secret of a webhook", webhook),
    ];
    let found = said.find(&secrets);
    assert!(found.is_empty(), "{} places: {found:#?}", found.len());
    assert!(said.0.len() > 60, "{}", said.0.len());
}

/// Signs in, makes a token, asks for everything, and does much that is refused; gives the cookie and the token.
fn through_the_api(
    service: &Service,
    said: &mut Said,
    one_time: &str,
    url: &str,
) -> (String, String, String) {
    let person = Person::sign_in(service, FIRST, one_time);
    let body = json!({ "current": one_time, "new": PASSWORD });
    said.answer("a new password", person.put("/api/v1/session/password", &body)).is(200);
    said.answer("a wrong password", service.sign_in(FIRST, &format!("{PASSWORD}!"))).is(401);
    let person = Person::sign_in(service, FIRST, PASSWORD);
    // Shown once, in the answers that make them: these two are not among what is searched.
    let body = json!({ "name": "canary", "rights": ["records.read"] });
    // With a key the answer is kept to be given again, and what it shows once is not.
    let keyed = |path: &str, body: &Value| {
        let request = person.request("POST", path).header("Idempotency-Key", path).json(body);
        let first = request.send(service.at);
        let again = request.send(service.at);
        if first.status < 300 {
            assert_eq!((again.status, again.header("idempotency-replayed")), (first.status, Some("true")));
        }
        (first, again)
    };
    let (made, again) = keyed(&format!("{ORG}/tokens"), &body);
    said.answer("the same token again", again);
    let body = json!({ "name": "canary", "rights": ["audit.read"] });
    let made = if made.status == 201 { made } else { person.post(&format!("{ORG}/tokens"), &body).is(201) };
    let token = made.json();
    let token =
        token["token"].as_str().or_else(|| token["value"].as_str()).unwrap_or_else(|| panic!("{token}"));
    let cookie = person.cookie.split_once('=').unwrap().1.to_owned();

    let connection = |private: Value| json!({ "url": url, "company": "canary", "public_key": "pk", "private_key": private, "client_id": "id" });
    said.answer(
        "keys that are refused",
        person.post(&format!("{ORG}/connections"), &connection(json!(PRIVATE_KEY))),
    );
    said.answer(
        "keys in a list",
        person.post(&format!("{ORG}/connections"), &connection(json!([PRIVATE_KEY]))),
    );
    let mut broken = connection(json!(PRIVATE_KEY));
    broken["company"] = json!(5);
    said.answer("keys beside nonsense", person.post(&format!("{ORG}/connections"), &broken));
    let half = broken.to_string();
    let half = person
        .request("POST", &format!("{ORG}/connections"))
        .body("application/json", &half[..half.len() - 1]);
    said.answer("half a body", half.send(service.at));
    for route in ["test", "rotate"] {
        let body = if route == "test" { json!({}) } else { json!({ "private_key": PRIVATE_KEY }) };
        said.answer(route, person.post(&format!("{ORG}/connections/connectwise/{route}"), &body));
    }
    let (made, again) = keyed(&format!("{ORG}/webhooks"), &json!({ "name": "canary", "url": url }));
    said.answer("the same webhook again", again);
    let made = made.is(201).json();
    let hook = format!("{ORG}/webhooks/{}", made["id"].as_str().unwrap());
    let (rotated, again) = keyed(&format!("{hook}/rotate"), &json!({}));
    said.answer("the same secret again", again);
    let rotated = rotated.is(200).json();
    // The one that was shown last: the former went the same ways.
    let webhook = rotated["secret"].as_str().unwrap().strip_prefix("whsec_").unwrap().to_owned();
    said.answer("a test of a webhook", person.post(&format!("{hook}/test"), &json!({}))).is(200);
    said.answer("the log of a webhook", person.get(&format!("{hook}/deliveries"))).is(200);
    let run = person.post(&format!("{ORG}/runs"), &json!({ "kind": "pull" }));
    if let Some(location) = said.answer("a run", run).header("location") {
        let events = person.request("GET", &format!("{location}/events")).send(service.at);
        said.answer("the events of a run", events);
        said.answer("the run", person.get(location));
    }
    for who in ["cookie", "token", "nobody"] {
        let document = service.get("/api/v1/openapi.json").json();
        for (path, item) in document["paths"].as_object().unwrap() {
            if item.get("get").is_none() || path.ends_with("/events") {
                continue;
            }
            let path = path.replace("{org}", "default").replace("{connection}", "connectwise");
            let asked = match who {
                "cookie" => person.get(&path),
                "token" => Request::new("GET", &path)
                    .header("authorization", &format!("Bearer {token}"))
                    .send(service.at),
                _ => service.get(&path),
            };
            said.answer(&format!("GET {path} by {who}"), asked);
        }
    }
    let metrics = |token: &str| {
        Request::new("GET", "/metrics").header("authorization", &format!("Bearer {token}")).send(service.at)
    };
    let text = said.answer("the numbers", metrics(METRICS)).is(200).text();
    assert!(text.contains("trueup_build_info"), "{text}");
    said.answer("the numbers by the token of the API", metrics(token)).is(401);
    said.answer("the sign-out", person.delete("/api/v1/session"));
    (cookie, token.to_owned(), webhook)
}
