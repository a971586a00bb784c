//! The comparison of what should be with what is, held to a plain join; and drift, told to the cent.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use trueup_domain::Decimal;
use trueup_domain::desired::{
    Comparison, Day, Difference, Fields, Fixed, Repeated, Row, compare, compare_on, compare_with, drift,
    drift_on,
};
use trueup_domain::finding::{Code, Finding};
use trueup_domain::ids::{AdditionId, AgreementId, CatalogItemId};
use trueup_domain::money::{Money, Quantity};
use trueup_domain::plan::{AdditionLink, Field, OperationKey, Role};
use trueup_domain::psa::{AdditionState, BillFlag, ObservedAddition, Snapshot};

fn row(key: i64, quantity: i64, price: i64) -> Row {
    Row {
        key,
        item: 7,
        quantity: Fixed::from_millionths(quantity),
        unit_price: Fixed::from_millionths(price),
        unit_cost: Fixed::default(),
        effective: day("2026-01-01").into(),
        cancelled: Day::OPEN,
    }
}

fn by_key(rows: &[Row]) -> BTreeMap<i64, Vec<usize>> {
    let mut map: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for (place, row) in rows.iter().enumerate() {
        map.entry(row.key).or_default().push(place);
    }
    map
}

/// The same by two ordered maps, one key after the other.
fn plain(desired: &[Row], observed: &[Row]) -> Comparison {
    let (ours, mut theirs) = (by_key(desired), by_key(observed));
    let mut found = Comparison::default();
    let mut all: BTreeMap<i64, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
    for (key, places) in ours {
        all.insert(key, (places, theirs.remove(&key).unwrap_or_default()));
    }
    for (key, places) in theirs {
        all.insert(key, (Vec::new(), places));
    }
    for (key, (ours, theirs)) in all {
        match (ours.as_slice(), theirs.as_slice()) {
            ([at], []) => found.missing.push(*at),
            ([], [place]) => found.unclaimed.push(*place),
            ([at], [place]) => {
                let (a, b) = (&desired[*at], &observed[*place]);
                let differs = [
                    (a.quantity != b.quantity, Field::Quantity),
                    (a.unit_price != b.unit_price, Field::UnitPrice),
                ];
                let fields: Fields =
                    differs.into_iter().filter(|(is, _)| *is).map(|(_, field)| field).collect();
                if fields.is_empty() {
                    found.equal += 1;
                } else {
                    found.differing.push(Difference { key, desired: *at, observed: *place, fields });
                }
            }
            _ => found.repeated.push(Repeated { key, desired: ours, observed: theirs }),
        }
    }
    found
}

/// Keys close together, far apart, around zero, and at both ends of what a key can be.
fn keys() -> impl Strategy<Value = BoxedStrategy<i64>> {
    prop_oneof![
        Just((0_i64..80).boxed()),
        Just((-40_i64..40).boxed()),
        Just((i64::MAX - 80..=i64::MAX).boxed()),
        Just((i64::MIN..i64::MIN + 80).boxed()),
        Just((-300_000_i64..300_000).boxed()),
        Just(any::<i64>().boxed()),
        Just(
            prop_oneof![4 => 0_i64..80, 1 => any::<i64>(), 1 => Just(i64::MIN), 1 => Just(i64::MAX)].boxed()
        ),
    ]
}

/// Two lists with keys of one kind, or of a kind each; with keys that occur once only, or as it comes.
fn sides() -> impl Strategy<Value = (Vec<Row>, Vec<Row>)> {
    let kinds = prop_oneof![3 => keys().prop_map(|k| (k.clone(), k)), 1 => (keys(), keys())];
    (kinds, any::<[bool; 2]>())
        .prop_flat_map(|((ours, theirs), unique)| (rows(ours, unique[0]), rows(theirs, unique[1])))
}

fn rows(keys: BoxedStrategy<i64>, unique: bool) -> impl Strategy<Value = Vec<Row>> {
    let rows = prop::collection::vec((keys, 0_i64..3, 0_i64..3), 0..90);
    rows.prop_flat_map(move |rows| {
        let rows = rows.into_iter().map(|(key, quantity, price)| row(key, quantity, price));
        if unique {
            let by_key: BTreeMap<_, _> = rows.map(|row| (row.key, row)).collect();
            let ordered: Vec<_> = by_key.into_values().collect();
            prop_oneof![1 => Just(ordered.clone()), 2 => Just(ordered).prop_shuffle()].boxed()
        } else {
            Just(rows.collect()).boxed()
        }
    })
}

fn in_order(rows: &[Row]) -> Vec<Row> {
    let mut rows = rows.to_vec();
    rows.sort_by_key(|row| row.key);
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn equals_a_plain_join((desired, observed) in sides(), threads in 1_usize..=5) {
        let expected = plain(&desired, &observed);
        prop_assert_eq!(&compare_on(threads, &desired, &observed, |_, _| Fields::NONE), &expected);
        prop_assert_eq!(compare(&desired, &observed), expected);
    }

    #[test]
    fn lists_in_order_give_what_lists_out_of_order_give((desired, observed) in sides(), threads in 1_usize..=5) {
        let (ours, theirs) = (in_order(&desired), in_order(&observed));
        let ordered = compare_on(threads, &ours, &theirs, |_, _| Fields::NONE);
        let found = compare_on(threads, &desired, &observed, |_, _| Fields::NONE);
        prop_assert_eq!(&ordered, &plain(&ours, &theirs));
        prop_assert_eq!(ordered.equal, found.equal);
        let keys = |places: &[usize], rows: &[Row]| places.iter().map(|at| rows[*at].key).collect::<Vec<_>>();
        prop_assert_eq!(keys(&ordered.missing, &ours), keys(&found.missing, &desired));
        prop_assert_eq!(keys(&ordered.unclaimed, &theirs), keys(&found.unclaimed, &observed));
        let told = |c: &Comparison| c.differing.iter().map(|d| (d.key, d.fields)).collect::<Vec<_>>();
        prop_assert_eq!(told(&ordered), told(&found));
    }
}

/// Enough rows for several threads: in order, dense, sparse, and with a key that occurs twice on either side.
#[test]
fn long_lists_give_what_a_plain_join_gives() {
    for stride in [3_i64, 1_000_003] {
        let list = |skip: i64| {
            let keys = (0..70_000_i64).filter(move |n| n % 97 != skip);
            keys.map(|n| row((n - 30_000) * stride, n % 5 + i64::from(n % 89 == skip), 1)).collect::<Vec<_>>()
        };
        let (ordered, there) = (list(0), list(5));
        // The length is no multiple of this prime, so that every row is taken once.
        let shuffled: Vec<Row> = (0..ordered.len()).map(|n| ordered[n * 7_919 % ordered.len()]).collect();
        let mut twice = shuffled.clone();
        twice.push(shuffled[40_000]);
        let mut there_twice = there.clone();
        there_twice.push(there[50_000]);
        let mut foreign_twice = there.clone();
        foreign_twice.extend([row(15 * stride - 30_000 * stride - 1, 1, 1); 2]);
        for desired in [&ordered, &shuffled, &twice] {
            for observed in [&there, &there_twice, &foreign_twice] {
                let expected = plain(desired, observed);
                assert_eq!(compare(desired, observed), expected);
                for threads in [1, 3] {
                    let found = compare_on(threads, desired, observed, |_, _| Fields::NONE);
                    assert!(found == expected, "{stride} {threads}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_row_is_in_exactly_one_part((desired, observed) in sides()) {
        let found = compare(&desired, &observed);
        let repeated = |side: fn(&Repeated) -> usize| found.repeated.iter().map(side).sum::<usize>();
        let pairs = found.equal + found.differing.len();
        prop_assert_eq!(pairs + found.missing.len() + repeated(|r| r.desired.len()), desired.len());
        prop_assert_eq!(pairs + found.unclaimed.len() + repeated(|r| r.observed.len()), observed.len());
    }

    #[test]
    fn a_number_fits_exactly_or_not_at_all(mantissa in any::<i64>(), scale in 0_u32..=18, zeros in 0_u32..4) {
        let value = Decimal::new(mantissa, scale);
        let fixed = Fixed::new(value);
        let mut padded = value;
        padded.rescale(scale + zeros);
        if padded == value {
            prop_assert_eq!(fixed, Fixed::new(padded));
        }
        let whole = value.checked_mul(Decimal::from(1_000_000)).filter(|v| v.fract().is_zero());
        let expected = whole.and_then(|v| v.normalize().to_string().parse::<i64>().ok());
        prop_assert_eq!(fixed, expected.map(Fixed::from_millionths));
    }

    #[test]
    fn days_sort_as_dates(a in -9999_i16..=9999, b in -9999_i16..=9999, m in 1_i8..=12, n in 1_i8..=12, d in 1_i8..=28, e in 1_i8..=28) {
        let (x, y) = (jiff::civil::date(a, m, d), jiff::civil::date(b, n, e));
        prop_assert_eq!(x.cmp(&y), Day::from(x).cmp(&Day::from(y)));
        prop_assert!(Day::from(x) < Day::OPEN);
    }

    /// Numbers that fit a row and numbers that do not: always the fields that truly differ.
    #[test]
    fn drift_finds_what_plain_comparison_finds(
        lines in prop::collection::vec((numbers(), numbers(), 0_u8..4), 0..30),
        threads in 1_usize..=4,
    ) {
        let mut lab = Case::new();
        let mut expected = Vec::new();
        for (id, (written, there, kind)) in (1_i64..).zip(lines) {
            let (written, there) = (state(&written.0, &written.1), state(&there.0, &there.1));
            match kind {
                0 => {
                    lab.wrote(id, &written);
                    expected.push((id, Code::Tu3008));
                }
                1 => lab.holds(id, &there),
                _ => {
                    if written != there {
                        expected.push((id, Code::Tu7002));
                    }
                    lab.wrote(id, &written);
                    lab.holds(id, &there);
                }
            }
        }
        lab.links.reverse();
        let found: Vec<_> = lab.findings().iter().map(|f| (f.subject.addition.unwrap().0, f.code)).collect();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(drift_on(threads, &lab.links, &lab.snapshot), drift(&lab.links, &lab.snapshot));
    }
}

fn numbers() -> impl Strategy<Value = (String, String)> {
    let number = prop_oneof![
        Just("0"),
        Just("0.00"),
        Just("5"),
        Just("5.0"),
        Just("0.0000001"),
        Just("0.0000002"),
        Just("999999999999999"),
        Just("22.00"),
        Just("12.064516129"),
    ];
    (number.clone(), number).prop_map(|(a, b)| (a.to_owned(), b.to_owned()))
}

fn state(quantity: &str, price: &str) -> AdditionState {
    AdditionState {
        catalog_item: CatalogItemId(7),
        quantity: quantity.parse().unwrap(),
        unit_price: price.parse().unwrap(),
        unit_cost: "17.60".parse().unwrap(),
        effective: day("2026-03-01"),
        cancelled: None,
        bill: BillFlag::Billable,
        taxable: None,
        description: None,
        invoice_description: None,
    }
}

/// Links and a snapshot of one agreement in USD.
struct Case {
    links: Vec<AdditionLink>,
    snapshot: Snapshot,
}

impl Case {
    fn new() -> Self {
        let lab = Lab::monthly("2026-01-01", "2026-04-01");
        Self { links: Vec::new(), snapshot: lab.snapshot.clone() }
    }

    fn wrote(&mut self, id: i64, state: &AdditionState) -> &mut AdditionLink {
        self.links.push(AdditionLink {
            addition: AdditionId(id),
            agreement: AgreementId(40),
            source: "market".into(),
            subscription: "s-1".into(),
            product: "seat".into(),
            role: Role::Recurring,
            order: None,
            key: None,
            true_period: None,
            edits: Vec::new(),
            ends: Vec::new(),
            written: state.clone(),
            next_invoice_at_write: None,
            prorated: Default::default(),
            deleted: false,
        });
        self.links.last_mut().unwrap()
    }

    fn holds(&mut self, id: i64, state: &AdditionState) {
        self.snapshot.additions.get_mut(&AgreementId(40)).unwrap().push(ObservedAddition {
            id: AdditionId(id),
            agreement: AgreementId(40),
            state: state.clone(),
            less_included: Quantity::ZERO,
            marker: None,
            last_updated: None,
        });
    }

    fn findings(&self) -> Vec<Finding> {
        drift(&self.links, &self.snapshot).findings
    }

    fn told(&self) -> Vec<String> {
        self.findings().iter().map(|f| format!("{} {}", f.code, f.message)).collect()
    }
}

#[test]
fn a_changed_line_names_each_field_and_the_money() {
    let mut case = Case::new();
    let written = state("5", "22");
    let mut there = state("7.0", "22.50");
    there.effective = day("2026-03-02");
    there.description = Some("Not ours to say".into());
    case.wrote(9, &written);
    case.holds(9, &there);
    let drift = drift(&case.links, &case.snapshot);
    assert_eq!(drift.unchanged, 0);
    assert_eq!(
        drift.findings[0].message,
        "Addition 9 (seat, recurring) was changed by a person: quantity from 5 to 7, unit price from 22.00 to \
         22.50, effective date from 2026-03-01 to 2026-03-02. It bills 7 x 22.50 = 157.50 instead of 5 x 22.00 \
         = 110.00: 47.50 USD more. It costs 7 x 17.60 = 123.20 instead of 5 x 17.60 = 88.00: 35.20 USD more."
    );
    assert_eq!(drift.findings[0].amount.unwrap().0, "47.50".parse::<Money>().unwrap());
}

#[test]
fn texts_and_flags_count_where_trueup_wrote_them() {
    let mut case = Case::new();
    let mut written = state("5", "22");
    written.invoice_description = Some("Seats".into());
    written.taxable = Some(true);
    let mut there = written.clone();
    there.invoice_description = None;
    there.taxable = Some(false);
    there.bill = BillFlag::DoNotBill;
    case.wrote(9, &written);
    case.holds(9, &there);
    assert_eq!(
        case.told(),
        [
            "TU7002 Addition 9 (seat, recurring) was changed by a person: billing from billable to do not bill, \
          taxable from yes to no, invoice description from `Seats` to none. It bills nothing instead of 5 x \
          22.00 = 110.00: 110.00 USD less."
        ]
    );
}

/// What a person includes of a line that trueup made is not billed; of one that was there before, it always was so.
#[test]
fn an_included_quantity_of_an_own_line_is_an_edit() {
    let mut case = Case::new();
    let written = state("8", "22");
    case.wrote(9, &written).key = Some(OperationKey("tu00".into()));
    case.wrote(10, &written);
    for id in [9, 10] {
        case.holds(id, &written);
    }
    for line in case.snapshot.additions.get_mut(&AgreementId(40)).unwrap() {
        line.less_included = 2.into();
    }
    let drift = drift(&case.links, &case.snapshot);
    assert_eq!(drift.unchanged, 1);
    assert_eq!(
        case.told(),
        [
            "TU7002 Addition 9 (seat, recurring) was changed by a person: included quantity from none to 2. It bills (8 - 2) \
          x 22.00 = 132.00 instead of 8 x 22.00 = 176.00: 44.00 USD less. It costs (8 - 2) x 17.60 = 105.60 instead of 8 x \
          17.60 = 140.80: 35.20 USD less."
        ]
    );
}

#[test]
fn ended_reopened_moved_and_gone_are_told_apart() {
    let mut case = Case::new();
    let open = state("5", "22");
    let mut ended = open.clone();
    ended.cancelled = Some(day("2026-03-31"));
    let mut later = open.clone();
    later.cancelled = Some(day("2026-04-30"));
    for (id, written, there) in [(1, &open, &ended), (2, &ended, &open), (3, &ended, &later)] {
        case.wrote(id, written);
        case.holds(id, there);
    }
    case.wrote(4, &open);
    case.wrote(5, &open).deleted = true;
    case.wrote(6, &open).agreement = AgreementId(41);
    case.wrote(7, &open);
    case.holds(7, &open);
    case.holds(8, &open);
    assert_eq!(
        case.told(),
        [
            "TU3008 Addition 1 (seat, recurring) was ended by a person on 2026-03-31; it stays ended until told \
             otherwise. It billed 5 x 22.00 = 110.00 USD.",
            "TU3008 Addition 2 (seat, recurring) was ended by trueup on 2026-03-31 and opened again by a person. \
             It bills 5 x 22.00 = 110.00 USD.",
            "TU3008 Addition 3 (seat, recurring) ends on 2026-04-30 instead of 2026-03-31: a person moved its \
             last billed day. It billed 5 x 22.00 = 110.00 USD.",
            "TU3008 Addition 4 (seat, recurring) is not in ConnectWise any more. It billed 5 x 22.00 = 110.00 USD.",
        ]
    );
    let drift = drift(&case.links, &case.snapshot);
    assert_eq!((drift.unchanged, drift.unread, drift.foreign), (1, 1, 1));
}

#[test]
fn what_occurs_twice_is_reported_and_matched_with_nothing() {
    let mut case = Case::new();
    let open = state("5", "22");
    case.wrote(1, &open);
    case.holds(1, &open);
    case.holds(1, &open);
    case.wrote(2, &open);
    case.wrote(2, &open).subscription = "s-2".into();
    case.holds(2, &open);
    assert_eq!(
        case.told(),
        [
            "TU8002 ConnectWise listed addition 1 2 times (agreement 40): the list moved while it was read.",
            "TU8006 Addition 2 is remembered 2 times: seat of subscription s-1 (market), seat of subscription s-2 \
             (market).",
        ]
    );
}

#[test]
fn further_fields_are_asked_of_pairs_only() {
    let desired = [row(2, 1, 1), row(1, 1, 1), row(5, 1, 1)];
    let observed = [row(1, 1, 1), row(2, 1, 1), row(9, 1, 1)];
    let found = compare_with(&desired, &observed, |at, place| {
        assert_eq!(desired[at].key, observed[place].key);
        if at == 1 { Fields::of(Field::Bill) } else { Fields::NONE }
    });
    assert_eq!(found.equal, 1);
    assert_eq!(found.differing[0].fields.iter().collect::<Vec<_>>(), [Field::Bill]);
    assert_eq!((found.missing, found.unclaimed), (vec![2], vec![2]));
}
