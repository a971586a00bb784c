//! Validation: what it says, what it never does, and each thing that it looks at.

use super::desk::{Desk, Row, ended, errors, feed, id, job, map, map_for, sale, set, tell, upload, validate};
use crate::bench::Person;
use crate::sandbox::{ORG, control, run};
use rstest::rstest;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

#[test]
fn c3_23_all_of_the_filtered_list_are_chosen_and_nobody_else() {
    let rows = ["c-1", "c-2", "c-3"]
        .map(|customer| Row::new(customer, &format!("s-{customer}"), 0, 1, "2023-03-01"));
    let (desk, pass) = Desk::ready(&rows);
    let person = desk.person(&pass);
    let listed = person.get(&format!("{ORG}/customers?source=c3&search=hill")).is(200).json();
    let chosen: Vec<&str> =
        listed["items"].as_array().unwrap().iter().map(|customer| customer["id"].as_str().unwrap()).collect();
    assert_eq!(chosen, ["c-2", "c-3"]);
    let validated = validate(&person, &chosen);
    let whom: Vec<&Value> =
        validated["customers"].as_array().unwrap().iter().map(|sum| &sum["customer_id"]).collect();
    assert_eq!(whom, [&json!("c-2"), &json!("c-3")]);
    assert_eq!(errors(&validated), ["TU2001"], "of c-3 alone");
}

#[test]
fn c3_24_c3_28_a_validation_writes_nothing_and_leads_to_an_upload_only_where_it_is_clean() {
    let (desk, pass) = Desk::ready(&[sale(), Row::new("c-3", "s-3", 0, 1, "2023-03-01")]);
    let person = desk.person(&pass);
    let failed = validate(&person, &[]);
    assert_eq!((&failed["state"], &failed["next"]), (&json!("error"), &Value::Null), "{failed}");
    let refused = person.post(&format!("{ORG}/jobs/{}/upload", id(&failed)), &json!({}));
    assert_eq!(refused.problem(409), "conflict");
    let clean = validate(&person, &["c-1"]);
    assert_eq!((&clean["state"], &clean["next"]), (&json!("success"), &json!("upload")), "{clean}");
    assert_eq!(desk.writes(), [""; 0]);
    let sum = &clean["customers"][0];
    assert_eq!((&sum["lines"], &sum["amounts"]["USD"]), (&json!(1), &json!("100.00")), "{clean}");
}

#[test]
fn c3_25_a_job_is_queued_running_and_over_and_does_not_stay_running_after_a_restart() {
    let (mut desk, pass) = Desk::ready(&[sale()]);
    let slow = json!({ "match": { "method": "GET", "path_contains": "agreements" }, "times": 50, "action": "slow",
        "delay_ms": 1_500 });
    control(&desk.sandbox, "faults", &json!({ "schedule": [slow] }));
    let person = desk.person(&pass);
    let started = person.post(&format!("{ORG}/jobs"), &json!({})).is(202);
    let location = started.header("location").unwrap().to_owned();
    let mut seen = vec![started.json()["state"].clone()];
    let began = Instant::now();
    while seen.last() != Some(&json!("running")) {
        let state = person.get(&location).is(200).json()["state"].clone();
        if seen.last() != Some(&state) {
            seen.push(state);
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{seen:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(seen, ["queued", "running"]);
    desk.service.kill();
    control(&desk.sandbox, "faults", &json!({ "schedule": [] }));
    desk.service.up();
    let over = ended(&desk.person(&pass), &location);
    assert_eq!(over["state"], "success", "{over}");
}

#[test]
fn c3_26_one_product_of_a_hundred_is_one_row_that_leads_to_its_mapping() {
    let mut rows: Vec<Row> =
        (0..99).map(|n| Row::new("c-1", &format!("s-{n}"), 0, 1 + n % 7, "2023-03-01")).collect();
    rows.push(Row::new("c-1", "s-other", 0, 1, "2023-03-01").with("ProductName", "Other & more"));
    let (desk, pass) = Desk::ready(&rows);
    let person = desk.person(&pass);
    let failed = validate(&person, &[]);
    assert_eq!(failed["state"], "error");
    let rows: Vec<&Value> =
        failed["rows"].as_array().unwrap().iter().filter(|row| row["severity"] == "error").collect();
    let [row] = rows.as_slice() else { panic!("{failed}") };
    let of = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        (of("code"), of("customer_id"), of("product_id")),
        ("TU2003".into(), "c-1".into(), "Other & more".into())
    );
    assert_eq!(
        (of("field"), of("date"), row["company_id"].clone()),
        ("catalog_item".into(), "2023-03-01".into(), json!(12))
    );
    assert_eq!(of("link"), "mapping?tab=product&search=Other+%26+more");
    assert!(!of("message").is_empty() && !of("fix").is_empty(), "{row}");
}

type Fixture = fn(&Desk, &Person<'_>);

#[rstest]
#[case::customer_without_company("TU2001", |_: &Desk, person: &Person<'_>| tell(person, &[Row::new("c-3", "s-3", 0, 1, "2023-03-01")]).drop_it())]
#[case::company_deleted("TU2002", |desk: &Desk, _: &Person<'_>| desk.by_hand("DELETE", "company/companies/12", &Value::Null).is(204).drop_it())]
#[case::no_agreement("TU3001", |_: &Desk, person: &Person<'_>| {
    tell(person, &[Row::new("c-3", "s-3", 0, 1, "2023-03-01")]);
    map(person, "customer", "c-3", 14).is(200);
})]
#[case::several_agreements("TU3002", |desk: &Desk, person: &Person<'_>| {
    desk.patch("finance/agreements/42", "billingCycle", json!({ "id": 2 }));
    tell(person, &[Row::new("c-1", "s-2", 0, 1, "2023-03-01")]);
})]
#[case::agreement_of_another_company("TU3003", |_: &Desk, person: &Person<'_>| map(person, "agreement", "s-1", 50).is(200).drop_it())]
#[case::agreement_cancelled("TU3003", |desk: &Desk, person: &Person<'_>| {
    map(person, "agreement", "s-1", 40).is(200);
    desk.patch("finance/agreements/40", "cancelledFlag", json!(true));
})]
#[case::another_cycle_than_is_sold("TU3004", |_: &Desk, person: &Person<'_>| map(person, "agreement", "s-1", 41).is(200).drop_it())]
#[case::neither_month_nor_year("TU3004", |_: &Desk, person: &Person<'_>| {
    set(person, "mapping.cycles", "month_year");
    map(person, "agreement", "s-1", 42).is(200);
})]
#[case::product_without_item("TU2003", |_: &Desk, person: &Person<'_>| {
    tell(person, &[Row::new("c-1", "s-2", 0, 1, "2023-03-01").with("ProductName", "Other")]);
})]
#[case::item_that_is_not_there("TU2004", |_: &Desk, person: &Person<'_>| map(person, "product", "Mail", 999).is(200).drop_it())]
#[case::item_that_is_inactive("TU2004", |_: &Desk, person: &Person<'_>| map(person, "product", "Mail", 9).is(200).drop_it())]
#[case::item_that_is_a_bundle("TU2004", |_: &Desk, person: &Person<'_>| map(person, "product", "Mail", 10).is(200).drop_it())]
#[case::products_that_share_an_item("TU2007", |_: &Desk, person: &Person<'_>| {
    tell(person, &[Row::new("c-1", "s-2", 0, 1, "2023-03-01").with("ProductName", "Suite")]);
    map(person, "product", "Suite", 7);
    map(person, "agreement", "customer:c-1", 40);
    let file = "kind,source_id,psa_id\nproduct,Suite,7\nagreement,customer:c-1,40\n";
    let path = format!("{ORG}/mappings/import?source=c3");
    person.request("POST", &path).body("text/csv", file).send(person.service.at).is(200);
})]
#[case::another_currency("TU6001", |_: &Desk, person: &Person<'_>| {
    map(person, "agreement", "s-2", 40).is(200);
    tell(person, &[Row::new("c-1", "s-2", 0, 1, "2023-03-01").with("CurrencyCode", "EUR")]);
})]
#[case::no_price("TU6002", |desk: &Desk, person: &Person<'_>| {
    desk.patch("procurement/catalog/8", "price", Value::Null);
    map_for(person, "product", "Suite", 8, "").is(200);
    let row = Row::new("c-1", "s-2", 0, 1, "2023-03-01").with("ProductName", "Suite");
    tell(person, &[row.with("NewPrice", Value::Null).with("OldPrice", Value::Null)]);
})]
#[case::before_the_billing_start("TU4001", |desk: &Desk, _: &Person<'_>| {
    desk.patch("finance/agreements/40", "billStartDate", json!("2023-06-01T00:00:00Z"));
})]
#[case::half_a_licence("TU5004", |_: &Desk, person: &Person<'_>| {
    let product = json!({ "type": "product", "id": "Mail", "name": "Mail", "kind": "seat" });
    feed(person, &[product]);
    tell(person, &[Row::new("c-1", "s-2", 0, 1, "2023-03-01").with("NewQuantity", 2.5)]);
})]
#[case::lines_that_nobody_can_tell_apart("TU3007", |desk: &Desk, person: &Person<'_>| {
    for quantity in [4, 5] {
        let line = json!({ "product": { "id": 7 }, "quantity": quantity, "unitPrice": 20, "unitCost": 16,
            "billCustomer": "Billable", "effectiveDate": "2023-03-01T00:00:00Z" });
        desk.by_hand("POST", "finance/agreements/50/additions", &line).is(201);
    }
    tell(person, &[Row::new("c-2", "s-2", 5, 8, "2023-03-15")]);
})]
#[case::a_right_that_is_missing("TU1004", |desk: &Desk, _: &Person<'_>| {
    control(&desk.sandbox, "roles", &json!({ "functions": { "Finance/Agreements": { "add": "None" } } }));
})]
fn c3_27_each_thing_that_is_looked_at_has_a_code_of_its_own(#[case] code: &str, #[case] fixture: Fixture) {
    let (desk, pass) = Desk::ready(&[sale()]);
    let person = desk.person(&pass);
    let clean = validate(&person, &[]);
    assert_eq!(clean["state"], "success", "{clean}");
    fixture(&desk, &person);
    let failed = validate(&person, &[]);
    assert_eq!((&failed["state"], errors(&failed)), (&json!("error"), vec![code.to_owned()]), "{failed}");
    assert_eq!(failed["next"], Value::Null);
}

/// Fixtures give nothing back.
trait DropIt: Sized {
    fn drop_it(self) {}
}
impl<T> DropIt for T {}

#[test]
fn c3_27_a_history_with_a_gap_is_no_ground_to_bill_on() {
    let (mut desk, pass) = Desk::ready(&[sale()]);
    let person = desk.person(&pass);
    set(&person, "source.keeps_days", "90");
    assert_eq!(validate(&person, &[])["state"], "success");
    const DAY_MS: i64 = 86_400_000;
    let mut first_read = None;
    for (days, severity) in [(45, "warning"), (90, "error")] {
        desk.service.behind_its_back(async |store| {
            use trueup_engine::ports::Store;
            let org = trueup_domain::ids::OrganizationId::from("default");
            let known = store.load_mark(&org, "read/c3").await.unwrap().unwrap();
            let known: Value = serde_json::from_str(&known).unwrap();
            let read = *first_read.get_or_insert(known["last"].as_i64().unwrap());
            let mark = json!({ "last": read - days * DAY_MS, "gap": null }).to_string();
            store.save_mark(&org, "read/c3", &mark).await.unwrap();
        });
        let person = desk.person(&pass);
        let told = validate(&person, &[]);
        let row = told["rows"].as_array().unwrap().iter().find(|row| row["code"] == "TU8005").unwrap();
        assert_eq!((&row["severity"], &row["field"]), (&json!(severity), &json!("source")), "{told}");
        assert_eq!(told["state"] == "error", severity == "error", "{told}");
        run(&person, &json!({ "kind": "check" }));
        let found = person.get(&format!("{ORG}/findings?code=TU8005")).is(200).json();
        assert_eq!(found["items"][0]["severity"], severity, "{found}");
    }
}

#[test]
fn c3_27_less_than_nothing_is_refused_where_it_comes_in() {
    let (desk, pass) = Desk::ready(&[sale()]);
    let person = desk.person(&pass);
    let told = tell(&person, &[Row::new("c-1", "s-2", 0, -3, "2023-03-01")]);
    let refused = &told["refused"][0];
    assert_eq!((&refused["code"], &refused["field"]), (&json!("TU5004"), &json!("NewQuantity")), "{told}");
    assert_eq!(validate(&person, &[])["customers"].as_array().unwrap().len(), 1, "the other row goes on");
}

#[test]
fn c3_27_what_lies_in_an_invoiced_period_is_no_error() {
    let (desk, pass) = Desk::ready(&[sale()]);
    let person = desk.person(&pass);
    let first = validate(&person, &[]);
    assert_eq!(upload(&person, &first)["state"], "success", "{first}");
    desk.patch("finance/agreements/40", "nextInvoiceDate", json!("2023-04-01"));
    tell(&person, &[Row::new("c-1", "s-1", 5, 8, "2023-03-15")]);
    let told = validate(&person, &[]);
    assert_eq!(told["state"], "success", "{told}");
    assert_eq!(errors(&told), [""; 0], "{told}");
    assert_eq!(upload(&person, &told)["state"], "success");
}

#[test]
fn c3_29_the_others_are_validated_again_with_the_same_amounts() {
    let rows =
        [sale(), Row::new("c-2", "s-2", 0, 3, "2023-03-10"), Row::new("c-3", "s-3", 0, 1, "2023-03-01")];
    let (desk, pass) = Desk::ready(&rows);
    let person = desk.person(&pass);
    let failed = validate(&person, &[]);
    assert_eq!((&failed["state"], errors(&failed)), (&json!("error"), vec!["TU2001".to_owned()]), "{failed}");
    let clean = job(&person, "", &json!({ "clean_of": id(&failed) }));
    assert_eq!(clean["state"], "success", "{clean}");
    let others = failed["customers"].as_array().unwrap().iter().filter(|sum| sum["failing"] == false);
    assert_eq!(clean["customers"], json!(others.collect::<Vec<_>>()));
    assert_eq!(clean["of"], failed["job_id"]);
    let amounts: Vec<&Value> =
        clean["customers"].as_array().unwrap().iter().map(|sum| &sum["amounts"]["USD"]).collect();
    // 5 x 20.00; 3 x 20.00 and 3 x 20.00 x 22/31 = 42.58 for 10 to 31 March.
    assert_eq!(amounts.len(), 2, "{clean}");
    assert_eq!(amounts[0], "100.00");
    assert_eq!(upload(&person, &clean)["state"], "success");
}

#[test]
fn c3_30_c3_d15_the_grid_is_a_table_that_runs_nothing() {
    let formula = "=HYPERLINK(\"http://evil.example\")";
    let row = Row::new("c-1", "s-1", 0, 5, "2023-03-01").with("ProductName", formula);
    let (desk, pass) = Desk::ready(&[row]);
    let person = desk.person(&pass);
    let failed = validate(&person, &[]);
    let grid = person.get(&format!("{ORG}/jobs/{}/grid", id(&failed))).is(200);
    assert!(grid.header("content-type").unwrap().starts_with("text/csv"));
    let mut reader = csv::Reader::from_reader(grid.body.as_slice());
    let header: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    assert_eq!(
        header.join(" "),
        "row severity code source customer company agreement product catalog_item subscription task order date field \
         detail message fix link"
    );
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), failed["rows"].as_array().unwrap().len());
    let product = header.iter().position(|name| name == "product").unwrap();
    assert!(rows.iter().any(|row| row[product] == format!("'{formula}")), "{rows:?}");
    let runs = |cell: &str| cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    assert!(rows.iter().flat_map(csv::StringRecord::iter).all(|cell| !runs(cell)), "{rows:?}");
}
