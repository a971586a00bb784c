//! A client in front of a server made by hand.
#![allow(clippy::unwrap_used, reason = "a test helper fails by panicking")]
#![allow(dead_code, reason = "each test file uses its own part")]

use std::time::Duration;

use secrecy::SecretString;
use trueup_connectwise::client::address::AllowedHosts;
use trueup_connectwise::client::{ClientConfig, ConnectWiseClient, Credentials};
use trueup_transport::LimiterConfig;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

/// A private key that must never be seen anywhere.
pub const PRIVATE: &str = "pr1vate-canary-key";

/// The API's root on the server.
pub const ROOT: &str = "/v2025_1/apis/3.0";

/// Keys of a made-up member.
pub fn credentials() -> Credentials {
    Credentials {
        company: "training".to_owned(),
        public_key: "pub".to_owned(),
        private_key: SecretString::from(PRIVATE.to_owned()),
        client_id: "00000000-0000-0000-0000-000000000001".to_owned(),
    }
}

/// Settings for a server on this machine.
pub fn config(url: &str) -> ClientConfig {
    let mut config = ClientConfig::new(url, credentials());
    config.allowed = AllowedHosts { loopback: true, ..AllowedHosts::default() };
    config.attempt_timeout = Duration::from_millis(700);
    config.deadline = Duration::from_secs(5);
    config.limiter = LimiterConfig { backoff_base: Duration::from_millis(5), ..LimiterConfig::default() };
    config
}

/// A client of a server.
pub fn client(server: &MockServer) -> ConnectWiseClient {
    ConnectWiseClient::new(config(&server.uri())).unwrap()
}

/// A server that knows the company and names its code base.
pub async fn server() -> MockServer {
    let server = MockServer::start().await;
    codebase(&server, "v2025_1/", u64::MAX).await;
    server
}

/// Names a code base, so many times.
pub async fn codebase(server: &MockServer, name: &str, times: u64) {
    Mock::given(method("GET"))
        .and(path("/login/companyinfo/training"))
        .respond_with(ResponseTemplate::new(200).set_body_json(serde_json::json!({
            "CompanyName": "Training", "Codebase": name, "VersionCode": "v2025.1", "CompanyID": "training", "IsCloud": "True"
        })))
        .up_to_n_times(times)
        .mount(server)
        .await;
}

/// JSON text with its type, and the empty `Link` that says that a list ends here.
pub fn json(status: u16, text: &str) -> ResponseTemplate {
    bare(status, text).insert_header("link", "")
}

/// The same without `Link`.
pub fn bare(status: u16, text: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_raw(text.as_bytes().to_vec(), "application/json; charset=utf-8")
}
