//! Exact money: decimals from their text, exact ratios in between, one rounding by name at the end.
//!
//! No binary float is ever in the way. A [`Money`] is an amount in a currency known from its context (a subscription,
//! an agreement); two currencies never meet in one sum because nothing here adds across contexts.

mod short;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;

/// What can go wrong with an amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The text is not a decimal number.
    #[error("`{0}` is not a decimal number")]
    NotADecimal(String),
    /// The number has more digits than can be kept exactly.
    #[error(
        "`{0}` is too large or has too many digits to be kept exactly (at most 15 before and 18 after the point, 28 in all)"
    )]
    OutOfRange(String),
    /// An exact calculation left the range of 128-bit integers.
    #[error("the calculation leaves the range that can be kept exactly")]
    Overflow,
    /// A division by zero.
    #[error("division by zero")]
    DivisionByZero,
    /// The text is not a currency that amounts can be billed in.
    #[error("`{0}` is not an ISO 4217 currency with amounts")]
    UnknownCurrency(String),
}

const MAX_SCALE: u32 = 18;
const MAX_ABS: i128 = 1_000_000_000_000_000;

/// Reads a decimal exactly from its text (plain or with an exponent), as it stands in a JSON number or string.
///
/// # Errors
/// Text that is no number, or a number outside ±10^15 or with more than 18 decimal places.
pub fn parse_decimal(text: &str) -> Result<Decimal, MoneyError> {
    let trimmed = text.trim();
    if trimmed.is_empty() || trimmed.len() > 64 {
        let shown: String = trimmed.chars().take(64).collect();
        return Err(if trimmed.is_empty() {
            MoneyError::NotADecimal(shown)
        } else {
            MoneyError::OutOfRange(shown)
        });
    }
    let well_formed =
        trimmed.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'));
    if !well_formed {
        return Err(MoneyError::NotADecimal(trimmed.to_owned()));
    }
    let parsed = if trimmed.contains(['e', 'E']) {
        Decimal::from_scientific(trimmed)
    } else {
        Decimal::from_str_exact(trimmed)
    };
    let value = parsed.map_err(|e| match e {
        rust_decimal::Error::ExceedsMaximumPossibleValue
        | rust_decimal::Error::LessThanMinimumPossibleValue
        | rust_decimal::Error::Underflow
        | rust_decimal::Error::ScaleExceedsMaximumPrecision(_) => MoneyError::OutOfRange(trimmed.to_owned()),
        _ => MoneyError::NotADecimal(trimmed.to_owned()), // open set: the library's own error enum
    })?;
    let slim = if value.scale() > MAX_SCALE { value.normalize() } else { value };
    if slim.scale() > MAX_SCALE || slim.trunc().abs() >= Decimal::from_i128_with_scale(MAX_ABS, 0) {
        return Err(MoneyError::OutOfRange(trimmed.to_owned()));
    }
    Ok(slim)
}

/// Reads what was kept: what is reckoned from numbers within the range of [`parse_decimal`] may lie outside it.
fn parse_kept(text: &str) -> Result<Decimal, MoneyError> {
    parse_decimal(text).or_else(|error| match error {
        MoneyError::OutOfRange(_) => Decimal::from_str_exact(text).map_err(|_| error),
        other => Err(other),
    })
}

macro_rules! decimal_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(Decimal);

        impl $name {
            /// Zero.
            pub const ZERO: Self = Self(Decimal::ZERO);
            /// Wraps an exact decimal.
            pub const fn new(value: Decimal) -> Self {
                Self(value)
            }
            /// The exact decimal.
            pub const fn decimal(self) -> Decimal {
                self.0
            }
            /// Whether it is exactly zero.
            pub fn is_zero(self) -> bool {
                self.0.is_zero()
            }
            /// Whether it is below zero.
            pub fn is_negative(self) -> bool {
                self.0.is_sign_negative() && !self.0.is_zero()
            }
            /// The value as an exact ratio, for calculations.
            pub fn exact(self) -> Exact {
                Exact::from_decimal(self.0)
            }
            /// The absolute value.
            pub fn abs(self) -> Self {
                Self(self.0.abs())
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                short::write(f, self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
        impl FromStr for $name {
            type Err = MoneyError;
            fn from_str(text: &str) -> Result<Self, MoneyError> {
                parse_decimal(text).map(Self)
            }
        }
        impl From<i64> for $name {
            fn from(value: i64) -> Self {
                Self(Decimal::from(value))
            }
        }
        impl std::ops::Neg for $name {
            type Output = Self;
            fn neg(self) -> Self {
                if self.0.is_zero() { self } else { Self(-self.0) }
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                parse_kept(&text).map(Self).map_err(de::Error::custom)
            }
        }
    };
}

decimal_type!(
    /// An amount or a unit price, in the currency of its context; serialised as a decimal string.
    Money
);
decimal_type!(
    /// A quantity; serialised as a decimal string.
    Quantity
);

impl Money {
    /// The sum, or an overflow error.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        self.0.checked_add(other.0).map(Self).ok_or(MoneyError::Overflow)
    }

    /// The difference, or an overflow error.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        self.plus(-other)
    }

    /// `self x quantity`, rounded half up to the currency's places: what an invoice prints for the line.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn extended(self, quantity: Quantity, currency: Currency) -> Result<Self, MoneyError> {
        let places = currency.places();
        if let Some(product) = short::product(self.0, quantity.0, places) {
            return Ok(Self(product));
        }
        // Rounding asks for no reduced ratio; only what is too long for that is reduced first.
        let num = self.0.mantissa().checked_mul(quantity.0.mantissa());
        let rounded = num
            .zip(power_of_ten(self.0.scale() + quantity.0.scale()))
            .and_then(|(num, den)| Exact { num, den }.round(places, RoundingMode::HalfUp).ok());
        match rounded {
            Some(rounded) => Ok(Self(rounded)),
            None => self.exact().times(quantity.exact())?.round(places, RoundingMode::HalfUp).map(Self),
        }
    }

    /// The same amount with exactly the currency's places; none where it has more.
    pub fn in_places(self, currency: Currency) -> Option<Self> {
        short::in_places(self.0, currency.places()).map(Self)
    }

    /// Shown with at least the currency's decimal places (`22` in USD is `22.00`), never rounded.
    pub fn display(self, currency: Currency) -> String {
        self.shown(currency).to_string()
    }

    /// The same, to be written into a sentence.
    pub fn shown(self, currency: Currency) -> impl fmt::Display {
        short::Shown { value: self.0, least_places: currency.places() }
    }
}

impl Quantity {
    /// The sum, or an overflow error.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        self.0.checked_add(other.0).map(Self).ok_or(MoneyError::Overflow)
    }

    /// The difference, or an overflow error.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        self.plus(-other)
    }

    /// Without trailing zeros: `5.0` is shown as `5`.
    pub fn display(self) -> String {
        self.shown().to_string()
    }

    /// The same, to be written into a sentence.
    pub fn shown(self) -> impl fmt::Display {
        short::Shown { value: self.0, least_places: 0 }
    }

    /// Whether it has no part behind the point.
    pub fn is_whole(self) -> bool {
        self.0.is_integer()
    }
}

/// An ISO 4217 currency that amounts can be billed in.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// Decimal places of the minor unit: 2 for USD, 0 for JPY, 3 for KWD, 4 for CLF.
    pub fn places(self) -> u32 {
        self.0.exponent().map_or(2, u32::from)
    }

    /// The three-letter code.
    pub fn code(self) -> &'static str {
        self.0.code()
    }
}

impl FromStr for Currency {
    type Err = MoneyError;
    fn from_str(code: &str) -> Result<Self, MoneyError> {
        let known = iso_currency::Currency::from_code(code)
            .filter(|c| c.exponent().is_some())
            .ok_or_else(|| MoneyError::UnknownCurrency(code.chars().take(16).collect()))?;
        Ok(Self(known))
    }
}

impl PartialOrd for Currency {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Currency {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.code().cmp(other.code())
    }
}
impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}
impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// How a number is brought to fewer places. Symmetrical for credits, save floor and ceil which are directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoundingMode {
    /// Half away from zero.
    #[default]
    HalfUp,
    /// Half to the even neighbour.
    HalfEven,
    /// Toward minus infinity.
    Floor,
    /// Toward plus infinity.
    Ceil,
}

impl RoundingMode {
    /// The setting's value.
    pub fn name(self) -> &'static str {
        match self {
            Self::HalfUp => "half_up",
            Self::HalfEven => "half_even",
            Self::Floor => "floor",
            Self::Ceil => "ceil",
        }
    }
}

/// An exact rational number: numerator over a positive denominator, reduced. The only carrier of unrounded money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exact {
    num: i128,
    den: i128,
}

fn gcd(a: u128, b: u128) -> u128 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        // Nearly all amounts fit 64 bits, which a processor divides in one step.
        if let (Ok(a), Ok(b)) = (u64::try_from(a), u64::try_from(b)) {
            return u128::from(gcd_of_small(a, b));
        }
        (a, b) = (b, a % b);
    }
    a
}

fn gcd_of_small(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Quotient and remainder, the remainder never below zero; the divisor is positive.
fn divide(dividend: i128, divisor: i128) -> (i128, i128) {
    match (i64::try_from(dividend), i64::try_from(divisor)) {
        (Ok(a), Ok(b)) => (i128::from(a.div_euclid(b)), i128::from(a.rem_euclid(b))),
        (Ok(_) | Err(_), Err(_)) | (Err(_), Ok(_)) => {
            (dividend.div_euclid(divisor), dividend.rem_euclid(divisor))
        }
    }
}

/// The product, where 128 bits hold it: that of two that fit 64 bits always.
fn multiply(a: i128, b: i128) -> Option<i128> {
    match (i64::try_from(a), i64::try_from(b)) {
        (Ok(a), Ok(b)) => Some(i128::from(a) * i128::from(b)),
        (Ok(_) | Err(_), Err(_)) | (Err(_), Ok(_)) => a.checked_mul(b),
    }
}

fn power_of_ten(exponent: u32) -> Option<i128> {
    match short::power_of_ten(exponent) {
        Some(small) => Some(i128::from(small)),
        None => 10_i128.checked_pow(exponent),
    }
}

impl Exact {
    /// Zero.
    pub const ZERO: Self = Self { num: 0, den: 1 };
    /// One.
    pub const ONE: Self = Self { num: 1, den: 1 };

    /// `num / den`, reduced.
    ///
    /// # Errors
    /// [`MoneyError::DivisionByZero`], or [`MoneyError::Overflow`] at the very end of the range.
    pub fn ratio(num: i128, den: i128) -> Result<Self, MoneyError> {
        if den == 0 {
            return Err(MoneyError::DivisionByZero);
        }
        if den == 1 {
            return Ok(Self { num, den });
        }
        let divisor =
            i128::try_from(gcd(num.unsigned_abs(), den.unsigned_abs())).map_err(|_| MoneyError::Overflow)?;
        // It divides both: nothing remains.
        let (num, den) =
            if divisor == 1 { (num, den) } else { (divide(num, divisor).0, divide(den, divisor).0) };
        if den > 0 {
            Ok(Self { num, den })
        } else {
            let num = num.checked_neg().ok_or(MoneyError::Overflow)?;
            let den = den.checked_neg().ok_or(MoneyError::Overflow)?;
            Ok(Self { num, den })
        }
    }

    /// The exact value of a decimal.
    pub fn from_decimal(value: Decimal) -> Self {
        if let Some((num, den)) = short::reduced(value) {
            return Self { num: num.into(), den: den.into() };
        }
        // A decimal's mantissa has 96 bits and its scale is at most 28, so neither part can overflow.
        let den = power_of_ten(value.scale()).unwrap_or(1);
        Self::ratio(value.mantissa(), den).unwrap_or(Self::ZERO)
    }

    /// Numerator and denominator, reduced, the denominator positive.
    pub fn parts(self) -> (i128, i128) {
        (self.num, self.den)
    }

    /// Whether it is zero.
    pub fn is_zero(self) -> bool {
        self.num == 0
    }

    /// Whether it is below zero.
    pub fn is_negative(self) -> bool {
        self.num < 0
    }

    /// The product.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn times(self, other: Self) -> Result<Self, MoneyError> {
        // Reduce crosswise first: it keeps the factors small enough for every amount that is let in, and leaves nothing
        // to reduce in the product.
        let left = Self::ratio(self.num, other.den)?;
        let right = Self::ratio(other.num, self.den)?;
        let num = multiply(left.num, right.num).ok_or(MoneyError::Overflow)?;
        let den = multiply(left.den, right.den).ok_or(MoneyError::Overflow)?;
        Ok(Self { num, den })
    }

    /// The sum.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        if self.den == other.den {
            let num = self.num.checked_add(other.num).ok_or(MoneyError::Overflow)?;
            return Self::ratio(num, self.den);
        }
        let a = self.num.checked_mul(other.den).ok_or(MoneyError::Overflow)?;
        let b = other.num.checked_mul(self.den).ok_or(MoneyError::Overflow)?;
        let num = a.checked_add(b).ok_or(MoneyError::Overflow)?;
        let den = self.den.checked_mul(other.den).ok_or(MoneyError::Overflow)?;
        Self::ratio(num, den)
    }

    /// The difference.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        // What is billed is nearly always what was reckoned.
        if self == other {
            return Ok(Self::ZERO);
        }
        self.plus(Self { num: other.num.checked_neg().ok_or(MoneyError::Overflow)?, den: other.den })
    }

    /// The quotient.
    ///
    /// # Errors
    /// [`MoneyError::DivisionByZero`] or [`MoneyError::Overflow`].
    pub fn over(self, other: Self) -> Result<Self, MoneyError> {
        self.times(Self::ratio(other.den, other.num)?)
    }

    /// Rounded once, from the exact value, to `places` decimals.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn round(self, places: u32, mode: RoundingMode) -> Result<Decimal, MoneyError> {
        let (scaled, den) = self.scaled(places).ok_or(MoneyError::Overflow)?;
        let (quotient, remainder) = divide(scaled, den);
        let twice = remainder.checked_mul(2).ok_or(MoneyError::Overflow)?;
        let up = match mode {
            RoundingMode::Floor => false,
            RoundingMode::Ceil => remainder > 0,
            RoundingMode::HalfUp if self.num >= 0 => twice >= den,
            RoundingMode::HalfUp => twice > den,
            RoundingMode::HalfEven => twice > den || (twice == den && quotient.rem_euclid(2) == 1),
        };
        let rounded = quotient.checked_add(i128::from(up)).ok_or(MoneyError::Overflow)?;
        Decimal::try_from_i128_with_scale(rounded, places).map_err(|_| MoneyError::Overflow)
    }

    /// Whether it can be written with `places` decimals without rounding.
    pub fn fits(self, places: u32) -> bool {
        self.scaled(places).is_some_and(|(scaled, den)| divide(scaled, den).1 == 0)
    }

    /// Numerator and denominator of it in units of the last of some decimals. What both share is taken out where the
    /// numerator would be too large with it.
    fn scaled(self, places: u32) -> Option<(i128, i128)> {
        let shift = power_of_ten(places)?;
        if let Some(scaled) = multiply(self.num, shift) {
            return Some((scaled, self.den));
        }
        let shared = i128::try_from(gcd(shift.unsigned_abs(), self.den.unsigned_abs())).ok()?;
        Some((multiply(self.num, shift / shared)?, self.den / shared))
    }

    /// For a sentence: the value with at most six decimals (`12.064516`), rounded half up.
    pub fn approx(self) -> String {
        for places in [6, 4, 2] {
            if let Ok(value) = self.round(places, RoundingMode::HalfUp) {
                return value.normalize().to_string();
            }
        }
        format!("{}/{}", self.num, self.den)
    }
}

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.den == 1 { write!(f, "{}", self.num) } else { write!(f, "{}/{}", self.num, self.den) }
    }
}
