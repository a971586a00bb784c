//! The golden file of published proration examples: every case that is no trap comes out of the planner exactly under its
//! named convention, and no trap comes out without the mode that reproduces it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use jiff::civil::Date;
use serde_json::Value;
use trueup_domain::feed::{BillingModel, Charge, Order, OrderKind, ProductKind};
use trueup_domain::money::{Money, Quantity};
use trueup_domain::period::{BillingCycle, CycleUnit, Period};
use trueup_domain::plan::Role;
use trueup_domain::proration::{DayCount, Share, share, share_of_seconds};

fn file() -> Value {
    serde_json::from_str(include_str!("proration.json")).unwrap()
}

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().unwrap_or_default()
}

fn full(case: &Value) -> i64 {
    case["full_periods"].as_i64().unwrap()
}

fn share_of(case: &Value) -> Share {
    let (start, end) = (text(case, "period_start"), text(case, "period_end"));
    let (from, to) = (text(case, "effective"), text(case, "charge_end"));
    let day_count = match text(case, "day_count") {
        "actual_period" => DayCount::Actual,
        "actual_30" => DayCount::Actual30,
        "strict_30_360" => DayCount::Strict30360,
        "cloudblue_literal" => DayCount::CloudblueLiteral,
        "seconds" => {
            let seconds = |t: &str| t.parse::<jiff::Timestamp>().unwrap().as_second();
            return share_of_seconds((seconds(start), seconds(end)), (seconds(from), seconds(to))).unwrap();
        }
        other => panic!("unknown day count {other}"),
    };
    let period = Period::new(start.parse().unwrap(), end.parse().unwrap()).unwrap();
    share(day_count, period, Period::new(from.parse().unwrap(), to.parse().unwrap()).unwrap()).unwrap()
}

/// How a case is to be planned where that is not as it says.
#[derive(Clone, Copy, Default)]
struct Otherwise {
    old_day: bool,
    by_unit: bool,
    floor: bool,
}

/// What the planner bills for a case, by an order of its figures in a world with its conventions.
///
/// A part is a change from nothing to the quantity; where whole periods come on top, they are invoiced already. A credit is
/// a change of an invoiced line to nothing. What ends before its period does is a part that the order names.
fn planned(case: &Value, other: Otherwise) -> Money {
    let at = |key: &str| -> Date { text(case, key)[..10].parse().unwrap() };
    let own = Period::new(at("period_start"), at("period_end")).unwrap();
    let cycle = if own.days() == 7 {
        BillingCycle { every: 1, unit: CycleUnit::Week }
    } else {
        BillingCycle::MONTHLY
    };
    let currency = match (case["currency"].as_str(), case["scale"].as_u64().unwrap()) {
        (Some(code), _) => code,
        (None, 0) => "JPY",
        (None, _) => "USD",
    };
    let full = full(case);
    let quantity: Quantity = text(case, "quantity").parse().unwrap();
    let (price, count) = (text(case, "unit_price"), quantity.to_string().replace('-', ""));
    let invoiced_to = if full > 0 { cycle.boundary(own.end(), full).unwrap() } else { own.start() };
    let start = own.start().to_string();
    let mut lab = Lab::monthly(&start, &start);
    lab.agreement(40, cycle, currency, &start, &invoiced_to.to_string());
    lab.today = own.start();
    lab.product("unit", 7, ProductKind::Metered, price, "0");
    lab.subscription("s-1", cycle, BillingModel::Advance, &start);
    let sold = lab.subscriptions.values_mut().next().unwrap();
    sold.currency = currency.parse().unwrap();
    lab.set("credits", "on");
    lab.set("change_day", if other.old_day { "old" } else { "new" });
    lab.set("day_count", text(case, "day_count").trim_end_matches("_period"));
    let by_unit = other.by_unit || text(case, "rounding_place") == "per_unit";
    lab.set("rounding_place", if by_unit { "unit" } else { "line" });
    let floors = other.floor || text(case, "rounding_mode") == "floor";
    lab.set("rounding_mode", if floors { "floor" } else { "half_up" });
    let in_currency = |mut order: OrderDraft| {
        order.0.currency = currency.parse().unwrap();
        order.0
    };
    let change = |from: &str, to: &str| {
        let mut line = line("1", Charge::Recurring, "unit", "0", price, "0");
        (line.old_quantity, line.new_quantity) = (Some(from.parse().unwrap()), Some(to.parse().unwrap()));
        line.quantity = line.new_quantity.unwrap().minus(line.old_quantity.unwrap()).unwrap();
        line
    };
    let (effective, until) = (at("effective"), at("charge_end"));
    let on = effective.to_string();
    let order_of = |line| {
        let order = in_currency(order("O-1", OrderKind::Change, &on, own).with(line));
        // What is counted by seconds begins at the time at which it was completed.
        let told = Some(text(case, "effective")).filter(|told| told.contains('T'));
        Order { completed_at: told.map_or(order.completed_at.clone(), str::to_owned), ..order }
    };
    let asked = if until < own.end() {
        let mut part = line("1", Charge::Prorate, "unit", &count, price, "0");
        part.period = Some(Period::new(effective, until).unwrap());
        order_of(part)
    } else if quantity.is_negative() {
        let sale = line("1", Charge::Recurring, "unit", &count, price, "0");
        lab.run(&in_currency(order("O-0", OrderKind::Sales, &start, own).with(sale)));
        lab.invoice(40);
        // What is left of the line: the rest of it was given back before, on the same day.
        if let Some(left) = case["cap"].as_str() {
            let charged =
                price.parse::<Money>().unwrap().extended(quantity.abs(), currency.parse().unwrap()).unwrap();
            let mut back = line("1", Charge::Refund, "unit", "1", "", "0");
            back.amount = Some(-charged.minus(left.parse().unwrap()).unwrap());
            lab.run(&in_currency(order("O-2", OrderKind::Change, &on, own).with(back)));
        }
        order_of(change(&count, "0"))
    } else {
        order_of(change("0", &count))
    };
    let draft = lab.plan(&[&asked]);
    // A whole period is billed by the line that goes on.
    let is_whole = !quantity.is_negative() && (effective, until) == (own.start(), own.end());
    let role = if is_whole { Role::Recurring } else { Role::Prorate };
    let lines: Vec<_> =
        draft.changes.iter().filter(|c| c.role == role && c.action.op() == "create").collect();
    assert!(!lines.is_empty(), "{}: nothing is written:\n{}", text(case, "id"), show(&draft));
    lines.iter().fold(Money::ZERO, |sum, change| sum.plus(change.amount).unwrap())
}

#[test]
fn every_case_comes_out_under_its_convention() {
    let file = file();
    let mut seen = 0;
    for case in file["cases"].as_array().unwrap() {
        let id = text(case, "id");
        if case["unit_price"].is_null() {
            continue;
        }
        seen += 1;
        let share = share_of(case);
        assert_eq!(share.describe(), text(case, "factor"), "{id}: share");
        if text(case, "rounding_place") == "none" {
            continue;
        }
        let got = planned(case, Otherwise::default());
        assert_eq!(got, text(case, "expected_amount").parse().unwrap(), "{id}: amount");
        // A credit is a charge with the sign turned.
        if text(case, "rounding_mode") == "half_up"
            && text(case, "charge_end") == text(case, "period_end")
            && full(case) == 0
            && case["cap"].is_null()
        {
            let mut credit = case.clone();
            let turned = -text(case, "quantity").parse::<Quantity>().unwrap();
            credit["quantity"] = Value::String(turned.to_string());
            assert_eq!(planned(&credit, Otherwise::default()), -got, "{id}: credit");
        }
    }
    assert_eq!(seen, 67);
}

#[test]
fn no_trap_comes_out_without_its_named_mode() {
    let file = file();
    for case in file["cases"].as_array().unwrap() {
        let id = text(case, "id");
        let kind = text(case, "trap_kind");
        if case["trap"] != Value::Bool(true) || case["unit_price"].is_null() || kind == "text" {
            continue;
        }
        let published: Money = text(case, "published_amount").parse().unwrap();
        assert_ne!(planned(case, Otherwise::default()), published, "{id}");
        let by = &case["reproduced_by"];
        if by["change_day"] == "old" {
            let old_day = Otherwise { old_day: true, ..Otherwise::default() };
            assert_eq!(planned(case, old_day), published, "{id}: old day");
        }
        if by["rounding_mode"] == "floor" {
            let floor = Otherwise { by_unit: true, floor: true, ..Otherwise::default() };
            assert_eq!(planned(case, floor), published, "{id}: floor");
        }
    }
}

#[test]
fn groups_of_lines_have_their_net() {
    let file = file();
    let cases = file["cases"].as_array().unwrap();
    for group in file["groups"].as_array().unwrap() {
        let mut net = Money::ZERO;
        for member in group["members"].as_array().unwrap() {
            let case = cases.iter().find(|c| c["id"] == *member).unwrap();
            net = net.plus(planned(case, Otherwise::default())).unwrap();
        }
        assert_eq!(net, text(group, "expected_net").parse().unwrap(), "{}", text(group, "id"));
    }
}

/// The same plan change as one order: the credit for the old plan and the part of the new one are netted.
#[test]
fn a_switch_gives_no_more_back_than_is_left() {
    for (given_back, net) in [("0", "-232.26"), ("10.00", "-230.32"), ("249.95", "9.63"), ("300.00", "9.63")]
    {
        let mut lab = Lab::monthly("2012-05-01", "2012-05-01");
        lab.today = "2012-05-02".parse().unwrap();
        lab.set("credits", "on");
        lab.product("old", 7, ProductKind::Seat, "249.95", "200.00");
        lab.product("new", 8, ProductKind::Seat, "9.95", "5.00");
        lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2012-05-01");
        let may = period("2012-05-01", "2012-06-01");
        let sold = line("1", Charge::Recurring, "old", "1", "249.95", "200.00");
        lab.run(&order("O-0", OrderKind::Sales, "2012-05-01", may).with(sold).0);
        lab.invoice(40);
        let mut back = line("1", Charge::Discount, "old", "1", "", "0");
        back.amount = Some(format!("-{given_back}").parse().unwrap());
        lab.run(&order("O-1", OrderKind::Change, "2012-05-02", may).with(back).0);
        let switch = order("O-2", OrderKind::Change, "2012-05-02", may)
            .change("1", "old", 1, 0, "249.95", "200.00")
            .change("2", "new", 0, 1, "9.95", "5.00");
        let draft = lab.plan(&[&switch.0]);
        let parts = draft.changes.iter().filter(|c| c.role == Role::Prorate);
        let sum = parts.fold(Money::ZERO, |sum, part| sum.plus(part.amount).unwrap());
        assert_eq!(sum, net.parse().unwrap(), "{}", show(&draft));
    }
}
