//! What may be mapped to the same, case by case, and a "do not bill" that ends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use jiff::civil::date;
use rstest::rstest;
use std::collections::BTreeMap;
use trueup_domain::feed::{BillingModel, Charge, OrderKind, ProductKind};
use trueup_domain::ids::{CustomerId, ProductId, SourceId, SubscriptionId};
use trueup_domain::mapping::{Mapping, MappingKind, MappingOrigin, Mappings, ProductTarget};
use trueup_domain::mapping_rules::{Broken, ItemRule, MappingRules, Use, conflicts, key_of, needs_uses};
use trueup_domain::period::{BillingCycle, CycleUnit};

fn source() -> SourceId {
    SourceId::from("shop")
}

/// `kind id psa [scope]`; with a `~` before it, what trueup chose by itself.
fn mapping(text: &str) -> Mapping {
    let origin = if text.starts_with('~') { MappingOrigin::Automatic } else { MappingOrigin::Person };
    let text = text.trim_start_matches('~');
    let mut words = text.split_whitespace();
    let kind = MappingKind::from_name(words.next().unwrap()).unwrap();
    let source_id = words.next().unwrap().to_owned();
    let psa_id = words.next().unwrap().parse().ok();
    Mapping {
        kind,
        source: source(),
        source_id,
        psa_id,
        scope: words.next().unwrap_or_default().to_owned(),
        options: BTreeMap::new(),
        origin,
    }
}

fn sold(customer: &str, subscription: &str, cycle: BillingCycle, products: &[&str]) -> Use {
    Use {
        source: source(),
        customer: CustomerId::from(customer),
        subscription: SubscriptionId::from(subscription),
        cycle,
        products: products.iter().map(|p| ProductId::from(*p)).collect(),
    }
}

const LOOSE: MappingRules =
    MappingRules { several_customers: true, several_agreements: true, item: ItemRule::Many, ..USUAL };
const STRICT: MappingRules = MappingRules { item: ItemRule::One, ..USUAL };
const USUAL: MappingRules = MappingRules {
    several_customers: false,
    several_agreements: false,
    item: ItemRule::Agreement,
    month_or_year: false,
    release_first: false,
};

#[rstest]
#[case::one_each(&["customer a 1", "customer b 2"], USUAL, &[])]
#[case::a_company_is_one_customer(&["customer a 1", "customer b 1"], USUAL, &["company 1"])]
#[case::unless_it_may_be_several(&["customer a 1", "customer b 1"], LOOSE, &[])]
#[case::one_agreement_for_all(&["agreement customer:a 40"], USUAL, &[])]
#[case::two_agreements_for_one_product(
    &["agreement s-1 40", "agreement s-2 41"], USUAL, &["customer a, product p, 1-month"])]
#[case::unless_they_may_be_several(&["agreement s-1 40", "agreement s-2 41"], LOOSE, &[])]
#[case::what_trueup_chose_by_itself_is_no_choice(&["~agreement s-1 40", "agreement s-2 41"], USUAL, &[])]
#[case::one_for_the_customer_and_one_beside_it(
    &["agreement customer:a 40", "agreement s-2 41"], USUAL, &["customer a, product p, 1-month"])]
#[case::another_cycle_is_another_product(&["agreement s-1 40", "agreement s-year 41"], USUAL, &[])]
#[case::another_customer_has_its_own(&["agreement s-1 40", "agreement s-b 41"], USUAL, &[])]
#[case::one_item_for_two_products_of_an_agreement(
    &["agreement customer:a 40", "product p 7", "product q 7"], USUAL, &["agreement 40, catalog item 7"])]
#[case::of_two_agreements(
    &["agreement customer:a 40", "agreement customer:b 41", "product p 7", "product r 7"], USUAL, &[])]
#[case::of_two_agreements_where_an_item_is_one_product(
    &["agreement customer:a 40", "agreement customer:b 41", "product p 7", "product r 7"], STRICT,
    &["catalog item 7"])]
#[case::scopes_of_one_product_share_its_item(&["product p 7", "product p 7 cycle:1-year"], STRICT, &[])]
#[case::several_where_they_may_be(
    &["agreement customer:a 40", "product p 7", "product q 7"], LOOSE, &[])]
#[case::the_customers_own_mapping_counts(
    &["agreement customer:a 40", "product p 7", "product q 7", "product q 8 a"], USUAL, &[])]
fn rules_hold(#[case] texts: &[&str], #[case] rules: MappingRules, #[case] wanted: &[&str]) {
    let uses = [
        sold("a", "s-1", BillingCycle::MONTHLY, &["p", "q"]),
        sold("a", "s-2", BillingCycle::MONTHLY, &["p"]),
        sold("a", "s-year", BillingCycle::new(1, CycleUnit::Year).unwrap(), &["p"]),
        sold("b", "s-b", BillingCycle::MONTHLY, &["r"]),
    ];
    let mappings = Mappings::new(texts.iter().map(|text| mapping(text)));
    let found = conflicts(&mappings, rules, &uses);
    if !needs_uses(&mappings, rules) {
        assert_eq!(found, conflicts(&mappings, rules, &[]), "the subscriptions were needed");
    }
    let broken = Broken::find(&mappings, rules, &uses);
    for one in texts.iter().map(|text| mapping(text)) {
        let party = found.iter().any(|c| c.parties.contains(&key_of(&one)));
        assert_eq!(broken.of(&one).is_some(), party);
    }
    let about: Vec<&str> = found.iter().map(|c| c.about.as_str()).collect();
    assert_eq!(about, wanted);
    for conflict in &found {
        assert!(!conflict.parties.is_empty());
        assert_eq!(conflict.finding().code.to_string(), "TU2007");
        assert!(conflict.fix.contains("mapping."), "{}", conflict.fix);
    }
}

#[test]
fn do_not_bill_holds_through_its_last_day() {
    let mut general = mapping("product p 7");
    let mut own = mapping("product p - a");
    own.options =
        [("do_not_bill", "pilot"), ("until", "2026-03-31")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let target = |today, all: &[&Mapping]| {
        let mappings = Mappings::on(all.iter().map(|m| (*m).clone()), today);
        mappings.product_target(&source(), &ProductId::from("p"), &CustomerId::from("a"), None)
    };
    let last = date(2026, 3, 31);
    let after = date(2026, 4, 1);
    assert_eq!(target(last, &[&general, &own]), Some(ProductTarget::DoNotBill("pilot".into())));
    assert_eq!(target(after, &[&own]), None, "nothing is guessed");
    assert!(matches!(target(after, &[&general, &own]), Some(ProductTarget::Item(_))));
    let mappings = Mappings::on([own.clone()], after);
    assert!(mappings.expired(MappingKind::Product, &source(), "p").is_some());
    // A date alone means nothing.
    general.options.insert("until".into(), "2020-01-01".into());
    assert!(matches!(target(after, &[&general]), Some(ProductTarget::Item(_))));
}

#[test]
fn the_mapping_that_brings_two_products_together_has_a_share_in_it() {
    let mappings = ["product p 7", "product q 7", "agreement customer:a 40"].map(mapping);
    let uses = [sold("a", "s-1", BillingCycle::MONTHLY, &["p", "q"])];
    let found = conflicts(&Mappings::new(mappings.clone()), USUAL, &uses);
    let [conflict] = found.as_slice() else { panic!("{found:?}") };
    assert!(mappings.iter().all(|m| conflict.is_made_by(&key_of(m))));
    assert!(!conflict.parties.contains(&key_of(&mappings[2])), "what else is on the agreement goes on");
}

#[test]
fn a_do_not_bill_with_something_behind_it_is_billed_from_the_day_after() {
    let mut own = mapping("customer a 12");
    own.options =
        [("do_not_bill", "pilot"), ("until", "2026-03-31")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let customer = CustomerId::from("a");
    let on = |today| Mappings::on([own.clone()], today);
    let held = on(date(2026, 3, 31));
    assert_eq!(held.customer_not_billed(&source(), &customer), Some("pilot"));
    let over = on(date(2026, 4, 1));
    assert_eq!(over.customer_not_billed(&source(), &customer), None);
    assert_eq!(over.company_of(&source(), &customer).map(|c| c.0), Some(12));
    assert_eq!(over.customer_billed_from(&source(), &customer), Some(date(2026, 4, 1)));
    assert!(over.expired(MappingKind::Customer, &source(), "a").is_none(), "it is mapped");
    // The later of both days counts.
    own.options.insert("billed_from".into(), "2026-05-01".into());
    let later = Mappings::on([own.clone()], date(2026, 4, 1));
    assert_eq!(later.customer_billed_from(&source(), &customer), Some(date(2026, 5, 1)));
    let mut product = mapping("product p - a");
    product.options = own.options.clone();
    let behind = Mappings::on([product, mapping("product p 7")], date(2026, 6, 1));
    let from = |customer: &str| {
        behind.product_billed_from(&source(), &ProductId::from("p"), &CustomerId::from(customer), None)
    };
    assert_eq!((from("a"), from("b")), (Some(date(2026, 5, 1)), None));
}

/// What an open-ended line bills and what an open order brings belong to a subscription; what an order ends does not.
#[rstest]
#[case::of_the_feed(&["p"], &[], &[], &["p"])]
#[case::billed_open_ended(&["p"], &["q"], &[], &["p", "q"])]
#[case::brought(&["p"], &["p"], &["q 0 2"], &["p", "q"])]
#[case::switched(&["q"], &["p"], &["p 5 0", "q 0 5"], &["q"])]
#[case::taken_away_though_the_feed_has_it(&["p"], &["p"], &["p 5 0"], &["p"])]
#[case::reduced(&["p"], &["p"], &["q 5 2"], &["p", "q"])]
fn a_subscription_is_what_it_bills_and_what_is_to_come(
    #[case] held: &[&str],
    #[case] lines: &[&str],
    #[case] order: &[&str],
    #[case] wanted: &[&str],
) {
    let mut lab = common::Lab::monthly("2025-01-01", "2025-01-01");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2025-01-01");
    let mut sold = lab.subscriptions.values().next().unwrap().clone();
    sold.items = held
        .iter()
        .map(|p| serde_json::from_str(&format!(r#"{{"id":"{p}","product":"{p}","quantity":"5"}}"#)).unwrap())
        .collect();
    let of = common::period("2025-01-01", "2025-02-01");
    for product in lines {
        lab.product(product, 7, ProductKind::Seat, "1.00", "0");
        let sale = common::order(product, OrderKind::Sales, "2025-01-01", of);
        let plan = lab.plan(&[&sale.with(common::line("1", Charge::Recurring, product, "5", "1.00", "0")).0]);
        lab.apply(&plan);
    }
    let mut change = common::order("CH-1", OrderKind::Change, "2025-01-10", of);
    for (n, text) in order.iter().enumerate() {
        let [product, old, new] = text.split(' ').collect::<Vec<_>>()[..] else { panic!("{text}") };
        change =
            change.change(&n.to_string(), product, old.parse().unwrap(), new.parse().unwrap(), "1.00", "0");
    }
    let found = Use::of(&source(), &sold, &lab.links, [&change.0]).unwrap();
    assert_eq!(found.products, wanted.iter().map(|p| ProductId::from(*p)).collect());
    sold.status = trueup_domain::feed::SubscriptionStatus::Cancelled;
    assert!(Use::of(&source(), &sold, &lab.links, []).is_none());
}
