//! Part periods on a separate agreement: the subscription's own agreement prorates by its dates, and what is billed of some
//! days goes to one that does not.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use trueup_domain::feed::{BillingModel, Charge, OrderKind, ProductKind};
use trueup_domain::finding::Code;
use trueup_domain::ids::{AgreementId, SourceId, SubscriptionId};
use trueup_domain::mapping::MappingKind;
use trueup_domain::period::{BillingCycle, Period};
use trueup_domain::plan::{DraftPlan, Role};
use trueup_domain::task::Demand;

fn march() -> Period {
    period("2023-03-01", "2023-04-01")
}

/// Agreement 40 prorates, 41 takes what is prorated; both are invoiced up to March. The subscription began on `start`.
fn lab(mode: &str, start: &str) -> Lab {
    let mut lab = Lab::monthly("2023-01-01", "2023-03-01");
    lab.set("line_mode", mode);
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, start);
    lab.agreement_mut(40).prorates = true;
    lab.agreement(41, BillingCycle::MONTHLY, "USD", "2023-01-01", "2023-03-01");
    lab.map(MappingKind::Agreement, "s-1", 40);
    lab.mappings.last_mut().unwrap().options.insert("proration".into(), "41".into());
    lab
}

fn sale(on: &str) -> OrderDraft {
    order("SO-1", OrderKind::Sales, on, march()).with(line(
        "1",
        Charge::Recurring,
        "seat",
        "5",
        "22.00",
        "17.60",
    ))
}

fn change(id: &str, on: &str, old: i64, new: i64) -> OrderDraft {
    order(id, OrderKind::Change, on, march()).change("1", "seat", old, new, "22.00", "17.60")
}

/// What the next invoices of both agreements bill together.
fn both(lab: &mut Lab) -> [String; 2] {
    [lab.invoice(40), lab.invoice(41)]
}

fn falls_back(draft: &DraftPlan) -> bool {
    draft.findings.iter().any(|f| f.code == Code::Tu4006 && f.message.contains("prorates by itself"))
}

/// The full line would be billed by its days, and what takes the days before it away would be taken off once more.
#[rstest]
#[case("dual")]
#[case("commitment")]
fn a_sale_within_the_period_has_a_part_in_every_mode(#[case] mode: &str) {
    let mut lab = lab(mode, "2023-03-15");
    let draft = lab.plan(&[&sale("2023-03-15").0]);
    assert!(falls_back(&draft), "{:?}", draft.findings);
    let part = draft.changes.iter().find(|c| c.role == Role::Prorate).unwrap();
    assert_eq!(part.agreement, AgreementId(41));
    assert_eq!(
        lab.run(&sale("2023-03-15").0),
        "create recurring 2023-04-01..- 5 x 22.00 cost 17.60 = 110.00\n\
         create prorate 2023-03-15..2023-03-31 5 x 12.06 cost 9.65 = 60.30\n\
         TU4006 info\n"
    );
    assert_eq!(both(&mut lab), ["0", "60.30"]);
    assert_eq!(both(&mut lab), ["110.00", "0"]);
}

/// A full line and its correction, as they are right where the agreement does not prorate: refused where it does.
#[test]
fn the_checker_refuses_a_correction_beside_a_line_that_is_billed_by_its_days() {
    let mut lab = lab("dual", "2023-03-15");
    lab.agreement_mut(40).prorates = false;
    let sold = sale("2023-03-15").0;
    let draft = lab.drafted(&[(lab.task(&sold), Demand::Order(Box::new(sold.clone())))]);
    assert_eq!(lab.refused(draft.clone()), []);
    lab.agreement_mut(40).prorates = true;
    assert!(lab.refused(draft).contains(&Code::Tu3006));
}

/// Nothing is dated within the period, so whether it is invoiced makes no difference.
#[rstest]
#[case::open("2023-03-01", 1)]
#[case::invoiced("2023-04-01", 1)]
#[case::invoiced_here_alone("2023-04-01", 0)]
fn a_change_within_the_period_has_a_part_in_every_mode(
    #[values("prorate_line", "single", "dual", "commitment")] mode: &str,
    #[case] next: &str,
    #[case] also: i64,
) {
    let mut lab = lab(mode, "2023-03-01");
    lab.run(&sale("2023-03-01").0);
    lab.agreement_mut(40).next_invoice = Some(day(next));
    if also == 1 {
        lab.agreement_mut(41).next_invoice = Some(day(next));
    }
    let draft = lab.plan(&[&change("CH-1", "2023-03-15", 5, 8).0]);
    assert_eq!(falls_back(&draft), mode != "prorate_line", "{:?}", draft.findings);
    let part = draft.changes.iter().find(|c| c.role == Role::Prorate).unwrap();
    assert_eq!(part.agreement, AgreementId(41));
    let amount = if mode == "prorate_line" { "36.18" } else { "36.19" };
    assert_eq!(part.amount.to_string(), amount);
    let shown = lab.run(&change("CH-1", "2023-03-15", 5, 8).0);
    assert!(shown.contains("create recurring 2023-04-01..- 8 x 22.00"), "{shown}");
    assert!(shown.contains("cancel recurring 2023-03-01..2023-03-31 5 x 22.00"), "{shown}");
    if next == "2023-03-01" {
        assert_eq!(both(&mut lab), ["110.00", amount]);
    } else {
        assert_eq!(lab.invoice(41), amount);
    }
    assert_eq!(lab.invoice(40), "176.00");
}

/// Where the period after the change is invoiced as well, the old line cannot end before it any more.
#[test]
fn a_change_whose_next_period_is_invoiced_waits() {
    let mut lab = lab("prorate_line", "2023-03-01");
    lab.run(&sale("2023-03-01").0);
    lab.agreement_mut(40).next_invoice = Some(day("2023-05-01"));
    lab.agreement_mut(41).next_invoice = Some(day("2023-05-01"));
    assert_eq!(show(&lab.plan(&[&change("CH-1", "2023-03-15", 5, 8).0])), "TU4002 error\n");
}

/// Two changes of one period, and one that takes all of it away.
#[rstest]
fn changes_follow_on_each_other(#[values("prorate_line", "single", "dual", "commitment")] mode: &str) {
    let mut lab = lab(mode, "2023-03-01");
    lab.set("credits", "on");
    lab.run(&sale("2023-03-01").0);
    lab.run(&change("CH-1", "2023-03-11", 5, 8).0);
    lab.run(&change("CH-2", "2023-03-21", 8, 6).0);
    // 3 x 22.00 x 21/31 less 2 x 22.00 x 11/31.
    let billed: rust_decimal::Decimal = lab.clone().invoice(41).parse().unwrap();
    assert!((billed - "29.10".parse::<rust_decimal::Decimal>().unwrap()).abs() <= "0.03".parse().unwrap());
    lab.run(&change("CH-3", "2023-03-26", 6, 0).0);
    let billed: rust_decimal::Decimal = lab.invoice(41).parse().unwrap();
    // Less 6 x 22.00 x 6/31.
    assert!((billed - "3.55".parse::<rust_decimal::Decimal>().unwrap()).abs() <= "0.03".parse().unwrap());
    assert_eq!([0; 2].map(|_| lab.invoice(40)), ["110.00", "0"]);
}

/// What goes within the period is given back by its days.
#[rstest]
fn what_is_taken_away_is_a_part_too(#[values("prorate_line", "single", "dual", "commitment")] mode: &str) {
    let mut lab = lab(mode, "2023-03-01");
    lab.set("credits", "on");
    lab.run(&sale("2023-03-01").0);
    lab.run(&change("CH-1", "2023-03-15", 5, 0).0);
    // 5 x 22.00 x 17/31 back, by the unit or in one.
    let part = if mode == "prorate_line" { "-60.30" } else { "-60.32" };
    assert_eq!(both(&mut lab), ["110.00", part]);
    assert_eq!(both(&mut lab), ["0", "0"]);
}

/// A run in a mode that broke off before somebody switched the flag on is not finished in another form.
#[test]
fn what_was_begun_in_a_mode_is_not_begun_anew() {
    let key = (SourceId::from(SOURCE), SubscriptionId::from("s-1"));
    let mut lab = lab("dual", "2023-03-15");
    lab.agreement_mut(40).prorates = false;
    assert!(lab.subscriptions.contains_key(&key));
    let draft = lab.plan(&[&sale("2023-03-15").0]);
    let mut first = draft.clone();
    first.changes.truncate(1);
    lab.apply(&first);
    lab.agreement_mut(40).prorates = true;
    let shown = lab.run(&sale("2023-03-15").0);
    assert!(!shown.contains("create"), "{shown}");
    assert_eq!(both(&mut lab), ["60.30", "0"]);
    assert_eq!(both(&mut lab), ["110.00", "0"]);
}
