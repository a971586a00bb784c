//! A published bill, to the last digit.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use trueup_domain::Decimal;
use trueup_domain::feed::{Order, Record};
use trueup_engine::ports::Refusal;
use trueup_sources::{Dialect, ReadOptions};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/focus").join(name)
}

fn read(files: &[PathBuf]) -> (Vec<Record>, Vec<Refusal>) {
    let mut records = Vec::new();
    let mut refusals = Vec::new();
    for item in Dialect::Focus.read(files, ReadOptions::default()) {
        match item {
            Ok(record) => records.push(record),
            Err(refusal) => refusals.push(refusal),
        }
    }
    (records, refusals)
}

fn orders(records: &[Record]) -> Vec<&Order> {
    records.iter().filter_map(|r| if let Record::Order(order) = r { Some(order) } else { None }).collect()
}

fn expected() -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(data("expected.json")).unwrap()).unwrap()
}

fn decimal(value: &serde_json::Value) -> Decimal {
    value.as_str().unwrap().parse().unwrap()
}

/// Money as a decimal.
fn exact(money: Option<trueup_domain::money::Money>) -> Decimal {
    money.unwrap().decimal()
}

#[test]
fn totals_and_groups_are_exact() {
    let (records, refusals) = read(&[data("focus_sample.csv")]);
    assert!(refusals.iter().all(|r| r.warning));
    let expected = expected();
    let orders = orders(&records);
    assert_eq!(orders.len(), 220);
    let billed: Decimal = orders.iter().map(|o| exact(o.lines[0].amount)).sum();
    let effective: Decimal = orders.iter().map(|o| exact(o.lines[0].cost_amount)).sum();
    assert_eq!(billed, decimal(&expected["total"]["BilledCost"]));
    assert_eq!(effective, decimal(&expected["total"]["EffectiveCost"]));
    assert_ne!(billed, decimal(&expected["wrong_if_each_row_is_rounded_to_cents_first"]["BilledCost"]));

    let found: BTreeMap<String, &&Order> = orders.iter().map(|o| (o.id.to_string(), o)).collect();
    for group in expected["groups"].as_array().unwrap() {
        let text = |name: &str| group[name].as_str().unwrap();
        let start = &text("BillingPeriodStart")[..10];
        let id = format!(
            "{}|{}|{}|{}|{start}",
            text("BillingAccountId"),
            text("SubAccountId"),
            text("ProviderName"),
            text("ServiceName")
        );
        let order = found.get(&id).unwrap_or_else(|| panic!("{id}"));
        assert_eq!(exact(order.lines[0].amount), decimal(&group["BilledCost"]), "{id}");
        assert_eq!(exact(order.lines[0].cost_amount), decimal(&group["EffectiveCost"]), "{id}");
        assert_eq!(order.ext.0["rows"].get(), group["rows"].to_string());
        assert_eq!(order.period.start().to_string(), start);
        assert_eq!(order.completed_at, format!("{}T00:00:00Z", order.period.end()));
        assert!(order.is_completed());
    }
}

#[test]
fn every_dirty_row_is_taken_in_and_named() {
    let (_, refusals) = read(&[data("focus_sample.csv")]);
    let expected = expected();
    let dirty = expected["dirty_rows"].as_array().unwrap();
    assert_eq!(refusals.len(), 59);
    assert_eq!(refusals.len(), dirty.len());
    for (refusal, row) in refusals.iter().zip(dirty) {
        assert_eq!(refusal.line, row["row"].as_u64().unwrap() + 1);
        assert!(refusal.warning && refusal.code == "TU8004");
        let faults: Vec<&str> =
            row["faults"].as_array().unwrap().iter().map(|f| f.as_str().unwrap()).collect();
        assert!(refusal.reason.ends_with(&faults.join("; ")), "{} {faults:?}", refusal.reason);
        assert!(faults[0].starts_with(refusal.field.as_deref().unwrap()));
    }
}

#[test]
fn customers_go_by_id_and_everything_referred_to_is_there() {
    let (records, _) = read(&[data("focus_sample.csv")]);
    let mut kinds: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for record in &records {
        kinds.entry(record.kind().name()).or_default().push(record.id());
    }
    assert_eq!(kinds["customer"].len(), 73);
    for record in &records {
        match record {
            Record::Subscription(s) => {
                assert!(kinds["customer"].contains(&s.customer.to_string()));
                assert!(kinds["product"].contains(&s.items[0].product.to_string()));
            }
            Record::Order(order) => assert!(kinds["subscription"].contains(&order.subscription.to_string())),
            Record::Customer(customer) => assert_eq!(customer.currency.unwrap().code(), "USD"),
            _ => {}
        }
    }
    assert!(kinds.values().flatten().all(|id| id.chars().count() <= 200));
}

const HEADER: &str = "BilledCost,EffectiveCost,BillingAccountId,BillingAccountName,SubAccountId,SubAccountName,ProviderName,ServiceName,BillingCurrency,BillingPeriodStart,BillingPeriodEnd\n";

fn bill(rows: &[&str]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(file, "{HEADER}{}", rows.join("\n")).unwrap();
    file
}

const PERIOD: &str = "2024-09-01 00:00:00,2024-10-01T00:00:00Z";

#[test]
fn a_row_without_a_usable_amount_is_refused_and_its_order_held() {
    for amount in ["NULL", "", "1e400", "abc", "12,5"] {
        let quoted = format!("\"{amount}\"");
        let file = bill(&[
            &format!("1.10,1,A,a,S,s,AWS,S3,USD,{PERIOD}"),
            &format!("{quoted},1,A,a,S,s,AWS,S3,USD,{PERIOD}"),
            &format!("2,1,A,a,S,s,AWS,EC2,USD,{PERIOD}"),
        ]);
        let (records, refusals) = read(&[file.path().to_path_buf()]);
        assert_eq!((refusals[0].line, refusals[0].field.as_deref()), (3, Some("BilledCost")), "{amount}");
        assert!(!refusals[0].warning);
        let states: Vec<&str> = orders(&records).iter().map(|o| o.status.as_str()).collect();
        assert_eq!(states, ["completed", "incomplete"]);
    }
}

#[test]
fn a_bill_in_two_files_is_one_bill() {
    let one = bill(&[&format!("0.1,0.000000000000000001,A,a,S,s,AWS,S3,USD,{PERIOD}")]);
    let two = bill(&[
        &format!("0.2,NULL,A,a,S,s,AWS,S3,USD,{PERIOD}"),
        &format!("8E-7,0,A,a,NULL,NULL,AWS,S3,USD,{PERIOD}"),
    ]);
    let (records, refusals) = read(&[one.path().into(), two.path().into()]);
    let found = orders(&records);
    assert_eq!(found.len(), 2);
    assert_eq!(exact(found[0].lines[0].amount).to_string(), "0.0000008");
    assert_eq!(found[0].customer.as_ref().unwrap().as_str(), "A");
    assert_eq!(exact(found[1].lines[0].amount).to_string(), "0.3");
    assert_eq!(found[1].lines[0].cost_amount, None);
    assert!(refusals.iter().all(|r| r.warning));
    assert_eq!(refusals.last().unwrap().code, "TU6002");
}

/// The rows of a bill have no ids: a file that is named twice, or lies there twice, would count twice.
#[test]
fn a_file_that_came_before_is_left_out() {
    let row = format!("0.1,0.05,A,a,S,s,AWS,S3,USD,{PERIOD}");
    let (one, copy) = (bill(&[&row]), bill(&[&row]));
    let other = bill(&[&row, &row]);
    let paths = [one.path(), one.path(), other.path(), copy.path()].map(PathBuf::from);
    let (records, refusals) = read(&paths);
    let found = orders(&records);
    assert_eq!(found.len(), 1);
    assert_eq!(exact(found[0].lines[0].amount).to_string(), "0.3");
    assert_eq!(exact(found[0].lines[0].cost_amount).to_string(), "0.15");
    let said: Vec<(&str, bool)> = refusals.iter().map(|r| (r.file.as_str(), r.warning)).collect();
    let name = |file: &tempfile::NamedTempFile| file.path().display().to_string();
    assert_eq!(said, [(name(&one).as_str(), true), (name(&copy).as_str(), true)]);
    assert!(refusals.iter().all(|r| r.reason.contains(&name(&one))), "{refusals:?}");
}

#[test]
fn two_currencies_are_never_added() {
    let file =
        bill(&[&format!("1,1,A,a,S,s,AWS,S3,USD,{PERIOD}"), &format!("1,1,A,a,S,s,AWS,S3,EUR,{PERIOD}")]);
    let (records, refusals) = read(&[file.path().into()]);
    assert_eq!(refusals[0].field.as_deref(), Some("BillingCurrency"));
    assert_eq!(orders(&records)[0].status, "incomplete");
}

#[test]
fn other_files_are_refused() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(file, "a,b\n1,2\n").unwrap();
    let (records, refusals) = read(&[file.path().into(), "no-such-file.csv".into()]);
    assert!(records.is_empty());
    assert!(refusals[0].reason.contains("BilledCost"));
    assert_eq!(refusals[1].code, "TU8001");
}
