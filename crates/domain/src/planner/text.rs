//! Sentences and figures of a plan. There are some for every line, so that each is written in a place that is large
//! enough and kept in its exact length.

use std::cell::Cell;
use std::fmt::{Arguments, Write};

thread_local! {
    /// Where texts are written. It keeps its memory from one to the next.
    static ROOM: Cell<String> = const { Cell::new(String::new()) };
}

/// The text of `format_args!`.
pub fn text(arguments: Arguments<'_>) -> String {
    // One that is written within another finds no room yet, and makes its own.
    let mut room = ROOM.take();
    room.clear();
    // Writing into a text cannot fail.
    let _ = room.write_fmt(arguments);
    let text = room.as_str().to_owned();
    ROOM.set(room);
    text
}
