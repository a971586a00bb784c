//! https: trusted under the sandbox's own authority and no other, not held up by one slow client, cut by faults.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops where it fails")]

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use trueup_sandbox::{Sandbox, SandboxConfig};

async fn started() -> Sandbox {
    trueup_sandbox::start_tls(SandboxConfig::default()).await.unwrap()
}

/// One GET as `host`, trusting the authority of `trusted`; the answer as text.
async fn get(
    sandbox: &Sandbox,
    trusted: &Sandbox,
    host: &'static str,
    path: &str,
) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.authority().unwrap().as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let address = sandbox.url().trim_start_matches("https://").to_owned();
    let stream = TcpStream::connect(&address).await?;
    let name = ServerName::try_from(host).unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let plain = format!("{}+{}:{}", sandbox.company(), sandbox.public_key(), sandbox.private_key());
    let keys = base64::engine::general_purpose::STANDARD.encode(plain);
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Basic {keys}\r\nclientId: {}\r\n\r\n",
        sandbox.client_id(),
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

const PATH: &str = "/v4_6_release/apis/3.0/company/companies/1";

#[tokio::test]
async fn the_authority_of_this_sandbox_is_trusted_and_no_other() {
    let (sandbox, other) = (started().await, started().await);
    assert!(sandbox.authority().unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
    for host in ["127.0.0.1", "localhost", "::1"] {
        let answer = get(&sandbox, &sandbox, host, PATH).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let body: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        // Links lead back over https.
        let link = body["status"]["_info"]["status_href"].as_str().unwrap();
        assert!(link.starts_with(&sandbox.url()), "{link}");
    }
    let list = PATH.replace("company/companies/1", "finance/billingCycles?pageSize=1");
    let list = get(&sandbox, &sandbox, "127.0.0.1", &list).await.unwrap();
    assert!(list.contains(&format!("link: <{}/v4_6_release/", sandbox.url())), "{list}");
    get(&sandbox, &other, "127.0.0.1", PATH).await.unwrap_err();
    get(&sandbox, &sandbox, "example.com", PATH).await.unwrap_err();
}

#[tokio::test]
async fn one_that_says_nothing_holds_nobody_up() {
    let sandbox = started().await;
    let address = sandbox.url().trim_start_matches("https://").to_owned();
    let silent = TcpStream::connect(&address).await.unwrap();
    let mut plain = TcpStream::connect(&address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let answered = get(&sandbox, &sandbox, "127.0.0.1", PATH);
    let answer = tokio::time::timeout(Duration::from_secs(5), answered).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(silent);
    sandbox.shutdown().await;
    TcpStream::connect(&address).await.unwrap_err();
}

#[tokio::test]
async fn a_cut_connection_ends_without_a_farewell() {
    let sandbox = started().await;
    for action in ["drop_before", "drop_after", "truncate"] {
        sandbox.control().set_faults(json!({"schedule": [{"action": action}]})).unwrap();
        get(&sandbox, &sandbox, "127.0.0.1", PATH).await.unwrap_err();
    }
}
