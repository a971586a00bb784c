//! Callback signatures, against the known answer.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use secrecy::{ExposeSecret, SecretString};
use support::{client, json, server};
use trueup_connectwise::client::callback::{CallbackError, CallbackEvent, verify_signature};
use wiremock::matchers::path;
use wiremock::{Mock, MockServer};

#[derive(serde::Deserialize)]
struct Vector {
    signing_key: String,
    raw_body: String,
    #[serde(rename = "x-content-signature")]
    signature: String,
}

fn vector() -> Vector {
    serde_json::from_str(include_str!("callback-vector.json")).unwrap()
}

#[test]
fn the_known_answer() {
    let v = vector();
    let key = SecretString::from(v.signing_key);
    verify_signature(&key, v.raw_body.as_bytes(), &v.signature).unwrap();
    let forged = v.raw_body.replace("\"ID\":42", "\"ID\":43");
    assert_eq!(verify_signature(&key, forged.as_bytes(), &v.signature), Err(CallbackError::WrongSignature));
    let other = SecretString::from("other".to_owned());
    assert_eq!(
        verify_signature(&other, v.raw_body.as_bytes(), &v.signature),
        Err(CallbackError::WrongSignature)
    );
    assert_eq!(verify_signature(&key, v.raw_body.as_bytes(), "%%%"), Err(CallbackError::MalformedSignature));
    assert_eq!(verify_signature(&key, v.raw_body.as_bytes(), ""), Err(CallbackError::WrongSignature));
}

#[test]
fn the_body_is_read_as_a_hint() {
    let event = CallbackEvent::parse(vector().raw_body.as_bytes()).unwrap();
    assert_eq!((event.action.as_str(), event.record_type.as_str(), event.id), ("updated", "agreement", 42));
    assert!(event.metadata.key_url.ends_with("/system/keys/1"));
    assert_eq!(CallbackEvent::parse(b"{}"), Err(CallbackError::MalformedBody));
}

#[tokio::test]
async fn the_key_is_fetched_from_this_site_only() {
    let server = server().await;
    Mock::given(path("/v2025_1/system/callbackkey/index.rails"))
        .respond_with(json(200, r#"{"signing_key":"sandbox-signing-key"}"#))
        .mount(&server)
        .await;
    let client = client(&server);
    let key = client
        .fetch_signing_key(&format!("{}/v2025_1/system/callbackkey/index.rails?id=1", server.uri()))
        .await;
    assert_eq!(key.unwrap().expose_secret(), "sandbox-signing-key");

    let foreign = MockServer::start().await;
    assert!(client.fetch_signing_key(&format!("{}/key", foreign.uri())).await.is_err());
    assert!(client.fetch_signing_key("file:///etc/passwd").await.is_err());
    assert!(foreign.received_requests().await.unwrap().is_empty());
}
