//! The product history of C3. The invented world comes out as `canonical.json` says, and rows that tell too little or
//! contradict each other are told.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use rstest::rstest;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use trueup_domain::feed::{Order, Record, Subscription, SubscriptionStatus};
use trueup_engine::ports::Refusal;
use trueup_sources::{ReadOptions, dialect};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/dialects/c3").join(name)
}

#[derive(Default)]
struct Told {
    records: Vec<Record>,
    refused: Vec<Refusal>,
}

impl Told {
    fn of(files: &[PathBuf], currency: Option<&str>) -> Self {
        let currency = currency.map(|code| code.parse().unwrap());
        let options = ReadOptions { currency, ..ReadOptions::default() };
        let mut told = Self::default();
        for item in dialect("c3-history").unwrap().read(files, options) {
            match item {
                Ok(record) => told.records.push(record),
                Err(refusal) => told.refused.push(refusal),
            }
        }
        told
    }

    fn orders(&self) -> Vec<&Order> {
        let orders = self.records.iter().filter_map(|record| match record {
            Record::Order(order) => Some(order),
            _ => None,
        });
        orders.collect()
    }

    fn subscription(&self) -> &Subscription {
        let mut found = self.records.iter().filter_map(|record| match record {
            Record::Subscription(subscription) => Some(subscription),
            _ => None,
        });
        found.next().unwrap()
    }

    /// One line an order: what it does, since when, in which period, from how many to how many at which price.
    fn shown(&self) -> String {
        let mut text = String::new();
        for order in self.orders() {
            let (kind, days) = (order.kind.name(), order.period);
            let days = format!("{}..{}", days.start(), days.last_day());
            write!(text, "{} {kind} {} in {days}", order.status, order.effective).unwrap();
            for line in &order.lines {
                let old = line.old_quantity.map_or("-".to_owned(), |old| old.display());
                let new = line.new_quantity.unwrap_or(line.quantity).display();
                let price = line.unit_price.map_or("-".to_owned(), |price| price.to_string());
                write!(text, ": {old} to {new} at {price}").unwrap();
            }
            text.push('\n');
        }
        text
    }

    fn codes(&self) -> Vec<&str> {
        self.refused.iter().map(|refusal| refusal.code.as_str()).collect()
    }
}

const HEADER: &str = "CustomerID,SubscriptionID,ProductName,OldQuantity,NewQuantity,DateofChange,OldStatus,NewStatus,\
                      OldPrice,NewPrice,CurrencyCode,BillingCycle,CommitmentStartDate,CommitmentEndDate";

/// Rows of one subscription as a table; each is the columns from OldQuantity on.
fn history(rows: &[&str]) -> Told {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("history.csv");
    let rows: String = rows.iter().map(|row| format!("c-1,s-1,Mail,{row}\n")).collect();
    std::fs::write(&file, format!("{HEADER}\n{rows}")).unwrap();
    Told::of(&[file], None)
}

#[rstest]
#[case::as_it_is_spelled("activecustomers.json")]
#[case::as_the_other_manual_spells_it("activecustomers.other-spelling.json")]
fn the_invented_world_comes_out(#[case] customers: &str) {
    let told = Told::of(&[data("subscriptionhistory.json"), data(customers)], None);
    assert_eq!(told.refused, []);
    assert_eq!(
        told.shown(),
        "completed change 2025-06-01 in 2025-05-01..2025-05-31: 5 to 0 at 12.500\n\
         completed change 2025-06-11 in 2025-06-01..2025-06-30: 10 to 12 at 12.500\n"
    );
    let customers: Vec<_> = told
        .records
        .iter()
        .filter_map(|record| match record {
            Record::Customer(c) => {
                Some((c.name.as_str(), c.currency.unwrap().to_string(), record.is_mentioned()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(
        customers,
        [("Birch & Söhne GmbH", "EUR".to_owned(), false), ("Alder Dental Ltd", "GBP".to_owned(), false)]
    );
    let first = told.orders()[0];
    assert_eq!(first.id.as_str(), "9644dc82-fd8c-5e2a-a2c3-b4409dca6293|2025-05-31T23:59:59.353|0|Deleted");
    assert_eq!(first.completed_at, "2025-05-31T23:59:59.353Z");
    assert_eq!(first.ext.0["createdby"].get(), "\"ops@msp.example\"");
    // The same answers again, and a row that two reports have, are the same records.
    let twice =
        [data("subscriptionhistory.json"), data("subscriptionhistory.json"), data("activecustomers.json")];
    assert_eq!(Told::of(&twice, None).shown(), told.shown());
}

#[test]
fn an_error_inside_a_good_answer_is_no_empty_list() {
    let told = Told::of(&[data("error-inside-200.json")], None);
    assert_eq!(told.codes(), ["TU8001"]);
    assert!(told.refused[0].reason.contains("customer not found"), "{:?}", told.refused);
    assert!(told.records.is_empty());
}

#[rstest]
#[case::from_nothing_is_a_sale(
    &["0,5,2023-03-01T09:00:00,,Active,,22.00,USD,,,"],
    "completed sales 2023-03-01 in 2023-03-01..2023-03-31: - to 5 at 22.00\n"
)]
#[case::another_price_is_a_change(
    &["5,5,2023-03-15,Active,Active,22.00,23.00,USD,,,"],
    "completed change 2023-03-15 in 2023-03-01..2023-03-31: 5 to 5 at 23.00\n"
)]
#[case::deleted_is_a_change_to_nothing(
    &["8,0,2023-03-20 10:00:00,Active,Deleted,22.00,22.00,USD,,,"],
    "completed change 2023-03-20 in 2023-03-01..2023-03-31: 8 to 0 at 22.00\n"
)]
#[case::deleted_with_its_last_quantity(
    &["8,8,2023-03-20 10:00:00,Active,Deleted,22.00,22.00,USD,,,"],
    "completed change 2023-03-20 in 2023-03-01..2023-03-31: 8 to 0 at 22.00\n"
)]
#[case::suspended_is_billed_on(
    &["8,0,2023-03-20,Active,Suspended,22.00,22.00,USD,,,", "0,8,2023-03-25,Suspended,Active,22.00,22.00,USD,,,"],
    "completed change 2023-03-20 in 2023-03-01..2023-03-31\ncompleted change 2023-03-25 in 2023-03-01..2023-03-31\n"
)]
#[case::a_year_is_laid_from_the_commitment(
    &["5,8,2023-06-15,Active,Active,264.00,264.00,USD,Yearly,2023-03-10,2024-03-09"],
    "completed change 2023-06-15 in 2023-03-10..2024-03-09: 5 to 8 at 264.00\n"
)]
#[case::a_sale_begins_with_its_commitment(
    &["0,5,2023-03-10T18:00:00,,Active,,22.00,USD,Monthly,2023-03-11,2024-03-10"],
    "completed sales 2023-03-11 in 2023-03-01..2023-03-31: - to 5 at 22.00\n"
)]
#[case::the_next_commitment_is_a_renewal(
    &["5,5,2024-03-01,Active,Active,22.00,22.00,USD,Monthly,2024-03-10,2025-03-09"],
    "completed renewal 2024-03-10 in 2024-03-01..2024-03-31: - to 5 at 22.00\n"
)]
fn a_row_becomes_an_order(#[case] rows: &[&str], #[case] wanted: &str) {
    let told = history(rows);
    assert_eq!(told.refused, []);
    assert_eq!(told.shown(), wanted);
}

#[test]
fn the_last_row_tells_what_a_subscription_is() {
    let rows = [
        "0,5,2023-03-10T09:00:00,,Active,,22.00,USD,,2023-03-10,2024-03-09",
        "5,8,2023-03-15T09:00:00,Active,Active,22.00,21.00,,,,",
    ];
    let told = history(&rows);
    let sold = told.subscription();
    assert_eq!((sold.start.to_string(), sold.status), ("2023-03-10".to_owned(), SubscriptionStatus::Active));
    let term = sold.term.unwrap();
    assert_eq!(
        (term.start.to_string(), term.end.unwrap().to_string()),
        ("2023-03-10".into(), "2024-03-10".into())
    );
    let item = &sold.items[0];
    assert_eq!((item.product.as_str(), item.quantity.display()), ("Mail", "8".to_owned()));
    assert_eq!(item.unit_price.unwrap().to_string(), "21.00");
    let told = history(&[&rows[..], &["8,0,2023-03-20T09:00:00,Active,Deleted,21.00,21.00,,,,"]].concat());
    let sold = told.subscription();
    assert_eq!(
        (sold.status, sold.cancelled_on.unwrap().to_string()),
        (SubscriptionStatus::Cancelled, "2023-03-20".into())
    );
    assert_eq!(sold.items[0].quantity.display(), "8");
}

#[test]
fn a_change_that_is_missing_holds_what_follows() {
    let told = history(&[
        "0,5,2023-03-01,,Active,,22.00,USD,,,",
        "7,8,2023-03-15,Active,Active,22.00,22.00,USD,,,",
        "8,6,2023-03-20,Active,Active,22.00,22.00,USD,,,",
    ]);
    assert_eq!(told.codes(), ["TU8005"]);
    assert!(told.refused[0].reason.contains("left 5 and this one starts from 7"), "{:?}", told.refused);
    let states: Vec<&str> = told.orders().iter().map(|order| order.status.as_str()).collect();
    assert_eq!(states, ["completed", "gap", "gap"]);
}

#[rstest]
#[case::no_day("0,5,soon,,Active,,22.00,USD,,,", "TU8004", "DateofChange")]
#[case::a_word_that_nobody_knows("0,5,2023-03-01,,Frozen,,22.00,USD,,,", "TU8004", "NewStatus")]
#[case::below_nothing("0,-5,2023-03-01,,Active,,22.00,USD,,,", "TU5004", "NewQuantity")]
#[case::no_number("0,five,2023-03-01,,Active,,22.00,USD,,,", "TU8004", "NewQuantity")]
#[case::no_price("0,5,2023-03-01,,Active,,cheap,USD,,,", "TU8004", "NewPrice")]
#[case::no_currency("0,5,2023-03-01,,Active,,22.00,,,,", "TU8004", "CurrencyCode")]
#[case::another_cycle("0,5,2023-03-01,,Active,,22.00,USD,Triennial,,", "TU4004", "BillingCycle")]
#[case::a_year_without_beginning(
    "5,8,2023-03-01,Active,Active,22.00,22.00,USD,Yearly,,",
    "TU4006",
    "DateofChange"
)]
#[case::ends_before_it_begins(
    "0,5,2023-03-01,,Active,,22.00,USD,,2023-03-01,2023-02-01",
    "TU8004",
    "CommitmentEndDate"
)]
fn a_row_that_tells_too_little_is_refused(#[case] row: &str, #[case] code: &str, #[case] field: &str) {
    let told = history(&[row]);
    assert!(told.orders().is_empty(), "{}", told.shown());
    let refusal = &told.refused[0];
    assert_eq!((refusal.code.as_str(), refusal.field.as_deref()), (code, Some(field)), "{refusal:?}");
    assert_eq!(refusal.line, 2);
}

#[test]
fn two_rows_that_contradict_each_other_are_told() {
    let told = history(&[
        "0,5,2023-03-01,,Active,,22.00,USD,,,",
        "0,5,2023-03-01,,Active,,23.00,USD,,,",
        "5,5,2023-03-02,Active,Active,22.00,22.00,USD,,,",
    ]);
    assert_eq!(told.codes(), ["TU8004", "TU8004"]);
    assert_eq!((told.refused[0].warning, told.refused[1].warning), (false, true), "{:?}", told.refused);
    assert_eq!(told.orders().len(), 1);
}
