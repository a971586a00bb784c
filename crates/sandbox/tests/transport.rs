//! Keys, paths, headers, roles, throttling and faults.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops where it fails")]

mod common;

use std::time::{Duration, Instant};

use common::{World, expect};
use rstest::rstest;
use serde_json::{Value, json};
use trueup_sandbox::SandboxConfig;

#[rstest]
#[case("/v4_6_release/apis/3.0/company/companies", 200)]
#[case("/v2025_1/apis/3.0/company/companies/", 200)]
#[case("/V4_6_RELEASE/APIS/3.0/Company/COMPANIES/count", 200)]
#[case("/v4_6_release/apis/3.0/company/companies/1/", 200)]
#[case("/apis/3.0/company/companies", 404)]
#[case("/vNext/apis/3.0/company/companies", 404)]
#[case("/v4_6_release/apis/4.0/company/companies", 404)]
#[case("/v4_6_release/apis/3.0/company/nothing", 404)]
#[case("/v4_6_release/apis/3.0/company/companies/abc", 404)]
#[case("/", 404)]
fn paths(#[case] path: &str, #[case] status: u16) {
    let world = World::new("2026-03-10");
    let sandbox = Keys::of(&world);
    let reply = world.raw("GET", path, None, &sandbox.headers()).unwrap();
    let body = expect(&reply, status);
    if status == 404 {
        assert_eq!(body, json!({"code": "ConnectWiseApi", "message": "The endpoint does not exist."}));
    } else {
        assert_eq!(reply.header("api-current-version"), Some("2026.4"));
        assert_eq!(reply.header("cache-control"), Some("no-cache"));
        assert!(reply.header("x-cw-request-id").is_some());
    }
}

struct Keys {
    authorization: String,
    client_id: String,
}

impl Keys {
    fn of(world: &World) -> Self {
        Keys { authorization: world.authorization().to_owned(), client_id: world.client_id().to_owned() }
    }

    fn headers(&self) -> Vec<(&str, &str)> {
        vec![("authorization", &self.authorization), ("CLIENTID", &self.client_id)]
    }
}

#[test]
fn keys_and_client_id_are_checked() {
    let world = World::new("2026-03-10");
    let keys = Keys::of(&world);
    let path = "/v4_6_release/apis/3.0/system/members/count";
    let get = |headers: &[(&str, &str)]| world.raw("GET", path, None, headers).unwrap();
    assert_eq!(expect(&get(&keys.headers()), 200)["count"], 1);
    assert_eq!(expect(&get(&[("clientId", &keys.client_id)]), 401)["code"], "Unauthorized");
    assert_eq!(get(&[("Authorization", "Basic bm9wZQ=="), ("clientId", &keys.client_id)]).status, 401);
    assert!(
        expect(&get(&[("Authorization", &keys.authorization)]), 400)["message"]
            .as_str()
            .unwrap()
            .contains("clientId")
    );
    world.control.set_rules(json!({"missing_client_id_status": 403, "bad_auth_status": 404})).unwrap();
    assert_eq!(get(&[("Authorization", &keys.authorization)]).status, 403);
    assert_eq!(get(&[("Authorization", &keys.authorization), ("clientId", "other")]).status, 403);
    assert_eq!(get(&[("clientId", &keys.client_id)]).status, 404);
}

#[test]
fn system_info_may_be_open_and_proves_no_keys() {
    let world = World::new("2026-03-10");
    let get = || world.raw("GET", "/v4_6_release/apis/3.0/system/info", None, &[]).unwrap();
    expect(&get(), 401);
    world.control.set_rules(json!({"open_system_info": true})).unwrap();
    assert_eq!(expect(&get(), 200)["isCloud"], false);
    expect(&world.raw("GET", "/v4_6_release/apis/3.0/system/members", None, &[]).unwrap(), 401);
}

#[test]
fn company_info_needs_no_keys_and_tells_the_codebase() {
    let world = World::new("2026-03-10");
    let get = |path: &str| world.raw("GET", path, None, &[]).unwrap();
    assert_eq!(expect(&get("/login/companyinfo/training"), 200)["Codebase"], "v4_6_release/");
    assert_eq!(expect(&get("/login/companyinfo/other"), 200), Value::Null);
    world.control.set_rules(json!({"codebase": "v2026_4/", "strict_codebase": true})).unwrap();
    assert_eq!(expect(&get("/login/companyinfo/training"), 200)["Codebase"], "v2026_4/");
    expect(&world.get("company/companies"), 404);
}

#[test]
fn the_body_type_follows_the_accept_header() {
    let world = World::new("2026-03-10");
    assert_eq!(world.get("system/info").header("content-type"), Some("application/json; charset=utf-8"));
    let accept = [("Accept", "application/vnd.connectwise.com+json; version=2025.1, application/json")];
    let reply = world.try_call("GET", "system/info", None, &accept).unwrap();
    assert_eq!(reply.header("content-type"), Some("application/vnd.connectwise.com+json; version=2025.1"));
}

#[test]
fn the_date_of_an_answer_and_the_instant_of_a_change_come_from_one_clock() {
    let world = World::new("2026-03-10");
    let agreement = world.agreement("2026-03-01", &json!({}));
    let reply = world.get(&format!("finance/agreements/{agreement}"));
    assert!(reply.header("date").unwrap().starts_with("Tue, 10 Mar 2026 00:00:"), "{reply:?}");
    let changed = reply.json()["_info"]["lastUpdated"].as_str().unwrap().to_owned();
    assert!(changed.starts_with("2026-03-10T00:00:"), "{changed}");
}

#[test]
fn methods_that_are_not_there() {
    let world = World::new("2026-03-10");
    expect(&world.call("PUT", "company/companies", Some(&json!({}))), 405);
    expect(&world.delete("system/members/1"), 405);
    expect(&world.call("POST", "system/info", Some(&json!({}))), 405);
}

#[test]
fn roles_refuse_without_saying_why_and_my_hides() {
    let seed =
        json!({"resources": {"company/companies": [{"id": 50, "identifier": "seeded", "name": "Seeded"}]}});
    let world = World::with(SandboxConfig { seed: Some(seed), ..SandboxConfig::default() });
    let agreement = world.agreement("2026-03-01", &json!({}));
    let none = json!({"add": "All", "edit": "None", "delete": "All", "inquire": "All"});
    world.control.set_roles(json!({"functions": {"Finance/Agreements": none}})).unwrap();
    let path = format!("finance/agreements/{agreement}");
    let body = expect(&world.patch(&path, &json!([])), 403);
    assert_eq!(
        body,
        json!({"code": "Security", "message": "You do not have security permission to perform this action."})
    );
    expect(&world.get(&path), 200);
    let my = json!({"functions": {"Companies/Company Maintenance": {"inquire": "My"}}});
    world.control.set_roles(my).unwrap();
    assert_eq!(world.get("company/companies/count").json()["count"], 1);
    expect(&world.get("company/companies/50"), 404);
    world.control.set_roles(json!({"hidden_agreement_types": ["Cloud Services"]})).unwrap();
    assert_eq!(world.get("finance/agreements").json(), json!([]));
    expect(&world.get(&format!("{path}/additions")), 404);
    world.control.set_roles(json!({"functions": {"System/Table Setup": {"inquire": "None"}}})).unwrap();
    expect(&world.get("finance/billingCycles"), 403);
    expect(&world.get("finance/billingCycles/info"), 200);
    assert!(world.control.set_roles(json!({"functions": {"No/Such": {}}})).is_err());
    let member = expect(&world.get("system/apiMembers"), 200);
    let role = member[0]["securityRole"]["id"].clone();
    let settings = expect(&world.get(&format!("system/securityRoles/{role}/settings")), 200);
    assert!(settings.as_array().unwrap().iter().any(|row| row["inquireLevel"] == "None"));
}

#[test]
fn throttling_answers_429_with_the_key_error() {
    let world = World::new("2026-03-10");
    world.control.set_rate_limit(json!({"per_minute": 2, "window_seconds": 1})).unwrap();
    expect(&world.get("system/info"), 200);
    expect(&world.get("system/info"), 200);
    let refused = world.get("system/info");
    assert_eq!(expect(&refused, 429)["error"], "ConnectWiseAPI");
    assert_eq!(refused.header("retry-after"), Some("1"));
    std::thread::sleep(Duration::from_millis(1100));
    expect(&world.get("system/info"), 200);
    world.control.set_rate_limit(json!({"per_minute": 0, "retry_after": false, "html": true})).unwrap();
    let refused = world.get("system/info");
    assert_eq!(refused.status, 429);
    assert!(refused.header("retry-after").is_none());
    assert!(refused.text.starts_with("<html>"));
    world.control.set_rate_limit(json!({})).unwrap();
    expect(&world.get("system/info"), 200);
}

fn fault(world: &World, action: &Value) {
    let mut entry = json!({"match": {"method": "POST", "path_contains": "companies"}});
    entry.as_object_mut().unwrap().extend(action.as_object().cloned().unwrap());
    world.control.set_faults(json!({"schedule": [entry]})).unwrap();
}

fn new_company(world: &World) -> std::io::Result<common::Reply> {
    world.try_call("POST", "company/companies", Some(&json!({"identifier": "x", "name": "X"})), &[])
}

fn companies(world: &World) -> Value {
    world.get("company/companies/count").json()["count"].clone()
}

#[rstest]
#[case("drop_before", 1)]
#[case("drop_after", 2)]
fn dropped_connections_are_really_closed(#[case] action: &str, #[case] there: i64) {
    let world = World::new("2026-03-10");
    fault(&world, &json!({"action": action}));
    new_company(&world).unwrap_err();
    assert_eq!(companies(&world), there);
    let journal = world.control.journal();
    let entry = &journal[0];
    assert_eq!((&entry["status"], &entry["fault"]), (&json!(0), &json!(action)));
    assert_eq!(entry["executed"], there == 2);
    if there == 1 {
        expect(&new_company(&world).unwrap(), 201);
    }
}

#[test]
fn late_calls_are_carried_out_after_the_connection_closed() {
    let world = World::new("2026-03-10");
    fault(&world, &json!({"action": "late", "delay_ms": 150}));
    new_company(&world).unwrap_err();
    assert_eq!(companies(&world), 1);
    let until = Instant::now() + Duration::from_secs(5);
    while companies(&world) == 1 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(companies(&world), 2);
    assert_eq!(world.control.journal()[0]["executed"], true);
}

#[test]
fn answers_can_break_off_wait_or_be_another() {
    let world = World::new("2026-03-10");
    fault(&world, &json!({"action": "truncate"}));
    new_company(&world).unwrap_err();
    assert_eq!(companies(&world), 2);
    fault(&world, &json!({"action": "status", "status": 429, "retry_after": 3}));
    let reply = new_company(&world).unwrap();
    assert_eq!((reply.status, reply.header("retry-after")), (429, Some("3")));
    fault(&world, &json!({"action": "status", "status": 500}));
    assert!(expect(&new_company(&world).unwrap(), 500)["message"].as_str().unwrap().contains("timeout"));
    fault(&world, &json!({"action": "html"}));
    let reply = new_company(&world).unwrap();
    assert_eq!((reply.status, reply.header("content-type")), (502, Some("text/html")));
    fault(&world, &json!({"action": "slow", "delay_ms": 200}));
    let begun = Instant::now();
    assert_eq!(new_company(&world).unwrap().status, 400);
    assert!(begun.elapsed() >= Duration::from_millis(200));
    world.control.set_faults(json!({})).unwrap();
    assert!(world.control.set_faults(json!({"schedule": [{"action": "explode"}]})).is_err());
}

#[test]
fn a_short_page_misses_rows_and_its_link() {
    let world = World::new("2026-03-10");
    let plan = json!({"schedule": [{"match": {"path_contains": "billingCycles"}, "action": "short_page"}]});
    world.control.set_faults(plan).unwrap();
    let short = world.get("finance/billingCycles?pageSize=4");
    assert_eq!(short.json().as_array().unwrap().len(), 3);
    assert!(short.header("link").is_none());
    assert!(world.get("finance/billingCycles?pageSize=4").header("link").is_some());
}

#[test]
fn the_control_endpoints() {
    let world = World::new("2026-03-10");
    let call = |method: &str, path: &str, body: Option<&str>| world.raw(method, path, body, &[]).unwrap();
    expect(&call("POST", "/sandbox/snapshot", Some(r#"{"name":"empty"}"#)), 200);
    let agreement = world.agreement("2026-03-01", &json!({"billAmount": 5}));
    world.item("M365", "12.10");
    expect(&world.addition(agreement, 1, "2026-03-10", &json!({})), 201);
    expect(&world.invoice(agreement), 201);
    expect(&call("POST", "/sandbox/clock", Some(r#"{"today":"2026-05-01"}"#)), 200);
    expect(&call("POST", "/sandbox/clock", Some(r#"{"today":"May"}"#)), 400);
    let state = expect(&call("GET", "/sandbox/state", None), 200);
    assert_eq!(state["today"], "2026-05-01");
    assert_eq!(state["resources"]["finance/agreements/{id}/additions"]["1"][0]["unitPrice"], 12.1);
    assert_eq!(state["invoices"][0]["lines"].as_array().unwrap().len(), 2);
    assert_eq!(expect(&call("GET", "/sandbox/invoices", None), 200)[0]["agreement_id"], 1);
    let summary = expect(&call("GET", "/sandbox/journal/summary", None), 200);
    assert_eq!(summary["calls"]["POST finance/agreements/{id}/additions"], 1);
    expect(&call("DELETE", "/sandbox/journal", None), 200);
    assert_eq!(expect(&call("GET", "/sandbox/journal", None), 200), json!([]));
    expect(&call("POST", "/sandbox/latency", Some(r#"{"ms":120}"#)), 200);
    let begun = Instant::now();
    expect(&world.get("system/info"), 200);
    assert!(begun.elapsed() >= Duration::from_millis(120));
    expect(&call("POST", "/sandbox/latency", Some("{}")), 400);
    assert_eq!(
        expect(&call("POST", "/sandbox/rules", Some(r#"{"trims_text":true}"#)), 200)["trims_text"],
        true
    );
    expect(&call("POST", "/sandbox/restore", Some(r#"{"name":"empty"}"#)), 200);
    expect(&call("POST", "/sandbox/restore", Some(r#"{"name":"none"}"#)), 400);
    expect(&call("POST", "/sandbox/reset", None), 200);
    assert_eq!(world.get("finance/agreements/count").json()["count"], 0);
    expect(&call("GET", "/sandbox/nothing", None), 404);
}

#[test]
fn a_state_is_a_seed() {
    let world = World::new("2026-03-10");
    let agreement = world.agreement("2026-03-01", &json!({}));
    world.item("M365", "12.10");
    expect(&world.addition(agreement, 1, "2026-03-10", &json!({"quantity": 2.5})), 201);
    let mut state = world.control.state();
    let other = World::with(SandboxConfig { seed: Some(state.clone()), ..SandboxConfig::default() });
    let mut again = other.control.state();
    let base = |state: &Value| state["resources"]["system/locations"][0]["_info"].clone();
    assert_eq!(base(&state).is_object(), base(&again).is_object());
    for side in [&mut state, &mut again] {
        strip_info(side);
    }
    assert_eq!(state, again);
}

/// Links name the port, and times pass.
fn strip_info(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for name in ["_info", "mobileGuid", "dateCreated"] {
                members.remove(name);
            }
            members.values_mut().for_each(strip_info);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_info),
        _ => {}
    }
}

#[rstest]
#[case(json!({"resources": {"no/such": []}}))]
#[case(json!({"resources": {"company/companies": [{"name": "no identifier"}]}}))]
#[case(json!({"resources": {"finance/agreements/{id}/additions": {"7": [{"product": {"id": 1}}]}}}))]
#[case(json!({"resources": []}))]
fn wrong_seeds_say_what_is_wrong(#[case] seed: Value) {
    let world = World::new("2026-03-10");
    let error = world.control.load(&seed).unwrap_err().to_string();
    assert!(error.starts_with("the seed could not be loaded: "), "{error}");
}
