//! A person brings a subscription to another agreement: by a row that names the agreement, or by a line entered there.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use trueup_domain::feed::*;
use trueup_domain::finding::{Code, Severity};
use trueup_domain::ids::*;
use trueup_domain::mapping::{MappingKind, MappingOrigin};
use trueup_domain::period::{BillingCycle, Period};
use trueup_domain::plan::DraftPlan;
use trueup_domain::psa::AgreementStatus;
use trueup_domain::task::{Beside, Demand, TaskKind};

/// How the old agreement stands once a person chose another one.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Old {
    /// It goes on.
    Live,
    /// Its last day was 28 February.
    Ended,
    /// It was cancelled on 28 February: nothing can be written to it.
    Cancelled,
}

fn month(number: i8) -> Period {
    period(&format!("2025-{number:02}-01"), &format!("2025-{:02}-01", number + 1))
}

/// Five seats on agreement 40 since January, two months of which are invoiced. Agreement 41 is there from `from` on.
fn sold(from: &str) -> Lab {
    let mut lab = Lab::monthly("2025-01-01", "2025-01-01");
    lab.today = day("2025-01-01");
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.product("disk", 8, ProductKind::Seat, "10.00", "8.00");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2025-01-01");
    let sale = order("SO-1", OrderKind::Sales, "2025-01-01", month(1));
    lab.run(&sale.with(line("1", Charge::Recurring, "seat", "5", "22.00", "17.60")).0);
    lab.map(MappingKind::Agreement, "s-1", 40);
    lab.mappings.last_mut().unwrap().origin = MappingOrigin::Automatic;
    assert_eq!([lab.invoice(40), lab.invoice(40)], ["110.00", "110.00"]);
    lab.agreement(41, BillingCycle::MONTHLY, "USD", from, from);
    lab.today = day("2025-03-12");
    lab
}

fn choose(lab: &mut Lab, agreement: i64) {
    lab.mappings.retain(|m| m.kind != MappingKind::Agreement);
    lab.map(MappingKind::Agreement, "s-1", agreement);
}

fn end(lab: &mut Lab, old: Old) {
    match old {
        Old::Live => {}
        Old::Ended => lab.agreement_mut(40).end = Some(day("2025-02-28")),
        Old::Cancelled => {
            lab.agreement_mut(40).end = Some(day("2025-02-28"));
            lab.agreement_mut(40).status = AgreementStatus::Cancelled;
        }
    }
}

fn change(id: &str, on: &str, period: Period, old: i64, new: i64) -> Order {
    order(id, OrderKind::Change, on, period).change("1", "seat", old, new, "22.00", "17.60").0
}

fn bills(lab: &mut Lab, agreement: i64, months: usize) -> Vec<String> {
    let shown = |sum: String| if sum == "0" { "0.00".to_owned() } else { sum };
    (0..months).map(|_| shown(lab.invoice(agreement))).collect()
}

fn own_line(lab: &Lab) -> AdditionId {
    lab.links.iter().find(|link| link.agreement == AgreementId(40)).unwrap().addition
}

fn errors(draft: &DraftPlan) -> Vec<Code> {
    draft.findings.iter().filter(|f| f.severity == Severity::Error).map(|f| f.code).collect()
}

fn reconcile(lab: &Lab, period: Period) -> DraftPlan {
    let mut task = lab.task(&change("none", "2025-03-12", period, 5, 5));
    task.kind = TaskKind::Reconciliation;
    task.order_id = None;
    let demand =
        Demand::Reconcile { period: Some(period), confirm_invoiced: false, beside: Beside::default() };
    lab.plan_tasks(&[(task, demand)])
}

#[rstest]
#[case(Old::Ended)]
#[case(Old::Cancelled)]
#[case(Old::Live)]
fn the_next_change_brings_a_subscription_to_the_agreement_that_a_person_chose(#[case] old: Old) {
    let mut lab = sold("2025-03-01");
    end(&mut lab, old);
    choose(&mut lab, 41);
    lab.run(&change("CH-1", "2025-03-12", month(3), 5, 8));
    if old != Old::Cancelled {
        assert_eq!(bills(&mut lab, 40, 2), ["0.00", "0.00"], "{old:?}");
    }
    // 3 x 22.00 x 20/31.
    assert_eq!(bills(&mut lab, 41, 3), ["152.57", "176.00", "176.00"], "{old:?}");
    // What follows stays there.
    lab.today = day("2025-06-10");
    lab.run(&change("CH-2", "2025-06-10", month(6), 8, 9));
    assert_eq!(bills(&mut lab, 41, 2), ["191.40", "198.00"], "{old:?}");
    let gone = lab.run(&order("CA-1", OrderKind::Cancellation, "2025-08-20", month(8)).0);
    assert!(gone.starts_with("cancel"), "{gone}");
    assert_eq!(bills(&mut lab, 41, 2), ["198.00", "0.00"], "{old:?}");
}

/// March is invoiced on the old agreement: it stays there.
#[test]
fn what_the_old_agreement_has_invoiced_is_billed_there_and_nowhere_else() {
    let mut lab = sold("2025-01-01");
    assert_eq!(lab.invoice(40), "110.00");
    choose(&mut lab, 41);
    lab.run(&change("CH-1", "2025-03-12", month(3), 5, 8));
    assert_eq!(bills(&mut lab, 40, 2), ["0.00", "0.00"]);
    assert_eq!(bills(&mut lab, 41, 5), ["0.00", "0.00", "42.57", "176.00", "176.00"]);
}

/// March is invoiced on the new agreement, not on the old one: the old one bills it still.
#[test]
fn what_the_new_agreement_has_invoiced_is_billed_by_the_old_one() {
    let mut lab = sold("2025-03-01");
    assert_eq!(bills(&mut lab, 41, 1), ["0.00"]);
    choose(&mut lab, 41);
    lab.run(&change("CH-1", "2025-03-12", month(3), 5, 8));
    assert_eq!(bills(&mut lab, 40, 2), ["110.00", "0.00"]);
    assert_eq!(bills(&mut lab, 41, 2), ["218.57", "176.00"]);
}

#[rstest]
#[case("prorate_line", "end_and_create")]
#[case("single", "end_and_create")]
#[case("dual", "end_and_create")]
#[case("prorate_line", "edit_in_place")]
fn the_modes_and_settings_change_nothing_of_the_money(
    #[case] mode: &str,
    #[case] edit: &str,
    #[values(Old::Live, Old::Ended, Old::Cancelled)] old: Old,
    #[values(false, true)] invoiced: bool,
) {
    let mut lab = sold("2025-03-01");
    lab.set("line_mode", mode).set("quantity_change", edit).set("rounding_place", "line");
    if invoiced {
        // A dead agreement makes no invoice.
        let by = if old == Old::Live { 40 } else { 41 };
        lab.invoice(by);
    }
    end(&mut lab, old);
    choose(&mut lab, 41);
    lab.run(&change("CH-1", "2025-03-12", month(3), 5, 8));
    let months = if invoiced && old != Old::Live { 2 } else { 3 };
    let sum = |bills: Vec<String>| {
        bills.iter().map(|b| b.parse::<trueup_domain::Decimal>().unwrap()).sum::<trueup_domain::Decimal>()
    };
    let elsewhere = if invoiced && old == Old::Live { "110.00" } else { "0.00" };
    let all = sum(bills(&mut lab, 41, months)) + elsewhere.parse::<trueup_domain::Decimal>().unwrap();
    // A period that is averaged is rounded by the unit.
    let exact: trueup_domain::Decimal = "504.58".parse().unwrap();
    assert!((all - exact).abs() < "0.05".parse().unwrap(), "{all}: {old:?} {mode} {edit} {invoiced}");
}

/// What the order does not name moves as well.
#[test]
fn the_whole_subscription_moves() {
    let mut lab = sold("2025-03-01");
    let added = order("CH-0", OrderKind::Change, "2025-03-01", month(3));
    lab.run(&added.change("1", "disk", 0, 2, "10.00", "8.00").0);
    choose(&mut lab, 41);
    lab.run(&change("CH-1", "2025-03-12", month(3), 5, 8));
    assert_eq!(bills(&mut lab, 40, 2), ["0.00", "0.00"]);
    assert_eq!(bills(&mut lab, 41, 2), ["172.57", "196.00"]);
}

#[rstest]
#[case(Old::Ended, "0.00")]
#[case(Old::Cancelled, "0.00")]
#[case(Old::Live, "0.00")]
fn a_reconciliation_moves_without_an_order(#[case] old: Old, #[case] left: &str) {
    let mut lab = sold("2025-03-01");
    lab.subscriptions.values_mut().next().unwrap().items = vec![SubscriptionItem {
        id: "1".into(),
        product: ProductId::from("seat"),
        quantity: 5.into(),
        included_quantity: None,
        unit_price: Some("22.00".parse().unwrap()),
        unit_cost: Some("17.60".parse().unwrap()),
        overuse_price: None,
        overuse_cost: None,
    }];
    end(&mut lab, old);
    choose(&mut lab, 41);
    let draft = reconcile(&lab, month(3));
    assert!(errors(&draft).is_empty(), "{}", show(&draft));
    lab.apply(&draft);
    let again = reconcile(&lab, month(3));
    assert!(again.changes.iter().all(|c| !c.writes()), "{}", show(&again));
    if old != Old::Cancelled {
        assert_eq!(bills(&mut lab, 40, 1), [left]);
    }
    assert_eq!(bills(&mut lab, 41, 2), ["110.00", "110.00"], "{old:?}");
}

/// A person ended the line on the old agreement by hand.
#[rstest]
#[case(Old::Live)]
#[case(Old::Ended)]
#[case(Old::Cancelled)]
fn a_line_that_was_ended_by_hand_goes_on_where_the_subscription_was_brought_to(#[case] old: Old) {
    let mut lab = sold("2025-03-01");
    let id = own_line(&lab);
    let lines = lab.snapshot.additions.get_mut(&AgreementId(40)).unwrap();
    lines.iter_mut().find(|l| l.id == id).unwrap().state.cancelled = Some(day("2025-02-28"));
    end(&mut lab, old);
    choose(&mut lab, 41);
    let draft = lab.plan(&[&change("CH-1", "2025-03-12", month(3), 5, 8)]);
    assert!(errors(&draft).is_empty(), "{}", show(&draft));
    assert!(draft.findings.iter().any(|f| f.code == Code::Tu3008), "{}", show(&draft));
    lab.apply(&draft);
    assert_eq!(bills(&mut lab, 41, 2), ["152.57", "176.00"], "{old:?}");
}

#[test]
fn a_cancellation_ends_what_is_on_the_old_agreement() {
    let mut lab = sold("2025-03-01");
    choose(&mut lab, 41);
    lab.run(&order("CA-1", OrderKind::Cancellation, "2025-03-12", month(3)).0);
    assert_eq!(bills(&mut lab, 40, 2), ["110.00", "0.00"]);
    assert_eq!(bills(&mut lab, 41, 2), ["0.00", "0.00"]);
}

/// The days of March were used, and the agreement of their line bills them no more.
#[rstest]
#[case(Old::Ended)]
#[case(Old::Cancelled)]
fn a_cancellation_bills_the_days_after_the_old_agreement(#[case] old: Old) {
    let mut lab = sold("2025-03-01");
    end(&mut lab, old);
    choose(&mut lab, 41);
    lab.run(&order("CA-1", OrderKind::Cancellation, "2025-03-12", month(3)).0);
    assert_eq!(bills(&mut lab, 41, 2), ["110.00", "0.00"]);
}

/// A line that a person entered on the new agreement, and named by a row.
#[rstest]
fn a_named_line_takes_the_place_of_the_own_one(
    #[values(Old::Live, Old::Ended, Old::Cancelled)] old: Old,
    #[values(false, true)] apart: bool,
    #[values(false, true)] ended_by_hand: bool,
) {
    let mut lab = sold("2025-03-01");
    if ended_by_hand {
        let id = own_line(&lab);
        let lines = lab.snapshot.additions.get_mut(&AgreementId(40)).unwrap();
        lines.iter_mut().find(|l| l.id == id).unwrap().state.cancelled = Some(day("2025-02-28"));
    }
    end(&mut lab, old);
    choose(&mut lab, 41);
    lab.by_hand(41, 2000, 7, "5", "22.00", "2025-03-01");
    lab.map(MappingKind::Addition, "subscription:s-1/seat", 2000);
    if apart {
        // An order that does not name the product comes first.
        let other = order("CH-0", OrderKind::Change, "2025-03-10", month(3));
        lab.run(&other.change("1", "disk", 0, 0, "10.00", "8.00").0);
    }
    lab.run(&change("CH-1", "2025-03-12", month(3), 5, 8));
    if old != Old::Cancelled {
        assert_eq!(bills(&mut lab, 40, 2), ["0.00", "0.00"], "{old:?}");
    }
    assert_eq!(bills(&mut lab, 41, 3), ["152.57", "176.00", "176.00"], "{old:?}");
}

/// The same on one agreement. Both were invoiced for February: the one is told to be given back.
#[rstest]
#[case("2025-03-01", None)]
#[case("2025-02-01", Some("-110.00"))]
fn a_named_line_beside_an_own_one_on_one_agreement(#[case] from: &str, #[case] twice: Option<&str>) {
    let mut lab = sold("2025-03-01");
    lab.by_hand(40, 2000, 7, "5", "22.00", from);
    lab.map(MappingKind::Addition, "subscription:s-1/seat", 2000);
    let order = change("CH-1", "2025-03-12", month(3), 5, 8);
    let draft = lab.plan(&[&order]);
    let told = draft.findings.iter().find(|f| f.code == Code::Tu6005 && f.message.contains("2000"));
    assert_eq!(told.and_then(|f| f.amount.as_ref()).map(|(m, _)| m.to_string()), twice.map(str::to_owned));
    lab.run(&order);
    assert_eq!(bills(&mut lab, 40, 3), ["152.57", "176.00", "176.00"]);
}

/// A choice that trueup made itself moves no lines: they stay where they are, and where lines of its own are on both it waits,
/// as does a line by hand on another agreement than the chosen one.
#[test]
fn what_no_person_chose_moves_nothing() {
    let mut lab = sold("2025-03-01");
    choose(&mut lab, 41);
    lab.mappings.last_mut().unwrap().origin = MappingOrigin::Automatic;
    let order = change("CH-1", "2025-03-12", month(3), 5, 8);
    let draft = lab.plan(&[&order]);
    assert!(draft.changes.iter().all(|c| c.agreement == AgreementId(40)), "{}", show(&draft));
    assert!(!draft.changes.is_empty() && errors(&draft).is_empty(), "{}", show(&draft));

    let mut both = lab.clone();
    let mut beside = both.links[0].clone();
    (beside.addition, beside.agreement, beside.key) = (AdditionId(900), AgreementId(41), None);
    both.by_hand(41, 900, 7, "5", "22.00", "2025-03-01");
    both.links.insert(0, beside);
    let draft = both.plan(&[&order]);
    assert_eq!(errors(&draft), [Code::Tu3005], "{}", show(&draft));
    let finding = draft.findings.iter().find(|f| f.code == Code::Tu3005).unwrap();
    assert!(finding.fix.contains("agreement,s-1,41"), "{finding:?}");
    choose(&mut lab, 40);
    lab.by_hand(41, 2000, 7, "5", "22.00", "2025-03-01");
    lab.map(MappingKind::Addition, "subscription:s-1/seat", 2000);
    let draft = lab.plan(&[&order]);
    assert_eq!(errors(&draft), [Code::Tu3005], "{}", show(&draft));
    assert!(draft.changes.is_empty());
}

/// A run that broke off after any of its writes is finished by the next one.
#[rstest]
fn a_move_that_broke_off_is_finished(
    #[values(Old::Live, Old::Ended, Old::Cancelled)] old: Old,
    #[values(1, 2, 3, 4)] done: usize,
) {
    let mut lab = sold("2025-03-01");
    end(&mut lab, old);
    choose(&mut lab, 41);
    let order = change("CH-1", "2025-03-12", month(3), 5, 8);
    let mut draft = lab.plan(&[&order]);
    draft.changes.truncate(done);
    lab.apply(&draft);
    lab.run(&order);
    if old != Old::Cancelled {
        assert_eq!(bills(&mut lab, 40, 1), ["0.00"], "{old:?} {done}");
    }
    assert_eq!(bills(&mut lab, 41, 2), ["152.57", "176.00"], "{old:?} {done}");
}

/// There and back again.
#[test]
fn a_subscription_can_be_brought_back() {
    let mut lab = sold("2025-03-01");
    choose(&mut lab, 41);
    lab.run(&change("CH-1", "2025-03-12", month(3), 5, 8));
    assert_eq!(bills(&mut lab, 41, 1), ["152.57"]);
    choose(&mut lab, 40);
    lab.today = day("2025-04-10");
    lab.run(&change("CH-2", "2025-04-10", month(4), 8, 10));
    assert_eq!(bills(&mut lab, 41, 2), ["0.00", "0.00"]);
    assert_eq!(bills(&mut lab, 40, 3), ["0.00", "206.80", "220.00"]);
}

/// Whenever a subscription is brought to another agreement, what both bill together is what the one would have billed.
#[rstest]
fn what_is_moved_costs_what_it_did(
    #[values("prorate_line", "single", "dual")] mode: &str,
    #[values("end_and_create", "edit_in_place")] edit: &str,
    #[values(false, true)] in_advance: bool,
    #[values("2025-01-01", "2025-01-12")] start: &str,
) {
    let first = day(start);
    let at = |months: i64| BillingCycle::MONTHLY.boundary(first, months).unwrap();
    let own = |months: i64| Period::new(at(months), at(months + 1)).unwrap();
    let on = |months: i64| at(months).checked_add(jiff::ToSpan::days(9)).unwrap().to_string();
    let orders = [
        (
            0,
            order("SO-1", OrderKind::Sales, start, own(0))
                .with(line("1", Charge::Recurring, "seat", "5", "22.00", "17.60"))
                .0,
        ),
        (1, change("CH-1", &on(1), own(1), 5, 8)),
        (2, change("CH-2", &on(2), own(2), 8, 4)),
        (3, order("CH-3", OrderKind::Change, &on(3), own(3)).change("1", "disk", 0, 2, "10.00", "8.00").0),
        (5, order("CA-1", OrderKind::Cancellation, &at(5).to_string(), own(5)).0),
    ];
    let mut costs = Vec::new();
    for moved_before in [usize::MAX, 1, 2, 3] {
        let mut lab = Lab::monthly("2025-01-01", "2025-01-01");
        lab.set("line_mode", mode)
            .set("quantity_change", edit)
            .set("credits", "on")
            .set("rounding_place", "line");
        lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
        lab.product("disk", 8, ProductKind::Seat, "10.00", "8.00");
        lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, start);
        lab.agreement(41, BillingCycle::MONTHLY, "USD", "2025-01-01", "2025-01-01");
        choose(&mut lab, 40);
        let mut sum = trueup_domain::Decimal::ZERO;
        let mut invoice = |lab: &mut Lab, until: jiff::civil::Date| {
            for agreement in [40, 41] {
                while lab.agreement_mut(agreement).next_invoice.unwrap() < until {
                    sum += lab.invoice(agreement).parse::<trueup_domain::Decimal>().unwrap();
                }
            }
        };
        for (place, (months, order)) in orders.iter().enumerate() {
            lab.today = order.effective;
            if place == moved_before {
                choose(&mut lab, 41);
            }
            if in_advance || *months > 0 {
                invoice(&mut lab, if in_advance { order.effective } else { at(*months) });
            }
            let draft = lab.plan(&[order]);
            assert!(errors(&draft).is_empty(), "{moved_before} {}", show(&draft));
            lab.run(order);
        }
        invoice(&mut lab, at(9));
        costs.push(sum);
    }
    let close = |cost: &trueup_domain::Decimal| (*cost - costs[0]).abs() < "0.10".parse().unwrap();
    assert!(costs.iter().all(close), "{costs:?}: {mode} {edit} {in_advance} {start}");
}

/// Several orders of one plan, the first of which brings the subscription over.
#[rstest]
#[case(Old::Live)]
#[case(Old::Ended)]
#[case(Old::Cancelled)]
fn orders_of_one_plan_find_the_lines_where_they_went(#[case] old: Old) {
    let mut lab = sold("2025-03-01");
    end(&mut lab, old);
    choose(&mut lab, 41);
    let orders = [
        change("CH-1", "2025-03-12", month(3), 5, 8),
        change("CH-2", "2025-03-22", month(3), 8, 9),
        order("CA-1", OrderKind::Cancellation, "2025-05-01", month(5)).0,
    ];
    let draft = lab.plan(&orders.iter().collect::<Vec<_>>());
    lab.apply(&draft);
    // 3 x 22.00 x 20/31 and 22.00 x 10/31.
    assert_eq!(bills(&mut lab, 41, 3), ["159.67", "198.00", "0.00"], "{old:?} {}", show(&draft));
}

/// What was brought over and taken back goes on where it was, and can be brought over anew.
#[rstest]
#[case(Old::Live)]
#[case(Old::Ended)]
#[case(Old::Cancelled)]
fn a_move_that_was_taken_back_can_be_made_again(#[case] old: Old) {
    let mut lab = sold("2025-03-01");
    end(&mut lab, old);
    choose(&mut lab, 41);
    let order = change("CH-1", "2025-03-12", month(3), 5, 8);
    let draft = lab.plan(&[&order]);
    let done = lab.apply(&draft);
    let back = lab.undo(&[(&draft, &done)], &trueup_domain::planner::Extent::Everything);
    lab.apply(&back);
    let of_old = lab.snapshot.additions[&AgreementId(40)].iter().filter(|line| line.state.is_open());
    assert_eq!(of_old.count(), 1, "{}", show(&back));
    assert!(lab.snapshot.additions[&AgreementId(41)].is_empty(), "{}", show(&back));
    lab.run(&change("CH-2", "2025-03-12", month(3), 5, 8));
    assert_eq!(bills(&mut lab, 41, 2), ["152.57", "176.00"], "{old:?}");
}

/// What a change brought over and replaced in one plan is brought over anew once the change was taken back.
#[rstest]
#[case::again("CH-1", 5, 8, "176.00")]
#[case::another("CH-2", 5, 6, "132.00")]
fn a_change_that_moved_and_was_taken_back_can_be_made_again(
    #[case] id: &str,
    #[case] old: i64,
    #[case] new: i64,
    #[case] wanted: &str,
) {
    let mut lab = sold("2025-01-01");
    assert_eq!(bills(&mut lab, 41, 2), ["0.00", "0.00"]);
    lab.today = day("2025-02-20");
    choose(&mut lab, 41);
    let order = change("CH-1", "2025-02-20", month(2), 5, 8);
    let draft = lab.plan(&[&order]);
    let done = lab.apply(&draft);
    let back = lab.undo(&[(&draft, &done)], &trueup_domain::planner::Extent::Everything);
    lab.apply(&back);
    let mut task = lab.task(&change(id, "2025-02-20", month(2), old, new));
    task.undone = u32::from(id == "CH-1");
    let next = change(id, "2025-02-20", month(2), old, new);
    let draft = lab.plan_tasks(&[(task, Demand::Order(Box::new(next)))]);
    assert_eq!(errors(&draft), [], "{:#?}", draft.findings);
    lab.apply(&draft);
    let invoices = bills(&mut lab, 41, 2);
    assert_eq!(invoices[1], wanted, "{invoices:?} {}", show(&draft));
    assert_eq!(bills(&mut lab, 40, 2), ["0.00", "0.00"], "{}", show(&draft));
}

/// The chosen agreement is invoiced less far than the one before: a change in the middle of a period begins no line there
/// before the one that was brought over.
#[rstest]
#[case::at_once(false, 8)]
#[case::after_the_move(true, 8)]
#[case::fewer(false, 3)]
fn a_change_after_a_move_to_an_agreement_that_is_invoiced_less_far_bills_no_day_twice(
    #[case] moved_before: bool,
    #[case] new: i64,
    #[values("prorate_line", "single", "dual")] mode: &str,
    #[values("end_and_create", "edit_in_place")] how: &str,
) {
    // January and February are invoiced on 40, January on 41.
    let mut lab = sold("2025-01-01");
    lab.set("credits", "on").set("line_mode", mode).set("quantity_change", how);
    assert_eq!(bills(&mut lab, 41, 1), ["0.00"]);
    lab.today = day("2025-01-28");
    choose(&mut lab, 41);
    if moved_before {
        let draft = reconcile(&lab, month(1));
        lab.apply(&draft);
    }
    lab.run(&change("CH-1", "2025-01-28", month(1), 5, new));
    // 4 of 31 days of January and February at the difference, then the new state from March on.
    let more = new - 5;
    let part = if more > 0 { "8.52" } else { "-5.68" };
    let february = trueup_domain::Decimal::from(22 * more);
    let first = part.parse::<trueup_domain::Decimal>().unwrap() + february;
    let march = trueup_domain::Decimal::from(22 * new);
    assert_eq!(bills(&mut lab, 41, 2), [format!("{first:.2}"), format!("{march:.2}")]);
    assert_eq!(bills(&mut lab, 40, 1), ["0.00"]);
}

/// Where the chosen agreement prorates by itself, a part of days that are billed elsewhere cannot be written whole.
#[test]
fn a_change_before_the_moved_line_waits_where_the_chosen_agreement_prorates() {
    let mut lab = sold("2025-01-01");
    lab.set("proration_by", "connectwise").set("credits", "on");
    assert_eq!(bills(&mut lab, 41, 1), ["0.00"]);
    lab.agreement_mut(41).prorates = true;
    lab.today = day("2025-02-10");
    choose(&mut lab, 41);
    let draft = reconcile(&lab, month(2));
    lab.apply(&draft);
    let draft = lab.plan(&[&change("CH-1", "2025-02-10", month(2), 5, 8)]);
    assert!(errors(&draft).contains(&Code::Tu4002), "{:#?} {}", draft.findings, show(&draft));
    assert!(draft.changes.iter().all(|change| !change.writes()), "{}", show(&draft));
}
