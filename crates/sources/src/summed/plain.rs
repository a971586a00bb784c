//! Cells that are written plainly, read from their bytes. Whatever is not is left to the feed's own reader, which takes
//! it or says why not; so nothing is refused here.

use jiff::civil::Date;

/// Decimal places of a unit in which sums are kept: those that a number of the feed has at most.
pub(super) const PLACES: u32 = 18;

/// Digits before the point that the feed takes.
const MOST_WHOLE: usize = 15;

const POWERS: [i64; 19] = {
    let mut powers = [1_i64; 19];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// A decimal of at most 18 digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plain {
    mantissa: i64,
    places: u32,
}

impl Plain {
    /// In units of 10^-18.
    pub(super) fn units(self) -> i128 {
        // 18 digits times 10^18 are below 10^36.
        i128::from(self.mantissa) * i128::from(power(PLACES - self.places))
    }

    /// The product, in units of 10^-18; none where it has more places or leaves the range.
    pub(super) fn times(self, other: Self) -> Option<i128> {
        let shift = PLACES.checked_sub(self.places + other.places)?;
        let product = i128::from(self.mantissa) * i128::from(other.mantissa);
        match i64::try_from(product) {
            // Two that fit 64 bits: the product of nearly all amounts.
            Ok(product) => Some(i128::from(product) * i128::from(power(shift))),
            Err(_) => product.checked_mul(i128::from(power(shift))),
        }
    }

    pub(super) fn is_negative(self) -> bool {
        self.mantissa < 0
    }
}

fn power(exponent: u32) -> i64 {
    POWERS.get(exponent as usize).copied().unwrap_or(1)
}

/// Reads `-12`, `0.50`: digits with at most one point between them.
pub(super) fn number(bytes: &[u8]) -> Option<Plain> {
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    if digits.len() > 19 {
        return None;
    }
    let mut mantissa = 0_i64;
    let mut point = None;
    for (at, byte) in digits.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(i64::from(digit));
        } else if *byte == b'.' && point.is_none() {
            point = Some(at);
        } else {
            return None;
        }
    }
    let (whole, places) = match point {
        Some(at) => (at, digits.len() - at - 1),
        None => (digits.len(), 0),
    };
    if whole == 0 || whole > MOST_WHOLE || whole + places > 18 || (point.is_some() && places == 0) {
        return None;
    }
    let mantissa = if digits.len() < bytes.len() { -mantissa } else { mantissa };
    Some(Plain { mantissa, places: u32::try_from(places).ok()? })
}

/// A pattern of eight characters: what stands in it besides digits, and what added to it tells what is out of place.
struct Pattern {
    text: u64,
    over: u64,
}

impl Pattern {
    const fn of(text: [u8; 8]) -> Self {
        let mut over = [0x7f; 8];
        let mut at = 0;
        while at < 8 {
            if text[at] == b'0' {
                over[at] = 0x76;
            }
            at += 1;
        }
        Self { text: u64::from_le_bytes(text), over: u64::from_le_bytes(over) }
    }

    /// The digits, each in the byte it stands in; none where something else stands there.
    fn digits(&self, text: [u8; 8]) -> Option<[u8; 8]> {
        // A digit leaves 0 to 9 and any other character of the pattern 0; more than that carries into the highest bit.
        let left = u64::from_le_bytes(text) ^ self.text;
        const HIGHEST: u64 = 0x8080_8080_8080_8080;
        let over = (left & !HIGHEST) + self.over;
        ((left | over) & HIGHEST == 0).then(|| left.to_le_bytes())
    }
}

const MONTH: Pattern = Pattern::of(*b"0000-00-");
const DAY: Pattern = Pattern::of(*b"00T00:00");
const SECOND: Pattern = Pattern::of(*b"T00:00Z:");

fn two(tens: u8, ones: u8) -> u32 {
    u32::from(tens) * 10 + u32::from(ones)
}

/// Reads `2026-10-31` or `2026-10-31T09:00:00Z`: the number of its month, from the year 0 on.
pub(super) fn month(text: &[u8]) -> Option<u32> {
    let (date, rest) = text.split_first_chunk::<8>()?;
    let (day, hour, minute, second) = match *rest {
        [d1, d2] => (DAY.digits([d1, d2, b'T', b'0', b'0', b':', b'0', b'0'])?, 0, 0, 0),
        [d1, d2, t, h1, h2, c1, m1, m2, c2, s1, s2, z] => {
            let day = DAY.digits([d1, d2, t, h1, h2, c1, m1, m2])?;
            let time = SECOND.digits([b'T', b'0', b'0', c2, s1, s2, z, b':'])?;
            (day, two(day[3], day[4]), two(day[6], day[7]), two(time[4], time[5]))
        }
        _ => return None, // open set: lengths of other forms
    };
    let [y1, y2, y3, y4, _, m1, m2, _] = MONTH.digits(*date)?;
    let (year, month, day) = (two(y1, y2) * 100 + two(y3, y4), two(m1, m2), two(day[0], day[1]));
    if hour > 23 || minute > 59 || second > 59 || month == 0 || month > 12 || day == 0 || day > 31 {
        return None;
    }
    if day > 28 {
        Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    }
    Some(year * 12 + month - 1)
}

/// The number of a month.
pub(super) fn month_number(year: i16, month: u8) -> u32 {
    u32::from(year.unsigned_abs()) * 12 + u32::from(month) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::is_plain_decimal;
    use crate::time::{parse_date, parse_instant};
    use proptest::prelude::*;
    use trueup_domain::money::parse_decimal;

    #[test]
    fn reads_what_is_plain_and_nothing_else() {
        assert_eq!(number(b"-12.50"), Some(Plain { mantissa: -1250, places: 2 }));
        assert_eq!(number(b"000000000000001.5").map(Plain::units), Some(1_500_000_000_000_000_000));
        for text in
            ["", "-", ".5", "5.", "1e3", "+1", "1 ", "1.2.3", "1234567890123456", "0.1234567890123456789"]
        {
            assert_eq!(number(text.as_bytes()), None, "{text}");
        }
        assert_eq!(month(b"2024-02-29"), Some(2024 * 12 + 1));
        for text in [
            "2023-02-29",
            "2024-00-01",
            "2024-13-01",
            "2024-01-00",
            "2024-01-01T24:00:00Z",
            "2024-1-1",
            "2024-01-01T00:00:60Z",
        ] {
            assert_eq!(month(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_plain_number_is_the_feeds_number(text in "-?[0-9]{0,17}(\\.[0-9]{0,19})?") {
            if let Some(plain) = number(text.as_bytes()) {
                prop_assert!(is_plain_decimal(text.as_bytes()));
                let decimal = parse_decimal(&text).unwrap();
                let units = decimal.mantissa() * 10_i128.pow(PLACES - decimal.scale());
                prop_assert_eq!(plain.units(), units);
            }
        }

        #[test]
        fn a_plain_moment_is_the_feeds_moment(text in "[0-9]{4}-[01][0-9]-[0-3][0-9](T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]Z)?") {
            if let Some(month) = month(text.as_bytes()) {
                let date = parse_date(&text).or_else(|| parse_instant(&text).map(|instant| instant.date));
                let date = date.unwrap();
                prop_assert_eq!(month, month_number(date.year(), date.month().unsigned_abs()));
            }
        }
    }
}
