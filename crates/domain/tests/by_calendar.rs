//! Agreements that are invoiced by the calendar year: the first period is cut short by the billing start, and what is
//! written for one period is on one invoice.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use proptest::prelude::*;
use rstest::rstest;
use trueup_domain::billing;
use trueup_domain::feed::{BillingModel, Charge, OrderKind, ProductKind};
use trueup_domain::ids::AgreementId;
use trueup_domain::period::{BillingCycle, CycleUnit, next_day};
use trueup_domain::psa::Agreement;

const QUARTERLY: BillingCycle = BillingCycle { every: 3, unit: CycleUnit::Month };

/// Agreement 40 of this cycle, billed from that day on the calendar, and the products of the tests.
fn on_calendar(cycle: BillingCycle, bill_start: &str) -> Lab {
    let mut lab = Lab::monthly(bill_start, bill_start);
    lab.agreement_mut(40).billing_cycle = Some(cycle);
    lab.agreement_mut(40).by_calendar = true;
    lab.today = day(bill_start);
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.product("setup", 8, ProductKind::OneTime, "10.00", "0");
    lab.subscription("s-1", cycle, BillingModel::Advance, bill_start);
    lab
}

#[rstest]
#[case::a_month(BillingCycle::MONTHLY, "2025-01-15", "2025-02-15", "2025-01-31")]
#[case::a_quarter(QUARTERLY, "2025-02-01", "2025-05-01", "2025-03-31")]
#[case::a_year(BillingCycle::YEARLY, "2025-04-10", "2026-04-10", "2025-12-31")]
fn a_fee_of_the_first_period_is_on_one_invoice(
    #[case] cycle: BillingCycle,
    #[case] start: &str,
    #[case] end: &str,
    #[case] last: &str,
) {
    let mut lab = on_calendar(cycle, start);
    let sale = order("SO", OrderKind::Sales, start, period(start, end))
        .with(line("1", Charge::Recurring, "seat", "5", "22.00", "17.60"))
        .with(line("2", Charge::Setup, "setup", "1", "10.00", "0"));
    let shown = lab.run(&sale.0);
    assert!(shown.contains(&format!("setup {start}..{last} 1 x 10.00")), "{shown}");
    assert_eq!([0; 3].map(|_| lab.invoice(40)), ["120.00", "110.00", "110.00"]);
}

/// ConnectWise takes a share of every line of the first period: a fee is dated over the next one, which is whole.
#[test]
fn where_connectwise_prorates_a_fee_of_the_first_period_is_billed_whole() {
    let mut lab = on_calendar(BillingCycle::MONTHLY, "2025-01-15");
    lab.agreement_mut(40).prorates = true;
    lab.set("proration_by", "connectwise");
    let sale = order("SO", OrderKind::Sales, "2025-01-15", period("2025-01-01", "2025-02-01"))
        .with(line("1", Charge::Recurring, "seat", "5", "31.00", "17.60"))
        .with(line("2", Charge::Setup, "setup", "1", "10.00", "0"));
    let shown = lab.run(&sale.0);
    assert!(shown.contains("setup 2025-02-01..2025-02-28 1 x 10.00"), "{shown}");
    // 17 of the 31 days of January.
    assert_eq!([0; 3].map(|_| lab.invoice(40)), ["85.00", "165.00", "155.00"]);
}

fn agreement() -> impl Strategy<Value = Agreement> {
    let cycles = prop_oneof![
        Just(BillingCycle::MONTHLY),
        Just(BillingCycle { every: 2, unit: CycleUnit::Month }),
        Just(QUARTERLY),
        Just(BillingCycle { every: 6, unit: CycleUnit::Month }),
        Just(BillingCycle::YEARLY),
        Just(BillingCycle { every: 2, unit: CycleUnit::Week }),
    ];
    (cycles, 0_i64..800, 0_i64..900, any::<bool>(), any::<bool>()).prop_map(
        |(cycle, start, moved, by_hand, prorates)| {
            let at = |days| day("2023-01-01").checked_add(jiff::Span::new().days(days)).unwrap();
            let mut lab = on_calendar(cycle, &at(start).to_string());
            let agreement = lab.agreement_mut(40);
            agreement.prorates = prorates;
            if by_hand {
                agreement.next_invoice = Some(at(start + moved));
            }
            agreement.clone()
        },
    )
}

proptest! {
    /// The periods lie one after the other, every day in one; the open one begins with the next invoice, and after the
    /// first whole one they lie on the calendar.
    #[test]
    fn periods_follow_on_each_other_and_lie_on_the_calendar(own in agreement(), days in 0_i64..1500) {
        let mut lab = Lab::monthly("2023-01-01", "2023-01-01");
        lab.snapshot.agreements.insert(AgreementId(40), own.clone());
        let (start, next) = (own.bill_start.unwrap(), own.next_invoice.unwrap());
        let at = start.checked_add(jiff::Span::new().days(days)).unwrap();
        let of = |at| billing::invoice_period(&lab.snapshot, &own, at).unwrap();
        let period = of(at);
        prop_assert!(period.contains(at));
        for inside in [period.start(), period.last_day()] {
            prop_assert_eq!(of(inside), period);
        }
        let following = of(period.end());
        prop_assert_eq!(following.start(), period.end());
        let open = own.open_period().unwrap();
        prop_assert_eq!(of(next), open);
        // Where ConnectWise prorates, shares of the first period are of all of it.
        prop_assert!(open.start() == next || (own.prorates && open.contains(start) && next == start));
        if own.billing_cycle.unwrap().unit != CycleUnit::Week {
            for begins in [period.start(), following.start(), open.end()] {
                let begins_one = (u32::try_from(begins.month()).unwrap() - 1) % own.billing_cycle.unwrap().normalised().every == 0;
                prop_assert!((begins.day() == 1 && begins_one) || begins == start || begins == next, "{}", begins);
            }
        }
        prop_assert!(next_day(period.last_day()) == period.end());
    }
}
