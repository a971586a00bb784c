//! Ten million lines of usage as CSV, added up to exact sums a subscription, product and month: a million of them (B5).
//!
//! `cargo bench -p trueup-sources --bench usage [-- --lines N]` writes the file, adds it up five times and compares the
//! totals with those that were reckoned while it was written. `--write FILE` only writes it, `--file FILE` only adds it up;
//! `benches/usage.sh` runs it beside DuckDB and Polars on the same file.
#![allow(clippy::panic, reason = "a benchmark whose result is wrong stops")]

#[path = "../../domain/benches/common/mod.rs"]
mod common;

use common::{Lcg, measure, report, report_beside, reset_peak};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use trueup_sources::{SumTotals, sum_usage};

/// Products of each subscription.
const PRODUCTS: usize = 10;
/// Lines of each sum, on an average.
const LINES_OF_A_SUM: u64 = 10;

/// Quantities and amounts in units of 10^-6 and 10^-12.
type Written = (u64, i128, i128);

fn write(path: &Path, lines: u64) -> std::io::Result<Written> {
    let mut file = std::io::BufWriter::with_capacity(1 << 20, std::fs::File::create(path)?);
    file.write_all(b"id,subscription,product,quantity,unit,unit_price,currency,start,end\n")?;
    let subscriptions = usize::try_from(lines / LINES_OF_A_SUM).unwrap_or(usize::MAX) / PRODUCTS;
    let mut rng = Lcg(7);
    let (mut quantities, mut amounts) = (0_i128, 0_i128);
    for line in 0..lines {
        let subscription = rng.below(subscriptions.max(1));
        let product = rng.below(PRODUCTS);
        let quantity = 1 + rng.below(99_999_999);
        let price = 1 + rng.below(9_999_999);
        let (day, hour) = (1 + rng.below(27), rng.below(24));
        writeln!(
            file,
            "u-{line:09},sub-{subscription:07},meter-{product:02},{}.{:06},GB,{}.{:06},EUR,2026-10-{day:02}T{hour:02}:00:00Z,\
             2026-10-{:02}T{hour:02}:00:00Z",
            quantity / 1_000_000,
            quantity % 1_000_000,
            price / 1_000_000,
            price % 1_000_000,
            day + 1,
        )?;
        quantities += quantity as i128;
        amounts += quantity as i128 * price as i128;
    }
    file.flush()?;
    Ok((lines, quantities, amounts))
}

/// A decimal with so many places, without zeros at its end.
fn decimal(units: i128, places: usize) -> String {
    let shift = 10_i128.pow(u32::try_from(places).unwrap_or(0));
    let text = format!("{}.{:0places$}", units / shift, units % shift);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn sum(files: &[PathBuf]) -> (u64, SumTotals) {
    let sums = sum_usage(files, true).unwrap_or_else(|refusal| panic!("{}", refusal.reason));
    assert!(sums.refused.is_empty(), "{:?}", sums.refused.first());
    let totals = sums.totals().unwrap_or_else(|refusal| panic!("{}", refusal.reason));
    (sums.lines, totals)
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1)).cloned()
    };
    let in_earnest = arguments.iter().any(|argument| argument == "--bench");
    let asked = value("--lines").and_then(|lines| lines.parse().ok());
    let lines: u64 = asked.unwrap_or(if in_earnest { 10_000_000 } else { 20_000 });
    let fail = |error: std::io::Error| -> Written { panic!("the lines cannot be written: {error}") };
    if let Some(path) = value("--write") {
        write(Path::new(&path), lines).unwrap_or_else(fail);
        return;
    }
    let given = value("--file").map(PathBuf::from);
    let own = std::env::temp_dir().join(format!("trueup-usage-{}.csv", std::process::id()));
    let written = given.is_none().then(|| write(&own, lines).unwrap_or_else(fail));
    let files = [given.unwrap_or_else(|| own.clone())];
    let before = reset_peak();
    // What the binary does once a process; runs after it find memory that the first one left.
    drop(sum(&files));
    report_beside("usage_once", (0, 0, 0), before);
    report("usage", measure("usage", || sum(&files)));
    let (counted, totals) = sum(&files);
    let amounts: Vec<String> =
        totals.amounts.iter().map(|(currency, sums)| format!("{currency}={}", sums.amount)).collect();
    let sums = totals.sums;
    println!("usage_totals: lines={counted} sums={sums} quantity={} {}", totals.quantity, amounts.join(" "));
    if let Some((lines, quantities, value)) = written {
        let _ = std::fs::remove_file(&own);
        assert_eq!(counted, lines);
        assert_eq!(totals.quantity.to_string(), decimal(quantities, 6));
        assert_eq!(amounts, [format!("EUR={}", decimal(value, 12))]);
    }
}
