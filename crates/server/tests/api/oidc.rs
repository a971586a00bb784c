//! Signing in by another service, by a small one of the test's own.

use crate::bench::{Backend, PASSWORD, Person, Service};
use crate::http::{Answer, Request};
use crate::provider::{Provider, SECRET, Says, says};
use rstest::rstest;
use serde_json::{Value, json};

/// The whole way of a browser, with what the other service says.
fn sign_in(provider: &Provider, service: &Service, says: Says) -> Answer {
    *provider.says.lock().unwrap() = says;
    let (to, cookie) = begin(service, "");
    come_back(service, &provider.visit(&to), &cookie)
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

#[rstest]
fn a_known_address_signs_in_by_another_service(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let provider = Provider::start();
    let Some(service) = provider.service_on(backend, &[]) else { return };
    let operator = service.operator();
    let ways = service.get("/api/v1/session/ways").is(200).json();
    assert_eq!(ways["oidc"], json!({ "name": "Single sign-on", "start": "/api/v1/session/oidc" }));
    let body = json!({ "email": "ann@example.com", "role": "billing" });
    operator.post("/api/v1/organizations/default/users", &body).is(201);

    let answer = sign_in(&provider, &service, says("Ann@Example.com"));
    assert_eq!(answer.header("location"), Some("/"));
    let who = session(&service, &answer);
    assert_eq!((who["actor"].as_str(), who["role"].as_str()), (Some("ann@example.com"), Some("billing")));
    assert_eq!(who["must_change_password"], false);
    refused(&sign_in(&provider, &service, says("nobody@example.com")), "unknown");
    refused(&sign_in(&provider, &service, Says { verified: None, ..says("ann@example.com") }), "failed");
    refused(
        &sign_in(&provider, &service, Says { verified: Some(false), ..says("ann@example.com") }),
        "failed",
    );
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
    refused(&sign_in(&provider, &service, says("ann@example.com")), "disabled");
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
        refused(&sign_in(&provider, &service, forged), "failed");
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
    let who = session(&service, &sign_in(&provider, &service, of("north-bill")));
    assert_eq!((who["role"].as_str(), who["organization"].as_str()), (Some("billing"), Some("north")));
    // Who is moved to another group has its role, and in none of them there is no way in.
    let who = session(&service, &sign_in(&provider, &service, of("ops")));
    assert_eq!((who["role"].as_str(), who["organization"].as_str()), (Some("operator"), None));
    refused(&sign_in(&provider, &service, of("nothing")), "unknown");
    refused(&sign_in(&provider, &service, of("lost")), "unknown");
    // Nobody signs in with a password that was never given.
    service.sign_in("new@example.com", PASSWORD).is(401);
}

/// An administrator of one organization adds the address of somebody who is to be more than that, and sets its password.
#[rstest]
fn who_took_the_address_before_does_not_get_the_rights_of_its_owner(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let provider = Provider::start();
    let groups = [("TRUEUP_OIDC_GROUPS", "ops=operator")];
    let Some(service) = provider.service_on(backend, &groups) else { return };
    let operator = service.operator();
    operator.organization("north", None);
    let admin = operator.colleague("north", "admin");
    let boss = || Says { groups: json!(["ops"]), ..says("boss@example.com") };
    let body = json!({ "email": "boss@example.com", "role": "admin" });
    let added = admin.post("/api/v1/organizations/north/users", &body).is(201).json();
    let thief = Person::welcome(&service, "boss@example.com", added["one_time_password"].as_str().unwrap());
    let body = json!({ "name": "mine", "rights": ["settings.read"] });
    let token = thief.post("/api/v1/organizations/north/tokens", &body).is(201).json()["token"].clone();
    let by_token = || {
        let bearer = format!("Bearer {}", token.as_str().unwrap());
        let ask =
            Request::new("GET", "/api/v1/organizations/north/settings").header("authorization", &bearer);
        ask.send(service.at)
    };
    by_token().is(200);

    let who = session(&service, &sign_in(&provider, &service, boss()));
    assert_eq!((who["role"].as_str(), who["organization"].as_str()), (Some("operator"), None));
    assert_eq!(service.sign_in("boss@example.com", PASSWORD).problem(401), "wrong-password");
    assert_eq!(thief.get("/api/v1/session").problem(401), "not-signed-in");
    assert_eq!(by_token().problem(401), "not-signed-in");
    // Who stays where they are stays signed in elsewhere.
    let first = sign_in(&provider, &service, boss());
    session(&service, &sign_in(&provider, &service, boss()));
    session(&service, &first);
}

/// A one-time password opens nothing but its own change, and nothing at all once its owner came in another way.
#[test]
fn a_session_by_a_one_time_password_ends_when_the_owner_signs_in() {
    let provider = Provider::start();
    let service = provider.service(&[]);
    let operator = service.operator();
    let body = json!({ "email": "ann@example.com", "role": "admin" });
    let added = operator.post("/api/v1/organizations/default/users", &body).is(201).json();
    let early = Person::sign_in(&service, "ann@example.com", added["one_time_password"].as_str().unwrap());
    session(&service, &sign_in(&provider, &service, says("ann@example.com")));
    assert_eq!(early.get("/api/v1/organizations/default/settings").problem(401), "not-signed-in");
}

#[test]
fn without_another_service_there_is_no_such_way() {
    let service = Service::sqlite();
    assert_eq!(service.get("/api/v1/session/ways").is(200).json(), json!({ "password": true, "oidc": null }));
    assert_eq!(service.get("/api/v1/session/oidc").problem(409), "conflict");
    assert_eq!(service.get("/api/v1/session/oidc/callback?code=a&state=b").problem(409), "conflict");
    let _: Person<'_> = service.operator();
}
