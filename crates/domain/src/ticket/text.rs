//! The texts of tickets that have a form: the one line, the key and the marker of a note.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::fmt;

/// The longest one line and the longest key. ConnectWise counts UTF-16 units.
const LONGEST: usize = 100;

/// The longest marker: it is read by people at the end of each note.
const LONGEST_MARKER: usize = 40;

/// A text that cannot be a key or a marker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextFault {
    /// It is empty.
    #[error("it is empty")]
    Empty,
    /// It is too long.
    #[error("it has {length} characters, and {most} are the most")]
    TooLong {
        /// Its length.
        length: usize,
        /// The greatest length.
        most: usize,
    },
    /// It holds something else than letters, digits and `-._:/#`.
    #[error("{0:?} cannot be part of it; letters, digits and -._:/# can")]
    Character(char),
}

/// Only what no quoting, no pattern and no trimming can change.
fn checked(text: &str, most: usize) -> Result<SmolStr, TextFault> {
    if text.is_empty() {
        return Err(TextFault::Empty);
    }
    let foreign = |c: &char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':' | '/' | '#'));
    if let Some(character) = text.chars().find(foreign) {
        return Err(TextFault::Character(character));
    }
    if text.len() > most {
        return Err(TextFault::TooLong { length: text.len(), most });
    }
    Ok(SmolStr::new(text))
}

macro_rules! plain_text {
    ($(#[$doc:meta])* $name:ident, $most:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(SmolStr);

        impl $name {
            /// Takes a text.
            ///
            /// # Errors
            /// Where it is empty, too long, or holds something else than letters, digits and `-._:/#`.
            pub fn new(text: &str) -> Result<Self, TextFault> {
                checked(text, $most).map(Self)
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }
        impl TryFrom<String> for $name {
            type Error = TextFault;
            fn try_from(text: String) -> Result<Self, TextFault> {
                Self::new(&text)
            }
        }
        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0.into()
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

plain_text!(
    /// Our key of a ticket: at most 100 letters, digits and `-._:/#`.
    TicketKey,
    LONGEST
);
plain_text!(
    /// Our mark of a note: at most 40 letters, digits and `-._:/#`.
    NoteMarker,
    LONGEST_MARKER
);

impl NoteMarker {
    /// As it stands in the text of a note.
    pub fn shown(&self) -> String {
        format!("[trueup:{}]", self.0)
    }
}

/// The one line of a ticket: not empty, without line breaks, and no longer than ConnectWise takes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Summary(String);

impl Summary {
    /// Makes any text fit: blanks and controls become one blank, and what is too long is cut, with a sign that it was.
    pub fn cut(text: &str) -> Self {
        let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let words: Vec<&str> = plain.split_whitespace().collect();
        let line = words.join(" ");
        if line.is_empty() {
            return Self("Alert".into());
        }
        if line.encode_utf16().count() <= LONGEST {
            return Self(line);
        }
        let mut kept = String::new();
        let mut units = 0;
        for character in line.chars() {
            units += character.len_utf16();
            if units > LONGEST - 1 {
                break;
            }
            kept.push(character);
        }
        Self(format!("{}…", kept.trim_end()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Summary {
    fn from(text: String) -> Self {
        Self::cut(&text)
    }
}

impl From<Summary> for String {
    fn from(summary: Summary) -> Self {
        summary.0
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{NoteMarker, Summary, TextFault, TicketKey};

    #[test]
    fn ax_54_a_summary_has_at_most_100_characters() {
        assert_eq!(Summary::cut("disk full\r\n\ton  nas").as_str(), "disk full on nas");
        let long = Summary::cut(&"ab ".repeat(60));
        assert_eq!(long.as_str().encode_utf16().count(), 99, "a blank before the sign is left out");
        assert!(long.as_str().ends_with('…'));
        assert_eq!(Summary::cut(long.as_str()), long, "what was cut stays as it is");
        let wide = Summary::cut(&"😀".repeat(60));
        assert_eq!(wide.as_str().encode_utf16().count(), 99, "no half of a pair is left");
        assert_eq!(Summary::cut(&"x".repeat(100)).as_str().len(), 100);
        assert_eq!(Summary::cut(" \n").as_str(), "Alert");
    }

    #[test]
    fn a_key_holds_nothing_that_quoting_could_change() {
        assert!(TicketKey::new("tu/acme:failed_backup#2").is_ok());
        assert_eq!(TicketKey::new(""), Err(TextFault::Empty));
        assert_eq!(TicketKey::new("a b"), Err(TextFault::Character(' ')));
        assert_eq!(TicketKey::new("a\"b"), Err(TextFault::Character('"')));
        assert_eq!(TicketKey::new("a*"), Err(TextFault::Character('*')));
        assert_eq!(TicketKey::new("ä"), Err(TextFault::Character('ä')));
        assert_eq!(TicketKey::new(&"k".repeat(101)), Err(TextFault::TooLong { length: 101, most: 100 }));
        assert!(NoteMarker::new(&"k".repeat(41)).is_err());
        assert_eq!(NoteMarker::new("n1").unwrap().shown(), "[trueup:n1]");
    }
}
