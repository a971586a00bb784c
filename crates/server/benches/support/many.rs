//! A year of work as a list of tasks.

use super::bench::Service;
use trueup_domain::ids::{CustomerId, OrderId, OrganizationId, SourceId, SubscriptionId, TaskId};
use trueup_domain::task::{Task, TaskKind, TaskState};
use trueup_engine::ports::Store as _;

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
        customer: CustomerId::from(format!("c-{:04}", number % 900)),
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
        for (part, at) in all.chunks(5_000).zip(1_i64..) {
            store.save_tasks(&org, at, part).await.unwrap();
        }
    });
}
