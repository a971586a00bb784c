//! How fast orders come into SQLite: 200,000 synthetic orders of three lines in batches of 5,000, once new, once
//! unchanged, once changed. Run it with `--release`.

use std::time::Instant;
use trueup_domain::feed::Record;
use trueup_engine::ports::Store;
use trueup_engine::records::IncomingRecord;
use trueup_store::{SqlStore, StoreConfig};

const ORDERS: usize = 200_000;
const BATCH: usize = 5_000;
const LINES: usize = 3;

fn order(number: usize, revision: usize) -> Result<IncomingRecord, serde_json::Error> {
    let lines: Vec<String> = (0..LINES)
        .map(|line| {
            format!(
                r#"{{"id":"l-{line}","charge":"recurring","product":"p-{}","item":null,"quantity":"{}",
                   "unit_price":"12.50","unit_cost":"10.00","old_unit_price":null,"old_unit_cost":null,
                   "old_quantity":null,"new_quantity":null,"amount":"{}.50","cost_amount":null,"period":null,
                   "description":"Mailbox, monthly"}}"#,
                number % 200 + line,
                number % 50 + 1,
                number % 1_000
            )
        })
        .collect();
    let text = format!(
        r#"{{"order":{{"id":"order-{number:08}","number":"SO-{number}","kind":"sales","subscription":"sub-{}",
           "customer":"cust-{}","completed_at":"2026-03-01T10:00:00Z","completed_us":1772359200000000,
           "created_at":null,"effective":"2026-03-01","period":{{"start":"2026-03-01","end":"2026-04-01"}},
           "currency":"EUR","status":"completed","po_number":"{revision}","lines":[{}],"ext":{{}}}}}}"#,
        number / 2,
        number / 40,
        lines.join(",")
    );
    let record: Record = serde_json::from_str(&text)?;
    Ok(IncomingRecord {
        record,
        id: format!("order-{number:08}"),
        hash: format!("{number:056x}{revision:08x}"),
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let store = SqlStore::open(StoreConfig { data_dir: dir.path().to_owned(), database_url: None }).await?;
    let (org, source) = ("demo".into(), "market".into());
    store.ensure_organization(&org).await?;
    for (what, revision) in [("new", 0), ("unchanged", 0), ("changed", 1)] {
        let records = (0..ORDERS).map(|n| order(n, revision)).collect::<Result<Vec<_>, _>>()?;
        let begun = Instant::now();
        for batch in records.chunks(BATCH) {
            store.save_records(&org, &source, 1, batch).await?;
        }
        let taken_ms = begun.elapsed().as_millis().max(1);
        println!(
            "{what}: {ORDERS} orders, {} order lines in {taken_ms} ms: {} orders/s, {} lines/s",
            ORDERS * LINES,
            ORDERS as u128 * 1000 / taken_ms,
            (ORDERS * LINES) as u128 * 1000 / taken_ms
        );
    }
    store.close().await?;
    Ok(())
}
