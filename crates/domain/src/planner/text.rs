//! Sentences and figures of a plan. There are some for every line, so that each is written in a place that is large
//! enough and kept in its exact length.

use std::fmt::{Arguments, Write};

/// Room for nearly all sentences.
const ROOM: usize = 224;

/// The text of `format_args!`.
pub fn text(arguments: Arguments<'_>) -> String {
    let mut room = Room { bytes: [0; ROOM], length: 0, rest: String::new() };
    // Writing into a text cannot fail.
    let _ = room.write_fmt(arguments);
    room.into_text()
}

/// A text that moves to memory of its own where it does not fit.
struct Room {
    bytes: [u8; ROOM],
    length: usize,
    /// All of it, once it did not fit.
    rest: String,
}

impl Room {
    fn written(&self) -> &str {
        // Only whole texts were put there.
        str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }

    fn into_text(self) -> String {
        if self.rest.is_empty() { self.written().to_owned() } else { self.rest }
    }
}

impl Write for Room {
    fn write_str(&mut self, more: &str) -> std::fmt::Result {
        let end = self.length + more.len();
        match self.bytes.get_mut(self.length..end).filter(|_| self.rest.is_empty()) {
            Some(room) => {
                room.copy_from_slice(more.as_bytes());
                self.length = end;
            }
            None => {
                if self.rest.is_empty() {
                    self.rest = self.written().to_owned();
                }
                self.rest.push_str(more);
            }
        }
        Ok(())
    }
}
