//! Lines of any length, with a bound on what is kept of them.

use super::{MAX_RECORD_BYTES, Next, fill};
use std::io::BufRead;

/// Reads line by line.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    input: R,
    /// Number of the line read last, from 1.
    line: u64,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, line: 0 }
    }

    /// Reads the next line into `buffer`, without its line end.
    pub(crate) fn next_line(&mut self, buffer: &mut Vec<u8>) -> std::io::Result<Next> {
        buffer.clear();
        let mut too_long = false;
        let mut any = false;
        loop {
            let chunk = fill(&mut self.input)?;
            if chunk.is_empty() {
                if !any {
                    return Ok(Next::End);
                }
                break;
            }
            any = true;
            let end = chunk.iter().position(|b| *b == b'\n');
            let part = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or(chunk);
            if too_long || buffer.len() + part.len() > MAX_RECORD_BYTES {
                too_long = true;
            } else {
                buffer.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            self.input.consume(used);
            if end.is_some() {
                break;
            }
        }
        self.line += 1;
        if too_long {
            buffer.clear();
            buffer.shrink_to(64 * 1024);
            return Ok(Next::TooLong(self.line));
        }
        if buffer.last() == Some(&b'\r') {
            buffer.pop();
        }
        Ok(Next::Record(self.line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufReader, Read};

    #[test]
    fn a_very_long_line_is_skipped_without_keeping_it() {
        let long = std::io::repeat(b'x').take(64 * 1024 * 1024);
        let input =
            BufReader::new(std::io::Cursor::new(b"a\r\n").chain(long).chain(std::io::Cursor::new(b"\n\nb")));
        let mut lines = Lines::new(input);
        let mut buffer = Vec::new();
        assert_eq!(lines.next_line(&mut buffer).unwrap(), Next::Record(1));
        assert_eq!(buffer, b"a");
        assert_eq!(lines.next_line(&mut buffer).unwrap(), Next::TooLong(2));
        assert!(buffer.capacity() <= MAX_RECORD_BYTES);
        assert_eq!(lines.next_line(&mut buffer).unwrap(), Next::Record(3));
        assert!(buffer.is_empty());
        assert_eq!(lines.next_line(&mut buffer).unwrap(), Next::Record(4));
        assert_eq!(buffer, b"b");
        assert_eq!(lines.next_line(&mut buffer).unwrap(), Next::End);
    }
}
