//! Organizations see nothing of each other, and roles do what the table says: walked route by route from the served
//! document, so that a new route is walked without being named here.

use crate::bench::{Backend, Person, Service};
use crate::http::Answer;
use crate::work::{FEED, ORG, Sandbox, run};
use rstest::rstest;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// (method, path, right): every operation of the document that works in an organization of its path.
fn operations(service: &Service) -> Vec<(String, String, Option<String>)> {
    let document = service.get("/api/v1/openapi.json").is(200).json();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let words = operation["description"].as_str().unwrap_or_default();
            let right = words.split("Needs the right `").nth(1).and_then(|rest| rest.split('`').next());
            all.push((method.to_uppercase(), path.clone(), right.map(str::to_owned)));
        }
    }
    assert!(all.len() > 10, "the document is nearly empty");
    all
}

fn filled(path: &str, org: &str, rest: &str) -> String {
    path.split('/')
        .map(|part| match part {
            "{org}" => org,
            _ if part.starts_with('{') => rest,
            _ => part,
        })
        .collect::<Vec<_>>()
        .join("/")
}

fn ask(person: &Person<'_>, method: &str, path: &str) -> Answer {
    person.request(method, path).json(&json!({})).send(person.service.at)
}

#[rstest]
fn a_foreign_organization_is_answered_like_one_that_does_not_exist(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(service) = Service::start(backend, &[]) else { return };
    let operator = service.operator();
    for (id, parent) in [("north", None), ("south", None), ("north-shop", Some("north"))] {
        operator.organization(id, parent);
    }
    let admin = operator.colleague("north", "admin");
    let mut walked = 0;
    for (method, path, right) in operations(&service) {
        if right.is_none() || !(path.contains("{org}") || path.ends_with("/feed")) {
            continue;
        }
        walked += 1;
        let at = |org: &str| {
            let path = filled(&path, org, "1");
            if path.ends_with("/feed") { format!("{path}?organization={org}") } else { path }
        };
        let foreign = ask(&admin, &method, &at("south"));
        let unknown = ask(&admin, &method, &at("nobody"));
        assert_eq!(foreign.problem(404), "not-found", "{method} {path}");
        assert_eq!(unknown.problem(404), "not-found", "{method} {path}");
        assert_eq!(
            foreign.text().replace("south", "ORG"),
            unknown.text().replace("nobody", "ORG"),
            "{method} {path}: the two answers differ"
        );
        let parent_of_own = ask(&admin, &method, &at("default"));
        assert_eq!(parent_of_own.problem(404), "not-found", "{method} {path}");
        // Below the own organization the role holds.
        assert_ne!(ask(&admin, &method, &at("north-shop")).status, 403, "{method} {path}");
        // A thing of another organization under the own path is unknown as well.
        if path.matches('{').count() > 1 && method == "GET" {
            assert_eq!(ask(&admin, &method, &filled(&path, "north", "of-another")).status, 404, "{path}");
        }
    }
    assert!(walked > 8, "{walked} routes walked");
    let seen = admin.get("/api/v1/organizations").is(200).json();
    let ids: Vec<&str> = seen["items"].as_array().unwrap().iter().filter_map(|o| o["id"].as_str()).collect();
    assert_eq!(ids, ["north", "north-shop"]);
    let under_foreign = json!({ "id": "x", "parent": "south" });
    assert_eq!(admin.post("/api/v1/organizations", &under_foreign).problem(404), "not-found");
    assert_eq!(admin.post("/api/v1/organizations", &json!({ "id": "x" })).problem(422), "invalid");
}

#[rstest]
fn every_role_does_what_the_table_says_and_refusals_are_audited(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(service) = Service::start(backend, &[]) else { return };
    let operator = service.operator();
    operator.organization("north", None);
    let table =
        std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/roles.md"))
            .unwrap();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .filter(|l| l.starts_with("| `"))
        .map(|l| l.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let header: Vec<&str> = table
        .lines()
        .find(|l| l.starts_with("| right"))
        .unwrap()
        .trim_matches('|')
        .split('|')
        .map(str::trim)
        .collect();
    for role in ["admin", "partner_operator", "billing", "read_only"] {
        let person = operator.colleague("north", role);
        let column = header.iter().position(|h| *h == role).unwrap();
        let mut refused = 0;
        for (method, path, right) in operations(&service) {
            let Some(right) = right else { continue };
            let row = rows
                .iter()
                .find(|r| r[0] == format!("`{right}`"))
                .unwrap_or_else(|| panic!("{right} is not in docs/roles.md"));
            let may = row[column] == "yes";
            let path = filled(&path, "north", "1");
            // The stream of a run that is not there, and routes that would write, end at once with another answer.
            let answer = ask(&person, &method, &path);
            assert_eq!(
                answer.status == 403,
                !may,
                "{role} {method} {path}: {} {}",
                answer.status,
                answer.text()
            );
            if !may {
                assert_eq!(answer.problem(403), "forbidden");
                refused += 1;
            }
        }
        let audit = service_audit(&operator, role);
        assert_eq!(audit, refused, "{role}: every refusal has its entry");
    }
}

fn service_audit(operator: &Person<'_>, role: &str) -> usize {
    let mut count = 0;
    let mut path = "/api/v1/organizations/north/audit?limit=200&action=access.denied".to_owned();
    loop {
        let page = operator.get(&path).is(200).json();
        let actor = format!("{role}@north.example.com");
        count += page["items"].as_array().unwrap().iter().filter(|e| e["actor"] == actor.as_str()).count();
        match page["next_cursor"].as_str() {
            Some(cursor) => {
                path = format!(
                    "/api/v1/organizations/north/audit?limit=200&action=access.denied&cursor={cursor}"
                )
            }
            None => return count,
        }
    }
}

#[rstest]
fn settings_show_their_level_and_are_audited(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let Some(service) = Service::start(backend, &[]) else { return };
    let operator = service.operator();
    operator.organization("north", None);
    operator.organization("shop", Some("north"));
    let admin = operator.colleague("shop", "admin");
    let path = |org: &str, key: &str| format!("/api/v1/organizations/{org}/settings/{key}");
    operator.put(&path("north", "credits"), &json!({ "value": "on" })).is(200);
    let shown = |person: &Person<'_>| {
        let all = person.get("/api/v1/organizations/shop/settings").is(200).json();
        let found = all["items"].as_array().unwrap().iter().find(|s| s["key"] == "credits").unwrap().clone();
        (found["value"].as_str().unwrap().to_owned(), found["from"].as_str().unwrap().to_owned())
    };
    assert_eq!(shown(&operator), ("on".into(), "organization:north".into()));
    assert_eq!(shown(&admin), ("on".into(), "organization:above".into()), "what stands above is not named");
    admin.put(&path("shop", "credits"), &json!({ "value": "off" })).is(200);
    assert_eq!(shown(&admin), ("off".into(), "organization:shop".into()));
    let whole = |person: &Person<'_>, org: &str| {
        let all = person.get(&format!("/api/v1/organizations/{org}/settings")).is(200).json();
        all["items"].as_array().unwrap().iter().find(|s| s["key"] == "credits").unwrap().clone()
    };
    let credits = whole(&admin, "shop");
    assert_eq!(
        (&credits["kind"], &credits["choices"]),
        (&json!("choice"), &json!(["off", "on"])),
        "{credits}"
    );
    assert_eq!(credits["inherited"], json!({ "value": "on", "from": "organization:above" }));
    assert_eq!(whole(&operator, "shop")["inherited"]["from"], "organization:north");
    assert_eq!(whole(&operator, "north")["inherited"], json!({ "value": "off", "from": "default" }));
    assert_eq!(whole(&operator, "default")["inherited"], json!(null), "it has no value of its own");
    assert_eq!(admin.put(&path("shop", "credits"), &json!({ "value": "maybe" })).problem(422), "invalid");
    assert_eq!(admin.put(&path("shop", "nothing"), &json!({ "value": "on" })).problem(404), "not-found");
    admin.delete(&path("shop", "credits")).is(200);
    assert_eq!(shown(&admin).0, "on");
}

/// Of two who read the same value, the second is told instead of replacing what the first has set.
#[rstest]
fn a_setting_that_was_changed_since_it_was_read_is_not_replaced(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(service) = Service::start(backend, &[]) else { return };
    let operator = service.operator();
    operator.organization("north", None);
    operator.organization("shop", Some("north"));
    let path = |org: &str| format!("/api/v1/organizations/{org}/settings/credits");
    let read = || {
        let all = operator.get("/api/v1/organizations/shop/settings").is(200).json();
        let found = all["items"].as_array().unwrap().iter().find(|s| s["key"] == "credits").unwrap().clone();
        (found["value"].as_str().unwrap().to_owned(), found["version"].as_str().unwrap().to_owned())
    };
    let send = |method: &str, version: &str, body: &Value| {
        let request = operator.request(method, &path("shop")).header("if-match", version);
        request.json(body).send(service.at)
    };
    let (on, off) = (json!({ "value": "on" }), json!({ "value": "off" }));
    let tag = |version: &str| format!("\"{version}\"");

    let (_, first) = read();
    let saved = send("PUT", &tag(&first), &on).is(200);
    let (value, second) = read();
    assert_eq!((value.as_str(), saved.header("etag")), ("on", Some(tag(&second).as_str())));
    assert_eq!(saved.json()["version"], second.as_str());
    // Whoever read it before is told, and nothing is changed or told to the audit.
    let entries =
        || operator.get("/api/v1/organizations/shop/audit?object=setting/").is(200).json()["items"].clone();
    let before = entries();
    for (method, body) in [("PUT", &off), ("DELETE", &json!({}))] {
        let refused = send(method, &tag(&first), body);
        assert_eq!(refused.problem(412), "changed-meanwhile");
        assert!(refused.text().contains("by now it is `on`"), "{}", refused.text());
        assert_eq!((read().0.as_str(), entries()), ("on", before.clone()));
    }
    // No tag, and one without its quotation marks, is none of its versions.
    assert_eq!(send("PUT", "W/\"1\"", &off).problem(412), "changed-meanwhile");
    assert_eq!(send("PUT", &second, &off).problem(412), "changed-meanwhile");
    // One of several, any, and none at all.
    send("PUT", &format!("{}, {}", tag(&first), tag(&second)), &off).is(200);
    send("PUT", "*", &on).is(200);
    operator.put(&path("shop"), &off).is(200);
    // What is inherited counts as well: its level above was changed.
    send("DELETE", &tag(&read().1), &json!({})).is(200);
    let (_, inherited) = read();
    operator.put(&path("north"), &on).is(200);
    assert_eq!(send("PUT", &tag(&inherited), &off).problem(412), "changed-meanwhile");
    assert_eq!(read().0, "on");
}

/// Whose an organization is, is known above and not in its own audit.
#[rstest]
fn an_audit_does_not_name_the_level_above(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let Some(service) = Service::start(backend, &[]) else { return };
    let operator = service.operator();
    operator.organization("secret-distributor", None);
    operator.organization("shop", Some("secret-distributor"));
    let admin = operator.colleague("shop", "admin");
    let own = admin.get("/api/v1/organizations/shop/audit?action=organization.").is(200).json();
    assert_eq!(own["items"][0]["detail"]["id"], "shop", "{own}");
    let all = admin.get("/api/v1/organizations/shop/audit").is(200).text();
    assert!(!all.contains("secret-distributor"), "{all}");
    let path = "/api/v1/organizations/secret-distributor/audit?object=organization/shop";
    let above = operator.get(path).is(200).json();
    assert_eq!(above["items"][0]["detail"]["parent"], "secret-distributor", "{above}");
}

#[rstest]
fn nobody_stands_below_what_is_less(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let Some(service) = Service::start(backend, &[]) else { return };
    let operator = service.operator();
    let add = |body: &Value| operator.post("/api/v1/organizations", body);
    add(&json!({ "id": "shop", "kind": "customer" })).is(201);
    assert_eq!(add(&json!({ "id": "till", "parent": "shop" })).is(201).json()["kind"], "site");
    for (kind, parent) in [("operator", "shop"), ("partner", "shop"), ("customer", "till")] {
        let answer = add(&json!({ "id": "odd", "kind": kind, "parent": parent }));
        assert_eq!(answer.problem(422), "invalid", "{kind} below {parent}");
        assert!(answer.text().contains("cannot stand below"), "{}", answer.text());
    }
    assert_eq!(add(&json!({ "id": "reseller" })).is(201).json()["kind"], "partner");
    let move_ = operator.get("/api/v1/organizations/reseller/move?parent=shop");
    assert!(move_.status >= 400 && move_.text().contains("cannot stand below"), "{}", move_.text());
}

/// One of each thing that has an address, in the default organization: by the word of the path.
fn one_of_each(person: &Person<'_>) -> BTreeMap<&'static str, String> {
    let sandbox = Sandbox::start();
    person.post(&format!("{ORG}/connections"), &sandbox.connection()).is(201);
    let feed = person
        .request("POST", "/api/v1/feed?organization=default&source=shop")
        .body("application/x-ndjson", FEED);
    feed.send(person.service.at).is(200);
    run(person, &json!({ "kind": "check" }));
    for (kind, id, number) in [("customer", "c-100", 12), ("product", "exo-p1", 7)] {
        let body = json!({ "kind": kind, "source": "shop", "source_id": id, "psa_id": number });
        person.put(&format!("{ORG}/mappings"), &body).is(200);
    }
    run(person, &json!({ "kind": "check" }));
    run(person, &json!({ "kind": "pull" }));
    let plan = person.post(&format!("{ORG}/plans"), &json!({})).is(201).json();
    let applied = run(person, &json!({ "kind": "apply", "plan_id": plan["plan_id"] }));
    let made = |path: &str, body: &Value| person.post(&format!("{ORG}/{path}"), body).is(201).json();
    let user = made("users", &json!({ "email": "of@default.example", "role": "read_only" }));
    let token = made("tokens", &json!({ "name": "theirs", "rights": ["records.read"] }));
    let hook = made("webhooks", &json!({ "name": "theirs", "url": "https://hook.example.com/" }));
    let first = |path: &str| person.get(&format!("{ORG}/{path}")).is(200).json()["items"][0].clone();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let all = [
        ("task", text(&first("tasks")["task_id"])),
        ("plan", text(&plan["plan_id"])),
        ("run", text(&first("runs")["run_id"])),
        ("finding", text(&first("findings?state=resolved")["finding_id"])),
        ("addition", text(&applied["result"]["changes"][0]["addition_id"])),
        ("agreement", text(&applied["result"]["changes"][0]["agreement_id"])),
        ("connection", "connectwise".to_owned()),
        ("user", text(&user["id"])),
        ("token", text(&token["id"])),
        ("webhook", text(&hook["id"])),
    ];
    for (what, id) in &all {
        assert!(!id.is_empty() && id != "null", "no {what}");
    }
    all.into_iter().collect()
}

#[rstest]
fn what_is_there_in_another_organization_is_unknown_in_the_own_one(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let environment = [("TRUEUP_TODAY", "2023-03-20"), ("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1")];
    let Some(service) = Service::start(backend, &environment) else { return };
    let operator = service.operator();
    let theirs = one_of_each(&operator);
    operator.organization("north", None);
    let admin = operator.colleague("north", "admin");
    let mut walked = BTreeMap::new();
    for (method, path, right) in operations(&service) {
        let Some((_, below)) = path.split_once("{org}/") else { continue };
        let Some(what) = below.split(['{', '}']).nth(1).filter(|_| right.is_some()) else { continue };
        let Some(id) = theirs.get(what) else { continue };
        let real = ask(&admin, &method, &filled(&path, "north", id));
        let invented = ask(&admin, &method, &filled(&path, "north", "987654321"));
        assert_eq!(real.status, invented.status, "{method} {path}");
        assert_eq!(
            real.text().replace(&format!("`{id}`"), "ID"),
            invented.text().replace("`987654321`", "ID"),
            "{method} {path}"
        );
        // It is there, for those whose it is: the answer above is no answer about nothing.
        if method == "GET" && below.matches('{').count() == 1 && !path.ends_with("/events") {
            operator.get(&filled(&path, "default", id)).is(200);
            *walked.entry(what.to_owned()).or_insert(0) += 1;
        }
    }
    assert!(walked.len() >= 7, "{walked:?}");
    for (what, id) in [("webhooks", "webhook"), ("tokens", "token"), ("users", "user")] {
        let list = operator.get(&format!("{ORG}/{what}")).is(200).text();
        assert!(list.contains(&theirs[id]), "{what}: somebody of another organization took {id} away");
    }
}

/// Ids of organizations and addresses of people are the installation's: one that is taken cannot be had. Who has it is told
/// nobody, and whoever tries is in the audit.
#[rstest]
fn a_name_that_is_taken_says_no_more_and_is_audited(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(service) = Service::start(backend, &[]) else { return };
    let operator = service.operator();
    for (id, parent) in [("north", None), ("south", None), ("north-shop", Some("north"))] {
        operator.organization(id, parent);
    }
    operator.colleague("south", "billing");
    let admin = operator.colleague("north", "admin");
    let organization =
        |id: &str| admin.post("/api/v1/organizations", &json!({ "id": id, "parent": "north" }));
    let (foreign, own) = (organization("south"), organization("north-shop"));
    assert_eq!(foreign.text().replace("south", "ID"), own.text().replace("north-shop", "ID"));
    assert_eq!(foreign.problem(409), "conflict");
    let person = |email: &str| {
        let body = json!({ "email": email, "role": "billing" });
        admin.post("/api/v1/organizations/north/users", &body)
    };
    let (foreign, own) = (person("billing@south.example.com"), person("admin@north.example.com"));
    let told = |answer: &Answer, email: &str| answer.text().replace(email, "ADDRESS");
    assert_eq!(told(&foreign, "billing@south.example.com"), told(&own, "admin@north.example.com"));
    assert_eq!(foreign.problem(409), "conflict");
    let audit = operator.get("/api/v1/organizations/north/audit?action=access.taken").is(200).json();
    let asked: Vec<&str> =
        audit["items"].as_array().unwrap().iter().map(|e| e["object"].as_str().unwrap()).collect();
    assert_eq!(
        asked,
        [
            "user/admin@north.example.com",
            "user/billing@south.example.com",
            "organization/north-shop",
            "organization/south"
        ]
    );
}
