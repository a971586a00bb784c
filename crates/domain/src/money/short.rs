//! Decimals whose digits fit 64 bits, which nearly all do: multiplied and written without the detour over 96 and 128 bits.
//! What does not fit is left to the ways that are always right.

use rust_decimal::Decimal;
use std::fmt::{self, Display, Formatter};

const POWERS: [i64; 19] = {
    let mut powers = [1; 19];
    let mut exponent = 1;
    while exponent < powers.len() {
        powers[exponent] = powers[exponent - 1] * 10;
        exponent += 1;
    }
    powers
};

/// A power of ten, where 64 bits hold it.
pub(super) fn power_of_ten(exponent: u32) -> Option<i64> {
    POWERS.get(exponent as usize).copied()
}

fn digits(value: Decimal) -> Option<i64> {
    i64::try_from(value.mantissa()).ok()
}

/// Numerator and denominator, reduced: a power of ten has no other prime factors than two and five.
pub(super) fn reduced(value: Decimal) -> Option<(i64, i64)> {
    let (mut num, scale) = (digits(value)?, value.scale());
    if num == 0 {
        return Some((0, 1));
    }
    let twos = num.trailing_zeros().min(scale);
    num >>= twos;
    let mut fives = 0;
    while fives < scale && num % 5 == 0 {
        (num, fives) = (num / 5, fives + 1);
    }
    let den = 5_i64.checked_pow(scale - fives)?.checked_mul(1_i64.checked_shl(scale - twos)?)?;
    Some((num, den))
}

/// The product, rounded half away from zero to so many places.
pub(super) fn product(a: Decimal, b: Decimal, places: u32) -> Option<Decimal> {
    let all = digits(a)?.checked_mul(digits(b)?)?;
    let scale = a.scale() + b.scale();
    let rounded = if scale <= places {
        all.checked_mul(power_of_ten(places - scale)?)?
    } else {
        let unit = power_of_ten(scale - places)?;
        let (whole, rest) = (all / unit, all % unit);
        let away = rest.unsigned_abs() >= unit.unsigned_abs().div_ceil(2);
        if away { whole + all.signum() } else { whole }
    };
    Decimal::try_new(rounded, places).ok()
}

/// The same with exactly so many places; none where it has more.
pub(super) fn in_places(value: Decimal, places: u32) -> Option<Decimal> {
    let missing = places.checked_sub(value.scale())?;
    Decimal::try_new(digits(value)?.checked_mul(power_of_ten(missing)?)?, places).ok()
}

/// A decimal without trailing zeros, save as many as make at least so many places.
pub(super) struct Shown {
    pub(super) value: Decimal,
    pub(super) least_places: u32,
}

impl Display for Shown {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(text) = self.short().filter(|_| is_plain(f)) {
            return f.write_str(text.as_str());
        }
        let mut value = self.value.normalize();
        if value.scale() < self.least_places {
            value.rescale(self.least_places);
        }
        value.fmt(f)
    }
}

impl Shown {
    fn short(&self) -> Option<Text> {
        let (mut digits, mut scale) = (digits(self.value)?, self.value.scale());
        if digits == 0 {
            scale = 0;
        }
        while scale > self.least_places && digits % 10 == 0 {
            (digits, scale) = (digits / 10, scale - 1);
        }
        if scale < self.least_places {
            digits = digits.checked_mul(power_of_ten(self.least_places - scale)?)?;
            scale = self.least_places;
        }
        Text::of(digits, scale)
    }
}

/// Writes a decimal with all of its places.
pub(super) fn write(f: &mut Formatter<'_>, value: Decimal) -> fmt::Result {
    // Of a zero the sign is written as well.
    let short = digits(value).filter(|digits| *digits != 0);
    match short.and_then(|digits| Text::of(digits, value.scale())).filter(|_| is_plain(f)) {
        Some(text) => f.write_str(text.as_str()),
        None => value.fmt(f),
    }
}

/// Whether nothing is asked for but the number itself.
fn is_plain(f: &Formatter<'_>) -> bool {
    f.width().is_none() && f.precision().is_none() && !f.sign_plus()
}

/// Room for sign, point and the digits of 64 bits behind as many zeros as a decimal has places.
const ROOM: usize = 32;

/// A number as text, at the end of its room.
struct Text {
    room: [u8; ROOM],
    first: usize,
}

impl Text {
    fn of(digits: i64, scale: u32) -> Option<Self> {
        let mut text = Self { room: [b'0'; ROOM], first: ROOM };
        let mut rest = digits.unsigned_abs();
        let mut written = 0;
        // One digit before the point at least.
        while rest != 0 || written <= scale {
            if written == scale && scale != 0 {
                text.put(b'.')?;
            }
            text.put(b'0' + (rest % 10) as u8)?;
            rest /= 10;
            written += 1;
        }
        if digits < 0 {
            text.put(b'-')?;
        }
        Some(text)
    }

    fn put(&mut self, byte: u8) -> Option<()> {
        self.first = self.first.checked_sub(1)?;
        self.room[self.first] = byte;
        Some(())
    }

    fn as_str(&self) -> &str {
        str::from_utf8(&self.room[self.first..]).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::{Currency, Exact, Money, Quantity, RoundingMode};
    use proptest::prelude::*;

    fn decimal() -> impl Strategy<Value = Decimal> {
        let digits = prop_oneof![-10_000_i64..10_000, any::<i64>(), Just(0), Just(i64::MIN), Just(i64::MAX)];
        (digits, 0_u32..=18).prop_map(|(digits, scale)| Decimal::from_i128_with_scale(digits.into(), scale))
    }

    proptest! {
        #[test]
        fn a_short_product_is_the_exact_one_rounded(a in decimal(), b in decimal(), places in 0_u32..=4) {
            if let Some(short) = product(a, b, places) {
                let exact = Exact::from_decimal(a).times(Exact::from_decimal(b)).unwrap();
                let rounded = exact.round(places, RoundingMode::HalfUp).unwrap();
                prop_assert_eq!(short.to_string(), rounded.to_string());
            }
        }

        #[test]
        fn a_short_ratio_is_reduced(value in decimal()) {
            let ten = 10_i128.pow(value.scale());
            prop_assert_eq!(Exact::from_decimal(value), Exact::ratio(value.mantissa(), ten).unwrap());
        }

        #[test]
        fn more_places_are_the_same_rounded(value in decimal(), places in 0_u32..=4) {
            if let Some(padded) = in_places(value, places) {
                let rounded = Exact::from_decimal(value).round(places, RoundingMode::HalfEven).unwrap();
                prop_assert_eq!(padded.to_string(), rounded.to_string());
                prop_assert_eq!(padded, value);
            }
        }

        #[test]
        fn decimals_are_written_as_the_library_writes_them(value in decimal()) {
            prop_assert_eq!(Money::new(value).to_string(), value.to_string());
            prop_assert_eq!(format!("{:>12}", Money::new(value)), format!("{value:>12}"));
            prop_assert_eq!(Quantity::new(value).shown().to_string(), value.normalize().to_string());
            let currency: Currency = "USD".parse().unwrap();
            let mut two = value.normalize();
            if two.scale() < 2 {
                two.rescale(2);
            }
            prop_assert_eq!(Money::new(value).shown(currency).to_string(), two.to_string());
        }
    }
}
