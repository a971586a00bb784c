//! Every call that came in, for tests that count and compare.

use std::collections::BTreeMap;

use crate::json::{Json, object};

/// Most calls kept; the summary goes on counting after that.
const MAX_ENTRIES: usize = 400_000;

/// One call.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Its number, from 1.
    pub seq: u64,
    /// Its method.
    pub method: String,
    /// Its path.
    pub path: String,
    /// Its query, as sent.
    pub query: String,
    /// The status answered, 0 when the connection was cut.
    pub status: u16,
    /// The body sent.
    pub body: String,
    /// Whether it was carried out.
    pub executed: bool,
    /// The fault applied.
    pub fault: Option<&'static str>,
}

/// The calls and their counts.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    entries: Vec<Entry>,
    counts: BTreeMap<String, u64>,
    statuses: BTreeMap<u16, u64>,
    last: u64,
    total: u64,
}

impl Journal {
    /// The number of the next call.
    pub(crate) fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Notes a call.
    pub(crate) fn note(&mut self, entry: Entry) {
        self.total += 1;
        *self.counts.entry(format!("{} {}", entry.method, resource_of(&entry.path))).or_default() += 1;
        *self.statuses.entry(entry.status).or_default() += 1;
        if self.entries.len() < MAX_ENTRIES {
            self.entries.push(entry);
        }
    }

    /// Notes that a call cut off earlier was carried out after all.
    pub(crate) fn executed_late(&mut self, seq: u64) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.seq == seq) {
            entry.executed = true;
        }
    }

    /// Forgets everything; numbers go on.
    pub(crate) fn clear(&mut self) {
        *self = Journal { last: self.last, ..Journal::default() };
    }

    /// The calls, in the order they came.
    pub(crate) fn to_json(&self) -> Json {
        let mut entries: Vec<&Entry> = self.entries.iter().collect();
        entries.sort_by_key(|entry| entry.seq);
        Json::Arr(entries.into_iter().map(Entry::to_json).collect())
    }

    /// How many calls of each kind, and of each status.
    pub(crate) fn summary(&self) -> Json {
        let count = |number: u64| Json::Int(i64::try_from(number).unwrap_or(i64::MAX));
        let counts = self.counts.iter().map(|(name, number)| (name.clone(), count(*number))).collect();
        let statuses =
            self.statuses.iter().map(|(status, number)| (status.to_string(), count(*number))).collect();
        object([
            ("total", count(self.total)),
            ("calls", Json::Obj(counts)),
            ("statuses", Json::Obj(statuses)),
        ])
    }
}

impl Entry {
    fn to_json(&self) -> Json {
        object([
            ("seq", Json::Int(i64::try_from(self.seq).unwrap_or(i64::MAX))),
            ("method", self.method.as_str().into()),
            ("path", self.path.as_str().into()),
            ("query", self.query.as_str().into()),
            ("status", Json::Int(i64::from(self.status))),
            ("body", self.body.as_str().into()),
            ("executed", Json::Bool(self.executed)),
            ("fault", self.fault.map_or(Json::Null, Json::from)),
        ])
    }
}

/// The path below `apis/3.0/` with ids taken out.
fn resource_of(path: &str) -> String {
    let lower = path.to_ascii_lowercase();
    let below = lower.split_once("/apis/3.0/").map_or(lower.as_str(), |(_, below)| below);
    let segments = below.split('/').filter(|segment| !segment.is_empty());
    let shown: Vec<&str> = segments
        .map(|segment| if segment.bytes().all(|byte| byte.is_ascii_digit()) { "{id}" } else { segment })
        .collect();
    shown.join("/")
}
