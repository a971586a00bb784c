//! Limits that hold for a customer or a product instead of the policy's own, as they stand in `approval.except`:
//! `customer c-100: amount=500, cancel=off; product exo-p1: persons=2, new=on`.

use super::Policy;
use crate::ids::{CustomerId, ProductId};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// What holds for whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    whom: Whom,
    says: Vec<Says>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Whom {
    Customer(CustomerId),
    Product(ProductId),
}

/// One value that takes the place of the policy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Says {
    Persons(u8),
    Amount(Option<Decimal>),
    Percent(Option<Decimal>),
    New(bool),
    Decrease(bool),
    Cancel(bool),
    TwoAbove(Option<Decimal>),
}

impl Says {
    fn parse(text: &str) -> Option<Self> {
        let (key, value) = text.split_once('=')?;
        let value = value.trim();
        let switch = || match value {
            "on" => Some(true),
            "off" => Some(false),
            _ => None, // open set: text
        };
        let limit = || match value {
            "off" => Some(None),
            number => number.parse::<Decimal>().ok().filter(|n| !n.is_sign_negative()).map(Some),
        };
        Some(match key.trim() {
            "persons" => Self::Persons(value.parse().ok().filter(|persons| *persons <= 2)?),
            "amount" => Self::Amount(limit()?),
            "percent" => Self::Percent(limit()?),
            "new" => Self::New(switch()?),
            "decrease" => Self::Decrease(switch()?),
            "cancel" => Self::Cancel(switch()?),
            "two_above" => Self::TwoAbove(limit()?),
            _ => return None, // open set: text
        })
    }

    fn holds_in(self, policy: &mut Policy) {
        match self {
            Self::Persons(persons) => policy.persons = persons,
            Self::Amount(limit) => policy.amount = limit,
            Self::Percent(limit) => policy.percent = limit,
            Self::New(is_over) => policy.new = is_over,
            Self::Decrease(is_over) => policy.decrease = is_over,
            Self::Cancel(is_over) => policy.cancel = is_over,
            Self::TwoAbove(limit) => policy.two_above = limit,
        }
    }
}

impl Exception {
    fn parse(text: &str) -> Option<Self> {
        // The values hold no colon, an id may.
        let (whom, says) = text.rsplit_once(':')?;
        let (kind, id) = whom.trim().split_once(char::is_whitespace)?;
        let id = id.trim();
        let whom = match kind {
            "customer" => Whom::Customer(CustomerId::from(id)),
            "product" => Whom::Product(ProductId::from(id)),
            _ => return None, // open set: text
        };
        let says = says.split(',').map(Says::parse).collect::<Option<Vec<_>>>()?;
        Some(Self { whom, says })
    }
}

/// Reads all of them; none where one cannot be understood, or the same customer or product is named twice.
pub fn parse(text: &str) -> Option<Vec<Exception>> {
    let parts = text.split(';').map(str::trim).filter(|part| !part.is_empty());
    let all = parts.map(Exception::parse).collect::<Option<Vec<_>>>()?;
    let is_twice = |at: usize, one: &Exception| all.iter().skip(at + 1).any(|other| other.whom == one.whom);
    (!all.iter().enumerate().any(|(at, one)| is_twice(at, one))).then_some(all)
}

impl Policy {
    /// Whether nothing whatever is asked of anybody.
    pub(super) fn asks_nobody(&self) -> bool {
        let asks = |says: &Says| matches!(says, Says::Persons(1..) | Says::TwoAbove(Some(_)));
        self.persons == 0
            && self.two_above.is_none()
            && !self.except.iter().flat_map(|one| &one.says).any(asks)
    }

    /// What holds for a customer.
    pub(super) fn of_customer(&self, customer: &CustomerId) -> Self {
        self.with(|whom| matches!(whom, Whom::Customer(id) if id == customer)).unwrap_or_else(|| self.clone())
    }

    /// What holds for a product, where something else does than for the others.
    pub(super) fn of_product(&self, product: &ProductId) -> Option<Self> {
        self.with(|whom| matches!(whom, Whom::Product(id) if id == product))
    }

    fn with(&self, is_meant: impl Fn(&Whom) -> bool) -> Option<Self> {
        let exception = self.except.iter().find(|one| is_meant(&one.whom))?;
        let mut policy = self.clone();
        for says in &exception.says {
            says.holds_in(&mut policy);
        }
        Some(policy)
    }
}
