//! What a month bills is what its days cost, under every mode of lines and every place of rounding, at prices with more
//! places than the currency, with amounts that the source names, and with cancellations before anything is invoiced. It is
//! below zero only where days that were invoiced are given back.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use proptest::prelude::*;
use rust_decimal::Decimal;
use trueup_domain::feed::{BillingModel, Charge, Order, OrderKind, ProductKind};
use trueup_domain::finding::{Code, Finding, Severity};
use trueup_domain::ids::AgreementId;
use trueup_domain::money::{Currency, Money, Quantity};
use trueup_domain::period::{BillingCycle, Period};
use trueup_domain::plan::DraftPlan;
use trueup_domain::task::{Demand, Task};

/// A currency, prices in it, and by how much quantities are larger there.
const PRICES: [(&str, [&str; 3], i64); 6] = [
    ("USD", ["22.00", "20.00", "25.50"], 1),
    ("USD", ["12.345", "11.999", "0.005"], 3),
    ("USD", ["0.125", "0.0375", "1.00"], 25),
    ("USD", ["0.00321", "0.01", "0.004"], 400),
    ("JPY", ["999.9", "12.5", "1000"], 1),
    ("KWD", ["1.2345", "1.234", "2.00055"], 2),
];

#[derive(Clone, Debug)]
struct Choice {
    mode: usize,
    by_line: bool,
    credits: bool,
    prices: usize,
    /// Months are invoiced before their orders come.
    ahead: bool,
    /// The orders of a month are planned together.
    batch: bool,
    /// The order tells the price that it starts from.
    tells_old: bool,
    /// Day of the month, from 0, on which the sale is made.
    sold_on: i64,
    sold: i64,
    sold_for: Option<i64>,
    /// What is sold has no price of its own: its amount makes it.
    unpriced: bool,
}

#[derive(Clone, Debug)]
struct Step {
    days: i64,
    quantity: i64,
    price: usize,
    /// The source names so many hundredths of what the part comes to.
    named: Option<i64>,
    next_month: bool,
    ends: bool,
}

fn named() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![3 => Just(None), 1 => Just(Some(0)), 2 => (20_i64..=100).prop_map(Some)]
}

fn choices() -> impl Strategy<Value = Choice> {
    (
        (0_usize..4, any::<bool>(), any::<bool>(), 0..PRICES.len(), any::<bool>(), any::<bool>()),
        (any::<bool>(), prop_oneof![Just(0_i64), 1_i64..28], 1_i64..12, named(), any::<bool>()),
    )
        .prop_map(|((mode, by_line, credits, prices, ahead, batch), rest)| {
            let (tells_old, sold_on, sold, sold_for, unpriced) = rest;
            Choice {
                mode,
                by_line,
                credits,
                prices,
                ahead,
                batch,
                tells_old,
                sold_on,
                sold,
                sold_for,
                unpriced,
            }
        })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0_i64..20, 0_i64..12, 0_usize..5, named(), any::<bool>(), 0_u8..5).prop_map(
        |(days, quantity, price, named, next_month, ends)| Step {
            days,
            quantity,
            price,
            named,
            next_month,
            ends: ends == 0,
        },
    );
    prop::collection::vec(step, 0..6)
}

fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn month(number: i64) -> Period {
    let at = |n| BillingCycle::MONTHLY.boundary(day("2028-01-01"), n).unwrap();
    Period::new(at(number), at(number + 1)).unwrap()
}

fn of_days(value: Decimal, on: i64, period: Period) -> Decimal {
    value * Decimal::from(period.days() - on) / Decimal::from(period.days())
}

/// One order, and what it adds to its month.
struct Made {
    order: Order,
    month: usize,
    adds: Decimal,
    /// So much may be lost by rounding, in the smallest unit of the currency.
    room: Decimal,
    takes_back: bool,
}

struct Script {
    made: Vec<Made>,
    /// What every month costs that nothing changes in, at its start.
    levels: Vec<Decimal>,
    /// The last state.
    quantity: i64,
    price: Decimal,
    cancelled: Option<Cancelled>,
}

struct Cancelled {
    month: usize,
    /// Whether it is decided to the cent what that month bills; else it is something between nothing and its days.
    exact: bool,
}

fn script(choice: &Choice, steps: &[Step]) -> Script {
    let (currency, prices, times) = PRICES[choice.prices];
    let places = currency.parse::<Currency>().unwrap().places();
    let sold = choice.sold * times;
    let mut price = dec(prices[0]);
    let first = month(0);
    let sold_day = first.start().checked_add(jiff::Span::new().days(choice.sold_on)).unwrap();
    let part = of_days(price * Decimal::from(sold), choice.sold_on, first);
    let mut sale = line("1", Charge::Recurring, "seat", &sold.to_string(), prices[0], "0");
    let mut adds = part;
    if let Some(share) = choice.sold_for {
        adds = (part * Decimal::new(share, 2)).round_dp(places);
        sale.amount = Some(adds.to_string().parse().unwrap());
        sale.cost_amount = Some("0".parse().unwrap());
    }
    let makes_price = choice.unpriced && choice.sold_on == 0 && !adds.is_zero() && choice.sold_for.is_some();
    if makes_price {
        sale.unit_price = None;
        price = (adds / Decimal::from(sold)).round_dp(12);
    }
    let mut made = vec![Made {
        order: order("SO-1", OrderKind::Sales, &sold_day.to_string(), first).with(sale).0,
        month: 0,
        adds,
        room: dec("6") + Decimal::from(sold) / dec("2"),
        takes_back: false,
    }];
    let mut levels = vec![Decimal::ZERO];
    let (mut quantity, mut at, mut now) = (sold, choice.sold_on, 0_usize);
    let mut cancelled = None;
    let mut changed_at_start = choice.sold_on == 0;
    let mut was_none = false;
    // The month in which a line begins that took no other one's place.
    let mut new_from = usize::from(choice.sold_on > 0 || choice.sold_for.is_some());
    for (index, step) in steps.iter().enumerate() {
        if step.next_month {
            levels.push(price * Decimal::from(quantity));
            now += 1;
            at = 0;
            (changed_at_start, was_none) = (false, false);
        }
        let period = month(i64::try_from(now).unwrap());
        at = (at + step.days).min(period.days() - 1);
        let on = period.start().checked_add(jiff::Span::new().days(at)).unwrap().to_string();
        let id = format!("O-{index}");
        if step.ends {
            if quantity == 0 {
                continue;
            }
            let end = order(&id, OrderKind::Cancellation, &on, period).0;
            // What was sold within the month before is billed by a line that begins in this one and was never billed
            // (E13). What a change put in the place of a billed line has used days (D9).
            let begins = now == new_from && now > 0 && !choice.ahead;
            let exact = !changed_at_start && !was_none && at > 0 && !begins;
            cancelled = Some(Cancelled { month: now, exact });
            made.push(Made {
                order: end,
                month: now,
                adds: Decimal::ZERO,
                room: dec("1"),
                takes_back: false,
            });
            quantity = 0;
            break;
        }
        let wanted = step.quantity * times;
        let to = if step.price < 3 { dec(prices[step.price]) } else { price };
        if quantity == 0 && wanted == 0 || to == price && quantity == wanted {
            continue;
        }
        let mut change = order(&id, OrderKind::Change, &on, period)
            .change("1", "seat", quantity, wanted, &to.to_string(), "0")
            .0;
        if choice.tells_old {
            change.lines[0].old_unit_price = Some(price.to_string().parse().unwrap());
        }
        let difference = to * Decimal::from(wanted) - price * Decimal::from(quantity);
        let mut adds = of_days(difference, at, period);
        let so_far = levels[now] + made.iter().filter(|m| m.month == now).map(|m| m.adds).sum::<Decimal>();
        if so_far + adds < Decimal::ZERO {
            // The source gives no more back than it charged.
            continue;
        }
        if let Some(share) = step.named {
            adds = (adds * Decimal::new(share, 2)).round_dp(places);
            change.lines[0].amount = Some(adds.to_string().parse().unwrap());
            change.lines[0].cost_amount = Some("0".parse().unwrap());
        }
        changed_at_start |= at == 0;
        was_none |= wanted == 0;
        made.push(Made {
            order: change,
            month: now,
            adds,
            // A part of its own, a full line and its correction, or an averaged line.
            room: dec("12") + Decimal::from((wanted - quantity).abs().max(wanted.min(quantity))) / dec("2"),
            takes_back: difference < Decimal::ZERO || adds < Decimal::ZERO,
        });
        if quantity == 0 {
            new_from = now + usize::from(at > 0);
        }
        (quantity, price) = (wanted, to);
    }
    for (index, made) in made.iter_mut().enumerate() {
        made.order.completed_us = i64::try_from(index).unwrap();
        made.order.currency = currency.parse().unwrap();
    }
    Script { made, levels, quantity, price, cancelled }
}

fn lab(choice: &Choice) -> Lab {
    let currency = PRICES[choice.prices].0;
    let mut lab = Lab::monthly("2028-01-01", "2028-01-01");
    lab.agreement(40, BillingCycle::MONTHLY, currency, "2028-01-01", "2028-01-01");
    lab.product("seat", 7, ProductKind::Metered, "22.00", "0");
    let first = month(0).start().checked_add(jiff::Span::new().days(choice.sold_on)).unwrap();
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, &first.to_string());
    lab.subscriptions.values_mut().next().unwrap().currency = currency.parse().unwrap();
    lab.set("line_mode", ["prorate_line", "single", "dual", "commitment"][choice.mode]);
    lab.set("rounding_place", if choice.by_line { "line" } else { "unit" });
    lab.set("credits", if choice.credits { "on" } else { "off" });
    lab
}

/// Plans and applies orders; planned again they write nothing.
fn carry(lab: &mut Lab, orders: &[&Order], said: &mut Vec<Finding>, shown: &mut String) {
    let tasks: Vec<(Task, Demand)> =
        orders.iter().map(|o| (lab.task(o), Demand::Order(Box::new((*o).clone())))).collect();
    let Some(newest) = tasks.len().checked_sub(1) else { return };
    let draft: DraftPlan = lab.plan_tasks(&tasks);
    shown.push_str(&show(&draft));
    lab.apply(&draft);
    let again = lab.plan_tasks(&tasks[newest..]);
    assert!(again.changes.iter().all(|c| !c.writes()), "{shown}again:\n{}", show(&again));
    said.extend(draft.findings);
}

fn left_out(said: &[Finding]) -> Decimal {
    // What no order gives back stays paid; it is only told.
    let stays = |f: &&Finding| !f.message.contains("the order gives nothing back");
    let of = said.iter().filter(|f| f.code == Code::Tu6005).filter(stays).filter_map(|f| f.amount.as_ref());
    of.map(|(amount, _)| amount.decimal()).sum()
}

fn play(choice: &Choice, steps: &[Step]) -> Result<(), TestCaseError> {
    let script = script(choice, steps);
    let mut lab = lab(choice);
    let unit = Decimal::new(1, PRICES[choice.prices].0.parse::<Currency>().unwrap().places());
    let mut shown = String::new();
    let mut said = Vec::new();
    let (mut billed, mut wanted, mut room) = (Decimal::ZERO, Decimal::ZERO, Decimal::ZERO);
    let mut given_back = false;
    let mut exact = true;
    for (number, level) in script.levels.iter().enumerate() {
        let orders: Vec<&Made> = script.made.iter().filter(|m| m.month == number).collect();
        let bill = |lab: &mut Lab, shown: &mut String| {
            let amount = dec(&lab.invoice(40));
            shown.push_str(&format!("-- month {number}: {amount}\n"));
            amount
        };
        let mut this_month = Decimal::ZERO;
        if choice.ahead {
            this_month += bill(&mut lab, &mut shown);
            prop_assert!(this_month >= Decimal::ZERO || given_back, "{shown}");
        }
        let before = left_out(&said);
        if choice.batch {
            let all: Vec<&Order> = orders.iter().map(|m| &m.order).collect();
            carry(&mut lab, &all, &mut said, &mut shown);
        } else {
            for made in &orders {
                carry(&mut lab, &[&made.order], &mut said, &mut shown);
            }
        }
        if !choice.ahead {
            this_month += bill(&mut lab, &mut shown);
            // Lines of days that cost nothing may be off by the last place, each; and each part by what the rounding of its
            // units may lose, five of the smallest units or a hundredth of it.
            let lost = |adds: Decimal| (unit * dec("5")).max(adds.abs() / dec("100"));
            let most = orders.iter().map(|m| lost(m.adds)).sum::<Decimal>() + unit * dec("2");
            prop_assert!(this_month >= -most, "{this_month} is less than {}\n{shown}", -most);
        }
        given_back = choice.ahead && choice.credits && (given_back || orders.iter().any(|m| m.takes_back));
        let days = level + orders.iter().map(|m| m.adds).sum::<Decimal>() - (left_out(&said) - before);
        let off = unit * (dec("6") + orders.iter().map(|m| m.room).sum::<Decimal>());
        let ends = script.cancelled.as_ref().filter(|c| c.month == number);
        exact &= ends.is_none_or(|c| c.exact);
        if !choice.ahead && exact {
            prop_assert!((this_month - days).abs() <= off, "{this_month} instead of {days}\n{shown}");
        } else if !choice.ahead {
            let most = level + orders.iter().map(|m| m.adds.max(Decimal::ZERO)).sum::<Decimal>();
            prop_assert!(this_month <= most + off, "{this_month} is more than {most}\n{shown}");
        }
        billed += this_month;
        wanted += days;
        room += off;
    }
    // What is left over of months that were invoiced ahead comes with the next one.
    let last = script.price * Decimal::from(script.quantity);
    let next = dec(&lab.invoice(40));
    billed += next;
    wanted += last;
    prop_assert!(next >= Decimal::ZERO || given_back, "{next}\n{shown}");
    if exact {
        let off = room + unit * dec("6");
        prop_assert!((billed - wanted).abs() <= off, "{billed} instead of {wanted}\n{shown}");
    }
    let after = dec(&lab.invoice(40));
    prop_assert!((after - last).abs() <= unit * dec("6"), "{after} instead of {last}\n{shown}");
    let open: Decimal = lab
        .snapshot
        .additions_of(AgreementId(40))
        .iter()
        .filter(|a| a.state.cancelled.is_none())
        .map(|a| a.state.quantity.decimal())
        .sum();
    prop_assert_eq!(open, Decimal::from(script.quantity), "{}", shown);
    prop_assert!(said.iter().all(|f| f.severity != Severity::Error), "{:?}", said);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(600), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_month_bills_what_its_days_cost(choice in choices(), steps in steps()) {
        play(&choice, &steps)?;
    }

    /// A cancellation before anything was invoiced.
    #[test]
    fn what_ends_before_its_invoice_bills_its_days_at_most(choice in choices(), steps in steps(), days in 0_i64..25) {
        let within: Vec<Step> = steps
            .iter()
            .take(3)
            .map(|s| Step { next_month: false, ends: false, ..s.clone() })
            .chain([Step { days, quantity: 0, price: 3, named: None, next_month: false, ends: true }])
            .collect();
        play(&Choice { ahead: false, ..choice }, &within)?;
    }
}

proptest! {
    /// Whatever can be reckoned can be kept and read again.
    #[test]
    fn what_is_written_down_is_read_again(mantissa in -(1_i128 << 95)..(1_i128 << 95), scale in 0_u32..=28) {
        let value = Decimal::from_i128_with_scale(mantissa, scale);
        let kept = serde_json::to_string(&Money::new(value)).unwrap();
        prop_assert_eq!(serde_json::from_str::<Money>(&kept).unwrap(), Money::new(value));
        let kept = serde_json::to_string(&Quantity::new(value)).unwrap();
        prop_assert_eq!(serde_json::from_str::<Quantity>(&kept).unwrap(), Quantity::new(value));
    }
}
