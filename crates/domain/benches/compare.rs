//! The comparison of 1,000,000 desired with as many observed additions, in memory.
//!
//! `cargo bench -p trueup-domain --bench compare` measures the kernel (median of five runs, and the peak of resident
//! memory before anything else is built), then the whole of drift: full records compared, and every difference
//! explained with its fields, formula and money. `benches/compare.sh` runs it beside Polars on the
//! same rows, which `--write FILE` leaves in a file. Both lists are shuffled; 6.95 % of the rows differ.
#![allow(clippy::panic, reason = "a benchmark whose result is wrong stops")]

mod common;

use common::{Lcg, measure, report};
use std::collections::BTreeMap;
use std::io::Write as _;
use trueup_domain::Decimal;
use trueup_domain::desired::{Comparison, Row, compare, drift};
use trueup_domain::ids::{AdditionId, AgreementId, CatalogItemId, CompanyId};
use trueup_domain::money::{Money, Quantity};
use trueup_domain::period::BillingCycle;
use trueup_domain::plan::{AdditionLink, Role};
use trueup_domain::psa::{AdditionState, Agreement, AgreementStatus, BillFlag, ObservedAddition, Snapshot};

/// Of 10,000 additions so many differ in a field, are gone, or are there and nobody asks for them.
const CHANGED: usize = 600;
const GONE: usize = 95;
const FOREIGN: usize = 95;

fn key_of(number: usize) -> i64 {
    // Ids of one tenant ascend, with holes where additions were deleted.
    100_000 + 3 * number as i64 + (number % 3) as i64
}

/// What addition `number` was written as.
fn written(number: usize) -> AdditionState {
    AdditionState {
        catalog_item: CatalogItemId(1 + (number % 400) as i64),
        quantity: Quantity::from(1 + (number % 97) as i64),
        unit_price: Money::new(Decimal::new(500 + (number * 7 % 9_000) as i64, 2)),
        unit_cost: Money::new(Decimal::new(400 + (number * 7 % 8_000) as i64, 2)),
        effective: jiff::civil::date(2020 + (number % 6) as i16, 1 + (number % 12) as i8, 1),
        cancelled: None,
        bill: BillFlag::Billable,
        taxable: None,
        description: None,
        invoice_description: None,
    }
}

/// What is there in its place: every 10,000 additions hold the same share of each kind of difference.
fn observed(number: usize) -> Option<AdditionState> {
    let mut state = written(number);
    match number * 7_919 % 10_000 {
        place if place < CHANGED => match place % 4 {
            0 | 1 => state.quantity = Quantity::from(100 + (number % 50) as i64),
            2 => state.unit_price = Money::new(Decimal::new(10_000 + (number % 999) as i64, 2)),
            _ => state.cancelled = Some(jiff::civil::date(2026, 1 + (number % 12) as i8, 28)),
        },
        place if place < CHANGED + GONE => return None,
        _ => {}
    }
    Some(state)
}

fn row(key: i64, state: &AdditionState) -> Row {
    Row::new(key, state).unwrap_or_else(|| panic!("addition {key} does not fit a row"))
}

/// Both lists: `count` additions a side.
fn rows(count: usize) -> (Vec<Row>, Vec<Row>) {
    let mut desired = Vec::with_capacity(count);
    let mut there = Vec::with_capacity(count);
    for number in 0..count {
        desired.push(row(key_of(number), &written(number)));
        there.extend(observed(number).map(|state| row(key_of(number), &state)));
    }
    there.extend((count..count + count / 10_000 * FOREIGN).map(|n| row(key_of(n), &written(n))));
    let mut random = Lcg(20_260_301);
    random.shuffle(&mut desired);
    random.shuffle(&mut there);
    (desired, there)
}

/// The rows as they lie in memory, desired first, each field little-endian.
fn write(path: &str, sides: [&[Row]; 2]) -> std::io::Result<()> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    for row in sides.into_iter().flatten() {
        let wide = [row.key, row.item, row.quantity.millionths(), row.unit_price.millionths()];
        for value in wide.into_iter().chain([row.unit_cost.millionths()]) {
            file.write_all(&value.to_le_bytes())?;
        }
        for day in [row.effective, row.cancelled] {
            file.write_all(&day.number().to_le_bytes())?;
        }
    }
    file.flush()
}

/// Full records: ten additions an agreement, the lists shuffled within what a snapshot's shape allows.
fn records(count: usize) -> (Vec<AdditionLink>, Snapshot) {
    let currency = "USD".parse().ok();
    let agreement_of = |number: usize| AgreementId(1 + (number / 10) as i64);
    let mut snapshot = Snapshot::default();
    let mut links = Vec::with_capacity(count);
    for number in 0..count + count / 10_000 * FOREIGN {
        let agreement = agreement_of(number);
        let ours = number < count;
        let state = if ours { observed(number) } else { Some(written(number)) };
        if ours {
            links.push(AdditionLink {
                addition: AdditionId(key_of(number)),
                agreement,
                source: "market".into(),
                subscription: format!("SUB-{:07}", number / 10).into(),
                product: format!("PRD-{:03}", number % 400).into(),
                role: Role::Recurring,
                order: Some(format!("SO-{:07}", number / 10).into()),
                key: None,
                true_period: None,
                edits: Vec::new(),
                ends: Vec::new(),
                written: written(number),
                next_invoice_at_write: None,
                prorated: Default::default(),
                deleted: false,
            });
        }
        snapshot.agreements.entry(agreement).or_insert_with(|| Agreement {
            id: agreement,
            name: format!("Agreement {agreement}"),
            company: CompanyId(agreement.0),
            agreement_type: "Cloud".into(),
            status: AgreementStatus::Active,
            billing_cycle: Some(BillingCycle::MONTHLY),
            currency,
            start: None,
            end: None,
            bill_start: None,
            next_invoice: None,
            prorates: false,
            prorates_at_once: false,
            by_calendar: false,
            parent: None,
            last_updated: None,
        });
        snapshot.additions.entry(agreement).or_default().extend(state.map(|state| ObservedAddition {
            id: AdditionId(key_of(number)),
            agreement,
            state,
            less_included: Quantity::ZERO,
            marker: None,
            last_updated: None,
        }));
    }
    let mut random = Lcg(20_260_302);
    random.shuffle(&mut links);
    for additions in snapshot.additions.values_mut() {
        random.shuffle(additions);
    }
    (links, snapshot)
}

fn told(found: &Comparison) -> BTreeMap<&'static str, usize> {
    BTreeMap::from([
        ("equal", found.equal),
        ("differing", found.differing.len()),
        ("missing", found.missing.len()),
        ("unclaimed", found.unclaimed.len()),
        ("repeated", found.repeated.len()),
    ])
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let after = |flag: &str| arguments.iter().position(|a| a == flag).and_then(|at| arguments.get(at + 1));
    // Without `--bench` (as under `cargo test --all-targets`) it only shows that it runs.
    let count = if arguments.iter().any(|a| a == "--bench") { 1_000_000 } else { 10_000 };
    let (mut desired, mut there) = rows(count);
    if let Some(path) = after("--write") {
        if let Err(error) = write(path, [&desired, &there]) {
            panic!("the rows cannot be written to {path}: {error}");
        }
        println!("rows={count} file={path}");
        return;
    }
    let found = compare(&desired, &there);
    println!("rows={count} {:?}", told(&found));
    let expected = [CHANGED, GONE, FOREIGN].map(|share| count / 10_000 * share);
    assert_eq!(expected, [found.differing.len(), found.missing.len(), found.unclaimed.len()]);
    drop(found);
    report("kernel", measure("kernel", || compare(&desired, &there)));
    desired.sort_unstable_by_key(|row| row.key);
    there.sort_unstable_by_key(|row| row.key);
    report("kernel_in_order", measure("kernel_in_order", || compare(&desired, &there)));
    drop((desired, there));
    let (links, snapshot) = records(count);
    let found = drift(&links, &snapshot);
    assert_eq!(found.findings.len(), expected[0] + expected[1]);
    assert_eq!((found.unread, found.foreign), (0, expected[2]));
    for finding in found.findings.iter().take(2) {
        println!("{} {}", finding.code, finding.message);
    }
    drop(found);
    report("drift", measure("drift", || drift(&links, &snapshot)));
}
