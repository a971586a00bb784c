//! How fast the journal is on SQLite: 64 lanes that each begin and finish one operation after the other, every step
//! durable on return. Run it with `--release`.

use futures::future::try_join_all;
use std::time::Instant;
use trueup_domain::ids::OrganizationId;
use trueup_engine::ports::{OperationOutcome, Store, StoreError};
use trueup_engine::records::{NewAuditEntry, OperationRow, OperationState};
use trueup_store::{SqlStore, StoreConfig};

const LANES: usize = 64;
const EACH: usize = 100;

async fn work(store: &SqlStore, org: &OrganizationId, lane: usize) -> Result<(), Box<dyn std::error::Error>> {
    let lease = store.acquire_lease(org, &format!("agreement/{lane}"), "example", 0, 60_000).await?;
    let lease = lease.ok_or(StoreError::Fenced)?;
    for number in 0..EACH {
        let text = format!(
            r#"{{"plan":"p","change":"c-{lane}-{number}","key":"k-{lane}-{number}","agreement":{lane},
               "state":"intent","addition":null,"fencing":0,"attempts":1,"sent_at":1,"absent_at":null,"calls":1,
               "error":null,"updated_at":1}}"#
        );
        let row: OperationRow = serde_json::from_str(&text)?;
        store.begin_operations(org, &lease, std::slice::from_ref(&row)).await?;
        let entry = NewAuditEntry {
            at: 1,
            actor: "example".to_owned(),
            action: "addition.create".to_owned(),
            object: format!("addition/{number}"),
            addition: None,
            detail: "{}".to_owned(),
        };
        let operation = OperationRow { state: OperationState::Done, ..row };
        let outcome = OperationOutcome { operation, link: None, audit: vec![entry] };
        store.finish_operations(org, &lease, &[outcome]).await?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let store = SqlStore::open(StoreConfig { data_dir: dir.path().to_owned(), database_url: None }).await?;
    let org = OrganizationId::from("demo");
    let begun = Instant::now();
    try_join_all((0..LANES).map(|lane| work(&store, &org, lane))).await?;
    let taken_ms = begun.elapsed().as_millis().max(1);
    let operations = (LANES * EACH) as u128;
    println!("{operations} operations in {taken_ms} ms: {} operations/s", operations * 1000 / taken_ms);
    Ok(())
}
