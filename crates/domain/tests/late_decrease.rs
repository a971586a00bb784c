//! A change that comes after the cancellation which followed it: it comes out as if it had come in its turn.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use rust_decimal::Decimal;
use trueup_domain::feed::{BillingModel, Charge, OrderKind, ProductKind};
use trueup_domain::finding::{Code, Finding};
use trueup_domain::period::{BillingCycle, Period};

fn may() -> Period {
    period("2024-05-01", "2024-06-01")
}

fn june() -> Period {
    period("2024-06-01", "2024-07-01")
}

fn lab(mode: &str, credits: &str) -> Lab {
    let mut lab = Lab::monthly("2024-05-01", "2024-05-01");
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2024-05-01");
    match mode {
        "edit_in_place" => lab.set("quantity_change", mode),
        _ => lab.set("line_mode", mode),
    };
    lab.set("credits", credits);
    lab
}

/// What three invoices come to, and what is said to be left out.
fn play(
    mode: &str,
    credits: &str,
    new: i64,
    (late, invoiced, named): (bool, bool, bool),
) -> (Decimal, Decimal, Vec<Finding>) {
    let mut lab = lab(mode, credits);
    let mut billed = Decimal::ZERO;
    let mut said: Vec<Finding> = Vec::new();
    let mut run = |lab: &mut Lab, order: &OrderDraft| {
        let draft = lab.plan(&[&order.0]);
        println!("{}", show(&draft));
        lab.apply(&draft);
        said.extend(draft.findings);
    };
    let sold = line("1", Charge::Recurring, "seat", "10", "22.00", "17.60");
    run(&mut lab, &order("1", OrderKind::Sales, "2024-05-01", may()).with(sold));
    billed += lab.invoice(40).parse::<Decimal>().unwrap();
    let change =
        order("2", OrderKind::Change, "2024-05-24", may()).change("1", "seat", 10, new, "22.00", "17.60");
    if !late {
        run(&mut lab, &change);
    }
    lab.today = day("2024-06-08");
    if invoiced {
        billed += lab.invoice(40).parse::<Decimal>().unwrap();
    }
    let mut cancel = order("9", OrderKind::Cancellation, "2024-06-08", june());
    if named {
        let mut refund = line("1", Charge::Refund, "seat", &(-new).to_string(), "16.87", "0");
        let given = Decimal::new(1687, 2) * Decimal::from(new);
        refund.amount = Some((-given).to_string().parse().unwrap());
        refund.cost_amount = Some("0".parse().unwrap());
        refund.period = Some(period("2024-06-08", "2024-07-01"));
        cancel = cancel.with(refund);
    }
    run(&mut lab, &cancel);
    if late {
        lab.today = day("2024-06-20");
        run(&mut lab, &change);
    }
    for _ in 0..if invoiced { 2 } else { 3 } {
        billed += lab.invoice(40).parse::<Decimal>().unwrap();
    }
    let left_out = |f: &&Finding| f.code == Code::Tu6005;
    let told =
        said.iter().filter(left_out).filter_map(|f| f.amount).map(|(amount, _)| amount.decimal()).sum();
    (billed, told, said)
}

#[rstest]
fn a_change_before_its_cancellation_is_billed_as_in_its_turn(
    #[values("prorate_line", "dual", "single", "commitment", "edit_in_place")] mode: &str,
    #[values("off", "on")] credits: &str,
    #[values(2, 9, 15)] new: i64,
    #[values(false, true)] invoiced: bool,
    #[values(false, true)] named: bool,
) {
    if named && new > 10 {
        return;
    }
    let in_turn = play(mode, credits, new, (false, invoiced, named));
    let late = play(mode, credits, new, (true, invoiced, named));
    let told_alike = (in_turn.0 + in_turn.1 - (late.0 + late.1)).abs() <= Decimal::new(5, 2);
    // What an increase costs beyond the cancellation is told whether or not an invoice has billed it.
    assert!(
        (invoiced || in_turn.0 == late.0) && (told_alike || new > 10),
        "billed {} told {}; in its turn {} told {}\n{:#?}",
        late.0,
        late.1,
        in_turn.0,
        in_turn.1,
        late.2
            .iter()
            .map(|f| format!("{} {:?} {}", f.code, f.amount.map(|a| a.0.to_string()), f.message))
            .collect::<Vec<_>>()
    );
}

/// A cancellation gives back ten seats while three are known: it waits whole, so that the change to ten which explains it
/// finds its line when it comes.
#[rstest]
fn a_cancellation_that_knows_more_than_has_come_waits_for_it(#[values("off", "on")] credits: &str) {
    let play = |late: bool| {
        let mut lab = lab("prorate_line", credits);
        let sold = line("1", Charge::Recurring, "seat", "3", "22.00", "17.60");
        lab.run(&order("1", OrderKind::Sales, "2024-05-01", may()).with(sold).0);
        let mut billed = lab.invoice(40).parse::<Decimal>().unwrap();
        let change =
            order("2", OrderKind::Change, "2024-06-03", june()).change("1", "seat", 3, 10, "22.00", "17.60");
        let mut refund = line("1", Charge::Refund, "seat", "-10", "16.87", "0");
        refund.amount = Some("-168.70".parse().unwrap());
        refund.cost_amount = Some("0".parse().unwrap());
        refund.period = Some(period("2024-06-08", "2024-07-01"));
        let cancel = order("9", OrderKind::Cancellation, "2024-06-08", june()).with(refund);
        lab.today = day("2024-06-08");
        if late {
            let draft = lab.plan(&[&cancel.0]);
            // With credits off it is told, and nothing waits for it.
            let waits = draft.findings.iter().any(|f| f.code == Code::Tu4006);
            let told = draft.findings.iter().any(|f| f.code == Code::Tu6005);
            let is_kept_back = draft.changes.is_empty();
            assert_eq!((waits, is_kept_back), (credits == "on", credits == "on"), "{}", show(&draft));
            assert!(waits != told, "{}", show(&draft));
            lab.apply(&draft);
            lab.today = day("2024-06-20");
        }
        lab.run(&change.0);
        lab.run(&cancel.0);
        for _ in 0..3 {
            billed += lab.invoice(40).parse::<Decimal>().unwrap();
        }
        billed
    };
    assert_eq!(play(true), play(false));
}

/// A plan switch that comes after a cancellation months ahead: what invoices have billed by then is told, and the months that
/// none has billed cost the new plan.
#[rstest]
fn a_switch_before_its_cancellation_is_billed_as_in_its_turn(
    #[values("prorate_line", "dual", "edit_in_place")] mode: &str,
    #[values("off", "on")] credits: &str,
    #[values("12.00", "44.00")] price: &str,
    #[values(1, 2, 3)] invoiced: usize,
) {
    let play = |late: bool| {
        let mut lab = lab(mode, credits);
        lab.product("other", 8, ProductKind::Seat, price, "10.00");
        let mut said: Vec<Finding> = Vec::new();
        let mut run = |lab: &mut Lab, order: &OrderDraft| {
            let draft = lab.plan(&[&order.0]);
            lab.apply(&draft);
            said.extend(draft.findings);
        };
        let sold = line("1", Charge::Recurring, "seat", "10", "22.00", "17.60");
        run(&mut lab, &order("1", OrderKind::Sales, "2024-05-01", may()).with(sold));
        let mut invoices = vec![lab.invoice(40).parse::<Decimal>().unwrap()];
        let switch = order("2", OrderKind::Change, "2024-05-24", may())
            .change("1", "seat", 10, 0, "22.00", "17.60")
            .change("2", "other", 0, 10, price, "10.00");
        if !late {
            run(&mut lab, &switch);
        }
        let september = period("2024-09-01", "2024-10-01");
        run(&mut lab, &order("9", OrderKind::Cancellation, "2024-09-01", september));
        for _ in 1..invoiced {
            invoices.push(lab.invoice(40).parse().unwrap());
        }
        lab.today = day(["2024-05-28", "2024-06-20", "2024-07-20"][invoiced - 1]);
        if late {
            run(&mut lab, &switch);
            let again = lab.plan(&[&switch.0]);
            assert!(!again.changes.iter().any(|c| c.writes()), "{}", show(&again));
        }
        for _ in invoiced..6 {
            invoices.push(lab.invoice(40).parse().unwrap());
        }
        let left_out = |f: &&Finding| f.code == Code::Tu6005;
        let told: Decimal =
            said.iter().filter(left_out).filter_map(|f| f.amount).map(|(amount, _)| amount.decimal()).sum();
        (invoices, told)
    };
    let (in_turn, late) = (play(false), play(true));
    let sum = |(invoices, told): &(Vec<Decimal>, Decimal)| invoices.iter().sum::<Decimal>() + told;
    let apart = (sum(&in_turn) - sum(&late)).abs();
    assert!(apart <= Decimal::new(5, 2), "in its turn {in_turn:?}, late {late:?}");
    let open = |(invoices, _): &(Vec<Decimal>, Decimal)| invoices.iter().skip(invoiced).sum::<Decimal>();
    let dearer = credits == "on" || price == "44.00";
    assert!(dearer || open(&in_turn) == open(&late), "in its turn {in_turn:?}, late {late:?}");
}

/// A decrease that comes after a cancellation, where the subscription's periods lie across those of the invoices: what is paid
/// for is told up to where it is paid for, and not given back with credits off.
#[rstest]
fn a_late_decrease_gives_back_nothing_paid_for_across_invoices(#[values("off", "on")] credits: &str) {
    let play = |late: bool| {
        let mut lab = Lab::monthly("2024-01-01", "2024-01-01");
        lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
        lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2024-01-15");
        lab.set("credits", credits);
        let mut said: Vec<Finding> = Vec::new();
        let mut run = |lab: &mut Lab, order: &OrderDraft| {
            let draft = lab.plan(&[&order.0]);
            lab.apply(&draft);
            said.extend(draft.findings);
        };
        let own = period("2024-01-15", "2024-02-15");
        let sold = line("1", Charge::Recurring, "seat", "10", "22.00", "17.60");
        lab.today = day("2024-01-15");
        run(&mut lab, &order("1", OrderKind::Sales, "2024-01-15", own).with(sold));
        let mut invoices = vec![lab.invoice(40).parse::<Decimal>().unwrap()];
        let change =
            order("2", OrderKind::Change, "2024-01-20", own).change("1", "seat", 10, 2, "22.00", "17.60");
        if !late {
            run(&mut lab, &change);
        }
        invoices.push(lab.invoice(40).parse().unwrap());
        lab.today = day("2024-02-20");
        let march = period("2024-03-15", "2024-04-15");
        run(&mut lab, &order("9", OrderKind::Cancellation, "2024-03-15", march));
        if late {
            run(&mut lab, &change);
        }
        for _ in 2..6 {
            invoices.push(lab.invoice(40).parse().unwrap());
        }
        let left_out = |f: &&Finding| f.code == Code::Tu6005;
        let told: Decimal =
            said.iter().filter(left_out).filter_map(|f| f.amount).map(|(amount, _)| amount.decimal()).sum();
        (invoices, told)
    };
    let (in_turn, late) = (play(false), play(true));
    let sum = |(invoices, told): &(Vec<Decimal>, Decimal)| invoices.iter().sum::<Decimal>() + told;
    assert!(
        (sum(&in_turn) - sum(&late)).abs() <= Decimal::new(5, 2),
        "in its turn {in_turn:?}, late {late:?}"
    );
    // With credits off nothing is given back that an invoice was paid for.
    let least = Decimal::ZERO;
    assert!(credits == "on" || late.0.iter().all(|invoice| *invoice >= least), "{late:?}");
}
