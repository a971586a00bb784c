//! The lines of the mode single, dual and commitment, as the checks C3-37 to C3-44 want them: tables of what a history
//! of quantities gives, each amount worked out beside it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use rust_decimal::Decimal;
use trueup_domain::feed::{BillingModel, Charge, OrderKind, ProductKind, Term};
use trueup_domain::ids::{SourceId, SubscriptionId};
use trueup_domain::period::{BillingCycle, Period};
use trueup_domain::plan::DraftPlan;

fn march() -> Period {
    period("2023-03-01", "2023-04-01")
}

/// A subscription of seats at 22.00 on an agreement that is invoiced up to 1 March, in a mode.
fn lab(mode: &str) -> Lab {
    let mut lab = Lab::monthly("2023-01-01", "2023-03-01");
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2023-03-01");
    lab.set("line_mode", mode);
    lab
}

fn sold(quantity: i64) -> OrderDraft {
    let quantity = quantity.to_string();
    order("SO-1", OrderKind::Sales, "2023-03-01", march()).with(line(
        "1",
        Charge::Recurring,
        "seat",
        &quantity,
        "22.00",
        "17.60",
    ))
}

fn change(on: &str, old: i64, new: i64) -> OrderDraft {
    order(&format!("CH-{on}"), OrderKind::Change, on, march()).change("1", "seat", old, new, "22.00", "17.60")
}

/// The lines that bill March on the agreement: quantity, unit price.
fn bills(lab: &Lab) -> Vec<(String, String)> {
    let lines = lab.snapshot.additions.values().flatten();
    let bills = lines.filter(|l| {
        l.state.effective < march().end() && l.state.cancelled.is_none_or(|c| c >= march().start())
    });
    let mut shown: Vec<(String, String)> = bills
        .map(|l| (l.state.quantity.display(), l.state.unit_price.display("USD".parse().unwrap())))
        .collect();
    shown.sort();
    shown
}

fn of(lines: &[(&str, &str)]) -> Vec<(String, String)> {
    lines.iter().map(|(quantity, price)| ((*quantity).to_owned(), (*price).to_owned())).collect()
}

/// What the formulas of a plan say.
fn formulas(draft: &DraftPlan) -> String {
    draft.changes.iter().map(|c| c.formula.clone()).collect::<Vec<_>>().join("\n")
}

#[rstest]
#[case::no_change(5, None, &[("5", "22.00")], "110.00", "")]
#[case::up(5, Some(("2023-03-15", 8)), &[("8", "18.27")], "146.16", "-0.0335")]
#[case::down(8, Some(("2023-03-20", 6)), &[("6", "26.49")], "158.94", "-0.0277")]
#[case::to_nothing(8, Some(("2023-03-20", 0)), &[("1", "107.87")], "107.87", "")]
fn c3_37_one_line_carries_the_final_quantity_at_an_averaged_price(
    #[case] first: i64,
    #[case] then: Option<(&str, i64)>,
    #[case] lines: &[(&str, &str)],
    #[case] invoice: &str,
    #[case] drift: &str,
) {
    let mut lab = lab("single");
    lab.run(&sold(first).0);
    if let Some((on, second)) = then {
        let order = change(on, first, second).0;
        let said = formulas(&lab.plan(&[&order]));
        assert!(said.contains(drift), "the drift is shown: {said}");
        lab.run(&order);
    }
    assert_eq!(bills(&lab), of(lines));
    assert_eq!(lab.invoice(40), invoice);
}

#[rstest]
#[case::no_change(5, None, &[("5", "22.00")], "110.00")]
#[case::up(5, Some(("2023-03-15", 8)), &[("1", "-29.81"), ("8", "22.00")], "146.19")] // 110 + 66 x 17/31 = 146.1935
#[case::down(8, Some(("2023-03-20", 6)), &[("1", "26.97"), ("6", "22.00")], "158.97")] // 176 x 19/31 + 132 x 12/31
#[case::to_nothing(8, Some(("2023-03-20", 0)), &[("1", "107.87")], "107.87")] // 176 x 19/31 = 107.8710
fn c3_38_two_lines_are_the_exact_amount_rounded_once(
    #[case] first: i64,
    #[case] then: Option<(&str, i64)>,
    #[case] lines: &[(&str, &str)],
    #[case] invoice: &str,
) {
    let mut lab = lab("dual");
    lab.run(&sold(first).0);
    if let Some((on, second)) = then {
        lab.run(&change(on, first, second).0);
    }
    assert_eq!(bills(&lab), of(lines));
    assert_eq!(lab.invoice(40), invoice);
}

#[rstest]
fn c3_39_without_a_change_there_is_one_line(#[values("single", "dual", "commitment")] mode: &str) {
    let mut lab = lab(mode);
    lab.run(&sold(5).0);
    // A price that stays and a quantity that stays: the source tells it, and nothing changes.
    assert_eq!(lab.run(&change("2023-03-10", 5, 5).0), "");
    assert_eq!(bills(&lab), of(&[("5", "22.00")]));
}

#[rstest]
#[case::a_change_to_nothing(false)]
#[case::a_cancellation_with_its_used_part(true)]
fn c3_40_nothing_left_is_one_unit_of_what_was_used(
    #[values("single", "dual")] mode: &str,
    #[values(8, 0)] first: i64,
    #[case] cancelled: bool,
) {
    let mut lab = lab(mode);
    lab.run(&sold(first).0);
    let order = if cancelled {
        let mut used = line("1", Charge::Recurring, "seat", &first.to_string(), "22.00", "17.60");
        used.period = Some(period("2023-03-01", "2023-03-20"));
        order("CL-1", OrderKind::Cancellation, "2023-03-20", march()).with(used)
    } else {
        change("2023-03-20", first, 0)
    };
    lab.run(&order.0);
    let used = if first == 0 { "0" } else { "107.87" };
    let there = bills(&lab);
    assert!(there.iter().all(|(quantity, _)| quantity != "0"), "{there:?}");
    assert_eq!(there.len(), usize::from(first != 0), "{there:?}");
    let wanted: Decimal = used.parse().unwrap();
    let off = lab.invoice(40).parse::<Decimal>().unwrap() - wanted;
    // The used part of a cancellation is so many units at one rounded price: 8 x 13.48.
    assert!(off.abs() <= "0.03".parse().unwrap(), "{off}");
    assert_eq!(lab.invoice(40), "0");
}

#[rstest]
#[case::above("0.05", &[("1", "-29.81"), ("103", "22.00")], "2236.19", true)]
#[case::within("0.07", &[("103", "21.71")], "2236.13", false)]
fn c3_41_a_drift_above_the_tolerance_is_written_as_two_lines(
    #[case] tolerance: &str,
    #[case] lines: &[(&str, &str)],
    #[case] invoice: &str,
    #[case] told: bool,
) {
    // 100 x 22 + 3 x 22 x 17/31 = 2236.1935; / 103 = 21.7106, and 103 x 21.71 = 2236.13 is 0.0635 off.
    let mut lab = lab("single");
    lab.set("rounding_tolerance", tolerance);
    lab.run(&sold(100).0);
    let order = change("2023-03-15", 100, 103).0;
    let draft = lab.plan(&[&order]);
    let why = draft.findings.iter().find(|f| f.message.contains("too far off"));
    assert_eq!(why.is_some(), told, "{}", show(&draft));
    assert!(why.is_none_or(|f| f.message.contains("0.0635")), "{why:?}");
    lab.run(&order);
    assert_eq!(bills(&lab), of(lines));
    assert_eq!(lab.invoice(40), invoice);
}

/// A subscription that is committed.
fn committed(start: &str, end: &str) -> Lab {
    let mut lab = lab("commitment");
    commit(&mut lab, start, end);
    lab
}

fn commit(lab: &mut Lab, start: &str, end: &str) {
    let sold = lab.subscriptions.get_mut(&(SourceId::from(SOURCE), SubscriptionId::from("s-1"))).unwrap();
    sold.start = sold.start.min(day(start));
    sold.term = Some(Term { start: day(start), end: Some(day(end)), auto_renew: Some(true) });
}

#[test]
fn c3_42_a_commitment_dates_its_lines_in_our_own_words() {
    let mut lab = committed("2023-03-01", "2024-03-01");
    let draft = lab.plan(&[&sold(5).0]);
    let state = draft.changes[0].action.after().unwrap();
    assert_eq!((state.effective, state.cancelled), (day("2023-03-01"), Some(day("2024-02-29"))));
    assert_eq!(state.description.as_deref(), Some("SEAT"), "the name that the source's product has");
    lab.run(&sold(5).0);

    // Within the term as in two lines, and the end stays.
    lab.run(&change("2023-03-15", 5, 8).0);
    assert_eq!(bills(&lab), of(&[("1", "-29.81"), ("8", "22.00")]));
    let ends = |lab: &Lab| {
        let lines = lab.snapshot.additions.values().flatten();
        lines
            .filter(|l| l.state.unit_price.decimal() == Decimal::from(22))
            .map(|l| l.state.cancelled)
            .collect()
    };
    let found: Vec<_> = ends(&lab);
    assert_eq!(found, [Some(day("2024-02-29"))]);

    // The next term is a line of its own from the day after.
    commit(&mut lab, "2024-03-01", "2025-03-01");
    let renewal = order("RN-1", OrderKind::Renewal, "2024-03-01", period("2024-03-01", "2024-04-01"))
        .with(line("1", Charge::Recurring, "seat", "8", "22.00", "17.60"));
    assert_eq!(
        lab.run(&renewal.0),
        "create recurring 2024-03-01..2025-02-28 8 x 22.00 cost 17.60 = 176.00\n"
    );
}

#[rstest]
// 5 x 22 x 14/31 + 8 x 22 x 5/31 + 6 x 22 x 12/31 = 129.1613; / 6 = 21.5269
#[case::one_line("single", &[("6", "21.53")], "129.18")]
// 176 - 29.81, then 132 + 2 x 22 x 19/31
#[case::two_lines("dual", &[("1", "-29.81"), ("1", "26.97"), ("6", "22.00")], "129.16")]
fn c3_43_two_changes_are_the_sum_of_the_days(
    #[case] mode: &str,
    #[case] lines: &[(&str, &str)],
    #[case] invoice: &str,
) {
    let mut lab = lab(mode);
    lab.run(&sold(5).0);
    lab.run(&change("2023-03-15", 5, 8).0);
    lab.run(&change("2023-03-20", 8, 6).0);
    assert_eq!(bills(&lab), of(lines));
    assert_eq!(lab.invoice(40), invoice);
    assert_eq!(lab.invoice(40), "132.00");
}

#[rstest]
// 5 x 264 + 3 x 264 x 260/366 = 1882.6230; the year from 1 March 2023 has 366 days, 106 of them before 15 June.
#[case::one_line("single", "1882.64")]
#[case::two_lines("dual", "1882.62")]
fn c3_44_a_year_counts_its_own_days(#[case] mode: &str, #[case] invoice: &str) {
    let mut lab = lab(mode);
    lab.agreement(40, BillingCycle::YEARLY, "USD", "2023-03-01", "2023-03-01");
    lab.subscription("s-1", BillingCycle::YEARLY, BillingModel::Advance, "2023-03-01");
    let year = period("2023-03-01", "2024-03-01");
    let sale = order("SO-1", OrderKind::Sales, "2023-03-01", year);
    lab.run(&sale.with(line("1", Charge::Recurring, "seat", "5", "264.00", "211.20")).0);
    let up = order("CH-1", OrderKind::Change, "2023-06-15", year);
    lab.run(&up.change("1", "seat", 5, 8, "264.00", "211.20").0);
    assert_eq!(lab.invoice(40), invoice);
    assert_eq!(lab.invoice(40), "2112.00");
}
