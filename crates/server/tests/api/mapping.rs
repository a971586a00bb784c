//! Mappings over the API: proposals with reasons, rules, "do not bill" that ends, release with what hangs on it,
//! companies as customers, and what vanished in ConnectWise.

use crate::bench::{Backend, Person, Service};
use crate::sandbox::{Sandbox, at, call, host, run};
use rstest::rstest;
use serde_json::{Value, json};

const ORG: &str = "/api/v1/organizations/default";

const SEED: &str = r#"{"today": "2023-03-20", "resources": {
  "company/companies": [
    {"id": 12, "identifier": "GL01", "name": "Green Lane Holding", "website": "https://www.greenlane.example.com/",
     "taxIdentifier": "US-123456", "phoneNumber": "+1 555 1", "addressLine1": "1 Lane", "city": "Tampa", "state": "FL",
     "zip": "33601"},
    {"id": 13, "identifier": "BlueHill", "name": "Blue Hill"}],
  "company/contacts": [{"id": 5, "firstName": "Ada", "lastName": "Byron", "company": {"id": 12}}],
  "finance/agreements": [{"id": 40, "name": "Cloud", "type": {"name": "Cloud Services"}, "company": {"id": 12},
    "contact": {"id": 5}, "startDate": "2023-01-01T00:00:00Z", "billStartDate": "2023-03-01T00:00:00Z",
    "nextInvoiceDate": "2023-03-01", "billingCycle": {"id": 2}}],
  "procurement/catalog": [{"id": 7, "identifier": "EXO-P1", "description": "Exchange Online (Plan 1)",
    "customerDescription": "Exchange Online (Plan 1)", "subcategory": {"id": 1}, "type": {"id": 1}, "price": 22.00,
    "cost": 17.60}]
}}"#;

const FEED: &str = concat!(
    r#"{"type":"customer","id":"c-100","name":"GL Incorporated","domain":"greenlane.example.com","tax_id":"US123456","currency":"USD"}"#,
    "\n",
    r#"{"type":"customer","id":"c-200","name":"Blue Hill","currency":"USD"}"#,
    "\n",
    r#"{"type":"customer","id":"c-300","name":"Blue Hill LLC","currency":"USD"}"#,
    "\n",
    r#"{"type":"product","id":"mail","sku":"exo p1","name":"Mailbox","currency":"USD"}"#,
    "\n",
    r#"{"type":"subscription","id":"s-1","customer":"c-100","status":"active","currency":"USD","billing_cycle":{"every":1,"unit":"month"},"start":"2023-03-01","period":{"start":"2023-03-01","end":"2023-04-01"},"items":[{"id":"seats","product":"mail","quantity":"5","unit_price":"22.00","unit_cost":"17.60"}]}"#,
    "\n",
    r#"{"type":"order","id":"SO-1","kind":"sales","subscription":"s-1","completed_at":"2023-03-01T09:00:00Z","period":{"start":"2023-03-01","end":"2023-04-01"},"currency":"USD","lines":[{"id":"1","charge":"recurring","product":"mail","quantity":"5","unit_price":"22.00","unit_cost":"17.60"}]}"#,
    "\n",
);

fn task_state(person: &Person<'_>) -> Value {
    person.get(&format!("{ORG}/tasks")).is(200).json()["items"][0]["state"].clone()
}

fn codes(person: &Person<'_>) -> Vec<String> {
    let all = person.get(&format!("{ORG}/findings?state=open,recurred&limit=200")).is(200).json();
    let items = all["items"].as_array().unwrap().iter();
    items.map(|f| f["code"].as_str().unwrap().to_owned()).collect()
}

#[rstest]
fn the_life_of_mappings(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let environment = [("TRUEUP_TODAY", "2023-03-20"), ("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1")];
    let Some(service) = Service::start(backend, &environment) else { return };
    let sandbox = Sandbox::seeded(SEED);
    let person = service.operator();
    person.post(&format!("{ORG}/connections"), &sandbox.connection()).is(201);
    person
        .request("POST", "/api/v1/feed?organization=default&source=shop")
        .body("application/x-ndjson", FEED)
        .send(service.at)
        .is(200);
    run(&person, &json!({ "kind": "pull" }));
    run(&person, &json!({ "kind": "check" }));

    // Proposals with reasons: no word of the names agrees, the identifiers do.
    let all = person.get(&format!("{ORG}/mappings/suggestions?source=shop")).is(200).json();
    let of =
        |id: &str| all["items"].as_array().unwrap().iter().find(|p| p["source_id"] == id).unwrap().clone();
    let first = of("c-100");
    assert_eq!(first["psa_id"], 12, "{all}");
    let by: Vec<&str> =
        first["reasons"].as_array().unwrap().iter().map(|r| r["by"].as_str().unwrap()).collect();
    assert_eq!(by, ["tax_id", "domain"]);
    assert_eq!(first["confidence"], 99);
    assert_eq!((&of("mail")["psa_id"], &of("mail")["reasons"][0]["by"]), (&json!(7), &json!("sku")));

    // Two to one is refused, the rest is accepted.
    let item = |kind: &str, id: &str, to: i64| json!({ "kind": kind, "source_id": id, "psa_id": to });
    let accept = |items: Value, several: bool| {
        let body = json!({ "source": "shop", "items": items, "several_to_one": several });
        person.post(&format!("{ORG}/mappings/suggestions/accept"), &body).is(200).json()
    };
    let items = json!([
        item("customer", "c-100", 12),
        item("customer", "c-200", 13),
        item("customer", "c-300", 13),
        item("product", "mail", 7),
    ]);
    let done = accept(items, false);
    assert_eq!(done["saved"].as_array().unwrap().len(), 2, "{done}");
    assert_eq!(done["refused"].as_array().unwrap().len(), 2, "{done}");
    assert_eq!(done["refused"][0]["code"], "TU2007");
    assert_eq!(task_state(&person), "ready");
    let done = accept(json!([item("customer", "c-100", 13)]), true);
    assert_eq!(done["saved"], json!([]), "what is mapped by now is not mapped over: {done}");

    // The rule holds also where it is said that it is meant, until the setting allows it.
    let map = |body: &Value| person.put(&format!("{ORG}/mappings"), body);
    let of_13 = |id: &str| json!({ "kind": "customer", "source": "shop", "source_id": id, "psa_id": 13 });
    map(&of_13("c-200")).is(200);
    let refused = map(&of_13("c-300")).is(409).json();
    assert_eq!(refused["code"], "TU2007", "{refused}");
    let done = accept(json!([item("customer", "c-300", 13)]), true);
    assert_eq!((done["saved"].as_array().unwrap().len(), &done["refused"][0]["code"]), (0, &json!("TU2007")));
    let setting = format!("{ORG}/settings/mapping.customer_company");
    person.put(&setting, &json!({ "value": "many" })).is(200);
    map(&of_13("c-300")).is(200);
    person.delete(&setting).is(200);
    run(&person, &json!({ "kind": "check" }));
    assert!(codes(&person).contains(&"TU2007".to_owned()), "what stands already is told");
    person.delete(&format!("{ORG}/mappings?kind=customer&source=shop&source_id=c-300")).is(204);
    assert!(!codes(&person).contains(&"TU2007".to_owned()), "and resolved with its cause");
    // A file is judged by its form: it is saved, and what stands on it waits.
    let file = person
        .request("POST", &format!("{ORG}/mappings/import?source=shop"))
        .body("text/csv", "kind,source_id,psa_id,scope\ncustomer,c-300,12,\nproduct,mail,7,cycle:1-month\n")
        .send(service.at)
        .is(200)
        .json();
    assert_eq!((&file["saved"], &file["conflicts"][0]["code"]), (&json!(2), &json!("TU2007")), "{file}");
    assert_eq!(task_state(&person), "needs_mapping");
    person.delete(&format!("{ORG}/mappings?kind=customer&source=shop&source_id=c-300")).is(204);
    person
        .delete(&format!("{ORG}/mappings?kind=product&source=shop&source_id=mail&scope=cycle:1-month"))
        .is(204);
    assert_eq!(task_state(&person), "ready");

    // A release shows what it touches, and its token releases exactly that.
    let which = "kind=customer&source=shop&source_id=c-100";
    let impact = person.get(&format!("{ORG}/mappings/release?{which}&cascade=true")).is(200).json();
    let kinds: Vec<&str> =
        impact["mappings"].as_array().unwrap().iter().map(|m| m["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["customer", "product"], "{impact}");
    assert_eq!(impact["tasks"].as_array().unwrap().len(), 1);
    let release = |token: &Value, reason: &str| {
        let body = json!({ "kind": "customer", "source": "shop", "source_id": "c-100", "cascade": true,
            "token": token, "reason": reason });
        person.post(&format!("{ORG}/mappings/release"), &body)
    };
    assert_eq!(release(&impact["token"], " ").problem(422), "invalid");
    assert_eq!(release(&json!("made up"), "test").problem(409), "conflict");
    release(&impact["token"], "test").is(200);
    assert_eq!(task_state(&person), "needs_mapping");
    assert_eq!(release(&impact["token"], "test").problem(404), "not-found");
    let history = person.get(&format!("{ORG}/mappings/history?{which}")).is(200).json();
    assert_eq!(history["items"].as_array().unwrap().len(), 1);
    assert!(history["items"][0]["ended_at"].is_string(), "{history}");
    assert_eq!(person.get(&format!("{ORG}/mappings/history?kind=fee&source_id=x")).problem(404), "not-found");

    // "Do not bill" holds through its last day; one that is over says so, and its task waits.
    let not_billed = |until: &str| {
        let options = json!({ "do_not_bill": "pilot", "until": until });
        map(&json!({ "kind": "customer", "source": "shop", "source_id": "c-100", "options": options }))
    };
    assert_eq!(not_billed("soon").problem(422), "invalid");
    not_billed("2023-03-20").is(200);
    assert_eq!(task_state(&person), "ignored");
    not_billed("2023-03-19").is(200);
    assert_eq!(task_state(&person), "needs_mapping");
    let told = person.get(&format!("{ORG}/findings?code=TU2001&limit=200")).is(200).text();
    assert!(told.contains("not billed until 2023-03-19 (pilot)"), "{told}");

    // With an id it says what it is billed as once it is over.
    let options = json!({ "do_not_bill": "pilot", "until": "2023-03-19" });
    map(&json!({ "kind": "customer", "source": "shop", "source_id": "c-100", "psa_id": 12, "options": options }))
        .is(200);
    map(&json!({ "kind": "product", "source": "shop", "source_id": "mail", "psa_id": 7 })).is(200);
    assert_eq!(task_state(&person), "ready");
    let told = person.get(&format!("{ORG}/findings?code=TU8006&limit=200")).is(200).text();
    assert!(told.contains("it is billed again"), "{told}");

    // Companies as customers: the incomplete are listed, and one may be filled in.
    let import = |body: Value| person.post(&format!("{ORG}/companies/import"), &body).is(200).json();
    let all = import(json!({ "source": "crm" }));
    let missing = |id: i64| {
        let all = all["incomplete"].as_array().unwrap();
        all.iter().find(|c| c["company_id"] == id).unwrap()["missing"].clone()
    };
    assert_eq!(missing(12), json!(["contact", "email"]), "{all}"); // The tenant gives every company its country.
    assert_eq!(all["saved"], json!([]));
    let fill = json!({ "contact": "Ada Byron", "email": "ada@greenlane.example.com" });
    let one = import(json!({ "source": "crm", "company_ids": [12, 999], "fill": null }));
    assert_eq!((&one["unknown"], one["incomplete"].as_array().unwrap().len()), (&json!([999]), 1));
    let one = import(json!({ "source": "crm", "company_ids": [12], "fill": fill }));
    assert_eq!(one["saved"][0]["psa_id"], 12, "{one}");
    let again = import(json!({ "source": "crm", "company_ids": [12], "fill": fill }));
    assert_eq!((&again["saved"], &again["known"][0]["company_id"]), (&json!([]), &json!(12)));
    let customers = person.get(&format!("{ORG}/customers?source=crm")).is(200).json();
    assert_eq!(customers["items"][0]["mapped"], true, "{customers}");

    // What vanished suspends, and nothing is guessed.
    map(&json!({ "kind": "customer", "source": "shop", "source_id": "c-100", "psa_id": 12 })).is(200);
    map(&json!({ "kind": "product", "source": "shop", "source_id": "mail", "psa_id": 7 })).is(200);
    assert_eq!(task_state(&person), "ready");
    let patch = |path: &str, field: &str, value: Value| {
        let body = json!([{ "op": "replace", "path": field, "value": value }]);
        at(&sandbox, "PATCH", path).json(&body).send(host(&sandbox)).is(200);
        run(&person, &json!({ "kind": "pull" }));
    };
    patch("procurement/catalog/7", "inactiveFlag", json!(true));
    assert_eq!(task_state(&person), "needs_mapping");
    assert!(codes(&person).contains(&"TU2004".to_owned()), "{:?}", codes(&person));
    patch("procurement/catalog/7", "inactiveFlag", json!(false));
    assert_eq!(task_state(&person), "ready", "what came back frees what waited");
    map(&json!({ "kind": "agreement", "source": "shop", "source_id": "s-1", "psa_id": 40 })).is(200);
    assert_eq!(task_state(&person), "ready");
    call(&sandbox, "DELETE", "finance/agreements/40").is(204);
    run(&person, &json!({ "kind": "pull" }));
    assert_eq!(task_state(&person), "needs_mapping");
    assert!(codes(&person).contains(&"TU3003".to_owned()), "{:?}", codes(&person));
    person.delete(&format!("{ORG}/mappings?kind=agreement&source=shop&source_id=s-1")).is(204);
    assert_eq!(task_state(&person), "ready");
    call(&sandbox, "DELETE", "company/companies/12").is(204);
    run(&person, &json!({ "kind": "pull" }));
    assert_eq!(task_state(&person), "needs_mapping");
    assert!(codes(&person).contains(&"TU2002".to_owned()), "{:?}", codes(&person));
    let kept = person.get(&format!("{ORG}/mappings?search=c-100")).is(200).json();
    assert_eq!(kept["items"][0]["psa_id"], 12, "the mapping stays until a person changes it");
}
