//! What an import makes of input that is unusual: totals, marks, models that are not supported, lines that are hostile.

use super::bench::{BASE, Bench, order};
use serde_json::{Value, json};
use std::path::Path;

#[test]
fn totals_are_exact_whatever_the_places() {
    let bench = Bench::new("2023-03-20");
    let price = "123456789.123456789012345678";
    let line = |id: &str, quantity: &str, price: &str| {
        let rest = format!(r#""charge":"one_time","quantity":"{quantity}""#);
        order(id, "billing", "2023-03-01", &rest)
            .replace("\"unit_price\":\"22.00\"", &format!("\"unit_price\":\"{price}\""))
    };
    let text = format!(
        "{BASE}{}{}{}",
        line("A", "1.000000000000000001", price),
        line("B", "1.000000000000000003", "0.000000000000000007"),
        line("C", "3", "0.10"),
    );
    let file = bench.file("many.ndjson", &text);
    for command in ["check", "import"] {
        let taken = bench.json(&["feed", command, &file]).exits(0).json();
        let usd = &taken["totals"]["by_currency"]["USD"];
        assert_eq!(usd["amount"], "123456789.423456789135802474123456789012345699", "{taken}");
        assert_eq!(usd["cost"], "88.0000000000000000704", "{taken}");
        assert_eq!(taken["warnings"], json!([]), "{taken}");
    }
}

/// Statement-day alignment and a charge before the whole term are never billed in another way.
#[test]
fn billing_that_is_not_supported_is_an_ignored_task() {
    let data =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../sources/tests/data/dialects/cloudblue-simpleapi");
    let changes: [fn(&mut Value); 2] = [
        |subscription| subscription["billingModel"] = "chargeBeforeSubscriptionPeriod".into(),
        |subscription| subscription["billingPeriod"]["type"] = "statement_day".into(),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let bench = Bench::new("2024-01-20");
        let text = std::fs::read_to_string(data.join("subscription.1000100.json")).unwrap();
        let mut subscription: Value = serde_json::from_str(&text).unwrap();
        change(&mut subscription);
        let file = bench.file("subscription.json", &subscription.to_string());
        let order = data.join("order.900001.json").display().to_string();
        let customers = data.join("customers.json").display().to_string();
        let import = ["feed", "import", "--from", "cloudblue-simpleapi", &customers, &file, &order];
        bench.json(&import).exits(i32::from(number == 1));
        bench.json(&["check", "--since", "2024-01-01"]).exits(1);
        let tasks = bench.json(&["task", "list"]).exits(0).json();
        let states: Vec<&Value> = tasks["tasks"].as_array().unwrap().iter().map(|t| &t["state"]).collect();
        assert_eq!(states, ["ignored"], "{number}: {tasks}");
        let told = bench.json(&["finding", "list", "--code", "TU4004"]).exits(0).json();
        assert_eq!(told["findings"].as_array().map(Vec::len), Some(1), "{number}: {told}");
    }
}

/// Ids that no record can have are not kept, and reasons are as long as a sentence.
#[test]
fn hostile_ids_are_not_remembered() {
    let bench = Bench::new("2023-03-20");
    let long = "x".repeat(1 << 20);
    let lines: String = (0..5).map(|n| format!("{{\"type\":\"order\",\"id\":\"{n}{long}\"}}\n")).collect();
    let taken = bench.feed(&lines).exits(1).json();
    assert_eq!(taken["refused"].as_array().map(Vec::len), Some(5));
    let told = bench.json(&["check"]).exits(1).json().to_string();
    assert!(told.len() < 20_000, "{}", told.len());
}
