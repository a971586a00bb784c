//! Who has to say yes to what: the policy over plans of the planner, and the people who said so.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::approval::{Answer, Limit, Policy, Word, answer, counted, mark, need_of, needs};
use trueup_domain::feed::{BillingModel, Charge, Order, OrderKind, ProductKind};
use trueup_domain::ids::{SourceId, SubscriptionId};
use trueup_domain::period::BillingCycle;
use trueup_domain::plan::DraftPlan;
use trueup_domain::settings::Settings;

/// Five seats at 22.00 are billed on the monthly agreement; nothing is invoiced.
fn lab() -> Lab {
    let mut lab = Lab::monthly("2023-03-01", "2023-03-01");
    lab.product("p", 7, ProductKind::Seat, "22.00", "17.60");
    lab.product("q", 8, ProductKind::Seat, "30.00", "17.60");
    for id in ["s-1", "s-2"] {
        lab.subscription(id, BillingCycle::MONTHLY, BillingModel::Advance, "2023-03-01");
    }
    lab.set("credits", "on");
    lab
}

fn sold() -> Lab {
    let mut lab = lab();
    lab.run(&sale("SO", "s-1", "p", "5"));
    lab
}

fn march() -> trueup_domain::period::Period {
    period("2023-03-01", "2023-04-01")
}

fn sale(id: &str, subscription: &str, product: &str, quantity: &str) -> Order {
    let line = line("1", Charge::Recurring, product, quantity, "22.00", "17.60");
    let mut order = order(id, OrderKind::Sales, "2023-03-01", march()).with(line).0;
    order.subscription = SubscriptionId::from(subscription);
    order
}

fn change(new: i64) -> Order {
    order("CH", OrderKind::Change, "2023-03-15", march()).change("1", "p", 5, new, "22.00", "17.60").0
}

fn cancellation() -> Order {
    order("CX", OrderKind::Cancellation, "2023-03-20", march()).0
}

fn policy(values: &[(&str, &str)]) -> Policy {
    let values: BTreeMap<String, String> =
        values.iter().map(|(k, v)| (format!("approval.{k}"), (*v).to_owned())).collect();
    Settings::from_values(&values).unwrap().approval
}

#[derive(Clone, Copy)]
enum Does {
    Sells,
    Grows,
    Shrinks,
    Ends,
    Nothing,
}

fn plan(does: Does) -> DraftPlan {
    match does {
        Does::Sells => lab().plan(&[&sale("SO", "s-1", "p", "5")]),
        Does::Grows => sold().plan(&[&change(8)]),
        Does::Shrinks => sold().plan(&[&change(4)]),
        Does::Ends => sold().plan(&[&cancellation()]),
        Does::Nothing => sold().plan(&[&sale("SO", "s-1", "p", "5")]),
    }
}

#[rstest]
// Without a policy nobody is asked, whatever the limits say.
#[case::off(Does::Ends, &[("cancel", "on"), ("amount", "0")], 0, &[])]
// With one, everything that moves money is asked about until a limit says otherwise.
#[case::everything(Does::Sells, &[("persons", "1")], 1, &[Limit::Amount])]
#[case::nothing_moves(Does::Nothing, &[("persons", "2")], 0, &[])]
#[case::at_the_limit(Does::Sells, &[("persons", "1"), ("amount", "110")], 0, &[])]
#[case::above_it(Does::Sells, &[("persons", "1"), ("amount", "109.99")], 1, &[Limit::Amount])]
#[case::new(Does::Sells, &[("persons", "2"), ("amount", ""), ("new", "on")], 2, &[Limit::New])]
// Growing is neither new nor an end, although its line is ended and another begun.
#[case::grows(Does::Grows, &[("persons", "1"), ("amount", ""), ("new", "on"), ("cancel", "on"), ("decrease", "on")], 0, &[])]
// 3 x 22.00 a period, and 36.18 for the rest of this one: not the 286 that the lines add up to.
#[case::grows_little(Does::Grows, &[("persons", "1"), ("amount", "66")], 0, &[])]
#[case::grows_much(Does::Grows, &[("persons", "1"), ("amount", "65.99")], 1, &[Limit::Amount])]
#[case::in_percent(Does::Grows, &[("persons", "1"), ("amount", ""), ("percent", "60")], 0, &[])]
#[case::over_percent(Does::Grows, &[("persons", "1"), ("amount", ""), ("percent", "59.9")], 1, &[Limit::Percent])]
#[case::new_has_no_percent(Does::Sells, &[("persons", "1"), ("amount", ""), ("percent", "0")], 0, &[])]
// One seat less, and what is given back for the rest of the month.
#[case::shrinks(Does::Shrinks, &[("persons", "1"), ("amount", ""), ("decrease", "on")], 1, &[Limit::Decrease, Limit::Decrease])]
#[case::shrinks_unasked(Does::Shrinks, &[("persons", "1"), ("amount", ""), ("cancel", "on"), ("new", "on")], 0, &[])]
// What ends takes its whole period with it, whatever this month's invoice still bills.
#[case::ends(Does::Ends, &[("persons", "1"), ("amount", ""), ("cancel", "on")], 1, &[Limit::Cancel])]
#[case::ends_above(Does::Ends, &[("persons", "1"), ("amount", "109")], 1, &[Limit::Amount])]
#[case::two(Does::Sells, &[("persons", "1"), ("two_above", "100")], 2, &[Limit::Amount, Limit::TwoAbove])]
#[case::two_alone(Does::Sells, &[("two_above", "100")], 2, &[Limit::TwoAbove])]
#[case::two_not_reached(Does::Sells, &[("two_above", "110")], 0, &[])]
fn the_policy_asks(
    #[case] does: Does,
    #[case] values: &[(&str, &str)],
    #[case] persons: u8,
    #[case] limits: &[Limit],
) {
    let draft = plan(does);
    let need = need_of(&draft, &policy(values));
    let said: Vec<Limit> = need.reasons.iter().map(|reason| reason.limit).collect();
    assert_eq!((need.persons, said.as_slice()), (persons, limits), "{:#?}\n{}", need.reasons, show(&draft));
}

#[test]
fn reasons_are_words_with_the_amounts() {
    let need = need_of(&plan(Does::Ends), &policy(&[("persons", "1"), ("cancel", "on"), ("amount", "50")]));
    let said: Vec<&str> = need.reasons.iter().map(|reason| reason.message.as_str()).collect();
    assert_eq!(
        said,
        [
            "Subscription s-1 of customer c-100 moves 110.00 USD; the limit is 50.",
            "Subscription s-1 of customer c-100 loses p, 110.00 USD a period."
        ]
    );
}

/// What a customer or a product is allowed beside what holds for the others; the sale is of 110.00 for p.
#[rstest]
#[case::a_customer_may_more("customer c-100: amount=200", Does::Sells, &[])]
#[case::another_customer("customer c-101: amount=200", Does::Sells, &[Limit::Amount])]
#[case::a_customer_may_less("customer c-100: amount=20", Does::Grows, &[Limit::Amount])]
#[case::nobody_is_asked("customer c-100: persons=0", Does::Sells, &[])]
#[case::a_product_may_more("product p: amount=200", Does::Sells, &[])]
#[case::another_product("product q: amount=200", Does::Sells, &[Limit::Amount])]
#[case::without_an_amount("product p: amount=off, cancel=on", Does::Sells, &[])]
#[case::its_end("product p: amount=off, cancel=on", Does::Ends, &[Limit::Cancel])]
#[case::what_is_new("product p: amount=off, new=on", Does::Sells, &[Limit::New])]
#[case::less("product p: amount=off, decrease=on", Does::Shrinks, &[Limit::Decrease, Limit::Decrease])]
#[case::percent("product p: amount=off, percent=50", Does::Grows, &[Limit::Percent])]
#[case::the_product_over_the_customer("customer c-100: amount=20; product p: amount=200", Does::Sells, &[])]
#[case::the_customer_beside_the_product("customer c-100: cancel=on; product p: amount=200", Does::Ends, &[Limit::Cancel])]
fn customers_and_products_have_limits_of_their_own(
    #[case] except: &str,
    #[case] does: Does,
    #[case] expected: &[Limit],
) {
    let policy = policy(&[("persons", "1"), ("amount", "100"), ("except", except)]);
    let limits: Vec<Limit> = need_of(&plan(does), &policy).reasons.iter().map(|r| r.limit).collect();
    assert_eq!(limits, expected);
}

#[test]
fn two_people_are_asked_about_one_product_and_nobody_about_the_others() {
    let draft = lab().plan(&[&sale("A", "s-1", "p", "1"), &sale("B", "s-2", "q", "9")]);
    let asked = needs(&draft, &policy(&[("except", "product p: persons=2")]));
    let said: Vec<(u8, &str)> =
        asked.values().flat_map(|need| need.reasons.iter().map(|r| (need.persons, &*r.message))).collect();
    assert_eq!(said, [(2, "p of subscription s-1 of customer c-100 moves 22.00 USD; the limit is 0.")]);
}

/// A product with limits of its own is weighed by itself, so that the others stay below theirs.
#[test]
fn a_product_of_its_own_does_not_count_for_the_others() {
    let mut order = sale("A", "s-1", "p", "5");
    order.lines.extend(sale("A", "s-1", "q", "3").lines.into_iter().map(|mut line| {
        line.id = "2".into();
        line
    }));
    let draft = lab().plan(&[&order]);
    let limits = |except: &str| {
        let policy = policy(&[("persons", "1"), ("amount", "120"), ("except", except)]);
        need_of(&draft, &policy).reasons.into_iter().map(|reason| reason.message).collect::<Vec<_>>()
    };
    assert_eq!(limits(""), ["Subscription s-1 of customer c-100 moves 176.00 USD; the limit is 120."]);
    assert_eq!(limits("product p: amount=500"), [""; 0]);
}

#[rstest]
#[case("customer")]
#[case("customer c-100")]
#[case("customer c-100:")]
#[case("customer c-100: amount")]
#[case("customer c-100: amount=-1")]
#[case("customer c-100: persons=3")]
#[case("customer c-100: new=yes")]
#[case("customer c-100: days=3")]
#[case("vendor v: amount=1")]
#[case("customer c-100: amount=1; customer c-100: amount=2")]
fn what_cannot_be_understood_is_refused(#[case] except: &str) {
    let values = BTreeMap::from([("approval.except".to_owned(), except.to_owned())]);
    let said = Settings::from_values(&values).unwrap_err().to_string();
    assert!(said.contains("approval.except") && said.contains("customers and products"), "{said}");
}

#[test]
fn subscriptions_are_asked_about_one_by_one() {
    let orders = [sale("A", "s-1", "p", "1"), sale("B", "s-2", "q", "9")];
    let draft = lab().plan(&[&orders[0], &orders[1]]);
    let asked = needs(&draft, &policy(&[("persons", "1"), ("amount", "100")]));
    let ids: Vec<&str> = asked.keys().map(|(_, subscription)| subscription.as_str()).collect();
    assert_eq!(ids, ["s-2"]);
}

#[test]
fn a_mark_is_of_what_is_written_and_of_nothing_else() {
    let whose = |id: &str| BTreeSet::from([(SourceId::from("default"), SubscriptionId::from(id))]);
    let both = lab().plan(&[&sale("A", "s-1", "p", "1"), &sale("B", "s-2", "q", "9")]);
    let alone = lab().plan(&[&sale("B", "s-2", "q", "9")]);
    assert_eq!(
        mark("c", &both, Some(&whose("s-2"))),
        mark("c", &alone, None),
        "what is beside it counts not"
    );
    assert_eq!(mark("c", &alone, None), mark("c", &lab().plan(&[&sale("B", "s-2", "q", "9")]), None));
    let all = [
        mark("c", &both, None),
        mark("c", &alone, None),
        mark("d", &alone, None),
        mark("c", &lab().plan(&[&sale("B", "s-2", "q", "8")]), None),
        mark("c", &plan(Does::Grows), None),
        mark("c", &plan(Does::Ends), None),
    ];
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "{all:?}");
}

const DAY: i64 = 86_400_000;

fn word(person: &str, approves: bool, at: i64) -> Word {
    Word {
        person: person.into(),
        actor: format!("{person}@example.com"),
        approves,
        reason: None,
        at: at * DAY,
    }
}

fn ask(words: &[Word], persons: u8, values: &[(&str, &str)]) -> String {
    let policy = policy(values);
    match answer(words, persons, &policy, "ann@example.com", 40 * DAY) {
        Answer::Given => "given".to_owned(),
        Answer::Missing(count) => format!("{count} missing"),
        Answer::Refused(word) => format!("refused by {}", word.person),
    }
}

#[rstest]
#[case::nobody(&[], 1, &[], "1 missing")]
#[case::one(&[word("bob", true, 39)], 1, &[], "given")]
#[case::one_of_two(&[word("bob", true, 39)], 2, &[], "1 missing")]
#[case::the_same_twice(&[word("bob", true, 38), word("bob", true, 39)], 2, &[], "1 missing")]
#[case::two(&[word("bob", true, 38), word("eve", true, 39)], 2, &[], "given")]
#[case::maker(&[word("ann", true, 39)], 1, &[], "given")]
#[case::maker_must_not(&[word("ann", true, 39)], 1, &[("self", "off")], "1 missing")]
#[case::too_old(&[word("bob", true, 9)], 1, &[], "1 missing")]
#[case::just_in_time(&[word("bob", true, 10)], 1, &[], "given")]
#[case::for_ever(&[word("bob", true, 0)], 1, &[("days", "0")], "given")]
#[case::no(&[word("bob", true, 38), word("eve", false, 39)], 1, &[], "refused by eve")]
#[case::a_no_counts_until_somebody_says_yes_again(&[word("bob", true, 37), word("eve", false, 38), word("bob", true, 39)], 2, &[], "1 missing")]
#[case::and_then_it_is_past(&[word("eve", false, 38), word("bob", true, 39), word("eve", true, 39)], 2, &[], "given")]
#[case::a_no_where_nobody_is_needed(&[word("eve", false, 39)], 0, &[], "refused by eve")]
fn people_answer(
    #[case] words: &[Word],
    #[case] persons: u8,
    #[case] values: &[(&str, &str)],
    #[case] expected: &str,
) {
    assert_eq!(ask(words, persons, values), expected);
}

#[test]
fn each_counts_once() {
    let words = [word("bob", true, 38), word("eve", true, 39), word("bob", true, 39)];
    let people: Vec<&str> = counted(&words, &policy(&[]), "", 40 * DAY).iter().map(|w| &*w.person).collect();
    assert_eq!(people, ["bob", "eve"]);
}
