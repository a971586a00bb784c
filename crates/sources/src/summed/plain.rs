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

/// Whether all of it is ASCII without a zero byte.
pub(super) fn is_ascii_text(bytes: &[u8]) -> bool {
    // Without a way out in the middle: so whole vectors are looked at.
    bytes.chunks(1 << 12).all(|some| some.iter().fold(true, |all, byte| all & (byte.wrapping_sub(1) < 0x7f)))
}

/// A one in each byte of a word.
pub(super) const EACH: u64 = 0x0101_0101_0101_0101;

/// The highest bit of each byte that is the same in both words.
pub(super) fn equal(word: u64, wanted: u64) -> u64 {
    let differs = word ^ wanted;
    let low = 0x7f * EACH;
    !(((differs & low) + low) | differs | low)
}

/// Eight zeros.
const ZEROS: u64 = 0x30 * EACH;

/// The last digits, up to eight, of what ends at a place; what stands before them are zeros. None so near the beginning
/// that there are no eight bytes.
#[inline]
fn last_eight(row: &[u8], end: usize, digits: usize) -> Option<u64> {
    let (_, word) = row.get(..end)?.split_last_chunk::<8>()?;
    let word = u64::from_le_bytes(*word);
    if digits >= 8 {
        return Some(word);
    }
    let before = u64::MAX >> (8 * digits);
    Some((word & !before) | (ZEROS & before))
}

/// The number of eight digits, the first one in the lowest byte; none where one is no digit.
#[inline]
fn eight_digits(word: u64) -> Option<i64> {
    const HALVES: u64 = 0xf0 * EACH;
    if word & HALVES != ZEROS || word.wrapping_add(0x06 * EACH) & HALVES != ZEROS {
        return None;
    }
    // Pairs, then fours, then all: each product adds a digit to ten times the one before it.
    let pairs = ((word & (0x0f * EACH)).wrapping_mul(10 * 256 + 1) >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100 * 65_536 + 1) >> 16) & 0x0000_ffff_0000_ffff;
    let all = fours.wrapping_mul(10_000 * 4_294_967_296 + 1) >> 32;
    i64::try_from(all).ok()
}

/// Reads the number between two places of a row. The same as [`number`] of these bytes.
pub(super) fn number_in(row: &[u8], from: usize, to: usize) -> Option<Plain> {
    short_number(row, from, to).or_else(|| number(row.get(from..to)?))
}

/// A number without a sign, of up to eight digits before the point and up to seven behind it.
#[inline]
fn short_number(row: &[u8], from: usize, to: usize) -> Option<Plain> {
    let length = to.checked_sub(from).filter(|length| *length > 0)?;
    let word = last_eight(row, to, length)?;
    let points = equal(word, u64::from(b'.') * EACH);
    if points == 0 {
        return if length <= 8 { Some(Plain { mantissa: eight_digits(word)?, places: 0 }) } else { None };
    }
    let places = 7 - points.trailing_zeros() / 8;
    let whole = length.checked_sub(places as usize + 1).filter(|whole| (1..=8).contains(whole))?;
    if places == 0 {
        return None;
    }
    let before = u64::MAX >> (8 * places);
    let fraction = eight_digits((word & !before) | (ZEROS & before))?;
    let whole = eight_digits(last_eight(row, to - places as usize - 1, whole)?)?;
    Some(Plain { mantissa: whole * power(places) + fraction, places })
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

/// Reads months. Nearly all lines of a file are of the same one, so the last is known by its letters.
#[derive(Debug, Default)]
pub(super) struct Months {
    /// Such as `2026-10-`, and what is known of it.
    last: [u8; 8],
    known: Option<Month>,
}

#[derive(Clone, Copy, Debug)]
struct Month {
    year: u32,
    month: u32,
}

impl Months {
    /// The month of a date's first eight characters; none where they are no such thing.
    fn of(&mut self, date: [u8; 8]) -> Option<Month> {
        if date != self.last {
            self.last = date;
            self.known = MONTH.digits(date).and_then(|[y1, y2, y3, y4, _, m1, m2, _]| {
                let (year, month) = (two(y1, y2) * 100 + two(y3, y4), two(m1, m2));
                (1..=12).contains(&month).then_some(Month { year, month })
            });
        }
        self.known
    }

    /// Reads `2026-10-31` or `2026-10-31T09:00:00Z`: the number of its month, from the year 0 on.
    pub(super) fn read(&mut self, text: &[u8]) -> Option<u32> {
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
        let day = two(day[0], day[1]);
        if hour > 23 || minute > 59 || second > 59 || day == 0 || day > 31 {
            return None;
        }
        let Month { year, month } = self.of(*date)?;
        if day > 28 {
            Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
        }
        Some(year * 12 + month - 1)
    }
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

    fn month(text: &[u8]) -> Option<u32> {
        let mut months = Months::default();
        let found = months.read(text);
        assert_eq!(months.read(text), found, "once more");
        found
    }

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
            "\x00\x00\x00\x00\x00\x00\x00\x0001",
        ] {
            assert_eq!(month(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_text_without_zero_bytes_is_told_from_others() {
        for at in [0, 15, 4_095, 4_096, 9_999] {
            let mut text = vec![b'a'; 10_000];
            assert!(is_ascii_text(&text));
            for other in [0, 0x80, 0xff] {
                text[at] = other;
                assert!(!is_ascii_text(&text), "{other} at {at}");
            }
        }
        assert!(is_ascii_text(&[1, 0x7f]) && is_ascii_text(b""));
    }

    proptest! {
        #[test]
        fn a_number_in_a_row_is_the_number_of_its_bytes(
            before in "[0-9,.]{0,12}",
            text in "-?[0-9]{0,10}([.x /:][0-9]{0,9}){0,2}",
            behind in "[0-9,.]{0,9}",
        ) {
            let row = format!("{before}{text}{behind}");
            let (from, to) = (before.len(), before.len() + text.len());
            prop_assert_eq!(number_in(row.as_bytes(), from, to), number(text.as_bytes()));
        }

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
