//! One row a rule: each would fail if the planner decided the rule the other way. The worked examples are in
//! `examples.rs`, order kinds and obstacles in `orders.rs`; here stand the rules that neither holds.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use trueup_domain::feed::{BillingModel, Charge, OrderKind, OrderLine, ProductKind, SubscriptionItem, Term};
use trueup_domain::finding::{Code, Severity};
use trueup_domain::ids::{AgreementId, CompanyId, ProductId, SourceId, SubscriptionId};
use trueup_domain::mapping::MappingKind;
use trueup_domain::money::Money;
use trueup_domain::period::{BillingCycle, Period};
use trueup_domain::plan::{Role, TaskOutcome};
use trueup_domain::psa::BillFlag;

fn march() -> Period {
    period("2023-03-01", "2023-04-01")
}

fn april() -> Period {
    period("2023-04-01", "2023-05-01")
}

/// One monthly agreement from January, invoiced up to `next`, with seats at 22.00 and the fee mapped.
fn lab(next: &str) -> Lab {
    let mut lab = Lab::monthly("2023-01-01", next);
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.item(20, "0", "0");
    lab.map(MappingKind::Fee, "cancellation", 20);
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2023-03-01");
    lab
}

fn subscription(lab: &mut Lab) -> &mut trueup_domain::feed::Subscription {
    let key = (SourceId::from(SOURCE), SubscriptionId::from("s-1"));
    lab.subscriptions.get_mut(&key).unwrap()
}

fn sale(on: &str, of: Period, quantity: &str) -> OrderDraft {
    order("SO-1", OrderKind::Sales, on, of).with(line(
        "1",
        Charge::Recurring,
        "seat",
        quantity,
        "22.00",
        "17.60",
    ))
}

fn change(id: &str, on: &str, old: i64, new: i64) -> OrderDraft {
    order(id, OrderKind::Change, on, march()).change("1", "seat", old, new, "22.00", "17.60")
}

fn cancel(on: &str, of: Period) -> OrderDraft {
    order("CL-1", OrderKind::Cancellation, on, of)
}

fn fee() -> OrderLine {
    line("9", Charge::Cancellation, "no-product", "1", "50.00", "0")
}

fn named(id: &str, charge: Charge, amount: &str) -> OrderLine {
    let mut made = line(id, charge, "seat", "8", "", "");
    made.amount = Some(amount.parse().unwrap());
    made.cost_amount = Some("0".parse().unwrap());
    made
}

/// Eight seats since January, invoiced for `invoices` months.
fn since_january(invoices: usize) -> Lab {
    let mut lab = lab("2023-01-01");
    subscription(&mut lab).start = day("2023-01-01");
    lab.run(&sale("2023-01-01", period("2023-01-01", "2023-02-01"), "8").0);
    for _ in 0..invoices {
        lab.invoice(40);
    }
    lab
}

fn invoices(lab: &mut Lab, count: usize) -> Vec<String> {
    (0..count).map(|_| lab.invoice(40)).collect()
}

// --- Days and shares -------------------------------------------------------------------------------------------------

/// 30.00 a seat, one more from 15 March: what the part costs under each count of days, in each mode of lines.
#[rstest]
#[case("actual", "16.45")]
#[case("actual_30", "17.00")]
#[case("strict_30_360", "16.00")]
#[case("seconds", "16.45")]
#[case("none", "30.00")]
#[case("cloudblue_literal", "15.48")]
fn days_are_counted_as_the_setting_says_in_every_mode(#[case] count: &str, #[case] part: &str) {
    for mode in ["prorate_line", "single", "dual", "commitment"] {
        let mut lab = lab("2023-03-01");
        lab.set("day_count", count).set("line_mode", mode).set("rounding_tolerance", "1");
        let sold = order("SO-1", OrderKind::Sales, "2023-03-01", march()).with(line(
            "1",
            Charge::Recurring,
            "seat",
            "1",
            "30.00",
            "20.00",
        ));
        lab.run(&sold.0);
        let more = order("CH-1", OrderKind::Change, "2023-03-15", march())
            .change("1", "seat", 1, 2, "30.00", "20.00");
        lab.run(&more.0);
        let billed: rust_decimal::Decimal = lab.invoice(40).parse().unwrap();
        let exact: rust_decimal::Decimal =
            part.parse::<rust_decimal::Decimal>().unwrap() + rust_decimal::Decimal::from(30);
        assert!((billed - exact).abs() <= "0.01".parse().unwrap(), "{mode}: {billed} instead of {exact}");
        assert_eq!(lab.invoice(40), "60.00", "{mode}");
    }
}

/// A sale on 15 March at 30.00 costs the same part in every mode.
#[rstest]
#[case("actual", "16.45")]
#[case("actual_30", "17.00")]
#[case("strict_30_360", "16.00")]
#[case("none", "30.00")]
fn a_sale_within_the_period_costs_the_same_in_every_mode(#[case] count: &str, #[case] part: &str) {
    for mode in ["prorate_line", "single", "dual", "commitment"] {
        let mut lab = lab("2023-03-01");
        subscription(&mut lab).start = day("2023-03-15");
        lab.set("day_count", count).set("line_mode", mode);
        let sold = order("SO-1", OrderKind::Sales, "2023-03-15", march()).with(line(
            "1",
            Charge::Recurring,
            "seat",
            "1",
            "30.00",
            "20.00",
        ));
        lab.run(&sold.0);
        assert_eq!(lab.invoice(40), part, "{mode}");
        assert_eq!(lab.invoice(40), "30.00", "{mode}");
    }
}

#[rstest]
#[case("unit", "half_up", "36.18")]
#[case("line", "half_up", "36.19")]
#[case("unit", "floor", "36.18")]
#[case("unit", "ceil", "36.21")]
#[case("line", "floor", "36.19")]
#[case("line", "ceil", "36.20")]
fn a_part_is_rounded_where_and_how_the_settings_say(
    #[case] place: &str,
    #[case] mode: &str,
    #[case] part: &str,
) {
    let mut lab = lab("2023-03-01");
    lab.set("rounding_place", place).set("rounding_mode", mode);
    lab.run(&sale("2023-03-01", march(), "5").0);
    lab.run(&change("CH-1", "2023-03-15", 5, 8).0);
    let billed: Money = lab.invoice(40).parse().unwrap();
    assert_eq!(billed.minus("110.00".parse().unwrap()).unwrap(), part.parse().unwrap());
}

#[test]
fn half_even_rounds_a_tie_to_the_even_cent() {
    // 0.25 x 15/30 = 0.125
    for (mode, unit) in [("half_up", "0.13"), ("half_even", "0.12")] {
        let mut lab = lab("2023-04-01");
        lab.set("rounding_mode", mode);
        let more =
            order("CH-1", OrderKind::Change, "2023-04-16", april()).change("1", "seat", 0, 1, "0.25", "0.20");
        let shown = lab.run(&more.0);
        assert!(
            shown.contains(&format!("create prorate 2023-04-16..2023-04-30 1 x {unit}")),
            "{mode}: {shown}"
        );
    }
}

#[test]
fn the_day_of_a_change_belongs_to_the_old_state_where_the_setting_says_so() {
    let mut lab = lab("2023-03-01");
    lab.set("change_day", "old");
    lab.run(&sale("2023-03-01", march(), "5").0);
    // The change counts from the 16th: 16 of 31 days.
    assert!(
        lab.run(&change("CH-1", "2023-03-15", 5, 8).0)
            .contains("create prorate 2023-03-16..2023-03-31 3 x 11.35 cost 9.08 = 34.05")
    );
    // On the last day nothing of the period is left.
    let shown = lab.run(&change("CH-2", "2023-03-31", 8, 9).0);
    assert!(!shown.contains("prorate") && shown.contains("create recurring 2023-04-01..- 9"), "{shown}");
}

#[test]
fn currencies_without_minor_units_are_rounded_to_their_own_places() {
    for (currency, price, part) in
        [("JPY", "1000", "548"), ("KWD", "10.000", "5.484"), ("CLF", "1.0000", "0.5484")]
    {
        let mut lab = lab("2023-03-01");
        lab.agreement(40, BillingCycle::MONTHLY, currency, "2023-01-01", "2023-03-01");
        subscription(&mut lab).currency = currency.parse().unwrap();
        let mut more =
            order("CH-1", OrderKind::Change, "2023-03-15", march()).change("1", "seat", 0, 1, price, "0");
        more.0.currency = currency.parse().unwrap();
        let shown = lab.run(&more.0);
        assert!(shown.contains(&format!("create prorate 2023-03-15..2023-03-31 1 x {part} ")), "{shown}");
    }
}

// --- Sales -----------------------------------------------------------------------------------------------------------

#[test]
fn a_sale_bills_from_the_day_after_its_trial() {
    let mut lab = lab("2023-03-01");
    subscription(&mut lab).trial_until = Some(day("2023-03-14"));
    assert_eq!(
        lab.run(&sale("2023-03-01", march(), "5").0),
        "create recurring 2023-04-01..- 5 x 22.00 cost 17.60 = 110.00\n\
         create prorate 2023-03-15..2023-03-31 5 x 12.06 cost 9.65 = 60.30\n"
    );
}

#[test]
fn the_day_an_order_names_counts_before_the_day_of_completion() {
    let mut lab = lab("2023-03-01");
    let mut sold = sale("2023-03-20", march(), "5");
    sold.0.effective_given = true;
    assert!(lab.run(&sold.0).contains("create prorate 2023-03-20..2023-03-31 5 x 8.52"));
}

#[test]
fn a_sale_outside_its_period_cannot_be_computed() {
    let mut lab = lab("2023-03-01");
    subscription(&mut lab).start = day("2023-05-01");
    let draft = lab.plan(&[&sale("2023-05-01", march(), "5").0]);
    assert_eq!(show(&draft), "TU4006 error\n");
}

#[test]
fn a_recurring_price_of_zero_is_written_so_that_its_quantity_is_seen() {
    let mut lab = lab("2023-03-01");
    let free = order("SO-1", OrderKind::Sales, "2023-03-01", march())
        .with(line("1", Charge::Recurring, "seat", "5", "0.00", "0.00"))
        .with(line("2", Charge::Setup, "seat", "5", "0.00", "0.00"));
    assert_eq!(lab.run(&free.0), "create recurring 2023-03-01..- 5 x 0.00 cost 0.00 = 0.00\n");
}

#[test]
fn what_is_included_is_not_billed_and_needs_no_mapping() {
    let mut lab = lab("2023-03-01");
    let sold = sale("2023-03-01", march(), "5").with(line("2", Charge::Recurring, "unmapped", "0", "1", "1"));
    assert_eq!(lab.run(&sold.0), "create recurring 2023-03-01..- 5 x 22.00 cost 17.60 = 110.00\n");
}

#[rstest]
#[case("21.00", "22.00", "21.00")]
#[case("", "22.00", "22.00")]
fn prices_of_connectwise_are_the_existing_lines_else_the_catalogs(
    #[case] there: &str,
    #[case] catalog: &str,
    #[case] wanted: &str,
) {
    let mut lab = lab("2023-03-01");
    lab.item(7, catalog, "17.60");
    lab.set("price_source", "connectwise");
    if !there.is_empty() {
        lab.by_hand(40, 311, 7, "5", there, "2023-01-01");
    }
    let old = if there.is_empty() { 0 } else { 5 };
    let more =
        order("CH-1", OrderKind::Change, "2023-03-01", march()).change("1", "seat", old, 8, "99.00", "88.00");
    let shown = show(&lab.plan(&[&more.0]));
    assert!(shown.contains(&format!("create recurring 2023-03-01..- 8 x {wanted}")), "{shown}");
}

#[test]
fn with_connectwise_prices_a_sale_within_the_period_starts_at_its_end_and_says_what_is_left_out() {
    let mut lab = lab("2023-03-01");
    lab.set("price_source", "connectwise");
    subscription(&mut lab).start = day("2023-03-15");
    let draft = lab.plan(&[&sale("2023-03-15", march(), "5").0]);
    assert_eq!(
        show(&draft),
        "create recurring 2023-04-01..- 5 x 22.00 cost 17.60 = 110.00\nTU6005 warning\n"
    );
    assert_eq!(draft.findings[0].amount.as_ref().unwrap().0.to_string(), "60.32");
}

#[test]
fn equal_price_and_cost_are_a_warning_and_a_missing_cost_is_zero_with_one() {
    let mut lab = lab("2023-03-01");
    let mut sold = sale("2023-03-01", march(), "5");
    sold.0.lines[0].unit_cost = Some("22.00".parse().unwrap());
    assert!(show(&lab.plan(&[&sold.0])).ends_with("TU6004 warning\n"));
    sold.0.lines[0].unit_cost = None;
    lab.snapshot.catalog.get_mut(&trueup_domain::ids::CatalogItemId(7)).unwrap().cost = None;
    let shown = show(&lab.plan(&[&sold.0]));
    assert!(shown.contains("5 x 22.00 cost 0.00") && shown.ends_with("TU6002 warning\n"), "{shown}");
}

#[test]
fn new_lines_are_billable_and_a_line_that_replaces_another_keeps_its_flags() {
    let mut lab = lab("2023-03-01");
    let draft = lab.plan(&[&sale("2023-03-01", march(), "5").0]);
    let made = draft.changes[0].action.after().unwrap();
    assert_eq!((made.bill, made.taxable), (BillFlag::Billable, None));
    lab.by_hand(40, 311, 7, "5", "22.00", "2023-01-01");
    let there = &mut lab.snapshot.additions.get_mut(&AgreementId(40)).unwrap()[0].state;
    there.bill = BillFlag::NoCharge;
    there.taxable = Some(false);
    let draft = lab.plan(&[&change("CH-1", "2023-03-01", 5, 8).0]);
    let made = draft.changes[0].action.after().unwrap();
    assert_eq!((made.bill, made.taxable), (BillFlag::NoCharge, Some(false)));
}

#[test]
fn a_line_is_described_by_its_price_source() {
    let text = |lab: &Lab| {
        let mut sold = sale("2023-03-01", march(), "5");
        sold.0.lines[0].description = Some("=Seats of the order".into());
        lab.plan(&[&sold.0]).changes[0].action.after().unwrap().description.clone()
    };
    let mut lab = lab("2023-03-01");
    assert_eq!(text(&lab).as_deref(), Some("'=Seats of the order"), "a spreadsheet takes it for no formula");
    lab.set("trim_descriptions", "on");
    assert_eq!(text(&lab).as_deref(), Some("SEAT"));
    lab.set("price_source", "connectwise");
    assert_eq!(text(&lab), None, "left to the catalog item");
}

// --- Changes ---------------------------------------------------------------------------------------------------------

#[test]
fn an_upgrade_fee_is_billed_once_beside_the_change() {
    let mut lab = lab("2023-03-01");
    lab.run(&sale("2023-03-01", march(), "5").0);
    let up = change("CH-1", "2023-03-15", 5, 8)
        .with(line("2", Charge::Upgrade, "seat", "1", "15.00", "0"))
        .with(line("3", Charge::Setup, "seat", "3", "2.00", "0"));
    let shown = lab.run(&up.0);
    assert!(shown.contains("create one_time 2023-03-15..2023-03-31 1 x 15.00"), "{shown}");
    assert!(shown.contains("create setup 2023-03-15..2023-03-31 3 x 2.00"), "{shown}");
}

#[test]
fn a_change_takes_the_amount_the_source_names() {
    let mut lab = lab("2023-03-01");
    lab.run(&sale("2023-03-01", march(), "5").0);
    let mut up = change("CH-1", "2023-03-15", 5, 8);
    up.0.lines[0].amount = Some("37.00".parse().unwrap());
    up.0.lines[0].cost_amount = Some("30.00".parse().unwrap());
    let shown = lab.run(&up.0);
    assert!(shown.contains("create prorate 2023-03-15..2023-03-31 1 x 37.00 cost 30.00 = 37.00"), "{shown}");
}

#[test]
fn an_unbilled_line_is_edited_in_place_at_the_start_of_its_period() {
    let mut lab = lab("2023-03-01");
    lab.set("quantity_change", "edit_in_place");
    lab.run(&sale("2023-03-01", march(), "5").0);
    assert_eq!(
        lab.run(&change("CH-1", "2023-03-01", 5, 8).0),
        "update recurring 2023-03-01..- 8 x 22.00 cost 17.60 = 66.00\n"
    );
}

#[test]
fn new_lines_are_written_before_old_ones_end() {
    let mut lab = lab("2023-03-01");
    lab.run(&sale("2023-03-01", march(), "5").0);
    let ops: Vec<_> = lab
        .plan(&[&change("CH-1", "2023-03-15", 5, 8).0])
        .changes
        .iter()
        .map(|c| (c.action.op().to_string(), c.role))
        .collect();
    assert_eq!(
        ops,
        [
            ("create".to_owned(), Role::Recurring),
            ("create".to_owned(), Role::Prorate),
            ("cancel".to_owned(), Role::Recurring)
        ]
    );
}

#[test]
fn a_net_refund_is_left_out_with_its_amount_while_credits_are_off() {
    let mut lab = lab("2023-03-01");
    lab.run(&sale("2023-03-01", march(), "8").0);
    let down = change("CH-1", "2023-03-20", 8, 6).with(named("2", Charge::Refund, "-176.00")).with(named(
        "3",
        Charge::Prorate,
        "158.97",
    ));
    let draft = lab.plan(&[&down.0]);
    let left: Vec<_> = draft.findings.iter().filter(|f| f.code == Code::Tu6005).collect();
    assert_eq!(left.len(), 1, "{}", show(&draft));
    assert_eq!(left[0].amount.as_ref().unwrap().0.to_string(), "-17.03");
    lab.set("credits", "on");
    let shown = lab.run(&down.0);
    assert!(shown.contains("create prorate 2023-03-20..2023-03-31 -1 x 17.03"), "{shown}");
}

#[test]
fn a_change_keeps_what_a_different_quantity_in_connectwise_says() {
    let mut lab = lab("2023-03-01");
    lab.by_hand(40, 311, 7, "6", "22.00", "2023-01-01");
    let shown = show(&lab.plan(&[&change("CH-1", "2023-03-15", 5, 8).0]));
    assert!(shown.contains("TU5001 warning"), "{shown}");
    let mut none = self::lab("2023-03-01");
    let shown = none.run(&change("CH-1", "2023-03-15", 5, 8).0);
    assert!(shown.contains("TU8006 warning"), "{shown}");
}

// --- Who prorates ----------------------------------------------------------------------------------------------------

/// The agreement's flag against the setting: what the first invoices bill after 5 -> 8 seats on 15 March.
#[rstest]
#[case(false, "trueup", &["146.18", "176.00"])]
#[case(false, "connectwise", &["110.00", "176.00"])]
#[case(false, "none", &["110.00", "176.00"])]
#[case(true, "connectwise", &["146.18", "176.00"])]
#[case(true, "none", &["110.00", "176.00"])]
fn one_side_alone_prorates(#[case] flag: bool, #[case] by: &str, #[case] billed: &[&str]) {
    let mut lab = lab("2023-03-01");
    lab.agreement_mut(40).prorates = flag;
    lab.set("proration_by", by);
    lab.run(&sale("2023-03-01", march(), "5").0);
    lab.run(&change("CH-1", "2023-03-15", 5, 8).0);
    assert_eq!(invoices(&mut lab, 2), billed);
}

#[test]
fn where_both_would_prorate_nothing_is_written() {
    let mut lab = lab("2023-03-01");
    lab.agreement_mut(40).prorates = true;
    subscription(&mut lab).start = day("2023-03-15");
    assert_eq!(show(&lab.plan(&[&sale("2023-03-15", march(), "5").0])), "TU3006 error\n");
    lab.set("line_mode", "dual");
    assert_eq!(show(&lab.plan(&[&sale("2023-03-15", march(), "5").0])), "TU3006 error\n");
}

#[test]
fn on_a_prorating_agreement_a_fee_is_dated_over_the_whole_period() {
    let mut lab = lab("2023-03-01");
    lab.agreement_mut(40).prorates = true;
    lab.set("proration_by", "connectwise");
    let sold = order("SO-1", OrderKind::Sales, "2023-03-15", march()).with(line(
        "1",
        Charge::Setup,
        "seat",
        "1",
        "10.00",
        "0",
    ));
    assert_eq!(lab.run(&sold.0), "create setup 2023-03-01..2023-03-31 1 x 10.00 cost 0.00 = 10.00\n");
    assert_eq!(lab.invoice(40), "10.00");
}

#[test]
fn where_connectwise_prorates_a_change_in_an_invoiced_period_is_kept_back() {
    let mut lab = lab("2023-03-01");
    lab.agreement_mut(40).prorates = true;
    lab.set("proration_by", "connectwise");
    lab.run(&sale("2023-03-01", march(), "5").0);
    lab.invoice(40);
    let draft = lab.plan(&[&change("CH-1", "2023-03-15", 5, 8).0]);
    assert_eq!(show(&draft), "TU4002 error\n");
    assert_eq!(draft.outcomes.values().next(), Some(&TaskOutcome::Waiting));
}

// --- Cancellations ---------------------------------------------------------------------------------------------------

#[test]
fn where_connectwise_prorates_a_line_ends_the_day_before_its_cancellation() {
    // January and February are invoiced, March is open: 19 of 31 days are owed.
    for invoiced in [2, 0] {
        let mut lab = since_january(invoiced);
        lab.agreement_mut(40).prorates = true;
        lab.set("proration_by", "connectwise");
        let shown = lab.run(&cancel("2023-03-20", march()).0);
        assert!(shown.contains("cancel recurring 2023-01-01..2023-03-19 8 x 22.00"), "{invoiced}: {shown}");
    }
}

#[test]
fn a_billed_line_ends_on_the_day_of_the_order_while_the_period_is_open() {
    let mut lab = since_january(2);
    let shown = lab.run(&cancel("2023-03-20", march()).0);
    assert_eq!(shown, "cancel recurring 2023-01-01..2023-03-20 8 x 22.00 cost 17.60 = 0.00\n");
    assert_eq!(invoices(&mut lab, 2), ["176.00", "0"]);
}

/// The day of cancellation is the first that is not paid for: at the boundary of two periods the new one owes nothing.
#[rstest]
#[case(3, march())]
#[case(3, april())]
#[case(2, march())]
#[case(0, march())]
#[case(0, april())]
fn a_cancellation_at_the_end_of_a_period_does_not_bill_the_next_one(
    #[case] invoiced: usize,
    #[case] of: Period,
) {
    let mut lab = since_january(invoiced);
    let shown = lab.run(&cancel("2023-04-01", of).0);
    assert!(shown.starts_with("cancel recurring 2023-01-01..2023-03-31 8 x 22.00"), "{shown}");
    let left = 3 - invoiced;
    assert_eq!(invoices(&mut lab, left + 1).iter().filter(|sum| *sum == "176.00").count(), left);
}

#[test]
fn a_late_cancellation_with_credits_on_and_nothing_given_back_says_so() {
    let mut lab = since_january(3);
    lab.set("credits", "on");
    let draft = lab.plan(&[&cancel("2023-03-20", march()).0]);
    assert_eq!(
        show(&draft),
        "cancel recurring 2023-01-01..2023-03-20 8 x 22.00 cost 17.60 = -176.00\nTU6005 warning\n"
    );
    let said = &draft.findings[0];
    assert!(
        said.message.contains("2023-03-31") && said.message.contains("gives nothing back"),
        "{}",
        said.message
    );
    // With the refund that the order names there is nothing left to say.
    let refunded = cancel("2023-03-20", march()).with(named("1", Charge::Refund, "-68.13"));
    assert_eq!(lab.plan(&[&refunded.0]).findings.iter().filter(|f| f.code == Code::Tu6005).count(), 0);
}

#[test]
fn a_refund_with_credits_off_is_left_out_with_its_amount() {
    let lab = since_january(3);
    let refunded = cancel("2023-03-20", march()).with(named("1", Charge::Refund, "68.13"));
    let draft = lab.plan(&[&refunded.0]);
    let left = draft.findings.iter().find(|f| f.code == Code::Tu6005).unwrap();
    assert_eq!(
        (left.amount.as_ref().unwrap().0.to_string(), left.severity),
        ("-68.13".into(), Severity::Warning)
    );
}

#[test]
fn a_cancellation_takes_the_single_open_addition_and_waits_whole_between_two() {
    let mut lab = lab("2023-03-01");
    subscription(&mut lab).items.push(SubscriptionItem {
        id: "seats".into(),
        product: ProductId::from("seat"),
        quantity: 8.into(),
        included_quantity: None,
        unit_price: None,
        unit_cost: None,
        overuse_price: None,
        overuse_cost: None,
    });
    lab.by_hand(40, 311, 7, "8", "22.00", "2023-01-01");
    let order = cancel("2023-03-20", march()).with(fee());
    let shown = show(&lab.plan(&[&order.0]));
    assert!(
        shown.contains("create cancellation") && shown.contains("cancel recurring 2023-01-01..2023-03-20"),
        "{shown}"
    );
    lab.by_hand(40, 312, 7, "2", "22.00", "2023-01-01");
    let draft = lab.plan(&[&order.0]);
    assert_eq!(show(&draft), "TU3007 error\n", "the fee waits with the lines");
    assert_eq!(draft.outcomes.values().next(), Some(&TaskOutcome::Waiting));
    // Once someone has said which one it is, all of it is written.
    lab.map(MappingKind::Addition, "subscription:s-1/seat", 311);
    let shown = lab.run(&order.0);
    assert!(
        shown.contains("create cancellation") && shown.contains("cancel recurring 2023-01-01..2023-03-20 8"),
        "{shown}"
    );
}

#[test]
fn the_fee_needs_its_own_mapping() {
    let mut lab = since_january(3);
    lab.mappings.retain(|m| m.kind != MappingKind::Fee);
    let draft = lab.plan(&[&cancel("2023-03-20", march()).with(fee()).0]);
    assert!(show(&draft).contains("TU2005 error"), "{}", show(&draft));
    assert_eq!(draft.outcomes.values().next(), Some(&TaskOutcome::Waiting));
}

#[test]
fn what_was_used_is_billed_alone_where_its_period_is_open() {
    // March is not invoiced, and the order charges the used part of it: the whole month is not billed on top.
    let mut lab = since_january(2);
    let shown = lab.run(&cancel("2023-03-20", march()).with(named("1", Charge::Recurring, "107.87")).0);
    assert!(shown.contains("create prorate 2023-03-01..2023-03-19 1 x 107.87"), "{shown}");
    assert_eq!(invoices(&mut lab, 2), ["107.87", "0"]);
}

#[test]
fn what_was_used_and_a_refund_of_the_whole_period_come_out_as_what_was_used() {
    for credits in ["off", "on"] {
        let mut lab = since_january(2);
        lab.set("credits", credits);
        let order = cancel("2023-03-20", march()).with(named("1", Charge::Recurring, "107.87")).with(named(
            "2",
            Charge::Refund,
            "-176.00",
        ));
        lab.run(&order.0);
        assert_eq!(invoices(&mut lab, 2), ["107.87", "0"], "credits {credits}");
    }
}

#[test]
fn a_charge_after_the_period_outlives_the_cancellation() {
    for (on, of) in [("2023-04-20", april()), ("2023-03-31", march())] {
        let mut lab = lab("2023-03-01");
        subscription(&mut lab).billing_model = BillingModel::Arrears;
        let bill = order("BO-1", OrderKind::Billing, "2023-04-01", march()).with(line(
            "1",
            Charge::Recurring,
            "seat",
            "5",
            "22.00",
            "17.60",
        ));
        lab.run(&bill.0);
        lab.run(&cancel(on, of).0);
        assert_eq!(lab.invoice(40), "110.00", "March was used");
    }
    // The same, where March is invoiced and its charge was moved to April.
    let mut lab = lab("2023-04-01");
    subscription(&mut lab).billing_model = BillingModel::Arrears;
    let bill = order("BO-1", OrderKind::Billing, "2023-04-01", march()).with(line(
        "1",
        Charge::Recurring,
        "seat",
        "5",
        "22.00",
        "17.60",
    ));
    lab.run(&bill.0);
    lab.run(&cancel("2023-04-20", april()).0);
    assert_eq!(lab.invoice(40), "110.00", "March was used");
}

#[test]
fn a_line_that_its_parent_invoiced_is_never_deleted() {
    let mut lab = lab("2023-03-01");
    lab.agreement(41, BillingCycle::MONTHLY, "USD", "2023-01-01", "2023-03-01");
    lab.agreement_mut(41).company = CompanyId(99);
    lab.agreement_mut(40).parent = Some(AgreementId(41));
    lab.run(&sale("2023-03-01", march(), "8").0);
    lab.invoice(41);
    let shown = lab.run(&cancel("2023-03-20", march()).0);
    assert!(shown.starts_with("cancel recurring 2023-03-01..2023-03-31"), "{shown}");
}

// --- Commitments -----------------------------------------------------------------------------------------------------

fn committed() -> Lab {
    let mut lab = lab("2023-03-01");
    lab.set("line_mode", "commitment");
    subscription(&mut lab).term =
        Some(Term { start: day("2023-03-01"), end: Some(day("2024-03-01")), auto_renew: None });
    lab.run(&sale("2023-03-01", march(), "5").0);
    lab
}

fn renewal() -> OrderDraft {
    order("RN-1", OrderKind::Renewal, "2024-03-01", period("2024-03-01", "2024-04-01")).with(line(
        "1",
        Charge::Recurring,
        "seat",
        "5",
        "22.00",
        "17.60",
    ))
}

#[test]
fn a_renewed_commitment_is_a_new_line_from_the_day_after() {
    let mut lab = committed();
    subscription(&mut lab).term =
        Some(Term { start: day("2024-03-01"), end: Some(day("2025-03-01")), auto_renew: None });
    assert_eq!(
        lab.run(&renewal().0),
        "create recurring 2024-03-01..2025-02-28 5 x 22.00 cost 17.60 = 110.00\n"
    );
}

#[test]
fn a_renewal_goes_on_without_end_where_the_new_term_is_not_known_yet() {
    let mut lab = committed();
    let shown = lab.run(&renewal().0);
    assert_eq!(shown, "create recurring 2024-03-01..- 5 x 22.00 cost 17.60 = 110.00\n");
}

#[test]
fn a_change_within_a_commitment_keeps_its_end() {
    let mut lab = committed();
    lab.invoice(40);
    let up =
        order("CH-1", OrderKind::Change, "2023-04-01", april()).change("1", "seat", 5, 8, "22.00", "17.60");
    assert_eq!(
        lab.run(&up.0),
        "create recurring 2023-04-01..2024-02-29 8 x 22.00 cost 17.60 = 176.00\n\
         cancel recurring 2023-03-01..2023-03-31 5 x 22.00 cost 17.60 = -110.00\n"
    );
}

// --- Renewals --------------------------------------------------------------------------------------------------------

#[rstest]
#[case::the_same(true, "22.00", "5")]
#[case::no_price(true, "", "5")]
#[case::dearer(false, "23.00", "5")]
#[case::more(false, "22.00", "6")]
fn a_renewal_is_a_change_only_where_something_changed(
    #[case] nothing: bool,
    #[case] price: &str,
    #[case] quantity: &str,
) {
    let mut lab = lab("2023-03-01");
    lab.run(&sale("2023-03-01", march(), "5").0);
    let cost = if price.is_empty() { "" } else { "17.60" };
    let again = order("RN-1", OrderKind::Renewal, "2023-04-01", april()).with(line(
        "1",
        Charge::Recurring,
        "seat",
        quantity,
        price,
        cost,
    ));
    let draft = lab.plan(&[&again.0]);
    let outcome = *draft.outcomes.values().next().unwrap();
    assert_eq!(outcome == TaskOutcome::NothingToDo, nothing, "{}", show(&draft));
}

// --- Rounding that is told -------------------------------------------------------------------------------------------

#[test]
fn the_drift_of_a_named_cost_is_told_like_that_of_a_price() {
    let lab = lab("2023-03-01");
    let bill = |amount: &str, cost: &str| {
        let mut made = line("1", Charge::OneTime, "seat", "1", "", "");
        made.amount = Some(amount.parse().unwrap());
        made.cost_amount = Some(cost.parse().unwrap());
        order("BO-1", OrderKind::Billing, "2023-03-01", march()).with(made)
    };
    let told = |amount: &str, cost: &str| -> Vec<(Severity, String)> {
        let draft = lab.plan(&[&bill(amount, cost).0]);
        draft
            .findings
            .iter()
            .filter(|f| f.code == Code::Tu6006)
            .map(|f| (f.severity, f.message.clone()))
            .collect()
    };
    assert!(told("10.00", "8.00").is_empty());
    let both = told("10.123456", "8.765432");
    assert_eq!(both.len(), 1, "one finding a line: {both:?}");
    assert!(both[0].1.contains("10.123456") && both[0].1.contains("8.765432"), "{both:?}");
    let cost = told("10.00", "8.7654");
    assert_eq!((cost.len(), cost[0].0), (1, Severity::Info));
    assert!(cost[0].1.contains("8.7654") && cost[0].1.contains("cost"), "{cost:?}");
}

/// A unit price is written in the currency's places only where the line stays right.
#[rstest]
#[case("1000", "0.125", "125.00")]
#[case("100000", "0.0004", "40.00")]
#[case("3", "3.3333", "9.99")]
#[case("8", "12.500", "100.00")]
fn a_recurring_price_keeps_the_places_it_needs(
    #[case] quantity: &str,
    #[case] price: &str,
    #[case] billed: &str,
) {
    let mut lab = lab("2023-03-01");
    let sold = order("SO-1", OrderKind::Sales, "2023-03-01", march()).with(line(
        "1",
        Charge::Recurring,
        "seat",
        quantity,
        price,
        price,
    ));
    lab.run(&sold.0);
    assert_eq!(invoices(&mut lab, 2), [billed, billed]);
    assert_eq!(lab.plan(&[&sold.0]).findings.iter().filter(|f| f.code == Code::Tu6006).count(), 0);
}

// --- Keys ------------------------------------------------------------------------------------------------------------

#[test]
fn a_key_does_not_follow_the_invoices() {
    let mut lab = lab("2023-03-01");
    let keys = |lab: &Lab| -> Vec<String> {
        let draft = lab.plan(&[&sale("2023-03-01", march(), "5").0]);
        let lines = draft.changes.iter().filter(|c| c.role == Role::Recurring);
        lines.map(|c| c.key.to_string()).collect()
    };
    let before = keys(&lab);
    lab.invoice(40);
    assert_eq!(before, keys(&lab));
    assert!(before[0].starts_with("tu") && before[0].len() == 28, "{before:?}");
    lab.org = "other".into();
    assert_ne!(before, keys(&lab), "another organization has other keys");
}

#[test]
fn a_line_with_our_key_is_never_written_again_even_when_its_link_is_lost() {
    let mut lab = lab("2023-03-01");
    let sold = sale("2023-03-01", march(), "5");
    lab.run(&sold.0);
    lab.links.clear();
    let again = lab.plan(&[&sold.0]);
    assert!(again.changes.iter().all(|c| !c.writes()), "{}", show(&again));
}

#[test]
fn two_lines_by_hand_are_named_so_that_a_person_can_choose() {
    let mut lab = lab("2023-03-01");
    lab.by_hand(40, 311, 7, "5", "22.00", "2023-01-01");
    lab.by_hand(40, 312, 7, "2", "22.00", "2023-01-01");
    let draft = lab.plan(&[&change("CH-1", "2023-03-15", 5, 8).0]);
    let message = &draft.findings[0].message;
    assert!(message.contains("311") && message.contains("312"), "{message}");
}

// --- Use ---------------------------------------------------------------------------------------------------------------

#[rstest]
#[case("10000", "0.0034", "34.00")]
#[case("700", "0.005", "3.50")]
#[case("100", "0.05", "5.00")]
fn use_at_a_price_below_a_cent_is_billed_exactly(
    #[case] quantity: &str,
    #[case] price: &str,
    #[case] billed: &str,
) {
    let mut lab = lab("2023-03-01");
    let bill = order("BO-1", OrderKind::Billing, "2023-04-01", march()).with(line(
        "1",
        Charge::Overuse,
        "seat",
        quantity,
        price,
        price,
    ));
    lab.run(&bill.0);
    assert_eq!(lab.invoice(40), billed);
}

// --- What people did -----------------------------------------------------------------------------------------------------

fn written(lab: &mut Lab) -> &mut trueup_domain::psa::ObservedAddition {
    &mut lab.snapshot.additions.get_mut(&AgreementId(40)).unwrap()[0]
}

/// Five seats that trueup wrote; a person edits the line; a mapping names it: the change goes on from what is there.
#[test]
fn a_mapping_takes_an_edited_line_over_as_it_is() {
    let mut lab = lab("2023-03-01");
    lab.run(&sale("2023-03-01", march(), "5").0);
    written(&mut lab).state.quantity = 6.into();
    let up = change("CH-1", "2023-03-15", 6, 8);
    let draft = lab.plan(&[&up.0]);
    assert_eq!(show(&draft), "TU7002 error\n");
    assert!(
        draft.findings[0].fix.contains("addition,subscription:s-1/seat,1001"),
        "{}",
        draft.findings[0].fix
    );
    lab.map(MappingKind::Addition, "subscription:s-1/seat", 1001);
    assert_eq!(
        lab.run(&up.0),
        "create recurring 2023-04-01..- 8 x 22.00 cost 17.60 = 176.00\n\
         create prorate 2023-03-15..2023-03-31 2 x 12.06 cost 9.65 = 24.12\n\
         cancel recurring 2023-03-01..2023-03-31 6 x 22.00 cost 17.60 = 0.00\n\
         TU7002 info\n"
    );
    // The mapping speaks of that one line: an edit of the next one is found again.
    let next = lab.snapshot.additions.get_mut(&AgreementId(40)).unwrap();
    next.iter_mut().find(|a| a.state.is_open()).unwrap().state.quantity = 9.into();
    let more =
        order("CH-2", OrderKind::Change, "2023-04-10", april()).change("1", "seat", 8, 10, "22.00", "17.60");
    assert_eq!(show(&lab.plan(&[&more.0])), "TU7002 error\n");
}

#[rstest]
#[case::ended(false)]
#[case::deleted(true)]
fn a_mapping_to_another_addition_answers_a_line_that_a_person_ended(#[case] deleted: bool) {
    let mut lab = lab("2023-03-01");
    lab.run(&sale("2023-03-01", march(), "5").0);
    if deleted {
        lab.snapshot.additions.get_mut(&AgreementId(40)).unwrap().clear();
    } else {
        written(&mut lab).state.cancelled = Some(day("2023-03-10"));
    }
    lab.by_hand(40, 311, 7, "5", "22.00", "2023-03-11");
    let up = change("CH-1", "2023-03-15", 5, 8);
    assert_eq!(show(&lab.plan(&[&up.0])), "TU3008 error\n");
    lab.map(MappingKind::Addition, "subscription:s-1/seat", 311);
    let shown = lab.run(&up.0);
    assert!(shown.contains("cancel recurring 2023-03-11..2023-03-31 5 x 22.00"), "{shown}");
    assert!(shown.contains("TU3008 info"), "{shown}");
}

#[test]
fn a_part_is_as_free_as_its_line() {
    let mut lab = lab("2023-03-01");
    lab.run(&sale("2023-03-01", march(), "5").0);
    written(&mut lab).state.bill = BillFlag::DoNotBill;
    let draft = lab.plan(&[&change("CH-1", "2023-03-15", 5, 8).0]);
    for made in draft.changes.iter().filter_map(|c| c.action.after()).filter(|s| s.quantity != 5.into()) {
        assert_eq!(made.bill, BillFlag::DoNotBill);
    }
    assert!(draft.changes.iter().all(|c| c.amount.is_zero() && c.cost.is_zero()), "{}", show(&draft));
    lab.apply(&draft);
    assert_eq!(invoices(&mut lab, 2), ["0", "0"]);
}

#[test]
fn included_quantities_that_a_person_set_are_not_lost_with_their_line() {
    let mut lab = lab("2023-03-01");
    lab.run(&sale("2023-03-01", march(), "5").0);
    written(&mut lab).less_included = 2.into();
    assert_eq!(show(&lab.plan(&[&change("CH-1", "2023-03-15", 5, 8).0])), "TU5001 warning\nTU7002 error\n");
    let shown = show(&lab.plan(&[&cancel("2023-03-20", march()).0]));
    assert!(shown.starts_with("delete recurring"), "ending it loses nothing: {shown}");
}

#[test]
fn another_price_on_a_line_that_is_taken_over_is_said() {
    let mut lab = lab("2023-03-01");
    lab.by_hand(40, 311, 7, "5", "21.00", "2023-01-01");
    lab.map(MappingKind::Addition, "subscription:s-1/seat", 311);
    let draft = lab.plan(&[&sale("2023-03-01", march(), "5").0]);
    assert_eq!(show(&draft), "TU6003 warning\n");
}

#[test]
fn the_tolerance_of_rounding_follows_the_currency() {
    // Three units with a drift of 1.16 yen, and 1,000 fils short by 8: five yen are allowed, and five fils.
    for (currency, price, quantity, told) in [("JPY", "1000", 3, false), ("KWD", "10.005", 1000, true)] {
        let mut lab = lab("2023-03-01");
        lab.agreement(40, BillingCycle::MONTHLY, currency, "2023-01-01", "2023-03-01");
        subscription(&mut lab).currency = currency.parse().unwrap();
        let mut more = order("CH-1", OrderKind::Change, "2023-03-15", march())
            .change("1", "seat", 0, quantity, price, "0");
        more.0.currency = currency.parse().unwrap();
        let draft = lab.plan(&[&more.0]);
        let drift: Vec<_> =
            draft.findings.iter().filter(|f| f.code == Code::Tu6006).map(|f| &f.message).collect();
        assert_eq!(!drift.is_empty(), told, "{currency}: {drift:?}");
    }
}

#[test]
fn in_a_plan_switch_nothing_ends_before_the_new_plan_is_written() {
    let mut lab = lab("2023-03-01");
    lab.product("big", 8, ProductKind::Seat, "30.00", "20.00");
    for mode in ["prorate_line", "single", "dual"] {
        let mut lab = Lab { snapshot: lab.snapshot.clone(), ..self::lab("2023-03-01") };
        lab.product("big", 8, ProductKind::Seat, "30.00", "20.00");
        lab.set("line_mode", mode);
        lab.run(&sale("2023-03-01", march(), "5").0);
        let switch = order("CH-1", OrderKind::Change, "2023-03-15", march())
            .change("1", "seat", 5, 0, "22.00", "17.60")
            .change("2", "big", 0, 5, "30.00", "20.00");
        let draft = lab.plan(&[&switch.0]);
        let ops: Vec<_> = draft.changes.iter().map(|c| c.action.op()).collect();
        let first_end = ops.iter().position(|op| matches!(*op, "cancel" | "delete")).unwrap();
        assert!(ops[first_end..].iter().all(|op| matches!(*op, "cancel" | "delete")), "{mode}: {ops:?}");
    }
}

#[test]
fn a_cancellation_that_a_persons_edit_holds_back_is_an_error_even_where_nothing_names_the_product() {
    let mut lab = lab("2023-03-01");
    lab.run(&sale("2023-03-01", march(), "5").0);
    lab.invoice(40);
    written(&mut lab).state.quantity = 6.into();
    let draft = lab.plan(&[&cancel("2023-03-20", march()).0]);
    assert_eq!(show(&draft), "TU7002 error\n");
    assert_eq!(draft.outcomes.values().next(), Some(&TaskOutcome::Waiting));
    assert_eq!(show(&lab.plan(&[&change("CH-1", "2023-03-15", 5, 3).0])), "TU7002 error\n");
    lab.map(MappingKind::Addition, "subscription:s-1/seat", 1001);
    assert!(
        lab.run(&cancel("2023-03-20", march()).0).starts_with("cancel recurring 2023-03-01..2023-03-31 6")
    );
}

#[test]
fn where_connectwise_prorates_the_open_period_gives_back_by_itself_and_an_invoiced_one_is_refunded() {
    for (invoiced, refunds) in [(2, 0), (3, 1)] {
        for separate in [false, true] {
            let mut lab = since_january(invoiced);
            lab.set("credits", "on").set("proration_by", if separate { "trueup" } else { "connectwise" });
            lab.agreement_mut(40).prorates = true;
            if separate {
                lab.agreement(41, BillingCycle::MONTHLY, "USD", "2023-01-01", "2023-03-01");
                lab.map(MappingKind::Agreement, "s-1", 40);
                lab.mappings.last_mut().unwrap().options.insert("proration".into(), "41".into());
            }
            let shown = lab.run(&cancel("2023-03-20", march()).with(named("1", Charge::Refund, "-68.13")).0);
            assert_eq!(shown.matches("create refund").count(), refunds, "{invoiced} {separate}: {shown}");
            assert!(
                shown.contains("cancel recurring 2023-01-01..2023-03-19"),
                "{invoiced} {separate}: {shown}"
            );
        }
    }
}

/// Five seats at 22.00 and three at 20.00 of one product: an order means the line whose quantity it starts from.
#[test]
fn of_two_lines_of_one_product_an_order_changes_the_one_it_starts_from() {
    let mut lab = lab("2023-03-01");
    let sold =
        sale("2023-03-01", march(), "5").with(line("2", Charge::Recurring, "seat", "3", "20.00", "16.00"));
    lab.run(&sold.0);
    assert_eq!(
        lab.run(&change("CH-1", "2023-03-15", 5, 8).0),
        "create recurring 2023-04-01..- 8 x 22.00 cost 17.60 = 176.00\n\
         create prorate 2023-03-15..2023-03-31 3 x 12.06 cost 9.65 = 36.18\n\
         cancel recurring 2023-03-01..2023-03-31 5 x 22.00 cost 17.60 = 0.00\n"
    );
    assert_eq!(invoices(&mut lab, 2), ["206.18", "236.00"]);
    let other =
        order("CH-2", OrderKind::Change, "2023-04-10", april()).change("1", "seat", 4, 9, "22.00", "17.60");
    assert_eq!(show(&lab.plan(&[&other.0])), "TU3007 error\n");
}

/// The line that follows on what an order ended was deleted by a person: the next order does not take the ended one for the
/// line of now, and waits.
#[test]
fn an_order_waits_where_the_line_that_an_earlier_one_began_is_gone() {
    let mut lab = Lab::monthly("2023-01-01", "2023-02-01");
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2023-01-01");
    lab.run(
        &order("SO", OrderKind::Sales, "2023-01-01", period("2023-01-01", "2023-02-01"))
            .with(line("1", Charge::Recurring, "seat", "5", "22.00", "17.60"))
            .0,
    );
    lab.invoice(40);
    let february = period("2023-02-01", "2023-03-01");
    let change = |id: &str, on: &str, old, new| {
        order(id, OrderKind::Change, on, february).change("1", "seat", old, new, "22.00", "17.60")
    };
    lab.run(&change("C-1", "2023-02-10", 5, 8).0);
    let lines = lab.snapshot.additions.get_mut(&AgreementId(40)).unwrap();
    lines.retain(|line| line.state.quantity != 8.into());
    assert_eq!(show(&lab.plan(&[&change("C-2", "2023-02-20", 8, 9).0])), "TU3008 error\n");
}
