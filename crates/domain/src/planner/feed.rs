//! Records of the feed, looked up without copying the ids to ask with.

use crate::ids::{CustomerId, ProductId, SourceId, SubscriptionId};
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// The record of a source with an id.
pub fn find<'a, Id, Record>(
    records: &'a BTreeMap<(SourceId, Id), Record>,
    source: &SourceId,
    id: &Id,
) -> Option<&'a Record>
where
    Id: Text + Ord,
{
    let key: &dyn Key = &(source, id);
    records.get(key)
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
