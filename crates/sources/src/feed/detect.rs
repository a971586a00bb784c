//! Finds out how a feed is written, from its name and from what its first bytes look like.

use super::FeedFormat;
use crate::input::fill;
use std::io::BufRead;

/// How the records lie in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One a line.
    Lines,
    /// In one array.
    Array,
    /// JSON values over several lines, one after the other.
    Values,
    /// A table with this delimiter.
    Table(u8),
}

/// The layout of an input whose first bytes can be looked at.
pub(crate) fn layout<R: BufRead>(input: &mut R, file: &str, format: FeedFormat) -> std::io::Result<Layout> {
    let start = fill(input)?;
    Ok(match format {
        FeedFormat::Ndjson => Layout::Lines,
        FeedFormat::Csv => Layout::Table(delimiter(start)),
        FeedFormat::Json => json(start).unwrap_or(Layout::Array),
        FeedFormat::Auto => {
            let extension = file.rsplit_once('.').map(|(_, e)| e.to_ascii_lowercase());
            match extension.as_deref() {
                // What is in the file counts more than what it is called.
                Some("csv") if !is_json(start) => Layout::Table(delimiter(start)),
                Some("ndjson" | "jsonl") => json(start).unwrap_or(Layout::Lines),
                Some(_) | None => json(start).unwrap_or_else(|| guess(start)),
            }
        }
    })
}

fn json(start: &[u8]) -> Option<Layout> {
    let text = start.trim_ascii_start();
    match text.first() {
        Some(b'[') if is_broken_line(text) => Some(Layout::Lines),
        Some(b'[') => Some(Layout::Array),
        Some(b'{') if opens_alone(text) => Some(Layout::Values),
        Some(b'{') => Some(Layout::Lines),
        Some(_) | None => None,
    }
}

/// Whether a brace alone on its line, with a field on the next, opens an object that is written over several lines.
fn opens_alone(text: &[u8]) -> bool {
    let mut lines = text.split(|b| *b == b'\n').map(<[u8]>::trim_ascii);
    lines.next() == Some(b"{")
        && lines.find(|line| !line.is_empty()).is_some_and(|line| line.starts_with(b"\""))
}

/// Whether a bracket stands on a line of its own kind, with records on the lines after it: one broken line of a file of
/// lines, which must not take the others along.
fn is_broken_line(text: &[u8]) -> bool {
    let mut lines = text.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    let goes_on = matches!(first.last(), Some(b'[' | b',' | b'{' | b':'));
    !goes_on && lines.next().is_some_and(|line| matches!(line.first(), Some(b'{' | b'[')))
}

/// Whether a table's header cannot look like this.
fn is_json(start: &[u8]) -> bool {
    let compact: Vec<u8> = start.iter().copied().filter(|b| !b.is_ascii_whitespace()).take(3).collect();
    compact.starts_with(b"{\"") || compact.starts_with(b"[{\"")
}

/// A first line without braces before a second one without: a table.
fn guess(start: &[u8]) -> Layout {
    let mut lines = start.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let header = lines.next().unwrap_or_default();
    let record = lines.next().unwrap_or_default();
    let printable = !header.is_empty() && header.iter().all(|b| *b >= b' ' || matches!(b, b'\t' | b'\r'));
    if printable && !header.contains(&b'{') && !record.starts_with(b"{") {
        Layout::Table(delimiter(start))
    } else {
        Layout::Lines
    }
}

/// The comma, or what the header has in its place.
fn delimiter(start: &[u8]) -> u8 {
    let header = start.split(|b| *b == b'\n').find(|line| !line.trim_ascii().is_empty()).unwrap_or_default();
    let count = |wanted: u8| header.iter().filter(|b| **b == wanted).count();
    if count(b',') > 0 {
        b','
    } else if count(b';') > 0 {
        b';'
    } else if count(b'\t') > 0 {
        b'\t'
    } else {
        b','
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("{\"a\":1}\n{", "-", Layout::Lines)]
    #[case("\n [", "-", Layout::Array)]
    #[case("{\n \"a\":1}", "x.json", Layout::Values)]
    #[case("type,id\ncustomer,1", "-", Layout::Table(b','))]
    #[case("type;id\ncustomer;1", "x.txt", Layout::Table(b';'))]
    #[case("{", "x.csv", Layout::Table(b','))]
    #[case("[{\"type\":\"customer\"}]", "x.csv", Layout::Array)]
    #[case("{\"type\":\"customer\"}", "x.csv", Layout::Lines)]
    #[case("[{\"a\":1},{\"a\":2}]\n", "x.ndjson", Layout::Array)]
    #[case("[\n{\"a\":1},\n{\"a\":2}]\n", "x.jsonl", Layout::Array)]
    #[case("[{\"a\":1},\n{\"a\":2}]\n", "x.ndjson", Layout::Array)]
    #[case("[{\"a\":1}]\n{\"a\":2}\n", "x.ndjson", Layout::Lines)]
    #[case("[\"a\n{\"a\":2}\n", "-", Layout::Lines)]
    #[case("broken\n{\"a\":1}", "-", Layout::Lines)]
    #[case("broken, too\nxx", "x.ndjson", Layout::Lines)]
    #[case("\u{0}", "-", Layout::Lines)]
    #[case("", "-", Layout::Lines)]
    fn finds_the_layout(#[case] text: &str, #[case] file: &str, #[case] expected: Layout) {
        assert_eq!(layout(&mut text.as_bytes(), file, FeedFormat::Auto).unwrap(), expected);
    }
}
