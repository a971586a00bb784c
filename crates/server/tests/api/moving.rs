//! Moving organizations in the tree, and whom a setting reaches: what changes is told first, and exactly that is done.

use crate::bench::{Backend, Person, Service};
use crate::sandbox::{ORG, Sandbox};
use rstest::rstest;
use serde_json::{Value, json};

fn path(org: &str) -> String {
    format!("/api/v1/organizations/{org}/move")
}

fn set(person: &Person<'_>, org: &str, key: &str, value: &str) {
    person.put(&format!("/api/v1/organizations/{org}/settings/{key}"), &json!({ "value": value })).is(200);
}

fn setting(person: &Person<'_>, org: &str, key: &str) -> (String, String) {
    let all = person.get(&format!("/api/v1/organizations/{org}/settings")).is(200).json();
    let found = all["items"].as_array().unwrap().iter().find(|one| one["key"] == key).unwrap();
    (found["value"].as_str().unwrap().to_owned(), found["from"].as_str().unwrap().to_owned())
}

/// Two partners below the first organization; a customer of the first with a site.
fn tree(operator: &Person<'_>) {
    for (id, parent) in [("north", "default"), ("south", "default"), ("clinic", "north"), ("ward", "clinic")]
    {
        operator.organization(id, Some(parent));
    }
}

#[rstest]
fn ax_11_a_move_is_told_first_and_done_exactly_so(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(service) = Service::start(backend, &[]) else { return };
    let operator = service.operator();
    tree(&operator);
    operator.colleague("north", "billing");
    set(&operator, "default", "schedule.quantity", "daily 03:00");
    set(&operator, "north", "credits", "on");
    set(&operator, "south", "schedule.quantity", "monthly 5 04:00");
    // It writes by schedule, so it waits for somebody after the move.
    set(&operator, "ward", "schedule.sync", "hourly");

    let told = operator.get(&format!("{}?parent=south", path("clinic"))).is(200).json();
    assert_eq!(told["former"], "north");
    assert_eq!(told["organizations"], json!({ "count": 2, "first": ["clinic", "ward"] }));
    let changes: Vec<(&str, &str, &str, &str, i64)> = told["settings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let text = |side: &str, name: &str| one[side][name].as_str().unwrap();
            let count = one["organizations"]["count"].as_i64().unwrap();
            (
                one["key"].as_str().unwrap(),
                text("before", "value"),
                text("after", "value"),
                text("after", "from"),
                count,
            )
        })
        .collect();
    let wanted = [
        ("credits", "on", "off", "default", 2),
        ("schedule.quantity", "daily 03:00", "monthly 5 04:00", "organization:south", 2),
    ];
    assert_eq!(changes, wanted);
    assert_eq!(told["people"], json!({ "lost": 1, "gained": 0 }));
    assert_eq!(told["pauses"], json!([{ "organization": "ward", "schedule": "sync" }]));
    assert_eq!(told["obstacles"], json!([]));
    assert_eq!(setting(&operator, "ward", "credits").0, "on", "asking changes nothing");

    // What was shown is not so any more.
    set(&operator, "south", "margin_floor_percent", "5");
    let wish = json!({ "parent": "south", "token": told["token"] });
    let refused = operator.post(&path("clinic"), &wish);
    assert!(refused.text().contains("not what was shown"), "{}", refused.text());
    assert_eq!(refused.problem(409), "conflict");
    let told = operator.get(&format!("{}?parent=south", path("clinic"))).is(200).json();
    assert_eq!(told["settings"].as_array().unwrap().len(), 3);
    let wish = json!({ "parent": "south", "token": told["token"] });
    operator.post(&path("clinic"), &wish).is(200);
    let shown = operator.get("/api/v1/organizations/clinic").is(200).json();
    assert_eq!(shown["parent"], "south");
    assert_eq!(setting(&operator, "ward", "credits"), ("off".into(), "default".into()));
    assert_eq!(setting(&operator, "ward", "margin_floor_percent"), ("5".into(), "organization:south".into()));
    let schedules = operator.get("/api/v1/organizations/ward/schedules").is(200).json();
    let sync = schedules["items"].as_array().unwrap().iter().find(|one| one["kind"] == "sync").unwrap();
    assert_eq!(sync["paused"], true);
    for org in ["clinic", "north", "south"] {
        let audit = operator.get(&format!("/api/v1/organizations/{org}/audit?action=organization.move"));
        assert_eq!(audit.is(200).json()["items"][0]["object"], "organization/clinic", "{org}");
    }
}

#[rstest]
fn nothing_is_placed_below_itself_out_of_reach_or_by_those_within(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(service) = Service::start(backend, &[]) else { return };
    let operator = service.operator();
    tree(&operator);
    let of =
        |person: &Person<'_>, org: &str, parent: &str| person.get(&format!("{}?parent={parent}", path(org)));
    assert_eq!(of(&operator, "north", "ward").problem(409), "conflict");
    assert_eq!(of(&operator, "north", "north").problem(409), "conflict");
    assert_eq!(of(&operator, "clinic", "north").problem(409), "conflict");
    assert_eq!(of(&operator, "clinic", "nowhere").problem(404), "not-found");
    let blind = json!({ "parent": "ward", "token": "0" });
    assert_eq!(operator.post(&path("north"), &blind).problem(409), "conflict");
    operator.get(&path("clinic")).is(200);

    let admin = operator.colleague("north", "admin");
    set(&operator, "default", "credits", "on");
    assert_eq!(of(&admin, "north", "clinic").problem(409), "conflict", "its own organization");
    assert_eq!(of(&admin, "clinic", "south").problem(404), "not-found", "not within reach");
    assert_eq!(admin.get(&path("clinic")).problem(422), "invalid", "the top is for operators");
    set(&operator, "clinic", "credits", "off");
    let told = of(&admin, "ward", "north").is(200).json();
    // What stands above the own organization is not named.
    assert_eq!(told["settings"][0]["after"], json!({ "value": "on", "from": "organization:above" }));
}

#[rstest]
fn what_is_mapped_in_one_connectwise_is_not_moved_out_of_it(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let environment = [("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1")];
    let Some(service) = Service::start(backend, &environment) else { return };
    let operator = service.operator();
    tree(&operator);
    let sandbox = Sandbox::start();
    operator.post(&format!("{ORG}/connections"), &sandbox.connection()).is(201);
    let rows = "kind,source_id,psa_id\ncustomer,c-1,12\n";
    let import = operator.request("POST", "/api/v1/organizations/ward/mappings/import?source=shop");
    import.body("text/csv", rows).send(service.at).is(200);
    // Within the reach of the same connection it may go anywhere.
    let near = operator.get(&format!("{}?parent=south", path("clinic"))).is(200).json();
    assert_eq!((&near["companies"], &near["obstacles"]), (&json!([]), &json!([])));
    let told = operator.get(&path("clinic")).is(200).json();
    let after: Vec<(&str, &Value, i64)> = told["companies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["organization"].as_str().unwrap(), &one["after"], one["mappings"].as_i64().unwrap()))
        .collect();
    assert_eq!(after, [("clinic", &Value::Null, 0), ("ward", &Value::Null, 1)]);
    let obstacles = told["obstacles"].as_array().unwrap();
    assert!(obstacles.len() == 1 && obstacles[0].as_str().unwrap().contains("ward has 1 mappings"), "{told}");
    let wish = json!({ "token": told["token"] });
    assert_eq!(operator.post(&path("clinic"), &wish).problem(409), "conflict");
}

#[rstest]
fn ax_09_whom_a_setting_reaches_is_counted_before_it_is_saved(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(service) = Service::start(backend, &[]) else { return };
    let operator = service.operator();
    tree(&operator);
    set(&operator, "clinic", "schedule.quantity", "off");
    let told = operator.get(&format!("{ORG}/settings/schedule.quantity/reach")).is(200).json();
    assert_eq!(told["inherit"], json!({ "count": 2, "first": ["north", "south"] }));
    assert_eq!(told["own"], json!([{ "organization": "clinic", "value": "off" }]));
    assert_eq!((&told["own_count"], &told["apart"]), (&json!(1), &json!(1)));
    set(&operator, "default", "schedule.quantity", "monthly 15 06:30");
    for (org, value) in [("north", "monthly 15 06:30"), ("south", "monthly 15 06:30"), ("ward", "off")] {
        assert_eq!(setting(&operator, org, "schedule.quantity").0, value, "{org}");
    }
    assert_eq!(operator.get(&format!("{ORG}/settings/nothing/reach")).problem(404), "not-found");
}
