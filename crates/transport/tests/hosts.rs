//! Addresses that must never be called, in every spelling known.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test helper fails by panicking"
)]

use rstest::rstest;
use tokio::net::TcpListener;
use trueup_transport::{AddressClass, Call, HostRules, Outcome, Refusal, Sender, SenderConfig, classify};
use url::Url;

fn cloud() -> HostRules {
    HostRules::none().allow_below("example.net").allow_host("psa.example.org")
}

/// One URL a line; each must be refused or not be a URL at all.
const HOSTILE: &str = include_str!("hostile-urls.txt");

#[test]
fn the_corpus_is_refused() {
    let mut seen = 0;
    for line in HOSTILE.lines().filter(|l| !l.starts_with("# ")) {
        seen += 1;
        let Ok(url) = Url::parse(line) else { continue };
        assert!(cloud().check_url(&url).is_err(), "{line} was let through by the list");
        // Without a list the literal addresses must still fall; names are judged when they are resolved.
        if url.host().is_some_and(|h| !matches!(h, url::Host::Domain(_))) {
            assert!(HostRules::any_public().check_url(&url).is_err(), "{line} was let through");
        }
    }
    assert!(seen >= 150, "{seen}");
}

#[tokio::test]
async fn nothing_connects_for_the_corpus() {
    let canary = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = canary.local_addr().unwrap().port();
    let sender = Sender::new(SenderConfig { rules: cloud(), ..SenderConfig::default() }).unwrap();
    for line in HOSTILE.lines().filter(|l| !l.starts_with("# ")) {
        let Ok(mut url) = Url::parse(line) else { continue };
        if url.set_port(Some(port)).is_err() {
            continue;
        }
        let outcome = sender.send(Call::get(url)).await;
        assert!(matches!(outcome, Outcome::Refused(Refusal::Host(_))), "{line}: {outcome:?}");
    }
    let waited = tokio::time::timeout(std::time::Duration::from_millis(50), canary.accept()).await;
    assert!(waited.is_err(), "something connected");
}

#[tokio::test]
async fn a_name_that_leads_to_the_machine_is_stopped_by_the_resolver() {
    let canary = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = canary.local_addr().unwrap().port();
    let rules = HostRules::none().allow_host("localhost");
    let sender = Sender::new(SenderConfig { rules, max_retries: 0, ..SenderConfig::default() }).unwrap();
    let outcome = sender.send(Call::get(Url::parse(&format!("https://localhost:{port}/")).unwrap())).await;
    assert!(matches!(outcome, Outcome::Refused(Refusal::Host(_))), "{outcome:?}");
}

#[rstest]
#[case("https://na.example.net/v4", true)]
#[case("https://NA.EXAMPLE.NET./v4", true)]
#[case("https://psa.example.org:8443", true)]
#[case("https://example.net/", false)]
#[case("https://evilexample.net/", false)]
#[case("https://psa.example.org.evil.test/", false)]
fn lists_match_on_name_boundaries(#[case] url: &str, #[case] allowed: bool) {
    assert_eq!(cloud().check_url(&Url::parse(url).unwrap()).is_ok(), allowed);
}

#[test]
fn loopback_only_where_it_is_switched_on() {
    let on = HostRules::none().allow_loopback(true);
    for url in
        ["http://127.0.0.1:4080/", "http://[::1]:4080/", "http://localhost:4080/", "https://127.0.0.1/"]
    {
        let url = Url::parse(url).unwrap();
        assert!(on.check_url(&url).is_ok(), "{url}");
        assert!(HostRules::none().check_url(&url).is_err(), "{url}");
    }
    for url in ["http://10.0.0.1/", "http://example.net/", "http://169.254.169.254/"] {
        assert!(on.check_url(&Url::parse(url).unwrap()).is_err(), "{url}");
    }
    let loopback = "127.0.0.1".parse().unwrap();
    assert!(on.check_address("localhost", loopback).is_ok());
    assert!(on.check_address("na.example.net", loopback).is_err(), "rebinding");
}

#[test]
fn a_private_host_opens_private_addresses_and_nothing_more() {
    let rules = HostRules::none().allow_private_host("psa.corp.example");
    assert!(rules.check_address("psa.corp.example", "10.1.2.3".parse().unwrap()).is_ok());
    for bad in ["169.254.169.254", "127.0.0.1", "::1", "fe80::1", "0.0.0.0", "224.0.0.1"] {
        assert!(rules.check_address("psa.corp.example", bad.parse().unwrap()).is_err(), "{bad}");
    }
    assert!(rules.check_address("other.example", "10.1.2.3".parse().unwrap()).is_err());
}

#[rstest]
#[case("8.8.8.8", AddressClass::Public)]
#[case("2606:4700::1111", AddressClass::Public)]
#[case("127.255.0.1", AddressClass::Loopback)]
#[case("::ffff:127.0.0.1", AddressClass::Loopback)]
#[case("::ffff:10.0.0.1", AddressClass::Private)]
#[case("100.64.0.1", AddressClass::Private)]
#[case("100.127.255.255", AddressClass::Private)]
#[case("100.128.0.1", AddressClass::Public)]
#[case("172.15.0.1", AddressClass::Public)]
#[case("172.31.255.255", AddressClass::Private)]
#[case("fd00::1", AddressClass::Private)]
#[case("169.254.169.254", AddressClass::LinkLocal)]
#[case("fe80::1", AddressClass::LinkLocal)]
#[case("64:ff9b::a00:1", AddressClass::Special)]
#[case("64:ff9b:1::1", AddressClass::Special)]
#[case("2002:a00:1::", AddressClass::Special)]
#[case("2001::1", AddressClass::Special)]
#[case("2001:db8::1", AddressClass::Special)]
#[case("::", AddressClass::Special)]
#[case("::10.0.0.1", AddressClass::Special)]
#[case("0.0.0.0", AddressClass::Special)]
#[case("198.18.0.1", AddressClass::Special)]
#[case("255.255.255.255", AddressClass::Special)]
fn addresses_have_their_class(#[case] address: &str, #[case] class: AddressClass) {
    assert_eq!(classify(address.parse().unwrap()), class);
}
