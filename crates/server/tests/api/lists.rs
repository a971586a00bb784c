//! Lists, what they are filtered by, and the state of the audit's chain.

use crate::bench::{Backend, Service};
use crate::sandbox::Sandbox;
use crate::work::{FEED, ORG, run};
use rstest::rstest;
use serde_json::json;

#[rstest]
fn sources_tasks_by_age_and_the_audit(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let Some(service) = Service::start(backend, &[("TRUEUP_TODAY", "2023-03-20")]) else { return };
    let person = service.operator();
    assert_eq!(person.get(&format!("{ORG}/sources")).is(200).json(), json!({ "items": [] }));
    for source in ["shop", "other"] {
        let path = format!("/api/v1/feed?organization=default&source={source}");
        person.request("POST", &path).body("application/x-ndjson", FEED).send(service.at).is(200);
    }
    let sources = person.get(&format!("{ORG}/sources")).is(200).json();
    let names: Vec<&str> =
        sources["items"].as_array().unwrap().iter().map(|s| s["source"].as_str().unwrap()).collect();
    assert_eq!(names, ["other", "shop"]);
    let shop = &sources["items"][1];
    assert_eq!((&shop["customers"], &shop["orders"], &shop["records"]), (&json!(1), &json!(1), &json!(4)));
    assert!(shop["last_record_at"].as_str().unwrap().ends_with('Z'), "{shop}");

    run(&person, &json!({ "kind": "check" }));
    let count = |query: &str| {
        let found = person.get(&format!("{ORG}/tasks?{query}")).is(200).json();
        found["items"].as_array().unwrap().len()
    };
    // Both orders were completed on 1 March at nine.
    assert_eq!(count("completed_after=2023-03-01"), 2);
    assert_eq!(count("completed_after=2023-03-02"), 0);
    assert_eq!(count("completed_before=2023-03-01"), 0);
    assert_eq!(count("completed_before=2023-03-02&source=shop"), 1);
    // To the day: on 20 March they are nineteen days old.
    for (query, there) in [("min_age=19", 2), ("min_age=20", 0), ("max_age=19", 2), ("max_age=18", 0)] {
        assert_eq!(count(query), there, "{query}");
    }
    assert_eq!(count("min_age=10&max_age=20&source=shop"), 1);
    assert_eq!(count("min_age=10&completed_before=2023-03-01"), 0, "all that is asked for holds");
    for wrong in ["completed_after=March", "completed_before=2023-02-30", "min_age=36501", "max_age=36501"] {
        assert_eq!(person.get(&format!("{ORG}/tasks?{wrong}")).problem(422), "invalid");
    }

    person.put(&format!("{ORG}/settings/credits"), &json!({ "value": "off" })).is(200);
    person.put(&format!("{ORG}/settings/marker"), &json!({ "value": "none" })).is(200);
    let entries = |query: &str| {
        let found = person.get(&format!("{ORG}/audit?{query}")).is(200).json();
        let objects = found["items"].as_array().unwrap().iter();
        objects.map(|entry| entry["object"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(entries("object=setting/"), ["setting/marker", "setting/credits"]);
    assert_eq!(entries("object=setting/&search=MARK"), ["setting/marker"]);
    assert_eq!(entries("action=setting.&search=100%25"), Vec::<String>::new());
    assert_eq!(entries("object=setting/&until=2000-01-01T00:00:00Z"), Vec::<String>::new());
    assert_eq!(entries("object=setting/&since=2000-01-01T00:00:00Z").len(), 2);
    assert_eq!(person.get(&format!("{ORG}/audit?since=yesterday")).problem(422), "invalid");

    let chain = person.get(&format!("{ORG}/audit/chain")).is(200).json();
    assert_eq!((&chain["ok"], &chain["broken_at"]), (&json!(true), &json!(null)), "{chain}");
    let newest = person.get(&format!("{ORG}/audit?limit=1")).is(200).json();
    assert_eq!(chain["entries"], newest["items"][0]["number"], "{newest}");
    assert_eq!(chain["last_hash"].as_str().unwrap().len(), 64);
    let nobody = person.colleague("default", "billing");
    assert_eq!(nobody.get(&format!("{ORG}/sources")).status, 200);
}

/// Whoever looks back over the plans while a night makes new ones comes to the oldest one, and to an end.
#[rstest]
fn every_plan_is_listed_while_new_ones_are_made(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let environment = [("TRUEUP_TODAY", "2023-03-20"), ("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1")];
    let Some(service) = Service::start(backend, &environment) else { return };
    let (sandbox, person) = (Sandbox::start(), service.operator());
    person.post(&format!("{ORG}/connections"), &sandbox.connection()).is(201);
    let plans = format!("{ORG}/plans");
    let make = || person.post(&plans, &json!({})).is(201).json()["plan_id"].as_str().unwrap().to_owned();
    let mut made: Vec<String> = (0..7).map(|_| make()).collect();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = person.get(&format!("{plans}?limit=2{cursor}")).is(200).json();
        let items = page["items"].as_array().unwrap();
        seen.extend(items.iter().map(|row| row["plan_id"].as_str().unwrap().to_owned()));
        assert!(items.iter().all(|row| row["create"] == 0 && row["state"] == "proposed"), "{page}");
        assert!(seen.len() <= made.len(), "it comes to no end: {seen:?}");
        (0..3).for_each(|_| drop(make()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    // Of the same instant their names decide.
    seen.sort();
    made.sort();
    assert_eq!(seen, made);
}

/// A row that is gone says nothing about where the next page begins.
#[test]
fn a_cursor_whose_row_is_gone_is_refused() {
    let service = Service::sqlite();
    let person = service.operator();
    let mapping =
        |id: &str| json!({ "kind": "customer", "source_id": id, "options": { "do_not_bill": "test" } });
    for id in ["c-1", "c-2", "c-3"] {
        person.put(&format!("{ORG}/mappings"), &mapping(id)).is(200);
    }
    let page = person.get(&format!("{ORG}/mappings?limit=1")).is(200).json();
    let first = page["items"][0]["source_id"].as_str().unwrap();
    let next = format!("{ORG}/mappings?limit=1&cursor={}", page["next_cursor"].as_str().unwrap());
    person.get(&next).is(200);
    let release = format!("{ORG}/mappings/release");
    let asked = format!("{release}?kind=customer&source_id={first}");
    let token = person.get(&asked).is(200).json()["token"].clone();
    let body = json!({ "kind": "customer", "source_id": first, "token": token, "reason": "test" });
    person.post(&release, &body).is(200);
    let refused = person.get(&next);
    assert!(refused.text().contains("first page"), "{}", refused.text());
    assert_eq!(refused.problem(422), "invalid");
}

/// A cursor belongs to what was asked: with another list, organization or search it would leave rows out, or bring some
/// twice, without a word.
#[test]
fn a_cursor_is_for_its_own_list_and_search() {
    let service = Service::sqlite();
    let person = service.operator();
    for org in ["north", "south"] {
        person.organization(org, None);
    }
    for value in ["on", "off", "on"] {
        person.put(&format!("{ORG}/settings/credits"), &json!({ "value": value })).is(200);
    }
    let audit = "/api/v1/organizations/default/audit";
    let page = person.get(&format!("{audit}?limit=1&action=setting.")).is(200).json();
    let cursor = page["next_cursor"].as_str().unwrap_or_else(|| panic!("{page}"));
    let first = page["items"][0]["number"].clone();
    for own in [
        format!("{audit}?action=setting.&cursor={cursor}"),
        format!("{audit}?cursor={cursor}&limit=7&action=setting."),
    ] {
        let next = person.get(&own).is(200).json();
        let items = next["items"].as_array().unwrap();
        assert!(!items.is_empty() && items.iter().all(|row| row["number"] != first), "{next}");
    }
    for other in [
        format!("{audit}?limit=1&cursor={cursor}"),
        format!("{audit}?limit=1&action=user.&cursor={cursor}"),
        format!("/api/v1/organizations/north/audit?limit=1&action=setting.&cursor={cursor}"),
        format!("/api/v1/organizations/default/runs?cursor={cursor}"),
        format!("/api/v1/organizations?cursor={cursor}"),
    ] {
        let refused = person.get(&other);
        assert!(refused.text().contains("not given by this list"), "{other}: {}", refused.text());
        assert_eq!(refused.problem(422), "invalid", "{other}");
    }
}
