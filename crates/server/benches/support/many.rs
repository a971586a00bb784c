//! A year of work as a list of tasks.

use super::bench::Service;
use serde_json::json;
use trueup_domain::ids::{CustomerId, OrderId, OrganizationId, SourceId, SubscriptionId, TaskId};
use trueup_domain::mapping::{Mapping, MappingKind, MappingOrigin};
use trueup_domain::psa::Snapshot;
use trueup_domain::task::{Task, TaskKind, TaskState};
use trueup_engine::ports::Store as _;
use trueup_engine::records::{IncomingRecord, PictureState, PulledEnd};
use trueup_store::SqlStore;

/// Whom they are sold to.
const CUSTOMERS: u64 = 900;
const SOURCES: [&str; 2] = ["shop", "market"];

/// Two thirds done; as old and as mixed as a year of work leaves them.
fn task(number: u64) -> Task {
    let kinds = [TaskKind::Sales, TaskKind::Change, TaskKind::Billing, TaskKind::Cancellation];
    let state = match number % 12 {
        0 => TaskState::Ready,
        1 => TaskState::NeedsMapping,
        2 => TaskState::Failed,
        3 => TaskState::Ignored,
        _ => TaskState::Done, // the others
    };
    Task {
        id: TaskId::from(format!("tk{:014x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 8)),
        source: SourceId::from(if number.is_multiple_of(3) { "market" } else { "shop" }),
        kind: kinds[usize::try_from(number % 4).unwrap()],
        customer: CustomerId::from(format!("c-{:04}", number % CUSTOMERS)),
        subscription: SubscriptionId::from(format!("s-{:06}", number / 3)),
        order_id: Some(OrderId::from(format!("SO-{number:06}"))),
        completed_us: 1_735_689_600_000_000 + i64::try_from(number).unwrap() * 300_000_000,
        turn: 0,
        state,
        reason: (state == TaskState::Failed).then(|| "TU7004".to_owned()),
        decided_by: None,
        price_source: None,
        amendments: Vec::new(),
        undone: 0,
    }
}

/// Gives the organization of a service so many tasks.
pub fn fill(service: &mut Service, tasks: u64) {
    service.behind_its_back(async |store| {
        let all: Vec<Task> = (0..tasks).map(task).collect();
        let org = OrganizationId::from("default");
        name(store, &org).await;
        for (part, at) in all.chunks(5_000).zip(1_i64..) {
            store.save_tasks(&org, at, part).await.unwrap();
        }
    });
}

/// Gives every customer a name, and a company in ConnectWise with another one.
async fn name(store: &SqlStore, org: &OrganizationId) {
    for source in SOURCES.map(SourceId::from) {
        let customer = |number: u64| {
            let id = format!("c-{number:04}");
            let document =
                json!({ "customer": { "id": id, "name": format!("Customer {number} Ltd"), "ext": {} } });
            IncomingRecord { record: serde_json::from_value(document).unwrap(), hash: id.clone(), id }
        };
        let mapping = |number: u64| Mapping {
            kind: MappingKind::Customer,
            source: source.clone(),
            source_id: format!("c-{number:04}"),
            psa_id: i64::try_from(number).ok(),
            scope: String::new(),
            options: std::collections::BTreeMap::new(),
            origin: MappingOrigin::Person,
        };
        let customers: Vec<_> = (0..CUSTOMERS).map(customer).collect();
        let mappings: Vec<_> = (0..CUSTOMERS).map(mapping).collect();
        store.save_records(org, &source, 1, &customers).await.unwrap();
        store.save_mappings(org, 1, &mappings).await.unwrap();
    }
    let company = |id: u64| {
        let name = format!("Company {id} Inc");
        let document =
            json!({ "id": id, "identifier": name, "name": name, "state": "active", "currency": "USD" });
        (id.to_string(), document)
    };
    let companies: serde_json::Map<_, _> = (0..CUSTOMERS).map(company).collect();
    let read = json!({ "companies": companies, "agreements": {}, "additions": {}, "catalog": {} });
    let read: Snapshot = serde_json::from_value(read).unwrap();
    let state = PictureState { at: 1, watermark: None, runs: 1, shared_at: None };
    let end = PulledEnd { state, whole: true, lists: true, gone: Vec::new(), unread: Vec::new() };
    store.begin_pull(org, "main", "p").await.unwrap();
    store.stage_pull(org, "main", "p", 1, &read).await.unwrap();
    store.finish_pull(org, "main", "p", &end).await.unwrap();
}
