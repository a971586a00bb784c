//! The first day at a customer who is billed by hand already: whose line it is, what ends it, and what is never doubled.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use jiff::civil::Date;
use rstest::rstest;
use rust_decimal::Decimal;
use trueup_domain::feed::{BillingModel, Charge, OrderKind, ProductKind};
use trueup_domain::finding::Code;
use trueup_domain::ids::{AdditionId, AgreementId};
use trueup_domain::mapping::MappingKind;
use trueup_domain::period::{BillingCycle, Period};
use trueup_domain::plan::{DraftPlan, Target, TaskOutcome};
use trueup_domain::planner::AdoptionAnswer;
use trueup_domain::task::Demand;

fn march() -> Period {
    period("2028-03-01", "2028-04-01")
}

/// A company that is billed since January, its subscription sold long ago; invoiced up to `next`.
fn lab(next: &str) -> Lab {
    let mut lab = Lab::monthly("2028-01-01", next);
    lab.today = day("2028-03-13");
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2028-01-01");
    lab
}

fn sale(quantity: &str) -> OrderDraft {
    let seats = line("1", Charge::Recurring, "seat", quantity, "22.00", "17.60");
    order("SO-1", OrderKind::Sales, "2028-03-12", march()).with(seats)
}

fn change(old: i64, new: i64) -> OrderDraft {
    order("CH-1", OrderKind::Change, "2028-03-12", march()).change("1", "seat", old, new, "22.00", "17.60")
}

fn cancellation() -> OrderDraft {
    order("CA-1", OrderKind::Cancellation, "2028-03-12", march())
}

/// The subscription holds so many seats, as its record says.
fn holds(lab: &mut Lab, quantity: i64) {
    for sold in lab.subscriptions.values_mut() {
        sold.items = vec![trueup_domain::feed::SubscriptionItem {
            id: "i1".into(),
            product: "seat".into(),
            quantity: quantity.into(),
            included_quantity: None,
            unit_price: Some("22.00".parse().unwrap()),
            unit_cost: Some("17.60".parse().unwrap()),
            overuse_price: None,
            overuse_cost: None,
        }];
    }
}

/// A second monthly agreement of the same company.
fn second_agreement(lab: &mut Lab) {
    lab.agreement(41, BillingCycle::MONTHLY, "USD", "2028-01-01", "2028-04-01");
}

fn ends_on(lab: &mut Lab, id: i64, last: Date) {
    let all = lab.snapshot.additions.values_mut().flatten();
    all.filter(|a| a.id == AdditionId(id)).for_each(|a| a.state.cancelled = Some(last));
}

fn outcome(draft: &DraftPlan) -> TaskOutcome {
    *draft.outcomes.values().next().unwrap()
}

fn said(draft: &DraftPlan, code: Code) -> String {
    draft.findings.iter().filter(|f| f.code == code).map(|f| f.message.clone()).collect()
}

const TAKEN: &str = "subscription:s-1/seat";

// A line that a mapping names lies on another agreement than the one that was chosen.

#[rstest]
#[case::a_change(change(5, 8))]
#[case::a_sale(sale("5"))]
#[case::a_cancellation(cancellation())]
fn a_named_line_on_another_agreement_than_the_chosen_one_is_never_doubled(#[case] order: OrderDraft) {
    let mut lab = lab("2028-04-01");
    second_agreement(&mut lab);
    holds(&mut lab, 5);
    lab.by_hand(41, 311, 7, "5", "22.00", "2028-01-01");
    lab.map(MappingKind::Addition, TAKEN, 311);
    lab.map(MappingKind::Agreement, "customer:c-100", 40);
    let draft = lab.plan(&[&order.0]);
    assert_eq!(show(&draft), "TU3005 error\n");
    assert_eq!(outcome(&draft), TaskOutcome::Failed);
    assert!(said(&draft, Code::Tu3005).contains("addition 311"), "{draft:#?}");
}

#[test]
fn a_named_line_says_which_agreement_is_meant() {
    let mut lab = lab("2028-04-01");
    second_agreement(&mut lab);
    lab.by_hand(41, 311, 7, "5", "22.00", "2028-01-01");
    lab.map(MappingKind::Addition, TAKEN, 311);
    let draft = lab.plan(&[&change(5, 8).0]);
    assert!(draft.changes.iter().all(|c| c.agreement == AgreementId(41)), "{}", show(&draft));
    assert_eq!(
        lab.run(&change(5, 8).0),
        "create recurring 2028-04-01..- 8 x 22.00 cost 17.60 = 176.00\n\
         create prorate 2028-04-01..2028-04-30 3 x 14.19 cost 11.35 = 42.57\n\
         cancel recurring 2028-01-01..2028-03-31 5 x 22.00 cost 17.60 = -110.00\n\
         TU4002 warning\n"
    );
}

// A line that nobody named, on another agreement of the company that would do as well.

#[test]
fn a_line_on_another_agreement_of_the_company_is_said_before_a_sale_is_written_beside_it() {
    let mut lab = lab("2028-04-01");
    second_agreement(&mut lab);
    lab.by_hand(41, 311, 7, "5", "22.00", "2028-01-01");
    lab.map(MappingKind::Agreement, "customer:c-100", 40);
    for answer in [AdoptionAnswer::Propose, AdoptionAnswer::TakeSingle] {
        lab.adoption = answer;
        let draft = lab.plan(&[&sale("5").0]);
        assert_eq!(show(&draft), "TU3007 warning\n");
        assert_eq!(outcome(&draft), TaskOutcome::Waiting);
        let said = said(&draft, Code::Tu3007);
        assert!(said.contains("311") && said.contains("agreement 41"), "{said}");
    }
    lab.adoption = AdoptionAnswer::CreateBeside;
    assert!(show(&lab.plan(&[&sale("5").0])).starts_with("create recurring 2028-04-01"));
}

#[rstest]
#[case::a_change(change(5, 8))]
#[case::a_cancellation(cancellation())]
fn a_line_on_another_agreement_of_the_company_holds_what_would_go_on_without_it(#[case] order: OrderDraft) {
    let mut lab = lab("2028-04-01");
    second_agreement(&mut lab);
    holds(&mut lab, 5);
    lab.by_hand(41, 311, 7, "5", "22.00", "2028-01-01");
    lab.map(MappingKind::Agreement, "customer:c-100", 40);
    let draft = lab.plan(&[&order.0]);
    assert_eq!(show(&draft).lines().last(), Some("TU3007 error"), "{}", show(&draft));
    assert_eq!(outcome(&draft), TaskOutcome::Waiting);
    assert!(draft.changes.is_empty());
}

#[test]
fn what_an_order_adds_is_not_looked_for_on_other_agreements() {
    let mut lab = lab("2028-04-01");
    second_agreement(&mut lab);
    lab.by_hand(41, 311, 7, "5", "22.00", "2028-01-01");
    lab.map(MappingKind::Agreement, "customer:c-100", 40);
    assert!(show(&lab.plan(&[&change(0, 3).0])).starts_with("create recurring 2028-04-01..- 3 x 22.00"));
}

#[rstest]
#[case::another_cycle(|lab: &mut Lab| lab.agreement_mut(41).billing_cycle = Some(BillingCycle { every: 1, unit: trueup_domain::period::CycleUnit::Year }))]
#[case::another_currency(|lab: &mut Lab| lab.agreement_mut(41).currency = Some("EUR".parse().unwrap()))]
#[case::over(|lab: &mut Lab| lab.agreement_mut(41).status = trueup_domain::psa::AgreementStatus::Cancelled)]
#[case::of_another_company(|lab: &mut Lab| lab.agreement_mut(41).company = trueup_domain::ids::CompanyId(13))]
fn a_line_where_the_subscription_could_not_be_billed_is_nobodys_concern(#[case] spoil: fn(&mut Lab)) {
    let mut lab = lab("2028-04-01");
    second_agreement(&mut lab);
    lab.by_hand(41, 311, 7, "5", "22.00", "2028-01-01");
    spoil(&mut lab);
    assert!(show(&lab.plan(&[&sale("5").0])).starts_with("create recurring 2028-04-01"));
}

// A line that a person has dated to end.

#[test]
fn a_line_that_ends_later_is_the_line_of_a_change() {
    let mut lab = lab("2028-03-01");
    lab.by_hand(40, 311, 7, "5", "22.00", "2028-01-01");
    ends_on(&mut lab, 311, day("2028-04-30"));
    assert_eq!(
        lab.run(&change(5, 8).0),
        "create recurring 2028-04-01..- 8 x 22.00 cost 17.60 = 176.00\n\
         create prorate 2028-03-12..2028-03-31 3 x 14.19 cost 11.35 = 42.57\n\
         cancel recurring 2028-01-01..2028-03-31 5 x 22.00 cost 17.60 = 0.00\n"
    );
    assert_eq!(lab.invoice(40), "152.57");
    assert_eq!(lab.invoice(40), "176.00");
}

#[test]
fn a_line_that_ends_later_ends_with_the_cancellation() {
    let mut lab = lab("2028-03-01");
    holds(&mut lab, 5);
    lab.by_hand(40, 311, 7, "5", "22.00", "2028-01-01");
    ends_on(&mut lab, 311, day("2028-04-30"));
    assert_eq!(
        lab.run(&cancellation().0),
        "cancel recurring 2028-01-01..2028-03-12 5 x 22.00 cost 17.60 = 0.00\n"
    );
}

#[test]
fn a_line_that_ends_later_is_said_at_a_sale_and_is_no_line_that_bills_it() {
    let mut lab = lab("2028-03-01");
    lab.by_hand(40, 311, 7, "5", "22.00", "2028-01-01");
    ends_on(&mut lab, 311, day("2028-04-30"));
    let draft = lab.plan(&[&sale("5").0]);
    assert_eq!(show(&draft), "TU3007 warning\n");
    assert!(said(&draft, Code::Tu3007).contains("until 2028-04-30"), "{draft:#?}");
    // Taken over, it would bill April and nothing after it.
    lab.adoption = AdoptionAnswer::TakeSingle;
    let draft = lab.plan(&[&sale("5").0]);
    assert_eq!((show(&draft).as_str(), draft.adoptions.len()), ("TU3008 error\n", 0));
    assert_eq!(outcome(&draft), TaskOutcome::Waiting);
    lab.adoption = AdoptionAnswer::CreateBeside;
    assert!(show(&lab.plan(&[&sale("5").0])).starts_with("create recurring 2028-04-01"));
}

#[rstest]
#[case::over("2028-02-29")]
#[case::ends_later("2028-04-30")]
fn a_sale_does_not_take_over_a_named_line_that_ends(#[case] last: &str) {
    let mut lab = lab("2028-03-01");
    lab.by_hand(40, 311, 7, "5", "22.00", "2028-01-01");
    ends_on(&mut lab, 311, day(last));
    lab.map(MappingKind::Addition, TAKEN, 311);
    let draft = lab.plan(&[&sale("5").0]);
    assert_eq!((show(&draft).as_str(), draft.adoptions.len()), ("TU3008 error\n", 0));
    assert_eq!(outcome(&draft), TaskOutcome::Waiting);
    assert!(said(&draft, Code::Tu3008).contains(last), "{draft:#?}");
}

#[test]
fn a_change_goes_on_from_a_named_line_that_ends_later_and_from_none_that_is_over() {
    let mut lab = lab("2028-03-01");
    lab.by_hand(40, 311, 7, "5", "22.00", "2028-01-01");
    lab.map(MappingKind::Addition, TAKEN, 311);
    ends_on(&mut lab, 311, day("2028-02-29"));
    let draft = lab.plan(&[&change(5, 8).0]);
    assert_eq!((show(&draft).as_str(), draft.adoptions.len()), ("TU3008 error\n", 0));
    assert!(!said(&draft, Code::Tu3008).contains("order that was carried out"), "{draft:#?}");
    ends_on(&mut lab, 311, day("2028-04-30"));
    assert!(
        lab.run(&change(5, 8).0).contains("cancel recurring 2028-01-01..2028-03-31 5 x 22.00"),
        "its end is the person's until something follows"
    );
}

#[test]
fn a_line_of_one_invoice_is_no_recurring_line() {
    let mut lab = lab("2028-03-01");
    lab.by_hand(40, 311, 7, "3", "12.06", "2028-03-12");
    ends_on(&mut lab, 311, day("2028-03-31"));
    assert!(show(&lab.plan(&[&sale("5").0])).starts_with("create recurring 2028-04-01"));
}

// What is billed by several lines.

#[test]
fn a_named_line_that_is_a_part_of_what_is_billed_waits_for_the_rest() {
    let mut lab = lab("2028-03-01");
    lab.by_hand(40, 311, 7, "3", "22.00", "2028-01-01");
    lab.by_hand(40, 312, 7, "2", "22.00", "2028-01-01");
    lab.map(MappingKind::Addition, TAKEN, 311);
    let draft = lab.plan(&[&change(5, 8).0]);
    assert_eq!(show(&draft), "TU3007 error\n");
    assert_eq!(outcome(&draft), TaskOutcome::Waiting);
    let said = said(&draft, Code::Tu3007);
    assert!(said.contains("311") && said.contains("312"), "{said}");
    lab.apply(&draft);
    assert_eq!(show(&lab.plan(&[&change(5, 8).0])), "TU3007 error\n", "also once it is taken over");
    // Put together by hand, it goes on.
    lab.snapshot.additions.get_mut(&AgreementId(40)).unwrap().retain(|a| a.id != AdditionId(312));
    let lines = lab.snapshot.additions.get_mut(&AgreementId(40)).unwrap();
    lines[0].state.quantity = 5.into();
    let shown = show(&lab.plan(&[&change(5, 8).0]));
    assert!(shown.contains("create recurring 2028-04-01..- 8 x 22.00"), "{shown}");
}

#[test]
fn a_named_line_that_bills_all_of_it_is_taken_beside_others() {
    let mut lab = lab("2028-03-01");
    lab.by_hand(40, 311, 7, "5", "22.00", "2028-01-01");
    lab.by_hand(40, 312, 7, "2", "22.00", "2028-01-01");
    lab.map(MappingKind::Addition, TAKEN, 311);
    let shown = lab.run(&change(5, 8).0);
    assert!(shown.contains("cancel recurring 2028-01-01..2028-03-31 5 x 22.00"), "{shown}");
}

#[test]
fn what_goes_on_beside_a_cancelled_line_by_hand_is_said_with_its_amount() {
    let mut lab = lab("2028-03-01");
    holds(&mut lab, 5);
    lab.by_hand(40, 311, 7, "3", "22.00", "2028-01-01");
    lab.by_hand(40, 312, 7, "2", "22.00", "2028-01-01");
    lab.map(MappingKind::Addition, TAKEN, 311);
    let draft = lab.plan(&[&cancellation().0]);
    assert_eq!(
        show(&draft),
        "cancel recurring 2028-01-01..2028-03-12 3 x 22.00 cost 17.60 = 0.00\nTU8006 warning\n"
    );
    let said = said(&draft, Code::Tu8006);
    assert!(said.contains("312") && said.contains("44.00"), "{said}");
}

// What a mapping names and what cannot be a line of the product.

#[rstest]
#[case::a_change(change(5, 8))]
#[case::a_sale(sale("5"))]
#[case::a_cancellation(cancellation())]
fn a_named_addition_that_is_not_there_is_an_error(#[case] order: OrderDraft) {
    let mut lab = lab("2028-03-01");
    holds(&mut lab, 5);
    lab.by_hand(40, 311, 7, "5", "22.00", "2028-01-01");
    lab.map(MappingKind::Addition, TAKEN, 99);
    let draft = lab.plan(&[&order.0]);
    assert_eq!((show(&draft).as_str(), draft.adoptions.len()), ("TU3008 error\n", 0));
    assert_eq!(outcome(&draft), TaskOutcome::Waiting);
    assert!(said(&draft, Code::Tu3008).contains("99"), "{draft:#?}");
}

#[test]
fn a_named_addition_of_another_item_is_taken_over_and_said() {
    let mut lab = lab("2028-03-01");
    lab.item(8, "10.00", "8.00");
    lab.by_hand(40, 311, 8, "5", "22.00", "2028-01-01");
    lab.map(MappingKind::Addition, TAKEN, 311);
    let shown = lab.run(&change(5, 8).0);
    assert!(shown.contains("cancel recurring 2028-01-01..2028-03-31 5 x 22.00"), "{shown}");
    assert!(shown.contains("TU8006 warning"), "{shown}");
}

#[test]
fn a_mapping_whose_addition_was_used_up_is_no_news() {
    let mut lab = lab("2028-03-01");
    lab.by_hand(40, 311, 7, "5", "22.00", "2028-03-01");
    lab.map(MappingKind::Addition, TAKEN, 311);
    lab.run(&change(5, 8).0);
    lab.invoice(40);
    let mut more = change(8, 9).0;
    more.id = "CH-2".into();
    more.period = period("2028-04-01", "2028-05-01");
    more.effective = day("2028-04-10");
    more.completed_us += 29;
    let shown = lab.run(&more);
    assert!(!shown.contains("TU3008"), "{shown}");
}

// Lines that are not billed.

#[test]
fn a_line_that_is_not_billed_is_said_when_it_is_taken_over() {
    let mut lab = lab("2028-03-01");
    lab.by_hand(40, 311, 7, "5", "22.00", "2028-01-01");
    let lines = lab.snapshot.additions.get_mut(&AgreementId(40)).unwrap();
    lines[0].state.bill = trueup_domain::psa::BillFlag::DoNotBill;
    let draft = lab.plan(&[&sale("5").0]);
    assert_eq!(show(&draft), "TU3007 warning\n");
    assert!(!said(&draft, Code::Tu3007).contains("bills 5"), "{draft:#?}");
    lab.adoption = AdoptionAnswer::TakeSingle;
    let draft = lab.plan(&[&sale("5").0]);
    assert_eq!(show(&draft), "TU8006 warning\n");
    assert!(said(&draft, Code::Tu8006).contains("110.00"), "{draft:#?}");
}

// Reconciliation on the first day.

fn reconcile(lab: &Lab, confirm_invoiced: bool) -> DraftPlan {
    let mut task = lab.task(&sale("5").0);
    task.kind = trueup_domain::task::TaskKind::Reconciliation;
    task.order_id = None;
    task.id = "r-1".into();
    let demand = Demand::Reconcile { period: Some(march()), confirm_invoiced, beside: Default::default() };
    lab.plan_tasks(&[(task, demand)])
}

fn reconciled(lab: &mut Lab, confirm_invoiced: bool) -> String {
    let draft = reconcile(lab, confirm_invoiced);
    lab.apply(&draft);
    let again = reconcile(lab, confirm_invoiced);
    assert!(again.changes.iter().all(|c| !c.writes()), "planning again changes something:\n{}", show(&again));
    show(&draft)
}

#[rstest]
#[case::open("2028-03-01", "create recurring 2028-03-01..2028-04-30 5 x 22.00 cost 17.60 = 110.00\n")]
#[case::invoiced(
    "2028-04-01",
    "create prorate 2028-04-01..2028-04-30 5 x 22.00 cost 17.60 = 110.00\n\
     create recurring 2028-04-01..2028-04-30 5 x 22.00 cost 17.60 = 110.00\nTU4002 warning\n\
     TU4002 warning\n"
)]
fn a_line_by_hand_that_begins_after_the_period_is_not_the_line_of_it(
    #[case] next: &str,
    #[case] expected: &str,
) {
    let mut lab = lab(next);
    holds(&mut lab, 5);
    lab.by_hand(40, 311, 7, "5", "22.00", "2028-05-01");
    lab.adoption = AdoptionAnswer::TakeSingle;
    assert_eq!(reconciled(&mut lab, true), expected);
    let later = lab.snapshot.find_addition(AdditionId(311)).unwrap();
    assert!(later.state.is_open());
}

#[test]
fn a_reconciliation_says_what_it_takes_over() {
    let mut lab = lab("2028-03-01");
    holds(&mut lab, 5);
    lab.by_hand(40, 311, 7, "5", "21.00", "2028-01-01");
    let draft = reconcile(&lab, false);
    assert_eq!(show(&draft), "TU3007 warning\n");
    assert!(said(&draft, Code::Tu3007).contains("bills 5 (105.00 USD"), "{draft:#?}");
    lab.adoption = AdoptionAnswer::TakeSingle;
    let draft = reconcile(&lab, false);
    assert_eq!((show(&draft).as_str(), draft.adoptions.len()), ("TU6003 warning\n", 1));
    let lines = lab.snapshot.additions.get_mut(&AgreementId(40)).unwrap();
    lines[0].state.unit_price = "22.00".parse().unwrap();
    lines[0].state.bill = trueup_domain::psa::BillFlag::NoCharge;
    let draft = reconcile(&lab, false);
    assert_eq!((show(&draft).as_str(), draft.adoptions.len()), ("TU8006 warning\n", 1));
}

#[test]
fn a_reconciliation_writes_nothing_beside_a_line_that_ends_later_or_is_on_another_agreement() {
    let mut lab = lab("2028-03-01");
    holds(&mut lab, 5);
    second_agreement(&mut lab);
    lab.map(MappingKind::Agreement, "customer:c-100", 40);
    let mut other = lab.clone();
    lab.by_hand(40, 311, 7, "5", "22.00", "2028-01-01");
    ends_on(&mut lab, 311, day("2028-04-30"));
    assert_eq!(show(&reconcile(&lab, false)), "TU3007 warning\n");
    lab.adoption = AdoptionAnswer::TakeSingle;
    let draft = reconcile(&lab, false);
    assert_eq!((show(&draft).as_str(), draft.adoptions.len()), ("TU3008 error\n", 0));
    other.by_hand(41, 311, 7, "5", "22.00", "2028-01-01");
    assert_eq!(show(&reconcile(&other, false)), "TU3007 warning\n");
}

// What was taken over, and then went another way.

#[rstest]
#[case::answered(false)]
#[case::named(true)]
fn what_is_sold_again_after_a_line_that_was_taken_over_has_ended_is_billed(#[case] named: bool) {
    let mut lab = lab("2028-03-01");
    holds(&mut lab, 5);
    lab.by_hand(40, 311, 7, "5", "22.00", "2028-01-01");
    if named {
        lab.map(MappingKind::Addition, TAKEN, 311);
    }
    lab.run(&cancellation().0);
    lab.invoice(40);
    let may = period("2028-05-01", "2028-06-01");
    let seats = line("1", Charge::Recurring, "seat", "4", "22.00", "17.60");
    let again = order("SO-2", OrderKind::Sales, "2028-05-01", may).with(seats);
    assert_eq!(lab.run(&again.0), "create recurring 2028-05-01..- 4 x 22.00 cost 17.60 = 88.00\n");
}

#[test]
fn a_line_that_was_taken_over_is_sold_to_the_other_customer() {
    let mut lab = lab("2028-03-01");
    lab.by_hand(40, 311, 7, "5", "22.00", "2028-01-01");
    lab.map(MappingKind::Addition, TAKEN, 311);
    lab.apply(&lab.plan(&[&sale("5").0]));
    let mut other = lab.snapshot.companies[&trueup_domain::ids::CompanyId(12)].clone();
    other.id = trueup_domain::ids::CompanyId(13);
    lab.snapshot.companies.insert(other.id, other);
    lab.agreement(50, BillingCycle::MONTHLY, "USD", "2028-01-01", "2028-03-01");
    lab.agreement_mut(50).company = trueup_domain::ids::CompanyId(13);
    lab.map(MappingKind::Customer, "c-200", 13);
    let seats = line("1", Charge::Recurring, "seat", "5", "22.00", "17.60");
    let mut transfer = order("TR-1", OrderKind::Transfer, "2028-03-15", march()).with(seats);
    transfer.0.customer = Some("c-200".into());
    assert_eq!(
        lab.run(&transfer.0),
        "create recurring 2028-04-01..- 5 x 22.00 cost 17.60 = 110.00\n\
         cancel recurring 2028-01-01..2028-03-31 5 x 22.00 cost 17.60 = 0.00\n"
    );
}

// What a person did by hand before the first day.

/// The change was entered by hand: the line is taken over as it is, and no day is billed twice.
#[rstest]
#[case::open("2028-03-01")]
#[case::invoiced("2028-04-01")]
fn a_change_that_a_person_carried_out_is_not_billed_again(#[case] next: &str) {
    let mut lab = lab(next);
    lab.by_hand(40, 311, 7, "8", "22.00", "2028-01-01");
    let draft = lab.plan(&[&change(5, 8).0]);
    assert_eq!((show(&draft).as_str(), draft.adoptions.len()), ("TU5001 info\n", 1));
    lab.apply(&draft);
    // The next change goes on from there.
    let next =
        order("CH-2", OrderKind::Change, "2028-03-20", march()).change("1", "seat", 8, 9, "22.00", "17.60");
    let draft = lab.plan(&[&next.0]);
    assert!(draft.changes.iter().any(|c| c.action.op() == "cancel"), "{}", show(&draft));
}

/// A price that was entered by hand.
#[test]
fn a_price_that_a_person_entered_is_not_billed_again() {
    let mut lab = lab("2028-03-01");
    lab.by_hand(40, 311, 7, "5", "25.00", "2028-01-01");
    let mut dearer = change(5, 5);
    dearer.0.lines[0].unit_price = Some("25.00".parse().unwrap());
    dearer.0.lines[0].old_unit_price = Some("22.00".parse().unwrap());
    let draft = lab.plan(&[&dearer.0]);
    assert!(!draft.changes.iter().any(|c| c.writes()), "{}", show(&draft));
}

/// A switch that was entered by hand: the old product is gone, the new one is there.
#[test]
fn a_switch_that_a_person_carried_out_is_not_billed_again() {
    let mut lab = lab("2028-03-01");
    lab.product("big", 8, ProductKind::Seat, "30.00", "20.00");
    lab.by_hand(40, 312, 8, "5", "30.00", "2028-03-01");
    let switch = order("CH-1", OrderKind::Change, "2028-03-12", march())
        .change("1", "seat", 5, 0, "22.00", "17.60")
        .change("2", "big", 0, 5, "30.00", "20.00");
    let draft = lab.plan(&[&switch.0]);
    assert!(!draft.changes.iter().any(|c| c.writes()), "{}", show(&draft));
}

/// Twelve seats by hand, of which the order knows five: what the others are for nobody said.
#[rstest]
#[case::more(8)]
#[case::fewer(3)]
fn a_line_by_hand_that_bills_more_than_the_order_knows_waits(#[case] new: i64) {
    let mut lab = lab("2028-03-01");
    lab.by_hand(40, 311, 7, "12", "22.00", "2028-01-01");
    let draft = lab.plan(&[&change(5, new).0]);
    assert_eq!((show(&draft).as_str(), outcome(&draft)), ("TU3007 error\n", TaskOutcome::Waiting));
    lab.map(MappingKind::Addition, TAKEN, 311);
    let draft = lab.plan(&[&change(5, new).0]);
    assert!(draft.changes.iter().any(|c| c.writes()), "a person named it: {}", show(&draft));
}

/// A cancellation of five seats, and a line by hand of twelve.
#[test]
fn a_cancellation_does_not_end_what_others_have() {
    let mut lab = lab("2028-03-01");
    holds(&mut lab, 5);
    lab.by_hand(40, 311, 7, "12", "22.00", "2028-01-01");
    let draft = lab.plan(&[&cancellation().0]);
    assert_eq!((show(&draft).as_str(), outcome(&draft)), ("TU3007 error\n", TaskOutcome::Waiting));
    lab.map(MappingKind::Addition, TAKEN, 311);
    let draft = lab.plan(&[&cancellation().0]);
    assert!(draft.changes.iter().any(|c| c.writes()), "a person named it: {}", show(&draft));
}

/// A reconciliation that broke off before it ended the line that it replaces: the next one ends it, and says what
/// invoices have billed twice since.
#[rstest]
fn what_a_reconciliation_left_open_ends_with_the_next_one(
    #[values(0, 1, 2)] between: usize,
    #[values("8", "3")] sold: &str,
) {
    let mut lab = lab("2028-03-01");
    lab.run(&sale("5").0);
    let quantity: i64 = sold.parse().unwrap();
    holds(&mut lab, quantity);
    let mut half = reconcile(&lab, false);
    half.changes.retain(|c| c.writes());
    assert_eq!(half.changes.len(), 2, "{}", show(&half));
    half.changes.truncate(1);
    lab.apply(&half);
    for _ in 0..between {
        lab.invoice(40);
    }
    let shown = reconciled(&mut lab, true);
    // Both begin in April: before its invoice the old one was never billed, and goes.
    let billed_twice = between == 2;
    assert!(shown.contains(if billed_twice { "cancel recurring" } else { "delete recurring" }), "{shown}");
    assert_eq!(shown.contains("TU6005 warning"), billed_twice, "{shown}");
    for _ in between..2 {
        lab.invoice(40);
    }
    assert_eq!(lab.invoice(40), format!("{}.00", 22 * quantity), "{shown}");
}

// What an order wrote in the place of a line by hand is what the next order changes.

#[rstest]
#[case::taken_over(AdoptionAnswer::TakeSingle, false)]
#[case::named(AdoptionAnswer::Propose, true)]
fn a_second_change_of_a_period_replaces_what_the_first_one_put_in_place_of_a_line_by_hand(
    #[case] answer: AdoptionAnswer,
    #[case] named: bool,
    #[values("2028-03-01", "2028-04-01")] next: &str,
    #[values(true, false)] in_one_plan: bool,
) {
    let mut lab = lab(next);
    lab.adoption = answer;
    lab.by_hand(40, 311, 7, "5", "22.00", "2028-01-01");
    if named {
        lab.map(MappingKind::Addition, TAKEN, 311);
    }
    let first =
        order("C-1", OrderKind::Change, "2028-03-05", march()).change("1", "seat", 5, 8, "22.00", "17.60");
    let second =
        order("C-2", OrderKind::Change, "2028-03-20", march()).change("1", "seat", 8, 9, "22.00", "17.60");
    if in_one_plan {
        let draft = lab.plan(&[&first.0, &second.0]);
        lab.apply(&draft);
    } else {
        lab.run(&first.0);
        lab.run(&second.0);
    }
    let open: Vec<String> = lab.snapshot.additions[&AgreementId(40)]
        .iter()
        .filter(|a| a.state.is_open())
        .map(|a| format!("{} from {}", a.state.quantity.display(), a.state.effective))
        .collect();
    assert_eq!(open, ["9 from 2028-04-01"]);
    let mut billed = trueup_domain::Decimal::ZERO;
    while lab.snapshot.agreements[&AgreementId(40)].next_invoice != Some(day("2028-06-01")) {
        billed += lab.invoice(40).parse::<trueup_domain::Decimal>().unwrap();
    }
    // Nine in April and in May, three more for 27 of 31 days and one more for 12; March where it was not invoiced before.
    let march = if next == "2028-03-01" { "110.00" } else { "0.00" };
    let expected: trueup_domain::Decimal = "462.00".parse().unwrap();
    assert_eq!(billed, expected + march.parse::<trueup_domain::Decimal>().unwrap());
}

/// A renewal names what all of its units cost: a month that was invoiced before it is caught up for all of them.
#[test]
fn a_renewal_of_a_line_by_hand_bills_its_price_for_every_unit() {
    let mut lab = lab("2028-04-01");
    lab.adoption = AdoptionAnswer::TakeSingle;
    lab.by_hand(40, 311, 7, "5", "22.00", "2028-01-01");
    let renewed = line("1", Charge::Recurring, "seat", "6", "30.00", "24.00");
    let renewal = order("R-1", OrderKind::Renewal, "2028-03-01", march()).with(renewed);
    lab.run(&renewal.0);
    // 6 x 30.00 instead of 5 x 22.00 for March, and April.
    assert_eq!(lab.invoice(40), "250.00");
    assert_eq!(lab.invoice(40), "180.00");
}

/// A copy that a person made carries the key of the line; on an agreement with a lower id it is met first.
#[test]
fn a_copy_with_the_key_of_a_line_is_not_the_line() {
    let mut lab = lab("2028-03-01");
    let order = sale("5").0;
    lab.map(MappingKind::Agreement, "s-1", 40);
    let draft = lab.plan(&[&order]);
    lab.apply(&draft);
    let ids = |lab: &Lab| lab.links.iter().map(|link| link.addition).collect::<Vec<_>>();
    let own = ids(&lab);
    lab.agreement(30, BillingCycle::MONTHLY, "USD", "2028-01-01", "2028-03-01");
    let mut copies = lab.snapshot.additions[&AgreementId(40)].clone();
    for (number, copy) in (9_000..).zip(&mut copies) {
        (copy.id, copy.agreement) = (AdditionId(number), AgreementId(30));
    }
    assert!(copies.iter().all(|copy| copy.marker.is_some()));
    lab.snapshot.additions.insert(AgreementId(30), copies);
    let again = lab.plan(&[&order]);
    let kept: Vec<_> = again.changes.iter().map(|c| (c.action.op(), c.action.target().cloned())).collect();
    let expected: Vec<_> = own.iter().map(|id| ("keep", Some(Target::Existing(*id)))).collect();
    assert_eq!(kept, expected);
}

/// A line by hand of which some are included bills the others: they are what is compared, given back and charged.
#[rstest]
#[case::cancelled(None, "330.00")]
#[case::renewed(Some(("RE-1", OrderKind::Renewal, "24.00")), "570.00")]
fn what_is_included_in_a_line_by_hand_was_never_billed(
    #[case] renewal: Option<(&str, OrderKind, &str)>,
    #[case] total: &str,
) {
    let mut lab = Lab::monthly("2025-01-01", "2025-01-01");
    lab.today = day("2025-01-01");
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2025-01-01");
    lab.set("credits", "on");
    lab.by_hand(40, 311, 7, "8", "22.00", "2025-01-01");
    lab.snapshot.additions.values_mut().flatten().next().unwrap().less_included = 3.into();
    lab.map(MappingKind::Addition, "subscription:s-1/seat", 311);
    let mut billed: Decimal = (0..5).map(|_| lab.invoice(40).parse::<Decimal>().unwrap()).sum();
    assert_eq!(billed.to_string(), "550.00");
    lab.today = day("2025-05-05");
    let sale = order("SO-1", OrderKind::Sales, "2025-01-01", period("2025-01-01", "2025-02-01")).with(line(
        "1",
        Charge::Recurring,
        "seat",
        "5",
        "22.00",
        "17.60",
    ));
    let taken = lab.plan(&[&sale.0]);
    assert!(
        taken.findings.iter().all(|f| f.code != Code::Tu5001),
        "it bills what was sold: {:#?}",
        taken.findings
    );
    lab.apply(&taken);
    let ordered = match renewal {
        // For April and May two more a seat are charged.
        Some((id, kind, price)) => order(id, kind, "2025-04-01", period("2025-04-01", "2025-05-01"))
            .with(line("1", Charge::Recurring, "seat", "5", price, "17.60")),
        // April and May are given back; the rest of March is left to the order.
        None => order("CA-1", OrderKind::Cancellation, "2025-03-10", period("2025-03-01", "2025-04-01"))
            .with(line("1", Charge::Recurring, "seat", "5", "22.00", "17.60")),
    };
    let draft = lab.plan(&[&ordered.0]);
    lab.apply(&draft);
    billed += lab.invoice(40).parse::<Decimal>().unwrap();
    let open = if renewal.is_some() { Decimal::from(120) } else { Decimal::ZERO };
    assert_eq!((billed - open).to_string(), total, "{}", show(&draft));
}
