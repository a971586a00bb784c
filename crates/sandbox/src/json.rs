//! A JSON value that keeps decimals exact.
//!
//! `serde_json::Value` reads `12.10` into a binary double. Money must not pass through one, not even in a simulator,
//! because a test that compares cents would then test the simulator's rounding. Numbers are therefore read from
//! their text into [`Decimal`] and printed the way the real server prints a double: at least one decimal place.

use std::fmt::Write as _;

use rust_decimal::Decimal;
use serde_json::value::RawValue;

/// Deepest nesting accepted in a body; the vendor's own records need four levels.
const MAX_DEPTH: usize = 32;

/// Any JSON value; object members keep their order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A whole number; printed without a decimal point.
    Int(i64),
    /// A double in the vendor's schema; printed with a decimal point.
    Dec(Decimal),
    /// Text.
    Str(String),
    /// An array.
    Arr(Vec<Json>),
    /// An object, in order.
    Obj(Vec<(String, Json)>),
}

/// Why a text is not a usable JSON document.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JsonError {
    /// The text is not JSON.
    #[error("not valid JSON: {0}")]
    Syntax(#[from] serde_json::Error),
    /// The document nests deeper than [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// The number does not fit an exact decimal.
    #[error("the number {0} is out of range")]
    Number(String),
}

impl Json {
    /// Reads a document.
    pub(crate) fn parse(text: &str) -> Result<Self, JsonError> {
        let raw: &RawValue = serde_json::from_str(text)?;
        Self::from_raw(raw, 0)
    }

    fn from_raw(raw: &RawValue, depth: usize) -> Result<Self, JsonError> {
        if depth > MAX_DEPTH {
            return Err(JsonError::TooDeep);
        }
        let text = raw.get();
        Ok(match text.as_bytes().first() {
            Some(b'{') => {
                let members: Members<'_> = serde_json::from_str(text)?;
                let mut out: Vec<(String, Json)> = Vec::with_capacity(members.0.len());
                for (name, value) in members.0 {
                    let value = Self::from_raw(value, depth + 1)?;
                    // The last of two equal names wins, as it does on the real server.
                    match out.iter_mut().find(|(known, _)| *known == name) {
                        Some(slot) => slot.1 = value,
                        None => out.push((name, value)),
                    }
                }
                Json::Obj(out)
            }
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(text)?;
                Json::Arr(
                    items
                        .into_iter()
                        .map(|item| Self::from_raw(item, depth + 1))
                        .collect::<Result<_, _>>()?,
                )
            }
            Some(b'"') => Json::Str(serde_json::from_str(text)?),
            Some(b't') => Json::Bool(true),
            Some(b'f') => Json::Bool(false),
            Some(b'n') | None => Json::Null,
            Some(_) => Self::number(text).ok_or_else(|| JsonError::Number(text.to_owned()))?,
        })
    }

    /// Reads a number from its text.
    pub(crate) fn number(text: &str) -> Option<Self> {
        if !text.contains(['.', 'e', 'E'])
            && let Ok(whole) = text.parse::<i64>()
        {
            return Some(Json::Int(whole));
        }
        decimal(text).map(Json::Dec)
    }

    /// Converts from the value type of the public interface.
    pub(crate) fn from_value(value: &serde_json::Value) -> Result<Self, JsonError> {
        Self::parse(&value.to_string())
    }

    /// Converts to the value type of the public interface.
    pub(crate) fn to_value(&self) -> serde_json::Value {
        serde_json::from_str(&self.to_text()).unwrap_or(serde_json::Value::Null)
    }

    /// The member of an object, by exact name.
    pub(crate) fn get(&self, name: &str) -> Option<&Json> {
        match self {
            Json::Obj(members) => members.iter().find(|(known, _)| known == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Sets or adds a member of an object; other values are left alone.
    pub(crate) fn set(&mut self, name: &str, value: Json) {
        if let Json::Obj(members) = self {
            match members.iter_mut().find(|(known, _)| known == name) {
                Some(slot) => slot.1 = value,
                None => members.push((name.to_owned(), value)),
            }
        }
    }

    /// The text of a string.
    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Json::Str(text) => Some(text),
            _ => None,
        }
    }

    /// A whole number; text of digits counts, since the vendor's server coerces ids sent as text.
    pub(crate) fn as_int(&self) -> Option<i64> {
        match self {
            Json::Int(whole) => Some(*whole),
            Json::Dec(number) if number.fract().is_zero() => i64::try_from(*number).ok(),
            Json::Str(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// A number.
    pub(crate) fn as_decimal(&self) -> Option<Decimal> {
        match self {
            Json::Int(whole) => Some(Decimal::from(*whole)),
            Json::Dec(number) => Some(*number),
            Json::Str(text) => decimal(text.trim()),
            _ => None,
        }
    }

    /// A boolean.
    pub(crate) fn as_bool(&self) -> Option<bool> {
        match self {
            Json::Bool(flag) => Some(*flag),
            _ => None,
        }
    }

    /// The items of an array.
    pub(crate) fn as_array(&self) -> Option<&[Json]> {
        match self {
            Json::Arr(items) => Some(items),
            _ => None,
        }
    }

    /// Prints the document compactly.
    pub(crate) fn to_text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    /// Appends the document to a text.
    pub(crate) fn write(&self, out: &mut String) {
        match self {
            Json::Null => out.push_str("null"),
            Json::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
            Json::Int(whole) => {
                let _ = write!(out, "{whole}");
            }
            Json::Dec(number) => out.push_str(&double_text(*number)),
            Json::Str(text) => write_string(text, out),
            Json::Arr(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Json::Obj(members) => {
                out.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    write_string(name, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Json::Str(text.to_owned())
    }
}

/// Builds an object from name and value pairs.
pub(crate) fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
    Json::Obj(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// Reads a decimal, plain or with an exponent.
pub(crate) fn decimal(text: &str) -> Option<Decimal> {
    if text.contains(['e', 'E']) { Decimal::from_scientific(text).ok() } else { text.parse().ok() }
}

/// The text of a double as the vendor's server prints it: `5` becomes `5.0`, `5.10` becomes `5.1`.
pub(crate) fn double_text(number: Decimal) -> String {
    let mut text = number.normalize().to_string();
    if !text.contains('.') {
        text.push_str(".0");
    }
    text
}

fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for symbol in text.chars() {
        match symbol {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if (control as u32) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", control as u32);
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

/// The members of an object, in order, their values unread.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Members<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<'a>(std::marker::PhantomData<&'a ()>);
        impl<'de: 'a, 'a> serde::de::Visitor<'de> for Visitor<'a> {
            type Value = Members<'a>;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut out = Vec::new();
                while let Some(entry) = map.next_entry::<String, &'de RawValue>()? {
                    out.push(entry);
                }
                Ok(Members(out))
            }
        }
        deserializer.deserialize_map(Visitor(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_their_value_and_print_as_doubles() {
        let value = Json::parse(r#"{"a":5,"b":5.0,"c":0.1,"d":1e2,"e":12.50,"f":"x\"\u0001"}"#).unwrap();
        assert_eq!(value.to_text(), r#"{"a":5,"b":5.0,"c":0.1,"d":100.0,"e":12.5,"f":"x\"\u0001"}"#);
    }

    #[test]
    fn deep_nesting_is_refused() {
        let text = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
        assert!(Json::parse(&text).is_err());
    }

    #[test]
    fn the_last_of_two_equal_names_wins() {
        assert_eq!(Json::parse(r#"{"a":1,"a":2}"#).unwrap().get("a"), Some(&Json::Int(2)));
    }
}
