//! Taking in 1,000,000 order lines through the binary into SQLite: lines a second, and memory that stays flat.
//!
//! `cargo bench -p trueup-server --bench import [-- --lines N]`. Five lines an order, then one line an order, which is the
//! dearest there is: every order is a record with its own version and hash.
#![allow(clippy::panic, reason = "a benchmark whose result is wrong stops")]

mod support;

use std::io::Write as _;
use std::path::Path;
use support::{in_earnest, number, trueup};

const GOAL_LINES_A_SECOND: u128 = 100_000;
/// The peak at the whole file may be so many percent of the peak at a quarter of it.
const GOAL_FLAT_PERCENT: u64 = 115;

fn write(path: &Path, lines: u64, of_an_order: u64) -> std::io::Result<()> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    for order in 0..lines / of_an_order {
        write!(
            file,
            "{{\"type\":\"order\",\"id\":\"SO-{order:07}\",\"kind\":\"sales\",\"subscription\":\"s-{}\",\
             \"completed_at\":\"2026-03-{:02}T09:00:00Z\",\"period\":{{\"start\":\"2026-03-01\",\"end\":\"2026-04-01\"}},\
             \"currency\":\"USD\",\"lines\":[",
            order / 3,
            1 + order % 28
        )?;
        for line in 0..of_an_order {
            let comma = if line == 0 { "" } else { "," };
            write!(
                file,
                "{comma}{{\"id\":\"{}\",\"charge\":\"recurring\",\"product\":\"prd-{}\",\"quantity\":\"{}\",\
                 \"unit_price\":\"{}.25\",\"unit_cost\":\"{}.10\"}}",
                line + 1,
                (order + line) % 400,
                1 + order % 97,
                10 + order % 90,
                5 + order % 80
            )?;
        }
        file.write_all(b"]}\n")?;
    }
    file.flush()
}

/// Milliseconds and the peak of memory in MiB.
fn import(lines: u64, of_an_order: u64) -> (u128, u64) {
    let dir = tempfile::tempdir().unwrap_or_else(|error| panic!("no directory: {error}"));
    let file = dir.path().join("orders.ndjson");
    if let Err(error) = write(&file, lines, of_an_order) {
        panic!("the lines cannot be written: {error}");
    }
    let name = file.display().to_string();
    let ran = trueup(&dir.path().join("data"), &[], &["feed", "import", &name]);
    assert_eq!(ran.document["records"]["order"]["new"], lines / of_an_order, "{}", ran.document);
    (ran.took.as_millis().max(1), ran.peak_mib)
}

fn main() {
    let lines = number("--lines").unwrap_or(if in_earnest() { 1_000_000 } else { 4_000 });
    for of_an_order in [5, 1] {
        let (_, quarter) = import(lines / 4, of_an_order);
        let (took, whole) = import(lines, of_an_order);
        let speed = u128::from(lines) * 1_000 / took;
        let verdict = if speed >= GOAL_LINES_A_SECOND { "met" } else { "MISSED" };
        println!(
            "import, lines of an order {of_an_order}: {lines} lines in {took} ms, {speed} lines/s, goal at least \
             {GOAL_LINES_A_SECOND}: {verdict}"
        );
        let percent = whole * 100 / quarter.max(1);
        let verdict = if percent <= GOAL_FLAT_PERCENT { "met" } else { "MISSED" };
        println!(
            "memory, lines of an order {of_an_order}: {quarter} MiB at {} lines, {whole} MiB at {lines}, {percent} %, \
             goal at most {GOAL_FLAT_PERCENT} %: {verdict}",
            lines / 4
        );
    }
}
