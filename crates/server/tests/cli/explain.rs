//! `audit explain` as a billing clerk reads it: why this amount, why this cost, why this day.

use super::bench::{BASE, Bench, MAPPINGS, sale, upgrade};
use serde_json::Value;

fn applied(feed: &str) -> Bench {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    bench.feed(&format!("{BASE}{feed}")).exits(0);
    bench.map(&format!("{MAPPINGS}fee,cancellation,7,,\n")).exits(0);
    bench.json(&["check"]).exits(0);
    bench.json(&["apply", "--all"]);
    bench
}

/// The values of the addition that an order wrote in a role.
fn explained(bench: &Bench, order: &str, role: &str) -> Value {
    let state = bench.ask("state");
    let all = state["resources"]["finance/agreements/{id}/additions"]["40"].as_array().unwrap().clone();
    let found = all.iter().find_map(|row| {
        let document = bench.json(&["audit", "explain", &row["id"].to_string()]).exits(0).json();
        let first = document["changes"][0].clone();
        let is = document["role"] == role
            && first["op"] == "create"
            && first["reason"].to_string().contains(order);
        is.then(|| document["values"].clone())
    });
    found.unwrap_or_else(|| panic!("no {role} line of {order}: {all:?}"))
}

#[track_caller]
fn says(values: &Value, name: &str, value: &str, how: &str) {
    assert_eq!(values[name]["value"], value, "{name}: {values}");
    assert_eq!(values[name]["formula"], how, "{name}: {values}");
}

#[test]
fn the_days_of_a_change_are_those_of_its_order() {
    let bench = applied(&format!("{}{}", sale(), upgrade()));
    let part = explained(&bench, "CH-1", "prorate");
    says(&part, "effectiveDate", "2023-03-15", "the day of order CH-1, completed 2023-03-15T09:00:00Z");
    says(
        &part,
        "cancelledDate",
        "2023-03-31",
        "the last day of the period of order CH-1: what is billed once ends with it",
    );
    says(&part, "description", "Exchange Online (Plan 1)", "the name of product exo-p1 at default");
    says(
        &part,
        "invoiceDescription",
        "Exchange Online (Plan 1) (2023-03-15 to 2023-03-31)",
        "the text, with the days that it is for (2023-03-15 to 2023-03-31)",
    );
    assert_eq!(part["effectiveDate"]["inputs"]["order"]["completed_at"], "2023-03-15T09:00:00Z", "{part}");
    assert_eq!(part["effectiveDate"]["inputs"]["agreement"]["next_invoice"], "2023-03-01", "{part}");
    let next = explained(&bench, "CH-1", "recurring");
    says(
        &next,
        "effectiveDate",
        "2023-04-01",
        "it holds from 2023-03-15 (the day of order CH-1, completed 2023-03-15T09:00:00Z); 2023-03-15 to 2023-03-31 is \
         billed by itself or not at all, and this is the first day after it",
    );
    says(&next, "quantity", "8", "new_quantity of order line 1");
    let old = explained(&bench, "SO-1", "recurring");
    says(&old, "effectiveDate", "2023-03-01", "the day of order SO-1, completed 2023-03-01T09:00:00Z");
    says(
        &old,
        "cancelledDate",
        "2023-03-31",
        "the last day of the period of order CH-1, 2023-03-01 to 2023-03-31: it is paid for up to then",
    );
    assert_eq!(old["cancelledDate"]["order_id"], "CH-1", "{old}");
    assert_eq!(old["cancelledDate"]["inputs"]["line"]["id"], "1", "{old}");
}

#[test]
fn what_is_invoiced_already_says_why_it_is_dated_later() {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-04-01");
    bench.feed(&format!("{BASE}{}", sale())).exits(0);
    bench.map(MAPPINGS).exits(0);
    bench.json(&["check"]).exits(0);
    bench.json(&["apply", "--all"]);
    let caught_up = explained(&bench, "invoiced before this line", "prorate");
    let how = caught_up["effectiveDate"]["formula"].as_str().unwrap();
    assert!(how.starts_with("it is for 2023-03-01 to 2023-03-31 (the day of order SO-1,"), "{how}");
    assert!(how.ends_with(
        "which is invoiced already, so it is dated into the open period, of which this is the first day"
    ));
    let goes_on = explained(&bench, "SO-1", "recurring");
    let how = goes_on["effectiveDate"]["formula"].as_str().unwrap();
    assert!(how.ends_with("this is the first day after it, and no invoice has billed it yet"), "{how}");
}

const CANCELLATION: &str = concat!(
    r#"{"type":"order","id":"CX-1","kind":"cancellation","subscription":"s-1","completed_at":"2023-03-19T09:00:00Z","#,
    r#""period":{"start":"2023-03-01","end":"2023-04-01"},"currency":"USD","lines":["#,
    r#"{"id":"1","product":"exo-p1","charge":"prorate","quantity":"5","unit_price":"22.00","unit_cost":"17.60","#,
    r#""amount":"60.00","cost_amount":"48.30"},"#,
    r#"{"id":"2","product":"exo-p1","charge":"cancellation","quantity":"1","unit_price":"45.00","unit_cost":"36.00"}]}"#,
    "\n"
);

#[test]
fn an_amount_and_a_cost_of_the_source_are_shared_among_the_units() {
    let bench = applied(&sale());
    bench.feed(CANCELLATION).exits(0);
    bench.json(&["check"]).exits(0);
    bench.json(&["apply", "--all"]);
    let used = explained(&bench, "CX-1", "prorate");
    says(&used, "unitPrice", "12.00", "60.00, amount of order line 1, / 5 = 12.00");
    says(&used, "unitCost", "9.66", "48.30, cost_amount of order line 1, / 5 = 9.66");
    let fee = explained(&bench, "CX-1", "cancellation");
    says(&fee, "unitPrice", "45.00", "45.00 of the order line");
    says(&fee, "unitCost", "36.00", "36.00 of the order line");
    says(&fee, "effectiveDate", "2023-03-19", "the day of order CX-1, completed 2023-03-19T09:00:00Z");
}

const NETTED: &str = concat!(
    r#"{"type":"order","id":"CH-2","kind":"change","subscription":"s-1","completed_at":"2023-03-15T09:00:00Z","#,
    r#""period":{"start":"2023-03-01","end":"2023-04-01"},"currency":"USD","lines":["#,
    r#"{"id":"1","product":"exo-p1","charge":"refund","quantity":"5","amount":"-60.30","cost_amount":"-48.00"},"#,
    r#"{"id":"2","product":"exo-p1","charge":"prorate","quantity":"8","amount":"96.60","cost_amount":"77.40"},"#,
    r#"{"id":"3","product":"exo-p1","charge":"recurring","quantity":"3","old_quantity":"5","new_quantity":"8","#,
    r#""unit_price":"22.00","unit_cost":"17.60"}]}"#,
    "\n"
);

#[test]
fn parts_that_were_netted_name_their_lines() {
    let bench = applied(&format!("{}{NETTED}", sale()));
    let part = explained(&bench, "CH-2", "prorate");
    says(&part, "unitPrice", "12.10", "-60.3 + 96.6 = 36.30 (lines 1 and 2 of the order, netted)");
    says(&part, "unitCost", "9.80", "9.80: the costs of the same parts, netted and rounded as the price is");
    let lines: Vec<&Value> =
        part["unitPrice"]["inputs"]["netted_lines"].as_array().unwrap().iter().map(|l| &l["id"]).collect();
    assert_eq!(lines, ["1", "2"]);
}
