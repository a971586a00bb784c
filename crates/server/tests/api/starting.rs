//! Starting, the first administrator, health, stopping.

use crate::bench::{Backend, FIRST, PASSWORD, Person, Service};
use crate::http::Request;
use rstest::rstest;
use serde_json::json;

#[rstest]
fn the_first_administrator_is_made_once_and_has_to_change_the_password(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(mut service) = Service::start(backend, &[]) else { return };
    assert_eq!(service.announced["first_administrator"]["email"], FIRST);
    let one_time = service.announced["first_administrator"]["one_time_password"].as_str().unwrap().to_owned();
    {
        let person = Person::sign_in(&service, FIRST, &one_time);
        let me = person.get("/api/v1/session").is(200).json();
        assert_eq!(me["must_change_password"], true);
        assert_eq!(me["role"], "operator");
        assert_eq!(person.get("/api/v1/organizations").problem(403), "password-change-needed");
        let change =
            |new: &str| person.put("/api/v1/session/password", &json!({ "current": one_time, "new": new }));
        assert_eq!(change("short").problem(422), "invalid");
        assert_eq!(change(&one_time).problem(422), "invalid");
        assert_eq!(change(PASSWORD).is(200).json()["must_change_password"], false);
        person.get("/api/v1/organizations").is(200);
    }
    assert_eq!(service.sign_in(FIRST, &one_time).problem(401), "wrong-password");
    assert_eq!(service.stop(), 0);
    service.up();
    assert!(service.announced["first_administrator"].is_null(), "nobody is made twice");
    Person::sign_in(&service, FIRST, PASSWORD);
}

#[test]
fn health_needs_nobody_and_everything_else_does() {
    let service = Service::sqlite();
    assert_eq!(service.get("/health/live").is(200).json()["status"], "live");
    assert_eq!(service.get("/health/ready").is(200).json()["status"], "ready");
    assert_eq!(service.get("/api/v1/organizations").problem(401), "not-signed-in");
    assert_eq!(service.get("/api/v1/nothing").problem(404), "not-found");
    assert_eq!(service.get("/nothing").problem(404), "not-found");
    let wrong_method = Request::new("PATCH", "/api/v1/session").send(service.at);
    assert_eq!(wrong_method.problem(405), "method");
    assert!(wrong_method.header("allow").unwrap().contains("DELETE"));
    for header in ["x-content-type-options", "content-security-policy", "x-request-id", "cache-control"] {
        assert!(wrong_method.header(header).is_some(), "{header}");
    }
    let docs = service.get("/docs/").is(200).text();
    assert!(docs.contains("swagger"), "{docs}");
}

#[rstest]
fn people_are_added_from_the_command_line_too(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(mut service) = Service::start(backend, &[]) else { return };
    assert_eq!(service.stop(), 0);
    let added = service.run(&["user", "add", "Ann@Example.com", "--role", "billing"]);
    assert_eq!(
        (added["email"].as_str(), added["organization"].as_str()),
        (Some("ann@example.com"), Some("default"))
    );
    let again = service.run(&["user", "add", "ann@example.com"]);
    assert!(again["error"]["message"].as_str().unwrap().contains("there already"), "{again}");
    service.up();
    let ann = Person::welcome(&service, "ann@example.com", added["one_time_password"].as_str().unwrap());
    assert_eq!(ann.get("/api/v1/session").json()["role"], "billing");
}

#[test]
fn the_document_is_what_the_repository_says() {
    let service = Service::sqlite();
    let served = service.get("/api/v1/openapi.json").is(200).json();
    assert_eq!(served["openapi"], "3.1.0");
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let kept: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(
        served == kept,
        "docs/openapi.json is out of date: `cargo run -p trueup-server -- openapi > docs/openapi.json`"
    );
}
