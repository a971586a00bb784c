//! Signing in by another service, by a small one of the test's own.

use crate::bench::{Backend, PASSWORD, Person, Service};
use crate::http::{Answer, Request};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use url::Url;

const SECRET: &str = "client-secret-9911";

/// How the next token differs from a good one.
#[derive(Clone, Debug, Default)]
struct Says {
    email: &'static str,
    verified: Option<bool>,
    groups: Value,
    issuer: Option<&'static str>,
    audience: Option<&'static str>,
    nonce: Option<&'static str>,
    expired: bool,
    other_key: bool,
    no_algorithm: bool,
}

fn says(email: &'static str) -> Says {
    Says { email, verified: Some(true), ..Says::default() }
}

#[derive(Clone)]
struct Provider {
    at: SocketAddr,
    says: Arc<Mutex<Says>>,
    /// What was asked for, by its code.
    asked: Arc<Mutex<HashMap<String, HashMap<String, String>>>>,
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 32]).unwrap()
}

impl Provider {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let provider =
            Self { at: listener.local_addr().unwrap(), says: Arc::default(), asked: Arc::default() };
        let own = provider.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut reader = BufReader::new(stream);
                let (mut first, mut headers, mut line) = (String::new(), HashMap::new(), String::new());
                let _ = reader.read_line(&mut first);
                while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
                    if let Some((name, value)) = line.trim().split_once(": ") {
                        headers.insert(name.to_ascii_lowercase(), value.to_owned());
                    }
                    line.clear();
                }
                let length = headers.get("content-length").and_then(|v| v.parse().ok()).unwrap_or(0);
                let mut body = vec![0; length];
                let _ = reader.read_exact(&mut body);
                let path = first.split(' ').nth(1).unwrap_or_default();
                let (status, answer) = own.answer(path, &headers, &body);
                let answer = answer.to_string();
                let _ = write!(
                    reader.get_mut(),
                    "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\n\
                     content-length: {}\r\n\r\n{answer}",
                    answer.len()
                );
            }
        });
        provider
    }

    fn issuer(&self) -> String {
        format!("http://{}", self.at)
    }

    fn answer(&self, path: &str, headers: &HashMap<String, String>, body: &[u8]) -> (u16, Value) {
        let me = self.issuer();
        match path {
            "/.well-known/openid-configuration" => (
                200,
                json!({
                    "issuer": me,
                    "authorization_endpoint": format!("{me}/authorize"),
                    "token_endpoint": format!("{me}/token"),
                    "jwks_uri": format!("{me}/keys"),
                    "response_types_supported": ["code"],
                    "subject_types_supported": ["public"],
                    "id_token_signing_alg_values_supported": ["ES256"],
                }),
            ),
            "/keys" => {
                let point = key(7).verifying_key().to_sec1_point(false);
                let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
                let (x, y) = (part(&point.as_bytes()[1..33]), part(&point.as_bytes()[33..65]));
                let all = json!({ "kty": "EC", "crv": "P-256", "use": "sig", "kid": "k1", "alg": "ES256", "x": x, "y": y });
                (200, json!({ "keys": [all] }))
            }
            "/token" => {
                let form: HashMap<String, String> = url::form_urlencoded::parse(body).into_owned().collect();
                let keys = headers.get("authorization").and_then(|v| v.strip_prefix("Basic "));
                let keys = keys.and_then(|v| STANDARD.decode(v).ok()).unwrap_or_default();
                assert_eq!(String::from_utf8_lossy(&keys), format!("trueup:{SECRET}"));
                // A code is good once.
                let asked = self.asked.lock().unwrap().remove(&form["code"]);
                let fits = asked.filter(|asked| {
                    let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(form["code_verifier"].as_bytes()));
                    asked["code_challenge"] == hash && asked["code_challenge_method"] == "S256"
                });
                match fits {
                    Some(asked) => {
                        let token = self.token(&asked["nonce"]);
                        (200, json!({ "access_token": "a", "token_type": "Bearer", "id_token": token }))
                    }
                    None => (400, json!({ "error": "invalid_grant" })),
                }
            }
            _ => (404, json!({})),
        }
    }

    #[allow(clippy::disallowed_types, reason = "a token says by the real time how long it holds")]
    fn token(&self, nonce: &str) -> String {
        let says = self.says.lock().unwrap().clone();
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let head =
            if says.no_algorithm { json!({ "alg": "none" }) } else { json!({ "alg": "ES256", "kid": "k1" }) };
        let mut claims = json!({
            "iss": says.issuer.map_or_else(|| self.issuer(), str::to_owned),
            "aud": says.audience.unwrap_or("trueup"),
            "sub": "s-1",
            "iat": now - 10,
            "exp": if says.expired { now - 5 } else { now + 300 },
            "nonce": says.nonce.unwrap_or(nonce),
            "email": says.email,
            "name": "Ann",
            "groups": says.groups,
        });
        if let Some(verified) = says.verified {
            claims["email_verified"] = json!(verified);
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(&head), part(&claims));
        if says.no_algorithm {
            return format!("{text}.");
        }
        let signature: Signature = key(if says.other_key { 8 } else { 7 }).sign(text.as_bytes());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    fn service(&self, more: &[(&str, &str)]) -> Service {
        let issuer = self.issuer();
        let own = [
            ("TRUEUP_OIDC_ISSUER", issuer.as_str()),
            ("TRUEUP_OIDC_CLIENT_ID", "trueup"),
            ("TRUEUP_OIDC_CLIENT_SECRET", SECRET),
            ("TRUEUP_PUBLIC_URL", "http://trueup.example.com"),
            ("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1"),
        ];
        Service::start(Backend::Sqlite, &[&own[..], more].concat()).unwrap()
    }

    /// What the browser does at the other service: gives the path that it comes back to.
    fn visit(&self, to: &str) -> String {
        let url = Url::parse(to).unwrap();
        assert_eq!(url.path(), "/authorize");
        let asked: HashMap<String, String> = url.query_pairs().into_owned().collect();
        assert_eq!(asked["redirect_uri"], "http://trueup.example.com/api/v1/session/oidc/callback");
        assert_eq!(asked["response_type"], "code");
        let code = format!("code-{}", self.asked.lock().unwrap().len());
        let state = asked["state"].clone();
        self.asked.lock().unwrap().insert(code.clone(), asked);
        format!("/api/v1/session/oidc/callback?code={code}&state={state}")
    }

    /// The whole way of a browser, with what the other service says.
    fn sign_in(&self, service: &Service, says: Says) -> Answer {
        *self.says.lock().unwrap() = says;
        let (to, cookie) = begin(service, "");
        come_back(service, &self.visit(&to), &cookie)
    }
}

fn cookie_of(answer: &Answer, name: &str) -> Option<String> {
    let all = answer.headers.iter().filter(|(n, _)| n == "set-cookie").map(|(_, v)| v);
    all.filter_map(|v| v.split(';').next()).find(|v| v.starts_with(&format!("{name}="))).map(str::to_owned)
}

fn begin(service: &Service, query: &str) -> (String, String) {
    let answer = service.get(&format!("/api/v1/session/oidc{query}")).is(303);
    (answer.header("location").unwrap().to_owned(), cookie_of(&answer, "trueup_sign_in").unwrap())
}

fn come_back(service: &Service, path: &str, cookie: &str) -> Answer {
    Request::new("GET", path).header("cookie", cookie).send(service.at).is(303)
}

fn session(service: &Service, answer: &Answer) -> Value {
    let cookie = cookie_of(answer, "trueup_session").unwrap_or_else(|| panic!("{:?}", answer.headers));
    Request::new("GET", "/api/v1/session").header("cookie", &cookie).send(service.at).is(200).json()
}

fn refused(answer: &Answer, why: &str) {
    assert_eq!(answer.header("location"), Some(format!("/?sign_in={why}").as_str()));
    assert_eq!(cookie_of(answer, "trueup_session"), None);
}

#[test]
fn a_known_address_signs_in_by_another_service() {
    let provider = Provider::start();
    let service = provider.service(&[]);
    let operator = service.operator();
    let ways = service.get("/api/v1/session/ways").is(200).json();
    assert_eq!(ways["oidc"], json!({ "name": "Single sign-on", "start": "/api/v1/session/oidc" }));
    let body = json!({ "email": "ann@example.com", "role": "billing" });
    operator.post("/api/v1/organizations/default/users", &body).is(201);

    let answer = provider.sign_in(&service, says("Ann@Example.com"));
    assert_eq!(answer.header("location"), Some("/"));
    let who = session(&service, &answer);
    assert_eq!((who["actor"].as_str(), who["role"].as_str()), (Some("ann@example.com"), Some("billing")));
    assert_eq!(who["must_change_password"], false);
    refused(&provider.sign_in(&service, says("nobody@example.com")), "unknown");
    refused(&provider.sign_in(&service, Says { verified: None, ..says("ann@example.com") }), "failed");
    refused(&provider.sign_in(&service, Says { verified: Some(false), ..says("ann@example.com") }), "failed");
    // A browser is sent to a path of this service alone.
    let back = |query: &str| {
        *provider.says.lock().unwrap() = says("ann@example.com");
        let (to, cookie) = begin(&service, query);
        come_back(&service, &provider.visit(&to), &cookie).header("location").unwrap().to_owned()
    };
    assert_eq!(back("?back=/tasks"), "/tasks");
    assert_eq!(back("?back=https://evil.example/"), "/");
    // Who is shut out stays out.
    let id = who["id"].as_str().unwrap();
    operator
        .patch(&format!("/api/v1/organizations/default/users/{id}"), &json!({ "disabled": true }))
        .is(200);
    refused(&provider.sign_in(&service, says("ann@example.com")), "disabled");
    let audit = operator.get("/api/v1/organizations/default/audit?action=session.begin").is(200).text();
    assert!(audit.contains("oidc"), "{audit}");
}

#[test]
fn what_is_forged_or_foreign_signs_nobody_in() {
    let provider = Provider::start();
    let service = provider.service(&[]);
    let operator = service.operator();
    let body = json!({ "email": "ann@example.com", "role": "admin" });
    operator.post("/api/v1/organizations/default/users", &body).is(201);
    let ann = || says("ann@example.com");
    for forged in [
        Says { other_key: true, ..ann() },
        Says { no_algorithm: true, ..ann() },
        Says { expired: true, ..ann() },
        Says { issuer: Some("http://127.0.0.1:1"), ..ann() },
        Says { audience: Some("another"), ..ann() },
        Says { nonce: Some("another"), ..ann() },
    ] {
        refused(&provider.sign_in(&service, forged), "failed");
    }
    *provider.says.lock().unwrap() = ann();
    // The code of one browser in another one, with no cookie, with its own, or with a changed one.
    let (to, cookie) = begin(&service, "");
    let stolen = provider.visit(&to);
    refused(&come_back(&service, &stolen, "x=y"), "failed");
    let (_, other) = begin(&service, "");
    refused(&come_back(&service, &stolen, &other), "failed");
    let changed = format!("{}x", cookie);
    refused(&come_back(&service, &stolen, &changed), "failed");
    let good = come_back(&service, &stolen, &cookie);
    assert_eq!(session(&service, &good)["role"], "admin");
    refused(&come_back(&service, &stolen, &cookie), "failed");
    refused(&come_back(&service, "/api/v1/session/oidc/callback?error=access_denied", &cookie), "failed");
    let log = std::fs::read_to_string(service.log()).unwrap();
    assert!(!log.contains(SECRET));
}

#[test]
fn groups_give_role_and_place_and_may_add_people() {
    let provider = Provider::start();
    let groups = "ops=operator,north-bill=billing@north,lost=admin@nowhere";
    let service = provider.service(&[("TRUEUP_OIDC_CREATE", "on"), ("TRUEUP_OIDC_GROUPS", groups)]);
    let operator = service.operator();
    operator.organization("north", None);
    let of = |group: &str| Says { groups: json!([group, "other"]), ..says("new@example.com") };
    let who = session(&service, &provider.sign_in(&service, of("north-bill")));
    assert_eq!((who["role"].as_str(), who["organization"].as_str()), (Some("billing"), Some("north")));
    // Who is moved to another group has its role, and in none of them there is no way in.
    let who = session(&service, &provider.sign_in(&service, of("ops")));
    assert_eq!((who["role"].as_str(), who["organization"].as_str()), (Some("operator"), None));
    refused(&provider.sign_in(&service, of("nothing")), "unknown");
    refused(&provider.sign_in(&service, of("lost")), "unknown");
    // Nobody signs in with a password that was never given.
    service.sign_in("new@example.com", PASSWORD).is(401);
}

#[test]
fn without_another_service_there_is_no_such_way() {
    let service = Service::sqlite();
    assert_eq!(service.get("/api/v1/session/ways").is(200).json(), json!({ "password": true, "oidc": null }));
    assert_eq!(service.get("/api/v1/session/oidc").problem(409), "conflict");
    assert_eq!(service.get("/api/v1/session/oidc/callback?code=a&state=b").problem(409), "conflict");
    let _: Person<'_> = service.operator();
}
