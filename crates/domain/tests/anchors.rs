//! The whole period of an order that names a part of it, where periods are laid from a day that some months lack: what the
//! record of the subscription says of it counts before the part's own edges.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use trueup_domain::feed::{BillingModel, Charge, OrderKind, ProductKind, Subscription};
use trueup_domain::ids::{SourceId, SubscriptionId};
use trueup_domain::period::{BillingCycle, CycleUnit, Period};

/// An agreement whose invoices lie on the same days as the subscription's periods.
fn lab(cycle: BillingCycle, bill_start: &str, next: &str, start: &str) -> Lab {
    let mut lab = Lab::monthly(bill_start, next);
    lab.agreement(40, cycle, "USD", bill_start, next);
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", cycle, BillingModel::Advance, start);
    lab
}

fn record(lab: &mut Lab) -> &mut Subscription {
    let key = (SourceId::from(SOURCE), SubscriptionId::from("s-1"));
    lab.subscriptions.get_mut(&key).unwrap()
}

fn sale(on: &str, of: Period) -> OrderDraft {
    order("SO-1", OrderKind::Sales, on, of).with(line("1", Charge::Recurring, "seat", "5", "22.00", "17.60"))
}

/// 10 to 27 February is 18 days of 31 January to 27 February, which has 28: 14.14 a seat.
#[rstest]
#[case::the_anchor(Some(31), None)]
#[case::the_current_period(None, Some(("2023-01-31", "2023-02-28")))]
#[case::a_later_period(Some(31), Some(("2023-02-28", "2023-03-31")))]
fn a_short_first_period_is_a_part_of_the_one_that_the_record_lays(
    #[case] anchor: Option<u8>,
    #[case] current: Option<(&str, &str)>,
) {
    let mut lab = lab(BillingCycle::MONTHLY, "2023-01-31", "2023-01-31", "2023-02-10");
    record(&mut lab).anchor_day = anchor;
    record(&mut lab).period = current.map(|(start, end)| period(start, end));
    assert_eq!(
        lab.run(&sale("2023-02-10", period("2023-02-10", "2023-02-28")).0),
        "create recurring 2023-02-28..- 5 x 22.00 cost 17.60 = 110.00\n\
         create prorate 2023-02-10..2023-02-27 5 x 14.14 cost 11.31 = 70.70\n"
    );
}

/// Quarters are laid from the anchor in the months that the order's own end is of.
#[test]
fn an_anchor_lays_the_quarter_that_ends_with_the_order() {
    let cycle = BillingCycle { every: 3, unit: CycleUnit::Month };
    let mut lab = lab(cycle, "2022-11-30", "2022-11-30", "2023-02-10");
    record(&mut lab).anchor_day = Some(31);
    // 30 November to 27 February has 90 days: 22.00 x 18/90.
    let shown = lab.run(&sale("2023-02-10", period("2023-02-10", "2023-02-28")).0);
    assert!(shown.contains("create prorate 2023-02-10..2023-02-27 5 x 4.40"), "{shown}");
}

/// 28 February to 19 March is 20 days of 28 February to 30 March, which has 31: 14.19 a seat.
#[rstest]
#[case::the_anchor(Some(31), None, "2023-03-20", ("14.19", "70.95"))]
#[case::the_current_period(None, Some(("2023-02-28", "2023-03-31")), "2023-03-20", ("14.19", "70.95"))]
#[case::both(Some(31), Some(("2023-02-28", "2023-03-31")), "2023-03-20", ("14.19", "70.95"))]
#[case::nearly_all(Some(31), None, "2023-03-30", ("21.29", "106.45"))]
fn what_was_used_is_a_part_of_the_period_that_the_record_lays(
    #[case] anchor: Option<u8>,
    #[case] current: Option<(&str, &str)>,
    #[case] on: &str,
    #[case] (unit, billed): (&str, &str),
) {
    let mut lab = lab(BillingCycle::MONTHLY, "2023-01-31", "2023-02-28", "2023-02-28");
    record(&mut lab).anchor_day = anchor;
    record(&mut lab).period = current.map(|(start, end)| period(start, end));
    lab.run(&sale("2023-02-28", period("2023-02-28", "2023-03-31")).0);
    let used = line("1", Charge::Recurring, "seat", "5", "22.00", "17.60");
    let cancel = order("CL-1", OrderKind::Cancellation, on, period("2023-02-28", on)).with(used);
    let shown = lab.run(&cancel.0);
    assert!(shown.contains(&format!("5 x {unit} ")), "{shown}");
    assert_eq!([0; 2].map(|_| lab.invoice(40)), [billed, "0"], "{shown}");
}

/// Where the record says nothing, the part's own edge lays its period.
#[test]
fn without_a_record_the_order_s_own_edge_counts() {
    let mut lab = lab(BillingCycle::MONTHLY, "2023-01-28", "2023-01-28", "2023-02-10");
    let shown = lab.run(&sale("2023-02-10", period("2023-02-10", "2023-02-28")).0);
    // 18 of the 31 days from 28 January on.
    assert!(shown.contains("5 x 12.77"), "{shown}");
}
