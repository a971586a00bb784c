//! Renewals that need no task of their own, where a cancellation ends what they renew.

use super::{Run, completed_on, is_after};
use trueup_domain::feed::{Order, OrderKind};
use trueup_domain::ids::SourceId;
use trueup_domain::task::{TaskKind, task_id_of_order};

impl Run<'_> {
    /// A renewal with nothing new in it needs no task while the lines go on. Where a cancellation comes in that was ordered
    /// before it and ends them, it is what begins them again, however long ago it was looked at: it gets its task then.
    pub(super) fn renew_what_ends(&mut self) {
        let fresh = self.fresh.iter().filter_map(|id| self.tasks.get(id));
        let ends: Vec<_> = fresh.filter(|task| task.kind == TaskKind::Cancellation).cloned().collect();
        for end in &ends {
            let key = (end.source.clone(), end.subscription.clone());
            let orders = self.completed_orders_of(&key);
            let ended = orders.iter().find(|order| Some(&order.id) == end.order_id.as_ref());
            let Some(day) = ended.map(|order| order.effective) else { continue };
            let renewals: Vec<Order> = orders
                .into_iter()
                .filter(|order| order.kind == OrderKind::Renewal && order.completed_us > end.completed_us)
                .filter(|order| order.period.last_day() > day && !self.is_settled(&end.source, order))
                .cloned()
                .collect();
            for renewal in &renewals {
                self.make_task(&end.source, renewal);
                let id = &renewal.id;
                self.report.no_task.retain(|none| none.source != end.source || none.order_id != *id);
            }
        }
    }

    /// Whether an order has a task, or is none of today.
    fn is_settled(&self, source: &SourceId, order: &Order) -> bool {
        self.tasks.contains_key(&task_id_of_order(source, &order.id))
            || is_after(self.today, order, completed_on(order))
    }
}
