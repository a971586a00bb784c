//! The day on which a run takes place, the month that it bills, and whose invoice is near.

use super::desk::{
    add, additions, agreement, assigned, count, count_at, mark, more_customers, quantities, run, seed,
    verdicts, writes_since,
};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

#[test]
#[expect(clippy::disallowed_methods, reason = "the process under test goes by the machine's clock")]
fn a_run_takes_place_on_the_day_of_the_organizations_time_zone_whatever_the_machines() {
    let bench = assigned();
    bench.json(&["setting", "set", "schedule.time_zone", "Pacific/Pago_Pago"]).exits(0);
    let day = || Timestamp::now().to_zoned(TimeZone::get("Pacific/Pago_Pago").unwrap()).date().to_string();
    count_at(&bench, &Timestamp::now().to_string(), &[("c-1", "mbx", "5")]);
    let begun = day();
    // There it is a day later at least, whatever the hour.
    let mut command = bench.command(&["quantity", "run", "--approve", "--format", "json"]);
    command.env_remove("TRUEUP_TODAY").env("TZ", "Pacific/Kiritimati");
    let done = command.output().unwrap();
    let told: Value = serde_json::from_slice(&done.stdout).unwrap();
    let made = additions(&bench, 40);
    let from = made[0]["effectiveDate"].as_str().unwrap().get(..10).unwrap().to_owned();
    assert!(from == begun || from == day(), "{from}, and it is {begun} there: {told}");
}

#[test]
fn usage_month_says_which_month_is_billed() {
    let bench = assigned();
    let used = |id: &str, day: &str, quantity: &str| {
        format!(
            "{{\"type\":\"usage\",\"id\":\"{id}\",\"customer\":\"c-1\",\"product\":\"mbx\",\"quantity\":\"{quantity}\",\
             \"start\":\"{day}\",\"end\":\"2023-12-31\"}}\n"
        )
    };
    bench.feed(&[used("u-1", "2023-02-28", "4"), used("u-2", "2023-03-01", "9")].concat()).exits(0);
    run(&bench, &["--approve"]).exits(0);
    assert_eq!(quantities(&bench, 40), [4.0], "the month before");
    bench.json(&["setting", "set", "quantity.usage_month", "current"]).exits(0);
    run(&bench, &[]).exits(0);
    assert_eq!(quantities(&bench, 40), [9.0], "this month");
    bench.json(&["setting", "set", "quantity.usage_month", "now"]).exits(2);
}

#[test]
fn before_invoice_days_lets_a_scheduled_run_write_where_the_invoice_is_near_alone() {
    let bench = assigned();
    let mut near = agreement(52, 22, "Cloud");
    near["nextInvoiceDate"] = json!("2023-03-12");
    seed(
        &bench,
        json!({ "company/companies": [{"id": 22, "identifier": "Co2", "name": "Company 2"}],
            "finance/agreements": [near] }),
    );
    bench.feed("{\"type\":\"customer\",\"id\":\"c-2\",\"name\":\"Customer 2\"}\n").exits(0);
    bench.map("customer,c-2,22,,\nagreement,customer:c-2,52,,\n").exits(0);
    bench.json(&["setting", "set", "quantity.before_invoice_days", "3"]).exits(0);
    count(&bench, &[("c-1", "mbx", "5"), ("c-2", "mbx", "6")]);
    // Who is asked about what is not due stays asked.
    run(&bench, &[]).exits(1);
    assert_eq!(open_questions(&bench), 2);
    run(&bench, &["--due"]).exits(1);
    assert_eq!(open_questions(&bench), 2);
    let ran = run(&bench, &["--due", "--approve"]).exits(0).json();
    assert_eq!(verdicts(&ran), ["create"], "{ran}");
    assert_eq!((quantities(&bench, 40), quantities(&bench, 52)), (vec![], vec![6.0]));
    // What is not due is not said to be left over either, and by hand everything is written.
    let before = mark(&bench);
    run(&bench, &["--due"]).exits(0);
    assert_eq!(writes_since(&bench, before), []);
    run(&bench, &["--approve"]).exits(0);
    assert_eq!((quantities(&bench, 40), quantities(&bench, 52)), (vec![5.0], vec![6.0]));
}

fn open_questions(bench: &crate::bench::Bench) -> usize {
    let list = bench.json(&["approval", "list"]).exits(0).json();
    list["approvals"].as_array().unwrap().len()
}

/// A run over one customer takes back no question about another's addition to be taken over.
#[test]
fn a_run_over_one_customer_leaves_the_questions_of_others() {
    let bench = assigned();
    more_customers(&bench, 1);
    add(&bench, 40, 7, "5");
    count(&bench, &[("c-1", "mbx", "5"), ("c-2", "mbx", "6")]);
    run(&bench, &[]).exits(1);
    assert_eq!(open_questions(&bench), 2);
    run(&bench, &["--customer", "c-2"]).exits(1);
    assert_eq!(open_questions(&bench), 2);
}
