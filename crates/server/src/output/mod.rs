//! How records are printed: tables for people, one JSON document for programs. Logs and remarks go to standard error.

pub mod approvals;
pub mod contract;
pub mod documents;

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::borrow::Cow;
use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use trueup_domain::finding::Severity;

/// Columns of a terminal that does not tell them.
const USUAL_WIDTH: u16 = 80;

/// How records are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A table.
    Table,
    /// One JSON document.
    Json,
}

/// Where a command prints to.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    format: Format,
    terminal: bool,
}

/// Prints one JSON document on standard output.
pub fn print_json<T: Serialize>(document: &T) {
    match serde_json::to_string_pretty(document) {
        Ok(text) => print(&text),
        Err(error) => note(&format!("the document cannot be written as JSON: {error}")),
    }
}

/// Why standard output did not take what was printed first.
static LOST: OnceLock<String> = OnceLock::new();

/// Prints a line on standard output.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush()) {
        // A reader that went away (`| head`) had enough. A full disk under a redirected output is a loss.
        if error.kind() != ErrorKind::BrokenPipe {
            let _ = LOST.set(error.to_string());
        }
    }
}

/// Why something that was printed did not arrive; none where all did.
pub fn lost() -> Option<&'static str> {
    LOST.get().map(String::as_str)
}

/// Prints a remark on standard error.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", harmless(text));
}

/// Text as a terminal may show it. Names come from whoever signs up at a marketplace: what would move the cursor, hide
/// lines or turn the direction of writing is spelled out (`\u{1b}`). Line ends stay.
fn harmless(text: &str) -> Cow<'_, str> {
    let is_harmful = |c: char| {
        c.is_control() && c != '\n'
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(is_harmful) {
        return Cow::Borrowed(text);
    }
    let spelled = |c: char| if is_harmful(c) { c.escape_unicode().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(spelled).collect())
}

impl Output {
    /// For the chosen format.
    pub fn new(format: Format) -> Self {
        Self { format, terminal: std::io::stdout().is_terminal() }
    }

    /// Whether a JSON document is asked for.
    pub fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// The document for programs, or what `people` prints.
    pub fn show<T: Serialize>(self, document: &T, people: impl FnOnce(Self)) {
        if self.is_json() { print_json(document) } else { people(self) }
    }

    /// A line for people; nothing where JSON is asked for.
    pub fn line(self, text: &str) {
        if !self.is_json() {
            print(&harmless(text));
        }
    }

    /// A table for people: with lines and colour on a terminal, plain when piped.
    pub fn table(self, header: &[&str], rows: Vec<Vec<String>>) {
        if rows.is_empty() {
            return self.line("Nothing to show.");
        }
        let mut table = Table::new();
        if self.terminal {
            table.load_style(presets::UTF8_FULL_CONDENSED);
            table.set_content_arrangement(ContentArrangement::Dynamic);
            // A terminal that tells no size is as wide as terminals are.
            if table.width().is_none_or(|width| width == 0) {
                table.set_width(USUAL_WIDTH);
            }
            table.set_header(header.iter().map(|h| Cell::new(h).add_attribute(Attribute::Bold)));
        } else {
            table.load_style(presets::NOTHING);
            table.set_content_arrangement(ContentArrangement::Disabled);
            table.set_header(header.iter().map(Cell::new));
        }
        for row in rows {
            table.add_row(row.into_iter().map(|text| self.cell(text)));
        }
        if !self.is_json() {
            // The table's own colours stay: its cells are harmless.
            table.to_string().lines().for_each(|line| print(line.trim_end()));
        }
    }

    fn cell(self, text: String) -> Cell {
        let colour = match text.as_str() {
            "error" | "failed" | "missing" | "refused" => Some(Color::Red),
            "warning" | "in_doubt" | "needs_mapping" | "blocked" | "stale" => Some(Color::Yellow),
            "ok" | "applied" | "done" | "granted" => Some(Color::Green),
            _ => None, // open set: any text of a cell
        };
        let cell = Cell::new(harmless(&text));
        match colour.filter(|_| self.terminal) {
            Some(colour) => cell.fg(colour),
            None => cell,
        }
    }

    /// Progress of something whose end is not known yet, on a terminal; nothing elsewhere. [`count`] makes a bar of it.
    pub fn progress(self, text: &str) -> ProgressBar {
        let quiet = QUIET.load(Ordering::Relaxed);
        if !shows_progress(self.format, quiet, std::io::stderr().is_terminal()) {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new_spinner().with_message(text.to_owned());
        if let Ok(style) = ProgressStyle::with_template(SPINNER) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    }
}

/// Progress without an end.
const SPINNER: &str = "{spinner} {msg} {pos:>8} {elapsed}";
/// Progress towards an end.
const BAR: &str = "{spinner} {msg} [{bar:30}] {pos}/{len} {elapsed}";

/// Whether progress is not to be shown.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Shows no progress from here on.
pub fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Progress is for people who watch: programs read a document, or what is left in a file.
fn shows_progress(format: Format, quiet: bool, is_terminal: bool) -> bool {
    is_terminal && !quiet && format == Format::Table
}

/// Sets how far something is, of how much.
pub fn count(bar: &ProgressBar, done: u64, of: u64) {
    if bar.length() != Some(of) {
        if let Ok(style) = ProgressStyle::with_template(BAR) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_length(of);
    }
    bar.set_position(done);
}

/// Waits for work, and shows meanwhile how far it is; the bar is gone when the work is done.
pub async fn follow<T>(bar: &ProgressBar, done: impl Fn() -> u64, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    let mut tick = tokio::time::interval(Duration::from_millis(120));
    loop {
        tokio::select! {
            result = &mut work => {
                bar.finish_and_clear();
                return result;
            }
            _ = tick.tick() => bar.set_position(done()),
        }
    }
}

/// Whether a finding of severity error is among them.
pub fn any_error<'a>(severities: impl IntoIterator<Item = &'a Severity>) -> bool {
    severities.into_iter().any(|s| *s == Severity::Error)
}

#[cfg(test)]
mod tests {
    use super::{Format, count, shows_progress};
    use indicatif::{ProgressBar, ProgressDrawTarget, TermLike};
    use std::io;
    use std::sync::{Arc, Mutex};

    #[test]
    fn progress_is_for_people_at_a_terminal() {
        assert!(shows_progress(Format::Table, false, true));
        assert!(!shows_progress(Format::Table, false, false), "piped");
        assert!(!shows_progress(Format::Json, false, true), "a document");
        assert!(!shows_progress(Format::Table, true, true), "--quiet");
    }

    /// A terminal that keeps what is drawn.
    #[derive(Clone, Debug, Default)]
    struct Paper(Arc<Mutex<String>>);

    impl TermLike for Paper {
        fn width(&self) -> u16 {
            80
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_known_end_makes_a_bar() {
        let paper = Paper::default();
        let bar = ProgressBar::new_spinner().with_message("Applying");
        bar.set_draw_target(ProgressDrawTarget::term_like(Box::new(paper.clone())));
        bar.tick();
        assert!(!paper.0.lock().unwrap().contains('['));
        count(&bar, 10, 30);
        bar.tick();
        bar.abandon();
        let drawn = paper.0.lock().unwrap().clone();
        assert!(drawn.contains("Applying [==========>"), "{drawn}");
        assert!(drawn.contains("10/30"), "{drawn}");
    }
}
