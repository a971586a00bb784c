//! Dates and instants from their text, strictly: `YYYY-MM-DD` and RFC 3339 with an offset.

use jiff::civil::Date;

/// An instant with the civil date it has in its own offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instant {
    /// Civil date in its own offset.
    pub(crate) date: Date,
    /// Microseconds since 1970 in UTC.
    pub(crate) micros: i64,
}

fn digits(bytes: &[u8]) -> Option<i64> {
    let mut value = 0_i64;
    for byte in bytes {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(byte - b'0');
    }
    Some(value)
}

/// Reads `YYYY-MM-DD`.
pub(crate) fn parse_date(text: &str) -> Option<Date> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let year = i16::try_from(digits(&bytes[..4])?).ok()?;
    let month = i8::try_from(digits(&bytes[5..7])?).ok()?;
    let day = i8::try_from(digits(&bytes[8..])?).ok()?;
    Date::new(year, month, day).ok()
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar.
fn day_number(date: Date) -> i64 {
    // The year begins in March, so that the leap day is its last day.
    let month = i64::from(date.month());
    let year = i64::from(date.year()) - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + i64::from(date.day()) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Midnight of the date in UTC, in microseconds since 1970.
pub(crate) fn midnight_micros(date: Date) -> i64 {
    day_number(date) * 86_400_000_000
}

/// Reads RFC 3339 with an offset. A leap second counts as the second before it.
pub(crate) fn parse_instant(text: &str) -> Option<Instant> {
    let bytes = text.as_bytes();
    if bytes.len() < 20 || !matches!(bytes[10], b'T' | b't' | b' ') || bytes[13] != b':' || bytes[16] != b':'
    {
        return None;
    }
    let date = parse_date(text.get(..10)?)?;
    let (hour, minute) = (digits(&bytes[11..13])?, digits(&bytes[14..16])?);
    let second = digits(&bytes[17..19])?;
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (fraction, offset) = split_fraction(&bytes[19..])?;
    let seconds = hour * 3600 + minute * 60 + second.min(59) - offset_seconds(offset)?;
    let micros = day_number(date).checked_mul(86_400)?.checked_add(seconds)?.checked_mul(1_000_000)?;
    Some(Instant { date, micros: micros + fraction })
}

/// Microseconds of `.123456789`, and what follows.
fn split_fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some((b'.', rest)) = rest.split_first().map(|(b, r)| (*b, r)) else { return Some((0, rest)) };
    let length = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    if length == 0 {
        return None;
    }
    let mut value = 0;
    for digit in rest[..length].iter().chain(b"000000").take(6) {
        value = value * 10 + i64::from(digit - b'0');
    }
    Some((value, &rest[length..]))
}

fn offset_seconds(offset: &[u8]) -> Option<i64> {
    match offset {
        b"Z" | b"z" => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let seconds = hours * 3600 + minutes * 60;
            Some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None, // open set: bytes of a foreign text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keeps_the_civil_date_of_its_own_offset() {
        let instant = parse_instant("2025-06-01T00:00:00+03:00").unwrap();
        assert_eq!(instant.date.to_string(), "2025-06-01");
        assert_eq!(instant.micros, parse_instant("2025-05-31T21:00:00Z").unwrap().micros);
        assert_eq!(parse_instant("1970-01-01T00:00:00.0000019Z").unwrap().micros, 1);
    }

    #[test]
    fn refuses_other_forms() {
        for text in ["2025-02-30", "2025-2-3", "20250203", "2025-02-03T00:00:00Z", "", "２０25-01-01"] {
            assert_eq!(parse_date(text), None, "{text}");
        }
        for text in [
            "2025-02-03",
            "2025-02-03T00:00:00",
            "2025-02-03T24:00:00Z",
            "2025-02-03T00:00:00.Z",
            "2025-02-03T00:00:00+3",
            "2025-02-03T00:00Z",
        ] {
            assert_eq!(parse_instant(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_jiff(seconds in -62_000_000_000_i64..250_000_000_000) {
            let stamp = jiff::Timestamp::from_second(seconds).unwrap();
            prop_assert_eq!(parse_instant(&stamp.to_string()).unwrap().micros, stamp.as_microsecond());
        }

        #[test]
        fn never_panics(text in "\\PC{0,40}") {
            let _ = (parse_date(&text), parse_instant(&text));
        }
    }
}
