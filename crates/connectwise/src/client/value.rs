//! Decimals and dates as the API writes them.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use rust_decimal::Decimal;
use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{self, Serialize, Serializer};
use serde_json::value::RawValue;

/// A decimal read from its JSON text and written as its text: no binary floating point is ever in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Number(pub Decimal);

impl Number {
    /// The value as the JSON text that is sent.
    ///
    /// # Errors
    /// Never for a decimal; the type is the JSON library's.
    pub fn to_raw(self) -> Result<Box<RawValue>, serde_json::Error> {
        RawValue::from_string(self.0.normalize().to_string())
    }
}

impl From<Decimal> for Number {
    fn from(value: Decimal) -> Self {
        Self(value)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.normalize().fmt(f)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        // Some endpoints put amounts into strings; the text inside is the same.
        let text = raw.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(raw).trim();
        parse_decimal(text)
            .map(Number)
            .ok_or_else(|| de::Error::custom(format!("`{}` is not a decimal number", short(text))))
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_raw().map_err(ser::Error::custom)?.serialize(serializer)
    }
}

fn parse_decimal(text: &str) -> Option<Decimal> {
    // The decimal library is more generous than JSON: it takes underscores.
    if text.is_empty()
        || !text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'))
    {
        return None;
    }
    if text.contains(['e', 'E']) {
        return Decimal::from_scientific(text).ok();
    }
    Decimal::from_str_exact(text).ok()
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

/// A day. Written as midnight UTC, read by its date part, and never shifted by a time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WireDate(pub Date);

impl WireDate {
    /// Reads the date part of what ConnectWise writes: `2026-01-31T00:00:00Z`, or `2026-01-31` alone.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let day = text.get(..10)?;
        let rest = text.get(10..)?;
        if !rest.is_empty() && !rest.starts_with(['T', 't', ' ']) {
            return None;
        }
        Date::from_str(day).ok().map(WireDate)
    }
}

impl fmt::Display for WireDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}T00:00:00Z", self.0)
    }
}

impl From<Date> for WireDate {
    fn from(value: Date) -> Self {
        Self(value)
    }
}

impl<'de> Deserialize<'de> for WireDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        WireDate::parse(&text).ok_or_else(|| de::Error::custom(format!("`{}` is not a date", short(&text))))
    }
}

impl Serialize for WireDate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads a date that may be absent, null or an empty text.
pub(crate) fn optional_date<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<WireDate>, D::Error> {
    let text = Option::<std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
    match text.as_deref().map(str::trim) {
        None | Some("") => Ok(None),
        Some(text) => WireDate::parse(text)
            .map(Some)
            .ok_or_else(|| de::Error::custom(format!("`{}` is not a date", short(text)))),
    }
}

/// Makes an enum of the vendor's words that keeps a word it does not know.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)+
            /// A word this client does not know: a newer version of the API may have added it.
            Unknown(String),
        }

        impl $name {
            /// The vendor's word.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $($name::$variant => stringify!($variant),)+
                    $name::Unknown(word) => word,
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                $(if word.eq_ignore_ascii_case(stringify!($variant)) { return Ok($name::$variant); })+
                Ok($name::Unknown(word.into_owned()))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}
pub(crate) use words;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("0.0", "0")]
    #[case("4546628.64", "4546628.64")]
    #[case("12345678901234.123456", "12345678901234.123456")]
    #[case("-3.64", "-3.64")]
    #[case("1e3", "1000")]
    #[case("1.5E-7", "0.00000015")]
    #[case("\"22.00\"", "22")]
    fn numbers_keep_their_text(#[case] json: &str, #[case] written: &str) {
        let number: Number = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&number).unwrap(), written);
    }

    #[rstest]
    #[case("true")]
    #[case("\"\"")]
    #[case("\"NaN\"")]
    #[case("1e400")]
    #[case("{}")]
    #[case("[1]")]
    #[case("\"1_000\"")]
    #[case("\"1,5\"")]
    #[case("99999999999999999999999999999999999999")]
    fn what_is_no_decimal_is_an_error(#[case] json: &str) {
        assert!(serde_json::from_str::<Number>(json).is_err());
    }

    #[rstest]
    #[case("2026-01-31T00:00:00Z", true)]
    #[case("2026-01-31T23:59:59Z", true)]
    #[case("2026-01-31", true)]
    #[case("2026-02-30T00:00:00Z", false)]
    #[case("31.01.2026", false)]
    #[case("2026-01-311", false)]
    #[case("", false)]
    fn dates_by_their_date_part(#[case] text: &str, #[case] good: bool) {
        assert_eq!(WireDate::parse(text).is_some(), good, "{text}");
    }

    #[test]
    fn dates_are_written_as_midnight_utc() {
        let date = WireDate(jiff::civil::date(2026, 1, 31));
        assert_eq!(serde_json::to_string(&date).unwrap(), "\"2026-01-31T00:00:00Z\"");
    }

    proptest! {
        #[test]
        fn any_decimal_survives_the_wire(mantissa in any::<i64>(), scale in 0_u32..18) {
            let value = Decimal::new(mantissa, scale);
            let text = serde_json::to_string(&Number(value)).unwrap();
            let back: Number = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(back.0, value);
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = WireDate::parse(&text);
            let _ = serde_json::from_str::<Number>(&text);
        }
    }
}
