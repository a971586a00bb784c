//! How records are printed: tables for people, one JSON document for programs. Logs and remarks go to standard error.

pub mod contract;
pub mod documents;

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::OnceLock;
use std::time::Duration;
use trueup_domain::finding::Severity;

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
    let _ = writeln!(std::io::stderr().lock(), "{text}");
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
            print(text);
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
            table.set_header(header.iter().map(|h| Cell::new(h).add_attribute(Attribute::Bold)));
        } else {
            table.load_style(presets::NOTHING);
            table.set_content_arrangement(ContentArrangement::Disabled);
            table.set_header(header.iter().map(Cell::new));
        }
        for row in rows {
            table.add_row(row.into_iter().map(|text| self.cell(text)));
        }
        for line in table.to_string().lines() {
            self.line(line.trim_end());
        }
    }

    fn cell(self, text: String) -> Cell {
        let colour = match text.as_str() {
            "error" | "failed" | "missing" | "refused" => Some(Color::Red),
            "warning" | "in_doubt" | "needs_mapping" | "blocked" | "stale" => Some(Color::Yellow),
            "ok" | "applied" | "done" | "granted" => Some(Color::Green),
            _ => None, // open set: any text of a cell
        };
        let cell = Cell::new(text);
        match colour.filter(|_| self.terminal) {
            Some(colour) => cell.fg(colour),
            None => cell,
        }
    }

    /// A spinner on a terminal; nothing elsewhere.
    pub fn spinner(self, text: &str) -> ProgressBar {
        if !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new_spinner().with_message(text.to_owned());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {pos:>8} {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    }
}

/// Whether a finding of severity error is among them.
pub fn any_error<'a>(severities: impl IntoIterator<Item = &'a Severity>) -> bool {
    severities.into_iter().any(|s| *s == Severity::Error)
}
