//! Runs that stop half way (killed, refused, no network) and meet an invoice before the next one: whatever was written by
//! then, what is billed in the end, less what is told as left out, is what a whole run would have come to.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use rust_decimal::Decimal;
use std::collections::BTreeMap;
use trueup_domain::feed::{BillingModel, Charge, Order, OrderKind, ProductKind};
use trueup_domain::finding::{Code, Subject};
use trueup_domain::ids::{ProductId, TaskId};
use trueup_domain::period::{BillingCycle, Period};
use trueup_domain::plan::DraftPlan;

/// Months that each world is invoiced for.
const MONTHS: usize = 6;

fn february() -> Period {
    period("2028-02-01", "2028-03-01")
}

/// Five seats since January, invoiced for it on the first of February.
fn lab(mode: &str, credits: &str) -> Lab {
    let mut lab = Lab::monthly("2028-01-01", "2028-01-01");
    lab.today = day("2028-02-21");
    lab.set("line_mode", mode).set("credits", credits);
    lab.product("p", 7, ProductKind::Seat, "22.00", "17.60");
    lab.product("q", 8, ProductKind::Seat, "30.00", "20.00");
    lab.product("r", 9, ProductKind::Seat, "40.00", "30.00");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2028-01-01");
    let sold = line("1", Charge::Recurring, "p", "5", "22.00", "17.60");
    let sale = order("SO-1", OrderKind::Sales, "2028-01-01", period("2028-01-01", "2028-02-01")).with(sold);
    lab.run(&sale.0);
    lab.invoice(40);
    lab
}

fn change(id: &str, on: &str) -> OrderDraft {
    order(id, OrderKind::Change, on, february())
}

/// What the worlds differ in.
fn orders(kind: &str) -> Vec<Order> {
    let up = change("CH-1", "2028-02-12").change("1", "p", 5, 8, "22.00", "17.60").0;
    match kind {
        "up" => vec![up],
        "down" => vec![change("CH-1", "2028-02-12").change("1", "p", 5, 3, "22.00", "17.60").0],
        "price" => vec![change("CH-1", "2028-02-12").change("1", "p", 5, 5, "25.00", "20.00").0],
        "gone" => vec![change("CH-1", "2028-02-12").change("1", "p", 5, 0, "22.00", "17.60").0],
        "added" => vec![change("CH-1", "2028-02-12").change("1", "q", 0, 4, "30.00", "20.00").0],
        "sold" => {
            let sold = line("1", Charge::Recurring, "q", "4", "30.00", "20.00");
            vec![order("SO-2", OrderKind::Sales, "2028-02-12", february()).with(sold).0]
        }
        "both" => vec![
            change("CH-1", "2028-02-12")
                .change("1", "p", 5, 8, "22.00", "17.60")
                .change("2", "q", 0, 4, "30.00", "20.00")
                .0,
        ],
        "twice" => vec![up, change("CH-2", "2028-02-20").change("1", "p", 8, 6, "22.00", "17.60").0],
        other => panic!("{other}"),
    }
}

/// Five of p become as many of q and of r.
fn switch_to_two(order: OrderDraft, each: i64) -> Order {
    order
        .change("1", "p", 5, 0, "22.00", "17.60")
        .change("2", "q", 0, each, "30.00", "20.00")
        .change("3", "r", 0, each, "40.00", "30.00")
        .0
}

fn may() -> Period {
    period("2028-05-01", "2028-06-01")
}

/// A renewal for May that came months before.
fn ahead() -> Order {
    let renewed = line("1", Charge::Recurring, "p", "20", "22.00", "17.60");
    order("RN-1", OrderKind::Renewal, "2028-05-01", may()).with(renewed).0
}

/// A cancellation for May that came months before.
fn end() -> Order {
    order("CL-1", OrderKind::Cancellation, "2028-05-01", may()).0
}

/// The same as of the first day of their period, and later than the invoice of their days: February is invoiced ahead.
fn orders_ahead(kind: &str) -> Vec<Order> {
    let first = |id: &str| change(id, "2028-02-01");
    let january = |id: &str| order(id, OrderKind::Change, "2028-01-12", period("2028-01-01", "2028-02-01"));
    let sold = || line("1", Charge::Recurring, "q", "4", "30.00", "20.00");
    match kind {
        "renewal" => {
            let renewed = line("1", Charge::Recurring, "p", "7", "23.00", "17.60");
            vec![order("RN-1", OrderKind::Renewal, "2028-02-01", february()).with(renewed).0]
        }
        "up_first" => vec![first("CH-1").change("1", "p", 5, 8, "22.00", "17.60").0],
        "down_first" => vec![first("CH-1").change("1", "p", 5, 3, "22.00", "17.60").0],
        "price_first" => vec![first("CH-1").change("1", "p", 5, 5, "25.00", "20.00").0],
        "gone_first" => vec![first("CH-1").change("1", "p", 5, 0, "22.00", "17.60").0],
        "added_first" => vec![first("CH-1").change("1", "q", 0, 4, "30.00", "20.00").0],
        "switch_first" => vec![
            first("CH-1").change("1", "p", 5, 0, "22.00", "17.60").change("2", "q", 0, 4, "30.00", "20.00").0,
        ],
        "switch_to_two_first" => vec![switch_to_two(first("CH-1"), 2)],
        "switch_to_two_late" => vec![switch_to_two(january("CH-1"), 2)],
        "switch_to_less_late" => vec![switch_to_two(january("CH-1"), 1)],
        "up_before_ahead" => vec![ahead(), january("CH-1").change("1", "p", 5, 8, "22.00", "17.60").0],
        "down_before_ahead" => vec![ahead(), january("CH-1").change("1", "p", 5, 3, "22.00", "17.60").0],
        "up_before_end" => vec![end(), january("CH-1").change("1", "p", 5, 8, "22.00", "17.60").0],
        "down_before_end" => vec![end(), january("CH-1").change("1", "p", 5, 3, "22.00", "17.60").0],
        "switch_before_end" => vec![end(), switch_to_two(january("CH-1"), 2)],
        "switch_to_less_before_end" => vec![end(), switch_to_two(january("CH-1"), 1)],
        "switch" => vec![
            change("CH-1", "2028-02-12")
                .change("1", "p", 5, 0, "22.00", "17.60")
                .change("2", "q", 0, 4, "30.00", "20.00")
                .0,
        ],
        "up_late" => vec![january("CH-1").change("1", "p", 5, 8, "22.00", "17.60").0],
        "down_late" => vec![january("CH-1").change("1", "p", 5, 3, "22.00", "17.60").0],
        "gone_late" => vec![january("CH-1").change("1", "p", 5, 0, "22.00", "17.60").0],
        "added_late" => vec![january("CH-1").change("1", "q", 0, 4, "30.00", "20.00").0],
        "switch_late" => vec![
            january("CH-1")
                .change("1", "p", 5, 0, "22.00", "17.60")
                .change("2", "q", 0, 4, "30.00", "20.00")
                .0,
        ],
        "sold_first" => vec![order("SO-2", OrderKind::Sales, "2028-02-01", february()).with(sold()).0],
        "sold_late" => {
            let days = period("2028-01-01", "2028-02-01");
            vec![order("SO-2", OrderKind::Sales, "2028-01-12", days).with(sold()).0]
        }
        "sold_with_amount" => {
            let mut sold = sold();
            sold.amount = Some("100.00".parse().unwrap());
            vec![order("SO-2", OrderKind::Sales, "2028-02-01", february()).with(sold).0]
        }
        "up_with_amount" => {
            let mut up = change("CH-1", "2028-02-01").change("1", "p", 5, 8, "22.00", "17.60").0;
            up.lines[0].amount = Some("60.00".parse().unwrap());
            vec![up]
        }
        "both_first" => vec![
            first("CH-1").change("1", "p", 5, 8, "22.00", "17.60").change("2", "q", 0, 4, "30.00", "20.00").0,
        ],
        "twice_late" => {
            vec![
                january("CH-1").change("1", "p", 5, 8, "22.00", "17.60").0,
                first("CH-2").change("1", "p", 8, 6, "22.00", "17.60").0,
            ]
        }
        other => orders(other),
    }
}

/// What plans say that they leave out, by product and first day: the last word counts.
type LeftOut = BTreeMap<(Option<TaskId>, Option<ProductId>, String), Decimal>;

fn left_out(draft: &DraftPlan, said: &mut LeftOut) {
    for finding in draft.findings.iter().filter(|f| f.code == Code::Tu6005) {
        let Some((amount, _)) = finding.amount else { continue };
        let Subject { task, product, detail, .. } = finding.subject.clone();
        let first = detail.unwrap_or_default().split(' ').next().unwrap_or_default().to_owned();
        said.insert((task, product, first), amount.decimal());
    }
}

/// What a world comes to: all invoices and what was left out; the last invoice.
#[derive(Debug)]
struct Outcome {
    all: Decimal,
    last: Decimal,
}

/// Carries out the orders; the last one stops after `stop` writes, and `between` invoices are made before it is planned
/// again.
fn outcome(mut lab: Lab, orders: &[Order], stop: Option<usize>, between: usize) -> Option<Outcome> {
    let (last, before) = orders.split_last().unwrap();
    let mut said = LeftOut::new();
    let mut all = Decimal::ZERO;
    let mut invoiced = 0;
    for order in before {
        let draft = lab.plan(&[order]);
        left_out(&draft, &mut said);
        lab.apply(&draft);
    }
    if let Some(stop) = stop {
        let mut half = lab.plan(&[last]);
        half.changes.retain(|c| c.writes());
        if half.changes.len() < stop {
            return None;
        }
        half.changes.truncate(stop);
        left_out(&half, &mut said);
        lab.apply(&half);
        for _ in 0..between {
            all += lab.invoice(40).parse::<Decimal>().unwrap();
            invoiced += 1;
        }
        lab.today = day(["2028-02-22", "2028-03-02", "2028-04-02"][between]);
    }
    let draft = lab.plan(&[last]);
    left_out(&draft, &mut said);
    lab.apply(&draft);
    let again = lab.plan(&[last]);
    assert!(!again.changes.iter().any(|c| c.writes()), "planning again changes something: {}", show(&again));
    let mut last = Decimal::ZERO;
    for _ in invoiced..MONTHS {
        last = lab.invoice(40).parse::<Decimal>().unwrap();
        all += last;
    }
    Some(Outcome { all: all + said.values().sum::<Decimal>(), last })
}

#[rstest]
fn a_run_that_broke_off_comes_to_what_a_whole_one_does(
    #[values("prorate_line", "single", "dual", "commitment")] mode: &str,
    #[values("up", "down", "price", "gone", "added", "sold", "both", "twice")] kind: &str,
    #[values("on", "off")] credits: &str,
) {
    let orders = orders(kind);
    let whole = outcome(lab(mode, credits), &orders, None, 0).unwrap();
    let mut wrong = Vec::new();
    for stop in 1..9 {
        for between in 0..3 {
            let Some(broken) = outcome(lab(mode, credits), &orders, Some(stop), between) else { continue };
            let apart = (broken.all - whole.all).abs();
            if apart > "0.15".parse().unwrap() || broken.last != whole.last {
                wrong.push(format!("after {stop} writes and {between} invoices: {broken:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "a whole run comes to {whole:?}\n{}", wrong.join("\n"));
}

/// February is invoiced when its order comes: the new line begins in March, and what February costs more or less is a
/// line of its own. That the one is there says nothing of the other.
#[rstest]
fn what_was_invoiced_before_the_run_broke_off_is_caught_up_once(
    #[values("prorate_line", "dual")] mode: &str,
    #[values(1, 0, 2)] invoiced: usize,
    #[values(
        "up",
        "down",
        "gone",
        "added",
        "sold",
        "both",
        "twice",
        "switch",
        "renewal",
        "up_first",
        "down_first",
        "price_first",
        "gone_first",
        "added_first",
        "switch_first",
        "sold_first",
        "both_first",
        "up_late",
        "down_late",
        "gone_late",
        "added_late",
        "sold_late",
        "switch_late",
        "twice_late",
        "switch_to_two_first",
        "switch_to_two_late",
        "switch_to_less_late",
        "up_before_ahead",
        "down_before_ahead",
        "up_before_end",
        "down_before_end",
        "switch_before_end",
        "switch_to_less_before_end",
        "sold_with_amount",
        "up_with_amount"
    )]
    kind: &str,
    #[values("on", "off")] credits: &str,
    #[values("end_and_create", "edit_in_place")] form: &str,
) {
    let orders = orders_ahead(kind);
    let ahead = || {
        let mut lab = lab(mode, credits);
        lab.set("quantity_change", form);
        for _ in 0..invoiced {
            lab.invoice(40);
        }
        lab
    };
    let whole = outcome(ahead(), &orders, None, 0).unwrap();
    let mut wrong = Vec::new();
    for stop in 1..9 {
        for between in 0..3 {
            let Some(broken) = outcome(ahead(), &orders, Some(stop), between) else { continue };
            let apart = (broken.all - whole.all).abs();
            if apart > "0.15".parse().unwrap() || broken.last != whole.last {
                wrong.push(format!("after {stop} writes and {between} invoices: {broken:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "a whole run comes to {whole:?}\n{}", wrong.join("\n"));
}
