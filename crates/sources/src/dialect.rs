//! The one entry to all dialects: by name, over files.

use crate::cloudblue_connect::ConnectReader;
use crate::cloudblue_simpleapi::SimpleApiReader;
use crate::feed::once::{self, Twice};
use crate::feed::{FeedFormat, FeedOptions, read_feed};
use crate::focus::FocusReader;
use crate::input;
use crate::refusal;
use jiff::Timestamp;
use std::path::PathBuf;
use trueup_domain::feed::{Record, RecordKind};
use trueup_domain::money::Currency;
use trueup_engine::feed::ImportReport;
use trueup_engine::ports::{Refusal, Source};

/// Records and refusals, one at a time. A refusal with `warning` set came with a record that was taken in all the same.
pub type Records = Box<dyn Iterator<Item = Result<Record, Refusal>> + Send>;

/// What is known about files before they are read.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadOptions {
    /// The kind of feed records that name none themselves.
    pub kind: Option<RecordKind>,
    /// The currency of what names none itself, where a dialect knows such records.
    pub currency: Option<Currency>,
    /// When the files were saved, where a dialect counts what they list and they do not say so themselves.
    pub as_of: Option<Timestamp>,
}

/// A way of writing down what was sold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// trueup's own feed.
    Feed,
    /// FOCUS 1.0 bills.
    Focus,
    /// Answers of CloudBlue Connect.
    CloudblueConnect,
    /// Answers of the SimpleAPI of CloudBlue Commerce.
    CloudblueSimpleApi,
    /// Answers of Mailprotector: its users, counted.
    Mailprotector,
    /// Answers of Anchor, which is Axcient x360Sync: accounts, storage and file servers, counted.
    Anchor,
    /// The subscription history of C3, the CSP Control Center, and its active customers.
    C3History,
}

impl Dialect {
    /// All dialects.
    pub const ALL: [Self; 7] = [
        Self::Feed,
        Self::Focus,
        Self::CloudblueConnect,
        Self::CloudblueSimpleApi,
        Self::Mailprotector,
        Self::Anchor,
        Self::C3History,
    ];

    /// The name to choose it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Feed => "feed",
            Self::Focus => "focus",
            Self::CloudblueConnect => "cloudblue-connect",
            Self::CloudblueSimpleApi => "cloudblue-simpleapi",
            Self::Mailprotector => "mailprotector",
            Self::Anchor => "anchor",
            Self::C3History => "c3-history",
        }
    }

    /// Reads files, of which `-` is standard input.
    pub fn read(self, files: &[PathBuf], options: ReadOptions) -> Records {
        match self {
            Self::Feed => {
                let files: Vec<PathBuf> = files.to_vec();
                Box::new(files.into_iter().flat_map(move |path| feed_file(path, options.kind)))
            }
            Self::Focus => Box::new(FocusReader::new(files)),
            Self::CloudblueConnect => Box::new(ConnectReader::new(files, options.currency)),
            Self::CloudblueSimpleApi => Box::new(SimpleApiReader::new(files)),
            Self::Mailprotector => Box::new(crate::mailprotector::records(files, options.as_of)),
            Self::Anchor => Box::new(crate::anchor::records(files, options.as_of)),
            Self::C3History => Box::new(crate::c3::records(files, options.currency)),
        }
    }

    /// What has to be said where this import replaced orders that were known. A row of a FOCUS bill has no id, so that
    /// the rows of another file cannot be told from a newer state of the same ones.
    pub fn remark(self, report: &ImportReport) -> Option<Refusal> {
        let changed = report.records.get(&RecordKind::Order).map_or(0, |counts| counts.changed);
        if self != Self::Focus || changed == 0 {
            return None;
        }
        let reason = format!(
            "{changed} orders were known, and hold now what this import says and nothing of what was before. Where a billing \
             period comes in several files, name all of them in one import"
        );
        Some(Refusal { warning: true, ..refusal("", 0, "TU8006", reason) })
    }

    /// The same as a source of the engine.
    pub fn source(self, files: &[PathBuf], options: ReadOptions) -> impl Source + use<> {
        RecordSource(self.read(files, options))
    }
}

struct RecordSource(Records);

impl Source for RecordSource {
    fn next_record(&mut self) -> Option<Result<Record, Refusal>> {
        self.0.next()
    }
}

fn feed_file(path: PathBuf, kind: Option<RecordKind>) -> Records {
    let name = input::shown_name(&path);
    match once::open(&path) {
        Ok(Twice { input, path, kept }) => {
            let options = FeedOptions { file_name: name, kind, format: FeedFormat::Auto, path: Some(path) };
            let mut records = read_feed(input, options);
            Box::new(std::iter::from_fn(move || {
                // It goes with its last record.
                let _ = &kept;
                records.next()
            }))
        }
        Err(error) => Box::new(std::iter::once(Err(input::not_opened(&name, &error)))),
    }
}

/// The dialect of a name.
pub fn dialect(name: &str) -> Option<Dialect> {
    Dialect::ALL.into_iter().find(|dialect| dialect.name() == name)
}
