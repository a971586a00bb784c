//! A cancellation that comes after a renewal or a transfer which was ordered later and carried out first: that one goes
//! beyond its day, and has taken it back. What ends and what goes on is a person's to say.

use super::usual_last_day;
use crate::feed::{Order, OrderKind};
use crate::finding::{Code, Finding, Severity};
use crate::planner::builder::Builder;
use crate::planner::{over, twice};
use jiff::civil::Date;

/// Keeps a cancellation back that a later renewal or transfer has taken back. Whether it is kept back.
pub(super) fn is_taken_back(builder: &mut Builder<'_, '_>, order: &Order, day: Date) -> bool {
    let last = usual_last_day(builder, builder.context.agreement, day);
    let goes_beyond = |o: &&Order| match o.kind {
        OrderKind::Renewal => o.period.last_day() > last,
        OrderKind::Transfer => o.effective > last,
        OrderKind::Sales | OrderKind::Change | OrderKind::Billing | OrderKind::Cancellation => false,
    };
    let beyond = over::younger(builder).filter(goes_beyond).max_by_key(|o| o.completed_us).cloned();
    let Some(later) = beyond.filter(|_| twice::may_ask(builder)) else { return false };
    let what = match later.kind {
        OrderKind::Transfer => format!("moves it to another customer on {}", later.effective),
        _ => format!("renews it up to {}", later.period.last_day()), // open set: a renewal
    };
    let message = format!(
        "Order {} cancels subscription {} for {}, and order {}, which was completed later and carried out before it, {what}: \
         nothing is ended.",
        order.shown(),
        builder.context.task.subscription,
        order.effective,
        later.shown(),
    );
    let finding = Finding::new(Code::Tu5001, builder.context.subject(), message).severity(Severity::Error).fix(
        "Ignore the task with a reason where the subscription goes on; where it is over after all, `--no-adopt` carries the \
         cancellation out as it stands.",
    );
    builder.withhold(finding);
    true
}
