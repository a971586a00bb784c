//! The agreement that trueup chose itself for a subscription: it gives way where the subscription has outgrown it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use trueup_domain::feed::{BillingModel, Charge, OrderKind, ProductKind};
use trueup_domain::ids::{CompanyId, CustomerId};
use trueup_domain::mapping::{MappingKind, MappingOrigin};
use trueup_domain::period::BillingCycle;
use trueup_domain::psa::AgreementStatus;
use trueup_domain::task::Demand;

/// Five seats sold on 1 March, billed on agreement 40, which is remembered.
fn sold(origin: MappingOrigin) -> Lab {
    let mut lab = Lab::monthly("2023-01-01", "2023-03-01");
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2023-03-01");
    let sale = order("SO-1", OrderKind::Sales, "2023-03-01", period("2023-03-01", "2023-04-01"));
    lab.run(&sale.with(line("1", Charge::Recurring, "seat", "5", "22.00", "17.60")).0);
    lab.map(MappingKind::Agreement, "s-1", 40);
    lab.mappings.last_mut().unwrap().origin = origin;
    lab
}

fn transfer(lab: &mut Lab) -> OrderDraft {
    lab.second_customer("2023-01-01", "2023-03-01");
    let mut transfer = order("TR-1", OrderKind::Transfer, "2023-03-15", period("2023-03-01", "2023-04-01"))
        .with(line("1", Charge::Recurring, "seat", "5", "22.00", "17.60"));
    transfer.0.customer = Some(CustomerId::from("c-200"));
    transfer
}

#[test]
fn a_transfer_goes_to_the_other_customers_agreement() {
    let mut lab = sold(MappingOrigin::Automatic);
    let transfer = transfer(&mut lab);
    assert_eq!(
        lab.run(&transfer.0),
        "create recurring 2023-04-01..- 5 x 22.00 cost 17.60 = 110.00\n\
         cancel recurring 2023-03-01..2023-03-31 5 x 22.00 cost 17.60 = 0.00\n"
    );
}

#[test]
fn what_a_person_chose_stays_chosen() {
    let mut lab = sold(MappingOrigin::Person);
    let transfer = transfer(&mut lab);
    let draft = lab.plan(&[&transfer.0]);
    assert!(draft.changes.is_empty(), "{}", show(&draft));
    assert_eq!(draft.findings.iter().map(|f| f.code.to_string()).collect::<Vec<_>>(), ["TU3003"]);
}

#[test]
fn lines_of_an_agreement_that_ended_wait_for_a_person_who_is_told_of_the_one_that_follows() {
    for status in [AgreementStatus::Active, AgreementStatus::Expired] {
        let mut lab = sold(MappingOrigin::Automatic);
        for _ in 0..3 {
            lab.invoice(40);
        }
        lab.agreement_mut(40).end = Some(day("2023-05-31"));
        lab.agreement_mut(40).status = status;
        lab.agreement(41, BillingCycle::MONTHLY, "USD", "2023-06-01", "2023-06-01");
        lab.today = day("2023-06-10");
        let change = order("CH-1", OrderKind::Change, "2023-06-10", period("2023-06-01", "2023-07-01"))
            .change("1", "seat", 5, 8, "22.00", "17.60");
        let draft = lab.plan(&[&change.0]);
        assert!(draft.changes.is_empty(), "{}", show(&draft));
        let finding = &draft.findings[0];
        assert!(["TU3003", "TU4003"].contains(&finding.code.to_string().as_str()), "{finding:?}");
        assert!(finding.fix.contains("Agreement 41"), "{finding:?}");
    }
}

/// A choice of trueup's own without lines is none: of a plan that nobody carried out, or whose lines were taken back.
#[test]
fn what_was_chosen_for_nothing_is_chosen_anew() {
    let sale = order("SO-1", OrderKind::Sales, "2023-03-01", period("2023-03-01", "2023-04-01"))
        .with(line("1", Charge::Recurring, "seat", "5", "22.00", "17.60"))
        .0;
    for carried_out in [false, true] {
        let mut lab = Lab::monthly("2023-01-01", "2023-03-01");
        lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
        lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2023-03-01");
        let plan = lab.plan(&[&sale]);
        assert_eq!(plan.remembered.len(), 1, "{}", show(&plan));
        lab.map(MappingKind::Agreement, "s-1", 40);
        lab.mappings.last_mut().unwrap().origin = MappingOrigin::Automatic;
        if carried_out {
            let done = lab.apply(&plan);
            let undo = lab.undo(&[(&plan, &done)], &trueup_domain::planner::Extent::Everything);
            lab.apply(&undo);
        }
        // The customer is another company, as it turns out.
        let mut other = lab.snapshot.companies[&CompanyId(12)].clone();
        other.id = CompanyId(13);
        lab.snapshot.companies.insert(other.id, other);
        lab.agreement(50, BillingCycle::MONTHLY, "USD", "2023-01-01", "2023-03-01");
        lab.agreement_mut(50).company = CompanyId(13);
        lab.mappings.retain(|m| m.kind != MappingKind::Customer);
        lab.map(MappingKind::Customer, "c-100", 13);
        lab.snapshot.agreements.remove(&trueup_domain::ids::AgreementId(40));
        let mut task = lab.task(&sale);
        task.undone = u32::from(carried_out);
        let again = lab.plan_tasks(&[(task, Demand::Order(Box::new(sale.clone())))]);
        let homes: Vec<i64> = again.changes.iter().map(|change| change.agreement.0).collect();
        assert_eq!(homes, [50], "{:#?}", again.findings);
    }
}
