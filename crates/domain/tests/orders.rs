//! Order kinds, line modes, agreements, invoiced periods, adoption and people's edits: what each gives.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use trueup_domain::feed::{BillingModel, Charge, OrderKind, ProductKind, Term};
use trueup_domain::ids::{AdditionId, AgreementId, CustomerId, SourceId, SubscriptionId};
use trueup_domain::mapping::{MappingKind, MappingOrigin};
use trueup_domain::period::{BillingCycle, Period};
use trueup_domain::plan::TaskOutcome;
use trueup_domain::planner::AdoptionAnswer;
use trueup_domain::psa::{AgreementStatus, CompanyState};

fn march() -> Period {
    period("2023-03-01", "2023-04-01")
}

fn lab(next: &str) -> Lab {
    let mut lab = Lab::monthly("2023-01-01", next);
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2023-03-01");
    lab
}

fn seats(on: &str, quantity: &str) -> OrderDraft {
    order("SO-1", OrderKind::Sales, on, march()).with(line(
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

fn set_start(lab: &mut Lab, start: &str) {
    let key = (SourceId::from(SOURCE), SubscriptionId::from("s-1"));
    lab.subscriptions.get_mut(&key).unwrap().start = day(start);
}

#[test]
fn a_sale_within_the_period_has_a_part() {
    let mut lab = lab("2023-03-01");
    set_start(&mut lab, "2023-03-15");
    assert_eq!(
        lab.run(&seats("2023-03-15", "5").0),
        "create recurring 2023-04-01..- 5 x 22.00 cost 17.60 = 110.00\n\
         create prorate 2023-03-15..2023-03-31 5 x 12.06 cost 9.65 = 60.30\n"
    );
}

#[test]
fn a_named_amount_that_does_not_divide_is_one_unit() {
    let mut lab = lab("2024-01-01");
    lab.agreement(40, BillingCycle::MONTHLY, "USD", "2024-01-01", "2024-01-01");
    set_start(&mut lab, "2024-01-15");
    let mut made = line("1", Charge::Recurring, "seat", "10", "12.500", "9.375");
    made.amount = Some("68.55".parse().unwrap());
    let sale = order("SO-1", OrderKind::Sales, "2024-01-15", period("2024-01-01", "2024-02-01")).with(made);
    assert_eq!(
        lab.run(&sale.0),
        "create recurring 2024-02-01..- 10 x 12.50 cost 9.38 = 125.00\n\
         create prorate 2024-01-15..2024-01-31 1 x 68.55 cost 51.41 = 68.55\n"
    );
}

#[test]
fn a_sale_in_an_invoiced_period_starts_at_the_next_invoice_with_a_true_up() {
    let mut lab = lab("2023-05-01");
    let draft = lab.plan(&[&seats("2023-03-01", "5").0]);
    assert_eq!(
        show(&draft),
        "create prorate 2023-05-01..2023-05-31 5 x 44.00 cost 35.20 = 220.00\n\
         create recurring 2023-05-01..- 5 x 22.00 cost 17.60 = 110.00\n\
         TU4002 warning\nTU4002 warning\n"
    );
    let text = draft.changes[0].action.after().unwrap().invoice_description.clone().unwrap();
    assert!(text.contains("2023-03-01 to 2023-04-30"), "{text}");
    lab.run(&seats("2023-03-01", "5").0);
}

#[test]
fn a_change_in_an_invoiced_period_moves_its_part() {
    let mut lab = lab("2023-03-01");
    lab.run(&seats("2023-03-01", "5").0);
    lab.invoice(40);
    assert_eq!(
        lab.run(&change("CH-1", "2023-03-15", 5, 8).0),
        "create recurring 2023-04-01..- 8 x 22.00 cost 17.60 = 176.00\n\
         create prorate 2023-04-01..2023-04-30 3 x 12.06 cost 9.65 = 36.18\n\
         cancel recurring 2023-03-01..2023-03-31 5 x 22.00 cost 17.60 = -110.00\n\
         TU4002 warning\n"
    );
    assert_eq!(lab.invoice(40), "212.18");
    assert_eq!(lab.invoice(40), "176.00");
}

#[test]
fn a_change_at_the_start_of_an_invoiced_period_bills_the_difference_once() {
    let mut lab = lab("2023-03-01");
    lab.run(&seats("2023-03-01", "5").0);
    lab.invoice(40);
    assert_eq!(
        lab.run(&change("CH-1", "2023-03-01", 5, 8).0),
        "create recurring 2023-04-01..- 8 x 22.00 cost 17.60 = 176.00\n\
         create prorate 2023-04-01..2023-04-30 3 x 22.00 cost 17.60 = 66.00\n\
         cancel recurring 2023-03-01..2023-03-31 5 x 22.00 cost 17.60 = -110.00\n\
         TU4002 warning\n"
    );
}

#[test]
fn two_changes_in_one_period_replace_the_future_line() {
    let mut lab = lab("2023-03-01");
    lab.run(&seats("2023-03-01", "5").0);
    lab.run(&change("CH-1", "2023-03-15", 5, 8).0);
    assert_eq!(
        lab.run(&change("CH-2", "2023-03-20", 8, 10).0),
        "create recurring 2023-04-01..- 10 x 22.00 cost 17.60 = 220.00\n\
         create prorate 2023-03-20..2023-03-31 2 x 8.52 cost 6.81 = 17.04\n\
         delete recurring 2023-04-01..- 8 x 22.00 cost 17.60 = 0.00\n"
    );
    assert_eq!(lab.invoice(40), "163.22");
    assert_eq!(lab.invoice(40), "220.00");
}

#[test]
fn a_change_then_a_cancellation_removes_the_future_and_keeps_what_was_used() {
    let mut lab = lab("2023-02-01");
    set_start(&mut lab, "2023-02-01");
    let sale = order("SO-1", OrderKind::Sales, "2023-02-01", period("2023-02-01", "2023-03-01")).with(line(
        "1",
        Charge::Recurring,
        "seat",
        "5",
        "22.00",
        "17.60",
    ));
    lab.run(&sale.0);
    lab.invoice(40);
    lab.invoice(40);
    lab.run(&change("CH-1", "2023-03-15", 5, 8).0);
    let cancel = order("CL-1", OrderKind::Cancellation, "2023-03-20", march());
    assert_eq!(
        lab.run(&cancel.0),
        "delete recurring 2023-04-01..- 8 x 22.00 cost 17.60 = -176.00\nTU6005 warning\n"
    );
    assert_eq!(lab.invoice(40), "36.18", "the used days of the change stay");
    assert_eq!(lab.invoice(40), "0");
}

#[test]
fn a_price_change_bills_the_difference() {
    let mut lab = lab("2023-03-01");
    lab.run(&seats("2023-03-01", "5").0);
    let up =
        order("CH-1", OrderKind::Change, "2023-03-15", march()).change("1", "seat", 5, 5, "25.00", "20.00");
    assert_eq!(
        lab.run(&up.0),
        "create recurring 2023-04-01..- 5 x 25.00 cost 20.00 = 125.00\n\
         create prorate 2023-03-15..2023-03-31 5 x 1.65 cost 1.32 = 8.25\n\
         cancel recurring 2023-03-01..2023-03-31 5 x 22.00 cost 17.60 = 0.00\n"
    );
}

#[test]
fn quantity_and_price_together_are_one_net_amount() {
    let mut lab = lab("2023-04-01");
    let april = period("2023-04-01", "2023-05-01");
    set_start(&mut lab, "2023-04-01");
    let sale = order("SO-1", OrderKind::Sales, "2023-04-01", april).with(line(
        "1",
        Charge::Recurring,
        "seat",
        "10",
        "20.00",
        "15.00",
    ));
    lab.run(&sale.0);
    let both =
        order("CH-1", OrderKind::Change, "2023-04-11", april).change("1", "seat", 10, 15, "18.00", "13.00");
    let shown = lab.run(&both.0);
    assert!(shown.contains("create prorate 2023-04-11..2023-04-30 1 x 46.67"), "{shown}");
}

#[rstest]
#[case::single(
    "single",
    "create recurring 2023-04-01..- 8 x 22.00 cost 17.60 = 176.00\n\
     create prorate 2023-03-01..2023-03-31 8 x 18.27 cost 14.62 = 146.16\n\
     delete recurring 2023-03-01..- 5 x 22.00 cost 17.60 = -110.00\n",
    "146.16"
)]
#[case::dual(
    "dual",
    "create recurring 2023-03-01..- 8 x 22.00 cost 17.60 = 176.00\n\
     create prorate 2023-03-01..2023-03-31 1 x -29.81 cost -23.85 = -29.81\n\
     delete recurring 2023-03-01..- 5 x 22.00 cost 17.60 = -110.00\n",
    "146.19"
)]
fn modes_show_an_upgrade(#[case] mode: &str, #[case] wanted: &str, #[case] invoice: &str) {
    let mut lab = lab("2023-03-01");
    lab.set("line_mode", mode);
    lab.run(&seats("2023-03-01", "5").0);
    assert_eq!(lab.run(&change("CH-1", "2023-03-15", 5, 8).0), wanted);
    assert_eq!(lab.invoice(40), invoice);
    assert_eq!(lab.invoice(40), "176.00");
}

#[rstest]
#[case::single("single", 6, "158.94")]
#[case::dual("dual", 6, "158.97")]
#[case::single_to_none("single", 0, "107.87")]
#[case::dual_to_none("dual", 0, "107.87")]
fn modes_show_a_downgrade(#[case] mode: &str, #[case] left: i64, #[case] invoice: &str) {
    let mut lab = lab("2023-03-01");
    lab.set("line_mode", mode);
    lab.run(&seats("2023-03-01", "8").0);
    lab.run(&change("CH-1", "2023-03-20", 8, left).0);
    assert_eq!(lab.invoice(40), invoice);
    assert_eq!(
        lab.invoice(40),
        trueup_domain::money::Money::from(left * 22)
            .exact()
            .round(2, Default::default())
            .unwrap()
            .normalize()
            .to_string()
            .pipe_zero()
    );
}

trait PipeZero {
    fn pipe_zero(self) -> String;
}
impl PipeZero for String {
    /// Sums of two-place amounts keep their places; an empty sum has none.
    fn pipe_zero(self) -> String {
        if self == "0" { self } else { format!("{self}.00") }
    }
}

#[rstest]
#[case("dual")]
#[case("single")]
fn modes_add_up_over_two_changes(#[case] mode: &str) {
    let mut lab = lab("2023-03-01");
    lab.set("line_mode", mode);
    lab.run(&seats("2023-03-01", "5").0);
    lab.run(&change("CH-1", "2023-03-15", 5, 8).0);
    lab.run(&change("CH-2", "2023-03-20", 8, 10).0);
    // 5 x 22 + 3 x 22 x 17/31 + 2 x 22 x 12/31 = 163.2258
    let billed: rust_decimal::Decimal = lab.invoice(40).parse().unwrap();
    let exact: rust_decimal::Decimal = "163.23".parse().unwrap();
    assert!((billed - exact).abs() <= "0.08".parse().unwrap(), "{billed}");
    assert_eq!(lab.invoice(40), "220.00");
}

#[test]
fn a_commitment_dates_lines_by_its_term() {
    let mut lab = lab("2023-03-01");
    lab.set("line_mode", "commitment");
    let key = (SourceId::from(SOURCE), SubscriptionId::from("s-1"));
    lab.subscriptions.get_mut(&key).unwrap().term =
        Some(Term { start: day("2023-03-01"), end: Some(day("2024-03-01")), auto_renew: None });
    assert_eq!(
        lab.run(&seats("2023-03-01", "5").0),
        "create recurring 2023-03-01..2024-02-29 5 x 22.00 cost 17.60 = 110.00\n"
    );
}

#[test]
fn edit_in_place_where_it_bills_the_right_amount() {
    let mut lab = lab("2023-03-01");
    lab.set("quantity_change", "edit_in_place");
    lab.run(&seats("2023-03-01", "5").0);
    lab.invoice(40);
    assert_eq!(
        lab.run(&change("CH-1", "2023-03-15", 5, 8).0),
        "update recurring 2023-03-01..- 8 x 22.00 cost 17.60 = 66.00\n\
         create prorate 2023-04-01..2023-04-30 3 x 12.06 cost 9.65 = 36.18\n\
         TU4002 warning\n"
    );
}

#[rstest]
#[case::none("none", "TU6005 warning")]
#[case::connectwise("connectwise", "TU6005 warning")]
fn nobody_prorates(#[case] by: &str, #[case] finding: &str) {
    let mut lab = lab("2023-03-01");
    lab.set("proration_by", by);
    lab.run(&seats("2023-03-01", "5").0);
    let shown = lab.run(&change("CH-1", "2023-03-15", 5, 8).0);
    assert!(!shown.contains("prorate") && shown.contains(finding), "{shown}");
}

#[test]
fn a_separate_agreement_takes_the_prorated_line() {
    let mut lab = lab("2023-03-01");
    lab.agreement_mut(40).prorates = true;
    lab.agreement(41, BillingCycle::MONTHLY, "USD", "2023-01-01", "2023-03-01");
    lab.map(MappingKind::Agreement, "s-1", 40);
    lab.mappings.last_mut().unwrap().options.insert("proration".into(), "41".into());
    lab.run(&seats("2023-03-01", "5").0);
    let draft = lab.plan(&[&change("CH-1", "2023-03-15", 5, 8).0]);
    let part = draft.changes.iter().find(|c| c.role == trueup_domain::plan::Role::Prorate).unwrap();
    assert_eq!(part.agreement, AgreementId(41));
}

#[test]
fn a_subscription_is_billed_on_one_agreement_at_a_time() {
    let mut lab = lab("2023-03-01");
    lab.agreement(41, BillingCycle::MONTHLY, "USD", "2023-01-01", "2023-03-01");
    lab.map(MappingKind::Agreement, "s-1", 40);
    lab.run(&seats("2023-03-01", "5").0);
    lab.mappings.last_mut().unwrap().psa_id = Some(41);
    let change = change("CH-1", "2023-03-15", 5, 8).0;
    let mut other = lab.clone();
    other.mappings.last_mut().unwrap().origin = MappingOrigin::Automatic;
    // What trueup chose itself is nothing without a line there.
    other.run(&change);
    assert!(other.snapshot.additions[&AgreementId(41)].is_empty());
    assert_eq!([other.invoice(40), other.invoice(40)], ["146.18", "176.00"]);
    // What a person chose is where all of it is billed.
    lab.run(&change);
    assert!(lab.snapshot.additions[&AgreementId(40)].is_empty());
    assert_eq!([lab.invoice(41), lab.invoice(41)], ["146.18", "176.00"]);
}

#[test]
fn a_renewal_with_nothing_new_changes_nothing() {
    let mut lab = lab("2023-03-01");
    lab.run(&seats("2023-03-01", "5").0);
    let same = order("RN-1", OrderKind::Renewal, "2023-04-01", period("2023-04-01", "2023-05-01"))
        .with(line("1", Charge::Recurring, "seat", "5", "22.00", "17.60"));
    assert_eq!(lab.plan(&[&same.0]).outcomes.values().next(), Some(&TaskOutcome::NothingToDo));
    let more = order("RN-2", OrderKind::Renewal, "2023-04-01", period("2023-04-01", "2023-05-01"))
        .with(line("1", Charge::Recurring, "seat", "7", "23.00", "18.00"));
    assert_eq!(
        lab.run(&more.0),
        "create recurring 2023-04-01..- 7 x 23.00 cost 18.00 = 161.00\n\
         cancel recurring 2023-03-01..2023-03-31 5 x 22.00 cost 17.60 = 0.00\n"
    );
}

#[test]
fn a_transfer_ends_one_customer_and_begins_the_other() {
    let mut lab = lab("2023-03-01");
    lab.run(&seats("2023-03-01", "5").0);
    let mut other = lab.snapshot.companies[&trueup_domain::ids::CompanyId(12)].clone();
    other.id = trueup_domain::ids::CompanyId(13);
    lab.snapshot.companies.insert(other.id, other);
    lab.agreement(50, BillingCycle::MONTHLY, "USD", "2023-01-01", "2023-03-01");
    lab.agreement_mut(50).company = trueup_domain::ids::CompanyId(13);
    lab.map(MappingKind::Customer, "c-200", 13);
    let mut transfer = order("TR-1", OrderKind::Transfer, "2023-03-15", march()).with(line(
        "1",
        Charge::Recurring,
        "seat",
        "5",
        "22.00",
        "17.60",
    ));
    transfer.0.customer = Some(CustomerId::from("c-200"));
    assert_eq!(
        lab.run(&transfer.0),
        "create recurring 2023-04-01..- 5 x 22.00 cost 17.60 = 110.00\n\
         cancel recurring 2023-03-01..2023-03-31 5 x 22.00 cost 17.60 = 0.00\n"
    );
}

fn outcome(lab: &Lab, order: &OrderDraft) -> (Vec<String>, TaskOutcome) {
    let draft = lab.plan(&[&order.0]);
    assert!(draft.changes.is_empty(), "{}", show(&draft));
    let codes = draft.findings.iter().map(|f| f.code.to_string()).collect();
    (codes, *draft.outcomes.values().next().unwrap())
}

#[rstest]
#[case::customer("TU2001", |lab: &mut Lab| lab.mappings.retain(|m| m.kind != MappingKind::Customer))]
#[case::company_gone("TU2002", |lab: &mut Lab| { lab.snapshot.companies.clear(); })]
#[case::company_inactive("TU2002", |lab: &mut Lab| {
    lab.snapshot.companies.values_mut().for_each(|c| c.state = CompanyState::Inactive);
})]
#[case::product("TU2003", |lab: &mut Lab| lab.mappings.retain(|m| m.kind != MappingKind::Product))]
#[case::bundle("TU2004", |lab: &mut Lab| lab.snapshot.catalog.values_mut().for_each(|i| i.bundle = true))]
#[case::inactive_item("TU2004", |lab: &mut Lab| lab.snapshot.catalog.values_mut().for_each(|i| i.inactive = true))]
#[case::no_agreement("TU3001", |lab: &mut Lab| { lab.snapshot.agreements.clear(); })]
#[case::two_agreements("TU3002", |lab: &mut Lab| lab.agreement(41, BillingCycle::MONTHLY, "USD", "2023-01-01", "2023-03-01"))]
#[case::chosen_cancelled("TU3003", |lab: &mut Lab| {
    lab.map(MappingKind::Agreement, "s-1", 40);
    lab.agreement_mut(40).status = AgreementStatus::Cancelled;
})]
#[case::chosen_gone("TU3003", |lab: &mut Lab| lab.map(MappingKind::Agreement, "s-1", 99))]
#[case::cycle("TU3004", |lab: &mut Lab| lab.agreement_mut(40).billing_cycle = Some(BillingCycle::YEARLY))]
#[case::chosen_cycle("TU3004", |lab: &mut Lab| {
    lab.map(MappingKind::Agreement, "s-1", 40);
    lab.agreement_mut(40).billing_cycle = Some(BillingCycle::YEARLY);
})]
#[case::currency("TU6001", |lab: &mut Lab| lab.agreement_mut(40).currency = "EUR".parse().ok())]
#[case::before_billing_start("TU4001", |lab: &mut Lab| {
    lab.agreement_mut(40).bill_start = Some(day("2023-03-10"));
    lab.agreement_mut(40).next_invoice = Some(day("2023-03-10"));
})]
#[case::after_the_end("TU4003", |lab: &mut Lab| lab.agreement_mut(40).end = Some(day("2023-02-10")))]
#[case::no_price("TU6002", |lab: &mut Lab| lab.snapshot.catalog.values_mut().for_each(|i| i.price = None))]
fn what_stands_in_the_way(#[case] code: &str, #[case] spoil: fn(&mut Lab)) {
    let mut lab = lab("2023-03-01");
    spoil(&mut lab);
    let mut sale = seats("2023-03-01", "5");
    if code == "TU6002" {
        sale.0.lines[0].unit_price = None;
    }
    let (codes, _) = outcome(&lab, &sale);
    assert!(codes.contains(&code.to_owned()), "{codes:?}");
}

#[test]
fn the_second_task_waits_for_the_first() {
    let mut lab = lab("2023-03-01");
    lab.mappings.retain(|m| m.kind != MappingKind::Product);
    let (sale, change) = (seats("2023-03-01", "5").0, change("CH-1", "2023-03-15", 5, 8).0);
    let draft = lab.plan(&[&change, &sale]);
    let codes: Vec<String> = draft.findings.iter().map(|f| f.code.to_string()).collect();
    assert_eq!(codes, ["TU2003", "TU7006"]);
}

#[test]
fn an_open_addition_is_proposed_and_the_new_line_waits() {
    let mut lab = lab("2023-03-01");
    lab.by_hand(40, 311, 7, "5", "22.00", "2023-01-01");
    let sale = seats("2023-03-01", "5");
    let draft = lab.plan(&[&sale.0]);
    assert_eq!(show(&draft), "TU3007 warning\n");
    assert_eq!(draft.outcomes.values().next(), Some(&TaskOutcome::Waiting));
    lab.adoption = AdoptionAnswer::CreateBeside;
    assert!(show(&lab.plan(&[&sale.0])).starts_with("create recurring"));
    lab.adoption = AdoptionAnswer::TakeSingle;
    let draft = lab.plan(&[&sale.0]);
    assert_eq!((show(&draft).as_str(), draft.adoptions.len()), ("", 1));
    lab.apply(&draft);
    lab.adoption = AdoptionAnswer::Propose;
    assert_eq!(
        lab.run(&change("CH-1", "2023-03-15", 5, 8).0),
        "create recurring 2023-04-01..- 8 x 22.00 cost 17.60 = 176.00\n\
         create prorate 2023-03-15..2023-03-31 3 x 12.06 cost 9.65 = 36.18\n\
         cancel recurring 2023-01-01..2023-03-31 5 x 22.00 cost 17.60 = 0.00\n"
    );
}

#[test]
fn a_mapping_takes_an_addition_over() {
    let mut lab = lab("2023-03-01");
    lab.by_hand(40, 311, 7, "5", "22.00", "2023-01-01");
    lab.by_hand(40, 312, 7, "9", "22.00", "2023-01-01");
    let sale = seats("2023-03-01", "5");
    assert_eq!(show(&lab.plan(&[&sale.0])), "TU3007 warning\n");
    lab.map(MappingKind::Addition, "subscription:s-1/seat", 312);
    let draft = lab.plan(&[&sale.0]);
    assert_eq!(draft.adoptions[0].addition, AdditionId(312));
    assert_eq!(show(&draft), "TU5001 warning\n");
}

#[test]
fn a_change_takes_the_single_open_addition_and_never_guesses_between_two() {
    let mut lab = lab("2023-03-01");
    lab.by_hand(40, 311, 7, "5", "22.00", "2023-01-01");
    let shown = show(&lab.plan(&[&change("CH-1", "2023-03-15", 5, 8).0]));
    assert!(shown.contains("cancel recurring 2023-01-01..2023-03-31 5 x 22.00"), "{shown}");
    lab.by_hand(40, 312, 7, "2", "22.00", "2023-01-01");
    assert_eq!(show(&lab.plan(&[&change("CH-1", "2023-03-15", 5, 8).0])), "TU3007 error\n");
}

#[test]
fn a_persons_edit_is_never_overwritten() {
    let mut lab = lab("2023-03-01");
    lab.run(&seats("2023-03-01", "5").0);
    let lines = lab.snapshot.additions.get_mut(&AgreementId(40)).unwrap();
    lines[0].state.quantity = 6.into();
    assert_eq!(show(&lab.plan(&[&change("CH-1", "2023-03-15", 5, 8).0])), "TU7002 error\n");
    let lines = lab.snapshot.additions.get_mut(&AgreementId(40)).unwrap();
    lines[0].state.quantity = 5.into();
    lines[0].state.cancelled = Some(day("2023-03-10"));
    assert_eq!(show(&lab.plan(&[&change("CH-1", "2023-03-15", 5, 8).0])), "TU3008 error\n");
    lab.snapshot.additions.get_mut(&AgreementId(40)).unwrap().clear();
    assert_eq!(show(&lab.plan(&[&change("CH-1", "2023-03-15", 5, 8).0])), "TU3008 error\n");
}

#[test]
fn nothing_is_written_before_go_live() {
    let mut lab = lab("2023-03-01");
    lab.set("go_live", "2023-04-01");
    assert_eq!(
        lab.run(&seats("2023-03-01", "5").0),
        "create recurring 2023-04-01..- 5 x 22.00 cost 17.60 = 110.00\nTU6005 warning\n"
    );
    let mut mid = self::lab("2023-03-01");
    mid.set("go_live", "2023-03-15");
    assert_eq!(
        mid.run(&seats("2023-03-01", "5").0),
        "create recurring 2023-04-01..- 5 x 22.00 cost 17.60 = 110.00\n\
         create prorate 2023-03-15..2023-03-31 5 x 12.06 cost 9.65 = 60.30\n\
         TU6005 warning\n"
    );
}

#[test]
fn a_child_agreement_follows_its_parents_invoices() {
    let mut lab = lab("2023-03-01");
    lab.agreement(41, BillingCycle::MONTHLY, "USD", "2023-01-01", "2023-04-01");
    lab.agreement_mut(41).company = trueup_domain::ids::CompanyId(99);
    lab.agreement_mut(40).parent = Some(AgreementId(41));
    let draft = lab.plan(&[&seats("2023-03-01", "5").0]);
    assert!(show(&draft).contains("create recurring 2023-04-01..-"), "{}", show(&draft));
}

#[test]
fn contradictory_and_impossible_quantities_are_kept_back() {
    let mut lab = lab("2023-03-01");
    lab.run(&seats("2023-03-01", "5").0);
    let mut wrong = change("CH-1", "2023-03-15", 5, 8);
    wrong.0.lines[0].quantity = 4.into();
    assert_eq!(outcome(&lab, &wrong).0, ["TU5004"]);
    assert_eq!(outcome(&lab, &change("CH-2", "2023-03-15", 5, -1)).0, ["TU5004"]);
    let mut negative = seats("2023-03-01", "5");
    negative.0.id = "SO-9".into();
    negative.0.lines[0].quantity = (-5).into();
    assert_eq!(outcome(&lab, &negative).0, ["TU5004"]);
}

#[test]
fn a_change_outside_its_period_cannot_be_computed() {
    let mut lab = lab("2023-03-01");
    lab.run(&seats("2023-03-01", "5").0);
    assert_eq!(outcome(&lab, &change("CH-1", "2023-05-02", 5, 8)).0, ["TU4006"]);
}

#[test]
fn the_regular_billing_order_of_an_advance_subscription_gives_nothing() {
    let lab = lab("2023-03-01");
    let bill = order("BO-1", OrderKind::Billing, "2023-03-01", march()).with(line(
        "1",
        Charge::Recurring,
        "seat",
        "5",
        "22.00",
        "17.60",
    ));
    let draft = lab.plan(&[&bill.0]);
    assert_eq!(
        (show(&draft).as_str(), draft.outcomes.values().next()),
        ("", Some(&TaskOutcome::NothingToDo))
    );
}

/// Five seats since March, no invoice made, cancelled on 31 May with a refund of June.
fn backlog() -> (Lab, OrderDraft) {
    let mut lab = lab("2023-03-01");
    lab.run(&seats("2023-03-01", "5").0);
    let mut refund = line("1", Charge::Refund, "seat", "5", "22.00", "17.60");
    refund.amount = Some("-110.00".parse().unwrap());
    refund.period = Some(period("2023-06-01", "2023-07-01"));
    let cancel = order("CL-1", OrderKind::Cancellation, "2023-05-31", period("2023-05-01", "2023-06-01"));
    (lab, cancel.with(refund))
}

#[test]
fn periods_that_wait_for_their_invoice_are_not_lost_by_a_cancellation() {
    let (mut lab, cancel) = backlog();
    lab.set("credits", "on");
    let shown = lab.run(&cancel.0);
    assert!(shown.starts_with("cancel recurring 2023-03-01..2023-05-31 5 x 22.00"), "{shown}");
    assert!(shown.ends_with("TU6005 info\n"), "a refund of what is never invoiced: {shown}");
    let billed: Vec<String> = (0..4).map(|_| lab.invoice(40)).collect();
    assert_eq!(billed, ["110.00", "110.00", "110.00", "0"]);
}

#[test]
fn a_setup_fee_does_not_cost_what_a_month_costs() {
    let mut lab = lab("2023-03-01");
    let key = (SourceId::from(SOURCE), trueup_domain::ids::ProductId::from("seat"));
    lab.products.get_mut(&key).unwrap().unit_cost = Some("17.60".parse().unwrap());
    let sale = order("SO-1", OrderKind::Sales, "2023-03-01", march()).with(line(
        "1",
        Charge::Setup,
        "seat",
        "5",
        "2.00",
        "",
    ));
    assert_eq!(lab.run(&sale.0), "create setup 2023-03-01..2023-03-31 5 x 2.00 cost 0.00 = 10.00\n");
}

#[test]
fn a_transfer_that_names_its_part_loses_no_month() {
    let mut lab = lab("2023-03-01");
    lab.run(&seats("2023-03-01", "5").0);
    let mut other = lab.snapshot.companies[&trueup_domain::ids::CompanyId(12)].clone();
    other.id = trueup_domain::ids::CompanyId(13);
    lab.snapshot.companies.insert(other.id, other);
    lab.agreement(50, BillingCycle::MONTHLY, "USD", "2023-01-01", "2023-03-01");
    lab.agreement_mut(50).company = trueup_domain::ids::CompanyId(13);
    lab.map(MappingKind::Customer, "c-200", 13);
    let mut part = line("2", Charge::Prorate, "seat", "5", "", "");
    part.amount = Some("60.30".parse().unwrap());
    part.period = Some(period("2023-03-15", "2023-04-01"));
    let mut transfer = order("TR-1", OrderKind::Transfer, "2023-03-15", march())
        .with(line("1", Charge::Recurring, "seat", "5", "22.00", "17.60"))
        .with(part);
    transfer.0.customer = Some(CustomerId::from("c-200"));
    let mut unnamed = transfer.0.clone();
    unnamed.lines[1].period = None;
    assert!(
        show(&lab.plan(&[&unnamed])).contains("create prorate 2023-03-15..2023-03-31"),
        "from the day it names"
    );
    let shown = lab.run(&transfer.0);
    assert!(shown.contains("create recurring 2023-04-01..- 5 x 22.00"), "{shown}");
    assert!(shown.contains("create prorate 2023-03-15..2023-03-31 5 x 12.06"), "{shown}");
}

#[test]
fn a_short_first_period_is_a_part_of_the_whole_one() {
    let rest = period("2023-03-15", "2023-04-01");
    let wanted = "create recurring 2023-04-01..- 5 x 22.00 cost 17.60 = 110.00\n\
                  create prorate 2023-03-15..2023-03-31 5 x 12.06 cost 9.65 = 60.30\n";
    for amount in [None, Some("60.30")] {
        let mut lab = lab("2023-03-01");
        set_start(&mut lab, "2023-03-15");
        let mut made = line("1", Charge::Recurring, "seat", "5", "22.00", "17.60");
        made.amount = amount.map(|a| a.parse().unwrap());
        made.cost_amount = amount.map(|_| "48.25".parse().unwrap());
        let sale = order("SO-1", OrderKind::Sales, "2023-03-15", rest).with(made);
        assert_eq!(lab.run(&sale.0), wanted);
    }
}

#[test]
fn an_amount_of_the_whole_period_counts_for_that_period_alone() {
    let mut lab = lab("2023-03-01");
    let mut made = line("1", Charge::Recurring, "seat", "3", "3.33", "2.00");
    made.amount = Some("10.00".parse().unwrap());
    made.cost_amount = Some("8.00".parse().unwrap());
    let sale = order("SO-1", OrderKind::Sales, "2023-03-01", march()).with(made);
    assert_eq!(
        lab.run(&sale.0),
        "create recurring 2023-04-01..- 3 x 3.33 cost 2.00 = 9.99\n\
         create one_time 2023-03-01..2023-03-31 1 x 10.00 cost 8.00 = 10.00\n"
    );
}

#[test]
fn a_sale_with_a_part_of_the_whole_period_bills_both() {
    let mut lab = lab("2023-03-01");
    let mut part = line("2", Charge::Prorate, "seat", "2", "", "");
    part.amount = Some("2.00".parse().unwrap());
    let sale = seats("2023-03-01", "5").with(part);
    lab.run(&sale.0);
    assert_eq!(lab.invoice(40), "112.00");
}

#[test]
fn what_is_charged_afterwards_is_billed_by_its_billing_orders_alone() {
    let mut lab = lab("2023-03-01");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Arrears, "2023-03-01");
    assert_eq!(lab.run(&seats("2023-03-01", "5").0), "TU4004 info\n");
    let bill = order("BO-1", OrderKind::Billing, "2023-04-01", march()).with(line(
        "1",
        Charge::Recurring,
        "seat",
        "5",
        "22.00",
        "17.60",
    ));
    lab.run(&bill.0);
    assert_eq!(lab.invoice(40), "110.00");
}

#[test]
fn a_discount_is_one_whatever_its_sign() {
    for price in ["10.00", "-10.00"] {
        let mut lab = lab("2023-03-01");
        let sale = order("SO-1", OrderKind::Sales, "2023-03-01", march()).with(line(
            "1",
            Charge::Discount,
            "seat",
            "1",
            price,
            "0",
        ));
        let shown = lab.run(&sale.0);
        assert!(shown.ends_with("= -10.00\n"), "{shown}");
    }
}

#[test]
fn changed_then_cancelled_before_any_invoice_goes_whole() {
    let mut lab = lab("2023-03-01");
    lab.run(&seats("2023-03-01", "5").0);
    lab.run(&change("CH-1", "2023-03-15", 5, 8).0);
    let cancel = order("CL-1", OrderKind::Cancellation, "2023-03-20", march());
    let shown = lab.run(&cancel.0);
    assert_eq!(shown.matches("delete recurring").count(), 2, "{shown}");
    assert_eq!(lab.invoice(40), "36.18", "the days that were used stay");
}

/// What costs nothing needs no item, and what is paid does not wait for one.
#[test]
fn what_costs_nothing_and_is_not_mapped_holds_nothing_up() {
    let free = seats("2023-03-01", "5").with(line("2", Charge::Recurring, "incl", "10", "0", "0"));
    let shown = lab("2023-03-01").run(&free.0);
    assert_eq!(shown, "create recurring 2023-03-01..- 5 x 22.00 cost 17.60 = 110.00\n");
    // Where it costs something it is missed.
    let paid = seats("2023-03-01", "5").with(line("2", Charge::Recurring, "incl", "10", "1.00", "0"));
    assert_eq!(show(&lab("2023-03-01").plan(&[&paid.0])), "TU2003 error\n");
    // Where prices come from ConnectWise as well, unless the source names none: then its nothing says nothing.
    let mut lab = lab("2023-03-01");
    lab.set("price_source", "connectwise");
    assert_eq!(lab.plan(&[&free.0]).changes.len(), 1);
    let no_prices = order("SO-1", OrderKind::Sales, "2023-03-01", march())
        .with(line("1", Charge::Recurring, "seat", "5", "0", "0"))
        .with(line("2", Charge::Recurring, "incl", "10", "0", "0"));
    assert_eq!(show(&lab.plan(&[&no_prices.0])), "TU2003 error\n");
}

/// Two products on one item of one agreement would be taken for each other: the second waits, also where nothing of the
/// first is in ConnectWise yet, and where it is another organization's.
#[test]
fn what_another_product_is_billed_as_is_not_billed_beside_it() {
    let mut lab = lab("2023-03-01");
    lab.product("other", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-2", BillingCycle::MONTHLY, BillingModel::Advance, "2023-03-01");
    let of_second = |product: &str, kind: OrderKind| {
        let mut made = match kind {
            OrderKind::Sales => order("SO-2", kind, "2023-03-01", march()).with(line(
                "1",
                Charge::Recurring,
                product,
                "3",
                "22.00",
                "17.60",
            )),
            _ => order("CH-2", kind, "2023-03-15", march()).change("1", product, 3, 4, "22.00", "17.60"),
        };
        made.0.subscription = SubscriptionId::from("s-2");
        made.0
    };
    let (first, second) = (seats("2023-03-01", "5").0, of_second("other", OrderKind::Sales));
    let draft = lab.plan(&[&first, &second]);
    assert_eq!(show(&draft), "create recurring 2023-03-01..- 5 x 22.00 cost 17.60 = 110.00\nTU2007 error\n");
    // One product that is sold twice adds up, and so do two where that is meant.
    assert_eq!(show(&lab.plan(&[&first, &of_second("seat", OrderKind::Sales)])).matches("create").count(), 2);
    let mut several = lab.clone();
    several.set("mapping.product_item", "many");
    several.run(&first);
    several.run(&second);
    lab.run(&first);
    assert_eq!(show(&lab.plan(&[&second])), "TU2007 error\n");
    // What was billed so before goes on.
    several.set("mapping.product_item", "agreement");
    assert!(several.run(&of_second("other", OrderKind::Change)).contains("create recurring 2023-04-01..- 4"));

    // A line with a key of trueup's that nobody here wrote is somebody else's.
    let mut lab = self::lab("2023-03-01");
    lab.by_hand(40, 311, 7, "5", "22.00", "2023-03-01");
    let there = lab.snapshot.additions.get_mut(&AgreementId(40)).unwrap();
    there[0].marker = Some("tu4wvh8fx9mxhjzb00yh809cwr7v".into());
    let draft = lab.plan(&[&first]);
    assert_eq!(show(&draft), "TU2007 error\n");
    assert!(draft.findings[0].message.contains("another organization"), "{:?}", draft.findings);
}
