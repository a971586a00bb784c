//! Orders that speak of days to come: renewals ahead of their term, transfers of the next period, trials, sales that
//! begin later. What is ordered after them counts from its own day, and takes their place from theirs on.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use trueup_domain::feed::{BillingModel, Charge, Order, OrderKind, ProductKind};
use trueup_domain::finding::Code;
use trueup_domain::ids::{SourceId, SubscriptionId};
use trueup_domain::period::{BillingCycle, Period};

fn january() -> Period {
    period("2028-01-01", "2028-02-01")
}

fn february() -> Period {
    period("2028-02-01", "2028-03-01")
}

fn lab() -> Lab {
    let mut lab = Lab::monthly("2028-01-01", "2028-01-01");
    lab.today = day("2028-01-31");
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2028-01-01");
    lab
}

fn sale() -> OrderDraft {
    let sold = line("1", Charge::Recurring, "seat", "5", "22.00", "17.60");
    order("SO-1", OrderKind::Sales, "2028-01-01", january()).with(sold)
}

/// The renewal of February, ordered in January.
fn renewal(quantity: &str, price: &str) -> OrderDraft {
    let renewed = line("1", Charge::Recurring, "seat", quantity, price, "18.00");
    order("R-1", OrderKind::Renewal, "2028-01-25", february()).with(renewed)
}

fn change(id: &str, on: &str, of: Period, old: i64, new: i64) -> OrderDraft {
    order(id, OrderKind::Change, on, of).change("1", "seat", old, new, "22.00", "17.60")
}

/// Carries out the orders one by one, each planned again afterwards: a run that broke off writes nothing twice.
fn run(lab: &mut Lab, orders: &[&Order]) {
    for order in orders {
        let draft = lab.plan(&[order]);
        lab.apply(&draft);
        let again = lab.plan(&[order]);
        assert!(!again.changes.iter().any(|c| c.writes()), "{}", show(&again));
    }
}

/// The same in one plan.
fn run_at_once(lab: &mut Lab, orders: &[&Order]) {
    let draft = lab.plan(orders);
    lab.apply(&draft);
}

fn invoices(lab: &mut Lab, count: usize) -> Vec<String> {
    (0..count).map(|_| lab.invoice(40)).collect()
}

#[rstest]
#[case::more(8, ["110.00", "184.00", "184.00"])]
#[case::fewer(3, ["110.00", "69.00", "69.00"])]
fn a_change_after_an_early_renewal_counts_in_both_periods(#[case] new: i64, #[case] billed: [&str; 3]) {
    for (at_once, invoiced) in [(false, false), (true, false), (false, true)] {
        let mut lab = lab();
        let (sale, renewal) = (sale(), renewal("5", "23.00"));
        let change = change("CH-1", "2028-01-27", january(), 5, new);
        run(&mut lab, &[&sale.0]);
        let mut months = if invoiced { vec![lab.invoice(40)] } else { Vec::new() };
        if at_once {
            run_at_once(&mut lab, &[&renewal.0, &change.0]);
        } else {
            run(&mut lab, &[&renewal.0, &change.0]);
        }
        months.extend(invoices(&mut lab, 3 - months.len()));
        // 27 to 31 January: 5 of 31 days, 3 x 3.55.
        let part = if new > 5 { "10.65" } else { "0.00" };
        let sum = |text: &str| text.parse::<rust_decimal::Decimal>().unwrap();
        let whole: rust_decimal::Decimal = months.iter().map(|m| sum(m)).sum();
        let level = sum(billed[1]) + sum(billed[2]);
        assert_eq!(whole, sum("110.00") + sum(part) + level, "{at_once} {invoiced} {months:?}");
        assert_eq!(months[2], billed[2], "{months:?}");
    }
}

/// A renewal with another quantity, and a change of it: the change is the last word on the quantity.
#[test]
fn the_last_word_on_the_quantity_stays() {
    let mut lab = lab();
    let (sale, renewal) = (sale(), renewal("7", "23.00"));
    let first = change("CH-1", "2028-01-27", january(), 5, 8);
    let second = change("CH-2", "2028-01-29", january(), 8, 9);
    run(&mut lab, &[&sale.0, &renewal.0, &first.0, &second.0]);
    let months = invoices(&mut lab, 3);
    assert_eq!(months[1..], ["207.00".to_owned(), "207.00".to_owned()], "9 x 23.00");
}

/// What comes late stays late: the renewal is the later order, and its state counts from its term on.
#[test]
fn a_change_that_is_older_than_the_renewal_ends_with_the_term() {
    let mut lab = lab();
    let (sale, renewal) = (sale(), renewal("7", "23.00"));
    let late = change("CH-1", "2028-01-20", january(), 5, 8);
    run(&mut lab, &[&sale.0, &renewal.0]);
    let draft = lab.plan(&[&late.0]);
    assert!(draft.findings.iter().any(|f| f.code == Code::Tu5001), "{}", show(&draft));
    lab.apply(&draft);
    assert_eq!(invoices(&mut lab, 3)[1..], ["161.00".to_owned(), "161.00".to_owned()], "7 x 23.00");
}

/// Sold in trial until 15 January and changed on the 10th: nothing of the trial is billed.
#[rstest]
#[case::trial(true)]
#[case::begins_later(false)]
fn nothing_is_billed_before_a_subscription_begins(#[case] trial: bool) {
    let mut lab = lab();
    let key = (SourceId::from(SOURCE), SubscriptionId::from("s-1"));
    let sold = lab.subscriptions.get_mut(&key).unwrap();
    if trial {
        sold.trial_until = Some(day("2028-01-15"));
    } else {
        sold.start = day("2028-01-16");
    }
    let sale = sale();
    let change = change("CH-1", "2028-01-10", january(), 5, 8);
    run(&mut lab, &[&sale.0, &change.0]);
    // 16 of 31 days: 8 x 11.35.
    assert_eq!(invoices(&mut lab, 2), ["90.80", "176.00"]);
}

/// Sold for February in January, and changed before it begins.
#[test]
fn a_sale_of_the_next_period_is_changed_before_it_begins() {
    let mut lab = lab();
    let key = (SourceId::from(SOURCE), SubscriptionId::from("s-1"));
    lab.subscriptions.get_mut(&key).unwrap().start = day("2028-02-01");
    let sold = line("1", Charge::Recurring, "seat", "5", "22.00", "17.60");
    let sale = order("SO-1", OrderKind::Sales, "2028-01-05", february()).with(sold);
    let change = change("CH-1", "2028-02-01", february(), 5, 8);
    run(&mut lab, &[&sale.0, &change.0]);
    assert_eq!(invoices(&mut lab, 2)[1], "176.00");
}

/// A transfer that finds nothing of the former customer says so: whoever paid before would pay on.
#[test]
fn a_transfer_that_ends_nothing_says_so() {
    let lab = lab();
    let sold = line("1", Charge::Recurring, "seat", "5", "22.00", "17.60");
    let transfer = order("TR-1", OrderKind::Transfer, "2028-01-12", january()).with(sold);
    let draft = lab.plan(&[&transfer.0]);
    let said = draft.findings.iter().find(|f| f.code == Code::Tu8006).unwrap();
    assert!(said.message.contains("nothing ends there"), "{}", said.message);
}

/// What is charged after its period has no line that could end.
#[rstest]
#[case(BillingModel::Arrears)]
#[case(BillingModel::ExternalRating)]
fn a_transfer_of_what_is_charged_afterwards_ends_nothing(#[case] model: BillingModel) {
    let mut lab = lab();
    lab.subscription("s-1", BillingCycle::MONTHLY, model, "2028-01-01");
    let sold = line("1", Charge::Recurring, "seat", "5", "22.00", "17.60");
    let transfer = order("TR-1", OrderKind::Transfer, "2028-01-12", january()).with(sold);
    let draft = lab.plan(&[&transfer.0]);
    let codes: Vec<_> = draft.findings.iter().map(|f| f.code).collect();
    assert_eq!(codes, [Code::Tu4004], "{}", show(&draft));
}

/// A line of an order that came in too early: what there is does not bill what it starts from. However the parts are
/// shown, the month comes to what its days cost once the order between is here.
#[rstest]
#[case::one_by_one("prorate_line")]
#[case::single("single")]
#[case::dual("dual")]
fn an_order_before_the_one_that_it_follows(
    #[case] mode: &str,
    #[values("end_and_create", "edit_in_place")] quantity_change: &str,
) {
    // 10 seats, 10 -> 4 on the 11th, 4 -> 5 on the 18th, which comes in first: 220 - 6 x 22 x 21/31 + 22 x 14/31.
    let mut lab = lab();
    lab.settings.insert("line_mode".into(), mode.into());
    lab.settings.insert("credits".into(), "on".into());
    lab.settings.insert("quantity_change".into(), quantity_change.into());
    let sold = line("1", Charge::Recurring, "seat", "10", "22.00", "17.60");
    let sale = order("SO-1", OrderKind::Sales, "2028-01-01", january()).with(sold);
    let first = change("CH-1", "2028-01-11", january(), 10, 4);
    let second = change("CH-2", "2028-01-18", january(), 4, 5);
    run(&mut lab, &[&sale.0, &second.0, &first.0]);
    let months = invoices(&mut lab, 3);
    let near = |text: &str, exact: &str| {
        let apart =
            text.parse::<rust_decimal::Decimal>().unwrap() - exact.parse::<rust_decimal::Decimal>().unwrap();
        assert!(apart.abs() <= "0.06".parse().unwrap(), "{months:?} {exact}");
    };
    near(&months[0], "140.52");
    near(&months[1], "110.00");
    near(&months[2], "110.00");
}

/// The change first, its sale a day later: the sale bills the days up to it.
#[rstest]
#[case("prorate_line", "152.57")]
#[case("single", "152.58")]
#[case("dual", "152.58")]
fn a_change_before_its_sale(#[case] mode: &str, #[case] january: &str) {
    let mut lab = lab();
    lab.settings.insert("line_mode".into(), mode.into());
    lab.settings.insert("credits".into(), "on".into());
    let change = change("CH-1", "2028-01-12", self::january(), 5, 8);
    run(&mut lab, &[&change.0, &sale().0]);
    let months = invoices(&mut lab, 2);
    // 110.00 + 3 x 22.00 x 20/31, rounded per unit or as one amount.
    assert_eq!(months, [january, "176.00"]);
}

/// Where ConnectWise prorates, a switch within the period is dated by its day: old plan to the day before, new from it.
#[rstest]
#[case("off")]
#[case("on")]
fn a_switch_is_dated_by_its_day_where_connectwise_prorates(#[case] credits: &str) {
    let mut lab = lab();
    lab.settings.insert("proration_by".into(), "connectwise".into());
    lab.settings.insert("credits".into(), credits.into());
    lab.snapshot.agreements.get_mut(&trueup_domain::ids::AgreementId(40)).unwrap().prorates = true;
    lab.product("big", 8, ProductKind::Seat, "104.40", "90.00");
    run(&mut lab, &[&sale().0]);
    let switch = order("CH-1", OrderKind::Change, "2028-01-03", january())
        .change("1", "seat", 5, 0, "22.00", "17.60")
        .change("2", "big", 0, 2, "104.40", "90.00");
    let draft = lab.plan(&[&switch.0]);
    let dates: Vec<_> = draft
        .changes
        .iter()
        .map(|c| {
            (
                c.action.op(),
                c.action.after().map(|s| (s.effective.to_string(), s.cancelled.map(|d| d.to_string()))),
            )
        })
        .collect();
    assert_eq!(
        dates,
        [
            ("create", Some(("2028-01-03".to_owned(), None))),
            ("cancel", Some(("2028-01-01".to_owned(), Some("2028-01-02".to_owned())))),
        ]
    );
    assert!(!draft.findings.iter().any(|f| f.code == Code::Tu6005), "{}", show(&draft));
}

/// The agreement ends before the new line could begin: the whole change waits, and the old line goes on. Once the
/// agreement is extended, it is carried out.
#[rstest]
#[case("prorate_line")]
#[case("single")]
#[case("dual")]
fn what_cannot_begin_ends_nothing(#[case] mode: &str) {
    let mut lab = lab();
    lab.settings.insert("line_mode".into(), mode.into());
    run(&mut lab, &[&sale().0]);
    lab.invoice(40);
    let home = trueup_domain::ids::AgreementId(40);
    lab.snapshot.agreements.get_mut(&home).unwrap().end = Some(day("2028-01-31"));
    let change = change("CH-1", "2028-01-12", january(), 5, 8);
    let draft = lab.plan(&[&change.0]);
    assert!(!draft.changes.iter().any(|c| c.writes()), "{}", show(&draft));
    assert!(draft.findings.iter().any(|f| f.code == Code::Tu4003), "{}", show(&draft));
    lab.snapshot.agreements.get_mut(&home).unwrap().end = Some(day("2029-01-31"));
    run(&mut lab, &[&change.0]);
    assert_eq!(invoices(&mut lab, 2), ["218.57", "176.00"], "with 3 x 14.19 of January");
}

/// Periods from the 8th on an agreement that is invoiced on the 1st, after its month: a month is billed once.
#[rstest]
#[case("prorate_line")]
#[case("single")]
#[case("dual")]
fn a_mode_on_an_agreement_with_other_days_bills_each_month_once(#[case] mode: &str) {
    let mut lab = lab();
    lab.settings.insert("line_mode".into(), mode.into());
    lab.settings.insert("credits".into(), "on".into());
    let key = (SourceId::from(SOURCE), SubscriptionId::from("s-1"));
    lab.subscriptions.get_mut(&key).unwrap().start = day("2028-01-08");
    let sold = line("1", Charge::Recurring, "seat", "8", "10.00", "1.00");
    let sale = order("SO-1", OrderKind::Sales, "2028-01-08", period("2028-01-08", "2028-02-08")).with(sold);
    run(&mut lab, &[&sale.0]);
    let mut months = invoices(&mut lab, 2);
    lab.today = day("2028-03-10");
    let fewer = order("CH-1", OrderKind::Change, "2028-03-10", period("2028-03-08", "2028-04-08"))
        .change("1", "seat", 8, 2, "10.00", "1.00");
    run(&mut lab, &[&fewer.0]);
    months.extend(invoices(&mut lab, 2));
    // January and February 80.00 each; 80.00 - 60.00 x 29/31 for the period from 8 March; 20.00 from April on.
    let near = |text: &str, exact: &str| {
        let apart =
            text.parse::<rust_decimal::Decimal>().unwrap() - exact.parse::<rust_decimal::Decimal>().unwrap();
        assert!(apart.abs() <= "0.06".parse().unwrap(), "{months:?} {exact}");
    };
    for (month, exact) in months.iter().zip(["80.00", "80.00", "23.87", "20.00"]) {
        near(month, exact);
    }
}

/// Two lines of an order that carry one product from quantity to quantity are one change.
#[test]
fn lines_that_follow_on_each_other_are_one_change() {
    let mut lab = lab();
    let twice = order("CH-1", OrderKind::Change, "2028-01-12", january())
        .change("1", "seat", 5, 7, "22.00", "17.60")
        .change("2", "seat", 7, 9, "22.00", "17.60");
    run(&mut lab, &[&sale().0, &twice.0]);
    assert_eq!(invoices(&mut lab, 2), ["166.76", "198.00"], "with 4 x 14.19");
}

/// A run wrote the new line and broke off before it ended the old one, and two invoices billed both: the old line ends
/// with the last of them, and what was billed of it beside the new one is given back, or told.
#[rstest]
#[case::given_back("on", 8, "220.00")]
#[case::told("off", 8, "220.00")]
#[case::of_a_decrease("on", 3, "220.00")]
fn a_run_that_broke_off_between_two_lines_is_put_right_after_invoices(
    #[case] credits: &str,
    #[case] new: i64,
    #[case] twice: &str,
) {
    let mut lab = lab();
    lab.settings.insert("credits".into(), credits.into());
    run(&mut lab, &[&sale().0]);
    lab.invoice(40);
    let change = change("CH-1", "2028-01-12", january(), 5, new);
    let mut half = lab.plan(&[&change.0]);
    half.changes.retain(|c| c.role.name() == "recurring" && c.action.op() == "create");
    assert_eq!(half.changes.len(), 1);
    lab.apply(&half);
    let billed = lab.invoice(40).parse::<rust_decimal::Decimal>().unwrap()
        + lab.invoice(40).parse::<rust_decimal::Decimal>().unwrap();
    let level = rust_decimal::Decimal::from(new * 22);
    assert_eq!(billed, (level + rust_decimal::Decimal::from(110)) * rust_decimal::Decimal::from(2));
    let draft = lab.plan(&[&change.0]);
    let left_out =
        draft.findings.iter().find(|f| f.code == Code::Tu6005 && f.message.contains("beside the new one"));
    assert_eq!(
        left_out.map(|f| f.amount.unwrap().0.to_string()),
        (credits == "off").then(|| format!("-{twice}"))
    );
    run(&mut lab, &[&change.0]);
    let part = if new > 5 { "42.57" } else { "-28.38" };
    let back = if credits == "on" { twice.parse().unwrap() } else { rust_decimal::Decimal::ZERO };
    let next = lab.invoice(40).parse::<rust_decimal::Decimal>().unwrap();
    assert_eq!(next, level + part.parse::<rust_decimal::Decimal>().unwrap() - back, "{}", show(&draft));
    assert_eq!(lab.invoice(40).parse::<rust_decimal::Decimal>().unwrap(), level);
}

/// Cancelled in January for the end of March.
fn cancelled_ahead() -> OrderDraft {
    let mut end = order("X-1", OrderKind::Cancellation, "2028-01-20", period("2028-03-01", "2028-04-01"));
    end.0.effective = day("2028-03-31");
    end.0.effective_given = true;
    end
}

/// What is ordered between a cancellation and the day for which it was ordered counts up to that day, in every mode.
#[rstest]
fn a_change_before_the_end_that_was_ordered_ends_with_it(
    #[values("prorate_line", "dual", "single", "commitment")] mode: &str,
    #[values("end_and_create", "edit_in_place")] form: &str,
    #[values(false, true)] at_once: bool,
    #[values(0, 1, 2)] invoiced: usize,
) {
    let mut lab = lab();
    lab.set("line_mode", mode).set("quantity_change", form).set("credits", "on");
    let (sale, end) = (sale(), cancelled_ahead());
    let up = change("CH-1", "2028-02-11", february(), 5, 8);
    run(&mut lab, &[&sale.0, &end.0]);
    let mut months = invoices(&mut lab, invoiced);
    lab.today = day("2028-02-11");
    match at_once {
        true => run_at_once(&mut lab, &[&up.0]),
        false => run(&mut lab, &[&up.0]),
    }
    months.extend(invoices(&mut lab, 5 - invoiced));
    let sum: rust_decimal::Decimal = months.iter().map(|m| m.parse::<rust_decimal::Decimal>().unwrap()).sum();
    // 19 of 29 days of February for three more: 3 x 14.41; then 8 x 22.00 in March, and nothing after it.
    let due: rust_decimal::Decimal = "439.23".parse().unwrap();
    assert!((sum - due).abs() <= "0.05".parse().unwrap(), "{sum}: {months:?}");
    assert_eq!(months[3..], ["0", "0"], "{months:?}");
}

/// In the last month there is nothing to begin any more: the part alone.
#[test]
fn a_change_in_the_last_month_is_a_part() {
    let mut lab = lab();
    let march = period("2028-03-01", "2028-04-01");
    let up = change("CH-1", "2028-03-12", march, 5, 8);
    run(&mut lab, &[&sale().0, &cancelled_ahead().0]);
    let mut months = invoices(&mut lab, 2);
    lab.today = day("2028-03-12");
    run(&mut lab, &[&up.0]);
    months.extend(invoices(&mut lab, 2));
    // 20 of 31 days: 3 x 14.19.
    assert_eq!(months[2..], ["152.57", "0"], "{months:?}");
}

/// A renewal after it says that the cancellation was withdrawn; a person sees that.
#[test]
fn a_renewal_after_a_cancellation_begins_again() {
    let mut lab = lab();
    run(&mut lab, &[&sale().0, &cancelled_ahead().0]);
    let mut months = invoices(&mut lab, 2);
    lab.today = day("2028-03-20");
    let renewed = line("1", Charge::Recurring, "seat", "5", "22.00", "17.60");
    let renewal =
        order("R-9", OrderKind::Renewal, "2028-03-20", period("2028-04-01", "2028-05-01")).with(renewed);
    let draft = lab.plan(&[&renewal.0]);
    assert!(draft.findings.iter().any(|f| f.code == Code::Tu5001), "{}", show(&draft));
    run(&mut lab, &[&renewal.0]);
    months.extend(invoices(&mut lab, 3));
    assert_eq!(months, ["110.00", "110.00", "110.00", "110.00", "110.00"]);
}

fn march() -> Period {
    period("2028-03-01", "2028-04-01")
}

/// Changes as they are told: the day, then the products with their old and new quantity.
fn changes(told: &str) -> Vec<OrderDraft> {
    let of = |on: &str| [january(), february(), march()].into_iter().find(|p| p.contains(day(on))).unwrap();
    let made = told.split("; ").enumerate().map(|(nth, told)| {
        let (on, lines) = told.split_once(": ").unwrap();
        let on = format!("2028-{on}");
        lines.split(", ").fold(order(&format!("CH-{nth}"), OrderKind::Change, &on, of(&on)), |draft, line| {
            let words: Vec<&str> = line.split(' ').collect();
            let price = if words[0] == "big" { "104.40" } else { "22.00" };
            draft.change(
                words[0],
                words[0],
                words[1].parse().unwrap(),
                words[2].parse().unwrap(),
                price,
                "17.60",
            )
        })
    });
    made.collect()
}

/// What ends, or is changed once more, between a cancellation and the day for which it was ordered.
#[rstest]
// 5 x 22.00 less 19 of 29 days of it.
#[case::gone("02-11: seat 5 0", "147.93")]
// 98.80 more for 19 of 29 days, and 2 x 104.40 for March.
#[case::switched("02-11: seat 5 0, big 0 2", "493.53")]
#[case::switched_and_changed("02-11: seat 5 0, big 0 2; 03-11: big 2 3", "564.25")]
#[case::switched_back("02-11: seat 5 0, big 0 2; 03-11: big 2 0, seat 0 5", "426.60")]
#[case::twice_in_a_month("02-11: seat 5 8; 02-21: seat 8 4", "323.93")]
#[case::in_the_next_month("02-11: seat 5 8; 03-11: seat 8 4", "379.63")]
#[case::up_twice("02-11: seat 5 8; 03-01: seat 8 9", "461.24")]
#[case::added_and_changed("02-11: big 0 2; 03-11: big 2 4", "817.05")]
#[case::changed_and_gone("02-11: seat 5 8; 03-11: seat 8 0", "320.01")]
#[case::added_and_gone("02-11: big 0 2; 02-21: big 2 0", "402.00")]
#[case::three_times("01-25: seat 5 7; 02-11: seat 7 8; 03-11: seat 8 5", "419.64")]
fn what_changes_before_the_end_that_was_ordered_ends_with_it(
    #[case] meanwhile: &str,
    #[case] due: &str,
    #[values("prorate_line", "dual", "single", "commitment")] mode: &str,
    #[values("end_and_create", "edit_in_place")] form: &str,
    #[values(false, true)] at_once: bool,
    #[values(0, 1, 2)] invoiced: usize,
) {
    let mut lab = lab();
    lab.set("line_mode", mode).set("quantity_change", form).set("credits", "on");
    lab.product("big", 8, ProductKind::Seat, "104.40", "90.00");
    let (sale, end) = (sale(), cancelled_ahead());
    run(&mut lab, &[&sale.0, &end.0]);
    let mut months = invoices(&mut lab, invoiced);
    let changes = changes(meanwhile);
    lab.today = day("2028-03-12");
    let orders: Vec<&Order> = changes.iter().map(|c| &c.0).collect();
    match at_once {
        true => run_at_once(&mut lab, &orders),
        false => run(&mut lab, &orders),
    }
    months.extend(invoices(&mut lab, 5 - invoiced));
    let sum: rust_decimal::Decimal = months.iter().map(|m| m.parse::<rust_decimal::Decimal>().unwrap()).sum();
    let due: rust_decimal::Decimal = due.parse().unwrap();
    assert!((sum - due).abs() <= "0.12".parse().unwrap(), "{sum}, not {due}: {months:?}");
    assert_eq!(months[4], "0", "{months:?}");
}

/// What ends before the end that was ordered and is sent twice waits the second time.
#[rstest]
fn what_ends_before_the_end_that_was_ordered_goes_once(
    #[values("prorate_line", "dual", "single", "commitment")] mode: &str,
    #[values("on", "off")] credits: &str,
    #[values(0, 1, 2)] invoiced: usize,
) {
    let mut lab = lab();
    lab.set("line_mode", mode).set("credits", credits);
    run(&mut lab, &[&sale().0, &cancelled_ahead().0]);
    invoices(&mut lab, invoiced);
    lab.today = day("2028-02-11");
    let gone = change("CH-1", "2028-02-11", february(), 5, 0);
    run(&mut lab, &[&gone.0]);
    let again = Order { id: "CH-9".into(), completed_us: gone.0.completed_us + 1, ..gone.0.clone() };
    let draft = lab.plan(&[&again]);
    assert!(!draft.changes.iter().any(|c| c.writes()), "{}", show(&draft));
    assert!(draft.findings.iter().any(|f| f.message.contains("CH-1 ended it before")), "{}", show(&draft));
}

/// The renewal begins what was changed meanwhile again, as the line of before.
#[rstest]
fn a_renewal_begins_what_was_changed_meanwhile_again(
    #[values("prorate_line", "dual", "single", "commitment")] mode: &str,
    #[values(1, 2)] invoiced: usize,
) {
    let mut lab = lab();
    lab.set("line_mode", mode);
    run(&mut lab, &[&sale().0, &cancelled_ahead().0]);
    let mut months = invoices(&mut lab, invoiced);
    lab.today = day("2028-03-20");
    let up = change("CH-1", "2028-02-11", february(), 5, 8);
    let renewed = line("1", Charge::Recurring, "seat", "8", "22.00", "17.60");
    let renewal =
        order("R-9", OrderKind::Renewal, "2028-03-20", period("2028-04-01", "2028-05-01")).with(renewed);
    run(&mut lab, &[&up.0, &renewal.0]);
    months.extend(invoices(&mut lab, 5 - invoiced));
    let sum: rust_decimal::Decimal = months.iter().map(|m| m.parse::<rust_decimal::Decimal>().unwrap()).sum();
    assert!(
        (sum - "791.24".parse::<rust_decimal::Decimal>().unwrap()).abs() <= "0.05".parse().unwrap(),
        "{months:?}"
    );
    assert_eq!(months[3..], ["176.00", "176.00"], "{months:?}");
}

/// A cancellation of February for another day than that of January.
fn cancelled_anew(on: &str) -> OrderDraft {
    let of = day(on).first_of_month();
    let of = Period::new(of, of.last_of_month().tomorrow().unwrap()).unwrap();
    let mut end = order("X-2", OrderKind::Cancellation, "2028-02-05", of);
    end.0.effective = day(on);
    end.0.effective_given = true;
    end
}

fn with_fee(order: OrderDraft) -> OrderDraft {
    order.with(line("f", Charge::Cancellation, "fee", "1", "50.00", "0"))
}

fn sum(months: &[String]) -> rust_decimal::Decimal {
    months.iter().map(|m| m.parse::<rust_decimal::Decimal>().unwrap()).sum()
}

/// An end that is put off, or brought forward, is the one of the last cancellation, whatever is ordered between the two or
/// after them.
#[rstest]
#[case::put_off("2028-05-31", "", "550.00")]
#[case::put_off_by_the_first_day_after_it("2028-06-01", "", "550.00")]
#[case::brought_forward("2028-02-29", "", "220.00")]
#[case::put_off_and_changed("2028-05-31", "02-11: seat 5 8", "791.24")]
#[case::changed_and_put_off("2028-05-31", "02-01: seat 5 8", "814.00")]
#[case::changed_twice("2028-05-31", "02-01: seat 5 8; 03-11: seat 8 4", "578.39")]
#[case::added_and_put_off("2028-05-31", "02-01: big 0 2", "1385.20")]
#[case::switched_and_put_off("2028-05-31", "02-01: seat 5 0, big 0 2", "945.20")]
#[case::gone("2028-05-31", "02-11: seat 5 0", "147.93")]
#[case::gone_before("2028-05-31", "02-01: seat 5 0", "110.00")]
fn an_end_that_moves_is_that_of_the_last_cancellation(
    #[case] on: &str,
    #[case] changed: &str,
    #[case] due: &str,
    #[values("prorate_line", "dual", "single", "commitment")] mode: &str,
    #[values("end_and_create", "edit_in_place")] form: &str,
    #[values(false, true)] at_once: bool,
    #[values(0, 1, 2)] invoiced: usize,
) {
    let mut lab = lab();
    lab.set("line_mode", mode).set("quantity_change", form).set("credits", "on");
    lab.product("big", 8, ProductKind::Seat, "104.40", "90.00");
    run(&mut lab, &[&sale().0, &cancelled_ahead().0]);
    let mut months = invoices(&mut lab, invoiced);
    lab.today = day("2028-03-12");
    let mut orders = vec![cancelled_anew(on)];
    orders.extend(if changed.is_empty() { Vec::new() } else { changes(changed) });
    orders.sort_by_key(|o| o.0.completed_us);
    let orders: Vec<&Order> = orders.iter().map(|o| &o.0).collect();
    match at_once {
        true => run_at_once(&mut lab, &orders),
        false => run(&mut lab, &orders),
    }
    months.extend(invoices(&mut lab, 7 - invoiced));
    let due: rust_decimal::Decimal = due.parse().unwrap();
    assert!((sum(&months) - due).abs() <= "0.12".parse().unwrap(), "{}, not {due}: {months:?}", sum(&months));
    assert_eq!(months[5..], ["0", "0"], "{months:?}");
}

/// Invoices that were made since the end that was put off left out what goes on: it is billed once.
#[rstest]
fn what_invoices_left_out_since_the_end_that_was_put_off_is_billed(
    #[values("prorate_line", "dual", "single", "commitment")] mode: &str,
    #[values("on", "off")] credits: &str,
    #[values(3, 4, 5, 6, 7)] invoiced: usize,
) {
    let mut lab = lab();
    lab.set("line_mode", mode).set("credits", credits);
    run(&mut lab, &[&sale().0, &cancelled_ahead().0]);
    let mut months = invoices(&mut lab, invoiced);
    lab.today = day("2028-08-12");
    run(&mut lab, &[&cancelled_anew("2028-05-31").0]);
    months.extend(invoices(&mut lab, 9 - invoiced));
    assert_eq!(sum(&months).to_string(), "550.00", "{months:?}");
    assert_eq!(months[8], "0", "{months:?}");
}

/// One fee is charged: that of the last cancellation that charges one. Once the first is invoiced, a person decides.
#[rstest]
#[case::of_none(false, false, 0)]
#[case::of_the_first(true, false, 1)]
#[case::of_the_second(false, true, 1)]
#[case::of_both(true, true, 1)]
fn an_end_that_moves_is_charged_once(
    #[case] first: bool,
    #[case] second: bool,
    #[case] fees: i64,
    #[values("2028-05-31", "2028-02-29")] on: &str,
    #[values("in_turn", "at_once", "late")] turn: &str,
) {
    let mut lab = lab();
    lab.item(20, "0", "0");
    lab.map(trueup_domain::mapping::MappingKind::Fee, "cancellation", 20);
    run(&mut lab, &[&sale().0]);
    let mut months = invoices(&mut lab, 1);
    lab.today = day("2028-02-06");
    let before = if first { with_fee(cancelled_ahead()) } else { cancelled_ahead() };
    let after = if second { with_fee(cancelled_anew(on)) } else { cancelled_anew(on) };
    match turn {
        "in_turn" => run(&mut lab, &[&before.0, &after.0]),
        "at_once" => run_at_once(&mut lab, &[&before.0, &after.0]),
        _ => run(&mut lab, &[&after.0, &before.0]),
    }
    months.extend(invoices(&mut lab, 7));
    let level = if on == "2028-05-31" { 550 } else { 220 };
    assert_eq!(sum(&months), rust_decimal::Decimal::from(level + 50 * fees), "{months:?}");
}

#[test]
fn a_fee_that_is_invoiced_is_not_charged_again() {
    let mut lab = lab();
    lab.item(20, "0", "0");
    lab.map(trueup_domain::mapping::MappingKind::Fee, "cancellation", 20);
    run(&mut lab, &[&sale().0, &with_fee(cancelled_ahead()).0]);
    invoices(&mut lab, 3);
    let draft = lab.plan(&[&with_fee(cancelled_anew("2028-05-31")).0]);
    assert!(!draft.changes.iter().any(|c| c.writes()), "{}", show(&draft));
    assert!(draft.findings.iter().any(|f| f.message.contains("X-1 cancelled it before")), "{}", show(&draft));
}

/// Where it cannot be told what goes on, nothing is written, and it is said.
#[rstest]
#[case::over_by_then("2028-04-12", "", "it was over when")]
#[case::a_part_of_the_last_month("2028-03-25", "03-12: seat 5 8", "changed SEAT for its last days alone")]
fn an_end_that_moves_to_what_is_not_known_waits(
    #[case] ordered: &str,
    #[case] changed: &str,
    #[case] said: &str,
) {
    let mut lab = lab();
    run(&mut lab, &[&sale().0, &cancelled_ahead().0]);
    invoices(&mut lab, 2);
    lab.today = day("2028-04-12");
    if !changed.is_empty() {
        run(&mut lab, &[&changes(changed)[0].0]);
    }
    let mut anew = cancelled_anew("2028-05-31");
    let completed = order("X-2", OrderKind::Cancellation, ordered, march()).0;
    (anew.0.completed_at, anew.0.completed_us) = (completed.completed_at, completed.completed_us);
    let draft = lab.plan(&[&anew.0]);
    assert!(!draft.changes.iter().any(|c| c.writes()), "{}", show(&draft));
    let waits = |f: &trueup_domain::finding::Finding| {
        f.code == Code::Tu5001
            && f.severity == trueup_domain::finding::Severity::Error
            && f.message.contains(said)
    };
    assert!(draft.findings.iter().any(waits), "{:#?}", draft.findings);
    lab.adoption = trueup_domain::planner::AdoptionAnswer::CreateBeside;
    run(&mut lab, &[&anew.0]);
    let months = invoices(&mut lab, 5);
    assert_eq!(months[2..], ["110.00", "0", "0"], "{months:?}");
}

/// Renewed every month up to the end: that withdraws nothing.
#[rstest]
fn what_is_renewed_up_to_the_end_is_put_off(#[values(false, true)] at_once: bool) {
    let mut lab = lab();
    run(&mut lab, &[&sale().0, &cancelled_ahead().0]);
    let mut months = invoices(&mut lab, 1);
    lab.today = day("2028-02-06");
    let renewed = line("1", Charge::Recurring, "seat", "5", "22.00", "17.60");
    let renewal = order("R-9", OrderKind::Renewal, "2028-02-01", february()).with(renewed);
    let anew = cancelled_anew("2028-05-31");
    match at_once {
        true => run_at_once(&mut lab, &[&renewal.0, &anew.0]),
        false => run(&mut lab, &[&renewal.0, &anew.0]),
    }
    months.extend(invoices(&mut lab, 6));
    assert_eq!(sum(&months).to_string(), "550.00", "{months:?}");
}

/// What is put off and taken back ends as it did before, also what was written meanwhile and dated from the start.
#[rstest]
fn an_end_that_was_put_off_is_taken_back(#[values(false, true)] changed: bool) {
    let mut lab = lab();
    lab.set("credits", "on");
    run(&mut lab, &[&sale().0, &cancelled_ahead().0]);
    lab.today = day("2028-02-06");
    let mut billed = invoices(&mut lab, 1);
    let levels =
        if changed { "02-01: seat 5 8; 02-11: seat 8 4" } else { "02-01: seat 5 5; 02-11: seat 5 4" };
    let told = changes(levels);
    if changed {
        run(&mut lab, &[&told[0].0]);
    }
    let draft = lab.plan(&[&cancelled_anew("2028-05-31").0]);
    let done = lab.apply(&draft);
    let undo = lab.undo(&[(&draft, &done)], &trueup_domain::planner::Extent::Everything);
    lab.apply(&undo);
    lab.carried_out.retain(|task| !undo.outcomes.contains_key(task) && !draft.outcomes.contains_key(task));
    run(&mut lab, &[&told[1].0]);
    billed.extend(invoices(&mut lab, 5));
    // 19 of 29 days of February at 4, and March.
    let due: rust_decimal::Decimal = if changed { "316.34" } else { "293.59" }.parse().unwrap();
    assert!((sum(&billed) - due).abs() <= "0.12".parse().unwrap(), "{}, not {due}: {billed:?}", sum(&billed));
    assert_eq!(billed[3..], ["0", "0", "0"], "{billed:?}");
}

/// An order that moves the price alone orders no quantity: what an older one gave for the next period stays, in one run
/// or in two. One that moves both says which of them counts.
#[rstest]
#[case::fewer(3, "75.00")]
#[case::renewed(7, "175.00")]
fn a_price_alone_leaves_the_quantity_that_was_ordered_ahead(
    #[values("prorate_line", "single", "dual")] mode: &str,
    #[values("end_and_create", "edit_in_place")] form: &str,
    #[values(false, true)] at_once: bool,
    #[case] ahead: i64,
    #[case] billed: &str,
) {
    let mut lab = lab();
    lab.set("credits", "on").set("line_mode", mode).set("quantity_change", form);
    run(&mut lab, &[&sale().0]);
    let mut first = change("CH-1", "2028-02-01", february(), 5, ahead).0;
    first.completed_us = day_us("2028-01-20");
    let mut priced = change("CH-2", "2028-01-25", january(), 5, 5).0;
    priced.completed_us = day_us("2028-01-25");
    priced.lines[0].old_unit_price = Some("22.00".parse().unwrap());
    priced.lines[0].unit_price = Some("25.00".parse().unwrap());
    if at_once {
        run_at_once(&mut lab, &[&first, &priced])
    } else {
        run(&mut lab, &[&first, &priced])
    }
    assert_eq!(invoices(&mut lab, 3)[1..], [billed, billed]);
}

fn day_us(text: &str) -> i64 {
    order("X", OrderKind::Change, text, january()).0.completed_us
}

/// Two lines of a product that are dated to end are told apart as open ones are.
#[rstest]
#[case::the_one(("5", 5, 8, "22.00"), "619.24")]
#[case::the_other(("3", 3, 6, "20.00"), "609.31")]
#[case::goes(("3", 3, 0, "20.00"), "410.69")]
fn lines_of_one_product_that_end_ahead_are_told_apart(
    #[case] (id, old, new, price): (&str, i64, i64, &str),
    #[case] due: &str,
    #[values("prorate_line", "dual", "single", "commitment")] mode: &str,
    #[values("end_and_create", "edit_in_place")] form: &str,
    #[values("open", "cancelled", "committed")] end: &str,
    #[values(false, true)] turned: bool,
    #[values(0, 1, 2)] invoiced: usize,
) {
    let mut lab = lab();
    lab.set("line_mode", mode).set("quantity_change", form).set("credits", "on");
    if end == "committed" {
        let (start, end) = (day("2028-01-01"), Some(day("2029-01-01")));
        let term = trueup_domain::feed::Term { start, end, auto_renew: None };
        lab.subscriptions.values_mut().for_each(|s| s.term = Some(term));
    }
    let mut sold = order("SO-1", OrderKind::Sales, "2028-01-01", january())
        .with(line("5", Charge::Recurring, "seat", "5", "22.00", "17.60"))
        .with(line("3", Charge::Recurring, "seat", "3", "20.00", "17.60"));
    if turned {
        sold.0.lines.reverse();
    }
    run(&mut lab, &[&sold.0]);
    if end == "cancelled" {
        run(&mut lab, &[&cancelled_ahead().0]);
    }
    let mut months = invoices(&mut lab, invoiced);
    lab.today = day("2028-02-11");
    let changed = order("CH-1", OrderKind::Change, "2028-02-11", february())
        .change(id, "seat", old, new, price, "17.60");
    run(&mut lab, &[&changed.0]);
    months.extend(invoices(&mut lab, 3 - invoiced));
    let due: rust_decimal::Decimal = due.parse().unwrap();
    assert!((sum(&months) - due).abs() <= "0.12".parse().unwrap(), "{}, not {due}: {months:?}", sum(&months));
    let after = lab.invoice(40);
    assert_eq!(after == "0", end == "cancelled", "{after}");
}

/// A renewal that was ordered ahead of a change and comes after it gives way to it as if it had come first: the change's
/// quantity, the price of the term.
#[rstest]
#[case::price_of_the_term("22.00", "192.00")]
#[case::price_of_the_change("23.00", "184.00")]
fn a_renewal_that_comes_after_a_change_that_was_ordered_later_leaves_its_quantity(
    #[case] changed_to: &str,
    #[case] month: &str,
    #[values(true, false)] invoiced: bool,
) {
    let renewal = renewal("6", "24.00");
    let mut change = change("CH-1", "2028-01-27", january(), 5, 8);
    change.0.lines[0].unit_price = Some(changed_to.parse().unwrap());
    change.0.lines[0].old_unit_price = Some("22.00".parse().unwrap());
    for orders in [[&renewal.0, &change.0], [&change.0, &renewal.0]] {
        let mut lab = lab();
        run(&mut lab, &[&sale().0]);
        if invoiced {
            lab.invoice(40);
        }
        run(&mut lab, &orders);
        let months = invoices(&mut lab, if invoiced { 2 } else { 3 });
        assert_eq!(months.last().unwrap(), month, "{} first: {months:?}", orders[0].id);
    }
    let mut lab = lab();
    run(&mut lab, &[&sale().0, &change.0]);
    let told = lab.plan(&[&renewal.0]).findings;
    assert!(told.iter().any(|f| f.code == Code::Tu5001 && f.message.contains("instead of 6")), "{told:#?}");
}
