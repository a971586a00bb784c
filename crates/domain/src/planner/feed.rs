//! Records of the feed, looked up without copying the ids to ask with.

use crate::ids::{CustomerId, ProductId, SourceId, SubscriptionId};
use hashbrown::DefaultHashBuilder;
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

/// The record of a source with an id.
pub fn find<'a, Id: Text + Ord, Record>(
    records: &'a BTreeMap<(SourceId, Id), Record>,
    source: &SourceId,
    id: &Id,
) -> Option<&'a Record> {
    let key: &dyn Key = &(source, id);
    records.get(key)
}

/// The records of ids that come in their order, one for each: where many are asked for, both lists are gone through side
/// by side.
pub fn find_all<'a, 'k, Id: Text + Ord + 'k, Record>(
    records: &'a BTreeMap<(SourceId, Id), Record>,
    sorted: impl ExactSizeIterator<Item = (&'k SourceId, &'k Id)>,
) -> Vec<Option<&'a Record>> {
    if records.len() / WORTH > sorted.len() {
        return sorted.map(|(source, id)| find(records, source, id)).collect();
    }
    let mut rest = records.iter().peekable();
    let found = sorted.map(|asked| {
        while rest.next_if(|((source, id), _)| (source, id) < asked).is_some() {}
        rest.peek().filter(|((source, id), _)| (source, id) == asked).map(|(_, record)| *record)
    });
    found.collect()
}

/// Records that are looked up once or often.
#[derive(Debug)]
pub struct Records<'a, Id, Record> {
    sorted: &'a BTreeMap<(SourceId, Id), Record>,
    /// By id alone, where it pays to put them there first; the first of those that have the id in several sources.
    hashed: HashMap<&'a str, (&'a SourceId, &'a Record), DefaultHashBuilder>,
}

/// A look into a sorted map costs as much as so many into a hashed one.
const WORTH: usize = 8;

impl<'a, Id: Text + Ord, Record> Records<'a, Id, Record> {
    /// Records that are asked for so many times.
    pub fn new(sorted: &'a BTreeMap<(SourceId, Id), Record>, asked: usize) -> Self {
        let mut hashed = HashMap::default();
        if sorted.len() / WORTH < asked {
            hashed.reserve(sorted.len());
            for ((source, id), record) in sorted {
                hashed.entry(id.text()).or_insert((source, record));
            }
        }
        Self { sorted, hashed }
    }

    /// The record of a source with an id.
    pub fn get(&self, source: &SourceId, id: &Id) -> Option<&'a Record> {
        match self.hashed.get(id.text()) {
            Some((own, record)) if *own == source => Some(record),
            // Of another source, or not put there.
            Some(_) | None => find(self.sorted, source, id),
        }
    }
}

/// An id of the feed.
pub trait Text {
    /// The id as text.
    fn text(&self) -> &str;
}

impl Text for CustomerId {
    fn text(&self) -> &str {
        self.as_str()
    }
}

impl Text for ProductId {
    fn text(&self) -> &str {
        self.as_str()
    }
}

impl Text for SubscriptionId {
    fn text(&self) -> &str {
        self.as_str()
    }
}

/// What a record is found by: two ids, which sort as those that it is kept under.
trait Key {
    fn ids(&self) -> (&str, &str);
}

impl<Id: Text> Key for (SourceId, Id) {
    fn ids(&self) -> (&str, &str) {
        (self.0.as_str(), self.1.text())
    }
}

impl<Id: Text> Key for (&SourceId, &Id) {
    fn ids(&self) -> (&str, &str) {
        (self.0.as_str(), self.1.text())
    }
}

impl<'k, Id: Text + 'k> Borrow<dyn Key + 'k> for (SourceId, Id) {
    fn borrow(&self) -> &(dyn Key + 'k) {
        self
    }
}

impl PartialEq for dyn Key + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.ids() == other.ids()
    }
}

impl Eq for dyn Key + '_ {}

impl PartialOrd for dyn Key + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for dyn Key + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        self.ids().cmp(&other.ids())
    }
}
