//! Conditions of a list call, built so that a value can never change their meaning.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::Decimal;

use super::wire::names;

/// A value inside a condition.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// A whole number.
    Int(i64),
    /// A decimal.
    Decimal(Decimal),
    /// A text.
    Text(String),
    /// True or false.
    Bool(bool),
    /// A day, written as midnight UTC.
    Day(Date),
    /// An instant, written in whole seconds.
    Instant(Timestamp),
    /// Nothing.
    Null,
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Literal::Int(n) => n.fmt(f),
            Literal::Decimal(d) => d.normalize().fmt(f),
            Literal::Text(text) => write!(f, "\"{}\"", escape(text)),
            Literal::Bool(true) => f.write_str("True"),
            Literal::Bool(false) => f.write_str("False"),
            Literal::Day(day) => write!(f, "[{day}T00:00:00Z]"),
            Literal::Instant(at) => write!(f, "[{}]", at.strftime("%Y-%m-%dT%H:%M:%SZ")),
            Literal::Null => f.write_str("null"),
        }
    }
}

macro_rules! literal_from {
    ($($from:ty => $variant:ident),+) => {
        $(impl From<$from> for Literal {
            fn from(value: $from) -> Self {
                Literal::$variant(value.into())
            }
        })+
    };
}
literal_from!(i64 => Int, i32 => Int, Decimal => Decimal, &str => Text, String => Text, bool => Bool, Date => Day, Timestamp => Instant);

/// Backslash and quote are escaped; a control character cannot be part of any value worth looking for.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    for c in text.chars() {
        match c {
            '\\' | '"' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// A condition.
///
/// ```
/// use trueup_connectwise::client::Cond;
/// let cond = Cond::eq("company/id", 5).and(Cond::ne("cancelledFlag", true));
/// assert_eq!(cond.to_string(), "company/id = 5 and cancelledFlag != True");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cond {
    text: String,
    /// Whether `or` stands at the outermost level, so that `and` needs parentheses around it.
    loose: bool,
}

impl Cond {
    fn simple(field: &'static str, operator: &str, value: impl fmt::Display) -> Self {
        Self { text: format!("{field} {operator} {value}"), loose: false }
    }

    /// `field = value`
    pub fn eq(field: &'static str, value: impl Into<Literal>) -> Self {
        Self::simple(field, "=", value.into())
    }

    /// `field != value`
    pub fn ne(field: &'static str, value: impl Into<Literal>) -> Self {
        Self::simple(field, "!=", value.into())
    }

    /// `field > value`
    pub fn gt(field: &'static str, value: impl Into<Literal>) -> Self {
        Self::simple(field, ">", value.into())
    }

    /// `field >= value`
    pub fn ge(field: &'static str, value: impl Into<Literal>) -> Self {
        Self::simple(field, ">=", value.into())
    }

    /// `field < value`
    pub fn lt(field: &'static str, value: impl Into<Literal>) -> Self {
        Self::simple(field, "<", value.into())
    }

    /// `field <= value`
    pub fn le(field: &'static str, value: impl Into<Literal>) -> Self {
        Self::simple(field, "<=", value.into())
    }

    /// `field = null`
    #[must_use]
    pub fn is_null(field: &'static str) -> Self {
        Self::simple(field, "=", Literal::Null)
    }

    /// `field like "*text*"`, where `text` is searched for as it stands.
    ///
    /// The wildcards `*` and `%` inside the text match themselves at least; the caller filters again. An opening bracket
    /// starts a character class in the vendor's database and is written as one.
    #[must_use]
    pub fn like(field: &'static str, text: &str) -> Self {
        let pattern = format!("*{}*", text.replace('[', "[[]"));
        Self::simple(field, "like", Literal::Text(pattern))
    }

    /// `field in (1,2,3)`. An empty list is a condition that nothing meets.
    #[must_use]
    pub fn in_ids(field: &'static str, ids: &[i64]) -> Self {
        if ids.is_empty() {
            return Self::eq(names::ID, -1);
        }
        let list: Vec<String> = ids.iter().map(i64::to_string).collect();
        Self { text: format!("{field} in ({})", list.join(",")), loose: false }
    }

    /// `field in ("a","b")`. An empty list is a condition that nothing meets.
    #[must_use]
    pub fn in_texts(field: &'static str, texts: &[&str]) -> Self {
        if texts.is_empty() {
            return Self::eq(names::ID, -1);
        }
        let list: Vec<String> = texts.iter().map(|text| Literal::from(*text).to_string()).collect();
        Self { text: format!("{field} in ({})", list.join(",")), loose: false }
    }

    /// Both.
    #[must_use]
    pub fn and(self, other: Cond) -> Self {
        Self { text: format!("{} and {}", self.tight(), other.tight()), loose: false }
    }

    /// Either.
    #[must_use]
    pub fn or(self, other: Cond) -> Self {
        Self { text: format!("{} or {}", self.text, other.text), loose: true }
    }

    fn tight(self) -> String {
        if self.loose { format!("({})", self.text) } else { self.text }
    }
}

impl fmt::Display for Cond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Percent-encodes everything but unreserved characters: `+`, `*` and `,` have a meaning of their own on the way.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for nibble in [byte >> 4, byte & 15] {
                out.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0').to_ascii_uppercase());
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn conditions_read_as_the_vendor_writes_them() {
        let cond = Cond::eq("company/id", 19)
            .and(Cond::eq("status/name", "New").or(Cond::is_null("dateCancelled")))
            .and(Cond::ge("startDate", date(2026, 1, 31)));
        assert_eq!(
            cond.to_string(),
            "company/id = 19 and (status/name = \"New\" or dateCancelled = null) and startDate >= [2026-01-31T00:00:00Z]"
        );
        assert_eq!(Cond::in_ids("id", &[3, 1]).to_string(), "id in (3,1)");
        assert_eq!(Cond::in_texts("externalXRef", &["a", "b"]).to_string(), "externalXRef in (\"a\",\"b\")");
        assert_eq!(Cond::in_texts("externalXRef", &[]).to_string(), "id = -1");
        assert_eq!(Cond::like("summary", "a[b]").to_string(), "summary like \"*a[[]b]*\"");
        let at: Timestamp = "2016-08-20T18:04:26.75Z".parse().unwrap();
        assert_eq!(Cond::gt("lastUpdated", at).to_string(), "lastUpdated > [2016-08-20T18:04:26Z]");
    }

    /// Reads a quoted text back as the server does.
    fn unquote(text: &str) -> Option<String> {
        let inner = text.strip_prefix('"')?.strip_suffix('"')?;
        let mut out = String::new();
        let mut chars = inner.chars();
        while let Some(c) = chars.next() {
            match c {
                '\\' => out.push(chars.next()?),
                '"' => return None,
                c => out.push(c),
            }
        }
        Some(out)
    }

    proptest! {
        #[test]
        fn a_text_stays_inside_its_quotes(text in any::<String>()) {
            let written = Literal::Text(text.clone()).to_string();
            let expected: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            prop_assert_eq!(unquote(&written), Some(expected));
        }

        #[test]
        fn encoding_comes_back_whole(text in any::<String>()) {
            let query = format!("conditions={}", encode(&text));
            prop_assert!(query.is_ascii());
            let back: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
            prop_assert_eq!(back, vec![("conditions".to_owned(), text)]);
        }
    }
}
