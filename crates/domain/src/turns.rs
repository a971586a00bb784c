//! Which of the orders of one subscription comes first where several were completed at the same instant.
//!
//! Sources that know days alone, and batches that are written at once, complete a sale, its change and its cancellation
//! at one instant. Their ids say nothing about what came first.

use crate::feed::{Order, OrderKind};
use crate::ids::ProductId;
use crate::money::Quantity;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Orders of one instant beyond which the quantities before and after are not followed: each step looks at all.
const FOLLOWED: usize = 200;

/// The orders of one subscription and one instant in the order in which they happened: sales, then what changes, then
/// cancellations; changes as their quantities follow on each other; else as they were placed, else by their ids, with
/// numbers in them as numbers.
pub fn in_turn<'a>(orders: &[&'a Order]) -> Vec<&'a Order> {
    let mut rest: Vec<&Order> = orders.to_vec();
    rest.sort_by(|a, b| as_placed(a, b));
    if rest.len() > FOLLOWED {
        return rest;
    }
    let mut state: BTreeMap<&ProductId, Quantity> = BTreeMap::new();
    let mut turns = Vec::with_capacity(rest.len());
    while let Some(first) = rest.first().map(|order| rank(order)) {
        let same = rest.iter().take_while(|order| rank(order) == first).count();
        let next = (0..same)
            .find(|at| rest.get(*at).is_some_and(|order| goes_on_from(order, &state)))
            .or_else(|| (0..same).find(|at| !follows_another(&rest, *at, same)))
            .unwrap_or_default();
        let order = rest.remove(next);
        state.extend(order.lines.iter().filter_map(|line| Some((&line.product, after(order, line)?))));
        turns.push(order);
    }
    turns
}

/// Orders of one subscription in the order in which they happened.
pub fn in_sequence<'a>(orders: impl IntoIterator<Item = &'a Order>) -> Vec<&'a Order> {
    let mut of_instant: BTreeMap<i64, Vec<&Order>> = BTreeMap::new();
    for order in orders {
        of_instant.entry(order.completed_us).or_default().push(order);
    }
    of_instant.values().flat_map(|orders| in_turn(orders)).collect()
}

fn rank(order: &Order) -> u8 {
    match order.kind {
        OrderKind::Sales => 0,
        OrderKind::Change | OrderKind::Billing | OrderKind::Renewal | OrderKind::Transfer => 1,
        OrderKind::Cancellation => 2,
    }
}

fn as_placed(a: &Order, b: &Order) -> Ordering {
    let placed =
        |order: &Order| order.created_at.as_deref().and_then(|at| at.parse::<jiff::Timestamp>().ok());
    rank(a)
        .cmp(&rank(b))
        .then_with(|| match (placed(a), placed(b)) {
            (Some(a), Some(b)) => a.cmp(&b),
            (None, _) | (_, None) => Ordering::Equal,
        })
        .then_with(|| by_number(a.id.as_str(), b.id.as_str()))
}

/// Quantities before and after a line, as far as it names them.
fn before(line: &crate::feed::OrderLine) -> Option<Quantity> {
    line.old_quantity.or_else(|| line.new_quantity?.minus(line.quantity).ok())
}

fn after(order: &Order, line: &crate::feed::OrderLine) -> Option<Quantity> {
    match order.kind {
        OrderKind::Sales => Some(line.quantity),
        OrderKind::Change => line.new_quantity.or_else(|| line.old_quantity?.plus(line.quantity).ok()),
        OrderKind::Billing | OrderKind::Renewal | OrderKind::Transfer | OrderKind::Cancellation => None,
    }
}

/// Whether a change begins where the orders before it ended.
fn goes_on_from(order: &Order, state: &BTreeMap<&ProductId, Quantity>) -> bool {
    let mut known = false;
    let fits = order.kind == OrderKind::Change
        && order.lines.iter().all(|line| match (before(line), state.get(&line.product)) {
            (Some(old), Some(now)) => {
                known = true;
                old == *now
            }
            (None, _) | (_, None) => true,
        });
    fits && known
}

/// Whether another of the orders ends where this change begins, and does not begin where it ends.
fn follows_another(orders: &[&Order], at: usize, same: usize) -> bool {
    let Some(order) = orders.get(at) else { return false };
    let leads = |from: &Order, to: &Order| {
        to.lines.iter().any(|line| {
            let old = before(line);
            old.is_some() && from.lines.iter().any(|l| l.product == line.product && after(from, l) == old)
        })
    };
    orders
        .iter()
        .take(same)
        .enumerate()
        .any(|(other, from)| other != at && leads(from, order) && !leads(order, from))
}

/// Compares texts with the numbers in them as numbers: `SO-9` before `SO-10`.
fn by_number(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        let (l, r) = (piece(left), piece(right));
        if l.is_empty() || r.is_empty() {
            return l.len().cmp(&r.len()).then_with(|| a.cmp(b));
        }
        let digits = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
        let order = if digits(l) && digits(r) {
            let (l, r) = (l.trim_start_matches('0'), r.trim_start_matches('0'));
            l.len().cmp(&r.len()).then_with(|| l.cmp(r))
        } else {
            l.cmp(r)
        };
        if order != Ordering::Equal {
            return order;
        }
        left = left.get(l.len()..).unwrap_or_default();
        right = right.get(r.len()..).unwrap_or_default();
    }
}

/// The digits, or what is none, that a text begins with.
fn piece(text: &str) -> &str {
    let Some(first) = text.chars().next() else { return "" };
    let end = text.find(|c: char| c.is_ascii_digit() != first.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}
