//! Orders of two halves: what ends here and begins there. One half alone bills twice, or bills for nobody.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use trueup_domain::feed::*;
use trueup_domain::finding::Code;
use trueup_domain::ids::*;
use trueup_domain::period::{BillingCycle, Period};
use trueup_domain::psa::{BillFlag, ObservedAddition};

fn month(number: i8) -> Period {
    period(&format!("2023-{number:02}-01"), &format!("2023-{:02}-01", number + 1))
}

/// Five seats from 1 January on; January is invoiced, and nothing else.
fn sold() -> Lab {
    let mut lab = Lab::monthly("2023-01-01", "2023-01-01");
    lab.today = day("2023-01-01");
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.product("team", 8, ProductKind::Seat, "10.00", "8.00");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2023-01-01");
    let sale = order("SO-1", OrderKind::Sales, "2023-01-01", month(1));
    lab.run(&sale.with(line("1", Charge::Recurring, "seat", "5", "22.00", "17.60")).0);
    assert_eq!(lab.invoice(40), "110.00");
    lab
}

fn switch(on: &str, period: Period) -> Order {
    let switch = order("SW-1", OrderKind::Change, on, period);
    switch.change("1", "seat", 5, 0, "22.00", "17.60").change("2", "team", 0, 5, "10.00", "8.00").0
}

/// Takes the lines out of what is read, as a page that came short does.
fn hide(lab: &mut Lab) -> Vec<ObservedAddition> {
    std::mem::take(lab.snapshot.additions.get_mut(&AgreementId(40)).unwrap())
}

/// The half that is not read is kept back, and the other one waits for it: what lies between is of both.
#[rstest]
#[case::switch(switch("2023-02-10", month(2)))]
#[case::at_start(switch("2023-02-01", month(2)))]
fn a_switch_whose_old_line_is_not_read_waits_whole(#[case] switch: Order) {
    let mut straight = sold();
    let mut lab = sold();
    let hidden = hide(&mut lab);
    assert_eq!(show(&lab.plan(&[&switch])), "TU3008 error\n");
    lab.snapshot.additions.get_mut(&AgreementId(40)).unwrap().extend(hidden);
    lab.run(&switch);
    straight.run(&switch);
    for _ in 0..3 {
        assert_eq!(lab.invoice(40), straight.invoice(40));
    }
}

/// A transfer ends nothing at the former customer where his line is not read: it waits, and both are not billed.
#[test]
fn a_transfer_whose_old_line_is_not_read_begins_nothing() {
    let mut lab = sold();
    lab.second_customer("2023-01-01", "2023-02-01");
    let seats = line("1", Charge::Recurring, "seat", "5", "22.00", "17.60");
    let mut transfer = order("TR-1", OrderKind::Transfer, "2023-02-10", month(2)).with(seats).0;
    transfer.customer = Some(CustomerId::from("c-200"));
    let hidden = hide(&mut lab);
    assert_eq!(show(&lab.plan(&[&transfer])), "TU3008 error\n");
    lab.snapshot.additions.get_mut(&AgreementId(40)).unwrap().extend(hidden);
    assert_eq!(
        lab.run(&transfer),
        "create recurring 2023-03-01..- 5 x 22.00 cost 17.60 = 110.00\n\
         cancel recurring 2023-01-01..2023-02-28 5 x 22.00 cost 17.60 = 0.00\n"
    );
}

/// Where ConnectWise prorates, a line cannot end on a day that is invoiced, nor begin on one without being caught up: not
/// on the first day of a period either.
#[rstest]
fn nothing_changes_in_an_invoiced_period_where_connectwise_prorates(
    #[values("up", "down", "price", "switch", "renewal")] what: &str,
    #[values("end_and_create", "edit_in_place")] how: &str,
    #[values("trueup", "connectwise", "none")] by: &str,
) {
    let mut lab = sold();
    lab.set("quantity_change", how).set("proration_by", by);
    lab.agreement_mut(40).prorates = true;
    lab.invoice(40);
    let change = |old: i64, new: i64, price: &str| {
        let change = order("CH-1", OrderKind::Change, "2023-02-01", month(2));
        change.change("1", "seat", old, new, price, "17.60").0
    };
    let asked = match what {
        "up" => change(5, 8, "22.00"),
        "down" => change(5, 3, "22.00"),
        "price" => change(5, 5, "25.00"),
        "switch" => switch("2023-02-01", month(2)),
        _ => {
            let seats = line("1", Charge::Recurring, "seat", "8", "22.00", "17.60");
            order("RN-1", OrderKind::Renewal, "2023-02-01", month(2)).with(seats).0
        }
    };
    let draft = lab.plan(&[&asked]);
    assert!(draft.changes.iter().all(|change| !change.writes()), "{}", show(&draft));
    assert!(show(&draft).contains("TU4002 error"), "{}", show(&draft));
}

/// Sold and cancelled before the first day, and both come when its period is invoiced: no line is taken away twice, which
/// would keep every other order of the plan waiting.
#[rstest]
#[case("2023-01-05", "2023-01-10")]
#[case("2023-02-05", "2023-02-10")]
fn what_was_over_before_the_first_day_is_not_in_the_way_of_others(#[case] sold: &str, #[case] over: &str) {
    let mut lab = Lab::monthly("2023-01-01", "2023-04-01");
    lab.today = day("2023-03-12");
    lab.set("go_live", "2023-03-01");
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, sold);
    let of = |on: &str| month(day(on).month());
    let sale = order("SO-1", OrderKind::Sales, sold, of(sold));
    let sale = sale.with(line("1", Charge::Recurring, "seat", "5", "22.00", "17.60")).0;
    let end = order("CA-1", OrderKind::Cancellation, over, of(over)).0;
    let draft = lab.plan(&[&sale, &end]);
    lab.apply(&draft);
    assert_eq!(lab.invoice(40), "0", "{}", show(&draft));
}

/// What takes the place of a line that somebody set not to be billed is not billed either, and that is said with what it is
/// worth: the next look finds nothing that was changed by a person.
#[rstest]
fn what_takes_the_place_of_an_unbilled_line_is_said(
    #[values("end_and_create", "edit_in_place")] how: &str,
    #[values("2023-02-01", "2023-02-10")] on: &str,
) {
    let mut lab = sold();
    lab.set("quantity_change", how);
    let line = &mut lab.snapshot.additions.get_mut(&AgreementId(40)).unwrap()[0];
    line.state.bill = BillFlag::DoNotBill;
    let change = order("CH-1", OrderKind::Change, on, month(2)).change("1", "seat", 5, 8, "22.00", "17.60").0;
    let draft = lab.plan(&[&change]);
    let said: Vec<_> = draft.findings.iter().filter(|f| f.code == Code::Tu8006).collect();
    let amounts: Vec<_> = said.iter().map(|f| f.amount.as_ref().unwrap().0.to_string()).collect();
    assert_eq!(amounts, ["176.00"], "{:#?}", draft.findings);
}

/// A line that is dated by its commitment does not go on by itself, and what takes its place in the last period of the term
/// does not either: the part is billed, and the renewal begins the next term.
#[rstest]
fn a_switch_in_the_last_period_of_a_term_begins_nothing_after_it(#[values(false, true)] invoiced: bool) {
    let mut lab = Lab::monthly("2023-01-01", "2023-01-01");
    lab.today = day("2023-01-01");
    lab.set("line_mode", "commitment").set("credits", "on");
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.product("team", 8, ProductKind::Seat, "10.00", "8.00");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2023-01-01");
    let term = Term { start: day("2023-01-01"), end: Some(day("2023-03-01")), auto_renew: None };
    lab.subscriptions.values_mut().for_each(|s| s.term = Some(term));
    let sale = order("SO-1", OrderKind::Sales, "2023-01-01", month(1));
    lab.run(&sale.with(line("1", Charge::Recurring, "seat", "5", "22.00", "17.60")).0);
    assert_eq!(lab.invoice(40), "110.00");
    if invoiced {
        lab.invoice(40);
    }
    lab.run(&switch("2023-02-15", month(2)));
    assert!(lab.snapshot.additions[&AgreementId(40)].iter().all(|line| !line.state.is_open()));
    // Half of February at 50.00 instead of 110.00, and nothing after it.
    let bills = [lab.invoice(40), lab.invoice(40), lab.invoice(40)];
    let wanted = if invoiced { ["-30.00", "0", "0"] } else { ["80.00", "0", "0"] };
    assert_eq!(bills, wanted);
}
