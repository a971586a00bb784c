//! Sentences and figures of a plan. There are some for every line, so that each is written in a place that is large
//! enough and kept in its exact length.

use std::fmt::{Arguments, Write as _};

/// Room for most sentences.
const ROOM: usize = 256;

/// The text of `format_args!`.
pub fn text(arguments: Arguments<'_>) -> String {
    let mut room = String::with_capacity(ROOM);
    // Writing into a text cannot fail.
    let _ = room.write_fmt(arguments);
    room.as_str().to_owned()
}
