//! Upload: exactly what was validated, once, whatever happens.

use super::desk::{Desk, Row, ended, errors, id, map, sale, tell, upload, validate};
use crate::bench::Person;
use crate::sandbox::{ORG, control};
use rstest::rstest;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Quantity and price of the lines of an agreement, sorted.
fn lines(desk: &Desk, agreement: i64) -> Vec<String> {
    let mut lines: Vec<String> = desk
        .additions(agreement)
        .iter()
        .map(|line| {
            format!("{} x {}", line["quantity"].as_f64().unwrap(), line["unitPrice"].as_f64().unwrap())
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn c3_31_c3_34_an_upload_is_a_job_of_its_own_and_the_second_one_writes_nothing() {
    let (desk, pass) = Desk::ready(&[sale()]);
    let person = desk.person(&pass);
    let validated = validate(&person, &[]);
    let done = upload(&person, &validated);
    assert_eq!(
        (&done["kind"], &done["state"], &done["of"]),
        (&json!("upload"), &json!("success"), &validated["job_id"])
    );
    let list = person.get(&format!("{ORG}/jobs")).is(200).json();
    let kinds: Vec<&Value> = list["items"].as_array().unwrap().iter().map(|job| &job["kind"]).collect();
    assert_eq!(kinds, ["upload", "validate"]);
    assert_eq!(lines(&desk, 40), ["5 x 20"]);
    let writes = desk.writes().len();
    // The same again, the same rows again, and a new validation of the same period.
    assert_eq!(upload(&person, &validated)["state"], "error");
    tell(&person, &[sale()]);
    let again = validate(&person, &[]);
    assert_eq!(again["state"], "success", "{again}");
    assert_eq!(upload(&person, &again)["state"], "success");
    assert_eq!(desk.writes().len(), writes);
}

#[rstest]
#[case::part_line("prorate_line")]
#[case::one_line("single")]
#[case::two_lines("dual")]
#[case::dated_lines("commitment")]
fn c3_32_what_is_there_after_an_upload_is_the_plan_field_by_field(#[case] mode: &str) {
    let term =
        |row: Row| row.with("CommitmentStartDate", "2023-03-01").with("CommitmentEndDate", "2024-02-29");
    let rows = [
        term(sale()),
        Row::new("c-1", "s-1", 5, 8, "2023-03-15"),
        term(Row::new("c-2", "s-2", 0, 3, "2023-03-01")),
    ];
    let (desk, pass) = Desk::ready(&rows);
    let person = desk.person(&pass);
    super::desk::set(&person, "line_mode", mode);
    let validated = validate(&person, &[]);
    assert_eq!(validated["state"], "success", "{validated}");
    let done = upload(&person, &validated);
    assert_eq!(done["state"], "success", "{done}");
    let plan = person.get(&format!("{ORG}/plans/{}", done["plan_id"].as_str().unwrap())).is(200).json();
    // What each line is to hold in the end: a later change of the plan may end what an earlier one made.
    let mut wanted: BTreeMap<i64, BTreeMap<String, Value>> = BTreeMap::new();
    for change in plan["changes"].as_array().unwrap() {
        let addition = change["addition_id"].as_i64().unwrap();
        let fields = change["fields"].as_object().unwrap();
        let to = fields.iter().map(|(field, change)| (field.clone(), change["to"].clone()));
        wanted.entry(addition).or_default().extend(to);
        if change["op"] == "delete" {
            wanted.remove(&addition);
        }
    }
    let there = [desk.additions(40), desk.additions(50)].concat();
    assert_eq!(there.len(), wanted.len(), "{plan}");
    for line in there {
        let wanted = &wanted[&line["id"].as_i64().unwrap()];
        let to = |field: &str| wanted.get(field).and_then(Value::as_str);
        assert_eq!(Some(line["product"]["id"].to_string().as_str()), to("product"));
        for field in ["quantity", "unitPrice", "unitCost"] {
            let to: f64 = to(field).unwrap().parse().unwrap();
            assert_eq!(line[field].as_f64(), Some(to), "{field}: {plan} {line}");
        }
        for field in ["effectiveDate", "cancelledDate"] {
            assert_eq!(line[field].as_str().map(|text| &text[..10]), to(field), "{field}: {plan} {line}");
        }
        for field in ["description", "invoiceDescription"].into_iter().filter(|field| to(field).is_some()) {
            assert_eq!(line[field].as_str(), to(field), "{field}: {plan} {line}");
        }
    }
    // 5 x 20 + 3 x 20 x 17/31 = 132.90, and 3 x 20 in dual: 8 x 20 and 1 x -27.10.
    let march = match mode {
        "single" => vec!["8 x 16.61", "8 x 20"],
        "dual" | "commitment" => vec!["1 x -27.1", "8 x 20"],
        _ => vec!["3 x 10.97", "5 x 20", "8 x 20"], // open set: the usual mode
    };
    assert_eq!(lines(&desk, 40), march);
    if mode == "commitment" {
        let ends = |agreement| {
            let lines = desk.additions(agreement);
            let of = lines.iter().filter(|line| line["unitPrice"].as_f64() == Some(20.0));
            of.map(|line| line["cancelledDate"].as_str().unwrap_or_default()[..10].to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!((ends(40), ends(50)), (vec!["2024-02-29".to_owned()], vec!["2024-02-29".to_owned()]));
    }
}

type Meanwhile = fn(&Desk, &Person<'_>);

#[rstest]
#[case::a_mapping(|_: &Desk, person: &Person<'_>| { map(person, "product", "Mail", 8).is(200); })]
#[case::a_row_of_the_source(|_: &Desk, person: &Person<'_>| { tell(person, &[sale(), Row::new("c-1", "s-1", 5, 8, "2023-03-15")]); })]
#[case::a_row_that_is_corrected(|_: &Desk, person: &Person<'_>| { tell(person, &[sale().with("NewPrice", 21.00)]); })]
#[case::the_addition(|desk: &Desk, _: &Person<'_>| {
    let line = json!({ "product": { "id": 7 }, "quantity": 5, "unitPrice": 20, "unitCost": 16,
        "billCustomer": "Billable", "effectiveDate": "2023-03-01T00:00:00Z" });
    desk.by_hand("POST", "finance/agreements/40/additions", &line).is(201);
})]
fn c3_33_what_changes_after_a_validation_makes_it_stale(#[case] meanwhile: Meanwhile) {
    let (desk, pass) = Desk::ready(&[sale()]);
    let person = desk.person(&pass);
    let validated = validate(&person, &[]);
    assert_eq!(validated["state"], "success", "{validated}");
    meanwhile(&desk, &person);
    let writes = desk.writes().len();
    let refused = upload(&person, &validated);
    assert_eq!(refused["state"], "error");
    assert!(refused["problem"]["detail"].as_str().unwrap().contains("does not hold any more"), "{refused}");
    assert_eq!(desk.writes().len(), writes);
}

#[test]
fn c3_35_what_was_written_stays_and_the_rest_alone_is_sent_again() {
    let (desk, pass) = Desk::ready(&[sale(), Row::new("c-2", "s-2", 0, 3, "2023-03-01")]);
    let person = desk.person(&pass);
    let validated = validate(&person, &[]);
    let fails = json!({ "match": { "method": "POST", "path_contains": "/50/additions" }, "action": "status", "status": 400,
        "body": r#"{"code":"InvalidObject","message":"addition object is invalid","errors":[]}"# });
    control(&desk.sandbox, "faults", &json!({ "schedule": [fails] }));
    let failed = upload(&person, &validated);
    assert_eq!((&failed["state"], &failed["next"]), (&json!("error"), &json!("retry")), "{failed}");
    assert_eq!(errors(&failed), ["TU7004"], "{failed}");
    assert_eq!(failed["rows"].as_array().unwrap().iter().filter(|r| r["customer_id"] == "c-1").count(), 0);
    assert_eq!((lines(&desk, 40), lines(&desk, 50)), (vec!["5 x 20".to_owned()], vec![]));
    let writes = desk.writes().len();
    let again = upload(&person, &failed);
    assert_eq!(again["state"], "success", "{again}");
    assert_eq!(again["of"], failed["job_id"]);
    assert_eq!(desk.writes()[writes..], ["POST /v4_6_release/apis/3.0/finance/agreements/50/additions"]);
    assert_eq!((lines(&desk, 40), lines(&desk, 50)), (vec!["5 x 20".to_owned()], vec!["3 x 20".to_owned()]));
}

#[test]
fn c3_36_a_crash_in_an_upload_doubles_nothing_and_loses_nothing() {
    let rows: Vec<Row> = (1..=6).map(|n| Row::new("c-1", &format!("s-{n}"), 0, n, "2023-03-01")).collect();
    let (mut desk, pass) = Desk::ready(&rows);
    let person = desk.person(&pass);
    let validated = validate(&person, &[]);
    assert_eq!(validated["state"], "success", "{validated}");
    // The third line is made, and nobody hears of it.
    let silent = json!({ "match": { "method": "POST", "path_contains": "additions" }, "nth": 3, "action": "slow",
        "delay_ms": 600_000 });
    control(&desk.sandbox, "faults", &json!({ "schedule": [silent] }));
    let path = format!("{ORG}/jobs/{}/upload", id(&validated));
    let started = person.post(&path, &json!({})).is(202);
    let location = started.header("location").unwrap().to_owned();
    let began = Instant::now();
    while desk.additions(40).len() < 3 {
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", desk.writes());
        std::thread::sleep(Duration::from_millis(50));
    }
    desk.service.kill();
    control(&desk.sandbox, "faults", &json!({ "schedule": [] }));
    desk.service.up();
    let person = desk.person(&pass);
    let over = ended(&person, &location);
    assert_eq!(over["state"], "success", "{over}");
    assert_eq!(lines(&desk, 40), ["1 x 20", "2 x 20", "3 x 20", "4 x 20", "5 x 20", "6 x 20"]);
    let after = validate(&person, &[]);
    assert_eq!(after["customers"], json!([]), "nothing is left: {after}");
}

/// What is told of a subscription in the state that it is in from a day on.
fn becomes(status: &str, to: i64, on: &str) -> Row {
    Row::new("c-1", "s-1", 5, to, on).with("OldStatus", "Active").with("NewStatus", status)
}

#[rstest]
fn c3_d23_what_is_suspended_or_disabled_is_billed_on(#[values("Suspended", "Disabled")] status: &str) {
    let (desk, pass) = Desk::ready(&[sale()]);
    let person = desk.person(&pass);
    let validated = validate(&person, &[]);
    assert_eq!(upload(&person, &validated)["state"], "success", "{validated}");
    let before = desk.additions(40);
    tell(&person, &[becomes(status, 0, "2023-03-10")]);
    let told = validate(&person, &[]);
    assert_eq!(told["state"], "success", "{told}");
    upload(&person, &told);
    assert_eq!(desk.additions(40), before);
}

#[test]
fn c3_d23_what_is_deleted_ends_where_it_was_billed() {
    let (desk, pass) = Desk::ready(&[sale()]);
    let person = desk.person(&pass);
    let validated = validate(&person, &[]);
    assert_eq!(upload(&person, &validated)["state"], "success", "{validated}");
    let line = desk.additions(40)[0]["id"].clone();
    desk.patch("finance/agreements/40", "nextInvoiceDate", json!("2023-04-01"));
    tell(&person, &[becomes("Deleted", 0, "2023-03-20")]);
    let told = validate(&person, &[]);
    assert_eq!(upload(&person, &told)["state"], "success", "{told}");
    let lines = desk.additions(40);
    let there = lines.iter().find(|left| left["id"] == line);
    assert!(there.is_some_and(|line| line["cancelledDate"].is_string()), "{lines:?}");
}
