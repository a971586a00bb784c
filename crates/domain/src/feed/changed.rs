//! What a source changed of an order that it had sent before, in words and in money.

use super::{Order, OrderLine};
use crate::money::{Currency, Money};
use std::fmt::Display;

/// Differences that are named; of more it is said how many.
const NAMED: usize = 10;

/// What became of an order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderChange {
    /// Each thing that decides what is billed and is not as it was.
    pub said: Vec<String>,
    /// By how much its lines are worth more; none where that cannot be told. An order that is not completed is worth nothing.
    pub amount: Option<Money>,
    /// Whether the source completed it and does not any more.
    pub withdrawn: bool,
    /// Whether the source had not completed it, and has now.
    pub completed: bool,
}

impl OrderChange {
    /// Between two versions of an order.
    pub fn between(old: &Order, new: &Order) -> Self {
        let mut said = Vec::new();
        note(&mut said, "kind", Some(old.kind.name()), Some(new.kind.name()));
        note(&mut said, "status", Some(&old.status), Some(&new.status));
        note(&mut said, "subscription", Some(&old.subscription), Some(&new.subscription));
        note(&mut said, "customer", old.customer.as_ref(), new.customer.as_ref());
        note(&mut said, "currency", Some(old.currency), Some(new.currency));
        note(&mut said, "first day", Some(old.effective), Some(new.effective));
        note(&mut said, "period", Some(old.period), Some(new.period));
        if old.completed_us != new.completed_us && old.effective == new.effective {
            note(&mut said, "completed", Some(&old.completed_at), Some(&new.completed_at));
        }
        for before in &old.lines {
            match new.lines.iter().find(|line| line.id == before.id) {
                Some(line) => of_line(&mut said, before, line, new.currency),
                None => said.push(format!("line {} is gone ({})", before.id, shown(before, old.currency))),
            }
        }
        let added = new.lines.iter().filter(|line| old.lines.iter().all(|before| before.id != line.id));
        said.extend(added.map(|line| format!("line {} is new ({})", line.id, shown(line, new.currency))));
        let withdrawn = old.is_completed() && !new.is_completed();
        let completed = !old.is_completed() && new.is_completed();
        let left = if withdrawn { Some(Money::ZERO) } else { worth(new) };
        let before = if completed { Some(Money::ZERO) } else { worth(old) };
        let amount = (old.currency == new.currency)
            .then(|| left?.minus(before?).ok())
            .flatten()
            .filter(|amount| !amount.is_zero());
        Self { said, amount, withdrawn, completed }
    }

    /// The differences in one text.
    pub fn text(&self) -> String {
        let mut said: Vec<String> = self.said.iter().take(NAMED).cloned().collect();
        if self.said.len() > NAMED {
            said.push(format!("and {} more", self.said.len() - NAMED));
        }
        said.join("; ")
    }
}

fn note<T: Display + PartialEq>(said: &mut Vec<String>, what: &str, old: Option<T>, new: Option<T>) {
    if old != new {
        let word = |value: Option<T>| value.map_or("none".to_owned(), |value| value.to_string());
        said.push(format!("{what} {} instead of {}", word(new), word(old)));
    }
}

fn of_line(said: &mut Vec<String>, old: &OrderLine, new: &OrderLine, currency: Currency) {
    let mut of = Vec::new();
    let money = |value: Option<Money>| value.map(|value| value.shown(currency).to_string());
    note(&mut of, "charge", Some(old.charge.name()), Some(new.charge.name()));
    note(&mut of, "product", Some(&old.product), Some(&new.product));
    note(&mut of, "quantity", Some(old.quantity.display()), Some(new.quantity.display()));
    let quantity = |value: Option<crate::money::Quantity>| value.map(crate::money::Quantity::display);
    note(&mut of, "old quantity", quantity(old.old_quantity), quantity(new.old_quantity));
    note(&mut of, "new quantity", quantity(old.new_quantity), quantity(new.new_quantity));
    note(&mut of, "unit price", money(old.unit_price), money(new.unit_price));
    note(&mut of, "unit cost", money(old.unit_cost), money(new.unit_cost));
    note(&mut of, "old unit price", money(old.old_unit_price), money(new.old_unit_price));
    note(&mut of, "old unit cost", money(old.old_unit_cost), money(new.old_unit_cost));
    note(&mut of, "amount", money(old.amount), money(new.amount));
    note(&mut of, "cost amount", money(old.cost_amount), money(new.cost_amount));
    note(&mut of, "period", old.period, new.period);
    note(&mut of, "text", old.description.as_ref(), new.description.as_ref());
    if !of.is_empty() {
        said.push(format!("line {} ({}): {}", new.id, new.product, of.join(", ")));
    }
}

fn shown(line: &OrderLine, currency: Currency) -> String {
    let price = line.unit_price.map(|price| format!(" at {}", price.shown(currency))).unwrap_or_default();
    let amount = line.amount.map(|amount| format!(", {}", amount.shown(currency))).unwrap_or_default();
    format!("{}, {} of {}{price}{amount}", line.charge.name(), line.quantity.shown(), line.product)
}

/// What the lines name: their amounts, else quantity times price.
fn worth(order: &Order) -> Option<Money> {
    order.lines.iter().try_fold(Money::ZERO, |sum, line| {
        let of_line = match (line.amount, line.unit_price) {
            (Some(amount), _) => amount,
            (None, Some(price)) => price.extended(line.quantity, order.currency).ok()?,
            (None, None) => return None,
        };
        sum.plus(of_line).ok()
    })
}
