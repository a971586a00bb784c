//! Orders whose lines are there and that the journal does not know of: it was lost, or put back from before they were
//! carried out. What trueup wrote carries a key that is made of the order itself, so that it is known again.

use super::builder::Builder;
use super::by_hand;
use super::picture::Line;
use crate::feed::{Order, OrderKind};
use crate::finding::{Code, Severity};
use crate::period::next_day;
use crate::plan::Role;
use jiff::civil::Date;
use std::collections::BTreeSet;

/// The roles that a line of an order is written in.
const ROLES: [Role; 7] = [
    Role::Recurring,
    Role::Setup,
    Role::Prorate,
    Role::Overuse,
    Role::Cancellation,
    Role::Refund,
    Role::OneTime,
];

/// Owns the lines of a change, renewal, transfer or cancellation again that are there although the journal does not know of
/// them; whether there are any. It is not planned once more: its other lines stand where it left them, and what was
/// invoiced since would be taken for what it owes. A sale and what is billed once need no such care: each of their lines
/// is looked for by its key before it is written.
pub fn was_carried_out(builder: &mut Builder<'_, '_>, order: &Order) -> bool {
    match order.kind {
        OrderKind::Change | OrderKind::Renewal | OrderKind::Transfer | OrderKind::Cancellation => {}
        OrderKind::Sales | OrderKind::Billing => return false,
    }
    if !builder.context.index.register.has_unknown_keys() {
        return false;
    }
    // A line is keyed by the first day that it is for, which it is dated by unless that was invoiced.
    let mut days: BTreeSet<Date> =
        BTreeSet::from([order.effective, order.period.start(), order.period.end()]);
    for line in &order.lines {
        days.extend(line.period.iter().flat_map(|period| [period.start(), period.end()]));
    }
    let unknown = builder.unknown_lines();
    days.extend(
        unknown.flat_map(|line| [Some(line.state.effective), line.state.cancelled.map(next_day)]).flatten(),
    );
    let mut found = Vec::new();
    for line in &order.lines {
        for (role, day) in ROLES.iter().flat_map(|role| days.iter().map(|day| (*role, *day))) {
            let Some((there, key)) = builder.unknown(line.id.as_str(), role, day) else { continue };
            let rest = line.period.unwrap_or(order.period).from_day(day);
            let true_days = rest.filter(|_| there.state.effective != day);
            builder.own_again(&there, key, &line.product, role, true_days);
            found.push((line.product.clone(), by_hand::id_of(&there)));
        }
    }
    let rest = order.period.from_day(order.effective);
    for product in found.iter().map(|(product, _)| product).collect::<BTreeSet<_>>() {
        let left_so =
            |line: &Line<'_>| line.origin.as_ref().is_some_and(|origin| *origin.written() != *line.state);
        let own = builder.own_lines_for(product, Role::Recurring);
        let left: Vec<Line<'_>> = own.filter(|line| left_so(line)).cloned().collect();
        for line in left {
            builder.take_as_left(&line, product, rest);
        }
    }
    let Some((product, _)) = found.first() else { return false };
    let additions: Vec<&str> = found.iter().map(|(_, id)| id.as_str()).collect();
    let message = format!(
        "Order {} was carried out before, and the journal does not know of it: it was lost, or put back from before. {} with \
         its keys {} taken over as they are, and nothing more is written for it.",
        order.shown(),
        if additions.len() == 1 { "The addition" } else { "The additions" },
        additions.join(", ")
    );
    let fix = format!(
        "Look whether all of it is there: `trueup plan --reconcile {}..{} --customer {}`.",
        order.period.start(),
        order.period.end(),
        builder.context.task.customer
    );
    let finding = builder.about(Code::Tu8005, product, message).severity(Severity::Warning).fix(fix);
    builder.find(finding);
    true
}
