//! What the amounts of records come to, to the last digit.

use super::MoneyTotals;
use crate::ports::Refusal;
use rust_decimal::Decimal;
use std::collections::BTreeMap;
use trueup_domain::feed::{Order, Record, UsageRecord};
use trueup_domain::finding::Code;
use trueup_domain::money::{Currency, Money, Quantity};

/// Places of a limb.
const PLACES: u32 = 18;
/// What a limb is less than.
const LIMB: i128 = 10_i128.pow(PLACES);

/// An exact sum of products of decimals. Quantities and prices that are let in are below 10^15 and have 18 places at most, so
/// that products have 36 and do not fit one number of 128 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExactSum {
    /// Ones, rounded down.
    ones: i128,
    /// Units of 10^-18 above that: from 0 on, less than [`LIMB`].
    middle: i128,
    /// Units of 10^-36 above that: from 0 on, less than [`LIMB`].
    last: i128,
}

/// Exact sums of one currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExactTotals {
    /// Amounts.
    pub amount: ExactSum,
    /// Costs.
    pub cost: ExactSum,
}

impl From<MoneyTotals> for ExactTotals {
    fn from(totals: MoneyTotals) -> Self {
        Self { amount: ExactSum::of(totals.amount.decimal()), cost: ExactSum::of(totals.cost.decimal()) }
    }
}

impl ExactSum {
    /// A decimal, whatever places it has: at most 28.
    fn of(value: Decimal) -> Self {
        let one = 10_i128.pow(value.scale());
        let rest = (value.mantissa() % one) * 10_i128.pow(2 * PLACES - value.scale());
        let sum = Self { ones: value.mantissa() / one, middle: rest / LIMB, last: rest % LIMB };
        sum.carried().unwrap_or(sum)
    }

    /// The product of two decimals; none where one of them has more places than are let in.
    fn product(left: Decimal, right: Decimal) -> Option<Self> {
        let ((a, b), (c, d)) = (halves(left)?, halves(right)?);
        let cross = a.checked_mul(d)?.checked_add(b.checked_mul(c)?)?;
        Self { ones: a.checked_mul(c)?, middle: cross, last: b.checked_mul(d)? }.carried()
    }

    fn plus(self, other: Self) -> Option<Self> {
        let ones = self.ones.checked_add(other.ones)?;
        Self { ones, middle: self.middle + other.middle, last: self.last + other.last }.carried()
    }

    /// The same with limbs within their bounds.
    fn carried(self) -> Option<Self> {
        let middle = self.middle.checked_add(self.last.div_euclid(LIMB))?;
        let ones = self.ones.checked_add(middle.div_euclid(LIMB))?;
        Some(Self { ones, middle: middle.rem_euclid(LIMB), last: self.last.rem_euclid(LIMB) })
    }

    /// Whether it is zero.
    pub fn is_zero(self) -> bool {
        self == Self::default()
    }

    /// All of its digits, with at least the places of the currency.
    pub fn display(self, currency: Currency) -> String {
        let is_negative = self.ones < 0;
        let shown = if is_negative {
            // The limbs stand above the ones, which were rounded down.
            let turned = Self { ones: -self.ones, middle: -self.middle, last: -self.last };
            turned.carried().unwrap_or(turned)
        } else {
            self
        };
        let digits = format!("{:018}{:018}", shown.middle, shown.last);
        let least = usize::try_from(currency.places()).unwrap_or_default();
        let places = digits.trim_end_matches('0').len().max(least);
        let sign = if is_negative { "-" } else { "" };
        match digits.get(..places).filter(|digits| !digits.is_empty()) {
            Some(digits) => format!("{sign}{}.{digits}", shown.ones),
            None => format!("{sign}{}", shown.ones),
        }
    }
}

/// The part before the point and 18 places after it, both with the sign.
fn halves(value: Decimal) -> Option<(i128, i128)> {
    let value = if value.scale() > PLACES { value.normalize() } else { value };
    let one = 10_i128.checked_pow(value.scale())?;
    let (whole, rest) = (value.mantissa() / one, value.mantissa() % one);
    Some((whole, rest.checked_mul(10_i128.checked_pow(PLACES.checked_sub(value.scale())?)?)?))
}

/// The exact sums by currency.
#[derive(Default)]
pub(crate) struct Sums {
    by_currency: BTreeMap<Currency, ExactTotals>,
    /// Amounts that could not be added.
    left_out: u64,
}

impl Sums {
    pub(crate) fn add(&mut self, record: &Record) {
        match record {
            Record::Order(order) => self.add_order(order),
            Record::Usage(usage) => self.add_usage(usage),
            _ => {} // open set: the other kinds bill nothing
        }
    }

    fn add_usage(&mut self, usage: &UsageRecord) {
        let Some(currency) = usage.currency else { return };
        let amount = line_value(usage.amount, usage.unit_price, usage.quantity);
        let cost = line_value(usage.cost_amount, usage.unit_cost, usage.quantity);
        self.plus(currency, amount, cost);
    }

    fn add_order(&mut self, order: &Order) {
        self.by_currency.entry(order.currency).or_default();
        for line in &order.lines {
            let amount = line_value(line.amount, line.unit_price, line.quantity);
            let cost = line_value(line.cost_amount, line.unit_cost, line.quantity);
            self.plus(order.currency, amount, cost);
        }
    }

    fn plus(&mut self, currency: Currency, amount: Option<ExactSum>, cost: Option<ExactSum>) {
        let sum = self.by_currency.entry(currency).or_default();
        for (sum, value) in [(&mut sum.amount, amount), (&mut sum.cost, cost)] {
            match value.and_then(|value| sum.plus(value)) {
                Some(more) => *sum = more,
                None => self.left_out += 1,
            }
        }
    }

    /// How many amounts the sums lack.
    pub(crate) fn lacking(&self) -> u64 {
        self.left_out
    }

    /// What is to be said of amounts that the sums lack.
    pub(super) fn left_out(&self) -> Option<Refusal> {
        let count = self.left_out;
        (count > 0).then(|| Refusal {
            file: String::new(),
            line: 0,
            field: None,
            reason: format!(
                "the totals lack {count} amounts or costs, which have more than 18 places or are too large to be added; their \
                 records were taken in"
            ),
            code: Code::Tu8004.row().name.to_owned(),
            record: None,
            warning: true,
        })
    }

    pub(crate) fn finish(self) -> BTreeMap<Currency, ExactTotals> {
        self.by_currency
    }
}

fn line_value(given: Option<Money>, unit: Option<Money>, quantity: Quantity) -> Option<ExactSum> {
    match (given, unit) {
        (Some(amount), _) => ExactSum::product(amount.decimal(), Decimal::ONE),
        (None, Some(price)) => ExactSum::product(price.decimal(), quantity.decimal()),
        (None, None) => Some(ExactSum::default()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use proptest::prelude::*;

    fn sum(products: &[(&str, &str)]) -> ExactSum {
        let each =
            products.iter().map(|(a, b)| ExactSum::product(a.parse().unwrap(), b.parse().unwrap()).unwrap());
        each.fold(ExactSum::default(), |sum, one| sum.plus(one).unwrap())
    }

    fn shown(products: &[(&str, &str)]) -> String {
        sum(products).display("USD".parse().unwrap())
    }

    #[test]
    fn no_digit_is_lost() {
        let price = "123456789.123456789012345678";
        assert_eq!(
            shown(&[(price, "1.000000000000000001")]),
            "123456789.123456789135802467123456789012345678"
        );
        assert_eq!(
            shown(&[(price, "1.000000000000000001"), ("-0.1", "1"), (price, "-1.000000000000000001")]),
            "-0.10"
        );
        assert_eq!(shown(&[("0.000000000000000001", "-0.000000000000000001")]), format!("-0.{:036}", 1));
        assert_eq!(shown(&[("999999999999999", "999999999999999")]), "999999999999998000000000000001.00");
        assert_eq!(shown(&[]), "0.00");
        assert_eq!(sum(&[("5", "1")]).display("JPY".parse().unwrap()), "5");
        // More places than are let in cannot be added.
        assert!(ExactSum::product("0.1234567890123456789".parse().unwrap(), Decimal::ONE).is_none());
    }

    proptest! {
        #[test]
        fn a_sum_is_what_decimals_add_up_to(
            pairs in prop::collection::vec((-10_000_000_i64..10_000_000, 0_u32..=6, -10_000_i64..10_000, 0_u32..=6), 0..20),
        ) {
            let decimals: Vec<(Decimal, Decimal)> =
                pairs.iter().map(|(a, p, b, q)| (Decimal::new(*a, *p), Decimal::new(*b, *q))).collect();
            let plain: Decimal = decimals.iter().map(|(a, b)| a * b).sum();
            let exact = decimals.iter().fold(ExactSum::default(), |sum, (a, b)| {
                sum.plus(ExactSum::product(*a, *b).unwrap()).unwrap()
            });
            let usd = "USD".parse().unwrap();
            prop_assert_eq!(exact.display(usd), Money::new(plain).display(usd));
            prop_assert_eq!(exact.is_zero(), plain.is_zero());
        }
    }
}
