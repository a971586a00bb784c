//! Mapping in order: what can be chosen at each step, and what is exclusive.

use super::desk::{
    Desk, Row, choices, foresee, ids, map, map_for, release, sale, set, tell, upload, validate,
};
use crate::sandbox::{ORG, run};
use serde_json::{Value, json};

#[test]
fn c3_05_each_list_is_empty_until_the_one_before_was_chosen_from() {
    let (desk, pass) = Desk::told(&[sale()]);
    let person = desk.person(&pass);
    let counts = |query: &str| {
        let found = choices(&person, query);
        ["companies", "agreements", "products", "catalog_items"]
            .map(|list| found[list].as_array().unwrap().len())
    };
    assert_eq!(counts(""), [0, 0, 0, 0]);
    // Three customers, and the company of the tenant itself.
    assert_eq!(counts("&customer=c-1"), [4, 0, 0, 0]);
    assert_eq!(counts("&customer=c-1&company=12"), [4, 5, 0, 0]);
    assert_eq!(counts("&customer=c-1&company=12&agreement=40"), [4, 5, 1, 2]);
    let unknown = person.get(&format!("{ORG}/mappings/choices?source=c3&customer=nobody"));
    assert_eq!(unknown.problem(404), "not-found");
    assert_eq!(counts("&customer=c-1&search=hill"), [2, 0, 0, 0]);
}

#[test]
fn c3_06_a_company_of_another_customer_says_whose_it_is_and_cannot_be_chosen() {
    let (desk, pass) = Desk::told(&[sale(), Row::new("c-2", "s-2", 0, 3, "2023-03-01")]);
    let person = desk.person(&pass);
    map(&person, "customer", "c-1", 12).is(200);
    let companies = choices(&person, "&customer=c-2")["companies"].clone();
    let of = |id: i64| companies.as_array().unwrap().iter().find(|c| c["company_id"] == id).unwrap();
    assert_eq!((&of(12)["free"], &of(12)["taken_by"]), (&json!(false), &json!(["c-1"])));
    assert_eq!((&of(13)["free"], &of(13)["taken_by"]), (&json!(true), &json!([])));
    let chosen = person.get(&format!("{ORG}/mappings/choices?source=c3&customer=c-2&company=12"));
    assert_eq!(chosen.problem(409), "conflict");
    assert_eq!(map(&person, "customer", "c-2", 12).is(409).json()["code"], "TU2007");
}

#[test]
fn c3_07_a_customer_gets_no_second_company_before_the_first_is_released() {
    let (desk, pass) = Desk::told(&[sale()]);
    let person = desk.person(&pass);
    set(&person, "mapping.again", "release_first");
    map(&person, "customer", "c-1", 12).is(200);
    map(&person, "customer", "c-1", 12).is(200);
    let free: Vec<Value> = choices(&person, "&customer=c-1")["companies"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|company| company["free"] == true)
        .map(|company| company["company_id"].clone())
        .collect();
    assert_eq!(free, [json!(12)]);
    let refused = map(&person, "customer", "c-1", 13).is(409).json();
    assert_eq!(refused["code"], "TU2007", "{refused}");
    assert!(refused["detail"].as_str().unwrap().contains("mapped to 12 already"), "{refused}");
    // A file is no way around it.
    let file = person
        .request("POST", &format!("{ORG}/mappings/import?source=c3"))
        .body("text/csv", "kind,source_id,psa_id\ncustomer,c-1,13\nproduct,Mail,7\n")
        .send(desk.service.at)
        .is(200)
        .json();
    assert_eq!((&file["saved"], file["conflicts"].as_array().unwrap().len()), (&json!(1), 1), "{file}");
    let (_, body) = foresee(&person, "customer", "c-1", false);
    release(&person, &body).is(200);
    map(&person, "customer", "c-1", 13).is(200);
}

#[test]
fn c3_08_agreements_of_other_cycles_than_a_month_or_a_year_are_hidden_and_counted() {
    let (desk, pass) = Desk::told(&[sale()]);
    let person = desk.person(&pass);
    let all = choices(&person, "&customer=c-1&company=12");
    assert_eq!(ids(&all["agreements"], "agreement_id"), [40, 41, 42, 43, 44], "the widened list");
    set(&person, "mapping.cycles", "month_year");
    let found = choices(&person, "&customer=c-1&company=12");
    assert_eq!(ids(&found["agreements"], "agreement_id"), [40, 41]);
    assert_eq!(
        found["hidden_agreements"],
        json!({ "billed every 3 months": 1, "billed every 6 months": 1, "billed weekly": 1 })
    );
    let hidden =
        person.get(&format!("{ORG}/mappings/choices?source=c3&customer=c-1&company=12&agreement=42"));
    assert_eq!(hidden.problem(409), "conflict");
}

#[test]
fn c3_09_an_agreement_lists_the_products_of_its_own_cycle() {
    let yearly = Row::new("c-1", "s-2", 0, 2, "2023-03-01")
        .with("ProductName", "Suite")
        .with("BillingCycle", "Yearly");
    let (desk, pass) = Desk::told(&[sale(), yearly]);
    let person = desk.person(&pass);
    let products = |agreement: i64| {
        let found = choices(&person, &format!("&customer=c-1&company=12&agreement={agreement}"));
        let list = found["products"].as_array().unwrap().iter();
        list.map(|p| (p["product_id"].clone(), p["cycle"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(products(40), [(json!("Mail"), json!("1-month"))]);
    assert_eq!(products(41), [(json!("Suite"), json!("1-year"))]);
}

#[test]
fn c3_10_a_product_stays_on_its_agreement_until_that_is_released() {
    let (desk, pass) = Desk::ready(&[sale(), Row::new("c-1", "s-2", 0, 2, "2023-03-02")]);
    let person = desk.person(&pass);
    // A second agreement by the month.
    desk.patch("finance/agreements/42", "billingCycle", json!({ "id": 2 }));
    run(&person, &json!({ "kind": "pull" }));
    map(&person, "agreement", "s-1", 40).is(200);
    let refused = map(&person, "agreement", "s-2", 42).is(409).json();
    assert_eq!(refused["code"], "TU2007", "{refused}");
    assert!(refused["detail"].as_str().unwrap().contains("40 and 42"), "{refused}");
    let listed = choices(&person, "&customer=c-1&company=12&agreement=42");
    assert_eq!(listed["products"][0]["elsewhere"], 40, "{listed}");
    let (_, body) = foresee(&person, "agreement", "s-1", false);
    release(&person, &body).is(200);
    map(&person, "agreement", "s-2", 42).is(200);
}

#[test]
fn c3_11_c3_12_an_item_is_one_product_on_an_agreement_and_may_be_the_same_for_another_customer() {
    let suite = Row::new("c-1", "s-2", 0, 2, "2023-03-01").with("ProductName", "Suite");
    let (desk, pass) = Desk::ready(&[sale(), suite, Row::new("c-2", "s-3", 0, 3, "2023-03-01")]);
    let person = desk.person(&pass);
    map(&person, "agreement", "customer:c-1", 40).is(200);
    map(&person, "agreement", "customer:c-2", 50).is(200);
    let refused = map(&person, "product", "Suite", 7).is(409).json();
    assert_eq!(refused["code"], "TU2007", "{refused}");
    map(&person, "product", "Suite", 8).is(200);
    // Mail is item 7 on both agreements.
    let validated = validate(&person, &[]);
    assert_eq!(validated["state"], "success", "{validated}");
    upload(&person, &validated);
    let items = |agreement| {
        let mut items: Vec<i64> =
            desk.additions(agreement).iter().map(|line| line["product"]["id"].as_i64().unwrap()).collect();
        items.sort_unstable();
        items
    };
    assert_eq!((items(40), items(50)), (vec![7, 8], vec![7]));
}

#[test]
fn c3_13_two_cycles_of_a_product_on_one_item_are_accepted_with_a_warning() {
    let yearly =
        Row::new("c-1", "s-2", 0, 2, "2023-03-01").with("BillingCycle", "Yearly").with("NewPrice", 240.00);
    let (desk, pass) = Desk::told(&[sale(), yearly]);
    let person = desk.person(&pass);
    map(&person, "customer", "c-1", 12).is(200);
    let first = map_for(&person, "product", "Mail", 7, "cycle:1-month").is(200).json();
    assert_eq!(first["remarks"], json!([]));
    let second = map_for(&person, "product", "Mail", 7, "cycle:1-year").is(200).json();
    assert_eq!(second["remarks"].as_array().unwrap().len(), 1, "{second}");
    assert!(second["remarks"][0]["reason"].as_str().unwrap().contains("several billing cycles"), "{second}");
    run(&person, &json!({ "kind": "check" }));
    let told = person.get(&format!("{ORG}/findings?code=TU2007")).is(200).json();
    assert_eq!(told["items"][0]["severity"], "warning", "{told}");
    let validated = validate(&person, &[]);
    assert_eq!(validated["state"], "success", "it holds nothing up: {validated}");
}

#[test]
fn c3_14_what_cannot_be_an_addition_is_not_offered() {
    let (desk, pass) = Desk::told(&[sale()]);
    let person = desk.person(&pass);
    let found = choices(&person, "&customer=c-1&company=12&agreement=40");
    assert_eq!(ids(&found["catalog_items"], "catalog_item_id"), [7, 8], "9 is inactive, 10 a bundle");
}

#[test]
fn c3_15_mapping_and_upload_make_no_company_no_agreement_and_no_product() {
    let (desk, pass) = Desk::ready(&[sale()]);
    let person = desk.person(&pass);
    let validated = validate(&person, &[]);
    assert_eq!(upload(&person, &validated)["state"], "success", "{validated}");
    assert_eq!(desk.writes(), ["POST /v4_6_release/apis/3.0/finance/agreements/40/additions"]);
    // Nor where something is missing.
    tell(&person, &[Row::new("c-9", "s-9", 0, 1, "2023-03-01").with("ProductName", "New")]);
    validate(&person, &[]);
    assert_eq!(desk.writes().len(), 1);
}
