//! The elements of a JSON array, or JSON values one after the other, cut out of a stream one at a time.
//!
//! Cutting only follows quotes and brackets; whether an element is good JSON is judged by its reader.

use super::{MAX_RECORD_BYTES, Next, fill};
use std::io::BufRead;

/// What surrounds the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Around {
    /// One array holds them.
    Array,
    /// Nothing: they stand one after the other.
    Nothing,
}

/// Reads element by element.
#[derive(Debug)]
pub(crate) struct Elements<R> {
    input: R,
    around: Around,
    opened: bool,
    closed: bool,
    line: u64,
}

#[derive(Default)]
struct Cut {
    depth: usize,
    in_text: bool,
    escape: bool,
    too_long: bool,
    done: bool,
}

impl Cut {
    /// Takes one byte; `false` when it no longer belongs to the element.
    fn takes(&mut self, byte: u8) -> bool {
        if self.in_text {
            if self.escape {
                self.escape = false;
            } else if byte == b'\\' {
                self.escape = true;
            } else if byte == b'"' {
                self.in_text = false;
                self.done = self.depth == 0;
            }
            return true;
        }
        match byte {
            b'"' => self.in_text = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' if self.depth == 0 => return false,
            b'}' | b']' => {
                self.depth -= 1;
                self.done = self.depth == 0;
            }
            b',' | b' ' | b'\n' | b'\r' | b'\t' if self.depth == 0 => return false,
            _ => {}
        }
        true
    }
}

impl<R: BufRead> Elements<R> {
    pub(crate) fn new(input: R, around: Around) -> Self {
        Self { input, around, opened: around == Around::Nothing, closed: false, line: 1 }
    }

    fn skip_between(&mut self) -> std::io::Result<Option<u8>> {
        loop {
            let chunk = fill(&mut self.input)?;
            let Some(first) = chunk.first().copied() else { return Ok(None) };
            match first {
                b'\n' => self.line += 1,
                b' ' | b'\t' | b'\r' => {}
                // Also between values that nothing surrounds, where it would belong to none of them.
                b',' if self.opened => {}
                other => return Ok(Some(other)),
            }
            self.input.consume(1);
        }
    }

    /// Cuts the next element into `buffer`.
    pub(crate) fn next_element(&mut self, buffer: &mut Vec<u8>) -> std::io::Result<Next> {
        buffer.clear();
        let Some(mut first) = self.skip_between()? else {
            let cut = self.around == Around::Array && !self.closed;
            self.closed = true;
            return Ok(if cut { Next::Cut(self.line) } else { Next::End });
        };
        if !self.opened && first == b'[' {
            self.opened = true;
            self.input.consume(1);
            match self.skip_between()? {
                Some(byte) => first = byte,
                None => {
                    self.closed = true;
                    return Ok(Next::Cut(self.line));
                }
            }
        }
        if self.closed || !self.opened {
            return self.stray();
        }
        if matches!(first, b']' | b'}') {
            self.input.consume(1);
            if first == b']' && self.around == Around::Array {
                let line = self.line;
                if self.skip_between()?.is_none() {
                    self.closed = true;
                    return Ok(Next::End);
                }
                // The list is closed too early. What follows may be its values all the same.
                self.around = Around::Nothing;
                return Ok(Next::Stray(line));
            }
            return Ok(Next::Stray(self.line));
        }
        self.cut(buffer)
    }

    /// Nothing that follows can be told apart: the rest is passed over.
    fn stray(&mut self) -> std::io::Result<Next> {
        let line = self.line;
        loop {
            let length = fill(&mut self.input)?.len();
            if length == 0 {
                break;
            }
            self.input.consume(length);
        }
        self.opened = true;
        self.closed = true;
        Ok(Next::Stray(line))
    }

    fn cut(&mut self, buffer: &mut Vec<u8>) -> std::io::Result<Next> {
        let start = self.line;
        let mut cut = Cut::default();
        loop {
            let chunk = fill(&mut self.input)?;
            if chunk.is_empty() {
                if cut.depth == 0 && !cut.in_text && !cut.too_long {
                    return Ok(Next::Record(start));
                }
                self.closed = true;
                return Ok(Next::Cut(start));
            }
            let mut length = 0;
            let mut ended = false;
            for byte in chunk {
                if !cut.takes(*byte) {
                    ended = true;
                    break;
                }
                length += 1;
                self.line += u64::from(*byte == b'\n');
                if cut.done {
                    ended = true;
                    break;
                }
            }
            if cut.too_long || buffer.len() + length > MAX_RECORD_BYTES {
                cut.too_long = true;
            } else {
                buffer.extend_from_slice(chunk.get(..length).unwrap_or_default());
            }
            self.input.consume(length);
            if ended {
                break;
            }
        }
        if cut.too_long {
            buffer.clear();
            buffer.shrink_to(64 * 1024);
            return Ok(Next::TooLong(start));
        }
        Ok(Next::Record(start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str, around: Around) -> Vec<(Next, String)> {
        let mut elements = Elements::new(std::io::BufReader::with_capacity(3, text.as_bytes()), around);
        let mut buffer = Vec::new();
        let mut found = Vec::new();
        loop {
            let next = elements.next_element(&mut buffer).unwrap();
            if next == Next::End {
                return found;
            }
            found.push((next, String::from_utf8(buffer.clone()).unwrap()));
            assert!(found.len() < 100);
        }
    }

    #[test]
    fn cuts_an_array_at_its_elements() {
        let found = all(" [\n{\"a\":\"]}\\\"\"},\n [1,2] , 5,\"x\"\n]\n", Around::Array);
        let expected = [(2, "{\"a\":\"]}\\\"\"}"), (3, "[1,2]"), (3, "5"), (3, "\"x\"")];
        let expected: Vec<_> = expected.iter().map(|(l, t)| (Next::Record(*l), (*t).to_owned())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn tells_a_cut_file_and_stray_text() {
        assert_eq!(all("[{\"a\":1}", Around::Array)[1].0, Next::Cut(1));
        assert_eq!(all("[{\"a\":", Around::Array)[0].0, Next::Cut(1));
        assert_eq!(all("[]x", Around::Array)[0].0, Next::Stray(1));
        let early = all("[{}],\n{\"a\":1}]", Around::Array);
        assert_eq!(
            early.iter().map(|(next, _)| next).collect::<Vec<_>>(),
            [&Next::Record(1), &Next::Stray(1), &Next::Record(2), &Next::Stray(2)]
        );
        assert_eq!(all("x", Around::Array)[0].0, Next::Stray(1));
        assert_eq!(all("[]", Around::Array), vec![]);
        assert_eq!(all("{\n}\n{}", Around::Nothing).len(), 2);
        assert_eq!(all(",{},}]", Around::Nothing).len(), 3);
    }
}
