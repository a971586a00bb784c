//! A cancellation that comes after a renewal which was ordered later and carried out first: that one goes beyond its day, and
//! has taken it back. What ends and what goes on is a person's to say.

use super::usual_last_day;
use crate::feed::{Order, OrderKind};
use crate::finding::{Code, Finding, Severity};
use crate::planner::builder::Builder;
use crate::planner::{over, twice};
use jiff::civil::Date;

/// Keeps a cancellation back that a later renewal has taken back. Whether it is kept back.
pub(super) fn is_taken_back(builder: &mut Builder<'_, '_>, order: &Order, day: Date) -> bool {
    let last = usual_last_day(builder, builder.context.agreement, day);
    let renewals = over::younger(builder).filter(|o| o.kind == OrderKind::Renewal);
    let beyond = renewals.filter(|o| o.period.last_day() > last).max_by_key(|o| o.completed_us).cloned();
    let Some(renewal) = beyond.filter(|_| twice::may_ask(builder)) else { return false };
    let message = format!(
        "Order {} cancels subscription {} for {}, and order {}, which was completed later and carried out before it, renews \
         it up to {}: nothing is ended.",
        order.shown(),
        builder.context.task.subscription,
        order.effective,
        renewal.shown(),
        renewal.period.last_day()
    );
    let finding = Finding::new(Code::Tu5001, builder.context.subject(), message).severity(Severity::Error).fix(
        "Ignore the task with a reason where the subscription goes on; where it is over after all, `--no-adopt` carries the \
         cancellation out as it stands.",
    );
    builder.withhold(finding);
    true
}
