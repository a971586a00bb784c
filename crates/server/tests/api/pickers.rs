//! What people choose from: the lists are those of ConnectWise as last read, and tell apart what has one name.

use crate::bench::{Backend, Service};
use crate::sandbox::{ORG, Sandbox, call, control, run};
use serde_json::{Value, json};

const SEED: &str = r#"{"today": "2023-03-20", "resources": {
  "company/companies": [{"id": 12, "identifier": "GreenLane", "name": "Green Lane LLC"},
    {"id": 13, "identifier": "Leaves", "name": "Leaves"}],
  "company/contacts": [{"id": 5, "firstName": "Ada", "lastName": "Byron", "company": {"id": 12}}],
  "finance/agreements": [
    {"id": 40, "name": "Cloud", "type": {"name": "Cloud Services"}, "company": {"id": 12}, "contact": {"id": 5},
     "startDate": "2023-01-01T00:00:00Z", "billingCycle": {"id": 2}},
    {"id": 41, "name": "Cloud", "type": {"name": "Managed Services"}, "company": {"id": 12}, "contact": {"id": 5},
     "startDate": "2023-01-01T00:00:00Z", "billingCycle": {"id": 2}}]
}}"#;

#[test]
fn ax_16_ax_17_lists_are_read_anew_and_agreements_of_one_name_differ_by_id_type_and_cycle() {
    let environment = [("TRUEUP_TODAY", "2023-03-20"), ("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1")];
    let Some(service) = Service::start(Backend::Sqlite, &environment) else { return };
    let sandbox = Sandbox::seeded(SEED);
    let person = service.operator();
    person.post(&format!("{ORG}/connections"), &sandbox.connection()).is(201);
    person
        .request("POST", "/api/v1/feed?organization=default&source=shop")
        .body("application/x-ndjson", "{\"type\":\"customer\",\"id\":\"c-1\",\"name\":\"Green Lane\"}\n")
        .send(service.at)
        .is(200);
    let choices = |more: &str| -> Value {
        person.get(&format!("{ORG}/mappings/choices?source=shop&customer=c-1{more}")).is(200).json()
    };
    let ids = || {
        let found = choices("");
        let rows = found["companies"].as_array().unwrap().clone();
        let mut ids: Vec<i64> = rows.iter().filter_map(|row| row["company_id"].as_i64()).collect();
        // The MSP itself is one as well.
        ids.retain(|id| *id != 1);
        ids.sort_unstable();
        (ids, found["read_at"].as_str().unwrap_or_default().to_owned())
    };
    run(&person, &json!({ "kind": "pull" }));
    let (before, read_at) = ids();
    assert_eq!(before, [12, 13]);
    // A company comes, another one is deleted: the next reading shows the one and not the other.
    control(
        &sandbox,
        "seed",
        &json!({ "resources": { "company/companies": [{"id": 14, "identifier": "New", "name": "New"}] } }),
    );
    call(&sandbox, "DELETE", "company/companies/13").is(204);
    assert_eq!(ids().0, [12, 13], "as last read");
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    run(&person, &json!({ "kind": "pull" }));
    let (after, again) = ids();
    assert_eq!(after, [12, 14]);
    assert!(again > read_at, "{read_at} {again}");
    // Two agreements of one name.
    let found = choices("&company=12");
    let of = |id: i64| {
        let rows = found["agreements"].as_array().unwrap();
        rows.iter().find(|row| row["agreement_id"] == id).unwrap_or_else(|| panic!("{found}")).clone()
    };
    assert_eq!(of(40)["name"], of(41)["name"]);
    assert_eq!(
        (&of(40)["agreement_type"], &of(41)["agreement_type"]),
        (&json!("Cloud Services"), &json!("Managed Services"))
    );
    assert_eq!((&of(40)["cycle_every"], &of(40)["cycle_unit"]), (&json!(1), &json!("month")));
}
