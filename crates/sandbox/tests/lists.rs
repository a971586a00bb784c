//! Paging, conditions, order and projection, over HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops where it fails")]

mod common;

use common::{World, expect};
use rstest::rstest;
use serde_json::{Value, json};
use trueup_sandbox::SandboxConfig;

/// Six companies with what the conditions below look for.
fn world() -> World {
    let seed = json!({
        "today": "2026-03-10",
        "resources": {
            "system/userDefinedFields": [
                {"id": 5, "podId": 1, "caption": "Tier", "sequenceNumber": 1, "fieldTypeIdentifier": "Text", "screenId": "company"},
            ],
            "company/companies": [
                {"id": 11, "identifier": "alpha", "name": "Alpha Firewall Ltd", "annualRevenue": 10.5, "city": "Rome",
                 "_info": {"lastUpdated": "2025-01-01T00:00:00Z"}, "types": [{"id": 1}],
                 "customFields": [{"id": 5, "value": "Gold"}]},
                {"id": 12, "identifier": "beta", "name": "Beta \"Q\" Inc", "annualRevenue": 200, "leadFlag": true,
                 "_info": {"lastUpdated": "2025-06-01T00:00:00Z"}, "types": [{"id": 1}, {"id": 2}]},
                {"id": 13, "identifier": "gamma", "name": "Gamma's", "status": {"name": "Inactive"},
                 "customFields": [{"id": 5, "value": "Silver"}]},
                {"id": 14, "identifier": "delta", "name": "[Delta] 100%", "dateAcquired": "2020-02-02T00:00:00Z"},
            ],
            "company/contacts": [
                {"id": 1, "firstName": "John", "lastName": "X", "company": {"id": 11},
                 "communicationItems": [{"type": {"id": 1}, "value": "john@x.com", "communicationType": "Email"},
                                        {"type": {"id": 2}, "value": "555", "communicationType": "Phone"}]},
            ],
        },
    });
    World::with(SandboxConfig { seed: Some(seed), ..SandboxConfig::default() })
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn ids(body: &Value) -> Vec<i64> {
    body.as_array().unwrap().iter().map(|record| record["id"].as_i64().unwrap()).collect()
}

#[rstest]
#[case("identifier = \"ALPHA\"", &[11])]
#[case("identifier = 'alpha'", &[11])]
#[case("IDENTIFIER != \"alpha\" and id > 10", &[12, 13, 14])]
#[case("name contains \"firewall\"", &[11])]
#[case("name like \"*firewall*\"", &[11])]
#[case("name like '%Ltd'", &[11])]
#[case("name not like '%Ltd' and id > 11", &[12, 13, 14])]
#[case("name not contains 'a' ", &[])]
#[case("name like \"[[]Delta*\"", &[14])]
#[case("name = \"Beta \\\"Q\\\" Inc\"", &[12])]
#[case("name = \"Gamma's\"", &[13])]
#[case("id in (11, 13,99)", &[11, 13])]
#[case("identifier in (\"beta\",'delta')", &[12, 14])]
#[case("id not in (11,12) and id >= 11", &[13, 14])]
#[case("annualRevenue > 10.4", &[11, 12])]
#[case("annualRevenue >= 10.5 and annualRevenue <= 199.99", &[11])]
#[case("annualRevenue < 11", &[11])]
#[case("annualRevenue = null and id > 2", &[13, 14])]
#[case("annualRevenue != NULL", &[11, 12])]
#[case("not annualRevenue > 100", &[11])]
#[case("leadFlag = True", &[12])]
#[case("leadFlag=false AND id>10", &[11, 13, 14])]
#[case("dateAcquired < [2021-01-01T00:00:00Z]", &[14])]
#[case("dateAcquired = [2020-02-02]", &[14])]
#[case("lastUpdated >= [2025-05-01T00:00:00Z] and lastUpdated < [2025-07-01]", &[12])]
#[case("_info/lastUpdated = [2025-01-01T00:00:00Z]", &[11])]
#[case("status/name = \"Inactive\"", &[13])]
#[case("status/id = 2", &[13])]
#[case("currency/currencyIdentifier = 'USD' and id = 12", &[12])]
#[case("(id = 11 or id = 12) and not (id = 12)", &[11])]
#[case("id = 11 or id = 12 and id = 99", &[11])]
#[case("((((id = 14))))", &[14])]
#[case("deletedFlag = false and id > 13", &[14])]
fn conditions_choose(#[case] condition: &str, #[case] wanted: &[i64]) {
    let world = world();
    let path = format!("company/companies?conditions={}", escaped(condition));
    assert_eq!(ids(&expect(&world.get(&path), 200)), wanted, "{condition}");
    let count = format!("company/companies/COUNT/?Conditions={}", escaped(condition));
    assert_eq!(expect(&world.get(&count), 200)["count"], wanted.len());
}

#[rstest]
#[case("nonsense = 1", "nonsense")]
#[case("status/colour = 1", "status/colour")]
#[case("types/id = 1", "types/id")]
#[case("id =", "conditions")]
#[case("id == 1", "conditions")]
#[case("id = 1 and", "conditions")]
#[case("name = \"open", "conditions")]
#[case("dateAcquired > [soon]", "conditions")]
#[case("(id = 1", "conditions")]
#[case("id in ()", "conditions")]
#[case("; drop", "conditions")]
fn wrong_conditions_are_a_400(#[case] condition: &str, #[case] field: &str) {
    let world = world();
    let body = expect(&world.get(&format!("company/companies?conditions={}", escaped(condition))), 400);
    assert_eq!(body["errors"][0]["field"], field, "{body}");
}

#[test]
fn deep_nesting_is_refused_and_not_followed() {
    let world = world();
    world.control.set_rules(json!({"longest_url": null})).unwrap();
    let condition = format!("{}id=1{}", "(".repeat(2000), ")".repeat(2000));
    expect(&world.get(&format!("company/companies?conditions={condition}")), 400);
}

#[rstest]
#[case("company/contacts", "childConditions", "communicationItems/value like \"john@x.com\" AND communicationItems/communicationType=\"Email\"", &[1])]
#[case("company/contacts", "childConditions", "communicationItems/value = \"555\" AND communicationItems/communicationType=\"Email\"", &[])]
#[case("company/companies", "childconditions", "types/id=2", &[12])]
#[case("company/companies", "childConditions", "types/name=\"Customer\"", &[11, 12])]
#[case("company/companies", "customFieldConditions", "caption=\"Tier\" AND value != null", &[11, 13])]
#[case("company/companies", "customFieldConditions", "caption=\"Tier\" AND value = \"Gold\"", &[11])]
fn child_and_custom_field_conditions(
    #[case] path: &str,
    #[case] parameter: &str,
    #[case] condition: &str,
    #[case] wanted: &[i64],
) {
    let world = world();
    let path = format!("{path}?{parameter}={}", escaped(condition));
    assert_eq!(ids(&expect(&world.get(&path), 200)), wanted);
}

#[rstest]
#[case("company/contacts", "childConditions", "communicationItems/value in (\"john@x.com\")")]
#[case("company/companies", "customFieldConditions", "caption=\"Tier\" and not (value in (\"Gold\"))")]
fn lists_are_for_plain_conditions_alone(
    #[case] path: &str,
    #[case] parameter: &str,
    #[case] condition: &str,
) {
    let body = expect(&world().get(&format!("{path}?{parameter}={}", escaped(condition))), 400);
    assert_eq!(body["errors"][0]["field"], parameter);
}

#[test]
fn addresses_have_2000_characters_at_most() {
    let world = world();
    let path = |ids: usize| {
        let ids: Vec<String> = (0..ids).map(|id| (id + 100_000).to_string()).collect();
        format!("company/companies?conditions={}", escaped(&format!("id in ({})", ids.join(","))))
    };
    expect(&world.get(&path(60)), 200);
    expect(&world.get(&path(120)), 414);
    world.control.set_rules(json!({"longest_url": null})).unwrap();
    expect(&world.get(&path(120)), 200);
}

#[test]
fn numbered_pages_link_to_their_neighbours() {
    let world = world();
    let first = world.get("company/companies?pageSize=2&conditions=id%20in%20(11,12,13,14,1)");
    let link = first.header("link").unwrap().to_owned();
    let base = link[1..].split("?").next().unwrap().to_owned();
    assert!(base.ends_with("/v4_6_release/apis/3.0/company/companies/"), "{link}");
    let address =
        |page: u32| format!("<{base}?pageSize=2&conditions=id+in+(11%2c12%2c13%2c14%2c1)&page={page}>");
    assert_eq!(
        link,
        format!("{}; rel=\"next\", {}; rel=\"first\", {}; rel=\"last\"", address(2), address(1), address(3))
    );
    let last = world.get("company/companies?pageSize=2&page=3&conditions=id%20in%20(11,12,13,14,1)");
    assert!(!last.header("link").unwrap().contains("rel=\"next\""));
    assert!(last.header("link").unwrap().contains("page=2>; rel=\"prev\""));
    assert_eq!(ids(&last.json()), [14]);
    assert_eq!(world.get("company/companies?pageSize=2&page=9").json(), json!([]));
    assert!(world.get("company/companies").header("link").is_none());
}

#[test]
fn forward_only_pages_go_by_id_and_always_have_a_link() {
    let world = world();
    let forward = [("pagination-type", "forward-only")];
    let mut seen = Vec::new();
    let mut after = 0;
    loop {
        let path = format!("company/companies?pageSize=2&pageId={after}&page=7");
        let page = world.try_call("GET", &path, None, &forward).unwrap();
        let found = ids(&expect(&page, 200));
        after = *found.last().unwrap();
        seen.extend(found);
        let link = page.header("link").expect("always there");
        if link.is_empty() {
            break;
        }
        assert!(link.ends_with(&format!("?pageSize=2&pageId={after}>; rel=\"next\"")), "{link}");
    }
    assert_eq!(seen, [1, 11, 12, 13, 14]);
    let ordered = world.try_call("GET", "company/companies?orderBy=name", None, &forward).unwrap();
    expect(&ordered, 400);
}

#[test]
fn pages_are_25_long_and_at_most_1000() {
    let world = World::new("2026-03-10");
    let many: Vec<Value> =
        (0..1100).map(|n| json!({"identifier": format!("c{n}"), "name": format!("Company {n}")})).collect();
    world.control.load(&json!({"resources": {"company/companies": many}})).unwrap();
    assert_eq!(ids(&world.get("company/companies").json()).len(), 25);
    assert_eq!(ids(&world.get("company/companies?pagesize=5000&fields=id").json()).len(), 1000);
    expect(&world.get("company/companies?pageSize=many"), 400);
}

#[test]
fn order_and_fields() {
    let world = world();
    let path = "company/companies?orderBy=name%20desc&conditions=id%3E10&fields=id,status/name";
    let body = expect(&world.get(path), 200);
    assert_eq!(ids(&body), [13, 12, 11, 14]);
    assert_eq!(body[0], json!({"id": 13, "status": {"name": "Inactive"}}));
    let one = expect(&world.get("company/companies/11?fields=Name,_info/lastUpdated"), 200);
    assert_eq!(one, json!({"name": "Alpha Firewall Ltd", "_info": {"lastUpdated": "2025-01-01T00:00:00Z"}}));
    expect(&world.get("company/companies?orderBy=nonsense"), 400);
}

#[test]
fn info_twins_show_few_fields() {
    let world = world();
    let body = expect(&world.get("finance/billingCycles/info?conditions=id=2"), 200);
    assert_eq!(body[0]["name"], "Monthly");
    assert!(body[0].get("billingOptions").is_none());
    assert_eq!(expect(&world.get("finance/billingCycles/info/count"), 200)["count"], 8);
    expect(&world.get("finance/billingCycles/2/info"), 200);
    expect(&world.get("finance/agreements/info"), 404);
}
