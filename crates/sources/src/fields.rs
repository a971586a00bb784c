//! Typed values out of JSON fields, each with a refusal that says what is wrong, why and what to do.

use crate::json::{Kind, Value};
use crate::time::{Instant, parse_date, parse_instant};
use jiff::civil::Date;
use std::borrow::Cow;
use trueup_domain::feed::Ext;
use trueup_domain::money::{Currency, Money, Quantity, parse_decimal};
use trueup_domain::period::{BillingCycle, CycleUnit, Period};

/// A record refused: broken, contradictory, of an unknown kind or state.
pub(crate) const REFUSED: &str = "TU8004";
/// A quantity that cannot be.
pub(crate) const BAD_QUANTITY: &str = "TU5004";
/// A price or cost is missing.
pub(crate) const NO_PRICE: &str = "TU6002";
/// A list that did not arrive whole.
pub(crate) const INCOMPLETE: &str = "TU8002";

/// The longest id.
const MAX_ID_CHARS: usize = 200;

/// Why a field is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Dotted path of the field; empty for the whole record.
    pub(crate) field: String,
    /// Byte offset in the record's text.
    pub(crate) at: usize,
    /// Exception code.
    pub(crate) code: &'static str,
    /// What, why, what to do.
    pub(crate) reason: String,
}

impl Fault {
    /// A fault of this very value.
    pub(crate) fn of(value: Value<'_>, reason: impl Into<String>) -> Self {
        Self { field: String::new(), at: value.offset(), code: REFUSED, reason: reason.into() }
    }

    /// The same fault under another code.
    pub(crate) fn coded(self, code: &'static str) -> Self {
        Self { code, ..self }
    }

    /// The fault seen from one level up.
    pub(crate) fn under(mut self, name: &str) -> Self {
        if self.field.is_empty() {
            name.clone_into(&mut self.field);
        } else {
            self.field = format!("{name}.{}", self.field);
        }
        self
    }
}

/// How a field is read.
pub(crate) type Reader<'t, T> = fn(Value<'t>) -> Result<T, Fault>;

/// At most 60 characters of a value, for a sentence.
pub(crate) fn shown(value: Value<'_>) -> String {
    let raw = value.raw();
    let mut text: String = raw.chars().take(60).collect();
    if text.len() < raw.len() {
        text.push('…');
    }
    text
}

fn wrong_kind(value: Value<'_>, wanted: &str) -> Fault {
    Fault::of(value, format!("it must be {wanted}, and here is {}: {}", value.kind().shown(), shown(value)))
}

/// A field that may be absent; null counts as absent.
pub(crate) fn opt<'t, T>(object: Value<'t>, name: &str, read: Reader<'t, T>) -> Result<Option<T>, Fault> {
    match object.get(name) {
        Some(value) => read(value).map(Some).map_err(|fault| fault.under(name)),
        None => Ok(None),
    }
}

/// A field that must be there.
pub(crate) fn req<'t, T>(object: Value<'t>, name: &str, read: Reader<'t, T>) -> Result<T, Fault> {
    opt(object, name, read)?.ok_or_else(|| {
        Fault::of(object, "the record lacks this field, and cannot be used without it; add it at the source")
            .under(name)
    })
}

/// Any text.
pub(crate) fn text(value: Value<'_>) -> Result<String, Fault> {
    value.as_text().map(Cow::into_owned).ok_or_else(|| wrong_kind(value, "text in quotes"))
}

/// Text with something in it.
pub(crate) fn filled(value: Value<'_>) -> Result<String, Fault> {
    let text = text(value)?;
    if text.trim().is_empty() {
        return Err(Fault::of(value, "it is empty; give it a text"));
    }
    Ok(text)
}

/// An id: 1 to 200 characters, opaque.
pub(crate) fn id(value: Value<'_>) -> Result<String, Fault> {
    let text = text(value)?;
    if text.trim().is_empty() {
        return Err(Fault::of(value, "the id is empty; every record needs one of its own"));
    }
    if text.len() > MAX_ID_CHARS && text.chars().count() > MAX_ID_CHARS {
        return Err(Fault::of(value, "the id is longer than 200 characters; use a shorter one"));
    }
    Ok(text)
}

/// The text of a decimal: of a JSON number as it stands, of a text only in plain notation.
fn decimal(value: Value<'_>) -> Result<rust_decimal::Decimal, Fault> {
    let held;
    let text = match value.kind() {
        Kind::Number => value.raw(),
        Kind::Text => {
            held = value.as_text().unwrap_or_default();
            if !is_plain_decimal(held.as_bytes()) {
                let reason = format!(
                    "{} is not a decimal number; write plain digits with a point, such as \"12.50\"",
                    shown(value)
                );
                return Err(Fault::of(value, reason));
            }
            &*held
        }
        Kind::Null | Kind::True | Kind::False | Kind::Array | Kind::Object => {
            return Err(wrong_kind(value, "a decimal number, in quotes or bare"));
        }
    };
    parse_decimal(text).map_err(|e| Fault::of(value, format!("{e}; correct the number at the source")))
}

/// `-12`, `0.50`; no exponent, no plus, no blanks, no separators.
pub(crate) fn is_plain_decimal(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let mut parts = bytes.splitn(2, |b| *b == b'.');
    let all_digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    parts.next().is_some_and(all_digits) && parts.next().is_none_or(all_digits)
}

/// An amount or price.
pub(crate) fn money(value: Value<'_>) -> Result<Money, Fault> {
    decimal(value).map(Money::new)
}

/// A quantity of either sign.
pub(crate) fn signed(value: Value<'_>) -> Result<Quantity, Fault> {
    decimal(value).map(Quantity::new).map_err(|fault| fault.coded(BAD_QUANTITY))
}

/// A quantity of zero or more.
pub(crate) fn quantity(value: Value<'_>) -> Result<Quantity, Fault> {
    let quantity = signed(value)?;
    if quantity.is_negative() {
        return Err(negative(value));
    }
    Ok(quantity)
}

/// The refusal of a quantity below zero.
pub(crate) fn negative(value: Value<'_>) -> Fault {
    let reason = format!(
        "{} is below zero, and a quantity here is a level that cannot be; send the whole quantity, or a refund line",
        shown(value)
    );
    Fault::of(value, reason).coded(BAD_QUANTITY)
}

/// A civil date.
pub(crate) fn date(value: Value<'_>) -> Result<Date, Fault> {
    value.as_text().and_then(|text| parse_date(&text)).ok_or_else(|| {
        Fault::of(
            value,
            format!("{} is not a date; write it as \"2025-01-31\", without a time", shown(value)),
        )
    })
}

/// An instant, with the text it came as.
pub(crate) fn instant(value: Value<'_>) -> Result<(String, Instant), Fault> {
    let text = value.as_text();
    let parsed = text.as_deref().and_then(parse_instant);
    match (text, parsed) {
        (Some(text), Some(instant)) => Ok((text.into_owned(), instant)),
        (Some(_) | None, _) => {
            let reason = format!(
                "{} is not an instant; write date, time and offset, such as \"2025-01-31T09:00:00Z\"",
                shown(value)
            );
            Err(Fault::of(value, reason))
        }
    }
}

/// An instant, as its text.
pub(crate) fn instant_text(value: Value<'_>) -> Result<String, Fault> {
    instant(value).map(|(text, _)| text)
}

/// A date or an instant: the text, and the microseconds in UTC (a date counts from its midnight).
pub(crate) fn moment(value: Value<'_>) -> Result<(String, i64), Fault> {
    if let Some(text) = value.as_text()
        && let Some(date) = parse_date(&text)
    {
        return Ok((text.into_owned(), crate::time::midnight_micros(date)));
    }
    match instant(value) {
        Ok((text, instant)) => Ok((text, instant.micros)),
        Err(_) => {
            let reason = format!(
                "{} is neither a date nor an instant; write \"2025-01-31\" or \"2025-01-31T09:00:00Z\"",
                shown(value)
            );
            Err(Fault::of(value, reason))
        }
    }
}

/// A currency.
pub(crate) fn currency(value: Value<'_>) -> Result<Currency, Fault> {
    let text = value.as_text().ok_or_else(|| wrong_kind(value, "a currency code in quotes"))?;
    text.parse().map_err(|e| Fault::of(value, format!("{e}; use three capital letters, such as \"EUR\"")))
}

/// `true` or `false`.
pub(crate) fn boolean(value: Value<'_>) -> Result<bool, Fault> {
    match value.kind() {
        Kind::True => Ok(true),
        Kind::False => Ok(false),
        Kind::Text if value.is_loose() => match value.as_text().as_deref() {
            Some("true" | "TRUE" | "True") => Ok(true),
            Some("false" | "FALSE" | "False") => Ok(false),
            Some(_) | None => Err(wrong_kind(value, "true or false")),
        },
        Kind::Null | Kind::Number | Kind::Text | Kind::Array | Kind::Object => {
            Err(wrong_kind(value, "true or false, without quotes"))
        }
    }
}

/// A whole number from `least` to `most`.
pub(crate) fn whole(value: Value<'_>, least: u32, most: u32) -> Result<u32, Fault> {
    let fits = value.kind() == Kind::Number || (value.is_loose() && value.kind() == Kind::Text);
    let number = if fits { decimal(value).ok() } else { None };
    number
        .filter(rust_decimal::Decimal::is_integer)
        .and_then(|n| u32::try_from(n).ok())
        .filter(|n| (least..=most).contains(n))
        .ok_or_else(|| {
            Fault::of(value, format!("{} is not a whole number from {least} to {most}", shown(value)))
        })
}

/// An object, for the readers of its parts.
pub(crate) fn object(value: Value<'_>) -> Result<Value<'_>, Fault> {
    if value.kind() == Kind::Object { Ok(value) } else { Err(wrong_kind(value, "an object")) }
}

/// A list, for the readers of its items.
pub(crate) fn list(value: Value<'_>) -> Result<Value<'_>, Fault> {
    if value.kind() == Kind::Array { Ok(value) } else { Err(wrong_kind(value, "a list")) }
}

/// A billing cycle.
pub(crate) fn cycle(value: Value<'_>) -> Result<BillingCycle, Fault> {
    let value = object(value)?;
    let every = req(value, "every", |v| whole(v, 1, 120))?;
    let unit = req(value, "unit", |v| {
        word(
            v,
            &[
                ("day", CycleUnit::Day),
                ("week", CycleUnit::Week),
                ("month", CycleUnit::Month),
                ("year", CycleUnit::Year),
            ],
        )
    })?;
    BillingCycle::new(every, unit).map_err(|e| Fault::of(value, e.to_string()))
}

/// A half-open period.
pub(crate) fn period(value: Value<'_>) -> Result<Period, Fault> {
    let value = object(value)?;
    let start = req(value, "start", date)?;
    let end = req(value, "end", date)?;
    Period::new(start, end).map_err(|_| {
        let reason = format!(
            "it runs from {start} to {end}, which holds no day: `end` is the first day that no longer counts and \
             must be later than `start`"
        );
        Fault::of(value, reason)
    })
}

/// One of a few words.
pub(crate) fn word<T: Copy>(value: Value<'_>, words: &[(&str, T)]) -> Result<T, Fault> {
    let text = value.as_text();
    if let Some(text) = &text
        && let Some((_, meaning)) = words.iter().find(|(word, _)| word == text)
    {
        return Ok(*meaning);
    }
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    Err(Fault::of(value, format!("{} is not known here; use one of: {}", shown(value), known.join(", "))))
}

/// One of a few words, kept as text.
pub(crate) fn one_of(value: Value<'_>, words: &[&str]) -> Result<String, Fault> {
    match value.as_text() {
        Some(text) if words.contains(&&*text) => Ok(text.into_owned()),
        Some(_) | None => Err(Fault::of(
            value,
            format!("{} is not known here; use one of: {}", shown(value), words.join(", ")),
        )),
    }
}

/// Puts every field that nobody asked for into `ext`, under its dotted path, as the JSON text it came with. An object
/// `ext` at the top is opened, so that what was kept once comes back as the same.
pub(crate) fn keep_unknown(object: Value<'_>, ext: &mut Ext) -> Result<(), Fault> {
    for child in object.children() {
        if !child.is_taken() && child.kind() == Kind::Object && child.key() == "ext" {
            for inner in child.children() {
                keep(inner, inner.key().into_owned(), ext).map_err(|fault| fault.under("ext"))?;
            }
        } else {
            keep_below(child, "", ext)?;
        }
    }
    Ok(())
}

fn keep_below(value: Value<'_>, prefix: &str, ext: &mut Ext) -> Result<(), Fault> {
    if !value.is_taken() {
        return keep(value, format!("{prefix}{}", value.key()), ext);
    }
    match value.kind() {
        Kind::Null | Kind::True | Kind::False | Kind::Number | Kind::Text => {}
        Kind::Object => {
            // The path is only written out once something below is unknown.
            if value.children().any(needs_keeping) {
                let inside = format!("{prefix}{}.", value.key());
                for child in value.children() {
                    keep_below(child, &inside, ext)?;
                }
            }
        }
        Kind::Array => {
            for (index, item) in value.children().enumerate() {
                if item.kind() == Kind::Object && item.children().any(needs_keeping) {
                    let inside = format!("{prefix}{}[{index}].", value.key());
                    for child in item.children() {
                        keep_below(child, &inside, ext)?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// Whether something may have to be kept at or below the value.
fn needs_keeping(value: Value<'_>) -> bool {
    !value.is_taken() || matches!(value.kind(), Kind::Object | Kind::Array)
}

fn keep(value: Value<'_>, name: String, ext: &mut Ext) -> Result<(), Fault> {
    if ext.0.contains_key(&name) {
        let reason = "the field is unknown here and stands in `ext` as well; keep one of the two";
        return Err(Fault::of(value, reason).under(&name));
    }
    let raw = serde_json::value::RawValue::from_string(value.raw().to_owned())
        .map_err(|e| Fault::of(value, format!("it is not JSON that can be kept: {e}")).under(&name))?;
    ext.0.insert(name, raw);
    Ok(())
}
