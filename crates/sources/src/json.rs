//! A bounded reader of one JSON text: what it says, never what a float makes of it.
//!
//! The general readers either pass numbers through binary floats or walk nested text once per level. This one walks the
//! text once into a flat list of values that keep their place in the text, and refuses on the way what a record must not
//! have: a field twice, more than [`MAX_DEPTH`] levels, more than [`MAX_VALUES`] values, NUL characters.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;

/// How deep objects and arrays may be nested.
pub(crate) const MAX_DEPTH: usize = 64;
/// How many values one record may hold; keeps the memory of a record in proportion to a sensible one.
pub(crate) const MAX_VALUES: usize = 1 << 20;

/// What kind of value stands at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    True,
    False,
    Number,
    Text,
    Array,
    Object,
}

impl Kind {
    /// For a sentence.
    pub(crate) fn shown(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::True | Self::False => "true or false",
            Self::Number => "a number",
            Self::Text => "text",
            Self::Array => "a list",
            Self::Object => "an object",
        }
    }
}

#[derive(Debug)]
struct Node {
    start: u32,
    end: u32,
    key_start: u32,
    key_end: u32,
    /// Index behind this value and all that is inside it.
    next: u32,
    kind: Kind,
    escaped: bool,
    key_escaped: bool,
    taken: Cell<bool>,
}

/// Why a text is no JSON that can be taken in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    /// Byte offset.
    pub(crate) at: usize,
    /// What is wrong there.
    pub(crate) what: String,
}

/// Room for the values of one text, used again for the next.
#[derive(Debug, Default)]
pub(crate) struct Room {
    nodes: Vec<Node>,
}

impl Room {
    /// Reads one JSON text, surrounded by nothing but white space.
    pub(crate) fn parse<'t>(&'t mut self, text: &'t str) -> Result<Value<'t>, SyntaxError> {
        self.nodes.clear();
        if u32::try_from(text.len()).is_err() {
            return Err(SyntaxError { at: 0, what: "the text is larger than 4 GiB".into() });
        }
        let mut parser = Parser { bytes: text.as_bytes(), text, at: 0, nodes: &mut self.nodes };
        parser.blanks();
        parser.value((0, 0, false), 0)?;
        parser.blanks();
        if parser.at < text.len() {
            return parser.fail("something follows the end of the record on the same line");
        }
        Ok(Value { text, nodes: &self.nodes, at: 0, loose: false })
    }
}

struct Parser<'t, 'n> {
    bytes: &'t [u8],
    text: &'t str,
    at: usize,
    nodes: &'n mut Vec<Node>,
}

/// Start and end of a key without its quotes, and whether it holds escapes.
type Key = (u32, u32, bool);

/// Every offset is below 4 GiB: `Room::parse` saw to it.
#[allow(clippy::cast_possible_truncation)]
fn short(offset: usize) -> u32 {
    offset as u32
}

impl Parser<'_, '_> {
    fn fail<T>(&self, what: &str) -> Result<T, SyntaxError> {
        let at = self.at.min(self.bytes.len());
        let cut = at == self.bytes.len() && !what.starts_with("the text");
        let what = if cut { "the text ends in the middle of the record" } else { what };
        Err(SyntaxError { at, what: what.to_owned() })
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self, key: Key, depth: usize) -> Result<(), SyntaxError> {
        if self.nodes.len() >= MAX_VALUES {
            return self.fail("the record holds more than a million values; split it");
        }
        let index = self.nodes.len();
        let start = short(self.at);
        self.nodes.push(Node {
            start,
            end: start,
            key_start: key.0,
            key_end: key.1,
            next: 0,
            kind: Kind::Null,
            escaped: false,
            key_escaped: key.2,
            taken: Cell::new(false),
        });
        let mut escaped = false;
        let kind = match self.peek() {
            Some(b'{') => self.object(index, depth + 1)?,
            Some(b'[') => self.array(depth + 1)?,
            Some(b'"') => {
                escaped = self.string()?.2;
                Kind::Text
            }
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.word("true", Kind::True)?,
            Some(b'f') => self.word("false", Kind::False)?,
            Some(b'n') => self.word("null", Kind::Null)?,
            Some(_) => return self.fail("a value was expected here"),
            None => return self.fail("the text ends in the middle of the record"),
        };
        let next = short(self.nodes.len());
        let end = short(self.at);
        if let Some(node) = self.nodes.get_mut(index) {
            node.end = end;
            node.next = next;
            node.kind = kind;
            node.escaped = escaped;
        }
        Ok(())
    }

    fn word(&mut self, word: &str, kind: Kind) -> Result<Kind, SyntaxError> {
        if self.bytes.get(self.at..self.at + word.len()) == Some(word.as_bytes()) {
            self.at += word.len();
            Ok(kind)
        } else {
            self.fail("a value was expected here")
        }
    }

    fn digits(&mut self) -> Result<(), SyntaxError> {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == from { self.fail("a digit was expected here") } else { Ok(()) }
    }

    fn number(&mut self) -> Result<Kind, SyntaxError> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(Kind::Number)
    }

    /// Stands on the opening quote; returns the inside.
    fn string(&mut self) -> Result<Key, SyntaxError> {
        let open = self.at;
        self.at += 1;
        let mut escaped = false;
        loop {
            match self.peek() {
                None => return self.fail("the text ends inside quotes"),
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.at += 2;
                }
                Some(0..=0x1f) => {
                    return self.fail("a control character stands inside quotes; write it as an escape");
                }
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        if escaped {
            let decoded = self.text.get(open..self.at).map(serde_json::from_str::<String>);
            match decoded {
                Some(Ok(text)) if text.contains('\0') => {
                    self.at = open;
                    return self.fail("the text holds a NUL character, which cannot be stored");
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => {
                    self.at = open;
                    return self.fail("the text holds an escape that JSON does not know, or half of a character (a surrogate without its other one)");
                }
            }
        }
        Ok((short(open + 1), short(self.at - 1), escaped))
    }

    fn enter(&mut self, depth: usize) -> Result<(), SyntaxError> {
        if depth > MAX_DEPTH {
            return self.fail("objects and lists are nested more than 64 levels deep");
        }
        self.at += 1;
        self.blanks();
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<Kind, SyntaxError> {
        self.enter(depth)?;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Kind::Array);
        }
        loop {
            self.value((0, 0, false), depth)?;
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return self.fail("a comma or the end of the list was expected here"),
            }
            self.blanks();
        }
        self.at += 1;
        Ok(Kind::Array)
    }

    fn object(&mut self, index: usize, depth: usize) -> Result<Kind, SyntaxError> {
        self.enter(depth)?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Kind::Object);
        }
        let mut seen = 0_u64;
        let mut suspect = false;
        loop {
            if self.peek() != Some(b'"') {
                return self.fail("a field name in quotes was expected here");
            }
            let key = self.string()?;
            let bit = self.fingerprint(key);
            suspect |= key.2 || seen & bit != 0;
            seen |= bit;
            self.blanks();
            if self.peek() != Some(b':') {
                return self.fail("a colon was expected here");
            }
            self.at += 1;
            self.blanks();
            self.value(key, depth)?;
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return self.fail("a comma or the end of the object was expected here"),
            }
            self.blanks();
        }
        self.at += 1;
        if suspect {
            self.refuse_repeated(index)?;
        }
        Ok(Kind::Object)
    }

    /// One bit of 64 for a key: two keys with different bits are different.
    fn fingerprint(&self, key: Key) -> u64 {
        let bytes = self.bytes.get(key.0 as usize..key.1 as usize).unwrap_or_default();
        let byte = |at: usize| bytes.get(at).map_or(0, |b| usize::from(*b));
        let mixed =
            bytes.len() * 37 + byte(0) * 5 + byte(bytes.len() / 2) * 11 + byte(bytes.len().saturating_sub(1));
        1 << (mixed & 63)
    }

    fn refuse_repeated(&self, index: usize) -> Result<(), SyntaxError> {
        let mut seen: HashSet<Cow<'_, str>> = HashSet::new();
        let mut child = index + 1;
        while let Some(node) = self.nodes.get(child) {
            let key = decoded(self.text, node.key_start, node.key_end, node.key_escaped);
            if seen.contains(&key) {
                let shown: String = key.chars().take(60).collect();
                let at = node.key_start as usize;
                return Err(SyntaxError {
                    at,
                    what: format!("the field `{shown}` stands twice in one object"),
                });
            }
            seen.insert(key);
            child = node.next as usize;
        }
        Ok(())
    }
}

fn decoded(text: &str, start: u32, end: u32, escaped: bool) -> Cow<'_, str> {
    let (start, end) = (start as usize, end as usize);
    if escaped {
        // The parser has decoded this very text before, so there is nothing left to fail.
        let quoted = text.get(start.saturating_sub(1)..end + 1).unwrap_or("\"\"");
        Cow::Owned(serde_json::from_str(quoted).unwrap_or_default())
    } else {
        Cow::Borrowed(text.get(start..end).unwrap_or_default())
    }
}

/// A value in its place in the text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value<'t> {
    text: &'t str,
    nodes: &'t [Node],
    at: u32,
    loose: bool,
}

impl<'t> Value<'t> {
    fn node(self) -> Option<&'t Node> {
        self.nodes.get(self.at as usize)
    }

    /// The same value, where text may stand for numbers and for `true` or `false` because the format has text only.
    pub(crate) fn loosely(self) -> Self {
        Self { loose: true, ..self }
    }

    /// Whether text may stand for other kinds.
    pub(crate) fn is_loose(self) -> bool {
        self.loose
    }

    /// What it is.
    pub(crate) fn kind(self) -> Kind {
        self.node().map_or(Kind::Null, |node| node.kind)
    }

    /// Byte offset in the text.
    pub(crate) fn offset(self) -> usize {
        self.node().map_or(0, |node| node.start as usize)
    }

    /// The JSON text of the value as it came.
    pub(crate) fn raw(self) -> &'t str {
        self.node().and_then(|node| self.text.get(node.start as usize..node.end as usize)).unwrap_or("null")
    }

    /// The text of a text value.
    pub(crate) fn as_text(self) -> Option<Cow<'t, str>> {
        let node = self.node().filter(|node| node.kind == Kind::Text)?;
        Some(decoded(self.text, node.start + 1, node.end - 1, node.escaped))
    }

    /// The fields of an object or the items of a list; nothing for other kinds.
    pub(crate) fn children(self) -> Children<'t> {
        let (at, end) = match self.node() {
            Some(node) if matches!(node.kind, Kind::Array | Kind::Object) => (self.at + 1, node.next),
            Some(_) | None => (0, 0),
        };
        Children { parent: self, at, end }
    }

    /// The field of an object, if it is there and not null; marks it as known.
    pub(crate) fn get(self, name: &str) -> Option<Value<'t>> {
        let child = self.children().find(|child| child.key_is(name))?;
        child.take();
        (child.kind() != Kind::Null).then_some(child)
    }

    /// The value at the end of a path of object fields.
    pub(crate) fn at(self, path: &[&str]) -> Option<Value<'t>> {
        path.iter().try_fold(self, |value, name| value.get(name))
    }

    /// The text at the end of a path of object fields, unless it is empty.
    pub(crate) fn text_at(self, path: &[&str]) -> Option<Cow<'t, str>> {
        self.at(path).and_then(Value::as_text).filter(|text| !text.trim().is_empty())
    }

    /// The name under which the value stands in its object.
    pub(crate) fn key(self) -> Cow<'t, str> {
        self.node().map_or(Cow::Borrowed(""), |node| {
            decoded(self.text, node.key_start, node.key_end, node.key_escaped)
        })
    }

    fn key_is(self, name: &str) -> bool {
        let Some(node) = self.node() else { return false };
        if node.key_escaped {
            return self.key() == name;
        }
        (node.key_end - node.key_start) as usize == name.len()
            && self.text.as_bytes().get(node.key_start as usize..node.key_end as usize)
                == Some(name.as_bytes())
    }

    /// Marks the field as known.
    pub(crate) fn take(self) {
        if let Some(node) = self.node() {
            node.taken.set(true);
        }
    }

    /// Whether the field was asked for.
    pub(crate) fn is_taken(self) -> bool {
        self.node().is_some_and(|node| node.taken.get())
    }
}

/// Iterates over fields or items.
pub(crate) struct Children<'t> {
    parent: Value<'t>,
    at: u32,
    end: u32,
}

impl<'t> Iterator for Children<'t> {
    type Item = Value<'t>;
    fn next(&mut self) -> Option<Value<'t>> {
        if self.at >= self.end {
            return None;
        }
        let value = Value { at: self.at, ..self.parent };
        self.at = value.node()?.next;
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error_of(text: &str) -> String {
        Room::default().parse(text).map(|_| String::new()).unwrap_or_else(|e| e.what)
    }

    #[test]
    fn keeps_the_text_of_numbers_and_finds_fields() {
        let mut room = Room::default();
        let doc = room.parse(r#" {"a":1.500,"b":[1,{"c":"x\u00e9"}],"d":null,"\u0065":2} "#).unwrap();
        assert_eq!(doc.get("a").unwrap().raw(), "1.500");
        let inner = doc.get("b").unwrap().children().nth(1).unwrap();
        assert_eq!(inner.get("c").unwrap().as_text().unwrap(), "xé");
        assert!(doc.get("d").is_none());
        assert_eq!(doc.get("e").unwrap().raw(), "2");
        assert!(doc.children().all(Value::is_taken));
    }

    #[test]
    fn refuses_repeated_fields_also_when_escaped() {
        assert!(error_of(r#"{"a":1,"b":2,"a":3}"#).contains("`a` stands twice"));
        assert!(error_of(r#"{"x":{"ab":1,"a\u0062":2}}"#).contains("`ab` stands twice"));
    }

    #[test]
    fn refuses_depth_and_nul() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert_eq!(error_of(&deep(64)), "");
        assert!(error_of(&deep(65)).contains("64 levels"));
        assert!(error_of(&"[".repeat(1_000_000)).contains("64 levels"));
        assert!(error_of(r#"{"a":"x\u0000"}"#).contains("NUL"));
        assert!(error_of(r#"{"a":"\ud800"}"#).contains("escape"));
    }

    proptest! {
        #[test]
        fn takes_what_the_general_reader_takes(text in r#"[\[\]{}",:0-9a-fnrtulse.\-+E\\ ]{0,40}"#) {
            let general = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            match Room::default().parse(&text) {
                Ok(_) => prop_assert!(general || text.contains(['e', 'E']), "{text}"),
                Err(e) => prop_assert!(!general || e.what.contains("twice") || e.what.contains("NUL"), "{text}: {}", e.what),
            }
        }

        #[test]
        fn takes_every_written_value(numbers in prop::collection::vec(any::<i64>(), 0..20), words in prop::collection::hash_map(any::<String>(), any::<String>(), 0..20)) {
            let words: std::collections::HashMap<_, _> = words.into_iter().filter(|(k, v)| !k.contains('\0') && !v.contains('\0')).collect();
            let text = serde_json::json!({"numbers": numbers, "words": words}).to_string();
            let mut room = Room::default();
            let doc = room.parse(&text).unwrap();
            let found: Vec<i64> = doc.get("numbers").unwrap().children().map(|v| v.raw().parse().unwrap()).collect();
            prop_assert_eq!(found, numbers);
            for (key, word) in &words {
                prop_assert_eq!(doc.at(&["words", key]).unwrap().as_text().unwrap(), word.as_str());
            }
        }
    }
}
