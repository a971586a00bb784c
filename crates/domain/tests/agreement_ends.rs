//! Charges on an agreement that ends within an invoice period and prorates by itself.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use trueup_domain::feed::{BillingModel, Charge, OrderKind, ProductKind};
use trueup_domain::finding::Code;
use trueup_domain::period::BillingCycle;

/// ConnectWise bills 20 of 31 days of a line that ends with its agreement: the rest is told with its amount.
#[rstest]
#[case::open("2023-03-01", "1", "64.52", "35.48")]
#[case::several("2023-03-01", "3", "193.56", "106.44")]
#[case::moved_to_what_is_left("2023-03-10", "1", "35.48", "64.52")]
fn what_the_end_of_an_agreement_takes_off_a_charge_is_told(
    #[case] next: &str,
    #[case] quantity: &str,
    #[case] billed: &str,
    #[case] short: &str,
) {
    let mut lab = Lab::monthly("2023-01-01", next);
    lab.product("setup", 7, ProductKind::OneTime, "100.00", "0.00");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2023-03-01");
    lab.agreement_mut(40).prorates = true;
    lab.agreement_mut(40).end = Some(day("2023-03-20"));
    let march = period("2023-03-01", "2023-04-01");
    let fee = order("BO-1", OrderKind::Billing, "2023-03-05", march);
    let fee = fee.with(line("1", Charge::Setup, "setup", quantity, "100.00", "0.00")).0;
    let draft = lab.plan(&[&fee]);
    let told = draft.findings.iter().find(|f| f.code == Code::Tu6005).unwrap();
    assert_eq!(told.amount.unwrap().0.to_string(), short, "{told:?}");
    let written = draft.changes.iter().find(|c| c.writes()).unwrap();
    assert_eq!(written.amount.to_string(), billed, "what the plan says is what ConnectWise bills");
    let shown = lab.run(&fee);
    assert!(shown.starts_with(&format!("create setup {next}..2023-03-20")), "{shown}");
    assert_eq!([0; 2].map(|_| lab.invoice(40)), [billed, "0"]);
}

/// Where nobody prorates, all of it is billed on any day.
#[test]
fn where_nobody_prorates_nothing_is_lost() {
    let mut lab = Lab::monthly("2023-01-01", "2023-03-01");
    lab.product("setup", 7, ProductKind::OneTime, "100.00", "0.00");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2023-03-01");
    lab.agreement_mut(40).end = Some(day("2023-03-20"));
    let march = period("2023-03-01", "2023-04-01");
    let fee = order("BO-1", OrderKind::Billing, "2023-03-05", march);
    let shown = lab.run(&fee.with(line("1", Charge::Setup, "setup", "1", "100.00", "0.00")).0);
    assert!(!shown.contains("TU6005"), "{shown}");
    assert_eq!([0; 2].map(|_| lab.invoice(40)), ["100.00", "0"]);
}
