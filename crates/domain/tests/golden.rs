//! The golden file of published proration examples: every case that is no trap comes out exactly under its named
//! convention, and no trap comes out without the mode that reproduces it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use serde_json::Value;
use trueup_domain::money::{Exact, Money, MoneyError, Quantity, RoundingMode};
use trueup_domain::period::Period;
use trueup_domain::proration::{DayCount, Share, share, share_of_seconds};

fn file() -> Value {
    serde_json::from_str(include_str!("proration.json")).unwrap()
}

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().unwrap_or_default()
}

fn share_of(case: &Value, shift_days: i64) -> Share {
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
    let shifted =
        from.parse::<jiff::civil::Date>().unwrap().checked_add(jiff::Span::new().days(shift_days)).unwrap();
    let period = Period::new(start.parse().unwrap(), end.parse().unwrap()).unwrap();
    share(day_count, period, Period::new(shifted, to.parse().unwrap()).unwrap()).unwrap()
}

/// Price times share and whole periods, rounded where and how the case says.
fn amount(case: &Value, share: Share, per_unit: bool, mode: RoundingMode) -> Result<Money, MoneyError> {
    let places = u32::try_from(case["scale"].as_u64().unwrap()).unwrap();
    let price: Money = text(case, "unit_price").parse()?;
    let quantity: Quantity = text(case, "quantity").parse()?;
    let full = Exact::ratio(i128::from(case["full_periods"].as_i64().unwrap()), 1)?;
    let unit = price.exact().times(share.exact()?.plus(full)?)?;
    let raw = if per_unit {
        Exact::from_decimal(unit.round(places, mode)?).times(quantity.exact())?
    } else {
        unit.times(quantity.exact())?
    };
    let mut rounded = Money::new(raw.round(places, mode)?);
    if let Some(cap) = case["cap"].as_str() {
        let cap: Money = cap.parse()?;
        if rounded.abs() > cap {
            rounded = if rounded.is_negative() { -cap } else { cap };
        }
    }
    Ok(rounded)
}

fn mode(case: &Value) -> RoundingMode {
    if text(case, "rounding_mode") == "floor" { RoundingMode::Floor } else { RoundingMode::HalfUp }
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
        let share = share_of(case, 0);
        assert_eq!(share.describe(), text(case, "factor"), "{id}: share");
        if text(case, "rounding_place") == "none" {
            continue;
        }
        let per_unit = text(case, "rounding_place") == "per_unit";
        let got = amount(case, share, per_unit, mode(case)).unwrap();
        assert_eq!(got, text(case, "expected_amount").parse().unwrap(), "{id}: amount");
        // A credit is a charge with the sign turned.
        if mode(case) == RoundingMode::HalfUp && case["cap"].is_null() {
            let mut credit = case.clone();
            let turned = -text(case, "quantity").parse::<Quantity>().unwrap();
            credit["quantity"] = Value::String(turned.to_string());
            assert_eq!(amount(&credit, share, per_unit, mode(case)).unwrap(), -got, "{id}: credit");
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
        let per_unit = text(case, "rounding_place") == "per_unit";
        assert_ne!(amount(case, share_of(case, 0), per_unit, mode(case)).unwrap(), published, "{id}");
        let by = &case["reproduced_by"];
        if by["change_day"] == "old" {
            assert_eq!(
                amount(case, share_of(case, 1), per_unit, mode(case)).unwrap(),
                published,
                "{id}: old day"
            );
        }
        if by["rounding_mode"] == "floor" {
            assert_eq!(
                amount(case, share_of(case, 0), true, RoundingMode::Floor).unwrap(),
                published,
                "{id}: floor"
            );
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
            net = net.plus(text(case, "expected_amount").parse().unwrap()).unwrap();
        }
        assert_eq!(net, text(group, "expected_net").parse().unwrap(), "{}", text(group, "id"));
    }
}
