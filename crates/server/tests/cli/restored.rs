//! A data directory that was lost, or put back from before the last runs: what ConnectWise holds by then is trueup's own
//! work, which only the keys of the lines tell.

use super::bench::{BASE, Bench, MAPPINGS, order, sale, upgrade};
use rstest::rstest;
use serde_json::Value;
use std::path::Path;

/// Quantity, price, first and last day of each addition.
fn lines(bench: &Bench) -> Vec<String> {
    let state = bench.ask("state");
    let rows = state["resources"]["finance/agreements/{id}/additions"]["40"].as_array().cloned();
    let day = |value: &Value| value.as_str().unwrap_or("open").chars().take(10).collect::<String>();
    let told = |row: &Value| {
        let (from, to) = (day(&row["effectiveDate"]), day(&row["cancelledDate"]));
        format!("{} x {}, {from} to {to}", row["quantity"], row["unitPrice"])
    };
    let mut lines: Vec<String> = rows.unwrap_or_default().iter().map(told).collect();
    lines.sort();
    lines
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(to).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    for file in std::fs::read_dir(from).unwrap() {
        let path = file.unwrap().path();
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// Takes the orders in, day after day, each carried out at once. After so many of them the data directory is put back to
/// where it was after so many others, and all that it does not know of is taken in anew. Returns what is there in the end.
fn after(
    settings: &[(&str, &str)],
    orders: &[(&str, String)],
    put_back: Option<(usize, usize)>,
) -> Vec<String> {
    let mut bench = Bench::new("2023-03-01");
    bench.connect("2023-03-01");
    for (name, value) in settings {
        bench.json(&["setting", "set", name, value]).exits(0);
    }
    bench.feed(BASE).exits(0);
    bench.map(MAPPINGS).exits(0);
    let (data, old) = (bench.path("data"), bench.path("old"));
    let run = |bench: &Bench| {
        bench.json(&["check"]).exits(0);
        bench.json(&["apply", "--all"]).exits(0);
    };
    for n in 0..=orders.len() {
        if put_back.is_some_and(|(_, kept)| kept == n) {
            copy(&data, &old);
        }
        if put_back.is_some_and(|(at, _)| at == n) {
            copy(&old, &data);
            let again: String = orders.iter().take(n).map(|(_, order)| order.as_str()).collect();
            bench.feed(&again).exits(0);
            run(&bench);
        }
        let Some((day, order)) = orders.get(n) else { break };
        bench.on(day);
        bench.feed(order).exits(0);
        run(&bench);
    }
    let again = bench.json(&["apply", "--all"]).exits(0).json();
    assert_eq!(again["changes"], serde_json::json!([]), "{again}");
    let pulled = bench.json(&["psa", "pull"]).exits(0).json();
    assert_eq!(pulled["as_written"], pulled["additions"], "all of them are known: {pulled}");
    lines(&bench)
}

fn change(id: &str, day: &str, old: i64, new: i64) -> String {
    let delta = new - old;
    let line =
        format!(r#""charge":"recurring","quantity":"{delta}","old_quantity":"{old}","new_quantity":"{new}""#);
    order(id, "change", day, &line)
}

fn cancellation(day: &str) -> String {
    let text = order("CA-1", "cancellation", day, r#""charge":"recurring","quantity":"8""#);
    let (head, _) = text.split_once("\"lines\"").unwrap();
    format!("{head}\"lines\":[]}}\n")
}

/// What an older journal does not know of is not written twice, and is ours to go on with.
#[rstest]
fn a_journal_that_is_behind_goes_on_with_its_own_lines(
    #[values("end_and_create", "edit_in_place")] how: &str,
    #[values("up", "down", "end")] last: &str,
) {
    let next = match last {
        "up" => change("CH-2", "2023-03-20", 8, 10),
        "down" => change("CH-2", "2023-03-20", 8, 3),
        _ => cancellation("2023-03-20"),
    };
    let orders = [("2023-03-01", sale()), ("2023-03-15", upgrade()), ("2023-03-20", next)];
    let settings = [("quantity_change", how)];
    let straight = after(&settings, &orders, None);
    for put_back in [(2, 0), (2, 1)] {
        assert_eq!(after(&settings, &orders, Some(put_back)), straight, "{put_back:?}");
    }
}
