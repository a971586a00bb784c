//! Values that fit the document, and values that do not: each is taken or refused as the document says.

use crate::bench::{Backend, Service};
use crate::work::{ORG, Sandbox};
use rstest::rstest;
use serde_json::json;

#[test]
fn a_whole_number_may_be_written_with_a_point() {
    let service = Service::sqlite();
    let person = service.operator();
    let path = format!("{ORG}/tokens");
    person.post(&path, &json!({ "name": "a", "rights": ["tasks.read"], "days": 30.0 })).is(201);
    let half = json!({ "name": "a", "rights": ["tasks.read"], "days": 30.5 });
    person.post(&path, &half).is(422);
    // What is named twice is refused, however its numbers are written.
    let twice = r#"{"name":"a","rights":["tasks.read"],"days":1.0,"days":2}"#;
    let answer = person.request("POST", &path).body("application/json", twice).send(service.at);
    assert_eq!(answer.problem(422), "invalid");
}

#[rstest]
fn no_source_has_a_name_that_is_empty_or_too_long(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(service) = Service::start(backend, &[]) else { return };
    let person = service.operator();
    for source in [String::new(), "s".repeat(101)] {
        let mapping = json!({ "kind": "customer", "source": source, "source_id": "a", "psa_id": 1 });
        assert_eq!(person.put(&format!("{ORG}/mappings"), &mapping).problem(422), "invalid", "{source}");
        let ticks = json!({ "customer": "a", "source": source, "billing": false, "ticked": [] });
        assert_eq!(person.put(&format!("{ORG}/quantity/customers"), &ticks).problem(422), "invalid");
    }
    assert_eq!(person.get(&format!("{ORG}/mappings")).json()["items"], json!([]));
}

#[test]
fn a_table_without_a_line_is_refused() {
    let service = Service::sqlite();
    let person = service.operator();
    for empty in ["", "\r\n"] {
        let path = format!("{ORG}/mappings/import");
        let answer = person.request("POST", &path).body("text/csv", empty).send(service.at);
        assert_eq!(answer.problem(422), "invalid");
    }
}

#[test]
fn a_board_of_a_number_that_connectwise_never_gives_is_no_wrong_address() {
    let sandbox = Sandbox::start();
    let environment = [("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1")];
    let service = Service::start(Backend::Sqlite, &environment).unwrap();
    let person = service.operator();
    person.post(&format!("{ORG}/connections"), &sandbox.connection()).is(201);
    for board in [0, -1, i64::MIN] {
        let answer = person.get(&format!("{ORG}/alerts/places?board={board}"));
        assert_eq!(answer.problem(422), "invalid", "{}", answer.text());
    }
}

#[rstest]
fn a_key_of_a_request_is_printable(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let Some(service) = Service::start(backend, &[]) else { return };
    let person = service.operator();
    let body = r#"{"name":"a","rights":["tasks.read"]}"#;
    for (key, status) in [("once", 201), ("o nce", 201), ("o\tnce", 422), ("", 422)] {
        let request = person.request("POST", &format!("{ORG}/tokens")).header("Idempotency-Key", key);
        request.body("application/json", body).send(service.at).is(status);
    }
}
