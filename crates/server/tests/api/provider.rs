//! A small service of the test's own that people sign in at: it vouches for whatever the test says.

use crate::bench::{Backend, Service};
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

/// What the service proves itself with.
pub const SECRET: &str = "client-secret-9911";

/// How the next token differs from a good one.
#[derive(Clone, Debug, Default)]
pub struct Says {
    pub email: &'static str,
    pub verified: Option<bool>,
    pub groups: Value,
    pub issuer: Option<&'static str>,
    pub audience: Option<&'static str>,
    pub nonce: Option<&'static str>,
    pub expired: bool,
    pub other_key: bool,
    pub no_algorithm: bool,
}

pub fn says(email: &'static str) -> Says {
    Says { email, verified: Some(true), ..Says::default() }
}

#[derive(Clone)]
pub struct Provider {
    pub at: SocketAddr,
    pub says: Arc<Mutex<Says>>,
    /// Where a browser comes back to: the address that the service is known by is none that a test can listen at.
    back_to: Arc<Mutex<Option<SocketAddr>>>,
    /// What was asked for, by its code.
    asked: Arc<Mutex<HashMap<String, HashMap<String, String>>>>,
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 32]).unwrap()
}

impl Provider {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let provider = Self {
            at: listener.local_addr().unwrap(),
            says: Arc::default(),
            back_to: Arc::default(),
            asked: Arc::default(),
        };
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
                if path.starts_with("/authorize?") {
                    let to = own.visit(&format!("{}{path}", own.issuer()));
                    let at = own.back_to.lock().unwrap().unwrap();
                    let _ = write!(
                        reader.get_mut(),
                        "HTTP/1.1 303 X\r\nlocation: http://{at}{to}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
                    );
                    continue;
                }
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

    /// Sends browsers on to this service, without a question.
    #[allow(dead_code, reason = "the tests of the API are their own browser")]
    pub fn lead_back_to(&self, at: SocketAddr) {
        *self.back_to.lock().unwrap() = Some(at);
    }

    /// A service that lets people sign in here.
    pub fn service(&self, more: &[(&str, &str)]) -> Service {
        self.service_on(Backend::Sqlite, more).unwrap()
    }

    /// The same on a database; none where there is no PostgreSQL.
    pub fn service_on(&self, backend: Backend, more: &[(&str, &str)]) -> Option<Service> {
        let issuer = self.issuer();
        let own = [
            ("TRUEUP_OIDC_ISSUER", issuer.as_str()),
            ("TRUEUP_OIDC_CLIENT_ID", "trueup"),
            ("TRUEUP_OIDC_CLIENT_SECRET", SECRET),
            ("TRUEUP_PUBLIC_URL", "http://trueup.example.com"),
            ("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1"),
        ];
        Service::start(backend, &[&own[..], more].concat())
    }

    /// What the browser does at the other service: gives the path that it comes back to.
    pub fn visit(&self, to: &str) -> String {
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
}
